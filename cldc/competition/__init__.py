"""A competition as data: its profile, read from TOML and refused where it says what nobody understands."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

from cldc.competition.rules import check, refused, subject
from cldc.errors import ConfigurationError
from cldc.resources import template

T = TypeVar("T")
DEFAULT = "data-centric-2021"


@dataclass(frozen=True, slots=True)
class Reference:
    """A bundle or worksheet of the organisers: its name, and its uuid where they published one."""

    name: str
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetRules:
    """What a dataset must look like.

    Attributes:
        splits: Folders of the dataset, the training split first.
        classes: Class folders of each split, in the order in which the script numbers them from 0.
        extensions: Endings that the script takes, written in lower case: some of .png .jpg .jpeg .gif .bmp, which is
            what TensorFlow reads.
        max_images: The guide's limit on images of all splits together.
        batch: Images a batch; each split is rounded up to whole batches before it is held against max_padded.
        max_padded: The script's own limit on images after that rounding.
        image_size: Height and width in pixels that the script scales each image to.
    """

    splits: tuple[str, ...]
    classes: tuple[str, ...]
    extensions: tuple[str, ...]
    max_images: int
    batch: int
    max_padded: int
    image_size: tuple[int, ...]

    def padded(self, counts: typing.Iterable[int]) -> int:
        """Images after rounding each split's count up to whole batches, as the script counts them."""
        return sum(math.ceil(count / self.batch) for count in counts) * self.batch


@dataclass(frozen=True, slots=True)
class QuotaRule:
    """At most ``per_window`` submissions in any ``window_days`` x 24 hours, and ``total`` in all."""

    window_days: float
    per_window: int
    total: int

    @property
    def window(self) -> timedelta:
        """The rolling window."""
        return timedelta(days=self.window_days)


@dataclass(frozen=True, slots=True)
class SubmissionForm:
    """How a submission is marked and described.

    Attributes:
        tag: The tag that makes a bundle a submission, of letters, digits and _ . -; setting it spends quota.
        supersedes: Which of an account's tagged bundles the daemon scores: the newest of each ``name``, or
            only the newest of the ``account``.
        description: Form of the description, with {name}, {institution} and {link}; the board must read them back.
        usual_wait: How long the organisers usually take from tag to score, in words; None where nobody knows.
    """

    tag: str
    supersedes: Literal["name", "account"]
    description: str
    usual_wait: str | None = None


@dataclass(frozen=True, slots=True)
class Bundles:
    """The organisers' bundles that a submission is made from."""

    worksheet: Reference
    script: Reference
    label_book: Reference
    starting_dataset: Reference | None = None


@dataclass(frozen=True, slots=True)
class RunForm:
    """The run bundle that trains, and the file of it that becomes the submission.

    Attributes:
        name: The run's name on CodaLab.
        command: One line of ASCII with {dataset} and {label_book} where the dependencies' keys stand. A preflight runs it
            without a shell.
        image: The container image, by tag or by digest.
        predictions: The file that the script leaves: a JSON list with a class index for each image of the label book.
    """

    name: str
    command: str
    image: str
    predictions: str


@dataclass(frozen=True, slots=True)
class TensorFlowChoice:
    """A TensorFlow to train with.

    Attributes:
        version: Its version.
        python: The Python it wants, as major.minor.
        faithful: Whether the organisers' script trains in it what it trained in the competition.
        why: What using it means for the result.
    """

    version: str
    python: str
    faithful: bool
    why: str


@dataclass(frozen=True, slots=True)
class Training:
    """How the training is run locally.

    ``builtin`` names our own implementation in templates/scripts, or a file beside the profile.
    ``tensorflow`` goes from faithful to fallback. ``epochs`` is what the script trains. ``checkpoint`` names the
    weights that the script leaves; they fit the model that ``build_model()`` of ``builtin`` gives. ``seed_option``
    is what ``builtin`` takes before another seed than the competition's. Without them nothing is told of either.
    """

    builtin: str
    epochs: int
    tensorflow: tuple[TensorFlowChoice, ...]
    checkpoint: str | None = None
    seed_option: str | None = None


@dataclass(frozen=True, slots=True)
class ScorePath:
    """The one score: its name, and where the evaluation leaves it (``/FILE:KEY``)."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Organiser:
    """The organisers' side: what the scoring daemon is configured with."""

    log_worksheet: Reference
    test_set: Reference
    evaluate: Reference
    evaluate_command: str
    score: ScorePath
    window_seconds: int
    per_window: int
    total: int


@dataclass(frozen=True, slots=True)
class Competition:
    """Everything that cldc knows of one competition.

    Attributes:
        name: The profile's file name without ``.toml``.
        folder: Where files that the profile names are looked for before templates/.
        server: Address of its CodaLab, without a path.
        closes: When it closes; None where it does not.
        leaderboard: Address of the scoring daemon's JSON, if it is published.
        server_status: What is known of the state of that server, with the date it was known at, in sentences; `init`,
            `doctor` and failures of the server show it. None where there is nothing to say.
    """

    name: str
    folder: Path | None
    title: str
    server: str
    dataset: DatasetRules
    quota: QuotaRule
    submission: SubmissionForm
    bundles: Bundles
    run: RunForm
    training: Training
    organiser: Organiser | None = None
    closes: datetime | None = None
    guide: str | None = None
    form: str | None = None
    leaderboard: str | None = None
    server_status: str | None = None

    def status_of(self, server: str) -> str | None:
        """What is known of ``server``, if it is the one that the profile speaks of."""
        same = server.strip().rstrip("/").lower() == self.server.rstrip("/").lower()
        return self.server_status if same else None


