"""Small pictures of the images that findings are about."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterator

from cldc.dataset import Image, read_image
from cldc.validation.large_pictures import viewable_picture
from cldc.validation.model import ValidationReport
from cldc.validation.rules.drawings import RULES
from cldc.validation.rules.images import image_seen_differently, image_undecodable

_SIDE = 168
# As many as a page can hold and a reader can view.
_MOST = 600
_MOST_PER_FINDING = 8
_MOST_PER_RULE = 120
_RULES = frozenset({rule.id for rule in (*RULES, image_seen_differently, image_undecodable)})


def thumbnails(report: ValidationReport) -> dict[str, str]:
    """Return pictures as ``data:`` addresses, by path, of the images that findings are about.

    Images that can't be loaded or reduced, or come after the first few hundred, have none.
    """
    images = {image.path: image for image in report.dataset.images}
    made: dict[str, str] = {}
    for path in _wanted(report):
        if len(made) >= _MOST:
            break
        if path in images and path not in made and (picture := _picture(report, images[path])):
            made[path] = picture
    return made


def _wanted(report: ValidationReport) -> Iterator[str]:
    counts: Counter[str] = Counter()
    for finding in report.findings:
        if finding.rule in _RULES and counts[finding.rule] < _MOST_PER_RULE:
            counts[finding.rule] += 1
            yield from finding.paths[:_MOST_PER_FINDING]


def _picture(report: ValidationReport, image: Image) -> str:
    _, content = read_image(report.dataset.root, image)
    if content is None:
        return ""
    out = io.BytesIO()
    try:
        picture = viewable_picture(content)
        if picture is None:
            return ""
        picture.thumbnail((_SIDE, _SIDE))
        picture.save(out, "PNG", optimize=True)
    except Exception:  # Pillow raises all sorts of things on odd files; they go without a picture
        return ""
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
