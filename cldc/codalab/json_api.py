"""CodaLab's JSON:API documents, and the bundles, worksheets, users and files that are read from them.

Where CodaLab has another name for something, ``field`` gives it; what CodaLab leaves out has its default. An answer that
does not fit raises CodaLabError.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Struct, field

from cldc.errors import CodaLabError, UsageError
from cldc.identifiers import UUID
from cldc.inside import unpacking

T = TypeVar("T")
FINAL_STATES = frozenset({"ready", "failed", "killed"})
READ, ALL = 1, 2
_PUBLIC = "public"

_Uuid = Annotated[str, msgspec.Meta(pattern=rf"^{UUID.pattern}\Z")]
_Number = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]  # finite


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


def unusable(what: str) -> CodaLabError:
    """Build the error for JSON that differs from what CodaLab 1.7.5 sends."""
    return CodaLabError(
        f"CodaLab's answer can't be used: {what}.",
        action="Check that the server runs CodaLab Worksheets 1.x; try again if it was just being restarted.",
    )


def check_uuid(uuid: str) -> str:
    """Return ``uuid`` if it is a whole one: the meaning of names and prefixes depends on the worksheet.

    Raises:
        UsageError: It is not a uuid.
    """
    if not UUID.fullmatch(uuid):
        raise UsageError(
            f"{uuid!r} is not a uuid.", action="Give 0x and 32 hex digits, as shown on the bundle's page."
        )
    return uuid


class Dependency(Struct, frozen=True):
    """A dependency of a bundle: ``parent_path`` of the parent appears as ``key`` in the bundle."""

    key: str = field(name="child_path")
    parent: str = field(name="parent_uuid")
    parent_path: str = ""


class Bundle(Struct, frozen=True, kw_only=True):
    """A bundle as the account sees it.

    Attributes:
        type: ``dataset`` (an upload), ``run``, ``make``, or ``private`` if the account may not read it.
        state: As CodaLab names it; the final ones are ``ready``, ``failed`` and ``killed``.
        owner: The owner's name, if it was requested and is shown.
        created: By the server's clock.
        command: A run's command.
        run_status: CodaLab's comment on a running run, as "Downloading dependencies".
        state_details: CodaLab's explanation of the state.
        seconds: A run's computing time.
        data_size: In bytes.
        docker_image: The image by digest that it ran in; ``requested_image`` is the requested one.
        permission: What the account may do: 0 nothing, 1 read, 2 everything; None if CodaLab does not say.
        public_permission: What everyone may do; None if it was not requested.
        worksheets: Uuids of the worksheets it is on, if they were requested.
    """

    uuid: _Uuid
    name: str = ""
    type: str = field(name="bundle_type")
    state: str = ""
    owner_id: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    description: str = ""
    created: datetime | None = None
    command: str = ""
    dependencies: tuple[Dependency, ...] = ()
    exit_code: int | None = field(default=None, name="exitcode")
    failure_message: str = ""
    run_status: str = ""
    state_details: str = ""
    seconds: _Number = field(default=0.0, name="time")
    data_size: int = 0
    docker_image: str = ""
    requested_image: str = field(default="", name="request_docker_image")
    permission: int | None = None
    public_permission: int | None = None
    worksheets: tuple[str, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether the account may read it."""
        return self.type != "private" and self.permission != 0

    @property
    def final(self) -> bool:
        """Whether its state won't change any more."""
        return self.state in FINAL_STATES

    @property
    def failed(self) -> bool:
        """Whether it ended and can't be used."""
        return self.final and self.failure is not None

    @property
    def failure(self) -> str | None:
        """Why it can't be used, or None. ``ready`` alone says nothing: a failing run can end so."""
        code = "" if self.exit_code in (None, 0) else f"exit code {self.exit_code}"
        message = self.failure_message
        if code.lower() in message.lower():
            code = ""
        reasons = "; ".join(reason for reason in (message, code) if reason)
        if self.state == "ready":
            return f"ready, but {reasons}" if reasons else None
        return f"{self.state}: {reasons}" if reasons else self.state


class Worksheet(Struct, frozen=True, kw_only=True):
    """A worksheet as the account sees it; ``permission`` and ``public_permission`` as for a bundle.

    Attributes:
        items: In order, of each the uuid of its bundle, or None for a text or a link; empty if they were not requested.
        bundles: The bundles among the items, if they were requested.
    """

    uuid: _Uuid
    name: str = ""
    title: str = ""
    owner_id: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    permission: int | None = None
    public_permission: int | None = None
    items: tuple[str | None, ...] = ()
    bundles: tuple[Bundle, ...] = ()


class User(Struct, frozen=True, kw_only=True):
    """The signed-in account; disk in bytes, time in seconds; ``time_quota`` is None if the server does not say."""

    id: str
    name: str = field(name="user_name")
    disk_used: _Number = 0.0
    disk_quota: _Number = 0.0
    time_used: _Number = 0.0
    time_quota: _Number | None = None
    parallel_run_quota: int = 0

    @property
    def time_left(self) -> float | None:
        """Seconds of computing time that are left; None if the server does not say."""
        return None if self.time_quota is None else self.time_quota - self.time_used


