"""Train for a command: script, label book and TensorFlow, on this machine or a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click

from cldc.cli.app import App
from cldc.cli.server_app import ServerApp
from cldc.environments import Environment, ensure_tensorflow
from cldc.errors import ConfigurationError
from cldc.preflight.inputs import fetch_inputs
from cldc.preflight.model import Outcome, PreflightResult, Training
from cldc.preflight.pipeline import preflight
from cldc.trainings.local import LocalTrainer, most_at_once
from cldc.trainings.many import train_all
from cldc.trainings.model import Trainer
from cldc.validation import ValidationReport

SCRIPT = click.option(
    "--script", type=click.Path(), help="A training script for the preflight instead of the organisers'."
)
LABEL_BOOK = click.option(
    "--label-book", type=click.Path(), help="A label book for the preflight instead of the organisers'."
)
DASK = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Train on the Dask cluster whose scheduler is at this address (tcp://HOST:8786). It can run any program here and there: "
    "name only one that you trust.",
)


def tensorflow(app: App) -> Environment:
    """Return the environment of the competition's TensorFlow, created on first use."""
    return ensure_tensorflow(app.competition.training.tensorflow, app.home, app.observer)


def train(
    app: App, trainings: Sequence[Training], *, dask: str | None, force: bool = False
) -> tuple[Outcome, ...]:
    """Train on this machine or, given its address, on a Dask cluster; return an outcome for each training.

    Raises:
        ConfigurationError: Dask is not installed.
        ClusterUnreachable: The cluster does not answer.
        EnvironmentFailed: This machine can't have the competition's TensorFlow.
    """
    opened: contextlib.AbstractContextManager[Trainer]
    if dask is None:
        opened = LocalTrainer(tensorflow(app), app.home, at_once=most_at_once())
    elif find_spec("distributed") is None:
        raise ConfigurationError(
            "Dask is not installed beside cldc.", action="Install it: pip install 'cldc[dask]'."
        )
    else:
        from cldc.trainings.dask import dask_trainer  # noqa: PLC0415 - an extra, slow to import

        opened = dask_trainer(dask, app.home, app.observer)
    with opened as trainer:
        return train_all(trainings, trainer, home=app.home, observer=app.observer, force=force)


def trainings_of(
    app: ServerApp, reports: Sequence[ValidationReport], *, organisers: bool = False
) -> list[Training]:
    """List the trainings of datasets, with script and label book as settings name them or as `fetch_inputs` finds them.

    Args:
        app: The command's services.
        reports: The datasets' validations.
        organisers: Whether to ignore the settings, because the organisers' own count.
    """
    given, given_book = (None if organisers else app.settings[name] for name in ("script", "label_book"))
    script, label_book = fetch_inputs(
        app.competition,
        lambda: app.anonymous,
        home=app.home,
        script=Path(given) if given else None,
        label_book=Path(given_book) if given_book else None,
        observer=app.observer,
    )
    return [Training(report, script, label_book, app.competition) for report in reports]


def preflighted(
    app: ServerApp, training: Training, *, force: bool = False, quick: bool = False
) -> PreflightResult:
    """Return a valid dataset's finished preflight: an earlier one of the same fingerprint, or a new one."""
    return preflight(
        training,
        environment=tensorflow(app),
        home=app.home,
        observer=app.observer,
        force=force,
        quick=quick,
    )
