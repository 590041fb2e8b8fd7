"""Set a competition up on a CodaLab: its files, its profile, and the rehearsal of a submission."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cldc.codalab import CodaLab
from cldc.competition import Competition
from cldc.errors import InvalidDataset
from cldc.organise import profile, scripts
from cldc.organise.image_probe import ImageProbe, is_pinned, probe_image
from cldc.organise.model import OrganiserFiles, OrganiserTarget, PublishedCompetition
from cldc.organise.publishing import put_on_server
from cldc.organise.rehearsal import rehearse
from cldc.organise.scoring import outdated
from cldc.preflight.inputs import read_label_book
from cldc.preflight.model import LabelBook
from cldc.progress import SILENT, Observer
from cldc.text import plural
from cldc.trust import Approvals, profile_claims


@dataclass(frozen=True, slots=True)
class SetUpPlan:
    """The plan of a set-up, checked as far as possible before anything changes on the server.

    Attributes:
        path: The profile's file.
        previous: The profile in that file; None if there was none.
        competition: The future profile, without the values that the server assigns.
        files: The organiser's files.
        builtin: Whether the script is the one that comes with cldc.
        label_book: The label book, which everyone may read.
        test_set: The hidden test set.
    """

    path: Path
    previous: Competition | None
    competition: Competition
    files: OrganiserFiles
    builtin: bool
    label_book: LabelBook
    test_set: LabelBook


@dataclass(frozen=True, slots=True)
class SetUp:
    """A competition that is set up.

    Attributes:
        written: Whether the profile's file was written.
        created: Keys of the worksheets and bundles that were created.
        label_book_images: Number of images in the label book.
        test_set_images: Number of images in the hidden test set.
        both: Images that are both in the hidden test set and in the label book, which everyone may read.
        image: The container image of the runs, by digest if it is known.
        tensorflow: The TensorFlow in it; None if no run asked, or if none works there.
        rehearsed: The score of a submission of drawn images, which was removed again; None if there was none now.
        remarks: Remarks on the script, the image and its TensorFlow.
    """

    profile: Path
    written: bool
    title: str
    tag: str
    server: str
    account: str
    worksheet: str
    uuids: Mapping[str, str]
    created: tuple[str, ...]
    label_book_images: int
    test_set_images: int
    both: int
    image: str
    tensorflow: str | None
    rehearsed: float | None
    remarks: tuple[str, ...]
    sandbox: bool


def classes_in(label_book: Path, start: Competition) -> tuple[str, ...] | None:
    """Return the label book's folders, if they are not the classes of the profile to start from."""

    def folders(parent: Path) -> list[str]:
        return sorted(p.name for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))

    found, inside = folders(label_book), start.bundles.label_book.name
    if found == [inside]:
        found = folders(label_book / inside)
    return None if len(found) < 2 or set(found) == set(start.dataset.classes) else tuple(found)


def plan(
    path: Path,
    previous: Competition | None,
    start: Competition,
    overrides: profile.ProfileOverrides,
    files: OrganiserFiles,
    *,
    server: str,
) -> SetUpPlan:
    """Draft the profile and check the organiser's files against it.

    Args:
        path: The profile's file.
        previous: The profile in it; None for a new one.
        start: ``previous``, or the profile that `begin` creates from another one.
        overrides: Its differences from ``start``.
        files: The organiser's files.
        server: The server's address.

    Raises:
        ConfigurationError: The profile would be invalid.
        InvalidDataset: A class or a split is missing, a class has no image, or a file can't be read.
    """
    drafted = profile.draft(start, overrides, server=server)
    builtin = scripts.is_builtin(files.script)
    if builtin:
        drafted = scripts.with_builtin_options(drafted, epochs=overrides.epochs)
    elif previous is None and overrides.command is None:
        plain = scripts.without_builtin_options(drafted.run.command)
        drafted = replace(drafted, run=replace(drafted.run, command=plain))
    rules = drafted.dataset
    book, hidden = (read_label_book(folder, drafted) for folder in (files.label_book, files.test_set))
    for each in (book, hidden):
        filled = {name.partition("/")[0] for name, _ in each.images}
        if empty := [name for name in rules.classes if name not in filled]:
            raise InvalidDataset(
                f"{each.root} has no image of {', '.join(empty)}.",
                action=f"Put images ({' '.join(rules.extensions)}) into each class folder.",
            )
    given = files.starting_dataset
    if given is not None and (lacking := [split for split in rules.splits if not (given / split).is_dir()]):
        raise InvalidDataset(
            f"The starting dataset {given} has no folder {' and no folder '.join(lacking)}.",
            action="Give the splits' names with --splits.",
        )
    return SetUpPlan(
        path=path,
        previous=previous,
        competition=drafted,
        files=replace(files, label_book=book.root, test_set=hidden.root),
        builtin=builtin,
        label_book=book,
        test_set=hidden,
    )


