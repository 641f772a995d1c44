"""The class report, from gradebooks and notes as grading leaves them: what it says, that it names
nobody unless asked, and that nothing a student wrote can do harm in it."""

import base64
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from datetime import datetime
from html.parser import HTMLParser

import a_class
import nbformat
import pytest
from a_class import LESSON, worth
from nbgrader.api import Gradebook
from nbgrader.converters import GenerateAssignment

from course_utils import cli
from course_utils.grading import classes, notes, report, report_page
from course_utils.grading.report import (
    BY_HAND,
    EMPTY,
    PARTLY,
    RIGHT,
    UNGRADED,
    WRONG,
    Exercise,
    Findings,
    Result,
    Student,
)

# about nbgrader's own way of saving
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")

SCRIPT = "</style><script>alert('gone')</script><img src=x onerror=alert(1)>"
COMMAND = "\x1b[2J\x9b1m\u202eevil"
HARMLESS = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "p", "ol"}
HARMLESS |= {"ul", "li", "b", "strong", "code", "blockquote", "span", "bdi", "div", "wbr", "table"}
HARMLESS |= {"thead", "tbody", "tr", "th", "td", "details", "summary", "svg", "defs", "pattern"}
HARMLESS |= {"rect", "g", "text"}
SECONDS = {"cells": 2.0, "verdicts": 0.5}


def enter(folder, students, assignment="01"):
    """Students by id as grading leaves them: for each exercise its points, or None for one that
    could not be graded; what the checks said; times; and a note for each notebook, or none."""
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        for id_, said in students.items():
            gradebook.update_or_create_student(
                id_,
                first_name=said.get("first"),
                last_name=said.get("last"),
                email=said.get("mail"),
            )
            if "points" not in said:
                continue
            for place in ("submitted", "autograded"):
                (folder / place / id_ / assignment).mkdir(parents=True, exist_ok=True)
            submission = gradebook.update_or_create_submission(assignment, id_)
            submission.timestamp = said.get("when")
            for notebook in submission.notebooks:
                notebook.late_submission_penalty = said.get("late", 0.0)
                for grade in notebook.grades:
                    points = said["points"].get(grade.name.removeprefix("check-"))
                    waits = points is None or points == "waits"
                    grade.auto_score = None if waits else points
                    grade.needs_manual_grade = waits
                if said.get("noted", True):
                    notes.write(folder, assignment, id_, notebook.name, **_note(said))
        gradebook.db.commit()


def _note(said):
    checks = {}
    for name, points in said["points"].items():
        if isinstance(points, float | int) and name != "why":
            message, groups = said.get("said", {}).get(name, ("", {}))
            status = said.get("status", {}).get(name)
            status = status or ("incorrect" if message else "correct" if points else "incorrect")
            checks[f"check-{name}"] = {
                "exercise": name,
                "status": status,
                "points": points,
                "of": {"first": 2, "second": 4}[name],
                "message": message,
                "groups": groups,
            }
    ungraded = {f"check-{name}": why for name, why in said.get("not graded", {}).items()}
    said_of_it = {"lines": said.get("lines", []), "failed": said.get("failed", "")}
    seconds = said.get("seconds", SECONDS)
    return {**said_of_it, "work": "", "not graded": ungraded, "checks": checks, "seconds": seconds}


def points(first, second, why=3.0):
    return {"first": first, "second": second, "why": why}


def wrong(name, message, **groups):
    return {"said": {name: (message, groups)}}


TIES = {"ordinary": True, "ties": False}


def a_dozen():
    """All states, shared messages and messages of one's own."""
    when = datetime(2026, 11, 20, 8, 30, 17)
    several = {"points": points(2, 1), **wrong("second", "second(3): the sign is lost", **TIES)}
    two = {"points": points(2, 1), **wrong("second", "second(3): it is a quokka", **TIES)}
    named = "second(3): this raised ValueError: ask Quentin"
    quoting = {"points": points(2, 0), **wrong("second", named)}
    own = "first(1): this raised NameError: name 'zebra{}' is not defined"
    entries = [
        {"points": points(2, 4), "when": when},
        {"points": points(2, 4, 1.5), "late": 1.0},
        *(several for _ in range(3)),
        *(two for _ in range(2)),
        *(quoting for _ in range(3)),
        *({"points": points(0, 4), **wrong("first", own.format(n))} for n in range(4)),
        {"points": points(0, 0, 0), "status": {"first": EMPTY, "second": EMPTY}},
        {
            "points": points(2, None, "waits"),
            "not graded": {"second": "`my thesis.ipynb` is empty"},
        },
        {"first": "Quentin", "last": "Quick", "mail": "qq@uni.example"},
    ]
    return {f"u{7000 + 13 * n}": entry for n, entry in enumerate(entries)}


