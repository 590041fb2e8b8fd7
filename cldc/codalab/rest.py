"""CodaLab over REST: all reads, and three kinds of changes; `cl` makes all others.

A competition is put on a server here, since `cl` can't choose the uuids of what it creates. Permissions are set here, since
setting them is safe to repeat after a network failure, and `cl` repeats no change. A bundle's last tag is removed here, since
`cl` can't.

A change that is not safe to repeat gets a single attempt. After a failure, check on the server whether it was done before
trying again.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import re
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal

from requests import Response

from cldc.codalab import download, json_api
from cldc.codalab.connection import Connection, Limits, Params, Request
from cldc.codalab.failures import NotFound, PermissionDenied, TooLarge
from cldc.codalab.json_api import Bundle, Entry, JsonApiDocument, User, Worksheet, check_uuid
from cldc.codalab.transport import read_body
from cldc.credentials import Credentials
from cldc.errors import CodaLabError, UsageError
from cldc.identifiers import UUID
from cldc.inside import unpacking
from cldc.progress import SILENT, Observer

FILE_BYTES = 64 * 2**20
# Results per page. The server spends about a millisecond on each result, and repeats the whole search for each page. The
# smaller pages are for results with long descriptions, of which a large page would exceed the limit for an answer.
PAGE, SMALL_PAGE = 1000, 100
# If a list is longer, something is wrong with the server.
MOST_LISTED = 100_000
_INCLUDE = "owner,group_permissions"
# 40 uuids make an address of some 2,000 characters, which every proxy accepts.
_UUIDS_PER_REQUEST = 40
# Deeper than any chain of bundles is.
_ALL_GENERATIONS = 10_000
# CodaLab cuts the lines of head and tail at 128 characters by default.
_LINE_CHARACTERS = 4096
# The server unpacks what was sent before it answers.
_UNPACK_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Health:
    """A server that answered.

    Attributes:
        version: CodaLab's version, if it says so.
        seconds: How long the answer took.
        date: The server's time when it answered, from its Date header, which has whole seconds.
        clock_ahead_seconds: How far that was ahead of our clock.
    """

    version: str | None
    seconds: float
    date: datetime | None
    clock_ahead_seconds: float | None


class Rest:
    """One server as one account sees it, or as everyone does if ``credentials`` is None.

    Attributes:
        server: Its address.
        username: The account's name; None for everyone.

    Every method raises Unreachable, CredentialsError, NotFound, PermissionDenied or CodaLabError; see `failures`.
    """

    def __init__(
        self,
        server: str,
        credentials: Credentials | None = None,
        *,
        observer: Observer = SILENT,
        limits: Limits | None = None,
    ) -> None:
        """Take the arguments of `Connection`."""
        self._observer = observer
        self._connection = Connection(server, credentials, observer=observer, limits=limits)
        self.server = self._connection.server
        self.username = credentials.username if credentials else None

    def __enter__(self) -> Rest:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def with_timeout(self, seconds: float) -> Rest:
        """Create a client of the same account for optional reads: one attempt, silent for ``seconds`` at most."""
        limits = Limits(pauses_seconds=(), silence_seconds=seconds, total_seconds=2 * seconds)
        return Rest(self.server, self._connection.credentials, observer=self._observer, limits=limits)

    # --- the account and the server

    def user(self) -> User:
        """Read the signed-in account with its disk and time."""
        return self._document("/user").user()

    def has_account(self, name: str) -> bool:
        """Check whether an account with that name exists on the server."""
        try:
            self._document(f"/users/{urllib.parse.quote(name, safe='')}")
        except NotFound:
            return False
        return True

    def health(self) -> Health:
        """Send a request that needs no account, and report how the server answers."""
        started = time.monotonic()

        def health(answer: Response) -> Health:
            document, date, ahead = self._connection.decode(answer, JsonApiDocument), None, None
            with contextlib.suppress(ValueError):
                date = email.utils.parsedate_to_datetime(answer.headers.get("Date", ""))
                ahead = date.timestamp() - time.time()
            return Health(document.meta.version, time.monotonic() - started, date, ahead)

        return self._connection.send(Request(path="/worksheets", params=[("keywords", ".limit=1")]), health)

    # --- bundles

    def bundle(self, uuid: str, *, worksheets: bool = False) -> Bundle:
        """Read one bundle; with ``worksheets`` also the worksheets it is on."""
        include = _INCLUDE + (",host_worksheets" if worksheets else "")
        return self._document(f"/bundles/{check_uuid(uuid)}", [("include", include)]).bundle()

    def bundles(
        self, uuids: Iterable[str], *, worksheets: bool = False, observer: Observer = SILENT
    ) -> dict[str, Bundle]:
        """Read several bundles by uuid, without those that the server does not have; with ``worksheets`` as in `bundle`.

        Progress counts the bundles that were requested so far.
        """
        wanted, found = [check_uuid(uuid) for uuid in dict.fromkeys(uuids)], dict[str, Bundle]()
        for start in range(0, len(wanted), _UUIDS_PER_REQUEST):
            observer.advance(start)
            found |= self._bundles(wanted[start : start + _UUIDS_PER_REQUEST], worksheets=worksheets)
        return found

    def _bundles(self, uuids: list[str], *, worksheets: bool) -> dict[str, Bundle]:
        """Read the `bundles` in one request. If one is missing, CodaLab returns none; then request each half alone."""
        include = _INCLUDE + (",host_worksheets" if worksheets else "")
        params = [*(("specs", uuid) for uuid in uuids), ("include", include)]
        try:
            return {bundle.uuid: bundle for bundle in self._document("/bundles", params).bundles()}
        except NotFound:
            if len(uuids) == 1:
                return {}
        half = len(uuids) // 2
        return self._bundles(uuids[:half], worksheets=worksheets) | self._bundles(
            uuids[half:], worksheets=worksheets
        )

    def found(self, uuid: str) -> Bundle | None:
        """Find a bundle, readable or not; None if it does not exist."""
        try:
            return self.bundle(uuid)
        except NotFound:
            return None

    def with_descendants(self, uuid: str) -> tuple[Bundle, tuple[Bundle, ...]]:
        """Read one bundle with the worksheets it is on, and all its descendants.

        A descendant that the account may not read is listed as a bundle of type ``private``; it still depends on the bundle.
        """
        params: list[tuple[str, str | int]] = [
            ("specs", check_uuid(uuid)),
            ("depth", _ALL_GENERATIONS),
            ("include", f"{_INCLUDE},host_worksheets"),
        ]
        found = self._document("/bundles", params).bundles()
        itself = next((bundle for bundle in found if bundle.uuid == uuid), None)
        if itself is None:
            raise json_api.unusable(f"it does not have the bundle {uuid} that was asked for")
        return itself, tuple(bundle for bundle in found if bundle.uuid != uuid)

    def search(
        self,
        *,
        tag: str | None = None,
        owner: str | None = None,
        name_between: tuple[str, str] | None = None,
        dependency: str | None = None,
        most: int | None = None,
    ) -> tuple[Bundle, ...]:
        """Find bundles that match all criteria, newest first.

        CodaLab's search hides private bundles from everyone but root, even from their owner: read what must not be missed
        through its worksheet. On MariaDB the case of tags is ignored.

        Args:
            tag: One of the bundle's tags.
            owner: The owner's name.
            name_between: What the name starts and ends with.
            dependency: Uuid of a bundle that it depends on directly.
            most: Maximum number of results; None for all.

        Raises:
            CodaLabError: There are more than `MOST_LISTED`.
        """
        keywords = _keywords(tags=tag, owner=owner, dependency=dependency)
        begins, ends = name_between or ("", "")
        if name_between is not None:
            keywords.append(f"name={_literal(begins)}.*{_literal(ends)}")
        pages = self._pages("/bundles", [*keywords, "id=.sort-"], most=most)
        # A bundle created between two pages shifts another one to the next page, which must not count twice.
        found = {bundle.uuid: bundle for page in pages for bundle in page.bundles()}
        # In the server's pattern an underscore matches any character.
        return tuple(b for b in found.values() if b.name.startswith(begins) and b.name.endswith(ends))

    def search_uuids(self, *, tag: str, owner: str) -> tuple[str, ...]:
        """List the uuids of the bundles with that tag and owner that `search` would find, newest first.

        CodaLab makes one query for all of them, and several for each bundle that `search` reads.

        Raises:
            CodaLabError: There are more than `MOST_LISTED`.
        """
        keywords = [*_keywords(tags=tag, owner=owner), "id=.sort-", f".limit={MOST_LISTED + 1}"]
        request = Request(method="POST", path="/interpret/search", body={"keywords": keywords})
        found = self._connection.json(request, json_api.SearchResult).response.result
        if len(found) > MOST_LISTED:
            raise _too_many("bundles")
        return found

    def _pages(
        self, path: str, keywords: Iterable[str], *, most: int | None = None
    ) -> Iterator[JsonApiDocument]:
        """Read the pages of a search."""
        offset, size = 0, min(PAGE, most or PAGE)
        while offset < MOST_LISTED:
            try:
                search = (*keywords, f".offset={offset}", f".limit={size}")
                params = [*(("keywords", keyword) for keyword in search), ("include", _INCLUDE)]
                page = self._document(path, params)
            except TooLarge:
                if size <= SMALL_PAGE:
                    raise
                size = SMALL_PAGE
                continue
            yield page
            offset += size
            if len(page.resources) < size or (most is not None and offset >= most):
                return
        raise _too_many(path.strip("/"))

    # --- worksheets

    def worksheet(self, spec: str, *, items: bool = False, bundles: bool = False) -> Worksheet:
        """Read a worksheet by uuid or name, with its items and, if requested, its bundles.

        New items have no position until someone with full permission reads them; everyone else gets PermissionDenied
        until then. See `read_items_as_owner`.
        """
        uuid = spec if UUID.fullmatch(spec) else self._worksheet_named(spec)
        include = _INCLUDE + (",items" if items or bundles else "")
        include += ",items.bundle,items.bundle.owner" if bundles else ""
        return self._document(f"/worksheets/{uuid}", [("include", include)]).worksheet()

    def _worksheet_named(self, name: str) -> str:
        # By search, since asking by name creates the worksheet if it is called "dashboard" or "/".
        pages = self._pages("/worksheets", [f"name={_literal(name)}"])
        found = [worksheet for page in pages for worksheet in page.worksheets()]
        if not found:
            raise NotFound(
                f"{self.server} has no worksheet {name!r} that this account may read.",
                action="Check its name; only its owner sees a private worksheet.",
            )
        # MariaDB ignores case.
        return next((worksheet for worksheet in found if worksheet.name == name), found[0]).uuid

    def own_worksheets(self, name: str | None = None, *, prefix: str = "") -> tuple[Worksheet, ...]:
        """List the account's worksheets, or the one with this name, or those whose names start with ``prefix``; without items."""
        found = self._own_worksheets(name, prefix)
        # An empty list is also what an anonymous reader gets.
        return found or (self._own_worksheets(name, prefix) if self._connection.reauthenticate() else found)

    def _own_worksheets(self, name: str | None, prefix: str) -> tuple[Worksheet, ...]:
        keywords = [".mine", *_keywords(name=name)]
        if prefix:
            keywords.append(f"name={_literal(prefix)}.*")
        # Sorted by id: CodaLab's own order, by last change, shifts when a worksheet is changed between two pages.
        pages = self._pages("/worksheets", [*keywords, "id=.sort"])
        found = {worksheet.uuid: worksheet for page in pages for worksheet in page.worksheets()}
        # In the server's pattern an underscore matches any character.
        return tuple(
            worksheet
            for worksheet in found.values()
            if name in (None, worksheet.name) and worksheet.name.startswith(prefix)
        )

    def read_items_as_owner(self, uuid: str) -> Worksheet:
        """Read a worksheet's items with full permission, which gives new items the position that other readers need.

        Raises:
            PermissionDenied: The account lacks full permission, so new items have no position yet.
        """
        worksheet = self.worksheet(check_uuid(uuid), items=True)
        if worksheet.permission != json_api.ALL and self._connection.reauthenticate():
            worksheet = self.worksheet(uuid, items=True)
        if worksheet.permission != json_api.ALL:
            raise PermissionDenied(
                f"The items of worksheet {worksheet.name} were read, but not as its owner.",
                action="Sign in as the account that created the worksheet.",
            )
        return worksheet

    # --- contents

    def info(self, uuid: str, path: str = "", *, depth: int = 0) -> Entry:
        """Describe the file or folder at ``path`` inside a bundle, with the contents of folders down to ``depth`` levels."""
        request = Request(path=_contents("info", uuid, path), params=[("depth", depth)])
        return self._connection.json(request, json_api.ContentsInfo).data

    def has(self, uuid: str, path: str) -> bool:
        """Check whether a bundle has something at ``path``."""
        try:
            self.info(uuid, path)
        except NotFound:
            return False
        return True

    def file(
        self,
        uuid: str,
        path: str = "",
        *,
        tail: int | None = None,
        span: tuple[int, int] | None = None,
        limit_bytes: int = FILE_BYTES,
    ) -> bytes:
        """Read a file inside a bundle, even while its run is running.

        Args:
            uuid: The bundle.
            path: The file in it; empty if the bundle is the file.
            tail: Number of lines to read from the end.
            span: Only the bytes from the first offset up to, but not including, the second.
            limit_bytes: A larger file is refused.
        """
        params: Params = [("tail", tail), ("max_line_length", _LINE_CHARACTERS)] if tail is not None else []
        headers = {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}
        request = Request(
            path=_contents("blob", uuid, path),
            params=params,
            headers=headers,
            limit_bytes=limit_bytes,
            is_large=True,
        )

        def content(answer: Response) -> bytes:
            if answer.headers.get("Target-Type") == "directory":
                raise CodaLabError("It is a folder, not a file.", action="Name a file in it.")
            return read_body(answer, limit_bytes)

        return self._connection.send(request, content)

    def download(
        self, uuid: str, path: str, target: Path, *, limit_bytes: int = unpacking.LIMIT_BYTES
    ) -> Path:
        """Save a file or folder of a bundle (all of it if ``path`` is empty) as ``target``, which must not exist."""
        request = Request(path=_contents("blob", uuid, path), limit_bytes=limit_bytes, is_large=True)
        return self._connection.send(
            request, lambda answer: download.save(answer, target, limit_bytes=limit_bytes)
        )

    # --- changes

    def create_worksheet(self, name: str, *, uuid: str | None = None) -> str:
        """Create a worksheet with the wanted uuid, if any, and return its uuid, which the server may choose nevertheless.

        Raises:
            AlreadyExists: Someone on this server has one of that name.
        """
        return self._create("worksheets", {"name": name}, uuid)

    def create_dataset(
        self, worksheet: str, name: str, *, description: str = "", uuid: str | None = None
    ) -> str:
        """Create a dataset bundle that waits for its contents, and return its uuid; see `create_worksheet`, `put_contents`."""
        metadata = {"name": name, "description": description, "tags": [], "license": "", "source_url": ""}
        params: Params = [("worksheet", check_uuid(worksheet)), ("wait_for_upload", 1)]
        return self._create("bundles", {"bundle_type": "dataset", "metadata": metadata}, uuid, params)

    def put_contents(self, bundle: str, file: IO[bytes], *, filename: str, unpack: bool) -> None:
        """Send the contents of a bundle that waits for them, from the file's beginning; it is ready afterwards, or failed.

        The ``filename`` tells the server the kind of archive, if it is to ``unpack`` it.
        """
        params: Params = [
            ("filename", filename),
            ("unpack", int(unpack)),
            ("state_on_success", "ready"),
            ("finalize_on_success", 1),
            ("finalize_on_failure", 1),
        ]
        request = Request(
            method="PUT",
            path=f"/bundles/{check_uuid(bundle)}/contents/blob/",
            params=params,
            file=file,
            headers={"Content-Type": "application/octet-stream"},
            is_large=True,
            is_repeatable=False,
            work_seconds=_UNPACK_SECONDS,
        )
        self._connection.send(request, lambda _: None)

    def publish(self, bundles: Iterable[str], worksheet: str) -> None:
        """Let everyone read the bundles and the worksheet with its new items; see `read_items_as_owner`."""
        self.share("worksheet", worksheet, public=True)
        for bundle in bundles:
            self.share("bundle", bundle, public=True)
        self.read_items_as_owner(worksheet)

    def share(self, kind: Literal["bundle", "worksheet"], uuid: str, *, public: bool) -> None:
        """Let everyone read a bundle or a worksheet, or only its owner; bundles added to a worksheet later inherit that."""
        permission = {
            "type": f"{kind}-permissions",
            "attributes": {"permission": json_api.READ if public else 0},
            "relationships": {
                "group": {"data": {"type": "groups", "id": self._public_group}},
                kind: {"data": {"type": f"{kind}s", "id": check_uuid(uuid)}},
            },
        }
        self._change("POST", f"/{kind}-permissions", permission, is_repeatable=True)

    @functools.cached_property
    def _public_group(self) -> str:
        return self._document("/groups/public").resource.id

    def clear_tags(self, bundle: str) -> None:
        """Remove every tag of a bundle."""
        change = {"type": "bundles", "id": check_uuid(bundle), "attributes": {"metadata": {"tags": []}}}
        self._change("PATCH", "/bundles", change, is_repeatable=True)

    def _create(self, kind: str, attributes: dict[str, Any], uuid: str | None, params: Params = ()) -> str:
        chosen = {} if uuid is None else {"uuid": check_uuid(uuid)}
        created = self._change("POST", f"/{kind}", {"type": kind, "attributes": attributes | chosen}, params)
        return check_uuid(json_api.convert(created, JsonApiDocument).resource.id)

    def _change(
        self,
        method: str,
        path: str,
        resource: Mapping[str, Any],
        params: Params = (),
        *,
        is_repeatable: bool = False,
    ) -> Any:
        """Make a change, and return the server's answer, of which only the id of something created matters."""
        body = {"data": [resource]}
        request = Request(method=method, path=path, params=params, body=body, is_repeatable=is_repeatable)
        return self._connection.json(request, Any)

    def _document(self, path: str, params: Params = ()) -> JsonApiDocument:
        return self._connection.json(Request(path=path, params=params), JsonApiDocument)


def _too_many(things: str) -> CodaLabError:
    return json_api.unusable(f"it lists more than {MOST_LISTED:,} {things}")


def _keywords(**criteria: str | None) -> list[str]:
    """Build the search keywords for the criteria that are given."""
    return [f"{key}={_literal(value)}" for key, value in criteria.items() if value is not None]


def _literal(value: str) -> str:
    """Quote ``value`` as a search term, which must not be a pattern: CodaLab interprets ``%``, ``.*`` and ``,``."""
    if not re.fullmatch(r"[A-Za-z0-9_.\-]+", value) or value in (".sort", ".sort-", ".sum"):
        raise UsageError(
            f"{value!r} can't be searched for.", action="Use letters, digits, dots, dashes and underscores."
        )
    return value


def _contents(what: str, uuid: str, path: str) -> str:
    return f"/bundles/{check_uuid(uuid)}/contents/{what}/{urllib.parse.quote(path.strip('/'))}"
