"""The organiser's side: a competition set up on a CodaLab, its profile, and its scoring daemon.

What talks to the server is in `inside/` and runs in the `codalab` environment, since the daemon is CodaLab's own. The
sandbox is seeded and scored with the same functions as a class's own CodaLab.
"""

from cldc.organise.daemon import configuration, uuids_of
from cldc.organise.model import LeftOut, Scored, Seed, board_file, daemon_file, read_json, read_left_out
from cldc.organise.profile import Wishes, begin, draft, with_script, with_uuids, without_uuids
from cldc.organise.profile import write as write_profile
from cldc.organise.rehearsal import Rehearsal, is_pinned, pinned, rehearse
from cldc.organise.scoring import PASS_SECONDS, score
from cldc.organise.seeding import seed

__all__ = [
    "PASS_SECONDS",
    "LeftOut",
    "Rehearsal",
    "Scored",
    "Seed",
    "Wishes",
    "begin",
    "board_file",
    "configuration",
    "daemon_file",
    "draft",
    "is_pinned",
    "pinned",
    "read_json",
    "read_left_out",
    "rehearse",
    "score",
    "seed",
    "uuids_of",
    "with_script",
    "with_uuids",
    "without_uuids",
    "write_profile",
]
