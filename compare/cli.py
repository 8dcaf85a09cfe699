"""The command line: gradtwin, or python -m compare. Answers --help without importing NumPy or torch."""

import sys

import click
import typer

from compare.commands import data
from compare.records import Refusal

app = typer.Typer(
    name="gradtwin",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is this loss, gradient or optimizer right, how close is it, if wrong why, and how fast is it?",
)
app.command("data")(data.data)


@app.callback()
def root(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
    """Options of gradtwin itself, before the command's name."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 agrees, 1 something differs, 2 wrong usage or input, 3 inconclusive."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    try:
        # --debug is understood anywhere on the line, as users type it last
        status = app([a for a in arguments if a != "--debug"], standalone_mode=False)
    except (Refusal, click.ClickException, OSError, MemoryError) as error:
        if debug:
            raise
        message = error.format_message() if isinstance(error, click.ClickException) else str(error)
        print(f"gradtwin: error: {message}", file=sys.stderr)  # noqa: T201 the command line's own voice
        status = 2
    except (KeyboardInterrupt, click.Abort):
        print("gradtwin: interrupted", file=sys.stderr)  # noqa: T201 the command line's own voice
        status = 130
    sys.exit(status or 0)
