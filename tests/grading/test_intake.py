"""What real classes hand in, and the line that the instructor reads about it.

All on real lessons. Whatever comes in, what goes out is checked as nbgrader will check it.
"""

import codecs
import copy
import json
import os
import random
import re
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from nbgrader.api import Gradebook
from nbgrader.preprocessors import CheckCellMetadata, OverwriteCells, SaveCells

from course_utils.grading import intake, reading

HOUSE = Path(__file__).resolve().parents[2]
NAME = "03_unstructured_pruning"
FILE = f"{NAME}.ipynb"


def lesson(name):
    return nbformat.read(HOUSE / "notebooks" / f"{name}.ipynb", as_version=4)


RELEASE = lesson(NAME)
EXERCISES = [c.id for c in RELEASE.cells if c.metadata.get("nbgrader", {}).get("solution")]
ANSWER = "def magnitude_mask(weight, sparsity):\n    return weight.abs() > 0.1  # mine"
OTHER = "def magnitude_mask(weight, sparsity):\n    return weight * 0  # an earlier attempt"
MINE = new_code_cell("my_own = 1", id="mine")


# --- Handing in, and looking at what became of it -------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "submitted" / "ada" / "03"
    place.mkdir(parents=True)
    return place


def answered(release=RELEASE, **answers):
    """The release with these answers, by the cell's id; one answer if nothing is said."""
    notebook = copy.deepcopy(release)
    for id_, source in (answers or {"magnitude_mask": ANSWER}).items():
        cell(notebook, id_).source = source
    return notebook


def cell(notebook, id_) -> NotebookNode:
    [found] = [one for one in notebook.cells if one.get("id") == id_]
    return found


def at(notebook, id_):
    return notebook.cells.index(cell(notebook, id_))


def take(notebook, id_):
    return notebook.cells.pop(at(notebook, id_))


def put(notebook, id_, *cells):
    """Behind the cell of this id."""
    place = at(notebook, id_) + 1
    notebook.cells[place:place] = copy.deepcopy(list(cells))


def without_marks(notebook):
    for one in notebook.cells:
        one.metadata = NotebookNode()
    return notebook


def hand_in(folder, content, name=FILE):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content, indent=1)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def received(folder, content=None, name=FILE, release=RELEASE, as_name=NAME):
    if content is not None:
        hand_in(folder, content, name)
    result = intake.receive(folder, as_name, release)
    must_hold(result, release)
    return result


def must_hold(result, release):
    """Promised for everything that can be handed in."""
    nbformat.validate(result.notebook)
    CheckCellMetadata().preprocess(result.notebook, {})
    by_id = {c.id: c for c in result.notebook.cells}
    marked = [c for c in release.cells if "nbgrader" in c.metadata]
    assert [c.id for c in result.notebook.cells if "nbgrader" in c.metadata] == [
        c.id for c in marked
    ]
    for ours in marked:
        assert by_id[ours.id].metadata == ours.metadata
        assert by_id[ours.id].cell_type == ours.cell_type
        if ours.metadata.nbgrader.locked:
            assert by_id[ours.id].source == ours.source
    assert result.notebook.metadata == release.metadata
    assert not any(c.get("outputs") for c in result.notebook.cells)
    assert "\r" not in "".join(sources(result))
    nbformat.writes(result.notebook).encode("utf-8")
    for line in [*result.for_instructor, *result.for_student]:
        assert line.isprintable()
        assert len(line) < 1200


def sources(result):
    return [c.source for c in result.notebook.cells]


def same_as(result, notebook):
    assert sources(result) == [c.source for c in notebook.cells]
    assert [c.get("id") for c in result.notebook.cells] == [c.get("id") for c in notebook.cells]


# --- Nothing wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [NAME, "01_networks_and_weights", "09_shipping_it"])
def test_an_untouched_lesson_comes_through_as_it_is(folder, name):
    release = lesson(name)
    result = received(folder, release, f"{name}.ipynb", release, name)
    assert result == (release, [], [], {}, "", ())


def test_answers_texts_and_own_cells_come_through_without_a_note(folder):
    notebook = answered(magnitude_mask=ANSWER, why_the_zeros_are_gone="Momentum *revives*.")
    put(notebook, "check_magnitude_mask", MINE, new_markdown_cell("My notes.", id="notes"))
    result = received(folder, notebook)
    assert result.for_instructor == result.for_student == []
    assert sources(result) == [c.source for c in notebook.cells]
    place = at(result.notebook, "check_magnitude_mask")
    assert [c.id for c in result.notebook.cells[place + 1 : place + 3]] == [
        "handed-in-0",
        "handed-in-1",
    ]


def test_the_same_file_gives_the_same_notebook(folder):
    notebook = answered()
    put(notebook, "check_magnitude_mask", MINE)
    assert received(folder, notebook) == received(folder)


def test_outputs_and_what_editors_note_down_are_left_out(folder):
    notebook = answered()
    mine = cell(notebook, "magnitude_mask")
    mine.outputs = [{"output_type": "stream", "name": "stdout", "text": "x" * 10_000_000}]
    mine.execution_count = 7
    mine.metadata.update(ExecuteTime={"end": "now"}, tags=["demo"], scrolled=True)
    put(notebook, "magnitude_mask", {**MINE, "metadata": {"tags": ["skip"], "trusted": True}})
    result = received(folder, notebook)
    assert result.for_instructor == []
    assert cell(result.notebook, "handed-in-0").metadata == {}


def test_line_endings_and_blanks_that_an_editor_changed_are_no_work(folder):
    notebook = copy.deepcopy(RELEASE)
    for one in notebook.cells:
        one.source = one.source.replace("\n", "  \r\n") + "\n\n"
    same_as(received(folder, notebook), RELEASE)


def test_pictures_pasted_into_an_answer_stay(folder):
    picture = {"drawing.png": {"image/png": "iVBORw0KGgo="}}
    notebook = answered(why_a_pattern_helps="![drawing](attachment:drawing.png)")
    cell(notebook, "why_a_pattern_helps").attachments = picture | {"x": {"text/html": "<script>"}}
    result = received(folder, notebook)
    assert cell(result.notebook, "why_a_pattern_helps").attachments == picture


# --- Which file -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "03_unstructured_pruning (1).ipynb",
        "03_unstructured_pruning-Copy1.ipynb",
        "03-v2_unstructured_pruning.ipynb",
        "Copy of 03_unstructured_pruning.ipynb",
        "03_unstructured_pruning.ipynb.txt",
        "03_unstructured_pruning.json",
        "03_Unstructured_Pruning.IPYNB",
        "homework/03_unstructured_pruning.ipynb",
        ".ipynb_checkpoints/03_unstructured_pruning-checkpoint.ipynb",
        "ada_lovelace.ipynb",
        "Übung drei (fertig).ipynb",
    ],
)
def test_a_renamed_notebook_is_found_by_what_is_in_it(folder, name):
    result = received(folder, answered(), name)
    assert result.for_instructor == [f"there is no `{FILE}`: `{name}` was graded"]
    assert result.for_student == [f"The file that was graded is `{name}`: there is no `{FILE}`."]
    assert ANSWER in sources(result)
    assert result.unreadable == ""


def test_where_nothing_was_handed_in_nothing_is_graded(folder):
    result = received(folder)
    assert result.for_instructor == ["could not be graded: nothing was handed in"]
    assert result.unreadable == "nothing was handed in"
    same_as(result, RELEASE)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    result = intake.receive(tmp_path / "nowhere", NAME, RELEASE)
    assert result.unreadable == "nothing was handed in"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("which", ["assignment", "student"])
