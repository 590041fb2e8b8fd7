"""Carry out a plan, from the worksheet to the tag.

Each step first looks for the result of an earlier try, so it is safe to repeat; the tag comes last.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import NoReturn

from cldc import files
from cldc import quota as quotas
from cldc.bundles.dependents import Usage, creation_key
from cldc.bundles.lost_dependency import lost_dependency, lost_dependency_twice
from cldc.bundles.runs import READ_SECONDS, RunLog, find_or_start_run, organisers_uuid
from cldc.bundles.uploads import find_upload, upload
from cldc.bundles.worksheets import (
    SUBMISSION,
    TITLE,
    find_or_make_worksheet,
    own_bundles,
    preflight_uploads,
)
from cldc.codalab import Bundle, require_ready, wait_for
from cldc.codalab.failures import NotFound, not_done
from cldc.dataset import changes_since
from cldc.errors import QuotaExceeded, RunFailed, SubmissionRefused
from cldc.ledger import FAILED, LOST, SPENT, TAG, WITHDRAW, KnownSubmission
from cldc.package import pack
from cldc.submission.context import Contestant, SubmissionContext, step
from cldc.submission.ledger_sync import sync_ledger
from cldc.submission.model import (
    PUBLISHED,
    STEPS,
    FinishedRun,
    OrganisersBundles,
    Plan,
    PredictionsBundle,
    StartedRun,
    StoredDescription,
    Submission,
    SubmissionWorksheet,
    UploadedDataset,
    steps_from,
)
from cldc.submission.plan import check_open, check_same_dataset
from cldc.submission.quota import current_quota, read_quota, spent_by_ledger, spent_on_server
from cldc.submission.verify import check_predictions, require_description, verify

# Predictions are created again if another submission is tagged first, a run if a worker loses a dependency.
_MOST_ROUNDS = 4
# Seconds between progress updates of a training.
_POLL_SECONDS = 5.0
# How often to try to set the tag while other machines do the same, and the longest pause in between.
_TRIES = 6
_LONGEST_PAUSE_SECONDS = 2.0
# The server knows a submission's time only by its bundle's creation, which must therefore be close to the tag's.
_FRESH = timedelta(hours=1)


class StepsForgotten(Exception):
    """Results of earlier steps no longer hold and are forgotten: those steps must run again."""


def submit(contestant: Contestant, plan: Plan) -> Submission:
    """Do every step that is not done according to the ledger, in order, and return the tagged submission.

    Raises:
        CldcError: A step failed; finished steps are kept, and the next call resumes there.
    """
    context = SubmissionContext(**vars(contestant), plan=plan)
    record, competition = plan.record, contestant.competition
    lock = context.home / "locks" / f"submission-{record.id}.lock"
    with files.lock(lock, purpose=f"submitting {record.name}", observer=context.observer, timeout_seconds=60):
        again = _resume(context)
        for _ in range(_MOST_ROUNDS):
            try:
                worksheet = make_worksheet(context)
                dataset = upload_dataset(context, worksheet)
                link_organisers(context, worksheet)
                run = start_run(context, worksheet, dataset)
                wait_for_run(context, run)
                predictions = make_predictions(context, worksheet, run)
                publish(context, worksheet, dataset, run, predictions)
                described = describe(context, predictions)
                evidence = verify(context, worksheet, run, predictions)
                tagged = set_tag(context, worksheet, predictions)
                break
            except StepsForgotten:
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
            dataset_changed="" if again else changes_since(plan.report.dataset, competition.dataset),
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
        _require_still_allowed(context)
        context.cl.start()  # its imports take seconds
        return False
    if _is_hidden(context, known.uuid(TAG)):
        context.observer.note(
            f"{context.record.name} was made private since; making it readable by everyone again."
        )
        context.forget(*PUBLISHED)
    return True


def _require_still_allowed(context: SubmissionContext) -> None:
    """Check, before anything is uploaded, what may have changed since planning: a training here takes minutes.

    Nothing is refused if the submission has the tag already, from a killed call or another machine: the steps find it.
    """
    if context.plan.spent:
        return
    tagged = context.tagged_bundles()
    own = {worksheet.uuid for worksheet in context.rest.own_worksheets(context.plan.worksheet)}
    if own.isdisjoint(uuid for bundle in tagged for uuid in bundle.worksheets):
        _require_allowed(context, tagged)


def _forget_what_is_gone(context: SubmissionContext) -> None:
    """Forget steps whose results were removed or undone on the server, so that they are repeated."""
    known = context.known
    if known.withdrawal:
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
    if known.tagged and known.withdrawal and known.withdrawal.spent:
        uuid = known.uuid(TAG)
        spent = replace(known.steps[TAG], name=f"{SPENT}{uuid}", result={"uuid": uuid})
        context.ledger.record(known.record.id, spent)


def _is_hidden(context: SubmissionContext, uuid: str) -> bool:
    """Check whether a tagged bundle was made private since; it then counts against the quota without being scored.

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


