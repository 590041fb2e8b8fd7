"""Whatever a server, a file or a library says, no terminal, log or job obeys it, and no secret shows."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc import process
from cldc.text import masked, shown
from tests.support.commands import Cldc
from tests.support.faults import Answer, FaultServer, as_json
from tests.support.terminal import Terminal

# A title, a cleared screen, the same in C1, right-to-left, a bell, and commands to a job's log.
HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\x08\r\n::error::owned\n##[set-output name=x]owned\n::stop-commands::x"
OBEYED = re.compile(r"\x1b\]|\x1b\[2J|[\x07\x08\x9b\u202e]|^\s*(::|##\[)", re.MULTILINE)
SECRET = "correct-horse-battery"
PROXY = "http://proxyuser:proxypass@127.0.0.1:9"

# Everything that a command can show something with.
_SHOW_ALL = """
import sys, threading
import click
from cldc.cli.app import App
from cldc.cli.output import Output, show_error
from cldc.cli.safe_streams import make_safe
from cldc.credentials import Credentials
from cldc.errors import CodaLabError
from cldc.render.document import Annotation, Document, Line, Table
from cldc.settings import Options

hostile, form = sys.argv[1].encode().decode("unicode_escape"), sys.argv[2]
make_safe()
hostile += " http://proxyuser:proxypass@host/ " + Credentials("alice", "correct-horse-battery", "prompt").password
output = Output(form=form)
output.observer.start(hostile, total=2, unit=hostile)
output.observer.advance(1, hostile)
output.observer.note(hostile)
blocks = [Line(hostile), Table((hostile, "b"), [(hostile, hostile)], title=hostile)]
remark = Annotation("error", hostile, hostile, hostile)
output.show(Document({"name": hostile}, blocks, annotations=lambda: [remark]))
output.write(hostile)
click.echo(hostile)
click.echo(hostile, err=True)
print(hostile)
print(hostile, file=sys.stderr)
thread = threading.Thread(target=lambda: 1 / 0, name=hostile)
thread.start(); thread.join()
show_error(CodaLabError(hostile, action=hostile), ["--format", form])
"""


@given(st.text())
def test_nothing_that_is_shown_can_be_obeyed(text: str) -> None:
    safe = shown(text)
    assert all(line.replace("\t", "").isprintable() for line in safe.split("\n"))
    assert not re.search(r"^\s*(::|##\[)", safe, re.MULTILINE)
    assert safe == shown(safe)


def test_passwords_in_addresses_are_masked() -> None:
    assert masked(f"proxy {PROXY}/x and ftp://a@b") == "proxy http://***@127.0.0.1:9/x and ftp://***@b"


@pytest.mark.parametrize("form", ["text", "json", "github", "markdown"])
def test_hostile_text_through_every_way_out(form: str, tmp_path: Path) -> None:
    summary, outputs = tmp_path / "summary.md", tmp_path / "outputs"
    done = process.run(
        [sys.executable, "-c", _SHOW_ALL, HOSTILE.encode("unicode_escape").decode(), form],
        env={
            **os.environ,
            "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_OUTPUT": str(outputs),
        },
        timeout_seconds=60,
        check=False,
    )
    texts = [done.stdout, done.stderr]
    if form == "github":
        texts += [summary.read_text(), outputs.read_text()]
        own = [line for line in done.stdout.splitlines() if line.startswith("::error ")]
        assert len(own) == 2  # the annotation and the error
        for line in own:
            assert not OBEYED.search(line.removeprefix("::error "))
            assert SECRET not in line
            texts[0] = texts[0].replace(line, "")
    for text in texts:
        assert text
        assert not OBEYED.search(text), text
        assert SECRET not in text
        assert "proxypass" not in text


def test_a_terminal_is_drawn_on_by_cldc_alone(tmp_path: Path) -> None:
    script = tmp_path / "show.py"
    script.write_text(_SHOW_ALL)
    terminal = Terminal(
        cwd=tmp_path, program=[str(script), HOSTILE.encode("unicode_escape").decode(), "text"]
    )
    _, text = terminal.end()
    assert "owned" in text
    assert not re.search(r"\x1b\]|\x1b\[2J|[\x07\x08\x9b\u202e]", text), text
    assert SECRET not in text


@pytest.fixture
def server() -> Iterator[FaultServer]:
    running = FaultServer()
    yield running
    running.close()


@pytest.mark.parametrize("command", [("whoami",), ("status",), ("quota",), ("leaderboard",), ("doctor",)])
def test_a_hostile_server_reaches_no_terminal(
    command: tuple[str, ...], server: FaultServer, bare_cldc: Cldc
) -> None:
    person = replace(
        bare_cldc,
        extra={"CODALAB_USERNAME": "alice", "CODALAB_PASSWORD": SECRET, "CLDC_SERVER": server.address},
    )
    user = {"data": {"type": "users", "id": HOSTILE, "attributes": {"user_name": HOSTILE}}}
    refused = Answer(400, f"{HOSTILE} {SECRET}".encode(), {"Content-Type": "text/plain"})
    for answer in (refused, as_json(user)):
        server.reset()
        server.script("/rest/user", answer)
        for path in ("/rest/bundles", "/rest/worksheets", "/rest/cli/info", "/rest/worksheets/sample/"):
            server.script(path, refused)
        outcome = person(*command, "--competition", "demo", code=None)
        text = outcome.out + outcome.err
        assert not OBEYED.search(text), text
        assert SECRET not in text
        document = person(*command, "--competition", "demo", "--format", "json", code=None)
        json.loads(document.out)
