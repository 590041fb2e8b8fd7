"""The profile of a competition of one's own: another one's rules, with what is different."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import tomli_w

from cldc.competition import NOT_KEYS, Competition, Organiser, QuotaRule, Reference, parse
from cldc.errors import ConfigurationError
from cldc.files import hash_file, replace_atomically, storage_errors
from cldc.identifiers import is_name
from cldc.organise.daemon import organiser_of
from cldc.organise.model import Seed
from cldc.resources import template

_DAY_SECONDS = 86400
# Where each of the server's bundles stands in a profile, by its key in a `seed`'s result.
_BUNDLES = {"script": "script", "label_book": "label_book", "data": "starting_dataset"}
_HIDDEN = {"test_set": "test_set", "evaluate": "evaluate"}


@dataclass(frozen=True, slots=True)
class ProfileOverrides:
    """What a competition of one's own does differently from the profile it starts from; None keeps what is there.

    Attributes:
        classes: Class folders in the order in which the script numbers them.
        splits: Folders of a dataset, the training split first.
        command: The run's, with {dataset} and {label_book}.
        leaderboard: Address of the published JSON.
    """

    title: str | None = None
    tag: str | None = None
    classes: tuple[str, ...] | None = None
    splits: tuple[str, ...] | None = None
    window_days: float | None = None
    per_window: int | None = None
    total: int | None = None
    closes: datetime | None = None
    image: str | None = None
    command: str | None = None
    leaderboard: str | None = None


def begin(base: Competition, path: Path) -> Competition:
    """A profile for ``path`` with the rules of ``base`` and nothing of its organisers: no uuids, no dates.

    Worksheets are named after the file, since a server has each name once.

    Raises:
        ConfigurationError: The file's name is none that CodaLab takes, or ``base`` has no organiser's side.
    """
    name, side, bundles = path.stem, organiser_of(base), base.bundles
    if path.suffix != ".toml" or not is_name(name):
        raise ConfigurationError(
            f"The profile can't be called {path.name}: worksheets are named after it.",
            action="Call it LETTERS.toml, with letters, digits, _ . and -, a letter first.",
        )
    start = bundles.starting_dataset
    return replace(
        base,
        name=name,
        folder=path.absolute().parent,
        title=name,
        closes=None,
        guide=None,
        form=None,
        leaderboard=None,
        submission=replace(base.submission, tag=name, usual_wait=None),
        bundles=replace(
            bundles,
            worksheet=Reference(f"{name}-utils"),
            script=Reference(bundles.script.name),
            label_book=Reference(bundles.label_book.name),
            starting_dataset=Reference(start.name) if start else Reference("data"),
        ),
        organiser=_same_quota(
            replace(
                side,
                log_worksheet=Reference(f"{name}-log"),
                test_set=Reference(side.test_set.name),
                evaluate=Reference(side.evaluate.name),
            ),
            base.quota,
        ),
    )


def draft(start: Competition, overrides: ProfileOverrides, *, server: str) -> Competition:
    """``start`` with the overrides, and without the uuids of another server.

    Raises:
        ConfigurationError: The profile would not be taken.
    """
    new, quota = overrides, start.quota
    asked = QuotaRule(
        window_days=quota.window_days if new.window_days is None else new.window_days,
        per_window=quota.per_window if new.per_window is None else new.per_window,
        total=quota.total if new.total is None else new.total,
    )
    side = organiser_of(start)
    drafted = replace(
        start,
        title=new.title or start.title,
        server=server,
        closes=new.closes or start.closes,
        leaderboard=new.leaderboard or start.leaderboard,
        dataset=replace(
            start.dataset,
            classes=new.classes or start.dataset.classes,
            splits=new.splits or start.dataset.splits,
        ),
        quota=asked,
        submission=replace(start.submission, tag=new.tag or start.submission.tag),
        run=replace(start.run, image=new.image or start.run.image, command=new.command or start.run.command),
        organiser=side if asked == quota else _same_quota(side, asked),
    )
    if server != start.server:
        drafted = replace(without_uuids(drafted, worksheets=True), server_status=None)
    return parse(to_toml(drafted), name=drafted.name, folder=drafted.folder)


def _same_quota(side: Organiser, quota: QuotaRule) -> Organiser:
    """The daemon's quota as the rule that contestants are told."""
    seconds = round(quota.window_days * _DAY_SECONDS)
    return replace(side, window_seconds=seconds, per_window=quota.per_window, total=quota.total)


