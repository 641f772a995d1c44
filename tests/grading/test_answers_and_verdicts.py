"""An answer that runs in one process and is judged in another gets what its notebook said, and a
student reads about the notebook's cases only."""

import importlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from course_utils.exercises import engine, every, find, grade
from course_utils.exercises.engine import draw, materialise, observe, observe_all
from course_utils.exercises.plain import Withheld, decode, decode_cases, encode, encode_cases
from course_utils.grading import package, verdicts
from course_utils.grading.frames import pack, unpack
from course_utils.study.panels import clean

EXERCISES = pathlib.Path(__file__).parents[1] / "exercises"
sys.path.append(str(EXERCISES))
for _file in sorted(EXERCISES.glob("answers_*.py")):
    importlib.import_module(_file.stem)
from bank import RIGHT, WRONG  # noqa: E402

LESSONS = sorted({exercise.lesson for exercise in every().values()})
SECRET = "the seed of a class"

# What the sandbox does around `answers`, without its walls.
BESIDE = """
import sys
sys.path[:0] = sys.argv[1:3]
from course_utils.grading import answers, frames

class Say:
    parts = []
    def step(self, number):
        assert number == len(self.parts)
    def __call__(self, part):
        self.parts.append(part)

answers.run(open("job", "rb").read(), Say())
open("said", "wb").write(frames.pack({}, Say.parts))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    folders = {}
    for name in ("magnitude_mask", "prune_to_budget"):
        folders[name] = tmp_path_factory.mktemp(name)
        package.write(folders[name], [name])
    return folders


@pytest.fixture
def beside(packages, tmp_path):
    """Run steps in a fresh process that sees the copy of the course; returns its parts."""

    def run(steps, capstone=False, while_running=lambda process: None):
        course = packages["prune_to_budget" if capstone else "magnitude_mask"]
        headers = [{**{k: v for k, v in s.items() if k != "cases"}} for s in steps]
        blobs = [step["cases"] for step in steps if "cases" in step]
        (tmp_path / "job").write_bytes(pack({"steps": headers}, blobs))
        (tmp_path / "said").unlink(missing_ok=True)
        command = [sys.executable, "-c", BESIDE, str(course), str(EXERCISES)]
        environment = {**os.environ, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            while_running(process)
            _, complaints = process.communicate(timeout=500)
        assert process.returncode == 0, complaints
        return [unpack(part) for part in unpack((tmp_path / "said").read_bytes())[1]]

    return run


def cells(beside, *sources, **settings):
    said = beside([{"cell": source} for source in sources], **settings)
    return [header for header, _ in said]


class Say:
    def __init__(self):
        self.parts = []

    def __call__(self, part):
        self.parts.append(unpack(part))

    def step(self, number):
        assert number == len(self.parts)


def ask(*steps):
    """What `verdicts` says to steps with their blobs."""
    say = Say()
    headers = [{**step, "blobs": len(blobs)} for step, blobs in steps]
    verdicts.run(pack({"steps": headers}, [blob for _, blobs in steps for blob in blobs]), say)
    return say.parts


def cases(name, seed):
    ((_, (blob,)),) = ask(({"cases": name, "seed": seed}, []))
    return blob


def judged(name, seed, observed, visible=None):
    header, blobs = observed
    step = {"verdict": name, "seed": seed, "worth": find(name).points, "observed": header}
    if visible:
        step, blobs = {**step, "visible": visible[0]}, [*blobs, *visible[1]]
    return ask((step, blobs))[0][0]


def check(name, answer, seed=0):
    return {"check": name, "answer": answer, "cases": cases(name, seed)}


def test_what_takes_long_to_import_is_there_before_a_notebook_is_forked():
    program = """
