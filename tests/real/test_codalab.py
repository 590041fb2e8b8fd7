"""The package `codalab` against a real CodaLab, and its session of `cl` against a server that misbehaves."""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from cldc import competition, sandbox
from cldc.codalab import Cl, CodaLab, Dependency, Rest, cl_session, require_ready, wait_for
from cldc.codalab.failures import AlreadyExists, Interrupted, NotFound, PermissionDenied, UploadFailed
from cldc.credentials import Credentials
from cldc.errors import (
    CldcError,
    CodaLabError,
    CredentialsError,
    QuotaExceeded,
    RunFailed,
    Unreachable,
)
from cldc.organise.model import OrganiserFiles
from cldc.process import commands
from tests.support.faults import Answer, FaultServer, as_json, fault_server, text
from tests.support.observers import Heard
from tests.support.processes import soon

pytestmark = pytest.mark.lasts(60)
UUID, WORKSHEET = "0x" + "ab" * 16, "0x" + "cd" * 16
ALICE = Credentials("alice", "secret-canary", "test")


@pytest.fixture(scope="session")
def codalab_python(environments_home: Path) -> Path:
    """The interpreter of a codalab environment (CLDC_TEST_CODALAB_PYTHON names another)."""
    if chosen := os.environ.get("CLDC_TEST_CODALAB_PYTHON"):
        return Path(chosen)
    environments = pytest.importorskip("cldc.environments")
    python: Path = environments.ensure_codalab(environments_home).python
    return python


# The session of `cl` and a server that misbehaves


@pytest.fixture(scope="module")
def shared_cl(codalab_python: Path) -> Iterator[tuple[FaultServer, Cl]]:
    """One for all tests here: a start costs seconds."""
    with fault_server() as server, Cl(lambda: codalab_python, server.address, ALICE) as cl:
        yield server, cl


@pytest.fixture
def faulty(shared_cl: tuple[FaultServer, Cl]) -> FaultServer:
    shared_cl[0].reset()
    return shared_cl[0]


@pytest.fixture
def cl(shared_cl: tuple[FaultServer, Cl]) -> Cl:
    return shared_cl[1]


def made(kind: str, uuid: str) -> Answer:
    """CodaLab's answer when it has created something."""
    attributes = {"uuid": uuid, "name": "x", "bundle_type": "dataset"}
    return as_json(
        {"data": [{"type": kind, "id": uuid, "attributes": attributes}], "meta": {"version": "1.7.5"}}
    )


def test_after_a_forgotten_token_the_command_is_carried_out_once(faulty: FaultServer, cl: Cl) -> None:
    faulty.script("/rest/worksheets", text(401, "User is not authenticated."), made("worksheets", WORKSHEET))
    assert cl.new_worksheet("x") == WORKSHEET
    assert faulty.count("/rest/worksheets") == 2
    assert faulty.count("/rest/oauth2/token") >= 1
    faulty.script("/rest/worksheets", text(401, "User is not authenticated."))
    with pytest.raises(CredentialsError):
        cl.new_worksheet("x")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (text(500, "Unexpected Internal Error (boom)."), CodaLabError),
        (text(502, "<html>bad gateway</html>"), Interrupted),
        (Answer(reset=True), Interrupted),
        (Answer(body=b'{"data": [', headers={"Content-Type": "application/json"}), CldcError),
        (Answer(body=b"<html>log in</html>", headers={"Content-Type": "text/html"}), Unreachable),
        (text(400, "Out of disk quota: 553k / 100k (553.1%)"), QuotaExceeded),
        (text(400, "Worksheet with name x already exists"), AlreadyExists),
    ],
    ids=["500", "502", "reset", "truncated", "html", "quota", "exists"],
)
def test_a_command_that_may_have_been_carried_out_is_never_repeated(
    faulty: FaultServer, cl: Cl, fault: Answer, kind: type[CldcError]
) -> None:
    faulty.script("/rest/worksheets", fault)
    with pytest.raises(kind) as raised:
        cl.new_worksheet("x")
    assert faulty.count("/rest/worksheets") == 1
    assert "Traceback" not in str(raised.value)
    assert "secret-canary" not in str(raised.value)
    faulty.script("/rest/worksheets", made("worksheets", WORKSHEET))
    assert cl.new_worksheet("x") == WORKSHEET


