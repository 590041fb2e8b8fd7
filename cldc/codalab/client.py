"""One CodaLab server as one account: `rest` reads, `cl` makes most changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from cldc.codalab.cl import Cl
from cldc.codalab.json_api import Bundle
from cldc.codalab.rest import Rest
from cldc.credentials import Credentials
from cldc.progress import SILENT, Observer


class CodaLab:
    """A server as one account sees it and changes it.

    Attributes:
        rest: Reads, and the changes that `cldc.codalab.rest` names.
        cl: All other changes; its process starts with the first of them.
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
