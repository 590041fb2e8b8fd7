"""A network that fails at chosen places: a proxy between ``cldc`` and a sandbox, and ``cldc`` with shorter patience.

``python -m tests.support.bad_network ARGUMENT...`` is ``cldc`` that waits fractions of a second where it would wait seconds.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import socket
import struct
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import IO

from cldc import __main__ as entry
from cldc.bundles import attempts
from cldc.codalab import Limits, cl_session, connection

STALL_SECONDS = 7.0
PATIENCE_SECONDS = 5  # enough for the sandbox on a busy machine
_HTML = b"<!DOCTYPE html><html><head><title>Please sign in to the Wi-Fi</title></head><body></body></html>"
# What can befall a request; "done" means that the server has carried it out and its client does not learn of it.
KINDS = (
    "refused",
    "reset",
    "reset done",
    "cut body",
    "cut answer",
    "truncated",
    "stalled",
    "stalled done",
    "slow",
    "html",
    "html done",
    "expired",
    *(f"{status}{done}" for status in (500, 502, 503, 504) for done in ("", " done")),
)


@dataclass(frozen=True)
class Fault:
    """``kind`` befalls the ``number``-th request, or the ``number``-th that changes something."""

    kind: str
    number: int
    changes: bool


def draw(seed: int, requests: int, changes: int) -> list[Fault]:
    """One to three faults, half of them on requests that change something."""
    dice = random.Random(seed)
    faults: list[Fault] = []
    for _ in range(dice.choice((1, 1, 2, 3))):
        on_change = dice.random() < 0.6
        number = dice.randrange(changes if on_change else requests) + 1
        # Each kind has its turn, however few cases there are.
        kind = KINDS[seed % len(KINDS)] if not faults else dice.choice(KINDS)
        faults.append(Fault(kind, number, on_change))
    return faults


class BadNetwork:
    """A proxy in front of ``target``; counts what comes by, and lets faults befall it."""

    def __init__(
        self,
        target: str,
        faults: list[Fault],
        *,
        at_changes: Container[int] = (),
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """``then`` is called, before it goes on, at these of the requests that change something, counted from 1."""
        self.target = target
        self._at_changes, self._then = at_changes, then
        self.faults = list(faults)
        self.happened: list[str] = []
        self.changed: list[str] = []
        self.tokens: set[str] = set()
        self.requests = 0
        self._lock = threading.Lock()
        self._open = True
        # Has the port also while nobody listens; else another process might be given it.
        self._reserved = _bound(0)
        self.port: int = self._reserved.getsockname()[1]
        self._door = threading.Lock()
        self._listener = self._listen()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def changes(self) -> int:
        """How many requests that change something came by."""
        return len(self.changed)

    def close(self) -> None:
        """Take no more connections."""
        with self._door:
            self._open = False
            self._shut()
        self._thread.join()
        self._reserved.close()

    def _listen(self) -> socket.socket:
        listener = _bound(self.port)
        listener.listen(50)
        return listener

    def _shut(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._listener.accept()
            except OSError:
                time.sleep(0.02)  # closed for good, or for a moment by `refused`
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as reader, contextlib.suppress(OSError, http.client.HTTPException):
            while request := _read(reader):
                if not self._answer(client, request):
                    return

    def _fault(self, request: Request) -> str:
        change = request.method != "GET" and "/oauth2/" not in request.path
        with self._lock:
            self.tokens |= {
                v.split()[-1]
                for name, v in request.headers
                if name.lower() == "authorization" and "Bearer" in v
            }
            self.requests += 1
            if change:
                self.changed.append(request.method)
                if self.changes in self._at_changes:
                    self._then()
            for fault in self.faults:
                at = self.changes if fault.changes else self.requests
                if fault.number == at and (change or not fault.changes):
                    self.faults.remove(fault)
                    self.happened.append(f"{fault.kind} at {request.method} {request.path.partition('?')[0]}")
                    return fault.kind
        return ""

    def _answer(self, client: socket.socket, request: Request) -> bool:
        """Answer a request, faithfully or not; whether the connection can go on."""
        kind, done, _ = self._fault(request).partition(" done")
        if kind == "refused":
            self._refuse()
        if kind in ("refused", "reset") and not done:
            return _reset(client)
        if kind == "cut body":
            self._forward(request, whole=False)
            return _reset(client)
        if kind == "expired":
            return _send(client, 401, "text/plain", b"User is not authenticated.")
        acts = bool(done) or kind in ("", "slow", "cut answer", "truncated", "reset")
        answer = self._forward(request) if acts else None
        return self._deform(client, kind, answer)

    def _deform(self, client: socket.socket, kind: str, answer: Answer | None) -> bool:
        if kind == "stalled":
            time.sleep(STALL_SECONDS)
        if kind == "html":
            return _send(client, 200, "text/html", _HTML)
        if kind.isdigit():
            return _send(client, int(kind), "text/plain", b"The server is having a bad day.")
        if answer is None or kind in ("reset", "stalled"):
            return _reset(client)
        if kind == "slow":
            time.sleep(0.7)
        half = answer.body[: len(answer.body) // 2]
        body = half if kind in ("truncated", "cut answer") else answer.body
        claimed = len(answer.body) if kind == "cut answer" else None
        _send(client, answer.status, answer.kind, body, answer.headers, claimed=claimed)
        return _reset(client) if kind == "cut answer" else True

    def _refuse(self) -> None:
        """Close the door for a second, so that connections are refused."""

        def reopen() -> None:
            time.sleep(1.0)
            with self._door:
                if self._open:
                    self._listener = self._listen()

        self._shut()
        threading.Thread(target=reopen, daemon=True).start()

    def _forward(self, request: Request, *, whole: bool = True) -> Answer:
        parts = urllib.parse.urlsplit(self.target)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
        with contextlib.closing(connection):
            path = request.path.removeprefix(self.address)
            connection.putrequest(request.method, path, skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in (
                    "transfer-encoding",
                    "content-length",
                    "connection",
                    "accept-encoding",
                ):
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders()
            connection.send(request.body if whole else request.body[: len(request.body) // 2])
            if not whole:
                return Answer(0, "", b"", ())
            answer = connection.getresponse()
            kept = tuple(
                (name, value)
                for name, value in answer.getheaders()
                if name.lower() not in ("transfer-encoding", "content-length", "connection", "content-type")
            )
            return Answer(answer.status, answer.getheader("Content-Type", ""), answer.read(), kept)


def _bound(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    found.bind(("127.0.0.1", port))
    return found


@dataclass(frozen=True)
class Request:
    """A request, its body without chunks."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """The server's answer."""

    status: int
    kind: str
    body: bytes
    headers: tuple[tuple[str, str], ...]


