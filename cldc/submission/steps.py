"""The steps of a submission up to the tag. Each looks first for what an earlier try left, so it is safe to run again."""

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

# How often a person wants to see how far a training is.
_LOOK_SECONDS = 5.0


def make_worksheet(context: SubmissionContext) -> SubmissionWorksheet:
    """The submission's own worksheet."""
    title = f"{TITLE}{context.record.name}"
    return SubmissionWorksheet(find_or_make_worksheet(context, context.plan.worksheet, title=title))


def begin_packing(context: SubmissionContext) -> Future[Package]:
    """Make the zip in a thread: the seconds that CodaLab's client takes to start are enough for it."""
    pool = ThreadPoolExecutor(1)
    packing = pool.submit(_pack, context, SILENT)
    pool.shutdown(wait=False)
    return packing


def _pack(context: SubmissionContext, observer: Observer) -> Package:
    return pack(context.report, context.home / "packages" / context.record.id, observer)


def upload_dataset(
    context: SubmissionContext, worksheet: SubmissionWorksheet, packing: Future[Package] | None
) -> UploadedDataset:
    """The dataset as a bundle that is ready. The client makes it before it sends the bytes, so it may be half there.

    Args:
        context: The submission.
        worksheet: Its worksheet.
        packing: The zip, being made; None where nobody has begun it.
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
    """The same dataset as a preflight on this server left it: under the same name, since its folder is called so."""
    record = context.record
    for dataset_hash, bundle in private_uploads(
        context.rest, record.account, preflight_prefix(record.account)
    ):
        if (dataset_hash, bundle.name) == (record.dataset_hash, record.dataset):
            return bundle
    return None


def link_organisers(context: SubmissionContext, worksheet: SubmissionWorksheet) -> OrganisersBundles:
    """The organisers' own script and label book, on the worksheet."""
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
    """The training on the server, started or found; one that failed is left for its log, and so is any before it."""
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
    """The runs made after the one that failed last: a run can be ready and its predictions be no good."""
    failed = context.ledger.steps(context.record.id).get(FAILED)
    uuids = [bundle.uuid for bundle in runs]
    if failed is None or failed.result.get("uuid") not in uuids:
        return runs
    return runs[uuids.index(failed.result["uuid"]) + 1 :]


def wait_for_run(context: SubmissionContext, run: StartedRun) -> FinishedRun:
    """A failed run spends nothing: it is forgotten here, so that the next try makes a new one.

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
        # `ready` with exit code 0 is no proof: the script ends so when it refuses a dataset for its size.
        require_ready(context.rest, bundle, (file,))
        check_predictions(context, context.rest, run, run.uuid, file)
    except (RunFailed, QuotaExceeded) as error:
        _note(context, FAILED, {"uuid": run.uuid, "reason": error.message.splitlines()[0]})
        ledger.forget(identity, ("run", "train", LOST))
        raise
    ledger.forget(identity, (FAILED, LOST))
    return FinishedRun(run.uuid, bundle.seconds, context.plan.images)


def _start_once_more(context: SubmissionContext, run: StartedRun, path: str) -> NoReturn:
    """Have a run that lost a dependency made once more; a second loss is for the server's operators.

    Raises:
        RunLostDependency: It is the first, whether or not a call that was killed knew it already.
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
    """Write down what happened and is not a step."""
    now = context.clock()
    context.ledger.begin(context.record.id, name, now=now)
    context.ledger.finish(context.record.id, name, result, now=now)


def make_predictions(
    context: SubmissionContext, worksheet: SubmissionWorksheet, run: StartedRun
) -> PredictionsBundle:
    """`make` gives a uuid whatever happens, and its contents can be read before it is ready: wait, then look."""
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
    """The predictions bundle of an earlier try, if the daemon would take it; a useless one is removed."""
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
    """Remove a useless predictions bundle, unless another competition's tag, a board or somebody's bundle needs it."""
    if not Usage(context.rest, context.account).why_needed(bundle.uuid):
        context.cl.remove(bundle.uuid)


def publish(
    context: SubmissionContext,
    worksheet: SubmissionWorksheet,
    dataset: UploadedDataset,
    run: StartedRun,
    predictions: PredictionsBundle,
) -> PublishedWorksheet:
    """The scoring daemon is another account: it sees only what everyone sees."""
    uuids = [dataset.uuid, run.uuid, predictions.uuid]
    context.codalab.publish(uuids, worksheet.uuid)
    for uuid in uuids:
        if not context.anonymous.bundle(uuid).readable:
            raise not_done(f"was told to let everyone read {uuid} and does not")
    return PublishedWorksheet(worksheet.uuid)


def describe(context: SubmissionContext, predictions: PredictionsBundle) -> StoredDescription:
    """The description, read back as the board will read it."""
    uuid, description = predictions.uuid, context.plan.description
    before = context.rest.bundle(uuid).description
    context.cl.describe(uuid, description)
    stored = context.anonymous.bundle(uuid).description
    if stored == before != description:
        raise not_done("was told the description and keeps the old one")
    require_description(context, stored)
    return StoredDescription(uuid, stored)
