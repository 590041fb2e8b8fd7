"""An organiser's profile: what `cldc organise init` writes, pins, tells the built-in script and keeps."""

from __future__ import annotations

import re
import shlex
import tomllib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc import competition
from cldc.errors import ConfigurationError
from cldc.leaderboard import Leaderboard, Row
from cldc.organise.daemon_settings import uuids_of
from cldc.organise.image_probe import ImageProbe, pinned
from cldc.organise.profile import (
    ProfileOverrides,
    begin,
    draft,
    to_toml,
    with_uuids,
)
from cldc.organise.profile import write as write_profile
from cldc.organise.scripts import (
    require_replaceable_copy,
    with_builtin_options,
    with_own_script,
    without_builtin_options,
)
from cldc.render.board import board_page
from cldc.render.html import render_page


def test_a_profile_keeps_the_rules_and_nothing_of_the_organisers(tmp_path: Path) -> None:
    base = competition.load()
    path = tmp_path / "winter.toml"
    overrides = ProfileOverrides(title="Winter", per_window=3, window_days=1.5)
    made = draft(begin(base, path), overrides, server="https://codalab.example.org")
    assert (made.dataset, made.run, made.training) == (base.dataset, base.run, base.training)
    assert (made.closes, made.form, made.guide, made.submission.usual_wait) == (None, None, None, None)
    assert not re.search(r"0x[0-9a-f]{32}|mnist|codalab\.org", to_toml(made))
    side = made.organiser
    assert side is not None
    assert (side.per_window, side.window_seconds, side.total) == (3, 129_600, base.quota.total)
    with pytest.raises(ConfigurationError, match="no uuid"):
        uuids_of(made)

    keys = ("utils", "log", "script", "label_book", "test_set", "evaluate", "data")
    uuids = {key: f"0x{number:032x}" for number, key in enumerate(keys)}
    known = with_uuids(made, uuids)
    assert write_profile(known, path)
    assert not write_profile(known, path)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert not write_profile(known, path)
    assert competition.load(str(path)) == known
    assert set(uuids_of(known).values()) <= set(uuids.values())
    moved = draft(known, ProfileOverrides(tag="other"), server="https://elsewhere.example.org")
    assert moved == replace(made, server=moved.server, submission=moved.submission)
    with pytest.raises(ConfigurationError, match="worksheets are named after it"):
        begin(base, tmp_path / "my class.toml")


def test_a_profile_that_extends_another_keeps_saying_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "winter.toml"
    path.write_text(
        'extends = "data-centric-2021"\nunset = ["closes", "submission.usual_wait"]\n'
        'title = "Winter"\n[quota]\nper_window = 3\n',
        encoding="utf-8",
    )
    before = competition.load(str(path))
    changed = draft(before, ProfileOverrides(epochs=7, total=40), server="https://codalab.example.org")
    assert write_profile(changed, path)
    assert competition.load(str(path)) == changed
    said = tomllib.loads(path.read_text(encoding="utf-8"))
    assert said["extends"] == "data-centric-2021"
    assert said["quota"] == {"per_window": 3, "total": 40}
    assert said["training"] == {"epochs": 7}
    assert {"closes", "submission.usual_wait"} <= set(said["unset"])
    assert not said.keys() & {"dataset", "run"}
    assert not write_profile(changed, path)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=60))
def test_no_description_becomes_more_than_text_on_the_page(name: str, institution: str, link: str) -> None:
    hostile, harmless = (page_of(*parts) for parts in ((name, institution, link), ("x", "y", "")))
    assert set(re.findall(r"<([a-z0-9]+)", hostile)) == set(re.findall(r"<([a-z0-9]+)", harmless))
    addresses = re.findall(r'href="([^"]*)"', hostile)
    assert all(
        address.startswith(("http://", "https://", "#", "?", "leaderboard.json")) for address in addresses
    )


def page_of(name: str, institution: str, link: str) -> str:
    """The body of a page with these on it, as themselves and where the board's own pattern leaves them."""
    rows = (row(1, "a", name or "x", institution, link), row(2, "a", "y", institution or "z", f"http{link}"))
    board = Leaderboard("winter", "accuracy", datetime.now(UTC), rows)
    html = render_page(board_page(board, title=name))
    return html.partition("</head>")[2]


def row(rank: int, account: str, name: str, institution: str, link: str) -> Row:
    now = datetime.now(UTC)
    return Row(rank, name, institution, link, account, 0.5, "ready", "0x" + "1" * 32, now, mine=False)


@pytest.mark.parametrize(
    ("image", "ran_in", "same"),
    [
        ("jupyter/tensorflow-notebook", "jupyter/tensorflow-notebook@sha256:", True),
        ("jupyter/tensorflow-notebook:latest", "jupyter/tensorflow-notebook@sha256:", True),
        ("docker.io/library/python:3.8", "python@sha256:", True),
        ("localhost:5000/class", "localhost:5000/class@sha256:", True),
        ("ghcr.io/a/b:1", "mirror/a/b@sha256:", False),
        ("python:3.8", "python:3.8", False),
        ("python:3.8", "", False),
        ("python:3.8", None, False),
    ],
)
def test_an_image_is_pinned_only_by_a_digest_of_its_own(image: str, ran_in: str | None, same: bool) -> None:
    reported = f"{ran_in}{'7' * 64}" if ran_in and ran_in.endswith(":") else ran_in
    assert pinned(image, reported) == (reported if same else None)


