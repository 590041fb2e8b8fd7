"""GIFs: frames, colour maps, extensions and LZW codes in and out of order."""

from __future__ import annotations

import random
import struct


def draw_gif(rng: random.Random) -> bytes:
    """One GIF, sound in about half of all cases."""
    most = 130 if rng.random() < 0.08 else 40  # the code table is full only in the larger ones
    width, height = rng.randrange(1, most), rng.randrange(1, most)
    bits = rng.randrange(1, 9)
    has_map = rng.random() < 0.9
    flags = (0x80 if has_map else 0) | bits - 1
    canvas = (width, height) if rng.random() < 0.8 else (rng.randrange(0, 60), rng.randrange(0, 60))
    parts = [
        rng.choice((b"GIF89a", b"GIF89a", b"GIF87a", b"GIF8xx")),
        struct.pack("<HHBBB", *canvas, flags, 0, 0),
        rng.randbytes(3 << bits) if has_map else b"",
    ]
    for number in range(rng.choice((1, 1, 1, 1, 2, 3))):
        while rng.random() < 0.3:
            parts.append(_extension(rng))
        if number and rng.random() < 0.5:
            width, height = rng.randrange(1, 40), rng.randrange(1, 40)
        parts.append(_frame(rng, width, height, bits))
    if rng.random() < 0.2:
        parts.append(_extension(rng))
    if rng.random() < 0.1:
        _spoil(rng, parts)
    parts.append(b";" if rng.random() < 0.97 else rng.randbytes(1))
    return b"".join(parts)


def _spoil(rng: random.Random, parts: list[bytes]) -> None:
    at = rng.randrange(1, len(parts))
    if rng.random() < 0.5:
        del parts[at]
    else:
        parts.insert(at, rng.choice((b"\0", b";", b",", b"!", b"\0\0", b"x")))


def _extension(rng: random.Random) -> bytes:
    choice = rng.randrange(6)
    if choice == 0:
        return b"!\xf9\x04" + rng.randbytes(4) + b"\0"
    if choice == 1:
        return b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
    if choice == 2:
        return b"!\xfe" + bytes((5,)) + rng.randbytes(5) + b"\0"
    if choice == 3:
        return b"!" + rng.randbytes(1) + b"\0"
    if choice == 4:
        return b"!\xf9\x03" + rng.randbytes(3) + b"\0"
    return b"!\xfe" + b"".join(bytes((n,)) + rng.randbytes(n) for n in (255, 3, 1)) + b"\0"


def _frame(rng: random.Random, width: int, height: int, bits: int) -> bytes:
    left, top = (0, 0) if rng.random() < 0.8 else (rng.randrange(50), rng.randrange(50))
    flags = 0x40 if rng.random() < 0.3 else 0
    local = b""
    if rng.random() < 0.25:
        local_bits = rng.randrange(1, 9)
        flags |= 0x80 | local_bits - 1
        local = rng.randbytes(3 << local_bits)
    minimum = max(2, bits)
    if rng.random() < 0.15:
        minimum = rng.randrange(0, 13)
    shown = rng.choice(((width, height),) * 18 + ((0, height), (width, 0)))
    head = struct.pack("<cHHHHB", b",", left, top, *shown, flags) + local + bytes((minimum,))
    pixels = _pixels(rng, width * height, min(bits, minimum, 8))
    return head + _blocks(rng, _codes(rng, pixels, min(minimum, 8)))


def _pixels(rng: random.Random, count: int, bits: int) -> list[int]:
    top = 1 << bits
    if rng.random() < 0.1:
        count = max(0, count + rng.choice((-5, -1, 1, 5, 300)))
    if rng.random() < 0.5:
        return [rng.randrange(top) for _ in range(count)]
    pixels: list[int] = []
    while len(pixels) < count:
        pixels += [rng.randrange(top)] * rng.randrange(1, 30)
    return pixels[:count]


def _codes(rng: random.Random, pixels: list[int], minimum: int) -> bytes:
    """LZW, with codes replaced now and then; in some cases no end code and no clear code."""
    clear = 1 << minimum
    table: dict[tuple[int, ...], int] = {}
    held = count = 0
    bits, following = minimum + 1, clear + 2
    out = bytearray()
    wrong = rng.choice((0, 0, 0, 0.01, 0.05))

    def emit(code: int) -> None:
        nonlocal held, count
        if wrong and rng.random() < wrong:
            code = rng.choice((rng.randrange(1 << bits), following, following + 1, clear, clear + 1, code))
        held |= (code & (1 << bits) - 1) << count
        count += bits
        while count >= 8:
            out.append(held & 255)
            held >>= 8
            count -= 8

    if rng.random() < 0.9:
        emit(clear)
    word: tuple[int, ...] = ()
    reset = rng.random() < 0.8
    for pixel in pixels:
        longer = (*word, pixel)
        if len(longer) == 1 or longer in table:
            word = longer
            continue
        emit(table[word] if len(word) > 1 else word[0])
        if following < 4096:
            table[longer] = following
            following += 1
            if following > 1 << bits and bits < 12:
                bits += 1
        elif reset:
            emit(clear)
            table.clear()
            bits, following = minimum + 1, clear + 2
        word = (pixel,)
    if word:
        emit(table[word] if len(word) > 1 else word[0])
    if rng.random() < 0.9:
        emit(clear + 1)
    out.append(held & 255)
    return bytes(out)


def _blocks(rng: random.Random, data: bytes) -> bytes:
    size = rng.choice((255, 255, 255, 1, 7, 100))
    blocks = [data[i : i + size] for i in range(0, len(data), size)]
    if rng.random() < 0.05:
        blocks.insert(rng.randrange(len(blocks) + 1), rng.choice((b"", b"x" * 20)))
    if rng.random() < 0.05 and blocks:
        del blocks[rng.randrange(len(blocks))]
    return b"".join(bytes((len(block),)) + block for block in blocks) + b"\0"
