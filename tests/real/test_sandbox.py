"""The sandbox itself: CodaLab in one process, its organiser, its worker, and what happens when it is killed."""

from __future__ import annotations

import io
import json
import os
import signal
import stat
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from cldc import competition, sandbox
from cldc.environments import ensure_codalab
from cldc.organise.inside.rest import Rest, RestError
from tests.conftest import ROOT
from tests.support.small_competition import PROFILE, materials

# Without CodaLab


# With CodaLab


@dataclass(frozen=True, slots=True)
class Site:
    """A sandbox that is up, and how to have it up again."""

    data: Path
    up: Callable[[], sandbox.Status]
    codalab_python: Path

    def rest(self, role: str) -> Rest:
        account = next(account for account in sandbox.list_accounts(self.data) if account.role == role)
        return Rest(sandbox.require_up(self.data).address, account.name, account.password)


@pytest.fixture(scope="module")
def site(environments_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("data")
    python = ensure_codalab(environments_home).python
    seed = materials(tmp_path_factory.mktemp("materials"))

    def up() -> sandbox.Status:
        bins = Path(sys.executable).parent
        return sandbox.up(data, PROFILE, seed, codalab_python=python, tensorflow_bin=bins)

    up()
    yield Site(data, up, python)
    sandbox.down(data)


def new_worksheet(rest: Rest, name: str) -> str:
    return str(rest.post("/worksheets", "worksheets", {"name": name})["id"])


def start(rest: Rest, worksheet: str, command: str, name: str = "run", **more: Any) -> str:
    metadata = {
        "name": name, "description": "", "tags": [], "allow_failed_dependencies": False,
        "request_docker_image": PROFILE.run.image, "request_time": "", "request_memory": "1g", "request_cpus": 1,
        "request_gpus": 0, "request_queue": "", "request_priority": 0, "request_network": True, "request_disk": "",
        "exclude_patterns": [], "store": "",
    }  # fmt: skip
    bundle = {"bundle_type": "run", "command": command, "dependencies": [], "metadata": metadata, **more}
    return str(rest.post("/bundles", "bundles", bundle, {"worksheet": worksheet})["id"])


def ended(rest: Rest, uuid: str, seconds: float = 120) -> dict[str, Any]:
    """The bundle's attributes once it is ready, failed or killed."""
    return until(rest, uuid, lambda bundle: bundle["state"] in ("ready", "failed", "killed"), seconds)


def until(
    rest: Rest, uuid: str, wanted: Callable[[dict[str, Any]], bool], seconds: float = 120
) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        bundle: dict[str, Any] = rest.get("/bundles/" + uuid)["data"]["attributes"]
        if wanted(bundle):
            return bundle
        time.sleep(0.2)
    raise AssertionError(f"{uuid} is still {bundle['state']}")


def marked(mark: str) -> list[psutil.Process]:
    """Processes whose command line has the mark."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(mark == word for word in process.info["cmdline"] or []):
            found.append(process)
    return found


def modes(folder: Path) -> set[tuple[str, int]]:
    return {(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


@pytest.mark.real
def test_it_is_one_and_open_to_nobody_else(site: Site) -> None:
    first = site.up()
    with ThreadPoolExecutor(3) as pool:
        others = list(pool.map(lambda _: site.up(), range(3)))
    assert {other.pid for other in others} == {first.pid}
    assert first.competitions == (PROFILE.name,)
    listening = [
        c for c in psutil.Process(first.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 2
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    assert stat.S_IMODE(first.folder.stat().st_mode) == 0o700
    assert {"accounts.json", "sandbox.json", "codalab.sqlite"} <= {
        name for name, mode in modes(first.folder) if mode == 0o600
    }
    secrets = {account.password for account in sandbox.list_accounts(site.data)}
    assert len(secrets) == 3
    for path in first.folder.rglob("*.log"):
        assert not any(secret in path.read_text(errors="replace") for secret in secrets)


@pytest.mark.real
def test_a_submission_is_scored_on_what_its_contestant_cannot_read(site: Site) -> None:
    rest = site.rest("contestant")
    assert PROFILE.organiser is not None
    for hidden in (PROFILE.organiser.test_set, PROFILE.organiser.evaluate):
        with pytest.raises(RestError, match="403"):
            rest.get(f"/bundles/{hidden.uuid}/contents/info/")
    worksheet = new_worksheet(rest, "mine")
    data = {
        "bundle_type": "dataset",
        "metadata": {"name": "v0", "description": "", "tags": [], "license": "", "source_url": ""},
    }
    uuid = str(rest.post("/bundles", "bundles", data, {"worksheet": worksheet, "wait_for_upload": 1})["id"])
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("v0/train/i/1.png", "x")
    zipped.seek(0)
    rest.put_file(
        f"/bundles/{uuid}/contents/blob/", {"filename": "v0.zip", "unpack": 1}, zipped, len(zipped.getvalue())
    )
    bundles = PROFILE.bundles
    run = start(
        rest,
        worksheet,
        PROFILE.run.command.format(dataset="v0", label_book="label_book"),
        dependencies=[
            {"child_path": name, "parent_uuid": parent, "parent_path": ""}
            for name, parent in (
                ("v0", uuid),
                ("train.py", bundles.script.uuid),
                ("label_book", bundles.label_book.uuid),
            )
        ],
    )
    trained = ended(rest, run)
    assert (trained["state"], trained["metadata"]["exitcode"]) == ("ready", 0), trained
    assert rest.text(f"/bundles/{run}/contents/blob/stdout") == "['train']\n"
    assert trained["metadata"]["data_size"] > 0
    make = {
        "bundle_type": "make",
        "command": None,
        "dependencies": [{"child_path": "", "parent_uuid": run, "parent_path": "predictions.json"}],
        "metadata": {
            "name": "first",
            "description": "first (Lab)",
            "tags": [],
            "allow_failed_dependencies": False,
        },
    }
    made = str(rest.post("/bundles", "bundles", make, {"worksheet": worksheet})["id"])
    assert ended(rest, made)["state"] == "ready"
    rest.get(f"/worksheets/{worksheet}", {"include": "items,items.bundle"})
    rest._call(
        "PATCH",
        "/bundles",
        (),
        json.dumps(
            {
                "data": [
                    {
                        "type": "bundles",
                        "id": made,
                        "attributes": {"metadata": {"tags": [PROFILE.submission.tag]}},
                    }
                ]
            }
        ).encode(),
    )
    board = json.loads(sandbox.score(site.data, PROFILE, codalab_python=site.codalab_python).read_text())
    (row,) = board["leaderboard"]
    assert row["scores"] == {"accuracy": 0.9}
    assert row["submission"]["user_name"] == "contestant"
    assert row["submission"]["description"] == "first (Lab)"
    assert "password" not in json.dumps(board)


@pytest.mark.real
def test_runs_at_once_end_as_their_commands_do(site: Site) -> None:
    rest = site.rest("contestant")
    worksheet = new_worksheet(rest, "many")
    codes = [0, 3, 0, 1, 7, 0, 0, 2]
    runs = [start(rest, worksheet, f"exit {code}", f"exit{code}") for code in codes]
    for code, run in zip(codes, runs, strict=True):
        bundle = ended(rest, run, 240)
        assert (bundle["state"], bundle["metadata"]["exitcode"]) == ("failed" if code else "ready", code)
        assert bundle["metadata"].get("failure_message") == (f"Exit code {code}" if code else None)
    wrong = ended(rest, start(rest, worksheet, "echo ("))
    assert "syntax error" in wrong["metadata"]["failure_message"]


@pytest.mark.real
def test_killing_a_run_ends_all_that_it_started(site: Site) -> None:
    rest = site.rest("contestant")
    run = start(rest, new_worksheet(rest, "kill"), "sleep 71.5 & (trap '' TERM; sleep 72.5)")
    until(rest, run, lambda _: bool(marked("72.5")))
    rest.post("/bundle-actions", "bundle-actions", {"uuid": run, "type": "kill"})
    bundle = ended(rest, run)
    assert bundle["state"] == "killed"
    assert "Kill requested" in bundle["metadata"]["failure_message"]
    assert not marked("71.5") + marked("72.5")


@pytest.mark.real
def test_it_takes_up_where_it_was_stopped_or_killed(site: Site) -> None:
    rest = site.rest("contestant")
    before = sandbox.require_up(site.data)
    worksheet = new_worksheet(rest, "restart")
    going_on = start(rest, worksheet, "echo once >> f; sleep 8.25; cat f", "going-on")
    until(rest, going_on, lambda _: bool(marked("8.25")))
    os.kill(before.pid, signal.SIGKILL)
    while psutil.pid_exists(before.pid):
        time.sleep(0.05)
    assert sandbox.status(site.data) is None
    after = site.up()
    assert after.address == before.address  # links to bundles stay good
    assert ended(rest, going_on)["state"] == "ready"
    assert rest.text(f"/bundles/{going_on}/contents/blob/stdout") == "once\n"

    started_again = start(rest, worksheet, "sleep 3.25; echo whole", "started-again")
    until(rest, started_again, lambda _: bool(marked("3.25")))
    begun = time.monotonic()
    assert sandbox.down(site.data)
    assert time.monotonic() - begun < 8  # about 1 s on an idle machine
    assert not marked("3.25")
    assert not sandbox.down(site.data)
    site.up()
    assert ended(rest, started_again)["state"] == "ready"
    assert rest.text(f"/bundles/{started_again}/contents/blob/stdout") == "whole\n"


@pytest.mark.real
def test_what_a_killed_sandbox_left_running_is_taken_down(site: Site) -> None:
    rest = site.rest("contestant")
    run = start(rest, new_worksheet(rest, "orphan"), "sleep 73.75")
    until(rest, run, lambda _: bool(marked("73.75")))
    os.kill(sandbox.require_up(site.data).pid, signal.SIGKILL)
    assert sandbox.down(site.data)
    assert not marked("73.75")
    site.up()


@pytest.mark.real
def test_a_second_competition_and_another_contestant_come_while_it_is_up(site: Site, tmp_path: Path) -> None:
    shapes = competition.load(str(ROOT / "tests" / "data" / "shapes" / "shapes.toml"))
    pid = sandbox.require_up(site.data).pid
    status = sandbox.up(
        site.data,
        shapes,
        materials(tmp_path, shapes.dataset.classes),
        codalab_python=site.codalab_python,
        tensorflow_bin=Path(sys.executable).parent,
    )
    assert status.pid == pid
    assert status.competitions == tuple(sorted([PROFILE.name, shapes.name]))
    assert sandbox.leaderboard_file(site.data, shapes) != sandbox.leaderboard_file(site.data, PROFILE)
    bob = sandbox.add_account(site.data, "bob")
    assert sandbox.add_account(site.data, "bob") == bob
    rest = Rest(status.address, bob.name, bob.password)
    assert rest.get("/user")["data"]["attributes"]["user_name"] == "bob"
    assert rest.get(f"/bundles/{shapes.bundles.label_book.uuid}")["data"]["attributes"]["state"] == "ready"
    # At once each is there when it is told, though the file changes under the server's hands.
    with ThreadPoolExecutor(8) as pool:
        crowd = list(pool.map(lambda n: sandbox.add_account(site.data, f"guest-{n}"), range(24)))
        for person in crowd:
            guest = Rest(status.address, person.name, person.password)
            assert guest.get("/user")["data"]["attributes"]["user_name"] == person.name
