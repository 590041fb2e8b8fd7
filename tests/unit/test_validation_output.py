"""A validation report as text, JSON, GitHub annotations and SARIF."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from cldc import competition
from cldc.render.formats import annotation, plain, render
from cldc.render.validation import validation_blocks, validation_document
from cldc.render.validation_ci import file_annotations, sarif
from cldc.validation import ValidationReport, validate
from cldc.validation.rules import RULES
from tests.support.commands import ROOT, Cldc
from tests.support.folders import make_dataset, png

COMPETITION = competition.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_dataset(tmp_path / "digits")


def write(folder: Path, name: str, content: bytes = b"no image") -> None:
    (folder / name).write_bytes(content)


@pytest.fixture
def odd_report(folder: Path) -> ValidationReport:
    """Findings of every severity, about names that would harm a terminal or an encoding."""
    write(folder, "val/x/a\x1b[31m\n.png")
    write(folder, os.fsdecode(b"val/x/\xe9.png"), png())
    write(folder, "val/x/a.webp")
    write(folder, ".DS_Store")
    return validate(folder, COMPETITION)


def test_text_is_safe_for_terminals_and_pipes(odd_report: ValidationReport) -> None:
    shown = plain(validation_blocks(odd_report))
    assert "\x1b" not in shown
    assert r"val/x/a\x1b[31m\n.png" in shown
    shown.encode()
    assert shown.splitlines()[-1].startswith("Not valid for data-centric-2021: ")


def test_findings_of_one_rule_are_one_group_with_the_count_first(folder: Path, bare_cldc: Cldc) -> None:
    for number in range(12):
        for name in ("a", "b"):
            write(folder, f"train/i/{number:02}-{name}.png", png(100 + number))
    heading = "note: 12 duplicate pairs [identical-in-class]"
    shown = bare_cldc("validate", "-q", folder).out
    assert shown.count("[identical-in-class]") == shown.count("2 identical files.") == 1
    assert f"{heading}\n  2 identical files.\n    train/i/00-a.png, train/i/00-b.png\n" in shown
    assert "\n  and 2 more (--verbose shows all)\n" in shown
    assert "11-b.png" not in shown
    everything = bare_cldc("validate", "-q", "--verbose", folder).out
    assert heading in everything
    assert "    train/i/11-a.png, train/i/11-b.png\n" in everything
    write(folder, "train/i/11-c.png", png(111))
    assert "note: 12 duplicate groups [identical-in-class]" in bare_cldc("validate", "-q", folder).out


def test_a_wrong_folder_gets_two_lines(tmp_path: Path, bare_cldc: Cldc) -> None:
    folder = make_dataset(tmp_path / "my digits")
    shown = bare_cldc("validate", "-q", folder / "train", code=3).out
    assert shown.splitlines() == [
        f"error: The script can't find train/ and val/ in {folder / 'train'}. [split-missing]",
        f"  Did you mean {folder}? Run `cldc validate '{folder}'`.",
    ]
    (folder / "val").rename(folder / "test")
    shown = bare_cldc("validate", "-q", folder, code=3).out
    assert shown.splitlines() == [
        "error: The script can't find val/. [split-missing]",
        "  There is a folder test/: did you mean val/? Then rename it.",
        "Not valid for data-centric-2021; --verbose shows 2 more findings.",
    ]
    everything = bare_cldc("validate", "-q", "--verbose", folder, code=3).out
    assert "Images in my-digits" in everything
    assert len(bare_cldc("validate", "--format", "json", folder, code=3).data["findings"]) == 3
    for name in ("test", "train"):
        shutil.rmtree(folder / name)
        logged = bare_cldc("validate", "-q", folder, "--format", "github", code=3).out.splitlines()
        assert logged[0].startswith("::error file=")
        # Every other line is an annotation too, or the verdict.
        assert all(line.startswith(("::", "Not valid for data-centric-2021")) for line in logged)


def test_json_is_as_documented(odd_report: ValidationReport) -> None:
    shown = json.loads(render("json", validation_document(odd_report)))
    assert (shown["schema"], shown["ok"], shown["padded"]) == (1, False, odd_report.padded)
    assert shown["dataset"]["hash"] == odd_report.dataset.hash
    assert [finding["rule"] for finding in shown["findings"]] == [f.rule for f in odd_report.findings]
    assert set(shown["findings"][0]) == {
        "rule",
        "severity",
        "message",
        "consequence",
        "remedy",
        "paths",
        "fixable",
    }


def test_a_class_folder_that_leads_out_is_named_in_every_format(folder: Path, bare_cldc: Cldc) -> None:
    private = folder.parent / "private"
    (folder / "val" / "iv").rename(private)
    (folder / "val" / "iv").symlink_to(private, target_is_directory=True)
    message = f"val/iv is a link to {private}, outside the dataset, with 1 image."
    for form in ("text", "json", "github", "sarif"):
        assert message in bare_cldc("validate", "--format", form, folder, cwd=folder).out
    bare_cldc("validate", "--report", "page.html", folder)
    assert message in (bare_cldc.home / "page.html").read_text()
    shown = bare_cldc("validate", "--format", "json", folder).data
    assert shown["outward_links"] == [{"path": "val/iv", "target": str(private), "images": 1}]
    bare_cldc("validate", "--strict", folder, code=3)
    # Led elsewhere, to the same files under another name, it is no longer as remembered.
    private = private.rename(folder.parent / "moved")
    (folder / "val" / "iv").unlink()
    (folder / "val" / "iv").symlink_to(private, target_is_directory=True)
    assert f"to {private}," in bare_cldc("validate", folder).out


def test_github_annotations_are_one_line_each(
    odd_report: ValidationReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(odd_report.dataset.root.parent)
    remarks = list(file_annotations(odd_report))
    shown = [annotation(remark) for remark in remarks]
    assert shown[0].startswith("::error file=digits/val/x/")
    assert all(line.startswith(("::error ", "::warning ", "::notice ")) for line in shown)
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in shown)


def test_sarif_names_its_rules(odd_report: ValidationReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(odd_report.dataset.root)
    shown = sarif(odd_report)
    run = shown["runs"][0]
    known = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert {result["ruleId"] for result in run["results"]} <= known
    places = [
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in run["results"]
    ]
    assert "val/x/%E9.png" in places


def test_the_documentation_lists_every_rule() -> None:
    page = (ROOT / "docs" / "validation.md").read_text()
    rows = [f"| `{rule.id}` | {rule.severity.value} | {rule.title} | {rule.why} |" for rule in RULES]
    assert "\n".join(["| rule | severity | problem | why |", "|---|---|---|---|", *rows, ""]) in page
