"""A threaded WSGI server on loopback that understands what `cl` sends: chunked bodies and absolute-URI request lines."""

from __future__ import annotations

import io
import logging
import socket
import socketserver
import time
from typing import Any, Callable
from urllib.parse import urlsplit
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

logger = logging.getLogger("cldc.sandbox.web")
_DRAIN_SECONDS = 5.0


class Chunked(io.RawIOBase):
    """The body of a request with ``Transfer-Encoding: chunked``, decoded while it is read."""

    def __init__(self, source: Any) -> None:
        self._source, self._left, self._ended = source, 0, False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left == 0 and not self._ended:
            self._next_chunk()
        if self._ended:
            return 0
        data = self._source.read(min(len(buffer), self._left))
        if not data:
            raise OSError("the client closed the connection inside a chunk")
        buffer[: len(data)] = data
        self._left -= len(data)
        if self._left == 0:
            self._source.readline()
        return len(data)

    def _next_chunk(self) -> None:
        line = self._source.readline(1024)
        try:
            self._left = int(line.split(b";")[0], 16)
        except ValueError:
            raise OSError("the client sent no chunk where one belongs") from None
        if self._left == 0:
            self._ended = True
            while self._source.readline(65536) not in (b"\r\n", b"\n", b""):
                continue


class Counted(io.RawIOBase):
    """The body of a request with ``Content-Length``, which ends where it says."""

    def __init__(self, source: Any, length: int) -> None:
        self._source, self._left = source, length

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(min(len(buffer), self._left))
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)


class Handler(WSGIRequestHandler):
    """One request a connection (HTTP/1.0 answers), as CodaLab's client expects of a simple server."""

    def handle(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or len(self.raw_requestline) > 65536 or not self.parse_request():
            return
        body = self._body()
        output: Any = self.wfile
        handler = ServerHandler(body, output, self.get_stderr(), self.get_environ(), multithread=True)
        handler.request_handler = self  # type: ignore[attr-defined]
        handler.run(self.server.get_app())  # type: ignore[attr-defined]
        self._drain(body)

    def _body(self) -> Any:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return io.BufferedReader(Chunked(self.rfile), 65536)
        return io.BufferedReader(Counted(self.rfile, int(self.headers.get("Content-Length") or 0)), 65536)

    def _drain(self, body: Any) -> None:
        """Read what the application left unread: closing over it would reset the answer on its way."""
        end = time.monotonic() + _DRAIN_SECONDS
        try:
            self.wfile.flush()
            self.connection.settimeout(1.0)
            while time.monotonic() < end and body.read(65536):
                continue
        except (OSError, ValueError):
            return

    def parse_request(self) -> bool:
        if not super().parse_request():
            return False
        if not self.path.startswith("/"):
            target = urlsplit(self.path)
            self.path = (target.path or "/") + ("?" + target.query if target.query else "")
        return True

    def get_environ(self) -> Any:
        environ = super().get_environ()
        environ["wsgi.input_terminated"] = True
        # Bottle decodes chunks by itself where it sees this header, and they are decoded already.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        return environ

    def address_string(self) -> str:
        return str(self.client_address[0])  # never a name-server look-up

    def log_message(self, format: str, *args: Any) -> None:
        logger.info(format, *args)


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """Threads that die with the process, and a backlog for a class of contestants."""

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def server_bind(self) -> None:
        # Not HTTPServer's: it looks the host's name up.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.info("connection of %s broke", client_address, exc_info=True)


def serve(
    address: str, port: int, app: Callable[..., Any], on_change: Callable[[], None] | None = None
) -> Server:
    """A server for ``app``, bound but not yet answering; ``on_change`` is called after each request that is no GET."""

    def watched(environ: Any, start_response: Any) -> Any:
        try:
            return app(environ, start_response)
        finally:
            if on_change is not None and environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                on_change()

    server = Server((address, port), Handler)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server.set_app(watched)
    return server
