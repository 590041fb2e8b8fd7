"""Runs that fail through no fault of the dataset: a dependency that a worker lost, computing time that is used up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc import competition
from cldc.bundles.computing_time import PastRun, check_time
from cldc.bundles.lost_dependency import missed_paths
from cldc.codalab import Rest, User, failures
from cldc.errors import QuotaExceeded
from cldc.ledger import Ledger
from cldc.submission.model import STEPS
from cldc.submission.status import fetch_statuses
from tests.support.contestants import contestant
from tests.support.fake_codalab import NOW, Server
from tests.support.fake_codalab import Rest as FakeRest
from tests.support.records import RECORD

COMPETITION = competition.load("demo")


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("FileNotFoundError: [Errno 2] No such file or directory: 'original2/original2/train'", "original2/original2/train"),
        ("NotADirectoryError: [Errno 20] Not a directory: 'folder/folder/train'", "folder/folder/train"),
        ('FileNotFoundError: [Errno 2] No such file or directory: "a/b c.png"', "a/b c.png"),
        ("python: can't open file 'train.py': [Errno 2] No such file or directory", "train.py"),
        ("python: can't open file '/0x12/train.py': [Errno 2] No such file or directory", "/0x12/train.py"),
        ("bash: ./code/run.sh: No such file or directory", "./code/run.sh"),
        ("ls: cannot access 'mine/mine': No such file or directory", "mine/mine"),
        (
            "tensorflow.python.framework.errors_impl.NotFoundError: Could not find directory mine/mine/train",
            "mine/mine/train",
        ),
        (
            "NotFoundError: NewRandomAccessFile failed to Create/Open: mine/x.png : No such file or directory",
            "mine/x.png",
        ),
        ("NotFoundError:  mine/mine/train/i/1.png; No such file or directory [[{{node ReadFile}}]]", "mine/mine/train/i/1.png"),
    ],
)  # fmt: skip
def test_a_log_names_the_missing_file(line: str, path: str) -> None:
    assert list(missed_paths(f"Traceback:\n{line}\n")) == [path]


@given(
    st.text(
        st.characters(
            categories=("L", "N", "P", "S"), include_characters=" ", exclude_characters="'\"\\"
        ).filter(str.isprintable),
        min_size=1,
    )
)
def test_what_python_misses_is_found_whatever_it_is_called(name: str) -> None:
    error = FileNotFoundError(2, "No such file or directory", f"mine/{name}")
    assert f"mine/{name}" in list(missed_paths(f"FileNotFoundError: {error}"))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("killed: Kill requested: User time quota exceeded. To apply for more quota, please visit", "time"),
        ("killed: Kill requested: User disk quota exceeded. To apply for more quota, please visit", "disk"),
        ("failed: Requested more time (30m0s) than user time quota left (29m50s)", "time"),
        ("failed: Requested more time (30m0s) than user time quota left (29m50s) by 9.7s", "time"),
        ("failed: Requested more disk (5.2g) than user disk quota left (5.2g)", "disk"),
        (
            "Upload failed: Can't save bundle, bundle size 361 greater than user's disk quota left: 104.0",
            "disk",
        ),
        ("Upload failed: Can't save bundle, user disk quota exceeded. Bundle size 2 greater than", "disk"),
        ("Upload aborted. User disk quota exceeded. To apply for more quota", "disk"),
        ("UsageError: Out of time quota: 259d9h / 60d0h (432.4%)", "time"),
        ("Out of disk quota: 12.3g / 10.0g (123.0%)", "disk"),
    ],
)
def test_a_spent_quota_is_recognized_from_servers_of_every_age(text: str, word: str) -> None:
    failed = failures.spent_quota("run-train (0x1)", text)
    refused = failures.refusal("cl run", text, status=400, server="https://host")
    for error in (failed, refused):
        assert isinstance(error, QuotaExceeded)
        assert word in error.action
    assert failures.spent_quota("run-train (0x1)", "killed: Kill requested") is None
    assert failures.spent_quota("run-train (0x1)", "killed: Memory limit 2g exceeded.") is None


def user(quota: float | None, used: float = 0.0) -> User:
    return User(id="7", name="me", time_used=used, time_quota=quota)


@given(
    left=st.floats(0.5, 1e5),
    images=st.integers(1, 10_000),
    runs=st.lists(st.builds(PastRun, st.floats(1, 1e5), st.integers(0, 10_000), st.just(True)), min_size=1),
)
def test_a_run_is_refused_only_where_every_earlier_one_says_that_it_would_be_killed(
    left: float, images: int, runs: list[PastRun]
) -> None:
    with Rest("http://127.0.0.1:1") as rest:
        me = contestant(COMPETITION, rest, "me")
        try:
            _, tight = check_time(me, user(left), runs, images=images)
        except QuotaExceeded:
            assert all(left < run.seconds for run in runs)
        else:
            assert any(left >= run.at_least(images) for run in runs)
            assert tight == any(left < run.seconds for run in runs)


def test_no_computing_time_is_refused_and_an_unknown_quota_is_not() -> None:
    with Rest("http://127.0.0.1:1") as rest:
        me = contestant(COMPETITION, rest, "me")
        for quota, used in ((0.0, 0.0), (60.0, 60.0), (60.0, 7200.0)):
            with pytest.raises(QuotaExceeded, match="used up its computing time"):
                check_time(me, user(quota, used), (), images=1)
        assert check_time(me, user(None), (), images=1) == ("the server does not say", False)
        left = check_time(me, user(90_000.0), (), images=1)
        assert left == ("25.0 hours left on the server", False)


def test_a_run_that_no_worker_takes_is_shown_with_what_it_asks_for_and_codalabs_explanation(
    tmp_path: Path,
) -> None:
    server = Server()
    run = server.add(RECORD.account, "run", "run-learn", state="staged")
    waiting = {"state_details": "Bundle is waiting for a worker", "requested_image": "python:3.8"}
    server.change(run, created=NOW - timedelta(hours=1), **waiting)
    record = replace(RECORD, competition=COMPETITION.name, server=FakeRest.server)
    with Ledger(tmp_path) as ledger:
        ledger.add(record)
        for step in list(STEPS)[: list(STEPS).index("train")]:
            ledger.begin(record.id, step)
            ledger.finish(record.id, step, {"uuid": run})
        me = contestant(COMPETITION, FakeRest(server, record.account), record.account, ledger=ledger)
        (status,) = fetch_statuses(me, None)
    assert "no worker has taken it yet (Bundle is waiting for a worker)" in status.detail
    assert "image python:3.8" in status.detail
    assert (status.log, status.action) == ("", "")
