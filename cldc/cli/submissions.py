"""`cldc status`, `watch`, `quota`, `withdraw` and `clean`: follow submissions, count them, take them back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import click

from cldc.cli import completion
from cldc.cli.contestant import contestant
from cldc.cli.leaderboard import board_if_any
from cldc.cli.options import SECONDS_OF_A_YEAR, YES, NumberRange, command
from cldc.cli.server_app import ServerApp
from cldc.errors import NotFinished, Unreachable, UsageError
from cldc.ledger import Ledger
from cldc.quota import Quota
from cldc.render.document import Block, Line, Table, cell, moment
from cldc.render.formats import to_data
from cldc.render.submission import quota_line
from cldc.submission.cleanup import Kept, Orphan, Orphans, find_orphans, remove_orphans
from cldc.submission.ledger_sync import sync_ledger
from cldc.submission.quota import find_tagged, read_quota, usage_by_source
from cldc.submission.quota import withdraw as take_back
from cldc.submission.status import SubmissionStatus, fetch_statuses
from cldc.text import plural

_EVERY_SECONDS = 30.0


@command(ServerApp)
def status(app: ServerApp) -> None:
    """Show the progress of your submissions.

    Shows the end of the log of a running or failed run, and why a run is stuck.

    \b
    Examples:
      cldc status
    """
    with Ledger(app.home, reading=True) as ledger:
        found = _fetch(app, ledger)
    app.show({"submissions": found}, *_status_blocks(app, found))


def _fetch(app: ServerApp, ledger: Ledger) -> tuple[SubmissionStatus, ...]:
    return fetch_statuses(contestant(app, ledger), board_if_any(app, account=app.credentials.username))


def _status_blocks(app: ServerApp, statuses: Sequence[SubmissionStatus]) -> Iterator[Block]:
    """Show how far every submission is, with the end of the log of a running or failed run."""
    if not statuses:
        yield Line("This account has submitted nothing from this machine yet.")
        yield Line(f"Next: {app.command_for('cldc submit')}")
        return
    rows = [
        (
            s.name,
            s.stage,
            cell(s.score, ".4f") or "-",
            moment(s.since),
            s.detail,
        )
        for s in statuses
    ]
    yield Table(("submission", "stage", "score", "since", "detail"), rows, numbers=("score",))
    for s in statuses:
        if s.log:
            yield Line(f"The end of the log of {s.name}'s run:", "title")
            yield from (Line(f"  {line}") for line in s.log.splitlines())
        if s.action:
            yield Line(f"{s.name}: {s.action}", "warning")
    # Elsewhere the organisers have them scored.
    if app.on_sandbox and any(s.stage == "tagged" and not s.action for s in statuses):
        yield Line("Next: cldc sandbox score")


@command(ServerApp)
@click.argument("submission", metavar="[NAME]", required=False, shell_complete=completion.submissions)
@click.option(
    "--every",
    type=NumberRange(1, SECONDS_OF_A_YEAR),
    default=_EVERY_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two checks.",
)
@click.option(
    "--timeout",
    type=NumberRange(0, SECONDS_OF_A_YEAR),
    metavar="SECONDS",
    help="Stop waiting after that long, with exit code 16.",
)
def watch(app: ServerApp, *, submission: str | None, every: float, timeout: float | None) -> None:
    """Follow your submissions until they are scored.

    Prints a line whenever one of them (or only NAME) makes progress, and ends when all are scored, withdrawn, or wait for
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
                every_status = _fetch(app, ledger)
            except Unreachable as error:
                app.observer.note(f"{error.message} Looking again.")
            else:
                found = tuple(s for s in every_status if submission in (None, s.name, s.bundle))
                if submission is not None and not found:
                    raise UsageError(
                        f"No submission is named {submission!r}.",
                        action="`cldc status` lists yours.",
                    )
                _tell(app, found, known)
                if all(s.final for s in found):
                    break
            remaining = math.inf if timeout is None else timeout - (time.monotonic() - started)
            if not remaining > 0:
                raise NotFinished(
                    f"No score yet after {timeout:.0f} s.",
                    action="Run `cldc watch` again to keep waiting.",
                )
            time.sleep(min(every, remaining))
    app.show({"submissions": found}, *_status_blocks(app, found))


def _tell(app: ServerApp, found: tuple[SubmissionStatus, ...], known: dict[str, str]) -> None:
    """Print a line for each submission that has changed since the last poll."""
    for status in found:
        state = f"{status.stage} {status.detail}"
        if known.get(status.id) != state:
            known[status.id] = state
            score = f" with {status.score:.4f}" if status.score is not None else ""
            detail = f" ({status.detail})" if status.detail else ""
            now = moment(datetime.now(UTC))
            app.observer.note(f"{now}  {status.name}: {status.stage}{score}{detail}")


@command(ServerApp)
def quota(app: ServerApp) -> None:
    """Show how many submissions are left.

    Counted by the competition's rule from two sources side by side: the account's tagged bundles that the server shows,
    and the ledger on this machine. Whichever knows of more decides.

    \b
    Examples:
      cldc quota
    """
    with Ledger(app.home, reading=True) as ledger:
        me = contestant(app, ledger)
        found = usage_by_source(me, me.tagged_bundles(), me.clock())
    # The requested result is on top; the two sources are beside it.
    data = {**to_data(found["together"]), "server": found["server"], "ledger": found["ledger"]}
    app.show(data, *_quota_blocks(found))


