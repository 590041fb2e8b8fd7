"""File names are bytes: what the locale would make of them changes no verdict, no zip and no identity."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Cldc
from tests.support.folders import make_dataset

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has names of characters")

_NAMES = ("kärtchen.png", "数字.png")
_LATIN = "de_DE.ISO-8859-1"
# What `cldc submit` does with a valid dataset before it uploads it.
_PACK = """
from cldc import __main__
__main__.read_names_as_utf8()
import sys
from pathlib import Path
from cldc.competition import load
from cldc.package import pack
from cldc.validation import validate
pack(validate(Path(sys.argv[1]), load()), Path(sys.argv[2]))
"""


@pytest.fixture(params=["POSIX", _LATIN])
def locale(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The environment of a person whose Python reads file names as something else than UTF-8."""
    if request.param == _LATIN:
        if shutil.which("localedef") is None:
            pytest.skip("there is no localedef to make a locale with")
        made = subprocess.run(
            ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", tmp_path / _LATIN],
            check=False,
            capture_output=True,
        )
        if made.returncode:
            pytest.skip(f"localedef makes no such locale: {made.stderr!r}")
    settings = {"LC_ALL": request.param, "LOCPATH": str(tmp_path)}
    settings |= {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    asked = [sys.executable, "-c", "import sys; print(sys.getfilesystemencoding())"]
    encoding = subprocess.run(
        asked, env={**os.environ, **settings}, check=True, capture_output=True, text=True
    )
    assert encoding.stdout.strip() in ("ascii", "iso8859-1")
    return settings


def test_valid_names_are_valid_in_every_locale(
    bare_cldc: Cldc, tmp_path: Path, locale: dict[str, str]
) -> None:
    folder = make_dataset(tmp_path / "zählen")
    for number, name in enumerate(_NAMES):
        (folder / "train" / "i" / f"{number}.png").rename(folder / "train" / "i" / name)

    there = Cldc(bare_cldc.home, locale)
    reports = [cldc("validate", folder, "--format", "json").data for cldc in (bare_cldc, there)]
    assert reports[0]["ok"]
    assert reports[0] == reports[1]
    bad = os.fsdecode(b"\xe9.png")
    (folder / "train" / "i" / _NAMES[0]).rename(folder / "train" / "i" / bad)
    refused = there("validate", folder, code=3).out
    assert "The name of train/i/" in refused
    assert refused.count("is not UTF-8") == 1


def test_a_zip_has_the_names_that_are_on_the_disk(tmp_path: Path, locale: dict[str, str]) -> None:
    folder = make_dataset(tmp_path / "mine")
    for number, name in enumerate(_NAMES):
        (folder / "train" / "i" / f"{number}.png").rename(folder / "train" / "i" / name)
    for place, env in (("here", {}), ("there", locale)):
        subprocess.run(
            [sys.executable, "-c", _PACK, folder, tmp_path / place],
            env={**os.environ, **env},
            check=True,
        )
    assert (tmp_path / "here/mine.zip").read_bytes() == (tmp_path / "there/mine.zip").read_bytes()


def test_what_is_given_is_understood_and_what_is_printed_fits_the_terminal(
    bare_cldc: Cldc, tmp_path: Path, locale: dict[str, str]
) -> None:
    (tmp_path / "cldc.toml").write_text('dataset = "zählen"\n', encoding="utf-8")
    make_dataset(tmp_path / "zählen")
    shown = subprocess.run(
        [sys.executable, "-m", "cldc", "validate", "--format", "json"],
        env={**os.environ, **locale},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    ).stdout
    assert json.loads(shown.decode("ascii"))["ok"]
    missing = subprocess.run(
        [sys.executable, "-m", "cldc", "validate", "fehlt-ä"],
        env={**os.environ, **locale},
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )
    assert missing.returncode == 3
    wanted = b"fehlt-\xe4" if locale["LC_ALL"] == _LATIN else rb"fehlt-\xe4"
    assert wanted in missing.stderr
