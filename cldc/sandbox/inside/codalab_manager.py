"""CodaLab's database on SQLite with its accounts, and its messages to the worker of the same process without sockets."""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return"

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from typing import Any, Callable

import websockets
from bottle import request
from codalab.lib import crypt_util, spec_util
from codalab.lib.codalab_manager import CodaLabManager
from codalab.model.bundle_model import BundleModel
from codalab.model.tables import db_metadata
from codalab.model.tables import user as user_table
from codalab.model.worker_model import WorkerModel
from codalab.objects.user import User
from codalab.worker.bundle_state import State
from sqlalchemy import create_engine, event
from sqlalchemy.pool import QueuePool

logger = logging.getLogger("cldc.sandbox.model")
_BUSY_SECONDS = 30


def substring_index(text: str | None, separator: str, count: int) -> str | None:
    """Replace MySQL's SUBSTRING_INDEX, which CodaLab uses and SQLite lacks."""
    if text is None:
        return None
    parts = text.split(separator)
    return separator.join(parts[:count] if count >= 0 else parts[count:])


def _wanted_uuid() -> str | None:
    """Return the uuid that the current request wants for its new worksheet."""
    try:
        (resource,) = request.json["data"]
        wanted = resource["attributes"]["uuid"]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        return None
    return wanted if spec_util.UUID_REGEX.match(wanted) else None


def ensure_account(model: Any, name: str, password: str, *, root: bool = False) -> None:
    """Create the verified account ``name`` in the database, or set its password.

    Over REST CodaLab creates no account without a confirmed e-mail.
    """
    known = model.get_user(user_id=model.root_user_id) if root else model.get_user(username=name)
    if known is None:
        model.add_user(
            name,
            name + "@localhost",
            "",
            "",
            password,
            "",
            user_id=model.root_user_id if root else None,
            is_verified=True,
            has_access=True,
        )
    elif not known.check_password(password):
        salted = User.encode_password(password, crypt_util.get_random_string())
        model.update_user_info({"user_id": known.user_id, "password": salted})


class SandboxModel(BundleModel):
    """A BundleModel on a file, with one connection per thread, as MySQLModel has on a server."""

    def __init__(self, path: str, default_user_info: Any, root_user_id: str, system_user_id: str) -> None:
        engine = create_engine(
            "sqlite:///" + path,
            strategy="threadlocal",
            poolclass=QueuePool,
            pool_size=20,
            max_overflow=100,
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "connect", self._prepare)
        self._ending = threading.Lock()
        super().__init__(engine, default_user_info, root_user_id, system_user_id)

    @staticmethod
    def _prepare(connection: Any, _record: Any) -> None:
        connection.create_function("substring_index", 3, substring_index)
        # WAL: readers don't wait for writers. NORMAL: only a power failure could lose anything, not a killed process.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={_BUSY_SECONDS * 1000}"):
            connection.execute("PRAGMA " + pragma).close()

    def create_tables(self) -> None:
        super().create_tables()
        # MySQL gives each foreign key an index, and CodaLab relies on them. Without them SQLite reads whole tables to
        # list a page of bundles: with 3,000 bundles a search by tag took 217 s, with them 12 s.
        with self.engine.begin() as connection:
            for table in db_metadata.tables.values():
                for column in table.columns:
                    if column.foreign_keys:
                        name = f"foreign_key_{table.name}_{column.name}"
                        connection.execute(
                            f'CREATE INDEX IF NOT EXISTS {name} ON "{table.name}" ({column.name})'
                        )

    def encode_str(self, value: str) -> str:
        return value

    def decode_str(self, value: str) -> str:
        return value

    def increment_user_disk_used(self, user_id: str, amount: int) -> None:
        self._increment(user_id, {"disk_used": user_table.c.disk_used + amount})

    def increment_user_time_used(self, user_id: str, amount: int) -> None:
        self._increment(user_id, {"time_used": user_table.c.time_used + amount})

    def _increment(self, user_id: str, values: Any) -> None:
        """Add in a single statement within the caller's transaction.

        CodaLab reads, adds, writes and commits, which ends the caller's transaction early: the bundle manager then sees
        a run's new state before its exit code and marks a failed run ready.
        """
        with self.engine.begin() as connection:
            connection.execute(user_table.update().where(user_table.c.user_id == user_id).values(values))

    def new_worksheet(self, worksheet: Any) -> None:
        # CodaLab lets bundles be created with a chosen uuid; here also worksheets, so that they have their published uuids.
        wanted = _wanted_uuid()
        if wanted is not None:
            worksheet.uuid = wanted
        super().new_worksheet(worksheet)

    def bundle_checkin(self, bundle: Any, worker_run: Any, user_id: str, worker_id: str) -> bool:
        # A check-in that is processed while the run finishes would set it back to finalizing for good.
        with self._ending:
            if self.get_bundle_state(bundle.uuid) in State.FINAL_STATES:
                return False
            return super().bundle_checkin(bundle, worker_run, user_id, worker_id)

    def transition_bundle_finished(self, bundle: Any, bundle_location: str) -> None:
        # The worker writes directly into the bundle store, so nothing else measures a run's results.
        try:
            self.update_disk_metadata(bundle, bundle_location)
        except OSError:
            logger.warning("the size of %s can't be measured", bundle.uuid, exc_info=True)
        with self._ending:
            super().transition_bundle_finished(bundle, bundle_location)


