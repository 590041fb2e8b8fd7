"""Start the server, find it again, stop it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cldc import process
from cldc.errors import SandboxError
from cldc.files import lock, private_folder, remove_tree, replace_atomically
from cldc.organise import Seed, read_json
from cldc.organise import seed as seed_with
from cldc.progress import SILENT, Observer
from cldc.sandbox.people import organiser
from cldc.sandbox.places import INSIDE, Places, Status, folder_of

if TYPE_CHECKING:
    from cldc.competition import Competition

_START_SECONDS = 180.0
_STOP_SECONDS = 5.0
_PURPOSE = "starting or changing the sandbox"


def up(
    data: Path,
    competition: Competition,
    seed: Seed,
    *,
    codalab_python: Path,
    tensorflow_bin: Path,
    observer: Observer = SILENT,
) -> Status:
    """Have a CodaLab up that holds the competition; nothing is done twice, whoever calls it how often.

    Args:
        data: The data folder; everything is kept in its folder ``sandbox``.
        seed: What the organiser puts there; a bundle whose contents changed is put there anew.
        codalab_python: The Python of the `codalab` environment.
        tensorflow_bin: The folder with the ``python`` that stands for the image which the competition's runs ask for.

    Raises:
        SandboxError: It does not start.
        CodaLabError: It can't be seeded.
        ConfigurationError: The profile has no organiser's side.
    """
    with _started(data, competition.run.image, codalab_python, tensorflow_bin, observer) as found:
        seed_with(
            found.address,
            organiser(data),
            competition,
            seed,
            folder=folder_of(data, competition.name),
            python=codalab_python,
            replace=True,
            observer=observer,
        )
    return require_up(data)


def start(
    data: Path, image: str, *, codalab_python: Path, tensorflow_bin: Path, observer: Observer = SILENT
) -> Status:
    """As `up`, but without any competition: for `organise` to set one up as on any other CodaLab.

    Raises:
        SandboxError: It does not start.
    """
    with _started(data, image, codalab_python, tensorflow_bin, observer) as found:
        return found


@contextlib.contextmanager
def _started(
    data: Path, image: str, codalab_python: Path, tensorflow_bin: Path, observer: Observer
) -> Iterator[Status]:
    """The server up, and nobody else changing it for the time of the block."""
    if os.name == "nt":
        raise SandboxError(
            "The sandbox runs on Linux and macOS only.",
            action="Use it under WSL, or name a server with --server.",
        )
    places = Places(data)
    with lock(places.lock, purpose=_PURPOSE, observer=observer):
        if status(data) is None:
            _start(places, codalab_python, observer)
        _map_image(places, image, tensorflow_bin)
        found = status(data)
        if found is None:
            raise _did_not_start(places)
        yield found


def status(data: Path) -> Status | None:
    """The sandbox, if it is up and ready; what a killed one left behind is not taken for one."""
    places = Places(data)
    ready = read_json(places.ready)
    if ready is None or not process.alive(process.Daemon(ready["pid"], ready["process_started"])):
        return None
    seeded = sorted(path.parent.name for path in places.competitions.glob("*/seed.json"))
    return Status(
        address=ready["address"],
        pid=ready["pid"],
        started=datetime.fromtimestamp(ready["started"], tz=UTC),
        codalab=ready["codalab"],
        python=ready["python"],
        folder=places.home,
        competitions=tuple(seeded),
    )


def require_up(data: Path) -> Status:
    """The sandbox.

    Raises:
        SandboxError: It is not up.
    """
    found = status(data)
    if found is None:
        raise SandboxError("The sandbox is not up.", action="Start it with `cldc sandbox up`.")
    return found


def down(data: Path, *, observer: Observer = SILENT) -> bool:
    """Stop the sandbox and all it started; False if nothing was left to stop. What it holds is kept.

    Raises:
        SandboxError: It does not stop.
    """
    places = Places(data)
    if not places.home.is_dir():
        return False
    with lock(places.lock, purpose=_PURPOSE, observer=observer):
        server = _server(places)
        left = [run for run in _runs(places) if process.alive(run)]
        if server is not None:
            observer.start("Stopping CodaLab")
            process.terminate(server, grace_seconds=_STOP_SECONDS)
        for run in left:  # of a server that was killed; one that is asked to stop ends its runs itself
            process.terminate(run, grace_seconds=0)
        if server is not None and process.alive(server):
            raise SandboxError(
                f"The sandbox (process {server.pid}) does not stop.", action="End that process."
            )
        for path in (places.ready, places.process):
            remove_tree(path)
    return server is not None or bool(left)


def _server(places: Places) -> process.Daemon | None:
    """The server's process, ready or not, if it lives."""
    record = read_json(places.process)
    if record is None:
        return None
    server = process.Daemon(record["pid"], record["process_started"])
    return server if process.alive(server) else None


def _runs(places: Places) -> list[process.Daemon]:
    records = [read_json(path) for path in places.runs.glob("*/process.json")]
    return [process.Daemon(record["pid"], record["started"]) for record in records if record]


def _start(places: Places, python: Path, observer: Observer) -> None:
    """Start the server unless one is on its way, and wait until it is ready."""
    observer.start("Starting CodaLab")
    private_folder(places.logs)
    server = _server(places)
    if server is None:
        for stale in (places.ready, places.process):
            remove_tree(stale)
        log = places.logs / "start.log"
        server = process.detach(
            [python, INSIDE / "server.py", places.home], log=log, env=process.clean_environment()
        )
    child = server
    _wait(lambda: places.ready.is_file() or not process.alive(child), _START_SECONDS)
    if not places.ready.is_file():
        with contextlib.suppress(SandboxError):
            process.terminate(child, grace_seconds=_STOP_SECONDS)
        raise _did_not_start(places)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not done() and time.monotonic() < end:
        time.sleep(0.05)


def _did_not_start(places: Places) -> SandboxError:
    """The error, with the end of what the server wrote."""
    said = ""
    for log in (places.logs / "start.log", places.logs / "output.log"):
        if log.is_file():
            said += "".join("\n" + line for line in log.read_text(errors="replace").splitlines()[-8:])
    return SandboxError(
        f"The sandbox does not start.{said}",
        action=f"Read {places.logs / 'server.log'}; `cldc doctor` checks the environment it runs in.",
    )


def _map_image(places: Places, image: str, folder: Path) -> None:
    """Let runs that ask for ``image`` find ``folder`` in front of PATH; the first one serves other images, too."""
    table = read_json(places.images) or {"images": {}}
    table["images"][image] = str(folder)
    table.setdefault("default", str(folder))
    if not Path(table["default"]).is_dir():
        table["default"] = str(folder)
    replace_atomically(places.images, json.dumps(table, indent=2))
