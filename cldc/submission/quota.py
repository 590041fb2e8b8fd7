"""The submissions that an account has left: its tags spend them, and withdrawing a tag in time gives one back.

The scoring daemon counts what it has evaluated, tagged or not, and may start an evaluation before any board shows it. So
a withdrawn submission is given back only if all visible evidence says that the daemon has not touched it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta

from cldc import quota as quotas
from cldc.bundles.dependents import Usage
from cldc.codalab import Bundle
from cldc.codalab.failures import NotFound
from cldc.errors import CodaLabError, UsageError
from cldc.leaderboard import Leaderboard
from cldc.ledger import TAG, KnownSubmission, Record, StepRecord, Withdrawal
from cldc.quota import Quota, Spent
from cldc.submission.context import Contestant

# A board's time comes from the daemon's machine; `ServerClock` treats clocks this far apart as equal.
_CLOCKS_APART = timedelta(seconds=2)


def usage_by_source(contestant: Contestant, tagged: Iterable[Bundle], now: datetime) -> dict[str, Quota]:
    """Apply the rule to the account's tagged bundles on the server, to its submissions in the ledger, and to both together."""
    shown, known = tuple(spent_on_server(tagged)), tuple(spent_by_ledger(contestant.submissions))
    sources = {"server": shown, "ledger": known, "together": quotas.merge(known, shown)}
    return {
        source: quotas.decide(contestant.competition.quota, spent, now) for source, spent in sources.items()
    }


def current_quota(contestant: Contestant, tagged: Iterable[Bundle], now: datetime) -> Quota:
    """Compute the account's quota from ledger and server, whichever shows more."""
    return usage_by_source(contestant, tagged, now)["together"]


def read_quota(contestant: Contestant) -> Quota:
    """Read the account's quota as it is now."""
    return current_quota(contestant, contestant.tagged_bundles(), contestant.clock())


def spent_by_ledger(submissions: Iterable[KnownSubmission]) -> Iterator[Spent]:
    """List what the ledger counts as spent: tags seen on their bundles and not removed in time."""
    for known in submissions:
        spent, withdrawal = known.spent_earlier, known.withdrawal
        if known.tagged is not None:
            # For the bundle tagged now or last, the tag itself decides.
            spent.pop(known.uuid(TAG), None)
            if withdrawal is None or withdrawal.spent:
                spent[known.uuid(TAG)] = known.tagged
        for uuid, when in spent.items():
            yield Spent(uuid, known.record.name, when, "ledger")


def spent_on_server(tagged: Iterable[Bundle]) -> Iterator[Spent]:
    """List what the server shows as spent: the account's tagged bundles, by creation time."""
    for bundle in tagged:
        if bundle.created is not None:
            yield Spent(bundle.uuid, bundle.name, bundle.created, "server")


def has_lost_tag(bundle: Bundle | None, tag: str) -> bool:
    """Check whether a bundle has lost its tag: withdrawn on another machine or by a killed call."""
    return bundle is not None and tag not in bundle.tags


# Withdrawing -----------------------------------------------------------------------------------------------


def find_tagged(contestant: Contestant, name: str) -> KnownSubmission:
    """Find the one tagged submission with that name, or whose tagged bundle has that uuid.

    Raises:
        UsageError: None matches, or several do.
    """
    found = [s for s in contestant.submissions if s.carries_tag and name in (s.record.name, s.uuid(TAG))]
    if not found:
        raise UsageError(
            f"No submission named {name!r} carries the tag.",
            action="`cldc status` lists your submissions.",
        )
    if len(found) > 1:
        results = contestant.ledger.board_results(contestant.competition.name)
        scores = {
            result.bundle: f"scored {result.score:.4f}" for result in results if result.score is not None
        }
        listed = "".join(
            f"\n  {s.uuid(TAG)}, tagged {(s.tagged or s.record.created).astimezone():%Y-%m-%d %H:%M}, "
            f"{scores.get(s.uuid(TAG), 'no score seen yet')}"
            for s in found
        )
        raise UsageError(
            f"{len(found)} submissions named {name!r} carry the tag:{listed}",
            action=f"Name one by its bundle, as in `cldc withdraw {found[-1].uuid(TAG)}`.",
        )
    return found[0]


