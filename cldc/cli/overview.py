"""`cldc` alone: where the project stands, and the next sensible command. Nothing is asked of a server."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from cldc import credentials, sandbox
from cldc.cli.output import Output
from cldc.cli.server import ServerApp
from cldc.errors import CldcError
from cldc.files import working_folder
from cldc.ledger import FILE, Ledger, Record
from cldc.preflight.model import PreflightResult
from cldc.preflight.records import find
from cldc.render.blocks import Block, Line, Table
from cldc.render.document import Document
from cldc.settings import NAMES, Options
from cldc.text import printable
from cldc.validation import ValidationReport, validate


@dataclass(frozen=True, slots=True)
class Overview:
    """What is known on this machine.

    Attributes:
        facts: What was looked at, and how it is.
        next: The command to give next, and why.
    """

    facts: tuple[tuple[str, str], ...]
    next: tuple[str, str]


def run(context: click.Context) -> None:
    """What `cldc` without a command does."""
    app = ServerApp(flags=Options(), output=Output(), ask=False)
    context.call_on_close(app.close)
    _show(app)


def _show(app: ServerApp) -> None:
    seen = look(app)
    blocks: list[Block] = [
        *_title(app),
        Table(("", ""), seen.facts),
        Line(f"Next: {seen.next[0]}", "good"),
        Line(f"  {seen.next[1]}"),
        Line("`cldc --help` lists all commands.", "dim"),
    ]
    app.output.show(Document(seen, blocks))


def _title(app: ServerApp) -> list[Line]:
    return [] if app.settings.withheld("competition") else [Line(app.competition.title, "title")]


def look(app: ServerApp) -> Overview:
    """Go the way from the folder to the board up to what is missing."""
    settings = app.settings
    project = settings.project
    facts = [("project", str(project.path) if project else "no cldc.toml here or above")]
    if any(settings.withheld(name) for name in NAMES):
        way = (
            "cldc trust",
            "It shows what the project's cldc.toml would use, and approves it if you trust it.",
        )
        return Overview((*facts, ("approved", "no")), way)
    folder = app.settings["dataset"]
    if folder is None:
        way = ("cldc init", "It asks four questions and writes the project's cldc.toml.")
        return Overview((*facts, _account_fact(app)), way)
    facts.append(_account_fact(app))
    if not Path(folder).is_dir():
        facts.append(("dataset", f"{folder} is not there"))
        way = (f"cldc sample {_short(folder)}", "It draws images to try with; or put your own images there.")
        return Overview(tuple(facts), way)
    report = _report(app, Path(folder))
    facts.append(("dataset", _dataset_fact(report)))
    if not report.ok:
        way = (f"cldc validate {_short(folder)}", "It tells what is wrong with each image, and what to do.")
        return Overview(tuple(facts), way)
    result = _preflight(app, report)
    submissions = tuple(_submissions(app))
    facts.append(("preflight", _preflight_fact(result)))
    facts.append(("submissions", _submissions_fact(submissions)))
    return Overview(tuple(facts), _next(app, report, result, submissions))


def _short(folder: str) -> str:
    """As one would type it from here."""
    with contextlib.suppress(ValueError):
        folder = Path(folder).absolute().relative_to(working_folder()).as_posix()
    return shlex.quote(folder)


def _report(app: ServerApp, folder: Path) -> ValidationReport:
    """Only what changed since the last check is read; TensorFlow is not asked here."""
    return validate(folder, app.competition, app.observer, cache_folder=app.home)


def _dataset_fact(report: ValidationReport) -> str:
    errors = sum(finding.severity.value == "error" for finding in report.findings)
    verdict = "valid" if report.ok else f"{errors} error{'' if errors == 1 else 's'}"
    return f"{printable(report.dataset.name)}, {report.total:,} images, {verdict}"


def _account_fact(app: ServerApp) -> tuple[str, str]:
    return ("account", _account(app) or f"none signed in, on {app.settings.server}")


def _account(app: ServerApp) -> str | None:
    if app.on_sandbox:
        return "the sandbox's contestant"
    name = app.settings["account"] or os.environ.get(credentials.USERNAME_VARIABLE)
    name = name or credentials.default_account(app.settings.server)
    return f"{name} on {app.settings.server}" if name else None


def _preflight(app: ServerApp, report: ValidationReport) -> PreflightResult | None:
    try:
        server = app.server
    except CldcError:  # the sandbox is not up, or the address is none
        server = None
    return find(app.home, dataset=report.dataset.hash, competition=app.competition, server=server)


def _preflight_fact(result: PreflightResult | None) -> str:
    if result is None or result.label_book is None:
        return "none of this dataset as it is"
    return f"validation {result.validation.accuracy:.1%}, label book {result.label_book.accuracy:.1%}"


def _submissions(app: ServerApp) -> Iterator[tuple[Record, bool]]:
    """This competition's submissions, and whether each carries the tag."""
    if not (app.home / FILE).exists():
        return
    with Ledger(app.home, reading=True) as ledger:
        for known in ledger.submissions(competition=app.competition.name):
            yield known.record, known.tagged is not None


def _submissions_fact(submissions: tuple[tuple[Record, bool], ...]) -> str:
    if not submissions:
        return "none from this machine"
    tagged = sum(done for _, done in submissions)
    record, done = submissions[-1]
    return f"{tagged} submitted; the last is {record.name}" + ("" if done else ", which is not finished")


def _next(
    app: ServerApp,
    report: ValidationReport,
    result: PreflightResult | None,
    submissions: tuple[tuple[Record, bool], ...],
) -> tuple[str, str]:
    of_this = [done for record, done in submissions if record.dataset_hash == report.dataset.hash]
    if True in of_this:
        return ("cldc status", "This very dataset is submitted; status shows how far it is.")
    if False in of_this:
        return ("cldc submit", "It was begun and goes on where it stopped.")
    if result is None:
        return ("cldc preflight", "It trains as the competition does, here, and costs no quota.")
    if app.on_sandbox and not _sandbox_up(app):
        return ("cldc sandbox up", "It starts the CodaLab of this machine, to rehearse on.")
    if _account(app) is None:
        return ("cldc login", "It checks your account against the server and keeps it in the keyring.")
    return (
        "cldc submit --dry-run",
        "It shows the plan and what would be refused; without --dry-run it submits.",
    )


def _sandbox_up(app: ServerApp) -> bool:
    try:
        return sandbox.status(app.home) is not None
    except CldcError:
        return False
