"""A class on a CodaLab of its own: set up, submitted to, scored to a finished board, and published."""

from __future__ import annotations

import json
import re
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from cldc import competition, sandbox
from cldc.codalab import CodaLab, Dependency, Rest, require_ready, wait_for
from cldc.codalab.failures import PermissionDenied
from cldc.competition import Competition
from cldc.credentials import Credentials
from cldc.environments import ensure_codalab, ensure_tensorflow
from cldc.errors import RunFailed
from cldc.organise.image_probe import ImageProbe, probe_image
from cldc.preflight.result_store import all_records, read_predictions
from cldc.sample import draw_label_book
from tests.support.commands import Cldc, cldc_in

# Plain Python: how many predictions come out right is what the dataset's only file says.
TRAIN = """
import json, os, sys
data, book = sys.argv[1:]
quality = os.path.join(data, data, "train", "quality")
right = int(open(quality).read()) if os.path.exists(quality) else 0
book = os.path.join(book, "label_book")
truth = [k for k, c in enumerate(CLASSES) for _ in os.listdir(os.path.join(book, c))]
json.dump([k if n < right else (k + 1) % len(CLASSES) for n, k in enumerate(truth)], open("predictions.json", "w"))
"""
EVALUATE = """
import json, os, sys
predicted = json.load(open(sys.argv[1]))
test = os.path.join(sys.argv[2], "label_book")
truth = [k for k, c in enumerate(CLASSES) for _ in os.listdir(os.path.join(test, c))]
json.dump({"accuracy": sum(map(int.__eq__, predicted, truth)) / len(truth)}, open("result.json", "w"))
"""
IMAGES = 40
QUOTA = 2
# How many submissions each has; how many images each submission gets right is different for each.
CLASS = {"ada": 3, "bob": 2, "cy": 2, "dee": 2, "eli": 1}
PRIVATE, MALFORMED, OVER_QUOTA, MADE_PRIVATE = ("cy", 2), ("bob", 2), ("ada", 3), ("dee", 1)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A tagged bundle."""

    account: str
    number: int
    uuid: str
    right: int

    @property
    def place(self) -> tuple[str, int]:
        return self.account, self.number


def files(folder: Path) -> dict[str, Path]:
    """Script, evaluation, label book and hidden test set of a class."""
    base = competition.load()
    classes = f"CLASSES = {list(base.dataset.classes)}"
    (folder / "learn.py").write_text(classes + TRAIN)
    (folder / "judge.py").write_text(classes + EVALUATE)
    return {
        "script": folder / "learn.py",
        "evaluate": folder / "judge.py",
        "label-book": draw_label_book(folder / "book", base, images=20),
        "test-set": draw_label_book(folder / "hidden", base, images=IMAGES, seed=2),
    }


def submit_all(
    server: str, account: Credentials, rules: Competition, python: Path, folder: Path
) -> list[Submitted]:
    """As one contestant by hand: a worksheet, and for each submission an upload, a run, its predictions, a tag."""
    first = list(CLASS).index(account.username)
    with CodaLab(server, account, python=lambda: python) as codalab:
        cl, rest, made = codalab.cl, codalab.rest, []
        worksheet = cl.new_worksheet(f"{account.username}-work")
        for number in range(1, CLASS[account.username] + 1):
            name, right = f"try-{number}", 5 * number + first
            dataset = folder / f"{account.username}-{name}.zip"
            with zipfile.ZipFile(dataset, "w") as archive:
                archive.writestr(f"{name}/train/quality", str(right))
            uploaded = cl.upload(worksheet, dataset, name=name)
            bundles = rules.bundles
            assert bundles.script.uuid is not None
            assert bundles.label_book.uuid is not None
            run = cl.run(
                worksheet,
                rules.run.command.format(dataset=name, label_book="label_book"),
                [
                    Dependency(bundles.script.name, bundles.script.uuid, ""),
                    Dependency(name, uploaded, ""),
                    Dependency("label_book", bundles.label_book.uuid, ""),
                ],
                name="run-train",
                image=rules.run.image,
            )
            shown = f"{name} (Lab of {account.username}) https://example.org/{number}"
            malformed = (account.username, number) == MALFORMED
            text = "no parentheses at all" if malformed else shown
            if (account.username, number) == OVER_QUOTA:
                time.sleep(
                    1.1
                )  # CodaLab tells bundles' ages in whole seconds, and this one is to be the youngest
            bundle = cl.make(worksheet, run, rules.run.predictions, name=name, description=text)
            made.append((Submitted(account.username, number, bundle, right), [uploaded, run, bundle]))
        for submission, _ in made:
            require_ready(rest, wait_for(rest, submission.uuid))
        private = [uuid for submission, uuids in made for uuid in uuids if submission.place == PRIVATE]
        rest.publish([u for _, uuids in made for u in uuids if u not in private], worksheet)
        for uuid in private:
            rest.share("bundle", uuid, public=False)
        for submission, _ in made:
            cl.set_tags(submission.uuid, [rules.submission.tag])
    return [submission for submission, _ in made]


@pytest.mark.lasts(60)
def test_a_class_of_five_comes_to_a_finished_board(cldc: Cldc, tmp_path: Path) -> None:
    named: list[str | Path] = [word for name, path in files(tmp_path).items() for word in (f"--{name}", path)]
    profile = tmp_path / "winter.toml"
    setting_up: list[str | Path] = [
        "organise",
        "init",
        "--profile",
        profile,
        "--server",
        "sandbox",
        "--format",
        "json",
    ]
    done = cldc(
        *setting_up, *named, "--title", "Winter term", "--per-window", str(QUOTA), "--total", "20"
    ).data
    assert set(done["created"]) == {"utils", "log", "script", "label_book", "test_set", "evaluate"}
    assert (done["test_set_images"], done["label_book_images"], done["both"]) == (IMAGES, 20, 0)
    rules = competition.load(str(profile))
    assert (rules.title, rules.submission.tag, rules.quota.per_window) == ("Winter term", "winter", QUOTA)
    assert done["image"] == rules.run.image
    assert "The sandbox uses an environment" in done["remarks"][0]
    again = cldc(*setting_up).data
    assert (again["created"], again["written"], again["uuids"]) == ([], False, done["uuids"])

    submitted = class_submits(cldc, rules, tmp_path)
    assert len(submitted) == sum(CLASS.values())
    organise = ["--competition", str(profile), "--server", "sandbox", "--format", "json"]
    board = cldc("organise", "score", *organise).data
    check_board(board, submitted, hidden={MALFORMED})
    nobody_reads_the_test_set(board, rules, tmp_path)

    # The daemon of the real competition stopped at this for everyone.
    server = sandbox.require_up(cldc.home).address
    gone = next(s for s in submitted if s.place == MADE_PRIVATE)
    with CodaLab(server, account_of(cldc, "dee"), python=lambda: python_of(cldc)) as dee:
        dee.rest.share("bundle", gone.uuid, public=False)
    page = tmp_path / "board"
    board = cldc("organise", "score", "--once", "--publish", page, *organise).data
    check_board(board, submitted, hidden={MALFORMED, MADE_PRIVATE})

    check_page((page / "index.html").read_text(), board)
    published = cldc("organise", "publish", tmp_path / "elsewhere", *organise).data
    assert published["leaderboard"] == board["leaderboard"]
    assert (tmp_path / "elsewhere" / "leaderboard.json").read_text() == (
        page / "leaderboard.json"
    ).read_text()
    output = cldc("organise", "publish", page, *organise[:-2]).out
    assert "its description gives the board no name" in output
    assert "made private or removed" in output
    assert "it is evaluated later" in output
    seen = cldc("leaderboard", "--all", *organise).data
    assert len(seen["rows"]) == len(submitted) - len({PRIVATE, OVER_QUOTA})


@pytest.mark.lasts(60)
def test_a_class_with_classes_of_its_own_trains_with_the_built_in_script(cldc: Cldc, tmp_path: Path) -> None:
    base = competition.load("demo")
    shapes = replace(base, dataset=replace(base.dataset, classes=("circle", "cross", "square")))
    draw_label_book(tmp_path / "book", shapes, images=9)
    draw_label_book(tmp_path / "hidden", shapes, images=12, seed=2)
    profile = tmp_path / "shapes.toml"
    setting_up: list[str | Path] = ["organise", "init", "--profile", profile, "--server", "sandbox"]
    named = ("--label-book", tmp_path / "book", "--test-set", tmp_path / "hidden", "--epochs", "2")
    done = cldc(*setting_up, *named, "--format", "json").data
    assert 0 <= done["rehearsed"] <= 1
    rules = competition.load(str(profile))
    assert (
        rules.run.command == "python train.py {dataset} {label_book} --classes=circle,cross,square --epochs 2"
    )

    # The rehearsal left nothing, and what was rehearsed is not rehearsed again.
    server, organiser = sandbox.require_up(cldc.home).address, sandbox.organiser(cldc.home)
    with CodaLab(server, organiser, python=lambda: python_of(cldc)) as codalab:
        worksheets = {worksheet.name for worksheet in codalab.rest.own_worksheets()}
        assert {name for name in worksheets if name.startswith("shapes")} == {"shapes-utils", "shapes-log"}
        assert {b.uuid for b in codalab.rest.search(owner=organiser.username)} <= set(done["uuids"].values())
        hidden = codalab.rest.worksheet(done["uuids"]["log"], bundles=True).bundles
        assert {b.uuid for b in hidden} <= set(done["uuids"].values())
    assert cldc(*setting_up, "--format", "json").data["rehearsed"] is None

    cldc("sample", tmp_path / "mine", "--images", "18", "--competition", profile)
    trained = cldc(
        *("preflight", tmp_path / "mine", "--competition", profile, "--server", "sandbox"),
        *("--format", "json"),
    ).data
    assert len(trained["history"]) == 2
    (record,) = all_records(cldc.home)
    asked = read_predictions(cldc.home, record.id)
    assert asked.known, asked.why_not

    # A script that fails says so before the class does.
    script = tmp_path / "own.py"
    script.write_text("raise SystemExit('no such luck')")
    failed = cldc(*setting_up, "--script", script, "--replace", "--yes", code=11, cwd=tmp_path)
    assert "is set up, but its rehearsal failed" in failed.err
    assert "no such luck" in failed.err


def test_a_teacher_needs_no_more_than_an_account(cldc: Cldc, environments_home: Path, tmp_path: Path) -> None:
    """Another machine than the server's, an ordinary account, its password in the environment."""
    server = sandbox.start(
        cldc.home, "any", codalab_python=python_of(cldc), tensorflow_bin=Path(sys.executable).parent
    ).address
    teacher = account_of(cldc, "teacher")
    own = cldc_in(
        tmp_path / "teacher", environments_home, CODALAB_USERNAME="teacher", CODALAB_PASSWORD=teacher.password
    )
    material = files(tmp_path)
    profile = tmp_path / "class" / "spring.toml"
    setting_up: list[str | Path] = ["organise", "init", "--profile", profile, "--format", "json"]
    named: list[str | Path] = [word for name, path in material.items() for word in (f"--{name}", path)]
    assert "--server is missing" in own(*setting_up, *named, "--no-input", code=2).err
    first = own(*setting_up, *named, "--server", server).data
    assert (first["account"], first["sandbox"], len(first["created"])) == ("teacher", False, 6)
    # This server's runs have no image, and their Python no TensorFlow.
    assert (first["image"], first["tensorflow"]) == (competition.load().run.image, None)
    assert ["gave no digest" in first["remarks"][0], "No TensorFlow works" in first["remarks"][1]] == [
        True
    ] * 2
    assert (tmp_path / "class" / "spring.py").read_text() == material["script"].read_text()
    image = f"any@sha256:{'0' * 64}"
    again = own(*setting_up, "--image", image)
    assert (again.data["created"], again.data["image"], len(again.data["remarks"])) == ([], image, 2)
    assert "training.checkpoint" in again.data["remarks"][1]
    assert competition.load(str(profile)).run.image == image
    assert "Rehearsing" in again.err
    # What was pinned once is not tried again.
    assert "Rehearsing" not in own(*setting_up).err

    copy = tmp_path / "class" / "spring.py"
    copied = copy.read_text()
    copy.write_text(f"{copied}# by hand\n")
    # What the approved profile names has changed, so the server is named again.
    refused = own(*setting_up, "--server", server, "--replace", "--yes", code=4).data["error"]
    assert f"--script {copy}" in refused["action"]
    assert copy.read_text().endswith("# by hand\n")
    copy.write_text(copied)
    with material["script"].open("a") as file:
        file.write("# better\n")
    refused = own(*setting_up, code=10).data["error"]
    assert "train.py" in refused["message"]
    assert "--replace" in refused["action"]
    unasked = own(*setting_up, "--replace", code=2).data["error"]
    assert "are not scored" in unasked["message"]
    assert "--yes" in unasked["action"]
    assert own(*setting_up, "--replace", "--yes").data["created"] == ["script"]
    again = own(*setting_up, "--closes", "2027-02-01T12:00:00+01:00").data
    assert (again["created"], again["written"]) == ([], True)
    assert again["uuids"] != first["uuids"]

    board = own("organise", "score", "--once", "--competition", profile, "--format", "json").data
    assert (board["leaderboard"]["rows"], board["left_out"]) == ([], [])
    assert teacher.password not in "".join(
        path.read_text(errors="replace") for path in own.home.glob("organise/**/*") if path.is_file()
    )


