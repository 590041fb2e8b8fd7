"""A project's cldc.toml takes effect as far as a person approved it, and a password goes only where somebody sent it."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc.cli import cli
from cldc.errors import ConfigurationError
from cldc.settings import Options, find_project_file, resolve
from cldc.trust import Approvals, Claim, profile_claims
from tests.support.commands import SHAPES, Cldc, Outcome
from tests.support.folders import make_dataset
from tests.support.terminal import Terminal

PASSWORD = "canary-7f3e"
ACCOUNT = {"CODALAB_USERNAME": "ann", "CODALAB_PASSWORD": PASSWORD}


class Trap:
    """A server that keeps what it is sent, and refuses everything."""

    def __init__(self) -> None:
        seen = self.seen = []  # type: list[str]

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                seen.append(f"{self.path} {self.headers} {self.rfile.read(length).decode()}")
                self.send_response(401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - the name that http.server calls

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def has_the_password(self) -> bool:
        encoded = base64.b64encode(f"ann:{PASSWORD}".encode()).decode()
        return any(PASSWORD in request or encoded in request for request in self.seen)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def trap() -> Iterator[Trap]:
    opened = Trap()
    yield opened
    opened.close()


@pytest.fixture
def project(bare_cldc: Cldc, trap: Trap, tmp_path: Path) -> Path:
    """A cloned repository whose author wants the password, and programs of their own to be run."""
    folder = tmp_path / "clone"
    shutil.copytree(SHAPES, folder / "profile")
    profile = folder / "profile" / "shapes.toml"
    text = profile.read_text(encoding="utf-8")
    profile.write_text(text.replace("http://localhost:8000", trap.address), encoding="utf-8")
    for script in (folder / "evil.py", folder / "profile" / "learn.py"):
        script.write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n", encoding="utf-8")
    make_dataset(folder / "images")
    (tmp_path / "private").mkdir()
    return folder


def write(project: Path, **values: str) -> None:
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in values.items()]
    (project / "cldc.toml").write_text("".join(lines), encoding="utf-8")


def refused(outcome: Outcome) -> str:
    assert outcome.code == 4, outcome
    assert "`cldc trust`" in outcome.err
    return outcome.err


def every_command() -> list[tuple[str, ...]]:
    """Each command, with arguments that take it as far as settings."""
    given = {
        "open": ("form",),
        "withdraw": ("x",),
        "compare": ("a", "b"),
        "env remove": ("x",),
        "organise grade": (".", "--test-set", "."),
        "organise publish": ("board",),
        "sample": ("drawn",),
        "completion": ("bash",),
        "submit": ("--yes",),
        "clean": ("--yes",),
        "organise init": ("--profile", "new.toml", "--yes"),
        "watch": ("--timeout", "1"),
    }
    found: list[tuple[str, ...]] = []
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        names = [f"{name} {sub}" for sub in command.commands] if isinstance(command, click.Group) else [name]
        found += [(*full.split(), *given.get(full, ())) for full in names if name != "trust"]
    return found


@pytest.mark.parametrize("arguments", every_command(), ids=" ".join)
def test_no_command_sends_the_password_or_runs_a_program_for_a_cloned_project(
    bare_cldc: Cldc, project: Path, trap: Trap, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    write(
        project,
        server=trap.address,
        script="evil.py",
        competition="profile/shapes.toml",
        label_book=str(tmp_path / "private"),
        dataset="images",
    )
    outcome = bare_cldc(*arguments, cwd=project, code=None, **ACCOUNT)
    assert outcome.code in (0, 1, 2, 4, 13), outcome
    assert trap.seen == []
    assert not (tmp_path / "ran").exists()


def test_a_server_counts_once_it_is_approved(bare_cldc: Cldc, project: Path, trap: Trap) -> None:
    write(project, server=trap.address, dataset="images")
    message = refused(bare_cldc("whoami", cwd=project, code=4, **ACCOUNT))
    assert repr(trap.address) in message
    assert "names" not in message
    asked = bare_cldc("trust", cwd=project, code=2)
    assert trap.address in asked.err
    assert "--yes" in asked.err
    assert trap.seen == []

    done = bare_cldc("trust", "--yes", "--format", "json", cwd=project).data
    assert done["approved"]
    assert [(claim["key"], claim["value"]) for claim in done["claims"]] == [("server", trap.address)]
    bare_cldc("whoami", cwd=project, code=7, **ACCOUNT)
    assert trap.has_the_password


def test_an_approved_server_no_longer_counts_when_it_changes(
    bare_cldc: Cldc, project: Path, trap: Trap
) -> None:
    write(project, server=trap.address, dataset="images")
    bare_cldc("trust", "--yes", cwd=project)
    write(project, server=trap.address, dataset="images", name="other")
    bare_cldc("whoami", cwd=project, code=7, **ACCOUNT)
    assert trap.has_the_password
    trap.seen.clear()
    write(project, server=trap.address.replace("127.0.0.1", "localhost"), dataset="images")
    assert "has changed since you approved it" in refused(bare_cldc("whoami", cwd=project, code=4, **ACCOUNT))
    assert trap.seen == []


def test_a_server_that_the_person_names_needs_no_approval(bare_cldc: Cldc, project: Path, trap: Trap) -> None:
    write(project, server="https://elsewhere.example", dataset="images")
    bare_cldc("whoami", "--server", trap.address, cwd=project, code=7, **ACCOUNT)
    assert trap.has_the_password
    trap.seen.clear()
    bare_cldc("whoami", cwd=project, code=7, CLDC_SERVER=trap.address, **ACCOUNT)
    assert trap.has_the_password


def test_a_changed_script_or_profile_is_asked_about_again(bare_cldc: Cldc, project: Path) -> None:
    profile = project / "profile"
    (profile / "winter.toml").write_text('extends = "shapes.toml"\n', encoding="utf-8")
    write(project, script="evil.py", competition="profile/winter.toml", server="sandbox")
    changes = (
        (project / "evil.py", "\n# more"),
        (profile / "winter.toml", "\n# more"),
        (profile / "shapes.toml", "\n# more"),
        (profile / "learn.py", "\n# more"),
        (profile / "evaluate.py", "\n# more"),
    )
    for file, more in changes:
        bare_cldc("trust", "--yes", cwd=project)
        bare_cldc("preflight", "nothing", cwd=project, code=3)
        file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
        assert "has changed" in refused(bare_cldc("preflight", "nothing", cwd=project, code=4))
        # Whatever else it needs, a preflight of a good dataset gets no further.
        assert "has changed" in refused(bare_cldc("preflight", cwd=project, code=4, CLDC_DATASET="images"))


def test_checking_images_asks_for_no_more_than_it_needs(
    bare_cldc: Cldc, project: Path, tmp_path: Path
) -> None:
    write(project, server="https://evil.example", script="evil.py", dataset="images", label_book="../private")
    outcome = bare_cldc("validate", cwd=project)
    assert "The label book that" in outcome.err
    assert "cldc trust" in outcome.err
    write(project, competition="profile/shapes.toml", dataset="images")
    refused(bare_cldc("validate", cwd=project, code=4))
    # Rules are a person's choice where that person names them.
    shapes = ("--competition", project / "profile" / "shapes.toml")
    assert "learn/" in bare_cldc("validate", *shapes, cwd=project, code=3).out
    write(project, competition="demo", server="sandbox", dataset="images", name="x", institution="y")
    assert bare_cldc("validate", cwd=project).err.count("cldc trust") == 0
    # A folder that is not the project's is a person's to offer, also behind a link.
    (project / "link").symlink_to(tmp_path / "private")
    for outside in ("../private", str(tmp_path / "private"), "link"):
        write(project, dataset=outside)
        assert str(tmp_path / "private") in refused(bare_cldc("validate", cwd=project, code=4))


def test_at_a_terminal_the_person_sees_all_of_it_and_is_asked(
    bare_cldc: Cldc, project: Path, trap: Trap
) -> None:
    write(project, server=trap.address, script="evil.py")
    env = {"CLDC_HOME": str(bare_cldc.home), **ACCOUNT}
    terminal = Terminal("whoami", cwd=project, columns=300, **env)
    terminal.answer("Do you trust whoever wrote this?", "n")
    code, output = terminal.end()
    assert code == 1
    assert trap.address in output
    assert str(project / "evil.py") in output
    assert trap.seen == []
    terminal = Terminal("whoami", cwd=project, columns=300, **env)
    terminal.answer("Do you trust whoever wrote this?", "y")
    assert terminal.end()[0] == 7
    assert trap.has_the_password
    assert Terminal("whoami", cwd=project, columns=300, **env).end()[0] == 7


def test_no_value_can_hide_another_from_the_person_who_is_asked(bare_cldc: Cldc, project: Path) -> None:
    hidden = "https://evil.example"
    write(project, server=f"{hidden}\n\u001b[2J\u001b[1Gserver  https://good.example", script="evil.py")
    terminal = Terminal("trust", cwd=project, columns=300, CLDC_HOME=str(bare_cldc.home))
    terminal.answer("Do you trust whoever wrote this?", "n")
    _, output = terminal.end()
    (line,) = (line for line in output.splitlines() if "good.example" in line)
    assert hidden in line
    assert "\x1b[2J" not in output


def test_a_profile_is_the_same_by_whichever_path(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(project)
    monkeypatch.chdir(project)
    paths = (
        Path("profile/shapes.toml"),
        project / "profile" / "shapes.toml",
        tmp_path / "link/profile/shapes.toml",
    )
    approvals = Approvals(tmp_path / "home")
    for path in paths:
        approvals.approve(path, profile_claims(path))
        assert all(approvals.hold(other, profile_claims(other)) for other in paths)
    assert len(approvals.all()) == 1


def test_approvals_are_listed_revoked_and_private(bare_cldc: Cldc, project: Path) -> None:
    write(project, server="https://codalab.example")
    bare_cldc("trust", "approve", project, "--yes")
    bare_cldc("trust", "approve", project / "profile" / "shapes.toml", "--yes")
    listed = bare_cldc("trust", "list", "--format", "json").data["approvals"]
    assert [entry["path"] for entry in listed] == [
        str(project / "cldc.toml"),
        str(project / "profile" / "shapes.toml"),
    ]
    assert "https://codalab.example" in bare_cldc("trust", "list").out
    kept = bare_cldc.home / "approvals"
    if os.name != "nt":
        assert stat.S_IMODE(kept.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} == {0o600}

    shutil.rmtree(project / "profile")
    bare_cldc("trust", "revoke", project / "profile" / "shapes.toml")
    bare_cldc("trust", "revoke", cwd=project)
    assert bare_cldc("trust", "list", "--format", "json").data["approvals"] == []
    assert "is not approved" in bare_cldc("trust", "revoke", cwd=project, code=2).err
    refused(bare_cldc("whoami", cwd=project, code=4))
    assert "There is no cldc.toml" in bare_cldc("trust", cwd=project.parent, code=4).err


def test_cldc_alone_and_the_doctor_say_what_waits(bare_cldc: Cldc, project: Path) -> None:
    write(project, competition="profile/shapes.toml", server="https://evil.example", dataset="images")
    assert "Next: cldc trust" in bare_cldc(cwd=project).out
    output = bare_cldc("doctor", cwd=project).out
    assert "not approved: competition, server" in output
    assert "cldc trust" in output


# What is written for a person by cldc itself


def test_what_init_writes_is_approved_and_what_a_project_slipped_in_is_not(
    bare_cldc: Cldc, project: Path, trap: Trap
) -> None:
    write(project, competition="profile/shapes.toml", server=trap.address)
    below = project / "below"
    below.mkdir()
    bare_cldc("init", cwd=below)
    assert "shapes" not in (below / "cldc.toml").read_text(encoding="utf-8")
    bare_cldc("init", "--force", cwd=project)
    assert "shapes" not in (project / "cldc.toml").read_text(encoding="utf-8")

    shapes = ("--competition", "profile/shapes.toml")
    bare_cldc("init", "--force", *shapes, "--server", trap.address, cwd=project)
    bare_cldc("whoami", cwd=project, code=7, **ACCOUNT)
    assert trap.has_the_password


# The environment's password


def test_a_profile_alone_sends_the_environments_password_nowhere(
    bare_cldc: Cldc, project: Path, trap: Trap
) -> None:
    profile = project / "profile" / "shapes.toml"
    by_option = bare_cldc("whoami", "--competition", profile, cwd=project, code=7, **ACCOUNT)
    by_variable = bare_cldc("whoami", cwd=project, code=7, CLDC_COMPETITION=str(profile), **ACCOUNT)
    for message in (by_option.err, by_variable.err):
        assert f"was not sent to {trap.address}" in message
        assert "--server" in message
    assert trap.seen == []
    bare_cldc("whoami", "--competition", profile, "--server", trap.address, cwd=project, code=7, **ACCOUNT)
    assert trap.has_the_password
    trap.seen.clear()
    bare_cldc("trust", "approve", profile, "--yes")
    bare_cldc("whoami", "--competition", profile, cwd=project, code=7, **ACCOUNT)
    assert trap.has_the_password
    trap.seen.clear()
    profile.write_text(profile.read_text(encoding="utf-8") + "# more\n", encoding="utf-8")
    bare_cldc("whoami", "--competition", profile, cwd=project, code=7, **ACCOUNT)
    assert not trap.has_the_password


def test_the_users_own_file_is_trusted(bare_cldc: Cldc, trap: Trap) -> None:
    write(bare_cldc.home, server=trap.address)
    bare_cldc("whoami", code=7, cwd=bare_cldc.home, **ACCOUNT)
    assert trap.has_the_password


# Files of a profile


@pytest.mark.parametrize("builtin", ["../evil.py", "/etc/hostname", "a/../../evil.py", "..\\evil.py", "C:\\evil.py", ""])  # fmt: skip
def test_a_profiles_script_lies_in_its_folder(bare_cldc: Cldc, project: Path, builtin: str) -> None:
    profile = project / "profile" / "shapes.toml"
    text = profile.read_text(encoding="utf-8")
    profile.write_text(text.replace('"learn.py"\nepochs', f"{json.dumps(builtin)}\nepochs"), encoding="utf-8")
    output = bare_cldc("preflight", "images", "--competition", profile, cwd=project, code=4).err
    assert "'training.builtin'" in output
    assert repr(builtin) in output


@pytest.mark.parametrize("name", ["learn.py", "evaluate.py"])
def test_a_link_out_of_a_profiles_folder_is_followed_for_nobody(
    bare_cldc: Cldc, project: Path, name: str
) -> None:
    link = project / "profile" / name
    link.unlink()
    link.symlink_to("../evil.py")
    output = bare_cldc("sandbox", "up", "--competition", project / "profile" / "shapes.toml", code=4).err
    assert f"{name}, which leads out of its folder" in output
    assert not (bare_cldc.home / "environments").exists(), "refused before anything was made"


# Files of other users


def owned_by(monkeypatch: pytest.MonkeyPatch, *, me: int, owner: int, sudo: str = "") -> None:
    """As if this process were ``me`` and every file were ``owner``'s."""
    real = Path.stat

    def stat_of(self: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = list(real(self, follow_symlinks=follow_symlinks))
        found[stat.ST_UID] = owner
        return os.stat_result(found)

    monkeypatch.setattr(os, "geteuid", lambda: me)
    monkeypatch.setattr(Path, "stat", stat_of)
    monkeypatch.setattr(Path, "lstat", lambda self: stat_of(self, follow_symlinks=False))
    monkeypatch.setenv("SUDO_UID", sudo)


@pytest.mark.skipif(os.name == "nt", reason="no owners there")
@pytest.mark.parametrize(
    ("who", "counts"),
    [
        ({"me": 1000, "owner": 1000}, True),
        ({"me": 1000, "owner": 0}, True),
        ({"me": 1000, "owner": 1001}, False),
        ({"me": 0, "owner": 1001}, False),
        ({"me": 0, "owner": 1001, "sudo": "1001"}, True),
        ({"me": 0, "owner": 1001, "sudo": "1002"}, False),
        ({"me": 1000, "owner": 1001, "sudo": "1001"}, False),
    ],
)
def test_a_project_file_of_another_user_counts_only_once_it_is_approved(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, who: dict[str, Any], counts: bool
) -> None:
    write(tmp_path, name="theirs")
    approvals = Approvals(tmp_path / "home")

    def found() -> tuple[bool, int]:
        project, ignored = find_project_file(tmp_path, user_file=tmp_path / "none", approvals=approvals)
        return project is not None, len(ignored)

    owned_by(monkeypatch, **who)
    assert found() == (counts, 0 if counts else 1)
    approvals.approve(tmp_path / "cldc.toml", ())
    assert found() == (True, 0)
    write(tmp_path, server="https://evil.example")
    assert found() == (counts, 0 if counts else 1)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give a file away")
def test_a_foreign_file_on_the_way_up_is_ignored_and_that_is_said(bare_cldc: Cldc, project: Path) -> None:
    write(project.parent, dataset="clone/images")
    write(project, dataset="images", nonsense="x")
    os.chown(project / "cldc.toml", 12345, 12345)
    outcome = bare_cldc("validate", cwd=project)
    assert "belongs to user 12345" in outcome.err
    assert f"cldc trust approve {project / 'cldc.toml'}" in outcome.err


# The store


claims = st.lists(
    st.builds(
        Claim,
        st.sampled_from(["server", "script", "label_book"]),
        st.text(max_size=5),
        st.none() | st.text("0123456789abcdef", min_size=4, max_size=4),
    ),
    max_size=4,
    unique=True,
)


@given(before=claims, after=claims)
def test_an_approval_holds_for_exactly_what_was_approved(
    tmp_path_factory: pytest.TempPathFactory, before: list[Claim], after: list[Claim]
) -> None:
    approvals, path = Approvals(tmp_path_factory.mktemp("home")), Path("/p/cldc.toml")
    assert not approvals.hold(path, before)
    approvals.approve(path, before)
    assert approvals.hold(path, before)
    assert approvals.hold(path, after) == (set(before) == set(after))
    assert not approvals.hold(Path("/q/cldc.toml"), before)


def test_writers_at_once_lose_nothing_and_damage_approves_nothing(tmp_path: Path) -> None:
    claim = Claim("server", "https://codalab.example")

    def approve(number: int) -> None:
        Approvals(tmp_path).approve(tmp_path / str(number // 2) / "cldc.toml", (claim,))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(approve, range(64)))
    approvals = Approvals(tmp_path)
    assert len(approvals.all()) == 32
    for damaged, record in enumerate(sorted((tmp_path / "approvals").iterdir()), 1):
        for content in (b"", b"[]", b"{}", b'{"claims": [3]}', b"\xff", record.read_bytes()[:-20]):
            record.write_bytes(content)
            assert len(approvals.all()) == 32 - damaged
    assert not approvals.hold(tmp_path / "0" / "cldc.toml", (claim,))


def test_a_pipe_or_a_device_is_reported_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    write(tmp_path, script="/dev/zero", competition="pipe.toml")
    settings = resolve(
        Options(), folder=tmp_path, user_file=tmp_path / "none", approvals=Approvals(tmp_path), environment={}
    )
    assert settings.withheld("script")
    with pytest.raises(ConfigurationError, match="/dev/zero"):
        settings["script"]
