"""Choose an environment: the first of the wanted ones, in order of preference, that this machine can have."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from cldc.competition import TensorFlowChoice, locked_tensorflows
from cldc.environments import creation, pythons
from cldc.environments.model import Environment, Recipe
from cldc.errors import ConfigurationError, EnvironmentFailed
from cldc.progress import SILENT, Observer
from cldc.resources import template

CODALAB_PYTHON_VARIABLE = "CLDC_CODALAB_PYTHON"
_ANALYSIS_VERSION = "2.4"  # NumPy's
_ANALYSIS_PYTHONS = ("3.12", "3.11", "3.13")
_CODALAB_VERSION = "1.7.5"
# CodaLab was written for 3.9, which is preferred. On the others its pins are loosened.
_CODALAB_REQUIREMENTS = {
    "3.9": "codalab-py39",
    "3.12": "codalab-py311",
    "3.11": "codalab-py311",
    "3.13": "codalab-py311",
}


def ensure_codalab(home: Path, observer: Observer = SILENT) -> Environment:
    """Return CodaLab's environment in the data folder ``home``, created if missing.

    ``CLDC_CODALAB_PYTHON`` (as 3.12) forces its Python.

    Raises:
        ConfigurationError: CodaLab does not run on the forced Python.
        EnvironmentFailed: It can't be created, or does not work on this machine.
        StorageError: No space or no permission.
    """
    # Any Python will do, so an existing environment is used even if a preferred Python was installed since.
    return _first_ready(codalab_recipes(), home) or _ensure(codalab_recipes(), home, observer)


def ensure_tensorflow(
    choices: Sequence[TensorFlowChoice], home: Path, observer: Observer = SILENT
) -> Environment:
    """Return the first TensorFlow of ``choices``, the most faithful first, that this machine can have; created if missing.

    The observer is notified of downloads, and of each skipped choice with the reason.

    Raises:
        ConfigurationError: A choice has no locked requirements.
        EnvironmentFailed: None can be created, or the chosen one does not work on this machine.
        StorageError: No space or no permission.
    """
    return _ensure(tensorflow_recipes(choices), home, observer)


def ensure_analysis(home: Path, observer: Observer = SILENT) -> Environment:
    """Return the environment for analysing images and labels, in the data folder ``home``, created if missing.

    Raises:
        EnvironmentFailed: It can't be created, or does not work on this machine.
        StorageError: No space or no permission.
    """
    return _ensure(analysis_recipes(), home, observer)


def ready_tensorflow(choices: Sequence[TensorFlowChoice], home: Path) -> Environment | None:
    """Find the first TensorFlow of ``choices`` that is ready; create nothing. Raises what `ensure_tensorflow` raises."""
    return _first_ready(tensorflow_recipes(choices), home)


def ready_analysis(home: Path) -> Environment | None:
    """Find the environment for analysing images and labels if it is ready; create nothing."""
    return _first_ready(analysis_recipes(), home)


def _first_ready(recipes: Sequence[Recipe], home: Path) -> Environment | None:
    return next(filter(None, (creation.ready(recipe, home) for recipe in recipes)), None)


def analysis_recipes() -> list[Recipe]:
    """List the recipes of the environment for analysing images and labels: on cldc's own Python if possible, else on another."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    order = dict.fromkeys((own, *_ANALYSIS_PYTHONS) if own in _ANALYSIS_PYTHONS else _ANALYSIS_PYTHONS)
    requirements = template("environments", "analysis.txt")
    return [Recipe("analysis", _ANALYSIS_VERSION, python, requirements) for python in order]


