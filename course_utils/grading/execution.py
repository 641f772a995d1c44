"""Fills in the outputs of a notebook that is to be graded, and keeps them.

What comes out is a function of what goes in, and is stored under its hash: an interrupted run goes
on where it stopped, the same notebook runs once, and grading again what has not changed is quick.
Where it runs is not decided here: `running` does it, in this process or on another machine.
"""

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_output

from course_utils.grading import running
from course_utils.grading.running import LOST, OURS, Problem, Terms, Work, is_judged, versions
from course_utils.grading.sandbox import Limits

DAMAGED = "its answer stood in a part of the file that is damaged"

_SEED = (
    "Bring back `.grading/seed` from a copy of the class folder; with another seed everybody meets "
    "other cases."
)


class Settings(NamedTuple):
    """What a class decides about running its students' code."""

    folder: Path  # where seed and results lie, out of everybody's sight
    limits: Limits = Limits()
    isolated: bool = True
    judging: Limits = Limits(step=120, job=600)

    @property
    def terms(self) -> Terms:
        try:
            seed = (self.folder / "seed").read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise Problem(f"the class's secret seed cannot be read: {error}. {_SEED}") from None
        if not seed:
            raise Problem(f"the class's secret seed, {self.folder / 'seed'}, is empty. {_SEED}")
        return Terms(seed, self.limits, self.judging, self.isolated)


class Failed(RuntimeError):
    """A worker could not do its work, by a mistake of ours or because it kept dying."""


class Executed(NamedTuple):
    """What there is to say about a notebook, besides the outputs in it."""

    lines: list[str]  # for the instructor
    checks: dict[str, dict]  # verdicts, by the check's name
    seconds: dict[str, float]  # that it took


class Asked(NamedTuple):
    """A notebook whose outputs are wanted, and where they are kept."""

    work: Work
    stored: Path

    @classmethod
    def of(
        cls, notebook: NotebookNode, release: NotebookNode, files: dict[str, Path], settings
    ) -> "Asked":
        """`notebook` has been through the intake, and `files` lie beside it."""
        beside = {name: path.read_bytes() for name, path in sorted(files.items())}
        work = Work(notebook.cells, release.cells, beside, settings.terms)
        return cls(work, settings.folder / "results" / f"{_key(work)}.json")

    def known(self) -> dict | None:
        """The result, if there is one."""
        return _passed_on.get(self.stored) or _read(self.stored)

    def take(self, result: dict) -> None:
        """Keep a result for good, or, if it was lost by nobody's doing, for this time only."""
        if "problem" in result:
            raise Problem(result["problem"])
        if "failed" in result or any(LOST in line for line in result["problems"]):
            _passed_on[self.stored] = result
        else:
            _write(self.stored, result)


# Results that are not worth keeping, from the worker to the converter.
_passed_on: dict[Path, dict] = {}


def execute(
    notebook: NotebookNode, release: NotebookNode, files: dict[str, Path], settings: Settings
) -> Executed:
    """Fill in the outputs of all code cells, from the store if they are there."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    received = notebook.metadata.get(OURS, {})
    unreadable = received.get("unreadable")
    if unreadable:
        for cell in code:
            judged = [running.without_verdict(cell, unreadable)] if is_judged(cell) else []
            cell.outputs = [new_output(**output) for output in judged]
        return Executed([], {}, {})
    asked = Asked.of(notebook, release, files, settings)
    result = asked.known()
    if result is None:
        result = json.loads(running.perform(asked.work.packed()))
        asked.take(result)
    _passed_on.pop(asked.stored, None)
    if "failed" in result:
        raise Failed(result["failed"])
    for count, (cell, outputs) in enumerate(zip(code, result["outputs"], strict=True), 1):
        if is_judged(cell) and cell.metadata.nbgrader.grade_id in received.get("lost", []):
            outputs = [running.without_verdict(cell, DAMAGED)]
        cell.outputs = [new_output(**output) for output in outputs]
        cell.execution_count = count if outputs else None
    lost = received.get("lost", [])
    checks = {name: about for name, about in result["checks"].items() if name not in lost}
    return Executed(result["problems"], checks, result["seconds"])


# --- Results are files named after everything that decides about them -----------------------------


def _key(work: Work) -> str:
    code = [cell for cell in work.cells if cell.cell_type == "code"]
    cells = [[c.source, c.metadata.get("tags"), c.metadata.get("nbgrader")] for c in code]
    beside = {name: hashlib.sha256(content).hexdigest() for name, content in work.files.items()}
    ours = [c.source for c in work.release if c.cell_type == "code"]  # they decide what runs
    decides = [cells, ours, beside, work.terms, versions()]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, result: dict) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(result), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise Problem(f"results cannot be kept in {path.parent}: {error.strerror}") from None
