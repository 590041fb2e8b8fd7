"""What the warm client's process does about networks, tested here in our own Python without CodaLab."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from cldc.codalab.inside import session
from tests.faults import Answer, FaultServer, fault_server, text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setattr(session, "CONNECT_PAUSES_SECONDS", (0.01, 0.01))
    with fault_server() as running:
        yield running


def request(server: FaultServer, method: str) -> urllib.request.Request:
    return urllib.request.Request(f"{server.address}/x", method=method)  # noqa: S310 - loopback


@pytest.mark.parametrize("fault", [text(503, "down"), Answer(reset=True)], ids=["503", "reset"])
def test_reading_is_repeated_and_writing_never(server: FaultServer, fault: Answer) -> None:
    server.script("/x", fault, fault, Answer(body=b"here"))
    assert session.open_url(request(server, "GET")).read() == b"here"
    assert server.count("/x") == 3
    server.script("/x", fault)
    with pytest.raises((urllib.error.URLError, ConnectionError)) as raised:
        session.open_url(request(server, "POST"))
    assert server.count("/x") == 4
    told = session.describe(raised.value)
    assert (told["network"] or told["status"] == 503, told["untouched"]) == (True, False)
    if isinstance(raised.value, urllib.error.HTTPError):
        raised.value.close()


def test_what_never_arrived_is_repeated_and_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[float] = []
    monkeypatch.setattr(time, "sleep", tries.append)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(urllib.error.URLError) as raised:
        session.open_url(urllib.request.Request(address, method="POST"))
    assert tries == list(session.CONNECT_PAUSES_SECONDS)
    told = session.describe(raised.value)
    assert (told["network"], told["untouched"], told["status"]) == (True, True, None)


def test_a_missing_file_is_not_the_networks_fault() -> None:
    assert not session.describe(FileNotFoundError(2, "gone", "x.zip"))["network"]


def test_uploads_go_through_the_proxy_that_the_environment_names(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = server.address.removeprefix("http://")
    monkeypatch.setenv("http_proxy", f"http://me:pass@{host}")
    monkeypatch.setenv("https_proxy", host)
    monkeypatch.setenv("no_proxy", "inside.example")
    client = session.proxied_http().client
    connection = client.HTTPConnection("codalab.example", timeout=5)
    connection.putrequest("PUT", "http://codalab.example/rest/blob")
    connection.putheader("Content-Length", "0")
    connection.endheaders()
    assert connection.getresponse().status == 404
    connection.close()
    (asked,) = server.asked
    assert asked.path == "http://codalab.example/rest/blob"
    assert asked.headers["Proxy-Authorization"] == "Basic bWU6cGFzcw=="

    tunnel = client.HTTPSConnection("codalab.example", timeout=5)
    assert (tunnel.host, tunnel._tunnel_host) == (host.partition(":")[0], "codalab.example")
    direct = client.HTTPSConnection("inside.example", timeout=5)
    assert (direct.host, direct._tunnel_host) == ("inside.example", None)


def test_progress_is_told_no_oftener_than_a_screen_needs() -> None:
    told: list[int] = []
    reporter = session.Reporter(lambda event: told.append(event["done"]), 100)
    with reporter:
        assert all(reporter.update(done) for done in range(101))
    assert told[0] == 0
    assert told[-1] == 100
    assert len(told) < 20
