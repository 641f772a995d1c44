"""What `course bank` finds, each rule broken once in a small bank that was sound, and what
`course bank --record` writes down."""

# ruff: noqa: RUF001 (the letters that look Latin are Cyrillic, and meant to be)

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from course_utils import cli
from course_utils.quiz import bank, catalogues, glossary, register, rules, snippets, translation

QUESTIONS = """\
lesson: "03"
deleted: []
items:
  - id: recal1
    rev: 1
    type: recall
    concepts: [pruning]
    use: [pretest]
    place: Step 1
    prompt: What is pruning?
    answer: Taking away what a network can do without.

  - id: choic1
    rev: 1
    type: mcq
    concepts: [magnitude]
    misconceptions: [zeros-are-small]
    use: [section, review]
    place: Step 1
    prompt: Which of `[-3, 1]` goes first, at 50 %?
    answer: "1"
    explanation: It is the smaller in size, $1 < 3$.
    distractors:
      - text: The one that is negative
        why: The sign does not count.
      - text: Neither of them
        why: Half of two is one.
    verify: |
      answer = min([-3, 1], key=abs)

  - id: multi1
    rev: 1
    type: multi
    concepts: [sparsity]
    use: [review]
    place: Step 2
    prompt: Which are zero?
    answer: [minus zero, zero]
    explanation: A minus changes nothing.
    distractors:
      - text: next to zero
        why: Small is not zero.
    verify: |
      values = {"zero": 0.0, "minus zero": -0.0, "next to zero": 1e-30}
      answer = [name for name, value in values.items() if value == 0]

  - id: cloze1
    rev: 1
    type: cloze
    concepts: [sparsity]
    use: [exit, review]
    place: Step 2
    prompt: The share of ____ is called ____.
    answer:
      - [zeros, zero weights]
      - [sparsity]
    explanation: So it is.
    distractors:
      - text: density
        why: That is the rest.
    verify: answer = ["zeros", "sparsity"]

  - id: numer1
    rev: 1
    type: numeric
    concepts: [sparsity]
    use: [review]
    place: Step 2
    prompt: What is the sparsity of `[0, 3, 0]`?
    answer: 0.667
    tolerance: 0.01
    explanation: Two of three.
    distractors:
      - text: 0.333
        why: That is the density.
    verify: |
      answer = 2 / 3

  - id: print1
    rev: 1
    type: predict
    concepts: [sparsity]
    use: [graded]
    prompt: |
      What does this print?

      ```python
      print(len([0, 3]))
      ```
    answer: "2"
    explanation: Zeros are counted too.
    distractors:
      - text: "1"
        why: A zero is an entry.
    verify: |
      print(len([0, 3]))
"""
PLOT = """\
lesson: "04"
items:
  - id: plot01
    rev: 1
    type: plot
    concepts: [training]
    use: [review]
    place: Step 1
    prompt: What happened?
    alt: A line that rises.
    answer: It rose
    explanation: The line goes up.
    distractors:
      - text: It fell
        why: It goes up.
      - text: Nothing
        why: The line moves.
    draw: |
      from matplotlib.figure import Figure
      figure = Figure(figsize=(1, 1))
      figure.add_subplot().plot([0, 1])
"""
MISCONCEPTIONS = """\
zeros-are-small:
  says: Small weights are zeros.
  refuted: 03 Step 2
"""
LESSON = """\
# %% [markdown]
# # Pruning
# ## Step 1: what goes
#
# ## Step 2: what is left
"""
CODE = """\
from course_utils.quiz.translation import say

print(say("Next question"), say("{count} questions are due today.", count=3))
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """A sound bank with lesson, interface and catalogues, written and recorded once."""
    root = tmp_path_factory.mktemp("recorded")
    files = {
        "quiz/bank/03_pruning.yaml": QUESTIONS,
        "quiz/bank/misconceptions.yaml": MISCONCEPTIONS,
        "solutions/03_pruning.py": LESSON,
        "package/study/face.py": CODE,
        "quiz/translations/notes.txt": "",
    }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        point_to(root, patch)
        assert rules.run(record=True) == 0
    return root


def point_to(root: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(bank, "BANK", root / "quiz" / "bank")
    patch.setattr(rules, "SOLUTIONS", root / "solutions")
    patch.setattr(catalogues, "PACKAGE", root / "package")


@pytest.fixture
def root(recorded, tmp_path, monkeypatch) -> Path:
    """A copy of it, for one test to break."""
    shutil.copytree(recorded, tmp_path / "copy")
    point_to(tmp_path / "copy", monkeypatch)
    return tmp_path / "copy"


@pytest.fixture
def questions(root) -> Path:
    return root / "quiz" / "bank" / "03_pruning.yaml"


@pytest.fixture
def plot(root) -> Path:
    """A second file, recorded, with a picture."""
    path = root / "quiz" / "bank" / "04_training.yaml"
    path.write_text(PLOT, encoding="utf-8")
    assert rules.run(record=True) == 0
    return path


def change(path: Path, before: str, after: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1, f"{before!r} stands {text.count(before)} times in {path.name}"
    path.write_text(text.replace(before, after), encoding="utf-8")


def translate(path: Path, english: str, translation: str) -> None:
    """Fill in a msgstr, as a translator does."""
    change(path, f'msgid "{english}"\nmsgstr ""', f'msgid "{english}"\nmsgstr "{translation}"')


def line_of(path: Path, part: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    (number,) = [number for number, line in enumerate(lines, 1) if part in line]
    return number


def mistakes() -> list[str]:
    return [str(problem) for problem in rules.mistakes(rules.Contents(bank.BANK))]


# --- A sound bank, and each rule broken once ------------------------------------------------------


def test_a_sound_bank_has_no_problems(root):
    assert rules.problems() == []
    assert rules.problems(root / "quiz" / "bank") == []


FREE = "[a-z][a-z0-9]{5}"
BROKEN = {  # what: before, after, a part of the line that must be named, the sentence
    "YAML that ends in the middle": (
        "use: [exit, review]",
        "use: [exit, review",
        "place: Step 2\n    prompt: The share",
        "this cannot be read as YAML: ",
    ),
    "a colon in a text": (
        "prompt: The share",
        "prompt: A share: the share",
        "prompt: A share",
        "this cannot be read as YAML: mapping values are not allowed in this context. A text with "
        "a colon stands in quotation marks, or below a `|`.",
    ),
    "no explanation of the answer": (
        "    explanation: It is the smaller in size, $1 < 3$.\n",
        "",
        "- id: choic1",
        "choic1: `explanation` is missing.",
    ),
    "a distractor without explanation": (
        "        why: The sign does not count.\n",
        "",
        "- text: The one that is negative",
        "choic1: `why` is missing.",
    ),
    "an empty explanation": (
        "why: That is the rest.",
        "why: ' '",
        "why: ' '",
        "cloze1: `why` is empty.",
    ),
    "a misspelt field": (
        "verify: |\n      answer = 2 / 3",
        "verfy: |\n      answer = 2 / 3",
        "verfy",
        "numer1: there is no field `verfy`; did you mean `verify`?",
    ),
    "text where a number belongs": (
        "answer: 0.667",
        "answer: two thirds",
        "answer: two thirds",
        "numer1: `answer` must be a number.",
    ),
    "a number where text belongs": (
        'answer: "1"',
        "answer: 1",
        "answer: 1",
        "choic1: `answer` must be text: put it in quotation marks.",
    ),
    "an unknown use": (
        "use: [pretest]",
        "use: [homework]",
        "use: [homework]",
        "recal1: entry 1 of `use` must be one of pretest, section, exit, review, graded.",
    ),
    "no place": (
        "    place: Step 2\n    prompt: Which are zero?",
        "    prompt: Which are zero?",
        "- id: multi1",
        "multi1: `place` is missing.",
    ),
    "an unknown type": (
        "type: predict",
        "type: forecast",
        "type: forecast",
        "print1: `type` must be one of recall, mcq, multi, cloze, numeric, predict, plot.",
    ),
    "only one wrong option": (
        "      - text: Neither of them\n        why: Half of two is one.\n",
        "",
        "distractors:\n      - text: The one that",
        "choic1: `distractors` must have 2 entries or more.",
    ),
    "a tolerance without a number": (
        "prompt: Which are zero?",
        "tolerance: 1\n    prompt: Which are zero?",
        "tolerance: 1\n",
        "multi1: `tolerance` is for questions of type numeric only.",
    ),
    "a lesson without quotation marks": (
        'lesson: "03"',
        "lesson: 03",
        "lesson: 03",
        "`lesson` must be text: put it in quotation marks.",
    ),
    "a lesson that is not the file's": (
        'lesson: "03"',
        'lesson: "05"',
        'lesson: "05"',
        "`lesson` must be '03', as the file's name.",
    ),
    "a key that is written twice": (
        "explanation: So it is.",
        "explanation: So it is.\n    explanation: Or so.",
        "explanation: Or so.",
        "`explanation` is written twice here; only the last would count.",
    ),
    "two options with the same text": (
        "text: Neither of them",
        "text: The one  that is negative",
        "text: The one  that is negative",
        "choic1: there are two options 'The one that is negative'.",
    ),
    "a distractor that is the right option": (
        "text: next to zero",
        "text: zero",
        "text: zero",
        "multi1: there are two options 'zero'.",
    ),
    "one blank too few": (
        "The share of ____ is",
        "The share of zeros is",
        "answer:\n      - [zeros",
        "cloze1: the prompt has 1 blanks (____), `answer` fills 2.",
    ),
    "a distractor that fills a blank": (
        "text: density",
        "text: Zero weights",
        "text: Zero weights",
        "cloze1: 'Zero weights' is admitted as an answer.",
    ),
    "a distractor within the tolerance": (
        "text: 0.333",
        "text: 0.66",
        "text: 0.66",
        "numer1: 0.66 lies within the tolerance of the answer, so it would be right.",
    ),
    "a distractor that is what the code prints": (
        '- text: "1"',
        '- text: " 2"',
        '- text: " 2"',
        "print1: this is what the code prints, so it would be right.",
    ),
    "a wrong number": (
        "answer = 2 / 3",
        "answer = 2 / 4",
        "answer: 0.667",
        "numer1: `answer` is 0.667, but `verify` says 0.5.",
    ),
    "a wrong option": (
        "answer = min([-3, 1], key=abs)",
        "answer = min([-3, 1])",
        'answer: "1"',
        "choic1: `answer` is '1', but `verify` says -3.",
    ),
    "a wrong choice of several": (
        "if value == 0]",
        "if value < 1]",
        "answer: [minus zero, zero]",
        "multi1: `answer` is ('minus zero', 'zero'), but `verify` says",
    ),
    "a wrong blank": (
        'verify: answer = ["zeros", "sparsity"]',
        'verify: answer = ["zeros", "density"]',
        "answer:\n      - [zeros",
        "cloze1: `answer` is (('zeros', 'zero weights'), ('sparsity',)), but `verify`",
    ),
    "a snippet that leaves nothing": (
        "      answer = 2 / 3",
        "      share = 2 / 3",
        "verify: |\n      share",
        "numer1: `verify` leaves no `answer`.",
    ),
    "a snippet that prints nothing": (
        "    verify: |\n      print(len([0, 3]))",
        "    verify: |\n      len(['print(len([0, 3]))'])",
        "verify: |\n      len",
        "print1: `verify` prints nothing.",
    ),
    "a snippet that raises": (
        "      answer = 2 / 3",
        "      zeros = 2\n      answer = zeros / 0",
        "verify: |\n      zeros",
        "numer1: `verify` raises ZeroDivisionError: division by zero (in its line 2).",
    ),
    "a snippet that leaves something else": (
        "      answer = 2 / 3",
        "      answer = {}",
        "verify: |\n      answer = {}",
        "numer1: `verify` raises TypeError: `answer` is a dict; it must be",
    ),
    "code that is not the code that runs": (
        "      ```python\n      print(len([0, 3]))",
        "      ```python\n      print(len([0, 4]))",
        "prompt: |\n      What does this",
        "print1: the code it shows is not the code that `verify` runs.",
    ),
    "a mark that the markup does not know": (
        "why: Half of two is one.",
        "why: Half of *two* is one.",
        "why: Half of",
        "choic1: *two* would be shown as it is; there are `code` and **strong**.",
    ),
    "a mark that is not closed": (
        "prompt: What is pruning?",
        "prompt: What is `pruning?",
        "prompt: What is `pruning?",
        "recal1: ` would be shown as it is; there are `code` and **strong**.",
    ),
    "a place that is not there": (
        "place: Step 2\n    prompt: The share",
        "place: Step 9\n    prompt: The share",
        "place: Step 9",
        "cloze1: no heading of lesson 03 begins with 'Step 9'.",
    ),
    "a place that only asks": (
        "use: [pretest]\n    place: Step 1",
        "use: [pretest]\n    place: Before you start",
        "place: Before you start",
        "recal1: 'Before you start' only asks; `place` is the heading under which the answer",
    ),
    "an unknown misconception": (
        "misconceptions: [zeros-are-small]",
        "misconceptions: [zeros-are-large]",
        "misconceptions: [zeros-are-large]",
        "choic1: `zeros-are-large` is not in misconceptions.yaml.",
    ),
    "an id that was deleted": (
        "deleted: []",
        "deleted: [multi1]",
        "- id: multi1",
        f"multi1: deleted ids (bank/03_pruning.yaml:2) are never used again; {FREE} is free.",
    ),
    "an id deleted that never was": (
        "deleted: []",
        "deleted: [ghost1]",
        "deleted: [ghost1]",
        "ghost1: no question ever had this id, so none was deleted.",
    ),
    "another right answer": (
        "answer:\n      - [zeros, zero weights]\n      - [sparsity]",
        "answer:\n      - [zero weights, zeros]\n      - [sparsity]",
        "answer:\n      - [zero weights",
        "cloze1: the right answer is not the one that was recorded: raise `rev` to 2.",
    ),
}


@pytest.mark.parametrize("before, after, at, says", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_rule_is_found_with_file_and_line(questions, before, after, at, says):
    change(questions, before, after)
    text = questions.read_text(encoding="utf-8")
    assert text.count(at) == 1
    line = text[: text.index(at)].count("\n") + 1
    found = mistakes()
    expected = re.escape(f"bank/03_pruning.yaml:{line}: {says}")
    expected = expected.replace(re.escape(FREE), FREE)
    assert len(found) == 1 and re.match(expected, found[0]), found


def test_an_id_that_is_missing_or_in_use_is_answered_with_a_free_one(questions):
    change(questions, "- id: multi1\n    rev: 1", "- rev: 1")
    change(questions, "- id: cloze1", "- id: recal1")
    missing = line_of(questions, "- rev: 1")
    (second,) = [
        number
        for number, line in enumerate(questions.read_text(encoding="utf-8").splitlines(), 1)
        if "- id: recal1" in line and number > 10
    ]
    found = mistakes()
    offered = [
        re.fullmatch(rf"bank/03_pruning.yaml:{missing}: `id` is missing; ({FREE}) is free.", p)
        or re.fullmatch(
            rf"bank/03_pruning.yaml:{second}: recal1: bank/03_pruning.yaml:4 has this id; "
            rf"({FREE}) is free.",
            p,
        )
        for p in found
    ]
    ids = {match[1] for match in offered if match}
    assert len(ids) == 2
    assert ids.isdisjoint({"recal1", "choic1", "multi1", "cloze1", "numer1", "print1"})


def test_of_an_id_used_twice_only_that_is_said(questions):
    change(questions, "- id: numer1", "- id: choic1")
    assert [p for p in mistakes() if "is not the one that was recorded" in p] == []


def test_a_question_that_is_deleted_must_leave_its_id_behind(root, questions):
    text = questions.read_text(encoding="utf-8")
    questions.write_text(text[: text.index("  - id: print1")], encoding="utf-8")
    line = line_of(root / "quiz" / "bank" / "register.yaml", "print1:")
    assert mistakes() == [
        f"bank/register.yaml:{line}: print1: this question is gone; add its id to `deleted:` "
        "in its file, or give it back its id."
    ]
    change(questions, "deleted: []", "deleted: [print1]")
    assert mistakes() == []


def test_a_file_that_cannot_be_read_does_not_make_its_questions_count_as_deleted(questions):
    questions.write_text(QUESTIONS + "  - [", encoding="utf-8")
    assert len(mistakes()) == 1
    questions.write_bytes(QUESTIONS.encode() + b"# caf\xe9")
    (found,) = mistakes()
    assert found.startswith("bank/03_pruning.yaml:1: this cannot be read as YAML: ")


@pytest.mark.parametrize(
    "text", ["", "items", "[1, 2]", "lesson: '03'\nitems: [7]", "lesson: '03'\nitems: &a [*a]"]
)
def test_a_file_of_another_shape_is_a_problem_and_no_crash(questions, text):
    questions.write_text(text, encoding="utf-8")
    assert any(problem.startswith("bank/03_pruning.yaml:") for problem in mistakes())


def test_a_file_under_another_name_is_not_overlooked(root, questions):
    questions.rename(questions.with_name("pruning.yaml"))
    assert mistakes() == [
        "bank/pruning.yaml:1: a file of questions is called like its lesson: 03_topic.yaml."
    ]


def test_a_snippet_that_does_not_end_is_stopped_and_the_others_run(questions, monkeypatch):
    monkeypatch.setattr(snippets, "SECONDS", 0.5)
    change(questions, "answer = min([-3, 1], key=abs)", "while True: pass")
    change(questions, "answer = 2 / 3", "answer = 2 / 4")
    first, second = mistakes()
    assert first.endswith("choic1: `verify` does not end within 0.5 s.")
    assert second.endswith("numer1: `answer` is 0.667, but `verify` says 0.5.")


def test_a_snippet_that_stops_python_takes_only_itself_along(questions):
    change(questions, "answer = min([-3, 1], key=abs)", "import os; os._exit(1)")
    (found,) = mistakes()
    assert found.endswith("choic1: `verify` stops Python.")


def test_snippets_compute_on_one_thread_of_the_processor():
    code = "import torch\nanswer = [torch.get_num_threads(), torch.cuda.is_available()]"
    (outcome,) = snippets.run([code])
    assert outcome.answer == [1, False]


def test_a_tensor_is_a_computed_key_like_a_number():
    first, second = snippets.run(
        ["import torch\nanswer = torch.tensor(2.5)", "import numpy\nanswer = numpy.arange(2)"]
    )
    assert (first.answer, second.answer) == (2.5, [0, 1])


def test_what_a_misconception_refers_to_must_be_there(root):
    path = root / "quiz" / "bank" / "misconceptions.yaml"
    change(path, "refuted: 03 Step 2", "refuted: 03 Step 7")
    assert mistakes() == [
        "bank/misconceptions.yaml:3: `refuted`: no heading of lesson 03 begins with 'Step 7'."
    ]
    change(path, "refuted: 03 Step 7", "refuted: Step 2")  # the questions are not blamed
    assert mistakes() == [
        "bank/misconceptions.yaml:3: `refuted` must be a lesson and a place in it, "
        "such as 00 Step 5."
    ]


def test_places_are_not_looked_for_where_the_lesson_is_not_at_hand(root, questions):
    shutil.rmtree(root / "solutions")
    change(
        questions, "place: Step 2\n    prompt: The share", "place: Step 9\n    prompt: The share"
    )
    assert mistakes() == []


# --- Pictures -------------------------------------------------------------------------------------


def test_a_picture_is_drawn_when_its_code_changes_and_only_then(plot, capsys):
    picture = plot.parent / "pictures" / "plot01.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.write_bytes(b"untouched")
    change(plot, "prompt: What happened?", "prompt: What has happened?")
    assert rules.run(record=True) == 0
    assert picture.read_bytes() == b"untouched"
    change(plot, ".plot([0, 1])", ".plot([0, 2])")
    assert rules.run(record=True) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "drawn: pictures/plot01.png" in capsys.readouterr().out


def test_the_same_code_draws_the_same_file(plot):
    picture = plot.parent / "pictures" / "plot01.png"
    before = picture.read_bytes()
    picture.unlink()
    line = line_of(plot, "draw: |")
    assert list(map(str, rules.problems())) == [
        f"bank/04_training.yaml:{line}: plot01: its picture is missing: `course bank --record`."
    ]
    assert rules.run(record=True) == 0
    assert picture.read_bytes() == before


def test_code_that_leaves_no_figure_is_found(plot):
    change(plot, "figure = Figure(figsize=(1, 1))\n", "picture = Figure(figsize=(1, 1))\n")
    change(plot, "figure.add_subplot()", "picture.add_subplot()")
    line = line_of(plot, "draw: |")
    assert mistakes() == [f"bank/04_training.yaml:{line}: plot01: `draw` leaves no `figure`."]
    change(plot, "picture.add_subplot()", "figure.add_subplot()")
    (found,) = mistakes()
    assert "plot01: `draw` raises NameError" in found


def test_the_picture_of_a_question_that_is_gone_goes_too(plot):
    plot.write_text('lesson: "04"\ndeleted: [plot01]\nitems: []\n', encoding="utf-8")
    assert "pictures/plot01.png:1: belongs to no question" in str(rules.problems()[0])
    assert rules.run(record=True) == 0
    assert not (plot.parent / "pictures" / "plot01.png").exists()
    assert rules.problems() == []


# --- The register ---------------------------------------------------------------------------------


def known(questions: Path) -> dict:
    return yaml.safe_load((questions.parent / "register.yaml").read_text(encoding="utf-8"))


def test_a_change_that_is_not_recorded_is_found(questions):
    change(questions, "explanation: So it is.", "explanation: So it is called.")
    line = line_of(questions, "- id: cloze1")
    sentences = list(map(str, rules.problems()))
    assert sentences[0] == (
        f"bank/03_pruning.yaml:{line}: cloze1: has changed since it was recorded: "
        "`course bank --record`."
    )
    assert mistakes() == []
    assert rules.run(record=True) == 0
    assert rules.problems() == []


def test_recording_a_new_right_answer_asks_for_a_new_revision(questions, capsys):
    change(questions, "answer: 0.667", "answer: 0.666")
    before = known(questions)
    assert rules.run(record=True) == 1
    assert "numer1: the right answer is not the one" in capsys.readouterr().out
    assert known(questions) == before
    change(questions, "id: numer1\n    rev: 1", "id: numer1\n    rev: 2")
    assert rules.run(record=True) == 0
    assert known(questions)["numer1"]["rev"] == 2
    change(questions, "id: numer1\n    rev: 2", "id: numer1\n    rev: 1")
    (found,) = mistakes()
    assert found.endswith("numer1: `rev` was 2 already; it never goes down.")


def test_one_more_wording_that_a_blank_admits_keeps_the_revision(questions):
    change(questions, "- [zeros, zero weights]", "- [zeros, zero weights, noughts]")
    assert mistakes() == []


def test_a_better_model_answer_to_an_open_question_keeps_the_revision(questions):
    change(questions, "Taking away what a network can do without.", "Removing what is not needed.")
    assert mistakes() == []


def test_the_time_of_the_last_change_grows_even_if_the_clock_goes_back(questions, monkeypatch):
    moment = datetime(2030, 5, 1, 12, 0, 0, 7, tzinfo=UTC)
    monkeypatch.setattr(rules, "now", lambda: moment)
    change(questions, "explanation: So it is.", "explanation: So it is called.")
    before = known(questions)
    assert rules.run(record=True) == 0
    after = known(questions)
    assert after["cloze1"]["changed"] == "2030-05-01T12:00:00+00:00"
    assert {id_ for id_ in after if after[id_] != before[id_]} == {"cloze1"}
    monkeypatch.setattr(rules, "now", lambda: moment - timedelta(days=400))
    change(questions, "explanation: So it is called.", "explanation: That it is.")
    assert rules.run(record=True) == 0
    assert known(questions)["cloze1"]["changed"] == "2030-05-01T12:00:01+00:00"


def test_a_change_of_the_code_that_verifies_is_not_a_change_for_learners(questions):
    change(questions, "answer = 2 / 3", "answer = 4 / 6")
    assert rules.problems() == []


def test_recording_twice_changes_no_byte(plot):
    folder = plot.parents[1]
    before = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert rules.run(record=True) == 0
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == before
    assert {path.suffix for path in before} == {".yaml", ".png", ".po", ".txt"}


def test_a_register_that_was_edited_by_hand_is_not_overwritten(questions):
    path = questions.parent / "register.yaml"
    broken = "<<<<<<< ours\n" + path.read_text(encoding="utf-8")
    path.write_text(broken, encoding="utf-8")
    assert rules.run(record=True) == 1
    assert any(problem.startswith("bank/register.yaml:") for problem in mistakes())
    assert path.read_text(encoding="utf-8") == broken


def test_the_register_says_who_writes_it(questions):
    text = (questions.parent / "register.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Written by `course bank --record`")
    assert register.text(yaml.safe_load(text)) == text


# --- The command ----------------------------------------------------------------------------------


def test_the_command_prints_a_problem_a_line_and_how_many_questions_there_are(
    questions, monkeypatch, capsys
):
    assert cli.main(["bank"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "lesson",
        "cloze",
        "mcq",
        "multi",
        "numeric",
        "predict",
        "recall",
        "all",
    ]
    assert [line.split() for line in lines[1:3]] == [
        ["03", "1", "1", "1", "1", "1", "1", "6"],
        ["all", "1", "1", "1", "1", "1", "1", "6"],
    ]
    assert lines[3:] == [
        "",
        "1 of 6 questions are on one of 1 misconceptions:",
        "      1  zeros-are-small",
        "",
        "Translated, of 6 questions:",
        "      0  bg (Български)",
        "      0  vi (Tiếng Việt)",
        "      0  ko (한국어)",
    ]
    change(questions, "answer: 0.667", "answer: 0.6")
    assert cli.main(["bank"]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert re.fullmatch(r"bank/03_pruning.yaml:\d+: numer1: .+\.", first)
    assert cli.main(["bank", "--record"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing was recorded.", "no counts below"


def test_misconceptions_are_counted_with_the_most_frequent_first(questions):
    for start, name in (("pruning]", "small"), ("sparsity]\n    use: [graded]", "all")):
        change(questions, start, f"{start}\n    misconceptions: [zeros-are-{name}]")
    lines = rules.counts(rules.Contents(questions.parent)).splitlines()
    start = lines.index("3 of 6 questions are on one of 2 misconceptions:")
    assert lines[start + 1 : start + 3] == ["      2  zeros-are-small", "      1  zeros-are-all"]


def test_a_question_counts_as_translated_when_its_last_text_is(bulgarian, capsys):
    first = "Taking away what a network can do without."
    translate(bulgarian, "What is pruning?", "Какво е прореждане?")
    rules.run()
    assert "      0  bg (Български)" in capsys.readouterr().out
    translate(bulgarian, first, "Махане на това, без което мрежата може.")
    rules.run()
    assert "      1  bg (Български)" in capsys.readouterr().out


# --- The catalogues -------------------------------------------------------------------------------


@pytest.fixture
def bulgarian(root) -> Path:
    return root / "quiz" / "translations" / "bg.po"


@pytest.mark.parametrize(
    "english, translation, says",
    [
        ("It is the smaller in size, $1 < 3$.", "$1 < 4$ .", "lacks $1 < 3$ of the English."),
        ("It is the smaller in size, $1 < 3$.", "$1 < 3$ ?", None),
        ("Which of `[-3, 1]` goes first, at 50 %?", "`[-3, 1]`, 5 %?", "has 5, which the English"),
        ("Which of `[-3, 1]` goes first, at 50 %?", "`[3, 1]`, 50 %?", "lacks `[-3, 1]` of"),
        ("Which of `[-3, 1]` goes first, at 50 %?", "50 % `[-3, 1]`?", None),
        ("The share of ____ is called ____.", "____ .", "lacks ____ of the English."),
        ("{count} questions are due today.", "{брой} днес.", "has {брой}, which the English"),
        ("{count} questions are due today.", "Днес {count}.", None),
        ("{count} questions are due today.", "Днес {count}}.", "has }, which the English"),
        ("next to zero", "нула", None),
        ("next to zero", "близо до 0", None),
        ("next to zero", "близо до 10", "has 10, which the English"),
    ],
)
def test_a_translation_keeps_numbers_code_formulas_blanks_and_braces(
    bulgarian, english, translation, says
):
    translate(bulgarian, english, translation)
    assert_said(bulgarian, english, says)


def assert_said(bulgarian, english: str, says: str | None) -> None:
    line = line_of(bulgarian, f'msgid "{english}"')
    found = mistakes()
    if says is None:
        assert found == []
    else:
        assert any(
            problem.startswith(f"translations/bg.po:{line}: ") and says in problem
            for problem in found
        ), found


def test_a_minus_before_a_number_is_part_of_it():
    fixed = catalogues._fixed
    assert [*fixed("from -1 to 5-7, \N{MINUS SIGN}2.5")] == ["-1", "5", "7", "-2.5"]


def test_two_options_may_not_have_the_same_translation(bulgarian):
    translate(bulgarian, "zero", "нула")
    translate(bulgarian, "next to zero", "Нула")
    line = line_of(bulgarian, 'msgid "next to zero"')
    assert mistakes() == [
        f"translations/bg.po:{line}: multi1.distractor.0.text: the same translation as "
        "multi1.answer.1."
    ]


@pytest.mark.parametrize(
    "english, translation, says",
    [
        ("zeros", "нули | нулеви тегла", None),
        ("zeros", "нули |", "cloze1.answer.0: a word is missing before or after a |."),
        ("zeros", "нули |  | още", "cloze1.answer.0: a word is missing before or after a |."),
        ("zeros", "нули | 3 нули", "cloze1.answer.0: the translation has 3, which the English"),
        (
            "minus zero",
            "минус нула | нула",
            "multi1.answer.0: several translations, with | between",
        ),
        ("So it is.", "Така е. | Да.", "cloze1.explanation: several translations, with | between"),
    ],
)
def test_only_a_word_in_a_blank_may_have_several_translations(
    bulgarian, english, translation, says
):
    translate(bulgarian, english, translation)
    assert_said(bulgarian, english, says)


def test_none_of_the_words_in_a_blank_may_be_a_wrong_answer(bulgarian):
    translate(bulgarian, "sparsity", "разреденост | плътност")
    translate(bulgarian, "density", "Плътност")
    (found,) = mistakes()
    assert found.endswith("cloze1.distractor.0.text: the same translation as cloze1.answer.1.")


@pytest.fixture
def with_glossary(root) -> Path:
    """The course's own, beside the bank as in the course."""
    return Path(shutil.copy(glossary.FILE, root / "quiz"))


