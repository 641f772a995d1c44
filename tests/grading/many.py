"""A large class: students hand in lesson 03 with answers from the banks of right and wrong ones.

What each must get is worked out in this process, by the answers' own functions and the exercises'
own checks, and so by a way that shares no cell, no sandbox and no nbgrader with the grader's.
"""

import ast
import inspect
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import psutil
from class_folder import ASSIGNMENT, HOUSE, LESSON
from class_folder import hand_in as put_in_place
from hostile import Notebook
from nbgrader.api import Gradebook

sys.path.append(str(HOUSE / "tests" / "exercises"))
import answers_lesson03
from bank import RIGHT, WRONG

from course_utils.authoring import build, notebooks, source
from course_utils.exercises import every, find
from course_utils.exercises import grade as judge
from course_utils.grading import classes

LOOK = 0.5  # seconds between two looks at memory
EXERCISES = [name for name, exercise in every().items() if exercise.lesson == ASSIGNMENT]
WRITTEN = {
    "why_the_zeros_are_gone": "The optimizer remembers, and so the weights come back.",
    "global_or_layerwise": "It depends on how large the weights of each layer are.",
    "why_a_pattern_helps": "Everybody knows beforehand where the zeros are.",
}


class Answer(NamedTuple):
    """What one student writes into an exercise's cell."""

    text: str
    function: Callable | None = None  # the same, to be tried here; without it `earns` says
    earns: float | None = 0.0  # points, or None for what could not be graded


class Student(NamedTuple):
    name: str
    answers: dict[str, Answer]  # by exercise
    trouble: str = ""  # of which kind


BLANK = Answer("")


# --- Answers of the banks as text -----------------------------------------------------------------


@cache
def bank(exercise: str) -> tuple[list[Answer], list[Answer]]:
    """Right ones and wrong ones."""
    wrong = [answer for answer, _ in WRONG[exercise]]
    return [_written(exercise, a) for a in RIGHT[exercise]], [_written(exercise, a) for a in wrong]


def _written(exercise: str, function: Callable) -> Answer:
    """The cell that holds an answer, and before it whatever of its module it uses."""
    imports, functions = _module()
    used, waiting = set(), [function.__name__]
    while waiting:
        name = waiting.pop()
        used.add(name)
        waiting += {n for n in _names(functions.get(name)) if n in functions} - used
    everything = set().union(*(_names(functions[name]) for name in used))
    parts = [line for name, line in imports.items() if name in everything]
    parts += ["", *(ast.unparse(node) + "\n" for name, node in functions.items() if name in used)]
    return Answer("\n".join([*parts, f"{exercise} = {function.__name__}"]).strip(), function)


@cache
def _module() -> tuple[dict[str, str], dict[str, ast.FunctionDef]]:
    imports, functions = {}, {}
    for node in ast.parse(inspect.getsource(answers_lesson03)).body:
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
            functions[node.name] = node
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                alone = type(node)(**{**vars(node), "names": [alias]})
                imports[alias.asname or alias.name] = ast.unparse(alone)
    return imports, functions


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


# --- Who hands in what ----------------------------------------------------------------------------


def mostly_right(count: int) -> list[Student]:
    """Right answers, a fifth of them wrong, some left out; every answer of the banks in turn. With
    150 students, all of them."""
    chance = random.Random(ASSIGNMENT)
    turns = {name: [cycle(answers) for answers in bank(name)] for name in EXERCISES}

    def answer(exercise: str) -> Answer:
        right, wrong = turns[exercise]
        luck = chance.random()
        return BLANK if luck < 0.06 else next(wrong) if luck < 0.26 else next(right)

    return [_student(number, {n: answer(n) for n in EXERCISES}) for number in range(1, count + 1)]


def benign(count: int) -> list[Student]:
    """All is right, and each wrote it in another way; in none that takes the weights one by one,
    for which the lesson's own networks are too large."""
    one_by_one = ("one_by_one", "by_a_list_of_all", "by_loops")
    ways = {
        name: [way for way in bank(name)[0] if way.function.__name__ not in one_by_one]
        for name in EXERCISES
    }
    return [
        _student(number, {n: ways[n][(number + at) % len(ways[n])] for at, n in enumerate(ways)})
        for number in range(1, count + 1)
    ]


def mixed(count: int = 24) -> list[Student]:
    """Half are like any others; every second one hands in nothing, or what makes trouble."""
    right, kinds = {name: bank(name)[0][0] for name in EXERCISES}, cycle(TROUBLE)
    students = mostly_right(count)
    for number in range(2, count + 1, 2):
        kind = next(kinds)
        students[number - 1] = _student(number, right | TROUBLE[kind])._replace(trouble=kind)
    return students


