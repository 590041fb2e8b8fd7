"""`cldc organise init`, `score` and `publish`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click

from cldc import organise as room
from cldc.bundles.account import ServerClock
from cldc.cli.classroom import accounts, grades, reject
from cldc.cli.grading import grade
from cldc.cli.keeping import backup, restore
from cldc.cli.options import command, group
from cldc.cli.organising import OrganiserTarget, organiser_target, publish_files, set_up
from cldc.cli.server import ServerApp
from cldc.competition import Competition
from cldc.environments import ensure_codalab
from cldc.errors import ConfigurationError, UsageError
from cldc.leaderboard import Leaderboard, parse
from cldc.organise import Skipped, board_file, read_left_out
from cldc.render.blocks import Block, Line
from cldc.render.board import board_blocks, left_out_blocks
from cldc.render.document import Document

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


@group
def organise() -> None:
    """Run the competition for a class, with or without a CodaLab.

    `init` sets it up and writes the class's profile, `score` runs CodaLab's own scoring daemon, `publish` writes the
    leaderboard's page. All three use the organiser's account; on the sandbox that is the sandbox's organiser.
    `grade` needs no server: it takes what students handed in as zips or folders.

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
    competition = app.competition
    where = organiser_target(app)
    config = room.configuration(
        where.address, where.credentials.username, competition, room.uuids_of(competition)
    )

    def passed(_: room.Scored) -> None:
        if target is not None:
            _published(_read(app, where), competition, target)

    room.score(
        config,
        competition,
        where.folder,
        where.credentials,
        python=ensure_codalab(app.home, app.observer).python,
        mode="watch" if watch else "once" if once else "finish",
        every_seconds=every or room.PASS_SECONDS,
        strict_quota=not daemon_quota,
        on_pass=passed,
        clock=ServerClock(app.rest),
        observer=app.observer,
    )
    board = _read(app, where)
    if target is not None:
        board = _published(board, competition, target)
    app.output.show(Document(board, _blocks(board)))


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
    """The board of the daemon's last pass.

    Raises:
        ConfigurationError: There was no pass yet.
    """
    path = board_file(where.folder)
    if not path.is_file():
        raise ConfigurationError(
            f"Nothing was scored for {app.competition.name} on this machine yet.",
            action="Run `cldc organise score` first.",
        )
    board = parse(path.read_text(encoding="utf-8"), app.competition)
    return Board(board, read_left_out(where.folder), path)


def _blocks(board: Board) -> list[Block]:
    blocks = [*board_blocks(board.leaderboard), *left_out_blocks(board.leaderboard, board.left_out)]
    if board.page is not None:
        blocks += [Line(f"Published: {board.page}", "good"), Line(f"Published: {board.data}", "good")]
    return blocks


for _command in (accounts, backup, grade, grades, reject, restore):
    organise.add_command(_command)
