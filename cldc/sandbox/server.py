"""Start, find and stop the sandbox's server, and score on it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cldc import process
from cldc.codalab import Rest
from cldc.codalab.connection import Limits
from cldc.competition import Competition
from cldc.errors import CldcError, SandboxError
from cldc.files import private_folder, read_json, remove_tree, replace_atomically
from cldc.organise.model import PUBLISHED, OrganiserFiles, OrganiserTarget
from cldc.organise.profile import with_uuids
from cldc.organise.publishing import put_on_server
from cldc.organise.scoring import score as score_with
from cldc.progress import SILENT, Observer
from cldc.sandbox.accounts import organiser
from cldc.sandbox.inside.home import Home
from cldc.sandbox.paths import folder_of, home_of, leaderboard_file, locked

_INSIDE = Path(__file__).with_name("inside")
_START_SECONDS = 180.0
_STOP_SECONDS = 5.0
_ONE_QUESTION = Limits(pauses_seconds=(), silence_seconds=5.0, total_seconds=10.0)


@dataclass(frozen=True, slots=True)
class Status:
    """A running sandbox.

    Attributes:
        address: CodaLab's address, as ``http://127.0.0.1:PORT``.
        pid: The server's process.
        started: When it was ready.
        codalab: CodaLab's version.
        python: Version of the Python that it runs in.
        folder: The folder with all its files.
        competitions: Names of the competitions on it.
    """

    address: str
    pid: int
    started: datetime
    codalab: str
    python: str
    folder: Path
    competitions: tuple[str, ...]


def up(
    data: Path,
    competition: Competition,
    files: OrganiserFiles,
    *,
    codalab_python: Path,
    tensorflow_bin: Path,
    observer: Observer = SILENT,
) -> Status:
    """Start a CodaLab with the competition on it. Safe to call again: it keeps what is already up and set up.

    Args:
        data: The data folder; everything is kept in its folder ``sandbox``.
        files: The organiser's files; a bundle whose contents have changed is uploaded again.
        codalab_python: The Python of the `codalab` environment.
        tensorflow_bin: Folder with the ``python`` that runs use instead of the competition's Docker image.

    Raises:
        SandboxError: It does not start.
        CodaLabError: It can't be published.
        ConfigurationError: The profile has no [organiser] table.
    """
    with _started(data, competition.run.image, codalab_python, tensorflow_bin, observer):
        where = organiser_target(data, competition.name)
        put_on_server(
            competition, where, files, python=lambda: codalab_python, replace=True, observer=observer
        )
    return require_up(data)


def start(
    data: Path, image: str, *, codalab_python: Path, tensorflow_bin: Path, observer: Observer = SILENT
) -> Status:
    """Start a CodaLab without a competition, on which `organise` can set one up.

    Raises:
        SandboxError: It does not start.
    """
    with _started(data, image, codalab_python, tensorflow_bin, observer) as found:
        return found


@contextlib.contextmanager
def _started(
    data: Path, image: str, codalab_python: Path, tensorflow_bin: Path, observer: Observer
) -> Iterator[Status]:
    """Hold the lock and start the server."""
    if os.name == "nt":
        raise SandboxError(
            "The sandbox runs on Linux and macOS only.",
            action="Use it under WSL, or name a server with --server.",
        )
    home = home_of(data)
    with locked(data, observer):
        server = _server(home)
        if server is not None:
            observer.start("Waiting for CodaLab")
        if server is None or not _answers(home, server):
            observer.start("Starting CodaLab")
            if not _answers(home, _start(home, codalab_python)):
                raise _did_not_start(home)
        _map_image(home, image, tensorflow_bin)
        found = status(data)
        if found is None:
            raise _did_not_start(home)
        yield found


def status(data: Path) -> Status | None:
    """Return the sandbox if it is up and ready; None otherwise, also if a killed one left files behind."""
    home = home_of(data)
    ready = read_json(home.ready)
    if ready is None or not process.alive(process.Daemon(ready["pid"], ready["process_started"])):
        return None
    published = sorted(path.parent.name for path in home.competitions.glob(f"*/{PUBLISHED}"))
    return Status(
        address=ready["address"],
        pid=ready["pid"],
        started=datetime.fromtimestamp(ready["started"], tz=UTC),
        codalab=ready["codalab"],
        python=ready["python"],
        folder=home.root,
        competitions=tuple(published),
    )


def require_up(data: Path) -> Status:
    """Return the running sandbox.

    Raises:
        SandboxError: It is not up.
    """
    found = status(data)
    if found is None:
        raise SandboxError("The sandbox is not up.", action="Start it with `cldc sandbox up`.")
    return found


def organiser_target(data: Path, competition: str) -> OrganiserTarget:
    """Return the sandbox, its organiser, and the folder of the competition of that name.

    Raises:
        SandboxError: It is not up.
    """
    address, folder = require_up(data).address, folder_of(data, competition)
    return OrganiserTarget(address, organiser(data), folder, sandbox=True)


def down(data: Path, *, observer: Observer = SILENT) -> bool:
    """Stop the sandbox and everything it started, but keep its data; return whether anything was running.

    Raises:
        SandboxError: It does not stop.
    """
    home = home_of(data)
    if not home.root.is_dir():
        return False
    with locked(data, observer):
        server = _server(home)
        records = [read_json(path) for path in home.runs.glob("*/process.json")]
        runs = [process.Daemon(record["pid"], record["started"]) for record in records if record]
        left = [run for run in runs if process.alive(run)]
        if server is not None:
            observer.start("Stopping CodaLab")
            process.terminate(server, grace_seconds=_STOP_SECONDS)
        for run in left:  # a killed server leaves its runs; one that is asked to stop ends them itself
            process.terminate(run, grace_seconds=0)
        if server is not None and process.alive(server):
            raise SandboxError(
                f"The sandbox (process {server.pid}) did not stop.", action="Kill that process."
            )
        for path in (home.ready, home.process):
            remove_tree(path)
    return server is not None or bool(left)


def score(
    data: Path,
    competition: Competition,
    *,
    codalab_python: Path,
    observer: Observer = SILENT,
) -> Path:
    """Score the tagged submissions within the daemon's quota, and return the leaderboard's file.

    This repeats each submission's run on the hidden test set, so it takes as long as the trainings.

    Raises:
        SandboxError: The sandbox is not up, or the competition is not on it.
        CodaLabError: The daemon failed or took too long.
    """
    where = organiser_target(data, competition.name)
    published = read_json(where.folder / PUBLISHED)
    if published is None:
        raise SandboxError(
            f"The competition {competition.name} is not on the sandbox.",
            action="Put it there with `cldc sandbox up`.",
        )
    known = with_uuids(competition, published["uuids"])
    score_with(known, where, python=codalab_python, observer=observer)
    return leaderboard_file(data, competition)


def _server(home: Home) -> process.Daemon | None:
    """Return the server's process if it is alive, ready or not."""
    record = read_json(home.process)
    if record is None:
        return None
    server = process.Daemon(record["pid"], record["process_started"])
    return server if process.alive(server) else None


