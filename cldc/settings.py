"""Settings and where each came from: flag, environment, project file, user file, the competition's profile."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from cldc import competition as profiles
from cldc.competition import Competition, read_table, read_toml
from cldc.errors import ConfigurationError

PROJECT_FILE = "cldc.toml"
SANDBOX = "sandbox"


@dataclass(frozen=True, slots=True)
class Options:
    """What a project file, the user's file, the environment and flags can say; None where they say nothing.

    Attributes:
        competition: Name of a profile, or the path of one.
        server: Address of a CodaLab, or ``sandbox``.
        account: User name there; None takes the one last signed in with.
        dataset: The dataset folder.
        name: The submission's name, as the board shows it.
        institution: What the board shows in parentheses.
        link: What the board links to.
        script: A training script in place of the competition's.
        label_book: A label book folder in place of the competition's.
    """

    competition: str | None = None
    server: str | None = None
    account: str | None = None
    dataset: str | None = None
    name: str | None = None
    institution: str | None = None
    link: str | None = None
    script: str | None = None
    label_book: str | None = None


NAMES = tuple(f.name for f in fields(Options))
_PATHS = ("dataset", "script", "label_book")


class Setting(NamedTuple):
    """A value and where it came from, in words fit for a table."""

    value: str | None
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Every option resolved; ``competition`` is read, the rest are as given."""

    competition: Competition
    values: Mapping[str, Setting]

    def __getitem__(self, name: str) -> str | None:
        return self.values[name].value

    @property
    def server(self) -> str:
        """The server chosen, else the profile's; ``sandbox`` stays a word, the command line resolves it."""
        return self.values["server"].value or self.competition.server


def resolve(
    flags: Options, *, folder: Path, user_file: Path, environment: Mapping[str, str] = os.environ
) -> Settings:
    """Settle every option; ``folder`` and its parents are searched for the project file.

    Raises:
        ConfigurationError: A file can't be used, or the competition it names.
    """
    project = find_project_file(folder)
    layers = [
        ("flag", flags),
        ("environment", _from_environment(environment)),
        *(
            (str(file), _from_file(file))
            for file in (project, user_file)
            if file is not None and file.is_file()
        ),
    ]
    values = {name: _first(name, layers) for name in NAMES}
    return Settings(profiles.load(values["competition"].value or profiles.DEFAULT), values)


def find_project_file(folder: Path) -> Path | None:
    """The nearest ``cldc.toml`` in ``folder`` or above it."""
    folder = folder.absolute()
    return next((f for f in (p / PROJECT_FILE for p in (folder, *folder.parents)) if f.is_file()), None)


def _first(name: str, layers: list[tuple[str, Options]]) -> Setting:
    for source, options in layers:
        value: str | None = getattr(options, name)
        if value is not None:
            return Setting(value, f"CLDC_{name.upper()}" if source == "environment" else source)
    return Setting(None, "default")


def _from_environment(environment: Mapping[str, str]) -> Options:
    return Options(**{name: environment.get(f"CLDC_{name.upper()}") or None for name in NAMES})


def _from_file(path: Path) -> Options:
    """A settings file; paths in it are meant from its own folder."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}.", action="Correct or remove it.") from error
    options = read_table(Options, read_toml(text, what=str(path)), what=str(path))
    values = {name: getattr(options, name) for name in NAMES}
    for name in _PATHS:
        if values[name] is not None:
            values[name] = str(path.parent / values[name])
    chosen = values["competition"]
    if chosen and chosen.endswith(".toml"):
        values["competition"] = str(path.parent / chosen)
    return Options(**values)
