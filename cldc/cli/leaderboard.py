"""`cldc leaderboard`, and the organisers' board for other commands."""

from __future__ import annotations

import click

from cldc import sandbox
from cldc.cli.app import App
from cldc.cli.options import command
from cldc.cli.server_app import ServerApp
from cldc.codalab import fetch_text
from cldc.errors import CldcError, ConfigurationError, CredentialsError, SandboxError
from cldc.leaderboard import Leaderboard, parse
from cldc.ledger import BoardResult, Ledger
from cldc.render.board import board_blocks, board_rows, history_blocks
from cldc.render.formats import to_data

_TOP = 20


@command(ServerApp, formats=("csv",))
@click.option("--all", "everything", is_flag=True, help=f"Every entry, not only the first {_TOP} and yours.")
@click.option(
    "--history", is_flag=True, help="How your ranks have changed, as far as this machine has recorded them."
)
def leaderboard(app: ServerApp, *, everything: bool, history: bool) -> None:
    """Show the competition's leaderboard with your rows marked.

    Every command that reads the board records your ranks, since the board itself has no history. As CSV it is the whole
    board, without the entries that it hides.

    \b
    Examples:
      cldc leaderboard
      cldc leaderboard --all --history
      cldc leaderboard --format csv
    """
    if app.competition.leaderboard is None and not app.on_sandbox:  # before anybody is asked for an account
        raise ConfigurationError(
            f"The profile {app.competition.name} gives no address of a leaderboard.",
            action='Add `leaderboard = "https://..."`, the address of the scoring daemon\'s JSON, to the profile.',
        )
    board = fetch_board(app, account=_account(app))
    if board is None:
        raise ConfigurationError(
            "Nothing was scored on the sandbox yet.", action="Run `cldc sandbox score` first."
        )
    with Ledger(app.home, reading=True) as ledger:
        results = ledger.board_results(app.competition.name)
    app.show(
        {**to_data(board), "history": results},
        *board_blocks(board, limit=None if everything else _TOP),
        *(history_blocks(results) if history else ()),
        rows=board_rows(board),
    )


def _account(app: ServerApp) -> str | None:
    """Find the account's name, if there are credentials, to mark its rows."""
    try:
        return app.credentials.username
    except CredentialsError:
        return None
    except SandboxError:  # it is down; its board can still be read
        known = sandbox.contestant(app.home)
        return app.settings["account"] or (known.name if known else None)


def fetch_board(app: ServerApp, *, account: str | None) -> Leaderboard | None:
    """Read the sandbox's board, or the one at the profile's address; None if there is none.

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
    return parse_and_record(app, text, account=account)


def parse_and_record(app: App, text: str, *, account: str | None) -> Leaderboard:
    """Parse a board, and record what it shows of your own submissions, since it has no history."""
    board = parse(text, app.competition, account=account)
    entries = sum(row.shown for row in board.rows)
    own = [
        BoardResult(row.submission, row.name, board.updated, row.rank, entries, row.score)
        for row in board.rows
        if row.mine and row.submission
    ]
    if own:
        with Ledger(app.home, reading=True) as ledger:
            ledger.remember(board.competition, own)
    return board


def board_if_any(app: ServerApp, *, account: str | None) -> Leaderboard | None:
    """Fetch the board like `fetch_board`; None if it can't be read now."""
    try:
        return fetch_board(app, account=account)
    except CldcError as error:
        app.observer.note(f"The leaderboard can't be read, so scores are not known: {error.message}")
        return None
