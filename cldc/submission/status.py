"""How far each submission is: from the ledger, the server and the board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cldc.bundles.lineage import find_bundles
from cldc.codalab import Bundle, Rest, log_tail, progress_of
from cldc.competition import Competition
from cldc.errors import CodaLabError
from cldc.leaderboard import Leaderboard, Row
from cldc.ledger import FAILED, TAG, WITHDRAW, KnownSubmission, Ledger, Record
from cldc.submission.model import STEPS
from cldc.submission.quota import has_lost_tag

_GO_ON = "`cldc submit` again goes on from there."
# A step but the training takes seconds; one that was begun that long ago was broken off.
_BROKEN_OFF = timedelta(minutes=10)
# What a worker that is free takes up within seconds.
_STUCK_SECONDS = 120.0
_WAITING_STATES = frozenset({"created", "staged", "starting"})
# States of an evaluation that never gets a score.
_FAILED_STATES = frozenset({"failed", "killed"})
_ASK_ORGANISERS = "its evaluation failed, so no score will come; ask the organisers, who can see why."


@dataclass(frozen=True, slots=True)
class SubmissionStatus:
    """How far a submission is.

    Attributes:
        stage: The step it is at, ``tagged`` when it waits for the organisers, ``evaluated`` when their daemon has
            taken it and no score is there yet, ``scored``, ``replaced`` by a newer one, or ``withdrawn``.
        since: When it came there, as far as known.
        detail: What is known besides: a run's state, a score's place, how long such a wait usually is.
        bundle: Uuid of the tagged bundle, or empty before there is one.
        score: The organisers' score.
        dataset_hash: What was submitted.
        log: The end of the log of a run that goes, or that failed.
        action: What can be done about it, if anything has to be.
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
        """Whether nothing will change any more by itself."""
        return self.stage in ("scored", "replaced", "withdrawn") or bool(self.action)


def fetch_statuses(
    ledger: Ledger,
    rest: Rest,
    board: Leaderboard | None,
    *,
    competition: Competition,
    account: str,
    now: datetime,
) -> tuple[SubmissionStatus, ...]:
    """How far every submission of the account is that the ledger knows, oldest first."""
    submissions = ledger.submissions(competition=competition.name, server=rest.server, account=account)
    rows = {row.submission: row for row in board.rows} if board else {}
    unscored = [s.uuid(TAG) for s in submissions if s.carries_tag and s.uuid(TAG) not in rows]
    bundles = find_bundles(rest, unscored)
    lost = {uuid for uuid, bundle in bundles.items() if has_lost_tag(bundle, competition.submission.tag)}
    live = [known for known in submissions if known.uuid(TAG) not in lost]
    newer = successors(live, competition)
    return tuple(
        _of_tagged(
            known,
            rows.get(known.uuid(TAG)),
            bundles.get(known.uuid(TAG)),
            competition,
            replaced_by(newer.get(known.record.id), rows),
        )
        if known.tagged
        else _of_unfinished(known, rest, now)
        for known in submissions
    )


def successors(
    submissions: Sequence[KnownSubmission], competition: Competition
) -> dict[str, KnownSubmission]:
    """For each tagged submission of one account that a newer one replaces, by its id, the newest."""
    by_name = competition.submission.supersedes == "name"
    tagged = sorted((s for s in submissions if s.carries_tag), key=lambda s: s.tagged or s.record.created)
    newest = {s.record.name if by_name else "": s for s in tagged}
    found = {s.record.id: newest[s.record.name if by_name else ""] for s in tagged}
    return {identity: newer for identity, newer in found.items() if newer.record.id != identity}


def replaced_by(newer: KnownSubmission | None, rows: Mapping[str, Row]) -> str:
    """What became of a submission that a newer one replaces; empty where none does."""
    if newer is None:
        return ""
    row = rows.get(newer.uuid(TAG))
    scored = f" (scored {row.score:.4f})" if row is not None and row.score is not None else ""
    return f"replaced by {newer.record.name}{scored}"


def _of_tagged(
    known: KnownSubmission, row: Row | None, bundle: Bundle | None, competition: Competition, replaced: str
) -> SubmissionStatus:
    """The status of a submission that carries the tag, or carried it."""
    record, tag, withdrawal = known.record, known.steps[TAG], known.finished(WITHDRAW)
    since, score, action = tag.finished or tag.started, row.score if row else None, ""
    if withdrawal is not None:
        stage, detail, since = "withdrawn", "it no longer carries the tag", withdrawal.finished or since
    elif row is None and replaced:
        stage, detail = "replaced", replaced
    elif row is None:
        stage, detail, action = _unscored(record, bundle, competition)
    elif score is None:
        stage, detail = "evaluated", f"evaluation {row.state}"
        action = _ASK_ORGANISERS if row.state in _FAILED_STATES else ""
    else:
        stage, detail = "scored", f"place {row.rank}" if row.rank else f"not on the board: {row.hidden}"
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
    """Stage, detail and what to do of a tagged bundle that no board has; somebody may have changed it since."""
    if bundle is None:
        action = f"`cldc withdraw {record.name}` and `cldc submit` make it anew."
        return "tagged", "its bundle is no longer on the server, so it can't be scored", action
    if has_lost_tag(bundle, competition.submission.tag):
        return "withdrawn", "it no longer carries the tag, which this machine did not take off", ""
    if not bundle.public_permission:
        action = f"`cldc submit` makes {record.name} readable by everyone again."
        return "tagged", "its bundle was made private, so the organisers' daemon can't see it", action
    wait = competition.submission.usual_wait
    return "tagged", "waits for the organisers' daemon" + (f"; usually {wait}" if wait else ""), ""


def _of_unfinished(known: KnownSubmission, rest: Rest, now: datetime) -> SubmissionStatus:
    """The first step that is not done; of a run, what the server says of it."""
    record = known.record
    step = next(name for name in STEPS if known.finished(name) is None)
    begun, failed = known.steps.get(step), known.finished(FAILED)
    since = begun.started if begun else record.created
    detail, log, action = "", "", _GO_ON if now - since > _BROKEN_OFF else ""
    if step == "train":
        detail, log, action = _of_run(rest, known.uuid("run"), now)
    elif step == "run" and failed is not None:
        detail = f"the run failed: {failed.result['reason']}"
        log = log_tail(rest, failed.result["uuid"])
        action = "no quota was spent; `cldc submit` again repeats the run with what was uploaded."
    return SubmissionStatus(
        record.id, record.name, step, since, detail, "", None, record.dataset_hash, log, action
    )


def _of_run(rest: Rest, uuid: str, now: datetime) -> tuple[str, str, str]:
    """A run's state, the end of its log, and what to do if it is stuck."""
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
    """CodaLab's own explanation, and what a worker must offer to take the run."""
    asked = f"it asks for the image {run.requested_image}" if run.requested_image else "it asks for no image"
    said = f" ({run.state_details.strip()})" if run.state_details else ""
    return f"no worker has taken it yet{said}; {asked}: the server's operators see which workers are free"
