"""What comes besides submitting: a run that fails, the quota side by side, withdrawing, cleaning, the ledger's way back."""

from __future__ import annotations

import json
import os
import random
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.support.stage import Stage, assert_exactly_once, killed, odd
from tests.support.terminal import Terminal

pytestmark = pytest.mark.lasts(25)


def test_after_a_failed_run_a_person_reads_its_log_submits_again_and_cleans_up(
    stage: Stage, tmp_path: Path
) -> None:
    """It spent nothing of the quota, and what was uploaded for it is used again."""
    account, cldc, folder = stage.contestant(tmp_path)
    with stage.failing():
        failed = cldc("submit", folder, "--yes", "--no-preflight", code=11)
    assert "no patience with mine" in failed.err
    (status,) = cldc("status", "--format", "json").data["submissions"]
    assert status["stage"] == "run"
    assert "no patience with mine" in status["log"]
    assert "no quota was spent" in cldc("status").out
    assert cldc("quota", "--format", "json").data["spent"] == []
    (uploaded,) = stage.made(account)["dataset"]  # the parts of it that exist
    assert cldc("open", "mine", "--print").out.strip().endswith(f"/bundles/{uploaded.uuid}/")

    cldc("submit", folder, "--yes", "--no-preflight")
    assert len(stage.made(account)["dataset"]) == 1
    assert "remove 1 bundle and 0 worksheets" in cldc("clean", code=2).err
    (left,) = cldc("clean", "--dry-run", "--format", "json").data["leftovers"]
    assert (left["type"], left["why"]) == ("run", "it is failed")
    assert cldc("clean", "--yes", "--format", "json").data["removed"]
    assert_exactly_once(stage, account)
    assert cldc("clean", "--yes", "--format", "json").data["leftovers"] == []


def test_predictions_that_do_not_fit_the_printed_accuracy_are_not_submitted(
    stage: Stage, tmp_path: Path
) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    submit = ("submit", folder, "--yes", "--no-preflight")
    with stage.boasting():
        refused = cldc(*submit, code=11)
        there = cldc("preflight", folder, "--remote", code=6)
    said = "gets at most 25.00% of the label book right, but the training script printed 75.00%"
    assert f"{said}: " in refused.err
    assert f"predicted.json {said}" in there.err
    assert not stage.made(account)["tagged"]
    (status,) = cldc("status", "--format", "json").data["submissions"]
    assert said in status["detail"]

    # The run is ready, and is not taken up again all the same.
    (lying,) = stage.made(account)["run"]
    assert cldc(*submit, "--format", "json").data["run"] != lying.uuid
    assert len(stage.made(account)["dataset"]) == 1
    assert len(stage.made(account)["tagged"]) == 1


