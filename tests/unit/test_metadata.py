"""The metadata of photographs is found, and removed without changing a pixel."""

from __future__ import annotations

import contextlib
import io
import random
import re
import warnings
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence, PngImagePlugin

from cldc import competition
from cldc.dataset import MAX_HELD_BYTES
from cldc.validation import validate
from cldc.validation.metadata.detection import find_metadata
from cldc.validation.metadata.model import MetadataCounts
from cldc.validation.metadata.removal import remove_metadata
from cldc.validation.tensorflow_decoder import Remark, judge
from cldc.validation.tensorflow_decoder.dispatch import format_of
from tests.support.commands import Cldc
from tests.support.decoder_cases import cases
from tests.support.folders import make_dataset
from tests.support.images import saved
from tests.support.metadata_cases import MARK, draw_case

# What some of the images drawn pretend to be.
pytestmark = pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")
SEEDS = st.integers(0, 10**9)


def found(content: bytes) -> frozenset[str]:
    return frozenset(map(str, find_metadata(content, format_of(content))))


def as_people_see(content: bytes) -> list[tuple[str, bytes, object]]:
    """Every frame with its mode, palette and transparency, and the data by which viewers show its colours."""
    with Image.open(io.BytesIO(content)) as image:
        shown = [image.info.get(key) for key in ("icc_profile", "gamma", "transparency", "loop")]
        return [
            (frame.mode, frame.tobytes(), [frame.getpalette(), shown])
            for frame in ImageSequence.Iterator(image)
        ]


def holds_mark(content: bytes) -> bool:
    """Whether the mark is there: plain, compressed or in hexadecimal."""
    parts = [content]
    for start in re.finditer(rb"\x78[\x01\x5e\x9c\xda]", content):
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompressobj().decompress(content[start.start() :], 1 << 20))
    return any(MARK in part or MARK.hex().encode() in part for part in parts)


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_every_kind_is_found_and_nothing_else(seed: int) -> None:
    case = draw_case(seed)
    assert found(case.content) == case.kinds, case.name


@settings(max_examples=400, deadline=None)
@given(SEEDS)
def test_all_of_it_is_removed_and_the_picture_stays(seed: int) -> None:
    case = draw_case(seed)
    stripped = remove_metadata(case.content)
    assert stripped is not None, case.name
    assert not holds_mark(stripped)
    assert found(stripped) == frozenset()
    with Image.open(io.BytesIO(stripped)) as image:
        assert dict(image.getexif()) == ({0x0112: case.orientation} if case.orientation != 1 else {})
        assert not image.getexif().get_ifd(0x8825)
        assert not {"comment", "xmp", "photoshop", "XML:com.adobe.xmp"} & image.info.keys()
    assert as_people_see(stripped) == as_people_see(case.content)[: len(as_people_see(stripped))]
    assert remove_metadata(stripped) == stripped
    if not holds_mark(case.content):
        assert len(stripped) <= len(case.content)


def test_a_file_with_nothing_in_it_stays_as_it_is() -> None:
    for form in ("PNG", "JPEG", "GIF", "BMP"):
        content = saved(Image.new("L", (9, 9), 100), form)
        assert remove_metadata(content) == content


def test_a_second_picture_goes_and_the_first_stays() -> None:
    first, second = (Image.effect_noise((64, 48), 60).convert("RGB") for _ in range(2))
    content = saved(first, "MPO", save_all=True, append_images=[second])
    assert judge(content).remarks == (Remark.SEVERAL_PICTURES,)
    assert found(content) == {"embedded"}
    stripped = remove_metadata(content)
    assert stripped
    assert judge(stripped).remarks == ()
    assert content.startswith(stripped[:2])
    assert as_people_see(stripped)[0][:2] == as_people_see(content)[0][:2]
    assert len(stripped) < len(content) * 2 / 3


def test_harmless_notes_of_programs_are_not_reported() -> None:
    grey = Image.new("L", (9, 9), 100)
    assert found(saved(grey, "JPEG", comment=b"Created with GIMP")) == frozenset()
    assert found(saved(grey, "JPEG", comment=b"Created with GIMP by me, " + bytes(range(33, 126)))) == {
        "text"
    }
    assert found(saved(grey, "GIF", comment=b"  \0 ")) == frozenset()
    noted = PngImagePlugin.PngInfo()
    noted.add_text("Software", "Matplotlib version 3.9, https://matplotlib.org/")
    noted.add_text("date:create", "2024-01-01T00:00:00+00:00")
    assert found(saved(grey, "PNG", pnginfo=noted)) == frozenset()


def test_a_check_counts_what_would_be_published(tmp_path: Path, bare_cldc: Cldc) -> None:
    folder = make_dataset(tmp_path / "digits")
    tags = Image.Exif()
    tags[0x0110], tags[0x013B] = "Phone 7", "Jo Doe"
    Image.new("L", (9, 9), 100).save(folder / "train" / "i" / "photo.jpg", exif=tags)
    tags.get_ifd(0x8825)[2] = (48.0, 8.0, 0.0)
    for path in ("val/i/one.jpg", "val/ii/two.png", "val/iii/one-again.jpg"):
        Image.new("L", (9, 9), 101).save(folder / path, exif=tags)
    message = "4 images carry metadata: a GPS position (3), the device (4), the author or other text (4)."
    counts = {"images": 4, "position": 3, "device": 4, "text": 4, "embedded": 0}
    for _ in ("found", "remembered"):
        assert f"warning: {message} [image-metadata]" in bare_cldc("validate", folder).out
        shown = bare_cldc("validate", folder, "--format", "json").data
        assert shown["metadata"] == counts
    [finding] = [finding for finding in shown["findings"] if finding["rule"] == "image-metadata"]
    assert finding["paths"][-1] == "train/i/photo.jpg"


def test_a_file_too_large_to_be_judged_is_still_searched(tmp_path: Path) -> None:
    folder = make_dataset(tmp_path / "digits")
    content = saved(Image.new("L", (9, 9), 100), "JPEG", comment=b"by me")
    (folder / "val" / "i" / "large.jpg").write_bytes(content + bytes(MAX_HELD_BYTES))
    assert validate(folder, competition.load()).metadata == MetadataCounts(images=1, text=1)


def test_a_version_alone_is_no_position() -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8825)[0] = b"\2\3\0\0"
    assert found(saved(Image.new("L", (9, 9)), "JPEG", exif=tags)) == frozenset()
    tags.get_ifd(0x8825)[2] = (48.0, 8.0, 0.0)
    assert found(saved(Image.new("L", (9, 9)), "JPEG", exif=tags)) == {"position"}


@settings(max_examples=200, deadline=None)
@given(SEEDS)
def test_what_is_damaged_is_given_up_or_shows_what_it_showed(seed: int) -> None:
    rng = random.Random(seed)
    case = draw_case(seed)
    [(_, odd)] = cases(seed, 1, (case.content,) * 9 if rng.random() < 0.5 else ())
    find_metadata(odd, format_of(odd))
    stripped = remove_metadata(odd)
    if stripped is not None:
        assert judge(stripped).readable == judge(odd).readable
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, of what is damaged
            before, after = (Image.open(io.BytesIO(content)).tobytes() for content in (odd, stripped))
        assert before == after


@settings(max_examples=300)
@given(
    st.sampled_from((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\0\x40Exif\0\0II*\0", b"GIF89a")),
    st.binary(max_size=300),
)
def test_no_content_stops_the_search(start: bytes, rest: bytes) -> None:
    found(start + rest)
