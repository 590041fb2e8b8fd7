"""Find or create a preflight's worksheet, dataset and run on the server, and remove them.

Each preflight has its own private worksheet, named after its fingerprint; its run is identified there by its command
and its dependencies.
"""

from __future__ import annotations

from cldc.bundles.dependents import Usage
from cldc.bundles.runs import find_or_start_run
from cldc.bundles.uploads import dataset_hash_of, find_upload, finished_uploads, upload
from cldc.bundles.worksheets import (
    PREFLIGHT,
    find_or_make_worksheet,
    is_own_run,
    own_bundles,
    preflight_uploads,
    remaining_item,
    worksheet_name,
)
from cldc.codalab import Bundle
from cldc.errors import CodaLabError
from cldc.files import private_folder, replace_atomically
from cldc.package import Package, pack
from cldc.remote.model import Job, Remote
from cldc.remote.results import remote_command


def start_job(remote: Remote, job: Job) -> None:
    """Find or start the job's run on the server.

    Raises:
        CldcError: It can't be started; the next call finds the bundles created so far.
    """
    name = worksheet_name(remote.account, "preflight", job.id)
    job.worksheet = find_or_make_worksheet(remote, name, title=f"Preflight {job.name}")
    if remote.rest.worksheet(job.worksheet).public_permission:
        # New worksheets are public, and bundles inherit the permission of their worksheet.
        remote.rest.share("worksheet", job.worksheet, public=False)
    bundles = own_bundles(remote, job.worksheet)
    data = _dataset(remote, job, bundles)
    job.follow(_run(remote, job, bundles, data, script_uuid=_script(remote, job, bundles)))
    job.tries += 1


def find_worksheet(remote: Remote, job: Job) -> str | None:
    """Find the worksheet on which an earlier call began the job and left its bundles."""
    name = worksheet_name(remote.account, "preflight", job.id)
    return next((worksheet.uuid for worksheet in remote.rest.own_worksheets(name)), None)


def _dataset(remote: Remote, job: Job, bundles: list[Bundle]) -> Bundle:
    """Find or upload the dataset's bundle; one with the same content from any preflight or submission will do."""
    dataset = job.training.report.dataset
    if found := find_upload(remote, bundles, dataset.hash):
        return remote.rest.bundle(found.uuid)
    if sent := remote.sent.get(dataset.hash):
        return sent
    if known := remote.uploads.get(dataset.hash):
        remote.observer.note(f"{job.name} is on the server already, as {known.name}.")
        return known
    folder = remote.home / "packages" / f"preflight-{job.id}"
    bundle = upload(remote, job.worksheet, pack(job.training.report, folder, remote.observer))
    remote.sent[dataset.hash] = bundle
    return bundle


def _script(remote: Remote, job: Job, bundles: list[Bundle]) -> str | None:
    """Find or upload the built-in script, for a seed that the organisers' script does not accept; None for theirs.

    It is uploaded like a dataset, described with its hash, so that code that finds and removes datasets finds it.
    """
    script, name = job.training.script, remote.competition.bundles.script.name
    if script.origin != "built-in":
        return None
    if found := find_upload(remote, bundles, script.sha256):
        return found.uuid
    folder = private_folder(remote.home / "packages" / f"script-{job.id}")
    path = folder / name
    replace_atomically(path, script.path.read_bytes())
    return upload(remote, job.worksheet, Package(path, name, script.sha256, 0, path.stat().st_size)).uuid


def find_uploads(remote: Remote) -> None:
    """Find the datasets that are already on the server, uploaded for any purpose."""
    remote.observer.start("Looking for what is on the server already")
    public = finished_uploads(remote.rest.search(owner=remote.account))
    for dataset_hash, bundle in (*preflight_uploads(remote), *public):
        remote.uploads.setdefault(dataset_hash, bundle)


def _run(remote: Remote, job: Job, bundles: list[Bundle], data: Bundle, *, script_uuid: str | None) -> str:
    """Find or start the run; a failed one was reported and is not used again."""
    # The folder inside the upload has the upload's name, which may differ from the local folder's.
    command = remote_command(job.training.competition, dataset=data.name)
    runs = [b for b in bundles if (b.type, b.command) == ("run", command) and b.uuid != job.known]
    for bundle in runs:
        if bundle.failed and not remote.keep and not Usage(remote).why_needed(bundle.uuid):
            remote.cl.remove(bundle.uuid)
    uuid, found = find_or_start_run(
        remote,
        job.worksheet,
        runs,
        dataset=data.name,
        dataset_uuid=data.uuid,
        command=command,
        description=f"{PREFLIGHT}{job.id}",
        script_uuid=script_uuid,
    )
    if found:
        remote.observer.note(f"{job.name} was started before; continuing with that run.")
    return uuid


def remove_lost_run(remote: Remote, job: Job) -> bool:
    """Remove a run that lost its worker; False if the server says that it is running or that something needs it."""
    try:
        remote.cl.remove(job.run)
    except CodaLabError:
        return not remote.rest.found(job.run)
    return True


def clean_up(remote: Remote, job: Job) -> None:
    """Remove the preflight's bundles and worksheet; keep and report those that something else needs by now."""
    worksheet = job.worksheet or find_worksheet(remote, job)
    if remote.keep or not worksheet:
        return
    job.worksheet = worksheet
    try:
        if reason := _remove_bundles(remote, job):
            remote.observer.note(f"What the preflight of {job.name} created stays on the server: {reason}.")
    except CodaLabError as error:
        remote.observer.note(f"What the preflight of {job.name} created stays on the server: {error.message}")


def _remove_bundles(remote: Remote, job: Job) -> str:
    """Remove a preflight's run, dataset and worksheet, in that order; return why it had to stop, or an empty text."""
    made = [
        bundle
        for bundle in own_bundles(remote, job.worksheet)
        if is_own_run(bundle, remote.account) or dataset_hash_of(bundle)
    ]
    shared = set()
    for bundle in sorted(made, key=lambda bundle: bundle.type == "dataset"):
        if bundle.type == "dataset" and len(remote.rest.bundle(bundle.uuid, worksheets=True).worksheets) > 1:
            shared.add(bundle.uuid)  # a submission uses it too, on its own worksheet
            continue
        if why := Usage(remote).why_needed(bundle.uuid):
            return f"{bundle.name}: {why}"
        remote.cl.remove(bundle.uuid)
    worksheet = remote.rest.worksheet(job.worksheet, bundles=True)
    if stays := remaining_item(worksheet, remote.competition, shared):
        return f"{stays} is on its worksheet"
    remote.cl.remove_worksheet(job.worksheet, force=True)
    return ""
