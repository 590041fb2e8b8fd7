"""Profiles and settings: read strictly, refused clearly, each value from where it should come."""

from __future__ import annotations

import copy
import dataclasses
import functools
import operator
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cldc import description
from cldc.competition import (
    DEFAULT,
    Competition,
    Reference,
    builtin_profiles,
    load,
    parse,
)
from cldc.credentials import Credentials
from cldc.errors import ConfigurationError
from cldc.organise.daemon_settings import configuration, references
from cldc.organise.model import OrganiserTarget
from cldc.organise.profile import to_toml, with_uuids
from cldc.preflight.inputs import builtin_script
from cldc.preflight.pipeline import seed
from cldc.remote.results import remote_command
from cldc.sample import draw as draw_sample
from cldc.settings import Options, resolve
from cldc.trust import Approvals
from cldc.validation import validate
from tests.support.commands import ROOT, Cldc
from tests.support.odd_profiles import (
    TEXT,
    odd_profiles,
    table,
    with_value,
)


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
    ("old", "new", "message"),
    [
        ("per_window = 5\ntotal = 65\n\n[sub", "per_windw = 5\ntotal = 65\n\n[sub", "perhaps you meant 'per_window'"),
        ("[run]", "[runs]", "perhaps you meant 'run'"),
        ('tag = "mnist-roman"', "tag = 5", "a string in quotes"),
        ("max_images = 9999", "max_images = true", "a whole number"),
        ("batch = 8", "batch = 0", "above 0"),
        ('supersedes = "name"', 'supersedes = "team"', "'name' or 'account'"),
        ("0x57030e4a2d034af4b8efa38df4ff6af6", "0x57", "32 hexadecimal digits"),
        ("{dataset}", "{data}", "it must have {dataset}, {label_book}"),
        ("https://worksheets.codalab.org\"\ncloses", "worksheets\"\ncloses", "https://host"),
        ("title = ", "name = 'x'\ntitle = ", "set by the file's name"),
        ("title = ", "titel = ", "perhaps you meant 'title'"),
        ("[quota]", "[quota", "is not valid TOML"),
        pytest.param("title = ", "deep = " + "[" * 9999, "nested too deeply", id="nested"),
        ('title = "', 'title = "\\u0000', "null character"),
        ('"i", "ii"', '"i", "i"', "different folder names"),
        ("2021-09-04T23:59:59-07:00", "2021-09-04T23:59:59", "no time zone"),
    ],
)  # fmt: skip
def test_a_profile_with_a_mistake_is_refused_by_name(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as refused:
        parse(TEXT.replace(old, new, 1), name="mine")
    assert message in refused.value.message
    assert "profile mine" in refused.value.message


def test_a_byte_order_mark_is_not_part_of_a_profile(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(TEXT, encoding="utf-8-sig")
    assert load(str(tmp_path / "mine.toml")).title == load().title


SLIPS: list[tuple[str, Any, str]] = [
    ("title", " ", "one line of text"),
    ("title", "a\nb", "one line of text"),
    ("server", "http://codalab.example.org", "https://host"),
    ("server", "https://me:secret@host", "https://host"),
    ("server", "https://host/worksheets", "https://host"),
    ("guide", "file:///etc/passwd", "web address"),
    ("form", "-private-window", "web address"),
    ("leaderboard", "http://example.org/leaderboard.json", "web address"),
    ("closes", "tomorrow", "a date and time"),
    ("dataset.splits", ["train"], "folder names"),
    ("dataset.classes", ["i", "../x"], "folder names"),
    ("dataset.classes", ["i", ""], "folder names"),
    ("dataset.classes", ["i", ".hidden"], "folder names"),
    ("dataset.classes", [], "folder names"),
    ("dataset.extensions", [], "TensorFlow can read"),
    ("dataset.extensions", ["png"], "TensorFlow can read"),
    ("dataset.extensions", [".PNG"], "TensorFlow can read"),
    ("dataset.extensions", [".webp"], "TensorFlow can read"),
    ("dataset.image_size", [32], "height and width"),
    ("dataset.image_size", [0, 32], "height and width"),
    ("dataset.max_images", 19, "20 images are needed"),
    ("dataset.max_padded", 31, "32 images in whole batches of 8"),
    ("quota.per_window", 0, "above 0"),
    ("quota.total", -1, "above 0"),
    ("quota.window_days", float("nan"), "above 0"),
    ("quota.window_days", float("inf"), "above 0"),
    ("quota.window_days", 1e9, "at most 36,500"),
    ("submission.tag", "two words", "letters, digits"),
    ("submission.tag", "a,b", "letters, digits"),
    ("submission.tag", "-x", "letters, digits"),
    ("submission.tag", "", "letters, digits"),
    ("submission.description", "{name} {institution} {link}", "would not read it back"),
    ("submission.description", "{name} ({institution}) ({link})", "would not read it back"),
    ("submission.description", "v1 {name} ({institution}) {link}", "would not read it back"),
    ("submission.description", "{name} ({institution}) {link} {name!r}", "it must have"),
    ("submission.description", "{name.__class__} ({institution}) {link}", "it must have"),
    ("submission.description", "{name} ({institution}) {link} }", "it must have"),
    ("submission.description", "{name} ({institution}) {link} \u00e9", "plain ASCII"),
    ("bundles.script.name", "my script.py", "CodaLab's names"),
    ("bundles.label_book.name", "train.py", "has that name already"),
    ("bundles.label_book.name", "val", "a split of the dataset"),
    ("bundles.worksheet.uuid", "0x7a87", "32 hexadecimal digits"),
    ("run.name", "run train", "CodaLab's names"),
    ("run.command", "python train.py {dataset}", "it must have {dataset}, {label_book}"),
    ("run.command", "python train.py {dataset} {label_book} {more}", "it must have"),
    ("run.command", "python train.py {dataset} {label_book} '", "quotes are closed"),
    ("run.command", "python tr\u00e4in.py {dataset} {label_book}", "plain ASCII"),
    ("run.command", "python train.py {dataset} {label_book} --seed now", "expected a whole number after --seed"),
    ("run.image", "Jupyter/Notebook", "container image"),
    ("run.image", "python 3.8", "container image"),
    ("run.predictions", "predictions.csv", "a JSON file"),
    ("run.predictions", "../predictions.json", "a JSON file"),
    ("run.predictions", "/predictions.json", "a JSON file"),
    ("run.predictions", "label_book/predictions.json", "a JSON file"),
    ("run.predictions", "test/predictions.json", "uses this name for something else"),
    ("training.builtin", "../x.py", "profile's folder"),
    ("training.checkpoint", "best*", "such as best_model"),
    ("training.seed_option", "--seed 3", "such as --seed"),
    ("training.tensorflow", [], "at least one version"),
    ("training.tensorflow.0.version", "2.4.0", "cldc can install 2.21.0, 2.4.1"),
    ("training.tensorflow.0.version", "x/../2.4.1", "cldc can install"),
    ("training.tensorflow.0.python", "python3.8", "a Python version such as 3.8"),
    ("organiser.log_worksheet.name", "data-centric-utils", "bundles.worksheet has this one"),
    ("organiser.evaluate.name", "test_set", "has that name already"),
    ("organiser.evaluate_command", "python evaluate.py", "it must have {predictions}"),
    ("organiser.score.name", "", "one line of text"),
    ("organiser.score.path", "/result.json", "such as /result.json:accuracy"),
    ("organiser.score.path", "result.json:accuracy", "such as /result.json:accuracy"),
    ("organiser.window_seconds", 0, "above 0"),
    ("organiser.per_window", 0, "above 0"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), SLIPS)
def test_a_profile_that_must_fail_later_is_refused_with_key_value_and_what_was_expected(
    key: str, value: Any, expected: str
) -> None:
    profile = table()
    with_value(profile, key, value)
    with pytest.raises(ConfigurationError) as refused:
        parse(tomli_w.dumps(profile), name="mine")
    message = refused.value.message.replace("[0]", ".0")
    assert key in message
    assert expected in message
    assert repr(value) in message


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "a\\b", " ", ""])
def test_a_profiles_own_name_is_that_of_a_folder(name: str) -> None:
    with pytest.raises(ConfigurationError, match="the name of a folder"):
        parse(TEXT, name=name)


