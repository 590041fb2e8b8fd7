"""The steps of a submission up to the tag. Each first looks for the result of an earlier try, so it is safe to repeat."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NoReturn

from cldc import files
from cldc.bundles.run_log import READ_SECONDS, RunLog
from cldc.bundles.runs import find_or_start_run, lost_dependency_twice, organisers_uuid
from cldc.bundles.uploads import find_upload, private_uploads, upload
from cldc.bundles.usage import Usage
from cldc.bundles.worksheets import (
    SUBMISSION,
    TITLE,
    find_or_make_worksheet,
    preflight_prefix,
)
from cldc.codalab import Bundle, lost_dependency, require_ready, wait_for
from cldc.codalab.failures import not_done
from cldc.errors import QuotaExceeded, RunFailed
from cldc.ledger import FAILED, LOST
from cldc.package import Package, pack
from cldc.progress import SILENT, Observer
from cldc.submission.context import (
    RunLostDependency,
    SubmissionContext,
    competing_submissions,
    find_own_bundles,
    why_outdated,
)
from cldc.submission.quota import tagged_bundles
from cldc.submission.results import (
    FinishedRun,
    OrganisersBundles,
    PredictionsBundle,
    PublishedWorksheet,
    StartedRun,
    StoredDescription,
    SubmissionWorksheet,
    UploadedDataset,
)
from cldc.submission.verify import check_predictions, require_description

# Seconds between progress updates of a training.
_LOOK_SECONDS = 5.0


def make_worksheet(context: SubmissionContext) -> SubmissionWorksheet:
    """Find or create the submission's own worksheet."""
    title = f"{TITLE}{context.record.name}"
    return SubmissionWorksheet(find_or_make_worksheet(context, context.plan.worksheet, title=title))


def begin_packing(context: SubmissionContext) -> Future[Package]:
    """Create the zip in a thread, during the seconds that CodaLab's client takes to start."""
    pool = ThreadPoolExecutor(1)
    packing = pool.submit(_pack, context, SILENT)
    pool.shutdown(wait=False)
    return packing


def _pack(context: SubmissionContext, observer: Observer) -> Package:
    return pack(context.report, context.home / "packages" / context.record.id, observer)


def upload_dataset(
    context: SubmissionContext, worksheet: SubmissionWorksheet, packing: Future[Package] | None
) -> UploadedDataset:
    """Find or upload the dataset's bundle. The client creates it before sending the bytes, so it may be incomplete.

    Args:
        context: The submission.
        worksheet: Its worksheet.
        packing: The future of the zip; None if packing has not started.
    """
    record = context.record
    candidates = find_own_bundles(context, worksheet.uuid, "dataset", record.dataset)
    if found := find_upload(context, candidates, record.dataset_hash):
        return UploadedDataset(found.uuid)
    package = packing.result() if packing else None
    if package is None or not package.path.exists():
        package = _pack(context, context.observer)
    if kept := _upload_of_preflight(context):
        context.cl.add_bundle(worksheet.uuid, kept.uuid)
        files.remove_tree(package.path.parent)
        return UploadedDataset(kept.uuid)
    return UploadedDataset(upload(context, worksheet.uuid, package).uuid)


def _upload_of_preflight(context: SubmissionContext) -> Bundle | None:
    """Find the same dataset as uploaded by a preflight on this server, under the same name, which its folder has too."""
    record = context.record
    for dataset_hash, bundle in private_uploads(
        context.rest, record.account, preflight_prefix(record.account)
    ):
        if (dataset_hash, bundle.name) == (record.dataset_hash, record.dataset):
            return bundle
    return None


def link_organisers(context: SubmissionContext, worksheet: SubmissionWorksheet) -> OrganisersBundles:
    """Link the organisers' own script and label book on the worksheet."""
    there = context.rest.worksheet(worksheet.uuid, bundles=True).bundle_uuids
    organisers = context.competition.bundles
    linked = OrganisersBundles(organisers_uuid(organisers.script), organisers_uuid(organisers.label_book))
    for uuid in (linked.script, linked.label_book):
        if uuid not in there:
            context.cl.add_bundle(worksheet.uuid, uuid)
    return linked


def start_run(
    context: SubmissionContext, worksheet: SubmissionWorksheet, dataset: UploadedDataset
) -> StartedRun:
    """Find or start the training on the server; failed runs and earlier ones stay for their logs."""
    record, competition = context.record, context.competition
    candidates = find_own_bundles(context, worksheet.uuid, "run", competition.run.name)
    command = competition.run.command.format(
        dataset=record.dataset, label_book=competition.bundles.label_book.name
    )
    uuid, _ = find_or_start_run(
        context,
        worksheet.uuid,
        _after_the_failed(context, candidates),
        dataset=record.dataset,
        dataset_uuid=dataset.uuid,
        command=command,
        description=f"{SUBMISSION}{record.id}",
    )
    return StartedRun(uuid)


def _after_the_failed(context: SubmissionContext, runs: list[Bundle]) -> list[Bundle]:
    """Select the runs created after the last failed one: a ready run may have bad predictions."""
    failed = context.ledger.steps(context.record.id).get(FAILED)
    uuids = [bundle.uuid for bundle in runs]
    if failed is None or failed.result.get("uuid") not in uuids:
        return runs
    return runs[uuids.index(failed.result["uuid"]) + 1 :]


