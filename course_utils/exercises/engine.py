"""Runs an answer on an exercise's cases and judges what comes back.

The two halves are separate on purpose. `observe_all` runs beside the learner's code and returns
nothing but plain data; `verdict` looks at that data and never at the learner's objects, so it can
sit in another process. In a notebook both run in one.
"""

import dis
import functools
import hashlib
import inspect
import io
import linecache
import threading
import warnings
from collections.abc import Callable
from contextlib import contextmanager, redirect_stderr
from types import CodeType, FunctionType
from typing import NamedTuple

import numpy
import torch
from torch import nn

from course_utils.exercises.compare import identical, show
from course_utils.exercises.delegation import GUARDED, forbidden, function_named, functions_of
from course_utils.exercises.networks import build, is_network, state
from course_utils.exercises.plain import Withheld, decode, encode, laid_out

# What a check changes for its time (stderr, torch's defaults, who may be called) is the process's.
_one_at_a_time = threading.RLock()


class Exercise:
    """One exercise. A subclass fills in the fields and writes `cases`, `verify`, `reference`."""

    name: str
    lesson: str
    signature: str
    points: float = 1
    minutes: int = 5
    difficulty: int = 1  # 1 to 5
    importance: int = 3  # 1 to 5
    hints: tuple[str, ...] = ()
    forbids: tuple[str, ...] = ()  # functions that would do the work, besides course_utils.pruning
    in_place = False  # whether the answer is asked to change its inputs
    delegates = False  # whether it may call course_utils.pruning and earlier exercises' solutions

    def cases(self, rng: numpy.random.Generator) -> dict[str, list[tuple]]:
        """Groups of plain inputs, the ordinary ones first: an answer that fails those has no
        points; after that every group counts the same. What is `Withheld` only `verify` sees."""
        raise NotImplementedError

    def call(self, inputs: tuple, answer: Callable):
        """Call the answer and boil its result down to plain data."""
        return answer(*inputs)

    def verify(self, case: tuple, data: "Outcome") -> "str | Partly | None":
        """Nothing, or one sentence about what is wrong and the likely misconception; with
        `Partly` the sentence costs only a part of the points."""
        raise NotImplementedError

    @staticmethod
    def reference(*inputs):
        raise NotImplementedError

    def shown(self, case: tuple) -> str:
        """The call, as a sentence about it begins."""
        return f"{self.name}({', '.join(show(value) for value in case)})"

    def wanted(self, case: tuple) -> "Outcome":
        """What the reference leaves behind on a case, by the way an answer's result takes."""
        return observe(self, case, self.reference)

    def expected(self, case: tuple):
        return self.wanted(case).returned

    def refused(self, function: str) -> str:
        """What an answer hears that called a function it may not call."""
        return (
            f"Your answer calls the course's own {function}, which already does what is asked "
            "here. Delegated work earns no points: write it yourself."
        )


class Outcome(NamedTuple):
    """What one call left behind, as plain data."""

    returned: object
    inputs: list  # as they were afterwards
    error: dict | None  # what it raised


class Partly(NamedTuple):
    """Not right, and yet worth something."""

    share: float  # of the points, from 0 to less than 1
    sentence: str


class Result(NamedTuple):
    """The verdict on an answer."""

    name: str
    status: str  # "not attempted", "incorrect" or "correct"
    score: float  # 0 to 1
    messages: list[str]
    groups: dict[str, bool]  # which groups of cases passed


class Observed(NamedTuple):
    """All that a verdict needs to know of an answer, as plain data."""

    untouched: bool
    not_callable: str  # the name of its type; "" for what can be called
    delegated: list[str]  # the functions it called and may not call
    outcomes: dict[str, list[Outcome]]  # for each group of cases


def grade(exercise: Exercise, answer, seed=0) -> Result:
    with _one_at_a_time:
        groups = draw(exercise, seed)
        return verdict(exercise, groups, observe_all(exercise, groups, answer))


def draw(exercise: Exercise, seed) -> dict[str, list[tuple]]:
    """The cases of a seed, always the same ones."""
    with _undisturbed():
        return exercise.cases(_rng(exercise.name, seed))


def observe_all(exercise: Exercise, groups: dict, answer) -> Observed:
    """Run an answer on all cases."""
    with _undisturbed():
        if is_untouched(answer):
            return Observed(True, "", [], {})
        if not _is_callable(answer):
            return Observed(False, type(answer).__name__, [], {})
        with forbidden(guarded(exercise)) as delegated:
            outcomes = {
                group: [observe(exercise, case, answer) for case in cases]
                for group, cases in groups.items()
            }
            return Observed(False, "", list(delegated), outcomes)