def test_a_folder_that_is_a_link_is_not_followed(tmp_path, which):
    theirs = tmp_path / "submitted" / "bob" / "03"
    theirs.mkdir(parents=True)
    nbformat.write(RELEASE, theirs / FILE)
    eve = tmp_path / "submitted" / "eve"
    if which == "student":
        eve.symlink_to(theirs.parent)
    else:
        eve.mkdir()
        (eve / "03").symlink_to(theirs)
    result = intake.receive(eve / "03", NAME, RELEASE)
    name = "eve" if which == "student" else "03"
    assert result.unreadable == f"only links were handed in (`{name}`)"
    assert result.files == {}


def test_nbgraders_own_files_are_nobodys_work(folder):
    hand_in(folder, RELEASE)
    for name in ("timestamp.txt", "submission_secret.txt"):
        (folder / name).write_text("x", encoding="utf-8")
    assert received(folder).files == {}


def test_what_was_handed_in_instead_of_a_notebook_is_named(folder):
    hand_in(folder, b"%PDF-1.7", "lesson3.pdf")
    result = received(folder, b"x", "notes.docx")
    why = "no notebook among what was handed in (`lesson3.pdf`, `notes.docx`)"
    assert result.for_instructor == [f"could not be graded: {why}"]
    assert result.for_student == [f"Your work could not be graded: {why}. Please hand it in again."]


def test_another_lesson_is_not_graded(folder):
    result = received(folder, lesson("01_networks_and_weights"))
    why = f"`{FILE}` holds nothing of this lesson"
    assert result.for_instructor == [f"could not be graded: {why}"]
    assert result.unreadable == why


def test_an_empty_notebook_is_not_a_zero(folder):
    blank = new_notebook(cells=[new_code_cell("", id="a")])
    assert received(folder, blank).unreadable == f"`{FILE}` holds nothing of this lesson"
    assert (
        received(folder, new_notebook()).unreadable == f"`{FILE}` holds no cell that could be read"
    )


def test_work_done_in_a_copy_is_graded_where_the_original_was_left_empty(folder):
    hand_in(folder, RELEASE)
    result = received(folder, answered(), "Untitled.ipynb")
    assert result.for_instructor == [
        f"`{FILE}` holds no work: `Untitled.ipynb` was graded",
        f"not graded: `{FILE}`",
    ]
    assert ANSWER in sources(result)


def test_of_several_the_one_with_the_proper_name_is_graded(folder):
    hand_in(
        folder,
        answered(apply_masks="def apply_masks(model, masks): pass", **{"magnitude_mask": OTHER}),
        "final version.ipynb",
    )
    result = received(folder, answered())
    assert result.for_instructor == ["not graded: `final version.ipynb`, with more answers in it"]
    assert result.for_student == [
        f"The file that was graded is `{FILE}`; not graded: `final version.ipynb`, with more "
        "answers in it."
    ]
    assert ANSWER in sources(result)


def test_a_whole_copy_is_graded_in_place_of_an_original_without_a_cell(folder):
    hand_in(folder, "{ nothing")
    result = received(folder, answered(), "copy.ipynb")
    assert result.for_instructor == [
        f"`{FILE}` holds no cell that could be read: `copy.ipynb` was graded"
    ]