def test_a_tensorflow_other_than_the_preflights_is_reported() -> None:
    rules = competition.load()
    fixed = replace(rules, run=replace(rules.run, image=f"a@sha256:{'0' * 64}"))
    assert ImageProbe(fixed.run.image, "2.4.1").remarks(fixed) == ()
    (remark,) = ImageProbe(fixed.run.image, "2.16.1").remarks(fixed)
    assert "Runs train in TensorFlow 2.16.1, preflights in 2.4.1" in remark
    assert "no run ended" in ImageProbe(problem="no run ended").remarks(rules)[0]


def test_the_built_in_script_gets_the_class_s_own_classes_size_and_epochs(tmp_path: Path) -> None:
    base = competition.load()
    assert with_builtin_options(base) == base
    demo = competition.load("demo")
    assert with_builtin_options(demo) == demo

    start = begin(demo, tmp_path / "shapes.toml")
    overrides = ProfileOverrides(
        classes=("circle", "stop sign"), image_size=(64, 48), splits=("learn", "check")
    )
    made = with_builtin_options(draft(start, overrides, server="https://codalab.example.org"), epochs=3)
    words = shlex.split(made.run.command)
    assert words[2:] == [
        *("{dataset}", "{label_book}", "--classes=circle,stop sign", "--splits=learn,check"),
        *("--image-size=64,48", "--epochs", "3"),
    ]
    assert made.training.epochs == 3
    # What has no option of `init` is changed in the profile.
    small = replace(made, dataset=replace(made.dataset, batch=4, max_padded=400))
    assert shlex.split(with_builtin_options(small).run.command)[-4:] == [
        *("--batch=4", "--most-images=400", "--epochs", "3")
    ]
    assert without_builtin_options(with_builtin_options(small).run.command) == base.run.command
    # Told anew and not twice; what was changed by hand counts.
    changed = replace(made, run=replace(made.run, command=f"{made.run.command}1 --seed 5"))
    again = with_builtin_options(changed)
    assert again.training.epochs == 31
    assert sorted(shlex.split(again.run.command)) == sorted([*words[:-1], "31", "--seed", "5"])
    assert without_builtin_options(made.run.command) == "python train.py {dataset} {label_book}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (ProfileOverrides(classes=("caf\u00e9", "tea")), "the folder name 'caf\u00e9'"),
        (ProfileOverrides(classes=("a,b", "c")), "the folder name 'a,b'"),
        (ProfileOverrides(classes=("-x", "{y}")), "the folder name '-x'"),
        (ProfileOverrides(image_size=(16, 64)), "16 x 64"),
    ],
)
def test_settings_that_the_built_in_script_cannot_take_are_refused(
    tmp_path: Path, overrides: ProfileOverrides, message: str
) -> None:
    start = begin(competition.load("demo"), tmp_path / "shapes.toml")
    drafted = draft(start, overrides, server="https://codalab.example.org")
    with pytest.raises(ConfigurationError) as refused:
        with_builtin_options(drafted)
    assert message in refused.value.message
    assert "--script" in refused.value.action


def test_nothing_of_the_built_in_script_is_claimed_of_a_class_s_own(tmp_path: Path) -> None:
    base = begin(competition.load("demo"), tmp_path / "shapes.toml")
    elsewhere = tmp_path / "elsewhere" / "train.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text("print()")
    made = with_own_script(base, elsewhere, tmp_path / "shapes.toml", tmp_path, new=True)
    assert (tmp_path / "shapes.py").read_text() == "print()"
    assert (made.training.builtin, made.training.checkpoint, made.training.seed_option) == (
        "shapes.py",
        None,
        None,
    )
    # One that is called as ours is, too.
    beside = tmp_path / "train.py"
    beside.write_text("print()")
    made = with_own_script(base, beside, tmp_path / "shapes.toml", tmp_path, new=True)
    assert (made.training.builtin, made.training.checkpoint) == ("train.py", None)
    known = replace(made, training=replace(made.training, checkpoint="weights", seed_option="-s"))
    assert with_own_script(known, beside, tmp_path / "shapes.toml", tmp_path, new=False) == known


def test_a_script_beside_the_profile_is_replaced_only_by_a_newer_one_of_what_it_is_a_copy_of(
    tmp_path: Path,
) -> None:
    profile, kept, script = tmp_path / "class" / "shapes.toml", tmp_path / "kept", tmp_path / "train.py"
    kept.mkdir()
    script.write_text("print(1)")
    copy = profile.with_suffix(".py")
    base = begin(competition.load("demo"), profile)
    require_replaceable_copy(script, profile, kept)
    with_own_script(base, script, profile, kept, new=True)
    script.write_text("print(2)")
    require_replaceable_copy(script, profile, kept)
    copy.write_text("print('by hand')")
    with pytest.raises(ConfigurationError, match=r"shapes\.py differs from .*train\.py") as refused:
        require_replaceable_copy(script, profile, kept)
    assert f"--script {copy}" in refused.value.action
    require_replaceable_copy(copy, profile, kept)
    # One that was there before the competition is nobody's to replace either.
    with pytest.raises(ConfigurationError):
        require_replaceable_copy(script, profile, tmp_path / "another competition's")
