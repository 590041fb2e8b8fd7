"""Finding warped copies for a check."""

from __future__ import annotations

from collections.abc import Sequence

from cldc.cli.app import App
from cldc.environments import ensure_analysis, ready_analysis
from cldc.errors import CldcError
from cldc.progress import Observer
from cldc.validation.near_duplicates import Pair, Side
from cldc.validation.warped_copies import find_warped_copies


def find(app: App, observer: Observer, sides: Sequence[Side], *, make: bool) -> Sequence[Pair] | None:
    """Warped copies between the sides; None where they can't be found, and a note says why.

    Args:
        app: The command's services.
        observer: Receives progress events.
        sides: The splits, and the label book.
        make: Whether the environment that takes is made where it is missing, and failures are raised.

    Raises:
        CldcError: The search failed, and ``make`` asked for it.
    """
    try:
        environment = ensure_analysis(app.home, observer) if make else ready_analysis(app.home)
        return (
            find_warped_copies(sides, environment, home=app.home, observer=observer) if environment else None
        )
    except CldcError as error:
        if make:
            raise
        observer.note(f"Warped copies were not looked for: {error.message.splitlines()[0]}")
        return None