def made(folder, tmp_path, names=False, assignment="01"):
    """The page, and what is said in the terminal."""
    file = tmp_path / "page.html"
    said = report.write(folder, assignment, names, file)
    return file.read_text(encoding="utf-8"), "\n".join(said)


class Page(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.rows = Counter(), [], [], []
        self.in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags[tag] += 1
        self.attributes += [(tag, *attribute) for attribute in attributes]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_cell = True

    def handle_endtag(self, tag):
        self.in_cell = self.in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self.lasttag not in ("style", "title"):
            self.texts.append(data)
            if self.in_cell:
                self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join("".join(self.texts).split())

    def row(self, first):
        return next(row for row in self.rows if row and row[0] == first)


# --- What it says ---------------------------------------------------------------------------------


def test_every_exercise_is_counted_by_how_it_went(folder, tmp_path):
    enter(folder, a_dozen())
    text, said = made(folder, tmp_path)
    page = Page(text)
    heads = page.rows[0]
    first = dict(zip(heads, page.row("first"), strict=True))
    second = dict(zip(heads, page.row("second"), strict=True))
    by_hand = dict(zip(heads, page.row("why"), strict=True))
    assert (first[RIGHT], first[WRONG], first[EMPTY]) == ("11", "4", "1")
    states = [second[state] for state in (RIGHT, PARTLY, WRONG, EMPTY, UNGRADED)]
    assert states == ["6", "5", "3", "1", "1"]
    assert (by_hand[RIGHT], by_hand[PARTLY], by_hand[EMPTY], by_hand[BY_HAND]) == (
        ("13", "1", "1", "1")
    )
    assert first["mean"] == f"{round(11 * 2 / 16, 2):g}"
    assert "16 of 17 students handed in, 15 graded, 1 graded in part." in page.text
    terminal = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert terminal["second"] == ["4", second["mean"], "6", "5", "3", "1", "1"]


def test_what_failed_most_comes_first_with_what_most_were_told(folder, tmp_path):
    enter(folder, a_dozen())
    text, said = made(folder, tmp_path)
    start = Page(text).text.split("Start here")[1].split("Exercises")[0]
    assert start.index("second is not right for 8 of the 14 who tried: 5 partly, 3 wrong") < (
        start.index("first is not right for 4 of the 15 who tried: 4 wrong")
    )
    assert "3 students: second(3): the sign is lost" in start
    assert "Where it is partly right, it fails in: ties (5)." in start
    assert "Most often not attempted: first, by 1 of 16." in start
    assert said.index("1. second: not right for 8") < said.index("2. first: not right for 4")
    assert "3 x  second(3): the sign is lost" in said


def test_groups_of_cases_are_counted_apart_for_the_partly_right(folder, tmp_path):
    failed = {"ordinary": False, "ties": False}
    wrong_ones = {
        f"w{n}": {"points": points(2, 0), **wrong("second", "no", **failed)} for n in range(4)
    }
    partly = {"p1": {"points": points(2, 2), **wrong("second", "half", **TIES)}}
    enter(folder, {**wrong_ones, **partly})
    text, _ = made(folder, tmp_path)
    assert Page(text).row("ties") == ["ties", "5", "1"]
    assert Page(text).row("ordinary") == ["ordinary", "4", "0"]
    assert "It fails in: ties (5); ordinary (4)." in Page(text).text  # one partly right says little


def test_messages_with_words_of_their_own_count_together_by_their_error(folder, tmp_path):
    enter(folder, a_dozen())
    for names in (False, True):
        text, _ = made(folder, tmp_path, names)
        assert "4 students: first(1): this raised NameError, in various words." in Page(text).text
        assert "zebra" not in text


def test_a_line_of_a_students_code_is_nobody_elses(folder, tmp_path):
    said = "first(1): this raised ValueError: nothing is left (line 3: `zebra = values.max()`)"
    enter(folder, {f"w{n}": {"points": points(0, 4), **wrong("first", said)} for n in range(4)})
    for names in (False, True):
        text, _ = made(folder, tmp_path, names)
        assert "4 students: first(1): this raised ValueError: nothing is left" in Page(text).text
        assert "zebra" not in text


def test_points_are_spread_over_a_histogram_of_those_who_have_a_sum(folder, tmp_path):
    enter(folder, a_dozen())
    text, said = made(folder, tmp_path)
    said = " ".join(said.split())
    says = "Lowest 0, median 6, highest 9 of 9 points. All points: 1; none: 1."
    assert says in said and says in Page(text).text
    assert "1 student lost points for being late. Without a sum, and left out: 1." in said
    heard = next(v for _, name, v in Page(text).attributes if name == "aria-label" and "Hist" in v)
    shares = [int(count) for count in re.findall(r"\d to \d: (\d+)", heard)]
    assert (len(shares), sum(shares)) == (9, 15)
    assert "points, of 9" in text and ">students</text>" in text


def test_the_picture_has_a_row_for_each_student_the_best_on_top(folder, tmp_path):
    enter(folder, a_dozen())
    text, _ = made(folder, tmp_path)
    titles = re.findall(r"<title>row (\d+): ([\d.]+)( \?)? of 9", text)
    assert [int(row) for row, _, _ in titles] == list(range(1, 17))
    sums = [float(sum_) for _, sum_, _ in titles]
    assert sums == sorted(sums, reverse=True)
    assert [open_ for _, _, open_ in titles].count(" ?") == 1


def test_parts_of_the_class_are_compared(folder, tmp_path):
    best = {f"b{n}": {"points": points(2, 4)} for n in range(10)}
    rest = {f"r{n}": {"points": points(2, 0)} for n in range(10)}
    enter(folder, best | rest)
    text, _ = made(folder, tmp_path)
    assert Page(text).row("students") == ["students", "5", "5", "5", "5"]
    assert Page(text).row("points") == ["points", "9", "9", "5", "5"]
    assert ["second", "100 %", "100 %", "0 %", "0 %"] in Page(text).rows


def test_times_are_told_by_notebook_and_for_the_last_run(folder, tmp_path):
    seconds = [{"cells": float(n), "verdicts": 0.25} for n in (1, 2, 90)]
    enter(folder, {f"t{n}": {"points": points(2, 4), "seconds": s} for n, s in enumerate(seconds)})
    parts = {"start": 1.5, "cells": 93.0, "verdicts": 0.75, "intake": 0.1, "nbgrader": 0.6}
    record = {"began": "2026-11-21T15:00:00+00:00", "seconds": 75.0, "students": 3, "ran": 2}
    record |= {"stored": 1, "workers": 2, "finished": True, **parts}
    notes.write_run(folder, "01", record)
    text, said = made(folder, tmp_path)
    row = Page(text).row(LESSON)
    assert row == [LESSON, "3", "2 s", "1 min 30 s", "0.25 s", "0.25 s"]
    run = "The last run, of 2026-11-21 15:00 UTC, took 1 min 15 s for 3 students: 2 notebooks ran"
    assert run in said and run in Page(text).text
    assert Page(text).row("students' cells, summed") == ["students' cells, summed", "1 min 33 s"]
    notes.write_run(folder, "01", record | {"finished": False})
    assert "was stopped before its end, after 1 min 15 s" in made(folder, tmp_path)[1]


# --- Who: only if asked ---------------------------------------------------------------------------


def test_without_names_nothing_says_who_anybody_is(folder, tmp_path):
    enter(folder, a_dozen())
    page, said = made(folder, tmp_path)
    for text in (page, said):
        assert not re.search(r"u7\d\d\d|quentin|quick|qq@|uni\.example", text, re.IGNORECASE)
        assert "08:30" not in text and "2026-11-20" not in text
        assert not re.search("thesis|zebra|quokka", text)


def test_with_names_everything_is_there(folder, tmp_path):
    enter(folder, a_dozen())
    page, said = made(folder, tmp_path, names=True)
    for text in (page, said):
        assert all(id_ in text for id_ in a_dozen())
        assert "2026-11-20 08:30:17" in text
        assert "my thesis.ipynb" in text
    assert "Nothing handed in (1): u7208 Quentin Quick" in Page(page).text
    row = next(row for row in Page(page).rows if row and row[0] == "u7013")
    assert row[3:] == ["6.5 of 9", "✓ 2", "✓ 4", "◐ 1.5", "1 off for being late"]


def test_a_page_without_names_is_the_same_whoever_the_students_are(template, tmp_path, monkeypatch):
    monkeypatch.setattr(report_page, "datetime", _Noon)
    entries = a_dozen()
    entries |= {"a": {"points": points(2, 4, 0)}, "b": {"points": points(0, 4, 2)}}  # 6 points too
    pages = []
    for turn in (0, 5, len(entries) - 1):
        folder = a_class.copied(template, tmp_path / str(turn) / "pruning")
        ids = list(entries)
        enter(folder, dict(zip(ids[turn:] + ids[:turn], entries.values(), strict=True)))
        text, said = made(folder, tmp_path)
        pages.append((text, said))
    assert pages[0] == pages[1] == pages[2]


class _Noon(datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2026, 1, 1, 12)


def test_a_message_in_the_courses_own_words_is_shown_though_one_got_it(folder, tmp_path):
    message = "second(2): you kept 2 of 10 weights: the sparsity is the share that goes."
    enter(folder, {"ann": {"points": points(2, 1), **wrong("second", message, **TIES)}})
    text, said = made(folder, tmp_path)
    assert f"1 student: {message}" in Page(text).text
    assert "you kept 2 of 10 weights" in said


@pytest.mark.parametrize("count, shown", [(2, False), (3, True)])
def test_words_of_a_students_are_shown_without_names_if_three_share_them(
    folder, tmp_path, count, shown
):
    told = {"points": points(2, 1), **wrong("second", "second(2): got 'wombat'", **TIES)}
    others = {f"o{n}": {"points": points(2, 4)} for n in range(6)}
    enter(folder, others | {f"m{n}": told for n in range(count)})
    text, said = made(folder, tmp_path)
    assert ("wombat" in text, "wombat" in said) == (shown, shown)
    assert "ties" in text and "ties" in said
    assert ("2 students with messages in words of their own" in Page(text).text) is not shown
    assert "wombat" in made(folder, tmp_path, names=True)[0]


@pytest.mark.parametrize(
    "word", ["jo-lee", "JO", "Oehlenschläger", "weights_of_lee", "lee2", "jo.lee@uni.example"]
)
def test_a_message_with_somebodys_name_is_never_shown_without_names(folder, tmp_path, word):
    text = f"second(2): the name '{word}' is wrong"
    told = {"points": points(2, 1), **wrong("second", text, **TIES)}
    other = {"first": "Joe", "last": "Oehlenschläger", "mail": "jolee@uni.example"}
    enter(folder, {f"m{n}": told for n in range(8)} | {"joe-lee": other, "jo-lee": {}})
    page, said = made(folder, tmp_path)
    hidden = word != "JO"  # two letters are too many other words
    assert (text not in Page(page).text, text not in said) == (hidden, hidden)


def test_a_name_within_another_word_hides_nothing(folder, tmp_path):
    message = "second(2): the channels are few, 4000 of 0.1001"
    told = {"points": points(2, 1), **wrong("second", message, **TIES)}
    others = {"chan": {"first": "Ann", "last": "Chan"}, "400": {}, "100": {}}
    enter(folder, {f"m{n}": told for n in range(3)} | others)
    assert message in Page(made(folder, tmp_path)[0]).text


def test_fewer_than_five_have_no_rows_of_their_own_without_names(folder, tmp_path):
    enter(folder, {f"f{n}": {"points": points(2, n)} for n in range(4)})
    text, _ = made(folder, tmp_path)
    assert "<title>row" not in text and "With fewer than 5 results" in Page(text).text
    text, _ = made(folder, tmp_path, names=True)
    assert len(re.findall(r"<title>f\d", text)) == 4


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_a_page_with_names_is_another_file_and_its_owners_alone(folder):
    enter(folder, a_dozen())
    plain, named = (report.write(folder, "01", names)[-1] for names in (False, True))
    files = {path.name: path for path in (folder / "reports").iterdir()}
    assert set(files) == {"01.html", "01-with-names.html"}
    assert str(files["01.html"]) in plain and str(files["01-with-names.html"]) in named
    assert stat.S_IMODE(files["01-with-names.html"].stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "reports").stat().st_mode) == 0o700


