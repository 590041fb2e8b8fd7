"""`cldc organise archive`, `backup` and `restore`: what is kept of a competition after its term, or in case a machine is lost."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from cldc import sandbox
from cldc.cli.app import App, shown_path
from cldc.cli.options import EXISTING_FILE, TARGET_FOLDER, command
from cldc.cli.organise_class import grades_of
from cldc.cli.organise_shared import organiser_target, published
from cldc.cli.server_app import ServerApp
from cldc.codalab.json_api import FINAL_STATES
from cldc.competition import scripts_beside
from cldc.files import lock, replace_atomically, storage_errors, temporary_folder
from cldc.organise.backup import PROFILE, RestorePlan, kept_files, pack_backup, plan_restore, unpack_backup
from cldc.organise.backup import restore as write_files
from cldc.organise.scoring import read_board
from cldc.render.document import Block, Line
from cldc.render.formats import render
from cldc.text import plural
from cldc.trust import profile_claims

_WAIT_SECONDS = 30.0


def _folders(app: App, competition: str) -> dict[str, Path]:
    """Name the folders in which this machine keeps a competition, by their names in a backup."""
    return {
        "organise": app.home / "organise" / competition,
        "sandbox": sandbox.folder_of(app.home, competition),
    }


@contextlib.contextmanager
def _not_scoring(app: App, folders: Iterable[Path]) -> Iterator[None]:
    """Keep other commands from scoring in these folders during the block."""
    with contextlib.ExitStack() as held:
        for folder in folders:
            held.enter_context(
                lock(
                    folder / "score.lock",
                    purpose="scoring",
                    observer=app.observer,
                    timeout_seconds=_WAIT_SECONDS,
                )
            )
        yield


@command(ServerApp)
@click.argument("folder", metavar="DIR", type=TARGET_FOLDER)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before replacing what DIR holds.")
def archive(app: ServerApp, *, folder: Path, yes: bool) -> None:
    """Keep a finished competition in a folder: its board, grades, profile and backup.

    index.html and leaderboard.json hold the last board, grades.csv and grades.json the grades, backup.zip what
    `cldc organise restore` needs. Nothing changes on the server. To begin the next term, set up another profile with the rules and files
    of this one: it has a tag and worksheets of its own, so its board is empty.

    \b
    Examples:
      cldc organise archive winter-2027 --competition winter.toml
      cldc organise init --profile spring.toml --title "Spring term" --competition winter.toml
    """
    competition, where = app.competition, organiser_target(app)
    board = read_board(competition, where.folder)
    with storage_errors(folder):
        is_new = not folder.is_dir() or not any(folder.iterdir())
    if not is_new:
        app.confirm(f"replace the archive in {folder}", yes=yes)
    grades = grades_of(app, where, board.leaderboard)
    content, _ = _packed(app)
    published(board, competition, folder)
    with storage_errors(folder):
        (folder / PROFILE).mkdir(exist_ok=True)
    for path in (*competition.files, *scripts_beside(competition).values()):
        with storage_errors(path):
            replace_atomically(folder / PROFILE / path.name, path.read_bytes(), mode=0o644)
    replace_atomically(folder / "grades.csv", render("csv", grades))
    replace_atomically(folder / "grades.json", render("json", grades))
    replace_atomically(folder / "backup.zip", content)
    source = shown_path(competition.files[0]) if competition.files else competition.name
    under_way = sum(row.state not in FINAL_STATES for row in board.leaderboard.rows)
    scored = sum(row.score is not None for row in board.leaderboard.rows)
    blocks = [Line(f"{folder} holds {competition.title}: {plural(scored, 'score')} and the grades.", "good")]
    if under_way:
        text = f"{plural(under_way, 'submission')} had no score yet: run `cldc organise score`, then archive again."
        blocks.append(Line(text, "warning"))
    data = {
        "folder": folder,
        "competition": competition.name,
        "as_of": board.leaderboard.updated,
        "scores": scored,
        "under_way": under_way,
    }
    app.show(
        data,
        *blocks,
        Line(f"Everything stays on the server, under the tag {competition.submission.tag}."),
        Line(f"Next term: cldc organise init --profile NAME.toml --competition {source}"),
    )


def _packed(app: App) -> tuple[bytes, tuple[str, ...]]:
    """Pack the competition's backup, and return it and the names in it."""
    folders = _folders(app, app.competition.name)
    with _not_scoring(app, (folder for folder in folders.values() if kept_files(folder))):
        return pack_backup(app.competition, folders)


