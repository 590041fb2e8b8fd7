"""Recipes of environments, ready environments, and the marker of a ready one."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from cldc.files import hash_bytes
from cldc.resources import template

Kind = Literal["codalab", "tensorflow", "analysis"]

MARKER = "ready.json"
# Raised when environments created by an older cldc can no longer be used.
_FORM = 1


@dataclass(frozen=True, slots=True)
class Recipe:
    """The version, Python and requirements of an environment.

    Attributes:
        kind: What it is for.
        version: Version of CodaLab or TensorFlow.
        python: Its Python, as major.minor.
        requirements: The locked requirements.
        faithful: Whether the competition's own script trains in it what it trained in the competition.
        why: What this version means for the result.
    """

    kind: Kind
    version: str
    python: str
    requirements: Path
    faithful: bool = True
    why: str = ""

    @property
    def name(self) -> str:
        """The displayed name, as ``tensorflow-2.4.1-py38``."""
        return f"{self.kind}-{self.version}-py{self.python.replace('.', '')}"

    @property
    def id(self) -> str:
        """The name and a hash of all that the environment is created from."""
        made_from = (str(_FORM), self.python, self.requirements.read_text(), build_requirements().read_text())
        return f"{self.name}-{hash_bytes(chr(0).join(made_from))[:12]}"


@dataclass(frozen=True, slots=True)
class Environment:
    """A ready environment.

    Attributes:
        path: Its folder.
        version, faithful, why: As in its recipe.
        python_version: Its Python's full version.
        interpreter: The Python that it is based on.
        made: When it was created.
    """

    path: Path
    version: str
    python_version: str
    interpreter: Path
    made: datetime
    faithful: bool = True
    why: str = ""

    @property
    def id(self) -> str:
        """The recipe's id; equal ids mean equal packages."""
        return self.path.name

    @property
    def name(self) -> str:
        """The displayed name, as ``tensorflow-2.4.1-py38``."""
        return self.id.rpartition("-")[0]

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return self.path / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        """Its Python."""
        return self.bin / ("python.exe" if os.name == "nt" else "python")


def environments_folder(home: Path) -> Path:
    """Return the folder of the environments in ``home``, with links resolved, since an environment works in one place only."""
    return (home / "environments").resolve()


def build_requirements() -> Path:
    """Return the locked requirements for building packages that have no wheel."""
    return template("environments", "build.txt")


def write_marker(environment: Environment) -> str:
    """Write the content of a ready environment's marker."""
    return json.dumps(
        {
            "id": environment.id,
            "path": str(environment.path),
            "version": environment.version,
            "python_version": environment.python_version,
            "interpreter": str(environment.interpreter),
            "made": environment.made.isoformat(),
        },
        indent=2,
    )


def read_marker(folder: Path, recipe: Recipe | None = None) -> Environment | None:
    """Read the environment in a folder; None if it is not ready, its Python is gone, or the folder was moved."""
    try:
        marker = json.loads((folder / MARKER).read_text())
        environment = Environment(
            path=folder,
            version=marker["version"],
            python_version=marker["python_version"],
            interpreter=Path(marker["interpreter"]),
            made=datetime.fromisoformat(marker["made"]),
            faithful=recipe.faithful if recipe else True,
            why=recipe.why if recipe else "",
        )
        # Scripts and configuration in an environment hold its absolute path, so it works in its own place only.
        in_place = (marker["id"], marker["path"]) == (environment.id, str(folder))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return environment if in_place and environment.python.exists() else None
