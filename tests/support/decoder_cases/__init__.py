"""Seeded images, sound and broken in every way libpng, giflib and libjpeg care about."""

from tests.support.decoder_cases.draw import cases

__all__ = ["cases"]
