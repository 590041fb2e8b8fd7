"""Plan a submission: its name, its progress, and everything that would lose, hide or waste it.

The account's state is read once, and everything is checked before minutes of training. What may change since is checked
again before the upload and before the tag (`steps`).
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePath

from cldc import description as descriptions
from cldc.bundles.computing_time import check_time, runs_of_preflights, runs_of_submissions
from cldc.bundles.dependents import creation_key
from cldc.bundles.runs import organisers_uuid
from cldc.bundles.worksheets import worksheet_name, worksheet_prefix
from cldc.codalab import Bundle, User
from cldc.competition import Competition
from cldc.dataset import OutwardLink
from cldc.errors import CldcError, QuotaExceeded, SubmissionRefused
from cldc.identifiers import is_name
from cldc.leaderboard import Leaderboard
from cldc.ledger import TAG, WITHDRAW, BoardResult, KnownSubmission, Record
from cldc.preflight.model import PreflightResult
from cldc.preflight.predictions_file import ExpectedLabels
from cldc.quota import Quota
from cldc.submission.context import Contestant
from cldc.submission.ledger_sync import sync_ledger
from cldc.submission.model import (
    PUBLISHED,
    STEPS,
    Consent,
    NeedsConsent,
    Plan,
    Replaced,
    SubmissionCheck,
    preflight_check,
)
from cldc.submission.quota import current_quota, has_lost_tag, record_withdrawal, recount_withdrawals
from cldc.text import plural, printable, size
from cldc.validation import Severity, ValidationReport

_SPENT = "counted already"


def plan_submission(
    contestant: Contestant,
    board: Leaderboard | None,
    report: ValidationReport,
    labels: ExpectedLabels,
    *,
    consent: Consent,
    preflight: PreflightResult | None,
    name: str,
    institution: str,
    link: str,
) -> Plan:
    """Plan the submission of a dataset, with every reason to refuse it.

    Args:
        contestant: Who submits it.
        board: The board now; None if it can't be read.
        report: The dataset, valid or not.
        labels: The labels that the run's predictions must fit.
        consent: What the contestant agreed to by options.
        preflight: The dataset's finished preflight, if there is one.
        name: The submission's name; if empty, the folder's, or the next free one if another entry has that.
        institution: Goes into the description with the name and the ``link``; each may be empty.

    Raises:
        Unreachable, CredentialsError: The server can't be read, so no plan is possible.
    """
    dataset = report.dataset
    state = fetch_account_state(contestant, board)
    wanted, name = name, name or state.free_name(dataset.name, dataset.hash)
    record = contestant.new_record(
        name,
        dataset.hash,
        institution=institution,
        link=link,
        dataset=dataset.name,
        preflight=preflight.fingerprint.id if preflight else None,
    )
    description, described = _compose_description(contestant.competition, record)
    worksheet = worksheet_name(contestant.account, name, record.id)
    # The check of the description refuses an invalid name, which may be too long for the server's address.
    own = state.submission_uuids(record.id, worksheet) if is_name(name) else frozenset[str]()
    done = _done_steps(state, record.id)
    # After a kill between tag and record, or a tag from another machine, it counts and replaces no entry.
    spent = TAG in done or any(bundle.uuid in own for bundle in state.tagged)
    competing = [b for b in contestant.competing_submissions(state.tagged, name) if b.uuid not in own]
    replaced: dict[str, str] = {}
    if not spent:  # the newest competing one, and those of this name on the board
        newest = sorted(competing, key=creation_key)[-1:]
        replaced = {b.uuid: b.name for b in newest} | dict.fromkeys(sorted(state.shown[name] - own), name)
    unscored = [bundle.uuid for bundle in competing if state.score_and_rank(bundle.uuid)[0] is None]
    plan = Plan(
        record=record,
        report=report,
        labels=labels,
        consent=consent,
        description=description,
        worksheet=worksheet,
        steps=tuple(step for step in STEPS if step not in done),
        spent=spent,
        checks=(
            _check("dataset", lambda: _dataset(report)),
            _name(wanted, record),
            preflight_check(preflight),
            described,
        ),
        quota=current_quota(contestant, state.tagged, state.now),
        replaces=tuple(Replaced(uuid, n, *state.score_and_rank(uuid)) for uuid, n in replaced.items()),
        supersedes=tuple(unscored),
        scored=tuple(bundle.uuid for bundle in competing if bundle.uuid not in unscored),
    )
    return replace(plan, checks=(*plan.checks, *_checks(plan, state, preflight)))


def _compose_description(competition: Competition, record: Record) -> tuple[str, SubmissionCheck]:
    """Compose the description for the board, and check it; it is empty if the board would hide or garble it."""
    form = competition.submission.description
    try:
        description = descriptions.compose(
            form, name=record.name, institution=record.institution, link=record.link
        )
    except SubmissionRefused as error:
        return "", SubmissionCheck("description", "", refusal=error.message, error=error)
    return description, SubmissionCheck("description", f"{description!r}, which the board reads correctly")


@dataclass(frozen=True, slots=True)
class AccountState:
    """The state of an account in a competition at one moment, from server, board and ledger.

    Attributes:
        user: The account, with its remaining disk space and computing time.
        now: When it was read, by the server's clock.
        tagged: The account's bundles with the tag.
        board: The board at that time; None if it can't be read.
        known: Every submission in the ledger, by id.
        board_results: Each bundle's result when the board was last read here.
    """

    contestant: Contestant
    user: User
    now: datetime
    tagged: tuple[Bundle, ...]
    board: Leaderboard | None
    known: Mapping[str, KnownSubmission]
    board_results: Mapping[str, BoardResult]

    @property
    def shown(self) -> dict[str, set[str]]:
        """Uuids of the account's bundles whose scores the board shows, by their submission's name.

        They may have been withdrawn since. Source: the daemon calls an evaluation ``ACCOUNT-NAME-results``, and removes older
        ones of that name from the board.
        """
        account, found = self.contestant.account, defaultdict[str, set[str]](set)
        begins, ends = f"{account}-", "-results"
        for row in self.board.rows if self.board else ():
            name = row.evaluation[len(begins) : -len(ends)]
            if row.shown and row.account == account and row.evaluation == f"{begins}{name}{ends}":
                found[name].add(row.submission)
        return found

    @property
    def entries(self) -> dict[str, set[str]]:
        """Uuids of the account's bundles that have the tag or are shown on the board, by their submission's name."""
        found = self.shown
        for bundle in self.tagged:
            found[bundle.name].add(bundle.uuid)
        return found

    def submission_uuids(self, identity: str, worksheet: str) -> frozenset[str]:
        """Find the uuids of a submission's bundles: those on its worksheet, from any machine, and those in the ledger."""
        known, rest = self.known.get(identity), self.contestant.rest
        found = [rest.worksheet(each.uuid, bundles=True) for each in rest.own_worksheets(worksheet)]
        there = frozenset(bundle.uuid for each in found for bundle in each.bundles)
        return there | known.uuids if known is not None else there

    def score_and_rank(self, uuid: str) -> tuple[float | None, int | None]:
        """Find score and rank of a bundle, now or when the board was last read here; None if it has none."""
        row = next((r for r in self.board.rows if r.submission == uuid), None) if self.board else None
        known = row or self.board_results.get(uuid)
        return (known.score, known.rank) if known else (None, None)

    def free_name(self, base: str, dataset_hash: str) -> str:
        """Find the first of ``base``, ``base-2``, ``base-3``, ... that is not another dataset's entry.

        An unfinished submission of this dataset under one of them keeps that name, so that it is found again
        from any machine, with or without its ledger.
        """
        contestant, entries = self.contestant, self.entries
        account = contestant.account
        prefix = f"{worksheet_prefix(account)}{descriptions.plain_name(base)}"
        worksheets = {each.name for each in contestant.rest.own_worksheets(prefix=prefix)}
        # One more than the number of names that can be taken or begun.
        most = len(worksheets) + len(self.known) + len(entries) + 1
        candidates = [base, *(f"{base}-{number}" for number in range(2, most + 1))]
        own: dict[str, frozenset[str]] = {}
        for name in candidates:
            identity = contestant.submission_id(name, dataset_hash)
            worksheet = worksheet_name(account, name, identity)
            if identity in self.known or worksheet in worksheets:
                own[name] = self.submission_uuids(identity, worksheet)
        tagged = {bundle.uuid for bundle in self.tagged}
        if submitted := next((name for name in own if own[name] & tagged), None):
            return submitted
        # The last one: the earlier names were taken when it began, but may be free by now.
        for name in reversed(own):
            if entries[name] <= own[name]:
                return name
        return next(name for name in candidates if name not in own and not entries[name])


