"""Read and parse the output of a run on the server, at its end or piece by piece while it runs."""

from __future__ import annotations

import codecs
import contextlib
import time
from dataclasses import dataclass, field

from cldc.codalab import Bundle, Rest, progress_of
from cldc.codalab.failures import NotFound, PermissionDenied, TooLarge
from cldc.errors import CldcError
from cldc.preflight.output import Output
from cldc.preflight.run_script import describe

# Reading from a run whose worker has died hangs, so reads time out after this long.
READ_SECONDS = 10.0
_CHUNK_BYTES = 256 * 1024
_READ_AGAIN_SECONDS = 60.0


def read_output(rest: Rest, run: str, *, tail: int | None = None) -> Output:
    """Read and parse the output of a run that has ended, or its last lines; empty if it can't be read."""
    output = Output()
    with contextlib.suppress(NotFound, PermissionDenied, TooLarge):
        output.feed(rest.file(run, "stdout", tail=tail).decode("utf-8", "replace"), now=0.0)
        output.close(now=0.0)
    return output


@dataclass(slots=True)
class RunLog:
    """The standard output of one run.

    Attributes:
        run: The run's uuid.
        output: Its parsed output so far.
        began: When its first epoch was seen, by a monotonic clock.
    """

    run: str
    output: Output = field(default_factory=Output)
    began: float | None = None
    _read: int = 0
    _not_before: float = 0.0
    _decoder: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def follow(self, bundle: Bundle, rest: Rest) -> str:
        """Read what is new with a client that gives up soon, and return the progress of the run in a few words."""
        if bundle.state in ("created", "staged", "starting") and self._read:
            # The server moved it to another worker, where it starts over.
            self.output, self.began, self._read = Output(), None, 0
            self._decoder.reset()
        elif bundle.state == "running" and time.monotonic() >= self._not_before:
            self._read_on(rest)
        if self.output.epoch:
            return describe(self.output, now=time.monotonic(), began=self.began)
        return progress_of(bundle)

    def _read_on(self, rest: Rest) -> None:
        now = time.monotonic()
        try:
            data = rest.file(self.run, "stdout", span=(self._read, self._read + _CHUNK_BYTES))
        except NotFound:
            return  # it has printed nothing yet
        except CldcError:
            self._not_before = time.monotonic() + _READ_AGAIN_SECONDS
            return
        self._read += len(data)
        self.output.feed(self._decoder.decode(data), now=now)
        if self.output.epoch and self.began is None:
            self.began = now
