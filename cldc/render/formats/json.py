"""JSON: dataclasses as objects, times in ISO 8601, paths and enumerations as strings, and escapes for what UTF-8 can't hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from cldc.render.document import Document
from cldc.text import utf8


def render(document: Document) -> str:
    """The document's data."""
    return to_json(document.data)


def to_json(result: object) -> str:
    """``result`` as JSON text, keys in the order of their fields, with a line end; ASCII, which every stream can hold."""
    return json.dumps(to_data(result), indent=2) + "\n"


def to_data(value: object) -> Any:
    """``value`` as what JSON knows. A field whose repr is off (a secret) is left out; ``metadata["key"]`` names its key.

    Raises:
        TypeError: A value of a type that has no place in a result.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f for f in dataclasses.fields(value) if f.repr)
        return {f.metadata.get("key", f.name): to_data(getattr(value, f.name)) for f in fields}
    if isinstance(value, Mapping):
        return {utf8(str(key)): to_data(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_data(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(to_data(item) for item in value)
    return _scalar(value)


def _scalar(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Path):
        return utf8(str(value))
    if isinstance(value, str):
        return utf8(value)
    if value is None or isinstance(value, (int, float, bool)):
        return value
    raise TypeError(f"{type(value).__name__} has no place in a result")
