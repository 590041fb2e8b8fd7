"""What a preflight needs on the server, each looked for before it is made: worksheet, dataset, run.

Each preflight has a private worksheet of its own, named after its fingerprint; its run is known there by its command
and by what it was made from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cldc.codalab import Dependency
from cldc.errors import CodaLabError
from cldc.package import pack
from cldc.preflight.remote_runs import remote_command
from cldc.remote.model import Job, Remote
from cldc.submission.checking import organisers_uuid
from cldc.submission.model import own_sheets, worksheet_name
from cldc.submission.uploading import arrived, identity_of, send, whole_uploads
from cldc.submission.usage import Usage
from cldc.submission.work import age
from cldc.submission.worksheets import PREFLIGHT, find_or_make, is_training, what_stays

if TYPE_CHECKING:
    from cldc.codalab import Bundle


def begin(remote: Remote, job: Job) -> None:
    """Have the job's run on the server, made now or by an earlier call.

    Raises:
        CldcError: It can't be had; what was made is found by the next call.
    """
    name = worksheet_name(remote.account, "preflight", job.id)
    job.sheet = find_or_make(
        remote.codalab, name, title=f"Preflight {job.name}", competition=remote.competition
    )
    _close(remote, job.sheet)
    bundles = _own(remote, job)
    data = _dataset(remote, job, bundles)
    job.run = _run(remote, job, bundles, data)
    job.tries += 1


def begun_before(remote: Remote, job: Job) -> bool:
    """Whether an earlier call began the job and left what it made."""
    return _own_sheet(remote, job) is not None


def _own_sheet(remote: Remote, job: Job) -> str | None:
    name = worksheet_name(remote.account, "preflight", job.id)
    return next((sheet.uuid for sheet in remote.rest.own_worksheets(name)), None)


def _close(remote: Remote, sheet: str) -> None:
    """New worksheets are everyone's to read, and what is put on one takes its permission."""
    if remote.rest.worksheet(sheet).public_permission:
        remote.cl.set_private((), sheet)


def _own(remote: Remote, job: Job) -> list[Bundle]:
    """The account's bundles on the job's worksheet, the oldest first."""
    sheet = remote.rest.worksheet(job.sheet, bundles=True)
    return sorted((b for b in sheet.bundles if b.owner in (None, remote.account)), key=age)


def _dataset(remote: Remote, job: Job, bundles: list[Bundle]) -> Bundle:
    """The dataset as a ready bundle: one of the same content that a preflight or a submission uploaded, or a new one."""
    dataset = job.training.report.dataset
    for bundle in bundles:
        if identity_of(bundle) == dataset.hash and arrived(remote, bundle):
            return remote.rest.bundle(bundle.uuid)
    if known := remote.uploads.get(dataset.hash):
        remote.observer.note(f"{job.name} is on the server already, as {known.name}.")
        return known
    folder = remote.home / "packages" / f"preflight-{job.id}"
    return send(remote, job.sheet, pack(job.training.report, folder, remote.observer))


def find_uploads(remote: Remote) -> None:
    """Learn which datasets are on the server already, whatever they were uploaded for."""
    remote.observer.start("Looking for what is on the server already")
    for identity, bundle in whole_uploads(remote.rest, remote.account, own_sheets(remote.account)):
        remote.uploads.setdefault(identity, bundle)


def _run(remote: Remote, job: Job, bundles: list[Bundle], data: Bundle) -> str:
    """The run, started or found; one that failed was told of and is not taken up again."""
    form, organisers = remote.competition.run, remote.competition.bundles
    # The folder in the upload has the upload's name, whatever the folder here is called.
    dependencies = (
        Dependency(organisers.script.name, organisers_uuid(organisers.script), ""),
        Dependency(data.name, data.uuid, ""),
        Dependency(organisers.label_book.name, organisers_uuid(organisers.label_book), ""),
    )
    command = remote_command(remote.competition, dataset=data.name)
    wanted = {(d.key, d.parent) for d in dependencies}
    for bundle in bundles:
        same = (bundle.type, bundle.command) == ("run", command)
        if not same or {(d.key, d.parent) for d in bundle.dependencies} != wanted or bundle.uuid == job.known:
            continue
        if not bundle.final or bundle.failure is None:
            remote.observer.note(f"{job.name} was begun before; going on with that run.")
            return bundle.uuid
        if not remote.keep and not Usage(remote.rest, remote.account).why_needed(bundle.uuid):
            remote.cl.remove(bundle.uuid)
    return remote.cl.run(
        job.sheet,
        command,
        dependencies,
        image=form.image,
        name=form.name,
        description=f"{PREFLIGHT}{job.id}",
    )


def forget_run(remote: Remote, job: Job) -> bool:
    """Remove a run that lost its worker; False where the server says that it is at work, or that something needs it."""
    try:
        remote.cl.remove(job.run)
    except CodaLabError:
        return not remote.rest.exists(job.run)
    return True


def tidy(remote: Remote, job: Job) -> None:
    """Remove what the preflight made on the server; what something else needs meanwhile stays, and is reported."""
    sheet = job.sheet or _own_sheet(remote, job)
    if remote.keep or not sheet:
        return
    job.sheet = sheet
    try:
        if reason := _why_untidy(remote, job):
            remote.observer.note(f"What the preflight of {job.name} made stays on the server: {reason}.")
    except CodaLabError as error:
        remote.observer.note(f"What the preflight of {job.name} made stays on the server: {error.message}")


def _why_untidy(remote: Remote, job: Job) -> str:
    """Remove a preflight's run, dataset and worksheet, in that order; why it had to stop, or empty."""
    made = [
        bundle for bundle in _own(remote, job) if is_training(bundle, remote.account) or identity_of(bundle)
    ]
    shared = set()
    for bundle in sorted(made, key=lambda bundle: bundle.type == "dataset"):
        if bundle.type == "dataset" and _submitted(remote, bundle):
            shared.add(bundle.uuid)
            continue
        if why := Usage(remote.rest, remote.account).why_needed(bundle.uuid):
            return f"{bundle.name}: {why}"
        remote.cl.remove(bundle.uuid)
    worksheet = remote.rest.worksheet(job.sheet, bundles=True)
    if stays := what_stays(worksheet, remote.competition, shared):
        return f"{stays} is on its worksheet"
    remote.cl.remove_worksheet(job.sheet, force=True)
    return ""


def _submitted(remote: Remote, bundle: Bundle) -> bool:
    """Whether a submission took it over: it is on that one's worksheet too, and stays there."""
    return len(remote.rest.bundle(bundle.uuid, worksheets=True).worksheets) > 1
