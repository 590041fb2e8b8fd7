"""Certificates, failing servers and proxies: each error names the fault and the side that caused it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cldc.codalab import Cl
from cldc.credentials import Credentials
from cldc.environments import ensure_codalab
from cldc.errors import Unreachable
from tests.support.bad_certificates import (
    FAULTS,
)
from tests.support.certificates import Authority
from tests.support.faults import as_json, fault_server
from tests.support.socks import socks_proxy

pytestmark = pytest.mark.usefixtures("no_proxies")

ALICE = Credentials("alice", "secret-canary", "test")
WORKSHEET = "0x" + "cd" * 16


@pytest.mark.parametrize("fault", FAULTS)
def test_a_change_over_a_bad_certificate_has_the_same_message(
    authority: Authority, fault: str, environments_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    python = ensure_codalab(environments_home).python
    make, says, _ = FAULTS[fault]
    with make(authority) as server, Cl(lambda: python, server.address, ALICE) as cl:
        with pytest.raises(Unreachable, match="SSL" if fault == "no TLS" else says):
            cl.new_worksheet("x")
        assert not server.asked


def test_changes_go_through_a_socks_proxy(
    authority: Authority, environments_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = ensure_codalab(environments_home).python
    with fault_server(authority.context("codalab.example")) as server, socks_proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"socks5h://127.0.0.1:{proxy.port}")
        worksheet = {"type": "worksheets", "id": WORKSHEET, "attributes": {"uuid": WORKSHEET, "name": "x"}}
        server.script("/rest/worksheets", as_json({"data": [worksheet], "meta": {"version": "1.7.5"}}))
        with Cl(lambda: python, "https://codalab.example", ALICE) as cl:
            assert cl.new_worksheet("x") == WORKSHEET
    assert set(proxy.asked) == {"codalab.example"}
