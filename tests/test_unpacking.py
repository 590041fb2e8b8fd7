"""Archives from a server: nothing in one is written outside of its new folder, and nothing is overwritten."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cldc import process
from cldc.environments import ensure_codalab
from cldc.inside import unpacking
from cldc.inside.unpacking import Refused, checked_parts, unpack_tar, unpack_zip
from tests.conftest import ROOT

FILE, FOLDER, SYMLINK, HARDLINK, DEVICE, PIPE, SPARSE, ODD = (
    tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE,
    tarfile.GNUTYPE_SPARSE, b"7",
)  # fmt: skip
KINDS = (FILE, FOLDER, SYMLINK, HARDLINK, DEVICE, PIPE, SPARSE, ODD)


@dataclass(frozen=True)
class Member:
    name: str
    kind: bytes = FILE
    link: str = ""
    content: bytes = b"new"


def tar(*members: Member, form: int = tarfile.GNU_FORMAT) -> bytes:
    """A .tar.gz with just these members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", format=form, compresslevel=1) as archive:
        for member in members:
            info = tarfile.TarInfo(member.name)
            info.type, info.linkname = member.kind, member.link
            info.size = len(member.content) if member.kind == FILE else 0
            archive.addfile(info, io.BytesIO(member.content))
    return packed.getvalue()


def zipped(*members: Member) -> bytes:
    """A .zip with just these members; what is no file or folder is so by its mode."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for member in members:
            info = zipfile.ZipInfo("x")
            info.filename = member.name + ("/" if member.kind == FOLDER else "")  # as it is, also with a NUL
            kinds = {FILE: stat.S_IFREG, FOLDER: stat.S_IFDIR, SYMLINK: stat.S_IFLNK, DEVICE: stat.S_IFCHR}
            info.external_attr = (kinds.get(member.kind, stat.S_IFIFO) | 0o644) << 16
            content = {FOLDER: b"", SYMLINK: member.link.encode()}.get(member.kind, member.content)
            archive.NameToInfo.clear()  # it would warn of two of one name
            archive.writestr(info, content)
    return packed.getvalue()


@dataclass
class Place:
    """A folder with a file that is precious, and beside it room for an archive's contents."""

    root: Path
    before: dict[str, bytes | None] = field(default_factory=dict)

    @property
    def target(self) -> Path:
        return self.root / "deep" / "target"

    def unpack(self, content: bytes, **limits: int) -> None:
        if content.startswith(b"PK"):
            unpack_zip(io.BytesIO(content), str(self.target), **limits)
        else:
            (self.root / "archive").write_bytes(content)
            try:
                unpack_tar(str(self.root / "archive"), str(self.target), **limits)
            finally:
                (self.root / "archive").unlink()

    def outside(self) -> dict[str, bytes | None]:
        """All that is here, but for what was unpacked."""
        found = (path for path in self.root.rglob("*") if self.target not in (path, *path.parents))
        return {str(path): path.read_bytes() if path.is_file() else None for path in found}


@contextmanager
def place() -> Iterator[Place]:
    """Nothing in it but what is in the target may be different in the end."""
    with tempfile.TemporaryDirectory() as folder:
        made = Place(Path(folder).resolve())
        (made.root / "deep").mkdir()
        (made.root / "victim").write_bytes(b"precious")
        (made.root / "deep" / "victim").write_bytes(b"precious")
        made.before = made.outside()
        yield made
        assert made.outside() == made.before


def files(folder: Path) -> dict[str, bytes]:
    """The files below, which are regular ones in real folders."""
    for path in folder.rglob("*"):
        assert stat.S_ISREG(path.lstat().st_mode) or stat.S_ISDIR(path.lstat().st_mode)
        assert path.lstat().st_nlink == 1 or path.is_dir()
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


PARTS = st.sampled_from(
    ["a", "A", "b", "a.png", ".DS_Store", "é", "e\u0301", "..", ".", "", "victim", "/", "C:", "c:a", "a\\b", "..\\victim", "a\0b", "\0",
     "l" * 255, "l" * 256, "\udc80", "nul", "a ", "a:b", "\n", "\x1b[2J"]
)  # fmt: skip
NAMES = st.lists(PARTS, max_size=5).map("/".join) | st.just("a/" * 40 + "a")
TARGETS = st.sampled_from(["..", "../..", "../victim", "../../victim", "/etc/passwd", "a", "b", ".", "/"])
MEMBERS = st.lists(
    st.builds(Member, NAMES, st.sampled_from(KINDS) | st.sampled_from((FILE, FOLDER)), TARGETS, st.sampled_from([b"", b"1", b"22"])),
    max_size=6,
)  # fmt: skip


