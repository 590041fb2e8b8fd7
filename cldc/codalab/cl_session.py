"""A session of `cl`: CodaLab's own command line in its environment, started once for many commands."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from cldc import address, files, process
from cldc.codalab import failures, proxies
from cldc.credentials import USERNAME_VARIABLE, Credentials
from cldc.errors import CldcError, EnvironmentFailed, ProcessFailed
from cldc.progress import SILENT, Observer
from cldc.text import PASSWORD_VARIABLE, duration

T = TypeVar("T")
START_SECONDS = 180.0
# Each request of a command gives up after a minute; this limit is for a command that hangs nevertheless.
COMMAND_SECONDS = 300.0
# For an upload that no longer moves; its own connection gives up after a minute.
STALL_SECONDS = 120.0
# All bytes are sent: the server unpacks them before it answers.
UNPACK_SECONDS = 600.0
# Between two notes that the server has not answered.
NOTE_SECONDS = 60.0
REQUEST_SECONDS = "60"
SESSION = Path(__file__).with_name("inside") / "session.py"
# The HTTP status behind each of the client's exceptions.
_STATUS_BY_TYPE = {
    "codalab.common.AuthorizationError": 401,
    "codalab.common.LoginPermissionError": 401,
    "codalab.common.PermissionError": 403,
    "codalab.common.NotFoundError": 404,
    "codalab.common.UsageError": 400,
}
# What the client raises when a proxy or another program answers instead of the server.
_MISREAD = frozenset({"TypeError", "KeyError", "AttributeError", "IndexError", "JSONDecodeError"})

Progress = Callable[[int, int | None], None]
"""Called with the number of bytes sent, and the total if it is known."""


class _Hello(msgspec.Struct):
    """The client's first message."""

    ready: str | None = None
    failed: str = "it gave no reason"


class _ClientError(msgspec.Struct):
    """An exception of the client, as `inside/session.py` describes it."""

    type: str
    message: str = ""
    status: int | None = None
    network: bool = False
    untouched: bool = False
    verify_code: int | None = None


class _Message(msgspec.Struct):
    """An event of a command; without ``event``, its end."""

    id: int = 0
    event: str = ""
    uuid: str = ""
    done: int = 0
    total: int | None = None
    code: int = 1
    stdout: str = ""
    stderr: str = ""
    error: _ClientError | None = None


class _NeverStarted(Exception):
    """The process ended before it accepted the command."""


