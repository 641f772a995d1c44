"""Which cell of the release each cell handed in was, and in which order they belong.

By nbgrader's marks or the cell's id; where an editor lost both, by the same text; an exercise also
by the function that it asks for, and a written answer by standing below its question.

In what follows `n` is the place of a cell that was handed in, `r` that of a cell of the release.
"""

import re
import symtable
import warnings
from bisect import bisect_left
from contextlib import suppress
from functools import cached_property, lru_cache
from typing import NamedTuple

from nbformat import NotebookNode
from nbgrader.utils import compute_checksum, is_grade, is_locked, is_solution

from course_utils.grading.plan import MAGIC
from course_utils.grading.reading import Cell


class Course:
    """A released notebook, and what is asked about it again and again."""

    def __init__(self, release: NotebookNode):
        self.release = release
        self.cells = release.cells
        self.texts = [plain(cell.source) for cell in self.cells]
        self.marks = [cell.metadata.get("nbgrader", {}) for cell in self.cells]
        self.marked = [r for r, marks in enumerate(self.marks) if marks]
        self.by_mark = {self.marks[r].get("grade_id"): r for r in self.marked}
        self.by_id = {cell.id: r for r, cell in enumerate(self.cells) if "id" in cell}
        self.locked = {r for r in self.marked if is_locked(self.cells[r])}
        self.answers = [r for r in self.marked if is_solution(self.cells[r])]
        # a graded quiz is answered in a cell that nbgrader has no mark for
        is_quiz = any("hand_in(answers" in self.texts[r] for r in self.locked)
        starts = (r for r, text in enumerate(self.texts) if text.startswith("answers = {"))
        self.quiz = set(starts) if is_quiz else set()
        # an exercise is known by the functions that it asks for
        code = [r for r in self.answers if self.cells[r].cell_type == "code"]
        self.asked = {r: f for r in code if (f := functions(self.cells[r].source))}

    @cached_property
    def checked_by(self) -> dict[int, int]:
        """For each check the answer before it."""
        checks = [r for r in self.marked if r in self.locked and is_grade(self.cells[r])]
        before = {r: [a for a in self.answers if a < r] for r in checks}
        return {r: found[-1] for r, found in before.items() if found}

    def recognised(self, cell: Cell) -> int | None:
        """By what nbgrader or Jupyter wrote into it; a plain cell must still be of its kind."""
        mark = cell.marks.get("grade_id")
        if mark in self.by_mark:
            return self.by_mark[mark]
        found = [self.by_id[id_] for id_ in cell.ids if id_ in self.by_id]
        right = [r for r in found if self.marks[r] or self.cells[r].cell_type == cell.type]
        return right[0] if right else None

    def called(self, r: int) -> str:
        return self.marks[r].get("grade_id", "")


def plain(source: str) -> str:
    """As editors leave a text that nobody changed."""
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


_FUNCTION = re.compile(
    r"^(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)|^(\w+)[ \t]*=[ \t]*lambda\b", re.MULTILINE
)


def functions(source: str) -> set[str]:
    """What a cell defines at its top; of a cell that is no valid Python, too."""
    return {one or other for one, other in _FUNCTION.findall(source)}


def defined(source: str) -> frozenset[str]:
    """All names that a cell leaves behind."""
    return _known(source) if len(source) < 20_000 else _defined(source)


def _defined(source: str) -> frozenset[str]:
    found = table(source)
    symbols = found.get_symbols() if found else []
    names = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    return frozenset((functions(source) | names) - {"_"})


_known = lru_cache(2000)(_defined)  # the course's own cells are the same for everybody


def table(source: str) -> symtable.SymbolTable | None:
    """None for what is not Python."""
    if len(source) > 2**20:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in (source, MAGIC.sub(r"\1pass", source)):
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                return symtable.symtable(text, "cell", "exec")
    return None


