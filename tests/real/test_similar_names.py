"""Names that MariaDB takes for one another: it ignores case, and in a search an underscore matches any character."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from cldc import sandbox
from tests.support.stage import Stage, assert_exactly_once

pytestmark = pytest.mark.lasts(120)


def test_people_and_submissions_of_like_names_stay_apart(deployed: Stage, tmp_path: Path) -> None:
    number = Random().randrange(10**6)
    accounts = [sandbox.add_account(deployed.home, f"a{letter}b-{number}") for letter in "_x"]
    people = [deployed.person(tmp_path / account.name, account) for account in accounts]
    folder = deployed.folder(tmp_path / "mine", 20)
    submit = ("submit", folder, "--yes", "--no-preflight", "--again", "--name")
    for name in ("Mine", "mine"):
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda cldc, name=name: cldc(*submit, name), people))
    for account, cldc in zip(accounts, people, strict=True):
        assert_exactly_once(deployed, account, submissions=2)
        status = cldc("status", "--format", "json").data
        assert sorted(each["name"] for each in status["submissions"]) == ["Mine", "mine"]
    first, _ = people
    first("withdraw", "mine", "--yes")
    first("clean", "--yes")
    assert [b.name for b in deployed.made(accounts[0])["tagged"]] == ["Mine"]
    assert_exactly_once(deployed, accounts[1], submissions=2)
    # What another machine learns from the server; MariaDB finds the tag in any case.
    upper = deployed.variant(f"upper-{number}", tag='"SHAPES-W26"')
    for profile, spent in ((deployed.profile, ["Mine"]), (upper, [])):
        elsewhere = deployed.person(tmp_path / "elsewhere", accounts[0], profile=profile)
        quota = elsewhere("quota", "--format", "json").data
        assert [each["name"] for each in quota["spent"]] == spent
