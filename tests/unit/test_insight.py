"""Comparisons of preflights by content, a preflight's page, and its pictures."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from cldc.cli.terminal import draw
from cldc.insight.comparing import compare_preflights
from cldc.insight.model import Insight, Suggestion, confusion, worst_mistakes
from cldc.insight.page_pictures import pictures
from cldc.insight.paired import TrainedModel
from cldc.preflight.model import ModelPredictions
from cldc.render.formats import render
from cldc.render.preflight import OF_BEFORE, preflight_document, suggestion_blocks
from tests.support.insights import CLASSES, RESULT, images


def page_of(insight: Insight) -> str:
    return render("html", preflight_document(insight, None, dict, next_command=""))


def test_a_comparison_goes_by_content_and_not_by_name() -> None:
    before = images(
        ("train/a/1.png", "s1", 0, 0.1),
        ("train/a/2.png", "s2", 0, 0.1),
        ("train/a/3.png", "s3", 0, 0.1),
        ("val/a/4.png", "s4", 0, 0.9),
        ("val/a/5.png", "s5", 0, 0.1),
        ("book/a/9.png", "s9", 0, 0.1),
    )
    after = images(
        ("train/a/other-name.png", "s1", 0, 0.1),
        ("train/b/2.png", "s2", 1, 0.9),
        ("val/a/3.png", "s3", 0, 0.2),
        ("val/a/4.png", "s4", 0, 0.2),
        ("val/a/4-again.png", "s4", 0, 0.2),
        ("val/a/5.png", "s5", 0, 0.8),
        ("train/b/6.png", "s6", 1, 0.8),
        ("book/a/9.png", "s9", 0, 0.1),
    )
    found = compare_preflights(TrainedModel(RESULT, before), TrainedModel(RESULT, after))
    assert {move.after for move in found.added} == {"val/a/4-again.png", "train/b/6.png"}
    assert not found.removed
    assert [(m.before, m.label_before, m.label_after) for m in found.relabelled] == [
        ("train/a/2.png", "a", "b")
    ]
    assert [(m.before, m.after) for m in found.moved] == [("train/a/3.png", "val/a/3.png")]
    assert (found.same, found.renamed) == (3, 1)
    assert {m.before for m in found.fixed} == {"val/a/4.png"}
    assert {m.before for m in found.broken} == {"val/a/5.png"}
    change = next(c for c in found.classes if (c.split, c.label) == ("val", "a"))
    assert (change.before, change.after) == (0.5, 0.75)
    assert compare_preflights(TrainedModel(RESULT, before), TrainedModel(RESULT, before)).same == 5
    unknown = ModelPredictions((), (), "the predictions were not kept")
    for first, second in ((unknown, after), (before, unknown)):
        found = compare_preflights(TrainedModel(RESULT, first), TrainedModel(RESULT, second))
        assert found.note == "the predictions were not kept"
        assert {c.label for c in found.classes} == set(CLASSES)


def test_the_page_stands_alone_and_escapes_what_it_shows() -> None:
    predictions = images(
        ("train/a/1.png", "s1", 0, 0.9), ("val/a/<b>.png", "s2", 0, 0.8), ("book/b/3.png", "s3", 1, 0.9)
    )
    assert confusion(predictions, "val") == ((0, 1), (0, 0))
    assert [image.path for image in worst_mistakes(predictions, "val", 9)] == ["val/a/<b>.png"]
    suggestion = Suggestion("train/a/1.png", "a", "b", 0.9, 0.01, "b")
    page = page_of(Insight(RESULT, predictions, (suggestion,)))
    assert "<b>.png" not in page.replace("</b>", "")
    assert "a &lt;warning&gt;" in page
    assert "looks like <b>b</b> (90%)" in page
    assert '<a href="#labels">Labels that look wrong</a>: 1<' in page
    assert "nan" not in page
    assert "http" not in page.replace("http-equiv", "")
    unknown = ModelPredictions((), (), "it was <so>")
    assert "Not known: it was &lt;so&gt;" in page_of(Insight(RESULT, unknown, (), "no reason"))
    quick = dataclasses.replace(RESULT, quick=True, label_book=None, history=())
    assert "One epoch only" in page_of(Insight(quick, predictions))
    changed = dataclasses.replace(RESULT, dataset_changed="2 images of mine were changed.")
    assert f"2 images of mine were changed. {OF_BEFORE}" in page_of(Insight(changed, predictions))


def test_eighty_columns_keep_a_suspicious_path_on_one_line_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = "train/viii/ad9404f0-ce5d-11eb-b317-38f9d35ea60f.png"
    suggestion = Suggestion(path, "viii", "vii", 0.99, 0.01, "")
    shown = io.StringIO()
    draw([*suggestion_blocks(Insight(RESULT, images(), (suggestion,)))], shown, everything=False)
    assert path in shown.getvalue()


def test_a_picture_that_cannot_be_drawn_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"no picture")
    assert pictures([("no", tmp_path / "no.png"), ("none", tmp_path / "none.png")], size=(32, 32)) == {}
