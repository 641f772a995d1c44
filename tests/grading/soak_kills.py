"""Kills at many more moments: `make soak`. Its tests are those of `test_kills`."""

from test_kills import *  # noqa: F403 (its tests and fixtures)
from test_kills import adopts_orphans, pytest_generate_tests  # noqa: F401

ROUNDS = 20
