"""Limits: how long a request may take, how often it is attempted, and how large its answer may be."""

from __future__ import annotations

from dataclasses import dataclass

from cldc.inside import bounded_http
from cldc.inside.bounded_http import Budget

CONNECT_SECONDS = 10.0
JSON_BYTES = 16 * 2**20
FILE_BYTES = 64 * 2**20
BOARD_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of each request of a client.

    Attributes:
        pauses_seconds: Between attempts; one for each attempt after the first.
        silence_seconds: How long the server may be silent.
        total_seconds: For a request with all its attempts and pauses, from connecting to the answer's last byte.
    """

    pauses_seconds: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    silence_seconds: float = 60.0
    total_seconds: float = bounded_http.TOTAL_SECONDS

    def budget(self, limit_bytes: int, *, is_large: bool = False, extra_seconds: float = 0.0) -> Budget:
        """The budget of a request whose answer may have ``limit_bytes``.

        Args:
            limit_bytes: For the content; headers and chunk sizes come on top.
            is_large: Whether the transfer may take longer, as long as it keeps a bearable rate.
            extra_seconds: Added to the total.
        """
        rate = bounded_http.LEAST_BYTES_PER_SECOND if is_large else 0.0
        seconds = self.total_seconds + extra_seconds
        return Budget(seconds, limit_bytes=1.25 * limit_bytes + 2**20, bytes_per_second=rate)


DEFAULT = Limits()
