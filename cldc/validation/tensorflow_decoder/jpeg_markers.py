"""JPEG's marker segments as libjpeg-turbo 2.0's jdmarker.c reads them, with errors in the same places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from cldc.validation.tensorflow_decoder.jpeg_input import Input
from cldc.validation.tensorflow_decoder.verdict import RefusedError

EOI = 0xD9
SOS = 0xDA
RST0 = 0xD0

_SUPPORTED_FRAMES = {
    0xC0: (False, False),
    0xC1: (False, False),
    0xC2: (True, False),
    0xC9: (False, True),
    0xCA: (True, True),
}
_UNSUPPORTED_FRAMES = frozenset({0xC3, 0xC5, 0xC6, 0xC7, 0xC8, 0xCB, 0xCD, 0xCE, 0xCF})
_NO_PARAMETERS = frozenset({0x01, *range(RST0, RST0 + 8)})

_MOST_SCAN_COMPONENTS = 4
_MOST_TABLES = 4
_MOST_APP_SEGMENTS = 512
"""An ICC profile takes up to 255 of them, and others may come before it."""


@dataclass(slots=True)
class Component:
    """One entry of the frame header, with the tables its last scan names."""

    number: int
    horizontal: int
    vertical: int
    quantisation: int
    latched: bool = False
    dc_table: int = 0
    ac_table: int = 0


@dataclass(slots=True)
class Frame:
    """The content of SOF."""

    progressive: bool
    arithmetic: bool
    precision: int
    height: int
    width: int
    components: list[Component]


@dataclass(slots=True)
class HuffmanTable:
    """Counts of codes by length 1 to 16, and their symbols."""

    counts: bytes
    symbols: bytes


@dataclass(slots=True)
class Scan:
    """The content of SOS."""

    components: list[Component]
    start: int
    end: int
    high: int
    low: int


@dataclass(slots=True)
class Tables:
    """Everything the segments so far have defined."""

    frame: Frame | None = None
    scan: Scan | None = None
    dc: dict[int, HuffmanTable] = field(default_factory=dict)
    ac: dict[int, HuffmanTable] = field(default_factory=dict)
    quantisation: set[int] = field(default_factory=set)
    restart_interval: int = 0
    app_segments: list[tuple[int, int]] = field(default_factory=list)
    """Marker codes of APP1 and APP2 with the offsets of their bodies, for the remarks."""


class MarkerReader:
    """`read_markers`: up to the next SOS or EOI."""

    def __init__(self, content: bytes) -> None:
        """Read `content`, which begins with SOI."""
        self.source = Input(content)
        self.source.skip(2)
        self.tables = Tables()
        self.unread = 0

    def read(self) -> int:
        """Read all segments up to SOS or EOI, and return which of the two it was."""
        while True:
            marker = self.unread = self.unread or self.source.next_marker()
            if marker in _NO_PARAMETERS:
                pass
            elif marker in _SUPPORTED_FRAMES:
                self._frame(*_SUPPORTED_FRAMES[marker])
            elif marker == SOS:
                self._scan()
            elif marker in self._HANDLERS:
                self._HANDLERS[marker](self)
            elif 0xE0 <= marker <= 0xEF:
                self._skip()
            elif marker != EOI:
                kind = "unsupported JPEG process" if marker in _UNSUPPORTED_FRAMES else "unexpected marker"
                raise RefusedError(f"{kind} 0x{marker:02X}")
            self.unread = 0
            if marker in {SOS, EOI}:
                return marker

    def _frame(self, progressive: bool, arithmetic: bool) -> None:
        source = self.source
        length = source.word()
        precision, height, width, count = source.byte(), source.word(), source.word(), source.byte()
        if self.tables.frame is not None:
            raise RefusedError("two frame headers")
        if not height or not width or not count:
            raise RefusedError("the picture is empty")
        if length - 8 != 3 * count:
            raise RefusedError("the frame header has a wrong length")
        components = []
        for _ in range(count):
            number, factors, quantisation = source.bytes(3)
            components.append(Component(number, factors >> 4, factors & 15, quantisation))
        self.tables.frame = Frame(progressive, arithmetic, precision, height, width, components)
        source.sync()

    def _scan(self) -> None:
        if self.tables.frame is None:
            raise RefusedError("a scan before the frame header")
        length, count = self.source.word(), self.source.byte()
        if length != count * 2 + 6 or not 1 <= count <= _MOST_SCAN_COMPONENTS:
            raise RefusedError("the scan header has a wrong length")
        chosen: list[Component] = []
        known = self.tables.frame.components[:_MOST_SCAN_COMPONENTS]
        for _ in range(count):
            number, tables = self.source.bytes(2)
            # libjpeg-turbo passes over entries whose index is below the number of those already chosen.
            found = next((c for i, c in enumerate(known) if c.number == number and i >= len(chosen)), None)
            if found is None or any(found is other for other in chosen):
                raise RefusedError(f"the scan names component {number}")
            found.dc_table, found.ac_table = tables >> 4, tables & 15
            chosen.append(found)
        start, end, approximation = self.source.bytes(3)
        self.tables.scan = Scan(chosen, start, end, approximation >> 4, approximation & 15)
        self.source.sync()

    def _huffman_tables(self) -> None:
        length = self.source.word() - 2
        while length > 16:
            index = self.source.byte()
            counts = self.source.bytes(16)
            total = sum(counts)
            length -= 17
            if total > 256 or total > length:
                raise RefusedError("a bad Huffman table")
            symbols = self.source.bytes(total)
            length -= total
            tables = self.tables.ac if index & 0x10 else self.tables.dc
            if index & ~0x10 >= _MOST_TABLES:
                raise RefusedError("a Huffman table out of range")
            tables[index & ~0x10] = HuffmanTable(counts, symbols)
        self._end_segment(length)

    def _arithmetic_conditioning(self) -> None:
        length = self.source.word() - 2
        while length > 0:
            index, value = self.source.bytes(2)
            length -= 2
            if index >= 32 or (index < 16 and value & 15 > value >> 4):
                raise RefusedError("bad arithmetic conditioning")
        self._end_segment(length)

    def _quantisation_tables(self) -> None:
        length = self.source.word() - 2
        while length > 0:
            header = self.source.byte()
            if header & 15 >= _MOST_TABLES:
                raise RefusedError("a quantisation table out of range")
            self.tables.quantisation.add(header & 15)
            size = 128 if header >> 4 else 64
            self.source.bytes(size)
            length -= size + 1
        self._end_segment(length)

    def _restart_interval(self) -> None:
        if self.source.word() != 4:
            raise RefusedError("the restart interval has a wrong length")
        self.tables.restart_interval = self.source.word()
        self.source.sync()

    def _app0_or_14(self) -> None:
        length = self.source.word() - 2
        start = self.source.bytes(max(0, min(length, 14)))
        self.source.sync()
        self.source.skip(length - len(start))

    def _skip(self) -> None:
        length = self.source.word() - 2
        if self.unread in {0xE1, 0xE2} and len(self.tables.app_segments) < _MOST_APP_SEGMENTS:
            self.tables.app_segments.append((self.unread, self.source.position))
        self.source.sync()
        self.source.skip(length)

    def _end_segment(self, length: int) -> None:
        if length:
            raise RefusedError("a segment has a wrong length")
        self.source.sync()

    # Not bound to an object: a reader that refers to itself would keep the file's content in memory for a while.
    _HANDLERS: ClassVar[dict[int, Callable[[MarkerReader], None]]] = {
        0xC4: _huffman_tables,
        0xCC: _arithmetic_conditioning,
        0xDB: _quantisation_tables,
        0xDC: _skip,
        0xDD: _restart_interval,
        0xE0: _app0_or_14,
        0xEE: _app0_or_14,
        0xFE: _skip,
    }


# The tables of ITU-T T.81, annex K.3, which libjpeg-turbo assumes if a file defines none (Motion JPEG).
_AC_LUMINANCE = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435"
    "363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a9293949596"
    "9798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9ea"
    "f1f2f3f4f5f6f7f8f9fa"
)
_AC_CHROMINANCE = bytes.fromhex(
    "0001020311040521310612415107617113223281081442 91a1b1c109233352f0156272d10a162434e125f11718191a262728292a"
    "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a929394"
    "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9"
    "eaf2f3f4f5f6f7f8f9fa"
)

STANDARD_DC = {
    0: HuffmanTable(bytes.fromhex("00010501010101010100000000000000"), bytes(range(12))),
    1: HuffmanTable(bytes.fromhex("00030101010101010101010000000000"), bytes(range(12))),
}
"""For luminance and chrominance."""

STANDARD_AC = {
    0: HuffmanTable(bytes.fromhex("0002010303020403050504040000017d"), _AC_LUMINANCE),
    1: HuffmanTable(bytes.fromhex("00020102040403040705040400010277"), _AC_CHROMINANCE),
}
"""For luminance and chrominance."""
