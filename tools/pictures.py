"""The documentation's pictures: `make pictures`.

Commands run on a terminal, with a sandbox in .cache/pictures, and their output is drawn as SVG. Pages are photographed in a
Chromium; without one, the pictures of pages stay as they are. It needs the packages of `requirements/docs.txt`.
"""

from __future__ import annotations

import fcntl
import io
import itertools
import os
import pty
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.style import Style
from rich.text import Text

from tools.competition_images import lay_out

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HOME = ROOT / ".cache" / "pictures"
ENVIRONMENTS = ROOT / ".cache" / "test-home" / "environments"
COLUMNS, LINES = 96, 300
PROMPT = Style(color="#8be9fd", bold=True)
# Rich's own format fetches a font from another site, which the documentation must not; every machine has a monospaced one.
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}


@dataclass(frozen=True)
class Scene:
    """A picture's name, its title, and the commands whose output it shows."""

    name: str
    title: str
    commands: tuple[Sequence[str], ...]
    columns: int = COLUMNS


def scenes(images: str) -> tuple[Scene, ...]:
    """All pictures of a terminal, in the order in which they must be taken."""
    submit = ("submit", images, "--institution", "Demo Lab", "--yes")
    return (
        Scene(
            "validate", "What is wrong with a dataset, before anything is uploaded", (("validate", "faulty"),)
        ),
        Scene("preflight", "The fixed training script, on this machine", (("preflight", images),)),
        Scene(
            "run",
            "A submission, from the folder to the board",
            (submit, ("sandbox", "score", "--quiet")),
        ),
        Scene("status", "How far it is", (("status",), ("quota",))),
        Scene("alone", "Where the project stands", ((),)),
        Scene("doctor", "What cldc needs", (("doctor",),)),
    )


def main() -> int:
    """Take the pictures named on the command line, or all."""
    wanted = set(sys.argv[1:])
    seed = prepare()
    if not wanted or wanted & PAGES.keys():
        pages(wanted)
    if wanted and wanted <= PAGES.keys():
        return 0
    cldc("sandbox", "up", *seed)
    try:
        for scene in scenes("my-roman-numerals"):
            shown = [(command, list(screen(command, scene.columns))) for command in scene.commands]
            if not wanted or scene.name in wanted:
                draw(scene, shown)
                print(f"docs/{scene.name}.svg", flush=True)
    finally:
        cldc("sandbox", "down")
    return 0


def pages(wanted: set[str]) -> None:
    """The pages of PAGES that are wanted, as a browser shows them."""
    found = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if found is None:
        print(f"No browser ({', '.join(BROWSERS)}): pictures of pages stay as they are.", file=sys.stderr)
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, chromium_sandbox=False)
        for name, take in PAGES.items():
            if not wanted or name in wanted:
                picture = HOME / f"{name}.png"
                take(browser, picture)
                with Image.open(picture) as shot:
                    shot.convert("RGB").quantize(64).save(DOCS / f"{name}.png", optimize=True)
                print(f"docs/{name}.png", flush=True)
        browser.close()


