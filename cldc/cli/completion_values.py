"""Values that the shell completes, each with an explanation; read from this machine only."""

from __future__ import annotations

from collections.abc import Iterable

from cldc.competition import builtin_profiles, load
from cldc.credentials import everywhere
from cldc.environments import list_environments
from cldc.files import data_folder
from cldc.ledger import Ledger
from cldc.preflight.result_store import all_records


def competitions() -> Iterable[tuple[str, str]]:
    return [(name, load(name).title) for name in builtin_profiles()]


def servers() -> Iterable[tuple[str, str]]:
    return [
        ("sandbox", "the one on this machine"),
        *((server, ", ".join(names)) for server, names in everywhere()),
    ]


def accounts() -> Iterable[tuple[str, str]]:
    return [(name, server) for server, names in everywhere() for name in names]


def submissions() -> Iterable[tuple[str, str]]:
    with Ledger(data_folder(), reading=True) as ledger:
        records = ledger.records()
    newest = {record.name: record for record in records}
    return [(name, f"{record.created:%Y-%m-%d}") for name, record in newest.items()]


def pages() -> Iterable[tuple[str, str]]:
    """List what `cldc open` opens."""
    kinds = [("worksheet", "the guide's worksheet"), ("form", "the contact form"), ("guide", "the guide")]
    return [*submissions(), *kinds]


def preflights() -> Iterable[tuple[str, str]]:
    """List names of trained datasets, and ids, newest first."""
    results = sorted(all_records(data_folder()), key=lambda result: result.started, reverse=True)
    names = {result.dataset_name: f"trained {result.started[:10]}" for result in reversed(results)}
    return [*names.items(), *((result.id, result.dataset_name) for result in results)]


def environments() -> Iterable[tuple[str, str]]:
    return [(environment.name, environment.version) for environment in list_environments(data_folder())]
