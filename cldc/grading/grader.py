"""Grade a class's hand-ins: find each dataset, validate it, train, and score on the hidden test set."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cldc.competition import Competition
from cldc.environments import Environment
from cldc.errors import CldcError, InvalidDataset, PreflightFailed, StorageError
from cldc.files import DiskFull, storage_errors, temporary_folder
from cldc.grading.handed_in import find_dataset
from cldc.grading.model import Grade, Grading, HandedIn, SharedContent
from cldc.grading.scoring import TestSetScorer
from cldc.preflight.model import LabelBook, Outcome, PreflightResult, Script, Training
from cldc.progress import Observer
from cldc.validation import Severity, ValidationReport

# An image that more than this share of a class has was handed out, such as one of the starting dataset.
_GIVEN_SHARE = 0.5
# In a smaller class, two students who copy would already be more than half.
_SMALLEST_CLASS = 4


@dataclass(frozen=True, slots=True)
class Grader:
    """Everything needed to grade a class: hidden test set, scripts, trainer.

    Attributes:
        competition: The competition with the rules, the training and the evaluation.
        test_set: The hidden test set.
        script: The training script.
        evaluate: The evaluation script.
        given: Contents of the images that everyone started from.
        home: The data folder.
        observer: Receives progress events.
        validate: Validates a dataset's folder.
        train: Trains datasets; an outcome for each.
        environment: Creates the TensorFlow that scores, on first use.
    """

    competition: Competition
    test_set: LabelBook
    script: Script
    evaluate: Path
    given: frozenset[str]
    home: Path
    observer: Observer
    validate: Callable[[Path], ValidationReport]
    train: Callable[[Sequence[Training]], Sequence[Outcome]]
    environment: Callable[[], Environment]

    def grade(self, entries: Sequence[HandedIn]) -> Grading:
        """Grade every student; a dataset that can't be used gets a line and does not stop the others.

        Raises:
            CldcError: No student can be graded, such as on a full disk.
        """
        with temporary_folder("cldc-grading-") as work:
            grades = self._check_all(entries, work)
            outcomes = self._train(grades)
            grades = self._score_all(grades, outcomes, work / "evaluation")
        versions = (o.fingerprint.tensorflow for o in outcomes.values() if isinstance(o, PreflightResult))
        contents = {
            grade.student: frozenset(image.sha256 for image in grade.report.dataset.images if image.sha256)
            for grade in grades
            if grade.report is not None
        }
        return Grading(
            competition=self.competition.title,
            score=self.competition.require_organiser().score.name,
            tensorflow=next(versions, ""),
            test_images=len(self.test_set.images),
            graded=datetime.now(UTC),
            grades=_ranked(grades),
            shared=find_shared(contents, self.given),
        )

    def _check_all(self, entries: Sequence[HandedIn], work: Path) -> list[Grade]:
        """Find and validate each student's dataset, or say in one line why there is none."""
        self.observer.start("Checking what was handed in", len(entries), "students")
        grades = []
        for number, entry in enumerate(entries, 1):
            place = work / str(number)
            with storage_errors(place):
                place.mkdir()
            grades.append(self._check(entry, place))
            self.observer.advance(number, entry.student)
        return grades

    def _check(self, entry: HandedIn, work: Path) -> Grade:
        with storage_errors(entry.path):
            modified = datetime.fromtimestamp(entry.path.lstat().st_mtime, UTC)
        grade = Grade(entry.student, entry.path.name, modified)
        try:
            report = self.validate(find_dataset(entry, work, self.competition.dataset.splits))
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

    def _train(self, grades: Sequence[Grade]) -> Mapping[str, Outcome]:
        """Train each student's dataset, and return the outcomes."""
        trainings = {
            grade.student: Training(grade.report, self.script, self.test_set, self.competition)
            for grade in grades
            if not grade.problem and grade.report is not None
        }
        if not trainings:
            return {}
        return dict(zip(trainings, self.train([*trainings.values()]), strict=True))

    def _score_all(
        self, grades: Sequence[Grade], outcomes: Mapping[str, Outcome], folder: Path
    ) -> list[Grade]:
        if not outcomes:
            return list(grades)
        scorer = TestSetScorer(
            self.competition,
            self.test_set,
            self.evaluate,
            environment=self.environment(),
            folder=folder,
            home=self.home,
        )
        self.observer.start("Scoring on the hidden test set", len(outcomes), "students")
        scored = []
        for grade in grades:
            outcome = outcomes.get(grade.student)
            if isinstance(outcome, PreflightResult):
                trained = replace(
                    grade, preflight=outcome.id, validation_accuracy=outcome.validation.accuracy
                )
                try:
                    scored.append(replace(trained, score=scorer.score(outcome.predictions)))
                except PreflightFailed as error:
                    scored.append(replace(trained, problem=_line(error)))
            elif outcome is not None:
                scored.append(replace(grade, problem=f"the training failed: {_line(outcome)}"))
            else:
                scored.append(grade)
            self.observer.advance(len(scored), grade.student)
        return scored


def _line(error: CldcError) -> str:
    return error.message.splitlines()[0]


def _ranked(grades: Sequence[Grade]) -> tuple[Grade, ...]:
    """Rank by score, best first; equal scores share a rank, and those without a score come last."""
    scores = sorted({grade.score for grade in grades if grade.score is not None}, reverse=True)
    ranks = {score: rank for rank, score in enumerate(scores, 1)}
    with_rank = [replace(grade, rank=None if grade.score is None else ranks[grade.score]) for grade in grades]
    return tuple(sorted(with_rank, key=lambda g: (g.rank is None, g.rank or 0, g.student)))


def find_shared(contents: Mapping[str, Set[str]], given: Set[str] = frozenset()) -> tuple[SharedContent, ...]:
    """Group students by the images that only they share, those with the most images first.

    Args:
        contents: The SHA-256 of each student's images.
        given: Images that everyone was given.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for student in sorted(contents):
        for sha256 in contents[student]:
            owners[sha256].append(student)
    most = len(contents) * _GIVEN_SHARE if len(contents) >= _SMALLEST_CLASS else len(contents)
    counts = Counter(
        tuple(students)
        for sha256, students in owners.items()
        if len(students) > 1 and sha256 not in given and len(students) <= most
    )
    groups = []
    for students, images in counts.items():
        fewest = min(len(contents[student] - given) for student in students)
        whole = len({frozenset(contents[student]) for student in students}) == 1
        groups.append(SharedContent(students, images, images / fewest, whole))
    return tuple(sorted(groups, key=lambda group: (-group.images, group.students)))
