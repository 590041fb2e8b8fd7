"""Everything that would lose, hide or waste a submission, each looked at on its own, before a byte is uploaded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from cldc import description as descriptions
from cldc.errors import CldcError, QuotaExceeded, SubmissionRefused
from cldc.ledger import TAG, Ledger, Record
from cldc.submission.computing_time import check_time, preflight_runs, submitted_runs
from cldc.submission.linked import check_links
from cldc.submission.model import Check, Consent, Intent, NeedsConsent
from cldc.submission.sight import Sight
from cldc.text import plural
from cldc.validation import Severity

if TYPE_CHECKING:
    from cldc.codalab import Rest, User
    from cldc.competition import Competition, Reference
    from cldc.preflight.model import PreflightResult
    from cldc.quota import Quota
    from cldc.validation import ValidationReport


def checks(
    intent: Intent, sight: Sight, *, wanted: str, competition: Competition, rest: Rest, ledger: Ledger
) -> tuple[Check, ...]:
    """Look at everything, whatever is found.

    Args:
        intent: What is to be submitted.
        wanted: The name that it was to have if that was free.
        sight: What server and ledger show.
        competition: The profile.
        rest: Reads the server as the account that submits.
        ledger: What is known of earlier submissions.
    """
    report = intent.report
    return (
        _check("dataset", lambda: _dataset(report)),
        Check("name", _name(intent, wanted)),
        _check("preflight", lambda: _preflight(report, intent.preflight)),
        _check(
            "description", lambda: f"{describe(intent, competition)!r}, which the board reads as it is meant"
        ),
        _check("quota", lambda: "its place is spent already" if sight.spent else _quota(sight.quota)),
        _check(
            "disk",
            lambda: "uploaded already" if "upload" in sight.done else _disk(rest.server, sight.user, report),
        ),
        _time(intent, sight, competition, rest, ledger),
        _check("organisers' bundles", lambda: _organisers(competition, rest)),
        _check("same dataset", lambda: _new(intent, sight, competition, rest.server, ledger)),
        _check(
            "links",
            lambda: (
                "its place is spent already"
                if sight.spent
                else check_links(report.outward_links, intent.consent)
            ),
        ),
        _metadata(report),
        _check("replaces", lambda: _supersedes(intent, sight, competition)),
        _check(
            "closing date",
            lambda: (
                "its place is spent already"
                if sight.spent
                else check_open(competition, sight.now, after_closing=intent.consent.after_closing)
            ),
        ),
    )


def describe(intent: Intent, competition: Competition) -> str:
    """The description as the board will read it.

    Raises:
        CldcError: The board would hide or garble it.
    """
    return descriptions.compose(
        competition.submission.description,
        name=intent.name,
        institution=intent.institution,
        link=intent.link,
    )


def _check(subject: str, look: Callable[[], str]) -> Check:
    try:
        return Check(subject, look())
    except CldcError as error:
        return Check(subject, "", refusal=error.message, error=error)


def _dataset(report: ValidationReport) -> str:
    report.require_valid()
    warnings = len(report.of(Severity.WARNING))
    return f"{report.total:,} images, no errors, {plural(warnings, 'warning')}, identity {report.dataset.hash[:12]}"


def _name(intent: Intent, wanted: str) -> str:
    if intent.named:
        return f"{intent.name}, as chosen"
    if intent.name == wanted:
        return f"{intent.name}, as the folder"
    return f"{intent.name}, because {wanted} is an earlier submission of another dataset"


def _metadata(report: ValidationReport) -> Check:
    summary = report.metadata.summary
    if not summary:
        return Check("metadata", "no image carries any")
    return Check(
        "metadata",
        f"{summary}; it becomes public with them, and `cldc validate --fix` removes it",
        warning=True,
    )


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


def _disk(server: str, user: User, report: ValidationReport) -> str:
    # The zip, what CodaLab unpacks from it, and what the run leaves: twice the images is on the safe side.
    wanted = 2 * sum(image.size for image in report.dataset.images)
    free = user.disk_quota - user.disk_used
    if free < wanted:
        raise QuotaExceeded(
            f"The account {user.name} has {free / 1e6:.1f} MB of disk left on {server}; about {wanted / 1e6:.1f} MB are needed.",
            action="Remove bundles that are no longer needed, or ask the server's operators for more.",
        )
    return f"{free / 1e6:,.0f} MB left on the server"


def _time(intent: Intent, sight: Sight, competition: Competition, rest: Rest, ledger: Ledger) -> Check:
    if "run" in sight.done:
        return Check("time", "the run was started already")
    preflights = [intent.preflight] if intent.preflight is not None else []
    known = [
        *submitted_runs(ledger, competition, rest.server, sight.user.name),
        *preflight_runs(preflights, competition, rest.server),
    ]
    try:
        finding, tight = check_time(rest, sight.user, competition, known, images=intent.report.total)
    except CldcError as error:
        return Check("time", "", refusal=error.message, error=error)
    return Check("time", finding, warning=tight)


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


def _new(intent: Intent, sight: Sight, competition: Competition, server: str, ledger: Ledger) -> str:
    """The same content under another name would spend a place on what was submitted already."""
    mine = (competition.name, server, sight.user.name, intent.report.dataset.hash)
    for record in ledger.records():
        if record.id != sight.id and _content(record) == mine:
            step = ledger.steps(record.id).get(TAG)
            if step is not None and step.finished is not None:
                if intent.consent.again:
                    return f"submitted before as {record.name}; again, as asked"
                raise SubmissionRefused(
                    f"This very dataset was submitted as {record.name!r} on {step.finished.astimezone():%Y-%m-%d %H:%M}.",
                    action="Change the dataset, or say --again to spend another place on it.",
                )
    return "not submitted before under another name"


def _content(record: Record) -> tuple[str, str, str, str]:
    return record.competition, record.server, record.account, record.dataset_hash


def _supersedes(intent: Intent, sight: Sight, competition: Competition) -> str:
    """The daemon scores an account's newest tagged bundle, or the newest of each name, and passes over the others."""
    rule = competition.submission.supersedes
    by = f"of one {rule}, only the newest counts"
    if not sight.replaced:
        return f"nothing; {by}"
    names = " and ".join(map(str, sight.replaced))
    if intent.consent.supersede or {e.uuid for e in sight.replaced} <= intent.consent.replaced:
        return f"{names}, as agreed; {by}"
    action = "Give it another --name, or add" if rule == "name" else "Add"
    raise NeedsConsent(
        f"It would replace {names}; {by}.",
        action=f"{action} --supersede to replace what is there.",
        question=f"Replace {names}?",
        grants=Consent(replaced=frozenset(entry.uuid for entry in sight.replaced)),
    )


def check_open(competition: Competition, now: datetime, *, after_closing: bool) -> str:
    """Until when the competition is open, in words.

    Args:
        now: The server's time.
        after_closing: Whether somebody agreed to submit to a closed competition.

    Raises:
        SubmissionRefused: It is closed, and nobody agreed.
    """
    closes = competition.closes
    if closes is None:
        return "none"
    if now <= closes:
        return f"open until {closes.astimezone():%Y-%m-%d %H:%M %Z}"
    closed = f"closed on {closes.astimezone():%Y-%m-%d %H:%M %Z}"
    if not after_closing:
        raise SubmissionRefused(
            f"{competition.title} {closed}; its organisers may score nothing any more.",
            action="Choose another --competition, or add --after-closing to publish and tag it all the same.",
        )
    return f"{closed}; submitting all the same, as asked"
