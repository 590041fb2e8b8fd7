"""Settings and their sources: flag, environment, project file, user file, the competition's profile."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from cldc import competition as profiles
from cldc.competition import SANDBOX, Competition
from cldc.competition.typed_toml import read_table, read_text, read_toml, refused
from cldc.errors import ConfigurationError
from cldc.trust import Approval, Approvals, Claim, NotApproved, file_claim, foreign_owner, profile_claims

PROJECT_FILE = "cldc.toml"


@dataclass(frozen=True, slots=True)
class Options:
    """Settings in a project file, the user's file, the environment or flags; None if not set.

    Attributes:
        competition: Name of a profile, or the path of one.
        server: Address of a CodaLab, or ``sandbox``.
        account: User name there; None for the last one that signed in.
        dataset: The dataset folder.
        name: The submission's name, as the board shows it.
        institution: The institution, which the board shows in parentheses.
        link: The address that the board links to.
        script: A training script instead of the competition's.
        label_book: A label book folder instead of the competition's.
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
    """A value and its source, in words for a table."""

    value: str | None
    source: str


@dataclass(frozen=True)
class ProjectFile:
    """A project's ``cldc.toml``, its paths made absolute."""

    path: Path
    options: Options

    @functools.cached_property
    def claims(self) -> tuple[Claim, ...]:
        """Its values that take effect only after approval."""
        return tuple(claim for name in NAMES for claim in self._claims_of(name))

    def needs_approval(self, name: str) -> bool:
        """Check whether its value of a setting takes effect only after approval."""
        value: str | None = getattr(self.options, name)
        if value is None:
            return False
        if name == "server":
            return value != SANDBOX
        if name == "competition":
            return value not in profiles.builtin_profiles() and os.path.isfile(value)  # noqa: PTH113
        if name == "dataset":
            # A submission publishes it, and a project must not publish files outside its folder.
            return not _real(value).is_relative_to(_real(self.path.parent))
        return name in ("script", "label_book")

    def _claims_of(self, name: str) -> Iterable[Claim]:
        if not self.needs_approval(name):
            return ()
        value = getattr(self.options, name)
        if name == "competition":
            return profile_claims(Path(value))
        if name == "script":
            return (file_claim(name, Path(value)),)
        # Links are resolved, since their target is what is read.
        return (Claim(name, value if name == "server" else str(_real(value))),)


Ask = Callable[[ProjectFile, Approval | None], None]
"""Asks a person to approve a project file, given what was approved of it before; returns once it is approved."""


def refuse(project: ProjectFile, previous: Approval | None) -> None:
    """Refuse an unapproved value when no prompt is possible.

    Raises:
        NotApproved: Always.
    """
    shown = ", ".join(f"{claim.key} = {claim.value!r}" for claim in project.claims if ":" not in claim.key)
    why = "has changed since you approved it" if previous else "is not approved on this machine"
    raise NotApproved(
        f"{project.path} sets {shown}, which {why}.",
        action="Look at it and approve it with `cldc trust`, or set these values yourself, by option or CLDC_ variable.",
    )


