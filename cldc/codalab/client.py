"""One CodaLab server as one account: reads over REST, changes through `cl`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

from cldc.codalab.cl import Cl
from cldc.codalab.json_api import Bundle, Worksheet
from cldc.codalab.rest import Rest
from cldc.credentials import Credentials
from cldc.progress import SILENT, Observer


class CodaLab:
    """A server as one account sees it and changes it.

    Attributes:
        rest: Reads.
        cl: Changes; its process starts with the first change.
    """

    def __init__(
        self,
        server: str,
        credentials: Credentials,
        *,
        python: Callable[[], Path],
        observer: Observer = SILENT,
    ) -> None:
        """Send nothing yet; ``python`` is called when `cl` is first needed, as in `ClSession`."""
        self.rest = Rest(server, credentials, observer=observer)
        self.cl = Cl(python, server, credentials, observer=observer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cl.__exit__()
        self.rest.__exit__()

    def untag(self, uuid: str, tag: str) -> Bundle:
        """Remove one tag of a bundle if it has it, and return the changed bundle."""
        bundle = self.rest.bundle(uuid)
        if tag not in bundle.tags:
            return bundle
        if kept := tuple(other for other in bundle.tags if other != tag):
            self.cl.set_tags(uuid, kept)
        else:
            self.rest.clear_tags(uuid)
        return self.rest.bundle(uuid)

    def publish(self, bundles: Iterable[str], worksheet: str) -> Worksheet:
        """Let everyone read the bundles and the worksheet with its new items; see `Rest.read_items_as_owner`."""
        self.cl.set_public(bundles, worksheet)
        return self.rest.read_items_as_owner(worksheet)
