"""`cldc review`: where the page is, and what was decided on it."""

from __future__ import annotations

from collections.abc import Iterator

from cldc.render.blocks import Block, Line
from cldc.render.document import Document
from cldc.review import Summary
from cldc.text import plural

_WORDS = {
    "relabel": "to relabel",
    "set-aside": "to set aside",
    "move": "to move to another split",
    "correct": "correct as is",
}


def address_blocks(address: str) -> Iterator[Block]:
    """Where the page is; the address alone on its line, to be copied."""
    yield Line("The page is served on this machine only, at", "title")
    yield Line(address)
    yield Line("Decisions are saved at once. Ctrl-C ends it.", "dim")


def summary_document(done: Summary, next_command: str) -> Document:
    """What was decided, and the command that carries it out."""
    data = {"decisions": done.path, "counts": done.counts, "new": done.made, "later": done.later}
    return Document(data, _summary_blocks(done, next_command))


def _summary_blocks(done: Summary, next_command: str) -> Iterator[Block]:
    if not done.counts:
        yield Line("Nothing was decided.")
    else:
        counts = [f"{count:,} {_WORDS[kind]}" for kind in _WORDS if (count := done.counts.get(kind, 0))]
        yield Line(
            f"{plural(sum(done.counts.values()), 'decision')}, {done.made:,} of them new: {', '.join(counts)}."
        )
        yield Line(f"Saved in {done.path}.", "dim")
    if done.later:
        yield Line(f"{plural(done.later, 'image')} left for later.")
    if done.counts.keys() - {"correct"}:
        yield Line(f"Next: {next_command}", "title")
