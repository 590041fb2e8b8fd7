"""A sandbox for tests of submitting: one for all of them, with a training that takes a moment, and an account each."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cldc import process, sandbox
from cldc.codalab import Bundle, CodaLab, Rest
from cldc.competition import Competition, load
from cldc.credentials import Credentials
from cldc.environments import ensure_codalab
from cldc.sandbox import Account
from tests.support.commands import ROOT, SHAPES, Cldc, cldc_in

# Says "o" to everything, without any library, and talks like Keras; fails while there is a file SWITCH, waits after
# its first epoch while there is a file HOLD, prints an accuracy that is not its own while there is a file BOAST, and does
# not find what the file LOSE names in the dataset, as often as that says.
SCRIPT = """
import json, os, sys, time
dataset, book = sys.argv[1:]
print("learning from", sorted(os.listdir(os.path.join(dataset, dataset))))
if os.path.exists("SWITCH"):
    sys.exit("no patience with " + dataset)
if os.path.exists("LOSE"):
    with open("LOSE") as file:
        left, name = file.read().split()
    with open("LOSE", "w") as file:
        file.write("{} {}".format(int(left) - 1, name))
    if int(left) > 0:
        missed = FileNotFoundError(2, "No such file or directory", os.path.join(dataset, dataset, name))
        sys.exit("FileNotFoundError: {}".format(missed))
images = [f for _, _, files in os.walk(os.path.join(book, book)) for f in files if f.lower().endswith(".png")]
for number in range(1, 5):
    print("Epoch {}/4".format(number))
    print("9/9 [===] - 0s 1ms/step - loss: 1.4 - accuracy: 0.25 - val_loss: 1.4 - val_accuracy: 0.25", flush=True)
    while os.path.exists("HOLD"):
        time.sleep(0.1)
print("final loss 1.4, final acc 0.25\\ntest loss 1.4, test acc", 0.75 if os.path.exists("BOAST") else 0.25)
with open("predicted.json", "w") as file:
    json.dump([0] * len(images), file)
