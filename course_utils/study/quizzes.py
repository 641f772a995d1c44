"""Questions in a notebook: a lesson's quizzes, the day's review, and enrolling for it.

Judging, logging and scheduling are done elsewhere; this is the face. The right answers stay in
Python: what the browser gets before an answer is the question and its options, in an order that
gives nothing away. A notebook file never gets more than a note, because JupyterLab keeps the
widgets themselves out of it; they are drawn anew from the log when the cell runs again.
"""

import time
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from html import escape
from typing import NamedTuple

from IPython.display import display
from ipywidgets import (
    HTML,
    Button,
    Checkbox,
    HBox,
    HTMLMath,
    RadioButtons,
    Text,
    Textarea,
    VBox,
    Widget,
)

from course_utils.quiz import bank, markup, schedule
from course_utils.quiz.bank import Item
from course_utils.quiz.judge import BadAnswer, Verdict
from course_utils.quiz.translation import say, say_day, translated
from course_utils.runtime import automated
from course_utils.study import log, reviewing
from course_utils.study.panels import Panel, framed, panel
from course_utils.study.quiz_page import PAGE
from course_utils.study.titles import named


def quiz(lesson: str, use: str, place: str = ""):
    """A lesson's questions: `quiz("00", "pretest")`, `quiz("00", "section", "Step 3")` or
    `quiz("00", "exit")`. Where nobody reads along they are printed and nothing is asked."""
    items = bank.select(lesson, use, place)
    if not items:
        where = f" at {place!r}" if place else ""
        raise ValueError(f"Lesson {lesson!r} has no questions for {use!r}{where}.")
    if automated():
        return printed(items)
    return Quiz([Question(item, use) for item in items])


def review():
    """What is due today, from all lessons, one question after the other."""
    if automated():
        return panel(
            say("Spaced review"), [say("In JupyterLab, the questions due today come here.")]
        )
    return Sitting()


def enrol(lesson: str) -> Panel:
    """From today on the lesson's questions come back. Running it again changes nothing."""
    count = len(bank.select(lesson, "review"))
    if not count:
        raise ValueError(f"Lesson {lesson!r} has no questions for review.")
    title = say("Questions enrolled for review: {count}", count=count)
    how = say("Run `review()` in any notebook, or `course review` in a terminal.")
    if automated():
        return panel(title, [say("They come back after 1, 3, 7 and 30 days."), how])
    since = reviewing.enrol(lesson)
    days = [
        say("day {number}: {day}", number=rung, day=say_day(since + timedelta(rung)))
        for rung in schedule.LADDER
    ]
    missed = say("What you miss comes back the next day as well; later on, ever more rarely.")
    return panel(title, [say("They come back"), *days, missed, how], "good")


# --- What is on show ------------------------------------------------------------------------------


class OnShow:
    """Widgets in the output of a cell, with a note that stands for them wherever they are not: in
    the file, in a notebook opened the next day, after a restart of the kernel."""

    def __init__(self, children: list[Widget]):
        self.widget = VBox(children)
        self.widget.add_class("course-quiz")

    def _ipython_display_(self):
        note = self._note()
        html = f'{PAGE}<p class="course-quiz-note">{escape(note)}</p>'
        display({"text/html": html, "text/plain": note}, raw=True)
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        live = {"application/vnd.jupyter.widget-view+json": view, "text/plain": ""}
        display(live, raw=True)

    def _note(self) -> str:
        return say("Your answers are kept: run this cell to see the questions.")


class Quiz(OnShow):
    """Some questions, one below the other."""

    def __init__(self, questions: list["Question"]):
        self.questions = questions
        super().__init__([question.widget for question in questions])