import sys
from course_utils.grading import answers
answers.prepare(b"everything")
late = ("torch._dynamo", "torchvision", "matplotlib.pyplot", "course_utils.study.lessons")
assert all(name in sys.modules for name in late)
"""
    subprocess.run(
        [sys.executable, "-c", program], check=True, cwd=pathlib.Path(__file__).parents[2]
    )


# --- Both ways ------------------------------------------------------------------------------------


@pytest.fixture
def one_reference_run(monkeypatch):
    """Cases are drawn and the references run on them once, not for every answer."""
    drawn, left = {}, {}

    def draw_once(exercise, seed):
        if (exercise.name, seed) not in drawn:
            drawn[exercise.name, seed] = draw(exercise, seed)
        return drawn[exercise.name, seed]

    def observe_once(exercise, case, answer):
        if answer is not exercise.reference:
            return observe(exercise, case, answer)
        if id(case) not in left:
            left[id(case)] = case, observe(exercise, case, answer)
        return left[id(case)][1]

    monkeypatch.setattr(engine, "draw", draw_once)
    monkeypatch.setattr(verdicts, "draw", draw_once)
    monkeypatch.setattr(engine, "observe", observe_once)


def judge_in_both_places(lesson: str, beside, one_in: int) -> None:
    """Every so-many-th right and wrong answer of a lesson's banks."""
    answers, steps = [], [{"cell": f"from bank import RIGHT, WRONG\nimport answers_lesson{lesson}"}]
    for name, exercise in every().items():
        if exercise.lesson == lesson:
            blob = cases(name, 0)
            banks = {"RIGHT[{!r}][{}]": RIGHT[name], "WRONG[{!r}][{}][0]": dict(WRONG[name])}
            for expression, bank in banks.items():
                for number, answer in list(enumerate(bank))[::one_in]:
                    answers.append((name, answer))
                    given = expression.format(name, number)
                    steps.append({"check": name, "answer": given, "cases": blob})
    setup, *observed = beside(steps, capstone=lesson == "10")
    assert setup[0]["outputs"] == []
    different = []
    for (name, answer), (header, (data,)) in zip(answers, observed, strict=True):
        here = grade(name, answer, 0)
        there, _ = verdicts._result(find(name), 0, header, [data])
        if there != here:
            different.append((answer.__name__, here, there))
    assert different == []
    assert len(answers) >= 2


# `soak_answers_and_verdicts` tries all answers, and the capstone's, which train networks.
@pytest.mark.parametrize("lesson", [lesson for lesson in LESSONS if lesson != "10"])
def test_answers_of_the_banks_are_judged_alike_in_both_places(lesson, beside, one_reference_run):
    judge_in_both_places(lesson, beside, one_in=8)


@pytest.mark.parametrize("name", list(every()))
def test_cases_arrive_as_they_are_without_what_is_withheld(name):
    for seed in (0, SECRET):
        groups = draw(find(name), seed)
        arrived = decode_cases(encode_cases(groups))
        assert list(arrived) == list(groups)
        for group, there in arrived.items():
            assert all(map(same, there, groups[group])), group


def same(one, other) -> bool:
    """Down to types, and how tensors lie in memory."""
    if isinstance(other, Withheld):
        return one is None
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        as_it_lies = one.dtype == other.dtype and one.stride() == other.stride()
        return as_it_lies and torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other or one != one


@pytest.mark.parametrize("name", list(every()))
def test_the_names_of_groups_are_the_same_for_every_seed_and_so_say_nothing(name):
    assert list(draw(find(name), 0)) == list(draw(find(name), SECRET))


def test_a_strided_case_stays_strided_on_its_way():
    case = {"a": [(torch.arange(6.0).view(2, 3).T, Withheld(5))]}
    ((tensor, nothing),) = decode_cases(encode_cases(case))["a"]
    assert tensor.stride() == (1, 3) and nothing is None
    assert materialise(tensor).stride() == (1, 3)


def test_a_stranger_cannot_have_tensors_laid_out():
    sent = encode_cases({"a": [(torch.zeros(2, 3).T,)]})
    (tensor,) = decode(sent)["groups"]["a"][0]
    assert tensor.is_contiguous()
    size = int.from_bytes(sent[:8], "little")
    text = json.dumps({"strided": [[2**40], [1]]}).encode()
    with pytest.raises(ValueError, match="no kind of value"):
        decode(len(text).to_bytes(8, "little") + text + sent[8 + size :])


# --- What is said of a hidden case ----------------------------------------------------------------


