"""The guest's process: whatever a user's code does there ends nothing here."""

import os
import select
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from compare import guest
from compare.guest import Guest, NoAnswer
from compare.records import Refusal
from compare.user import User

CODE = """
import ctypes, os, subprocess, sys
import numpy as np

def plain(x): return 2 * x, {"W": x}, 3, "word", None, np.float32(0.5), [True]
def other(x): return object(), {1: 2}
def mine(x): raise Strange("of its own\\nand a second line")
def zero(x): return 1 / 0
def singular(x): return np.linalg.inv(np.zeros((2, 2)))
def leaves(x): sys.exit(0)
def vanishes(x): os._exit(7)
def crashes(x): ctypes.string_at(0)
def eats(x): return np.zeros(10**9).sum()
def prints(x):
    print("printed")
    sys.stderr.write("told")
    return 1
def asks(x): return input()
def loops(x):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], stdout=open(x, "w"))
    while True: pass
def writes(x):
    x += 1
    return 0
class Strange(Exception): pass
def deep(x):
    return deep(x)
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("user") / "code.py"
    file.write_text(CODE, encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def code(path: str):
    """One process for all tests that leave it alive; asks one function of the file about ones."""
    with Guest(f"{path}:plain", seconds=20) as host:
        yield partial(ask, host)


def call(user: User, name: str, x: object) -> object:
    """The question put to the guest."""
    return user.run(getattr(user.module, name), x)


def ask(host: Guest, name: str, x: object = None) -> object:
    return host.ask(call, name, np.ones(3) if x is None else x)


def test_plain_answers_come_back_as_they_are(code) -> None:
    doubled, grads, *rest = code("plain")
    assert doubled.tolist() == [2, 2, 2]
    assert grads["W"].tolist() == [1, 1, 1]
    assert rest == [3, "word", None, np.float32(0.5), [True]]
    assert rest[3].dtype == np.float32


def test_anything_else_is_not_read(code) -> None:
    with pytest.raises(NoAnswer, match="its answer cannot be read: it holds a "):
        code("other")
    assert code("plain")[2] == 3


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("zero", ZeroDivisionError, "division by zero (line 8)"),
        ("mine", RuntimeError, "Strange: of its own (line 7)"),
        ("singular", ValueError, "Singular matrix (line 9)"),
        ("leaves", RuntimeError, "it calls sys.exit (line 10)"),
        ("eats", MemoryError, "(line 13)"),
        ("asks", RuntimeError, "EOFError"),
        ("deep", RecursionError, "maximum recursion depth"),
    ],
)
def test_what_the_code_raises_is_raised_here_with_its_line(code, name: str, kind: type, told: str) -> None:
    with pytest.raises(kind) as raised:
        code(name)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)
    assert code("plain")[2] == 3  # it goes on


@pytest.mark.parametrize(("name", "told"), [("vanishes", "it exited with status 7"), ("crashes", "killed by SIGSEGV")])
def test_a_process_that_ends_is_told_and_started_anew(code, name: str, told: str) -> None:
    with pytest.raises(NoAnswer, match=told):
        code(name)
    assert code("plain")[2] == 3


def test_a_loop_is_ended_with_all_that_it_started_and_not_asked_again(path: str, tmp_path: Path) -> None:
    fifo = tmp_path / "held open by what it starts"
    os.mkfifo(fifo)
    end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with Guest(f"{path}:plain", seconds=3) as host:
        for name in ("loops", "plain"):
            with pytest.raises(NoAnswer, match="longer than 3 s"):
                ask(host, name, str(fifo))
    assert select.select([end], [], [], 20)[0] == [end]  # readable: nobody holds the other end any more
    assert os.read(end, 1) == b""
    os.close(end)


@pytest.mark.parametrize("prints", [False, True])
def test_prints_never_reach_standard_output(path: str, prints: bool, tmp_path: Path) -> None:
    script = tmp_path / "ask.py"
    script.write_text(
        "from compare.guest import Guest\nfrom compare.user import User\n"
        "def prints(user): return user.module.prints(0)\n"
        f"if __name__ == '__main__':\n    with Guest({path + ':plain'!r}, prints={prints}) as g:\n"
        "        print(g.ask(prints))\n"
    )
    root = Path(guest.__file__).parents[1]
    done = subprocess.run([sys.executable, str(script)], env=os.environ | {"PYTHONPATH": str(root)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == "1\n"
    assert ("printed" in done.stderr, "told" in done.stderr) == (prints, prints)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import os\nos._exit(3)\n", "it exited with status 3"),
        ("import ctypes\nctypes.string_at(0)\n", "killed by SIGSEGV"),
        ("def f(:\n", "line 1: invalid syntax"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(Refusal, match=told), Guest(f"{file}:f"):
        pass


def test_a_file_that_loads_for_ever_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bad.py"
    file.write_text("while True: pass\n")
    monkeypatch.setattr(guest, "LOADING", 1.0)
    with pytest.raises(Refusal, match="cannot be loaded: it took longer than 1 s"), Guest(f"{file}:f", seconds=1):
        pass


def test_an_answer_that_would_run_code_is_not_read() -> None:
    import pickle

    class Evil:
        def __reduce__(self):
            return os.system, ("echo evil",)

    with pytest.raises(pickle.UnpicklingError, match=r"it holds a (posix|nt)\.system"):
        guest._read(pickle.dumps(("answer", Evil())))
    assert guest._read(pickle.dumps(("answer", np.arange(3))))[1].tolist() == [0, 1, 2]
