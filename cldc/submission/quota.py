"""An account's quota: what the server shows as spent, and what the ledger knows to be spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from cldc import quota as quotas
from cldc.codalab import Bundle, Rest
from cldc.competition import Competition, QuotaRule
from cldc.ledger import SPENT, TAG, WITHDRAW, KnownSubmission
from cldc.quota import Quota, Spent


def tagged_bundles(competition: Competition, rest: Rest, account: str) -> tuple[Bundle, ...]:
    """The account's bundles that carry the tag, as far as everyone sees them; CodaLab's databases ignore case."""
    tag = competition.submission.tag
    return tuple(bundle for bundle in rest.search(tag=tag, owner=account) if tag in bundle.tags)


def usage_by_source(
    rule: QuotaRule, tagged: Iterable[Bundle], submissions: Iterable[KnownSubmission], now: datetime
) -> dict[str, Quota]:
    """The rule applied to what the server shows, to what the ledger knows, and to both together.

    Args:
        rule: The competition's.
        tagged: The account's `tagged_bundles`.
        submissions: What the ledger knows of the account's submissions to the competition.
        now: The server's time.
    """
    shown, known = tuple(spent_on_server(tagged)), tuple(spent_by_ledger(submissions))
    sources = {"server": shown, "ledger": known, "together": quotas.merge(known, shown)}
    return {source: quotas.decide(rule, spent, now) for source, spent in sources.items()}


def current_quota(
    rule: QuotaRule, tagged: Iterable[Bundle], submissions: Iterable[KnownSubmission], now: datetime
) -> Quota:
    """The account's quota by ledger and server, whichever knows of more; arguments as of `usage_by_source`."""
    return usage_by_source(rule, tagged, submissions, now)["together"]


def spent_by_ledger(submissions: Iterable[KnownSubmission]) -> Iterator[Spent]:
    """Places that the ledger knows to be spent: tags that were seen on their bundles, and not taken off in time."""
    for known in submissions:
        withdrawal, current = known.steps.get(WITHDRAW), known.uuid(TAG)
        free = withdrawal is not None and withdrawal.result.get("spent") == "no"
        for name, step in known.steps.items():
            # Of the bundle that is tagged now, or was last, its own tag tells.
            earlier = name.startswith(SPENT) and step.result.get("uuid") != current
            if step.finished is not None and (earlier or (name == TAG and not free)):
                yield Spent(step.result["uuid"], known.record.name, step.finished, "ledger")


def spent_on_server(tagged: Iterable[Bundle]) -> Iterator[Spent]:
    """Places that the server shows as spent: the account's tagged bundles, by the time they were made."""
    for bundle in tagged:
        if bundle.created is not None:
            yield Spent(bundle.uuid, bundle.name, bundle.created, "server")


def has_lost_tag(bundle: Bundle | None, tag: str) -> bool:
    """Whether a bundle that was tagged exists and is no longer tagged: withdrawn from elsewhere, or by a call that was killed."""
    return bundle is not None and tag not in bundle.tags
