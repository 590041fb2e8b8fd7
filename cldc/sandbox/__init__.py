"""A real CodaLab on loopback, the organiser's side included.

`inside/` runs CodaLab in the `codalab` environment; the modules here start, find and stop it. It is set up and scored like
any other CodaLab: see `cldc.organise`. Everything is kept below ``DATA/sandbox``, with mode 0700.
"""

from cldc.sandbox.accounts import Account, add_account, contestant, list_accounts, organiser
from cldc.sandbox.paths import folder_of, leaderboard_file
from cldc.sandbox.server import Status, down, organiser_target, require_up, score, start, status, up

__all__ = [
    "Account",
    "Status",
    "add_account",
    "contestant",
    "down",
    "folder_of",
    "leaderboard_file",
    "list_accounts",
    "organiser",
    "organiser_target",
    "require_up",
    "score",
    "start",
    "status",
    "up",
]
