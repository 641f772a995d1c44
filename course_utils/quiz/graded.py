"""What a graded quiz agrees on with its grader: how an answer is written down, and how it is read.

Nothing here knows a key. The student's side turns what was typed into plain data; the grader,
elsewhere, turns that into the form in which `judge` takes it.
"""

import re
import string

from course_utils.quiz.bank import CHOICES, Item
from course_utils.quiz.judge import BadAnswer, number

ANSWERS = "application/vnd.pruning-course.answers+json"
_SALT = "graded"  # a graded quiz shows its options in one order, which the grader knows too


def options(item: Item) -> dict[str, str]:
    """The options by letter."""
    texts = (item.options[index] for index in item.shown(_SALT))
    return dict(zip(string.ascii_lowercase, texts, strict=False))


def form(item: Item) -> str:
    """What an answer to it looks like: "one of abc", "some of abcd", "number" or "2 texts"."""
    if item.type in CHOICES:
        return f"{'some' if item.type == 'multi' else 'one'} of {''.join(options(item))}"
    if item.type == "cloze":
        return f"{len(item.answer)} text{'s' * (len(item.answer) > 1)}"
    return {"numeric": "number", "predict": "1 text"}[item.type]


def readable(answer, form: str) -> str | float | list[str]:
    """The answer as plain data. BadAnswer, with a sentence, if nobody could read it."""
    if answer is ... or answer is None:
        raise BadAnswer("there is no answer yet.")
    if form == "number":
        number(answer)
        return answer if isinstance(answer, str) else float(answer)
    if " of " in form:
        how, _, admitted = form.partition(" of ")
        return _letters(answer, admitted, several=how == "some")
    count = int(form.split()[0])
    texts = [answer] if isinstance(answer, str) else answer
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise BadAnswer("write text in quotes.")
    if len(texts) != count:
        raise BadAnswer(f"there are {count} blanks: write a list of {count} texts.")
    return list(texts)


def answer(item: Item, given):
    """What `judge` takes, from what was handed in. BadAnswer if it was tampered with."""
    if item.type not in CHOICES:
        given = readable(given, form(item))
        return given[0] if item.type == "predict" else given
    letters = readable(given, form(item))
    order = item.shown(_SALT)
    chosen = [order[string.ascii_lowercase.index(letter)] for letter in letters]
    return chosen if item.type == "multi" else chosen[0]


def _letters(answer, admitted: str, several: bool) -> str:
    letters = "".join(map(str, answer)) if isinstance(answer, list | tuple) else str(answer)
    letters = "".join(sorted(set(re.sub(r"[\s,;)]", "", letters).lower())))
    if not letters or not set(letters) <= set(admitted) or (len(letters) > 1 and not several):
        how = "one or more" if several else "one"
        raise BadAnswer(f"write {how} of the letters {', '.join(admitted)}, not {answer!r}.")
    return letters