def verdict(exercise: Exercise, groups: dict, observed: Observed) -> Result:
    """Judge an answer by what was observed; runs nothing of the learner's."""
    with _undisturbed():
        if observed.untouched:
            return _not_attempted(exercise)
        if observed.not_callable:
            wants = f"{exercise.name} must be given as a function, and this is"
            message = f"{wants} {observed.not_callable}."
            return Result(exercise.name, "incorrect", 0.0, [message], {})
        everything = [outcome for group in observed.outcomes.values() for outcome in group]
        if all(outcome.error and outcome.error["stub"] for outcome in everything):
            return _not_attempted(exercise)
        if observed.delegated:
            message = exercise.refused(observed.delegated[0])
            return Result(exercise.name, "incorrect", 0.0, [message], dict.fromkeys(groups, False))
        return judge(exercise, groups, observed.outcomes)


def judge(exercise: Exercise, groups: dict, outcomes: dict) -> Result:
    """Turn observed outcomes into a verdict; runs nothing of the learner's."""
    messages, shares, passed = [], {}, {}
    for group, cases in groups.items():
        shares[group], sentence = _group(exercise, cases, outcomes[group])
        passed[group] = not sentence
        if sentence:
            messages.append(sentence)
    ordinary = next(iter(groups))
    score = sum(shares.values()) / len(shares) if shares[ordinary] else 0.0
    status = "incorrect" if messages else "correct"
    return Result(exercise.name, status, score, messages, passed)


def _group(exercise: Exercise, cases: list, outcomes: list) -> Partly:
    """A group is worth what its worst case is; the sentence is about the first that is not right,
    and behind one that is worth nothing none is looked at."""
    share, first = 1.0, ""
    for case, outcome in zip(cases, outcomes, strict=True):
        problem = _problem(exercise, case, outcome)
        if problem:
            worth, sentence = problem if isinstance(problem, Partly) else Partly(0.0, problem)
            share = min(share, worth)
            first = first or f"{exercise.shown(case)}: {sentence}"
        if not share:
            break
    return Partly(share, first)


def _problem(exercise: Exercise, case: tuple, outcome: Outcome) -> str | Partly | None:
    """What is wrong with one outcome: first what holds for all exercises, then its own check."""
    wanted = exercise.wanted(case)
    if wanted.error and not outcome.error:
        if "ValueError" in wanted.error["types"]:
            return f"this has no meaning and should raise ValueError ({wanted.error['text']})"
        return f"this hides an error that it should let through ({wanted.error['text']})."
    if wanted.error and "ValueError" in wanted.error["types"]:
        if "ValueError" not in outcome.error["types"]:
            raised = outcome.error["types"][0]
            return f"this raised {raised}, where a ValueError with a sentence is asked for."
        if not outcome.error["text"]:
            return "the ValueError is right; give it a sentence that says what is wrong."
    elif wanted.error and wanted.error["types"][0] != outcome.error["types"][0]:
        raised = outcome.error["types"][0]
        return f"this raised {raised} instead of letting through: {wanted.error['text']}"
    elif outcome.error and not wanted.error:
        if outcome.error["stub"]:
            return "this meets a part that is not written yet (NotImplementedError)."
        place = f" ({outcome.error['line']})" if outcome.error["line"] else ""
        return f"this raised {outcome.error['types'][0]}: {outcome.error['text']}{place}"
    if not exercise.in_place:
        for before, after in zip(plain_inputs(case), outcome.inputs, strict=True):
            if not identical(before, after):
                return _what_changed(before, after)
    return None if wanted.error else exercise.verify(case, outcome)


def _what_changed(before, after) -> str:
    if isinstance(before, dict):
        for part in before:
            if not identical(before[part], after.get(part)):
                why = " In training mode BatchNorm updates them." if part == "buffers" else ""
                return f"after the call its {part} are not what they were.{why}"
    return "the call changed its input. Work on a copy: the caller still needs the original."


def observe(exercise: Exercise, case: tuple, answer: Callable) -> Outcome:
    """Run an answer on one case; what comes out is plain data, whatever happens inside."""
    inputs = materialise(case)
    returned = error = None
    with _undisturbed():
        try:
            returned = exercise.call(tuple(inputs), answer)
        except (Exception, SystemExit) as raised:
            error = _describe(raised, answer)
        try:
            seen = {"returned": returned, "inputs": _plain(inputs), "error": error}
            return Outcome(**decode(encode(seen)))
        except Exception:
            text = "what came back cannot be read"
            error = {"types": ["TypeError"], "text": text, "line": "", "stub": False}
            return Outcome(None, plain_inputs(case), error)


