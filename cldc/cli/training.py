"""Trains on one dataset: with what, and the preflight itself."""

from __future__ import annotations

from pathlib import Path

from cldc.cli.server import ServerApp
from cldc.cli.tensorflow import tensorflow
from cldc.preflight.fetching import TrainingInputs, fetch_inputs
from cldc.preflight.model import PreflightResult
from cldc.preflight.pipeline import preflight
from cldc.validation import ValidationReport


def training_inputs(app: ServerApp, *, organisers: bool = False) -> TrainingInputs:
    """Script and label book as settings name them, or as `fetch_inputs` finds them.

    Args:
        app: The command's services.
        organisers: Whether to ignore the settings, because the organisers' own count.
    """
    script, label_book = (None if organisers else app.settings[name] for name in ("script", "label_book"))
    return fetch_inputs(
        app.competition,
        lambda: app.anonymous,
        home=app.home,
        script=Path(script) if script else None,
        label_book=Path(label_book) if label_book else None,
        observer=app.observer,
    )


def preflighted(
    app: ServerApp,
    report: ValidationReport,
    inputs: TrainingInputs,
    *,
    force: bool = False,
    quick: bool = False,
) -> PreflightResult:
    """A finished preflight of a valid dataset: an earlier one of the same fingerprint, or one made now."""
    return preflight(
        inputs.training(report, app.competition),
        environment=tensorflow(app),
        home=app.home,
        observer=app.observer,
        force=force,
        quick=quick,
    )
