"""Bundles, worksheets and users, and how they are read from CodaLab's answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct

from cldc.codalab.jsonapi import Document, Relationship, Resource, convert, unusable
from cldc.errors import UsageError
from cldc.identifiers import UUID
from cldc.inside import unpacking

FINAL_STATES = frozenset({"ready", "failed", "killed"})
READ, ALL = 1, 2
_PUBLIC = "public"
_MAX_DEPTH = 100


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


@dataclass(frozen=True, slots=True)
class Dependency:
    """A dependency of a bundle: ``parent_path`` of the parent appears as ``key`` in the bundle."""

    key: str
    parent: str
    parent_path: str
    parent_name: str | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
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

    uuid: str
    name: str
    type: str
    state: str
    owner_id: str | None
    owner: str | None
    tags: tuple[str, ...]
    description: str
    created: datetime | None
    command: str | None
    dependencies: tuple[Dependency, ...]
    exit_code: int | None
    failure_message: str | None
    run_status: str | None
    state_details: str | None
    seconds: float
    data_size: int
    docker_image: str | None
    requested_image: str | None
    permission: int | None
    public_permission: int | None
    worksheets: tuple[str, ...]

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
        message = self.failure_message or ""
        if code.lower() in message.lower():
            code = ""
        reasons = "; ".join(reason for reason in (message, code) if reason)
        if self.state == "ready":
            return f"ready, but {reasons}" if reasons else None
        return f"{self.state}: {reasons}" if reasons else self.state


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a worksheet: a bundle's uuid, a worksheet's uuid, or text."""

    type: str
    bundle: str | None
    worksheet: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Worksheet:
    """A worksheet as the account sees it; ``permission`` and ``public_permission`` as for a bundle.

    Attributes:
        items: In order; empty if they were not requested.
        bundles: The bundles among the items, if they were requested.
    """

    uuid: str
    name: str
    title: str | None
    owner_id: str | None
    owner: str | None
    tags: tuple[str, ...]
    permission: int | None
    public_permission: int | None
    items: tuple[Item, ...]
    bundles: tuple[Bundle, ...]

    @property
    def bundle_uuids(self) -> tuple[str, ...]:
        """Uuids of its bundles, in order."""
        return tuple(item.bundle for item in self.items if item.bundle is not None)


@dataclass(frozen=True, slots=True)
class User:
    """The signed-in account; disk in bytes, time in seconds; ``time_quota`` is None if the server does not say."""

    id: str
    name: str
    disk_used: int
    disk_quota: int
    time_used: float
    time_quota: float | None
    parallel_run_quota: int

    @property
    def time_left(self) -> float | None:
        """Seconds of computing time that are left; None if the server does not say."""
        return None if self.time_quota is None else self.time_quota - self.time_used


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder inside a bundle; size in bytes.

    Attributes:
        type: ``file``, ``directory`` or ``link``.
        contents: What is in a folder, down to the requested depth.
    """

    name: str
    type: str
    size: int
    contents: tuple[Entry, ...] = ()


# The shapes that CodaLab sends. Null counts as absent.

_Number = Annotated[float, Meta(ge=-1e300, le=1e300)]  # finite


class _Dependency(Struct):
    parent_uuid: str
    child_path: str | None = None
    parent_path: str | None = None
    parent_name: str | None = None


class _Metadata(Struct):
    name: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    created: datetime | None = None
    exitcode: int | None = None
    failure_message: str | None = None
    run_status: str | None = None
    time: _Number | None = None
    data_size: int | None = None
    docker_image: str | None = None
    request_docker_image: str | None = None


class _Bundle(Struct):
    bundle_type: str
    state: str | None = None
    state_details: str | None = None
    command: str | None = None
    dependencies: tuple[_Dependency, ...] | None = None
    permission: int | None = None
    metadata: _Metadata | None = None


class _Worksheet(Struct):
    name: str | None = None
    title: str | None = None
    tags: tuple[str, ...] | None = None
    permission: int | None = None


class _Item(Struct):
    type: str
    value: str | None = None


class _Owner(Struct):
    user_name: str | None = None


class _GroupPermission(Struct):
    group_name: str | None = None
    permission: int = 0


class _User(Struct):
    user_name: str
    disk_used: _Number | None = None
    disk_quota: _Number | None = None
    time_used: _Number | None = None
    time_quota: _Number | None = None
    parallel_run_quota: int | None = None


class _File(Struct):
    type: str
    name: str | None = None
    size: int | None = None
    contents: tuple[_File, ...] | None = None


class _Info(Struct):
    data: _File


class _Found(Struct):
    result: tuple[str, ...]


class _SearchResult(Struct):
    response: _Found


def bundle(resource: Resource, document: Document) -> Bundle:
    """Read a bundle from a document.

    Raises:
        CodaLabError: It does not have the form that CodaLab gives it.
    """
    own = resource.read(_Bundle)
    metadata = own.metadata or _Metadata()
    return Bundle(
        uuid=_uuid(resource.id),
        name=metadata.name or "",
        type=own.bundle_type,
        state=own.state or "",
        owner_id=resource.linked("owner"),
        owner=_owner(resource, document),
        tags=metadata.tags or (),
        description=metadata.description or "",
        created=metadata.created,
        command=own.command or None,
        dependencies=tuple(
            Dependency(d.child_path or "", d.parent_uuid, d.parent_path or "", d.parent_name or None)
            for d in own.dependencies or ()
        ),
        exit_code=metadata.exitcode,
        failure_message=metadata.failure_message or None,
        run_status=metadata.run_status or None,
        state_details=own.state_details or None,
        seconds=metadata.time or 0.0,
        data_size=metadata.data_size or 0,
        docker_image=metadata.docker_image or None,
        requested_image=metadata.request_docker_image or None,
        permission=own.permission,
        public_permission=_public_permission(resource, document),
        worksheets=tuple(sheet.id for sheet in document.related(resource, "host_worksheets")),
    )


def bundles(document: Document) -> list[Bundle]:
    """Read a document's bundles, in its order."""
    return [bundle(resource, document) for resource in document.resources]


