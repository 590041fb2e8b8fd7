"""`cldc import`: every picture becomes what people see in it, dark on white and upright, and is added once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat

from cldc.curation.ink_on_white import MAX_SIDE, NothingDrawn, tone
from cldc.curation.photos import open_pictures
from tests.support.commands import ROOT, Cldc
from tests.support.drawings import FORMS, seen

FOUR_WAYS = (
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_180,
    Image.Transpose.ROTATE_270,
    Image.Transpose.FLIP_LEFT_RIGHT,
    Image.Transpose.FLIP_TOP_BOTTOM,
)


def difference(one: Image.Image, other: Image.Image) -> float:
    """How far two pictures differ on average, of 255, seen from some distance."""
    far = [
        picture.resize((90, 60), Image.Resampling.BOX).filter(ImageFilter.BoxBlur(1))
        for picture in (one, other)
    ]
    return ImageStat.Stat(ImageChops.difference(*far)).mean[0]


def imported(cldc: Cldc, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    done = cldc("import", *arguments, "--format", "json", code=code)
    result: dict[str, Any] = json.loads(done.out)
    return result


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.filterwarnings("ignore")  # of Pillow's, about what is written here
def test_every_form_becomes_what_a_person_sees(name: str, tmp_path: Path) -> None:
    FORMS[name](tmp_path / name)
    (picture,) = open_pictures(tmp_path / name)
    toned = tone(picture.grey, trim=False)
    assert toned.image.mode == "L"
    assert not toned.image.info
    assert abs(toned.image.width / toned.image.height - 1.5) < 0.02
    assert difference(toned.image, seen()) < 6
    # Held any other way, or with light and dark exchanged, it would differ far more.
    for way in FOUR_WAYS:
        assert difference(toned.image.transpose(way), seen()) > 20
    assert toned.image.point(lambda shade: 255 * (shade >= 250)).getextrema() == (0, 255)
    assert picture.animated == name.startswith("moving")


def test_a_clean_picture_keeps_its_pixels_however_often_it_is_imported() -> None:
    once = tone(seen(), trim=False).image
    assert once.tobytes() == seen().tobytes()
    (shadowed,) = (tone(ImageChops.multiply(seen(), Image.new("L", seen().size, 180)), trim=True).image,)
    assert tone(shadowed, trim=False).image.tobytes() == shadowed.tobytes()


def test_trimming_cuts_to_the_drawing_and_leaves_specks_out() -> None:
    sheet = Image.new("L", (1200, 900), 235)
    sheet.paste(seen(), (700, 500))
    sheet.putpixel((3, 3), 0)
    trimmed = tone(sheet, trim=True).image
    # 127 x 83 pixels of ink and a tenth of that around it.
    assert 145 < trimmed.width < 160
    assert 100 < trimmed.height < 120
    untrimmed = tone(sheet, trim=False).image
    assert untrimmed.size == (MAX_SIDE, MAX_SIDE * 3 // 4)


def test_a_drawing_at_the_edge_gets_its_margin_in_white() -> None:
    close = seen().crop((21, 16, 149, 100))
    trimmed = tone(close, trim=True).image
    assert trimmed.width > close.width
    assert difference(trimmed, tone(seen(), trim=True).image) < 6
    edges = [(0, 0, trimmed.width, 4), (trimmed.width - 4, 0, trimmed.width, trimmed.height)]
    assert all(trimmed.crop(edge).getextrema() == (255, 255) for edge in edges)


def test_paper_on_a_dark_table_is_not_inverted() -> None:
    photo = Image.new("L", (400, 300), 40)
    photo.paste(seen().resize((340, 240)), (30, 30))
    assert not tone(photo, trim=False).inverted


@pytest.mark.parametrize("shade", [0, 90, 180, 255])
@pytest.mark.parametrize("noise", [0, 8])
def test_a_blank_picture_is_left_out(shade: int, noise: int) -> None:
    page = ImageChops.add(
        Image.new("L", (300, 200), shade), Image.effect_noise((300, 200), noise), offset=-128
    )
    with pytest.raises(NothingDrawn):
        tone(page, trim=True)


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder of class folders with a photo, a document of two pages and a file that is no picture."""
    folder = tmp_path / "scans"
    for name in ("vi", "IX", "x"):
        (folder / name).mkdir(parents=True)
    FORMS["upright.heic"](folder / "vi" / "IMG_1.HEIC")
    pages = [seen(), Image.new("L", (180, 120), 255), seen().transpose(Image.Transpose.ROTATE_180)]
    pages[0].save(folder / "IX" / "both.pdf", save_all=True, append_images=pages[1:], resolution=72)
    (folder / "x" / "notes.txt").write_text("not a picture")
    (folder / "x" / ".DS_Store").write_bytes(b"\0")
    FORMS["palette.gif"](folder / "x" / "a.gif")
    return folder


