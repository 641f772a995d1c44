"""Questions as Moodle XML, the format that Moodle imports and exports itself: a category a lesson.

There is no official schema; the elements are those of Moodle's documentation and of its importer
(MoodleDocs, "Moodle XML format" and "Embedded answers (Cloze)"). Not tried in a Moodle.
"""

import base64
import re
import textwrap
from collections.abc import Iterable
from html import escape
from itertools import groupby

from course_utils.quiz import markup
from course_utils.quiz.bank import Item
from course_utils.quiz.export import parts
from course_utils.quiz.export.parts import IN_A_QUIZ, Loss, cdata, element, html, number
from course_utils.quiz.translation import say

LOSSES: list[Loss] = [
    *IN_A_QUIZ,
    (
        lambda item: item.type == "cloze" and len(item.answer) > 1,
        "one point for the whole question: every blank counts one",
    ),
    (
        lambda item: item.type == "cloze",
        "passing over a full stop or a double space in what is typed into a blank",
    ),
    (
        lambda item: item.type == "predict" and " " in item.answer and "\n" not in item.answer,
        "passing over another number of spaces in a printed line",
    ),
    (parts.anything, "recognising a question it has: importing again adds all of them again"),
]


def document(items: list[Item]) -> bytes:
    questions = []
    for lesson, of_lesson in groupby(items, key=lambda item: item.lesson):
        questions += [_category(lesson), *map(_question, of_lesson)]
    return parts.document(element("quiz", *questions))


def _category(lesson: str) -> str:
    course, lesson = say("Pruning course"), say("Lesson {lesson}", lesson=lesson)
    path = element("text", f"$course$/top/{course}/{lesson}")
    return element("question", element("category", path), type="category")


def _question(item: Item) -> str:
    type_, prompt, specific = _MAKERS[item.type](item)
    first_words = textwrap.shorten(markup.plain(item.prompt), 60, placeholder=" ...")
    return element(
        "question",
        element("name", _text(f"{item.lesson} {item.id} {first_words}")),
        element("questiontext", prompt, *_pictures(item), format="html"),
        element("generalfeedback", _text(_feedback(item)), format="html"),
        *([] if type_ == "cloze" else [element("defaultgrade", number(item.points))]),
        element("hidden", "0"),
        element("idnumber", item.id),
        *specific,
        element("tags", *(element("tag", _text(tag)) for tag in _tags(item))),
        type=type_,
    )


def _choice(item: Item):
    right = parts.right_options(item)
    credit = 100 / right  # a wrong one costs what a right one earns, as in `judge`
    wrong = [(d.text, -credit if item.type == "multi" else 0, d.why) for d in item.distractors]
    answers = [*((text, credit, "") for text in item.options[:right]), *wrong]
    shown = [answers[index] for index in item.shown("moodle")]
    prompt = html(item.prompt)
    if item.picture:
        prompt += f'<p><img src="@@PLUGINFILE@@/{item.id}.png" alt="{escape(item.alt)}"/></p>'
    specific = [
        element("single", "false" if item.type == "multi" else "true"),
        element("shuffleanswers", "true"),
        element("answernumbering", "abc"),
        *(_answer(html(text), fraction, why, format="html") for text, fraction, why in shown),
    ]
    return "multichoice", _text(prompt), specific


def _number(item: Item):
    tolerance = element("tolerance", number(item.tolerance))
    answers = [
        _answer(number(item.answer), 100, "", tolerance),
        *(_answer(d.text, 0, d.why, tolerance) for d in item.distractors),
    ]
    if not item.unit:
        return "numerical", _text(html(item.prompt)), answers
    unit = element("unit", element("multiplier", "1"), element("unit_name", cdata(item.unit)))
    units = [
        element("units", unit),
        element("unitgradingtype", "0"),  # the unit may be typed and is not graded
        element("showunits", "0"),
        element("unitsleft", "0"),
    ]
    return "numerical", _text(f"{html(item.prompt)}<p>({escape(item.unit)})</p>"), answers + units


def _printed(item: Item):
    if parts.on_several_lines(item):  # the field for an answer has one line
        return _open(item)
    wrong = [_answer(_literal(d.text), 0, d.why) for d in item.distractors]
    right = [_answer(_literal(text), 100, "") for text in parts.output(item)]
    usecase = element("usecase", "1")
    return "shortanswer", _text(html(item.prompt)), [usecase, *right, *wrong]


def _open(item: Item):
    model = html(item.answer)
    if item.type == "predict":
        model = parts.printed(item.answer)
    specific = [
        element("responseformat", "monospaced" if item.type == "predict" else "editor"),
        element("responserequired", "1"),
        element("responsefieldlines", "5"),
        element("attachments", "0"),
        element("attachmentsrequired", "0"),
        element("graderinfo", _text(model), format="html"),
        element("responsetemplate", element("text"), format="html"),
    ]
    return "essay", _text(html(item.prompt)), specific


def _cloze(item: Item):
    wrong = "".join(
        f"~%0%{_in_blank(d.text)}#{_feedback_in_blank(d.why)}" for d in item.distractors
    )
    blanks = [
        "{1:SHORTANSWER:" + "~".join(f"={_in_blank(text)}" for text in admitted) + wrong + "}"
        for admitted in item.answer
    ]
    return "cloze", _text(parts.filled(item, html(item.prompt), blanks)), []


_MAKERS = {
    "recall": _open,
    "mcq": _choice,
    "multi": _choice,
    "plot": _choice,
    "cloze": _cloze,
    "numeric": _number,
    "predict": _printed,
}


def _answer(text: str, fraction: float, why: str, *more: str, format: str = "plain_text") -> str:
    feedback = element("feedback", _text(html(why)), format="html")
    share = f"{fraction:.5f}".rstrip("0").rstrip(".")  # Moodle knows thirds as 33.33333
    return element("answer", _text(text), feedback, *more, fraction=share, format=format)


def _feedback(item: Item) -> str:
    """What everybody sees afterwards. Where an answer cannot be compared, that includes the typical
    wrong ones."""
    wrong = item.distractors if parts.on_several_lines(item) else ()
    about = "".join(parts.wrong_answer(item, d) for d in wrong)
    return f"{html(item.explanation)}{about}<p>{escape(parts.place(item))}</p>"


def _pictures(item: Item) -> Iterable[str]:
    if item.picture:
        content = base64.b64encode(parts.picture(item)).decode()
        yield element("file", content, name=f"{item.id}.png", path="/", encoding="base64")


def _tags(item: Item) -> list[str]:
    return [
        say("lesson {lesson}", lesson=item.lesson),
        *item.use,
        *item.concepts,
        *item.misconceptions,
    ]


def _text(text: str) -> str:
    return element("text", cdata(text))


def _literal(text: str) -> str:
    r"""A star stands for anything in Moodle's short answers; \* for a star."""
    return text.replace("*", r"\*")


def _in_blank(text: str) -> str:
    """Inside a blank } # ~ and a new line have a meaning. Moodle resolves entities after it has
    taken the blank apart."""
    return re.sub(r"[{}#~\\\n]", lambda c: f"&#{ord(c.group())};", escape(_literal(text), False))


def _feedback_in_blank(text: str) -> str:
    marked = escape(html(text), False)
    return re.sub(r"[{}#~\\\n]", lambda c: f"&#{ord(c.group())};", marked)
