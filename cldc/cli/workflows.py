"""The workflows that `cldc init --ci` writes, and where their action is taken from."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Literal

from cldc.errors import ConfigurationError
from cldc.resources import template

# What the templates name in place of the action's and the package's real home.
_UNKNOWN = "0" * 40
_PLACEHOLDER = f"cldc/cldc/.github/actions/submit@{_UNKNOWN}"
_SOURCE = f"git+https://github.com/cldc/cldc@{_UNKNOWN}"
_PLACES = {"github": Path(".github/workflows/submit.yml"), "gitlab": Path(".gitlab-ci.yml")}
# The server and the competition that the templates name.
_SERVER, _COMPETITION = '"https://worksheets.codalab.org"', '"data-centric-2021"'
_ORIGIN = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})")


def origin_of(action: str | None) -> tuple[str, str]:
    """Repository and commit that a workflow takes cldc from.

    Args:
        action: ``OWNER/REPO@COMMIT``; None takes where this cldc was installed from.

    Raises:
        ConfigurationError: That is not known, or no such reference.
    """
    found = _ORIGIN.fullmatch(action or _installed_from() or "")
    if found is None:
        problem = f"{action!r} is no such place" if action else "it is not known where this cldc came from"
        raise ConfigurationError(
            f"The workflow takes cldc from a commit of its repository, and {problem}.",
            action="Say it with --action OWNER/REPO@COMMIT, with all 40 digits of the commit.",
        )
    return found[1], found[2]


def workflow(
    ci: Literal["github", "gitlab"], origin: tuple[str, str], *, server: str, competition: str
) -> tuple[str, str]:
    """Path (with slashes) and text of a workflow whose action is pinned to a commit.

    Args:
        ci: The code host.
        origin: As `origin_of` gives it.
        server: Where the job signs in. The workflow names it, so that a change of cldc.toml sends no password elsewhere.
        competition: The profile's name, or its path from the repository's folder.
    """
    name = _PLACES[ci].name.lstrip(".") if ci == "github" else "submit.gitlab-ci.yml"
    text = template(ci, name).read_text(encoding="utf-8")
    repository, commit = origin
    # A string of JSON is one of YAML.
    text = text.replace(_SERVER, json.dumps(server)).replace(_COMPETITION, json.dumps(competition))
    text = text.replace(_PLACEHOLDER, f"{repository}/.github/actions/submit@{commit}")
    return _PLACES[ci].as_posix(), text.replace(_SOURCE, f"git+https://github.com/{repository}@{commit}")


def _installed_from() -> str | None:
    """``OWNER/REPO@COMMIT`` where pip or uv installed cldc from a commit on GitHub (PEP 610)."""
    try:
        record = importlib.metadata.distribution("cldc").read_text("direct_url.json")
        table = json.loads(record or "{}")
        place = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(\.git)?/?$", table["url"])
        return f"{place[1]}@{table['vcs_info']['commit_id']}" if place else None
    except (importlib.metadata.PackageNotFoundError, ValueError, KeyError, TypeError):
        return None
