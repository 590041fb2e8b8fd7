"""`cldc organise grade`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import click

from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.cli.tensorflow import tensorflow
from cldc.cli.trainings import DASK, trainer
from cldc.cli.validating import validated
from cldc.errors import CldcError, InvalidDataset, PreflightFailed, StorageError, UsageError
from cldc.files import DiskFull, replace_atomically, storage_errors, temporary_folder
from cldc.grading.handed_in import find_dataset, list_handed_in
from cldc.grading.model import Grade, Grading, HandedIn
from cldc.grading.scoring import Evaluation
from cldc.grading.shared import find_shared
from cldc.grading.test_sets import remember_test_set
from cldc.organise.daemon import organiser_of
from cldc.organise.seeding import evaluation_script
from cldc.preflight.model import LabelBook, PreflightResult, Script, Training
from cldc.preflight.sources import builtin_script, given_script, read_label_book, remembered_script
from cldc.progress import SILENT
from cldc.render.board_page import board_page
from cldc.render.formats import render
from cldc.render.formats.html import render_page
from cldc.render.grades import board_of, grades_document, student_page
from cldc.trainings.many import Outcome, train_all
from cldc.validation.model import Severity

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Materials:
    """What a class is graded with."""

    test_set: LabelBook
    script: Script
    evaluate: Path | None
    given: frozenset[str]


@click.command()
@click.argument("folder", type=_FOLDER)
@click.option(
    "--test-set", type=_FOLDER, required=True, help="The hidden test set, with one folder for each class."
)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default="grades",
    show_default=True,
    help="Folder to write grades, board and reports to.",
)
@click.option(
    "--starting-dataset",
    type=_FOLDER,
    help="The dataset that everyone started from; sharing its images does not count as copying.",
)
@click.option(
    "--script", type=click.Path(), help="The training script; by default the competition's, or our own."
)
@click.option("--evaluate", type=_FILE, help="The evaluation script; by default the profile's, or our own.")
@DASK
@command(ServerApp, formats=("csv",))
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
    the competition trains it, with the hidden test set in place of the label book, and scored by the evaluation script. As many
    are trained at once as processors and memory allow, each with the numbers it has alone. What can't be used gets one line and
    stops nobody else. Run it again after a crash, or when more is handed in: what is trained already is not trained again.

    Writes grades.csv, grades.json, index.html (the board) and students/NAME.html (a report for each).

    \b
    Examples:
      cldc organise grade hand-in --test-set hidden
      cldc organise grade hand-in --test-set hidden --starting-dataset data --into term-1 --competition class.toml
    """
    competition = app.competition
    materials = _materials(app, test_set, evaluate, starting_dataset)
    entries = list_handed_in(folder)
    if not entries:
        raise UsageError(
            f"Nobody handed in anything in {folder}.", action="It should hold a zip or a folder for each."
        )
    remember_test_set(app.home, materials.test_set.hash)
    with temporary_folder("cldc-grading-") as work:
        grades = _checked(app, entries, work)
        outcomes, version = _trained(app, grades, materials, dask)
        grades = _scored(app, grades, outcomes, materials, work / "evaluation")
    grading = Grading(
        competition=competition.title,
        score=organiser_of(competition).score.name,
        tensorflow=version,
        test_images=len(materials.test_set.images),
        graded=datetime.now(UTC),
        grades=_ranked(grades),
        shared=find_shared(_contents(grades), materials.given),
    )
    app.output.show(grades_document(grading, _written(grading, into)))


def _materials(
    app: ServerApp, test_set: Path, evaluate: Path | None, starting_dataset: Path | None
) -> _Materials:
    competition, named = app.competition, app.settings["script"]
    if named is not None:
        script = given_script(Path(named))
    else:
        script = remembered_script(app.home, competition) or builtin_script(competition)
    given: frozenset[str] = frozenset()
    if starting_dataset is not None:
        dataset = validated(app, starting_dataset, observer=SILENT).dataset
        given = frozenset(image.sha256 for image in dataset.images)
    return _Materials(read_label_book(test_set, competition), script, evaluate, given)


# Checking ---------------------------------------------------------------------------------------------------------


def _checked(app: ServerApp, entries: Sequence[HandedIn], work: Path) -> tuple[Grade, ...]:
    """Each student's dataset, found and validated, or the line that says why there is none."""
    app.observer.start("Checking what was handed in", len(entries), "students")
    grades = []
    for number, entry in enumerate(entries, 1):
        place = work / str(number)
        with storage_errors(place):
            place.mkdir()
        grades.append(_check(app, entry, place))
        app.observer.advance(number, entry.student)
    return tuple(grades)


