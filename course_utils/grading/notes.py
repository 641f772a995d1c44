"""What there was to say about a submission when it was graded: one small file for each.

The gradebook has points and nothing else; why a check has none, and what was odd about a notebook,
stands here, for `course class status` and the exports. Knows no nbgrader and judges nothing.
"""

import json
import os
from pathlib import Path

SECRETS = ".grading"  # in a class folder: what no student may see
UNFINISHED = "the grading of this notebook stopped before its end"


def read(folder: Path, assignment: str, student: str) -> dict[str, dict]:
    """By notebook: what its last grading left. Nothing, if there was none."""
    try:
        found = json.loads(_file(folder, assignment, student).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: _blank() | note for name, note in found.items()}


def write(folder: Path, assignment: str, student: str, notebook: str, **said) -> None:
    """Replace what is said about one notebook: lines for the instructor, checks that have no
    verdict with the reason, a digest of the work, what went wrong with grading itself, the verdicts
    on the checks, how long it took to run and to judge, and the points that it had then, from which
    follows what being late costs."""
    _save(folder, assignment, student, read(folder, assignment, student) | {notebook: said})


def forget(folder: Path, assignment: str, student: str, notebook: str) -> None:
    everything = read(folder, assignment, student)
    if everything.pop(notebook, None):
        _save(folder, assignment, student, everything)


def run(folder: Path, assignment: str) -> dict:
    """What is known of the last time that this assignment was graded: how long that took."""
    try:
        return json.loads(_run_file(folder, assignment).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write_run(folder: Path, assignment: str, record: dict) -> None:
    _replace(_run_file(folder, assignment), record)


def _run_file(folder: Path, assignment: str) -> Path:
    return folder / SECRETS / "runs" / f"{assignment}.json"


def _save(folder: Path, assignment: str, student: str, everything: dict) -> None:
    _replace(_file(folder, assignment, student), everything)


def _replace(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    new.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(new, file)


def _blank() -> dict:
    blank = {"lines": [], "not graded": {}, "work": "", "failed": ""}
    return {**blank, "checks": {}, "seconds": {}, "points": None}


def _file(folder: Path, assignment: str, student: str) -> Path:
    return folder / SECRETS / "notes" / assignment / f"{student}.json"
