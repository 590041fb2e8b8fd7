"""A competition as data. The attributes are the keys of a profile, with their rules; `make reference` documents them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from cldc.competition import key_rules as rules
from cldc.errors import ConfigurationError

TEST_KEY = "test"  # name of the hidden test set in the evaluation command

Name = Annotated[str, rules.NAME]
Line = Annotated[str, rules.LINE]
Count = Annotated[int, rules.POSITIVE]
_CENTURY_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class Reference:
    """A bundle or worksheet of the organisers.

    Attributes:
        name: Its name on CodaLab: letters, digits, _ . and -, at most 128.
        uuid: Its uuid, 0x and 32 hex digits. Submitting requires those of the script and the label book.
    """

    name: Name
    uuid: Annotated[str, rules.UUID_OF_CODALAB] | None = None


@dataclass(frozen=True, slots=True)
class DatasetRules:
    """The rules for a dataset's form.

    Attributes:
        splits: Folders of the dataset, the training split first.
        classes: Class folders of each split, in the order in which the script numbers them from 0.
        extensions: File name extensions that the script takes, in lower case: some of .png .jpg .jpeg .gif .bmp, which
            is what TensorFlow reads.
        max_images: The guide's limit on images of all splits together.
        batch: Images in a batch.
        max_padded: The script's own limit on images of all splits together, each split rounded up to whole batches.
        image_size: Height and width in pixels that the script scales each image to.
    """

    splits: Annotated[tuple[str, ...], rules.FOLDERS]
    classes: Annotated[tuple[str, ...], rules.FOLDERS]
    extensions: Annotated[tuple[str, ...], rules.EXTENSIONS]
    max_images: Count
    batch: Count
    max_padded: Count
    image_size: Annotated[tuple[int, ...], rules.SIZE]

    def padded(self, counts: Iterable[int]) -> int:
        """Round each split's count of images up to whole batches, as the script does, and add them up."""
        return sum(math.ceil(count / self.batch) for count in counts) * self.batch


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """How often an account may submit.

    Attributes:
        window_days: Length of the rolling window in days of 24 hours.
        per_window: Submissions in any such window.
        total: Submissions in all.
    """

    window_days: Annotated[float, rules.POSITIVE, rules.at_most(_CENTURY_DAYS)]
    per_window: Count
    total: Count

    @property
    def window(self) -> timedelta:
        """The rolling window."""
        return timedelta(days=self.window_days)

    @property
    def this_window(self) -> str:
        """The window in words: ``today``, ``this week``, ``in 3 days``."""
        return {1.0: "today", 7.0: "this week"}.get(self.window_days, f"in {self.window_days:g} days")


@dataclass(frozen=True, slots=True)
class SubmissionForm:
    """How a submission is marked and described.

    Attributes:
        tag: The tag that makes a bundle a submission, of letters, digits and _ . -; setting it spends quota.
        supersedes: Which of an account's tagged bundles the scoring daemon scores: the newest of each ``name``, or
            only the newest of the ``account``.
        description: Form of the description, with {name}, {institution} and {link}; the board must read them back.
        usual_wait: How long the organisers usually take from tag to score, in words.
    """

    tag: Annotated[str, rules.TAG]
    supersedes: Literal["name", "account"]
    description: Annotated[
        str, rules.placeholders("name", "institution", "link"), rules.ASCII_LINE, rules.READ_BACK
    ]
    usual_wait: Line | None = None


@dataclass(frozen=True, slots=True)
class Bundles:
    """The organisers' bundles that a submission uses.

    Attributes:
        worksheet: The public worksheet that holds the others.
        script: The training script.
        label_book: The label book, a folder with one folder for each class.
        starting_dataset: The dataset that contestants start from.
    """

    worksheet: Reference
    script: Reference
    label_book: Reference
    starting_dataset: Reference | None = None


@dataclass(frozen=True, slots=True)
class RunForm:
    """The run bundle that trains, and the file of it that becomes the submission.

    Attributes:
        name: The run's name on CodaLab.
        command: One line of ASCII with {dataset} and {label_book} instead of the dependencies' keys. A preflight runs it
            without a shell.
        image: The container image, by tag or by digest.
        predictions: The file that the script writes: a JSON list with a class index for each image of the label book.
    """

    name: Name
    command: Annotated[str, rules.placeholders("dataset", "label_book"), rules.ASCII_LINE, rules.WORDS]
    image: Annotated[str, rules.IMAGE]
    predictions: Annotated[str, rules.JSON_IN_RUN]


@dataclass(frozen=True, slots=True)
class TensorFlowChoice:
    """A TensorFlow to train with. The first that this machine can install is used.

    Attributes:
        version: Its version, one that cldc has locked requirements for.
        python: The Python that it needs, as major.minor.
        faithful: Whether the organisers' script trains in it as in the competition. In others only the built-in script
            runs.
        why: Its effect on the result, in words.
    """

    version: str
    python: Annotated[str, rules.PYTHON]
    faithful: bool
    why: Annotated[str, rules.LINE_OR_EMPTY]


