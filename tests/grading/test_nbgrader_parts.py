"""What nbgrader makes of submissions through its own extension points: the three ways to grade,
what is kept when work is graded again, and pages on which nothing of a student's runs.

The notebooks go through the real intake and the real gradebook; running and judging them is stood
in for (`a_class.perform`), and tested in test_execution.py.
"""

import os
import re
from pathlib import Path

import a_class
import nbformat
import pytest
from a_class import LESSON, WHY, graded, hand_in, standing, worth
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from course_utils.grading import classes, nbgrader_parts, notes, running


def by_command(folder, *flags):
    """`nbgrader autograde 01`, in this process."""
    from nbgrader.apps import AutogradeApp

    before = Path.cwd()
    os.chdir(folder)
    try:
        app = AutogradeApp()
        app.initialize(["01", "--force", *flags])
        app.start()
    finally:
        os.chdir(before)
        app.log.handlers = []


def formgrader(folder):
    """What formgrader's server sets up when it is opened on the class folder."""
    from nbgrader.server_extensions.formgrader.formgrader import FormgradeExtension

    before = Path.cwd()
    os.chdir(folder)
    try:
        extension = FormgradeExtension()
        extension.initialize([])
    finally:
        os.chdir(before)
    return extension


def by_button(folder, student="ann"):
    from nbgrader.apps.api import NbGraderAPI

    extension = formgrader(folder)
    return NbGraderAPI(extension.coursedir, parent=extension).autograde("01", student)


def autograded(folder, student):
    path = folder / "autograded" / student / "01" / f"{LESSON}.ipynb"
    return nbformat.read(path, as_version=4)


def change(folder, student, cell, **values):
    """What an instructor enters in formgrader for one cell."""
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        grade = gradebook.find_grade(cell, LESSON, "01", student)
        for name, value in values.items():
            setattr(grade, name, value)
        gradebook.db.commit()


def grade_of(folder, student, cell):
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        found = gradebook.find_grade(cell, LESSON, "01", student)
        return found.auto_score, found.manual_score, found.needs_manual_grade


# --- The three ways -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [graded, by_command, by_button])
def test_all_ways_to_grade_give_the_same(folder, way):
    hand_in(folder, "ann", name="my work.ipynb", first=worth(1), second="# crashes", why="So.")
    way(folder)
    ann = standing(folder, "ann")
    assert (ann.raw, ann.points, ann.by_hand) == (2, None, 1)
    assert ann.ungraded == {"check-second": WHY}
    assert any("my work.ipynb" in line for line in ann.lines)
    assert ann.failed == ""


def test_formgraders_button_shows_the_notes(folder):
    hand_in(folder, "ann", name="my work.ipynb", second="# crashes")
    result = by_button(folder)
    assert result["success"], result
    assert "my work.ipynb" in result["log"]
    assert WHY in result["log"]


@pytest.mark.parametrize("way", [graded, by_command, by_button])
def test_a_mistake_of_ours_costs_no_student_a_point(folder, way):
    hand_in(folder, "ann", first="# explodes", second=worth(1))
    way(folder)
    ann = standing(folder, "ann")
    assert ann.points is None
    assert set(ann.ungraded) == {"check-first", "check-second"}
    assert "a mistake of ours" in ann.ungraded["check-first"]


def test_what_the_instructor_has_to_mend_is_said_on_the_button_and_changes_no_points(folder):
    hand_in(folder, "ann", first=worth(1))
    graded(folder)
    hand_in(folder, "ann", first="# no bubblewrap")
    result = by_button(folder)
    assert not result["success"]
    assert "bubblewrap is missing." in result["log"]
    assert grade_of(folder, "ann", "check-first") == (2, None, False)
    assert standing(folder, "ann").failed == notes.UNFINISHED


def test_outputs_that_came_with_the_notebook_never_count(folder):
    def forge(notebook):
        for cell in notebook.cells:
            if cell.id.startswith("check-"):
                points = str(cell.metadata.nbgrader.points)
                cell.outputs = [new_output("execute_result", {"text/plain": points})]

    hand_in(folder, "ann", edit=forge)
    by_command(folder, "--no-execute")
    assert standing(folder, "ann").points == 0


def test_the_students_notes_stand_first_in_what_is_returned(folder):
    hand_in(folder, "ann", name="my work.ipynb", first=worth(1))
    graded(folder)
    first = autograded(folder, "ann").cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith("## Notes on grading")
    assert "my work.ipynb" in first.source


