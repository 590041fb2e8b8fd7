"""A CodaLab as it is deployed, on MariaDB and behind gunicorn, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import uv
from filelock import FileLock

from cldc import sandbox
from cldc.competition import load
from cldc.environments import ensure_codalab, ensure_tensorflow
from cldc.files import hash_bytes
from cldc.sample import draw_label_book
from tests.support.commands import ROOT
from tests.support.stage import SCRIPT, Stage, write_profile

_PROGRAM = ROOT / "tests" / "support" / "inside" / "deployed.py"
_REQUIREMENTS = ROOT / "requirements" / "server.txt"
_START_SECONDS = 300


@contextlib.contextmanager
def deployed_stage(home: Path, environments_home: Path, *, script: str = SCRIPT) -> Iterator[Stage]:
    """A deployed server that an ordinary account has set the class's small competition up on, its board published."""
    profile, published = write_profile(home, script=script), home / "published"
    published.mkdir()
    with deployed(home, environments_home) as address, _served(published) as board:
        stage = Stage(home, profile, address, environments_home, home / "mine", published)
        rules = stage.competition
        organiser = stage.organiser()
        organiser("sample", stage.dataset, "--images", "80")
        organiser(
            *(
                "organise",
                "init",
                "--profile",
                profile,
                "--server",
                address,
                "--script",
                profile.with_name("learn.py"),
            ),
            *("--label-book", draw_label_book(home / "book", rules, images=20)),
            *("--test-set", draw_label_book(home / "hidden", rules, images=40, seed=2)),
            *("--leaderboard", f"{board}/leaderboard.json"),
        )
        yield stage


@contextlib.contextmanager
def _served(folder: Path) -> Iterator[str]:
    """A folder on a web server."""
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def deployed(home: Path, environments_home: Path) -> Iterator[str]:
    """The address of a CodaLab whose accounts, runs and logs are where those of a sandbox of ``home`` would be."""
    python = ensure_codalab(environments_home).python
    with tempfile.TemporaryDirectory(prefix="cldc-server-") as short, _mariadb(home, Path(short)) as socket:
        root = home / "sandbox"
        root.mkdir()
        tensorflow = ensure_tensorflow(load().training.tensorflow, environments_home)
        (root / "images.json").write_text(json.dumps({"default": str(tensorflow.bin)}))
        env = {**os.environ, "PYTHONPATH": str(packages(environments_home)), "PYTHONWARNINGS": "ignore"}
        with _running([str(python), str(_PROGRAM), str(root), str(socket)], home / "server.log", env) as log:
            _wait(lambda: _answers(home), log)
            yield sandbox.require_up(home).address


def packages(environments_home: Path) -> Path:
    """gunicorn and a driver for MariaDB, beside the environment `codalab`, which nobody else needs them in."""
    python = ensure_codalab(environments_home).python
    made_from = f"{python}{_REQUIREMENTS.read_text()}"
    folder = environments_home / f"server-{hash_bytes(made_from)[:12]}"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            new = folder.with_suffix(".new")
            shutil.rmtree(new, ignore_errors=True)
            subprocess.run(
                [uv.find_uv_bin(), "pip", "install", "--quiet", "--python", str(python), "--target", str(new),
                 "--require-hashes", "--no-deps", "--requirements", str(_REQUIREMENTS)],
                check=True,
                timeout=600,
            )  # fmt: skip
            new.rename(folder)
    return folder


@contextlib.contextmanager
def _mariadb(home: Path, short: Path) -> Iterator[Path]:
    """A database server of the test's own, without a network; the path of its socket, which must be short."""
    program = shutil.which("mariadbd") or shutil.which("mariadbd", path="/usr/sbin:/usr/local/sbin")
    install = shutil.which("mariadb-install-db")
    if program is None or install is None:
        pytest.skip("there is no MariaDB (on Debian, `apt install mariadb-server-core`)")
    data, socket = home / "mariadb", short / "socket"
    # Root has to say that it means it.
    common = [f"--datadir={data}", *(["--user=root"] if os.geteuid() == 0 else [])]
    subprocess.run(
        [install, "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", *common],
        check=True,
        capture_output=True,
        timeout=_START_SECONDS,
    )
    start = "CREATE DATABASE IF NOT EXISTS codalab;"
    (home / "start.sql").write_text(start)
    command = [
        *(program, "--no-defaults", *common, f"--socket={socket}", "--skip-networking"),
        *(f"--pid-file={short / 'pid'}", f"--init-file={home / 'start.sql'}", "--max-connections=200"),
        # What a power failure would lose is no part of these tests.
        *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"),
    ]
    with _running(command, home / "mariadb.log", None) as log:
        _wait(socket.exists, log)
        yield socket


@contextlib.contextmanager
def _running(
    command: list[str], log: Path, env: dict[str, str] | None
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A program that is ended with the block."""
    with log.open("wb") as file:
        child = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield child, log
    finally:
        child.terminate()
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _answers(home: Path) -> bool:
    found = sandbox.status(home)
    if found is None:
        return False
    try:
        return requests.get(f"{found.address}/rest/worksheets", timeout=10).status_code < 500
    except requests.RequestException:
        return False


def _wait(ready: Callable[[], bool], started: tuple[subprocess.Popen[bytes], Path]) -> None:
    child, log = started
    end = time.monotonic() + _START_SECONDS
    while not ready():
        if child.poll() is not None or time.monotonic() > end:
            pytest.fail(log.read_text(errors="replace")[-4000:])
        time.sleep(0.1)
