"""What student code sees of the course while a class is graded: enough to run, nothing to copy."""

import ast
import inspect
import json
import os
import pathlib
import subprocess
import sys
import textwrap

import nbformat
import numpy
import pytest
import torch

import course_utils
from course_utils import data
from course_utils.exercises import every
from course_utils.exercises.engine import Exercise
from course_utils.grading import package, unchecked
from course_utils.study import checking, claims

HOUSE = pathlib.Path(course_utils.__file__).parents[1]
NOTEBOOKS = sorted((HOUSE / "notebooks").glob("*.ipynb"))
JUDGING = {"cases", "verify", "wanted", "expected", "shown", "refused"}


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ordinary")
    package.write(folder, ["magnitude_mask", "global_masks"])
    return folder / "course_utils"


@pytest.fixture(scope="module")
def capstone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("capstone")
    package.write(folder, ["prune_to_budget"])
    return folder / "course_utils"


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def refuses(function) -> bool:
    return "refuse()" in ast.unparse(function.body[-1]) and len(function.body) == 2


def statements(tree) -> set[str]:
    """The longer statements of one line, by which code would be known again."""
    lines = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    return {line for line in lines if len(line) > 30 and "\n" not in line}


def lessons(folder):
    return sorted((folder / "exercises").glob("lesson*.py"))


# --- What is not there ----------------------------------------------------------------------------


def test_no_exercise_brings_its_cases_or_its_judgement(ordinary, capstone):
    for path in lessons(ordinary) + lessons(capstone):
        assert JUDGING.isdisjoint(function.name for function in functions(parsed(path))), path


def test_every_reference_has_lost_its_body(ordinary):
    """Not by name, but by what is written in it, wherever that may stand."""
    there = set().union(*(statements(parsed(path)) for path in ordinary.rglob("*.py")))
    tried = 0  # references with something to recognise
    for name, exercise in every().items():
        references = exercise.reference
        references = references if isinstance(references, tuple) else (references,)
        source = parsed(pathlib.Path(sys.modules[references[0].__module__].__file__))
        for part in references:
            node = next(n for n in source.body if getattr(n, "name", "") == part.__name__)
            call = ast.parse(textwrap.dedent(inspect.getsource(type(exercise).call)))
            own = statements(node) - statements(call)
            kept = own & there  # one may be a commonplace, such as a loss
            assert not kept or (len(kept) == 1 and len(own) > 2), (name, kept)
            tried += bool(own)
    assert tried > 40


def test_what_judges_is_nowhere_in_the_copy(ordinary, capstone):
    there = set().union(*(statements(parsed(path)) for path in ordinary.rglob("*.py")))
    there |= statements(parsed(capstone / "exercises" / "lesson10.py"))
    seen = set()
    for path in lessons(HOUSE / "course_utils"):
        for node in functions(parsed(path)):
            if node.name in JUDGING:
                assert not statements(node) & there, (path, node.name)
                seen |= statements(node)
    assert len(seen) > 500


def test_of_an_exercise_nothing_is_kept_but_fields_and_what_runs_an_answer(ordinary):
    fields = set(vars(Exercise)) | set(Exercise.__annotations__)
    for path in lessons(ordinary):
        for node in parsed(path).body:
            if isinstance(node, ast.ClassDef) and any(
                "Exercise" in ast.unparse(b) for b in node.bases
            ):
                for part in node.body:
                    assert part_name(part) in fields, (node.name, ast.unparse(part))


def part_name(part):
    return getattr(part, "name", None) or ast.unparse(part).split(" ")[0].rstrip(":")


def test_every_function_of_the_techniques_refuses(ordinary):
    for path in (ordinary / "pruning").rglob("*.py"):
        assert all(map(refuses, functions(parsed(path)))), path
    assert len([f for p in (ordinary / "pruning").glob("*.py") for f in functions(parsed(p))]) > 100


def test_a_capstone_may_use_the_techniques_and_earlier_solutions_but_not_its_own(capstone):
    for path in (HOUSE / "course_utils" / "pruning").glob("*.py"):
        assert (capstone / "pruning" / path.name).read_bytes() == path.read_bytes()
    by_name = {f.name: f for path in lessons(capstone) for f in functions(parsed(path))}
    assert refuses(by_name["prune_to_budget"]) and refuses(by_name["test_images"])
    assert not refuses(by_name["shrink_pair"]) and not refuses(by_name["magnitude_mask"])


