"""Fetches the organisers' board."""

from __future__ import annotations

from pathlib import Path

from cldc import sandbox
from cldc.cli.server import ServerApp
from cldc.codalab import fetch_text
from cldc.errors import CodaLabError, Unreachable
from cldc.leaderboard import Leaderboard, parse
from cldc.ledger import BoardResult, Ledger


def fetch_board(app: ServerApp, *, account: str | None) -> Leaderboard | None:
    """The board of the sandbox, or the one that the profile gives the address of; None if there is none.

    Args:
        app: The command's services.
        account: Whose rows are marked.
    """
    address = app.competition.leaderboard
    if app.on_sandbox:
        path = sandbox.leaderboard_file(app.home, app.competition)
        if not path.is_file():
            return None
        text = path.read_text(encoding="utf-8")
    elif address is not None:
        text = fetch_text(address, observer=app.observer)
    else:
        return None
    board = parse(text, app.competition, account=account)
    remember(app.home, board)
    return board


def remember(home: Path, board: Leaderboard) -> None:
    """Record what the board shows of your own submissions, because the board has no history."""
    own = [row for row in board.rows if row.mine and row.submission]
    if not own:
        return
    entries = sum(row.shown for row in board.rows)
    with Ledger(home, reading=True) as ledger:
        ledger.remember(
            board.competition,
            (
                BoardResult(row.submission, row.name, board.updated, row.rank, entries, row.score)
                for row in own
            ),
        )


def board_if_any(app: ServerApp) -> Leaderboard | None:
    """The current board with the account's rows marked; None if there is none or it can't be read now."""
    try:
        return fetch_board(app, account=app.credentials.username)
    except (Unreachable, CodaLabError) as error:
        app.observer.note(f"The leaderboard can't be read, so scores are not known: {error.message}")
        return None
