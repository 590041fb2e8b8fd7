"""A training that ran on a CodaLab: its fingerprint, what is asked of its image, and its result, judged as any."""

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
from cldc.preflight import learned, records
from cldc.preflight.following import Run, environment_of
from cldc.preflight.judging import judge
from cldc.preflight.learned import Learned
from cldc.preflight.model import Fingerprint, LabelBook, PreflightResult, Probe, Script
from cldc.preflight.output import Output
from cldc.preflight.pipeline import fingerprint_in
from cldc.preflight.predicting import images_of, learn
from cldc.preflight.predictions import expected_labels
from cldc.preflight.summing import Subject, Surroundings, sum_up
from cldc.preflight.workspace import fill
from cldc.progress import Observer
from cldc.validation import ValidationReport

# Where the run leaves what its image says of itself.
ABOUT = "cldc-about.json"
# One line, without two % signs: CodaLab takes what is between them for a bundle.
_ASK = (
    "import json, os, platform, tensorflow as t; "
    "print(json.dumps(dict(version=t.__version__, build=t.version.GIT_VERSION, python=platform.python_version(), "
    "threads=len(os.sched_getaffinity(0)), devices=[d.device_type for d in t.config.list_physical_devices()])))"
)
_NOT_ASKED = (
    "it was trained on CodaLab, and no TensorFlow is here to ask its model; a preflight here makes one"
)


@dataclass(frozen=True, slots=True)
class Ran:
    """What a finished run left.

    Attributes:
        run: Its uuid.
        started: When it was made, in UTC, as ISO 8601.
        seconds: Its own time.
        exit_code: The command's.
        image: The image it ran in, by digest where that is known.
        stdout: What the script printed.
        stderr: What it and its libraries complained of.
        about: What `ABOUT` holds; empty where there is none.
        folder: Where the predictions and the weights are, if it left any.
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


def fingerprint_on(
    server: str, report: ValidationReport, script: Script, label_book: LabelBook, competition: Competition
) -> Fingerprint:
    """What decides the numbers of a training on that CodaLab, as far as it is known before: the image by name."""
    known = fingerprint_in(competition.run.image, report, script, label_book, competition)
    return replace(known, server=server)


def command_on(competition: Competition, *, dataset: str) -> str:
    """The competition's own command; when it has ended, its Python is asked what it was."""
    train = competition.run.command.format(dataset=dataset, label_book=competition.bundles.label_book.name)
    python = shlex.split(train)[0]
    if not python.startswith("python"):
        return train
    return f"{train}; code=$?; {python} -c {shlex.quote(_ASK)} >{ABOUT} 2>/dev/null; exit $code"


def conclude(
    subject: Subject, ran: Ran, home: Path, *, environment: Environment | None, observer: Observer
) -> PreflightResult:
    """Judge a run as one of this machine, keep the result, its log and what its model makes of the images.

    Args:
        subject: What was trained.
        ran: What the run left.
        home: The data folder.
        environment: A TensorFlow of this machine, which asks the model; None where there is none.
        observer: Told of that.

    Raises:
        PreflightFailed: It has no usable result; its output is kept all the same.
        StorageError: No room.
    """
    competition, identity = subject.competition, subject.fingerprint.id
    output, lines = Output(), []
    for text in (ran.stdout, ran.stderr):
        lines += output.feed(text + "\n", now=0.0)
    lines += output.close(now=0.0)
    log = records.folder(home) / f"{identity}.log"
    replace_atomically(log, "".join(f"{line}\n" for line in lines))
    run = Run(output, ran.exit_code, ran.seconds, 0, stopped=False)
    about = _about(ran.about)
    labels = expected_labels(
        subject.label_book, competition, subject.script, tensorflow=str(about.get("version", ""))
    )
    predictions = judge(run, competition=competition, labels=labels, folder=ran.folder, log=log)
    assert output.validation is not None  # noqa: S101 - judge has refused what has none
    caveats = _caveats(about, competition)
    where = Surroundings(_probe(about, ran.image), not caveats, caveats, ran.started, log, ran.run)
    result = sum_up(subject, run, predictions, output.validation, where)
    learned.save(home, result.id, _learned(subject, ran, output, environment, observer))
    records.save(home, result)
    return result


def _learned(
    subject: Subject, ran: Ran, output: Output, environment: Environment | None, observer: Observer
) -> Learned:
    """What the weights that the run left make of every image, asked here."""
    competition = subject.competition
    images = images_of(subject.report.dataset, subject.label_book, competition)
    if environment is None:
        return replace(images, why_not=_NOT_ASKED)
    try:
        with temporary_folder("cldc-remote-") as root:
            return _asked(images, subject, ran, output, environment=environment, root=root, observer=observer)
    except InvalidDataset as error:  # the folder was worked on meanwhile, which takes nothing from the result
        return replace(images, why_not=error.message.rstrip("."))


def _asked(
    images: Learned,
    subject: Subject,
    ran: Ran,
    output: Output,
    *,
    environment: Environment,
    root: Path,
    observer: Observer,
) -> Learned:
    competition, python = subject.competition, environment.python
    workspace = fill(
        root,
        dataset=subject.report.dataset,
        label_book=subject.label_book,
        script=subject.script,
        competition=competition,
        observer=observer,
    )
    for weights in ran.folder.glob(f"{competition.training.checkpoint}*"):
        shutil.copyfile(weights, root / weights.name)
    return learn(
        images,
        output,
        competition=competition,
        workspace=workspace,
        python=python,
        env=environment_of(workspace, python),
        observer=observer,
    )


def _about(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text)
    except ValueError:
        return {}
    return told if isinstance(told, dict) and isinstance(told.get("devices"), list) else {}


def _probe(about: dict[str, Any], image: str) -> Probe:
    said = ""
    if about:
        said = (
            f"TensorFlow {about.get('version')} ({about.get('build')}) on Python {about.get('python')}, "
            f"{'gpu' if 'GPU' in about['devices'] else 'cpu'}, {about.get('threads')} threads, "
        )
    return Probe(f"{said}image {image}", tuple(map(str, about.get("devices", ()))), 0.0)


def _caveats(about: dict[str, Any], competition: Competition) -> tuple[str, ...]:
    """What the profile says of that TensorFlow, where it warns of it."""
    choices = [c for c in competition.training.tensorflow if c.version == about.get("version")]
    if not choices or any(choice.faithful for choice in choices):
        return ()
    return (f"The image has TensorFlow {choices[0].version}: {choices[0].why}.",)
