"""The status of each submission, from the ledger, the server and the board."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cldc.codalab import Bundle, Rest, log_tail, progress_of
from cldc.competition import Competition
from cldc.errors import CodaLabError
from cldc.leaderboard import Leaderboard, Row
from cldc.ledger import FAILED, TAG, KnownSubmission, Record
from cldc.submission.context import Contestant
from cldc.submission.model import STEPS
from cldc.submission.quota import has_lost_tag

_GO_ON = "Run `cldc submit` again to continue from there."
# Steps other than the training take seconds; one begun this long ago was interrupted.
_BROKEN_OFF = timedelta(minutes=10)
# A free worker takes these runs within seconds.
_STUCK_SECONDS = 120.0
_WAITING_STATES = frozenset({"created", "staged", "starting"})
# States of an evaluation that never gets a score.
_FAILED_STATES = frozenset({"failed", "killed"})
_ASK_ORGANISERS = "its evaluation failed, so no score will come; ask the organisers, who can see why."


@dataclass(frozen=True, slots=True)
class SubmissionStatus:
    """The status of a submission.

    Attributes:
        stage: The step it is at, ``tagged`` if it waits for the organisers, ``evaluated`` if their daemon has
            taken it and there is no score yet, ``scored``, ``replaced`` by a newer one, or ``withdrawn``.
        since: When it reached that stage, if known.
        detail: More information: a run's state, a score's rank, the usual waiting time.
        bundle: Uuid of the tagged bundle; empty if there is none yet.
        score: The organisers' score.
        dataset_hash: Identity of the submitted dataset.
        log: The end of the log of a running or failed run.
        action: The next action, if one is needed.
    """

    id: str
    name: str
    stage: str
    since: datetime
    detail: str
    bundle: str
    score: float | None
    dataset_hash: str
    log: str = ""
    action: str = ""

    @property
    def final(self) -> bool:
        """Whether the status won't change any more by itself."""
        return self.stage in ("scored", "replaced", "withdrawn") or bool(self.action)


def fetch_statuses(contestant: Contestant, board: Leaderboard | None) -> tuple[SubmissionStatus, ...]:
    """Fetch the status of every submission of the account in the ledger, oldest first."""
    submissions, competition = contestant.submissions, contestant.competition
    rows = {row.submission: row for row in board.rows} if board else {}
    unscored = [s.uuid(TAG) for s in submissions if s.carries_tag and s.uuid(TAG) not in rows]
    bundles = contestant.rest.bundles(unscored)
    lost = {uuid for uuid, bundle in bundles.items() if has_lost_tag(bundle, competition.submission.tag)}
    newer = successors([known for known in submissions if known.uuid(TAG) not in lost], competition)
    now = contestant.clock()
    return tuple(
        _tagged_status(
            known,
            rows.get(known.uuid(TAG)),
            bundles.get(known.uuid(TAG)),
            competition,
            replaced_by(newer.get(known.record.id), rows),
        )
        if known.tagged
        else _unfinished_status(known, contestant.rest, now)
        for known in submissions
    )


def successors(
    submissions: Iterable[KnownSubmission], competition: Competition
) -> dict[str, KnownSubmission]:
    """Map each replaced tagged submission to the competition, by id, to the newest one of its account that replaces it."""
    by_name = competition.submission.supersedes == "name"
    tagged = sorted((s for s in submissions if s.carries_tag), key=lambda s: s.tagged or s.record.created)
    competing = {s.record.id: (s.record.server, s.record.account, by_name and s.record.name) for s in tagged}
    newest = {competing[s.record.id]: s for s in tagged}
    return {identity: newest[key] for identity, key in competing.items() if newest[key].record.id != identity}


def replaced_by(newer: KnownSubmission | None, rows: Mapping[str, Row]) -> str:
    """Describe the replacement of a submission by a newer one; empty if there is none."""
    if newer is None:
        return ""
    row = rows.get(newer.uuid(TAG))
    scored = f" (scored {row.score:.4f})" if row is not None and row.score is not None else ""
    return f"replaced by {newer.record.name}{scored}"


