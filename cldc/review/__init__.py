"""A page, served on loopback, on which people look at a dataset's images and decide about them."""

from __future__ import annotations

from cldc.review.server import ReviewServer
from cldc.review.session import Session, Summary

__all__ = ["ReviewServer", "Session", "Summary"]
