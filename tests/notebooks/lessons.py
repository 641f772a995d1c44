"""The course's own lessons, and ways to run a notebook, for the tests beside this file."""

import os
import subprocess
import sys
from pathlib import Path

import nbclient
import nbformat
from nbformat import NotebookNode

from course_utils.authoring.build import ROOT

SOURCES = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))
STEMS = [path.stem for path in SOURCES]

# what tells the course that nobody reads along: see course_utils.runtime
SIGNS = ("NBGRADER_EXECUTION", "PYTEST_CURRENT_TEST", "CI", "PRUNING_COURSE_AUTOMATED")


def solution_path(stem: str) -> Path:
    return ROOT / "solutions" / f"{stem}.ipynb"


def solution(stem: str) -> NotebookNode:
    return nbformat.read(solution_path(stem), as_version=4)


def student(stem: str) -> NotebookNode:
    return nbformat.read(ROOT / "notebooks" / f"{stem}.ipynb", as_version=4)


def learners_environment(home: Path) -> dict[str, str]:
    """What a learner's kernel sees: nothing that says a machine is running it."""
    kept = {name: value for name, value in os.environ.items() if name not in SIGNS}
    return {**kept, "PRUNING_COURSE_HOME": str(home)}


def run(notebook: NotebookNode, folder: Path, environment: dict[str, str]) -> NotebookNode:
    """The notebook after all its cells ran in that folder; the first failing one raises."""
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(folder)}}
    )
    return client.execute(env=environment)


def nbval(path: Path, environment: dict[str, str]) -> subprocess.CompletedProcess:
    """Run a notebook again and compare each output with the recorded one."""
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", str(path)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, encoding="utf-8"
    )
