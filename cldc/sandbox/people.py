"""Accounts of the sandbox: made up by the server at its first start, kept in a file that only its owner can read."""

from __future__ import annotations

import json
import re
import secrets
import time
from pathlib import Path

from cldc.credentials import Credentials
from cldc.errors import SandboxError, UsageError
from cldc.files import lock, replace_atomically
from cldc.organise import read_json
from cldc.sandbox.places import Account, Places

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOTICED_SECONDS = 10.0


def accounts(data: Path) -> tuple[Account, ...]:
    """Every account, ``root`` and ``organiser`` included; empty before the first start."""
    known = read_json(Places(data).accounts) or {}
    return tuple(Account(role, account["name"], account["password"]) for role, account in known.items())


def contestant(data: Path) -> Account | None:
    """The account that contestants rehearse with; None before the first start."""
    return by_role(data, "contestant")


def organiser(data: Path) -> Credentials:
    """The account that sets up competitions and scores them.

    Raises:
        SandboxError: The sandbox was never up.
    """
    account = by_role(data, "organiser")
    if account is None:
        raise SandboxError("The sandbox was never up.", action="Start it with `cldc sandbox up`.")
    return Credentials(account.name, account.password, "sandbox")


def by_role(data: Path, role: str) -> Account | None:
    """The account of that role."""
    return next((account for account in accounts(data) if account.role == role), None)


def add_account(data: Path, name: str) -> Account:
    """An ordinary account ``name``, with a random password, usable when this returns if the sandbox is up.

    Raises:
        UsageError: CodaLab takes no such name.
        StorageError: The file can't be written.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"CodaLab takes no account named {name!r}.",
            action="Start it with a letter and go on with letters, digits, _ . and -.",
        )
    places = Places(data)
    with lock(places.lock, purpose="starting or changing the sandbox"):
        for account in accounts(data):
            if account.name == name:
                return account
        added = Account(name, name, secrets.token_urlsafe(18))
        known = read_json(places.accounts) or {}
        known[added.role] = {"name": added.name, "password": added.password}
        replace_atomically(places.accounts, json.dumps(known, indent=2))
        changed = places.accounts.stat().st_mtime_ns
    end = time.monotonic() + _NOTICED_SECONDS
    # Not equal: another account may have been added meanwhile.
    while (
        places.ready.is_file() and (read_json(places.accounts_seen) or 0) < changed and time.monotonic() < end
    ):
        time.sleep(0.1)
    return added
