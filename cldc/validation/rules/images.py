"""Rules about whether and how TensorFlow reads each image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial

from cldc.text import plural
from cldc.validation.model import InspectedDataset, RuleMatch, Severity, rule, rules_in
from cldc.validation.tensorflow_decoder import Format, Readable, Remark

_rule = partial(
    rule, source="tf.io.decode_image of TensorFlow 2.4.1, compared with it by a differential test"
)
EXTENSIONS = {
    Format.PNG: (".png",),
    Format.JPEG: (".jpg", ".jpeg"),
    Format.GIF: (".gif",),
    Format.BMP: (".bmp",),
}
"""The extensions of each format, the usual one first."""

# Remarks that change nothing a model of small grey pictures would learn from.
_HARMLESS = frozenset(
    {Remark.SIXTEEN_BIT, Remark.COLOUR_PROFILE, Remark.CMYK, Remark.TRAILING_BYTES, Remark.SEVERAL_PICTURES}
)
_FETCHING = {
    "Git LFS": "Run `git lfs pull` in the repository; in a GitHub workflow check out with `lfs: true`.",
    "git-annex": "Run `git annex get .` in the dataset's folder.",
}


@rule(
    "file-unreadable",
    title="Unreadable files",
    severity=Severity.ERROR,
    why="The script counts a broken link, a pipe or a file without permission as an image and fails when it reads it.",
    source="observed with TensorFlow 2.4.1",
)
def file_unreadable(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Files that can't be read at all."""
    for image in inspected.dataset.images:
        if image.error and image.path not in inspected.pointers:
            waits = "pipe" in image.error
            yield RuleMatch(
                message=f"{image.path} can't be read: {image.error}.",
                consequence="The script waits for it forever."
                if waits
                else "The script stops when it reads it.",
                remedy="Put the image itself there, or remove it.",
                paths=(image.path,),
            )


@rule(
    "git-pointer",
    title="Git LFS and git-annex pointers",
    severity=Severity.ERROR,
    why="A repository with Git LFS or git-annex has pointers instead of large files until those are fetched.",
    source="the specifications of Git LFS and git-annex",
)
def git_pointer(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """All pointers of one kind together, since one command fetches all files."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for path, kind in inspected.pointers.items():
        kinds[kind].append(path)
    for kind, paths in sorted(kinds.items()):
        which = f"is a {kind} pointer" if len(paths) == 1 else f"are {kind} pointers"
        yield RuleMatch(
            message=f"{plural(len(paths), 'image')} {which}: the content was not fetched.",
            consequence="The script can't read these files and stops.",
            remedy=_FETCHING[kind],
            paths=tuple(paths),
        )


@_rule(
    "image-undecodable",
    title="Images that TensorFlow can't read",
    severity=Severity.ERROR,
    why="One image that TensorFlow can't decode ends the whole training, and the error does not name the file. Other "
    "programs open many such files. The content decides, not the name.",
)
def image_undecodable(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images that TensorFlow refuses."""
    first, *_ = inspected.competition.dataset.splits
    for image, (verdict, *_) in inspected.readable:
        if verdict.readable is Readable.NO and image.path not in inspected.pointers:
            reason = verdict.reason.removeprefix("TensorFlow: ").rstrip(".")
            # The untrained model is evaluated on every split but the first, before training begins.
            when = "in the first epoch" if image.split == first else "before training"
            yield RuleMatch(
                message=f"TensorFlow can't read {image.path}: {reason}.",
                consequence=f"The script stops {when}, with exit code 1 and without naming the file.",
                remedy="Open the image and export it as an 8-bit PNG, or remove it; renaming it does not help.",
                paths=(image.path,),
            )


@_rule(
    "image-unsure",
    title="Images that TensorFlow may not read",
    severity=Severity.WARNING,
    why="For a few damaged files the answer depends on parts of TensorFlow that are not reproduced here.",
)
def image_unsure(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images without a verdict."""
    for image, (verdict, *_) in inspected.readable:
        if verdict.readable is Readable.UNKNOWN:
            yield RuleMatch(
                message=f"It is unknown whether TensorFlow reads {image.path}: {verdict.reason.rstrip('.')}.",
                consequence="The script may stop when it reads it.",
                remedy="Run `cldc preflight`, or save the image again as an 8-bit PNG.",
                paths=(image.path,),
            )


@_rule(
    "image-seen-differently",
    title="Images that TensorFlow reads differently",
    severity=Severity.WARNING,
    why="What the script trains on is not always what an image viewer shows.",
)
def image_seen_differently(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images that are read, but not as they look."""
    groups: dict[Remark, list[str]] = defaultdict(list)
    for image, (verdict, *_) in inspected.readable:
        if verdict.readable is not Readable.NO:
            for remark in verdict.remarks:
                groups[remark].append(image.path)
    for remark in sorted(groups):
        yield RuleMatch(
            message=remark.text,
            consequence="The script trains on what TensorFlow reads.",
            remedy="Save these images again as plain 8-bit PNGs that look as you want them.",
            paths=tuple(groups[remark]),
            severity=Severity.NOTE if remark in _HARMLESS else Severity.WARNING,
        )


@_rule(
    "extension-content",
    title="Wrong extensions",
    severity=Severity.NOTE,
    why="The script goes by the content; other programs go by the extension.",
)
def extension_content(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Files whose extension is of another format than their content."""
    groups: dict[Format, list[str]] = defaultdict(list)
    for image, inspection in inspected.readable:
        kind = inspection.verdict.format
        if kind and not image.path.lower().endswith(EXTENSIONS[kind]):
            groups[kind].append(image.path)
    for kind, paths in sorted(groups.items()):
        yield RuleMatch(
            message=f"{plural(len(paths), f'{kind.upper()} file')} with another extension.",
            consequence="The script reads them anyway.",
            remedy=f"Rename them to {EXTENSIONS[kind][0]}, or run `cldc validate --fix`.",
            paths=tuple(paths),
            fixable=True,
        )


RULES = rules_in(globals())
