"""Runs a bundle's command as local processes instead of in a container.

A run's "container" is a session of processes with a record in the home folder, so that it can be found and ended even after
the server was killed: a folder ``runs/<id>/`` with ``process.json`` and, once the command has ended, ``exit``.
"""
# mypy: disable-error-code="import-not-found,import-untyped,misc,no-any-return"

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid as uuids
from typing import Any, Callable

import psutil
from codalab.worker.docker_utils import DockerUserErrorException
from codalab.worker.runtime import Runtime

from .home import Home, read_json, write_json

_PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_START_TOLERANCE_SECONDS = 1.0
# $1 is the bundle's folder, $2 the run's record, $3 the command. Bash's own messages go to the log.
_SCRIPT = """\
cd "$1" || exit 70
bash -c "$3" 2>"$2/log"
code=$?
echo $code >"$2/exit.new" && mv "$2/exit.new" "$2/exit"
exit $code
"""


def processes(record: dict[str, Any]) -> list[psutil.Process]:
    """Return the live processes of a recorded session; none if its id now belongs to another process."""
    leader = record["pid"]
    with contextlib.suppress(psutil.Error):
        started = psutil.Process(leader).create_time()
        if abs(started - record["started"]) > _START_TOLERANCE_SECONDS:
            return []
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(folder: str) -> None:
    """Kill everything that the run in ``folder`` started, except processes that started their own session."""
    record = read_json(os.path.join(folder, "process.json"))
    for _ in range(20):
        alive = processes(record) if record else []
        if not alive:
            return
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        time.sleep(0.05)


