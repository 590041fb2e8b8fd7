"""Archives from a server: nothing in one is written outside of its new folder, and nothing is overwritten."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cldc.inside import unpacking
from cldc.inside.unpacking import Refused, checked_parts, unpack_tar, unpack_zip
from tests.support.archives import (
    FILE,
    FOLDER,
    HARDLINK,
    KINDS,
    SYMLINK,
    Member,
    bypass,
    files,
    tar,
    zipped,
)


@dataclass
class UnpackingFolder:
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
def unpacking_folder() -> Iterator[UnpackingFolder]:
    """Nothing in it but what is in the target may be different in the end."""
    with tempfile.TemporaryDirectory() as folder:
        made = UnpackingFolder(Path(folder).resolve())
        (made.root / "deep").mkdir()
        (made.root / "victim").write_bytes(b"precious")
        (made.root / "deep" / "victim").write_bytes(b"precious")
        made.before = made.outside()
        yield made
        assert made.outside() == made.before


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
@example([Member("a\0b", link="..")], "gnu")
@example([Member("a/\0")], "gnu")
def test_nothing_is_written_outside_and_nothing_overwritten(members: list[Member], form: str) -> None:
    try:
        if form == "zip":
            content = zipped(*members)
        else:
            content = tar(*members, form=tarfile.GNU_FORMAT if form == "gnu" else tarfile.PAX_FORMAT)
    except (UnicodeEncodeError, ValueError):
        return  # no writer of archives makes that
    with unpacking_folder() as here:
        try:
            here.unpack(content)
        except Refused:
            assert not here.target.exists()
            return
        # Taken as it is: only files and folders, each file once and as the archive has it.
        assert {member.kind for member in members} <= {FILE, FOLDER}
        # A header's name ends at a NUL, and a path means the same with a slash at its end.
        names = [str(PurePosixPath(member.name.partition("\0")[0])) for member in members]
        named = [(name, m.content) for name, m in zip(names, members, strict=True) if m.kind == FILE]
        assert sorted(files(here.target).items()) == sorted(named)


def test_the_known_way_past_pythons_own_filter_is_closed() -> None:
    with unpacking_folder() as here, pytest.raises(Refused, match=r"no regular file or folder|too long"):
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
        with unpacking_folder() as here:
            here.unpack(content)
            assert files(here.target)["book/i/b c (1).png"] == b"x" * 200_000
            assert (here.target / "book" / ".DS_Store").exists()
    assert len(files(real_data / "label_book")) > 50


def pax_bomb() -> bytes:
    """An extended header of 50 MB, which a reader takes into memory whole."""
    size = 50 * 2**20
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
    with unpacking_folder() as here:
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
        with unpacking_folder() as here:
            here.target.symlink_to(here.root)
            with pytest.raises(FileExistsError):
                here.unpack(content)
        with unpacking_folder() as here:
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
    with unpacking_folder() as here:
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
def test_an_ordinary_name_is_split_into_its_parts(name: str, parts: list[str]) -> None:
    assert checked_parts(name, windows=False) == parts


@pytest.mark.parametrize(
    "name", ["nul", "NUL.png", "com1", "a:b", "a.", "a ", "a/aux /b", "a?", "\x1f", "lpt\u00b9.txt"]
)
def test_a_name_that_windows_would_misread_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        checked_parts(name, windows=True)
