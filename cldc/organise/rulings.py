"""The organiser's rulings on submissions: the deadline, its extensions, and rejections.

A late or rejected submission is evaluated like any other and kept off the board, with the reason.
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
from cldc.files import read_json, replace_atomically
from cldc.leaderboard import Leaderboard, Row, evaluated_submission
from cldc.organise.model import BOARD, ROSTER
from cldc.organise.roster import read_roster

LATE = "it was tagged after the deadline"
_REJECTIONS, _SIGHTINGS = "rejected.json", "sightings.json"
_REJECTED = "the organisers rejected it: "


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a competition closes for each account.

    Attributes:
        closes: The time until which a submission counts, the grace period included; None for no deadline.
        extensions: The extension of each account that has one.
    """

    closes: datetime | None
    extensions: Mapping[str, timedelta]

    def of(self, account: str) -> datetime | None:
        """Return the account's deadline with its extension."""
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
    """Return the competition's deadline, with the extensions of the roster in its folder.

    Raises:
        ConfigurationError: The roster can't be used.
        StorageError: The roster can't be read.
    """
    path = folder / ROSTER
    students = read_roster(path) if path.is_file() else ()
    extensions = {student.account: student.extension for student in students}
    return Deadline(competition.last_moment, extensions)


def find_row(board: Leaderboard, wanted: str) -> Row:
    """Find the row of the submission ``wanted``: its name, ACCOUNT/NAME or its uuid.

    Raises:
        UsageError: No submission is called that, or several are.
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


def rejections(folder: Path) -> dict[str, str]:
    """Return the reason of each rejected submission, by its uuid."""
    return dict(read_json(folder / _REJECTIONS) or {})


def reject(folder: Path, uuid: str, reason: str | None) -> None:
    """Reject a submission for a reason, or withdraw the rejection if the reason is None.

    Raises:
        StorageError: It can't be recorded.
    """
    known = rejections(folder)
    known.pop(uuid, None)
    if reason is not None:
        known[uuid] = reason
    replace_atomically(folder / _REJECTIONS, json.dumps(known, indent=2))


def sightings(folder: Path) -> dict[str, Sighting]:
    """Return when the scoring daemon first found each submission."""
    known = read_json(folder / _SIGHTINGS) or {"submissions": {}}
    return {
        uuid: Sighting(
            after=datetime.fromisoformat(entry["after"]) if entry["after"] else None,
            seen=datetime.fromisoformat(entry["seen"]),
        )
        for uuid, entry in known["submissions"].items()
    }


def record_pass(folder: Path, tagged: Iterable[str], started: datetime) -> None:
    """Record which submissions were tagged in a pass that started at ``started``, by the server's clock.

    Raises:
        StorageError: It can't be recorded.
    """
    known = read_json(folder / _SIGHTINGS) or {"last_pass": None, "submissions": {}}
    time = started.isoformat(timespec="seconds")
    for uuid in tagged:
        known["submissions"].setdefault(uuid, {"after": known["last_pass"], "seen": time})
    known["last_pass"] = time
    replace_atomically(folder / _SIGHTINGS, json.dumps(known, indent=2))


def is_late(created: datetime, sighting: Sighting | None, closes: datetime | None) -> bool:
    """Check whether a submission was certainly tagged after the deadline; the student gets the benefit of the doubt.

    Args:
        created: When the tagged bundle was created, by the server's clock.
        sighting: When the daemon first found it.
        closes: The account's deadline.
    """
    if closes is None:
        return False
    not_before = sighting.after if sighting and sighting.after else created
    return max(created, not_before) > closes


def rule_on(text: str, folder: Path, closing: Deadline) -> str:
    """Add to each entry of the daemon's board the reason, if any, for which it must not be shown.

    The daemon does not know the owner of a bundle that is private or removed; this uses the previous board's.
    """
    board: dict[str, Any] = json.loads(text)
    before = _entries(read_json(folder / BOARD) or {"leaderboard": []})
    rejected, seen = rejections(folder), sightings(folder)
    for uuid, entry in _entries(board).items():
        if not entry["submission"]["user_name"] and uuid in before:
            entry["submission"] = {**before[uuid]["submission"], "public": None}
            entry["bundle"]["metadata"]["description"] = before[uuid]["bundle"]["metadata"]["description"]
    for entry in board["leaderboard"]:
        uuid = evaluated_submission(entry["bundle"]["metadata"]["description"])
        account, made = entry["submission"]["user_name"], entry["submission"]["created"]
        if uuid in rejected:
            entry["hidden"] = _REJECTED + rejected[uuid]
        elif account and is_late(datetime.fromtimestamp(made, UTC), seen.get(uuid), closing.of(account)):
            entry["hidden"] = LATE
    return json.dumps(board, indent=2)


def _entries(board: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return a board's entries by the uuid of their evaluation, and by that of their submission."""
    found = {}
    for entry in board["leaderboard"]:
        found[entry["bundle"]["id"]] = entry
        if uuid := evaluated_submission(entry["bundle"]["metadata"]["description"]):
            found[uuid] = entry
    return found
