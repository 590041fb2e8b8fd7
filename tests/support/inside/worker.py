"""CodaLab's worker in a process of its own, as an account may start one for itself.

    python worker.py SANDBOX HOME ACCOUNT

SANDBOX is the sandbox's own folder, HOME one for the worker, ACCOUNT the name of an account of the sandbox.
"""
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import os
import shutil
import sys

sys.path[0] = os.path.join(os.path.dirname(__file__), "..", "..", "..", "cldc", "sandbox")

from inside import worker  # noqa: E402 - found there
from inside.home import Home, accounts, read_json  # noqa: E402
from inside.runtime import LocalRuntime  # noqa: E402


def main() -> None:
    """Work until it is killed."""
    sandbox, home = Home(sys.argv[1]), Home(sys.argv[2])
    home.make()
    os.environ["CODALAB_HOME"] = str(home.codalab)
    shutil.copy(sandbox.images, home.images)
    account = next(known for known in accounts(sandbox).values() if known["name"] == sys.argv[3])
    ready = read_json(sandbox.ready)
    worker.WORKER_ID = "own"
    websockets = "ws://127.0.0.1:{}".format(ready["ws_port"])
    runtime = LocalRuntime(home, on_exit=lambda: None)
    worker.SandboxWorker(home, ready["address"], websockets, account, runtime).start()


if __name__ == "__main__":
    main()
