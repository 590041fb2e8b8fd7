"""Archives with any kind of member, and what came of one."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.folders import contents

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


def files(folder: Path) -> dict[str, bytes]:
    """The files below, which are regular ones in real folders."""
    for path in folder.rglob("*"):
        assert stat.S_ISREG(path.lstat().st_mode) or stat.S_ISDIR(path.lstat().st_mode)
        assert path.lstat().st_nlink == 1 or path.is_dir()
    return contents(folder)


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
