"""The release job, executed: the template's own steps, from a git repository with a tag, against a real CodaLab."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cldc import process
from cldc import sandbox as room
from cldc.cli.workflows import workflow
from cldc.errors import CredentialsError, NotFinished, Unreachable
from tests.conftest import ROOT, Cldc, cldc_in
from tests.runner import Job, Runner, evaluate, fill

SHAPES = ROOT / "tests" / "data" / "shapes"
TEMPLATE: dict[Any, Any] = yaml.safe_load(
    (ROOT / "templates" / "github" / "submit.yml").read_text(encoding="utf-8")
)
JOBS: dict[str, Any] = TEMPLATE["jobs"]
WORKFLOWS = [
    ROOT / "templates" / "github" / "submit.yml",
    *sorted((ROOT / ".github" / "workflows").glob("*.yml")),
    ROOT / ".github" / "actions" / "submit" / "action.yml",
]


def git(repository: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
    process.run(["git", *who, "-C", repository, *arguments], timeout_seconds=60)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory, environments_home: Path) -> Iterator[Cldc]:
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    command = cldc_in(
        tmp_path_factory.mktemp("sandbox"),
        environments_home,
        CLDC_COMPETITION=str(SHAPES / "shapes.toml"),
        CLDC_SERVER="sandbox",
    )
    command("sandbox", "up")
    yield command
    command("sandbox", "down", code=None)
    patch.undo()


@pytest.fixture(scope="module")
def repository(sandbox: Cldc, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset repository as `cldc init` starts it, for the class's own competition."""
    folder = tmp_path_factory.mktemp("repository")
    shutil.copytree(SHAPES, folder / "profile")
    # Several submissions of one account may stand side by side here: the test waits for no score between them.
    profile = folder / "profile" / "shapes.toml"
    text = profile.read_text(encoding="utf-8")
    profile.write_text(text.replace('supersedes = "account"', 'supersedes = "name"'), encoding="utf-8")
    address = sandbox("sandbox", "status", "--format", "json").data["address"]
    commit = "a" * 40
    sandbox(
        *("init", "--dataset", "drawn", "--competition", "profile/shapes.toml", "--server", address),
        *("--institution", "Some Lab", "--ci", "github", "--action", f"me/cldc@{commit}"),
        cwd=folder,
    )
    sandbox("sample", "drawn", "--images", "80", cwd=folder)
    git(folder, "init", "-q")
    return folder


Run = Callable[..., Job]


@pytest.fixture
def run(sandbox: Cldc, repository: Path, tmp_path: Path, environments_home: Path) -> Run:
    """Commits what the repository holds under a tag, and runs the job of the event on a fresh runner."""
    person = room.contestant(sandbox.home)
    assert person is not None
    runs = 0

    def start(
        tag: str, *, event: str = "push", again: bool = False, known: bool = True, wait: int = 0
    ) -> Job:
        nonlocal runs
        runs += 1
        if not again:
            git(repository, "add", "-A")
            git(repository, "commit", "-q", "--allow-empty", "-m", tag)
            git(repository, "tag", tag)
        workflow = yaml.safe_load(
            (repository / ".github" / "workflows" / "submit.yml").read_text(encoding="utf-8")
        )
        runner = Runner(
            folder=tmp_path / f"runner-{runs}",
            repository=repository,
            event={"event_name": event, "ref": f"refs/tags/{tag}", "ref_name": tag, "ref_type": "tag"},
            secrets={"CODALAB_USERNAME": person.name, "CODALAB_PASSWORD": person.password} if known else {},
            environments=environments_home / "environments",
        )
        (job,) = (job for job in workflow["jobs"].values() if runner.wanted(job))
        for step in job["steps"]:
            if wait and "cldc" in step.get("uses", ""):
                step.setdefault("with", {})["wait"] = str(wait)
        done = runner.run(job)
        assert person.password not in done.log + done.summary + str(done.outputs)
        return done

    return start


def run_gitlab(name: str, tag: str, repository: Path, place: Path, environments: Path) -> Path:
    """The script of a GitLab job, in a clone at the tag, with the tests' own cldc in place of an installed one."""
    process.run(["git", "clone", "-q", "--branch", tag, repository, place], timeout_seconds=60)
    address = tomllib.loads((place / "cldc.toml").read_text(encoding="utf-8"))["server"]
    _, text = workflow("gitlab", ("me/cldc", "a" * 40), server=address, competition="profile/shapes.toml")
    template = yaml.safe_load(text)
    (place / ".cldc").mkdir()
    (place / ".cldc" / "environments").symlink_to(environments, target_is_directory=True)
    (place / "reports").mkdir()
    bin_folder = place / ".bin"
    bin_folder.mkdir()
    script = f'#!/bin/bash\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m cldc "$@"\n'
    (bin_folder / "cldc").write_text(script, encoding="utf-8")
    (bin_folder / "cldc").chmod(0o755)
    person = room.contestant(Path(os.environ["SANDBOX_HOME"]))
    assert person is not None
    process.run(
        ["bash", "-e", "-o", "pipefail", "-c", "\n".join(template[name]["script"])],
        env={
            **os.environ,
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            **template[".cldc"]["variables"],
            "CLDC_HOME": str(place / ".cldc"),
            "CI_COMMIT_TAG": tag,
            "CODALAB_USERNAME": person.name,
            "CODALAB_PASSWORD": person.password,
        },
        cwd=place,
        timeout_seconds=900,
    )
    return place / "reports"


