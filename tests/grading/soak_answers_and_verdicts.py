"""Every right and wrong answer of the banks, judged in the notebook's way and in the grader's:
`make soak`. `test_answers_and_verdicts` tries one in a few.
"""

import pytest
from test_answers_and_verdicts import (
    LESSONS,
    beside,  # noqa: F401 (fixtures)
    judge_in_both_places,
    one_reference_run,  # noqa: F401
    packages,  # noqa: F401
)


@pytest.mark.parametrize("lesson", LESSONS)
def test_every_answer_of_the_banks_is_judged_alike_in_both_places(
    lesson,
    beside,  # noqa: F811
    one_reference_run,  # noqa: F811
):
    judge_in_both_places(lesson, beside, one_in=1)
