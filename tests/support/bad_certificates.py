"""Servers whose certificate has each kind of fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from tests.support.certificates import Authority
from tests.support.faults import FaultServer, fault_server


@contextmanager
def without_tls() -> Iterator[FaultServer]:
    """A server whose address says that it has TLS."""
    with fault_server() as server:
        server.scheme = "https"
        yield server


def expired(authority: Authority) -> AbstractContextManager[FaultServer]:
    return fault_server(authority.context("localhost", days=(-90, -1)))


def not_yet(authority: Authority) -> AbstractContextManager[FaultServer]:
    return fault_server(authority.context("localhost", days=(1, 90)))


def another_host(authority: Authority) -> AbstractContextManager[FaultServer]:
    return fault_server(authority.context("portal.example"))


def unknown_issuer(authority: Authority) -> AbstractContextManager[FaultServer]:
    return fault_server(Authority(authority.file.parent, "Another Lab").context("localhost"))


def no_tls(_: Authority) -> AbstractContextManager[FaultServer]:
    return without_tls()


Make = Callable[[Authority], AbstractContextManager[FaultServer]]


FAULTS: dict[str, tuple[Make, str, str]] = {
    "expired": (expired, "has expired. Only its operators", "set this machine's clock instead"),
    "not yet": (not_yet, "is not valid yet", "set this machine's clock"),
    "another host": (another_host, "certificate for another host", "login page"),
    "unknown issuer": (unknown_issuer, "issuer that is not known here", "REQUESTS_CA_BUNDLE"),
    "no TLS": (no_tls, "can't be trusted", "its port"),
}