def test_a_folder_of_class_folders_is_imported_in_one_go(cldc: Cldc, sources: Path, tmp_path: Path) -> None:
    data = tmp_path / "digits"
    before = {path: path.read_bytes() for path in sources.rglob("*") if path.is_file()}
    result = imported(cldc, sources, "--dataset", data)
    assert sorted(each["path"].rpartition("/")[0] for each in result["added"]) == [
        "train/ix", "train/ix", "train/vi", "train/x"
    ]  # fmt: skip
    assert [(each["page"], each["blank"]) for each in result["left_out"]] == [(2, True)]
    assert {path: path.read_bytes() for path in before} == before
    written = pictures(data)
    for path, content in written.items():
        with Image.open(data / path) as image:
            assert (image.format, image.mode, image.info) == ("PNG", "L", {}), path
        assert b"secret" not in content
    # Once more: nothing is added, and each image is listed with the path where it is.
    again = imported(cldc, sources, "--dataset", data)
    assert not again["added"]
    assert {each["path"] for each in again["copies"]} == set(written)
    assert pictures(data) == written


def test_files_get_the_class_and_the_split_named(cldc: Cldc, tmp_path: Path) -> None:
    data, photo, other = tmp_path / "digits", tmp_path / "photo.jpg", tmp_path / "same.png"
    FORMS["grey.png"](other)
    FORMS["photo.jpg"](photo)
    shutil.copy(other, tmp_path / "twice.png")
    assert "--class" in cldc("import", photo, "--dataset", data, code=2).err
    assert "no class 'xi'" in cldc("import", photo, "--class", "xi", "--dataset", data, code=2).err
    assert (
        "no split" in cldc("import", photo, "--class", "x", "--split", "test", "--dataset", data, code=2).err
    )
    result = imported(
        cldc, photo, other, tmp_path / "twice.png", "--class", "VI", "--split", "val", "--dataset", data
    )
    assert [each["path"].rpartition("/")[0] for each in result["added"]] == ["val/vi", "val/vi"]
    assert len(result["copies"]) == 1
    shown = cldc("import", other, "--class", "x", "--dataset", data).out
    assert "in the dataset already" in shown
    assert "val/vi/" in shown


def test_a_copy_in_the_dataset_under_another_name_is_found(cldc: Cldc, tmp_path: Path) -> None:
    (tmp_path / "digits/val/x").mkdir(parents=True)
    FORMS["lossy.jpg"](tmp_path / "digits/val/x/mine.jpg")
    result = imported(
        cldc, tmp_path / "digits/val/x/mine.jpg", "--class", "ix", "--dataset", tmp_path / "digits"
    )
    assert [each["path"] for each in result["copies"]] == ["val/x/mine.jpg"]


@pytest.mark.skipif(os.name == "nt", reason="modes of files mean nothing there")
def test_a_file_that_may_not_be_read_is_named(cldc: Cldc, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    FORMS["photo.jpg"](photo)
    photo.chmod(0)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.support.powers",
            "import",
            photo,
            "--class",
            "x",
            "--dataset",
            "digits",
        ],
        cwd=tmp_path,
        env={**os.environ, "CLDC_HOME": str(cldc.home), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 14, done.stderr
    assert "No permission" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("letter.docx", b"PK\3\4 text", "not a picture"),
        ("empty.png", b"", "not a picture"),
        ("cut.jpg", None, "damaged"),
        ("broken.pdf", b"%PDF-1.7\nnothing", "damaged"),
        ("program.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_a_file_that_is_no_picture_is_named_and_the_rest_imported(
    cldc: Cldc, tmp_path: Path, name: str, content: bytes | None, why: str
) -> None:
    good, bad = tmp_path / "good.png", tmp_path / name
    FORMS["grey.png"](good)
    if content is None:
        FORMS["lossy.jpg"](bad)
        content = bad.read_bytes()[:-400]
    bad.write_bytes(content)
    result = imported(cldc, bad, good, "--class", "x", "--dataset", tmp_path / "digits", code=14)
    assert len(result["added"]) == 1
    assert why in result["left_out"][0]["reason"]


def test_a_picture_that_would_fill_the_memory_is_refused(cldc: Cldc, tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (20_000, 20_000)).save(bomb)
    result = imported(cldc, bomb, "--class", "x", "--dataset", tmp_path / "digits", code=14)
    assert "more than" in result["left_out"][0]["reason"]


def test_each_page_of_a_scan_is_a_picture(tmp_path: Path) -> None:
    ways = [Image.Transpose.ROTATE_180, Image.Transpose.FLIP_LEFT_RIGHT]
    pages = [seen(), *(seen().transpose(way) for way in ways)]
    for name in ("scan.tif", "scan.pdf"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
        pictures = list(open_pictures(tmp_path / name))
        assert [picture.page for picture in pictures] == [1, 2, 3]
        for page, picture in zip(pages, pictures, strict=True):
            assert difference(tone(picture.grey, trim=False).image, page) < 6


def test_a_large_photo_keeps_its_strokes(tmp_path: Path) -> None:
    photo = Image.new("RGB", (4000, 3000), (190, 190, 180))
    ImageDraw.Draw(photo).line([(900, 700), (1500, 2200), (2100, 700)], fill=(60, 60, 90), width=40)
    photo.save(tmp_path / "large.jpg")
    (picture,) = open_pictures(tmp_path / "large.jpg")
    image = tone(picture.grey, trim=True).image
    assert max(image.size) <= MAX_SIDE
    assert image.getextrema() == (0, 255)
    # A stroke of 40 pixels in a drawing of 1,550 x 1,850.
    ink = sum(image.histogram()[:128]) / (image.width * image.height)
    assert 0.02 < ink < 0.08
