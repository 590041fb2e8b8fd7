"""A tiny private run in the competition's image, to find out the image's digest and its TensorFlow.

A tag such as ``jupyter/tensorflow-notebook`` names a new image every few weeks: it resolved to 15 digests during the
competition of 2021. With the digest in the profile, all runs of the class train in the same image.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from cldc.codalab import Bundle, CodaLab, wait_for
from cldc.competition import Competition
from cldc.errors import NotFinished, RunFailed
from cldc.organise.rehearsal import rehearsal_worksheet
from cldc.progress import SILENT, Observer

# The worker first pulls the image, which takes several gigabytes.
_PATIENCE_SECONDS = 1800.0
_PRINT_VERSION = "import tensorflow as t; print('tensorflow', t.__version__)"
_DIGEST = re.compile(r"(.+)@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageProbe:
    """The result of a run in the image.

    Attributes:
        image: The image by digest; None if the server gave none.
        tensorflow: Version of the TensorFlow in it; None if none works there.
        problem: Why nothing is known; empty if the run succeeded.
    """

    image: str | None = None
    tensorflow: str | None = None
    problem: str = ""

    def remarks(self, competition: Competition) -> tuple[str, ...]:
        """Warnings: an image that can change, or another TensorFlow than the preflights'."""
        image, ours = competition.run.image, competition.training.tensorflow[0].version
        if self.problem:
            return (
                f"{image} is not pinned and its TensorFlow is not known: {self.problem}. Run this command again.",
            )
        warnings = []
        if not is_pinned(image):
            warnings.append(f"The server gave no digest of {image}, so the image can change under its name.")
        if self.tensorflow is None:
            warnings.append(f"No TensorFlow works in {image}; preflights train in TensorFlow {ours}.")
        elif self.tensorflow != ours:
            warnings.append(
                f"Runs train in TensorFlow {self.tensorflow}, preflights in {ours}: their numbers differ. Name an image with "
                f"{ours} by --image, or put {self.tensorflow} first under training.tensorflow in the profile."
            )
        return tuple(warnings)


def probe_image(codalab: CodaLab, competition: Competition, *, observer: Observer = SILENT) -> ImageProbe:
    """Run the competition's image once, privately as the organiser, and remove the run.

    Raises:
        RunFailed: Nothing can run in the image.
        CldcError: The server can't be reached or refused.
    """
    run = competition.run
    with rehearsal_worksheet(codalab, competition, observer) as worksheet:
        uuid = codalab.cl.run(worksheet, _version_command(run.command), (), name="rehearsal", image=run.image)
        observer.note(f"Rehearsing privately in {run.image}; the first run there waits for the image.")
        try:
            ended = wait_for(codalab.rest, uuid, timeout_seconds=_PATIENCE_SECONDS, observer=observer)
        except NotFinished:
            return ImageProbe(problem=f"no run ended there within {_PATIENCE_SECONDS / 60:.0f} minutes")
        return _result(codalab, ended, run.image)


def _version_command(command: str) -> str:
    """Build a command in which the Python that trains prints TensorFlow's version; it fails only without that Python."""
    first = shlex.split(command)[0]
    python = first if first.startswith("python") else "python3"
    return f"{python} -c {shlex.quote(_PRINT_VERSION)} 2>/dev/null || {python} -c 'print()'"


def _result(codalab: CodaLab, ended: Bundle, image: str) -> ImageProbe:
    if ended.failure is not None:
        raise RunFailed(
            f"Nothing can run in the image {image}: {ended.failure}.",
            action="Name another one with --image; what was set up is kept.",
        )
    words = codalab.rest.file(ended.uuid, "stdout").decode("utf-8", "replace").split()
    version = words[words.index("tensorflow") + 1] if "tensorflow" in words[:-1] else None
    return ImageProbe(pinned(image, ended.docker_image), version)


def is_pinned(image: str) -> bool:
    """Check whether an image is named by digest."""
    return _DIGEST.fullmatch(image) is not None


def pinned(image: str, ran_in: str | None) -> str | None:
    """Name the requested image by the digest that a run got; None if the server gave none for that image.

    A worker with Docker reports ``NAME@sha256:...``; others repeat the request, or report the hash of their own image file.
    """
    found = _DIGEST.fullmatch(ran_in or "")
    return ran_in if found and _repository(found[1]) == _repository(image) else None


def _repository(image: str) -> str:
    """Return an image's name without tag and digest, in the short form of Docker Hub."""
    name = re.sub(r":[^:/]*$", "", image.partition("@")[0])
    return name.removeprefix("docker.io/").removeprefix("library/")
