"""A validation report as text, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

from cldc.dataset import IgnoreReason, OutwardLink
from cldc.render.document import Block, Document, Line, Page, Style, Table, first_lines
from cldc.render.validation_ci import file_annotations, sarif
from cldc.text import first_few, plural
from cldc.validation import Finding, Severity, ValidationReport
from cldc.validation.change_records import Change, Fixed, Undone, undo_command
from cldc.validation.rules import RULES

# Raised when a field of the JSON changes its meaning or goes; a new field does not raise it.
JSON_SCHEMA = 1
_STYLES: dict[Severity, Style] = {
    Severity.ERROR: "bad",
    Severity.WARNING: "warning",
    Severity.NOTE: "dim",
}
_RULES = {rule.id: rule for rule in RULES}
_SHOWN_FINDINGS = 10
_SHOWN_PATHS = 5
_MOST_PATHS = 40
_MOST_FINDINGS = 300
# A rule with more findings starts folded.
_OPEN_UP_TO = 12


def validation_document(
    report: ValidationReport,
    fixed: Fixed | None = None,
    *,
    everything: bool = False,
    thumbnails: Callable[[], Mapping[str, str]] = dict,
) -> Document:
    """Build a report in all its formats.

    Args:
        report: The report.
        fixed: What was fixed before.
        everything: Whether people see long lists in full.
        thumbnails: Draws the page's pictures, as ``data:`` addresses by path.
    """
    return Document(
        data=_data(report, fixed),
        blocks=validation_blocks(report, everything=everything),
        page=Page("validation.html", lambda: _values(report, thumbnails())),
        annotations=lambda: file_annotations(report),
        sarif=lambda: sarif(report),
    )


def validation_blocks(report: ValidationReport, *, everything: bool = False) -> tuple[Block, ...]:
    """Show the report to a person; long lists are cut unless ``everything``."""
    if not everything and (missing := [f for f in report.findings if f.rule == "split-missing"]):
        return tuple(_missing_splits(report, missing))
    return (_counts(report), *_findings(report, everything), *_summary(report))


def _missing_splits(report: ValidationReport, missing: list[Finding]) -> Iterator[Line]:
    """Show only what to do about missing splits: until that is done, other findings mean little."""
    for finding in missing:
        yield _heading(finding.severity, finding.message, finding.rule)
        yield Line(f"  {finding.remedy}")
    if report.total:
        hidden = len(report.findings) - len(missing)
        more = f"; --verbose shows {plural(hidden, 'more finding')}" if hidden else ""
        yield Line(f"Not valid for {report.competition.name}{more}.", "bad")


def _counts(report: ValidationReport) -> Table:
    splits = list(report.counts)
    labels = list(dict.fromkeys(label for classes in report.counts.values() for label in classes))
    rows = [[label, *(f"{report.counts[split].get(label, 0):,}" for split in splits)] for label in labels]
    rows.append(["all", *(f"{sum(report.counts[split].values()):,}" for split in splits)])
    return Table(
        headers=("class", *splits),
        rows=rows,
        title=f"Images in {report.dataset.name}",
        numbers=splits,
    )


def _findings(report: ValidationReport, everything: bool) -> Iterator[Line]:
    for (severity, rule), group in groupby(report.findings, key=lambda f: (f.severity, f.rule)):
        findings = list(group)
        if len(findings) == 1:
            yield _heading(severity, findings[0].message, rule)
            if not _names_its_path(findings[0]):
                yield from first_lines(findings[0].paths, _SHOWN_PATHS, everything=everything, indent=4)
            yield from _advice(findings[0])
        else:
            counted = _RULES[rule].counted
            if any(len(finding.paths) > 2 for finding in findings):
                counted = counted.replace("pairs", "groups")
            yield _heading(severity, f"{len(findings):,} {counted}", rule)
            shown = findings if everything else findings[:_SHOWN_FINDINGS]
            for same_advice in _grouped(shown, lambda f: (f.consequence, f.remedy)):
                yield from _messages(same_advice)
                yield from _advice(same_advice[0])
            if len(findings) > len(shown):
                yield Line(f"  and {len(findings) - len(shown):,} more (--verbose shows all)", "dim")


def _messages(findings: Iterable[Finding]) -> Iterator[Line]:
    """Show each message once, above the paths of its findings."""
    for same_message in _grouped(findings, lambda f: f.message):
        yield Line(f"  {same_message[0].message}")
        for finding in same_message:
            if not _names_its_path(finding):
                yield Line(f"    {first_few(finding.paths, _SHOWN_PATHS)}")


def _heading(severity: Severity, text: str, rule: str) -> Line:
    return Line(f"{severity.value}: {text} [{rule}]", _STYLES[severity])


def _grouped(findings: Iterable[Finding], key: Callable[[Finding], object]) -> list[list[Finding]]:
    """Group findings by key, in the order in which each key comes first."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(key(finding), []).append(finding)
    return list(groups.values())