def fetch_account_state(contestant: Contestant, board: Leaderboard | None) -> AccountState:
    """Read the account's state from the server, and update the ledger with it and with the board, if that can be read.

    Raises:
        Unreachable, CredentialsError: The server can't be read.
    """
    contestant.observer.start("Reading the account's submissions")  # a thousand take some seconds
    ledger, now, tagged = contestant.ledger, contestant.clock(), contestant.tagged_bundles()
    sync_ledger(contestant, tagged)
    if board is not None:
        recount_withdrawals(contestant, board, now)
    return AccountState(
        contestant=contestant,
        user=contestant.rest.user(),
        now=now,
        tagged=tagged,
        board=board,
        known={known.record.id: known for known in ledger.submissions()},
        board_results={result.bundle: result for result in ledger.board_results(contestant.competition.name)},
    )


def _done_steps(state: AccountState, identity: str) -> set[str]:
    """List finished steps that still hold: not a tag removed on another machine, nor a publication undone since.

    A tag that was removed on another machine is recorded in the ledger.
    """
    known, contestant = state.known.get(identity), state.contestant
    if known is None:
        return set()
    done = {step for step in known.steps if known.finished(step)}
    if known.carries_tag:
        bundle = contestant.rest.found(known.uuid(TAG))
        if has_lost_tag(bundle, contestant.competition.submission.tag):
            record_withdrawal(contestant, known, state.board, state.now)
            done.add(WITHDRAW)
        elif bundle is not None and not bundle.public_permission:
            done -= set(PUBLISHED)
    if WITHDRAW in done:
        done -= {TAG, WITHDRAW}
    return done


