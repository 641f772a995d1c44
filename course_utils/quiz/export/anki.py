"""A package for Anki: a card a question, in a subdeck a lesson, for those who review there.

Anki recognises a note by its GUID and takes a newer version only if the modification time has
grown *and* the note type is the same; a learner's review history hangs on the card and stays. So
the GUID comes from the question's id, the time is that of the question's last change, and every
type of question, a cloze too, uses one and the same note type: a question that becomes a cloze
would otherwise be refused as a conflict, and each of its blanks would be a card of its own.
A note that the learner has edited since then stays as it is. GUIDs, decks and tags are the same in
every language, so that whoever imports another one keeps the cards and their history; the time is a
little later. Tried with Anki itself in tests/quiz/soak_anki.py.
"""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from html import escape
from itertools import count
from string import ascii_uppercase
from zlib import crc32

import genanki

from course_utils.quiz.bank import Item
from course_utils.quiz.export import parts
from course_utils.quiz.export.parts import EVERYWHERE, Loss, html, number
from course_utils.quiz.translation import language

LOSSES: list[Loss] = [
    *EVERYWHERE,
    (
        parts.anything,
        "the days 1, 3, 7 and 30 and what you have answered here: Anki plans by itself",
    ),
    (
        parts.anything,
        "going back to English, or on to a third language, in cards that you have already, unless "
        "you choose to update notes “always” when you import",
    ),
    (lambda item: item.type != "recall", "comparing your answer with the right one: you judge it"),
    (lambda item: item.rev > 1, "that the right answer was once another one: the history goes on"),
]

# What a card looks like is content too. Raise this when this file makes other cards of the same
# questions, or nobody who has imported them already will see it.
CARDS_CHANGED = datetime(2026, 11, 21, tzinfo=UTC)

NOTE_TYPE = 1_748_203_961  # never to change, nor the names of the fields: Anki knows it by them
DECKS = 1_748_204_000  # and the number of the lesson
LATER = 600  # seconds at most between a question in English and in another language

FIELDS = ["Question", "Options", "Answer", "Explanation", "Wrong answers", "Place"]

FRONT = """\
{{Question}}
{{#Options}}{{Options}}{{/Options}}"""

BACK = """\
{{FrontSide}}
<hr id="answer">
{{Answer}}
{{#Explanation}}<section>{{Explanation}}</section>{{/Explanation}}
{{#Wrong answers}}<section class="wrong">{{Wrong answers}}</section>{{/Wrong answers}}
<footer>{{Place}}</footer>"""

CSS = """\
.card { max-width: 42rem; margin: 1rem auto; padding: 0 1rem; color: #1b1b1b; background: #ffffff;
  font: 1.1rem/1.5 system-ui, sans-serif; text-align: left; }
pre, code { font-family: ui-monospace, monospace; font-size: 0.9em; background: #f0f0f0;
  border-radius: 3px; }
code { padding: 0.1em 0.25em; }
pre { padding: 0.6em 0.8em; overflow-x: auto; white-space: pre; }
pre code { padding: 0; background: none; }
ol, ul { padding-left: 1.6em; }
li p { margin: 0.3em 0; }
img { max-width: 100%; color: #1b1b1b; background: #ffffff; }
.wrong { border-left: 3px solid #b0b0b0; padding-left: 0.8em; }
footer { margin-top: 1.5em; font-size: 0.85em; color: #5a5a5a; }
.card.nightMode, .card.night_mode { color: #e8e8e8; background: #1e1e1e; }
.nightMode pre, .nightMode code, .night_mode pre, .night_mode code { background: #333333; }
.nightMode pre code, .night_mode pre code { background: none; }
.nightMode footer, .night_mode footer { color: #b5b5b5; }
"""


