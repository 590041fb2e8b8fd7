"""`cldc init`."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from cldc import description
from cldc.cli.options import command
from cldc.cli.server_app import ServerApp
from cldc.competition import DEFAULT, SANDBOX, builtin_profiles, load
from cldc.errors import CldcError, ConfigurationError
from cldc.files import working_folder
from cldc.project import Answers, find_dataset, write_file, write_ignored
from cldc.render.document import Line
from cldc.settings import PROJECT_FILE, read_project
from cldc.workflows import Host, origin_of, workflow

_DATASET = "my-images"


@command(ServerApp)
@click.option("--dataset", metavar="DIR", help="The dataset folder; asked for otherwise.")
@click.option(
    "--name",
    help="A name on the board for every submission; by default each has the first free one of its own.",
)
@click.option("--institution", help="What the board shows in parentheses.")
@click.option("--link", help="A web address that the board links to.")
@click.option(
    "--ci",
    type=click.Choice(["github", "gitlab", "classroom"]),
    help="Also write the workflow that submits on a tag, or for GitHub Classroom the one that checks each push.",
)
@click.option(
    "--action",
    metavar="OWNER/REPO@VERSION",
    help="Source of the workflow's action; by default the one that cldc was installed from.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def init(app: ServerApp, ci: Host | None, action: str | None, force: bool) -> None:
    """Start a project in this folder: cldc.toml and .gitignore.

    Asks four questions, each with a default; an option answers its question in advance. Without a terminal, or with
    --no-input, it takes the defaults. It keeps an existing cldc.toml unless --force is given.

    \b
    Examples:
      cldc init
      cldc init --dataset my-images --institution "Some Lab" --no-input
      cldc init --ci github
    """
    folder = working_folder()
    origin = origin_of(action) if ci else None
    files: dict[str, str] = {}  # each file, and whether it was written, added to or kept
    answers = None if _kept(folder / PROJECT_FILE, force) else _answers(app, folder)
    made = _workflow(app, folder, ci, origin, answers) if ci and origin else None
    if answers is None:
        files[PROJECT_FILE] = "kept"
    else:
        files[PROJECT_FILE] = write_file(folder / PROJECT_FILE, answers.to_toml())
        # Whoever has the file written has chosen what it sets.
        if claims := read_project(folder / PROJECT_FILE).claims:
            app.approvals.approve(folder / PROJECT_FILE, claims)
    files[".gitignore"] = write_ignored(folder / ".gitignore")
    if made:
        path, text = made
        files[path] = "kept" if (folder / path).exists() and not force else write_file(folder / path, text)
    sandboxed = False
    with contextlib.suppress(CldcError):  # the command that needs the server reports what is wrong
        sandboxed = _server(app, answers) == SANDBOX
    following = list(_next(folder, answers, ci, sandboxed=sandboxed))
    status = _server_status(app, answers)
    app.show(
        {"folder": folder, "files": files, "settings": answers, "next": following, "server_status": status},
        *(
            Line(f"{how.capitalize()}: {path}", "dim" if how == "kept" else "good")
            for path, how in files.items()
        ),
        Line("Next steps (`cldc` alone shows the next one at any time):"),
        *(Line(f"  {number}. {text}") for number, text in enumerate(following, 1)),
        *([Line(status, "warning")] if status else []),
    )


def _server(app: ServerApp, answers: Answers | None) -> str:
    """Find the project's server: from the answers, or from its file if that is kept."""
    return (answers.server or load(answers.competition).server) if answers else app.settings.server


def _workflow(
    app: ServerApp,
    folder: Path,
    ci: Host,
    origin: tuple[str, str],
    answers: Answers | None,
) -> tuple[str, str]:
    """Build path and text of the project's workflow: from the answers, or from its file if that is kept.

    Raises:
        ConfigurationError: Its profile lies outside the project, where no job finds it, or its server is the sandbox.
    """
    choice = answers.competition if answers else app.settings["competition"] or DEFAULT
    server = _server(app, answers)
    if choice not in builtin_profiles():
        profile = Path(os.path.abspath(folder / choice))  # noqa: PTH100 - resolve() would follow links
        if not profile.is_relative_to(folder):
            raise ConfigurationError(
                f"The profile {profile} lies outside the project, where the workflow does not find it.",
                action=f"Put it into {folder} and name it from there.",
            )
        choice = profile.relative_to(folder).as_posix()
    if server == SANDBOX and ci != "classroom":
        raise ConfigurationError(
            "This project submits to the sandbox of this machine, which no CI job can reach.",
            action="Name the CodaLab that the jobs submit to: "
            + ("add --server ADDRESS." if answers else f"set `server` in {folder / PROJECT_FILE}."),
        )
    return workflow(ci, origin, server=server, competition=choice)


