"""Questions in JupyterLab: answered by keyboard alone, kept, and their answers kept secret."""

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect
from test_lesson import choose, contrast, use_theme

SECRET = "quokka"  # stands in everything that must not be seen before an answer


def question(number: int, kind: str, prompt: str, answer, *distractors, **more) -> dict:
    wrong = [{"text": text, "why": f"No {SECRET} says so."} for text in distractors]
    return {
        "id": f"qaaaa{number}",
        "rev": 1,
        "type": kind,
        "use": ["section"],
        "place": "Step 1",
        "concepts": ["counting"],
        "prompt": prompt,
        "answer": answer,
        "explanation": f"Because $2^2 = 4$, says the {SECRET}.",
        "distractors": wrong,
    } | more


CODE = "```python\nleft = (weight != 0).sum()\n```"
LONG = "nothing, because `prune` is thorough and this option needs a second line until it is told"
QUESTIONS = [
    question(
        1,
        "mcq",
        f"Of the $n^2$ weights of a layer `prune` zeroes half. How many are left?\n\n{CODE}",
        r"$\frac{n^2}{2}$",
        r"$\sqrt{n}$",
        LONG,
    ),
    question(2, "multi", "Which of these are numbers?", ["`2.5`", r"$\pi$"], "a word", "a bird"),
    question(3, "cloze", "A ____ hops, an ____ swims.", [[SECRET], ["otter"]]),
    question(4, "recall", "Why does a mask hold?", f"The {SECRET} multiplies by it."),
    question(
        5,
        "plot",
        "What does the line do?",
        "it rises",
        "it falls",
        "it stays",
        alt="A line on white ground",
        draw="figure = None",
    ),
    question(
        6,
        "numeric",
        "How long is a float32?",
        4,
        unit="bytes",
        tolerance=0,
        use=["pretest", "review"],
        place="Step 2",
    ),
]

SETTING = """
from datetime import timedelta
from pathlib import Path

from course_utils.quiz import bank
from course_utils.study import enrol, quiz, review, reviewing

bank.BANK = Path("bank").resolve()
"""

TOMORROW = """
enrol("00")
today = reviewing.now()
reviewing.now = lambda: today + timedelta(1)
review()
"""

CELLS = [
    SETTING.strip(),
    'quiz("00", "section", "Step 1")',
    'quiz("00", "pretest")',
    TOMORROW.strip(),
]

HERE = {"localhost", "127.0.0.1", "::1"}


@pytest.fixture
def asked_elsewhere(page) -> list[str]:
    """The network is cut off; what was asked of it all the same."""
    asked = []

    def local_only(route):
        if urlsplit(route.request.url).hostname in HERE:
            route.continue_()
        else:
            asked.append(route.request.url)
            route.abort()

    page.route("**/*", local_only)
    return asked


@pytest.fixture
def heard(page) -> list[str]:
    """All that the kernel has said to the page."""
    frames = []

    def listen(socket):
        socket.on("framereceived", lambda frame: frames.append(str(frame)))

    page.on("websocket", listen)
    return frames


