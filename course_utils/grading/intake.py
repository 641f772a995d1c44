"""What was handed in, made into a notebook that can be graded, with notes on what was wrong.

The release is the only source of points, checks, marks and order; from the student come the
answers, the texts and the cells they added. Each cell handed in is first *matched* with the cell
of the release that it was, then all are put in *order*, then *repaired*. Nothing is executed.
"""

import copy
import os
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode

from course_utils.grading import reading
from course_utils.grading.matching import (
    Course,
    Placed,
    defined,
    order,
    out_of_order,
    place,
    plain,
    untouched,
)
from course_utils.grading.reading import Cell, Reading, Unreadable

LARGEST_NOTEBOOK = 200 * 2**20
LARGEST_FILES = 64 * 2**20  # of all other files together
MOST_FILES = 500
MOST_NOTEBOOKS = 20

_LISTED = 4  # names in one line


class HandedIn(NamedTuple):
    notebook: NotebookNode  # can always be graded; the release itself when nothing could be read
    for_instructor: list[str]
    for_student: list[str]
    files: dict[str, Path]  # the other files of the submission, by their path within it
    unreadable: str  # why nothing at all could be read; then no check can be graded
    lost: tuple[str, ...] = ()  # grade ids in a part of the file that could not be read: no zeros


def receive(folder: Path, name: str, release: NotebookNode) -> HandedIn:
    """`folder` is a student's submission, `name` the notebook's own name without its ending."""
    course = Course(release)
    notes = Notes()
    everything = list(_regular_files(folder, notes))
    chosen = _choose(everything, name, course, notes)
    files = _others(everything, notes)
    if chosen is None:
        why = notes.reason or "nothing was handed in"
        notes.instructor.insert(0, f"could not be graded: {why}")
        notes.student.insert(0, f"Your work could not be graded: {why}. Please hand it in again.")
        notebook = copy.deepcopy(release)
        return HandedIn(notebook, notes.instructor, notes.student, files, why)
    notebook, lost = _repaired(chosen, course, notes)
    return HandedIn(notebook, notes.instructor, notes.student, files, "", lost)


class Notes:
    """Lines for people. What a student wrote is shown in them, so it is made harmless first."""

    def __init__(self):
        self.instructor: list[str] = []
        self.student: list[str] = []
        self.reason = ""

    def say(self, instructor: str, student: str = "") -> None:
        self.instructor.append(instructor)
        if student:
            self.student.append(student)


def shown(text: object) -> str:
    """On one line, without what a terminal or Markdown would obey."""
    text = text if isinstance(text, str | int | float) else type(text).__name__
    clean = "".join(c if c.isprintable() and c not in "`<>" else "?" for c in str(text))
    return f"`{clean}`" if len(clean) <= 80 else f"`{clean[:77]}...`"


def listed(names: Iterable[object]) -> str:
    names = [shown(name) for name in names]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def named(course: Course, places: Iterable[int]) -> str:
    """A check by its exercise."""
    return listed(dict.fromkeys(course.called(course.checked_by.get(r, r)) for r in places))


def were(what: str, places: list[int], course: Course) -> str:
    one = len(places) == 1
    return f"{what}{'' if one else 's'} of {named(course, places)} {'was' if one else 'were'}"


# --- Which file -----------------------------------------------------------------------------------

_NOT_THEIRS = {"__MACOSX", "__pycache__", ".git", ".ds_store", "thumbs.db"}
_NOT_THEIRS |= {"timestamp.txt", "submission_secret.txt"}  # nbgrader's


def _regular_files(folder: Path, notes: Notes) -> Iterator[tuple[str, Path]]:
    """Links are named and never followed: they could lead to another student's work."""
    links, closed, strange = [], [], []
    above = [path for path in (folder, folder.parent) if _is_link(path, links)]
    walk = os.walk(folder, onerror=lambda e: closed.append(Path(e.filename).name))
    for at, folders, files in () if above else walk:
        folders[:] = sorted(f for f in folders if not _is_link(Path(at, f), links))
        folders[:] = [f for f in folders if f not in _NOT_THEIRS]
        for file in sorted(files):
            path = Path(at, file)
            if file.lower() in _NOT_THEIRS or file.startswith("._") or _is_link(path, links):
                continue
            if stat.S_ISREG(path.lstat().st_mode):
                yield path.relative_to(folder).as_posix(), path
            else:
                strange.append(file)
    if links:
        notes.reason = f"only links were handed in ({listed(links)})"
        notes.say(f"links instead of files: {listed(links)}: not followed")
    if strange:
        notes.reason = f"neither files nor folders: {listed(strange)}"
    if closed or strange:
        notes.say(f"not read, closed or neither file nor folder: {listed([*closed, *strange])}")


