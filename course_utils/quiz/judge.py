"""Whether an answer is right, and what to say about it.

An answer is plain data, as it is logged: the index of the chosen option (of several: their
list), counted in the bank's own order; the words for each blank; a number or a printed line as it
was typed; for an open question, how well one's own words matched ("had", "partly", "missed").
"""

import math
import re
from typing import NamedTuple

from course_utils.quiz.bank import Item

OWN_JUDGEMENT = {"had": 1.0, "partly": 0.5, "missed": 0.0}


class Verdict(NamedTuple):
    score: float  # 0 to 1
    right: bool
    says: list[str]  # paragraphs: what was wrong with this answer, then why the right one is right


class BadAnswer(ValueError):
    """Not an answer to this question: nothing is counted, and the sentence says what to give."""


def judge(item: Item, answer) -> Verdict:
    score, about = _JUDGES[item.type](item, answer)
    right = score == 1
    says = [*about, key(item)] if not right and item.type != "recall" else about
    return Verdict(score, right, [text for text in (*says, item.explanation) if text])


def key(item: Item) -> str:
    """The right answer in a sentence."""
    if item.type == "recall":
        return item.answer
    if item.type == "cloze":
        return "Right: " + ", ".join(words[0] for words in item.answer)
    if item.type == "numeric":
        return f"Right: {item.answer:g} {item.unit}".rstrip()
    if item.type == "predict":
        return f"It prints\n```\n{item.answer}\n```"
    right = item.answer if item.type == "multi" else [item.answer]
    return "Right: " + " · ".join(right)


def _one(item: Item, answer) -> tuple[float, list[str]]:
    _require_options(item, [answer])
    return (1.0, []) if answer == 0 else (0.0, [item.distractors[answer - 1].why])


def _several(item: Item, answer) -> tuple[float, list[str]]:
    if not isinstance(answer, list | tuple | set):
        raise BadAnswer("Choose one or more of the options.")
    chosen = set(answer)
    _require_options(item, chosen)
    count = len(item.answer)
    wrong = sorted(index - count for index in chosen if index >= count)
    score = max(0, len(chosen) - 2 * len(wrong)) / count  # a wrong one costs what a right one earns
    about = [f"{item.distractors[index].text}: {item.distractors[index].why}" for index in wrong]
    return score, about


def _blanks(item: Item, answer) -> tuple[float, list[str]]:
    if not isinstance(answer, list | tuple) or len(answer) != len(item.answer):
        raise BadAnswer(f"Fill every blank: there are {len(item.answer)}.")
    given = [_words(text) for text in answer]
    right = sum(
        words in map(_words, admitted) for words, admitted in zip(given, item.answer, strict=True)
    )
    about = [d.why for d in item.distractors if _words(d.text) in given]
    return right / len(item.answer), about if right < len(item.answer) else []


def _number(item: Item, answer) -> tuple[float, list[str]]:
    value = number(answer)
    if abs(value - item.answer) <= item.tolerance * (1 + 1e-9):
        return 1.0, []
    near = [d for d in item.distractors if abs(value - float(d.text)) <= item.tolerance]
    return 0.0, [d.why for d in near[:1]]


def _printed(item: Item, answer) -> tuple[float, list[str]]:
    if not isinstance(answer, str) or not answer.strip():
        raise BadAnswer("Type what the code prints.")
    if _output(answer) == _output(item.answer):
        return 1.0, []
    return 0.0, [d.why for d in item.distractors if _output(d.text) == _output(answer)]


def _own(item: Item, answer) -> tuple[float, list[str]]:
    if answer not in OWN_JUDGEMENT:
        raise BadAnswer(f"Say how it went: {', '.join(OWN_JUDGEMENT)}.")
    return OWN_JUDGEMENT[answer], []


_JUDGES = {
    "recall": _own,
    "mcq": _one,
    "plot": _one,
    "multi": _several,
    "cloze": _blanks,
    "numeric": _number,
    "predict": _printed,
}


def number(answer) -> float:
    """1,5 is 1.5, a percent sign or a space changes nothing, and 1/4 is 0.25."""
    text = re.sub(r"[\s%_]", "", str(answer)).replace("\N{MINUS SIGN}", "-")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    above, _, below = text.partition("/")
    try:
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if isinstance(answer, bool) or not math.isfinite(value):
        raise BadAnswer("Type a number, such as 12.5.")
    return value


def _words(text) -> str:
    return " ".join(str(text).casefold().split()).strip(" .")


def _output(text: str) -> list[str]:
    """Spaces at the ends and between words are not what a prediction is about."""
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def _require_options(item: Item, chosen) -> None:
    known = range(len(item.options))
    if not chosen or any(type(index) is not int or index not in known for index in chosen):
        raise BadAnswer("Choose one of the options.")
