"""The command line itself: help, errors, exit codes, what is imported, and that documents say what is true."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from cldc import __main__ as entry
from cldc import errors, process
from cldc.cli import COMMANDS, cli
from tests.support.commands import ROOT, Cldc
from tests.support.folders import make_dataset

CONSENT = (ROOT / "docs" / "tasks" / "consent.md").read_text(encoding="utf-8")
EXIT_CODES = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")


def every_command() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {sub}", inner) for sub, inner in command.commands.items()]
    return found


@pytest.mark.parametrize(("name", "command"), every_command(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_command_explains_itself(name: str, command: click.Command) -> None:
    assert command.help
    if name in COMMANDS:
        assert COMMANDS[name][1] == command.get_short_help_str(limit=200)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, (name, parameter.name)


@pytest.mark.parametrize(("name", "command"), every_command(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_help_has_examples_that_the_command_line_understands(name: str, command: click.Command) -> None:
    examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")[2].splitlines()
    assert any(example.strip().startswith(f"cldc {name}") for example in examples)
    for example in examples:
        program, *words = shlex.split(example.partition(">")[0])
        assert program == "cldc"
        context = click.Context(cli)
        understood, words = cli.get_command(context, words[0]), words[1:]
        while isinstance(understood, click.Group) and words:
            understood, words = understood.commands[words[0]], words[1:]
        assert understood is not None
        understood.make_parser(click.Context(understood, parent=context)).parse_args(words)


@pytest.mark.parametrize("name", ["sandbox", "ledger", "organise", "env"])
def test_a_group_alone_shows_its_help(name: str, bare_cldc: Cldc) -> None:
    alone = bare_cldc(name)
    assert alone.out == bare_cldc(name, "--help").out
    assert not re.search(r"\w\.\.\.", alone.out)  # each command's sentence is whole
    assert alone.err == ""


def test_the_reference_names_every_exit_code() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.CldcError)]
    codes = {c.code for c in classes} | {entry.INTERRUPTED, entry.HUNG_UP, entry.TERMINATED, entry.BUG}
    assert len({c.code for c in classes}) == len(classes), "two kinds of failure share an exit code"
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", EXIT_CODES, re.MULTILINE)}
    assert documented == codes | {0}


def test_the_page_on_consent_names_every_command_that_asks_before_it_acts() -> None:
    asking = {name for name, command in every_command() if any(p.name == "yes" for p in command.params)}
    table = CONSENT.partition("| command |")[2].partition("\n\n")[0]
    named = re.findall(r"`cldc ([a-z ]+?)(?: --replace)?`", table)
    # An approval and a rejection can be taken back.
    assert set(named) == asking - {"trust", "trust approve", "organise reject"}


def test_a_mistyped_command_or_option_gets_a_suggestion(bare_cldc: Cldc) -> None:
    assert "Perhaps you meant 'submit'" in bare_cldc("sumbit", code=2).err
    assert "--competition" in bare_cldc("validate", "--competiton", "x", code=2).err


def test_what_does_not_exist_cannot_be_removed(bare_cldc: Cldc) -> None:
    assert "There is no environment nothing" in bare_cldc("env", "remove", "nothing", code=2).err


def test_an_expected_error_is_one_message_and_the_next_action(bare_cldc: Cldc) -> None:
    outcome = bare_cldc("validate", "nowhere", code=3)
    assert outcome.out == ""
    assert "nowhere" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 2
    data = bare_cldc("validate", "nowhere", "--format", "json", code=3).data["error"]
    assert (data["kind"], data["code"]) == ("dataset", 3)
    assert data["action"]


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (
            ["--help"],
            {"rich", "requests", "PIL", "keyring", "sqlite3", "psutil", "filelock", "cldc.competition"},
        ),
        (
            ["--version"],
            {"rich", "requests", "PIL", "keyring", "sqlite3", "psutil", "filelock", "cldc.competition"},
        ),
        (["submit", "--help"], {"rich", "keyring", "tensorflow"}),
        (
            ["validate", "nowhere"],
            {"requests", "keyring", "PIL", "cldc.codalab", "tensorflow"},
        ),
    ],
)
def test_no_command_imports_what_it_does_not_use(
    arguments: list[str], absent: set[str], tmp_path: Path
) -> None:
    assert not modules_of(arguments, tmp_path) & absent


def test_a_check_that_finds_nothing_changed_imports_nothing_heavy(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    time.sleep(max(0.0, max(path.stat().st_ctime for path in folder.rglob("*")) + 2.1 - time.time()))
    first, second = (modules_of(["validate", str(folder)], tmp_path) for _ in range(2))
    heavy = {
        "PIL",
        "jinja2",
        "requests",
        "keyring",
        "multiprocessing",
        "cldc.codalab",
        "cldc.preflight.pipeline",
    }
    assert first & heavy == {"PIL", "multiprocessing"}
    assert not second & heavy


def modules_of(arguments: list[str], folder: Path) -> set[str]:
    """Everything that a command imports."""
    code = (
        "import sys; from cldc.__main__ import run; run(sys.argv[1:]);"
        "print('modules', *sorted(sys.modules), file=sys.stderr)"
    )
    done = process.run([sys.executable, "-c", code, *arguments], cwd=folder, timeout_seconds=60, check=False)
    loaded = set(done.stderr.partition("modules ")[2].split())
    assert loaded
    return loaded


def test_a_bug_leaves_a_log_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(cli, "main", broken)
    assert entry.run(["validate"]) == entry.BUG
    output = capsys.readouterr().err
    assert "Traceback" not in output
    log = re.search(r"Its log is (\S+);", output)
    assert log is not None
    assert "ZeroDivisionError: a bug" in Path(log[1]).read_text(encoding="utf-8")


def test_a_reader_that_closes_the_pipe_early_is_no_error(tmp_path: Path) -> None:
    done = process.run(
        ["bash", "-o", "pipefail", "-c", f"{sys.executable} -m cldc --help | head -1"],
        timeout_seconds=60,
    )
    assert done.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full there")
@pytest.mark.parametrize(
    ("command", "where", "code"),
    [
        ("validate mine", ">/dev/full", 14),
        ("validate mine --format json", ">/dev/full", 14),
        ("validate nothing --format json", ">/dev/full", 3),
        ("--help", ">/dev/full", 14),
        ("validate mine", ">&-", 0),
        ("validate mine", "2>&-", 0),
        ("validate mine", "<&- >&- 2>&-", 0),
        ("validate mine --report /dev/full", "", 14),
        ("validate mine --format github", "", 14),
    ],
)
def test_output_that_cannot_be_written_is_reported(
    bare_cldc: Cldc, command: str, where: str, code: int
) -> None:
    make_dataset(bare_cldc.home / "mine")
    summary = {"GITHUB_STEP_SUMMARY": "/nonexistent/summary"} if "github" in command else {}
    done = process.run(
        ["bash", "-c", f"{sys.executable} -m cldc {command} {where}"],
        env={**os.environ, **summary},
        cwd=bare_cldc.home,
        timeout_seconds=60,
        check=False,
    )
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert not list(bare_cldc.home.glob("logs/*"))


def test_a_name_that_is_too_long_is_no_bug(bare_cldc: Cldc) -> None:
    assert "Use a shorter name." in bare_cldc("sample", "n" * 300, code=14).err


def test_a_folder_that_is_no_label_book_is_refused(bare_cldc: Cldc) -> None:
    home = bare_cldc.home
    make_dataset(home / "mine")
    make_dataset(home / "book")
    (home / "book" / "train").rename(home / "book" / "label_book")
    copied = "20 images from the label book"
    assert copied in bare_cldc("validate", "mine", "--label-book", "book").out
    assert copied in bare_cldc("validate", "mine", "--label-book", "book/label_book").out
    for wrong in ("nothing", "mine/train/i/0.png", "mine"):
        assert (
            f"{wrong} is not a label book" in bare_cldc("validate", "mine", "--label-book", wrong, code=3).err
        )


def test_watching_outlasts_the_folder(bare_cldc: Cldc) -> None:
    mine = make_dataset(bare_cldc.home / "mine")
    bare_cldc("validate", "--watch", "nothing", code=3)
    watching = subprocess.Popen(
        [sys.executable, "-m", "cldc", "validate", "--watch", "mine"],
        cwd=bare_cldc.home,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    lines = iter(watching.stderr)
    try:
        assert any("Watching" in line for line in lines)
        mine.rename(bare_cldc.home / "away")
        assert any("There is no folder" in line for line in lines)
        assert any("Watching" in line for line in lines)
        (bare_cldc.home / "away").rename(mine)
        assert any("Watching" in line for line in lines)
    finally:
        watching.terminate()
        watching.communicate(timeout=30)
    assert watching.returncode == 143


def test_completion_knows_commands(bare_cldc: Cldc) -> None:
    assert "_CLDC_COMPLETE" in bare_cldc("completion", "bash").out
    shown = bare_cldc(_CLDC_COMPLETE="bash_complete", COMP_WORDS="cldc sub", COMP_CWORD="1").out
    assert "submit" in shown


def test_templates_ship_in_the_wheel(tmp_path: Path) -> None:
    """Built and installed as a user would, away from the checkout."""
    uv = Path(sys.executable).with_name("uv")
    process.run(
        [uv, "build", "--wheel", "--no-build-isolation", "-p", sys.executable, "-o", tmp_path, ROOT],
        timeout_seconds=300,
    )
    (wheel,) = tmp_path.glob("*.whl")
    target = tmp_path / "site"
    process.run([uv, "pip", "install", "-q", "--no-deps", "--target", target, wheel], timeout_seconds=120)
    code = (
        "from cldc.competition import builtin_profiles, load; from cldc.resources import template;"
        "print(*builtin_profiles()); assert load().title; assert template('scripts', 'train.py').is_file();"
        "assert list(template('environments').glob('*.txt')); import cldc; print(cldc.__file__)"
    )
    done = process.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(target)},
        cwd=tmp_path,
        timeout_seconds=60,
    )
    assert str(target) in done.stdout
