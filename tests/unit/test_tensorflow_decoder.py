"""Verdicts on images without TensorFlow: known answers, hostile input, remarks."""

from __future__ import annotations

import csv
import io
import os
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cldc.validation.tensorflow_decoder import Format, Readable, Remark, judge
from tests.support.commands import ROOT
from tests.support.decoder_cases import cases
from tests.support.folders import png
from tests.support.images import SIGNATURE, chunk, ihdr, saved

_MAGICS = (SIGNATURE, b"\xff\xd8\xff", b"GIF89a", b"BM", b"")


def with_transparent_index(gif: bytes, index: int) -> bytes:
    """The GIF with a graphic control block that makes one colour index of its first frame transparent."""
    at = 13 + 3 * (2 << (gif[10] & 7))
    return gif[:at] + bytes((0x21, 0xF9, 4, 1, 0, 0, index, 0)) + gif[at:]


def turning(order: str, kind: int, *values: int) -> bytes:
    """An EXIF block whose orientation has this byte order and TIFF type."""
    form = {1: "B", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i"}[kind]
    magic = {"<": b"II*\0", ">": b"MM\0*"}[order]
    value = struct.pack(f"{order}{len(values)}{form}", *values).ljust(4, b"\0")
    entry = struct.pack(order + "HHI", 0x112, kind, len(values)) + value
    return b"Exif\0\0" + magic + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def with_profile(*segments: tuple[int, int, bytes]) -> bytes:
    """A JPEG with these pieces of an ICC profile: number, how many there are, and what is in it."""
    content = saved(Image.new("L", (4, 4)), "JPEG")
    pieces = [b"ICC_PROFILE\0" + bytes((number, count)) + piece for number, count, piece in segments]
    return (
        content[:2] + b"".join(b"\xff\xe2" + struct.pack(">H", len(p) + 2) + p for p in pieces) + content[2:]
    )


def test_known_files_have_the_verdicts_that_tensorflow_gave() -> None:
    folder = Path(os.environ.get("CLDC_TEST_DATA", ROOT.parent / "shared" / "data")) / "odd-images"
    if not folder.is_dir():
        pytest.skip(f"no {folder} (set CLDC_TEST_DATA)")
    with (folder / "verdicts.tsv").open(newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            verdict = judge((folder / row["file"]).read_bytes())
            if row["tensorflow"] == "ok":
                expected = (Readable.YES, int(row["width"]), int(row["height"]), "")
                assert (verdict.readable, verdict.width, verdict.height, verdict.reason) == expected, row
            else:
                assert verdict.readable is Readable.NO, row
                assert row["error"] in verdict.reason, row


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_MAGICS), st.binary(max_size=2000))
def test_noise_has_a_verdict(magic: bytes, noise: bytes) -> None:
    judge(magic + noise)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.binary(max_size=8), st.integers(0, 4000), st.integers(0, 4000))
def test_a_damaged_image_has_a_verdict(seed: int, noise: bytes, start: int, end: int) -> None:
    ((_, content),) = cases(seed, 1)
    judge(content[:start] + noise + content[min(start, end) :])


