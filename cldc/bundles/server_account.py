"""An account on a CodaLab, and the server's time."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cldc import files
from cldc.codalab import Cl, CodaLab, Rest
from cldc.competition import Competition
from cldc.progress import SILENT, Observer


@dataclass(frozen=True, kw_only=True)
class ServerAccount:
    """A competition account on a server, used from this machine.

    Attributes:
        codalab: The server, accessed as the account.
        account: The account's user name.
        home: The data folder.
        clock: The server's time.
    """

    competition: Competition
    codalab: CodaLab
    account: str
    home: Path
    clock: Callable[[], datetime]
    observer: Observer = SILENT

    @property
    def rest(self) -> Rest:
        """The account's REST client."""
        return self.codalab.rest

    @property
    def cl(self) -> Cl:
        """The account's `cl`."""
        return self.codalab.cl

    def submission_id(self, name: str, dataset_hash: str, *, server: str | None = None) -> str:
        """Hash the identity of the account's submission of that dataset under that name to sixteen hex digits.

        The same submission has the same id on every machine; ``server`` is its address if that has changed since.
        """
        tag, address = self.competition.submission.tag, server or self.rest.server
        return files.hash_bytes(json.dumps([tag, address, self.account, name, dataset_hash]))[:16]

    def tag_lock(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock for setting the account's tag or removing bundles that might have it, one process at a time.

        Raises:
            LockTimeout: Another process kept the lock.
        """
        key = files.hash_bytes(f"{self.rest.server}\n{self.account}\n{self.competition.submission.tag}")[:16]
        path = self.home / "locks" / f"tag-{key}.lock"
        return files.lock(path, purpose="setting a tag", observer=self.observer)


@dataclass(slots=True)
class ServerClock:
    """The server's time, which stamps bundles; a wrong or jumping local clock would free quota."""

    _rest: Rest
    _base: tuple[float, float] | None = None

    def __call__(self) -> datetime:
        """Return the time by the server's clock, read once and continued by a monotonic clock; the local time if it sends none."""
        if self._base is None:
            health, started = self._rest.health(), time.monotonic()
            now = time.time()
            if health.date is not None and health.clock_ahead_seconds is not None:
                # The Date header has whole seconds: a clock of ours within two seconds of it is more precise. Ours may have
                # jumped since, so its time is the one at which the header came.
                skew = health.clock_ahead_seconds
                now = health.date.timestamp() - (skew if abs(skew) <= 2 else 0.0)
            self._base = (now, started)
        base, started = self._base
        return datetime.fromtimestamp(base, UTC) + timedelta(seconds=time.monotonic() - started)
