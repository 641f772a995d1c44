"""The answers that grade the graders: wrong ones that learners give, right ones written in
different ways. A wrong answer names the phrase by which its message is recognised."""

from collections import defaultdict
from collections.abc import Callable

WRONG: dict[str, list[tuple[Callable, str]]] = defaultdict(list)
RIGHT: dict[str, list[Callable]] = defaultdict(list)


def wrong(exercise: str, phrase: str):
    def keep(answer):
        WRONG[exercise].append((answer, phrase))
        return answer

    return keep


def right(exercise: str):
    def keep(answer):
        RIGHT[exercise].append(answer)
        return answer

    return keep
