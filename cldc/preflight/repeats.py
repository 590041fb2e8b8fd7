"""Repeat a training with other seeds, to see how far its results spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cldc.competition import Competition
from cldc.errors import ConfigurationError
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import PreflightResult, Training
from cldc.preflight.pipeline import seed


@dataclass(frozen=True, slots=True)
class Spread:
    """Accuracies of several runs, from 0 to 1."""

    lowest: float
    mean: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Compute it from at least one accuracy."""
        return cls(min(values), sum(values) / len(values), max(values))


@dataclass(frozen=True, slots=True)
class RepeatedRuns:
    """Several runs on one dataset, the competition's own first."""

    runs: tuple[PreflightResult, ...]
    validation: Spread
    label_book: Spread | None


def repeats_of(training: Training, times: int) -> tuple[Training, ...]:
    """List ``times`` trainings: the training itself, then the built-in script with the following seeds.

    Only the built-in script accepts a seed: the competition's script sets its own seed and is never modified.
    Their commands differ, so their fingerprints differ too, and no submission relies on them.

    Raises:
        ConfigurationError: For the reasons of `require_seeds`, or the built-in script can't be read.
    """
    competition = training.competition
    option, script = require_seeds(competition), builtin_script(competition)
    first = seed(training.script, competition) or 0
    trainings = [training]
    for other in range(first + 1, first + times):
        run = replace(competition.run, command=f"{competition.run.command} {option} {other}")
        trainings.append(replace(training, script=script, competition=replace(competition, run=run)))
    return tuple(trainings)


def require_seeds(competition: Competition) -> str:
    """Return the option of the built-in script that sets the seed.

    Raises:
        ConfigurationError: The profile does not name it.
    """
    option = competition.training.seed_option
    if option is None:
        raise ConfigurationError(
            f"The profile {competition.name} does not name the option of its built-in script for a seed.",
            action="Add training.seed_option to it, or leave --repeat out.",
        )
    return option


def summarize_runs(runs: Sequence[PreflightResult]) -> RepeatedRuns:
    """Compute the spread of several runs."""
    book = [run.label_book.accuracy for run in runs if run.label_book is not None]
    validation = Spread.of([run.validation.accuracy for run in runs])
    return RepeatedRuns(tuple(runs), validation, Spread.of(book) if book else None)