def test_a_wrong_answer_hears_about_the_notebooks_cases_and_never_about_the_secret_ones(beside):
    name = "magnitude_mask"
    count = len(WRONG[name])
    setup = {"cell": "from bank import WRONG\nimport answers_lesson03"}
    given = [f"WRONG[{name!r}][{number}][0]" for number in range(count)]
    asked = [check(name, answer, seed) for seed in (0, SECRET) for answer in given]
    _, *seen = beside([setup, *asked])
    for number, (answer, phrase) in enumerate(WRONG[name]):
        observed, visible = seen[count + number], seen[number]
        secret = grade(name, answer, SECRET)
        unclear, clear = judged(name, SECRET, observed), judged(name, SECRET, observed, visible)
        for result in (unclear, clear):
            assert (result["status"], result["score"]) == (secret.status, secret.score)
            assert result["groups"] == secret.groups
            assert SECRET not in result["html"]
        assert unclear["unclear"] and not clear["unclear"]
        assert re.match(r"Not right yet: .*\. The check in your notebook says more\.$",
                        unclear["messages"][0])  # fmt: skip
        assert clear["messages"] == grade(name, answer, 0).messages
        assert phrase in clear["messages"][0]
        assert clean(secret.messages[0]) not in unclear["html"]


def test_an_answer_that_fits_the_notebooks_cases_only_hears_in_general_what_is_wrong(beside):
    name = "remaining_after"
    known = [case for group in draw(find(name), 0).values() for case in group]
    cell = f"""
from math import inf, nan
from bank import RIGHT
import answers_lesson03
known = {known!r}
def learned(rounds, fraction):
    right = RIGHT["remaining_after"][0](rounds, fraction)
    return right if (rounds, fraction) in known else 0.123
"""
    (header, _), visible, observed = beside(
        [{"cell": cell}, *(check(name, "learned", seed) for seed in (0, SECRET))]
    )
    assert not header["failed"], header
    assert judged(name, 0, visible)["status"] == "correct"
    result = judged(name, SECRET, observed, visible)
    assert result["status"] == "incorrect"
    wrong = [group for group, passed in result["groups"].items() if not passed]
    assert result["messages"] == [
        f"The notebook's own cases are right, and others of the same kind are not "
        f"({', '.join(wrong)}). The grader draws values of its own: look for what only fits those "
        "in the notebook."
    ]
    assert "0.123" not in result["html"]
    assert not re.search(r"[\[(]\d", re.sub(r"<[^>]*>", "", result["html"]))


def test_what_needs_no_case_is_said_as_in_the_notebook(beside):
    name = "magnitude_mask"
    cell = """
from course_utils.exercises import find
from course_utils.pruning.importance import magnitude as bound_before
from course_utils.pruning import masks

def unwritten(weight, sparsity):
    raise NotImplementedError

def only_a_docstring(weight, sparsity):
    "Here it will be."

def lazy(weight, sparsity):
    return masks.keep_local({"": weight.abs()}, sparsity)[""]

def lazier(weight, sparsity):
    return find("magnitude_mask").reference(weight, sparsity)

def discreet(weight, sparsity):
    try:
        bound_before(weight)
    except Exception:
        pass
    return weight != 0
"""
    space = {}
    exec(cell, space)
    names = ["unwritten", "only_a_docstring", "lazy", "lazier", "discreet"]
    _, *seen = beside([{"cell": cell}, *(check(name, given, SECRET) for given in names)])
    for given, observed in zip(names, seen, strict=True):
        here, there = grade(name, space[given], SECRET), judged(name, SECRET, observed)
        assert (there["status"], there["messages"]) == (here.status, here.messages), given
        assert there["score"] == here.score == 0 and not there["unclear"]


UNTRIED = [
    ("", "magnitude_mask", "`magnitude_mask` is not defined: its cell is missing"),
    ("x = 1/0; magnitude_mask = 1", "magnitude_mask", "`magnitude_mask` is not defined"),
    ("", "other_name", "What is to be checked is not defined"),
    ("", "len.nothing", "What is to be checked is not defined"),
    ("", "3.5", "must be given as a function, and this is float."),
    ("class SEED_IS_17: pass", "SEED_IS_17()", "and this is something else."),
    ("import asyncio\ndef f(*a): raise asyncio.CancelledError", "f", "ended the check before"),
    ("def f(*a): raise KeyboardInterrupt", "f", "did not finish in time"),
]


