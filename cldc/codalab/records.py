"""Bundles, worksheets and users as CodaLab tells of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cldc.codalab.jsonapi import Fields, Resource, unusable
from cldc.errors import UsageError
from cldc.identifiers import UUID
from cldc.inside import unpacking

FINAL_STATES = frozenset({"ready", "failed", "killed"})
READ, ALL = 1, 2
_PUBLIC = "public"
_DEEPEST = 100


def check_uuid(uuid: str) -> str:
    """``uuid``, which must be a whole one: names and prefixes mean other things on other worksheets.

    Raises:
        UsageError: It is no uuid.
    """
    if not UUID.fullmatch(uuid):
        raise UsageError(
            f"{uuid!r} is no uuid.", action="Give 0x and 32 hex digits, as the bundle's page shows them."
        )
    return uuid


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a bundle was made from: ``parent_path`` of the parent appears as ``key`` in the bundle."""

    key: str
    parent: str
    parent_path: str
    parent_name: str | None = None


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as the asking account sees it.

    Attributes:
        type: ``dataset`` (an upload), ``run``, ``make``, or ``private`` where the asker may not read it.
        state: As CodaLab names it; final are ``ready``, ``failed`` and ``killed``.
        owner: The owner's name, where it was asked for and is shown.
        created: When it was made, by the server's clock.
        command: A run's command.
        run_status: What CodaLab says of a run while it goes, as in "Downloading dependencies".
        state_details: CodaLab's explanation of the state.
        seconds: A run's own time.
        data_size: In bytes.
        docker_image: The image by digest that it ran in; ``requested_image`` is what was asked for.
        permission: What the asker may do: 0 nothing, 1 read, 2 all; None where CodaLab did not say.
        public_permission: What everyone may do, by the owner's setting; None where it was not asked for.
        worksheets: Uuids of the worksheets it is on, where it was asked for.
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
        """Whether the asker may read it."""
        return self.type != "private" and self.permission != 0

    @property
    def final(self) -> bool:
        """Whether its state can't change any more."""
        return self.state in FINAL_STATES

    @property
    def failure(self) -> str | None:
        """Why it is no good, or None. ``ready`` alone is not believed: a failing run can end so."""
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
    """A worksheet as the asking account sees it; ``permission`` and ``public_permission`` as of a bundle.

    Attributes:
        items: In order; empty where they were not asked for.
        bundles: The bundles among the items, where they were asked for.
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
    """The signed-in account; disk in bytes, time in seconds; ``time_quota`` is None where the server does not say."""

    id: str
    name: str
    disk_used: int
    disk_quota: int
    time_used: float
    time_quota: float | None
    parallel_run_quota: int

    @property
    def time_left(self) -> float | None:
        """Seconds of computing time that are left; None where the server does not say."""
        return None if self.time_quota is None else self.time_quota - self.time_used


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder inside a bundle; size in bytes.

    Attributes:
        type: ``file``, ``directory`` or ``link``.
        contents: What is in a folder, to the depth asked for.
    """

    name: str
    type: str
    size: int
    contents: tuple[Entry, ...] = ()


def bundle(resource: Resource) -> Bundle:
    """A bundle from its resource.

    Raises:
        CodaLabError: Something of it has a form that CodaLab does not give it.
    """
    own, metadata = resource.attributes, resource.attributes.object("metadata")
    owner = resource.one("owner")
    return Bundle(
        uuid=_uuid(resource.id),
        name=metadata.text("name", ""),
        type=own.text("bundle_type"),
        state=own.text("state", ""),
        owner_id=resource.linked("owner"),
        owner=owner.attributes.optional_text("user_name") if owner else None,
        tags=metadata.texts("tags"),
        description=metadata.text("description", ""),
        created=_time(metadata, "created"),
        command=own.optional_text("command"),
        dependencies=tuple(_dependency(fields) for fields in own.objects("dependencies")),
        exit_code=metadata.optional_whole("exitcode"),
        failure_message=metadata.optional_text("failure_message"),
        run_status=metadata.optional_text("run_status"),
        state_details=own.optional_text("state_details"),
        seconds=metadata.number("time", 0.0),
        data_size=metadata.whole("data_size", 0),
        docker_image=metadata.optional_text("docker_image"),
        requested_image=metadata.optional_text("request_docker_image"),
        permission=own.optional_whole("permission"),
        public_permission=_public_permission(resource),
        worksheets=tuple(sheet.id for sheet in resource.many("host_worksheets")),
    )