def without_uuids(competition: Competition, *, worksheets: bool = False) -> Competition:
    """The profile before its bundles, and the worksheets where they are meant, were on a server."""

    def bare(reference: Reference | None) -> Reference | None:
        return reference and Reference(reference.name)

    return _with_references(competition, lambda _, reference: bare(reference), worksheets=worksheets)


def with_uuids(competition: Competition, uuids: Mapping[str, str]) -> Competition:
    """The profile with the uuids that the server gave, by the keys of `Seeded`."""

    def known(key: str, reference: Reference | None) -> Reference | None:
        # A starting dataset that is not there is none to start from.
        return Reference(reference.name, uuids[key]) if reference and key in uuids else None

    return _with_references(competition, known, worksheets=True)


def _with_references(competition: Competition, change: Any, *, worksheets: bool) -> Competition:
    side, bundles = organiser_of(competition), competition.bundles
    public = {field: change(key, getattr(bundles, field)) for key, field in _BUNDLES.items()}
    hidden = {field: change(key, getattr(side, field)) for key, field in _HIDDEN.items()}
    if worksheets:
        public["worksheet"] = change("utils", bundles.worksheet)
        hidden["log_worksheet"] = change("log", side.log_worksheet)
    return replace(competition, bundles=replace(bundles, **public), organiser=replace(side, **hidden))


def with_script(competition: Competition, seed: Seed, path: Path) -> Competition:
    """The profile with the class's script as what its training is built in with, put beside it if it is elsewhere.

    What is known of the built-in script (the weights it leaves, how it takes a seed) is not known of another.

    Raises:
        StorageError: The script can't be read, or its copy written.
    """
    with storage_errors(seed.script):
        ours = template("scripts", competition.training.builtin)
        if ours.is_file() and hash_file(ours) == hash_file(seed.script):
            return competition
        beside = seed.script if seed.script.absolute().parent == path.absolute().parent else None
        if beside is None:
            beside = path.with_suffix(seed.script.suffix)
            beside.parent.mkdir(parents=True, exist_ok=True)
            replace_atomically(beside, seed.script.read_bytes(), mode=0o644)
    if competition.training.builtin == beside.name:
        return competition
    training = replace(competition.training, builtin=beside.name, checkpoint=None, seed_option=None)
    return replace(competition, training=training)


def to_toml(competition: Competition) -> str:
    """The profile's file, whole: what it extends is written out, and what it does not say left out."""
    whole = replace(competition, extends=None, unset=())
    table = _without_none(dataclasses.asdict(whole))
    for name in (*NOT_KEYS, "unset"):
        table.pop(name, None)
    scalars = {key: value for key, value in table.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    return tomli_w.dumps({**scalars, **tables})


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(part) for key, part in value.items() if part is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(part) for part in value]
    return value


def write(competition: Competition, path: Path) -> bool:
    """Write the profile, unless the file says the same already; whether it was written.

    Raises:
        StorageError: It can't be.
    """
    header = (
        f"# {competition.title.splitlines()[0]}: a competition on {competition.server}.\n"
        "# Written by `cldc organise init`, which keeps what is changed here by hand. Contestants use it with\n"
        f"# --competition {path.name}; what each key means stands in cldc's reference of profiles.\n\n"
    )
    with storage_errors(path):
        before = path.read_text(encoding="utf-8") if path.is_file() else None
    if before is not None and parse(before, name=competition.name, folder=competition.folder) == competition:
        return False
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_atomically(path, header + to_toml(competition), mode=0o644)
    return True
