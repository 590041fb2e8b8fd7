"""Accounts of the sandbox, created at its first start and kept in a file that only its owner can read."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from cldc.credentials import Credentials
from cldc.errors import SandboxError, UsageError
from cldc.files import read_json, replace_atomically
from cldc.identifiers import is_name
from cldc.sandbox.paths import home_of, locked

_NOTICED_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the sandbox. Its repr hides the password."""

    role: str
    name: str
    password: str = field(repr=False)


def list_accounts(data: Path) -> tuple[Account, ...]:
    """List every account, ``root`` and ``organiser`` included; empty before the first start."""
    known = read_json(home_of(data).accounts) or {}
    return tuple(Account(role, account["name"], account["password"]) for role, account in known.items())


def contestant(data: Path) -> Account | None:
    """Return the account with which contestants rehearse; None before the first start."""
    return next((account for account in list_accounts(data) if account.role == "contestant"), None)


def organiser(data: Path) -> Credentials:
    """Return the account that sets up competitions and scores them.

    Raises:
        SandboxError: The sandbox was never started.
    """
    for account in list_accounts(data):
        if account.role == "organiser":
            return Credentials(account.name, account.password, "sandbox")
    raise SandboxError("The sandbox was never started.", action="Run `cldc sandbox up`.")


def add_account(data: Path, name: str) -> Account:
    """Create an ordinary account with a random password; if the sandbox is up, it can sign in when this returns.

    Raises:
        UsageError: CodaLab does not allow the name.
        StorageError: The file can't be written.
    """
    if not is_name(name):
        raise UsageError(
            f"CodaLab does not allow the account name {name!r}.",
            action="Start it with a letter or _ and use only letters, digits, _ . and -.",
        )
    home = home_of(data)
    with locked(data):
        for account in list_accounts(data):
            if account.name == name:
                return account
        added = Account(name, name, secrets.token_urlsafe(18))
        known = read_json(home.accounts) or {}
        known[added.role] = {"name": added.name, "password": added.password}
        replace_atomically(home.accounts, json.dumps(known, indent=2))
        changed = home.accounts.stat().st_mtime_ns
    end = time.monotonic() + _NOTICED_SECONDS
    # Not `!=`: another account may have been added since.
    while home.ready.is_file() and (read_json(home.accounts_seen) or 0) < changed and time.monotonic() < end:
        time.sleep(0.1)
    return added
