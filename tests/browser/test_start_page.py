"""A newcomer's first minute: `course lab`, the printed address, lesson 00."""

import json
from urllib.parse import urlsplit

from playwright.sync_api import expect

HERE = {"localhost", "127.0.0.1", "::1"}


def title(notebook) -> str:
    """The heading that a notebook starts with."""
    first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]
    return "".join(first["source"]).splitlines()[0].removeprefix("# ")


def test_the_printed_address_shows_lesson_00_and_nothing_asks_the_network(running, page, picture):
    asked, failed = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda reply: failed.append(reply.url) if reply.status >= 400 else None)
    page.goto(running.address)
    heading = page.locator(".jp-RenderedMarkdown h1").first
    expect(heading).to_contain_text(title(running.work / "00_start_here.ipynb"))
    expect(page.locator("#jp-main-statusbar")).to_contain_text("(ipykernel) | Idle")

    page.wait_for_timeout(3_000)  # announcements come a moment after the page
    picture("start-page")
    assert page.locator(".Toastify__toast, .jp-Dialog").count() == 0
    expect(page.locator(".jp-CodeCell .cm-content.cm-lineWrapping").first).to_be_visible()
    assert page.locator(".jp-CodeCell .cm-content:not(.cm-lineWrapping)").count() == 0
    assert failed == []
    assert asked
    assert {urlsplit(url).hostname for url in asked if url.startswith("http")} <= HERE


def test_a_learner_is_not_offered_an_instructors_menus(running, page):
    page.goto(running.address)
    expect(page.locator(".jp-RenderedMarkdown h1").first).to_be_visible()
    expect(page.locator("#jp-MainMenu")).to_contain_text("Kernel")
    expect(page.locator("body")).not_to_contain_text("Formgrader")
    expect(page.locator("body")).not_to_contain_text("Create Assignment")


def test_the_list_of_files_tells_a_newer_version_from_ones_own_copy(running, page, picture):
    """Both begin alike, and the list is narrow: the name must be seen as far as its number."""
    page.set_viewport_size({"width": 1000, "height": 900})
    newer = "03-v2_unstructured_pruning"
    (running.work / f"{newer}.ipynb").write_bytes(
        (running.work / "03_unstructured_pruning.ipynb").read_bytes()
    )
    page.goto(running.address)
    name = page.locator(".jp-DirListing-itemText", has_text=newer)
    expect(name).to_be_visible()
    picture("file-list")
    assert name.evaluate(
        """(element, letters) => {
            const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
            const seen = document.createRange();
            seen.setStart(text, 0);
            seen.setEnd(text, letters);
            return seen.getBoundingClientRect().right <= element.getBoundingClientRect().right;
        }""",
        len(newer),
    )
