"""The command of a training on CodaLab, its fingerprint, and its result, checked and stored like that of a local training."""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cldc.codalab import Bundle, failure_of
from cldc.codalab.failures import NotFound
from cldc.competition import Competition
from cldc.errors import InvalidDataset
from cldc.files import replace_atomically, temporary_folder
from cldc.preflight import result_store
from cldc.preflight.model import Fingerprint, ModelPredictions, PreflightResult, Probe, Training
from cldc.preflight.output import ScriptOutput
from cldc.preflight.pipeline import fingerprint_in
from cldc.preflight.predicting import list_images, predict_images, weight_files
from cldc.preflight.results import build_result
from cldc.preflight.run_script import Run
from cldc.preflight.workspace import fill
from cldc.remote.model import Job, Remote

# The file in which the run describes its image.
ABOUT_FILE = "cldc-about.json"
# One line, without two % signs: CodaLab reads the text between them as a bundle.
_ASK = (
    "import json, os, platform, tensorflow as t; "
    "print(json.dumps(dict(version=t.__version__, build=t.version.GIT_VERSION, python=platform.python_version(), "
    "threads=len(os.sched_getaffinity(0)), devices=[d.device_type for d in t.config.list_physical_devices()])))"
)
_NOT_ASKED = "it was trained on CodaLab, and this machine has no TensorFlow to run its model; a preflight here creates one"


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


def finish_run(remote: Remote, job: Job, bundle: Bundle) -> PreflightResult:
    """Check an ended run like a local one, and store the result, its log and the model's predictions.

    Raises:
        CldcError: CodaLab ended the run, as `failure_of` says.
        PreflightFailed: It has no usable result; its output is kept nevertheless.
        StorageError: The disk is full or not writable.
    """
    _require_ended(remote, bundle)
    training, competition, home = job.training, remote.competition, remote.home
    output, lines = ScriptOutput(), []
    for name in ("stdout", "stderr"):
        lines += output.feed(_text(remote, bundle, name) + "\n", now=0.0)
    lines += output.close(now=0.0)
    log = result_store.folder(home) / f"{job.id}.log"
    replace_atomically(log, "".join(f"{line}\n" for line in lines))
    about = _about(_text(remote, bundle, ABOUT_FILE))
    with temporary_folder("cldc-remote-") as folder:
        for path in _wanted_files(remote, bundle):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(NotFound):
                remote.rest.download(bundle.uuid, path, folder / path)
        result = build_result(
            training,
            Run(
                output,
                bundle.exit_code or 0,
                started=(bundle.created or datetime.now(UTC)).isoformat(timespec="seconds"),
                seconds=bundle.seconds,
                uuid=bundle.uuid,
            ),
            fingerprint=job.fingerprint,
            folder=folder,
            log=log,
            tensorflow=str(about.get("version", "")),
            probe=_probe(about, bundle.docker_image or bundle.requested_image or competition.run.image),
            caveats=_caveats(about, competition),
        )
        predictions = _predictions(remote, training, folder, output)
        return result_store.store(home, result, predictions, weight_files(folder, competition))


def _require_ended(remote: Remote, bundle: Bundle) -> None:
    """Require a run whose command ended by itself; otherwise report CodaLab's explanation."""
    if bundle.failure is None:
        return
    message = bundle.failure_message.lower()
    # A worker stops a run for its memory, its time or on request.
    stopped = bundle.state == "killed" or (message and not message.startswith("exit code"))
    if stopped or bundle.exit_code is None:
        raise failure_of(
            remote.rest,
            bundle,
            action="Correct what it says, then run the command again. No quota was spent.",
        )


def _text(remote: Remote, bundle: Bundle, path: str) -> str:
    """Read a text file of the run; empty if there is none."""
    try:
        return remote.rest.file(bundle.uuid, path).decode("utf-8", "replace")
    except NotFound:
        return ""


def _wanted_files(remote: Remote, bundle: Bundle) -> list[str]:
    """List the run's predictions file, and the weights if this machine can use them."""
    competition = remote.competition
    found = [competition.run.predictions]
    if remote.environment is not None and competition.training.checkpoint is not None:
        entries = remote.rest.info(bundle.uuid, depth=1).contents
        found += [
            entry.name
            for entry in entries
            if entry.type == "file" and entry.name.startswith(competition.training.checkpoint)
        ]
    return found


def _predictions(remote: Remote, training: Training, folder: Path, output: ScriptOutput) -> ModelPredictions:
    """Predict on this machine with the run's weights, which are in ``folder``."""
    if remote.environment is None:
        return list_images(training, _NOT_ASKED)
    try:
        with temporary_folder("cldc-remote-") as root:
            workspace = fill(root, training, remote.environment.python, remote.observer)
            for weights in weight_files(folder, training.competition):
                shutil.copyfile(weights, root / weights.name)
            return predict_images(training, output, workspace, remote.observer)
    except InvalidDataset as error:  # the folder was changed since, which does not affect the result
        return list_images(training, error.message.rstrip("."))


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
    """List the profile's warnings about that TensorFlow."""
    choices = [c for c in competition.training.tensorflow if c.version == about.get("version")]
    if not choices or any(choice.faithful for choice in choices):
        return ()
    return (f"The image has TensorFlow {choices[0].version}: {choices[0].why}.",)