_BOMB = zlib.compress(bytes(1 << 26), 9)
_HOSTILE = {
    "rows without end": ihdr(4, 4) + chunk(b"IDAT", _BOMB * 1) + chunk(b"IEND", b""),
    "a large picture of few bytes": ihdr(20_000, 20_000) + chunk(b"IDAT", _BOMB) + chunk(b"IEND", b""),
    "as many rows as can be": ihdr(1, 1_000_000) + chunk(b"IDAT", zlib.compress(bytes(2_000_000)))
    + chunk(b"IEND", b""),
    "chunks without end": ihdr(4, 4) + chunk(b"abCd", b"") * 300_000,
    "text that explodes": ihdr(4, 4) + chunk(b"zTXt", b"a\0\0" + _BOMB) + png()[33:],
    "a frame of 65,535 pixels square": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
    + struct.pack("<cHHHHBB", b",", 0, 0, 65535, 65535, 0, 2) + (b"\xff" + b"\x44" * 255) * 400 + b"\0;",
    "frames without end": b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    + (struct.pack("<cHHHHBB", b",", 0, 0, 1, 1, 0, 2) + b"\x02\x44\x01\0") * 30_000,
    "fill bytes without end": b"\xff\xd8" + b"\xff" * 10_000_000,
    "fill bytes and zeros": b"\xff\xd8" + b"\xff\0" * 5_000_000,
    "markers without end": b"\xff\xd8" + b"\xff\xd0" * 1_000_000,
    "a BMP of two lines": b"BM" + bytes(8) + struct.pack("<IIiiHH", 54, 40, 2**31 - 1, -(2**31), 1, 24) + bytes(24),
}  # fmt: skip


# Of so many pieces that tracing every small object would take minutes.
_MANY_PIECES = {"chunks without end", "frames without end", "markers without end"}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", _HOSTILE)
def test_hostile_input_is_judged_in_a_moment(kind: str) -> None:
    judge(_HOSTILE[kind])


@pytest.mark.parametrize("kind", sorted(_HOSTILE.keys() - _MANY_PIECES))
def test_hostile_input_takes_little_memory(kind: str) -> None:
    content = _HOSTILE[kind]
    tracemalloc.start()
    try:
        judge(content)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_quick_and_careful_path_agree_on_sound_files() -> None:
    content = png(3, width=30, height=20)
    verdict = judge(content)
    assert (verdict.readable, verdict.format, verdict.width, verdict.height) == (
        Readable.YES,
        Format.PNG,
        30,
        20,
    )
    assert not verdict.remarks
    unknown = content[:33] + chunk(b"abCd", b"not known to the quick path") + content[33:]
    assert judge(unknown) == verdict._replace(rows=b"")  # only the quick path gives rows