def test_a_whole_copy_is_graded_in_place_of_an_original_that_is_cut_off(folder):
    text = json.dumps(answered(), indent=1)
    hand_in(folder, text[: len(text) // 2])
    result = received(folder, answered(), "copy.ipynb")
    assert result.for_instructor == [
        f"`{FILE}` is damaged: `copy.ipynb` was graded",
        f"not graded: `{FILE}`",
    ]


def test_other_lessons_in_the_folder_do_not_matter(folder):
    hand_in(folder, lesson("01_networks_and_weights"), "01_networks_and_weights.ipynb")
    assert received(folder, answered()).for_instructor == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_not_followed(folder, tmp_path):
    neighbour = hand_in(tmp_path, answered(), "neighbours.ipynb")
    secret = tmp_path / "secret"
    hand_in(secret, answered())
    (folder / FILE).symlink_to(neighbour)
    (folder / "all").symlink_to(secret)
    result = received(folder)
    assert result.for_instructor == [
        "could not be graded: only links were handed in (`all`, `03_unstructured_pruning.ipynb`)",
        "links instead of files: `all`, `03_unstructured_pruning.ipynb`: not followed",
    ]
    assert result.files == {}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are none here")
def test_a_pipe_with_a_notebooks_name_stops_nobody(folder):
    os.mkfifo(folder / FILE)
    result = received(folder)
    assert result.for_instructor == [
        f"could not be graded: neither files nor folders: `{FILE}`",
        f"not read, closed or neither file nor folder: `{FILE}`",
    ]


def test_in_a_folder_with_the_notebooks_name_the_notebook_is_found(folder):
    result = received(folder, answered(), f"{FILE}/{FILE}")
    assert result.for_instructor == [f"there is no `{FILE}`: `{FILE}/{FILE}` was graded"]


def test_a_huge_file_is_not_read(folder):
    with (folder / FILE).open("wb") as file:
        file.truncate(201 * 2**20)
    result = received(folder)
    why = f"`{FILE}` is too large (201 MiB; at most 200 MiB can be read)"
    assert result.for_instructor == [f"could not be graded: {why}"]


def test_huge_outputs_are_named_and_left_out(folder, monkeypatch):
    monkeypatch.setattr(intake, "LARGEST_NOTEBOOK", 8 * 2**20)
    notebook = answered()
    cell(notebook, "magnitude_mask").outputs = [
        {"output_type": "stream", "name": "stdout", "text": "x" * 5_000_000}
    ]
    assert received(folder, notebook).for_instructor == [
        f"`{FILE}` is large (5 MiB): its outputs were left out, grading makes its own"
    ]


def test_a_file_of_lists_does_not_fill_the_memory(folder, monkeypatch):
    monkeypatch.setattr(reading, "MOST_ITEMS", 1000)
    result = received(folder, '{"cells": [' + "[]," * 1000 + "[]]}")
    assert result.unreadable == f"`{FILE}` holds more than a notebook can: millions of lists"


def test_a_cell_of_megabytes_is_left_out(folder):
    notebook = answered()
    put(notebook, "magnitude_mask", new_markdown_cell("x" * 9_000_000, id="long"))
    result = received(folder, notebook)
    assert result.for_instructor == [f"`{FILE}` has 1 cell with more than 8 MiB: left out"]
    same_as(result, answered())


def test_thousands_of_cells_are_refused(folder):
    notebook = {"cells": [{"cell_type": "code", "source": "1"}] * 6000}
    why = f"`{FILE}` holds more cells or text than can be graded"
    assert received(folder, notebook).unreadable == why


# --- Other files ----------------------------------------------------------------------------------


def test_other_files_come_along(folder):
    helper = hand_in(folder, "def help(): ...", "helpers/tools.py")
    hand_in(folder, "secret", ".env")
    hand_in(folder, "x", "timestamp.txt")
    hand_in(folder, "x", "__MACOSX/._tools.py")
    result = received(folder, answered())
    assert result.files == {"helpers/tools.py": helper}
    assert result.for_instructor == []


def test_a_copy_of_the_course_and_what_is_too_large_stay_out(folder, monkeypatch):
    monkeypatch.setattr(intake, "LARGEST_FILES", 100)
    hand_in(folder, "x = 1", "course_utils/pruning/masks.py")
    hand_in(folder, b"0" * 101, "weights.pt")
    small = hand_in(folder, "1", "small.txt")
    result = received(folder, answered())
    assert result.files == {"small.txt": small}
    assert result.for_instructor == [
        "files left out (too large or many, or a copy of the course): `weights.pt`, "
        "`course_utils/pruning/masks.py`"
    ]


# --- Editors that lose what nbgrader wrote --------------------------------------------------------


def as_colab_saves(notebook):
    """Marks gone, ids moved into the metadata, and a diary kept."""
    cells = []
    for one in notebook.cells:
        metadata = {"id": "x" + os.urandom(6).hex()}
        saved = {"cell_type": one.cell_type, "source": one.source.splitlines(keepends=True)}
        if one.cell_type == "code":
            user = {"displayName": "Ada", "userId": "01234567890"}
            metadata |= {
                "colab": {"base_uri": "https://localhost:8080/", "height": 300},
                "executionInfo": {"elapsed": 5820, "status": "ok", "user": user, "user_tz": -330},
                "outputId": "d1c9354e-43db-45ab-c38b-b24bcee97356",
            }
            saved |= {"execution_count": None, "outputs": []}
        cells.append(saved | {"metadata": metadata})
    kernel = {"name": "python3", "display_name": "Python 3"}
    metadata = {"colab": {"provenance": []}, "kernelspec": kernel, "accelerator": "GPU"}
    return {"nbformat": 4, "nbformat_minor": 0, "metadata": metadata, "cells": cells}


def test_a_notebook_from_colab_gets_its_marks_back(folder):
    notebook = answered(magnitude_mask=ANSWER, why_the_zeros_are_gone="Momentum.")
    put(notebook, NAME and "f72ea457a885", new_code_cell("!pip install torch", id="pip"))
    result = received(folder, as_colab_saves(notebook))
    assert result.for_instructor == ["nbgrader's marks were missing on all cells: put back"]
    assert sources(result) == [c.source for c in notebook.cells]
    assert "displayName" not in nbformat.writes(result.notebook)


def test_of_cells_with_one_text_the_one_that_is_gone_is_missing(folder):
    """Lesson 01 says "See it." three times."""
    release = lesson("01_networks_and_weights")
    notebook = copy.deepcopy(release)
    twins = [c for c in notebook.cells if c.source == "**See it.**"]
    assert len(twins) == 3
    notebook.cells.remove(twins[0])
    file, name = "01_networks_and_weights.ipynb", "01_networks_and_weights"
    result = received(folder, as_colab_saves(notebook), file, release, name)
    assert result.for_instructor == ["nbgrader's marks were missing on all cells: put back"]
    same_as(result, notebook)


def test_the_ids_that_colab_keeps_are_recognised(folder):
    notebook = as_colab_saves(answered())
    for saved, one in zip(notebook["cells"], answered().cells, strict=True):
        saved["metadata"]["id"] = one.id
    same_as(received(folder, notebook), answered())


def test_the_marks_that_vs_code_lost_are_put_back(folder):
    """VS Code gives a cell that is cut and pasted a new id and no marks."""
    notebook = answered()
    for id_ in ("magnitude_mask", "check_magnitude_mask", "global_or_layerwise"):
        one = cell(notebook, id_)
        one.id, one.metadata = f"{id_[:4]}1234", {"vscode": {"languageId": "python"}}
    notebook.metadata.vscode = {"interpreter": {"hash": "b167"}}
    notebook.metadata.kernelspec.display_name = ".venv"
    result = received(folder, notebook)
    assert result.for_instructor == [
        "nbgrader's marks were missing on `magnitude_mask`, `global_or_layerwise`: put back"
    ]
    same_as(result, answered())


def test_another_kernel_is_named_and_not_used(folder):
    notebook = answered()
    notebook.metadata.kernelspec = {"name": "conda-env-prune-py", "display_name": "Python [prune]"}
    result = received(folder, notebook)
    assert result.for_instructor == [
        "the kernel was `conda-env-prune-py`: graded with the course's own"
    ]


# --- Cells that are gone --------------------------------------------------------------------------


def test_a_deleted_check_is_put_back(folder):
    notebook = answered()
    take(notebook, "check_magnitude_mask")
    result = received(folder, notebook)
    assert result.for_instructor == ["check of `magnitude_mask` was missing: put back"]
    assert result.for_student == [
        "The check of `magnitude_mask` was missing: put back, nothing is lost."
    ]
    same_as(result, answered())


def test_of_many_deleted_checks_all_are_put_back_and_some_named(folder):
    notebook = answered()
    notebook.cells = [c for c in notebook.cells if not c.id.startswith("check_")]
    result = received(folder, notebook)
    assert result.for_instructor == [
        "checks of `magnitude_mask`, `global_masks`, `apply_masks`, `train_step` and 2 more were "
        "missing: put back"
    ]
    same_as(result, answered())


def test_deleted_answer_cells_are_put_back_empty(folder):
    notebook = answered()
    take(notebook, "train_step")
    take(notebook, "why_a_pattern_helps")
    result = received(folder, notebook)
    assert result.for_instructor == [
        "answer cells of `train_step`, `why_a_pattern_helps` were missing: put back empty"
    ]
    assert result.lost == ()
    same_as(result, answered())


def test_an_emptied_exercise_is_not_attempted(folder):
    notebook = answered(magnitude_mask="", why_a_pattern_helps="\n")
    result = received(folder, notebook)
    assert result.for_instructor == []
    same_as(result, RELEASE)


@pytest.mark.parametrize("source", [None, "", "# nothing here any more", "print('hello'"])
def test_imports_that_are_gone_emptied_or_broken_are_put_back(folder, source):
    notebook = answered()
    setup = next(c for c in notebook.cells if c.source.startswith("import copy"))
    original = setup.source
    setup.source = source or ""
    if source is None:
        notebook.cells.remove(setup)
    result = received(folder, notebook)
    [line] = result.for_instructor
    assert re.fullmatch(r"course cell that defines `\w+`, .* and \d+ more had gone: put back", line)
    place = sources(result).index(original)
    assert result.notebook.cells[place].id == cell(RELEASE, setup.id).id
    if source:
        assert sources(result)[place + 1] == source


def test_imports_that_the_student_moved_are_not_put_back(folder):
    notebook = answered()
    setup = next(c for c in notebook.cells if c.source.startswith("import copy"))
    notebook.cells.remove(setup)
    notebook.cells.insert(0, new_code_cell("%matplotlib inline\n" + setup.source, id="my-imports"))
    result = received(folder, notebook)
    assert result.for_instructor == []
    assert setup.source not in sources(result)


def test_around_answers_alone_the_cells_they_need_are_put_back(folder):
    notebook = answered()
    notebook.cells = [cell(notebook, id_) for id_ in EXERCISES]
    result = received(folder, notebook)
    assert len(result.for_instructor) == 2
    setup = next(c for c in RELEASE.cells if c.source.startswith("import copy"))
    assert at(result.notebook, setup.id) < at(result.notebook, "magnitude_mask")
    helper = next(c for c in RELEASE.cells if c.source.startswith("mask_of = "))
    assert at(result.notebook, helper.id) > at(result.notebook, "check_magnitude_mask")


def test_texts_that_students_deleted_or_changed_stay_so(folder):
    notebook = answered()
    notebook.cells = [c for c in notebook.cells if c.cell_type == "code" or c.metadata]
    notebook.cells.insert(0, new_markdown_cell("# My title", id="t"))
    result = received(folder, notebook)
    assert result.for_instructor == []
    assert sources(result) == [c.source for c in notebook.cells]


def test_a_course_cell_that_was_changed_stays_changed(folder):
    notebook = answered()
    figure = next(c for c in notebook.cells if "demo" in c.metadata.get("tags", []))
    figure.source = "# too slow\n" + figure.source
    result = received(folder, notebook)
    assert result.for_instructor == []
    assert cell(result.notebook, figure.id) == figure


# --- Cells twice ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [
        (ANSWER, None, []),
        (None, ANSWER, []),
        (ANSWER, ANSWER, []),
        (OTHER, ANSWER, [OTHER]),
        ("import math\nEPSILON = 1e-9", ANSWER, ["import math\nEPSILON = 1e-9"]),
        (ANSWER, "EPSILON = 1e-9", ["EPSILON = 1e-9"]),
    ],
    ids=["copied empty", "done in the copy", "the same", "an attempt", "split", "split behind"],
)
def test_of_an_exercise_twice_the_last_with_work_in_it_is_graded(folder, first, second, left):
    stub = cell(RELEASE, "magnitude_mask").source
    notebook = answered(magnitude_mask=first or stub)
    twin = copy.deepcopy(cell(notebook, "magnitude_mask"))
    twin.source, twin.id = second or stub, "twin"
    put(notebook, "magnitude_mask", twin)
    result = received(folder, notebook)
    assert result.for_instructor == [
        "`magnitude_mask` stood there 2 times: the last with work in it was graded"
    ]
    assert cell(result.notebook, "magnitude_mask").source == ANSWER
    own = [c.source for c in result.notebook.cells if c.id.startswith("handed-in")]
    assert own == left
    assert at(result.notebook, "check_magnitude_mask") > at(result.notebook, "magnitude_mask")


