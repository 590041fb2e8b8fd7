"""What `cldc labels` reports, given how probably each label is wrong."""

from __future__ import annotations

import csv
import io

from cldc.insight.label_search import LabelProblem, LabelReport, RankedLabel
from cldc.insight.model import Suggestion, suggest
from cldc.preflight.model import ModelPredictions
from cldc.render.formats import render
from cldc.render.labels import labels_document


def ranked(rank: int, *, wrong: float, problem: LabelProblem | None, fit: float = 0.1) -> RankedLabel:
    likely = () if problem is LabelProblem.BLANK else ("b", "a") if fit < 0.5 else ("a", "b")
    return RankedLabel(
        rank=rank, path=f"train/a/<{rank}>.png", sha256=f"sha{rank}", label="a", suggestion="b" if likely else "",
        probability=1 - fit if likely else 0.0, fit=fit, wrong=wrong, problem=problem, likely=likely,
    )  # fmt: skip


def report(*wrong: float) -> LabelReport:
    images = [
        ranked(rank, wrong=each, problem=LabelProblem.OTHER_CLASS) for rank, each in enumerate(wrong, 1)
    ]
    fitting = [ranked(rank, wrong=0.0, problem=None, fit=0.99) for rank in range(len(wrong) + 1, 400)]
    return LabelReport(("a", "b"), (*images, *fitting), noise=0.1)


def document(found: LabelReport, top: int | None = None) -> tuple[str, str]:
    made = labels_document(
        found, "mine", correct=0, top=top, pictures=lambda _: {}, next_command="cldc review mine"
    )
    assert "<1>" not in render("html", made)
    rows = list(csv.reader(io.StringIO(render("csv", made))))
    assert len(rows) - 1 == len(made.data["suspicious"])  # type: ignore[index]
    return render("text", made), render("json", made)


def test_a_clean_dataset_has_no_wrong_label_although_some_drawings_are_hard_to_read() -> None:
    clean = report(*[0.001] * 60)
    printed, _ = document(clean)
    assert "No label is expected to be wrong" in printed
    assert "60 like another class" in printed
    assert suggest(clean, ModelPredictions(("a", "b"), ())) == ()


def test_the_expected_number_is_given_at_each_depth_and_every_suspicious_label_is_listed() -> None:
    found = report(*[1.0] * 15, *[0.5] * 10, *[0.0] * 125)
    printed, as_json = document(found)
    assert "About 20 labels are expected to be wrong: 18 of the first 20." in printed
    assert "130 more" in printed
    assert as_json.count('"rank"') == 150
    assert document(found, top=160)[1].count('"rank"') == 160
    # As deep as a quarter of them is expected to be wrong.
    suggestions = suggest(found, ModelPredictions(("a", "b"), ()))
    assert len(suggestions) == 80
    assert suggestions[0] == Suggestion("train/a/<1>.png", "a", "b", 0.9, 0.1)


def test_images_marked_correct_are_left_out_and_the_rest_ranked_again() -> None:
    left = report(1.0, 1.0, 0.4).without({"sha1", "sha3"})
    assert [(image.rank, image.sha256) for image in left.images[:2]] == [(1, "sha2"), (2, "sha4")]
    assert left.expected_wrong() == 1.0


def test_a_blank_image_is_listed_and_never_suggested_as_another_class() -> None:
    blank = LabelReport(("a", "b"), (ranked(1, wrong=1.0, problem=LabelProblem.BLANK),), noise=0.0)
    printed, _ = document(blank)
    assert "blank" in printed
    assert suggest(blank, ModelPredictions(("a", "b"), ())) == ()
