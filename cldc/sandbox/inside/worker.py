"""CodaLab's worker in the server's process: without Docker, without busy waiting, and able to resume after a restart."""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return,attr-defined,has-type"

from __future__ import annotations

import logging
import os
import time
from types import SimpleNamespace
from typing import Any

import docker
from codalab.worker import pyjson
from codalab.worker.bundle_service_client import BundleServiceClient
from codalab.worker.bundle_state import BundleInfo, RunResources, State
from codalab.worker.noop_image_manager import NoOpImageManager
from codalab.worker.state_committer import JsonStateCommitter
from codalab.worker.worker import Worker
from codalab.worker.worker_run_state import RunStage
from codalab.worker.worker_thread import ThreadDict

from .home import Home
from .runtime import LocalRuntime

logger = logging.getLogger("cldc.sandbox.worker")
WORKER_ID = "sandbox"
_SETTLED_POLL_SECONDS = 1.0
_BUSY_POLL_SECONDS = 0.02
_IDLE_POLL_SECONDS = 5.0


class _AtomicCommitter(JsonStateCommitter):
    """Writes atomically; CodaLab's overwrites the file in place and, if killed while it does, forgets every run."""

    def commit(self, state: Any) -> None:
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            file.write(pyjson.dumps(state))
        os.replace(self.path + ".new", self.path)


class _Unjoined(ThreadDict):
    """Does not join the threads that measure a run's folder: waiting for their sleep costs every run a second."""

    def __init__(self, fields: Any) -> None:
        super().__init__(fields)
        self._let_go: dict[str, Any] = {}

    def remove(self, key: str) -> None:
        if key in self:
            self._let_go[key] = self.pop(key)

    def __missing__(self, key: str) -> Any:
        return self._let_go[key]  # such a thread checks here once more whether to continue


class SandboxWorker(Worker):
    """A Worker on the server's own file system, so that neither dependencies nor results are copied."""

    def __init__(
        self, home: Home, address: str, ws_address: str, account: dict[str, str], runtime: LocalRuntime
    ) -> None:
        # CodaLab's worker creates a Docker client, which it needs only for containers; newer ones connect at once.
        docker.from_env = lambda **_options: None
        super().__init__(
            image_manager=NoOpImageManager(),
            dependency_manager=None,
            commit_file=str(home.worker_state),
            cpuset={str(number) for number in range(os.cpu_count() or 1)},
            gpuset=set(),
            max_memory=None,
            worker_id=WORKER_ID,
            tag=None,
            work_dir=str(home.root),
            local_bundles_dir=None,
            exit_when_idle=False,
            exit_after_num_runs=10**9,
            idle_seconds=0,
            checkin_frequency_seconds=0,
            bundle_service=BundleServiceClient(address, account["name"], account["password"]),
            shared_file_system=True,
            tag_exclusive=False,
            group_name=None,
            ws_server=ws_address,
            bundle_runtime=runtime,
        )
        self.state_committer = _AtomicCommitter(str(home.worker_state))
        self.run_state_manager.disk_utilization = _Unjoined(
            fields=self.run_state_manager.disk_utilization._initial_fields
        )
        self.monitoring = SimpleNamespace(notify_stage_transition=lambda *_run: None)  # Sentry's
        self._saved: Any = None

    def poll_seconds(self) -> float:
        """Return how long the server keeps a check-in open: short while something is about to change."""
        stages = {run.stage for run in list(self.runs.values())}
        if not stages:
            return _IDLE_POLL_SECONDS
        waiting = stages <= {
            RunStage.RUNNING,
            RunStage.FINALIZING,
        }  # for the end of the command, or for the server
        return _SETTLED_POLL_SECONDS if waiting else _BUSY_POLL_SECONDS

    def load_state(self) -> None:
        # CodaLab's own method asks Docker for the containers.
        for uuid, run in self.state_committer.load(default={}).items():
            self.runs[uuid] = run._replace(
                bundle=BundleInfo.from_dict(run.bundle), resources=RunResources.from_dict(run.resources)
            )
        self.sync_state()

    def save_state(self) -> None:
        # CodaLab would write the file some hundred times a second.
        if self.runs != self._saved:
            super().save_state()
            self._saved = dict(self.runs)

    def start(self) -> None:
        """Check in (which waits for messages) and advance each run by a step, until ``terminate`` is set."""
        while not self.terminate:
            try:
                self.checkin()
                self.process_runs()
                self.save_state()
            except Exception:
                logger.exception("the worker failed and continues")
                time.sleep(1.0)


def recover(worker: SandboxWorker, runtime: LocalRuntime, model: Any) -> list[str]:
    """After a restart, keep the runs that are still running or have ended, and queue the lost ones again.

    Call this before server, bundle manager and worker start.

    Returns:
        The uuids of those that will run again.
    """
    worker.load_state()
    for uuid, run in list(worker.runs.items()):
        starting = run.stage in (RunStage.PREPARING, RunStage.RESTAGED)
        if starting or (run.stage == RunStage.RUNNING and runtime.lost(run.container_id)):
            del worker.runs[uuid]
    worker.save_state()
    runtime.end_all(except_for=tuple(r.container_id for r in worker.runs.values() if r.container_id))
    under_way = [State.STARTING, State.PREPARING, State.RUNNING, State.FINALIZING, State.WORKER_OFFLINE]
    again = []
    for bundle in model.batch_get_bundles(state=under_way, bundle_type="run"):
        if bundle.uuid not in worker.runs:
            model.transition_bundle_staged(bundle)
            again.append(bundle.uuid)
    return again
