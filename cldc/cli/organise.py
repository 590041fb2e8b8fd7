"""`cldc organise init`, `score`, `rescore` and `publish`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from cldc import organise as room
from cldc.bundles.account import ServerClock
from cldc.cli.classroom import accounts, find_row, grades, reject
from cldc.cli.grading import grade
from cldc.cli.keeping import archive, backup, restore
from cldc.cli.options import command, group
from cldc.cli.organising import OrganiserTarget, organiser_target, publish_files, read_board, set_up
from cldc.cli.server import ServerApp
from cldc.competition import Competition
from cldc.environments import ensure_codalab
from cldc.errors import UsageError
from cldc.leaderboard import Leaderboard
from cldc.organise import Skipped, board_file, read_left_out
from cldc.organise.model import NotRepeated
from cldc.render.blocks import Block, Line, Table
from cldc.render.board import board_blocks, left_out_blocks
from cldc.render.document import Document
from cldc.text import plural

_FILE = click.Path(dir_okay=False, path_type=Path)
_NEW = click.Path(file_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Board:
    """The board for its organiser: with the submissions that were skipped, its JSON, and its page if it was published."""

    leaderboard: Leaderboard
    left_out: tuple[Skipped, ...]
    data: Path
    page: Path | None = None


@dataclass(frozen=True, slots=True)
class Rescored:
    """A submission that was evaluated again: its score before and now; None without a score."""

    submission: str
    account: str
    name: str
    before: float | None
    score: float | None


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


@organise.command()
@click.option("--profile", type=_FILE, help="The class's profile to write, as class.toml; kept up to date.")
@click.option("--script", type=click.Path(), help="The training script; our own by default.")
@click.option("--label-book", type=_FOLDER, help="The label book, which everyone may read.")
@click.option("--test-set", type=_FOLDER, help="The hidden test set, which nobody may read but you.")
@click.option("--starting-dataset", type=_FOLDER, help="A dataset for contestants to start from.")
@click.option("--evaluate", type=_FILE, help="The evaluation script; our own by default.")
@click.option("--title", help="The competition's name.")
@click.option("--tag", help="The tag that makes a bundle a submission; by default the profile's name.")
@click.option(
    "--classes", metavar="A,B,...", help="Class folders, in the order in which the script numbers them."
)
@click.option("--splits", metavar="TRAIN,VAL", help="Folders of a dataset, the training split first.")
@click.option(
    "--image-size", metavar="H,W", help="Height and width in pixels that the script scales images to."
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs that the script trains.")
@click.option("--window-days", type=float, help="Length of the quota's window.")
@click.option("--per-window", type=int, help="Submissions an account may make in a window.")
@click.option("--total", type=int, help="Submissions an account may make in all.")
@click.option("--closes", metavar="TIME", help="When it closes, as 2027-02-01T23:59:00+01:00.")
@click.option("--image", help="The container image that the runs request.")
@click.option("--run-command", help="The run's command, with {dataset} and {label_book}.")
@click.option("--leaderboard", metavar="URL", help="Where leaderboard.json will be published.")
@click.option(
    "--replace",
    is_flag=True,
    help="Upload what has changed as new bundles, in place of the old ones.",
)
@click.option("--no-rehearsal", is_flag=True, help="Do not rehearse a submission at the end.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before --replace.")
@command(ServerApp)
def init(app: ServerApp, **given: object) -> None:
    """Set up a competition on a CodaLab, and write the class's profile.

    Combines the rules of --competition with your own script, label book and hidden test set. Safe to run again: what is
    there and right is kept, and files that were given once need not be given again. A short private run finds out which
    image the class's runs get; the profile names it by digest. At the end a few drawn images are submitted privately, trained,
    scored and removed again, so that you see a failure before the class does.

    \b
    Examples:
      cldc organise init
      cldc organise init --profile class.toml --label-book book --test-set hidden --server https://codalab.example.org
    """
    done = set_up(app, given)
    app.output.show(Document(done, done.blocks()))


@organise.command()
@click.option("--watch", is_flag=True, help="Make passes until it is interrupted.")
@click.option("--once", is_flag=True, help="Make one pass, without waiting for evaluations; for cron.")
@click.option("--every", type=click.FloatRange(min=1), help="Seconds between two passes of --watch (60).")
@click.option("--publish", "target", type=_NEW, metavar="DIR", help="Publish there after each pass.")
@click.option(
    "--daemon-quota", is_flag=True, help="Count the quota between passes only, as CodaLab's daemon does."
)
@command(ServerApp)
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
    if watch and once:
        raise UsageError("--watch and --once exclude each other.", action="Give one of them.")
    competition, where = app.competition, organiser_target(app)

    def passed(_: room.Scored) -> None:
        if target is not None:
            _published(_read(app, where), competition, target)

    _score(
        app,
        where,
        mode="watch" if watch else "once" if once else "finish",
        every_seconds=every or room.PASS_SECONDS,
        strict_quota=not daemon_quota,
        on_pass=passed,
    )
    board = _read(app, where)
    if target is not None:
        board = _published(board, competition, target)
    app.output.show(Document(board, _blocks(board)))


def _score(app: ServerApp, where: OrganiserTarget, **options: Any) -> room.Scored:
    competition = app.competition
    config = room.configuration(
        where.address, where.credentials.username, competition, room.uuids_of(competition)
    )
    return room.score(
        config,
        competition,
        where.folder,
        where.credentials,
        python=ensure_codalab(app.home, app.observer).python,
        clock=ServerClock(app.rest),
        observer=app.observer,
        **options,
    )


@organise.command()
@click.argument("submissions", nargs=-1, metavar="[SUBMISSION]...")
@click.option(
    "--all", "everything", is_flag=True, help="What the present test set and evaluation have not scored."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@command(ServerApp)
def rescore(app: ServerApp, *, submissions: tuple[str, ...], everything: bool, yes: bool) -> None:
    """Evaluate submissions again, as after a mistake in the hidden test set.

    SUBMISSION is a name, ACCOUNT/NAME or a uuid. A score stays until the new one is there, and where none can be had. Each takes a
    training, unless only the evaluation script has changed. It costs the contestants nothing of their quota. Stop it and run it
    again as you like: what is under way is not begun twice.

    \b
    Examples:
      cldc organise init --profile class.toml --test-set corrected --replace
      cldc organise rescore --all --competition class.toml
      cldc organise rescore ann/first --competition class.toml
    """
    if bool(submissions) == everything:
        raise UsageError(
            "Name submissions, or say --all.", action="See `cldc organise score` for their names."
        )
    where = organiser_target(app)
    before = read_board(app, where)
    chosen = (
        room.outdated(app.competition, where.folder)
        if everything
        else tuple({find_row(before, name).submission: None for name in submissions})
    )
    not_repeated: tuple[NotRepeated, ...] = ()
    if chosen:
        count = plural(len(chosen), "submission")
        app.confirm(
            f"Evaluate {count} again? New scores take the place of those on the board.",
            yes=yes,
            stake=f"evaluate {count} again and replace their scores",
        )
        not_repeated = _score(app, where, again=chosen).not_repeated
    board = _read(app, where)
    after = {row.submission: row for row in board.leaderboard.rows}
    repeated = [
        Rescored(row.submission, row.account, row.name, row.score, after[row.submission].score)
        for row in before.rows
        if row.submission in chosen and row.submission in after
    ]
    data = {"rescored": repeated, "not_repeated": not_repeated, "board": board}
    app.output.show(Document(data, [*_rescored_blocks(repeated, not_repeated), *_blocks(board)]))


def _rescored_blocks(repeated: Sequence[Rescored], not_repeated: Sequence[NotRepeated]) -> list[Block]:
    if not (repeated or not_repeated):
        return [Line("Everything is scored with the present hidden test set and evaluation script.", "good")]

    def number(score: float | None) -> str:
        return "" if score is None else f"{score:.4f}"

    rows = [(f"{each.account}/{each.name}", number(each.before), number(each.score)) for each in repeated]
    blocks: list[Block] = [Table(("submission", "before", "now"), rows, numbers=frozenset({"before", "now"}))]
    return blocks + [Line(f"{each.name} keeps its score: {each.reason}.", "warning") for each in not_repeated]


@organise.command()
@click.argument("folder", metavar="DIR", type=_NEW)
@command(ServerApp)
def publish(app: ServerApp, folder: Path) -> None:
    """Write the leaderboard's page and JSON for a web server, and list the entries that it hides.

    \b
    Examples:
      cldc organise publish board --competition class.toml
    """
    board = _published(_read(app, organiser_target(app, sign_in=False)), app.competition, folder)
    app.output.show(Document(board, _blocks(board)))


def _published(board: Board, competition: Competition, folder: Path) -> Board:
    page, data = publish_files(board.leaderboard, board.data, competition, folder)
    return replace(board, page=page, data=data)


def _read(app: ServerApp, where: OrganiserTarget) -> Board:
    board = read_board(app, where)
    return Board(board, read_left_out(where.folder), board_file(where.folder))


def _blocks(board: Board) -> list[Block]:
    blocks = [*board_blocks(board.leaderboard), *left_out_blocks(board.leaderboard, board.left_out)]
    if board.page is not None:
        blocks += [Line(f"Published: {board.page}", "good"), Line(f"Published: {board.data}", "good")]
    return blocks


for _command in (accounts, archive, backup, grade, grades, reject, restore):
    organise.add_command(_command)
