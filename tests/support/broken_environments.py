"""Runs commands in broken environments: ``python -m tests.support.broken_environments FOLDER``, then one name per line.

For each name it writes the outcomes as a line of JSON. Commands come from Click's own tree, so a new one is there by itself. Each runs as ``main`` would run it, in a fork of this
process, which has imported everything: starting Python anew each time would take minutes. Only the clock is made up, so
that nobody waits for a server to come back.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import resource
import selectors
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from cldc import __main__ as entry
from cldc.cli import cli
from cldc.ledger import Ledger
from cldc.review import ReviewSession
from tests.support.folders import make_dataset
from tests.support.forking import import_everything, run_main
from tests.support.powers import give_up_powers
from tests.support.records import RECORD

_LONGEST_SECONDS = 60
COMPLETING = "_CLDC_COMPLETE=bash_complete"
_STREAMS = ("stdin", "stdout", "stderr")


def nothing(_: Path) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class BrokenEnvironment:
    """A broken environment of a command.

    Attributes:
        codes: Exit codes that it may cause, besides the one that the command has if nothing is wrong.
        prepare: Creates it, given the command's own folder: ``project`` is the working folder, ``home`` the data folder.
        enter: Changes the process that runs the command.
        env: Environment variables; ``{folder}`` stands for the command's own folder, an empty value for none.
        silent: Whether standard error can't be read.
        form: The format to ask for, if the command has it.
    """

    codes: tuple[int, ...]
    prepare: Callable[[Path], None] = nothing
    enter: Callable[[Path], None] = nothing
    env: tuple[tuple[str, str], ...] = ()
    silent: bool = False
    form: str = "text"


# What may be broken ----------------------------------------------------------------------------------------


def project(text: bytes) -> Callable[[Path], None]:
    """A project file with that text."""

    def prepare(folder: Path) -> None:
        (folder / "project" / "cldc.toml").write_bytes(text)

    return prepare


def unreadable_project(folder: Path) -> None:
    (folder / "project" / "cldc.toml").chmod(0)


def foreign_project(folder: Path) -> None:
    if os.geteuid() == 0:
        os.chown(folder / "project" / "cldc.toml", 4321, 4321)


def folder_as_project(folder: Path) -> None:
    (folder / "project" / "cldc.toml").unlink()
    (folder / "project" / "cldc.toml").mkdir()


def broken_user_file(folder: Path) -> None:
    (folder / "home").mkdir()
    (folder / "home" / "cldc.toml").write_text("server = ", encoding="utf-8")


def broken_profile(folder: Path) -> None:
    (folder / "profile.toml").write_text('title = "x"\n', encoding="utf-8")


def read_only_home(folder: Path) -> None:
    with Ledger(folder / "home") as ledger:
        ledger.add(RECORD)
    (folder / "home").chmod(0o500)


def file_as_home(folder: Path) -> None:
    (folder / "home").touch()


def link_in_circles(folder: Path) -> None:
    (folder / "home").symlink_to("home")


def read_only_project(folder: Path) -> None:
    (folder / "project").chmod(0o500)


def damaged_ledger(folder: Path) -> None:
    with Ledger(folder / "home") as ledger:
        ledger.add(RECORD)
        file = ledger.path
    file.write_bytes(file.read_bytes().replace(b"alice", b"alicf"))


def newer_ledger(folder: Path) -> None:
    with Ledger(folder / "home") as ledger, sqlite3.connect(ledger.path) as database:
        database.execute("PRAGMA user_version = 9")
    database.close()


def without_powers(_: Path) -> None:
    give_up_powers()


def full_disk(_: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def full(*numbers: int) -> Callable[[Path], None]:
    def enter(_: Path) -> None:
        for number in numbers:
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)

    return enter


def closed(*numbers: int) -> Callable[[Path], None]:
    def enter(_: Path) -> None:
        for number in numbers:
            os.close(number)
            # As Python begins where one is closed.
            setattr(sys, _STREAMS[number], None)

    return enter


def without_network(_: Path) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    socket.getaddrinfo = fail


def nobody(_: Path) -> None:
    """A container's user, who is in no list and has no home."""
    import pwd  # noqa: PLC0415 - Windows has none

    def unknown(number: int) -> NoReturn:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    pwd.getpwuid = unknown


def gone(folder: Path) -> None:
    shutil.rmtree(folder / "project")


def no_temporary_folder(_: Path) -> None:
    def fail() -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    tempfile.gettempdir = fail


