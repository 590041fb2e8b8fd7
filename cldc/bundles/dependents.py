"""The dependencies of bundles, and why an account's bundle is still needed: a tag, the scoring daemon, or a bundle that depends on it.

The evidence is what the server shows, not one competition's profile: an account may take part in several
competitions, and create bundles by hand.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Set

from cldc.bundles.server_account import ServerAccount
from cldc.codalab import Bundle
from cldc.leaderboard import evaluated_submission


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


class Usage:
    """The uses of an account's bundles, as the server shows them; each bundle is looked up once."""

    def __init__(self, account: ServerAccount) -> None:
        self._rest, self._account = account.rest, account.account
        self._families: dict[str, tuple[Bundle, tuple[Bundle, ...]]] = {}

    @functools.cached_property
    def evaluations(self) -> Mapping[str, str]:
        """Uuid of the evaluation of each evaluated bundle of the account, in any competition.

        CodaLab's daemon names an evaluation after account and submission, lets everyone read it, and keeps the uuid of
        the submission in its description. An evaluated bundle is on a leaderboard, with or without its tag.
        """
        found = self._rest.search(name_between=(f"{self._account}-", "-results"))
        return {uuid: bundle.uuid for bundle in found if (uuid := evaluated_submission(bundle.description))}

    def made_by_others(self, uuid: str) -> tuple[Bundle, ...]:
        """List bundles that other accounts created from a bundle, readable or not, as the daemon does in an evaluation."""
        _, descendants = self._family(uuid)
        return tuple(bundle for bundle in descendants if bundle.owner != self._account)

    def worksheets(self, uuid: str) -> tuple[str, ...]:
        """List the uuids of the worksheets with a bundle."""
        return self._family(uuid)[0].worksheets

    def why_needed(
        self, uuid: str, *, removing: Set[str] = frozenset(), worksheets: Set[str] | None = None
    ) -> str:
        """Explain why a bundle must stay, in words that call it "it"; empty if nothing needs it.

        Args:
            uuid: The bundle.
            removing: Uuids of bundles that are about to be removed, whose needs don't count.
            worksheets: The only worksheets that may have it; None for any.

        Raises:
            NotFound: The server no longer has the bundle.
        """
        return next(self._reasons(uuid, removing, worksheets), "")

    def _reasons(self, uuid: str, removing: Set[str], worksheets: Set[str] | None) -> Iterator[str]:
        bundle, descendants = self._family(uuid)
        if bundle.owner != self._account:
            yield "it does not belong to this account"
        if bundle.tags:
            yield f"it carries the tag {', '.join(bundle.tags)}"
        if uuid in self.evaluations:
            yield f"it was evaluated ({self.evaluations[uuid]})"
        if user := next((other for other in descendants if other.uuid not in removing), None):
            yield f"{_called(user)} depends on it"
        if worksheets is not None and (others := sorted(set(bundle.worksheets) - worksheets)):
            yield f"it is also on the worksheet {others[0]}"
        if bundle.type == "make" and not bundle.failed and (user := self._evaluating(bundle)):
            yield f"it may be under evaluation: {_called(user)} depends on the same bundles"

    def _evaluating(self, submission: Bundle) -> Bundle | None:
        """Find signs of an evaluation in progress: the daemon starts from a submission's dependencies, and hides its runs."""
        parents = (dependency.parent for dependency in submission.dependencies)
        for parent in lineage(parents, self._rest.found, descend=lambda it: it.owner == self._account):
            if not parent.readable:
                return parent
            if parent.owner == self._account and (others := self.made_by_others(parent.uuid)):
                return others[0]
        return None

    def _family(self, uuid: str) -> tuple[Bundle, tuple[Bundle, ...]]:
        if uuid not in self._families:
            self._families[uuid] = self._rest.with_descendants(uuid)
        return self._families[uuid]


def _called(bundle: Bundle) -> str:
    return f"{bundle.name} ({bundle.uuid})" if bundle.readable else f"a private bundle ({bundle.uuid})"