"""


@dataclass
class Stage:
    """A server, its profile, and what tests need from both.

    Attributes:
        home: The sandbox's data folder; a deployed server has its own files where the sandbox would have them.
        profile: The profile of its competition, with room for many submissions.
        address: Where it answers.
        published: Where a deployed server's board is published; the sandbox's is read from its files.
    """

    home: Path
    profile: Path
    address: str
    environments_home: Path
    dataset: Path
    published: Path | None = None
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def failing(self) -> contextlib.AbstractContextManager[None]:
        """Every run fails until the end of the block."""
        return self._with("fail")

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Every run waits after its first epoch until the end of the block."""
        return self._with("hold")

    def boasting(self) -> contextlib.AbstractContextManager[None]:
        """Every run prints another accuracy on the label book than its predictions have."""
        return self._with("boast")

    def losing(self, name: str, times: int) -> contextlib.AbstractContextManager[None]:
        """The next runs, so many, do not find ``name`` in their dataset."""
        return self._with("lose", f"{times} {name}")

    @contextlib.contextmanager
    def _with(self, name: str, text: str = "") -> Iterator[None]:
        """While a file of that name is there, the training script behaves otherwise."""
        file = self.home / name
        file.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            file.unlink()

    @property
    def competition(self) -> Competition:
        """The profile, read."""
        return load(str(self.profile))

    def account(self) -> Account:
        """A new account."""
        return sandbox.add_account(self.home, f"u{next(self._numbers)}-{random.randrange(10**6)}")

    def person(
        self, home: Path, account: Account, *, server: str | None = None, profile: Path | None = None
    ) -> Cldc:
        """``cldc`` of someone with that account, on a machine whose data folder is ``home``."""
        return cldc_in(home, self.environments_home, **self.settings(account, server=server, profile=profile))

    def contestant(self, home: Path, number: int = 0) -> tuple[Account, Cldc, Path]:
        """A new account, its owner's ``cldc`` with a data folder in ``home``, and a dataset there with that number."""
        account = self.account()
        return account, self.person(home / "data", account), self.folder(home / "mine", number)

    def organiser(self, profile: Path | None = None) -> Cldc:
        """``cldc`` of the organiser: on the sandbox beside it, else on another machine than the server's."""
        if self.published is None:
            return Cldc(
                self.home, {"CLDC_COMPETITION": str(profile or self.profile), "CLDC_SERVER": "sandbox"}
            )
        account = sandbox.add_account(self.home, "teacher")
        return self.person(self.home / "teacher", account, profile=profile)

    def score(self, profile: Path | None = None) -> list[dict[str, Any]]:
        """Score everything, as the organiser does; the board's rows."""
        organiser = self.organiser(profile)
        if self.published is None:
            board = organiser("sandbox", "score", "--format", "json").data
        else:
            scored = organiser("organise", "score", "--publish", self.published, "--format", "json").data
            board = scored["leaderboard"]
        rows: list[dict[str, Any]] = board["rows"]
        return rows

    def settings(
        self, account: Account, *, server: str | None = None, profile: Path | None = None
    ) -> dict[str, str]:
        """The environment variables of someone with that account."""
        return {
            "CLDC_COMPETITION": str(profile or self.profile),
            "CLDC_SERVER": server or self.address,
            "CODALAB_USERNAME": account.name,
            "CODALAB_PASSWORD": account.password,
        }

    def rest(self, account: Account) -> Rest:
        """Reads the sandbox as that account."""
        return Rest(self.address, Credentials(account.name, account.password, "environment"))

    def client(self, account: Account) -> CodaLab:
        """The server as CodaLab's own client shows it to that account, for what somebody does by hand."""
        python = ensure_codalab(self.environments_home).python
        secret = Credentials(account.name, account.password, "environment")
        return CodaLab(self.address, secret, python=lambda: python)

    def folder(self, target: Path, number: int = 0) -> Path:
        """A dataset that no other number has: one image lies in another split."""
        shutil.copytree(self.dataset, target)
        splits = sorted(target.iterdir())[:2]
        label = sorted(p.name for p in splits[0].iterdir())[0]
        images = sorted((splits[0] / label).iterdir())
        image = images[number % len(images)]
        image.rename(splits[1] / label / f"moved-{number}-{image.name}")
        return target

    def variant(self, name: str, **replaced: str) -> Path:
        """The profile with other lines, beside it; ``per_window="2"`` sets the contestants' rule."""
        text = self.profile.read_text(encoding="utf-8")
        for key, value in replaced.items():
            before, line, after = text.partition(f"\n{key} = ")
            assert line, key
            text = f"{before}\n{key} = {value}\n{after.partition(chr(10))[2]}"
        path = self.profile.with_name(f"{name}.toml")
        path.write_text(text, encoding="utf-8")
        return path

    def made(self, account: Account) -> dict[str, list[Bundle]]:
        """Everything that an account has on worksheets of its own, by type, and what is tagged."""
        found: dict[str, list[Bundle]] = {"dataset": [], "run": [], "make": [], "tagged": []}
        with self.rest(account) as rest:
            for worksheet in rest.own_worksheets():
                for bundle in rest.worksheet(worksheet.uuid, bundles=True).bundles:
                    if bundle.owner == account.name:
                        found[bundle.type].append(bundle)
            tag = self.competition.submission.tag
            found["tagged"] = list(rest.search(tag=tag, owner=account.name))
        return found


def assert_exactly_once(stage: Stage, account: Account, *, submissions: int = 1, context: Any = None) -> None:
    """One bundle of each kind for each submission, all ready, the right one tagged, and nothing left over."""
    made = stage.made(account)
    counts = {kind: [(b.name, b.state) for b in bundles] for kind, bundles in made.items()}
    assert {kind: len(bundles) for kind, bundles in made.items()} == dict.fromkeys(made, submissions), (
        counts,
        context,
    )
    assert all(b.state == "ready" and not b.failure for bundles in made.values() for b in bundles), (
        counts,
        context,
    )
    assert {b.uuid for b in made["tagged"]} == {b.uuid for b in made["make"]}


