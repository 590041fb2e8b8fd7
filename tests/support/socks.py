"""A SOCKS5 proxy on loopback that leads every connection to one port of this machine."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass
class SocksProxy:
    """``asked`` are the hosts that clients wanted, ``accounts`` what they signed in with."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)


@contextlib.contextmanager
def socks_proxy(target: int, *, password: str = "", refuses: bool = False) -> Iterator[SocksProxy]:
    """Lead to ``target``; with a password each client has to sign in."""
    proxy = SocksProxy()

    class Handler(socketserver.StreamRequestHandler):
        rbufsize = 0

        def handle(self) -> None:
            methods = self.rfile.read(self.rfile.read(2)[1])
            method = 2 if password else 0
            self.wfile.write(bytes((5, method if method in methods else 255)))
            if password:
                name = self.rfile.read(self.rfile.read(2)[1])
                given = self.rfile.read(self.rfile.read(1)[0])
                proxy.accounts.append(f"{name.decode()}:{given.decode()}")
                self.wfile.write(bytes((1, given.decode() != password)))
                if given.decode() != password:
                    return
            kind = self.rfile.read(4)[3]
            host = self.rfile.read(self.rfile.read(1)[0]).decode() if kind == 3 else str(self.rfile.read(4))
            self.rfile.read(2)
            proxy.asked.append(host)
            self.wfile.write(bytes((5, 5 if refuses else 0, 0, 1)) + bytes(6))
            if not refuses:
                with socket.create_connection(("127.0.0.1", target)) as server:
                    _join(self.connection, server)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            return  # a client that hangs up is part of the game

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _join(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for line in (source, target):
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
