"""A whole CodaLab in one process on loopback: REST, bundle manager, worker, websocket server, on SQLite.

    python server.py HOME

It writes ``HOME/sandbox.json`` when it is ready, logs to ``HOME/logs``, and on SIGTERM stops together with everything it
started. A second server on the same HOME waits half a minute for the first to end, then exits with code 75.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return"

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import logging
import logging.handlers
import os
import platform
import secrets
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, Iterator

import psutil

if (
    __name__ == "__main__" and not __package__
):  # started by path: make this folder the package it is (PEP 366)
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    del sys.path[0]
    __package__ = "inside"
    __import__(__package__)

from .home import LOOPBACK, Home, accounts, choose_ports, read_json, write_json

logger = logging.getLogger("cldc.sandbox")
ALREADY_UP = 75
_TICK_SECONDS = 1.0
_IDLE_SECONDS = 5.0
_STOP_SECONDS = 2.5
# Threads and children of a killed server may hold its lock for a moment after its process is gone.
_ENDING_SECONDS = 30.0


def main() -> int:
    """Parse the arguments, take the lock, and serve until a signal stops it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("home", help="folder for everything the sandbox keeps")
    home = Home(parser.parse_args().home)
    os.umask(0o077)
    home.make()
    with held(home.lock) as ours:
        if not ours:
            print(f"a sandbox is already up in {home.root}", file=sys.stderr)
            return ALREADY_UP
        _forget(home)
        _send_output_to_logs(home)
        write_json(home.process, _this_process())
        sockets = _socket_folder(home)
        code = 1
        try:
            Sandbox(home, sockets).run()
            code = 0
        except BaseException:
            logger.critical("the sandbox failed:\n%s", traceback.format_exc())
            traceback.print_exc()
        shutil.rmtree(sockets, ignore_errors=True)
        _forget(home)
        logging.shutdown()
        os._exit(code)  # else it would wait for threads of CodaLab and of the web server, which never end


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold the lock file during the block; False if another process keeps it."""
    end = time.monotonic() + _ENDING_SECONDS
    with open(path, "a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() > end:
                    yield False
                    return
                time.sleep(0.05)
            else:
                yield True
                return


def _socket_folder(home: Home) -> str:
    """Create a folder for Unix sockets, whose paths must be short; remove that of a killed server."""
    last = read_json(home.sockets)
    if last:
        shutil.rmtree(last, ignore_errors=True)
    folder = tempfile.mkdtemp(prefix="cldc-sandbox-")
    write_json(home.sockets, folder)
    return folder


def _this_process() -> dict[str, Any]:
    """Identify this process by id and start time, as ids are reused."""
    return {"pid": os.getpid(), "process_started": psutil.Process().create_time()}


def _forget(home: Home) -> None:
    """Remove the files that mark a running server."""
    for path in (home.ready, home.process):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _send_output_to_logs(home: Home) -> None:
    """Send everything that CodaLab prints or logs to files of limited size."""
    path = home.logs / "output.log"
    size = os.path.getsize(path) if os.path.exists(path) else 0
    output = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if size > 10**7 else 0), 0o600
    )
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    handler = logging.handlers.RotatingFileHandler(
        home.logs / "server.log", maxBytes=5 * 10**6, backupCount=2, encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # They log every check-in of the worker.
    for noisy in ("codalab.worker.worker", "codalab.bin.ws_server", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def configure(home: Home, ports: dict[str, int], database: dict[str, str]) -> None:
    """Write the configuration that CodaLab reads when it is imported, and make it run on this Python.

    Args:
        home: The folder with all its files.
        ports: The ports of its REST and its websocket server.
        database: The database's name in CodaLab's configuration.
    """
    os.environ["CODALAB_HOME"] = str(home.codalab)
    os.environ.pop("CODALAB_CONFIG", None)
    os.environ.pop("CODALAB_STATE", None)
    for name in ("no_proxy", "NO_PROXY"):
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), LOOPBACK]))
    path = home.codalab / "config.json"
    old = read_json(path, {})
    address = f"http://{LOOPBACK}:{ports['rest']}"
    config = {
        "cli": {"default_address": address, "verbose": 1},
        "server": {
            "rest_host": LOOPBACK,
            "rest_port": ports["rest"],
            **database,
            "auth": {"class": "RestOAuthHandler"},
            "verbose": 0,
            "secret_key": old.get("server", {}).get("secret_key") or secrets.token_urlsafe(36),
            "root_user_name": accounts(home)["root"]["name"],
        },
        "ws-server": {"ws_port": ports["ws"]},
        "aliases": {"main": address},
        "workers": {
            "default_cpu_image": "codalab/default-cpu:latest",
            "default_gpu_image": "codalab/default-gpu:latest",
        },
    }
    if config != old:
        write_json(path, config)
    from . import compat

    compat.prepare()
    from . import rsync_unzip

    rsync_unzip.prepare()


class Sandbox:
    """The parts of the sandbox, started in the order of their dependencies."""

    def __init__(self, home: Home, sockets: str) -> None:
        self.home, self.sockets = home, sockets
        self.changed, self.stopping = threading.Event(), threading.Event()
        self._accounts_seen: int | None = None
        self._ensured: dict[str, Any] = {}
        self.model: Any = None

    def run(self) -> None:
        """Start everything, report that it is ready, and wait for a signal."""
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signum, lambda *_: self.stop())
        started = time.time()
        ports = choose_ports(self.home)
        address = f"http://{LOOPBACK}:{ports['rest']}"
        manager = self._codalab(ports)
        self._ensure_accounts()

        # Late, here and below: `_codalab` writes the configuration that CodaLab reads when it is imported.
        from codalab.server.rest_server import create_rest_app

        from . import web

        server = web.make_server(LOOPBACK, ports["rest"], create_rest_app(manager), self.changed.set)
        threading.Thread(target=server.serve, name="web", daemon=True).start()
        self._serve_websockets(ports["ws"])
        worker, runtime = self._worker(manager, address, ports)
        threading.Thread(
            target=self._manage_bundles, args=(manager,), name="bundle-manager", daemon=True
        ).start()
        self.say_ready(address, ports)
        logger.info("ready at %s after %.1f s", address, time.time() - started)
        try:
            while not self.stopping.wait(_TICK_SECONDS):
                self._ensure_accounts()
        finally:
            self._end(worker, runtime)

    def stop(self) -> None:
        """Let `run` end."""
        self.stopping.set()
        self.changed.set()

    def _codalab(self, ports: dict[str, int]) -> Any:
        """Create CodaLab's manager."""
        configure(self.home, ports, {"class": "SQLiteModel"})
        from .codalab_manager import SandboxManager

        manager = SandboxManager(str(self.home.database), self.sockets, f"ws://{LOOPBACK}:{ports['ws']}")
        self.model = manager.model()
        return manager

    def _ensure_accounts(self) -> None:
        """Create or update the accounts of accounts.json whenever that file changes."""
        # Before reading, so that a later change is seen next time.
        changed = os.stat(self.home.accounts).st_mtime_ns
        if changed == self._accounts_seen:
            return
        from .codalab_manager import ensure_account

        for role, account in accounts(self.home).items():
            if account != self._ensured.get(role):  # checking a password is slow on purpose
                ensure_account(self.model, account["name"], account["password"], root=role == "root")
                self._ensured[role] = account
        self._accounts_seen = changed
        write_json(self.home.accounts_seen, changed)

    def _serve_websockets(self, port: int) -> None:
        """Start CodaLab's websocket server, which wakes workers of other processes."""
        import websockets
        from codalab.bin.ws_server import ws_handler

        up = threading.Event()

        async def serve() -> None:
            async with websockets.serve(ws_handler, LOOPBACK, port):
                up.set()
                await asyncio.Event().wait()

        threading.Thread(target=asyncio.run, args=(serve(),), name="websockets", daemon=True).start()
        if not up.wait(10):
            raise OSError("the websocket server did not start")

    def _worker(self, manager: Any, address: str, ports: dict[str, int]) -> Any:
        """Start the worker, and continue the runs of the last start."""
        from .runtime import LocalRuntime
        from .worker import WORKER_ID, SandboxWorker, recover

        messages = manager.worker_model()
        runtime = LocalRuntime(self.home, on_exit=messages.wake)
        worker = SandboxWorker(
            self.home, address, f"ws://{LOOPBACK}:{ports['ws']}", accounts(self.home)["root"], runtime
        )
        messages.own_worker, messages.poll_seconds = WORKER_ID, worker.poll_seconds
        messages.on_checkin = self.changed.set
        for uuid in recover(worker, runtime, self.model):
            logger.info("the run %s was lost at the last stop and starts again", uuid)
        threading.Thread(target=worker.start, name="worker", daemon=True).start()
        return worker, runtime

    def _manage_bundles(self, manager: Any) -> None:
        """Run CodaLab's bundle manager whenever something has changed, and every few seconds."""
        from codalab.server.bundle_manager import BundleManager

        changed = self.changed

        class Manager(BundleManager):
            def _make_bundle(self, bundle: Any) -> None:
                super()._make_bundle(bundle)
                changed.set()  # bundles may have waited for it

        bundles = Manager(manager)
        while not self.stopping.is_set():
            self.changed.clear()
            try:
                bundles._run_iteration()
            except Exception:
                logger.exception("the bundle manager failed and continues")
            self.changed.wait(_IDLE_SECONDS)
            time.sleep(0.02)  # changes often come in groups

    def say_ready(self, address: str, ports: dict[str, int]) -> None:
        """Write the file that tells `cldc` how to reach the running server."""
        from codalab.common import CODALAB_VERSION

        write_json(
            self.home.ready,
            {
                "address": address,
                "rest_port": ports["rest"],
                "ws_port": ports["ws"],
                **_this_process(),
                "started": time.time(),
                "codalab": CODALAB_VERSION,
                "python": platform.python_version(),
            },
        )

    def _end(self, worker: Any, runtime: Any) -> None:
        """End the runs; if that hangs, end the process."""
        force = threading.Timer(_STOP_SECONDS, os._exit, args=(0,))
        force.daemon = True
        force.start()
        worker.terminate = runtime.stopping = True
        runtime.end_all()
        logger.info("stopped")


if __name__ == "__main__":
    sys.exit(main())
