"""Carry out decisions about images: relabel them, move them to another split, set them aside; never delete or overwrite."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cldc.competition import DatasetRules
from cldc.dataset import Dataset, Image, meant_class
from cldc.decisions import RELABEL, SET_ASIDE, Decision, Matched, match, move_to
from cldc.errors import ConfigurationError
from cldc.files import hash_file
from cldc.progress import SILENT, Observer
from cldc.text import plural
from cldc.validation.change_records import Change, FreeNames, carry_out, harmless

_SHOWN_CONFLICTS = 10


@dataclass(frozen=True, slots=True)
class ApplyPlan:
    """The changes that carry out decisions.

    Attributes:
        dataset: The dataset before the changes.
        changes: The changes in order; the rule of each is the action of its decision.
        aside: The folder beside the dataset for images that are set aside.
        left: Images that only a copy can change, because links lead to them or through them.
        unmatched: Decisions that match no image of this dataset and are not carried out yet.
        astray: Decisions to set aside a file that is not at its path, with the paths of files with its content.
    """

    dataset: Dataset
    changes: tuple[Change, ...]
    aside: Path
    left: tuple[str, ...] = ()
    unmatched: tuple[Decision, ...] = ()
    astray: tuple[tuple[Decision, tuple[str, ...]], ...] = ()

    @property
    def counts(self) -> Counter[str]:
        """Number of images for each action."""
        return Counter(change.rule for change in self.changes if change.kind != "folder")


def plan(
    dataset: Dataset, decisions: Iterable[Decision], rules: DatasetRules, *, in_place: bool
) -> ApplyPlan:
    """Plan the changes that are still to be made.

    Args:
        dataset: The dataset, its images read.
        decisions: The decisions.
        rules: The competition's splits and classes.
        in_place: Whether to change the dataset itself, which leaves links and their targets alone.

    Raises:
        ConfigurationError: Some contradict each other.
    """
    matched = match(decisions, dataset, rules.classes)
    require_no_conflict(matched)
    root = dataset.root.resolve()
    aside = root.parent / f"{root.name}-set-aside"
    changes = _Changes(dataset, rules, aside)
    for image in dataset.images:
        changes.add(image, matched.of(image))
    wanted: tuple[Change, ...] = (*changes.folders, *changes.moves)
    left: tuple[str, ...] = ()
    if in_place:
        wanted, left = harmless(wanted, dataset, root)
        needed = {str(PurePosixPath(change.target).parent) for change in wanted if change.kind == "rename"}
        needed |= {str(PurePosixPath(folder).parent) for folder in needed}
        wanted = tuple(change for change in wanted if change.kind != "folder" or change.target in needed)
    return ApplyPlan(
        dataset=dataset,
        changes=wanted,
        aside=aside,
        left=left,
        unmatched=tuple(decision for decision in matched.unmatched if not _is_aside(decision, aside)),
        astray=tuple(pair for pair in matched.astray if not _is_aside(pair[0], aside)),
    )


def require_no_conflict(matched: Matched) -> None:
    """Require decisions without contradictions; the error names the images.

    Raises:
        ConfigurationError: Some contradict each other.
    """
    if not matched.conflicts:
        return
    lines = [
        f"{', '.join(conflict.paths)}: {' and '.join(sorted({d.describe() for d in conflict.decisions}))}"
        for conflict in matched.conflicts[:_SHOWN_CONFLICTS]
    ]
    if len(matched.conflicts) > len(lines):
        lines.append(f"and {len(matched.conflicts) - len(lines):,} more")
    count = plural(len(matched.conflicts), "image has", "images have")
    raise ConfigurationError(
        "\n".join((f"{count} decisions that contradict each other:", *lines)),
        action="Remove all but one of the lines about each of them, then run the command again.",
    )


def apply_in_place(plan: ApplyPlan, records: Path, observer: Observer = SILENT) -> Path:
    """Change the dataset's own folder, and return the record with which `cldc apply --undo` reverts the changes.

    Raises:
        StorageError: Something can't be moved; the error says how to undo the changes made so far.
    """
    return carry_out(
        plan.changes,
        plan.dataset.root.resolve(),
        records,
        command="apply",
        task="Carrying out the decisions",
        aside=plan.aside,
        observer=observer,
    )


class _Changes:
    """Collects changes image by image."""

    def __init__(self, dataset: Dataset, rules: DatasetRules, aside: Path) -> None:
        self.folders: list[Change] = []
        self.moves: list[Change] = []
        self._dataset, self._rules = dataset, rules
        self._names, self._aside_names = FreeNames(dataset.root), FreeNames(aside)
        self._class_folders = {
            (split.name, meant_class(folder, rules.classes)): folder
            for split in dataset.splits
            for folder in reversed(split.folders)
        }

    def add(self, image: Image, decisions: tuple[Decision, ...]) -> None:
        """Add the changes for one image."""
        if any(decision.action == SET_ASIDE for decision in decisions):
            self.moves.append(Change("aside", SET_ASIDE, image.path, self._aside_names.take(image.path)))
            return
        now = meant_class(image.label, self._rules.classes) or image.label
        label = next((decision.label for decision in decisions if decision.action == RELABEL), now)
        split = next((decision.split for decision in decisions if decision.split), image.split)
        if (split, label) == (image.split, now):
            return
        # The name of an image that will be moved away counts as taken, too.
        target = self._names.take(f"{self._folder(split, label)}/{image.name}")
        action = RELABEL if label != now else move_to(split)
        self.moves.append(Change("rename", action, image.path, target))

    def _folder(self, split: str, label: str) -> str:
        """Return the folder of a split and class, with its name on disk; if missing, it will be created."""
        if (split, label) not in self._class_folders:
            self._class_folders[split, label] = label
            made = {change.target for change in self.folders}
            for path in (split, f"{split}/{label}"):
                if path not in made and not (self._dataset.root / path).is_dir():
                    self.folders.append(Change("folder", "folder", path, path))
        return f"{split}/{self._class_folders[split, label]}"


def _is_aside(decision: Decision, aside: Path) -> bool:
    """Check whether a decision's file is in the folder ``aside`` already."""
    place = aside / decision.path
    if decision.action != SET_ASIDE or not decision.path or not place.is_file():
        return False
    return decision.sha256 in ("", hash_file(place))