class Sitting(OnShow):
    """The day's review. Everything it knows is in the log, so a new one goes on where this one
    was ended, by whatever. Calls `on_end` when nothing is left to ask."""

    def __init__(self, on_end: Callable[[], None] = lambda: None):
        self.on_end = on_end
        self.progress = HTML()
        self.progress.add_class("course-progress")
        self.question: Question | None = None
        self.page = VBox()
        super().__init__([self.progress, self.page])
        self._turn()

    def _turn(self) -> None:
        due, done = reviewing.due_today(), reviewing.answered_today()
        if due:
            where = say("{number} of {total}", number=done + 1, total=done + len(due))
            where += f" · {named(due[0].lesson)}"
            self.progress.value = f'<div role="status">{escape(where)}</div>'
            self.question = Question(due[0], "review", self._go_on)
            self.page.children = (self.question.widget,)
        else:
            title, *sentences = reviewing.ending()
            self.progress.value = panel(title, sentences, "good").html
            self.question, self.page.children = None, ()
            self.on_end()

    def _go_on(self) -> None:
        self._turn()
        self.progress.focus()


# --- One question ---------------------------------------------------------------------------------


class Question:
    """A question, its input, how sure one is, a button, and then what there is to say.

    `go_on` is what comes next, in a sitting; without it the question can be tried again.
    """

    def __init__(self, item: Item, use: str, go_on: Callable[[], None] | None = None):
        self.item, self.use, self.go_on = translated(item), use, go_on
        self.scored = use != "pretest"
        self.opens = item.type == "recall" and self.scored
        tries = len(log.read("answer", item.id))  # in a review, asked again is in another order
        order = item.shown(f"{reviewing.today()} {tries}" if go_on else "")
        self.input = _INPUTS[item.type](self.item, order)
        self.confidence = RadioButtons(options=_confidence(), index=None)
        self.confidence.add_class("course-in-a-row")
        self.button = (
            button(say("Show the answer"), self._show)
            if self.opens
            else button(say("Answer"), lambda: self._submit(self.input.read()))
        )
        self.verdict = HTMLMath()
        self.verdict.add_class("course-verdict")
        self.asking, self.after = VBox(), HBox()
        self.after.add_class("course-buttons")
        self.prompt = _label(_rich(self.item.prompt) + _picture(self.item))
        asked = _group(self.prompt, self.input.widget)
        self.widget = VBox([asked, self.asking, self.verdict, self.after])
        self.widget.add_class("course-question")
        before = reviewing.last_answer(item, use) if go_on is None else None
        if before is None or not self._restore(before):
            self._ask()

    def _ask(self) -> None:
        self.answered = False
        self.began = time.monotonic()
        sure = _group(_label(say("How sure are you?")), self.confidence)
        self.asking.children = (sure, self.button) if self.scored else (self.button,)
        self.verdict.value, self.after.children = "", ()

    def _try_again(self) -> None:
        self.input.write(None)
        self.confidence.index = None
        _enable(self.input.widget, True)
        self._ask()
        self.prompt.focus()

    def _show(self) -> None:
        """The model answer of an open question; then it is the learner who judges."""
        if self._sure_enough():
            _enable(self.input.widget, False)
            self.asking.children = ()
            self.verdict.value = framed(say("One way to say it"), _rich(self.item.answer))
            self.after.children = tuple(
                button(text, partial(self._submit, how)) for how, text in _own_judgements().items()
            )
            self.verdict.focus()

    def _submit(self, given) -> None:
        if self.answered or not self._sure_enough():
            return
        sure = self.confidence.value or 0
        words = {"words": self.input.read()} if self.opens else {}
        seconds = time.monotonic() - self.began
        try:
            verdict = reviewing.answer(self.item, given, sure, seconds, self.use, **words)
        except BadAnswer as error:
            self._hint(str(error))
            return
        self._reveal(verdict, given, sure)
        self.verdict.focus()

    def _sure_enough(self) -> bool:
        """Whether it was said how sure; asked before the answer shows, or it means nothing."""
        if not self.scored or self.confidence.value is not None:
            return True
        self._hint(say("Say first how sure you are; then the answer shows."))
        return False

    def _hint(self, sentence: str) -> None:
        self.verdict.value = framed(escape(sentence))
        self.verdict.focus()

    def _restore(self, before: dict) -> bool:
        """Show what was answered, if it still is an answer to this question."""
        try:
            verdict = reviewing.judged(self.item, before["answer"], self.use)
        except BadAnswer:
            return False
        self.input.write(before.get("words") if self.opens else before["answer"])
        self.confidence.value = before.get("confidence")
        self._reveal(verdict, before["answer"], self.confidence.value or 0)
        return True

    def _reveal(self, verdict: Verdict | None, given, sure: int) -> None:
        self.answered = True
        _enable(self.input.widget, False)
        self.asking.children = ()
        self.verdict.value = (
            _verdict(self.item, verdict, given, sure, reviewed=self.use == "review")
            if verdict
            else _thanks(self.item)
        )
        if self.go_on:
            self.after.children = (button(say("Next"), self.go_on),)
        elif verdict:
            self.after.children = (button(say("Try again"), self._try_again),)


