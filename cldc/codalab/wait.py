"""Waiting for bundles, and not believing "ready" alone."""

from __future__ import annotations

import time
from collections.abc import Iterable

from cldc.codalab.failures import NotFound
from cldc.codalab.records import Bundle
from cldc.codalab.rest import Rest
from cldc.errors import CodaLabError, NotFinished, RunFailed, Unreachable
from cldc.progress import SILENT, Observer

_SHORTEST_SECONDS, _LONGEST_SECONDS, _GROWTH = 0.1, 10.0, 1.4
# A server that restarts is back within that time; the run goes on meanwhile.
PATIENCE_SECONDS = 600.0
_LOG_LINES = 20


def wait_for(
    rest: Rest,
    uuid: str,
    *,
    timeout_seconds: float | None = None,
    observer: Observer = SILENT,
    longest_pause_seconds: float = _LONGEST_SECONDS,
) -> Bundle:
    """Wait until a bundle's state is final and return it, good or not: see `require_ready`.

    Args:
        rest: The server.
        uuid: The bundle.
        timeout_seconds: How long to wait; None for as long as it takes.
        observer: Told of the state as CodaLab words it, and of the seconds so far.
        longest_pause_seconds: Between two looks; it starts with short ones.

    Raises:
        NotFinished: The time was up.
        NotFound: It was removed meanwhile.
        Unreachable: The server was gone for `PATIENCE_SECONDS`.
    """
    started = last_seen = time.monotonic()
    pause, task = _SHORTEST_SECONDS, ""
    while True:
        now = time.monotonic()
        bundle: Bundle | None = None
        try:
            bundle = rest.bundle(uuid)
            last_seen = now
        except Unreachable:
            if now - last_seen > PATIENCE_SECONDS:
                raise
            observer.note(f"{rest.server} does not answer; still waiting for it.")
        if bundle is not None:
            if not task:
                task = f"Waiting for {bundle.name}"
                observer.start(task)
            observer.advance(now - started, progress_of(bundle))
            if bundle.final:
                return bundle
        if timeout_seconds is not None and now + pause - started > timeout_seconds:
            state = progress_of(bundle) if bundle is not None else "out of sight"
            raise NotFinished(
                f"{bundle.name if bundle else uuid} is still {state} after {timeout_seconds:.0f} s.",
                action="Run the command again to go on waiting.",
            )
        time.sleep(pause)
        pause = min(pause * _GROWTH, longest_pause_seconds)


def progress_of(bundle: Bundle) -> str:
    """A bundle's state in a few words, with what CodaLab says of a run while it goes."""
    status = (bundle.run_status or "").strip()
    return f"{bundle.state} ({status})" if status and not bundle.final else bundle.state


def require_ready(rest: Rest, bundle: Bundle, files: Iterable[str] = ()) -> Bundle:
    """``bundle`` if it is ready without a failure and has the ``files`` (paths in it; "" for a bundle that is one).

    Raises:
        RunFailed: It failed, with the end of its log where it is a run; or a file is missing.
    """
    reason = bundle.failure
    if reason is not None:
        log = log_tail(rest, bundle.uuid) if bundle.type == "run" else ""
        raise RunFailed(
            f"{bundle.name} ({bundle.uuid}) is no good; {reason}" + (f"\n{log}" if log else ""),
            action="See the log on its page, mend the cause, and run the command again.",
        )
    for path in files:
        if not rest.has(bundle.uuid, path):
            raise RunFailed(
                f"{bundle.name} ({bundle.uuid}) ended without an error but has no {path or 'contents'}.",
                action="See its stdout: the training script says there why it wrote none.",
            )
    return bundle


def log_tail(rest: Rest, uuid: str, *, lines: int = _LOG_LINES) -> str:
    """The last lines of a run's stderr and stdout, whichever has any; empty where there is none to be had."""
    for name in ("stderr", "stdout"):
        try:
            text = rest.file(uuid, name, tail=lines).decode("utf-8", "replace").strip()
        except (NotFound, CodaLabError, Unreachable):
            continue
        if text:
            return text
    return ""
