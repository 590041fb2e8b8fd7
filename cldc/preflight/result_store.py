"""Finished preflights, stored in the data folder: ``preflights/<id>.json``, and the files beside it."""

from __future__ import annotations

import gzip
import json
import math
import shutil
import zlib
from collections.abc import Container, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec

from cldc.competition import Competition
from cldc.dataset import changes_since
from cldc.errors import UsageError
from cldc.files import private_folder, remove_tree, replace_atomically, storage_errors, temporary_folder
from cldc.preflight.model import ImagePrediction, ModelPredictions, PreflightResult, Training

# Each is incremented when its format changes so that older files can't be read.
_FORMAT = _PREDICTIONS_FORMAT = 1
_NOT_KEPT = "the predictions were not kept; `cldc preflight --force` trains again"


def folder(home: Path) -> Path:
    """Return the folder of the records."""
    return private_folder(home / "preflights")


def store(
    home: Path, result: PreflightResult, predictions: ModelPredictions, weights: Iterable[Path]
) -> PreflightResult:
    """Store a new result and its model, replacing an earlier result of the same fingerprint.

    Args:
        predictions: The model's predictions; if they are known, its weights are kept, so that it can predict other images later.
        weights: The files in which the script left the weights of the best epoch.

    Returns:
        The result, with the names of the earlier one.

    Raises:
        StorageError: The disk is full.
    """
    if earlier := read(home, result.id):
        names = tuple(name for name in earlier.names if name != result.dataset_name)
        result = replace(result, other_names=names)
    if predictions.known:
        kept = weights_folder(home, result.id)
        with storage_errors(kept), temporary_folder(".weights-", kept.parent) as draft:
            for path in weights:
                shutil.copyfile(path, draft / path.name)
            remove_tree(kept)
            draft.rename(kept)
    save_predictions(home, result.id, predictions)
    save(home, result)
    return result


def save(home: Path, result: PreflightResult) -> None:
    """Store a result alone, replacing an earlier one of the same fingerprint.

    Raises:
        StorageError: It can't be written.
    """
    table = {"format": _FORMAT, **_without_nan(asdict(result))}
    content = json.dumps(table, indent=1, allow_nan=False) + "\n"
    replace_atomically(folder(home) / f"{result.id}.json", content)


def _without_nan(value: Any) -> Any:
    """Replace NaN and infinities, which JSON lacks, by null."""
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(home: Path, identity: str) -> PreflightResult | None:
    """Read the record with that id, marked as recorded; None if there is none that this version can read."""
    try:
        table = json.loads((home / "preflights" / f"{identity}.json").read_bytes())
        if table["format"] != _FORMAT:
            return None
        scores = [table["validation"], table["label_book"], table["untrained"], *table["history"]]
        for score in filter(None, scores):
            score.update({name: math.nan for name, value in score.items() if value is None})
        return msgspec.convert({**table, "recorded": True}, PreflightResult)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def for_training(home: Path, result: PreflightResult, training: Training) -> PreflightResult:
    """Adapt a result to the validated folder, whose name may have changed since the training.

    The record takes the folder's name and keeps its other names. The result also says how the folder has changed since
    it was validated.

    Raises:
        StorageError: It can't be written.
    """
    dataset = training.report.dataset
    named = replace(
        result,
        dataset_name=dataset.name,
        dataset_root=str(dataset.root),
        other_names=tuple(dict.fromkeys(name for name in result.names if name != dataset.name)),
    )
    if named != result:
        save(home, named)
    return replace(named, dataset_changed=changes_since(dataset, training.competition.dataset))


def weights_folder(home: Path, identity: str) -> Path:
    """Return the folder for the weights of the best epoch; it may not exist."""
    return folder(home) / f"{identity}.weights"


def _predictions_path(home: Path, identity: str) -> Path:
    return home / "preflights" / f"{identity}.learned.json.gz"


def save_predictions(home: Path, identity: str, predictions: ModelPredictions) -> None:
    """Store the predictions of that preflight's model, replacing earlier ones.

    Raises:
        StorageError: It can't be written.
    """
    table = {
        "format": _PREDICTIONS_FORMAT,
        "classes": predictions.classes,
        "why_not": predictions.why_not,
        "images": [[i.split, i.path, i.sha256, i.label, i.probabilities] for i in predictions.images],
    }
    # Without a timestamp, so that the same content gives the same bytes.
    content = json.dumps(table, separators=(",", ":")).encode()
    replace_atomically(_predictions_path(home, identity), gzip.compress(content, mtime=0))


def read_predictions(home: Path, identity: str) -> ModelPredictions:
    """Read the predictions of that preflight's model; without images if there are none that this version can read."""
    unknown = ModelPredictions((), (), _NOT_KEPT)
    try:
        table: dict[str, Any] = json.loads(gzip.decompress(_predictions_path(home, identity).read_bytes()))
        if table["format"] != _PREDICTIONS_FORMAT:
            return unknown
        images = tuple(
            ImagePrediction(split, path, sha256, label, tuple(probabilities))
            for split, path, sha256, label, probabilities in table["images"]
        )
        return ModelPredictions(tuple(table["classes"]), images, table["why_not"])
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError):
        return unknown


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
    servers: Container[str] = ("",),
) -> PreflightResult | None:
    """Find the newest full preflight of a dataset, with the competition's command and epochs.

    Args:
        script: The SHA-256 that its script must have; None accepts any.
        label_book: The hash that its label book must have; None accepts any.
        servers: Addresses of the CodaLabs whose runs count; empty for trainings on this machine. A run on one server proves
            nothing about another.
    """
    for result in reversed(all_records(home)):
        trained = result.fingerprint
        if (
            result.complete
            and (trained.dataset, trained.competition, trained.command, trained.epochs)
            == (dataset, competition.name, competition.run.command, competition.training.epochs)
            and script in (None, trained.script)
            and label_book in (None, trained.label_book)
            and trained.server in servers
        ):
            return result
    return None


def find_named(home: Path, word: str, competition: Competition, *, dataset: str | None) -> PreflightResult:
    """Find a preflight by its id, the id's first digits, or the name of a dataset.

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
        # Whole ones before quick ones, the competition's own command before other seeds, then the newest.
        command = competition.run.command
        return max(named, key=lambda r: (not r.quick, r.fingerprint.command == command, r.started))
    return _with_id(results, word)


def _with_id(results: Iterable[PreflightResult], word: str) -> PreflightResult:
    """Find the only preflight whose id begins with ``word``; one that was stopped early only if no other does."""
    matching = [result for result in results if result.id.startswith(word)]
    whole = [result for result in matching if result.id == word or not result.quick]
    meant = whole or matching
    if len(meant) == 1:
        return meant[0]
    if meant:
        problem = f"The ids of {len(matching)} preflights begin with {word}."
    else:
        problem = f"Found no preflight {word}, and no folder of that name."
    raise UsageError(
        problem,
        action="Give a folder, or the id of a preflight or the name of a dataset as `cldc history` shows them.",
    )
