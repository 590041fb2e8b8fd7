"""Draws cases: which kind, and what the bytes go through in the end."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.support.decoder_cases.bmp import draw_bmp
from tests.support.decoder_cases.gif import draw_gif
from tests.support.decoder_cases.jpeg import draw_jpeg
from tests.support.decoder_cases.png import draw_png

_KINDS = {"png": draw_png, "gif": draw_gif, "jpeg": draw_jpeg, "bmp": draw_bmp}
_WEIGHTS = (5, 3, 3, 1)


def cases(seed: int, count: int, seeds: tuple[bytes, ...] = ()) -> Iterator[tuple[str, bytes]]:
    """`count` pairs of a name that reproduces the case and its bytes; `seeds` are whole files to mutate too."""
    kinds = tuple(_KINDS)
    for number in range(count):
        name = f"{seed}-{number}"
        rng = random.Random(name)
        if rng.random() < 0.1 and seeds:
            kind, content = "seed", rng.choice(seeds)
        else:
            kind = rng.choices(kinds, _WEIGHTS)[0]
            content = _KINDS[kind](rng)
        yield f"{kind}-{name}", _blur(rng, content, kind)


def _blur(rng: random.Random, content: bytes, kind: str) -> bytes:  # noqa: PLR0911 - one way out for each fault
    """What happens to files of any kind: cuts, flipped bits, garbage behind, two in one."""
    chance = rng.random() * (0.5 if kind == "seed" else 1)
    if chance < 0.05:
        return content[: rng.randrange(len(content) + 1)]
    if chance < 0.10:
        return content[: max(0, len(content) - rng.randrange(1, 24))]
    if chance < 0.20:
        return flip(rng, content)
    if chance < 0.23:
        return content + rng.randbytes(rng.randrange(1, 40))
    if chance < 0.24:
        return content + content
    if chance < 0.26:
        at = rng.randrange(len(content) + 1)
        return content[:at] + rng.randbytes(rng.randrange(1, 5)) + content[at:]
    if chance < 0.28:
        at = rng.randrange(len(content) + 1)
        return content[:at] + content[at + rng.randrange(1, 9) :]
    return content


def flip(rng: random.Random, content: bytes, most: int = 4) -> bytes:
    """Some bits flipped, or bytes replaced."""
    changed = bytearray(content)
    for _ in range(rng.randrange(1, most + 1)):
        if not changed:
            break
        at = rng.randrange(len(changed))
        changed[at] = rng.choice((changed[at] ^ 1 << rng.randrange(8), rng.randrange(256), 0, 255))
    return bytes(changed)
