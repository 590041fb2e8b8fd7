"""The organiser's side: a competition set up on a CodaLab, its profile, and its scoring daemon.

The daemon is CodaLab's own and runs in the `codalab` environment, started by `inside/`. The sandbox is seeded and scored
with the same functions as a class's own CodaLab.
"""

from cldc.organise.daemon import configuration, uuids_of
from cldc.organise.dress_rehearsal import rehearse_submission
from cldc.organise.model import (
    Board,
    OrganiserTarget,
    Rescored,
    Scored,
    Seed,
    Seeded,
    Skipped,
    board_file,
    daemon_file,
    read_json,
    read_left_out,
)
from cldc.organise.profile import (
    ProfileOverrides,
    begin,
    draft,
    is_builtin,
    keep_evaluation,
    with_builtin_options,
    with_own_script,
    with_uuids,
    without_builtin_options,
    without_uuids,
)
from cldc.organise.profile import write as write_profile
from cldc.organise.rehearsal import Rehearsal, is_pinned, pinned, rehearse
from cldc.organise.scoring import PASS_SECONDS, outdated, read_board, score, write_board
from cldc.organise.seeding import evaluate_beside_profile, remember_files, seed

__all__ = [
    "PASS_SECONDS",
    "Board",
    "OrganiserTarget",
    "ProfileOverrides",
    "Rehearsal",
    "Rescored",
    "Scored",
    "Seed",
    "Seeded",
    "Skipped",
    "begin",
    "board_file",
    "configuration",
    "daemon_file",
    "draft",
    "evaluate_beside_profile",
    "is_builtin",
    "is_pinned",
    "keep_evaluation",
    "outdated",
    "pinned",
    "read_board",
    "read_json",
    "read_left_out",
    "rehearse",
    "rehearse_submission",
    "remember_files",
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