class Placed(NamedTuple):
    """Where each cell handed in belongs."""

    cells: list[Cell]
    where: list[int | None]  # the release's cell that it is; None: the student's own
    dropped: set[int]  # copies that add nothing
    moved_in: dict[int, int]  # answers found elsewhere: the release's cell -> the one handed in
    copies: dict[int, int]  # how often an answer stood there
    worked: int  # answers with work in them
    ours: bool  # it is this lesson at all


def place(cells: list[Cell], course: Course) -> Placed:
    match = Matching(_apart(cells, course), course)
    match.by_marks_and_ids()
    match.by_text()
    match.by_function()
    match.by_place()
    return match.placed()


def _apart(cells: list[Cell], course: Course) -> list[Cell]:
    """Some write into the question's own cell, or add code to a check: their part gets a cell."""
    questions = [course.cells[r - 1].source for r in course.answers if r and r not in course.asked]
    apart = []
    for cell in cells:
        start = next((q for q in questions if q and cell.source.startswith(q)), cell.source)
        answer = cell.source[len(start) :].strip()
        if answer:
            apart.append(cell._replace(source=start, attachments={}))
            apart.append(cell._replace(source=answer, ids=(), marks={}))
        else:
            r = course.recognised(cell)
            changed = r in course.locked and course.texts[r] != plain(cell.source)
            if changed and not untouched(cell) and defined(cell.source):
                apart.append(cell._replace(ids=(), marks={}))
            apart.append(cell)
    return apart


class Matching:
    """Finds each cell's place in the release, by one sign after the other: `where[n]` is r, or None
    for what is the student's own. What one step has placed the next ones build on."""

    def __init__(self, cells: list[Cell], course: Course):
        self.cells, self.course = cells, course
        self.texts = [plain(cell.source) for cell in cells]
        self.functions = [functions(cell.source) for cell in cells]
        self.where: list[int | None] = [None] * len(cells)
        self.moved_in: dict[int, int] = {}

    def by_marks_and_ids(self) -> None:
        taken = set()
        for n, cell in enumerate(self.cells):
            r = self.course.recognised(cell)
            if r is not None and (self.course.marks[r] or r not in taken):
                self.where[n] = r
                taken.add(r)

    def by_text(self) -> None:
        """Of cells with one text (a heading) the next that is still free."""
        taken, last = set(self.where), -1
        free: dict[tuple[str, str], list[int]] = {}
        for r, cell in enumerate(self.course.cells):
            written = r in self.course.answers and cell.cell_type != "code"
            if r not in taken and self.course.texts[r] and not written:
                free.setdefault((cell.cell_type, self.course.texts[r]), []).append(r)
        for n, cell in enumerate(self.cells):
            if self.where[n] is None and (same := free.get((cell.type, self.texts[n]))):
                self.where[n] = min(same, key=lambda r: (r < last, r))
                same.remove(self.where[n])
            last = last if self.where[n] is None else self.where[n]

    def by_function(self) -> None:
        """Exercises answered in cells of the student's own, or in another exercise's cell."""
        for r, asked in self.course.asked.items():
            before = self._at(r)
            if any(self._works(n, r) and asked & defined(self.cells[n].source) for n in before):
                continue
            able = [n for n in range(len(self.cells)) if self._may_answer(n, r)]
            whole = [n for n in able if asked <= self.functions[n]]
            if not able:
                continue
            n = (whole or able)[-1]
            home = self.where[n]
            if home not in self.course.asked:
                self.where[n] = r
            elif r < home:  # one cell for several stands where the first of them is due
                self.where[n], self.moved_in[home] = r, n
            if before or home is not None:
                self.moved_in[r] = n

    def _may_answer(self, n: int, r: int) -> bool:
        home = self.where[n]
        able = self.cells[n].type == "code" and self.course.asked[r] & self.functions[n]
        return (
            bool(able)
            and home not in self.course.locked
            and self._works(n, r if home is None else home)
        )

    def by_place(self) -> None:
        """Written answers: what stands below the question, where its own cell is empty or gone."""
        for r in self.course.answers:
            if r in self.course.asked or any(self._works(n, r) for n in self._at(r)):
                continue
            before = self._at(r)
            start = min(self._at(r - 1) or before, default=None)
            n = None if start is None else self._answer_below(start, r)
            if n is not None:
                self.where[n] = r
                if before:
                    self.moved_in[r] = n

    def _answer_below(self, start: int, r: int) -> int | None:
        for n in range(start + 1, len(self.cells)):
            if self.where[n] == r:
                continue
            if self.where[n] is not None:
                return None
            code = self.cells[n].type == "code" and table(self.cells[n].source) is not None
            if self.texts[n] and code == (self.course.cells[r].cell_type == "code"):
                return n
        return None

    def _at(self, r: int) -> list[int]:
        return [n for n, where in enumerate(self.where) if where == r] if r >= 0 else []

    def _works(self, n: int, r: int) -> bool:
        """A text that neither this release nor the one it came from had there."""
        return self.texts[n] not in ("", self.course.texts[r]) and not untouched(self.cells[n])

    def placed(self) -> Placed:
        """Of several cells for one place the last with work in it stays; copies of it, and such
        without any, are dropped; others are kept as the student's own."""
        where, dropped, copies = list(self.where), set(), {}
        worked = {r for r, n in self.moved_in.items() if where[n] != r}
        claims: dict[int, list[int]] = {}
        for n, r in enumerate(where):
            if r is not None:
                claims.setdefault(r, []).append(n)
        for r, rivals in claims.items():
            best = max(rivals, key=lambda n: self._worth(n, r))
            if r in self.course.answers and self._works(best, r):
                worked.add(r)
            if len(rivals) > 1 and r not in self.moved_in:
                copies[r] = len(rivals)
            for n in set(rivals) - {best}:
                where[n] = None
                locked = r in self.course.locked
                if locked or self.texts[n] == self.texts[best] or not self._works(n, r):
                    dropped.add(n)
        ours = not claims.keys().isdisjoint(self.course.marked)
        ours = ours or 4 * len(claims) > len(self.course.cells)  # lessons share a few cells
        return Placed(self.cells, where, dropped, self.moved_in, copies, len(worked), ours)

    def _worth(self, n: int, r: int) -> tuple:
        works = self._works(n, r)
        if r in self.course.locked:
            return (not works, -n)
        return (works and bool(self.course.asked.get(r, set()) & self.functions[n]), works, n)