def _advice(finding: Finding) -> Iterator[Line]:
    yield Line(f"  {finding.consequence}")
    yield Line(f"  {finding.remedy}")


def _names_its_path(finding: Finding) -> bool:
    return len(finding.paths) == 1 and finding.paths[0] in finding.message


def _summary(report: ValidationReport) -> Iterator[Line]:
    limits = report.competition.dataset
    yield Line(
        f"{report.total:,} images, {report.padded:,} as the script counts them "
        f"(limits {limits.max_images:,} and {limits.max_padded:,})."
    )
    yield Line(f"Dataset {report.dataset.hash}")
    if report.silenced:
        findings = plural(report.silenced, "finding is", "findings are")
        yield Line(f"{findings} hidden: decisions.csv marks the images as correct.", "dim")
    if not report.warped_compared and sum(any(counts.values()) for counts in report.counts.values()) > 1:
        yield Line(
            "Rotated, stretched and sheared copies were not checked for; use --warped.",
            "dim",
        )
    tally = ", ".join(plural(len(report.of(s)), s.value) for s in Severity)
    style: Style = "bad" if not report.ok else "warning" if report.of(Severity.WARNING) else "good"
    yield Line(f"{'Valid' if report.ok else 'Not valid'} for {report.competition.name}: {tally}.", style)


def fixed_blocks(fixed: Fixed) -> Iterator[Line]:
    """Show what was fixed, and how to undo it."""
    stripped = [change.source for change in fixed.changes if change.kind == "strip"]
    if stripped:
        images = plural(len(stripped), "image")
        yield Line(f"Removed the metadata of {images}: {first_few(stripped)} [image-metadata]")
    for change in fixed.changes:
        if change.kind == "rename":
            yield Line(f"Renamed {change.source} to {change.target} [{change.rule}]")
        elif change.kind == "aside":
            done = "Left out" if fixed.record is None else "Set aside"
            yield Line(f"{done} {change.source} [{change.rule}]")
    for path in fixed.left:
        yield Line(f"Left {path}: links lead to it or through it; --fix --into fixes a copy.")
    for path in fixed.damaged:
        why = "the file is damaged or unusual, so removing it might change the picture"
        yield Line(f"Left the metadata of {path}: {why}.", "warning")
    yield from copied_blocks(fixed.copied)
    if not fixed.changes:
        yield Line("Nothing was fixed." if fixed.left or fixed.damaged else "There was nothing to fix.")
    elif fixed.record is not None:
        yield Line(f"To undo: {undo_command(fixed.record)}")


def copied_blocks(links: Iterable[OutwardLink]) -> Iterator[Line]:
    """List links that a copy replaces with the linked files, which a submission of the copy would publish."""
    for link in links:
        yield Line(f"Copied {link.path} from {link.target}, outside the dataset.", "warning")


def undone_blocks(undone: Undone) -> Iterator[Line]:
    """Show what was undone, and why the rest could not be."""
    for _, error in undone.left:
        yield Line(f"Not undone: {error.message} {error.action}", "bad")
    rest = f"; {len(undone.left)} could not be undone" if undone.left else ""
    yield Line(f"Undid {plural(len(undone.changes), 'change')}{rest}.", "bad" if undone.left else "good")