# --- What a student wrote does no harm ------------------------------------------------------------


@pytest.fixture
def hostile(folder):
    told = {"points": points(2, 1), **wrong("second", SCRIPT + COMMAND, **{SCRIPT: False})}
    who = {"first": '"><i onclick=x>Zo', "last": "\x1b[2J\u202eMo", "lines": [SCRIPT + COMMAND]}
    named = {**told, **who}
    open_ = {"points": points(2, None), "not graded": {"second": SCRIPT + COMMAND}}
    entries = {f"h{n}": told for n in range(6)}
    enter(folder, {**entries, "x&<b>": named, "o1": open_, "o2": open_, "o3": open_})
    return folder


@pytest.mark.parametrize("names", [False, True])
def test_no_text_becomes_a_part_of_the_page(hostile, tmp_path, names):
    text, _ = made(hostile, tmp_path, names)
    page = Page(text)
    assert "alert('gone')" in page.text  # it is shown
    assert set(page.tags) <= HARMLESS
    assert page.tags["style"] == 1
    risky = ("on", "href", "src", "style", "xlink", "action", "formaction")
    assert [a for a in page.attributes if a[1].startswith(risky)] == []


@pytest.mark.parametrize("names", [False, True])
def test_nothing_moves_a_cursor_or_turns_the_writing_around(hostile, tmp_path, names):
    for text in made(hostile, tmp_path, names):
        assert "evil" in text
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)