def test_a_term_that_is_translated_in_two_ways_is_found(with_glossary, bulgarian):
    translate(bulgarian, "What is pruning?", "Какво е прореждане?")
    assert mistakes() == []
    change(bulgarian, "Какво е прореждане?", "Какво е подрязване?")
    line = line_of(bulgarian, 'msgid "What is pruning?"')
    assert mistakes() == [
        f"translations/bg.po:{line}: recal1.prompt: “pruning” is “прореждане” in the glossary, "
        "not “подрязване”."
    ]
    assert rules.run(record=True) == 1


def test_one_of_the_words_in_a_blank_must_be_that_of_the_glossary(with_glossary, bulgarian):
    translate(bulgarian, "sparsity", "рядкост | разреденост")
    assert mistakes() == []
    change(bulgarian, "рядкост | разреденост", "рядкост")
    assert [problem.partition(" ")[2] for problem in mistakes()] == [
        "cloze1.answer.1: “sparsity” is “разреденост” in the glossary, not “рядкост”."
    ]


def test_a_mistake_in_the_glossary_is_found(with_glossary):
    change(with_glossary, "- id: mask\n", "- id: mask 1\n")
    line = line_of(with_glossary, "- id: mask 1")
    assert mistakes() == [
        f"quiz/glossary.yaml:{line}: mask 1: an id is made of small letters and hyphens: "
        "weight-decay."
    ]


