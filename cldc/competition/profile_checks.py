"""Rules that a profile must keep so that the script, CodaLab and the board accept everything made from it.

A profile that breaks one of these would fail only later, after minutes of training or with a submission spent.
Sources: CodaLab 1.7.5's `spec_util` (names, uuids), `Dependency.CHILD_PATH_REGEX` (paths in a bundle), `rest/schemas`
(ASCII only) and `competitiond` (scores); Docker's grammar of image references.
"""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from cldc import address, description
from cldc.competition.model import Competition, Organiser, Reference
from cldc.competition.typed_toml import refused
from cldc.errors import ConfigurationError, SubmissionRefused
from cldc.identifiers import UUID, is_name
from cldc.resources import template

TEST_KEY = "test"  # name of the hidden test set in the evaluation command

# Formats that TensorFlow's `decode_image` and `image_dataset_from_directory` accept.
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".gif", ".bmp")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_PATH_IN_BUNDLE = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_WORD = re.compile(r"[A-Za-z0-9_.=-]+")
_PYTHON = re.compile(r"3\.[0-9]+")
_SCORE = re.compile(r"/[A-Za-z0-9_./-]+:[^:\s]+")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    r"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:[0-9]+/))(?::[0-9]+)?/)?"
    rf"{_COMPONENT}(?:/{_COMPONENT})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)
_OF_PROGRAMS = ("__MACOSX", "__pycache__", "@eaDir")
# Of Unicode: control characters and ends of lines.
_BREAKING = ("Cc", "Zl", "Zp")
# A century.
_MOST_DAYS = 36_500
_LONGEST_GRACE_MINUTES = 366 * 24 * 60
_TAKEN_BY_RUNS = ("stdout", "stderr")  # files that CodaLab itself writes into a run


class Refusal(NamedTuple):
    """A key with an invalid value, and the expected value."""

    key: str
    value: object
    wanted: str


def check(competition: Competition) -> None:
    """Refuse a profile that would fail in use.

    Raises:
        ConfigurationError: Names the first wrong key, its value and the expected value.
    """
    for rule in _RULES:
        for found in rule(competition):
            raise refused(
                f"profile {competition.name}", f"{found.key!r} is {found.value!r}", f"; {found.wanted}"
            )


# Texts and addresses ----------------------------------------------------------------------------------------------


def _texts(competition: Competition) -> Iterator[Refusal]:
    """Check displayed texts, and the profile's own name, which names folders of the data folder."""
    if not _folder_name(competition.name):
        yield Refusal(
            "name", competition.name, "the file's name without .toml must be usable as the name of a folder"
        )
    shown = {
        "title": competition.title,
        "server_status": competition.server_status,
        "submission.usual_wait": competition.submission.usual_wait,
    }
    if competition.organiser is not None:
        shown["organiser.score.name"] = competition.organiser.score.name
    for key, text in shown.items():
        if text is not None and not (_one_line(text)):
            yield Refusal(key, text, "expected one line of text")


def _one_line(text: str) -> bool:
    """Whether a text is one non-empty line without control characters."""
    return bool(text.strip()) and not any(unicodedata.category(letter) in _BREAKING for letter in text)


def _addresses(competition: Competition) -> Iterator[Refusal]:
    written_well = re.fullmatch(r"https?://[^/\s]+", competition.server) and _is_server(competition.server)
    if competition.server != address.SANDBOX and not written_well:
        wanted = (
            "write it as https://host, without a path (plain http is for this machine only), or as sandbox"
        )
        yield Refusal("server", competition.server, wanted)
    for key in ("guide", "form", "leaderboard"):
        url = getattr(competition, key)
        found = re.fullmatch(r"(https?)://([^/?#\s]+)\S*", url or "")
        # A browser opens the other addresses, which may be on any server.
        scheme = found[1] if found and key == "leaderboard" else "https"
        if url is not None and not (found and _one_line(url) and _is_server(f"{scheme}://{found[2]}")):
            yield Refusal(key, url, "expected a web address such as https://host/page")


