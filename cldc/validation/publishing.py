"""Rules about what a submission would publish although nobody meant to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePath

from cldc.dataset import OutwardLink
from cldc.text import plural
from cldc.validation.metadata.model import Metadata, MetadataCounts
from cldc.validation.model import Hit, Rule, Severity, Subject, rule


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
            message = f"{link.path} is a link to {link.target}, outside the dataset, with {plural(link.images, 'image')}."
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


@rule(
    "image-metadata",
    title="Images carry nothing but their picture",
    severity=Severity.WARNING,
    why="Photographs tell where and with which device they were taken, and by whom; a preview may show what was cut off. "
    "TensorFlow ignores all of it, and a submission publishes it.",
    source="EXIF 3.0, XMP, IPTC-IIM 4.2, and the formats' own comments",
)
def image_metadata(subject: Subject) -> Iterator[Hit]:
    """Images with a position, a device, text or another picture in them, positions first."""
    carried = sorted(subject.metadata, key=lambda each: Metadata.POSITION not in each[1])
    if carried:
        yield Hit(
            message=f"{MetadataCounts.count(kinds for _, kinds in carried).summary}.",
            consequence="A submission would publish it with the images.",
            remedy="Run `cldc validate --fix`, which removes it and changes no pixel.",
            paths=tuple(image.path for image, _ in carried),
            fixable=True,
        )


RULES: tuple[Rule, ...] = (outward_link, image_metadata)
