"""A contestant whose server or ledger is an imitation."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from cldc.competition import Competition
from cldc.ledger import Ledger
from cldc.submission.context import Contestant
from tests.support.fake_codalab import NOW


def contestant(
    competition: Competition,
    codalab: Any,
    account: str,
    *,
    ledger: Ledger | None = None,
    home: Path = Path(),
    now: datetime = NOW,
) -> Contestant:
    """An account on ``codalab``, a whole imitation or only its REST client, at one moment."""
    return Contestant(
        competition=competition,
        codalab=codalab if hasattr(codalab, "rest") else cast(Any, SimpleNamespace(rest=codalab)),
        account=account,
        home=home,
        clock=lambda: now,
        anonymous=cast(Any, None),
        ledger=cast(Any, ledger),
    )
