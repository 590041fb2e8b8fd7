"""Print what CHANGELOG.md says of one version: `python tools/changes.py 1.2.3`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).parents[1] / "CHANGELOG.md"


def changes(version: str, text: str) -> str:
    """The section of a version, without its heading.

    Raises:
        ValueError: There is none, or it has no date yet.
    """
    found = re.search(rf"^## {re.escape(version)} - (.+?)$\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", found[1]):
        raise ValueError(f"CHANGELOG.md needs a section '## {version} - YYYY-MM-DD'.")
    return found[2].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(changes(sys.argv[1], CHANGELOG.read_text(encoding="utf-8")))
    except ValueError as error:
        sys.exit(str(error))
