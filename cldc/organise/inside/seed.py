"""Puts a competition on a CodaLab as its organiser: worksheets, bundles, permissions, the daemon's configuration.

    CODALAB_USERNAME=... CODALAB_PASSWORD=... python seed.py ADDRESS PLAN RESULT

PLAN and RESULT are JSON files; see `seed` for what is in them. Works on any CodaLab: where a server does not take a
wanted uuid it gives its own. Run again, it keeps what is there and right. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import zipfile
from typing import Any, Callable, Iterator

if (
    __name__ == "__main__" and not __package__
):  # started by path: make this folder the package it is (PEP 366)
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    del sys.path[0]
    __package__ = "inside"
    __import__(__package__)

from .rest import Query, Rest, RestError, prepare

Say = Callable[[str], None]
_NO_ACCESS, _READ = 0, 1


class Refused(Exception):
    """The server holds something else than the plan says, and nothing may be overwritten."""


def main() -> int:
    """Run the program; progress is one line of JSON for each step on standard output."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("address")
    parser.add_argument("plan")
    parser.add_argument("result")
    options = parser.parse_args()
    with open(options.plan, encoding="utf-8") as file:
        plan = json.load(file)
    prepare()
    rest = Rest(options.address, os.environ["CODALAB_USERNAME"], os.environ["CODALAB_PASSWORD"])
    try:
        result = seed(rest, plan, lambda text: print(json.dumps({"step": text}), flush=True))
    except (Refused, RestError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    with open(options.result + ".new", "w", encoding="utf-8") as file:
        json.dump(result, file, indent=2)
    os.replace(options.result + ".new", options.result)
    return 0


def seed(rest: Rest, plan: dict[str, Any], say: Say = lambda _text: None) -> dict[str, Any]:
    """Make the server hold what the plan says.

    The plan:
        worksheets: ``[{key, name, uuid or null, public}]``
        bundles: ``[{key, worksheet (a key), name, uuid or null, path, top or null, public, description}]``; a folder
            is uploaded with ``top`` as its one folder, a file as it is
        replace: whether a bundle with other contents is removed and made anew (else `Refused`)
        daemon: the scoring daemon's configuration, where ``"@KEY"`` stands for a bundle's or worksheet's uuid

    Returns ``{worksheets: {key: uuid}, bundles: {key: uuid}, created: [key], daemon: {...}}``.

    Raises:
        Refused: A bundle of that uuid or name has other contents, or another owner.
        RestError: The server refused.
    """
    organiser = _Organiser(rest, replace=bool(plan.get("replace")))
    worksheets: dict[str, str] = {}
    for wanted in plan["worksheets"]:
        say("worksheet " + wanted["name"])
        worksheets[wanted["key"]] = organiser.worksheet(wanted)
    bundles: dict[str, str] = {}
    for wanted in plan["bundles"]:
        say(wanted["name"])
        bundles[wanted["key"]] = organiser.bundle(wanted, worksheets[wanted["worksheet"]])
    for uuid in worksheets.values():
        # New items have no sort key until someone with full rights has read them once; nobody else can until then.
        rest.get(f"/worksheets/{uuid}", {"include": "items,items.bundle"})
    daemon = _fill(plan["daemon"], {**worksheets, **bundles})
    return {"worksheets": worksheets, "bundles": bundles, "created": organiser.created, "daemon": daemon}


class _Organiser:
    """An account at work, and what it has made so far."""

    def __init__(self, rest: Rest, *, replace: bool) -> None:
        self._rest, self._replace = rest, replace
        self._me = rest.get("/user")["data"]["id"]
        self._public = rest.get("/groups/public")["data"]["id"]
        self.created: list[str] = []

    def worksheet(self, wanted: dict[str, Any]) -> str:
        """The worksheet's uuid, made if it is not there."""
        found = self._get("/worksheets/" + wanted["uuid"]) if wanted.get("uuid") else None
        found = found or self._get("/worksheets", {"specs": wanted["name"]})
        if found is None:
            attributes = {key: wanted[key] for key in ("name", "uuid") if wanted.get(key)}
            found = self._rest.post("/worksheets", "worksheets", attributes)
            self.created.append(wanted["key"])
        else:
            self._check_mine(found, wanted)
        self._share("worksheet", found["id"], wanted["public"])
        return str(found["id"])

    def bundle(self, wanted: dict[str, Any], worksheet: str) -> str:
        """The bundle's uuid, uploaded if it is not there or not right."""
        digest = contents_digest(wanted["path"], wanted.get("top"))
        if wanted.get("uuid"):
            found = self._get("/bundles/" + wanted["uuid"])
        else:
            found = self._alike(wanted["name"], digest, worksheet)
        if found is not None and not self._is_right(found, wanted, digest):
            self._rest.delete("bundles", [found["id"]], {"force": 1})
            found = None
        if found is None:
            found = {"id": self._upload(wanted, worksheet, digest)}
            self.created.append(wanted["key"])
        self._share("bundle", found["id"], wanted["public"])
        return str(found["id"])

    def _get(self, path: str, query: Query = ()) -> dict[str, Any] | None:
        """The resource, or the first of a list; None where there is none."""
        try:
            data = self._rest.get(path, query)["data"]
        except RestError as error:
            if error.status == 404:
                return None
            raise
        first: dict[str, Any] = data if isinstance(data, dict) else data[0]
        return first

    def _alike(self, name: str, digest: str, worksheet: str) -> dict[str, Any] | None:
        """A bundle of mine on the worksheet with that name and these contents."""
        answer = self._rest.get("/worksheets/" + worksheet, {"include": "items,items.bundle"})
        for one in answer.get("included", []):
            if (
                one["type"] == "bundles"
                and one["attributes"]["metadata"]["name"] == name
                and one["attributes"]["state"] == "ready"
                and digest in one["attributes"]["metadata"].get("description", "")
                and _owner(one) == self._me
            ):
                found: dict[str, Any] = one
                return found
        return None

    def _is_right(self, found: dict[str, Any], wanted: dict[str, Any], digest: str) -> bool:
        """Whether the bundle holds what is wanted; what was never finished may be removed, else see ``replace``."""
        self._check_mine(found, wanted)
        ready = found["attributes"]["state"] == "ready"
        if ready and digest in found["attributes"]["metadata"].get("description", ""):
            return True
        if ready and not self._replace:
            raise Refused(
                f"{wanted['name']} ({found['id']}) is on the server with other contents; --replace makes a new one"
            )
        return False

    def _check_mine(self, found: dict[str, Any], wanted: dict[str, Any]) -> None:
        if _owner(found) != self._me:
            raise Refused(f"{wanted['name']} ({found['id']}) belongs to someone else")

    def _upload(self, wanted: dict[str, Any], worksheet: str, digest: str) -> str:
        metadata = {
            "name": wanted["name"],
            "description": f"{wanted['description']} ({digest})",
            "tags": [],
            "license": "",
            "source_url": "",
        }
        attributes = {"bundle_type": "dataset", "metadata": metadata}
        if wanted.get("uuid"):
            attributes["uuid"] = wanted["uuid"]
        query = {"worksheet": worksheet, "wait_for_upload": 1}
        uuid = str(self._rest.post("/bundles", "bundles", attributes, query)["id"])
        folder = os.path.isdir(wanted["path"])
        how = {
            "filename": "contents.zip" if folder else wanted["name"],
            "unpack": int(folder),
            "state_on_success": "ready",
            "finalize_on_success": 1,
            "finalize_on_failure": 1,
        }
        with tempfile.TemporaryFile() as packed:
            if folder:
                _pack(wanted["path"], wanted["top"], packed)
            else:
                with open(wanted["path"], "rb") as file:
                    packed.write(file.read())
            size = packed.tell()
            packed.seek(0)
            self._rest.put_file(f"/bundles/{uuid}/contents/blob/", how, packed, size)
        return uuid

    def _share(self, kind: str, uuid: str, wanted: bool) -> None:
        """Let everybody read it, or nobody else."""
        self._rest.post(
            f"/{kind}-permissions",
            f"{kind}-permissions",
            {"permission": _READ if wanted else _NO_ACCESS},
            links={"group": ("groups", self._public), kind: (kind + "s", uuid)},
        )


def _owner(resource: dict[str, Any]) -> str:
    return str(resource["relationships"]["owner"]["data"]["id"])


def _files(folder: str) -> Iterator[tuple[str, str]]:
    """Each file below as (name with slashes, path), in a fixed order."""
    for current, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(current, name)
            yield os.path.relpath(path, folder).replace(os.sep, "/"), path


def contents_digest(path: str, top: str | None) -> str:
    """What says whether a bundle holds these contents: ``sha256:`` over names and bytes."""
    total = hashlib.sha256((top or "").encode())
    for name, file in _files(path) if os.path.isdir(path) else [("", path)]:
        with open(file, "rb") as content:
            total.update(name.encode() + b"\0" + hashlib.sha256(content.read()).digest())
    return "sha256:" + total.hexdigest()


def _pack(folder: str, top: str, target: Any) -> None:
    """Zip ``folder`` with ``top`` as its one folder. Stored: images are compressed already, and it does not travel far."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name, path in _files(folder):
            entry = zipfile.ZipInfo(f"{top}/{name}", date_time=(2021, 6, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            with open(path, "rb") as content:
                archive.writestr(entry, content.read())


def _fill(value: Any, uuids: dict[str, str]) -> Any:
    """``value`` with each ``"@KEY"`` replaced by that uuid."""
    if isinstance(value, dict):
        return {key: _fill(part, uuids) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, uuids) for part in value]
    if isinstance(value, str) and value.startswith("@"):
        return uuids[value[1:]]
    return value


if __name__ == "__main__":
    sys.exit(main())
