"""Follow bundles' dependencies, several bundles in one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cldc.codalab import Bundle, Rest
from cldc.codalab.failures import ServerFailed
from cldc.errors import CodaLabError
from cldc.progress import SILENT, Observer

# Number of bundles that `Rest.bundles` reads in one request.
_AT_ONCE = 40


def creation_key(bundle: Bundle) -> tuple[float, str]:
    """Sort key for bundles by creation time, the same for every reader."""
    return (bundle.created.timestamp() if bundle.created else 0.0, bundle.uuid)


def lineage(
    start: Iterable[str],
    fetch: Callable[[str], Bundle | None],
    *,
    descend: Callable[[Bundle], bool] = lambda _: True,
) -> Iterator[Bundle]:
    """Iterate over bundles and all their ancestors, each once.

    Args:
        start: Uuids of the bundles.
        fetch: Returns a bundle by its uuid; None to leave it out.
        descend: Whether to follow a bundle's dependencies.
    """
    waiting = list(start)
    seen = set(waiting)
    while waiting:
        bundle = fetch(waiting.pop())
        if bundle is None:
            continue
        yield bundle
        if descend(bundle):
            parents = {dependency.parent for dependency in bundle.dependencies} - seen
            waiting += sorted(parents)
            seen |= parents


def find_bundles(
    rest: Rest, uuids: Iterable[str], *, worksheets: bool = False, observer: Observer = SILENT
) -> dict[str, Bundle]:
    """Read the bundles that the server has and shows, by uuid, in few requests regardless of their number.

    The observer is told how many of them have been asked for.

    Raises:
        ServerFailed, Unreachable: The server can't be read.
    """
    wanted, found = list(dict.fromkeys(uuids)), dict[str, Bundle]()
    for start in range(0, len(wanted), _AT_ONCE):
        observer.advance(start)
        found |= _find(rest, wanted[start : start + _AT_ONCE], worksheets=worksheets)
    return found


def _find(rest: Rest, uuids: list[str], *, worksheets: bool) -> dict[str, Bundle]:
    """As `find_bundles`; if one bundle is missing, CodaLab returns none, so each half is requested alone."""
    try:
        return {bundle.uuid: bundle for bundle in rest.bundles(uuids, worksheets=worksheets)}
    except ServerFailed:
        raise
    except CodaLabError:
        if len(uuids) == 1:
            return {}
    half = len(uuids) // 2
    found = _find(rest, uuids[:half], worksheets=worksheets)
    return found | _find(rest, uuids[half:], worksheets=worksheets)
