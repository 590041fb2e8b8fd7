"""Values of a project's cldc.toml that need approval, and the record of approvals.

A project file comes with a cloned repository, so its author may be anyone. Its values can receive a password,
be run or be read; so an approval holds for one path and for exactly the values, and the contents of the files, that
were shown. direnv and the workspace trust of editors work the same way.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cldc import competition as profiles
from cldc.errors import CldcError, ConfigurationError
from cldc.files import hash_bytes, hash_file, private_folder, replace_atomically, storage_errors

_FOLDER = "approvals"


@dataclass(frozen=True, slots=True)
class Claim:
    """One value that a project file or a profile asks cldc to use.

    Attributes:
        key: The setting, such as ``server``; a profile's values have their own keys, such as ``competition: server``.
        value: The address, the command or the absolute path in full.
        sha256: SHA-256 of the file's content if ``value`` is a file's path; None if it is not, or can't be read.
    """

    key: str
    value: str
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """The approved claims of a file, and the time of the approval."""

    path: Path
    approved: datetime
    claims: tuple[Claim, ...]


class NotApproved(ConfigurationError):
    """A project file's value is needed that was not approved on this machine."""


def file_claim(key: str, path: Path) -> Claim:
    """Build the claim of a file's content; pipes and devices, which may never end, are not read."""
    path = _identity(path)
    try:
        return Claim(key, str(path), hash_file(path) if path.is_file() else None)
    except (OSError, CldcError):
        return Claim(key, str(path))


def profile_claims(path: Path) -> tuple[Claim, ...]:
    """List the claims of a competition's profile, with the profile itself first."""
    own = file_claim("competition", path)
    if own.sha256 is None:
        return (own,)
    try:
        chosen = profiles.load(str(path))
    except ConfigurationError:
        return (own,)  # loading it reports why it can't be used
    side = chosen.organiser
    claims = [
        own,
        Claim("competition: server", chosen.server),
        Claim("competition: run.command", chosen.run.command),
    ]
    if side is not None:
        claims.append(Claim("competition: organiser.evaluate_command", side.evaluate_command))
    claims += [
        file_claim(f"competition: {key}", script) for key, script in profiles.scripts_beside(chosen).items()
    ]
    claims += [file_claim("competition: extends", inherited) for inherited in chosen.files[1:]]
    return tuple(claims)


class Approvals:
    """The approvals of one data folder, each in its own file, so that writers don't conflict."""

    def __init__(self, home: Path) -> None:
        """Store approvals in the data folder ``home``, in a subfolder that the first approval creates."""
        self._folder = home / _FOLDER

    def hold(self, path: Path, claims: Iterable[Claim]) -> bool:
        """Check whether exactly these claims of the file at ``path`` were approved."""
        approval = self.find(path)
        return approval is not None and set(approval.claims) == set(claims)

    def find(self, path: Path) -> Approval | None:
        """Find the approval of the file at ``path``, whatever the file claims now."""
        return _read(self._file(path))

    def approve(self, path: Path, claims: Iterable[Claim]) -> Approval:
        """Record the approval of these claims of the file at ``path``, replacing an earlier one.

        Raises:
            StorageError: It can't be written.
        """
        approval = Approval(_identity(path), datetime.now(UTC), tuple(claims))
        record = {
            "path": str(approval.path),
            "approved": approval.approved.isoformat(),
            "claims": [asdict(claim) for claim in approval.claims],
        }
        private_folder(self._folder)
        replace_atomically(self._file(path), json.dumps(record, indent=2) + "\n")
        return approval

    def revoke(self, path: Path) -> bool:
        """Remove the approval of the file at ``path``, which need not exist; return whether there was one.

        Raises:
            StorageError: It can't be removed.
        """
        record = self._file(path)
        with storage_errors(record):
            try:
                record.unlink()
            except FileNotFoundError:
                return False
        return True

    def all(self) -> tuple[Approval, ...]:
        """List every approval, by path."""
        found = (_read(record) for record in self._folder.glob("*.json"))
        return tuple(sorted((a for a in found if a is not None), key=lambda approval: approval.path))

    def _file(self, path: Path) -> Path:
        return self._folder / f"{hash_bytes(os.fsencode(os.path.normcase(_identity(path))))}.json"


def _identity(path: Path) -> Path:
    """Return the canonical path of a file, whichever way its folder is reached."""
    return Path(os.path.realpath(path.parent), path.name)


def _read(record: Path) -> Approval | None:
    """Read an approval from its file; a damaged one approves nothing, so the user is asked again."""
    try:
        table = json.loads(record.read_text(encoding="utf-8"))
        claims = tuple(Claim(**claim) for claim in table["claims"])
        return Approval(Path(table["path"]), datetime.fromisoformat(table["approved"]), claims)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def foreign_owner(path: Path) -> str | None:
    """Find the owner of a file or of the link to it, other than this user and root; None if there is none.

    As git's ``safe.directory``: with sudo, the calling user counts as this one. Windows reports no owner this way, so only
    approvals protect there.
    """
    if not hasattr(os, "geteuid"):
        return None
    own = {0, os.geteuid()}
    caller = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and caller.isdecimal():
        own.add(int(caller))
    owners = {path.lstat().st_uid, path.stat().st_uid} - own
    return str(min(owners)) if owners else None
