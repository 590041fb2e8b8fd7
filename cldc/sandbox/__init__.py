"""A real CodaLab on loopback, the organiser's side included.

What runs CodaLab is in `inside/`, in the `codalab` environment; here it is started, found again and stopped. It is seeded
and scored as any CodaLab is: see `cldc.organise`. Everything is kept below ``DATA/sandbox``, with mode 0700.
"""

from cldc.organise import Seed
from cldc.sandbox.people import accounts, add_account, contestant, organiser
from cldc.sandbox.places import Account, Status, folder_of, leaderboard_file
from cldc.sandbox.scoring import score
from cldc.sandbox.server import down, require_up, start, status, up

__all__ = [
    "Account",
    "Seed",
    "Status",
    "accounts",
    "add_account",
    "contestant",
    "down",
    "folder_of",
    "leaderboard_file",
    "organiser",
    "require_up",
    "score",
    "start",
    "status",
    "up",
]
