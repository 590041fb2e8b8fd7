"""A competition's backup: what is in it, what never is, and that restoring replaces nothing unasked."""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.commands import Cldc

_KEPT = {"leaderboard.json": "[1]", "rejected.json": '{"a": "b"}', "roster.csv": "name\nAnn\n"}
_PROFILE = 'extends = "base.toml"\ntitle = "Winter"\n'


@pytest.fixture
def kept(bare_cldc: Cldc, tmp_path: Path) -> Path:
    """The profile of a competition of which this machine keeps something."""
    folder = bare_cldc.home / "organise" / "winter"
    (folder / "codalab").mkdir(parents=True)
    for name, text in _KEPT.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "codalab" / "state.json").write_text("token", encoding="utf-8")
    where = tmp_path / "class"
    where.mkdir()
    (where / "base.toml").write_text('extends = "demo"\n', encoding="utf-8")
    profile = where / "winter.toml"
    profile.write_text(_PROFILE, encoding="utf-8")
    return profile


def test_a_backup_brings_everything_back_on_another_machine(
    bare_cldc: Cldc, kept: Path, tmp_path: Path
) -> None:
    file = tmp_path / "winter.zip"
    bare_cldc("organise", "backup", file, "--competition", kept)
    if os.name != "nt":
        assert file.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(file) as archive:
        names = {name for name in archive.namelist() if name != "backup.json"}
    assert names == {f"organise/{name}" for name in _KEPT} | {"profile/winter.toml", "profile/base.toml"}

    other = replace(bare_cldc, home=tmp_path / "other")
    other.home.mkdir(mode=0o700)
    target = tmp_path / "there"
    data = other("organise", "restore", file, "--to", target, "--format", "json").data
    assert (len(data["new"]), data["replaced"], data["same"]) == (5, [], 0)
    for name, text in _KEPT.items():
        assert (other.home / "organise" / "winter" / name).read_text(encoding="utf-8") == text
    assert (target / "winter.toml").read_text(encoding="utf-8") == _PROFILE
    assert "Next: cldc organise score" not in other("organise", "restore", file, "--to", target).out
    other("trust", "approve", target / "winter.toml", "--yes")
    assert "Next: cldc organise score" in other("organise", "restore", file, "--to", target).out


def test_restoring_replaces_what_has_changed_only_after_a_yes(
    bare_cldc: Cldc, kept: Path, tmp_path: Path
) -> None:
    file = tmp_path / "winter.zip"
    bare_cldc("organise", "backup", file, "--competition", kept)
    assert "--yes" in bare_cldc("organise", "backup", file, "--competition", kept, code=2).err
    board = bare_cldc.home / "organise" / "winter" / "leaderboard.json"
    board.write_text("[2]", encoding="utf-8")
    (board.parent / "roster.csv").unlink()
    assert "--yes" in bare_cldc("organise", "restore", file, "--to", kept.parent, code=2).err
    assert board.read_text(encoding="utf-8") == "[2]"
    assert not (board.parent / "roster.csv").exists()
    data = bare_cldc("organise", "restore", file, "--to", kept.parent, "--yes", "--format", "json").data
    assert (len(data["new"]), data["replaced"], data["same"]) == (1, [str(board)], 3)
    assert board.read_text(encoding="utf-8") == "[1]"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"backup.json": json.dumps({"format": 1, "competition": "../../x", "made": ""})},
        {"backup.json": json.dumps({"format": 2, "competition": "winter", "made": ""})},
        {"backup.json": json.dumps({"format": 1, "competition": "winter"}), "organise/../../x": "x"},
    ],
)
def test_a_file_that_is_no_backup_is_refused(bare_cldc: Cldc, tmp_path: Path, files: dict[str, str]) -> None:
    file = tmp_path / "odd.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    assert "can't be restored" in bare_cldc("organise", "restore", file, code=4).err
    assert not (bare_cldc.home / "organise").exists()


def test_a_competition_of_which_nothing_is_kept_has_no_backup(bare_cldc: Cldc, tmp_path: Path) -> None:
    assert "keeps nothing" in bare_cldc("organise", "backup", tmp_path / "x.zip", code=4).err
    assert not (tmp_path / "x.zip").exists()