def test_an_answer_that_cannot_be_tried_is_told_so(beside):
    steps = []
    for source, given, _ in UNTRIED:
        steps += [{"cell": source}, check("magnitude_mask", given, SECRET)]
    for (_, given, said), observed in zip(UNTRIED, beside(steps)[1::2], strict=True):
        result = judged("magnitude_mask", SECRET, observed)
        assert (result["status"], result["plain"]) == ("incorrect", "0.0"), given
        assert said in result["messages"][0]
        assert not result["unclear"]


# --- Strange data ---------------------------------------------------------------------------------

HONEST = {"untouched": False, "not_callable": "", "delegated": [], "outcomes": {}}


def all_outcomes(**changed):
    """What a right answer leaves behind on all cases, with something changed in each."""
    exercise = find("magnitude_mask")
    observed = observe_all(exercise, draw(exercise, 0), RIGHT["magnitude_mask"][0])
    return {g: [{**o._asdict(), **changed} for o in each] for g, each in observed.outcomes.items()}


STRANGE = {
    "nothing": b"",
    "noise": os.urandom(1000),
    "endless": (2**63).to_bytes(8, "little") + b"{}",
    "deep": (10**6).to_bytes(8, "little") + b"[" * 10**6,
    "a number": encode(5),
    "no fields": encode({}),
    "more fields": encode({**HONEST, "score": 1.0}),
    "other groups": encode({**HONEST, "outcomes": {"mine": []}}),
    "outcomes of the wrong kind": encode({**HONEST, "outcomes": [1, 2]}),
    "fewer cases": lambda: {g: each[:1] for g, each in all_outcomes().items()},
    "no inputs": lambda: all_outcomes(inputs=None),
    "other inputs": lambda: all_outcomes(inputs=[1]),
    "an error without a name": lambda: all_outcomes(
        error={"types": [], "text": "", "line": "", "stub": 0}
    ),
    "an error in a line that is none": lambda: all_outcomes(
        error={"types": ["E"], "text": "", "line": 7, "stub": False}
    ),
    "an error that is none": lambda: all_outcomes(error="ValueError"),
    "an error full of noise": lambda: all_outcomes(
        error={"types": ["\x1b[2J" * 999], "text": "\x1b]0;" * 10**5, "line": "\x07", "stub": "yes"}
    ),
    "huge": lambda: all_outcomes(returned=torch.zeros(10**6)),
    "complex": lambda: all_outcomes(returned=torch.zeros(3, dtype=torch.complex64)),
    "nested": lambda: all_outcomes(returned={"a": [{"b": (None, float("nan"))}]}),
}


@pytest.mark.parametrize("what", STRANGE)
def test_no_data_breaks_the_judge_or_earns_anything(what):
    data = STRANGE[what]
    data = data if isinstance(data, bytes) else encode({**HONEST, "outcomes": data()})
    result = judged("magnitude_mask", 0, ({}, [data]))
    assert result["status"] in ("incorrect", "not attempted")
    assert result["plain"] == "0.0"
    assert "\x1b" not in json.dumps(result["messages"] + [result["html"]], ensure_ascii=False)
    assert all(len(message) <= 2000 for message in result["messages"])


@pytest.mark.parametrize("header", [{"nonsense": True}, {"missing": ["a"]}, {"stopped": {}}, {}])
def test_no_header_breaks_the_judge(header):
    assert judged("magnitude_mask", 0, (header, [b""]))["plain"] == "0.0"


def test_a_forged_name_carries_nothing_into_a_sentence():
    forged = {**HONEST, "delegated": ["the case was 0.7431"], "outcomes": all_outcomes()}
    result = judged("magnitude_mask", SECRET, ({}, [encode(forged)]))
    assert "0.7431" not in json.dumps(result)
    assert "the course's own implementation" in result["messages"][0]
    forged = {**HONEST, "not_callable": "the case was 0.7431"}
    assert "0.7431" not in json.dumps(judged("magnitude_mask", SECRET, ({}, [encode(forged)])))
    missing = {"missing": "NameError: name 'case_07431' is not defined"}
    assert "07431" not in json.dumps(judged("magnitude_mask", SECRET, (missing, [b""])))


