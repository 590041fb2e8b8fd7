"""Images that some students have in common and most others don't."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Set

from cldc.grading.model import SharedContent

# What more than this share of a class has was given to all of them, such as the starting dataset.
_GIVEN_SHARE = 0.5
_FEWEST_OF_A_CLASS = 4  # of fewer students, more than half are no crowd


def find_shared(contents: Mapping[str, Set[str]], given: Set[str] = frozenset()) -> tuple[SharedContent, ...]:
    """Groups of students by the images that exactly they have, those with the most images first.

    Args:
        contents: The SHA-256 of each student's images.
        given: Images that everyone was given.
    """
    owners: dict[str, list[str]] = defaultdict(list)
    for student in sorted(contents):
        for sha256 in contents[student]:
            owners[sha256].append(student)
    crowd = len(contents) * _GIVEN_SHARE if len(contents) >= _FEWEST_OF_A_CLASS else len(contents)
    counts = Counter(
        tuple(students)
        for sha256, students in owners.items()
        if len(students) > 1 and sha256 not in given and (len(students) <= crowd)
    )
    groups = [_group(students, images, contents, given) for students, images in counts.items()]
    return tuple(sorted(groups, key=lambda group: (-group.images, group.students)))


def _group(
    students: tuple[str, ...], images: int, contents: Mapping[str, Set[str]], given: Set[str]
) -> SharedContent:
    own = [len(contents[student] - given) for student in students]
    whole = len({frozenset(contents[student]) for student in students}) == 1
    return SharedContent(students, images, images / min(own), whole)