accepted = odd_profiles().filter(lambda competition: competition is not None)


@settings(
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None, max_examples=50
)
@given(
    competition=accepted,
    name=st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    data=st.data(),
)
def test_what_is_made_from_any_profile_that_is_read_is_sound(
    competition: Competition, name: str, data: st.DataObject
) -> None:
    assert parse(to_toml(competition), name="mine") == competition

    said = {
        "institution": data.draw(st.sampled_from(["", "Some Lab"])),
        "link": data.draw(st.sampled_from(["", "https://example.org/a"])),
    }
    written = description.compose(competition.submission.description, name=name, **said)
    assert description.read(written) == description.Reading(name, **said)

    command = remote_command(competition, dataset=name)
    assert command.isascii()
    assert shlex.split(command)
    published = with_uuids(competition, dict.fromkeys(references(competition), ""))
    where = OrganiserTarget(competition.server, Credentials("ann", "", "test"), Path(), sandbox=False)
    config = configuration(where, published)
    dependencies = config["evaluate"]["dependencies"]
    assert len({entry["child_path"].partition("/")[0] for entry in dependencies}) == len(dependencies) == 3
    assert datetime.now(UTC) - competition.quota.window
    if competition.training.seed_option:
        builtin = builtin_script(load())
        assert seed(builtin, competition) is not None
        other_seeds_of = competition.run.command + f" {competition.training.seed_option} 5"
        assert shlex.split(other_seeds_of)[-1] == "5"


