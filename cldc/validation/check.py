"""One check of a folder: what is known is taken from memory, the rest is read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cldc.dataset import Entry, Image, Listing
from cldc.progress import Observer
from cldc.validation.alike import Evidence, Pair, same_drawings, same_drawings_as
from cldc.validation.decoding import Readable
from cldc.validation.inspection import Inspection, Settle, inspect_entry, pack, unpack
from cldc.validation.memory import Memory
from cldc.validation.words import number

# A label book: for each content's SHA-256 the root and the entries of files that have it.
Book = dict[str, list[tuple[Path, Entry]]]
# So many new contents are compared one by one with all others sooner than all with each other.
_FEW = 12


class Check:
    """What is found out about a folder.

    Attributes:
        listing: The folder as it was walked.
        images: In the order of the listing.
        inspections: For each content's SHA-256 what it shows; contents that can't be read have none.
    """

    def __init__(self, listing: Listing, memory: Memory, observer: Observer) -> None:
        self.listing = listing
        self._memory = memory
        self._observer = observer
        self._fresh: set[str] = set()
        known = memory.known_files(listing)
        self._known = memory.contents(listing) if known else {}
        self._book: dict[str, Inspection] = {}
        self.inspections = {
            sha: unpack(self._known[sha]) for sha in set(known.values()) if sha in self._known
        }
        self.images = self._read(known)

    def _read(self, known: dict[str, str]) -> list[Image]:
        entries = self.listing.entries
        images: dict[int, Image] = {}
        for place, entry in enumerate(entries):
            sha = known.get(entry.path, "")
            if sha in self.inspections:
                images[place] = Image(entry.split, entry.label, entry.path, entry.size, sha, entry.link)
        places = [place for place in range(len(entries)) if place not in images]
        left = [entries[place] for place in places]
        if left:
            from cldc.validation.workers import inspect_all

            self._observer.start("Checking images", total=len(left), unit="images")
            for at, (image, seen) in inspect_all(str(self.listing.root), left, self._observer):
                images[places[at]] = image
                if seen is not None and image.sha256 not in self.inspections:
                    self._fresh.add(image.sha256)
                    self.inspections[image.sha256] = seen
        return [images[place] for place in range(len(entries))]

    def settle(self, settle: Settle) -> None:
        """Replace unsure verdicts by TensorFlow's own, asked for all of them at once."""
        unsure = {sha for sha, found in self.inspections.items() if found.verdict.readable == Readable.UNSURE}
        if not unsure:
            return
        self._observer.start(f"Asking TensorFlow about {number(len(unsure), 'image')}")
        files: dict[str, Path] = {
            image.sha256: self.listing.root / image.path for image in self.images if image.sha256 in unsure
        }
        for sha, verdict in settle(files).items():
            self._fresh.add(sha)
            before = self.inspections[sha]
            # TensorFlow tells nothing of how the picture differs from what people see.
            told = replace(verdict, remarks=before.verdict.remarks or verdict.remarks)
            self.inspections[sha] = Inspection(told, before.features)

    def look_at(self, book: Book) -> None:
        """Take the drawings of a label book into the comparison."""
        for sha, ((root, entry), *_) in book.items():
            if sha in self.inspections:
                continue
            if sha in self._known:
                self._book[sha] = unpack(self._known[sha])
                continue
            image, seen = inspect_entry(str(root), entry)
            if seen is not None and image.sha256 == sha:
                self._fresh.add(sha)
                self._book[sha] = seen

    def pairs(self) -> tuple[Pair, ...]:
        """Contents, the label book's too, that show the same drawing; only new ones are compared where the others were before."""
        features = {
            sha: seen
            for contents in (self.inspections, self._book)
            for sha in sorted(contents)
            if (seen := contents[sha].features)
        }
        self._compared = list(features)
        before = self._memory.pairs(self.listing)
        if before is not None:
            compared, plain = before
            pairs = [Pair(first, second, Evidence(why), measure) for first, second, why, measure in plain]
            new = features.keys() - set(compared)
            # A pair that lost a member may have held others together.
            whole = all(pair.first in features and pair.second in features for pair in pairs)
            if whole and len(new) <= _FEW:
                return self._remember((*pairs, *same_drawings_as(new, features)))
        if len(features) > len(self._fresh) > 0:
            self._observer.start("Comparing drawings")
        return self._remember(same_drawings(features))

    def _remember(self, pairs: tuple[Pair, ...]) -> tuple[Pair, ...]:
        self._pairs = [(pair.first, pair.second, pair.evidence.value, pair.measure) for pair in pairs]
        return pairs

    def keep(self, key: str, report: tuple[Any, ...]) -> None:
        """Remember the check and the report on it, which ``key`` and the folder as it was determine."""
        every = {**self._book, **self.inspections}
        new = every if self._memory.scattered else self._fresh
        self._memory.keep(
            self.listing,
            key=key,
            shas={image.path: image.sha256 for image in self.images if image.sha256},
            contents=((sha, pack(every[sha])) for sha in new),
            report=report,
            pairs=(self._compared, self._pairs),
        )
