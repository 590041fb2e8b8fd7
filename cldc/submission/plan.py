"""Plan a submission: its identity, its progress, and everything that would lose, hide or waste it.

All checks run before anything is uploaded.
"""

from __future__ import annotations

import contextlib
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import PurePath

from cldc import description as descriptions
from cldc.bundles.computing_time import check_time, preflight_runs, submitted_runs
from cldc.bundles.runs import organisers_uuid
from cldc.bundles.worksheets import worksheet_name
from cldc.competition import Competition
from cldc.dataset import OutwardLink
from cldc.errors import CldcError, QuotaExceeded, SubmissionRefused
from cldc.ledger import TAG, WITHDRAW, Record
from cldc.preflight.model import PreflightResult
from cldc.quota import Quota
from cldc.submission.account import AccountState
from cldc.submission.model import (
    PUBLISHED,
    STEPS,
    Consent,
    Intent,
    NeedsConsent,
    Plan,
    SubmissionCheck,
)
from cldc.submission.quota import has_lost_tag, record_withdrawal
from cldc.text import plural, printable, size
from cldc.validation import Severity, ValidationReport

_SPENT = "counted already"


def plan_submission(intent: Intent, state: AccountState) -> Plan:
    """Plan the submission of a validated dataset, with every reason to refuse it.

    A tag that was removed on another machine is recorded in the ledger.

    Raises:
        Unreachable, CredentialsError: The server can't be read, so no plan is possible.
    """
    dataset, contestant = intent.report.dataset, state.contestant
    name = intent.name if intent.named else state.free_name(intent.name, dataset.hash)
    record = Record(
        id=contestant.submission_id(name, dataset.hash),
        competition=contestant.competition.name,
        server=contestant.rest.server,
        account=contestant.account,
        name=name,
        institution=intent.institution,
        link=intent.link,
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        preflight=intent.preflight.fingerprint.id if intent.preflight else None,
        created=datetime.now(UTC),
    )
    description = ""
    with contextlib.suppress(CldcError):  # a check reports it
        description = _describe(record, contestant.competition)
    done, state = _done_steps(record, state)
    own = state.find_own_bundles(name, record.id)
    # After a kill between tag and record, or a tag from another machine, it counts and replaces no entry.
    spent = TAG in done or any(bundle.uuid in own for bundle in state.tagged)
    competing = [bundle.uuid for bundle in state.competing_submissions(name, own)]
    scored = tuple(uuid for uuid in competing if state.score_and_rank(uuid)[0] is not None)
    plan = Plan(
        intent=intent,
        record=record,
        description=description,
        worksheet=worksheet_name(record.account, name, record.id),
        steps=tuple(step for step in STEPS if step not in done),
        spent=spent,
        checks=(),
        quota=state.quota,
        replaces=() if spent else state.replaced_entries(name, own),
        supersedes=tuple(uuid for uuid in competing if uuid not in scored),
        scored=scored,
    )
    return replace(plan, checks=_checks(plan, state))


def _done_steps(record: Record, state: AccountState) -> tuple[frozenset[str], AccountState]:
    """List finished steps that still hold: not a tag removed on another machine, nor a publication undone since."""
    known, contestant = state.every.get(record.id), state.contestant
    if known is None:
        return frozenset(), state
    done = {step for step in known.steps if known.finished(step)}
    if known.carries_tag:
        bundle = contestant.rest.found(known.uuid(TAG))
        if has_lost_tag(bundle, contestant.competition.submission.tag):
            record_withdrawal(contestant, known, state.board, state.now)
            state = replace(state, every={s.record.id: s for s in contestant.ledger.submissions()})
            done.add(WITHDRAW)
        elif bundle is not None and not bundle.public_permission:
            done -= set(PUBLISHED)
    if WITHDRAW in done:
        done -= {TAG, WITHDRAW}
    return frozenset(done), state


# Checks ------------------------------------------------------------------------------------------------------


