"""Score predictions on the hidden test set with the competition's evaluation script, as the scoring daemon does."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cldc.competition import TEST_KEY, Competition
from cldc.environments import Environment
from cldc.errors import PreflightFailed, ProcessFailed
from cldc.files import hash_bytes, hash_file, private_folder, read_json, replace_atomically, storage_errors
from cldc.preflight.model import LabelBook
from cldc.process import clean_environment, run

# An evaluation loads TensorFlow and reads the hidden test set.
_TIMEOUT_SECONDS = 1800


class TestSetScorer:
    """Scores predictions on one hidden test set with the competition's evaluation script. Earlier scores are reused from their records."""

    def __init__(
        self,
        competition: Competition,
        test_set: LabelBook,
        script: Path,
        *,
        environment: Environment,
        folder: Path,
        home: Path,
    ) -> None:
        """Copy the hidden test set beside the script, as an evaluation on CodaLab has them.

        Args:
            environment: The TensorFlow that trained: the order of predictions is its own.
            folder: A new folder to evaluate in.
            home: The data folder, where scores are kept.

        Raises:
            ConfigurationError: The profile has no [organiser] table.
            StorageError: The disk is full or not writable.
        """
        self._side = competition.require_organiser()
        self._predictions = competition.run.predictions
        self._environment = environment
        self._folder = folder
        self._kept = private_folder(home / "grading")
        facts = (test_set.hash, hash_file(script), self._side, self._predictions, environment.id)
        self._identity = repr(facts)
        root = folder / TEST_KEY / competition.bundles.label_book.name
        with storage_errors(folder):
            for name in test_set.folders:
                (root / name).mkdir(parents=True)
            for path, _ in test_set.images:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(test_set.root / path, root / path)
            shutil.copyfile(script, folder / self._side.evaluate.name)

    def score(self, predictions: Sequence[int]) -> float:
        """Run the evaluation script on a class index for each image of the hidden test set, and return the score.

        Raises:
            PreflightFailed: The script failed, or left no number.
            StorageError: The disk is full or not writable.
        """
        text = json.dumps(list(predictions))
        record = self._kept / f"{hash_bytes(self._identity + text)[:16]}.json"
        known = read_json(record)
        if known is None:
            known = {"score": self._evaluate(text)}
            replace_atomically(record, json.dumps(known))
        score: float = known["score"]
        return score

    def _evaluate(self, predictions: str) -> float:
        file, _, key = self._side.score.path.removeprefix("/").partition(":")
        given, result = self._folder / self._predictions, self._folder / file
        with storage_errors(self._folder):
            given.parent.mkdir(parents=True, exist_ok=True)
            given.write_text(predictions, encoding="utf-8")
            result.unlink(missing_ok=True)
        words = shlex.split(self._side.evaluate_command.format(predictions=self._predictions))
        python = self._environment.python
        program = str(python) if words[0] in ("python", "python3") else words[0]
        try:
            run(
                [program, *words[1:]],
                cwd=self._folder,
                env=clean_environment({"KERAS_HOME": str(self._folder), "TF_CPP_MIN_LOG_LEVEL": "2"}),
                timeout_seconds=_TIMEOUT_SECONDS,
            )
        except ProcessFailed as error:
            raise self._failed(f"it failed: {error.message.splitlines()[-1]}") from error
        found: Any = read_json(result)
        for step in key.split("/"):
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, bool) or not isinstance(found, (int, float)):
            raise self._failed(f"it left no number {key} in {file}")
        return float(found)

    def _failed(self, why: str) -> PreflightFailed:
        return PreflightFailed(
            f"The evaluation script {self._side.evaluate.name} gives no score: {why}.",
            action="Correct the script and run the command again; what is trained is kept.",
        )
