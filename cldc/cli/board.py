"""Fetches the organisers' board."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

from cldc import sandbox
from cldc.cli.server import ServerApp
from cldc.codalab import fetch_text
from cldc.errors import CodaLabError, ConfigurationError, Unreachable
from cldc.leaderboard import Leaderboard, parse
from cldc.ledger import BoardResult, Ledger


@overload
def fetch_board(app: ServerApp, *, account: str | None, required: Literal[True]) -> Leaderboard: ...
@overload
def fetch_board(app: ServerApp, *, account: str | None, required: bool) -> Leaderboard | None: ...
def fetch_board(app: ServerApp, *, account: str | None, required: bool) -> Leaderboard | None:
    """The board of the sandbox, or the one that the profile gives the address of.

    Raises:
        ConfigurationError: ``required``, and there is none.
    """
    text, address = None, app.competition.leaderboard
    if app.on_sandbox:
        path = sandbox.leaderboard_file(app.home, app.competition)
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    elif address is not None:
        text = fetch_text(address, observer=app.observer)
    if text is not None:
        board = parse(text, app.competition, account=account)
        remember(app.home, board)
        return board
    if not required:
        return None
    require_board(app)
    raise ConfigurationError(
        "Nothing was scored on the sandbox yet.", action="Run `cldc sandbox score` first."
    )


def require_board(app: ServerApp) -> None:
    """Refuse early if the profile names no board.

    Raises:
        ConfigurationError: The profile names none.
    """
    if app.competition.leaderboard is None and not app.on_sandbox:
        raise ConfigurationError(
            f"The profile {app.competition.name} gives no address of a leaderboard.",
            action='Add `leaderboard = "https://..."`, the address of the scoring daemon\'s JSON, to the profile.',
        )


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
        return fetch_board(app, account=app.credentials.username, required=False)
    except (Unreachable, CodaLabError) as error:
        app.observer.note(f"The leaderboard can't be read, so scores are not known: {error.message}")
        return None