def _quota_blocks(usage: Mapping[str, Quota]) -> Iterator[Block]:
    """Show the rule, the quota by each source, and each submission that counts."""
    together = usage["together"]
    rule = together.rule
    yield Line(quota_line(together), "good" if together.left else "warning")
    headers = ("", rule.this_window, "in all", "left", "next")
    allowed = ("the guide allows", str(rule.per_window), str(rule.total), "", "")
    named = {"server": "the server shows", "ledger": "this machine's ledger knows", "together": "together"}
    rows = [
        (
            named[who],
            str(len(quota.in_window)),
            str(len(quota.spent)),
            str(quota.left),
            moment(quota.next_free) if quota.next_free else "available now" if quota.left else "never",
        )
        for who, quota in usage.items()
    ]
    yield Table(headers, [allowed, *rows], numbers=headers[1:4])
    if together.spent:
        rows = [
            (spent.name, moment(spent.time), moment(spent.time + rule.window), spent.source, spent.uuid)
            for spent in together.spent
        ]
        headers = ("submission", "submitted", "counts until", "known from", "bundle")
        yield Table(headers, rows, optional=("bundle",))


@command(ServerApp)
@click.argument("submission", metavar="NAME", shell_complete=completion.submissions)
@YES
def withdraw(app: ServerApp, *, submission: str, yes: bool) -> None:
    """Remove the tag of a submission.

    NAME is the submission's name or the uuid of its tagged bundle. What was uploaded stays; `cldc submit` sets the tag
    again. It stops counting against the quota only if the board is newer than the tag and does not have it, and
    nothing on the server shows that the scoring daemon has begun to evaluate it.

    \b
    Examples:
      cldc withdraw first-try
    """
    with Ledger(app.home) as ledger:
        me = contestant(app, ledger)
        sync_ledger(me, me.tagged_bundles())
        found = find_tagged(me, submission)
        name = found.record.name
        app.confirm(f"remove the tag of {name} on {app.rest.server}, so that it is not scored", yes=yes)
        gone = take_back(me, found, lambda: board_if_any(app, account=app.credentials.username))
        left = read_quota(me)
    counts = "still counts" if gone.spent else "no longer counts"
    app.show(
        {"name": name, "bundle": gone.uuid, "spent": gone.spent, "why": gone.why, "quota": left},
        Line(f"{name} ({gone.uuid}) no longer carries the tag.", "good"),
        Line(f"It {counts} against the quota: {gone.why}."),
        Line(quota_line(left)),
    )


@command(ServerApp)
@click.option(
    "--unfinished", is_flag=True, help="Also remove what was begun and never tagged, and runs of preflights."
)
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@YES
def clean(app: ServerApp, *, unfinished: bool, dry_run: bool, yes: bool) -> None:
    """Remove from the server what no submission of yours needs.

    Looks at the worksheets that cldc created for this competition: failed bundles, uploads that broke off, and what a
    finished submission did not use. A run that is still going is killed first, if you agree. Never touched are other
    competitions' worksheets, what you created by hand, and whatever a tag, a board or another bundle needs; that is
    checked again right before each removal.

    \b
    Examples:
      cldc clean --dry-run
      cldc clean --unfinished
    """
    with Ledger(app.home) as ledger:
        me = contestant(app, ledger)
        orphans = find_orphans(me, unfinished=unfinished)
        removed = None
        if orphans.found and not dry_run:
            action = _removal(orphans.found)
            app.confirm(
                f"{action} from {app.rest.server} permanently (--dry-run lists them)",
                yes=yes,
                question=f"{action.capitalize()} permanently?",
                shown=_orphan_blocks(orphans),
            )
            removed = remove_orphans(me, orphans.found)
    gone, kept = (removed.gone, removed.kept) if removed else ((), ())
    result = {
        "leftovers": orphans.found,
        "removed": removed is not None,
        "gone": [orphan.uuid for orphan in gone],
        "kept": kept,
        "left_alone": orphans.left_alone,
    }
    blocks = list(_orphan_blocks(orphans))
    if removed:
        blocks.append(Line(f"Removed {_counted(gone)}.", "good"))
    if kept:
        blocks.append(Line(f"Kept {_counted(kept)}:", "warning"))
        blocks += [Line(f"  {each.name} ({each.uuid}): {each.why}") for each in kept]
    app.show(result, *blocks)


def _removal(found: tuple[Orphan, ...]) -> str:
    running = sum(orphan.running for orphan in found)
    runs = plural(running, "run that is running", "runs that are running")
    return f"{f'kill {runs}, and ' if running else ''}remove {_counted(found)}"


def _orphan_blocks(orphans: Orphans) -> Iterator[Block]:
    """List what can be removed and why, and what stays."""
    if orphans.found:
        rows = []
        for found in orphans.found:
            why = f"{found.why}; it is running and will be killed" if found.running else found.why
            rows.append((found.type or found.kind, found.name, found.state or "-", why, found.uuid))
        yield Table(("", "name", "state", "why", "uuid"), rows)
    else:
        yield Line("There is nothing to remove.", "good")
    if orphans.left_alone:
        yield Line("Left alone, because something else may need them:")
        yield from (Line(f"  {kept.name} ({kept.uuid}): {kept.why}") for kept in orphans.left_alone)


def _counted(found: Sequence[Orphan] | Sequence[Kept]) -> str:
    """Count bundles and worksheets."""
    bundles = sum(item.kind == "bundle" for item in found)
    return f"{plural(bundles, 'bundle')} and {plural(len(found) - bundles, 'worksheet')}"