@settings(
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], deadline=None, max_examples=25
)
@given(accepted)
def test_any_profile_that_is_read_has_a_dataset_that_is_valid(
    tmp_path_factory: pytest.TempPathFactory, competition: Competition
) -> None:
    rules = competition.dataset
    assume(".png" in rules.extensions)
    assume(len(rules.splits) * len(rules.classes) <= 40)
    folder = draw_sample(
        tmp_path_factory.mktemp("drawn") / "data", competition, images=len(rules.splits) * len(rules.classes)
    )
    report = validate(folder, competition)
    assert report.ok, report


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


def test_a_profile_of_0_1_0_means_what_it_meant() -> None:
    old = load(str(ROOT / "tests" / "data" / "profile-0.1.0.toml"))
    assert old.dataset.classes[8:] == ("ix", "x")
    assert old.training.tensorflow[0].version == "2.4.1"
    assert dataclasses.replace(load(), name=old.name, folder=old.folder) == old


def write_chain(folder: Path, **profiles: str) -> Path:
    """Profiles in a folder; returns the path of the first."""
    for name, text in profiles.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(profiles))}.toml"


def test_a_profile_combines_what_it_extends_with_its_differences(tmp_path: Path) -> None:
    mine = load(
        str(
            write_chain(
                tmp_path,
                mine='extends = "class.toml"\nunset = ["organiser", "bundles.starting_dataset"]\n[quota]\ntotal = 7\n',
                **{
                    "class": 'extends = "demo"\ntitle = "Winter"\n[bundles]\nscript = { name = "other.py" }\n'
                },
            )
        )
    )
    demo = load("demo")
    assert (mine.title, mine.quota) == ("Winter", dataclasses.replace(demo.quota, total=7))
    # A bundle is another one as a whole: no uuid is inherited by another name.
    assert mine.bundles.script == Reference("other.py")
    assert mine.bundles.label_book == demo.bundles.label_book
    assert (mine.organiser, mine.bundles.starting_dataset) == (None, None)
    assert mine.training == demo.training
    assert parse(to_toml(mine), name="mine", folder=tmp_path) == mine


