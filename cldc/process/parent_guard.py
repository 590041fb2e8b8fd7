"""Runs between cldc and a program, so that neither the program nor its children outlive cldc.

Started by path, by cldc's own Python without site-packages; imports nothing of cldc. It starts the program as
the leader of a process group, and ends it with everything that descends from it when the program is done or when the
other end of its link closes, which it does however cldc ends: a SIGKILL too. POSIX only.

A process that has left the group (``setsid``) is still a descendant. One whose parent has ended as well is so on Linux
alone, where the guard makes itself the parent of such orphans.

Usage: parent_guard.py run|detach LINK GRACE_SECONDS COMMAND...   (LINK: number of the link's file descriptor)

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

try:
    import ctypes
except ImportError:  # a Python that was built without it
    ctypes = None  # type: ignore[assignment]

_POLL_SECONDS = 0.02
_LEFTOVER_GRACE_SECONDS = 0.5
# How long to keep killing: a process that waits for a dead disk ends only when the disk answers.
_KILL_SECONDS = 5.0
_ASK_TO_END = (signal.SIGTERM, signal.SIGCONT)
_SET_CHILD_SUBREAPER = 36


def _start(command: list[str], *, own_session: bool) -> tuple[int, int]:
    """Start the program; return its pid, and 0 or the errno of the failed exec."""
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


def _adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends (Linux 3.4 and later)."""
    if ctypes is not None and sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def processes_in_proc() -> dict[int, tuple[int, int]]:
    """Map each running process's pid to its parent and group, zombies excluded; for systems with /proc."""
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):  # noqa: PTH208 - pathlib takes time to import
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123
            # The program's name is in parentheses and may have any character.
            state, parent, group = file.read().rpartition(b")")[2].split()[:3]
            if state not in (b"Z", b"X"):
                found[int(name)] = (int(parent), int(group))
    return found


def processes_by_ps() -> dict[int, tuple[int, int]]:
    """List what `processes_in_proc` lists, on any POSIX system."""
    command = ["ps", "-A", "-o", "pid=,ppid=,pgid=,state="]
    output, end = os.pipe()
    # Not with `subprocess`: every program that cldc starts would wait for its import.
    ps = os.posix_spawnp(command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, end, 1)])
    os.close(end)
    with open(output, encoding="ascii") as lines:  # noqa: PTH123 - a descriptor, not a path
        rows = [line.split() for line in lines]
    os.waitpid(ps, 0)
    found = {int(pid): (int(up), int(group)) for pid, up, group, state in rows if state[0] not in "ZX"}
    found.pop(ps, None)
    return found


def _family(group: int) -> set[int]:
    """Find the running descendants of this process, and the program's group with its descendants."""
    processes = processes_in_proc() if os.access("/proc/self/stat", os.R_OK) else processes_by_ps()
    nearest = {pid for pid, (parent, its) in processes.items() if parent == os.getpid() or its == group}
    found: set[int] = set()
    while nearest:
        found |= nearest
        nearest = {pid for pid, (parent, _) in processes.items() if parent in nearest} - found
    return found


def _signal_family(group: int, *numbers: int) -> bool:
    """Signal the program's family; return whether any of it runs."""
    family = _family(group)
    for number in numbers:
        for pid in family:
            with contextlib.suppress(OSError):
                os.kill(pid, number)
    return bool(family)


def _end_family(group: int, grace: float) -> None:
    """End what the program left running."""
    deadline = time.monotonic() + min(grace, _LEFTOVER_GRACE_SECONDS)
    left = _signal_family(group, *_ASK_TO_END)
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        left = bool(_family(group))
    # Repeated, since a process that is being ended may have started another.
    deadline = time.monotonic() + _KILL_SECONDS
    while left and time.monotonic() < deadline:
        left = _signal_family(group, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _wait(pid: int, link: int, wake: int, grace: float) -> tuple[int, int]:
    """Wait for the program, ending it when the link closes; return its exit code and peak memory in bytes."""
    watched = [link, wake]
    deadline: float | None = None
    while True:
        done, status, usage = os.wait4(-1, os.WNOHANG)
        if done == pid:
            # Linux counts in KiB, macOS in bytes.
            return os.waitstatus_to_exitcode(status), usage.ru_maxrss * (
                1 if sys.platform == "darwin" else 1024
            )
        if done:  # an orphan
            continue
        if deadline is not None and time.monotonic() >= deadline:
            _signal_family(pid, signal.SIGKILL)
            deadline = None
        timeout = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(watched, [], [], timeout)
        # A byte in the wake pipe is the number of a signal: the program's end, or someone's wish to end us.
        wanted = wake in ready and signal.SIGTERM in os.read(wake, 64)
        if link in ready or wanted:
            if link in ready:
                watched.remove(link)
            deadline = time.monotonic() + grace
            _signal_family(pid, *_ASK_TO_END)


def _main(mode: str, link_text: str, grace_text: str, *command: str) -> None:
    link, grace = int(link_text), float(grace_text)
    os.set_inheritable(link, False)
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    if mode == "run":
        _adopt_orphans()
    pid, failure = _start(list(command), own_session=mode == "detach")
    os.write(link, b"error %d\n" % failure if failure else b"pid %d\n" % pid)
    if failure or mode == "detach":
        return
    # The pipes are the program's alone: its readers must see their end when it ends.
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    code, peak = _wait(pid, link, wake, grace)
    _end_family(pid, grace)
    with contextlib.suppress(OSError):  # cldc is gone
        os.write(link, b"exit %d %d\n" % (code, peak))


if __name__ == "__main__":
    _main(*sys.argv[1:])