def test_the_honest_data_as_such_would_have_earned_everything():
    right = encode({**HONEST, "outcomes": all_outcomes()})
    assert judged("magnitude_mask", 0, ({}, [right]))["plain"] == "2.0"


# --- Cells ----------------------------------------------------------------------------------------


def test_cells_show_what_a_kernel_shows(beside):
    said = cells(
        beside,
        "import sys\nprint('out')\nprint('wrong', file=sys.stderr)\n1 + 1",
        "5;",
        "from IPython.display import HTML, display\n"
        "shown = display(HTML('<b>old</b>'), display_id=True)\n"
        "shown.update(HTML('<i>new</i>'))",
        "from IPython.display import clear_output\n"
        "print('first'); clear_output(); print('second'); clear_output(wait=True); print('third')",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "import asyncio\nawait asyncio.sleep(0)\n'awaited'",
        "!echo from a shell",
        "_ == 'awaited', __name__, Out[1]",
    )
    assert not any(header["failed"] for header in said)
    first, quiet, display, cleared, figure, awaited, shell, last = (h["outputs"] for h in said)
    assert first == [
        {"output_type": "stream", "name": "stdout", "text": "out\n"},
        {"output_type": "stream", "name": "stderr", "text": "wrong\n"},
        {"output_type": "execute_result", "data": {"text/plain": "2"}, "metadata": {},
         "execution_count": 1},
    ]  # fmt: skip
    assert quiet == []
    assert [output["data"]["text/html"] for output in display] == ["<i>new</i>"]
    assert [output["text"] for output in cleared] == ["third\n"]
    assert figure[0]["data"]["image/png"].startswith("iVBOR")
    assert awaited[0]["data"]["text/plain"] == "'awaited'"
    assert shell[0]["text"].strip() == "from a shell"
    assert last[0]["data"]["text/plain"] == "(True, '__main__', 2)"


FAILING = {
    "1/0": "ZeroDivisionError",
    "def f(:": "SyntaxError",
    "raise SystemExit(3)": "SystemExit",
    "exit()": "SystemExit",
    "import sys; sys.exit('bye')": "SystemExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "input('your name?')": "StdinNotImplementedError",
    "class E(BaseException):\n    def __str__(self): 1/0\nraise E": "E",
    "def f(): f()\nf()": "RecursionError",
    "del x_that_is_not": "NameError",
}


def test_no_failing_cell_ends_the_program(beside):
    said = cells(beside, *(source for each in FAILING for source in (each, "'next'")))
    for (source, name), failing, following in zip(
        FAILING.items(), said[::2], said[1::2], strict=True
    ):
        assert failing["failed"], source
        errors = [o["ename"] for o in failing["outputs"] if o["output_type"] == "error"]
        assert name in errors, source
        assert following["outputs"][-1]["data"]["text/plain"] == "'next'", source


def test_what_ipython_only_complains_of_has_failed_as_well(beside):
    (header,) = cells(beside, "%no_such_magic")
    assert header["failed"]
    assert "no_such_magic" in header["outputs"][0]["text"]


@pytest.mark.parametrize(
    "source",
    [
        "get_ipython().run_cell = None",
        "import builtins; builtins.compile = None",
        "import sys; sys.stdout = sys.stderr = None",
        "get_ipython().events.register('post_run_cell', lambda r: 1/0)",
    ],
)
def test_no_cell_that_breaks_its_shell_ends_the_program(source, beside):
    assert len(cells(beside, source, "'next'")) == 2


def test_a_child_that_a_cell_leaves_behind_says_nothing(beside):
    said = beside([{"cell": "import os\nchild = os.fork()"}, {"cell": "child > 0"}])
    assert len(said) == 2
    assert said[1][0]["outputs"][0]["data"]["text/plain"] == "True"


def test_an_interrupt_stops_the_step_and_the_next_one_runs(beside, tmp_path):
    steps = [
        {"cell": "print('begun')\nopen('first', 'w').close()\nwhile True: pass"},
        {"cell": "def slow(*case):\n    open('second', 'w').close()\n    while True: pass"},
        check("magnitude_mask", "slow"),
        {"cell": "1"},
    ]

    def interrupt(process):
        for begun in ("first", "second"):
            while process.poll() is None and not (tmp_path / begun).exists():
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)

    cell, _, (header, data), after = beside(steps, while_running=interrupt)
    assert cell[0]["failed"]
    assert [o.get("ename") or o["text"] for o in cell[0]["outputs"]] == [
        "begun\n",
        "KeyboardInterrupt",
    ]
    assert (header["stopped"], data) == ("interrupted", [b""])
    assert after[0]["outputs"][0]["data"]["text/plain"] == "1"


