"""Rules about what a submission would publish although nobody meant to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePath

from cldc.dataset import OutwardLink
from cldc.validation.model import Hit, Rule, Severity, Subject, rule
from cldc.validation.words import number


@rule(
    "outward-link",
    title="No link leads out of the dataset",
    severity=Severity.WARNING,
    why="A submission is public. The script and cldc follow links, so a link can publish files from anywhere on this "
    "machine.",
    source="the competition's submission guide; cldc packs what the script would read",
)
def outward_link(subject: Subject) -> Iterator[Hit]:
    """Each linked folder that leads out, and linked files grouped by their own folder and the one they lead to."""
    files: dict[tuple[str, str], list[OutwardLink]] = defaultdict(list)
    for link in subject.dataset.outward_links:
        if link.folder:
            message = f"{link.path} is a link to {link.target}, outside the dataset, with {number(link.images, 'image')}."
            yield _outward_hit(message, link)
        else:
            files[link.path.rpartition("/")[0], str(PurePath(link.target).parent)].append(link)
    for (place, target), links in files.items():
        if len(links) == 1:
            message = f"{links[0].path} is a link to {links[0].target}, outside the dataset."
        else:
            message = f"{len(links):,} files in {place} are links to files in {target}, outside the dataset."
        yield _outward_hit(message, *links)


def _outward_hit(message: str, *links: OutwardLink) -> Hit:
    several = sum(link.images for link in links) > 1
    return Hit(
        message=message,
        consequence=f"A submission would publish {'these images' if several else 'this image'}.",
        remedy="Remove the link, or replace it with a copy of what belongs to the dataset.",
        paths=tuple(link.path for link in links),
    )


RULES: tuple[Rule, ...] = (outward_link,)