# Checks ------------------------------------------------------------------------------------------------------


def _checks(plan: Plan, state: AccountState, preflight: PreflightResult | None) -> Iterator[SubmissionCheck]:
    """Run every check of the account and the server, whatever the others find."""
    report, consent, competition = plan.report, plan.consent, state.contestant.competition
    checks: dict[str, Callable[[], str | SubmissionCheck]] = {
        "quota": lambda: _SPENT if plan.spent else _quota(plan.quota),
        "disk": lambda: _disk(report, state) if "upload" in plan.steps else "uploaded already",
        "time": lambda: _time(report, state, preflight) if "run" in plan.steps else "the run has started",
        "organisers' bundles": lambda: _organisers(state),
        "same dataset": lambda: check_same_dataset(plan, state.contestant, state.tagged),
        "links": lambda: _SPENT if plan.spent else check_links(report.dataset.outward_links, consent.links),
        "metadata": lambda: _metadata(report),
        "replaces": lambda: _replaces(plan, competition),
        "closing date": lambda: _SPENT if plan.spent else check_open(competition, state.now, consent),
    }
    return (_check(subject, check) for subject, check in checks.items())


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


def _name(wanted: str, record: Record) -> SubmissionCheck:
    """Say why the submission is called so: somebody ``wanted`` the name, or it is the folder's or the next free one."""
    if wanted:
        why = "as chosen"
    elif record.name == record.dataset:
        why = "after the folder"
    else:
        why = f"because {record.dataset} is an earlier submission of another dataset"
    return SubmissionCheck("name", f"{record.name}, {why}")