@pytest.mark.parametrize(
    ("content", "remark"),
    [
        (saved(Image.new("RGBA", (4, 4)), "PNG"), Remark.ALPHA_DROPPED),
        (saved(Image.new("I;16", (4, 4)), "PNG"), Remark.SIXTEEN_BIT),
        (saved(Image.new("P", (4, 4)), "PNG", transparency=0), Remark.ALPHA_DROPPED),
        (saved(Image.new("L", (4, 4)), "PNG", icc_profile=b"x" * 200), Remark.COLOUR_PROFILE),
        (saved(Image.new("L", (4, 4)), "PNG", icc_profile=b"this is sRGB"), None),
        (saved(Image.new("L", (4, 4)), "JPEG", icc_profile=b"this is sRGB"), None),
        (saved(Image.new("L", (4, 4)), "JPEG", icc_profile=b"this is not"), Remark.COLOUR_PROFILE),
        (saved(Image.new("L", (4, 4)), "PNG") + b"more", Remark.TRAILING_BYTES),
        (saved(Image.new("L", (4, 4)), "BMP"), None),
        (saved(Image.new("P", (4, 4)), "BMP"), Remark.RAW_PALETTE),
        (saved(Image.new("CMYK", (4, 4)), "JPEG"), Remark.CMYK),
        (saved(Image.new("L", (4, 4)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0"),
         Remark.ORIENTATION_IGNORED),
        (saved(Image.new("L", (4, 4)), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\1\0\0"), None),
        (with_profile((2, 2, b"GB"), (1, 2, b"this is sR")), None),
        (with_profile((1, 2, b"this is s"), (2, 2, b"GB")), Remark.COLOUR_PROFILE),
        (with_profile((1, 2, b"half of one that is nowhere else")), None),
        (with_profile(*((n, 100, b"not") for n in range(1, 101))), Remark.COLOUR_PROFILE),
        (saved(Image.new("L", (4, 4)), "JPEG") + b"more", Remark.TRAILING_BYTES),
        (saved(Image.new("RGB", (40, 40)), "JPEG", progressive=True), None),
        (saved(Image.new("L", (4, 4)), "GIF", save_all=True, append_images=[Image.new("L", (4, 4), 9)]),
         Remark.ANIMATION),
        (saved(Image.new("P", (4, 4)), "GIF", transparency=0), Remark.TRANSPARENT_GIF),
        (with_transparent_index(saved(Image.new("P", (4, 4)), "GIF"), 1), None),
    ],
)  # fmt: skip
def test_what_tensorflow_shows_differently_is_remarked(content: bytes, remark: Remark | None) -> None:
    verdict = judge(content)
    assert verdict.readable is Readable.YES
    assert verdict.remarks == ((remark,) if remark else ())


@given(st.integers(1, 255), st.integers(1, 90), st.integers(0, 255), st.randoms(use_true_random=False))
def test_a_gif_is_remarked_only_if_a_pixel_is_transparent(
    colours: int, side: int, index: int, random: Random
) -> None:
    picture = Image.frombytes("P", (side, side), bytes(random.randrange(colours) for _ in range(side**2)))
    picture.putpalette(random.randbytes(768))
    content = with_transparent_index(saved(picture, "GIF"), index)
    with Image.open(io.BytesIO(content)) as seen:
        assert seen.mode == "P"
        used = index in seen.tobytes()
    assert (Remark.TRANSPARENT_GIF in judge(content).remarks) == used


@pytest.mark.parametrize(("left", "remarked"), [(0, True), (3, True), (4, False)])
def test_a_transparent_pixel_outside_of_what_tensorflow_reads_is_not_remarked(
    left: int, *, remarked: bool
) -> None:
    """TensorFlow's picture is as large as the largest frame, and cuts off what reaches out of it."""
    picture = Image.frombytes("P", (4, 1), bytes((1, 0, 0, 0)))
    content = with_transparent_index(saved(picture, "GIF", optimize=False), 1)
    at = content.index(b",", 13 + 3 * (2 << (content[10] & 7)) + 8) + 1
    moved = content[:at] + struct.pack("<H", left) + content[at + 2 :]
    assert (Remark.TRANSPARENT_GIF in judge(moved).remarks) == remarked


def test_a_progressive_jpeg_without_its_last_scan_is_remarked_as_damaged() -> None:
    content = saved(Image.new("RGB", (40, 40)), "JPEG", progressive=True)
    shorter = content[: content.rindex(b"\xff\xda")] + content[-2:]
    verdict = judge(shorter)
    assert (verdict.readable, verdict.remarks) == (Readable.YES, (Remark.DAMAGED,))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4, 5, 6, 8, 9])
@pytest.mark.parametrize("values", [(1,), (6,), (9,), (6, 1), ()])
def test_the_orientation_is_seen_as_pillow_sees_it(order: str, kind: int, values: tuple[int, ...]) -> None:
    content = saved(Image.new("L", (4, 8)), "JPEG", exif=turning(order, kind, *values))
    lies_in_the_entry = struct.calcsize(f"{len(values)}{'BBBHIIbbhi'[kind]}") <= 4
    if not lies_in_the_entry or kind == 5:
        assert not judge(content).remarks
        return
    with Image.open(io.BytesIO(content)) as picture, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values too many
        turned = ImageOps.exif_transpose(picture).size == (8, 4)
    assert judge(content).remarks == ((Remark.ORIENTATION_IGNORED,) if turned else ())


_MASKS = {
    "BGRX": (0xFF0000, 0xFF00, 0xFF, 0),
    "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    "XBGR": (0xFF000000, 0xFF0000, 0xFF00, 0),
    "none": (0, 0, 0, 0),
    "ten bits": (0x3FF00000, 0xFFC00, 0x3FF, 0xC0000000),
}


def masked(
    pixels: bytes, masks: str = "BGRX", header: int = 40, compression: int = 3, width: int = 1
) -> bytes:
    """A 32-bit BMP of these bytes and colour masks."""
    fields = struct.pack("<IiiHHI20x", header, width, len(pixels) // 4 // width, 1, 32, compression)
    behind = (4 if compression == 6 else 3) if header == 40 else (header - 40) // 4
    dib = fields + struct.pack("<4I", *_MASKS[masks])[: 4 * min(4, behind)]
    dib = dib.ljust(header, b"\0")
    return struct.pack("<2sIHHI", b"BM", 14 + len(dib) + len(pixels), 0, 0, 14 + len(dib)) + dib + pixels


_HEADERS = (40, 52, 56, 108, 124)
_COLOURED = bytes((10, 60, 200, 255, 10, 60, 200, 255))
_GREY = bytes((90, 90, 90, 255))


@pytest.mark.parametrize(
    ("content", "remarks"),
    [
        *((masked(_COLOURED, "BGRX", header), ()) for header in _HEADERS),
        *((masked(_COLOURED, "BGRA", header), ()) for header in _HEADERS),
        *((masked(_COLOURED, "RGBA", header), (Remark.COLOUR_MASKS,)) for header in _HEADERS),
        *((masked(_COLOURED, "XBGR", header), (Remark.COLOUR_MASKS,)) for header in _HEADERS),
        *((masked(_COLOURED, "RGBA", header, 6), (Remark.COLOUR_MASKS,)) for header in _HEADERS),
        *((masked(_COLOURED, "none", header), ()) for header in _HEADERS),
        (masked(_COLOURED, "RGBA", 108, 0), ()),  # only bitfields have masks
        (masked(_GREY, "RGBA", 56), ()),  # any order of a grey picture looks the same
        (masked(_GREY, "XBGR", 56), (Remark.COLOUR_MASKS,)),
        (masked(_COLOURED, "ten bits", 56), (Remark.COLOUR_MASKS,)),
        (masked(bytes(3) + b"\xc0" + b"\xff" * 4, "ten bits", 56), ()),  # but for the alpha, black and white
        (masked(_COLOURED + bytes(4), "BGRA", 56), (Remark.ALPHA_DROPPED,)),
        (masked(_COLOURED + bytes(4), "BGRX", 56), ()),  # what no mask claims is no alpha
        (masked(_COLOURED + bytes(4), "RGBA", 40, 6), (Remark.COLOUR_MASKS, Remark.ALPHA_DROPPED)),
        (masked(_COLOURED + bytes(4), "XBGR", 52), (Remark.COLOUR_MASKS,)),
        (masked(_GREY * 70_000 + _COLOURED, "RGBA", 56), (Remark.COLOUR_MASKS,)),
    ],
)
def test_a_bmp_with_other_colour_masks_is_remarked_where_it_shows(
    content: bytes, remarks: tuple[Remark, ...]
) -> None:
    verdict = judge(content)
    assert (verdict.readable, verdict.remarks) == (Readable.YES, remarks)


def test_a_bmp_too_short_for_masks_is_readable() -> None:
    content = struct.pack("<2sIHHIIiiHH", b"BM", 32, 0, 0, 28, 40, 1, 1, 1, 32) + bytes(2)
    assert judge(content[:32].ljust(32, b"\0")).readable is Readable.YES


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (65535, 65535), (65535, 32769)])
def test_a_gif_frame_whose_size_is_no_int_is_refused_without_a_reason(size: tuple[int, int]) -> None:
    content = saved(Image.new("P", (4, 4)), "GIF")
    at = content.index(b",", 13 + 3 * (2 << (content[10] & 7))) + 5
    verdict = judge(content[:at] + struct.pack("<HH", *size) + content[at + 4 :])
    assert verdict.readable is Readable.NO
    assert verdict.reason.endswith("failed to slurp gif file: Unknown error")
