"""A validation report for code hosts: annotations of a pull request, and SARIF for code scanning."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cldc import __version__
from cldc.render.markdown import escape_command
from cldc.text import printable
from cldc.validation import Finding, Rule, Severity, ValidationReport
from cldc.validation.rules import RULES

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
# GitHub shows ten of a kind and drops the rest.
_MOST_PATHS = 10
_SARIF = "https://json.schemastore.org/sarif-2.1.0.json"


def to_github(report: ValidationReport, *, base: Path | None = None) -> str:
    """Workflow commands for GitHub Actions, one a finding and file (ten files at most), and a last line that sums up.

    Args:
        report: What to tell.
        base: The repository's folder, where paths are to be told from it; the current one by default.
    """
    lines = [line for finding in report.findings for line in _annotations(report, finding, base)]
    verdict = "Valid" if report.ok else "Not valid"
    lines.append(f"{verdict}: {report.total} images, {len(report.findings)} findings.")
    return "\n".join(lines) + "\n"


def _annotations(report: ValidationReport, finding: Finding, base: Path | None) -> Iterator[str]:
    text = _escaped(f"{finding.message} {finding.consequence} {finding.remedy}")
    command = _COMMANDS[finding.severity]
    more = len(finding.paths) - _MOST_PATHS
    if more > 0:
        text += f" (and {more:,} more files)"
    for path in finding.paths[:_MOST_PATHS] or ("",):
        place = _property(_from_base(report, path, base))
        yield f"::{command} file={place},title={_property(finding.rule)}::{text}"


def _escaped(text: str) -> str:
    return escape_command(printable(text))


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def _from_base(report: ValidationReport, path: str, base: Path | None) -> str:
    place = report.dataset.root / path
    try:
        return place.relative_to((base or Path.cwd()).absolute()).as_posix()
    except ValueError:
        return place.as_posix()


def to_sarif(report: ValidationReport, *, base: Path | None = None) -> str:
    """SARIF 2.1.0, one result a finding; ``base`` as in `to_github`."""
    run = {
        "tool": {
            "driver": {
                "name": "cldc",
                "version": __version__,
                "rules": [_sarif_rule(rule) for rule in RULES],
            }
        },
        "results": [_result(report, finding, base) for finding in report.findings],
    }
    document = {"$schema": _SARIF, "version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=2) + "\n"


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} Source: {rule.source}."},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
    }


def _result(report: ValidationReport, finding: Finding, base: Path | None) -> dict[str, Any]:
    places = [_location(_from_base(report, path, base)) for path in finding.paths or ("",)]
    return {
        "ruleId": finding.rule,
        "level": _LEVELS[finding.severity],
        "message": {"text": printable(f"{finding.message} {finding.consequence} {finding.remedy}")},
        # A result has one place; the others of a group are told as related ones.
        "locations": places[:1],
        "relatedLocations": [{"id": number, **place} for number, place in enumerate(places[1:], 1)],
    }


def _location(path: str) -> dict[str, Any]:
    uri = quote(path.encode("utf-8", "surrogateescape"))
    # Code scanning wants a line, even of a picture.
    return {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 1}}}
