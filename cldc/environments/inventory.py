"""Report the environments that exist or would be created, and their problems; creates nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cldc.competition import TensorFlowChoice
from cldc.environments import creation, pythons
from cldc.environments.model import MARKER, Environment, Recipe, environments_folder, read_marker
from cldc.environments.selection import analysis_recipes, codalab_recipes, tensorflow_recipes, unsupported
from cldc.errors import CldcError, EnvironmentFailed, UsageError
from cldc.files import lock, remove_tree, storage_errors


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The state of a wanted environment.

    Attributes:
        recipe: What it is created from.
        used: Whether this is the one that cldc uses on this machine; at most one of each kind is.
        environment: The ready environment, if there is one.
        interpreter: The Python that it was, or would be, created with.
        problem: Why it can't be created or does not work; None if there is no problem.
    """

    recipe: Recipe
    used: bool
    environment: Environment | None
    interpreter: Path | None
    problem: str | None


def diagnose(home: Path, choices: Sequence[TensorFlowChoice], *, thorough: bool = False) -> list[Diagnosis]:
    """Report the environments for CodaLab, for each choice of TensorFlow and for analysing images and labels.

    ``thorough`` also tries each ready environment, which takes seconds.
    """
    return [
        *_diagnose(codalab_recipes(), home, thorough=thorough),
        *_diagnose(tensorflow_recipes(choices), home, thorough=thorough),
        *_diagnose(analysis_recipes(), home, thorough=thorough),
    ]


def _diagnose(recipes: Sequence[Recipe], home: Path, *, thorough: bool) -> list[Diagnosis]:
    found: list[Diagnosis] = []
    for recipe in recipes:
        environment = creation.ready(recipe, home)
        problem = unsupported(recipe)
        interpreter = environment.interpreter if environment else None
        if environment is None and problem is None and (python := pythons.find(recipe.python, home)):
            interpreter = python.path
        if environment and thorough:
            problem = None
            try:
                creation.check(environment, recipe.kind)
            except CldcError as error:
                problem = error.message
        elif problem is None and interpreter is None:
            problem = f"There is no Python {recipe.python} on this machine; uv would try to download one."
        found.append(
            Diagnosis(
                recipe=recipe,
                used=interpreter is not None and not any(other.used for other in found),
                environment=environment,
                interpreter=interpreter,
                problem=problem,
            )
        )
    return found


def list_environments(home: Path) -> list[Environment]:
    """List the ready environments in the data folder ``home`` by name, outdated ones included."""
    folder = environments_folder(home)
    if not folder.is_dir():
        return []
    with storage_errors(folder):
        found = [read_marker(path) for path in sorted(folder.iterdir()) if path.is_dir()]
    return [environment for environment in found if environment]


def remove_environment(home: Path, name: str) -> list[Path]:
    """Remove every environment whose id, name or kind is ``name``, even if incomplete; return their folders.

    Raises:
        UsageError: No environment has that name.
        EnvironmentFailed: One is in use; then nothing is removed.
        StorageError: One can't be removed, or is being created.
    """
    folder = environments_folder(home)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    wanted = [id_ for id_ in names if name in (id_, id_.rpartition("-")[0], id_.partition("-")[0])]
    if not wanted:
        raise UsageError(f"There is no environment {name}.", action="`cldc env list` shows those that exist.")
    for id_ in wanted:
        if pids := creation.in_use(folder / id_):
            raise EnvironmentFailed(
                f"The environment {id_} is in use (process {', '.join(map(str, pids))}).",
                action="Stop what uses it (`cldc sandbox down` stops a sandbox), then run the command again.",
            )
    for id_ in wanted:
        with lock(folder / f"{id_}.lock", purpose=f"creating the environment {id_}", timeout_seconds=10):
            remove_tree(folder / id_ / MARKER)  # first, so that a half-removed one never counts as ready
            remove_tree(folder / id_)
    return [folder / id_ for id_ in wanted]
