"""The real kind of ignored files and unreadable images: advice on them depends on their content, not on their name."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence

from cldc.dataset import Dataset, IgnoreReason, read_start
from cldc.validation.inspection_result import Inspection
from cldc.validation.tensorflow_decoder.dispatch import LONGEST_START, foreign_format, format_of

# https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: shorter than 1,024 bytes, the second as of earlier versions.
_LFS_STARTS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_LFS_LIMIT = 1024
# https://git-annex.branchable.com/internals/pointer_file/, and the link instead of a locked file.
_ANNEX_START = b"/annex/objects/"
_ANNEX_LINK = re.compile(r"(^|[/\\])\.git[/\\]annex[/\\]objects[/\\]")

# Extensions of pictures that the script does not take.
_PICTURES = (
    ".jpe", ".jfif", ".jif", ".dib", ".apng", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm",
    ".heic", ".heif", ".hif", ".avif", ".svg", ".jp2", ".jxl", ".ico", ".tga", ".psd", ".dng",
)  # fmt: skip


def looks_like_picture(name: str, extensions: Sequence[str]) -> bool:
    """Check whether a file's name, without a backup's ``~`` or ``.bak``, is a picture's; ``extensions`` are the script's."""
    plain = name.lower().strip().rstrip("~").removesuffix(".bak")
    return plain.endswith((*extensions, *_PICTURES))


def formats_of_ignored(dataset: Dataset, extensions: Sequence[str]) -> dict[str, str]:
    """Find picture formats by content, such as ``png`` or ``HEIC``, of files in the splits that the script ignores.

    Formats that TensorFlow reads are named as in `Format`. Only files that are named like pictures or have no extension
    are opened; those that are not pictures are left out.
    """
    found = {}
    for path, reason in dataset.ignored:
        name = path.rpartition("/")[2]
        in_split = reason in (IgnoreReason.EXTENSION, IgnoreReason.BESIDE_CLASSES)
        if in_split and ("." not in name or looks_like_picture(name, extensions)):
            start = read_start(dataset.root / path, LONGEST_START)
            if kind := format_of(start) or foreign_format(start):
                found[path] = str(kind)
    return found


def find_pointers(dataset: Dataset, inspections: Mapping[str, Inspection]) -> dict[str, str]:
    """Find images that are only pointers to the real ones, by path: ``Git LFS`` or ``git-annex``."""
    found = {}
    for image in dataset.images:
        if image.error:
            with contextlib.suppress(OSError):  # no link, or gone
                if _ANNEX_LINK.search(str(dataset.locate(image).readlink())):
                    found[image.path] = "git-annex"
        elif image.size < _LFS_LIMIT and (seen := inspections.get(image.sha256)) and not seen.verdict.format:
            start = read_start(dataset.locate(image), LONGEST_START)
            if start.startswith(_LFS_STARTS):
                found[image.path] = "Git LFS"
            elif start.startswith(_ANNEX_START):
                found[image.path] = "git-annex"
    return found
