"""Every verdict held against TensorFlow's own, on seeded images broken in thousands of ways.

``CLDC_DIFFERENTIAL_CASES=100000`` asks for more cases, ``CLDC_DIFFERENTIAL_SEED`` for other ones. A case that fails is
named by its kind, seed and number; the last two bring it back.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import pytest

from cldc import competition
from cldc.environments import ensure_tensorflow
from cldc.validation.real_tensorflow import TensorFlowProcess
from cldc.validation.tensorflow_decoder import Readable, judge
from tests.support.commands import ROOT
from tests.support.decoder_cases import cases

pytestmark = [pytest.mark.lasts(40), pytest.mark.timeout(7200)]

_CASES = int(os.environ.get("CLDC_DIFFERENTIAL_CASES", "4000"))
_SEED = int(os.environ.get("CLDC_DIFFERENTIAL_SEED", "1"))
_BATCH = 1000
_MAX_UNKNOWN_SHARE = 0.003


@pytest.fixture(scope="module")
def decoder(environments_home: Path) -> Iterator[TensorFlowProcess]:
    """The competition's TensorFlow; CLDC_TEST_TENSORFLOW names the Python of another one."""
    given = os.environ.get("CLDC_TEST_TENSORFLOW")
    if given:
        python = Path(given)
    else:
        choices = competition.load().training.tensorflow
        python = ensure_tensorflow(choices, environments_home).python
    with contextlib.closing(TensorFlowProcess(python)) as asked:
        yield asked


@pytest.fixture(scope="module")
def odd_images() -> dict[str, bytes]:
    """Small odd files whose verdicts are known, where they are at hand; they are mutated too."""
    data = Path(os.environ.get("CLDC_TEST_DATA", ROOT.parent / "shared" / "data"))
    found = {path.name: path.read_bytes() for path in sorted((data / "odd-images").glob("*.*"))}
    return {
        name: content for name, content in found.items() if not name.endswith(".tsv") and len(content) < 8000
    }


def test_every_verdict_is_tensorflows(
    decoder: TensorFlowProcess,
    odd_images: dict[str, bytes],
    tmp_path: Path,
    report_cases: Callable[[str, Mapping[str, int]], None],
) -> None:
    tally: Counter[Readable] = Counter()
    wrong = []
    drawn = cases(_SEED, _CASES, tuple(odd_images.values()))
    while batch := list(islice(drawn, _BATCH)):
        folder = tmp_path / "batch"
        folder.mkdir()
        for name, content in batch:
            verdict = judge(content)
            tally[verdict.readable] += 1
            path = folder / name
            path.write_bytes(content)
            answer = decoder.ask(path)
            answered = (Readable.YES if answer.readable else Readable.NO, answer.width, answer.height)
            size = (verdict.width, verdict.height) if verdict.readable is Readable.YES else (None, None)
            if verdict.readable is not Readable.UNKNOWN and answered != (verdict.readable, *size):
                wrong.append((name, verdict, answer))
        shutil.rmtree(folder)
    verdicts = {f"verdicts {kind}": tally[kind] for kind in Readable}
    report_cases("held against TensorFlow", {"cases": tally.total(), "wrong": len(wrong), **verdicts})
    assert not wrong, wrong[:10]
    assert tally[Readable.UNKNOWN] <= max(2, _MAX_UNKNOWN_SHARE * _CASES)
    assert min(tally[Readable.YES], tally[Readable.NO]) > _CASES / 5, "the cases have become one-sided"


def test_messages_are_tensorflows(
    decoder: TensorFlowProcess, odd_images: dict[str, bytes], tmp_path: Path
) -> None:
    if not odd_images:
        pytest.skip("the odd images are not at hand (set CLDC_TEST_DATA)")
    for name, content in odd_images.items():
        path = tmp_path / name
        path.write_bytes(content)
        answer = decoder.ask(path)
        assert answer.error in judge(content).reason, name
