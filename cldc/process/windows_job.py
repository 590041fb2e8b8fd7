"""A Windows job: a program in it, and everything that starts, ends when the job is closed.

The system closes a job when the process that holds it ends, however that ends. Windows only.
See https://learn.microsoft.com/windows/win32/procthread/job-objects.
"""

from __future__ import annotations

import ctypes
from typing import Any

# JOBOBJECTINFOCLASS, and a flag of JOBOBJECT_BASIC_LIMIT_INFORMATION.
_EXTENDED_LIMIT_INFORMATION = 9
_KILL_ON_JOB_CLOSE = 0x2000
# Exit code of what is ended.
_ENDED = 1
# A process that is created with it has run no code yet, so that it can't start another outside the job.
CREATE_SUSPENDED = 0x4


class _Limits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("least_working_set", ctypes.c_size_t),
        ("most_working_set", ctypes.c_size_t),
        ("processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority", ctypes.c_uint32),
        ("scheduling", ctypes.c_uint32),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


class WindowsJob:
    """A job of this process, without a name."""

    def __init__(self, kernel: Any = None) -> None:
        """Create the job; ``kernel`` is kernel32.

        Raises:
            OSError: Windows refuses to create one.
        """
        self._kernel = kernel or getattr(ctypes, "WinDLL")("kernel32", use_last_error=True)  # noqa: B009
        self._kernel.CreateJobObjectW.restype = ctypes.c_void_p
        self._handle = ctypes.c_void_p(self._kernel.CreateJobObjectW(None, None))
        limits = _Limits(flags=_KILL_ON_JOB_CLOSE)
        done = self._handle.value and self._kernel.SetInformationJobObject(
            self._handle, _EXTENDED_LIMIT_INFORMATION, ctypes.byref(limits), ctypes.sizeof(limits)
        )
        if not done:
            raise self._failed("create a job")

    def take(self, process: int) -> None:
        """Put a process into the job, by its handle, with everything that it starts from now on.

        Raises:
            OSError: Windows refuses it.
        """
        if not self._kernel.AssignProcessToJobObject(self._handle, ctypes.c_void_p(process)):
            raise self._failed("put a process into a job")

    def end(self) -> None:
        """End everything in it; safe to call again."""
        handle, self._handle = self._handle, ctypes.c_void_p(None)
        if handle.value:
            self._kernel.TerminateJobObject(handle, _ENDED)
            self._kernel.CloseHandle(handle)

    def _failed(self, what: str) -> OSError:
        number = getattr(ctypes, "get_last_error", int)()
        self.end()
        return OSError(number, f"Windows can't {what} (error {number})")
