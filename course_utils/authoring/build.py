"""`course build`: makes both notebooks of every lesson and the glossary, and says which are stale.

solutions/NN_topic.py -> solutions/NN_topic.ipynb (run, with its figures)
                      -> notebooks/NN_topic.ipynb (what students get, linked to the glossary)
course_utils/quiz/glossary.yaml -> notebooks/glossary.md (for all lessons)

A solution notebook carries the digests of what it was made from, so a lesson is only run again
when its code or a part of the package it uses has changed, and building twice changes no byte. It
also carries a seal, a digest of itself, by which an edit by hand shows.
"""

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import course_utils
from course_utils.authoring import glossary_page
from course_utils.authoring.execute import execute
from course_utils.authoring.made_from import made_from
from course_utils.authoring.notebooks import instructor, student, to_text
from course_utils.authoring.source import AuthoringError, Lesson, read

ROOT = Path(course_utils.__file__).resolve().parents[1]
RECORD = "pruning_course"  # the key of a notebook's metadata that holds what follows

_TOUCHED = "is not as `course build` left it"  # edited, or damaged


def build(lessons: Sequence[str] | None = None, check: bool = False, root: Path = ROOT) -> int:
    """Build these lessons, or all and the glossary; with `check`, only name what is stale. The exit
    status.

    A lesson with a mistake keeps the notebooks it had; the others are built all the same.
    """
    glossary_page.refuse_mistakes()
    status, stale = 0, False
    for path in _sources(lessons, root):
        try:
            lines = _stale(path, root) if check else _build_one(path, root)
        except AuthoringError as error:
            print(error, file=sys.stderr)
            status = 1
            continue
        for line in lines:
            print(line, flush=True)
        stale = stale or (check and bool(lines))
    if not lessons:
        lines = _stale_page(root) if check else _build_page(root)
        for line in lines:
            print(line)
        stale = stale or (check and bool(lines))
        for path in _orphans(root):
            print(f"{_label(path)} has no lesson source: delete it.")
            status = 1
    if stale:
        print("`course build` makes these again; an edit by hand is lost.")
        status = 1
    return status


def _build_one(path: Path, root: Path) -> list[str]:
    started = time.perf_counter()
    lesson = read(path)
    old = _read_notebook(_solution_path(path))
    solution = _refreshed(lesson, old)
    ran = solution is None
    if ran:
        print(f"{lesson.label}: running ...", flush=True)
        digests = made_from(lesson)  # before it runs: a file may change meanwhile
        solution = instructor(lesson)
        execute(lesson, solution)
        _seal_up(solution, digests)
    contents = {
        _solution_path(path): to_text(solution),
        _student_path(path, root): _students(lesson),
    }
    changed = [place for place, text in contents.items() if _write(place, text)]
    seconds = f" in {time.perf_counter() - started:.0f} s" if ran else ""
    return [f"{lesson.label}: {'built' if changed else 'nothing to do'}{seconds}"]


def _stale(path: Path, root: Path) -> list[str]:
    """One line for each notebook of the lesson that is not what a build would leave."""
    lesson = read(path)
    solution, notebook = _solution_path(path), _student_path(path, root)
    reason = _why_stale(lesson, solution)
    lines = [f"{_label(solution)} {reason}"] if reason else []
    if not notebook.is_file():
        lines.append(f"{_label(notebook)} is missing")
    elif (have := notebook.read_text(encoding="utf-8")) != (wanted := _students(lesson)):
        outdated = reason and reason.startswith("is stale")
        if not outdated:
            same = glossary_page.unlinked(have) == glossary_page.unlinked(wanted)
            reason = "is stale: the glossary changed" if same else _TOUCHED
        lines.append(f"{_label(notebook)} {reason}")
    return lines


def _students(lesson: Lesson) -> str:
    return to_text(glossary_page.link(student(lesson), lesson.number))


def _build_page(root: Path) -> list[str]:
    path = _page_path(root)
    changed = _write(path, glossary_page.page(_sources(None, root)))
    return [f"{_label(path)}: {'built' if changed else 'nothing to do'}"]


