"""Claims: a sentence with figures that had to hold on several seeds before it was shown."""

import io
import os
from collections.abc import Callable
from contextlib import redirect_stdout

import numpy

from course_utils.study.panels import Panel, panel

SEEDS = (0, 1, 2, 3, 4)


class ClaimFailed(AssertionError):
    """The figures do not bear out what a lesson says."""


def claim(name: str, measure: Callable, holds: Callable, says: Callable) -> Panel:
    """Run `measure(seed)`, which returns figures by name, over the seeds. `holds` and `says` take
    them as arrays, one entry a seed: whether the claim stands, and the sentence that states it.

    The tests run every claim again on seeds of their own, through PRUNING_COURSE_CLAIM_SEEDS.
    """
    chosen = os.environ.get("PRUNING_COURSE_CLAIM_SEEDS")
    seeds = [int(seed) for seed in chosen.split(",")] if chosen else SEEDS
    with redirect_stdout(io.StringIO()):  # training inside a claim shows no progress bars
        measured = [measure(seed) for seed in seeds]
    figures = {key: numpy.array([each[key] for each in measured]) for key in measured[0]}
    if not holds(**figures):
        raise ClaimFailed(f"The claim {name!r} does not hold on seeds {list(seeds)}: {figures}")
    return panel(f"Over {len(seeds)} seeds", [says(**figures)], mood="good")
