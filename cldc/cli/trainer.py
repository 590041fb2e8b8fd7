"""What trains several times at once: this machine, or a Dask cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib.util import find_spec

import click

from cldc.cli.app import App
from cldc.cli.tensorflow import tensorflow
from cldc.errors import ConfigurationError
from cldc.trainings.local import LocalTrainer, most_at_once
from cldc.trainings.model import Trainer

DASK = click.option(
    "--dask",
    metavar="ADDRESS",
    help="Train on the Dask cluster whose scheduler is at this address (tcp://HOST:8786). It can run any program here and there: "
    "name only one that you trust.",
)


@contextlib.contextmanager
def trainer(app: App, *, dask: str | None) -> Iterator[Trainer]:
    """Open this machine's trainer, or that of the Dask cluster at an address.

    Raises:
        ConfigurationError: Dask is not installed.
        ClusterUnreachable: The cluster does not answer.
        EnvironmentFailed: This machine can't have the competition's TensorFlow.
    """
    if dask is None:
        with LocalTrainer(tensorflow(app), app.home, at_once=most_at_once()) as here:
            yield here
        return
    if find_spec("distributed") is None:
        raise ConfigurationError(
            "Dask is not installed beside cldc.", action="Install it: pip install 'cldc[dask]'."
        )
    from cldc.trainings.dask import dask_trainer  # noqa: PLC0415 - an extra, which takes half a second to import

    with dask_trainer(dask, app.home, app.observer) as cluster:
        yield cluster
