"""`cldc doctor`: what it checks, also without a network, and that its report can be pasted anywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from cldc.codalab.proxies import certificate
from cldc.errors import Unreachable
from tests.support.certificates import Authority
from tests.support.commands import Cldc
from tests.support.faults import fault_server

CANARY = "canary-5e5a"


def test_the_report_needs_no_network_and_holds_no_secret(cldc: Cldc, tmp_path: Path) -> None:
    outcome = cldc(
        *("doctor", "--server", "https://nowhere.invalid", "--format", "json"),
        code=1,
        HOME=str(tmp_path),
        HTTPS_PROXY=f"http://me:{CANARY}@127.0.0.1:9",
        CODALAB_USERNAME="me",
        CODALAB_PASSWORD=CANARY,
    )
    checks = {check["subject"]: check for check in outcome.data["checks"]}
    assert {
        "cldc",
        "data folder",
        "temporary",
        "project",
        "keyring",
        "competition",
        "codalab",
        "tensorflow",
        "analysis",
    } <= set(checks)
    assert checks["server"]["verdict"] == "wrong"
    assert outcome.data["wrong"] == 1
    assert CANARY not in outcome.out + outcome.err
    assert "HTTPS_PROXY" in checks["network"]["finding"]
    assert str(tmp_path) not in outcome.out
    assert checks["data folder"]["finding"].startswith("~/home")


def test_a_broken_project_file_is_one_finding(cldc: Cldc, tmp_path: Path) -> None:
    (tmp_path / "cldc.toml").write_text('datset = "x"\n', encoding="utf-8")
    outcome = cldc("doctor", cwd=tmp_path, code=1)
    assert "perhaps you meant 'dataset'" in outcome.out
    assert outcome.out.endswith("1 check failed.\n")


def test_a_certificate_is_verified_and_its_end_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    authority = Authority(tmp_path)
    with fault_server(authority.context("localhost", days=(-1, 5.05))) as server:
        with pytest.raises(Unreachable, match="issuer that is not known here"):
            certificate(server.address)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.file))
        found = certificate(server.address)
    assert found is not None
    assert found.issuer == "Some Lab"
    assert (found.expires - datetime.now(UTC)).days == 5
    assert certificate("http://127.0.0.1:1") is None
