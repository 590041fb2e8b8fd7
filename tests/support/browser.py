"""A real browser for tests of pages: Debian's Chromium, or another one that is installed, and axe in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.commands import ROOT

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_AXE = ROOT / "tests" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
SIZES = ((1400, 900), (390, 844))
SCHEMES = ("light", "dark")
expect.set_options(timeout=30_000)  # ms; other tests need the processors too


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser; the test is skipped without one."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"there is no browser: {', '.join(_NAMES)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--disable-quic"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def reviewing(folder: Path, home: Path) -> Iterator[tuple[str, list[str]]]:
    """`cldc review` of a folder: its address, and after the block the lines that it printed in the end."""
    printed: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "cldc", "review", str(folder), "--no-browser"],
        env={**os.environ, "CLDC_HOME": str(home), "PYTHONPATH": str(ROOT)},
        cwd=home,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        try:
            yield next(line.strip() for line in running.stdout if line.startswith("http:")), printed
        finally:
            running.send_signal(signal.SIGINT)
            try:
                printed += running.communicate(timeout=60)[0].splitlines()
            finally:
                running.kill()
    assert running.returncode == 0


def violations(page: Page, where: str) -> list[str]:
    """What axe finds wrong in a page, a line for each kind; the test is skipped where axe is not installed."""
    if not _AXE.exists():
        pytest.skip("axe is not installed: npm ci --ignore-scripts --prefix tests/axe")
    page.evaluate(_AXE.read_text(encoding="utf-8"))
    found: Any = page.evaluate("() => axe.run(document)")
    return [
        f"{where}: {rule['id']} ({rule['help']}): {[node['html'][:160] for node in rule['nodes'][:3]]}"
        for rule in found["violations"]
    ]