@pytest.mark.real
def test_a_tag_submits_once_however_often_its_job_runs(
    run: Run,
    repository: Path,
    sandbox: Cldc,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pull_request = run("proposal", event="pull_request", known=False)
    assert pull_request.ok, pull_request.log
    assert "the plan is not shown" in pull_request.log
    trusted = run("trusted-proposal", event="pull_request")
    assert trusted.ok, trusted.log
    assert "Nothing stands against it." in trusted.log
    assert sandbox("quota", "--format", "json").data["left"] == 2

    first = run("submission-first")
    assert first.ok, first.log
    told = first.outputs["submit"]
    assert told["submission"] == "first"
    assert told["quota-left"] == "1"
    assert 0 <= float(told["validation-accuracy"]) <= 1
    assert 0 <= float(told["label-book-accuracy"]) <= 1
    assert int(told["label-suggestions"]) >= 0
    assert len(told["dataset-hash"]) == 64
    assert "first \\(Some Lab\\)" in first.summary or "first (Some Lab)" in first.summary
    assert told["bundle"] in first.summary
    report = json.loads((first.artifacts / "cldc-reports" / "validation.json").read_text(encoding="utf-8"))
    assert report["dataset"]["hash"] == told["dataset-hash"]
    for page in ("validation.html", "preflight.html"):
        assert (first.artifacts / "cldc-reports" / page).is_file()

    # Another machine that knows nothing of the first; the tag alone says what was meant.
    again = run("submission-first", again=True, wait=1)
    assert again.ok, again.log
    assert "There is no score yet" in again.log
    assert again.outputs["submit"]["bundle"] == told["bundle"]
    assert again.outputs["submit"]["quota-left"] == "1"
    assert sandbox("quota", "--format", "json").data["left"] == 1

    # The same tag from another code host is the same submission.
    monkeypatch.setenv("SANDBOX_HOME", str(sandbox.home))
    shared = (sandbox.home / "environments").resolve()
    run_gitlab("check", "submission-first", repository, tmp_path / "check", shared)
    reports = run_gitlab("submit", "submission-first", repository, tmp_path / "submit", shared)
    elsewhere = json.loads((reports / "submission.json").read_text(encoding="utf-8"))
    assert elsewhere["bundle"] == told["bundle"]
    assert elsewhere["quota"]["left"] == 1

    broken = next((repository / "drawn").rglob("*.png"))
    content = broken.read_bytes()
    broken.write_bytes(b"no image")
    failed = run("submission-broken")
    assert not failed.ok
    assert "::error file=drawn/" in failed.log
    assert failed.outcomes == ["success", "failure", "success"]
    assert (failed.artifacts / "cldc-reports" / "validation.json").is_file()
    assert sandbox("quota", "--format", "json").data["left"] == 1

    broken.unlink()
    second = run("submission-second", event="release")
    assert second.ok, second.log
    assert second.outputs["submit"]["quota-left"] == "0"
    broken.with_name("new.png").write_bytes(content)
    next(p for p in (repository / "drawn").rglob("*.png") if p.name != "new.png").unlink()
    spent = run("submission-third")
    assert not spent.ok
    assert "::error title=cldc quota::" in spent.log
    assert "next place frees" in spent.summary


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
    (told,) = job.log.splitlines()
    assert told.startswith(f"::error title=cldc::The input {name} is ")
    assert not list(tmp_path.rglob("ran"))
    assert not (
        tmp_path / "runner" / "temp" / "cldc"
    ).exists()  # nothing was installed, nothing was submitted


_CODE = "x[$(touch ran)];touch ran;`touch ran`"
_STUB = '#!/bin/bash\nprintf "%s|" "$CLDC_NAME" "$@" >>"$TOLD"; echo >>"$TOLD"\n'


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


@pytest.mark.parametrize("source", ["GitHub", "GitLab"])
def test_what_a_job_is_given_reaches_cldc_as_it_is_and_is_never_run(tmp_path: Path, source: str) -> None:
    stub, work, told = tmp_path / "cldc" / "bin" / "cldc", tmp_path / "work", tmp_path / "told"
    stub.parent.mkdir(parents=True)
    stub.write_text(_STUB, encoding="utf-8")
    stub.chmod(0o755)
    (work / "reports").mkdir(parents=True)
    script, variables = _script(source)
    env = {
        **{"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": f"submission-{_CODE}", "GITHUB_OUTPUT": "/dev/null"},
        **{"CI_COMMIT_TAG": f"submission-{_CODE}", "CLDC_HOME": str(work), "REPORTS": str(work)},
        **{"RUNNER_TEMP": str(tmp_path), "TOLD": str(told), "PATH": f"{stub.parent}:{os.environ['PATH']}"},
        **variables,
    }
    process.run(["bash", "-eo", "pipefail", "-c", script], env=env, cwd=work, timeout_seconds=60)
    assert not list(tmp_path.rglob("ran"))
    called = told.read_text(encoding="utf-8").splitlines()
    assert f"{_CODE}|submit|--yes|" in "\n".join(called)
    assert source == "GitLab" or "--timeout|480|" in "\n".join(called)


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
    used = [line.split("uses:")[1].split("#")[0].strip() for line in text.splitlines() if "uses:" in line]
    assert used
    for name in used:
        assert len(name.partition("@")[2]) == 40, name


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
    assert evaluate(
        "github.event_name != 'pull_request' && steps.a.outputs.quota-left == '2'", contexts, ok=True
    )
    assert evaluate("always()", {}, ok=False)
    assert not evaluate("success() && (github.ref == 'x')", contexts, ok=True)
    assert evaluate("${{ github.none }}", contexts, ok=True) == ""
