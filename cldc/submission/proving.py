"""Right before the tag: will the organisers' daemon take it, and will the board show it? Read as everyone, not as us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from cldc import description as descriptions
from cldc.codalab import require_ready
from cldc.errors import CldcError, CodaLabError, SubmissionRefused
from cldc.submission.making import check_predictions
from cldc.submission.model import Check
from cldc.submission.work import Result, Work

if TYPE_CHECKING:
    from cldc.codalab import Bundle

# More ancestors than any way of submitting has; a longer chain is somebody's joke.
_MOST_ANCESTORS = 100
_AGAIN = "Run the command again; if it stays so, ask the server's operators. No quota was spent."


def prove(work: Work) -> Result:
    """Look at everything that makes a tagged bundle be dropped, failed or hidden; what was found goes into ``work.proof``.

    Raises:
        CldcError: The first thing that stands against it.
    """
    ancestors: dict[str, Bundle] = {}
    looks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("lineage", lambda: _lineage(work, ancestors)),
        ("readable by everyone", lambda: _readable(work, ancestors)),
        ("run", lambda: _run(work)),
        ("predictions", lambda: _predictions(work)),
        ("description", lambda: _description(work)),
    )
    work.proof.clear()
    try:
        for subject, look in looks:
            work.proof.append(Check(subject, look()))
    except CldcError:
        work.ledger.forget(work.plan.id, ("publish", "describe"))  # the next try does them again
        raise
    return {check.subject: check.finding for check in work.proof}


def _lineage(work: Work, found: dict[str, Bundle]) -> str:
    """The daemon repeats the way from the organisers' own bundles to the tagged one; a copy of one does not count."""
    for bundle in _walk(work, work.uuid("predictions")):
        found[bundle.uuid] = bundle
    for name in ("script", "label_book"):
        uuid = work.results["link"][name]
        if uuid not in found:
            raise SubmissionRefused(
                f"The predictions are not made from the organisers' own {name.replace('_', ' ')} ({uuid}).",
                action="Give the submission another --name, so that everything is made anew; no quota was spent.",
            )
    return f"{len(found)} bundles, all there, from the organisers' own script and label book"


def _walk(work: Work, start: str) -> Iterator[Bundle]:
    waiting, seen = [start], {start}
    while waiting:
        uuid = waiting.pop()
        try:
            bundle = work.anonymous.bundle(uuid)
        except CodaLabError as error:
            raise CodaLabError(
                f"{uuid}, which the submission is made from, can't be read by everyone: {error.message}",
                action=_AGAIN,
            ) from error
        yield bundle
        waiting += [parent for d in bundle.dependencies if (parent := d.parent) not in seen]
        seen.update(waiting)
        if len(seen) > _MOST_ANCESTORS:
            raise SubmissionRefused(
                f"The submission is made from more than {_MOST_ANCESTORS} bundles.",
                action="Make it as the guide says.",
            )


def _readable(work: Work, ancestors: dict[str, Bundle]) -> str:
    for bundle in ancestors.values():
        if not bundle.readable:
            raise CodaLabError(
                f"The bundle {bundle.uuid} is not readable by everyone, so the scoring daemon could not read it.",
                action=_AGAIN,
            )
    # With its items: a place that is missing there hides the whole worksheet from everyone but its owner.
    sheet = work.anonymous.worksheet(work.uuid("worksheet"), items=True)
    return f"all {len(ancestors)} bundles and the worksheet with its {len(sheet.items)} items"


def _run(work: Work) -> str:
    form = work.competition.run
    bundle = require_ready(work.anonymous, work.anonymous.bundle(work.uuid("run")), (form.predictions,))
    return f"ready after {bundle.seconds:.0f} s, with {form.predictions}"


def _predictions(work: Work) -> str:
    uuid, classes = work.uuid("predictions"), len(work.competition.dataset.classes)
    require_ready(work.anonymous, work.anonymous.bundle(uuid))
    count = check_predictions(work, work.anonymous, uuid, "")
    return f"{count:,}, each from 0 to {classes - 1}"


def _description(work: Work) -> str:
    stored = work.anonymous.bundle(work.uuid("predictions")).description
    intended = descriptions.Reading(work.plan.name, work.plan.institution, work.plan.link)
    check_description(stored, intended)
    return repr(stored)


def check_description(stored: str, intended: descriptions.Reading) -> None:
    """Hold what the server keeps against what was meant, as the board reads it.

    Raises:
        SubmissionRefused: The board would show something else.
    """
    reading = descriptions.read(stored)
    if reading != intended:
        raise SubmissionRefused(
            f"The server keeps the description as {stored!r}, which the board would read as name {reading.name!r}, "
            f"institution {reading.institution!r}, link {reading.link!r}.",
            action="Change name, institution or link; nothing was tagged.",
        )
