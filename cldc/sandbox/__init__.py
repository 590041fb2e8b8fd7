"""A real CodaLab on loopback, the organiser's side included.

What runs CodaLab is in `inside/`, in the `codalab` environment; here it is started, found again, stopped, seeded with
a competition, and its scoring daemon is run. Everything is kept below ``DATA/sandbox``, with mode 0700.
"""

from cldc.sandbox.people import accounts, add_account, contestant
from cldc.sandbox.places import Account, Seed, Status, leaderboard_file
from cldc.sandbox.scoring import score
from cldc.sandbox.server import down, require_up, status, up

__all__ = [
    "Account",
    "Seed",
    "Status",
    "accounts",
    "add_account",
    "contestant",
    "down",
    "leaderboard_file",
    "require_up",
    "score",
    "status",
    "up",
]
