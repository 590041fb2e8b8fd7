"""Plan a submission: its identity, its progress, and everything that would lose, hide or waste it.

All checks run before anything is uploaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cldc import description as descriptions
from cldc.bundles.computing_time import check_time, preflight_runs, submitted_runs
from cldc.bundles.runs import organisers_uuid
from cldc.bundles.worksheets import worksheet_name
from cldc.codalab import Rest, User
from cldc.competition import Competition
from cldc.errors import CldcError, QuotaExceeded, SubmissionRefused
from cldc.ledger import TAG, WITHDRAW, Ledger, Record
from cldc.preflight.model import PreflightResult
from cldc.quota import Quota
from cldc.submission.account_state import AccountState
from cldc.submission.links import check_links
from cldc.submission.model import STEPS, Consent, Intent, NeedsConsent, Plan, Replaced, SubmissionCheck
from cldc.submission.quota import has_lost_tag
from cldc.submission.withdraw import record_withdrawal
from cldc.text import plural, size
from cldc.validation import Severity, ValidationReport

_SPENT = "counted already"


def plan_submission(intent: Intent, state: AccountState, ledger: Ledger) -> Plan:
    """Plan the submission of a validated dataset, with every reason to refuse it.

    Args:
        intent: The dataset and the submission's name.
        state: The state of the account.
        ledger: The ledger, which records a tag removed on another machine.

    Raises:
        Unreachable, CredentialsError: The server can't be read, so no plan is possible.
    """
    dataset = intent.report.dataset
    name = intent.name if intent.named else state.free_name(intent.name, dataset.hash)
    wanted, intent = intent.name, replace(intent, name=name)
    record = _record(intent, state)
    progress, state = _progress(record, state, ledger)
    return Plan(
        record=record,
        description=_description(intent, state.competition),
        images=intent.report.total,
        metadata=intent.report.metadata,
        predictions=intent.predictions,
        worksheet=worksheet_name(record.account, name, record.id),
        steps=tuple(step for step in STEPS if step not in progress.done),
        checks=_checks(intent, state, progress, wanted=wanted),
        quota=state.quota,
        replaces=progress.replaced,
        supersedes=tuple(uuid for uuid, score in progress.competing.items() if score is None),
        scored=tuple(uuid for uuid, score in progress.competing.items() if score is not None),
        after_closing=intent.consent.after_closing,
    )


def _record(intent: Intent, state: AccountState) -> Record:
    dataset, preflight = intent.report.dataset, intent.preflight
    return Record(
        id=state.submission_id(intent.name, dataset.hash),
        competition=state.competition.name,
        server=state.rest.server,
        account=state.user.name,
        name=intent.name,
        institution=intent.institution,
        link=intent.link,
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        preflight=preflight.fingerprint.id if preflight else None,
        created=datetime.now(UTC),
    )


def _description(intent: Intent, competition: Competition) -> str:
    """Compose the description; empty if a check refuses it."""
    try:
        return compose_description(intent, competition)
    except CldcError:
        return ""


# Progress ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Progress:
    """The progress of a submission, and the entries that it would replace.

    Attributes:
        id: The submission's id.
        done: Names of the finished steps.
        spent: Whether this submission has its place of the quota already.
        replaced: Entries that it would replace.
        competing: Other tagged bundles, uuid to score or None; of them and this one only the newest counts.
    """

    id: str
    done: frozenset[str]
    spent: bool
    replaced: tuple[Replaced, ...]
    competing: Mapping[str, float | None]


def _progress(record: Record, state: AccountState, ledger: Ledger) -> tuple[_Progress, AccountState]:
    """Find a submission's progress, and return it with the updated state."""
    done, state = _done_steps(record, state, ledger)
    own = state.find_own_bundles(record.name, record.id)
    # After a kill between tag and record, or a tag from another machine, it has its place and replaces no entry.
    spent = TAG in done or any(bundle.uuid in own for bundle in state.tagged)
    competing = state.competing_submissions(record.name, own)
    progress = _Progress(
        id=record.id,
        done=done,
        spent=spent,
        replaced=() if spent else state.replaced_entries(record.name, own),
        competing={bundle.uuid: state.score_and_rank(bundle.uuid)[0] for bundle in competing},
    )
    return progress, state


