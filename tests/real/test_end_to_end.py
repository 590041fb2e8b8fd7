"""The whole way, through the command line, against a real CodaLab, a real TensorFlow and the real daemon."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import pytest

from cldc import sandbox
from cldc.codalab import CodaLab
from cldc.credentials import Credentials
from cldc.environments import ensure_codalab, pythons
from cldc.preflight.result_store import read_predictions
from tests.support.commands import SHAPES_PROFILE, Cldc, cldc_in
from tests.support.terminal import Terminal

ALLOWED = 2
# The rehearsal that ships, but for a quota that is spent after as many submissions as the other profile's.
DEMO = f"""
extends = "demo"
title = "A rehearsal with few submissions"
[quota]
per_window = {ALLOWED}
"""


@pytest.mark.lasts(130)
@pytest.mark.parametrize(
    ("competition", "images", "codalab_python"),
    [
        pytest.param("demo", 60, "3.9", id="demo"),
        pytest.param("shapes", 80, "3.12", id="shapes, CodaLab on 3.12"),
    ],
)
def test_from_a_folder_to_the_board_and_to_the_end_of_the_quota(
    cldc: Cldc, tmp_path: Path, *, competition: str, images: int, codalab_python: str
) -> None:
    if pythons.find(codalab_python, cldc.home) is None:
        pytest.skip(f"there is no Python {codalab_python} on this machine for CodaLab")
    profile = SHAPES_PROFILE
    if competition == "demo":
        profile = tmp_path / "few.toml"
        profile.write_text(DEMO, encoding="utf-8")
    variables = {
        "CLDC_COMPETITION": str(profile),
        "CLDC_SERVER": "sandbox",
        "CLDC_CODALAB_PYTHON": codalab_python,
    }
    cldc = Cldc(cldc.home, variables, anew=True)
    up = cldc("sandbox", "up", "--format", "json").data
    assert up["running"]
    assert up["address"].startswith("http://127.0.0.1:")
    assert cldc("sandbox", "up", "--format", "json").data["pid"] == up["pid"]
    assert "Signed in" in cldc("login").out
    assert cldc("whoami", "--format", "json").data["server"] == up["address"]

    folder = tmp_path / "mine"
    cldc("sample", folder, "--images", str(images))
    assert cldc("validate", folder, "--format", "json").data["ok"]
    trained = cldc("preflight", folder, "--format", "json").data
    assert 0 <= trained["validation"]["accuracy"] <= 1
    again = cldc("preflight", folder, "--format", "json").data
    assert again["recorded"]
    assert again["fingerprint"] == trained["fingerprint"]

    plan = cldc("submit", folder, "--institution", "Some Lab", "--dry-run", "--format", "json").data
    assert not any(check["refusal"] for check in plan["checks"])
    first = submit(cldc, folder, "--institution", "Some Lab", "--link", "https://example.org/x")
    assert first["description"] == "mine (Some Lab) https://example.org/x"
    assert not first["again"]
    repeated = submit(cldc, folder, "--institution", "Some Lab", "--link", "https://example.org/x")
    assert repeated["again"]
    assert repeated["bundle"] == first["bundle"]
    assert repeated["quota"]["left"] == ALLOWED - 1

    cldc("sandbox", "score")
    board = cldc("leaderboard", "--format", "json").data
    (row,) = board["rows"]
    assert (row["rank"], row["name"], row["institution"]) == (1, "mine", "Some Lab")
    assert row["link"] == "https://example.org/x"
    assert row["mine"]
    assert row["submission"] == first["bundle"]
    assert 0 <= row["score"] <= 1
    (seen,) = board["history"]
    assert (seen["bundle"], seen["rank"], seen["score"]) == (first["bundle"], 1, row["score"])
    assert "1 of 1" in cldc("leaderboard", "--history").out
    (status,) = cldc("watch", "--format", "json").data["submissions"]
    assert (status["stage"], status["score"]) == ("scored", row["score"])
    shown_in_history(cldc, trained, row["score"])

    if codalab_python == "3.9":
        there = cldc("preflight", folder, "--remote", "--format", "json").data
        for same in ("validation", "label_book", "predictions", "best_epoch", "images"):
            assert there[same] == trained[same]
        newest = [e for e in cldc("history", "--format", "json").data["entries"] if e["kind"] == "preflight"][
            -1
        ]
        saved = read_predictions(cldc.home, newest["id"])
        assert saved.known == (competition == "demo")  # whose profile names the weights
        assert there["probe"]["build"].startswith(f"TensorFlow {trained['fingerprint']['tensorflow']} (")

    # A score is replaced by nobody who did not say so: not with --yes, not by a script, not by a "no".
    better, counting = (
        changed(folder, 50),
        f"mine ({first['bundle']}), which has the score {row['score']:.4f} and rank 1",
    )
    again = ("submit", better, "--name", "mine", "--no-preflight")
    assert f"replace {counting}" in cldc(*again, "--yes", code=12).err
    declined = on_a_terminal(cldc, *again, "--yes")
    declined.answer(f"Replace {counting}? [y/N]", "n")
    assert declined.end()[0] == 1
    assert cldc("quota", "--format", "json").data["left"] == ALLOWED - 1
    plan = cldc("submit", better, "--dry-run", "--format", "json", code=None).data
    assert [entry["rank"] for entry in plan["replaces"]] == ([1] if competition == "shapes" else [])

    if competition == "shapes":  # its quota has a window and a total
        spend_the_quota(cldc, folder, first, again)

    cldc("sandbox", "down")
    assert not cldc("sandbox", "status", "--format", "json").data["running"]
    assert "not up" in cldc("quota", code=13).err


def spend_the_quota(cldc: Cldc, folder: Path, first: Any, again: tuple[str | Path, ...]) -> None:
    """Submit until nothing is left, and withdraw what the daemon has evaluated and what it could not see."""
    refused = cldc("submit", folder, "--name", "other", "--no-preflight", "--format", "json", code=12)
    assert refused.data["error"]["message"].startswith("This dataset was already submitted as 'mine'")
    for number in range(2, ALLOWED + 1):
        submit(cldc, changed(folder, number), "--name", f"try-{number}", "--no-preflight", "--supersede")
    spent = cldc("quota", "--format", "json").data
    assert (spent["left"], len(spent["spent"])) == (0, ALLOWED)
    assert {each["source"] for each in spent["spent"]} == {"both"}
    late = cldc("submit", changed(folder, 99), "--name", "late", "--no-preflight", code=8)
    assert "next one is available on" in late.err

    # The server still knows what the ledger forgets.
    kept = (cldc.home / "ledger.sqlite3").rename(folder.with_name("ledger.sqlite3"))
    assert cldc("quota", "--format", "json").data["left"] == 0
    kept.replace(cldc.home / "ledger.sqlite3")

    # The daemon counts what it has evaluated, whether it still carries the tag or not, and nothing else.
    scored = cldc("withdraw", "mine", "--yes", "--format", "json").data
    assert (scored["spent"], scored["quota"]["left"]) == (True, 0)
    assert "evaluate" in scored["why"]
    # The daemon skips what it can't see, as the next board shows.
    last = next(each["uuid"] for each in spent["spent"] if each["name"] == f"try-{ALLOWED}")
    hide(cldc, last)
    cldc("sandbox", "score")
    passed_over = cldc("withdraw", f"try-{ALLOWED}", "--yes", "--format", "json").data
    assert (passed_over["spent"], passed_over["quota"]["left"]) == (False, 1), passed_over["why"]
    assert "is newer than its tag and does not have it" in passed_over["why"]
    # Without its tag the scored one is on the board, and a new one of its name would take it off.
    assert f"replace mine ({first['bundle']}), which has the score" in cldc(*again, "--yes", code=12).err
    cldc("sandbox", "score")
    board = cldc("leaderboard", "--format", "json").data
    assert {row["submission"] for row in board["rows"]} >= {first["bundle"]}
    assert last not in {row["submission"] for row in board["rows"]}
    submit(cldc, folder.with_name("mine-99"), "--name", "late", "--no-preflight", "--supersede")
    assert cldc("quota", "--format", "json").data["left"] == 0


def on_a_terminal(cldc: Cldc, *arguments: str | Path) -> Terminal:
    env = {**cldc.extra, "CLDC_HOME": str(cldc.home)}
    return Terminal(*map(str, arguments), cwd=cldc.home, columns=400, **env)


def hide(cldc: Cldc, bundle: str) -> None:
    """Make a bundle of the sandbox's contestant private."""
    account = sandbox.contestant(cldc.home)
    assert account is not None
    secret = Credentials(account.name, account.password, "environment")
    python = ensure_codalab(cldc.home).python
    with CodaLab(sandbox.require_up(cldc.home).address, secret, python=lambda: python) as codalab:
        codalab.rest.share("bundle", bundle, public=False)


