"""The leaderboard as text and as a page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from cldc.leaderboard import BoardResult, Leaderboard, Row
from cldc.organise.model import Skipped
from cldc.render.document import Block, Line, Page, Rows, Table, cell, moment
from cldc.text import plural


def board_blocks(board: Leaderboard, *, limit: int | None = None) -> Iterator[Block]:
    """Show the board with one's own rows marked by an arrow; entries that its page hides are named below."""
    shown = [row for row in board.rows if row.shown]
    kept = [row for at, row in enumerate(shown) if limit is None or row.mine or at < limit]
    headers = ("", "rank", "submission", "institution", "account", board.score, "created")
    numbers = ("rank", board.score)
    yield Table(headers, [_cells(row) for row in kept], numbers=numbers, optional=("created", "institution"))
    if len(kept) < len(shown):
        yield Line(f"and {len(shown) - len(kept):,} more; --all shows them", "dim")
    for row in board.rows:
        if row.mine and not row.shown:
            yield Line(f"Not shown: {row.submission or row.name} ({row.hidden})", "warning")
    if board.malformed:
        malformed = plural(board.malformed, "malformed entry", "malformed entries")
        yield Line(f"Left out: {malformed}.", "warning")
    yield Line(f"{plural(len(shown), 'entry', 'entries')}, updated {moment(board.updated)}.")


def board_rows(board: Leaderboard) -> Rows:
    """List the board for a spreadsheet, without the entries that it hides."""
    columns = ("rank", "name", "institution", "account", "score", "created", "link", "submission", "mine")
    return Rows(columns, [row for row in board.rows if row.shown])


def history_blocks(results: Sequence[BoardResult]) -> Iterator[Block]:
    """Show the account's ranks over time, as far as boards were read."""
    rows = [
        (
            result.name,
            moment(result.updated),
            f"{result.rank} of {result.entries}" if result.rank is not None else "not shown",
            cell(result.score, ".4f") or "-",
        )
        for result in results
    ]
    if rows:
        headers = ("submission", "board of", "rank", "score")
        yield Table(headers, rows, title="Your ranks over time", numbers=("score",))


def left_out_blocks(board: Leaderboard, left_out: Sequence[Skipped]) -> Iterator[Block]:
    """List, for the organiser, tagged bundles that the board does not show, and why."""
    rows = [
        (row.account or "?", row.evaluation, row.submission, row.hidden)
        for row in board.rows
        if not row.shown
    ]
    rows += [(entry.account, entry.name, entry.submission, entry.reason) for entry in left_out]
    if rows:
        yield Table(("account", "bundle", "submission", "why"), rows, title="Not on the board")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        "->" if row.mine else "",
        str(row.rank),
        row.name,
        row.institution,
        row.account,
        f"{row.score:.4f}",
        moment(row.created),
    )


# The curve's own units; it is scaled to the available width.
_WIDTH, _HEIGHT, _MARGIN = 400.0, 80.0, 6.0


def board_page(board: Leaderboard, *, title: str, by_student: bool = False) -> Page:
    """Build the board's web page without the entries that it hides; unless ``by_student``, it updates itself.

    Args:
        board: The board.
        title: The competition's name.
        by_student: Whether each entry is one student's only one, and there is no ``leaderboard.json`` beside the page.
    """
    return Page("leaderboard.html", lambda: _values(board, title, by_student), script="board.js")


def _values(board: Leaderboard, title: str, by_student: bool) -> dict[str, Any]:
    rows = [row for row in board.rows if row.shown]
    accounts = list(dict.fromkeys(row.account for row in rows))
    records = [] if by_student else _records(rows)
    return {
        "title": title,
        "by_student": by_student,
        "score": board.score,
        "updated": board.updated,
        "rows": rows,
        "anchors": {account: f"contestant-{number}" for number, account in enumerate(accounts, 1)},
        "links": {row.submission: _web_address(row.link) for row in rows},
        "histories": [
            _history(account, [row for row in rows if row.account == account]) for account in accounts
        ],
        "utc": _utc,
        "bests": {next(place for place, row in enumerate(rows) if row.account == name) for name in accounts},
        "records": records,
        "chart": _chart(rows, records),
    }


def _utc(time: datetime) -> datetime:
    """Convert a time to UTC, the same for every reader."""
    return time.astimezone(UTC)


def _web_address(link: str) -> str:
    """Return the link if it is a web address, or an empty text."""
    parts = link.split()
    try:
        address = urlsplit(parts[0] if len(parts) == 1 else "")
        safe = address.scheme in ("http", "https") and bool(address.netloc)
    except ValueError:
        safe = False
    return parts[0] if safe else ""


def _history(account: str, rows: Sequence[Row]) -> dict[str, Any]:
    """List what one contestant submitted, oldest first, for the page."""
    own = sorted(rows, key=lambda row: row.created)
    best = max(own, key=lambda row: row.score or 0.0)
    scores = [row.score or 0.0 for row in own]
    return {"account": account, "rows": own, "best": best, "points": _points(scores), "scores": scores}


def _points(scores: Sequence[float]) -> list[tuple[float, float]]:
    """Compute the position of each score in the curve's own units."""
    if len(scores) < 2:
        return []
    low, high = min(scores), max(scores)
    step = (_WIDTH - 2 * _MARGIN) / (len(scores) - 1)
    return [
        (
            round(_MARGIN + place * step, 1),
            round(_MARGIN + (_HEIGHT - 2 * _MARGIN) * (1 - _share(score, low, high)), 1),
        )
        for place, score in enumerate(scores)
    ]


def _share(value: float, low: float, high: float) -> float:
    """Map ``value`` from the range ``low`` to ``high`` to 0 to 1; 0.5 if these are equal."""
    width = high - low
    return (value - low) / width if 0 < width < math.inf else 0.5


def _records(rows: Sequence[Row]) -> list[Row]:
    """Select the entries that set a new best score, oldest first."""
    records: list[Row] = []
    for row in sorted(rows, key=lambda row: row.created):
        if not records or (row.score or 0.0) > (records[-1].score or 0.0):
            records.append(row)
    return records


def _chart(rows: Sequence[Row], records: Sequence[Row]) -> dict[str, Any] | None:
    """Compute the curve of the best score, in percent from the left and the top; None if all have the same time."""
    times = [_utc(row.created) for row in rows]
    if not records or min(times) == max(times):
        return None
    scores = [row.score or 0.0 for row in rows]
    low, high = min(scores), max(scores)
    first, last = (moment.timestamp() for moment in (min(times), max(times)))
    written = "%H:%M UTC" if min(times).date() == max(times).date() else "%Y-%m-%d"

    def place(row: Row) -> tuple[float, float]:
        across = _share(row.created.timestamp(), first, last)
        return round(100 * across, 2), round(100 - 100 * _share(row.score or 0.0, low, high), 2)

    return {
        "first": min(times).strftime(written),
        "last": max(times).strftime(written),
        "lines": [(0, high), (50, low / 2 + high / 2), (100, low)] if high > low else [(50, high)],
        "entries": [place(row) for row in rows],
        "records": [place(row) for row in records],
    }
