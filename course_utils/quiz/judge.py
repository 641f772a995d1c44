"""Whether an answer is right, and what to say about it.

An answer is plain data, as it is logged: the index of the chosen option (of several: their
list), counted in the bank's own order; the words for each blank; a number or a printed line as it
was typed; for an open question, how well one's own words matched ("had", "partly", "missed").
"""

import math
import re
import unicodedata
from typing import NamedTuple

from course_utils.quiz.bank import Item
from course_utils.quiz.translation import say

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
    if item.type == "predict":
        return say("It prints") + f"\n```\n{item.answer}\n```"
    if item.type == "cloze":
        right = ", ".join(words[0] for words in item.answer)
    elif item.type == "numeric":
        right = f"{item.answer:.15g} {item.unit}".rstrip()
    else:
        right = " · ".join(item.options[: len(item.options) - len(item.distractors)])
    return say("Right: {answer}", answer=right)


def _one(item: Item, answer) -> tuple[float, list[str]]:
    _require_options(item, [answer])
    return (1.0, []) if answer == 0 else (0.0, [item.distractors[answer - 1].why])


def _several(item: Item, answer) -> tuple[float, list[str]]:
    if not isinstance(answer, list | tuple | set) or not answer:
        raise BadAnswer(say("Choose one or more of the options."))
    _require_options(item, answer)
    chosen = set(answer)
    count = len(item.answer)
    wrong = sorted(index - count for index in chosen if index >= count)
    score = max(0, len(chosen) - 2 * len(wrong)) / count  # a wrong one costs what a right one earns
    about = [f"{item.distractors[index].text}: {item.distractors[index].why}" for index in wrong]
    return score, about


def _blanks(item: Item, answer) -> tuple[float, list[str]]:
    given = [_words(text) for text in answer] if isinstance(answer, list | tuple) else []
    if len(given) != len(item.answer) or not any(given):
        raise BadAnswer(say("Fill every blank ({count} in all).", count=len(item.answer)))
    right = sum(
        words in map(_words, admitted) for words, admitted in zip(given, item.answer, strict=True)
    )
    about = [d.why for d in item.distractors if _words(d.text) in given]
    return right / len(item.answer), about if right < len(item.answer) else []


def _number(item: Item, answer) -> tuple[float, list[str]]:
    readings = _readings(answer, item.unit)

    def near(value: float) -> bool:
        slack = item.tolerance + 1e-14 * abs(value)  # no more than a float's last digits
        return any(abs(reading - value) <= slack for reading in readings)

    if near(item.answer):
        return 1.0, []
    return 0.0, [d.why for d in item.distractors if near(float(d.text))][:1]


def _printed(item: Item, answer) -> tuple[float, list[str]]:
    if not isinstance(answer, str) or not answer.strip():
        raise BadAnswer(say("Type what the code prints."))
    if _output(answer) == _output(item.answer):
        return 1.0, []
    return 0.0, [d.why for d in item.distractors if _output(d.text) == _output(answer)]


def _own(item: Item, answer) -> tuple[float, list[str]]:
    if not isinstance(answer, str) or answer not in OWN_JUDGEMENT:
        raise BadAnswer(say("Say how well your own words matched."))
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
    """1,5 is 1.5, a percent sign or a mark between thousands changes nothing, and 1/4 is 0.25."""
    text = re.sub(r"(?<=\d)[\s_'](?=\d{3}(?!\d))", "", str(answer).translate(_MINUS))
    text = re.sub(r"\s*([-/])\s*", r"\1", text.replace("%", "")).strip()
    for mark, point in (",.", ".,"):
        if re.fullmatch(rf"-?\d{{1,3}}([{mark}]\d{{3}})+([{mark}]\d{{3}}|[{point}]\d+)", text):
            text = text.replace(mark, "")  # 1,234,567 or 1,234.5
    above, slash, below = text.replace(",", ".").partition("/")
    try:
        value = float(above) / (float(below) if slash else 1)
    except (ValueError, ZeroDivisionError):
        value = math.nan
    if isinstance(answer, bool) or not math.isfinite(value):
        raise BadAnswer(say("Type a number, such as 12.5."))
    return value


_MINUS = dict.fromkeys(map(ord, "\N{MINUS SIGN}\N{EN DASH}\N{HYPHEN}\N{NON-BREAKING HYPHEN}"), "-")


def _readings(answer, unit: str) -> list[float]:
    """What a typed number can mean: 28,800 is 28800 to some and 28.8 to others, and 5 % of a
    quantity without a unit is 0.05."""
    text = str(answer).strip()
    if unit and text.casefold().endswith(unit.casefold()):
        text = text[: -len(unit)]
    values = [number(text if isinstance(answer, str) else answer)]
    if re.fullmatch(r"[^\d,.]*[1-9]\d{0,2},\d{3}", text.strip(" %")):
        values.append(number(text.replace(",", "")))
    return [value / 100 for value in values] if "%" in text and not unit else values


def _words(text) -> str:
    if not isinstance(text, str | int | float):
        return ""
    return " ".join(unicodedata.normalize("NFKC", str(text)).casefold().split()).strip(" .")


def _output(text: str) -> list[str]:
    """Empty lines and how many spaces there are is not what a prediction is about."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def _require_options(item: Item, chosen) -> None:
    known = range(len(item.options))
    if any(type(index) is not int or index not in known for index in chosen):
        raise BadAnswer(say("Choose one of the options."))
