"""Upload each dataset once, and recognise it by its content, whichever command uploaded it."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from cldc import files
from cldc.bundles.server_account import ServerAccount
from cldc.codalab import Bundle, require_ready, wait_for
from cldc.codalab.failures import not_done
from cldc.errors import NotFinished
from cldc.package import Package

# Start of an uploaded dataset's description; its identity and the uploading machine follow.
DATASET = "cldc dataset "
# Time for another machine's upload to arrive.
_ABANDONED = timedelta(hours=1)
# Time to unpack an upload that arrived before the connection broke.
_UNPACKING_SECONDS = 10.0


def machine_id(home: Path) -> str:
    """Compute twelve hex digits that identify this account's data folder on this machine, even after its ledger was lost."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = ""
    return files.hash_bytes(f"{socket.gethostname()}\n{user}\n{home.resolve()}")[:12]


def dataset_hash_of(bundle: Bundle) -> str | None:
    """Find the identity of the dataset that cldc uploaded as ``bundle``; None for other bundles."""
    if bundle.type != "dataset" or not bundle.description.startswith(DATASET):
        return None
    return bundle.description.removeprefix(DATASET).split(" ")[0]


def upload(account: ServerAccount, worksheet: str, package: Package) -> Bundle:
    """Upload a package, delete the local copy, and return the ready bundle.

    Raises:
        CldcError: It did not arrive; the next call's `find_upload` handles the partial upload.
    """
    uuid = account.cl.upload(
        worksheet,
        package.path,
        name=package.name,
        description=f"{DATASET}{package.dataset_hash} {machine_id(account.home)}",
        observer=account.observer,
    )
    try:
        bundle = wait_for(account.rest, uuid, timeout_seconds=_UNPACKING_SECONDS, observer=account.observer)
    except NotFinished as error:
        # The server unpacks before it answers; here something else answered, such as a proxy with its login page.
        account.cl.remove(uuid)
        raise not_done(f"was sent {package.name} and did not get it") from error
    require_ready(account.rest, bundle)
    files.remove_tree(package.path.parent)
    return bundle


def find_upload(account: ServerAccount, bundles: Iterable[Bundle], dataset_hash: str) -> Bundle | None:
    """Find the first good upload of the dataset among the bundles, and remove broken ones before it."""
    for bundle in bundles:
        if dataset_hash_of(bundle) == dataset_hash and _arrived(account, bundle):
            return bundle
    return None


def _arrived(account: ServerAccount, bundle: Bundle) -> bool:
    """Check whether an earlier upload is good; remove a broken one unless another machine may still be sending it.

    A lock prevents two processes of this machine from doing one submission, so its broken uploads are abandoned. One that
    another machine began may still be arriving; then each has its own upload, and both use the older one.
    """
    if not bundle.final and bundle.description.endswith(machine_id(account.home)):
        try:
            bundle = wait_for(
                account.rest, bundle.uuid, timeout_seconds=_UNPACKING_SECONDS, observer=account.observer
            )
        except NotFinished:
            account.cl.remove(bundle.uuid)
            return False
    if bundle.failure is None:
        return True
    if bundle.final or (bundle.created is not None and account.clock() - bundle.created > _ABANDONED):
        account.cl.remove(bundle.uuid)
    return False


def finished_uploads(bundles: Iterable[Bundle]) -> Iterator[tuple[str, Bundle]]:
    """Select the good uploads of datasets, each with its dataset's hash."""
    for bundle in bundles:
        dataset_hash = dataset_hash_of(bundle)
        if dataset_hash and bundle.failure is None:
            yield dataset_hash, bundle
