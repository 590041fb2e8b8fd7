"""`cldc watch`."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any

import click

from cldc.cli import completing
from cldc.cli.board import board_if_any
from cldc.cli.contestant import contestant
from cldc.cli.options import command
from cldc.cli.server import ServerApp
from cldc.errors import NotFinished, Unreachable, UsageError
from cldc.ledger import Ledger
from cldc.render.submission import change_line, status_blocks
from cldc.submission.status import SubmissionStatus, fetch_statuses

_EVERY_SECONDS = 30.0
_A_YEAR = 366 * 86_400.0


class _Seconds(click.FloatRange):
    """A number of seconds, at most a year; NaN compares as neither below nor above."""

    def __init__(self, least: float) -> None:
        super().__init__(min=least, max=_A_YEAR)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse ``nan`` as well."""
        if math.isnan(seconds := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


@click.command()
@click.argument("submission", metavar="[NAME]", required=False, shell_complete=completing.submissions)
@click.option(
    "--every",
    type=_Seconds(1),
    default=_EVERY_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How often to look.",
)
@click.option(
    "--timeout",
    type=_Seconds(0),
    metavar="SECONDS",
    help="Stop looking after that long, with exit code 16.",
)
@command(ServerApp)
def watch(app: ServerApp, *, submission: str | None, every: float, timeout: float | None) -> None:
    """Follow your submissions until they are scored.

    Prints a line whenever one of them (or only NAME) comes further, and ends when all are scored, withdrawn, or wait for
    you. It changes nothing and can be stopped and started at will.

    \b
    Examples:
      cldc watch
      cldc watch first-try --timeout 3600
    """
    started, known = time.monotonic(), dict[str, str]()
    with Ledger(app.home, reading=True) as ledger:
        while True:
            try:
                every_status = fetch_statuses(contestant(app, ledger), board_if_any(app))
            except Unreachable as error:
                app.observer.note(f"{error.message} Looking again.")
            else:
                found = tuple(s for s in every_status if submission in (None, s.name, s.bundle))
                if submission is not None and not found:
                    raise UsageError(
                        f"There is no submission {submission!r}.",
                        action="`cldc status` lists yours.",
                    )
                _tell(app, found, known)
                if all(s.final for s in found):
                    break
            left = math.inf if timeout is None else timeout - (time.monotonic() - started)
            if not left > 0:
                raise NotFinished(
                    f"There is no score yet after {timeout:.0f} s.",
                    action="Run `cldc watch` again to go on waiting.",
                )
            time.sleep(min(every, left))
    app.show(
        {"submissions": found},
        *status_blocks(found, next_command=app.command_for("cldc submit"), on_sandbox=app.on_sandbox),
    )


def _tell(app: ServerApp, found: tuple[SubmissionStatus, ...], known: dict[str, str]) -> None:
    """Print a line for each submission that has changed since the last poll."""
    for status in found:
        state = f"{status.stage} {status.detail}"
        if known.get(status.id) != state:
            known[status.id] = state
            app.observer.note(change_line(status, datetime.now(UTC)))
