"""`cldc doctor`."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from cldc import __version__
from cldc.cli.options import command
from cldc.cli.server_app import ServerApp
from cldc.codalab import Health, Rest
from cldc.codalab.proxies import certificate
from cldc.credentials import keyring_name
from cldc.environments import Diagnosis, diagnose
from cldc.errors import CldcError
from cldc.files import (
    HOME_VARIABLE,
    others_can_read,
    storage_errors,
    system_temporary_folder,
    temporary_folder,
)
from cldc.ledger import FILE, Ledger
from cldc.render.document import Line, Table
from cldc.settings import NAMES
from cldc.text import plural, size

_LEAST_FREE_BYTES = 3 * 10**9
_LEAST_TEMPORARY = 10**9
_MOST_SKEW_SECONDS = 60
_PATIENCE_SECONDS = 10.0
_SOON_DAYS = 14
_TESTED_CODALAB = "1.7.5"
# Their values may contain a password, so only their names are shown.
_NETWORK_VARIABLES = (
    "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE",
    "UV_INDEX_URL",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check, and the next action if it found a problem."""

    subject: str
    verdict: Literal["ok", "note", "wrong"]
    finding: str
    action: str = ""


@command(ServerApp)
@click.option("--thorough", is_flag=True, help="Also run each environment, which takes a few seconds.")
def doctor(app: ServerApp, thorough: bool) -> int:
    """Check what cldc needs, and say what is wrong.

    The report holds no secrets and can be pasted into an issue. The exit code is 1 if something is wrong, else 0;
    notes do not count.

    \b
    Examples:
      cldc doctor
      cldc doctor --thorough --server sandbox
    """
    # The report is pasted in public: no home folder, whose name is a person's.
    home = os.path.expanduser("~")  # noqa: PTH111 - Path fails without a home folder
    found = list(_examine(app, thorough))
    if len(home) > 1:
        found = [
            replace(each, finding=each.finding.replace(home, "~"), action=each.action.replace(home, "~"))
            for each in found
        ]
    wrong = sum(each.verdict == "wrong" for each in found)
    app.show(
        {"checks": found, "wrong": wrong},
        Table(("check", "", "found"), [(each.subject, each.verdict, each.finding) for each in found]),
        *(
            Line(f"{each.subject}: {each.action}", "bad" if each.verdict == "wrong" else "plain")
            for each in found
            if each.action
        ),
        Line(f"{plural(wrong, 'check')} failed.", "bad") if wrong else Line("No problems found.", "good"),
    )
    return 1 if wrong else 0


def _examine(app: ServerApp, thorough: bool) -> Iterator[CheckResult]:
    versions = f"{__version__} on Python {platform.python_version()}, {platform.platform()}"
    yield CheckResult("cldc", "ok", versions)
    yield _try("data folder", lambda: _disk("data folder", app.home, _LEAST_FREE_BYTES, HOME_VARIABLE))
    yield _try("temporary", lambda: _disk("temporary", system_temporary_folder(), _LEAST_TEMPORARY, "TMPDIR"))
    project = _try("project", lambda: _project(app))
    yield project
    yield _try("ledger", lambda: _ledger(app.home))
    yield _try("keyring", _keyring)
    if project.verdict == "wrong":
        return
    settings = app.settings
    chosen = not settings.withheld("competition")
    if chosen:
        source = settings.values["competition"].source
        server = "not approved" if settings.withheld("server") else settings.server
        yield CheckResult("competition", "ok", f"{app.competition.name} ({source}), server {server}")
        yield from _environments(app, thorough)
    named = [name for name in _NETWORK_VARIABLES if os.environ.get(name)]
    network = f"set: {', '.join(named)}" if named else "no proxy, usual certificates"
    yield CheckResult("network", "ok", network)
    if chosen and not settings.withheld("server"):
        yield from _server(app)


def _try(subject: str, check: Callable[[], CheckResult]) -> CheckResult:
    try:
        return check()
    except CldcError as error:
        return _failed(subject, error)


def _failed(subject: str, error: CldcError, verdict: Literal["note", "wrong"] = "wrong") -> CheckResult:
    # In one line: a message may hold the end of a program's output.
    return CheckResult(subject, verdict, " ".join(error.message.split()), error.action)


def _disk(subject: str, folder: Path, least: int, variable: str) -> CheckResult:
    """Check whether a folder is writable and has space."""
    with storage_errors(folder), temporary_folder("cldc-doctor-", folder):
        free = shutil.disk_usage(folder).free
    text = f"{folder}, {free / 1e9:,.1f} GB free"
    if variable == HOME_VARIABLE and others_can_read(folder):
        action = f"Run `chmod 700 {folder}`, or point {HOME_VARIABLE} to a folder of yours."
        return CheckResult(subject, "note", f"{text}; other users of this machine can read it", action)
    if free < least:
        action = f"About {least / 1e9:g} GB are needed there; free some space, or set {variable}."
        return CheckResult(subject, "note", text, action)
    return CheckResult(subject, "ok", text)


