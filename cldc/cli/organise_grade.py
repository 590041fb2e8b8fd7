"""`cldc organise grade`."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from cldc.cli.options import EXISTING_FILE, EXISTING_FOLDER, TARGET_FOLDER, command
from cldc.cli.server_app import ServerApp
from cldc.cli.training import DASK, tensorflow, train
from cldc.cli.validating import validated
from cldc.errors import UsageError
from cldc.files import replace_atomically, storage_errors
from cldc.grading.grader import Grader
from cldc.grading.handed_in import list_handed_in
from cldc.grading.known_test_sets import remember_test_set
from cldc.grading.model import Grading
from cldc.organise.scripts import evaluation_script
from cldc.preflight.inputs import (
    builtin_script,
    downloaded_script,
    given_script,
    read_label_book,
)
from cldc.progress import SILENT
from cldc.render.board import board_page
from cldc.render.formats import render
from cldc.render.grading import board_of, grades_document, student_page
from cldc.render.html import render_page


@command(ServerApp, formats=("csv",))
@click.argument("folder", type=EXISTING_FOLDER)
@click.option(
    "--test-set",
    type=EXISTING_FOLDER,
    required=True,
    help="The hidden test set, with one folder for each class.",
)
@click.option(
    "--into",
    type=TARGET_FOLDER,
    default="grades",
    show_default=True,
    help="Folder to write grades, board and reports to.",
)
@click.option(
    "--starting-dataset",
    type=EXISTING_FOLDER,
    help="The dataset that everyone started from; sharing its images does not count as copying.",
)
@click.option(
    "--script", type=click.Path(), help="The training script; by default the competition's, or our own."
)
@click.option(
    "--evaluate", type=EXISTING_FILE, help="The evaluation script; by default the profile's, or our own."
)
@DASK
def grade(
    app: ServerApp,
    *,
    folder: Path,
    test_set: Path,
    into: Path,
    starting_dataset: Path | None,
    evaluate: Path | None,
    dask: str | None,
) -> None:
    """Grade what a class handed in, without a server.

    FOLDER holds one zip, folder or git checkout for each student, named after the student. Each dataset is validated, trained as
    the competition trains it, with the hidden test set instead of the label book, and scored by the evaluation script. As many
    are trained at once as processors and memory allow, with the same results as one by one. What can't be used gets one line and
    does not stop the others. Run it again after a crash, or when more is handed in: what is trained already is not trained again.

    Writes grades.csv, grades.json, index.html (the board) and students/NAME.html (a report for each).

    \b
    Examples:
      cldc organise grade hand-in --test-set hidden
      cldc organise grade hand-in --test-set hidden --starting-dataset data --into term-1 --competition class.toml
    """
    grader = _grader(app, test_set, evaluate, starting_dataset, dask)
    entries = list_handed_in(folder)
    if not entries:
        raise UsageError(
            f"{folder} contains no submissions.", action="It should hold a zip or a folder for each student."
        )
    remember_test_set(app.home, grader.test_set.hash)
    grading = grader.grade(entries)
    app.output.show(grades_document(grading, _written(grading, into)))


def _grader(
    app: ServerApp, test_set: Path, evaluate: Path | None, starting_dataset: Path | None, dask: str | None
) -> Grader:
    competition, named = app.competition, app.settings["script"]
    competition.require_organiser()  # now, not when everything is trained
    if named is not None:
        script = given_script(Path(named))
    else:
        script = downloaded_script(app.home, competition) or builtin_script(competition)
    validate = functools.partial(validated, app, observer=SILENT)
    given = validate(starting_dataset).dataset.images if starting_dataset else ()
    return Grader(
        competition=competition,
        test_set=read_label_book(test_set, competition),
        script=script,
        evaluate=evaluate or evaluation_script(competition, app.home / "grading"),
        given=frozenset(image.sha256 for image in given),
        home=app.home,
        observer=app.observer,
        validate=validate,
        train=functools.partial(train, app, dask=dask),
        environment=functools.partial(tensorflow, app),
    )


def _written(grading: Grading, folder: Path) -> list[str]:
    """Write everything into ``folder``, over what an earlier grading left, and return the paths."""
    document = grades_document(grading, ())
    board = board_page(board_of(grading), title=grading.competition, by_student=True)
    files = {
        folder / "grades.csv": render("csv", document),
        folder / "grades.json": render("json", document),
        folder / "index.html": render_page(board),
    }
    students = folder / "students"
    for grade in grading.grades:
        files[students / f"{grade.student}.html"] = render_page(student_page(grade, grading))
    with storage_errors(students):
        students.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        replace_atomically(path, text)
    shown = [str(path) for path in files if path.parent == folder]
    return [*shown, str(students)]
