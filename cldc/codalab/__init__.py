"""The only room that knows CodaLab.

Start at `CodaLab`: its `rest` reads, its `cl` changes. Below `rest` a request passes through `connection` (authentication,
retries), `transport` (one request) and `records` (typed answers). `failures` holds the errors that `cldc.errors` lacks;
`inside/session.py` runs in the codalab environment.
"""

from __future__ import annotations

from cldc.codalab.cl import Cl
from cldc.codalab.client import CodaLab
from cldc.codalab.connection import Limits
from cldc.codalab.download import fetch_text
from cldc.codalab.records import Bundle, Dependency, Entry, User, Worksheet
from cldc.codalab.rest import Health, Rest
from cldc.codalab.wait import failure_of, log_tail, lost_dependency, progress_of, require_ready, wait_for

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
    "lost_dependency",
    "progress_of",
    "require_ready",
    "wait_for",
]