def test_the_files_beside_a_notebook_reach_its_execution(folder):
    place = hand_in(folder, "ann", first=worth(1))
    (place / "mask.csv").write_text("1,0", encoding="utf-8")
    graded(folder)
    shown = [
        c.outputs[0].data["text/html"] for c in autograded(folder, "ann").cells if c.get("outputs")
    ]
    assert shown
    assert all("mask.csv" in html for html in shown)


# --- Grading again --------------------------------------------------------------------------------


def test_points_extra_credit_and_comments_of_a_human_survive(folder):
    hand_in(folder, "ann", first=worth(1), second="# crashes", why="So.")
    graded(folder)
    change(folder, "ann", "why", manual_score=3, extra_credit=0.5, needs_manual_grade=False)
    change(folder, "ann", "check-second", manual_score=1, needs_manual_grade=False)
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        gradebook.find_comment("why", LESSON, "01", "ann").manual_comment = "Well said."
        gradebook.db.commit()
    graded(folder)
    ann = standing(folder, "ann")
    assert (ann.points, ann.by_hand, ann.ungraded) == (2 + 1 + 3 + 0.5, 0, {})
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        assert gradebook.find_comment("why", LESSON, "01", "ann").comment == "Well said."


def test_a_human_is_asked_again_only_when_the_work_has_changed(folder):
    hand_in(folder, "ann", first=worth(1), why="So.")
    graded(folder)
    change(folder, "ann", "why", manual_score=3, needs_manual_grade=False)
    graded(folder)
    assert grade_of(folder, "ann", "why") == (None, 3, False)
    hand_in(folder, "ann", first=worth(1), why="Or so.")
    graded(folder)
    assert grade_of(folder, "ann", "why") == (None, 3, True)
    graded(folder)
    assert grade_of(folder, "ann", "why") == (None, 3, True)


@pytest.mark.parametrize("way", [graded, by_command, lambda f: by_button(f)])
def test_what_a_human_decided_stands_under_whatever_name_it_was_handed_in(folder, way):
    hand_in(folder, "ann", name="my work.ipynb", first=worth(1), second="# crashes", why="So.")
    way(folder)
    assert grade_of(folder, "ann", "check-second") == (None, None, True)
    change(folder, "ann", "why", manual_score=3, needs_manual_grade=False)
    change(folder, "ann", "check-second", manual_score=1, needs_manual_grade=False)
    change(folder, "ann", "check-first", manual_score=0, needs_manual_grade=False)
    way(folder)
    assert grade_of(folder, "ann", "why") == (None, 3, False)
    assert grade_of(folder, "ann", "check-second") == (None, 1, False)
    assert grade_of(folder, "ann", "check-first") == (2, 0, False)


def test_an_answer_that_nobody_could_read_is_not_called_no_response(folder):
    place = hand_in(folder, "ann", first=worth(1))
    (place / f"{LESSON}.ipynb").write_text('{"cells": [', encoding="utf-8")
    hand_in(folder, "bob", first=worth(1))
    graded(folder)
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        ann, bob = (gradebook.find_comment("why", LESSON, "01", s).comment for s in ("ann", "bob"))
    assert ann.startswith("Nobody has read this: ")
    assert bob == "No response."


def nothing_for_late_work(folder):
    config = folder / "nbgrader_config.py"
    text = config.read_text(encoding="utf-8").replace("# c.LateS", "c.LateS")
    config.write_text(text, encoding="utf-8")
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        gradebook.update_or_create_assignment("01", duedate="2026-01-01 12:00:00 UTC")


def test_late_penalties_are_nbgraders_and_stay(folder):
    nothing_for_late_work(folder)
    hand_in(folder, "ann", first=worth(1), stamp="2026-01-01 12:30:00 UTC")
    hand_in(folder, "bob", first=worth(1), stamp="2026-01-01 11:30:00 UTC")
    for _ in range(2):
        graded(folder)
        assert (standing(folder, "ann").points, standing(folder, "ann").penalty) == (0, 2)
        assert (standing(folder, "bob").points, standing(folder, "bob").penalty) == (2, 0)


@pytest.mark.parametrize("stamp", ["", "25.11.2026 evening", None])
def test_a_lateness_that_is_taken_back_is_gone(folder, stamp):
    nothing_for_late_work(folder)
    place = hand_in(folder, "ann", first=worth(1), stamp="2026-01-01 12:30:00 UTC")
    graded(folder)
    assert standing(folder, "ann").points == 0
    file = place / "timestamp.txt"
    file.unlink() if stamp is None else file.write_text(stamp, encoding="utf-8")
    graded(folder)
    assert (standing(folder, "ann").points, standing(folder, "ann").penalty) == (2, 0)


