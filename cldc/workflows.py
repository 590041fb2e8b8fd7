"""The workflows that `cldc init --ci` writes, and the source of their action."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Literal

from cldc.errors import ConfigurationError
from cldc.resources import template

# The templates' placeholders for the address of the action and of the package.
_UNKNOWN = "0" * 40
_PLACEHOLDER = f"cldc/cldc/.github/actions/submit@{_UNKNOWN}"
_SOURCE = f"git+https://github.com/cldc/cldc@{_UNKNOWN}"
_GITHUB = re.compile(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?/?$")
Host = Literal["github", "gitlab", "classroom"]
# Each template's path, and its copy's destination.
_PLACES: dict[Host, tuple[Path, Path]] = {
    "github": (Path("github/submit.yml"), Path(".github/workflows/submit.yml")),
    "gitlab": (Path("gitlab/submit.gitlab-ci.yml"), Path(".gitlab-ci.yml")),
    "classroom": (Path("github/classroom.yml"), Path(".github/workflows/check.yml")),
}
# The server and the competition that the templates name.
_SERVER, _COMPETITION = '"https://worksheets.codalab.org"', '"data-centric-2021"'
_ORIGIN = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40}|v\d+\.\d+\.\d+)")


def origin_of(action: str | None) -> tuple[str, str]:
    """Find the repository, and the commit or release, that a workflow takes cldc from.

    Args:
        action: ``OWNER/REPO@COMMIT`` or ``OWNER/REPO@vX.Y.Z``; None takes where this cldc was installed from.

    Raises:
        ConfigurationError: It is not known, or not such a reference.
    """
    found = _ORIGIN.fullmatch(action or _installed_from() or "")
    if found is None:
        problem = f"{action!r} is neither" if action else "it is not known where this cldc came from"
        raise ConfigurationError(
            f"The workflow takes cldc from a commit or a release of its repository, and {problem}.",
            action="Name it with --action OWNER/REPO@vX.Y.Z, or OWNER/REPO@COMMIT with all 40 digits.",
        )
    return found[1], found[2]


def workflow(ci: Host, origin: tuple[str, str], *, server: str, competition: str) -> tuple[str, str]:
    """Return path (with slashes) and text of a workflow whose action is pinned to a commit or a release.

    Args:
        ci: The code host; ``classroom`` is GitHub with a workflow that checks and submits nothing.
        origin: The result of `origin_of`.
        server: The server to sign in to. The workflow names it, so that a change of cldc.toml sends no password elsewhere.
        competition: The profile's name, or its path from the repository's folder.
    """
    source, target = _PLACES[ci]
    text = template(*source.parts).read_text(encoding="utf-8")
    repository, pin = origin
    # A string of JSON is one of YAML.
    text = text.replace(_SERVER, json.dumps(server)).replace(_COMPETITION, json.dumps(competition))
    text = text.replace(_PLACEHOLDER, f"{repository}/.github/actions/submit@{pin}")
    return target.as_posix(), text.replace(_SOURCE, f"git+https://github.com/{repository}@{pin}")


def _installed_from() -> str | None:
    """Return ``OWNER/REPO@COMMIT`` if installed from GitHub (PEP 610), ``OWNER/REPO@vX.Y.Z`` of a release, or None."""
    try:
        distribution = importlib.metadata.distribution("cldc")
        record = distribution.read_text("direct_url.json")
        if record is None:  # from a package index, which has releases only
            place = _GITHUB.search(distribution.metadata["Project-URL"].partition(", ")[2])
            return f"{place[1]}@v{distribution.version}" if place else None
        table = json.loads(record)
        place = _GITHUB.search(table["url"])
        return f"{place[1]}@{table['vcs_info']['commit_id']}" if place else None
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return None
