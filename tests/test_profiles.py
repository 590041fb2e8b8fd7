"""Profiles and settings: read strictly, refused clearly, each value from where it should come."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from cldc.competition import DEFAULT, builtin_profiles, load, parse
from cldc.errors import ConfigurationError
from cldc.resources import template
from cldc.settings import Options, resolve
from cldc.trust import Approvals

TEXT = template("competitions", f"{DEFAULT}.toml").read_text(encoding="utf-8")


def table() -> dict[str, Any]:
    return tomllib.loads(TEXT)


@pytest.mark.parametrize("name", builtin_profiles())
def test_the_profiles_that_ship_can_be_read(name: str) -> None:
    assert load(name).name == name


@pytest.mark.parametrize(
    ("train", "val", "fits"),
    [
        (8000, 2000, True), (9992, 8, True), (7999, 2000, True), (7992, 2001, True),
        (7993, 2001, False), (7999, 2001, False), (9999, 1, False), (8001, 2000, False),
    ],
)  # fmt: skip
def test_the_padded_count_is_the_scripts(train: int, val: int, fits: bool) -> None:
    rules = load().dataset
    assert (rules.padded((train, val)) <= rules.max_padded) == fits


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("per_window = 5\ntotal = 65\n\n[sub", "per_windw = 5\ntotal = 65\n\n[sub", "perhaps you meant 'per_window'"),
        ("[run]", "[runs]", "perhaps you meant 'run'"),
        ('tag = "mnist-roman"', "tag = 5", "a string in quotes"),
        ("max_images = 9999", "max_images = true", "a whole number"),
        ("batch = 8", "batch = 0", "above 0"),
        ('supersedes = "name"', 'supersedes = "team"', "'name' or 'account'"),
        ("0x57030e4a2d034af4b8efa38df4ff6af6", "0x57", "32 hex digits"),
        ("{dataset}", "{data}", "it must have {dataset}, {label_book}"),
        ("https://worksheets.codalab.org\"\ncloses", "worksheets\"\ncloses", "https://host"),
        ("title = ", "name = 'x'\ntitle = ", "set by the file's name"),
        ("title = ", "titel = ", "perhaps you meant 'title'"),
        ("[quota]", "[quota", "is no TOML"),
        ('"i", "ii"', '"i", "i"', "different folder names"),
        ("2021-09-04T23:59:59-07:00", "2021-09-04T23:59:59", "no time zone"),
    ],
)  # fmt: skip
def test_a_profile_with_a_slip_is_refused_by_name(old: str, new: str, told: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as refused:
        parse(TEXT.replace(old, new, 1), name="mine")
    assert told in refused.value.message
    assert "profile mine" in refused.value.message


values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=8), v, max_size=3), max_leaves=6)  # fmt: skip


@given(st.data())
def test_no_value_anywhere_makes_it_crash(data: st.DataObject) -> None:
    profile = table()
    owner = profile
    while True:
        key = data.draw(st.sampled_from(sorted(owner)))
        if not isinstance(owner[key], dict) or data.draw(st.booleans()):
            break
        owner = owner[key]
    value = data.draw(values.filter(lambda v: "None" not in repr(v)))
    owner[key] = value
    try:
        parse(tomli_w.dumps(profile), name="mine")
    except ConfigurationError as refused:
        assert refused.action


def test_a_mistyped_competition_gets_a_suggestion() -> None:
    with pytest.raises(ConfigurationError, match="perhaps you meant 'data-centric-2021'"):
        load("data-centric")


def test_settings_come_from_the_nearest_source_and_say_which(tmp_path: Path) -> None:
    user = tmp_path / "user.toml"
    user.write_text('institution = "user"\nlink = "https://user"\nname = "user"\n')
    project = tmp_path / "p"
    (project / "deep").mkdir(parents=True)
    (project / "cldc.toml").write_text('institution = "project"\nname = "project"\ndataset = "images"\n')
    settings = resolve(
        Options(server="sandbox"),
        folder=project / "deep",
        user_file=user,
        approvals=Approvals(tmp_path),
        environment={"CLDC_NAME": "env"},
    )
    assert settings.server == "sandbox"
    assert settings["name"] == "env"
    assert settings.values["name"].source == "CLDC_NAME"
    assert settings["institution"] == "project"
    assert settings.values["institution"].source == str(project / "cldc.toml")
    assert settings["link"] == "https://user"
    assert settings["dataset"] == str(project / "images")
    assert settings.competition.name == DEFAULT


def test_a_project_file_with_a_slip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cldc.toml").write_text('nam = "x"\n')
    with pytest.raises(ConfigurationError, match="perhaps you meant 'name'"):
        resolve(
            Options(),
            folder=tmp_path,
            user_file=tmp_path / "none",
            approvals=Approvals(tmp_path),
            environment={},
        )
