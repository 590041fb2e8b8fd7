"""`command` makes a function a command; and the options that commands share."""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from cldc.cli import completion
from cldc.cli.app import App
from cldc.cli.output import Output, Report
from cldc.errors import CldcError, StorageError, UsageError
from cldc.render.formats import ALWAYS, EXTENSIONS, format_of
from cldc.settings import Options

_SETTINGS = {f.name for f in fields(Options)}

# The code that reads it reports an unreadable folder, with its own exit code.
DATASET = click.Path(path_type=Path, readable=False)
FOLDER = click.argument("folder", type=DATASET, required=False)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
TARGET_FOLDER = click.Path(file_okay=False, path_type=Path)
YES = click.option("-y", "--yes", is_flag=True, help="Do not ask.")

_COMPETITION = click.Option(
    ["--competition"],
    metavar="NAME|FILE",
    shell_complete=completion.competitions,
    help="A competition by name, or its profile (a .toml file).",
)
_SERVER = click.Option(
    ["--server"],
    metavar="URL",
    shell_complete=completion.servers,
    help="Address of a CodaLab, or `sandbox` for the one on this machine.",
)
_ACCOUNT = click.Option(
    ["--account"],
    metavar="NAME",
    shell_complete=completion.accounts,
    help="User name there; by default the one last signed in with.",
)
_SHARED = (
    click.Option(["-q", "--quiet"], is_flag=True, help="No progress, only the result and errors."),
    click.Option(["-v", "--verbose"], is_flag=True, help="Show more detail."),
    click.Option(["--no-input"], is_flag=True, help="Never ask; fail if an answer is missing."),
)


class NumberRange(click.FloatRange):
    """A range of numbers, and not NaN, which Click's own range lets pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse ``nan`` as well."""
        if math.isnan(number := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


SECONDS_OF_A_YEAR = 366 * 86_400.0


def _as_reports(
    formats: tuple[str, ...], context: click.Context, parameter: click.Parameter, paths: tuple[Path, ...]
) -> tuple[Report, ...]:
    """Find each file's format by its extension; a page needs none."""
    reports = []
    for path in paths:
        form = format_of(path, formats)
        if form is None and not path.suffix and "html" in formats:
            form = "html"
        if form is None:
            known = ", ".join(_usual(formats))
            raise click.BadParameter(f"{path} has none of the extensions {known}.", context, parameter)
        reports.append(Report(path, form))
    return tuple(reports)


def _usual(formats: tuple[str, ...]) -> list[str]:
    """Find the usual extension of each of these formats that files can have."""
    return [EXTENSIONS[form][0] for form in EXTENSIONS if form in formats and EXTENSIONS[form]]


def _format_options(formats: tuple[str, ...]) -> tuple[click.Option, ...]:
    """Create the options for the formats of standard output and of files."""
    known = (*ALWAYS, *formats)
    return (
        click.Option(
            ["--format", "form"],
            type=click.Choice(known),
            default="text",
            help="How to print the result; `github` also adds to a job's summary and outputs.",
        ),
        click.Option(
            ["--report", "reports"],
            type=click.Path(path_type=Path),
            callback=functools.partial(_as_reports, known),
            metavar="FILE",
            multiple=True,
            help=f"Also write the result to this file, as its extension says: {', '.join(_usual(known))}. "
            "Repeatable.",
        ),
    )


def refuse_combined(options: Mapping[str, object]) -> None:
    """Refuse given options that exclude each other."""
    given = [name for name, value in options.items() if value]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} can't be combined.", action="Leave one of them out.")


def _require_writable(reports: Iterable[Report]) -> None:
    """Refuse a report that can't be written before the work starts."""
    for report in reports:
        folder = report.path.absolute().parent
        why = ""
        if not folder.is_dir():
            why = f"the folder {folder} does not exist"
        elif report.path.is_dir():
            why = "it is a folder"
        elif not os.access(folder, os.W_OK | os.X_OK):
            why = f"the folder {folder} is not writable for you"
        if why:
            raise StorageError(
                f"The report {report.path} can't be written: {why}.",
                action="Name another file with --report.",
            )


class CommandGroup(click.Group):
    """A group whose help shows the first sentence about each command in full; Click cuts it to one line."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the first sentence of its help."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, self.commands[name].get_short_help_str(sys.maxsize))
                    for name in self.list_commands(ctx)
                ]
            )


def group(function: Callable[[], None]) -> CommandGroup:
    """Create a group of commands; on its own it shows its help."""

    @click.group(cls=CommandGroup, invoke_without_command=True)
    @click.pass_context
    @functools.wraps(function)
    def help_alone(context: click.Context) -> None:
        if context.invoked_subcommand is None:
            click.echo(context.get_help())

    return help_alone


def command(
    services: type[App], *, competition: bool = True, formats: tuple[str, ...] = (), **attributes: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a command, with the services that it works with as its first argument.

    It has the shared options besides its own. One with the name of a setting, such as --script, sets that setting for this run
    (`app.settings`) and is not passed on, unless the function has a parameter of that name.

    Args:
        services: The class of its services: `App`, or `ServerApp` if it talks to a server.
        competition: Whether it needs to know of a competition.
        formats: Formats of its result besides the usual ones.
        attributes: As for `click.command`; ``group`` is the group that it belongs to.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        settings = _SETTINGS - inspect.signature(function).parameters.keys()

        @functools.wraps(function)
        def run(
            *,
            form: str,
            reports: tuple[Report, ...],
            quiet: bool,
            verbose: bool,
            no_input: bool,
            **given: Any,
        ) -> Any:
            flags = {name: given.pop(name) for name in settings & given.keys()}
            _require_writable(reports)
            output = Output(form=form, reports=reports, quiet=quiet, verbose=verbose)
            app = services(flags=Options(**flags), output=output, ask=not no_input)
            click.get_current_context().call_on_close(app.close)
            try:
                return function(app, **given)
            except BaseException as error:
                output.close(done=isinstance(error, click.exceptions.Exit))
                if isinstance(error, CldcError) and error.server_failed:
                    # What is known of the server, so that people don't search for the fault locally.
                    with contextlib.suppress(CldcError):
                        error.action = " ".join(filter(None, (error.action, app.server_status)))
                raise

        group: click.Group | None = attributes.pop("group", None)
        made = click.command(**attributes)(run)
        if competition:
            made.params.append(_COMPETITION)
        if services.takes_server:
            made.params += (_SERVER, _ACCOUNT)
        made.params += (*_format_options(formats), *_SHARED)
        if group is not None:
            group.add_command(made)
        return made

    return decorate
