"""The graders are graded: wrong answers are told what is wrong with them, right ones pass, and
every comparison in a check is there because some answer needs it."""

import ast
import copy
import functools
import importlib
import inspect
import pathlib
import sys
import textwrap

import pytest
from bank import RIGHT, WRONG

from course_utils.exercises import engine, every, find, grade
from course_utils.exercises.engine import observe

for _file in sorted(pathlib.Path(__file__).parent.glob("answers_*.py")):
    importlib.import_module(_file.stem)

SEEDS = [0, 1, "another"]  # `make soak` tries new ones
NAMES = list(every())
REMEMBERED: dict = {}
EACH_WRONG = [(name, *pair) for name in NAMES for pair in WRONG[name]]
EACH_RIGHT = [(name, answer) for name in NAMES for answer in RIGHT[name]]


def ids(pairs):
    return [f"{pair[0]}-{pair[1].__name__}" for pair in pairs]


def message(result):
    """What a learner reads first."""
    return result.messages[0]


def test_every_answer_is_to_an_exercise():
    assert sorted({*WRONG, *RIGHT} - set(NAMES)) == []


@pytest.mark.parametrize("name", NAMES)
def test_there_are_answers_enough(name):
    assert len(WRONG[name]) >= 5
    assert len(RIGHT[name]) >= 2


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "answer"), EACH_RIGHT, ids=ids(EACH_RIGHT))
def test_a_right_answer_gets_full_marks(name, answer, seed):
    result = grade(name, answer, seed)
    assert (result.status, result.score, result.messages) == ("correct", 1.0, []), seed


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("name", "answer", "phrase"), EACH_WRONG, ids=ids(EACH_WRONG))
def test_a_wrong_answer_hears_what_is_wrong(name, answer, phrase, seed):
    result = grade(name, answer, seed)
    assert result.status == "incorrect", seed
    assert result.score < 1
    assert phrase in message(result)


@pytest.mark.parametrize("name", NAMES)
def test_no_wrong_answer_draws_the_message_of_another(name):
    drawn = {answer: message(grade(name, answer)) for answer, _ in WRONG[name]}
    for answer, phrase in WRONG[name]:
        others = [o.__name__ for o, said in drawn.items() if o is not answer and phrase in said]
        assert not others, f"{phrase!r} is also said to {others}"


def comparisons_removed(function):
    """The function with one condition gone, again and again: each `if` never taken, each part of
    an `and` or `or` left out. Yields (line, text, function)."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    count = sum(isinstance(node, ast.If | ast.BoolOp) for node in ast.walk(tree))
    for number in range(count):
        parts = _parts(_conditions(tree)[number])
        for part in range(parts):
            mutant = copy.deepcopy(tree)
            node = _conditions(mutant)[number]
            if isinstance(node, ast.If):
                text = "if " + ast.unparse(node.test)
                node.test = ast.Constant(False)
            else:
                text = ast.unparse(node.values[part])
                node.values[part] = ast.Constant(isinstance(node.op, ast.And))
            space: dict = {}
            code = compile(ast.fix_missing_locations(mutant), "<mutant>", "exec")
            exec(code, sys.modules[function.__module__].__dict__, space)
            yield node.lineno, text, space[function.__name__]


def _conditions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.If | ast.BoolOp)]


def _parts(node):
    return 1 if isinstance(node, ast.If) else len(node.values)


@functools.cache
def observed(name, answer, seed):
    """What an answer left behind on all cases, so that many checks can judge it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "judge", lambda exercise, groups, outcomes: (groups, outcomes))
        return grade(name, answer, seed)


def judged(name, answer, seed):
    """What `grade` says, without running the answer or the reference once more."""
    seen = observed(name, answer, seed)
    if isinstance(seen, engine.Result):
        return seen
    with pytest.MonkeyPatch.context() as patch, engine._undisturbed():
        patch.setattr(engine, "observe", remembered)
        return engine.judge(find(name), *seen)


def remembered(exercise, case, answer):
    """`observe`, but a reference runs once on each case that `observed` keeps."""
    assert answer is exercise.reference
    if id(case) not in REMEMBERED:
        REMEMBERED[id(case)] = case, observe(exercise, case, answer)
    return REMEMBERED[id(case)][1]


def anybody_notices(name):
    """Whether some answer is now judged otherwise than the bank demands."""
    for seed in SEEDS[:2]:
        if any(judged(name, answer, seed).status != "correct" for answer in RIGHT[name]):
            return True
        for answer, phrase in WRONG[name]:
            result = judged(name, answer, seed)
            if result.status != "incorrect" or phrase not in message(result):
                return True
    return False


@pytest.mark.parametrize("name", NAMES[::4])  # `make soak` tries them all
def test_no_comparison_of_a_check_can_be_deleted_unnoticed(name, monkeypatch):
    assert not unnoticed_deletions(name, monkeypatch)


def unnoticed_deletions(name: str, monkeypatch) -> list[str]:
    exercise = find(name)
    assert not anybody_notices(name), "the check as it stands is right"
    survivors = []
    for line, text, mutant in comparisons_removed(type(exercise).verify):
        monkeypatch.setattr(type(exercise), "verify", mutant)
        try:
            noticed = anybody_notices(name)
        except Exception:
            noticed = True  # the check itself broke
        if not noticed:
            survivors.append(f"verify line {line}: {text}")
    return survivors


def test_no_comparison_common_to_all_checks_can_be_deleted_unnoticed(monkeypatch):
    survivors = []
    for function in (engine._problem, engine._what_changed):
        for line, text, mutant in comparisons_removed(function):
            monkeypatch.setattr(engine, function.__name__, mutant)
            try:
                noticed = any(anybody_notices(name) for name in NAMES)
            except Exception:
                noticed = True
            if not noticed:
                survivors.append(f"{function.__name__} line {line}: {text}")
        monkeypatch.undo()
    assert not survivors
