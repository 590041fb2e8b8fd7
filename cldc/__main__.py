"""The one entry and the one exit: a command's outcome becomes an exit code, and only here."""

from __future__ import annotations

import sys

try:
    import contextlib
    import errno
    import io
    import os
    import signal
    import threading
    from collections.abc import Sequence
    from typing import NoReturn

    import click

    from cldc.cli import cli
    from cldc.cli.safe_streams import discard, make_safe
    from cldc.errors import CldcError
    from cldc.text import PASSWORD_VARIABLE, keep_secret
except KeyboardInterrupt:  # Ctrl-C while Python loads this, before `main` handles signals
    print("\nStopped before anything was done.", file=sys.stderr)  # noqa: T201
    sys.exit(130)

INTERRUPTED = 130
HUNG_UP = 129
TERMINATED = 143
_KEPT = "Stopped. What was done is kept; run the same command to continue."
BUG = 70
_MOMENT_SECONDS = 0.05
# The exit code for each signal that asks us to stop. Not every system has every one: SIGHUP is a terminal that was closed,
# SIGBREAK the same on Windows.
_STOPS = {
    number: code
    for name, code in (
        ("SIGINT", INTERRUPTED),
        ("SIGTERM", TERMINATED),
        ("SIGHUP", HUNG_UP),
        ("SIGBREAK", TERMINATED),
    )
    if (number := getattr(signal, name, None)) is not None
}


# Signals that asked this process to stop. An exception raised after one is a consequence and no bug: an interruption
# can leave a library's lock in a state that the library then complains about.
_asked_to_stop: list[int] = []


class Terminated(BaseException):
    """Raised by a signal to stop, so that the program cleans up on the way out."""


def main() -> NoReturn:
    """Run the command line of this process and leave with its exit code."""
    try:
        read_names_as_utf8()
        for number in _STOPS:
            # nohup has SIGHUP ignored
            if number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, _stop)
        threading.excepthook = _thread_failed
        sys.unraisablehook = _ignored
        _open_what_is_closed()
        for stream in (sys.stdout, sys.stderr):
            # A pipe on Windows, or LANG=C, can't hold every character: it gets an escape, and no command fails for it.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        make_safe()
        keep_secret(os.environ.get(PASSWORD_VARIABLE, ""))
        code = run(sys.argv[1:])
    except (KeyboardInterrupt, Terminated) as interruption:  # outside the command itself
        code = _stopped(_message_for(interruption))
    sys.exit(code)


def read_names_as_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale decodes file names as something else.

    Names on a disk are bytes, and CodaLab and zips take them for UTF-8. In any other encoding, such as ISO 8859-1 or that of
    LC_ALL=POSIX, Python garbles valid names or can't decode them, and only a new process can change that.
    """
    if sys.getfilesystemencoding() == "utf-8" or not sys.executable:
        return
    if sys.stdout is not None:  # the terminal still uses its locale's encoding
        os.environ.setdefault("PYTHONIOENCODING", sys.stdout.encoding)
    os.environ["PYTHONUTF8"] = "1"  # for the Pythons that we start
    with contextlib.suppress(OSError):
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - ourselves


def _open_what_is_closed() -> None:
    """Without a standard stream (`>&-`) the next opened file would take its number, and messages would go into that file."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def run(arguments: Sequence[str]) -> int:
    """Run one command; every outcome, expected or not, comes back as an exit code."""
    try:
        outcome = cli.main(list(arguments), prog_name="cldc", standalone_mode=False)
        sys.stdout.flush()
    except (CldcError, click.ClickException) as error:
        from cldc.cli.output import show_error  # noqa: PLC0415 - `--help` starts faster without it

        outcome = show_error(error, arguments)
    except click.Abort as error:
        # Click raises it instead of an interruption, which is its cause, or because a person ended a question.
        return _stopped(_message_for(error.__cause__) if error.__cause__ else "Cancelled; nothing changed.")
    except (KeyboardInterrupt, Terminated) as error:
        return _stopped(_message_for(error))
    except BrokenPipeError:
        discard(sys.stdout)  # the reader (`| head`) has what it wanted
        outcome = 0
    except Exception as error:
        return _unforeseen(error, arguments)
    return outcome if isinstance(outcome, int) else 0


def _stop(number: int, _: object) -> None:
    _asked_to_stop.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    # A closed terminal sends two signals, one from the system and one from the shell; only Ctrl-C cuts cleaning up short.
    if len(_asked_to_stop) == 1:
        raise Terminated


def _ignored(lost: sys.UnraisableHookArgs) -> None:
    """Python ignores exceptions in a destructor, so send the signal again if one was an interruption."""
    if isinstance(lost.exc_value, KeyboardInterrupt | Terminated) and _asked_to_stop:
        threading.Timer(_MOMENT_SECONDS, os.kill, (os.getpid(), _asked_to_stop.pop())).start()
    else:
        sys.__unraisablehook__(lost)


def _message_for(interruption: BaseException) -> str:
    """Say what happens to the work, which the interrupted code noted on the exception."""
    return str((getattr(interruption, "__notes__", None) or [_KEPT])[-1])


def _stopped(message: str) -> int:
    print(f"\n{message}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
    return _STOPS[_asked_to_stop[0]] if _asked_to_stop else INTERRUPTED


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    if not _asked_to_stop:
        threading.__excepthook__(failure)


def _unforeseen(error: Exception, arguments: Sequence[str]) -> int:
    """Report a bug, unless an interruption, a full disk or a name that is too long explains the error; return the exit code."""
    if _asked_to_stop:
        return _stopped(_KEPT)
    from cldc.cli.output import lost_output, report_bug, show_error  # noqa: PLC0415 - as in `run`
    from cldc.files import NO_SPACE, storage_error  # noqa: PLC0415 - as in `run`

    if isinstance(error, OSError):
        if lost := lost_output():
            return show_error(lost, arguments)
        if error.errno in {*NO_SPACE, errno.ENAMETOOLONG}:
            return show_error(storage_error(error), arguments)
    print(f"\n{report_bug(error)}", file=sys.stderr, flush=True)  # noqa: T201
    return BUG


if __name__ == "__main__":
    main()
