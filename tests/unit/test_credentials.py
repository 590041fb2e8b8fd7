"""Where credentials come from, and that passwords go nowhere else."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.errors
import pytest
from keyring.backends import fail

from cldc import credentials
from cldc.credentials import Credentials
from cldc.errors import CredentialsError
from tests.support.observers import Heard
from tests.support.terminal import Terminal

SERVER = "https://codalab.example"
CANARY = "password-canary"


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that forgets when it ends."""

    priority = 1

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise keyring.errors.PasswordDeleteError("not there")
        del self.kept[service, username]


class BrokenKeyring(MemoryKeyring):
    """A keyring whose service is gone."""

    def get_password(self, service: str, username: str) -> str | None:
        raise OSError("no D-Bus here")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise OSError("no D-Bus here")


class ForgetfulKeyring(MemoryKeyring):
    """A keyring that takes everything and keeps nothing."""

    def set_password(self, service: str, username: str, password: str) -> None:
        return


@pytest.fixture(autouse=True)
def memory_keyring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryKeyring]:
    monkeypatch.setenv("CLDC_HOME", str(tmp_path))
    for name in ("CODALAB_USERNAME", "CODALAB_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]


def environment(monkeypatch: pytest.MonkeyPatch, username: str | None, password: str | None) -> None:
    for name, value in (("CODALAB_USERNAME", username), ("CODALAB_PASSWORD", password)):
        if value is not None:
            monkeypatch.setenv(name, value)


def test_the_environment_comes_before_the_keyring_before_the_fallback_before_the_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fallback(_server: str, username: str | None) -> Credentials | None:
        return None if username else Credentials("s", "p", "sandbox")

    def prompt(_server: str, suggested: str | None) -> tuple[str, str]:
        return suggested or "typed", "p"

    assert credentials.find(SERVER, prompt=prompt) == Credentials("typed", "p", "prompt")
    assert credentials.find(SERVER, prompt=prompt, fallback=fallback).source == "sandbox"
    assert credentials.find(SERVER, username="carol", prompt=prompt, fallback=fallback).username == "carol"
    credentials.store(SERVER, Credentials("bob", CANARY, "prompt"))
    found = credentials.find(SERVER, prompt=prompt, fallback=fallback)
    assert found == Credentials("bob", CANARY, "keyring")
    environment(monkeypatch, "alice", "p")
    assert credentials.find(SERVER, prompt=prompt, fallback=fallback) == Credentials(
        "alice", "p", "environment"
    )
    assert credentials.find(SERVER, username="bob").source == "keyring"
    with pytest.raises(CredentialsError, match="no credentials for dave"):
        credentials.find(SERVER, username="dave")


def test_without_a_terminal_it_says_what_to_do() -> None:
    with pytest.raises(CredentialsError, match=r"codalab\.example") as raised:
        credentials.find(SERVER)
    assert "CODALAB_PASSWORD" in raised.value.action


def test_a_name_alone_in_the_environment_picks_the_account(
    monkeypatch: pytest.MonkeyPatch, memory_keyring: MemoryKeyring
) -> None:
    credentials.store(SERVER, Credentials("alice", "a", "prompt"))
    credentials.store(SERVER, Credentials("bob", "b", "prompt"))
    assert credentials.find(SERVER).username == "bob"
    environment(monkeypatch, "alice", None)
    assert credentials.find(SERVER) == Credentials("alice", "a", "keyring")


def test_a_password_without_a_name_is_ignored_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    environment(monkeypatch, None, CANARY)
    notes = Heard()
    with pytest.raises(CredentialsError):
        credentials.find(SERVER, observer=notes)
    assert len(notes.notes) == 1
    assert CANARY not in notes.notes[0]


def test_accounts_are_remembered_by_server_and_forgotten(memory_keyring: MemoryKeyring) -> None:
    credentials.store(SERVER, Credentials("alice", "a", "prompt"))
    credentials.store(SERVER, Credentials("bob", "b", "prompt"))
    credentials.store("http://127.0.0.1:1", Credentials("carol", "c", "prompt"))
    assert credentials.known(SERVER) == ("bob", "alice")
    assert credentials.default_account(SERVER) == "bob"
    del memory_keyring.kept[f"cldc {SERVER}", "alice"]  # with the keyring's own program
    assert credentials.forget(SERVER) == ("bob", "alice")
    assert credentials.known(SERVER) == ()
    assert list(memory_keyring.kept.values()) == ["c"]
    assert credentials.forget(SERVER, "bob") == ()


def test_a_broken_keyring_is_skipped_for_reading_and_reported_for_storing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    credentials.store(SERVER, Credentials("alice", CANARY, "prompt"))
    keyring.set_keyring(BrokenKeyring())
    notes = Heard()
    found = credentials.find(SERVER, prompt=lambda _server, name: (name or "", "p"), observer=notes)
    assert found == Credentials("alice", "p", "prompt")
    # What a backend says may hold a secret.
    assert "OSError" in notes.notes[0]
    assert "D-Bus" not in notes.notes[0]
    with pytest.raises(CredentialsError, match="OSError") as raised:
        credentials.store(SERVER, found)
    assert "D-Bus" not in str(raised.value)
    assert "CODALAB_USERNAME" in raised.value.action
    with pytest.raises(CredentialsError, match="does not remove"):
        credentials.forget(SERVER)


def test_a_keyring_that_keeps_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_keyring(ForgetfulKeyring())
    with pytest.raises(CredentialsError, match="does not keep"):
        credentials.store(SERVER, Credentials("alice", CANARY, "prompt"))
    assert credentials.known(SERVER) == ()


def test_without_a_keyring_nothing_is_read_and_storing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring.set_keyring(fail.Keyring())  # type: ignore[no-untyped-call]
    notes = Heard()
    credentials.find(
        SERVER, prompt=lambda _server, _name: ("alice", CANARY), username="alice", observer=notes
    )
    assert notes.notes == ["Continuing without the keyring: this machine has none."]
    with pytest.raises(CredentialsError, match="no working keyring"):
        credentials.store(SERVER, Credentials("alice", CANARY, "prompt"))


def test_passwords_stay_out_of_reprs_and_files(tmp_path: Path) -> None:
    account = Credentials("alice", CANARY, "prompt")
    assert CANARY not in f"{account} {account!r} {[account]}"
    credentials.store(SERVER, account)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    assert all(CANARY not in path.read_text() for path in files)
    if os.name != "nt":
        assert {stat.S_IMODE((tmp_path / "accounts.json").stat().st_mode)} == {0o600}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"https://codalab.example": 3}', "\ud800", '{"https://codalab.example": ["\ud800"]}'],
)
def test_a_spoilt_list_of_accounts_costs_no_more_than_a_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "accounts.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    assert credentials.known(SERVER) == ()
    credentials.store(SERVER, Credentials("alice", CANARY, "prompt"))
    assert credentials.known(SERVER) == ("alice",)


