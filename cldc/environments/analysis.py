"""Run a program in the analysis environment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cldc.environments.model import Environment
from cldc.errors import ProcessFailed
from cldc.files import storage_errors, temporary_folder
from cldc.process import Argument, Stream, clean_environment
from cldc.progress import Observer

_TIMEOUT_SECONDS = 3600
# Its processes are single-threaded; more threads than processors only slow each other down.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def analyse(
    environment: Environment, program: Path, job: object, *more: Argument, what: str, observer: Observer
) -> dict[str, Any]:
    """Run ``program JOB RESULT MORE...`` and return its result.

    ``JOB`` and ``RESULT`` are JSON files; the program prints ``done NUMBER`` now and then.

    Args:
        what: What the program does, as a noun for messages.

    Raises:
        ProcessFailed: It failed, or left no result.
        StorageError: The job can't be written.
    """
    with temporary_folder("cldc-analysis-") as folder:
        given, result = folder / "job.json", folder / "result.json"
        with storage_errors(given):
            given.write_text(json.dumps(job), encoding="utf-8")
        command: list[Argument] = [environment.python, "-I", program, given, result, *more]
        with Stream(command, env=clean_environment(_ONE_THREAD), timeout_seconds=_TIMEOUT_SECONDS) as child:
            for line in child:
                if line.startswith("done "):
                    observer.advance(int(line.split()[1]))
        child.check()
        try:
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ProcessFailed(
                f"{what} gave no result.",
                action=f"Run the command again; if that fails too, `cldc env remove {environment.name}` removes the "
                "environment, so that the next command creates it again.",
            ) from error
    return found
