"""The commit point of a submission: set the tag if a place is left, and remove it if that exceeded the quota."""

from __future__ import annotations

import random
import time

from cldc import quota as quotas
from cldc.codalab import Bundle
from cldc.codalab.failures import not_done
from cldc.errors import QuotaExceeded, SubmissionRefused
from cldc.submission.context import (
    PredictionsOutdated,
    SubmissionContext,
    competing_submissions,
    find_own_bundles,
    tag_lock,
    why_outdated,
)
from cldc.submission.plan import check_open
from cldc.submission.quota import current_quota, spent_by_ledger, spent_on_server, tagged_bundles
from cldc.submission.results import PredictionsBundle, SubmissionWorksheet, TaggedBundle

_TRIES = 6
_LONGEST_PAUSE_SECONDS = 2.0


def set_tag(
    context: SubmissionContext,
    worksheet: SubmissionWorksheet,
    predictions: PredictionsBundle,
    *,
    begun_before: bool,
) -> TaggedBundle:
    """Set the tag if a place is left, check again, and remove it if it exceeds the quota.

    A lock serialises the processes of one machine. Machines of one account share only the server, which has no way to
    count and tag atomically. So after tagging, a machine reads all tagged bundles again, and keeps its tag only
    if all are within the quota; otherwise it removes its own tag and retries after a random pause. Of two bundles that are
    tagged at once, the machine that tagged later sees both, in any order of other events: tags that stay never
    exceed the quota, and each machine gives up after a bounded number of tries.

    Limits: between tag and check one tag too many may be visible for a fraction of a second (the daemon defers what
    exceeds its own quota, it does not reject it). A client killed there leaves the tag until its next run, which checks
    again, as its ledger records that the step was begun. Only the machine that set a tag knows of the place if the tag was
    withdrawn or the bundle removed by hand.

    Args:
        context: The submission.
        worksheet: Its worksheet.
        predictions: The bundle to tag.
        begun_before: Whether an earlier try may have set the tag without checking again.
    """
    uuid, tag = predictions.uuid, context.competition.submission.tag
    with tag_lock(
        context.home, context.competition, context.record.server, context.account, context.observer
    ):
        if (twin := _find_twin(context, worksheet, uuid)) is not None:
            return TaggedBundle(twin.uuid)
        for number in range(_TRIES):
            bundle = context.rest.bundle(uuid)
            if tag not in bundle.tags:
                _require_allowed(context, bundle)
                context.codalab.tag(uuid, tag)
            elif not begun_before and number == 0:
                break  # set by a run that is not in this ledger; it has checked the quota, or its machine will
            if _is_within_quota(context, uuid):
                break
            context.codalab.untag(uuid, tag)
            context.observer.note("Another machine of this account tagged at the same moment; trying again.")
            time.sleep(random.uniform(0.1, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - not a secret
        else:
            raise QuotaExceeded(
                "Other machines of this account kept tagging at the same moment, and too few submissions are left for all.",
                action="See `cldc quota`, then run the command again: what was prepared is kept.",
            )
        kept = _keep_one_tag(context, worksheet)
        if tag not in context.anonymous.bundle(kept).tags:
            # It may have become private meanwhile: the next try makes it public again.
            context.ledger.forget(context.record.id, ("publish", "describe", "prove"))
            raise not_done(f"was told the tag {tag} for {kept} and does not show it")
    return TaggedBundle(kept)


def _find_tagged(context: SubmissionContext, worksheet: SubmissionWorksheet) -> list[Bundle]:
    """Find this submission's tagged bundles, oldest first."""
    found = find_own_bundles(context, worksheet.uuid, "make", context.record.name)
    return [bundle for bundle in found if context.competition.submission.tag in bundle.tags]


def _find_twin(context: SubmissionContext, worksheet: SubmissionWorksheet, uuid: str) -> Bundle | None:
    """Find another tagged bundle of this submission, tagged from another machine."""
    twins = _find_tagged(context, worksheet)
    return None if any(bundle.uuid == uuid for bundle in twins) else next(iter(twins), None)


def _keep_one_tag(context: SubmissionContext, worksheet: SubmissionWorksheet) -> str:
    """Keep the tag on the oldest of this submission's tagged bundles, the same choice on every machine."""
    found, tag = _find_tagged(context, worksheet), context.competition.submission.tag
    if not found:
        raise not_done(f"was told the tag {tag} and does not show it")
    for other in found[1:]:
        context.codalab.untag(other.uuid, tag)
    return found[0].uuid


def _require_allowed(context: SubmissionContext, bundle: Bundle) -> None:
    """Check conditions that may have changed since planning.

    Raises:
        PredictionsOutdated: The daemon would skip this bundle.
        SubmissionRefused: It would replace another submission, or the competition has closed, without the user's consent.
        QuotaExceeded: No place is left.
    """
    plan, competition = context.plan, context.competition
    tagged = tagged_bundles(competition, context.rest, context.account)
    competing = competing_submissions(context, tagged)
    if reason := why_outdated(context, bundle, competing):
        context.observer.note(f"The predictions bundle is made again: {reason}.")
        raise PredictionsOutdated
    foreseen = {*plan.supersedes, *plan.scored}
    if unforeseen := [other for other in competing if other.uuid not in foreseen]:
        raise SubmissionRefused(
            f"Meanwhile {unforeseen[0].name} ({unforeseen[0].uuid}) was tagged, and would be replaced.",
            action="Run the command again: it says what would be replaced, and --supersede agrees to that.",
        )
    now = context.clock()
    check_open(competition, now, after_closing=plan.after_closing)
    current_quota(competition.quota, tagged, context.own_submissions, now).require()


def _is_within_quota(context: SubmissionContext, uuid: str) -> bool:
    """Whether all current tags, with ours counted as of now, are within the quota."""
    now, rule = context.clock(), context.competition.quota
    mine = quotas.Spent(uuid, context.record.name, now, "ledger")
    known = [*spent_by_ledger(context.own_submissions), mine]
    tagged = tagged_bundles(context.competition, context.rest, context.account)
    after = quotas.decide(rule, quotas.merge(known, spent_on_server(tagged)), now)
    return len(after.in_window) <= rule.per_window and len(after.spent) <= rule.total
