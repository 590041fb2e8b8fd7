"""Quota: never more than the rule allows, and the time of the next submission is true."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc.bundles.server_account import ServerClock
from cldc.codalab import Health, Rest
from cldc.competition import QuotaRule
from cldc.errors import QuotaExceeded
from cldc.quota import Spent, decide, merge

NOW = datetime(2021, 8, 1, 12, tzinfo=UTC)
rules = st.builds(
    QuotaRule, window_days=st.integers(1, 9), per_window=st.integers(1, 6), total=st.integers(1, 20)
)
hours = st.lists(st.integers(0, 24 * 20), max_size=25)


def spent(ages: list[int]) -> list[Spent]:
    return [Spent(f"0x{n:032x}", f"s{n}", NOW - timedelta(hours=age), "ledger") for n, age in enumerate(ages)]


@given(rules, hours)
def test_a_place_is_left_only_where_using_it_keeps_the_rule(rule: QuotaRule, ages: list[int]) -> None:
    quota = decide(rule, spent(ages), NOW)
    inside = sum(timedelta(hours=age) < rule.window for age in ages)
    assert (quota.left > 0) == (inside < rule.per_window and len(ages) < rule.total)
    assert inside + quota.left <= max(inside, rule.per_window)


@given(rules, hours)
def test_the_next_place_frees_then_and_not_before(rule: QuotaRule, ages: list[int]) -> None:
    quota = decide(rule, spent(ages), NOW)
    if quota.next_free is None:
        assert quota.left or len(ages) >= rule.total
        return
    assert decide(rule, spent(ages), quota.next_free).left > 0
    assert decide(rule, spent(ages), quota.next_free - timedelta(seconds=1)).left == 0


@given(rules, hours, st.data())
def test_it_makes_no_difference_who_knows_of_a_submission(
    rule: QuotaRule, ages: list[int], data: st.DataObject
) -> None:
    every = spent(ages)
    ledger = [s for s in every if data.draw(st.booleans())]
    server = [s for s in every if s not in ledger or data.draw(st.booleans())]
    together = merge(ledger, server)
    assert decide(rule, together, NOW).left == decide(rule, every, NOW).left
    assert len(together) == len(every)


def test_a_spent_quota_is_refused_with_its_time() -> None:
    quota = decide(QuotaRule(7, 2, 9), spent([1, 30]), NOW)
    with pytest.raises(QuotaExceeded, match="2021-08-07"):
        quota.require()
    with pytest.raises(QuotaExceeded, match="All 2 submissions of this account"):
        decide(QuotaRule(7, 2, 2), spent([500, 600]), NOW).require()


def test_a_stamp_from_a_clock_that_runs_ahead_counts() -> None:
    assert decide(QuotaRule(7, 1, 9), spent([-5]), NOW).left == 0


class _Server:
    """A server whose clock is ahead of ours."""

    def __init__(self, ahead_seconds: float | None) -> None:
        self.ahead, self.asked = ahead_seconds, 0

    def health(self) -> Health:
        self.asked += 1
        date = None if self.ahead is None else datetime.now(UTC) + timedelta(seconds=self.ahead)
        return Health("1.7.5", 0.0, date, self.ahead)


@pytest.mark.parametrize("ahead_seconds", [-8 * 86400.0, 0.0, 1.0, 8 * 86400.0, None])
def test_the_servers_clock_counts_and_a_jump_of_ours_frees_no_place(
    monkeypatch: pytest.MonkeyPatch, ahead_seconds: float | None
) -> None:
    before, server = datetime.now(UTC), _Server(ahead_seconds)
    clock = ServerClock(cast(Rest, server))
    ahead, start = timedelta(seconds=ahead_seconds or 0), clock()
    # Servers give whole seconds, so that a difference of one is none.
    assert before - timedelta(seconds=1) <= start - ahead <= datetime.now(UTC)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert timedelta(0) <= clock() - start < timedelta(hours=1)
    assert server.asked == 1


@pytest.mark.parametrize("ahead_seconds", [0.0, 8 * 86400.0])
def test_a_jump_of_our_clock_while_the_servers_is_read_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, ahead_seconds: float
) -> None:
    """As if ours jumped a day each time that it is read."""
    days = itertools.count(1)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(days) * 86400)
    now = datetime.now(UTC) + timedelta(seconds=ahead_seconds)
    assert abs(ServerClock(cast(Rest, _Server(ahead_seconds)))() - now) < timedelta(minutes=1)
