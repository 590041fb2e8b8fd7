"""The claims of a project file or a profile, as people see them before they approve it."""

from __future__ import annotations

from collections.abc import Sequence

from cldc.render.document import Block, Line, Table, moment
from cldc.trust import Approval, Claim

_SERVER, _RUN, _READ = "gets your user name and password", "is run on this machine", "is read"
_EFFECTS = {
    "server": _SERVER,
    "script": _RUN,
    "label_book": _READ,
    "dataset": "is read, and published when you submit it; it lies outside the project",
    "competition": "is the competition's profile",
    "competition: extends": "is what the profile extends",
    "competition: server": _SERVER,
    "competition: run.command": _RUN,
    "competition: training.builtin": _RUN,
    "competition: organiser.evaluate_command": "is run on a sandbox of this machine",
    "competition: organiser.evaluate": "is run on a sandbox of this machine",
}
_DIGITS = 12


def claims_blocks(claims: Sequence[Claim], previous: Approval | None) -> list[Block]:
    """Show the claims in full; new or changed ones are marked."""
    before = set(previous.claims) if previous else set()
    rows = [
        (
            claim.key,
            claim.value + (f" (sha256 {claim.sha256[:_DIGITS]})" if claim.sha256 else ""),
            _EFFECTS[claim.key]
            + ("; changed since you approved it" if previous and claim not in before else ""),
        )
        for claim in claims
    ]
    return [Table(("setting", "value", "what happens with it"), rows)] if rows else []


def approvals_blocks(approvals: Sequence[Approval]) -> list[Block]:
    """Show every approval with what it covers."""
    if not approvals:
        return [Line("Nothing is approved on this machine.")]
    blocks: list[Block] = []
    for approval in approvals:
        blocks.append(Line(f"{approval.path}, approved {moment(approval.approved)}", "title"))
        blocks += claims_blocks(approval.claims, None)
    return blocks
