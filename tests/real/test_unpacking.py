"""Archives from a server: nothing in one is written outside of its new folder, and nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

from cldc import process
from cldc.environments import ensure_codalab
from tests.support.archives import (
    Member,
    files,
    zipped,
)
from tests.support.commands import ROOT


def test_the_sandbox_unpacks_an_upload_on_machines_without_unzip(
    environments_home: Path, tmp_path: Path
) -> None:
    for name, member in (("good", Member("v0/train/i/1.png")), ("bad", Member("../victim"))):
        (tmp_path / f"{name}.zip").write_bytes(zipped(member))
    (tmp_path / "victim").write_text("precious")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import os; from inside import rsync_unzip\n"
        "os.environ['PATH'] = ''; rsync_unzip.prepare()\n"
        "from codalab.worker import file_util; from codalab.common import UsageError\n"
        "file_util.unzip_directory(open('good.zip', 'rb'), 'good')\n"
        "try: file_util.unzip_directory(open('bad.zip', 'rb'), 'bad')\n"
        "except UsageError as error: print(error)"
    )
    python = ensure_codalab(environments_home).python
    done = process.run(
        [python, "-W", "ignore", "-c", code, ROOT / "cldc" / "sandbox"], cwd=tmp_path, timeout_seconds=300
    )
    assert done.stdout.strip() == "Invalid archive upload: failed to unzip .zip file."
    assert (tmp_path / "victim").read_text() == "precious"
    assert files(tmp_path / "good") == {"v0/train/i/1.png": b"new"}
    assert not (tmp_path / "bad").exists()