def package(items: list[Item], changed: dict[str, datetime]) -> bytes:
    decks = {item.lesson: _deck(item.lesson) for item in items}
    for position, item in enumerate(items):
        decks[item.lesson].add_note(_Note(item, changed[item.id], position))
    start = CARDS_CHANGED.timestamp()
    with closing(sqlite3.connect(":memory:")) as database:
        made = genanki.Package(list(decks.values()))
        made.write_to_db(database.cursor(), start, count(int(start * 1000)))
        database.commit()
        collection = database.serialize()
    pictures = [item for item in items if item.picture]
    names = {str(index): _picture_name(item) for index, item in enumerate(pictures)}
    return parts.archive(
        {
            "collection.anki2": collection,
            "media": json.dumps(names).encode(),
            **{str(index): parts.picture(item) for index, item in enumerate(pictures)},
        }
    )


class _Note(genanki.Note):
    """genanki gives all notes the time of the package; Anki has to see what has changed."""

    def __init__(self, item: Item, changed: datetime, position: int):
        super().__init__(
            model=_note_type(),
            fields=fields(item),
            guid=genanki.guid_for("pruning-course", item.id),
            tags=_tags(item),
            due=position,
        )
        self.changed = max(changed, CARDS_CHANGED).timestamp() + _later(self.fields)

    def write_to_db(self, cursor, timestamp, deck_id, id_gen):
        super().write_to_db(cursor, self.changed, deck_id, id_gen)


def _later(fields: list[str]) -> int:
    """Seconds that tell other words from the English ones. Of two notes with the same time Anki
    takes neither for the newer one, and does not look at what they say."""
    return 0 if language() == "en" else 1 + crc32("\n".join(fields).encode()) % LATER


def fields(item: Item) -> list[str]:
    shown = item.shown("anki")
    letters = dict(zip(shown, ascii_uppercase, strict=False))
    question = html(item.prompt)
    if item.picture:
        question += f'<p><img src="{_picture_name(item)}" alt="{escape(item.alt)}"></p>'
    options = "".join(f"<li>{html(item.options[index])}</li>" for index in shown)
    first_wrong = parts.right_options(item)
    wrong = [
        (letters.get(first_wrong + n, ""), parts.wrong_answer(item, d))
        for n, d in enumerate(item.distractors)
    ]
    wrong.sort(key=lambda named: named[0])
    mistakes = "".join(f"<li>{_named(letter, text)}</li>" for letter, text in wrong)
    return [
        question,
        f'<ol type="A">{options}</ol>' if options else "",
        _answer(item, letters),
        html(item.explanation),
        f"<ul>{mistakes}</ul>" if mistakes else "",
        escape(parts.place(item)),
    ]


def _answer(item: Item, letters: dict[int, str]) -> str:
    if item.type == "cloze":
        blanks = "".join(f"<li>{escape(' / '.join(words))}</li>" for words in item.answer)
        return f"<ol>{blanks}</ol>"
    if item.type == "numeric":
        about = f" ± {number(item.tolerance)}" if item.tolerance else ""
        return f"<p>{escape(f'{number(item.answer)}{about} {item.unit}'.rstrip())}</p>"
    if item.type == "predict":
        return parts.printed(item.answer)
    if item.type == "recall":
        return html(item.answer)
    right = item.options[: parts.right_options(item)]
    named = sorted((letters[index], html(text)) for index, text in enumerate(right))
    return "".join(_named(letter, text) for letter, text in named)


def _named(letter: str, text: str) -> str:
    if not letter:
        return text
    start = f"<p><strong>{letter}</strong> "
    return start + text.removeprefix("<p>") if text.startswith("<p>") else f"{start}</p>{text}"


def _picture_name(item: Item) -> str:
    return f"pruning-course-{item.id}.png"  # all of Anki's pictures share one folder


def _tags(item: Item) -> list[str]:
    return [
        f"pruning-course::lesson::{item.lesson}",
        *(f"pruning-course::concept::{name}" for name in item.concepts),
        *(f"pruning-course::misconception::{name}" for name in item.misconceptions),
    ]


def _deck(lesson: str) -> genanki.Deck:
    return genanki.Deck(DECKS + int(lesson), f"Pruning course::Lesson {lesson}")


@cache
def _note_type() -> genanki.Model:
    return genanki.Model(
        NOTE_TYPE,
        "Pruning course",
        fields=[{"name": name} for name in FIELDS],
        templates=[{"name": "Question and answer", "qfmt": FRONT, "afmt": BACK}],
        css=CSS,
    )
