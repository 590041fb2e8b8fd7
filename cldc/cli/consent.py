"""Consent beyond --yes, by an option or an answer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from cldc.cli.server import ServerApp
from cldc.errors import CldcError
from cldc.submission.model import Consent, NeedsConsent


def ask_for_consent(app: ServerApp, refusals: Sequence[CldcError], consent: Consent) -> Consent:
    """Add what the person at the terminal agrees to, if that lifts every refusal."""
    if app.interactive and all(isinstance(refusal, NeedsConsent) for refusal in refusals):
        for refusal in refusals:
            assert isinstance(refusal, NeedsConsent)  # noqa: S101 - all of them are
            app.confirm(refusal.question, yes=False, stake=refusal.message)
            consent |= refusal.grants
    return consent


def paths_in_dataset(root: Path, given: Sequence[str]) -> frozenset[str]:
    """Convert paths to those inside the dataset; they may be relative to it or to the working folder."""
    names = {Path(path).as_posix() for path in given}
    for path in given:
        with contextlib.suppress(ValueError):  # on another drive
            names.add(Path(os.path.relpath(path, root)).as_posix())
    return frozenset(names)
