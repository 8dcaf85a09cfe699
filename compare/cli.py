"""The command line: gradtwin, or python -m compare. Answers --help without importing NumPy or torch."""

import sys

import typer

from compare.commands import bench, board, check, data, experiment, graph, listing, selftest, sweep, train, verify
from compare.records import Refusal

INTERRUPTED = 130  # what a shell reports for a command that Ctrl-C ended
CLOSED = 141  # and for one whose reader has gone, such as `| head`

app = typer.Typer(
    name="gradtwin",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is this loss, gradient or optimizer right, how close is it, if wrong why, and how fast is it?",
)
app.command("verify")(verify.verify)
app.command("check")(check.check)
app.command("bench")(bench.bench)
app.command("train")(train.train)
app.command("selftest")(selftest.selftest)
app.command("sweep")(sweep.sweep)
app.command("experiment")(experiment.experiment)
app.command("data")(data.data)
app.command("graph")(graph.graph)
app.command("board")(board.board)
app.command("list")(listing.listing)


@app.callback()
def root(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
    """Options of gradtwin itself, before the command's name."""


def main(arguments: list[str] | None = None) -> None:
    """Run one command and exit: 0 agrees, 1 something differs, 2 wrong usage or input, 3 inconclusive."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments  # understood anywhere on the line: users type it last
    try:
        status = app([a for a in arguments if a != "--debug"], standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except SystemExit as ended:
        if not isinstance(ended.__context__, BrokenPipeError):
            raise
        status = CLOSED  # typer would say 1, which here means that something differs
    except Exception as error:
        if debug:
            raise
        complain(f"error: {_told(error)}")
        status = 2
    if status == INTERRUPTED:  # typer may have caught Ctrl-C itself
        complain("interrupted")
    sys.exit(status or 0)


def complain(message: str) -> None:
    """One line on standard error, in the name of the command."""
    sys.stderr.write(f"gradtwin: {message}\n")


def _told(error: Exception) -> str:
    """An error in the user's terms; usage errors know their own, by a class that depends on typer's version."""
    if hasattr(error, "format_message"):
        said = error.format_message().replace("Value error, ", "")  # the validator's words for itself
        return f"{said} (see gradtwin --help)"
    if isinstance(error, Refusal | OSError | MemoryError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error} (this should not happen: run again with --debug and report it)"
