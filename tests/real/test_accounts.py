"""Signing in and out with several accounts, against a real CodaLab and a keyring of the test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cldc import sandbox as room
from tests.support.commands import ROOT, SHAPES_PROFILE, Cldc, cldc_in
from tests.support.stage import Stage
from tests.support.terminal import Terminal

KEYRING = """
import json, os
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    path = os.environ.get("TEST_KEYRING", "")

    def _read(self):
        return json.load(open(self.path)) if os.path.exists(self.path) else {}

    def _write(self, kept):
        json.dump(kept, open(self.path, "w"))

    def get_password(self, service, username):
        return self._read().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self._write({**self._read(), f"{service} {username}": password})

    def delete_password(self, service, username):
        kept = self._read()
        del kept[f"{service} {username}"]
        self._write(kept)
"""


@pytest.fixture
def signed(tmp_path: Path, environments_home: Path) -> Iterator[Cldc]:
    """A `cldc` with a keyring in a file, and a sandbox whose accounts are not known to it as the sandbox's."""
    (tmp_path / "filekeyring.py").write_text(KEYRING, encoding="utf-8")
    up = cldc_in(
        tmp_path / "up", environments_home, CLDC_COMPETITION=str(SHAPES_PROFILE), CLDC_SERVER="sandbox"
    )
    address = up("sandbox", "up", "--format", "json").data["address"]
    yield cldc_in(
        tmp_path / "home",
        environments_home,
        CLDC_COMPETITION=str(SHAPES_PROFILE),
        CLDC_SERVER=address,
        PYTHONPATH=f"{ROOT}:{tmp_path}",
        PYTHON_KEYRING_BACKEND="filekeyring.Keyring",
        TEST_KEYRING=str(tmp_path / "keyring.json"),
    )
    up("sandbox", "down", code=None)


def test_several_accounts_are_checked_kept_chosen_and_forgotten(signed: Cldc, tmp_path: Path) -> None:
    people = {person.name: person.password for person in room.list_accounts(tmp_path / "up")}
    first, second = list(people)[:2]
    keyring = tmp_path / "keyring.json"

    def sign_in(name: str, password: str) -> tuple[int, str]:
        env = {**signed.extra, "CLDC_HOME": str(signed.home)}
        terminal = Terminal("login", "--account", name, cwd=tmp_path, columns=80, **env)
        terminal.answer(f"Password of {name}", password)
        return terminal.end()

    code, output = sign_in(first, "wrong")
    assert code == 7, output
    assert not keyring.exists()
    for name in (first, second):
        code, output = sign_in(name, people[name])
        assert code == 0, output
        assert people[name] not in output

    assert signed("whoami", "--format", "json").data["account"] == second
    assert signed("whoami", "--account", first, "--format", "json").data["account"] == first
    (tmp_path / "cldc.toml").write_text(f'account = "{first}"\n', encoding="utf-8")
    assert signed("whoami", "--format", "json", cwd=tmp_path).data["account"] == first
    every = signed("whoami", "--all", "--format", "json").data["accounts"]
    assert [(a["account"], a["default"]) for a in every] == [(second, True), (first, False)]

    signed("logout", "--account", second)
    assert [key.split()[-1] for key in json.loads(keyring.read_text(encoding="utf-8"))] == [first]
    refused = signed("whoami", "--account", second, code=7)
    assert f"no credentials for {second}" in refused.err
    signed("logout")
    assert json.loads(keyring.read_text(encoding="utf-8")) == {}


def test_accounts_of_the_sandbox_sign_in_without_a_login(stage: Stage) -> None:
    someone = Cldc(stage.home, {"CLDC_COMPETITION": str(stage.profile), "CLDC_SERVER": "sandbox"})
    added = someone("sandbox", "account", "add", "ann", "bob", "--format", "json").data["accounts"]
    assert added == [{"name": "ann", "created": True}, {"name": "bob", "created": True}]
    (again,) = someone("sandbox", "account", "add", "ann", "--format", "json").data["accounts"]
    assert again == {"name": "ann", "created": False}
    assert "CodaLab does not allow" in someone("sandbox", "account", "add", "an n", code=2).err
    for name in ("ann", "bob"):
        assert someone("whoami", "--account", name, "--format", "json").data["account"] == name
    listed = someone("sandbox", "account", "list", "--format", "json")
    assert {"name": "bob", "role": "contestant"} in listed.data["accounts"]
    passwords = [account.password for account in room.list_accounts(stage.home)]
    assert not any(password in listed.out for password in passwords)
