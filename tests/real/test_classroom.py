"""A class on a real CodaLab: accounts from a roster, a deadline that binds, a rejection, and the grades."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cldc
from tests.support.rehearsal import Stage, lower_stage, raise_stage

pytestmark = pytest.mark.real


@pytest.fixture
def school(tmp_path_factory: pytest.TempPathFactory, environments_home: Path) -> Iterator[Stage]:
    """A sandbox of the class's own: on the shared one other accounts submit the same images."""
    raised = raise_stage(tmp_path_factory.mktemp("school"), environments_home)
    yield raised
    lower_stage(raised)


def test_a_class_from_its_roster_to_its_grades(school: Stage, tmp_path: Path) -> None:
    shutil.copytree(school.profile.parent, tmp_path / "class")
    profile = tmp_path / "class" / school.profile.name
    text = profile.read_text(encoding="utf-8")
    profile.write_text("closes = 2026-01-01T00:00:00Z\ngrace_minutes = 5\n" + text, encoding="utf-8")
    # The deadline is long over for all but one, who has longer.
    people = {"Ada": "1000000", "Ben": "", "Cem": "1000000", "Dora": "1000000"}
    roster = tmp_path / "students.csv"
    roster.write_text(
        "name,extension_hours\n" + "".join(f"{name} K,{hours}\n" for name, hours in people.items()),
        encoding="utf-8",
    )
    teacher = Cldc(school.home, {"CLDC_COMPETITION": str(profile), "CLDC_SERVER": "sandbox"})
    listed = teacher("organise", "accounts", roster, "--format", "json").data["students"]
    assert [(each["account"], each["joined"]) for each in listed] == [
        ("ada-k", True), ("ben-k", True), ("cem-k", True), ("dora-k", True),
    ]  # fmt: skip

    for number, account in enumerate(("ada-k", "ben-k", "cem-k")):
        folder = school.folder(tmp_path / account / "mine", 0 if account == "cem-k" else number)
        teacher(
            "submit", folder, "--name", "mine", "--account", account,
            "--after-closing", "--no-preflight", "--yes",
        )  # fmt: skip
    teacher("sandbox", "score")
    assert "--yes" in teacher("organise", "reject", "cem-k/mine", "--reason", "a copy", code=2).err
    teacher("organise", "reject", "cem-k/mine", "--reason", "a copy of Ada's", "--yes")

    board = teacher("leaderboard", "--format", "json").data["rows"]
    own = {row["account"]: row for row in board if row["account"] in {each["account"] for each in listed}}
    assert own["ada-k"]["rank"] is not None
    assert (own["ben-k"]["rank"], own["ben-k"]["hidden"]) == (None, "it was tagged after the deadline")
    assert "a copy of Ada's" in own["cem-k"]["hidden"]
    assert "a copy of Ada's" in teacher("status", "--account", "cem-k").out

    rows = list(csv.DictReader(teacher("organise", "grades", "--format", "csv").out.splitlines()))
    grades = {row["account"]: row for row in rows if row["name"]}
    assert list(grades) == ["ada-k", "ben-k", "cem-k", "dora-k"]
    assert 0 <= float(grades["ada-k"]["score"]) <= 1
    assert 0 <= float(grades["ada-k"]["label_book"]) <= 1
    assert (grades["ada-k"]["shared_with"], grades["cem-k"]["shared_with"]) == ("cem-k", "ada-k")
    assert (grades["ben-k"]["score"], grades["ben-k"]["late"]) == ("", "1")
    assert (grades["cem-k"]["score"], grades["cem-k"]["hidden"]) == ("", "1")
    assert grades["dora-k"]["submissions"] == "0"

    teacher("organise", "reject", "cem-k/mine", "--undo")
    board = teacher("leaderboard", "--format", "json").data["rows"]
    assert next(row for row in board if row["account"] == "cem-k")["rank"] is not None