def test_an_interrupted_upload_names_its_bundle(
    faulty: FaultServer, cl: Cl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_bytes(random.randbytes(300_000))
    faulty.script("/rest/bundles", made("bundles", UUID))
    location = {"type": "bundle_locations", "id": UUID, "attributes": {}}
    faulty.script(f"/rest/bundles/{UUID}/locations/", as_json({"data": [location]}))
    faulty.script("/rest/user/increment_disk_used", as_json({"data": [{"type": "users", "id": "7"}]}))
    faulty.script(
        "/rest/user",
        as_json({"data": {"type": "users", "id": "7", "attributes": {"disk_used": 1, "disk_quota": 9}}}),
    )
    faulty.script(f"/rest/bundles/{UUID}/contents/blob/", Answer(reset=True))
    heard = Heard()
    with pytest.raises(Interrupted):
        cl.upload(WORKSHEET, tmp_path / "a.txt", name="a", observer=heard)
    assert cl.created == (UUID,)
    assert heard.tasks == [("Uploading a", 300_000, "bytes")]
    faulty.script(f"/rest/bundles/{UUID}/contents/blob/", Answer(delay_seconds=300.0))
    with monkeypatch.context() as short_waits:
        short_waits.setattr(commands, "WAITING_SECONDS", 0.1)
        short_waits.setattr(cl_session, "UNPACK_SECONDS", 1.0)
        with pytest.raises(Interrupted, match=r"was interrupted: no answer for 1 s\."):
            cl.upload(WORKSHEET, tmp_path / "a.txt", name="a", observer=heard)
    assert cl.created == (UUID,)
    assert any(re.fullmatch(r"unpacking for \d s, 1 s at most", detail) for detail in heard.details)
    faulty.script(f"/rest/bundles/{UUID}/contents/blob/", text(400, "Upload failed: Invalid archive upload"))
    with pytest.raises(UploadFailed):
        cl.upload(WORKSHEET, tmp_path / "a.txt", name="a", observer=heard)
    assert cl.created == (UUID,)
    faulty.script(f"/rest/bundles/{UUID}/contents/blob/", as_json({}))
    assert cl.upload(WORKSHEET, tmp_path / "a.txt", name="a", observer=heard) == UUID
    assert heard.done[-1] == 300_000
    assert faulty.count("/rest/bundles") == 4


def test_a_client_that_dies_or_hangs_is_replaced(
    faulty: FaultServer, cl: Cl, codalab_python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty.script("/rest/worksheets", made("worksheets", WORKSHEET))
    assert cl.new_worksheet("x") == WORKSHEET
    (first,) = clients(codalab_python)
    first.kill()
    first.wait(60)
    assert cl.new_worksheet("x") == WORKSHEET
    (second,) = clients(codalab_python)

    faulty.script("/rest/worksheets", Answer(delay_seconds=300))
    asked = faulty.count("/rest/worksheets")

    def kill_once_it_waits() -> None:
        if soon(lambda: faulty.count("/rest/worksheets") > asked):
            second.kill()

    threading.Thread(target=kill_once_it_waits).start()
    with pytest.raises(Interrupted, match="ended"):
        cl.new_worksheet("x")
    with monkeypatch.context() as short_waits:
        short_waits.setattr(cl_session, "COMMAND_SECONDS", 1.0)
        with pytest.raises(Interrupted, match="no answer for 1 s"):
            cl.new_worksheet("x")
    assert not clients(codalab_python)
    faulty.script("/rest/worksheets", made("worksheets", WORKSHEET))
    assert cl.new_worksheet("x") == WORKSHEET


def clients(python: Path) -> list[psutil.Process]:
    """The clients that this process runs; their guards run in another Python."""
    return [child for child, line in command_lines() if line[:2] == [str(python), "-I"]]


def command_lines() -> list[tuple[psutil.Process, list[str]]]:
    """The processes below this one with their arguments; one that has just ended has none."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found.append((child, child.cmdline()))
    return found


def test_secrets_are_on_no_command_line_and_in_no_file(
    faulty: FaultServer, codalab_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    faulty.script("/rest/worksheets", made("worksheets", WORKSHEET))
    with Cl(lambda: codalab_python, faulty.address, ALICE) as cl:
        cl.new_worksheet("x")
        lines = [" ".join(line) for _, line in command_lines()]
        assert len(lines) >= 1
        assert all("secret-canary" not in line and "t0" not in line.split() for line in lines)
        written = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != ".cldc-in-use"]
        assert not written
        assert not (tmp_path / "user" / ".codalab").exists()
    assert not list(tmp_path.glob("cldc-cl-*"))


# A real CodaLab


@dataclass(frozen=True, slots=True)
class Real:
    """A sandbox that is up."""

    address: str
    python: Path
    organiser: Credentials
    contestant: Credentials

    def as_contestant(self) -> CodaLab:
        return CodaLab(self.address, self.contestant, python=lambda: self.python)

    def as_organiser(self) -> CodaLab:
        return CodaLab(self.address, self.organiser, python=lambda: self.python)


@pytest.fixture(scope="session")
def real(codalab_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """A sandbox whose runs get this Python in place of TensorFlow's."""
    data, given = tmp_path_factory.mktemp("sandbox"), tmp_path_factory.mktemp("given")
    profile = competition.load("demo")
    for name in profile.dataset.classes:
        (given / "label_book" / name).mkdir(parents=True)
        (given / "label_book" / name / "0.png").write_bytes(name.encode())
    script = given / "train.py"
    script.write_text(
        "import json, os, sys\n"
        "print(sorted(os.listdir(sys.argv[1])), flush=True)\n"
        "assert os.path.isdir(sys.argv[2])\n"
        "json.dump([1, 2, 3], open('predictions.json', 'w'))\n"
    )
    files = OrganiserFiles(script, given / "label_book", given / "label_book")
    status = sandbox.up(
        data, profile, files, codalab_python=codalab_python, tensorflow_bin=Path(sys.executable).parent
    )
    accounts = {
        account.role: Credentials(account.name, account.password, "sandbox")
        for account in sandbox.list_accounts(data)
    }
    try:
        yield Real(status.address, codalab_python, accounts["organiser"], accounts["contestant"])
    finally:
        sandbox.down(data)


@pytest.fixture(scope="module")
def mine(real: Real) -> Iterator[CodaLab]:
    """The contestant's access, kept from test to test."""
    with real.as_contestant() as codalab:
        yield codalab


def worksheet_name() -> str:
    return f"test-{time.time_ns()}"


def test_the_guides_steps_make_a_submission(mine: CodaLab, tmp_path: Path) -> None:
    bundles = competition.load("demo").bundles
    script, label_book = bundles.script.uuid, bundles.label_book.uuid
    assert script is not None
    assert label_book is not None
    archive = tmp_path / "my data.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for number in range(40):
            packed.writestr(f"top/train/x/{number}.png", random.randbytes(20_000))
    heard = Heard()
    cl, rest = mine.cl, mine.rest
    cl.start()
    worksheet = cl.new_worksheet(name := worksheet_name(), title="-t a title")
    assert [own.uuid for own in rest.own_worksheets(name)] == [worksheet]
    assert rest.worksheet(name).title == "-t a title"
    data = cl.upload(worksheet, archive, name="data", description="--marker 1", observer=heard)
    assert heard.done[-1] == archive.stat().st_size
    uploaded = require_ready(rest, rest.bundle(data), ["top/train"])
    assert (uploaded.name, uploaded.description, uploaded.owner) == (
        "data",
        "--marker 1",
        mine.rest.username,
    )
    cl.add_bundle(worksheet, script, label_book)

    run = cl.run(
        worksheet,
        "python train.py data label_book",
        [
            Dependency("train.py", script, ""),
            Dependency("data", data, "top"),
            Dependency("label_book", label_book, ""),
        ],
        name="run-train",
        image=competition.load("demo").run.image,
        description="-d",
    )
    done = require_ready(rest, wait_for(rest, run, observer=heard), ["predictions.json"])
    assert (done.exit_code, done.description) == (0, "-d")
    assert {dependency.key for dependency in done.dependencies} == {"train.py", "data", "label_book"}
    assert rest.file(run, "stdout", tail=1) == b"['train']\n"
    assert rest.file(run, "predictions.json", span=(0, 3)) == b"[1,"

    submission = cl.make(worksheet, run, "predictions.json", name="sub-1")
    require_ready(rest, wait_for(rest, submission), [""])
    assert rest.file(submission) == b"[1, 2, 3]"
    cl.describe(submission, "--sub-1 (Lab) https://x.example/")
    rest.publish([data, run, submission], worksheet)
    with Rest(rest.server) as everyone:
        shown = everyone.bundles([data, run, submission, script, label_book])
        assert [(bundle.readable, bundle.public_permission) for bundle in shown.values()] == [(True, 1)] * 5
        assert everyone.bundle(submission).description == "--sub-1 (Lab) https://x.example/"
        expected = (data, script, label_book, run, submission)
        assert everyone.worksheet(worksheet, bundles=True).items == expected
    cl.set_tags(submission, ["some-tag"])
    cl.set_tags(submission, ["some-tag", "other"])
    assert set(rest.bundle(submission).tags) == {"some-tag", "other"}
    assert [found.uuid for found in rest.search(tag="some-tag", owner=mine.rest.username)] == [submission]
    assert mine.untag(submission, "other").tags == ("some-tag",)
    assert mine.untag(submission, "some-tag").tags == ()
    cl.describe(submission, "")
    assert rest.bundle(submission).description == ""

    got = rest.download(data, "top", tmp_path / "out")
    assert len(list(got.rglob("*.png"))) == 40
    assert rest.bundle(data, worksheets=True).worksheets == (worksheet,)
    assert rest.user().disk_used >= archive.stat().st_size


def test_others_can_not_read_new_items_until_the_owner_has_read_them(mine: CodaLab) -> None:
    script = competition.load("demo").bundles.script.uuid
    assert script is not None
    with Rest(mine.rest.server) as everyone:
        worksheet = mine.cl.new_worksheet(worksheet_name())
        mine.cl.add_bundle(worksheet, script)
        with pytest.raises(PermissionDenied):
            everyone.worksheet(worksheet, items=True)
        assert mine.rest.read_items_as_owner(worksheet).items == (script,)
        assert everyone.worksheet(worksheet, items=True).items == (script,)
        with pytest.raises(PermissionDenied, match="not as its owner"):
            everyone.read_items_as_owner(worksheet)
        mine.rest.share("worksheet", worksheet, public=False)
        with pytest.raises(PermissionDenied):
            everyone.worksheet(worksheet)


def test_failed_runs_and_makes_are_reported(mine: CodaLab) -> None:
    cl, rest = mine.cl, mine.rest
    worksheet = cl.new_worksheet(worksheet_name())
    bad = cl.run(worksheet, "echo the reason >&2; exit 3", [], name="bad")
    with pytest.raises(RunFailed, match=r"(?s)xit code 3.*the reason"):
        require_ready(rest, wait_for(rest, bad))
    empty = cl.run(worksheet, "true", [], name="empty")
    with pytest.raises(RunFailed, match=r"predictions\.json"):
        require_ready(rest, wait_for(rest, empty), ["predictions.json"])
    missing = cl.make(worksheet, empty, "predictions.json", name="missing")
    with pytest.raises(RunFailed, match="Invalid dependency"):
        require_ready(rest, wait_for(rest, missing))
    long = cl.run(worksheet, "sleep 1000", [], name="long")
    # CodaLab loses requests about a run that its worker has not started yet.
    assert soon(lambda: rest.bundle(long).state == "running", every_seconds=0.1)
    cl.kill(long)
    with pytest.raises(RunFailed, match="killed"):
        require_ready(rest, wait_for(rest, long))
    with pytest.raises(CodaLabError, match="depend on them"):
        cl.remove(empty)
    cl.remove(missing, bad)
    assert not rest.found(missing)


def test_each_refusal_has_its_own_error(mine: CodaLab, real: Real, tmp_path: Path) -> None:
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and nothing more" * 50)
    with real.as_organiser() as other:
        worksheet = mine.cl.new_worksheet(name := worksheet_name())
        with pytest.raises(AlreadyExists):
            mine.cl.new_worksheet(name)
        with pytest.raises(PermissionDenied):
            other.cl.upload(worksheet, broken, name="x")
        with pytest.raises(NotFound):
            mine.cl.upload(WORKSHEET, broken, name="x")
        with pytest.raises(UploadFailed, match="failed to unzip"):
            mine.cl.upload(worksheet, broken, name="x")
        (made,) = mine.cl.created
        assert mine.rest.bundle(made).state == "failed"
        assert list(mine.rest.bundles([UUID, made, WORKSHEET])) == [made]
        mine.cl.remove(made)
        with pytest.raises(NotFound):
            mine.rest.worksheet("no-such-worksheet")
        assert mine.rest.search(owner="nobody-of-that-name") == ()
        with pytest.raises(CodaLabError, match="editor"):
            mine.cl.command("wedit", worksheet)
    wrong = Credentials(real.contestant.username, "wrong", "test")
    with CodaLab(real.address, wrong, python=lambda: real.python) as stranger:
        with pytest.raises(CredentialsError, match="Invalid username or password"):
            stranger.cl.new_worksheet("x")
        with pytest.raises(CredentialsError, match="Invalid username or password"):
            stranger.rest.user()
    with Rest(real.address) as everyone:
        assert everyone.health().version == "1.7.5"
