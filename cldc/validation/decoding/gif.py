"""Not yet."""

from __future__ import annotations

from cldc.validation.decoding.verdict import Format, Readable, Verdict


def judge_gif(content: bytes) -> Verdict:
    """The verdict."""
    return Verdict(Readable.UNSURE, Format.GIF, reason="Only TensorFlow can tell.")
