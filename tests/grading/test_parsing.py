"""Notebooks are graded side by side, and Python before 3.11.8 cannot read two at once."""

import ast
import gc
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from course_utils import grading
from course_utils.grading.parsing import parse

TEXT = "\n".join(f"def f{n}(a, b):\n    return [a + {n}, (b, {{'x': a * b}})]" for n in range(20))


@pytest.fixture
def threads_change_often():
    """As they do now and then: where memory is cleared while a tree is built."""
    interval, *thresholds = sys.getswitchinterval(), *gc.get_threshold()
    callback = lambda *_: None  # noqa: E731 (Python code, in which threads may change)
    sys.setswitchinterval(1e-6)
    gc.set_threshold(50)
    gc.callbacks.append(callback)
    yield
    gc.callbacks.remove(callback)
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


def test_two_threads_parse(threads_change_often):
    expected, until = ast.dump(ast.parse(TEXT)), time.monotonic() + 1

    def again_and_again(_):
        trees = 0
        while time.monotonic() < until or trees < 100:
            tree, trees = parse(TEXT), trees + 1
        return ast.dump(tree)

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(again_and_again, range(2))) == [expected] * 2


def test_nothing_else_in_grading_parses():
    folder = Path(grading.__file__).parent
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.py")}
    assert [name for name, text in texts.items() if "ast.parse(" in text] == ["parsing.py"]