_SERVER = ("CLDC_SERVER", "")
NOTHING_WRONG = "nothing wrong"
BROKEN_ENVIRONMENTS = {
    NOTHING_WRONG: BrokenEnvironment(()),
    "a project file that is no TOML": BrokenEnvironment((4,), project(b"server = \n")),
    "a project file that is no TOML, as JSON": BrokenEnvironment((4,), project(b"server = \n"), form="json"),
    "a project file that is no TOML, for GitHub": BrokenEnvironment(
        (4,), project(b"server = \n"), form="github"
    ),
    "a project file with an unknown key": BrokenEnvironment((4,), project(b'datset = "mine"\n')),
    "a project file with a wrong type": BrokenEnvironment((4,), project(b"dataset = 3\n")),
    "a project file that is not UTF-8": BrokenEnvironment((4,), project(b'name = "\xe4"\n')),
    "a project file that can't be read": BrokenEnvironment((4,), unreadable_project, without_powers),
    "a project file of somebody else": BrokenEnvironment((2, 4), foreign_project),
    "a project file that is a folder": BrokenEnvironment((2, 4), folder_as_project),
    "a dataset that is gone": BrokenEnvironment((3,), project(b'dataset = "gone"\n')),
    "a broken user file": BrokenEnvironment((4,), broken_user_file),
    "an unknown competition": BrokenEnvironment((4,), env=(("CLDC_COMPETITION", "nonsense"),)),
    "a broken profile": BrokenEnvironment(
        (4,), broken_profile, env=(("CLDC_COMPETITION", "{folder}/profile.toml"),)
    ),
    "a read-only home": BrokenEnvironment((14,), read_only_home, without_powers),
    "a home that can't be made": BrokenEnvironment((14,), env=(("CLDC_HOME", "/proc/nowhere/home"),)),
    "a home that is a file": BrokenEnvironment((14,), file_as_home),
    "a home that is a link in circles": BrokenEnvironment((14,), link_in_circles),
    "a user without a home": BrokenEnvironment((14,), enter=nobody, env=(("HOME", ""), ("CLDC_HOME", ""))),
    "a damaged ledger": BrokenEnvironment((14,), damaged_ledger),
    "a newer ledger": BrokenEnvironment((14,), newer_ledger),
    "a full disk": BrokenEnvironment((14,), enter=full_disk),
    "no folder for temporary files": BrokenEnvironment((14,), enter=no_temporary_folder),
    "a working folder that is gone": BrokenEnvironment((2, 3, 14), enter=gone),
    "a read-only working folder": BrokenEnvironment((14,), read_only_project, without_powers),
    "standard output that is full": BrokenEnvironment((14,), enter=full(1)),
    "standard error that is full": BrokenEnvironment((), enter=full(2), silent=True),
    "both streams full": BrokenEnvironment((14,), enter=full(1, 2), silent=True),
    "standard input closed": BrokenEnvironment((), enter=closed(0)),
    "standard output closed": BrokenEnvironment((), enter=closed(1)),
    "standard error closed": BrokenEnvironment((), enter=closed(2), silent=True),
    "all streams closed": BrokenEnvironment((), enter=closed(0, 1, 2), silent=True),
    "an unknown locale": BrokenEnvironment((), env=(("LC_ALL", "xx_YY.nonsense"),)),
    "no network": BrokenEnvironment((9,), enter=without_network, env=(_SERVER,)),
    "an address that is none": BrokenEnvironment((4, 9), env=(("CLDC_SERVER", "not an address"),)),
}

if not Path("/dev/full").is_char_device():  # only Linux has it
    BROKEN_ENVIRONMENTS = {
        name: one for name, one in BROKEN_ENVIRONMENTS.items() if "full" not in name or "disk" in name
    }


# Commands ---------------------------------------------------------------------------------------------------


def commands(form: str) -> Iterator[list[str]]:
    """Every command with the arguments it needs, and every completion."""
    yield from ([], ["--help"], ["--version"], ["nonsense"], ["validate", "--nonsense"])
    completed: set[object] = {None}
    for path, command in leaves(cli, []):
        yield [*path, *_arguments(command, form)]
        for parameter in command.params:
            if (complete := parameter._custom_shell_complete) not in completed:
                completed.add(complete)
                words = ["cldc", *path, *parameter.opts[: isinstance(parameter, click.Option)]]
                yield [f"COMP_WORDS={' '.join(words)} ", f"COMP_CWORD={len(words)}", COMPLETING]


