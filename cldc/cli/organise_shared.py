"""Shared by the commands of `cldc organise`: the organiser's account and server, and the published board."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from cldc import credentials, sandbox
from cldc.address import SANDBOX, check
from cldc.cli.server_app import ServerApp
from cldc.competition import Competition
from cldc.files import replace_atomically, storage_errors
from cldc.organise.model import Board, OrganiserTarget
from cldc.render.board import board_page
from cldc.render.html import render_page


def organiser_target(app: ServerApp, *, sign_in: bool = True) -> OrganiserTarget:
    """Return the chosen server, or the profile's, with its organiser.

    Args:
        app: The command.
        sign_in: Whether the account's password is needed.
    """
    settings = app.settings
    return target_at(
        app, settings.server, app.competition.name, sign_in=sign_in, named_by=settings.unapproved_profile
    )


def target_at(
    app: ServerApp, server: str, name: str, *, sign_in: bool = True, named_by: Path | None = None
) -> OrganiserTarget:
    """Build the `organiser_target` for any server and competition; ``named_by`` as for `ServerApp.credentials_for`.

    On the sandbox, by name or by address, it is the sandbox's organiser; elsewhere the account that is signed in.
    """
    up = sandbox.status(app.home)
    if server == SANDBOX or (up is not None and server == up.address):
        return sandbox.organiser_target(app.home, name)
    address = check(server)
    account = (
        app.credentials_for(address, named_by=named_by)
        if sign_in
        else credentials.Credentials("", "", "nobody")
    )
    return OrganiserTarget(address, account, app.home / "organise" / name, sandbox=False)


def published(board: Board, competition: Competition, folder: Path) -> Board:
    """Write the board's page and the daemon's JSON into ``folder``, for everyone to read, and return the board.

    Raises:
        StorageError: They can't be written.
    """
    page, data = folder / "index.html", folder / "leaderboard.json"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_atomically(data, board.data.read_bytes(), mode=0o644)
    text = render_page(board_page(board.leaderboard, title=competition.title))
    replace_atomically(page, text, mode=0o644)
    return replace(board, page=page, data=data)
