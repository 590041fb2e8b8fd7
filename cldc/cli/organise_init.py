"""`cldc organise init`: asks for what is not given, and sets the competition up."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cldc import sandbox
from cldc.address import SANDBOX
from cldc.cli.options import EXISTING_FOLDER, command
from cldc.cli.organise_shared import target_at
from cldc.cli.server_app import ServerApp
from cldc.cli.training import tensorflow
from cldc.competition import Competition, file_beside, load
from cldc.environments import ensure_codalab
from cldc.errors import UsageError
from cldc.files import read_json
from cldc.organise.model import OrganiserFiles, OrganiserTarget
from cldc.organise.profile import ProfileOverrides, begin
from cldc.organise.publishing import remember_files
from cldc.organise.setting_up import SetUp, classes_in, plan, set_up
from cldc.preflight.inputs import builtin_script
from cldc.preflight.result_store import all_records
from cldc.render.document import Block, Line, Table
from cldc.render.formats import to_data
from cldc.trainings.time_estimates import estimate_scoring
from cldc.trust import profile_claims

_FILE = click.Path(dir_okay=False, path_type=Path)


def _names(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _moment(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise UsageError(
            f"{text!r} is not a time with a time zone.", action="Write it as 2027-02-01T23:59:00+01:00."
        )
    return time


def _height_and_width(text: str) -> tuple[int, ...]:
    words = _names(text)
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        raise UsageError(
            f"{text!r} is not an image size.", action="Write height and width in pixels, as 32,32."
        )
    return tuple(int(word) for word in words)


@command(ServerApp)
@click.option(
    "--profile", type=_FILE, help="The class's profile to write, such as class.toml; kept up to date."
)
@click.option("--script", type=click.Path(), help="The training script; our own by default.")
@click.option("--label-book", type=EXISTING_FOLDER, help="The label book, which everyone may read.")
@click.option("--test-set", type=EXISTING_FOLDER, help="The hidden test set, which only you may read.")
@click.option("--starting-dataset", type=EXISTING_FOLDER, help="A dataset for contestants to start from.")
@click.option("--evaluate", type=_FILE, help="The evaluation script; our own by default.")
@click.option("--title", help="The competition's name.")
@click.option("--tag", help="The tag that makes a bundle a submission; by default the profile's name.")
@click.option(
    "--classes",
    type=_names,
    metavar="A,B,...",
    help="Class folders, in the order in which the script numbers them.",
)
@click.option(
    "--splits", type=_names, metavar="TRAIN,VAL", help="Folders of a dataset, the training split first."
)
@click.option(
    "--image-size",
    type=_height_and_width,
    metavar="H,W",
    help="Height and width in pixels that the script scales images to.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs that the script trains.")
@click.option("--window-days", type=float, help="Length of the quota's window.")
@click.option("--per-window", type=int, help="Submissions that an account may make in a window.")
@click.option("--total", type=int, help="Submissions that an account may make in all.")
@click.option("--closes", type=_moment, metavar="TIME", help="When it closes, as 2027-02-01T23:59:00+01:00.")
@click.option("--image", help="The container image that the runs request.")
@click.option("--run-command", "command", help="The run's command, with {dataset} and {label_book}.")
@click.option("--leaderboard", metavar="URL", help="Where leaderboard.json will be published.")
@click.option(
    "--replace",
    is_flag=True,
    help="Upload changed files as new bundles, which replace the old ones.",
)
@click.option("--no-rehearsal", is_flag=True, help="Do not rehearse a submission at the end.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before --replace.")
def init(app: ServerApp, **given: Any) -> None:
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
    path = Path(_answer(app, given["profile"], "Profile to write", "--profile", "class.toml"))
    previous = load(str(path)) if path.is_file() else None
    start = previous or begin(app.competition, path)
    known = app.settings["server"] or (previous.server if previous else None)
    server = _answer(app, known, "Address of your CodaLab, or sandbox", "--server", None)
    files = _organiser_files(app, given, start, app.competition if previous is None else start)
    where = _where(app, server, path, previous, start)
    overrides = _overrides(app, given, previous, start, files)
    planned = plan(path, previous, start, overrides, files, server=where.address)
    if given["replace"]:
        app.confirm(
            f"replace the bundles of {planned.competition.title} on {where.address} whose files have changed, "
            "after which submissions made with an older label book or script are not scored",
            yes=given["yes"],
        )
    done = set_up(
        planned,
        where,
        replace_changed=given["replace"],
        with_rehearsal=not given["no_rehearsal"],
        approvals=app.approvals,
        python=app.codalab_python,
        observer=app.observer,
    )
    cost = estimate_scoring(load(str(path)), all_records(app.home), students=1)
    app.show({**to_data(done), "cost": cost}, *_setup_blocks(done, cost))


def _where(
    app: ServerApp, server: str, path: Path, previous: Competition | None, start: Competition
) -> OrganiserTarget:
    """Find the server and its organiser; start a sandbox."""
    named = app.settings["server"]
    trusted = named is not None or previous is None or app.approvals.hold(path, profile_claims(path))
    if server == SANDBOX:
        sandbox.start(
            app.home,
            start.run.image,
            codalab_python=ensure_codalab(app.home, app.observer).python,
            tensorflow_bin=tensorflow(app).bin,
            observer=app.observer,
        )
    return target_at(app, server, start.name, named_by=None if trusted else path)


def _organiser_files(
    app: ServerApp, given: Mapping[str, Any], start: Competition, base: Competition
) -> OrganiserFiles:
    """Find the organiser's files: given now or last time, those of ``base``, answers to questions, or our own."""
    settings, record = app.settings, app.home / "organise" / start.name / "given.json"
    now = {"script": settings["script"], "label_book": settings["label_book"]}
    named = {**now, **{key: given[key] for key in ("test_set", "starting_dataset", "evaluate")}}
    if start is not base:
        before = read_json(app.home / "organise" / base.name / "given.json") or {}
        named |= {k: path for k, path in before.items() if named.get(k) is None and Path(path).exists()}
    chosen = remember_files(record, named)
    for key, text in (("label_book", "Label book"), ("test_set", "Hidden test set")):
        if key not in chosen:
            answer = _answer(app, None, f"{text} (a folder)", f"--{key.replace('_', '-')}", None)
            chosen |= remember_files(record, {key: answer})
    own, inherited = (file_beside(each, each.require_organiser().evaluate.name) for each in (start, base))
    return OrganiserFiles(
        script=chosen.get("script") or builtin_script(base).path,
        label_book=chosen["label_book"],
        test_set=chosen["test_set"],
        # The file beside the profile is a copy of the one given earlier.
        evaluate=given["evaluate"] or own or chosen.get("evaluate") or inherited,
        starting_dataset=chosen.get("starting_dataset"),
    )


