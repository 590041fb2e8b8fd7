"""Settling what is meant, and looking at everything that would lose, hide or waste it before a byte is uploaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from cldc import description as descriptions
from cldc.errors import CldcError, QuotaExceeded, SubmissionRefused
from cldc.ledger import Ledger, Record
from cldc.submission.model import Check, Plan, submission_id, worksheet_name
from cldc.submission.places import TAG, WITHDRAW, Clock, standing, tagged
from cldc.submission.recovery import learn

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Rest
    from cldc.competition import Competition, Reference
    from cldc.leaderboard import Leaderboard
    from cldc.preflight import PreflightResult
    from cldc.quota import Quota
    from cldc.validation import ValidationReport


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
    supersede: bool = False,
    board: Leaderboard | None = None,
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
        supersede: Whether a submission that nobody has scored yet may be replaced.
        board: What was scored, as far as it can be read.
        now: The time to decide at; the server's by default.

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
    now = now or Clock(rest)()
    learn(ledger, competition, rest, account)
    known = ledger.steps(identity)
    done = {step for step, record in known.items() if record.finished}
    if WITHDRAW in done:
        done -= {TAG, WITHDRAW}
    quota = standing(competition, rest, ledger, account, now=now)
    # Killed between the tag and its record, or tagged from another machine, it has its place and replaces nobody.
    spent = TAG in done or _carries_tag(competition, rest, account, name, identity)
    scored, waiting = _replaced(competition, rest, account, name, board)
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
        _check("quota", lambda: "its place is spent already" if spent else _quota(quota)),
        _check("disk", lambda: "uploaded already" if "upload" in done else _disk(rest, report)),
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
        _check("replaces", lambda: _supersedes(() if spent else waiting, scored, competition, supersede)),
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
        worksheet=worksheet_name(account, name, identity),
        steps=tuple(step for step in steps if step not in done),
        checks=checks,
        quota=quota,
        supersedes=tuple(bundle.uuid for bundle in waiting),
        scored=tuple(bundle.uuid for bundle in scored),
    )


def _carries_tag(competition: Competition, rest: Rest, account: str, name: str, identity: str) -> bool:
    """Whether a bundle on this very submission's worksheet carries the tag, whichever machine set it."""
    named = [bundle.uuid for bundle in tagged(competition, rest, account) if bundle.name == name]
    if not named:
        return False
    sheets = {sheet.uuid for sheet in rest.own_worksheets(worksheet_name(account, name, identity))}
    return any(sheets.intersection(rest.bundle(uuid, worksheets=True).worksheets) for uuid in named)


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


def _replaced(
    competition: Competition, rest: Rest, account: str, name: str, board: Leaderboard | None
) -> tuple[list[Bundle], list[Bundle]]:
    """Tagged bundles that the daemon would pass over for this one: those scored already, and those still waiting."""
    scores = {row.submission for row in board.rows if row.score is not None} if board else set()
    found = [
        bundle
        for bundle in tagged(competition, rest, account)
        if competition.submission.supersedes == "account" or bundle.name == name
    ]
    return [b for b in found if b.uuid in scores], [b for b in found if b.uuid not in scores]


def _supersedes(
    waiting: Sequence[Bundle], scored: Sequence[Bundle], competition: Competition, agreed: bool
) -> str:
    """The daemon scores an account's newest tagged bundle, or the newest of each name, and passes over the others."""
    by = f"of one {competition.submission.supersedes}, only the newest counts"
    if waiting:
        names = ", ".join(f"{bundle.name} ({bundle.uuid})" for bundle in waiting)
        if not agreed:
            raise Supersedes(
                f"It would replace {names}, which carries the tag and has no score yet that is known here; {by}.",
                action="Wait for its score, or say --supersede to give it up.",
            )
        return f"{names}, not scored yet, as agreed; {by}"
    return f"{len(scored)} that are scored already; {by}" if scored else f"nothing; {by}"


class Supersedes(SubmissionRefused):
    """Another submission would be replaced before it is scored; a person may agree to that."""


def _closing(competition: Competition, now: datetime) -> Check:
    closes = competition.closes
    if closes is None:
        return Check("closing date", "none")
    if closes < now:
        return Check(
            "closing date",
            f"closed on {closes:%Y-%m-%d}; the organisers may score nothing any more",
            warning=True,
        )
    return Check("closing date", f"open until {closes.astimezone():%Y-%m-%d %H:%M %Z}")
