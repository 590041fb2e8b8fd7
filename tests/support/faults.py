"""A server on loopback that gives scripted answers, wrong ones included."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import ssl
import struct
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = {"access_token": "t0", "refresh_token": "r0", "token_type": "Bearer", "expires_in": 3600}


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: ``cut`` sends only so many bytes of the body, ``reset`` none and breaks the connection.

    ``pieces`` stands for all of it, from the status line on, each sent as soon as it is there, as long as someone listens.
    """

    status: int = 200
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    reset: bool = False
    delay_seconds: float = 0.0
    pieces: Callable[[], Iterable[bytes]] | None = None


def dribbled(start: bytes, piece: bytes, *, every_seconds: float = 0.02) -> Answer:
    """An answer that begins well and then comes piece by piece, without an end."""

    def pieces() -> Iterator[bytes]:
        yield start
        while True:
            time.sleep(every_seconds)
            yield piece

    return Answer(pieces=pieces)


def endless(start: bytes, piece: bytes) -> Answer:
    """An answer without an end, as fast as it goes."""
    return Answer(pieces=lambda: itertools.chain((start,), itertools.repeat(piece)))


def as_json(value: Any, status: int = 200, **headers: str) -> Answer:
    """An answer as CodaLab gives it."""
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def text(status: int, body: str, **headers: str) -> Answer:
    """A refusal as CodaLab gives it; ``Retry_After`` stands for ``Retry-After``."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, body.encode(), {"Content-Type": "text/plain", **named})


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class FaultServer:
    """Answers each path (without its query) with what was scripted for it, the last answer again and again."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        """Start answering, with TLS where a context is given."""
        # What its address begins with, true or not.
        self.scheme = "http" if context is None else "https"
        self.asked: list[Asked] = []
        self._closed = False
        self._answers: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self.reset()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                outer._serve(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server's names

            def log_message(self, *_: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                return  # a client that hangs up is part of the game

        self._server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Its address."""
        host = "127.0.0.1" if self.scheme == "http" else "localhost"
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_port

    def reset(self) -> None:
        """As new: nothing was asked, and only signing in is answered."""
        self.asked.clear()
        self._answers.clear()
        self.script("/rest/oauth2/token", as_json(TOKEN))

    def script(self, path: str, *answers: Answer) -> None:
        """What to answer for ``path`` from now on."""
        self._answers[path] = deque(answers)

    def count(self, path: str) -> int:
        """How often ``path`` was asked for."""
        return sum(asked.path.partition("?")[0] == path for asked in self.asked)

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        if handler.headers.get("Transfer-Encoding") == "chunked":
            body = _chunks(handler)
        path = handler.path.removeprefix(self.address)
        self.asked.append(Asked(handler.command, path, dict(handler.headers), body))
        answers = self._answers[path.partition("?")[0]]
        answer = (
            (answers.popleft() if len(answers) > 1 else answers[0]) if answers else text(404, "not scripted")
        )
        time.sleep(answer.delay_seconds)
        if answer.reset:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
            return
        if answer.pieces is not None:
            handler.close_connection = True
            with contextlib.suppress(OSError):
                for piece in answer.pieces():
                    if self._closed:
                        return
                    handler.wfile.write(piece)
            return
        handler.send_response(answer.status)
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.body)))
        handler.end_headers()
        handler.wfile.write(answer.body[: answer.cut])
        if answer.cut is not None:
            handler.close_connection = True

    def close(self) -> None:
        """Stop answering."""
        self._closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _chunks(handler: BaseHTTPRequestHandler) -> bytes:
    content = b""
    while size := int(handler.rfile.readline().strip() or b"0", 16):
        content += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return content


@contextlib.contextmanager
def fault_server(context: ssl.SSLContext | None = None) -> Iterator[FaultServer]:
    """A server for one test."""
    server = FaultServer(context)
    try:
        yield server
    finally:
        server.close()
