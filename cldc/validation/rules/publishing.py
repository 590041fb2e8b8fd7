"""Rules about content that a submission would publish unintentionally."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePath

from cldc.dataset import OutwardLink
from cldc.text import plural
from cldc.validation.metadata.model import Metadata, MetadataCounts
from cldc.validation.model import InspectedDataset, RuleMatch, Severity, rule, rules_in


@rule(
    "outward-link",
    title="Links out of the dataset",
    severity=Severity.WARNING,
    why="A submission is public. The script and cldc follow links, so a link can publish files from anywhere on this "
    "machine.",
    source="the competition's submission guide; cldc packs what the script would read",
)
def outward_link(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Each linked folder that leads out, and linked files grouped by their own folder and their target's."""
    files: dict[tuple[str, str], list[OutwardLink]] = defaultdict(list)
    for link in inspected.dataset.outward_links:
        if link.folder:
            images = plural(link.images, "image")
            yield _outward_match(
                f"{link.path} is a link to {link.target}, outside the dataset, with {images}.", [link]
            )
        else:
            files[link.path.rpartition("/")[0], str(PurePath(link.target).parent)].append(link)
    for (folder, target), links in files.items():
        if len(links) == 1:
            message = f"{links[0].path} is a link to {links[0].target}, outside the dataset."
        else:
            message = f"{len(links):,} files in {folder} are links to files in {target}, outside the dataset."
        yield _outward_match(message, links)


def _outward_match(message: str, links: list[OutwardLink]) -> RuleMatch:
    several = sum(link.images for link in links) > 1
    return RuleMatch(
        message=message,
        consequence=f"A submission would publish {'these images' if several else 'this image'}.",
        remedy="Remove the link, or replace it with a copy of what belongs to the dataset.",
        paths=tuple(link.path for link in links),
    )


@rule(
    "image-metadata",
    title="Metadata in images",
    severity=Severity.WARNING,
    why="Photos contain where, with which device and by whom they were taken; a preview may show what was cropped. "
    "TensorFlow ignores all of it, and a submission publishes it.",
    source="EXIF 3.0, XMP, IPTC-IIM 4.2, and the formats' own comments",
)
def image_metadata(inspected: InspectedDataset) -> Iterator[RuleMatch]:
    """Images that contain a position, a device, text or another picture, positions first."""
    carriers = sorted(inspected.metadata, key=lambda each: Metadata.POSITION not in each[1])
    if carriers:
        yield RuleMatch(
            message=f"{MetadataCounts.count(kinds for _, kinds in carriers).summary}.",
            consequence="A submission would publish it with the images.",
            remedy="Run `cldc validate --fix`, which removes it without changing a pixel.",
            paths=tuple(image.path for image, _ in carriers),
            fixable=True,
        )


RULES = rules_in(globals())
