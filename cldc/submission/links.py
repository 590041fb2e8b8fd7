"""Links out of a dataset: the user must agree, by name, to uploading their targets."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from cldc.dataset import OutwardLink
from cldc.submission.model import Consent, NeedsConsent
from cldc.text import plural, printable

Groups = Mapping[str, list[OutwardLink]]


def check_links(links: Iterable[OutwardLink], consent: Consent, *, private: bool = False) -> str:
    """Describe what is uploaded through links out of the dataset.

    Args:
        links: The dataset's links.
        consent: The links that the user agreed to.
        private: Whether the upload stays private.

    Raises:
        NeedsConsent: The user did not agree to one of them.
    """
    groups = _by_name(links)
    missing = {name: group for name, group in groups.items() if not _agreed(name, group, consent)}
    if not missing:
        return f"{_listed(groups)}; as agreed" if groups else "none leads out of the dataset"
    consequence, verb = ("be uploaded", "Upload") if private else ("become public", "Publish")
    options = " ".join(f"--include-link {shlex.quote(name)}" for name in missing)
    raise NeedsConsent(
        f"Links lead out of the dataset, and what they lead to would {consequence}: {_listed(missing)}.",
        action=f"Replace them with copies of what belongs to the dataset, or agree to each by its name: {options}",
        question=f"Links lead out of the dataset: {_listed(missing)}. {verb} what they lead to?",
        grants=Consent(links=frozenset(missing)),
    )


def _by_name(links: Iterable[OutwardLink]) -> Groups:
    """Group links by name: a linked folder by its own path, linked files by their folder."""
    groups: dict[str, list[OutwardLink]] = defaultdict(list)
    for link in links:
        groups[link.path if link.folder else link.path.rpartition("/")[0]].append(link)
    return groups


def _agreed(name: str, group: Iterable[OutwardLink], consent: Consent) -> bool:
    return name in consent.links or all(link.path in consent.links for link in group)


def _listed(groups: Groups) -> str:
    return ", ".join(printable(text) for name, group in groups.items() for text in _described(name, group))


def _described(name: str, group: list[OutwardLink]) -> Iterator[str]:
    """Describe each linked folder with its target, and linked files together, since there may be thousands."""
    files = [link for link in group if not link.folder]
    if len(files) > 1:
        targets = sorted({str(PurePath(link.target).parent) for link in files})
        yield f"{plural(len(files), 'file')} in {name} -> {', '.join(targets)} ({plural(len(files), 'image')})"
    for link in group:
        if link.folder or len(files) == 1:
            yield f"{link.path} -> {link.target} ({plural(link.images, 'image')})"