def test_a_bank_without_a_glossary_is_compared_with_none(bulgarian):
    translate(bulgarian, "What is pruning?", "Какво е подрязване?")
    assert mistakes() == []


@pytest.mark.parametrize(
    "before, after",
    [
        ('msgid "Next question"', 'msgid "Next question'),
        ('msgid "Next question"', "<<<<<<< ours"),
        ('msgid "Next question"\nmsgstr ""', 'msgid "Next question"'),
        ('msgid "Next question"', 'msgid Next question"'),
    ],
)
def test_a_catalogue_that_cannot_be_read_is_found_and_left_alone(bulgarian, before, after):
    change(bulgarian, before, after)
    broken = bulgarian.read_bytes()
    line = line_of(bulgarian, after.splitlines()[0])
    (found,) = mistakes()
    assert found.startswith(f"translations/bg.po:{line}: this catalogue cannot be read: ")
    assert rules.run(record=True) == 1
    assert bulgarian.read_bytes() == broken


def test_a_text_that_is_translated_twice_is_found(bulgarian):
    text = bulgarian.read_text(encoding="utf-8")
    again = '\nmsgctxt "interface"\nmsgid "Next question"\nmsgstr "Напред"\n'
    bulgarian.write_text(text + again, encoding="utf-8")
    line = len(text.splitlines()) + 2
    assert mistakes() == [
        f"translations/bg.po:{line}: this catalogue cannot be read: this text is here twice."
    ]


