"""The docstrings of `course_utils.pruning`: their examples run, every public function has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest
import torch
from torch import nn

import course_utils.pruning

MODULES = [
    importlib.import_module(f"course_utils.pruning.{found.name}")
    for found in pkgutil.iter_modules(course_utils.pruning.__path__)
]
FUNCTIONS = [
    (module, function)
    for module in MODULES
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_of_a_module_run(module):
    torch.manual_seed(0)
    found = doctest.testmod(module, extraglobs={"torch": torch, "nn": nn})
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("module, function", FUNCTIONS, ids=lambda it: it.__name__)
def test_every_public_function_shows_an_example_of_at_most_five_lines(module, function):
    examples = doctest.DocTestParser().get_examples(function.__doc__ or "")
    assert 1 <= len(examples) <= 5
