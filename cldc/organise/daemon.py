"""The configuration and environment of CodaLab's scoring daemon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cldc import process
from cldc.address import is_loopback
from cldc.codalab.proxies import proxy_for_children
from cldc.competition.profile_checks import TEST_KEY
from cldc.errors import ConfigurationError

if TYPE_CHECKING:
    from cldc.competition import Competition, Organiser, Reference
    from cldc.credentials import Credentials


def organiser_of(competition: Competition) -> Organiser:
    """The profile's [organiser] table.

    Raises:
        ConfigurationError: It has none.
    """
    if competition.organiser is None:
        raise ConfigurationError(
            f"The profile {competition.name} has no [organiser] table, which scoring needs.",
            action="Add one, as in the profile data-centric-2021.",
        )
    return competition.organiser


def configuration(
    address: str, username: str, competition: Competition, uuids: Mapping[str, str]
) -> dict[str, Any]:
    """Configuration of CodaLab's `cl-competitiond`, without a password. The daemon itself fills in "{predict}".

    Evaluations request the image that trains, since the order of predictions depends on its TensorFlow.

    Args:
        uuids: Of ``log`` (the worksheet), ``label_book``, ``test_set`` and ``evaluate``.

    Raises:
        ConfigurationError: The profile has no organiser's side.
    """
    side = organiser_of(competition)
    tag, image = competition.submission.tag, competition.run.image
    parents = {
        side.evaluate.name: uuids["evaluate"],
        competition.run.predictions: "{predict}",
        TEST_KEY: uuids["test_set"],
    }
    return {
        "host": address,
        "username": username,
        "submission_tag": tag,
        "log_worksheet_uuid": uuids["log"],
        "max_submissions_per_period": side.per_window,
        "max_submissions_total": side.total,
        "quota_period_seconds": side.window_seconds,
        "allow_multiple_models": competition.submission.supersedes == "name",
        "make_predictions_public": False,
        "predict": {
            "tag": f"predict-{tag}",
            "mimic": [{"old": uuids["label_book"], "new": uuids["test_set"]}],
        },
        "evaluate": {
            "tag": f"eval-{tag}",
            "command": side.evaluate_command.format(predictions=competition.run.predictions),
            "dependencies": [{"child_path": key, "parent_uuid": parent} for key, parent in parents.items()],
            "metadata": {"request_docker_image": image},
        },
        "score_specs": [{"name": side.score.name, "key": side.score.path}],
        "metadata": {"name": competition.title},
    }


def uuids_of(competition: Competition) -> dict[str, str]:
    """The uuids that `configuration` needs, from the profile.

    Raises:
        ConfigurationError: The profile lacks one.
    """
    side = organiser_of(competition)
    references: dict[str, Reference] = {
        "log": side.log_worksheet,
        "label_book": competition.bundles.label_book,
        "test_set": side.test_set,
        "evaluate": side.evaluate,
    }
    found = {key: reference.uuid for key, reference in references.items() if reference.uuid is not None}
    if lacking := [reference.name for key, reference in references.items() if key not in found]:
        raise ConfigurationError(
            f"The profile {competition.name} gives no uuid for {', '.join(lacking)}.",
            action="Use the profile that `cldc organise init` wrote.",
        )
    return found


def environment(
    address: str, organiser: Credentials, extra: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Environment of a program that acts as the organiser: the credentials, and no proxy on the way to this machine."""
    local = is_loopback(urlsplit(address).hostname or "")
    network = {"no_proxy": "*", "NO_PROXY": "*"} if local else proxy_for_children()
    credentials = {"CODALAB_USERNAME": organiser.username, "CODALAB_PASSWORD": organiser.password}
    return process.clean_environment({**credentials, **network, **(extra or {})})
