"""Folders for tests: datasets drawn small, odd ones, and the competition's own where it is at hand."""

from __future__ import annotations

import contextlib
import os
import zlib
from pathlib import Path
from random import Random

from PIL import Image

from tests.support.images import chunk, ihdr, saved

CLASSES = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x")


def png(shade: int = 0, *, width: int = 4, height: int = 4) -> bytes:
    """A grey 8-bit PNG; another shade is another content."""
    rows = b"".join(b"\0" + bytes((shade + x) % 256 for x in range(width)) for _ in range(height))
    return ihdr(width, height) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def drawn() -> list[bytes]:
    """Rows of a drawing, no two of them alike."""
    return [bytes(0 if (x * y + x // 3) % 7 < 2 else 255 for x in range(30)) for y in range(5, 40)]


def padded(rows: list[bytes], margin: int) -> bytes:
    """A PNG of rows of 30 pixels with a white margin of so many pixels on each side."""
    picture = Image.new("L", (30 + 2 * margin, len(rows) + 2 * margin), 255)
    picture.paste(Image.frombytes("L", (30, len(rows)), b"".join(rows)), (margin, margin))
    return saved(picture, "PNG")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below, by its path from there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def make_dataset(root: Path, *, train: int = 2, val: int = 1, classes: tuple[str, ...] = CLASSES) -> Path:
    """A valid dataset with that many images a class; no two have the same content."""
    shade = 0
    for split, count in (("train", train), ("val", val)):
        for label in classes:
            (root / split / label).mkdir(parents=True)
            for index in range(count):
                path = root / split / label / f"{index}.png"
                path.write_bytes(png(shade % 256, width=4 + shade // 256))
                shade += 1
    return root


_FOLDER_NAMES = ("sub", ".ipynb_checkpoints", "__MACOSX", "ii", "dir.png", "deep er")
_FILE_NAMES = (
    "a.png", "B.PNG", "c.JpG", "d.jpeg", "e.gif", "f.bmp", ".hidden.png", "._a.png", ".png", "g.jpe", "h.jfif",
    "i.tif", "j.webp", "k.txt", "noending", "l.png~", "m.png.bak", "n.png ", "o.png.", "p q.png", "caf\u00e9.png",
    "cafe\u0301.png", "line\nbreak.png", "\U0001f600.bmp", ".DS_Store", "Thumbs.db", "q.pn\u212a", "r.g\u0130f",
)  # fmt: skip
_EXTRAS = ("extra", "I", "ii ", ".ipynb_checkpoints", "__MACOSX")


def make_odd_split(root: Path, random: Random) -> None:
    """One split of a dataset with anything odd in it that a user's folder may have."""
    root.mkdir(parents=True)
    for label in CLASSES:
        _make_class(root, label, random)
    if random.random() < 0.15:
        (root / random.choice(_EXTRAS)).mkdir()
    for name in random.sample(_FILE_NAMES, 2):
        (root / name).write_bytes(png())


def _make_class(root: Path, label: str, random: Random) -> None:
    chance = random.random()
    if chance < 0.01:
        return
    if chance < 0.02:
        (root / label).write_bytes(b"")
        return
    target = root / label
    if chance < 0.1:
        target = root.parent / f"elsewhere-{root.name}-{label}"
        (root / label).symlink_to(target, target_is_directory=True)
    target.mkdir()
    if chance > 0.25:
        fill_oddly(target, random, depth=2)


def fill_oddly(folder: Path, random: Random, *, depth: int) -> None:
    """Files, links and folders with odd names."""
    for name in random.sample(_FILE_NAMES, 4):
        (folder / name).write_bytes(png())
    with contextlib.suppress(FileExistsError):
        if random.random() < 0.2:
            (folder / "link.png").symlink_to("a.png")
        if random.random() < 0.1:
            (folder / "dangling.png").symlink_to("nothing")
        if random.random() < 0.1:
            (folder / "circle.png").symlink_to("circle.png")
        if random.random() < 0.1:
            (folder / "linked-folder").symlink_to("..", target_is_directory=True)
        if random.random() < 0.1:
            (folder / "linked.png").symlink_to("..", target_is_directory=True)
        if random.random() < 0.05:
            os.mkfifo(folder / "pipe.png")
        if random.random() < 0.01:
            (folder / os.fsdecode(b"caf\xe9.png")).write_bytes(png())
    if depth:
        for name in random.sample(_FOLDER_NAMES, random.choice((0, 0, 1, 2))):
            (folder / name).mkdir()
            fill_oddly(folder / name, random, depth=depth - 1)
