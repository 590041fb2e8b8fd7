"""The release job, executed: the template's own steps, from a git repository with a tag, against a real CodaLab."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from cldc import process
from cldc import sandbox as room
from cldc.workflows import workflow
from tests.conftest import ROOT, SHAPES, Cldc, cldc_in
from tests.support.runner import Job, Runner


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
    assert "Ready to submit." in trusted.log
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
    assert "next one is available" in spent.summary