@pytest.mark.parametrize("names", [False, True])
def test_a_page_forbids_what_could_run_or_load_and_asks_for_nothing(hostile, tmp_path, names):
    text, _ = made(hostile, tmp_path, names)
    metas = [
        value for tag, name, value in Page(text).attributes if (tag, name) == ("meta", "content")
    ]
    policy = next(value for value in metas if "default-src" in value)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    rules = "default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'"
    assert policy == rules.format(digest)
    assert text.index("Content-Security-Policy") < text.index("<style>")
    assert "://" not in text and "@import" not in text and not re.search(r"url\((?!#)", text)


# --- Pictures for everybody -----------------------------------------------------------------------


def big(count):
    """A made-up class without a gradebook: each in every state once, in some exercise."""
    states = (RIGHT, PARTLY, WRONG, EMPTY, UNGRADED, BY_HAND)
    exercises = [Exercise(LESSON, f"check-{n}", f"exercise_{n}", 2.0, n == 6) for n in range(7)]
    students = []
    for number in range(count):
        state = [states[(number + n) % 6] for n in range(7)]
        results = tuple(Result(s, {RIGHT: 2.0, PARTLY: 0.5}.get(s, 0.0)) for s in state)
        sum_ = sum(result.points for result in results)
        where = classes.Standing(f"s{number}", sum_, 14.0, sum_, 0.0, 0, {}, [], "", "")
        students.append(Student(f"s{number}", f"Name {number}", where, results))
    students.sort(key=lambda one: -one.so_far)
    nobody = re.compile(r"(?!)")
    return Findings("pruning", "01", 14.0, exercises, students, [], [], [], {}, nobody)


