"""The steps that make things: worksheet, upload, link, run, train, predictions. Each looks first for what is there."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, NoReturn

from cldc import files
from cldc.codalab import Dependency, lost_dependency, require_ready, wait_for
from cldc.codalab.failures import NotFound, TooLarge
from cldc.errors import QuotaExceeded, RunFailed
from cldc.ledger import FAILED, LOST
from cldc.package import Package, pack
from cldc.preflight.output import Output
from cldc.preflight.predictions import UnusablePredictions, read_predictions
from cldc.progress import SILENT, Observer
from cldc.submission.checking import organisers_uuid
from cldc.submission.model import preflight_sheets
from cldc.submission.uploading import arrived, identity_of, send, whole_uploads
from cldc.submission.usage import Usage
from cldc.submission.work import Result, RunAgain, Work, age, own, rivals, sheet
from cldc.submission.worksheets import SUBMISSION, TITLE, find_or_make

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Rest

# The server knows a submission's time only by when its bundle was made, so that must be about when it is tagged.
_FRESH = timedelta(hours=1)


def make_worksheet(work: Work) -> Result:
    """The submission's own worksheet."""
    plan = work.plan
    title = f"{TITLE}{plan.name}"
    return {"uuid": find_or_make(work.codalab, plan.worksheet, title=title, competition=work.competition)}


def upload(work: Work) -> Result:
    """The dataset as a bundle that is ready. The client makes it before it sends the bytes, so it may be half there."""
    for bundle in own(work, "dataset", work.plan.dataset):
        if identity_of(bundle) == work.plan.dataset_hash and arrived(work, bundle):
            return {"uuid": bundle.uuid}
    package = work.packing.pop().result() if work.packing else _packed(work, work.observer)
    if kept := _kept(work):
        work.cl.add_bundle(work.uuid("worksheet"), kept.uuid)
        files.remove_tree(package.path.parent)
        return {"uuid": kept.uuid}
    return {"uuid": send(work, work.uuid("worksheet"), package).uuid}


def begin_packing(work: Work) -> None:
    """Make the zip in a thread: the seconds that CodaLab's client takes to start are enough for it."""
    pool = ThreadPoolExecutor(1)
    work.packing.append(pool.submit(_packed, work, SILENT))
    pool.shutdown(wait=False)


def _packed(work: Work, observer: Observer) -> Package:
    return pack(work.report, work.home / "packages" / work.plan.id, observer)


def _kept(work: Work) -> Bundle | None:
    """The same dataset as a preflight on this server left it: under the same name, since its folder is called so."""
    plan = work.plan
    for identity, bundle in whole_uploads(work.rest, plan.account, preflight_sheets(plan.account)):
        if (identity, bundle.name) == (plan.dataset_hash, plan.dataset):
            return bundle
    return None


def link(work: Work) -> Result:
    """The organisers' own script and label book, on the worksheet."""
    there = sheet(work).bundle_uuids
    references = (work.competition.bundles.script, work.competition.bundles.label_book)
    uuids = [organisers_uuid(reference) for reference in references]
    for uuid in uuids:
        if uuid not in there:
            work.cl.add_bundle(work.uuid("worksheet"), uuid)
    return {"script": uuids[0], "label_book": uuids[1]}


def run(work: Work) -> Result:
    """The training on the server, started or found; one that failed is left for its log, and so is any before it."""
    form, bundles = work.competition.run, work.competition.bundles
    linked = work.results["link"]
    # The keys are set explicitly: on a worksheet the last bundle of a name wins, so names can't be trusted.
    dependencies = (
        Dependency(bundles.script.name, linked["script"], ""),
        Dependency(work.plan.dataset, work.uuid("upload"), ""),
        Dependency(bundles.label_book.name, linked["label_book"], ""),
    )
    wanted = {(d.key, d.parent) for d in dependencies}
    for bundle in _after_the_failed(work, own(work, "run", form.name)):
        usable = not bundle.final or bundle.failure is None
        if usable and {(d.key, d.parent) for d in bundle.dependencies} == wanted:
            return {"uuid": bundle.uuid}
    command = form.command.format(dataset=work.plan.dataset, label_book=bundles.label_book.name)
    uuid = work.cl.run(
        work.uuid("worksheet"),
        command,
        dependencies,
        image=form.image,
        name=form.name,
        description=f"{SUBMISSION}{work.plan.id}",
    )
    return {"uuid": uuid}


def _after_the_failed(work: Work, runs: list[Bundle]) -> list[Bundle]:
    """The runs made after the one that failed last: a run can be ready and its predictions be no good."""
    failed = work.ledger.steps(work.plan.id).get(FAILED)
    uuids = [bundle.uuid for bundle in runs]
    if failed is None or failed.result.get("uuid") not in uuids:
        return runs
    return runs[uuids.index(failed.result["uuid"]) + 1 :]


