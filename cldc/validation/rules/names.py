"""Rules about files that are read or ignored unexpectedly, and names that other systems can't hold."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from cldc.dataset import IgnoredPath, IgnoreReason, Image, fold_path
from cldc.text import plural
from cldc.validation.model import InspectedDataset, RuleMatch, Severity, rule, rules_in
from cldc.validation.rules.folders import LEFTOVER_FOLDERS
from cldc.validation.rules.images import EXTENSIONS
from cldc.validation.sniffing import looks_like_picture
from cldc.validation.tensorflow_decoder import Format

_rule = partial(rule, source="observed with image_dataset_from_directory of TensorFlow 2.4.1 and 2.6.0")
LEFTOVER_FILES = frozenset(
    {".ds_store", "thumbs.db", "desktop.ini", ".directory", ".localized", "ehthumbs.db"}
)
_TENSORFLOW_FORMATS = frozenset(Format)
_WINDOWS_CHARACTERS = frozenset('<>:"|?*\\')
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
)
# Nearly all names match nothing of this and have no problem.
_SUSPECT_NAME = re.compile(r'[^ -~]|[<>:"|?*\\]|[ .]$|^(con|prn|aux|nul|com|lpt)', re.IGNORECASE)


@_rule(
    "name-not-utf8",
    title="Names that are not UTF-8",
    severity=Severity.ERROR,
    why="TensorFlow takes file names as UTF-8 text.",
)
def name_not_utf8(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images with bytes in their paths that are not UTF-8."""
    for image in inspected.dataset.images:
        if not _is_utf8(image.path):
            yield RuleMatch(
                message=f"The name of {image.path} is not UTF-8.",
                consequence="The script stops with UnicodeEncodeError while it lists the files.",
                remedy="Rename the file with plain letters, digits, _ . and -.",
                paths=(image.path,),
            )