@pytest.fixture
def notebook(running, page, asked_elsewhere, heard):
    """A notebook with quizzes, open; `running.work` holds its file and its bank."""
    folder = running.work / "bank"
    (folder / "pictures").mkdir(parents=True)
    bank = json.dumps({"lesson": "00", "items": QUESTIONS})  # which is YAML as well
    (folder / "00_test.yaml").write_text(bank, encoding="utf-8")
    figure = Figure(figsize=(4, 2))
    figure.subplots().plot([0, 1], [0, 1])
    figure.savefig(folder / "pictures" / "qaaaa5.png")
    notebook = new_notebook(cells=[new_code_cell(source) for source in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, running.work / "quiz.ipynb")
    page.goto(running.address.replace("00_start_here", "quiz"))
    ready(page)
    return page


def ready(page: Page) -> None:
    expect(page.locator("#jp-main-statusbar")).to_contain_text("(ipykernel) | Idle")
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the focus is there; a few times at most."""
    for _ in range(4):
        press(page, "Tab")
        if target.evaluate("element => element === document.activeElement"):
            return
    raise AssertionError(f"Tab does not reach {target}")


def saved(page: Page, file: Path) -> str:
    """The notebook's file, just written."""
    before = file.stat().st_mtime_ns
    choose(page, "File", "Save Notebook")
    for _ in range(100):
        if file.stat().st_mtime_ns != before:
            break
        page.wait_for_timeout(100)
    page.wait_for_timeout(300)
    text = file.read_text(encoding="utf-8")
    assert "course-quiz-note" in text
    return text


def test_keys_alone_answer_a_question_and_it_is_kept_but_not_in_the_file(
    notebook, running, picture, heard, asked_elsewhere
):
    page, file = notebook, running.work / "quiz.ipynb"
    press(page, "Shift+Enter", "Control+Enter")
    question = page.locator(".course-question").first
    expect(question.locator("mjx-container")).to_have_count(3)  # prompt and options are typeset
    expect(page.locator(".course-quiz-note")).to_be_hidden()
    assert "A ____ hops" in page.content()
    assert SECRET not in page.content()
    assert "hops" in "".join(heard)
    assert SECRET not in "".join(heard)

    options = question.locator(".course-options").get_by_role("radio")
    tab_to(page, options.first)
    press(page, "x", "j", "b", "ArrowDown", "ArrowDown", "ArrowUp")  # no commands of JupyterLab
    expect(options.nth(1)).to_be_checked()
    expect(page.locator(".jp-CodeCell")).to_have_count(len(CELLS))
    picture("quiz-option-by-keyboard")
    assert question.get_by_role("radiogroup", name=re.compile("zeroes half")).count() == 1
    tab_to(page, question.get_by_role("radio", name="a guess"))
    press(page, "ArrowRight")
    expect(question.get_by_role("radio", name="fairly sure")).to_be_checked()
    button = question.get_by_role("button", name="Answer")
    tab_to(page, button)
    expect(button).to_have_css("outline-style", "solid")
    press(page, "Space")

    verdict = question.get_by_role("status")
    expect(verdict).to_contain_text("✗ Not right")
    expect(verdict).to_contain_text(SECRET)
    expect(verdict.locator("mjx-container")).to_have_count(2)
    expect(question.locator(".course-verdict > :last-child")).to_be_focused()
    picture("quiz-verdict-by-keyboard")
    tab_to(page, question.get_by_role("button", name="Try again"))
    tab_to(page, page.locator(".course-question").nth(1).get_by_role("checkbox").first)
    press(page, "Shift+Tab", "Enter")
    expect(question.locator(".course-label > :last-child").first).to_be_focused()
    expect(verdict).to_have_count(0)
    tab_to(page, options.first)
    assert SECRET not in saved(page, file)

    choose(page, "Kernel", "Restart Kernel…")
    press(page, "Enter")
    expect(page.locator(".course-quiz-note")).to_be_visible()  # beside what works no more
    ready(page)
    page.reload()
    ready(page)
    expect(page.locator(".course-quiz-note")).to_be_visible()
    expect(page.get_by_text("model not found")).to_have_count(1)  # as ipywidgets puts it
    expect(page.get_by_text("model not found")).to_be_hidden()
    picture("quiz-opened-again")
    choose(page, "Run", "Run All Cells")
    expect(verdict).to_contain_text("✗ Not right")
    expect(options.nth(1)).to_be_checked()
    expect(question.get_by_role("radio", name="fairly sure")).to_have_count(0)
    assert SECRET not in saved(page, file)
    assert asked_elsewhere == []


def test_keys_lead_from_an_answer_back_to_the_lesson(notebook):
    page = notebook
    press(page, "Shift+Enter", "Control+Enter")
    question = page.locator(".course-question").first
    expect(question.locator("mjx-container")).to_have_count(3)
    quiz_cell = page.locator(".jp-Cell.jp-mod-active")
    expect(quiz_cell.locator(".course-question").first).to_be_visible()
    question.get_by_role("radio", name="a guess").check()
    question.locator(".course-options").get_by_role("radio").first.check()
    question.get_by_role("button", name="Answer").click()
    expect(question.locator(".course-verdict > :last-child")).to_be_focused()
    press(page, "ArrowDown", "Escape", "ArrowDown")
    expect(quiz_cell.locator(".course-question").first).to_be_visible()
    press(page, "Control+Shift+C")
    expect(page.locator(".jp-ModalCommandPalette input")).to_be_focused()
    press(page, "Escape", "ArrowDown")
    expect(quiz_cell.locator(".course-question")).to_have_count(0)


def test_a_quiz_and_a_review_suit_both_themes(notebook, picture):
    page = notebook
    choose(page, "Run", "Run All Cells")
    questions = page.locator(".course-question")
    expect(questions).to_have_count(len(QUESTIONS) + 1)  # the last one twice
    page.set_viewport_size({"width": 1280, "height": 2600})

    several = questions.nth(1)
    for option in (re.compile("pi|π"), "2.5"):
        several.get_by_role("checkbox", name=option).click()
    several.get_by_role("radio", name="certain").click()
    several.get_by_role("button", name="Answer").click()
    expect(several.get_by_role("status")).to_contain_text("✓ Right")
    blanks = questions.nth(2)
    blanks.get_by_label("Blank 1").fill(SECRET)
    blanks.get_by_label("Blank 2").fill("swan")
    blanks.get_by_role("radio", name="certain").click()
    blanks.get_by_role("button", name="Answer").click()
    expect(blanks.get_by_role("status")).to_contain_text("✗ Partly right")
    own = questions.nth(3)
    own.get_by_label("In your own words").fill("It multiplies.")
    own.get_by_role("radio", name="a guess").click()
    own.get_by_role("button", name="Show the answer").click()
    expect(own.get_by_role("status")).to_contain_text(SECRET)
    picture("quiz-model-answer")
    own.get_by_role("button", name="partly").click()
    expect(own.get_by_role("status")).to_contain_text("You said: partly")
    plot = questions.nth(4)
    expect(plot.get_by_role("img", name="A line on white ground")).to_be_visible()
    plot.get_by_role("button", name="Answer").click()
    expect(plot.get_by_role("status")).to_contain_text("how sure")
    before = questions.nth(5)
    before.get_by_label("Your answer (bytes)").fill("4")
    press(page, "Enter")
    before.get_by_role("button", name="Answer").click()
    expect(before.get_by_role("status")).to_contain_text("Thank you")
    reviewed = questions.nth(6)
    expect(page.locator(".course-progress")).to_contain_text("1 of 1")
    reviewed.get_by_label("Your answer (bytes)").fill("4")
    reviewed.get_by_role("radio", name="certain").click()
    reviewed.get_by_role("button", name="Answer").click()
    expect(reviewed.get_by_role("status")).to_contain_text("✓ Right")

    for theme in ("Dark", "Light"):
        use_theme(page, theme)
        plot.get_by_role("button", name="Answer").focus()
        picture(f"quiz-{theme.lower()}")
        texts = [*page.locator(".course-quiz [role=status], .course-rows > *").all()]
        texts += page.locator(".course-label, .course-quiz :is(button, [type=text])").all()
        assert len(texts) > 20
        assert [text.inner_text() for text in texts if contrast(text) < 4.5] == []

    reviewed.get_by_role("button", name="Next").click()
    expect(page.locator(".course-progress")).to_contain_text("Well done")
    picture("quiz-review-ended")
