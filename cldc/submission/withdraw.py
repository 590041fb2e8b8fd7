"""Take the tag off a submission, and decide whether that frees its place of the quota.

The scoring daemon counts what it has evaluated, tagged or not, and may start an evaluation before any board shows it. So a
place is freed only if all visible evidence says that the daemon has not touched the submission.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from cldc.bundles.usage import Usage
from cldc.codalab import CodaLab, Rest
from cldc.codalab.failures import NotFound
from cldc.competition import Competition
from cldc.errors import CodaLabError, UsageError
from cldc.leaderboard import Leaderboard
from cldc.ledger import TAG, WITHDRAW, KnownSubmission, Ledger, Record, StepRecord
from cldc.quota import Quota
from cldc.submission.quota import current_quota, tagged_bundles

# A board's time comes from the daemon's machine; `ServerClock` treats clocks this far apart as equal.
_CLOCKS_APART = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A submission whose tag was removed.

    Attributes:
        spent: Whether its place of the quota stays spent; ``why`` gives the reason.
    """

    name: str
    bundle: str
    spent: bool
    why: str
    quota: Quota


def find_tagged(
    ledger: Ledger, competition: Competition, server: str, account: str, name: str
) -> KnownSubmission:
    """Find the one tagged submission with that name, or whose tagged bundle has that uuid.

    Raises:
        UsageError: There is none, or more than one.
    """
    mine = ledger.submissions(competition=competition.name, server=server, account=account)
    found = [known for known in mine if known.carries_tag and name in (known.record.name, known.uuid(TAG))]
    if not found:
        raise UsageError(
            f"No submission named {name!r} carries the tag.",
            action="`cldc status` shows the submissions there are.",
        )
    if len(found) > 1:
        scores = {seen.bundle: seen.score for seen in ledger.board_results(competition.name)}
        raise UsageError(
            f"{len(found)} submissions named {name!r} carry the tag:\n"
            + "\n".join(f"  {_told_apart(known, scores.get(known.uuid(TAG)))}" for known in found),
            action=f"Give the bundle of the one that is meant, as in `cldc withdraw {found[-1].uuid(TAG)}`.",
        )
    return found[0]


def _told_apart(submission: KnownSubmission, score: float | None) -> str:
    scored = "no score seen yet" if score is None else f"scored {score:.4f}"
    when = submission.tagged or submission.record.created
    return f"{submission.uuid(TAG)}, tagged {when.astimezone():%Y-%m-%d %H:%M}, {scored}"


def withdraw(
    submission: KnownSubmission,
    *,
    competition: Competition,
    codalab: CodaLab,
    anonymous: Rest,
    ledger: Ledger,
    read_board: Callable[[], Leaderboard | None],
    clock: Callable[[], datetime],
) -> Withdrawn:
    """Remove the tag, if it is still set, and then read the board, as late as possible.

    Raises:
        CodaLabError: The server still shows the tag.
    """
    record, tag, uuid = submission.record, competition.submission.tag, submission.uuid(TAG)
    if codalab.rest.exists(uuid):  # otherwise it was removed together with its tag
        codalab.untag(uuid, tag)
        if tag in anonymous.bundle(uuid).tags:
            raise CodaLabError(f"The server still shows the tag on {uuid}.", action="Run the command again.")
    board, now = read_board(), clock()
    spent, why = record_withdrawal(ledger, submission, rest=codalab.rest, board=board, now=now)
    quota = current_quota(
        competition.quota,
        tagged_bundles(competition, codalab.rest, record.account),
        ledger.submissions(competition=competition.name, server=record.server, account=record.account),
        now,
    )
    return Withdrawn(record.name, uuid, spent, why, quota)


def record_withdrawal(
    ledger: Ledger, submission: KnownSubmission, *, rest: Rest, board: Leaderboard | None, now: datetime
) -> tuple[bool, str]:
    """Record a removed tag, whether its place of the quota stays spent, and why."""
    identity, tag = submission.record.id, submission.steps[TAG]
    why = _why_evaluated(submission, rest, board) or _why_unknown(tag, board, now)
    spent = bool(why)
    if board is not None and not spent:
        why = f"the board of {_time(board.updated)} is newer than its tag and does not have it, and nothing was made from it"
    ledger.begin(identity, WITHDRAW, now=now)
    result = {"uuid": tag.result["uuid"], "spent": "yes" if spent else "no", "why": why}
    ledger.finish(identity, WITHDRAW, result, now=now)
    return spent, why


def recount_withdrawals(
    ledger: Ledger, competition: Competition, server: str, account: str, *, board: Leaderboard, now: datetime
) -> None:
    """Count freed places again whose submissions are on the board: the daemon had read the tag before its removal."""
    for known in ledger.submissions(competition=competition.name, server=server, account=account):
        withdrawal = known.steps.get(WITHDRAW)
        if withdrawal is not None and withdrawal.result.get("spent") == "no":
            uuid = withdrawal.result["uuid"]
            if _is_on_board(board, uuid, known.record):
                ledger.begin(known.record.id, WITHDRAW, now=now)
                why = "the organisers' daemon has evaluated it after all, and counts that"
                ledger.finish(known.record.id, WITHDRAW, {"uuid": uuid, "spent": "yes", "why": why}, now=now)


def _why_evaluated(submission: KnownSubmission, rest: Rest, board: Leaderboard | None) -> str:
    """Describe evidence that the daemon has evaluated a submission or is evaluating it; empty if there is none."""
    uuid, usage = submission.uuid(TAG), Usage(rest, submission.record.account)
    if uuid in usage.evaluations:
        return (
            f"the organisers' daemon evaluates it or has done so ({usage.evaluations[uuid]}), and counts that"
        )
    if board is not None and _is_on_board(board, uuid, submission.record):
        return "the organisers' daemon has evaluated it, and counts that"
    for step in ("upload", "run", TAG):
        made = submission.uuid(step)
        try:
            others = usage.made_by_others(made) if made else ()
        except NotFound:
            if step == "upload":
                return "its dataset is no longer on the server, so nobody can tell whether it was evaluated"
            continue
        if others:
            return f"somebody else made the bundle {others[0].uuid} from it, as the organisers' daemon does to evaluate one"
    return ""


def _is_on_board(board: Leaderboard, uuid: str, record: Record) -> bool:
    """Whether a board has a submission, even if the board lost its bundle because it was removed."""
    lost = f"{record.account}-{record.name}-results"
    return any(
        row.submission == uuid or (not row.submission and row.evaluation == lost) for row in board.rows
    )


def _why_unknown(tag: StepRecord, board: Leaderboard | None, now: datetime) -> str:
    """Explain why the board does not prove that the daemon skipped a tag; empty if it does."""
    if board is None:
        return "the board can't be read here, so it may have been evaluated"
    if board.malformed:
        return "the board has entries that can't be read, and it may be one of them"
    if tag.finished is None or tag.started == tag.finished:
        # The ledger got it from the server, which does not know when a tag was set.
        return (
            "it was tagged by another machine, so nobody knows here whether the board is newer than its tag"
        )
    if board.updated > now + _CLOCKS_APART:
        return f"the board's time, {_time(board.updated)}, is yet to come, so nobody knows whether it is newer than the tag"
    if board.updated <= tag.finished + _CLOCKS_APART:
        return (
            f"the board of {_time(board.updated)} is not newer than its tag of {_time(tag.finished)}, "
            "so the organisers' daemon may be evaluating it"
        )
    return ""


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
