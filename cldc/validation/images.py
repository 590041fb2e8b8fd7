"""Rules about whether and how TensorFlow reads each image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from cldc.text import plural
from cldc.validation.decoding import Format, Readable, Remark, Verdict
from cldc.validation.model import Hit, Rule, Severity, Subject, rule

_DECODING = "tf.io.decode_image of TensorFlow 2.4.1, held against it by a differential test"
_ENDINGS = {
    Format.PNG: (".png",),
    Format.JPEG: (".jpg", ".jpeg"),
    Format.GIF: (".gif",),
    Format.BMP: (".bmp",),
}
# Remarks that change nothing a model of small grey pictures would learn from.
_HARMLESS = frozenset(
    {
        Remark.SIXTEEN_BIT,
        Remark.COLOUR_PROFILE,
        Remark.CMYK,
        Remark.TRAILING_BYTES,
        Remark.SEVERAL_PICTURES,
    }
)


@rule(
    "file-unreadable",
    title="Every file that the script takes can be opened",
    severity=Severity.ERROR,
    why="A link to nothing, a pipe or a file without permission is counted as an image and fails when read.",
    source="observed with TensorFlow 2.4.1",
)
def file_unreadable(subject: Subject) -> Iterator[Hit]:
    """A file that can't be read at all."""
    for image in subject.dataset.images:
        if image.error and image.path not in subject.pointers:
            waits = "pipe" in image.error
            yield Hit(
                message=f"{image.path} can't be read: {image.error}.",
                consequence=(
                    "The script waits on it for ever."
                    if waits
                    else "The script counts it and stops when it comes to it."
                ),
                remedy="Put the image itself there, or remove it.",
                paths=(image.path,),
            )


@rule(
    "git-pointer",
    title="Images are there, not only Git's pointers to them",
    severity=Severity.ERROR,
    why="A repository with Git LFS or git-annex holds pointers in place of large files until those are fetched.",
    source="the specifications of Git LFS and git-annex",
)
def git_pointer(subject: Subject) -> Iterator[Hit]:
    """All pointers of one kind together, since one command fetches what they stand for."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, kind in subject.pointers.items():
        kinds[kind].append(path)
    for kind, paths in sorted(kinds.items()):
        which = f"is a {kind} pointer" if len(paths) == 1 else f"are {kind} pointers"
        yield Hit(
            message=f"{plural(len(paths), 'image')} {which}: the content was not fetched.",
            consequence="The script can't read these files and stops.",
            remedy=_FETCHING[kind],
            paths=tuple(paths),
        )


_FETCHING = {
    "Git LFS": "Run `git lfs pull` in the repository; a workflow of GitHub's checks out with `lfs: true`.",
    "git-annex": "Run `git annex get .` in the dataset's folder.",
}


@rule(
    "image-undecodable",
    title="TensorFlow reads every image",
    severity=Severity.ERROR,
    why="One image that TensorFlow can't decode ends the whole training, and the error names no file. Other "
    "programs open many such files. The content decides, not the name.",
    source=_DECODING,
)
def image_undecodable(subject: Subject) -> Iterator[Hit]:
    """An image that TensorFlow refuses."""
    when = _failing_times(subject)
    for image, verdict in subject.remarkable:
        if verdict.readable is Readable.NO and image.path not in subject.pointers:
            yield Hit(
                message=f"TensorFlow can't read {image.path}: {_reason(verdict)}.",
                consequence=f"The script stops {when[image.split]}, with exit code 1 and without naming the file.",
                remedy="Open the image and export it as an 8-bit PNG, or remove it; renaming it does not help.",
                paths=(image.path,),
            )


def _reason(verdict: Verdict) -> str:
    return verdict.reason.removeprefix("TensorFlow: ").rstrip(".")


def _failing_times(subject: Subject) -> dict[str, str]:
    # The untrained model is evaluated on every split but the first, before training begins.
    splits = subject.competition.dataset.splits
    return {split: "in the first epoch" if split == splits[0] else "before training" for split in splits}


@rule(
    "image-unsure",
    title="Only TensorFlow can tell whether it reads the image",
    severity=Severity.WARNING,
    why="For a few damaged files the answer depends on code paths that are not imitated here.",
    source=_DECODING,
)
def image_unsure(subject: Subject) -> Iterator[Hit]:
    """An image without a verdict."""
    for image, verdict in subject.remarkable:
        if verdict.readable is Readable.UNKNOWN:
            yield Hit(
                message=f"Whether TensorFlow reads {image.path} is unsure: {verdict.reason.rstrip('.')}.",
                consequence="The script may stop when it comes to it.",
                remedy="Run `cldc preflight`, or save the image again as an 8-bit PNG.",
                paths=(image.path,),
            )


@rule(
    "image-seen-differently",
    title="TensorFlow sees the image as people do",
    severity=Severity.WARNING,
    why="What the script trains on is not always what an image viewer shows.",
    source=_DECODING,
)
def image_seen_differently(subject: Subject) -> Iterator[Hit]:
    """Images that are read, but not as they look."""
    groups: dict[Remark, list[str]] = defaultdict(list)
    for image, verdict in subject.remarkable:
        if verdict.readable is not Readable.NO:
            for remark in verdict.remarks:
                groups[remark].append(image.path)
    for remark in sorted(groups):
        yield Hit(
            message=remark.text,
            consequence="The script trains on what TensorFlow sees.",
            remedy="Save these images again as plain 8-bit PNGs that look as you want them.",
            paths=tuple(groups[remark]),
            severity=Severity.NOTE if remark in _HARMLESS else Severity.WARNING,
        )


@rule(
    "extension-content",
    title="The ending says what the file is",
    severity=Severity.NOTE,
    why="The script goes by content, other programs by the ending.",
    source=_DECODING,
)
def extension_content(subject: Subject) -> Iterator[Hit]:
    """Files whose ending names another format than their content."""
    groups: dict[Format, list[str]] = defaultdict(list)
    png = Format.PNG  # as nearly all are
    others = [
        (image.path, found.verdict.format)
        for image, found in subject.seen
        if found.verdict.format is not png or not image.path.endswith(".png")
    ]
    for path, kind in others:
        if kind and not path.lower().endswith(_ENDINGS[kind]):
            groups[kind].append(path)
    for kind, paths in sorted(groups.items()):
        yield Hit(
            message=f"Files that are {kind.upper()} by content have another ending.",
            consequence="The script reads them all the same.",
            remedy=f"Rename them to {_ENDINGS[kind][0]}, or run `cldc validate --fix`.",
            paths=tuple(paths),
            fixable=True,
        )


def right_endings(kind: Format) -> tuple[str, ...]:
    """Endings for a content of this format, the usual one first."""
    return _ENDINGS[kind]


RULES: tuple[Rule, ...] = (
    file_unreadable,
    git_pointer,
    image_undecodable,
    image_unsure,
    image_seen_differently,
    extension_content,
)
