"""`cldc doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from cldc.cli.app import App
from cldc.cli.options import command
from cldc.errors import CldcError

if TYPE_CHECKING:
    from cldc.codalab import Health

_LEAST_FREE_BYTES = 3 * 10**9
_MOST_SKEW_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Ailment:
    """One thing looked at: how it is, and what to do where it is not well."""

    subject: str
    verdict: Literal["ok", "note", "wrong"]
    finding: str
    action: str = ""


@click.command()
@click.option("--thorough", is_flag=True, help="Also use each environment, which takes seconds.")
@command(server=True)
def doctor(app: App, thorough: bool) -> int:
    """Check what cldc needs, and say what is wrong.

    The report holds no secrets and can be pasted into an issue. The exit code is 1 where something is wrong.
    """
    from cldc.render.blocks import Line, Table

    found = list(_examine(app, thorough))
    blocks: list[Line | Table] = [
        Table(("looked at", "", "found"), [(a.subject, a.verdict, a.finding) for a in found])
    ]
    for ailment in found:
        if ailment.action:
            blocks.append(
                Line(f"{ailment.subject}: {ailment.action}", "bad" if ailment.verdict == "wrong" else "plain")
            )
    wrong = sum(a.verdict == "wrong" for a in found)
    blocks.append(
        Line(
            f"{wrong} of these {'is' if wrong == 1 else 'are'} wrong." if wrong else "All is well.",
            "bad" if wrong else "good",
        )
    )
    app.output.show({"checks": found, "wrong": wrong}, blocks)
    return 1 if wrong else 0


def _examine(app: App, thorough: bool) -> Iterator[Ailment]:
    yield _about_cldc()
    yield _try("data folder", lambda: _data_folder(app))
    yield _try("competition", lambda: _competition(app))
    yield from _environments(app, thorough)
    yield _try("keyring", _keyring)
    yield from _server(app)


def _try(subject: str, look: Callable[[], Ailment]) -> Ailment:
    try:
        return look()
    except CldcError as error:
        return Ailment(subject, "wrong", error.message, error.action)


def _about_cldc() -> Ailment:
    import platform

    from cldc import __version__

    return Ailment(
        "cldc", "ok", f"{__version__} on Python {platform.python_version()}, {platform.platform()}"
    )


def _data_folder(app: App) -> Ailment:
    import shutil

    free = shutil.disk_usage(app.home).free
    text = f"{app.home}, {free / 1e9:,.1f} GB free"
    if free < _LEAST_FREE_BYTES:
        return Ailment(
            "data folder", "note", text, "The environments take about 2 GB; free some space or set CLDC_HOME."
        )
    return Ailment("data folder", "ok", text)


def _competition(app: App) -> Ailment:
    source = app.settings.values["competition"].source
    return Ailment("competition", "ok", f"{app.competition.name} ({source}), server {app.settings.server}")


def _environments(app: App, thorough: bool) -> Iterator[Ailment]:
    from cldc.environments import diagnose

    try:
        found = diagnose(app.home, app.competition.training.tensorflow, thorough=thorough)
    except CldcError as error:
        yield Ailment("environments", "wrong", error.message, error.action)
        return
    for kind in dict.fromkeys(d.kind for d in found):
        choices = [d for d in found if d.kind == kind]
        used = next((d for d in choices if d.used), None)
        if used is None:
            problems = "; ".join(f"{d.name}: {d.problem}" for d in choices)
            yield Ailment(
                kind,
                "note",
                problems,
                f"Install Python {choices[0].python}, or let uv download it on first use.",
            )
            continue
        state = (
            f"ready, Python {used.environment.python_version}" if used.environment else "made on first use"
        )
        text = f"{used.name} {state}, from {used.interpreter}"
        if used.problem:
            yield Ailment(
                kind,
                "wrong",
                f"{text}: {used.problem}",
                f"Run `cldc env remove {used.name}`; it is made anew.",
            )
        elif not used.faithful:
            yield Ailment(
                kind,
                "note",
                f"{text}: {used.why}",
                f"Install Python {choices[0].python} for {choices[0].name}.",
            )
        else:
            yield Ailment(kind, "ok", text)


def _keyring() -> Ailment:
    from cldc.credentials import keyring_name

    name = keyring_name()
    if name is None:
        return Ailment(
            "keyring",
            "note",
            "there is none",
            "Set CODALAB_USERNAME and CODALAB_PASSWORD where `cldc login` can't keep them.",
        )
    return Ailment("keyring", "ok", name)


def _server(app: App) -> Iterator[Ailment]:
    try:
        health = app.anonymous.health()
    except CldcError as error:
        yield Ailment("server", "wrong", error.message, error.action)
        return
    yield Ailment(
        "server",
        "ok",
        f"{app.server}, CodaLab {health.version or '?'}, answers in {health.seconds * 1000:.0f} ms",
    )
    yield _clock(health)
    try:
        user = app.rest.user()
    except CldcError as error:
        yield Ailment("account", "note", error.message, error.action)
        return
    free = (user.disk_quota - user.disk_used) / 1e6
    yield Ailment(
        "account", "ok", f"{user.name} (from {app.credentials.source}), {free:,.0f} MB of disk left"
    )


def _clock(health: Health) -> Ailment:
    skew = health.clock_ahead_seconds
    if skew is None:
        return Ailment("clock", "note", "the server does not tell its time")
    if abs(skew) > _MOST_SKEW_SECONDS:
        return Ailment(
            "clock",
            "wrong",
            f"{abs(skew):,.0f} s {'behind' if skew > 0 else 'ahead of'} the server",
            "Set this machine's clock.",
        )
    return Ailment("clock", "ok", "agrees with the server's")
