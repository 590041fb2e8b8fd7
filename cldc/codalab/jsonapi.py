"""Read CodaLab's JSON:API documents into typed objects; what does not fit raises a designed error."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from cldc.errors import CodaLabError

T = TypeVar("T")


def unusable(what: str) -> CodaLabError:
    """The error for JSON that differs from what CodaLab 1.7.5 sends."""
    return CodaLabError(
        f"CodaLab's answer can't be used: {what}.",
        action="Check that the server runs CodaLab Worksheets 1.x; try again if it was just being restarted.",
    )


def load(text: str | bytes) -> Any:
    """Decode any JSON; null counts as absent.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return json.loads(text, object_hook=lambda found: {k: v for k, v in found.items() if v is not None})
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def convert(value: object, shape: type[T], *, where: str = "it") -> T:
    """Read decoded JSON into ``shape``; numbers may be strings, as CodaLab sends some.

    Raises:
        CodaLabError: It does not fit; ``where`` names it in the message.
    """
    try:
        return msgspec.convert(value, shape, strict=False)
    except msgspec.ValidationError as error:
        # "Expected `object`, got `str`", with a path such as "at `$.metadata.tags[0]`".
        raise unusable(f"{where} is not as expected ({error})") from error
    except RecursionError as error:
        raise unusable(f"{where} is nested too deep") from error


class Linkage(msgspec.Struct):
    """A reference to a resource."""

    kind: str = msgspec.field(name="type")
    id: str = msgspec.field()


class Relationship(msgspec.Struct):
    """A reference from a resource to one resource, many, or none."""

    data: Linkage | list[Linkage] | None = None


class Resource(msgspec.Struct):
    """One resource of a document; for bundles and worksheets ``id`` is the uuid."""

    kind: str = msgspec.field(name="type")
    id: str = msgspec.field()
    attributes: dict[str, Any] = {}
    relationships: dict[str, Relationship] = {}

    def read(self, shape: type[T], more: Mapping[str, Any] | None = None) -> T:
        """The attributes, and ``more``, as ``shape``."""
        return convert({**self.attributes, **(more or {})}, shape, where=f"{self.kind[:40]} {self.id[:40]}")

    def links(self, relation: str) -> list[Linkage]:
        """The references of ``relation``, whether in the document or not."""
        data = self.relationships.get(relation, Relationship()).data
        return data if isinstance(data, list) else [] if data is None else [data]

    def linked(self, relation: str) -> str | None:
        """The id of the resource that ``relation`` refers to."""
        return next((link.id for link in self.links(relation)), None)


class Meta(msgspec.Struct):
    """A document's metadata."""

    version: str | None = None


class Document(msgspec.Struct, dict=True):
    """A whole answer; ``data`` is None if it has none, as the answer to a change."""

    data: Resource | list[Resource] | None = None
    included: list[Resource] = []
    meta: Meta | None = None

    @property
    def resources(self) -> list[Resource]:
        """The primary resources, in the server's order.

        Raises:
            CodaLabError: The list is missing; an empty list is fine.
        """
        if self.data is None:
            raise unusable("it has no resources")
        return self.data if isinstance(self.data, list) else [self.data]

    @property
    def resource(self) -> Resource:
        """The one primary resource."""
        if len(self.resources) != 1:
            raise unusable(f"it has {len(self.resources)} resources where one was asked for")
        return self.resources[0]

    def related(self, resource: Resource, relation: str) -> list[Resource]:
        """The resources in the document that ``relation`` refers to."""
        links = ((link.kind, link.id) for link in resource.links(relation))
        return [self._included[link] for link in links if link in self._included]

    @functools.cached_property
    def _included(self) -> dict[tuple[str, str], Resource]:
        return {(resource.kind, resource.id): resource for resource in self.included}
