"""JPEGs from Pillow's encoder, taken apart into segments and put together again in other ways."""

from __future__ import annotations

import io
import random
import struct

from PIL import Image

_TAILS = (
    b"\xff",
    b"\xff\xff",
    b"\xff\xe1",
    b"\xff\xe1\0",
    b"\xff\xe1\0\x10ab",
    b"\xff\xc4\0",
    b"\xff\xda\0\x08",
    b"\0",
    b"\xff\0",
)


def draw_jpeg(rng: random.Random) -> bytes:
    """One JPEG; most have a fault."""
    content = _encode(rng)
    for _ in range(rng.choice((0, 1, 1, 1, 2))):
        content = rng.choice(
            (
                _change_segment,
                _change_segment,
                _move_segment,
                _change_frame,
                _change_frame,
                _change_data,
                _change_end,
            )
        )(rng, content)
    return content


def _encode(rng: random.Random) -> bytes:
    mode = rng.choice(("L", "RGB", "RGB", "RGB", "CMYK"))
    size = rng.choice(((1, 1), (8, 8), (17, 5), (40, 33), (64, 64), (130, 70)))
    picture = Image.frombytes(
        mode, size, _texture(rng, size[0] * size[1] * len(mode if mode != "L" else "L"))
    )
    options: dict[str, int | bool] = {"quality": rng.choice((1, 30, 75, 95, 100))}
    if mode == "RGB":
        options["subsampling"] = rng.choice((0, 1, 2))
    options["progressive"] = rng.random() < 0.3
    options["optimize"] = rng.random() < 0.3
    if rng.random() < 0.3:
        options["restart_marker_blocks"] = rng.randrange(1, 12)
    out = io.BytesIO()
    picture.save(out, "JPEG", **options)
    return out.getvalue()


def _texture(rng: random.Random, size: int) -> bytes:
    style = rng.randrange(3)
    if style == 0:
        return bytes((rng.randrange(256),)) * size
    if style == 1:
        return rng.randbytes(size)
    return bytes((i * 7 // 3 + i // 50 * 31) & 255 for i in range(size))


def _segments(content: bytes) -> tuple[list[bytes], bytes]:
    """The segments up to and with the first SOS, and the rest."""
    segments = [content[:2]]
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        end = position + 2 + int.from_bytes(content[position + 2 : position + 4], "big")
        segments.append(content[position:end])
        last = content[position + 1] == 0xDA
        position = end
        if last:
            break
    return segments, content[position:]


def _change_segment(rng: random.Random, content: bytes) -> bytes:
    segments, rest = _segments(content)
    at = rng.randrange(len(segments))
    changed = bytearray(segments[at])
    if changed:
        where = rng.randrange(len(changed)) if rng.random() < 0.5 else rng.randrange(min(len(changed), 24))
        changed[where] = rng.choice(
            (changed[where] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255, (changed[where] + 1) & 255)
        )
    segments[at] = bytes(changed)
    return b"".join(segments) + rest


def _move_segment(rng: random.Random, content: bytes) -> bytes:
    segments, rest = _segments(content)
    at = rng.randrange(1, len(segments)) if len(segments) > 1 else 0
    what = rng.randrange(5)
    piece = segments[at]
    if what == 0:
        del segments[at]
    elif what == 1:
        segments.insert(rng.randrange(len(segments) + 1), piece)
    elif what == 2:
        other = rng.randrange(len(segments))
        segments[at], segments[other] = segments[other], piece
    elif what == 3:
        segments.insert(at, _new_segment(rng))
    else:
        rest = rest[:-2] + rng.choice((piece, _new_segment(rng))) + rest[-2:]
    return b"".join(segments) + rest


def _new_segment(rng: random.Random) -> bytes:
    code = rng.choice(
        (0x01, 0x02, 0xC8, 0xCC, 0xD0, 0xD7, 0xDC, 0xDD, 0xDE, 0xE0, 0xE1, 0xE2, 0xEE, 0xF0, 0xFE, 0xBF)
    )
    body = rng.choice(
        (b"", b"\0\0\2", b"\0\0\4\0\5", b"\0\0\4\0\0", b"\0\0\4\0\1", b"\0\0\4\2\x53", b"\0\0\4\2\x18")
    )
    if rng.random() < 0.4:
        known = (
            (0xEE, b"Adobe\0\x64\0\0\0\0" + bytes((rng.randrange(4),))),
            (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            (0xE1, b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"),
            (0xE2, b"ICC_PROFILE\0\1\1" + rng.randbytes(20)),
        )
        code, text = rng.choice(known)
        body = b"\0" + struct.pack(">H", len(text) + 2) + text
    return bytes((0xFF, code)) + body[1:]


def _change_frame(rng: random.Random, content: bytes) -> bytes:
    segments, rest = _segments(content)
    for number, segment in enumerate(segments):
        if (
            len(segment) < 10
            or segment[0] != 0xFF
            or segment[1] not in range(0xC0, 0xD0)
            or segment[1] in {0xC4, 0xCC}
        ):
            continue
        changed = bytearray(segment)
        what = rng.randrange(5)
        if what == 0:
            changed[1] = rng.choice((0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC9, 0xCA, 0xCB))
        elif what == 1:
            struct.pack_into(
                ">H", changed, rng.choice((5, 7)), rng.choice((0, 1, 9, 16, 65, 300, 20000, 65500, 65501))
            )
        elif what == 2:
            at = rng.randrange(11, max(12, len(changed) - 1), 3)
            if at < len(changed):
                changed[at] = rng.choice(
                    (0x11, 0x12, 0x21, 0x22, 0x14, 0x41, 0x44, 0x31, 0x13, 0x33, 0x10, 0x51)
                )
        elif what == 3:
            changed[4] = rng.choice((1, 8, 12, 16))
        else:
            changed[rng.randrange(9, len(changed))] = rng.randrange(6)
        segments[number] = bytes(changed)
    return b"".join(segments) + rest


def _change_data(rng: random.Random, content: bytes) -> bytes:
    segments, rest = _segments(content)
    changed = bytearray(rest)
    for _ in range(rng.randrange(1, 4)):
        if len(changed) < 3:
            break
        at = rng.randrange(len(changed) - 1)
        what = rng.randrange(5)
        if what == 0:
            changed[at] ^= 1 << rng.randrange(8)
        elif what == 1:
            code = rng.choice((0xD0 + rng.randrange(8), 0xD9, 0x02, 0xFF, 0x00, 0xFE))
            changed[at:at] = bytes((0xFF, code))
        elif what == 2:
            changed[at : at + 2] = bytes((0xFF, 0xD0 + rng.randrange(8)))
        elif what == 3:
            del changed[at : at + rng.randrange(1, 5)]
        else:
            found = changed.find(b"\xff", at)
            if 0 <= found < len(changed) - 2:
                del changed[found : found + 2]
    return b"".join(segments) + bytes(changed)


def _change_end(rng: random.Random, content: bytes) -> bytes:
    what = rng.randrange(5)
    if what == 0:
        return content[:-2] + rng.choice(_TAILS)
    if what == 1:
        return content[:-1]
    if what == 2:
        return content[: -rng.randrange(2, 12)] + rng.choice(_TAILS)
    if what == 3:
        return content[:-2] + rng.randbytes(rng.randrange(1, 12)).replace(b"\xff", b"\0") + b"\xff"
    return content[:-2] + b"\xff" * rng.randrange(1, 4) + content[-2:]