def _uuid(text: str) -> str:
    if not UUID.fullmatch(text):
        raise unusable(f"{text[:60]!r} is no uuid")
    return text


def _time(fields: Fields, key: str) -> datetime | None:
    if fields.values.get(key) is None:
        return None
    try:
        return datetime.fromtimestamp(fields.number(key), UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise unusable(f"{fields.where}.{key} is no time") from error


def _dependency(fields: Fields) -> Dependency:
    return Dependency(
        key=fields.text("child_path", ""),
        parent=fields.text("parent_uuid"),
        parent_path=fields.text("parent_path", ""),
        parent_name=fields.optional_text("parent_name"),
    )


def _public_permission(resource: Resource) -> int | None:
    """What the public group may do, or None where the permissions are not in the document."""
    if resource.links.object("group_permissions").values.get("data") is None:
        return None
    granted = [
        entry.attributes.whole("permission", 0)
        for entry in resource.many("group_permissions")
        if entry.attributes.optional_text("group_name") == _PUBLIC
    ]
    return max(granted, default=0)


def worksheet(resource: Resource) -> Worksheet:
    """A worksheet from its resource.

    Raises:
        CodaLabError: As `bundle`.
    """
    own, owner = resource.attributes, resource.one("owner")
    entries = resource.many("items")
    inside = (entry.one("bundle") for entry in entries)
    return Worksheet(
        uuid=_uuid(resource.id),
        name=own.text("name", ""),
        title=own.optional_text("title"),
        owner_id=resource.linked("owner"),
        owner=owner.attributes.optional_text("user_name") if owner else None,
        tags=own.texts("tags"),
        permission=own.optional_whole("permission"),
        public_permission=_public_permission(resource),
        items=tuple(
            Item(
                type=entry.attributes.text("type"),
                bundle=entry.linked("bundle"),
                worksheet=entry.linked("subworksheet"),
                text=entry.attributes.text("value", ""),
            )
            for entry in entries
        ),
        bundles=tuple(bundle(found) for found in inside if found is not None),
    )


def user(resource: Resource) -> User:
    """The signed-in account from its resource.

    Raises:
        CodaLabError: As `bundle`.
    """
    own = resource.attributes
    return User(
        id=resource.id,
        name=own.text("user_name"),
        disk_used=own.whole("disk_used", 0),
        disk_quota=own.whole("disk_quota", 0),
        time_used=own.number("time_used", 0.0),
        time_quota=None if own.values.get("time_quota") is None else own.number("time_quota"),
        parallel_run_quota=own.whole("parallel_run_quota", 0),
    )


def entry(fields: Fields, depth: int = 0) -> Entry:
    """A file or folder from ``contents/info``; ``depth`` is how far down it is.

    Raises:
        CodaLabError: As `bundle`.
    """
    if depth > _DEEPEST:
        raise unusable("folders in it are nested too deep")
    return Entry(
        name=_file_name(fields.text("name", ""), is_inside=depth > 0),
        type=fields.text("type"),
        size=fields.whole("size", 0),
        contents=tuple(entry(inner, depth + 1) for inner in fields.objects("contents")),
    )


def _file_name(name: str, *, is_inside: bool) -> str:
    """The name of an entry; inside of a folder it is one that can be no path to elsewhere."""
    if is_inside:
        try:
            parts = unpacking.checked_parts(name)
        except unpacking.Refused as refused:
            raise unusable(str(refused)) from refused
        if parts != [name]:
            raise unusable(f"it names a file {name[:60]!r}")
    return name