def _check(app: ServerApp, entry: HandedIn, work: Path) -> Grade:
    with storage_errors(entry.path):
        modified = datetime.fromtimestamp(entry.path.lstat().st_mtime, UTC)
    grade = Grade(entry.student, entry.path.name, modified)
    try:
        root = find_dataset(entry, work, app.competition.dataset.splits)
        report = validated(app, root, observer=SILENT)
    except DiskFull:
        raise  # the next one would fail too
    except (InvalidDataset, StorageError) as error:
        return replace(grade, problem=_line(error))
    errors, warnings = report.of(Severity.ERROR), report.of(Severity.WARNING)
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return replace(
        grade,
        report=report,
        images=len(report.dataset.images),
        warnings=len(warnings),
        problem=f"{errors[0].message}{more}" if errors else "",
    )


def _line(error: CldcError) -> str:
    return error.message.splitlines()[0]


# Training and scoring ---------------------------------------------------------------------------------------------


def _trained(
    app: ServerApp, grades: Sequence[Grade], materials: _Materials, dask: str | None
) -> tuple[Mapping[str, Outcome], str]:
    """The result of each student's training, and the TensorFlow that trained."""
    usable = [grade for grade in grades if not grade.problem and grade.report is not None]
    trainings = [
        Training(grade.report, materials.script, materials.test_set, app.competition)
        for grade in usable
        if grade.report is not None
    ]
    if not trainings:
        return {}, ""
    with trainer(app, dask=dask) as chosen:
        outcomes = train_all(trainings, chosen, home=app.home, observer=app.observer)
    found = [o.fingerprint.tensorflow for o in outcomes if isinstance(o, PreflightResult)]
    return dict(zip([grade.student for grade in usable], outcomes, strict=True)), next(iter(found), "")


def _scored(
    app: ServerApp,
    grades: Sequence[Grade],
    outcomes: Mapping[str, Outcome],
    materials: _Materials,
    folder: Path,
) -> tuple[Grade, ...]:
    competition = app.competition
    if not outcomes:
        return tuple(grades)
    name = organiser_of(competition).evaluate.name
    script = materials.evaluate or evaluation_script(competition, name, app.home / "grading")
    evaluation = Evaluation(
        competition,
        materials.test_set,
        script,
        environment=tensorflow(app),
        folder=folder,
        home=app.home,
    )
    app.observer.start("Scoring on the hidden test set", len(outcomes), "students")
    scored = []
    for grade in grades:
        outcome = outcomes.get(grade.student)
        if isinstance(outcome, PreflightResult):
            scored.append(_score(grade, outcome, evaluation))
        else:
            problem = grade.problem if outcome is None else f"the training failed: {_line(outcome)}"
            scored.append(replace(grade, problem=problem))
        app.observer.advance(len(scored), grade.student)
    return tuple(scored)


def _score(grade: Grade, trained: PreflightResult, evaluation: Evaluation) -> Grade:
    grade = replace(grade, preflight=trained.id, validation_accuracy=trained.validation.accuracy)
    try:
        return replace(grade, score=evaluation.score(trained.predictions))
    except PreflightFailed as error:
        return replace(grade, problem=_line(error))


def _ranked(grades: Sequence[Grade]) -> tuple[Grade, ...]:
    """The best first, equal scores on one rank; those without a score last."""
    scores = sorted({grade.score for grade in grades if grade.score is not None}, reverse=True)
    ranks = {score: rank for rank, score in enumerate(scores, 1)}
    with_rank = [replace(grade, rank=None if grade.score is None else ranks[grade.score]) for grade in grades]
    return tuple(sorted(with_rank, key=lambda g: (g.rank is None, g.rank or 0, g.student)))


def _contents(grades: Sequence[Grade]) -> dict[str, frozenset[str]]:
    return {
        grade.student: frozenset(image.sha256 for image in grade.report.dataset.images if image.sha256)
        for grade in grades
        if grade.report is not None
    }


# Files ------------------------------------------------------------------------------------------------------------


def _written(grading: Grading, folder: Path) -> list[str]:
    """Write everything into ``folder``, in place of what an earlier grading left; the paths."""
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
