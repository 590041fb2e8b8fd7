"""What bundles were made from, and several of them in one request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cldc.codalab import Bundle, Rest
from cldc.codalab.failures import ServerFailed
from cldc.errors import CodaLabError


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
    wanted = list(dict.fromkeys(uuids))
    if not wanted:
        return {}
    try:
        return {bundle.uuid: bundle for bundle in rest.bundles(wanted, worksheets=worksheets)}
    except ServerFailed:
        raise
    except CodaLabError:  # one of them is not there, or can't be read
        if len(wanted) == 1:
            return {}
    half = len(wanted) // 2
    found = find_bundles(rest, wanted[:half], worksheets=worksheets)
    return found | find_bundles(rest, wanted[half:], worksheets=worksheets)
