"""PNGs: every type and depth, streams and chunks put together rightly and in most wrong ways."""

from __future__ import annotations

import random
import struct
import zlib
from dataclasses import dataclass, field

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_ANCILLARY = (
    b"tEXt zTXt iTXt tIME pHYs gAMA cHRM sRGB iCCP sBIT bKGD hIST tRNS sPLT oFFs pCAL sCAL eXIf acTL fcTL fdAT "
    b"vpAg prVt abCd aBCd"
).split()


@dataclass
class _Chunk:
    kind: bytes
    body: bytes
    crc: int | None = None
    length: int | None = None

    def pack(self) -> bytes:
        crc = zlib.crc32(self.kind + self.body) if self.crc is None else self.crc
        length = len(self.body) if self.length is None else self.length
        return struct.pack(">I", length) + self.kind + self.body + struct.pack(">I", crc)


@dataclass
class _Image:
    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool
    before: list[_Chunk] = field(default_factory=list)

    def rows(self, rng: random.Random) -> list[bytearray]:
        areas = [(self.width, self.height)]
        if self.interlaced:
            areas = [
                ((self.width - x + dx - 1) // dx, (self.height - y + dy - 1) // dy)
                for x, y, dx, dy in _PASSES
            ]
        rows = []
        flat = rng.random() < 0.5
        for columns, lines in areas:
            size = (columns * self.depth * _SAMPLES[self.colour] + 7) // 8
            for _ in range(lines if columns > 0 else 0):
                body = bytes((rng.randrange(256),)) * size if flat else rng.randbytes(size)
                rows.append(bytearray(bytes((rng.randrange(5),)) + body))
        return rows


def draw_png(rng: random.Random) -> bytes:
    """One PNG, with about two faults on average."""
    image = _draw_image(rng)
    rows = image.rows(rng)
    stream = _compress(rng, _spoil_rows(rng, rows) if rng.random() < 0.15 else b"".join(rows))
    if rng.random() < 0.35:
        stream = _spoil_stream(rng, stream, b"".join(rows))
    chunks = [_Chunk(b"IHDR", _ihdr(image)), *_palette(rng, image)]
    chunks += [_ancillary(rng) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    chunks += _idats(rng, stream)
    chunks += [_ancillary(rng) for _ in range(rng.choice((0, 0, 0, 0, 1)))]
    chunks.append(_Chunk(b"IEND", b""))
    if rng.random() < 0.4:
        _spoil_chunks(rng, chunks)
    return SIGNATURE + b"".join(chunk.pack() for chunk in chunks)


def _draw_image(rng: random.Random) -> _Image:
    colour = rng.choice((0, 0, 2, 3, 4, 6))
    large = rng.random() < 0.04
    width, height = (
        rng.randrange(60, 200) if large else rng.choice((1, 2, 3, 4, 5, 8, 9, 17, 33)) for _ in range(2)
    )
    return _Image(width, height, rng.choice(_DEPTHS[colour]), colour, rng.random() < 0.3)


def _ihdr(image: _Image) -> bytes:
    return struct.pack(
        ">IIBBBBB", image.width, image.height, image.depth, image.colour, 0, 0, int(image.interlaced)
    )


def _palette(rng: random.Random, image: _Image) -> list[_Chunk]:
    chunks = []
    if image.colour == 3 or rng.random() < 0.05:
        entries = rng.choice((1 << min(image.depth, 8), rng.randrange(1, 257), rng.randrange(1, 257), 256))
        size = 3 * entries
        if rng.random() < 0.1:
            size = rng.choice((0, size + 1, 769, 771, 768, 3))
        chunks.append(_Chunk(b"PLTE", rng.randbytes(size)))
    if rng.random() < 0.15:
        chunks.append(_Chunk(b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 6, 5, 256, 257, 30)))))
    return chunks