def _checks(plan: Plan, state: AccountState) -> tuple[SubmissionCheck, ...]:
    """Run every check, whatever the others find."""
    report, consent, competition = plan.intent.report, plan.intent.consent, state.contestant.competition
    described = "{!r}, which the board reads correctly"
    checks: dict[str, Callable[[], str | SubmissionCheck]] = {
        "dataset": lambda: _dataset(report),
        "name": lambda: _name(plan),
        "preflight": lambda: _preflight(report, plan.intent.preflight),
        "description": lambda: described.format(_describe(plan.record, competition)),
        "quota": lambda: _SPENT if plan.spent else _quota(plan.quota),
        "disk": lambda: _disk(report, state) if "upload" in plan.steps else "uploaded already",
        "time": lambda: _time(plan, state) if "run" in plan.steps else "the run has started",
        "organisers' bundles": lambda: _organisers(state),
        "same dataset": lambda: _new(plan, state),
        "links": lambda: _SPENT if plan.spent else check_links(report.dataset.outward_links, consent),
        "metadata": lambda: _metadata(report),
        "replaces": lambda: _replaces(plan, competition),
        "closing date": lambda: _SPENT if plan.spent else check_open(competition, state.now, consent),
    }
    return tuple(_check(subject, check) for subject, check in checks.items())


def _describe(record: Record, competition: Competition) -> str:
    return descriptions.compose(
        competition.submission.description,
        name=record.name,
        institution=record.institution,
        link=record.link,
    )


def _check(subject: str, check: Callable[[], str | SubmissionCheck]) -> SubmissionCheck:
    try:
        found = check()
    except CldcError as error:
        return SubmissionCheck(subject, "", refusal=error.message, error=error)
    return SubmissionCheck(subject, found) if isinstance(found, str) else found


def _dataset(report: ValidationReport) -> str:
    report.require_valid()
    warnings = len(report.of(Severity.WARNING))
    return f"{report.total:,} images, no errors, {plural(warnings, 'warning')}"


def _name(plan: Plan) -> str:
    name, wanted = plan.record.name, plan.intent.name
    if plan.intent.named:
        return f"{name}, as chosen"
    if name == wanted:
        return f"{name}, after the folder"
    return f"{name}, because {wanted} is an earlier submission of another dataset"


def _metadata(report: ValidationReport) -> str | SubmissionCheck:
    summary = report.metadata.summary
    if not summary:
        return "none in any image"
    found = f"{summary}; it becomes public with them, and `cldc validate --fix` removes it"
    return SubmissionCheck("metadata", found, warning=True)


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


def _disk(report: ValidationReport, state: AccountState) -> str:
    # The zip, its unpacked content and the run's output: twice the images is a safe estimate.
    wanted = 2 * sum(image.size for image in report.dataset.images)
    free = state.user.disk_quota - state.user.disk_used
    if free < wanted:
        raise QuotaExceeded(
            f"The account {state.user.name} has {size(free)} of disk left on {state.contestant.rest.server}; "
            f"about {size(wanted)} are needed.",
            action="Remove bundles that are no longer needed, or ask the server's operators for more.",
        )
    return f"{size(free)} left on the server"


def _time(plan: Plan, state: AccountState) -> SubmissionCheck:
    preflights = [plan.intent.preflight] if plan.intent.preflight is not None else []
    known = [*submitted_runs(state.submissions), *preflight_runs(state.contestant, preflights)]
    finding, tight = check_time(state.contestant, state.user, known, images=plan.intent.report.total)
    return SubmissionCheck("time", finding, warning=tight)


def _organisers(state: AccountState) -> str:
    """Check the organisers' bundles: the daemon drops a submission that does not depend on them by uuid (copies don't count)."""
    bundles = state.contestant.competition.bundles
    for reference in (bundles.script, bundles.label_book):
        bundle = state.contestant.rest.bundle(organisers_uuid(reference))
        if bundle.failure or not bundle.readable:
            raise SubmissionRefused(
                f"The organisers' {reference.name} ({reference.uuid}) can't be used: {bundle.failure or 'it is private'}.",
                action="Ask the organisers; without it no submission can be scored.",
            )
    return "reachable"


def _new(plan: Plan, state: AccountState) -> str:
    """Check that the content is new: submitting it again under another name would waste a submission."""
    for known in state.submissions:
        other = known.record.id != plan.record.id
        if known.tagged and other and known.record.dataset_hash == plan.record.dataset_hash:
            if plan.intent.consent.again:
                return f"submitted before as {known.record.name}; again, as requested"
            raise SubmissionRefused(
                f"This dataset was already submitted as {known.record.name!r} on {known.tagged.astimezone():%Y-%m-%d %H:%M}.",
                action="Change the dataset, or add --again to spend another submission on it.",
            )
    return "not submitted before" if TAG in plan.steps else f"submitted already as {plan.record.name}"


