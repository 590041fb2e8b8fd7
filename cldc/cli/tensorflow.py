"""The competition's TensorFlow."""

from __future__ import annotations

from cldc.cli.app import App
from cldc.environments import Environment, ensure_tensorflow


def tensorflow(app: App) -> Environment:
    """Its environment, created on first use."""
    return ensure_tensorflow(app.competition.training.tensorflow, app.home, app.observer)