def test_of_a_check_twice_one_is_left(folder):
    notebook = answered()
    put(notebook, "check_train_step", {**cell(notebook, "check_magnitude_mask"), "id": "again"})
    result = received(folder, notebook)
    assert result.for_instructor == ["check of `magnitude_mask` stood there 2 times: one is left"]
    same_as(result, answered())


def test_of_a_notebook_pasted_below_itself_the_answers_are_found(folder):
    notebook = copy.deepcopy(RELEASE)
    for one in answered().cells:
        notebook.cells.append({**one, "id": f"again-{one.id}"})
    result = received(folder, notebook)
    assert cell(result.notebook, "magnitude_mask").source == ANSWER
    assert sources(result).count(cell(RELEASE, "check_magnitude_mask").source) == 1


def test_a_second_attempt_below_does_not_replace_the_answer(folder):
    """In lesson 01 an exercise is called `sparsity`, and so is many a number."""
    release = lesson("01_networks_and_weights")
    answer = "def sparsity(tensor):\n    return (tensor == 0).double().mean().item()"
    notebook = answered(release, sparsity=answer)
    put(notebook, "check_sparsity", new_code_cell("sparsity = 0.5", id="number"))
    result = received(
        folder, notebook, "01_networks_and_weights.ipynb", release, "01_networks_and_weights"
    )
    assert result.for_instructor == []
    assert cell(result.notebook, "sparsity").source == answer


# --- Answers elsewhere ----------------------------------------------------------------------------

FOUND = "answer to `magnitude_mask` stood in another cell: found and graded"


@pytest.mark.parametrize("behind", ["magnitude_mask", "check_magnitude_mask", "f72ea457a885"])
def test_an_answer_in_a_cell_of_ones_own_goes_before_its_check(folder, behind):
    notebook = copy.deepcopy(RELEASE)
    put(notebook, behind, new_code_cell("LIMIT = 0.1", id="helper"))
    put(notebook, "helper", new_code_cell(ANSWER, id="answer"))
    result = received(folder, notebook)
    assert result.for_instructor == [FOUND]
    place = at(result.notebook, "magnitude_mask")
    assert sources(result)[place - 1 : place + 2] == [
        "LIMIT = 0.1",
        ANSWER,
        cell(RELEASE, "check_magnitude_mask").source,
    ]


def test_an_answer_in_the_cell_of_the_check_is_found(folder):
    both = ANSWER + "\n\n" + cell(RELEASE, "check_magnitude_mask").source
    notebook = answered(check_magnitude_mask=both)
    result = received(folder, notebook)
    assert result.for_instructor == [FOUND, "check of `magnitude_mask` was changed: put right"]
    assert cell(result.notebook, "magnitude_mask").source == both


def test_a_helper_in_the_cell_of_the_check_is_kept(folder):
    changed = "def helper(): ...\n\ncheck('magnitude_mask', magnitude_mask)"
    result = received(folder, answered(magnitude_mask=ANSWER, check_magnitude_mask=changed))
    assert result.for_instructor == ["check of `magnitude_mask` was changed: put right"]
    place = at(result.notebook, "check_magnitude_mask")
    assert sources(result)[place - 2 : place] == [ANSWER, changed]


def test_from_a_cell_merged_with_its_check_the_check_is_put_back(folder):
    notebook = answered(magnitude_mask=ANSWER + "\n\ncheck('magnitude_mask', magnitude_mask)")
    take(notebook, "check_magnitude_mask")
    result = received(folder, notebook)
    assert result.for_instructor == ["check of `magnitude_mask` was missing: put back"]


GLOBAL = "def global_masks(weights, sparsity):\n    return {}"


@pytest.mark.parametrize("home", ["magnitude_mask", "global_masks", None])
def test_one_cell_for_two_exercises_answers_both(folder, home):
    """The stub of the other one must not undo the answer."""
    both = f"{ANSWER}\n\n\n{GLOBAL}"
    if home:
        notebook = answered(**{home: both})
    else:
        notebook = copy.deepcopy(RELEASE)
        notebook.cells.append(new_code_cell(both, id="all"))
    result = received(folder, notebook)
    [line] = result.for_instructor
    assert re.fullmatch(r"answer to `.*` stood in another cell: found and graded", line)
    assert cell(result.notebook, "magnitude_mask").source == both
    assert cell(result.notebook, "global_masks").source == "# The answer stands in another cell."


def test_two_functions_of_one_exercise_are_found_in_two_cells(folder):
    release = lesson("09_shipping_it")
    notebook = copy.deepcopy(release)
    one, two = "def pack(weight):\n    return 1", "def unpack(bits, values, shape):\n    return 2"
    put(notebook, "pack", new_code_cell(one, id="one"), new_code_cell(two, id="two"))
    result = received(folder, notebook, "09_shipping_it.ipynb", release, "09_shipping_it")
    assert result.for_instructor == ["answer to `pack` stood in another cell: found and graded"]
    place = at(result.notebook, "check_pack")
    assert sources(result)[place - 2 : place] == [one, two]


def test_a_cell_that_answers_all_goes_before_one_that_answers_a_part(folder):
    release = lesson("09_shipping_it")
    notebook = copy.deepcopy(release)
    both = "def pack(weight):\n    return 1\n\n\ndef unpack(bits, values, shape):\n    return 2"
    part = "def pack(weight):\n    return 'an experiment'"
    put(notebook, "pack", new_code_cell(both, id="both"))
    notebook.cells.append(new_code_cell(part, id="part"))
    result = received(folder, notebook, "09_shipping_it.ipynb", release, "09_shipping_it")
    assert cell(result.notebook, "pack").source == both
    assert sources(result)[-1] == part


