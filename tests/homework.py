"""Lesson 01 as students hand it in, for tests that grade a class with everything real."""

from functools import cache
from pathlib import Path

import nbformat

from course_utils.authoring.build import ROOT
from course_utils.authoring.source import read
from course_utils.exercises import find

ASSIGNMENT = "01"
LESSON = "01_networks_and_weights"
WRITTEN = {
    "why_flops_are_not_speed": "Memory has to be fetched as well, and that takes its time.",
    "which_activations_can_go": "Those of a unit that is silent for every image.",
}

COUNTS_ROWS = """\
def count_parameters(model):
    return {name: len(parameter) for name, parameter in model.named_parameters()}
"""

ENDLESS = """\
def model_sparsity(model):
    while True:
        pass
"""


@cache
def lesson():
    return read(ROOT / "solutions" / f"{LESSON}.py")


@cache
def solutions() -> dict[str, str]:
    """The code of every exercise, by its name."""
    return {cell.id: cell.source for cell in lesson().cells if cell.kind == "exercise"}


def points(*names: str) -> float:
    """What these exercises are worth; all checks, if none is named."""
    return sum(find(name).points for name in names or solutions())


def answer(path: Path, answers: dict[str, str]) -> None:
    """Write answers into a notebook, as typing them would."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    nbformat.write(notebook, path)
