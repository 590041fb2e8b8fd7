"""Profiles and settings: read strictly, refused clearly, each value from where it should come."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from hypothesis import Phase, given, settings

from cldc import process
from cldc.competition import (
    Bundles,
    Competition,
    Organiser,
    Reference,
)
from cldc.environments import ensure_codalab
from tests.support.odd_profiles import (
    odd_profiles,
)

# CodaLab's own checks of what a profile makes it store.
_CODALAB = """
import json, sys
from codalab.lib import spec_util
from codalab.objects.dependency import Dependency
from codalab.rest.schemas import validate_ascii
for profile in json.load(sys.stdin):
    for name in profile["names"]:
        spec_util.check_name(name)
    for text in profile["texts"]:
        validate_ascii(text)
    for key in profile["keys"]:
        assert key and Dependency.CHILD_PATH_REGEX.match(key), key
print("sound")
"""


def test_codalab_takes_every_name_path_and_command_of_any_profile_that_is_read(
    environments_home: Path,
) -> None:
    profiles_read: list[dict[str, list[str]]] = []

    @settings(deadline=None, max_examples=1000, phases=[Phase.generate])
    @given(profile=odd_profiles())
    def collect(profile: Competition | None) -> None:
        if profile is not None and profile.organiser is not None:
            bundles, side, run = profile.bundles, profile.organiser, profile.run
            names = [reference.name for table in (bundles, side) for reference in references_of(table)]
            keys = [run.predictions, bundles.script.name, bundles.label_book.name, side.evaluate.name]
            texts = [run.command, side.evaluate_command, run.image, profile.submission.tag]
            profiles_read.append({"names": [*names, run.name], "texts": texts, "keys": keys})

    collect()
    assert len(profiles_read) > 50
    done = process.run(
        [ensure_codalab(environments_home).python, "-c", _CODALAB],
        text=json.dumps(profiles_read),
        timeout_seconds=120,
    )
    assert done.stdout == "sound\n"


def references_of(table: Bundles | Organiser) -> list[Reference]:
    """The references of one table of a profile."""
    values = (getattr(table, field.name) for field in dataclasses.fields(table))
    return [value for value in values if isinstance(value, Reference)]
