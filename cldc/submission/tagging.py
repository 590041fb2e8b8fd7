"""The steps that make a submission of what was made: publish, describe, and the tag that commits it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from cldc import description as descriptions
from cldc import quota as quotas
from cldc.codalab.failures import not_done
from cldc.errors import QuotaExceeded, SubmissionRefused
from cldc.ledger import TAG
from cldc.submission.checking import check_open
from cldc.submission.making import stale
from cldc.submission.places import spent_by_ledger, spent_on_server, standing, tagged
from cldc.submission.proving import check_description
from cldc.submission.work import Remake, Result, Work, age, own, rivals, tag_lock

if TYPE_CHECKING:
    from cldc.codalab import Bundle

_TRIES = 6
_LONGEST_PAUSE_SECONDS = 2.0


def publish(work: Work) -> Result:
    """The scoring daemon is another account: it sees only what everyone sees."""
    uuid = work.uuid("worksheet")
    own = [work.uuid(step) for step in ("upload", "run", "predictions")]
    work.codalab.publish(own, uuid)
    for bundle in own:
        if not work.anonymous.bundle(bundle).readable:
            raise not_done(f"was told to let everyone read {bundle} and does not")
    return {"uuid": uuid}


def describe(work: Work) -> Result:
    """The description, read back as the board will read it."""
    uuid, plan = work.uuid("predictions"), work.plan
    before = work.rest.bundle(uuid).description
    work.cl.describe(uuid, plan.description)
    stored = work.anonymous.bundle(uuid).description
    if stored == before != plan.description:
        raise not_done("was told the description and keeps the old one")
    check_description(stored, descriptions.Reading(plan.name, plan.institution, plan.link))
    return {"uuid": uuid, "description": stored}


def tag(work: Work) -> Result:
    """The commit point: set the tag if a place is left, look again, and take it off if that was one too many.

    Processes of one machine meet in a lock. Machines of one account meet on the server only, which has no way to
    count and to tag in one go. So whoever has tagged looks again at all that is tagged by then, and keeps the tag only
    if all of it is within the quota; else it takes its own off and tries again after a random pause. Of two that are
    tagged at once the one that tagged later sees both, whatever the order of everything else: the quota is never
    exceeded by tags that stay, and each gives up after a bounded number of tries.

    Its limits: between the two moments one tag too many can be seen for a fraction of a second (the daemon defers what
    is beyond its own quota, it does not reject it). A client killed there leaves it until its next run, which looks
    again, as its ledger knows that the step was begun. A place that was withdrawn or removed by hand is known to the
    machine that tagged it only.
    """
    uuid, name = work.uuid("predictions"), work.competition.submission.tag
    with tag_lock(work.home, work.competition, work.plan.server, work.plan.account, work.observer):
        if (twin := _twin(work)) is not None:
            return {"uuid": twin.uuid}
        for number in range(_TRIES):
            bundle = work.rest.bundle(uuid)
            if name not in bundle.tags:
                _still_allowed(work, bundle)
                work.codalab.tag(uuid, name)
            elif TAG not in work.begun and number == 0:
                break  # set by a run that nobody here remembers; it has looked, or its machine will
            if _within_quota(work):
                break
            work.codalab.untag(uuid, name)
            work.observer.note("Another machine of this account tagged at the same moment; trying again.")
            time.sleep(random.uniform(0.1, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - no secret
        else:
            raise QuotaExceeded(
                "Other machines of this account kept tagging at the same moment, and the last place can't be had by all.",
                action="See `cldc quota`, then run the command again: what was prepared is kept.",
            )
        kept = _one_of_twins(work, name)
        if name not in work.anonymous.bundle(kept).tags:
            # Perhaps it was made private meanwhile: the next try makes it readable by everyone again.
            work.ledger.forget(work.plan.id, ("publish", "describe", "prove"))
            raise not_done(f"was told the tag {name} for {kept} and does not show it")
    return {"uuid": kept}


def _twin(work: Work) -> Bundle | None:
    """Another bundle of this very submission that carries the tag, set from another machine."""
    name, uuid = work.competition.submission.tag, work.uuid("predictions")
    twins = [b for b in own(work, "make", work.plan.name) if name in b.tags]
    return None if any(b.uuid == uuid for b in twins) else next(iter(twins), None)


def _one_of_twins(work: Work, name: str) -> str:
    """Of this submission's tagged bundles the oldest keeps its tag: everyone who looks chooses the same."""
    found = sorted((b for b in own(work, "make", work.plan.name) if name in b.tags), key=age)
    if not found:
        raise not_done(f"was told the tag {name} and does not show it")
    for other in found[1:]:
        work.codalab.untag(other.uuid, name)
    return found[0].uuid


def _still_allowed(work: Work, bundle: Bundle) -> None:
    """What may have changed since the plan was made.

    Raises:
        Remake: The daemon would pass over this bundle.
        SubmissionRefused: Another submission would be replaced, or the competition has closed, and nobody agreed to that.
        QuotaExceeded: No place is left.
    """
    if reason := stale(work, bundle):
        work.observer.note(f"The predictions bundle is made again: {reason}.")
        raise Remake
    unforeseen = [
        rival
        for rival in rivals(work)
        if rival.uuid not in work.plan.supersedes and rival.uuid not in work.plan.scored
    ]
    if unforeseen:
        raise SubmissionRefused(
            f"Meanwhile {unforeseen[0].name} ({unforeseen[0].uuid}) was tagged, and would be replaced.",
            action="Run the command again: it says what would be replaced, and --supersede agrees to that.",
        )
    check_open(work.competition, work.clock(), after_closing=work.plan.after_closing)
    standing(work.competition, work.rest, work.ledger, work.plan.account, now=work.clock()).require()


def _within_quota(work: Work) -> bool:
    """Whether what is tagged now, ours counted as of this moment, keeps the rule."""
    now, rule, plan = work.clock(), work.competition.quota, work.plan
    mine = quotas.Spent(work.uuid("predictions"), plan.name, now, "ledger")
    known = [*spent_by_ledger(work.ledger, work.competition, plan.server, plan.account), mine]
    spent = quotas.merge(known, spent_on_server(tagged(work.competition, work.rest, plan.account)))
    after = quotas.decide(rule, spent, now)
    return len(after.in_window) <= rule.per_window and len(after.spent) <= rule.total