def _is_link(path: Path, links: list[str]) -> bool:
    if path.is_symlink() or getattr(path, "is_junction", bool)():
        links.append(path.name)
        return True
    return False


class Found(NamedTuple):
    label: str
    reading: Reading
    placed: Placed
    proper: bool  # it has the notebook's own name
    modified: float
    size: int

    def rank(self) -> tuple:
        """The proper name decides, unless another holds work and it holds none or is damaged."""
        work = self.placed.worked
        return (work > 0, not self.reading.damaged, self.proper, work, self.modified)


def _choose(files: list[tuple[str, Path]], name: str, course: Course, notes: Notes) -> Found | None:
    found, refused, ours = [], {}, []
    for group in _candidates(files, name):
        for label, proper, content, modified in _contents(group, name, refused):
            try:
                found += _found(label, proper, content(), modified, course)
            except Unreadable as why:
                refused[label] = str(why)
        ours = [one for one in found if one.placed.ours]
        if ours:
            break
    if not ours:
        _explain(files, found, refused, notes)
        return None
    best = max(ours, key=Found.rank)
    _say_which(best, ours, refused, name, notes)
    return best


def _found(
    label: str, proper: bool, data: bytes, modified: float, course: Course
) -> Iterator[Found]:
    if label.lower().endswith(".py"):
        says = ["is a Python file, not a notebook: written answers may be missing"]
        one = reading.script(data)
        readings = [one._replace(cells=_regrouped(one.cells, course), says=says)]
    else:
        readings = reading.read(data)
    for one in readings:
        yield Found(label, one, place(one.cells, course), proper, modified, len(data))


def _regrouped(cells: list[Cell], course: Course) -> list[Cell]:
    """A script's single statements, put together again where they are a cell of the release."""
    ours = {r: c.source for r, c in enumerate(course.cells) if c.cell_type == "code"}
    parts = {r: [plain(one.source) for one in reading.statements(ours[r])] for r in ours}
    theirs, together = [plain(cell.source) for cell in cells], []
    while len(theirs) > 0:
        fits = [r for r, texts in parts.items() if texts and theirs[: len(texts)] == texts]
        r = max(fits, key=lambda r: len(parts[r]), default=None)
        length = len(parts[r]) if fits else 1
        together.append(reading.bare("code", ours[r]) if fits else cells[-len(theirs)])
        theirs = theirs[length:]
    return together


def _candidates(files: list[tuple[str, Path]], name: str) -> list[list[tuple[str, Path]]]:
    """What may be the notebook (browsers append " (1)", ".txt" or ".crdownload" to its name), and
    what is better than nothing."""
    named = [one for one in files if _may_be(one[1], name)]
    checkpoints = [one for one in named if ".ipynb_checkpoints/" in one[0]]
    zips = [one for one in files if one[1].suffix.lower() == ".zip"]
    scripts = [one for one in files if one[1].suffix.lower() == ".py"]
    return [[one for one in named if one not in checkpoints], zips, checkpoints, scripts]


def _contents(group: list[tuple[str, Path]], name: str, refused: dict[str, str]) -> Iterator:
    """Label, whether it has the proper name, what reads it, when it was changed."""
    proper, left = f"{name}.ipynb", LARGEST_NOTEBOOK
    for label, path in sorted(group, key=lambda one: one[0] != proper)[:MOST_NOTEBOOKS]:
        size = path.stat().st_size
        if path.suffix.lower() == ".zip":
            yield from _members(label, path, name, refused)
        elif size > left:
            limit = f"{LARGEST_NOTEBOOK // 2**20} MiB"
            refused[label] = f"is too large ({size / 2**20:.0f} MiB; at most {limit} can be read)"
        else:
            left -= size
            yield label, label == proper, lambda path=path: _bytes(path), path.stat().st_mtime


