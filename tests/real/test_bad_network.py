"""`cldc submit` over a network that fails in seeded ways: it ends with one submission, and nothing is lost or doubled.

CLDC_FAULT_CASES says how many cases, CLDC_FAULT_SEED the first one's seed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cldc import process
from cldc.errors import CldcError
from tests.support.bad_network import KINDS, BadNetwork, Fault, draw
from tests.support.commands import ROOT, cldc_in
from tests.support.processes import running, soon
from tests.support.stage import Stage, assert_exactly_once, environment, python

CASES = int(os.environ.get("CLDC_FAULT_CASES", str(len(KINDS))))
SEED = int(os.environ.get("CLDC_FAULT_SEED", "0"))
# Cases that a test takes, each kind once, so that several processes can share them.
_A_TEST = len(KINDS)
_AT_ONCE = 2
# How often a person would repeat the same command.
_TRIES = 4
_FORGET = "delete from oauth2_token where user_id = (select user_id from user where user_name = ?)"


def submit(stage: Stage, folder: Path, faults: list[Fault]) -> tuple[int, BadNetwork]:
    """Submit through a network with these faults, as often as it takes; how often, and what befell it."""
    account = stage.account()
    network = BadNetwork(stage.address, faults)
    with contextlib.closing(network):
        home = stage.person(folder.with_name(f"home-{folder.name}"), account).home
        outputs = []
        for number in range(1, _TRIES + 1):
            done = process.run(
                [
                    python(),
                    "-m",
                    "tests.support.bad_network",
                    "submit",
                    folder,
                    "--yes",
                    "--no-preflight",
                    "-q",
                ],
                env=environment(home, stage.settings(account, server=network.address)),
                cwd=ROOT,
                timeout_seconds=300,
                check=False,
            )
            outputs.append((done.returncode, done.stderr))
            assert "Traceback" not in done.stderr, (network.happened, outputs)
            assert done.returncode in (0, 7, 9, 10, 11), (network.happened, outputs)
            if done.returncode == 0:
                assert_exactly_once(stage, account, context=(faults, network.happened, outputs))
                return number, network
    raise AssertionError(f"never came through: {network.happened} {outputs}")


@pytest.fixture(scope="session")
def quiet(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> BadNetwork:
    """A network that was good to a submission, and knows how much it takes."""
    _, network = submit(stage, stage.folder(tmp_path_factory.mktemp("quiet") / "mine-quiet"), [])
    return network


@pytest.mark.lasts(90)
@pytest.mark.parametrize("first", range(SEED, SEED + CASES, _A_TEST), ids="from seed {}".format)
def test_nothing_is_lost_or_doubled_whatever_the_network_does(
    stage: Stage,
    quiet: BadNetwork,
    tmp_path: Path,
    report_cases: Callable[[str, Mapping[str, int]], None],
    first: int,
) -> None:
    tries: Counter[int] = Counter()
    befallen: Counter[str] = Counter()

    def one(seed: int) -> str:
        faults = draw(seed, quiet.requests, quiet.changes)
        folder = stage.folder(tmp_path / f"mine-{seed}")
        try:
            number, network = submit(stage, folder, faults)
        except (AssertionError, CldcError) as error:
            return f"seed {seed}: {error}"
        finally:
            shutil.rmtree(folder)
        tries[number] += 1
        befallen.update(happened.partition(" at ")[0] for happened in network.happened)
        return ""

    seeds = range(first, min(first + _A_TEST, SEED + CASES))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lost = [problem for problem in pool.map(one, seeds) if problem]
    counts = {"cases": len(seeds), "faults": befallen.total(), "lost": len(lost)}
    report_cases(
        "bad network", counts | {f"done in run {number}": tries[number] for number in range(1, _TRIES + 1)}
    )
    assert not lost, "\n\n".join(lost)
    assert befallen.total() >= len(seeds) * 0.7, befallen


def test_an_upload_that_a_login_page_swallowed_is_sent_again(
    stage: Stage, quiet: BadNetwork, tmp_path: Path
) -> None:
    """CodaLab's client accepts any answer as the server's, and cldc would wait for the bundle for ever."""
    sent = quiet.changed.index("PUT") + 1
    number, network = submit(stage, stage.folder(tmp_path / "mine"), [Fault("html", sent, changes=True)])
    assert (number, network.changed.count("PUT")) == (1, 2)
    assert "html at PUT" in network.happened[0]


@pytest.mark.parametrize("at_change", [2, 5, 9])
def test_a_submission_goes_on_after_its_server_was_killed_and_started_again(
    stage: Stage, tmp_path: Path, at_change: int
) -> None:
    account, folder = stage.account(), stage.folder(tmp_path / "mine")
    sandbox = cldc_in(stage.home, stage.environments_home, CLDC_COMPETITION=str(stage.profile))

    def restart() -> None:
        pid = sandbox("sandbox", "status", "--format", "json").data["pid"]
        os.kill(pid, signal.SIGKILL)
        assert soon(lambda: not running(pid))
        stage.address = network.target = sandbox("sandbox", "up", "--format", "json").data["address"]

    network = BadNetwork(stage.address, [], at_changes=[at_change], then=restart)
    with contextlib.closing(network):
        cldc = stage.person(tmp_path / "home", account, server=network.address)
        for _ in range(_TRIES):
            if cldc("submit", folder, "--yes", "--no-preflight", code=None).code == 0:
                break
        cldc("submit", folder, "--yes", "--no-preflight")
        assert_exactly_once(stage, account)


def test_tokens_that_end_in_the_middle_are_replaced(stage: Stage, tmp_path: Path) -> None:
    """The server forgets all of the account's tokens again and again; it then silently treats reads as anonymous."""
    account, folder = stage.account(), stage.folder(tmp_path / "mine")
    forgotten = []

    def forget() -> None:
        base = sqlite3.connect(stage.home / "sandbox" / "codalab.sqlite", timeout=60)
        with contextlib.closing(base), base:
            forgotten.append(base.execute(_FORGET, (account.name,)).rowcount)

    network = BadNetwork(stage.address, [], at_changes=[1, 6, 13, 16, 18, 20], then=forget)
    with contextlib.closing(network):
        cldc = stage.person(tmp_path / "home", account, server=network.address)
        done = cldc("submit", folder, "--yes", "--no-preflight", "--format", "json").data
    assert_exactly_once(stage, account)
    assert not done["again"]
    assert sum(number > 0 for number in forgotten) >= 4, forgotten
