"""Write the reference pages of the documentation from the program itself: `make reference`.

They are in docs/reference, so that links to them also work where the repository is read; a test holds them to the program.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

# MkDocs loads this file by its path; the program is the one beside it.
sys.path.insert(0, str(Path(__file__).parents[1]))

from cldc import __main__ as entry
from cldc import competition, errors, settings
from cldc.cli import COMMANDS, cli
from cldc.render.formats import ALWAYS


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files of the repository, which are no pages, as the files' names."""
    return re.sub(
        r"\[([^]]+)\]\((?:\.\./)+((?:benchmarks|templates|tests|cldc)/[^)]*)\)", r"\1 (`\2`)", markdown
    )


# Options that most commands have, described once.
_COMMON = ("competition", "server", "account", "form", "reports", "quiet", "verbose", "no_input")


def commands() -> str:
    """Every command with its arguments and options, as `--help` describes them."""
    parts = ["# Commands\n\nMade from the program; `cldc COMMAND --help` shows the same.\n"]
    parts.append("Without a command, `cldc` shows the state of your project and the next step.\n")
    context = click.Context(cli, info_name="cldc")
    submit = cli.get_command(context, "submit")
    assert submit is not None  # noqa: S101 - it has all of them
    parts.append("## Options of most commands\n")
    parts += _options([p for p in submit.params if p.name in _COMMON], context)
    parts.append("Some commands have further formats, named in their sections.\n")
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            parts += _command(command, context, name, level=2)
    return "\n".join(parts)


def _command(command: click.Command, parent: click.Context, name: str, level: int) -> Iterator[str]:
    context = click.Context(command, info_name=name, parent=parent)
    usage = command.get_usage(context).removeprefix("Usage: ")
    yield f"{'#' * level} {context.command_path}\n"
    yield f"```bash\n{' '.join(usage.split())}\n```\n"
    yield _text(command.help or "") + "\n"
    yield from _options([p for p in command.params if p.name not in _COMMON], context)
    common = {p.name: p for p in command.params if p.name in _COMMON}
    if common:
        missing = [f"`--{name}`" for name in _COMMON if name not in common]
        but = f", without {', '.join(missing)}" if missing else ""
        formats = [form for form in getattr(common["form"].type, "choices", ()) if form not in ALWAYS]
        more = f" Further formats: {', '.join(f'`{form}`' for form in formats)}." if formats else ""
        yield f"And the [options of most commands](#options-of-most-commands){but}.{more}\n"
    if isinstance(command, click.Group):
        for inner in command.commands:
            yield from _command(command.commands[inner], context, inner, level + 1)


def _options(parameters: list[click.Parameter], context: click.Context) -> Iterator[str]:
    rows = [record for p in parameters if (record := p.get_help_record(context)) and record[1]]
    if rows:
        yield "| option | what it does |\n|---|---|"
        yield from (f"| <code>{_cell(option)}</code> | {_cell(text)} |" for option, text in rows)
        yield ""


def _text(text: str) -> str:
    """Help text as Markdown: what `\\b` keeps as it stands becomes a code block."""
    parts = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept = paragraph.startswith("\b")
        body = paragraph.removeprefix("\b").strip("\n")
        parts.append(f"```text\n{body}\n```" if kept else body)
    return "\n\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "&#124;")


def setting_names() -> str:
    """Every setting, where it can be said, and what it is."""
    meanings = _attributes(settings.Options)
    rows = [f"| `{name}` | `CLDC_{name.upper()}` | {meanings[name]} |" for name in settings.NAMES]
    return "\n".join(
        [
            "# Settings\n",
            "Each comes from the first of: option, environment variable, the nearest `cldc.toml` from the working folder",
            "upwards, the user's `cldc.toml` in the data folder, the competition's profile. Unknown keys are refused.\n",
            "| `cldc.toml` | environment | what it is |",
            "|---|---|---|",
            *rows,
            "",
            "`server`, `script`, `label_book`, a `competition` that is a path, and a `dataset` outside the project count in a project's",
            "`cldc.toml` only once you have [approved them](../tasks/trust.md).\n",
            "`CODALAB_USERNAME` and `CODALAB_PASSWORD` hold the account where there is no keyring. `CLDC_HOME` moves the data",
            "folder. `NO_COLOR` turns colours off, `CLDC_PLAIN=1` everything that is drawn: screen readers get plain lines.",
            "",
        ]
    )


