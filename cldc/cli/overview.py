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
from cldc.render.blocks import Line, Table
from cldc.settings import NAMES, Options
from cldc.submission.status import successors
from cldc.text import plural, printable
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


@dataclass(frozen=True, slots=True)
class _Submitted:
    """A submission as far as this machine knows: the score is the one that a board showed last."""

    name: str
    dataset_hash: str
    tagged: bool
    counts: bool
    result: BoardResult | None


def run(context: click.Context) -> None:
    """What `cldc` without a command does."""
    app = ServerApp(flags=Options(), output=Output(), ask=False)
    context.call_on_close(app.close)
    seen = _look(app)
    known = not app.settings.withheld("competition")
    app.show(
        seen,
        *([Line(app.competition.title, "title")] if known else []),
        Table(("", ""), seen.facts),
        Line(f"Next: {seen.next[0]}", "good"),
        Line(f"  {seen.next[1]}"),
        Line("`cldc --help` lists all commands.", "dim"),
    )


def _look(app: ServerApp) -> Overview:
    """Check each stage from the folder to the board, up to the first that is missing."""
    settings = app.settings
    project = settings.project
    facts = [("project", str(project.path) if project else "no cldc.toml here or above")]

    def then(command: str, why: str) -> Overview:
        return Overview(tuple(facts), (command, why))

    if any(settings.withheld(name) for name in NAMES):
        facts.append(("approved", "no"))
        return then(
            "cldc trust", "It shows what the project's cldc.toml would use, and approves it if you trust it."
        )
    facts.append(("account", _account(app) or f"none signed in, on {settings.server}"))
    dataset = settings["dataset"]
    if dataset is None:
        return then("cldc init", "It asks four questions and writes the project's cldc.toml.")
    folder = Path(dataset)
    if not folder.is_dir():
        facts.append(("dataset", f"{folder} does not exist"))
        return then(
            f"cldc sample {shown_path(folder)}", "It draws images to try with; or put your own images there."
        )
    # What changed since the last check is validated, without TensorFlow.
    report = validate(folder, app.competition, app.observer, cache_folder=app.home)
    errors = sum(finding.severity.value == "error" for finding in report.findings)
    verdict = "valid" if report.ok else plural(errors, "error")
    facts.append(("dataset", f"{printable(report.dataset.name)}, {report.total:,} images, {verdict}"))
    if not report.ok:
        return then(
            f"cldc validate {shown_path(folder)}", "It shows what is wrong with each image, and what to do."
        )
    preflight, submissions = _preflight(app, report), _submissions(app)
    accuracies = "none for these images yet"
    if preflight is not None and preflight.label_book is not None:
        validation, book = preflight.validation.accuracy, preflight.label_book.accuracy
        accuracies = f"validation {validation:.1%}, label book {book:.1%}"
    facts += [("preflight", accuracies), ("submissions", _told(submissions))]
    of_this = [each for each in submissions if each.dataset_hash == report.dataset.hash]
    return then(*_next(app, preflight, of_this))


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


def _told(submissions: Sequence[_Submitted]) -> str:
    """How many there are, and the score and rank of the newest that counts."""
    if not submissions:
        return "none yet"
    said = [f"{sum(each.tagged for each in submissions)} submitted"]
    if not submissions[-1].tagged:
        said.append(f"{submissions[-1].name} is not finished")
    if counting := [each for each in submissions if each.counts]:
        newest, others = counting[-1], len(counting) - 1
        result, score = newest.result, "no score seen yet"
        if result is not None and result.score is not None:
            score = f"scored {result.score:.4f}"
            if result.rank is not None:
                score += f", rank {result.rank} of {result.entries}"
        count = f"and {plural(others, 'other')} count" if others else "counts"
        said.append(f"{newest.name} {count}, {score}")
    return "; ".join(said)


def _next(
    app: ServerApp, preflight: PreflightResult | None, of_this: Sequence[_Submitted]
) -> tuple[str, str]:
    """The next command for a valid dataset, and why; ``of_this`` are its submissions."""
    if any(each.tagged for each in of_this):
        return _after_the_tag(app, of_this)
    if of_this:
        return ("cldc submit", "It continues the submission that was begun.")
    if preflight is None:
        return ("cldc preflight", "It trains here as the competition does, and spends no submission.")
    if app.on_sandbox and not _sandbox_up(app):
        return _SANDBOX_UP
    if _account(app) is None:
        return ("cldc login", "It checks your account against the server and keeps it in the keyring.")
    return ("cldc submit --dry-run", "It shows the plan and changes nothing; without --dry-run it submits.")


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
