"""The glossary's page, the lessons' links to it, and that each of them leads somewhere."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_utils.authoring.build import ROOT
from course_utils.authoring.glossary_page import NAME, link, page, unlinked
from course_utils.authoring.notebooks import instructor, student, to_text
from course_utils.authoring.source import read
from course_utils.grading import intake
from course_utils.quiz import glossary
from course_utils.quiz.translation import LANGUAGES

SOURCES = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))
STEMS = [path.stem for path in SOURCES]
PAGE = page(SOURCES)


def anchors(markdown: str) -> list[str]:
    """The headings, as JupyterLab makes addresses of them."""
    return [
        heading.replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    ]


def links(markdown: str, file: str) -> list[tuple[str, str]]:
    """(words, anchor) of each link to a place in this file; in this very one, if it has no name."""
    return re.findall(rf"\[([^][]+)\]\({re.escape(file)}#(\S*?)\)(?!\))", markdown)


def text(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


# --- The course's own -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_a_lesson_has_a_link_to_each_of_its_terms_and_none_leads_nowhere(path):
    found = links(text(link(student(read(path)), path.stem[:2])), NAME)
    assert found
    assert {anchor for _, anchor in found} <= set(anchors(PAGE))
    own = {t.words["en"].term for t in glossary.every() if t.lesson == path.stem[:2]}
    assert own
    assert {term.replace(" ", "-") for term in own} <= {anchor for _, anchor in found}


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_every_key_concept_that_the_glossary_has_is_a_link(path):
    (section,) = re.findall(
        r"^## Key concepts\n(.*?)(?=^## )", text(instructor(read(path))), re.M | re.S
    )
    concepts = [" ".join(found.split()) for found in re.findall(r"\*\*([^*]+)\*\*", section)]
    names = {term.words["en"].term.casefold() for term in glossary.every()}
    known = {concept for concept in concepts if concept.casefold() in names}
    linked = links(text(link(student(read(path)), path.stem[:2])), NAME)
    assert known <= {" ".join(words.split()) for words, _ in linked}


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_the_page_leads_to_headings_that_the_lesson_has(path):
    found = links(PAGE, f"{path.stem}.ipynb")
    assert found
    assert {anchor for _, anchor in found} <= set(anchors(text(student(read(path)))))


def test_the_page_has_every_term_once_in_four_languages_and_in_the_index():
    headings = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(term.words["en"].term for term in glossary.every())
    assert len(set(anchors(PAGE))) == len(anchors(PAGE))
    index = links(PAGE, "")
    assert [words.casefold() for words, _ in index] == sorted(h.casefold() for h in headings)
    assert {anchor for _, anchor in index} <= set(anchors(PAGE))
    for term in glossary.every():
        for language in LANGUAGES:
            assert term.words[language].term in PAGE
            assert term.words[language].meaning in PAGE


def test_no_address_has_a_sign_that_a_browser_writes_in_another_way():
    """JupyterLab compares an address with the heading letter by letter."""
    every = re.findall(r"\]\([^)#]*#(.+?)\)(?=[\s.,;*]|$)", PAGE)
    assert len(every) > 150
    assert [anchor for anchor in every if not re.fullmatch(r"[\w:?!.,'()/+-]+", anchor, re.A)] == []


def test_nothing_in_the_page_is_taken_for_markup():
    for term in glossary.every():
        for words in term.words.values():
            said = re.sub(r"`[^`]+`", "", f"{words.term} {words.meaning}")
            assert not re.search(r"[*_<>$\[\]`|#\\~]", said), term.id


def test_the_instructors_notebooks_have_no_links_to_the_page():
    for path in SOURCES:
        assert NAME not in to_text(instructor(read(path)))


def test_a_linked_lesson_may_be_handed_in_where_a_class_has_it_without_links(tmp_path):
    """The links stand in the course's own words, which nobody grades."""
    lesson = read(SOURCES[3])
    release, linked = student(lesson), link(student(lesson), "03")
    assert to_text(release) != to_text(linked)
    for cell in linked.cells:
        if cell.id == "magnitude_mask":
            cell.source = "def magnitude_mask(weight, sparsity):\n    return weight > 0"
    for ids in ("kept", "lost"):
        folder = tmp_path / ids
        folder.mkdir()
        if ids == "lost":  # as some editors save it
            for cell in linked.cells:
                del cell["id"]
            linked.nbformat_minor = 4
        (folder / f"{STEMS[3]}.ipynb").write_text(to_text(linked), encoding="utf-8")
        received = intake.receive(folder, STEMS[3], release)
        assert received.for_instructor == received.for_student == []
        (answer,) = [c.source for c in received.notebook.cells if c.id == "magnitude_mask"]
        assert answer.endswith("return weight > 0")


