"""The desk, driven in Python: the language, the words, and what leads to a lesson."""

import json
import os
import re
from importlib import import_module
from pathlib import Path

import pytest

from course_utils.copies import RECORD
from course_utils.lab import deliver
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
    (tmp_path / "03_unstructured_pruning.ipynb").touch()
    assert link_to("03", "Step 1: cut") == "03_unstructured_pruning.ipynb#Step-1:-cut"
    assert progress().html.count('<a href="03_unstructured_pruning.ipynb">') == 1
    here = Desk()
    here.word.value = "unstructured pruning"
    assert 'href="03_unstructured_pruning.ipynb#' in here.found.outputs[0]["data"]["text/html"]


# --- Newer versions -------------------------------------------------------------------------------

OLD, NEW = "03_unstructured_pruning.ipynb", "03-v2_unstructured_pruning.ipynb"


@pytest.fixture
def updated(tmp_path, monkeypatch):
    """A learner's folder after two versions of lesson 03, and what changes a copy in it."""
    course, work = tmp_path / "course", tmp_path / "work"
    course.mkdir()

    def brings(text: str) -> None:
        source = [f"## Step 1: cut\n{text}"]
        cell = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": source}
        (course / OLD).write_text(json.dumps({"cells": [cell]}), encoding="utf-8")
        deliver(course, work)

    def saved(name: str, when: int) -> None:
        notebook = json.loads((work / name).read_text("utf-8"))
        notebook["cells"].append(
            {"cell_type": "code", "id": "own", "metadata": {}, "source": f"mine = {when}"}
        )
        (work / name).write_text(json.dumps(notebook), encoding="utf-8")
        os.utime(work / name, (when, when))

    brings("Cut.")
    saved(OLD, when=1_000)
    brings("Cut deeper.")
    monkeypatch.chdir(work)
    return saved


def test_a_newer_version_of_what_is_begun_is_shown_with_what_changed(updated):
    desk = Desk()
    assert "03 · Unstructured pruning: " + NEW + "\n  Changed: Step 1." in shown(desk.standing)
    html = "".join(output["data"]["text/html"] for output in desk.standing.outputs)
    assert html.count(f'<a href="{NEW}">') == 1
    assert html.count(f'<a href="{OLD}">') == 1, "the table leads to one's work"
    desk.language.value = "ko"
    assert "Changed: Step 1." in shown(desk.standing)
    assert "newer version" not in shown(desk.standing)


def test_once_worked_in_it_is_no_news_and_the_table_leads_to_it(updated):
    updated(NEW, when=2_000)
    assert "-v2" not in shown(Desk().standing)
    assert link_to("03") == NEW
    updated(OLD, when=3_000)
    assert "-v2" not in shown(Desk().standing)
    assert link_to("03") == OLD, "back to the first"


def test_what_nobody_has_begun_is_no_news(updated):
    Path(OLD).unlink()
    assert "-v2" not in shown(Desk().standing)
    assert link_to("03") == NEW


def duplicated(name: str) -> str:
    """As the list of files does it."""
    copy = Path(name.replace(".ipynb", "-Copy1.ipynb"))
    copy.write_bytes(Path(name).read_bytes())
    return copy.name


def test_a_duplicate_is_not_where_one_works_until_it_differs(updated):
    for name in (OLD, NEW):
        duplicated(name)
    assert NEW in shown(Desk().standing)
    assert link_to("03") == OLD
    updated(copy := duplicated(OLD), when=2_000_000_000_000)
    assert link_to("03") == copy
    for name in (OLD, copy, NEW):
        Path(name).unlink()
    assert link_to("03") == NEW.replace(".ipynb", "-Copy1.ipynb"), "better than nothing"


def test_what_is_older_than_something_begun_is_no_news(updated):
    third = Path(NEW.replace("v2", "v3"))
    third.write_bytes(Path(OLD).read_bytes())
    os.utime(third, (1, 1))
    assert link_to("03") == OLD, "it was saved last"
    assert "-v2" not in shown(Desk().standing)


def test_the_glossary_beside_the_lessons_does_not_break_the_desk(tmp_path, monkeypatch):
    deliver(SOLUTIONS.with_name("notebooks"), tmp_path)
    monkeypatch.chdir(tmp_path)
    assert link_to("03") == OLD
    assert "newer version" not in shown(Desk().standing)


def test_a_copy_that_is_no_notebook_any_more_does_not_break_the_desk(updated):
    Path(OLD).write_bytes(b"\xff{")
    assert f"{NEW}\nYour own copies stay" in shown(Desk().standing)


def test_a_copy_that_cannot_be_read_does_not_break_the_desk(updated, monkeypatch):
    """Root may read any file, so the refusal is played."""
    real = Path.open

    def refused(path, *how, **more):
        if path.suffix == ".ipynb" or path.name == RECORD:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *how, **more)

    monkeypatch.setattr(Path, "open", refused)
    assert "03 · Unstructured pruning" in shown(Desk().standing)
    assert link_to("03") in (OLD, NEW)


@pytest.mark.parametrize("edited", ["", "-Copy1"])
def test_a_copy_of_a_learners_own_is_no_newer_version(updated, edited):
    Path(NEW).unlink()
    text = Path(OLD).read_text(encoding="utf-8")
    Path("03_unstructured_pruning-Copy1.ipynb").write_text(text, encoding="utf-8")
    updated(f"03_unstructured_pruning{edited}.ipynb", when=2_000)
    assert "newer" not in shown(Desk().standing)


def test_a_notebook_of_a_learners_own_is_not_taken_for_a_lesson(updated):
    Path("03_scratch #1.ipynb").write_text("{}", encoding="utf-8")
    assert link_to("03") == OLD


# --- Reviews --------------------------------------------------------------------------------------


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
