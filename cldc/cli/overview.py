"""`cldc` alone: the project's state and the next sensible command, without contacting a server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cldc import credentials, sandbox
from cldc.cli.app import shown_path
from cldc.cli.output import Output
from cldc.cli.server_app import ServerApp
from cldc.competition import Competition
from cldc.errors import CldcError
from cldc.ledger import FILE, TAG, BoardResult, KnownSubmission, Ledger
from cldc.preflight.model import PreflightResult
from cldc.preflight.result_store import find
from cldc.render.document import Line, Table
from cldc.settings import NAMES, Options
from cldc.submission.status import successors
from cldc.text import plural
from cldc.validation import ValidationReport, validate

_SANDBOX_UP = ("cldc sandbox up", "It starts the CodaLab of this machine, to rehearse on.")


@dataclass(frozen=True, slots=True)
class Overview:
    """The project's state.

    Attributes:
        facts: Each thing that was checked, and its state.
        next: The next command, and why.
    """

    facts: tuple[tuple[str, str], ...]
    next: tuple[str, str]


def run(context: click.Context) -> None:
    """Run `cldc` without a command: show the project's state and the next step."""
    app = ServerApp(flags=Options(), output=Output(), ask=False)
    context.call_on_close(app.close)
    seen = _examine(app)
    known = not app.settings.withheld("competition")
    app.show(
        seen,
        *([Line(app.competition.title, "title")] if known else []),
        Table(("", ""), seen.facts),
        Line(f"Next: {seen.next[0]}", "good"),
        Line(f"  {seen.next[1]}"),
        Line("`cldc --help` lists all commands.", "dim"),
    )


def _examine(app: ServerApp) -> Overview:
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
    report = validate(folder, app.competition, app.observer, home=app.home)
    errors = sum(finding.severity.value == "error" for finding in report.findings)
    verdict = "valid" if report.ok else plural(errors, "error")
    facts.append(("dataset", f"{report.dataset.name}, {report.total:,} images, {verdict}"))
    if not report.ok:
        return then(
            f"cldc validate {shown_path(folder)}", "It shows what is wrong with each image, and what to do."
        )
    preflight = _preflight(app, report)
    submissions, results = _submissions(app)
    accuracies = "none for these images yet"
    if preflight is not None and preflight.label_book is not None:
        validation, book = preflight.validation.accuracy, preflight.label_book.accuracy
        accuracies = f"validation {validation:.1%}, label book {book:.1%}"
    submitted_line = _submitted_line(submissions, results, app.competition)
    facts += [("preflight", accuracies), ("submissions", submitted_line)]
    of_this = [known for known in submissions if known.record.dataset_hash == report.dataset.hash]
    return then(*_next(app, preflight, of_this, results))


def _account(app: ServerApp) -> str | None:
    if app.on_sandbox:
        return "the sandbox's contestant"
    name = app.settings["account"] or os.environ.get(credentials.USERNAME_VARIABLE)
    name = name or credentials.default_account(app.settings.server)
    return f"{name} on {app.settings.server}" if name else None


def _preflight(app: ServerApp, report: ValidationReport) -> PreflightResult | None:
    servers = [""]
    with contextlib.suppress(CldcError):  # the sandbox is not up, or the address is invalid
        servers.append(app.server)
    return find(app.home, dataset=report.dataset.hash, competition=app.competition, servers=servers)


def _submissions(app: ServerApp) -> tuple[tuple[KnownSubmission, ...], dict[str, BoardResult]]:
    """Read this competition's submissions, oldest first, and what a board last showed of each tagged bundle."""
    if not (app.home / FILE).exists():
        return (), {}
    with Ledger(app.home, reading=True) as ledger:
        results = ledger.board_results(app.competition.name)
        return ledger.submissions(competition=app.competition.name), {each.bundle: each for each in results}


def _submitted_line(
    submissions: Sequence[KnownSubmission], results: Mapping[str, BoardResult], competition: Competition
) -> str:
    """Count the submissions, and give score and rank of the newest that counts."""
    if not submissions:
        return "none yet"
    newest, replaced = submissions[-1], successors(submissions, competition)
    said = [f"{sum(known.tagged is not None for known in submissions)} submitted"]
    if newest.tagged is None:
        said.append(f"{newest.record.name} is not finished")
    elif not newest.carries_tag:
        said.append(f"{newest.record.name} is withdrawn")
    if counting := [s for s in submissions if s.carries_tag and s.record.id not in replaced]:
        result, others = results.get(counting[-1].uuid(TAG)), len(counting) - 1
        score = "no score seen yet"
        if result is not None and result.score is not None:
            score = f"scored {result.score:.4f}"
            if result.rank is not None:
                score += f", rank {result.rank} of {result.entries}"
        count = f"and {plural(others, 'other')} count" if others else "counts"
        said.append(f"{counting[-1].record.name} {count}, {score}")
    return "; ".join(said)


def _next(
    app: ServerApp,
    preflight: PreflightResult | None,
    of_this: Sequence[KnownSubmission],
    results: Mapping[str, BoardResult],
) -> tuple[str, str]:
    """Choose the next command for a valid dataset, and say why; ``of_this`` are its submissions."""
    if tagged := [known.uuid(TAG) for known in of_this if known.carries_tag]:
        return _after_the_tag(app, [results[uuid] for uuid in tagged if uuid in results])
    if of_this:
        if any(known.tagged for known in of_this):
            why = "This dataset's submission is withdrawn; the command sets its tag again."
        else:
            why = "It continues the submission that was begun."
        return ("cldc submit", why)
    if app.on_sandbox and not _sandbox_up(app):  # preflights need its label book
        return _SANDBOX_UP
    if preflight is None:
        return ("cldc preflight", "It trains here as the competition does, and spends no submission.")
    if _account(app) is None:
        return ("cldc login", "It checks your account against the server and keeps it in the keyring.")
    return ("cldc submit --dry-run", "It shows the plan and changes nothing; without --dry-run it submits.")


def _after_the_tag(app: ServerApp, results: Sequence[BoardResult]) -> tuple[str, str]:
    """Choose the next command for a submitted dataset; ``results`` are what boards last showed of it."""
    if any(result.score is not None for result in results):
        return (
            "cldc review",
            "This dataset has its score: look for labels that are wrong, and submit a better one.",
        )
    if not app.on_sandbox:
        return ("cldc status", "This dataset is submitted; the command shows its progress.")
    if not _sandbox_up(app):
        return _SANDBOX_UP
    return ("cldc sandbox score", "This dataset is submitted; run the sandbox's scoring daemon to score it.")


def _sandbox_up(app: ServerApp) -> bool:
    try:
        return sandbox.status(app.home) is not None
    except CldcError:
        return False