def test_what_grades_and_what_builds_is_not_there(ordinary):
    top = {path.name for path in ordinary.iterdir()}
    assert top.isdisjoint({"authoring", "cli.py", "lab.py", "jupyter", "__pycache__", "tests"})
    grading = {path.name for path in (ordinary / "grading").iterdir()}
    assert grading == {"__init__.py", "answers.py", "frames.py"}
    assert not (ordinary / "exercises" / "scores.py").exists()  # half of lesson 02's solutions
    assert not list(ordinary.rglob("*.pyc"))


def test_the_test_images_are_dark_and_all_others_as_they_were(tmp_path, monkeypatch):
    ((original, blanked),) = package.write(tmp_path, ["magnitude_mask"]).items()
    assert original.name == blanked.name == "digits.csv.gz"
    before = {name: value for name, value in vars(data.digits()).items() if name != "name"}
    assert data._raw_digits()[0][-data.DIGITS_TEST :].any()
    rows = numpy.loadtxt(blanked, delimiter=",")
    pixels, labels = data._shuffled(rows[:, :-1].reshape(-1, 1, 8, 8), rows[:, -1])
    monkeypatch.setattr(data, "_raw_digits", lambda: (pixels, labels))
    for name, images in before.items():
        assert torch.equal(getattr(data.digits(), name), images), name
    assert not pixels[-data.DIGITS_TEST :].any() and not labels[-data.DIGITS_TEST :].any()


