"""A planted password, and the tokens that it buys, show up nowhere: not in a process list, log, ledger, report or file."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cldc import process
from tests.support.bad_network import BadNetwork
from tests.support.commands import ROOT
from tests.support.stage import Stage, environment, python

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the process list from /proc"),
]

# Breaks in the middle of signing in, where the password is at hand.
_CRASH = """
import sys
import requests
send = requests.Session.request
def broken(self, method, url, **options):
    if url.endswith("/oauth2/token"):
        password, token = options["data"]["password"], "Bearer " + options["data"]["password"]
        raise ZeroDivisionError("a bug")
    return send(self, method, url, **options)
requests.Session.request = broken
from cldc.__main__ import run
sys.exit(run(sys.argv[1:]))
"""


class Onlooker:
    """Reads every command line of this machine, and every file of some folders, again and again."""

    def __init__(self, *folders: Path) -> None:
        self.seen: dict[str, set[bytes]] = {"process list": set(), "files": set()}
        self._folders = folders
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.look()

    def look(self) -> None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.seen["process list"].add(entry.read_bytes())
        for folder in self._folders:
            for top, _, names in os.walk(folder, followlinks=False):
                for name in names:
                    with contextlib.suppress(OSError):
                        self.seen["files"].add(Path(top, name).read_bytes())

    def __enter__(self) -> Onlooker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.look()

    def found(self, secret: str) -> Iterator[str]:
        for place, contents in self.seen.items():
            if any(secret.encode() in content for content in contents):
                yield place


def test_no_secret_shows_anywhere(stage: Stage, tmp_path: Path) -> None:
    account = stage.account()
    (tmp_path / "tmp").mkdir()
    network = BadNetwork(stage.address, [])
    cldc = replace(stage.person(tmp_path / "data", account, server=network.address), anew=True)
    folder = stage.folder(tmp_path / "mine")
    outputs = []
    with (
        contextlib.closing(network),
        Onlooker(tmp_path / "tmp", cldc.home / "logs", cldc.home / "packages") as onlooker,
    ):
        for arguments in (
            ("login",),
            ("submit", folder, "--yes", "--no-preflight", "--verbose"),
            ("status", "--verbose"),
            ("quota",),
            ("whoami", "--format", "json"),
            ("ledger", "export", tmp_path / "tmp" / "ledger.json"),
            ("ledger", "rebuild", "--format", "json"),
            ("doctor",),
            ("clean", "--dry-run"),
        ):
            outcome = cldc(*arguments, code=None, TMPDIR=str(tmp_path / "tmp"))
            outputs.append(outcome.out + outcome.err)
        crashed = process.run(
            [python(), "-c", _CRASH, "whoami"],
            env=environment(cldc.home, stage.settings(account, server=network.address)),
            cwd=ROOT,
            timeout_seconds=60,
            check=False,
        )
        assert crashed.returncode == 70
        outputs.append(crashed.stdout + crashed.stderr)
    files = [p for p in cldc.home.iterdir() if p.is_file()]
    assert any(p.name == "ledger.sqlite3" for p in files)
    assert list((cldc.home / "logs").glob("bug-*"))
    kept = [p.read_bytes() for p in files]
    assert network.tokens
    for secret in (account.password, *network.tokens):
        assert not list(onlooker.found(secret))
        assert not any(secret in text for text in outputs)
        assert not any(secret.encode() in content for content in kept)
    assert any(b"submit" in line for line in onlooker.seen["process list"])
