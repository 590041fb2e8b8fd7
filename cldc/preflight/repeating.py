"""The same training from other seeds, to see how far apart its results lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from cldc.competition import Competition
from cldc.errors import ConfigurationError
from cldc.preflight.model import PreflightResult


@dataclass(frozen=True, slots=True)
class Spread:
    """Accuracies of several runs, from 0 to 1."""

    lowest: float
    mean: float
    highest: float


@dataclass(frozen=True, slots=True)
class Repeated:
    """Several runs on one dataset, the competition's own first."""

    runs: tuple[PreflightResult, ...]
    validation: Spread
    label_book: Spread | None


def other_seeds(competition: Competition, first: PreflightResult, count: int) -> tuple[Competition, ...]:
    """The competition with a command for each of ``count`` seeds after that of the ``first`` run.

    For the built-in script only: the competition's own sets its seed itself, and is never modified. The command
    makes them other fingerprints, which no submission rests on.

    Raises:
        ConfigurationError: As `require_seeds`.
    """
    option = require_seeds(competition)
    start = first.fingerprint.seed or 0
    return tuple(
        dataclasses.replace(
            competition,
            run=dataclasses.replace(competition.run, command=f"{competition.run.command} {option} {seed}"),
        )
        for seed in range(start + 1, start + count + 1)
    )


def require_seeds(competition: Competition) -> str:
    """What the built-in script takes before another seed.

    Raises:
        ConfigurationError: The profile does not say it.
    """
    option = competition.training.seed_option
    if option is None:
        raise ConfigurationError(
            f"The profile {competition.name} does not say how its built-in script is told another seed.",
            action="Add training.seed_option to it, or leave --repeat out.",
        )
    return option


def repeated(runs: Sequence[PreflightResult]) -> Repeated:
    """What several runs come to."""
    book = [run.label_book.accuracy for run in runs if run.label_book is not None]
    return Repeated(
        tuple(runs), _spread([run.validation.accuracy for run in runs]), _spread(book) if book else None
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(min(values), sum(values) / len(values), max(values))
