"""Find or start runs of a competition on a server, made from the organisers' own bundles."""

from __future__ import annotations

from collections.abc import Iterable

from cldc.bundles.account import ServerAccount
from cldc.codalab import Bundle, Dependency
from cldc.competition import Reference
from cldc.errors import RunFailed, SubmissionRefused


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
        usable = not bundle.final or bundle.failure is None
        if usable and {(d.key, d.parent) for d in bundle.dependencies} == wanted:
            return bundle.uuid, True
    uuid = account.cl.run(
        worksheet, command, dependencies, image=form.image, name=form.name, description=description
    )
    return uuid, False


def lost_dependency_twice(server: str, run: str, path: str) -> RunFailed:
    """The error for a second run in a row that did not find a dependency."""
    return RunFailed(
        f"The run {run} did not find {path}, which {server} has, and neither did the run before it: "
        "the server's workers lose what runs depend on. Nothing is wrong with the dataset.",
        action="Run the command again later, and tell the server's operators if it happens again. No quota was spent.",
    )
