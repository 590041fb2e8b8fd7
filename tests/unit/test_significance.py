"""Whether B is better than A: the interval, what more seeds would do, and what images can't tell."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cldc.insight.paired import TrainedModel, compare_repeats
from cldc.insight.significance import judge, t_quantile
from cldc.render.comparison import limit, verdict
from tests.support.insights import RESULT, images


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    # Tables of Student's t, two-sided 95 %.
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (10, 2.2281), (30, 2.0423), (120, 1.9799), (1e6, 1.95996)],
)
def test_students_t_is_that_of_the_tables(freedom: float, quantile: float) -> None:
    assert t_quantile(freedom) == pytest.approx(quantile, abs=1e-4)


def answers(accuracy: float, *, seeds: int, count: int, chance: random.Random) -> list[list[bool]]:
    """Models that are right at random, so that their true difference is known."""
    return [[chance.random() < accuracy for _ in range(count)] for _ in range(seeds)]


def test_a_large_difference_is_found_with_its_sign() -> None:
    chance = random.Random(1)
    a = answers(0.5, seeds=5, count=500, chance=chance)
    b = answers(0.7, seeds=5, count=500, chance=chance)
    better, worse = judge("label book", a, b), judge("label book", b, a)
    assert (better.verdict, worse.verdict) == ("better", "worse")
    assert better.low < 0.2 < better.high
    assert (worse.difference, worse.low) == pytest.approx((-better.difference, -better.high))
    assert verdict(better, "a", "b").startswith("b is better than a on the label book by ")
    # The interval is written with both ends negative, as the difference is.
    points = f"{-100 * worse.difference:.1f} points (95 %: {-100 * worse.high:.1f} to {-100 * worse.low:.1f})"
    assert f"a is worse than b on the label book by {points}" in verdict(worse, "b", "a")
    assert limit(better) == ""


def test_an_undecided_comparison_says_how_many_seeds_would_decide_it_or_that_none_would() -> None:
    chance = random.Random(3)
    a = answers(0.60, seeds=3, count=400, chance=chance)
    found = judge("label book", a, answers(0.63, seeds=3, count=400, chance=chance))
    assert found.verdict == "unknown"
    assert found.more_seeds
    assert f"; about {found.more_seeds} more seeds would." in verdict(found, "a", "b")
    # Images that always differ the same way: other seeds bring nothing new.
    easy = [[True] * 26 + [False] * 26] * 4
    other = [[True] * 24 + [False] * 2 + [True] * 3 + [False] * 23] * 4
    stuck = judge("label book", easy, other)
    assert (stuck.verdict, stuck.more_seeds) == ("unknown", None)
    assert "no number of seeds would tell" in verdict(stuck, "a", "b")
    assert limit(stuck).startswith("52 images can't tell less than some ")


@given(st.data(), st.integers(2, 6), st.integers(2, 12))
def test_any_answers_give_an_interval_around_their_difference(
    data: st.DataObject, seeds: int, count: int
) -> None:
    table = st.lists(st.lists(st.booleans(), min_size=count, max_size=count), min_size=seeds, max_size=seeds)
    before, after = data.draw(table), data.draw(table)
    found = judge("x", before, after)
    assert found.low <= found.difference <= found.high
    assert found.difference == pytest.approx(found.after - found.before)
    assert (found.verdict == "unknown") == (found.low <= 0 <= found.high)
    assert not judge("x", before, before).difference


def test_each_set_of_images_judges_only_if_both_models_predicted_the_same_images() -> None:
    def model(seed: int, *rows: tuple[str, str, int, float]) -> TrainedModel:
        mark = dataclasses.replace(RESULT.fingerprint, seed=seed)
        return TrainedModel(dataclasses.replace(RESULT, fingerprint=mark), images(*rows))

    book = (("book/a/1.png", "k1", 0, 0.1), ("book/b/2.png", "k2", 1, 0.9))
    wrong = (("book/a/1.png", "k1", 0, 0.9), ("book/b/2.png", "k2", 1, 0.9))
    before = [
        model(seed, ("train/a/1.png", "k1", 0, 0.1), ("val/a/1.png", "s1", 0, 0.1), *book) for seed in (1, 2)
    ]
    after = [model(seed, ("val/a/1.png", "s2", 0, 0.1), *wrong) for seed in (1, 2)]
    found = compare_repeats(before, after)
    assert [(j.by, j.difference) for j in found.judgements] == [("label book", -0.5)]
    assert found.notes == (
        "Their validation splits differ, so they can't tell which is better.",
        "1 of the 2 images of the label book are in the first dataset and 0 in the second: models learn those by heart.",
    )
    assert [pair.seed for pair in found.pairs] == [1, 2]
