"""The day's review in a terminal: a question, an answer, how sure you are, what there is to say.

Lines in and lines out, so that it works at any width, without colour, with a screen reader and
through a pipe. Judging, logging and scheduling are done elsewhere. Every answer is kept at once: a
sitting can end at any moment, however it ends, and the next one goes on.
"""

import os
import re
import shutil
import string
import sys
import time
import unicodedata
from collections.abc import Callable
from contextlib import suppress

from course_utils.quiz import markup
from course_utils.quiz.bank import CHOICES, Item
from course_utils.quiz.judge import BadAnswer, Verdict, judge
from course_utils.quiz.translation import say, translated
from course_utils.study import log, reviewing
from course_utils.study.panels import columns
from course_utils.study.titles import named

WIDEST = 88  # longer lines are hard to read
PROMPT = "> "
BOLD, GREEN, RED = "1", "1;32", "1;31"
# What else may be typed for an option: its number, and what comes of another keyboard: Bulgarian
# letters that sound or look like it, those of the standard Bulgarian layout where they are no
# other option's, and Korean ones.
KEYS = {"a": "1аьㅁ", "b": "2бㅠ", "c": "3цсъㅊ", "d": "4дㅇ", "e": "5еㄷ", "f": "6фоㄹ"}  # noqa: RUF001


def review() -> None:
    """Ask what is due until nothing is, today's share is done, or you have had enough."""
    _prepare()
    try:
        if reviewing.due_today():
            _write(say("Ctrl-C ends the sitting; what you have answered is kept."))
        while due := reviewing.due_today():
            done = reviewing.answered_today()
            _ask(translated(due[0]), done + 1, done + len(due))
            if sys.stdin.isatty() and reviewing.due_today():
                print()
                _write(say("Press Enter to go on."))
                _typed()
    except (KeyboardInterrupt, EOFError):
        print()
        _write(say("Until next time. Your answers are kept; `course review` goes on from here."))
        return
    title, *sentences = reviewing.ending()
    print()
    _write(title, style=BOLD)
    for sentence in sentences:
        _write(sentence)


def _prepare() -> None:
    for stream in (sys.stdin, sys.stdout):  # an odd character in or out ends no sitting
        with suppress(AttributeError):
            stream.reconfigure(errors="replace")
    with suppress(ImportError):  # Windows has none
        import readline  # lets `input` edit its line

        readline.set_auto_history(False)


def _ask(item: Item, number: int, total: int) -> None:
    began = time.monotonic()
    tries = len(log.read("answer", item.id))
    order = item.shown(f"{reviewing.today()} {tries}")  # asked again, another order
    print()
    where = named(item.lesson)
    _write(say("{number} of {total}", number=number, total=total) + f" · {where}", style=BOLD)
    print()
    _show(item, order)
    print()
    words = {}
    if item.type == "recall":
        _write(say("In your own words, or in your head; then press Enter."))
        words = {"words": _typed()}
    else:
        how = _how(item, order)
        given = _answered(how, lambda: _read(item, order, how))
    confidence = _pick(
        say("How sure are you? 1: a guess, 2: fairly sure, 3: certain."), {"1": 1, "2": 2, "3": 3}
    )
    if item.type == "recall":
        print()
        _write(say("One way to say it"), style=BOLD)
        _write(markup.plain(item.answer))
        print()
        given = _pick(
            say("How did it go? 1: missed it, 2: partly, 3: had it."),
            {"1": "missed", "2": "partly", "3": "had"},
        )
    verdict = reviewing.answer(item, given, confidence, time.monotonic() - began, **words)
    _tell(item, verdict, confidence)


def _show(item: Item, order: list[int]) -> None:
    _write(markup.plain(item.prompt))
    if item.picture:
        print()
        _write(say("The picture is in {file}", file=item.picture))
        _write(say("It shows: {what}", what=markup.plain(item.alt)))
    for letter, index in zip(string.ascii_lowercase, order, strict=False):
        _write(markup.plain(item.options[index]), first=f"{letter}) ")


