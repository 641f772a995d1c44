"""The exercises: what each asks, which cases try it, and what counts as right.

One module a lesson holds its exercises (`lesson00`, `lesson01`, ...); `engine` runs and judges
them. `grade("keep_largest", my_function)` is the whole of it.
"""

import importlib
import pkgutil
from difflib import get_close_matches
from functools import cache

from course_utils.exercises.engine import Exercise, Result
from course_utils.exercises.engine import grade as _grade

__all__ = ["Exercise", "Result", "UnknownExercise", "every", "find", "grade", "names"]


class UnknownExercise(ValueError):
    """No exercise has that name."""


@cache
def every() -> dict[str, Exercise]:
    """All exercises by name, in the order of the lessons."""
    found = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        if module.startswith("lesson"):
            of_lesson = getattr(importlib.import_module(f"{__name__}.{module}"), "EXERCISES", None)
            if of_lesson is None:
                place = f"course_utils/exercises/{module}.py"
                raise ValueError(f"{place} has no EXERCISES: end it with a list of them.")
            for exercise in of_lesson:
                if exercise.name in found:
                    two = f"lessons {found[exercise.name].lesson} and {exercise.lesson}"
                    raise ValueError(f"There are two exercises {exercise.name!r}, in {two}.")
                found[exercise.name] = exercise
    return found


def names() -> list[str]:
    return list(every())


def find(name: str) -> Exercise:
    try:
        return every()[name]
    except KeyError:
        near = get_close_matches(str(name), names(), 1)
        others = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names())}."
        raise UnknownExercise(f"There is no exercise named {name!r}. {others}") from None


def grade(name: str, answer, seed=0) -> Result:
    """Judge one answer: status, score between 0 and 1, and messages that say what is wrong.

    `seed` chooses the cases: a notebook uses 0, a grader its own secret.
    """
    return _grade(find(name), answer, seed)
