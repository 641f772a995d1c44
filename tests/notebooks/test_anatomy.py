"""Every lesson has the same parts in the same order, so that a learner always knows the way."""

import ast
import re

import pytest
from lessons import SOURCES, STEMS

from course_utils.authoring.source import read
from course_utils.exercises import find
from course_utils.quiz import bank

PARTS = [
    "Before you start",
    "Overview",
    "Key concepts",
    "Step",
    "Pitfalls",
    "Retrieval quiz",
    "Recap",
    "Spaced review",
    "Further reading",
]


def sections(path) -> list[tuple[str, str]]:
    """The second-level headings of a lesson, each with the prose under it."""
    prose = "\n\n".join(cell.source for cell in read(path).cells if cell.kind == "text")
    found = re.split(r"^## +(.+)$", prose, flags=re.MULTILINE)
    return list(zip(found[1::2], found[2::2], strict=True))


def part(heading: str) -> str | None:
    return next((name for name in PARTS if heading.startswith(name)), None)


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_it_opens_with_title_minutes_difficulty_and_what_one_will_be_able_to_do(path):
    first = read(path).cells[0]
    assert first.kind == "text"
    title, _, rest = first.source.partition("\n")
    assert re.match(r"# \S", title)
    assert re.search(r"\b\d+ minutes\b", rest)
    assert re.search(r"\bdifficulty\b", rest, re.IGNORECASE)
    assert re.search(r"\byou will be able to\b", rest, re.IGNORECASE)


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_it_says_at_its_top_how_to_go_on_after_a_pause(path):
    cells = read(path).cells
    place = 0 if "Back again?" in cells[0].source else 1  # the start page has its desk before it
    assert "Run All Above Selected Cell" in cells[place].source.replace("\n", " ")


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_its_parts_stand_in_order(path):
    """Each once, only the steps several times; a lesson may have other sections in between."""
    parts = [part(heading) for heading, _ in sections(path) if part(heading)]
    steps = parts.count("Step")
    assert steps
    first = PARTS.index("Step")
    assert parts == [*PARTS[:first], *["Step"] * steps, *PARTS[first + 1 :]]


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_its_overview_has_80_words_at_most(path):
    overview = dict(sections(path))["Overview"]
    assert 10 <= len(overview.split()) <= 80


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_its_pitfalls_happen_in_code(path):
    cells = read(path).cells
    places = {
        name: next(n for n, c in enumerate(cells) if c.kind == "text" and f"## {name}" in c.source)
        for name in ("Pitfalls", "Retrieval quiz")
    }
    assert any(c.is_code for c in cells[places["Pitfalls"] : places["Retrieval quiz"]])


def calls(path, name: str) -> list[tuple[str, tuple]]:
    """Each call of this function in a lesson: the heading above it, and its arguments."""
    found, heading = [], ""
    for cell in read(path).cells:
        if cell.kind == "text":
            headings = re.findall(r"^## +(.+)$", cell.source, flags=re.MULTILINE)
            heading = headings[-1] if headings else heading
        elif cell.is_code:
            found += [
                (heading, tuple(ast.literal_eval(argument) for argument in call.args))
                for call in ast.walk(ast.parse(cell.source))
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == name
            ]
    return found


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_it_asks_before_it_starts_and_at_the_end_and_enrols_its_questions(path):
    number = path.stem[:2]
    asked = calls(path, "quiz")
    assert asked[0] == ("Before you start", (number, "pretest"))
    assert asked[-1] == ("Retrieval quiz", (number, "exit"))
    assert calls(path, "enrol") == [("Spaced review", (number,))]


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_each_of_its_questions_is_asked_where_its_answer_stands(path):
    """A question in between comes after the part that it is about, and none is left out."""
    number = path.stem[:2]
    sections = [(head, a) for head, a in calls(path, "quiz") if a[:2] == (number, "section")]
    for heading, (*_, place) in sections:
        assert heading.startswith(place)
    asked = [item.id for _, arguments in sections for item in bank.select(*arguments)]
    assert sorted(asked) == sorted(item.id for item in bank.select(number, "section"))


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_what_it_says_of_its_exercises_is_so(path):
    """Points, minutes and difficulty stand in the text and in course_utils.exercises alike, and
    the minutes of the whole leave time to read."""
    cells = read(path).cells
    text = "\n".join(cell.source for cell in cells if cell.kind == "text")
    asked = [find(cell.name) for cell in cells if cell.kind == "exercise"]
    for e in asked:
        line = (
            f"**Exercise** `{e.name}` · {e.points:g} point{'s' * (e.points != 1)} · "
            f"about {e.minutes} minutes · difficulty {e.difficulty} of 5"
        )
        assert line in text
    whole = int(re.search(r"(\d+) minutes", text)[1])
    assert whole >= 1.2 * sum(e.minutes for e in asked)
