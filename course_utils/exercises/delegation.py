"""Makes the course's own implementations refuse to work while a learner's answer runs.

The reference sits in the package that learners import. Calling it would be quick, and would teach
nothing; so during a check each of these functions raises `Delegated`. Their code objects are
swapped, not their names, so a name bound earlier refuses as well. Copied source text is not
detected.
"""

import importlib
import pkgutil
import sys
from contextlib import contextmanager
from functools import cache
from types import FunctionType

GUARDED = "course_utils.pruning"


class Delegated(Exception):
    """An answer called the implementation it was asked to write."""


def _refuse(*args, **kwargs):
    from course_utils.exercises.delegation import refuse

    refuse()


_calls: list[str] = []


def refuse():
    """Note which function was called, then stop it. Only `_refuse`, in disguise, calls this."""
    function = sys._getframe(1).f_code.co_name
    _calls.append(function)
    raise Delegated(f"{function} already does this exercise")


@contextmanager
def forbidden(functions):
    """Within this block the functions raise `Delegated`; yields the list of those called."""
    bodies = {}
    for function in functions:
        while hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        if isinstance(function, FunctionType) and not function.__code__.co_freevars:
            bodies[function] = function.__code__
    _calls.clear()
    try:
        for function, code in bodies.items():
            function.__code__ = _refuse.__code__.replace(co_name=code.co_name)
        yield _calls
    finally:
        for function, code in bodies.items():
            function.__code__ = code


def function_named(path: str):
    """The function behind a dotted name, such as "course_utils.measure.sparsity"."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@cache
def functions_of(package: str) -> list[FunctionType]:
    """The functions that a module, or every module of a package, defines; those that it keeps to
    itself as well, which do much of the work."""
    try:
        root = importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        return []
    modules = [root]
    for module in pkgutil.iter_modules(getattr(root, "__path__", ())):
        modules.append(importlib.import_module(f"{package}.{module.name}"))
    return [
        value
        for module in modules
        for value in vars(module).values()
        if callable(value) and getattr(value, "__module__", None) == module.__name__
    ]
