"""The isolated environments of `codalab`, `tensorflow` and `analysis`: made on first use with uv, verified, used again.

    recipe (what is wanted) -> interpreter (found on this machine, else fetched) -> environment (made, checked, marked)

No single environment can hold cldc, CodaLab 1.7.5 and a TensorFlow of the competition's time: each wants its own
Python and its own versions of the same libraries. Requirements are locked with hashes in ``templates/requirements``.
An environment is ready only when the marker in it says so, which is put there after it has been seen working.
"""

from __future__ import annotations

from cldc.environments.choosing import (
    ensure_analysis,
    ensure_codalab,
    ensure_tensorflow,
    ready_analysis,
    ready_codalab,
    ready_tensorflow,
)
from cldc.environments.inventory import Diagnosis, diagnose, list_environments, remove_environment
from cldc.environments.model import Environment

__all__ = [
    "Diagnosis",
    "Environment",
    "diagnose",
    "ensure_analysis",
    "ensure_codalab",
    "ensure_tensorflow",
    "list_environments",
    "ready_analysis",
    "ready_codalab",
    "ready_tensorflow",
    "remove_environment",
]
