"""Runs that fail through no fault of the dataset: a dependency that a worker lost, computing time that is used up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cldc.ledger import Ledger
from tests.support.stage import (
    Stage,
    assert_exactly_once,
    change,
    killed,
    lose_ledger,
    running,
    start,
    until,
)


def test_without_computing_time_nothing_is_uploaded(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    change(stage, "UPDATE user SET time_used = time_quota WHERE user_name = ?", account.name)
    plan = cldc("submit", folder, "--dry-run", "--format", "json", code=8).data
    (refusal,) = (check["refusal"] for check in plan["checks"] if check["refusal"])
    assert "has used up its computing time" in refusal
    assert (
        "Ask the server's operators for more computing time."
        in cldc("submit", folder, "--dry-run", code=8).out
    )
    for command in (("submit", folder, "--yes", "--no-preflight"), ("preflight", folder, "--remote")):
        assert "has used up its computing time" in cldc(*command, code=8).err
    assert not any(stage.made(account).values())
    # Its own runs say how much is too little.
    change(stage, "UPDATE user SET time_used = 0 WHERE user_name = ?", account.name)
    cldc("submit", folder, "--yes", "--no-preflight")
    with Ledger(cldc.home) as ledger:
        (record,) = ledger.records()
        ledger.finish(record.id, "train", {**ledger.steps(record.id)["train"].result, "seconds": "600"})
    change(stage, "UPDATE user SET time_quota = time_used + 300 WHERE user_name = ?", account.name)
    refused = cldc("submit", stage.folder(tmp_path / "more", 1), "--yes", "--no-preflight", code=8)
    assert "going by its earlier runs this one takes at least 10 min, and would be killed" in refused.err


def test_a_run_killed_for_the_time_quota_is_no_failed_run(stage: Stage, tmp_path: Path) -> None:
    account = stage.account()
    home = stage.person(tmp_path / "data", account).home
    one, other = stage.folder(tmp_path / "one"), stage.folder(tmp_path / "other", 1)
    commands = (("submit", one, "--yes", "--no-preflight"), ("preflight", "--remote", other))
    for command in commands:
        change(stage, "UPDATE user SET time_quota = time_used + 3600 WHERE user_name = ?", account.name)
        with stage.held():
            at_work = start(stage, account, home, *command)
            until(lambda: running(stage, account, 1), at_work)
            change(stage, "UPDATE user SET time_quota = 0 WHERE user_name = ?", account.name)
            _, said = at_work.communicate(timeout=120)
        assert at_work.returncode == 8, said
        assert "Kill requested: User time quota exceeded" in said
        assert "Ask the server's operators for more computing time." in said
    assert not stage.made(account)["tagged"]
    change(stage, "UPDATE user SET time_quota = time_used + 3600 WHERE user_name = ?", account.name)
    cldc = stage.person(tmp_path / "data", account)
    cldc(*commands[0])
    cldc("clean", "--yes")
    assert_exactly_once(stage, account)


def test_a_run_that_lost_a_dependency_is_made_once_more(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    submit = ("submit", folder, "--yes", "--no-preflight")
    with stage.losing("learn", times=2):
        refused = cldc(*submit, code=11)
    assert "The worker lost mine/mine/learn, which the run depends on and the server has" in refused.err
    assert "Nothing is wrong with the dataset." in refused.err
    assert len(stage.made(account)["run"]) == 2
    (status,) = cldc("status", "--format", "json").data["submissions"]
    assert "the server's workers lose what runs depend on" in status["detail"]
    with stage.losing("learn", times=1):
        assert "starting the run once more" in cldc(*submit).err
    assert len(stage.made(account)["run"]) == 4
    assert len(stage.made(account)["dataset"]) == 1
    cldc("clean", "--yes")
    assert_exactly_once(stage, account)

    # A path that the dataset lacks is no lost dependency.
    with stage.losing("absent", times=2):
        failed = cldc("submit", stage.folder(tmp_path / "other", 1), "--yes", "--no-preflight", code=11)
        assert "The worker lost" not in failed.err
        assert "FileNotFoundError" in failed.err
        there = cldc("preflight", "--remote", stage.folder(tmp_path / "third", 2), code=6)
        assert "FileNotFoundError" in there.err


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("ledger", ["kept", "lost"])
def test_killed_while_it_makes_a_run_once_more_it_makes_no_third(
    stage: Stage, tmp_path: Path, when: str, ledger: str
) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    with stage.losing("learn", times=1):
        past = tmp_path / "past"
        moment = f"{when} record lost dependency"
        assert killed(cldc, past, "submit", folder, "--yes", "--no-preflight", moment=moment)
    if ledger == "lost":
        lose_ledger(cldc)
    cldc("submit", folder, "--yes", "--no-preflight")
    assert len(stage.made(account)["run"]) == 2
    cldc("clean", "--yes")
    assert_exactly_once(stage, account)


def test_a_remote_preflight_that_lost_a_dependency_is_made_once_more(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    with stage.losing("check", times=2):
        refused = cldc("preflight", "--remote", folder, code=11)
    assert "Nothing is wrong with the dataset." in refused.err
    with stage.losing("check", times=1):
        done = cldc("preflight", "--remote", folder, "--format", "json")
    assert "The worker of mine lost mine/mine/check" in done.err
    assert json.loads(done.out)["validation"]["accuracy"] == 0.25
    assert not any(stage.made(account).values())
