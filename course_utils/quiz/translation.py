"""Questions and the words around them in the languages of the field notes.

A translation is a gettext catalogue, translations/LANGUAGE.po. A question's texts carry its id and
field as context ("k3v9qd.prompt") and their English as key, so that a text whose English has
changed shows in English until somebody has translated it again. Ids, answers and dates are the
same in all languages: one schedule serves them all.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path

from babel.dates import format_date

from course_utils.quiz import markup
from course_utils.quiz.bank import Item
from course_utils.runtime import automated, state_dir

LANGUAGES = {"en": "English", "bg": "Български", "vi": "Tiếng Việt", "ko": "한국어"}
TRANSLATIONS = Path(__file__).with_name("translations")
INTERFACE = "interface"  # the context of what is not a question
OR = " | "  # between the words that a translated blank admits; the first is shown as the right one

_spoken: ContextVar[str | None] = ContextVar("spoken", default=None)


def language() -> str:
    """The learner's choice. English where nobody reads along, so that outputs can be compared."""
    if spoken := _spoken.get():
        return spoken
    try:
        chosen = (state_dir() / "language").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return "en"
    return chosen if chosen in LANGUAGES and not automated() else "en"


def choose(chosen: str) -> None:
    """Remember the language for questions and reviews."""
    _require_known(chosen)
    try:
        state_dir().mkdir(parents=True, exist_ok=True)
        (state_dir() / "language").write_text(chosen + "\n", encoding="utf-8")
    except OSError as error:
        why = f"{state_dir()} cannot be written to ({error.strerror})"
        raise OSError(f"your choice cannot be remembered: {why}.") from error


@contextmanager
def speaking(chosen: str) -> Iterator[None]:
    """In here everything is said in this language, whatever the learner's choice; for texts that
    are written for somebody else."""
    _require_known(chosen)
    before = _spoken.set(chosen)
    try:
        yield
    finally:
        _spoken.reset(before)


def _require_known(chosen: str) -> None:
    if chosen not in LANGUAGES:
        names = ", ".join(f"{code} ({name})" for code, name in LANGUAGES.items())
        raise ValueError(f"there is no language {chosen!r}; there are {names}.")


def say(english: str, **values) -> str:
    """A sentence of the interface in the learner's language, with `values` in its braces."""
    return _lookup(language(), INTERFACE, english).format(**values)


def say_day(day: date) -> str:
    """A date in words."""
    spoken = language()
    return format_date(day, "full", locale="en_GB" if spoken == "en" else spoken)


def translated(item: Item, into: str | None = None) -> Item:
    """The question in the learner's language; what is not translated stays English."""
    into = into or language()
    if into == "en":
        return item
    return with_texts(item, lambda field, text: _lookup(into, f"{item.id}.{field}", text))


def with_texts(item: Item, change) -> Item:
    """The item with change(field, text) for each of its texts. Numbers, code and what code prints
    are not among them: they are nobody's language."""

    def said(field: str, text: str) -> str:
        return change(field, text) if _has_words(text) else text

    fields = ("prompt", "explanation", "alt", "unit")
    texts = {field: said(field, getattr(item, field)) for field in fields}
    answer = item.answer
    if item.type == "cloze":  # both languages are right
        answer = tuple(
            tuple(dict.fromkeys([*said(f"answer.{n}", words[0]).split(OR), *words]))
            for n, words in enumerate(answer)
        )
    elif item.type == "multi":
        answer = tuple(said(f"answer.{n}", text) for n, text in enumerate(answer))
    elif item.type in ("mcq", "plot", "recall"):
        answer = said("answer", answer)
    distractors = tuple(
        replace(
            d,
            text=d.text if item.type == "predict" else said(f"distractor.{n}.text", d.text),
            why=said(f"distractor.{n}.why", d.why),
        )
        for n, d in enumerate(item.distractors)
    )
    return replace(item, answer=answer, distractors=distractors, **texts)


def texts(item: Item) -> dict[str, str]:
    """Every text of an item that can be translated, by field."""
    found: dict[str, str] = {}
    with_texts(item, lambda field, text: found.setdefault(field, text))
    return found


def _has_words(text: str) -> bool:
    """Names such as weight_orig are code, wherever they stand."""
    return any(
        re.search(r"[^\W\d_]", re.sub(r"\w*_\w*", "", part))
        for kind, part in markup.segments(text)
        if kind not in ("code", "formula", "block")
    )


@cache
def catalogue(into: str) -> dict[tuple[str, str], str]:
    """(context, English) to translation; unfinished ones are left out."""
    from babel.messages.pofile import read_po  # takes longer than reading; English needs neither

    path = TRANSLATIONS / f"{into}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        messages = read_po(file)
    return {(m.context, m.id): m.string for m in messages if m.id and m.string and not m.fuzzy}


def _lookup(into: str, context: str, english: str) -> str:
    return english if into == "en" else catalogue(into).get((context, english), english)
