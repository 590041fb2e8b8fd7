"""Skip one entropy-coded scan without decoding it, to where libjpeg is after it.

Huffman and arithmetic decoders never run over a marker, and bad data is at most a warning. So only
restart markers decide which marker ends a scan; `skip_scan` counts them off as libjpeg does.
"""

from __future__ import annotations

from cldc.validation.tensorflow_decoder.jpeg_entropy import reaches_the_end
from cldc.validation.tensorflow_decoder.jpeg_input import SuspendedError
from cldc.validation.tensorflow_decoder.jpeg_markers import RST0, Frame, HuffmanTable, MarkerReader, Scan
from cldc.validation.tensorflow_decoder.verdict import TooMuchWorkError

_LONGEST_SEGMENT = 1 << 19


def count_units(frame: Frame, scan: Scan) -> int:
    """Count the MCUs in the scan, as `per_scan_setup` does."""
    most_h = max(c.horizontal for c in frame.components)
    most_v = max(c.vertical for c in frame.components)
    if len(scan.components) == 1:
        only = scan.components[0]
        return -(-frame.width * only.horizontal // (8 * most_h)) * -(
            -frame.height * only.vertical // (8 * most_v)
        )
    return -(-frame.width // (8 * most_h)) * -(-frame.height // (8 * most_v))


def skip_scan(reader: MarkerReader, frame: Frame, scan: Scan) -> bool:
    """Skip the scan with the reader; return whether the restart markers were as they should be.

    Raises:
        SuspendedError: The file ends first, and not all units are decoded by then.
        RefusedError: The same.
    """
    units = count_units(frame, scan)
    interval = reader.tables.restart_interval
    restarts = -(-units // interval) - 1 if interval else 0
    expected = 0
    clean = True
    for _ in range(restarts):
        if not reader.unread:
            reader.unread = reader.source.next_marker()
        if reader.unread == RST0 + expected:
            reader.unread = 0
        else:
            clean = False
            _resynchronise(reader, expected)
            if not RST0 <= (reader.unread or RST0) <= RST0 + 7:
                return clean  # every further restart leaves this marker where it is
        expected = (expected + 1) & 7
    if not reader.unread:
        _finish_last_segment(reader, frame, scan, units - restarts * interval)
    return clean


def _resynchronise(reader: MarkerReader, expected: int) -> None:
    """Find a restart marker, as `jpeg_resync_to_restart` does."""
    while True:
        marker = reader.unread
        if marker >= 0xC0:
            if not RST0 <= marker <= RST0 + 7:
                return
            distance = (marker - RST0 - expected) & 7
            if distance in {1, 2}:
                return
            if distance not in {6, 7}:
                reader.unread = 0
                return
        reader.unread = reader.source.next_marker()


def _finish_last_segment(reader: MarkerReader, frame: Frame, scan: Scan, units: int) -> None:
    """Check the data behind the last restart: fine if a marker follows; if none does, it depends on the data."""
    start = reader.source.position
    try:
        reader.unread = reader.source.next_marker()
    except SuspendedError:
        # No marker, and the file ends in 0xFF: the one case in which TensorFlow can miss that the end is missing.
        if frame.progressive or len(scan.components) < len(frame.components):
            raise  # all scans are read before the first row: any early end is noticed
        segment = reader.source.content[start:].rstrip(b"\xff")
        if len(segment) > _LONGEST_SEGMENT or frame.arithmetic or b"\xff\xff" in segment:
            raise TooMuchWorkError("the data run into the end of the file") from None
        fast = not reader.tables.restart_interval
        if not reaches_the_end(segment, _blocks(reader, scan), units, may_be_fast=fast):
            raise
        reader.source.position = start + len(segment)
        reader.source.sync()


def _blocks(reader: MarkerReader, scan: Scan) -> list[tuple[HuffmanTable, HuffmanTable]]:
    """Return the tables for each block of an MCU."""
    tables = reader.tables
    return [
        (tables.dc[c.dc_table], tables.ac[c.ac_table])
        for c in scan.components
        for _ in range(c.horizontal * c.vertical if len(scan.components) > 1 else 1)
    ]
