"""`decisions.csv`: decisions are read whoever wrote them, are never lost, and follow a content wherever its file is."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cldc import competition, dataset, decisions
from cldc.dataset import Dataset
from cldc.decisions import CORRECT, RELABEL, SET_ASIDE, Decision, edit, match, move_to, read
from cldc.decisions.table import parse, to_text
from cldc.files import hash_bytes
from cldc.spreadsheet import InvalidTable
from tests.support.commands import Cldc
from tests.support.decided import of
from tests.support.folders import drawn, make_dataset, padded, png

COMPETITION = competition.load()
RULES = COMPETITION.dataset
PLACE = Path("decisions.csv")

# What file names and reasons may hold; lone surrogates are bytes that are no UTF-8.
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.lists(
        st.sampled_from(["=", "+", "-", "@", "'", '"', ",", ";", "\t", "\r", "\n", " ", "\udc80", "a"]),
        max_size=6,
    ).map("".join),
)
DECISIONS = st.builds(
    lambda sha, path, action, label, reason: Decision(
        sha, path, action, label if action == RELABEL else "", reason.strip(), "2026-11-26T09:50:11Z"
    ),
    st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}"),
    TEXT,
    st.sampled_from([RELABEL, SET_ASIDE, CORRECT, *map(move_to, RULES.splits)]),
    st.sampled_from(RULES.classes),
    TEXT,
)


def cells(table: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table.decode(errors="surrogateescape"), newline="")))


@given(st.lists(DECISIONS, max_size=6))
def test_a_table_reads_back_as_it_was_written_in_one_order(rows: list[Decision]) -> None:
    text = to_text(rows)
    assert to_text(reversed(rows)) == text
    again = parse(text, PLACE, RULES)
    assert set(again) == set(rows)
    assert to_text(again) == text


@given(st.lists(DECISIONS, max_size=4), st.sampled_from(",;\t"))
def test_what_a_spreadsheet_saves_is_read(rows: list[Decision], delimiter: str) -> None:
    with_rest = [[*row, ""] for row in cells(to_text(rows))]  # an empty column too many, and empty lines
    text = "\r\n".join(
        delimiter.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in with_rest
    )
    content = b"\xef\xbb\xbf" + f"{text}\r\n{delimiter * 6}\r\n".encode(errors="surrogateescape")
    assert set(parse(content, PLACE, RULES)) == set(rows)


@given(DECISIONS)
def test_no_cell_is_a_formula(decision: Decision) -> None:
    for row in cells(to_text([decision])):
        assert not [cell for cell in row if cell[:1] in tuple("=+-@\t\r\n") and cell]


def test_a_table_made_by_hand_is_read() -> None:
    text = b"Path;Action;Class\r\n.\\train\\ix\\a.png; Relabel ;viii\r\n\r\ntrain/i/b.png;MOVE-TO-VAL\r\n"
    assert parse(text, PLACE, RULES) == (
        Decision("", "train/ix/a.png", RELABEL, "viii"),
        Decision("", "train/i/b.png", "move-to-val"),
    )


@pytest.mark.parametrize(
    ("text", "line", "names"),
    [
        ("sha256,path,action\n,a,relabel\n", 2, "relabels to no class"),
        ("path,action,class\ntrain/i/a.png,set-aside,\ntrain/i/a.png,relabel,xi\n", 3, "'xi'"),
        ("path,action\n\n\na,drop\n", 4, "'drop'"),
        ("path,action\na,move-to-test\n", 2, "'move-to-test'"),
        ("sha256,action\n12ab,correct\n", 2, "64"),
        ("path,action,note\na,correct,x\n", 1, "'note'"),
        ("action,class\ncorrect,\n", 1, "sha256 and path"),
        ("path,action\n,correct\n", 2, "no image"),
        ('path,action\n"a,correct\n', 2, "can't be read"),
        ("path,action\na,b,correct\n", 2, "more cells"),
        ("path,action,path\na,correct,b\n", 1, "twice"),
        ("path,action\n<<<<<<< HEAD\na,correct\n=======\na,set-aside\n>>>>>>> other\n", 2, "merge"),
    ],
)
def test_an_invalid_line_is_named(text: str, line: int, names: str) -> None:
    with pytest.raises(InvalidTable, match=f"^Line {line} of decisions.csv ") as raised:
        parse(text.encode(), PLACE, RULES)
    assert names in raised.value.message


def test_a_table_in_another_encoding_says_how_to_save_it() -> None:
    with pytest.raises(InvalidTable, match="UTF-16") as raised:
        parse("path,action\na,correct\n".encode("utf-16"), PLACE, RULES)
    assert "UTF-8" in (raised.value.action or "")


def decision(path: str, action: str, label: str = "", content: str = "a", reason: str = "") -> Decision:
    return Decision(hash_bytes(content), path, action, label, reason)


def test_a_table_that_is_a_link_to_itself_is_replaced(tmp_path: Path) -> None:
    table = tmp_path / "decisions.csv"
    table.symlink_to(table.name)
    decided = decision("train/i/a.png", CORRECT)
    edit(table, RULES, add=[decided], home=tmp_path)
    assert read(table, RULES) == (decided,)


def test_a_new_decision_replaces_what_contradicts_it_and_undo_restores_that(tmp_path: Path) -> None:
    place = tmp_path / "decisions.csv"

    def added(*new: Decision) -> set[Decision]:
        edit(place, RULES, add=new, home=tmp_path)
        return set(read(place, RULES))

    relabel, move = decision("train/i/a.png", RELABEL, "v"), decision("train/i/a.png", move_to("val"))
    other = decision("train/i/b.png", CORRECT, content="b")
    assert added(relabel, other) == {relabel, other}
    assert added(move) == {relabel, other, move}
    back = move._replace(action=move_to("train"))
    assert added(back) == {relabel, other, back}
    before = place.read_bytes()
    aside = decision("train/i/a.png", SET_ASIDE)
    done = edit(place, RULES, add=[aside], home=tmp_path)
    assert set(read(place, RULES)) == {aside, other}
    edit(place, RULES, add=[other._replace(path="train/i/c.png", sha256=hash_bytes("c"))], home=tmp_path)
    edit(place, RULES, restore=done.removed, remove=done.added, home=tmp_path)
    assert {relabel, other, back} < set(read(place, RULES))
    edit(place, RULES, remove=[d for d in read(place, RULES) if d.path == "train/i/c.png"], home=tmp_path)
    assert place.read_bytes() == before


# Few images, contents and reasons, so that decisions meet.
MEETING = st.builds(
    lambda content, name, action, label, reason: decision(
        f"train/i/{name}.png",
        action,
        label if action == RELABEL else "",
        content,
        reason if action == CORRECT else "",
    ),
    st.sampled_from("ab"),
    st.sampled_from("12"),
    st.sampled_from([RELABEL, SET_ASIDE, CORRECT, *map(move_to, RULES.splits)]),
    st.sampled_from(["i", "v"]),
    st.sampled_from(["", "label", "blank-image"]),
)


@given(st.lists(MEETING, max_size=5), st.lists(MEETING, max_size=3), st.lists(MEETING, max_size=2))
def test_undo_restores_a_table_whatever_contradictions_it_held(
    rows: list[Decision], new: list[Decision], others: list[Decision]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        place = home / "decisions.csv"
        place.write_bytes(to_text(rows))
        done = edit(place, RULES, add=new, remove=rows[:1], home=home)
        if new:  # the last word counts
            last = new[-1]
            assert any(
                (d.sha256, d.path, d.action) == (last.sha256, last.path, last.action)
                for d in read(place, RULES)
            )
        edit(place, RULES, restore=done.removed, remove=done.added, home=home)
        assert set(read(place, RULES)) == set(rows)
        # What others wrote meanwhile stays.
        done = edit(place, RULES, add=new, home=home)
        theirs = [each._replace(path=f"{each.path}.theirs", sha256=hash_bytes("c")) for each in others]
        edit(place, RULES, restore=theirs, home=home)
        edit(place, RULES, restore=done.removed, remove=done.added, home=home)
        assert set(read(place, RULES)) == {*rows, *theirs}


def test_git_merges_what_two_people_decided(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        names = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def decide(*new: Decision) -> None:
        edit(tmp_path / "decisions.csv", RULES, add=new, home=tmp_path / ".git")
        git("commit", "-qam", "decide")

    git("init", "-q", "-b", "main")
    (tmp_path / ".gitattributes").write_text("decisions.csv merge=union\n")
    (tmp_path / "decisions.csv").write_bytes(to_text([]))
    git("add", ".")
    shared = decision("train/i/m.png", CORRECT, content="m")
    decide(shared)
    git("checkout", "-qb", "other")
    theirs = [decision(f"train/i/{name}.png", SET_ASIDE, content=name) for name in "lz"]
    decide(*theirs)
    git("checkout", "-q", "main")
    ours = [decision(f"train/i/{name}.png", RELABEL, "v", content=name) for name in "kno"]
    decide(*ours)
    git("merge", "-q", "other")
    assert set(read(tmp_path / "decisions.csv", RULES)) == {shared, *theirs, *ours}


def test_being_correct_for_two_rules_is_one_line(tmp_path: Path) -> None:
    place = tmp_path / "decisions.csv"
    for reason, joined in (("label", "label"), ("blank-image", "blank-image label"), ("", ""), ("label", "")):
        edit(place, RULES, add=[decision("train/i/a.png", CORRECT, reason=reason)], home=tmp_path)
        assert [each.reason for each in read(place, RULES)] == [joined]


_WRITER = """
import sys
import tempfile
from pathlib import Path
from cldc import competition
from cldc.decisions import CORRECT, Decision, edit
place, home, start = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for number in range(start, start + 25):
    edit(place, competition.load().dataset, add=[Decision(f"{number:064x}", f"train/i/{number}.png", CORRECT)], home=home)
