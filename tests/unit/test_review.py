"""The server of `cldc review`: who may ask it, and what it saves."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from cldc import competition, decisions
from cldc.files import DiskFull
from cldc.review import ReviewServer, ReviewSession
from cldc.validation import validate
from tests.support.commands import ROOT
from tests.support.folders import make_dataset, png

COMPETITION = competition.load()
RULES = COMPETITION.dataset


@dataclass
class Browser:
    """Asks the server as a page in a browser does."""

    server: ReviewServer
    cookie: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, address: str, body: object = None, **changed: str) -> tuple[int, bytes, dict[str, str]]:
        """One request; ``changed`` headers replace those that a browser sends."""
        host = f"127.0.0.1:{self.server.port}"
        headers = {"Host": host, "Cookie": self.cookie}
        if body is not None:
            headers |= {"Origin": f"http://{host}", "Content-Type": "application/json"}
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        with contextlib.closing(HTTPConnection("127.0.0.1", self.server.port, timeout=60)) as connection:
            content = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", address, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), dict(answer.headers)

    def open(self, address: str) -> int:
        """Open the page by an address with a token, and keep its cookie."""
        split = urlsplit(address)
        status, _, headers = self.ask(f"/?{split.query}")
        self.cookie = headers.get("Set-Cookie", self.cookie).partition(";")[0]
        return status

    def state(self) -> dict[str, Any]:
        """Everything that the page shows."""
        found: dict[str, Any] = json.loads(self.ask("/state")[1])
        return found

    def image_keys(self) -> dict[str, str]:
        """Each image's key by its path."""
        return {path: key for key, path, *_ in self.state()["parts"]["images"]["data"]["files"]}

    def decide(self, action: str, *paths: str, value: str = "", reason: str = "") -> dict[str, Any]:
        """Decide as the page does."""
        keys = self.image_keys()
        body = {"action": action, "keys": [keys[path] for path in paths], "value": value, "reason": reason}
        found: dict[str, Any] = json.loads(self.ask("/decide", body)[1])
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "digits")


@pytest.fixture
def session(folder: Path, tmp_path: Path) -> ReviewSession:
    return ReviewSession(folder, COMPETITION, home=tmp_path / "home")


@pytest.fixture
def browser(session: ReviewSession) -> Iterator[Browser]:
    server = ReviewServer(session)
    with server.running():
        browser = Browser(server)
        assert browser.open(server.address) == 200
        yield browser


def saved(folder: Path) -> list[tuple[str, str]]:
    return [(each.path, each.describe()) for each in decisions.read(decisions.default_path(folder), RULES)]


def test_only_requests_from_the_page_are_answered(browser: Browser) -> None:
    stranger = Browser(browser.server)
    for address in ("/", "/?token=wrong", "/state", "/review.js", "/picture/small/0"):
        assert stranger.ask(address)[0] == 403
    assert stranger.ask("/decide", {})[0] == 403
    assert stranger.ask("/etc/passwd")[0] == 404
    assert browser.ask("/state")[0] == 200


def test_the_address_that_a_browser_is_started_with_works_once(browser: Browser) -> None:
    ticket = browser.server.ticket()
    one, other = Browser(browser.server), Browser(browser.server)
    assert one.open(ticket) == 200
    assert one.ask("/state")[0] == 200
    assert other.open(ticket) == 403


def test_other_sites_reach_nothing(browser: Browser) -> None:
    body = {"action": "set-aside", "keys": [*browser.image_keys().values()], "value": "", "reason": ""}
    for changed in (
        {"Host": "evil.example"},  # whose name leads here
        {"Host": f"evil.example:{browser.server.port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Sec_Fetch_Site": "cross-site"},
    ):
        assert browser.ask("/decide", body, **changed)[0] == 403
    assert browser.ask("/decide", body, Content_Type="text/plain")[0] == 400
    assert browser.ask("/state", Host="evil.example")[0] == 403
    assert browser.state()["parts"]["decisions"]["data"]["rows"] == {}
    # Through a tunnel from another port of one's own machine.
    assert browser.ask("/decide", body, Host="localhost:9", Origin="http://localhost:9")[0] == 200


