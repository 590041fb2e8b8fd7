"""Services of a command that talks to a CodaLab: accounts, connections, CodaLab's own command line."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import ClassVar

from cldc import credentials, sandbox
from cldc.address import check
from cldc.cli.app import App
from cldc.codalab import CodaLab, Rest
from cldc.competition import SANDBOX
from cldc.credentials import Credentials, Source
from cldc.environments import ensure_codalab
from cldc.text import PASSWORD_VARIABLE


class ServerApp(App):
    """An `App` with a server."""

    takes_server: ClassVar[bool] = True

    @property
    def on_sandbox(self) -> bool:
        """Whether the chosen server is this machine's sandbox."""
        return self.settings.server == SANDBOX

    @functools.cached_property
    def server(self) -> str:
        """Address of the chosen server.

        Raises:
            SandboxError: It is the sandbox, which is not up.
        """
        if self.on_sandbox:
            return sandbox.require_up(self.home).address
        server = self.settings.server
        with self.settings.naming_source_of("server"):
            return check(server)

    @functools.cached_property
    def credentials(self) -> Credentials:
        """Find the account to sign in as.

        Raises:
            CredentialsError: No account is known, and cldc can't ask for one.
        """
        return self.credentials_for(
            self.server,
            fallback=self._sandbox_account if self.on_sandbox else None,
            named_by=self.settings.unapproved_profile,
        )

    def credentials_for(
        self, server: str, *, fallback: Source | None = None, named_by: Path | None
    ) -> Credentials:
        """Find the account to sign in as on a server.

        Args:
            server: Its address.
            fallback: Where else to look, after the keyring.
            named_by: The unapproved profile that alone names this server; None if there is none.

        Raises:
            CredentialsError: No account is known, and cldc can't ask for one.
        """
        return credentials.find(
            server,
            username=self.settings["account"],
            unapproved=named_by,
            fallback=fallback,
            prompt=self.ask_for_account if self.interactive else None,
            observer=self.observer,
        )

    def _sandbox_account(self, _server: str, username: str | None) -> Credentials | None:
        accounts = {account.name: account for account in sandbox.list_accounts(self.home)}
        account = accounts.get(username) if username else sandbox.contestant(self.home)
        return Credentials(account.name, account.password, "sandbox") if account else None

    def prompt_again(self) -> None:
        """Ask for user name and password now, even if they are remembered, unless those of the environment may be used."""
        if not os.environ.get(PASSWORD_VARIABLE) or self.settings.unapproved_profile:
            suggested = credentials.default_account(self.server)
            name, password = self.ask_for_account(self.server, suggested)
            self.__dict__["credentials"] = Credentials(name, password, "prompt")

    def ask_for_account(self, server: str, suggested: str | None) -> tuple[str, str]:
        """Ask for user name and password at the terminal."""
        name = self.settings["account"] or self.ask(f"User name on {server}", suggested)
        return name, self.ask(f"Password of {name}", hidden=True)

    @functools.cached_property
    def codalab(self) -> CodaLab:
        """The server as the account; CodaLab's own command line starts when the first thing is changed."""
        return self._resources.enter_context(
            CodaLab(self.server, self.credentials, python=self.codalab_python, observer=self.observer)
        )

    def codalab_python(self) -> Path:
        """Return the Python of CodaLab's environment, created on first use."""
        return ensure_codalab(self.home, self.observer).python

    @property
    def rest(self) -> Rest:
        """Reads the server as the account."""
        return self.codalab.rest

    @functools.cached_property
    def anonymous(self) -> Rest:
        """Reads the server as everyone."""
        return self._resources.enter_context(Rest(self.server, observer=self.observer))