# The steps ---------------------------------------------------------------------------------------------------


@step("worksheet", SubmissionWorksheet)
def make_worksheet(context: SubmissionContext) -> SubmissionWorksheet:
    """Find or create the submission's own worksheet."""
    title = f"{TITLE}{context.record.name}"
    return SubmissionWorksheet(find_or_make_worksheet(context, context.plan.worksheet, title=title))


@step("upload", UploadedDataset)
def upload_dataset(context: SubmissionContext, worksheet: SubmissionWorksheet) -> UploadedDataset:
    """Find or upload the dataset's bundle. The client creates it before sending the bytes, so it may be incomplete."""
    record = context.record
    folder = context.home / "packages" / record.id
    candidates = own_bundles(context, worksheet.uuid, "dataset", record.dataset)
    if found := find_upload(context, candidates, record.dataset_hash):
        files.remove_tree(folder)  # packed by an attempt that was killed
        return UploadedDataset(found.uuid)
    if kept := _upload_of_preflight(context):
        context.cl.add_bundle(worksheet.uuid, kept.uuid)
        files.remove_tree(folder)
        return UploadedDataset(kept.uuid)
    return UploadedDataset(
        upload(context, worksheet.uuid, pack(context.plan.report, folder, context.observer)).uuid
    )


def _upload_of_preflight(context: SubmissionContext) -> Bundle | None:
    """Find the same dataset as uploaded by a preflight on this server, under the same name, which its folder has too."""
    record = context.record
    wanted = (record.dataset_hash, record.dataset)
    return next(
        (b for dataset_hash, b in preflight_uploads(context) if (dataset_hash, b.name) == wanted), None
    )


@step("link", OrganisersBundles)
def link_organisers(context: SubmissionContext, worksheet: SubmissionWorksheet) -> OrganisersBundles:
    """Link the organisers' own script and label book on the worksheet."""
    there = context.rest.worksheet(worksheet.uuid, items=True).items
    organisers = context.competition.bundles
    linked = OrganisersBundles(organisers_uuid(organisers.script), organisers_uuid(organisers.label_book))
    for uuid in (linked.script, linked.label_book):
        if uuid not in there:
            context.cl.add_bundle(worksheet.uuid, uuid)
    return linked


@step("run", StartedRun)
def start_run(
    context: SubmissionContext, worksheet: SubmissionWorksheet, dataset: UploadedDataset
) -> StartedRun:
    """Find or start the training on the server; failed runs and earlier ones stay for their logs."""
    record, competition = context.record, context.competition
    candidates = own_bundles(context, worksheet.uuid, "run", competition.run.name)
    uuids = [bundle.uuid for bundle in candidates]
    command = competition.run.command.format(
        dataset=record.dataset, label_book=competition.bundles.label_book.name
    )
    if (failed := context.known.uuid(FAILED)) in uuids:  # one may be ready and yet have bad predictions
        candidates = candidates[uuids.index(failed) + 1 :]
    uuid, _ = find_or_start_run(
        context,
        worksheet.uuid,
        candidates,
        dataset=record.dataset,
        dataset_uuid=dataset.uuid,
        command=command,
        description=f"{SUBMISSION}{record.id}",
    )
    return StartedRun(uuid)


@step("train", FinishedRun)
def wait_for_run(context: SubmissionContext, run: StartedRun) -> FinishedRun:
    """Wait for the run; forget a failed one, which spends no quota, so that the next try starts a new one.

    Raises:
        StepsForgotten: A worker lost what the run depends on, for the first time.
        RunFailed, QuotaExceeded: It failed.
    """
    file, log = context.competition.run.predictions, RunLog(run.uuid)
    with context.rest.with_timeout(READ_SECONDS) as reader:
        bundle = wait_for(
            context.rest,
            run.uuid,
            observer=context.observer,
            describe=lambda bundle: log.follow(bundle, reader),
            longest_pause_seconds=_POLL_SECONDS,
        )
    try:
        if path := lost_dependency(context.rest, bundle):
            _start_once_more(context, run, path)
        # `ready` with exit code 0 proves nothing: the script also exits so when it refuses a dataset's size.
        require_ready(context.rest, bundle, (file,))
        check_predictions(context, context.rest, run, run.uuid, file)
    except (RunFailed, QuotaExceeded) as error:
        context.note(FAILED, {"uuid": run.uuid, "reason": error.message.splitlines()[0]})
        context.forget("run", "train", LOST)
        raise
    context.forget(FAILED, LOST)
    return FinishedRun(run.uuid, bundle.seconds, context.plan.report.total)


