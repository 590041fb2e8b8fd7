"""`cldc doctor`: what it looks at, how fast it gives up, and that its report can be pasted anywhere."""

from __future__ import annotations

import ssl
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import create_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cldc.codalab.tls import certificate
from cldc.errors import Unreachable
from tests.conftest import Cldc

CANARY = "canary-5e5a"


def test_the_report_is_quick_without_a_network_and_holds_no_secret(cldc: Cldc, tmp_path: Path) -> None:
    began = time.monotonic()
    told = cldc(
        *("doctor", "--server", "https://nowhere.invalid", "--format", "json"),
        code=1,
        HOME=str(tmp_path),
        HTTPS_PROXY=f"http://me:{CANARY}@127.0.0.1:9",
        CODALAB_USERNAME="me",
        CODALAB_PASSWORD=CANARY,
    )
    assert time.monotonic() - began < 30
    checks = {check["subject"]: check for check in told.data["checks"]}
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
    assert told.data["wrong"] == 1
    assert CANARY not in told.out + told.err
    assert "HTTPS_PROXY" in checks["network"]["finding"]
    assert str(tmp_path) not in told.out
    assert checks["data folder"]["finding"].startswith("~/home")


def test_a_broken_project_file_is_one_finding(cldc: Cldc, tmp_path: Path) -> None:
    (tmp_path / "cldc.toml").write_text('datset = "x"\n', encoding="utf-8")
    told = cldc("doctor", cwd=tmp_path, code=1)
    assert "perhaps you meant 'dataset'" in told.out
    assert told.out.endswith("1 of these is wrong.\n")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, good for five days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Some Lab")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=5, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = tmp_path / "cert.pem", tmp_path / "key.pem"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


def test_a_certificate_is_verified_and_its_end_is_known(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    with create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(2):
                line, _address = listening.accept()
                try:
                    context.wrap_socket(line, server_side=True).close()
                except OSError:
                    line.close()

        thread = threading.Thread(target=serve)
        thread.start()
        server = f"https://localhost:{listening.getsockname()[1]}"
        with pytest.raises(Unreachable, match="certificate"):
            certificate(server)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pair[0]))
        found = certificate(server)
        thread.join()
    assert found is not None
    assert found.issuer == "Some Lab"
    assert (found.expires - datetime.now(UTC)).days == 5
    assert certificate("http://127.0.0.1:1") is None
