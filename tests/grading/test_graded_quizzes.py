"""A class's graded quiz, from its bank to the feedback, with nbgrader's own commands.

The commands run once, with students who answer right, half right, nothing, or who try to get at
the keys or at the points; the tests look at what was left.
"""

import csv
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import a_class
import nbformat
import pytest
import system_packages
from nbgrader_process import nbgrader

from course_utils.authoring.execute import kernel_environment
from course_utils.grading import classes, notes, report
from course_utils.grading.execution import Problem
from course_utils.quiz import bank, export, graded
from course_utils.quiz.judge import BadAnswer

BANK = """
lesson: "01"
items:
  - id: aaaaa1
    rev: 1
    type: mcq
    concepts: [sparsity]
    use: [graded]
    points: 2
    prompt: What is `sparsity`?
    answer: The share of zeros
    explanation: It counts what is *exactly* zero, $1 - n/N$.
    distractors:
      - {text: The number of layers, why: That is depth.}
      - {text: The size of the file, why: Zeros are stored too.}
  - id: aaaaa2
    rev: 1
    type: multi
    concepts: [sparsity]
    use: [graded]
    points: 4
    prompt: Which are prunable?
    answer: [Linear weights, Conv2d weights]
    explanation: Weights of Linear and Conv2d.
    distractors:
      - {text: Biases, why: They are spared.}
      - {text: Running means, why: They are buffers.}
  - id: aaaaa3
    rev: 1
    type: numeric
    concepts: [parameters]
    use: [graded]
    prompt: How many weights has `nn.Linear(4, 5)`?
    answer: 20
    tolerance: 0
    explanation: Four times five.
    distractors:
      - {text: 25, why: With the biases it would be 25.}
  - id: aaaaa4
    rev: 1
    type: cloze
    concepts: [pruning]
    use: [graded]
    points: 2
    prompt: A ____ decides what stays; what stays is trained in ____.
    answer: [[mask], [fine-tuning, finetuning]]
    explanation: Mask, then fine-tune.
  - id: aaaaa5
    rev: 1
    type: predict
    concepts: [sparsity]
    use: [graded]
    prompt: |
      What does this print?

      ```python
      print((torch.zeros(3) == 0).sum().item())
      ```
    answer: "3"
    explanation: All three are zero.
    verify: |
      import torch
      print((torch.zeros(3) == 0).sum().item())
  - id: aaaaa6
    rev: 1
    type: recall
    concepts: [pruning]
    use: [review]
    place: Recap
    prompt: This one is not graded.
    answer: Right.
"""
KEYS = ("The share of zeros", "exactly", "That is depth", "fine-tuning", "Four times five")


def letters(items, id_: str, *texts: str) -> str:
    """What a student writes to choose these options."""
    return " ".join(k for k, text in graded.options(items[id_]).items() if text in texts)


def right_answers(items) -> dict:
    return {
        1: letters(items, "aaaaa1", "The share of zeros"),
        2: letters(items, "aaaaa2", "Linear weights", "Conv2d weights"),
        3: "20 ",
        4: ["Mask", "finetuning"],
        5: "3",
    }


def half_right_answers(items) -> dict:
    return {
        1: letters(items, "aaaaa1", "The number of layers"),
        2: letters(items, "aaaaa2", "Linear weights"),
        3: "25",
        4: ["mask", "luck"],
        5: "3 ",
    }


SPY = """
import os
from pathlib import Path
bank = Path({bank!r})
print("the bank:", sorted(p.name for p in bank.glob("**/*")))
print("the class:", bank.parent.exists())
print("keys in the environment:", any({name!r} in value for value in os.environ.values()))
print("processes:", sum(name.isdecimal() for name in os.listdir("/proc")) < 10)
answers = {{}}
"""

FORGER = """
answers = {}
import IPython, course_utils.study, course_utils.study.handing_in as handing_in
class Rich(handing_in.HandedIn):
    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "10", "text/html": "10 of 10 points"}
course_utils.study.hand_in = lambda answers, questions: Rich({}, [])
"""

CRASH = """
import os
class Answers(dict):
    def get(self, number):
        os.kill(os.getpid(), 9)
answers = Answers()
"""

