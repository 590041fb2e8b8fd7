"""TensorFlow decodes the same pixels before and after metadata is removed.

``CLDC_DIFFERENTIAL_CASES=100000`` asks for more cases, ``CLDC_DIFFERENTIAL_SEED`` for other ones.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from cldc import competition
from cldc.environments import ensure_tensorflow
from cldc.process import run
from cldc.validation.metadata.removal import remove_metadata
from tests.support.commands import ROOT
from tests.support.decoder_cases import cases
from tests.support.metadata_cases import draw_case

_CASES = int(os.environ.get("CLDC_DIFFERENTIAL_CASES", "4000")) // 2
_SEED = int(os.environ.get("CLDC_DIFFERENTIAL_SEED", "1"))
_DECODER = ROOT / "tests" / "support" / "inside" / "pixels.py"


@pytest.mark.timeout(1800)
def test_tensorflow_decodes_the_same_pixels(
    environments_home: Path, tmp_path: Path, report_cases: Callable[[str, Mapping[str, int]], None]
) -> None:
    """Sound images with metadata, and broken ones of which something can still be removed."""
    drawn = [(case.name, case.content) for case in map(draw_case, range(_CASES))]
    pairs = []
    for name, content in (*drawn, *cases(_SEED, _CASES, tuple(content for _, content in drawn[:50]))):
        stripped = remove_metadata(content)
        if stripped is not None and stripped != content:
            paths = tmp_path / f"{name}.before", tmp_path / f"{name}.after"
            paths[0].write_bytes(content)
            paths[1].write_bytes(stripped)
            pairs.append([str(path) for path in paths])
    python = ensure_tensorflow(competition.load().training.tensorflow, environments_home).python
    asked = json.dumps([path for pair in pairs for path in pair])
    answers = json.loads(run([python, _DECODER], text=asked, timeout_seconds=1500).stdout)
    before, after = answers[::2], answers[1::2]
    report_cases("metadata removed, held against TensorFlow", {"images": len(pairs)})
    assert len(pairs) > _CASES / 2
    assert None not in before
    assert [pair for pair, one, other in zip(pairs, before, after, strict=True) if one != other] == []
