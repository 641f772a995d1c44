"""Runs a lesson's cells in a kernel of their own, away from the author's settings and files."""

import base64
import io
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import nbclient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image, ImageChops

from course_utils.authoring.notebooks import notebook_metadata
from course_utils.authoring.source import AuthoringError, Cell, Lesson, read

CELL_LIMIT = 300  # seconds
PALETTES = (12, 16, 20, 24, 32, 48, 64)
CLAIM_SEEDS = "PRUNING_COURSE_CLAIM_SEEDS"  # study.claim reads it

_ANSI = re.compile(r"\x1b\[[0-9;]*m")


class ClaimFailed(AuthoringError):
    """A statement of a lesson does not hold."""


@contextmanager
def kernel_environment(**extra: str) -> Iterator[dict[str, str]]:
    """The environment in which notebooks run without a reader: nothing is asked, nothing of the
    user's is read or written, and one thread computes."""
    with tempfile.TemporaryDirectory(prefix="course-") as home:
        inherited = {k: v for k, v in os.environ.items() if k != CLAIM_SEEDS}
        yield {
            **inherited,
            "PRUNING_COURSE_AUTOMATED": "1",
            "PRUNING_COURSE_HOME": str(Path(home, "home")),
            "IPYTHONDIR": str(Path(home, "ipython")),
            "OMP_NUM_THREADS": "1",
            "PYTHONHASHSEED": "0",
            **extra,
        }


def execute(lesson: Lesson, notebook: NotebookNode) -> None:
    """Fill in the outputs of the lesson's notebook, or raise an AuthoringError for the first cell
    that fails, writes to stderr or shows a path of this machine."""
    with kernel_environment() as environment:
        _run(lesson, lesson.cells, notebook, environment)
    _shrink_figures(notebook)
    private = _private_places(lesson)
    for cell, made in zip(lesson.cells, notebook.cells, strict=True):
        for output in made.get("outputs", []):
            _check_output(lesson, cell, output, private)


def run_claims(path: Path, seeds: Sequence[int]) -> None:
    """Run what a lesson's claims need, with other seeds than the lesson shows, its demos, checks
    and final cells left out. Raises ClaimFailed, naming the first claim that does not hold."""
    lesson = read(path)
    last = max((n for n, cell in enumerate(lesson.cells) if cell.kind == "claim"), default=-1)
    cells = [
        cell
        for cell in lesson.cells[: last + 1]
        if cell.is_code and cell.kind not in ("demo", "check", "final")
    ]
    if not cells:
        return
    notebook = new_notebook(cells=[new_code_cell(cell.source) for cell in cells])
    notebook.metadata = notebook_metadata()
    chosen = ",".join(map(str, seeds))
    with kernel_environment(**{CLAIM_SEEDS: chosen}) as environment:
        _run(lesson, cells, notebook, environment)


def _run(lesson: Lesson, cells: list[Cell], notebook: NotebookNode, environment: dict) -> None:
    client = nbclient.NotebookClient(
        notebook,
        timeout=CELL_LIMIT,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # its warnings are no author's business
        resources={"metadata": {"path": str(lesson.path.parent)}},
    )
    at = 0

    def note(cell, cell_index):
        nonlocal at
        at = cell_index

    client.on_cell_start = note
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        raise _failure(lesson, cells[at], notebook.cells[at], error) from None
    except CellTimeoutError:
        raise lesson.error(cells[at].line, f"this cell runs over {CELL_LIMIT} seconds.") from None
    except DeadKernelError:
        raise lesson.error(cells[at].line, "this cell kills its kernel.") from None
    finally:
        notebook.metadata = notebook_metadata()  # the kernel writes its patch version there


def _failure(lesson: Lesson, cell: Cell, made: NotebookNode, error) -> AuthoringError:
    what = f"{error.ename}: {error.evalue}" if error.evalue else error.ename
    if cell.kind == "claim" and error.ename == "ClaimFailed":
        sentence = error.evalue or f"the claim {cell.name!r} does not hold."
        return ClaimFailed(f"{lesson.label}:{cell.line}: {sentence}")
    here = rf"Cell In\[{made.execution_count}\], line (\d+)"
    found = re.search(here, _ANSI.sub("", error.traceback))
    return lesson.error(cell.line + (int(found[1]) if found else 0), what)


def _shrink_figures(notebook: NotebookNode) -> None:
    """Figures in few colours: nobody sees the difference, and a notebook is a third as large."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                figure = Image.open(io.BytesIO(base64.b64decode(output.data["image/png"])))
                small = io.BytesIO()
                in_few_colours(figure.convert("RGB")).save(small, "png", optimize=True)
                output.data["image/png"] = base64.b64encode(small.getvalue()).decode() + "\n"


def in_few_colours(figure: Image.Image) -> Image.Image:
    """With the smallest palette that leaves nearly every pixel nearly its colour, and the ground
    and the brightest as they are. Too small a one gives two series, or both ends of a scale, the
    same."""
    area = figure.width * figure.height
    by_count = [colour for _, colour in sorted(figure.getcolors(area), reverse=True)]
    kept = by_count[:1] + [colour for colour in by_count if max(colour) - min(colour) > 60][:8]
    for size in PALETTES:
        palette = figure.quantize(size, kmeans=1).getpalette()[: 3 * size]
        others = [
            colour  # Pillow does not tell very near ones apart
            for colour in zip(palette[::3], palette[1::3], palette[2::3], strict=True)
            if all(max(abs(a - b) for a, b in zip(colour, k, strict=True)) > 8 for k in kept)
        ]
        chosen = Image.new("P", (1, 1))
        chosen.putpalette([part for colour in kept + others for part in colour])
        small = figure.quantize(palette=chosen, dither=Image.Dither.NONE)
        red, green, blue = ImageChops.difference(figure, small.convert("RGB")).split()
        off = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()[40:]
        if 1800 * sum(off) <= area:
            break
    return small


def _check_output(lesson: Lesson, cell: Cell, output: NotebookNode, private: dict) -> None:
    if output.get("name") == "stderr":
        first = output.text.strip().partition("\n")[0]
        raise lesson.error(
            cell.line, f"this cell writes to stderr, which nbgrader takes for a failure: {first}"
        )
    for text in _texts(output):
        for place, path in private.items():
            if re.search(rf"{re.escape(path)}(?![\w.-])", text):
                raise lesson.error(cell.line, f"this cell's output shows {place}, {path}.")


def _texts(output: NotebookNode) -> Iterator[str]:
    if "text" in output:
        yield output.text
    for kind, content in output.get("data", {}).items():
        if not kind.startswith("image/") or kind.endswith("xml"):
            yield str(content)


def _private_places(lesson: Lesson) -> dict[str, str]:
    """Paths that differ from machine to machine and say whose it is."""
    places = {
        "the course's own folder": lesson.path.resolve().parents[1],
        "the folder of temporary files": Path(tempfile.gettempdir()),
        "a home folder": Path.home(),
    }
    return {place: str(path) for place, path in places.items() if path != Path(path.anchor)}