@given(MEMBERS, st.sampled_from(["gnu", "pax", "zip"]))
@example([Member("a", SYMLINK, ".."), Member("a/victim")], "gnu")
@example([Member("a", SYMLINK, "b"), Member("b", SYMLINK, "../.."), Member("a/victim")], "pax")
@example([Member("a", HARDLINK, "../victim"), Member("a")], "gnu")
@example([Member("a"), Member("a")], "gnu")
@example([Member("a"), Member("a/b")], "zip")
@example([Member("a/b"), Member("a")], "pax")
@example([Member("a", content=b"1"), Member("A", content=b"22")], "zip")
def test_nothing_is_written_outside_and_nothing_overwritten(members: list[Member], form: str) -> None:
    try:
        if form == "zip":
            content = zipped(*members)
        else:
            content = tar(*members, form=tarfile.GNU_FORMAT if form == "gnu" else tarfile.PAX_FORMAT)
    except (UnicodeEncodeError, ValueError):
        return  # no writer of archives makes that
    with place() as here:
        try:
            here.unpack(content)
        except Refused:
            assert not here.target.exists()
            return
        # Taken as it is: only files and folders, each file once and as the archive has it.
        assert {member.kind for member in members} <= {FILE, FOLDER}
        told = [(m.name.removeprefix("./"), m.content) for m in members if m.kind == FILE]
        assert sorted(files(here.target).items()) == sorted(told)


def bypass(victim: str) -> bytes:
    """CVE-2025-4517 as CPython's own test has it: links whose target is too long to be resolved, then a file over one."""
    folder, steps = "d" * 247, "abcdefghijklmnop"
    members, path = [], ""
    for step in steps:
        members += [Member(f"{path}{folder}", FOLDER), Member(f"{path}{step}", SYMLINK, folder)]
        path += f"{folder}/"
    link = "/".join(steps) + "/" + "l" * 254
    up = "../" * len(steps)
    members += [Member(link, SYMLINK, up), Member("escape", SYMLINK, f"{link}/../..")]
    return tar(*members, Member("hard", HARDLINK, f"escape/{victim}"), Member("hard", content=b"gone"))


def test_the_known_way_past_pythons_own_filter_is_closed() -> None:
    with place() as here, pytest.raises(Refused, match=r"no regular file or folder|too long"):
        here.unpack(bypass("victim"))


def test_a_folder_as_codalab_packs_it_is_unpacked_whole(tmp_path: Path, real_data: Path) -> None:
    members = [
        Member(".", FOLDER),
        Member("./book", FOLDER),
        Member("./book/.DS_Store"),
        Member("./book/i", FOLDER),
        Member("./book/i/b c (1).png", content=b"x" * 200_000),
    ]
    long = Member("./book/i/" + "n" * 200 + ".png")
    for content in (
        tar(*members, form=tarfile.USTAR_FORMAT),
        tar(*members, long),
        tar(*members, long, form=tarfile.PAX_FORMAT),
    ):
        with place() as here:
            here.unpack(content)
            assert files(here.target)["book/i/b c (1).png"] == b"x" * 200_000
            assert (here.target / "book" / ".DS_Store").exists()
    assert len(files(real_data / "label_book")) > 50


def pax_bomb() -> bytes:
    """An extended header of 200 MB, which a reader takes into memory whole."""
    size = 200 * 2**20
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, size
    return gzip.compress(header.tobuf() + b"\0" * size, 1)


def chain() -> bytes:
    """Long names upon long names."""
    name = tarfile.TarInfo("x")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 512
    return gzip.compress((name.tobuf(format=tarfile.GNU_FORMAT) + b"n" * 512) * 5000, 1)


def broken_header() -> bytes:
    """Where tarfile would end as if that were all."""
    plain = bytearray(gzip.decompress(tar(Member("a"), Member("b"), Member("c"))))
    plain[1024:1034] = b"?" * 10
    return gzip.compress(plain)


