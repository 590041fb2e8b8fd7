"""Draw a split that is stratified, reproducible, and never has the same drawing in both splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from cldc.competition import DatasetRules
from cldc.dataset import Image, meant_class
from cldc.decisions import RELABEL, SET_ASIDE, Decision, Matched, move_to, now
from cldc.errors import InvalidDataset, UsageError
from cldc.files import hash_bytes
from cldc.validation.model import InspectedDataset


@dataclass(frozen=True, slots=True)
class DrawnSplit:
    """A drawn split.

    Attributes:
        moves: New decisions to move images to the other split, unless already decided.
        replaced: Earlier decisions to move images to another split, which no longer hold.
        moving: Number of images that are in the other split now.
        before: Number of images of each split and class, at their current places with their decided labels.
        after: The same after carrying out the decisions.
        kept_together: Number of groups of images that show one drawing.
        warped_compared: Whether copies that were rotated, stretched or sheared are among them.
    """

    moves: tuple[Decision, ...]
    replaced: tuple[Decision, ...]
    moving: int
    before: Mapping[tuple[str, str], int]
    after: Mapping[tuple[str, str], int]
    kept_together: int
    warped_compared: bool


def draw_split(inspected: InspectedDataset, matched: Matched, *, share: float, seed: int) -> DrawnSplit:
    """Divide all images between the two splits again.

    Images of one content or one drawing stay together. Images to set aside, or in no class, are left out, and images to
    relabel count as their new class. The result depends on the seed and the contents, not on names or current places.

    Args:
        inspected: The dataset, its drawings compared.
        matched: The decisions about its images.
        share: The share of each class that goes to the second split, between 0 and 1.
        seed: Another seed draws another split.

    Raises:
        UsageError: The competition does not have exactly two splits.
        InvalidDataset: The dataset has no images to split.
    """
    rules = inspected.competition.dataset
    if len(rules.splits) != 2:
        raise UsageError(
            f"This competition has {len(rules.splits)} splits, {', '.join(rules.splits)}; a split is drawn between two.",
            action="Write the decisions that move images by hand.",
        )
    train, val = rules.splits
    labels = _labels(inspected.dataset.images, matched, rules)
    images = [image for image in inspected.dataset.images if image.path in labels]
    if not images:
        raise InvalidDataset(
            f"{inspected.dataset.root} has no image in a class folder of {train}/ or {val}/ to divide.",
            action="`cldc validate` shows what is missing.",
        )
    groups = _groups(inspected, images)
    chosen = _choose(groups, labels, share=share, seed=seed)
    target = {image.path: val if image.path in chosen else train for image in images}
    moving = [image for image in images if image.split != target[image.path]]
    undecided = [
        image
        for image in moving
        if target[image.path] not in {decision.split for decision in matched.of(image)}
    ]
    no_longer = dict.fromkeys(
        decision
        for image in images
        for decision in matched.of(image)
        if decision.split not in ("", target[image.path])
    )
    time, reason = now(), f"split with --val {share:g} --seed {seed}"
    return DrawnSplit(
        moves=tuple(
            Decision(image.sha256, image.path, move_to(target[image.path]), reason=reason, time=time)
            for image in undecided
        ),
        replaced=tuple(no_longer),
        moving=len(moving),
        before=Counter((image.split, labels[image.path]) for image in images),
        after=Counter((target[image.path], labels[image.path]) for image in images),
        kept_together=sum(len(group) > 1 for group in groups),
        warped_compared=inspected.warped_compared,
    )


def _labels(images: Iterable[Image], matched: Matched, rules: DatasetRules) -> dict[str, str]:
    """Return the decided or current class of each image to divide, by path."""
    labels = {}
    for image in images:
        decisions = matched.of(image)
        if not image.sha256 or any(decision.action == SET_ASIDE for decision in decisions):
            continue
        decided = next((decision.label for decision in decisions if decision.action == RELABEL), "")
        if label := decided or meant_class(image.label, rules.classes):
            labels[image.path] = label
    return labels


def _choose(
    groups: Iterable[Sequence[Image]], labels: Mapping[str, str], *, share: float, seed: int
) -> frozenset[str]:
    """Choose the second split: of the groups in random order, each that brings the classes closer to their shares."""
    wanted = {label: count * share for label, count in Counter(labels.values()).items()}
    taken: Counter[str] = Counter()
    chosen: set[str] = set()
    for group in sorted(groups, key=lambda group: hash_bytes(f"{seed} {min(i.sha256 for i in group)}")):
        counts = Counter(labels[image.path] for image in group)
        without = sum(abs(wanted[label] - taken[label]) for label in counts)
        with_group = sum(abs(wanted[label] - taken[label] - count) for label, count in counts.items())
        if with_group < without:
            taken += counts
            chosen.update(image.path for image in group)
    return frozenset(chosen)


def _groups(inspected: InspectedDataset, images: Sequence[Image]) -> list[list[Image]]:
    """Group images that show one drawing."""
    leader = {sha: group.contents[0] for group in inspected.drawings for sha in group.contents}
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in images:
        groups[leader.get(image.sha256, image.sha256)].append(image)
    return list(groups.values())
