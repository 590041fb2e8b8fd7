"""`cldc clean` with several competitions under one account: whatever the server's state, no board loses an entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from cldc.bundles.worksheets import competition_mark, preflight_prefix, worksheet_name
from cldc.competition import Competition, Reference, load
from cldc.ledger import KnownSubmission, Ledger, StepRecord
from cldc.submission.cleanup import Orphans, find_orphans, remove_orphans
from tests.support.commands import SHAPES
from tests.support.contestants import contestant
from tests.support.fake_codalab import NOW, CodaLab, Rest, Server
from tests.support.records import RECORD

ME, OTHER, ORGANISER = "ann", "bob", "org"


class Killed(BaseException):
    """The client ends here."""


def competition(name: str, number: int, *, book: int) -> Competition:
    base = load(str(SHAPES / "shapes.toml"))
    bundles = replace(
        base.bundles,
        script=Reference("learn.py", f"0x{0xA0 + book:032x}"),
        label_book=Reference("examples", f"0x{0xB0 + book:032x}"),
    )
    form = replace(base.submission, tag=f"shapes-{number}")
    return replace(base, name=name, submission=form, bundles=bundles)


@dataclass
class World:
    """One account that takes part in two competitions, and what has come of that so far.

    Attributes:
        untouchable: What `clean` in the first competition must leave, whatever else happens.
        confirmed: Submissions that another machine took for submitted while `clean` was at work.
        checks: When that machine looks whether it may, at which bundle and tag; ``delay`` puts that off.
    """

    competitions: tuple[Competition, Competition]
    server: Server = field(default_factory=Server)
    known: dict[str, KnownSubmission] = field(default_factory=dict)
    untouchable: set[str] = field(default_factory=set)
    confirmed: set[str] = field(default_factory=set)
    checks: list[tuple[int, str, str]] = field(default_factory=list)
    requests: int = 0
    delay: int = 0

    def __post_init__(self) -> None:
        for which in self.competitions:
            for reference in (which.bundles.script, which.bundles.label_book):
                if reference.uuid not in self.server.bundles:
                    self.server.add(ORGANISER, "dataset", reference.name, uuid=reference.uuid)
        self.hand_made = self.server.add_worksheet(ME, "my-own-things")
        self.foreign = {self.hand_made}
        self.untouchable.add(self.hand_made)

    @property
    def ledger(self) -> Ledger:
        return cast(Ledger, SimpleNamespace(submissions=lambda: tuple(self.known.values())))

    def mine(self, *kinds: str) -> list[str]:
        """The account's bundles of these types that are not those of the plain submission."""
        found = self.server.bundles.values()
        return [b.uuid for b in found if b.owner == ME and b.type in kinds and "plain" not in b.description]

    # What may have happened before

    def submit(
        self, which: int, name: str, dataset: int, *, until: int, new: bool, known: bool, state: str
    ) -> None:
        """A submission that got as far as ``until``, made by this version or an older one, here or elsewhere."""
        rules = self.competitions[which]
        tag, dataset_hash = rules.submission.tag, f"hash{dataset}"
        identity = contestant(rules, Rest, ME).submission_id(name, dataset_hash)
        called = worksheet_name(ME, name, identity)
        worksheet = self._worksheet(called, f"Submission {name}", rules, new=new)
        if known:
            record = replace(
                RECORD,
                id=identity,
                competition=rules.name,
                server=Rest.server,
                account=ME,
                name=name,
                dataset_hash=dataset_hash,
            )
            step = StepRecord("worksheet", NOW, NOW, {"uuid": worksheet})
            self.known.setdefault(identity, KnownSubmission(record, {"worksheet": step}))
        made: list[str] = []
        if until >= 1:
            described = (
                f"cldc dataset {dataset_hash} plain" if name == "plain" else f"cldc dataset {dataset_hash} m"
            )
            made.append(self.server.add(ME, "dataset", "data", description=described, worksheet=worksheet))
        if until >= 2:
            made.append(
                self._run(
                    rules, made[0], worksheet, f"cldc submission {identity} {name}", state=state, public=True
                )
            )
        if until >= 3 and state == "ready":
            tags = (tag,) if until >= 4 else ()
            text = f"{name} ( )" if until >= 4 else f"cldc submission {identity} {name}"
            made.append(
                self.server.add(
                    ME, "make", name, parents=(made[1],), description=text, tags=tags, worksheet=worksheet
                )
            )
        if which == 1:
            self.foreign.add(worksheet)
            self.untouchable |= {worksheet, *made}

    def _worksheet(self, called: str, title: str, rules: Competition, *, new: bool) -> str:
        found = next((u for u, s in self.server.worksheets.items() if s.name == called), None)
        tags = (competition_mark(rules),) if new else ()
        return found or self.server.add_worksheet(ME, called, title=title, tags=tags)

    def _run(
        self, rules: Competition, dataset: str, worksheet: str, text: str, *, state: str, public: bool
    ) -> str:
        bundles = rules.bundles
        parents = (str(bundles.script.uuid), dataset, str(bundles.label_book.uuid))
        return self.server.add(
            ME,
            "run",
            "run-learn",
            parents=parents,
            description=text,
            worksheet=worksheet,
            state=state,
            public=public,
        )

    def preflight(self, which: int, number: int, upload: str | None, *, new: bool, state: str) -> None:
        """A preflight on the server, on a dataset of its own or on one that is there."""
        rules = self.competitions[which]
        # Of two competitions with the same script and label book an older version's preflight could be either's.
        new = new or self.competitions[0].bundles.label_book == self.competitions[1].bundles.label_book
        called = f"{preflight_prefix(ME)}{which}{number:07x}"
        worksheet = self._worksheet(called, f"Preflight p{number}", rules, new=new)
        made = []
        if upload is None:
            text = f"cldc dataset pre{number} m"
            upload = self.server.add(
                ME, "dataset", "data", description=text, worksheet=worksheet, public=False
            )
            made.append(upload)
        made.append(
            self._run(rules, upload, worksheet, f"cldc preflight {number}", state=state, public=False)
        )
        if which == 1:
            self.foreign.add(worksheet)
            self.untouchable |= {worksheet, *made}

    def evaluate(self, which: int) -> None:
        rules = self.competitions[which]
        self.server.evaluate(rules.submission.tag, str(rules.bundles.label_book.uuid), ORGANISER)

    def entries(self) -> set[str]:
        return set().union(*(self.server.entries(c.submission.tag) for c in self.competitions))

    def act(self, kind: str, a: int, b: int, c: int) -> None:
        """One thing that somebody did before; the numbers choose what with."""
        _PAST[kind](self, a, b, c)

    def whole_submission(self, a: int, b: int, c: int) -> None:
        self.submit(a % 2, f"s{b % 4}", c % 3, until=4, new=bool(b % 2), known=bool(c % 2), state="ready")

    def begun_submission(self, a: int, b: int, c: int) -> None:
        until, state = (a + b + c) % 5, STATES[c % 5]
        self.submit(a % 2, f"s{b % 4}", c % 3, until=until, new=bool(b % 2), known=bool(c % 2), state=state)

    def some_preflight(self, a: int, b: int, c: int) -> None:
        uploads = self.mine("dataset")
        shared = uploads[c % len(uploads)] if uploads and b % 3 == 0 else None
        self.preflight(a % 2, b, shared, new=bool(b % 2), state=STATES[c % 5])

    def withdraw(self, _: int, b: int, __: int) -> None:
        if makes := self.mine("make"):
            self.server.change(makes[b % len(makes)], tags=())

    def twin(self, _: int, b: int, __: int) -> None:
        """A second predictions bundle, as two machines make it."""
        if runs := self.mine("run"):
            run = runs[b % len(runs)]
            host = next(iter(self.server.hosts(run)), None)
            name = "twin" if host is None else self.server.worksheets[host].name.split("-")[2]
            made = self.server.add(ME, "make", name, parents=(run,), worksheet=host)
            self.untouchable |= {made} if run in self.untouchable else set()

    def take_over(self, _: int, b: int, c: int) -> None:
        if uploads := self.mine("dataset"):
            worksheets = [u for u, worksheet in self.server.worksheets.items() if worksheet.owner == ME]
            target, upload = worksheets[b % len(worksheets)], uploads[c % len(uploads)]
            self.server.put(target, upload)
            self.untouchable |= {upload} if target in self.foreign else set()

    def tag_by_hand(self, a: int, b: int, _: int) -> None:
        if everything := self.mine("dataset", "run", "make"):
            chosen = everything[b % len(everything)]
            tags = self.server.bundles[chosen].tags
            self.server.change(chosen, tags=(*tags, self.competitions[a % 2].submission.tag))

    def make_by_hand(self, a: int, b: int, c: int) -> None:
        """Something made from what cldc made, beside it or elsewhere."""
        if everything := self.mine("dataset", "run", "make"):
            worksheets = [
                None,
                *(u for u, worksheet in self.server.worksheets.items() if worksheet.owner == ME),
            ]
            worksheet, parents = worksheets[c % len(worksheets)], (everything[b % len(everything)],)
            made = self.server.add(
                ME, ("run", "make")[a % 2], "by-hand", parents=parents, worksheet=worksheet
            )
            self.untouchable |= {made, worksheet} if worksheet else {made}

    def somebody_elses_run(self, _: int, b: int, c: int) -> None:
        if uploads := self.mine("dataset"):
            parents = (uploads[b % len(uploads)],)
            self.untouchable.add(self.server.add(OTHER, "run", "theirs", parents=parents, public=bool(c % 2)))

    def evaluation_begins(self, a: int, b: int, _: int) -> None:
        rules = self.competitions[a % 2]
        tag, book = rules.submission.tag, str(rules.bundles.label_book.uuid)
        tagged = [u for u in self.mine("make") if tag in self.server.bundles[u].tags]
        if ready := [u for u in tagged if book in self.server.ancestors(u)]:
            self.server.predict(ready[b % len(ready)], tag, book, ORGANISER)

    # What may happen meanwhile

    def meanwhile(self, kind: str, number: int) -> None:
        """One thing that somebody does while `clean` is at work."""
        makes = [
            b.uuid for b in self.server.bundles.values() if (b.owner, b.type, b.tags) == (ME, "make", ())
        ]
        if kind == "another machine tags" and makes:
            chosen, tag = makes[number % len(makes)], self.competitions[number % 2].submission.tag
            self.server.change(chosen, tags=(tag,))
            self.checks.append((self.requests + self.delay + number // 2 % 5, chosen, tag))
        elif kind == "evaluate":
            self.evaluate(number % 2)
        elif kind == "make by hand" and (uploads := self.mine("dataset", "run")):
            parents = (uploads[number % len(uploads)],)
            self.untouchable.add(self.server.add(ME, "run", "by-hand", parents=parents))

    def check_tags(self) -> None:
        """What a machine does that has tagged: it takes it for submitted if everyone sees the tag."""
        due = [check for check in self.checks if check[0] <= self.requests]
        self.checks = [check for check in self.checks if check not in due]
        for _, uuid, tag in due:
            if uuid in self.server.bundles and tag in self.server.seen_by(None, uuid).tags:
                self.confirmed.add(uuid)


def clean(world: World, home: Path, *, unfinished: bool) -> Orphans:
    """`cldc clean --yes` in the first competition."""
    codalab = CodaLab(world.server, ME)
    me = contestant(world.competitions[0], codalab, ME, ledger=world.ledger, home=home)
    found = find_orphans(me, unfinished=unfinished)
    remove_orphans(me, found.found)
    return found


_PAST: dict[str, Callable[[World, int, int, int], None]] = {
    "begun submission": World.begun_submission,
    "whole submission": World.whole_submission,
    "another whole submission": World.whole_submission,
    "preflight": World.some_preflight,
    "evaluation": lambda world, a, b, c: world.evaluate(a % 2),
    "beginning evaluation": World.evaluation_begins,
    "withdrawal": World.withdraw,
    "twin": World.twin,
    "shared upload": World.take_over,
    "tag by hand": World.tag_by_hand,
    "bundle by hand": World.make_by_hand,
    "somebody else's run": World.somebody_elses_run,
}
STATES = ("ready", "ready", "failed", "running", "staged")
MEANWHILE = ("another machine tags", "another machine tags", "evaluate", "make by hand")
Past = list[tuple[str, int, int, int]]
Meanwhile = list[tuple[int, str, int]]
numbers = st.integers(0, 29)
moments = st.integers(1, 1000)


def world_after(past: Past, *, same_book: bool) -> World:
    """The second competition shares script and label book with the first, or has its own."""
    world = World((competition("first", 1, book=1), competition("second", 2, book=1 if same_book else 2)))
    world.submit(0, "plain", 9, until=3, new=True, known=False, state="ready")
    for kind, a, b, c in past:
        world.act(kind, a, b, c)
    return world


def cleaned(
    world: World, home: Path, meanwhile: Meanwhile, killed_at: int | None, *, unfinished: bool
) -> bool:
    """Clean while others are at work; whether the client was killed, at the request of that number."""

    def on_request() -> None:
        world.requests += 1
        for moment, kind, number in meanwhile:
            if moment == world.requests:
                world.meanwhile(kind, number)
        world.check_tags()
        if world.requests == killed_at:
            raise Killed

    world.server.on_request = on_request
    try:
        clean(world, home, unfinished=unfinished)
    except Killed:
        return True
    finally:
        world.server.on_request = lambda: None
    return False


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@settings(max_examples=100, deadline=None)
@given(
    past=st.lists(
        st.tuples(st.sampled_from(sorted(_PAST)), numbers, numbers, numbers), min_size=2, max_size=14
    ),
    meanwhile=st.lists(st.tuples(moments, st.sampled_from(MEANWHILE), numbers), max_size=4),
    killed_at=st.none() | moments,
    unfinished=st.booleans(),
    same_book=st.booleans(),
)
def test_no_board_loses_an_entry(
    home: Path, past: Past, meanwhile: Meanwhile, *, killed_at: int | None, unfinished: bool, same_book: bool
) -> None:
    rehearsal = world_after(past, same_book=same_book)
    cleaned(rehearsal, home, [], None, unfinished=unfinished)
    at = [(1 + moment % rehearsal.requests, kind, number) for moment, kind, number in meanwhile]
    world = world_after(past, same_book=same_book)
    server, before, stays = world.server, world.entries(), set(world.untouchable)
    whole = {uuid for uuid in server.bundles if server.is_whole(uuid)}
    killed = cleaned(world, home, at, killed_at and 1 + killed_at % rehearsal.requests, unfinished=unfinished)
    event(f"killed: {killed}, entries: {min(len(before), 3)}, tagged meanwhile: {len(world.confirmed)}")

    def check() -> None:
        assert before <= world.entries()
        assert world.confirmed <= server.bundles.keys()
        assert stays | world.untouchable <= server.bundles.keys() | server.worksheets.keys()
        assert all(server.is_whole(uuid) for uuid in whole & server.bundles.keys())
        # Nor is an entry hidden, unless the client was killed before it could take that back.
        assert killed or world.confirmed <= server.public

    check()
    clean(world, home, unfinished=True)
    check()
    # And what nobody needs is gone.
    plain = {b.uuid for b in server.bundles.values() if "plain" in b.description}
    users = {uuid for uuid in plain if server.bundles[uuid].tags} | (
        world.untouchable & server.bundles.keys()
    )
    assert plain <= users.union(*map(server.ancestors, users))


def test_a_tag_set_at_any_moment_of_a_removal_keeps_its_bundle(home: Path) -> None:
    """On another machine, which looks at any moment after that whether everyone sees the tag."""
    rehearsal = world_after([], same_book=False)
    cleaned(rehearsal, home, [], None, unfinished=True)
    assert not [bundle for bundle in rehearsal.server.bundles.values() if bundle.owner == ME]
    confirmed = 0
    for moment in range(1, rehearsal.requests + 1):
        for later in range(moment % 3, rehearsal.requests + 1 - moment, 3):
            world = world_after([], same_book=False)
            (chosen,) = (b.uuid for b in world.server.bundles.values() if b.type == "make")
            world.delay = later
            cleaned(world, home, [(moment, "another machine tags", 0)], None, unfinished=True)
            confirmed += len(world.confirmed)
            if world.confirmed:
                assert chosen in world.server.entries("shapes-1")
    assert confirmed > rehearsal.requests / 2


def test_killed_at_any_moment_of_a_removal_the_next_one_ends_it(home: Path) -> None:
    past: Past = [("whole submission", 1, 0, 0), ("evaluation", 1, 0, 0), ("preflight", 0, 1, 3)]
    rehearsal = world_after(past, same_book=True)
    cleaned(rehearsal, home, [], None, unfinished=True)
    end = (rehearsal.server.bundles.keys(), rehearsal.server.worksheets.keys())
    for moment in range(1, rehearsal.requests + 1):
        world = world_after(past, same_book=True)
        before = world.entries()
        assert before
        assert cleaned(world, home, [], moment, unfinished=True)
        assert before <= world.entries()
        clean(world, home, unfinished=True)
        assert (world.server.bundles.keys(), world.server.worksheets.keys()) == end
        assert before == world.entries()
