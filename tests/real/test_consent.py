"""What becomes public, spends quota or replaces something happens only after somebody agreed to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from tests.support.commands import Outcome
from tests.support.stage import Stage, assert_exactly_once, killed, odd
from tests.support.terminal import Terminal

pytestmark = pytest.mark.lasts(40)


def test_nothing_is_published_spent_or_removed_where_nobody_can_be_asked(
    stage: Stage, tmp_path: Path
) -> None:
    account, cldc, folder = stage.contestant(tmp_path)

    def on_a_terminal(*arguments: str, **env: str) -> Outcome:
        env = {**stage.settings(account), "CLDC_HOME": str(cldc.home), **env}
        code, shown = Terminal(*arguments, cwd=tmp_path, columns=300, **env).end()
        return Outcome(code, shown, shown)

    ways: tuple[Callable[..., Outcome], ...] = (
        lambda *arguments: cldc(*arguments, code=None),
        lambda *arguments: on_a_terminal(*arguments, "--no-input"),
        lambda *arguments: on_a_terminal(*arguments, CI="true"),
    )

    def refused(*arguments: str, stake: str) -> None:
        for way in ways:
            outcome = way(*arguments)
            assert outcome.code == 2, outcome
            assert stake in outcome.err
            assert "--yes" in outcome.err

    refused("submit", str(folder), stake=f"publish the 80 images of mine on {stage.address}")
    assert not any(stage.made(account).values())
    assert not (cldc.home / "preflights").exists()  # it is refused before minutes of training

    cldc("submit", folder, "--no-preflight", "--yes")
    # Where there is nothing left to agree to, nothing is asked.
    assert cldc("submit", folder, "--no-preflight", "--format", "json").data["again"]
    refused("withdraw", "mine", stake="remove the tag of mine")
    assert_exactly_once(stage, account)
    cldc("withdraw", "mine", "--yes")
    refused("clean", "--unfinished", stake="remove 3 bundles and 1 worksheet from")
    assert [len(found) for found in stage.made(account).values()] == [1, 1, 1, 0]


def test_a_changed_dataset_gets_a_name_of_its_own_and_keeps_it(stage: Stage, tmp_path: Path) -> None:
    """Killed anywhere, from another machine, without the ledger: the same images are the same submission."""
    account = stage.account()
    cldc = stage.person(tmp_path / "data", account)
    first, second = stage.folder(tmp_path / "a" / "mine"), stage.folder(tmp_path / "b" / "mine", 1)
    submit = ("--no-preflight", "--yes", "--format", "json")
    assert cldc("submit", first, *submit).data["name"] == "mine"

    moments = (
        "after cl new",
        "progress",
        "after cl run",
        "after cl make",
        "before finish tag",
    )
    for number, moment in enumerate(moments):
        assert killed(cldc, tmp_path / str(number), "submit", second, *submit, moment=moment), moment
        if number % 2 == 0:
            cldc = stage.person(tmp_path / f"data-{number}", account)
    done = cldc("submit", second, *submit)
    assert done.data["name"] == "mine-2"
    assert_exactly_once(stage, account, submissions=2)

    elsewhere = stage.person(tmp_path / "elsewhere", account)
    for folder, name in ((first, "mine"), (second, "mine-2")):
        again = elsewhere("submit", folder, *submit).data
        assert (again["name"], again["again"]) == (name, True)
    third = elsewhere("submit", stage.folder(tmp_path / "c" / "mine", 2), *submit)
    assert third.data["name"] == "mine-3"
    assert "mine is an earlier submission" in third.err
    # A name that somebody chose, in the project's file too, is that name.
    fixed = ("submit", stage.folder(tmp_path / "d" / "mine", 3), *submit)
    assert "replace mine (0x" in elsewhere(*fixed, code=12, CLDC_NAME="mine").err
    assert elsewhere(*fixed, "--supersede", CLDC_NAME="mine").data["name"] == "mine"
    assert_exactly_once(stage, account, submissions=4)


@pytest.mark.parametrize(("name", "code"), [("first", 12), ("mine", 0)])
def test_what_another_machine_submits_while_the_question_is_open_is_not_submitted_twice(
    stage: Stage, tmp_path: Path, name: str, code: int
) -> None:
    """Under another name the same images are refused before the upload; the same submission is found."""
    account, cldc, folder = stage.contestant(tmp_path)
    env = {**stage.settings(account), "CLDC_HOME": str(cldc.home)}
    asked = Terminal("submit", str(folder), "--no-preflight", cwd=tmp_path, columns=300, **env)
    asked.until("Publish mine")
    elsewhere = stage.person(tmp_path / "elsewhere", account)
    elsewhere("submit", folder, "--name", name, "--no-preflight", "--yes")
    asked.answer("[y/N]", "y")
    ended, shown = asked.end()
    assert ended == code, shown
    assert ("already submitted as 'first'" in shown) == bool(code), shown
    assert_exactly_once(stage, account)


def test_links_out_of_the_dataset_are_published_only_by_name_and_metadata_is_reported(
    stage: Stage, tmp_path: Path
) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    private = tmp_path / "private"
    (folder / "check" / "o").rename(private)
    (folder / "check" / "o").symlink_to(private, target_is_directory=True)
    count = len(list(private.iterdir()))
    (tmp_path / "loose").mkdir()
    for image in sorted((folder / "learn" / "z").iterdir())[:2]:
        image.symlink_to(image.rename(tmp_path / "loose" / image.name))
    position = Image.Exif()
    position[ExifTags.IFD.GPSInfo] = {
        ExifTags.GPS.GPSLatitudeRef: "N",
        ExifTags.GPS.GPSLatitude: (52.0, 30.0, 0.0),
    }
    photo = min((folder / "learn" / "x").iterdir())
    Image.open(photo).save(photo, exif=position)
    links = (
        f"check/o -> {private} ({count} images)",
        f"2 files in learn/z -> {tmp_path / 'loose'} (2 images)",
    )
    carried = "1 image carries metadata: a GPS position (1)"

    submit = ("submit", str(folder), "--no-preflight")
    refused = cldc(*submit, "--yes", code=12).err
    assert all(link in refused for link in links)
    assert "--include-link check/o --include-link learn/z" in refused
    one = cldc(*submit, "--yes", "--include-link", "check/o", code=12).err
    assert links[1] in one
    assert links[0] not in one
    plan = cldc(*submit, "--dry-run", "--format", "json", code=12).data
    assert plan["metadata"]["position"] == 1
    assert [check["subject"] for check in plan["checks"] if check["refusal"]] == ["links"]

    def at_a_terminal(*options: str) -> Terminal:
        env = {**stage.settings(account), "CLDC_HOME": str(cldc.home)}
        return Terminal(*submit, *options, cwd=tmp_path, columns=600, **env)

    declined = at_a_terminal("--yes")
    declined.answer(f"{', '.join(links)}. Publish what they lead to? [y/N]", "n")
    assert declined.end()[0] == 1
    assert not any(stage.made(account).values())
    agreed = at_a_terminal()
    agreed.answer(f"{', '.join(links)}. Publish what they lead to? [y/N]", "y")
    agreed.until(carried)
    agreed.answer("with the metadata of 1 image (submission 1 of", "n")
    assert agreed.end()[0] == 1
    assert not any(stage.made(account).values())

    # A path from the working folder names the same link.
    named = ("--include-link", str(folder / "check" / "o"), "--include-link", "learn/z")
    assert carried in cldc(*submit, "--yes", *named).err
    assert_exactly_once(stage, account)


def test_a_closed_competition_is_refused_by_the_servers_clock(stage: Stage, tmp_path: Path) -> None:
    account = stage.account()
    profile = stage.variant("closed", title='"Closed"\ncloses = 2021-09-04T23:59:59Z')
    cldc = stage.person(tmp_path / "data", account, profile=profile)
    folder = stage.folder(tmp_path / "mine")
    submit = ("submit", folder, "--yes", "--no-preflight")

    shown = cldc("submit", folder, "--dry-run", "--format", "json", code=12).data["checks"]
    assert [check["subject"] for check in shown if check["refusal"]] == ["closing date"]
    # A clock of ours that is behind opens nothing.
    behind = odd(cldc, "import time; time.time = lambda: 1.6e9", *submit)
    assert behind.returncode == 12, behind
    assert "Closed closed on 2021-09-0" in behind.stderr
    assert "--after-closing" in behind.stderr
    assert not any(stage.made(account).values())

    # What was still open when it was planned is not uploaded, and what was still open when it was uploaded gets no tag.
    early = "from datetime import datetime, UTC; from cldc.bundles.server_account import ServerClock; usual = ServerClock.__call__"
    planned = f"{early}; times = iter([datetime(2021, 9, 1, tzinfo=UTC)])"
    planned += "; ServerClock.__call__ = lambda clock: next(times, None) or usual(clock)"
    assert odd(cldc, planned, *submit).returncode == 12
    assert not any(stage.made(account).values())
    uploaded = f"{early}; from cldc.codalab import Cl; make = Cl.make"
    uploaded += "; ServerClock.__call__ = lambda clock: datetime(2021, 9, 1, tzinfo=UTC)"
    uploaded += "; Cl.make = lambda *a, **b: (make(*a, **b), setattr(ServerClock, '__call__', usual))[0]"
    assert odd(cldc, uploaded, *submit).returncode == 12
    assert [len(bundles) for bundles in stage.made(account).values()] == [1, 1, 1, 0]

    assert not cldc(*submit, "--after-closing", "--format", "json").data["again"]
    assert_exactly_once(stage, account)
    assert cldc(*submit, "--format", "json").data["again"]
