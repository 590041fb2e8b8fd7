"""Inspect many files, on two processors where that pays."""

from __future__ import annotations

import gc
import marshal
import os
import sys
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterator, Sequence
from typing import Any

from cldc.dataset import Image, ImageFile
from cldc.errors import ProcessFailed
from cldc.progress import Observer
from cldc.validation.collecting import no_collections
from cldc.validation.inspection import Inspection, inspect_file, pack, passed_over, unpack
from cldc.validation.memory_use import LARGE

# A second process costs a fifth of a second and 40 MB; a third would not fit into what we promise to use.
_WORTH_A_PROCESS = 600
_CHUNK = 48
_PATIENCE_SECONDS = 600.0

Inspected = tuple[Image, Inspection | None]


def inspect_all(
    root: str, entries: Sequence[ImageFile], observer: Observer
) -> Iterator[tuple[int, Inspected]]:
    """Inspect ``entries`` in any order; what comes has the entry's place in front."""
    # One large file at a time: memory has no room for two.
    large = [place for place, entry in enumerate(entries) if entry.size > LARGE]
    small = [place for place, entry in enumerate(entries) if entry.size <= LARGE]
    chunks = [small[at : at + _CHUNK] for at in range(0, len(small), _CHUNK)]
    helper = _helper(root, entries, chunks)
    done = 0
    gc.freeze()  # what was made until now is not looked at by each of the collections below
    try:
        while large or chunks or (helper and helper.busy):
            found: list[tuple[int, Inspected]] = []
            if helper and (helper.ready or (helper.busy and not large and not chunks)):
                for place, (image, seen) in helper.take():
                    if seen is not None and passed_over(seen, LARGE):
                        large.append(place)
                    else:
                        found.append((place, (image, seen)))
            if large:
                place = large.pop()
                found.append((place, inspect_file(root, entries[place])))
            elif chunks:
                found += [(place, inspect_file(root, entries[place])) for place in chunks.pop()]
            yield from found
            done += len(found)
            observer.advance(done)
            gc.collect(0)
    finally:
        if helper:
            helper.close()


def judge_all(root: str, entries: Sequence[ImageFile], observer: Observer) -> Iterator[tuple[int, Inspected]]:
    """As `inspect_all`, but without looking at pictures, which one process does sooner than another starts."""
    gc.freeze()
    for place, entry in enumerate(entries):
        yield place, inspect_file(root, entry, most_pixels=0)
        if place % _CHUNK == 0:
            observer.advance(place)
            gc.collect(0)
    observer.advance(len(entries))


def _helper(root: str, entries: Sequence[ImageFile], chunks: list[list[int]]) -> _Helper | None:
    if len(entries) < _WORTH_A_PROCESS or _processors() < 2:
        return None
    try:
        return _Helper(root, entries, chunks)
    except (ProcessFailed, OSError):  # no more processes are allowed; then it takes longer
        return None


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Helper:
    """Another process that takes chunk after chunk of the common list. If it dies, it gives back what it had."""

    def __init__(self, root: str, entries: Sequence[ImageFile], chunks: list[list[int]]) -> None:
        self._entries = entries
        self._chunks = chunks
        self._given: list[list[int]] = []
        from cldc.process import Child

        # Not by multiprocessing: its resource tracker would be one more process, of 13 MB. Without -P it would import
        # whatever lies in the current folder under the name of a module.
        self._child = Child([sys.executable, "-P", "-m", "cldc.validation.workers", root])
        # Two, so that it has the next in hand while we look at what it sent.
        self._give()
        self._give()

    @property
    def busy(self) -> bool:
        """Whether something is still to come from it."""
        return bool(self._given)

    @property
    def ready(self) -> bool:
        """Whether `take` would come back at once."""
        return self.busy and self._child.ready

    def take(self) -> list[tuple[int, Inspected]]:
        """What came back; the next chunk goes out in its place."""
        try:
            results, packed = _decoded(self._child.receive(_PATIENCE_SECONDS).encode())
            seen = unpack(packed)
            images = [
                (place, _image(self._entries[place], *result))
                for place, result in zip(self._given[0], results, strict=True)
            ]
            found = [(place, (image, seen.get(image.sha256))) for place, image in images]
        except (ProcessFailed, EOFError, TypeError, ValueError):
            # It is gone, or something else in it, such as a sitecustomize, wrote to its output.
            self._lose()
            return []
        self._given.pop(0)
        self._give()
        return found

    def _give(self) -> None:
        if not self._chunks:
            return
        part = self._chunks.pop()
        self._given.append(part)
        try:
            self._child.send(_encoded([_plain(self._entries[place]) for place in part]).decode())
        except ProcessFailed:
            self._lose()

    def _lose(self) -> None:
        self._chunks.extend(self._given)
        self._given = []

    def close(self) -> None:
        """End the process, whatever it does."""
        self._child.__exit__()


def _encoded(values: Any) -> bytes:
    """Plain values as a line without its end."""
    return b2a_base64(marshal.dumps(values), newline=False)


def _decoded(line: bytes) -> Any:
    return marshal.loads(a2b_base64(line))  # noqa: S302 - from our own process


def _image(entry: ImageFile, size: int, sha256: str, trouble: str) -> Image:
    return Image(entry.split, entry.label, entry.path, size or entry.size, sha256, entry.link, trouble)


def _plain(entry: ImageFile) -> tuple[Any, ...]:
    return entry.split, entry.label, entry.path, entry.link, entry.error


def _work(root: str) -> None:
    """Runs in the other process until its input is closed."""
    with no_collections():
        for line in sys.stdin.buffer:
            results, contents = [], {}
            for split, label, path, link, trouble in _decoded(line):
                entry = ImageFile(split, label, path, link=link, error=trouble)
                image, found = inspect_file(root, entry, most_pixels=LARGE)
                results.append((image.size, image.sha256, image.error))
                if found is not None:
                    contents[image.sha256] = found
            sys.stdout.buffer.write(_encoded((results, pack(contents))) + b"\n")
            sys.stdout.buffer.flush()
            gc.collect(0)


if __name__ == "__main__":
    _work(sys.argv[1])