def set_up(
    planned: SetUpPlan,
    where: OrganiserTarget,
    *,
    replace_changed: bool,
    with_rehearsal: bool,
    approvals: Approvals,
    python: Callable[[], Path],
    observer: Observer = SILENT,
) -> SetUp:
    """Create the competition on the server and write its profile; it keeps what is already correct.

    Args:
        planned: Made by `plan`.
        where: The server and its organiser.
        replace_changed: Whether files that have changed become new bundles that replace the old ones.
        with_rehearsal: Whether to rehearse a submission at the end.
        approvals: The approvals, to which the profile's server is added, since the organiser has chosen it.
        python: Creates the `codalab` environment on first use, and returns its Python.
        observer: Receives progress events.

    Raises:
        ConfigurationError: The script beside the profile was edited, or is another one.
        CodaLabError: A bundle has the wrong permission.
        RunFailed: The rehearsal failed.
        CldcError: The server or a file can't be used.
    """
    path, previous, drafted, files = planned.path, planned.previous, planned.competition, planned.files

    def write(competition: Competition) -> bool:
        written = profile.write(competition, path)
        approvals.approve(path, profile_claims(path))
        return written

    if not planned.builtin:
        scripts.require_replaceable_copy(files.script, path, where.folder)
    if files.evaluate is not None:
        scripts.keep_evaluation(drafted, files.evaluate, path, overwrite=replace_changed)
    published = put_on_server(
        profile.without_uuids(drafted) if replace_changed else drafted,
        where,
        files,
        python=python,
        observer=observer,
    )
    competition = profile.with_uuids(drafted, published.uuids)
    if not planned.builtin:
        competition = scripts.with_own_script(
            competition, files.script, path, where.folder, new=previous is None
        )
    # Written before the runs below, which can take long, so that the profile works even if they are interrupted.
    written = write(competition)
    probe, score = None, None
    with CodaLab(where.address, where.credentials, python=python, observer=observer) as codalab:
        known = previous is not None and previous.run.image == competition.run.image
        if not where.sandbox and not (known and is_pinned(competition.run.image)):
            competition, probe = _pin_image(codalab, competition, observer)
            written = write(competition) or written
        if with_rehearsal:
            score = rehearse(
                codalab, competition, where, builtin=planned.builtin, python=python, observer=observer
            )
    return _summarize(planned, competition, where, published, written=written, probe=probe, rehearsed=score)


def _pin_image(
    codalab: CodaLab, competition: Competition, observer: Observer
) -> tuple[Competition, ImageProbe]:
    """Run the image of the runs once, and name it by digest if the server gives one."""
    probe = probe_image(codalab, competition, observer=observer)
    image = probe.image or competition.run.image
    return replace(competition, run=replace(competition.run, image=image)), probe


def _summarize(
    planned: SetUpPlan,
    competition: Competition,
    where: OrganiserTarget,
    published: PublishedCompetition,
    *,
    written: bool,
    probe: ImageProbe | None,
    rehearsed: float | None,
) -> SetUp:
    book, hidden = planned.label_book.images, planned.test_set.images
    return SetUp(
        profile=planned.path,
        written=written,
        title=competition.title,
        tag=competition.submission.tag,
        server=where.address,
        account=where.credentials.username,
        worksheet=f"{where.address}/worksheets/{published.uuids['utils']}",
        uuids=published.uuids,
        created=published.created,
        label_book_images=len(book),
        test_set_images=len(hidden),
        both=len({sha256 for _, sha256 in book} & {sha256 for _, sha256 in hidden}),
        image=competition.run.image,
        tensorflow=probe.tensorflow if probe else None,
        rehearsed=rehearsed,
        remarks=tuple(_remarks(competition, where, probe, planned.path)),
        sandbox=where.sandbox,
    )


def _remarks(
    competition: Competition, where: OrganiserTarget, probe: ImageProbe | None, path: Path
) -> Iterator[str]:
    """List remarks for an organiser: on the image and its TensorFlow, the script, and outdated scores."""
    if where.sandbox:
        image = competition.run.image
        yield f"The sandbox uses an environment of this machine instead of {image}; nothing is pinned."
    elif probe:
        yield from probe.remarks(competition)
    training, missing = competition.training, []
    if training.checkpoint is None:
        missing.append(
            "show the trained model's prediction for each image (training.checkpoint, the weights it leaves)"
        )
    if training.seed_option is None:
        missing.append("be repeated with other seeds (training.seed_option)")
    if missing:
        yield (
            f"Preflights with {training.builtin} can't {' or '.join(missing)}; if the script can, add that to {path.name}."
        )
    if count := len(outdated(competition, where.folder)):
        yield (
            f"The present hidden test set and evaluation script have not scored {plural(count, 'entry', 'entries')} of the board. "
            "`cldc organise rescore --all` evaluates them again."
        )