def shown_in_history(cldc: Cldc, trained: Any, score: float) -> None:
    """The preflight and the scored submission that rests on it, in each format."""
    preflighted, submitted = cldc("history", "--format", "json").data["entries"]
    assert (preflighted["kind"], preflighted["score"]) == ("preflight", None)
    assert (submitted["kind"], submitted["score"], submitted["detail"]) == ("submission", score, "rank 1")
    assert submitted["validation"] == preflighted["validation"] == trained["validation"]["accuracy"]
    assert submitted["dataset"] == preflighted["dataset"]
    rows = list(csv.DictReader(io.StringIO(cldc("history", "--format", "csv").out)))
    assert [float(row["score"]) for row in rows if row["kind"] == "submission"] == [score]
    assert f" {score:.4f} " in cldc("history").out


def submit(cldc: Cldc, folder: Path, *options: str) -> Any:
    return cldc("submit", folder, "--yes", "--format", "json", *options).data


def changed(folder: Path, number: int) -> Path:
    """The same dataset but for one image that moves to the other split."""
    target = folder.with_name(f"{folder.name}-{number}")
    shutil.copytree(folder, target)
    train, val = sorted(target.iterdir())[:2]
    label = sorted(p.name for p in train.iterdir())[0]
    image = sorted((train / label).iterdir())[number % 7]
    image.rename(val / label / f"moved-{image.name}")
    return target


