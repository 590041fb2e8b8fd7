"""Estimate how long trainings take, from earlier ones on this machine or from one measured elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from statistics import mean, median

from cldc.competition import Competition
from cldc.preflight.model import PreflightResult, Training
from cldc.text import duration, plural

# Loading TensorFlow and building the model; independent of the number of images.
_START_SECONDS = 10.0
# The starting dataset of 2021 (2,880 images, 100 epochs) took 20 minutes on two processors.
_ASSUMED_IMAGES = 2880
_ASSUMED_SECONDS = 20 * 60 / (_ASSUMED_IMAGES * 100)
# How many processors one training keeps busy; the others are free for the next one.
PROCESSORS_EACH = 1.4


def estimate_scoring(competition: Competition, records: Iterable[PreflightResult], *, students: int) -> str:
    """Estimate, as one sentence, the longest that scoring a class can take on a CodaLab's workers.

    Args:
        competition: Its quota limits how many submissions each student makes.
        records: Earlier trainings; those of the competition on this machine count.
    """
    seconds = [
        record.seconds for record in _local(records) if record.fingerprint.competition == competition.name
    ]
    assumed = _START_SECONDS + _ASSUMED_SECONDS * _ASSUMED_IMAGES * competition.training.epochs
    each, count = median(seconds) if seconds else assumed, students * competition.quota.total
    return (
        f"{plural(students, 'student')} may make {plural(count, 'submission')}. Each takes a training of about {duration(each)} to score "
        f"({_source(measured=bool(seconds))}): at most {duration(each * count)} on one worker."
    )


def _local(records: Iterable[PreflightResult]) -> list[PreflightResult]:
    """Return the complete trainings on this machine."""
    return [record for record in records if record.complete and not record.fingerprint.server]


def _source(*, measured: bool) -> str:
    return "by earlier trainings" if measured else "assumed, as none was measured here"


def estimate_trainings(
    trainings: Collection[Training], records: Iterable[PreflightResult], *, at_once: int, processors: int
) -> str:
    """Estimate, as one sentence, how long the trainings take; there must be at least one.

    Args:
        records: Earlier trainings; those with the same script and command on no server count.
    """
    kinds = {(training.script.sha256, training.competition.run.command) for training in trainings}
    rates = [
        max(0.0, record.seconds - _START_SECONDS) / (record.total * record.fingerprint.epochs)
        for record in _local(records)
        if (record.fingerprint.script, record.fingerprint.command) in kinds
    ]
    rate = median(rates) if rates else _ASSUMED_SECONDS
    alone = [
        _START_SECONDS + rate * len(training.report.dataset.images) * training.competition.training.epochs
        for training in trainings
    ]
    at_once = min(at_once, len(alone))
    together = sum(alone) / max(1.0, min(at_once, processors / PROCESSORS_EACH))
    return (
        f"{len(alone)} trainings of about {duration(mean(alone))} each, {at_once} at once: "
        f"about {duration(together)} ({_source(measured=bool(rates))})."
    )
