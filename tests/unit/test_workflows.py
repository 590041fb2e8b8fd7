"""The release job, executed: the template's own steps, from a git repository with a tag, against a real CodaLab."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from cldc import process
from cldc.errors import CredentialsError, NotFinished, Unreachable
from tests.support.commands import ROOT
from tests.support.runner import Runner, evaluate, fill

TEMPLATE: dict[Any, Any] = yaml.safe_load(
    (ROOT / "templates" / "github" / "submit.yml").read_text(encoding="utf-8")
)
JOBS: dict[str, Any] = TEMPLATE["jobs"]
WORKFLOWS = [
    *sorted((ROOT / "templates" / "github").glob("*.yml")),
    *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
    ROOT / ".github" / "actions" / "submit" / "action.yml",
]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wait", "x[$(touch ran)]"),
        ("wait", "1\n::set-output name=bundle::0x1"),
        ("wait", "-1"),
        ("wait", ""),
        ("dry-run", "True"),
        ("preflight", "no"),
        ("supersede", "yes"),
    ],
)
def test_the_action_refuses_an_input_that_is_not_what_it_counts_or_decides_with(
    tmp_path: Path, name: str, value: str
) -> None:
    runner = Runner(tmp_path / "runner", tmp_path, {}, {}, tmp_path)
    job = runner.run(
        {"steps": [{"uses": f"me/cldc/.github/actions/submit@{'a' * 40}", "with": {name: value}}]}
    )
    assert not job.ok
    (line,) = job.log.splitlines()
    assert line.startswith(f"::error title=cldc::The input {name} is ")
    assert not list(tmp_path.rglob("ran"))
    assert not (
        tmp_path / "runner" / "temp" / "cldc"
    ).exists()  # nothing was installed, nothing was submitted


_CODE = "x[$(touch ran)];touch ran;`touch ran`"
_STUB = '#!/bin/bash\nprintf "%s|" "$CLDC_NAME" "$@" >>"$CALLS"; echo >>"$CALLS"\n'


def _script(source: str) -> tuple[str, dict[str, str]]:
    """What a job runs once cldc is installed, and the variables that hold what others chose."""
    if source == "GitLab":
        template = yaml.safe_load(
            (ROOT / "templates" / "gitlab" / "submit.gitlab-ci.yml").read_text(encoding="utf-8")
        )
        return "\n".join(template["check"]["script"] + template["submit"]["script"]), {}
    action = yaml.safe_load(WORKFLOWS[-1].read_text(encoding="utf-8"))
    steps = [step for step in action["runs"]["steps"] if "run" in step and step.get("id") != "install"]
    defaults = {name: spec["default"] for name, spec in action["inputs"].items()}
    variables = {
        variable: defaults[expression.split("inputs.")[1].removesuffix(" }}")] or _CODE
        for step in steps
        for variable, expression in step["env"].items()
        if "inputs." in expression
    }
    return "\n".join(step["run"] for step in steps), {**variables, "WAIT": "08"}


@pytest.mark.parametrize(
    ("source", "called"),
    [("GitHub", ("|submit|--yes|", "--timeout|480|")), ("GitLab", ("|submit|--yes|",))],
    ids=["GitHub", "GitLab"],
)
def test_what_a_job_is_given_reaches_cldc_as_it_is_and_is_never_run(
    tmp_path: Path, source: str, called: tuple[str, ...]
) -> None:
    stub, work, record = tmp_path / "cldc" / "bin" / "cldc", tmp_path / "work", tmp_path / "record"
    stub.parent.mkdir(parents=True)
    stub.write_text(_STUB, encoding="utf-8")
    stub.chmod(0o755)
    (work / "reports").mkdir(parents=True)
    script, variables = _script(source)
    env = {
        **{"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": f"submission-{_CODE}", "GITHUB_OUTPUT": "/dev/null"},
        **{"CI_COMMIT_TAG": f"submission-{_CODE}", "CLDC_HOME": str(work), "REPORTS": str(work)},
        **{"RUNNER_TEMP": str(tmp_path), "CALLS": str(record), "PATH": f"{stub.parent}:{os.environ['PATH']}"},
        **variables,
    }
    process.run(["bash", "-eo", "pipefail", "-c", script], env=env, cwd=work, timeout_seconds=60)
    assert not list(tmp_path.rglob("ran"))
    calls = record.read_text(encoding="utf-8")
    assert f"{_CODE}{called[0]}" in calls
    assert [words for words in called if words not in calls] == []


def test_the_workflows_fetch_images_that_lie_in_git_lfs() -> None:
    steps = [step for job in JOBS.values() for step in job["steps"]]
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"]["lfs"] is True for step in checkouts)
    gitlab = (ROOT / "templates" / "gitlab" / "submit.gitlab-ci.yml").read_text(encoding="utf-8")
    assert yaml.safe_load(gitlab)[".cldc"]["variables"]["GIT_LFS_SKIP_SMUDGE"] == "false"


def test_the_workflow_is_bounded_and_reads_only() -> None:
    assert TEMPLATE["permissions"] == {}
    for job in JOBS.values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 360
    assert JOBS["submit"]["environment"] == "codalab"
    assert JOBS["submit"]["concurrency"] == {"group": "cldc-submit", "cancel-in-progress": False}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    used = [
        line.split("uses:")[1].split("#")[0].strip()
        for line in text.splitlines()
        if re.match(r"[ -]*uses:", line)
    ]
    assert used
    for name in used:
        assert name.startswith("$/") or len(name.partition("@")[2]) == 40, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_zizmor_finds_nothing(path: Path, tmp_path: Path) -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    done = process.run(
        [zizmor, "--offline", "--no-progress", "--quiet", path],
        cwd=tmp_path,
        timeout_seconds=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# Stands in for cldc in the action's script: `watch` ends with $WATCH, `submit` leaves outputs as it does.
STUB = """#!/bin/bash
echo "cldc $*"
case $1 in
  submit) printf 'name=mine\\nbundle=0x5\\n' >>"$GITHUB_OUTPUT" ;;
  watch) exit "$WATCH" ;;
