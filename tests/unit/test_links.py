"""What links out of a dataset lead to is uploaded only if a person has agreed to that link by its name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cldc.competition import load
from tests.support.commands import Cldc
from tests.support.folders import make_dataset

NOBODY = "http://127.0.0.1:1"  # nothing listens there


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A dataset with one class folder that is a link out of it."""
    root = make_dataset(tmp_path / "digits")
    label = load().dataset.classes[0]
    shutil.move(root / "train" / label, tmp_path / "private")
    (root / "train" / label).symlink_to(tmp_path / "private", target_is_directory=True)
    return root


def test_a_remote_preflight_uploads_what_a_link_leads_to_only_if_somebody_agreed(
    linked: Path, bare_cldc: Cldc
) -> None:
    label = load().dataset.classes[0]
    preflight = ("preflight", "--remote", linked, "--server", NOBODY)
    refused = bare_cldc(*preflight, code=12).err
    assert "what they lead to would be uploaded" in refused
    assert f"--include-link train/{label}" in refused
    # Where somebody agreed, the server is the next thing that is missing.
    agreed = ("--include-link", f"train/{label}")
    further = bare_cldc(*preflight, *agreed, code=None)
    assert further.code not in (0, 12)
    assert "Links lead out" not in further.err
    assert "for preflights on CodaLab only" in bare_cldc("preflight", linked, *agreed, code=2).err