def test_a_written_answer_below_or_above_its_cell_is_found(folder):
    notebook = copy.deepcopy(RELEASE)
    put(notebook, "why_the_zeros_are_gone", new_markdown_cell("Momentum.", id="below"))
    above = notebook.cells[at(notebook, "global_or_layerwise") - 1]
    put(notebook, above.id, new_markdown_cell("It depends.", id="above"))
    result = received(folder, notebook)
    assert result.for_instructor == [
        "answer to `why_the_zeros_are_gone`, `global_or_layerwise` stood in another cell: found "
        "and graded"
    ]
    same_as(result, answered(why_the_zeros_are_gone="Momentum.", global_or_layerwise="It depends."))


def test_a_written_answer_in_the_cell_of_the_question_is_found(folder):
    notebook = copy.deepcopy(RELEASE)
    question = notebook.cells[at(notebook, "why_the_zeros_are_gone") - 1]
    question.source += "\n\nMomentum."
    result = received(folder, notebook)
    assert result.for_instructor == [
        "answer to `why_the_zeros_are_gone` stood in another cell: found and graded"
    ]
    same_as(result, answered(why_the_zeros_are_gone="Momentum."))


def test_a_written_answer_typed_into_a_code_cell_becomes_text(folder):
    notebook = copy.deepcopy(RELEASE)
    typed = new_code_cell("Because momentum isn't masked.", id="typed")
    scratch = new_code_cell("1 + 1", id="scratch")
    put(notebook, "why_the_zeros_are_gone", scratch, typed)
    result = received(folder, notebook)
    answer = cell(result.notebook, "why_the_zeros_are_gone")
    assert (answer.cell_type, answer.source) == ("markdown", typed.source)
    assert "1 + 1" in sources(result)


def test_cells_that_became_another_kind_are_put_right(folder):
    notebook = answered(magnitude_mask=ANSWER, why_the_zeros_are_gone="Momentum.")
    for id_, kind in (("magnitude_mask", "markdown"), ("why_the_zeros_are_gone", "code")):
        cell(notebook, id_).cell_type = kind
    cell(notebook, "check_magnitude_mask").cell_type = "raw"
    result = received(folder, notebook)
    assert result.for_instructor == [
        "cells of `magnitude_mask`, `why_the_zeros_are_gone` were of another kind (code or text): "
        "put right"
    ]
    assert cell(result.notebook, "magnitude_mask").source == ANSWER


# --- Cells that were changed ----------------------------------------------------------------------


@pytest.mark.parametrize("source", ["check('magnitude_mask', lambda w, s: w)", "2", ""])
def test_an_edited_check_is_put_right(folder, source):
    result = received(folder, answered(magnitude_mask=ANSWER, check_magnitude_mask=source))
    assert result.for_instructor == ["check of `magnitude_mask` was changed: put right"]
    assert result.for_student == [
        "The check of `magnitude_mask` was changed: the course's own was used."
    ]


def test_changed_points_count_as_in_the_release(folder):
    notebook = answered()
    cell(notebook, "check_magnitude_mask").metadata.nbgrader.points = 100
    assert received(folder, notebook).for_instructor == [
        "points of `magnitude_mask` were changed to `100`: it counts 2 as in the release"
    ]


def test_several_changed_points_make_one_line(folder):
    notebook = answered()
    for id_ in ("check_magnitude_mask", "check_train_step", "check_n_m_mask"):
        cell(notebook, id_).metadata.nbgrader.points = 100
    assert received(folder, notebook).for_instructor == [
        "points of `magnitude_mask`, `train_step`, `n_m_mask` were changed: "
        "they count as in the release"
    ]


def test_points_on_a_cell_that_has_none_do_not_count(folder):
    notebook = answered()
    cell(notebook, "magnitude_mask").metadata.nbgrader.points = 50
    assert received(folder, notebook).for_instructor == [
        "nbgrader's marks on `magnitude_mask` were changed: put right"
    ]


def test_changed_marks_are_put_right(folder):
    notebook = answered()
    cell(notebook, "check_magnitude_mask").metadata.nbgrader.update(locked=False, grade=False)
    cell(notebook, "train_step").metadata.nbgrader.update(grade_id="invented", solution="yes")
    cell(notebook, "train_step").metadata.nbgrader["more"] = {"deep": [1]}
    del cell(notebook, "apply_masks").metadata.nbgrader["schema_version"]
    result = received(folder, notebook)
    assert result.for_instructor[0] == (
        "nbgrader's marks on `magnitude_mask`, `train_step` were changed: put right"
    )


def test_forged_marks_on_a_students_own_cell_are_taken_off(folder):
    notebook = answered()
    forged = {"grade": True, "solution": False, "locked": True, "grade_id": "bonus", "points": 50}
    put(notebook, "magnitude_mask", {**MINE, "metadata": {"nbgrader": forged}})
    result = received(folder, notebook)
    assert result.for_instructor == [
        "another version of the lesson (`bonus` differ): graded by the released one"
    ]
    assert cell(result.notebook, "handed-in-0").metadata == {}


def test_a_cell_out_of_order_goes_back_to_its_place(folder):
    notebook = answered()
    moved = take(notebook, "magnitude_mask")
    notebook.cells.append(moved)
    result = received(folder, notebook)
    assert result.for_instructor == [
        "cell out of order (`magnitude_mask`): put in the lesson's order"
    ]
    same_as(result, answered())


def test_cells_in_reverse_are_put_in_the_lessons_order(folder):
    notebook = answered()
    notebook.cells.reverse()
    result = received(folder, notebook)
    assert "out of order" in result.for_instructor[0]
    assert [c.id for c in result.notebook.cells if c.metadata] == [
        c.id for c in RELEASE.cells if c.metadata
    ]


def test_a_course_cell_that_moved_goes_back_and_is_not_named(folder):
    notebook = answered()
    notebook.cells.append(take(notebook, "117cf76a182a"))
    result = received(folder, notebook)
    assert result.for_instructor == [
        "cell out of order (1 of the course's own): put in the lesson's order"
    ]
    same_as(result, answered())


def test_own_cells_stay_with_the_cell_they_followed(folder):
    notebook = answered()
    moved = [take(notebook, "check_train_step"), MINE]
    put(notebook, "check_magnitude_mask", *moved)
    result = received(folder, notebook)
    assert at(result.notebook, "handed-in-0") == at(result.notebook, "check_train_step") + 1


# --- Another version ------------------------------------------------------------------------------


def older_release():
    """As the lesson may have been last year: one exercise more, others in other words."""
    from nbgrader.utils import compute_checksum

    older = copy.deepcopy(RELEASE)
    stub = cell(older, "train_step")
    stub.source = stub.source.replace("NotImplementedError()", "NotImplementedError('yours')")
    extra = copy.deepcopy(stub)
    extra.id = extra.metadata.nbgrader.grade_id = "gone_by_now"
    extra.source = "def gone_by_now():\n    raise NotImplementedError"
    cell(older, "check_train_step").metadata.nbgrader.points = 1
    put(older, "check_train_step", extra)
    setup = next(c for c in older.cells if c.source.startswith("import copy"))
    setup.source, setup.id = setup.source.replace("import numpy as np\n", ""), "older-setup"
    older.cells[0].source, older.cells[0].id = "# 03 · An older title", "older-title"
    for one in older.cells:
        if "nbgrader" in one.metadata:
            one.metadata.nbgrader.checksum = compute_checksum(one)
    return older