def _compress(rng: random.Random, raw: bytes) -> bytes:
    packer = zlib.compressobj(
        rng.choice((0, 1, 6, 9)), zlib.DEFLATED, rng.choice((9, 12, 15, 15)), 8, rng.choice((0, 1, 2, 3, 4))
    )
    if rng.random() < 0.1 and raw:
        cut = rng.randrange(len(raw))
        return (
            packer.compress(raw[:cut])
            + packer.flush(zlib.Z_FULL_FLUSH)
            + packer.compress(raw[cut:])
            + packer.flush()
        )
    return packer.compress(raw) + packer.flush()


def _spoil_rows(rng: random.Random, rows: list[bytearray]) -> bytes:
    fault = rng.randrange(5)
    if fault == 0 and rows:
        rng.choice(rows)[0] = rng.choice((5, 6, 64, 255))
    raw = b"".join(rows)
    if fault == 1:
        return raw[: max(0, len(raw) - rng.choice((1, 2, len(rows[-1]) if rows else 1, 40)))]
    if fault == 2:
        return raw + rng.randbytes(rng.choice((1, 10, 1023, 1024, 1025, 3000)))
    if fault == 3:
        return raw + bytes(rng.choice((100, 5000, 40000)))
    return raw if fault == 0 else raw[rng.randrange(len(raw) or 1) :]


def _spoil_stream(  # noqa: PLR0911 - one way out for each fault
    rng: random.Random, stream: bytes, raw: bytes
) -> bytes:
    fault = rng.randrange(12)
    if fault == 0:
        return stream[:-4] + rng.randbytes(4)
    if fault == 1:
        return stream[: -rng.randrange(1, 7)]
    if fault == 2:
        return stream + rng.randbytes(rng.choice((1, 4, 100, 9000)))
    if fault in {3, 4}:
        return _header(rng.choice((0, 1, 2, 3, 5, 7, 8, 15)), rng.choice((8, 8, 8, 7, 15))) + stream[2:]
    if fault == 5:
        return _header(7, 8, dictionary=True) + stream[2:]
    if fault == 6:
        return bytes((stream[0], stream[1] ^ 1 << rng.randrange(8))) + stream[2:]
    if fault == 7:
        return b"\x78\x01" + _stored(rng, raw) + struct.pack(">I", zlib.adler32(raw))
    if fault == 8:
        packer = zlib.compressobj(6)
        return packer.compress(raw) + packer.flush(zlib.Z_SYNC_FLUSH)
    changed = bytearray(stream)
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(changed))
        changed[at] ^= 1 << rng.randrange(8)
    if fault == 11 and len(changed) > 6:  # flipped, and the sum corrected if the result still inflates
        try:
            found = zlib.decompressobj(-15).decompress(bytes(changed[2:-4]), 1 << 20)
        except zlib.error:
            return bytes(changed)
        return bytes(changed[:-4]) + struct.pack(">I", zlib.adler32(found))
    return bytes(changed)


def _header(window: int, method: int, *, dictionary: bool = False) -> bytes:
    start = window << 4 | method
    flags = 0x20 if dictionary else 0
    return bytes((start, flags | 31 - ((start << 8 | flags) % 31)))


def _stored(rng: random.Random, raw: bytes) -> bytes:
    pieces = [raw[i : i + 5000] for i in range(0, len(raw), 5000)] or [b""]
    if rng.random() < 0.3:
        pieces.append(b"")
    blocks = [
        bytes((int(number == len(pieces) - 1),)) + struct.pack("<HH", len(piece), len(piece) ^ 0xFFFF) + piece
        for number, piece in enumerate(pieces)
    ]
    return b"".join(blocks)