def _tagged_status(
    known: KnownSubmission, row: Row | None, bundle: Bundle | None, competition: Competition, replaced: str
) -> SubmissionStatus:
    """Find the status of a submission that has, or had, the tag."""
    record, tag, withdrawal = known.record, known.steps[TAG], known.withdrawal
    since, score, action = tag.finished or tag.started, row.score if row else None, ""
    if withdrawal is not None:
        stage, detail, since = "withdrawn", "it no longer carries the tag", withdrawal.when
    elif row is None and replaced:
        stage, detail = "replaced", replaced
    elif row is None:
        stage, detail, action = _unscored(record, bundle, competition)
    elif score is None:
        stage, detail = "evaluated", f"evaluation {row.state}"
        action = _ASK_ORGANISERS if row.state in _FAILED_STATES else ""
    else:
        stage, detail = "scored", f"rank {row.rank}" if row.rank else f"not on the board: {row.hidden}"
    return SubmissionStatus(
        record.id,
        record.name,
        stage,
        since,
        detail,
        known.uuid(TAG),
        score,
        record.dataset_hash,
        action=action,
    )


def _unscored(record: Record, bundle: Bundle | None, competition: Competition) -> tuple[str, str, str]:
    """Return stage, detail and action for a tagged bundle that is on no board; it may have changed since."""
    if bundle is None:
        action = f"run `cldc withdraw {record.name}`, then `cldc submit` again."
        return "tagged", "its bundle is no longer on the server, so it can't be scored", action
    if has_lost_tag(bundle, competition.submission.tag):
        return "withdrawn", "it no longer carries the tag, which this machine did not take off", ""
    if not bundle.public_permission:
        action = f"`cldc submit` makes {record.name} readable by everyone again."
        return "tagged", "its bundle was made private, so the organisers' daemon can't see it", action
    wait = competition.submission.usual_wait
    return "tagged", "waits for the organisers' daemon" + (f"; usually {wait}" if wait else ""), ""


def _unfinished_status(known: KnownSubmission, rest: Rest, now: datetime) -> SubmissionStatus:
    """Find the status of an unfinished submission: its first step that is not done, with the server's view of a run."""
    record = known.record
    step = next(name for name in STEPS if known.finished(name) is None)
    begun = known.steps.get(step)
    since = begun.started if begun else record.created
    detail, log, action = "", "", _GO_ON if now - since > _BROKEN_OFF else ""
    if step == "train":
        detail, log, action = _run_status(rest, known.uuid("run"), now)
    elif step == "run" and known.run_failure:
        detail = f"the run failed: {known.run_failure}"
        log = log_tail(rest, known.uuid(FAILED))
        action = "no quota was spent; `cldc submit` again repeats the run with what was uploaded."
    return SubmissionStatus(
        record.id, record.name, step, since, detail, "", None, record.dataset_hash, log, action
    )


def _run_status(rest: Rest, uuid: str, now: datetime) -> tuple[str, str, str]:
    """Return a run's state, the end of its log, and the next action if it is stuck."""
    try:
        run = rest.bundle(uuid)
    except CodaLabError as error:
        return error.message, "", _GO_ON
    detail = f"run {progress_of(run)}"
    if run.final:
        return detail, log_tail(rest, uuid) if run.failure else "", _GO_ON
    waits = run.state in _WAITING_STATES and run.created is not None
    if waits and run.created is not None and (now - run.created).total_seconds() > _STUCK_SECONDS:
        return f"{detail}; {_why_stuck(run)}", "", ""
    return detail, "" if waits else log_tail(rest, uuid), ""


def _why_stuck(run: Bundle) -> str:
    """Return CodaLab's explanation, and the resources that a worker needs to take the run."""
    asked = f"it asks for the image {run.requested_image}" if run.requested_image else "it asks for no image"
    said = f" ({run.state_details.strip()})" if run.state_details else ""
    return f"no worker has taken it yet{said}; {asked}: the server's operators see which workers are free"