def test_work_in_an_older_version_is_graded_by_the_released_one(folder):
    result = received(folder, answered(older_release()))
    assert result.for_instructor == [
        "course cell that defines `np` had gone: put back",
        "another version of the lesson (`train_step`, `check_train_step`, `gone_by_now` differ): "
        "graded by the released one",
    ]
    assert result.for_student == [
        "You worked in another version of this lesson. It was graded by the released one."
    ]
    assert cell(result.notebook, "magnitude_mask").source == ANSWER
    assert cell(result.notebook, "train_step").source == cell(RELEASE, "train_step").source


def test_the_empty_cell_of_an_older_version_is_no_answer(folder):
    notebook = older_release()
    mine = "def train_step(model, optimizer, masks, x, y):\n    return 0.5"
    put(notebook, "check_train_step", new_code_cell(mine, id="own"))
    result = received(folder, notebook)
    found = "answer to `train_step` stood in another cell: found and graded"
    assert found in result.for_instructor
    assert cell(result.notebook, "train_step").source == mine


def test_points_that_the_instructor_changed_accuse_nobody(folder):
    result = received(folder, answered(older_release()))
    assert not any("points" in line for line in result.for_instructor)


# --- Damaged files --------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [n / 20 for n in range(1, 20)])
def test_of_a_truncated_file_the_whole_cells_are_saved(folder, share):
    text = json.dumps(answered(), indent=1)
    cut = text[: int(len(text) * share)]
    result = received(folder, cut)
    whole = max(len(re.findall(r"^  }", cut, re.MULTILINE)), 1)
    if result.unreadable:
        why = "is damaged, and what is left of it holds nothing of this lesson"
        assert result.unreadable == f"`{FILE}` {why}"
        assert not any("nbgrader" in c.metadata for c in answered().cells[:whole])
        assert share <= 0.1
        return
    cells = f"{whole} whole {'cell' if whole == 1 else 'cells'}"
    assert result.for_instructor[0] == f"`{FILE}` is damaged: {cells} could be saved"
    gone = [id_ for id_ in EXERCISES if id_ not in {c.id for c in answered().cells[:whole]}]
    checks = [f"check_{id_}" for id_ in gone if f"check_{id_}" in {c.id for c in RELEASE.cells}]
    assert set(result.lost) == {*gone, *checks}
    if gone:
        more = f" and {len(gone) - 4} more" if len(gone) > 4 else ""
        names = ", ".join(f"`{id_}`" for id_ in gone[:4]) + more
        assert result.for_instructor[1:] == [f"lost with the damage, so not graded: {names}"]


def test_a_hole_in_the_middle_loses_one_answer(folder):
    text = json.dumps(answered(), indent=1)
    hole = text.index("def apply_masks")
    result = received(folder, text[:hole] + '\x00\x00"' + text[hole + 30 :])
    assert result.lost == ("apply_masks", "check_apply_masks")
    assert result.for_instructor == [
        f"`{FILE}` is damaged: 122 whole cells could be saved",
        "lost with the damage, so not graded: `apply_masks`",
    ]
    assert ANSWER in sources(result)


TEXT = json.dumps(answered(), indent=1, ensure_ascii=False)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (codecs.BOM_UTF8 + TEXT.encode(), []),
        (TEXT.encode("utf-16"), []),
        (TEXT.encode("utf-16-le"), []),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), []),
        (TEXT.encode("utf-32"), []),
        (TEXT.encode() + b"\n</html> trailing", ["had text around the notebook: left out"]),
        (TEXT.encode() + b"\0" * 4096, ["had text around the notebook: left out"]),
        (b"commit 1234\n\n" + TEXT.encode(), ["had text around the notebook: left out"]),
        (TEXT.encode() + TEXT.encode(), ["had text around the notebook: left out"]),
        (json.dumps({"name": FILE, "content": answered()}).encode(), []),
        (json.dumps(answered().cells).encode(), []),
        (TEXT.replace("  {\n", "  ,{\n").encode(), ["is damaged: 123 whole cells could be saved"]),
        (TEXT.replace('"cells": [', '"cells": [NaN, 1e999, ' + "9" * 5000 + ",", 1).encode(), []),
    ],
    ids=[
        "bom",
        "utf-16",
        "utf-16-le",
        "utf-16-be",
        "utf-32",
        "trailing",
        "nulls",
        "leading",
        "twice",
        "api",
        "list",
        "commas",
        "numbers",
    ],
)
def test_a_whole_notebook_in_an_odd_file_is_read(folder, data, lines):
    result = received(folder, data)
    assert result.for_instructor == [f"`{FILE}` {line}" for line in lines]
    assert sources(result) == [c.source for c in answered().cells]


def test_the_letters_of_an_old_windows_editor_are_read(folder):
    answer = "# Größe, naïve\n" + ANSWER
    text = json.dumps(answered(magnitude_mask=answer), indent=1, ensure_ascii=False)
    result = received(folder, text.encode("cp1252", errors="replace"))
    assert cell(result.notebook, "magnitude_mask").source == answer


def test_a_file_that_breaks_off_within_a_letter_keeps_the_others(folder):
    notebook = answered(magnitude_mask="# Größe\n" + ANSWER)
    text = json.dumps(notebook, indent=1, ensure_ascii=False).encode()
    result = received(folder, text[: text.rindex("·".encode()) + 1])
    assert cell(result.notebook, "magnitude_mask").source == "# Größe\n" + ANSWER


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "is empty"),
        (b"\0" * 5000, "is empty"),
        (b" \n", "is empty"),
        (b"\n<!DOCTYPE html><html>", "is a web page, not the notebook it showed"),
        (b"%PDF-1.7 ...", "is a PDF"),
        (b"{\\rtf1\\ansi ...", "is a text document (RTF)"),
        (
            b"version https://git-lfs.github.com/spec/v1",
            "is a Git LFS pointer, not the notebook itself",
        ),
        (b"\x1f\x8b\x08\x00abc", "is compressed (gzip)"),
        (b"PK\x03\x04abc", "is an archive or an office document"),
        (b"{}", "holds no cell that could be read"),
        (b"[]", "holds no cell that could be read"),
        (b"null", "holds no cell that could be read"),
        (b'{"cells": {}}', "holds no cell that could be read"),
        (b'{"cells": [1, null, "x", []]}', "holds no cell that could be read"),
        (b"[" * 100_000, "holds no cell that could be read"),
        (b'{"a":' * 100_000, "holds no cell that could be read"),
        (bytes(range(256)) * 10, "holds no cell that could be read"),
    ],
)
def test_what_a_file_without_a_notebook_is_instead_is_said(folder, data, why):
    result = received(folder, data)
    assert result.unreadable == f"`{FILE}` {why}"
    assert result.for_instructor == [f"could not be graded: `{FILE}` {why}"]
    same_as(result, RELEASE)


