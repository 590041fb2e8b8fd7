"""A preflight as one self-contained page: curves, what is confused with what, mistakes, and labels that look wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from cldc.insight import Insight, confusion, worst_mistakes
from cldc.render.pages import fill_page, text

if TYPE_CHECKING:
    from cldc.preflight import Epoch, PreflightResult
    from cldc.preflight.learned import Learned, Seen

MOST_MISTAKES = 24
_Curves = tuple[Callable[["Epoch"], float], Callable[["Epoch"], float]]
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 240, 36, 24, 10


def to_html(insight: Insight) -> str:
    """The page."""
    result = insight.result
    kind = "Quick preflight" if result.quick else "Preflight"
    return fill_page(
        "preflight.html",
        title=text(f"{kind} of {result.dataset_name}"),
        summary="\n".join([*_summary(result), *_contents(insight)]),
        content="\n".join(_content(insight)),
    )


def _content(insight: Insight) -> Iterator[str]:
    yield from _warnings(insight.result)
    yield from _curves(insight.result)
    learned = insight.learned
    if learned is None or not learned.known:
        why = learned.why_not if learned else "an older cldc trained it; --force trains again"
        yield f'<h2>What the model learned</h2><p class="note">It can\'t be told: {text(why)}.</p>'
    else:
        yield from _by_class(learned)
        yield '<h2 id="confusion">What is taken for what</h2>'
        yield '<p class="soft">A row is a class as labelled, a column what the model believes.</p>'
        yield f'<div class="charts">{"".join(_matrix(learned, split) for split in learned.splits[1:])}</div>'
        for split in learned.splits[1:]:
            yield from _mistakes(insight, learned, split)
    yield from _suggestions(insight)


def _summary(result: PreflightResult) -> Iterator[str]:
    mark = result.fingerprint
    validation = f"{result.validation.accuracy:.2%}"
    if result.quick:
        yield '<p class="verdict warning">One epoch only; a submission can\'t rest on it.</p>'
    elif result.label_book is not None:
        yield f'<p class="verdict">{validation} on validation, {result.label_book.accuracy:.2%} on the label book</p>'
    counts = ", ".join(f"{count:,} {split}" for split, count in result.images.items())
    rows = [
        ("Images", counts),
        ("Best epoch", f"{result.best_epoch} of {mark.epochs}"),
        ("Trained", f"{result.started[:16].replace('T', ' ')} UTC, {result.seconds:,.0f} s"),
        ("With", result.surroundings),
        ("Script", f"{mark.script[:12]} ({result.origin})"),
        ("Dataset", mark.dataset),
        ("Preflight", result.id),
    ]
    yield "<dl>" + "".join(f"<dt>{name}</dt><dd>{text(value)}</dd>" for name, value in rows) + "</dl>"


def _contents(insight: Insight) -> Iterator[str]:
    """Links to what there is to look at, most of all to what can be mended."""
    learned, found = insight.learned, len(insight.suggestions)
    yield "<nav><ul>"
    yield f'<li><a href="#labels">Labels that look wrong</a>{"" if insight.no_suggestions else f": {found}"}</li>'
    if learned is not None and learned.known:
        for split in learned.splits[1:]:
            wrong = sum(image.mistaken for image in learned.of(split))
            yield f'<li><a href="#mistakes-{text(split)}">Mistakes on {text(split)}</a>: {wrong:,}</li>'
        yield '<li><a href="#classes">Accuracy of each class</a></li>'
        yield '<li><a href="#confusion">What is taken for what</a></li>'
    yield "</ul></nav>"


def _warnings(result: PreflightResult) -> Iterator[str]:
    yield from (f'<p class="warning">{text(warning)}</p>' for warning in result.warnings)


def _curves(result: PreflightResult) -> Iterator[str]:
    if not result.history:
        return
    yield "<h2>Learning curves</h2>"
    yield (
        '<p class="soft"><span class="key k0"></span> training '
        '<span class="key k1"></span> validation, the dot is the best epoch, whose weights are kept</p>'
    )
    yield '<div class="charts">'
    accuracy: _Curves = (lambda e: e.accuracy, lambda e: e.val_accuracy)
    yield _chart("Accuracy", result, accuracy, top=1.0, label=lambda v: f"{v:.0%}")
    loss: _Curves = (lambda e: e.loss, lambda e: e.val_loss)
    # Two early peaks would flatten everything else. Steps of a tenth: the axis' labels show one digit.
    values = sorted(v for e in result.history for v in (e.loss, e.val_loss) if math.isfinite(v))
    top = math.ceil(max(values[int(len(values) * 0.97)] if values else 1.0, 0.1) * 1.05 / 0.4) * 0.4
    yield _chart("Loss", result, loss, top=top, label=lambda v: f"{v:.1f}")
    yield "</div>"


def _chart(
    name: str,
    result: PreflightResult,
    curves: _Curves,
    *,
    top: float,
    label: Callable[[float], str],
) -> str:
    last = max(result.history[-1].number, 2)

    def x(epoch: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 8) * (epoch - 1) / (last - 1)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * min(max(value / top, 0.0), 1.0)

    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name} by epoch">']
    for step in range(5):
        value = top * step / 4
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        )
        parts.append(f'<text x="{_LEFT - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{label(value)}</text>')
    for epoch in sorted({1, *(round(last * part / 4) for part in range(1, 5))} - {0}):
        anchor = "end" if epoch == last else "middle"
        parts.append(f'<text x="{x(epoch):.1f}" y="{_HEIGHT - 7}" text-anchor="{anchor}">{epoch}</text>')
    for number, curve in enumerate(curves):
        points = " ".join(
            f"{x(e.number):.1f},{y(curve(e)):.1f}" for e in result.history if math.isfinite(curve(e))
        )
        parts.append(f'<polyline class="line l{number}" points="{points}"/>')
    best = next((e for e in result.history if e.number == result.best_epoch), None)
    if best is not None and math.isfinite(curves[-1](best)):
        parts.append(f'<circle class="best" cx="{x(best.number):.1f}" cy="{y(curves[-1](best)):.1f}" r="4"/>')
    parts.append("</svg>")
    return f"<figure><figcaption>{name}</figcaption>{''.join(parts)}</figure>"


def _by_class(learned: Learned) -> Iterator[str]:
    judging = learned.splits[1:]
    yield '<h2 id="classes">Accuracy of each class</h2>'
    heads = "".join(
        f'<th scope="col">{text(split)} <span class="key k{place % 2}"></span></th>'
        for place, split in enumerate(judging)
    )
    yield f'<table><thead><tr><th scope="col">class</th>{heads}<th></th></tr></thead><tbody>'
    for index, label in enumerate(learned.classes):
        shares = [_share([i for i in learned.of(split) if i.label == index]) for split in judging]
        cells = "".join(f"<td>{'' if share is None else f'{share:.0%}'}</td>" for share in shares)
        yield f'<tr><th scope="row">{text(label)}</th>{cells}<td class="bar">{_bars(shares)}</td></tr>'
    yield "</tbody></table>"


def _share(images: Sequence[Seen]) -> float | None:
    return sum(not image.mistaken for image in images) / len(images) if images else None


def _bars(shares: Sequence[float | None]) -> str:
    height = 100 / max(len(shares), 1)
    bars = "".join(
        f'<rect class="b{place % 4}" x="0" y="{place * height + 5:.1f}%" '
        f'width="{100 * (share or 0):.1f}%" height="{height - 10:.1f}%"/>'
        for place, share in enumerate(shares)
    )
    return f'<svg aria-hidden="true">{bars}</svg>'


def _matrix(learned: Learned, split: str) -> str:
    counts = confusion(learned, split)
    heads = "".join(f'<th scope="col">{text(label)}</th>' for label in learned.classes)
    parts = [f'<table class="matrix"><thead><tr><th></th>{heads}</tr></thead><tbody>']
    for row, label in enumerate(learned.classes):
        total = max(sum(counts[row]), 1)
        cells = "".join(
            f'<td class="{"right" if row == column else "wrong"}" style="--part:{70 * count / total:.0f}%">{count or ""}</td>'
            for column, count in enumerate(counts[row])
        )
        parts.append(f'<tr><th scope="row">{text(label)}</th>{cells}</tr>')
    parts.append("</tbody></table>")
    return f'<figure><figcaption>{text(split)}</figcaption><div class="wide">{"".join(parts)}</div></figure>'


def _mistakes(insight: Insight, learned: Learned, split: str) -> Iterator[str]:
    wrong = sum(image.mistaken for image in learned.of(split))
    yield f'<h2 id="mistakes-{text(split)}">Worst mistakes: {text(split)}</h2>'
    if not wrong:
        yield "<p>The model makes none.</p>"
        return
    yield f'<p class="soft">{wrong:,} of {len(learned.of(split)):,} images. On the left the image, on the right what the model saw.</p>'
    yield from _cases(
        (
            insight,
            image.path,
            f"labelled <b>{text(learned.classes[image.label])}</b>, taken for "
            f"<b>{text(learned.classes[image.believed])}</b> ({max(image.probabilities):.0%})",
        )
        for image in worst_mistakes(learned, split, MOST_MISTAKES)
    )


def _suggestions(insight: Insight) -> Iterator[str]:
    yield '<h2 id="labels">Labels that look wrong</h2>'
    if insight.no_suggestions:
        yield f'<p class="note">They can\'t be told: {text(insight.no_suggestions)}.</p>'
        return
    if not insight.suggestions:
        yield "<p>None does.</p>"
        return
    yield (
        '<p class="soft">The worst first, found with confident learning: images of the same shape mostly have another '
        "label. Look at each: where one label in twenty was wrong, a third of a hundred suggestions were right as they were.</p>"
    )
    yield from _cases(
        (
            insight,
            suggestion.path,
            f"labelled <b>{text(suggestion.label)}</b>, looks like <b>{text(suggestion.believed)}</b> "
            f"({suggestion.probability:.0%})"
            + (f"; the model takes it for {text(suggestion.model)}" if suggestion.model else ""),
        )
        for suggestion in insight.suggestions
    )


def _cases(cases: Iterable[tuple[Insight, str, str]]) -> Iterator[str]:
    yield '<ul class="cases">'
    for insight, path, words in cases:
        whole, seen = insight.pictures.get(path, ("", ""))
        images = f'<img src="{whole}" alt=""><img class="seen" src="{seen}" alt="">' if whole else ""
        yield f'<li><div class="pair">{images}</div>{words}<br><span class="path">{text(path)}</span></li>'
    yield "</ul>"
