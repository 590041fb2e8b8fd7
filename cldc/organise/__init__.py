"""The organiser's side: a competition set up on a CodaLab, its profile, and its scoring daemon.

The daemon is CodaLab's own and runs in the `codalab` environment, started by `inside/`. The sandbox is seeded and scored
with the same functions as a class's own CodaLab.
"""

from cldc.organise.daemon import configuration, uuids_of
from cldc.organise.image_probe import ImageProbe, is_pinned, pinned, probe_image
from cldc.organise.model import (
    BOARD,
    DAEMON,
    SEEDED,
    Board,
    OrganiserTarget,
    Rescored,
    Scored,
    Seed,
    Seeded,
    Skipped,
    read_json,
    read_left_out,
)
from cldc.organise.profile import (
    ProfileOverrides,
    begin,
    draft,
    is_builtin,
    keep_evaluation,
    require_replaceable_copy,
    with_builtin_options,
    with_own_script,
    with_uuids,
    without_builtin_options,
    without_uuids,
)
from cldc.organise.profile import write as write_profile
from cldc.organise.rehearsal import rehearse_submission
from cldc.organise.scoring import PASS_SECONDS, outdated, read_board, score, write_board
from cldc.organise.seeding import evaluate_beside_profile, remember_files, seed

__all__ = [
    "BOARD",
    "DAEMON",
    "PASS_SECONDS",
    "SEEDED",
    "Board",
    "ImageProbe",
    "OrganiserTarget",
    "ProfileOverrides",
    "Rescored",
    "Scored",
    "Seed",
    "Seeded",
    "Skipped",
    "begin",
    "configuration",
    "draft",
    "evaluate_beside_profile",
    "is_builtin",
    "is_pinned",
    "keep_evaluation",
    "outdated",
    "pinned",
    "probe_image",
    "read_board",
    "read_json",
    "read_left_out",
    "rehearse_submission",
    "remember_files",
    "require_replaceable_copy",
    "score",
    "seed",
    "uuids_of",
    "with_builtin_options",
    "with_own_script",
    "with_uuids",
    "without_builtin_options",
    "without_uuids",
    "write_board",
    "write_profile",
]
