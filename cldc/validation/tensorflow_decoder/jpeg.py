"""JPEG as libjpeg-turbo 2.0 reads it on behalf of TensorFlow's `jpeg_mem.cc`.

libjpeg takes nearly anything between the markers; it is the markers, the tables and the end of the file that
decide. TensorFlow notices a premature end while a scan is read, but not while it reads what follows the only scan.
"""

from __future__ import annotations

from cldc.validation.tensorflow_decoder.jpeg_input import SuspendedError
from cldc.validation.tensorflow_decoder.jpeg_markers import (
    EOI,
    STANDARD_AC,
    STANDARD_DC,
    Frame,
    HuffmanTable,
    MarkerReader,
    Scan,
    Tables,
)
from cldc.validation.tensorflow_decoder.jpeg_scan import skip_scan
from cldc.validation.tensorflow_decoder.remarks import TURNED, is_srgb, join_profile, orientation_of
from cldc.validation.tensorflow_decoder.verdict import (
    Format,
    Readable,
    RefusedError,
    Remark,
    TooMuchWorkError,
    Verdict,
)

_LARGEST_DIMENSION = 65500
_MOST_COMPONENTS = 10
_MOST_BLOCKS = 10
_SAMPLE_LIMIT = 1 << 29
_COLOUR_COMPONENTS = frozenset({1, 3, 4})

_FAILED = "TensorFlow: jpeg::Uncompress failed. Invalid JPEG data or crop window."


def judge_jpeg(content: bytes) -> Verdict:
    """Return the verdict on content that begins with ``FF D8 FF``."""
    reader = MarkerReader(content)
    readable, reason, clean = Readable.YES, "", True
    try:
        clean = _decompress(reader)
    except RefusedError as refused:
        readable, reason = Readable.NO, f"{_FAILED} ({refused})"
    except SuspendedError:
        readable, reason = Readable.NO, f"{_FAILED} (the file ends too early)"
    except TooMuchWorkError as work:
        readable, reason = Readable.UNKNOWN, f"Only TensorFlow can tell: {work}."
    frame = reader.tables.frame
    width, height = (frame.width, frame.height) if frame else (None, None)
    remarks = _remarks(content, reader, clean=clean) if readable is Readable.YES else ()
    return Verdict(readable, Format.JPEG, width, height, reason, remarks)


def _decompress(reader: MarkerReader) -> bool:
    """Run `jpeg_read_header` to `jpeg_finish_decompress`; return whether nothing was odd."""
    if reader.read() == EOI:
        raise RefusedError("no picture")
    frame, scan = reader.tables.frame, reader.tables.scan
    if frame is None or scan is None:
        raise RefusedError("no picture")
    _check_frame(frame)
    if not frame.progressive and not frame.arithmetic:
        for number in (0, 1):
            reader.tables.dc.setdefault(number, STANDARD_DC[number])
            reader.tables.ac.setdefault(number, STANDARD_AC[number])
    if len(scan.components) < len(frame.components) or frame.progressive:
        return _read_many_scans(reader, frame)
    _start_scan(reader.tables, frame, scan)
    clean = skip_scan(reader, frame, scan)
    try:
        if reader.read() != EOI:
            raise RefusedError("a second scan after a complete one")
    except SuspendedError:
        return False  # `jpeg_finish_decompress` says so, and TensorFlow does not look
    return clean


def _read_many_scans(reader: MarkerReader, frame: Frame) -> bool:
    """Read all scans up to EOI before the first row, as `jpeg_start_decompress` does."""
    clean = True
    marker = 0
    missing = {id(component): set(range(64)) for component in frame.components}
    while marker != EOI:
        scan = reader.tables.scan
        if scan is None:
            raise RefusedError("no picture")
        _start_scan(reader.tables, frame, scan)
        if not frame.progressive or scan.low == 0:
            for component in scan.components:
                missing[id(component)] -= set(
                    range(scan.start, scan.end + 1) if frame.progressive else range(64)
                )
        clean &= skip_scan(reader, frame, scan)
        marker = reader.read()
    return clean and not any(missing.values())


