"""What the files are that the script passes over: advice on them depends on their content, not on their name."""

from __future__ import annotations

from collections.abc import Sequence

from cldc.dataset import Listing, Other, Reason, read_start
from cldc.validation.decoding.dispatch import format_of
from cldc.validation.decoding.foreign import LONGEST_START, foreign_format

# Extensions of pictures that the script does not take.
_PICTURES = (
    ".jpe",
    ".jfif",
    ".jif",
    ".dib",
    ".apng",
    ".tif",
    ".tiff",
    ".webp",
    ".ppm",
    ".pgm",
    ".pbm",
    ".heic",
    ".heif",
    ".hif",
    ".avif",
    ".svg",
    ".jp2",
    ".jxl",
    ".ico",
    ".tga",
    ".psd",
    ".dng",
)


def looks_like_picture(name: str, extensions: Sequence[str]) -> bool:
    """Whether a file's name is a picture's, if only as a backup of one.

    Args:
        name: The file's own name.
        extensions: Lower-case extensions that the script takes.
    """
    plain = name.lower().strip().rstrip("~").removesuffix(".bak")
    return plain.endswith((*extensions, *_PICTURES))


def formats_passed_over(listing: Listing, extensions: Sequence[str]) -> dict[str, str]:
    """Picture formats by content, such as ``png`` or ``HEIC``, of files in the splits that the script passes over.

    Formats that TensorFlow reads are named as in `Format`. Only files are read that look like pictures by their name or
    have no extension; those that are no pictures by content are left out.
    """
    found = {}
    for other in listing.others:
        if _worth_reading(other, extensions):
            start = read_start(listing.root / other.path, LONGEST_START)
            if kind := format_of(start) or foreign_format(start):
                found[other.path] = str(kind)
    return found


def _worth_reading(other: Other, extensions: Sequence[str]) -> bool:
    if other.reason not in (Reason.ENDING, Reason.BESIDE_CLASSES):
        return False
    name = other.path.rpartition("/")[2]
    return "." not in name or looks_like_picture(name, extensions)
