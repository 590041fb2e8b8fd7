"""Train on a Dask cluster, which people start on laptops, Slurm or Kubernetes.

Anyone who connects to a Dask scheduler can run any program on its workers, and workers' results are unpickled here: the
person who gives the cluster's address trusts it. This module is imported only for an address; `distributed` is an extra.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask
from distributed import Client, KilledWorker, get_worker
from distributed.comm.addressing import get_address_host_port

from cldc.errors import ConfigurationError, PreflightFailed, Unreachable
from cldc.files import private_folder, replace_atomically
from cldc.preflight import result_store
from cldc.preflight.inputs import builtin_script
from cldc.preflight.model import PreflightResult, Training
from cldc.process import ProcessGroup, raise_if_cancelled
from cldc.progress import SILENT, Observer
from cldc.text import plural
from cldc.trainings.model import Trainer, WorkerLost
from cldc.trainings.workers import SentTraining, Trained, train_sent, zip_files

_TOPIC = "cldc-trainings"
_CONNECT_SECONDS = 20
_REPORT_SECONDS = 1.0
_AT_WORK = ("executing", "long-running")
# Dask warns about large arguments and prefers files; a dataset has tens of megabytes at most.
_SETTINGS = {"distributed.admin.large-graph-warning-threshold": "10 GB"}


class ClusterUnreachable(Unreachable):
    """No Dask scheduler answers at an address, or it has no worker."""

    server_failed = False


@contextlib.contextmanager
def dask_trainer(address: str, home: Path, observer: Observer = SILENT) -> Iterator[DaskTrainer]:
    """Create a trainer for the cluster whose scheduler is at ``address``, such as ``tcp://10.0.0.1:8786``.

    Raises:
        ConfigurationError: A worker has no cldc.
        ClusterUnreachable: No cluster answers, or it has no worker.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # failures report everything that matters
    observer.start(f"Connecting to Dask at {address}")
    with dask.config.set(_SETTINGS):
        try:
            # A client that finds no scheduler prints errors when Python exits, a minute later.
            socket.create_connection(get_address_host_port(address), _CONNECT_SECONDS).close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # different versions of libraries that trainings don't use
                client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise ClusterUnreachable(
                f"There is no Dask scheduler at {address!r}: {error}.",
                action="Give the address that `dask scheduler` shows, as tcp://HOST:8786.",
            ) from error
        try:
            count = _count_workers(client, address)
            with DaskTrainer(client, home, count, at_once=sum(client.nthreads().values())) as trainer:
                yield trainer
        finally:
            client.close(timeout=5)


def _count_workers(client: Client, address: str) -> int:
    """Count the workers and require cldc on each."""
    answers = client.run(version, "cldc", on_error="return")
    if not answers:
        raise ClusterUnreachable(
            f"The Dask scheduler at {address} has no worker.", action=f"Start some: dask worker {address}"
        )
    for worker, answer in answers.items():
        if isinstance(answer, Exception):
            raise ConfigurationError(
                f"The Dask worker at {worker} has no cldc.",
                action="Install cldc[dask] of the same version on every worker.",
            )
    return len(answers)