def _thanks(item: Item) -> str:
    """A pretest is not scored: it makes one curious, and the lesson answers."""
    place = say("The answer comes in this lesson, at “{place}”.", place=item.place)
    return framed(say("Thank you, your answer is noted"), f"<p>{escape(place)}</p>")


def _verdict(item: Item, verdict: Verdict, given, sure: int, reviewed: bool) -> str:
    if item.type == "recall":
        mood, title = "neutral", say("You said: {how}", how=_own_judgements()[given])
        says = [item.answer, *verdict.says]
    else:
        says = verdict.says
        if verdict.right:
            mood, title = "good", say("✓ Right")
        elif verdict.score:
            mood, title = "bad", say("✗ Partly right")
        else:
            mood, title = "bad", say("✗ Not right")
    body = "".join(map(_rich, says))
    if not verdict.right and sure == max(reviewing.CONFIDENCE):
        remark = say("You were certain. Surprises like this one are remembered best.")
        body += f"<p>{escape(remark)}</p>"
    if not verdict.right and reviewed and item.place:
        place = say("Lesson {lesson}, “{place}”, tells more.", lesson=item.lesson, place=item.place)
        body += f"<p>{escape(place)}</p>"
    return framed(escape(title), body, mood)


def _confidence() -> list[tuple[str, int]]:
    return [(say("a guess"), 1), (say("fairly sure"), 2), (say("certain"), 3)]


def _own_judgements() -> dict[str, str]:
    return {"had": say("I had it"), "partly": say("partly"), "missed": say("I missed it")}


# --- Inputs ---------------------------------------------------------------------------------------


class Input(NamedTuple):
    """Where an answer is given: `read` it as plain data, `write` one (None clears it)."""

    widget: Widget
    read: Callable[[], object]
    write: Callable[[object], None]


def _one_option(item: Item, order: list[int]) -> Input:
    radios = RadioButtons(options=_plain_options(item, order), index=None)

    def write(chosen):
        radios.value = chosen

    return Input(_options(item, order, [radios]), lambda: radios.value, write)


def _some_options(item: Item, order: list[int]) -> Input:
    boxes = {
        index: Checkbox(description=text, indent=False)
        for text, index in _plain_options(item, order)
    }

    def write(chosen):
        for index, box in boxes.items():
            box.value = index in (chosen or [])

    return Input(
        _options(item, order, list(boxes.values())),
        lambda: sorted(index for index, box in boxes.items() if box.value),
        write,
    )


def _blanks(item: Item, order: list[int]) -> Input:
    count = len(item.answer)
    lines = [
        Text(
            description=say("Blank {number}", number=number) if count > 1 else say("Blank"),
            style=_WIDE,
        )
        for number in range(1, count + 1)
    ]

    def write(given):
        for line, text in zip(lines, given or [""] * count, strict=True):
            line.value = text

    return Input(VBox(lines), lambda: [line.value for line in lines], write)


