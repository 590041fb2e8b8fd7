"""Reads TOML files into frozen dataclasses, strictly: an error names the file, the key, the value and the expected value."""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import re
import tomllib
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cldc.errors import ConfigurationError
from cldc.text import printable

T = TypeVar("T")
_NOUNS = {
    str: "a string in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    datetime.datetime: "a date and time",
}
# The parser's messages for the most common mistakes.
_PROBLEMS = {
    "Illegal character '\\n'": "a quote is missing at its end",
    "Unterminated string": "a quote is missing at its end",
    "Invalid value": "the text after the equals sign is not a value; put text in quotes",
    "Expected '=' after a key in a key/value pair": "an equals sign is missing after the key",
    "Cannot overwrite a value": "the same key is set twice",
}


@dataclass(frozen=True, slots=True)
class KeyRule:
    """A rule for the value of a key, part of the key's type as ``Annotated[TYPE, RULE, ...]``.

    Attributes:
        holds: Whether a value of that type keeps the rule.
        wanted: The expected value, in words.
    """

    holds: Callable[[Any], bool]
    wanted: str


def refused(what: str, problem: str) -> ConfigurationError:
    """Build the error about a profile (``profile NAME``) or another settings file (its path)."""
    return ConfigurationError(
        f"{_subject(what)} can't be used: {problem}.", action="Correct it and run the command again."
    )


def _subject(what: str) -> str:
    return what if Path(what).is_absolute() else f"The {what}"


def read_text(path: Path) -> str:
    """Read the text of a settings file or a profile.

    Raises:
        ConfigurationError: It can't be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # an editor on Windows may put a byte order mark first
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path} is not UTF-8: line {line} has a byte that can't be read.", action="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{path} can't be read: {error.strerror}.", action="Check its path, and that you may read it."
        ) from error


def read_toml(text: str, *, what: str) -> dict[str, Any]:
    """Parse ``text`` as TOML; an error names the file.

    Raises:
        ConfigurationError: It is not valid TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise refused(what, "its values are nested too deeply") from error
    except tomllib.TOMLDecodeError as error:
        found, _, place = str(error).partition(" (at ")
        matched = re.match(r"line (\d+)", place)
        number = int(matched[1]) if matched else max(1, len(text.rstrip().splitlines()))
        problem = _PROBLEMS.get(found, found[:1].lower() + found[1:])
        line = text.splitlines()[number - 1].strip() if text.strip() else ""
        raise ConfigurationError(
            f"{_subject(what)} is not valid TOML. Line {number} is `{printable(line)}`: {problem}.",
            action=f"Correct line {number}.",
        ) from error


def read_table(
    cls: type[T], table: dict[str, Any], *, what: str, at: str = "", hidden: tuple[str, ...] = ()
) -> T:
    """Read a TOML table into the frozen dataclass ``cls``; ``at`` is the table's own dotted key.

    Args:
        hidden: Attributes of ``cls`` that are not keys, so that no error suggests them.

    Raises:
        ConfigurationError: An unknown key (with the nearest known one), a missing key, a wrong type, a broken rule.
    """
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            known = [name for name in fields if name not in hidden]
            close = nearest(key, known, least=0.5)
            hint = f"; perhaps you meant {close!r}" if close else f"; known are {', '.join(known)}"
            raise refused(what, f"unknown key {at + key!r}{hint}")
    values = {}
    for name, spec in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], what=what, at=at + name)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise refused(what, f"the key {at + name!r} is missing")
    return cls(**values)


def nearest(word: str, known: Sequence[str], *, least: float) -> str:
    """Find the known word most similar to ``word``; empty if none is similar."""
    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=least)), "")


def _convert(hint: Any, value: Any, *, what: str, at: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        converted = _convert(args[0], value, what=what, at=at)
        for rule in args[1:]:
            if not rule.holds(converted):
                shown = value.isoformat() if isinstance(value, datetime.datetime) else value
                raise refused(what, f"{at!r} is {shown!r}; {rule.wanted}")
        return converted
    if origin in (types.UnionType, typing.Union):
        (inner,) = (arg for arg in args if arg is not type(None))
        return None if value is None else _convert(inner, value, what=what, at=at)
    if origin is Literal:
        if value not in args:
            raise refused(what, f"{at!r} is {value!r}; it can be {' or '.join(map(repr, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise refused(what, f"{at!r} is {value!r}; expected a list")
        return tuple(_convert(args[0], v, what=what, at=f"{at}[{i}]") for i, v in enumerate(value))
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise refused(what, f"{at!r} is {value!r}; expected a table")
        return read_table(typing.cast(type, hint), value, what=what, at=f"{at}.")
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise refused(what, f"{at!r} is {value!r}; expected {_NOUNS.get(hint, hint.__name__)}")
    if isinstance(value, str) and "\0" in value:
        raise refused(what, f"{at!r} is {value!r}; no text may contain a null character")
    return value