@dataclass(frozen=True, slots=True)
class TrainingSetup:
    """How the training is run on this machine.

    Attributes:
        builtin: The script to train with if the organisers' is not available: a file in the profile's folder, else one of
            templates/scripts.
        epochs: Number of epochs that the script trains; progress and time estimates depend on it.
        tensorflow: The TensorFlow versions to try, the most faithful first.
        checkpoint: The weights that the script writes, for the model from ``build_model()`` in ``builtin``. Without it no
            image's prediction can be shown.
        seed_option: The option of ``builtin`` that sets another seed than the competition's. Without it a preflight can't
            be repeated with other seeds.
    """

    builtin: Annotated[str, rules.FILE_BESIDE]
    epochs: Count
    tensorflow: Annotated[tuple[TensorFlowChoice, ...], rules.SOME_VERSION]
    checkpoint: Annotated[str, rules.FILE_IN_RUN] | None = None
    seed_option: Annotated[str, rules.OPTION] | None = None


@dataclass(frozen=True, slots=True)
class ScorePath:
    """The path of the score in the evaluation's output.

    Attributes:
        name: Its name on the board.
        path: Its place in the evaluation's output, as /FILE:KEY.
    """

    name: Line
    path: Annotated[str, rules.SCORE_PATH]


@dataclass(frozen=True, slots=True)
class Organiser:
    """The organisers' side: the configuration of CodaLab's scoring daemon.

    Attributes:
        log_worksheet: The organisers' private worksheet, which holds the evaluations.
        test_set: The hidden test set, which takes the label book's place in an evaluation.
        evaluate: The evaluation script.
        evaluate_command: One line of ASCII with {predictions}; the hidden test set is beside it as ``test``.
        score: The score that the board shows.
        window_seconds: Length in seconds of the daemon's own rolling window, by the time of evaluation.
        per_window: Evaluations of an account in any such window.
        total: Evaluations of an account in all.
        grade: Which submission `cldc organise grades` counts for an account: its best or its last.
    """

    log_worksheet: Reference
    test_set: Reference
    evaluate: Reference
    evaluate_command: Annotated[str, rules.placeholders("predictions"), rules.ASCII_LINE, rules.WORDS]
    score: ScorePath
    window_seconds: Annotated[int, rules.POSITIVE, rules.at_most(_CENTURY_DAYS * 86_400)]
    per_window: Count
    total: Count
    grade: Literal["best", "last"] = "best"


@dataclass(frozen=True, slots=True)
class Competition:
    """Everything that cldc knows of one competition.

    Attributes:
        name: The profile's file name without ``.toml``; no key.
        folder: The folder in which files that the profile names are searched before templates/; no key.
        files: The profile's file, and those it extends; empty for a built-in one; no key.
        title: The competition's name.
        server: Address of its CodaLab, without a path, or "sandbox" for the one on this machine.
        dataset: The rules for a dataset's form.
        quota: How often an account may submit.
        submission: How a submission is marked and described.
        bundles: The organisers' bundles that a submission uses.
        run: The run that trains.
        training: How the training is run on this machine.
        organiser: The organisers' side, which `cldc organise` and the sandbox need.
        closes: The closing time, with a time zone.
        grace_minutes: Minutes after ``closes`` during which a submission still counts.
        guide: Address of the submission guide.
        form: Address of a form to fill out after submitting.
        leaderboard: Address of the scoring daemon's JSON, if it is published.
        server_status: The known state of that server, with the date of that knowledge, in sentences; ``init``,
            ``doctor`` and failures of the server show it.
        extends: The profile that provides the keys missing here: a built-in name, or a ``.toml`` file in the same folder.
            In a table, a key replaces only that key.
        unset: Keys that the extended profile sets and that do not count here, such as "closes" or "submission.usual_wait".
            A key that only has its default there is refused.
    """

    name: Annotated[str, rules.PROFILE_NAME]
    folder: Path | None
    title: Line
    server: Annotated[str, rules.SERVER]
    dataset: DatasetRules
    quota: QuotaRule
    submission: SubmissionForm
    bundles: Bundles
    run: RunForm
    training: TrainingSetup
    organiser: Organiser | None = None
    closes: Annotated[datetime, rules.TIME_ZONE] | None = None
    grace_minutes: Annotated[int, rules.MINUTES_OF_A_YEAR] = 0
    guide: Annotated[str, rules.WEB_ADDRESS] | None = None
    form: Annotated[str, rules.WEB_ADDRESS] | None = None
    leaderboard: Annotated[str, rules.FETCHED_ADDRESS] | None = None
    server_status: Line | None = None
    extends: str | None = field(default=None, compare=False)
    unset: tuple[str, ...] = field(default=(), compare=False)
    files: tuple[Path, ...] = field(default=(), compare=False)

    def require_organiser(self) -> Organiser:
        """Return the profile's [organiser] table.

        Raises:
            ConfigurationError: It has none.
        """
        if self.organiser is None:
            raise ConfigurationError(
                f"The profile {self.name} has no [organiser] table, which scoring needs.",
                action="Add one, as in the profile data-centric-2021.",
            )
        return self.organiser

    def table(self) -> dict[str, Any]:
        """Return every key that has a value, inherited or not, as in a profile that extends nothing."""
        table: dict[str, Any] = _without_none(asdict(self))
        for name in (*NOT_KEYS, "extends", "unset"):
            table.pop(name, None)
        return table

    @property
    def last_moment(self) -> datetime | None:
        """The time until which a submission counts: the closing time plus the grace period."""
        return self.closes + timedelta(minutes=self.grace_minutes) if self.closes else None

    def status_of(self, server: str) -> str | None:
        """Return what the profile says about ``server``, if the profile names it."""
        same = server.strip().rstrip("/").lower() == self.server.rstrip("/").lower()
        return self.server_status if same else None


NOT_KEYS = ("name", "folder", "files")
"""Attributes of a competition that come from the file's name and place."""


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(part) for part in value]
    return value
