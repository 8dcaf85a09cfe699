import sys
from pathlib import Path

import pytest

from compare.plugin import load
from compare.records import Refusal


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Write a file and give its path; what it puts on the module path is taken off again."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text, name="my_optim.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def refused(spec):
    with pytest.raises(Refusal) as told:
        load(spec)
    text = str(told.value)
    assert "\n" not in text
    return text


def test_a_function_a_class_and_a_method_are_found(file):
    path = file("def step(w, dw): return w - dw\nclass Rule:\n    @staticmethod\n    def go(x): return 2 * x\n")
    assert load(f"{path}:step")(3, 1) == 2
    assert load(f"{path}:Rule").__name__ == "Rule"
    assert load(f"{path}:Rule.go")(4) == 8


def test_a_file_alone_names_its_only_public_candidate(file):
    path = file("from math import sqrt\n_hidden = lambda: 0\nLR = 0.1\ndef step(w): return sqrt(w)\n")
    assert load(path)(9) == 3
    assert "2 candidates, a, b" in refused(file("def a(): pass\ndef b(): pass\n", "two.py"))
    assert "no public function" in refused(file("x = 1\n", "none.py"))


def test_each_load_executes_the_file_anew(file):
    path = file("count = 0\ndef step():\n    global count\n    count += 1\n    return count\n")
    assert [load(path)(), load(path)()] == [1, 1]


def test_neighbours_can_be_imported(file):
    file("def double(x): return 2 * x\n", "sibling_of_step.py")
    assert load(file("from sibling_of_step import double\ndef step(x): return double(x)\n") + ":step")(2) == 4


def test_a_neighbour_hides_nothing_of_the_library_afterwards(file):
    path = file("def step(x): return x\n")
    assert load(path)(1) == 1
    assert sys.path.index(str(Path(path).parent)) == len(sys.path) - 1


def test_a_file_inside_a_package_may_import_relatively(file):
    file("", "course231/__init__.py")
    file("def half(x): return x / 2\n", "course231/layers.py")
    assert (
        load(file("from .layers import half\ndef step(x): return half(x)\n", "course231/optim.py") + ":step")(5) == 2.5
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("def step(:\n    pass\n", "line 1: invalid syntax"),
        ("import math\nimport a_library_that_is_not_here\n", "line 2: ModuleNotFoundError: No module named"),
        ("x = 1\ny = x / 0\n", "line 2: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(0)\n", "line 2: it calls sys.exit"),
        ("def step(w): return w\n", "has no 'stpe': did you mean step?"),
        ("stpe = 3\n", "is of type int, neither a function nor a class"),
        ("stpe = {'lr': 3}\n", "is of type dict, neither a function nor a class"),
    ],
)
def test_what_cannot_be_loaded_is_refused_in_one_line(file, text, told):
    assert told in refused(f"{file(text)}:stpe")


def test_a_missing_file_or_a_folder_is_refused(file, tmp_path):
    path = file("def step(w): return w\n")
    assert f"did you mean {path}?" in refused(f"{tmp_path / 'my_optm.py'}:step")
    assert "there is no file" in refused(f"{tmp_path / 'other.py'}:step")
    assert "is a folder" in refused(f"{tmp_path}:step")
    assert "names no file" in refused(":step")
    assert "names no file" in refused("")