def untouched(cell: Cell) -> bool:
    """nbgrader's checksum of the version that the student got still holds."""
    marks = NotebookNode(cell.marks)
    as_was = NotebookNode(
        cell_type=cell.type, source=cell.source, metadata=NotebookNode(nbgrader=marks)
    )
    try:
        return bool(marks.get("checksum")) and compute_checksum(as_was) == marks["checksum"]
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def order(placed: Placed, course: Course) -> dict[int, tuple[int, int]]:
    """A sort key for each cell that is kept: the release's order, and the student's own cells
    behind the one they followed; directly before an exercise they go with it, as its helpers."""
    keys, before, own = {}, -1, []
    for n, r in enumerate(placed.where):
        if n in placed.dropped:
            continue
        if r is None:
            own.append(n)
            continue
        if r in course.asked:
            keys |= {m: (r, k - len(own)) for k, m in enumerate(own)}
        else:
            keys |= {m: (before, k + 2) for k, m in enumerate(own)}
        keys[n], before, own = (r, 0), r, []
    return keys | {m: (before, k + 2) for k, m in enumerate(own)}


def out_of_order(places: list[int]) -> list[int]:
    """All but a longest run of places that rises."""
    tails: list[int] = []  # the smallest place that a rising run of each length can end with
    lengths = []
    for place in places:
        at = bisect_left(tails, place)
        tails[at : at + 1] = [place]
        lengths.append(at + 1)
    want, moved = len(tails), []
    for place, length in zip(reversed(places), reversed(lengths), strict=True):
        if length == want:
            want -= 1
        else:
            moved.append(place)
    return moved[::-1]
