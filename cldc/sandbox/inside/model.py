"""CodaLab's model on a file of SQLite, and its messages to workers without waiting for the next poll."""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return"

from __future__ import annotations

import asyncio
import logging
from typing import Any, Callable

import websockets
from bottle import request
from codalab.lib import spec_util
from codalab.lib.codalab_manager import CodaLabManager
from codalab.model.bundle_model import BundleModel
from codalab.model.tables import user as user_table
from codalab.model.worker_model import WorkerModel
from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

logger = logging.getLogger("cldc.sandbox.model")
_BUSY_SECONDS = 30
_CHECKIN_SECONDS = 5.0  # codalab.rest.workers.checkin waits this long for a message


def substring_index(text: str | None, separator: str, count: int) -> str | None:
    """MySQL's SUBSTRING_INDEX, which CodaLab calls and SQLite lacks."""
    if text is None:
        return None
    parts = text.split(separator)
    return separator.join(parts[:count] if count >= 0 else parts[count:])


def _wanted_uuid() -> str | None:
    """The uuid that the current request gives the one worksheet it creates."""
    try:
        (resource,) = request.json["data"]
        wanted = resource["attributes"]["uuid"]
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        return None
    return wanted if spec_util.UUID_REGEX.match(wanted) else None


class SandboxModel(BundleModel):
    """A BundleModel on a file, one connection a thread, as MySQLModel is on a server."""

    def __init__(self, path: str, default_user_info: Any, root_user_id: str, system_user_id: str) -> None:
        engine = create_engine(
            "sqlite:///" + path,
            strategy="threadlocal",
            poolclass=NullPool,
            connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(engine, "connect", self._prepare)
        super().__init__(engine, default_user_info, root_user_id, system_user_id)

    @staticmethod
    def _prepare(connection: Any, _record: Any) -> None:
        connection.create_function("substring_index", 3, substring_index)
        # WAL: readers don't wait for writers. NORMAL: a killed process loses nothing, only a power cut could.
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={_BUSY_SECONDS * 1000}"):
            connection.execute("PRAGMA " + pragma).close()

    def encode_str(self, value: str) -> str:
        return value

    def decode_str(self, value: str) -> str:
        return value

    def increment_user_disk_used(self, user_id: str, amount: int) -> None:
        self._increment(user_id, {"disk_used": user_table.c.disk_used + amount})

    def increment_user_time_used(self, user_id: str, amount: int) -> None:
        self._increment(user_id, {"time_used": user_table.c.time_used + amount})

    def _increment(self, user_id: str, values: Any) -> None:
        """Add in one statement of the transaction around it.

        CodaLab reads, adds, writes and commits, and this commit ends the caller's transaction early: the
        bundle manager then sees a run's new state before its exit code and calls a failed run ready.
        """
        with self.engine.begin() as connection:
            connection.execute(user_table.update().where(user_table.c.user_id == user_id).values(values))

    def new_worksheet(self, worksheet: Any) -> None:
        # Bundles can be created with a uuid of one's choosing; here worksheets can, so that published ones stay good.
        wanted = _wanted_uuid()
        if wanted is not None:
            worksheet.uuid = wanted
        super().new_worksheet(worksheet)

    def transition_bundle_finished(self, bundle: Any, bundle_location: str) -> None:
        # The worker writes straight into the bundle store, so nobody else measures what a run left there.
        try:
            self.update_disk_metadata(bundle, bundle_location)
        except OSError:
            logger.warning("the size of %s can't be taken", bundle.uuid, exc_info=True)
        super().transition_bundle_finished(bundle, bundle_location)


class SandboxWorkerModel(WorkerModel):
    """Messages reach the worker of this process at once; other workers are pinged as CodaLab does."""

    own_worker = ""
    poll_seconds: Callable[[], float] = staticmethod(lambda: _CHECKIN_SECONDS)

    def _ping_worker_ws(self, worker_id: str) -> None:
        if worker_id == self.own_worker:
            return  # it is listening nearly always, and its next check-in is at most a moment away

        async def ping() -> None:
            async with websockets.connect(f"{self._ws_server}/main") as connection:
                await connection.send(worker_id)

        try:
            asyncio.run(ping())
        except (OSError, websockets.exceptions.WebSocketException):
            logger.warning("worker %s can't be pinged; it will check in by itself", worker_id)

    def get_json_message(self, sock: Any, timeout_secs: float) -> Any:
        if timeout_secs == _CHECKIN_SECONDS:
            timeout_secs = self.poll_seconds()
        return super().get_json_message(sock, timeout_secs)


class SandboxManager(CodaLabManager):
    """A CodaLabManager that makes these two, and keeps its Unix sockets where their paths stay short."""

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
