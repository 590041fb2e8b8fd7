"""An account's quota: places spent according to the server and according to the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from cldc import quota as quotas
from cldc.codalab import Bundle, Rest
from cldc.competition import Competition, QuotaRule
from cldc.ledger import SPENT, TAG, WITHDRAW, KnownSubmission
from cldc.quota import Quota, Spent


def tagged_bundles(competition: Competition, rest: Rest, account: str) -> tuple[Bundle, ...]:
    """Select the account's public bundles with the tag; CodaLab's databases ignore case."""
    tag = competition.submission.tag
    return tuple(bundle for bundle in rest.search(tag=tag, owner=account) if tag in bundle.tags)


def usage_by_source(
    rule: QuotaRule, tagged: Iterable[Bundle], submissions: Iterable[KnownSubmission], now: datetime
) -> dict[str, Quota]:
    """Apply the rule to the server's data, to the ledger's, and to both together.

    Args:
        rule: The competition's quota rule.
        tagged: The account's bundles from `tagged_bundles`.
        submissions: The account's submissions to the competition in the ledger.
        now: The server's time.
    """
    shown, known = tuple(spent_on_server(tagged)), tuple(spent_by_ledger(submissions))
    sources = {"server": shown, "ledger": known, "together": quotas.merge(known, shown)}
    return {source: quotas.decide(rule, spent, now) for source, spent in sources.items()}


def current_quota(
    rule: QuotaRule, tagged: Iterable[Bundle], submissions: Iterable[KnownSubmission], now: datetime
) -> Quota:
    """Compute the account's quota from ledger and server, whichever shows more; arguments as for `usage_by_source`."""
    return usage_by_source(rule, tagged, submissions, now)["together"]


def spent_by_ledger(submissions: Iterable[KnownSubmission]) -> Iterator[Spent]:
    """List places that the ledger counts as spent: tags seen on their bundles and not removed in time."""
    for known in submissions:
        withdrawal, current = known.steps.get(WITHDRAW), known.uuid(TAG)
        free = withdrawal is not None and withdrawal.result.get("spent") == "no"
        for name, step in known.steps.items():
            # For the bundle tagged now or last, the tag itself decides.
            earlier = name.startswith(SPENT) and step.result.get("uuid") != current
            if step.finished is not None and (earlier or (name == TAG and not free)):
                yield Spent(step.result["uuid"], known.record.name, step.finished, "ledger")


def spent_on_server(tagged: Iterable[Bundle]) -> Iterator[Spent]:
    """List places that the server shows as spent: the account's tagged bundles, by creation time."""
    for bundle in tagged:
        if bundle.created is not None:
            yield Spent(bundle.uuid, bundle.name, bundle.created, "server")


def has_lost_tag(bundle: Bundle | None, tag: str) -> bool:
    """Whether a bundle exists without its earlier tag: withdrawn on another machine or by a killed call."""
    return bundle is not None and tag not in bundle.tags
