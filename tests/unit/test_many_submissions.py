"""An account with many submissions: whatever their number, the server is asked a few times."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from cldc.bundles.worksheets import worksheet_name
from cldc.codalab import User, Worksheet
from cldc.competition import Competition, load
from cldc.errors import CodaLabError, SubmissionRefused
from cldc.ledger import TAG, Ledger, Record
from cldc.quota import decide
from cldc.submission.context import SubmissionContext
from cldc.submission.ledger_sync import rebuild_ledger, sync_ledger
from cldc.submission.model import Consent, Plan, PredictionsBundle, SubmissionWorksheet
from cldc.submission.plan import plan_submission
from cldc.submission.quota import read_quota
from cldc.submission.status import fetch_statuses
from cldc.submission.steps import set_tag
from cldc.submission.steps import submit as carry_out
from cldc.validation import validate
from tests.support.commands import SHAPES
from tests.support.contestants import contestant
from tests.support.fake_codalab import NOW, Rest, Server

ME, MANY = "ann", 300


@pytest.fixture
def shapes() -> Competition:
    return load(str(SHAPES / "shapes.toml"))


@pytest.fixture
def server(shapes: Competition) -> Server:
    server = Server()
    for reference in (shapes.bundles.script, shapes.bundles.label_book):
        server.add("org", "dataset", reference.name, uuid=reference.uuid)
    return server


def submit(server: Server, shapes: Competition, number: int) -> str:
    """A tagged submission that another machine made; the uuid of its tagged bundle."""
    name, dataset_hash, tag = f"try-{number}", f"hash{number}", shapes.submission.tag
    identity = contestant(shapes, Rest, ME).submission_id(name, dataset_hash)
    worksheet = server.add_worksheet(ME, worksheet_name(ME, name, identity), title=f"Submission {name}")
    data = server.add(
        ME, "dataset", "data", description=f"cldc dataset {dataset_hash} m", worksheet=worksheet
    )
    organisers = (shapes.bundles.script.uuid, shapes.bundles.label_book.uuid)
    run = server.add(ME, "run", "run-learn", parents=(data, *map(str, organisers)), worksheet=worksheet)
    return server.add(
        ME, "make", name, parents=(run,), tags=(tag,), description=f"{name} ( )", worksheet=worksheet
    )


def plan(record: Record, competition: Competition) -> Plan:
    """The plan of a submission of which everything but the tag is done."""
    return Plan(
        record=record,
        report=cast(Any, None),
        labels=cast(Any, None),
        consent=Consent(),
        description="",
        worksheet="",
        steps=(TAG,),
        spent=False,
        checks=(),
        quota=decide(competition.quota, (), NOW),
        replaces=(),
        supersedes=(),
        scored=(),
    )


def test_a_ledger_learns_of_many_submissions_and_tells_how_far_they_are_in_few_requests(
    server: Server, shapes: Competition, tmp_path: Path
) -> None:
    asked: list[int] = []
    bundles = {submit(server, shapes, number) for number in range(MANY)}
    by_hand = server.add(ME, "make", "by-hand", parents=(server.add(ME, "run", "own"),))
    server.change(by_hand, tags=(shapes.submission.tag,))
    gone = server.add(ME, "make", "gone", parents=(server.new_uuid(),), tags=(shapes.submission.tag,))
    rest = cast(Any, Rest(server, ME))
    server.on_request = lambda: asked.append(1)
    with Ledger(tmp_path) as ledger:
        me = contestant(shapes, rest, ME, ledger=ledger)
        tagged = me.tagged_bundles()
        assert {bundle.uuid for bundle in tagged} == {*bundles, by_hand, gone}
        assert len(sync_ledger(me, tagged)) == MANY
        assert {known.uuid(TAG) for known in me.submissions} == bundles
        assert sync_ledger(me, tagged) == ()
        statuses = fetch_statuses(me, None)
        # Of one account only the newest counts.
        assert sorted(status.stage for status in statuses) == ["replaced"] * (MANY - 1) + ["tagged"]
        assert rebuild_ledger(me) == ()
        assert len(read_quota(me).spent) == MANY + 2
        assert len(asked) < MANY / 3
        # Only what is new is read, and what has lost its tag is not counted.
        asked.clear()
        new = submit(server, shapes, MANY)
        server.change(by_hand, tags=())
        assert {bundle.uuid for bundle in me.tagged_bundles()} == {*bundles, gone, new}
        assert len(asked) == 2


def test_what_another_process_has_submitted_meanwhile_counts_in_the_quota_that_is_shown(
    server: Server, shapes: Competition, tmp_path: Path
) -> None:
    submit(server, shapes, 0)
    with Ledger(tmp_path) as ledger:
        me = contestant(shapes, cast(Any, Rest(server, ME)), ME, ledger=ledger, home=tmp_path)
        (record,) = sync_ledger(me, me.tagged_bundles())
        done = carry_out(me, plan(record, shapes))
    assert (done.again, len(done.quota.spent)) == (True, 1)


@pytest.mark.parametrize("killed", [False, True])
def test_a_dataset_that_someone_else_submits_under_another_name_meanwhile_is_not_tagged(
    server: Server, shapes: Competition, tmp_path: Path, killed: bool
) -> None:
    """Another machine, or a call on this one that was ``killed`` before it recorded its tag."""
    by_name = replace(shapes, submission=replace(shapes.submission, supersedes="name"))
    rest = cast(Any, Rest(server, ME))
    with Ledger(tmp_path) as ledger:
        me = contestant(by_name, rest, ME, ledger=ledger, home=tmp_path, now=NOW - timedelta(days=1))
        record = me.new_record("mine", "hash0", dataset="data")
        ledger.add(record)
        context = SubmissionContext(**vars(me), plan=plan(record, by_name))
        submit(server, shapes, 0)
        if killed:
            (other,) = sync_ledger(me, me.tagged_bundles())
            ledger.begin(other.id, TAG, now=me.clock())
        worksheet = server.add_worksheet(ME, "own")
        bundle = server.add(ME, "make", "mine", worksheet=worksheet)
        with pytest.raises(SubmissionRefused, match="already submitted as 'try-0'"):
            set_tag(context, SubmissionWorksheet(worksheet), PredictionsBundle(bundle))
        assert server.bundles[bundle].tags == ()
        assert len(read_quota(me).spent) == 1


def test_a_name_that_is_too_long_for_a_request_is_refused_for_its_length(
    server: Server, shapes: Competition, tmp_path: Path
) -> None:
    class Strict(Rest):
        """CodaLab behind a server that takes no long addresses."""

        def user(self) -> User:
            return User(id=ME, name=ME, disk_quota=10**9)

        def own_worksheets(self, name: str | None = None, *, prefix: str = "") -> tuple[Worksheet, ...]:
            if len(name or prefix) > 4000:
                raise CodaLabError("414 Request-URI Too Large", action="")
            return super().own_worksheets(name, prefix=prefix)

    (tmp_path / "mine").mkdir()
    with Ledger(tmp_path) as ledger:
        planned = plan_submission(
            contestant(shapes, cast(Any, Strict(server, ME)), ME, ledger=ledger),
            None,
            validate(tmp_path / "mine", shapes),
            labels=cast(Any, None),
            consent=Consent(),
            preflight=None,
            name="n" * 5000,
            institution="",
            link="",
        )
    # An empty folder is no dataset, either.
    assert [check.subject for check in planned.checks if check.refusal] == ["dataset", "description"]
