"""The desk, driven in Python: the language, the words, and what leads to a lesson."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from course_utils.quiz import translation
from course_utils.study import log, reviewing
from course_utils.study.desk import Desk, desk
from course_utils.study.panels import Panel
from course_utils.study.progress import link_to, progress
from course_utils.study.titles import _titles

SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"


@pytest.fixture(autouse=True)
def somebody_reads(monkeypatch):
    for name in ("study.desk", "study.progress", "study.quizzes", "quiz.translation"):
        module = import_module(f"course_utils.{name}")  # in study, some functions are called alike
        monkeypatch.setattr(module, "automated", lambda: False)


def shown(output) -> str:
    return "\n".join(each["data"]["text/plain"] for each in output.outputs)


def test_titles_are_those_of_the_lessons():
    headings = {
        path.name[:2]: re.search(r"^# # \d\d · (.+)$", path.read_text(encoding="utf-8"), re.M)[1]
        for path in SOLUTIONS.glob("[0-9][0-9]_*.py")
    }
    assert _titles() == headings


@pytest.mark.parametrize("code", ["bg", "vi", "ko"])
def test_every_title_is_translated(code):
    english = set(_titles().values())
    translation.choose(code)
    assert english.isdisjoint(_titles().values())


def test_choosing_a_language_is_remembered_and_all_is_said_in_it():
    here = Desk()
    here.language.value = "bg"
    assert translation.language() == "bg"
    assert "Започнете оттук" in shown(here.standing)
    assert Desk().language.value == "bg"


def test_a_choice_that_cannot_be_remembered_says_so(home):
    (home / "language").mkdir()
    here = Desk()
    here.language.value = "ko"
    assert "cannot be remembered" in here.problem.value


def test_a_word_is_found_in_any_language_and_explained_in_ones_own():
    here = Desk()
    here.word.value = "희소성"
    first = shown(here.found).splitlines()
    assert first[0].startswith("sparsity · разреденост")
    here.language.value = "ko"
    assert shown(here.found).splitlines()[0].startswith("희소성 · sparsity")
    here.word.value = "quokka"
    assert len(here.found.outputs) == 1 and "quokka" not in shown(here.found)
    here.word.value = "  "
    assert here.found.outputs == ()


def test_lessons_are_linked_where_they_lie(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert link_to("03") == ""
    assert "<a " not in progress().html
    for name in ("03_unstructured_pruning-v2.ipynb", "03_unstructured_pruning.ipynb"):
        (tmp_path / name).touch()
    assert link_to("03", "Step 1: cut") == "03_unstructured_pruning.ipynb#Step-1:-cut"
    assert progress().html.count('<a href="03_unstructured_pruning.ipynb">') == 1
    here = Desk()
    here.word.value = "unstructured pruning"
    assert 'href="03_unstructured_pruning.ipynb#' in here.found.outputs[0]["data"]["text/html"]


def test_what_is_due_is_asked_at_the_desk(monkeypatch):
    reviewing.enrol("00")
    here = Desk()
    assert here.start.layout.display == "none"
    tomorrow = reviewing.today().replace(year=reviewing.today().year + 1)
    monkeypatch.setattr(reviewing, "today", lambda: tomorrow)
    here = Desk()
    assert here.start.layout.display is None
    here.start.click()
    (sitting,) = here.sitting.children
    assert sitting.children[1].children
    here.language.value = "vi"
    assert here.sitting.children == () and here.start.layout.display is None
    assert log.read("answer") == []


def test_where_nobody_reads_along_it_is_a_panel(monkeypatch):
    monkeypatch.setattr(import_module("course_utils.study.desk"), "automated", lambda: True)
    assert isinstance(desk(), Panel)