def _check_frame(frame: Frame) -> None:
    """Check `initial_setup`, TensorFlow's size limit, and the requirements of colour converter and upsampler."""
    if max(frame.width, frame.height) > _LARGEST_DIMENSION:
        raise RefusedError("the picture is too large")
    if frame.precision != 8:
        raise RefusedError(f"{frame.precision} bits a sample; only 8 are read")
    if len(frame.components) > _MOST_COMPONENTS:
        raise RefusedError("too many components")
    if any(not 1 <= factor <= 4 for c in frame.components for factor in (c.horizontal, c.vertical)):
        raise RefusedError("bad sampling factors")
    if frame.width * frame.height * len(frame.components) >= _SAMPLE_LIMIT:
        raise RefusedError("the picture is too large")
    if len(frame.components) not in _COLOUR_COMPONENTS:
        raise RefusedError(f"{len(frame.components)} colour components")
    most_h = max(c.horizontal for c in frame.components)
    most_v = max(c.vertical for c in frame.components)
    if any(most_h % c.horizontal or most_v % c.vertical for c in frame.components):
        raise RefusedError("fractional sampling factors")


def _start_scan(tables: Tables, frame: Frame, scan: Scan) -> None:
    """Check, as `start_input_pass` does, the size of an MCU, the scan's tables, and progressive parameters."""
    if len(scan.components) > 1 and sum(c.horizontal * c.vertical for c in scan.components) > _MOST_BLOCKS:
        raise RefusedError("an MCU has too many blocks")
    for component in scan.components:
        if not component.latched and component.quantisation not in tables.quantisation:
            raise RefusedError(f"quantisation table {component.quantisation} is missing")
        component.latched = True
    if frame.progressive:
        _check_progression(scan)
    if frame.arithmetic:
        return
    first_pass, refinement = scan.start == 0, scan.high != 0
    for component in scan.components:
        if not frame.progressive or (first_pass and not refinement):
            _check_table(tables.dc.get(component.dc_table), "DC")
        if not frame.progressive or not first_pass:
            _check_table(tables.ac.get(component.ac_table), "AC")


def _check_progression(scan: Scan) -> None:
    """Check progressive parameters as `start_pass_phuff_decoder` does."""
    bad = (
        scan.end != 0
        if scan.start == 0
        else (scan.start > scan.end or scan.end >= 64 or len(scan.components) != 1)
    )
    if bad or (scan.high and scan.low != scan.high - 1) or scan.low > 13:
        raise RefusedError("impossible progression parameters")


def _check_table(table: HuffmanTable | None, kind: str) -> None:
    """Check a Huffman table as `jpeg_make_d_derived_tbl` does."""
    if table is None:
        raise RefusedError(f"a {kind} Huffman table is missing")
    code = 0
    begun = False
    left = sum(table.counts)
    for length, count in enumerate(table.counts, 1):
        begun = begun or count > 0
        code += count
        if begun and left and code >= 1 << length:
            raise RefusedError("a bad Huffman table")
        left -= count
        code <<= 1
    if kind == "DC" and any(symbol > 15 for symbol in table.symbols):
        raise RefusedError("a bad Huffman table")


def _remarks(content: bytes, reader: MarkerReader, *, clean: bool) -> tuple[Remark, ...]:
    remarks = []
    frame = reader.tables.frame
    if frame and len(frame.components) == 4:
        remarks.append(Remark.CMYK)
    profile: list[bytes] = []
    for marker, start in reader.tables.app_segments:
        length = int.from_bytes(content[start - 2 : start], "big") - 2
        body = content[start : start + max(0, length)]
        if marker == 0xE1 and body.startswith(b"Exif\0\0") and orientation_of(body[6:]) in TURNED:
            remarks.append(Remark.ORIENTATION_IGNORED)
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profile.append(body)
        elif marker == 0xE2 and body.startswith(b"MPF\0"):
            remarks.append(Remark.SEVERAL_PICTURES)
    joined = join_profile(profile)
    if joined and not is_srgb(joined):
        remarks.append(Remark.COLOUR_PROFILE)
    if not clean:
        remarks.append(Remark.DAMAGED)
    elif reader.source.position < len(content) and Remark.SEVERAL_PICTURES not in remarks:
        remarks.append(Remark.TRAILING_BYTES)
    return tuple(dict.fromkeys(remarks))
