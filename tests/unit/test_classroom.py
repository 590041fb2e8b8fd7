"""A class behind a competition: the roster, deadlines that bind, and grades."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc.competition import Competition
from cldc.errors import ConfigurationError
from cldc.leaderboard import NOT_PUBLIC, Row, parse
from cldc.organise.grades import SubmittedRun, grade
from cldc.organise.model import BOARD
from cldc.organise.roster import Student, read_roster, write_roster
from cldc.organise.rulings import LATE, Deadline, Sighting, is_late, record_pass, reject, rule_on, sightings
from tests.support.commands import Cldc

NOON = datetime(2027, 2, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
_TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=8).map(str.strip)


@given(
    st.lists(
        st.builds(
            Student,
            _TEXT.filter(bool),
            st.from_regex(r"[a-z][a-z0-9._-]{0,8}", fullmatch=True),
            _TEXT,
            st.sampled_from(["", "0", "24", "1.5"]),
        ),
        unique_by=lambda student: student.account,
    )
)
def test_a_roster_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, students: list[Student]
) -> None:
    path = tmp_path_factory.mktemp("roster") / "roster.csv"
    write_roster(path, students)
    assert path.stat().st_mode & 0o077 == 0
    assert list(read_roster(path)) == students


def test_a_spreadsheets_list_of_names_becomes_a_roster(tmp_path: Path) -> None:
    path = tmp_path / "students.csv"
    path.write_bytes("\ufeffName;Group\r\nAnn Ås;red\r\nAnn As;\r\n;\r\n".encode())
    assert read_roster(path) == (Student("Ann Ås", "ann-as", "red"), Student("Ann As", "ann-as-2"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("account\nann\n", "no column `name`"),
        ("name,account\nAnn,a b\n", "Line 2 of .* has the account 'a b', which CodaLab does not allow"),
        ("name,account\nAnn,ann\nBob,ann\n", "Line 3 .* which an earlier line has"),
        ("name,extension_hours\nAnn,soon\n", "not a number of hours"),
        ("name,extension_hours\nAnn,-1\n", "negative extension"),
        ("name,account\n,ann\n", "Line 2 .* has no name"),
        ('name,account\nAnn,"ann\n', "Line 2 .* can't be read"),
    ],
)
def test_a_roster_with_a_mistake_is_refused_by_its_line(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "students.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=problem):
        read_roster(path)


@given(tagged=st.integers(-60, 60), first=st.integers(-120, 120), every=st.integers(1, 60))
def test_what_was_tagged_in_time_is_never_late_and_what_was_tagged_a_pass_later_always(
    tagged: int, first: int, every: int
) -> None:
    """Passes start at ``first`` and then every so many minutes; the deadline is at 0."""
    starts = [first + every * number for number in range(300)]
    seen = next(start for start in starts if start >= tagged)
    before = [start for start in starts if start < seen]
    sighting = Sighting(NOON + MINUTE * before[-1] if before else None, NOON + MINUTE * seen)
    late = is_late(NOON - timedelta(days=1), sighting, NOON)
    if tagged <= 0:
        assert not late
    if before and before[-1] > 0:
        assert late


@pytest.mark.parametrize(("minutes", "late"), [(-1, False), (1, True)])
def test_what_no_pass_has_seen_is_late_by_its_creation(*, minutes: int, late: bool) -> None:
    assert is_late(NOON + minutes * MINUTE, None, NOON) == late


def test_a_pass_records_once_between_which_two_passes_a_submission_was_tagged(tmp_path: Path) -> None:
    record_pass(tmp_path, ["a"], NOON)
    record_pass(tmp_path, ["a", "b"], NOON + MINUTE)
    record_pass(tmp_path, ["b"], NOON + 2 * MINUTE)
    assert sightings(tmp_path) == {"a": Sighting(None, NOON), "b": Sighting(NOON, NOON + MINUTE)}


def _entry(uuid: str, account: str, score: float, created: datetime) -> dict[str, object]:
    return {
        "bundle": {
            "id": f"evaluation-{uuid}",
            "state": "ready",
            "metadata": {"name": "x", "description": json.dumps({"submit_id": uuid})},
        },
        "submission": {
            "user_name": account,
            "description": f"{uuid} (Lab) ",
            "created": created.timestamp(),
            "public": True,
        },
        "scores": {"accuracy": score},
    }


def test_late_and_rejected_submissions_are_off_the_board_with_the_reason(
    tmp_path: Path, shapes: Competition
) -> None:
    entries = [
        _entry("late", "ann", 0.9, NOON + MINUTE),
        _entry("extended", "bob", 0.8, NOON + MINUTE),
        _entry("bad", "cem", 0.7, NOON),
        _entry("good", "dan", 0.6, NOON),
    ]
    board = {
        "config": {"score_specs": [{"name": "accuracy"}]},
        "leaderboard": entries,
        "updated": NOON.timestamp(),
    }
    reject(tmp_path, "bad", "not your own images")
    reject(tmp_path, "good", "a slip")
    reject(tmp_path, "good", None)
    closing = Deadline(NOON, {"bob": timedelta(hours=1)})
    rows = {row.submission: row for row in parse(rule_on(json.dumps(board), tmp_path, closing), shapes).rows}
    assert {uuid: row.rank for uuid, row in rows.items()} == {
        "extended": 1,
        "good": 2,
        "late": None,
        "bad": None,
    }
    assert rows["late"].hidden == LATE
    assert rows["bad"].hidden == "the organisers rejected it: not your own images"


def test_a_score_counts_though_its_submission_is_taken_back(tmp_path: Path, shapes: Competition) -> None:
    board = {"config": {"score_specs": [{"name": "accuracy"}]}, "updated": NOON.timestamp()}
    closing = Deadline(NOON, {"ann": timedelta(hours=1)})
    first = {**board, "leaderboard": [_entry(uuid, "ann", 0.9, NOON) for uuid in ("private", "removed")]}
    ruled = rule_on(json.dumps(first), tmp_path, closing)
    for _ in range(2):  # so the daemon's boards are from then on
        (tmp_path / BOARD).write_text(ruled, encoding="utf-8")
        gone = [_entry(uuid, "", 0.9, NOON + MINUTE) for uuid in ("private", "removed", "of-nobody-known")]
        for entry in gone:
            entry["submission"] = {**entry["submission"], "user_name": None, "public": None}  # type: ignore[dict-item]
        gone[1]["bundle"]["metadata"]["description"] = ""  # type: ignore[index]
        ruled = rule_on(json.dumps({**board, "leaderboard": gone}), tmp_path, closing)
    rows = parse(ruled, shapes).rows
    assert {(row.submission, row.account, row.rank, row.hidden) for row in rows} == {
        ("private", "ann", None, NOT_PUBLIC),
        ("removed", "ann", None, NOT_PUBLIC),
        ("of-nobody-known", "", None, NOT_PUBLIC),
    }
    (given,) = grade(rows, [Student("Ann", "ann")], "last", {})
    assert (given.score, given.submissions, given.late, given.hidden) == (0.9, 2, 0, 0)
    assert given.not_public == ("private", "removed")


def _row(account: str, name: str, score: float, *, day: int, hidden: str = "") -> Row:
    return Row(
        None if hidden else 1, name, "", "", account, score, "ready", f"{account}-{name}",
        NOON + timedelta(days=day), mine=False, hidden=hidden,
    )  # fmt: skip


def test_grades_count_the_best_or_the_last_and_show_shared_content() -> None:
    rows = [
        _row("ann", "first", 0.9, day=1),
        _row("ann", "second", 0.5, day=2),
        _row("ann", "third", 0.99, day=3, hidden=LATE),
        _row("bob", "mine", 0.4, day=1),
        _row("cem", "theirs", 0.4, day=1),
        _row("guest", "try", 0.1, day=1),
    ]
    students = [
        Student("Ann", "ann"), Student("Bob", "bob", "red"), Student("Cem", "cem", "red"), Student("Dan", "dan"),
    ]  # fmt: skip
    same = SubmittedRun(dataset="x")
    runs = {"ann-first": SubmittedRun(0.7, 0.6), "ann-second": same, "bob-mine": same, "cem-theirs": same}
    best = {each.account: each for each in grade(rows, students, "best", runs)}
    last = {each.account: each for each in grade(rows, students, "last", runs)}
    assert [best["ann"].score, last["ann"].score] == [0.9, 0.5]
    assert (best["ann"].validation, best["ann"].label_book, last["ann"].validation) == (0.7, 0.6, None)
    assert (best["ann"].submissions, best["ann"].late, best["ann"].hidden) == (3, 1, 0)
    assert best["ann"].shared_with == ("bob", "cem")
    assert best["bob"].shared_with == ("ann",)  # the group may share
    assert (best["dan"].score, best["dan"].submissions) == (None, 0)
    assert best["guest"].name == ""


def test_a_rejection_needs_a_reason(bare_cldc: Cldc) -> None:
    assert "needs a reason" in bare_cldc("organise", "reject", "ann/first", code=2).err
