"""Settling what is meant, and looking at everything that would lose, hide or waste it before a byte is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cldc import description as descriptions
from cldc import quota as quotas
from cldc.errors import CldcError, QuotaExceeded, SubmissionRefused
from cldc.ledger import Ledger, Record
from cldc.submission.model import Check, Plan, submission_id

if TYPE_CHECKING:
    from cldc.codalab import Rest
    from cldc.competition import Competition, Reference
    from cldc.preflight import PreflightResult
    from cldc.quota import Quota, Spent
    from cldc.validation import ValidationReport

TAG = "tag"


def plan(
    report: ValidationReport,
    preflight: PreflightResult | None,
    *,
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    name: str,
    institution: str,
    link: str,
    predictions: int,
    steps: tuple[str, ...],
    again: bool = False,
    now: datetime | None = None,
) -> Plan:
    """What submitting the validated dataset would do, with every reason for which it would be refused.

    Args:
        report: The dataset, valid or not.
        preflight: Its finished preflight; None where none is wanted.
        rest: Reads the server as the account that submits.
        ledger: What is known of earlier submissions.
        name: The submission's name; ``institution`` and ``link`` go with it into the description.
        predictions: Images in the label book.
        steps: Names of all steps, in order.
        again: Whether the same dataset may be submitted under another name.
        now: The time to decide at.

    Raises:
        Unreachable, CredentialsError: The server can't be asked, so nothing can be said.
    """
    account = rest.user().name
    identity = submission_id(
        tag=competition.submission.tag,
        server=rest.server,
        account=account,
        name=name,
        dataset_hash=report.dataset.hash,
    )
    done = {step for step, record in ledger.steps(identity).items() if record.finished}
    quota = standing(competition, rest, ledger, account, now=now)
    text = ""

    def describe() -> str:
        nonlocal text
        text = descriptions.compose(
            competition.submission.description, name=name, institution=institution, link=link
        )
        return f"{text!r}, which the board reads as it is meant"

    checks = (
        _check("dataset", lambda: _dataset(report)),
        _check("preflight", lambda: _preflight(report, preflight)),
        _check("description", describe),
        _check("quota", lambda: "its place is spent already" if TAG in done else _quota(quota)),
        _check("disk", lambda: _disk(rest, report)),
        _check("organisers' bundles", lambda: _organisers(competition, rest)),
        _check(
            "same dataset",
            lambda: _new(
                ledger,
                identity=identity,
                account=account,
                competition=competition,
                report=report,
                rest=rest,
                again=again,
            ),
        ),
        _closing(competition, now),
    )
    return Plan(
        id=identity,
        competition=competition.name,
        server=rest.server,
        account=account,
        name=name,
        institution=institution,
        link=link,
        description=text,
        dataset=report.dataset.name,
        dataset_hash=report.dataset.hash,
        images=report.total,
        predictions=predictions,
        preflight=preflight.fingerprint.id if preflight else None,
        worksheet=f"cldc-{descriptions.proper_name(account)}-{descriptions.proper_name(name)}-{identity[:8]}",
        steps=tuple(step for step in steps if step not in done),
        checks=checks,
        quota=quota,
    )


def standing(
    competition: Competition, rest: Rest, ledger: Ledger, account: str, *, now: datetime | None = None
) -> Quota:
    """The account's quota from the ledger and the server, whichever knows of more."""
    spent = quotas.merge(
        spent_by_ledger(ledger, competition, rest.server, account),
        spent_on_server(competition, rest, account),
    )
    return quotas.decide(competition.quota, spent, now or datetime.now(UTC))


def spent_by_ledger(ledger: Ledger, competition: Competition, server: str, account: str) -> Iterable[Spent]:
    """Places that the ledger knows to be spent: tags that were seen on their bundles."""
    for record in ledger.records():
        if (record.competition, record.server, record.account) == (competition.name, server, account):
            step = ledger.steps(record.id).get(TAG)
            if step is not None and step.finished is not None:
                yield quotas.Spent(step.result["uuid"], record.name, step.finished, "ledger")


def spent_on_server(competition: Competition, rest: Rest, account: str) -> Iterable[Spent]:
    """Places that the server shows as spent: the account's public bundles with the tag, by the time they were made."""
    for bundle in rest.search(tag=competition.submission.tag, owner=account):
        if bundle.created is not None:
            yield quotas.Spent(bundle.uuid, bundle.name, bundle.created, "server")


