"""`cldc sandbox up`, `down`, `status`, `score` and `account`."""

from __future__ import annotations

from pathlib import Path

import click

from cldc import sandbox as local_sandbox
from cldc.cli.app import App
from cldc.cli.leaderboard import parse_and_record
from cldc.cli.options import EXISTING_FOLDER, command, group
from cldc.cli.training import tensorflow
from cldc.competition import SANDBOX
from cldc.environments import ensure_codalab
from cldc.organise.model import OrganiserFiles
from cldc.organise.publishing import bundles_of, remember_files
from cldc.preflight.inputs import builtin_script
from cldc.render.board import board_blocks
from cldc.render.document import Line, Table, moment
from cldc.render.formats import to_data
from cldc.sample import draw_label_book
from cldc.sandbox import Status

_HIDDEN_IMAGES = 200


@group
def sandbox() -> None:
    """A whole CodaLab on this machine, to rehearse on.

    This is CodaLab itself, from its own package: server, bundle manager, worker and scoring daemon, listening on
    127.0.0.1 only. With `--server sandbox` (or CLDC_SERVER=sandbox) the other commands use it, with an ordinary
    account and without a login.

    \b
    Examples:
      cldc sandbox up
      cldc submit my-images --server sandbox
      cldc sandbox score
    """


@command(App, group=sandbox)
@click.option("--script", type=click.Path(), help="The training script to put on it; our own by default.")
@click.option("--label-book", type=EXISTING_FOLDER, help="The label book to put on it; drawn by default.")
@click.option("--test-set", type=EXISTING_FOLDER, help="The hidden test set to score on; drawn by default.")
@click.option("--starting-dataset", type=EXISTING_FOLDER, help="A dataset for contestants to start from.")
def up(app: App, test_set: Path | None, starting_dataset: Path | None) -> None:
    """Start the sandbox with the competition on it; does nothing if it is already up.

    \b
    Examples:
      cldc sandbox up
      cldc sandbox up --test-set hidden-images
    """
    files = _organiser_files(app, test_set, starting_dataset)
    # Refuse wrong files before anything is created or started.
    bundles_of(app.competition, files, local_sandbox.folder_of(app.home, app.competition.name))
    status = local_sandbox.up(
        app.home,
        app.competition,
        files,
        codalab_python=ensure_codalab(app.home, app.observer).python,
        tensorflow_bin=tensorflow(app).bin,
        observer=app.observer,
    )
    _show(app, status)


def _organiser_files(app: App, test_set: Path | None, starting_dataset: Path | None) -> OrganiserFiles:
    """Return the organiser's files: those given now, those of the last `up`, or our own with drawn images."""
    competition, settings = app.competition, app.settings
    folder = app.home / "seeds" / competition.name
    given = {
        "script": settings["script"],
        "label_book": settings["label_book"],
        "test_set": test_set,
        "starting_dataset": starting_dataset,
    }
    chosen = remember_files(folder / "given.json", given)

    def drawn(name: str, **how: int) -> Path:
        if not (folder / name).exists():
            draw_label_book(folder / name, competition, observer=app.observer, **how)
        return folder / name

    return OrganiserFiles(
        script=chosen.get("script") or builtin_script(competition).path,
        label_book=chosen.get("label_book") or drawn("label_book"),
        test_set=chosen.get("test_set") or drawn("test_set", images=_HIDDEN_IMAGES, seed=2),
        starting_dataset=chosen.get("starting_dataset"),
    )


@command(App, group=sandbox, competition=False)
def down(app: App) -> None:
    """Stop the sandbox, and keep its state for the next time.

    \b
    Examples:
      cldc sandbox down
    """
    was_up = local_sandbox.down(app.home, observer=app.observer)
    text = "The sandbox is down." if was_up else "The sandbox was not up."
    app.show({"was_up": was_up}, Line(text, "good"))


@command(App, group=sandbox, competition=False)
def status(app: App) -> None:
    """Show whether the sandbox is up, and its address.

    \b
    Examples:
      cldc sandbox status
    """
    _show(app, local_sandbox.status(app.home))


def _show(app: App, status: Status | None) -> None:
    if status is None:
        app.show({"running": False}, Line("The sandbox is not up."), Line("Next: cldc sandbox up"))
        return
    rows = [
        ("address", status.address),
        ("competitions", ", ".join(status.competitions)),
        ("CodaLab", f"{status.codalab} on Python {status.python}"),
        ("up since", moment(status.started)),
        ("folder", str(status.folder)),
    ]
    app.show(
        {"running": True, **to_data(status)},
        Line("The sandbox is up.", "good"),
        Table(("", ""), rows),
        Line(f"Next: {_submit(app)}, then cldc sandbox score"),
    )


def _submit(app: App) -> str:
    server = app.settings.offered("server") or app.competition.server
    return app.command_for("cldc submit") + ("" if server == SANDBOX else " --server sandbox")


@command(App, group=sandbox)
def score(app: App) -> None:
    """Score submissions with CodaLab's own daemon, and show the board.

    \b
    Examples:
      cldc sandbox score
    """
    local_sandbox.require_up(app.home)
    codalab = ensure_codalab(app.home, app.observer)
    path = local_sandbox.score(
        app.home, app.competition, codalab_python=codalab.python, observer=app.observer
    )
    contestant = local_sandbox.contestant(app.home)
    text = path.read_text(encoding="utf-8")
    board = parse_and_record(app, text, account=contestant.name if contestant else None)
    app.show(board, *board_blocks(board))


@group
def account() -> None:
    """Accounts on the sandbox, to show a class how several people compete.

    \b
    Examples:
      cldc sandbox account add ann bob
      cldc submit my-images --server sandbox --account ann
    """


@command(App, group=account, competition=False)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def add(app: App, *, names: tuple[str, ...]) -> None:
    """Create accounts; `--account NAME` then uses one, without a login.

    \b
    Examples:
      cldc sandbox account add ann bob
    """
    local_sandbox.require_up(app.home)
    before = {known.name for known in local_sandbox.list_accounts(app.home)}
    added = [local_sandbox.add_account(app.home, name) for name in dict.fromkeys(names)]
    table = Table(("account", ""), [(a.name, "exists" if a.name in before else "created") for a in added])
    following = Line(f"Next: {_submit(app)} --account {names[0]}")
    data = [{"name": account.name, "created": account.name not in before} for account in added]
    app.show({"accounts": data}, table, following)


@command(App, group=account, name="list", competition=False)
def list_accounts(app: App) -> None:
    """List the accounts.

    \b
    Examples:
      cldc sandbox account list
    """
    roles = {
        known.name: known.role if known.role in ("root", "organiser") else "contestant"
        for known in local_sandbox.list_accounts(app.home)
    }
    data = [{"name": name, "role": role} for name, role in roles.items()]
    app.show({"accounts": data}, Table(("account", "role"), [*roles.items()]))


sandbox.add_command(account)