def _idats(rng: random.Random, stream: bytes) -> list[_Chunk]:
    style = rng.randrange(6)
    if style < 3:
        pieces = [stream]
    elif style == 3:
        size = rng.choice((1, 2, 7, 100, 8192))
        pieces = [stream[i : i + size] for i in range(0, len(stream), size)]
    elif style == 4:
        cut = max(0, len(stream) - rng.randrange(0, 9))
        pieces = [stream[:cut], stream[cut:]]
    else:
        pieces = [stream]
        for _ in range(3):
            cut = rng.randrange(len(pieces[-1]) + 1)
            pieces[-1:] = [pieces[-1][:cut], pieces[-1][cut:]]
    return [_Chunk(b"IDAT", piece) for piece in pieces]


def _ancillary(rng: random.Random) -> _Chunk:
    kind = rng.choice(_ANCILLARY)
    good = {
        b"tEXt": b"Title\0text",
        b"zTXt": b"Title\0\0" + zlib.compress(b"x" * 5000),
        b"gAMA": struct.pack(">I", 45455),
        b"iCCP": b"icc\0\0" + zlib.compress(_profile(rng)),
        b"hIST": bytes(rng.randrange(12)),
        b"pHYs": struct.pack(">IIB", 1, 1, 1),
        b"sRGB": b"\0",
        b"acTL": struct.pack(">II", 1, 0),
        b"eXIf": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    }.get(kind)
    body = (
        good
        if good is not None and rng.random() < 0.6
        else rng.randbytes(rng.choice((0, 1, 2, 4, 9, 13, 32, 40)))
    )
    return _Chunk(kind, body, crc=rng.getrandbits(32) if rng.random() < 0.2 else None)


def _profile(rng: random.Random) -> bytes:
    size = rng.choice((132, 132, 131, 200, 4000))
    tags = rng.choice((0, 0, 1, 100))
    head = struct.pack(">I4sI4s4s4s12x4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return (head.ljust(128, b"\0") + struct.pack(">I", tags)).ljust(size, b"\0")


def _spoil_chunks(rng: random.Random, chunks: list[_Chunk]) -> None:
    fault = rng.randrange(12)
    at = rng.randrange(len(chunks))
    chunk = chunks[at]
    if fault == 0:
        chunk.crc = rng.getrandbits(32)
    elif fault == 1:
        del chunks[at]
    elif fault == 2:
        chunks.insert(rng.randrange(len(chunks) + 1), chunk)
    elif fault == 3:
        other = rng.randrange(len(chunks))
        chunks[at], chunks[other] = chunks[other], chunks[at]
    elif fault == 4:
        chunks.insert(rng.randrange(len(chunks) + 1), _ancillary(rng))
    elif fault == 5:
        kind = rng.choice(
            (b"ABCD", b"Abcd", b"abcD", b"1234", b"ab d", b"iDAT", b"IDAt", b"\x80bcd", b"PLTE", b"IEND")
        )
        chunks.insert(rng.randrange(len(chunks) + 1), _Chunk(kind, rng.randbytes(rng.choice((0, 3, 9)))))
    elif fault == 6:
        chunk.length = rng.choice((0, 1, 2**31 - 1, 2**31, 8_000_000, 8_000_001, len(chunk.body) + 1, 12))
    elif fault in {7, 8}:
        _spoil_ihdr(rng, chunks[0])
    elif fault == 9:
        chunk.body = chunk.body + rng.randbytes(rng.randrange(1, 4))
    elif fault == 10:
        chunk.body = chunk.body[:-1]
    else:
        chunks.insert(rng.randrange(len(chunks)), _Chunk(b"IDAT", rng.choice((b"", rng.randbytes(5)))))


def _spoil_ihdr(rng: random.Random, chunk: _Chunk) -> None:
    body = bytearray(chunk.body)
    at = rng.randrange(13)
    if at < 8:
        values = (0, 1, 2, 7, 40, 1_000_000, 1_000_001, 2**31 - 1, 2**31, rng.randrange(1, 300))
        struct.pack_into(">I", body, at // 4 * 4, rng.choice(values))
    else:
        body[at] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 255))
    chunk.body = bytes(body)