class DaskTrainer(Trainer):
    """Trains on a Dask cluster, whose workers don't share this machine's disk.

    If a worker dies, Dask gives its training to another one, up to three times (its setting
    ``distributed.scheduler.allowed-failures``), and the scheduler sends the dataset again.
    """

    threads = None

    def __init__(self, client: Client, home: Path, workers: int, *, at_once: int) -> None:
        """Use a client of a cluster with that number of workers, which run ``at_once`` trainings."""
        self.where = f"on {plural(workers, 'Dask worker')}"
        self.at_once = at_once
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._home = home
        self._shared: dict[str, object] = {}
        self._futures: list[Future[Trained]] = []
        self._observers: dict[str, Observer] = {}
        client.subscribe_topic(_TOPIC, self._hear)

    def submit(self, training: Training, observer: Observer, *, force: bool) -> Future[Trained]:
        """Queue a training on the cluster; see `Trainer.submit`.

        Raises:
            ClusterUnreachable: The scheduler is gone.
        """
        if self._client.status != "running":
            raise ClusterUnreachable(
                "The Dask scheduler is gone.",
                action="Start it again, then run the same command: what was trained is kept.",
            )
        dataset, book = training.report.dataset, training.label_book
        script, builtin = training.script.path, builtin_script(training.competition).path
        sent = SentTraining(training, script.read_bytes(), builtin.read_bytes(), force)
        self._observers[sent.id] = observer
        future: Future[Trained] = self._executor.submit(
            train_in_dask,
            sent,
            self._share(dataset.hash, [(i.path, dataset.locate(i), i.sha256) for i in dataset.images]),
            self._share(book.hash, [(path, book.root / path, sha256) for path, sha256 in book.images]),
        )
        self._futures.append(future)
        return future

    def _share(self, identity: str, files: Iterable[tuple[str, Path, str]]) -> object:
        """Create a task whose result is a zip of the files, which many trainings may need."""
        if identity not in self._shared:
            zipped = zip_files(files)
            self._shared[identity] = self._client.submit(_itself, zipped, key=f"cldc-{identity}")
        return self._shared[identity]

    def result(self, training: Training, future: Future[Trained]) -> PreflightResult:
        """Store a finished training's files here, and return its result; see `Trainer.result`."""
        dataset = training.report.dataset
        try:
            trained = future.result()
        except CancelledError as error:
            raise WorkerLost(str(error)) from error
        except KilledWorker as error:
            raise PreflightFailed(
                f"Several Dask workers died while they trained {dataset.name}.",
                action="Check in their logs whether memory ran out; a worker with fewer threads trains fewer at once.",
            ) from error
        folder = result_store.folder(self._home)
        for name, content in trained.files.items():
            path = folder / name
            private_folder(path.parent)
            replace_atomically(path, content)
        result = replace(
            trained.result,
            dataset_name=dataset.name,
            dataset_root=str(dataset.root),
            log=str(folder / f"{trained.result.id}.log"),
            recorded=False,
            dataset_changed="",
        )
        result_store.save(self._home, result)
        return result

    def stop(self) -> None:
        """Cancel all trainings, without waiting for them."""
        for future in self._futures:
            future.cancel()
        self._executor.shutdown(wait=False)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        """Handle a worker's progress report."""
        _, event_data = event
        if observer := self._observers.get(event_data["id"]):
            observer.start(event_data["task"], None, event_data["unit"])
            observer.advance(event_data["done"], event_data["detail"])


def _itself(zipped: bytes) -> bytes:
    """Return the argument, as a task: the scheduler keeps it, and each worker receives it once."""
    return zipped


class _Events:
    """Reports a training's progress to the client at a limited rate."""

    def __init__(self, identity: str) -> None:
        self._id = identity
        self._worker = get_worker()
        self._task = self._unit = ""
        self._reported = 0.0

    def start(self, task: str, total: float | None = None, unit: str = "") -> None:
        self._task, self._unit, self._reported = task, unit, 0.0
        self.advance(0.0)

    def advance(self, done: float, detail: str = "") -> None:
        raise_if_cancelled()
        if time.monotonic() - self._reported < _REPORT_SECONDS:
            return
        self._reported = time.monotonic()
        event_data = {"id": self._id, "task": self._task, "unit": self._unit, "done": done, "detail": detail}
        self._worker.log_event(_TOPIC, event_data)

    def note(self, text: str) -> None:
        raise_if_cancelled()


def train_in_dask(sent: SentTraining, dataset: bytes, label_book: bytes) -> Trained:
    """Run `train_sent` as a Dask task that ends once no client waits for it.

    Dask can't stop a running task: it only forgets the task when it is cancelled or its client is gone.
    """
    group, done = ProcessGroup(), threading.Event()
    worker = get_worker()
    key = worker.get_current_task()

    def watch() -> None:
        while not done.wait(_REPORT_SECONDS):
            task = worker.state.tasks.get(key)
            if task is None or task.state not in _AT_WORK:
                group.end()
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        with group.entered():
            return train_sent(sent, dataset, label_book, _Events(sent.id))
    finally:
        done.set()
