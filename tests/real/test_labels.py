"""Suspicious labels, found for real in their own environment."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image as Picture

from cldc import competition, sample
from cldc.insight.label_search import find_suspicious_labels, known_suspicious_labels
from cldc.validation import validate
from tests.support.commands import Cldc, cldc_in


def test_wrong_labels_come_first_and_a_clean_dataset_has_none(
    tmp_path: Path, environments_home: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "environments").symlink_to(environments_home / "environments")
    profile = competition.load("demo")
    root = sample.draw(tmp_path / "mine", profile, images=400)
    (root / "train" / "i" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n torn")

    def search() -> tuple[float, list[str]]:
        dataset = validate(root, profile).dataset
        report = find_suspicious_labels(dataset, profile.dataset.classes, home=tmp_path / "home")
        assert report.unreadable == ("train/i/torn.png",)
        assert len(report.images) == len(dataset.images) - 1
        # Kept, also for the same images under other names.
        (root / "train" / "v").rename(root / "val" / "v" / "moved")
        moved = validate(root, profile).dataset
        known = known_suspicious_labels(moved, profile.dataset.classes, home=tmp_path / "home")
        (root / "val" / "v" / "moved").rename(root / "train" / "v")
        assert known is not None
        assert [image.sha256 for image in known.images] == [image.sha256 for image in report.images]
        return report.expected_wrong(), [image.path for image in report.images]

    expected, _ = search()
    assert expected < 2
    rng, flipped = random.Random(5), set()
    for path in rng.sample(sorted((root / "train").rglob("??*.png")), 15):
        to = rng.choice([c for c in profile.dataset.classes if c != path.parent.name])
        moved = root / "train" / to / f"flipped-{path.parent.name}-{path.name}"
        if path.name != "torn.png":
            flipped.add(path.rename(moved).relative_to(root).as_posix())
    expected, ranked = search()
    assert 5 <= expected <= 25
    assert sum(path in flipped for path in ranked[:20]) >= 10


def test_a_rotated_copy_in_another_split_is_found_where_the_environment_is(
    bare_cldc: Cldc, tmp_path: Path, environments_home: Path
) -> None:
    root = sample.draw(tmp_path / "mine", competition.load("demo"), images=400)
    rng, copied = random.Random(7), set()
    for path in rng.sample(sorted((root / "val").glob("v*/*.png")), 12):
        with Picture.open(path) as picture:
            warped = picture.convert("L").rotate(
                rng.choice((-5, 5)), Picture.Resampling.BILINEAR, fillcolor=255
            )
        warped.save(root / "train" / path.parent.name / f"warped-{path.name}")
        copied.add(path.relative_to(root).as_posix())

    def findings(cldc: Cldc) -> list[list[str]]:
        data = cldc("validate", root, "--competition", "demo", "--format", "json").data
        shared.append(data["warped_compared"])
        return [f["paths"] for f in data["findings"] if f["rule"] == "drawing-across-splits"]

    shared: list[bool] = []
    assert findings(bare_cldc) == []
    found = findings(cldc_in(tmp_path / "shared", environments_home))
    assert shared == [False, True]
    assert len(found) >= 6
    for paths in found:
        original = next(path for path in paths if path.startswith("val/"))
        assert original in copied
        assert any(path.endswith(f"warped-{Path(original).name}") for path in paths)

    # A split drawn anew keeps them together.
    drawn = cldc_in(tmp_path / "shared", environments_home)(
        "split", root, "--competition", "demo", "--val", "0.5", "--dry-run", "--format", "json"
    ).data
    assert drawn["warped_compared"]
    sides = {move["path"]: move["split"] for move in drawn["moves"]}
    for paths in found:
        assert len({sides.get(path, path.partition("/")[0]) for path in paths}) == 1