@pytest.mark.lasts(120)
def test_real_images_reach_the_board(tmp_path: Path, environments_home: Path, real_data: Path) -> None:
    """The competition's own profile, unshortened: its label book, a few of its images, all 100 epochs."""
    cldc = cldc_in(tmp_path / "home", environments_home, CLDC_SERVER="sandbox")
    folder = tmp_path / "starting"
    for split, each in (("train", 1), ("val", 1)):
        for label in sorted((real_data / "data" / split).iterdir()):
            if label.is_dir():
                (folder / split / label.name).mkdir(parents=True)
                for image in sorted(label.glob("*.png"))[:each]:
                    shutil.copy(image, folder / split / label.name)
    try:
        cldc("sandbox", "up", "--label-book", real_data / "label_book")
        # The competition closed in 2021, on any server.
        refused = cldc("submit", folder, "--yes", "--no-preflight", code=12)
        assert "closed on 2021-09-0" in refused.err
        submission = submit(cldc, folder, "--institution", "DeepLearning.AI", "--after-closing")
        cldc("sandbox", "score")
        (row,) = cldc("leaderboard", "--format", "json").data["rows"]
        assert row["submission"] == submission["bundle"]
        assert row["score"] > 0
        (status,) = cldc("status", "--format", "json").data["submissions"]
        assert status["stage"] == "scored"
    finally:
        cldc("sandbox", "down", code=None)
