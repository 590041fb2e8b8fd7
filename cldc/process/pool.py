"""Share computing between several Python processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from typing import TypeVar

_GRACE_SECONDS = 2.0

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], *, processes: int, chunk: int
) -> Iterator[Result]:
    """Apply ``function`` to ``items`` in other processes, and return the results in the same order.

    If one of them can't start or is killed, this process computes the rest. Function, items and results are pickled, so the
    function must be on the top level of a module, or a `functools.partial` of one that is. ``chunk`` items are sent at
    once. The processes end with this one, however it ends.
    """
    done = 0
    # "spawn", because "fork" copies the locks of running threads and does not exist on Windows.
    context = multiprocessing.get_context("spawn")
    with _settings_for_children():  # creating a pool starts a process as well
        pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_end_with_parent)
    try:
        with _settings_for_children():
            results = pool.map(function, items, chunksize=chunk)
        for result in results:
            yield result
            done += 1
    except (BrokenExecutor, OSError):
        pass  # too little memory, or no more processes are allowed
    except BaseException:
        # A process that is killed while it writes a result leaves half of it, and its reader would wait forever. So each
        # may finish what it is doing.
        pool.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + _GRACE_SECONDS
        for child in multiprocessing.active_children():
            child.join(max(0.0, deadline - time.monotonic()))
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    yield from map(function, items[done:])


@contextlib.contextmanager
def _settings_for_children() -> Iterator[None]:
    """Keep new processes from importing what lies in the current folder, and from reacting to Ctrl-C.

    A terminal sends Ctrl-C to all of them; only this process answers, and ends the others.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if os.name != "nt" else set()
    try:
        yield
    finally:
        if os.name != "nt":
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _end_with_parent() -> None:
    """End this worker with its parent, which it does not notice while it waits for work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:

        def watch() -> None:
            parent.join()
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()
