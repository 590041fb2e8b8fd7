"""Carry out a plan, from the worksheet to the tag."""

from __future__ import annotations

from dataclasses import fields, replace

from cldc import files
from cldc.codalab.failures import NotFound
from cldc.dataset import changes_since
from cldc.errors import SubmissionRefused
from cldc.ledger import SPENT, TAG, WITHDRAW, KnownSubmission
from cldc.submission import steps
from cldc.submission.context import Contestant, SubmissionContext
from cldc.submission.model import PUBLISHED, STEPS, Plan, Submission, steps_from
from cldc.submission.quota import read_quota
from cldc.submission.verify import verify

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
    record, competition = plan.record, contestant.competition
    lock = context.home / "locks" / f"submission-{record.id}.lock"
    with files.lock(lock, purpose=f"submitting {record.name}", observer=context.observer, timeout_seconds=60):
        again = _resume(context)
        packing = steps.begin_packing(context)
        for _ in range(_MOST_ROUNDS):
            try:
                worksheet = steps.make_worksheet(context)
                dataset = steps.upload_dataset(context, worksheet, packing)
                steps.link_organisers(context, worksheet)
                run = steps.start_run(context, worksheet, dataset)
                steps.wait_for_run(context, run)
                predictions = steps.make_predictions(context, worksheet, run)
                steps.publish(context, worksheet, dataset, run, predictions)
                described = steps.describe(context, predictions)
                evidence = verify(context, worksheet, run, predictions)
                tagged = steps.set_tag(context, worksheet, predictions)
                break
            except steps.StepsForgotten:
                continue
        else:
            raise SubmissionRefused(
                "Other submissions of this account keep getting the tag before this one, and only the newest counts.",
                action="Run the command again when they are done.",
            )
        known = context.known
        assert known.tagged is not None  # noqa: S101 - the last step has just finished
        return Submission(
            record=record,
            description=plan.description or described.description,
            tagged=known.tagged,
            again=again,
            worksheet=worksheet.uuid,
            dataset=dataset.uuid,
            run=run.uuid,
            bundle=tagged.uuid,
            evidence=evidence.checks,
            quota=read_quota(context),
            usual_wait=competition.submission.usual_wait,
            form=competition.form,
            dataset_changed="" if again else changes_since(plan.intent.report.dataset, competition.dataset),
        )


def _resume(context: SubmissionContext) -> bool:
    """Record the submission, or forget the steps of an earlier attempt that no longer hold; return whether it has the tag.

    Raises:
        CldcError: The plan refuses it.
    """
    context.ledger.add(context.record)
    _forget_what_is_gone(context)
    known = context.known
    if known.tagged is None:
        context.plan.require()
        context.cl.start()  # its imports take seconds, during which the dataset is packed
        return False
    if _is_hidden(context, known.uuid(TAG)):
        context.observer.note(
            f"{context.record.name} was made private since; making it readable by everyone again."
        )
        context.forget(*PUBLISHED)
    return True


def _forget_what_is_gone(context: SubmissionContext) -> None:
    """Forget steps whose results were removed or undone on the server, so that they are repeated."""
    known = context.known
    if known.finished(WITHDRAW):
        _keep_spent(context, known)
        context.forget(*steps_from("prove"), WITHDRAW)
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
            context.forget(*steps_from(name))
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
