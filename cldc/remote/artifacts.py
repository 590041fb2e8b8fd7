"""Check how a run on the server ended, and download its files."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from cldc.codalab import Bundle, failure_of
from cldc.codalab.failures import NotFound
from cldc.remote.model import Remote
from cldc.remote.results import ABOUT_FILE, RunArtifacts


def require_ended(remote: Remote, bundle: Bundle) -> None:
    """Require a run whose command ended by itself; otherwise report CodaLab's explanation."""
    if bundle.failure is None:
        return
    message = bundle.failure_message.lower()
    # A worker stops a run for its memory, its time or on request.
    stopped = bundle.state == "killed" or (message and not message.startswith("exit code"))
    if stopped or bundle.exit_code is None:
        raise failure_of(
            remote.rest,
            bundle,
            action="Correct what it says, then run the command again. No quota was spent.",
        )


def fetch_artifacts(remote: Remote, bundle: Bundle, folder: Path) -> RunArtifacts:
    """Download a run's artifacts, its files into ``folder``."""
    rest = remote.rest

    def text(path: str) -> str:
        try:
            return rest.file(bundle.uuid, path).decode("utf-8", "replace")
        except NotFound:
            return ""

    for path in _wanted_files(remote, bundle):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(NotFound):
            rest.download(bundle.uuid, path, folder / path)
    return RunArtifacts(
        run=bundle.uuid,
        started=(bundle.created or datetime.now(UTC)).isoformat(timespec="seconds"),
        seconds=bundle.seconds,
        exit_code=bundle.exit_code or 0,
        image=bundle.docker_image or bundle.requested_image or remote.competition.run.image,
        stdout=text("stdout"),
        stderr=text("stderr"),
        about=text(ABOUT_FILE),
        folder=folder,
    )


def _wanted_files(remote: Remote, bundle: Bundle) -> list[str]:
    """List the run's predictions file, and the weights if this machine can use them."""
    competition = remote.competition
    found = [competition.run.predictions]
    if remote.environment is not None and competition.training.checkpoint is not None:
        entries = remote.rest.info(bundle.uuid, depth=1).contents
        found += [
            entry.name
            for entry in entries
            if entry.type == "file" and entry.name.startswith(competition.training.checkpoint)
        ]
    return found