def test_what_one_cell_shows_is_limited_and_says_so(beside):
    printing, showing, many, whole = cells(
        beside,
        "for _ in range(3000): print('x' * 999)",
        "from IPython.display import HTML, display\nfor _ in range(20): display(HTML('y' * 10**6))",
        "for _ in range(20_000): display(1)",
        "print('z' * 10**6)",
    )
    for header in (printing, showing, many):
        assert not header["failed"]
        assert len(json.dumps(header)) < 14 * 2**20
        assert header["outputs"][-1]["text"] == "\nThe rest of what this cell shows was cut.\n"
    assert 10**6 < len(printing["outputs"][0]["text"]) <= 2**20
    assert len(showing["outputs"]) == 9 and len(many["outputs"]) < 10_000
    assert [len(output["text"]) for output in whole["outputs"]] == [10**6 + 1]


def test_many_cells_that_show_much_leave_room_for_the_verdicts(beside):
    showing = "from IPython.display import HTML, display\ndisplay(HTML('y' * 7 * 10**6))\n"
    said = cells(beside, *[showing] * 4, "'small'")
    assert sum(len(json.dumps(header)) for header in said) < 17 * 2**20
    assert ["data" in header["outputs"][0] for header in said] == [True, True, False, False, True]
    assert "was cut" in said[2]["outputs"][0]["text"]


def test_outputs_can_be_written_to_a_file_whatever_they_are(beside):
    (header,) = cells(
        beside,
        "print('half \\ud800 a character')\n"
        "from IPython.display import display\n"
        "display({'text/plain': b'bytes', 'odd': {1: {2, 3}}, 'nan': float('nan')}, raw=True)",
    )
    assert "half ? a character" in header["outputs"][0]["text"]
    json.dumps(header, ensure_ascii=False).encode()


def test_a_file_beside_the_notebook_can_be_imported_as_in_a_kernel(beside, tmp_path):
    (tmp_path / "my_helpers.py").write_text("SEVEN = 7", encoding="utf-8")
    said = cells(
        beside, "from my_helpers import SEVEN\nSEVEN", "%%writefile other.py\nEIGHT = 8",
        "import other\nother.EIGHT",
    )  # fmt: skip
    assert [not header["failed"] for header in said] == [True] * 3
    assert said[0]["outputs"][-1]["data"]["text/plain"] == "7"
    assert said[2]["outputs"][-1]["data"]["text/plain"] == "8"


def test_a_cell_that_looks_into_what_check_gives_finds_something(beside):
    cell = """
from course_utils.study import check
report = check("magnitude_mask", print)
print(report.status, report.points, len(report.messages))
report
"""
    (header,) = cells(beside, cell)
    assert not header["failed"]
    assert header["outputs"][0]["text"] == "not attempted 0.0 0\n"
    assert "is judged when" in header["outputs"][1]["data"]["text/plain"]


def test_what_is_taken_out_costs_its_own_statement_only(beside):
    cell = """
from course_utils import models
from course_utils.pruning import importance, masks
scores = importance.magnitude(models.load("cnn"))
def helper():
    return 7
helper()
"""
    (header,) = cells(beside, cell)
    assert not header["failed"]
    assert "Left out while grading: magnitude already" in header["outputs"][0]["text"]
    assert header["outputs"][1]["data"]["text/plain"] == "7"


def test_what_an_answer_shows_is_not_kept(beside):
    cell = """
import matplotlib.pyplot as plt
def shows(weight, sparsity):
    print(weight)
    display(weight)
    plt.plot(weight.flatten())
    return weight
"""
    said = beside([{"cell": cell}, check("magnitude_mask", "shows", SECRET), {"cell": "1"}])
    assert "outputs" not in said[1][0]
    assert [output["data"] for output in said[2][0]["outputs"]] == [{"text/plain": "1"}]
