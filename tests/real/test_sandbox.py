"""The sandbox itself: CodaLab in one process, its organiser, its worker, and what happens when it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import sqlite3
import stat
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cldc import competition, sandbox
from cldc.codalab import Bundle, CodaLab, Dependency, Rest, wait_for
from cldc.codalab.failures import PermissionDenied
from cldc.credentials import Credentials
from cldc.environments import ensure_codalab
from cldc.organise.model import OrganiserFiles
from cldc.progress import SILENT, Observer
from cldc.sandbox.inside.home import write_json
from cldc.sandbox.paths import home_of
from tests.support.commands import ROOT
from tests.support.processes import running, soon
from tests.support.small_competition import PROFILE, materials

pytestmark = pytest.mark.lasts(100)


@dataclass(frozen=True, slots=True)
class Site:
    """A sandbox that is up, how to have it up again, and its contestant."""

    data: Path
    files: OrganiserFiles
    up: Callable[..., sandbox.Status]
    codalab_python: Path
    contestant: CodaLab

    def start(self, worksheet: str, command: str, name: str = "run") -> str:
        """Start a run without dependencies."""
        return self.contestant.cl.run(worksheet, command, (), name=name, image=PROFILE.run.image)

    def ended(self, uuid: str) -> Bundle:
        """The bundle once it is ready, failed or killed."""
        return wait_for(self.contestant.rest, uuid, timeout_seconds=300, longest_pause_seconds=0.2)


@pytest.fixture(scope="module")
def site(environments_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data = tmp_path_factory.mktemp("data")
    python = ensure_codalab(environments_home).python
    files = materials(tmp_path_factory.mktemp("materials"))

    def up(observer: Observer = SILENT) -> sandbox.Status:
        bins = Path(sys.executable).parent
        return sandbox.up(data, PROFILE, files, codalab_python=python, tensorflow_bin=bins, observer=observer)

    with reserved_ports(data):
        address = up().address
        account = sandbox.contestant(data)
        assert account is not None
        with CodaLab(address, credentials(account), python=lambda: python) as contestant:
            yield Site(data, files, up, python, contestant)
        sandbox.down(data)


@contextlib.contextmanager
def reserved_ports(data: Path) -> Iterator[None]:
    """Ports for a sandbox that no other program is given while it restarts."""
    with contextlib.ExitStack() as held:
        ports = {}
        for name in ("rest", "ws"):
            holder = held.enter_context(socket.socket())
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            ports[name] = holder.getsockname()[1]
        home = home_of(data)
        home.root.mkdir(mode=0o700)
        write_json(home.ports, ports)
        yield


def credentials(account: sandbox.Account) -> Credentials:
    return Credentials(account.name, account.password, "sandbox")


def lasting(seconds: int) -> str:
    """A little more than so many seconds, in a number that is in no other program's command line."""
    return f"{seconds}.{os.getpid()}"


def marked(mark: str) -> list[psutil.Process]:
    """Processes with that word in their command line."""
    return [each for each in psutil.process_iter(["cmdline"]) if mark in (each.info["cmdline"] or [])]


