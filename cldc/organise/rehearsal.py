"""A submission of the organiser's own, trained and scored like a contestant's, and then removed.

It is the only proof that script, command, image, evaluation and score work together: a run that starts can still fail on
the class's own folders, and the profile may name a score that the evaluation does not write. It has its own tag and its own
private worksheet, so it appears on no board and spends no quota.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from cldc.codalab import CodaLab, Dependency, require_ready, wait_for
from cldc.competition import Competition
from cldc.errors import CldcError, RunFailed
from cldc.files import hash_bytes, replace_atomically, temporary_folder
from cldc.leaderboard import parse
from cldc.organise.daemon_settings import references
from cldc.organise.model import BOARD, OrganiserTarget, read_left_out
from cldc.organise.scoring import score
from cldc.package import pack
from cldc.progress import SILENT, Observer
from cldc.sample import draw
from cldc.validation import validate

# The worker first pulls the image, several gigabytes, and the class's script may train for long.
_PATIENCE_SECONDS = 3 * 3600.0
_NAME = "rehearsal"
_DRAWN = ".png"
_DRAWN_FOR_EACH = 3  # average number of images for each class of each split


def rehearse(
    codalab: CodaLab,
    competition: Competition,
    where: OrganiserTarget,
    *,
    builtin: bool,
    python: Callable[[], Path],
    observer: Observer = SILENT,
) -> float | None:
    """Submit a few drawn images as a contestant would, score them, and remove everything that this created.

    Args:
        competition: The profile with the uuids of the organiser's bundles.
        builtin: Whether the script is the one that comes with cldc, which then trains one epoch only.
        python: Creates the `codalab` environment on first use, and returns its Python.

    Returns:
        The score; None if this has passed before, or if the competition does not take drawn images.

    Raises:
        RunFailed: The training failed, or led to no score.
        CldcError: The server can't be reached or refused.
    """
    record = where.folder / "rehearsed"
    parts = (competition.dataset, competition.run, competition.bundles, competition.organiser)
    identity = hash_bytes(repr(parts))
    if record.is_file() and record.read_text(encoding="utf-8") == identity:
        return None
    if _DRAWN not in competition.dataset.extensions:
        observer.note(f"No rehearsal: drawn images are {_DRAWN}, which this competition does not take.")
        return None
    one_epoch = " --epochs 1" if builtin else ""
    mine = replace(
        competition,
        closes=None,
        run=replace(competition.run, command=competition.run.command + one_epoch),
        submission=replace(competition.submission, tag=f"{competition.submission.tag}-rehearsal"),
    )
    try:
        found = _score_of_drawn(codalab, mine, where, python(), observer)
    except RunFailed as error:
        raise RunFailed(
            f"{competition.title} is set up, but its rehearsal failed: {error.message}",
            action="Correct that and run the command again; it keeps what is there. --no-rehearsal skips the rehearsal.",
        ) from error
    replace_atomically(record, identity)
    return found


def _score_of_drawn(
    codalab: CodaLab, competition: Competition, where: OrganiserTarget, python: Path, observer: Observer
) -> float:
    rules = competition.dataset
    images = min(rules.max_images, _DRAWN_FOR_EACH * len(rules.splits) * len(rules.classes))
    with temporary_folder("cldc-rehearsal-") as folder:
        drawn = draw(folder / "rehearsal", competition, images=images)
        dataset = pack(validate(drawn, competition), folder / "packed").path
        scoring = folder / "scoring"
        with rehearsal_worksheet(codalab, competition, observer) as worksheet:
            observer.note("Rehearsing a submission, privately: training, scoring and the board.")
            _submit(codalab, competition, dataset, worksheet, observer)
            side = competition.require_organiser()
            log = replace(side.log_worksheet, uuid=worksheet)
            private = replace(competition, organiser=replace(side, log_worksheet=log))
            score(private, replace(where, folder=scoring), python=python, observer=observer)
        rows = parse((scoring / BOARD).read_text(encoding="utf-8"), competition).rows
        if rows and rows[0].score is not None and not rows[0].hidden:
            return rows[0].score
        reasons = [row.hidden for row in rows] or [left.reason for left in read_left_out(scoring)]
    why = ", ".join(reasons) or "the scoring daemon did not find it"
    raise RunFailed(f"it was trained and got no score: {why}.", action="Look at the evaluation script.")


def _submit(
    codalab: CodaLab, competition: Competition, dataset: Path, worksheet: str, observer: Observer
) -> None:
    """Submit: upload, run, predictions, tag."""
    run, bundles = competition.run, competition.bundles
    uploaded = codalab.cl.upload(worksheet, dataset, name=dataset.stem, observer=observer)
    command = run.command.format(dataset=dataset.stem, label_book=bundles.label_book.name)
    dependencies = (
        Dependency(bundles.script.name, bundles.script.uuid or "", ""),
        Dependency(dataset.stem, uploaded, ""),
        Dependency(bundles.label_book.name, bundles.label_book.uuid or "", ""),
    )
    trained = codalab.cl.run(worksheet, command, dependencies, name=run.name, image=run.image)
    ended = wait_for(codalab.rest, trained, timeout_seconds=_PATIENCE_SECONDS, observer=observer)
    require_ready(codalab.rest, ended, (run.predictions,))
    text = competition.submission.description.format(name=_NAME, institution="", link="")
    made = codalab.cl.make(
        worksheet, trained, run.predictions, name=_NAME, description=" ".join(text.split())
    )
    require_ready(codalab.rest, wait_for(codalab.rest, made, observer=observer))
    # The daemon searches for the tag, and the search ignores private bundles.
    codalab.rest.share("bundle", made, public=True)
    codalab.cl.set_tags(made, [competition.submission.tag])


@contextlib.contextmanager
def rehearsal_worksheet(codalab: CodaLab, competition: Competition, observer: Observer) -> Iterator[str]:
    """Create a private worksheet, removed at the end with its bundles; first remove one that a killed command left."""
    name = f"{competition.require_organiser().log_worksheet.name}-{_NAME}"
    for left in codalab.rest.own_worksheets(name):
        _remove(codalab, competition, left.uuid)
    uuid = codalab.cl.new_worksheet(name)
    try:
        codalab.rest.share("worksheet", uuid, public=False)
        yield uuid
    finally:
        try:
            _remove(codalab, competition, uuid)
        except CldcError as error:
            observer.note(f"The rehearsal's worksheet {name} stays on the server: {error.message}")


def _remove(codalab: CodaLab, competition: Competition, worksheet: str) -> None:
    """Remove a worksheet and its bundles, except the competition's own."""
    kept = {reference.uuid for reference in references(competition).values()}
    made = [b for b in codalab.rest.worksheet(worksheet, bundles=True).bundles if b.uuid not in kept]
    running = [b.uuid for b in made if not b.final]
    codalab.cl.kill(*running)
    for uuid in running:
        wait_for(codalab.rest, uuid, timeout_seconds=60)
    codalab.cl.remove(*(b.uuid for b in made), force=True)
    codalab.cl.remove_worksheet(worksheet, force=True)
