"""`cldc validate --watch` notices changes once they are complete."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cldc import competition
from cldc.validation.watching import changes
from tests.support.folders import make_dataset, png


def test_watching_reports_a_change_once_when_it_is_over(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: (folder / "train" / "i" / "a.png").write_bytes(png(1)),
        lambda: (folder / "train" / "i" / "b.png").write_bytes(png(2)),
        lambda: None,
        lambda: shutil.move(folder, folder.parent / "gone"),
        lambda: None,
        lambda: shutil.move(folder.parent / "gone", folder),
        lambda: None,
        lambda: (tmp_path / "decisions.csv").write_text("path,action\ntrain/i/a.png,correct\n"),
        lambda: None,
    ]
    done = 0

    def sleep(_: float) -> None:
        nonlocal done
        if done == len(steps):
            raise KeyboardInterrupt
        steps[done]()
        done += 1

    reported: list[int] = []

    def watch() -> None:
        for _ in changes(folder, competition.load(), sleep=sleep):
            reported.append(done)

    with pytest.raises(KeyboardInterrupt):
        watch()
    assert reported == [0, 4, 6, 8, 10]
