"""A class on a real CodaLab: accounts from a roster, a deadline that binds, a rejection, and the grades."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cldc import sandbox
from tests.conftest import Cldc
from tests.support.deployed import deployed_stage
from tests.support.rehearsal import Stage, lower_stage, raise_stage

pytestmark = pytest.mark.real


@pytest.fixture(params=["sandbox", "deployed"])
def school(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, environments_home: Path
) -> Iterator[Stage]:
    """A server of the class's own: on the shared one other accounts submit the same images."""
    home = tmp_path_factory.mktemp("school")
    if request.param == "deployed":
        with deployed_stage(home, environments_home) as stage:
            yield stage
        return
    raised = raise_stage(home, environments_home)
    yield raised
    lower_stage(raised)


def test_a_class_from_its_roster_to_its_grades(school: Stage, tmp_path: Path) -> None:
    shutil.copytree(school.profile.parent, tmp_path / "class")
    profile = tmp_path / "class" / school.profile.name
    text = profile.read_text(encoding="utf-8").replace("grace_minutes = 0\n", "")
    profile.write_text("closes = 2026-01-01T00:00:00Z\ngrace_minutes = 5\n" + text, encoding="utf-8")
    # The deadline is long over for all but one, who has longer.
    people = {"Ada": "1000000", "Ben": "", "Cem": "1000000", "Dora": "1000000", "Eve": "1000000"}
    roster = tmp_path / "students.csv"
    roster.write_text(
        "name,extension_hours\n" + "".join(f"{name} K,{hours}\n" for name, hours in people.items()),
        encoding="utf-8",
    )
    teacher = school.organiser(profile)
    listed = teacher("organise", "accounts", roster, "--format", "json").data["students"]
    if school.published:  # there everyone signs up
        assert not any(each["joined"] for each in listed)
        assert f"sign up at {school.address}" in teacher("organise", "accounts").out
    accounts = {each["account"]: sandbox.add_account(school.home, each["account"]) for each in listed}
    listed = teacher("organise", "accounts", "--format", "json").data["students"]
    assert [(each["account"], each["joined"]) for each in listed] == [
        ("ada-k", True), ("ben-k", True), ("cem-k", True), ("dora-k", True), ("eve-k", True),
    ]  # fmt: skip

    def student(name: str) -> Cldc:
        if school.published:
            return school.person(tmp_path / name / "data", accounts[name], profile=profile)
        # Whoever knows the sandbox by its address alone sees no board.
        settings = school.settings(accounts[name], server="sandbox", profile=profile)
        return Cldc(school.home, settings)

    def submit(account: str, dataset: int) -> None:
        folder = school.folder(tmp_path / account / "mine", dataset)
        student(account)("submit", folder, "--name", "mine", "--after-closing", "--no-preflight", "--yes")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(submit, ("ada-k", "ben-k", "cem-k", "eve-k"), (0, 1, 0, 2)))
    school.score(profile)
    assert "--yes" in teacher("organise", "reject", "cem-k/mine", "--reason", "a copy", code=2).err
    teacher("organise", "reject", "cem-k/mine", "--reason", "a copy of Ada's", "--yes")

    board = published(school, teacher)
    own = {row["account"]: row for row in board if row["account"] in {each["account"] for each in listed}}
    assert own["ada-k"]["rank"] is not None
    assert (own["ben-k"]["rank"], own["ben-k"]["hidden"]) == (None, "it was tagged after the deadline")
    assert "a copy of Ada's" in own["cem-k"]["hidden"]
    assert "a copy of Ada's" in student("cem-k")("status").out

    rows = list(csv.DictReader(teacher("organise", "grades", "--format", "csv").out.splitlines()))
    grades = {row["account"]: row for row in rows if row["name"]}
    assert list(grades) == ["ada-k", "ben-k", "cem-k", "dora-k", "eve-k"]
    assert 0 <= float(grades["ada-k"]["score"]) <= 1
    assert 0 <= float(grades["ada-k"]["label_book"]) <= 1
    assert (grades["ada-k"]["shared_with"], grades["cem-k"]["shared_with"]) == ("cem-k", "ada-k")
    assert (grades["ben-k"]["score"], grades["ben-k"]["late"]) == ("", "1")
    assert (grades["cem-k"]["score"], grades["cem-k"]["hidden"]) == ("", "1")
    assert (grades["eve-k"]["score"], grades["eve-k"]["shared_with"]) == (grades["ada-k"]["score"], "")
    assert grades["dora-k"]["submissions"] == "0"

    teacher("organise", "reject", "cem-k/mine", "--undo")
    board = published(school, teacher)
    assert next(row for row in board if row["account"] == "cem-k")["rank"] is not None


def published(school: Stage, teacher: Cldc) -> list[dict[str, Any]]:
    """The rows of the board that everyone sees."""
    if school.published:
        teacher("organise", "publish", school.published)
    rows: list[dict[str, Any]] = teacher("leaderboard", "--format", "json").data["rows"]
    return rows