def _is_server(text: str) -> bool:
    try:
        address.check(text)
    except ConfigurationError:
        return False
    return True


def _times(competition: Competition) -> Iterator[Refusal]:
    if competition.closes is not None and competition.closes.tzinfo is None:
        wanted = "it has no time zone; write it as 2021-09-04T23:59:59-07:00"
        yield Refusal("closes", competition.closes.isoformat(), wanted)
    if not 0 <= competition.grace_minutes <= _LONGEST_GRACE_MINUTES:
        yield Refusal(
            "grace_minutes", competition.grace_minutes, "it must be between 0 and the minutes of a year"
        )


# Numbers ----------------------------------------------------------------------------------------------------------


def _numbers(competition: Competition) -> Iterator[Refusal]:
    rules, quota, side = competition.dataset, competition.quota, competition.organiser
    numbers: dict[str, float] = {
        "dataset.max_images": rules.max_images,
        "dataset.batch": rules.batch,
        "dataset.max_padded": rules.max_padded,
        "quota.window_days": quota.window_days,
        "quota.per_window": quota.per_window,
        "quota.total": quota.total,
        "training.epochs": competition.training.epochs,
    }
    if side is not None:
        numbers |= {
            "organiser.window_seconds": side.window_seconds,
            "organiser.per_window": side.per_window,
            "organiser.total": side.total,
        }
    for key, number in numbers.items():
        if not (math.isfinite(number) and number > 0):
            yield Refusal(key, number, "it must be above 0")
    if quota.window_days > _MOST_DAYS:
        yield Refusal("quota.window_days", quota.window_days, f"it must be at most {_MOST_DAYS:,}")
    if side is not None and side.window_seconds > _MOST_DAYS * 86_400:
        wanted = f"it must be at most {_MOST_DAYS * 86_400:,}"
        yield Refusal("organiser.window_seconds", side.window_seconds, wanted)
    if len(rules.image_size) != 2 or min(rules.image_size) <= 0:
        yield Refusal("dataset.image_size", list(rules.image_size), "expected height and width in pixels")


# The dataset ------------------------------------------------------------------------------------------------------


def _folders(competition: Competition) -> Iterator[Refusal]:
    rules = competition.dataset
    for key, names in (("dataset.splits", rules.splits), ("dataset.classes", rules.classes)):
        if len(names) < 2 or len(set(names)) < len(names) or not all(map(_folder_name, names)):
            yield Refusal(key, list(names), "expected two or more different folder names")
    extensions = rules.extensions
    if not extensions or len(set(extensions)) < len(extensions) or not set(extensions) <= set(_EXTENSIONS):
        wanted = f"expected one or more of {', '.join(_EXTENSIONS)}, which TensorFlow can read"
        yield Refusal("dataset.extensions", list(extensions), wanted)
    # The smallest dataset has one image in each class of each split.
    least = len(rules.splits) * len(rules.classes)
    if rules.max_images < least:
        wanted = f"{least:,} images are needed to have one in each class of each split"
        yield Refusal("dataset.max_images", rules.max_images, wanted)
    padded = rules.padded([len(rules.classes)] * len(rules.splits))
    if rules.max_padded < padded:
        wanted = f"the smallest dataset comes to {padded:,} images in whole batches of {rules.batch:,}"
        yield Refusal("dataset.max_padded", rules.max_padded, wanted)


def _folder_name(name: str) -> bool:
    """Whether a folder can have that name, and no program hides or reserves it."""
    return (
        name == name.strip()
        and _one_line(name)
        and not name.startswith(".")
        and not set(name) & {"/", "\\"}
        and name not in _OF_PROGRAMS
    )


# Submissions and bundles ------------------------------------------------------------------------------------------


