"""`cldc preflight --remote`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.cli.app import App
from cldc.cli.learning import show
from cldc.cli.work import training_inputs, validated
from cldc.environments import ready_tensorflow
from cldc.errors import CldcError, InvalidDataset, UsageError
from cldc.remote import Remote, preflight_there
from cldc.render.document import Document
from cldc.render.remote import remote_blocks
from cldc.render.validation import blocks
from cldc.submission import Clock

if TYPE_CHECKING:
    from cldc.cli.work import TrainingInputs
    from cldc.remote import RemotePreflights
    from cldc.validation import ValidationReport


def preflight_remotely(app: App, folders: Sequence[Path], *, keep: bool, force: bool) -> int:
    """Train on datasets on the server; the exit code is that of the first that has no result."""
    if app.output.wants("html") and len(folders) > 1:
        raise UsageError(
            "A page shows one dataset.", action="Name one dataset, or choose another format of report."
        )
    _require_organisers(app)
    reports = _valid(app, folders)
    needed, found = _trained(app, reports, keep=keep, force=force)
    if len(folders) > 1:
        app.output.show(Document(found, remote_blocks(found)))
        return found.failed[0].code if found.failed else 0
    if found.failed:
        raise found.failed[0].error
    show(app, reports[0], needed, found.results[0], repeated=None)
    return 0


def _require_organisers(app: App) -> None:
    """A run there is made from the organisers' own bundles, as a submission's is."""
    for name in ("script", "label_book"):
        if app.settings[name] is not None:
            raise UsageError(
                f"A preflight on CodaLab uses the organisers' own {name.replace('_', ' ')}, but another is set.",
                action=f"Leave --{name.replace('_', '-')} and its setting out, or train here: leave --remote out.",
            )


def _valid(app: App, folders: Sequence[Path]) -> list[ValidationReport]:
    """The reports of datasets that are all valid; nothing is trained while one is not."""
    reports: list[ValidationReport] = []
    refused: list[CldcError] = []
    for folder in folders or (None,):
        try:
            report = validated(app, folder)
            if not report.ok:
                app.output.tell(blocks(report))
            report.require_valid()
        except InvalidDataset as error:
            refused.append(error)
        else:
            reports.append(report)
    if len(refused) == 1:
        raise refused[0]
    if refused:
        raise InvalidDataset(
            f"{len(refused)} of {len(folders)} datasets can't be used, so nothing was trained:\n"
            + "\n".join(f"  {error.message}" for error in refused),
            action="Mend them or leave them out; `cldc validate` shows everything that was found in each.",
        )
    return reports


def _trained(
    app: App, reports: Sequence[ValidationReport], *, keep: bool, force: bool
) -> tuple[TrainingInputs, RemotePreflights]:
    account = app.rest.user().name  # without an account, or a server, there is nothing to prepare for
    needed = training_inputs(app)
    remote = Remote(
        competition=app.competition,
        codalab=app.codalab,
        account=account,
        home=app.home,
        clock=Clock(app.rest),
        observer=app.observer,
        keep=keep,
        force=force,
        environment=ready_tensorflow(app.competition.training.tensorflow, app.home),
    )
    return needed, preflight_there(remote, reports, script=needed.script, label_book=needed.label_book)
