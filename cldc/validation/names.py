"""Rules about files that are taken or passed over against expectation, and names that do not travel."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from cldc.dataset import IgnoredPath, IgnoreReason, Image
from cldc.validation.decoding import Format
from cldc.validation.images import right_endings
from cldc.validation.model import Hit, Rule, Severity, Subject, rule
from cldc.validation.sniffing import looks_like_picture
from cldc.validation.structure import JUNK_FOLDERS

_LISTING = "observed with image_dataset_from_directory of TensorFlow 2.4.1 and 2.6.0"
JUNK_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".directory", ".localized", "ehthumbs.db"})
# Formats that TensorFlow reads.
_READ = frozenset(Format)
_WINDOWS_CHARACTERS = frozenset('<>:"|?*\\')
_WINDOWS_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
)
# Paths of these characters only have no problem unless one of the others stands in them.
_ORDINARY = bytes({*range(32, 127)} - {*b'<>:"|?*\\'}) + b"\0"
_SUSPECTS = ("./", " /", *sorted({f"/{device[:3]}" for device in _WINDOWS_DEVICES}))


@rule(
    "name-not-utf8",
    title="Names are UTF-8",
    severity=Severity.ERROR,
    why="TensorFlow takes file names as UTF-8 text.",
    source=_LISTING,
)
def name_not_utf8(subject: Subject) -> Iterator[Hit]:
    """A path of an image with bytes that are no UTF-8."""
    if _is_utf8(subject.paths):
        return
    for image in subject.dataset.images:
        if not _is_utf8(image.path):
            yield Hit(
                message=f"The name of {image.path} is not UTF-8.",
                consequence="The script stops with UnicodeEncodeError while it lists the files.",
                remedy="Rename the file in plain letters, digits, _ . and -.",
                paths=(image.path,),
            )


@rule(
    "junk-file",
    title="No leavings of other programs among the images",
    severity=Severity.WARNING,
    why="macOS writes `._NAME` files beside the real ones on foreign disks; the script takes them for images.",
    source=_LISTING,
)
def junk_file(subject: Subject) -> Iterator[Hit]:
    """AppleDouble files, and files in folders that programs make for themselves."""
    taken = tuple(image.path for image in junk_images(subject))
    if taken:
        yield Hit(
            message="Files that other programs left behind are taken for images.",
            consequence="The script counts them, and stops where TensorFlow can't decode one.",
            remedy="Move them out of the dataset, or run `cldc validate --fix`.",
            paths=taken,
            fixable=True,
        )
    passed = tuple(other.path for other in junk_others(subject))
    if passed:
        yield Hit(
            message="Files that other programs left behind lie in the dataset.",
            consequence="The script passes over them, and cldc does not pack them.",
            remedy="Nothing needs to be done; `cldc validate --fix` moves them away.",
            paths=passed,
            severity=Severity.NOTE,
            fixable=True,
        )


def junk_images(subject: Subject) -> list[Image]:
    """Images that are surely none: AppleDouble files that can't be decoded, and what lies in programs' folders."""
    found = []
    for image in subject.dataset.images if "/._" in subject.paths else _nested(subject):
        if "/._" not in image.path and not image.nested:
            continue
        inspection = subject.inspections.get(image.sha256)
        reads = inspection is not None and inspection.verdict.format is not None
        in_junk = any(part in JUNK_FOLDERS for part in image.path.split("/")[2:-1])
        if in_junk or (image.name.startswith("._") and not reads):
            found.append(image)
    return found


def _nested(subject: Subject) -> Sequence[Image]:
    """Images in a folder inside their class folder."""
    images = subject.dataset.images
    if subject.paths.count("/") == 2 * len(images):
        return ()
    return [image for image in images if image.nested]


def junk_others(subject: Subject) -> list[IgnoredPath]:
    """Things passed over that programs are known to leave behind."""
    return [other for other in subject.dataset.ignored if _is_junk(other)]


def _is_junk(other: IgnoredPath) -> bool:
    parts = other.path.split("/")
    name = parts[-1]
    return (
        name.lower() in JUNK_FILES
        or name.startswith("._")
        or (other.reason != IgnoreReason.LINKED_FOLDER and any(part in JUNK_FOLDERS for part in parts))
    )


@rule(
    "hidden-file",
    title="No hidden files among the images",
    severity=Severity.WARNING,
    why="File managers don't show them, but the script takes them.",
    source=_LISTING,
)
def hidden_file(subject: Subject) -> Iterator[Hit]:
    """Images whose own name begins with a dot."""
    if "/." not in subject.paths:
        return
    junk = {image.path for image in junk_images(subject)}
    hidden = [image for image in subject.dataset.images if "/." in image.path and image.name.startswith(".")]
    paths = tuple(image.path for image in hidden if image.path not in junk)
    if paths:
        yield Hit(
            message="Hidden files are taken for images.",
            consequence="The script trains on them as on any other.",
            remedy="Rename them without the leading dot if they belong there, or remove them.",
            paths=paths,
        )


@rule(
    "nested-file",
    title="Images lie directly in their class folder",
    severity=Severity.WARNING,
    why="A file in a folder inside a class folder is taken, and gets the outer folder's class.",
    source=_LISTING,
)
def nested_file(subject: Subject) -> Iterator[Hit]:
    """Images below a folder inside a class folder, told folder by folder."""
    classes = subject.competition.dataset.classes
    groups: dict[str, list[Image]] = defaultdict(list)
    for image in _nested(subject):
        groups["/".join(image.path.split("/")[:3])].append(image)
    for folder, images in sorted(groups.items()):
        label, inner = images[0].label, folder.rpartition("/")[2]
        other = f", not as {inner!r}" if inner in classes and inner != label else ""
        yield Hit(
            message=f"{folder}/ lies inside a class folder.",
            consequence=f"The script takes its images as class {label!r}{other}.",
            remedy=f"Move them to {folder.rpartition('/')[0]}/ if that is their class, or out of it if not.",
            paths=tuple(image.path for image in images),
        )


@rule(
    "linked-file",
    title="Images are files, not links",
    severity=Severity.NOTE,
    why="The script follows links to files and class folders that are links; cldc packs what they point to.",
    source=_LISTING,
)
def linked_file(subject: Subject) -> Iterator[Hit]:
    """Links to files of the dataset; `publishing.outward_link` finds the others."""
    outward = {link.path for link in subject.dataset.outward_links}
    links = [image.path for image in subject.dataset.images if image.link and not image.error]
    paths = tuple(path for path in links if path not in outward)
    if paths:
        yield Hit(
            message="Links to files are taken as images.",
            consequence="The script reads what they point to.",
            remedy="Nothing needs to be done; mind that changing the target changes the dataset.",
            paths=paths,
        )


@rule(
    "passed-over",
    title="Nothing that looks like an image is passed over",
    severity=Severity.WARNING,
    why="The script takes a file only for its ending, and says nothing of the others.",
    source=_LISTING,
)
def passed_over(subject: Subject) -> Iterator[Hit]:
    """Files and folders in a split that the script does not take, grouped by why, what they are and what to do."""
    groups: dict[tuple[IgnoreReason, Severity, str, str], list[str]] = defaultdict(list)
    for other in subject.dataset.ignored:
        if not _is_junk(other):
            kind = subject.formats_passed_over.get(other.path, "")
            severity = _severity(subject, other, kind)
            remedy = "Nothing needs to be done."
            if severity == Severity.WARNING:
                remedy = _passed_remedy(subject, other, kind)
            groups[other.reason, severity, kind, remedy].append(other.path)
    for (reason, severity, kind, remedy), paths in sorted(groups.items()):
        image = severity == Severity.WARNING
        what = f"{_format_name(kind)} by content, passed over" if kind else "Passed over"
        yield Hit(
            message=f"{what}, since {reason.value}.",
            consequence="The script does not see these" + (", which look like images." if image else "."),
            remedy=remedy,
            paths=tuple(paths),
            severity=severity,
        )


def _severity(subject: Subject, other: IgnoredPath, kind: str) -> Severity:
    if other.reason in (IgnoreReason.LINKED_FOLDER, IgnoreReason.UNLISTED):
        return Severity.WARNING
    if other.reason == IgnoreReason.BESIDE_SPLITS:
        return Severity.NOTE
    name = other.path.rpartition("/")[2]
    looks_like_image = kind or looks_like_picture(name, subject.competition.dataset.extensions)
    return Severity.WARNING if looks_like_image else Severity.NOTE


def _passed_remedy(subject: Subject, other: IgnoredPath, kind: str) -> str:
    """What makes the script take it; ``kind`` is its picture format by content, empty where that is not known."""
    if other.reason == IgnoreReason.UNLISTED:
        return "Make the folder readable to yourself."
    if other.reason == IgnoreReason.LINKED_FOLDER:
        return "Put the images themselves into the class folder if they are to count."
    steps = [] if other.reason == IgnoreReason.EXTENSION else ["move them into the folder of their class"]
    return f"If they are to count, {' and '.join([*_usable_steps(subject, other, kind), *steps])}."


def _usable_steps(subject: Subject, other: IgnoredPath, kind: str) -> list[str]:
    """What makes it a file that TensorFlow reads under a name that the script takes."""
    extensions = subject.competition.dataset.extensions
    usable = [end for end in right_endings(Format(kind)) if end in extensions] if kind in _READ else []
    if not usable:
        why = f"TensorFlow reads no {kind}" if kind and kind not in _READ else "TensorFlow goes by content"
        export = next((f for f in Format if not {*right_endings(f)}.isdisjoint(extensions)), Format.PNG)
        return [f"open each one and export it as {export.upper()} (renaming does not help: {why})"]
    if other.path.lower().endswith(tuple(extensions)):
        return []
    return [f"rename them so that they end in {usable[0]}"]


def _format_name(kind: str) -> str:
    return kind.upper() if kind in _READ else kind


@rule(
    "name-not-portable",
    title="Names survive the zip on other systems",
    severity=Severity.WARNING,
    why="A zip carries names that some systems can't hold, or hold only one of.",
    source="Windows' naming rules; file systems that ignore case or normalise Unicode",
)
def name_not_portable(subject: Subject) -> Iterator[Hit]:
    """Image names that Windows refuses, that differ only in case or accents' form, or that are no plain text."""
    every = [image.path for image in subject.dataset.images]
    groups: dict[str, list[str]] = defaultdict(list)
    for path in filter(_is_suspect, every) if _is_suspect(subject.paths) else ():
        for problem in sorted({problem for part in path.split("/")[2:] for problem in _name_problems(part)}):
            groups[problem].append(path)
    for problem, paths in sorted(groups.items()):
        yield _portability(problem, paths)
    if subject.paths.isascii() and subject.paths.islower():
        return
    folded = [
        path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold() for path in every
    ]
    if len(set(folded)) == len(every):
        return
    alike: dict[str, list[str]] = defaultdict(list)
    for same, path in zip(folded, every, strict=True):
        alike[same].append(path)
    for paths in alike.values():
        if len(paths) > 1:
            yield _portability("differ only in upper and lower case, or in how accents are written", paths)


