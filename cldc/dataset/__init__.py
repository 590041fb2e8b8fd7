"""A dataset folder, seen exactly as the training script will see it.

The script lists its splits through Keras' ``image_dataset_from_directory``, whose habits are copied here:
extensions count in any case; hidden files and ``._`` files count too; a file at any depth of a class folder belongs
to that class; links to files and linked class folders are followed, a linked folder inside a class is not; a broken
link is counted and stops the script when it tries to read it.
"""

from __future__ import annotations

from cldc.dataset.model import (
    Dataset,
    IgnoredPath,
    IgnoreReason,
    Image,
    OutwardLink,
    Split,
    SplitState,
    identity,
)
from cldc.dataset.naming import (
    ARCHIVE_EXTENSIONS,
    default_name,
    fold_name,
    fold_path,
    meant_class,
    suggest_roots,
)
from cldc.dataset.reading import (
    MAX_HELD_BYTES,
    changes_since,
    load,
    read_image,
    read_start,
)
from cldc.dataset.scan import scan

__all__ = [
    "ARCHIVE_EXTENSIONS",
    "MAX_HELD_BYTES",
    "Dataset",
    "IgnoreReason",
    "IgnoredPath",
    "Image",
    "OutwardLink",
    "Split",
    "SplitState",
    "changes_since",
    "default_name",
    "fold_name",
    "fold_path",
    "identity",
    "load",
    "meant_class",
    "read_image",
    "read_start",
    "scan",
    "suggest_roots",
]