def withdraw(
    contestant: Contestant, submission: KnownSubmission, read_board: Callable[[], Leaderboard | None]
) -> Withdrawal:
    """Remove the tag, if it is still set, and then read the board, as late as possible.

    Raises:
        CodaLabError: The server still shows the tag.
    """
    tag, uuid = contestant.competition.submission.tag, submission.uuid(TAG)
    if contestant.rest.found(uuid):  # otherwise it was removed together with its tag
        contestant.codalab.untag(uuid, tag)
        if tag in contestant.anonymous.bundle(uuid).tags:
            raise CodaLabError(f"The server still shows the tag on {uuid}.", action="Run the command again.")
    return record_withdrawal(contestant, submission, read_board(), contestant.clock())


def record_withdrawal(
    contestant: Contestant, submission: KnownSubmission, board: Leaderboard | None, now: datetime
) -> Withdrawal:
    """Record that a tag is gone, and decide whether its submission stays spent."""
    tag = submission.steps[TAG]
    why = _why_evaluated(contestant, submission, board) or _why_unknown(tag, board, now)
    spent = bool(why)
    if board is not None and not spent:
        why = f"the board of {_time(board.updated)} is newer than its tag and does not have it, and nothing was created from it"
    withdrawal = Withdrawal(submission.uuid(TAG), spent, why, now)
    contestant.ledger.record(submission.record.id, withdrawal.step())
    return withdrawal


def recount_withdrawals(contestant: Contestant, board: Leaderboard, now: datetime) -> None:
    """Count withdrawn submissions again that are on the board: the daemon had read the tag before its removal."""
    for known in contestant.submissions:
        withdrawal = known.withdrawal
        if withdrawal is None or withdrawal.spent or not _is_on_board(board, withdrawal.uuid, known.record):
            continue
        why = "the organisers' daemon has evaluated it after all, and counts that"
        contestant.ledger.record(known.record.id, replace(withdrawal, spent=True, why=why, when=now).step())


def _why_evaluated(contestant: Contestant, submission: KnownSubmission, board: Leaderboard | None) -> str:
    """Describe evidence that the daemon has evaluated a submission or is evaluating it; empty if there is none."""
    uuid, usage = submission.uuid(TAG), Usage(contestant)
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
                return "its dataset is no longer on the server, so cldc can't tell whether it was evaluated"
            continue
        if others:
            return f"another account created the bundle {others[0].uuid} from it, as the organisers' daemon does to evaluate a submission"
    return ""


def _is_on_board(board: Leaderboard, uuid: str, record: Record) -> bool:
    """Check whether a board has a submission, even if the board lost its bundle because it was removed."""
    lost = f"{record.account}-{record.name}-results"
    return any(
        row.submission == uuid or (not row.submission and row.evaluation == lost) for row in board.rows
    )


def _why_unknown(tag: StepRecord, board: Leaderboard | None, now: datetime) -> str:
    """Explain why the board does not prove that the daemon skipped a tag; empty if it does."""
    if board is None:
        return "the board can't be read, so it may have been evaluated"
    if board.malformed:
        return "the board has entries that can't be read, and it may be one of them"
    if tag.finished is None or tag.started == tag.finished:
        # The ledger got it from the server, which does not know when a tag was set.
        return "it was tagged by another machine, so cldc can't tell whether the board is newer than its tag"
    if board.updated > now + _CLOCKS_APART:
        return f"the board's time, {_time(board.updated)}, is in the future, so cldc can't tell whether it is newer than the tag"
    if board.updated <= tag.finished + _CLOCKS_APART:
        return (
            f"the board of {_time(board.updated)} is not newer than its tag of {_time(tag.finished)}, "
            "so the organisers' daemon may be evaluating it"
        )
    return ""


def _time(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
