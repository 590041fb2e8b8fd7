"""Images of every format with metadata of every kind in them, each piece with a mark to look for afterwards."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

from PIL import Image

from tests.support.images import chunk, saved

# Stands in everything that must go; long enough not to be there by chance.
MARK = b"Marked-7f3a"


class Case(NamedTuple):
    """A sound image, and the kinds of metadata in it by the names that `Metadata` gives them."""

    name: str
    content: bytes
    kinds: frozenset[str]
    orientation: int = 1


Part = tuple[bytes, str]


def draw_case(seed: int) -> Case:
    """One image, the same for the same seed; about one in six carries nothing."""
    rng = random.Random(seed)
    kind = rng.choice(("jpeg", "jpeg", "png", "gif", "bmp"))
    content, kinds, orientation = _DRAWERS[kind](rng)
    return Case(f"{kind}-{seed}", content, frozenset(kinds), orientation)


def _picture(rng: random.Random, mode: str) -> Image.Image:
    size = rng.choice(((1, 1), (8, 8), (17, 5), (40, 33), (64, 64)))
    colours = Image.effect_noise(size, 90)
    return colours if mode == "L" else Image.merge("RGB", (colours,) * 3).convert(mode)


def exif(rng: random.Random, *, orientation: int = 1) -> tuple[bytes, set[str]]:
    """A TIFF block as cameras write it, and what it tells."""
    tags, kinds = Image.Exif(), set()
    word = MARK.decode()
    tags[0x0131] = word  # a program: harmless, but gone with the rest
    if rng.random() < 0.5:
        tags[rng.choice((0x010F, 0x0110))] = word
        kinds.add("device")
    if rng.random() < 0.5:
        tags[rng.choice((0x013B, 0x8298, 0x010E))] = word
        kinds.add("text")
    if rng.random() < 0.5:
        tags.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 2.5), 3: "E", 4: (11.0, 34.0, 1.25), 29: word})
        kinds.add("position")
    if rng.random() < 0.5:
        tags.get_ifd(0x8769)[rng.choice((0xA431, 0xA434))] = word
        kinds.add("device")
    if orientation != 1 or rng.random() < 0.2:
        tags[0x0112] = orientation
    block = tags.tobytes(offset=8).removeprefix(b"Exif\0\0")
    if rng.random() < 0.4:
        block = _with_preview(block)
        kinds.add("embedded")
    return block, kinds


def _with_preview(block: bytes) -> bytes:
    """The block with a second list, which is that of a preview at the end."""
    order = "<" if block[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, first)
    preview = saved(Image.new("L", (16, 12), 77), "JPEG", comment=MARK)
    entries = [(0x0103, 3, 6 if order == "<" else 6 << 16)]
    entries += [(0x0201, 4, len(block) + 2 + 36 + 4), (0x0202, 4, len(preview))]
    listed = b"".join(struct.pack(order + "HHII", tag, kind, 1, value) for tag, kind, value in entries)
    following = struct.pack(order + "H", 3) + listed + bytes(4)
    at = first + 2 + 12 * count
    return block[:at] + struct.pack(order + "I", len(block)) + block[at + 4 :] + following + preview


def xmp(rng: random.Random) -> tuple[bytes, set[str]]:
    """An XMP packet, and what it tells."""
    properties = {
        "device": b'tiff:Model="' + MARK + b'"',
        "text": b'dc:title="' + MARK + b'"',
        "position": b'exif:GPSLatitude="48,8.04N"',
        "": b'xmp:CreatorTool="' + MARK + b'"',
    }
    chosen = rng.sample(sorted(properties), rng.randrange(1, 4))
    inner = b" ".join(properties[kind] for kind in chosen)
    packet = (
        b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        + inner
        + b" /></rdf:RDF>"
        b"</x:xmpmeta><!-- " + MARK + b' --><?xpacket end="w"?>'
    )
    return packet, set(chosen) - {""}


def photoshop(rng: random.Random) -> tuple[bytes, set[str]]:
    """Photoshop's resources, with IPTC's author or a preview among them."""
    records = b"\x1c\x02\0\0\2\0\4" + b"\x1c\x02\x50" + struct.pack(">H", len(MARK)) + MARK
    preview = bytes(28) + saved(Image.new("L", (8, 8)), "JPEG", comment=MARK)
    number, body, kind = rng.choice(
        ((0x0404, records, "text"), (0x040C, preview, "embedded"), (0x0BB7, MARK, ""))
    )
    name = rng.choice((b"\0\0", b"\3abc", b"\2ab\0"))
    size = struct.pack(">I", len(body))
    resource = b"8BIM" + struct.pack(">H", number) + name + size + body + bytes(len(body) % 2)
    harmless = b"8BIM\x03\xed\0\0\0\0\0\x10" + struct.pack(">IHHIHH", 72 << 16, 1, 1, 72 << 16, 1, 1)
    return harmless + resource, {kind} - {""}


# JPEG ---------------------------------------------------------------------------------------------------


def _draw_jpeg(rng: random.Random) -> tuple[bytes, set[str], int]:
    mode = rng.choice(("L", "RGB", "RGB", "RGB", "CMYK"))
    options: dict[str, object] = {"quality": rng.choice((30, 75, 95)), "progressive": rng.random() < 0.4}
    if mode == "RGB":
        options["keep_rgb"] = rng.random() < 0.2
        options["subsampling"] = 0 if options["keep_rgb"] else rng.choice((0, 1, 2))
    if rng.random() < 0.3:
        options["restart_marker_blocks"] = rng.randrange(1, 5)
    if rng.random() < 0.2:
        options["icc_profile"] = b"not a real profile"
    content = saved(_picture(rng, mode), "JPEG", **options)
    orientation = rng.choice((1, 1, 1, 3, 6, 8))
    kinds: set[str] = set()
    segments = []
    if orientation != 1 or rng.random() < 0.5:
        block, found = exif(rng, orientation=orientation)
        segments.append(_segment(0xE1, b"Exif\0\0" + block))
        kinds |= found
    for maker in rng.choices(_SEGMENTS, k=rng.randrange(4)):
        segment, found = maker(rng)
        segments.append(segment)
        kinds |= found
    rng.shuffle(segments)
    # Where they may stand: before and after the tables, and between the scans.
    places = [2, *_ends(content)]
    for segment in segments:
        at = rng.choice(places)
        content = content[:at] + segment + content[at:]
        places = [2, *_ends(content)]
    if rng.random() < 0.3:
        behind = rng.choice((MARK, saved(Image.new("L", (8, 8)), "JPEG", comment=MARK), bytes(40)))
        content += behind
        kinds |= {"embedded"} if MARK in behind else set()
    return content, kinds, orientation


def _segment(code: int, body: bytes) -> bytes:
    return bytes((0xFF, code)) + struct.pack(">H", len(body) + 2) + body


def _ends(content: bytes) -> list[int]:
    """Where segments end before the first scan."""
    at, ends = 2, []
    while content[at + 1] != 0xDA:
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        ends.append(at)
    return ends


def _xmp_segment(rng: random.Random) -> tuple[bytes, set[str]]:
    packet, kinds = xmp(rng)
    return _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet), kinds


def _photoshop_segment(rng: random.Random) -> tuple[bytes, set[str]]:
    resources, kinds = photoshop(rng)
    return _segment(0xED, b"Photoshop 3.0\0" + resources), kinds


def _plain_segment(rng: random.Random) -> tuple[bytes, set[str]]:
    code, body, kind = rng.choice(
        (
            (0xFE, MARK, "text"),
            (0xFE, b"CREATOR: gd-jpeg v1.0 " + MARK, ""),
            (0xE2, b"MPF\0II*\0" + MARK, "embedded"),
            (0xE0, b"JFXX\0\x10" + MARK, "embedded"),
            (0xE0, b"JFIF\0\1\1\0\0\1\0\1\1\1" + MARK, "embedded"),
            (0xEE, b"Adobe\0\x64\0\0\0\0\0" + MARK, "unknown"),
            (0xEB, b"JP\0\1\0\0\0\1" + MARK, "text"),
            (0xEA, MARK, "device"),
            (0xEC, b"Ducky\0\1\0\4\0\0\0<" + MARK, ""),
        )
    )
    if kind == "unknown":  # it would change how the colours are read
        code, body, kind = 0xE4, MARK, "device"
    return _segment(code, body), {kind} - {""}


_SEGMENTS = (_xmp_segment, _photoshop_segment, _plain_segment, _plain_segment)


# PNG ----------------------------------------------------------------------------------------------------


def _draw_png(rng: random.Random) -> tuple[bytes, set[str], int]:
    mode = rng.choice(("1", "L", "LA", "RGB", "RGBA", "P", "I;16"))
    picture = _picture(rng, "L" if mode == "I;16" else mode)
    options: dict[str, object] = {}
    if mode == "I;16":
        picture = picture.convert("I").point(lambda value: value * 200).convert("I;16")
    elif mode in ("L", "P") and rng.random() < 0.5:
        options["transparency"] = 3
    if rng.random() < 0.2:
        options["icc_profile"] = b"not a real profile"
    content = saved(picture, "PNG", **options)
    orientation = rng.choice((1, 1, 1, 3, 6, 8))
    kinds: set[str] = set()
    chunks = []
    if orientation != 1 or rng.random() < 0.4:
        block, found = exif(rng, orientation=orientation)
        chunks.append(chunk(b"eXIf", block))
        kinds |= found
    for maker in rng.choices(_CHUNKS, k=rng.randrange(4)):
        made, found = maker(rng)
        chunks.append(made)
        kinds |= found
    for made in chunks:
        at = rng.choice((33, content.index(b"IDAT") - 4, len(content) - 12))
        content = content[:at] + made + content[at:]
    if rng.random() < 0.3:
        content += MARK
        kinds.add("embedded")
    return content, kinds, orientation


def _text_chunk(rng: random.Random) -> tuple[bytes, set[str]]:
    keyword, kind = rng.choice(
        ((b"Author", "text"), (b"Comment", "text"), (b"Software", ""), (b"Source", "device"), (b"exif:GPSInfo", "position"))
    )  # fmt: skip
    plain = rng.randrange(3)
    if plain == 0:
        return chunk(b"tEXt", keyword + b"\0" + MARK), {kind} - {""}
    if plain == 1:
        return chunk(b"zTXt", keyword + b"\0\0" + zlib.compress(MARK)), {kind} - {""}
    return chunk(b"iTXt", keyword + b"\0\0\0en\0" + keyword + b"\0" + MARK), {kind} - {""}


def _xmp_chunk(rng: random.Random) -> tuple[bytes, set[str]]:
    packet, kinds = xmp(rng)
    if rng.random() < 0.5:
        return chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)), kinds
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet), kinds


def _raw_profile_chunk(rng: random.Random) -> tuple[bytes, set[str]]:
    """As ImageMagick writes what it found in a JPEG."""
    if rng.random() < 0.5:
        block, kinds = exif(rng)
        name, body = b"exif", b"Exif\0\0" + block
    else:
        body, kinds = photoshop(rng)
        name = b"iptc"
    text = b"\n%s\n%8d\n%s\n" % (name, len(body), body.hex().encode())
    return chunk(b"zTXt", b"Raw profile type " + name + b"\0\0" + zlib.compress(text)), kinds


def _other_chunk(rng: random.Random) -> tuple[bytes, set[str]]:
    kind, body, found = rng.choice(
        (
            (b"tIME", b"\x07\xe4\1\1\0\0\0", ""),
            (b"caBX", MARK, "text"),
            (b"prVW", MARK * 9, "embedded"),
            (b"vpAg", MARK, ""),
        )
    )
    return chunk(kind, body), {found} - {""}


_CHUNKS = (_text_chunk, _text_chunk, _xmp_chunk, _raw_profile_chunk, _other_chunk)


# GIF and BMP --------------------------------------------------------------------------------------------


def _draw_gif(rng: random.Random) -> tuple[bytes, set[str], int]:
    frames = [_picture(rng, "P")]
    frames += [frames[0].rotate(90 * turn) for turn in range(1, rng.choice((1, 1, 3)))]
    options: dict[str, object] = {"loop": 0} if len(frames) > 1 else {}
    if rng.random() < 0.3:
        options["transparency"] = 3
    content = saved(frames[0], "GIF", save_all=True, append_images=frames[1:], **options)
    kinds: set[str] = set()
    table = 13 + (3 * (2 << (content[10] & 7)) if content[10] & 0x80 else 0)
    for _ in range(rng.randrange(3)):
        packet, found = xmp(rng)
        trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"
        block, found = rng.choice(
            (
                (b"!\xfe" + bytes((len(MARK),)) + MARK + b"\0", {"text"}),
                (b"!\xff\x0bXMP DataXMP" + packet + trailer, found),
                (b"!\xff\x0bOther   1.0\x0b" + MARK[:11] + b"\0", {"text"}),
                (b"!\xff\x0bNETSCAPE2.0" + bytes((len(MARK),)) + MARK + b"\x20" + bytes(32) + b"\0", set()),
            )
        )
        at = rng.choice((table, len(content) - 1))
        content = content[:at] + block + content[at:]
        kinds |= found
    if rng.random() < 0.3:
        content += MARK
        kinds.add("embedded")
    return content, kinds, 1


def _draw_bmp(rng: random.Random) -> tuple[bytes, set[str], int]:
    return saved(_picture(rng, rng.choice(("L", "RGB"))), "BMP"), set(), 1


_DRAWERS: dict[str, Callable[[random.Random], tuple[bytes, set[str], int]]] = {
    "jpeg": _draw_jpeg,
    "png": _draw_png,
    "gif": _draw_gif,
    "bmp": _draw_bmp,
}
