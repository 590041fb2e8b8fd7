"""A command in a broken environment ends with a documented code, a line or two, and a next action that works."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
import pytest

from cldc.cli import cli
from tests.support.commands import ROOT

if os.name == "nt":
    pytest.skip("it forks", allow_module_level=True)

from tests.support.broken_environments import BROKEN_ENVIRONMENTS, COMPLETING, NOTHING_WRONG

pytestmark = pytest.mark.lasts(60)
EXIT_CODES = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
DOCUMENTED = {int(code) for code in re.findall(r"^\| (\d+) \|", EXIT_CODES, re.MULTILINE)}
# A bug, and signals that nobody sent.
NEVER = {70, 129, 130, 143}
# It includes what uv printed.
_MOST_LINES = {5: 14}


Outcomes = dict[tuple[str, ...], dict[str, Any]]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcomes]]:
    """How commands end in an environment, by command without the requested format."""
    driver = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.support.broken_environments",
            tmp_path_factory.mktemp("broken-environments"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    @functools.cache
    def ask(name: str) -> Outcomes:
        assert driver.stdin is not None
        assert driver.stdout is not None
        driver.stdin.write(f"{name}\n")
        driver.stdin.flush()
        found = json.loads(driver.stdout.readline())
        return {
            tuple(w for w in one["arguments"] if w not in ("json", "github", "text")): one for one in found
        }

    with driver:
        yield ask
        assert driver.stdin is not None
        driver.stdin.close()


@pytest.fixture(scope="session")
def healthy(outcomes: Callable[[str], Outcomes]) -> dict[tuple[str, ...], int]:
    """The exit code of each command if nothing is wrong except that no server answers."""
    return {arguments: outcome["code"] for arguments, outcome in outcomes(NOTHING_WRONG).items()}


@pytest.mark.parametrize("name", BROKEN_ENVIRONMENTS)
def test_broken_environments_are_reported_in_a_line_or_two(
    outcomes: Callable[[str], Outcomes], healthy: dict[tuple[str, ...], int], name: str
) -> None:
    found = outcomes(name)
    assert found
    wrong = []
    for arguments, outcome in found.items():
        complaints = [
            *shown_wrongly(
                outcome, form=BROKEN_ENVIRONMENTS[name].form, silent=BROKEN_ENVIRONMENTS[name].silent
            ),
            *(
                ()
                if outcome["code"] in (healthy[arguments], *BROKEN_ENVIRONMENTS[name].codes)
                else ["another code"]
            ),
        ]
        if complaints:
            code, shown = outcome["code"], outcome["err"] or outcome["out"][-300:]
            wrong.append(
                f"cldc {' '.join(arguments)}: {', '.join(complaints)} ({code}, not {healthy[arguments]})\n{shown}"
            )
    assert not wrong, "\n\n".join(wrong)


def shown_wrongly(outcome: dict[str, Any], *, form: str, silent: bool) -> list[str]:
    """Complaints about how a command ended."""
    code, out, err = outcome["code"], outcome["out"], outcome["err"]
    lines = [line for line in err.splitlines() if line.strip()]
    complaints = {
        "an undocumented code": code not in DOCUMENTED - NEVER,
        "a traceback": "Traceback" in out + err,
        "a log of a bug": bool(outcome["logs"]) or "bug in cldc" in err,
        "something left in the temporary folder": bool(outcome["left"]),
        "no error": code not in (0, 1) and not silent and not re.search("^Error: ", err, re.MULTILINE),
        "too many lines": code != 0 and len(lines) > _MOST_LINES.get(code, 3),
        "output on a line that is being typed": COMPLETING in outcome["arguments"]
        and err != ""
        and "standard output" not in err,
        "no JSON": form == "json" and "--format" in outcome["arguments"] and not is_json(out),
    }
    return [what for what, so in complaints.items() if so] + [
        f"no such command: {named}" for named in re.findall(r"`(cldc[^`]*)`", err) if not exists(named)
    ]


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def exists(named: str) -> bool:
    """Whether Click knows the command that an error names, and its options."""
    command: click.Command | None = cli
    for word in named.split()[1:]:
        if word.startswith("-"):
            name = word.partition("=")[0]
            known = [option for parameter in command.params for option in parameter.opts] if command else []
            if name not in (*known, "--help"):
                return False
        elif isinstance(command, click.Group):
            command = command.get_command(click.Context(command), word)
            if command is None:
                return False
    return True