def _done_steps(record: Record, state: AccountState, ledger: Ledger) -> tuple[frozenset[str], AccountState]:
    """List finished steps that still hold: not a tag removed on another machine, nor a publication undone since."""
    known = state.submissions.get(record.id)
    if known is None:
        return frozenset(), state
    done = {step for step in known.steps if known.finished(step)}
    if known.carries_tag:
        bundle = state.rest.found(known.uuid(TAG))
        if has_lost_tag(bundle, state.competition.submission.tag):
            record_withdrawal(ledger, known, rest=state.rest, board=state.board, now=state.now)
            done.add(WITHDRAW)
            state = replace(state, submissions={s.record.id: s for s in ledger.submissions()})
        elif bundle is not None and not bundle.public_permission:
            done -= {"publish", "describe", "prove"}
    if WITHDRAW in done:
        done -= {TAG, WITHDRAW}
    return frozenset(done), state


# Checks ------------------------------------------------------------------------------------------------------


def _checks(
    intent: Intent, state: AccountState, progress: _Progress, *, wanted: str
) -> tuple[SubmissionCheck, ...]:
    """Run every check, whatever the others find; ``wanted`` is the desired name, used if it was free."""
    report, competition, rest = intent.report, state.competition, state.rest
    return (
        _check("dataset", lambda: _dataset(report)),
        SubmissionCheck("name", _name(intent, wanted)),
        _check("preflight", lambda: _preflight(report, intent.preflight)),
        _check(
            "description",
            lambda: f"{compose_description(intent, competition)!r}, which the board reads correctly",
        ),
        _check("quota", lambda: _SPENT if progress.spent else _quota(state.quota)),
        _check(
            "disk",
            lambda: (
                "uploaded already" if "upload" in progress.done else _disk(rest.server, state.user, report)
            ),
        ),
        _time(intent, state, progress),
        _check("organisers' bundles", lambda: _organisers(competition, rest)),
        _check("same dataset", lambda: _new(intent, state, progress)),
        _check(
            "links",
            lambda: _SPENT if progress.spent else check_links(report.outward_links, intent.consent),
        ),
        _metadata(report),
        _check("replaces", lambda: _replaces(intent, progress, competition)),
        _check(
            "closing date",
            lambda: (
                _SPENT
                if progress.spent
                else check_open(competition, state.now, after_closing=intent.consent.after_closing)
            ),
        ),
    )


def compose_description(intent: Intent, competition: Competition) -> str:
    """Compose the description as the board will parse it.

    Raises:
        CldcError: The board would hide or garble it.
    """
    return descriptions.compose(
        competition.submission.description,
        name=intent.name,
        institution=intent.institution,
        link=intent.link,
    )


def _check(subject: str, check: Callable[[], str]) -> SubmissionCheck:
    try:
        return SubmissionCheck(subject, check())
    except CldcError as error:
        return SubmissionCheck(subject, "", refusal=error.message, error=error)


def _dataset(report: ValidationReport) -> str:
    report.require_valid()
    warnings = len(report.of(Severity.WARNING))
    return f"{report.total:,} images, no errors, {plural(warnings, 'warning')}"


def _name(intent: Intent, wanted: str) -> str:
    if intent.named:
        return f"{intent.name}, as chosen"
    if intent.name == wanted:
        return f"{intent.name}, after the folder"
    return f"{intent.name}, because {wanted} is an earlier submission of another dataset"


def _metadata(report: ValidationReport) -> SubmissionCheck:
    summary = report.metadata.summary
    if not summary:
        return SubmissionCheck("metadata", "none in any image")
    return SubmissionCheck(
        "metadata",
        f"{summary}; it becomes public with them, and `cldc validate --fix` removes it",
        warning=True,
    )