def test_a_catalogue_in_another_encoding_is_found(bulgarian):
    text = bulgarian.read_text(encoding="utf-8")
    bulgarian.write_bytes(text.replace("# Български", "# Български").encode("cp1251"))
    assert mistakes() == ["translations/bg.po:1: this catalogue cannot be read: not UTF-8."]


def test_recording_keeps_translations_marks_changed_ones_and_drops_what_is_gone(
    root, bulgarian, questions
):
    translate(bulgarian, "So it is.", "Точно така.")
    translate(bulgarian, "Next question", "Следващ въпрос")
    translate(bulgarian, "Zeros are counted too.", "Нулите важат.")
    translate(bulgarian, "That is the rest.", "Останалото.")
    change(questions, "explanation: So it is.", "explanation: So it is called.")
    text = questions.read_text(encoding="utf-8")
    text = text[: text.index("  - id: print1")].replace("deleted: []", "deleted: [print1]")
    questions.write_text(text, encoding="utf-8")
    behind = [problem for problem in rules.problems() if problem.file == "translations/bg.po"]
    assert "not up to date" in behind[0].sentence
    assert rules.run(record=True) == 0
    written = bulgarian.read_text(encoding="utf-8")
    assert (
        "#. It was: So it is.\n#: bank/03_pruning.yaml\n#, fuzzy\n"
        'msgctxt "cloze1.explanation"\nmsgid "So it is called."\nmsgstr "Точно така."\n'
    ) in written
    assert 'msgid "That is the rest."\nmsgstr "Останалото."' in written
    assert "print1" not in written and "#~" not in written
    assert written.count("fuzzy\n") == 1
    assert rules.problems() == []


