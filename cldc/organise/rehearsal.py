"""A submission of the organiser's own, trained and scored as a contestant's, and then removed.

It is the only proof that script, command, image, evaluation and score fit each other: a run that starts can still fail on
the class's own folders, and a score can be missing from where the profile says that it is. It has a tag and a private
separate worksheet, so that it appears on no board and spends no quota.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cldc.codalab import CodaLab, Dependency, require_ready, wait_for
from cldc.competition import Competition, Reference
from cldc.credentials import Credentials
from cldc.errors import CldcError
from cldc.organise.daemon import configuration, organiser_of, uuids_of
from cldc.organise.model import BOARD
from cldc.organise.scoring import score
from cldc.progress import SILENT, Observer

# The worker pulls the image first, which is some gigabytes, and the class's script may train for long.
_PATIENCE_SECONDS = 3 * 3600.0
_NAME = "rehearsal"


def rehearse_submission(
    codalab: CodaLab,
    competition: Competition,
    dataset: Path,
    *,
    credentials: Credentials,
    folder: Path,
    python: Path,
    observer: Observer = SILENT,
) -> str:
    """Submit a dataset as a contestant would, score it, and remove everything that this made.

    Args:
        competition: The profile with the uuids of the organiser's bundles.
        dataset: A zip of a valid dataset.

    Returns:
        The leaderboard's JSON, with one entry.

    Raises:
        RunFailed: The training failed, or left no predictions.
        CldcError: The server can't be reached or refused.
    """
    mine = replace(
        competition, submission=replace(competition.submission, tag=f"{competition.submission.tag}-rehearsal")
    )
    with rehearsal_worksheet(codalab, mine, observer) as worksheet:
        observer.note("Rehearsing a submission, privately: training, scoring and the board.")
        _submit(codalab, mine, dataset, worksheet, observer)
        uuids = {**uuids_of(mine), "log": worksheet}
        config = configuration(codalab.rest.server, credentials.username, mine, uuids)
        unlimited = replace(mine, closes=None)
        score(config, unlimited, folder, credentials, python=python, observer=observer)
        return (folder / BOARD).read_text(encoding="utf-8")


def _submit(
    codalab: CodaLab, competition: Competition, dataset: Path, worksheet: str, observer: Observer
) -> None:
    """Upload, run, predictions, tag: the steps of a submission."""
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
    # The daemon finds what is tagged by a search, which passes over private bundles.
    codalab.cl.set_public([made])
    codalab.cl.set_tags(made, [competition.submission.tag])


@contextlib.contextmanager
def rehearsal_worksheet(codalab: CodaLab, competition: Competition, observer: Observer) -> Iterator[str]:
    """A private worksheet, removed at the end with all that was made on it; one of a command that was killed goes first."""
    name = f"{organiser_of(competition).log_worksheet.name}-{_NAME}"
    for left in codalab.rest.own_worksheets(name):
        _remove(codalab, competition, left.uuid)
    uuid = codalab.cl.new_worksheet(name)
    try:
        codalab.cl.set_private([], uuid)
        yield uuid
    finally:
        try:
            _remove(codalab, competition, uuid)
        except CldcError as error:
            observer.note(f"The rehearsal's worksheet {name} stays on the server: {error.message}")


def _remove(codalab: CodaLab, competition: Competition, worksheet: str) -> None:
    """Remove a worksheet and its bundles, but for the organiser's own."""
    side, bundles = organiser_of(competition), competition.bundles
    references: tuple[Reference | None, ...] = (
        bundles.script,
        bundles.label_book,
        bundles.starting_dataset,
        side.test_set,
        side.evaluate,
    )
    kept = {reference.uuid for reference in references if reference is not None}
    made = [b for b in codalab.rest.worksheet(worksheet, bundles=True).bundles if b.uuid not in kept]
    running = [b.uuid for b in made if not b.final]
    codalab.cl.kill(*running)
    for uuid in running:
        wait_for(codalab.rest, uuid, timeout_seconds=60)
    codalab.cl.remove(*(b.uuid for b in made), force=True)
    codalab.cl.remove_worksheet(worksheet, force=True)
