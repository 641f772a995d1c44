"""Graded quizzes: plain answers come out of the student's process and are judged here.

The questions with their keys lie in a class bank, a folder of the same format as the course's own,
which the student's process cannot see: it runs behind a wall (bubblewrap) where that folder is
empty. Use it from `nbgrader_config.py`:

    from course_utils.grading import quizzes
    quizzes.configure(c, bank="/somewhere/class_bank")
"""

import ast
import shutil
from pathlib import Path
from typing import NamedTuple

from jupyter_client.manager import AsyncKernelManager
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute, NbGraderPreprocessor, SaveAutoGrades
from nbgrader.utils import is_grade
from traitlets import Unicode

from course_utils.quiz import graded, markup
from course_utils.quiz.bank import Item, load
from course_utils.quiz.judge import BadAnswer, judge, key


class Graded(NamedTuple):
    item: Item
    score: float  # 0 to 1
    says: list[str]


def configure(c, bank: str | Path, walled: bool = True) -> None:
    """Let `nbgrader autograde` grade quizzes with the questions in the folder `bank`."""
    folder = Path(bank).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(f"the class bank {folder} is not a folder.")
    if walled and shutil.which("bwrap") is None:
        raise ValueError(
            "bubblewrap keeps the keys out of the students' reach, and is not installed "
            "(apt-get install bubblewrap). To grade all the same, with keys that a student's code "
            "could read: configure(c, bank, walled=False)."
        )
    steps = list(Autograde.autograde_preprocessors.default_args[0])
    steps[steps.index(Execute)] = ExecuteWalled if walled else Execute
    steps.insert(steps.index(SaveAutoGrades), GradeQuizzes)
    c.Autograde.autograde_preprocessors = steps
    c.GradeQuizzes.bank = str(folder)
    c.ExecuteWalled.hidden = str(folder)


def grade(answers: dict, items: list[Item]) -> list[Graded]:
    """Judge what was handed in, whatever it is. An answer nobody can read earns nothing."""
    return [_grade(item, answers.get(item.id)) for item in items]


def _grade(item: Item, given) -> Graded:
    solution = [text for text in (key(item), item.explanation) if text]
    if given is None:
        return Graded(item, 0.0, ["No answer.", *solution])
    try:
        verdict = judge(item, graded.answer(item, given))
    except BadAnswer:
        return Graded(item, 0.0, ["This answer could not be read.", *solution])
    return Graded(item, verdict.score, verdict.says)


class GradeQuizzes(NbGraderPreprocessor):
    """Puts points and feedback in place of what the student's process said."""

    bank = Unicode(help="The folder with the class's questions and keys").tag(config=True)

    def preprocess_cell(self, cell: NotebookNode, resources, index):
        asked = _questions(cell)
        if not asked:
            return cell, resources
        items = load(Path(self.bank))
        unknown = [id_ for id_ in asked if id_ not in items]
        if unknown:
            raise ValueError(f"the class bank {self.bank} has no question {unknown[0]}.")
        results = grade(_handed_in(cell), [items[id_] for id_ in asked])
        points = sum(result.score * result.item.points for result in results)
        data = {"text/plain": str(round(points, 2)), "text/html": feedback(results)}
        judged = new_output("execute_result", data, execution_count=cell.execution_count)
        failed = [output for output in cell.outputs if output.output_type == "error"]
        cell.outputs = [judged, *failed]  # whatever else was said there does not count
        return cell, resources


def _questions(cell: NotebookNode) -> list[str]:
    """The ids that a locked, graded cell hands in. nbgrader has put its own text back before."""
    if cell.cell_type != "code" or not is_grade(cell) or "hand_in(" not in cell.source:
        return []
    calls = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call)]
    handing = [call for call in calls if getattr(call.func, "id", "") == "hand_in"]
    return list(ast.literal_eval(handing[0].args[1])) if handing else []


def _handed_in(cell: NotebookNode) -> dict:
    """What came out of the student's process; nothing if it never got so far."""
    handed_in = [output.get("data", {}).get(graded.ANSWERS) for output in cell.outputs]
    return next((answers for answers in reversed(handed_in) if isinstance(answers, dict)), {})


def feedback(results: list[Graded]) -> str:
    """What the student reads after grading."""
    parts = []
    for n, (item, score, says) in enumerate(results, 1):
        sign = "✓" if score == 1 else "✗" if score == 0 else "◐"
        earned = f"{score * item.points:.4g} of {item.points:g}"
        parts.append(f"<p><strong>{sign} Question {n}: {earned}</strong></p>")
        parts += [markup.html(text) for text in says]
    return "".join(parts)


class WalledKernelManager(AsyncKernelManager):
    """Starts the kernel where one folder is empty and no other process can be seen."""

    hidden = Unicode().tag(config=True)

    def format_kernel_cmd(self, extra_arguments=None):
        wall = ["bwrap", "--dev-bind", "/", "/", "--tmpfs", self.hidden, "--proc", "/proc"]
        wall += ["--unshare-pid", "--cap-drop", "ALL", "--die-with-parent"]
        # inside, the parent's number is 1, which the kernel would take for an orphan's
        wall += ["--unsetenv", "JPY_PARENT_PID", "--"]
        return wall + super().format_kernel_cmd(extra_arguments)


class ExecuteWalled(Execute):
    """nbgrader's own execution, with the kernel behind the wall."""

    hidden = Unicode(help="The folder that students' code must not see").tag(config=True)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, kernel_manager_class=WalledKernelManager, **kwargs)

    def create_kernel_manager(self):
        manager = super().create_kernel_manager()
        manager.hidden = self.hidden
        return manager
