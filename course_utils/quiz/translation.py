"""Questions and the words around them in the languages of the field notes.

A translation is a gettext catalogue, translations/LANGUAGE.po. A question's texts carry its id and
field as context ("k3v9qd.prompt") and their English as key, so that a text whose English has
changed shows in English until somebody has translated it again. Ids, answers and dates are the
same in all languages: one schedule serves them all.
"""

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po

from course_utils.quiz.bank import Item
from course_utils.runtime import automated, state_dir

LANGUAGES = {"en": "English", "bg": "Български", "vi": "Tiếng Việt", "ko": "한국어"}
TRANSLATIONS = Path(__file__).with_name("translations")
INTERFACE = "interface"  # the context of what is not a question


def language() -> str:
    """The learner's choice. English where nobody reads along, so that outputs can be compared."""
    try:
        chosen = (state_dir() / "language").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return "en"
    return chosen if chosen in LANGUAGES and not automated() else "en"


def choose(chosen: str) -> None:
    """Remember the language for questions and reviews."""
    if chosen not in LANGUAGES:
        names = ", ".join(f"{code} ({name})" for code, name in LANGUAGES.items())
        raise ValueError(f"there is no language {chosen!r}; there are {names}.")
    state_dir().mkdir(parents=True, exist_ok=True)
    (state_dir() / "language").write_text(chosen + "\n", encoding="utf-8")


def say(english: str, **values) -> str:
    """A sentence of the interface in the learner's language, with `values` in its braces."""
    return _lookup(language(), INTERFACE, english).format(**values)


def translated(item: Item, into: str | None = None) -> Item:
    """The question in the learner's language; what is not translated stays English."""
    into = into or language()
    if into == "en":
        return item
    return with_texts(item, lambda field, text: _lookup(into, f"{item.id}.{field}", text))


def with_texts(item: Item, change) -> Item:
    """The item with change(field, text) for each of its texts; numbers are not among them."""
    answer = item.answer
    if item.type == "cloze":  # both languages are right
        answer = tuple(
            tuple(dict.fromkeys([change(f"answer.{n}", words[0]), *words]))
            for n, words in enumerate(answer)
        )
    elif item.type == "multi":
        answer = tuple(change(f"answer.{n}", text) for n, text in enumerate(answer))
    elif item.type in ("mcq", "plot", "recall"):
        answer = change("answer", answer)

    def speaks(text: str) -> bool:  # what code prints is nobody's language
        return item.type != "predict" and _has_words(text)

    distractors = tuple(
        replace(
            d,
            text=change(f"distractor.{n}.text", d.text)
            if speaks and _has_words(d.text)
            else d.text,
            why=change(f"distractor.{n}.why", d.why),
        )
        for n, d in enumerate(item.distractors)
    )
    texts = {
        field: change(field, getattr(item, field))
        for field in ("prompt", "explanation", "alt", "unit")
        if _has_words(getattr(item, field))
    }
    return replace(item, answer=answer, distractors=distractors, **texts)


def texts(item: Item) -> dict[str, str]:
    """Every text of an item that can be translated, by field."""
    found: dict[str, str] = {}
    with_texts(item, lambda field, text: found.setdefault(field, text))
    return found


def _has_words(text: str) -> bool:
    return re.search(r"[^\W\d_]", text) is not None


@cache
def catalogue(into: str) -> dict[tuple[str, str], str]:
    """(context, English) to translation; unfinished ones are left out."""
    path = TRANSLATIONS / f"{into}.po"
    if not path.exists():
        return {}
    with path.open("rb") as file:
        messages = read_po(file, locale=into)
    return {(m.context, m.id): m.string for m in messages if m.id and m.string and not m.fuzzy}


def _lookup(into: str, context: str, english: str) -> str:
    return english if into == "en" else catalogue(into).get((context, english), english)
