"""Behaviour that CodaLab 1.7.5 expects and that newer releases of its libraries dropped."""
# mypy: disable-error-code="import-not-found,import-untyped,no-any-return"

from __future__ import annotations

import contextlib
from typing import Any

import bottle
import sentry_sdk.profiler


def prepare() -> None:
    """Restore the missing parts. Call this before importing CodaLab's server."""
    if not hasattr(
        sentry_sdk.profiler, "start_profiling"
    ):  # renamed in later 1.x; reached only with Sentry on
        sentry_sdk.profiler.start_profiling = lambda *_args, **_kwargs: contextlib.nullcontext()
    # CodaLab's plug-ins set request.user anew; bottle 0.13 refuses to set an attribute twice, 0.12 did not.
    bottle.BaseRequest.__setattr__ = _set_attribute


def _set_attribute(request: Any, name: str, value: Any) -> None:
    if name == "environ":
        object.__setattr__(request, name, value)
    else:
        request.environ["bottle.request.ext." + name] = value