@_rule(
    "junk-file",
    title="Leftover files (.DS_Store, Thumbs.db, ._*)",
    severity=Severity.WARNING,
    why="macOS writes `._NAME` files beside the real ones on foreign disks; the script reads them as images.",
)
def junk_file(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """AppleDouble files, and files in folders that programs create for themselves."""
    images = leftover_images(inspected)
    if images:
        yield RuleMatch(
            message=f"{plural(len(images), 'leftover file')} of other programs among the images.",
            consequence="The script counts them as images, and stops if TensorFlow can't decode one.",
            remedy="Move them out of the dataset, or run `cldc validate --fix`.",
            paths=images,
            fixable=True,
        )
    ignored = leftover_ignored(inspected)
    if ignored:
        yield RuleMatch(
            message=f"{plural(len(ignored), 'leftover file')} of other programs.",
            consequence="The script ignores them, and cldc does not pack them.",
            remedy="Nothing needs to be done; `cldc validate --fix` moves them away.",
            paths=ignored,
            severity=Severity.NOTE,
            fixable=True,
        )


def leftover_images(inspected: InspectedDataset) -> tuple[str, ...]:
    """Find certain leftovers: AppleDouble files that can't be decoded, and files in other programs' folders."""
    pictures = {image.path for image, inspection in inspected.readable if inspection.verdict.format}
    return tuple(
        image.path
        for image in inspected.dataset.images
        if not LEFTOVER_FOLDERS.isdisjoint(image.path.split("/")[2:-1])
        or (image.name.startswith("._") and image.path not in pictures)
    )


def leftover_ignored(inspected: InspectedDataset) -> tuple[str, ...]:
    """Find ignored files and folders that other programs are known to leave behind."""
    found = []
    for path, reason in inspected.dataset.ignored:
        parts = path.split("/")
        in_folder = reason != IgnoreReason.LINKED_FOLDER and not LEFTOVER_FOLDERS.isdisjoint(parts)
        if in_folder or parts[-1].lower() in LEFTOVER_FILES or parts[-1].startswith("._"):
            found.append(path)
    return tuple(found)


@_rule(
    "hidden-file",
    title="Hidden files",
    severity=Severity.WARNING,
    why="File managers don't show them, but the script reads them.",
)
def hidden_file(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images whose own name begins with a dot."""
    leftover = leftover_images(inspected)
    hidden = [image.path for image in inspected.dataset.images if image.name.startswith(".")]
    paths = tuple(path for path in hidden if path not in leftover)
    if paths:
        yield RuleMatch(
            message=f"{plural(len(paths), 'hidden file')} among the images.",
            consequence="The script trains on them like on any other image.",
            remedy="Rename them without the leading dot if they belong there, or remove them.",
            paths=paths,
        )


@_rule(
    "nested-file",
    title="Images in nested folders",
    severity=Severity.WARNING,
    why="The script reads a file in a folder inside a class folder, and gives it the outer folder's class.",
)
def nested_file(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images in a folder inside a class folder, one match for each such folder."""
    classes = inspected.competition.dataset.classes
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in inspected.dataset.images:
        if image.nested:
            groups["/".join(image.path.split("/")[:3])].append(image)
    for folder, images in sorted(groups.items()):
        label, inner = images[0].label, folder.rpartition("/")[2]
        other = f", not as {inner!r}" if inner in classes and inner != label else ""
        yield RuleMatch(
            message=f"{folder}/ is inside a class folder.",
            consequence=f"The script reads its images as class {label!r}{other}.",
            remedy=f"Move them to {folder.rpartition('/')[0]}/ if that is their class; otherwise move them out of it.",
            paths=tuple(image.path for image in images),
        )


@_rule(
    "linked-file",
    title="Linked files",
    severity=Severity.NOTE,
    why="The script follows links to files and linked class folders; cldc packs what they point to.",
)
def linked_file(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Links to files of the dataset; `publishing.outward_link` finds the other links."""
    outward = {link.path for link in inspected.dataset.outward_links}
    links = [image.path for image in inspected.dataset.images if image.link and not image.error]
    paths = tuple(path for path in links if path not in outward)
    if paths:
        yield RuleMatch(
            message=f"{plural(len(paths), 'link')} to files among the images.",
            consequence="The script reads what they point to.",
            remedy="Nothing needs to be done; changing the target changes the dataset.",
            paths=paths,
        )


@_rule(
    "passed-over",
    title="Ignored files",
    severity=Severity.WARNING,
    why="The script chooses files by their extension, and silently ignores all others.",
)
def passed_over(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Files and folders that the script does not read, grouped by why, what they are and what to do."""
    groups: dict[tuple[IgnoreReason, Severity, str, str], list[str]] = defaultdict(list)
    leftover = frozenset(leftover_ignored(inspected))
    for ignored in inspected.dataset.ignored:
        if ignored.path not in leftover:
            kind = inspected.ignored_formats.get(ignored.path, "")
            severity = _ignored_severity(inspected, ignored, kind)
            remedy = "Nothing needs to be done."
            if severity == Severity.WARNING:
                remedy = _ignored_remedy(inspected, ignored, kind)
            groups[ignored.reason, severity, kind, remedy].append(ignored.path)
    for (reason, severity, kind, remedy), paths in sorted(groups.items()):
        name = kind.upper() if kind in _TENSORFLOW_FORMATS else kind
        noun = f"{name} file" if kind else "file" if reason == IgnoreReason.EXTENSION else "path"
        them, they_look = (
            ("it", "it looks like an image") if len(paths) == 1 else ("them", "they look like images")
        )
        image = f", although {they_look}" if severity == Severity.WARNING else ""
        yield RuleMatch(
            message=f"{plural(len(paths), noun)} ignored: {reason.value}.",
            consequence=f"The script does not see {them}{image}.",
            remedy=remedy,
            paths=tuple(paths),
            severity=severity,
        )


def _ignored_severity(inspected: InspectedDataset, ignored: IgnoredPath, kind: str) -> Severity:
    if ignored.reason in (IgnoreReason.LINKED_FOLDER, IgnoreReason.UNLISTED):
        return Severity.WARNING
    if ignored.reason == IgnoreReason.BESIDE_SPLITS:
        return Severity.NOTE
    name = ignored.path.rpartition("/")[2]
    looks_like_image = kind or looks_like_picture(name, inspected.competition.dataset.extensions)
    return Severity.WARNING if looks_like_image else Severity.NOTE


def _ignored_remedy(inspected: InspectedDataset, ignored: IgnoredPath, kind: str) -> str:
    """Say how to get the script to read it; ``kind`` is its picture format by content, empty if unknown."""
    if ignored.reason == IgnoreReason.UNLISTED:
        return "Give yourself permission to read the folder."
    if ignored.reason == IgnoreReason.LINKED_FOLDER:
        return "Put the images themselves into the class folder if they should count."
    extensions = inspected.competition.dataset.extensions
    usable = (
        [end for end in EXTENSIONS[Format(kind)] if end in extensions] if kind in _TENSORFLOW_FORMATS else []
    )
    steps = []
    if not usable:
        why = f"TensorFlow does not read {kind}"
        if not kind or kind in _TENSORFLOW_FORMATS:
            why = "TensorFlow goes by content"
        export = next((f for f in Format if not {*EXTENSIONS[f]}.isdisjoint(extensions)), Format.PNG)
        steps.append(f"open each one and export it as {export.upper()} (renaming does not help: {why})")
    elif not ignored.path.lower().endswith(tuple(extensions)):
        steps.append(f"rename them so that they end in {usable[0]}")
    if ignored.reason == IgnoreReason.BESIDE_CLASSES:
        steps.append("move them into the folder of their class")
    return f"If they should count, {' and '.join(steps)}."


@rule(
    "name-not-portable",
    title="Names that other systems can't hold",
    severity=Severity.WARNING,
    why="A zip contains names that some systems can't hold, or of which they can hold only one.",
    source="Windows' naming rules; file systems that ignore case or normalise Unicode",
)
def name_not_portable(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Image names that Windows refuses, that differ only in case or in the form of accents, or that are not plain text."""
    groups: dict[str, list[str]] = defaultdict(list)
    folded: dict[str, list[str]] = defaultdict(list)
    for image in inspected.dataset.images:
        problems = {problem for part in image.path.split("/")[2:] for problem in _name_problems(part)}
        for problem in sorted(problems):
            groups[problem].append(image.path)
        folded[fold_path(image.path)].append(image.path)
    same = "differ only in upper and lower case or in how accents are written"
    clashes = ((same, paths) for paths in folded.values() if len(paths) > 1)
    for problem, paths in (*sorted(groups.items()), *clashes):
        yield RuleMatch(
            message=f"Names {problem}.",
            consequence="The competition's server keeps them, but elsewhere the zip unpacks to other names or to "
            "fewer files.",
            remedy="Rename the files with plain letters, digits, _ . and -.",
            paths=tuple(paths),
        )


def _name_problems(name: str) -> Iterator[str]:
    if not _SUSPECT_NAME.search(name) or not _is_utf8(name):
        return
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        yield "contain line breaks or other control characters"
    if not _WINDOWS_CHARACTERS.isdisjoint(name):
        yield 'contain characters that Windows refuses (< > : " | ? * \\)'
    if name[-1] in " .":
        yield "end with a space or a dot, which Windows cuts off"
    if name.split(".", maxsplit=1)[0].rstrip().lower() in _WINDOWS_DEVICES:
        yield "are reserved on Windows (CON, NUL, COM1 and so on)"
    if any("\ue000" <= c <= "\uf8ff" for c in name):
        yield "contain private characters, as WSL writes for those that Windows refuses"
    if unicodedata.normalize("NFC", name) != name:
        yield "write accents as separate characters, as macOS does"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@_rule(
    "extension-case",
    title="Extensions in capitals",
    severity=Severity.NOTE,
    why="The script accepts extensions in any case; other tools may not.",
)
def extension_case(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images whose extension has capitals."""
    extensions = inspected.competition.dataset.extensions
    paths = tuple(image.path for image in inspected.dataset.images if not image.path.endswith(extensions))
    if paths:
        yield RuleMatch(
            message=f"{plural(len(paths), 'extension')} in capitals.",
            consequence="The script reads these files anyway.",
            remedy="Nothing needs to be done.",
            paths=paths,
        )


RULES = rules_in(globals())
