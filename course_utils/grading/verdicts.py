"""Judges what was observed of an answer, where no student's code ever runs.

This is the program of the sandbox that knows the cases, the references and the class's seed. It
reads what strangers wrote, so it has walls and limits too, and whatever it reads costs nobody but
its author.

A student reads sentences about the cases that the notebook shows, never about the secret ones.
"""

import math
import re

from course_utils.exercises import every, find
from course_utils.exercises.delegation import GUARDED, functions_of
from course_utils.exercises.engine import (
    Exercise,
    Observed,
    Outcome,
    Result,
    draw,
    guarded,
    verdict,
)
from course_utils.exercises.plain import decode, encode_cases
from course_utils.grading.frames import VISIBLE, pack, unpack
from course_utils.study.panels import clean, panel

# Imported once, before a process is forked for each job.
every()
functions_of(GUARDED)


_drawn: dict[tuple, dict] = {}  # the cases, by exercise and seed


def prepare(what: bytes) -> None:
    """Draw the class's cases, and what learners see, and work out what the references make of
    them: before a process is forked for each job, so that none has to do it again."""
    header, _ = unpack(what)
    for name in header["exercises"]:
        exercise = find(name)
        for seed in {header["seed"], VISIBLE}:
            _drawn[name, seed] = draw(exercise, seed)
        _remember_what_is_wanted(exercise)


def _remember_what_is_wanted(exercise: Exercise) -> None:
    drawn = (_drawn[name, seed] for name, seed in _drawn if name == exercise.name)
    cases = [case for groups in drawn for group in groups.values() for case in group]
    known = {id(case): exercise.wanted(case) for case in cases}
    work_out = exercise.wanted
    exercise.wanted = lambda case: known[id(case)] if id(case) in known else work_out(case)


def _cases(exercise: Exercise, seed: str) -> dict[str, list[tuple]]:
    return _drawn.get((exercise.name, seed)) or draw(exercise, seed)


def run(job: bytes, say) -> None:
    """Each step asks for an exercise's cases, or for a verdict, and is answered by one part."""
    header, blobs = unpack(job)
    blobs = iter(blobs)
    for number, step in enumerate(header["steps"]):
        say.step(number)
        mine = [next(blobs) for _ in range(step["blobs"])]
        if "cases" in step:
            say(pack({"step": number}, [encode_cases(_cases(find(step["cases"]), step["seed"]))]))
        else:
            say(pack({"step": number, **_judged(step, mine)}))


def _judged(step: dict, blobs: list[bytes]) -> dict:
    exercise = find(step["verdict"])
    result, about_a_case = _result(exercise, step["seed"], step["observed"], blobs[:1])
    messages = result.messages
    if about_a_case:
        shown = None
        if "visible" in step:
            shown, _ = _result(exercise, VISIBLE, step["visible"], blobs[1:])
        messages = _about_what_is_visible(result, shown)
    score = min(max(result.score, 0.0), 1.0) if math.isfinite(result.score) else 0.0
    worth = step["worth"]
    points = min(round(worth * score, 2), worth)
    return {
        "status": result.status,
        "score": score,
        "points": points,
        "of": worth,
        "messages": messages,
        "groups": result.groups,
        "unclear": about_a_case and "visible" not in step,
        "plain": str(points),
        "html": _panel(result, messages, points, worth).html,
    }


def _result(exercise: Exercise, seed, seen: dict, blobs: list[bytes]) -> tuple[Result, bool]:
    """The verdict, and whether its sentences are about one of the cases."""
    if seen.get("missing"):
        return _worthless(exercise, _missing(exercise, seen["missing"])), False
    if seen.get("stopped"):
        return _worthless(exercise, _STOPPED.get(str(seen["stopped"]), _STOPPED["ended"])), False
    try:
        observed = _read(exercise, blobs[0])
    except Exception:
        return _worthless(exercise, "What came back from your answer could not be read."), False
    groups = _cases(exercise, seed)
    try:
        result = verdict(exercise, groups, observed)
    except Exception:
        return _worthless(exercise, "What came back from your answer could not be judged."), False
    if result.status == "incorrect" and not observed.not_callable and not observed.delegated:
        return result, True
    return result, False