class _Mailbox:
    """Messages to the worker of this process. CodaLab's Unix socket loses what arrives between two check-ins."""

    def __init__(self) -> None:
        self.messages: queue.Queue[Any] = queue.Queue()

    def close(self) -> None:
        """Do nothing; CodaLab closes its socket after each check-in."""


class SandboxWorkerModel(WorkerModel):
    """Hands messages to the worker of this process directly, and to other workers in CodaLab's way.

    Attributes:
        own_worker: The id of the worker of this process.
        poll_seconds: Returns how long its check-in may wait for a message.
        on_checkin: Called when a check-in is recorded, before it waits for a message.
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.own_worker = ""
        self.poll_seconds: Callable[[], float] = lambda: 0.0
        self.on_checkin: Callable[[], None] = lambda: None
        self._own_socket: int | None = None
        self._mailbox = _Mailbox()

    def wake(self) -> None:
        """Let the worker's check-in return at once."""
        if self._mailbox.messages.empty():
            self._mailbox.messages.put(None)

    def worker_checkin(self, user_id: str, worker_id: str, *arguments: Any) -> int:
        socket_id: int = super().worker_checkin(user_id, worker_id, *arguments)
        if worker_id == self.own_worker:
            self._own_socket = socket_id
        return socket_id

    def start_listening(self, socket_id: int) -> Any:
        return self._mailbox if socket_id == self._own_socket else super().start_listening(socket_id)

    def get_json_message(self, sock: Any, timeout_secs: float) -> Any:
        if not isinstance(sock, _Mailbox):
            return super().get_json_message(sock, timeout_secs)
        self.on_checkin()
        try:
            return sock.messages.get(timeout=self.poll_seconds())
        except queue.Empty:
            return None

    def send_json_message(
        self, socket_id: int, worker_id: str, message: Any, timeout_secs: float, autoretry: bool = True
    ) -> bool:
        if socket_id == self._own_socket:
            self._mailbox.messages.put(message)
            return True
        return super().send_json_message(socket_id, worker_id, message, timeout_secs, autoretry)

    def _ping_worker_ws(self, worker_id: str) -> None:
        if worker_id == self.own_worker:
            return

        async def ping() -> None:
            async with websockets.connect(f"{self._ws_server}/main") as connection:
                await connection.send(worker_id)

        try:
            asyncio.run(ping())
        except (OSError, websockets.exceptions.WebSocketException):
            logger.warning("worker %s can't be pinged; it will check in on its own", worker_id)


class SandboxManager(CodaLabManager):
    """A CodaLabManager with these two models, and with Unix sockets in a folder whose path is short."""

    def __init__(self, database: str, sockets: str, ws_address: str) -> None:
        self._database, self._sockets, self._ws_address = database, sockets, ws_address
        super().__init__()

    @property
    def worker_socket_dir(self) -> str:
        return self._sockets

    @property
    def ws_server(self) -> str:
        return self._ws_address

    def model(self) -> SandboxModel:
        if "model" not in self.cache:
            self.cache["model"] = SandboxModel(
                self._database, self.default_user_info(), self.root_user_id(), self.system_user_id()
            )
        return self.cache["model"]

    def worker_model(self) -> SandboxWorkerModel:
        if "worker_model" not in self.cache:
            self.cache["worker_model"] = SandboxWorkerModel(
                self.model().engine, self.worker_socket_dir, self.ws_server
            )
        return self.cache["worker_model"]
