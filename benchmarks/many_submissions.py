"""Time of `quota`, `status`, `submit`, `clean` and `organise score` on a deployed CodaLab with thousands of submissions.

    python -m benchmarks.many_submissions [--own 1000] [--others 2000] [--result FILE]

An account submits and the organiser scores it. Everything that both made is then copied in MariaDB under new names: --own times for
that account, --others times for a hundred other accounts. Each command then runs twice, first with an empty data folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from benchmarks.report import publish
from cldc import sandbox
from cldc.bundles.worksheets import worksheet_name
from cldc.sandbox import Account
from tests.support.commands import ROOT
from tests.support.contestants import contestant
from tests.support.deployed import deployed_stage, packages
from tests.support.stage import Stage

# The columns with uuids of bundles and worksheets, by table; the first is that of the row's owner.
_TABLES = {
    "bundle": ("uuid",),
    "bundle_metadata": ("bundle_uuid",),
    "bundle_dependency": ("child_uuid", "parent_uuid"),
    "group_bundle_permission": ("object_uuid",),
    "worksheet": ("uuid",),
    "worksheet_item": ("bundle_uuid", "worksheet_uuid"),
    "worksheet_tag": ("worksheet_uuid",),
    "group_object_permission": ("object_uuid",),
}
_OTHERS = 100
_NAMES = ("metadata_value", "child_path", "name", "title")


class Database:
    """The server's database; a call runs a statement."""

    def __init__(self, stage: Stage) -> None:
        config = json.loads((stage.home / "sandbox" / "codalab" / "config.json").read_text(encoding="utf-8"))
        query = parse_qs(urlsplit(config["server"]["engine_url"]).query)
        sys.path.append(str(packages(stage.environments_home)))
        driver: Any = import_module("pymysql")
        self._connection = driver.connect(
            unix_socket=query["unix_socket"][0], user="root", database="codalab", autocommit=True
        )

    def __call__(self, statement: str, *values: Any) -> Sequence[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
            return rows


def copy(database: Database, stage: Stage, account: Account, own: int, others: int) -> None:
    """Copy the account's only submission, ``mine``, and its evaluation."""
    with stage.rest(account) as rest:
        (tagged,) = rest.search(tag=stage.competition.submission.tag, owner=account.name)
        (worksheet,) = rest.own_worksheets()
    ((evaluation,),) = database(
        "SELECT bundle_uuid FROM bundle_metadata WHERE metadata_value = %s ORDER BY id DESC LIMIT 1",
        f"eval-{stage.competition.submission.tag}",
    )
    (first,) = database("SELECT MIN(id) FROM bundle WHERE owner_id = %s", tagged.owner_id)[0]
    originals = [
        worksheet.uuid,
        *(row[0] for row in database("SELECT uuid FROM bundle WHERE id >= %s", first)),
    ]
    listed = ", ".join(f"'{uuid}'" for uuid in originals)
    owner = f"IF(seq <= {own}, '{tagged.owner_id}', CONCAT('0xother', seq % {_OTHERS}))"
    person = f"IF(seq <= {own}, '{account.name}', CONCAT('other', seq % {_OTHERS}))"

    def copied(column: str) -> str:
        return f"IF({column} IN ({listed}), CONCAT('0x', MD5(CONCAT({column}, seq))), {column})"

    for table, uuids in _TABLES.items():
        columns = [row[0] for row in database(f"SHOW COLUMNS FROM `{table}`") if row[0] != "id"]
        values = []
        for column in columns:
            value = f"`{column}`"
            if column in uuids:
                value = copied(value)
            elif column == "owner_id":
                value = f"IF(owner_id = '{tagged.owner_id}', {owner}, owner_id)"
            elif column in _NAMES:
                value = f"REPLACE({value}, 'mine', CONCAT('mine-', seq))"
                value = f"REPLACE({value}, '{account.name}-mine', CONCAT({person}, '-mine'))"
                value = f"REPLACE({value}, '{tagged.owner_id}', {owner})"
                for uuid in originals:
                    value = f"REPLACE({value}, '{uuid}', CONCAT('0x', MD5(CONCAT('{uuid}', seq))))"
            values.append(value)
        names = ", ".join(f"`{column}`" for column in columns)
        database(
            f"INSERT INTO `{table}` ({names}) SELECT {', '.join(values)} "  # noqa: S608 - names of CodaLab's own
            f"FROM `{table}` JOIN seq_1_to_{own + others} WHERE `{uuids[0]}` IN ({listed})"
        )
    users = [row[0] for row in database("SHOW COLUMNS FROM user") if row[0] != "id"]
    new = {
        "user_id": "CONCAT('0xother', seq)",
        "user_name": "CONCAT('other', seq)",
        "email": "CONCAT('other', seq, '@x')",
    }
    database(
        f"INSERT INTO user ({', '.join(users)}) SELECT {', '.join(new.get(u, u) for u in users)} "  # noqa: S608
        f"FROM user JOIN seq_0_to_{_OTHERS - 1} WHERE user_id = '{tagged.owner_id}'"
    )
    _give_identities(database, stage, account, worksheet.uuid, own)
    # An evaluation without files has no score.
    (contents,) = (stage.home / "sandbox" / "codalab").rglob(evaluation)
    for number in range(1, own + others + 1):
        name = hashlib.md5(f"{evaluation}{number}".encode(), usedforsecurity=False).hexdigest()
        shutil.copytree(contents, contents.with_name(f"0x{name}"), copy_function=os.link)


def _give_identities(database: Database, stage: Stage, account: Account, worksheet: str, own: int) -> None:
    """Name the account's worksheets as cldc would have."""
    (found,) = database(
        "SELECT metadata_value FROM bundle_metadata WHERE metadata_value LIKE %s LIMIT 1", "cldc dataset %"
    )[0]
    me = contestant(stage.competition, SimpleNamespace(server=stage.address), account.name)
    for number in range(1, own + 1):
        name = f"mine-{number}"
        identity = me.submission_id(name, found.split()[2])
        database(
            "UPDATE worksheet SET name = %s WHERE uuid = CONCAT('0x', MD5(CONCAT(%s, %s)))",
            worksheet_name(account.name, name, identity),
            worksheet,
            number,
        )


def measure(stage: Stage, account: Account, work: Path) -> dict[str, dict[str, float]]:
    """Seconds of each command, with an empty data folder and again: clock, own processor time, and the server's."""
    times = {}
    roomy = stage.variant("roomy", per_window="100000", total="100000")
    student, organiser = stage.person(work / "new", account, profile=roomy), stage.organiser()
    runs: list[tuple[str, Any, tuple[str | Path, ...]]] = [
        (command, student, (command,)) for command in ("quota", "status", "leaderboard")
    ]
    runs += [("clean --dry-run", student, ("clean", "--dry-run"))]
    runs += [("submit", student, ("submit", stage.folder(work / "other", 2), "--yes", "--no-preflight"))]
    runs += [
        ("organise score", organiser, ("organise", "score")),
        ("organise score --once", organiser, ("organise", "score", "--once")),
        ("organise grades", organiser, ("organise", "grades")),
    ]
    for command, cldc, arguments in runs:
        for attempt in ("first", "again"):
            started = _clocks()
            cldc(*arguments, "--format", "json")
            spent = {name: round(now - started[name], 1) for name, now in _clocks().items()}
            times[f"{command}, {attempt}"] = spent
            print(f"{command}, {attempt}: {spent}", flush=True)
    return times


def _clocks() -> dict[str, float]:
    """Seconds by the clock, of processor time of this program and its commands, and of the server's."""
    own = os.times()
    server = [each.cpu_times() for each in psutil.Process().children(recursive=True)]
    return {
        "clock": time.perf_counter(),
        "cldc": own.user + own.system + own.children_user + own.children_system,
        "server": sum(each.user + each.system for each in server),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--own", type=int, default=1000)
    parser.add_argument("--others", type=int, default=2000)
    parser.add_argument("--result", type=Path)
    options = parser.parse_args()
    environments = Path(os.environ.get("CLDC_TEST_HOME", ROOT / ".cache" / "test-home")).absolute()
    with tempfile.TemporaryDirectory() as folder, deployed_stage(Path(folder), environments) as stage:
        account = sandbox.add_account(stage.home, "ann")
        stage.person(Path(folder) / "ann", account)(
            "submit", stage.folder(Path(folder) / "first"), "--name", "mine", "--yes", "--no-preflight"
        )
        stage.score()
        copy(Database(stage), stage, account, options.own, options.others)
        times = measure(stage, account, Path(folder))
    result = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{os.cpu_count()} processors, {platform.system()}",
        "own": options.own,
        "others": options.others,
        "seconds": times,
    }
    publish(json.dumps(result, indent=2) + "\n", options.result)


if __name__ == "__main__":
    main()
