"""``cldc`` in a process that kills itself: ``python -m tests.support.killing FILE ARGUMENT...``

It dies at the first moment that does not stand in FILE, after writing it there; so it gets one moment further each time.
A moment is before or after a record of the ledger, before or after a command is given to CodaLab's client, or when
that client tells what the server has made and that it begins to send. CLDC_TEST_MOMENT names the one moment to die at.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cldc import __main__ as entry
from cldc import process
from cldc.codalab import Rest
from cldc.codalab.cl_session import ClSession
from cldc.ledger import Ledger

past = Path(sys.argv[1])
chosen = os.environ.get("CLDC_TEST_MOMENT")
skipped = os.environ.get("CLDC_TEST_SKIPPED", "nothing")


def moment(name: str) -> None:
    """It is now ``name``."""
    lived = past.read_text(encoding="utf-8").splitlines() if past.exists() else []
    if name in lived or name.startswith(skipped):
        return
    with past.open("a", encoding="utf-8") as file:
        file.write(f"{name}\n")
    if chosen in (None, name):
        os.kill(os.getpid(), signal.SIGKILL)


def around(cls: type, method: str, name: Callable[..., str]) -> None:
    """Make moments of what is before and after ``method``."""
    original = getattr(cls, method)

    @functools.wraps(original)
    def wrapped(self: Any, *args: Any, **options: Any) -> Any:
        moment(f"before {name(*args)}")
        result = original(self, *args, **options)
        moment(f"after {name(*args)}")
        return result

    setattr(cls, method, wrapped)


def listening(receive: Callable[..., str]) -> Callable[..., str]:
    """Make moments of what CodaLab's client tells while it is at it."""

    def wrapped(self: Any, *args: Any) -> str:
        line = receive(self, *args)
        message = json.loads(line)
        event = message.get("event")
        if event in ("created", "progress"):
            moment(f"{event} {message.get('kind', '')}".strip())
        return line

    return wrapped


around(Ledger, "begin", lambda _, step: f"begin {step}")
around(Ledger, "finish", lambda _, step, *__: f"finish {step}")
around(Ledger, "record", lambda _, step: f"record {step.name}")
around(ClSession, "command", lambda *argv: f"cl {argv[0]}")
around(Rest, "clear_tags", lambda *_: "clear tags")
around(Rest, "share", lambda kind, *_: f"share {kind}")
process.Child.receive = listening(process.Child.receive)  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(entry.run(sys.argv[2:]))
