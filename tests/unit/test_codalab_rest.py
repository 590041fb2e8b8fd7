"""Reading from a CodaLab that misbehaves, and from documents that no CodaLab sends."""

from __future__ import annotations

import io
import random
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cldc import address
from cldc.codalab import Limits, Rest, failures, fetch_text, json_api, require_ready, wait_for
from cldc.codalab.failures import NotFound, PermissionDenied, Redirected, ServerFailed
from cldc.credentials import Credentials
from cldc.errors import (
    CldcError,
    CodaLabError,
    ConfigurationError,
    CredentialsError,
    NotFinished,
    QuotaExceeded,
    RunFailed,
    StorageError,
    Unreachable,
    UsageError,
)
from cldc.files import DiskFull
from tests.support.archives import bypass
from tests.support.faults import TOKEN, Answer, FaultServer, as_json, fault_server, text

FULL_DISK = Path("/dev/full")
UUID = "0x" + "ab" * 16
ALICE = Credentials("alice", "secret-canary", "test")
USER = {
    "data": {
        "id": "7",
        "type": "users",
        "attributes": {
            "user_name": "alice",
            "disk_used": 1,
            "disk_quota": 2,
            "time_used": 3,
            "time_quota": 4,
            "parallel_run_quota": 3,
        },
    },
    "meta": {"version": "1.7.5"},
}
TOKEN_PATH, USER_PATH = "/rest/oauth2/token", "/rest/user"
BUNDLE_PATH, BLOB_PATH = f"/rest/bundles/{UUID}", f"/rest/bundles/{UUID}/contents/blob/"


def bundle_document(**attributes: Any) -> dict[str, Any]:
    """A bundle as CodaLab tells of it."""
    metadata = {"name": "b", "description": "", "tags": [], "created": 1_700_000_000}
    metadata.update(attributes.pop("metadata", {}))
    own = {"bundle_type": "run", "state": "ready", "permission": 2, "metadata": metadata, **attributes}
    return {"data": {"id": UUID, "type": "bundles", "attributes": own, "relationships": {}}}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as running:
        running.script(USER_PATH, as_json(USER))
        yield running


def rest(
    server: FaultServer, credentials: Credentials | None = ALICE, *, silence_seconds: float = 60.0
) -> Rest:
    """A client that does not wait long."""
    limits = Limits(pauses_seconds=(0.01, 0.01, 0.01), silence_seconds=silence_seconds)
    return Rest(server.address, credentials, limits=limits)


@pytest.mark.parametrize(
    "fault",
    [
        text(503, "down"),
        text(502, "<html>bad gateway</html>"),
        text(504, "slow"),
        text(429, "slower", Retry_After="0"),
        Answer(reset=True),
        Answer(body=b'{"data": {"id": "7", "typ', headers={"Content-Type": "application/json"}),
        Answer(body=b'{"data": {}, "long": true}', headers={"Content-Type": "application/json"}, cut=9),
    ],
    ids=["503", "502", "504", "429", "reset", "truncated", "cut"],
)
def test_a_transient_fault_is_retried(server: FaultServer, fault: Answer) -> None:
    server.script(USER_PATH, fault, fault, as_json(USER))
    with rest(server) as client:
        assert client.user().name == "alice"
    assert server.count(USER_PATH) == 3


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (text(503, "down"), Unreachable, "down"),
        (Answer(reset=True), Unreachable, "can't be reached"),
        (as_json("x"), CodaLabError, "Expected `object`, got `str`"),
        (
            Answer(body=b"<html><title>Hotel WLAN</title>", headers={"Content-Type": "text/html"}),
            Unreachable,
            "Hotel WLAN",
        ),
        (Answer(302, b"", {"Location": "https://elsewhere.example/"}), Redirected, "elsewhere"),
        (text(500, "Unexpected Internal Error (boom)."), ServerFailed, "boom"),
        (text(404, "Bundle not found"), NotFound, "not found"),
        (text(403, "User a does not have sufficient permissions on b"), PermissionDenied, "permissions"),
        (text(400, "Out of disk quota: 553k / 100k (553.1%)"), QuotaExceeded, "553k"),
        (text(401, "User is not verified."), CredentialsError, "not verified"),
    ],
)
def test_a_lasting_fault_is_a_designed_error(
    server: FaultServer, fault: Answer, kind: type[CldcError], says: str
) -> None:
    server.script(USER_PATH, fault)
    with rest(server) as client, pytest.raises(kind, match=says) as raised:
        client.user()
    assert type(raised.value) is kind
    assert raised.value.action.endswith(".")
    assert "secret-canary" not in f"{raised.value}{raised.value!r}"


