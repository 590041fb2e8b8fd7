"""The isolated environments of `codalab`, `tensorflow` and `analysis`: created on first use with uv, verified, reused.

    recipe (what is wanted) -> interpreter (found on this machine, else fetched) -> environment (created, checked, marked)

No single environment can hold cldc, CodaLab 1.7.5 and a TensorFlow of the competition's time: each needs another
Python and other versions of the same libraries. Requirements are locked with hashes in ``templates/environments``.
An environment is ready once it has a marker, which is written after it was checked.
"""

from __future__ import annotations

from cldc.environments.inventory import Diagnosis, diagnose, list_environments, remove_environment
from cldc.environments.model import Environment
from cldc.environments.selection import (
    ensure_analysis,
    ensure_codalab,
    ensure_tensorflow,
    ready_analysis,
    ready_tensorflow,
)

__all__ = [
    "Diagnosis",
    "Environment",
    "diagnose",
    "ensure_analysis",
    "ensure_codalab",
    "ensure_tensorflow",
    "list_environments",
    "ready_analysis",
    "ready_tensorflow",
    "remove_environment",
]