def conflict(ours, theirs):
    """A file that Git could not merge, line by line."""
    one, two = (json.dumps(n, indent=1).splitlines(keepends=True) for n in (ours, theirs))
    start = next(n for n, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    end = next(n for n, (a, b) in enumerate(zip(one[::-1], two[::-1], strict=False)) if a != b)
    return "".join(
        [
            *one[:start],
            "<<<<<<< HEAD\n",
            *one[start : len(one) - end],
            "=======\n",
            *two[start : len(two) - end],
            ">>>>>>> origin/main\n",
            *one[len(one) - end :],
        ]
    )


@pytest.mark.parametrize("stashed", [False, True])
def test_of_an_unresolved_merge_the_side_with_more_work_is_graded(folder, stashed):
    sides = [answered(), RELEASE]
    result = received(folder, conflict(*(sides[::-1] if stashed else sides)))
    assert result.for_instructor == [
        f"`{FILE}` held an unresolved Git merge: the side with more work was graded"
    ]
    same_as(result, answered())


def test_a_merge_with_broken_sides_still_gives_its_whole_cells(folder):
    text = conflict(answered(), RELEASE)
    result = received(folder, text[: text.index("def train_step")])
    assert result.for_instructor[0].startswith(f"`{FILE}` held an unresolved Git merge")
    assert ANSWER in sources(result)
    assert "train_step" in result.lost


def test_searching_a_hostile_text_for_cells_ends(folder):
    starts = '{"metadata": ' * 600_000
    assert received(folder, starts).unreadable
    markers = "<<<<<<< x\n" * 300_000
    assert received(folder, markers).unreadable


# --- Other formats --------------------------------------------------------------------------------


def test_a_notebook_of_nbformat_3_is_read(folder):
    third = nbformat.convert(copy.deepcopy(answered()), 3)
    text = nbformat.writes(third, version=3)
    assert '"worksheets"' in text
    result = received(folder, text)
    assert result.for_instructor == []
    assert [c.source for c in result.notebook.cells] == [c.source for c in answered().cells]


def test_a_python_file_with_cell_markers_gives_all_its_cells(folder):
    lines = []
    for one in answered(magnitude_mask=ANSWER, why_the_zeros_are_gone="Momentum.").cells:
        if one.cell_type == "markdown":
            text = "\n".join(f"# {line}".rstrip() for line in one.source.splitlines())
            lines += ["# %% [markdown]", text]
        else:
            lines += ["# %%", one.source]
    result = received(folder, "\n".join(lines), f"{NAME}.py")
    assert result.for_instructor == [
        f"there is no `{FILE}`: `{NAME}.py` was graded",
        f"`{NAME}.py` is a Python file, not a notebook: written answers may be missing",
        "nbgrader's marks were missing on all cells: put back",
    ]
    same_as(result, answered(magnitude_mask=ANSWER, why_the_zeros_are_gone="Momentum."))


def test_in_a_python_file_from_nbconvert_answers_are_found(folder):
    from nbconvert import PythonExporter

    text, _ = PythonExporter().from_notebook_node(answered())
    result = received(folder, text, "export.py")
    assert result.for_instructor[0] == f"there is no `{FILE}`: `export.py` was graded"
    assert any(ANSWER in source for source in sources(result))
    assert cell(result.notebook, "magnitude_mask").source.startswith("def magnitude_mask")


def test_in_a_python_file_from_colab_cells_are_put_together_again(folder):
    parts = ['# -*- coding: utf-8 -*-\n"""Copy.ipynb\n\nAutomatically generated by Colab.\n"""']
    for one in answered().cells:
        quoted = '"""' + one.source.replace("\\", "\\\\").replace('"""', "'''") + '\n"""'
        parts.append(quoted if one.cell_type == "markdown" else one.source)
    result = received(folder, "\n\n".join(parts), "copy.py")
    assert cell(result.notebook, "magnitude_mask").source == ANSWER
    setup = next(c for c in RELEASE.cells if c.source.startswith("import copy"))
    assert cell(result.notebook, setup.id).source == setup.source
    own = [c.source for c in result.notebook.cells if c.id.startswith("handed-in")]
    assert not any("train" in source for source in own if "def" not in source and "#" not in source)


def test_a_notebook_in_an_archive_is_graded(folder):
    with zipfile.ZipFile(folder / "work.zip", "w") as archive:
        archive.writestr(f"03/{FILE}", json.dumps(answered()))
        archive.writestr(f"__MACOSX/03/._{FILE}", b"\0\5\26\7")
        archive.writestr("../../outside.ipynb", "{}")
    result = received(folder)
    assert result.for_instructor == [
        f"there is no `{FILE}`: `work.zip/03/{FILE}` was graded",
    ]
    same_as(result, answered())


def test_a_checkpoint_is_graded_where_its_notebook_is_empty(folder):
    hand_in(folder, b"")
    checkpoint = f".ipynb_checkpoints/{NAME}-checkpoint.ipynb"
    result = received(folder, answered(), checkpoint)
    assert result.for_instructor == [f"`{FILE}` is empty: `{checkpoint}` was graded"]
    same_as(result, answered())


def test_a_helper_is_no_reason_but_is_named(folder):
    hand_in(folder, "def help(): ...", "tools.py")
    result = received(folder, b"")
    assert result.unreadable == f"`{FILE}` is empty; `tools.py` holds nothing of this lesson"


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"", b"PK\x05\x06" + b"\0" * 18, b"garbage"])
def test_an_archive_that_does_not_open_is_unreadable(folder, data):
    assert received(folder, data, "work.zip").unreadable


def test_an_archive_that_would_fill_the_memory_is_refused(folder, monkeypatch):
    monkeypatch.setattr(intake, "LARGEST_NOTEBOOK", 2**20)
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.ipynb", b" " * 2**24)
    assert received(folder).unreadable == "`bomb.zip/bomb.ipynb` is too large"


# --- Strange contents -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "strange",
    [
        {"cell_type": "code"},
        {"cell_type": "code", "source": None, "metadata": None, "outputs": None},
        {"cell_type": 7, "source": ["a", 1, None, "b"], "metadata": []},
        {"source": {"a": 1}},
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "raw", "source": "raw", "attachments": {"a": 1}},
        {"cell_type": "markdown", "source": "x", "attachments": {"a": {"image/png": {"b": 1}}}},
        {"cell_type": "code", "source": "'\ud800'", "id": "magnitude mask!"},
        {"cell_type": "code", "source": "(" * 5000, "id": ["x"]},
        {"cell_type": "code", "source": "a" + ".b" * 50_000 + "\0"},
        {"cell_type": "code", "source": "x", "metadata": {"nbgrader": []}},
        {"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": ["a"]}}},
        {"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"checksum": 3}}},
        {
            "cell_type": "code",
            "source": "x",
            "metadata": {
                "nbgrader": {
                    "grade_id": "train_step",
                    "points": "many",
                    "checksum": "x",
                    "grade": True,
                }
            },
        },
        {
            "cell_type": "code",
            "source": "x",
            "metadata": {"nbgrader": {"grade_id": "\x1b[2Jtrain", "grade": 1, "__class__": "x"}},
        },
    ],
)
def test_strange_cells_harm_nothing(folder, strange):
    notebook = json.loads(json.dumps(answered()))
    notebook["cells"].insert(3, strange)
    result = received(folder, json.dumps(notebook))
    assert result.unreadable == ""
    assert cell(result.notebook, "magnitude_mask").source == ANSWER


