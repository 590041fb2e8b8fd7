"""A validation report as text, and as JSON that other programs may rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

from cldc.dataset import IgnoreReason, OutwardLink
from cldc.render.blocks import Block, Line, Style, Table
from cldc.text import first_few, plural, printable
from cldc.validation import Finding, Severity, ValidationReport

if TYPE_CHECKING:
    from cldc.validation import Rule
    from cldc.validation.fixing import Change, Fixed, Undone

# Raised when a field of the JSON changes its meaning or goes; a new field does not raise it.
JSON_SCHEMA = 1
_STYLES: dict[Severity, Style] = {
    Severity.ERROR: "bad",
    Severity.WARNING: "warning",
    Severity.NOTE: "dim",
}
_SHOWN_FINDINGS = 10
_SHOWN_PATHS = 5


def blocks(report: ValidationReport, *, everything: bool = False) -> tuple[Block, ...]:
    """The report for a person; long lists are cut short unless ``everything``."""
    return (_counts(report), *_findings(report, everything), *_summary(report))


def _counts(report: ValidationReport) -> Table:
    splits = list(report.counts)
    labels = list(dict.fromkeys(label for classes in report.counts.values() for label in classes))
    rows = [[label, *(f"{report.counts[split].get(label, 0):,}" for split in splits)] for label in labels]
    rows.append(["all", *(f"{sum(report.counts[split].values()):,}" for split in splits)])
    return Table(
        headers=("class", *splits),
        rows=rows,
        title=f"Images in {printable(report.dataset.name)}",
        numbers=frozenset(splits),
    )


def _findings(report: ValidationReport, everything: bool) -> Iterator[Line]:
    for (severity, rule), group in groupby(report.findings, key=lambda f: (f.severity, f.rule)):
        found = list(group)
        shown = found if everything else found[:_SHOWN_FINDINGS]
        for (consequence, remedy), alike in groupby(shown, key=lambda f: (f.consequence, f.remedy)):
            for finding in alike:
                yield Line(f"{severity.value}: {printable(finding.message)} [{rule}]", _STYLES[severity])
                yield from _paths(finding, everything)
            yield Line(f"  {printable(consequence)}")
            yield Line(f"  {printable(remedy)}")
        if len(found) > len(shown):
            yield Line(f"  and {len(found) - len(shown):,} more of [{rule}]", "dim")


def _paths(finding: Finding, everything: bool) -> Iterator[Line]:
    named = len(finding.paths) == 1 and finding.paths[0] in finding.message
    paths = () if named else finding.paths
    shown = paths if everything else paths[:_SHOWN_PATHS]
    for path in shown:
        yield Line(f"    {printable(path)}")
    if len(paths) > len(shown):
        yield Line(f"    and {len(paths) - len(shown):,} more", "dim")


def _summary(report: ValidationReport) -> Iterator[Line]:
    yield Line(
        f"{report.total:,} images, {report.padded:,} as the script counts them "
        f"(limits {report.max_images:,} and {report.max_padded:,})."
    )
    yield Line(f"Dataset {report.dataset.hash}")
    tally = ", ".join(plural(len(report.of(s)), s.value) for s in Severity)
    style: Style = "bad" if not report.ok else "warning" if report.of(Severity.WARNING) else "good"
    yield Line(f"{'Valid' if report.ok else 'Not valid'} for {report.competition}: {tally}.", style)


def fixed_blocks(fixed: Fixed) -> Iterator[Line]:
    """What was fixed, and how to take it back."""
    from cldc.validation.fixing import undo_command

    stripped = [change.source for change in fixed.changes if change.kind == "strip"]
    if stripped:
        what = f"Removed the metadata of {plural(len(stripped), 'image')}"
        yield Line(printable(f"{what}: {first_few(stripped)} [image-metadata]"))
    for change in fixed.changes:
        if change.kind == "rename":
            yield Line(printable(f"Mended {change.source} -> {change.target} [{change.rule}]"))
        elif change.kind == "aside":
            yield Line(printable(f"Mended {change.source} {_aside(fixed)} [{change.rule}]"))
    for path in fixed.left:
        yield Line(printable(f"Left {path}: links lead to it or through it; --fix --into mends a copy."))
    for path in fixed.damaged:
        why = "the file is damaged or oddly made, so removing it might change the picture"
        yield Line(printable(f"Left the metadata of {path}: {why}."), "warning")
    for link in fixed.copied:
        yield Line(printable(f"Copied {link.path} from {link.target}, outside the dataset."), "warning")
    if not fixed.changes:
        yield Line("Nothing was mended." if fixed.left or fixed.damaged else "There was nothing to mend.")
    elif fixed.record is not None:
        yield Line(f"To take it back: {undo_command(fixed.record)}")


def _aside(fixed: Fixed) -> str:
    return "set aside" if fixed.record is not None else "left out"


def undone_blocks(undone: Undone) -> Iterator[Line]:
    """What was taken back, and of each thing that could not be, why."""
    for _, error in undone.left:
        yield Line(printable(f"Not taken back: {error.message} {error.action}"), "bad")
    count, left = len(undone.changes), len(undone.left)
    rest = f", and {left} could not be" if left else ""
    yield Line(f"Took back {plural(count, 'change')}{rest}.", "bad" if left else "good")


def undone_data(undone: Undone) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "undone": [_change(change) for change in undone.changes],
        "left": [
            {**_change(change), "message": printable(error.message), "action": printable(error.action)}
            for change, error in undone.left
        ],
    }


def _change(change: Change) -> dict[str, str]:
    return {
        "kind": change.kind,
        "rule": change.rule,
        "source": printable(change.source),
        "target": printable(change.target),
    }


def _fixed(fixed: Fixed) -> dict[str, Any]:
    return {
        "changes": [_change(change) for change in fixed.changes],
        "record": None if fixed.record is None else printable(str(fixed.record)),
        "left": [printable(path) for path in fixed.left],
        "copied": [_outward_link(link) for link in fixed.copied],
        "damaged": [printable(path) for path in fixed.damaged],
    }


def data(report: ValidationReport, fixed: Fixed | None = None) -> dict[str, Any]:
    """The report, and what was mended before, as the JSON that docs/validation.md describes."""
    told = _report(report)
    return told if fixed is None else {**told, "fixed": _fixed(fixed)}


def _report(report: ValidationReport) -> dict[str, Any]:
    dataset = report.dataset
    return {
        "schema": JSON_SCHEMA,
        "dataset": {
            "root": printable(str(dataset.root)),
            "name": dataset.name,
            "hash": dataset.hash,
            "images": report.total,
            "passed_over": sum(other.reason != IgnoreReason.BESIDE_SPLITS for other in dataset.ignored),
        },
        "competition": report.competition,
        "ok": report.ok,
        "counts": {split: dict(classes) for split, classes in report.counts.items()},
        "padded": report.padded,
        "limits": {"images": report.max_images, "padded": report.max_padded},
        "outward_links": [_outward_link(link) for link in report.outward_links],
        "metadata": asdict(report.metadata),
        "findings": [_finding(finding) for finding in report.findings],
    }


def _outward_link(link: OutwardLink) -> dict[str, Any]:
    return {"path": printable(link.path), "target": printable(link.target), "images": link.images}


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "message": printable(finding.message),
        "consequence": printable(finding.consequence),
        "remedy": printable(finding.remedy),
        "paths": [printable(path) for path in finding.paths],
        "fixable": finding.fixable,
    }


def to_json(report: ValidationReport, fixed: Fixed | None = None) -> str:
    """The report, and what was mended before, as JSON text with a line end."""
    return json.dumps(data(report, fixed), indent=2) + "\n"


def rules_markdown(rules: tuple[Rule, ...]) -> str:
    """The rules as a Markdown table, for the documentation."""
    rows = [f"| `{rule.id}` | {rule.severity.value} | {rule.title} | {rule.why} |" for rule in rules]
    return "\n".join(["| rule | severity | what is wanted | why |", "|---|---|---|---|", *rows]) + "\n"
