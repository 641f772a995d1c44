"""What more than one format needs: XML, archives, questions as HTML, and what is often lost."""

import io
import re
import zipfile
from collections.abc import Callable, Iterable
from html import escape

from course_utils.quiz import markup
from course_utils.quiz.bank import CHOICES, Distractor, Item
from course_utils.quiz.translation import say

BLANK = "____"
Loss = tuple[Callable[[Item], bool], str]  # which questions it concerns, and what is lost

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


# --- Texts ----------------------------------------------------------------------------------------


def html(text: str) -> str:
    r"""A text of a question. Formulas stand in \( \), which MathJax finds in Anki and in Moodle."""
    return markup.html(text, formula=lambda tex: rf"\({escape(tex)}\)")


def number(value: float) -> str:
    return f"{value:.12g}"


def output(item: Item) -> list[str]:
    """What a predict item prints, as it is and with single spaces: both are right."""
    return list(dict.fromkeys([item.answer, " ".join(item.answer.split())]))


def on_several_lines(item: Item) -> bool:
    return item.type == "predict" and "\n" in item.answer


def place(item: Item) -> str:
    """The heading stays as it stands in the lesson, where somebody will look for it."""
    lesson = say("Lesson {lesson}", lesson=item.lesson)
    return f"{lesson} · {item.place}" if item.place else lesson


def right_options(item: Item) -> int:
    """How many of the options are right; the wrong ones follow them."""
    return len(item.options) - len(item.distractors) if item.options else 0


def wrong_answer(item: Item, wrong: Distractor, html=html) -> str:
    """A typical wrong answer and what is wrong with it."""
    if item.type in CHOICES:
        return html(wrong.text) + html(wrong.why)
    if item.type == "predict":
        return f"<p>{say('Not:')}</p>{printed(wrong.text)}{html(wrong.why)}"
    named = say("Not {answer}:", answer=f"<strong>{escape(wrong.text)}</strong>")
    return f"<p>{named}</p>{html(wrong.why)}"


def printed(text: str) -> str:
    return f"<pre><code>{escape(text)}</code></pre>"


def filled(item: Item, prompt: str, blanks: Iterable[str]) -> str:
    """The prompt, already HTML, with something in place of each blank."""
    first, *others = prompt.split(BLANK)
    blanks = list(blanks)
    if len(others) != len(blanks):
        raise ValueError(
            f"{item.id}: as many answers ({len(blanks)}) as blanks ({len(others)}) are needed."
        )
    return first + "".join(blank + after for blank, after in zip(blanks, others, strict=True))


def picture(item: Item) -> bytes:
    if not item.picture.is_file():
        raise FileNotFoundError(f"the picture of {item.id} is missing: {item.picture}")
    return item.picture.read_bytes()


# --- Files ----------------------------------------------------------------------------------------


def element(name: str, /, *content: str, **attributes: str) -> str:
    """An XML element around content that is XML already. Other elements stand on their own lines,
    text as it is."""
    start = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    inside = "".join(content)
    if not inside:
        return f"<{name}{start}/>"
    if re.match(r"<[^!]", inside):
        inside = "\n" + "\n".join(content) + "\n"
    return f"<{name}{start}>{inside}</{name}>"


def cdata(text: str) -> str:
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>" if text else ""


def document(root: str) -> bytes:
    if found := _NOT_IN_XML.search(root):
        around = root[max(0, found.start() - 30) : found.start()]
        raise ValueError(f"XML cannot hold the character {found.group()!r} after {around!r}.")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{root}\n'.encode()


def archive(files: dict[str, bytes]) -> bytes:
    """A zip that is the same whenever it is made."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            info.create_system = 3  # on every system
            info.external_attr = 0o644 << 16
            zipped.writestr(info, content, zipfile.ZIP_DEFLATED)
    return made.getvalue()


# --- What is lost ---------------------------------------------------------------------------------


def anything(item: Item) -> bool:
    return True


EVERYWHERE: list[Loss] = [
    (anything, "how sure you are is not asked before the answer is shown"),
    (lambda item: bool(item.verify), "the code that recomputes the answer"),
    (lambda item: bool(item.draw), "the code that draws the picture; the picture is there"),
]
IN_A_QUIZ: list[Loss] = [
    *EVERYWHERE,
    (lambda item: "review" in item.use, "coming back after 1, 3, 7 and 30 days"),
    (lambda item: "pretest" in item.use, "that a pretest is never scored: it counts like the rest"),
    (lambda item: item.type == "numeric", "fractions: 1/4 has to be typed as 0.25"),
    (on_several_lines, "comparing an output of several lines: an instructor has to grade it"),
    (
        lambda item: item.type == "recall",
        "your own judgement of an open answer: an instructor grades it beside the model answer",
    ),
]
