"""CodaLab's own command line, imported once for many commands.

Runs in the codalab environment (Python 3.9 to 3.12). A `cl` process spends seconds on imports and milliseconds on its
request; this one imports once.

The protocol is JSON lines over the original standard input and output:

    sends:     {"ready": "1.7.5", "python": "3.9.18"}
    receives:  {"id": 1, "argv": ["new", "name"]}
    sends:     {"id": 1, "event": "started"}                                        before it nothing can have been done
    sends:     {"id": 1, "event": "created", "kind": "bundles", "uuid": "0x..."}    as soon as the server has created one
    sends:     {"id": 1, "event": "progress", "done": 65536, "total": 1048576}      during an upload, in bytes
    sends:     {"id": 1, "code": 0, "stdout": "...", "stderr": "...", "error": null}

The environment gives the server's address and the credentials (CODALAB_SERVER, CODALAB_USERNAME, CODALAB_PASSWORD).
Nothing is written to disk: tokens stay in memory. Standard input is /dev/null and standard output is captured, so nothing
can prompt, and no editor can open. When the protocol's input ends, as it does when the parent dies, the process ends at once,
even in the middle of a command.
"""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

import contextlib
import getpass
import http.client
import io
import json
import os
import queue
import socket
import ssl
import sys
import threading
import time
import types
import urllib.error
from typing import Any, Callable, Dict

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "inside"))
import bounded_http

Json = Dict[str, Any]
PROGRESS_SECONDS = 0.1
# No worksheet has this uuid. Without one, `cl` would look up "the current worksheet" at each command, which costs a request.
NO_WORKSHEET = "0x" + 32 * "0"
# When a connection is refused or a name unknown, nothing has reached the server: any request is safe to repeat.
CONNECT_PAUSES_SECONDS = (0.5, 1.0, 2.0)
UNTOUCHED_ERRORS = (ConnectionRefusedError, socket.gaierror)
NETWORK_ERRORS = (ConnectionError, socket.timeout, socket.gaierror, ssl.SSLError)
GATEWAY_ERRORS = (502, 503, 504)
_OPENER = bounded_http.opener()


class Channel:
    """The two ends of the protocol, moved away from descriptors 0 and 1 before anything else can use them."""

    def __init__(self) -> None:
        self._input = os.fdopen(os.dup(0), "r", encoding="utf-8")
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        self._lock = threading.Lock()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self.requests: queue.Queue[Json] = queue.Queue()

    def send(self, message: Json) -> None:
        """Send one message; end the process if the parent is gone."""
        line = json.dumps(message)
        try:
            with self._lock:
                self._output.write(line + "\n")
                self._output.flush()
        except OSError:
            os._exit(0)

    def listen(self) -> None:
        """Queue the requests. Runs in its own thread, so that it sees the end of input during a command."""
        for line in self._input:
            self.requests.put(json.loads(line))
        os._exit(0)


class Reporter:
    """Replaces CodaLab's own `FileTransferProgress`."""

    def __init__(self, tell: Callable[[Json], None], total: int | None) -> None:
        self._tell, self._total = tell, total
        self._next, self._done = 0.0, 0
        self._budget = bounded_http.Budget(
            limit_bytes=0, bytes_per_second=bounded_http.LEAST_BYTES_PER_SECOND
        )

    def __enter__(self) -> Reporter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def update(self, done: int) -> bool:
        """Report the bytes sent, no more often than a screen needs; True continues the upload.

        Raises:
            BudgetExceeded: The upload is too slow to be of any use.
        """
        self._budget.moved(done - self._done)
        self._done = done
        self._budget.check_time()
        now = time.monotonic()
        if now >= self._next or done == self._total:
            self._next = now + PROGRESS_SECONDS
            self._tell({"event": "progress", "done": done, "total": self._total})
        return True