def test_a_tag_is_taken_off_and_set_again(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    first = cldc("submit", folder, "--yes", "--no-preflight", "--format", "json").data
    assert {check["subject"] for check in first["proof"]} == {
        "lineage",
        "readable by everyone",
        "run",
        "predictions",
        "description",
    }
    facts = cldc("quota", "--format", "json").data
    assert (len(facts["server"]["spent"]), len(facts["ledger"]["spent"]), len(facts["spent"])) == (1, 1, 1)
    assert "the server shows" in cldc("quota").out
    assert first["bundle"] in cldc("open", "mine", "--print").out
    assert first["worksheet"] in cldc("open", "worksheet", "--print").out
    assert cldc("watch", "mine", "--timeout", "0", code=16).err.count("mine: tagged") == 1
    assert "submitted already as mine" in cldc("submit", folder, "--dry-run").out

    cldc("withdraw", "mine", code=2)
    gone = cldc("withdraw", "mine", "--yes", "--format", "json").data
    # No board can be read here, so that nobody knows whether it was evaluated: better one submission too few.
    assert (gone["spent"], gone["quota"]["left"]) == (True, facts["left"])
    assert stage.made(account)["tagged"] == []
    (status,) = cldc("watch", "--format", "json").data["submissions"]
    assert status["stage"] == "withdrawn"
    assert "no submission" in cldc("withdraw", "mine", "--yes", code=2).err.lower()

    again = cldc("submit", folder, "--yes", "--no-preflight", "--format", "json").data
    assert (again["bundle"], again["again"]) == (first["bundle"], False)
    assert_exactly_once(stage, account)

    # If it is removed by hand, cldc does not wait for it, and it can be submitted again.
    with stage.client(account) as codalab:
        codalab.cl.remove(first["bundle"], force=True)
    (status,) = cldc("watch", "--format", "json").data["submissions"]
    assert "no longer on the server" in status["detail"]
    refused = cldc("submit", folder, "--yes", "--no-preflight", code=12)
    assert "`cldc withdraw mine`" in refused.err
    cldc("withdraw", "mine", "--yes")
    made = cldc("submit", folder, "--yes", "--no-preflight", "--format", "json").data["bundle"]
    assert_exactly_once(stage, account)
    # It may have been evaluated before it was removed.
    facts = cldc("quota", "--format", "json").data
    assert {spent["uuid"] for spent in facts["spent"]} == {first["bundle"], made}


def test_a_tag_that_is_gone_is_not_taken_for_a_submission(stage: Stage, tmp_path: Path) -> None:
    """Removed on another machine, or by a call that was killed before it recorded that."""
    account = stage.account()
    here, there = (stage.person(tmp_path / name, account) for name in ("here", "there"))
    folder = stage.folder(tmp_path / "mine")
    submit = ("submit", folder, "--yes", "--no-preflight", "--format", "json")
    bundle = here(*submit).data["bundle"]
    assert there(*submit).data["again"]
    there("withdraw", "mine", "--yes")
    (status,) = here("status", "--format", "json").data["submissions"]
    assert status["stage"] == "withdrawn"
    done = here(*submit).data
    assert (done["again"], done["bundle"]) == (False, bundle)
    assert_exactly_once(stage, account)

    assert killed(here, tmp_path / "past", "withdraw", "mine", "--yes", moment="after clear tags")
    assert stage.made(account)["tagged"] == []
    assert not here(*submit).data["again"]
    assert_exactly_once(stage, account)


def test_what_was_made_private_is_kept_and_made_public_again(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    submit = ("submit", folder, "--yes", "--no-preflight", "--format", "json")
    bundle = cldc(*submit).data["bundle"]
    with stage.client(account) as codalab:
        codalab.rest.share("bundle", bundle, public=False)
    assert cldc("clean", "--unfinished", "--dry-run", "--format", "json").data["leftovers"] == []
    (status,) = cldc("status", "--format", "json").data["submissions"]
    assert "was made private" in status["detail"]
    assert cldc(*submit).data["again"]
    assert_exactly_once(stage, account)
    (status,) = cldc("status", "--format", "json").data["submissions"]
    assert "waits" in status["detail"]


def test_what_was_made_private_is_not_made_public_again_without_a_yes(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    bundle = cldc("submit", folder, "--yes", "--no-preflight", "--format", "json").data["bundle"]
    with stage.client(account) as codalab:
        codalab.rest.share("bundle", bundle, public=False)
    assert "--yes" in cldc("submit", folder, "--no-preflight", code=2).err
    assert stage.made(account)["tagged"] == []


def test_the_server_gives_a_lost_ledger_back(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    cldc("submit", folder, "--yes", "--no-preflight", "--institution", "Some Lab")
    with stage.failing():
        cldc("submit", stage.folder(tmp_path / "other", 1), "--yes", "--no-preflight", code=11)
    kept = tmp_path / "kept.json"
    cldc("ledger", "export", kept)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = json.loads(kept.read_text())["submissions"]

    elsewhere = stage.person(tmp_path / "elsewhere", account)
    assert len(elsewhere("ledger", "rebuild", "--format", "json").data["found"]) == 2
    after = json.loads(elsewhere("ledger", "export").out)["submissions"]
    for name in ("id", "name", "dataset", "dataset_hash", "server", "account"):
        assert {s["submission"][name] for s in after} == {s["submission"][name] for s in before}
    refused = elsewhere("submit", folder, "--name", "new", "--yes", "--no-preflight", code=12)
    assert "This dataset was already submitted as 'mine'" in refused.err
    assert elsewhere("submit", folder, "--yes", "--no-preflight", "--format", "json").data["again"]


_REPLACE = "which has no score yet, as far as this machine knows? [y/N]"


def test_what_waits_for_its_score_is_not_replaced_without_a_word(stage: Stage, tmp_path: Path) -> None:
    account = stage.account()
    profile = stage.variant("by-account", supersedes='"account"')
    cldc = stage.person(tmp_path / "data", account, profile=profile)
    first = stage.folder(tmp_path / "first")
    second = stage.folder(tmp_path / "second", 1)
    cldc("submit", first, "--yes", "--no-preflight")
    refused = cldc("submit", second, "--yes", "--no-preflight", code=12)
    assert "replace first (0x" in refused.err
    assert "no score yet" in refused.err
    assert "--supersede" in refused.err

    # At a terminal it is asked; --yes agrees to what becomes public, and to nothing else.
    def at_a_terminal(*options: str) -> Terminal:
        env = {**stage.settings(account, profile=profile), "CLDC_HOME": str(cldc.home)}
        return Terminal("submit", str(second), "--no-preflight", *options, cwd=tmp_path, columns=200, **env)

    assert at_a_terminal("--yes", "--no-input").end()[0] == 12
    for answer in ("n", ""):
        declined = at_a_terminal("--yes")
        declined.answer(_REPLACE, answer)
        assert declined.end()[0] == 1
        assert "Nothing was changed." in declined.text
    interrupted = at_a_terminal("--yes")
    interrupted.until(_REPLACE)
    interrupted.interrupt()
    assert interrupted.end()[0] == 130
    made = stage.made(account)
    assert [len(bundles) for bundles in made.values()] == [1, 1, 1, 1]
    (older,) = made["tagged"]
    agreed = at_a_terminal()
    agreed.answer(_REPLACE, "y")
    agreed.answer("Publish second (submission 2 of", "y")
    assert agreed.end()[0] == 0, agreed.text
    newer = cldc("submit", second, "--yes", "--no-preflight", "--supersede", "--format", "json").data
    assert newer["again"]
    tagged = {bundle.uuid: bundle for bundle in stage.made(account)["tagged"]}
    assert tagged.keys() == {older.uuid, newer["bundle"]}
    assert max(tagged.values(), key=lambda b: str(b.created)).uuid == newer["bundle"]


def test_machines_that_submit_at_once_keep_to_the_quota(stage: Stage, tmp_path: Path) -> None:
    """Five submissions of one account from four machines, two left: two get them, and none waits for ever."""
    account, allowed, machines = stage.account(), 2, 5
    profile = stage.variant("few", per_window=str(allowed), total="3")
    people = [stage.person(tmp_path / f"home-{n % 4}", account, profile=profile) for n in range(machines)]
    folders = [stage.folder(tmp_path / f"mine-{n}", n) for n in range(machines)]
    with ThreadPoolExecutor(machines) as pool:
        done = list(
            pool.map(
                lambda n: people[n]("submit", folders[n], "--yes", "--no-preflight", code=None),
                range(machines),
            )
        )
    codes = sorted(outcome.code for outcome in done)
    tagged = stage.made(account)["tagged"]
    assert len(tagged) <= allowed, codes
    assert codes == [0] * len(tagged) + [8] * (machines - len(tagged)), done
    # A submission that gave way may be retried, and reuses what was prepared.
    for n in range(machines):
        if done[n].code and len(stage.made(account)["tagged"]) < allowed:
            people[n]("submit", folders[n], "--yes", "--no-preflight")
    assert len(stage.made(account)["tagged"]) == allowed
    # A clock of ours that runs ahead, or jumps, frees none.
    jumps = "import itertools, time; now, days = time.time, itertools.count(1)"
    jumps += "; time.time = lambda: now() + next(days) * 86400"
    late = odd(people[0], jumps, "submit", stage.folder(tmp_path / "late", 9), "--yes", "--no-preflight")
    assert late.returncode == 8, late


@pytest.mark.parametrize("machines", [1, 2], ids=["two terminals", "two machines"])
def test_the_same_submission_made_twice_at_once_is_made_once(
    stage: Stage, tmp_path: Path, machines: int
) -> None:
    account = stage.account()
    people = [stage.person(tmp_path / f"home-{n % machines}", account) for n in range(2)]
    folder = stage.folder(tmp_path / "mine")
    with ThreadPoolExecutor(2) as pool:
        done = list(
            pool.map(
                lambda who: who("submit", folder, "--yes", "--no-preflight", "--format", "json", code=None),
                people,
            )
        )
    assert {outcome.code for outcome in done} <= {0, 10, 14}, done
    people[0]("submit", folder, "--yes", "--no-preflight")
    assert len(stage.made(account)["tagged"]) == 1
    people[0]("clean", "--yes")
    assert_exactly_once(stage, account)


@pytest.mark.skipif(os.name == "nt", reason="no such limit there")
def test_a_full_disk_is_reported_and_leaves_everything_to_go_on_from(stage: Stage, tmp_path: Path) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    noise = Image.frombytes("L", (500, 500), random.Random(0).randbytes(250_000))
    noise.save(next(p for p in folder.rglob("*") if p.suffix == ".png").with_name("noise.png"))
    # First there is no room for the ledger, then none for the zip.
    for limit, full in ((20_000, "ledger.sqlite3"), (200_000, "mine.zip")):
        limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
        done = odd(cldc, f"{limited}; {_IGNORE}", "submit", folder, "--yes", "--no-preflight")
        assert done.returncode == 14, done
        assert "Traceback" not in done.stderr
        assert full in done.stderr
        assert not list((cldc.home / "packages").rglob("*.zip"))
    cldc("submit", folder, "--yes", "--no-preflight")
    assert_exactly_once(stage, account)


# Without the signal a write beyond the limit fails as it does on a full disk.
_IGNORE = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
