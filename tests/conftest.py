"""Fixtures that make accidents impossible, and the real parts that tests share.

No test writes to the home folder, opens a socket beyond this machine, reads the user's keyring or sees the user's
credentials. Environments are made once a machine, in ``.cache/test-home`` (or CLDC_TEST_HOME).
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from cldc import sample
from cldc.competition import Competition, load
from cldc.environments import ensure_analysis, ensure_codalab, ensure_tensorflow
from cldc.preflight.inputs import read_label_book
from cldc.preflight.model import LabelBook
from cldc.validation import ValidationReport, validate
from tests.support.certificates import Authority
from tests.support.commands import ROOT, SHAPES_PROFILE, UNTIL_THE_END, Cldc, cldc_in
from tests.support.deployed import deployed_stage
from tests.support.stage import Stage, lower_stage, raise_stage
from tools import competition_images

# How long an example takes says more about the machine than about cldc.
# Continuous integration draws the same examples each time; everyone else's runs look for new ones.
settings.register_profile("cldc", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("cldc")
# Where uv keeps what it downloaded and pyenv its Pythons, found before the home folder is put out of sight.
_PLACES = {
    "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
    "PYENV_ROOT": os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv")),
}
_KEPT = ("CLDC_TEST_", "CLDC_DIFFERENTIAL_", "CLDC_BROKEN_ENVIRONMENTS_", "CLDC_CODALAB_PYTHON")
# Modules whose tests share a server, a browser or a long preparation.
_TOGETHER = {
    *("test_codalab", "test_decoder_against_tensorflow", "test_download", "test_pages", "test_review"),
    *("test_sandbox", "test_broken_environments", "test_terms"),
}
# A shell has what it starts in the background ignore Ctrl-C; tests of it would wait for one in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("CLDC_", "CODALAB_")) and not name.startswith(_KEPT):
            monkeypatch.delenv(name)
    monkeypatch.delenv("CI", raising=False)  # else nobody at a test's terminal would be asked
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv("CLDC_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for what tests start in other folders
    for name, place in _PLACES.items():
        monkeypatch.setenv(name, place)


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in (
            "127.0.0.1",
            "::1",
            "localhost",
        ):
            raise AssertionError(f"a test opened a connection to {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session")
def environments_home() -> Path:
    """A data folder that all runs share, with all isolated environments.

    They are made here, where the user's own Pythons and uv's cache are in sight, and not in a test.
    """
    home = Path(os.environ.get("CLDC_TEST_HOME", ROOT / ".cache" / "test-home")).absolute()
    home.mkdir(parents=True, exist_ok=True)
    ensure_codalab(home)
    ensure_tensorflow(load().training.tensorflow, home)
    ensure_analysis(home)
    return home


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The competition's own dataset (``data``) and label book (``label_book``), unpacked."""
    folder = tmp_path_factory.mktemp("real")
    if not competition_images.unpack(folder):
        pytest.skip(f"the competition's data is not at {competition_images.SOURCE} (set CLDC_TEST_DATA)")
    return folder


@pytest.fixture
def report_cases(record_property: Callable[[str, object], None]) -> Callable[[str, Mapping[str, int]], None]:
    """Report at the end of the run how many cases a test drew."""

    def report(subject: str, counts: Mapping[str, int]) -> None:
        record_property(subject, dict(counts))

    return report


class InOrder(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process the next test in order, or the next group of tests that share what is slow to make."""

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        if (
            module.endswith("test_similar_names.py")
            or "once_at_any_moment_it_ends_with_one_submission[deployed" in nodeid
        ):
            return "deployed"
        return module if Path(module).stem in _TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InOrder:
    return InOrder(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in ``tests/real``; start long tests first, so that no process is at one when the others have ended."""
    for item in items:
        if item.path.parent.name == "real":
            item.add_marker("real")
    items.sort(key=lambda item: -max((mark.args[0] for mark in item.iter_markers("lasts")), default=0))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Add up the cases of each subject over all processes."""
    totals: dict[str, Counter[str]] = {}
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if getattr(report, "when", None) == "call":
            for subject, counts in report.user_properties:
                totals.setdefault(subject, Counter()).update(counts)
    for subject, counts in sorted(totals.items()):
        amounts = ", ".join(f"{number:,} {what}" for what, number in counts.items())
        terminalreporter.write_line(f"{subject}: {amounts}")


def pytest_unconfigure() -> None:
    UNTIL_THE_END.close()


@pytest.fixture
def bare_cldc(tmp_path: Path) -> Cldc:
    """``cldc`` with a data folder of this test alone and no environments."""
    home = tmp_path / "home"
    home.mkdir()
    return Cldc(home, {})


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, environments_home: Path) -> Iterator[Stage]:
    """A sandbox that all tests of submitting share; each takes an account of its own there."""
    raised = raise_stage(tmp_path_factory.mktemp("stage"), environments_home)
    yield raised
    lower_stage(raised)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory, environments_home: Path) -> Iterator[Stage]:
    """A CodaLab as it is deployed, on MariaDB and behind gunicorn, shared like ``stage``."""
    with deployed_stage(tmp_path_factory.mktemp("deployed"), environments_home) as raised:
        yield raised


@pytest.fixture
def cldc(tmp_path: Path, environments_home: Path) -> Iterator[Cldc]:
    """``cldc`` with a data folder of this test alone; a sandbox left up in it is taken down."""
    command = cldc_in(tmp_path / "home", environments_home)
    yield command
    if (command.home / "sandbox").exists():
        command("sandbox", "down", code=None)


@pytest.fixture
def shapes() -> Competition:
    """A class's own small competition."""
    return load(str(SHAPES_PROFILE))


@pytest.fixture
def book(tmp_path: Path, shapes: Competition) -> LabelBook:
    return read_label_book(sample.draw_label_book(tmp_path / "book", shapes, images=20), shapes)


@pytest.fixture
def report(tmp_path: Path, shapes: Competition) -> ValidationReport:
    return validate(sample.draw(tmp_path / "mine", shapes, images=80), shapes)


@pytest.fixture
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor certificates of this machine's user."""
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_proxies: None) -> Authority:
    """An issuer of certificates that is trusted here."""
    made = Authority(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.file))
    # For what runs in this process in place of CodaLab's client.
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made