# --- How a link is made ---------------------------------------------------------------------------


def linked(*cells, lesson="10"):
    return [cell.source for cell in link(new_notebook(cells=cells), lesson).cells]


def concepts(words: str) -> str:
    (source,) = linked(new_markdown_cell(f"## Key concepts\n\n- {words}"))
    return source.removeprefix("## Key concepts\n\n- ").split("\n\nIn the [glossary]")[0]


@pytest.mark.parametrize(
    "words, expected",
    [
        ("**Mask**: a", "**[Mask](glossary.md#mask)**: a"),
        ("**Masks**: a", "**[Masks](glossary.md#mask)**: a"),
        ("**Rewound**: a", "**[Rewound](glossary.md#rewinding)**: a"),
        ("**Structured** b", "**[Structured](glossary.md#structured-pruning)** b"),
        (
            "**Optimal brain surgeon (OBS)**: a",
            "**[Optimal brain surgeon (OBS)](glossary.md#optimal-brain-surgeon)**: a",
        ),
        ("**Weight\n  decay**: a", "**[Weight\n  decay](glossary.md#weight-decay)**: a"),
        ("**Weight stationary**: a", "**Weight stationary**: a"),
        ("**Learning-rate rewinding**: a", "**Learning-rate rewinding**: a"),
        ("*mask*, `mask`, mask", "*mask*, `mask`, mask"),
        ("**Mask** and **mask**", "**[Mask](glossary.md#mask)** and **[mask](glossary.md#mask)**"),
    ],
)
def test_words_in_bold_that_the_glossary_has_become_links(words, expected):
    assert concepts(words) == expected


def test_the_last_line_names_the_other_terms_of_the_lesson():
    last = linked(new_markdown_cell("## Key concepts\n\n- **Dense**: a"), lesson="10")[0]
    assert last.endswith(
        "\n\nIn the [glossary](glossary.md), in four languages: the words above that have a link; "
        "also [distillation](glossary.md#distillation)."
    )
    last = linked(new_markdown_cell("## Key concepts\n\n- **Distillation**: a"), lesson="10")[0]
    assert last.endswith("languages: the words above that have a link.")
    last = linked(new_markdown_cell("## Key concepts\n\n- **Budget**: a"), lesson="10")[0]
    assert last.endswith("four languages: [distillation](glossary.md#distillation).")


def test_a_lesson_of_which_the_glossary_has_nothing_stays_as_it_is():
    source = "## Key concepts\n\n- **Budget**: a"
    assert linked(new_markdown_cell(source), lesson="77") == [source]


def test_only_the_section_of_key_concepts_is_touched():
    other, code = new_markdown_cell("## Overview\n\n**Mask**"), new_code_cell("## Key concepts\n")
    both = new_markdown_cell("## Key concepts\n\n- **Mask**\n\n## Step 1: a\n\n**Mask**")
    assert linked(other, code)[:2] == [other.source, code.source]
    assert linked(both)[0].endswith("\n\n## Step 1: a\n\n**Mask**")
    assert "(glossary.md#mask)" in linked(both)[0].split("## Step 1")[0]


def test_links_change_neither_the_ids_nor_anything_that_is_graded():
    lesson = read(SOURCES[3])
    before, after = student(lesson), link(student(lesson), "03")
    changed = [old.id for old, new in zip(before.cells, after.cells, strict=True) if old != new]
    assert len(changed) == 1
    assert [cell.id for cell in before.cells] == [cell.id for cell in after.cells]
    assert [cell.metadata for cell in before.cells] == [cell.metadata for cell in after.cells]


def test_without_its_links_a_notebook_is_what_it_was():
    """The last line is not one of theirs: it leaves the end of a line with nothing in it."""
    lesson = read(SOURCES[3])
    before, after = student(lesson), link(student(lesson), "03")
    (section,) = [c.source for c in before.cells if c.source.startswith("## Key concepts")]
    (changed,) = [c.source for c in after.cells if c.source.startswith("## Key concepts")]
    assert unlinked(changed).rstrip() == section
