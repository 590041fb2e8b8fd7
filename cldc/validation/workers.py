"""Inspect many files, on two processors where that pays."""

from __future__ import annotations

import contextlib
import marshal
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from cldc.dataset import Entry, Image
from cldc.progress import Observer
from cldc.validation.collecting import rare_collections
from cldc.validation.inspection import Inspection, inspect_entry, pack, unpack

# A second process costs a fifth of a second and 40 MB; a third would not fit into what we promise to use.
_WORTH_A_PROCESS = 600
_CHUNK = 48

Inspected = tuple[Image, Inspection | None]


def inspect_all(root: str, entries: Sequence[Entry], observer: Observer) -> Iterator[tuple[int, Inspected]]:
    """Inspect ``entries`` in any order; what comes has the entry's place in front."""
    chunks = [range(at, min(at + _CHUNK, len(entries))) for at in range(0, len(entries), _CHUNK)]
    helper = (
        _Helper(root, entries, chunks) if len(entries) >= _WORTH_A_PROCESS and _processors() > 1 else None
    )
    done = 0
    try:
        while chunks or (helper and helper.busy):
            found: list[tuple[int, Inspected]] = []
            if helper and helper.ready(wait=not chunks):
                found += helper.take()
            if chunks:
                found += [(place, inspect_entry(root, entries[place])) for place in chunks.pop()]
            yield from found
            done += len(found)
            observer.advance(done)
    finally:
        if helper:
            helper.close()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Helper:
    """Another process that takes chunk after chunk of the common list. If it dies, it gives back what it had."""

    def __init__(self, root: str, entries: Sequence[Entry], chunks: list[range]) -> None:
        # A new interpreter, since a fork of a program with threads (a progress bar has one) may hang.
        context = multiprocessing.get_context("spawn")
        self._entries = entries
        self._chunks = chunks
        self._given: list[range] = []
        self._here, there = context.Pipe()
        self._process = context.Process(target=_work, args=(there, root), daemon=True)
        self._process.start()
        there.close()
        # Two, so that it has the next in hand while we look at what it sent.
        self._give()
        self._give()

    @property
    def busy(self) -> bool:
        """Whether something is still to come from it."""
        return bool(self._given)

    def ready(self, *, wait: bool) -> bool:
        """Whether `take` would give something now."""
        return self.busy and self._here.poll(None if wait else 0)

    def take(self) -> list[tuple[int, Inspected]]:
        """What came back; the next chunk goes out in its place."""
        try:
            results = marshal.loads(self._here.recv_bytes())  # noqa: S302 - from our own process
        except (OSError, EOFError):
            self._lose()
            return []
        part = self._given.pop(0)
        self._give()
        return [
            (place, (_image(self._entries[place], *result), packed and unpack(packed)))
            for place, (*result, packed) in zip(part, results, strict=True)
        ]

    def _give(self) -> None:
        if not self._chunks:
            return
        part = self._chunks.pop()
        self._given.append(part)
        try:
            self._here.send_bytes(marshal.dumps([_plain(self._entries[place]) for place in part]))
        except OSError:
            self._lose()

    def _lose(self) -> None:
        self._chunks.extend(self._given)
        self._given = []

    def close(self) -> None:
        """End the process, whatever it does."""
        self._here.close()
        self._process.terminate()
        self._process.join()


def _image(entry: Entry, size: int, sha256: str, trouble: str) -> Image:
    return Image(entry.split, entry.label, entry.path, size or entry.size, sha256, entry.link, trouble)


def _plain(entry: Entry) -> tuple[Any, ...]:
    return entry.split, entry.label, entry.path.encode("utf-8", "surrogateescape"), entry.link, entry.trouble


def _work(pipe: Connection, root: str) -> None:
    """Runs in the other process until the pipe is closed."""
    with rare_collections(), contextlib.suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            results = []
            for split, label, path, link, trouble in marshal.loads(pipe.recv_bytes()):  # noqa: S302
                name = path.decode("utf-8", "surrogateescape")
                entry = Entry(split, label, name, link=link, trouble=trouble)
                image, found = inspect_entry(root, entry)
                results.append((image.size, image.sha256, image.trouble, found and pack(found)))
            pipe.send_bytes(marshal.dumps(results))
