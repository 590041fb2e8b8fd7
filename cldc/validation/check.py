"""One check of a folder: what is known is taken from memory, the rest is read."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

from cldc.competition import Competition
from cldc.dataset import ImageFile, Listing, SplitState, assemble, read_image
from cldc.progress import Observer
from cldc.text import plural
from cldc.validation.alike import Pair, joined, same_drawings, same_drawings_as
from cldc.validation.decoding import Readable
from cldc.validation.inspection import AskTensorFlow, Inspection, inspect_file
from cldc.validation.memory import Memory, Recalled
from cldc.validation.model import Subject, ValidationReport
from cldc.validation.sniffing import find_pointers, formats_passed_over

# So many new contents are compared one by one with all others sooner than all with each other.
_FEW = 12


class Check:
    """What is found out about a folder.

    Attributes:
        listing: The folder as it was walked.
        images: In the order of the listing.
        inspections: For each content's SHA-256 what it shows; contents that can't be read have none.
        thorough: Whether pictures are looked at: as asked for, and where only few must be.
    """

    def __init__(
        self,
        listing: Listing,
        memory: Memory,
        recalled: Recalled,
        observer: Observer,
        *,
        thorough: bool = True,
    ) -> None:
        self.listing = listing
        self._memory = memory
        self._recalled = recalled
        self._observer = observer
        self._fresh: set[str] = set()
        self.images = recalled.images()
        here = {image.sha256 for image in self.images}
        self._known = memory.contents(listing) if any(here) else {}
        self._book: dict[str, Inspection] = {}
        self._book_entries: tuple[ImageFile, ...] = ()
        self.inspections = {sha: seen for sha, seen in self._known.items() if sha in here}
        self.thorough = thorough
        self._read()

    def _read(self) -> None:
        known = self.inspections
        places = [place for place, image in enumerate(self.images) if image.sha256 not in known]
        self.thorough |= len(places) <= _FEW
        if not places:
            return
        from cldc.validation.workers import inspect_all, judge_all

        left = [self.listing.files[place] for place in places]
        self._observer.start("Checking images", total=len(left), unit="images")
        inspected = inspect_all if self.thorough else judge_all
        for at, (image, seen) in inspected(str(self.listing.root), left, self._observer):
            self.images[places[at]] = image
            if seen is not None and image.sha256 not in known:
                self._fresh.add(image.sha256)
                known[image.sha256] = seen

    def subject(
        self, competition: Competition, ask_tensorflow: AskTensorFlow | None, book: Listing | None
    ) -> Subject:
        """What the rules are asked about.

        Args:
            competition: Whose rules apply.
            ask_tensorflow: Asks TensorFlow where the verdict is unknown.
            book: The label book as it was walked, where it is at hand.
        """
        if ask_tensorflow is not None:
            self._ask(ask_tensorflow)
        drawn = self._look_at(book) if book and self.thorough else {}
        pairs, known = self._pairs() if self.thorough else (), self.inspections
        dataset = assemble(self.listing, self.images)
        return Subject(
            dataset=dataset,
            competition=competition,
            inspections=known,
            label_book=drawn,
            pairs=tuple(pair for pair in pairs if pair.first in known and pair.second in known)
            if self._book
            else pairs,
            book_groups=tuple(group for group in joined(pairs) if not drawn.keys().isdisjoint(group[0]))
            if drawn
            else (),
            formats_passed_over=formats_passed_over(self.listing, competition.dataset.extensions),
            thorough=self.thorough,
            pointers=find_pointers(dataset.root, dataset.images, known),
        )

    def _ask(self, ask_tensorflow: AskTensorFlow) -> None:
        """Replace unknown verdicts with TensorFlow's own, asking for all of them at once."""
        unknown = {
            sha for sha, found in self.inspections.items() if found.verdict.readable == Readable.UNKNOWN
        }
        if not unknown:
            return
        self._observer.start(f"Asking TensorFlow about {plural(len(unknown), 'image')}")
        files: dict[str, Path] = {
            image.sha256: self.listing.root / image.path for image in self.images if image.sha256 in unknown
        }
        for sha, verdict in ask_tensorflow(files).items():
            self._fresh.add(sha)
            before = self.inspections[sha]
            # TensorFlow tells nothing of how the picture differs from what people see.
            told = verdict._replace(remarks=before.verdict.remarks or verdict.remarks)
            self.inspections[sha] = before._replace(verdict=told)

    def _look_at(self, book: Listing) -> dict[str, tuple[str, ...]]:
        """Take a label book's drawings into the comparison; for each SHA-256 the paths that have it there."""
        self._book_entries = book.files
        paths: dict[str, tuple[str, ...]] = {}
        for entry in book.files:
            sha = read_image(book.root, entry, keep=False).image.sha256
            if not sha:
                continue
            paths[sha] = (*paths.get(sha, ()), entry.path)
            if sha in self.inspections:
                continue
            if sha in self._known:
                self._book[sha] = self._known[sha]
                continue
            image, seen = inspect_file(str(book.root), entry)
            if seen is not None and image.sha256 == sha:
                self._fresh.add(sha)
                self._book[sha] = seen
        return paths

    def _pairs(self) -> tuple[Pair, ...]:
        """Contents, the label book's too, that show the same drawing; only new ones are compared where the others were before."""
        every = chain(self.inspections.items(), self._book.items())
        features = {sha: seen.features for sha, seen in every if seen.features}
        before = self._recalled.pairs()
        if before is not None:
            compared, pairs = before
            new = features.keys() - compared
            # A pair that lost a member may have held others together.
            whole = all(pair.first in features and pair.second in features for pair in pairs)
            if whole and len(new) <= _FEW:
                self._found = tuple(sorted((*pairs, *same_drawings_as(new, features))))
                return self._found
        if len(features) > len(self._fresh) > 0:
            self._observer.start("Comparing drawings")
        # The dataset's own first: same ink is joined in a chain, and pairs with the label book's are left out of it.
        order = sorted(features, key=lambda sha: (sha in self._book, sha))
        self._found = same_drawings({sha: features[sha] for sha in order})
        return self._found

    def keep(self, key: str, report: ValidationReport) -> None:
        """Remember a thorough check and the report on it, which ``key`` and the folder as it was determine."""
        if not self.thorough:
            return
        every = {**self._book, **self.inspections}
        new = every if self._memory.scattered else self._fresh
        calm = all(map(self._memory.calm, self._book_entries))
        # What is advised on a missing split depends on folders around that were not walked.
        calm &= all(split.state == SplitState.FOLDER for split in self.listing.splits)
        self._memory.keep(
            report,
            key=key if calm else "",
            listing=self.listing,
            contents=((sha, every[sha]) for sha in new),
            book=self._book,
            pairs=self._found,
        )
