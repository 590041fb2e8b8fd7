"""Match decisions to the images of a dataset, and find contradictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cldc.dataset import Dataset, Image, fold_name, meant_class
from cldc.decisions.model import CORRECT, RELABEL, SET_ASIDE, Decision


@dataclass(frozen=True, slots=True)
class Conflict:
    """Decisions about one image, or about files of one content, that can't all be carried out.

    Attributes:
        paths: The images.
        decisions: The decisions about them.
    """

    paths: tuple[str, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Matched:
    """Decisions matched to the images of a dataset.

    Attributes:
        by_path: The decisions about each image, by its path. A label applies to all files of a content;
            setting aside and moving apply to the file at the decision's path if it is still there.
        conflicts: Contradictions.
        unmatched: Decisions that match no image of this dataset.
        astray: Decisions to set aside a file that is no longer at its path, each with the paths of the files that have the same
            content and may be copies to keep.
    """

    by_path: Mapping[str, tuple[Decision, ...]] = field(default_factory=dict)
    conflicts: tuple[Conflict, ...] = ()
    unmatched: tuple[Decision, ...] = ()
    astray: tuple[tuple[Decision, tuple[str, ...]], ...] = ()
    _correct: tuple[tuple[str, Decision], ...] = ()

    def of(self, image: Image) -> tuple[Decision, ...]:
        """Return the decisions about an image."""
        return self.by_path.get(image.path, ())

    def correct(self, question: str, known: Collection[str], *, only_named: bool = False) -> frozenset[str]:
        """Return the SHA-256 of contents for which ``question`` was answered with "correct as is".

        Args:
            question: The id of a rule, or ``label``.
            known: All such questions, to tell ids from other words of a reason.
            only_named: Whether to ignore decisions that name no question and so answer every one.
        """
        return frozenset(
            sha256
            for sha256, decision in self._correct
            if question in (named := decision.questions(known)) or not (named or only_named)
        )


def match(decisions: Iterable[Decision], dataset: Dataset, classes: Sequence[str] = ()) -> Matched:
    """Match decisions to the images of a dataset, by content even after a rename or a move.

    Args:
        decisions: The decisions.
        dataset: The dataset, its images read.
        classes: The competition's classes, so that a folder ``IX`` counts as class ``ix``.
    """
    by_path = {image.path: image for image in dataset.images}
    by_content: dict[str, list[Image]] = defaultdict(list)
    for image in dataset.images:
        if image.sha256:
            by_content[image.sha256].append(image)
    named: dict[Decision, list[Image]] = {}
    unmatched, astray = [], []
    for decision in decisions:
        copies = by_content.get(decision.sha256, [])
        found = _named(decision, by_path, copies)
        if found:
            named[decision] = found
        elif copies:
            astray.append((decision, tuple(image.path for image in copies)))
        else:
            unmatched.append(decision)
    about: dict[str, list[Decision]] = defaultdict(list)
    correct = []
    for decision, images in named.items():
        content = images[0].sha256  # the same for all of them; empty for a file that can't be read
        if decision.action == CORRECT and content:
            correct.append((content, decision))
        for image in by_content.get(content, images) if decision.is_about_label else images:
            about[image.path].append(decision)
    return Matched(
        by_path={path: tuple(found) for path, found in about.items()},
        conflicts=_conflicts(named, classes),
        unmatched=tuple(unmatched),
        astray=tuple(astray),
        _correct=tuple(correct),
    )


def _named(decision: Decision, by_path: Mapping[str, Image], copies: list[Image]) -> list[Image]:
    """Find the images that a decision names: the one at its path, else those with its content."""
    image = by_path.get(decision.path)
    if image is not None and decision.sha256 in ("", image.sha256):
        return [image]
    if decision.action == SET_ASIDE and decision.path:
        # A file with the same content may be the copy that should stay, unless only a folder's spelling changed.
        return [image for image in copies if _folded(image.path) == _folded(decision.path)]
    return copies


def _folded(path: str) -> tuple[str, ...]:
    *folders, name = PurePosixPath(path).parts
    return (*map(fold_name, folders), name)


def _conflicts(named: Mapping[Decision, list[Image]], classes: Sequence[str]) -> tuple[Conflict, ...]:
    """Find contradictions about one image, and those about the label of one content."""
    by_image: dict[str, list[Decision]] = defaultdict(list)
    labelled: dict[str, list[tuple[Decision, Image]]] = defaultdict(list)
    for decision, images in named.items():
        for image in images:
            by_image[image.path].append(decision)
            if decision.is_about_label:
                labelled[image.sha256 or image.path].append((decision, image))
    found = [
        Conflict((path,), tuple(decisions))
        for path, decisions in by_image.items()
        if _contradictory(decisions)
    ]
    for pairs in labelled.values():
        if _labels_differ(pairs, classes):
            paths = sorted({image.path for _, image in pairs})
            found.append(Conflict(tuple(paths), tuple(dict.fromkeys(decision for decision, _ in pairs))))
    return tuple(sorted(dict.fromkeys(found), key=lambda conflict: conflict.paths))


def _contradictory(decisions: list[Decision]) -> bool:
    """Check whether decisions set an image aside and do something else with it, or move it to two splits."""
    actions = {decision.action for decision in decisions}
    splits = {decision.split for decision in decisions if decision.split}
    return len(splits) > 1 or (SET_ASIDE in actions and len(actions) > 1)


def _labels_differ(pairs: Iterable[tuple[Decision, Image]], classes: Sequence[str]) -> bool:
    """Check whether a decision relabels a content, and another gives or confirms a different label."""
    relabelled = {decision.label for decision, _ in pairs if decision.action == RELABEL}
    confirmed = {
        meant_class(image.label, classes) or image.label
        for decision, image in pairs
        if decision.action == CORRECT
    }
    return bool(relabelled) and len(relabelled | confirmed) > 1
