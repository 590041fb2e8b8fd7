"""A validation report for code hosts: annotations of a pull request, and SARIF for code scanning."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from cldc import __version__
from cldc.render.document import Annotation
from cldc.validation import Finding, Rule, Severity, ValidationReport
from cldc.validation.rules import RULES

_COMMANDS: dict[Severity, Literal["error", "warning", "notice"]] = {
    Severity.ERROR: "error",
    Severity.WARNING: "warning",
    Severity.NOTE: "notice",
}
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
# GitHub shows ten of a kind and drops the rest.
_MOST_PATHS = 10
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def file_annotations(report: ValidationReport) -> Iterator[Annotation]:
    """Write one annotation for each finding and file, at most ten files of a finding."""
    for finding in report.findings:
        text = f"{finding.message} {finding.consequence} {finding.remedy}"
        more = len(finding.paths) - _MOST_PATHS
        if more > 0:
            text += f" (and {more:,} more files)"
        for path in finding.paths[:_MOST_PATHS] or ("",):
            yield Annotation(_COMMANDS[finding.severity], finding.rule, text, _from_here(report, path))


def _from_here(report: ValidationReport, path: str) -> str:
    """Return the path from the working folder, which is the repository in a job."""
    place = report.dataset.root / path
    try:
        return place.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return place.as_posix()


def sarif(report: ValidationReport) -> dict[str, Any]:
    """Build SARIF 2.1.0 with one result for each finding."""
    run = {
        "tool": {
            "driver": {
                "name": "cldc",
                "version": __version__,
                "rules": [_sarif_rule(rule) for rule in RULES],
            }
        },
        "results": [_result(report, finding) for finding in report.findings],
    }
    return {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} Source: {rule.source}."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _result(report: ValidationReport, finding: Finding) -> dict[str, Any]:
    uris = [
        quote(_from_here(report, path).encode("utf-8", "surrogateescape")) for path in finding.paths or ("",)
    ]
    # Code scanning wants a line, even of a picture.
    places: list[dict[str, Any]] = [
        {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}} for uri in uris
    ]
    return {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": f"{finding.message} {finding.consequence} {finding.remedy}"},
        # A result has one location; the others of a group are related locations.
        "locations": places[:1],
        "relatedLocations": [{"id": number, **place} for number, place in enumerate(places[1:], 1)],
    }