def _uuid(text: str) -> str:
    if not UUID.fullmatch(text):
        raise unusable(f"{text[:60]!r} is not a uuid")
    return text


def _owner(resource: Resource, document: Document) -> str | None:
    owners = document.related(resource, "owner")
    return owners[0].read(_Owner).user_name or None if owners else None


def _public_permission(resource: Resource, document: Document) -> int | None:
    """What the public group may do, or None if the permissions are not in the document."""
    relation = "group_permissions"
    if (resource.relationships or {}).get(relation, Relationship()).data is None:
        return None
    groups = (found.read(_GroupPermission) for found in document.related(resource, relation))
    return max((group.permission for group in groups if group.group_name == _PUBLIC), default=0)


def worksheet(resource: Resource, document: Document) -> Worksheet:
    """Read a worksheet from a document.

    Raises:
        CodaLabError: As `bundle`.
    """
    own, items = resource.read(_Worksheet), document.related(resource, "items")
    return Worksheet(
        uuid=_uuid(resource.id),
        name=own.name or "",
        title=own.title or None,
        owner_id=resource.linked("owner"),
        owner=_owner(resource, document),
        tags=own.tags or (),
        permission=own.permission,
        public_permission=_public_permission(resource, document),
        items=tuple(_item(item) for item in items),
        bundles=tuple(
            bundle(found, document) for item in items for found in document.related(item, "bundle")
        ),
    )


def worksheets(document: Document) -> list[Worksheet]:
    """Read a document's worksheets, in its order."""
    return [worksheet(resource, document) for resource in document.resources]


def _item(resource: Resource) -> Item:
    own = resource.read(_Item)
    return Item(own.type, resource.linked("bundle"), resource.linked("subworksheet"), own.value or "")


def user(document: Document) -> User:
    """Read the signed-in account.

    Raises:
        CodaLabError: As `bundle`.
    """
    resource = document.resource
    own = resource.read(_User)
    return User(
        id=resource.id,
        name=own.user_name,
        disk_used=int(own.disk_used or 0),
        disk_quota=int(own.disk_quota or 0),
        time_used=own.time_used or 0.0,
        time_quota=own.time_quota,
        parallel_run_quota=own.parallel_run_quota or 0,
    )


def search_result(value: object) -> tuple[str, ...]:
    """Read the uuids from the decoded answer of ``interpret/search``.

    Raises:
        CodaLabError: As `bundle`.
    """
    return tuple(_uuid(found) for found in convert(value, _SearchResult).response.result)


def entry(value: object) -> Entry:
    """Read what is at a path inside a bundle from the decoded answer of ``contents/info``.

    Raises:
        CodaLabError: As `bundle`.
    """
    return _entry(convert(value, _Info).data, depth=0)


def _entry(file: _File, depth: int) -> Entry:
    if depth > _MAX_DEPTH:
        raise unusable("folders in it are nested too deep")
    inside = tuple(_entry(inner, depth + 1) for inner in file.contents or ())
    return Entry(_file_name(file.name or "", is_inside=depth > 0), file.type, file.size or 0, inside)


def _file_name(name: str, *, is_inside: bool) -> str:
    """The name of an entry; inside a folder it must be a plain file name, never a path."""
    if is_inside:
        try:
            parts = unpacking.checked_parts(name)
        except unpacking.Refused as refused:
            raise unusable(str(refused)) from refused
        if parts != [name]:
            raise unusable(f"it names a file {name[:60]!r}")
    return name