def report(browser: Browser, picture: Path) -> None:
    """The report on the dataset with faults."""
    subprocess.run(
        [sys.executable, "-m", "cldc", "validate", "faulty", "--quiet", "--report", "report.html"],
        env=environment(), cwd=HOME, check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    text = (HOME / "report.html").read_text(encoding="utf-8").replace(str(HOME), "~")
    (HOME / "report.html").write_text(text, encoding="utf-8")
    page = browser.new_page(viewport={"width": 1200, "height": 1500})
    page.goto((HOME / "report.html").as_uri())
    page.screenshot(path=picture)


def review(browser: Browser, picture: Path) -> None:
    """The review page: copies with two labels, some of them decided. It uses the competition's own images if they are at hand."""
    whole = HOME / "competition" / "data"
    folder = whole if whole.exists() else HOME / "faulty"
    with subprocess.Popen(
        [sys.executable, "-m", "cldc", "review", str(folder), "--no-browser"],
        env=environment(), cwd=HOME, stdout=subprocess.PIPE, text=True,
    ) as running:  # fmt: skip
        assert running.stdout is not None  # noqa: S101 - it was asked for
        address = next(line.strip() for line in running.stdout if line.startswith("http:"))
        page = browser.new_page(viewport={"width": 1300, "height": 820})
        page.goto(address)
        page.get_by_role("button", name="two labels").first.click()
        for key in ("a", "x"):
            page.keyboard.press(key)
        page.get_by_text("Saving").wait_for(state="hidden")
        page.screenshot(path=picture)
        running.send_signal(signal.SIGINT)


def labels(browser: Browser, picture: Path) -> None:
    """The most suspicious labels, of the competition's own images if they are at hand."""
    whole = HOME / "competition" / "data"
    folder = whole if whole.exists() else HOME / "my-roman-numerals"
    subprocess.run(
        [sys.executable, "-m", "cldc", "labels", str(folder), "--quiet", "--top", "10", "--report", "labels.html"],
        env=environment(), cwd=HOME, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    page = browser.new_page(viewport={"width": 1100, "height": 970})
    page.goto((HOME / "labels.html").as_uri())
    page.locator("#search, main").first.wait_for()
    page.screenshot(path=picture)


PAGES = {"report": report, "review": review, "labels": labels}


def environment() -> dict[str, str]:
    """The environment of a terminal with colour, with the demo profile and the sandbox."""
    hidden = {"NO_COLOR", "CLDC_PLAIN", "COLUMNS", "LINES"}
    return {
        **{name: value for name, value in os.environ.items() if name not in hidden},
        "CLDC_HOME": str(HOME / "home"),
        "CLDC_COMPETITION": "demo",
        "CLDC_SERVER": "sandbox",
        "PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT)),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
    }


def cldc(*arguments: str) -> None:
    """Run a command that no picture shows."""
    subprocess.run([sys.executable, "-m", "cldc", *arguments], env=environment(), cwd=HOME, check=True)


def prepare() -> list[str]:
    """Make a dataset and one with faults in an empty folder; the options that seed the sandbox."""
    if (HOME / "home" / "sandbox").exists():
        cldc("sandbox", "down")
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "home").mkdir(parents=True)
    (HOME / "home" / "environments").symlink_to(ENVIRONMENTS, target_is_directory=True)
    seed = lay_out(HOME, HOME / "my-roman-numerals")
    if not seed:
        cldc("sample", "my-roman-numerals", "--images", "600")
    faulty = HOME / "faulty"
    shutil.copytree(HOME / "my-roman-numerals", faulty)
    train, val = faulty / "train" / "iv", faulty / "val" / "iv"
    images = sorted(train.iterdir())
    images[0].write_bytes(images[0].read_bytes()[:120])
    images[1].rename(images[1].with_suffix(".webp"))
    shutil.copy(images[2], val / "copied.png")
    (faulty / "val" / "Extra").mkdir()
    (HOME / "cldc.toml").write_text('dataset = "my-roman-numerals"\n', encoding="utf-8")
    return seed


def screen(command: Sequence[str], columns: int) -> Iterator[Text]:
    """The lines on the screen after a command."""
    display = pyte.Screen(columns, LINES)
    stream = pyte.ByteStream(display)
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    with subprocess.Popen(
        [sys.executable, "-m", "cldc", *command],
        env=environment(), cwd=HOME, stdin=inner, stdout=inner, stderr=inner,
    ) as running:  # fmt: skip
        os.close(inner)
        while running.poll() is None or select.select([outer], [], [], 0)[0]:
            if select.select([outer], [], [], 0.2)[0]:
                try:
                    stream.feed(os.read(outer, 65536))
                except OSError:
                    break
    os.close(outer)
    last = max((number for number, line in enumerate(display.display) if line.strip()), default=-1)
    for number in range(last + 1):
        row = [display.buffer[number][column] for column in range(columns)]
        text = Text()
        for shown, cells in itertools.groupby(row, key=style):
            text.append("".join(cell.data for cell in cells), shown)
        text.rstrip()
        yield without_home(text)


def without_home(text: Text) -> Text:
    """Hide the path of the pictures' folder."""
    start = text.plain.find(str(HOME))
    return text if start < 0 else text[:start] + Text("~") + text[start + len(str(HOME)) :]


def style(cell: pyte.screens.Char) -> Style:
    """A cell's style, as rich has it."""
    colour = COLOURS.get(cell.fg, cell.fg)
    if len(colour) == 6 and all(c in "0123456789abcdef" for c in colour):
        colour = f"#{colour}"
    return Style(
        color=None if colour == "default" else colour.replace("bright", "bright_").replace("__", "_"),
        bold=cell.bold,
    )


def draw(scene: Scene, shown: list[tuple[Sequence[str], list[Text]]]) -> None:
    """Write docs/NAME.svg."""
    console = Console(
        record=True,
        width=scene.columns,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
    )
    for number, (command, lines) in enumerate(shown):
        if number:
            console.print()
        words = " ".join(w if " " not in w else f"'{w}'" for w in command)
        console.print(Text.assemble(("$ ", PROMPT), (f"cldc {words}".strip(), Style(bold=True))))
        for line in lines:
            console.print(line, no_wrap=True, crop=True)
    svg = console.export_svg(title=scene.title, code_format=FORMAT, unique_id=f"cldc-{scene.name}")
    DOCS.mkdir(exist_ok=True)
    (DOCS / f"{scene.name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
