"""verify --log: the verdict table can be read in TensorBoard."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compare.commands.verify import verify
from compare.records import Finding, Verdict
from compare.tables import verdict_markdown


def test_the_table_is_logged_as_text(tmp_path: Path) -> None:
    assert verify(["l1"], data="synthetic", log=True, runs=tmp_path, quiet=True) == 0
    (folder,) = tmp_path.iterdir()
    events = EventAccumulator(str(folder / "verdicts"), size_guidance={"tensors": 0}).Reload()
    (text,) = events.Tensors("verdicts/text_summary")
    told = text.tensor_proto.string_val[0].decode()
    assert told.startswith("| pair | case |")
    assert "| l1 | typical | float32 | dW |" in told


def test_a_row_that_differs_says_why_and_does_not_break_the_table() -> None:
    row = Finding("l1", "penalties.l1", "typical", "float32", "dW", Verdict.DIFFER, 12.5, message="a | b")
    assert verdict_markdown([row]).splitlines()[-1] == r"| l1 | typical | float32 | dW | 12.50 | differ | a \| b |"
