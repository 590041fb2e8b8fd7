"""`cldc` alone: the project's state and the next sensible command, without contacting a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cldc import credentials, sandbox
from cldc.cli.app import shown_path
from cldc.cli.output import Output
from cldc.cli.server import ServerApp
from cldc.errors import CldcError
from cldc.ledger import FILE, TAG, BoardResult, Ledger
from cldc.preflight.model import PreflightResult
from cldc.preflight.records import find
from cldc.render.blocks import Block, Line, Table
from cldc.render.document import Document
from cldc.settings import NAMES, Options
from cldc.submission.status import successors
from cldc.text import printable
from cldc.validation import ValidationReport, validate

_SANDBOX_UP = ("cldc sandbox up", "It starts the CodaLab of this machine, to rehearse on.")


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
    """Check each stage from the folder to the board, up to the first that is missing."""
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
        facts.append(("dataset", f"{folder} does not exist"))
        way = (
            f"cldc sample {shown_path(Path(folder))}",
            "It draws images to try with; or put your own images there.",
        )
        return Overview(tuple(facts), way)
    report = _report(app, Path(folder))
    facts.append(("dataset", _dataset_fact(report)))
    if not report.ok:
        way = (
            f"cldc validate {shown_path(Path(folder))}",
            "It shows what is wrong with each image, and what to do.",
        )
        return Overview(tuple(facts), way)
    result = _preflight(app, report)
    submissions = _submissions(app)
    facts.append(("preflight", _preflight_fact(result)))
    facts.append(("submissions", _submissions_fact(submissions)))
    return Overview(tuple(facts), _next(app, report, result, submissions))


def _report(app: ServerApp, folder: Path) -> ValidationReport:
    """Validate what changed since the last check, without TensorFlow."""
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
    except CldcError:  # the sandbox is not up, or the address is invalid
        server = None
    return find(app.home, dataset=report.dataset.hash, competition=app.competition, server=server)


def _preflight_fact(result: PreflightResult | None) -> str:
    if result is None or result.label_book is None:
        return "none for these images yet"
    return f"validation {result.validation.accuracy:.1%}, label book {result.label_book.accuracy:.1%}"


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A submission as far as this machine knows: the score is the one that a board showed last."""

    name: str
    dataset_hash: str
    tagged: bool
    counts: bool
    result: BoardResult | None


def _submissions(app: ServerApp) -> list[_Submitted]:
    """This competition's submissions, the oldest first."""
    if not (app.home / FILE).exists():
        return []
    with Ledger(app.home, reading=True) as ledger:
        every = ledger.submissions(competition=app.competition.name)
        results = {result.bundle: result for result in ledger.board_results(app.competition.name)}
    replaced = successors(every, app.competition)
    return [
        _Submitted(
            known.record.name,
            known.record.dataset_hash,
            known.tagged is not None,
            known.carries_tag and known.record.id not in replaced,
            results.get(known.uuid(TAG)),
        )
        for known in every
    ]


def _submissions_fact(submissions: Sequence[_Submitted]) -> str:
    if not submissions:
        return "none yet"
    tagged, last = sum(each.tagged for each in submissions), submissions[-1]
    counting = next((each for each in reversed(submissions) if each.counts), None)
    said = f"{tagged} submitted"
    if not last.tagged:
        said += f"; {last.name} is not finished"
    if counting is not None:
        said += f"; {counting.name} counts, {_scored(counting)}"
    return said


def _scored(submission: _Submitted) -> str:
    result = submission.result
    if result is None or result.score is None:
        return "no score seen yet"
    return f"scored {result.score:.4f}" + (
        f", rank {result.rank} of {result.entries}" if result.rank is not None else ""
    )


def _next(
    app: ServerApp,
    report: ValidationReport,
    result: PreflightResult | None,
    submissions: Sequence[_Submitted],
) -> tuple[str, str]:
    of_this = [each for each in submissions if each.dataset_hash == report.dataset.hash]
    if any(each.tagged for each in of_this):
        return _after_the_tag(app, of_this)
    if of_this:
        return ("cldc submit", "It continues the submission that was begun.")
    if result is None:
        return ("cldc preflight", "It trains here as the competition does, and spends no submission.")
    if app.on_sandbox and not _sandbox_up(app):
        return _SANDBOX_UP
    if _account(app) is None:
        return ("cldc login", "It checks your account against the server and keeps it in the keyring.")
    return (
        "cldc submit --dry-run",
        "It shows the plan and changes nothing; without --dry-run it submits.",
    )


def _after_the_tag(app: ServerApp, submissions: Sequence[_Submitted]) -> tuple[str, str]:
    """What to do about a dataset that is submitted."""
    if any(each.result is not None and each.result.score is not None for each in submissions):
        return (
            "cldc review",
            "This dataset has its score: look for labels that are wrong, and submit a better one.",
        )
    if not app.on_sandbox:
        return ("cldc status", "This dataset is submitted; the command shows its progress.")
    if not _sandbox_up(app):
        return _SANDBOX_UP
    return ("cldc sandbox score", "This dataset is submitted; the sandbox's scoring daemon scores it.")


def _sandbox_up(app: ServerApp) -> bool:
    try:
        return sandbox.status(app.home) is not None
    except CldcError:
        return False
