"""A command's services: settings, output, and questions at the terminal."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import click

from cldc.cli.output import Output
from cldc.competition import Competition
from cldc.errors import StorageError, UsageError
from cldc.files import data_folder, sweep, system_temporary_folder, working_folder
from cldc.progress import Observer
from cldc.render.document import Block, Document, Line, Rows
from cldc.render.formats import plain
from cldc.render.trust import claims_blocks
from cldc.settings import Options, ProjectFile, Settings, refuse, resolve
from cldc.trust import Approval, Approvals, Claim

USER_FILE = "cldc.toml"
# A person answered no.
REFUSED = 1


def shown_path(path: Path) -> str:
    """Shorten a path to what one types from the working folder."""
    with contextlib.suppress(ValueError):
        path = path.absolute().relative_to(working_folder())
    return shlex.quote(path.as_posix())


class App:
    """A command's services, each created when it is first used.

    Attributes:
        takes_server: Whether the command has the options --server and --account.
    """

    takes_server: ClassVar[bool] = False

    def __init__(self, *, flags: Options, output: Output, ask: bool) -> None:
        """Allow questions with ``ask``; without a terminal there are none."""
        self._flags = flags
        self._ask = ask
        self.output = output
        self._resources = contextlib.ExitStack()  # closed when the command ends

    @property
    def observer(self) -> Observer:
        """Receives progress events."""
        return self.output.observer

    @functools.cached_property
    def interactive(self) -> bool:
        """Whether questions are allowed and there is a terminal to ask on, other than a CI job's."""
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
        """Resolve the settings from flags, environment, project file, user file and profile, in that order."""
        found = resolve(
            self._flags,
            folder=working_folder(),
            user_file=self.home / USER_FILE,
            approvals=self.approvals,
            ask=self._ask_for_approval,
        )
        for path, owner in found.ignored:
            self.observer.note(
                f"{path} is ignored: it belongs to user {owner}. `cldc trust approve {shlex.quote(str(path))}` accepts it."
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
        """Show what a file would use, ask the person unless the command line says ``yes``, and record the approval.

        Raises:
            UsageError: The command line has not agreed, and cldc can't ask.
        """
        if not yes:
            self.output.close()
            shown = [Line(f"{path} sets:"), *claims_blocks(claims, self.approvals.find(path))]
            click.echo(plain(shown), err=True)
        self.confirm(f"approve {path}", yes=yes, question="Do you trust whoever wrote this?")
        self.approvals.approve(path, claims)

    @property
    def competition(self) -> Competition:
        """The chosen competition."""
        return self.settings.competition

    @property
    def server_status(self) -> str | None:
        """Return the profile's note on the state of the chosen server; None if it has none."""
        return self.competition.status_of(self.settings.server)

    def dataset_folder(self, folder: Path | None) -> Path:
        """Return the folder named on the command line, or the project file's.

        Raises:
            UsageError: Neither names one.
        """
        if folder is not None:
            return folder
        setting = self.settings["dataset"]
        if setting is None:
            raise UsageError(
                "No dataset folder is named.",
                action="Give its path, or set `dataset` in the project's cldc.toml.",
            )
        return Path(setting)

    def command_for(self, command: str, folder: Path | None = None) -> str:
        """Build the command line that runs ``command`` on a dataset, with its folder unless that is the project's.

        Args:
            command: As "cldc submit".
            folder: The dataset; None stands for any.
        """
        project = self.settings.offered("dataset")
        if project is not None and (folder is None or folder.absolute() == Path(project).absolute()):
            return command
        return f"{command} {'DIR' if folder is None else shown_path(folder)}"

    def ask(self, text: str, default: str | None = None, *, hidden: bool = False) -> str:
        """Ask at the terminal and return the answer; ``hidden`` keeps it off the screen.

        Raises:
            UsageError: The answer is not UTF-8 text.
        """
        self.output.close()
        try:
            answer: str = click.prompt(
                text, default=default, hide_input=hidden, err=True, show_default=bool(default)
            )
            answer.encode()
        except UnicodeError as error:
            raise UsageError(
                "The answer is not UTF-8 text.", action="Use a terminal whose encoding is UTF-8."
            ) from error
        return answer

    def confirm(self, action: str, *, yes: bool, question: str = "", shown: Iterable[Block] = ()) -> None:
        """Ask before something that can't be undone. Commands ask here and nowhere else.

        Any answer but yes ends the command with nothing changed.

        Args:
            action: What the command is about to do, such as "remove 3 bundles from example.org".
            yes: Whether the command line has already agreed (``--yes``).
            question: What to ask; by default whether to do it.
            shown: What to show before the question.

        Raises:
            UsageError: The command line has not agreed, and cldc can't ask.
        """
        if yes:
            return
        self.require_someone_to_ask(action)
        self.output.tell(shown)
        if not click.confirm(question or f"{action[0].upper()}{action[1:]}?", err=True):
            click.echo("Nothing was changed.", err=True)
            raise click.exceptions.Exit(REFUSED)

    def require_someone_to_ask(self, action: str) -> None:
        """Refuse now if `confirm` would have to refuse later; takes the same ``action``.

        Raises:
            UsageError: cldc can't ask.
        """
        if not self.interactive:
            raise UsageError(
                f"This would {action}, but cldc can't ask you to confirm it here.",
                action="Add --yes to confirm it in advance.",
            )

    def show(
        self,
        data: object,
        *blocks: Block,
        rows: Rows | None = None,
    ) -> None:
        """Show a command's result.

        Args:
            data: The result for programs, as JSON.
            blocks: The same for people, as lines and tables.
            rows: The same for a spreadsheet, if the command has the format ``csv``.
        """
        self.output.show(Document(data, blocks, rows=rows))

    def close(self) -> None:
        """End connections and processes, and leave the screen tidy."""
        try:
            self.output.close()
        finally:
            self._resources.close()