@pytest.mark.parametrize("count, tallest", [(5, 240), (40, 800), (300, 1300), (1000, 2100)])
@pytest.mark.parametrize("names", [False, True])
def test_a_picture_stays_on_the_page_however_many_they_are(count, tallest, names):
    text = report_page.page(big(count), names)
    pictures = re.findall(r'<svg width="([\d.]+)" height="([\d.]+)"[^>]*role="img"', text)
    assert len(pictures) == 2
    assert max(float(width) for width, _ in pictures) <= 960
    assert max(float(height) for _, height in pictures) <= tallest
    assert text.index("Start here") < text.index("Who did what")
    assert len(text) < 1600 * count + 60_000


def test_every_picture_has_words_or_stands_beside_the_figures_that_it_shows():
    page = Page(report_page.page(big(30), names=False))
    told = [name for tag, name, _ in page.attributes if tag == "svg" and name.startswith("aria-")]
    assert len(told) == page.tags["svg"] > 10
    assert told.count("aria-label") == 2
    assert page.row("exercise_0")[1] == "2"


def test_each_state_has_a_shape_of_its_own():
    marks = {
        state: report_page._mark(state, 0.5, 0, 0, 100, 10)
        for state in (RIGHT, PARTLY, WRONG, EMPTY, UNGRADED, BY_HAND)
    }
    shape = {state: re.sub(r'class="\w+"', "", mark) for state, mark in marks.items()}
    assert len({shape[state] for state in (RIGHT, PARTLY, WRONG, EMPTY)}) == 4
    for state, pattern in ((UNGRADED, "hatch"), (BY_HAND, "dots")):
        kind = re.search(r'class="(\w+)"', marks[state])[1]
        assert f".{kind} {{ fill: url(#{pattern}); }}" in report_page._STYLE


