"""Options that commands share, and the function that hands a command its `App`."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from cldc.cli import completing
from cldc.cli.app import App
from cldc.cli.output import Output
from cldc.errors import CldcError
from cldc.settings import Options

_SETTINGS = {f.name for f in fields(Options)}

# That it can't be read is told by who reads it, with the exit code for that.
DATASET = click.Path(path_type=Path, readable=False)

_COMPETITION = click.option(
    "--competition",
    metavar="NAME|FILE",
    shell_complete=completing.competitions,
    help="A competition by name, or its profile (a .toml file).",
)
_SERVER = click.option(
    "--server",
    metavar="URL",
    shell_complete=completing.servers,
    help="Address of a CodaLab, or `sandbox` for the one on this machine.",
)
_ACCOUNT = click.option(
    "--account",
    metavar="NAME",
    shell_complete=completing.accounts,
    help="User name there; by default the one last signed in with.",
)
_FORM_HELP = "How to tell the result; `github` also adds to a job's summary and outputs."
_SHARED = (
    click.option(
        "--format",
        "form",
        type=click.Choice(["text", "json", "github"]),
        default="text",
        help=_FORM_HELP,
    ),
    click.option("-q", "--quiet", is_flag=True, help="No progress, only the result and errors."),
    click.option("-v", "--verbose", is_flag=True, help="Tell more."),
    click.option("--no-input", is_flag=True, help="Never ask; fail where an answer is missing."),
)


def command(
    *, server: bool = False, competition: bool = True, formats: tuple[str, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the shared options, and an `App` made of them as its first argument.

    Args:
        server: Whether it talks to a CodaLab.
        competition: Whether it needs to know of a competition.
        formats: Formats besides text, JSON and GitHub's.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # What the command itself takes is its own, also where a setting has the same name.
        settings = _SETTINGS - inspect.signature(function).parameters.keys()

        @functools.wraps(function)
        def wrapper(*, form: str, quiet: bool, verbose: bool, no_input: bool, **given: Any) -> Any:
            flags = {name: given.pop(name) for name in settings & given.keys()}
            output = Output(form=form, quiet=quiet, verbose=verbose)
            app = App(flags=Options(**flags), output=output, ask=not no_input)
            click.get_current_context().call_on_close(app.close)
            try:
                return function(app, **given)
            except CldcError as error:
                _add_what_is_known(error, app)
                raise

        shared = list(_SHARED)
        if formats:
            choice = click.Choice(list(dict.fromkeys(("text", "json", "github", *formats))))
            shared[0] = click.option("--format", "form", type=choice, default="text", help=_FORM_HELP)
        if server:
            shared[:0] = (_SERVER, _ACCOUNT)
        if competition:
            shared.insert(0, _COMPETITION)
        for option in reversed(shared):
            wrapper = option(wrapper)
        return wrapper

    return decorate


def _add_what_is_known(error: CldcError, app: App) -> None:
    """Tell with a server's failure what is known of that server, so that nobody looks for the fault on this side."""
    if error.server_failed:
        with contextlib.suppress(CldcError):
            if status := app.server_status:
                error.action = f"{error.action} {status}"