def _start_once_more(context: SubmissionContext, run: StartedRun, path: str) -> NoReturn:
    """Restart a run that lost a dependency once; a second loss is for the server's operators.

    Raises:
        StepsForgotten: It is the first loss, even if a killed call already recorded it.
        RunFailed: Another one lost a dependency before.
    """
    if context.known.uuid(LOST) not in ("", run.uuid):
        raise lost_dependency_twice(context.rest.server, run.uuid, path)
    context.note(LOST, {"uuid": run.uuid, "path": path})
    context.forget("run", "train")
    context.observer.note(
        f"The worker lost {path}, which the run depends on and the server has; starting the run once more."
    )
    raise StepsForgotten


@step("predictions", PredictionsBundle)
def make_predictions(
    context: SubmissionContext, worksheet: SubmissionWorksheet, run: StartedRun
) -> PredictionsBundle:
    """Find the predictions bundle of an earlier try that the daemon would accept, or create it.

    `make` always returns a uuid, and its contents are readable early: wait, then check.
    """
    record, file, tag = (
        context.record,
        context.competition.run.predictions,
        context.competition.submission.tag,
    )
    for bundle in own_bundles(context, worksheet.uuid, "make", record.name):
        if not bundle.failed:
            if {(d.parent, d.parent_path) for d in bundle.dependencies} != {(run.uuid, file)}:
                continue
            if tag in bundle.tags or not _why_outdated(context, bundle, context.tagged_bundles()):
                uuid = bundle.uuid
                break
        if not Usage(context).why_needed(bundle.uuid):
            context.cl.remove(bundle.uuid)
    else:
        uuid = context.cl.make(
            worksheet.uuid, run.uuid, file, name=record.name, description=f"{SUBMISSION}{record.id}"
        )
    require_ready(context.rest, wait_for(context.rest, uuid, observer=context.observer))
    return PredictionsBundle(uuid)


def _why_outdated(context: SubmissionContext, bundle: Bundle, tagged: Iterable[Bundle]) -> str | None:
    """Explain why the creation time of ``bundle`` would mislead the daemon or the quota; None if it does not.

    Of an account's tagged bundles, or of those of one name, the daemon takes the one *created* last, whenever it was
    tagged; of two created in the same second, the first.
    """
    competing = context.competing_submissions(tagged, context.record.name)
    others = (other for other in competing if other.uuid != bundle.uuid)
    newest = max(others, key=creation_key, default=None)
    if newest is not None and creation_key(bundle)[0] <= creation_key(newest)[0]:
        while context.clock().timestamp() < creation_key(newest)[0] + 1:
            time.sleep(0.2)  # so that the next one is created in a later second
        return f"{newest.name} was created after it and tagged before it"
    if bundle.created is not None and context.clock() - bundle.created > _FRESH:
        return "it was created too long ago"
    return None


@step("publish", SubmissionWorksheet)
def publish(
    context: SubmissionContext,
    worksheet: SubmissionWorksheet,
    dataset: UploadedDataset,
    run: StartedRun,
    predictions: PredictionsBundle,
) -> SubmissionWorksheet:
    """Make everything public: the scoring daemon is another account and sees only public bundles."""
    uuids = [dataset.uuid, run.uuid, predictions.uuid]
    context.rest.publish(uuids, worksheet.uuid)
    for uuid in uuids:
        if not context.anonymous.bundle(uuid).readable:
            raise not_done(f"accepted that everyone may read {uuid} but still hides it")
    return worksheet


@step("describe", StoredDescription)
def describe(context: SubmissionContext, predictions: PredictionsBundle) -> StoredDescription:
    """Set the description, and verify it as the board will parse it."""
    uuid, description = predictions.uuid, context.plan.description
    before = context.rest.bundle(uuid).description
    context.cl.describe(uuid, description)
    stored = context.anonymous.bundle(uuid).description
    if stored == before != description:
        raise not_done("accepted the description but keeps the old one")
    require_description(context, stored)
    return StoredDescription(uuid, stored)


# The tag -----------------------------------------------------------------------------------------------------


