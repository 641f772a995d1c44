"""From a key concept to its entry in the glossary, and from there back to the lesson."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect
from test_lesson import use_theme
from test_start_page import HERE

LETTERS = {"Български": "[\u0430-\u044f]", "Tiếng Việt": "[ạ-ỹ]", "한국어": "[가-힣]"}


@pytest.fixture
def asked(page) -> list[str]:
    """The addresses that the browser asks for."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    return asked


def open_lesson(page: Page, address: str, name: str) -> None:
    page.goto(address.replace("00_start_here", name))
    expect(page.locator(".jp-RenderedMarkdown h1").first).to_be_visible()


def heading(page: Page, words: str):
    """A heading of the page in front."""
    return page.locator(":is(h2, h3):visible").filter(has_text=re.compile(rf"^{re.escape(words)}"))


def widest(page: Page) -> float:
    """How much of the page stands outside of it, in pixels, at the right."""
    return page.locator(".jp-MarkdownViewer").evaluate("""viewer => {
        const right = viewer.getBoundingClientRect().right;
        const all = [...viewer.querySelectorAll("*")];
        return Math.max(...all.map(e => e.getBoundingClientRect().right)) - right;
    }""")


def test_a_key_concept_leads_to_the_glossary_and_its_entry_back(running, page, asked, picture):
    open_lesson(page, running.address, "03_unstructured_pruning")
    concept = page.locator("strong a", has_text="Layer collapse")
    concept.scroll_into_view_if_needed()
    picture("glossary-lesson")
    concept.click()
    expect(heading(page, "layer collapse")).to_be_in_viewport()
    expect(page.locator(".jp-Notebook")).not_to_be_visible()
    entry = heading(page, "layer collapse").locator("xpath=following-sibling::ul[1]")
    for language, letters in LETTERS.items():
        expect(entry.locator("li", has_text=language)).to_have_text(re.compile(letters))
    for theme in ("Dark", "Light"):
        use_theme(page, theme)
        picture(f"glossary-{theme.lower()}")
    page.set_viewport_size({"width": 1000, "height": 800})
    assert widest(page) <= 0
    picture("glossary-1000")
    page.set_viewport_size({"width": 1280, "height": 800})

    page.locator(".jp-MarkdownViewer a", has_text="Step 5: training that keeps").first.click()
    expect(heading(page, "Step 5: training that keeps zeros zero")).to_be_in_viewport()
    expect(page.locator(".jp-MarkdownViewer")).not_to_be_visible()
    picture("glossary-back")

    further = page.locator("a:visible", has_text=re.compile("^weight decay$"))
    further.click()
    expect(heading(page, "weight decay")).to_be_in_viewport()
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} <= HERE


def test_the_index_leads_to_every_entry(running, page):
    page.goto(running.address.replace("00_start_here.ipynb", "glossary.md"))
    for name in ("Wanda", "N:M sparsity", "accuracy"):
        page.locator(".jp-MarkdownViewer a", has_text=re.compile(f"^{name}$")).first.click()
        expect(heading(page, name)).to_be_in_viewport()
