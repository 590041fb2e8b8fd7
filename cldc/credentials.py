"""Find an account's credentials: environment, keyring, a given fallback, a prompt, in that order.

The only user of `keyring`. Passwords are in the environment, in the keyring and in memory, nowhere else. A plain file in
the data folder lists the accounts, without passwords, since a keyring can't list its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shlex
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from cldc import files
from cldc.errors import CredentialsError
from cldc.progress import SILENT, Observer
from cldc.text import PASSWORD_VARIABLE, keep_secret

USERNAME_VARIABLE = "CODALAB_USERNAME"
_FILE = "accounts.json"
KEYRING_SECONDS = 5.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An account and its password, which repr hides.

    Attributes:
        source: Where they were found, such as "environment" or "keyring".
    """

    username: str
    password: str
    source: str

    def __post_init__(self) -> None:
        keep_secret(self.password)

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=<hidden>, source={self.source!r})"


Prompt = Callable[[str, str | None], tuple[str, str]]
"""Asks a person for (username, password) on a server, given the username to suggest, if any."""

Source = Callable[[str, str | None], Credentials | None]
"""A fallback: returns the credentials for a server (and a username, if given), or None."""


def find(
    server: str,
    *,
    username: str | None = None,
    unapproved: Path | None = None,
    fallback: Source | None = None,
    prompt: Prompt | None = None,
    observer: Observer = SILENT,
) -> Credentials:
    """Find the credentials for ``server``.

    The environment's credentials name no server, so they go only to a server that a person named. The keyring's were stored
    for this server, and a prompt shows which server asks.

    Args:
        server: Its address, as settings give it.
        username: The wanted account; by default the environment's, or the one that signed in last.
        unapproved: The unapproved profile, if only that names the server.
        fallback: Tried after the keyring.
        prompt: Asks the person at the terminal; None without a terminal.
        observer: Notified why a source was skipped.

    Raises:
        CredentialsError: No source has them.
    """
    from_environment = _from_environment(username, observer)
    if from_environment and unapproved is None:
        return from_environment
    named = username or os.environ.get(USERNAME_VARIABLE)
    wanted = named or default_account(server)
    found = _from_keyring(server, wanted, observer) if wanted else None
    if fallback and not found:
        found = fallback(server, named)
    if prompt and not found:
        name, password = prompt(server, wanted)
        found = Credentials(name, password, "prompt") if name and password else None
    if found:
        return found
    if from_environment:
        raise CredentialsError(
            f"{PASSWORD_VARIABLE} was not sent to {server}: only the profile {unapproved} names that server.",
            action=f"Name the server with --server or CLDC_SERVER, or run `cldc trust approve {shlex.quote(str(unapproved))}`.",
        )
    who = f" for {wanted}" if wanted else ""
    raise CredentialsError(
        f"There are no credentials{who} on {server}.",
        action=f"Run `cldc login`, or set {USERNAME_VARIABLE} and {PASSWORD_VARIABLE}.",
    )


