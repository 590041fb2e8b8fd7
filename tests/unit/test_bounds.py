"""No server keeps a command for ever or fills this machine's memory, whatever it sends and however slowly."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from cldc import __main__ as entry
from cldc.codalab import Limits, Rest, connection, fetch_text
from cldc.codalab.failures import TooLarge
from cldc.codalab.inside import session
from cldc.credentials import Credentials
from cldc.errors import CldcError, CodaLabError, Unreachable
from cldc.inside import bounded_http
from tests.support.faults import TOKEN, Answer, FaultServer, as_json, dribbled, endless, fault_server, text

UUID = "0x" + "ab" * 16
ALICE = Credentials("alice", "secret-canary", "test")
OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"
CHUNKED = JSON + b"Transfer-Encoding: chunked\r\n\r\n"
SECONDS = 0.15
MIB = 2**20


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


class Clock:
    """A clock that can be set ahead."""

    def __init__(self) -> None:
        self._now, self.ahead_seconds = time.monotonic, 0.0

    def __call__(self) -> float:
        return self._now() + self.ahead_seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def rest(
    server: FaultServer, credentials: Credentials | None = ALICE, *, total_seconds: float = SECONDS
) -> Rest:
    """A client that does not wait long."""
    return Rest(server.address, credentials, limits=short(total_seconds))


def short(total_seconds: float = SECONDS) -> Limits:
    """Short pauses, and little time."""
    return Limits(pauses_seconds=(0.01,) * 3, total_seconds=total_seconds)


@cache
def bomb(wbits: int) -> bytes:
    """100 MiB, packed into very little: as gzip (31) or by zlib (15)."""
    packer, packed = zlib.compressobj(9, wbits=wbits), b""
    for _ in range(100):
        packed += packer.compress(b" " * MIB)
    return packed + packer.flush()


def whole(content: bytes, encoding: bytes) -> bytes:
    """A whole answer."""
    length = b"Content-Length: %d\r\n\r\n" % len(content)
    return JSON + b"Content-Encoding: %s\r\n" % encoding + length + content


# A packed stream that never ends and has nothing in it.
EMPTY = b"\0\0\0\xff\xff" * 13107
# Each is served to whoever signs in, reads JSON, a file, a folder or the board, and to CodaLab's own client.
SLOW = {
    "body": dribbled(JSON + b"Content-Length: 100000\r\n\r\n", b" "),
    "chunks": dribbled(CHUNKED, b"1\r\n \r\n"),
    "chunk size": dribbled(CHUNKED, b"0"),
    "trailers": dribbled(CHUNKED + b"2\r\n{}\r\n0\r\n", b"x: y\r\n"),
    "status line": dribbled(b"HTTP/1.1 200 ", b"x"),
    "header": dribbled(OK, b"x"),
    "headers": dribbled(OK, b"X: y\r\n"),
    "interim answers": dribbled(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "gzip": dribbled(JSON + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b" " * 1000)[:10], b"\0"),
}
HUGE = {
    "body": endless(JSON + b"\r\n", b"[" * 65536),
    "chunks": endless(CHUNKED, b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "chunk size": endless(CHUNKED, b"0" * 65536),
    "announced": Answer(pieces=lambda: [JSON + b"Content-Length: 999999999999\r\n\r\n"]),
    "interim answers": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "headers": endless(OK, b"X: y\r\n" * 1000),
    "header": endless(OK + b"X: ", b"y" * 65536),
    "gzip": Answer(pieces=lambda: [whole(bomb(31), b"gzip")]),
    "gzip twice": Answer(pieces=lambda: [whole(gzip.compress(bomb(31)), b"gzip, gzip")]),
    "deflate": Answer(pieces=lambda: [whole(bomb(15), b"deflate")]),
    "gzip of nothing": endless(JSON + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"")[:10], EMPTY),
}


def sign_in(server: FaultServer, _: Path, seconds: float) -> object:
    with rest(server, total_seconds=seconds) as client:
        return client.user()


def read_json(server: FaultServer, _: Path, seconds: float) -> object:
    with rest(server, None, total_seconds=seconds) as client:
        return client.search(tag="x")


def read_file(server: FaultServer, _: Path, seconds: float) -> object:
    with rest(server, None, total_seconds=seconds) as client:
        return client.file(UUID, limit_bytes=4 * MIB)


def download(server: FaultServer, folder: Path, seconds: float) -> object:
    with rest(server, None, total_seconds=seconds) as client:
        return client.download(UUID, "", folder / "out", limit_bytes=4 * MIB)


def board(server: FaultServer, _: Path, seconds: float) -> object:
    return fetch_text(f"{server.address}/board", limits=short(seconds), limit_bytes=4 * MIB)


def as_cl(server: FaultServer, _: Path, seconds: float) -> object:
    """As CodaLab's own client asks, and the organiser's programs, which decode nothing."""
    inside = session.bounded_http  # type: ignore[attr-defined]
    with inside.within(inside.Budget(seconds, limit_bytes=4 * MIB)):
        try:
            with session.open_url(f"{server.address}/cl", timeout=60) as answer:
                content: bytes = answer.read()
        except (OSError, HTTPException) as error:
            assert session.describe(error)["network"]
            raise Unreachable(str(error), action="") from error
    return content


ASKS: dict[str, tuple[str, Callable[[FaultServer, Path, float], object]]] = {
    "sign-in": ("/rest/oauth2/token", sign_in),
    "json": ("/rest/bundles", read_json),
    "file": (f"/rest/bundles/{UUID}/contents/blob/", read_file),
    "download": (f"/rest/bundles/{UUID}/contents/blob/", download),
    "board": ("/board", board),
    "cl": ("/cl", as_cl),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize("fault", SLOW)
def test_a_server_that_sends_too_slowly_times_out(
    server: FaultServer, tmp_path: Path, fault: str, asked: str
) -> None:
    path, ask = ASKS[asked]
    server.script(path, SLOW[fault])
    with pytest.raises(Unreachable, match="took more than 0 s"):
        ask(server, tmp_path, SECONDS)
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(120)
@pytest.mark.parametrize("asked", ASKS)
@pytest.mark.parametrize("fault", HUGE)
def test_an_endless_answer_does_not_fill_the_memory(
    server: FaultServer, tmp_path: Path, fault: str, asked: str
) -> None:
    path, ask = ASKS[asked]
    server.script(path, HUGE[fault])
    decoded = fault in ("gzip", "gzip twice", "deflate")
    if decoded and asked == "cl":
        assert len(ask(server, tmp_path, 60.0)) < MIB  # type: ignore[arg-type]
        return
    tracemalloc.start()
    try:
        with pytest.raises((TooLarge, Unreachable)) as raised:
            ask(server, tmp_path, 60.0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * MIB
    assert not list(tmp_path.iterdir())
    if decoded or fault in ("body", "chunks", "announced"):
        assert "larger than" in str(raised.value)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (make(b"HTTP/1.1 %d No\r\n\r\n" % status, b"no " * 30), says)
        for make in (dribbled, endless)
        for status, says in ((401, "signed-in"), (403, "refused"), (500, "failed"))
    ],
)
def test_an_endless_refusal_is_still_a_refusal(
    server: FaultServer,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
    says: str,
) -> None:
    begin = bounded_http.BoundedResponse.begin

    def begin_slowly(response: bounded_http.BoundedResponse) -> None:
        begin(response)
        clock.ahead_seconds = 120

    monkeypatch.setattr(bounded_http.BoundedResponse, "begin", begin_slowly)
    server.script("/rest/bundles", answer)
    with rest(server, None, total_seconds=60) as client, pytest.raises(CldcError, match=says) as raised:
        client.search(tag="x")
    assert len(raised.value.message) < 600


@pytest.mark.timeout(120)
def test_redirects_and_attempts_share_one_time_limit(server: FaultServer) -> None:
    server.script("/round", Answer(302, b"", {"Location": "/round"}, delay_seconds=0.1))
    with pytest.raises(Unreachable, match="too slow"):
        fetch_text(f"{server.address}/round", limits=short())
    assert server.count("/round") < 10
    server.script("/rest/bundles", text(503, "down", Retry_After="3600"))
    with rest(server, None, total_seconds=60) as client, pytest.raises(Unreachable, match="down"):
        client.search(tag="x")
    assert server.count("/rest/bundles") == 1  # the next try would be too late


def test_a_transfer_at_a_bearable_rate_may_take_long(
    server: FaultServer, clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moved, rate = bounded_http.Budget.moved, 2 * bounded_http.LEAST_BYTES_PER_SECOND
    content = b"x" * 120 * rate

    def move_slowly(budget: bounded_http.Budget, count: int) -> None:
        moved(budget, count)
        clock.ahead_seconds += count / rate

    monkeypatch.setattr(bounded_http.Budget, "moved", move_slowly)
    server.script(f"/rest/bundles/{UUID}/contents/blob/", Answer(body=content))
    with rest(server, None, total_seconds=60) as client:
        assert client.download(UUID, "", tmp_path / "out").read_bytes() == content
        assert client.file(UUID) == content
    assert clock.ahead_seconds > 240


def test_endless_pages_are_an_error(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cldc.codalab.rest.MOST_LISTED", 3000)

    def worksheet(number: int) -> dict[str, Any]:
        uuid = f"0x{number:032x}"
        return {"id": uuid, "type": "worksheets", "attributes": {"name": "x"}, "relationships": {}}

    server.script("/rest/oauth2/token", as_json(TOKEN))
    server.script("/rest/worksheets", as_json({"data": [worksheet(number) for number in range(1000)]}))
    with (
        rest(server, total_seconds=60) as client,
        pytest.raises(CodaLabError, match="it lists more than 3,000"),
    ):
        client.own_worksheets()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("path", ["/rest/user", "/rest/oauth2/token"])
def test_a_command_that_times_out_says_what_to_do(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    monkeypatch.setattr(connection, "DEFAULT_LIMITS", short())
    monkeypatch.setenv("CODALAB_USERNAME", "alice")
    monkeypatch.setenv("CODALAB_PASSWORD", "secret-canary")
    server.script(path, SLOW["body"])
    assert entry.run(["whoami", "--server", server.address]) == 9
    output = capsys.readouterr().err
    assert "was too slow" in output
    assert len(output.splitlines()) == 2