def profile() -> str:
    """Every key of a competition's profile."""
    parts = [
        "# Profiles\n",
        "A profile says everything about a competition. `templates/competitions/` has those that come with cldc; extend one with",
        '`extends = "data-centric-2021"`, or copy it, and name yours with `--competition`. Unknown keys are refused, with the',
        "nearest known one. [Describe another competition](../tasks/competition.md) shows how.\n",
    ]
    parts += _tables(competition.Competition, "")
    parts += _table(competition.Reference, "A bundle or a worksheet")
    return "\n".join(parts) + "\n"


def _tables(cls: type, at: str) -> Iterator[str]:
    """A table of a profile, then the tables in it."""
    yield from _table(cls, f"`{at}`" if at else "Top level")
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        nested = _nested(hints[field.name])
        if nested is not None and nested is not competition.Reference:
            yield from _tables(nested, f"{at}.{field.name}" if at else field.name)


def _table(cls: type, heading: str) -> Iterator[str]:
    hints, meanings = typing.get_type_hints(cls), _attributes(cls)
    head = inspect.cleandoc(cls.__doc__ or "").split("\n\nAttributes:")[0]
    yield f"\n## {heading}\n\n{_code(head)}\n"
    yield "| key | type | default | what it is |\n|---|---|---|---|"
    for field in dataclasses.fields(cls):
        if cls is not competition.Competition or field.name not in competition.NOT_KEYS:
            meaning = _cell(meanings[field.name])
            yield f"| `{field.name}` | {_type(hints[field.name])} | {_default(field)} | {meaning} |"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING:
        return "required"
    return "none" if field.default in (None, ()) else f"`{field.default!r}`"


def _nested(hint: Any) -> type | None:
    """The dataclass in a type, if there is one."""
    return next(
        (h for h in (hint, *typing.get_args(hint)) if isinstance(h, type) and dataclasses.is_dataclass(h)),
        None,
    )


def _type(hint: Any) -> str:
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    if typing.get_origin(hint) is typing.Literal:
        return " or ".join(f'`"{a}"`' for a in args)
    if typing.get_origin(hint) is tuple:
        return f"list of {names.get(args[0], 'tables')}"
    nested = _nested(hint)
    if nested is competition.Reference:
        return "[bundle or worksheet](#a-bundle-or-a-worksheet)"
    return "table" if nested else names.get(args[0] if args else hint, "date and time")


def _attributes(cls: type) -> dict[str, str]:
    """What a docstring says of each attribute."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", text, re.MULTILINE)
    return {name: _code(" ".join(words.split())) for name, words in found}


def _code(text: str) -> str:
    return text.replace("``", "`")


def exit_codes() -> str:
    """Every exit code."""
    kinds = {
        c.code: inspect.cleandoc(c.__doc__ or "")
        for c in vars(errors).values()
        if isinstance(c, type) and issubclass(c, errors.CldcError)
    }
    kinds |= {
        0: "Done.",
        1: "An error that fits none of these; `cldc doctor` uses it where something is wrong.",
        entry.BUG: "A bug in cldc; a log file says more, and the message says where it is.",
        129: "The terminal was closed (SIGHUP).",
        entry.INTERRUPTED: "Interrupted (Ctrl-C).",
        entry.TERMINATED: "Stopped (SIGTERM).",
    }
    rows = [f"| {code} | {_cell(text)} | {_more(code)} |" for code, text in sorted(kinds.items())]
    return "\n".join(["# Exit codes\n", "| code | meaning | more |", "|---|---|---|", *rows, ""])


def _more(code: int) -> str:
    return f"[what to do](../troubleshooting.md#exit-code-{code})" if code else ""


PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "settings": setting_names,
    "profile": profile,
    "exit-codes": exit_codes,
}


FOLDER = Path(__file__).parents[1] / "docs" / "reference"

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / f"{name}.md").write_text(page(), encoding="utf-8")
