"""JSON:API documents as CodaLab sends them, read with suspicion: what does not fit is a designed error."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cldc.errors import CodaLabError


def unusable(what: str) -> CodaLabError:
    """The error for an answer that is JSON but not what CodaLab 1.7.5 sends."""
    return CodaLabError(
        f"CodaLab's answer can't be used: {what}.",
        action="Check that the server runs CodaLab Worksheets 1.x; try again if it was just being restarted.",
    )


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object whose values are taken out by type; null counts as absent.

    Attributes:
        where: Its name in error messages.
    """

    where: str
    values: dict[str, Any]

    @classmethod
    def of(cls, where: str, value: object) -> Fields:
        """``value``, which must be an object."""
        if not isinstance(value, dict):
            raise unusable(f"{where} is {_shown(value)}, not an object")
        return cls(where, value)

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a default it must be there."""
        return str(self.take(key, str, default))

    def optional_text(self, key: str) -> str | None:
        """A string that is not empty, or None."""
        return self.take(key, str, "") or None

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number; CodaLab sends some as strings."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        try:
            number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise unusable(f"{self.where}.{key} is {_shown(value)}, not a number")
        return number

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number."""
        return int(self.number(key, default))

    def optional_whole(self, key: str) -> int | None:
        """A whole number or None."""
        return None if self.values.get(key) in (None, "") else self.whole(key)

    def flag(self, key: str) -> bool:
        """A truth value; absent is False."""
        return bool(self.take(key, bool, False))

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; absent is empty."""
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise unusable(f"{self.where}.{key} is {_shown(values)}, not a list of strings")
        return tuple(values)

    def objects(self, key: str) -> tuple[Fields, ...]:
        """A list of objects; absent is empty."""
        values = self.take(key, list, [])
        return tuple(Fields.of(f"{self.where}.{key}[{index}]", value) for index, value in enumerate(values))

    def object(self, key: str) -> Fields:
        """An object; absent is an empty one."""
        return Fields(f"{self.where}.{key}", self.take(key, dict, {}))

    def take(self, key: str, kind: type[Any], default: Any) -> Any:
        """The value as it is, which must be of that type."""
        value = self.values.get(key)
        if value is None:
            value = default
        if not isinstance(value, kind):
            raise unusable(f"{self.where}.{key} is {_shown(value)}")
        return value


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of a document.

    Attributes:
        id: Its id; for bundles and worksheets the uuid.
        attributes: Its own values.
        meta: The document's remarks on it.
    """

    id: str
    kind: str
    attributes: Fields
    links: Fields
    document: Document

    def one(self, relation: str) -> Resource | None:
        """The resource that ``relation`` points to, if it is in the document."""
        return next(self._follow(relation), None)

    def many(self, relation: str) -> tuple[Resource, ...]:
        """The resources of a relation to many that are in the document."""
        return tuple(self._follow(relation))

    def linked(self, relation: str) -> str | None:
        """The id that ``relation`` points to, in the document or not."""
        data = self.links.object(relation).values.get("data")
        return None if data is None else Fields.of(f"{self.links.where}.{relation}", data).text("id")

    def _follow(self, relation: str) -> Iterator[Resource]:
        data = self.links.object(relation).values.get("data")
        linkages = data if isinstance(data, list) else [] if data is None else [data]
        for linkage in linkages:
            fields = Fields.of(f"{self.links.where}.{relation}", linkage)
            found = self.document.included.get((fields.text("type"), fields.text("id")))
            if found is not None:
                yield _resource(found, self.document)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole answer; ``data`` is None where it has none, as one to a change."""

    data: tuple[Fields, ...] | None
    included: dict[tuple[str, str], Fields]
    meta: Fields

    @property
    def resources(self) -> tuple[Resource, ...]:
        """The primary resources, in the server's order.

        Raises:
            CodaLabError: There is no list of them, which is not the same as an empty one.
        """
        return tuple(_resource(fields, self) for fields in self._asked_for())

    @property
    def resource(self) -> Resource:
        """The one primary resource."""
        data = self._asked_for()
        if len(data) != 1:
            raise unusable(f"it has {len(data)} resources where one was asked for")
        return _resource(data[0], self)

    def _asked_for(self) -> tuple[Fields, ...]:
        if self.data is None:
            raise unusable("it has no resources where some were asked for")
        return self.data


def _resource(fields: Fields, document: Document) -> Resource:
    return Resource(
        id=fields.text("id"),
        kind=fields.text("type"),
        attributes=fields.object("attributes"),
        links=fields.object("relationships"),
        document=document,
    )


def load(text: str | bytes) -> Any:
    """JSON of any form.

    Raises:
        ValueError: It is none.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def parse(value: object) -> Document:
    """A decoded document.

    Raises:
        CodaLabError: It is no JSON:API document.
    """
    top = Fields.of("the answer", value)
    data = top.values.get("data")
    items = data if isinstance(data, list) else [data]
    included = [Fields.of("an included resource", entry) for entry in top.take("included", list, [])]
    return Document(
        data=None if data is None else tuple(Fields.of("a resource", item) for item in items),
        included={(fields.text("type"), fields.text("id")): fields for fields in included},
        meta=top.object("meta"),
    )
