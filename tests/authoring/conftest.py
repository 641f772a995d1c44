"""A course of one throw-away lesson in a folder of its own."""

from textwrap import dedent

import pytest

from course_utils import exercises

LESSON = '''\
# %% [markdown]
# # 07 A lesson
#
# Some words.

# %%
import os


class ClaimFailed(AssertionError):
    pass


def check(name, answer):
    print(name, answer(3))


def claim(name, measure):
    for seed in os.environ.get("PRUNING_COURSE_CLAIM_SEEDS", "0").split(","):
        if measure(int(seed)) > 100:
            raise ClaimFailed(f"The claim {name!r} does not hold for {seed}.")

# %% exercise="double"
def double(x):
    """Twice x."""
    ### BEGIN SOLUTION
    twice = x + x
    return twice
    ### END SOLUTION


# %% check="double"
check("double", double)

# %% [markdown] written="why" points=2
# Why is that twice?
#
# <!-- BEGIN SOLUTION -->
# Because adding is counting on.
# <!-- END SOLUTION -->

# %% varies claim="it_doubles"
claim("it_doubles", double)

# %% demo
import random

print(random.random())

# %% final
def final_test():
    return 1

final_test()
'''


class Double(exercises.Exercise):
    name = "double"
    lesson = "07"
    points = 3


@pytest.fixture
def known(monkeypatch):
    """The only exercise there is: `double`, of lesson 07, 3 points."""

    def find(name):
        if name != "double":
            raise exercises.UnknownExercise(f"There is no exercise named {name!r}.")
        return Double()

    monkeypatch.setattr(exercises, "find", find)


@pytest.fixture
def course(tmp_path, known):
    """A function that writes a lesson's source (the one above by default) and returns its path."""
    (tmp_path / "solutions").mkdir()
    (tmp_path / "notebooks").mkdir()

    def write(text=LESSON, name="07_doubling.py"):
        path = tmp_path / "solutions" / name
        path.write_text(dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def source():
    return LESSON