class Session:
    """One `BundleCLI`, patched so that it neither prompts nor repeats changes, and the command that runs in it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._id = 0
        self._created = False
        self._address = os.environ["CODALAB_SERVER"]
        # Imported here and below: this file's network code is tested without CodaLab, and `main` reports a failing import.
        from codalab.lib.bundle_cli import BundleCLI
        from codalab.lib.codalab_manager import CodaLabManager

        # A temporary manager keeps its state, including tokens, in memory only.
        config = {
            "cli": {
                "default_address": self._address,
                "default_worksheet_uuid": NO_WORKSHEET,
                "verbose": 2,  # from 2 on `cl` lets its exceptions through instead of printing them
            },
            "server": {},
            "aliases": {"main": self._address},
            "workers": {},
        }
        self._manager = CodaLabManager(temporary=True, config=config, clients={})
        self._cli = BundleCLI(self._manager)
        self._patch()

    def _tell(self, event: Json) -> None:
        self._channel.send(dict(event, id=self._id))

    def _patch(self) -> None:
        from codalab.client.json_api_client import JsonApiClient
        from codalab.common import UsageError
        from codalab.lib import editor_util, upload_manager
        from codalab.server import auth
        from codalab.worker import rest_client, upload_util

        def refuse(*_: object, **__: object) -> None:
            raise UsageError("The command would have waited for an editor or a password.")

        editor_util.open_and_edit = refuse
        getpass.getpass = refuse  # type: ignore[assignment]
        upload_manager.FileTransferProgress = lambda _, total=None, **__: Reporter(self._tell, total)
        rest_client.urlopen_with_retry = auth.urlopen_with_retry = open_url
        # The only names of `http` that it uses. Its own connections have no limits and ignore the environment's proxies.
        upload_util.http = types.SimpleNamespace(
            client=types.SimpleNamespace(
                HTTPConnection=bounded_http.Plain, HTTPSConnection=bounded_http.secured
            )
        )
        original = JsonApiClient.create

        def create(client: Any, resource_type: str, data: Any, params: Any = None) -> Any:
            result = original(client, resource_type, data, params)
            if resource_type in ("bundles", "worksheets") and isinstance(result, dict):
                self._created = True
                self._tell({"event": "created", "kind": resource_type, "uuid": result.get("id")})
            return result

        JsonApiClient.create = create

    def answer(self, request: Json) -> Json:
        """Run one command and report how it ended."""
        self._id, self._created = request["id"], False
        self._tell({"event": "started"})
        reply = self._run(request["argv"])
        # `cl` never renews a token that the server has forgotten. Nothing was created yet, so the command is safe to repeat.
        error = reply["error"]
        if error and error["type"] == "codalab.common.AuthorizationError":
            self._manager.logout(self._address)
            if not self._created:
                reply = self._run(request["argv"])
        return dict(reply, id=self._id)

    def _run(self, argv: list[str]) -> Json:
        stdout, stderr = io.StringIO(), io.StringIO()
        code, error = 0, None
        sys.argv = ["cl", *argv]
        self._cli.stdout, self._cli.stderr = stdout, stderr
        with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
            try:
                self._cli.do_command(argv)
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
            except BaseException as raised:
                code, error = 1, describe(raised)
        return {"code": code, "stdout": stdout.getvalue(), "stderr": stderr.getvalue(), "error": error}


def describe(raised: BaseException) -> Json:
    """Describe an exception: its class, its text, the HTTP status behind it, and whether the network failed.

    ``untouched`` says that the request can't have reached the server; ``verify_code`` is OpenSSL's objection to its
    certificate.
    """
    status, network, untouched, verify_code = None, False, False, None
    cause: BaseException | None = raised
    seen: list[int] = []
    while cause is not None and id(cause) not in seen:
        seen.append(id(cause))
        if isinstance(cause, urllib.error.HTTPError):
            status = status or cause.code
        elif isinstance(cause, (*NETWORK_ERRORS, urllib.error.URLError, http.client.HTTPException)):
            network = True
            reason = getattr(cause, "reason", cause)
            if isinstance(reason, ssl.SSLCertVerificationError):
                untouched, verify_code = True, reason.verify_code
            untouched = untouched or isinstance(reason, UNTOUCHED_ERRORS)
        cause = cause.__cause__ or cause.__context__
    kind = type(raised)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": str(raised),
        "status": status,
        "network": network and status is None,
        "untouched": untouched,
        "verify_code": verify_code,
    }


def open_url(request: Any, timeout: float = 60) -> Any:
    """Open a request, and repeat it only if that can't do anything twice.

    CodaLab's own `urlopen_with_retry` repeats every failed request, including a POST that the server has carried out,
    and each refusal.
    """
    reads = not isinstance(request, str) and request.get_method() in ("GET", "HEAD")
    for pause in CONNECT_PAUSES_SECONDS:
        try:
            return _OPENER.open(request, timeout=timeout)
        except urllib.error.HTTPError as error:
            if not reads or error.code not in GATEWAY_ERRORS:
                raise
        except urllib.error.URLError as error:
            if not reads and not isinstance(error.reason, UNTOUCHED_ERRORS):
                raise
        except (ConnectionError, socket.timeout):
            if not reads:
                raise
        time.sleep(pause)
    return _OPENER.open(request, timeout=timeout)


def main() -> None:
    """Serve commands until the input ends."""
    os.umask(0o077)
    channel = Channel()
    threading.Thread(target=channel.listen, daemon=True).start()
    bounded_http.trust_certificates()
    try:
        session = Session(channel)
        from codalab.common import CODALAB_VERSION
    except Exception as error:
        channel.send({"failed": f"{type(error).__name__}: {error}"})
        return
    channel.send({"ready": CODALAB_VERSION, "python": sys.version.split()[0]})
    while True:
        channel.send(session.answer(channel.requests.get()))


if __name__ == "__main__":
    main()
