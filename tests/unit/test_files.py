"""Atomic writes, locks, the data folder, and the errors of a failing disk."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from cldc import files
from cldc.errors import StorageError
from tests.support.commands import Cldc
from tests.support.folders import make_dataset
from tests.support.observers import Heard


def test_the_data_folder_is_the_chosen_one_and_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLDC_HOME", str(tmp_path / "deep" / "home"))
    folder = files.data_folder()
    assert folder == tmp_path / "deep" / "home"
    if os.name != "nt":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def readable_data_folder(folder: Path) -> Path:
    """As an earlier cldc, or a person, may have made it."""
    folder.mkdir()
    (folder / "environments").mkdir()
    for name in ("ledger.sqlite3", "accounts.json"):
        (folder / name).touch(0o644)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "file").touch(0o644)
    (folder / "tool").touch(0o755)
    (folder / "link").symlink_to(folder.parent / "outside")
    (folder.parent / "outside").touch(0o644)
    folder.chmod(0o755)
    return folder


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_a_data_folder_that_others_can_read_is_closed_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = readable_data_folder(tmp_path / "home")
    monkeypatch.setenv("CLDC_HOME", str(home))
    notes = Heard()
    assert files.data_folder(notes) == home
    assert mode(home) == mode(home / "environments") == mode(home / "tool") == 0o700
    assert mode(home / "ledger.sqlite3") == mode(home / "accounts.json") == 0o600
    assert mode(tmp_path / "outside") == 0o644
    assert notes.notes == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.parametrize("purpose", ["working folder", "home", "above", "sticky", "group"])
def test_a_folder_that_serves_for_others_as_well_keeps_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, purpose: str
) -> None:
    home = readable_data_folder(tmp_path / "home")
    monkeypatch.setenv("CLDC_HOME", str(home))
    if purpose == "working folder":
        monkeypatch.chdir(home)
    elif purpose == "home":
        monkeypatch.setenv("HOME", str(home))
    elif purpose == "above":
        monkeypatch.chdir(home / "elsewhere")
    else:
        home.chmod({"sticky": 0o1777, "group": 0o2775}[purpose])
    before = mode(home)
    files.data_folder()
    assert mode(home) == before
    assert mode(home / "tool") == 0o755


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root can give a folder away")
def test_a_data_folder_of_somebody_else_stays_as_it_is_and_that_is_said(
    tmp_path: Path, bare_cldc: Cldc
) -> None:
    home = readable_data_folder(tmp_path / "theirs")
    os.chown(home, 4321, 4321)
    output = bare_cldc("env", "list", cwd=tmp_path, CLDC_HOME=str(home)).err
    assert (
        f"Others can read the data folder {home}, and that can't be changed: it belongs to another" in output
    )
    assert mode(home) == 0o755
    assert bare_cldc("env", "list", "-q", cwd=tmp_path, CLDC_HOME=str(home)).err == ""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_what_a_check_remembers_can_be_read_by_its_owner_only(bare_cldc: Cldc, tmp_path: Path) -> None:
    make_dataset(tmp_path / "mine")
    bare_cldc("validate", tmp_path / "mine")
    kept = [path for path in bare_cldc.home.iterdir() if path.is_file()]
    assert kept
    assert {mode(path) & 0o077 for path in kept} == {0}


def test_the_data_folder_is_absolute_from_a_relative_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLDC_HOME", "here")
    assert files.data_folder() == tmp_path / "here"


def test_a_file_in_the_place_of_the_data_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("CLDC_HOME", str(tmp_path / "home"))
    with pytest.raises(StorageError, match="home"):
        files.data_folder()


def test_replacing_sets_content_and_mode_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "state.json"
    target.write_text("old")
    files.replace_atomically(target, "né")
    assert target.read_bytes() == "né".encode()
    assert list(tmp_path.iterdir()) == [target]
    if os.name != "nt":
        assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_link_stays_and_a_target_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    files.replace_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text(encoding="utf-8") == "new"
    with pytest.raises(StorageError, match="is not a file"):
        files.replace_atomically(Path(os.devnull), "new")
    assert Path(os.devnull).is_char_device()


def test_a_full_disk_keeps_the_old_content_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "state.json"
    target.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(files.DiskFull, match=r"state\.json") as raised:
        files.replace_atomically(target, "new")
    assert "Free some space" in raised.value.action
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_missing_folder_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone"):
        files.replace_atomically(tmp_path / "gone" / "x", b"")
    with pytest.raises(StorageError, match="nothing"):
        files.hash_file(tmp_path / "nothing")


def test_hashes_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert files.hash_file(tmp_path / "abc") == files.hash_bytes("abc") == expected


def _hold(path: Path, held: Event) -> None:
    with files.lock(path, purpose="holding"):
        held.set()
        time.sleep(600)


def test_a_lock_says_that_it_waits_names_itself_when_it_gives_up_and_is_free_after_a_kill(
    tmp_path: Path,
) -> None:
    path = tmp_path / "guard.lock"
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(path, held))
    holder.start()
    try:
        assert held.wait(120)
        notes = Heard()
        with (
            pytest.raises(files.LockTimeout, match=r"making it.*guard\.lock"),
            files.lock(path, purpose="making it", observer=notes, timeout_seconds=1.2),
        ):
            pass
        assert notes.notes == ["Another cldc is making it; waiting for it."]
        holder.kill()
        with files.lock(path, purpose="making it", timeout_seconds=120):
            pass
    finally:
        holder.kill()
        holder.join()


def test_a_temporary_folder_goes_even_when_read_only(tmp_path: Path) -> None:
    with files.temporary_folder("x-", tmp_path) as folder:
        (folder / "view").mkdir()
        (folder / "view" / "image.png").write_bytes(b"")
        (folder / "view").chmod(0o500)
    assert not folder.exists()


def test_an_interruption_while_a_temporary_folder_is_made_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("filelock.FileLock.acquire", interrupted)
    with pytest.raises(KeyboardInterrupt), files.temporary_folder("x-", tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("number", "message"),
    [(errno.EACCES, "No permission"), (errno.EROFS, "No permission"), (errno.ENOSPC, "No space")],
)
def test_a_failing_disk_is_reported_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "x").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", refuse)  # root may write anywhere, so the refusal has to be made up
    with pytest.raises(StorageError, match=message):
        files.replace_atomically(tmp_path / "x", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == b"before"


def test_the_lock_does_not_outlive_its_block(tmp_path: Path) -> None:
    with files.lock(tmp_path / "l", purpose="holding it"):
        pass
    with files.lock(tmp_path / "l", purpose="testing", timeout_seconds=0):
        assert (tmp_path / "l").exists()
