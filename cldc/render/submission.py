"""Plans, submissions, their quota and their status."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from cldc.quota import Quota
from cldc.render.document import Block, Line, Table, moment
from cldc.submission.model import Plan, Submission
from cldc.text import plural

# The names of a plan and of a submission in JSON, and their order, which programs rely on.
_PLAN_KEYS = (
    "id", "competition", "server", "account", "name", "institution", "link", "description", "dataset",
    "dataset_hash", "images", "metadata", "predictions", "preflight", "worksheet", "steps", "checks", "quota",
    "replaces", "supersedes", "scored", "after_closing",
)  # fmt: skip
_SUBMISSION_KEYS = (
    "id", "name", "description", "server", "account", "tagged", "again", "worksheet", "dataset", "run", "bundle",
    "links", "proof", "quota", "usual_wait", "form", "dataset_changed",
)  # fmt: skip
_PUBLIC = "Your images become public (competition rule)."
# The steps of a submission in the words of a person who waits for them.
_WORK = {
    "worksheet": "upload",
    "upload": "upload",
    "link": "upload",
    "run": "train",
    "train": "train",
    "predictions": "train",
    "publish": "publish",
    "describe": "publish",
    "prove": "publish",
    "tag": "tag",
}


def publication(plan: Plan) -> str:
    """Say in sentences what becomes public."""
    carried = plan.report.metadata.summary
    return f"{_PUBLIC} {carried}, which becomes public with them." if carried else _PUBLIC


def submit_question(plan: Plan) -> str:
    """Build the question that a person has to answer first."""
    quota, images = plan.quota, plan.report.metadata.images
    carried = f" with the metadata of {plural(images, 'image')}" if images else ""
    which = f"submission {len(quota.in_window) + 1} of {quota.rule.per_window} {quota.rule.this_window}"
    return f"Publish {plan.record.name}{carried} ({which})?"


def plan_data(plan: Plan) -> dict[str, Any]:
    """Build the JSON of a plan."""
    known = {
        "images": plan.report.total,
        "metadata": plan.report.metadata,
        "predictions": plan.labels.total,
        "after_closing": plan.consent.after_closing,
    }
    return _data(plan, _PLAN_KEYS, **known)


def submission_data(submission: Submission) -> dict[str, Any]:
    """Build the JSON of a tagged submission."""
    known = {"links": submission.links, "proof": submission.evidence}
    return _data(submission, _SUBMISSION_KEYS, **known)


def _data(result: Plan | Submission, keys: Sequence[str], **more: object) -> dict[str, Any]:
    """Merge a result and its record into one object; of what both have, use the result's."""
    parts = (result.record, result)
    known = {f.name: getattr(part, f.name) for part in parts for f in fields(part)} | more
    return {key: known[key] for key in keys}


def plan_blocks(plan: Plan) -> Iterator[Block]:
    """Show what would be done, and every reason to refuse it."""
    record = plan.record
    yield Line(
        f"Submission {record.name} to {record.competition} on {record.server} as {record.account}", "title"
    )
    rows = []
    for check in plan.checks:
        verdict = "refused" if check.refusal else "note" if check.warning else "ok"
        rows.append((check.subject, verdict, "see below" if check.refusal else check.finding))
    yield Table(("checked", "", "found"), rows)
    if plan.steps:
        work = dict.fromkeys(_WORK[step] for step in plan.steps)
        yield Line(f"{', '.join(work).capitalize()} (worksheet {plan.worksheet}).")
        yield Line(publication(plan), "warning" if plan.report.metadata.images else "plain")
    refusals = [check for check in plan.checks if check.refusal]
    for check in refusals:
        yield Line(f"Refused for the {check.subject}: {check.refusal}", "bad")
        if check.error is not None:
            yield Line(f"  {check.error.action}")
    if not refusals:
        yield Line("Ready to submit." if plan.steps else "Already submitted: nothing is left to do.", "good")


def submission_blocks(submission: Submission, *, on_sandbox: bool) -> Iterator[Block]:
    """Show a tagged submission, and what comes next."""
    how = "was submitted before, on" if submission.again else "is submitted:"
    record = submission.record
    yield Line(f"{record.name} {how} {moment(submission.tagged)}, as {record.account}.", "good")
    rows = [("description", submission.description), *submission.links.items()]
    yield Table(("", ""), rows)
    if submission.evidence:
        yield Table(
            ("checked as everyone", "found"),
            [(check.subject, check.finding) for check in submission.evidence],
        )
    if submission.dataset_changed:
        yield Line(
            f"warning: {submission.dataset_changed} The images were submitted as they were.",
            "warning",
        )
    yield Line(quota_line(submission.quota))
    if on_sandbox or submission.again:
        yield Line("Next: cldc status" if submission.again else "Next: cldc sandbox score")
        return
    usual = f"; usually: {submission.usual_wait}" if submission.usual_wait else ""
    yield Line(f"The organisers' daemon scores it when it next runs{usual}.")
    if submission.form:
        yield Line(f"After a first submission, fill out the contact form: {submission.form}")
    yield Line("Next: cldc status, then cldc leaderboard")


def quota_line(quota: Quota) -> str:
    """Say in one sentence what is left of the quota."""
    rule = quota.rule
    text = f"Quota: {quota.left} of {rule.per_window} left {rule.this_window}; {len(quota.spent)} of {rule.total} used in all."
    return f"{text} The next one is available on {moment(quota.next_free)}." if quota.next_free else text