def _check(subject: str, look: Callable[[], str]) -> Check:
    try:
        return Check(subject, look())
    except CldcError as error:
        return Check(subject, "", refusal=error.message, error=error)


def _dataset(report: ValidationReport) -> str:
    report.require_valid()
    return f"{report.total:,} images, no errors, identity {report.dataset.hash[:12]}"


def _preflight(report: ValidationReport, preflight: PreflightResult | None) -> str:
    if preflight is None:
        return "left out"
    if preflight.fingerprint.dataset != report.dataset.hash:
        raise SubmissionRefused(
            "The preflight is of another dataset.", action=f"Run `cldc preflight {report.dataset.root}`."
        )
    if preflight.quick or preflight.label_book is None:
        raise SubmissionRefused(
            "The preflight was a quick one, which proves too little.",
            action=f"Run `cldc preflight {report.dataset.root}` without --quick.",
        )
    return f"validation {preflight.validation.accuracy:.1%}, label book {preflight.label_book.accuracy:.1%}"


def _quota(quota: Quota) -> str:
    quota.require()
    rule = quota.rule
    return f"{quota.left} of {rule.per_window} in {rule.window_days:g} days left, {len(quota.spent)} of {rule.total} used in all"


def _disk(rest: Rest, report: ValidationReport) -> str:
    user = rest.user()
    # The zip, what CodaLab unpacks from it, and what the run leaves: twice the images is on the safe side.
    wanted = 2 * sum(image.size for image in report.dataset.images)
    free = user.disk_quota - user.disk_used
    if free < wanted:
        raise QuotaExceeded(
            f"The account {user.name} has {free / 1e6:.1f} MB of disk left on {rest.server}; about {wanted / 1e6:.1f} MB are needed.",
            action="Remove bundles that are no longer needed, or ask the server's operators for more.",
        )
    return f"{free / 1e6:,.0f} MB left on the server"


def _organisers(competition: Competition, rest: Rest) -> str:
    """The daemon drops what does not reach the organisers' own bundles, by uuid (a copy does not count)."""
    for reference in (competition.bundles.script, competition.bundles.label_book):
        bundle = rest.bundle(organisers_uuid(reference))
        if bundle.failure or not bundle.readable:
            raise SubmissionRefused(
                f"The organisers' {reference.name} ({reference.uuid}) can't be used: {bundle.failure or 'it is private'}.",
                action="Ask the organisers; without it no submission can be scored.",
            )
    return "reachable"


def organisers_uuid(reference: Reference) -> str:
    """The uuid of a bundle that a submission must be made from.

    Raises:
        SubmissionRefused: The profile does not give it.
    """
    if reference.uuid is None:
        raise SubmissionRefused(
            f"The competition's profile gives no uuid for {reference.name}, and only the organisers' own bundle counts.",
            action="Add its uuid to the profile.",
        )
    return reference.uuid


def _new(
    ledger: Ledger,
    *,
    identity: str,
    account: str,
    competition: Competition,
    report: ValidationReport,
    rest: Rest,
    again: bool,
) -> str:
    """The same content under another name would spend a place on what was submitted already."""
    for record in ledger.records():
        if record.id != identity and _same_content(
            record, competition, rest.server, account, report.dataset.hash
        ):
            step = ledger.steps(record.id).get(TAG)
            if step is not None and step.finished is not None:
                if again:
                    return f"submitted before as {record.name}; again, as asked"
                raise SubmissionRefused(
                    f"This very dataset was submitted as {record.name!r} on {step.finished.astimezone():%Y-%m-%d %H:%M}.",
                    action="Change the dataset, or say --again to spend another place on it.",
                )
    return "not submitted before under another name"


def _same_content(
    record: Record, competition: Competition, server: str, account: str, dataset_hash: str
) -> bool:
    mine = (record.competition, record.server, record.account, record.dataset_hash)
    return mine == (competition.name, server, account, dataset_hash)


def _closing(competition: Competition, now: datetime | None) -> Check:
    closes, now = competition.closes, now or datetime.now(UTC)
    if closes is None:
        return Check("closing date", "none")
    if closes < now:
        return Check(
            "closing date",
            f"closed on {closes:%Y-%m-%d}; the organisers may score nothing any more",
            warning=True,
        )
    return Check("closing date", f"open until {closes.astimezone():%Y-%m-%d %H:%M %Z}")
