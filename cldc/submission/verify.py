"""Verify anonymously, right before the tag, that the organisers' daemon will accept a bundle and the board will show it."""

from __future__ import annotations

from cldc import description as descriptions
from cldc.bundles.dependents import lineage
from cldc.bundles.runs import organisers_uuid, read_output
from cldc.codalab import Bundle, Rest, require_ready
from cldc.errors import CldcError, CodaLabError, RunFailed, SubmissionRefused
from cldc.preflight.predictions_file import UnusablePredictions, parse_predictions
from cldc.submission.context import SubmissionContext, step
from cldc.submission.model import (
    Evidence,
    PredictionsBundle,
    StartedRun,
    SubmissionCheck,
    SubmissionWorksheet,
)

# More ancestors than any valid submission has; longer chains are malformed.
_MOST_ANCESTORS = 100
_AGAIN = "Run the command again; if it fails again, ask the server's operators. No quota was spent."


@step("prove", Evidence)
def verify(
    context: SubmissionContext,
    worksheet: SubmissionWorksheet,
    run: StartedRun,
    predictions: PredictionsBundle,
) -> Evidence:
    """Check everything that would make the daemon drop or fail a tagged bundle, or the board hide it.

    Raises:
        CldcError: The first problem.
    """
    anonymous, file = context.anonymous, context.competition.run.predictions
    try:
        ancestors = _read_lineage(context, predictions)
        readable = _verify_readable(context, worksheet, ancestors)
        ready = require_ready(anonymous, anonymous.bundle(run.uuid), (file,))
        bundle = require_ready(anonymous, anonymous.bundle(predictions.uuid))
        count = check_predictions(context, anonymous, run, bundle.uuid, "")
        require_description(context, bundle.description)
    except CldcError:
        context.forget("publish", "describe")  # the next try repeats these steps
        raise
    highest = len(context.competition.dataset.classes) - 1
    found = {
        "lineage": f"{len(ancestors)} bundles, all there, from the organisers' own script and label book",
        "readable by everyone": readable,
        "run": f"ready after {ready.seconds:.0f} s, with {file}",
        "predictions": f"{count:,}, each from 0 to {highest}",
        "description": repr(bundle.description),
    }
    return Evidence(tuple(SubmissionCheck(subject, finding) for subject, finding in found.items()))


def _read_lineage(context: SubmissionContext, predictions: PredictionsBundle) -> dict[str, Bundle]:
    """Read the bundle and its ancestors; the daemon replays them from the organisers' own bundles, so copies don't count."""

    def read(uuid: str) -> Bundle:
        try:
            return context.anonymous.bundle(uuid)
        except CodaLabError as error:
            raise CodaLabError(
                f"Not everyone can read {uuid}, which the submission depends on: {error.message}",
                action=_AGAIN,
            ) from error

    found: dict[str, Bundle] = {}
    for bundle in lineage([predictions.uuid], read):
        found[bundle.uuid] = bundle
        if len(found) > _MOST_ANCESTORS:
            raise SubmissionRefused(
                f"The submission depends on more than {_MOST_ANCESTORS} bundles.",
                action="Create it as the guide says.",
            )
    organisers = context.competition.bundles
    for what, reference in (("script", organisers.script), ("label book", organisers.label_book)):
        if organisers_uuid(reference) not in found:
            raise SubmissionRefused(
                f"The predictions do not depend on the organisers' own {what} ({reference.uuid}).",
                action="Give the submission another --name, so that everything is created again; no quota was spent.",
            )
    return found


def _verify_readable(
    context: SubmissionContext, worksheet: SubmissionWorksheet, ancestors: dict[str, Bundle]
) -> str:
    for bundle in ancestors.values():
        if not bundle.readable:
            raise CodaLabError(
                f"Not everyone can read the bundle {bundle.uuid}, so the scoring daemon could not read it.",
                action=_AGAIN,
            )
    # Read with its items: a missing item hides the whole worksheet from everyone but its owner.
    found = context.anonymous.worksheet(worksheet.uuid, items=True)
    return f"all {len(ancestors)} bundles and the worksheet with its {len(found.items)} items"


def check_predictions(context: SubmissionContext, rest: Rest, run: StartedRun, bundle: str, path: str) -> int:
    """Count the predictions, which must fit the label book and the accuracy that the run printed.

    They are in the file ``path`` of the run, or are the ``bundle`` that was created from it, with an empty path.

    Raises:
        RunFailed: The number of class indices is not that of the label book's images, or the accuracy differs.
    """
    what = f"{path or 'The predictions bundle'} ({bundle})"
    try:
        content, labels = rest.file(bundle, path), context.plan.labels
        return len(parse_predictions(content, labels, read_output(rest, run.uuid), what=what))
    except UnusablePredictions as error:
        raise RunFailed(
            str(error),
            action="Run `cldc preflight` with the same dataset to see what the training does; no quota was spent.",
        ) from error


def require_description(context: SubmissionContext, stored: str) -> None:
    """Require that the description on the server, as the board parses it, is the intended one.

    Raises:
        SubmissionRefused: The board would show a different text.
    """
    record, reading = context.record, descriptions.read(stored)
    if reading != descriptions.Reading(record.name, record.institution, record.link):
        raise SubmissionRefused(
            f"The server keeps the description as {stored!r}, which the board would read as name {reading.name!r}, "
            f"institution {reading.institution!r}, link {reading.link!r}.",
            action="Change name, institution or link; nothing was tagged.",
        )