def _overrides(
    app: ServerApp,
    given: Mapping[str, Any],
    previous: Competition | None,
    start: Competition,
    files: OrganiserFiles,
) -> ProfileOverrides:
    """Collect what options, answers and folders override; ask nothing about an existing profile."""
    overrides = ProfileOverrides(**{field.name: given[field.name] for field in fields(ProfileOverrides)})
    if previous is None and app.interactive:
        title = overrides.title or _answer(app, None, "Title", "--title", start.title)
        tag = overrides.tag or _answer(app, None, "Tag of a submission", "--tag", start.submission.tag)
        overrides = replace(overrides, title=title, tag=tag)
    if previous is None and overrides.classes is None and (found := classes_in(files.label_book, start)):
        app.observer.note(
            f"The classes are the label book's folders, numbered in the order {', '.join(found)}; use --classes for another order."
        )
        overrides = replace(overrides, classes=found)
    return overrides


def _answer(app: ServerApp, given: object, text: str, option: str, default: str | None) -> str:
    """Return the given value, or ask for it.

    Raises:
        UsageError: It was not given, and cldc can't ask.
    """
    if given is not None:
        return str(given)
    if not app.interactive:
        raise UsageError(
            f"{option} is missing.",
            action="Add it, or run the command in a terminal to be asked.",
        )
    return app.ask(text, default)


def _setup_blocks(done: SetUp, cost: str) -> Iterator[Block]:
    """Show a competition that is set up; ``cost`` says how long each student's submissions take to score at most."""
    yield Line(f"{done.title} is set up.", "good")
    rows = [
        ("server", f"{done.server} as {done.account}"),
        ("tag", done.tag),
        ("worksheet", done.worksheet),
        ("label book", f"{done.label_book_images:,} images, readable by everyone"),
        ("hidden test set", f"{done.test_set_images:,} images, readable by {done.account} only"),
        ("image", done.image + (f", TensorFlow {done.tensorflow}" if done.tensorflow else "")),
        ("new on the server", ", ".join(done.created) or "nothing"),
        ("profile", f"{done.profile} ({'written' if done.written else 'unchanged'})"),
    ]
    yield Table(("", ""), rows)
    if done.rehearsed is not None:
        text = f"A rehearsal was trained, scored ({done.rehearsed:.4g}), shown on a board and removed."
        yield Line(text, "good")
    if done.both:
        text = f"{done.both:,} images of the hidden test set are also in the label book, which everyone may read."
        yield Line(text, "warning")
    yield from (Line(remark, "warning") for remark in done.remarks)
    where = f"--competition {shlex.quote(str(done.profile))}{' --server sandbox' if done.sandbox else ''}"
    yield Line(cost)
    yield Line(f"Contestants: cldc submit DIR {where}")
    yield Line(f"You: cldc organise score --watch --publish board {where}")
