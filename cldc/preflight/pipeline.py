"""Run a preflight from a valid dataset to its stored result."""

from __future__ import annotations

import dataclasses
import os
import platform
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cldc.competition import Competition
from cldc.dataset import changes_since
from cldc.environments import Environment
from cldc.errors import PreflightFailed
from cldc.files import lock, private_folder, storage_errors, temporary_folder
from cldc.preflight import model_predictions, records
from cldc.preflight.check_images import check_images
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import Fingerprint, PreflightResult, Script, Training
from cldc.preflight.model_predictions import ModelPredictions
from cldc.preflight.predicting import keep_weights, list_images, predict_images
from cldc.preflight.results import RunEnvironment, build_result
from cldc.preflight.run_script import command, follow
from cldc.preflight.workspace import fill
from cldc.progress import SILENT, Observer

_SEED = re.compile(rb"seed\s*[(=]\s*(\d{1,9})", re.IGNORECASE)
# Another process may train the same for hours; its result is worth the wait.
_WAIT_SECONDS = 24 * 3600


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """The inputs of one preflight."""

    training: Training
    environment: Environment
    home: Path
    fingerprint: Fingerprint
    quick: bool


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
        StorageError: No room or no permission.
    """
    training.report.require_valid()
    _require_faithful(training, environment)
    job = _Job(training, environment, home, fingerprint(training, environment), quick)
    if not force and (known := _recorded(job)):
        return with_changes(records.remember_name(home, known, training.report.dataset), training)
    guard = private_folder(home / "preflights") / f".{job.fingerprint.id}.lock"
    with lock(
        guard, purpose="training on the same dataset", observer=observer, timeout_seconds=_WAIT_SECONDS
    ):
        if not force and (known := _recorded(job)):
            return with_changes(records.remember_name(home, known, training.report.dataset), training)
        result, images = _train(job, observer)
        if earlier := records.read(home, result.id):
            others = tuple(name for name in earlier.names if name != result.dataset_name)
            result = dataclasses.replace(result, other_names=others)
        model_predictions.save(home, result.id, images)
        records.save(home, result)
    return with_changes(result, training)


def with_changes(result: PreflightResult, training: Training) -> PreflightResult:
    """Add to the result how the folder has changed since validation."""
    changed = changes_since(training.report.dataset, training.competition.dataset)
    return dataclasses.replace(result, dataset_changed=changed)


def _recorded(job: _Job) -> PreflightResult | None:
    full = records.read(job.home, job.fingerprint.id)
    if full is not None or not job.quick:
        return full
    return records.read(job.home, f"{job.fingerprint.id}-quick")


def fingerprint(training: Training, environment: Environment) -> Fingerprint:
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
    """The seed in the command, else the one that the script sets, if it can be read from its source."""
    option, words = competition.training.seed_option, competition.run.command.split()
    if option in words[:-1]:
        return int(words[words.index(option) + 1])
    with storage_errors(script.path):
        found = _SEED.search(script.path.read_bytes())
    return int(found[1]) if found else None


def threads() -> int:
    """Processors that this process may use; TensorFlow uses as many threads, and their number changes the sums."""
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


def _train(job: _Job, observer: Observer) -> tuple[PreflightResult, ModelPredictions]:
    training, python = job.training, job.environment.python
    competition = training.competition
    started = datetime.now(UTC).isoformat(timespec="seconds")
    with temporary_folder("cldc-preflight-") as root:
        workspace = fill(root, training, python, observer)
        machine = check_images(workspace, observer)
        run = follow(
            command(training, python),
            workspace=workspace,
            epochs=competition.training.epochs,
            log=workspace.aside / "output.log",
            observer=observer,
            only_first_epoch=job.quick,
        )
        # Kept even if the run failed, so that messages can name it.
        log = records.folder(job.home) / f"{job.fingerprint.id}{'-quick' * job.quick}.log"
        with storage_errors(log):
            shutil.copyfile(workspace.aside / "output.log", log)
        used = job.environment
        caveats = () if used.faithful else (f"Trained with TensorFlow {used.version}: {used.why}.",)
        result = build_result(
            training,
            run,
            fingerprint=job.fingerprint,
            folder=workspace.root,
            environment=RunEnvironment(used.version, machine, used.faithful, caveats, started, log),
        )
        images = list_images(training)
        if not run.stopped:
            images = predict_images(images, run.output, workspace, competition, observer)
        if images.known:
            keep_weights(workspace.root, competition, records.weights_folder(job.home, result.id))
    return result, images
