"""What the shell offers to complete: real values, read from this machine only, and nothing where they can't be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from cldc.competition import builtin_profiles, load
from cldc.credentials import everywhere
from cldc.environments import list_environments
from cldc.errors import CldcError
from cldc.files import data_folder
from cldc.ledger import Ledger
from cldc.preflight.records import all_records

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _offer(values: Callable[[], Iterable[tuple[str, str]]], *, files: bool = False) -> Completion:
    """Completes from pairs of value and explanation; a value is offered where it starts as typed."""

    def complete(
        _context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            found = [
                CompletionItem(value, help=why) for value, why in values() if value.startswith(incomplete)
            ]
        except CldcError:
            found = []
        if files and not found:
            found.append(CompletionItem(incomplete, type="file"))
        return found

    return complete


def _competitions() -> Iterable[tuple[str, str]]:
    return [(name, load(name).title) for name in builtin_profiles()]


def _servers() -> Iterable[tuple[str, str]]:
    return [
        ("sandbox", "the one on this machine"),
        *((server, ", ".join(names)) for server, names in everywhere()),
    ]


def _accounts() -> Iterable[tuple[str, str]]:
    return [(name, server) for server, names in everywhere() for name in names]


def _submissions() -> Iterable[tuple[str, str]]:
    with Ledger(data_folder(), reading=True) as ledger:
        records = ledger.records()
    newest = {record.name: record for record in records}
    return [(name, f"{record.created:%Y-%m-%d}") for name, record in newest.items()]


def _pages() -> Iterable[tuple[str, str]]:
    """What `cldc open` opens."""
    kinds = [("worksheet", "the guide's worksheet"), ("form", "the contact form"), ("guide", "the guide")]
    return [*_submissions(), *kinds]


def _preflights() -> Iterable[tuple[str, str]]:
    """Names of datasets that were trained, and ids; the newest first."""
    results = sorted(all_records(data_folder()), key=lambda result: result.started, reverse=True)
    names = {result.dataset_name: f"trained {result.started[:10]}" for result in reversed(results)}
    return [*names.items(), *((result.id, result.dataset_name) for result in results)]


def _environments() -> Iterable[tuple[str, str]]:
    return [(environment.name, environment.version) for environment in list_environments(data_folder())]


competitions = _offer(_competitions, files=True)
servers = _offer(_servers)
accounts = _offer(_accounts)
submissions = _offer(_submissions)
pages = _offer(_pages)
preflights = _offer(_preflights, files=True)
environments = _offer(_environments)
