"""The only user of `subprocess` outside of `inside/`: run, stream, converse, detach, stop.

Every program that cldc starts, except a detached one, ends when cldc ends, however that happens: on POSIX it runs under
`cldc.process.parent_guard`, in a session without a terminal, so that it can't prompt and doesn't receive the terminal's
Ctrl-C before us. No shell is involved, and no secret belongs in an argument.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from cldc.process.commands import Child, Stream, Waiting, run
from cldc.process.detached import Daemon, alive, detach, terminate
from cldc.process.guarded import Argument, Cancelled, ProcessGroup, raise_if_cancelled
from cldc.process.outcome import CommandFailed, CommandNotFound, Completed, ProcessTimeout, describe_exit

__all__ = [
    "Argument",
    "Cancelled",
    "Child",
    "CommandFailed",
    "CommandNotFound",
    "Completed",
    "Daemon",
    "ProcessGroup",
    "ProcessTimeout",
    "Stream",
    "Waiting",
    "alive",
    "clean_environment",
    "describe_exit",
    "detach",
    "raise_if_cancelled",
    "run",
    "terminate",
]

# Settings of the user's shell for other programs. TF_ and OMP_ change a training's numbers or speed, CODALAB_ holds a
# password, and uv wraps its lines at the terminal's width.
_NOT_FOR_CHILDREN = (
    "PYTHON", "VIRTUAL_ENV", "CONDA_", "__PYVENV", "TF_", "TENSORFLOW_", "KERAS_", "XLA_",
    "OMP_", "KMP_", "MKL_", "OPENBLAS_", "GOMP_", "MALLOC_", "CODALAB_", "COLUMNS", "LINES",
)  # fmt: skip


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Build a child's environment: ours without settings for other programs, plus UTF-8 and ``extra``."""
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(_NOT_FOR_CHILDREN)}
    return {**kept, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1", **(extra or {})}
