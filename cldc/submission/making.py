"""The steps that make things: worksheet, upload, link, run, train, predictions. Each looks first for what is there."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

from cldc import files
from cldc.codalab import Dependency, require_ready, wait_for
from cldc.errors import RunFailed
from cldc.package import Package, pack
from cldc.progress import SILENT, Observer
from cldc.submission.checking import organisers_uuid
from cldc.submission.model import preflight_sheets
from cldc.submission.places import FAILED
from cldc.submission.uploading import arrived, identity_of, send, whole_uploads
from cldc.submission.work import Result, Work, age, own, rivals, sheet

if TYPE_CHECKING:
    from cldc.codalab import Bundle

# The server knows a submission's time only by when its bundle was made, so that must be about when it is tagged.
_FRESH = timedelta(hours=1)


def make_worksheet(work: Work) -> Result:
    """The submission's own worksheet."""
    for found in work.rest.own_worksheets(work.plan.worksheet):
        return {"uuid": found.uuid}
    return {"uuid": work.cl.new_worksheet(work.plan.worksheet, title=f"Submission {work.plan.name}")}


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
    """The training on the server, started or found; one that failed is left for its log."""
    form, bundles = work.competition.run, work.competition.bundles
    linked = work.results["link"]
    # The keys are set explicitly: on a worksheet the last bundle of a name wins, so names can't be trusted.
    dependencies = (
        Dependency(bundles.script.name, linked["script"], ""),
        Dependency(work.plan.dataset, work.uuid("upload"), ""),
        Dependency(bundles.label_book.name, linked["label_book"], ""),
    )
    wanted = {(d.key, d.parent) for d in dependencies}
    for bundle in own(work, "run", form.name):
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
        description=f"cldc submission {work.plan.id}",
    )
    return {"uuid": uuid}


def train(work: Work) -> Result:
    """A failed run spends nothing: it is forgotten here, so that the next try makes a new one."""
    uuid = work.uuid("run")
    try:
        # `ready` with exit code 0 is no proof: the script ends so when it refuses a dataset for its size.
        bundle = wait_for(work.rest, uuid, observer=work.observer)
        require_ready(work.rest, bundle, (work.competition.run.predictions,))
    except RunFailed as error:
        now, reason = work.clock(), error.message.splitlines()[0]
        work.ledger.begin(work.plan.id, FAILED, now=now)
        work.ledger.finish(work.plan.id, FAILED, {"uuid": uuid, "reason": reason}, now=now)
        work.ledger.forget(work.plan.id, ("run", "train"))
        raise
    work.ledger.forget(work.plan.id, (FAILED,))
    return {"uuid": uuid, "seconds": str(bundle.seconds)}


def predictions(work: Work) -> Result:
    """`make` gives a uuid whatever happens, and its contents can be read before it is ready: wait, then look."""
    run_uuid, file = work.uuid("run"), work.competition.run.predictions
    uuid = _made(work, run_uuid, file) or work.cl.make(
        work.uuid("worksheet"),
        run_uuid,
        file,
        name=work.plan.name,
        description=f"cldc submission {work.plan.id}",
    )
    require_ready(work.rest, wait_for(work.rest, uuid, observer=work.observer))
    count = check_predictions(
        work.rest.file(uuid),
        expected=work.plan.predictions,
        classes=len(work.competition.dataset.classes),
        what=f"The predictions {uuid}",
    )
    return {"uuid": uuid, "count": str(count)}


def _made(work: Work, run_uuid: str, file: str) -> str | None:
    """The predictions bundle of an earlier try, if the daemon would take it; a useless one is removed."""
    tag = work.competition.submission.tag
    for bundle in own(work, "make", work.plan.name):
        if bundle.final and bundle.failure is not None:
            work.cl.remove(bundle.uuid)
        elif {(d.parent, d.parent_path) for d in bundle.dependencies} == {(run_uuid, file)}:
            if tag in bundle.tags or stale(work, bundle) is None:
                return bundle.uuid
            work.cl.remove(bundle.uuid)
    return None


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


def check_predictions(content: bytes, *, expected: int, classes: int, what: str) -> int:
    """How many predictions ``content`` holds: one class index for each of ``expected`` label-book images.

    Raises:
        RunFailed: It is no list of that length, or a value is no class index from 0 to ``classes`` - 1.
    """
    action = "Run `cldc preflight` with the same dataset to see what the training does; no quota was spent."
    try:
        values = json.loads(content)
    except ValueError as error:
        raise RunFailed(f"{what} are no JSON ({error}).", action=action) from error
    if not isinstance(values, list) or len(values) != expected:
        count = len(values) if isinstance(values, list) else "no list"
        raise RunFailed(
            f"{what} are {count}, not one for each of {expected} label-book images.", action=action
        )
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < classes:
            raise RunFailed(f"{what} hold {value!r}, which is no class index below {classes}.", action=action)
    return len(values)
