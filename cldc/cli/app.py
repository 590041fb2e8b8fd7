"""What a command works with: settings, server, credentials and environments, each settled when first asked for."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cldc.errors import StorageError, UsageError
from cldc.files import data_folder, sweep, system_temporary_folder, working_folder
from cldc.settings import SANDBOX, Options, refuse, resolve
from cldc.trust import Approvals

if TYPE_CHECKING:
    from cldc.cli.output import Output
    from cldc.codalab import CodaLab, Rest
    from cldc.competition import Competition
    from cldc.credentials import Credentials, Source
    from cldc.environments import Environment
    from cldc.progress import Observer
    from cldc.render.blocks import Block
    from cldc.settings import ProjectFile, Settings
    from cldc.trust import Approval, Claim

USER_FILE = "cldc.toml"
# Somebody was asked, and said no.
REFUSED = 1
C = TypeVar("C", bound=contextlib.AbstractContextManager[Any])


class App:
    """One command's surroundings."""

    def __init__(self, *, flags: Options, output: Output, ask: bool) -> None:
        """``ask`` says whether questions are allowed at all; without a terminal none is ever asked."""
        self._flags = flags
        self._ask = ask
        self.output = output
        self._resources = contextlib.ExitStack()

    @property
    def observer(self) -> Observer:
        """Told of progress."""
        return self.output.observer

    @functools.cached_property
    def interactive(self) -> bool:
        """Whether a person can be asked: questions are allowed, this is a terminal, and no CI job has made it one."""
        in_ci = os.environ.get("CI", "").lower() not in ("", "0", "false")
        return self._ask and not in_ci and sys.stdin.isatty() and sys.stderr.isatty()

    @functools.cached_property
    def home(self) -> Path:
        """The data folder. What killed commands left in the system's temporary folder is removed on the way."""
        with contextlib.suppress(StorageError):
            sweep(system_temporary_folder(), "cldc-")
        return data_folder(self.observer)

    @functools.cached_property
    def settings(self) -> Settings:
        """Flag, environment, project file, user file, profile."""
        found = resolve(
            self._flags,
            folder=working_folder(),
            user_file=self.home / USER_FILE,
            approvals=self.approvals,
            ask=self._ask_for_approval,
        )
        for path, owner in found.ignored:
            self.observer.note(
                f"{path} is ignored: it belongs to user {owner}. `cldc trust approve {shlex.quote(str(path))}` lets it count."
            )
        return found

    @property
    def approvals(self) -> Approvals:
        """The project files and profiles that were approved on this machine."""
        return Approvals(self.home)

    def _ask_for_approval(self, project: ProjectFile, previous: Approval | None) -> None:
        """Ask the person at the terminal to approve a project file that a command needs."""
        if not self.interactive:
            refuse(project, previous)
        self.approve(project.path, project.claims, yes=False)

    def approve(self, path: Path, claims: Sequence[Claim], *, yes: bool) -> None:
        """Show what a file would use, ask the person unless the command line says ``yes``, and remember the approval.

        Raises:
            UsageError: The command line has not agreed, and nobody can be asked.
        """
        from cldc.render.blocks import Line
        from cldc.render.formats.text import plain
        from cldc.render.trust import claims_blocks

        if not yes:
            self.output.close()
            shown = [Line(f"{path} sets:"), *claims_blocks(claims, self.approvals.find(path))]
            click.echo(plain(shown), err=True)
        self.confirm("Do you trust whoever wrote this?", yes=yes, stake=f"approve {path}")
        self.approvals.approve(path, claims)

    @property
    def competition(self) -> Competition:
        """The competition chosen."""
        return self.settings.competition

    @property
    def server_status(self) -> str | None:
        """What the competition's profile says of the state of the server chosen; None where it says nothing."""
        return self.competition.status_of(self.settings.server)

    @property
    def on_sandbox(self) -> bool:
        """Whether the server chosen is this machine's sandbox."""
        return self.settings.server == SANDBOX

    @functools.cached_property
    def server(self) -> str:
        """Address of the server chosen.

        Raises:
            SandboxError: It is the sandbox, which is not up.
        """
        if self.on_sandbox:
            from cldc import sandbox

            return sandbox.require_up(self.home).address
        from cldc.address import check

        return check(self.settings.server)

    def dataset_folder(self, given: Path | None) -> Path:
        """The folder named on the command line, else the project file's.

        Raises:
            UsageError: Neither names one.
        """
        chosen = str(given) if given is not None else self.settings["dataset"]
        if chosen is None:
            raise UsageError(
                "No dataset folder is named.",
                action="Give its path, or set `dataset` in the project's cldc.toml.",
            )
        return Path(chosen)

    def confirm(self, question: str, *, yes: bool, stake: str, shown: Iterable[Block] = ()) -> None:
        """Ask before something that can't be undone. Every command that does such a thing asks here, and only here.

        Args:
            question: What the person at the terminal answers; anything but yes ends the command with nothing done.
            yes: Whether the command line has agreed already (``--yes``), so that nobody is asked.
            stake: What the command is about to do, as in "remove 3 bundles from example.org".
            shown: What that person should see before answering.

        Raises:
            UsageError: The command line has not agreed, and nobody can be asked.
        """
        if yes:
            return
        self.require_someone_to_ask(stake)
        self.output.tell(shown)
        if not click.confirm(question, err=True):
            click.echo("Nothing was changed.", err=True)
            raise click.exceptions.Exit(REFUSED)

    def require_someone_to_ask(self, stake: str) -> None:
        """Refuse early what `confirm` would refuse in the end; the arguments are the same.

        Raises:
            UsageError: Nobody can be asked.
        """
        if not self.interactive:
            raise UsageError(
                f"This would {stake}, and nobody can be asked here whether it should.",
                action="Add --yes to do it without being asked.",
            )

    # Accounts and the server -----------------------------------------------------------------------------

    @functools.cached_property
    def credentials(self) -> Credentials:
        """Who to sign in as.

        Raises:
            CredentialsError: Nobody is known and nobody can be asked.
        """
        return self.credentials_for(
            self.server,
            fallback=self._sandbox_account if self.on_sandbox else None,
            named_by=self.settings.unapproved_profile,
        )

    def credentials_for(
        self, server: str, *, fallback: Source | None = None, named_by: Path | None
    ) -> Credentials:
        """Who to sign in as on a server.

        Args:
            server: Its address.
            fallback: Where else to look, after the keyring.
            named_by: The profile that alone says that it is this server, and that nobody has approved; None otherwise.

        Raises:
            CredentialsError: Nobody is known and nobody can be asked.
        """
        from cldc import credentials

        return credentials.find(
            server,
            username=self.settings["account"],
            unapproved=named_by,
            fallback=fallback,
            prompt=self.ask_for_account if self.interactive else None,
            observer=self.observer,
        )

    def _sandbox_account(self, _server: str, username: str | None) -> Credentials | None:
        from cldc import sandbox
        from cldc.credentials import Credentials

        accounts = {account.name: account for account in sandbox.list_accounts(self.home)}
        account = accounts.get(username) if username else sandbox.contestant(self.home)
        return Credentials(account.name, account.password, "sandbox") if account else None

    def prompt_again(self) -> None:
        """Ask for user name and password now, whatever is remembered; the environment's come first where they may be sent."""
        from cldc import credentials

        if not os.environ.get(credentials.PASSWORD_VARIABLE) or self.settings.unapproved_profile:
            wanted = self.settings["account"]
            if wanted:
                name, password = wanted, self.ask_for_password(wanted)
            else:
                name, password = self.ask_for_account(self.server, credentials.default_account(self.server))
            self.__dict__["credentials"] = credentials.Credentials(name, password, "prompt")

    def ask_for_account(self, server: str, suggested: str | None) -> tuple[str, str]:
        """User name and password from the person at the terminal; what is typed as password is not shown."""
        self.output.close()
        wanted = self.settings["account"]
        name: str = wanted or click.prompt(f"User name on {server}", default=suggested, err=True)
        return name, self.ask_for_password(name)

    def ask_for_password(self, name: str) -> str:
        """What is typed is not shown."""
        self.output.close()
        password: str = click.prompt(f"Password of {name}", hide_input=True, err=True)
        return password

    @functools.cached_property
    def codalab(self) -> CodaLab:
        """The server as the account; CodaLab's own command line starts when the first thing is changed."""
        from cldc.codalab import CodaLab

        return self._keep(
            CodaLab(self.server, self.credentials, python=self.codalab_python, observer=self.observer)
        )

    def prestart_cl(self) -> None:
        """Start CodaLab's command line behind other work, for its imports take seconds.

        Unless it must be made first, or somebody may have to be asked who they are, by us or by their keyring. Whatever
        is wrong is told by who needs it.
        """
        from cldc.environments import ready_codalab
        from cldc.errors import CldcError

        if self.interactive and "credentials" not in self.__dict__:
            return
        with contextlib.suppress(CldcError):
            if ready_codalab(self.home):
                self.codalab.cl.start()

    def codalab_python(self) -> Path:
        from cldc.environments import ensure_codalab

        return ensure_codalab(self.home, self.observer).python

    @property
    def rest(self) -> Rest:
        """Reads the server as the account."""
        return self.codalab.rest

    @functools.cached_property
    def anonymous(self) -> Rest:
        """Reads the server as everyone."""
        from cldc.codalab import Rest

        return self._keep(Rest(self.server, observer=self.observer))

    def _keep(self, resource: C) -> C:
        """Close ``resource`` when the command ends."""
        self._resources.enter_context(resource)
        return resource

    def close(self) -> None:
        """End connections and processes, and leave the screen tidy."""
        try:
            self.output.close()
        finally:
            self._resources.close()

    # Environments ----------------------------------------------------------------------------------------

    def tensorflow(self) -> Environment:
        """The competition's TensorFlow, made on first use."""
        from cldc.environments import ensure_tensorflow

        return ensure_tensorflow(self.competition.training.tensorflow, self.home, self.observer)
