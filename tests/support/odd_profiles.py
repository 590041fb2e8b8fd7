"""Profiles with values that people give, good and bad."""

from __future__ import annotations

import tomllib
from typing import Any

import tomli_w
from hypothesis import strategies as st

from cldc.competition import (
    DEFAULT,
    Competition,
    parse,
)
from cldc.errors import ConfigurationError
from cldc.resources import template

TEXT = template("competitions", f"{DEFAULT}.toml").read_text(encoding="utf-8")


def table() -> dict[str, Any]:
    return tomllib.loads(TEXT)


def with_value(profile: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at a dotted key."""
    *way, last = key.split(".")
    owner: Any = profile
    for step in way:
        owner = owner[int(step)] if step.isdecimal() else owner[step]
    owner[last] = value


# Every key with values that people give it, good and bad.
_WORDS = [
    "train.py",
    "data",
    "label_book",
    "a b",
    "-x",
    ".x",
    "x/y",
    "../x",
    "caf\u00e9",
    "",
    "test",
    "a" * 129,
]


_NAMES = (
    st.sampled_from(_WORDS)
    | st.text(max_size=4)
    | st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
)


_FOLDERS = st.lists(
    st.sampled_from(["a", "B", "ii", "\u00e9", "x y", "?", "train", ".x"]) | st.text(max_size=3),
    min_size=1,
    max_size=4,
)


_COMMANDS = st.lists(
    st.sampled_from(
        [
            "python",
            "python3 x.py",
            "{dataset}",
            "{label_book}",
            "{predictions}",
            "{{}}",
            "--seed",
            "3",
            "'",
            '"a b"',
            "\u00e9",
            "; true",
        ]
    ),
    max_size=5,
).map(" ".join)


_FILES = (
    st.sampled_from(
        ["predictions.json", "out/p.json", "p.csv", "stdout", "test/p.json", "../p.json", "a b.json"]
    )
    | _NAMES
)


_NUMBERS = st.integers(-1, 3) | st.integers() | st.sampled_from([16, 32, 10**6])


_DESCRIPTIONS = st.lists(
    st.sampled_from(["{name}", "({institution})", "{link}", "(", ")", "by", "{name!r}", "  "]), max_size=5
).map(" ".join)


MUTATIONS: dict[str, st.SearchStrategy[Any]] = {
    "title": st.text(max_size=5),
    "server": st.sampled_from(["https://codalab.example.org", "http://127.0.0.1:80", "http://x", "https://x:y"]),
    "dataset.splits": _FOLDERS,
    "dataset.classes": _FOLDERS,
    "dataset.extensions": st.lists(st.sampled_from([".png", ".jpg", ".gif", ".tif", "png"]), max_size=3),
    "dataset.max_images": _NUMBERS,
    "dataset.batch": _NUMBERS,
    "dataset.max_padded": _NUMBERS,
    "dataset.image_size": st.lists(st.integers(-1, 64), max_size=3),
    "quota.window_days": st.floats() | st.integers(-1, 40_000),
    "quota.per_window": _NUMBERS,
    "submission.tag": _NAMES,
    "submission.description": _DESCRIPTIONS,
    "bundles.worksheet.name": _NAMES,
    "bundles.script.name": _NAMES,
    "bundles.label_book.name": _NAMES,
    "run.name": _NAMES,
    "run.command": _COMMANDS,
    "run.image": st.sampled_from(["a", "a/b:c", "localhost:5000/a", "A/b", "a b", f"a@sha256:{'0' * 64}"]) | st.text(max_size=6),
    "run.predictions": _FILES,
    "training.checkpoint": _FILES,
    "training.seed_option": st.sampled_from(["--seed", "seed", "--s eed", "*", "{x}"]),
    "organiser.evaluate.name": _NAMES,
    "organiser.test_set.name": _NAMES,
    "organiser.evaluate_command": _COMMANDS,
    "organiser.score.path": st.sampled_from(["/a:b", "/a", "a:b", "/a/b:c/d", ":b"]),
    "organiser.window_seconds": _NUMBERS,
}  # fmt: skip


@st.composite
def odd_profiles(draw: st.DrawFn) -> Competition | None:
    """A profile with a few values that may be odd; None where it is refused."""
    profile = table()
    for key in draw(st.lists(st.sampled_from(sorted(MUTATIONS)), min_size=1, max_size=3, unique=True)):
        with_value(profile, key, draw(MUTATIONS[key]))
    try:
        return parse(tomli_w.dumps(profile), name="mine")
    except ConfigurationError:
        return None
