"""Derive the profile of your own competition from another one's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tomli_w

from cldc.competition import Bundles, Competition, Organiser, QuotaRule, Reference, load, parse
from cldc.errors import ConfigurationError
from cldc.files import replace_atomically, storage_errors
from cldc.identifiers import is_name
from cldc.organise.daemon_settings import references

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Part = TypeVar("Part", bound="DataclassInstance")
_DAY_SECONDS = 86400
_WORKSHEETS = ("utils", "log")  # their keys in `references`


@dataclass(frozen=True, slots=True)
class ProfileOverrides:
    """How your own competition differs from the profile it starts from; None keeps the value.

    Each attribute has the name of the profile's key.

    Attributes:
        classes: Class folders in the order in which the script numbers them.
        splits: Folders of a dataset, the training split first.
        image_size: Height and width in pixels that the script scales each image to.
        epochs: Epochs that the script trains.
        command: The run's, with {dataset} and {label_book}.
        leaderboard: Address of the published JSON.
    """

    title: str | None = None
    tag: str | None = None
    classes: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None
    image_size: tuple[int, ...] | None = None
    epochs: int | None = None
    window_days: float | None = None
    per_window: int | None = None
    total: int | None = None
    closes: datetime | None = None
    image: str | None = None
    command: str | None = None
    leaderboard: str | None = None


def begin(base: Competition, path: Path) -> Competition:
    """Create a profile for ``path`` with the rules of ``base``, but without its organisers' uuids and dates.

    Worksheets are named after the file, since a server has each name once.

    Raises:
        ConfigurationError: CodaLab does not allow the file's name, or ``base`` has no [organiser] table.
    """
    name, side, bundles = path.stem, base.require_organiser(), base.bundles
    if path.suffix != ".toml" or not is_name(name):
        raise ConfigurationError(
            f"The profile can't be called {path.name}: worksheets are named after it.",
            action="Call it LETTERS.toml, with letters, digits, _ . and -, a letter first.",
        )
    mine = replace(
        base,
        name=name,
        extends=None,
        unset=(),
        folder=path.absolute().parent,
        title=name,
        closes=None,
        guide=None,
        form=None,
        leaderboard=None,
        submission=replace(base.submission, tag=name, usual_wait=None),
        bundles=replace(
            bundles,
            worksheet=Reference(f"{name}-utils"),
            starting_dataset=bundles.starting_dataset or Reference("data"),
        ),
        organiser=_same_quota(replace(side, log_worksheet=Reference(f"{name}-log")), base.quota),
    )
    return without_uuids(mine)


def draft(start: Competition, overrides: ProfileOverrides, *, server: str) -> Competition:
    """Apply the overrides to ``start``; for another server than before, drop the uuids.

    Raises:
        ConfigurationError: The resulting profile is invalid.
    """
    side, quota = start.require_organiser(), _overridden(start.quota, overrides)
    drafted = replace(
        _overridden(start, overrides),
        server=server,
        dataset=_overridden(start.dataset, overrides),
        training=_overridden(start.training, overrides),
        quota=quota,
        submission=_overridden(start.submission, overrides),
        run=_overridden(start.run, overrides),
        organiser=side if quota == start.quota else _same_quota(side, quota),
    )
    if server != start.server:
        drafted = replace(without_uuids(drafted, worksheets=True), server_status=None)
    return parse(to_toml(drafted), name=drafted.name, folder=drafted.folder)


def _overridden(part: Part, overrides: ProfileOverrides) -> Part:
    """Apply the overrides that have the name of a key of ``part``, which is a profile or a table of one."""
    own = {field.name for field in fields(part)} & {field.name for field in fields(overrides)}
    given = {name: getattr(overrides, name) for name in own}
    return replace(part, **{name: value for name, value in given.items() if value not in (None, "", ())})


def _same_quota(side: Organiser, quota: QuotaRule) -> Organiser:
    """Give the daemon the quota that contestants see."""
    seconds = round(quota.window_days * _DAY_SECONDS)
    return replace(side, window_seconds=seconds, per_window=quota.per_window, total=quota.total)


def without_uuids(competition: Competition, *, worksheets: bool = False) -> Competition:
    """Return the profile without its bundles' uuids, and without its worksheets' if ``worksheets``."""
    known = references(competition)
    plain = {key: Reference(known[key].name) for key in known if worksheets or key not in _WORKSHEETS}
    return _with_references(competition, known | plain)


def with_uuids(competition: Competition, uuids: Mapping[str, str]) -> Competition:
    """Return the profile with the server's uuids, by the keys of `PublishedCompetition.uuids`.

    A starting dataset that is not on the server is left out, because contestants can't start from it.
    """
    known = references(competition)
    return _with_references(
        competition, {key: Reference(known[key].name, uuids[key]) for key in known if key in uuids}
    )


def _with_references(competition: Competition, known: Mapping[str, Reference]) -> Competition:
    """Return the profile with these references, the inverse of `references`."""
    bundles = Bundles(
        worksheet=known["utils"],
        script=known["script"],
        label_book=known["label_book"],
        starting_dataset=known.get("data"),
    )
    organiser = replace(
        competition.require_organiser(),
        log_worksheet=known["log"],
        test_set=known["test_set"],
        evaluate=known["evaluate"],
    )
    return replace(competition, bundles=bundles, organiser=organiser)


def to_toml(competition: Competition) -> str:
    """Format the profile's file: all of it, or what differs from the profile that it extends."""
    table = competition.table()
    if competition.extends is not None:
        table = _differences(competition.extends, competition.folder, table)
    scalars = {key: value for key, value in table.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    return tomli_w.dumps({**scalars, **tables})


def _differences(extends: str, folder: Path | None, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of ``table`` that differ from the extended profile's; ``unset`` lists those only found there."""
    base = load(str(folder / extends) if folder and extends.endswith(".toml") else extends).table()
    own: dict[str, Any] = {"extends": extends}
    unset = sorted(base.keys() - table.keys())
    for key, value in table.items():
        before = base.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            unset += sorted(f"{key}.{name}" for name in before.keys() - value.keys())
            if changed := {name: each for name, each in value.items() if before.get(name) != each}:
                own[key] = changed
        elif value != before:
            own[key] = value
    return {**own, "unset": unset} if unset else own


def write(competition: Competition, path: Path) -> bool:
    """Write the profile, unless the file is already the same; return whether it was written.

    Raises:
        StorageError: The file can't be read or written.
    """
    header = (
        f"# {competition.title.splitlines()[0]}: a competition on {competition.server}.\n"
        "# Written by `cldc organise init`, which keeps what is changed here by hand. Contestants use it with\n"
        f"# --competition {path.name}; cldc's reference of profiles explains each key.\n\n"
    )
    with storage_errors(path):
        before = path.read_text(encoding="utf-8-sig") if path.is_file() else None
    if before is not None and parse(before, name=competition.name, folder=competition.folder) == competition:
        return False
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, header + to_toml(competition), mode=0o644)
    return True
