"""Each class meets cases of its own, drawn by a secret seed: no such draw may let a wrong answer
pass or a right one fail. As many new seeds as there is time for, at each exercise.

`make soak` runs this; a failure names the seed.
"""

import secrets
import time
from itertools import count

import pytest
from bank import RIGHT, WRONG
from test_answers import NAMES

from course_utils.exercises import grade

PATIENCE = 10  # seconds that an exercise may take before the last seed begins
RUN = secrets.token_hex(4)


@pytest.mark.parametrize("name", NAMES)
def test_no_seed_lets_a_wrong_answer_pass_or_a_right_one_fail(name):
    answers = [(answer, "incorrect") for answer, _ in WRONG[name]]
    answers += [(answer, "correct") for answer in RIGHT[name]]
    end = time.monotonic() + PATIENCE
    for number in count():
        seed = f"{RUN}-{number}"
        for answer, verdict in answers:
            assert grade(name, answer, seed).status == verdict, (answer.__name__, seed)
        if time.monotonic() > end:
            return
