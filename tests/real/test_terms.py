"""A teacher's terms on one real CodaLab: two competitions of one account side by side, and scores that are corrected."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cldc.codalab import Bundle
from cldc.sample import draw_label_book
from cldc.sandbox import Account
from tests.support.commands import Cldc
from tests.support.stage import Stage, environment, lower_stage, python, raise_stage, until

pytestmark = pytest.mark.lasts(200)
TERMS = ("winter", "spring")


@dataclass(frozen=True, slots=True)
class School:
    """A CodaLab with two competitions of one teacher, an ordinary account, and a student who takes part in both."""

    stage: Stage
    folder: Path
    teacher: Account
    student: Account

    def profile(self, term: str) -> Path:
        return self.folder / "class" / f"{term}.toml"

    def as_teacher(self, term: str, machine: str = "teacher") -> Cldc:
        return self._person(self.teacher, machine, term)

    def as_student(self, term: str) -> Cldc:
        return self._person(self.student, "student", term)

    def _person(self, account: Account, machine: str, term: str) -> Cldc:
        profile = self.profile(term)
        return self.stage.person(
            self.folder / machine, account, profile=profile if profile.is_file() else None
        )

    def sets_up(self, term: str, *options: str | Path, machine: str = "teacher") -> Any:
        return self.as_teacher(term, machine)(
            *("organise", "init", "--profile", self.profile(term), "--no-rehearsal", "--format", "json"),
            *options,
        ).data  # fmt: skip


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory, environments_home: Path) -> Iterator[School]:
    stage = raise_stage(tmp_path_factory.mktemp("stage"), environments_home)
    folder = tmp_path_factory.mktemp("school")
    made = School(stage, folder, stage.account(), stage.account())
    rules = stage.competition
    draw_label_book(folder / "book", rules, images=8)
    draw_label_book(folder / "hidden", rules, images=8, seed=2)
    named = ("--label-book", folder / "book", "--test-set", folder / "hidden")
    for term in TERMS:
        made.sets_up(
            term, *named, "--script", stage.profile.parent / "learn.py", "--competition", stage.profile
        )
    yield made
    lower_stage(stage)


def test_two_competitions_of_one_account_leave_each_other_alone(school: School, tmp_path: Path) -> None:
    """One dataset is submitted to both, scored in both at the same time, and withdrawn from one."""
    mine = school.stage.folder(tmp_path / "mine")
    for term in TERMS:
        submits(school, term, mine)
        assert len(school.as_student(term)("quota", "--format", "json").data["spent"]) == 1

    daemons = {term: starts(school, term, "score") for term in TERMS}
    for daemon in daemons.values():
        said, _ = daemon.communicate(timeout=300)
        assert daemon.returncode == 0, said
    rows = {term: board(school, term) for term in TERMS}
    assert [[(row["account"], row["rank"]) for row in rows[term]] for term in TERMS] == [
        [(school.student.name, 1)]
    ] * 2
    assert rows["winter"][0]["submission"] != rows["spring"][0]["submission"]

    school.as_student("winter")("withdraw", "mine", "--yes")
    school.as_student("winter")("clean", "--unfinished", "--yes")
    (status,) = school.as_student("spring")("status", "--format", "json").data["submissions"]
    assert status["name"] == "mine"
    assert len(school.as_student("spring")("quota", "--format", "json").data["spent"]) == 1
    assert school.as_student("spring")("clean", "--dry-run", "--format", "json").data["leftovers"] == []
    with school.stage.rest(school.student) as rest:
        assert len(rest.bundle(rows["spring"][0]["submission"]).tags) == 1
    school.as_teacher("spring")("organise", "score")
    assert board(school, "spring") == rows["spring"]


def test_a_score_stays_until_the_corrected_one_is_there(school: School, tmp_path: Path) -> None:
    submits(school, "spring", school.stage.folder(tmp_path / "other", 1), name="other")
    teacher = school.as_teacher("spring")
    with school.stage.held():
        scoring = starts(school, "spring", "score")
        assert scoring.stdout is not None
        assert any("1 training: about" in line for line in scoring.stdout)
    scoring.communicate(timeout=300)
    before = {row["name"]: row["score"] for row in board(school, "spring")}
    assert before["other"] == 2 / 8
    assert "Everything is scored" in teacher("organise", "rescore", "--all").out

    # The hidden test set had a wrong image.
    shutil.copytree(school.folder / "hidden", tmp_path / "hidden")
    next((tmp_path / "hidden" / "z").iterdir()).unlink()
    done = school.sets_up("spring", "--test-set", tmp_path / "hidden", "--replace", "--yes")
    assert "rescore --all" in done["remarks"][-1]
    assert "--yes" in teacher("organise", "rescore", "--all", code=2).err
    with school.stage.held():
        killed = starts(school, "spring", "rescore", "--all", "--yes")
        begun = until(lambda: evaluations(school, "eval-spring-again"), killed)
        killed.kill()
        killed.communicate()
        assert {row["name"]: row["score"] for row in scored_once(school, "spring")} == before
    # What had begun is not begun again.
    done = teacher("organise", "rescore", "--all", "--yes", "--format", "json").data
    assert {each["name"]: (each["before"], each["score"]) for each in done["rescored"]} == dict.fromkeys(
        before, (2 / 8, 2 / 7)
    )
    assert done["not_repeated"] == []
    assert {b.uuid for b in begun} <= {b.uuid for b in evaluations(school, "eval-spring")}
    assert (len(evaluations(school, "eval-spring")), evaluations(school, "eval-spring-again")) == (
        len(before),
        [],
    )
    assert "Everything is scored" in teacher("organise", "rescore", "--all").out

    # One that fails loses nothing.
    with school.stage.failing():
        kept = teacher("organise", "rescore", "other", "other", "--yes", "--format", "json").data
    assert (kept["rescored"][0]["score"], len(kept["not_repeated"])) == (2 / 7, 1)
    assert "left no score" in kept["not_repeated"][0]["reason"]
    assert {row["score"] for row in board(school, "spring")} == {2 / 7}


def test_scores_of_a_corrected_evaluation_script_take_no_training(school: School, tmp_path: Path) -> None:
    submits(school, "spring", school.stage.folder(tmp_path / "judged", 5), name="judged")
    teacher = school.as_teacher("spring")
    teacher("organise", "score")
    before = {row["name"]: row["score"] for row in board(school, "spring")}
    trained = evaluations(school, "predict-spring")
    text = (school.folder / "class" / "evaluate.py").read_text(encoding="utf-8")
    corrected = tmp_path / "evaluate.py"
    corrected.write_text(text.replace("/ len(labels)", "/ len(labels) / 2"), encoding="utf-8")
    done = school.sets_up("spring", "--evaluate", corrected, "--replace", "--yes")
    assert done["created"] == ["evaluate"]
    assert "rescore --all" in done["remarks"][-1]
    done = teacher("organise", "rescore", "--all", "--yes", "--format", "json").data
    assert {each["name"]: each["score"] for each in done["rescored"]} == {
        name: score / 2 for name, score in before.items()
    }
    assert done["not_repeated"] == []
    assert {b.uuid for b in evaluations(school, "predict-spring")} == {b.uuid for b in trained}
    assert "Everything is scored" in teacher("organise", "rescore", "--all").out


def submits(school: School, term: str, folder: Path, name: str = "mine") -> None:
    school.as_student(term)("submit", folder, "--name", name, "--no-preflight", "--yes")


def starts(school: School, term: str, *arguments: str) -> subprocess.Popen[str]:
    """A command of the teacher's, at work in the background."""
    teacher = school.as_teacher(term)
    return subprocess.Popen(
        [python(), "-m", "cldc", "organise", *arguments],
        env=environment(teacher.home, teacher.extra),
        cwd=teacher.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def board(school: School, term: str) -> Any:
    """The board of the last pass."""
    published = school.as_teacher(term)("organise", "publish", school.folder / term, "--format", "json").data
    return published["leaderboard"]["rows"]


def scored_once(school: School, term: str) -> Any:
    """The board of a pass of its own."""
    return school.as_teacher(term)("organise", "score", "--once", "--format", "json").data["leaderboard"][
        "rows"
    ]


def evaluations(school: School, tag: str) -> list[Bundle]:
    with school.stage.rest(school.teacher) as rest:
        return list(rest.search(tag=tag, owner=school.teacher.name))


def test_a_term_is_archived_and_the_next_one_starts_empty_on_the_same_server(
    school: School, tmp_path: Path
) -> None:
    submits(school, "spring", school.stage.folder(tmp_path / "last", 2), name="last")
    teacher, archive = school.as_teacher("spring"), tmp_path / "archive"
    teacher("organise", "score")
    before = board(school, "spring")
    teacher("organise", "archive", archive)
    names = {path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()}
    assert names == {
        *("index.html", "leaderboard.json", "grades.csv", "grades.json", "backup.zip"),
        *("profile/spring.toml", "profile/spring.py", "profile/evaluate.py"),
    }
    (grade,) = json.loads((archive / "grades.json").read_text())["grades"]
    assert (grade["account"], grade["submissions"]) == (school.student.name, len(before))
    assert "--yes" in teacher("organise", "archive", archive, code=2).err

    # No file is named again.
    summer = school.sets_up("summer", "--competition", school.profile("spring"))
    assert {"script", "label_book", "test_set", "evaluate"} <= set(summer["created"])
    school.as_teacher("summer")("organise", "score", "--once")
    assert board(school, "summer") == []
    submits(school, "summer", school.stage.folder(tmp_path / "again", 2), name="last")
    school.as_teacher("summer")("organise", "score")
    assert [row["name"] for row in board(school, "summer")] == ["last"]
    school.as_teacher("spring")("organise", "score", "--once")
    assert board(school, "spring") == before


def test_a_lost_machine_is_restored_elsewhere_and_scoring_goes_on(school: School, tmp_path: Path) -> None:
    submits(school, "winter", school.stage.folder(tmp_path / "first", 3), name="first")
    school.as_teacher("winter")("organise", "score")
    before = board(school, "winter")
    school.as_teacher("winter")(
        "organise", "reject", f"{school.student.name}/first", "--reason", "a copy", "--yes"
    )
    saved = tmp_path / "winter.zip"
    school.as_teacher("winter")("organise", "backup", saved)
    shutil.rmtree(school.folder / "teacher" / "organise" / "winter")
    school.profile("winter").unlink()

    elsewhere = school.as_teacher("winter", "elsewhere")
    output = elsewhere("organise", "restore", saved, "--to", school.profile("winter").parent).out
    assert "files of winter restored" in output
    assert f"cldc trust approve {school.profile('winter')}" in output
    elsewhere = school.as_teacher("winter", "elsewhere")
    assert elsewhere("organise", "score", "--once", "--format", "json").data["leaderboard"]["rows"] != before
    elsewhere("organise", "reject", f"{school.student.name}/first", "--undo")
    published = elsewhere("organise", "publish", tmp_path / "board", "--format", "json").data
    assert published["leaderboard"]["rows"] == before
    submits(school, "winter", school.stage.folder(tmp_path / "next", 4), name="next")
    rows = elsewhere("organise", "score", "--format", "json").data["leaderboard"]["rows"]
    assert {row["name"] for row in rows if row["rank"]} == {row["name"] for row in before} | {"next"}