def builtin_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with cldc."""
    return tuple(
        sorted(Path(p.name).stem for p in template("competitions").iterdir() if p.name.endswith(".toml"))
    )


def load(choice: str = DEFAULT) -> Competition:
    """The competition named ``choice``, or described by the profile file at that path.

    Raises:
        ConfigurationError: No such profile, no TOML, an unknown or missing key, a value of the wrong type.
    """
    if choice in builtin_profiles():
        text = template("competitions", f"{choice}.toml").read_text(encoding="utf-8")
        return parse(text, name=choice)
    path = Path(choice)
    if path.suffix != ".toml" and not path.is_file():
        close = _nearest(path.name, builtin_profiles(), least=0.4)
        hint = f"perhaps you meant {close!r}; " if close else ""
        raise ConfigurationError(
            f"There is no competition {choice!r}: {hint}known are {', '.join(builtin_profiles())}.",
            action="Name one of these, or give the path of a profile (a .toml file) with --competition.",
        )
    return parse(read_text(path), name=path.stem, folder=path.resolve().parent)


def file_beside(competition: Competition, name: str) -> Path | None:
    """The file ``name`` in the folder of the profile; None where there is none.

    Raises:
        ConfigurationError: It lies outside that folder, as a link can.
    """
    if competition.folder is None:
        return None
    path = competition.folder / name
    if not path.is_file():
        return None
    if not path.resolve().is_relative_to(competition.folder.resolve()):
        raise ConfigurationError(
            f"The profile {competition.name} names {name}, which leads out of its folder to {path.resolve()}.",
            action="Put that file itself beside the profile.",
        )
    return path


def parse(text: str, *, name: str, folder: Path | None = None) -> Competition:
    """A profile's TOML as a Competition.

    Raises:
        ConfigurationError: As `load`.
    """
    what = f"profile {name}" if folder is None else str(folder / f"{name}.toml")
    table = read_toml(text, what=what)
    if unknown := {"name", "folder"} & table.keys():
        raise refused(what, f"{sorted(unknown)[0]!r} is set by the file's name and place", "")
    competition = read_table(
        Competition,
        {**table, "name": name, "folder": folder},
        what=what,
        hidden=("name", "folder"),
    )
    check(competition)
    return competition


def read_toml(text: str, *, what: str) -> dict[str, Any]:
    """``text`` as TOML, its error told with the file's name."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"{subject(what)} is not valid TOML: {error}.", action="Correct that line."
        ) from error


def read_text(path: Path) -> str:
    """The text of a settings file or a profile.

    Raises:
        ConfigurationError: It can't be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{path} is not UTF-8: line {line} has a byte that can't be read.", action="Save it as UTF-8."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{path} can't be read: {error.strerror}.", action="Check its path, and that you may read it."
        ) from error


def read_table(
    cls: type[T], table: dict[str, Any], *, what: str, at: str = "", hidden: tuple[str, ...] = ()
) -> T:
    """A TOML table as the frozen dataclass ``cls``; ``at`` is the table's own dotted key.

    Raises:
        ConfigurationError: An unknown key (with the nearest known one), a missing key, a wrong type.
    """
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            known = [name for name in fields if name not in hidden]
            close = _nearest(key, known, least=0.5)
            hint = f"; perhaps you meant {close!r}" if close else f"; known are {', '.join(known)}"
            raise refused(what, f"unknown key {at + key!r}", hint)
    values = {}
    for name, spec in fields.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], what=what, at=at + name)
        elif spec.default is dataclasses.MISSING and spec.default_factory is dataclasses.MISSING:
            raise refused(what, f"the key {at + name!r} is missing", "")
    return cls(**values)


def _nearest(word: str, known: Sequence[str], *, least: float) -> str:
    """The known word that is most like ``word``; empty where none is."""
    import difflib

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=least)), "")


def _convert(hint: Any, value: Any, *, what: str, at: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _convert(next(a for a in args if a is not type(None)), value, what=what, at=at)
    if origin is Literal:
        if value not in args:
            raise refused(what, f"{at!r} is {value!r}", f"; it can be {' or '.join(map(repr, args))}")
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise refused(what, f"{at!r} is {value!r}", "; a list belongs there")
        return tuple(_convert(args[0], v, what=what, at=f"{at}[{i}]") for i, v in enumerate(value))
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise refused(what, f"{at!r} is {value!r}", "; a table belongs there")
        return read_table(typing.cast(type, hint), value, what=what, at=f"{at}.")
    accepted = (int, float) if hint is float else hint
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise refused(what, f"{at!r} is {value!r}", f"; {_NOUNS.get(hint, hint.__name__)} belongs there")
    return value


_NOUNS = {
    str: "a string in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    datetime: "a date and time",
}
