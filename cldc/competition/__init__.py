"""A competition as data: its profile, read strictly from TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cldc.address import SANDBOX
from cldc.competition.model import (
    NOT_KEYS,
    TEST_KEY,
    Bundles,
    Competition,
    DatasetRules,
    Organiser,
    QuotaRule,
    Reference,
    RunForm,
    ScorePath,
    SubmissionForm,
    TensorFlowChoice,
    TrainingSetup,
)
from cldc.competition.profile_checks import check, locked_tensorflows
from cldc.competition.typed_toml import nearest, read_table, read_text, read_toml, refused
from cldc.errors import ConfigurationError
from cldc.resources import template

__all__ = [
    "DEFAULT",
    "NOT_KEYS",
    "SANDBOX",
    "TEST_KEY",
    "Bundles",
    "Competition",
    "DatasetRules",
    "Organiser",
    "QuotaRule",
    "Reference",
    "RunForm",
    "ScorePath",
    "SubmissionForm",
    "TensorFlowChoice",
    "TrainingSetup",
    "builtin_profiles",
    "file_beside",
    "load",
    "locked_tensorflows",
    "parse",
    "scripts_beside",
]

DEFAULT = "data-centric-2021"
# Longest chain of `extends`; longer ones are hard to follow.
_LONGEST_CHAIN = 5
_Table = dict[str, Any]


def builtin_profiles() -> tuple[str, ...]:
    """Return the names of the profiles that come with cldc."""
    return tuple(
        sorted(Path(p.name).stem for p in template("competitions").iterdir() if p.name.endswith(".toml"))
    )


def load(choice: str = DEFAULT) -> Competition:
    """Load the competition named ``choice``, or described by the profile file at that path.

    Raises:
        ConfigurationError: No such profile, invalid TOML, an unknown or missing key, a value that can't be used.
    """
    if choice in builtin_profiles():
        return parse(_builtin_text(choice), name=choice)
    path = Path(choice)
    if path.suffix != ".toml" and not path.is_file():
        close = nearest(path.name, builtin_profiles(), least=0.4)
        hint = f"perhaps you meant {close!r}; " if close else ""
        raise ConfigurationError(
            f"There is no competition {path.name!r}: {hint}known are {', '.join(builtin_profiles())}.",
            action="Name one of these, or give the path of a profile (a .toml file) with --competition.",
        )
    return parse(read_text(path), name=path.stem, folder=path.resolve().parent)


def parse(text: str, *, name: str, folder: Path | None = None) -> Competition:
    """Parse a profile's TOML. The profile that it extends is parsed first, so that an error names the right file.

    Args:
        name: The profile's file name without ``.toml``.
        folder: The folder of that file; None for a built-in profile.

    Raises:
        ConfigurationError: For the reasons of `load`.
    """
    return _parse(text, name, folder, ())[0]


def _parse(
    text: str, name: str, folder: Path | None, extended_by: tuple[str, ...]
) -> tuple[Competition, _Table]:
    """Parse a profile, which the profiles ``extended_by`` extend; also return the keys that it sets or inherits."""
    what = f"profile {name}" if folder is None else str(folder / f"{name}.toml")
    table = read_toml(text, what=what)
    if unknown := set(NOT_KEYS) & table.keys():
        raise refused(what, f"{sorted(unknown)[0]!r} is set by the file's name and place")
    files: tuple[Path, ...] = () if folder is None else (folder / f"{name}.toml",)
    if "extends" in table:
        base, inherited = _extended(table["extends"], name, folder, (*extended_by, what))
        table = _merged(inherited, table, what=what)
        files += base.files
    elif table.get("unset"):
        raise refused(what, "'unset' stands without 'extends'; there is nothing to unset")
    given = {**table, "name": name, "folder": folder, "files": files}
    competition = read_table(Competition, given, what=what, hidden=NOT_KEYS)
    check(competition, what=what)
    return competition, table


def _extended(
    extends: object, name: str, folder: Path | None, extended_by: tuple[str, ...]
) -> tuple[Competition, _Table]:
    """Parse the profile that the profile ``name`` in ``folder`` extends; ``extended_by`` ends with that profile."""
    what = extended_by[-1]
    if len(extended_by) >= _LONGEST_CHAIN:
        chain = ", ".join(extended_by)
        raise refused(extended_by[0], f"it extends a chain of more than {_LONGEST_CHAIN} profiles: {chain}")
    if not isinstance(extends, str):
        raise refused(what, f"'extends' is {extends!r}; expected a string in quotes")
    if extends in builtin_profiles():
        return _parse(_builtin_text(extends), extends, None, extended_by)
    path = None if folder is None or Path(extends).name != extends else _file_in(folder, extends, name)
    if path is None or path.suffix != ".toml":
        known = ", ".join(builtin_profiles())
        wanted = f"expected one of {known}, or the name of a .toml file in the same folder"
        raise refused(what, f"'extends' is {extends!r}; {wanted}")
    if str(path) in extended_by:
        raise refused(what, f"'extends' is {extends!r}; these profiles extend each other")
    return _parse(read_text(path), path.stem, folder, extended_by)


def _merged(inherited: _Table, own: _Table, *, what: str) -> _Table:
    """Merge ``own`` over inherited keys that it does not unset. In a table, each own key replaces one inherited key."""
    merged = {key: value for key, value in inherited.items() if key not in ("extends", "unset")}
    unset = own.get("unset", [])
    for dotted in unset if isinstance(unset, list) else ():
        if not _removed(merged, str(dotted)):
            raise refused(what, f"'unset' names {dotted!r}, which {own['extends']} does not set")
    for key, value in own.items():
        before = merged.get(key)
        merged[key] = before | value if isinstance(before, dict) and isinstance(value, dict) else value
    return merged


def _removed(table: _Table, dotted: str) -> bool:
    """Remove a key, of ``table`` or of a table in it; return whether it was set."""
    *tables, key = dotted.split(".")
    owner: Any = table
    for name in tables:
        owner = owner.get(name) if isinstance(owner, dict) else None
    return isinstance(owner, dict) and owner.pop(key, None) is not None


def _builtin_text(name: str) -> str:
    return template("competitions", f"{name}.toml").read_text(encoding="utf-8")


def file_beside(competition: Competition, name: str) -> Path | None:
    """Find the file ``name`` in the folder of the profile; None if there is none.

    Raises:
        ConfigurationError: It is outside that folder, possibly through a link.
    """
    return None if competition.folder is None else _file_in(competition.folder, name, competition.name)


def scripts_beside(competition: Competition) -> dict[str, Path]:
    """Return the scripts in the profile's folder that it names, by the key that names each.

    Raises:
        ConfigurationError: For the reasons of `file_beside`.
    """
    side = competition.organiser
    named = {
        "training.builtin": competition.training.builtin,
        "organiser.evaluate": side.evaluate.name if side else None,
    }
    found = {key: file_beside(competition, name) for key, name in named.items() if name}
    return {key: path for key, path in found.items() if path is not None}


def _file_in(folder: Path, name: str, profile: str) -> Path | None:
    path = folder / name
    if not path.is_file():
        return None
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(
            f"The profile {profile} names {name}, which leads out of its folder to {path.resolve()}.",
            action="Put the file itself beside the profile.",
        )
    return path
