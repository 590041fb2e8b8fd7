"""Rules about splits, class folders and the number of images."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from functools import partial

from cldc.dataset import IgnoreReason, Split, SplitState, fold_name, meant_class, suggest_roots
from cldc.text import first_few, plural
from cldc.validation.model import InspectedDataset, RuleMatch, Severity, rule, rules_in

_rule = partial(rule, source="observed with image_dataset_from_directory of TensorFlow 2.4.1 and 2.6.0")
_SCRIPT = "the competition's training script"
_MISMATCH = (
    "The script stops before training: "
    '"The `class_names` passed did not match the names of the subdirectories".'
)
# Other programs leave these behind; beside the class folders they stop the script like any other folder.
LEFTOVER_FOLDERS = frozenset(
    {".ipynb_checkpoints", "__MACOSX", "__pycache__", ".git", ".thumbnails", "@eaDir"}
)
# What people call a split instead.
_OTHER_NAMES = {
    "train": ("training", "trainset", "training_set"),
    "val": ("validation", "valid", "test", "testing", "dev", "eval", "evaluation", "holdout"),
}


@_rule(
    "split-missing",
    title="Missing splits",
    severity=Severity.ERROR,
    why="The script opens each split's folder by its exact name.",
)
def split_missing(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Splits that are missing, are files, or can't be listed."""
    dataset = inspected.dataset
    broken = [split for split in dataset.splits if split.state != SplitState.FOLDER]
    # Where one split is present this is the dataset, and another dataset, such as a backup, is not meant.
    if broken and len(broken) == len(dataset.splits):
        roots = suggest_roots(dataset.root, inspected.competition.dataset.splits)
        if roots:
            names = " and ".join(f"{split.name}/" for split in broken)
            remedy = f"Did you mean {roots[0]}? Run `cldc validate {shlex.quote(str(roots[0]))}`."
            if len(roots) > 1:
                remedy = (
                    f"Did you mean one of these {len(roots)} folders: {first_few(list(map(str, roots)))}?"
                )
            yield RuleMatch(
                message=f"The script can't find {names} in {dataset.root}.",
                consequence="The script stops at once.",
                remedy=remedy,
                paths=tuple(split.name for split in broken),
            )
            return
    fixable = {name for _, name in misnamed_splits(inspected)}
    for split in broken:
        problem = {
            SplitState.MISSING: f"The script can't find {split.name}/.",
            SplitState.FILE: f"The script needs a folder {split.name}/, but {split.name} is a file.",
            SplitState.UNLISTED: f"The script can't list the folder {split.name}/.",
        }
        yield RuleMatch(
            message=problem[split.state],
            consequence="The script stops at once.",
            remedy=_split_remedy(split, _folders_beside_splits(inspected)),
            paths=(split.name,),
            fixable=split.name in fixable,
        )


def _split_remedy(split: Split, folders: list[str]) -> str:
    if split.state == SplitState.UNLISTED:
        return f"Give yourself permission to read {split.name}/."
    same = [folder for folder in folders if fold_name(folder) == fold_name(split.name)]
    other = [*_OTHER_NAMES.get(split.name, ()), split.name]
    near = [folder for folder in folders if get_close_matches(fold_name(folder), other, n=1, cutoff=0.8)]
    if split.state == SplitState.FILE:
        first = f"Move the file {split.name} away, then"
        return (
            f"{first} rename {same[0]}/ to {split.name}/." if same else f"{first} add a folder {split.name}/."
        )
    if len(same) == 1:
        return f"Rename {same[0]}/ to {split.name}/, or run `cldc validate --fix`."
    if near:
        return f"There is a folder {near[0]}/: did you mean {split.name}/? Then rename it."
    return f"Add a folder {split.name}/ with one folder for each class."


def _folders_beside_splits(inspected: InspectedDataset) -> list[str]:
    beside = _ignored(inspected, IgnoreReason.BESIDE_SPLITS)
    return [path for path in beside if (inspected.dataset.root / path).is_dir()]


