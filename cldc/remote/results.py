"""The command of a training on CodaLab, its fingerprint, and its result, checked and stored like that of a local training."""

from __future__ import annotations

import json
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cldc.competition import Competition
from cldc.environments import Environment
from cldc.errors import InvalidDataset
from cldc.files import replace_atomically, temporary_folder
from cldc.preflight import model_predictions, records
from cldc.preflight.model import Fingerprint, PreflightResult, Probe, Training
from cldc.preflight.model_predictions import ModelPredictions
from cldc.preflight.output import Output
from cldc.preflight.pipeline import fingerprint_in
from cldc.preflight.predicting import keep_weights, list_images, predict_images
from cldc.preflight.results import RunEnvironment, build_result
from cldc.preflight.run_script import Run
from cldc.preflight.workspace import fill
from cldc.progress import Observer

# The file in which the run describes its image.
ABOUT_FILE = "cldc-about.json"
# One line, without two % signs: CodaLab reads the text between them as a bundle.
_ASK = (
    "import json, os, platform, tensorflow as t; "
    "print(json.dumps(dict(version=t.__version__, build=t.version.GIT_VERSION, python=platform.python_version(), "
    "threads=len(os.sched_getaffinity(0)), devices=[d.device_type for d in t.config.list_physical_devices()])))"
)
_NOT_ASKED = (
    "it was trained on CodaLab, and no TensorFlow is here to ask its model; a preflight here makes one"
)


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """The artifacts of a finished run.

    Attributes:
        run: The run's uuid.
        started: When the run was created, in UTC, as ISO 8601.
        seconds: The run's own time.
        exit_code: The command's.
        image: The image it ran in, by digest if known.
        stdout: What the script printed.
        stderr: Errors and warnings of the script and its libraries.
        about: Content of `ABOUT_FILE`; empty if there is none.
        folder: The folder with predictions and weights, if there are any.
    """

    run: str
    started: str
    seconds: float
    exit_code: int
    image: str
    stdout: str
    stderr: str
    about: str
    folder: Path


def remote_fingerprint(server: str, training: Training) -> Fingerprint:
    """Build the fingerprint of a training on that CodaLab, as far as known before the run: the image by name."""
    return replace(fingerprint_in(training.competition.run.image, training), server=server)


def remote_command(competition: Competition, *, dataset: str) -> str:
    """Build the run's command: the competition's own, followed by a report of its Python environment."""
    train = competition.run.command.format(dataset=dataset, label_book=competition.bundles.label_book.name)
    python = shlex.split(train)[0]
    if not python.startswith("python"):
        return train
    return f"{train}; code=$?; {python} -c {shlex.quote(_ASK)} >{ABOUT_FILE} 2>/dev/null; exit $code"


def finish_run(
    training: Training,
    fingerprint: Fingerprint,
    artifacts: RunArtifacts,
    home: Path,
    *,
    environment: Environment | None,
    observer: Observer,
) -> PreflightResult:
    """Check a run like a local one, and store the result, its log and the model's predictions.

    Args:
        environment: A local TensorFlow to predict with the model; None if there is none.

    Raises:
        PreflightFailed: It has no usable result; its output is kept nevertheless.
        StorageError: No room.
    """
    competition, identity = training.competition, fingerprint.id
    output, lines = Output(), []
    for text in (artifacts.stdout, artifacts.stderr):
        lines += output.feed(text + "\n", now=0.0)
    lines += output.close(now=0.0)
    log = records.folder(home) / f"{identity}.log"
    replace_atomically(log, "".join(f"{line}\n" for line in lines))
    run = Run(output, artifacts.exit_code, artifacts.seconds, 0, stopped=False)
    about = _about(artifacts.about)
    caveats = _caveats(about, competition)
    result = build_result(
        training,
        run,
        fingerprint=fingerprint,
        folder=artifacts.folder,
        environment=RunEnvironment(
            tensorflow=str(about.get("version", "")),
            probe=_probe(about, artifacts.image),
            faithful=not caveats,
            caveats=caveats,
            started=artifacts.started,
            log=log,
            run=artifacts.run,
        ),
    )
    images = _predictions(training, artifacts, output, environment, observer)
    if images.known:
        keep_weights(artifacts.folder, competition, records.weights_folder(home, result.id))
    model_predictions.save(home, result.id, images)
    records.save(home, result)
    return result


def _predictions(
    training: Training,
    artifacts: RunArtifacts,
    output: Output,
    environment: Environment | None,
    observer: Observer,
) -> ModelPredictions:
    """Predict on this machine with the run's weights."""
    competition, images = training.competition, list_images(training)
    if environment is None:
        return replace(images, why_not=_NOT_ASKED)
    try:
        with temporary_folder("cldc-remote-") as root:
            workspace = fill(root, training, environment.python, observer)
            for weights in artifacts.folder.glob(f"{competition.training.checkpoint}*"):
                shutil.copyfile(weights, root / weights.name)
            return predict_images(images, output, workspace, competition, observer)
    except InvalidDataset as error:  # the folder was changed meanwhile, which does not affect the result
        return replace(images, why_not=error.message.rstrip("."))


def _about(text: str) -> dict[str, Any]:
    try:
        about = json.loads(text)
    except ValueError:
        return {}
    return about if isinstance(about, dict) and isinstance(about.get("devices"), list) else {}


def _probe(about: dict[str, Any], image: str) -> Probe:
    said = ""
    if about:
        said = (
            f"TensorFlow {about.get('version')} ({about.get('build')}) on Python {about.get('python')}, "
            f"{'gpu' if 'GPU' in about['devices'] else 'cpu'}, {about.get('threads')} threads, "
        )
    return Probe(f"{said}image {image}", tuple(map(str, about.get("devices", ()))), 0.0)


def _caveats(about: dict[str, Any], competition: Competition) -> tuple[str, ...]:
    """The profile's warnings about that TensorFlow."""
    choices = [c for c in competition.training.tensorflow if c.version == about.get("version")]
    if not choices or any(choice.faithful for choice in choices):
        return ()
    return (f"The image has TensorFlow {choices[0].version}: {choices[0].why}.",)