def _may_be(path: Path, name: str) -> bool:
    stem, ending = path.stem, path.suffix.lower()
    if ending in (".zip", ".py"):
        return False
    return ".ipynb" in path.name.lower() or (stem == name and ending in ("", ".json", ".txt"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"could not be opened ({error.strerror})") from None


def _members(label: str, path: Path, name: str, refused: dict[str, str]) -> Iterator:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [info for info in archive.infolist() if _may_be(Path(info.filename), name)]
            inside = [info for info in inside if not re.search(r"__MACOSX|/\.", info.filename)]
            for info in inside[:MOST_NOTEBOOKS]:
                with archive.open(info) as file:  # the size that it claims may be a lie
                    data = file.read(LARGEST_NOTEBOOK + 1)
                if len(data) > LARGEST_NOTEBOOK:
                    refused[f"{label}/{info.filename}"] = "is too large"
                    continue
                yield f"{label}/{info.filename}", False, lambda data=data: data, 0.0
    except Exception as error:  # whatever zipfile meets in a stranger's bytes
        refused[label] = f"could not be opened ({type(error).__name__})"


def _explain(
    files: list[tuple[str, Path]], found: list[Found], refused: dict[str, str], notes: Notes
) -> None:
    whys = dict(refused)
    for one in found:
        damaged = "is damaged, and what is left of it " if one.reading.damaged else ""
        whys[one.label] = f"{damaged}holds nothing of this lesson"
    if whys:
        notes.reason = "; ".join(f"{shown(label)} {why}" for label, why in [*whys.items()][:4])
    elif files:
        notes.reason = f"no notebook among what was handed in ({listed(f for f, _ in files)})"


def _say_which(best: Found, ours: list[Found], refused: dict, name: str, notes: Notes) -> None:
    proper, label = f"{name}.ipynb", shown(best.label)
    if not best.proper:
        if proper in refused:
            why = f"{shown(proper)} {refused[proper]}"
        elif own := [one for one in ours if one.proper]:
            why = f"{shown(proper)} {'holds no work' if not own[0].placed.worked else 'is damaged'}"
        else:
            why = f"there is no {shown(proper)}"
        notes.say(f"{why}: {label} was graded", f"The file that was graded is {label}: {why}.")
    rest = {one.label: one for one in ours if one.label != best.label}
    if rest:
        more = max(one.placed.worked for one in rest.values()) > best.placed.worked
        note = f"not graded: {listed(rest)}" + (", with more answers in it" if more else "")
        notes.say(note, f"The file that was graded is {label}; {note}.")
    for says in best.reading.says:
        notes.say(f"{label} {says}", f"Your file {label} {says}.")
    if best.size > LARGEST_NOTEBOOK // 4:
        size = f"{best.size / 2**20:.0f} MiB"
        notes.say(f"{label} is large ({size}): its outputs were left out, grading makes its own")
    if best.reading.kernel:
        notes.say(f"the kernel was {shown(best.reading.kernel)}: graded with the course's own")


def _others(files: list[tuple[str, Path]], notes: Notes) -> dict[str, Path]:
    """What an answer may want to read or import; never a second copy of the course."""
    kept, left, total = {}, [], 0
    for label, path in files:
        size = path.stat().st_size
        if ".ipynb" in path.name.lower() or any(p.startswith(".") for p in Path(label).parts):
            continue
        too_much = total + size > LARGEST_FILES or len(kept) == MOST_FILES
        if too_much or "course_utils" in Path(label).parts or not label.isprintable():
            left.append(label)
        else:
            kept[label] = path
            total += size
    if left:
        notes.say(f"files left out (too large or many, or a copy of the course): {listed(left)}")
    return kept


# --- Repair ---------------------------------------------------------------------------------------

_ELSEWHERE = "# The answer stands in another cell."


def _repaired(found: Found, course: Course, notes: Notes) -> tuple[NotebookNode, tuple[str, ...]]:
    placed, keys = found.placed, order(found.placed, course)
    have = {placed.where[n]: n for n in keys if placed.where[n] is not None}
    elsewhere = {r for r, n in placed.moved_in.items() if placed.where[n] != r}
    missing = [r for r in course.marked if r not in have and r not in elsewhere]
    lacking = _lacking(placed, keys, course)

    cells = [(keys[n], _own_cell(placed.cells[n])) for n in keys if placed.where[n] is None]
    for r, n in have.items():
        if r in lacking:  # what is left of it comes behind the original
            cells += [((r, 1), _own_cell(placed.cells[n]))] if placed.cells[n].source else []
        else:
            cells.append(((r, 0), _course_cell(r, placed.cells[n], course)))
    for r in [*missing, *lacking, *(elsewhere - set(have))]:
        cells.append(((r, 0), _course_cell(r, None, course)))
    for key, cell in cells:
        if key[0] in elsewhere and key[1] == 0 and cell.source == course.cells[key[0]].source:
            cell.source = _ELSEWHERE
    cells.sort(key=lambda one: one[0])

    notebook = copy.deepcopy(NotebookNode({**course.release, "cells": []}))
    notebook.cells = [cell for _, cell in cells]
    _number(notebook, course)
    lost = _lost(missing, course) if found.reading.damaged else []
    _say_missing(missing, lacking, lost, found.reading.damaged, course, notes)
    _say_moved(placed, course, notes)
    _say_changed(placed, have, course, notes)
    return notebook, tuple(course.called(r) for r in lost)


def _lacking(placed: Placed, kept, course: Course) -> dict[int, set[str]]:
    """The release's plain code cells without which names would be missing, and these names."""
    theirs = [n for n in kept if placed.where[n] not in course.locked]
    names = {name for n in theirs for name in defined(placed.cells[n].source)}
    answered = course.quiz.intersection(placed.where[n] for n in kept)
    plain = [r for r, marks in enumerate(course.marks) if not marks and r not in answered]
    code = [r for r in plain if course.cells[r].cell_type == "code"]
    return {r: lost for r in code if (lost := defined(course.cells[r].source) - names)}


def _course_cell(r: int, cell: Cell | None, course: Course) -> NotebookNode:
    """The release's cell, with the student's text where they may write."""
    new = copy.deepcopy(course.cells[r])
    if new.cell_type == "code":
        new.outputs, new.execution_count = [], None
    if cell and r not in course.locked and _differs(cell, course.texts[r]):
        new.source = cell.source
        if cell.attachments and new.cell_type != "code":
            new.attachments = NotebookNode(cell.attachments)
    return new


def _differs(cell: Cell, text: str) -> bool:
    return plain(cell.source) not in ("", text) and not untouched(cell)


def _own_cell(cell: Cell) -> NotebookNode:
    new = NotebookNode(cell_type=cell.type, metadata=NotebookNode(), source=cell.source)
    if cell.type == "code":
        new.outputs, new.execution_count = [], None
    elif cell.attachments:
        new.attachments = NotebookNode(cell.attachments)
    return new


def _number(notebook: NotebookNode, course: Course) -> None:
    """The same file gives the same ids, so that grading it again is no work."""
    if course.by_id:
        own = [cell for cell in notebook.cells if "id" not in cell]
        free = (i for k in range(10**9) if (i := f"handed-in-{k}") not in course.by_id)
        for cell, id_ in zip(own, free, strict=False):
            cell.id = id_


def _lost(missing: list[int], course: Course) -> list[int]:
    """Answers that the damage took, and their checks."""
    answers = {r for r in missing if r in course.answers}
    checks = [r for r, answer in course.checked_by.items() if answer in answers]
    return sorted([*answers, *checks])


# --- Notes ----------------------------------------------------------------------------------------


def _say_missing(
    missing: list[int],
    lacking: dict[int, set[str]],
    lost: list[int],
    damaged: bool,
    course: Course,
    notes: Notes,
) -> None:
    if damaged:
        if gone := named(course, [r for r in lost if r in course.answers]):
            notes.say(
                f"lost with the damage, so not graded: {gone}",
                f"These answers could not be read and are not graded: {gone}. "
                "Please hand in your file again.",
            )
        return
    answers = [r for r in missing if r in course.answers]
    checks = [r for r in missing if r in course.checked_by]
    others = [r for r in missing if r not in answers and r not in checks]
    if answers:
        notes.say(
            f"{were('answer cell', answers, course)} missing: put back empty",
            f"Your notebook had no cell for {named(course, answers)}: there was nothing to grade.",
        )
    if checks:
        what = were("check", checks, course)
        notes.say(f"{what} missing: put back", f"The {what} missing: put back, nothing is lost.")
    if others:
        notes.say(f"{were('locked cell', others, course)} missing: put back")
    quiet = {r for r in lacking if course.cells[r].metadata.get("tags")}  # figures and the like
    if needed := [lacking[r] for r in lacking if r not in quiet]:
        names = sorted(set().union(*needed))
        cells = "course cell that defines" if len(needed) == 1 else "course cells that define"
        notes.say(f"{cells} {listed(names)} had gone: put back")


def _say_moved(placed: Placed, course: Course, notes: Notes) -> None:
    for r, times in placed.copies.items():
        what = named(course, [r])
        if r in course.locked:
            notes.say(f"check of {what} stood there {times} times: one is left")
        else:
            notes.say(
                f"{what} stood there {times} times: the last with work in it was graded",
                f"Your notebook held {times} cells of {what}. The last with work in it was graded.",
            )
    if placed.moved_in:
        what = named(course, placed.moved_in)
        notes.say(
            f"answer to {what} stood in another cell: found and graded",
            f"Your answer to {what} stood in another cell than the one for it. It was graded.",
        )
    ours = [r for n, r in enumerate(placed.where) if r is not None and n not in placed.dropped]
    if moved := out_of_order([r for r in ours if r not in placed.moved_in]):
        marked = [r for r in moved if course.marks[r]]
        what = named(course, marked) if marked else f"{len(moved)} of the course's own"
        cells = "cell" if len(moved) == 1 else "cells"
        notes.say(f"{cells} out of order ({what}): put in the lesson's order")


def _say_changed(placed: Placed, have: dict[int, int], course: Course, notes: Notes) -> None:
    """What the cells say about themselves, against what the release says."""
    unmarked, changed, points, kinds, checks, older = [], [], [], [], [], []
    marked = [r for r in course.marked if r in have and r not in placed.moved_in]
    for r in marked:
        cell = placed.cells[have[r]]
        ours, theirs = course.marks[r], cell.marks
        if cell.type != course.cells[r].cell_type:
            kinds.append(r)
        if r in course.locked and plain(cell.source) != course.texts[r] and not untouched(cell):
            checks.append(r)
        if not theirs:
            unmarked.append(r)
        elif theirs.get("checksum", ours.get("checksum")) != ours.get("checksum"):
            older.append(r)
        elif "points" in ours and theirs.get("points", ours["points"]) != ours["points"]:
            points.append(r)
        elif any(theirs.get(flag, ours.get(flag)) != ours.get(flag) for flag in _FLAGS):
            changed.append(r)
    if len(points) == 1:
        ((r,), theirs) = points, shown(placed.cells[have[points[0]]].marks["points"])
        right = course.marks[r]["points"]
        what = f"points of {named(course, points)} were changed to {theirs}"
        notes.say(f"{what}: it counts {right} as in the release")
    elif points:
        notes.say(f"points of {named(course, points)} were changed: they count as in the release")
    if changed:
        notes.say(f"nbgrader's marks on {named(course, changed)} were changed: put right")
    if unmarked and unmarked == marked:
        notes.say("nbgrader's marks were missing on all cells: put back")
    elif unmarked:
        notes.say(f"nbgrader's marks were missing on {named(course, unmarked)}: put back")
    if kinds:
        notes.say(
            f"{were('cell', kinds, course)} of another kind (code or text): put right",
            f"The {were('cell', kinds, course)} changed from code to text or back: put right.",
        )
    if checks:
        notes.say(
            f"{were('check', checks, course)} changed: put right",
            f"The {were('check', checks, course)} changed: the course's own was used.",
        )
    strangers = {
        _id(cell) for cell in placed.cells if _id(cell) and _id(cell) not in course.by_mark
    }
    if older or strangers:
        which = [*map(course.called, older), *sorted(strangers)]
        notes.say(
            f"another version of the lesson ({listed(which)} differ): graded by the released one",
            "You worked in another version of this lesson. It was graded by the released one.",
        )


_FLAGS = ("grade_id", "grade", "solution", "locked", "task", "points")


def _id(cell: Cell) -> str:
    mark = cell.marks.get("grade_id")
    return mark if isinstance(mark, str) else ""