def _preflight(report: ValidationReport, preflight: PreflightResult | None) -> str:
    if preflight is None:
        return "none yet"
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
    return f"{quota.left} of {rule.per_window} left {rule.this_window}, {len(quota.spent)} of {rule.total} used in all"


def _disk(server: str, user: User, report: ValidationReport) -> str:
    # The zip, its unpacked content and the run's output: twice the images is a safe estimate.
    wanted = 2 * sum(image.size for image in report.dataset.images)
    free = user.disk_quota - user.disk_used
    if free < wanted:
        raise QuotaExceeded(
            f"The account {user.name} has {size(free)} of disk left on {server}; about {size(wanted)} are needed.",
            action="Remove bundles that are no longer needed, or ask the server's operators for more.",
        )
    return f"{size(free)} left on the server"


def _time(intent: Intent, state: AccountState, progress: _Progress) -> SubmissionCheck:
    if "run" in progress.done:
        return SubmissionCheck("time", "the run has started")
    preflights = [intent.preflight] if intent.preflight is not None else []
    known = [
        *submitted_runs(state.own_submissions),
        *preflight_runs(preflights, state.competition, state.rest.server),
    ]
    try:
        finding, tight = check_time(
            state.rest, state.user, state.competition, known, images=intent.report.total
        )
    except CldcError as error:
        return SubmissionCheck("time", "", refusal=error.message, error=error)
    return SubmissionCheck("time", finding, warning=tight)


def _organisers(competition: Competition, rest: Rest) -> str:
    """Check the organisers' bundles: the daemon drops a submission that does not depend on them by uuid (copies don't count)."""
    for reference in (competition.bundles.script, competition.bundles.label_book):
        bundle = rest.bundle(organisers_uuid(reference))
        if bundle.failure or not bundle.readable:
            raise SubmissionRefused(
                f"The organisers' {reference.name} ({reference.uuid}) can't be used: {bundle.failure or 'it is private'}.",
                action="Ask the organisers; without it no submission can be scored.",
            )
    return "reachable"


def _new(intent: Intent, state: AccountState, progress: _Progress) -> str:
    """Check that the content is new: submitting it again under another name would waste a place."""
    for known in state.own_submissions:
        other = known.record.id != progress.id
        if known.tagged and other and known.record.dataset_hash == intent.report.dataset.hash:
            if intent.consent.again:
                return f"submitted before as {known.record.name}; again, as asked"
            raise SubmissionRefused(
                f"This very dataset was submitted as {known.record.name!r} on {known.tagged.astimezone():%Y-%m-%d %H:%M}.",
                action="Change the dataset, or add --again to spend another submission on it.",
            )
    return "not submitted before"


def _replaces(intent: Intent, progress: _Progress, competition: Competition) -> str:
    """Check for replaced entries: the daemon scores an account's newest tagged bundle, or the newest of each name, only."""
    rule = competition.submission.supersedes
    by = f"only the newest of {'a name' if rule == 'name' else 'an account'} counts"
    if not progress.replaced:
        return f"nothing; {by}"
    names = " and ".join(map(str, progress.replaced))
    uuids = frozenset(entry.uuid for entry in progress.replaced)
    if intent.consent.supersede or uuids <= intent.consent.replaced:
        return f"{names}, as agreed; {by}"
    action = "Give it another --name, or add" if rule == "name" else "Add"
    raise NeedsConsent(
        f"It would replace {names}; {by}.",
        action=f"{action} --supersede to replace what is there.",
        question=f"Replace {names}?",
        grants=Consent(replaced=uuids),
    )


def check_open(competition: Competition, now: datetime, *, after_closing: bool) -> str:
    """Describe until when the competition is open.

    Args:
        now: The server's time.
        after_closing: Whether the user agreed to submit to a closed competition.

    Raises:
        SubmissionRefused: It is closed, and the user did not agree.
    """
    closes = competition.last_moment
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