def _project(app: ServerApp) -> CheckResult:
    """Show the project file, and where each setting comes from."""
    settings = app.settings
    named = [
        f"{name} ({Path(value.source).name})"
        for name, value in settings.values.items()
        if value.value is not None
    ]
    where = str(settings.project.path) if settings.project else "no cldc.toml here or above"
    text = f"{where}; set: {', '.join(named) or 'nothing'}"
    if waiting := [name for name in NAMES if settings.withheld(name)]:
        text += f"; not approved: {', '.join(waiting)}"
        return CheckResult("project", "note", text, "Look at it and approve it with `cldc trust`.")
    return CheckResult("project", "ok", text)


def _environments(app: ServerApp, thorough: bool) -> Iterator[CheckResult]:
    try:
        found = diagnose(app.home, app.competition.training.tensorflow, thorough=thorough)
    except CldcError as error:
        yield _failed("environments", error)
        return
    for kind in dict.fromkeys(each.recipe.kind for each in found):
        yield _environment(kind, [each for each in found if each.recipe.kind == kind])


def _environment(kind: str, choices: Sequence[Diagnosis]) -> CheckResult:
    """Check this machine's environment of one kind; the choices for it begin with the best."""
    best = choices[0].recipe
    used = next((each for each in choices if each.used), None)
    if used is None:
        problems = "; ".join(f"{each.recipe.name}: {each.problem}" for each in choices)
        action = f"Install Python {best.python}, or let uv download it on first use."
        return CheckResult(kind, "note", problems, action)
    name, made = used.recipe.name, used.environment
    text = f"{name} {f'ready, Python {made.python_version}' if made else 'created on first use'}, from {used.interpreter}"
    if used.problem:
        action = f"Run `cldc env remove {name}`; the next command that needs it creates it again."
        return CheckResult(kind, "wrong", f"{text}: {used.problem}", action)
    if not used.recipe.faithful:
        action = f"Install Python {best.python} for {best.name}."
        return CheckResult(kind, "note", f"{text}: {used.recipe.why}", action)
    return CheckResult(kind, "ok", text)


def _ledger(home: Path) -> CheckResult:
    if not (home / FILE).exists():
        return CheckResult("ledger", "ok", "none yet; the first submission creates it")
    with Ledger(home, reading=True) as ledger:
        return CheckResult("ledger", "ok", f"intact; submissions: {len(ledger.records())}")


def _keyring() -> CheckResult:
    name = keyring_name()
    if name is None:
        return CheckResult(
            "keyring",
            "note",
            "none",
            "Set CODALAB_USERNAME and CODALAB_PASSWORD, since `cldc login` can't keep them here.",
        )
    return CheckResult("keyring", "ok", name)


def _server(app: ServerApp) -> Iterator[CheckResult]:
    # What was known about it when the profile was written.
    known = [CheckResult("server status", "note", app.server_status)] if app.server_status else []
    try:
        # Only one try: people run `doctor` when the network is bad, and want to know at once.
        with Rest(app.server) as usual, usual.with_timeout(_PATIENCE_SECONDS) as rest:
            health = rest.health()
    except CldcError as error:
        yield _failed("server", error)
        yield from known
        return
    yield from known
    yield _try("TLS", lambda: _tls(app.server))
    tested = health.version in (_TESTED_CODALAB, None)
    yield CheckResult(
        "server",
        "ok",
        f"{app.server}, CodaLab {health.version or '?'}{'' if tested else f' (cldc is tested with {_TESTED_CODALAB})'}, "
        f"answers in {health.seconds * 1000:.0f} ms",
    )
    yield _clock(health)
    try:
        with app.rest.with_timeout(_PATIENCE_SECONDS) as rest:
            user = rest.user()
    except CldcError as error:
        yield _failed("account", error, "note")
        return
    room = f"{size(user.disk_quota - user.disk_used)} of disk left"
    yield CheckResult("account", "ok", f"{user.name} (from {app.credentials.source}), {room}")


def _tls(server: str) -> CheckResult:
    found = certificate(server)
    if found is None:
        loopback = server.startswith("http:")
        return CheckResult(
            "TLS", "ok", "none; the server is this machine" if loopback else "verified through the proxy"
        )
    days = (found.expires - datetime.now(UTC)).days
    text = f"{found.protocol}, certificate of {found.issuer}, valid for {days} days"
    if days < _SOON_DAYS:
        return CheckResult(
            "TLS", "note", text, "Tell the server's operators that its certificate expires soon."
        )
    return CheckResult("TLS", "ok", text)


def _clock(health: Health) -> CheckResult:
    skew = health.clock_ahead_seconds
    if skew is None:
        return CheckResult("clock", "note", "the server does not send its time")
    if abs(skew) > _MOST_SKEW_SECONDS:
        return CheckResult(
            "clock",
            "wrong",
            f"{abs(skew):,.0f} s {'behind' if skew > 0 else 'ahead of'} the server",
            "Set this machine's clock.",
        )
    return CheckResult("clock", "ok", "agrees with the server's")
