"""Bundles, worksheets, users and files, and how they are read from CodaLab's answers.

Where CodaLab has another name for something, ``field`` gives it; what CodaLab leaves out has its default. An answer of
another form than CodaLab's raises CodaLabError.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from cldc.codalab.jsonapi import Document, Resource, convert, unusable
from cldc.errors import UsageError
from cldc.identifiers import UUID
from cldc.inside import unpacking

FINAL_STATES = frozenset({"ready", "failed", "killed"})
READ, ALL = 1, 2
_PUBLIC = "public"
_MAX_DEPTH = 100

_Uuid = Annotated[str, Meta(pattern=rf"^{UUID.pattern}\Z")]
_Number = Annotated[float, Meta(ge=-1e300, le=1e300)]  # finite


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
        contents: What is in a folder, down to the requested depth.
    """

    type: str
    name: str = ""
    size: int = 0
    contents: tuple[Entry, ...] = ()


class _Attributes(Struct):
    metadata: dict[str, Any] = {}


class _GroupPermission(Struct):
    group_name: str = ""
    permission: int = 0


class _Info(Struct):
    data: Entry


class Found(Struct):
    """The uuids that a search found."""

    result: tuple[_Uuid, ...]


class SearchResult(Struct):
    """The answer of ``interpret/search``."""

    response: Found


def bundle(resource: Resource, document: Document) -> Bundle:
    """Read a bundle from a document."""
    worksheets = [worksheet.id for worksheet in document.related(resource, "host_worksheets")]
    metadata = resource.read(_Attributes).metadata
    return resource.read(Bundle, {**metadata, **_shared(resource, document), "worksheets": worksheets})


def bundles(document: Document) -> list[Bundle]:
    """Read a document's bundles, in its order."""
    return [bundle(resource, document) for resource in document.resources]


def _shared(resource: Resource, document: Document) -> dict[str, Any]:
    """What bundles and worksheets have in common."""
    owner = next(iter(document.related(resource, "owner")), None)
    return {
        "uuid": resource.id,
        "owner_id": resource.linked("owner"),
        "owner": (owner.attributes.get("user_name") or None) if owner else None,
        "public_permission": _public_permission(resource, document),
    }


def _public_permission(resource: Resource, document: Document) -> int | None:
    """What the public group may do, or None if the permissions are not in the document."""
    relation = resource.relationships.get("group_permissions")
    if relation is None or relation.data is None:
        return None
    groups = (found.read(_GroupPermission) for found in document.related(resource, "group_permissions"))
    return max((group.permission for group in groups if group.group_name == _PUBLIC), default=0)


def worksheet(resource: Resource, document: Document) -> Worksheet:
    """Read a worksheet from a document."""
    items = document.related(resource, "items")
    found = {
        "items": [item.linked("bundle") for item in items],
        "bundles": [bundle(it, document) for item in items for it in document.related(item, "bundle")],
    }
    return resource.read(Worksheet, {**_shared(resource, document), **found})


def worksheets(document: Document) -> list[Worksheet]:
    """Read a document's worksheets, in its order."""
    return [worksheet(resource, document) for resource in document.resources]


def entry(value: object) -> Entry:
    """Read what is at a path inside a bundle from the decoded answer of ``contents/info``, with plain file names only."""
    found = convert(value, _Info).data
    _check_names(found, 1)
    return found


def _check_names(folder: Entry, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise unusable("folders in it are nested too deep")
    for inner in folder.contents:
        try:
            parts = unpacking.checked_parts(inner.name)
        except unpacking.Refused as refused:
            raise unusable(str(refused)) from refused
        if parts != [inner.name]:
            raise unusable(f"it names a file {inner.name[:60]!r}")
        _check_names(inner, depth + 1)
