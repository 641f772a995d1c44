"""The course's own bank, and how banks are loaded."""

import re
import subprocess
import sys

import pytest

from course_utils.authoring import source
from course_utils.quiz import bank, rules

SMALL = """\
lesson: "{lesson}"
items:
  - id: {first}
    rev: 2
    type: mcq
    concepts: [magnitude]
    use: [section, review]
    place: "Step 1: what goes"
    prompt: |
      Which one?
    answer: This
    explanation: Because.
    distractors:
      - text: That
        why: No.
      - text: 3
        why: No.
  - id: {second}
    rev: 1
    type: cloze
    concepts: [sparsity]
    use: [review, exit]
    place: Step 2
    prompt: A ____.
    answer:
      - [weight, " weights "]
    explanation: Because.
"""


@pytest.fixture
def folder(tmp_path):
    """Two lessons, written in the wrong order, and files that are no questions."""
    for lesson, first, second in (("05", "thirdq", "fourth"), ("03", "firstq", "second")):
        text = SMALL.format(lesson=lesson, first=first, second=second)
        (tmp_path / f"{lesson}_topic.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "register.yaml").write_text("firstq: {rev: 2}\n", encoding="utf-8")
    (tmp_path / "misconceptions.yaml").write_text("a-belief: {says: x}\n", encoding="utf-8")
    return tmp_path


# --- The course's own -----------------------------------------------------------------------------


def test_the_bank_of_the_course_has_no_problems():
    """Runs every `verify` and `draw`; `course bank` says the same."""
    assert [str(problem) for problem in rules.problems()] == []


def test_at_least_forty_questions_are_on_a_misconception_and_each_has_one():
    items, known = bank.load().values(), rules.Contents(bank.BANK).misconceptions.content
    assert sum(bool(item.misconceptions) for item in items) >= 40
    assert {name for item in items for name in item.misconceptions} == set(known)


def test_each_misconception_is_refuted_by_code_that_the_tests_run_and_compare():
    """Either in the lesson, by a claim that must hold on seeds that it does not show, or by a
    question, whose key is computed."""
    computed = {n for item in bank.load().values() if item.verify for n in item.misconceptions}
    beliefs = rules.Contents(bank.BANK).misconceptions.content
    assert [
        name
        for name, belief in beliefs.items()
        if name not in computed and not claims(*belief["refuted"].split(" ", 1))
    ] == []


def claims(lesson: str, place: str) -> list[str]:
    """The names of the claims below a heading."""
    (path,) = rules.SOLUTIONS.glob(f"{lesson}_*.py")
    heading, found = "", []
    for cell in source.read(path).cells:
        if cell.kind == "text":
            heading = (re.findall(r"(?m)^## (.+)$", cell.source) or [heading])[-1]
        elif cell.kind == "claim" and heading.startswith(place):
            found.append(cell.name)
    return found


def test_a_lesson_s_claims_are_found_below_their_headings():
    assert claims("00", "Step 3") and not claims("00", "Pitfalls")


# --- Loading --------------------------------------------------------------------------------------


def test_questions_come_in_the_order_of_the_lessons_and_as_they_are_written(folder):
    assert list(bank.load(folder)) == ["firstq", "second", "thirdq", "fourth"]
    assert [item.lesson for item in bank.load(folder).values()] == ["03", "03", "05", "05"]


def test_what_was_loaded_is_not_changed_by_who_changes_the_answer(folder):
    bank.load(folder).clear()
    assert len(bank.load(folder)) == 4


def test_a_question_is_plain_data_without_stray_spaces(folder):
    item = bank.load(folder)["firstq"]
    assert (item.rev, item.prompt, item.points, item.picture) == (2, "Which one?", 1.0, None)
    assert item.options == ("This", "That", "3")
    assert bank.load(folder)["second"].answer == (("weight", "weights"),)
    assert hash(item) == hash(bank.read(folder / "03_topic.yaml")[0])


def test_questions_are_selected_by_lesson_use_and_place(folder):
    def ids(*asked):
        return [item.id for item in bank.select(*asked, folder=folder)]

    assert ids("03", "review") == ["firstq", "second"]
    assert ids("03", "section") == ["firstq"]
    assert ids("03", "review", "Step 1") == ["firstq"]
    assert ids("03", "review", "Step 2") == ["second"]
    assert ids("03", "review", "Step") == ["firstq", "second"]
    assert ids("03", "review", "St") == []
    assert ids("05", "exit") == ["fourth"]
    assert ids("05", "pretest") == ids("04", "review") == []


@pytest.mark.parametrize("heading", ["Step 1", "Step 1: a mask", "Step 1, again"])
def test_step_1_is_not_step_10(heading):
    assert bank._at("Step 1", heading)
    assert bank._at("", heading)
    assert not bank._at("Step 1", heading.replace("1", "10"))


def test_the_order_of_options_is_the_same_for_the_same_salt_and_gives_nothing_away(folder):
    item = bank.load(folder)["firstq"]
    assert item.shown("today") == item.shown("today")
    orders = {tuple(item.shown(str(salt))) for salt in range(60)}
    assert len(orders) == 6
    assert all(sorted(order) == [0, 1, 2] for order in orders)
    assert bank.load(folder)["second"].shown() == []


def test_the_bank_loads_without_torch():
    code = (
        "import sys; from course_utils.quiz import bank, judge, schedule, translation;"
        "assert bank.load();"
        "print([name for name in ('torch', 'numpy', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
