"""Runs ``cldc`` for tests, and where the repository and the small competition of the tests are."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.forking import ForkServer

ROOT = Path(__file__).parents[2]
# A small competition of a class: four shapes, a script that trains in a moment.
SHAPES = ROOT / "tests" / "data" / "shapes"
SHAPES_PROFILE = SHAPES / "shapes.toml"
_LONGEST_SECONDS = 1200
# conftest.py closes it when all tests have run.
UNTIL_THE_END = contextlib.ExitStack()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Cldc:
    """Runs ``cldc`` as a user does: a process of its own, with a data folder of its own.

    Attributes:
        home: The data folder.
        extra: Environment variables for every command; a PYTHONPATH among them starts Python anew.
        anew: Whether to start Python anew for each command, and not to fork a process that has imported ``cldc``.
    """

    home: Path
    extra: Mapping[str, str]
    anew: bool = False

    def __call__(
        self, *args: str | Path, cwd: Path | None = None, code: int | None = 0, **env: str
    ) -> Outcome:
        """Run one command; ``code`` is the exit code that it must have, None for any."""
        arguments, folder, given = list(map(str, args)), cwd or self.home, {**self.extra, **env}
        forks = None if self.anew or "PYTHONPATH" in given else fork_server()
        env = {**os.environ, "CLDC_HOME": str(self.home), "PYTHONPATH": str(ROOT), **given}
        with (
            Path(os.devnull).open() as nothing,
            # Not pipes, which a sandbox that the command starts could hold open.
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out,
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as err,
        ):
            if forks is not None:
                streams = [stream.fileno() for stream in (nothing, out, err)]
                ended = forks.start(arguments, env=env, cwd=folder, streams=streams).wait(_LONGEST_SECONDS)
            else:
                # Not by cldc.process, which would end the sandbox with the command that started it.
                ended = subprocess.run(
                    [sys.executable, "-m", "cldc", *arguments],
                    env=env,
                    cwd=folder,
                    stdin=nothing,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                    timeout=_LONGEST_SECONDS,
                    check=False,
                ).returncode
            for file in (out, err):
                file.seek(0)
            outcome = Outcome(ended, out.read(), err.read())
        assert "Traceback (most recent call last)" not in outcome.err + outcome.out, outcome
        assert code is None or outcome.code == code, outcome
        return outcome


def cldc_in(home: Path, environments_home: Path, **extra: str) -> Cldc:
    """A ``cldc`` with a fresh data folder that shares only the environments."""
    home.mkdir(parents=True, exist_ok=True)
    shared = environments_home / "environments"
    shared.mkdir(exist_ok=True)
    if not (home / "environments").exists():
        (home / "environments").symlink_to(shared, target_is_directory=True)
    return Cldc(home, extra)


@functools.cache
def fork_server() -> ForkServer | None:
    """What commands are forked from, one for all tests of a process; None on a system that has no forks."""
    if not hasattr(os, "fork"):
        return None
    folder = tempfile.TemporaryDirectory(prefix="cldc-forks-")  # a socket's path must be short
    server = ForkServer(Path(UNTIL_THE_END.enter_context(folder)))
    UNTIL_THE_END.callback(server.close)
    return server
