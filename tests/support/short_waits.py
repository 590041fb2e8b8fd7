"""``cldc`` that waits a moment for a worker to come back where it waits a minute: ``python -m tests.support.short_waits ARGUMENT...``"""

from __future__ import annotations

import sys

from cldc import __main__ as entry
from cldc.remote import model

model.OFFLINE_SECONDS = 1.0

if __name__ == "__main__":
    sys.exit(entry.run(sys.argv[1:]))
