"""The files in the sandbox's home folder. Standard library only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
import tempfile
from typing import Any, Iterator

LOOPBACK = "127.0.0.1"
ROLES = {"root": "codalab", "organiser": "organiser", "contestant": "contestant"}


class Home:
    """Paths below one private folder."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.codalab = os.path.join(self.root, "codalab")
        self.logs = os.path.join(self.root, "logs")
        self.runs = os.path.join(self.root, "runs")
        self.database = os.path.join(self.root, "codalab.sqlite")
        self.accounts = os.path.join(self.root, "accounts.json")
        self.accounts_seen = os.path.join(self.root, "accounts.seen")
        self.sockets = os.path.join(self.root, "sockets.json")
        self.images = os.path.join(self.root, "images.json")
        self.ports = os.path.join(self.root, "ports.json")
        self.process = os.path.join(self.root, "server.json")
        self.ready = os.path.join(self.root, "sandbox.json")
        self.lock = os.path.join(self.root, "server.lock")
        self.worker_state = os.path.join(self.root, "worker-state.json")

    def make(self) -> None:
        """Create the folders, accessible to their owner only."""
        for folder in (self.root, self.codalab, self.logs, self.runs):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.chmod(folder, 0o700)


def read_json(path: str, default: Any = None) -> Any:
    """The JSON in ``path``; ``default`` if there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return default


def write_json(path: str, data: Any) -> None:
    """Write ``data`` to ``path`` atomically, readable by its owner only."""
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".new-")  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def accounts(home: Home) -> dict[str, dict[str, str]]:
    """Name and password of each account, by role; created at the first start."""
    known: dict[str, dict[str, str]] = read_json(home.accounts, {})
    missing = {role: name for role, name in ROLES.items() if role not in known}
    if missing:
        known.update(
            {r: {"name": name, "password": secrets.token_urlsafe(18)} for r, name in missing.items()}
        )
        write_json(home.accounts, known)
    return known


def choose_ports(home: Home) -> dict[str, int]:
    """Free ports; those of the last start if they are still free, so that links to bundles stay valid."""
    last = read_json(home.ports, {})
    ports: dict[str, int] = {}
    for name in ("rest", "ws"):
        ports[name] = _free_port(last.get(name), taken=set(ports.values()))
    if ports != last:
        write_json(home.ports, ports)
    return ports


def _free_port(wanted: int | None, taken: set[int]) -> int:
    for port in (wanted, 0):
        if port is None or port in taken:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: a port with only lingering connections is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            if found not in taken:
                return found
    raise OSError("no free port on " + LOOPBACK)


@contextlib.contextmanager
def held(path: str) -> Iterator[bool]:
    """Hold the lock file during the block; False if another process has it."""
    with open(path, "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True
