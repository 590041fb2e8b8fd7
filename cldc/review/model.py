"""What the page knows of a dataset besides its images: what a model predicts, and which labels look wrong."""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from cldc.dataset import ImageFile


class Prediction(NamedTuple):
    """The last preflight's prediction for an image; ``probability`` is between 0 and 1."""

    path: str
    label: str
    probability: float


class Suspicion(NamedTuple):
    """A label that looks suspicious.

    Attributes:
        path: The image.
        label: The class that it most probably has instead; empty where it looks no more like another one.
        words: Why it is suspicious, as a sentence.
    """

    path: str
    label: str
    words: str


def key_of(file: ImageFile) -> str:
    """Names an image as it is now in addresses and requests: another file, or a changed one, has another key."""
    state = repr((file.path, file.size, file.mtime_ns, file.ctime_ns, file.inode))
    return hashlib.blake2b(os.fsencode(state), digest_size=12).hexdigest()