"""


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    place = tmp_path / "decisions.csv"
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(place), str(tmp_path / "home"), str(start)])
        for start in (0, 100)
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(read(place, RULES)) == 50


def load(folder: Path) -> Dataset:
    return dataset.load(folder, RULES)


def about(folder: Path, *rows: Decision) -> decisions.Matched:
    return match(rows, load(folder), RULES.classes)


def test_decisions_follow_an_image_that_was_renamed_or_moved(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    rows = [of(folder, "train/i/0.png", RELABEL, "v"), of(folder, "train/ii/0.png", move_to("val"))]
    (folder / "train/i/0.png").rename(folder / "val/i/other.png")
    (folder / "train/ii/0.png").rename(folder / "train/ii/new.png")
    matched = about(folder, *rows)
    assert matched.by_path == {"val/i/other.png": (rows[0],), "train/ii/new.png": (rows[1],)}
    gone = of(folder, "train/iii/0.png", CORRECT)
    (folder / "train/iii/0.png").unlink()
    assert about(folder, gone).unmatched == (gone,)


def test_of_two_copies_the_one_that_was_to_stay_is_never_set_aside(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    (folder / "val/i/copy.png").write_bytes((folder / "train/i/0.png").read_bytes())
    aside = of(folder, "val/i/copy.png", SET_ASIDE)
    assert about(folder, aside).by_path == {"val/i/copy.png": (aside,)}
    (folder / "val/i/copy.png").unlink()
    matched = about(folder, aside)
    assert not matched.by_path
    assert matched.astray == ((aside, ("train/i/0.png",)),)


@pytest.mark.parametrize(
    ("rows", "conflict"),
    [
        ([("train/i/0.png", RELABEL, "v"), ("train/i/0.png", RELABEL, "x")], True),
        ([("train/i/0.png", RELABEL, "v"), ("train/i/0.png", CORRECT, "")], True),
        ([("train/i/0.png", SET_ASIDE, ""), ("train/i/0.png", "move-to-val", "")], True),
        ([("train/i/0.png", "move-to-train", ""), ("train/i/0.png", "move-to-val", "")], True),
        ([("train/i/0.png", RELABEL, "v"), ("train/i/0.png", "move-to-val", "")], False),
        # The same file is in train/ii as well.
        ([("train/i/0.png", RELABEL, "v"), ("train/ii/copy.png", RELABEL, "x")], True),
        ([("train/i/0.png", RELABEL, "v"), ("train/ii/copy.png", CORRECT, "")], True),
        ([("train/i/0.png", RELABEL, "ii"), ("train/ii/copy.png", CORRECT, "")], False),
        ([("train/i/0.png", SET_ASIDE, ""), ("train/ii/copy.png", CORRECT, "")], False),
    ],
)
def test_contradictions_are_found(
    tmp_path: Path, rows: list[tuple[str, str, str]], *, conflict: bool
) -> None:
    folder = make_dataset(tmp_path / "digits")
    (folder / "train/ii/copy.png").write_bytes((folder / "train/i/0.png").read_bytes())
    found = about(folder, *(of(folder, *row) for row in rows)).conflicts
    assert bool(found) is conflict
    if found:
        assert {path for path, _, _ in rows} == set(found[0].paths)


@pytest.fixture
def doubtful(tmp_path: Path) -> Path:
    """A dataset with a drawing that has two labels, a blank image, and an error."""
    folder = make_dataset(tmp_path / "digits", train=3)
    (folder / "train/ix/crop.png").write_bytes(padded(drawn(), 1))
    (folder / "train/viii/whole.png").write_bytes(padded(drawn(), 9))
    (folder / "val/i/blank.png").write_bytes(png(255, width=1, height=1))
    return folder


def findings(cldc: Cldc, folder: Path, *more: str, code: int = 0) -> tuple[dict[str, list[str]], int]:
    done = cldc("validate", folder, "--format", "json", *more, code=code)
    report = json.loads(done.out)
    return {each["rule"]: each["paths"] for each in report["findings"]}, report["silenced"]


def test_correct_as_is_silences_a_finding_even_after_a_rename(cldc: Cldc, doubtful: Path) -> None:
    pair = ["train/ix/crop.png", "train/viii/whole.png"]
    rules, silenced = findings(cldc, doubtful)
    assert rules["drawing-two-labels"] == pair
    assert silenced == 0
    table = doubtful.parent / "decisions.csv"
    table.write_bytes(to_text([of(doubtful, pair[0], CORRECT)]))
    assert "drawing-two-labels" in findings(cldc, doubtful)[0]  # one of two
    table.write_bytes(to_text([of(doubtful, path, CORRECT) for path in pair]))
    rules, silenced = findings(cldc, doubtful)
    assert "drawing-two-labels" not in rules
    assert silenced >= 1
    (doubtful / pair[0]).rename(doubtful / "train/ix/renamed.png")
    assert findings(cldc, doubtful)[1] == silenced
    page = doubtful.parent / "page.html"
    assert "hidden: decisions.csv" in cldc("validate", doubtful, "--report", page).out
    assert "decisions.csv marks as correct" in page.read_text()


def test_a_reason_limits_correct_to_that_rule(cldc: Cldc, doubtful: Path) -> None:
    blank, table = of(doubtful, "val/i/blank.png", CORRECT), doubtful.parent / "decisions.csv"
    table.write_bytes(to_text([blank._replace(reason="small-image, label")]))
    assert "blank-image" in findings(cldc, doubtful)[0]
    for reason in ("blank-image", "blank-image: a faint i", "a drawing so faint that nobody sees it"):
        table.write_bytes(to_text([blank._replace(reason=reason)]))
        assert "blank-image" not in findings(cldc, doubtful)[0]


def test_what_would_be_published_is_silent_only_by_name(cldc: Cldc, tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits", train=3)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    with Image.open(folder / "train/i/0.png") as image:
        image.save(folder / "train/i/0.png", exif=exif)
    correct, table = of(folder, "train/i/0.png", CORRECT), tmp_path / "decisions.csv"
    table.write_bytes(to_text([correct]))
    assert "image-metadata" in findings(cldc, folder)[0]
    table.write_bytes(to_text([correct._replace(reason="image-metadata")]))
    assert "image-metadata" not in findings(cldc, folder)[0]


def test_errors_are_never_silent_and_strict_counts_what_remains(cldc: Cldc, doubtful: Path) -> None:
    table = doubtful.parent / "decisions.csv"
    everything = [of(doubtful, path, CORRECT) for path in findings(cldc, doubtful)[0]["drawing-two-labels"]]
    cldc("validate", doubtful, "--strict", code=3)
    table.write_bytes(to_text([*everything, of(doubtful, "val/i/blank.png", CORRECT)]))
    cldc("validate", doubtful, "--strict", code=0)
    (doubtful / "val/i/broken.png").write_bytes(png(9)[:-20])
    table.write_bytes(to_text([*everything, of(doubtful, "val/i/broken.png", CORRECT)]))
    cldc("validate", doubtful, code=3)


def test_a_broken_table_is_an_error_that_names_the_line(cldc: Cldc, doubtful: Path) -> None:
    (doubtful.parent / "decisions.csv").write_text("path,action\ntrain/i/0.png,keep\n")
    assert "Line 2 of" in cldc("validate", doubtful, code=4).err
