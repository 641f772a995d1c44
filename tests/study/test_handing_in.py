"""What a student sees before handing in a graded quiz, without nbgrader around it."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from course_utils.quiz.graded import ANSWERS
from course_utils.study import hand_in, handing_in

QUESTIONS = {"aaaaa1": "one of abc", "aaaaa2": "number"}


def shown(answers) -> dict:
    return hand_in(answers, QUESTIONS)._repr_mimebundle_()


def test_all_that_can_be_read_is_handed_in_and_worth_nothing_by_itself():
    bundle = shown({1: "B", 2: 3})
    assert bundle[ANSWERS] == {"aaaaa1": "b", "aaaaa2": 3.0}
    assert bundle["text/plain"] == "0"
    assert "All 2 answers" in bundle["text/html"]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({1: "b"}, "Question 2: there is no answer yet."),
        ({1: "d", 2: 3}, "Question 1: write one of the letters a, b, c"),
        ({1: "b", 2: 3, 7: "a"}, "There is no question 7."),
        (["b", 3], "must be a dictionary"),
    ],
)
def test_what_is_missing_is_said_before_it_is_too_late(answers, says):
    assert says in shown(answers)["text/html"]


@pytest.mark.parametrize(("answers", "silent"), [({1: "b", 2: 3}, True), ({1: "b"}, False)])
def test_validating_is_silent_about_points_only_when_all_is_answered(monkeypatch, answers, silent):
    monkeypatch.setenv("NBGRADER_VALIDATING", "1")
    assert (hand_in(answers, QUESTIONS) is None) == silent


def test_answers_from_before_a_cell_that_failed_are_not_called_complete(monkeypatch):
    shell = InteractiveShell(config=Config(HistoryManager={"enabled": False}))
    monkeypatch.setattr(handing_in, "get_ipython", lambda: shell)
    shell.run_cell("answers = {1: 'b', 2: 3}")
    assert "All 2 answers" in shown(shell.user_ns["answers"])["text/html"]
    shell.run_cell("answers = {1: 'b' 2: 4}")
    page = shown(shell.user_ns["answers"])["text/html"]
    assert "All 2 answers" not in page and "may be answers from before" in page