@pytest.mark.parametrize("theme", [0, 1])
def test_marks_and_words_stand_out_in_both_themes(theme):
    themes = re.findall(r":root \{(.*?)\}", report_page._STYLE, re.DOTALL)
    colour = dict(re.findall(r"--(\w+): (#\w{6})", themes[theme]))
    for mark in ("right", "partly", "wrong", "other"):
        assert contrast(colour[mark], colour["track"]) >= 3, mark
        assert contrast(colour[mark], colour["page"]) >= 3, mark
    for words in ("ink", "quiet"):
        assert contrast(colour[words], colour["page"]) >= 4.5, words


def contrast(one, other):
    """As the Web Content Accessibility Guidelines count it."""
    light = []
    for colour in (one, other):
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(light) / min(light)


# --- Odd states -----------------------------------------------------------------------------------


def test_nobody_has_handed_in(folder, tmp_path):
    enter(folder, {"ann": {}, "bob": {}})
    text, said = made(folder, tmp_path)
    assert "Nothing handed in: ann, bob" in made(folder, tmp_path, names=True)[1]
    assert "nobody has handed in anything yet" in said and "nobody has handed in" in text
    assert "No run of `course class grade` is written down" in said.replace("\n", " ")


def test_nothing_is_graded_yet(folder, tmp_path):
    for student in ("ann", "bob"):
        a_class.hand_in(folder, student, first=worth(1))
    text, said = made(folder, tmp_path)
    assert "2 of 2 students handed in, nobody graded yet." in said
    assert "2 students not graded yet: `course class grade 01`." in said
    assert "2 students not graded yet" in Page(text).text
    assert "Nothing handed in" not in Page(made(folder, tmp_path, names=True)[0]).text


def test_what_was_handed_in_again_counts_when_it_is_graded(folder, tmp_path):
    enter(folder, {"ann": {"points": points(2, 4)}, "bob": {"points": points(2, 4)}})
    stamp = folder / "submitted" / "bob" / "01" / "timestamp.txt"
    stamp.write_text("2026-11-21 08:00:00 UTC", encoding="utf-8")
    _, said = made(folder, tmp_path)
    assert "2 of 2 students handed in, 1 graded." in said
    assert "1 student not graded yet (1 handed in again since the last grading)" in said


def test_what_was_graded_counts_when_its_files_are_gone(folder, tmp_path):
    enter(folder, {"ann": {"points": points(2, 4)}})
    stamp = folder / "autograded" / "ann" / "01" / "timestamp.txt"
    stamp.write_text("2026-11-21 08:00:00 UTC", encoding="utf-8")
    shutil.rmtree(folder / "submitted")
    assert "1 of 1 students handed in, 1 graded." in made(folder, tmp_path)[1]


def test_where_grading_itself_failed_nothing_is_counted(folder, tmp_path):
    enter(folder, {"ann": {"points": points(2, 4)}, "bob": {"points": points(2, 4)}})
    notes.write(folder, "01", "bob", LESSON, **_note({"points": {}, "failed": f"no: {SCRIPT}"}))
    text, said = made(folder, tmp_path)
    assert "2 of 2 students handed in, 1 graded." in said
    assert "Grading itself failed for 1 student" in said and "alert" not in text
    assert "Grading itself failed (1): bob" in Page(made(folder, tmp_path, names=True)[0]).text


