"""The configuration and environment of CodaLab's scoring daemon."""

from __future__ import annotations

from typing import Any

from cldc import process
from cldc.address import is_loopback
from cldc.codalab.proxies import proxy_for_children
from cldc.competition import TEST_KEY, Competition, Reference
from cldc.errors import ConfigurationError
from cldc.files import private_folder
from cldc.organise.model import OrganiserTarget

_SCORED_WITH = ("log", "label_book", "test_set", "evaluate")


def references(competition: Competition) -> dict[str, Reference]:
    """Return worksheets and bundles by their keys in `PublishedCompetition.uuids`; ``data`` only with a starting dataset.

    Raises:
        ConfigurationError: The profile has no [organiser] table.
    """
    bundles, side = competition.bundles, competition.require_organiser()
    found = {
        "utils": bundles.worksheet,
        "log": side.log_worksheet,
        "script": bundles.script,
        "label_book": bundles.label_book,
        "data": bundles.starting_dataset,
        "test_set": side.test_set,
        "evaluate": side.evaluate,
    }
    return {key: reference for key, reference in found.items() if reference is not None}


def configuration(where: OrganiserTarget, competition: Competition) -> dict[str, Any]:
    """Build the configuration of CodaLab's `cl-competitiond`, without a password. The daemon itself fills in "{predict}".

    Evaluations request the image that trains, since the order of predictions depends on its TensorFlow.

    Raises:
        ConfigurationError: The profile has no [organiser] table, or lacks a uuid.
    """
    side, uuids = competition.require_organiser(), uuids_of(competition)
    tag, image = competition.submission.tag, competition.run.image
    parents = {
        side.evaluate.name: uuids["evaluate"],
        competition.run.predictions: "{predict}",
        TEST_KEY: uuids["test_set"],
    }
    return {
        "host": where.address,
        "username": where.credentials.username,
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
    """Return the profile's uuids that scoring needs: of the worksheet ``log``, ``label_book``, ``test_set`` and ``evaluate``.

    Raises:
        ConfigurationError: The profile lacks one.
    """
    known = references(competition)
    if lacking := [known[key].name for key in _SCORED_WITH if known[key].uuid is None]:
        raise ConfigurationError(
            f"The profile {competition.name} gives no uuid for {', '.join(lacking)}.",
            action="Use the profile that `cldc organise init` wrote.",
        )
    return {key: known[key].uuid or "" for key in _SCORED_WITH}


def environment(where: OrganiserTarget) -> dict[str, str]:
    """Build the daemon's environment: a folder for its session, the credentials and, unless the server is local, the proxy.

    Raises:
        StorageError: The folder can't be created.
    """
    local = is_loopback(where.address)
    network = {"no_proxy": "*", "NO_PROXY": "*"} if local else proxy_for_children()
    own = {
        "CODALAB_HOME": str(private_folder(where.folder / "codalab")),
        "CODALAB_USERNAME": where.credentials.username,
        "CODALAB_PASSWORD": where.credentials.password,
    }
    return process.clean_environment({**own, **network})
