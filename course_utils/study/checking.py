"""Checks, hints and solutions in the notebook."""

import inspect

from course_utils.exercises import Exercise, Result, find, grade
from course_utils.exercises.engine import line_of
from course_utils.study import log
from course_utils.study.panels import panel


class Report:
    """What `check` shows: a panel for people. Its plain form is the points, and nothing else,
    because nbgrader reads a graded cell's last value as partial credit."""

    def __init__(self, exercise: Exercise, result: Result):
        self.status, self.messages = result.status, result.messages
        self.points = round(exercise.points * result.score, 2)
        self._panel = _report_panel(exercise, result, self.points)

    def __repr__(self):
        return str(self.points)

    def _repr_html_(self):
        return self._panel.html


class Stopped(KeyboardInterrupt):
    """The stop button, while an answer ran: it ends the cell and all that wait behind it, with a
    sentence about the answer instead of the course's own calls."""

    def _render_traceback_(self) -> list[str]:  # what IPython asks for
        return [str(self)]


def check(name: str, answer) -> Report:
    """Try your answer on many cases and say what is wrong, if anything."""
    exercise = find(name)
    try:
        result = _graded(name, answer)
    except Stopped:
        log.append("check", name, status="stopped", score=0.0)
        raise
    log.append("check", name, status=result.status, score=result.score)
    return Report(exercise, result)


def hint(name: str):
    """Show the next hint. Run it again for one more."""
    hints = find(name).hints
    shown = min(len(log.read("hint", name)) + 1, len(hints))
    log.append("hint", name, number=shown)
    lines = [f"{number}. {text}" for number, text in enumerate(hints[:shown], 1)]
    if shown < len(hints):
        lines.append(f"Run this cell again for hint {shown + 1} of {len(hints)}.")
    else:
        lines.append(f'That was the last one. After a try, `solution("{name}")` shows one way.')
    return panel(f"Hints for {name}", lines)


def solution(name: str, insist: bool = False):
    """Show one way to write the answer: after a try, or on insistence."""
    exercise = find(name)
    if not insist and not any(
        e.data.get("status") != "not attempted" for e in log.read("check", name)
    ):
        return panel(
            f"Try {name} first",
            [
                "A solution teaches most when you have met the difficulty. Write something, run "
                f'its check, ask for `hint("{name}")`. '
                f'To see it all the same: `solution("{name}", insist=True)`.'
            ],
        )
    log.append("solution", name)
    parts = exercise.reference if isinstance(exercise.reference, tuple) else [exercise.reference]
    code = "\n\n".join(inspect.getsource(part) for part in parts)
    return panel(f"One way to write {name}", code=code)


def yours_or_ours(name: str, answer):
    """Your answer if it is right, and the course's otherwise, so that a later cell always works."""
    result = _graded(name, answer)
    if result.status == "correct":
        return answer
    why = "not written yet" if result.status == "not attempted" else "not right yet"
    print(f"Your {name} is {why}: this cell uses ours.")
    return find(name).reference


def _graded(name: str, answer) -> Result:
    try:
        return grade(name, answer)
    except KeyboardInterrupt as stop:
        line = line_of(stop, answer)
        where = f"It was in {line}\nIs that in" if line else "Is there"
        raise Stopped(f"You stopped {name}. {where} a loop that never ends?") from None


def _report_panel(exercise: Exercise, result: Result, points: float):
    worth = f"{points:g} of {exercise.points:g} points"
    if result.status == "not attempted":
        return panel(
            f"○ {exercise.name}: not attempted, {worth}",
            [
                f'Write it in the cell above. A first push: `hint("{exercise.name}")`.',
                "Already written? Run its cell, and if that shows an error, mend it first.",
            ],
        )
    if result.status == "correct":
        return panel(f"✓ {exercise.name}: correct, {worth}", mood="good")
    lines = result.messages[:1]  # one thing at a time
    if result.groups:
        tried = [f"{'✓' if passed else '✗'} {group}" for group, passed in result.groups.items()]
        lines.append(" · ".join(tried))
    lines.append(f'Stuck? `hint("{exercise.name}")`')
    return panel(f"✗ {exercise.name}: not right yet, {worth}", lines, mood="bad")
