"""Makes notebooks of a lesson: the instructor's, and the student's by nbgrader's own steps.

The same lesson gives the same bytes: cell ids come from names and contents, never from chance, and
nothing of the interpreter that happens to run is written down.
"""

import hashlib
from collections import Counter

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_utils import exercises
from course_utils.authoring.source import AuthoringError, Cell, Lesson

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "pygments_lexer": "ipython3",
    },
}


def instructor(lesson: Lesson) -> NotebookNode:
    """The lesson as a notebook, not yet run: what nbgrader calls the source of an assignment."""
    cells = []
    used: Counter[str] = Counter()
    for cell in lesson.cells:
        make = new_code_cell if cell.is_code else new_markdown_cell
        cells.append(make(cell.source, id=_id(cell, used), metadata=_cell_metadata(cell)))
    return new_notebook(cells=cells, metadata=notebook_metadata())


def notebook_metadata() -> dict:
    return nbformat.from_dict(_METADATA)


def student(lesson: Lesson) -> NotebookNode:
    """The notebook `nbgrader generate_assignment` makes of the instructor's, in milliseconds:
    its preprocessors in its order, without its database (`SaveCells` writes there alone)."""
    # the import costs a second, which a lesson with a mistake need not wait for
    from nbgrader import preprocessors as steps

    order = [
        steps.IncludeHeaderFooter,
        steps.InstantiateTests,
        steps.LockCells,
        steps.ClearSolutions,
        steps.ClearOutput,
        steps.CheckCellMetadata,
        steps.ComputeChecksums,
        steps.ClearHiddenTests,
        steps.ClearMarkScheme,
        steps.ComputeChecksums,
        steps.CheckCellMetadata,
    ]
    notebook, resources = instructor(lesson), {}
    try:
        for step in order:
            notebook, resources = step()(notebook, resources)
    except Exception as error:  # whatever nbgrader dislikes is the author's to mend
        raise AuthoringError(f"{lesson.label}: nbgrader refuses it: {error}") from error
    return notebook


def to_text(notebook: NotebookNode) -> str:
    """The bytes of a notebook file, as nbformat and nbgrader write them."""
    return nbformat.writes(notebook, version=4) + "\n"


def _id(cell: Cell, used: Counter) -> str:
    """Stays the same when other cells come and go."""
    digest = hashlib.sha256(f"{cell.kind} {cell.source}".encode()).hexdigest()[:12]
    base = cell.id or digest
    used[base] += 1
    return base if used[base] == 1 else f"{base}-{used[base]}"


def _cell_metadata(cell: Cell) -> dict:
    metadata: dict = {}
    if cell.kind == "exercise":
        metadata["nbgrader"] = _nbgrader(cell, solution=True)
    elif cell.kind == "check":
        points = exercises.find(cell.name).points
        metadata["nbgrader"] = _nbgrader(cell, grade=True, locked=True, points=points)
    elif cell.kind == "written":
        metadata["nbgrader"] = _nbgrader(cell, grade=True, solution=True, points=cell.points)
    tags = [cell.kind] if cell.kind in ("demo", "claim", "final") else []
    if cell.varies:
        tags.append("nbval-ignore-output")
    if tags:
        metadata["tags"] = tags
    return metadata


def _nbgrader(cell: Cell, grade=False, solution=False, locked=False, points=None) -> dict:
    """What nbgrader's own toolbar writes into a cell."""
    metadata = {
        "grade": grade,
        "grade_id": cell.id,
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if points is not None:
        metadata["points"] = int(points) if points == int(points) else points
    return metadata
