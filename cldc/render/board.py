"""The leaderboard as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cldc.render.blocks import Block, Line, Table
from cldc.render.submission import moment
from cldc.render.validation import printable

if TYPE_CHECKING:
    from cldc.leaderboard import Leaderboard, Row


def board_blocks(board: Leaderboard, *, limit: int | None = None) -> Iterator[Block]:
    """The board with one's own rows marked by an arrow; entries that its page hides are named below."""
    shown = [row for row in board.rows if row.shown]
    kept = [row for row in shown if limit is None or row.mine or (row.rank or 0) <= limit]
    headers = ("", "rank", "submission", "institution", "account", board.score, "made")
    yield Table(headers, [_cells(row) for row in kept], numbers=frozenset({"rank", board.score}))
    if len(kept) < len(shown):
        yield Line(f"and {len(shown) - len(kept):,} more; --all shows them", "dim")
    for row in board.rows:
        if row.mine and not row.shown:
            why = (
                f"evaluation {row.state}" if row.score is None else "its description gives the board no name"
            )
            yield Line(f"Not shown: {row.submission or row.name} ({why})", "warning")
    yield Line(f"{len(shown):,} entries, updated {moment(board.updated)}.")


def _cells(row: Row) -> tuple[str, ...]:
    return (
        "->" if row.mine else "",
        str(row.rank),
        printable(row.name),
        printable(row.institution),
        printable(row.account),
        f"{row.score:.4f}",
        moment(row.created),
    )
