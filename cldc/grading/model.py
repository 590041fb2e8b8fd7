"""Handed-in datasets and their grades."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cldc.validation import ValidationReport


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A student's hand-in.

    Attributes:
        student: The name of the zip or the folder, without ``.zip``.
        path: The zip or the folder.
        problem: Why it can't be used, as one line; empty if no problem is known yet.
    """

    student: str
    path: Path
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Grade:
    """The result of one student's dataset.

    Attributes:
        student: Who handed it in.
        handed_in: Name of the zip or the folder.
        modified: When that was last written.
        problem: The reason for a missing score, in one line; empty if there is a score.
        score: The evaluation's score of the predictions on the hidden test set.
        rank: Dense, from 1; None without a score.
        validation_accuracy: Accuracy on the student's own validation split, as the training script printed it.
        images: Images of the dataset; None without a dataset.
        warnings: The validation's warnings.
        preflight: Id of the training's record.
        report: The validation; None without a dataset.
    """

    student: str
    handed_in: str
    modified: datetime
    problem: str = ""
    score: float | None = None
    rank: int | None = None
    validation_accuracy: float | None = None
    images: int | None = None
    warnings: int = 0
    preflight: str | None = None
    report: ValidationReport | None = None


@dataclass(frozen=True, slots=True)
class SharedContent:
    """Images that the same students have, byte for byte, and most others don't.

    Attributes:
        students: Who has them.
        images: Number of different images.
        share: Their share of the images of the student with the fewest, from 0 to 1.
        whole: Whether their datasets have exactly the same images.
    """

    students: tuple[str, ...]
    images: int
    share: float
    whole: bool


@dataclass(frozen=True, slots=True)
class Grading:
    """A graded class.

    Attributes:
        competition: The competition's title.
        score: The score's name.
        tensorflow: The TensorFlow that trained; empty where nothing was trained.
        test_images: Images of the hidden test set.
        graded: When.
        grades: The best first, then those without a score by name.
        shared: Content that several have, the most first.
    """

    competition: str
    score: str
    tensorflow: str
    test_images: int
    graded: datetime
    grades: tuple[Grade, ...]
    shared: tuple[SharedContent, ...]