VANDAL = """
answers = {1: "\\x00", 2: {"a": 1}, 3: "ten", 4: ["mask"], 5: 7, 99: "b"}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The class folder after all commands."""
    system_packages.need("bubblewrap")
    root = a_class.make(tmp_path_factory.mktemp("class") / "pruning")
    with (root / classes.CONFIG).open("a", encoding="utf-8") as config:
        config.write("\nc.ExecuteIsolated.seconds_per_cell = 3\n")
    class_bank = root / "bank"
    class_bank.mkdir()
    (class_bank / "01_quiz.yaml").write_text(BANK, encoding="utf-8")
    items = bank.load(class_bank)
    source = root / "source" / "quiz" / "quiz.ipynb"
    source.parent.mkdir()
    said = export.write("nbgrader", source, class_bank)

    handed_in = {
        "right": f"answers = {right_answers(items)}",
        "half": f"answers = {half_right_answers(items)}",
        "blank": None,
        "spy": SPY.format(bank=str(class_bank), name=root.name),
        "crash": CRASH,
        "forger": FORGER,
        "vandal": VANDAL,
        "no_comma": f"answers = {right_answers(items)}".replace(", ", " ", 1),
        "no_quotes": "answers = {1: b, 2: 'a'}",
        "endless": f"answers = {right_answers(items)}\nwhile True: pass",
    }
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with kernel_environment(PATH=path) as environment:
        nbgrader(environment, root, "generate_assignment", "quiz")
        released = root / "release" / "quiz" / "quiz.ipynb"
        for student, cell in handed_in.items():
            submitted = root / "submitted" / student / "quiz" / "quiz.ipynb"
            submitted.parent.mkdir(parents=True)
            notebook = nbformat.read(released, as_version=4)
            answers = next(c for c in notebook.cells if c.source.startswith("answers ="))
            answers.source = cell or answers.source
            nbformat.write(notebook, submitted)
        shutil.copy(root / "submitted" / "right" / "quiz" / "quiz.ipynb", root / "valid.ipynb")
        valid = nbgrader(environment, root, "validate", "valid.ipynb")
        invalid = nbgrader(environment, root, "validate", "release/quiz/quiz.ipynb")
        nbgrader(environment, root, "autograde", "quiz")
        nbgrader(environment, root, "generate_feedback", "quiz")
        nbgrader(environment, root, "export", "--to=grades.csv")
    return SimpleNamespace(
        root=root, released=released, said=said, items=items, valid=valid, invalid=invalid
    )


def scores(made) -> dict[str, float]:
    with open(made.root / "grades.csv", encoding="utf-8", newline="") as file:
        return {row["student_id"]: float(row["raw_score"]) for row in csv.DictReader(file)}


def autograded(made, student: str) -> str:
    return (made.root / "autograded" / student / "quiz" / "quiz.ipynb").read_text("utf-8")


def feedback(made, student: str) -> str:
    return (made.root / "feedback" / student / "quiz" / "quiz.html").read_text("utf-8")


def test_what_students_get_holds_the_questions_and_no_key(made):
    text = made.released.read_text(encoding="utf-8")
    assert "How many weights has" in text
    assert "Running means" in text
    assert "not graded" not in text
    for item in made.items.values():
        assert item.explanation not in text or not item.explanation
        assert not [d.why for d in item.distractors if d.why in text]
    assert "finetuning" not in text
    assert made.said == [
        f"5 questions for 10 points in {made.root}/source/quiz/quiz.ipynb, without their answers."
    ]


def test_right_answers_earn_all_and_none_earn_nothing(made):
    assert scores(made)["right"] == 10
    assert scores(made)["blank"] == 0


def test_half_right_answers_earn_their_part(made):
    # one of two options for 2 of 4 points, one of two blanks for 1 of 2, the printed line for 1
    assert scores(made)["half"] == 2 + 1 + 1


def test_answers_that_nobody_can_read_cost_themselves_only(made):
    assert scores(made)["vandal"] == 0
    assert "No answer" in feedback(made, "vandal")


def test_the_students_process_sees_neither_the_bank_nor_other_processes(made):
    seen = autograded(made, "spy")
    assert "the bank: []" in seen
    assert "the class: False" in seen
    assert "keys in the environment: False" in seen
    assert "processes: True" in seen


def test_answers_that_never_arrived_are_no_zero(made):
    with classes.nbgrader(made.root) as app, classes.gradebook_of(app) as gradebook:
        crash = classes.standing(gradebook, made.root, "quiz", "crash")
    assert crash.points is None
    assert list(crash.ungraded) == ["quiz_quiz"]


@pytest.mark.parametrize(
    ("student", "why", "shown"),
    [
        (
            "no_comma",
            "no answers arrived: a cell failed (SyntaxError: invalid syntax. Perhaps you forgot a "
            "comma? (line 1))",
            "SyntaxError",
        ),
        ("no_quotes", "no answers arrived: a cell failed (NameError: name 'b' is not", "'b' is"),
        ("endless", "the cell that defines it ran longer than 3 s", "KeyboardInterrupt"),
    ],
)
def test_answers_in_a_cell_that_fails_wait_for_a_human(made, student, why, shown):
    with classes.nbgrader(made.root) as app, classes.gradebook_of(app) as gradebook:
        standing = classes.standing(gradebook, made.root, "quiz", student)
    assert standing.points is None
    assert list(standing.ungraded) == ["quiz_quiz"]
    assert standing.ungraded["quiz_quiz"].startswith(why)
    assert "put back" not in str(standing)
    page = feedback(made, student)
    assert "your instructor decides" in page and "No answer" not in page
    assert shown in page  # what the student can learn from, below what they wrote
    assert "answers&#39; is not defined" not in page and "'answers' is not" not in page
    assert ("Four times five." in page) == (student != "endless")  # to compare with