_STOPPED = {
    "interrupted": "Your answer did not finish in time and was stopped.",
    "ended": "Your answer ended the check before it was over.",
}


def _worthless(exercise: Exercise, message: str) -> Result:
    return Result(exercise.name, "incorrect", 0.0, [message], {})


def _missing(exercise: Exercise, error) -> str:
    references = exercise.reference
    references = references if isinstance(references, tuple) else (references,)
    own = {exercise.name, *(part.__name__ for part in references)}
    name = re.fullmatch(r"NameError: name '(\w+)' is not defined", str(error))
    what = f"`{name[1]}`" if name and name[1] in own else "What is to be checked"
    return f"{what} is not defined: its cell is missing, or stops with an error before it."


# --- Reading what a stranger wrote ----------------------------------------------------------------
# A sentence takes nothing from it that could carry a secret case: only names that are known here.


def _read(exercise: Exercise, data: bytes) -> Observed:
    """Exactly the form that is expected, or an exception."""
    seen = decode(data)
    called = [_known(exercise, name) for name in seen["delegated"]]
    kind = str(seen["not_callable"])
    if kind and kind not in _KINDS:
        kind = "something else"
    outcomes = {
        group: [_outcome(each) for each in seen["outcomes"][group]] for group in seen["outcomes"]
    }
    return Observed(seen["untouched"] is True, kind, called, outcomes)


_KINDS = {kind.__name__ for kind in (type(None), bool, int, float, str, list, tuple, dict, set)}
_KINDS |= {"Tensor", "Parameter", "ndarray", "Linear", "Conv2d", "Sequential", "ellipsis"}


def _known(exercise: Exercise, name) -> str:
    known = {getattr(function, "__name__", None) for function in guarded(exercise)}
    return name if isinstance(name, str) and name in known else "implementation"


def _outcome(seen: dict) -> Outcome:
    outcome = Outcome(**seen)
    if not isinstance(outcome.inputs, list):
        raise ValueError("the inputs are no list")
    if outcome.error is None:
        return outcome
    types, text, line, stub = (outcome.error[part] for part in ("types", "text", "line", "stub"))
    if not types or not all(isinstance(part, str) for part in [*types, text, line]):
        raise ValueError("an error without a name")
    said = {"types": [clean(name)[:100] for name in types], "text": text[:300], "line": line[:200]}
    return outcome._replace(error={**said, "stub": stub is True})


# --- What a student reads -------------------------------------------------------------------------


def _about_what_is_visible(result: Result, shown: Result | None) -> list[str]:
    """What is wrong with the notebook's own cases; if nothing is, which kind of case it is."""
    if shown is not None and shown.status == "incorrect":
        return [clean(message)[:2000] for message in shown.messages]
    wrong = ", ".join(group for group, passed in result.groups.items() if not passed)
    if shown is not None and shown.status == "correct":
        return [
            f"The notebook's own cases are right, and others of the same kind are not ({wrong}). "
            "The grader draws values of its own: look for what only fits those in the notebook."
        ]
    return [f"Not right yet: {wrong}. The check in your notebook says more."]


def _panel(result: Result, messages: list[str], points: float, worth: float):
    scored = f"{points:g} of {worth:g} points"
    if result.status == "correct":
        return panel(f"✓ {result.name}: correct, {scored}", mood="good")
    if result.status == "not attempted":
        return panel(f"○ {result.name}: not attempted, {scored}")
    lines = messages[:1]  # one thing at a time
    if result.groups:
        marks = [f"{'✓' if passed else '✗'} {group}" for group, passed in result.groups.items()]
        lines.append(" · ".join(marks))
    return panel(f"✗ {result.name}: not right, {scored}", lines, mood="bad")
