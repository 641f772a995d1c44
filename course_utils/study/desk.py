"""The desk on the start page: where one stands, which lessons have a newer version, what is due for
review, and the words of the course, all in the language that one chooses here.

It draws itself anew from the log and from that choice whenever something changes. What holds links
to lessons is an Output, because JupyterLab opens those beside this page.
"""

from html import escape
from pathlib import Path
from urllib.parse import quote

from ipywidgets import HTML, Output, RadioButtons, Text, VBox

from course_utils.copies import newer
from course_utils.lesson_changes import changes
from course_utils.quiz import glossary, markup
from course_utils.quiz.glossary import Term
from course_utils.quiz.translation import LANGUAGES, choose, language, say
from course_utils.runtime import automated
from course_utils.study import reviewing
from course_utils.study.panels import Panel, framed, marked, panel
from course_utils.study.progress import link_to, progress
from course_utils.study.quizzes import OnShow, Sitting, button
from course_utils.study.titles import named

MOST = 6  # terms that are shown for one search


def desk():
    """Where you stand, today's review, your language and the words of the course."""
    if automated():
        return panel("Your desk", ["In JupyterLab, where you stand and the glossary come here."])
    return Desk()


class Desk(OnShow):
    def __init__(self):
        self.standing, self.found = Output(), Output()
        self.language = RadioButtons(
            options=[(name, code) for code, name in LANGUAGES.items()], value=language()
        )
        self.language.add_class("course-in-a-row")
        self.language.observe(self._choose, "value")
        self.problem = HTML()
        self.word = Text(style={"description_width": "initial"})
        self.word.observe(lambda _: self._search(), "value")
        self.start = button("", self._review)
        self.sitting = VBox()
        self.spoken = HTML()
        parts = [self.standing, self.start, self.sitting]
        parts += [self.spoken, self.language, self.problem, self.word, self.found]
        super().__init__(parts)
        self.widget.add_class("course-desk")
        self._draw()

    def _note(self) -> str:
        return say("Run this cell to see where you stand.")

    def _draw(self) -> None:
        due = reviewing.due_today()
        count = say("Due for review today: {count}", count=len(due))
        today, *sentences = [count] if due else reviewing.ending()
        _show(self.standing, progress(), *_newer_versions(), panel(today, sentences))
        self.start.description = say("Review now")
        self.start.layout.display = None if due else "none"
        self.spoken.value = escape(say("Language of questions, reviews and the glossary"))
        self.word.description = say("Look up a word")
        self.word.placeholder = say("such as sparsity")
        self._search()

    def _review(self) -> None:
        self.sitting.children = (Sitting(on_end=self._draw).widget,)
        self.start.layout.display = "none"

    def _choose(self, change) -> None:
        self.problem.value = ""
        try:
            choose(change.new)
        except OSError as error:
            self.problem.value = escape(f"{error}")
        self.sitting.children = ()
        self._draw()

    def _search(self) -> None:
        asked = self.word.value
        terms = glossary.find(asked, language())[:MOST]
        if terms:
            _show(self.found, *map(_entry, terms))
        elif asked.strip():
            _show(self.found, panel(say("The glossary has no such word.")))
        else:
            _show(self.found)


def _newer_versions() -> list[Panel]:
    """What the course has brought since for lessons that are begun, and where it lies."""
    found = newer(Path.cwd())
    if not found:
        return []
    title = say("There are newer versions of lessons that you have begun")
    stays = say("Your own copies stay as they are.")
    html, plain = "", [title]
    for lesson, (mine, later) in found.items():
        lesson, name = named(lesson), later.name
        html += f'<p>{escape(lesson)}: <a href="{escape(quote(name))}">{escape(name)}</a>'
        plain.append(f"{lesson}: {name}")
        # like the headings it names, in English
        for line in changes(_text(mine), _text(later)):
            html += f'<br><span lang="en">{escape(line)}</span>'
            plain.append(f"  {line}")
        html += "</p>"
    return [
        Panel(framed(escape(title), f"{html}<p>{escape(stays)}</p>"), "\n".join([*plain, stays]))
    ]


def _text(notebook: Path) -> str:
    try:
        return notebook.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _entry(term: Term) -> Panel:
    """A term: its name and meaning in the learner's language, its other names, and its lesson."""
    spoken = language()
    words = term.words[spoken]
    others = [term.words[code].term for code in LANGUAGES if code != spoken]
    place = f"{named(term.lesson)}, “{term.heading}”"
    link = link_to(term.lesson, term.heading)
    shown = f'<a href="{escape(link)}">{escape(place)}</a>' if link else escape(place)
    html = (
        f'<div lang="{spoken}"><p><strong>{marked(words.term)}</strong> · '
        f"{marked(' · '.join(dict.fromkeys(others)))}</p>{markup.html(words.meaning)}"
        f"<p>{shown}</p></div>"
    )
    lines = [f"{words.term} · {' · '.join(others)}", markup.plain(words.meaning), place]
    return Panel(html, "\n".join(lines))


def _show(place: Output, *panels: Panel) -> None:
    """These instead of what was shown there."""
    place.outputs = tuple(
        {
            "output_type": "display_data",
            "data": {"text/html": each.html, "text/plain": each.plain},
            "metadata": {},
        }
        for each in panels
    )
