"""How long trainings will take, said before they start: by earlier ones on this machine, or by one that was measured elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from statistics import median

from cldc.competition import Competition
from cldc.preflight.model import PreflightResult, Training
from cldc.text import duration, plural

# Loading TensorFlow and building the model, which no image makes longer.
_START_SECONDS = 10.0
# The starting dataset of 2021 (2,880 images, 100 epochs) took 20 minutes on two processors.
_ASSUMED_IMAGES = 2880
_ASSUMED_SECONDS = 20 * 60 / (_ASSUMED_IMAGES * 100)
# Of a training on any machine; the rest of a processor goes to the next one.
PROCESSORS_EACH = 1.4


@dataclass(frozen=True, slots=True)
class Expected:
    """What several trainings are expected to take.

    Attributes:
        trainings: How many there are.
        at_once: How many of them run at the same time.
        each_seconds: What one takes alone, on the average.
        seconds: What all take together.
        measured: Whether earlier trainings with the same script and command say so.
    """

    trainings: int
    at_once: int
    each_seconds: float
    seconds: float
    measured: bool

    def __str__(self) -> str:
        """As one sentence."""
        return (
            f"{self.trainings} trainings of about {duration(self.each_seconds)} each, {self.at_once} at once: "
            f"about {duration(self.seconds)} ({_source(measured=self.measured)})."
        )


def expect_class(competition: Competition, records: Iterable[PreflightResult], *, students: int) -> str:
    """What scoring a class may take on a CodaLab's workers at most, as one sentence.

    Args:
        competition: Whose quota allows each student so many submissions.
        records: Earlier trainings; those of the competition on this machine count.
        students: How many there are.
    """
    seconds = [
        record.seconds
        for record in records
        if record.complete
        and not record.fingerprint.server
        and record.fingerprint.competition == competition.name
    ]
    assumed = _START_SECONDS + _ASSUMED_SECONDS * _ASSUMED_IMAGES * competition.training.epochs
    each, count = median(seconds) if seconds else assumed, students * competition.quota.total
    return (
        f"{plural(students, 'student')} may make {plural(count, 'submission')}. Each takes a training of about {duration(each)} to score "
        f"({_source(measured=bool(seconds))}): at most {duration(each * count)} on one worker."
    )


def _source(*, measured: bool) -> str:
    return "by earlier trainings" if measured else "assumed, as none was measured here"


def expect(
    trainings: Collection[Training], records: Iterable[PreflightResult], *, at_once: int, processors: int
) -> Expected:
    """Estimate how long the trainings, at least one, take.

    Args:
        trainings: What is to be trained.
        records: Earlier trainings; those with the same script and command on no server count.
        at_once: How many run at the same time.
        processors: How many processors they share.
    """
    kinds = {(training.script.sha256, training.competition.run.command) for training in trainings}
    rates = [
        max(0.0, record.seconds - _START_SECONDS)
        / (sum(list(record.images.values())[:-1]) * record.fingerprint.epochs)  # the label book comes last
        for record in records
        if record.complete
        and not record.fingerprint.server
        and (record.fingerprint.script, record.fingerprint.command) in kinds
    ]
    rate = median(rates) if rates else _ASSUMED_SECONDS
    alone = [
        _START_SECONDS + rate * len(training.report.dataset.images) * training.competition.training.epochs
        for training in trainings
    ]
    at_once = min(at_once, len(alone))
    together = sum(alone) / max(1.0, min(at_once, processors / PROCESSORS_EACH))
    return Expected(len(alone), at_once, sum(alone) / len(alone), together, bool(rates))