def _submissions(competition: Competition) -> Iterator[Refusal]:
    form = competition.submission
    if not _TAG.fullmatch(form.tag):
        yield Refusal("submission.tag", form.tag, "expected letters, digits, _ . -, not starting with . or -")
    yield from _placeholders("submission.description", form.description, {"name", "institution", "link"})
    if not (form.description.isascii() and form.description.isprintable()):
        yield Refusal("submission.description", form.description, "CodaLab takes one line of plain ASCII")
    for institution in ("", "Some Lab"):
        for link in ("", "https://example.org/x"):
            try:
                description.compose(form.description, name="my-try_1.0", institution=institution, link=link)
            except SubmissionRefused:
                wanted = "the board would not read it back; write {name} ({institution}) {link}"
                yield Refusal("submission.description", form.description, wanted)


def _bundles(competition: Competition) -> Iterator[Refusal]:
    for key, reference in _references(competition):
        if not is_name(reference.name):
            yield Refusal(f"{key}.name", reference.name, _NAME_WANTED)
        if reference.uuid is not None and not UUID.fullmatch(reference.uuid):
            yield Refusal(f"{key}.uuid", reference.uuid, "expected 0x and 32 hexadecimal digits")
    bundles, side = competition.bundles, competition.organiser
    yield from _different("bundles", bundles, ("script", "label_book", "starting_dataset"))
    if side is not None:
        yield from _different("organiser", side, ("test_set", "evaluate"))
        if side.log_worksheet.name == bundles.worksheet.name:
            wanted = "a server has each worksheet's name once, and bundles.worksheet has this one"
            yield Refusal("organiser.log_worksheet.name", side.log_worksheet.name, wanted)
    if bundles.label_book.name in competition.dataset.splits:
        yield Refusal(
            "bundles.label_book.name", bundles.label_book.name, "a split of the dataset has this name"
        )


_NAME_WANTED = "CodaLab's names have up to 128 letters, digits, _ . - and start with a letter or _"


def _references(competition: Competition) -> Iterator[tuple[str, Reference]]:
    """List every reference of the profile with its dotted key."""
    for table, owner in (("bundles", competition.bundles), ("organiser", competition.organiser)):
        for field in dataclasses.fields(owner) if owner is not None else ():
            value = getattr(owner, field.name)
            if hasattr(value, "uuid"):
                yield f"{table}.{field.name}", value


def _different(table: str, owner: Any, keys: Iterable[str]) -> Iterator[Refusal]:
    """Require different names on a worksheet: the last bundle of a name hides the others."""
    seen: set[str] = set()
    for key in keys:
        reference: Reference | None = getattr(owner, key)
        if reference is not None:
            if reference.name in seen:
                yield Refusal(f"{table}.{key}.name", reference.name, "another bundle has that name already")
            seen.add(reference.name)


# The run ----------------------------------------------------------------------------------------------------------


def _run(competition: Competition) -> Iterator[Refusal]:
    run, bundles = competition.run, competition.bundles
    if not is_name(run.name):
        yield Refusal("run.name", run.name, _NAME_WANTED)
    yield from _command("run.command", run.command, {"dataset", "label_book"})
    if not _IMAGE.fullmatch(run.image):
        wanted = "expected a container image such as jupyter/tensorflow-notebook or name@sha256:..."
        yield Refusal("run.image", run.image, wanted)
    taken = (bundles.script.name, bundles.label_book.name, *_TAKEN_BY_RUNS)
    file = run.predictions
    if not _in_bundle(file) or not file.endswith(".json") or file.partition("/")[0] in taken:
        wanted = "expected a JSON file that the script writes into its folder, such as predictions.json"
        yield Refusal("run.predictions", file, wanted)


def _in_bundle(path: str) -> bool:
    return _PATH_IN_BUNDLE.fullmatch(path) is not None and _stays_inside(path)


def _command(key: str, command: str, names: set[str]) -> Iterator[Refusal]:
    yield from _placeholders(key, command, names)
    if not (command.isascii() and command.isprintable()):
        yield Refusal(key, command, "CodaLab takes one line of plain ASCII")
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        yield Refusal(key, command, "expected a command line whose quotes are closed")


