"""The documentation says what is true: pages made from the program, messages that the program really has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cldc import __main__ as entry
from cldc import errors
from cldc.cli import COMMANDS
from cldc.settings import NAMES
from tests.support.commands import ROOT
from tools import reference

DOCS = ROOT / "docs"
TROUBLESHOOTING = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
PAGES = [*sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("*.md"))]


def test_every_exit_code_says_what_to_do() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.CldcError)]
    codes = {c.code for c in classes} | {2, entry.INTERRUPTED, entry.HUNG_UP, entry.TERMINATED, entry.BUG}
    assert {int(code) for code in re.findall(r"^## Exit code (\d+)$", TROUBLESHOOTING, re.MULTILINE)} == codes


@pytest.mark.parametrize("message", re.findall(r"^### `(.+)`$", TROUBLESHOOTING, re.MULTILINE))
def test_the_program_has_the_message(message: str) -> None:
    pattern = re.compile(r"\s+".join(map(re.escape, message.split())))
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "cldc").rglob("*.py"))
    # A message may go over two literals.
    assert any(pattern.search(re.sub(r'"\s*\n\s*f?"', "", text)) for text in sources)


def test_the_reference_has_every_command_setting_and_key() -> None:
    commands = reference.commands()
    for name in COMMANDS:
        assert f"\n## cldc {name}\n" in commands
    settings = reference.setting_names()
    assert all(f"| `{name}` | `CLDC_{name.upper()}` | " in settings for name in NAMES)
    profile = reference.profile()
    assert "| `max_images` | whole number | required | The guide's limit" in profile
    assert "## `organiser.score`" in profile
    assert not re.search(r"\| *\|$", profile, re.MULTILINE), "a key without its meaning"


@pytest.mark.parametrize("name", reference.PAGES)
def test_the_reference_is_the_programs(name: str) -> None:
    written = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), "run `make reference`"


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_commands_and_options_on_a_page_are_real(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"^ *\$ ", text, re.MULTILINE), "a copied command would begin with a prompt"
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for name in re.findall(r"^ *cldc ([a-z]+)", block, re.MULTILINE):
            assert name in COMMANDS, name
    options = set(re.findall(r"`cldc [^`]*?(--[a-z-]+)", text))
    known = set(re.findall(r"--[a-z-]+", reference.commands())) | {"--help"}
    assert options <= known


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_a_link_leads_to_a_file(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / link).exists(), link


def test_pages_say_one_time_for_one_thing() -> None:
    times_on_pages = [
        re.findall(r"3,000 images\s+take\s+about ([^,.;]+?(?:minute|second)s?)\b", path.read_text("utf-8"))
        for path in PAGES
    ]
    assert {time for times in times_on_pages for time in times} == {"15 seconds"}


def test_pages_and_pictures_fetch_nothing() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in config
    pictures = list(DOCS.rglob("*.svg"))
    assert pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"url\((?!#)|href=|@import", text), picture