@dataclass(frozen=True)
class Settings:
    """All resolved options; unapproved values of a project file are never returned.

    Attributes:
        values: Each setting with its source, approved or not: for display only.
        project: The project file in effect.
        approvals: The approvals on this machine.
        ask: Called when an unapproved value is needed; returns once it is approved.
        ignored: Project files that belong to other users, each with its owner.
    """

    values: Mapping[str, Setting]
    project: ProjectFile | None
    approvals: Approvals
    ask: Ask = refuse
    ignored: tuple[tuple[Path, str], ...] = ()

    def __getitem__(self, name: str) -> str | None:
        """Return the value of a setting.

        Raises:
            NotApproved: It needs an approval, and no prompt is possible.
        """
        if self.project is not None and self.withheld(name):
            self.ask(self.project, self.approvals.find(self.project.path))
        return self.values[name].value

    def offered(self, name: str) -> str | None:
        """Return the value of an optional setting; None if it needs an approval."""
        return None if self.withheld(name) else self.values[name].value

    def withheld(self, name: str) -> bool:
        """Check whether the value comes from the project file and needs an approval."""
        project = self.project
        return (
            project is not None
            and self.values[name].source == str(project.path)
            and project.needs_approval(name)
            and not self.approvals.hold(project.path, project.claims)
        )

    @functools.cached_property
    def competition(self) -> Competition:
        """The chosen competition.

        Raises:
            ConfigurationError: Its profile can't be used, or needs an approval.
        """
        chosen = self["competition"]
        if chosen is None:
            return profiles.load()
        if chosen in profiles.builtin_profiles() or os.path.isfile(chosen):  # noqa: PTH113 - as in `find_project_file`
            return profiles.load(chosen)
        with self.naming_source_of("competition"):
            return profiles.load(chosen)

    @contextlib.contextmanager
    def naming_source_of(self, name: str) -> Iterator[None]:
        """Add where a setting was set to an error about its value, unless that is the command line."""
        try:
            yield
        except ConfigurationError as error:
            source = self.values[name].source
            if os.path.isfile(source):  # noqa: PTH113
                for number, line in enumerate(read_text(Path(source)).splitlines(), 1):
                    if re.match(rf"\s*[\"']?{name}[\"']?\s*=", line):
                        source = f"line {number} of {source}"
                        break
            if source not in ("flag", "default"):
                error.message += f" It is set in {source}."
            raise

    @property
    def server(self) -> str:
        """The chosen server, else the profile's; ``sandbox`` is kept for the command line to resolve."""
        chosen = self["server"]
        return self.competition.server if chosen is None else chosen

    @property
    def unapproved_profile(self) -> Path | None:
        """The profile that alone determines the server; None if the user named or approved that server.

        Choosing a profile accepts its rules, but not that its author may receive a password.
        """
        chosen, source = self.values["competition"]
        if self["server"] is not None or self.competition.folder is None or chosen is None:
            return None
        if self.project is not None and source == str(self.project.path):
            return None  # it would not have been loaded without an approval
        path = Path(chosen).absolute()
        return None if self.approvals.hold(path, profile_claims(path)) else path


def resolve(
    flags: Options,
    *,
    folder: Path,
    user_file: Path,
    approvals: Approvals,
    environment: Mapping[str, str] = os.environ,
    ask: Ask = refuse,
) -> Settings:
    """Resolve every option; ``folder`` and its parents are searched for the project file.

    Raises:
        ConfigurationError: A file can't be used.
    """
    project, ignored = find_project_file(folder, user_file=user_file, approvals=approvals)
    variables = {name: environment.get(f"CLDC_{name.upper()}") or None for name in NAMES}
    layers = [("flag", flags), ("environment", Options(**variables))]
    if project is not None:
        layers.append((str(project.path), project.options))
    if user_file.is_file():
        layers.append((str(user_file), read_file(user_file)))
    values = {name: _first(name, layers) for name in NAMES}
    return Settings(values, project, approvals, ask, ignored)


def find_project_file(
    folder: Path, *, user_file: Path, approvals: Approvals
) -> tuple[ProjectFile | None, tuple[tuple[Path, str], ...]]:
    """Find the nearest ``cldc.toml`` in ``folder`` or above it, and skipped ones of other users.

    The user's own file is not a project file.

    Raises:
        ConfigurationError: It can't be used.
    """
    ignored: list[tuple[Path, str]] = []
    folder = folder.absolute()
    for path in (parent / PROJECT_FILE for parent in (folder, *folder.parents)):
        if not os.path.isfile(path) or path == user_file:  # noqa: PTH113 - an unreadable folder counts as having none
            continue
        owner = foreign_owner(path)
        # Another user's file is read only if there is an approval, and used only in its approved state.
        if owner is None or (approvals.find(path) and approvals.hold(path, read_project(path).claims)):
            return read_project(path), tuple(ignored)
        ignored.append((path, owner))
    return None, tuple(ignored)


def read_project(path: Path) -> ProjectFile:
    """Read a project file.

    Raises:
        ConfigurationError: It can't be used.
    """
    return ProjectFile(path, read_file(path))


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def _first(name: str, layers: list[tuple[str, Options]]) -> Setting:
    for source, options in layers:
        value: str | None = getattr(options, name)
        if value is not None:
            return Setting(value, f"CLDC_{name.upper()}" if source == "environment" else source)
    return Setting(None, "default")


def read_file(path: Path) -> Options:
    """Read a settings file; its paths are relative to its own folder.

    Raises:
        ConfigurationError: It can't be used, or a competition or a server in it is empty.
    """
    options = read_table(Options, read_toml(read_text(path), what=str(path)), what=str(path))
    values = {name: getattr(options, name) for name in NAMES}
    for name in ("competition", "server"):
        if values[name] == "":
            raise refused(str(path), f"{name!r} is empty; name one, or leave the line out")
    for name in _PATHS:
        if values[name] is not None:
            values[name] = str(path.parent / values[name])
    chosen = values["competition"]
    if chosen is not None and chosen not in profiles.builtin_profiles():
        values["competition"] = str(path.parent / chosen)
    return Options(**values)
