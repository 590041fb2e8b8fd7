"""Every failure a user can meet: what happened, what to do next, and the exit code.

Exit codes belong to classes, so that a script can tell failures apart. Click itself uses 1 (abort) and
2 (usage); 130 is an interruption; 70 (EX_SOFTWARE) is a bug in cldc.
"""

from __future__ import annotations

from typing import Any, ClassVar


class CldcError(Exception):
    """An expected failure.

    Attributes:
        message: One or two lines that name the file or value.
        action: What the user can do next, as an imperative sentence.
        server_failed: Whether the server, or the way to it, was at fault.
    """

    code: ClassVar[int] = 1
    kind: ClassVar[str] = "error"
    server_failed: ClassVar[bool] = False

    def __init__(self, message: str, *, action: str) -> None:
        super().__init__(message)
        self.message = message
        self.action = action

    def __str__(self) -> str:
        return f"{self.message}\n{self.action}"

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, unpickling an exception from another process recreates it from its message alone.
        return _remade, (type(self), self.message, self.action)


def _remade(kind: type[CldcError], message: str, action: str) -> CldcError:
    error = kind.__new__(kind)
    CldcError.__init__(error, message, action=action)
    return error


class UsageError(CldcError):
    """An invalid command line."""

    code = 2
    kind = "usage"


class InvalidDataset(CldcError):
    """The dataset has errors, or is no dataset."""

    code = 3
    kind = "dataset"


class ConfigurationError(CldcError):
    """A profile, project file or setting can't be used, or needs a person's approval."""

    code = 4
    kind = "configuration"


class EnvironmentFailed(CldcError):
    """An isolated environment can't be created or does not work."""

    code = 5
    kind = "environment"


class PreflightFailed(CldcError):
    """The training script ended without a usable result."""

    code = 6
    kind = "preflight"


class CredentialsError(CldcError):
    """No credentials, or the server refused them."""

    code = 7
    kind = "credentials"


class QuotaExceeded(CldcError):
    """The competition's quota, or the account's on the server, is spent."""

    code = 8
    kind = "quota"


class Unreachable(CldcError):
    """The server can't be reached, or did not answer like a CodaLab server."""

    code = 9
    kind = "network"
    server_failed = True


class CodaLabError(CldcError):
    """CodaLab refused a command or gave an answer that can't be used."""

    code = 10
    kind = "codalab"


class RunFailed(CldcError):
    """The run, or its predictions, failed on CodaLab."""

    code = 11
    kind = "run"


class SubmissionRefused(CldcError):
    """The submission would be lost, hidden or wasted."""

    code = 12
    kind = "submission"


class SandboxError(CldcError):
    """The sandbox does not start, or is not up."""

    code = 13
    kind = "sandbox"


class StorageError(CldcError):
    """A file can't be read or written: no space, no permission, a lock held for too long."""

    code = 14
    kind = "storage"


class ProcessFailed(CldcError):
    """A program that cldc started failed unexpectedly."""

    code = 15
    kind = "process"


class NotFinished(CldcError):
    """The wait timed out; the operation it waited for continues."""

    code = 16
    kind = "timeout"
