"""Plans, submissions, quota and standing as text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from cldc.render.blocks import Block, Line, Table

if TYPE_CHECKING:
    from cldc.quota import Quota
    from cldc.submission import Plan, Submission
    from cldc.submission.standing import Standing

PUBLIC = (
    "Everything submitted, the images too, becomes readable by everyone: the guide demands it, and the scoring "
    "daemon sees nothing else."
)


def moment(time: datetime | None) -> str:
    """A time in the user's own zone."""
    return f"{time.astimezone():%Y-%m-%d %H:%M}" if time else "-"


def plan_blocks(plan: Plan) -> Iterator[Block]:
    """What would be done, and what stands against it."""
    yield Line(f"Submission {plan.name} to {plan.competition} on {plan.server} as {plan.account}", "title")
    rows = [
        (check.subject, _mark(check.refusal, check.warning), check.refusal or check.finding)
        for check in plan.checks
    ]
    yield Table(("checked", "", "found"), rows)
    if plan.steps:
        yield Line(f"Steps to do: {', '.join(plan.steps)} (on the worksheet {plan.worksheet}).")
    else:
        yield Line("Every step is done: it carries the tag.", "good")
    yield Line(PUBLIC)
    refusals = [check for check in plan.checks if check.refusal]
    for check in refusals:
        yield Line(f"Refused for the {check.subject}: {check.refusal}", "bad")
        if check.error is not None:
            yield Line(f"  {check.error.action}")
    if not refusals:
        yield Line("Nothing stands against it.", "good")


def _mark(refusal: str, warning: bool) -> str:
    return "refused" if refusal else "note" if warning else "ok"


def submission_blocks(submission: Submission) -> Iterator[Block]:
    """A submission that carries the tag, and what comes next."""
    how = "was submitted before, on" if submission.again else "is submitted:"
    yield Line(f"{submission.name} {how} {moment(submission.tagged)}, as {submission.account}.", "good")
    rows = [("description", submission.description), *submission.links.items()]
    yield Table(("", ""), rows)
    yield Line(left(submission.quota))
    yield Line(
        "The organisers' daemon scores it when it next runs; in 2021 that took half a day, at times two weeks."
    )
    if submission.form:
        yield Line(f"After a first submission, fill out the contact form: {submission.form}")
    yield Line("Next: cldc status, then cldc leaderboard")


def left(quota: Quota) -> str:
    """One sentence on what is left of the quota."""
    rule = quota.rule
    text = (
        f"Quota: {quota.left} of {rule.per_window} left in {rule.window_days:g} days, "
        f"{len(quota.spent)} of {rule.total} used in all."
    )
    return f"{text} The next place frees at {moment(quota.next_free)}." if quota.next_free else text


def quota_blocks(quota: Quota) -> Iterator[Block]:
    """The quota and each place that was spent."""
    yield Line(left(quota), "good" if quota.left else "warning")
    if quota.spent:
        rows = [
            (spent.name, moment(spent.time), moment(spent.time + quota.rule.window), spent.source, spent.uuid)
            for spent in quota.spent
        ]
        yield Table(("submission", "spent", "frees", "known from", "bundle"), rows)


def standing_blocks(standings: tuple[Standing, ...]) -> Iterator[Block]:
    """Every submission and how far it is."""
    if not standings:
        yield Line("Nothing was submitted from this machine with this account yet.")
        yield Line("Next: cldc submit DIR")
        return
    rows = [
        (s.name, s.stage, f"{s.score:.4f}" if s.score is not None else "-", moment(s.since), s.detail)
        for s in standings
    ]
    yield Table(("submission", "stage", "score", "since", "detail"), rows, numbers=frozenset({"score"}))
