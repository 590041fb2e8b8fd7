"""`cldc organise score`, `rescore` and `publish`, and the group of all its commands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from cldc.bundles.server_account import ServerClock
from cldc.cli.options import (
    SECONDS_OF_A_YEAR,
    TARGET_FOLDER,
    YES,
    NumberRange,
    command,
    group,
    refuse_combined,
)
from cldc.cli.organise_backup import archive, backup, restore
from cldc.cli.organise_class import accounts, grades, reject
from cldc.cli.organise_grade import grade
from cldc.cli.organise_init import init
from cldc.cli.organise_shared import organiser_target, published
from cldc.cli.server_app import ServerApp
from cldc.errors import UsageError
from cldc.organise import scoring
from cldc.organise.model import Board, NotRepeated, Rescored
from cldc.organise.rulings import find_row
from cldc.render.board import board_blocks, left_out_blocks
from cldc.render.document import Block, Line, Table, cell
from cldc.text import plural


@group
def organise() -> None:
    """Run the competition for a class, with or without a CodaLab.

    `init` sets it up and writes the class's profile, `score` runs CodaLab's own scoring daemon, `publish` writes the
    leaderboard's page, `grades` lists the class, `archive` keeps it all after the term. They use the organiser's account; on the
    sandbox that is the sandbox's organiser. `grade` needs no server: it takes what students handed in as zips or folders.

    \b
    Examples:
      cldc organise init
      cldc organise score --competition class.toml
    """


organise.add_command(init)


@command(ServerApp, group=organise)
@click.option("--watch", is_flag=True, help="Run passes until it is interrupted.")
@click.option("--once", is_flag=True, help="Run one pass, without waiting for evaluations; for cron.")
@click.option(
    "--every", type=NumberRange(1, SECONDS_OF_A_YEAR), help="Seconds between two passes of --watch (60)."
)
@click.option("--publish", "target", type=TARGET_FOLDER, metavar="DIR", help="Publish there after each pass.")
@click.option(
    "--daemon-quota", is_flag=True, help="Count the quota between passes only, as CodaLab's daemon does."
)
def score(
    app: ServerApp, *, watch: bool, once: bool, every: float | None, target: Path | None, daemon_quota: bool
) -> None:
    """Score submissions with CodaLab's own daemon, and show the board.

    Waits until everything within the quota is evaluated. Lists tagged submissions that are not evaluated, with the reason.

    \b
    Examples:
      cldc organise score --competition class.toml
      cldc organise score --watch --publish board --competition class.toml
    """
    refuse_combined({"--watch": watch, "--once": once})
    competition, where = app.competition, organiser_target(app)

    def publish_pass() -> None:
        if target is not None:
            published(scoring.read_board(competition, where.folder), competition, target)

    scoring.score(
        competition,
        where,
        python=app.codalab_python(),
        mode="watch" if watch else "once" if once else "finish",
        every_seconds=every or scoring.PASS_SECONDS,
        strict_quota=not daemon_quota,
        on_pass=publish_pass,
        clock=ServerClock(app.rest),
        observer=app.observer,
    )
    board = scoring.read_board(competition, where.folder)
    if target is not None:
        board = published(board, competition, target)
    app.show(board, *_board_blocks(board))


@command(ServerApp, group=organise)
@click.argument("submissions", nargs=-1, metavar="[SUBMISSION]...")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="All that the current test set and evaluation script have not scored.",
)
@YES
def rescore(app: ServerApp, *, submissions: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Evaluate submissions again, for example after a mistake in the hidden test set.

    SUBMISSION is a name, ACCOUNT/NAME or a uuid. A submission keeps its old score until the new one is ready, and for good if it gets
    none. Each takes a training, unless only the evaluation script has changed. No quota is spent. You can stop and run it
    again at any time: nothing is started twice.

    \b
    Examples:
      cldc organise init --profile class.toml --test-set corrected --replace
      cldc organise rescore --all --competition class.toml
      cldc organise rescore ann/first --competition class.toml
    """
    if bool(submissions) == everything:
        raise UsageError(
            "Name submissions, or use --all.", action="See `cldc organise score` for their names."
        )
    competition, where = app.competition, organiser_target(app)
    before = scoring.read_board(competition, where.folder).leaderboard
    chosen = (
        scoring.outdated(competition, where.folder)
        if everything
        else tuple({find_row(before, name).submission: None for name in submissions})
    )
    not_repeated: tuple[NotRepeated, ...] = ()
    if chosen:
        count = plural(len(chosen), "submission")
        app.confirm(
            f"evaluate {count} again, and replace their scores on the board with the new ones", yes=yes
        )
        not_repeated = scoring.score(
            competition,
            where,
            python=app.codalab_python(),
            again=chosen,
            clock=ServerClock(app.rest),
            observer=app.observer,
        )
    board = scoring.read_board(competition, where.folder)
    after = {row.submission: row for row in board.leaderboard.rows}
    repeated = [
        Rescored(row.submission, row.account, row.name, row.score, after[row.submission].score)
        for row in before.rows
        if row.submission in chosen and row.submission in after
    ]
    blocks = [*_rescored_blocks(repeated, not_repeated), *_board_blocks(board)]
    app.show({"rescored": repeated, "not_repeated": not_repeated, "board": board}, *blocks)


@command(ServerApp, group=organise)
@click.argument("folder", metavar="DIR", type=TARGET_FOLDER)
def publish(app: ServerApp, folder: Path) -> None:
    """Write the leaderboard's page and JSON for a web server, and list the entries that it hides.

    \b
    Examples:
      cldc organise publish board --competition class.toml
    """
    board = scoring.read_board(app.competition, organiser_target(app, sign_in=False).folder)
    board = published(board, app.competition, folder)
    app.show(board, *_board_blocks(board))


def _board_blocks(board: Board) -> Iterator[Block]:
    """Show the board with what its page hides, and where it was published, if it was."""
    yield from board_blocks(board.leaderboard)
    yield from left_out_blocks(board.leaderboard, board.left_out)
    if board.page is not None:
        yield Line(f"Published: {board.page}", "good")
        yield Line(f"Published: {board.data}", "good")


def _rescored_blocks(repeated: Sequence[Rescored], not_repeated: Sequence[NotRepeated]) -> Iterator[Block]:
    """Show the scores before and now."""
    if repeated or not_repeated:
        rows = [
            (f"{each.account}/{each.name}", cell(each.before, ".4f"), cell(each.score, ".4f"))
            for each in repeated
        ]
        yield Table(("submission", "before", "now"), rows, numbers=("before", "now"))
    else:
        yield Line("Everything is scored with the current hidden test set and evaluation script.", "good")
    for each in not_repeated:
        yield Line(f"{each.name} keeps its score: {each.reason}.", "warning")


for _command in (accounts, archive, backup, grade, grades, reject, restore):
    organise.add_command(_command)
