"""A CodaLab in memory, for the many states of a server that a real one would take too long to get into.

It holds bundles and worksheets of several accounts, hides from each account what CodaLab hides from it, and refuses
what CodaLab refuses: to remove what something was made from, what a worker is at, and what is on two worksheets.
`CodaLab` here has what `cldc.submission` uses of the real one, outside the steps of a submission. Before each request ``server.on_request`` is
called, which may do what others do at that moment, or end the client.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from cldc.codalab import Bundle, Dependency, Worksheet
from cldc.codalab.failures import NotFound
from cldc.errors import CodaLabError
from cldc.progress import SILENT, Observer

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUNNING = ("starting", "preparing", "running", "finalizing")


@dataclass
class Server:
    """Everything on it, whoever's it is; ``public`` is what everyone may read, ``begun`` what a daemon is at, by tag."""

    bundles: dict[str, Bundle] = field(default_factory=dict)
    worksheets: dict[str, Worksheet] = field(default_factory=dict)
    public: set[str] = field(default_factory=set)
    begun: set[tuple[str, str]] = field(default_factory=set)
    on_request: Callable[[], None] = lambda: None
    _made: int = 0

    def new_uuid(self) -> str:
        self._made += 1
        return f"0x{self._made:032x}"

    def add(
        self,
        owner: str,
        kind: str,
        name: str,
        *,
        parents: tuple[str, ...] = (),
        state: str = "ready",
        description: str = "",
        tags: tuple[str, ...] = (),
        worksheet: str | None = None,
        public: bool = True,
        uuid: str | None = None,
    ) -> str:
        """A new bundle, on a worksheet if one is named."""
        uuid = uuid or self.new_uuid()
        self.bundles[uuid] = Bundle(
            uuid=uuid,
            name=name,
            type=kind,
            state=state,
            owner_id=owner,
            owner=owner,
            tags=tags,
            description=description,
            created=NOW - timedelta(days=1) + timedelta(seconds=self._made),
            dependencies=tuple(Dependency(f"key{n}", parent, "") for n, parent in enumerate(parents)),
            exit_code=1 if state == "failed" else None,
            seconds=1.0,
            data_size=1,
        )
        if public:
            self.public.add(uuid)
        if worksheet is not None:
            self.put(worksheet, uuid)
        return uuid

    def add_worksheet(self, owner: str, name: str, *, title: str = "", tags: tuple[str, ...] = ()) -> str:
        uuid = self.new_uuid()
        self.worksheets[uuid] = Worksheet(
            uuid=uuid, name=name, title=title, owner_id=owner, owner=owner, tags=tags
        )
        return uuid

    def put(self, worksheet: str, *bundles: str) -> None:
        """Put bundles at the end of a worksheet."""
        known = self.worksheets[worksheet]
        self.worksheets[worksheet] = replace(known, items=(*known.items, *bundles))

    def change(self, uuid: str, **changes: object) -> None:
        self.bundles[uuid] = replace(self.bundles[uuid], **changes)

    def hosts(self, uuid: str) -> tuple[str, ...]:
        """Worksheets that a bundle is on."""
        return tuple(u for u, worksheet in self.worksheets.items() if uuid in worksheet.items)

    def descendants(self, uuid: str) -> list[str]:
        """Everything that was made from a bundle."""
        found, waiting = [], [uuid]
        while waiting:
            parent = waiting.pop()
            for child in self.bundles.values():
                if child.uuid not in found and parent in (d.parent for d in child.dependencies):
                    found.append(child.uuid)
                    waiting.append(child.uuid)
        return found

    def ancestors(self, uuid: str) -> set[str]:
        """Everything that a bundle was made from, there or not."""
        found: set[str] = set()
        waiting = [uuid]
        while waiting:
            current = waiting.pop()
            if current in self.bundles:
                parents = {d.parent for d in self.bundles[current].dependencies} - found
                found |= parents
                waiting += parents
        return found

    def seen_by(self, account: str | None, uuid: str) -> Bundle:
        """A bundle as CodaLab shows it to an account."""
        if uuid not in self.bundles:
            raise NotFound(f"Bundle {uuid} not found", action="")
        bundle, public = self.bundles[uuid], int(uuid in self.public)
        if bundle.owner == account:
            return replace(bundle, permission=2, public_permission=public, worksheets=self.hosts(uuid))
        if public:
            return replace(bundle, permission=1, public_permission=1)
        return replace(
            bundle,
            name="<private>",
            type="private",
            state="",
            owner=None,
            owner_id=None,
            tags=(),
            description="",
            dependencies=(),
            permission=None,
        )

    # --- the scoring daemon

    def evaluate(self, tag: str, label_book: str, organiser: str) -> None:
        """A pass of a competition's daemon: it repeats what it has not evaluated yet, in private, and publishes the result."""
        evaluated = set(self.evaluated(tag))
        for bundle in list(self.bundles.values()):
            whole = label_book in self.ancestors(bundle.uuid) and self.is_whole(bundle.uuid)
            if (
                tag not in bundle.tags
                or bundle.uuid in evaluated
                or bundle.uuid not in self.public
                or not whole
            ):
                continue
            predicted = self.predict(bundle.uuid, tag, label_book, organiser)
            self.add(
                organiser,
                "run",
                f"{bundle.owner}-{bundle.name}-results",
                parents=(predicted,),
                tags=(f"eval-{tag}",),
                description=json.dumps({"submit_id": bundle.uuid, "predict_id": predicted}),
            )

    def predict(self, uuid: str, tag: str, label_book: str, organiser: str) -> str:
        """The first thing that a daemon does: it repeats the runs on the hidden test set, and shows nobody."""
        bundle = self.bundles[uuid]
        runs = [u for u in (uuid, *self.ancestors(uuid)) if label_book in self._parents(u)]
        predicted = [
            self.add(
                organiser,
                "run",
                f"{bundle.owner}-{bundle.name}-predict-run",
                parents=tuple(parent for parent in self._parents(run) if parent != label_book),
                tags=(f"predict-{tag}",),
                public=False,
            )
            for run in runs
        ]
        self.begun.add((tag, uuid))
        return predicted[-1]

    def evaluated(self, tag: str) -> Iterator[str]:
        """What a competition's daemon has evaluated."""
        for bundle in self.bundles.values():
            if f"eval-{tag}" in bundle.tags:
                yield json.loads(bundle.description)["submit_id"]

    def entries(self, tag: str) -> set[str]:
        """What is on a competition's board by name, what is being evaluated, and what the next pass would take."""
        found = {u for u in self.evaluated(tag) if u in self.bundles}
        found |= {u for t, u in self.begun if t == tag and u in self.bundles}
        found |= {
            u for u, b in self.bundles.items() if tag in b.tags and u in self.public and self.is_whole(u)
        }
        return found

    def is_whole(self, uuid: str) -> bool:
        """Whether everything that a bundle was made from is there."""
        return self.ancestors(uuid) <= self.bundles.keys()

    def _parents(self, uuid: str) -> tuple[str, ...]:
        return tuple(d.parent for d in self.bundles[uuid].dependencies) if uuid in self.bundles else ()


