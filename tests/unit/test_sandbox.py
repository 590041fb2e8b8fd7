"""The sandbox itself: CodaLab in one process, its organiser, its worker, and what happens when it is killed."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cldc import competition, sandbox
from cldc.errors import ConfigurationError, SandboxError, UsageError
from cldc.organise.inside.seed import contents_digest
from cldc.organise.seeding import make_plan
from cldc.sandbox import Account
from tests.conftest import ROOT
from tests.support.small_competition import materials

# Without CodaLab


def test_a_digest_tells_names_contents_and_top_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = contents_digest(str(tmp_path), "top")
    assert contents_digest(str(tmp_path), "top") == first != contents_digest(str(tmp_path), "other")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert contents_digest(str(tmp_path), "top") != first


def test_passwords_do_not_show() -> None:
    assert "hush" not in repr(Account("root", "codalab", "hush"))


def test_what_a_killed_sandbox_left_behind_is_no_sandbox(tmp_path: Path) -> None:
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


def test_the_plan_says_what_the_profile_says(tmp_path: Path) -> None:
    shapes = competition.load(str(ROOT / "tests" / "data" / "shapes" / "shapes.toml"))
    seed = materials(tmp_path, shapes.dataset.classes)
    plan = make_plan("http://host", "olga", shapes, seed, folder=tmp_path / "plan", replace=False)
    text = json.dumps(plan)
    assert not any(word in text for word in ("mnist", "accuracy", "viii"))
    assert plan["daemon"]["allow_multiple_models"] is False
    assert plan["daemon"]["quota_period_seconds"] == 3600
    assert [bundle["public"] for bundle in plan["bundles"]] == [True, True, False, False]
    assert {bundle["top"] for bundle in plan["bundles"]} == {None, "examples"}
    with pytest.raises(ConfigurationError, match="organiser"):
        make_plan("", "olga", replace(shapes, organiser=None), seed, folder=tmp_path, replace=False)


def test_names_that_codalab_would_refuse_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        sandbox.add_account(tmp_path, "no spaces")


# With CodaLab
