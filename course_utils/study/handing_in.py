"""The last cell of a graded quiz: shows what will be handed in, and passes it on as plain data.

It knows no answers and judges nothing; `grading.quizzes` does, outside the student's process.
"""

import os

from IPython import get_ipython
from IPython.display import display

from course_utils.quiz.graded import ANSWERS, readable
from course_utils.quiz.judge import BadAnswer
from course_utils.study.panels import panel


class HandedIn:
    """What nbgrader finds. On its own it is worth nothing: points come from the grader."""

    def __init__(self, answers: dict, missing: list[str]):
        self._answers = answers
        count = sum(answer is not None for answer in answers.values())
        if missing:
            title = f"○ {count} of {len(answers)} answers can be handed in"
        else:
            title = f"✓ All {count} answers can be handed in"
        self._panel = panel(title, [*missing, "They are graded after you submit the notebook."])

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "0", "text/html": self._panel.html, ANSWERS: self._answers}


def hand_in(answers: dict, questions: dict[str, str]):
    """`answers` by question number; `questions`: for each id, what an answer to it looks like."""
    given, missing = {}, []
    if not isinstance(answers, dict):
        answers, missing = {}, ["`answers` must be a dictionary from question numbers to answers."]
    for n, (question, form) in enumerate(questions.items(), 1):
        try:
            given[question] = readable(answers.get(n), form)
        except BadAnswer as error:
            given[question] = None
            missing.append(f"Question {n}: {error}")
    unknown = [str(n) for n in answers if n not in range(1, len(questions) + 1)]
    if unknown:
        missing.append(f"There is no question {', '.join(unknown)}.")
    if getattr(get_ipython(), "last_execution_succeeded", True) is False:
        missing.append(
            "The cell that ran before this one failed, so these may be answers from before: "
            "mend it, then run both."
        )
    handed = HandedIn(given, missing)
    if os.environ.get("NBGRADER_VALIDATING") and not missing:
        display(handed._panel)  # a value would be taken for points, and there are none yet
        return None
    return handed