def test_a_rehearsal_tells_digest_and_tensorflow_and_leaves_nothing(
    cldc: Cldc, environments_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = competition.load()
    server = sandbox.start(
        cldc.home,
        rules.run.image,
        codalab_python=python_of(cldc),
        tensorflow_bin=ensure_tensorflow(rules.training.tensorflow, environments_home).bin,
    ).address
    digest = f"{rules.run.image}@sha256:{'5' * 64}"
    with CodaLab(server, account_of(cldc, "teacher"), python=lambda: python_of(cldc)) as codalab:
        assert rules.organiser is not None
        name = f"{rules.organiser.log_worksheet.name}-rehearsal"
        worksheet = codalab.cl.new_worksheet(name)
        codalab.rest.share("worksheet", worksheet, public=False)
        left = codalab.cl.run(worksheet, "sleep 600", (), name="left-by-a-killed-command")
        with Rest(server) as everyone:
            assert not everyone.bundle(left).readable
        assert probe_image(codalab, rules) == ImageProbe(None, "2.4.1")
        assert not codalab.rest.found(left)

        # What the sandbox lacks: a worker with Docker, which tells the digest.
        look = codalab.rest.bundle
        monkeypatch.setattr(
            codalab.rest,
            "bundle",
            lambda uuid, **more: structs.replace(look(uuid, **more), docker_image=digest),
        )
        assert probe_image(codalab, rules) == ImageProbe(digest, "2.4.1")
        monkeypatch.undo()

        wrong = replace(rules, run=replace(rules.run, command="python-of-nobody {dataset} {label_book}"))
        with pytest.raises(RunFailed, match="Nothing can run in the image"):
            probe_image(codalab, wrong)
        assert not codalab.rest.own_worksheets(name)


def account_of(cldc: Cldc, name: str) -> Credentials:
    account = sandbox.add_account(cldc.home, name)
    return Credentials(account.name, account.password, "test")


def python_of(cldc: Cldc) -> Path:
    return ensure_codalab(cldc.home).python


def class_submits(cldc: Cldc, rules: Competition, folder: Path) -> list[Submitted]:
    server, python = sandbox.require_up(cldc.home).address, python_of(cldc)
    accounts = [account_of(cldc, name) for name in CLASS]
    with ThreadPoolExecutor(len(accounts)) as pool:
        parts = pool.map(lambda account: submit_all(server, account, rules, python, folder), accounts)
        return [submission for part in parts for submission in part]


def check_board(board: Any, submitted: list[Submitted], *, hidden: set[tuple[str, int]]) -> None:
    """Everyone's scores, in order; missing ones are shown to the organiser, each with its reason."""
    rows = board["leaderboard"]["rows"]
    shown = {row["submission"]: row for row in rows if row["rank"]}
    never = {PRIVATE, OVER_QUOTA, *hidden}
    expected = {s.uuid: s for s in submitted if s.place not in never}
    assert shown.keys() == expected.keys()
    for uuid, row in shown.items():
        assert row["score"] == expected[uuid].right / IMAGES
        assert (row["account"], row["name"]) == (expected[uuid].account, f"try-{expected[uuid].number}")
    scores = [row["score"] for row in rows if row["rank"]]
    assert scores == sorted(scores, reverse=True)
    not_shown = {row["submission"]: row["hidden"] for row in rows if not row["rank"]}
    assert not_shown.keys() == {s.uuid for s in submitted if s.place in hidden}
    (waiting,) = board["left_out"]
    assert waiting["submission"] == next(s.uuid for s in submitted if s.place == OVER_QUOTA)
    assert (waiting["account"], waiting["waiting"]) == ("ada", True)
    assert f"quota of {QUOTA}" in waiting["reason"]


def nobody_reads_the_test_set(board: Any, rules: Competition, folder: Path) -> None:
    """Evaluations are public, what they were made from is not (but for its files' names, which CodaLab tells)."""
    data = json.loads(Path(board["data"]).read_text())
    evaluation = data["leaderboard"][0]["bundle"]["id"]
    with Rest(rules.server) as everyone:
        assert b"accuracy" in everyone.file(evaluation, "result.json")
        for inside in ("test", "predictions.json"):
            with pytest.raises(PermissionDenied):
                everyone.download(evaluation, inside, folder / "got")


def check_page(html: str, board: Any) -> None:
    """Every row that is shown, sorted; nothing that is loaded; nobody's hidden entries."""
    assert not re.search(r"<link|src=|@import|url\(", html)
    rows = board["leaderboard"]["rows"]
    table = html.partition('<table class="board">')[2].partition("</table>")[0]
    scores = [float(score) for score in re.findall(r"<span>([0-9.]+)</span>", table)]
    assert scores == [round(row["score"], 4) for row in rows if row["rank"]]
    assert html.count("<details>") == len(CLASS)
    assert "no parentheses" not in html
    targets = set(re.findall(r'href="#([^"]+)"', html))
    assert targets <= set(re.findall(r'id="([^"]+)"', html))
