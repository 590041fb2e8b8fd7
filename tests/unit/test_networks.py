"""Certificates, failing servers and proxies: each failure is reported for what it is, and whose fault it is."""

from __future__ import annotations

import re
import socket
import threading
import urllib.error
from contextlib import closing
from pathlib import Path

import pytest

from cldc import __main__ as entry
from cldc import competition
from cldc.codalab import Limits, Rest, connection
from cldc.codalab.failures import Untrusted
from cldc.codalab.inside import session
from cldc.codalab.proxies import certificate, proxy_for_children
from cldc.credentials import Credentials
from cldc.errors import ConfigurationError, Unreachable
from cldc.resources import template
from tests.support.bad_certificates import (
    FAULTS,
)
from tests.support.certificates import Authority
from tests.support.commands import Cldc
from tests.support.faults import Answer, as_json, fault_server, text
from tests.support.socks import socks_proxy

pytestmark = pytest.mark.usefixtures("no_proxies")

ALICE = Credentials("alice", "secret-canary", "test")
CANARY = "canary-5e5a"
NO_BUNDLES = as_json({"data": [], "meta": {"version": "1.7.5"}})


@pytest.mark.parametrize("fault", FAULTS)
def test_each_problem_of_a_certificate_has_its_own_message(
    authority: Authority, fault: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, says, advises = FAULTS[fault]
    monkeypatch.setenv("CODALAB_USERNAME", "alice")
    monkeypatch.setenv("CODALAB_PASSWORD", CANARY)
    with make(authority) as server:
        assert entry.run(["whoami", "--server", server.address]) == 9
        output = capsys.readouterr().err
        assert says in output
        assert advises in output
        assert len(output.splitlines()) == 2  # no second try, nothing else said
        with pytest.raises(Untrusted, match=says):
            certificate(server.address)
        assert not server.asked


@pytest.mark.parametrize("fault", FAULTS)
def test_codalabs_client_reports_the_problem_of_a_certificate(authority: Authority, fault: str) -> None:
    codes = {"expired": {10}, "not yet": {9}, "another host": {62}, "unknown issuer": {18, 19, 20, 21}}
    with FAULTS[fault][0](authority) as server, pytest.raises(urllib.error.URLError) as raised:
        session.open_url(f"{server.address}/x", timeout=5)
    described = session.describe(raised.value)
    assert described["network"]
    assert described["untouched"] == (fault in codes)
    assert described["verify_code"] in codes.get(fault, {None})


def test_an_interrupted_handshake_is_retried() -> None:
    tries = []
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def hang_up() -> None:
            while True:
                try:
                    line, _ = listening.accept()
                except OSError:
                    return
                tries.append(line.recv(10))
                line.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        address = f"https://localhost:{listening.getsockname()[1]}"
        with (
            Rest(address, limits=Limits(pauses_seconds=(0.01, 0.01))) as client,
            pytest.raises(Unreachable) as raised,
        ):
            client.health()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert not isinstance(raised.value, Untrusted)
    assert len(tries) == 3


def test_a_missing_certificate_file_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(
        ConfigurationError, match=r"REQUESTS_CA_BUNDLE names .*gone\.pem, which does not exist"
    ):
        Rest("https://codalab.example")
    with fault_server() as server, Rest(server.address) as client:
        server.script("/rest/worksheets", NO_BUNDLES)
        assert client.health().version == "1.7.5"  # the sandbox needs none


SIGN_IN, ACCOUNT = "/rest/oauth2/token", "/rest/user"


def whoami_fails(bare_cldc: Cldc, status: int, path: str, profile: Path | None = None) -> str:
    """Run `cldc whoami` against a server that answers ``path`` with this status; a ``profile`` gets its address."""
    with fault_server() as server:
        server.script(path, text(status, "<html><title>Internal Server Error</title>", Retry_After="0"))
        options: tuple[str | Path, ...] = ("--server", server.address)
        if profile is not None:
            lines = profile.read_text(encoding="utf-8")
            profile.write_text(f'server = "{server.address}"\n{lines}', encoding="utf-8")
            options += ("--competition", profile)
        return bare_cldc(
            "whoami", *options, code=9 if status == 503 else 10,
            CODALAB_USERNAME="alice", CODALAB_PASSWORD=CANARY,
        ).err  # fmt: skip


@pytest.mark.parametrize(
    ("status", "path", "repeats"), [(500, SIGN_IN, 0), (500, ACCOUNT, 0), (503, SIGN_IN, 1)]
)
def test_a_failing_server_is_no_fault_of_the_user(
    bare_cldc: Cldc, status: int, path: str, repeats: int
) -> None:
    output = whoami_fails(bare_cldc, status, path)
    assert "fault is not yours" in output
    assert f"status {status}" in output
    assert ("the sign-in" in output) == (path == SIGN_IN)
    assert CANARY not in output
    # However often it is tried; what failed in the server is not tried again.
    assert output.count("Trying again.") == repeats


def test_what_a_profile_knows_of_a_failing_server_is_shown(bare_cldc: Cldc, tmp_path: Path) -> None:
    lines = template("competitions", "demo.toml").read_text(encoding="utf-8").splitlines()
    profile = tmp_path / "other.toml"
    known = 'server_status = "It is down, as known on 2026-11-26."'
    profile.write_text("\n".join([known, *(line for line in lines if not line.startswith("server"))]))
    output = whoami_fails(bare_cldc, 500, ACCOUNT, profile)
    assert output.endswith("It is down, as known on 2026-11-26.\n")


def test_the_known_status_of_a_server_is_shown_before_it_is_used(bare_cldc: Cldc, tmp_path: Path) -> None:
    status = competition.load().server_status
    assert status is not None
    assert "2026-06-22" in status
    started = bare_cldc("init", "--format", "json", cwd=tmp_path).data
    assert started["server_status"] == status
    (tmp_path / "cldc.toml").unlink()
    elsewhere = bare_cldc("init", "--server", "https://codalab.example", "--format", "json", cwd=tmp_path)
    assert elsewhere.data["server_status"] is None
    assert status in bare_cldc("init", "--force", cwd=tmp_path).out


def test_the_doctor_shows_the_known_status_of_a_server(
    bare_cldc: Cldc, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody is asked.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    checks = bare_cldc("doctor", "--format", "json", code=1).data["checks"]
    findings = {check["subject"]: check["finding"] for check in checks}
    assert findings["server status"] == competition.load().server_status
    assert "through the proxy that HTTPS_PROXY names" in findings["server"]
    other = bare_cldc("doctor", "--server", "https://other.invalid", "--format", "json", code=1)
    assert "server status" not in {check["subject"] for check in other.data["checks"]}


@pytest.mark.parametrize("status", ["two\\nlines", " ", "\\u001b[2J"])
def test_a_status_is_a_line(status: str) -> None:
    profile = template("competitions", "demo.toml").read_text(encoding="utf-8")
    with pytest.raises(ConfigurationError, match="server_status"):
        competition.parse(f'server_status = "{status}"\n{profile}', name="x")


# Proxies


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "all_proxy"])
def test_everything_goes_through_a_socks_proxy(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    with (
        fault_server(authority.context("codalab.example")) as server,
        socks_proxy(server.port, password=CANARY) as proxy,
    ):
        monkeypatch.setenv(variable, f"socks5h://me:{CANARY}@127.0.0.1:{proxy.port}")
        server.script("/rest/worksheets", NO_BUNDLES)
        server.script("/x", Answer(body=b"here"))
        with Rest("https://codalab.example", ALICE) as client:
            assert client.health().version == "1.7.5"
        assert certificate("https://codalab.example") is None  # verified, but on the proxy's far side
        for name, value in proxy_for_children().items():
            monkeypatch.setenv(name, value)
        with session.open_url("https://codalab.example/x", timeout=5) as answer:
            assert answer.read() == b"here"
    assert proxy.asked == ["codalab.example"] * 2
    assert proxy.accounts == [f"me:{CANARY}"] * 2


@pytest.mark.parametrize(
    ("proxy", "code", "says"),
    [
        (f"socks://me:{CANARY}@127.0.0.1:9", 4, "an address of the kind socks://"),
        (f"socks5h://me:{CANARY}@:9", 4, "no address|kind"),
        (f"socks5h://me:{CANARY}@127.0.0.1:9", 9, "through the proxy that HTTPS_PROXY names"),
        (f"http://me:{CANARY}@127.0.0.1:9", 9, "through the proxy that HTTPS_PROXY names"),
    ],
)
def test_an_unusable_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], proxy: str, code: int, says: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("CODALAB_USERNAME", "alice")
    monkeypatch.setenv("CODALAB_PASSWORD", "x")
    monkeypatch.setattr(connection, "DEFAULT_LIMITS", Limits(pauses_seconds=()))
    assert entry.run(["whoami", "--server", "https://codalab.example"]) == code
    output = capsys.readouterr().err
    assert re.search(says, output)
    assert len(output.splitlines()) == 2
    assert CANARY not in output


def test_a_socks_proxy_that_refuses_is_reported(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socks_proxy(0, refuses=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        with (
            Rest("https://codalab.example", limits=Limits(pauses_seconds=())) as client,
            pytest.raises(Unreachable, match=r"HTTPS_PROXY names: .*Connection refused"),
        ):
            client.health()
        for name, value in proxy_for_children().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(session, "CONNECT_PAUSES_SECONDS", ())
        with pytest.raises(urllib.error.URLError, match="SOCKS") as raised:
            session.open_url("https://codalab.example/x", timeout=5)
        assert session.describe(raised.value)["untouched"]
