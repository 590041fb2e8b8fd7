"""The leaderboard as one self-contained page: no script, nothing loaded from anywhere."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cldc import __version__
from cldc.text import printable

if TYPE_CHECKING:
    from cldc.leaderboard import Leaderboard, Row

# The curve's own units; it is scaled to the width there is.
_WIDTH, _HEIGHT, _MARGIN = 400.0, 80.0, 6.0


def to_html(board: Leaderboard, *, title: str, page: str) -> str:
    """The board as a web page, entries that it hides left out.

    Args:
        page: The template, ``templates/pages/leaderboard.html``.
    """
    shown = [row for row in board.rows if row.shown]
    owners = list(dict.fromkeys(row.account for row in shown))
    return string.Template(page).substitute(
        title=_text(title),
        summary="\n".join(_summary(board, shown, owners)),
        board="\n".join(_table(board, shown, owners)),
        histories="\n".join(part for owner in owners for part in _history(board, shown, owners, owner)),
        version=_text(__version__),
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _summary(board: Leaderboard, shown: Sequence[Row], owners: Sequence[str]) -> Iterator[str]:
    if not shown:
        yield '<p class="soft">Nothing is on the board yet.</p>'
    else:
        best = shown[0]
        yield (
            f"<p>{_count(len(shown), 'entry', 'entries')} of {_count(len(owners), 'contestant', 'contestants')}, "
            f"best {_text(board.score)} {_score(best.score)} ({_text(best.name)}).</p>"
        )
    yield f'<p class="soft">As of {_time(board.updated)}.</p>'


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _table(board: Leaderboard, shown: Sequence[Row], owners: Sequence[str]) -> Iterator[str]:
    if not shown:
        return
    yield '<table class="board">'
    yield f"<caption>Sorted by {_text(board.score)}, the best first. Equal scores share a rank.</caption>"
    yield '<thead><tr><th scope="col" class="number rank">Rank</th><th scope="col">Submission</th>'
    yield '<th scope="col">Contestant</th>'
    yield f'<th scope="col" class="number score" aria-sort="descending">{_text(board.score)}</th>'
    yield '<th scope="col" class="when">Made</th></tr></thead><tbody>'
    for row in shown:
        institution = f'<span class="of">{_text(row.institution)}</span>' if row.institution else ""
        yield f'<tr><td class="number rank">{row.rank}</td><th scope="row">{_named(row)}{institution}</th>'
        yield f'<td><a href="#{_anchor(owners, row.account)}">{_text(row.account)}</a></td>'
        yield f'<td class="number score"><span>{_score(row.score)}</span>{_bar(row.score or 0.0)}</td>'
        yield f'<td class="when">{_time(row.created)}</td></tr>'
    yield "</tbody></table>"


def _named(row: Row) -> str:
    """The submission's name, with its link where that is a web address."""
    parts = row.link.split()
    try:
        address = urlsplit(parts[0] if len(parts) == 1 else "")
        safe = address.scheme in ("http", "https") and bool(address.netloc)
    except ValueError:
        safe = False
    if not safe:
        return _text(row.name)
    return f'<a href="{escape(parts[0])}" rel="nofollow noopener noreferrer">{_text(row.name)}</a>'


def _anchor(owners: Sequence[str], account: str) -> str:
    return f"contestant-{owners.index(account) + 1}"


def _bar(score: float) -> str:
    """A bar from 0 to 1, for scores that are shares."""
    if not 0 <= score <= 1:
        return ""
    bars = "".join(
        f'<rect class="{kind}" width="{share:.1f}%" height="100%"/>'
        for kind, share in (("all", 100.0), ("bar", 100 * score))
    )
    return f'<svg aria-hidden="true">{bars}</svg>'


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.4f}"


def _time(time: datetime) -> str:
    # In one zone for all who read it, which no script turns into theirs.
    there = time.astimezone(UTC)
    return f'<time datetime="{there:%Y-%m-%dT%H:%M:%SZ}">{there:%Y-%m-%d %H:%M} UTC</time>'


def _history(board: Leaderboard, shown: Sequence[Row], owners: Sequence[str], owner: str) -> Iterator[str]:
    """What one contestant submitted, in the order of time."""
    own = sorted((row for row in shown if row.account == owner), key=lambda row: row.created)
    best = max(own, key=lambda row: row.score or 0.0)
    # The address is inside, so that following a link to it opens the fold.
    yield f"<details><summary><h3>{_text(owner)}</h3>"
    yield f'<span class="soft">best {_score(best.score)}, rank {best.rank}, '
    yield f'{_count(len(own), "entry", "entries")}</span></summary><div class="history" id="{_anchor(owners, owner)}">'
    if len(own) > 1:
        yield _curve([row.score or 0.0 for row in own])
    yield f"<table><caption>What {_text(owner)} submitted, the oldest first.</caption><thead><tr>"
    yield '<th scope="col">Submission</th><th scope="col" class="number rank">Rank</th>'
    yield f'<th scope="col" class="number score">{_text(board.score)}</th></tr></thead><tbody>'
    for row in own:
        mark = ' <span class="mark">best</span>' if row is best else ""
        yield f'<tr><th scope="row">{_named(row)}{mark}<span class="of">{_time(row.created)}</span></th>'
        yield f'<td class="number rank">{row.rank}</td>'
        yield f'<td class="number score"><span>{_score(row.score)}</span></td></tr>'
    yield "</tbody></table></div></details>"


def _curve(scores: Sequence[float]) -> str:
    """Scores over submissions as a line; the table below says the same in numbers."""
    low, high = min(scores), max(scores)
    step = (_WIDTH - 2 * _MARGIN) / (len(scores) - 1)
    points = [
        (
            _MARGIN + place * step,
            _MARGIN + (_HEIGHT - 2 * _MARGIN) * (1 - ((score - low) / (high - low) if high > low else 0.5)),
        )
        for place, score in enumerate(scores)
    ]
    top = scores.index(high)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = "".join(
        f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
        for kind, (x, y) in ((("best" if place == top else "other"), at) for place, at in enumerate(points))
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}" role="img" '
        f'aria-label="Scores from {_score(scores[0])} to {_score(scores[-1])}, the best {_score(high)}">'
        f'<polyline points="{line}"/>{dots}</svg>'
    )