def _stale_page(root: Path) -> list[str]:
    path = _page_path(root)
    if not path.is_file():
        return [f"{_label(path)} is missing"]
    wanted = glossary_page.page(_sources(None, root))
    if path.read_bytes() == wanted.encode():
        return []
    return [f"{_label(path)} is stale: `course build` makes it differently now"]


def _why_stale(lesson: Lesson, path: Path) -> str | None:
    if not path.is_file():
        return "is missing"
    old = _read_notebook(path)
    if old is None:
        return _TOUCHED
    before, now = old.metadata[RECORD]["made_from"], made_from(lesson)
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if changed:
        return f"is stale: {', '.join(_happened(name, lesson, before, now) for name in changed)}"
    refreshed = _refreshed(lesson, old)
    if refreshed is None or to_text(refreshed) != path.read_text(encoding="utf-8"):
        return "is stale: `course build` makes it differently now"
    return None


def _happened(name: str, lesson: Lesson, before: dict, now: dict) -> str:
    if name == lesson.label:
        return "the lesson source changed"
    if name not in before:
        return f"{name} is used now"
    return f"{name} changed" if name in now else f"{name} is not used any more"


def _refreshed(lesson: Lesson, old: NotebookNode | None) -> NotebookNode | None:
    """The solution notebook with the outputs of the old one, or None where these do not hold any
    more: text may have changed since, but neither code nor what it uses."""
    if old is None:
        return None
    fresh, now = instructor(lesson), made_from(lesson)
    code, old_code = _code_cells(fresh), _code_cells(old)
    before = {**old.metadata[RECORD]["made_from"], lesson.label: now[lesson.label]}
    if before != now or [c.source for c in code] != [c.source for c in old_code]:
        return None
    for cell, known in zip(code, old_code, strict=True):
        cell.outputs, cell.execution_count = known.outputs, known.execution_count
    _seal_up(fresh, now)
    return fresh


def _code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _seal_up(notebook: NotebookNode, digests: dict[str, str]) -> None:
    notebook.metadata[RECORD] = {"made_from": digests}
    notebook.metadata[RECORD]["seal"] = _seal(notebook)


def _seal(notebook: NotebookNode) -> str:
    bare = deepcopy(notebook)
    bare.metadata[RECORD].pop("seal", None)
    return hashlib.sha256(to_text(bare).encode()).hexdigest()[:12]


def _read_notebook(path: Path) -> NotebookNode | None:
    """A solution notebook as it was built; None if it is missing or anybody has touched it."""
    try:
        text = path.read_text(encoding="utf-8")
        notebook = nbformat.reads(text, as_version=4)
        record = notebook.metadata[RECORD]
        whole = to_text(notebook) == text and record["seal"] == _seal(notebook)
        return notebook if whole else None
    except (OSError, ValueError, KeyError, AttributeError, TypeError, nbformat.ValidationError):
        return None


def _write(path: Path, text: str) -> bool:
    """Replace the file in one step, and only if it would change."""
    content = text.encode()
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _sources(lessons: Sequence[str] | None, root: Path) -> list[Path]:
    """The sources of the lessons asked for by number, name or path."""
    every = sorted((root / "solutions").glob("[0-9][0-9]_*.py"))
    if not every:
        raise AuthoringError(
            f"There are no lesson sources in {root / 'solutions'}: run this in a clone of the "
            "course's repository."
        )
    if not lessons:
        return every
    chosen = []
    for asked in lessons:
        name = Path(asked).stem
        found = [path for path in every if name in (path.stem, path.stem[:2])]
        if not found:
            known = ", ".join(path.stem for path in every)
            raise AuthoringError(f"There is no lesson {asked!r}. There are: {known}.")
        chosen += found
    return sorted(set(chosen))


def _orphans(root: Path) -> list[Path]:
    """Notebooks whose lesson is gone or has another name now."""
    names = {path.stem for path in (root / "solutions").glob("*.py")}
    made = [*(root / "solutions").glob("*.ipynb"), *(root / "notebooks").glob("*.ipynb")]
    return sorted(path for path in made if path.stem not in names)


def _solution_path(source: Path) -> Path:
    return source.with_suffix(".ipynb")


def _student_path(source: Path, root: Path) -> Path:
    return root / "notebooks" / f"{source.stem}.ipynb"


def _page_path(root: Path) -> Path:
    return root / "notebooks" / glossary_page.NAME


def _label(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
