"""`cldc submit` killed anywhere and run again: one tagged bundle, one upload, nothing left over."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cldc.errors import CldcError
from tests.support.stage import Stage, assert_exactly_once, killed, lose_ledger

_AT_ONCE = 2
# Where the server has something that only a search finds, or the other side of the commit.
_HANDFUL = ("created worksheets", "created bundles", "progress", "after cl make", "before finish tag")
_LEDGERS = ["kept", "lost"] if os.environ.get("CLDC_KILL_CASES") == "all" else ["lost in turn"]
_SUBMIT = ("--yes", "--no-preflight", "-q")


@pytest.mark.lasts(220)
@pytest.mark.parametrize("ledger", ["kept", "lost"])
def test_killed_at_one_moment_after_the_other_it_ends_with_one_submission(
    stage: Stage, tmp_path: Path, ledger: str
) -> None:
    account = stage.account()
    cldc = stage.person(tmp_path / "data", account)
    folder, past = stage.folder(tmp_path / "mine"), tmp_path / "moments"
    # Without the ledger it makes no difference whether a step's end was written down.
    skipped = "" if ledger == "kept" else "before"
    kills = 0
    while killed(cldc, past, "submit", folder, *_SUBMIT, skipped=skipped):
        kills += 1
        if ledger == "lost":
            lose_ledger(cldc)
    moments = past.read_text(encoding="utf-8").splitlines()
    assert kills == len(moments) >= (50 if ledger == "kept" else 25), moments
    # "progress" may be missing: CodaLab's client may send the whole zip before it sees that `cldc` was killed.
    assert {"created worksheets", "created bundles", "after begin tag"} <= set(moments)
    assert_exactly_once(stage, account)
    assert not list((cldc.home / "packages").rglob("*.zip"))
    assert cldc("submit", folder, "--yes", "--no-preflight", "--format", "json").data["again"]
    assert cldc("quota", "--format", "json").data["left"] == stage.competition.quota.total - 1


@pytest.mark.lasts(120)
@pytest.mark.parametrize(
    ("server", "ledger"),
    [
        *(("stage", ledger) for ledger in _LEDGERS),
        ("deployed", "lost in turn"),
    ],
)
def test_killed_once_at_any_moment_it_ends_with_one_submission(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    server: str,
    ledger: str,
    report_cases: Callable[[str, Mapping[str, int]], None],
) -> None:
    stage: Stage = request.getfixturevalue(server)
    traced = tmp_path / "traced"
    account = stage.account()
    cldc = stage.person(tmp_path / "data", account)
    first = stage.folder(tmp_path / "mine")
    assert not killed(cldc, traced, "submit", first, *_SUBMIT, moment="never")
    moments = traced.read_text(encoding="utf-8").splitlines()
    if server == "deployed":
        moments = [moment for moment in moments if moment in _HANDFUL]
        assert len(moments) == len(_HANDFUL)
    elif ledger == "lost in turn":  # the test above kills at each of them
        moments = moments[::8]

    def one(number: int) -> str:
        moment, account = moments[number], stage.account()
        cldc = stage.person(tmp_path / str(number), account)
        folder = stage.folder(tmp_path / f"mine-{number}")
        past = tmp_path / f"past-{number}"
        try:
            assert killed(cldc, past, "submit", folder, *_SUBMIT, moment=moment)
            if ledger == "lost" or (ledger == "lost in turn" and number % 2):
                lose_ledger(cldc)
            cldc("submit", folder, "--yes", "--no-preflight")
            assert_exactly_once(stage, account)
        except (AssertionError, CldcError) as error:
            return f"{moment}: {error}"
        return ""

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        lost = [problem for problem in pool.map(one, range(len(moments))) if problem]
    report_cases(f"killed on the {server}, ledger {ledger}", {"moments": len(moments), "lost": len(lost)})
    assert not lost, "\n\n".join(lost)


@pytest.mark.parametrize("moment", ["before begin tag", "after begin tag", "when it was finished"])
def test_a_damaged_ledger_set_aside_and_rebuilt_leads_to_one_submission(
    stage: Stage, tmp_path: Path, moment: str
) -> None:
    account, cldc, folder = stage.contestant(tmp_path)
    if moment != "when it was finished":
        assert killed(cldc, tmp_path / "moments", "submit", folder, *_SUBMIT, moment=moment)
    else:
        cldc("submit", folder, "--yes", "--no-preflight")
    file = cldc.home / "ledger.sqlite3"
    content = bytearray(file.read_bytes())
    content[content.index(account.name.encode())] ^= 1
    file.write_bytes(content)
    refused = cldc("submit", folder, "--yes", "--no-preflight", code=14)
    assert "`cldc ledger rebuild`" in refused.err
    rebuilt = cldc("ledger", "rebuild", "--format", "json").data
    assert Path(rebuilt["set_aside"]).read_bytes() == content
    assert [record["account"] for record in rebuilt["found"]] == [account.name]
    cldc("submit", folder, "--yes", "--no-preflight")
    assert_exactly_once(stage, account)
    assert cldc("submit", folder, "--yes", "--no-preflight", "--format", "json").data["again"]
