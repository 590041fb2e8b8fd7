"""Runs of a competition on a server: find or start them, and read their output, at the end or while they run."""

from __future__ import annotations

import codecs
import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from cldc.bundles.server_account import ServerAccount
from cldc.codalab import Bundle, Dependency, Rest, progress_of
from cldc.codalab.failures import NotFound, PermissionDenied, TooLarge
from cldc.competition import Reference
from cldc.errors import CldcError, SubmissionRefused
from cldc.preflight.output import ScriptOutput

# Reading from a run whose worker has died hangs, so reads time out after this long.
READ_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024
_READ_AGAIN_SECONDS = 60.0


def organisers_uuid(reference: Reference) -> str:
    """Return the uuid of an organisers' bundle that runs depend on.

    Raises:
        SubmissionRefused: The profile does not define it.
    """
    if reference.uuid is None:
        raise SubmissionRefused(
            f"The competition's profile gives no uuid for {reference.name}, and only the organisers' own bundle counts.",
            action="Add its uuid to the profile.",
        )
    return reference.uuid


def find_or_start_run(
    account: ServerAccount,
    worksheet: str,
    candidates: Iterable[Bundle],
    *,
    dataset: str,
    dataset_uuid: str,
    command: str,
    description: str,
    script_uuid: str | None = None,
) -> tuple[str, bool]:
    """Find or start a run on an uploaded dataset; return its uuid and whether it existed.

    One of the ``candidates`` is used if it has the same dependencies and did not fail. The dataset's bundle has its folder's
    name; without ``script_uuid`` the run depends on the organisers' script.
    """
    form, bundles = account.competition.run, account.competition.bundles
    # With explicit keys: on a worksheet the last bundle of a name wins, so names are unreliable.
    dependencies = (
        Dependency(bundles.script.name, script_uuid or organisers_uuid(bundles.script), ""),
        Dependency(dataset, dataset_uuid, ""),
        Dependency(bundles.label_book.name, organisers_uuid(bundles.label_book), ""),
    )
    wanted = {(dependency.key, dependency.parent) for dependency in dependencies}
    for bundle in candidates:
        if not bundle.failed and {(d.key, d.parent) for d in bundle.dependencies} == wanted:
            return bundle.uuid, True
    uuid = account.cl.run(
        worksheet, command, dependencies, image=form.image, name=form.name, description=description
    )
    return uuid, False


# Their output ---------------------------------------------------------------------------------------------------


def read_output(rest: Rest, run: str, *, tail: int | None = None) -> ScriptOutput:
    """Read and parse the output of a run that has ended, or its last lines; empty if it can't be read."""
    output = ScriptOutput()
    with contextlib.suppress(NotFound, PermissionDenied, TooLarge):
        output.feed(rest.file(run, "stdout", tail=tail).decode("utf-8", "replace"), now=0.0)
        output.close(now=0.0)
    return output


@dataclass(slots=True)
class RunLog:
    """The standard output of one run.

    Attributes:
        run: The run's uuid.
        output: Its parsed output so far.
    """

    run: str
    output: ScriptOutput = field(default_factory=ScriptOutput)
    _read: int = 0
    _not_before: float = 0.0
    _decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def follow(self, bundle: Bundle, rest: Rest) -> str:
        """Read what is new with a client that gives up soon, and return the progress of the run in a few words."""
        if bundle.state in ("created", "staged", "starting") and self._read:
            # The server moved it to another worker, where it starts over.
            self.output, self._read = ScriptOutput(), 0
            self._decoder.reset()
        elif bundle.state == "running" and time.monotonic() >= self._not_before:
            self._read_on(rest)
        if self.output.epoch:
            return self.output.describe(now=time.monotonic())
        return progress_of(bundle)

    def _read_on(self, rest: Rest) -> None:
        now = time.monotonic()
        try:
            data = rest.file(self.run, "stdout", span=(self._read, self._read + _CHUNK_BYTES))
        except NotFound:
            return  # it has printed nothing yet
        except CldcError:
            self._not_before = time.monotonic() + _READ_AGAIN_SECONDS
            return
        self._read += len(data)
        self.output.feed(self._decoder.decode(data), now=now)
