"""The steps of a submission in order, and the one function that carries them out."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from cldc import files
from cldc.codalab.failures import NotFound, ServerFailed, UploadFailed
from cldc.dataset.changes import changes_since
from cldc.errors import CldcError, CredentialsError, SubmissionRefused, Unreachable
from cldc.ledger import SPENT, TAG, WITHDRAW, Record, StepRecord
from cldc.submission import making, proving, tagging
from cldc.submission.model import Plan, Submission
from cldc.submission.places import standing
from cldc.submission.work import Remake, Result, RunAgain, Step, Work

# A step that broke off looks for what it left and goes on from there, so it may be tried again by itself.
PAUSES_SECONDS = (1.0, 4.0)
# Predictions are made again when another submission is tagged in between, a run when a worker loses a dependency.
_MOST_ROUNDS = 4

STEPS = (
    Step("worksheet", "Making a worksheet", making.make_worksheet),
    Step("upload", "Preparing the upload", making.upload),
    Step("link", "Adding the organisers' bundles", making.link),
    Step("run", "Starting the run", making.run),
    Step("train", "Waiting for the run", making.train),
    Step("predictions", "Making the predictions bundle", making.predictions),
    Step("publish", "Making everything readable by everyone", tagging.publish),
    Step("describe", "Writing the description", tagging.describe),
    Step("prove", "Checking it as the scoring daemon and the board will", proving.prove),
    Step(TAG, "Setting the tag", tagging.tag),
)
_FROM_PREDICTIONS = tuple(step.name for step in STEPS[5:])


def carry_out(work: Work) -> Submission:
    """Do every step that the ledger does not know to be done, in order, and return the tagged submission.

    Raises:
        CldcError: What went wrong; what was done is kept, and the next call goes on from there.
    """
    plan = work.plan
    lock = work.home / "locks" / f"submission-{plan.id}.lock"
    with files.lock(lock, purpose=f"submitting {plan.name}", observer=work.observer, timeout_seconds=60):
        work.ledger.add(_record(plan))
        _forget_what_is_gone(work)
        steps = work.ledger.steps(plan.id)
        again = TAG in steps and steps[TAG].finished is not None
        if again and _hidden(work, steps[TAG].result["uuid"]):
            work.observer.note(f"{plan.name} was made private since; making it readable by everyone again.")
            work.ledger.forget(plan.id, ("publish", "describe", "prove"))
        if not again:
            plan.require()
            work.cl.start()  # its imports take seconds, in which the dataset is packed
            if "worksheet" not in steps:
                making.begin_packing(work)
        for _ in range(_MOST_ROUNDS):
            try:
                _do(work)
            except Remake:
                work.ledger.forget(plan.id, _FROM_PREDICTIONS)
            except RunAgain:
                continue
            else:
                return _submission(work, again)
        raise SubmissionRefused(
            "Others of this account keep being tagged before this one, and only the newest counts.",
            action="Run the command again when they are done.",
        )


def _do(work: Work) -> None:
    steps = work.ledger.steps(work.plan.id)
    for step in STEPS:
        known = steps.get(step.name)
        if known is not None and known.finished is not None:
            work.results[step.name] = known.result
            continue
        if known is not None:
            work.begun.add(step.name)
        work.observer.start(step.says)
        result = _persist(work, step)
        work.results[step.name] = result
        work.ledger.finish(work.plan.id, step.name, result, now=work.clock())


def _persist(work: Work, step: Step) -> Result:
    """Do a step, again where the network or the server broke it off."""
    for pause in (*PAUSES_SECONDS, None):
        work.ledger.begin(work.plan.id, step.name, now=work.clock())
        try:
            return step.do(work)
        except (Unreachable, ServerFailed, UploadFailed, CredentialsError) as error:
            if pause is None:
                raise
            work.begun.add(step.name)
            work.observer.note(f"{_first_line(error)} Trying again.")
            time.sleep(pause)
    raise AssertionError("the last pause is None")


def _first_line(error: CldcError) -> str:
    return error.message.splitlines()[0]


def _forget_what_is_gone(work: Work) -> None:
    """Steps whose results somebody removed from the server, or took back, have to be done again."""
    identity, steps = work.plan.id, work.ledger.steps(work.plan.id)
    names = [step.name for step in STEPS]
    if WITHDRAW in steps and steps[WITHDRAW].finished is not None:
        _remember_place(work, steps)
        work.ledger.forget(identity, (*names[names.index("prove") :], WITHDRAW))
        steps = work.ledger.steps(identity)
    done = {name: steps[name].result for name in names if name in steps and steps[name].finished is not None}
    if TAG in done or "worksheet" not in done:
        return
    try:
        sheet = work.rest.worksheet(done["worksheet"]["uuid"], bundles=True)
    except NotFound:
        work.ledger.forget(identity, tuple(names))
        return
    there = {bundle.uuid for bundle in sheet.bundles}
    for name in ("upload", "run", "predictions"):
        if name in done and done[name]["uuid"] not in there:
            work.observer.note(f"What the step {name} made is no longer on the server; going on from there.")
            work.ledger.forget(identity, tuple(names[names.index(name) :]))
            return


def _remember_place(work: Work, steps: dict[str, StepRecord]) -> None:
    """What was taken back after it was evaluated keeps its place, also where another bundle is tagged in its stead."""
    if TAG in steps and steps[WITHDRAW].result.get("spent") != "no":
        tag, name = steps[TAG], f"{SPENT}{steps[TAG].result['uuid']}"
        work.ledger.begin(work.plan.id, name, now=tag.started)
        work.ledger.finish(work.plan.id, name, {"uuid": tag.result["uuid"]}, now=tag.finished)


def _hidden(work: Work, uuid: str) -> bool:
    """Whether a tagged bundle was made private since, which spends its place and is scored by nobody.

    Raises:
        SubmissionRefused: It was removed; whether that spent its place is for `withdraw` to say.
    """
    bundle = work.rest.found(uuid)
    if bundle is None:
        raise SubmissionRefused(
            f"{work.plan.name} was submitted, and its tagged bundle {uuid} is no longer on the server.",
            action=f"Run `cldc withdraw {work.plan.name}`, then submit it again.",
        )
    return not bundle.public_permission


def _record(plan: Plan) -> Record:
    return Record(
        id=plan.id,
        competition=plan.competition,
        server=plan.server,
        account=plan.account,
        name=plan.name,
        institution=plan.institution,
        link=plan.link,
        dataset=plan.dataset,
        dataset_hash=plan.dataset_hash,
        preflight=plan.preflight,
        created=datetime.now(UTC),
    )


def _submission(work: Work, again: bool) -> Submission:
    plan = work.plan
    made = {step: work.uuid(step) for step in ("worksheet", "upload", "run")}
    made["predictions"] = work.uuid(TAG)
    tagged = work.ledger.steps(plan.id)[TAG].finished
    assert tagged is not None  # noqa: S101 - the last step has just been finished
    links = {"worksheet": f"{plan.server}/worksheets/{made['worksheet']}"}
    links |= {step: f"{plan.server}/bundles/{made[step]}" for step in ("upload", "run", "predictions")}
    return Submission(
        id=plan.id,
        name=plan.name,
        description=plan.description or work.results["describe"]["description"],
        server=plan.server,
        account=plan.account,
        tagged=tagged,
        again=again,
        worksheet=made["worksheet"],
        dataset=made["upload"],
        run=made["run"],
        bundle=made["predictions"],
        links=links,
        proof=tuple(work.proof),
        quota=standing(work.competition, work.rest, work.ledger, plan.account),
        usual_wait=work.competition.submission.usual_wait,
        form=work.competition.form,
        dataset_changed=""
        if again
        else changes_since(work.report.dataset, work.competition.dataset.extensions),
    )
