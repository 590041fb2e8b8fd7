"""The web server of the sandbox: cheroot, set up for what CodaLab's command line sends."""
# mypy: disable-error-code="import-not-found"

from __future__ import annotations

import functools
import logging
from typing import Any, Callable

from cheroot.server import HTTPConnection, HTTPRequest
from cheroot.wsgi import Server

logger = logging.getLogger("cldc.sandbox.web")
# A worker's long poll occupies one thread, and so does each upload of a class.
_THREADS = 64


class Connection(HTTPConnection):
    """Accepts absolute addresses in request lines, which `cl upload` sends."""

    RequestHandlerClass = functools.partial(HTTPRequest, strict_mode=False)


class LoggingServer(Server):
    """Writes errors to the sandbox's log."""

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log an error of cheroot."""
        logger.log(level, msg, exc_info=traceback)


def make_server(
    address: str, port: int, app: Callable[..., Any], on_change: Callable[[], None]
) -> LoggingServer:
    """Create a server for ``app``, bound but not yet serving; call ``on_change`` after each request that is not a GET."""

    def watched(environ: Any, start_response: Any) -> Any:
        # With this header Bottle would decode chunks, which cheroot has decoded already.
        environ.pop("HTTP_TRANSFER_ENCODING", None)
        try:
            return app(environ, start_response)
        finally:
            if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                _drain(environ["wsgi.input"])
                on_change()

    server = LoggingServer((address, port), watched, numthreads=_THREADS, request_queue_size=128)
    server.ConnectionClass = Connection
    server.prepare()
    return server


def _drain(body: Any) -> None:
    """Read what the application left unread; otherwise closing could reset the connection before the answer arrives."""
    try:
        while body.read(65536):
            continue
    except (OSError, ValueError):
        return