def test_without_notes_there_are_points_and_a_word_about_the_rest(folder, tmp_path):
    enter(folder, {f"p{n}": {"points": points(2, n % 3), "noted": False} for n in range(6)})
    text, said = made(folder, tmp_path)
    assert Page(text).row("second")[4:7] == ["", "4", "2"]
    assert "6 students graded without notes" in said
    assert Page(text).row(LESSON) == [LESSON, "0", "", "", "", ""]


def test_a_note_about_another_grading_is_not_believed(folder, tmp_path):
    told = {"points": points(2, 0), **wrong("second", "second(2): no", **TIES)}
    enter(folder, {f"n{n}": told for n in range(5)})
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        for n in range(5):
            gradebook.find_grade("check-second", LESSON, "01", f"n{n}").auto_score = 4
        gradebook.db.commit()
    text, _ = made(folder, tmp_path)
    assert Page(text).row("second")[4] == "5" and "second(2): no" not in text


def test_what_a_human_gave_counts(folder, tmp_path):
    enter(folder, {f"n{n}": {"points": points(2, None, "waits")} for n in range(5)})
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        for n in range(5):
            for cell, score in (("check-second", 4), ("why", n % 4)):
                grade = gradebook.find_grade(cell, LESSON, "01", f"n{n}")
                grade.manual_score, grade.needs_manual_grade = score, False
        gradebook.find_grade("why", LESSON, "01", "n3").extra_credit = 2
        gradebook.db.commit()
    text, said = made(folder, tmp_path)
    assert Page(text).row("second")[4] == "5"
    assert Page(text).row("why")[4:7] == ["1", "2", "2"]  # right, partly, and a zero by hand
    assert "highest 11 of 9 points" in said
    assert "Lowest among the answers graded by hand: why, 1.6 of 3 points on average." in said


def test_points_that_are_to_grade_by_hand_are_no_zeros(folder, tmp_path):
    enter(folder, {f"n{n}": {"points": points(2, 4, "waits")} for n in range(5)})
    text, said = made(folder, tmp_path)
    more = "All points: 5; none: 0. For everybody 3 more points are to grade by hand."
    assert f"highest 6 of 6 points. {more}" in said.replace("\n", " ")
    assert "points, of 6" in text
    assert "To grade by hand in formgrader (`course class open`): why (5)." in said


@pytest.fixture(scope="module")
def two_notebooks(tmp_path_factory):
    """An assignment of two notebooks, with the same names in both, and one of written answers."""
    folder = a_class.make(tmp_path_factory.mktemp("two") / "pruning")
    written = a_class.lesson()
    written.cells = [written.cells[0], written.cells[-1]]
    for assignment, name, lesson in (
        ("01", "02_more", a_class.lesson()),
        ("05", "05_written", written),
    ):
        place = folder / "source" / assignment
        place.mkdir(exist_ok=True)
        nbformat.write(lesson, place / f"{name}.ipynb")
    with classes.nbgrader(folder) as app:
        app.coursedir.assignment_id = "*"
        generate = GenerateAssignment(coursedir=app.coursedir, parent=app)
        generate.force = True
        generate.start()
    return folder


def test_notebooks_of_one_assignment_are_told_apart(two_notebooks, tmp_path):
    folder = a_class.copied(two_notebooks, tmp_path / "pruning")
    enter(folder, {f"n{n}": {"points": points(2, 4)} for n in range(5)})
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        for n in range(5):
            gradebook.find_grade("check-first", "02_more", "01", f"n{n}").auto_score = 0
        gradebook.db.commit()
    text, said = made(folder, tmp_path)
    firsts = [row for row in Page(text).rows if row and row[0] == "first" and len(row) > 6]
    assert [row[4:7] for row in firsts] == [["5", "", ""], ["", "", "5"]]
    assert Page(text).row("02_more")[1] == "5" and Page(text).row(LESSON)[1] == "5"
    assert "highest 16 of 18 points" in said


