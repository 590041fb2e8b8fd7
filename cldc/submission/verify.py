"""Verify right before the tag, read as everyone: will the organisers' daemon take it, and will the board show it?"""

from __future__ import annotations

from collections.abc import Callable

from cldc import description as descriptions
from cldc.bundles.lineage import lineage
from cldc.bundles.runs import organisers_uuid
from cldc.codalab import Bundle, Rest, require_ready
from cldc.codalab.failures import NotFound, TooLarge
from cldc.errors import CldcError, CodaLabError, RunFailed, SubmissionRefused
from cldc.preflight.output import Output
from cldc.preflight.predictions import UnusablePredictions, read_predictions
from cldc.submission.context import SubmissionContext
from cldc.submission.model import SubmissionCheck
from cldc.submission.results import Evidence, PredictionsBundle, StartedRun, SubmissionWorksheet

# More ancestors than any way of submitting has; longer chains are malformed.
_MOST_ANCESTORS = 100
_AGAIN = "Run the command again; if it fails again, ask the server's operators. No quota was spent."


def verify(
    context: SubmissionContext,
    worksheet: SubmissionWorksheet,
    run: StartedRun,
    predictions: PredictionsBundle,
) -> Evidence:
    """Check everything that makes a tagged bundle be dropped, failed or hidden.

    Raises:
        CldcError: The first reason why it would be.
    """
    ancestors: dict[str, Bundle] = {}
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("lineage", lambda: _verify_lineage(context, predictions, ancestors)),
        ("readable by everyone", lambda: _verify_readable(context, worksheet, ancestors)),
        ("run", lambda: _verify_run(context, run)),
        ("predictions", lambda: _verify_predictions(context, run, predictions)),
        ("description", lambda: _verify_description(context, predictions)),
    )
    try:
        return Evidence(tuple(SubmissionCheck(subject, check()) for subject, check in checks))
    except CldcError:
        context.ledger.forget(context.record.id, ("publish", "describe"))  # the next try does them again
        raise


def _verify_lineage(
    context: SubmissionContext, predictions: PredictionsBundle, found: dict[str, Bundle]
) -> str:
    """The daemon repeats the way from the organisers' own bundles to the tagged one; a copy of one does not count."""

    def read(uuid: str) -> Bundle:
        try:
            return context.anonymous.bundle(uuid)
        except CodaLabError as error:
            raise CodaLabError(
                f"{uuid}, which the submission is made from, can't be read by everyone: {error.message}",
                action=_AGAIN,
            ) from error

    for bundle in lineage([predictions.uuid], read):
        found[bundle.uuid] = bundle
        if len(found) > _MOST_ANCESTORS:
            raise SubmissionRefused(
                f"The submission is made from more than {_MOST_ANCESTORS} bundles.",
                action="Make it as the guide says.",
            )
    organisers = context.competition.bundles
    for what, reference in (("script", organisers.script), ("label book", organisers.label_book)):
        if organisers_uuid(reference) not in found:
            raise SubmissionRefused(
                f"The predictions are not made from the organisers' own {what} ({reference.uuid}).",
                action="Give the submission another --name, so that everything is made anew; no quota was spent.",
            )
    return f"{len(found)} bundles, all there, from the organisers' own script and label book"


def _verify_readable(
    context: SubmissionContext, worksheet: SubmissionWorksheet, ancestors: dict[str, Bundle]
) -> str:
    for bundle in ancestors.values():
        if not bundle.readable:
            raise CodaLabError(
                f"The bundle {bundle.uuid} is not readable by everyone, so the scoring daemon could not read it.",
                action=_AGAIN,
            )
    # With its items: a place that is missing there hides the whole worksheet from everyone but its owner.
    found = context.anonymous.worksheet(worksheet.uuid, items=True)
    return f"all {len(ancestors)} bundles and the worksheet with its {len(found.items)} items"


def _verify_run(context: SubmissionContext, run: StartedRun) -> str:
    file = context.competition.run.predictions
    bundle = require_ready(context.anonymous, context.anonymous.bundle(run.uuid), (file,))
    return f"ready after {bundle.seconds:.0f} s, with {file}"


def _verify_predictions(context: SubmissionContext, run: StartedRun, predictions: PredictionsBundle) -> str:
    require_ready(context.anonymous, context.anonymous.bundle(predictions.uuid))
    count = check_predictions(context, context.anonymous, run, predictions.uuid, "")
    return f"{count:,}, each from 0 to {len(context.competition.dataset.classes) - 1}"


def check_predictions(context: SubmissionContext, rest: Rest, run: StartedRun, bundle: str, path: str) -> int:
    """How many predictions the file ``path`` of a bundle holds; they have to fit the label book and the run's log.

    Args:
        context: The submission.
        rest: Reads both.
        run: The run, which printed the accuracy that they are compared with.
        bundle: Uuid of the run, or of the bundle made from it.
        path: The file in it; empty where the bundle is the file.

    Raises:
        RunFailed: There is not one class index for each label-book image, or the accuracy is another.
    """
    what = f"{path or 'The predictions bundle'} ({bundle})"
    try:
        return len(
            read_predictions(rest.file(bundle, path), context.labels, _read_output(rest, run), what=what)
        )
    except UnusablePredictions as error:
        raise RunFailed(
            str(error),
            action="Run `cldc preflight` with the same dataset to see what the training does; no quota was spent.",
        ) from error


def _read_output(rest: Rest, run: StartedRun) -> Output:
    """What a run printed, parsed; nothing where it can't be had."""
    output = Output()
    try:
        text = rest.file(run.uuid, "stdout")
    except (NotFound, TooLarge):
        return output
    output.feed(text.decode("utf-8", "replace"), now=0.0)
    output.close(now=0.0)
    return output


def _verify_description(context: SubmissionContext, predictions: PredictionsBundle) -> str:
    stored = context.anonymous.bundle(predictions.uuid).description
    require_description(context, stored)
    return repr(stored)


def require_description(context: SubmissionContext, stored: str) -> None:
    """Compare what the server keeps with what was meant, as the board reads it.

    Raises:
        SubmissionRefused: The board would show something else.
    """
    record, reading = context.record, descriptions.read(stored)
    if reading != descriptions.Reading(record.name, record.institution, record.link):
        raise SubmissionRefused(
            f"The server keeps the description as {stored!r}, which the board would read as name {reading.name!r}, "
            f"institution {reading.institution!r}, link {reading.link!r}.",
            action="Change name, institution or link; nothing was tagged.",
        )
