"""A small client of CodaLab's REST for the organiser's programs. Standard library only, any server."""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import base64
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import IO, Any, Dict, Sequence, Tuple, Union

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "inside"))
import bounded_http

_TIMEOUT_SECONDS = 120.0
_TOKEN_SLACK_SECONDS = 300.0
_LIMIT_BYTES = 256 * 2**20  # a daemon asks for all that is tagged at once
Query = Union[Dict[str, Any], Sequence[Tuple[str, Any]]]


def prepare() -> None:
    """Hold every request of this program, CodaLab's own included, to limits; to be called first."""
    bounded_http.BoundedResponse.limit_bytes = _LIMIT_BYTES
    bounded_http.trust_certificates()
    urllib.request.install_opener(bounded_http.opener())


class RestError(Exception):
    """The server refused: ``status`` is the HTTP status, the text is the server's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text.strip()[:500]}")
        self.status = status


class Rest:
    """CodaLab as one account sees it."""

    def __init__(self, address: str, username: str, password: str) -> None:
        if not address.startswith(("http://", "https://")):
            raise ValueError("no address of a CodaLab: " + address)
        self.address, self.username = address.rstrip("/"), username
        self._password = password
        self._token, self._token_ends = "", 0.0

    def get(self, path: str, query: Query = ()) -> Any:
        return self._call("GET", path, query)

    def post(
        self,
        path: str,
        kind: str,
        attributes: dict[str, Any],
        query: Query = (),
        *,
        links: dict[str, tuple[str, str]] | None = None,
    ) -> dict[str, Any]:
        """Create one resource; ``links`` are its relationships as (kind, id). Returns the resource."""
        resource: dict[str, Any] = {"type": kind, "attributes": attributes}
        if links:
            resource["relationships"] = {
                name: {"data": {"type": target, "id": uuid}} for name, (target, uuid) in links.items()
            }
        answer = self._call("POST", path, query, json.dumps({"data": [resource]}).encode())
        created: dict[str, Any] = answer["data"][0]
        return created

    def delete(self, kind: str, uuids: list[str], query: Query = ()) -> None:
        """Remove resources for good."""
        body = {"data": [{"type": kind, "id": uuid} for uuid in uuids]}
        self._call("DELETE", "/" + kind, query, json.dumps(body).encode())

    def put_file(self, path: str, query: Query, file: IO[bytes], size: int) -> None:
        """Send ``size`` bytes of ``file``."""
        self._call(
            "PUT",
            path,
            query,
            file,
            {"Content-Type": "application/octet-stream", "Content-Length": str(size)},
        )

    def text(self, path: str, query: Query = ()) -> str:
        """What a bundle's file says."""
        return self._raw("GET", path, query).decode("utf-8", errors="replace")

    def _call(self, *arguments: Any) -> Any:
        answer = self._raw(*arguments)
        return json.loads(answer) if answer.strip()[:1] in (b"{", b"[") else None

    def _raw(
        self,
        method: str,
        path: str,
        query: Query = (),
        data: Any = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        url = (
            self.address + "/rest" + path + ("?" + urllib.parse.urlencode(query, doseq=True) if query else "")
        )
        request = urllib.request.Request(url, data=data, method=method)  # noqa: S310 - checked above
        for name, value in {
            "Authorization": "Bearer " + self._current_token(),
            "X-Requested-With": "XMLHttpRequest",  # else a 303 to a page instead of a 401
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            **(headers or {}),
        }.items():
            request.add_unredirected_header(name, value)
        return self._send(request)

    def _current_token(self) -> str:
        if time.time() > self._token_ends - _TOKEN_SLACK_SECONDS:
            form = {"grant_type": "password", "username": self.username, "password": self._password}
            request = urllib.request.Request(  # noqa: S310 - as above
                self.address + "/rest/oauth2/token",
                data=urllib.parse.urlencode(form).encode(),
                headers={
                    "Authorization": "Basic " + base64.b64encode(b"codalab_cli_client:").decode(),
                    "X-Requested-With": "XMLHttpRequest",
                },
            )
            answer = json.loads(self._send(request))
            self._token, self._token_ends = answer["access_token"], time.time() + float(answer["expires_in"])
        return self._token

    def _send(self, request: urllib.request.Request) -> bytes:
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                raise RestError(error.code, error.read().decode("utf-8", errors="replace")) from None
        except http.client.HTTPException as error:
            raise RestError(0, str(error)) from error
