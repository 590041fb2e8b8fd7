"""What was kept of a competition, and brought back."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cldc.render.blocks import Block, Line
from cldc.render.document import Document
from cldc.text import plural

if TYPE_CHECKING:
    from cldc.competition import Competition
    from cldc.leaderboard import Leaderboard
    from cldc.organise.keeping import Restoring


def archive_document(
    folder: Path, competition: Competition, board: Leaderboard, *, under_way: int, source: str
) -> Document:
    """A finished competition in a folder.

    Args:
        folder: The archive.
        competition: The competition.
        board: Its last board.
        under_way: How many submissions on it are still being evaluated.
        source: The profile that the next term starts from, in a command.
    """
    scored = sum(row.score is not None for row in board.rows)
    blocks = [Line(f"{folder} holds {competition.title}: {plural(scored, 'score')} and the grades.", "good")]
    if under_way:
        told = f"{plural(under_way, 'submission')} had no score yet: run `cldc organise score`, then archive again."
        blocks.append(Line(told, "warning"))
    blocks += [
        Line(f"Everything stays on the server, under the tag {competition.submission.tag}."),
        Line(f"Next term: cldc organise init --profile NAME.toml --competition {source}"),
    ]
    data = {
        "folder": folder,
        "competition": competition.name,
        "as_of": board.updated,
        "scores": scored,
        "under_way": under_way,
    }
    return Document(data, blocks)


def backup_document(file: Path, competition: Competition, names: Sequence[str]) -> Document:
    """A backup and what is in it, under ``names``."""
    blocks = [
        Line(f"{file} holds {plural(len(names), 'file')} of {competition.title}.", "good"),
        Line(
            "The images of the label book and the hidden test set are not in it: keep those folders yourself."
        ),
        Line(f"To bring it back: cldc organise restore {shlex.quote(str(file))}"),
    ]
    return Document({"file": file, "competition": competition.name, "files": names}, blocks)


def restored_document(done: Restoring, profile: str | None, *, approved: bool) -> Document:
    """What was brought back.

    Args:
        done: The files.
        profile: The restored profile in a command; None if the backup held none.
        approved: Whether this machine has approved it.
    """
    data = {
        "competition": done.competition,
        "made": done.made,
        "new": tuple(done.new),
        "replaced": tuple(done.changed),
        "same": done.same,
    }
    return Document(data, _restored_blocks(done, profile, approved))


def _restored_blocks(done: Restoring, profile: str | None, approved: bool) -> Iterator[Block]:
    yield Line(
        f"{plural(len(done.new), 'file')} of {done.competition} restored, {len(done.changed)} replaced and {done.same} left "
        f"alone: the board, rulings and roster of {done.made}.",
        "good",
    )
    yield Line("A backup holds no password, and not the folders of the label book and the hidden test set.")
    if profile is None:
        return
    if not approved:
        yield Line("Its profile names a server and is not approved on this machine.", "warning")
        yield Line(f"Next: cldc trust approve {profile}")
    yield Line(f"{'Next' if approved else 'Then'}: cldc organise score --competition {profile}")