@pytest.mark.parametrize("way", [graded, by_command, by_button])
def test_points_given_to_late_work_ask_for_grading_once_more(folder, way):
    nothing_for_late_work(folder)
    hand_in(folder, "ann", first=worth(1), why="So.", stamp="2026-01-01 12:30:00 UTC")
    hand_in(folder, "bob", first=worth(1), why="So.", stamp="2026-01-01 11:30:00 UTC")
    graded(folder)
    assert standing(folder, "ann").problems() == []
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        for student in ("ann", "bob"):
            grade = gradebook.find_grade("why", LESSON, "01", student)
            grade.manual_score, grade.needs_manual_grade = 1, False
        gradebook.db.commit()
    assert standing(folder, "ann").problems() == [
        "points were given since: `course class grade 01` reckons anew what being late costs"
    ]
    assert (standing(folder, "ann").points, standing(folder, "bob").problems()) == (1, [])
    way(folder)
    assert (standing(folder, "ann").points, standing(folder, "ann").problems()) == (0, [])


def test_what_can_be_graded_now_gets_its_points(folder):
    hand_in(folder, "ann", first=worth(1), second="# crashes")
    graded(folder)
    assert grade_of(folder, "ann", "check-second") == (None, None, True)
    hand_in(folder, "ann", first=worth(1), second=worth(0.5))
    graded(folder)
    assert grade_of(folder, "ann", "check-second") == (2, None, False)
    assert standing(folder, "ann").points == 4


@pytest.mark.parametrize("plain", ["nan", "5", "inf", "-1", "full marks", None])
def test_points_that_make_no_sense_are_left_to_a_human(folder, monkeypatch, plain):
    def change(cell, outputs):
        if cell.metadata.nbgrader.grade_id == "check-first":
            outputs[0]["data"]["text/plain"] = plain
            outputs[:] = outputs if plain else []

    monkeypatch.setattr(running, "perform", a_class.performing(change))
    hand_in(folder, "ann", second=worth(1))
    graded(folder)
    ann = standing(folder, "ann")
    assert (ann.points, ann.raw) == (None, 4)
    assert "points" in ann.ungraded["check-first"]


# --- Files that are not what they seem ------------------------------------------------------------


def test_only_plain_small_passive_files_are_put_where_a_click_opens_them(folder):
    place = hand_in(folder, "ann", first=worth(1), stamp="2026-01-01 12:30:00 UTC")
    hidden = folder / ".grading" / "seed"
    (place / "link.txt").symlink_to(hidden)
    (place / "gone.txt").symlink_to("nowhere")
    (place / "deep").mkdir()
    (place / "deep" / "[link].csv").symlink_to(hidden)
    (place / "page.html").write_text("<script>alert(1)</script>", encoding="utf-8")
    (place / "picture.svg").write_text("<svg onload='alert(1)'/>", encoding="utf-8")
    (place / "kept.csv").write_text("1,2", encoding="utf-8")
    with open(place / "large.txt", "wb") as file:
        file.truncate(nbgrader_parts._LARGEST + 1)
    if hasattr(os, "mkfifo"):
        os.mkfifo(place / "pipe.txt")
    graded(folder)
    here = folder / "autograded" / "ann" / "01"
    found = {str(path.relative_to(here)) for path in here.rglob("*") if path.is_file()}
    assert found == {f"{LESSON}.ipynb", "timestamp.txt", "kept.csv"}
    assert standing(folder, "ann").points == 2


def _garbage(file):
    file.write_text("last Tuesday, I think", encoding="utf-8")


def _binary(file):
    file.write_bytes(b"\xff\xfe\x00")


def _far_away(file):
    file.write_text("99999999999999999999-01-01 10:00:00 UTC", encoding="utf-8")


_pipe = getattr(os, "mkfifo", Path.mkdir)


def _day_first(file):  # nbgrader takes it for the 12th of January
    file.write_text("01.12.2026 10:00", encoding="utf-8")


def _offset(file):  # nbgrader takes it for 200 seconds
    file.write_text("2026-11-20 23:30:00 +0200", encoding="utf-8")


@pytest.mark.parametrize(
    "make", [_garbage, _binary, _far_away, _day_first, _offset, Path.mkdir, _pipe]
)
def test_a_time_that_nobody_can_read_stops_nothing(folder, make):
    from nbgrader.apps.api import NbGraderAPI

    place = hand_in(folder, "ann", first=worth(1))
    make(place / "timestamp.txt")
    classes.status(folder, say=str)
    said, status = graded(folder)
    assert (standing(folder, "ann").points, status) == (2, 0)
    assert any("ann: timestamp.txt says no time" in line for line in said)
    said, _ = graded(folder)
    assert any("ann: timestamp.txt says no time" in line for line in said), "until it is mended"
    extension = formgrader(folder)
    api = NbGraderAPI(extension.coursedir, parent=extension)
    assert [one["student"] for one in api.get_submissions("01")] == ["ann"]