def _ignored(inspected: InspectedDataset, reason: IgnoreReason) -> list[str]:
    return [path for path, why in inspected.dataset.ignored if why == reason]


def misnamed_splits(inspected: InspectedDataset) -> list[tuple[str, str]]:
    """Find pairs of a misnamed split folder and the missing split, which differ only in case or spaces."""
    folders = _folders_beside_splits(inspected)
    found = []
    for split in inspected.dataset.splits:
        same = [folder for folder in folders if fold_name(folder) == fold_name(split.name)]
        if split.state == SplitState.MISSING and len(same) == 1:
            found.append((same[0], split.name))
    return found


@_rule(
    "class-misnamed",
    title="Misnamed class folders",
    severity=Severity.ERROR,
    why="The script compares the folders' names with the classes exactly; upper and lower case differ.",
)
def class_misnamed(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Folders whose name is a class's but for case, spaces or the form of its characters."""
    fixable = dict(misnamed_classes(inspected))
    for split, _, extra in _mismatches(inspected):
        for folder in extra:
            label = meant_class(folder, inspected.competition.dataset.classes)
            path = f"{split.name}/{folder}"
            if not label:
                continue
            remedy = f"Move away whatever else is, or would be, called {label!r}; then rename the folder."
            if path in fixable:
                remedy = f"Rename it to {label!r}, or run `cldc validate --fix`."
            elif label in split.folders:
                remedy = f"Move its images into {split.name}/{label} and remove the empty folder."
            yield RuleMatch(
                message=f"The class folder {path} should be called {label!r}.",
                consequence=_MISMATCH,
                remedy=remedy,
                paths=(path,),
                fixable=path in fixable,
            )


@_rule(
    "class-missing",
    title="Missing class folders",
    severity=Severity.ERROR,
    why="Each split must have a folder for every class. The script accepts an empty folder.",
)
def class_missing(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Classes without a folder."""
    files = _ignored(inspected, IgnoreReason.BESIDE_CLASSES)
    for split, missing, extra in _mismatches(inspected):
        for label in missing:
            if any(meant_class(folder, [label]) for folder in extra):
                continue
            path = f"{split.name}/{label}"
            what = "is a file, not a folder" if path in files else "is missing"
            yield RuleMatch(
                message=f"The class folder {path} {what}.",
                consequence=_MISMATCH,
                remedy=f"Add the folder {path} with the images of that class.",
                paths=(path,),
            )


@_rule(
    "class-extra",
    title="Extra folders beside the classes",
    severity=Severity.ERROR,
    why="Any other folder in a split, even an empty or a hidden one, stops the script.",
)
def class_extra(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Folders in a split that are not classes."""
    for split, _, extra in _mismatches(inspected):
        for folder in extra:
            if meant_class(folder, inspected.competition.dataset.classes):
                continue
            leftover = folder in LEFTOVER_FOLDERS
            yield RuleMatch(
                message=f"{split.name}/{folder} is not a class of {inspected.competition.title}.",
                consequence=_MISMATCH,
                remedy="Move it out of the split" + (", or run `cldc validate --fix`." if leftover else "."),
                paths=(f"{split.name}/{folder}",),
                fixable=leftover,
            )


@_rule(
    "split-empty",
    title="Splits without images",
    severity=Severity.ERROR,
    why="Keras can't create a dataset without files.",
)
def split_empty(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Splits without a file that the script reads."""
    filled = {split for split, _ in inspected.dataset.tally()}
    for split in inspected.dataset.splits:
        if split.state == SplitState.FOLDER and split.name not in filled:
            yield RuleMatch(
                message=f"The split {split.name}/ has no images.",
                consequence="The script stops, with an error about ReadFile or `No images found.`",
                remedy=f"Put images into the class folders of {split.name}/; the script reads "
                f"{' '.join(inspected.competition.dataset.extensions)}.",
                paths=(split.name,),
            )


@_rule(
    "class-empty",
    title="Classes without images",
    severity=Severity.WARNING,
    why="The script accepts an empty class folder, but the model never learns, or is never checked on, that class.",
)
def class_empty(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Class folders without images, in a split that has some."""
    filled = inspected.dataset.tally()
    classes = inspected.competition.dataset.classes
    for split in inspected.dataset.splits:
        if not any(name == split.name for name, _ in filled):
            continue
        for label in classes:
            if label in split.folders and (split.name, label) not in filled:
                yield RuleMatch(
                    message=f"The class folder {split.name}/{label} has no images.",
                    consequence="The script runs, but the model knows nothing of that class in this split.",
                    remedy=f"Add images of class {label}.",
                    paths=(f"{split.name}/{label}",),
                )


@rule(
    "too-many-images",
    title="Too many images for the script",
    severity=Severity.ERROR,
    why="The script counts whole batches of every split, so a last, partly filled batch counts in full. "
    "Above its limit it ends with exit code 0 and no predictions.",
    source=_SCRIPT,
)
def too_many_images(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """More images than the script accepts, after its own rounding."""
    limits = inspected.competition.dataset
    counts = {split: inspected.dataset.count(split) for split in limits.splits}
    padded = limits.padded(counts.values())
    if padded <= limits.max_padded:
        return
    parts = " + ".join(f"{plural(count, 'image')} in {split}" for split, count in counts.items())
    excess = (padded - limits.max_padded) // limits.batch
    yield RuleMatch(
        message=f"{parts} are {padded:,} after rounding each split up to whole batches of {limits.batch}; "
        f"the limit is {limits.max_padded:,}.",
        consequence="The script prints that the dataset is too large and ends with exit code 0 and without "
        "predictions.",
        remedy=f"Remove images until {plural(excess, 'batch', 'batches')} fewer are needed "
        f"(at most {excess * limits.batch:,} images).",
    )


@rule(
    "guide-limit",
    title="Too many images for the guide",
    severity=Severity.ERROR,
    why="The competition's guide sets a limit of its own, in images and without rounding.",
    source="the competition's submission guide",
)
def guide_limit(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """More images than the guide allows."""
    limit = inspected.competition.dataset.max_images
    total = len(inspected.dataset.images)
    if total > limit:
        yield RuleMatch(
            message=f"There are {total:,} images; the guide allows {limit:,} in all splits together.",
            consequence="The submission breaks the competition's rules, even if the script accepts it.",
            remedy=f"Remove {plural(total - limit, 'image')} or more.",
        )


@rule(
    "name-reserved",
    title="Reserved dataset name",
    severity=Severity.ERROR,
    why="The run finds its dependencies by name, so no two may have the same name.",
    source="CodaLab: the keys of a run's dependencies must differ",
)
def name_reserved(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """A dataset named like the script or the label book."""
    name, bundles = inspected.dataset.name, inspected.competition.bundles
    if name in (bundles.script.name, bundles.label_book.name):
        yield RuleMatch(
            message=f"The dataset is called {name!r}, like one of the organisers' bundles in the run.",
            consequence="CodaLab refuses the run, or the script reads the wrong data.",
            remedy="Rename the dataset's folder.",
        )


def _mismatches(inspected: InspectedDataset) -> Iterator[tuple[Split, list[str], list[str]]]:
    """List, for each split that is a folder, classes without a folder and folders that are not classes."""
    classes = inspected.competition.dataset.classes
    for split in inspected.dataset.splits:
        if split.state == SplitState.FOLDER:
            missing = [label for label in classes if label not in split.folders]
            yield split, missing, [folder for folder in split.folders if folder not in classes]


def misnamed_classes(inspected: InspectedDataset) -> list[tuple[str, str]]:
    """Find pairs of a misnamed class folder's path and its right path, if that is unambiguous and free."""
    pairs = [
        (f"{split.name}/{folder}", f"{split.name}/{label}")
        for split, missing, extra in _mismatches(inspected)
        for folder in extra
        if (label := meant_class(folder, missing))
    ]
    wanted = Counter(target for _, target in pairs)
    files = _ignored(inspected, IgnoreReason.BESIDE_CLASSES)
    return [(path, target) for path, target in pairs if wanted[target] == 1 and target not in files]


RULES = rules_in(globals())