class Rest:
    """Reads a `Server` as an account, or as everyone, and sets permissions."""

    server = "http://codalab.example.org"

    def __init__(self, server: Server, account: str | None) -> None:
        self._server, self._account = server, account

    def bundle(self, uuid: str, *, worksheets: bool = False) -> Bundle:
        self._server.on_request()
        return self._server.seen_by(self._account, uuid)

    def bundles(
        self, uuids: Iterable[str], *, worksheets: bool = False, observer: Observer = SILENT
    ) -> dict[str, Bundle]:
        wanted = list(dict.fromkeys(uuids))
        for _ in range(0, len(wanted), 40):
            self._server.on_request()
        return {uuid: found for uuid in wanted if (found := self._seen(uuid)) is not None}

    def _seen(self, uuid: str) -> Bundle | None:
        with contextlib.suppress(NotFound):
            return self._server.seen_by(self._account, uuid)
        return None

    def found(self, uuid: str) -> Bundle | None:
        try:
            return self.bundle(uuid)
        except NotFound:
            return None

    def with_descendants(self, uuid: str) -> tuple[Bundle, tuple[Bundle, ...]]:
        self._server.on_request()
        itself, server = self._server.seen_by(self._account, uuid), self._server
        return itself, tuple(server.seen_by(self._account, child) for child in server.descendants(uuid))

    def search(
        self,
        *,
        name_between: tuple[str, str] | None = None,
        tag: str | None = None,
        owner: str | None = None,
    ) -> tuple[Bundle, ...]:
        self._server.on_request()
        begins, ends = name_between or ("", "")
        return tuple(
            self._server.seen_by(self._account, bundle.uuid)
            for bundle in self._server.bundles.values()
            if bundle.uuid in self._server.public
            and bundle.name.startswith(begins)
            and bundle.name.endswith(ends)
            and (tag is None or tag in bundle.tags)
            and owner in (None, bundle.owner)
        )

    def search_uuids(self, *, tag: str, owner: str) -> tuple[str, ...]:
        return tuple(bundle.uuid for bundle in self.search(tag=tag, owner=owner))

    def own_worksheets(self, name: str | None = None, *, prefix: str = "") -> tuple[Worksheet, ...]:
        self._server.on_request()
        mine = (
            worksheet for worksheet in self._server.worksheets.values() if worksheet.owner == self._account
        )
        # CodaLab's list leaves the tags out.
        return tuple(
            replace(worksheet, tags=(), items=())
            for worksheet in mine
            if name in (None, worksheet.name) and worksheet.name.startswith(prefix)
        )

    def worksheet(self, uuid: str, *, items: bool = False, bundles: bool = False) -> Worksheet:
        self._server.on_request()
        if uuid not in self._server.worksheets:
            raise NotFound(f"Worksheet {uuid} not found", action="")
        worksheet = self._server.worksheets[uuid]
        there = [u for u in worksheet.items if u in self._server.bundles]
        return replace(worksheet, bundles=tuple(self._server.seen_by(self._account, u) for u in there))

    def share(self, kind: str, uuid: str, *, public: bool) -> None:
        self._server.on_request()
        assert kind == "bundle"
        if public:
            self._server.public.add(uuid)
        else:
            self._server.public.discard(uuid)


