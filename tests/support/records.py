"""A submission as the ledger records it."""

from __future__ import annotations

from datetime import UTC, datetime

from cldc.ledger import Record

RECORD = Record(
    "id1",
    "c",
    "http://127.0.0.1:1",
    "alice",
    "n",
    "",
    "",
    "d",
    "0" * 64,
    None,
    datetime(2021, 7, 1, tzinfo=UTC),
)
