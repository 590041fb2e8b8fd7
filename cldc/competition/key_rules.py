"""Rules for the value of one key of a profile; in `model` they are beside the key's type.

A value that breaks one of these would fail only later, after minutes of training or with a submission spent.
Sources: CodaLab 1.7.5's `spec_util` (names, uuids), `Dependency.CHILD_PATH_REGEX` (paths in a bundle), `rest/schemas`
(ASCII only) and `competitiond` (scores); Docker's grammar of image references.
"""

from __future__ import annotations

import math
import re
import shlex
import string
import unicodedata

from cldc import address, description
from cldc.competition.typed_toml import KeyRule
from cldc.errors import ConfigurationError, SubmissionRefused
from cldc.identifiers import UUID, is_name

# Formats that TensorFlow's `decode_image` and `image_dataset_from_directory` accept.
_EXTENSIONS = (".png", ".jpg", ".jpeg", ".gif", ".bmp")
_PATH_IN_BUNDLE = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    r"(?:(?:localhost|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9.-]+(?=:[0-9]+/))(?::[0-9]+)?/)?"
    rf"{_COMPONENT}(?:/{_COMPONENT})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?",
    re.ASCII,
)
_FOLDERS_OF_PROGRAMS = ("__MACOSX", "__pycache__", "@eaDir")
# Unicode's categories of control characters and line ends.
_BREAKING = ("Cc", "Zl", "Zp")
_YEAR_MINUTES = 366 * 24 * 60
_ACCEPTED_PARTS = [
    (institution, link) for institution in ("", "Some Lab") for link in ("", "https://example.org/x")
]


def _matches(pattern: str, wanted: str) -> KeyRule:
    return KeyRule(lambda text: re.fullmatch(pattern, text) is not None, wanted)


# Texts ------------------------------------------------------------------------------------------------------------


def _is_line(text: str) -> bool:
    """Check that a text is one non-empty line without control characters."""
    return bool(text.strip()) and not any(unicodedata.category(letter) in _BREAKING for letter in text)


LINE = KeyRule(_is_line, "expected one line of text")
LINE_OR_EMPTY = KeyRule(lambda text: not text or _is_line(text), "expected one line of text")
ASCII_LINE = KeyRule(
    lambda text: text.isascii() and text.isprintable(), "CodaLab takes one line of plain ASCII"
)
NAME = KeyRule(is_name, "CodaLab's names have up to 128 letters, digits, _ . - and start with a letter or _")
UUID_OF_CODALAB = KeyRule(
    lambda text: UUID.fullmatch(text) is not None, "expected 0x and 32 hexadecimal digits"
)
TAG = _matches(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "expected letters, digits, _ . -, not starting with . or -")
OPTION = _matches(r"[A-Za-z0-9_.=-]+", "expected an option of the script such as --seed")
PYTHON = _matches(r"3\.[0-9]+", "expected a Python version such as 3.8")
SCORE_PATH = _matches(
    r"/[A-Za-z0-9_./-]+:[^:\s]+",
    "expected a file that the evaluation writes and a key in it, such as /result.json:accuracy",
)
IMAGE = KeyRule(
    lambda text: _IMAGE.fullmatch(text) is not None,
    "expected a container image such as jupyter/tensorflow-notebook or name@sha256:...",
)


def placeholders(*names: str) -> KeyRule:
    """Require each placeholder by its plain name, and doubled literal braces."""

    def holds(form: str) -> bool:
        try:
            parts = [part[1:] for part in string.Formatter().parse(form) if part[1] is not None]
        except ValueError:
            return False
        return {part[0] for part in parts} == set(names) and not any(part[1] or part[2] for part in parts)

    wanted = ", ".join(f"{{{name}}}" for name in sorted(names))
    return KeyRule(holds, f"it must have {wanted} and no other braces than {{{{ and }}}}")


def _is_read_back(form: str) -> bool:
    try:
        for institution, link in _ACCEPTED_PARTS:
            description.compose(form, name="my-try_1.0", institution=institution, link=link)
    except SubmissionRefused:
        return False
    return True


