"""Files that ship with cldc: profiles, requirements, scripts, pages."""

from __future__ import annotations

from pathlib import Path

# Inside an installed package, beside it in a checkout.
_FOLDERS = (Path(__file__).with_name("templates"), Path(__file__).parents[1] / "templates")
_TEMPLATES = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])


def template(*parts: str) -> Path:
    """A file or folder that ships with cldc, by its path below ``templates/``."""
    return _TEMPLATES.joinpath(*parts)
