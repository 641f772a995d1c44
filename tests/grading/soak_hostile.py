"""The whole hostile class, with what takes long, graded by every user that there is:
`make soak`. Its tests are those of `test_hostile`.
"""

from hostile import HONEST_STUDENTS, HOSTILE
from test_hostile import *  # noqa: F403 (its tests and fixtures)
from test_hostile import BATCHES as USUAL
from test_hostile import pytest_generate_tests  # noqa: F401

BATCHES = {user: [*HONEST_STUDENTS, *HOSTILE] for user in USUAL}
