"""Rules about splits, class folders and how many images there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from cldc.dataset import IgnoreReason, Split, SplitState, fold_name, meant_class, suggest_roots
from cldc.text import first_few, plural
from cldc.validation.model import Hit, Rule, Severity, Subject, rule

_LISTING = "observed with image_dataset_from_directory of TensorFlow 2.4.1 and 2.6.0"
_SCRIPT = "the competition's training script"
_MISMATCH = 'stops before training: "The `class_names` passed did not match the names of the subdirectories".'
# What tools leave behind; found as a class folder's sibling it stops the script like any other folder.
JUNK_FOLDERS = frozenset({".ipynb_checkpoints", "__MACOSX", "__pycache__", ".git", ".thumbnails", "@eaDir"})


@rule(
    "split-missing",
    title="Every split is there",
    severity=Severity.ERROR,
    why="The script opens each split's folder by its exact name.",
    source=_LISTING,
)
def split_missing(subject: Subject) -> Iterator[Hit]:
    """A split that is missing, is a file, or can't be listed."""
    dataset = subject.dataset
    broken = [split for split in dataset.splits if split.state != SplitState.FOLDER]
    # With one split there it is the dataset, and another one elsewhere, such as a backup, is not meant.
    nothing_here = len(broken) == len(dataset.splits) > 0
    meant = suggest_roots(dataset.root, subject.competition.dataset.splits) if nothing_here else ()
    folders = [
        other.path
        for other in dataset.ignored
        if other.reason == IgnoreReason.BESIDE_SPLITS and (dataset.root / other.path).is_dir()
    ]
    for split in broken:
        yield Hit(
            message=f"The split {split.name}/ is {split.state.value}.",
            consequence="The script stops with FileNotFoundError, NotADirectoryError or PermissionError.",
            remedy=_split_remedy(split, folders, [str(path) for path in meant]),
            paths=(split.name,),
        )


def _split_remedy(split: Split, folders: list[str], meant: list[str]) -> str:
    if len(meant) == 1:
        return f"Perhaps you meant {meant[0]}, which holds the splits."
    if meant:
        return f"Give one of the {len(meant)} folders inside that hold the splits: {first_few(meant)}."
    if split.state == SplitState.UNLISTED:
        return f"Make {split.name}/ readable to yourself."
    alike = [name for name in folders if fold_name(name) == fold_name(split.name)]
    place = (
        f"rename {alike[0]!r} to {split.name!r}."
        if alike
        else f"put a folder {split.name}/ with one folder a class into the dataset's folder."
    )
    if split.state == SplitState.FILE:
        return f"Move the file {split.name} away, then {place}"
    return place[0].upper() + place[1:]


@rule(
    "class-misnamed",
    title="Class folders have their exact names",
    severity=Severity.ERROR,
    why="The script compares the folders' names with the classes letter by letter, on a system that tells case.",
    source=_LISTING,
)
def class_misnamed(subject: Subject) -> Iterator[Hit]:
    """A folder whose name is a class's but for case, spaces or the form of its characters."""
    mendable = dict(misnamed_folders(subject))
    for split, _, extra in _mismatches(subject):
        for folder in extra:
            label = meant_class(folder, subject.competition.dataset.classes)
            path = f"{split.name}/{folder}"
            if not label:
                continue
            remedy = f"Rename it to {label!r}, after moving away what else is or would be called so."
            if path in mendable:
                remedy = f"Rename it to {label!r}, or run `cldc validate --fix`."
            elif label in split.folders:
                remedy = f"Move its images into {split.name}/{label} and remove the empty folder."
            yield Hit(
                message=f"The class folder {path} should be called {label!r}.",
                consequence=f"The script {_MISMATCH}",
                remedy=remedy,
                paths=(path,),
                fixable=path in mendable,
            )


@rule(
    "class-missing",
    title="Every class has its folder in every split",
    severity=Severity.ERROR,
    why="The folders of a split must be the classes, no fewer. An empty folder will do for the script.",
    source=_LISTING,
)
def class_missing(subject: Subject) -> Iterator[Hit]:
    """A class without a folder."""
    for split, missing, extra in _mismatches(subject):
        absent = [label for label in missing if not any(meant_class(folder, [label]) for folder in extra)]
        files = {
            other.path for other in subject.dataset.ignored if other.reason == IgnoreReason.BESIDE_CLASSES
        }
        for label in absent:
            path = f"{split.name}/{label}"
            what = "is a file, not a folder" if path in files else "is missing"
            yield Hit(
                message=f"The class folder {path} {what}.",
                consequence=f"The script {_MISMATCH}",
                remedy=f"Make the folder {path} and put the class's images into it.",
                paths=(path,),
            )


@rule(
    "class-extra",
    title="There is no folder beside the classes",
    severity=Severity.ERROR,
    why="Any other folder in a split, even an empty or a hidden one, stops the script.",
    source=_LISTING,
)
def class_extra(subject: Subject) -> Iterator[Hit]:
    """A folder in a split that is no class."""
    for split, _, extra in _mismatches(subject):
        for folder in extra:
            if meant_class(folder, subject.competition.dataset.classes):
                continue
            junk = folder in JUNK_FOLDERS
            yield Hit(
                message=f"{split.name}/{folder} is no class of {subject.competition.title}.",
                consequence=f"The script {_MISMATCH}",
                remedy="Move it out of the split" + (", or run `cldc validate --fix`." if junk else "."),
                paths=(f"{split.name}/{folder}",),
                fixable=junk,
            )