def _from_environment(username: str | None, observer: Observer) -> Credentials | None:
    name, password = os.environ.get(USERNAME_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    _check(USERNAME_VARIABLE, name or "")
    _check(PASSWORD_VARIABLE, password or "")
    if name and password:
        if username in (None, name):
            return Credentials(name, password, "environment")
        observer.note(f"{USERNAME_VARIABLE} is {name}, not {username}: ignored.")
    elif password:
        observer.note(f"{PASSWORD_VARIABLE} is set without {USERNAME_VARIABLE}: ignored.")
    return None


def _check(variable: str, value: str) -> None:
    """Refuse a user name or password that can't be right.

    Raises:
        CredentialsError: It is not UTF-8 text, or ends with a line break, as one read from a file does.
    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise CredentialsError(
            f"{variable} is not UTF-8 text.",
            action="Set it again in a shell or file whose encoding is UTF-8.",
        ) from error
    if value != value.rstrip("\r\n"):
        raise CredentialsError(
            f"{variable} ends with a line break, which is probably not part of it.",
            action=f'Set it without one, as in {variable}="$(cat FILE)".',
        )


def _service(server: str) -> str:
    return f"cldc {server}"


def _from_keyring(server: str, username: str, observer: Observer) -> Credentials | None:
    try:
        password = _ask_keyring(lambda keyring: keyring.get_password(_service(server), username))
    except KeyringFailed as failure:
        observer.note(f"Continuing without the keyring: {failure}.")
        return None
    return Credentials(username, password, "keyring") if password else None


class KeyringFailed(Exception):
    """The keyring failed; the text says why and holds no secret."""


def _ask_keyring(request: Callable[[Any], T]) -> T:
    """Call ``request`` with the `keyring` module, with a timeout, since a backend may hang.

    Raises:
        KeyringFailed: It failed or did not answer.
    """
    answer: queue.SimpleQueue[tuple[T | None, str]] = queue.SimpleQueue()

    def ask() -> None:
        try:
            # It takes 0.1 s to import, most commands do without it, and a broken one must not stop them.
            import keyring  # noqa: PLC0415

            answer.put((request(keyring), ""))
        except Exception as error:  # backends raise any exception, with any text
            kind = type(error).__name__
            reason = "this machine has none" if kind == "NoKeyringError" else f"it failed with {kind}"
            answer.put((None, reason))

    # A daemon thread: a hanging backend can't keep the program from exiting.
    threading.Thread(target=ask, name="keyring", daemon=True).start()
    try:
        result, failure = answer.get(timeout=KEYRING_SECONDS)
    except queue.Empty:
        raise KeyringFailed(
            f"it did not answer within {KEYRING_SECONDS:.0f} seconds (if it is locked, unlock it)"
        ) from None
    if failure:
        raise KeyringFailed(failure)
    return cast("T", result)


def store(server: str, credentials: Credentials) -> None:
    """Keep the credentials in the keyring and make them the server's default account.

    Raises:
        CredentialsError: No keyring is available, or it does not store the password.
        StorageError: The list of accounts can't be written.
    """

    def keep(keyring: Any) -> bool:
        keyring.set_password(_service(server), credentials.username, credentials.password)
        return bool(keyring.get_password(_service(server), credentials.username) == credentials.password)

    try:
        reason = "" if _ask_keyring(keep) else "it does not keep what it is given"
    except KeyringFailed as failure:
        reason = str(failure)
    if reason:
        raise CredentialsError(
            f"The password can't be stored: there is no working keyring ({reason}).",
            action=f"Set {USERNAME_VARIABLE} and {PASSWORD_VARIABLE} in the environment instead.",
        )
    with _changed_accounts() as accounts:
        others = [name for name in accounts.get(server, []) if name != credentials.username]
        accounts[server] = [credentials.username, *others]


def forget(server: str, username: str | None = None) -> tuple[str, ...]:
    """Remove one account of the server, or all of them, from the keyring; returns the names removed.

    Raises:
        CredentialsError: The keyring refuses to remove one.
        StorageError: The list of accounts can't be written.
    """
    gone = tuple(name for name in known(server) if username in (None, name))
    for name in gone:
        _remove_password(server, name)
    with _changed_accounts() as accounts:
        accounts[server] = [name for name in accounts.get(server, []) if name not in gone]
    return gone


def _remove_password(server: str, username: str) -> None:
    def remove(keyring: Any) -> None:
        # Reading first distinguishes a missing entry from one that can't be removed.
        if keyring.get_password(_service(server), username) is not None:
            keyring.delete_password(_service(server), username)

    try:
        _ask_keyring(remove)
    except KeyringFailed as failure:
        raise CredentialsError(
            f"The keyring does not remove the password of {username} on {server}: {failure}.",
            action=f"Remove the entry {_service(server)!r} with your keyring's own program.",
        ) from failure


def keyring_name() -> str | None:
    """Return the name of this machine's working keyring, or None.

    Raises:
        CredentialsError: The keyring does not answer.
    """

    def name(keyring: Any) -> str | None:
        backend = keyring.get_keyring()
        if type(backend).__module__ == "keyring.backends.fail":
            return None
        keyring.get_password(_service("nowhere"), "nobody")
        return f"{type(backend).__module__}.{type(backend).__name__}"

    try:
        return _ask_keyring(name)
    except KeyringFailed as failure:
        raise CredentialsError(
            f"The keyring does not work: {failure}.",
            action=f"Unlock or repair it, or set {USERNAME_VARIABLE} and {PASSWORD_VARIABLE}.",
        ) from failure


def known(server: str) -> tuple[str, ...]:
    """List the accounts that were stored for the server, the default one first."""
    return tuple(_read_accounts().get(server, []))


def everywhere() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """List each server and the accounts that were stored for it, the default one first."""
    return tuple((server, tuple(names)) for server, names in sorted(_read_accounts().items()))


def default_account(server: str) -> str | None:
    """Return the account last stored for the server."""
    return next(iter(known(server)), None)


@contextlib.contextmanager
def _changed_accounts() -> Iterator[dict[str, list[str]]]:
    """Yield the accounts by server for changes in the block, and then write them."""
    path = files.data_folder() / _FILE
    with files.lock(path.with_suffix(".lock"), purpose="signing in or out", timeout_seconds=30):
        accounts = _read_accounts()
        yield accounts
        kept = {server: names for server, names in accounts.items() if names}
        files.replace_atomically(path, json.dumps(kept, indent=2) + "\n")


def _read_accounts() -> dict[str, list[str]]:
    """Read account names by server. If the file is missing or damaged, people only have to type a name again."""
    try:
        return msgspec.json.decode((files.data_folder() / _FILE).read_bytes(), type=dict[str, list[str]])
    except (OSError, ValueError):  # as msgspec raises, and Python itself for a name that is not UTF-8
        return {}
