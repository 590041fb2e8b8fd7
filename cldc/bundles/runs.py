"""Runs of a competition on a server: made from the organisers' own bundles, and found before they are started."""

from __future__ import annotations

from collections.abc import Iterable

from cldc.bundles.account import ServerAccount
from cldc.codalab import Bundle, Dependency
from cldc.competition import Competition, Reference
from cldc.errors import RunFailed, SubmissionRefused


def organisers_uuid(reference: Reference) -> str:
    """The uuid of a bundle that runs must be made from.

    Raises:
        SubmissionRefused: The profile does not give it.
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
    """Uuid of a run over an uploaded dataset, and whether it was there already.

    Args:
        account: Who starts it.
        worksheet: Uuid of the worksheet that it is on.
        candidates: Runs that may be used, if they were made from the same bundles and did not fail.
        dataset: Name of the dataset's bundle, which is its folder's.
        dataset_uuid: Uuid of that bundle.
        command: What a new run executes.
        description: What a new run is described with.
        script_uuid: Uuid of the script's bundle; None takes the organisers'.
    """
    form = account.competition.run
    dependencies = _dependencies(account.competition, dataset, dataset_uuid, script_uuid)
    wanted = {(dependency.key, dependency.parent) for dependency in dependencies}
    for bundle in candidates:
        usable = not bundle.final or bundle.failure is None
        if usable and {(d.key, d.parent) for d in bundle.dependencies} == wanted:
            return bundle.uuid, True
    uuid = account.cl.run(
        worksheet, command, dependencies, image=form.image, name=form.name, description=description
    )
    return uuid, False


def _dependencies(
    competition: Competition, dataset: str, dataset_uuid: str, script_uuid: str | None
) -> tuple[Dependency, ...]:
    """The keys are set explicitly: on a worksheet the last bundle of a name wins, so names can't be trusted."""
    script, label_book = competition.bundles.script, competition.bundles.label_book
    return (
        Dependency(script.name, script_uuid or organisers_uuid(script), ""),
        Dependency(dataset, dataset_uuid, ""),
        Dependency(label_book.name, organisers_uuid(label_book), ""),
    )


def lost_dependency_twice(server: str, run: str, path: str) -> RunFailed:
    """The error for a run that did not find a dependency after another one did not either."""
    return RunFailed(
        f"The run {run} did not find {path}, which {server} has, and neither did the run before it: "
        "the server's workers lose what runs depend on. Nothing is wrong with the dataset.",
        action="Run the command again later, and tell the server's operators if it happens again. No quota was spent.",
    )