@rule(
    "split-empty",
    title="Every split has images",
    severity=Severity.ERROR,
    why="Keras can't make a dataset of no files.",
    source=_LISTING,
)
def split_empty(subject: Subject) -> Iterator[Hit]:
    """A split without a file that the script takes."""
    filled = {split for split, _ in subject.tally}
    for split in subject.dataset.splits:
        if split.state == SplitState.FOLDER and split.name not in filled:
            yield Hit(
                message=f"The split {split.name}/ has no image.",
                consequence="The script stops, with an error about ReadFile or `No images found.`",
                remedy=f"Put images into {split.name}'s class folders; endings taken are "
                f"{' '.join(subject.competition.dataset.extensions)}.",
                paths=(split.name,),
            )


@rule(
    "class-empty",
    title="Every class has images in every split",
    severity=Severity.WARNING,
    why="The script takes an empty class folder without a word and never learns, or never checks, the class.",
    source=_LISTING,
)
def class_empty(subject: Subject) -> Iterator[Hit]:
    """A class folder without images, in a split that has some."""
    filled = subject.tally.keys()
    classes = subject.competition.dataset.classes
    for split in subject.dataset.splits:
        if not any(name == split.name for name, _ in filled):
            continue
        for label in classes:
            if label in split.folders and (split.name, label) not in filled:
                yield Hit(
                    message=f"The class folder {split.name}/{label} has no image.",
                    consequence="The script runs all the same, and knows nothing of that class in this split.",
                    remedy=f"Put images of class {label} into it.",
                    paths=(f"{split.name}/{label}",),
                )


@rule(
    "too-many-images",
    title="The script's own limit on images",
    severity=Severity.ERROR,
    why="The script counts whole batches of every split, so the last, partly filled batches count in full. "
    "It then ends with exit code 0 and no predictions.",
    source=_SCRIPT,
)
def too_many_images(subject: Subject) -> Iterator[Hit]:
    """More images than the script takes, after its own rounding."""
    limits = subject.competition.dataset
    counts = _split_counts(subject)
    padded = limits.padded(counts.values())
    if padded <= limits.max_padded:
        return
    parts = " + ".join(f"{plural(count, 'image')} in {split}" for split, count in counts.items())
    excess = (padded - limits.max_padded) // limits.batch
    yield Hit(
        message=f"{parts} are {padded:,} after rounding each split up to whole batches of {limits.batch}; "
        f"the limit is {limits.max_padded:,}.",
        consequence="The script prints that the dataset is too large and ends with exit code 0 and without "
        "predictions.",
        remedy=f"Remove images until {plural(excess, 'batch', 'batches')} fewer are needed "
        f"(at most {excess * limits.batch:,} images).",
    )


@rule(
    "guide-limit",
    title="The guide's limit on images",
    severity=Severity.ERROR,
    why="The competition's guide sets a limit of its own, in images and without rounding.",
    source="the competition's submission guide",
)
def guide_limit(subject: Subject) -> Iterator[Hit]:
    """More images than the guide allows."""
    limit = subject.competition.dataset.max_images
    total = sum(_split_counts(subject).values())
    if total > limit:
        yield Hit(
            message=f"There are {total:,} images; the guide allows {limit:,}, all splits together.",
            consequence="The submission breaks the competition's rules, whatever the script says.",
            remedy=f"Remove {plural(total - limit, 'image')} or more.",
        )


@rule(
    "name-reserved",
    title="The dataset's name is no other bundle's",
    severity=Severity.ERROR,
    why="The run gets its dependencies by name; two of one name can't both be there.",
    source="CodaLab: a run's dependencies are told apart by their keys",
)
def name_reserved(subject: Subject) -> Iterator[Hit]:
    """A dataset called like the script or the label book."""
    name, bundles = subject.dataset.name, subject.competition.bundles
    if name in (bundles.script.name, bundles.label_book.name):
        yield Hit(
            message=f"The dataset is called {name!r}, as one of the organisers' bundles in the run is.",
            consequence="CodaLab refuses the run, or the script reads the wrong data.",
            remedy="Rename the dataset's folder.",
        )


def _mismatches(subject: Subject) -> Iterator[tuple[Split, list[str], list[str]]]:
    """For each split that is there: classes without a folder, and folders that are no class."""
    classes = subject.competition.dataset.classes
    for split in subject.dataset.splits:
        if split.state == SplitState.FOLDER:
            missing = [label for label in classes if label not in split.folders]
            yield split, missing, [folder for folder in split.folders if folder not in classes]


def _split_counts(subject: Subject) -> dict[str, int]:
    counts = dict.fromkeys(subject.competition.dataset.splits, 0)
    for (split, _), count in subject.tally.items():
        counts[split] += count
    return counts


def misnamed_folders(subject: Subject) -> list[tuple[str, str]]:
    """Pairs of a misnamed class folder's path and the path it should have, where nothing else has it or should."""
    pairs = [
        (f"{split.name}/{folder}", f"{split.name}/{label}")
        for split, missing, extra in _mismatches(subject)
        for folder in extra
        if (label := meant_class(folder, missing))
    ]
    wanted = Counter(target for _, target in pairs)
    files = {other.path for other in subject.dataset.ignored if other.reason == IgnoreReason.BESIDE_CLASSES}
    return [(path, target) for path, target in pairs if wanted[target] == 1 and target not in files]


RULES: tuple[Rule, ...] = (
    split_missing,
    class_misnamed,
    class_missing,
    class_extra,
    split_empty,
    class_empty,
    too_many_images,
    guide_limit,
    name_reserved,
)
