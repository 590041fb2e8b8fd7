"""A drawing's features do not depend on how the rows of its PNG were filtered."""

from __future__ import annotations

import zlib
from random import Random

from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from cldc.validation.features import features_of_picture
from cldc.validation.pictures import Picture, picture_of
from cldc.validation.tensorflow_decoder import Readable, judge
from tests.support.images import chunk, filtered_rows, ihdr


def _png(picture: Image.Image, filters: list[int]) -> bytes:
    width, height = picture.size
    rows = zlib.compress(filtered_rows(picture.tobytes(), width, filters))
    return ihdr(width, height) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


# Rows that repeat without being a margin, and a margin that is most of the picture.
@example(paper=255, margins=(3, 3, 0, 3), ink=(9, 9), drawing="upright stripes", filters=[2], seed=0)
@example(paper=255, margins=(40, 0, 0, 0), ink=(9, 9), drawing="solid", filters=[1], seed=0)
@given(
    paper=st.sampled_from((255, 255, 0, 128)),
    margins=st.tuples(*(st.sampled_from((0, 0, 1, 3, 40)) for _ in range(4))),
    ink=st.tuples(st.integers(0, 20), st.integers(0, 20)),
    drawing=st.sampled_from(("random", "upright stripes", "solid")),
    filters=st.one_of(st.sampled_from(([1], [2], [4])), st.lists(st.integers(0, 4), min_size=1, max_size=7)),
    seed=st.integers(0, 1000),
)
def test_features_are_those_of_the_whole_picture(
    *,
    paper: int,
    margins: tuple[int, int, int, int],
    ink: tuple[int, int],
    drawing: str,
    filters: list[int],
    seed: int,
) -> None:
    top, right, low, left = margins
    size = max(1, left + ink[0] + right), max(1, top + ink[1] + low)
    whole = Image.new("L", size, paper)
    chance = Random(seed)
    for x in range(ink[0]):
        for y in range(ink[1]):
            if drawing == "random":
                whole.putpixel((left + x, top + y), chance.choice((0, 64, 128, 255)))
            elif drawing == "solid" or x % 4 == 2:  # stripes make rows that repeat without being margins
                whole.putpixel((left + x, top + y), 64)
    content = _png(whole, filters)
    verdict = judge(content)
    assert verdict.readable is Readable.YES
    seen = picture_of(content, verdict)
    assert seen is not None
    assert features_of_picture(seen) == features_of_picture(Picture(size, whole))
