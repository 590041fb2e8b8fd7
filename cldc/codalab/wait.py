"""Wait for bundles, check what became of them (CodaLab can call a failed run ready), and say why they failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from cldc.codalab import failures
from cldc.codalab.json_api import Bundle
from cldc.codalab.rest import Rest
from cldc.errors import CldcError, CodaLabError, NotFinished, QuotaExceeded, RunFailed, Unreachable
from cldc.progress import SILENT, Observer

_SHORTEST_SECONDS, _LONGEST_SECONDS, _GROWTH = 0.1, 10.0, 1.4
# A restarting server is back by then, and the run continues without it.
PATIENCE_SECONDS = 600.0
_LOG_LINES = 20
_TIME_LIMIT = "Time limit exceeded"
# A worker checks every few seconds, so it may stop a run this much early or late.
_NOTHING_LEFT_SECONDS = 60.0


def wait_for(
    rest: Rest,
    uuid: str,
    *,
    timeout_seconds: float | None = None,
    observer: Observer = SILENT,
    describe: Callable[[Bundle], str] | None = None,
    longest_pause_seconds: float = _LONGEST_SECONDS,
) -> Bundle:
    """Wait until a bundle's state is final, and return it, whether ready or failed; see `require_ready`.

    Without ``timeout_seconds`` it waits as long as it takes. The first pauses between two requests are short. The observer
    receives the seconds so far and the state, in CodaLab's words or in those of ``describe``.

    Raises:
        NotFinished: The time limit is reached.
        NotFound: It was removed while waiting.
        Unreachable: The server did not answer for `PATIENCE_SECONDS`.
    """
    started = last_seen = time.monotonic()
    pause, announced = _SHORTEST_SECONDS, False
    while True:
        now, name, state = time.monotonic(), uuid, "unknown"
        try:
            bundle = rest.bundle(uuid)
        except Unreachable:
            if now - last_seen > PATIENCE_SECONDS:
                raise
            observer.note(f"{rest.server} does not answer; still waiting.")
        else:
            last_seen, name, state = now, bundle.name, progress_of(bundle)
            if not announced:
                observer.start(f"Waiting for {name}")
                announced = True
            observer.advance(now - started, describe(bundle) if describe else state)
            if bundle.final:
                return bundle
        if timeout_seconds is not None and now + pause - started > timeout_seconds:
            raise NotFinished(
                f"{name} is still {state} after {timeout_seconds:.0f} s.",
                action="Run the command again to continue waiting.",
            )
        time.sleep(pause)
        pause = min(pause * _GROWTH, longest_pause_seconds)


def progress_of(bundle: Bundle) -> str:
    """Describe a bundle's state in a few words, with a running run's status."""
    status = bundle.run_status.strip()
    return f"{bundle.state} ({status})" if status and not bundle.final else bundle.state


def require_ready(rest: Rest, bundle: Bundle, files: Iterable[str] = ()) -> Bundle:
    """Return ``bundle`` if it is ready without a failure and has the ``files``, of which "" is the bundle itself.

    Raises:
        QuotaExceeded: It failed because the account's disk or time quota is used up.
        RunFailed: It failed; the message of a run has the end of its log. Or a file is missing.
    """
    if bundle.failure is not None:
        raise failure_of(
            rest, bundle, action="Read the log on its page, fix the cause, and run the command again."
        )
    for path in files:
        if not rest.has(bundle.uuid, path):
            raise RunFailed(
                f"{bundle.name} ({bundle.uuid}) ended without an error but has no {path or 'contents'}.",
                action="Read its stdout: the training script says there why it wrote none.",
            )
    return bundle


def failure_of(rest: Rest, bundle: Bundle, *, action: str) -> CldcError:
    """Build the error for a bundle that failed; ``action`` is what to do unless a quota is the reason.

    Raises:
        Unreachable: The server can't be asked whether a quota is the reason.
    """
    what, reason = f"{bundle.name} ({bundle.uuid})", bundle.failure or bundle.state
    if error := failures.spent_quota(what, reason):
        return error
    # A run without a time limit may use all that the account has left, and its message does not mention the quota.
    if _TIME_LIMIT in reason and rest.username is not None:
        left = rest.user().time_left
        if left is not None and left < _NOTHING_LEFT_SECONDS:
            return QuotaExceeded(
                f"{what} failed: {reason} The account has no computing time left.", action=failures.MORE_TIME
            )
    log = log_tail(rest, bundle.uuid) if bundle.type == "run" else ""
    return RunFailed(f"{what} failed: {reason}" + (f"\n{log}" if log else ""), action=action)


def log_tail(rest: Rest, uuid: str) -> str:
    """Read the last lines of a run's stderr, or if it has none, of its stdout; empty if neither can be read."""
    for name in ("stderr", "stdout"):
        try:
            text = rest.file(uuid, name, tail=_LOG_LINES).decode("utf-8", "replace").strip()
        except (CodaLabError, Unreachable):
            continue
        if text:
            return text
    return ""