def test_a_retry_waits_as_long_as_the_server_asks(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    date = "Fri, 01 Jan 2100 00:00:00 GMT"
    server.script(
        USER_PATH,
        text(503, "", Retry_After="3"),
        text(503, "", Retry_After=date),
        text(503, ""),
        as_json(USER),
    )
    with rest(server) as client:
        client.user()
    assert [seconds for seconds in slept if seconds > 0] == [3.0, 60.0, 0.01]


def test_a_refused_connection_is_a_designed_error(server: FaultServer) -> None:
    server.close()
    try:
        with rest(server) as client, pytest.raises(Unreachable, match="refused"):
            client.user()
    finally:
        server.close = lambda: None  # type: ignore[method-assign]


def test_a_silent_server_times_out(server: FaultServer) -> None:
    server.script(USER_PATH, Answer(delay_seconds=60))
    with rest(server, silence_seconds=0.1) as client, pytest.raises(Unreachable, match="in time"):
        client.user()


def test_a_forgotten_token_is_replaced_once(server: FaultServer) -> None:
    server.script(USER_PATH, text(401, "User is not authenticated."), as_json(USER))
    with rest(server) as client:
        assert client.user().name == "alice"
        assert server.count(TOKEN_PATH) == 2
        server.script(USER_PATH, text(401, "User is not authenticated."))
        with pytest.raises(CredentialsError, match="not authenticated"):
            client.user()
        assert server.count(TOKEN_PATH) == 3


@pytest.mark.parametrize(
    "as_everyone",
    [as_json({"data": []}), text(403, "No permissions"), text(404, "Not found")],
    ids=["none", "403", "404"],
)
def test_an_anonymous_answer_is_requested_again_after_signing_in(
    server: FaultServer, as_everyone: Answer
) -> None:
    worksheet = {
        "id": UUID,
        "type": "worksheets",
        "attributes": {"name": "mine", "uuid": UUID},
        "relationships": {},
    }
    server.script("/rest/worksheets", as_everyone, as_json({"data": [worksheet]}))
    server.script(USER_PATH, text(401, "User is not authenticated."), as_json(USER))
    with rest(server) as client:
        assert [found.name for found in client.own_worksheets("mine")] == ["mine"]
        assert server.count(TOKEN_PATH) == 2
        # The account itself, with a token that is good, has none.
        server.script("/rest/worksheets", as_everyone)
        if as_everyone.status == 200:
            assert client.own_worksheets("mine") == ()
        else:
            with pytest.raises(CodaLabError):
                client.own_worksheets("mine")
        assert server.count(TOKEN_PATH) == 2


def test_the_login_page_counts_as_a_forgotten_token(server: FaultServer) -> None:
    login = Answer(303, b"", {"Location": f"{server.address}/account/login?next=x"})
    server.script(USER_PATH, login, as_json(USER))
    with rest(server) as client:
        assert client.user().name == "alice"


def test_a_token_is_replaced_before_it_expires(server: FaultServer) -> None:
    server.script(
        TOKEN_PATH,
        as_json({**TOKEN, "expires_in": 1}),
        as_json({**TOKEN, "access_token": "t1"}),
    )
    with rest(server) as client:
        for _ in range(3):
            client.user()
    tokens = [asked.headers["Authorization"] for asked in server.asked if asked.path == USER_PATH]
    assert tokens == ["Bearer t0", "Bearer t1", "Bearer t1"]


def test_a_refused_sign_in_is_not_repeated(server: FaultServer) -> None:
    server.script(TOKEN_PATH, text(401, '{"error": "invalid_grant"}'))
    with rest(server) as client, pytest.raises(CredentialsError, match="Invalid username or password"):
        client.user()
    assert server.count(TOKEN_PATH) == 1


def test_an_anonymous_client_sends_no_token_and_ignores_netrc(server: FaultServer, tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / ".netrc").write_text("machine 127.0.0.1 login alice password secret-canary\n")
    server.script("/rest/worksheets", as_json({"data": [], "meta": {"version": "1.7.5"}}))
    with rest(server, None) as client:
        health = client.health()
        server.script("/rest/bundles", text(401, "User is not authenticated."))
        with pytest.raises(CredentialsError):
            client.search(tag="x")
    assert health.version == "1.7.5"
    assert health.clock_ahead_seconds is not None
    assert abs(health.clock_ahead_seconds) < 5
    assert all("Authorization" not in asked.headers for asked in server.asked)
    assert all(asked.headers["X-Requested-With"] == "XMLHttpRequest" for asked in server.asked)


def test_a_search_reads_all_pages_and_counts_nothing_twice(server: FaultServer) -> None:
    def page(first: int, last: int) -> Answer:
        template = bundle_document()["data"]
        return as_json({"data": [{**template, "id": f"0x{number:032x}"} for number in range(first, last)]})

    server.script("/rest/bundles", page(0, 1000), page(999, 1999), page(1998, 2005))
    with rest(server) as client:
        found = client.search(tag="some-tag", owner="alice")
    assert [int(bundle.uuid, 16) for bundle in found] == list(range(2005))
    queries = [asked.path for asked in server.asked if asked.path.startswith("/rest/bundles")]
    assert [query.count(f".offset%3D{n}") for query, n in zip(queries, (0, 1000, 2000), strict=True)] == [
        1,
        1,
        1,
    ]


def test_a_page_that_is_too_large_is_requested_in_smaller_ones(server: FaultServer) -> None:
    def page(first: int, last: int) -> Answer:
        resources = [
            bundle_document(metadata={"description": "x" * 65_535})["data"] for _ in range(first, last)
        ]
        return as_json(
            {"data": [{**one, "id": f"0x{number:032x}"} for number, one in enumerate(resources, first)]}
        )

    server.script("/rest/bundles", page(0, 300), page(0, 100), page(100, 200), page(200, 300), page(300, 300))
    with rest(server) as client:
        assert len(client.search(tag="some-tag")) == 300


def test_a_search_for_uuids_is_one_request(server: FaultServer) -> None:
    uuids = tuple(f"0x{number:032x}" for number in range(5000))
    server.script("/rest/interpret/search", as_json({"response": {"result": uuids, "is_aggregate": False}}))
    with rest(server) as client:
        assert client.search_uuids(tag="some-tag", owner="alice") == uuids
        server.script("/rest/interpret/search", as_json({"response": {"result": [{"uuid": uuids[0]}]}}))
        with pytest.raises(CodaLabError, match="can't be used"):
            client.search_uuids(tag="some-tag", owner="alice")


@pytest.mark.parametrize("value", ["a%", "a.*", "a,b", "", "a b", ".sort", ".sum"])
def test_a_search_term_cannot_be_a_pattern(server: FaultServer, value: str) -> None:
    with rest(server) as client, pytest.raises(UsageError):
        client.search(tag=value)
    assert not server.asked


def test_a_name_instead_of_a_uuid_is_refused(server: FaultServer) -> None:
    with rest(server) as client, pytest.raises(UsageError):
        client.bundle("label_book")


def test_waiting_survives_an_outage_and_does_not_trust_ready(server: FaultServer) -> None:
    server.script(
        BUNDLE_PATH,
        as_json(bundle_document(state="running", metadata={"run_status": "Running job"})),
        *[text(503, "restarting")] * 5,
        as_json(bundle_document(metadata={"exitcode": 1})),
    )
    server.script(BLOB_PATH + "stderr", text(404, "none"))
    server.script(BLOB_PATH + "stdout", Answer(body=b"epoch 1\nkilled\n"))
    with rest(server) as client:
        bundle = wait_for(client, UUID, longest_pause_seconds=0.01)
        assert bundle.final
        with pytest.raises(RunFailed, match="exit code 1") as raised:
            require_ready(client, bundle)
    assert "killed" in raised.value.message


def test_waiting_times_out(server: FaultServer) -> None:
    server.script(BUNDLE_PATH, as_json(bundle_document(state="created")))
    with rest(server) as client, pytest.raises(NotFinished, match="still created"):
        wait_for(client, UUID, timeout_seconds=0.2)


def test_a_ready_bundle_without_its_file_has_failed(server: FaultServer) -> None:
    server.script(BUNDLE_PATH, as_json(bundle_document(metadata={"exitcode": 0})))
    with rest(server) as client, pytest.raises(RunFailed, match=r"predictions\.json"):
        require_ready(client, client.bundle(UUID), ["predictions.json"])


# Changes

CREATED = {"data": [{"id": UUID, "type": "bundles", "attributes": {"uuid": UUID}}]}


@pytest.mark.parametrize(
    "fault",
    [
        text(500, "boom"),
        text(503, "down"),
        Answer(reset=True),
        Answer(body=b'{"data": [', headers={"Content-Type": "application/json"}),
        text(404, "no such worksheet"),
    ],
    ids=["500", "503", "reset", "truncated", "404"],
)
def test_creating_is_never_repeated(server: FaultServer, fault: Answer) -> None:
    server.script("/rest/bundles", fault)
    with rest(server) as client, pytest.raises(CldcError):
        client.create_dataset(UUID, "data")
    assert server.count("/rest/bundles") == 1


@pytest.mark.parametrize("fault", [text(503, "down"), Answer(reset=True)], ids=["503", "reset"])
def test_contents_are_never_sent_twice(server: FaultServer, fault: Answer) -> None:
    server.script(BLOB_PATH, fault)
    with rest(server) as client, pytest.raises(CldcError):
        client.put_contents(UUID, io.BytesIO(b"x"), filename="x", unpack=False)
    assert server.count(BLOB_PATH) == 1


def test_a_change_refused_because_of_its_token_is_sent_again(server: FaultServer) -> None:
    forgotten = text(401, "User is not authenticated.")
    server.script("/rest/bundles", forgotten, as_json(CREATED))
    server.script(BLOB_PATH, forgotten, as_json({}))
    content = random.randbytes(300_000)
    with rest(server) as client:
        assert client.create_dataset(UUID, "data") == UUID
        client.put_contents(UUID, io.BytesIO(content), filename="x", unpack=False)
    sent = [asked.body for asked in server.asked if asked.path.startswith(BLOB_PATH)]
    assert sent == [content, content]


def test_what_a_server_answers_to_a_change_that_creates_nothing_does_not_matter(server: FaultServer) -> None:
    server.script("/rest/bundles", as_json({"data": [{"type": "bundles"}]}))
    with rest(server) as client:
        client.clear_tags(UUID)
        with pytest.raises(CodaLabError, match="id"):
            client.create_dataset(UUID, "data")


# Contents


def packed(*members: tarfile.TarInfo) -> bytes:
    """A .tar.gz as CodaLab packs folders."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return content.getvalue()


def member(name: str, *, size: int = 1, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """One entry of an archive."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = (size if kind == tarfile.REGTYPE else 0), kind, link
    return info


def folder(content: bytes, **options: Any) -> Answer:
    """An answer that is a folder."""
    return Answer(
        body=content, headers={"Target-Type": "directory", "Content-Type": "application/gzip"}, **options
    )


def test_a_folder_is_unpacked_completely(server: FaultServer, tmp_path: Path) -> None:
    content = packed(member("./train/i/1.png"), member("./val/x/2.png"))
    server.script(BLOB_PATH, folder(content, cut=len(content) // 2), folder(content))
    with rest(server) as client:
        got = client.download(UUID, "", tmp_path / "out")
        assert sorted(p.name for p in got.rglob("*.png")) == ["1.png", "2.png"]
        with pytest.raises(StorageError, match="already exists"):
            client.download(UUID, "", tmp_path / "out")
        with pytest.raises(CodaLabError, match="folder"):
            client.file(UUID)
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith((".cldc", "out"))) == ["out"]


@pytest.mark.parametrize(
    "content",
    [
        packed(member("../victim")),
        packed(member("/etc/outside")),
        packed(member("link", kind=tarfile.SYMTYPE, link=".."), member("link/victim")),
        packed(member("pipe", kind=tarfile.FIFOTYPE)),
        bypass("victim"),
        b"no archive at all",
        packed(member("a", size=10_000))[:40],
    ],
    ids=["dots", "absolute", "link", "pipe", "bypass", "none", "half"],
)
def test_an_archive_that_would_write_outside_its_folder_is_refused(
    server: FaultServer, tmp_path: Path, content: bytes
) -> None:
    server.script(BLOB_PATH, folder(content))
    (tmp_path / "victim").write_text("precious")
    with rest(server) as client, pytest.raises(CodaLabError, match="was not unpacked"):
        client.download(UUID, "", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["victim"]
    assert (tmp_path / "victim").read_text() == "precious"
    assert not list(tmp_path.glob("[.o]*"))


@pytest.mark.parametrize("name", ["../../.bashrc", "best_model/../../x", "a/b", "..", "", "C:x", "a\\b"])
def test_the_name_of_a_file_in_a_bundle_cannot_be_a_path(server: FaultServer, name: str) -> None:
    inner = {"name": name, "type": "file", "size": 1}
    server.script(
        f"/rest/bundles/{UUID}/contents/info/",
        as_json({"data": {"name": UUID, "type": "directory", "size": 1, "contents": [inner]}}),
    )
    with rest(server) as client, pytest.raises(CodaLabError, match="names a file"):
        client.info(UUID, depth=1)


def test_a_file_that_exceeds_its_limit_is_refused(server: FaultServer) -> None:
    server.script(BLOB_PATH + "predictions.json", Answer(body=b"x" * 5000))
    with rest(server) as client, pytest.raises(CodaLabError, match="larger"):
        client.file(UUID, "predictions.json", limit_bytes=1000)


def test_a_published_file_is_read_through_redirects(server: FaultServer) -> None:
    server.script("/old", Answer(302, b"", {"Location": "/new"}))
    server.script("/new", text(503, ""), Answer(body="ré".encode()))
    assert fetch_text(f"{server.address}/old") == "ré"
    with pytest.raises(NotFound):
        fetch_text(f"{server.address}/gone")


def test_a_missing_list_is_not_an_empty_one(server: FaultServer) -> None:
    """A proxy that answers ``{}`` would make every submission free again."""
    server.script("/rest/bundles", as_json({}), as_json({"data": []}))
    with rest(server) as client:
        with pytest.raises(CodaLabError, match="it has no resources"):
            client.search(tag="mine")
        assert client.search(tag="mine") == ()


@pytest.mark.parametrize(
    ("target", "error"),
    [("http://192.0.2.2/plain", ConfigurationError), ("http://[x", Unreachable), ("/round", Unreachable)],
)
def test_a_redirect_to_an_address_that_would_be_refused_is_refused(
    server: FaultServer, target: str, error: type[CldcError]
) -> None:
    server.script("/round", Answer(302, b"", {"Location": target}))
    with pytest.raises(error):
        fetch_text(f"{server.address}/round")


def test_a_redirect_without_a_target_is_followed_nowhere(server: FaultServer) -> None:
    server.script("/board", Answer(302, b""))
    with pytest.raises(Unreachable, match="redirects to nowhere"):
        fetch_text(f"{server.address}/board")
    assert server.count("/board") == 1


@pytest.mark.skipif(not FULL_DISK.is_char_device(), reason="no /dev/full there")
def test_a_download_that_fills_the_disk_says_so(
    server: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file waits in a buffer, so that only closing it writes."""
    server.script(BLOB_PATH + "predictions.json", Answer(body=b"x" * 100))
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r": opened(FULL_DISK if "w" in mode else path, mode))
    with rest(server) as client, pytest.raises(DiskFull):
        client.download(UUID, "predictions.json", tmp_path / "predictions.json")
    assert list(tmp_path.iterdir()) == []


# Addresses


@pytest.mark.parametrize(
    ("given_", "checked"),
    [
        ("https://Worksheets.CodaLab.org/", "https://worksheets.codalab.org"),
        ("http://localhost:2900", "http://localhost:2900"),
        ("http://127.8.9.1:2900/", "http://127.8.9.1:2900"),
        ("http://[::1]:29", "http://[::1]:29"),
    ],
)
def test_an_address_is_normalized(given_: str, checked: str) -> None:
    assert address.check(given_) == checked


@pytest.mark.parametrize(
    "given_",
    [
        "http://worksheets.codalab.org",
        "http://10.0.0.1",
        "http://localhost.example.org",
        "ftp://localhost",
        "localhost",
        "https://",
        "https://alice:secret-canary@host",
        "https://host/rest",
        "https://host:port",
        "https://[::1",
        "",
    ],
)
def test_an_address_that_would_send_secrets_in_the_clear_or_is_none_is_refused(given_: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        address.check(given_)
    assert "secret-canary" not in str(raised.value)


# Documents

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def spoilt(value: Any, draw: Callable[..., Any]) -> Any:
    """``value`` with something somewhere in it replaced."""
    if draw(st.integers(0, 5)) == 0:
        return draw(JSON)
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: spoilt(value[key], draw)}
    if isinstance(value, list) and value:
        return [spoilt(value[0], draw), *value[1:]]
    return draw(JSON)


LINK = {"data": {"type": "users", "id": "7"}}
FULL = bundle_document(
    command="run",
    dependencies=[{"child_path": "a", "parent_uuid": UUID, "parent_path": "", "parent_name": "p"}],
    metadata={"exitcode": 0, "time": 1.5, "docker_image": "x", "run_status": "Finished"},
)
FULL["data"]["relationships"] = {
    "owner": LINK,
    "group_permissions": {"data": [{"type": "bundle-permissions", "id": "1"}]},
    "items": {"data": [{"type": "worksheet-items", "id": "1"}]},
}
FULL["included"] = [
    {"type": "users", "id": "7", "attributes": {"user_name": "alice"}},
    {"type": "bundle-permissions", "id": "1", "attributes": {"group_name": "public", "permission": 1}},
    {
        "type": "worksheet-items",
        "id": "1",
        "attributes": {"type": "bundle", "value": ""},
        "relationships": {"bundle": {"data": {"type": "bundles", "id": UUID}}},
    },
]
READERS: tuple[Callable[[json_api.JsonApiDocument], object], ...] = (
    json_api.JsonApiDocument.bundles,
    json_api.JsonApiDocument.worksheets,
    json_api.JsonApiDocument.user,
)


def test_a_full_document_is_read() -> None:
    document = json_api.convert(FULL, json_api.JsonApiDocument)
    (bundle,) = document.bundles()
    assert (bundle.owner, bundle.public_permission, bundle.exit_code) == ("alice", 1, 0)
    assert bundle.created is not None
    assert bundle.created.year == 2023
    assert bundle.failure is None
    assert document.worksheets()[0].items == (UUID,)


@given(st.data())
def test_a_corrupted_document_gives_a_record_or_a_designed_error(data: st.DataObject) -> None:
    document = spoilt(FULL, data.draw)
    for reader in READERS:
        try:
            reader(json_api.convert(document, json_api.JsonApiDocument))
        except CodaLabError as error:
            assert len(str(error)) < 500


@given(JSON)
def test_anything_gives_a_document_or_a_designed_error(value: Any) -> None:
    try:
        json_api.convert(value, json_api.JsonApiDocument)
        json_api.convert(value, json_api.ContentsInfo)
    except CodaLabError:
        pass


@given(st.text(max_size=2000), st.none() | st.integers(100, 599))
@example("x" * 2000, 400)
def test_every_refusal_has_a_designed_error(message: str, status: int | None) -> None:
    error = failures.refusal("cl run", message, status=status, server="https://host")
    assert len(error.message) < 600
    assert "\n" not in error.message
