"""`cldc submit`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from cldc.cli import completion
from cldc.cli.contestant import ask_for_consent, contestant, paths_in_dataset
from cldc.cli.leaderboard import board_if_any
from cldc.cli.options import FOLDER, command
from cldc.cli.server_app import ServerApp
from cldc.cli.training import LABEL_BOOK, SCRIPT, preflighted, trainings_of
from cldc.cli.validating import validated
from cldc.errors import CldcError
from cldc.ledger import Ledger
from cldc.preflight.model import Training
from cldc.preflight.predictions_file import ExpectedLabels, expected_labels
from cldc.preflight.result_store import find
from cldc.render.document import Line
from cldc.render.submission import (
    plan_blocks,
    plan_data,
    publication,
    submission_blocks,
    submission_data,
    submit_question,
)
from cldc.submission.model import Consent, Plan
from cldc.submission.plan import plan_submission
from cldc.submission.steps import submit as carry_out


@command(ServerApp)
@FOLDER
@click.option(
    "--name",
    shell_complete=completion.submissions,
    help="The submission's name on the board; by default the folder's, with a number if an entry has that already.",
)
@click.option("--institution", help="What the board shows in parentheses.")
@click.option("--link", help="A web address that the board links to.")
@SCRIPT
@LABEL_BOOK
@click.option("--no-preflight", is_flag=True, help="Submit without training here first.")
@click.option(
    "--again",
    is_flag=True,
    help="Spend another submission on a dataset that was submitted before under another name.",
)
@click.option(
    "--supersede", is_flag=True, help="Replace the entry that counts now, scored or waiting for its score."
)
@click.option(
    "--include-link",
    "links",
    multiple=True,
    metavar="PATH",
    help="Publish what this link leads to outside the dataset; a folder names the linked files in it. Repeatable.",
)
@click.option("--after-closing", is_flag=True, help="Submit although the competition is closed.")
@click.option(
    "--dry-run", is_flag=True, help="Show what would be done and what would be refused, and do nothing."
)
@click.option("-y", "--yes", is_flag=True, help="Publish and spend quota without asking.")
def submit(
    app: ServerApp,
    *,
    folder: Path | None,
    no_preflight: bool,
    again: bool,
    supersede: bool,
    links: tuple[str, ...],
    after_closing: bool,
    dry_run: bool,
    yes: bool,
) -> int:
    """Submit a dataset, exactly once.

    Validates, preflights (or finds the preflight of the same dataset), uploads, runs, makes the predictions bundle,
    makes everything readable by everyone, writes the description and sets the tag, which alone spends quota. If
    anything stops it, the same command continues where it stopped.

    \b
    Examples:
      cldc submit --dry-run
      cldc submit my-images --name first-try
      cldc submit --yes --report submission.json
    """
    report = validated(app, folder)
    app.rest.user()  # refuse a missing account or server before any work
    with Ledger(app.home, reading=dry_run) as ledger:
        me, settings = contestant(app, ledger), app.settings
        (training,) = trainings_of(app, [report])
        preflight = None
        if not no_preflight:
            # A full preflight on this server proves as much as one on this machine, which `preflighted` finds below.
            preflight = find(
                app.home,
                dataset=report.dataset.hash,
                competition=app.competition,
                script=training.script.sha256,
                label_book=training.label_book.hash,
                servers=("", app.rest.server) if dry_run else (app.rest.server,),
            )
        plan = plan_submission(
            me,
            board_if_any(app, account=app.credentials.username),
            report,
            _labels(app, training),
            consent=Consent(
                again=again,
                supersede=supersede,
                links=paths_in_dataset(report.dataset.root, links),
                after_closing=after_closing,
            ),
            preflight=preflight,
            name=settings["name"] or "",
            institution=settings["institution"] or "",
            link=settings["link"] or "",
        )
        if dry_run:
            app.show(plan_data(plan), *plan_blocks(plan))
            return plan.refusals[0].code if plan.refusals else 0
        # Everything that can be refused is refused before minutes of training.
        plan = _agreed(app, plan, yes=yes)
        if preflight is None and not no_preflight:
            preflight = preflighted(app, training)
            if preflight.dataset_changed:
                app.observer.note(
                    f"{preflight.dataset_changed} The submission uses the images as they were checked."
                )
            plan = plan.with_preflight(preflight)
        if plan.steps:
            app.confirm(
                _action(plan), yes=yes, question=submit_question(plan), shown=[*plan_blocks(plan), Line("")]
            )
            if yes:
                app.observer.note(publication(plan))
        submitted = carry_out(me, plan)
        app.show(submission_data(submitted), *submission_blocks(submitted, on_sandbox=app.on_sandbox))
    return 0


def _labels(app: ServerApp, training: Training) -> ExpectedLabels:
    """Find the labels that the run's predictions must fit; the run always uses the organisers' own files."""
    if app.settings["script"] or app.settings["label_book"]:
        with contextlib.suppress(CldcError):  # the plan says what is wrong with them
            (training,) = trainings_of(app, [training.report], organisers=True)
    return expected_labels(training.label_book, app.competition, training.script)


def _agreed(app: ServerApp, plan: Plan, *, yes: bool) -> Plan:
    """Ask for the consent that the plan needs, and return the agreed plan.

    Raises:
        CldcError: It is still refused, or cldc can't ask for consent.
    """
    wanted = app.settings["name"] or plan.record.dataset
    if plan.record.name != wanted:
        app.observer.note(
            f"{wanted} is an earlier submission of another dataset, so this one is called {plan.record.name}; "
            "--name chooses another name."
        )
    if ask_for_consent(app, plan.refusals):
        plan = plan.agreed()
    plan.require()
    if plan.steps and not yes:
        app.require_someone_to_ask(_action(plan))
    return plan


def _action(plan: Plan) -> str:
    return (
        f"publish the {plan.report.total:,} images of {plan.record.dataset} on {plan.record.server} for everyone to read, "
        "and spend a submission of the quota"
    )