# --- Pages ----------------------------------------------------------------------------------------

TRICKS = """
<script>alert("s1")</script> <img src=x onerror=alert("s2")> [click](javascript:alert("s3"))
[click](&#106;avascript:alert("s4")) <iframe src="data:text/html,s5"></iframe>

<svg onload=alert("s6")></svg><a href="data:text/html;base64,c2c=">s7</a>
<math><mtext><style><img src=x onerror=alert("s8")></style></mtext></math>

![beacon](https://elsewhere.example/s9.png) ![out](../../../logout.png)

<input class="score" id="check-first" value="100"><form action="/s10"><button>Go</button></form>
<div class="full-credit" onclick="alert('s11')" style="position: fixed; color: red">s11</div>

Code stays: `a < b && c`, and **bold**.
"""


def tricky(notebook):
    notebook.metadata["title"] = "</title><script>alert('t1')</script>"
    notebook.metadata["widgets"] = {
        "application/vnd.jupyter.widget-state+json": {"x": "</script><script>alert('t2')</script>"}
    }
    notebook.cells.insert(1, new_markdown_cell(TRICKS))
    own = new_code_cell("print('<script>alert(7)</script>')")
    own.metadata = {"tags": ['"><script>alert("t3")</script>'], "magics_language": ["x"]}
    notebook.cells.insert(2, own)


def tricky_outputs(cell, outputs):
    """As if the execution let everything out."""
    bad = {"image/png": {"width": "1 onload=alert('o1')"}, "text/html": {"isolated": True}}
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "</script>o7"}}
    if "alert(7)" in cell.source:
        outputs += [
            new_output("display_data", {"text/html": TRICKS}, metadata=bad),
            new_output("display_data", {"text/markdown": TRICKS}),
            new_output("display_data", {"application/javascript": "alert('o2')"}),
            new_output("display_data", {"image/svg+xml": "<svg onload=alert('o3')></svg>"}),
            new_output("display_data", {"image/png": 'AAAA" onload="alert(4)'}, metadata=bad),
            new_output("display_data", {"text/latex": "$</div><script>alert('o5')</script>$"}),
            new_output("stream", name="stdout", text="<script>alert('o6')</script>"),
            new_output("display_data", widget),
        ]


def feedback_page(folder):
    from nbgrader.converters import GenerateFeedback

    with classes.nbgrader(folder) as app:
        app.coursedir.assignment_id, app.coursedir.student_id = "01", "mal"
        converter = GenerateFeedback(coursedir=app.coursedir, parent=app)
        converter.force = True
        converter.start()
    return (folder / "feedback" / "mal" / "01" / f"{LESSON}.html").read_text(encoding="utf-8")


def formgraders_page(folder):
    from nbconvert.exporters import HTMLExporter

    resources = {
        "assignment_id": "01",
        "notebook_id": LESSON,
        "submission_id": "id",
        "index": 0,
        "total": 1,
        "base_url": "",
        "student": "mal",
        "notebook_path": "x",
    }
    path = folder / "autograded" / "mal" / "01" / f"{LESSON}.ipynb"
    exporter = HTMLExporter(config=formgrader(folder).config)  # as formgrader makes it
    return exporter.from_filename(str(path), resources=resources)[0]


@pytest.mark.parametrize("page", [feedback_page, formgraders_page])
def test_nothing_of_a_students_runs_on_a_page(folder, monkeypatch, page):
    hand_in(folder, "mal", first=worth(1), why=TRICKS)
    graded(folder)
    benign = scripts(page(folder))
    monkeypatch.setattr(running, "perform", a_class.performing(tricky_outputs))
    hand_in(folder, "mal", first=worth(1), why=TRICKS, edit=tricky)
    graded(folder)
    html = page(folder)
    assert "Code stays: <code>a &lt; b &amp;&amp; c</code>, and <strong>bold</strong>." in html
    assert scripts(html) == benign
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find("div", id="notebook").find_all(True):
        assert tag.name not in ("script", "iframe", "svg", "math", "style", "form", "object"), tag
        assert not [name for name in tag.attrs if name.startswith("on")], tag
        address = f"{tag.get('href', '')}{tag.get('src', '')}".lower()
        assert "javascript" not in address, tag
        assert "elsewhere" not in address and "logout" not in address, tag
        assert tag.name == "img" or not address.startswith("data:"), tag
        assert "position" not in tag.get("style", ""), tag
    assert len(soup.find_all(id="check-first")) <= 1
    assert not soup.select(".full-credit:not(button)")


