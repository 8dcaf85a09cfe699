"""Draw docs/verify.png, the README's picture, from what the program prints today.

    python docs/picture.py [FOLDER]

FOLDER holds CIFAR-10 as train/CLASS/… and test/CLASS/…; without it the built-in synthetic images are used. Two real
reports are drawn: of the tree as it is, and of a copy with a fault in one line.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "verify.png"
PACKAGES = ("scratch", "ref", "compare")
COLUMNS, SIZE, DPI = 100, 10.0, 110  # characters a line, points a character's height, dots an inch
WIDTH, HEIGHT = 0.602 * SIZE / 72, 1.32 * SIZE / 72  # inches of a character of DejaVu Sans Mono, and of a line
BACKGROUND, FOREGROUND, DIM = "#15171e", "#dfe1e6", "#80848e"
COLOURS = {1: "#ff6b74", 2: "#62d27a", 3: "#e5c07b", 5: "#c792ea"}  # of a terminal: red, green, yellow, magenta
PAIR, WHERE = "batch_norm", Path("scratch") / "norms.py"
RIGHT, WRONG = '"gamma": (dout * normal).sum(axis=0)', '"gamma": (dout * normal).mean(axis=0)'


def report(tree: Path, at: Path, arguments: list[str]) -> str:
    """What `gradtwin ARGUMENTS` prints in a terminal, run at a folder with the packages of a tree."""
    asked = {"PYTHONPATH": str(tree), "COLUMNS": str(COLUMNS), "FORCE_COLOR": "1", "TTY_INTERACTIVE": "0"}
    command = [sys.executable, "-m", "compare", *arguments]
    told = subprocess.run(command, cwd=at, env=os.environ | asked, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 our own program
    return told.stdout


def plant(tree: Path) -> None:
    """Copy the packages and change one line."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (tree / WHERE).read_text(encoding="utf-8")
    if RIGHT not in text:
        raise SystemExit(f"{WHERE} holds no {RIGHT!r} any more: choose another line to change")
    (tree / WHERE).write_text(text.replace(RIGHT, WRONG), encoding="utf-8")


def session(folder: Path | None) -> str:
    """Both reports with their commands, as a terminal would show them."""
    data = ["--data", "folder:cifar10"] if folder else ["--data", "synthetic"]
    arguments = ["verify", PAIR, *data]
    shown = f"\x1b[2m$\x1b[0m \x1b[1mgradtwin {' '.join(arguments)}\x1b[0m\n"
    with tempfile.TemporaryDirectory() as name:
        at = Path(name)
        if folder:
            (at / "cifar10").symlink_to(folder.resolve())
        whole = report(ROOT, at, arguments)
        plant(at / "planted")
        planted = report(at / "planted", at, arguments)
    _, words = planted.split("\n\n", 1)  # below the table and its legend
    changed = f"# the same with {WRONG} in {WHERE.as_posix()}; what follows its table:"
    return f"{shown}{whole}\n\x1b[2m{changed}\x1b[0m\n{shown}{words}"


def lines_of(text: str) -> list[list[Segment]]:
    """Styled lines, wrapped where a terminal would."""
    console = Console(width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    return console.render_lines(Text.from_ansi(text.rstrip()), console.options, pad=False)


def colour(style: object) -> str:
    """A segment's colour on the picture."""
    found: Color | None = getattr(style, "color", None)
    if found is not None and found.number is not None:
        return COLOURS.get(found.number, found.get_truecolor(MONOKAI).hex)
    return DIM if getattr(style, "dim", False) else FOREGROUND


def draw(text: str, path: Path) -> None:
    """Write the picture; the text itself is kept in it, for those who cannot see it and for the tests."""
    lines = lines_of(text)
    matplotlib.rcParams["text.hinting"] = "none"  # else letters move off their columns
    width, height = (COLUMNS + 4) * WIDTH, (len(lines) + 2) * HEIGHT
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=BACKGROUND)
    for row, line in enumerate(lines):
        column = 2
        for segment in line:
            weight = "bold" if segment.style and segment.style.bold else "normal"
            place = column * WIDTH / width, 1 - (row + 1.75) * HEIGHT / height
            figure.text(*place, segment.text, family="DejaVu Sans Mono", fontsize=SIZE, weight=weight,
                        color=colour(segment.style), va="baseline", parse_math=False)  # fmt: skip
            column += segment.cell_length
    told = "\n".join("".join(segment.text for segment in line).rstrip() for line in lines)
    figure.savefig(path, metadata={"Description": told, "Software": None})


if __name__ == "__main__":
    draw(session(Path(sys.argv[1]) if len(sys.argv) > 1 else None), PICTURE)
