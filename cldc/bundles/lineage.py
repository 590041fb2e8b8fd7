"""What bundles were made from, and several of them in one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cldc.codalab import Bundle, Rest
from cldc.codalab.failures import ServerFailed
from cldc.errors import CodaLabError

# As many bundles as `Rest.bundles` asks for in one request.
_AT_ONCE = 40


def creation_key(bundle: Bundle) -> tuple[float, str]:
    """Sorts bundles by when they were made, in the same order for everyone who looks."""
    return (bundle.created.timestamp() if bundle.created else 0.0, bundle.uuid)


def lineage(
    start: Iterable[str],
    fetch: Callable[[str], Bundle | None],
    *,
    descend: Callable[[Bundle], bool] = lambda _: True,
) -> Iterator[Bundle]:
    """Bundles and everything that they were made from, each once.

    Args:
        start: Uuids of the bundles.
        fetch: Gives a bundle by its uuid; None for one that is to be left out.
        descend: Whether to go on to what a bundle was made from.
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


def find_bundles(rest: Rest, uuids: Iterable[str], *, worksheets: bool = False) -> dict[str, Bundle]:
    """Those of the bundles that the server has and shows, by uuid, in few requests however many there are.

    Raises:
        ServerFailed, Unreachable: The server can't be asked.
    """
    wanted, found = list(dict.fromkeys(uuids)), dict[str, Bundle]()
    for start in range(0, len(wanted), _AT_ONCE):
        found |= _find(rest, wanted[start : start + _AT_ONCE], worksheets=worksheets)
    return found


def _find(rest: Rest, uuids: list[str], *, worksheets: bool) -> dict[str, Bundle]:
    """As `find_bundles`; if one of them is missing CodaLab gives none, so the halves are asked for."""
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