def modes(folder: Path) -> set[tuple[str, int]]:
    return {(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()}


def test_there_is_one_sandbox(site: Site) -> None:
    first = site.up()
    with ThreadPoolExecutor(3) as pool:
        others = list(pool.map(lambda _: site.up(), range(3)))
    assert {other.pid for other in others} == {first.pid}
    assert first.competitions == (PROFILE.name,)


def test_a_file_that_changed_replaces_its_bundle(site: Site) -> None:
    script, uuid = site.files.script, PROFILE.bundles.script.uuid
    assert uuid is not None
    original = script.read_bytes()
    for content in (original + b"# changed\n", original):
        script.write_bytes(content)
        site.up()
        assert site.contestant.rest.file(uuid) == content


def test_only_its_owner_can_reach_it(site: Site) -> None:
    status = sandbox.require_up(site.data)
    connections = psutil.Process(status.pid).net_connections("inet")
    listening = [connection for connection in connections if connection.status == psutil.CONN_LISTEN]
    assert len(listening) == 2
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    assert stat.S_IMODE(status.folder.stat().st_mode) == 0o700
    assert {"accounts.json", "sandbox.json", "codalab.sqlite"} <= {
        name for name, mode in modes(status.folder) if mode == 0o600
    }


def test_its_logs_hold_no_password(site: Site) -> None:
    secrets = {account.password for account in sandbox.list_accounts(site.data)}
    assert len(secrets) == 3
    logs = list(sandbox.require_up(site.data).folder.rglob("*.log"))
    assert logs
    for path in logs:
        assert not any(secret in path.read_text(errors="replace") for secret in secrets)


def test_its_database_has_the_indexes_that_codalab_relies_on(site: Site) -> None:
    """MySQL gives each foreign key one; without them a search reads whole tables for each page."""
    with contextlib.closing(sqlite3.connect(site.data / "sandbox" / "codalab.sqlite")) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        assert ("bundle_dependency",) in tables
        for (table,) in tables:
            keys = {row[3] for row in database.execute(f'PRAGMA foreign_key_list("{table}")')}
            indexes = [row[1] for row in database.execute(f'PRAGMA index_list("{table}")')]
            columns = [list(database.execute(f'PRAGMA index_info("{index}")')) for index in indexes]
            assert keys <= {column[0][2] for column in columns}, table


def test_a_submission_is_scored_on_what_its_contestant_cannot_read(site: Site, tmp_path: Path) -> None:
    cl, rest, bundles = site.contestant.cl, site.contestant.rest, PROFILE.bundles
    assert PROFILE.organiser is not None
    for hidden in (PROFILE.organiser.test_set, PROFILE.organiser.evaluate):
        assert hidden.uuid is not None
        with pytest.raises(PermissionDenied):
            rest.info(hidden.uuid)
    worksheet = cl.new_worksheet("mine")
    with zipfile.ZipFile(tmp_path / "v0.zip", "w") as archive:
        archive.writestr("v0/train/i/1.png", "x")
    data = cl.upload(worksheet, tmp_path / "v0.zip", name="v0")
    parents = {"v0": data, "train.py": bundles.script.uuid, "label_book": bundles.label_book.uuid}
    command = PROFILE.run.command.format(dataset="v0", label_book="label_book")
    dependencies = [Dependency(key, str(parent), "") for key, parent in parents.items()]
    run = cl.run(worksheet, command, dependencies, name="run", image=PROFILE.run.image)
    trained = site.ended(run)
    assert (trained.state, trained.exit_code) == ("ready", 0), trained
    assert rest.file(run, "stdout") == b"['train']\n"
    assert trained.data_size > 0
    made = cl.make(worksheet, run, "predictions.json", name="first", description="first (Lab)")
    assert site.ended(made).state == "ready"
    site.contestant.rest.publish((), worksheet)
    cl.set_tags(made, [PROFILE.submission.tag])
    board = json.loads(sandbox.score(site.data, PROFILE, codalab_python=site.codalab_python).read_text())
    (row,) = board["leaderboard"]
    assert row["scores"] == {"accuracy": 0.9}
    assert row["submission"]["user_name"] == "contestant"
    assert row["submission"]["description"] == "first (Lab)"
    assert "password" not in json.dumps(board)


def test_runs_at_once_end_as_their_commands_do(site: Site) -> None:
    worksheet = site.contestant.cl.new_worksheet("many")
    codes = [0, 3, 0, 1, 7, 0, 0, 2]
    runs = [site.start(worksheet, f"exit {code}", f"exit{code}") for code in codes]
    for code, run in zip(codes, runs, strict=True):
        bundle = site.ended(run)
        assert (bundle.state, bundle.exit_code) == ("failed" if code else "ready", code)
        assert bundle.failure_message == (f"Exit code {code}" if code else "")
    wrong = site.ended(site.start(worksheet, "echo ("))
    assert "syntax error" in wrong.failure_message


def test_killing_a_run_ends_all_that_it_started(site: Site) -> None:
    cl = site.contestant.cl
    first, second = lasting(710), lasting(720)
    run = site.start(cl.new_worksheet("kill"), f"sleep {first} & (trap '' TERM; sleep {second})")
    assert soon(lambda: marked(first) and marked(second), every_seconds=0.2)
    cl.kill(run)
    bundle = site.ended(run)
    assert bundle.state == "killed"
    assert "Kill requested" in bundle.failure_message
    assert soon(lambda: not marked(first) + marked(second))


def test_it_resumes_after_being_stopped_or_killed(site: Site, tmp_path: Path) -> None:
    rest = site.contestant.rest
    before = sandbox.require_up(site.data)
    worksheet = site.contestant.cl.new_worksheet("restart")
    begun, end = tmp_path / "begun", tmp_path / "end"
    wait = f"touch {begun}; until test -e {end}; do sleep 0.1; done"
    going_on = site.start(worksheet, f"echo once >> f; {wait}; cat f", "going-on")
    assert soon(begun.exists)
    os.kill(before.pid, signal.SIGKILL)
    assert soon(lambda: not running(before.pid))
    assert sandbox.status(site.data) is None
    after = site.up()
    assert after.address == before.address  # links to bundles stay good
    end.touch()
    assert site.ended(going_on).state == "ready"
    assert rest.file(going_on, "stdout") == b"once\n"

    end.unlink()
    command = f"test -e {end} || sleep {lasting(740)}; echo whole"
    started_again = site.start(worksheet, command, "started-again")
    assert soon(lambda: marked(lasting(740)), every_seconds=0.2)
    assert sandbox.down(site.data)
    assert soon(lambda: not marked(lasting(740)))
    assert not sandbox.down(site.data)
    end.touch()
    site.up()
    assert site.ended(started_again).state == "ready"
    assert rest.file(started_again, "stdout") == b"whole\n"


def test_a_server_that_is_about_to_end_is_not_taken_for_a_running_one(site: Site) -> None:
    """It is killed while `up` waits for its answer: nothing tells an ending process from one that is busy."""
    before = site.up()
    os.kill(before.pid, signal.SIGSTOP)
    after = site.up(Killing(before.pid, home_of(site.data).lock))
    assert after.pid != before.pid
    assert sandbox.require_up(site.data) == after


@dataclass(slots=True)
class Killing:
    """An observer that kills a server as soon as `up` waits for it, and keeps its lock for a second as its threads may."""

    pid: int
    lock: Path

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        if task == "Waiting for CodaLab":
            os.kill(self.pid, signal.SIGKILL)
        elif task == "Starting CodaLab":
            file = self.lock.open("a")
            fcntl.flock(file, fcntl.LOCK_EX)
            threading.Timer(1, file.close).start()

    def advance(self, done: float, detail: str = "") -> None:
        return

    def note(self, text: str) -> None:
        return


def test_down_ends_the_runs_of_a_killed_sandbox(site: Site) -> None:
    site.start(site.contestant.cl.new_worksheet("orphan"), f"sleep {lasting(730)}")
    assert soon(lambda: marked(lasting(730)), every_seconds=0.2)
    os.kill(sandbox.require_up(site.data).pid, signal.SIGKILL)
    assert sandbox.down(site.data)
    assert soon(lambda: not marked(lasting(730)))
    site.up()


def test_a_server_whose_folder_is_gone_ends_with_its_runs(site: Site, tmp_path: Path) -> None:
    data, python, image = tmp_path / "data", site.codalab_python, PROFILE.run.image
    server = sandbox.start(data, image, codalab_python=python, tensorflow_bin=Path(sys.executable).parent)
    account = sandbox.contestant(data)
    assert account is not None
    with CodaLab(server.address, credentials(account), python=lambda: python) as contestant:
        worksheet = contestant.cl.new_worksheet("mine")
        contestant.cl.run(worksheet, f"sleep {lasting(750)}", (), name="run", image=image)
        assert soon(lambda: marked(lasting(750)), every_seconds=0.2)
    server.folder.rename(tmp_path / "elsewhere")
    assert soon(lambda: not running(server.pid))
    assert soon(lambda: not marked(lasting(750)))


def test_a_competition_can_be_added_while_it_is_up(site: Site, tmp_path: Path) -> None:
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
    assert site.contestant.rest.bundle(str(shapes.bundles.label_book.uuid)).state == "ready"


def test_an_account_is_added_once_while_it_is_up(site: Site) -> None:
    status = sandbox.require_up(site.data)
    bob = sandbox.add_account(site.data, "bob")
    assert sandbox.add_account(site.data, "bob") == bob
    with Rest(status.address, credentials(bob)) as rest:
        assert rest.user().name == "bob"
    assert sandbox.require_up(site.data).pid == status.pid


def test_accounts_that_are_added_at_once_exist_at_once(site: Site) -> None:
    """Each exists when `add_account` returns, though the file changes while the server reads it."""
    status = sandbox.require_up(site.data)
    with ThreadPoolExecutor(8) as pool:
        crowd = list(pool.map(lambda n: sandbox.add_account(site.data, f"guest-{n}"), range(24)))
        for person in crowd:
            with Rest(status.address, credentials(person)) as guest:
                assert guest.user().name == person.name
