"""The desk on the start page: where one stands, the words of the course, and a day's review in each
of the four languages with one schedule behind them."""

import json
import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from playwright.sync_api import Locator, Page, expect
from test_lesson import choose, code_cell, run

from course_utils.authoring.notebooks import notebook_metadata
from course_utils.lab import deliver
from course_utils.quiz import bank, markup
from course_utils.quiz.translation import LANGUAGES, catalogue, translated

TOMORROW = """
from datetime import timedelta
from course_utils.study import desk, enrol, reviewing

for lesson in ("00", "03", "05"):
    enrol(lesson)
today = reviewing.now()
reviewing.now = lambda: today + timedelta(1)
desk()
"""


def said(english: str, code: str) -> str:
    return english if code == "en" else catalogue(code)["interface", english]


@pytest.fixture
def opened(running, page) -> Page:
    """A day after three lessons were enrolled."""
    cells = [new_code_cell(TOMORROW.strip())]
    notebook = new_notebook(cells=cells, metadata=notebook_metadata())
    nbformat.write(notebook, running.work / "desk.ipynb")
    page.goto(running.address.replace("00_start_here.ipynb", "desk.ipynb"))
    expect(page.locator("#jp-main-statusbar")).to_contain_text("(ipykernel) | Idle")
    choose(page, "Run", "Run All Cells")
    expect(page.locator(".course-desk")).to_be_visible()
    return page


def speak(page: Page, code: str) -> None:
    page.locator(".course-desk").get_by_role("radio", name=LANGUAGES[code]).first.click()
    button = page.get_by_role("button", name=said("Review now", code))
    expect(button).to_be_visible()


def answer_anyhow(question: Locator, code: str) -> None:
    """Something that is an answer, whatever is asked."""
    page = question.page
    options = question.locator(".course-options input")
    lines = question.locator(".widget-text input, .widget-textarea textarea")
    if options.count():
        options.first.click()
    for line in lines.all():
        line.fill("1")
    page.keyboard.press("Tab")  # what was typed arrives
    question.locator(".course-in-a-row input").first.click()
    question.get_by_role("button").first.click()
    expect(question.get_by_role("status")).to_be_visible()
    own = question.get_by_role("button", name=said("I had it", code))
    if own.count():
        own.click()
    expect(question.get_by_role("button", name=said("Next", code))).to_be_visible()


def asked(question: Locator, code: str) -> str:
    """The id of the question on show, found by its words in this language."""
    shown = re.sub(r"\W+", "", question.locator(".course-label").first.inner_text())
    prompts = {i.id: markup.plain(translated(i, code).prompt) for i in bank.load().values()}
    (id_,) = (id_ for id_, text in prompts.items() if re.sub(r"\W+", "", text) == shown)
    return id_


def test_a_days_review_goes_on_in_another_language(opened, picture):
    page = opened
    page.set_viewport_size({"width": 1000, "height": 1500})
    seen = []
    for code in LANGUAGES:
        speak(page, code)
        picture(f"desk-{code}")
        page.get_by_role("button", name=said("Review now", code)).click()
        question = page.locator(".course-question")
        where = said("{number} of {total}", code).format(number=len(seen) + 1, total=20)
        expect(page.locator(".course-progress")).to_contain_text(where)
        seen.append(asked(question, code))
        answer_anyhow(question, code)
        picture(f"review-{code}")
    assert len(set(seen)) == len(LANGUAGES)


def test_the_choice_is_remembered_and_the_glossary_knows_all_four_languages(opened, picture):
    page = opened
    speak(page, "ko")
    choose(page, "Run", "Run All Cells")
    desk = page.locator(".course-desk")
    expect(desk.get_by_role("radio", name="한국어")).to_be_checked()
    search = desk.get_by_label(said("Look up a word", "ko"))
    for word in ("sparsity", "разреденост", "độ thưa", "do thua", "희소성"):
        search.fill(word)
        expect(desk.get_by_text("희소성 · sparsity · разреденост · độ thưa")).to_be_visible()
    picture("glossary-ko")
    search.fill("quokka")
    expect(desk.get_by_text(said("The glossary has no such word.", "ko"))).to_be_visible()


def test_the_start_page_leads_to_the_lessons(running, page, picture):
    page.goto(running.address)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("(ipykernel) | Idle")
    run(code_cell(page, "desk()"))
    desk = page.locator(".course-desk")
    expect(desk.get_by_text("Next: keep_largest, in lesson 00.")).to_be_visible()
    desk.get_by_label("Look up a word").fill("lottery ticket")
    picture("start-page-desk")
    desk.get_by_role("link", name="03 · Unstructured pruning").click()
    expect(page.get_by_role("heading", name="03 · Unstructured pruning")).to_be_visible()
    source = json.loads((running.work / "00_start_here.ipynb").read_text(encoding="utf-8"))
    assert any("desk()" in "".join(cell["source"]) for cell in source["cells"])


def test_a_newer_version_of_a_begun_lesson_is_one_click_away(running, page, picture, tmp_path):
    mine = running.work / "03_unstructured_pruning.ipynb"
    lesson = json.loads(mine.read_text(encoding="utf-8"))
    own = {"cell_type": "markdown", "metadata": {}, "source": "A note of one's own.", "id": "own"}
    mine.write_text(json.dumps(lesson | {"cells": [*lesson["cells"], own]}), encoding="utf-8")
    text = {
        "cell_type": "markdown",
        "metadata": {},
        "source": "## Step 99: sell it\nNew.",
        "id": "x",
    }
    lesson["cells"].append(text)
    (tmp_path / "course").mkdir()
    (tmp_path / "course" / mine.name).write_text(json.dumps(lesson), encoding="utf-8")
    deliver(tmp_path / "course", running.work)
    page.goto(running.address)
    expect(page.locator("#jp-main-statusbar")).to_contain_text("(ipykernel) | Idle")
    run(code_cell(page, "desk()"))
    desk = page.locator(".course-desk")
    expect(desk.get_by_text("New sections: Step 99.")).to_be_visible()
    desk.get_by_text("Your own copies stay as they are.").scroll_into_view_if_needed()
    picture("newer-version")
    desk.get_by_role("link", name="03-v2_unstructured_pruning.ipynb").click()
    tab = page.locator(".lm-TabBar-tab.lm-mod-current", has_text="03-v2_unstructured_pruning")
    expect(tab).to_be_visible()
    expect(page.get_by_role("heading", name="Step 99: sell it")).to_be_attached()
