"""`cldc init`, `cldc` alone, completion, narrow and plain terminals: through the command line, on a terminal of our own."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cldc.cli.terminal import draw
from cldc.errors import ConfigurationError
from cldc.ledger import Ledger
from cldc.render.document import Line, Table
from cldc.render.terminal import drawn
from cldc.resources import template
from cldc.workflows import origin_of, workflow
from tests.support.commands import Cldc
from tests.support.folders import make_dataset
from tests.support.records import RECORD
from tests.support.terminal import Terminal

COMMIT = "a" * 40


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def read(project: Path) -> dict[str, str]:
    return tomllib.loads((project / "cldc.toml").read_text(encoding="utf-8"))


def test_init_asks_four_questions_and_repeats_one_whose_answer_would_be_lost(project: Path) -> None:
    make_dataset(project / "numerals")
    terminal = Terminal("init", cwd=project)
    terminal.answer("Competition [data-centric-2021]", "demo")
    terminal.answer("Dataset folder [numerals]", "")
    terminal.answer("Institution", "Some (Lab)")
    terminal.answer("Institution", "Some Lab")
    terminal.answer("link to", "https://example.org/x")
    code, output = terminal.end()
    assert code == 0, output
    assert read(project) == {
        "competition": "demo",
        "dataset": "numerals",
        "institution": "Some Lab",
        "link": "https://example.org/x",
    }
    assert ".ipynb_checkpoints/" in (project / ".gitignore").read_text(encoding="utf-8")


def test_init_finds_the_dataset_beside_a_link_to_a_name_that_is_too_long(cldc: Cldc, project: Path) -> None:
    (project / "a").symlink_to("n" * 300)
    make_dataset(project / "digits")
    cldc("init", cwd=project)
    assert read(project)["dataset"] == "digits"


def test_init_takes_flags_keeps_what_is_there_and_is_used_by_every_command(cldc: Cldc, project: Path) -> None:
    make_dataset(project / "numerals")
    (project / ".gitignore").write_text("secret.txt", encoding="utf-8")
    made = cldc("init", "--institution", "Some Lab", "--format", "json", cwd=project).data
    assert made["files"] == {"cldc.toml": "written", ".gitignore": "added to"}
    assert read(project)["institution"] == "Some Lab"
    assert "name" not in read(project)  # each submission gets a free one
    assert (project / ".gitignore").read_text(encoding="utf-8").startswith("secret.txt\n*.zip\n")
    assert cldc("init", "--format", "json", cwd=project).data["files"]["cldc.toml"] == "kept"
    assert "--force" in cldc("init", "--name", "other", cwd=project, code=4).err
    assert cldc("init", "--name", "other", "--force", cwd=project).code == 0
    assert read(project)["name"] == "other"
    assert cldc("validate", cwd=project).code == 0
    assert "can't be used" in cldc("init", "--name", "my try", "--force", cwd=project, code=12).err
    assert "garble" in cldc("init", "--institution", "Caf\u00e9", "--force", cwd=project, code=12).err


@pytest.mark.parametrize(
    ("host", "path"), [("github", ".github/workflows/submit.yml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_init_writes_a_workflow_pinned_to_a_commit(cldc: Cldc, project: Path, host: str, path: str) -> None:
    assert (
        "OWNER/REPO@COMMIT" in cldc("init", "--ci", host, "--action", "me/cldc@main", cwd=project, code=4).err
    )
    cldc("init", "--ci", host, "--action", f"me/cldc@{COMMIT}", cwd=project)
    text = (project / path).read_text(encoding="utf-8")
    assert re.search(rf"me/cldc(/\.github/actions/submit)?@{COMMIT}", text)
    assert "0" * 40 not in text
    # Whoever may change cldc.toml can't send the job's password elsewhere.
    assert text.count('"https://worksheets.codalab.org"') == text.count('"data-centric-2021"') >= 1

    (project / "mine.toml").write_bytes(template("competitions", "demo.toml").read_bytes())
    named = ("--competition", "mine.toml", "--server", "https://codalab.example")
    cldc("init", "--ci", host, "--action", f"me/cldc@{COMMIT}", "--force", *named, cwd=project)
    (project / path).unlink()
    cldc("init", "--ci", host, "--action", f"me/cldc@{COMMIT}", cwd=project)
    text = (project / path).read_text(encoding="utf-8")
    assert text.count('"https://codalab.example"') == text.count('"mine.toml"') >= 1
    assert "worksheets.codalab.org" not in text
    outside = ("--competition", project.parent / "mine.toml")
    (project / "mine.toml").rename(outside[1])
    refused = cldc(
        "init", "--ci", host, "--action", f"me/cldc@{COMMIT}", "--force", *outside, cwd=project, code=4
    )
    assert "outside the project" in refused.err


def test_init_writes_no_workflow_for_the_sandbox_of_this_machine(cldc: Cldc, project: Path) -> None:
    ci = ("init", "--ci", "github", "--action", f"me/cldc@{COMMIT}")
    assert "--server ADDRESS" in cldc(*ci, "--competition", "demo", cwd=project, code=4).err
    assert not list(project.iterdir())
    made = cldc("init", "--competition", "demo", cwd=project)
    assert made.out.index("cldc sandbox up") < made.out.index("cldc preflight")  # which needs its label book
    assert "cldc login" not in made.out
    assert "cldc.toml" in cldc(*ci, cwd=project, code=4).err


def test_a_classroom_s_workflow_checks_and_needs_no_account(cldc: Cldc, project: Path) -> None:
    cldc("init", "--ci", "classroom", "--action", f"me/cldc@{COMMIT}", cwd=project)
    text = (project / ".github" / "workflows" / "check.yml").read_text(encoding="utf-8")
    assert f"git+https://github.com/me/cldc@{COMMIT}" in text
    assert "secrets" not in text.partition("jobs:")[2]
    assert 'CLDC_COMPETITION: "data-centric-2021"' in text


def test_cldc_alone_leads_from_nothing_to_the_submission(cldc: Cldc, project: Path) -> None:
    def following(server: str = "https://codalab.example") -> str:
        found = re.search(r"^Next: (.*)$", cldc(cwd=project, CLDC_SERVER=server).out, re.MULTILINE)
        assert found
        return found[1]

    assert following() == "cldc init"
    cldc("init", "--dataset", "mine", cwd=project)
    assert following() == "cldc sample mine"
    make_dataset(project / "mine")
    (project / "mine" / "train" / "i" / "0.png").write_bytes(b"no image")
    assert following() == "cldc validate mine"
    (project / "mine" / "train" / "i" / "0.png").unlink()
    assert following() == "cldc preflight"
    assert following("sandbox") == "cldc sandbox up"
    outcome = cldc(cwd=project)
    assert "29 images, valid" in outcome.out
    assert "none signed in" in outcome.out


def test_forty_columns_are_enough(project: Path) -> None:
    make_dataset(project / "mine")
    for arguments in (["validate", "mine"], ["env", "list"], ["doctor", "--server", "sandbox"], []):
        _, output = Terminal(*arguments, cwd=project, columns=40).end()
        shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
        lines = [line.rstrip() for line in re.split(r"[\r\n]+", shown)]
        assert max(map(len, lines)) <= 40, arguments
        # No word is broken into single letters one below the other.
        assert not re.search(r"(?m)^\s*\w\n\s*\w\n\s*\w\n\s*\w$", shown.replace("\r", "")), shown


def test_no_terminal_is_too_narrow_for_names_with_values() -> None:
    rows = [
        ("a name of thirty letters long.", ""),
        ("server", "https://example.org/a/long/address"),
        ("a", "b c"),
    ]
    for width in range(1, 100):
        console = Console(file=io.StringIO(), width=width)
        with console.capture() as shown:
            console.print(drawn(Table(("", ""), rows), width=width, everything=False), crop=False)
        assert {"name", "https://example.org/a/long/address", "b", "c"} <= set(shown.get().split()), width


def test_a_next_command_longer_than_the_terminal_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    shown = io.StringIO()
    draw([Line("Next: cldc submit 'a folder with a long name'")], shown, everything=False)
    assert "Next: cldc submit 'a folder with a long name'\n" in shown.getvalue()


def test_a_screen_reader_gets_plain_lines_and_no_color_means_none(project: Path) -> None:
    make_dataset(project / "mine")
    drawing, colour = "[\u2500-\u257f\u2800-\u28ff]|\x1b", r"\x1b\[[0-9;]*3[0-9]m"

    def shown(no_color: str = "", plain: str = "") -> str:
        return Terminal("validate", "mine", cwd=project, NO_COLOR=no_color, CLDC_PLAIN=plain).end()[1]

    usual = shown()
    assert re.search(drawing, usual)
    assert re.search(colour, usual)
    assert not re.search(drawing, shown(plain="1"))
    assert not re.search(colour, shown(no_color="1"))


def test_quiet_prints_only_the_result(cldc: Cldc, project: Path) -> None:
    make_dataset(project / "mine")
    assert cldc("validate", "mine", "--quiet", cwd=project).err == ""
    assert cldc("validate", "mine", "--no-cache", cwd=project).err.startswith("Checking")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_offers_real_values(cldc: Cldc, shell: str) -> None:
    (cldc.home / "accounts.json").write_text('{"https://codalab.example": ["ann", "bob"]}', encoding="utf-8")
    with Ledger(cldc.home) as ledger:
        ledger.add(replace(RECORD, name="my-first-try"))

    def offered(*words: str) -> str:
        last = words[-1] if shell == "fish" else str(len(words) - 1)
        return cldc(_CLDC_COMPLETE=f"{shell}_complete", COMP_WORDS=" ".join(words), COMP_CWORD=last).out

    assert "data-centric-2021" in offered("cldc", "validate", "--competition", "da")
    assert "codalab.example" in offered("cldc", "whoami", "--server", "https:")
    assert "bob" in offered("cldc", "whoami", "--account", "b")
    assert "my-first-try" in offered("cldc", "submit", "--name", "my")
    assert f"{shell}_complete" in cldc("completion", shell).out


def test_results_reach_a_jobs_summary_and_outputs(cldc: Cldc, project: Path) -> None:
    summary, outputs = project / "summary.md", project / "outputs"
    cldc = replace(cldc, extra={"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(outputs)})
    cldc("init", "--format", "github", cwd=project)
    assert "Written: cldc.toml" in summary.read_text(encoding="utf-8")
    assert "settings-competition=data-centric-2021\n" in outputs.read_text(encoding="utf-8")
    failed = cldc("init", "--name", "x", "--format", "github", cwd=project, code=4)
    assert failed.out.startswith("::error title=cldc configuration::")
    assert "exit-code=4\n" in outputs.read_text(encoding="utf-8")
    assert "❌ Failed:" in summary.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://github.com/me/cldc.git", "me/cldc"),
        ("ssh://git@github.com/me/cldc", "me/cldc"),
        ("https://gitlab.com/me/cldc", None),
        ("file:///home/me/cldc", None),
    ],
)
def test_the_action_is_taken_from_where_cldc_was_installed(
    monkeypatch: pytest.MonkeyPatch, url: str, origin: str | None
) -> None:
    class Installed:
        def read_text(self, name: str) -> str:
            assert name == "direct_url.json"
            return json.dumps({"url": url, "vcs_info": {"vcs": "git", "commit_id": COMMIT}})

    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Installed())
    if origin is None:
        with pytest.raises(ConfigurationError, match="it is not known where this cldc came from"):
            origin_of(None)
    else:
        where = origin_of(None)
        path, text = workflow("github", where, server="https://x.example", competition="demo")
        assert path == ".github/workflows/submit.yml"
        assert f"uses: {origin}/.github/actions/submit@{COMMIT}\n" in text
