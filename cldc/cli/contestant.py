"""The account that a command works as, and what its owner consents to beyond --yes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cldc.bundles.server_account import ServerClock
from cldc.cli.server_app import ServerApp
from cldc.environments import Environment
from cldc.errors import CldcError, UsageError
from cldc.ledger import Ledger
from cldc.remote.model import Remote
from cldc.submission.context import Contestant
from cldc.submission.model import NeedsConsent
from cldc.submission.plan import check_links
from cldc.validation import ValidationReport


def contestant(app: ServerApp, ledger: Ledger) -> Contestant:
    """Return the account with this machine's ledger of its submissions.

    Raises:
        Unreachable, CredentialsError: The server can't be read as the account.
    """
    return Contestant(**_account(app), anonymous=app.anonymous, ledger=ledger)


def remote_account(app: ServerApp, *, keep: bool, force: bool, environment: Environment | None) -> Remote:
    """Return the account that trains on the server; its models predict here, in ``environment``.

    Raises:
        Unreachable, CredentialsError: The server can't be read as the account.
    """
    return Remote(**_account(app), keep=keep, force=force, environment=environment)


def _account(app: ServerApp) -> dict[str, Any]:
    """Collect the fields of a `ServerAccount`."""
    return {
        "competition": app.competition,
        "codalab": app.codalab,
        "account": app.rest.user().name,
        "home": app.home,
        "clock": ServerClock(app.rest),
        "observer": app.observer,
    }


def ask_for_consent(app: ServerApp, refusals: Sequence[CldcError]) -> bool:
    """Ask at the terminal for consent, unless other refusals would remain; return whether they agreed to all."""
    needed = [refusal for refusal in refusals if isinstance(refusal, NeedsConsent)]
    if not app.interactive or len(needed) < len(refusals):
        return False
    for refusal in needed:
        app.confirm(refusal.message, yes=False, question=refusal.question)
    return True


def paths_in_dataset(root: Path, given: Sequence[str]) -> frozenset[str]:
    """Convert paths, relative to the dataset or to the working folder, to paths inside the dataset."""
    names = {Path(path).as_posix() for path in given}
    for path in given:
        with contextlib.suppress(ValueError):  # on another drive
            names.add(Path(os.path.relpath(path, root)).as_posix())
    return frozenset(names)


def require_organisers(app: ServerApp) -> None:
    """Refuse settings that a run on CodaLab ignores: it uses the organisers' own bundles, as a submission does."""
    for name in ("script", "label_book"):
        if app.settings[name] is not None:
            raise UsageError(
                f"A preflight on CodaLab uses the organisers' own {name.replace('_', ' ')}, but another is set.",
                action=f"Leave --{name.replace('_', '-')} and its setting out, or train here: leave --remote out.",
            )


def require_consent(app: ServerApp, report: ValidationReport, links: Sequence[str]) -> None:
    """Ask before uploading what links lead to outside a dataset.

    Raises:
        NeedsConsent: Consent was not given.
    """
    try:
        agreed = paths_in_dataset(report.dataset.root, links)
        check_links(report.dataset.outward_links, agreed, private=True)
    except NeedsConsent as refusal:
        if not ask_for_consent(app, [refusal]):
            raise