def claims(size: int) -> bytes:
    """A zip whose directory claims another size for its only file."""
    content = bytearray(zipped(Member("a", content=b"x" * 100)))
    at = content.index(b"PK\1\2") + 24
    content[at : at + 4] = struct.pack("<I", size)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (tar(Member("a", content=b"x" * 20_001)), "more than 0 MiB"),
        (zipped(Member("a", content=b"x" * 20_001)), "more than 0 MiB"),
        (tar(*[Member(f"{n}") for n in range(101)]), "more than 100 files"),
        (zipped(*[Member(f"{n}", FOLDER) for n in range(101)]), "more than 100 files"),
        (tar(Member("a/" * 32 + "a")), "deep"),
        (pax_bomb(), "header that is too large"),
        (chain(), "damaged"),
        (broken_header(), "a header can't be read"),
        (tar(Member("a", content=b"x" * 9000))[:-60], "damaged"),
        (gzip.compress(gzip.decompress(tar(Member("a"))) + b"\0" * 2 * 2**20), "goes on after its end"),
        (claims(200), "damaged|not as long"),
        (claims(50), "damaged|not as long"),
        (zipped(), "empty"),
        (b"no archive at all", "damaged"),
        (b"", "damaged"),
        (b"PK no archive at all", "damaged"),
    ],
)  # fmt: skip
def test_what_is_too_much_or_damaged_is_refused_in_little_memory(
    monkeypatch: pytest.MonkeyPatch, content: bytes, says: str
) -> None:
    monkeypatch.setattr(unpacking, "LIMIT_MEMBERS", 100)
    with place() as here:
        tracemalloc.start()
        try:
            with pytest.raises(Refused, match=says):
                here.unpack(content, limit_bytes=20_000)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert not here.target.exists()
    assert peak < 8 * 2**20


def test_a_folder_that_is_there_is_left_alone() -> None:
    for content in (tar(Member("victim")), zipped(Member("victim"))):
        with place() as here:
            here.target.symlink_to(here.root)
            with pytest.raises(FileExistsError):
                here.unpack(content)
        with place() as here:
            here.target.mkdir()
            (here.target / "victim").write_bytes(b"precious")
            with pytest.raises(FileExistsError):
                here.unpack(content)
            assert files(here.target) == {"victim": b"precious"}


@given(st.data())
def test_a_damaged_archive_is_refused_or_means_what_it_meant(data: st.DataObject) -> None:
    """Whatever byte changed on the way, and whatever byte a server changed before it packed."""
    good = [Member("a/b", content=b"1" * 600), Member("a/c", FOLDER), Member("d" * 120, content=b"2")]
    make: Callable[..., bytes] = data.draw(st.sampled_from([tar, zipped]))
    content = make(*good)
    before_packing = make is tar and data.draw(st.booleans())
    spoilt = bytearray(gzip.decompress(content) if before_packing else content)
    for _ in range(data.draw(st.integers(1, 4))):
        spoilt[data.draw(st.integers(0, min(len(spoilt), 4000) - 1))] = data.draw(st.integers(0, 255))
    spoilt = spoilt[: data.draw(st.integers(0, len(spoilt)) | st.just(len(spoilt)))]
    with place() as here:
        try:
            here.unpack(gzip.compress(bytes(spoilt), 1) if before_packing else bytes(spoilt))
        except Refused:
            assert not here.target.exists()
        else:
            files(here.target)


@pytest.mark.parametrize(
    ("name", "parts"),
    [("./a/b", ["a", "b"]), ("a/", ["a"]), (".", []), ("./", []), ("a b", ["a b"]), ("12:30.png", ["12:30.png"])],
)  # fmt: skip
def test_names_that_are_taken(name: str, parts: list[str]) -> None:
    assert checked_parts(name, windows=False) == parts


@pytest.mark.parametrize(
    "name", ["nul", "NUL.png", "com1", "a:b", "a.", "a ", "a/aux /b", "a?", "\x1f", "lpt\u00b9.txt"]
)
def test_names_that_windows_would_take_for_something_else(name: str) -> None:
    with pytest.raises(Refused):
        checked_parts(name, windows=True)


@pytest.mark.real
def test_the_sandbox_unpacks_an_upload_on_machines_without_unzip(
    environments_home: Path, tmp_path: Path
) -> None:
    for name, member in (("good", Member("v0/train/i/1.png")), ("bad", Member("../victim"))):
        (tmp_path / f"{name}.zip").write_bytes(zipped(member))
    (tmp_path / "victim").write_text("precious")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import os; from inside import tools\n"
        "os.environ['PATH'] = ''; tools.prepare()\n"
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