class ClSession:
    """One `cl` process as one account of one server. Not for several threads at once.

    It starts with the first command, or with `start`, which returns at once, so that CodaLab is imported in the
    background. A process that died is replaced at the next command.

    Attributes:
        created: Uuids of the bundles and worksheets that the last command created, even if it failed afterwards.
    """

    def __init__(
        self,
        python: Callable[[], Path],
        server: str,
        credentials: Credentials,
        *,
        observer: Observer = SILENT,
    ) -> None:
        """Start nothing yet.

        ``python`` returns the interpreter of the codalab environment, which it creates if necessary. The credentials are
        passed on in the environment only.
        """
        self.server = address.check(server)
        self.created: tuple[str, ...] = ()
        self._python, self._credentials, self._observer = python, credentials, observer
        self._resources = contextlib.ExitStack()
        self._child: process.Child | None = None
        self._ready = False
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process; the next command starts a new one."""
        self._child = None
        self._resources.close()

    def start(self) -> process.Child:
        """Start the process unless it runs, and return it without waiting for it.

        Raises:
            EnvironmentFailed: The environment's Python can't be started, or the environment can't be created.
        """
        if self._child is not None and self._child.alive:
            return self._child
        self.close()
        python = self._python()
        home = self._resources.enter_context(files.temporary_folder("cldc-cl-"))
        try:
            # -I: neither the user's packages nor the current folder. CodaLab's SyntaxWarnings are not ours to show.
            child = process.Child(
                [python, "-I", "-W", "ignore", SESSION], env=self._environment(home), cwd=home
            )
        except ProcessFailed as error:
            raise _broken(error.message) from error
        self._child, self._ready = self._resources.enter_context(child), False
        return child

    def _environment(self, home: Path) -> dict[str, str]:
        nothing = os.devnull
        extra = {
            "CODALAB_SERVER": self.server,
            USERNAME_VARIABLE: self._credentials.username,
            PASSWORD_VARIABLE: self._credentials.password,
            "CODALAB_HOME": str(home),
            "CODALAB_SESSION": "cldc",
            "CODALAB_URLOPEN_TIMEOUT_SECONDS": REQUEST_SECONDS,
            "EDITOR": nothing,
            "VISUAL": nothing,
        }
        if address.is_loopback(self.server):
            extra.update({"NO_PROXY": "*", "no_proxy": "*"})
        else:
            extra.update(proxies.proxy_for_children())
        environment = process.clean_environment(extra)
        environment.pop("_ARGCOMPLETE", None)
        return environment

    def command(
        self, *argv: str, progress: Progress | None = None, waiting: process.Waiting | None = None
    ) -> str:
        """Run ``cl ARGV`` and return what it prints, without the end of line.

        Args:
            argv: Command and arguments; no secrets. An empty value opens an editor unless it follows ``--field``.
            progress: Called with uploaded bytes.
            waiting: Called while no message comes; without it, a note says so every minute.

        Raises:
            CredentialsError, PermissionDenied, NotFound, AlreadyExists, QuotaExceeded, CodaLabError: The server refused.
            Unreachable: The server was not reached.
            Interrupted: The command was interrupted; it may or may not have been carried out.
            EnvironmentFailed: The client does not start.
        """
        what, waiting = f"cl {argv[0]}", waiting or self._noting(argv[0])
        try:
            reply = self._ask(argv, progress, waiting)
        except _NeverStarted:
            # It died while idle, so this command can run in another one.
            try:
                reply = self._ask(argv, progress, waiting)
            except _NeverStarted as error:
                raise _broken("something kills it as soon as it starts") from error
        if reply.error is not None:
            raise self._failure(reply.error, what)
        if reply.code != 0:
            said = reply.stderr.strip() or reply.stdout.strip() or f"exit code {reply.code}"
            raise failures.refusal(what, said.splitlines()[-1], status=None, server=self.server)
        return reply.stdout.rstrip("\n")

    def _noting(self, name: str) -> process.Waiting:
        """Note every minute that the server has not answered the command yet."""
        next_note = NOTE_SECONDS

        def waiting(silent_seconds: float, limit_seconds: float) -> None:
            nonlocal next_note
            if silent_seconds >= next_note:
                next_note = silent_seconds + NOTE_SECONDS
                self._observer.note(
                    f"{self.server} has not answered `cl {name}` for {duration(silent_seconds)}; "
                    f"it has {duration(limit_seconds)}."
                )

        return waiting

    def _ready_child(self) -> process.Child:
        """Wait until the process has imported CodaLab, and return it."""
        child = self.start()
        if self._ready:
            return child
        try:
            hello = _read_message(child.receive(START_SECONDS), _Hello)
        except (ProcessFailed, ValueError, msgspec.ValidationError) as error:
            errors = child.errors
            self.close()
            if isinstance(error, process.CommandFailed) and error.returncode < 0:
                raise _NeverStarted from error  # killed, as when memory runs out: not the fault of its environment
            raise _broken(errors.strip().splitlines()[-1] if errors.strip() else str(error)) from error
        if hello.ready is None:
            self.close()
            raise _broken(hello.failed)
        self._ready = True
        return child

    def _ask(self, argv: tuple[str, ...], progress: Progress | None, waiting: process.Waiting) -> _Message:
        """Send one command and follow it to its end; its progress decides how long it may be silent."""
        self.created = ()
        child = self._ready_child()
        self._number += 1
        accepted, limit = False, COMMAND_SECONDS
        try:
            child.send(json.dumps({"id": self._number, "argv": argv}))
            while True:
                message = _read_message(child.receive(limit, waiting), _Message)
                if message.id != self._number:
                    continue  # from a command that an exception here interrupted
                if not message.event:
                    return message
                accepted = True
                if message.event == "created":
                    self.created += (message.uuid,)
                elif message.event == "progress":
                    limit = UNPACK_SECONDS if message.done == message.total else STALL_SECONDS
                    if progress is not None:
                        progress(message.done, message.total)
        except (ProcessFailed, ValueError, msgspec.ValidationError) as error:
            self.close()
            slow = isinstance(error, process.ProcessTimeout)
            if not accepted and not slow:
                raise _NeverStarted from error
            reason = f"no answer for {duration(limit)}" if slow else "CodaLab's client ended"
            raise self._interrupted(f"cl {argv[0]}", reason) from error
        except BaseException:
            # Ctrl-C, or an exception in ``progress``: stop the client, too.
            self.close()
            raise

    def _interrupted(self, what: str, reason: str) -> failures.Interrupted:
        return failures.Interrupted(
            f"`{what}` on {self.server} was interrupted: {failures.tidy(reason)}.",
            action="Run the command again; it first looks for what was done already.",
        )

    def _failure(self, error: _ClientError, what: str) -> CldcError:
        """Build the error for an exception of the client."""
        status = _STATUS_BY_TYPE.get(error.type) or error.status
        if error.verify_code is not None:
            return failures.untrusted(self.server, error.message, error.verify_code)
        if error.untouched and not self.created:
            return failures.unreachable(
                self.server, error.message.rpartition("urlopen error ")[2].strip("<>")
            )
        if error.network or status in (502, 503, 504):
            return self._interrupted(what, error.message)
        if error.type.rpartition(".")[2] in _MISREAD and status is None:
            return failures.not_codalab(self.server, f"CodaLab's client could not read its answer to {what}")
        return failures.refusal(what, error.message or error.type, status=status, server=self.server)


def _read_message(line: str, shape: type[T]) -> T:
    """Read a message of the client; `json` accepts the surrogates of a path that is not UTF-8, and `msgspec.json` does not.

    Raises:
        ValueError, msgspec.ValidationError: It is not such a message.
    """
    return msgspec.convert(json.loads(line), shape)


def _broken(reason: str) -> EnvironmentFailed:
    return EnvironmentFailed(
        f"CodaLab's client does not start: {failures.tidy(reason)}.",
        action="Run `cldc env remove codalab`; the next command that needs it creates it again.",
    )
