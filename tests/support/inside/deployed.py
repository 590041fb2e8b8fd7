"""A CodaLab as it is deployed: its REST server under gunicorn on MariaDB, and its other parts in a process beside it.

    python deployed.py HOME SOCKET

HOME is laid out like the sandbox's folder, so that accounts are added in the sandbox's way; SOCKET is MariaDB's. Every class
of CodaLab's server is its own. Only the worker is the sandbox's, because a deployed one needs Docker.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return"

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

sys.path[0] = os.path.join(os.path.dirname(__file__), "..", "..", "..", "cldc", "sandbox")

from inside.home import LOOPBACK, Home, accounts, choose_ports  # noqa: E402 - found there
from inside.server import Sandbox, configure  # noqa: E402

PROCESSES, THREADS = 3, 10
# CodaLab lets a worker wait five seconds for a message, in which its runs stand still.
_CHECKIN_SECONDS = 0.3


def main() -> None:
    """Start both processes, and end them on SIGTERM."""
    home, sockets = Home(sys.argv[1]), os.path.dirname(sys.argv[2])
    os.umask(0o077)
    home.make()
    ports = choose_ports(home)
    prepare(home, ports, "mysql://root@localhost/codalab?charset=latin1&unix_socket=" + sys.argv[2])
    beside = forked(lambda: Beside(home, sockets).serve(ports))
    while not os.path.exists(home.accounts_seen):  # with them the tables are there
        time.sleep(0.05)
    web = forked(lambda: serve_rest(home, ports))

    def end(*_: Any) -> None:
        for child in (web, beside):
            os.kill(child, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    Sandbox(home, "").say_ready(f"http://{LOOPBACK}:{ports['rest']}", ports)
    for child in (web, beside):
        os.waitpid(child, 0)


def prepare(home: Home, ports: dict[str, int], database: str) -> None:
    """Configure CodaLab for MariaDB, and import it."""
    import pymysql

    pymysql.install_as_MySQLdb()
    configure(home, ports, {"class": "MySQLModel", "engine_url": database})
    from codalab.lib.codalab_manager import CodaLabManager
    from codalab.model.worker_model import WorkerModel

    CodaLabManager.ws_server = f"ws://{LOOPBACK}:{ports['ws']}"  # a container's name otherwise
    receive = WorkerModel.get_json_message
    WorkerModel.get_json_message = lambda self, sock, seconds: receive(
        self, sock, min(seconds, _CHECKIN_SECONDS)
    )


def forked(work: Callable[[], None]) -> int:
    """Do it in a process of its own."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def serve_rest(home: Home, ports: dict[str, int]) -> None:
    """What `cl-server` does."""
    from codalab.lib.codalab_manager import CodaLabManager
    from codalab.server.rest_server import run_rest_server

    run_rest_server(CodaLabManager(), False, PROCESSES, THREADS)


def answers(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


class Beside(Sandbox):
    """Bundle manager, websocket server and worker, each on its own connection to the database or the REST server."""

    def serve(self, ports: dict[str, int]) -> None:
        """Work until a signal."""
        from codalab.lib.codalab_manager import CodaLabManager
        from codalab.server.bundle_manager import BundleManager
        from inside.runtime import LocalRuntime
        from inside.worker import SandboxWorker

        signal.signal(signal.SIGTERM, lambda *_: self.stop())
        manager = CodaLabManager()
        self.model = manager.model()
        self._serve_websockets(ports["ws"])
        self._ensure_accounts()
        runtime = LocalRuntime(self.home, on_exit=lambda: None)
        address = f"http://{LOOPBACK}:{ports['rest']}"
        root = accounts(self.home)["root"]
        while not answers(ports["rest"]):  # a worker signs in as it starts
            time.sleep(0.1)
        worker = SandboxWorker(self.home, address, manager.ws_server, root, runtime)
        threading.Thread(target=worker.start, daemon=True).start()
        bundles = BundleManager(manager)
        threading.Thread(target=bundles.run, args=(0.2,), daemon=True).start()
        while not self.stopping.wait(0.2):
            self._ensure_accounts()
        self._end(worker, runtime)


if __name__ == "__main__":
    main()