def leaves(command: click.Command, path: list[str]) -> Iterator[tuple[list[str], click.Command]]:
    """Every command except groups, with the words that name it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, [*path, name])


def _arguments(command: click.Command, form: str) -> list[str]:
    options = {option for parameter in command.params for option in parameter.opts}
    # Quiet, to print only the error; with --yes, to get far; once, if it would otherwise never end.
    wanted = {"--quiet": [], "--yes": [], "--timeout": ["0"], "--images": ["30"], "--format": [form]}
    given = [word for name, value in wanted.items() if name in options for word in (name, *value)]
    return [*map(_value, filter(_required, command.params)), *given]


def _required(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Argument) and parameter.required


def _value(parameter: click.Parameter) -> str:
    if isinstance(parameter.type, click.Choice):
        return str(parameter.type.choices[0])
    return "new"


# Running them -----------------------------------------------------------------------------------------------


def chosen(name: str) -> Iterator[list[str]]:
    """The commands to run in the environment of that name: a quarter of them, and in the next environment another quarter.

    So each command meets a quarter of all faults; with CLDC_BROKEN_ENVIRONMENTS_CASES=all, and where nothing is wrong, every command runs.
    """
    every = name == NOTHING_WRONG or os.environ.get("CLDC_BROKEN_ENVIRONMENTS_CASES") == "all"
    position = list(BROKEN_ENVIRONMENTS).index(name)
    for number, arguments in enumerate(commands(BROKEN_ENVIRONMENTS[name].form)):
        if every or (number + position) % 4 == 0:
            yield arguments


def outcomes(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """How each command ends, and what it leaves behind."""
    broken = BROKEN_ENVIRONMENTS[name]
    dataset = make_dataset(folder / "mine", train=1)
    for number, arguments in enumerate(chosen(name)):
        own = folder / str(number)
        for inner in ("project", "user", "tmp"):
            (own / inner).mkdir(parents=True)
        (own / "project" / "cldc.toml").write_text(f'dataset = "{dataset}"\n', encoding="utf-8")
        broken.prepare(own)
        code, out, err = _run(broken, arguments, own)
        left = [path.name for path in (own / "tmp").iterdir()]
        logs = [path.read_text(encoding="utf-8") for path in own.glob("**/bug-*.log")]
        yield {"arguments": arguments, "code": code, "out": out, "err": err, "left": left, "logs": logs}


def _run(broken: BrokenEnvironment, arguments: list[str], folder: Path) -> tuple[int, str, str]:
    pipes = [os.pipe() for _ in range(2)]
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _enter(broken, folder, [write for _, write in pipes])
            code = _command(arguments)
        except BaseException:  # reported as what no command may print
            os.write(pipes[1][1], traceback.format_exc().encode())
        finally:
            os._exit(code)
    for _, write in pipes:
        os.close(write)
    out, err = _read([read for read, _ in pipes])
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), out, err


def _enter(broken: BrokenEnvironment, folder: Path, writers: list[int]) -> None:
    os.setsid()
    signal.alarm(_LONGEST_SECONDS)
    for name in list(os.environ):
        if name.startswith(("CLDC_", "CODALAB_", "XDG_", "GITHUB_")):
            del os.environ[name]
    settings = {
        "HOME": str(folder / "user"), "CLDC_HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"),
        "CLDC_SERVER": "http://127.0.0.1:9", "CODALAB_USERNAME": "u", "CODALAB_PASSWORD": "secret-secret",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring", "PATH": str(folder / "user"),
        "UV_OFFLINE": "1", "PYENV_ROOT": str(folder / "user" / "pyenv"), "CLDC_CODALAB_PYTHON": "3.9", "UV_CACHE_DIR": str(folder / "user" / "uv"), "NO_COLOR": "1", **dict(broken.env),
    }  # fmt: skip
    for name, value in settings.items():
        os.environ[name] = value.replace("{folder}", str(folder))
        if not value:
            del os.environ[name]
    os.chdir(folder / "project")
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), *writers)):
        os.dup2(descriptor, number)
        setattr(sys, _STREAMS[number], os.fdopen(number, "w" if number else "r", closefd=False))
    broken.enter(folder)


def _command(arguments: list[str]) -> int:
    if COMPLETING in arguments:  # a shell asks by variables
        os.environ.update(dict(word.split("=", 1) for word in arguments))
        arguments = []
    return run_main(arguments)


def _press_ctrl_c(_: ReviewSession) -> NoReturn:
    signal.raise_signal(signal.SIGINT)
    raise AssertionError("an interruption was ignored")


def _read(readers: list[int]) -> tuple[str, str]:
    parts: dict[int, list[bytes]] = {reader: [] for reader in readers}
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                piece = os.read(key.fd, 65536)
                if piece:
                    parts[key.fd].append(piece)
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    out, err = (b"".join(parts[reader]).decode("utf-8", "replace") for reader in readers)
    return out, err


def main() -> None:
    """Answer the name of a broken environment with the outcomes of its commands."""
    import_everything()
    gc.freeze()  # else each fork would copy what it only looks through
    entry.read_names_as_utf8 = lambda: None  # it would restart this program
    time.sleep = lambda _: None
    # Once its page is served, which stays until then.
    setattr(ReviewSession, "wait_for_change", _press_ctrl_c)  # noqa: B010 - mypy takes it for a method of its own
    asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in asked:
        name = line.strip()
        folder = Path(tempfile.mkdtemp(dir=sys.argv[1]))
        json.dump(list(outcomes(name, folder)), answers)
        answers.write("\n")
        answers.flush()


if __name__ == "__main__":
    main()