def test_written_answers_alone(two_notebooks, tmp_path):
    folder = a_class.copied(two_notebooks, tmp_path / "pruning")
    enter(folder, {f"n{n}": {"points": {"why": "waits"}} for n in range(5)}, assignment="05")
    text, said = made(folder, tmp_path, assignment="05")
    assert "All 3 points are still to grade by hand." in said
    assert Page(text).row("why")[-1] == "5"


def test_a_class_that_was_really_graded_fits(folder, tmp_path):
    a_class.hand_in(folder, "ann", first=worth(1), second=worth(0.5), why="So.")
    a_class.hand_in(folder, "bob", first=worth(1), second="# crashes")
    a_class.graded(folder)
    text, said = made(folder, tmp_path)
    assert Page(text).row("first")[4:7] == ["2", "", ""]
    assert Page(text).row("second")[5:9] == ["1", "", "", "1"]
    assert Page(text).row(LESSON)[1:3] == ["2", "1 s"]
    assert "took" in said and "2 notebooks ran" in said.replace("\n", " ")


# --- The file -------------------------------------------------------------------------------------


def test_a_report_is_replaced_and_nothing_is_left_beside_it(folder):
    enter(folder, a_dozen())
    report.write(folder, "01")
    file = folder / "reports" / "01.html"
    file.write_text(file.read_text(encoding="utf-8") + "old", encoding="utf-8")
    report.write(folder, "01")
    assert not file.read_text(encoding="utf-8").endswith("old")
    assert os.listdir(folder / "reports") == ["01.html"]


def test_what_is_no_report_is_not_replaced(folder, tmp_path):
    thesis = tmp_path / "thesis.html"
    thesis.write_text("<html>a year's work</html>", encoding="utf-8")
    with pytest.raises(ValueError, match="exists and is no class report"):
        report.write(folder, "01", file=thesis)
    assert thesis.read_text(encoding="utf-8") == "<html>a year's work</html>"
    assert {path.name for path in tmp_path.iterdir()} == {"thesis.html", "pruning"}


def test_the_file_stays_as_it_was_when_writing_fails(folder, tmp_path, monkeypatch):
    file = tmp_path / "page.html"
    report.write(folder, "01", file=file)
    before = file.read_bytes()

    def fails(*_):
        raise OSError("no space left")

    monkeypatch.setattr("pathlib.Path.replace", fails)
    with pytest.raises(OSError, match="no space left"):
        report.write(folder, "01", file=file)
    assert file.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "pruning"}


@pytest.mark.parametrize(
    "assignment, file, sentence",
    [
        ("33", "page.html", "There is no notebook in .* The assignments are 01"),
        ("../01", "page.html", "There is no notebook in"),
        ("01", "", "is a folder: name a file in it"),
        ("01", "nowhere/page.html", "There is no folder .*nowhere"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(folder, tmp_path, assignment, file, sentence):
    with pytest.raises(ValueError, match=sentence):
        report.write(folder, assignment, file=tmp_path / file)
    assert os.listdir(tmp_path) == ["pruning"]


def test_an_assignment_that_the_gradebook_does_not_know(folder, tmp_path):
    (folder / "release" / "01").rename(folder / "release" / "09")
    with pytest.raises(ValueError, match="does not know assignment 09"):
        report.write(folder, "09", file=tmp_path / "page.html")


# --- The command ----------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_says_where(folder, tmp_path, monkeypatch, capsys):
    enter(folder, a_dozen())
    monkeypatch.chdir(folder / "release")
    assert cli.main(["class", "report", "01"]) == 0
    said = capsys.readouterr().out
    assert (
        said.splitlines()[-1]
        == f"{folder / 'reports' / '01.html'}: the whole report, without names."
    )
    monkeypatch.chdir(folder)
    assert cli.main(["class", "report", "01", "--names", "mine.html"]) == 0
    assert "u7000" in (folder / "mine.html").read_text(encoding="utf-8")
    assert cli.main(["class", "report", "33"]) == 1
    assert "There is no notebook in" in capsys.readouterr().err


def test_a_report_imports_nothing_that_takes_long(folder):
    enter(folder, a_dozen())
    program = (
        "import sys\n"
        "from course_utils import cli\n"
        "assert cli.main(['class', 'report', '01']) == 0\n"
        "print(sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
