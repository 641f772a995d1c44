"""What the cells of a lesson meet instead of `study.checking` and `study.claims` while a class is
graded: nothing is judged beside a student's code, and no answer of the course's is there to lend.

`package` puts this file in the place of those two.
"""

from typing import NamedTuple

from course_utils.study.panels import Panel, panel


class Report(NamedTuple):
    """What `check` gives, for cells that look into it."""

    shown: Panel
    status: str = "not attempted"
    points: float = 0.0
    messages: tuple = ()

    def __repr__(self):
        return self.shown.plain

    def _repr_html_(self):
        return self.shown.html


def check(name: str, answer) -> Report:
    return Report(panel(f"{name} is judged when the notebook is graded."))


def hint(name: str) -> Panel:
    return panel(f"Hints for {name} are shown in JupyterLab.")


def solution(name: str, insist: bool = False) -> Panel:
    return panel(f"The solution of {name} is shown in JupyterLab.")


def yours_or_ours(name: str, answer):
    return answer


def claim(name: str, measure, holds, says) -> Panel:
    return panel(f"The claim {name} is tried in JupyterLab.")
