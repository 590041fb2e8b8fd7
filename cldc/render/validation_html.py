"""A validation report as one self-contained page: no script, nothing loaded from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby

from cldc.render.pages import fill_page
from cldc.render.pages import text as _text
from cldc.validation import Finding, Severity, ValidationReport
from cldc.validation.rules import RULES

_TITLES = {rule.id: rule for rule in RULES}
_MOST_PATHS = 40
_MOST_FINDINGS = 300


def to_html(report: ValidationReport, thumbnails: Mapping[str, str]) -> str:
    """The page; ``thumbnails`` are ``data:`` addresses by path, as `cldc.validation.thumbnails` makes them."""
    return fill_page(
        "validation.html",
        title=_text(f"Dataset {report.dataset.name}"),
        summary="\n".join(_summary(report)),
        balance="\n".join(_balance(report)),
        findings="\n".join(_findings(report, thumbnails)),
    )


def _summary(report: ValidationReport) -> Iterator[str]:
    word, look = ("Valid", "ok") if report.ok else ("Not valid", "error")
    yield f'<p class="verdict {look}">{word} for {_text(report.competition)}</p>'
    yield "<dl>"
    rows = (
        ("Folder", str(report.dataset.root)),
        ("Images", f"{report.total:,} (the guide allows {report.max_images:,})"),
        ("As the script counts", f"{report.padded:,} (it takes {report.max_padded:,})"),
        ("Identity", report.dataset.hash),
    )
    for name, value in rows:
        yield f"<dt>{name}</dt><dd>{_text(value)}</dd>"
    yield "</dl>"
    yield "<nav><ul>"
    for (severity, rule), group in _grouped(report):
        count = len(list(group))
        yield f'<li class="{severity}"><a href="#{rule}">{_text(_title(rule))}</a>: {count:,} {severity}{_s(count)}</li>'
    yield "</ul></nav>"


def _grouped(report: ValidationReport) -> groupby[tuple[Severity, str], Finding]:
    return groupby(report.findings, key=lambda finding: (finding.severity, finding.rule))


def _title(rule: str) -> str:
    return _TITLES[rule].title if rule in _TITLES else rule


def _s(count: int) -> str:
    return "" if count == 1 else "s"


def _balance(report: ValidationReport) -> Iterator[str]:
    splits = list(report.counts)
    most = max((count for classes in report.counts.values() for count in classes.values()), default=0)
    labels = list(dict.fromkeys(label for classes in report.counts.values() for label in classes))
    yield "<h2>Images of each class</h2>"
    heads = "".join(f'<th scope="col">{_key(place)}{_text(split)}</th>' for place, split in enumerate(splits))
    yield f'<table><thead><tr><th scope="col">class</th>{heads}<th scope="col"></th></tr></thead><tbody>'
    for label in labels:
        counts = [report.counts[split].get(label, 0) for split in splits]
        cells = "".join(f"<td>{count:,}</td>" for count in counts)
        yield f'<tr><th scope="row">{_text(label)}</th>{cells}<td class="bar">{_bars(counts, most)}</td></tr>'
    totals = "".join(f"<td>{sum(report.counts[split].values()):,}</td>" for split in splits)
    yield f'<tr><th scope="row">all</th>{totals}<td></td></tr></tbody></table>'


def _key(place: int) -> str:
    return (
        f'<svg class="key" aria-hidden="true"><rect class="b{place % 4}" width="100%" height="100%"/></svg>'
    )


def _bars(counts: list[int], most: int) -> str:
    height = 100 / max(len(counts), 1)
    bars = "".join(
        f'<rect class="b{place % 4}" x="0" y="{place * height + 5:.1f}%" '
        f'width="{100 * count / most if most else 0:.1f}%" height="{height - 10:.1f}%"/>'
        for place, count in enumerate(counts)
    )
    return f'<svg aria-hidden="true">{bars}</svg>'


def _findings(report: ValidationReport, thumbnails: Mapping[str, str]) -> Iterator[str]:
    if not report.findings:
        yield "<h2>Findings</h2><p>Nothing was found.</p>"
    for (severity, rule), group in _grouped(report):
        found = list(group)
        yield f'<section class="rule" id="{rule}">'
        yield f'<h2 class="{severity}">Wanted: {_text(_title(rule))}</h2>'
        yield f'<p class="soft">{severity} <code>{rule}</code>. {_text(_TITLES[rule].why if rule in _TITLES else "")}</p>'
        once = len({(finding.consequence, finding.remedy) for finding in found}) == 1
        if once:
            yield _advice(found[0])
        for finding in found[:_MOST_FINDINGS]:
            yield from _article(finding, thumbnails, advice="" if once else _advice(finding))
        if len(found) > _MOST_FINDINGS:
            yield f"<p>and {len(found) - _MOST_FINDINGS:,} more</p>"
        yield "</section>"


def _advice(finding: Finding) -> str:
    return f"<p>{_text(finding.consequence)} {_text(finding.remedy)}</p>"


def _article(finding: Finding, thumbnails: Mapping[str, str], *, advice: str) -> Iterator[str]:
    yield f"<article><h3>{_text(finding.message)}</h3>"
    pictured = [path for path in finding.paths if path in thumbnails]
    if pictured:
        yield '<ul class="pictures">'
        for path in pictured:
            yield f'<li><img src="{thumbnails[path]}" alt=""><span class="path">{_text(path)}</span></li>'
        yield "</ul>"
    others = [path for path in finding.paths if path not in thumbnails]
    if others:
        yield '<ul class="paths">'
        yield from (f'<li class="path">{_text(path)}</li>' for path in others[:_MOST_PATHS])
        if len(others) > _MOST_PATHS:
            yield f"<li>and {len(others) - _MOST_PATHS:,} more</li>"
        yield "</ul>"
    yield f"{advice}</article>"
