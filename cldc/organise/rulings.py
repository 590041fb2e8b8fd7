"""What an organiser decides about submissions: the deadline and who may take longer, and what is rejected.

A late or rejected submission is evaluated like any other and kept off the board, which says why.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cldc.competition import Competition
from cldc.errors import UsageError
from cldc.files import replace_atomically
from cldc.leaderboard import Leaderboard, Row, evaluated_submission
from cldc.organise.model import read_json
from cldc.organise.roster import read_roster, roster_file

LATE = "it was tagged after the deadline"
_REJECTED = "the organisers rejected it: "


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a competition closes for each account.

    Attributes:
        closes: Until when a submission counts, the grace period included; None for no deadline.
        extensions: How much longer an account has.
    """

    closes: datetime | None
    extensions: Mapping[str, timedelta]

    def of(self, account: str) -> datetime | None:
        """The account's own deadline."""
        return self.closes + self.extensions.get(account, timedelta()) if self.closes else None


@dataclass(frozen=True, slots=True)
class Sighting:
    """Between which two passes of the scoring daemon a submission was tagged, by the server's clock.

    Attributes:
        after: The start of the last pass that did not find the tag; None if no pass came before.
        seen: The start of the first pass that found it.
    """

    after: datetime | None
    seen: datetime


def deadline(competition: Competition, folder: Path) -> Deadline:
    """The deadline of a competition whose organiser keeps ``folder``, with the roster's extensions.

    Raises:
        ConfigurationError: The roster can't be used.
        StorageError: The roster can't be read.
    """
    path = roster_file(folder)
    students = read_roster(path) if path.is_file() else ()
    extensions = {student.account: student.extension for student in students}
    return Deadline(competition.last_moment, extensions)


def find_row(board: Leaderboard, wanted: str) -> Row:
    """The row of a submission: its name, ACCOUNT/NAME or its uuid.

    Raises:
        UsageError: None has that name, or several have.
    """
    account, _, name = wanted.rpartition("/")
    found = [
        row
        for row in board.rows
        if row.submission == wanted or (row.name == name and account in ("", row.account))
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"The board has no submission {wanted!r}.", action="`cldc organise score` shows the board."
        )
    several = ", ".join(f"{row.account}/{row.name} ({row.submission[:12]}...)" for row in found)
    raise UsageError(
        f"{len(found)} submissions are called {wanted!r}: {several}.",
        action="Give its uuid, or ACCOUNT/NAME.",
    )


def _rejections_file(folder: Path) -> Path:
    return folder / "rejected.json"


def _sightings_file(folder: Path) -> Path:
    return folder / "sightings.json"


def rejections(folder: Path) -> dict[str, str]:
    """The reason of each rejected submission, by its uuid."""
    return dict(read_json(_rejections_file(folder)) or {})


def reject(folder: Path, uuid: str, reason: str | None) -> None:
    """Reject a submission with a reason, or take the rejection back with None.

    Raises:
        StorageError: It can't be recorded.
    """
    known = rejections(folder)
    known.pop(uuid, None)
    if reason is not None:
        known[uuid] = reason
    replace_atomically(_rejections_file(folder), json.dumps(known, indent=2))


def sightings(folder: Path) -> dict[str, Sighting]:
    """When each submission was first found by the scoring daemon."""
    known = read_json(_sightings_file(folder)) or {}
    return {
        uuid: Sighting(_moment(entry["after"]), _moment(entry["seen"]) or datetime.max.replace(tzinfo=UTC))
        for uuid, entry in known.get("submissions", {}).items()
    }


def record_pass(folder: Path, tagged: Iterable[str], started: datetime) -> None:
    """Record which submissions a pass found that started at ``started``, by the server's clock.

    Raises:
        StorageError: It can't be recorded.
    """
    known = read_json(_sightings_file(folder)) or {"last_pass": None, "submissions": {}}
    for uuid in tagged:
        known["submissions"].setdefault(
            uuid, {"after": known["last_pass"], "seen": started.isoformat(timespec="seconds")}
        )
    known["last_pass"] = started.isoformat(timespec="seconds")
    replace_atomically(_sightings_file(folder), json.dumps(known, indent=2))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def is_late(created: datetime, sighting: Sighting | None, closes: datetime | None) -> bool:
    """Whether a submission was certainly tagged after the deadline; doubt counts for the student.

    Args:
        created: When the tagged bundle was created, by the server's clock.
        sighting: When the daemon first found it.
        closes: The account's own deadline.
    """
    if closes is None:
        return False
    not_before = sighting.after if sighting and sighting.after else created
    return max(created, not_before) > closes


def rule_on(text: str, folder: Path, closing: Deadline) -> str:
    """The daemon's board, with the reason at each entry that the board must not show."""
    board: dict[str, Any] = json.loads(text)
    rejected, seen = rejections(folder), sightings(folder)
    for entry in board["leaderboard"]:
        uuid = evaluated_submission(entry["bundle"]["metadata"]["description"])
        reason = _REJECTED + rejected[uuid] if uuid in rejected else ""
        made, account = entry["submission"].get("created"), entry["submission"].get("user_name") or ""
        if made is not None and is_late(
            datetime.fromtimestamp(made, UTC), seen.get(uuid), closing.of(account)
        ):
            reason = reason or LATE
        if reason:
            entry["hidden"] = reason
    return json.dumps(board, indent=2)