def _tell(item: Item, verdict: Verdict, confidence: int) -> None:
    if item.type != "recall":
        print()
        if verdict.right:
            _write(say("✓ Right"), style=GREEN)
        else:
            _write(say("✗ Partly right") if verdict.score else say("✗ Not right"), style=RED)
    for text in verdict.says:
        _write(markup.plain(text))
    if verdict.right:
        return
    if confidence == max(reviewing.CONFIDENCE):
        _write(say("You were certain. Surprises like this one are remembered best."))
    if item.place:
        place = say("Lesson {lesson}, “{place}”, tells more.", lesson=item.lesson, place=item.place)
        _write(place)


# --- Reading answers ------------------------------------------------------------------------------


def _how(item: Item, order: list[int]) -> str:
    """What to type."""
    last = string.ascii_lowercase[len(order) - 1]
    match item.type:
        case "mcq" | "plot":
            return say("Type one letter, from a to {last}.", last=last)
        case "multi":
            return say("Type one or more letters, from a to {last}, such as a b.", last=last)
        case "cloze" if len(item.answer) == 1:
            return say("Type what belongs in the blank.")
        case "cloze":
            return say("Type what belongs in each blank, one after the other.")
        case "numeric" if item.unit:
            return say("Type a number ({unit}).", unit=item.unit)
        case "numeric":
            return say("Type a number.")
    return say("Type what it prints. An empty line ends your answer.")


def _read(item: Item, order: list[int], how: str):
    """The answer as plain data; BadAnswer if it is none."""
    if item.type in CHOICES:
        letters = _letters(_typed())
        known = string.ascii_lowercase[: len(order)]
        several = item.type == "multi"
        if not letters or not set(letters) <= set(known) or (len(letters) > 1 and not several):
            raise BadAnswer(how)
        chosen = sorted({order[known.index(letter)] for letter in letters})
        given = chosen if several else chosen[0]
    elif item.type == "cloze":
        count = len(item.answer)
        given = [_typed(str(n) if count > 1 else "") for n in range(1, count + 1)]
    elif item.type == "numeric":
        given = _typed()
    else:
        given = "\n".join(iter(lambda: _typed().rstrip(), ""))
    judge(item, given)
    return given


def _letters(typed: str) -> str:
    """The options' letters among what was typed, on whichever keyboard; what is none stays as it
    is. A Korean keyboard makes syllables of its letters, which are taken apart."""
    apart = unicodedata.normalize("NFKD", re.sub(r"[\s,;.)]", "", typed.lower()))
    meant = {unicodedata.normalize("NFKD", sign): a for a, signs in KEYS.items() for sign in signs}
    return "".join(meant.get(sign, sign) for sign in apart)


def _pick(how: str, values: dict):
    def read():
        typed = _typed().strip(" .:")
        if typed not in values:
            raise BadAnswer(how)
        return values[typed]

    return _answered(how, read)


def _answered(how: str, read: Callable[[], object]):
    """What `read` returns as soon as it is an answer; until then it says why not and asks again."""
    _write(how)
    while True:
        try:
            return read()
        except BadAnswer as why:
            _write(str(why))


def _typed(what: str = "") -> str:
    """A line of input; what comes through a pipe is shown where it would have been typed."""
    line = input(f"{what}{PROMPT}")
    if not sys.stdin.isatty():
        print(line, flush=True)
    return line


# --- Writing --------------------------------------------------------------------------------------


def _write(text: str, first: str = "", style: str = "") -> None:
    """A text, as wide as the terminal is at this moment. Code keeps its lines; what stands in front
    of the `first` line is left free in front of the others."""
    width = min(shutil.get_terminal_size().columns, WIDEST) - len(first)
    front = first
    for paragraph in text.split("\n"):
        lines = [paragraph] if paragraph.startswith("    ") else _wrapped(paragraph, width)
        for line in lines:
            print(_styled((front + line).rstrip(), style), flush=True)
            front = " " * len(first)


def _wrapped(text: str, width: int) -> list[str]:
    """A percent sign stays with its number."""
    lines = [""]
    for word in re.split(r"\s+(?!\s*%)", text.strip()):
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and columns(longer) > width:
            lines.append(word)  # however long: it can be copied, and the terminal breaks it
        else:
            lines[-1] = longer
    return lines


def _styled(text: str, style: str) -> str:
    """In colour where that is wanted and understood. The text says the same without."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    old_windows = os.name == "nt" and "WT_SESSION" not in os.environ
    if not style or plain or old_windows or not sys.stdout.isatty():
        return text
    return f"\x1b[{style}m{text}\x1b[0m"
