"""A browser and a running `course lab` for the tests of this folder."""

import json
import os
from pathlib import Path

import pytest
from lab_process import course_lab
from playwright.sync_api import Page, expect, sync_playwright

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]

expect.set_options(timeout=60_000)  # a busy machine is slow, which is no fault of the page

# JupyterLab draws only the cells in sight; the tests look at all of them.
ALL_CELLS = {"windowingMode": "none"}


@pytest.fixture(scope="module")
def browser(chromium):
    """One for each module: while Playwright runs, an event loop is in the way of other tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser) -> Page:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(30_000)
    yield page
    page.close()


@pytest.fixture
def running(tmp_path):
    """`course lab` on a fresh work folder, as a learner starts it."""
    settings = tmp_path / "jupyter" / "config" / "lab" / "user-settings" / "@jupyterlab"
    settings = settings / "notebook-extension" / "tracker.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(ALL_CELLS), encoding="utf-8")
    with course_lab(tmp_path) as running:
        yield running


@pytest.fixture
def picture(page, tmp_path):
    """Keeps a picture of the page: under $PICTURES when that is set, to be looked at."""
    folder = Path(os.environ.get("PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def keep(name: str) -> Path:
        path = folder / f"{name}.png"
        page.screenshot(path=path)
        return path

    return keep
