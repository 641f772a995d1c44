"""Graded quizzes: plain answers come out of the student's process and are judged here.

The questions with their keys lie in `bank/` of the class folder, in the format of the course's own
bank. The student's process sees no class folder (`sandbox`), so it sees no key.
"""

import ast
import re
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import is_grade
from traitlets import Unicode

from course_utils.grading.execution import Problem
from course_utils.grading.nbgrader_parts import not_graded
from course_utils.grading.parsing import parse
from course_utils.grading.running import without_verdict
from course_utils.quiz import graded, markup, rules
from course_utils.quiz.bank import Item, read
from course_utils.quiz.judge import BadAnswer, judge, key
from course_utils.study.panels import clean

_PLACE = re.compile(r"<ipython-input-[^>]*>, ")  # what IPython calls a cell


class Graded(NamedTuple):
    item: Item
    score: float  # 0 to 1
    says: list[str]


def grade(answers: dict, items: list[Item]) -> list[Graded]:
    """Judge what was handed in, whatever it is. An answer nobody can read earns nothing."""
    return [_grade(item, answers.get(item.id)) for item in items]


def _grade(item: Item, given) -> Graded:
    solution = _solution(item)
    if given is None:
        return Graded(item, 0.0, ["No answer.", *solution])
    try:
        verdict = judge(item, graded.answer(item, given))
    except BadAnswer:
        return Graded(item, 0.0, ["This answer could not be read.", *solution])
    return Graded(item, verdict.score, verdict.says)


def _solution(item: Item) -> list[str]:
    return [text for text in (key(item), item.explanation) if text]


class GradeQuizzes(NbGraderPreprocessor):
    """Puts points and feedback in place of what the student's process said."""

    bank = Unicode(help="The folder with the class's questions and keys").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources):
        self.errors = []  # of the cells before
        return super().preprocess(nb, resources)

    def preprocess_cell(self, cell: NotebookNode, resources, index):
        failed = [o for o in cell.get("outputs", []) if o.output_type == "error"]
        asked = _questions(cell)
        if not asked:
            self.errors += failed
            return cell, resources
        answers = _handed_in(cell)
        if answers is None and not_graded(cell):
            return cell, resources
        items = _bank(Path(self.bank))
        unknown = [id_ for id_ in asked if id_ not in items]
        if unknown:
            raise Problem(f"The class's bank, {self.bank}, has no question {unknown[0]}.")
        if answers is None and failed:  # a comma too few is no reason to lose every point
            cause = (self.errors or failed)[-1]
            what = _PLACE.sub("", f"{cause.ename}: {cause.evalue}")
            why = f"no answers arrived: a cell failed ({what})"
            solutions = {"text/html": _solutions([items[id_] for id_ in asked])}
            unjudged = new_output(**without_verdict(cell, clean(why)))
            own = [] if self.errors else failed  # or what follows from an earlier cell's
            cell.outputs = [unjudged, *own, new_output("display_data", solutions)]
            return cell, resources
        results = grade(answers or {}, [items[id_] for id_ in asked])
        points = round(sum(result.score * result.item.points for result in results), 2)
        wrong = {f"question {n}": r.says for n, r in enumerate(results, 1) if r.score < 1}
        first = [": ".join([question, *says[:1]]) for question, says in wrong.items()][:1]
        self.parent.executed.checks[cell.metadata.nbgrader.grade_id] = {
            "status": _status(answers or {}, results),
            "points": points,
            "message": "".join(first),
            "groups": dict.fromkeys(wrong, False),
        }
        data = {"text/plain": str(points), "text/html": feedback(results)}
        judged = new_output("execute_result", data, execution_count=cell.execution_count)
        cell.outputs = [judged, *failed]  # whatever else was said there does not count
        return cell, resources


def _status(answers: dict, results: list[Graded]) -> str:
    """As checks have it; a quiz without a single answer was not tried."""
    if all(answers.get(result.item.id) is None for result in results):
        return "not attempted"
    return "correct" if all(result.score == 1 for result in results) else "incorrect"


def _questions(cell: NotebookNode) -> list[str]:
    """The ids that a locked, graded cell hands in. nbgrader has put its own text back before."""
    if cell.cell_type != "code" or not is_grade(cell) or "hand_in(" not in cell.source:
        return []
    calls = [node for node in ast.walk(parse(cell.source)) if isinstance(node, ast.Call)]
    handing = [call for call in calls if getattr(call.func, "id", "") == "hand_in"]
    return list(ast.literal_eval(handing[0].args[1])) if handing else []


def _handed_in(cell: NotebookNode) -> dict | None:
    """What came out of the student's process; None if it never got so far."""
    handed_in = [output.get("data", {}).get(graded.ANSWERS) for output in cell.outputs]
    return next((answers for answers in reversed(handed_in) if isinstance(answers, dict)), None)


def _bank(folder: Path) -> dict[str, Item]:
    """The questions as they are now: formgrader runs for days, and keys are corrected meanwhile."""
    files = sorted(folder.glob("[0-9][0-9]_*.yaml"))
    return _read(folder, tuple((file, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=1)
def _read(folder: Path, files: tuple) -> dict[str, Item]:
    found = rules.unreadable(rules.Contents(folder))
    if found:
        raise Problem(f"The class's bank has a mistake in it: {found[0]}")
    return {item.id: item for file, _ in files for item in read(file)}


def feedback(results: list[Graded]) -> str:
    """What the student reads after grading."""
    parts = []
    for n, (item, score, says) in enumerate(results, 1):
        sign = "✓" if score == 1 else "✗" if score == 0 else "◐"
        earned = f"{score * item.points:.4g} of {item.points:g}"
        parts.append(f"<p><strong>{sign} Question {n}: {earned}</strong></p>")
        parts += map(_html, says)
    return "".join(parts)


def _solutions(items: list[Item]) -> str:
    """What the student reads where no answer could be."""
    parts = []
    for n, item in enumerate(items, 1):
        parts.append(f"<p><strong>Question {n}</strong></p>")
        parts += map(_html, _solution(item))
    return "".join(parts)


def _html(text: str) -> str:
    """JupyterLab shows feedback without scripts, so nothing would set its formulas."""
    return markup.html(text, formula=lambda tex: escape(markup.spelled(tex)))
