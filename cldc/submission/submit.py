"""Carry out a plan, from the worksheet to the tag. Every step is recorded before it starts and after it ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import fields, replace
from typing import TypeVar

from cldc import files
from cldc.bundles.retry import repeat
from cldc.codalab.failures import NotFound
from cldc.dataset import changes_since
from cldc.errors import CldcError, SubmissionRefused
from cldc.ledger import SPENT, TAG, WITHDRAW, KnownSubmission
from cldc.package import Package
from cldc.submission import steps
from cldc.submission.context import Contestant, SubmissionContext
from cldc.submission.model import (
    PUBLISHED,
    STEPS,
    Evidence,
    FinishedRun,
    OrganisersBundles,
    Plan,
    PredictionsBundle,
    StartedRun,
    StepResult,
    StoredDescription,
    Submission,
    SubmissionWorksheet,
    UploadedDataset,
)
from cldc.submission.quota import read_quota
from cldc.submission.verify import verify

R = TypeVar("R", bound=StepResult)
# Predictions are created again if another submission is tagged meanwhile, a run if a worker loses a dependency.
_MOST_ROUNDS = 4


def submit(contestant: Contestant, plan: Plan) -> Submission:
    """Do every step that is not done according to the ledger, in order, and return the tagged submission.

    Raises:
        CldcError: A step failed; finished steps are kept, and the next call resumes there.
    """
    context = SubmissionContext(
        **{f.name: getattr(contestant, f.name) for f in fields(contestant)}, plan=plan
    )
    record = plan.record
    lock = context.home / "locks" / f"submission-{record.id}.lock"
    with files.lock(lock, purpose=f"submitting {record.name}", observer=context.observer, timeout_seconds=60):
        context.ledger.add(record)
        _forget_what_is_gone(context)
        known = context.known
        again, packing = known.tagged is not None, None
        if again and _is_hidden(context, known.uuid(TAG)):
            context.observer.note(
                f"{record.name} was made private since; making it readable by everyone again."
            )
            context.forget(*PUBLISHED)
        if not again:
            plan.require()
            context.cl.start()  # its imports take seconds, during which the dataset is packed
            if "worksheet" not in known.steps:
                packing = steps.begin_packing(context)
        begun: set[str] = set()
        for _ in range(_MOST_ROUNDS):
            try:
                return _do_steps(context, _Recorder(context, begun), packing, again=again)
            except steps.PredictionsOutdated:
                context.forget(*_from("predictions"))
            except steps.RunLostDependency:
                continue
        raise SubmissionRefused(
            "Other submissions of this account keep getting the tag before this one, and only the newest counts.",
            action="Run the command again when they are done.",
        )


def _do_steps(
    context: SubmissionContext, do: _Recorder, packing: Future[Package] | None, *, again: bool
) -> Submission:
    """Do all steps from the worksheet to the tag."""
    worksheet = do("worksheet", SubmissionWorksheet, lambda: steps.make_worksheet(context))
    dataset = do("upload", UploadedDataset, lambda: steps.upload_dataset(context, worksheet, packing))
    do("link", OrganisersBundles, lambda: steps.link_organisers(context, worksheet))
    run = do("run", StartedRun, lambda: steps.start_run(context, worksheet, dataset))
    do("train", FinishedRun, lambda: steps.wait_for_run(context, run))
    predictions = do(
        "predictions", PredictionsBundle, lambda: steps.make_predictions(context, worksheet, run)
    )
    do(
        "publish",
        SubmissionWorksheet,
        lambda: steps.publish(context, worksheet, dataset, run, predictions),
    )
    described = do("describe", StoredDescription, lambda: steps.describe(context, predictions))
    evidence = do("prove", Evidence, lambda: verify(context, worksheet, run, predictions))
    tagged = do(
        TAG,
        PredictionsBundle,
        lambda: steps.set_tag(context, worksheet, predictions, begun_before=TAG in do.begun),
    )
    known = context.known
    assert known.tagged is not None  # noqa: S101 - the last step has just finished
    return Submission(
        record=context.record,
        description=context.plan.description or described.description,
        tagged=known.tagged,
        again=again,
        worksheet=worksheet.uuid,
        dataset=dataset.uuid,
        run=run.uuid,
        bundle=tagged.uuid,
        evidence=evidence.checks,
        quota=read_quota(context),
        usual_wait=context.competition.submission.usual_wait,
        form=context.competition.form,
        dataset_changed=""
        if again
        else changes_since(context.plan.intent.report.dataset, context.competition.dataset),
    )


class _Recorder:
    """Does a step unless it is done according to the ledger, and records its start and end.

    Attributes:
        begun: Names of the steps that an earlier attempt, in this call or another, began without finishing them.
    """

    def __init__(self, context: SubmissionContext, begun: set[str]) -> None:
        self._context, self._known, self.begun = context, context.known, begun
        self.begun |= {name for name, step in self._known.steps.items() if step.finished is None}

    def __call__(self, name: str, result: type[R], action: Callable[[], R]) -> R:
        """Return the result of a step, from the ledger or from ``action``."""
        if (done := self._known.finished(name)) is not None:
            return result.from_ledger(done.result)
        context, identity = self._context, self._context.record.id
        context.observer.start(STEPS[name])

        def attempt() -> R:
            context.ledger.begin(identity, name, now=context.clock())
            return action()

        def broken_off(error: CldcError) -> None:
            self.begun.add(name)
            context.observer.note(f"{error.message.splitlines()[0]} Trying again.")

        made = repeat(attempt, on_failure=broken_off)
        context.ledger.finish(identity, name, made.to_ledger(), now=context.clock())
        return made


def _from(step: str) -> list[str]:
    """List the names of a step and of all after it."""
    names = list(STEPS)
    return names[names.index(step) :]


def _forget_what_is_gone(context: SubmissionContext) -> None:
    """Forget steps whose results were removed or undone on the server, so that they are repeated."""
    known = context.known
    if known.finished(WITHDRAW):
        _keep_spent(context, known)
        context.forget(*_from("prove"), WITHDRAW)
        known = context.known
    if known.tagged or not known.finished("worksheet"):
        return
    try:
        worksheet = context.rest.worksheet(known.uuid("worksheet"), bundles=True)
    except NotFound:
        context.forget(*STEPS)
        return
    there = {bundle.uuid for bundle in worksheet.bundles}
    for name in ("upload", "run", "predictions"):
        if known.finished(name) and known.uuid(name) not in there:
            context.observer.note(
                f"The result of the step {name} is no longer on the server; continuing from there."
            )
            context.forget(*_from(name))
            return


def _keep_spent(context: SubmissionContext, known: KnownSubmission) -> None:
    """Keep counting a bundle that was withdrawn after its evaluation, even if another one is tagged instead."""
    if TAG in known.steps and known.steps[WITHDRAW].result.get("spent") != "no":
        tag = known.steps[TAG]
        uuid = tag.result["uuid"]
        context.ledger.record(known.record.id, replace(tag, name=f"{SPENT}{uuid}", result={"uuid": uuid}))


def _is_hidden(context: SubmissionContext, uuid: str) -> bool:
    """Whether a tagged bundle was made private since; it then counts against the quota without being scored.

    Raises:
        SubmissionRefused: It was removed; `withdraw` decides whether it still counts.
    """
    bundle, name = context.rest.found(uuid), context.record.name
    if bundle is None:
        raise SubmissionRefused(
            f"{name} was submitted, and its tagged bundle {uuid} is no longer on the server.",
            action=f"Run `cldc withdraw {name}`, then submit it again.",
        )
    return not bundle.public_permission
