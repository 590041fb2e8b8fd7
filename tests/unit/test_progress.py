"""Progress on one line, whatever the width, and what is shown when somebody stops a command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc.cli.plain_progress import fitted, parts_of
from tests.support.terminal import Terminal

EPOCH = "epoch 23/100  val 61 %  best 63 % (19)  8 min left"
# A training as it tells its progress, until it is stopped.
_TRAIN = """
import time
from cldc.cli.output import Output
output = Output()
output.observer.start("Training", 100, "epochs")
for _ in range(50):
    output.observer.advance(22.5, "{EPOCH}")
    time.sleep(0.05)
output.close(done=False)
"""


@given(st.lists(st.text(min_size=1), min_size=1), st.integers(1, 120))
def test_a_line_of_progress_fits(parts: list[str], width: int) -> None:
    assert len(fitted(parts, width)) <= width


def test_the_time_left_is_left_out_last() -> None:
    parts = ["Training", *parts_of(22.5, 100, "epochs", EPOCH)]
    assert fitted(parts, 80) == f"Training  {EPOCH}"
    assert fitted(parts, 40) == "Training  epoch 23/100  8 min left"
    assert fitted(parts, 22) == "Training  8 min left"
    assert fitted(parts, 5) == "Trai…"


def test_bytes_and_images_are_counted() -> None:
    assert parts_of(5e6, 1.2e12, "bytes", "unpacking") == ["5 MB of 1.2 TB", "unpacking"]
    assert parts_of(2041, 5000, "images", "") == ["2,041 of 5,000 images"]


@pytest.mark.parametrize("columns", [100, 80, 40])
def test_a_stopped_training_is_one_line_that_is_not_ticked(columns: int, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(_TRAIN.replace("{EPOCH}", EPOCH))
    _, text = Terminal(cwd=tmp_path, columns=columns, program=[str(script)]).end()
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r", "\n")).strip().splitlines()[-1]
    assert last.startswith("✗ Training  ")
    assert last.endswith("8 min left")
    assert len(last) < columns
    assert "✓" not in text


def test_what_had_ended_when_something_else_failed_is_ticked(tmp_path: Path) -> None:
    script = tmp_path / "check.py"
    script.write_text(_TRAIN.replace('22.5, "{EPOCH}"', "100"))
    _, text = Terminal(cwd=tmp_path, columns=80, program=[str(script)]).end()
    assert "✓ Training  " in text
    assert "✗" not in text


def test_a_question_that_is_cancelled_changed_nothing(tmp_path: Path) -> None:
    asked = Terminal("init", cwd=tmp_path, CI="")
    asked.until("Competition")
    asked.interrupt()
    code, text = asked.end()
    assert code == 130
    assert "Cancelled; nothing changed." in text
    assert not list(tmp_path.glob("cldc.toml"))
