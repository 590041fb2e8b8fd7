"""Suspicious labels in all formats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from cldc.insight.label_search import LabelProblem, LabelReport, RankedLabel
from cldc.render.document import Block, Document, Line, Page, Rows, Table
from cldc.text import plural

Pictures = Callable[[Sequence[RankedLabel]], Mapping[str, tuple[str, str]]]

# As many as a screen holds.
_PRINTED = 20
# As many pictures as a browser shows at once.
_PICTURED = 1000
_DEPTHS = (20, 100, 300, 1000)
_WORDS = {
    LabelProblem.OTHER_CLASS: "looks like another class",
    LabelProblem.AMBIGUOUS: "looks like several classes",
    LabelProblem.ILLEGIBLE: "looks like no class",
    LabelProblem.BLANK: "blank",
}
_COLUMNS = ("rank", "path", "sha256", "label", "suggestion", "probability", "fit", "wrong", "problem")


def labels_document(
    report: LabelReport,
    name: str,
    *,
    correct: int,
    top: int | None,
    pictures: Pictures,
    next_command: str,
) -> Document:
    """Build the result of suspicious labels.

    Args:
        report: The labels that are not marked as correct.
        name: The dataset's name.
        correct: How many images were marked as correct and are left out.
        top: How many to list; None lists every suspicious one, but only a screenful as text.
        pictures: Draws the page's pictures.
        next_command: What to run next.
    """
    listed = report.images[:top] if top else report.suspicious
    printed = listed if top else listed[:_PRINTED]
    data = {
        "dataset": name,
        "images": len(report.images),
        "correct_as_is": correct,
        "noise": report.noise,
        "expected_wrong": round(report.expected_wrong(), 2),
        "expected": [
            {"first": depth, "wrong": round(report.expected_wrong(depth), 2)}
            for depth in _DEPTHS
            if depth < len(report.images)
        ],
        "unreadable": report.unreadable,
        "suspicious": listed,
    }
    return Document(
        data,
        [*_heading(report, name, correct), *_list(listed, printed, next_command)],
        page=Page("labels.html", lambda: _page_values(report, name, listed[:_PICTURED], pictures)),
        rows=Rows(_COLUMNS, listed),
    )


def _heading(report: LabelReport, name: str, correct: int) -> Iterator[Block]:
    yield Line(f"Labels of {name}, {plural(len(report.images), 'image')}", "title")
    yield Line(expectation(report))
    counts = Counter(image.problem for image in report.suspicious)
    if counts:
        listed = ", ".join(
            f"{counts[problem]:,} {words.removeprefix('looks ')}"
            for problem, words in _WORDS.items()
            if counts[problem]
        )
        yield Line(f"Worth a look: {listed}.")
    if correct:
        yield Line(f"Left out: {plural(correct, 'image')} that you marked as correct.", "dim")
    if report.unreadable:
        yield Line(
            f"{plural(len(report.unreadable), 'image')} could not be read; `cldc validate` says why.",
            "warning",
        )


def expectation(report: LabelReport) -> str:
    """Say in a sentence how many wrong labels to expect."""
    expected = report.expected_wrong()
    if round(expected) < 1:
        return "No label is expected to be wrong; some drawings are harder to read than others."
    depths = [
        f"{report.expected_wrong(depth):.0f} of the first {depth}"
        for depth in _DEPTHS
        if depth < len(report.images) and report.expected_wrong(depth) < 0.99 * expected
    ]
    where = f": {', '.join(depths)}" if depths else ""
    return f"About {plural(round(expected), 'label is', 'labels are')} expected to be wrong{where}."


def _list(
    listed: Sequence[RankedLabel], printed: Sequence[RankedLabel], next_command: str
) -> Iterator[Block]:
    if not listed:
        yield Line("No label is suspicious.", "good")
        return
    rows = [
        (
            str(image.rank),
            image.path,
            image.label,
            f"{image.suggestion} ({image.probability:.0%})" if image.suggestion else "",
            _WORDS[image.problem] if image.problem else "",
        )
        for image in printed
    ]
    yield Table(("rank", "image", "labelled", "could be", "problem"), rows, numbers=("rank",))
    if len(listed) > len(printed):
        yield Line(
            f"{len(listed) - len(printed):,} more: --top N lists more, --report labels.html all with their pictures."
        )
    yield Line(f"Next: {next_command}")


def _page_values(
    report: LabelReport, name: str, listed: Sequence[RankedLabel], pictures: Pictures
) -> dict[str, Any]:
    counts = Counter(image.problem for image in listed)
    return {
        "title": f"Labels of {name}",
        "expectation": expectation(report),
        "report": report,
        "listed": listed,
        "pictures": pictures(listed),
        "words": {problem.value: words for problem, words in _WORDS.items()},
        "counts": [(words, counts[problem]) for problem, words in _WORDS.items() if counts[problem]],
        "splits": sorted({image.path.partition("/")[0] for image in listed}),
    }
