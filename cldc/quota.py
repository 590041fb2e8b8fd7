"""Compute how many submissions are left, from those that count, the time and the profile's rule."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from cldc.competition import QuotaRule
from cldc.errors import QuotaExceeded

Source = Literal["ledger", "server", "both"]


@dataclass(frozen=True, slots=True)
class Spent:
    """A submission that counts: a bundle that has, or once had, the competition's tag.

    ``time`` is when it was tagged, if known; the server only knows when the bundle was created.
    """

    uuid: str
    name: str
    time: datetime
    source: Source


@dataclass(frozen=True, slots=True)
class Quota:
    """An account's quota.

    Attributes:
        rule: The profile's rule.
        spent: All submissions that count, oldest first.
        in_window: Those within the last window.
        left: Number of submissions that are left now.
        next_free: When the next submission is possible; None while one is left, or if none ever will be.
    """

    rule: QuotaRule
    spent: tuple[Spent, ...]
    in_window: tuple[Spent, ...]
    left: int
    next_free: datetime | None

    def require(self) -> None:
        """Require that a submission is left.

        Raises:
            QuotaExceeded: None is left; the message has the time of the next.
        """
        if self.left > 0:
            return
        if len(self.spent) >= self.rule.total:
            raise QuotaExceeded(
                f"All {self.rule.total} submissions of this account are used.",
                action="No further submission will be scored; `cldc leaderboard` shows what was.",
            )
        free = f"{self.next_free.astimezone():%A %Y-%m-%d %H:%M %Z}" if self.next_free else "later"
        raise QuotaExceeded(
            f"{self.rule.per_window} of {self.rule.per_window} submissions used {self.rule.this_window}; "
            f"the next one is available on {free}.",
            action="Run the command again then: what was prepared is kept.",
        )


def merge(ledger: Iterable[Spent], server: Iterable[Spent]) -> tuple[Spent, ...]:
    """Merge both lists by bundle; of two times for one bundle the later counts."""
    spent: dict[str, Spent] = {s.uuid: s for s in ledger}
    for other in server:
        known = spent.get(other.uuid)
        spent[other.uuid] = (
            other if known is None else Spent(other.uuid, other.name, max(known.time, other.time), "both")
        )
    return tuple(spent.values())


def decide(rule: QuotaRule, spent: Iterable[Spent], now: datetime) -> Quota:
    """Compute the submissions left at ``now``: one is free again when its window has passed, to the second.

    A submission stamped after ``now`` (clocks differ) counts from now.
    """
    ordered = tuple(sorted(spent, key=lambda s: (s.time, s.uuid)))
    in_window = tuple(s for s in ordered if s.time + rule.window > now)
    left = max(0, min(rule.per_window - len(in_window), rule.total - len(ordered)))
    next_free = None
    if not left and len(ordered) < rule.total:
        # The window holds too many until all but per_window - 1 of them have left it.
        next_free = in_window[len(in_window) - rule.per_window].time + rule.window
    return Quota(rule, ordered, in_window, left, next_free)
