"""What students get: no answer in it, no output, and it runs from top to bottom as it is."""

import nbformat
import pytest
from lessons import SOURCES, STEMS, learners_environment, run, student

from course_utils.authoring.build import RECORD
from course_utils.authoring.source import read, solution_lines


def test_there_are_lessons():
    assert STEMS[:2] == ["00_start_here", "01_networks_and_weights"]


@pytest.mark.parametrize("path", SOURCES, ids=STEMS)
def test_no_line_of_a_solution_is_in_it(path):
    lesson = read(path)
    notebook = student(path.stem)
    sources = {cell.id: cell.source.splitlines() for cell in notebook.cells}
    asked = [cell for cell in lesson.cells if cell.kind in ("exercise", "written")]
    assert asked
    for cell in asked:
        hidden = solution_lines(cell)
        assert hidden
        assert not set(hidden) & set(sources[cell.id])
        # a short line such as `return total` may well stand in another cell, an answer may not
        telling = {line.strip() for line in hidden if len(line.strip()) > 30}
        everywhere = "\n".join(cell.source for cell in notebook.cells)
        assert not [line for line in telling if line in everywhere]
    assert "BEGIN SOLUTION" not in everywhere


@pytest.mark.parametrize("stem", STEMS)
def test_it_has_no_output_and_no_record_of_how_it_was_made(stem):
    notebook = student(stem)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not [cell for cell in code if cell.outputs or cell.execution_count is not None]
    assert RECORD not in notebook.metadata


@pytest.mark.parametrize("stem", STEMS)
def test_it_runs_without_an_answer_or_a_prediction(stem, tmp_path):
    notebook = run(student(stem), tmp_path, learners_environment(tmp_path / "home"))
    checks = [c for c in notebook.cells if c.metadata.get("nbgrader", {}).get("locked")]
    assert checks
    for cell in checks:
        shown = [output.get("data", {}) for output in cell.outputs]
        assert any("not attempted" in str(data.get("text/html")) for data in shown)
        assert all(output.get("name") != "stderr" for output in cell.outputs)