def _is_suspect(paths: str) -> bool:
    """Whether a path, or one of several with a NUL between them, may be a problem somewhere; soon told of nearly all."""
    if not paths.isascii() or paths.encode().translate(None, _ORDINARY):
        return True
    lower = paths.lower()
    return any(suspect in lower for suspect in _SUSPECTS)


def _portability(problem: str, paths: Iterable[str]) -> Hit:
    return Hit(
        message=f"Names {problem}.",
        consequence="The competition's server keeps them, but elsewhere the zip unpacks to other names or to "
        "fewer files.",
        remedy="Rename the files in plain letters, digits, _ . and -.",
        paths=tuple(paths),
    )


def _name_problems(name: str) -> Iterator[str]:
    if not _is_utf8(name):
        return
    if any(ord(c) < 32 or ord(c) == 127 for c in name):
        yield "hold line breaks or other control characters"
    if not _WINDOWS_CHARACTERS.isdisjoint(name):
        yield 'hold characters that Windows refuses (< > : " | ? * \\)'
    if name[-1] in " .":
        yield "end with a space or a dot, which Windows cuts off"
    if name.split(".", maxsplit=1)[0].rstrip().lower() in _WINDOWS_DEVICES:
        yield "are devices on Windows (CON, NUL, COM1 and so on)"
    if any("\ue000" <= c <= "\uf8ff" for c in name):
        yield "hold private characters, as WSL writes for those that Windows refuses"
    if unicodedata.normalize("NFC", name) != name:
        yield "write accents as separate characters, as macOS does"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@rule(
    "extension-case",
    title="Endings are in lower case",
    severity=Severity.NOTE,
    why="The script takes endings in any case; other tools may not.",
    source=_LISTING,
)
def extension_case(subject: Subject) -> Iterator[Hit]:
    """Images whose ending has capitals."""
    extensions = subject.competition.dataset.extensions
    paths = tuple(image.path for image in subject.dataset.images if not image.path.endswith(extensions))
    if paths:
        yield Hit(
            message="Endings with capital letters.",
            consequence="The script takes these files all the same.",
            remedy="Nothing needs to be done.",
            paths=paths,
        )


RULES: tuple[Rule, ...] = (
    name_not_utf8,
    junk_file,
    hidden_file,
    nested_file,
    linked_file,
    passed_over,
    name_not_portable,
    extension_case,
)
