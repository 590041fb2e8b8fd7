"""Uploaded datasets: how one is sent, and how it is known again by its content, whichever command sent it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cldc import files
from cldc.codalab import require_ready, wait_for
from cldc.codalab.failures import not_done
from cldc.errors import NotFinished
from cldc.package import Package
from cldc.progress import Observer
from cldc.submission.work import machine

if TYPE_CHECKING:
    from cldc.codalab import Bundle, Cl, Rest

# What an uploaded dataset's description begins with; its identity and the machine that sent it follow.
DATASET = "cldc dataset "
# What another machine is sending has that long to arrive.
_ABANDONED = timedelta(hours=1)
# What arrived in full before we were cut off is unpacked by then.
_SETTLE_SECONDS = 10.0


class Sender(Protocol):
    """Who sends: the server as an account, the data folder, the server's time, and who is told of it."""

    @property
    def rest(self) -> Rest: ...
    @property
    def cl(self) -> Cl: ...
    @property
    def home(self) -> Path: ...
    @property
    def clock(self) -> Callable[[], datetime]: ...
    @property
    def observer(self) -> Observer: ...


def identity_of(bundle: Bundle) -> str | None:
    """The identity of the dataset that cldc uploaded as ``bundle``; None where it is no such bundle."""
    if bundle.type != "dataset" or not bundle.description.startswith(DATASET):
        return None
    return bundle.description.removeprefix(DATASET).split(" ")[0]


def send(sender: Sender, worksheet: str, package: Package) -> Bundle:
    """Upload a package, remove it here, and return the bundle, which is ready.

    Raises:
        CldcError: It did not arrive; what there is of it is told by `arrived`.
    """
    uuid = sender.cl.upload(
        worksheet,
        package.path,
        name=package.name,
        description=f"{DATASET}{package.dataset_hash} {machine(sender.home)}",
        observer=sender.observer,
    )
    try:
        bundle = wait_for(sender.rest, uuid, timeout_seconds=_SETTLE_SECONDS, observer=sender.observer)
    except NotFinished as error:
        # It is unpacked before the server answers; what answered, a proxy with its login page, has kept the bytes.
        sender.cl.remove(uuid)
        raise not_done(f"was sent {package.name} and did not get it") from error
    require_ready(sender.rest, bundle)
    files.remove_tree(package.path.parent)
    return bundle


def arrived(sender: Sender, bundle: Bundle) -> bool:
    """Whether an earlier upload is good. What is not, and that nobody is still sending, is removed.

    A lock keeps two processes of this machine from one submission, so what this machine left is abandoned. What
    another machine began may still be on its way; both then have an upload each, and use the older one.
    """
    if not bundle.final and bundle.description.endswith(machine(sender.home)):
        try:
            bundle = wait_for(
                sender.rest, bundle.uuid, timeout_seconds=_SETTLE_SECONDS, observer=sender.observer
            )
        except NotFinished:
            sender.cl.remove(bundle.uuid)
            return False
    if bundle.final and bundle.failure is None:
        return True
    if bundle.final or (bundle.created is not None and sender.clock() - bundle.created > _ABANDONED):
        sender.cl.remove(bundle.uuid)
    return False


def whole_uploads(rest: Rest, account: str, prefix: str) -> Iterator[tuple[str, Bundle]]:
    """Identity and bundle of each good upload of the account on its worksheets whose names begin with ``prefix``.

    Read from the worksheets, since a search shows no private bundles.
    """
    for sheet in rest.own_worksheets():
        if sheet.name.startswith(prefix):
            for bundle in rest.worksheet(sheet.uuid, bundles=True).bundles:
                identity = identity_of(bundle)
                if identity and bundle.owner in (None, account) and bundle.final and bundle.failure is None:
                    yield identity, bundle