class Cl:
    """Changes things on a `Server` as an account."""

    def __init__(self, server: Server, account: str) -> None:
        self._server, self._account = server, account

    def edit_worksheet(self, worksheet: str, *, title: str = "", tags: tuple[str, ...] = ()) -> None:
        self._server.on_request()
        known = self._server.worksheets[worksheet]
        self._server.worksheets[worksheet] = replace(
            known, title=title or known.title, tags=tuple(tags) or known.tags
        )

    def kill(self, uuid: str) -> None:
        self._server.on_request()
        self._server.change(uuid, state="killed")

    def detach(self, worksheet: str, uuid: str) -> None:
        self._server.on_request()
        known = self._server.worksheets[worksheet]
        kept = tuple(item for item in known.items if item != uuid)
        self._server.worksheets[worksheet] = replace(known, items=kept)

    def remove(self, uuid: str, *, force: bool = False) -> None:
        self._server.on_request()
        server, bundle = self._server, self._server.seen_by(self._account, uuid)
        assert not force
        assert bundle.owner == self._account
        if users := server.descendants(uuid):
            raise CodaLabError(f"Can't delete {uuid} because the following depend on it: {users}", action="")
        if bundle.state in RUNNING or len(server.hosts(uuid)) > 1:
            raise CodaLabError(f"Can't delete {uuid}", action="")
        for worksheet in server.hosts(uuid):
            known = server.worksheets[worksheet]
            kept = tuple(item for item in known.items if item != uuid)
            server.worksheets[worksheet] = replace(known, items=kept)
        del server.bundles[uuid]

    def remove_worksheet(self, uuid: str, *, force: bool = False) -> None:
        self._server.on_request()
        assert self._server.worksheets[uuid].owner == self._account
        del self._server.worksheets[uuid]


class CodaLab:
    """A `Server` as an account."""

    def __init__(self, server: Server, account: str) -> None:
        self.rest, self.cl = Rest(server, account), Cl(server, account)
