"""The list of preflights and submissions, and comparisons, through the command line."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cldc.competition import load
from cldc.grading.known_test_sets import remember_test_set
from cldc.history import history
from cldc.leaderboard import Leaderboard, Row
from cldc.ledger import BoardResult, Ledger, Record
from cldc.preflight import result_store
from cldc.preflight.model import ImagePrediction
from cldc.render.document import Document, Rows
from cldc.render.formats import render
from tests.support.commands import Cldc
from tests.support.folders import make_dataset, png
from tests.support.insights import RESULT, images
from tests.support.records import RECORD
from tests.support.terminal import Terminal

NOW = datetime(2026, 2, 1, tzinfo=UTC)


def record(identity: str, name: str, preflight: str | None) -> Record:
    return dataclasses.replace(RECORD, id=identity, account="me", name=name, preflight=preflight, created=NOW)


def test_submissions_carry_their_preflights_accuracy_and_the_score_when_it_is_known(tmp_path: Path) -> None:
    row = Row(3, "first", "", "", "me", 0.625, "ready", "0xab", NOW, True)
    board = Leaderboard("demo", "accuracy", NOW, (row,))
    demo = load("demo")
    with Ledger(tmp_path) as ledger:
        ledger.add(record("s1", "first", RESULT.id))
        ledger.begin("s1", "tag")
        ledger.finish("s1", "tag", {"uuid": "0xab"}, now=NOW)
        ledger.add(record("s2", "=cmd()", None))
        entries = history([RESULT], ledger, board, competition=demo)
        assert not history([RESULT], ledger, board, competition=load())
        assert history([RESULT], ledger, None, competition=demo)[1].score is None
    assert [entry.kind for entry in entries] == ["preflight", "submission", "submission"]
    first = next(entry for entry in entries if entry.name == "first")
    assert (first.score, first.validation, first.images, first.detail) == (0.625, 0.5, 4, "rank 3")
    assert next(e for e in entries if e.id == "s2").detail == "not tagged"
    output = render("csv", Document(entries, (), rows=Rows(("id", "name", "score"), entries)))
    rows = list(csv.DictReader(io.StringIO(output)))
    assert [row["score"] for row in rows if row["name"] == "first"] == ["0.625"]
    assert [row["name"] for row in rows if row["id"] == "s2"] == ["'=cmd()"]


def test_a_replaced_submission_names_the_one_that_counts_and_keeps_its_score(tmp_path: Path) -> None:
    demo = load("demo")
    demo = dataclasses.replace(demo, submission=dataclasses.replace(demo.submission, supersedes="account"))
    with Ledger(tmp_path) as ledger:
        for day, name in enumerate(("first", "second")):
            ledger.add(record(name, name, None))
            ledger.begin(name, "tag")
            ledger.finish(name, "tag", {"uuid": f"0x{name}"}, now=NOW + timedelta(days=day))
        ledger.remember("demo", (BoardResult("0xfirst", "first", NOW, 1, 5, 0.25),))
        row = Row(3, "second", "", "", "me", 0.625, "ready", "0xsecond", NOW, True)
        first, second = history([], ledger, Leaderboard("demo", "accuracy", NOW, (row,)), competition=demo)
        assert (first.score, first.detail) == (0.25, "replaced by second (scored 0.6250)")
        assert (second.score, second.detail) == (0.625, "rank 3")
        offline, waiting = history([], ledger, None, competition=demo)
        assert (offline.score, offline.detail) == (0.25, "replaced by second")
        assert waiting.detail == "no score yet"


def test_cldc_alone_tells_a_scored_submission_from_a_withdrawn_one(bare_cldc: Cldc, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "mine")
    identity = bare_cldc("validate", folder, "--format", "json").data["dataset"]["hash"]
    with Ledger(bare_cldc.home) as ledger:
        ledger.add(dataclasses.replace(record("s1", "first", None), dataset_hash=identity))
        ledger.begin("s1", "tag")
        ledger.finish("s1", "tag", {"uuid": "0xab"}, now=NOW)
        ledger.remember("demo", (BoardResult("0xab", "first", NOW, 1, 5, 0.25),))
    output = bare_cldc(CLDC_DATASET=str(folder), CLDC_COMPETITION="demo").out
    assert "1 submitted; first counts, scored 0.2500, rank 1 of 5" in output
    assert "This dataset has its score" in output
    with Ledger(bare_cldc.home) as ledger:
        ledger.begin("s1", "withdraw")
        ledger.finish("s1", "withdraw", {"uuid": "0xab"}, now=NOW)
    output = bare_cldc(CLDC_DATASET=str(folder), CLDC_COMPETITION="demo").out
    assert "1 submitted; first is withdrawn\n" in output
    assert "This dataset's submission is withdrawn; the command sets its tag again." in output
    assert "Next: cldc submit\n" in output
    assert "has its score" not in output


def test_eighty_columns_show_a_table_and_name_what_is_missing(cldc: Cldc, tmp_path: Path) -> None:
    result_store.save(cldc.home, RESULT)
    variables = {"CLDC_HOME": str(cldc.home), "CLDC_COMPETITION": "demo", "CLDC_SERVER": "sandbox"}
    _, narrow = Terminal("history", cwd=tmp_path, columns=80, **variables).end()
    assert re.search(r"2026-01-01 .*preflight .*mine .*50\.00%", narrow)
    assert "Not shown: " in narrow
    assert RESULT.id not in narrow
    _, complete = Terminal("history", "--verbose", cwd=tmp_path, columns=80, **variables).end()
    assert f"id: {RESULT.id}" in complete
    assert "Not shown" not in complete


def test_two_preflights_are_compared_by_name_or_id_as_table_json_and_page(cldc: Cldc, tmp_path: Path) -> None:
    mine = dataclasses.replace(RESULT, images={"train": 2, "val": 2, "label_book": 1})
    other = dataclasses.replace(
        mine,
        dataset_name="better",
        fingerprint=dataclasses.replace(RESULT.fingerprint, dataset="e"),
        started="2026-01-02T00:00:00+00:00",
    )
    for result, rows, book in (
        (mine, (("train/a/1.png", "s1", 0, 0.1), ("val/a/2.png", "s2", 0, 0.9)), (0.9, 0.1)),
        (other, (("train/b/1.png", "s1", 1, 0.9), ("val/a/2.png", "s2", 0, 0.2)), (0.2, 0.8)),
    ):
        result_store.save(cldc.home, result)
        predicted = images(*rows)
        tested = ImagePrediction("label_book", "a/3.png", "s3", 0, book)
        predicted = dataclasses.replace(predicted, images=(*predicted.images, tested))
        result_store.save_predictions(cldc.home, result.id, predicted)
    book_folder = cldc.home / "label_books" / "demo" / RESULT.fingerprint.label_book
    (book_folder / "a").mkdir(parents=True)
    (book_folder / "a" / "3.png").write_bytes(png())
    cldc = dataclasses.replace(cldc, extra={"CLDC_COMPETITION": "demo", "CLDC_SERVER": "sandbox"})
    output = cldc("compare", "mine", other.id[:6], "--report", tmp_path / "page.html").out
    assert "images relabelled: 1\n  train/a/1.png -> train/b/1.png" in output
    assert "mistakes fixed: 1\n  val/a/2.png: predicted as b before, as a now" in output
    assert "new mistakes: 1\n  label_book/a/3.png: predicted as a before, as b now" in output
    page = (tmp_path / "page.html").read_text()
    assert "was train/a/1.png" in page
    case = page[page.index('data-path="label_book/a/3.png"') :].partition("</li>")[0]
    assert 'src="data:image/png' in case
    assert "<p>predicted as a before, as b now</p>" in case
    data = cldc("compare", "mine", "better", "--format", "json").data
    assert data["classes"][0] == {"split": "val", "label": "a", "before": 0.0, "after": 1.0}
    assert "no preflight zzz" in cldc("compare", "mine", "zzz", code=2).err
    assert "hold the same images" in cldc("compare", "mine", RESULT.id, code=2).err
    assert "hold the same images" in cldc("compare", "not-trained/", "not-trained", code=2).err
    folder = make_dataset(tmp_path / "untrained")
    assert f"no preflight of {folder} as it is now" in cldc("compare", "mine", folder, code=2).err
    assert "--judge needs --repeat" in cldc("compare", "mine", "better", "--judge", folder, code=2).err
    gone = cldc("compare", "mine", "better", "--repeat", "2", code=3).err
    assert f"There is no folder {RESULT.dataset_root}" in gone
    offered = cldc(_CLDC_COMPLETE="bash_complete", COMP_WORDS="cldc compare ", COMP_CWORD="2").out
    assert {f"plain,{word}" for word in ("mine", "better", RESULT.id, other.id)} <= set(offered.split())
    listed = cldc("history", "--format", "json").data["entries"]
    assert [entry["name"] for entry in listed] == ["mine", "better"]
    assert cldc("history", "--format", "csv").out.count("\n") == 3


def test_images_that_a_model_was_trained_on_cannot_judge(bare_cldc: Cldc, tmp_path: Path) -> None:
    before, after = make_dataset(tmp_path / "before"), make_dataset(tmp_path / "after", train=3)
    judge = before / "val"
    options = ("compare", before, after, "--repeat", "2", "--judge", judge)
    refused = bare_cldc(*options, code=2, CLDC_COMPETITION="demo", CLDC_LABEL_BOOK=str(judge))
    assert f"{judge} can't judge, since a model has learned them" in refused.err.replace("\n", " ")


def test_a_dataset_is_not_compared_with_its_copy(bare_cldc: Cldc, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "mine")
    copy = shutil.copytree(folder, tmp_path / "copy")
    refused = bare_cldc("compare", folder, copy, "--repeat", "2", code=2, CLDC_COMPETITION="demo")
    assert "hold the same images" in refused.err


def test_a_training_of_a_grading_is_listed_with_its_score(cldc: Cldc) -> None:
    cldc = dataclasses.replace(cldc, extra={"CLDC_COMPETITION": "demo"})
    result_store.save(cldc.home, RESULT)
    remember_test_set(cldc.home, RESULT.fingerprint.label_book)
    (entry,) = cldc("history", "--format", "json").data["entries"]
    assert (entry["kind"], entry["label_book"], entry["score"]) == ("grading", None, 1.0)
    assert " 1.0000" in cldc("history").out  # as every board shows it
    (cldc.home / "grading" / "test-sets.json").write_bytes(b"\xff")
    (entry,) = cldc("history", "--format", "json").data["entries"]
    assert (entry["kind"], entry["label_book"], entry["score"]) == ("preflight", 1.0, None)
