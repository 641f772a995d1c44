"""Runs the code in a bank's questions: `verify`, which recomputes a key, and `draw`, which makes a
picture.

In a Python of its own, on one thread of the processor, so that a snippet that crashes, never ends
or waits for input takes nothing else with it. All snippets of a bank share that Python, because
torch takes seconds to import. One that draws random numbers has to seed them.
"""

import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable, Iterator
from typing import NamedTuple

SECONDS = 60  # then a snippet is stopped
SNIPPET = "<snippet>"


class Outcome(NamedTuple):
    answer: object = None  # what `answer` was at the end, as plain data
    printed: str = ""
    figure: bytes = b""  # `figure` as a PNG
    error: str = ""  # why there is nothing else, to follow "the snippet"


def run(snippets: Iterable[str]) -> Iterator[Outcome]:
    """The outcome of each snippet, in order."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        python = None
        for code in snippets:
            if python is None or python.poll() is not None:
                python = stack.enter_context(_started(folder))
                stack.callback(python.kill)
            yield _asked(python, code)


def _started(folder: str) -> subprocess.Popen:
    quiet = {
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "Agg",
        "PYTHONUTF8": "1",
        "PRUNING_COURSE_AUTOMATED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "course_utils.quiz.snippets"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **quiet},
        cwd=folder,
        encoding="utf-8",
    )


def _asked(python: subprocess.Popen, code: str) -> Outcome:
    ended = threading.Event()

    def stop():
        ended.set()
        python.kill()

    timer = threading.Timer(SECONDS, stop)
    timer.start()
    try:
        python.stdin.write(json.dumps(code) + "\n")
        python.stdin.flush()
        line = python.stdout.readline()
    finally:
        timer.cancel()
    if line:
        outcome = json.loads(line)
        return Outcome(**{**outcome, "figure": base64.b64decode(outcome["figure"])})
    python.kill()
    python.wait()
    return Outcome(error=f"does not end within {SECONDS} s" if ended.is_set() else "stops Python")


# --- In the other Python --------------------------------------------------------------------------


def _serve() -> None:
    """Answers each line of code with one line; nothing that a snippet prints gets in between."""
    questions, answers = sys.stdin, sys.stdout
    sys.stdin = io.StringIO()
    for line in questions:
        outcome = _executed(json.loads(line))
        figure = base64.b64encode(outcome.figure).decode()
        answers.write(json.dumps(outcome._replace(figure=figure)._asdict()) + "\n")
        answers.flush()


def _executed(code: str) -> Outcome:
    printed, names = io.StringIO(), {"__name__": SNIPPET}
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(code, SNIPPET, "exec"), names)
            figure = _png(names.get("figure"))
        return Outcome(_plain(names.get("answer")), printed.getvalue(), figure)
    except BaseException as error:
        says = error.msg if isinstance(error, SyntaxError) else error
        return Outcome(error=f"raises {type(error).__name__}: {says}{_where(error)}")


def _plain(value):
    """Numbers, text and lists of them; of NumPy and torch what they hold."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, list | tuple | set):
        return [_plain(part) for part in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"`answer` is a {type(value).__name__}; it must be a number, text or a list")


def _png(figure) -> bytes:
    if not hasattr(figure, "savefig"):
        return b""
    from PIL import Image

    file, small = io.BytesIO(), io.BytesIO()
    figure.savefig(file, format="png", dpi=90, bbox_inches="tight")
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
    # 64 colours are enough, and a notebook that shows the picture stays small
    Image.open(file).convert("RGB").quantize(64).save(small, "png", optimize=True)
    return small.getvalue()


def _where(error: BaseException) -> str:
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == SNIPPET]
    if isinstance(error, SyntaxError) and error.filename == SNIPPET:
        lines = [error.lineno]
    return f" (in its line {lines[-1]})" if lines else ""


if __name__ == "__main__":
    _serve()
