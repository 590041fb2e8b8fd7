"""A dataset that is worked on while it is trained on or submitted: what counts is what was read, and that is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support.commands import SHAPES, Cldc
from tests.support.stage import Stage, running, start, until


def more(folder: Path) -> None:
    """Put one more image into the dataset."""
    image = next(path for path in sorted(folder.rglob("*.png")) if not path.is_symlink())
    shutil.copy(image, image.with_name("more.png"))


def test_a_preflight_says_that_the_folder_changed_meanwhile(cldc: Cldc, tmp_path: Path) -> None:
    cldc = Cldc(cldc.home, {"CLDC_COMPETITION": str(SHAPES / "shapes.toml")})
    folder = tmp_path / "mine"
    cldc("sample", folder, "--images", "80")
    book = cldc.home / "book"
    shutil.copytree(folder / "check", book / "examples")
    script = tmp_path / "learn.py"
    image = next(iter(sorted((folder / "learn" / "o").iterdir())))
    added = image.with_name("more.png")
    copy = f"import shutil; shutil.copy({str(image)!r}, {str(added)!r})\n"
    script.write_text(copy + (SHAPES / "learn.py").read_text(encoding="utf-8"), encoding="utf-8")
    options = ("--script", script, "--label-book", book)
    done = cldc("preflight", folder, *options, "--format", "json").data
    said = f"{folder} has changed since its images were read: 1 added."
    assert done["dataset_changed"] == said
    added.unlink()
    again = cldc("preflight", folder, *options, "--format", "json").data
    assert again["recorded"]
    assert not again["dataset_changed"]
    assert f"warning: {said}" in cldc("preflight", folder, *options, "--force").out


def test_a_remote_preflight_and_a_submission_say_that_the_folder_changed_meanwhile(
    stage: Stage, tmp_path: Path
) -> None:
    account = stage.account()
    home = stage.person(tmp_path / "data", account).home
    commands = (("preflight", "--remote"), ("submit", "--yes", "--no-preflight"))
    for number, (command, *options) in enumerate(commands):
        folder = stage.folder(tmp_path / f"mine-{number}", number)
        with stage.held():
            at_work = start(stage, account, home, command, folder, *options, "--format", "json")
            until(lambda: running(stage, account, 1), at_work)
            more(folder)
        output, said = at_work.communicate(timeout=120)
        assert at_work.returncode == 0, said
        assert json.loads(output)["dataset_changed"].endswith(
            "has changed since its images were read: 1 added."
        )
