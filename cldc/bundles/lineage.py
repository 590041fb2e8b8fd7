"""Follow bundles' dependencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from cldc.codalab import Bundle


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
