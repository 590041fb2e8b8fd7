"""`cldc preflight --remote`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cldc.cli.consent import ask_for_consent, paths_in_dataset
from cldc.cli.contestant import remote_account
from cldc.cli.insight import show
from cldc.cli.server import ServerApp
from cldc.cli.training import training_inputs
from cldc.cli.validating import valid_reports
from cldc.environments import ready_tensorflow
from cldc.errors import UsageError
from cldc.preflight.repeats import repeats_of, summarize_runs
from cldc.remote.pipeline import preflight_remotely as train_remotely
from cldc.render.preflights import preflights_document
from cldc.submission.model import Consent, NeedsConsent
from cldc.submission.plan import check_links
from cldc.validation import ValidationReport


def preflight_remotely(
    app: ServerApp,
    folders: Sequence[Path],
    *,
    repeat: int | None,
    keep: bool,
    force: bool,
    links: Sequence[str],
) -> int:
    """Train on datasets on the server; the exit code is that of the first that has no result."""
    require_organisers(app)
    reports = valid_reports(app, folders)
    for report in reports:
        require_consent(app, report, links)
    inputs = training_inputs(app)
    trainings = [inputs.training(report, app.competition) for report in reports]
    if repeat:
        trainings = [seed for training in trainings for seed in repeats_of(training, repeat)]
    ready = ready_tensorflow(app.competition.training.tensorflow, app.home)
    found = train_remotely(remote_account(app, keep=keep, force=force, environment=ready), trainings)
    if len(folders) > 1:
        app.output.show(preflights_document(f"Preflights on {found.server}", found))
        return found.failed[0].code if found.failed else 0
    if found.failed:
        raise found.failed[0].error
    repeated = summarize_runs(found.results) if repeat else None
    show(app, reports[0], inputs, found.results[0], repeated=repeated)
    return 0


def require_organisers(app: ServerApp) -> None:
    """Refuse settings that a run on CodaLab ignores: it uses the organisers' own bundles, as a submission does."""
    for name in ("script", "label_book"):
        if app.settings[name] is not None:
            raise UsageError(
                f"A preflight on CodaLab uses the organisers' own {name.replace('_', ' ')}, but another is set.",
                action=f"Leave --{name.replace('_', '-')} and its setting out, or train here: leave --remote out.",
            )


def require_consent(app: ServerApp, report: ValidationReport, links: Sequence[str]) -> None:
    """Ask before uploading what links lead to outside a dataset.

    Raises:
        NeedsConsent: Nobody agreed.
    """
    consent = Consent(links=paths_in_dataset(report.dataset.root, links))
    try:
        check_links(report.dataset.outward_links, consent, private=True)
    except NeedsConsent as refusal:
        agreed = ask_for_consent(app, [refusal], consent)
        check_links(report.dataset.outward_links, agreed, private=True)
