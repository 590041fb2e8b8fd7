"""`cldc clean` on a real CodaLab: what it offers, what it says of runs that are going, and what it leaves alone."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from cldc.codalab import Dependency, wait_for
from tests.support.commands import Cldc, cldc_in
from tests.support.stage import Stage, running, start, until
from tests.support.terminal import Terminal

pytestmark = pytest.mark.lasts(50)


def second_competition(stage: Stage) -> Path:
    """A competition of its own on the same server: other organisers' bundles, another tag, another board."""
    folder = stage.home / "second"
    if not folder.exists():
        shutil.copytree(stage.profile.parent, folder)
        text = (folder / "shapes.toml").read_text(encoding="utf-8")
        text = text.replace("0x5a5a", "0x6b6b").replace("shapes-", "spring-").replace("term", "spring")
        (folder / "spring.toml").write_text(text, encoding="utf-8")
        cldc_in(stage.home, stage.environments_home, CLDC_COMPETITION=str(folder / "spring.toml"))(
            "sandbox", "up"
        )
    return folder / "spring.toml"


def board(stage: Stage, profile: Path) -> dict[str, Any]:
    """What a competition's board shows of each submission, after a pass of its daemon."""
    organiser = cldc_in(
        stage.home, stage.environments_home, CLDC_COMPETITION=str(profile), CLDC_SERVER="sandbox"
    )
    rows = organiser("sandbox", "score", "--format", "json").data["rows"]
    return {row["submission"]: (row["name"], row["score"], row["hidden"]) for row in rows}


def unfinished(stage: Stage, cldc: Cldc, folder: Path) -> None:
    """A submission whose run failed."""
    with stage.failing():
        cldc("submit", folder, "--yes", "--no-preflight", code=11)


def test_a_second_competition_loses_nothing(stage: Stage, tmp_path: Path) -> None:
    """Two competitions on one server, one account: what is tagged, evaluated or begun in one is not the other's."""
    account, spring = stage.account(), second_competition(stage)
    winter = stage.person(tmp_path / "data", account)
    other = stage.person(tmp_path / "data", account, profile=spring)
    submit = ("--yes", "--no-preflight", "--format", "json")
    mine = winter("submit", stage.folder(tmp_path / "mine"), *submit).data
    gone = winter("submit", stage.folder(tmp_path / "withdrawn", 1), *submit).data
    before = board(stage, stage.profile)
    assert {mine["bundle"], gone["bundle"]} <= before.keys()
    winter("withdraw", "withdrawn", "--yes")
    unfinished(stage, winter, stage.folder(tmp_path / "begun", 2))
    winter("preflight", "--remote", stage.folder(tmp_path / "tried", 3), "--keep")
    with stage.rest(account) as rest:
        worksheets = {kept.name for kept in rest.own_worksheets()}

    unfinished(stage, other, stage.folder(tmp_path / "theirs", 4))
    used = other("submit", stage.folder(tmp_path / "used", 5), *submit).data
    other("withdraw", "used", "--yes")
    with stage.client(account) as codalab:
        by_hand = codalab.cl.new_worksheet(f"{account.name}-by-hand")
        data = Dependency("used", used["dataset"], "")
        wait_for(codalab.rest, codalab.cl.run(by_hand, "ls used", [data], name="look"))

    elsewhere = stage.person(tmp_path / "elsewhere", account, profile=spring)
    for cleaner in (other, elsewhere):  # with the ledger and without
        found = cleaner("clean", "--unfinished", "--dry-run", "--format", "json").data
        # The worksheet of what failed, with what is on it, and of the other what the run made by hand does not need.
        assert sorted(item["type"] for item in found["leftovers"]) == ["", "dataset", "make", "run", "run"]
        assert used["dataset"] not in {item["uuid"] for item in found["leftovers"]}
        assert {kept["name"] for kept in found["left_alone"]} == worksheets
    assert other("clean", "--unfinished", "--yes", "--format", "json").data["kept"] == []
    assert board(stage, stage.profile) == before
    made = {bundle.uuid for bundles in stage.made(account).values() for bundle in bundles}
    assert {mine["bundle"], mine["dataset"], gone["bundle"], gone["dataset"], used["dataset"]} <= made

    # In its own competition what was begun goes, and what was evaluated stays, although its tag is off.
    found = winter("clean", "--unfinished", "--yes", "--format", "json").data
    assert sorted(item["type"] for item in found["leftovers"]) == ["", "", "dataset", "dataset", "run", "run"]
    assert found["kept"] == []
    assert board(stage, stage.profile) == before
    assert winter("submit", tmp_path / "mine", *submit).data["again"]


def test_a_run_that_is_going_is_said_to_be_killed(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    with stage.held():
        submitting = start(stage, account, cldc.home, "submit", folder, "--yes", "--no-preflight")
        (run,) = until(lambda: running(stage, account, 1), submitting)
        submitting.kill()
        submitting.communicate()
        found = cldc("clean", "--unfinished", "--dry-run", "--format", "json").data["leftovers"]
        assert [(item["uuid"], item["state"]) for item in found if item["running"]] == [(run.uuid, "running")]
        refused = cldc("clean", "--unfinished", code=2).err
        assert "This would kill 1 run that is running, and remove 2 bundles and 1 worksheet" in refused
        env = {**stage.settings(account), "CLDC_HOME": str(cldc.home)}
        person = Terminal("clean", "--unfinished", cwd=tmp_path, columns=200, **env)
        person.answer(
            "Kill 1 run that is running, and remove 2 bundles and 1 worksheet permanently? [y/N]", "n"
        )
        assert person.end()[0] == 1
        assert "it is running and will be killed" in person.text
        assert [found.uuid for found in running(stage, account, 1)] == [run.uuid]
        removed = cldc("clean", "--unfinished", "--yes", "--format", "json").data
        assert (len(removed["gone"]), removed["kept"]) == (3, [])
    assert not any(stage.made(account).values())