def test_a_sentence_of_the_interface_that_was_reworded_keeps_its_translation_as_fuzzy(
    root, bulgarian
):
    translate(bulgarian, "{count} questions are due today.", "Днес: {count}.")
    code = root / "package" / "study" / "face.py"
    change(code, "questions are due today.", "questions are due now.")
    assert rules.run(record=True) == 0
    written = bulgarian.read_text(encoding="utf-8")
    assert (
        "#. It was: {count} questions are due today.\n#: study/face.py\n#, fuzzy\n"
        'msgctxt "interface"\nmsgid "{count} questions are due now."\nmsgstr "Днес: {count}."\n'
    ) in written


def test_a_comment_of_a_translator_is_kept(bulgarian):
    translate(bulgarian, "Next question", "Следващ въпрос")
    change(
        bulgarian,
        '#: study/face.py\nmsgctxt "interface"\nmsgid "Next',
        '# or: Напред\n#: study/face.py\nmsgctxt "interface"\nmsgid "Next',
    )
    assert rules.problems() == []
    assert rules.run(record=True) == 0
    assert "# or: Напред" in bulgarian.read_text(encoding="utf-8")


def test_a_catalogue_names_no_folder_of_this_machine_and_no_date(root, bulgarian):
    text = bulgarian.read_text(encoding="utf-8")
    assert str(root) not in text and "tmp" not in text
    assert not re.search(r"20\d\d-", text)
    assert '"Language: bg\\n"' in text


def test_a_sentence_that_cannot_be_extracted_is_found(root):
    code = root / "package" / "study" / "face.py"
    change(code, 'say("Next question")', 'say(f"Next {1}")')
    assert "study/face.py:3: `say` needs the sentence itself, so that it can be translated." in (
        mistakes()
    )


def test_code_numbers_and_what_code_prints_are_not_to_be_translated(bulgarian):
    text = bulgarian.read_text(encoding="utf-8")
    assert 'msgctxt "print1.prompt"' in text
    assert 'msgctxt "print1.distractor.0.text"' not in text
    assert 'msgctxt "numer1.distractor.0.text"' not in text
    assert 'msgctxt "choic1.answer"' not in text  # "1"
    assert 'msgctxt "choic1.distractor.0.text"' in text


def test_the_languages_are_those_that_learners_can_choose(root):
    names = {path.stem for path in (root / "quiz" / "translations").glob("*.po")}
    assert names | {"en"} == set(translation.LANGUAGES)