def undone_data(undone: Undone) -> dict[str, Any]:
    """Build the JSON result."""
    return {
        "undone": [_change(change) for change in undone.changes],
        "left": [
            {**_change(change), "message": error.message, "action": error.action}
            for change, error in undone.left
        ],
    }


def _change(change: Change) -> dict[str, str]:
    return {
        "kind": change.kind,
        "rule": change.rule,
        "source": change.source,
        "target": change.target,
    }


def _fixed(fixed: Fixed) -> dict[str, Any]:
    return {
        "changes": [_change(change) for change in fixed.changes],
        "record": fixed.record,
        "left": fixed.left,
        "copied": [_outward_link(link) for link in fixed.copied],
        "damaged": fixed.damaged,
    }


def _data(report: ValidationReport, fixed: Fixed | None = None) -> dict[str, Any]:
    """Build the JSON of the report and of what was fixed before, as docs/validation.md describes it."""
    dataset, limits = report.dataset, report.competition.dataset
    return {
        "schema": JSON_SCHEMA,
        "dataset": {
            "root": dataset.root,
            "name": dataset.name,
            "hash": dataset.hash,
            "images": report.total,
            "passed_over": sum(each.reason != IgnoreReason.BESIDE_SPLITS for each in dataset.ignored),
        },
        "competition": report.competition.name,
        "ok": report.ok,
        "counts": {split: dict(classes) for split, classes in report.counts.items()},
        "padded": report.padded,
        "limits": {"images": limits.max_images, "padded": limits.max_padded},
        "outward_links": [_outward_link(link) for link in report.dataset.outward_links],
        "metadata": report.metadata,
        "silenced": report.silenced,
        "warped_compared": report.warped_compared,
        "findings": [finding._asdict() for finding in report.findings],
        **({} if fixed is None else {"fixed": _fixed(fixed)}),
    }


def _outward_link(link: OutwardLink) -> dict[str, Any]:
    return {"path": link.path, "target": link.target, "images": link.images}


def _values(report: ValidationReport, thumbnails: Mapping[str, str]) -> dict[str, Any]:
    splits = list(report.counts)
    classes = list(dict.fromkeys(label for counts in report.counts.values() for label in counts))
    balance = [(label, [report.counts[split].get(label, 0) for split in splits]) for label in classes]
    most = max((count for _, counts in balance for count in counts), default=0) or 1
    return {
        "title": f"Dataset {report.dataset.name}",
        "report": report,
        "splits": splits,
        "classes": classes,
        "balance": balance,
        "shares": [[count / most for count in counts] for _, counts in balance],
        "totals": [sum(report.counts[split].values()) for split in splits],
        "groups": [
            _group(rule, severity, list(findings), thumbnails)
            for (severity, rule), findings in groupby(report.findings, key=lambda f: (f.severity, f.rule))
        ],
        "places": {image.path: (image.split, image.label) for image in report.dataset.images},
        "thumbnails": thumbnails,
        "most_paths": _MOST_PATHS,
        "most_findings": _MOST_FINDINGS,
        "open_up_to": _OPEN_UP_TO,
    }


def _group(
    rule: str, severity: str, findings: list[Finding], thumbnails: Mapping[str, str]
) -> dict[str, Any]:
    """Show one rule's findings; advice that all of them share stands once, above them."""
    known = _RULES.get(rule)
    advice = {f"{finding.consequence} {finding.remedy}" for finding in findings}
    return {
        "rule": rule,
        "severity": severity,
        "title": known.title if known else rule,
        "why": known.why if known else "",
        "advice": advice.pop() if len(advice) == 1 else "",
        "pictured": any(path in thumbnails for finding in findings for path in finding.paths),
        "findings": [
            {
                "message": finding.message,
                "advice": f"{finding.consequence} {finding.remedy}",
                "pictured": [path for path in finding.paths if path in thumbnails],
                "others": [path for path in finding.paths if path not in thumbnails],
            }
            for finding in findings
        ],
    }
