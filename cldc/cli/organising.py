"""What `cldc organise` does: who the organiser is and where, setting up, publishing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from cldc import credentials, sandbox
from cldc import organise as room
from cldc.address import check
from cldc.cli.sandbox import evaluate_beside_profile, remembered
from cldc.cli.server import ServerApp
from cldc.cli.tensorflow import tensorflow
from cldc.codalab import CodaLab, Rest
from cldc.competition import SANDBOX, Competition, load
from cldc.credentials import Credentials
from cldc.environments import ensure_codalab
from cldc.errors import CodaLabError, ConfigurationError, InvalidDataset, RunFailed, UsageError
from cldc.files import hash_bytes, replace_atomically, storage_errors, temporary_folder
from cldc.leaderboard import Leaderboard, parse
from cldc.organise import (
    ProfileOverrides,
    Rehearsal,
    Seed,
    board_file,
    is_pinned,
    read_json,
    read_left_out,
    rehearse,
    rehearse_submission,
    write_profile,
)
from cldc.organise.daemon import organiser_of
from cldc.package import pack
from cldc.preflight.records import all_records
from cldc.preflight.sources import builtin_script, read_label_book
from cldc.render.blocks import Block, Line, Table
from cldc.render.board_page import board_page
from cldc.render.formats.html import render_page
from cldc.sample import draw
from cldc.text import plural
from cldc.trainings.expected import expect_class
from cldc.trust import profile_claims
from cldc.validation import validate

_DRAWN = ".png"
_DRAWN_FOR_EACH = 3  # images of a rehearsal for each class of each split, on the average


@dataclass(frozen=True, slots=True)
class OrganiserTarget:
    """A CodaLab, its organiser, and the folder in which this machine keeps the competition."""

    address: str
    credentials: Credentials
    folder: Path
    sandbox: bool


@dataclass(frozen=True, slots=True)
class SetUp:
    """A competition that is set up.

    Attributes:
        written: Whether the profile's file was written.
        created: Keys of the worksheets and bundles that were created.
        both: Images that are both in the hidden test set and in the label book, which everyone may read.
        image: The container image of the runs, by digest if a rehearsal found it out.
        tensorflow: The TensorFlow in it; None if no rehearsal ran, or if none works there.
        rehearsed: The score of a submission of drawn images, which was removed again; None if none was made now.
        cost: How long each student's submissions take to score at most.
        remarks: What to know about the script, the image and its TensorFlow.
    """

    profile: Path
    written: bool
    title: str
    tag: str
    server: str
    account: str
    worksheet: str
    uuids: Mapping[str, str]
    created: tuple[str, ...]
    label_book_images: int
    test_set_images: int
    both: int
    image: str
    tensorflow: str | None
    rehearsed: float | None
    cost: str
    remarks: tuple[str, ...]
    sandbox: bool

    def blocks(self) -> list[Block]:
        """For a person."""
        rows = [
            ("server", f"{self.server} as {self.account}"),
            ("tag", self.tag),
            ("worksheet", self.worksheet),
            ("label book", f"{self.label_book_images:,} images, readable by everyone"),
            ("hidden test set", f"{self.test_set_images:,} images, readable by {self.account} only"),
            ("image", self.image + (f", TensorFlow {self.tensorflow}" if self.tensorflow else "")),
            ("new on the server", ", ".join(self.created) or "nothing"),
            ("profile", f"{self.profile} ({'written' if self.written else 'unchanged'})"),
        ]
        where = f"--competition {shlex.quote(str(self.profile))}{' --server sandbox' if self.sandbox else ''}"
        blocks: list[Block] = [Line(f"{self.title} is set up.", "good"), Table(("", ""), rows)]
        if self.rehearsed is not None:
            told = f"A rehearsal was trained, scored ({self.rehearsed:.4g}), shown on a board and removed."
            blocks.append(Line(told, "good"))
        if self.both:
            told = f"{self.both:,} images of the hidden test set are also in the label book, which everyone may read."
            blocks.append(Line(told, "warning"))
        blocks += [Line(remark, "warning") for remark in self.remarks]
        return [
            *blocks,
            Line(self.cost),
            Line(f"Contestants: cldc submit DIR {where}"),
            Line(f"You: cldc organise score --watch --publish board {where}"),
        ]


# Server and account ---------------------------------------------------------------------------------------------


def organiser_target(app: ServerApp, *, sign_in: bool = True) -> OrganiserTarget:
    """The chosen server, or that of the competition's profile, with its organiser.

    Args:
        app: The command.
        sign_in: Whether the account's password is needed.
    """
    settings = app.settings
    return _target_at(
        app, settings.server, app.competition.name, sign_in=sign_in, named_by=settings.unapproved_profile
    )


def _target_at(
    app: ServerApp, server: str, name: str, *, sign_in: bool = True, named_by: Path | None = None
) -> OrganiserTarget:
    """`organiser_target` for any server and competition; ``named_by`` as for `App.credentials_for`.

    On the sandbox, by name or by address, it is the sandbox's organiser; elsewhere the account that is signed in.
    """
    folder, up = app.home / "organise" / name, sandbox.status(app.home)
    if server == SANDBOX or (up is not None and server == up.address):
        address = sandbox.require_up(app.home).address
        return OrganiserTarget(
            address, sandbox.organiser(app.home), sandbox.folder_of(app.home, name), sandbox=True
        )
    address = check(server)
    if not sign_in:
        return OrganiserTarget(address, credentials.Credentials("", "", "nobody"), folder, sandbox=False)
    return OrganiserTarget(address, app.credentials_for(address, named_by=named_by), folder, sandbox=False)


# Setting up -----------------------------------------------------------------------------------------------------


def set_up(app: ServerApp, given: Mapping[str, Any]) -> SetUp:
    """Put the competition on the server and write its profile; what is there and right is kept.

    Raises:
        UsageError: Something is missing, and nobody can be asked.
        CldcError: The server or a file can't be used.
    """
    path = Path(_answer(app, given["profile"], "Profile to write", "--profile", "class.toml"))
    previous = load(str(path)) if path.is_file() else None
    start = previous or room.begin(app.competition, path)
    where = _where(app, path, previous, start)
    seed = _seed(app, given, start, app.competition if previous is None else start)
    overrides = _overrides(app, given, previous, start, seed)
    drafted = room.draft(start, overrides, server=where.address)
    builtin = room.is_builtin(seed.script)
    if builtin:
        drafted = room.with_builtin_options(drafted, epochs=overrides.epochs)
    elif previous is None and overrides.command is None:
        plain = room.without_builtin_options(drafted.run.command)
        drafted = replace(drafted, run=replace(drafted.run, command=plain))
    seed, both, counts = _checked(drafted, seed)
    if given["replace"]:
        app.confirm(
            "Replace the bundles whose files have changed? Submissions made with an older label book or script will not be "
            "scored any more.",
            yes=given["yes"],
            stake=(
                f"replace the bundles of {drafted.title} on {where.address} whose files have changed, "
                "after which submissions made with an older label book or script are not scored"
            ),
        )
    if seed.evaluate is not None:
        room.keep_evaluation(drafted, seed.evaluate, path, overwrite=given["replace"])
    seeded = room.seed(
        where.address,
        where.credentials,
        room.without_uuids(drafted) if given["replace"] else drafted,
        seed,
        folder=where.folder,
        observer=app.observer,
    )
    competition = room.with_uuids(drafted, seeded.uuids)
    if not builtin:
        competition = room.with_own_script(competition, seed.script, path, new=previous is None)
    _check_readable(app, where.address, competition)
    # Written before the rehearsal, which may take long: if it is interrupted, the profile works already.
    written = _write(app, competition, path)
    rehearsal = _rehearsed(app, where, previous, competition)
    competition = _pinned(competition, rehearsal)
    written = _write(app, competition, path) or written
    rehearsed = (
        None if given["no_rehearsal"] else _rehearse_submission(app, where, competition, builtin=builtin)
    )
    return SetUp(
        profile=path,
        written=written,
        title=competition.title,
        tag=competition.submission.tag,
        server=where.address,
        account=where.credentials.username,
        worksheet=f"{where.address}/worksheets/{seeded.uuids['utils']}",
        uuids=seeded.uuids,
        created=seeded.created,
        label_book_images=counts[0],
        test_set_images=counts[1],
        both=both,
        image=competition.run.image,
        tensorflow=rehearsal.tensorflow if rehearsal else None,
        rehearsed=rehearsed,
        cost=expect_class(competition, all_records(app.home), students=1),
        remarks=(
            *_remarks(competition, where, rehearsal),
            *_unknown_of_script(competition, path),
            *_outdated_scores(competition, where),
        ),
        sandbox=where.sandbox,
    )


def _write(app: ServerApp, competition: Competition, path: Path) -> bool:
    """Write the profile, and approve the server in it, which this organiser has chosen; whether it changed."""
    written = write_profile(competition, path)
    app.approvals.approve(path, profile_claims(path))
    return written


def _rehearsed(
    app: ServerApp, where: OrganiserTarget, previous: Competition | None, competition: Competition
) -> Rehearsal | None:
    """What a run in the image reveals; None on the sandbox, or if an earlier run has pinned the image."""
    known = previous is not None and previous.run.image == competition.run.image
    if where.sandbox or (known and is_pinned(competition.run.image)):
        return None
    side = organiser_of(competition)
    assert side.log_worksheet.uuid is not None  # noqa: S101 - it has just been set up
    with CodaLab(
        where.address, where.credentials, python=app.codalab_python, observer=app.observer
    ) as codalab:
        return rehearse(codalab, competition, side.log_worksheet.uuid, observer=app.observer)


def _rehearse_submission(
    app: ServerApp, where: OrganiserTarget, competition: Competition, *, builtin: bool
) -> float | None:
    """The score of a submission of drawn images; None if the same was rehearsed before, or none can be drawn.

    Raises:
        RunFailed: Its training failed, or it got no score.
    """
    record = where.folder / "rehearsed"
    parts = (competition.dataset, competition.run, competition.bundles, competition.organiser)
    identity = hash_bytes(repr(parts))
    if record.is_file() and record.read_text(encoding="utf-8") == identity:
        return None
    if _DRAWN not in competition.dataset.extensions:
        app.observer.note(f"No rehearsal: drawn images are {_DRAWN}, which this competition does not take.")
        return None
    run = competition.run
    if builtin:  # one epoch shows as much
        run = replace(run, command=f"{run.command} --epochs 1")
    try:
        score = _score_of_drawn(app, where, replace(competition, run=run))
    except RunFailed as error:
        raise RunFailed(
            f"{competition.title} is set up, but its rehearsal failed: {error.message}",
            action="Correct that and run the command again; it keeps what is there. --no-rehearsal skips the rehearsal.",
        ) from error
    replace_atomically(record, identity)
    return score


def _score_of_drawn(app: ServerApp, where: OrganiserTarget, competition: Competition) -> float:
    rules = competition.dataset
    images = min(rules.max_images, _DRAWN_FOR_EACH * len(rules.splits) * len(rules.classes))
    with temporary_folder("cldc-rehearsal-") as folder:
        drawn = draw(folder / "rehearsal", competition, images=images)
        package = pack(validate(drawn, competition), folder / "packed")
        with CodaLab(
            where.address, where.credentials, python=app.codalab_python, observer=app.observer
        ) as codalab:
            text = rehearse_submission(
                codalab,
                competition,
                package.path,
                credentials=where.credentials,
                folder=folder / "scoring",
                python=app.codalab_python(),
                observer=app.observer,
            )
        rows = parse(text, competition).rows
        if rows and rows[0].score is not None and not rows[0].hidden:
            return rows[0].score
        reasons = [row.hidden for row in rows] or [left.reason for left in read_left_out(folder / "scoring")]
        told = ", ".join(reasons) or "the scoring daemon did not find it"
        raise RunFailed(f"it was trained and got no score: {told}.", action="Look at the evaluation script.")


def _pinned(competition: Competition, rehearsal: Rehearsal | None) -> Competition:
    image = rehearsal.image if rehearsal else None
    return replace(competition, run=replace(competition.run, image=image or competition.run.image))


def _remarks(
    competition: Competition, where: OrganiserTarget, rehearsal: Rehearsal | None
) -> tuple[str, ...]:
    """What an organiser should know about the image and its TensorFlow."""
    if where.sandbox:
        image = competition.run.image
        return (f"The sandbox uses an environment of this machine instead of {image}; nothing is pinned.",)
    return rehearsal.remarks(competition) if rehearsal else ()


def _unknown_of_script(competition: Competition, profile: Path) -> tuple[str, ...]:
    """What preflights can't do with the class's script, since the profile does not say how."""
    training = competition.training
    lacks = []
    if training.checkpoint is None:
        lacks.append(
            "show the trained model's prediction for each image (training.checkpoint, the weights it leaves)"
        )
    if training.seed_option is None:
        lacks.append("be repeated with other seeds (training.seed_option)")
    if not lacks:
        return ()
    return (
        f"Preflights with {training.builtin} can't {' or '.join(lacks)}; if the script can, add that to {profile.name}.",
    )


def _outdated_scores(competition: Competition, where: OrganiserTarget) -> tuple[str, ...]:
    """What to do about scores that come from another hidden test set or evaluation script."""
    count = len(room.outdated(competition, where.folder))
    if not count:
        return ()
    return (
        f"No score from the present hidden test set and evaluation script: {plural(count, 'entry', 'entries')} of the board. "
        "`cldc organise rescore --all` evaluates them again.",
    )


def _where(app: ServerApp, path: Path, previous: Competition | None, start: Competition) -> OrganiserTarget:
    """The server that is given, or else that of the existing profile; a sandbox is started."""
    named = app.settings["server"]
    trusted = named is not None or previous is None or app.approvals.hold(path, profile_claims(path))
    known = named or (previous.server if previous else None)
    server = _answer(app, known, "Address of your CodaLab, or sandbox", "--server", None)
    if server == SANDBOX:
        sandbox.start(
            app.home,
            start.run.image,
            codalab_python=ensure_codalab(app.home, app.observer).python,
            tensorflow_bin=tensorflow(app).bin,
            observer=app.observer,
        )
    return _target_at(app, server, start.name, named_by=None if trusted else path)


def _seed(app: ServerApp, given: Mapping[str, Any], start: Competition, base: Competition) -> Seed:
    """The organiser's files: those given now or the last time, else those of ``base``, else answers to questions or our own."""
    settings, record = app.settings, app.home / "organise" / start.name / "given.json"
    now = {"script": settings["script"], "label_book": settings["label_book"]}
    named = {**now, **{key: given[key] for key in ("test_set", "starting_dataset", "evaluate")}}
    if start is not base:
        before = read_json(app.home / "organise" / base.name / "given.json") or {}
        named |= {key: path for key, path in before.items() if named.get(key) is None}
    chosen: dict[str, Path] = remembered(record, named)
    for key, text in (("label_book", "Label book"), ("test_set", "Hidden test set")):
        if key not in chosen:
            answer = _answer(app, None, f"{text} (a folder)", f"--{key.replace('_', '-')}", None)
            chosen |= remembered(record, {key: answer})
        if key not in chosen:
            raise UsageError(f"There is no folder {answer}.", action="Check the path.")
    # What lies beside the profile is the class's own copy of what was given once.
    evaluate = given["evaluate"] or evaluate_beside_profile(start)
    return Seed(
        script=chosen.get("script") or builtin_script(base).path,
        label_book=chosen["label_book"],
        test_set=chosen["test_set"],
        evaluate=evaluate or chosen.get("evaluate") or evaluate_beside_profile(base),
        starting_dataset=chosen.get("starting_dataset"),
    )