@command(App)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask before replacing FILE.")
def backup(app: App, *, file: Path, yes: bool) -> None:
    """Keep everything that this machine has of a competition in one zip.

    It holds the board, who submitted when, rejections, the roster, what is on the server, and the profile with all that it
    extends and the scripts beside it. It holds no passwords, and no images of the label book and the hidden test set.

    \b
    Examples:
      cldc organise backup winter.zip --competition winter.toml
    """
    if file.exists():
        app.confirm(f"replace {file}", yes=yes)
    content, names = _packed(app)
    replace_atomically(file, content)
    app.show(
        {"file": file, "competition": app.competition.name, "files": names},
        Line(f"{file} holds {plural(len(names), 'file')} of {app.competition.title}.", "good"),
        Line(
            "The images of the label book and the hidden test set are not in it: keep those folders yourself."
        ),
        Line(f"To bring it back: cldc organise restore {shlex.quote(str(file))}"),
    )


@command(App, competition=False)
@click.argument("file", metavar="FILE", type=EXISTING_FILE)
@click.option(
    "--to",
    "target",
    metavar="DIR",
    default=".",
    type=TARGET_FOLDER,
    help="Where the profile and its scripts go; the current folder by default.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before replacing files that have changed.")
def restore(app: App, *, file: Path, target: Path, yes: bool) -> None:
    """Bring back what `cldc organise backup` saved.

    Lists existing files with other contents, and asks before it replaces them. Nothing changes on the server.

    \b
    Examples:
      cldc organise restore winter.zip --to class
    """
    with temporary_folder("cldc-restore-") as scratch:
        name, made = unpack_backup(file, scratch / "backup")
        areas = {
            area: folder
            for area, folder in _folders(app, name).items()
            if kept_files(scratch / "backup" / area)
        }
        with _not_scoring(app, areas.values()):
            plan = plan_restore(scratch / "backup", name, made, {**areas, PROFILE: target.resolve()})
            if plan.changed:
                files = plural(len(plan.changed), "file")
                app.confirm(
                    f"replace {files}, such as {next(iter(plan.changed))}",
                    yes=yes,
                    question=f"Replace {files} with those of {made} in {file}?",
                    shown=[Line(f"Differs: {path}", "warning") for path in plan.changed],
                )
            write_files(plan)
    profile = plan.profile / f"{name}.toml"
    is_there = profile.is_file()
    approved = is_there and app.approvals.hold(profile, profile_claims(profile))
    data = {
        "competition": plan.competition,
        "made": plan.made,
        "new": tuple(plan.new),
        "replaced": tuple(plan.changed),
        "same": plan.same,
    }
    app.show(data, *_restored_blocks(plan, shown_path(profile) if is_there else None, approved))


def _restored_blocks(done: RestorePlan, profile: str | None, approved: bool) -> Iterator[Block]:
    """Show what was restored; ``profile`` is the restored profile in a command, None if the backup held none."""
    yield Line(
        f"{plural(len(done.new), 'file')} of {done.competition} restored, {len(done.changed)} replaced and {done.same} left "
        f"alone: the board, rulings and roster of {done.made}.",
        "good",
    )
    yield Line("A backup holds no passwords, and no images of the label book and the hidden test set.")
    if profile is None:
        return
    if not approved:
        yield Line("Its profile names a server and is not approved on this machine.", "warning")
        yield Line(f"Next: cldc trust approve {profile}")
    yield Line(f"{'Next' if approved else 'Then'}: cldc organise score --competition {profile}")
