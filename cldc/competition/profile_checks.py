"""Rules between the keys of a profile, so that the script, CodaLab and the board accept everything built from it.

A profile that breaks one of these would fail only later, after minutes of training or with a submission spent. What holds
for a key alone is in `key_rules`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from cldc.competition.key_rules import JSON_IN_RUN
from cldc.competition.model import TEST_KEY, Competition, Reference
from cldc.competition.typed_toml import refused
from cldc.resources import template

_TAKEN_BY_RUNS = ("stdout", "stderr")  # files that CodaLab itself writes into a run


class Refusal(NamedTuple):
    """A key with an invalid value, and the expected value."""

    key: str
    value: object
    wanted: str


def check(competition: Competition, *, what: str) -> None:
    """Refuse a profile that would fail in use; ``what`` is the profile in the message.

    Raises:
        ConfigurationError: Names the first wrong key, its value and the expected value.
    """
    for rule in _RULES:
        for found in rule(competition):
            raise refused(what, f"{found.key!r} is {found.value!r}; {found.wanted}")


def _dataset(competition: Competition) -> Iterator[Refusal]:
    """Require room for the smallest dataset, which has one image in each class of each split."""
    rules = competition.dataset
    least = len(rules.splits) * len(rules.classes)
    if rules.max_images < least:
        wanted = f"{least:,} images are needed to have one in each class of each split"
        yield Refusal("dataset.max_images", rules.max_images, wanted)
    padded = rules.padded([len(rules.classes)] * len(rules.splits))
    if rules.max_padded < padded:
        wanted = f"the smallest dataset comes to {padded:,} images in whole batches of {rules.batch:,}"
        yield Refusal("dataset.max_padded", rules.max_padded, wanted)


def _bundles(competition: Competition) -> Iterator[Refusal]:
    bundles, side = competition.bundles, competition.organiser
    yield from _different(
        {
            "bundles.script": bundles.script,
            "bundles.label_book": bundles.label_book,
            "bundles.starting_dataset": bundles.starting_dataset,
        }
    )
    if side is not None:
        yield from _different({"organiser.test_set": side.test_set, "organiser.evaluate": side.evaluate})
        if side.log_worksheet.name == bundles.worksheet.name:
            wanted = "a server has each worksheet's name once, and bundles.worksheet has this one"
            yield Refusal("organiser.log_worksheet.name", side.log_worksheet.name, wanted)
    if bundles.label_book.name in competition.dataset.splits:
        yield Refusal(
            "bundles.label_book.name", bundles.label_book.name, "a split of the dataset has this name"
        )


def _different(bundles: dict[str, Reference | None]) -> Iterator[Refusal]:
    """Require different names on a worksheet: the last bundle of a name hides the others."""
    seen: set[str] = set()
    for key, reference in bundles.items():
        if reference is not None:
            if reference.name in seen:
                yield Refusal(f"{key}.name", reference.name, "another bundle has that name already")
            seen.add(reference.name)


def _run(competition: Competition) -> Iterator[Refusal]:
    bundles, file = competition.bundles, competition.run.predictions
    if file.partition("/")[0] in (bundles.script.name, bundles.label_book.name, *_TAKEN_BY_RUNS):
        yield Refusal("run.predictions", file, JSON_IN_RUN.wanted)


def _training(competition: Competition) -> Iterator[Refusal]:
    option, words = competition.training.seed_option, competition.run.command.split()
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == option and not re.fullmatch(r"[0-9]+", after, re.ASCII):
            yield Refusal("run.command", " ".join(words), f"expected a whole number after {option}")
    for at, choice in enumerate(competition.training.tensorflow):
        if choice.version not in locked_tensorflows():
            wanted = f"cldc can install {', '.join(locked_tensorflows())}"
            yield Refusal(f"training.tensorflow[{at}].version", choice.version, wanted)


def locked_tensorflows() -> list[str]:
    """List the versions of TensorFlow that cldc has locked requirements for."""
    found = template("environments").glob("tensorflow-*.txt")
    return sorted(path.stem.removeprefix("tensorflow-") for path in found)


def _organiser(competition: Competition) -> Iterator[Refusal]:
    """Require different names in the folder of an evaluation, where its dependencies are side by side."""
    side, file = competition.organiser, competition.run.predictions
    if side is None:
        return
    if side.evaluate.name == TEST_KEY:
        yield Refusal(
            "organiser.evaluate.name", side.evaluate.name, "the hidden test set has this name there"
        )
    if file.partition("/")[0] in (TEST_KEY, side.evaluate.name):
        yield Refusal("run.predictions", file, "the evaluation uses this name for something else")


_Rule = Callable[[Competition], Iterable[Refusal]]
_RULES: tuple[_Rule, ...] = (_dataset, _bundles, _run, _training, _organiser)
