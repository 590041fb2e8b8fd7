"""Settling what is meant, and looking at everything that would lose, hide or waste it before a byte is uploaded."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from cldc.errors import CldcError
from cldc.submission.checking import checks, describe
from cldc.submission.model import Intent, Plan, worksheet_name
from cldc.submission.places import Clock
from cldc.submission.sight import look

if TYPE_CHECKING:
    from cldc.codalab import Rest
    from cldc.competition import Competition
    from cldc.leaderboard import Leaderboard
    from cldc.ledger import Ledger


def plan(
    intent: Intent,
    *,
    competition: Competition,
    rest: Rest,
    ledger: Ledger,
    steps: tuple[str, ...],
    board: Leaderboard | None = None,
    now: datetime | None = None,
) -> Plan:
    """What submitting the validated dataset would do, with every reason for which it would be refused.

    Args:
        intent: What is to be submitted, and under which name.
        rest: Reads the server as the account that submits.
        ledger: What is known of earlier submissions.
        steps: Names of all steps, in order.
        board: What was scored, as far as it can be read.
        now: The time to decide at; the server's by default.

    Raises:
        Unreachable, CredentialsError: The server can't be asked, so nothing can be said.
    """
    sight = look(intent, competition, rest, ledger, board=board, now=now or Clock(rest)())
    wanted, intent = intent.name, replace(intent, name=sight.name)
    looked = checks(intent, sight, wanted=wanted, competition=competition, rest=rest, ledger=ledger)
    dataset, preflight = intent.report.dataset, intent.preflight
    return Plan(
        id=sight.id,
        competition=competition.name,
        server=rest.server,
        account=sight.user.name,
        name=intent.name,
        institution=intent.institution,
        link=intent.link,
        description=_text(intent, competition),
        dataset=dataset.name,
        dataset_hash=dataset.hash,
        images=intent.report.total,
        metadata=intent.report.metadata,
        predictions=intent.predictions,
        preflight=preflight.fingerprint.id if preflight else None,
        worksheet=worksheet_name(sight.user.name, intent.name, sight.id),
        steps=tuple(step for step in steps if step not in sight.done),
        checks=looked,
        quota=sight.quota,
        replaces=sight.replaced,
        supersedes=tuple(uuid for uuid, score in sight.rivals.items() if score is None),
        scored=tuple(uuid for uuid, score in sight.rivals.items() if score is not None),
        after_closing=intent.consent.after_closing,
    )


def _text(intent: Intent, competition: Competition) -> str:
    """The description; empty where a check refuses it."""
    try:
        return describe(intent, competition)
    except CldcError:
        return ""
