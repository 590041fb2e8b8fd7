"""Run a preflight from a valid dataset to its stored result."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
from pathlib import Path
from typing import Literal

from cldc.competition import Competition
from cldc.environments import Environment
from cldc.errors import PreflightFailed
from cldc.files import lock, storage_errors, temporary_folder
from cldc.preflight import result_store
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import Fingerprint, PreflightResult, Script, Training
from cldc.preflight.predicting import list_images, predict_images, weight_files
from cldc.preflight.results import build_result
from cldc.preflight.run_script import run_script
from cldc.preflight.workspace import check_images, fill
from cldc.progress import SILENT, Observer

_SEED = re.compile(rb"seed\s*[(=]\s*(\d{1,9})", re.IGNORECASE)
# Another process may train the same for hours; its result is worth the wait.
_WAIT_SECONDS = 24 * 3600


def preflight(
    training: Training,
    *,
    environment: Environment,
    home: Path,
    observer: Observer = SILENT,
    force: bool = False,
    quick: bool = False,
) -> PreflightResult:
    """Train on a valid dataset as the competition does, or return the record of the same training.

    Args:
        force: Train even if a record of the same training exists.
        quick: Stop after the first epoch; such a result can't be submitted.

    Raises:
        InvalidDataset: The dataset has errors or has changed since validation.
        PreflightFailed: The environment does not fit the script, or the run has no usable result.
        StorageError: The disk is full or not writable.
    """
    training.report.require_valid()
    _require_faithful(training, environment)
    fingerprint = local_fingerprint(training, environment)

    def recorded() -> PreflightResult | None:
        if force:
            return None
        return result_store.read(home, fingerprint.id) or (
            result_store.read(home, f"{fingerprint.id}-quick") if quick else None
        )

    result = recorded()
    if result is None:
        guard = result_store.folder(home) / f".{fingerprint.id}.lock"
        with lock(
            guard, purpose="training on the same dataset", observer=observer, timeout_seconds=_WAIT_SECONDS
        ):
            result = recorded() or _train(training, environment, fingerprint, home, observer, quick=quick)
    return result_store.for_training(home, result, training)


def _train(
    training: Training,
    environment: Environment,
    fingerprint: Fingerprint,
    home: Path,
    observer: Observer,
    *,
    quick: bool,
) -> PreflightResult:
    """Train, and store the result with the model."""
    with temporary_folder("cldc-preflight-") as root:
        workspace = fill(root, training, environment.python, observer)
        probe = check_images(workspace, observer)
        run = run_script(training, workspace, observer, quick=quick)
        # Kept even if the run failed, so that messages can name it.
        log = result_store.folder(home) / f"{fingerprint.id}{'-quick' if quick else ''}.log"
        with storage_errors(log):
            shutil.copyfile(workspace.log, log)
        version, why = environment.version, environment.why
        result = build_result(
            training,
            run,
            fingerprint=fingerprint,
            folder=root,
            log=log,
            tensorflow=version,
            probe=probe,
            caveats=() if environment.faithful else (f"Trained with TensorFlow {version}: {why}.",),
        )
        if run.stopped:
            predictions = list_images(training, "the training was stopped after one epoch")
        else:
            predictions = predict_images(training, run.output, workspace, observer)
        return result_store.store(home, result, predictions, weight_files(root, training.competition))


def local_fingerprint(training: Training, environment: Environment) -> Fingerprint:
    """Build the fingerprint of this training on this machine."""
    return dataclasses.replace(
        fingerprint_in(environment.id, training),
        tensorflow=environment.version,
        python=environment.python_version,
        platform=f"{platform.system()} {platform.machine()}",
        device=device(environment),
        threads=threads(),
    )


def fingerprint_in(environment: str, training: Training) -> Fingerprint:
    """Build the part of a fingerprint that is known without inspecting the environment."""
    competition = training.competition
    return Fingerprint(
        dataset=training.report.dataset.hash,
        label_book=training.label_book.hash,
        script=training.script.sha256,
        command=competition.run.command,
        competition=competition.name,
        epochs=competition.training.epochs,
        tensorflow="",
        environment=environment,
        python="",
        platform="",
        device="unknown",
        threads=0,
        seed=seed(training.script, competition),
    )


def seed(script: Script, competition: Competition) -> int | None:
    """Return the seed in the command or, without one, the seed that the script sets, if its source shows it."""
    option, words = competition.training.seed_option, competition.run.command.split()
    if option in words[:-1]:
        return int(words[words.index(option) + 1])
    with storage_errors(script.path):
        found = _SEED.search(script.path.read_bytes())
    return int(found[1]) if found else None


def threads() -> int:
    """Count the processors that this process may use; TensorFlow starts as many threads, which changes the sums."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def device(environment: Environment) -> Literal["cpu", "gpu"]:
    """Detect whether the training will find a GPU, as far as possible without loading TensorFlow.

    The result's probe lists the devices that TensorFlow found.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    blind = any(environment.path.glob("lib/python*/site-packages/tensorflow_cpu-*.dist-info"))
    return "gpu" if not hidden and not blind and any(Path("/dev").glob("nvidia[0-9]*")) else "cpu"


def _require_faithful(training: Training, environment: Environment) -> None:
    """Refuse a later TensorFlow for the organisers' script: it would run, but silently train a different model."""
    builtin = builtin_script(training.competition)
    if environment.faithful or training.script.sha256 == builtin.sha256:
        return
    raise PreflightFailed(
        f"TensorFlow {environment.version} would not train what the competition trains: {environment.why}.",
        action="Install one of the Pythons that `cldc doctor` names for a faithful version, or use the built-in "
        f"script: --script {builtin.path}",
    )