def _student(number: int, answers: dict[str, Answer]) -> Student:
    """Whoever wrote something has written it alone: nobody's result stands for another's."""
    name = f"s{number:03}"
    mine = {n: a._replace(text=f"# {name}\n{a.text}") if a.text else a for n, a in answers.items()}
    return Student(name, mine)


RIGHT_BUT_LONG = bank("magnitude_mask")[0][0]
TROUBLE = {
    "endless": {
        "remaining_after": Answer(
            """
def remaining_after(rounds, fraction):
    while True:
        pass
""",
            earns=None,
        )
    },
    "blank": dict.fromkeys(EXERCISES, BLANK),
    "crashes": {
        "magnitude_mask": Answer(
            """
import ctypes

def magnitude_mask(weight, sparsity):
    return ctypes.string_at(0)
""",
            earns=None,
        )
    },
    "exits": {
        "n_m_mask": Answer(
            """
import os

def n_m_mask(weight, n, m):
    os._exit(0)
""",
            earns=None,
        )
    },
    "prints": {
        "magnitude_mask": RIGHT_BUT_LONG._replace(
            text=f"{RIGHT_BUT_LONG.text}\n\nfor _ in range(300):\n    print('x' * 2**20)"
        )
    },
    "hungry": {
        "magnitude_mask": Answer(  # many processes that together take too much are ended
            """
import os
import time

for _ in range(20):
    if os.fork() == 0:
        kept = bytearray(b"x") * 2**28
        time.sleep(600)
time.sleep(600)

def magnitude_mask(weight, sparsity):
    return kept
""",
            earns=None,
        ),
        "n_m_mask": Answer(  # and one that takes too much is told so, as anywhere
            """
kept = []
while True:
    kept.append(torch.ones(2**26))

def n_m_mask(weight, n, m):
    return kept
"""
        ),
    },
}


# --- The command ----------------------------------------------------------------------------------


class Graded(NamedTuple):
    said: str
    seconds: float
    peak: int  # bytes, of all its processes together


def grade(folder: Path, *more: str) -> Graded:
    """`course class grade`, two notebooks at once, with an eye on its memory."""
    command = [sys.executable, "-m", "course_utils.cli", "class", "grade", ASSIGNMENT]
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+", encoding="utf-8") as out:
        process = psutil.Popen(
            [*command, "--workers", "2", *more], cwd=folder, stdout=out, stderr=subprocess.STDOUT
        )
        while process.poll() is None:
            peak = max(peak, sum(map(_memory, [process, *_below(process)])))
            with suppress(psutil.TimeoutExpired):
                process.wait(LOOK)
        seconds = time.perf_counter() - start
        out.seek(0)
        said = out.read()
    assert process.returncode == 0, said
    return Graded(said, seconds, peak)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _memory(process: psutil.Process) -> int:
    """What one process has for itself, and its part of what it shares with others."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except PermissionError:  # one behind walls, and whoever asks is not root
        return _resident(process)
    except OSError:
        return 0


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


# --- The class ------------------------------------------------------------------------------------


def make(folder: Path, students: list[Student], config: str = "") -> None:
    """A class with lesson 03, in which these have handed in."""
    text = source.read(build.ROOT / "solutions" / f"{LESSON}.py")
    classes.new(folder, {LESSON: notebooks.instructor(text)})
    with (folder / classes.CONFIG).open("a", encoding="utf-8") as file:
        file.write(f"\n{config}\n")
    for student in students:
        hand_in(folder, student)


def hand_in(folder: Path, student: Student) -> None:
    cells = {name: answer.text for name, answer in student.answers.items()}
    written = WRITTEN if any(cells.values()) else {}
    put_in_place(folder, Notebook(student.name, "", {**cells, **written}), {}, {})


def earned(folder: Path, students: list[Student]) -> dict[str, dict[str, float | None]]:
    """The points that each must get for each check, worked out here."""
    seed = (folder / ".grading" / "seed").read_text(encoding="utf-8").strip()

    @cache
    def points(exercise: str, function: Callable) -> float:
        return round(judge(exercise, function, seed).score * find(exercise).points, 2)

    return {
        student.name: {
            f"check_{name}": points(name, answer.function) if answer.function else answer.earns
            for name, answer in student.answers.items()
        }
        for student in students
    }


def given(folder: Path) -> dict[str, dict[str, float | None]]:
    """The points for each check that stand in the gradebook, without those of written answers."""
    return {
        student: {name: auto for name, auto, _ in grades if name.startswith("check_")}
        for student, grades in in_gradebook(folder).items()
    }


def in_gradebook(folder: Path) -> dict[str, list[tuple[str, float | None, bool]]]:
    """By student: each graded cell, its automatic points, and whether it waits for a human."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        return {
            one.student.id: [
                (grade.name, grade.auto_score, grade.needs_manual_grade)
                for notebook in one.notebooks
                for grade in notebook.grades
            ]
            for one in gradebook.assignment_submissions(ASSIGNMENT)
        }
