"""What the session's process does about networks, tested here in our own Python without CodaLab."""

from __future__ import annotations

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from cldc.codalab.inside import session
from cldc.inside import bounded_http
from tests.support.faults import Answer, FaultServer, fault_server, text


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultServer]:
    monkeypatch.setattr(session, "CONNECT_PAUSES_SECONDS", (0.01, 0.01))
    with fault_server() as running:
        yield running


def request(server: FaultServer, method: str) -> urllib.request.Request:
    return urllib.request.Request(f"{server.address}/x", method=method)  # noqa: S310 - loopback


@pytest.mark.parametrize(
    ("fault", "network", "status"),
    [(text(503, "down"), False, 503), (Answer(reset=True), True, None)],
    ids=["503", "reset"],
)
def test_reads_are_retried_and_writes_never(
    server: FaultServer, fault: Answer, network: bool, status: int | None
) -> None:
    server.script("/x", fault, fault, Answer(body=b"here"))
    assert session.open_url(request(server, "GET")).read() == b"here"
    assert server.count("/x") == 3
    server.script("/x", fault)
    with pytest.raises((urllib.error.URLError, ConnectionError)) as raised:
        session.open_url(request(server, "POST"))
    assert server.count("/x") == 4
    described = session.describe(raised.value)
    assert (described["network"], described["status"], described["untouched"]) == (network, status, False)
    if isinstance(raised.value, urllib.error.HTTPError):
        raised.value.close()


def test_a_request_that_never_arrived_is_retried_and_reported_as_such(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tries: list[float] = []
    monkeypatch.setattr(time, "sleep", tries.append)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(urllib.error.URLError) as raised:
        session.open_url(urllib.request.Request(address, method="POST"))
    assert tries == list(session.CONNECT_PAUSES_SECONDS)
    described = session.describe(raised.value)
    assert (described["network"], described["untouched"], described["status"]) == (True, True, None)


def test_a_missing_file_is_not_the_networks_fault() -> None:
    assert not session.describe(FileNotFoundError(2, "gone", "x.zip"))["network"]


def test_requests_go_through_the_proxy_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:p%40ss@proxy.example:3128")
    monkeypatch.setenv("no_proxy", "inside.example")
    tunnel = bounded_http.secured("codalab.example", timeout=5)
    assert (tunnel.host, tunnel.port) == ("proxy.example", 3128)
    assert tunnel._tunnel_host == "codalab.example"  # type: ignore[attr-defined]
    assert tunnel._tunnel_headers["Proxy-Authorization"] == "Basic bWU6cEBzcw=="  # type: ignore[attr-defined]
    assert bounded_http.secured("inside.example", timeout=5).host == "inside.example"
    assert bounded_http.Plain("127.0.0.1:80", timeout=5).host == "127.0.0.1"


def test_progress_is_reported_no_more_often_than_a_screen_needs() -> None:
    reported: list[int] = []
    reporter = session.Reporter(lambda event: reported.append(event["done"]), 100)
    with reporter:
        assert all(reporter.update(done) for done in range(101))
    assert reported[0] == 0
    assert reported[-1] == 100
    assert len(reported) < 20


def test_an_upload_that_hardly_moves_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    reporter = session.Reporter(lambda event: None, 10**6)
    for second in range(300):  # slow, but it comes through
        now[0] = float(second)
        assert reporter.update(second * bounded_http.LEAST_BYTES_PER_SECOND)
    now[0] += bounded_http.TOTAL_SECONDS - 2
    assert reporter.update(300 * bounded_http.LEAST_BYTES_PER_SECOND)
    now[0] += 5
    with pytest.raises(socket.timeout, match="more than 240 s") as raised:
        reporter.update(300 * bounded_http.LEAST_BYTES_PER_SECOND + 1)
    assert session.describe(raised.value)["network"]