def _replaces(plan: Plan, competition: Competition) -> str:
    """Check for replaced entries: the daemon scores an account's newest tagged bundle, or the newest of each name, only."""
    rule, consent = competition.submission.supersedes, plan.intent.consent
    by = f"only the newest of {'a name' if rule == 'name' else 'an account'} counts"
    if not plan.replaces:
        return f"nothing; {by}"
    names = " and ".join(map(str, plan.replaces))
    uuids = frozenset(entry.uuid for entry in plan.replaces)
    if consent.supersede or uuids <= consent.replaced:
        return f"{names}, as agreed; {by}"
    action = "Give it another --name, or add" if rule == "name" else "Add"
    raise NeedsConsent(
        f"It would replace {names}; {by}.",
        action=f"{action} --supersede to replace what is there.",
        question=f"Replace {names}?",
        grants=Consent(replaced=uuids),
    )


def check_open(competition: Competition, now: datetime, consent: Consent) -> str:
    """Describe until when the competition is open.

    Raises:
        SubmissionRefused: It is closed, and the user did not agree to submit anyway.
    """
    closes = competition.last_moment
    if closes is None:
        return "none"
    if now <= closes:
        return f"open until {closes.astimezone():%Y-%m-%d %H:%M %Z}"
    closed = f"closed on {closes.astimezone():%Y-%m-%d %H:%M %Z}"
    if not consent.after_closing:
        raise SubmissionRefused(
            f"{competition.title} {closed}; its organisers may score nothing any more.",
            action="Choose another --competition, or add --after-closing to publish and tag it anyway.",
        )
    return f"{closed}; submitting anyway, as requested"


# Links out of the dataset ------------------------------------------------------------------------------------

_Groups = Mapping[str, list[OutwardLink]]


def check_links(links: Iterable[OutwardLink], consent: Consent, *, private: bool = False) -> str:
    """Describe what is uploaded through links out of the dataset; ``private`` if the upload stays private.

    Raises:
        NeedsConsent: The user did not agree to one of them.
    """
    groups, agreed = _by_name(links), consent.links
    missing = {
        name: group
        for name, group in groups.items()
        if name not in agreed and any(link.path not in agreed for link in group)
    }
    if not missing:
        return f"{_listed(groups)}; as agreed" if groups else "none leads out of the dataset"
    consequence, verb = ("be uploaded", "Upload") if private else ("become public", "Publish")
    options = " ".join(f"--include-link {shlex.quote(name)}" for name in missing)
    raise NeedsConsent(
        f"Links lead out of the dataset, and what they lead to would {consequence}: {_listed(missing)}.",
        action=f"Replace them with copies of what belongs to the dataset, or agree to each by its name: {options}",
        question=f"Links lead out of the dataset: {_listed(missing)}. {verb} what they lead to?",
        grants=Consent(links=frozenset(missing)),
    )


def _by_name(links: Iterable[OutwardLink]) -> _Groups:
    """Group links by name: a linked folder by its own path, linked files by their folder."""
    groups: dict[str, list[OutwardLink]] = defaultdict(list)
    for link in links:
        groups[link.path if link.folder else link.path.rpartition("/")[0]].append(link)
    return groups


def _listed(groups: _Groups) -> str:
    return ", ".join(printable(text) for name, group in groups.items() for text in _described(name, group))


def _described(name: str, group: list[OutwardLink]) -> Iterator[str]:
    """Describe each linked folder with its target, and linked files together, since there may be thousands."""
    files = [link for link in group if not link.folder]
    if len(files) > 1:
        targets = sorted({str(PurePath(link.target).parent) for link in files})
        yield f"{plural(len(files), 'file')} in {name} -> {', '.join(targets)} ({plural(len(files), 'image')})"
    for link in group:
        if link.folder or len(files) == 1:
            yield f"{link.path} -> {link.target} ({plural(link.images, 'image')})"
