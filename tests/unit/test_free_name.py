"""A name for a submission that nobody named: it takes no other's entry, and the same dataset keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from cldc.bundles.worksheets import worksheet_name
from cldc.competition import load
from cldc.leaderboard import Leaderboard, Row
from cldc.submission.plan import AccountState
from tests.support.contestants import contestant

ACCOUNT, BASE = "ann", "mine"
COMPETITION = load("demo")
NOW = datetime(2021, 8, 1, tzinfo=UTC)
datasets = st.sampled_from("abcd")
deeds = st.lists(st.tuples(datasets, st.sampled_from(["begin", "tag", "score", "withdraw"])), max_size=12)


@dataclass
class Server:
    """What a CodaLab and its daemon's board show of one account, and a ledger that knows all of it or nothing."""

    worksheets: dict[str, str] = field(default_factory=dict)  # name to the bundle on it
    tagged: dict[str, str] = field(default_factory=dict)  # bundle to name
    board: dict[str, str] = field(default_factory=dict)  # name to the bundle whose score it shows
    owner: dict[str, str] = field(default_factory=dict)  # bundle to dataset
    ids: set[str] = field(default_factory=set)

    def own_worksheets(self, name: str | None = None, *, prefix: str = "") -> list[Any]:
        found = [n for n in self.worksheets if name in (None, n) and n.startswith(prefix)]
        return [SimpleNamespace(name=n, uuid=n) for n in found]

    def worksheet(self, uuid: str, *, bundles: bool) -> Any:
        assert bundles
        return SimpleNamespace(bundles=[SimpleNamespace(uuid=self.worksheets[uuid])])

    @property
    def server(self) -> str:
        return "https://codalab.example"

    def state(self, *, ledger: bool = True) -> AccountState:
        rows = tuple(
            Row(
                *(1, name, "", "", ACCOUNT, 0.5, "ready", bundle, NOW, True),
                evaluation=f"{ACCOUNT}-{name}-results",
            )
            for name, bundle in self.board.items()
        )
        tagged = tuple(SimpleNamespace(uuid=uuid, name=name) for uuid, name in self.tagged.items())
        known = SimpleNamespace(uuids=frozenset())
        return AccountState(
            contestant=contestant(COMPETITION, self, ACCOUNT),
            user=cast(Any, None),
            now=NOW,
            tagged=cast(Any, tagged),
            board=Leaderboard("demo", "accuracy", NOW, rows),
            known=cast(Any, dict.fromkeys(self.ids, known) if ledger else {}),
            board_results={},
        )

    def do(self, dataset: str, deed: str, name: str = "") -> None:
        """Go so far with a submission of the dataset under this name, or the one that it gets."""
        name = name or self.state().free_name(BASE, dataset)
        identity = self.state().contestant.submission_id(name, dataset)
        bundle = f"0x{identity}"
        self.worksheets[worksheet_name(ACCOUNT, name, identity)] = bundle
        self.owner[bundle] = dataset
        self.ids.add(identity)
        if deed in ("tag", "score"):
            self.tagged[bundle] = name
        if deed == "score":
            self.board[name] = bundle
        if deed == "withdraw":
            self.tagged.pop(bundle, None)


@given(deeds, datasets, deeds)
@example([("a", "begin"), ("b", "tag")], "a", [("b", "withdraw")])
def test_a_name_takes_nobodys_entry_and_is_kept(
    before: list[tuple[str, str]], dataset: str, meanwhile: list[tuple[str, str]]
) -> None:
    server = Server()
    for each, deed in before:
        server.do(each, deed)
    state = server.state()
    name = state.free_name(BASE, dataset)
    assert {server.owner[uuid] for uuid in state.entries[name]} <= {dataset}
    assert server.state(ledger=False).free_name(BASE, dataset) == name

    server.do(dataset, "begin")
    for other, deed in meanwhile:
        if other != dataset:
            server.do(other, deed)
    # Only another dataset's tag under that very name could take it away, and each of those has its own.
    state = server.state(ledger=False)
    assert state.free_name(BASE, dataset) == name or state.entries[name]
    server.do(dataset, "tag")
    tagged = server.state().free_name(BASE, dataset)
    server.do("e", "score")
    assert server.state(ledger=False).free_name(BASE, dataset) == tagged


def test_a_submitted_name_comes_before_one_that_was_only_begun() -> None:
    server = Server()
    server.do("b", "tag")
    server.do("a", "begin")  # as mine-2
    server.do("b", "withdraw")
    assert server.state().free_name(BASE, "a") == f"{BASE}-2"
    server.do("a", "tag", BASE)
    assert server.state().free_name(BASE, "a") == BASE