def test_the_class_report_hears_which_questions_went_wrong(made):
    def said(student):
        return notes.read(made.root, "quiz", student)["quiz"]["checks"]["quiz_quiz"]

    assert said("right") == {"status": "correct", "points": 10, "message": "", "groups": {}}
    nothing = ("blank", "spy", "forger", "vandal")  # that could be read
    assert {said(student)["status"] for student in nothing} == {"not attempted"}
    assert said("half")["status"] == "incorrect"
    assert said("half")["message"] == "question 1: That is depth."
    assert list(said("half")["groups"]) == [f"question {n}" for n in (1, 2, 3, 4)]
    told = "\n".join(report.write(made.root, "quiz", names=True))
    assert "Not attempted by 4 more." in told
    assert "question 1: That is depth." in told


def test_who_forges_the_number_of_points_gets_none(made):
    assert scores(made)["forger"] == 0


def test_the_explanation_stands_in_the_feedback_and_nowhere_before(made):
    said = feedback(made, "half")
    assert "That is depth" in said
    assert "With the biases it would be 25." in said
    assert "Mask, then fine-tune." in said
    assert "1 - n/N" in said and "$" not in said.partition("<body")[2]
    assert "◐ Question 2: 2 of 4" in said
    submitted = made.root / "submitted" / "half" / "quiz" / "quiz.ipynb"
    assert not [
        key
        for key in KEYS
        if key in submitted.read_text(encoding="utf-8") and key != "The share of zeros"
    ]


def test_validating_passes_when_all_is_answered_and_only_then(made):
    assert "Success" in made.valid
    assert "Success" not in made.invalid
    assert "exactly" not in made.valid


@pytest.mark.parametrize(
    "given, form, sentence",
    [
        (..., "number", "no answer yet"),
        ("e", "one of abc", "one of the letters a, b, c"),
        ("ab", "one of abc", "one of the letters"),
        ("", "some of abc", "one or more of the letters"),
        ("ten", "number", "Type a number"),
        (["mask"], "2 texts", "there are 2 blanks"),
        (3, "1 text", "text in quotes"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(given, form, sentence):
    with pytest.raises(BadAnswer, match=sentence):
        graded.readable(given, form)


@pytest.mark.parametrize(
    "given, form, read",
    [
        ("B", "one of abc", "b"),
        ("c, a", "some of abc", "ac"),
        (["c", "a"], "some of abc", "ac"),
        ("12,5 %", "number", "12,5 %"),
        (28800, "number", 28800.0),
        ("mask", "1 text", ["mask"]),
    ],
)
def test_what_people_write_is_read(given, form, read):
    assert graded.readable(given, form) == read


def test_a_bank_without_graded_questions_is_refused(tmp_path):
    (tmp_path / "bank").mkdir()
    text = BANK.replace("use: [graded]", "use: [exit]\n    place: Step 1")
    (tmp_path / "bank" / "01_quiz.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="no question for graded use"):
        export.write("nbgrader", tmp_path / "quiz.ipynb", tmp_path / "bank")
    assert not (tmp_path / "quiz.ipynb").exists()


def test_a_question_that_the_bank_has_not_is_the_instructors_to_mend(made, tmp_path):
    folder = a_class.copied(made.root, tmp_path / "pruning")
    (folder / "bank" / "01_quiz.yaml").unlink()
    with pytest.raises(Problem, match="has no question aaaaa1"):
        classes.grade(folder, "quiz", ["right"], say=str)


def test_a_key_that_was_corrected_counts_at_once(made, tmp_path):
    folder = a_class.copied(made.root, tmp_path / "pruning")
    quiz = folder / "bank" / "01_quiz.yaml"
    classes.grade(folder, "quiz", ["right"], say=str)  # in this process, as formgrader does
    quiz.write_text(quiz.read_text("utf-8").replace("answer: 20\n", "answer: 25\n"), "utf-8")
    said = []
    classes.grade(folder, "quiz", ["half", "right"], say=said.append)
    assert "5 of 10" in said[0] and "9 of 10" in said[1]


def test_a_slip_in_the_bank_is_the_instructors_to_mend(made, tmp_path):
    folder = a_class.copied(made.root, tmp_path / "pruning")
    quiz = folder / "bank" / "01_quiz.yaml"
    quiz.write_text(quiz.read_text("utf-8").replace("answer: 20\n", "answer: twenty\n"), "utf-8")
    with pytest.raises(Problem, match=r"bank/01_quiz.yaml:\d+: aaaaa3: `answer` must be a number"):
        classes.grade(folder, "quiz", ["right"], say=str)
