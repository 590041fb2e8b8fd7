"""`cldc withdraw`: a submission stops counting only if the scoring daemon has not touched it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cldc.competition import load
from cldc.errors import UsageError
from cldc.leaderboard import Leaderboard, Row
from cldc.ledger import TAG, BoardResult, Ledger
from cldc.submission.quota import find_tagged, record_withdrawal, recount_withdrawals, spent_by_ledger
from tests.support import records
from tests.support.commands import SHAPES
from tests.support.contestants import contestant
from tests.support.fake_codalab import NOW, CodaLab, Rest, Server

ME, ORGANISER, SCORES = "ann", "org", "shapes-1"
SECOND = timedelta(seconds=1)
RECORD = replace(records.RECORD, competition="shapes", server=Rest.server, account=ME, created=NOW)


class Competition:
    """One tagged submission, its ledger, and a daemon that makes passes and writes boards as time goes by."""

    def __init__(self, ledger: Ledger) -> None:
        self.server, self.now, self.ledger = Server(), NOW, ledger
        book = self.server.add(ORGANISER, "dataset", "examples")
        self.book, self.data = book, self.server.add(ME, "dataset", "data")
        run = self.server.add(ME, "run", "run-learn", parents=(self.data, book))
        self.bundle = self.server.add(ME, "make", "mine", parents=(run,))
        self.board: Leaderboard | None = None
        self.tagged: datetime | None = None
        ledger.add(RECORD)
        for step, uuid in (("upload", self.data), ("run", run)):
            ledger.begin(RECORD.id, step, now=self.now)
            ledger.finish(RECORD.id, step, {"uuid": uuid}, now=self.now)

    def tag(self) -> None:
        self.ledger.begin(RECORD.id, TAG, now=self.now)
        self.server.change(self.bundle, tags=(SCORES,))
        self.tagged = self.now + SECOND
        self.ledger.finish(RECORD.id, TAG, {"uuid": self.bundle}, now=self.tagged)
        self.now = self.tagged

    @property
    def counted(self) -> bool:
        """Whether the daemon counts it, or is about to."""
        begun = bool(self.server.begun)
        return begun or any("submit_id" in bundle.description for bundle in self.server.bundles.values())

    def happens(self, what: str) -> None:
        self.now += 10 * SECOND
        if what == "a pass":
            self.server.evaluate(SCORES, self.book, ORGANISER)
            self.write_board()
        elif what == "a board without a pass":
            self.write_board()
        elif what == "an evaluation begins" and self.server.bundles[self.bundle].tags:
            self.server.predict(self.bundle, SCORES, self.book, ORGANISER)
        elif what == "the evaluation leaves the board":  # as a newer one of that name takes its place
            for bundle in list(self.server.bundles.values()):
                if "submit_id" in bundle.description:
                    self.server.change(bundle.uuid, tags=())
        elif what == "the board is gone":
            self.board = None

    def write_board(self) -> None:
        rows = tuple(
            Row(1, "mine", "", "", ME, 0.5, "ready", uuid, NOW, mine=True)
            for uuid in self.server.evaluated(SCORES)
        )
        self.board = Leaderboard("shapes", "right", self.now, rows)

    def withdraw(self) -> tuple[bool, str]:
        self.now += SECOND
        self.server.change(self.bundle, tags=())
        (known,) = self.ledger.submissions()
        codalab = CodaLab(self.server, ME)
        me = contestant(load(str(SHAPES / "shapes.toml")), codalab, ME, ledger=self.ledger)
        withdrawal = record_withdrawal(me, known, self.board, self.now)
        return withdrawal.spent, withdrawal.why


@contextlib.contextmanager
def competition(folder: Path) -> Iterator[Competition]:
    for file in folder.glob("ledger*"):
        file.unlink()
    with Ledger(folder) as ledger:
        yield Competition(ledger)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ledger")


HAPPENS = (
    "a pass",
    "a board without a pass",
    "an evaluation begins",
    "the evaluation leaves the board",
    "the board is gone",
)


@settings(max_examples=100, deadline=None)
@given(
    before=st.lists(st.sampled_from(HAPPENS), max_size=2),
    after=st.lists(st.sampled_from(HAPPENS), max_size=5),
)
def test_a_place_is_free_again_only_if_a_newer_board_lacks_what_nobody_evaluates(
    folder: Path, before: list[str], after: list[str]
) -> None:
    with competition(folder) as past:
        for what in before:
            past.happens(what)
        past.tag()
        assert past.tagged is not None
        for what in after:
            past.happens(what)
        spent, why = past.withdraw()
        newer = past.board is not None and past.board.updated > past.tagged
        assert spent == (past.counted or not newer), why
        assert past.ledger.steps(RECORD.id)["withdraw"].result["spent"] == ("yes" if spent else "no")


@pytest.mark.parametrize(
    ("otherwise", "reason"),
    [
        ("the board's clock is ahead", "is in the future"),
        ("an entry can't be read", "has entries that can't be read"),
        ("the board lost track of it", "has evaluated it"),
        ("another machine tagged it", "it was tagged by another machine"),
        ("the dataset was removed", "its dataset is no longer on the server"),
    ],
)
def test_a_place_stays_spent_if_nobody_can_tell(folder: Path, otherwise: str, reason: str) -> None:
    with competition(folder) as past:
        past.tag()
        past.happens("a board without a pass")
        board = past.board
        assert board is not None
        if otherwise == "the board's clock is ahead":
            past.board = replace(board, updated=past.now + timedelta(minutes=5))
        elif otherwise == "an entry can't be read":
            past.board = replace(board, malformed=1)
        elif otherwise == "the board lost track of it":
            row = Row(None, "", "", "", "", 0.5, "ready", "", NOW, mine=False, evaluation="ann-mine-results")
            past.board = replace(board, rows=(row,))
        elif otherwise == "another machine tagged it":
            past.ledger.begin(RECORD.id, TAG, now=NOW)
            past.ledger.finish(RECORD.id, TAG, {"uuid": past.bundle}, now=NOW)
        elif otherwise == "the dataset was removed":
            del past.server.bundles[past.data]
        spent, why = past.withdraw()
        assert spent
        assert reason in why


def test_a_withdrawn_submission_counts_after_all_once_the_board_has_it(folder: Path) -> None:
    """The daemon may have read the tag at the start of a pass, and begun after the tag was off."""
    with competition(folder) as past:
        past.tag()
        past.happens("a board without a pass")
        spent, _ = past.withdraw()
        assert not spent
        codalab = CodaLab(past.server, ME)
        me = contestant(load(str(SHAPES / "shapes.toml")), codalab, ME, ledger=past.ledger)
        assert not list(spent_by_ledger(past.ledger.submissions()))
        row = Row(1, "mine", "", "", ME, 0.5, "ready", past.bundle, NOW, mine=True)
        assert past.board is not None
        board = replace(past.board, rows=(row,))
        recount_withdrawals(me, board, past.now)
        assert [spent.uuid for spent in spent_by_ledger(past.ledger.submissions())] == [past.bundle]


def test_two_submissions_of_one_name_are_told_apart(tmp_path: Path) -> None:
    shapes = load(str(SHAPES / "shapes.toml"))
    with Ledger(tmp_path) as ledger:
        for number in (1, 2):
            identity, uuid = f"{number:016x}", f"0x{number:032x}"
            ledger.add(replace(RECORD, id=identity))
            ledger.begin(identity, TAG, now=NOW)
            ledger.finish(identity, TAG, {"uuid": uuid}, now=NOW)
        ledger.remember("shapes", (BoardResult(f"0x{1:032x}", "mine", NOW, 1, 1, 0.345),))
        me = contestant(shapes, CodaLab(Server(), ME), ME, ledger=ledger)
        with pytest.raises(UsageError) as refused:
            find_tagged(me, "mine")
        first, *listed = refused.value.message.splitlines()
        assert first == "2 submissions named 'mine' carry the tag:"
        assert [line.rpartition(", ")[2] for line in listed] == ["scored 0.3450", "no score seen yet"]
        assert f"{NOW.astimezone():%Y-%m-%d}" in listed[0]
        assert find_tagged(me, f"0x{2:032x}").record.id == f"{2:016x}"
