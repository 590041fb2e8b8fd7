"""The competition's TensorFlow. Few checks need it, so they import this module late."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cldc.cli.app import App
from cldc.environments import Environment, ensure_tensorflow
from cldc.validation.real_tensorflow import ask_tensorflow, kept_verdicts
from cldc.validation.tensorflow_decoder import Verdict


def tensorflow(app: App) -> Environment:
    """Its environment, created on first use."""
    return ensure_tensorflow(app.competition.training.tensorflow, app.home, app.observer)


def verdicts(app: App, files: Mapping[str, Path]) -> Mapping[str, Verdict]:
    """Ask TensorFlow whether it reads these files; the verdicts by name."""
    # Making the environment takes minutes, and kept answers don't need it.
    for choice in app.competition.training.tensorflow:
        if (known := kept_verdicts(files, choice.version, app.home)) is not None:
            return known
    environment = tensorflow(app)
    return ask_tensorflow(files, environment.python, environment.version, app.home)
