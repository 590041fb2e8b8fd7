"""A submission as the ledger records it; tests `replace` what they are about."""

from __future__ import annotations

from datetime import UTC, datetime

from cldc.ledger import Record

RECORD = Record(
    id="id1",
    competition="demo",
    server="http://127.0.0.1:1",
    account="alice",
    name="mine",
    institution="",
    link="",
    dataset="data",
    dataset_hash="0" * 64,
    preflight=None,
    created=datetime(2021, 7, 1, tzinfo=UTC),
)