def test_the_page_loads_nothing_from_elsewhere(browser: Browser) -> None:
    status, page, headers = browser.ask("/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    cookie = Browser(browser.server).ask(f"/?{urlsplit(browser.server.address).query}")[2]["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    named = re.findall(r'(?:src|href)="([^"]*)"', page.decode())
    scripts = [name for name in named if name.endswith(".js")]
    assert scripts
    for name in {*named, *(m for s in scripts for m in imports(browser, s))}:
        assert browser.ask(f"/{name}")[0] == 200


def imports(browser: Browser, script: str) -> list[str]:
    return re.findall(r'from "\./([^"]+)"', browser.ask(f"/{script}")[1].decode())


def test_a_decision_is_saved_at_once_and_can_be_undone(browser: Browser, folder: Path) -> None:
    done = browser.decide("relabel", "train/i/0.png", "train/i/1.png", value="ii")
    assert saved(folder) == [("train/i/0.png", "relabel to ii"), ("train/i/1.png", "relabel to ii")]
    browser.decide("move", "train/i/0.png", value="val")
    browser.decide("correct", "val/x/0.png", reason="blank-image")
    rows = browser.state()["parts"]["decisions"]["data"]["rows"]
    assert sorted(rows["train/i/0.png"]) == [["move", "val"], ["relabel", "ii"]]
    browser.ask("/undo", {"number": done["undo"]})
    assert saved(folder) == [("train/i/0.png", "move to val"), ("val/x/0.png", "correct as is")]
    browser.decide("clear", "train/i/0.png", "val/x/0.png")
    assert saved(folder) == []


def test_an_image_labelled_with_its_own_class_is_correct_as_is(browser: Browser, folder: Path) -> None:
    browser.decide("relabel", "train/i/0.png", value="i")
    assert saved(folder) == [("train/i/0.png", "correct as is")]


def test_what_is_left_for_later_is_no_decision(
    browser: Browser, folder: Path, session: ReviewSession
) -> None:
    done = browser.decide("later", "train/i/0.png")
    assert browser.state()["parts"]["decisions"]["data"]["later"] == ["train/i/0.png"]
    assert session.summary().later == 1
    browser.ask("/undo", {"number": done["undo"]})
    assert browser.state()["parts"]["decisions"]["data"]["later"] == []
    assert saved(folder) == []


def test_only_parts_that_changed_are_sent(browser: Browser) -> None:
    numbers = {name: part["number"] for name, part in browser.state()["parts"].items()}
    address = "/state?" + "&".join(f"{name}={number}" for name, number in numbers.items())
    assert json.loads(browser.ask(address)[1])["parts"] == {}
    browser.decide("set-aside", "train/i/0.png")
    assert json.loads(browser.ask(address)[1])["parts"].keys() == {"decisions"}


def test_a_table_edited_by_hand_is_read_again(browser: Browser, folder: Path) -> None:
    table = decisions.default_path(folder)
    browser.decide("set-aside", "train/i/0.png")
    table.write_text(table.read_text().replace("set-aside,", "correct,"), encoding="utf-8")
    assert browser.state()["parts"]["decisions"]["data"]["rows"] == {"train/i/0.png": [["correct", ""]]}
    table.write_text("nonsense\n", encoding="utf-8")
    assert "Line 1" in browser.state()["problems"][0]
    status, body, _ = browser.ask(
        "/decide",
        {"action": "set-aside", "keys": [browser.image_keys()["train/i/1.png"]], "value": "", "reason": ""},
    )
    assert status == 409
    assert "Line 1" in json.loads(body)["error"]
    assert table.read_text(encoding="utf-8") == "nonsense\n"
    table.unlink()
    assert browser.state()["problems"] == []


def test_two_pages_see_each_others_decisions(browser: Browser) -> None:
    other = Browser(browser.server)
    other.open(browser.server.address)
    done = browser.decide("set-aside", "train/i/0.png")
    other.decide("set-aside", "train/i/1.png")
    browser.ask("/undo", {"number": done["undo"]})
    rows = {"train/i/1.png": [["set-aside", ""]]}
    assert browser.state()["parts"]["decisions"]["data"]["rows"] == rows
    assert other.state()["parts"]["decisions"]["data"]["rows"] == rows


def test_contradicting_decisions_are_named(browser: Browser, folder: Path) -> None:
    lines = ("path,action,class", "train/i/0.png,set-aside,", "train/i/0.png,relabel,ii")
    decisions.default_path(folder).write_text("\n".join(lines), encoding="utf-8")
    (problem,) = browser.state()["parts"]["decisions"]["data"]["problems"]
    assert "train/i/0.png" in problem


def test_nothing_is_decided_about_an_image_that_changed(
    browser: Browser, folder: Path, session: ReviewSession
) -> None:
    keys = browser.image_keys()
    (folder / "train" / "i" / "0.png").unlink()
    (folder / "train" / "i" / "1.png").write_bytes(png(77))
    wanted = [keys[f"train/{name}.png"] for name in ("i/0", "i/1", "x/0")]
    body = {"action": "set-aside", "keys": wanted, "value": "", "reason": ""}
    done = json.loads(browser.ask("/decide", body)[1])
    assert len(done["skipped"]) == 2
    assert saved(folder) == [("train/x/0.png", "set aside")]
    assert browser.ask(f"/picture/small/{wanted[0]}")[0] == 404
    session.refresh(now=True)
    assert "train/i/0.png" not in browser.image_keys()


def test_a_full_disk_is_reported_and_nothing_counts_as_decided(
    browser: Browser, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise DiskFull("No space is left.", action="Make room.")

    browser.decide("set-aside", "train/i/0.png")
    monkeypatch.setattr("cldc.decisions.store.replace_atomically", full)
    key = browser.image_keys()["train/i/1.png"]
    status, body, _ = browser.ask(
        "/decide", {"action": "set-aside", "keys": [key], "value": "", "reason": ""}
    )
    assert status == 409
    assert json.loads(body) == {"error": "No space is left.", "action": "Make room."}
    assert browser.state()["parts"]["decisions"]["data"]["rows"].keys() == {"train/i/0.png"}


def test_findings_come_with_their_images_and_copies_are_grouped(
    browser: Browser, folder: Path, session: ReviewSession
) -> None:
    copy = folder / "val" / "ii" / "copy.png"
    copy.write_bytes((folder / "train" / "i" / "0.png").read_bytes())
    (folder / "train" / "x" / "bad.png").write_bytes(b"no picture")
    listing = session.wait_for_change()
    session.found(validate(folder, COMPETITION), listing)
    found = {part["rule"]: part for part in browser.state()["parts"]["findings"]["data"]}
    assert found["identical-two-labels"]["differ"] == "label"
    assert found["identical-two-labels"]["findings"][0]["paths"] == ["train/i/0.png", "val/ii/copy.png"]
    assert [f["paths"] for f in found["image-undecodable"]["findings"]] == [["train/x/bad.png"]]
    # A label holds for every file of a content.
    browser.decide("relabel", "train/i/0.png", value="ii")
    assert browser.state()["parts"]["decisions"]["data"]["rows"].keys() == {
        "train/i/0.png",
        "val/ii/copy.png",
    }


def test_pictures_are_made_of_whatever_is_there(
    browser: Browser, folder: Path, session: ReviewSession
) -> None:
    place = folder / "train" / "i"
    (place / "bad.png").write_bytes(b"no picture")
    (place / "empty.png").touch()
    os.mkfifo(place / "pipe.png")
    wide = Image.new("I;16", (64, 48), 0xFFFF)
    wide.paste(0, (0, 0, 32, 48))
    wide.save(place / "deep.png")
    session.refresh(now=True)
    keys = {path: key for path, key in browser.image_keys().items() if path.startswith("train/i/")}
    for size in ("small", "large", "seen"):
        for name in ("bad", "empty", "pipe"):
            assert browser.ask(f"/picture/{size}/{keys[f'train/i/{name}.png']}")[0] == 404
        status, content, headers = browser.ask(f"/picture/{size}/{keys['train/i/deep.png']}")
        assert status == 200
        assert "immutable" in headers["Cache-Control"]
        with Image.open(io.BytesIO(content)) as picture:
            assert picture.size == ((32, 32) if size == "seen" else (64, 48))
            # 16 bits as 8, as TensorFlow reads them.
            assert picture.getpixel((0, 0)) == 0
            assert picture.getpixel((picture.width - 1, 0)) == 255


def test_the_command_serves_until_ctrl_c_and_says_what_was_decided(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "cldc", "review", str(folder), "--no-browser"],
        env={**os.environ, "CLDC_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        address = next(line for line in running.stdout if line.startswith("http://127.0.0.1:"))
        split = urlsplit(address)
        with contextlib.closing(HTTPConnection("127.0.0.1", split.port or 0, timeout=60)) as connection:
            connection.request("GET", f"/?{split.query.strip()}")
            assert connection.getresponse().status == 200
        decisions.default_path(folder).write_text("path,action\ntrain/i/0.png,set-aside\n", encoding="utf-8")
        running.send_signal(signal.SIGINT)
        output = running.communicate(timeout=60)[0]
    assert running.returncode == 0
    assert "1 decision, 1 of them new: 1 to set aside." in output
    assert "Next: cldc apply digits" in output


def test_a_port_that_is_taken_is_reported(browser: Browser, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(exist_ok=True)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cldc",
            "review",
            str(folder),
            "--no-browser",
            "--port",
            str(browser.server.port),
        ],
        env={**os.environ, "CLDC_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 14
    assert "--port" in done.stderr