def materialise(value):
    """Fresh inputs: tensors copied, described networks built, nothing of what is withheld."""
    if isinstance(value, Withheld):
        return None
    if is_network(value):
        return build(value)
    if isinstance(value, torch.Tensor):
        return laid_out(value, value.stride())  # `clone` would lay a transposed tensor out anew
    if isinstance(value, list | tuple):
        return type(value)(materialise(item) for item in value)
    if isinstance(value, dict):
        return {key: materialise(item) for key, item in value.items()}
    return value


def plain_inputs(case: tuple) -> list:
    """What a case's inputs look like to an answer that changes nothing."""
    return decode(encode(_plain(materialise(case))))


def _plain(value):
    if isinstance(value, nn.Module):
        return state(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


@contextmanager
def _undisturbed():
    """Keep stderr and warnings to ourselves (nbgrader gives a graded cell that writes there no
    points), run under torch's defaults whatever the notebook has set, and put them back."""
    gradients, dtype = torch.is_grad_enabled(), torch.get_default_dtype()
    device = torch.get_default_device()
    with (
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
        redirect_stderr(io.StringIO()),
        torch.inference_mode(False),
    ):
        warnings.simplefilter("ignore")
        torch.default_generator.manual_seed(0)
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        if device.type != "cpu":
            torch.set_default_device("cpu")
        try:
            yield
        finally:
            torch.set_grad_enabled(gradients)
            torch.set_default_dtype(dtype)
            if device != torch.get_default_device():
                torch.set_default_device(device)


def _describe(error: Exception, answer) -> dict:
    last = error.__traceback__
    while last.tb_next:
        last = last.tb_next
    code = last.tb_frame.f_code
    by_raise = code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    stub = isinstance(error, NotImplementedError) and by_raise and code in _codes(answer)
    types = [kind.__name__ for kind in type(error).__mro__]
    try:
        text = str(error)[:300]
    except Exception:
        text = ""
    return {"types": types, "text": text, "line": line_of(error, answer), "stub": stub}


def line_of(error: BaseException, answer) -> str:
    """The last line of the answer, or of what it calls in the same notebook, that was running."""
    notebooks = [getattr(function, "__globals__", None) for function in _functions(answer)]
    line, trace = "", error.__traceback__
    while trace:
        frame, number = trace.tb_frame, trace.tb_lineno
        if any(frame.f_globals is each for each in notebooks):
            code = linecache.getline(frame.f_code.co_filename, number).strip()
            line = f"line {number}: `{code[:120]}`" if code else ""
        trace = trace.tb_next
    return line


def is_untouched(answer) -> bool:
    """Whether nothing was written: a body that holds no more than a docstring."""
    codes = _codes(answer)
    return bool(codes) and all(_does_nothing(code) for code in codes)


def _codes(answer) -> list[CodeType]:
    return [function.__code__ for function in _functions(answer)]


def _functions(answer) -> list:
    """What an answer consists of: a function, the methods of a class, or a tuple of either."""
    if isinstance(answer, tuple):
        return [function for part in answer for function in _functions(part)]
    if isinstance(answer, type):
        methods = [part for part in vars(answer).values() if isinstance(part, FunctionType)]
        return [function for method in methods for function in _functions(method)]
    if isinstance(answer, functools.partial):
        return _functions(answer.func)
    function = inspect.unwrap(answer) if callable(answer) else answer
    if callable(function) and not hasattr(function, "__code__"):
        function = type(function).__call__
    return [function] if isinstance(getattr(function, "__code__", None), CodeType) else []


def _does_nothing(code) -> bool:
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("RESUME", "NOP")]
    names = {step.opname for step in steps}
    return names <= {"LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"} and all(
        step.argval is None for step in steps
    )


def _is_callable(answer) -> bool:
    return all(map(callable, answer)) if isinstance(answer, tuple) else callable(answer)


def _not_attempted(exercise: Exercise) -> Result:
    message = f"{exercise.name} is not written yet."
    return Result(exercise.name, "not attempted", 0.0, [message], {})


def guarded(exercise: Exercise) -> list[Callable]:
    """What an answer to this exercise may not call."""
    from course_utils.exercises import every

    named = [function_named(path) for path in exercise.forbids]
    if exercise.delegates:
        return [*named, *_functions(exercise.reference)]
    references = [part for other in every().values() for part in _functions(other.reference)]
    return [*functions_of(GUARDED), *named, *references]


def _rng(name: str, seed) -> numpy.random.Generator:
    """Cases depend on the seed and the exercise, so one exercise's tell nothing about another's."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return numpy.random.default_rng(int.from_bytes(digest, "little"))