class LocalRuntime(Runtime):
    """A Runtime whose containers are sessions of local processes.

    Args:
        home: Holds the records, and ``images.json``: ``{"default": BIN, "images": {IMAGE: BIN}}``, read at each
            start; BIN is put in front of PATH.
        on_exit: Called, in any thread, when a command has ended.
    """

    name = "local"

    def __init__(self, home: Home, on_exit: Callable[[], None]) -> None:
        self._home, self._on_exit = home, on_exit
        # Set by the server: runs that are killed from then on have not failed, and will run again.
        self.stopping = False
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._usage: dict[str, tuple[float, dict[str, float]]] = {}

    # Called by the worker

    def start_bundle_container(
        self,
        bundle_path: str,
        uuid: str,
        dependencies: list[tuple[str, str]],
        command: str,
        docker_image: str,
        **_resources: Any,
    ) -> str:
        if self.stopping:
            raise RuntimeError("the sandbox is stopping")
        folder = self._bin_folder(docker_image)
        self._link(bundle_path, dependencies)
        container = uuid + "-" + uuids.uuid4().hex[:8]
        record = self._folder(container)
        os.mkdir(record, mode=0o700)
        inner = f"( {command}\n) >stdout 2>stderr"
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment["PATH"] = folder + os.pathsep + os.environ.get("PATH", os.defpath)
        environment.update({"HOME": bundle_path, "CODALAB": "true"})  # as in CodaLab's containers
        child = subprocess.Popen(
            ["bash", "-c", _SCRIPT, "codalab-run", bundle_path, record, inner],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        write_json(
            os.path.join(record, "process.json"),
            {"pid": child.pid, "started": psutil.Process(child.pid).create_time(), "uuid": uuid},
        )
        self._children[container] = child
        threading.Thread(target=self._wait, args=(child,), daemon=True).start()
        return container

    def container_exists(self, container_id: str | None) -> bool:
        return container_id is not None and os.path.isdir(self._folder(container_id))

    def check_finished(self, container_id: str) -> tuple[bool, int | None, str | None]:
        child = self._children.get(container_id)
        if self.stopping or (child is not None and child.poll() is None):
            return False, None, None
        code = self.exit_code(container_id)
        if code is not None:
            return True, code, self._log(container_id)
        if child is not None:
            return True, child.returncode if child.returncode >= 0 else 128 - child.returncode, None
        record = read_json(os.path.join(self._folder(container_id), "process.json"))
        if record and processes(record):
            return False, None, None  # started by a server that was killed, and still running
        return True, None, "The process of this run is gone."

    def get_container_running_time(self, container_id: str) -> float:
        record = read_json(os.path.join(self._folder(container_id), "process.json"))
        if record is None:
            return 0.0
        with contextlib.suppress(FileNotFoundError):
            return os.stat(os.path.join(self._folder(container_id), "exit")).st_mtime - record["started"]
        return time.time() - record["started"]

    def get_container_stats(self, container_id: str) -> dict[str, float]:
        """Return resident bytes and CPU seconds, measured at most once a second: measuring is slow here."""
        taken, usage = self._usage.get(container_id, (0.0, {}))
        if time.monotonic() - taken < 1.0:
            return usage
        usage = {"memory": 0, "container_time_user": 0.0, "container_time_system": 0.0}
        record = read_json(os.path.join(self._folder(container_id), "process.json"))
        for process in processes(record) if record else []:
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                usage["memory"] += process.memory_info().rss
                usage["container_time_user"] += times.user
                usage["container_time_system"] += times.system
        usage["memory"] = int(usage["memory"])
        self._usage[container_id] = (time.monotonic(), usage)
        return usage

    def get_container_stats_with_docker_stats(self, container_id: str) -> tuple[float, float]:
        memory = self.get_container_stats(container_id).get("memory", 0)
        return 0.0, memory / psutil.virtual_memory().total

    def kill(self, container_id: str) -> None:
        end(self._folder(container_id))

    def remove(self, container_id: str) -> None:
        end(self._folder(container_id))
        shutil.rmtree(self._folder(container_id), ignore_errors=True)
        self._children.pop(container_id, None)
        self._usage.pop(container_id, None)

    def get_nvidia_devices(self, use_docker: bool = True) -> dict[str, str]:
        return {}

    def get_container_ip(self, network_name: str, container_id: str) -> str:
        raise DockerUserErrorException("the sandbox's runs have no network of their own")

    # Called by the server

    def exit_code(self, container_id: str) -> int | None:
        """Return the command's exit code; None while it is running, or if it was killed."""
        try:
            with open(os.path.join(self._folder(container_id), "exit"), encoding="ascii") as file:
                return int(file.read())
        except (FileNotFoundError, ValueError):
            return None

    def _log(self, container_id: str) -> str | None:
        """Return Bash's own message, usually a syntax error."""
        try:
            with open(os.path.join(self._folder(container_id), "log"), "rb") as file:
                return file.read(4000).decode("ascii", errors="ignore").strip() or None
        except FileNotFoundError:
            return None

    def lost(self, container_id: str | None) -> bool:
        """Check whether this run ended without leaving its exit code."""
        if not self.container_exists(container_id):
            return True
        finished, code, _ = self.check_finished(str(container_id))
        return finished and code is None

    def end_all(self, except_for: tuple[str, ...] = ()) -> None:
        """Kill every run of this home."""
        with contextlib.suppress(FileNotFoundError):  # somebody has removed the home
            for container in os.listdir(self._home.runs):
                if container not in except_for:
                    self.remove(container)
        for child in list(self._children.values()):  # whose records are gone
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)

    # Implementation

    def _folder(self, container_id: str) -> str:
        return os.path.join(self._home.runs, container_id)

    def _bin_folder(self, image: str) -> str:
        table = read_json(self._home.images, {})
        known: dict[str, str] = table.get("images", {})
        plain = image[: -len(":latest")] if image.endswith(":latest") else image
        folder = known.get(plain) or known.get(image) or table.get("default")
        if not folder or not os.path.isdir(folder):
            raise DockerUserErrorException(
                "the sandbox has no environment for the image {} (it has {})".format(
                    plain, ", ".join(sorted(known)) or "none"
                )
            )
        return folder

    @staticmethod
    def _link(bundle_path: str, dependencies: list[tuple[str, str]]) -> None:
        """Link each dependency where a container would mount it.

        ``dependencies`` are (path in the bundle store, path in the container); the latter is /UUID/KEY, or
        /UUID_dependencies/KEY when the worker shares no file system with the server.
        """
        for original, mounted in dependencies:
            key = mounted[1:].split("/", 1)[1]
            link = os.path.normpath(os.path.join(bundle_path, key))
            if not link.startswith(os.path.normpath(bundle_path) + os.sep):
                raise DockerUserErrorException(
                    f"the dependency {shlex.quote(key)} lies outside of the bundle"
                )
            os.makedirs(os.path.dirname(link), exist_ok=True)
            if os.path.lexists(link):
                os.unlink(link)
            os.symlink(original, link)

    def _wait(self, child: subprocess.Popen[bytes]) -> None:
        child.wait()
        try:
            self._on_exit()
        except Exception as error:  # the worker finds out at its next check-in
            print("waking the worker failed:", error, file=sys.stderr)