def _line(item: Item, order: list[int]) -> Input:
    unit = f" ({item.unit})" if item.unit else ""
    return _written(Text(description=say("Your answer") + unit, style=_WIDE))


def _lines(item: Item, order: list[int]) -> Input:
    return _written(Textarea(description=say("It prints"), rows=3, style=_WIDE))


def _own_words(item: Item, order: list[int]) -> Input:
    return _written(Textarea(description=say("In your own words"), rows=3, style=_WIDE))


def _written(field: Text | Textarea) -> Input:
    def write(text):
        field.value = str(text or "")

    return Input(field, lambda: field.value, write)


_WIDE = {"description_width": "initial"}
_INPUTS = {
    "mcq": _one_option,
    "plot": _one_option,
    "multi": _some_options,
    "cloze": _blanks,
    "numeric": _line,
    "predict": _lines,
    "recall": _own_words,
}


def _plain_options(item: Item, order: list[int]) -> list[tuple[str, int]]:
    return [(markup.plain(item.options[index]), index) for index in order]


# --- Pieces of the page ---------------------------------------------------------------------------


def _label(html: str) -> HTMLMath:
    """What a group of inputs is called, for eyes and for screen readers."""
    label = HTMLMath(html)
    label.add_class("course-label")
    return label


def _group(label: Widget, field: Widget) -> VBox:
    group = VBox([label, field])
    group.add_class("course-group")
    return group


def _options(item: Item, order: list[int], fields: list[Widget]) -> VBox:
    """Radios and checkboxes know plain text only, which screen readers read; the page lays the
    options as they are meant, with formulas and code, over it."""
    rows = "".join(f"<div>{_rich(item.options[index])}</div>" for index in order)
    rich = HTMLMath(f'<div class="course-rows" aria-hidden="true">{rows}</div>')
    box = VBox([*fields, rich])
    box.add_class("course-options")
    return box


def _picture(item: Item) -> str:
    if item.picture is None:
        return ""
    data = b64encode(item.picture.read_bytes()).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{escape(item.alt)}">'


def _rich(text: str) -> str:
    """With JupyterLab's own look for code and its own MathJax for formulas."""
    return f'<div class="jp-RenderedHTMLCommon">{markup.html(text)}</div>'


def button(text: str, act: Callable[[], None]) -> Button:
    button = Button(description=text)
    button.on_click(lambda _: act())
    return button


def _enable(widget: Widget, enabled: bool) -> None:
    for field in (widget, *getattr(widget, "children", ())):
        if hasattr(field, "disabled"):
            field.disabled = not enabled


# --- Where nobody reads along ---------------------------------------------------------------------


def printed(items: list[Item]) -> Panel:
    """The questions on paper, so to speak: no widget, no right answer, always the same."""
    note = say("To answer, open this lesson in JupyterLab.")
    parts = [_printed(number, translated(item)) for number, item in enumerate(items, 1)]
    html = "".join(part.html for part in parts) + f"<p><em>{escape(note)}</em></p>"
    return Panel(html, "\n\n".join([*(part.plain for part in parts), note]))


def _printed(number: int, item: Item) -> Panel:
    mark = "☐" if item.type == "multi" else "○"
    options = [item.options[index] for index in item.shown()]
    rows = "".join(f"<li>{mark} {_inline(option)}</li>" for option in options)
    html = f"<div><strong>{number}.</strong> {markup.html(item.prompt)}{_picture(item)}"
    html += f'<ul style="list-style: none">{rows}</ul></div>' if rows else "</div>"
    lines = [f"{number}. {markup.plain(item.prompt)}"]
    lines += [f"[{item.alt}]"] if item.alt else []
    lines += [f"   {mark} {markup.plain(option)}" for option in options]
    return Panel(html, "\n".join(lines))


def _inline(text: str) -> str:
    html = markup.html(text)
    alone = html.startswith("<p>") and html.count("<p>") == 1 and html.endswith("</p>")
    return html.removeprefix("<p>").removesuffix("</p>") if alone else html