def _start(home: Home, python: Path) -> process.Daemon:
    """Start a server."""
    private_folder(home.logs)
    for stale in (home.ready, home.process):
        remove_tree(stale)
    command = [python, _INSIDE / "server.py", home.root]
    return process.detach(command, log=home.logs / "start.log", env=process.clean_environment())


def _answers(home: Home, server: process.Daemon) -> bool:
    """Wait until the server answers; stop it if it does not answer in time. Return whether it answers.

    A live process is not enough: one that was killed a moment ago may still be ending.
    """
    end = time.monotonic() + _START_SECONDS
    while process.alive(server) and time.monotonic() < end:
        if ready := read_json(home.ready):
            with contextlib.suppress(CldcError), Rest(ready["address"], limits=_ONE_QUESTION) as rest:
                rest.health()
                return True
        time.sleep(0.05)
    process.terminate(server, grace_seconds=_STOP_SECONDS)
    return False


def _did_not_start(home: Home) -> SandboxError:
    """Build the error, with the last lines of the server's logs."""
    said = ""
    for log in (home.logs / "start.log", home.logs / "output.log"):
        if log.is_file():
            said += "".join("\n" + line for line in log.read_text(errors="replace").splitlines()[-8:])
    return SandboxError(
        f"The sandbox did not start.{said}",
        action=f"Read {home.logs / 'server.log'}; `cldc doctor` checks the environment it runs in.",
    )


def _map_image(home: Home, image: str, folder: Path) -> None:
    """Put ``folder`` on the PATH of runs that request ``image``; the first folder also serves unknown images."""
    table = read_json(home.images) or {"images": {}}
    table["images"][image] = str(folder)
    table.setdefault("default", str(folder))
    if not Path(table["default"]).is_dir():
        table["default"] = str(folder)
    replace_atomically(home.images, json.dumps(table, indent=2))
