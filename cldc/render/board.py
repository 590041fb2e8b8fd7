"""The leaderboard as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cldc.leaderboard import BoardResult, Leaderboard, Row
from cldc.organise.model import Skipped
from cldc.render.blocks import Block, Line, Table
from cldc.render.submission import moment
from cldc.text import plural


def board_blocks(board: Leaderboard, *, limit: int | None = None) -> Iterator[Block]:
    """The board with one's own rows marked by an arrow; entries that its page hides are named below."""
    shown = [row for row in board.rows if row.shown]
    kept = [row for at, row in enumerate(shown) if limit is None or row.mine or at < limit]
    headers = ("", "rank", "submission", "institution", "account", board.score, "made")
    numbers = frozenset({"rank", board.score})
    yield Table(headers, [_cells(row) for row in kept], numbers=numbers, optional=("made", "institution"))
    if len(kept) < len(shown):
        yield Line(f"and {len(shown) - len(kept):,} more; --all shows them", "dim")
    for row in board.rows:
        if row.mine and not row.shown:
            yield Line(f"Not shown: {row.submission or row.name} ({row.hidden})", "warning")
    if board.malformed:
        malformed = plural(board.malformed, "malformed entry", "malformed entries")
        yield Line(f"Left out: {malformed}.", "warning")
    yield Line(
        f"{len(shown):,} {'entry' if len(shown) == 1 else 'entries'}, updated {moment(board.updated)}."
    )


def board_rows(board: Leaderboard) -> Iterator[Sequence[object]]:
    """What the board shows for a spreadsheet, all of it, with a row of headers."""
    yield ("rank", "name", "institution", "account", "score", "created", "link", "submission", "mine")
    for row in board.rows:
        if row.shown:
            facts = (row.rank, row.name, row.institution, row.account, row.score)
            yield (*facts, row.created.isoformat(), row.link, row.submission, row.mine)


def history_blocks(results: Sequence[BoardResult]) -> Iterator[Block]:
    """One's own ranks over time, as boards were read."""
    rows = [
        (
            result.name,
            moment(result.updated),
            f"{result.rank} of {result.entries}" if result.rank is not None else "not shown",
            f"{result.score:.4f}" if result.score is not None else "-",
        )
        for result in results
    ]
    if rows:
        headers = ("submission", "board of", "rank", "score")
        yield Table(headers, rows, title="Your ranks over time", numbers=frozenset({"score"}))


def left_out_blocks(board: Leaderboard, left_out: Sequence[Skipped]) -> Iterator[Block]:
    """For the organiser: tagged bundles of any account that the board does not show, and why."""
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