@pytest.mark.parametrize("page", [feedback_page, formgraders_page])
def test_pictures_in_an_answer_are_shown(folder, page):
    picture = "data:image/png;base64,iVBORw0KGgo="
    hand_in(folder, "mal", why=f"![drawn]({picture}) and ![beside](curve.png)")
    graded(folder)
    images = BeautifulSoup(page(folder), "html.parser").find_all("img")
    assert {(image["alt"], image.get("src")) for image in images} == {
        ("drawn", picture),
        ("beside", "curve.png"),
    }


def scripts(html):
    return [str(script) for script in BeautifulSoup(html, "html.parser").find_all("script")]


@pytest.mark.parametrize("page", [feedback_page, formgraders_page])
def test_our_panels_keep_their_looks(folder, page):
    hand_in(folder, "mal", first=worth(1), second="# crashes")
    graded(folder)
    html = page(folder)
    assert '<div style="border: 1px solid red; margin: 0.2em 0;">' in html
    assert WHY in html


def test_a_real_panel_survives_the_cleaning():
    from course_utils.study.panels import panel, table

    shown = panel("✗ first: not right yet", ["It is `< 3`.", "Two."], "bad", code="x = [1]")
    cleaned = BeautifulSoup(nbgrader_parts.safe_html(shown.html), "html.parser")
    assert cleaned.get_text() == BeautifulSoup(shown.html, "html.parser").get_text()
    for rule in ("border-left: 5px", "padding: 0.5em", "var(--jp-error-color1", "overflow-x: auto"):
        assert rule in str(cleaned)
    rows = table(["a", "b"], [["x", "1"]], "caption")
    assert nbgrader_parts.safe_html(rows.html).count("text-align") == rows.html.count("text-align")


@pytest.mark.parametrize("text", [">" * 20_000, "<b>" * 20_000, "[" * 20_000, "*a " * 20_000])
def test_text_nested_without_end_is_still_a_page(text):
    shown = nbgrader_parts.markdown(Context(), text + "<script>alert(1)</script>")
    assert "<script" not in shown


class Context(dict):
    """What Jinja hands to a filter: the cell is in it."""


def test_an_enormous_output_is_not_cleaned_but_left_out():
    shown = nbgrader_parts._shown({"text/html": "<b>" * 10**6, "text/plain": "x"})
    assert shown == {"text/plain": "x"}
    assert "cannot be shown" in nbgrader_parts._shown({"application/javascript": "x"})["text/plain"]


def test_feedback_tells_what_has_no_points_yet_from_a_zero(folder):
    hand_in(folder, "mal", first="# crashes", second=worth(0), why="Because.")
    graded(folder)
    page = feedback_page(folder)
    assert f"{LESSON}: not graded yet, 9.0 points" in page
    listed = re.findall(r"<li><a href=.#([\w-]+).>([\w-]+)</a>: (.+)</li>", page)
    assert listed == [
        ("check-first", "check-first", "not graded yet, 2.0 points"),
        ("check-second", "check-second", "0.0 of 4.0 points"),
        ("why", "why", "not graded yet, 3.0 points"),
    ]
    assert page.count("Score: not graded yet / 2.0") == 1  # above the cell
    assert page.count("Score: 0.0 / 4.0") == 1
    assert page.count("Score: not graded yet / 3.0") == 1
    assert "Your instructor gave" not in page
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        notebook = gradebook.find_submission_notebook(LESSON, "01", "mal")
        for grade in notebook.grades:
            if grade.auto_score is None:
                grade.manual_score, grade.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    page = feedback_page(folder)
    assert "not graded yet" not in page
    assert f"{LESSON}: 3.0 of 9.0 points" in page
    assert page.count("Your instructor gave 1.5 of 2 points. The grader alone had said:") == 1
    assert page.index("Your instructor gave") < page.index(WHY), "the decision comes first"


def test_feedback_says_whose_points_stand_over_what_was_judged(folder):
    hand_in(folder, "mal", first="# crashes", second=worth(1))
    graded(folder)
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        grade = gradebook.find_grade("check-first", LESSON, "01", "mal")
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    hand_in(folder, "mal", first=worth(0), second=worth(1))
    graded(folder)
    page = feedback_page(folder)
    said = "Your instructor gave 1.5 of 2 points for what you had handed in before."
    assert page.count(said) == page.count("Your instructor gave") == 1
