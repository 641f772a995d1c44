"""A learner at work on lesson 00: run everything, a wrong answer, the right one, in both themes."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

NO_ABS = """
def keep_largest(values, k):
    flat = values.flatten()
    kept = torch.zeros(flat.numel(), dtype=torch.bool)
    kept[flat.argsort(descending=True)[:k]] = True
    return values * kept.view(values.shape)
"""

RIGHT = """
def keep_largest(values, k):
    if not 0 <= k <= values.numel():
        raise ValueError(f"k is {k}, with {values.numel()} values")
    flat = values.flatten()
    places = flat.abs().topk(k).indices
    return torch.zeros_like(flat).scatter(0, places, flat[places]).reshape(values.shape)
"""


def code_cell(page: Page, source: str) -> Locator:
    """The code cell in which `source` stands."""
    source_of_cell = page.locator(".jp-InputArea-editor", has_text=source)
    return page.locator(".jp-CodeCell").filter(has=source_of_cell)


def run(cell: Locator) -> None:
    cell.locator(".cm-content").click()
    cell.page.keyboard.press("Shift+Enter")


def answer(cell: Locator, code: str) -> None:
    cell.locator(".cm-content").click()
    cell.page.keyboard.press("Control+A")
    cell.page.keyboard.insert_text(code.strip())
    run(cell)


def choose(page: Page, *path: str) -> None:
    """Clicks through a menu: choose(page, "Run", "Run All Cells")."""
    labels = page.locator(".lm-MenuBar-itemLabel, .lm-Menu-itemLabel")
    for name in path:
        labels.filter(has_text=re.compile(f"^{name}$")).click()


def use_theme(page: Page, theme: str) -> None:
    choose(page, "Settings", "Theme", f"JupyterLab {theme}")
    expect(page.locator("body")).to_have_attribute("data-jp-theme-name", f"JupyterLab {theme}")
    expect(page.locator("#jupyterlab-splash")).to_have_count(0)


def contrast(panel: Locator) -> float:
    """The WCAG contrast ratio of a panel's text against whatever lies behind it."""
    return panel.evaluate(
        """element => {
            const rgb = text => text.match(/[\\d.]+/g).map(Number);
            const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
                .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const text = light(rgb(getComputedStyle(element).color));
            let behind = element;
            while (rgb(getComputedStyle(behind).backgroundColor)[3] === 0)
                behind = behind.parentElement;
            const ground = light(rgb(getComputedStyle(behind).backgroundColor));
            return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        }"""
    )


@pytest.fixture
def lesson(running, page):
    page.goto(running.address)
    expect(page.locator(".jp-RenderedMarkdown h1").first).to_be_visible()
    expect(page.locator("#jp-main-statusbar")).to_contain_text("(ipykernel) | Idle")
    return page


def test_not_attempted_wrong_and_right_are_shown_in_both_themes(lesson, picture):
    exercise = code_cell(lesson, "def keep_largest")
    check = code_cell(lesson, 'check("keep_largest"')
    panel = check.locator("[role=status]")

    choose(lesson, "Run", "Run All Cells")
    expect(panel).to_contain_text("not attempted", timeout=120_000)
    exercise.evaluate("cell => cell.scrollIntoView()")
    picture("lesson-00-not-attempted")

    answer(exercise, NO_ABS)
    run(check)
    # What follows has been asked for after the cells still running, if any are.
    expect(panel).to_contain_text("not right yet", timeout=120_000)
    expect(panel).to_contain_text("you kept the largest numbers")
    for theme in ("Dark", "Light"):
        use_theme(lesson, theme)
        exercise.evaluate("cell => cell.scrollIntoView()")
        picture(f"lesson-00-wrong-{theme.lower()}")
        assert contrast(panel) > 4.5

    answer(exercise, RIGHT)
    run(check)
    expect(panel).to_contain_text("correct, 2 of 2 points")
    for theme in ("Dark", "Light"):
        use_theme(lesson, theme)
        exercise.evaluate("cell => cell.scrollIntoView()")
        picture(f"lesson-00-right-{theme.lower()}")
        assert contrast(panel) > 4.5


def test_a_lesson_runs_from_top_to_bottom_without_an_answer(lesson):
    choose(lesson, "Run", "Run All Cells")
    unfinished = lesson.locator(".jp-CodeCell .jp-InputPrompt", has_text="[*]")
    last = lesson.locator(".jp-CodeCell .jp-InputPrompt").last
    expect(last).to_have_text(re.compile(r"\[\d+\]:"), timeout=120_000)
    expect(unfinished).to_have_count(0)
    assert lesson.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert lesson.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
