"""`cldc compare`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import click

from cldc import insight
from cldc.cli import completing
from cldc.cli.app import App
from cldc.cli.options import command
from cldc.errors import UsageError
from cldc.insight import Comparison, pictures
from cldc.preflight.model import PreflightResult
from cldc.preflight.model_predictions import read
from cldc.preflight.records import all_records
from cldc.render.comparison import comparison_document

_MOST_PICTURES = 1200


@click.command()
@click.argument("a", metavar="A", shell_complete=completing.preflights)
@click.argument("b", metavar="B", shell_complete=completing.preflights)
@command(formats=("html",))
def compare(app: App, a: str, b: str) -> None:
    """Show what changed between two preflights.

    A and B are ids as `cldc history` shows them (their first digits will do), or names of datasets, of which the
    newest preflight is taken. Images are told by their content, whatever they are called.

    \b
    Examples:
      cldc compare my-images better-images
      cldc compare 3f2a 91bc --report changes.html
    """
    results = [r for r in all_records(app.home) if r.fingerprint.competition == app.competition.name]
    before, after = (_chosen(results, word, app.competition.run.command) for word in (a, b))
    found = insight.compare(before, read(app.home, before.id), after, read(app.home, after.id))
    app.output.show(
        comparison_document(found, functools.partial(_pictures, app, found), everything=app.output.verbose)
    )


def _chosen(results: list[PreflightResult], word: str, command: str) -> PreflightResult:
    named = [result for result in results if result.dataset_name == word]
    if named:
        # The newest whole one trained as the competition trains, before one of another seed.
        return max(named, key=lambda r: (not r.quick, r.fingerprint.command == command, r.started))
    matching = [result for result in results if result.id.startswith(word)]
    whole = [result for result in matching if result.id == word or not result.quick]
    if len(whole or matching) == 1:
        return (whole or matching)[0]
    raise UsageError(
        f"{word} stands for {len(matching)} preflights." if matching else f"There is no preflight {word}.",
        action="Give the id of one, or the name of a dataset, as `cldc history` shows them.",
    )


def _pictures(app: App, found: Comparison) -> Mapping[str, tuple[str, str]]:
    old, new = Path(found.before.dataset_root), Path(found.after.dataset_root)
    lists = (found.added, found.removed, found.relabelled, found.moved, found.fixed, found.broken)
    moves = [move for moved in lists for move in moved][:_MOST_PICTURES]
    # Where the folder was changed since, the picture is left out or is today's.
    places = {m.after or m.before: (new / m.after if m.after else old / m.before) for m in moves}
    return pictures(places.items(), size=app.competition.dataset.image_size)
