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
    verdict with the reason, a digest of the work, and what went wrong with grading itself."""
    _save(folder, assignment, student, read(folder, assignment, student) | {notebook: said})


def forget(folder: Path, assignment: str, student: str, notebook: str) -> None:
    everything = read(folder, assignment, student)
    if everything.pop(notebook, None):
        _save(folder, assignment, student, everything)


def _save(folder: Path, assignment: str, student: str, everything: dict) -> None:
    file = _file(folder, assignment, student)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    new.write_text(json.dumps(everything, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(new, file)


def _blank() -> dict:
    return {"lines": [], "not graded": {}, "work": "", "failed": ""}


def _file(folder: Path, assignment: str, student: str) -> Path:
    return folder / SECRETS / "notes" / assignment / f"{student}.json"