@pytest.mark.parametrize(
    ("own", "base", "message"),
    [
        ('extends = "demos"', "", "'extends' is 'demos'; expected one of data-centric-2021, demo"),
        ('extends = "../x.toml"', "", "in the same folder"),
        ("extends = 5", "", "'extends' is 5; expected a string in quotes"),
        ('extend = "demo"', "", "perhaps you meant 'extends'"),
        ('unset = ["closes"]', "", "stands without 'extends'"),
        ('extends = "demo"\nunset = ["closes"]', "", "'unset' names 'closes', which demo does not set"),
        ('extends = "demo"\nunset = ["grace_minutes"]', "", "'unset' names 'grace_minutes', which demo does not set"),
        ('extends = "demo"\nunset = ["title.x"]', "", "'unset' names 'title.x', which demo does not set"),
        ('extends = "demo"\nunset = ["quota.total"]', "", "'quota.total' is missing"),
        ('extends = "demo"\nunset = "closes"', "", "'unset' is 'closes'; expected a list"),
        ('extends = "demo"\nquota = 5', "", "'quota' is 5; expected a table"),
        ('extends = "mine.toml"', "", "these profiles extend each other"),
        ('extends = "base.toml"', 'extends = "mine.toml"', "base.toml can't be used: 'extends' is 'mine.toml'; these profiles extend each other"),
        ('extends = "base.toml"', 'extends = "demo"\ntitel = "x"', "base.toml can't be used: unknown key 'titel'"),
        ('extends = "base.toml"', "title =", "base.toml is not valid TOML"),
    ],
)  # fmt: skip
def test_a_profile_with_an_invalid_extends_is_refused(
    tmp_path: Path, own: str, base: str, message: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        load(str(write_chain(tmp_path, mine=own, base=base)))
    assert message in refused.value.message
    assert refused.value.action


# Keys with a default, with the value that a base sets; the default itself for two of them.
_OPTIONAL: dict[str, Any] = {
    "closes": datetime(2027, 2, 1, tzinfo=UTC),
    "grace_minutes": 0,
    "guide": "https://codalab.example.org/guide",
    "submission.usual_wait": "a day",
    "bundles.script.uuid": "0x" + "1" * 32,
    "bundles.starting_dataset": {"name": "start"},
    "training.seed_option": "--seed",
    "organiser.grade": "best",
}


def without(profile: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """A copy of a profile without these dotted keys."""
    left = copy.deepcopy(profile)
    for key in keys:
        *way, last = key.split(".")
        functools.reduce(operator.getitem, way, left).pop(last, None)
    return left


@settings(deadline=None)
@given(in_base=st.sets(st.sampled_from([*_OPTIONAL])), unset=st.sets(st.sampled_from([*_OPTIONAL])))
def test_unset_takes_exactly_the_keys_that_the_extended_profile_sets(
    tmp_path_factory: pytest.TempPathFactory, in_base: set[str], unset: set[str]
) -> None:
    base = without(table(), _OPTIONAL)
    for key in in_base:
        with_value(base, key, _OPTIONAL[key])
    path = write_chain(
        tmp_path_factory.mktemp("profiles"),
        mine=tomli_w.dumps({"extends": "middle.toml", "unset": sorted(unset)}),
        middle='extends = "base.toml"',
        base=tomli_w.dumps(base),
    )
    if not_set := unset - in_base:
        with pytest.raises(ConfigurationError, match=f"{min(not_set)!r}, which middle.toml does not set"):
            load(str(path))
    else:
        mine = load(str(path))
        assert mine.table() == parse(tomli_w.dumps(without(base, unset)), name="mine").table()


def test_a_chain_of_profiles_has_an_end(tmp_path: Path) -> None:
    chain = {f"p{n}": f'extends = "p{n + 1}.toml"' for n in range(5)}
    with pytest.raises(
        ConfigurationError, match=r"p0\.toml can't be used: it extends a chain of more than 5"
    ):
        load(str(write_chain(tmp_path, **chain, p5='extends = "demo"')))
    assert load(str(tmp_path / "p3.toml")).training.epochs == load("demo").training.epochs


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


def test_a_project_file_with_a_mistake_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cldc.toml").write_text('nam = "x"\n')
    with pytest.raises(ConfigurationError, match="perhaps you meant 'name'"):
        resolve(
            Options(),
            folder=tmp_path,
            user_file=tmp_path / "none",
            approvals=Approvals(tmp_path),
            environment={},
        )


def test_a_wrong_value_of_a_project_file_names_the_line(bare_cldc: Cldc, tmp_path: Path) -> None:
    project = tmp_path / "cldc.toml"
    project.write_text('# mine\ncompetition = "data-centric-2022"\n', encoding="utf-8")
    output = bare_cldc("quota", cwd=tmp_path, code=4).err
    assert "no competition 'data-centric-2022': perhaps you meant 'data-centric-2021'" in output
    assert f"line 2 of {project}" in output
    project.write_text('\n\nserver = "codalab"\n', encoding="utf-8")
    bare_cldc("trust", "--yes", cwd=tmp_path)
    assert f"line 3 of {project}" in bare_cldc("quota", cwd=tmp_path, code=4).err
    output = bare_cldc("quota", cwd=tmp_path, code=4, CLDC_SERVER="no/host").err
    assert "It is set in CLDC_SERVER." in output
    assert "set in" not in bare_cldc("quota", "--server", "no/host", cwd=tmp_path, code=4).err


@pytest.mark.parametrize("name", ["competition", "server"])
def test_an_empty_value_is_no_default(bare_cldc: Cldc, tmp_path: Path, name: str) -> None:
    refused = bare_cldc("quota", f"--{name}", "", cwd=tmp_path, code=4).err
    assert f"{name} ''" in refused
    (tmp_path / "cldc.toml").write_text(f'{name} = ""\n', encoding="utf-8")
    assert f"cldc.toml can't be used: '{name}' is empty" in bare_cldc("quota", cwd=tmp_path, code=4).err


def test_a_misspelled_sandbox_is_recognized(bare_cldc: Cldc) -> None:
    output = bare_cldc("quota", "--server", "sandboxx", code=4).err
    assert "Write it as sandbox, or as https://sandboxx, without a path." in output
    assert "sandbox, or" not in bare_cldc("quota", "--server", "codalab", code=4).err