def _metadata(report: ValidationReport) -> str | SubmissionCheck:
    summary = report.metadata.summary
    if not summary:
        return "none in any image"
    found = f"{summary}; it becomes public with them, and `cldc validate --fix` removes it"
    return SubmissionCheck("metadata", found, warning=True)


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


def _time(
    report: ValidationReport, state: AccountState, preflight: PreflightResult | None
) -> SubmissionCheck:
    contestant = state.contestant
    known = [
        *runs_of_submissions(contestant.submissions),
        *runs_of_preflights(contestant, [preflight] if preflight else []),
    ]
    finding, tight = check_time(contestant, state.user, known, images=report.total)
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


def check_same_dataset(plan: Plan, contestant: Contestant, tagged: Iterable[Bundle]) -> str:
    """Check that the content is new: submitting it again under another name would waste a submission.

    A submission whose bundle is ``tagged`` counts even if the call that set the tag has not recorded it, or was killed.

    Raises:
        SubmissionRefused: It was submitted under another name, and the user did not ask to submit it again.
    """
    uuids = {bundle.uuid for bundle in tagged}
    for known in contestant.submissions:
        record = known.record
        if record.id == plan.record.id or record.dataset_hash != plan.record.dataset_hash:
            continue
        if known.tagged or known.uuids & uuids:
            if plan.consent.again:
                return f"submitted before as {record.name}; again, as requested"
            when = (known.tagged or record.created).astimezone()
            raise SubmissionRefused(
                f"This dataset was already submitted as {record.name!r} on {when:%Y-%m-%d %H:%M}.",
                action="Change the dataset, or add --again to spend another submission on it.",
            )
    return "not submitted before" if TAG in plan.steps else f"submitted already as {plan.record.name}"


def _replaces(plan: Plan, competition: Competition) -> str:
    """Check for replaced entries: the daemon scores an account's newest tagged bundle, or the newest of each name, only."""
    rule = competition.submission.supersedes
    by = f"only the newest of {'a name' if rule == 'name' else 'an account'} counts"
    if not plan.replaces:
        return f"nothing; {by}"
    names = " and ".join(map(str, plan.replaces))
    agreed = f"{names}, as agreed; {by}"
    if plan.consent.supersede:
        return agreed
    action = "Give it another --name, or add" if rule == "name" else "Add"
    raise NeedsConsent(
        f"It would replace {names}; {by}.",
        action=f"{action} --supersede to replace what is there.",
        question=f"Replace {names}?",
        agreed=agreed,
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


def check_links(links: Iterable[OutwardLink], agreed: Set[str], *, private: bool = False) -> str:
    """Describe what is uploaded through links out of the dataset; ``private`` if the upload stays private.

    Raises:
        NeedsConsent: A link is not among the ``agreed`` paths.
    """
    groups = _by_name(links)
    missing = {
        name: group
        for name, group in groups.items()
        if name not in agreed and any(link.path not in agreed for link in group)
    }
    finding = f"{_listed(groups)}; as agreed" if groups else "none leads out of the dataset"
    if not missing:
        return finding
    consequence, verb = ("be uploaded", "Upload") if private else ("become public", "Publish")
    options = " ".join(f"--include-link {shlex.quote(name)}" for name in missing)
    raise NeedsConsent(
        f"Links lead out of the dataset, and what they lead to would {consequence}: {_listed(missing)}.",
        action=f"Replace them with copies of what belongs to the dataset, or agree to each by its name: {options}",
        question=f"Links lead out of the dataset: {_listed(missing)}. {verb} what they lead to?",
        agreed=finding,
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