def train(work: Work) -> Result:
    """A failed run spends nothing: it is forgotten here, so that the next try makes a new one.

    Raises:
        RunAgain: A worker lost what the run depends on, for the first time.
        RunFailed, QuotaExceeded: It failed.
    """
    uuid, predictions = work.uuid("run"), work.competition.run.predictions
    bundle = wait_for(work.rest, uuid, observer=work.observer)
    try:
        if path := lost_dependency(work.rest, bundle):
            _give_another_try(work, uuid, path)
        # `ready` with exit code 0 is no proof: the script ends so when it refuses a dataset for its size.
        require_ready(work.rest, bundle, (predictions,))
        check_predictions(work, work.rest, uuid, predictions)
    except (RunFailed, QuotaExceeded) as error:
        _note(work, FAILED, {"uuid": uuid, "reason": error.message.splitlines()[0]})
        work.ledger.forget(work.plan.id, ("run", "train", LOST))
        raise
    work.ledger.forget(work.plan.id, (FAILED, LOST))
    return {"uuid": uuid, "seconds": str(bundle.seconds), "images": str(work.plan.images)}


def _give_another_try(work: Work, uuid: str, path: str) -> NoReturn:
    """Have a run that lost a dependency made once more; a second one that did is for the server's operators.

    Raises:
        RunAgain: It is the first, whether or not a call that was killed knew it already.
        RunFailed: Another one lost a dependency before.
    """
    before = work.ledger.steps(work.plan.id).get(LOST)
    if before is not None and before.result.get("uuid", uuid) != uuid:
        raise lost_twice(work.rest.server, uuid, path)
    _note(work, LOST, {"uuid": uuid, "path": path})
    work.ledger.forget(work.plan.id, ("run", "train"))
    work.observer.note(
        f"The worker lost {path}, which the run depends on and the server has; starting the run once more."
    )
    raise RunAgain


def lost_twice(server: str, run: str, path: str) -> RunFailed:
    """The error for a run that lost a dependency after another one did."""
    return RunFailed(
        f"The run {run} did not find {path}, which {server} has, and neither did the run before it: "
        "the server's workers lose what runs depend on. Nothing is wrong with the dataset.",
        action="Run the command again later, and tell the server's operators if it stays. No quota was spent.",
    )


def _note(work: Work, name: str, result: Result) -> None:
    """Write down what is no step and did happen."""
    now = work.clock()
    work.ledger.begin(work.plan.id, name, now=now)
    work.ledger.finish(work.plan.id, name, result, now=now)


def predictions(work: Work) -> Result:
    """`make` gives a uuid whatever happens, and its contents can be read before it is ready: wait, then look."""
    run_uuid, file = work.uuid("run"), work.competition.run.predictions
    uuid = _made(work, run_uuid, file) or work.cl.make(
        work.uuid("worksheet"),
        run_uuid,
        file,
        name=work.plan.name,
        description=f"{SUBMISSION}{work.plan.id}",
    )
    require_ready(work.rest, wait_for(work.rest, uuid, observer=work.observer))
    return {"uuid": uuid}


def _made(work: Work, run_uuid: str, file: str) -> str | None:
    """The predictions bundle of an earlier try, if the daemon would take it; a useless one is removed."""
    tag = work.competition.submission.tag
    for bundle in own(work, "make", work.plan.name):
        if bundle.final and bundle.failure is not None:
            _remove(work, bundle)
        elif {(d.parent, d.parent_path) for d in bundle.dependencies} == {(run_uuid, file)}:
            if tag in bundle.tags or stale(work, bundle) is None:
                return bundle.uuid
            _remove(work, bundle)
    return None


def _remove(work: Work, bundle: Bundle) -> None:
    """Remove a useless predictions bundle, unless another competition's tag, a board or somebody's bundle needs it."""
    if not Usage(work.rest, work.plan.account).why_needed(bundle.uuid):
        work.cl.remove(bundle.uuid)


def stale(work: Work, bundle: Bundle) -> str | None:
    """Why the daemon or the count of places would be misled by when ``bundle`` was made; None where it is fine.

    Of an account's tagged bundles, or of those of one name, the daemon takes the one *made* last, whenever it was
    tagged; of two made in the same second, the first.
    """
    newest = max((r for r in rivals(work) if r.uuid != bundle.uuid), key=age, default=None)
    if newest is not None and age(bundle)[0] <= age(newest)[0]:
        while work.clock().timestamp() < age(newest)[0] + 1:
            time.sleep(0.2)  # so that the next one is made in a later second
        return f"{newest.name} was made after it and tagged before it"
    if bundle.created is not None and work.clock() - bundle.created > _FRESH:
        return "it was made too long ago"
    return None


def check_predictions(work: Work, rest: Rest, bundle: str, path: str) -> int:
    """How many predictions the file ``path`` of a bundle holds; they have to fit the label book and the run's log.

    Args:
        work: The submission; its run is what printed the accuracy that they are compared with.
        rest: Reads both.
        bundle: Uuid of the run, or of the bundle made from it.
        path: The file in it; empty where the bundle is the file.

    Raises:
        RunFailed: There is not one class index for each label-book image, or the accuracy is another.
    """
    try:
        return len(
            read_predictions(
                rest.file(bundle, path),
                work.labels,
                _printed(rest, work.uuid("run")),
                what=f"{path or 'The predictions bundle'} ({bundle})",
            )
        )
    except UnusablePredictions as error:
        raise RunFailed(
            str(error),
            action="Run `cldc preflight` with the same dataset to see what the training does; no quota was spent.",
        ) from error


def _printed(rest: Rest, run: str) -> Output:
    """What a run printed, understood; nothing where it can't be had."""
    output = Output()
    try:
        text = rest.file(run, "stdout")
    except (NotFound, TooLarge):
        return output
    output.feed(text.decode("utf-8", "replace"), now=0.0)
    output.close(now=0.0)
    return output