def _read(reader: IO[bytes]) -> Request | None:
    line = reader.readline().decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = []
    while (header := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers.append((name, value.strip()))
    given = {name.lower(): value for name, value in headers}
    if given.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join(_chunks(reader))
    else:
        body = reader.read(int(given.get("content-length") or 0))
    return Request(line[0], line[1], tuple(headers), body)


def _chunks(reader: IO[bytes]) -> Iterator[bytes]:
    while size := int(reader.readline().strip() or b"0", 16):
        yield reader.read(size)
        reader.readline()
    reader.readline()


def _reset(client: socket.socket) -> bool:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    return False


def _send(
    client: socket.socket,
    status: int,
    kind: str,
    body: bytes,
    headers: tuple[tuple[str, str], ...] = (),
    *,
    claimed: int | None = None,
) -> bool:
    lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    lines += [f"Content-Type: {kind}"] if kind else []
    if status != 204:
        lines.append(f"Content-Length: {len(body) if claimed is None else claimed}")
    client.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
    return True


def shorten_waits() -> None:
    """Shorten every wait of ``cldc``, and change nothing else."""
    connection.DEFAULT_LIMITS = Limits(pauses_seconds=(0.1, 0.3, 0.6, 1.2), silence_seconds=PATIENCE_SECONDS)
    cl_session.REQUEST_SECONDS = str(PATIENCE_SECONDS)
    attempts.PAUSES_SECONDS = (0.2, 0.5)


if __name__ == "__main__":
    shorten_waits()
    sys.exit(entry.run(sys.argv[1:]))
