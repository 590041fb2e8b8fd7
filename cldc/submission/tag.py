"""The commit point of a submission: the tag is set if a place is left, and taken off again if that was one too many."""

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
    """Set the tag if a place is left, look again, and take it off if that was one too many.

    Processes of one machine meet in a lock. Machines of one account meet on the server only, which has no way to
    count and to tag in one go. So whoever has tagged looks again at all that is tagged by then, and keeps the tag only
    if all of it is within the quota; else it takes its own off and tries again after a random pause. Of two that are
    tagged at once the one that tagged later sees both, whatever the order of everything else: the quota is never
    exceeded by tags that stay, and each gives up after a bounded number of tries.

    Its limits: between the two moments one tag too many can be seen for a fraction of a second (the daemon defers what
    is beyond its own quota, it does not reject it). A client killed there leaves it until its next run, which looks
    again, as its ledger knows that the step was begun. A place that was withdrawn or removed by hand is known to the
    machine that tagged it only.

    Args:
        context: The submission.
        worksheet: Its worksheet.
        predictions: The bundle to be tagged.
        begun_before: Whether an earlier try may have set the tag without looking again.
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
                break  # set by a run that nobody here remembers; it has looked, or its machine will
            if _is_within_quota(context, uuid):
                break
            context.codalab.untag(uuid, tag)
            context.observer.note("Another machine of this account tagged at the same moment; trying again.")
            time.sleep(random.uniform(0.1, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret
        else:
            raise QuotaExceeded(
                "Other machines of this account kept tagging at the same moment, and the last place can't be had by all.",
                action="See `cldc quota`, then run the command again: what was prepared is kept.",
            )
        kept = _keep_one_tag(context, worksheet)
        if tag not in context.anonymous.bundle(kept).tags:
            # Perhaps it was made private meanwhile: the next try makes it readable by everyone again.
            context.ledger.forget(context.record.id, ("publish", "describe", "prove"))
            raise not_done(f"was told the tag {tag} for {kept} and does not show it")
    return TaggedBundle(kept)


def _find_tagged(context: SubmissionContext, worksheet: SubmissionWorksheet) -> list[Bundle]:
    """This submission's bundles that carry the tag, oldest first."""
    found = find_own_bundles(context, worksheet.uuid, "make", context.record.name)
    return [bundle for bundle in found if context.competition.submission.tag in bundle.tags]


def _find_twin(context: SubmissionContext, worksheet: SubmissionWorksheet, uuid: str) -> Bundle | None:
    """Another bundle of this very submission that carries the tag, set from another machine."""
    twins = _find_tagged(context, worksheet)
    return None if any(bundle.uuid == uuid for bundle in twins) else next(iter(twins), None)


def _keep_one_tag(context: SubmissionContext, worksheet: SubmissionWorksheet) -> str:
    """Of this submission's tagged bundles the oldest keeps its tag: everyone who looks chooses the same."""
    found, tag = _find_tagged(context, worksheet), context.competition.submission.tag
    if not found:
        raise not_done(f"was told the tag {tag} and does not show it")
    for other in found[1:]:
        context.codalab.untag(other.uuid, tag)
    return found[0].uuid


def _require_allowed(context: SubmissionContext, bundle: Bundle) -> None:
    """Check what may have changed since the plan was made.

    Raises:
        PredictionsOutdated: The daemon would pass over this bundle.
        SubmissionRefused: Another submission would be replaced, or the competition has closed, and nobody agreed to that.
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
    """Whether what is tagged now, ours counted as of this moment, keeps the rule."""
    now, rule = context.clock(), context.competition.quota
    mine = quotas.Spent(uuid, context.record.name, now, "ledger")
    known = [*spent_by_ledger(context.own_submissions), mine]
    tagged = tagged_bundles(context.competition, context.rest, context.account)
    after = quotas.decide(rule, quotas.merge(known, spent_on_server(tagged)), now)
    return len(after.in_window) <= rule.per_window and len(after.spent) <= rule.total
