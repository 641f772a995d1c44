"""Python's own reading of a program text, by one thread at a time.

Notebooks are graded side by side. Up to 3.11.7 and 3.12.1, Python counts how deep it is in all the
trees that it builds at that moment with one number, and of two threads that parse, one now and then
fails with "AST constructor recursion depth mismatch"
(https://github.com/python/cpython/issues/106905).
"""

import ast
import threading

_one_at_a_time = threading.Lock()


def parse(text: str) -> ast.Module:
    with _one_at_a_time:
        return ast.parse(text)