def codalab_recipes() -> list[Recipe]:
    """List CodaLab's recipes in order of preference on this machine.

    Raises:
        ConfigurationError: It does not run on the forced Python.
    """
    forced = os.environ.get(CODALAB_PYTHON_VARIABLE)
    order = (forced,) if forced else tuple(_CODALAB_REQUIREMENTS)
    if forced and forced not in _CODALAB_REQUIREMENTS:
        raise ConfigurationError(
            f"CodaLab {_CODALAB_VERSION} can't be installed on Python {forced}.",
            action=f"Choose one of {', '.join(_CODALAB_REQUIREMENTS)}.",
        )
    if not forced and not _is_x86():
        order = (*order[1:], order[0])  # its pins of 2020 have no wheels for Arm
    return [
        Recipe(
            "codalab",
            _CODALAB_VERSION,
            python,
            template("environments", f"{_CODALAB_REQUIREMENTS[python]}.txt"),
        )
        for python in order
    ]


def tensorflow_recipes(choices: Sequence[TensorFlowChoice]) -> list[Recipe]:
    """List the recipes of a profile's choices, in order.

    Raises:
        ConfigurationError: cldc has no locked requirements for one.
    """
    for choice in choices:
        if choice.version not in locked_tensorflows():
            raise ConfigurationError(
                f"cldc has no locked requirements for TensorFlow {choice.version}.",
                action=f"Name another in the profile's training.tensorflow: {', '.join(locked_tensorflows())}.",
            )
    return [
        Recipe(
            "tensorflow",
            choice.version,
            choice.python,
            template("environments", f"tensorflow-{choice.version}.txt"),
            choice.faithful,
            choice.why,
        )
        for choice in choices
    ]


def _ensure(recipes: Sequence[Recipe], home: Path, observer: Observer) -> Environment:
    passed_over: list[str] = []
    # Any Python will do for CodaLab, so one is downloaded only if none is found. Nor is one downloaded if a fallback is
    # ready, which was created because the download failed before.
    can_fetch = recipes[0].kind == "tensorflow" and not _first_ready(recipes, home)
    for recipe in recipes:
        if environment := creation.ready(recipe, home):
            return _note_choice(environment, passed_over, observer)
        if reason := unsupported(recipe):
            passed_over.append(reason)
            continue
        interpreter = pythons.find(recipe.python, home)
        if interpreter is None and can_fetch:
            try:
                interpreter = pythons.fetch(recipe.python, home, observer)
            except EnvironmentFailed as error:
                passed_over.append(error.message)
                can_fetch = False  # the next one would wait for the same network
        elif interpreter is None:
            passed_over.append(f"There is no Python {recipe.python} on this machine.")
        if interpreter is not None:
            return _note_choice(creation.make(recipe, interpreter, home, observer), passed_over, observer)
    if recipes[0].kind != "tensorflow":
        return creation.make(recipes[0], pythons.fetch(recipes[0].python, home, observer), home, observer)
    raise EnvironmentFailed(
        f"No {recipes[0].kind} environment can be created on this machine.\n" + "\n".join(passed_over),
        action=f"Install Python {recipes[0].python} (pyenv, uv, conda or your system's packages all do), then run "
        "`cldc doctor`.",
    )


def _note_choice(environment: Environment, passed_over: Sequence[str], observer: Observer) -> Environment:
    if passed_over:
        because = f" ({environment.why})" if environment.why else ""
        observer.note(f"{passed_over[0].splitlines()[0]} Using {environment.name}{because}.")
    return environment


def unsupported(recipe: Recipe) -> str | None:
    """Explain why a recipe can't work on this kind of machine; None if it can.

    TensorFlow has wheels for Linux on Arm from 2.10, for Apple silicon from 2.13, for macOS on Intel up to 2.16.
    """
    if recipe.kind != "tensorflow":
        return None
    major, minor = (int(part) for part in recipe.version.split(".")[:2])
    machine = f"{platform.system()} on {platform.machine()}"
    if sys.platform == "darwin":
        there = (major, minor) <= (2, 16) if _is_x86() else (major, minor) >= (2, 13)
    else:
        there = _is_x86() or (major, minor) >= (2, 10)
    return None if there else f"TensorFlow {recipe.version} has no build for {machine}."


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")
