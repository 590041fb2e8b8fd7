"""Have TensorFlow read every image once before it trains: the script would fail late on a bad one, without naming it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from cldc.errors import PreflightFailed
from cldc.preflight.model import Probe
from cldc.preflight.workspace import Workspace
from cldc.process import CommandFailed, run
from cldc.progress import Observer

_INSIDE = Path(__file__).with_name("inside") / "check_images.py"
# Ten thousand images take seconds; the limit leaves room for a heavily loaded machine.
_TIMEOUT_SECONDS = 1800
_SHOWN = 5


def check_images(workspace: Workspace, observer: Observer) -> Probe:
    """Have TensorFlow read every image of dataset and label book.

    Raises:
        PreflightFailed: It can't read one, or can't be loaded.
        ProcessTimeout: It takes longer than half an hour.
    """
    observer.start("Reading every image with TensorFlow", None, "images")
    began = time.monotonic()
    try:
        done = run(
            [workspace.python, _INSIDE, workspace.root],
            text="\0".join(workspace.images),
            env={**workspace.env, "TF_CPP_MIN_LOG_LEVEL": "2"},
            timeout_seconds=_TIMEOUT_SECONDS,
        )
    except CommandFailed as error:
        raise PreflightFailed(
            f"TensorFlow failed before it read the images:\n{error.message}",
            action="Run `cldc doctor`; `cldc env remove tensorflow` removes its environment, so that the next preflight creates it again.",
        ) from error
    answers: dict[str, Any] = {}
    broken: list[str] = []
    for line in done.stdout.splitlines():
        try:
            answer = json.loads(line)
        except ValueError:
            continue  # a library's own print
        if isinstance(answer, dict) and "error" in answer:
            # The workspace nests a folder in another of the same name; the user has only one.
            broken.append(f"\n  {answer['path'].partition('/')[2]}: {answer['error']}")
        elif isinstance(answer, dict):
            answers |= answer
    if broken:
        noun = "an image" if len(broken) == 1 else f"{len(broken)} images"
        more = f"\n  and {len(broken) - _SHOWN} more" if len(broken) > _SHOWN else ""
        raise PreflightFailed(
            f"TensorFlow can't read {noun}; the training would stop there without naming it:{''.join(broken[:_SHOWN])}{more}",
            action="Replace or remove what is named above, then run the preflight again.",
        )
    if answers.get("read") != len(workspace.images):
        raise PreflightFailed(
            f"TensorFlow read {answers.get('read', 'none')} of {len(workspace.images)} images and ended.",
            action="Run the preflight again; `cldc doctor` checks its environment.",
        )
    return Probe(
        build=str(answers.get("build", "")),
        devices=tuple(answers.get("devices", ())),
        seconds=time.monotonic() - began,
    )
