"""The exercises: what each asks, which cases try it, and what counts as right.

One module a lesson holds its exercises (`lesson00`, `lesson01`, ...); `engine` runs and judges
them. `grade("keep_largest", my_function)` is the whole of it.
"""

import importlib
import pkgutil
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
            for exercise in importlib.import_module(f"{__name__}.{module}").EXERCISES:
                found[exercise.name] = exercise
    return found


def names() -> list[str]:
    return list(every())


def find(name: str) -> Exercise:
    try:
        return every()[name]
    except KeyError:
        known = ", ".join(names())
        raise UnknownExercise(f"There is no exercise named {name!r}. There are: {known}.") from None


def grade(name: str, answer, seed=0) -> Result:
    """Judge one answer: status, score between 0 and 1, and messages that say what is wrong.

    `seed` chooses the cases: a notebook uses 0, a grader its own secret.
    """
    return _grade(find(name), answer, seed)
