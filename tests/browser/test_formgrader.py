"""An instructor at work in formgrader: autograding, looking, grading by hand, and feedback.

One class for all tests: Right handed in the solution, Half an answer that is right, one that is
wrong and nothing else, Endless one that never ends, and Script hid what runs in a browser wherever
a notebook has room for it. All four are autograded with formgrader's own button.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import homework
import nbformat
import pytest
import system_packages
from homework import ASSIGNMENT, COUNTS_ROWS, ENDLESS, LESSON, WRITTEN, points, solutions
from lab_process import course_class_open
from nbformat.v4 import new_markdown_cell, new_output
from playwright.sync_api import Locator, Page, Route, expect
from test_lesson import contrast

from course_utils import cli
from course_utils.authoring.notebooks import instructor
from course_utils.exercises import grade
from course_utils.grading import classes

SECONDS = 10  # what a cell of this class may take
SEED = "the class draws its own cases"
HERE = ("localhost", "127.0.0.1")
MATHJAX = "https://cdnjs.cloudflare.com/ajax/libs/mathjax/"

# --- What would run in a browser, if it could -----------------------------------------------------

# Each springs in its own way, and `top.sprung` then holds a bit for it.
TRAPS = [
    trap.replace("SPRING", f"top.sprung=top.sprung|{1 << n}")
    for n, trap in enumerate(
        [
            "<script>SPRING</script>",
            '<img src="data:," onerror="SPRING">',
            '<svg onload="SPRING"></svg>',
            '<details open ontoggle="SPRING">more</details>',
            '<iframe srcdoc="<script>SPRING</script>"></iframe>',
            '<input autofocus onfocus="SPRING">',
            '<div style="animation: none"><video src="data:," onerror="SPRING"></video></div>',
            '<script>SPRING;alert("sprung")</script>',
        ]
    )
]
ALL_SPRUNG = (1 << len(TRAPS)) - 1

# Each asks another host, which would tell it who looks at this, and when.
CALLS = [
    call.replace("HOST", f"https://elsewhere.invalid/{n}")
    for n, call in enumerate(
        [
            '<img src="HOST">',
            '<link rel="stylesheet" href="HOST">',
            "<style>@import url(HOST);</style>",
            '<div style="background: url(HOST)">far</div>',
            '<script src="HOST"></script>',
            '<iframe src="HOST"></iframe>',
            '<object data="HOST"></object>',
            '<video poster="HOST"></video>',
        ]
    )
]
PAYLOAD = "\n".join([*TRAPS, *CALLS])
LINK = "javascript:top.sprung=1"
FORGED = '<div class="nbgrader_cell"><input class="score tabbable" id="check_sparsity"></div>'
FILE = '<img src=x onerror="top.sprung=1">.ipynb'


class Watched:
    """A page on which nothing of a student's may run, and which may ask nobody else."""

    def __init__(self, page: Page):
        self.page = page
        self.dialogs: list[str] = []
        self.asked: list[str] = []
        page.on("dialog", self._close)
        page.route("**/*", self._answer)

    def _close(self, dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def _answer(self, route: Route) -> None:
        address = urlsplit(route.request.url)
        if address.scheme in ("file", "data", "about") or address.hostname in HERE:
            route.continue_()
        else:
            self.asked.append(route.request.url)
            route.abort()

    def sprung(self) -> int:
        self.page.wait_for_timeout(300)
        return self.page.evaluate("top.sprung | 0")

    def is_clean(self) -> None:
        """Nothing sprang, and the one thing that is asked for is what nbgrader's own pages want."""
        assert self.sprung() == 0
        assert self.dialogs == []
        assert [url for url in self.asked if not url.startswith(MATHJAX)] == []
        for link in self.page.locator("a[href]").all():
            assert not link.get_attribute("href").strip().lower().startswith("javascript")


@pytest.fixture
def watched(page) -> Watched:
    return Watched(page)


def test_the_traps_would_spring_and_the_calls_be_made(watched):
    watched.page.set_content(PAYLOAD, wait_until="domcontentloaded")
    assert watched.sprung() == ALL_SPRUNG
    assert watched.dialogs == ["sprung"]
    assert {url.rsplit("/", 1)[1] for url in watched.asked} == set(map(str, range(len(CALLS))))


# --- The class ------------------------------------------------------------------------------------

# What Script's code shows and returns; the exception comes last, when the answer is defined.
SHOWS = f"""

import IPython.display as show
payload = {PAYLOAD!r}
print(payload)
show.display(show.HTML(payload), show.Markdown(payload), show.Latex(payload), show.SVG(
    '<svg xmlns="http://www.w3.org/2000/svg">' + payload.split(chr(10))[0] + "</svg>"))
show.display({{"application/javascript": "top.sprung = 1"}}, raw=True)
show.display(show.Javascript("top.sprung = 1"))
raise type(payload, (Exception,), {{}})(payload)
"""
RAISES = f"def median_latency(fn, warmup, repeats, clock):\n    raise KeyError({PAYLOAD!r})\n"
RETURNS = f"def layer_macs(layer, output):\n    return {PAYLOAD!r}\n"
REPRESENTS = f"""\
class Strange(dict):
    def __repr__(self):
        return {PAYLOAD!r}

def activation_sparsity(model, x):
    return Strange({{{PAYLOAD!r}: {PAYLOAD!r}}})
"""
# Whether it got into the class folder is looked up afterwards, and what it says shows that it ran.
CURIOUS = """

import pathlib
try:
    pathlib.Path(PLANTED).write_text("planted")
except OSError as error:
    print("the class folder:", type(error).__name__)
"""


def hide_scripts(path: Path) -> None:
    """Everywhere in a notebook, and in its file's name."""
    notebook = nbformat.read(path, as_version=4)
    attached = {"x.svg": {"image/svg+xml": "PHN2Zy8+"}}
    own = [
        new_markdown_cell(PAYLOAD),
        new_markdown_cell(f"[click]({LINK}) <{LINK}> ![x](https://elsewhere.invalid/picture)"),
        new_markdown_cell(f"$x${FORGED}\n\n```html\n{PAYLOAD}\n```\n\n    {TRAPS[0]}\n"),
        new_markdown_cell("![x](attachment:x.svg)\n\n" + PAYLOAD, attachments=attached),
    ]
    for cell in notebook.cells:
        if cell.cell_type == "code":  # also of cells that do not run
            data = {"text/html": PAYLOAD, "application/javascript": "top.sprung = 1"}
            cell.outputs = [new_output("display_data", data)]
        if cell.id in WRITTEN:
            cell.source += f"\n\n{PAYLOAD}\n\n[click]({LINK})"
    notebook.cells[1:1] = own
    notebook.metadata.title = PAYLOAD
    notebook.metadata.kernelspec.display_name = PAYLOAD
    notebook.metadata.language_info = {"name": PAYLOAD, "pygments_lexer": PAYLOAD}
    path.unlink()
    nbformat.write(notebook, path.with_name(FILE))


def hand_in(folder: Path) -> None:
    right = solutions() | WRITTEN
    curious = CURIOUS.replace("PLANTED", repr(str(folder / "planted")))
    answers = {
        "right": right,
        "half": {"sparsity": right["sparsity"] + curious, "count_parameters": COUNTS_ROWS},
        "endless": solutions() | {"model_sparsity": ENDLESS},
        "script": WRITTEN
        | {"sparsity": right["sparsity"] + SHOWS, "median_latency": RAISES}
        | {"layer_macs": RETURNS, "activation_sparsity": REPRESENTS},
    }
    for student, written in answers.items():
        path = folder / "submitted" / student / ASSIGNMENT / f"{LESSON}.ipynb"
        path.parent.mkdir(parents=True)
        shutil.copy(folder / "release" / ASSIGNMENT / path.name, path)
        homework.answer(path, written)
        if student == "script":
            hide_scripts(path)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The class folder, and formgrader on it as `course class open` starts it."""
    system_packages.need("bubblewrap")
    home = tmp_path_factory.mktemp("formgrader")
    folder = home / "pruning"
    classes.new(folder, {LESSON: instructor(homework.lesson())})
    (folder / ".grading" / "seed").write_text(SEED, encoding="utf-8")
    exchange = home / "exchange"
    exchange.mkdir()
    config = folder / classes.CONFIG
    with open(config, "a", encoding="utf-8") as file:
        print(f"c.ExecuteIsolated.seconds_per_cell = {SECONDS}", file=file)
        print(f"c.Exchange.root = {str(exchange)!r}", file=file)
    hand_in(folder)
    with course_class_open(folder, home) as lab:
        address = urlsplit(lab.address)
        root = f"{address.scheme}://{address.netloc}"
        yield SimpleNamespace(folder=folder, lab=lab, root=root, entrance=lab.address)


@pytest.fixture(scope="module")
def graded(opened, browser):
    """After the button was pressed for everybody, with what formgrader then said."""
    page = browser.new_page()
    page.set_default_timeout(60_000)
    watched = Watched(page)
    page.goto(opened.entrance)
    opened.said = {}
    for student in ("half", "endless", "script", "right"):
        opened.said[student] = press(page, opened, student, "autograde")
        watched.is_clean()
    opened.cookies = page.context.cookies()
    page.close()
    return opened


@pytest.fixture
def formgrader(graded, watched):
    """A page that has entered the server's secret."""
    watched.page.context.add_cookies(graded.cookies)
    return watched


def row(page: Page, opened, student: str) -> Locator:
    """A student's line in the list of submissions."""
    page.goto(f"{opened.root}/formgrader/manage_submissions/{ASSIGNMENT}")
    expect(page.locator("#main-table .student-id")).to_have_count(4)
    return page.locator("#main-table tr", has=page.locator(f".student-id:text-is('{student}')"))


def press(page: Page, opened, student: str, button: str) -> str:
    """Press a student's button; returns the log that formgrader shows when it is done."""
    row(page, opened, student).locator(f".{button} a").click()
    dialog = page.locator(".modal-dialog")
    expect(dialog.locator(".modal-title")).to_have_text("Success", timeout=180_000)
    return dialog.inner_text()


def submission(page: Page, opened, student: str) -> None:
    """Open what a student handed in, on the page for grading by hand."""
    page.goto(f"{opened.root}/formgrader/manage_students/{student}/{ASSIGNMENT}")
    page.get_by_role("link", name=LESSON).click()
    page.wait_for_function("window.formgrader?.grades?.loaded && formgrader.comments?.loaded")


def panel_of(page: Page, exercise: str) -> Locator:
    """What the grader says about an answer."""
    return page.locator("[role=status]", has_text=re.compile(rf"^\W*{exercise}: "))


def grades(opened, student: str) -> dict:
    with classes.nbgrader(opened.folder) as app, classes.gradebook_of(app) as gradebook:
        (notebook,) = gradebook.find_submission(ASSIGNMENT, student).notebooks
        return {grade.name: grade.to_dict() for grade in notebook.grades}


# --- Autograding ----------------------------------------------------------------------------------


def test_the_class_opens_in_formgrader_which_jupyterlabs_menu_has_too(opened, watched, picture):
    page = watched.page
    page.goto(opened.entrance)
    expect(page.locator("#main-table .name")).to_have_text([ASSIGNMENT])
    page.goto(f"{opened.root}/lab")
    page.locator(".lm-MenuBar-itemLabel", has_text="Nbgrader").click()
    page.locator(".lm-Menu-itemLabel").get_by_text("Formgrader", exact=True).click()
    expect(page.frame_locator("iframe").locator("#main-table .name")).to_have_text([ASSIGNMENT])
    picture("formgrader-in-jupyterlab")
    assert watched.asked == []


def test_the_button_takes_the_isolated_path(graded, formgrader, picture):
    results = list((graded.folder / ".grading" / "results").glob("*.json"))
    assert len(results) == 4
    assert not (graded.folder / "planted").exists()
    submission(formgrader.page, graded, "half")
    expect(formgrader.page.get_by_text("the class folder: FileNotFoundError")).to_be_visible()
    found = row(formgrader.page, graded, "half")
    expect(found.locator(".score")).to_have_text(f"{points('sparsity'):g} / 17")
    picture("formgrader-submissions")


def test_a_wrong_answer_and_a_right_one_are_told_apart_and_readable(graded, formgrader, picture):
    page = formgrader.page
    submission(page, graded, "half")
    wrong, right = panel_of(page, "count_parameters"), panel_of(page, "sparsity")
    expect(wrong).to_contain_text("not right, 0 of 2 points")
    expect(wrong).to_contain_text("len counts its rows, not its elements")
    expect(right).to_contain_text("correct, 1 of 1 points")
    for panel, name in ((wrong, "wrong"), (right, "right")):
        assert contrast(panel) > 4.5
        panel.evaluate("panel => panel.scrollIntoView({block: 'center'})")
        picture(f"formgrader-{name}")
    colour = "panel => getComputedStyle(panel).borderLeftColor"
    assert wrong.evaluate(colour) != right.evaluate(colour)
    expect(page.locator("#check_count_parameters")).to_have_attribute("placeholder", "0")


def test_what_could_not_be_graded_is_no_zero_and_waits_for_a_human(graded, formgrader, picture):
    page = formgrader.page
    assert f"ran longer than {SECONDS} s" in graded.said["endless"]
    expect(row(page, graded, "endless").locator(".status")).to_have_text("needs manual grading")
    found = grades(graded, "endless")["check_model_sparsity"]
    assert (found["auto_score"], found["needs_manual_grade"]) == (None, True)
    submission(page, graded, "endless")
    panel = panel_of(page, "model_sparsity")
    expect(panel).to_contain_text("could not be graded")
    expect(panel).to_contain_text(f"ran longer than {SECONDS} s")
    panel.evaluate("panel => panel.scrollIntoView({block: 'center'})")
    picture("formgrader-not-graded")
    score = page.locator("#check_model_sparsity")
    expect(score).to_have_class(re.compile("needs_manual_grade"))
    assert score.get_attribute("placeholder") in (None, "")
    expect(panel_of(page, "activation_sparsity")).to_contain_text("correct, 3 of 3 points")


# --- Scripts --------------------------------------------------------------------------------------


def test_nothing_that_a_student_hid_runs_in_formgrader(graded, formgrader, picture):
    page = formgrader.page
    assert "onerror" in graded.said["script"]  # the name of the file
    submission(page, graded, "script")
    expect(page.locator("#check_sparsity")).to_have_count(1)
    formgrader.is_clean()
    assert formgrader.asked and all(url.startswith(MATHJAX) for url in formgrader.asked)
    picture("formgrader-script-top")
    for exercise in ("layer_macs", "median_latency", "sparsity"):
        panel_of(page, exercise).evaluate("panel => panel.scrollIntoView({block: 'center'})")
        picture(f"formgrader-script-{exercise}")
    for place in (f"gradebook/{ASSIGNMENT}/{LESSON}", "manage_students", "manage_students/script"):
        page.goto(f"{graded.root}/formgrader/{place}")
        expect(page.locator("#main-table a").first).to_be_visible()
        formgrader.is_clean()


def test_nothing_that_a_student_hid_runs_in_the_feedback(graded, formgrader, picture):
    page = formgrader.page
    press(page, graded, "script", "generate-feedback")
    page.goto(feedback(graded, "script"))
    formgrader.is_clean()
    expect(panel_of(page, "sparsity")).to_contain_text("correct")
    picture("feedback-script-top")
    page.get_by_text("Notes on grading").scroll_into_view_if_needed()
    picture("feedback-script-notes")


# --- By hand --------------------------------------------------------------------------------------

BY_HAND = {
    "why_flops_are_not_speed": "1.5",
    "check_layer_macs": "1",
    "check_sparsity_extra_credit": "0.5",
    "layer_macs-comment": "Right, and **slow**.",
    "why_flops_are_not_speed-comment": "Say what has to be fetched.",
}
TOTAL = points() - 3 + 1.5 + 1 + 1 + 0.5  # the other written answer got full credit


def save(field: Locator, value: str) -> None:
    with field.page.expect_response(re.compile(r"/api/(grade|comment)/")) as answer:
        field.fill(value)
        field.blur()
    assert answer.value.ok


def is_as_graded(formgrader: Watched, graded) -> None:
    page = formgrader.page
    found = row(page, graded, "right")
    expect(found.locator(".score")).to_have_text(f"{TOTAL:g} / 17")
    expect(found.locator(".status")).to_have_text("graded")
    submission(page, graded, "right")
    for name, value in BY_HAND.items():
        expect(page.locator(f"#{name}")).to_have_value(value)
    expect(page.locator("#which_activations_can_go")).to_have_value("1")


def test_what_a_human_gave_and_wrote_outlives_both_ways_of_grading_again(
    graded, formgrader, picture
):
    page = formgrader.page
    expect(row(page, graded, "right").locator(".status")).to_have_text("needs manual grading")
    submission(page, graded, "right")
    for name, value in BY_HAND.items():
        save(page.locator(f"#{name}"), value)
    written = page.locator(".nbgrader_cell", has=page.locator("#which_activations_can_go"))
    with page.expect_response(re.compile("/api/grade/")):
        written.get_by_text("Full credit").click()
    is_as_graded(formgrader, graded)
    page.locator("#why_flops_are_not_speed").evaluate("e => e.scrollIntoView({block: 'center'})")
    picture("formgrader-by-hand")

    press(page, graded, "right", "autograde")
    is_as_graded(formgrader, graded)

    command = [sys.executable, "-m", cli.__name__, "class", "grade", ASSIGNMENT]
    done = subprocess.run(
        command, cwd=graded.folder, capture_output=True, text=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^right +{TOTAL:g} of 17", done.stdout, re.MULTILINE)
    assert re.search(r"^endless +\? of 17", done.stdout, re.MULTILINE)
    is_as_graded(formgrader, graded)

    press(page, graded, "right", "generate-feedback")
    page.goto(feedback(graded, "right"))
    expect(page.locator("h4").first).to_contain_text(f"{float(TOTAL)} of 17.0 points")
    expect(page.locator("strong", has_text="slow")).to_be_visible()
    picture("feedback-by-hand")


# --- Feedback -------------------------------------------------------------------------------------


def feedback(graded, student: str) -> str:
    """The page as the student gets it: a file."""
    return (graded.folder / "feedback" / student / ASSIGNMENT / f"{LESSON}.html").as_uri()


def sentences(code: str, exercise: str, seed) -> list[str]:
    """What is wrong with an answer, on the cases of this seed."""
    defined = {}
    exec(code, defined)
    said = grade(exercise, defined[exercise], seed).messages
    return [sentence.split(": ", 1)[1].replace("`", "") for sentence in said]


def test_feedback_explains_with_the_cases_of_the_notebook_and_none_of_the_class(
    graded, formgrader, picture
):
    page = formgrader.page
    press(page, graded, "half", "generate-feedback")
    page.goto(feedback(graded, "half"))
    visible, secret = (sentences(COUNTS_ROWS, "count_parameters", seed) for seed in (0, SEED))
    panel = panel_of(page, "count_parameters")
    expect(panel).to_contain_text(visible[0])
    assert contrast(panel) > 4.5
    panel.evaluate("panel => panel.scrollIntoView({block: 'center'})")
    picture("feedback-wrong")
    text = page.content() + page.locator("body").inner_text()
    hidden = [said for said in secret if said not in visible]
    assert hidden and not [said for said in hidden if said in text]
    assert SEED not in text
    formgrader.is_clean()


def test_feedback_says_what_could_not_be_graded(graded, formgrader, picture):
    page = formgrader.page
    press(page, graded, "endless", "generate-feedback")
    page.goto(feedback(graded, "endless"))
    expect(page.get_by_text("Score: not graded yet / 2.0")).to_be_visible()  # above the cell
    expect(page.get_by_text("model_sparsity: not graded yet, 2.0 points")).to_be_visible()
    panel = panel_of(page, "model_sparsity")
    expect(panel).to_contain_text("This is not a verdict on your answer: your instructor decides.")
    panel.evaluate("panel => panel.scrollIntoView({block: 'center'})")
    picture("feedback-not-graded")


def test_the_notes_of_the_class_stay_in_the_class(graded):
    """What formgrader's button leaves in the class folder is for its owner alone."""
    notes = graded.folder / ".grading" / "notes" / ASSIGNMENT / "endless.json"
    said = json.loads(notes.read_text(encoding="utf-8"))
    assert "check_model_sparsity" in said[LESSON]["not graded"]
