"""The graders graded once more, by mutation: in every `verify` each comparison, bound and sign is
changed in turn, and some answer of the bank must be judged otherwise; in every reference solution
likewise, and the changed solution must be told from a right one.

Changes that nobody can notice are listed with their reason in survivors.yaml. `make soak` runs
this; for one exercise: pytest -o python_files="soak_*.py" tests/exercises -k name
"""

import ast
import copy
import inspect
import pathlib
import sys
import textwrap

import pytest
import yaml
from test_answers import NAMES, SEEDS, anybody_notices, unnoticed_deletions

from course_utils.exercises import find, grade

KNOWN = yaml.safe_load(
    pathlib.Path(__file__).with_name("survivors.yaml").read_text(encoding="utf-8")
)

SWAPPED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def changes(node: ast.AST):
    """What can be changed at a node: each a function that does it, with its description."""
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if type(operator) in SWAPPED:
                yield lambda n, place=place: n.ops.__setitem__(place, SWAPPED[type(n.ops[place])]())
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPPED:
        yield lambda n: setattr(n, "op", SWAPPED[type(n.op)]())
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield lambda n: setattr(n, "op", ast.UAdd() if isinstance(n.op, ast.USub) else ast.Not())
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield lambda n: setattr(n, "value", n.value + 1)
        if node.value:
            yield lambda n: setattr(n, "value", n.value - 1)


def mutants(function):
    """The function changed in one place, again and again, with a line that says where."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    spared = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr | ast.Subscript)
        for inner in ast.walk(node if isinstance(node, ast.JoinedStr) else node.slice)
    }
    for number, node in enumerate(ast.walk(tree)):
        if node in spared:  # the words of a message, and which of several things is meant
            continue
        for which, _ in enumerate(changes(node)):
            changed = copy.deepcopy(tree)
            place = list(ast.walk(changed))[number]
            list(changes(place))[which](place)
            before, after = (
                _line(ast.unparse(t), ast.unparse(o)) for t, o in ((tree, changed), (changed, tree))
            )
            if before == after == "":
                continue
            space: dict = {}
            code = compile(ast.fix_missing_locations(changed), "<mutant>", "exec")
            exec(code, sys.modules[function.__module__].__dict__, space)
            yield f"{before.strip()} -> {after.strip()}", space[function.__name__]


def _line(one: str, other: str) -> str:
    """The first line in which two texts differ, as it stands in the first."""
    pairs = zip(one.splitlines(), other.splitlines(), strict=False)
    return next((a for a, b in pairs if a != b), "")


def unnoticed_in_verify(name, monkeypatch):
    kind = type(find(name))
    for line, mutant in mutants(kind.verify):
        monkeypatch.setattr(kind, "verify", mutant)
        try:
            noticed = anybody_notices(name)
        except Exception:
            noticed = True  # the check itself broke
        monkeypatch.undo()
        if not noticed:
            yield f"verify: {line}"


def unnoticed_in_reference(name):
    if find(name).delegates:
        return  # where every way is right, so are most changes of ours
    reference = find(name).reference
    parts = reference if isinstance(reference, tuple) else (reference,)
    for place, part in enumerate(parts):
        for line, mutant in mutants(part):
            changed = (*parts[:place], mutant, *parts[place + 1 :])
            answer = changed if isinstance(reference, tuple) else mutant
            if all(grade(name, answer, seed).status == "correct" for seed in SEEDS[:2]):
                yield f"reference: {line}"


@pytest.mark.parametrize("name", NAMES)
def test_no_change_of_a_comparison_bound_or_sign_goes_unnoticed(name, monkeypatch):
    found = [*unnoticed_in_verify(name, monkeypatch), *unnoticed_in_reference(name)]
    known = KNOWN.get(name) or {}
    assert [line for line in found if line not in known] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_comparison_of_a_check_can_be_deleted_unnoticed(name, monkeypatch):
    assert not unnoticed_deletions(name, monkeypatch)
