"""Which cells run in grading: what the answers need, and nothing that only teaches."""

import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_utils.authoring.build import ROOT
from course_utils.grading import plan

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def lesson(name):
    return nbformat.read(next((ROOT / "notebooks").glob(f"{name}_*.ipynb")), as_version=4)


def solution(text, name="f"):
    graded = {"grade": False, "solution": True, "locked": False, "grade_id": name}
    return new_code_cell(text, metadata={"nbgrader": graded})


def check(name="f"):
    graded = {"grade": True, "solution": False, "locked": True, "grade_id": f"{name}_check"}
    metadata = {"nbgrader": {**graded, "points": 1}}
    return new_code_cell(f'check("{name}", {name})', metadata=metadata)


def needed(handed_in, released):
    """The texts of the cells that run."""
    notebook = new_notebook(cells=handed_in)
    chosen = plan.needed(notebook.cells, released)
    return [notebook.cells[n].source for n in chosen]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_of_a_lesson_run_its_exercises_its_checks_and_what_they_import(path):
    released = nbformat.read(path, as_version=4)
    chosen = [released.cells[n] for n in plan.needed(released.cells, released.cells)]
    plain = [cell for cell in chosen if "nbgrader" not in cell.metadata]
    assert len(plain) <= 1
    assert not [cell for cell in chosen if cell.metadata.get("tags")]
    graded = [c for c in released.cells if c.cell_type == "code" and "nbgrader" in c.metadata]
    assert [cell for cell in chosen if cell not in plain] == graded


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_every_graded_cell_of_a_lesson_is_a_check_that_can_be_read(path):
    released = nbformat.read(path, as_version=4)
    locked = [c for c in released.cells if c.metadata.get("nbgrader", {}).get("locked")]
    for cell in locked:
        asked = plan.check_of(cell)
        assert cell.source == f'check("{asked.exercise}", {asked.answer})'


def test_what_a_student_wrote_runs_and_what_the_lesson_only_shows_does_not():
    setup, demo = new_code_cell("import torch"), new_code_cell("net = train()")
    own, answer = new_code_cell("mine = 3"), solution("def f(x):\n    return torch.abs(x)")
    released = [setup, demo, solution("def f(x):\n    raise NotImplementedError"), check()]
    ran = needed([setup, demo, own, answer, check()], released)
    assert ran == ["import torch", "mine = 3", answer.source, 'check("f", f)']


def test_a_demo_runs_when_an_answer_uses_what_it_leaves_behind():
    demo, other = new_code_cell("net = train(digits)"), new_code_cell("other = train(digits)")
    data, answer = new_code_cell("digits = [1, 2]"), solution("def f(x):\n    return net(x)")
    ran = needed([data, demo, other, answer, check()], [data, demo, other, check()])
    assert ran == ["digits = [1, 2]", "net = train(digits)", answer.source, 'check("f", f)']


@pytest.mark.parametrize(
    "answer",
    [
        "def f(x):\n    for net in x:\n        pass\n    return net",
        "def f(net):\n    return [net for net in x]",
        "f = lambda net: net",
        "net = 3\ndef f(x):\n    return net",
        "for net in range(3):\n    print(net)",
        "def net():\n    return net",
        "with open('x') as net:\n    print(net)",
        "try:\n    pass\nexcept Exception as net:\n    print(net)",
        "if True:\n    net = 3\n    print(net)",
        "for a, net in []:\n    print(net)\nelse:\n    print(net)",
    ],
)
def test_a_name_of_the_answers_own_calls_for_no_demo(answer):
    demo = new_code_cell("net = train()")
    assert "net = train()" not in needed([demo, solution(answer), check()], [demo])


@pytest.mark.parametrize(
    "answer",
    [
        "net = prune(net)\ndef f(x):\n    return net(x)",
        "class f:\n    size = net",
        "def f(x=net):\n    pass",
        "@net\ndef f(x):\n    pass",
        "net += 1",
        "def f(x):\n    return lambda: net",
        "def f(x):\n    return (x\n        % net)",
        "for r in range(3):\n    net = prune(net)",
        "with open('x'):\n    net = net * 1",
        "if True:\n    net = net + 1",
        "if True:\n    net = 1\nelse:\n    y = net",
        "while net:\n    net = 0",
        "try:\n    net = 3\nexcept Exception:\n    print(net)",
        "with net as x:\n    pass",
        "for x in net:\n    pass",
    ],
)
def test_a_name_that_comes_from_a_demo_calls_for_it(answer):
    demo = new_code_cell("net = train()")
    assert "net = train()" in needed([demo, solution(answer), check()], [demo])


def test_the_nearest_cell_before_gives_a_name_and_a_later_one_when_there_is_none():
    first, second = new_code_cell("net = 1"), new_code_cell("net = 2")
    answer, later = solution("def f(x):\n    return net, late"), new_code_cell("late = 3")
    use = new_code_cell("f(0)")
    ran = needed([first, second, answer, later, use], [first, second, later])
    assert ran == ["net = 2", answer.source, "late = 3", "f(0)"]


@pytest.mark.parametrize(
    "line", ["%matplotlib inline", "!ls", "files = !ls", "a, b = %time x", "?net", "f?", "%%time"]
)
def test_lines_that_only_ipython_understands_hide_no_names(line):
    demo, answer = new_code_cell("net = train()"), solution(f"{line}\ndef f(x):\n    return net")
    assert "net = train()" in needed([demo, answer, check()], [demo])


def test_a_notebook_of_many_long_cells_is_planned_in_moments():
    cells = [new_code_cell(f"x{n} = a" + ".b" * 300 + "\n" * 9000) for n in range(300)]
    start = time.process_time()
    assert len(needed(cells, [])) == 300
    assert time.process_time() - start < 10


def test_what_a_very_long_cell_may_use_runs_unless_it_trains():
    network, demo = new_code_cell("network = 1"), new_code_cell("net = train()")
    demo.metadata["tags"] = ["demo"]
    table = new_code_cell("table = [network, " + "1.5, " * 20_000 + "]")
    assert needed([network, demo, table], [network, demo]) == ["network = 1", table.source]


def test_text_never_runs_and_what_is_no_python_does():
    broken, magic = new_code_cell("def f(:"), new_code_cell("%timeit net(0)\n!ls")
    demo, text = new_code_cell("net = train()"), new_markdown_cell("net")
    ran = needed([demo, text, broken, magic], [demo])
    assert ran == ["def f(:", "%timeit net(0)\n!ls"]


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "(" * 5000 + ")" * 5000,
        "x = " + "-" * 600 + "1",
        "x = a" + ".a" * 1200,
        "x = " + "not " * 100_000 + "1",
        "x = 1\n" * 100_000,
        "x = !ls\n" * 2000,
        ";" * 40_000,
        "%time x\n" * 5000,
        "a?\n" * 10_000,
    ],
    ids=["brackets", "signs", "dots", "words", "lines", "shell", "ends", "magic", "questions"],
)
def test_a_cell_that_nobody_can_read_for_names_is_left_to_say_so_itself(source):
    assert needed([new_code_cell(source)], []) == [source]
