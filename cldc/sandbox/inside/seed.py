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
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

if __name__ == "__main__" and not __package__:  # started by path: make this folder the package it is (PEP 366)
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    del sys.path[0]
    __package__ = "inside"
    __import__(__package__)

from .home import write_json
from .rest import Rest, RestError

Say = Callable[[str], None]
_NO_ACCESS, _READ = 0, 1


class Refused(Exception):
    """The server holds something else than the plan says, and nothing may be overwritten."""


def main() -> int:
    """Run the program; progress is one line of JSON for each step on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("plan")
    parser.add_argument("result")
    options = parser.parse_args()
    with open(options.plan, encoding="utf-8") as file:
        plan = json.load(file)
    rest = Rest(options.address, os.environ["CODALAB_USERNAME"], os.environ["CODALAB_PASSWORD"])
    try:
        result = seed(rest, plan, lambda text: print(json.dumps({"step": text}), flush=True))
    except (Refused, RestError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    write_json(options.result, result)
    return 0


def seed(rest: Rest, plan: Dict[str, Any], say: Say = lambda _text: None) -> Dict[str, Any]:
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
    me = rest.get("/user")["data"]
    public = rest.get("/groups/public")["data"]["id"]
    created: List[str] = []
    worksheets: Dict[str, str] = {}
    for wanted in plan["worksheets"]:
        say("worksheet " + wanted["name"])
        worksheets[wanted["key"]] = _worksheet(rest, wanted, me["id"], public, created)
    bundles: Dict[str, str] = {}
    for wanted in plan["bundles"]:
        say(wanted["name"])
        place = worksheets[wanted["worksheet"]]
        bundles[wanted["key"]] = _bundle(rest, wanted, place, me["id"], public, bool(plan.get("replace")), created)
    for uuid in worksheets.values():
        # New items have no sort key until someone with full rights has read them once, and nobody else can until then.
        rest.get(f"/worksheets/{uuid}", {"include": "items,items.bundle"})
    daemon = _fill(plan["daemon"], {**worksheets, **bundles})
    return {"worksheets": worksheets, "bundles": bundles, "created": created, "daemon": daemon}


def _worksheet(rest: Rest, wanted: Dict[str, Any], me: str, public: str, created: List[str]) -> str:
    """The worksheet's uuid, made if it is not there."""
    found = _find_worksheet(rest, wanted)
    if found is None:
        attributes = {"name": wanted["name"]}
        if wanted.get("uuid"):
            attributes["uuid"] = wanted["uuid"]
        found = rest.post("/worksheets", "worksheets", attributes)["id"]
        created.append(wanted["key"])
    else:
        owner = rest.get(f"/worksheets/{found}")["data"]["relationships"]["owner"]["data"]["id"]
        if owner != me:
            raise Refused(f"the worksheet {wanted['name']} belongs to someone else")
    permission = _READ if wanted["public"] else _NO_ACCESS
    rest.post(
        "/worksheet-permissions",
        "worksheet-permissions",
        {"permission": permission},
        group=("groups", public),
        worksheet=("worksheets", found),
    )
    return str(found)


def _find_worksheet(rest: Rest, wanted: Dict[str, Any]) -> Optional[str]:
    """The worksheet of that uuid, else of that name."""
    ways: List[Tuple[str, Dict[str, Any]]] = [("/worksheets", {"specs": wanted["name"]})]
    if wanted.get("uuid"):
        ways.insert(0, ("/worksheets/" + wanted["uuid"], {}))
    for path, query in ways:
        try:
            data = rest.get(path, query)["data"]
        except RestError as error:
            if error.status == 404:
                continue
            raise
        return str(data["id"] if isinstance(data, dict) else data[0]["id"])
    return None


def _bundle(
    rest: Rest, wanted: Dict[str, Any], worksheet: str, me: str, public: str, replace: bool, created: List[str]
) -> str:
    """The bundle's uuid, uploaded if it is not there or not right."""
    digest = contents_digest(wanted["path"], wanted.get("top"))
    found = _find(rest, wanted, worksheet)
    if found is not None:
        uuid, owner, right = found["id"], found["relationships"]["owner"]["data"]["id"], _is_right(found, digest)
        if owner != me:
            raise Refused(f"the bundle {wanted['name']} ({uuid}) belongs to someone else")
        if right:
            _share(rest, uuid, wanted["public"], public)
            return str(uuid)
        if found["attributes"]["state"] == "ready" and not replace:
            raise Refused(f"the bundle {wanted['name']} ({uuid}) is on the server with other contents")
        rest.delete("bundles", [uuid], {"force": 1})
    uuid = _upload(rest, wanted, worksheet, digest)
    created.append(wanted["key"])
    _share(rest, uuid, wanted["public"], public)
    return uuid


def _find(rest: Rest, wanted: Dict[str, Any], worksheet: str) -> Optional[Dict[str, Any]]:
    """The bundle of that uuid, else the last of that name on the worksheet."""
    where: Tuple[str, Dict[str, Any]] = ("/bundles", {"worksheet": worksheet, "specs": wanted["name"]})
    if wanted.get("uuid"):
        where = ("/bundles/" + wanted["uuid"], {})
    try:
        data = rest.get(where[0], {**where[1], "include": "owner"})["data"]
    except RestError as error:
        if error.status == 404:
            return None
        raise
    bundle: Dict[str, Any] = data if isinstance(data, dict) else data[0]
    return bundle


def _is_right(bundle: Dict[str, Any], digest: str) -> bool:
    return bundle["attributes"]["state"] == "ready" and digest in bundle["attributes"]["metadata"]["description"]


def _upload(rest: Rest, wanted: Dict[str, Any], worksheet: str, digest: str) -> str:
    attributes = {
        "bundle_type": "dataset",
        "metadata": {
            "name": wanted["name"],
            "description": f"{wanted['description']} ({digest})",
            "tags": [],
            "license": "",
            "source_url": "",
        },
    }
    if wanted.get("uuid"):
        attributes["uuid"] = wanted["uuid"]
    query = {"worksheet": worksheet, "wait_for_upload": 1}
    uuid = str(rest.post("/bundles", "bundles", attributes, query)["id"])
    folder = os.path.isdir(wanted["path"])
    with tempfile.TemporaryFile() as packed:
        if folder:
            _pack(wanted["path"], wanted["top"], packed)
        else:
            with open(wanted["path"], "rb") as file:
                packed.write(file.read())
        size = packed.tell()
        packed.seek(0)
        rest.put_file(
            f"/bundles/{uuid}/contents/blob/",
            {
                "filename": "contents.zip" if folder else wanted["name"],
                "unpack": int(folder),
                "state_on_success": "ready",
                "finalize_on_success": 1,
                "finalize_on_failure": 1,
            },
            packed,
            size,
        )
    return uuid


def _share(rest: Rest, uuid: str, wanted: bool, public: str) -> None:
    rest.post(
        "/bundle-permissions",
        "bundle-permissions",
        {"permission": _READ if wanted else _NO_ACCESS},
        group=("groups", public),
        bundle=("bundles", uuid),
    )


def _files(folder: str) -> "Iterator[Tuple[str, str]]":
    """Each file below as (name with slashes, path), in a fixed order."""
    for current, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(current, name)
            yield os.path.relpath(path, folder).replace(os.sep, "/"), path


def contents_digest(path: str, top: Optional[str]) -> str:
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


def _fill(value: Any, uuids: Dict[str, str]) -> Any:
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
