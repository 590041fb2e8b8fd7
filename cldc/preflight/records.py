"""Finished preflights, stored in the data folder: ``preflights/<id>.json``, and the files beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.competition import Competition
from cldc.errors import UsageError
from cldc.files import private_folder, replace_atomically, storage_errors
from cldc.preflight.model import PreflightResult, from_json, to_json

if TYPE_CHECKING:
    from cldc.dataset import Dataset


def folder(home: Path) -> Path:
    """The folder of the records."""
    return private_folder(home / "preflights")


def save(home: Path, result: PreflightResult) -> Path:
    """Store a result, replacing an earlier one with the same fingerprint.

    Raises:
        StorageError: It can't be written.
    """
    path = folder(home) / f"{result.id}.json"
    replace_atomically(path, to_json(result))
    return path


def remember_name(home: Path, result: PreflightResult, dataset: Dataset) -> PreflightResult:
    """Rename a record to the folder that holds its images now, keeping its other names.

    Raises:
        StorageError: It can't be written.
    """
    named = replace(
        result,
        dataset_name=dataset.name,
        dataset_root=str(dataset.root),
        other_names=tuple(dict.fromkeys(name for name in result.names if name != dataset.name)),
    )
    if named != result:
        save(home, named)
    return named


def read(home: Path, identity: str) -> PreflightResult | None:
    """Read the record with that id; None if there is none that this version can read."""
    try:
        return from_json((home / "preflights" / f"{identity}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def weights_folder(home: Path, identity: str) -> Path:
    """The folder for the weights of the best epoch; it may not exist."""
    return folder(home) / f"{identity}.weights"


def files_of(home: Path, identity: str) -> dict[str, bytes]:
    """List the files stored beside a record, by name: the script's output, the model's predictions and weights.

    Raises:
        StorageError: It can't be read.
    """
    kept = folder(home)
    with storage_errors(kept):
        return {
            path.relative_to(kept).as_posix(): path.read_bytes()
            for pattern in (f"{identity}.*", f"{identity}.*/*")
            for path in sorted(kept.glob(pattern))
            if path.is_file() and path.suffix != ".json"
        }


def all_records(home: Path) -> tuple[PreflightResult, ...]:
    """Read every readable record, oldest first."""
    found = (read(home, path.stem) for path in (home / "preflights").glob("*.json"))
    return tuple(sorted((result for result in found if result), key=lambda result: result.started))


def find(
    home: Path,
    *,
    dataset: str,
    competition: Competition,
    script: str | None = None,
    label_book: str | None = None,
    server: str | None = None,
    server_only: bool = False,
) -> PreflightResult | None:
    """Find the newest full preflight of a dataset, with the competition's command and epochs.

    Args:
        script: The SHA-256 that its script must have; None accepts any.
        label_book: The hash that its label book must have; None accepts any.
        server: The CodaLab whose runs count besides this machine's own; runs on other servers prove nothing about it.
        server_only: Whether only that server's runs count.
    """
    machines = (server,) if server_only else ("", server)
    for result in reversed(all_records(home)):
        trained = result.fingerprint
        if (
            result.complete
            and (trained.dataset, trained.competition, trained.command, trained.epochs)
            == (dataset, competition.name, competition.run.command, competition.training.epochs)
            and script in (None, trained.script)
            and label_book in (None, trained.label_book)
            and trained.server in machines
        ):
            return result
    return None


def find_named(home: Path, word: str, competition: Competition, *, dataset: str | None) -> PreflightResult:
    """Find the preflight that a person means by the id of one, its first digits, or the name of a dataset.

    Args:
        dataset: The hash of the dataset in the folder ``word``; None if it is not a folder.

    Raises:
        UsageError: None matches, or several do.
    """
    results = [result for result in all_records(home) if result.fingerprint.competition == competition.name]
    if dataset is None:
        named = [result for result in results if word in result.names]
    else:
        named = [result for result in results if result.fingerprint.dataset == dataset]
        if not named:
            raise UsageError(
                f"There is no preflight of {word} as it is now.",
                action=f"Run `cldc preflight {word}` first, or have both trained with --repeat 5.",
            )
    if named:
        # The newest whole one trained as the competition trains, before one of another seed.
        command = competition.run.command
        return max(named, key=lambda r: (not r.quick, r.fingerprint.command == command, r.started))
    return _with_id(results, word)


def _with_id(results: Iterable[PreflightResult], word: str) -> PreflightResult:
    """The only preflight whose id begins with ``word``; one that was stopped early counts only where no other does."""
    matching = [result for result in results if result.id.startswith(word)]
    whole = [result for result in matching if result.id == word or not result.quick]
    meant = whole or matching
    if len(meant) == 1:
        return meant[0]
    if meant:
        problem = f"{word} stands for {len(matching)} preflights."
    else:
        problem = f"Found no preflight {word}, and no folder of that name."
    raise UsageError(
        problem,
        action="Give a folder, or the id of a preflight or the name of a dataset as `cldc history` shows them.",
    )
