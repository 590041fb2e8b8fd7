"""The only package that talks to a CodaLab server.

Start at `CodaLab`: its `rest` reads, its `cl` makes most changes. `rest` sends its requests through `connection` (sign-in,
retries) and `transport` (network), and reads the answers with `json_api`; `cl` talks to `inside/session.py`, which runs in the
codalab environment. `failures` holds the errors that `cldc.errors` lacks.
"""

from __future__ import annotations

from cldc.codalab.cl import Cl
from cldc.codalab.client import CodaLab
from cldc.codalab.connection import Limits
from cldc.codalab.download import fetch_text
from cldc.codalab.json_api import Bundle, Dependency, Entry, User, Worksheet
from cldc.codalab.rest import Health, Rest
from cldc.codalab.wait import failure_of, log_tail, progress_of, require_ready, wait_for

__all__ = [
    "Bundle",
    "Cl",
    "CodaLab",
    "Dependency",
    "Entry",
    "Health",
    "Limits",
    "Rest",
    "User",
    "Worksheet",
    "failure_of",
    "fetch_text",
    "log_tail",
    "progress_of",
    "require_ready",
    "wait_for",
]