@step(TAG, PredictionsBundle)
def set_tag(
    context: SubmissionContext, worksheet: SubmissionWorksheet, predictions: PredictionsBundle
) -> PredictionsBundle:
    """Set the tag if a submission is left, and keep it on one bundle of this submission only.

    A lock serialises the processes of one machine; `_tag_within_quota` handles those of other machines.
    """
    tag = context.competition.submission.tag
    with context.tag_lock():
        tagged = _find_tagged(context, worksheet)
        if tagged and predictions.uuid not in {bundle.uuid for bundle in tagged}:  # by another machine
            return PredictionsBundle(tagged[0].uuid)
        _tag_within_quota(context, predictions)
        tagged = _find_tagged(context, worksheet)
        if not tagged:
            raise not_done(f"accepted the tag {tag} but does not show it")
        kept, *others = tagged  # the oldest, the same choice on every machine
        for other in others:
            context.codalab.untag(other.uuid, tag)
        if tag not in context.anonymous.bundle(kept.uuid).tags:
            # It may have become private since: the next try makes it public again.
            context.forget(*PUBLISHED)
            raise not_done(f"accepted the tag {tag} for {kept.uuid} but does not show it")
    return PredictionsBundle(kept.uuid)


def _find_tagged(context: SubmissionContext, worksheet: SubmissionWorksheet) -> list[Bundle]:
    """Find this submission's tagged bundles, oldest first."""
    found = own_bundles(context, worksheet.uuid, "make", context.record.name)
    return [bundle for bundle in found if context.competition.submission.tag in bundle.tags]


def _tag_within_quota(context: SubmissionContext, predictions: PredictionsBundle) -> None:
    """Set the tag, check again, and remove it if it exceeds the quota.

    Machines of one account share only the server, which has no way to count and tag atomically. So after tagging, a machine
    reads all tagged bundles again, and keeps its tag only if all are within the quota; otherwise it removes its own tag and
    retries after a random pause. Of two bundles that are tagged at once, the machine that tagged later sees both, in any
    order of other events: tags that stay never exceed the quota, and each machine gives up after a bounded number of tries.

    Limits: between tag and check one tag too many may be visible for a fraction of a second (the daemon defers what
    exceeds its own quota, it does not reject it). A client killed there leaves the tag until its next run, which checks
    again, as its ledger records that the step was begun. If the tag was withdrawn or the bundle removed by hand, only the
    machine that set the tag knows that it counts.

    Raises:
        StepsForgotten: The daemon would skip this bundle, so a new one must be created from the run.
        CldcError: As from `_require_allowed`, or the other machines keep tagging.
    """
    uuid, tag = predictions.uuid, context.competition.submission.tag
    for number in range(_TRIES):
        bundle = context.rest.bundle(uuid)
        if tag not in bundle.tags:
            tagged = context.tagged_bundles()
            if reason := _why_outdated(context, bundle, tagged):
                context.observer.note(f"Creating the predictions bundle again: {reason}.")
                context.forget(*steps_from("predictions"))
                raise StepsForgotten
            _require_allowed(context, tagged)
            context.cl.set_tags(uuid, (*bundle.tags, tag))
        elif TAG not in context.begun and number == 0:
            return  # set by a run that is not in this ledger; it has checked the quota, or its machine will
        if _is_within_quota(context, uuid):
            return
        context.codalab.untag(uuid, tag)
        context.observer.note("Another machine of this account tagged at the same moment; trying again.")
        time.sleep(random.uniform(0.1, _LONGEST_PAUSE_SECONDS))  # noqa: S311 - not a secret
    raise QuotaExceeded(
        "Other machines of this account kept tagging at the same moment, and too few submissions are left for all.",
        action="See `cldc quota`, then run the command again: what was prepared is kept.",
    )


def _require_allowed(context: SubmissionContext, tagged: Iterable[Bundle]) -> None:
    """Check conditions that may have changed since planning, given the account's bundles that are ``tagged`` now.

    Raises:
        SubmissionRefused: It would replace another submission, its dataset has been submitted under another name, or the
            competition has closed, without the user's consent.
        QuotaExceeded: No submission is left.
    """
    plan = context.plan
    competing = context.competing_submissions(tagged, context.record.name)
    foreseen = {*plan.supersedes, *plan.scored}
    if unforeseen := [other for other in competing if other.uuid not in foreseen]:
        raise SubmissionRefused(
            f"{unforeseen[0].name} ({unforeseen[0].uuid}) was tagged since, and would be replaced.",
            action="Run the command again: it says what would be replaced, and --supersede agrees to that.",
        )
    sync_ledger(context, tagged)  # another machine may have submitted this dataset since
    check_same_dataset(plan, context, tagged)
    now = context.clock()
    check_open(context.competition, now, plan.consent)
    current_quota(context, tagged, now).require()


def _is_within_quota(context: SubmissionContext, uuid: str) -> bool:
    """Check whether all current tags, with ours counted as of now, are within the quota."""
    now, rule = context.clock(), context.competition.quota
    mine = quotas.Spent(uuid, context.record.name, now, "ledger")
    known = [*spent_by_ledger(context.submissions), mine]
    after = quotas.decide(rule, quotas.merge(known, spent_on_server(context.tagged_bundles())), now)
    return len(after.in_window) <= rule.per_window and len(after.spent) <= rule.total
