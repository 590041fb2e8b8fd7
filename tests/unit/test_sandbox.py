"""The sandbox itself: CodaLab in one process, its organiser, its worker, and what happens when it is killed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cldc import competition, sandbox
from cldc.credentials import Credentials
from cldc.errors import ConfigurationError, SandboxError, StorageError, UsageError
from cldc.organise.daemon_settings import configuration
from cldc.organise.model import OrganiserTarget
from cldc.organise.profile import with_uuids
from cldc.organise.publishing import bundles_of, contents_digest
from cldc.sandbox import Account
from tests.support.commands import ROOT, Cldc
from tests.support.small_competition import materials


def test_a_digest_tells_names_contents_and_top_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = contents_digest(tmp_path, "top")
    # As servers have it that were set up by 0.1.0.
    assert first == "sha256:450f11f9ed4e47d1481ecea5258e58224b849774dbbcd071a546ddd83eb331c4"
    assert contents_digest(tmp_path, "other") != first
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert contents_digest(tmp_path, "top") != first


def test_passwords_do_not_show() -> None:
    assert "hush" not in repr(Account("root", "codalab", "hush"))


def test_leftovers_of_a_killed_sandbox_are_not_a_running_one(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    folder.mkdir()
    taken = {"pid": os.getpid(), "process_started": psutil.Process().create_time() - 1000}
    (folder / "sandbox.json").write_text(json.dumps({**taken, "address": "http://127.0.0.1:1"}))
    (folder / "server.json").write_text(json.dumps(taken))
    assert sandbox.status(tmp_path) is None
    with pytest.raises(SandboxError, match="not up"):
        sandbox.require_up(tmp_path)
    assert not sandbox.down(tmp_path)
    assert sandbox.list_accounts(tmp_path) == ()


def test_a_competition_is_put_on_a_server_as_its_profile_says(tmp_path: Path) -> None:
    shapes = competition.load(str(ROOT / "tests" / "data" / "shapes" / "shapes.toml"))
    files = materials(tmp_path, shapes.dataset.classes)
    bundles = bundles_of(shapes, files, tmp_path / "folder")
    assert [bundle.public for bundle in bundles] == [True, True, False, False]
    assert {bundle.top for bundle in bundles} == {None, "examples"}
    keys = ["utils", "log", *(bundle.key for bundle in bundles)]
    where = OrganiserTarget("http://host", Credentials("olga", "", "test"), tmp_path, sandbox=True)
    daemon = configuration(where, with_uuids(shapes, {key: key for key in keys}))
    assert (daemon["allow_multiple_models"], daemon["quota_period_seconds"]) == (False, 3600)
    assert not any(word in f"{bundles}{daemon}" for word in ("mnist", "accuracy", "viii"))
    with pytest.raises(ConfigurationError, match="organiser"):
        bundles_of(replace(shapes, organiser=None), files, tmp_path)


def test_a_script_that_does_not_exist_is_refused_before_anything_is_made(
    bare_cldc: Cldc, tmp_path: Path
) -> None:
    script = tmp_path / "no-script.py"
    output = bare_cldc("sandbox", "up", "--script", script, code=StorageError.code).err
    assert f"{script} does not exist." in output
    assert not (bare_cldc.home / "environments").exists()


def test_names_that_codalab_would_refuse_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        sandbox.add_account(tmp_path, "no spaces")