def _placeholders(key: str, form: str, names: set[str]) -> Iterator[Refusal]:
    """Require each placeholder by its plain name, and doubled literal braces."""
    wanted = f"it must have {', '.join(f'{{{name}}}' for name in sorted(names))} and no other braces than {{{{ and }}}}"
    try:
        parts = [part[1:] for part in string.Formatter().parse(form) if part[1] is not None]
    except ValueError:
        parts = []
    if {part[0] for part in parts} != names or any(part[1] or part[2] for part in parts):
        yield Refusal(key, form, wanted)


# Training here ----------------------------------------------------------------------------------------------------


def _training(competition: Competition) -> Iterator[Refusal]:
    training = competition.training
    if not _stays_inside(training.builtin):
        wanted = "expected the path of a file in the profile's folder"
        yield Refusal("training.builtin", training.builtin, wanted)
    checkpoint, option = training.checkpoint, training.seed_option
    if checkpoint is not None and not _in_bundle(checkpoint):
        wanted = "expected a file that the script writes into its folder, such as best_model"
        yield Refusal("training.checkpoint", checkpoint, wanted)
    if option is not None:
        yield from _seed_option(option, competition.run.command.split())
    if not training.tensorflow:
        yield Refusal("training.tensorflow", [], "name at least one version")
    for at, choice in enumerate(training.tensorflow):
        key = f"training.tensorflow[{at}]"
        if choice.version not in locked_tensorflows():
            wanted = f"cldc can install {', '.join(locked_tensorflows())}"
            yield Refusal(f"{key}.version", choice.version, wanted)
        if not _PYTHON.fullmatch(choice.python):
            yield Refusal(f"{key}.python", choice.python, "expected a Python version such as 3.8")
        if choice.why and not _one_line(choice.why):
            yield Refusal(f"{key}.why", choice.why, "expected one line of text")


def _seed_option(option: str, words: list[str]) -> Iterator[Refusal]:
    if not _WORD.fullmatch(option):
        yield Refusal("training.seed_option", option, "expected an option of the script such as --seed")
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == option and not re.fullmatch(r"[0-9]+", after, re.ASCII):
            yield Refusal("run.command", " ".join(words), f"expected a whole number after {option}")


def locked_tensorflows() -> list[str]:
    """The versions of TensorFlow that cldc has locked requirements for."""
    found = template("environments").glob("tensorflow-*.txt")
    return sorted(path.stem.removeprefix("tensorflow-") for path in found)


def _stays_inside(path: str) -> bool:
    """Whether a relative path stays below its folder, on any system."""
    parts = path.replace("\\", "/").split("/")
    return (
        ":" not in path
        and _one_line(path)
        and all(part == part.strip() and part not in ("", ".", "..") for part in parts)
    )


# The organisers' side ---------------------------------------------------------------------------------------------


def _organiser(competition: Competition) -> Iterator[Refusal]:
    side: Organiser | None = competition.organiser
    if side is None:
        return
    yield from _command("organiser.evaluate_command", side.evaluate_command, {"predictions"})
    if not _SCORE.fullmatch(side.score.path):
        wanted = "expected a file that the evaluation writes and a key in it, such as /result.json:accuracy"
        yield Refusal("organiser.score.path", side.score.path, wanted)
    # An evaluation's dependencies are side by side in its folder.
    if side.evaluate.name == TEST_KEY:
        yield Refusal(
            "organiser.evaluate.name", side.evaluate.name, "the hidden test set has this name there"
        )
    if competition.run.predictions.partition("/")[0] in (TEST_KEY, side.evaluate.name):
        wanted = "the evaluation uses this name for something else"
        yield Refusal("run.predictions", competition.run.predictions, wanted)


_Rule = Callable[[Competition], Iterable[Refusal]]
_RULES: tuple[_Rule, ...] = (
    _texts,
    _addresses,
    _times,
    _numbers,
    _folders,
    _submissions,
    _bundles,
    _run,
    _training,
    _organiser,
)
