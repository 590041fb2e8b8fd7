"""The workflows that `cldc init --ci` writes, executed: their own steps, from a git repository, against a real CodaLab."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from cldc import process
from cldc.sandbox import Account
from cldc.workflows import workflow
from tests.support.commands import ROOT, Cldc
from tests.support.runner import Job, Runner
from tests.support.stage import Stage

pytestmark = pytest.mark.lasts(60)
_COMMIT = "a" * 40


@dataclass
class Project:
    """A dataset repository as `cldc init` starts it, whose jobs submit with an account of their own.

    Attributes:
        folder: The repository.
        machines: Room for the machines that run its jobs.
        cldc: ``cldc`` of the account's owner.
    """

    folder: Path
    machines: Path
    cldc: Cldc
    account: Account
    environments: Path
    jobs: list[Job] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many submissions are left."""
        left: int = self.cldc("quota", "--format", "json").data["left"]
        return left

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main"]
        process.run(["git", *who, "-C", self.folder, *arguments], timeout_seconds=60)

    def tag(self, tag: str) -> None:
        """Commit everything, and tag it."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", tag)
        self.git("tag", tag)

    def job(self, tag: str, *, event: str = "push", known: bool = True) -> Job:
        """Run the job of an event about a tag on a fresh machine; without ``known`` it has no credentials."""
        path = self.folder / ".github" / "workflows" / "submit.yml"
        account = self.account
        runner = Runner(
            folder=self.machines / f"runner-{len(self.jobs)}",
            repository=self.folder,
            event={"event_name": event, "ref": f"refs/tags/{tag}", "ref_name": tag, "ref_type": "tag"},
            secrets={"CODALAB_USERNAME": account.name, "CODALAB_PASSWORD": account.password} if known else {},
            environments=self.environments,
        )
        jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
        (job,) = (job for job in jobs.values() if runner.wanted(job))
        done = runner.run(job)
        self.jobs.append(done)
        assert account.password not in done.log + done.summary + str(done.outputs)
        return done

    def gitlab_job(self, name: str, tag: str) -> Path:
        """Run the script of a GitLab job in a clone at the tag, with the tests' own cldc in place of an installed one."""
        place = self.machines / name
        process.run(["git", "clone", "-q", "--branch", tag, self.folder, place], timeout_seconds=60)
        project = tomllib.loads((place / "cldc.toml").read_text(encoding="utf-8"))
        _, text = workflow(
            "gitlab", ("me/cldc", _COMMIT), server=project["server"], competition=project["competition"]
        )
        template = yaml.safe_load(text)
        for folder in (".cldc", ".bin", "reports"):
            (place / folder).mkdir()
        (place / ".cldc" / "environments").symlink_to(self.environments, target_is_directory=True)
        cldc = place / ".bin" / "cldc"
        cldc.write_text(
            f'#!/bin/bash\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m cldc "$@"\n', encoding="utf-8"
        )
        cldc.chmod(0o755)
        process.run(
            ["bash", "-e", "-o", "pipefail", "-c", "\n".join(template[name]["script"])],
            env={
                **os.environ,
                "PATH": f"{cldc.parent}:{os.environ['PATH']}",
                **template[".cldc"]["variables"],
                "CLDC_HOME": str(place / ".cldc"),
                "CI_COMMIT_TAG": tag,
                "CODALAB_USERNAME": self.account.name,
                "CODALAB_PASSWORD": self.account.password,
            },
            cwd=place,
            timeout_seconds=900,
        )
        return place / "reports"


Start = Callable[[int], Project]


@pytest.fixture
def start(stage: Stage, tmp_path: Path) -> Start:
    """Start a project in a competition that allows so many submissions."""

    def started(allowed: int) -> Project:
        folder, account = tmp_path / "repository", stage.account()
        profile = stage.variant(f"allows-{allowed}", per_window=str(allowed), total=str(allowed + 1))
        shutil.copytree(profile.parent, folder / "profile")
        cldc = stage.person(tmp_path / "data", account, profile=profile)
        environments = stage.environments_home / "environments"
        project = Project(folder, tmp_path / "machines", cldc, account, environments)
        cldc(
            *("init", "--dataset", "drawn", "--competition", f"profile/{profile.name}"),
            *("--server", stage.address, "--institution", "Some Lab"),
            *("--ci", "github", "--action", f"me/cldc@{_COMMIT}"),
            cwd=folder,
        )
        stage.folder(folder / "drawn")
        project.git("init", "-q")
        return project

    return started


def test_a_pull_request_is_checked_and_with_credentials_shows_the_plan(start: Start) -> None:
    project = start(2)
    project.tag("proposal")
    unknown = project.job("proposal", event="pull_request", known=False)
    assert unknown.ok, unknown.log
    assert "the plan is not shown" in unknown.log
    trusted = project.job("proposal", event="pull_request")
    assert trusted.ok, trusted.log
    assert "Ready to submit." in trusted.log
    assert project.left == 2


def test_a_tag_submits_once_however_often_and_wherever_its_job_runs(start: Start) -> None:
    project = start(2)
    project.tag("submission-first")
    first = project.job("submission-first")
    assert first.ok, first.log
    outputs = first.outputs["submit"]
    assert (outputs["submission"], outputs["quota-left"]) == ("first", "1")
    assert (outputs["validation-accuracy"], outputs["label-book-accuracy"]) == ("0.25", "0.25")
    assert outputs["label-suggestions"].isdecimal()
    assert "first (Some Lab)" in first.summary
    assert outputs["bundle"] in first.summary
    reports = first.artifacts / "cldc-reports"
    report = json.loads((reports / "validation.json").read_text(encoding="utf-8"))
    assert report["dataset"]["hash"] == outputs["dataset-hash"]
    assert {"validation.html", "preflight.html"} <= {path.name for path in reports.iterdir()}
    # Another machine that knows nothing of the first; the tag alone says what was meant.
    again = project.job("submission-first")
    assert again.ok, again.log
    assert again.outputs["submit"]["bundle"] == outputs["bundle"]
    assert again.outputs["submit"]["quota-left"] == "1"
    # The same tag from another code host is the same submission.
    project.gitlab_job("check", "submission-first")
    elsewhere = json.loads(
        (project.gitlab_job("submit", "submission-first") / "submission.json").read_text(encoding="utf-8")
    )
    assert elsewhere["bundle"] == outputs["bundle"]
    assert project.left == 1


def test_a_broken_image_fails_the_job_at_its_line_and_spends_nothing(start: Start) -> None:
    project = start(2)
    next((project.folder / "drawn").rglob("*.png")).write_bytes(b"no image")
    project.tag("submission-broken")
    failed = project.job("submission-broken")
    assert failed.outcomes == ["success", "failure", "success"]
    assert "::error file=drawn/" in failed.log
    assert (failed.artifacts / "cldc-reports" / "validation.json").is_file()
    assert project.left == 2


def test_a_spent_quota_fails_the_job_and_names_the_time_of_the_next_submission(start: Start) -> None:
    project = start(1)
    project.cldc("submit", project.folder / "drawn", "--name", "last", "--yes", "--no-preflight")
    assert project.left == 0
    next((project.folder / "drawn").rglob("*.png")).unlink()
    project.tag("submission-late")
    spent = project.job("submission-late", event="release")
    assert not spent.ok
    assert "::error title=cldc quota::" in spent.log
    assert "next one is available" in spent.summary
