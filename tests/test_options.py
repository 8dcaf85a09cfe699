"""What can be refused before any work is done is refused then: the files and folders that a command is to write."""

import errno
import io
from pathlib import Path

import pytest

from compare import cli, options
from compare.records import Refusal


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command refuses with, having written nothing else."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    told = capsys.readouterr()
    assert ended.value.code == 2
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line


@pytest.mark.parametrize("command", ["verify l2", "train softmax", "bench sgd", "data", "list", "graph x*y x=1 y=2"])
def test_json_that_cannot_be_written_is_refused_before_any_work(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for to, why in (
        ("no/such.json", "there is no folder no; make it first"),
        (".", "is a folder; name a file in it"),
        ("file/x.json", "there is no folder file"),
    ):
        assert f"--json {to}: {why}" in refused(capsys, *command.split(), "--json", to)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_json_may_be_a_new_file_an_old_one_or_standard_output(tmp_path: Path) -> None:
    (tmp_path / "old.json").touch()
    for to in (None, "-", str(tmp_path / "new.json"), str(tmp_path / "old.json")):
        assert options.json_file(to) == to
    assert not (tmp_path / "new.json").exists()


def test_no_permission_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere: the system's answer is played
    with pytest.raises(Refusal, match="cannot be written"):
        options.json_file(str(tmp_path / "x.json"))
    with pytest.raises(Refusal, match=r"--runs .* is not writable; .* use --no-log"):
        options.check_runs(tmp_path / "runs", "use --no-log")


def test_runs_of_verify_are_checked_before_the_pairs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    line = refused(capsys, "verify", "l2", "--data", "synthetic", "--log", "--runs", str(tmp_path / "file"))
    assert f"--runs {tmp_path / 'file'}: {tmp_path / 'file'} is a file; name a folder, or leave out --log" in line


def test_ctrl_c_ends_any_command_with_one_line_and_130(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("compare.check.verify", pressed)
    to = tmp_path / "out.json"
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "l2", "--data", "synthetic", "--json", str(to)])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "gradtwin: interrupted\n"
    assert not to.exists()


def test_a_reader_that_has_gone_ends_a_command_as_a_shell_would_and_not_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("compare.check.verify", gone)
    monkeypatch.setattr("sys.stdout", io.StringIO())  # typer puts a quiet one in its place
    monkeypatch.setattr("sys.stderr", io.StringIO())
    with pytest.raises(SystemExit) as ended:
        cli.main(["verify", "l2", "--data", "synthetic"])
    assert ended.value.code == 141


def test_two_opposite_options_of_bench_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--quick and --full: give one of them" in refused(capsys, "bench", "l2", "--quick", "--full")
