"""Changes over REST, for what `cl` can't do: choose a uuid, send contents from memory, take all tags off.

What is not safe to repeat gets a single attempt. After a failure, check on the server whether it was done before trying again.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import IO, Any, Literal

from cldc.codalab import jsonapi
from cldc.codalab.connection import Connection, Params, Request
from cldc.codalab.jsonapi import Document
from cldc.codalab.records import READ, check_uuid

# The server unpacks what was sent before it answers.
UNPACK_SECONDS = 600.0


class Changes:
    """Changes one server as the account of a connection; raises what `Rest` raises."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create_worksheet(self, name: str, *, uuid: str | None = None) -> str:
        """Create a worksheet and return its uuid, which may differ from the wanted one.

        Raises:
            AlreadyExists: Someone on this server has one of that name.
        """
        return self._create("worksheets", {"name": name}, uuid)

    def create_dataset(
        self, worksheet: str, name: str, *, description: str = "", uuid: str | None = None
    ) -> str:
        """Create a dataset bundle that waits for its contents, and return its uuid; see `put_contents`."""
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
            work_seconds=UNPACK_SECONDS,
        )
        self._connection.send(request, lambda _: None)

    def share(self, kind: Literal["bundle", "worksheet"], uuid: str, *, public: bool) -> None:
        """Let everyone read a bundle or a worksheet, or only its owner; bundles added to a worksheet later inherit that."""
        resource = {
            "type": f"{kind}-permissions",
            "attributes": {"permission": READ if public else 0},
            "relationships": {
                "group": {"data": {"type": "groups", "id": self._public_group}},
                kind: {"data": {"type": f"{kind}s", "id": check_uuid(uuid)}},
            },
        }
        # Setting the same permission twice has the effect of setting it once.
        self._connection.json(Request(method="POST", path=f"/{kind}-permissions", body={"data": [resource]}))

    def remove_bundle(self, bundle: str) -> None:
        """Remove a bundle for good, even if others depend on it."""
        body = {"data": [{"type": "bundles", "id": check_uuid(bundle)}]}
        self._connection.json(
            Request(method="DELETE", path="/bundles", params=[("force", 1)], body=body, is_repeatable=False)
        )

    def clear_tags(self, bundle: str) -> None:
        """Take every tag off a bundle."""
        change = {"type": "bundles", "id": check_uuid(bundle), "attributes": {"metadata": {"tags": []}}}
        self._connection.json(Request(method="PATCH", path="/bundles", body={"data": [change]}))

    @functools.cached_property
    def _public_group(self) -> str:
        answer = self._connection.json(Request(path="/groups/public"))
        return jsonapi.convert(answer, Document).resource.id

    def _create(self, kind: str, attributes: Mapping[str, Any], uuid: str | None, params: Params = ()) -> str:
        chosen = {} if uuid is None else {"uuid": check_uuid(uuid)}
        body = {"data": [{"type": kind, "attributes": {**attributes, **chosen}}]}
        answer = self._connection.json(
            Request(method="POST", path=f"/{kind}", params=params, body=body, is_repeatable=False)
        )
        return check_uuid(jsonapi.convert(answer, Document).resource.id)
