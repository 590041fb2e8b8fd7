"""Create an environment, check that it works, and mark it ready."""

from __future__ import annotations

import contextlib
import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import psutil
import uv

from cldc.environments.model import (
    MARKER,
    Environment,
    Recipe,
    build_requirements,
    environments_folder,
    read_marker,
    write_marker,
)
from cldc.environments.pythons import Interpreter
from cldc.errors import CldcError, EnvironmentFailed
from cldc.files import (
    lock,
    private_folder,
    remove_tree,
    replace_atomically,
    storage_error,
    temporary_folder,
)
from cldc.process import CommandFailed, Stream, clean_environment, describe_exit, run
from cldc.progress import Observer

# Enough for a gigabyte over a slow connection.
_INSTALL_SECONDS = 3600
_HEALTH_SECONDS = 300
HEALTH = Path(__file__).with_name("inside") / "health.py"
_NETWORK = (
    "network connectivity is disabled", "error sending request", "dns error", "client error", "timed out",
    "failed to fetch", "failed to download", "no solution found", "connection",
)  # fmt: skip
_NOT_SHOWN = (" + ", "Activate with", "Using ", "Creating ")
_ILLEGAL = ("SIGILL", "SIGFPE")


def ready(recipe: Recipe, home: Path) -> Environment | None:
    """Find the environment of a recipe; None if it is not ready."""
    return read_marker(environments_folder(home) / recipe.id, recipe)


def make(recipe: Recipe, interpreter: Interpreter, home: Path, observer: Observer) -> Environment:
    """Create an environment, or wait for another process that does.

    Raises:
        EnvironmentFailed: Its packages are not available, or it does not work on this machine.
        StorageError: No space, no permission, or the other process takes too long.
    """
    folder = environments_folder(home) / recipe.id
    private_folder(folder.parent)
    with lock(
        folder.with_name(f"{recipe.id}.lock"),
        purpose=f"creating the environment {recipe.name}",
        observer=observer,
        timeout_seconds=_INSTALL_SECONDS,
    ):
        if environment := read_marker(folder, recipe):  # the other process has just created it
            return environment
        remove_tree(folder)  # what a broken attempt left
        try:
            return _make(recipe, interpreter, folder, observer)
        except BaseException:
            with contextlib.suppress(CldcError):
                remove_tree(folder)
            raise


def _make(recipe: Recipe, interpreter: Interpreter, folder: Path, observer: Observer) -> Environment:
    environment = Environment(
        path=folder,
        version=recipe.version,
        python_version=interpreter.version,
        interpreter=interpreter.path,
        made=datetime.now(UTC).replace(microsecond=0),
        faithful=recipe.faithful,
        why=recipe.why,
    )
    observer.start(f"Creating the environment {recipe.name} (once on this machine)")
    venv = ("venv", "--no-project", "--python", str(interpreter.path), str(folder))
    _uv(recipe, folder.parent, observer, *venv)
    _uv(
        recipe, folder.parent, observer,
        "pip", "install", "--python", str(environment.python),
        "--require-hashes", "--no-deps",  # the lock is complete; CodaLab's own pins would contradict it
        "--build-constraints", str(build_requirements()),
        "--requirements", str(recipe.requirements),
    )  # fmt: skip
    observer.start(f"Checking the environment {recipe.name}")
    check(environment, recipe.kind)
    replace_atomically(folder / MARKER, write_marker(environment))
    return environment


def _uv(recipe: Recipe, cwd: Path, observer: Observer, *args: str) -> None:
    with Stream(
        [uv.find_uv_bin(), *args], env=clean_environment(), cwd=cwd, timeout_seconds=_INSTALL_SECONDS
    ) as child:
        for number, line in enumerate(child):
            if not line.startswith(_NOT_SHOWN):
                observer.advance(number, line.strip())
    if child.returncode:
        raise _install_error(recipe, cwd, child)


def _install_error(recipe: Recipe, folder: Path, child: Stream) -> CldcError:
    said = [line.strip() for line in child.tail.splitlines() if line.strip()]
    start = next(
        (i for i, line in enumerate(said) if line.lower().startswith("error")), max(0, len(said) - 8)
    )
    text = "\n".join(said[start:][:12]) or describe_exit(child.returncode)
    what = f"The environment {recipe.name} can't be created:"
    if "no space left" in text.lower() or "disk quota exceeded" in text.lower():
        return storage_error(OSError(errno.ENOSPC, "full"), folder)
    if "hash mismatch" in text.lower():
        return EnvironmentFailed(
            f"{what} a package is not the one that cldc was released with.\n{text}",
            action="Check whether UV_INDEX_URL or a proxy serves altered packages; unset it and run the command again.",
        )
    if any(sign in text.lower() for sign in _NETWORK):
        return EnvironmentFailed(
            f"{what} its packages can't be downloaded.\n{text}",
            action="Connect to the network (HTTPS_PROXY, SSL_CERT_FILE and UV_INDEX_URL are respected), "
            "then run the command again: it continues where it stopped.",
        )
    return EnvironmentFailed(
        f"{what}\n{text}",
        action="Fix what uv says above and run the command again; `cldc doctor` shows what else is needed.",
    )


def check(environment: Environment, kind: str) -> None:
    """Check that an environment works by using it.

    Raises:
        EnvironmentFailed: It does not work on this machine.
    """
    with temporary_folder("cldc-check-") as folder:
        env = clean_environment({"CODALAB_HOME": str(folder), "TF_CPP_MIN_LOG_LEVEL": "2"})
        try:
            run(
                [environment.python, "-I", HEALTH, kind],
                env=env,
                cwd=folder,
                timeout_seconds=_HEALTH_SECONDS,
            )
        except CommandFailed as error:
            raise _health_error(environment, error) from error


def _health_error(environment: Environment, error: CommandFailed) -> EnvironmentFailed:
    ended = describe_exit(error.returncode)
    if ended.endswith(_ILLEGAL):
        return EnvironmentFailed(
            f"{environment.name} does not run on this machine's processor ({ended}).",
            action="Run it on a processor with AVX instructions (most from 2012 on), or name another TensorFlow "
            "in the profile.",
        )
    last = "\n".join((error.stderr.strip() or error.stdout.strip()).splitlines()[-3:])
    return EnvironmentFailed(
        f"{environment.name} was installed but does not work ({ended}).\n{last}".rstrip(),
        action=f"`cldc env remove {environment.name}` removes it, so that the next command creates it again; if that fails, report it with these lines.",
    )


def in_use(folder: Path) -> list[int]:
    """List the pids of processes that run a program from an environment's folder."""
    prefix = str(folder) + os.sep
    return [
        process.pid
        for process in psutil.process_iter(["cmdline", "exe"])
        if process.pid != os.getpid()
        and any(
            part.startswith(prefix) for part in [process.info["exe"] or "", *(process.info["cmdline"] or [])]
        )
    ]
