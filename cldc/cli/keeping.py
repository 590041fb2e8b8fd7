"""`cldc organise backup` and `restore`: what the organiser's machine keeps of a competition, in one file."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from cldc import sandbox
from cldc.cli.app import App
from cldc.cli.options import command
from cldc.files import lock, replace_atomically, temporary_folder
from cldc.organise.keeping import PROFILE, kept_files, pack_backup, plan_restoring, unpack_backup
from cldc.organise.keeping import restore as write_files
from cldc.render.blocks import Block, Line
from cldc.render.document import Document
from cldc.text import plural

_WAIT_SECONDS = 30.0


def _folders(app: App, competition: str) -> dict[str, Path]:
    """The folders in which this machine keeps a competition, by the name that each has in a backup."""
    return {
        "organise": app.home / "organise" / competition,
        "sandbox": sandbox.folder_of(app.home, competition),
    }


@contextlib.contextmanager
def _not_scoring(app: App, folders: Iterable[Path]) -> Iterator[None]:
    """Nothing is scored in these folders meanwhile; each must keep something."""
    with contextlib.ExitStack() as held:
        for folder in folders:
            path = folder / "score.lock"
            held.enter_context(
                lock(path, purpose="scoring", observer=app.observer, timeout_seconds=_WAIT_SECONDS)
            )
        yield


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask before replacing FILE.")
@command(App)
def backup(app: App, *, file: Path, yes: bool) -> None:
    """Keep everything that this machine has of a competition in one zip.

    That is the board, who submitted when, rejections, the roster, what is on the server, and the profile with all that it
    extends and the scripts beside it. Passwords are not in it, nor the images of the label book and the hidden test set.

    \b
    Examples:
      cldc organise backup winter.zip --competition winter.toml
    """
    folders = _folders(app, app.competition.name)
    if file.exists():
        app.confirm(f"Replace {file}?", yes=yes, stake=f"replace {file}")
    with _not_scoring(app, (folder for folder in folders.values() if kept_files(folder))):
        content, names = pack_backup(app.competition, folders)
    replace_atomically(file, content)
    blocks: list[Block] = [
        Line(f"{file} keeps {plural(len(names), 'file')} of {app.competition.title}.", "good"),
        Line(
            "The images of the label book and the hidden test set are not in it: keep those folders yourself."
        ),
        Line(f"To bring it back: cldc organise restore {shlex.quote(str(file))}"),
    ]
    data = {"file": file, "competition": app.competition.name, "files": names}
    app.output.show(Document(data, blocks))


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--to",
    "target",
    metavar="DIR",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the profile and its scripts go; the current folder by default.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before replacing files that have changed.")
@command(App, competition=False)
def restore(app: App, *, file: Path, target: Path, yes: bool) -> None:
    """Bring back what `cldc organise backup` kept.

    Lists the files that are there with other contents, and asks before it replaces them. Nothing changes on the server.

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
            plan = plan_restoring(scratch / "backup", name, made, {**areas, PROFILE: target.resolve()})
            if plan.changed:
                files = plural(len(plan.changed), "file")
                app.confirm(
                    f"Replace {files} with what {file} keeps from {made}?",
                    yes=yes,
                    stake=f"replace {files}, {next(iter(plan.changed))} for one",
                    shown=[Line(f"There with other contents: {path}", "warning") for path in plan.changed],
                )
            write_files(plan)
    told = f"{name} is as it was on {made}: {len(plan.new)} new, {len(plan.changed)} replaced, {plan.same} as they were."
    data = {
        "competition": name,
        "made": made,
        "new": tuple(plan.new),
        "replaced": tuple(plan.changed),
        "same": plan.same,
    }
    blocks: list[Block] = [Line(told, "good")]
    profile = plan.profile / f"{name}.toml"
    if profile.is_file():
        blocks.append(Line(f"Next: cldc organise score --competition {shlex.quote(str(profile))}"))
    app.output.show(Document(data, blocks))