def _overrides(
    app: ServerApp, given: Mapping[str, Any], previous: Competition | None, start: Competition, seed: Seed
) -> ProfileOverrides:
    """What the options, answers and folders say; nothing is asked about an existing profile."""
    title, tag = given["title"], given["tag"]
    if previous is None and app.interactive:
        title = title or _answer(app, None, "Title", "--title", start.title)
        tag = tag or _answer(app, None, "Tag of a submission", "--tag", start.submission.tag)
    classes = _words(given["classes"])
    if previous is None and classes is None:
        classes = _classes_in(app, seed.label_book, start)
    return ProfileOverrides(
        title=title,
        tag=tag,
        classes=classes,
        splits=_words(given["splits"]),
        image_size=_height_and_width(given["image_size"]),
        epochs=given["epochs"],
        window_days=given["window_days"],
        per_window=given["per_window"],
        total=given["total"],
        closes=_moment(given["closes"]) if given["closes"] else None,
        image=given["image"],
        command=given["run_command"],
        leaderboard=given["leaderboard"],
    )


def _classes_in(app: ServerApp, label_book: Path, start: Competition) -> tuple[str, ...] | None:
    """The label book's folders, if they are not the classes of the profile to start from."""
    found = sorted(p.name for p in label_book.iterdir() if p.is_dir() and not p.name.startswith("."))
    inside = label_book / start.bundles.label_book.name
    if found == [inside.name]:
        found = sorted(p.name for p in inside.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(found) < 2 or set(found) == set(start.dataset.classes):
        return None
    app.observer.note(
        f"The classes are the label book's folders, numbered in the order {', '.join(found)}; use --classes for another order."
    )
    return tuple(found)


def _checked(competition: Competition, seed: Seed) -> tuple[Seed, int, tuple[int, int]]:
    """The seed with the folders that hold the class folders; the number of images in both sets; the number in each.

    Raises:
        InvalidDataset: A class is missing or has no image, or a file can't be read.
    """
    books = [read_label_book(folder, competition) for folder in (seed.label_book, seed.test_set)]
    for book in books:
        filled = {path.partition("/")[0] for path, _ in book.images}
        if empty := [name for name in competition.dataset.classes if name not in filled]:
            raise InvalidDataset(
                f"{book.root} has no image of {', '.join(empty)}.",
                action=f"Put images ({' '.join(competition.dataset.extensions)}) into each class folder.",
            )
    start = seed.starting_dataset
    if start is not None and (lacking := [s for s in competition.dataset.splits if not (start / s).is_dir()]):
        raise InvalidDataset(
            f"The starting dataset {start} has no folder {' and no folder '.join(lacking)}.",
            action="Give the splits' names with --splits.",
        )
    hashes = [{sha256 for _, sha256 in book.images} for book in books]
    roots = replace(seed, label_book=books[0].root, test_set=books[1].root)
    return roots, len(hashes[0] & hashes[1]), (len(books[0].images), len(books[1].images))


def _check_readable(app: ServerApp, address: str, competition: Competition) -> None:
    """Check that everyone can read what is public, and nobody what is hidden.

    Raises:
        CodaLabError: A bundle has the wrong permission.
    """
    bundles, side = competition.bundles, competition.organiser
    assert side is not None  # noqa: S101 - the draft has one
    wanted = [
        (bundles.script, True),
        (bundles.label_book, True),
        (side.test_set, False),
        (side.evaluate, False),
    ]
    with Rest(address, observer=app.observer) as everyone:
        for reference, readable in wanted:
            assert reference.uuid is not None  # noqa: S101 - it has just been set up
            if everyone.bundle(reference.uuid).readable != readable:
                state = "can't be read by everyone" if readable else "can be read by everyone"
                raise CodaLabError(
                    f"The bundle {reference.name} ({reference.uuid}) {state}.",
                    action="Set its permissions on its page, then run the command again.",
                )


# The board and its page -----------------------------------------------------------------------------------------------------


def read_board(app: ServerApp, where: OrganiserTarget) -> Leaderboard:
    """The board of the daemon's last pass, with the rulings, the roster and the deadline as they are now.

    Raises:
        ConfigurationError: There was no pass yet.
    """
    path = board_file(where.folder)
    if not path.is_file():
        raise ConfigurationError(
            f"Nothing was scored for {app.competition.name} on this machine yet.",
            action="Run `cldc organise score` first.",
        )
    room.write_board(app.competition, where.folder)
    return parse(path.read_text(encoding="utf-8"), app.competition)


def publish_files(
    board: Leaderboard, source: Path, competition: Competition, folder: Path
) -> tuple[Path, Path]:
    """Write the page and the daemon's JSON into ``folder``, for everyone to read; returns both paths.

    Raises:
        StorageError: They can't be written.
    """
    page, data = folder / "index.html", folder / "leaderboard.json"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        replace_atomically(data, source.read_bytes(), mode=0o644)
    replace_atomically(page, render_page(board_page(board, title=competition.title)), mode=0o644)
    return page, data


# Answers --------------------------------------------------------------------------------------------------------


def _answer(app: ServerApp, given: object, text: str, option: str, default: str | None) -> str:
    """What was given, or else what the person at the terminal answers.

    Raises:
        UsageError: It was not given, and nobody can be asked.
    """
    if given is not None:
        return str(given)
    if not app.interactive:
        raise UsageError(
            f"{option} is missing ({text[0].lower()}{text[1:]}).",
            action="Add it, or run the command in a terminal to be asked.",
        )
    app.output.close()
    answer: str = click.prompt(text, default=default, err=True)
    return answer


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


def _height_and_width(text: str | None) -> tuple[int, ...] | None:
    words = _words(text)
    if words is None:
        return None
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        raise UsageError(
            f"{text!r} is not an image size.", action="Write height and width in pixels, as 32,32."
        )
    return tuple(int(word) for word in words)


def _words(text: str | None) -> tuple[str, ...] | None:
    return tuple(word.strip() for word in text.split(",")) if text else None