def write_profile(home: Path, images: int = 80, script: str = SCRIPT) -> Path:
    """The class's small competition with a script like `SCRIPT`, and with room for many submissions and so many images."""
    folder = home / "profile"
    shutil.copytree(SHAPES, folder)
    script = script.replace("SWITCH", str(home / "fail")).replace("HOLD", str(home / "hold"))
    script = script.replace("BOAST", str(home / "boast")).replace("LOSE", str(home / "lose"))
    (folder / "learn.py").write_text(script, encoding="utf-8")
    profile = folder / "shapes.toml"
    text = profile.read_text(encoding="utf-8")
    text = text.replace("per_window = 2\ntotal = 3", "per_window = 500\ntotal = 500")
    profile.write_text(text.replace('supersedes = "account"', 'supersedes = "name"'), encoding="utf-8")
    if images > 200:
        text = profile.read_text(encoding="utf-8")
        text = text.replace("max_images = 200", "max_images = 10000").replace(
            "max_padded = 204", "max_padded = 10008"
        )
        profile.write_text(text, encoding="utf-8")
    return profile


def raise_stage(home: Path, environments_home: Path, *, images: int = 80, script: str = SCRIPT) -> Stage:
    """Start the sandbox; `lower_stage` stops it."""
    profile = write_profile(home, images, script)
    cldc = cldc_in(home, environments_home, CLDC_COMPETITION=str(profile))
    address = cldc("sandbox", "up", "--format", "json").data["address"]
    dataset = home / "mine"
    cldc("sample", dataset, "--images", str(images))
    return Stage(home, profile, address, environments_home, dataset)


def lower_stage(stage: Stage) -> None:
    """Stop the sandbox."""
    cldc_in(stage.home, stage.environments_home)("sandbox", "down", code=None)


def environment(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process that runs ``cldc`` in ``home``."""
    return {**os.environ, "CLDC_HOME": str(home), "PYTHONPATH": str(ROOT), **extra}


def python() -> str:
    """The interpreter that runs the tests."""
    return sys.executable


def odd(cldc: Cldc, oddity: str, *arguments: str | Path) -> process.Completed:
    """Run a command in a process in which ``oddity``, a line of Python, came first."""
    code = f"{oddity}; import sys; from cldc.__main__ import run; sys.exit(run(sys.argv[1:]))"
    return process.run(
        [python(), "-c", code, *arguments],
        env=environment(cldc.home, cldc.extra),
        cwd=ROOT,
        timeout_seconds=300,
        check=False,
    )


def start(
    stage: Stage, account: Account, home: Path, *args: str | Path, module: str = "cldc"
) -> subprocess.Popen[str]:
    """``cldc`` at work in the background."""
    return subprocess.Popen(
        [python(), "-m", module, *map(str, args)],
        cwd=ROOT,
        env=environment(home, stage.settings(account)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed(cldc: Cldc, past: Path, *arguments: str | Path, moment: str = "", skipped: str = "") -> bool:
    """Run a command that kills itself; whether it did (see `tests.support.killing`).

    Args:
        past: Lists the moments at which it does not die any more.
        moment: The only one to die at; without it, the first that ``past`` does not list.
        skipped: How moments begin that are none.
    """
    chosen = {"CLDC_TEST_MOMENT": moment, "CLDC_TEST_SKIPPED": skipped}
    done = process.run(
        [python(), "-m", "tests.support.killing", past, *arguments],
        env=environment(cldc.home, {**cldc.extra, **{name: text for name, text in chosen.items() if text}}),
        cwd=ROOT,
        timeout_seconds=300,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done
    return done.returncode != 0


def lose_ledger(cldc: Cldc) -> None:
    for file in cldc.home.glob("ledger.sqlite3*"):
        file.unlink()


def until(
    look: Callable[[], list[Bundle]], training: subprocess.Popen[str], seconds: float = 300
) -> list[Bundle]:
    """What ``look`` finds, as soon as it finds something."""
    ends = time.monotonic() + seconds
    while not (found := look()):
        if training.poll() is not None or time.monotonic() > ends:
            training.kill()
            pytest.fail("".join(training.communicate()))
        time.sleep(0.5)
    return found


def running(stage: Stage, account: Account, count: int, *, other_than: str = "") -> list[Bundle]:
    """The account's running runs, once there are so many."""
    found = [b for b in stage.made(account)["run"] if b.state == "running" and b.uuid != other_than]
    return found if len(found) == count else []


def change(stage: Stage, statement: str, value: str) -> None:
    """Change something in the sandbox's database."""
    database = sqlite3.connect(stage.home / "sandbox" / "codalab.sqlite", timeout=30)
    with contextlib.closing(database), database:
        assert database.execute(statement, (value,)).rowcount == 1
