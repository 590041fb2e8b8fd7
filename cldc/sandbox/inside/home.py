"""The files in the sandbox's home folder, for cldc itself as well. Standard library only."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
ROLES = {"root": "codalab", "organiser": "organiser", "contestant": "contestant"}


class Home:
    """Files below one private folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(os.path.abspath(root))
        self.codalab = self.root / "codalab"
        self.competitions = self.root / "competitions"
        self.logs = self.root / "logs"
        self.runs = self.root / "runs"
        self.database = self.root / "codalab.sqlite"
        self.accounts = self.root / "accounts.json"
        self.accounts_seen = self.root / "accounts.seen"
        self.sockets = self.root / "sockets.json"
        self.images = self.root / "images.json"
        self.ports = self.root / "ports.json"
        self.process = self.root / "server.json"
        self.ready = self.root / "sandbox.json"
        self.lock = self.root / "server.lock"
        self.worker_state = self.root / "worker-state.json"

    def make(self) -> None:
        """Create the folders, accessible to their owner only."""
        for folder in (self.root, self.codalab, self.logs, self.runs):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.chmod(folder, 0o700)


def read_json(path: str | os.PathLike[str], default: Any = None) -> Any:
    """Read the JSON in ``path``; ``default`` if there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return default


def write_json(path: str | os.PathLike[str], data: Any) -> None:
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
    """Return name and password of each account, by role; create them at the first start."""
    known: dict[str, dict[str, str]] = read_json(home.accounts, {})
    missing = {role: name for role, name in ROLES.items() if role not in known}
    if missing:
        known.update(
            {r: {"name": name, "password": secrets.token_urlsafe(18)} for r, name in missing.items()}
        )
        write_json(home.accounts, known)
    return known


def choose_ports(home: Home) -> dict[str, int]:
    """Choose free ports; those of the last start if they are still free, so that links to bundles stay valid."""
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
