"""Starts the processes in which students' code runs, while the command is still being imported.

Importing torch takes them seconds, and so does importing nbgrader here: on two processors that is
the same few seconds. Whatever is wrong is left for the command itself to meet and to say.
"""

import threading
from contextlib import suppress
from pathlib import Path

import nbformat

from course_utils.grading import running
from course_utils.grading.notes import SECRETS
from course_utils.grading.sandbox import Limits


def begin(folder: Path, assignment: str) -> None:
    threading.Thread(target=_warm_up, args=(folder, assignment), daemon=True).start()


def _warm_up(folder: Path, assignment: str) -> None:
    with suppress(Exception):
        seed = (folder / SECRETS / "seed").read_text(encoding="utf-8").strip()
        (notebook,) = (folder / "release" / assignment).glob("*.ipynb")
        release = nbformat.read(notebook, as_version=4)
        running.warm_up(release.cells, running.Terms(seed, Limits(), Limits(), isolated=True))
