"""A page, served on loopback, on which people decide about a dataset's images."""

from __future__ import annotations

from cldc.review.server import ReviewServer
from cldc.review.session import ReviewSession, Summary

__all__ = ["ReviewServer", "ReviewSession", "Summary"]
