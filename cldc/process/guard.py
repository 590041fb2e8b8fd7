"""Stands between cldc and a program it starts, so that the program never outlives cldc.

Started by path, by cldc's own Python without site-packages; imports nothing of cldc. It starts the program as
the leader of a process group, and ends that group when the program is done or when the other end of its link
closes, which it does however cldc ends: a SIGKILL too. POSIX only.

Usage: guard.py run|detach LINK GRACE_SECONDS COMMAND...   (LINK: number of the link's file descriptor)

It writes lines to the link: ``pid N`` when the program runs, or ``error ERRNO`` when it can't be started; then
``exit CODE PEAK``: exit code (minus the signal that ended it) and peak resident memory in bytes. ``detach`` gives the
program a session of its own, and leaves it alone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time

_POLL_SECONDS = 0.02
_LEFTOVER_GRACE_SECONDS = 0.5


def _start(command: list[str], *, own_session: bool) -> tuple[int, int]:
    """Start the program; give its pid, and 0 or the errno of the failed exec."""
    failed_read, failed_write = os.pipe()  # closed by a successful exec
    pid = os.fork()
    if pid == 0:
        os.close(failed_read)
        try:
            if own_session:
                os.setsid()
            else:
                os.setpgid(0, 0)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            os.execvp(command[0], command)  # noqa: S606 - the whole point
        except OSError as error:
            os.write(failed_write, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(failed_write)
    with open(failed_read, "rb") as report:  # noqa: PTH123 - a descriptor, not a path
        failure = report.read()
    return pid, int(failure or 0)


def _signal_group(pid: int, number: int) -> bool:
    """Signal the program's group; whether there was anyone to signal."""
    try:
        os.killpg(pid, number)
    except OSError:
        return False
    return True


def _end_group(pid: int, grace: float) -> None:
    """End what the program left running in its group.

    A zombie that nobody reaps counts as running (there is no cheap way to tell), hence the short patience.
    """
    if not _signal_group(pid, signal.SIGTERM):
        return
    deadline = time.monotonic() + min(grace, _LEFTOVER_GRACE_SECONDS)
    while time.monotonic() < deadline and _signal_group(pid, 0):
        time.sleep(_POLL_SECONDS)
    _signal_group(pid, signal.SIGKILL)


def _wait(pid: int, link: int, wake: int, grace: float) -> tuple[int, int]:
    """Wait for the program, ending it when the link closes; give its exit code and peak memory in bytes."""
    watched = [link, wake]
    deadline: float | None = None
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            # Linux counts in KiB, macOS in bytes.
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * (
                1 if sys.platform == "darwin" else 1024
            )
        if deadline is not None and time.monotonic() >= deadline:
            _signal_group(pid, signal.SIGKILL)
            deadline = None
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], timeout)
        # A byte in the wake pipe is the number of a signal: the program's end, or someone's wish to end us.
        wanted = wake in ready and signal.SIGTERM in os.read(wake, 64)
        if link in ready or wanted:
            if link in ready:
                watched.remove(link)
            deadline = time.monotonic() + grace
            _signal_group(pid, signal.SIGTERM)
            _signal_group(pid, signal.SIGCONT)


def _main(mode: str, link_text: str, grace_text: str, *command: str) -> None:
    link, grace = int(link_text), float(grace_text)
    os.set_inheritable(link, False)
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    pid, failure = _start(list(command), own_session=mode == "detach")
    os.write(link, b"error %d\n" % failure if failure else b"pid %d\n" % pid)
    if failure or mode == "detach":
        return
    # The pipes are the program's alone: its readers must see their end when it ends.
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    code, peak = _wait(pid, link, wake, grace)
    _end_group(pid, grace)
    with contextlib.suppress(OSError):  # cldc is gone
        os.write(link, b"exit %d %d\n" % (code, peak))


if __name__ == "__main__":
    _main(*sys.argv[1:])
