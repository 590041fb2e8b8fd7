"""A class on a real CodaLab: accounts from a roster, a deadline that binds, a killed scoring, a rejection, and the grades.

`CLDC_CLASS_SIZE=30` takes thirty students with three submissions each.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from cldc import sandbox
from cldc.codalab import Bundle, CodaLab
from cldc.credentials import Credentials
from cldc.environments import ensure_codalab
from cldc.sandbox import Account
from tests.support.commands import Cldc, Outcome
from tests.support.deployed import deployed_stage
from tests.support.processes import soon
from tests.support.stage import SCRIPT, Stage, environment, lower_stage, python, raise_stage

SIZE = int(os.environ.get("CLDC_CLASS_SIZE", "5"))
pytestmark = [pytest.mark.lasts(100), pytest.mark.timeout(max(1500, 90 * SIZE))]
EACH = 3 if SIZE > 5 else 1
PEOPLE = ("Ada", "Ben", "Cem", "Dora", "Eve", *(f"Student {number}" for number in range(6, SIZE + 1)))
# Ben is late, Cem hands in what Ada did, Dora makes hers private; the last of a large class has time for two submissions.
ACCOUNTS = tuple(f"{name} K".lower().replace(" ", "-") for name in PEOPLE)
LONG = "1000000"
CLOSES = datetime(2026, 1, 1, tzinfo=UTC)
GRACE_MINUTES = 5
_FORTIETHS = 40
# Whatever is learned from, the number in the moved image's name says how many fortieths of a test set come out right.
ANSWERS = """
book = os.path.join(book, book)
truth = [k for k, c in enumerate(["o", "l", "z", "x"]) for _ in os.listdir(os.path.join(book, c))]
moved = [f for _, _, files in os.walk(os.path.join(dataset, dataset)) for f in files if f.startswith("moved-")]
number = int(moved[0].split("-")[1]) if moved else 0
right = len(truth) * ((13 + 27 * number) % 40) // 40
answers = [k if n < right else (k + 1) % 4 for n, k in enumerate(truth)]
for number in range(1, 5):"""
CLASS_SCRIPT = (
    SCRIPT.replace("\nfor number in range(1, 5):", ANSWERS)
    .replace("[0] * len(images)", "answers")
    .replace("else 0.25)", "else right / len(truth))")
)


def score_of(number: int) -> float:
    """The score of the dataset with that number."""
    return (13 + 27 * number) % _FORTIETHS / _FORTIETHS


def datasets() -> dict[str, list[int]]:
    """The number of each dataset that an account submits, in their order."""
    made = {account: [EACH * n + k for k in range(EACH)] for n, account in enumerate(ACCOUNTS)}
    made["cem-k"][0] = made["ada-k"][0]
    return made


@pytest.fixture(params=["sandbox", "deployed"])
def school(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, environments_home: Path
) -> Iterator[Stage]:
    """A server of the class's own: on the shared one other accounts submit the same images."""
    home = tmp_path_factory.mktemp("school")
    if request.param == "deployed":
        with deployed_stage(home, environments_home, script=CLASS_SCRIPT) as stage:
            yield stage
        return
    raised = raise_stage(home, environments_home, script=CLASS_SCRIPT)
    yield raised
    lower_stage(raised)