def _kept(path: Path, force: bool) -> bool:
    """Check whether to keep an existing project file.

    Raises:
        ConfigurationError: It is kept, but an option would change it.
    """
    if not path.exists() or force:
        return False
    given = click.get_current_context().params
    changed = [name for name in Answers.__dataclass_fields__ if given.get(name) is not None]
    if changed:
        raise ConfigurationError(
            f"{path} already exists, and --{changed[0]} would change it.",
            action="Change the file itself, or use --force to overwrite it.",
        )
    return True


def _answers(app: ServerApp, folder: Path) -> Answers:
    """Collect every setting from its option, by a question at the terminal, or by default."""
    settings = app.settings
    given = click.get_current_context().params
    # Writing the file approves it, even without a question: so take a default from another project file only if it is approved.
    chosen = settings.offered("competition") or DEFAULT
    competition = _asked(app, given.get("competition"), "Competition", chosen, load)
    guess = find_dataset(folder, load(competition).dataset.splits) or _DATASET
    dataset = _asked(app, given.get("dataset"), "Dataset folder", guess, _check_dataset)
    # Not asked for: it would name every submission, and each would replace the one before.
    name = given.get("name") or ""
    if name:
        _check_part("name", name)
    check = functools.partial(_check_part, "institution")
    institution = _asked(app, settings["institution"], "Institution (may be empty)", "", check)
    check = functools.partial(_check_part, "link")
    link = _asked(app, settings["link"], "Web address to link to (may be empty)", "", check)
    return Answers(
        competition, dataset, name, institution, link, given.get("server") or "", given.get("account") or ""
    )


def _asked(app: ServerApp, given: str | None, text: str, default: str, check: Callable[[str], object]) -> str:
    """Return the given value, or ask until an answer passes the check."""
    if given is not None or not app.interactive:
        answer = given if given is not None else default
        check(answer)
        return answer
    while True:
        answer = app.ask(text, default)
        try:
            check(answer)
        except CldcError as error:
            click.echo(error.message, err=True)
        else:
            return answer


def _check_dataset(answer: str) -> None:
    if not answer.strip() or (Path(answer).exists() and not Path(answer).is_dir()):
        raise ConfigurationError(
            f"{answer!r} is not a folder.", action="Give the path of a folder with --dataset."
        )


def _check_part(part: str, answer: str) -> None:
    """Refuse an answer that the board would hide or garble."""
    parts = {"name": "name", "institution": "", "link": "", part: answer}
    description.compose("{name} ({institution}) {link}", **parts)


def _next(folder: Path, answers: Answers | None, ci: str | None, *, sandboxed: bool) -> Iterator[str]:
    dataset = answers.dataset if answers else None
    if dataset and not (folder / dataset).exists():
        yield f"put your images into {dataset}, or draw some to try with: cldc sample {shlex.quote(dataset)}"
    yield "check the images: cldc validate"
    if sandboxed and ci != "classroom":  # it has the label book, without which no preflight runs
        yield "start the CodaLab of this machine: cldc sandbox up"
    yield "train on the images here: cldc preflight"
    if ci == "classroom":
        yield "put the label book into the folder label_book, then commit and push: each push is checked"
        yield "pack what you hand in: cldc package"
        return
    if not sandboxed:
        yield "sign in: cldc login"
    yield "submit: cldc submit"
    if ci == "github":
        yield "in the repository's settings, create an environment `codalab` with the secrets CODALAB_USERNAME and CODALAB_PASSWORD"
    if ci == "gitlab":
        yield "in the project's CI/CD settings, add the protected, masked variables CODALAB_USERNAME and CODALAB_PASSWORD"
    if ci:
        yield "commit and push, then submit by a tag: git tag submission-NAME && git push origin submission-NAME"


def _server_status(app: ServerApp, answers: Answers | None) -> str | None:
    """Find what is known about the state of the project's server."""
    try:
        if answers is None:
            return app.server_status
        chosen, setting = load(answers.competition), app.settings.values["server"]
        before = app.settings.project
        # The previous file's values no longer apply.
        unchanged = None if before is not None and setting.source == str(before.path) else setting.value
        return chosen.status_of(answers.server or unchanged or chosen.server)
    except CldcError:
        return None  # the command that needs it reports what is wrong