def wait_for_run(context: SubmissionContext, run: StartedRun) -> FinishedRun:
    """Wait for the run; forget a failed one, which spends no quota, so that the next try starts a new one.

    Raises:
        RunLostDependency: A worker lost what the run depends on, for the first time.
        RunFailed, QuotaExceeded: It failed.
    """
    ledger, identity, file = context.ledger, context.record.id, context.competition.run.predictions
    log = RunLog(run.uuid)
    with context.rest.with_timeout(READ_SECONDS) as reader:
        bundle = wait_for(
            context.rest,
            run.uuid,
            observer=context.observer,
            describe=lambda bundle: log.follow(bundle, reader),
            longest_pause_seconds=_LOOK_SECONDS,
        )
    try:
        if path := lost_dependency(context.rest, bundle):
            _start_once_more(context, run, path)
        # `ready` with exit code 0 proves nothing: the script also exits so when it refuses a dataset's size.
        require_ready(context.rest, bundle, (file,))
        check_predictions(context, context.rest, run, run.uuid, file)
    except (RunFailed, QuotaExceeded) as error:
        _note(context, FAILED, {"uuid": run.uuid, "reason": error.message.splitlines()[0]})
        ledger.forget(identity, ("run", "train", LOST))
        raise
    ledger.forget(identity, (FAILED, LOST))
    return FinishedRun(run.uuid, bundle.seconds, context.plan.images)


def _start_once_more(context: SubmissionContext, run: StartedRun, path: str) -> NoReturn:
    """Restart a run that lost a dependency once; a second loss is for the server's operators.

    Raises:
        RunLostDependency: It is the first loss, even if a killed call already recorded it.
        RunFailed: Another one lost a dependency before.
    """
    before = context.ledger.steps(context.record.id).get(LOST)
    if before is not None and before.result.get("uuid", run.uuid) != run.uuid:
        raise lost_dependency_twice(context.rest.server, run.uuid, path)
    _note(context, LOST, {"uuid": run.uuid, "path": path})
    context.ledger.forget(context.record.id, ("run", "train"))
    context.observer.note(
        f"The worker lost {path}, which the run depends on and the server has; starting the run once more."
    )
    raise RunLostDependency


def _note(context: SubmissionContext, name: str, result: Mapping[str, str]) -> None:
    """Record an event that is not a step."""
    now = context.clock()
    context.ledger.begin(context.record.id, name, now=now)
    context.ledger.finish(context.record.id, name, result, now=now)


def make_predictions(
    context: SubmissionContext, worksheet: SubmissionWorksheet, run: StartedRun
) -> PredictionsBundle:
    """Create the predictions bundle; `make` always returns a uuid, and its contents are readable early: wait, then check."""
    file = context.competition.run.predictions
    uuid = _find_predictions(context, worksheet, run, file) or context.cl.make(
        worksheet.uuid,
        run.uuid,
        file,
        name=context.record.name,
        description=f"{SUBMISSION}{context.record.id}",
    )
    require_ready(context.rest, wait_for(context.rest, uuid, observer=context.observer))
    return PredictionsBundle(uuid)


def _find_predictions(
    context: SubmissionContext, worksheet: SubmissionWorksheet, run: StartedRun, file: str
) -> str | None:
    """Find the predictions bundle of an earlier try that the daemon would accept, and remove useless ones."""
    tag = context.competition.submission.tag
    for bundle in find_own_bundles(context, worksheet.uuid, "make", context.record.name):
        if bundle.final and bundle.failure is not None:
            _remove(context, bundle)
        elif {(d.parent, d.parent_path) for d in bundle.dependencies} == {(run.uuid, file)}:
            if tag in bundle.tags or not _is_outdated(context, bundle):
                return bundle.uuid
            _remove(context, bundle)
    return None


def _is_outdated(context: SubmissionContext, bundle: Bundle) -> bool:
    tagged = tagged_bundles(context.competition, context.rest, context.account)
    return why_outdated(context, bundle, competing_submissions(context, tagged)) is not None


def _remove(context: SubmissionContext, bundle: Bundle) -> None:
    """Remove a useless predictions bundle, unless another competition's tag, a board or another bundle needs it."""
    if not Usage(context.rest, context.account).why_needed(bundle.uuid):
        context.cl.remove(bundle.uuid)


def publish(
    context: SubmissionContext,
    worksheet: SubmissionWorksheet,
    dataset: UploadedDataset,
    run: StartedRun,
    predictions: PredictionsBundle,
) -> PublishedWorksheet:
    """Make everything public: the scoring daemon is another account and sees only public bundles."""
    uuids = [dataset.uuid, run.uuid, predictions.uuid]
    context.codalab.publish(uuids, worksheet.uuid)
    for uuid in uuids:
        if not context.anonymous.bundle(uuid).readable:
            raise not_done(f"was told to let everyone read {uuid} and does not")
    return PublishedWorksheet(worksheet.uuid)


def describe(context: SubmissionContext, predictions: PredictionsBundle) -> StoredDescription:
    """Set the description, and verify it as the board will parse it."""
    uuid, description = predictions.uuid, context.plan.description
    before = context.rest.bundle(uuid).description
    context.cl.describe(uuid, description)
    stored = context.anonymous.bundle(uuid).description
    if stored == before != description:
        raise not_done("was told the description and keeps the old one")
    require_description(context, stored)
    return StoredDescription(uuid, stored)
