"""The web server of the review page, on loopback; it answers anyone who knows the page's address."""

from __future__ import annotations

import contextlib
import hmac
import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cheroot.wsgi import Server
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from cldc.errors import CldcError, StorageError
from cldc.files import storage_error
from cldc.review.pictures import NoPictureError, Pictures, Size
from cldc.review.session import ReviewSession

_logger = logging.getLogger("cldc.review")
_LOOPBACK = "127.0.0.1"
# A person may reach it through a tunnel from another port, but never by another name: that would be a foreign page
# whose name resolves to this address (DNS rebinding).
_NAMES = frozenset({_LOOPBACK, "localhost", "[::1]"})
_THREADS = 8
_MOST_BODY_BYTES = 4_000_000
_PAGE = Path(__file__).with_name("page")
_FILES = {
    "review.css": "text/css",
    "review.js": "text/javascript",
    "grid.js": "text/javascript",
    "dataset.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_YEAR = 365 * 24 * 3600
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Server(Server):
    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log an error of cheroot."""
        _logger.log(level, msg, exc_info=traceback)


class ReviewServer:
    """Serves a session's page, only to requests that carry its token."""

    def __init__(self, session: ReviewSession, *, port: int = 0) -> None:
        """Listen on loopback; ``port`` 0 takes any free port.

        Raises:
            StorageError: The port can't be used.
        """
        self._session = session
        self._token, self._cookie = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self._tickets: set[str] = set()
        self._pictures = Pictures(session)
        self._routes = Map(
            [
                Rule("/", endpoint=self._index, methods=["GET"]),
                Rule("/<name>", endpoint=self._file, methods=["GET"]),
                Rule(f"/picture/<any({','.join(Size)}):size>/<key>", endpoint=self._picture, methods=["GET"]),
                Rule("/state", endpoint=self._state, methods=["GET"]),
                Rule("/decide", endpoint=self._decide, methods=["POST"]),
                Rule("/undo", endpoint=self._undo, methods=["POST"]),
            ]
        )
        self._server = _Server((_LOOPBACK, port), self._answer, numthreads=_THREADS, timeout=30)
        try:
            self._server.prepare()
        except OSError as error:
            raise StorageError(
                f"Port {port} of this machine can't be used: {error}.",
                action="Name another with --port, or none.",
            ) from error
        self._cookie_name = f"cldc-review-{self.port}"

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._server.bind_addr[1])

    @property
    def address(self) -> str:
        """The page's address for people; it works until the server ends."""
        return f"http://{_LOOPBACK}:{self.port}/?token={self._token}"

    def ticket(self) -> str:
        """Create a single-use address of the page, as other accounts of this machine can see a browser's command line."""
        ticket = secrets.token_urlsafe(24)
        self._tickets.add(ticket)
        return f"http://{_LOOPBACK}:{self.port}/?token={ticket}"

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Answer requests, in other threads, until the block ends."""
        thread = threading.Thread(target=self._server.serve, name="review", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.stop()
            thread.join(timeout=5)

    # Authentication -----------------------------------------------------------------------------------------

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = _MOST_BODY_BYTES
        try:
            response = self._dispatch(request)
        except HTTPException as error:
            response = _json({"error": error.description}, status=error.code or 500)
        except CldcError as error:
            response = _json({"error": error.message, "action": error.action}, status=409)
        except OSError as error:
            wrong = storage_error(error)
            response = _json({"error": wrong.message, "action": wrong.action}, status=409)
        response.headers.extend(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response(environ, start_response)

    def _dispatch(self, request: Request) -> Response:
        host = request.headers.get("Host", "")
        if host.rpartition(":")[0] not in _NAMES and host not in _NAMES:
            raise Forbidden("This server answers only as 127.0.0.1 or localhost.")
        if request.headers.get("Sec-Fetch-Site", "none") == "cross-site" and request.path != "/":
            raise Forbidden("This request comes from another site.")
        endpoint, arguments = self._routes.bind_to_environ(request.environ).match()
        if request.method == "POST":
            if request.headers.get("Origin") != f"http://{host}":
                raise Forbidden("This request comes from another site.")
            if request.mimetype != "application/json":
                raise BadRequest("The body must be JSON.")
        if endpoint != self._index and not self._knows(
            request.cookies.get(self._cookie_name, ""), self._cookie
        ):
            raise Forbidden("This page belongs to a review that has ended. Start `cldc review` again.")
        response: Response = endpoint(request, **arguments)
        return response

    @staticmethod
    def _knows(given: str, wanted: str) -> bool:
        return hmac.compare_digest(given.encode(), wanted.encode())

    # Answers ---------------------------------------------------------------------------------------------

    def _index(self, request: Request) -> Response:
        """Serve the page; it removes the token from its address, so that no browser history keeps it."""
        token = request.args.get("token", "")
        known = self._knows(request.cookies.get(self._cookie_name, ""), self._cookie)
        if not known and not self._knows(token, self._token):
            if token not in self._tickets:
                raise Forbidden("Open the address that `cldc review` printed.")
            self._tickets.remove(token)
        response = Response((_PAGE / "index.html").read_bytes(), content_type="text/html; charset=utf-8")
        response.set_cookie(self._cookie_name, self._cookie, httponly=True, samesite="Strict")
        return response

    def _file(self, request: Request, name: str) -> Response:
        if name not in _FILES:
            raise NotFound("There is no such page.")
        return Response((_PAGE / name).read_bytes(), content_type=f"{_FILES[name]}; charset=utf-8")

    def _picture(self, request: Request, size: str, key: str) -> Response:
        try:
            content = self._pictures.get(key, Size(size))
        except NoPictureError as error:
            raise NotFound(str(error)) from error
        response = Response(content, content_type="image/png")
        # Another file, or a changed one, has another address.
        response.headers["Cache-Control"] = f"private, max-age={_YEAR}, immutable"
        return response

    def _state(self, request: Request) -> Response:
        have = {
            name: number for name in request.args if (number := request.args.get(name, type=int)) is not None
        }
        return _json(self._session.state(have))

    def _decide(self, request: Request) -> Response:
        match request.get_json():
            case {"action": str(action), "keys": list(keys), "value": str(value), "reason": str(reason)}:
                if not all(isinstance(key, str) for key in keys):
                    raise BadRequest("Each key must be a string.")
                return _json(self._session.decide(action, keys, value=value, reason=reason))
            case _:
                raise BadRequest("The body must have an action, keys, a value and a reason.")

    def _undo(self, request: Request) -> Response:
        match request.get_json():
            case {"number": int(number)}:
                self._session.undo(number)
                return _json({})
            case _:
                raise BadRequest("The body must have a number.")


def _json(data: Mapping[str, Any], *, status: int = 200) -> Response:
    return Response(json.dumps(data, separators=(",", ":")), status=status, content_type="application/json")
