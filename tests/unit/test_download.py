"""`cldc download` where there is nothing to be had: one sentence and what to do."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.commands import Cldc

PROFILE = """
extends = "data-centric-2021"
{more}
"""


@pytest.mark.parametrize(("what", "said"), [("dataset", "starting dataset"), ("script", "training script")])
def test_a_profile_without_the_bundle_says_so(cldc: Cldc, tmp_path: Path, what: str, said: str) -> None:
    key = {"dataset": "starting_dataset", "script": "script"}[what]
    profile = tmp_path / "own.toml"
    profile.write_text(PROFILE.format(more=f'[bundles]\n{key} = {{ name = "things" }}\n'))
    done = cldc("download", what, "--competition", profile, cwd=tmp_path, code=4)
    assert f"does not say which bundle holds the {said}" in done.err
    assert "Ask the organisers" in done.err


def test_a_server_that_is_down_is_reported_in_one_sentence(cldc: Cldc, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = cldc("download", "label-book", "--server", address, cwd=tmp_path, code=9)
    assert address in done.err
    assert not list(tmp_path.glob("label_book*"))


def test_one_place_is_for_one_thing(cldc: Cldc, tmp_path: Path) -> None:
    assert "--into needs exactly one thing" in cldc("download", "--into", "x", cwd=tmp_path, code=2).err