class Entry(Struct, frozen=True):
    """A file or folder inside a bundle; size in bytes.

    Attributes:
        type: ``file``, ``directory`` or ``link``.
        contents: A folder's contents, down to the requested depth. Decoding refuses a name that is not a plain file name.
    """

    type: str
    name: str = ""
    size: int = 0
    contents: tuple[Entry, ...] = ()

    def __post_init__(self) -> None:
        for inner in self.contents:
            try:
                parts = unpacking.checked_parts(inner.name)
            except unpacking.Refused as refused:
                raise ValueError(str(refused)) from refused
            if parts != [inner.name]:
                raise ValueError(f"it names a file {inner.name[:60]!r}")


class ContentsInfo(Struct):
    """The answer of ``contents/info``."""

    data: Entry


class Found(Struct):
    """The uuids that a search found."""

    result: tuple[_Uuid, ...]


class SearchResult(Struct):
    """The answer of ``interpret/search``."""

    response: Found


class _Linkage(Struct):
    """A reference to a resource."""

    kind: str = field(name="type")
    id: str = field()


class _Relationship(Struct):
    """References to one resource, to many, or to none."""

    data: _Linkage | list[_Linkage] | None = None


class _Resource(Struct):
    """One resource of a document; for bundles and worksheets ``id`` is the uuid."""

    kind: str = field(name="type")
    id: str = field()
    attributes: dict[str, Any] = {}
    relationships: dict[str, _Relationship] = {}

    def read(self, shape: type[T], more: Mapping[str, Any] | None = None) -> T:
        """Read the attributes, and ``more``, into ``shape``."""
        return convert({**self.attributes, **(more or {})}, shape, where=f"{self.kind[:40]} {self.id[:40]}")

    def links(self, relation: str) -> list[_Linkage]:
        """List the references of ``relation``, whether in the document or not."""
        data = self.relationships.get(relation, _Relationship()).data
        return data if isinstance(data, list) else [] if data is None else [data]

    def linked(self, relation: str) -> str | None:
        """Return the id of the resource that ``relation`` refers to."""
        return next((link.id for link in self.links(relation)), None)


class _Permission(Struct):
    group_name: str = ""
    permission: int = 0


class _Meta(Struct, frozen=True):
    version: str | None = None


class JsonApiDocument(Struct, dict=True):
    """A whole answer, which is read as what was requested.

    Attributes:
        data: The primary resources; None if it has none, as the answer to a change.
        included: Resources that the primary ones refer to.
    """

    data: _Resource | list[_Resource] | None = None
    included: list[_Resource] = []
    meta: _Meta = _Meta()

    @property
    def resources(self) -> list[_Resource]:
        """The primary resources, in the server's order.

        Raises:
            CodaLabError: The list is missing; an empty list is fine.
        """
        if self.data is None:
            raise unusable("it has no resources")
        return self.data if isinstance(self.data, list) else [self.data]

    @property
    def resource(self) -> _Resource:
        """The one primary resource."""
        if len(self.resources) != 1:
            raise unusable(f"it has {len(self.resources)} resources where one was expected")
        return self.resources[0]

    def user(self) -> User:
        """Return the document's only user."""
        return self.resource.read(User, {"id": self.resource.id})

    def bundle(self) -> Bundle:
        """Return the document's only bundle."""
        return self._bundle(self.resource)

    def bundles(self) -> list[Bundle]:
        """List the document's bundles."""
        return [self._bundle(resource) for resource in self.resources]

    def _bundle(self, resource: _Resource) -> Bundle:
        metadata = convert(resource.attributes.get("metadata", {}), dict[str, Any], where="its metadata")
        worksheets = [worksheet.id for worksheet in self._related(resource, "host_worksheets")]
        return resource.read(Bundle, {**metadata, **self._shared(resource), "worksheets": worksheets})

    def worksheet(self) -> Worksheet:
        """Return the document's only worksheet."""
        return self._worksheet(self.resource)

    def worksheets(self) -> list[Worksheet]:
        """List the document's worksheets."""
        return [self._worksheet(resource) for resource in self.resources]

    def _worksheet(self, resource: _Resource) -> Worksheet:
        items = self._related(resource, "items")
        found = {
            "items": [item.linked("bundle") for item in items],
            "bundles": [self._bundle(it) for item in items for it in self._related(item, "bundle")],
        }
        return resource.read(Worksheet, {**self._shared(resource), **found})

    def _shared(self, resource: _Resource) -> dict[str, Any]:
        """Read what bundles and worksheets have in common."""
        owner = next(iter(self._related(resource, "owner")), None)
        return {
            "uuid": resource.id,
            "owner_id": resource.linked("owner"),
            "owner": (owner.attributes.get("user_name") or None) if owner else None,
            "public_permission": self._public_permission(resource),
        }

    def _public_permission(self, resource: _Resource) -> int | None:
        """Read what the public group may do; None if the permissions are not in the document."""
        relation = resource.relationships.get("group_permissions")
        if relation is None or relation.data is None:
            return None
        groups = (found.read(_Permission) for found in self._related(resource, "group_permissions"))
        return max((group.permission for group in groups if group.group_name == _PUBLIC), default=0)

    def _related(self, resource: _Resource, relation: str) -> list[_Resource]:
        """List the resources in the document that ``relation`` refers to."""
        links = ((link.kind, link.id) for link in resource.links(relation))
        return [self._included[link] for link in links if link in self._included]

    @functools.cached_property
    def _included(self) -> dict[tuple[str, str], _Resource]:
        return {(resource.kind, resource.id): resource for resource in self.included}
