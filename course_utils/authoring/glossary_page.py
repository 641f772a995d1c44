"""The glossary as a page of its own, and the links to it from the lessons.

The page is Markdown and no notebook: it needs no kernel, and JupyterLab scrolls to a heading of a
page that it opens, but not of a notebook. A heading's address is its words with hyphens between
them, in JupyterLab and mostly on GitHub too.

Only learners' notebooks have links to it. A class hands out one folder for each assignment, where
they would lead nowhere.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from nbformat import NotebookNode

from course_utils.authoring.source import AuthoringError
from course_utils.quiz import glossary
from course_utils.quiz.glossary import Term
from course_utils.quiz.translation import LANGUAGES

NAME = "glossary.md"

_INTRODUCTION = """\
# Glossary

The words of the course in English, Bulgarian, Vietnamese and Korean, lesson by lesson. Each entry
leads to the place that explains the word, and the key concepts of a lesson lead here."""


def refuse_mistakes() -> None:
    """A heading that is gone from its lesson would be a link to nowhere."""
    if mistakes := glossary.mistakes():
        raise AuthoringError("\n".join(map(str, mistakes)))


# --- The page -------------------------------------------------------------------------------------


def page(sources: Iterable[Path]) -> str:
    """The terms of these lessons: an index, and a section for each lesson."""
    by_lesson = {path: _terms(path.stem[:2]) for path in sources}
    names = [_name(term) for terms in by_lesson.values() for term in terms]
    index = " · ".join(f"[{name}](#{_anchor(name)})" for name in sorted(names, key=str.casefold))
    parts = [_INTRODUCTION, index]
    for path, terms in by_lesson.items():
        parts += [f"## {_title(path)}", *(_entry(term, path) for term in terms)]
    return "\n\n".join(parts) + "\n"


def _terms(lesson: str) -> list[Term]:
    return [term for term in glossary.every() if term.lesson == lesson]


def _name(term: Term) -> str:
    return term.words["en"].term


def _anchor(heading: str) -> str:
    return heading.replace(" ", "-")


def _title(lesson: Path) -> str:
    """As its source says it, which need not be without mistakes for that."""
    lines = lesson.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line[4:] for line in lines if line.startswith("# # ")), lesson.stem)


def _entry(term: Term, lesson: Path) -> str:
    place = f"[{term.heading}]({lesson.stem}.ipynb#{_anchor(term.heading)})"
    others = [
        f"- {name}: **{term.words[language].term}**. {term.words[language].meaning}"
        for language, name in LANGUAGES.items()
        if language != "en"
    ]
    english = f"{term.words['en'].meaning} → {place}"
    return "\n\n".join([f"### {_name(term)}", english, "\n".join(others)])


# --- The links ------------------------------------------------------------------------------------

_SECTION = re.compile(r"^## Key concepts\n.*?(?=\s*^## |\s*\Z)", re.MULTILINE | re.DOTALL)
_BOLD = re.compile(r"\*\*([^*]+)\*\*")
_LINK = re.compile(rf"\[([^][]+)\]\({re.escape(NAME)}#[^)]*\)")
_LAST = f"In the [glossary]({NAME}), in four languages: "


def link(notebook: NotebookNode, lesson: str) -> NotebookNode:
    """A learner's notebook, whose key concepts now lead to the glossary."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = _SECTION.sub(lambda found: _linked(found[0], lesson), cell.source)
    return notebook


def unlinked(text: str) -> str:
    """Without what the glossary alone decides."""
    return _LINK.sub(r"\1", re.sub(rf"{re.escape(_LAST)}.*", "", text))


def _linked(section: str, lesson: str) -> str:
    """With a link at each word in bold that the glossary has. A last line names the glossary, and
    of its words for this lesson the others."""
    linked = []

    def with_link(bold: re.Match) -> str:
        term = _named(bold[1])
        linked.append(term)
        return f"**{_link(bold[1], term)}**" if term else bold[0]

    section = _BOLD.sub(with_link, section)
    others = ", ".join(_link(_name(t), t) for t in _terms(lesson) if t not in linked)
    there = ["the words above that have a link"] if any(linked) else []
    there += [others] if others else []
    return f"{section}\n\n{_LAST}{'; also '.join(there)}." if there else section


def _link(text: str, term: Term) -> str:
    return f"[{text}]({NAME}#{_anchor(_name(term))})"


def _named(text: str) -> Term | None:
    """The term whose name or form this is, in singular or plural, with or without its abbreviation
    in brackets."""
    text = re.sub(r" \(.*\)$", "", " ".join(text.split()))
    for term in glossary.every():
        for name in (_name(term), *term.words["en"].forms):
            pattern = re.escape(name).replace(r"\*", r"\w*")
            if re.fullmatch(rf"{pattern}s?", text, re.IGNORECASE):
                return term
    return None