def test_names_are_shown_without_what_a_terminal_or_a_page_would_obey(folder):
    name = "\x1b[31m<script>`x`\n.ipynb"
    notebook = answered()
    notebook.metadata.kernelspec.name = "\x1b]0;title\x07" + "k" * 500
    result = received(folder, notebook, name)
    assert result.for_instructor == [
        f"there is no `{FILE}`: `?[31m?script??x??.ipynb` was graded",
        "the kernel was `?]0;title?" + "k" * 67 + "...`: graded with the course's own",
    ]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are always text there")
def test_a_name_that_is_no_text_is_shown_with_a_question_mark(folder):
    path = os.path.join(os.fsencode(folder), b"caf\xe9.ipynb")
    with open(path, "wb") as file:
        file.write(json.dumps(answered()).encode())
    assert received(folder).for_instructor == [f"there is no `{FILE}`: `caf?.ipynb` was graded"]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_broken_in_a_notebook_it_is_received(folder, seed):
    """Random damage: to the structure, then to the bytes."""
    rng = random.Random(seed)
    notebook = json.loads(json.dumps(answered()))
    junk = [None, 0, "", "x", [], {}, True, 1e300, ["a"], {"a": {"b": []}}, "\ud800", "\x00"]
    for _ in range(rng.randrange(12)):
        place = notebook["cells"]
        while rng.random() < 0.8 and isinstance(place, dict | list) and place:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if not isinstance(place[key], dict | list) or rng.random() < 0.2:
                place[key] = rng.choice(junk)
                break
            place = place[key]
    rng.random() < 0.5 and rng.shuffle(notebook["cells"])
    data = bytearray(json.dumps(notebook, indent=1).encode())
    for _ in range(rng.choice([0, 0, 1, 5, 50])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    received(folder, bytes(data))


@pytest.mark.parametrize("seed", range(40))
def test_no_answer_gets_lost_however_cells_are_moved_copied_deleted_or_stripped(folder, seed):
    rng = random.Random(seed)
    answers = {id_: f"def {id_}(*args):\n    return {n}" for n, id_ in enumerate(EXERCISES[:6])}
    answers |= {id_: f"My answer {id_}." for id_ in EXERCISES[6:]}
    notebook = answered(**answers)
    for _ in range(rng.randrange(30)):
        n, to = rng.randrange(len(notebook.cells)), rng.randrange(len(notebook.cells))
        one = notebook.cells[n]
        action = rng.choice(["move", "copy", "delete", "strip", "own"])
        if action == "move":
            notebook.cells.insert(to, notebook.cells.pop(n))
        elif action == "copy":
            notebook.cells.insert(to, copy.deepcopy(one))
        elif action == "delete" and one.source not in answers.values():
            del notebook.cells[n]
        elif action == "strip" and one.cell_type == "code":
            one.metadata, one.id = NotebookNode(), f"new-{rng.random()}"[:20]
        elif action == "own":
            notebook.cells.insert(to, new_code_cell(f"own_{n} = {to}"))
    own = [c.source for c in notebook.cells if c.source.startswith("own_")]
    result = received(folder, notebook)
    for id_, answer in answers.items():
        assert cell(result.notebook, id_).source == answer
    assert sorted(s for s in sources(result) if s.startswith("own_")) == sorted(own)
    setup = next(c.source for c in RELEASE.cells if c.source.startswith("import copy"))
    assert setup in sources(result)


# --- What nbgrader says ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gradebook(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:  # nbgrader looks for alembic there
        bin_ = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        patch.setenv("PATH", bin_)
        yield _gradebook(tmp_path_factory)


def _gradebook(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('gradebook') / 'gradebook.db'}"
    with Gradebook(url) as book:
        book.add_assignment("03")
    about = {"notebook": NAME, "assignment": "03", "db_url": url}
    SaveCells().preprocess(copy.deepcopy(RELEASE), {"nbgrader": about})
    return about


def test_nbgrader_finds_nothing_to_overwrite(folder, gradebook, caplog):
    notebook = answered(check_magnitude_mask="3", magnitude_mask=ANSWER)
    cell(notebook, "check_train_step").metadata.nbgrader.points = 100
    put(notebook, "check_train_step", {**cell(notebook, "train_step"), "id": "twin"})
    take(notebook, "check_apply_masks")
    cell(notebook, "n_m_mask").cell_type = "markdown"
    cell(notebook, "global_masks").metadata = NotebookNode()
    result = received(folder, notebook)
    OverwriteCells().preprocess(result.notebook, {"nbgrader": gradebook})
    assert caplog.records == []


def test_nbgrader_would_have_stumbled_over_it(gradebook, caplog):
    """So the test above can fail."""
    notebook = answered(check_magnitude_mask="3")
    OverwriteCells().preprocess(notebook, {"nbgrader": gradebook})
    assert "checksum" in caplog.text


# --- An instructor's own lesson -------------------------------------------------------------------


def own_release():
    """Cells of kinds that the course's lessons have not: a task, a locked text, code that is
    graded by hand, and no ids, as nbformat was before 4.5."""

    def marks(name, **flags):
        blank = {"grade": False, "locked": False, "solution": False, "task": False}
        return {"nbgrader": {"grade_id": name, "schema_version": 3, **blank, **flags}}

    cells = [
        new_markdown_cell("Read only.", metadata=marks("text", locked=True)),
        new_markdown_cell("Draw a plot of it."),
        new_code_cell("# plot", metadata=marks("plot", grade=True, solution=True, points=2)),
        new_markdown_cell(
            "A project.", metadata=marks("project", task=True, points=5, locked=True)
        ),
    ]
    for one in cells:
        del one["id"]
    return NotebookNode(nbformat=4, nbformat_minor=4, metadata=NotebookNode(), cells=cells)


@pytest.mark.parametrize("lose", [False, True])
def test_an_instructors_own_lesson_comes_through_with_or_without_marks(folder, lose):
    release = own_release()
    notebook = copy.deepcopy(release)
    notebook.cells[2].source = "plot(1)"
    notebook.cells.append(new_code_cell("my_project = 1"))
    if lose:
        without_marks(notebook)
    hand_in(folder, notebook)
    result = intake.receive(folder, NAME, release)
    nbformat.validate(result.notebook)
    CheckCellMetadata().preprocess(result.notebook, {})
    assert sources(result) == [c.source for c in notebook.cells]
    assert [c.metadata for c in result.notebook.cells[:4]] == [c.metadata for c in release.cells]


# --- Answers that are no plain function -----------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        "from functools import partial\nmagnitude_mask = partial(print, 1)",
        "from my_work import magnitude_mask",
        "if True:\n    def magnitude_mask(weight, sparsity):\n        return weight > 0",
        "magnitude_mask, other = print, 2",
    ],
)
def test_an_answer_in_its_place_is_no_worse_than_a_draft_below_its_check(folder, answer):
    notebook = answered(magnitude_mask=answer)
    draft = {**MINE, "source": "def magnitude_mask(weight, sparsity):\n    return weight"}
    put(notebook, "check_magnitude_mask", draft)
    result = received(folder, notebook)
    texts = [c.source for c in result.notebook.cells]
    check = next(c.source for c in RELEASE.cells if c.id == "check_magnitude_mask")
    assert texts.index(answer) < texts.index(check) < texts.index(draft["source"])
    assert result.for_instructor == []


def test_a_course_cell_that_a_student_gave_a_shell_line_still_defines_its_names(folder):
    notebook = answered()
    imports = next(c for c in notebook.cells if c.cell_type == "code")
    imports.source = f"files = !ls\n{imports.source}\nimports?"
    result = received(folder, notebook)
    assert result.for_instructor == []