READ_BACK = KeyRule(_is_read_back, "the board would not read it back; write {name} ({institution}) {link}")


def _has_words(command: str) -> bool:
    try:
        return bool(shlex.split(command))
    except ValueError:
        return False


WORDS = KeyRule(_has_words, "expected a command line whose quotes are closed")


# Addresses and times ----------------------------------------------------------------------------------------------


def _is_address(text: str) -> bool:
    try:
        address.check(text)
    except ConfigurationError:
        return False
    return True


SERVER = KeyRule(
    lambda text: (
        text == address.SANDBOX or (re.fullmatch(r"https?://[^/\s]+", text) is not None and _is_address(text))
    ),
    "write it as https://host, without a path (plain http is for this machine only), or as sandbox",
)


def _web_address(*, fetched: bool) -> KeyRule:
    """Require an address that a browser can open; one that cldc itself fetches must be as safe as a server's."""

    def holds(text: str) -> bool:
        found = re.fullmatch(r"(https?)://([^/?#\s]+)\S*", text)
        scheme = found[1] if found and fetched else "https"
        return found is not None and _is_line(text) and _is_address(f"{scheme}://{found[2]}")

    return KeyRule(holds, "expected a web address such as https://host/page")


WEB_ADDRESS = _web_address(fetched=False)
FETCHED_ADDRESS = _web_address(fetched=True)
TIME_ZONE = KeyRule(
    lambda time: time.tzinfo is not None, "it has no time zone; write it as 2021-09-04T23:59:59-07:00"
)


# Numbers ----------------------------------------------------------------------------------------------------------

POSITIVE = KeyRule(lambda number: 0 < number < math.inf, "it must be above 0")
MINUTES_OF_A_YEAR = KeyRule(
    lambda minutes: 0 <= minutes <= _YEAR_MINUTES, "it must be between 0 and the minutes of a year"
)
SIZE = KeyRule(lambda size: len(size) == 2 and min(size) > 0, "expected height and width in pixels")


def at_most(most: int) -> KeyRule:
    """Require a number of at most ``most``."""
    return KeyRule(lambda number: number <= most, f"it must be at most {most:,}")


# Files and folders ------------------------------------------------------------------------------------------------


def _is_folder_name(name: str) -> bool:
    """Check that a folder can have that name, and that no program hides or reserves it."""
    return (
        name == name.strip()
        and _is_line(name)
        and not name.startswith(".")
        and not set(name) & {"/", "\\"}
        and name not in _FOLDERS_OF_PROGRAMS
    )


def _stays_inside(path: str) -> bool:
    """Check that a relative path stays below its folder, on any system."""
    parts = path.replace("\\", "/").split("/")
    return (
        ":" not in path
        and _is_line(path)
        and all(part == part.strip() and part not in ("", ".", "..") for part in parts)
    )


def _is_in_run(path: str) -> bool:
    return _PATH_IN_BUNDLE.fullmatch(path) is not None and _stays_inside(path)


PROFILE_NAME = KeyRule(
    _is_folder_name, "the file's name without .toml must be usable as the name of a folder"
)
FOLDERS = KeyRule(
    lambda names: len(names) >= 2 and len(set(names)) == len(names) and all(map(_is_folder_name, names)),
    "expected two or more different folder names",
)
EXTENSIONS = KeyRule(
    lambda names: 0 < len(set(names)) == len(names) and set(names) <= set(_EXTENSIONS),
    f"expected one or more of {', '.join(_EXTENSIONS)}, which TensorFlow can read",
)
FILE_BESIDE = KeyRule(_stays_inside, "expected the path of a file in the profile's folder")
FILE_IN_RUN = KeyRule(
    _is_in_run, "expected a file that the script writes into its folder, such as best_model"
)
JSON_IN_RUN = KeyRule(
    lambda path: _is_in_run(path) and path.endswith(".json"),
    "expected a JSON file that the script writes into its folder, such as predictions.json",
)
SOME_VERSION = KeyRule(bool, "name at least one version")
