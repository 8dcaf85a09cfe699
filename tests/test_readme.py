"""What the README says of commands, options, JSON and the report is what the program has."""

import inspect
import re
from pathlib import Path

import pytest
import typer
from PIL import Image

from compare import cli, tables
from compare.records import Finding, Verdict

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(cli.app).commands


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_command_has_its_line_and_every_line_its_command() -> None:
    told = re.findall(r"^\| `(\w+)[^`]*` \|", section("Commands"), flags=re.MULTILINE)
    assert sorted(told) == sorted(COMMANDS)


def test_every_option_that_is_told_exists() -> None:
    known = {name for command in COMMANDS.values() for p in command.params for name in (*p.opts, *p.secondary_opts)}
    told = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", README)) - {"--help", "--debug"}
    assert told - known == set()


def test_every_command_says_what_it_does_in_help() -> None:
    for name, command in COMMANDS.items():
        assert inspect.cleandoc(command.help or "").endswith("."), name
        assert all(p.help for p in command.params if p.opts[0].startswith("--") and p.name != "help"), name


def test_fields_of_a_finding_are_documented() -> None:
    (row,) = re.findall(r"^\| `verify`.*", section("JSON"), flags=re.MULTILINE)
    fields = set(Finding.__dataclass_fields__)
    assert fields <= set(re.findall(r"`(\w+)`", row))


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained(verdict: Verdict) -> None:
    assert re.search(rf"^\| .*\b{verdict.value}\b.* \|", section("What the verdicts mean"), flags=re.MULTILINE)


def test_the_picture_is_of_the_report_as_it_is_now() -> None:
    """The picture carries its text. If this fails: python docs/picture.py FOLDER, and look at the picture."""
    with Image.open(ROOT / "docs" / "verify.png") as picture:
        told = picture.info["Description"]
    assert tables.READING in " ".join(told.split())
    columns = "  ".join(str(c.header) for c in tables.verdict_table([]).columns)
    assert columns.split() == next(line for line in told.splitlines() if line.startswith("pair / case")).split()
    assert "every pair agrees: 1 pair, " in told
    assert "not every pair agrees: 1 pair, " in told
    assert "    likely: " in told
