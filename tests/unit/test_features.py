"""A picture, and so its features, do not depend on how the rows of its PNG were filtered."""

from __future__ import annotations

import zlib
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from cldc.validation.pictures import picture_of
from cldc.validation.tensorflow_decoder import judge
from tests.support.images import chunk, filtered_rows, ihdr


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.one_of(st.sampled_from(([1], [2], [4])), st.lists(st.integers(0, 4), min_size=1, max_size=7)),
    st.integers(0, 1000),
)
def test_a_picture_is_made_from_the_rows_that_the_verdict_inflated(
    width: int, height: int, filters: list[int], seed: int
) -> None:
    pixels = bytes(Random(seed).choices((0, 64, 128, 255), k=width * height))
    rows = filtered_rows(pixels, width, filters)
    content = ihdr(width, height) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    verdict = judge(content)
    assert verdict.rows == rows
    picture = picture_of(content, verdict)
    assert picture is not None
    assert picture.grey.tobytes() == pixels
