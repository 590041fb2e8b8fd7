"""A dataset under review: the page's data, updated while the folder and the decisions change."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cldc import decisions
from cldc.competition import Competition
from cldc.dataset import Dataset, Image, read_image, scan
from cldc.decisions import CORRECT, RELABEL, SET_ASIDE, Decision, Edit, Matched
from cldc.errors import CldcError, UsageError
from cldc.review.page_data import findings_part
from cldc.text import plural
from cldc.validation import ValidationReport

# A scan of ten thousand files takes a twentieth of a second.
_SECONDS_BETWEEN_SCANS = 1.0
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """The decisions in the table.

    Attributes:
        path: The table.
        counts: Number of decisions of each kind.
        new: Number of those that are new since the review began.
        later: Number of images left for later.
    """

    path: Path
    counts: Mapping[str, int]
    new: int
    later: int


@dataclass(frozen=True, slots=True)
class _Done:
    """The data with which `ReviewSession.undo` takes back an action."""

    edit: Edit
    postponed: frozenset[str]
    no_longer_postponed: frozenset[str]


class ReviewSession:
    """The page's data. Every method may be called from any thread.

    The page polls `state`. Each part of it (``images``, ``findings``, ``suspicions``, ``predictions``, ``decisions``) has a number
    that changes with the part, and only parts that the page does not have yet are sent.
    """

    def __init__(self, folder: Path, competition: Competition, *, home: Path) -> None:
        """Scan ``folder`` and read its decisions; ``home`` is the data folder.

        Raises:
            InvalidDataset: ``folder`` does not exist.
            InvalidTable: A line of the decisions is invalid.
            StorageError: Folder or decisions can't be read.
        """
        self.competition, self._home = competition, home
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._parts: dict[str, tuple[int, Any]] = {}
        self._dataset = scan(folder, competition.dataset)
        self._last_scan = time.monotonic()
        self._folder_problem = self._check_problem = ""
        # By key; with their SHA-256 as soon as that is known.
        self._images = {_key(image): image for image in self._dataset.images}
        self._later: set[str] = set()
        self._undo: dict[int, _Done] = {}
        self._task: tuple[str, float, float] = ("", 0, 0)
        self._changed = threading.Event()
        self._table = decisions.default_path(self._dataset.root)
        self._decisions_problem = ""
        self._decisions = decisions.read(self._table, competition.dataset)
        self._before = frozenset(self._decisions)
        self._signature = _signature(self._table)
        self._changed.set()
        self._put("images", self._images_part())
        for part in ("findings", "suspicions", "predictions"):
            self._put(part, None)
        self._put_decisions()

    # Requests of the page ------------------------------------------------------------------------------

    def state(self, have: Mapping[str, int]) -> dict[str, Any]:
        """Return the parts that differ from the page's, the progress of the checks, and problems."""
        with self._lock:
            self.refresh()
            self._refresh_decisions()
            task, done, total = self._task
            return {
                "parts": {
                    name: {"number": number, "data": data}
                    for name, (number, data) in self._parts.items()
                    if have.get(name) != number
                },
                "progress": {"task": task, "done": done, "total": total},
                "problems": list(
                    filter(None, (self._folder_problem, self._check_problem, self._decisions_problem))
                ),
            }

    def image(self, key: str) -> Image | None:
        """Return the image with that key; None if it is gone or has changed."""
        return self._images.get(key)

    @property
    def root(self) -> Path:
        """The dataset's folder."""
        return self._dataset.root

    def decide(
        self, action: str, keys: Iterable[str], *, value: str = "", reason: str = ""
    ) -> dict[str, Any]:
        """Make the same decision about some images, and save it.

        Args:
            action: ``relabel`` to the class ``value``, ``move`` to the split ``value``, ``set-aside``, ``correct``,
                ``later``, or ``clear``, which removes every decision.
            keys: Keys of the images as the page showed them; nothing is decided about images that have changed since.
            value: The new class or split.
            reason: For ``correct``, the question that is answered.

        Returns:
            ``undo``: a number for `undo`, None if nothing was done; ``skipped``: for each image about which nothing was
            decided, the reason.

        Raises:
            UsageError: The action, class or split is unknown.
            InvalidTable: The table is unreadable now; it stays as it is.
            StorageError: The decisions can't be saved; nothing has changed.
        """
        with self._lock:
            self.refresh(now=True)
            found, skipped = self._current(keys)
            before = frozenset(self._later)
            edit = Edit()
            if action == "later":
                self._later.update(image.path for image in found)
            else:
                if action == "clear":
                    matched = self._matched()
                    edit = self._edit(remove=[each for image in found for each in matched.of(image)])
                else:
                    edit = self._edit(add=self._new_decisions(action, found, value, reason))
                self._later.difference_update(image.path for image in found)
            if edit == Edit() and before == self._later:
                return {"undo": None, "skipped": skipped}
            number = next(self._numbers)
            self._undo[number] = _Done(edit, frozenset(self._later - before), frozenset(before - self._later))
            self._put_decisions()
            return {"undo": number, "skipped": skipped}

    def undo(self, number: int) -> None:
        """Take back the decisions of that number, once; decisions written since stay.

        Raises:
            InvalidTable: The table is unreadable now; it stays as it is.
            StorageError: The decisions can't be saved; nothing has changed.
        """
        with self._lock:
            done = self._undo.get(number)
            if done is None:
                return
            self._edit(restore=done.edit.removed, remove=done.edit.added)
            del self._undo[number]
            self._later = (self._later - done.postponed) | done.no_longer_postponed
            self._put_decisions()

    def summary(self) -> Summary:
        """Summarise the table of decisions."""
        with self._lock:
            self._refresh_decisions()
            counts = Counter("move" if each.split else each.action for each in self._decisions)
            new = len(frozenset(self._decisions) - self._before)
            return Summary(self._table, dict(counts), new, len(self._later))

    # Results of the checks --------------------------------------------------------------------------------

    def wait_for_change(self) -> Dataset:
        """Wait until there is a folder to check: at once the first time, then when it has changed and is stable again."""
        self._changed.wait()
        while True:
            with self._lock:
                self.refresh(now=True)
                self._changed.clear()
                scanned = self._dataset
            if not self._changed.wait(_SECONDS_BETWEEN_SCANS / 2):
                return scanned

    def found(self, report: ValidationReport, scanned: Dataset) -> None:
        """Receive the findings of a check that began when the folder was as in ``scanned``."""
        with self._lock:
            self.refresh(now=True)
            paths = {image.path: image.sha256 for image in report.dataset.images}
            for image in scanned.images:
                if (key := _key(image)) in self._images:
                    self._images[key] = image._replace(sha256=paths.get(image.path, ""))
            self._check_problem = ""
            self._put("findings", findings_part(report.findings))
            self._put_decisions()

    def show(self, part: Literal["predictions", "suspicions"], data: Mapping[str, Any] | None) -> None:
        """Receive a part from `cldc.review.page_data`; None if it is not known."""
        with self._lock:
            self._put(part, data)

    def failed(self, error: CldcError) -> None:
        """Report why the folder could not be checked; the next check clears that."""
        with self._lock:
            self._check_problem = f"{error.message} {error.action}"

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        """Begin a task, for `Observer`; an empty one means that everything is done."""
        self._task = (task, 0, total or 0)

    def advance(self, done: float, detail: str = "") -> None:
        """Update the task's progress, for `Observer`."""
        self._task = (self._task[0], done, self._task[2])

    def note(self, text: str) -> None:
        """Ignore a note, for `Observer`; the page does not show notes."""

    # The folder ------------------------------------------------------------------------------------------

    def refresh(self, *, now: bool = False) -> None:
        """Check whether the folder has changed, unless a check has just run and ``now`` is false."""
        with self._lock:
            if not now and time.monotonic() - self._last_scan < _SECONDS_BETWEEN_SCANS:
                return
            try:
                scanned = scan(self._dataset.root, self.competition.dataset)
            except CldcError as error:
                self._folder_problem = error.message
                return
            finally:
                self._last_scan = time.monotonic()
            self._folder_problem = ""
            if scanned.images != self._dataset.images:
                self._dataset = scanned
                self._images = {
                    (key := _key(image)): self._images.get(key, image) for image in scanned.images
                }
                self._put("images", self._images_part())
                self._put_decisions()
                self._changed.set()

    def _images_part(self) -> dict[str, Any]:
        rules = self.competition.dataset
        return {
            "name": self._dataset.name,
            "root": str(self._dataset.root),
            "classes": rules.classes,
            "splits": rules.splits,
            "seen": rules.image_size,
            "files": [
                [key, image.path, image.split, image.label, image.error]
                for key, image in self._images.items()
            ],
        }

    # The decisions ---------------------------------------------------------------------------------------

    def _current(self, keys: Iterable[str]) -> tuple[list[Image], list[str]]:
        """Return the images that are unchanged since the page showed them, read, and why each other one is skipped."""
        found, skipped = [], []
        for key in keys:
            image = self._images.get(key)
            if image is None:
                skipped.append("It was changed or removed.")
                continue
            if not image.sha256:
                image, _ = read_image(self.root, image, keep=False)
                self._images[key] = self._images[key]._replace(sha256=image.sha256)
            if image.error:
                skipped.append(f"{image.path}: {image.error}.")
            else:
                found.append(image)
        return found, skipped

    def _new_decisions(self, action: str, images: Sequence[Image], value: str, reason: str) -> list[Decision]:
        rules = self.competition.dataset
        if action not in (RELABEL, SET_ASIDE, CORRECT, "move"):
            raise UsageError(f"There is no action {action!r}.", action="Reload the page.")
        known = {RELABEL: rules.classes, "move": rules.splits}
        if action in known and value not in known[action]:
            raise UsageError(f"There is no class or split {value!r}.", action="Reload the page.")
        moment, new = decisions.now(), []
        for image in images:
            if action == "move" and image.split == value:
                continue
            decision = Decision(image.sha256, image.path, action, time=moment)
            if action == "move":
                decision = decision._replace(action=decisions.move_to(value))
            elif action == RELABEL and image.label == value:
                decision = decision._replace(action=CORRECT, reason="label")
            elif action == RELABEL:
                decision = decision._replace(label=value)
            elif action == CORRECT:
                decision = decision._replace(reason=reason)
            new.append(decision)
        return new

    def _matched(self) -> Matched:
        """Match the decisions to the images by the contents that are known so far."""
        dataset = replace(self._dataset, images=tuple(self._images.values()))
        return decisions.match(self._decisions, dataset, self.competition.dataset.classes)

    def _edit(
        self,
        *,
        add: Sequence[Decision] = (),
        remove: Sequence[Decision] = (),
        restore: Sequence[Decision] = (),
    ) -> Edit:
        rules = self.competition.dataset
        edit = decisions.edit(self._table, rules, add=add, remove=remove, restore=restore, home=self._home)
        self._read_decisions()
        return edit

    def _refresh_decisions(self) -> None:
        """Read the table again if another program has written it."""
        if _signature(self._table) != self._signature:
            self._read_decisions()
            self._put_decisions()

    def _read_decisions(self) -> None:
        self._signature = _signature(self._table)
        try:
            self._decisions = decisions.read(self._table, self.competition.dataset)
            self._decisions_problem = ""
        except CldcError as error:
            self._decisions_problem = (
                f"{error.message} {error.action} Until then nothing can be decided here."
            )

    def _put_decisions(self) -> None:
        matched = self._matched()
        problems = [
            f"Decisions about {' and '.join(conflict.paths)} contradict each other: "
            f"{', '.join(dict.fromkeys(decision.describe() for decision in conflict.decisions))}."
            for conflict in matched.conflicts[:_MOST_PROBLEMS]
        ]
        if len(matched.conflicts) > _MOST_PROBLEMS:
            more = len(matched.conflicts) - _MOST_PROBLEMS
            problems.append(f"{plural(more, 'more contradiction')}.")
        rows = {
            path: [[("move" if each.split else each.action), each.label or each.split] for each in about]
            for path, about in matched.by_path.items()
        }
        self._put(
            "decisions",
            {"rows": rows, "later": sorted(self._later), "file": str(self._table), "problems": problems},
        )

    def _put(self, part: str, data: Any) -> None:
        self._parts[part] = (next(self._numbers), data)


def _key(image: Image) -> str:
    """Return a key for an image's current content in addresses and requests; a changed file gets another key."""
    return hashlib.blake2b(os.fsencode(repr(image.state)), digest_size=12).hexdigest()


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