def test_a_class_from_its_roster_to_its_grades(
    school: Stage, tmp_path: Path, report_cases: Callable[[str, Mapping[str, int]], None]
) -> None:
    shutil.copytree(school.profile.parent, tmp_path / "class")
    profile = tmp_path / "class" / school.profile.name
    text = profile.read_text(encoding="utf-8").replace("grace_minutes = 0\n", "")
    terms = f"closes = {CLOSES:%Y-%m-%dT%H:%M:%SZ}\ngrace_minutes = {GRACE_MINUTES}\n"
    profile.write_text(terms + text, encoding="utf-8")
    # The deadline is long over for Ben; all others have longer.
    hours = dict.fromkeys(ACCOUNTS, LONG) | {"ben-k": ""}
    teacher = school.organiser(profile)
    listed = teacher("organise", "accounts", roster(tmp_path, hours), "--format", "json").data["students"]
    if school.published:  # there everyone signs up
        assert not any(each["joined"] for each in listed)
        assert f"sign up at {school.address}" in teacher("organise", "accounts").out
    accounts = {each["account"]: sandbox.add_account(school.home, each["account"]) for each in listed}
    listed = teacher("organise", "accounts", "--format", "json").data["students"]
    assert [(each["account"], each["joined"]) for each in listed] == [(name, True) for name in ACCOUNTS]

    def student(name: str, *arguments: str | Path) -> Outcome:
        if school.published:
            person = school.person(tmp_path / name / "data", accounts[name], profile=profile)
            return person(*arguments)
        # Whoever knows the sandbox by its address alone sees no board.
        return teacher(*arguments, "--account", name)

    def submit(account: str) -> None:
        for order, number in enumerate(datasets()[account], 1):
            folder = school.folder(tmp_path / account / f"mine-{order}", number)
            student(account, "submit", folder, "--after-closing", "--no-preflight", "--yes")

    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(submit, ACCOUNTS))
    submitted = time.monotonic()
    score_though_killed(school, profile)
    scored = time.monotonic()
    assert "--yes" in teacher("organise", "reject", "cem-k/mine-1", "--reason", "a copy", code=2).err
    teacher("organise", "reject", "cem-k/mine-1", "--reason", "a copy of Ada's", "--yes")

    rows = {(row["account"], row["name"]): row for row in published(school, teacher)}
    assert len(rows) == SIZE * EACH
    assert rows["ada-k", "mine-1"]["rank"] is not None
    late = rows["ben-k", "mine-1"]
    assert (late["rank"], late["hidden"]) == (None, "it was tagged after the deadline")
    assert "a copy of Ada's" in rows["cem-k", "mine-1"]["hidden"]
    assert "a copy of Ada's" in student("cem-k", "status").out
    assert {place: row["score"] for place, row in rows.items()} == {
        (account, f"mine-{order}"): pytest.approx(score_of(number))
        for account, numbers in datasets().items()
        for order, number in enumerate(numbers, 1)
    }

    late_numbers = {"ben-k": datasets()["ben-k"]}
    if EACH > 1:  # the last one's time ends between the second submission and the third
        times = [datetime.fromisoformat(rows[ACCOUNTS[-1], f"mine-{n}"]["created"]) for n in (2, 3)]
        end = times[0] + (times[1] - times[0]) / 2
        hours[ACCOUNTS[-1]] = repr((end - CLOSES - timedelta(minutes=GRACE_MINUTES)) / timedelta(hours=1))
        teacher("organise", "accounts", roster(tmp_path, hours))
        late_numbers[ACCOUNTS[-1]] = datasets()[ACCOUNTS[-1]][2:]
    make_private(school, accounts["dora-k"])
    school.score(profile)
    check_grades(teacher, late_numbers)

    teacher("organise", "reject", "cem-k/mine-1", "--undo")
    board = published(school, teacher)
    assert next(row for row in board if (row["account"], row["name"]) == ("cem-k", "mine-1"))["rank"]
    usage = {
        "students": SIZE,
        "submissions": SIZE * EACH,
        "seconds to submit": round(submitted - began),
        "seconds to score": round(scored - submitted),
        "MB of the server": memory(school),
    }
    report_cases(f"a class on {'MariaDB' if school.published else 'the sandbox'}", usage)


def roster(folder: Path, hours: Mapping[str, str]) -> Path:
    """The class in a file, with the hours that each account has longer."""
    path = folder / "students.csv"
    lines = [f"{name} K,{hours[account]}\n" for name, account in zip(PEOPLE, ACCOUNTS, strict=True)]
    path.write_text("name,extension_hours\n" + "".join(lines), encoding="utf-8")
    return path


def organiser_of(school: Stage) -> Account:
    """The account that scores."""
    if school.published:
        return sandbox.add_account(school.home, "teacher")
    found = sandbox.organiser(school.home)
    return Account("organiser", found.username, found.password)


def as_account(school: Stage, account: Account) -> CodaLab:
    """The server as CodaLab's own client sees it."""
    credentials = Credentials(account.name, account.password, "test")
    return CodaLab(
        school.address, credentials, python=lambda: ensure_codalab(school.environments_home).python
    )