esac
"""


@pytest.mark.parametrize(
    ("watch", "code", "said"),
    [
        (0, 0, "cldc status"),
        (NotFinished.code, 0, "::notice title=cldc::There is no score yet"),
        (Unreachable.code, 9, "waiting for its score failed (exit code 9)"),
        (CredentialsError.code, 7, "waiting for its score failed (exit code 7)"),
    ],
)
def test_the_action_calls_only_a_timeout_no_score_yet(
    tmp_path: Path, watch: int, code: int, said: str
) -> None:
    action = yaml.safe_load((ROOT / ".github/actions/submit/action.yml").read_text(encoding="utf-8"))
    (step,) = (step for step in action["runs"]["steps"] if step.get("id") == "cldc")
    stub = tmp_path / "cldc" / "bin" / "cldc"
    stub.parent.mkdir(parents=True)
    stub.write_text(STUB, encoding="utf-8")
    stub.chmod(0o755)
    inputs = {name: str(spec["default"]) for name, spec in action["inputs"].items()}
    outputs = {"home": str(tmp_path / "home"), "reports": str(tmp_path)}
    contexts = {"inputs": {**inputs, "wait": "2"}, "steps": {"install": {"outputs": outputs}}}
    done = process.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        env={
            **os.environ,
            **{name: fill(value, contexts) for name, value in step["env"].items()},
            "RUNNER_TEMP": str(tmp_path),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_REF_TYPE": "branch",
            "WATCH": str(watch),
        },
        timeout_seconds=60,
        check=False,
    )
    assert done.returncode == code, done
    assert said in done.stdout
    assert "cldc watch 0x5 --no-input --timeout 120" in done.stdout
    assert ("There is no score yet" in done.stdout) == (watch == NotFinished.code)
    assert done.stdout.splitlines()[-1].startswith("cldc status")


def test_the_runner_reads_expressions_as_github_does() -> None:
    contexts = {"github": {"event_name": "push"}, "steps": {"a": {"outputs": {"quota-left": "2"}}}}
    assert evaluate("github.event_name != 'pull_request'", contexts, ok=True)
    assert evaluate("steps.a.outputs.quota-left == '2'", contexts, ok=True)
    assert not evaluate("github.ref == 'x'", contexts, ok=True)
    assert evaluate("always()", {}, ok=False)
    assert not evaluate("success()", {}, ok=False)
    assert evaluate("${{ github.none }}", contexts, ok=True) == ""
    with pytest.raises(ValueError, match="does not know"):
        evaluate("contains(github.ref, 'x')", contexts, ok=True)