class SilentKeyring(MemoryKeyring):
    """Waits for someone to unlock it."""

    def get_password(self, service: str, username: str) -> str | None:
        threading.Event().wait()
        return None


def test_a_keyring_that_never_answers_is_left_out_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.store(SERVER, Credentials("alice", CANARY, "prompt"))
    keyring.set_keyring(SilentKeyring())
    monkeypatch.setattr(credentials, "KEYRING_SECONDS", 0.1)
    notes = Heard()
    found = credentials.find(SERVER, prompt=lambda _server, name: (name or "", "p"), observer=notes)
    assert found == Credentials("alice", "p", "prompt")
    assert "did not answer" in notes.notes[0]
    with pytest.raises(CredentialsError, match="did not answer"):
        credentials.keyring_name()


@pytest.mark.parametrize("answers", [["alice", "s3cret-\udcff"], ["alic\udcff"]])
def test_an_answer_in_another_encoding_is_refused(tmp_path: Path, answers: list[str]) -> None:
    terminal = Terminal("login", "--server", SERVER, cwd=tmp_path, CLDC_HOME=str(tmp_path / "home"))
    for question, answer in zip(("User name", "Password"), answers, strict=False):
        terminal.answer(question, answer)
    code, text = terminal.end()
    assert "not UTF-8 text" in text
    assert code == 2


@pytest.mark.parametrize(
    ("password", "why"), [("s3cret-\udcff", "not UTF-8"), (f"{CANARY}\n", "ends with a line break")]
)
def test_a_password_that_cannot_be_meant_is_refused_by_its_fault(
    monkeypatch: pytest.MonkeyPatch, password: str, why: str
) -> None:
    monkeypatch.setenv("CODALAB_USERNAME", "alice")
    monkeypatch.setenv("CODALAB_PASSWORD", password)
    with pytest.raises(CredentialsError, match=why) as raised:
        credentials.find(SERVER)
    assert password.strip() not in str(raised.value)
    monkeypatch.setenv("CODALAB_USERNAME", password)
    with pytest.raises(CredentialsError, match=f"CODALAB_USERNAME .*{why}"):
        credentials.find(SERVER)