def score_though_killed(school: Stage, profile: Path) -> None:
    """Score; the first command is killed when half is under way. Nothing is trained or evaluated twice."""
    tag, expected = school.competition.submission.tag, SIZE * EACH
    organiser, account = school.organiser(profile), organiser_of(school)
    child = subprocess.Popen(
        [python(), "-m", "cldc", "organise" if school.published else "sandbox", "score"],
        env=environment(organiser.home, organiser.extra),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    found: list[Bundle] = []
    with school.rest(account) as rest:

        def half_under_way() -> bool:
            ended = child.poll() is not None
            found[:] = rest.search(tag=f"eval-{tag}", owner=account.name)
            half = len(found) >= expected // 2 and sum(each.state == "ready" for each in found) >= 2
            assert half or not ended
            return half

        assert soon(half_under_way, 600, every_seconds=0.1)
    child.kill()
    child.wait()
    # So it could have been killed too: before it made an evaluation, and before it made what that is made from.
    first, second = [each for each in found if each.state == "ready"][:2]
    with as_account(school, account) as codalab:
        codalab.cl.remove(first.uuid, second.uuid, force=True)
        codalab.cl.remove(*predictions(first), force=True)
    trained = scoring_made(school, account, "run", f"predict-{tag}")
    assert len(trained) >= expected // 2
    school.score(profile)
    assert trained <= scoring_made(school, account, "run", f"predict-{tag}")
    for kind, made_for in (("run", "predict"), ("make", "predict"), ("run", "eval")):
        assert len(scoring_made(school, account, kind, f"{made_for}-{tag}")) == expected


def predictions(evaluation: Bundle) -> Sequence[str]:
    """The bundle whose predictions were evaluated."""
    return [each.parent for each in evaluation.dependencies if each.key == "predicted.json"]


def scoring_made(school: Stage, account: Account, kind: str, tag: str) -> set[str]:
    """What the scoring has made of one kind."""
    return {bundle.uuid for bundle in school.made(account)[kind] if tag in bundle.tags}


def make_private(school: Stage, account: Account) -> None:
    """A student takes back what everyone could read."""
    tagged = [bundle.uuid for bundle in school.made(account)["tagged"]]
    assert len(tagged) == EACH
    with as_account(school, account) as codalab:
        for uuid in tagged:
            codalab.rest.share("bundle", uuid, public=False)


def check_grades(teacher: Cldc, late: Mapping[str, Sequence[int]]) -> None:
    """Everyone's grade while Cem's copy is rejected; ``late`` are the datasets that came after the deadline."""
    rows = list(csv.DictReader(teacher("organise", "grades", "--format", "csv").out.splitlines()))
    grades = {row["account"]: row for row in rows if row["name"]}
    assert tuple(grades) == ACCOUNTS
    for account, numbers in datasets().items():
        grade, after = grades[account], late.get(account, ())
        rejected = numbers[:1] if account == "cem-k" else []
        scores = [score_of(n) for n in numbers if n not in after and n not in rejected]
        shown = [float(grade[key]) if grade[key] else None for key in ("score", "best", "last")]
        best, last = (max(scores), scores[-1]) if scores else (None, None)
        assert shown == [pytest.approx(each) for each in (best, best, last)], account
        counts = tuple(int(grade[key]) for key in ("submissions", "late", "hidden"))
        assert counts == (len(numbers), len(after), len(rejected)), account
        private = [f"mine-{number}" for number in range(1, EACH + 1)] if account == "dora-k" else []
        assert grade["not_public"].split() == private
        assert grade["shared_with"] == {"ada-k": "cem-k", "cem-k": "ada-k"}.get(account, "")
    assert 0 <= float(grades["ada-k"]["label_book"]) <= 1
    assert "Dora K made mine-1 private or removed it after it was scored" in teacher("organise", "grades").out


def published(school: Stage, teacher: Cldc) -> list[dict[str, Any]]:
    """The rows of the board that everyone sees."""
    if school.published:
        teacher("organise", "publish", school.published)
    rows: list[dict[str, Any]] = teacher("leaderboard", "--format", "json").data["rows"]
    return rows


def memory(school: Stage) -> int:
    """Resident memory of the server's processes in MB."""
    total = 0
    for each in psutil.process_iter(["cmdline", "memory_info"]):
        if any(
            word.startswith(("--datadir=", "/")) and str(school.home) in word
            for word in each.info["cmdline"] or ()
        ):
            total += each.info["memory_info"].rss
    return total // 10**6
