"""Places of the quota: what the server shows, what the ledger knows, and the time by which they are counted."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cldc import quota as quotas
from cldc.ledger import SPENT, TAG, WITHDRAW, Ledger

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Rest
    from cldc.competition import Competition
    from cldc.quota import Quota, Spent


class Clock:
    """The server's time: bundles are stamped by it, and a clock of ours that is wrong or jumps would free places."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest
        self._base: tuple[float, float] | None = None

    def __call__(self) -> datetime:
        """Now, by the server's clock, read once and carried on by one that can't jump; ours where it tells none."""
        if self._base is None:
            health, started = self._rest.health(), time.monotonic()
            if health.date is None or health.clock_ahead_seconds is None:
                now = time.time()
            else:
                # Ours is no further off than the Date header's whole second: then it is the better one. What it was
                # when that header came, since it may have jumped in between.
                skew = health.clock_ahead_seconds
                now = health.date.timestamp() - (skew if abs(skew) <= 2 else 0.0)
            self._base = (now, started)
        base, started = self._base
        return datetime.fromtimestamp(base, UTC) + timedelta(seconds=time.monotonic() - started)


def lost_tag(bundle: Bundle | None, tag: str) -> bool:
    """Whether a bundle that was tagged is there and is so no longer: withdrawn elsewhere, or by a call that was killed."""
    return bundle is not None and tag not in bundle.tags


def facts(
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    account: str,
    *,
    now: datetime | None = None,
    carrying: Iterable[Bundle] | None = None,
) -> dict[str, Quota]:
    """The guide's rule applied to what the server shows, to what the ledger knows, and to both together.

    Args:
        now: The time to count at; the server's by default.
        carrying: The account's `tagged` bundles, where somebody has just looked at them.
    """
    now = now or Clock(rest)()
    shown = tuple(spent_on_server(tagged(competition, rest, account) if carrying is None else carrying))
    known = tuple(spent_by_ledger(ledger, competition, rest.server, account))
    every = {"server": shown, "ledger": known, "together": quotas.merge(known, shown)}
    return {who: quotas.decide(competition.quota, spent, now) for who, spent in every.items()}


def standing(
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    account: str,
    *,
    now: datetime | None = None,
    carrying: Iterable[Bundle] | None = None,
) -> Quota:
    """The account's quota from the ledger and the server, whichever knows of more; arguments as of `facts`."""
    return facts(competition, rest, ledger, account, now=now, carrying=carrying)["together"]


def spent_by_ledger(ledger: Ledger, competition: Competition, server: str, account: str) -> Iterable[Spent]:
    """Places that the ledger knows to be spent: tags that were seen on their bundles, and not taken off in time."""
    for known in ledger.submissions(competition=competition.name, server=server, account=account):
        withdrawn, current = known.steps.get(WITHDRAW), known.uuid(TAG)
        free = withdrawn is not None and withdrawn.result.get("spent") == "no"
        for name, step in known.steps.items():
            # Of the bundle that is tagged now, or was last, its own tag tells.
            earlier = name.startswith(SPENT) and step.result.get("uuid") != current
            if step.finished is not None and (earlier or (name == TAG and not free)):
                yield quotas.Spent(step.result["uuid"], known.record.name, step.finished, "ledger")


def spent_on_server(carrying: Iterable[Bundle]) -> Iterable[Spent]:
    """Places that the server shows as spent: the account's public bundles with the tag, by the time they were made."""
    for bundle in carrying:
        if bundle.created is not None:
            yield quotas.Spent(bundle.uuid, bundle.name, bundle.created, "server")


def tagged(competition: Competition, rest: Rest, account: str) -> tuple[Bundle, ...]:
    """The account's bundles that carry the tag, as far as everyone sees them; CodaLab's databases ignore case."""
    tag = competition.submission.tag
    return tuple(bundle for bundle in rest.search(tag=tag, owner=account) if tag in bundle.tags)