def test_anybody_may_read_the_copy(ordinary):
    """The user inside is another one."""
    for path in [ordinary.parent, *ordinary.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


# --- A new exercise needs no line in `package` ----------------------------------------------------

LESSON = '''
"""A lesson."""
import json
from math import sqrt, floor
from course_utils.exercises.engine import Exercise
from course_utils.exercises.compare import show

SECRETS = [1, 2, 3]

def _used_by_call():
    return _deeper()

def _deeper():
    return sqrt(2)

def _used_by_verify():
    return SECRETS, floor(3)

def twice(x):
    """Say it twice."""
    return 2 * _solution_helper(x)

def _solution_helper(x):
    return x

class Half:
    size = 17
    def call(self, x):
        return x / self.size

class _Common(Exercise):
    lesson = "99"
    def call(self, inputs, answer):
        return self._run(inputs, answer)
    def _run(self, inputs, answer):
        return _used_by_call(), answer(*inputs)
    def cases(self, rng):
        return {"a": [(json.loads("1"),)]}

class Twice(_Common):
    name = "twice"
    reference = staticmethod(twice)
    table = SECRETS
    def verify(self, case, data):
        return self._judge(_used_by_verify())
    def _judge(self, data):
        return show(data)

class Halves(_Common):
    name = "half"
    forbids = ("course_utils.exercises.lesson99.elsewhere", "math.sqrt")
    reference = Half

class Thrice(_Common):
    name = "thrice"
    @staticmethod
    def reference(x):
        return 3 * x

def elsewhere():
    return 42

EXERCISES = [Twice(), Halves(), Thrice()]
'''

LEFT = '''
"""A lesson."""
from math import sqrt
from course_utils.exercises.engine import Exercise

def _used_by_call():
    return _deeper()

def _deeper():
    return sqrt(2)

def twice(x):
    REFUSED

class Half:

    def call(self, x):
        REFUSED

class _Common(Exercise):
    lesson = '99'

    def call(self, inputs, answer):
        return self._run(inputs, answer)

    def _run(self, inputs, answer):
        return (_used_by_call(), answer(*inputs))

class Twice(_Common):
    name = 'twice'
    reference = staticmethod(twice)

class Halves(_Common):
    name = 'half'
    forbids = ('course_utils.exercises.lesson99.elsewhere', 'math.sqrt')
    reference = Half

class Thrice(_Common):
    name = 'thrice'

    @staticmethod
    def reference(x):
        REFUSED

def elsewhere():
    REFUSED
EXERCISES = [Twice(), Halves(), Thrice()]
'''


def test_a_lesson_is_taken_apart_by_what_it_is_not_by_a_list():
    engine = parsed(HOUSE / "course_utils" / "exercises" / "engine.py")
    slim = package._slim(ast.parse(LESSON), "lesson99", package._fields(engine), set())
    refusal = ast.unparse(ast.parse(package._REFUSAL)).replace("\n", "\n    ")
    wanted = LEFT.replace("        REFUSED", "        " + refusal.replace("\n", "\n    "))
    wanted = wanted.replace("    REFUSED", "    " + refusal)
    assert ast.unparse(slim).strip() == ast.unparse(ast.parse(wanted)).strip()


def test_a_reference_that_cannot_be_taken_out_is_an_error():
    engine = parsed(HOUSE / "course_utils" / "exercises" / "engine.py")
    lesson = LESSON.replace("reference = Half", "reference = Half\nhalf = lambda x: x / 2")
    lesson = lesson.replace("reference = staticmethod(twice)", "reference = staticmethod(SECRETS)")
    with pytest.raises(ValueError, match="SECRETS in lesson99 is neither"):
        package._slim(ast.parse(lesson), "lesson99", package._fields(engine), set())


# --- What is there works --------------------------------------------------------------------------

BESIDE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from course_utils.grading import answers, frames

class Say:
    parts = []
    def step(self, number): pass
    def __call__(self, part): self.parts.append(frames.unpack(part)[0])

out = sys.stdout
sources = json.load(open(sys.argv[2], encoding="utf-8"))
answers.run(frames.pack({"steps": [{"cell": source} for source in sources]}), Say())
json.dump(Say.parts, out)
"""


def run_beside(course, sources, tmp_path):
    job = tmp_path / "sources.json"
    job.write_text(json.dumps(sources), encoding="utf-8")
    command = [sys.executable, "-c", BESIDE, str(course.parent), str(job)]
    environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_module_of_the_copy_can_be_imported(ordinary, capstone, tmp_path):
    for course in (ordinary, capstone):
        modules = [path.relative_to(course.parent) for path in course.rglob("*.py")]
        names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in modules]
        names = [name for name in names if name != "course_utils.grading.answers"]
        (header,) = run_beside(course, ["\n".join(f"import {name}" for name in names)], tmp_path)
        assert not header["failed"], header["outputs"]


@pytest.mark.parametrize("which", ["ordinary", "capstone"])
def test_the_first_cells_of_every_lesson_run_with_the_copy(which, request, tmp_path):
    """All code before the first exercise but demonstrations: imports, data, predictions."""
    cells = []
    for notebook in NOTEBOOKS:
        if notebook.stem.startswith("10") == (which == "capstone"):
            cells += first_cells(notebook)
    said = run_beside(request.getfixturevalue(which), cells, tmp_path)
    for source, header in zip(cells, said, strict=True):
        assert not header["failed"], (source, header["outputs"])


def first_cells(notebook):
    found = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.metadata.get("nbgrader"):
            break
        if cell.cell_type == "code" and "demo" not in cell.metadata.get("tags", []):
            found.append(cell.source)
    assert found
    return found


def test_what_lessons_call_of_study_is_quiet_and_lends_nothing(ordinary, tmp_path):
    cell = """
from course_utils.study import (
    check, claim, enrol, enter, hint, outcome, predict, predicted, progress, quiz, review,
    solution, yours_or_ours,
)
def mine(weight, sparsity): return weight
check("magnitude_mask", mine)
hint("magnitude_mask")
solution("magnitude_mask", insist=True)
claim("name", lambda seed: 1 / 0, lambda: False, lambda: "never")
predict("name", 3)
outcome("name", 4.0)
quiz("03", "pretest"); enrol("03"); review(); progress()
yours_or_ours("magnitude_mask", mine) is mine, predicted("name")
"""
    (header,) = run_beside(ordinary, [cell], tmp_path)
    assert not header["failed"], header["outputs"]
    assert header["outputs"][-1]["data"]["text/plain"] == "(True, True)"
    assert all(output.get("name") != "stderr" for output in header["outputs"])


def test_the_stand_ins_for_study_take_what_the_real_ones_take():
    for module in (checking, claims):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                ours, theirs = map(inspect.signature, (getattr(unchecked, name), function))
                assert list(ours.parameters) == list(theirs.parameters), name


def test_writing_the_copy_imports_no_torch(tmp_path):
    code = (
        "import sys, pathlib; from course_utils.grading import package; "
        f"package.write(pathlib.Path({str(tmp_path)!r}), []); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
