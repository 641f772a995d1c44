"""One assignment as its instructor needs it: what to explain again first, then everything else.

Reads what grading left, the gradebook and the notes, and runs nothing. `gather` makes plain data of
it, `tallies` and what follows count, `lines` says it in a terminal and `report_page` on a page.
Unless asked for names neither holds anything that says who a student is: see `sayable`.
"""

import builtins
import os
import re
import signal
import statistics
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from course_utils.grading import classes, notes, plan
from course_utils.study.panels import clean, table

STATES = ("right", "partly", "wrong", "not attempted", "not graded", "to grade by hand")
RIGHT, PARTLY, WRONG, EMPTY, UNGRADED, BY_HAND = STATES
SIGNS = dict(zip(STATES, "✓◐✗○?✎", strict=True))

SHARED = 3  # what a student wrote is shown without names if this many wrote the very same
FEW = 5  # with fewer results a row of the picture would as good as name its student
WHY_UNKNOWN = "nobody wrote down why"

_TOPICS = 3  # exercises to explain again
_KINDS = 4  # kinds of cases that are named
_REASONS = 4


class Exercise(NamedTuple):
    """What points are given for: a check, a quiz, a written answer."""

    notebook: str
    cell: str  # nbgrader's name for it
    name: str
    of: float
    by_hand: bool


class Result(NamedTuple):
    """Where one student stands in one exercise."""

    state: str
    points: float = 0.0
    message: str = ""  # what was wrong, or why it could not be graded
    failed: tuple[str, ...] = ()  # groups of cases


class Student(NamedTuple):
    id: str
    name: str
    standing: classes.Standing | None = None  # None: nothing was handed in
    results: tuple[Result, ...] = ()  # in the order of the exercises
    seconds: dict[str, dict] = {}  # noqa: RUF012 (by notebook; never written to)
    noted: bool = True  # whether grading wrote down more than points

    @property
    def so_far(self) -> float:
        """Points as they stand, also while some are open."""
        return max(0.0, self.standing.raw - self.standing.penalty)


class Findings(NamedTuple):
    """All that is known about an assignment."""

    course: str
    assignment: str
    of: float
    exercises: list[Exercise]
    graded: list[Student]  # the best first
    to_grade: list[Student]  # or handed in again since
    stopped: list[Student]  # grading itself failed
    absent: list[Student]  # handed in nothing
    run: dict  # the last run, as `notes` has it
    people: re.Pattern  # finds anybody's name in a text


# --- Reading --------------------------------------------------------------------------------------


def gather(folder: Path, assignment: str) -> Findings:
    from nbgrader.api import MissingEntry

    from course_utils.grading.nbgrader_parts import released

    release = released(folder, assignment)
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        try:
            entry = gradebook.find_assignment(assignment)
        except MissingEntry:
            raise ValueError(
                f"The gradebook does not know assignment {assignment}: "
                f"`nbgrader generate_assignment {assignment}` makes it known."
            ) from None
        exercises = list(_exercises(entry, release))
        enrolled = {student.id: student for student in gradebook.students}
        submissions = {one.student_id: one for one in entry.submissions}
        handed_in = set(classes.handed_in(folder, assignment))
        everybody = []
        for id_ in sorted({*enrolled, *submissions, *handed_in}):
            one = Student(id_, _name(enrolled.get(id_)))
            if id_ in handed_in:
                known = classes.with_news(gradebook, folder, assignment, id_)
            elif id_ in submissions:
                known = classes.standing(gradebook, folder, assignment, id_)
            else:
                known = None
            if known and not known.failed:
                said = notes.read(folder, assignment, id_)
                one = _with_results(one, submissions[id_], exercises, said)
            everybody.append(one._replace(standing=known))
        of, people = entry.max_score, _people(everybody, enrolled.values())
    there = [one for one in everybody if one.standing]
    waiting = [one for one in there if one.standing.failed in classes.WAITING]
    return Findings(
        folder.name,
        assignment,
        of,
        exercises,
        sorted((one for one in there if not one.standing.failed), key=_rank),
        waiting,
        [one for one in there if one.standing.failed and one not in waiting],
        [one for one in everybody if not one.standing],
        notes.run(folder, assignment),
        people,
    )


def _exercises(entry, release: dict) -> Iterator[Exercise]:
    """As the gradebook has them, in the order of the released notebooks."""
    for notebook in entry.notebooks:
        cells = release[notebook.name].cells if notebook.name in release else []
        marks = [cell.metadata.get("nbgrader", {}).get("grade_id") for cell in cells]
        answers = {cell.name for cell in notebook.solution_cells}
        graded = [*notebook.grade_cells, *notebook.task_cells]
        place = {name: n for n, name in enumerate(marks)}
        for cell in sorted(graded, key=lambda cell: place.get(cell.name, len(marks))):
            check = plan.check_of(cells[place[cell.name]]) if cell.name in place else None
            by_hand = cell.cell_type != "code" or cell.name in answers
            name = check.exercise if check else cell.name
            yield Exercise(notebook.name, cell.name, name, cell.max_score, by_hand)


def _name(student) -> str:
    if student is None:
        return ""
    return " ".join(filter(None, [student.first_name, student.last_name]))


def _people(everybody: list[Student], enrolled: Iterable) -> re.Pattern:
    """Names, ids and addresses, taken apart: whatever of them has three letters or more."""
    texts = [text for one in everybody for text in (one.id, one.name)]
    texts += [student.email or "" for student in enrolled]
    parts = {part for text in texts for part in re.split(r"[\W_]+", text) if len(part) >= 3}
    found = []
    for numbers, beside in ((False, r"[^\W\d_]"), (True, r"\d")):
        either = "|".join(re.escape(p) for p in sorted(parts) if p.isdigit() == numbers) or r"(?!)"
        found.append(rf"(?<!{beside})(?:{either})(?!{beside})")
    return re.compile("|".join(found), re.IGNORECASE)


def _rank(one: Student) -> tuple:
    """By points, then alike beside alike; by name only where nothing else tells two apart."""
    places = [STATES.index(result.state) for result in one.results]
    points = [-result.points for result in one.results]
    return -one.so_far, one.standing.points is None, places, points, one.id


def _with_results(one: Student, submission, exercises: list[Exercise], said: dict) -> Student:
    grades = {(n.name, grade.name): grade for n in submission.notebooks for grade in n.grades}
    results = []
    for exercise in exercises:
        note = said.get(exercise.notebook, {})
        results.append(_result(exercise, grades.get((exercise.notebook, exercise.cell)), note))
    seconds = {name: note["seconds"] for name, note in said.items() if note.get("seconds")}
    told = [said.get(exercise.notebook, {}) for exercise in exercises if not exercise.by_hand]
    noted = all(any(map(note.get, ("checks", "not graded", "seconds"))) for note in told)
    return one._replace(results=tuple(results), seconds=seconds, noted=noted)


def _result(exercise: Exercise, grade, note: dict) -> Result:
    no_points = grade is None or (grade.auto_score is None and grade.manual_score is None)
    if no_points and not exercise.by_hand:
        why = note.get("not graded", {}).get(exercise.cell, WHY_UNKNOWN)
        return Result(UNGRADED, message=one_line(why))
    if no_points or grade.needs_manual_grade:
        return Result(BY_HAND, 0.0 if no_points else grade.score)
    check = note.get("checks", {}).get(exercise.cell, {})
    if grade.auto_score is None or abs(check.get("points", -1) - grade.auto_score) > 1e-6:
        check = {}  # it speaks of another grading
    return Result(
        _state(exercise, grade, check.get("status", "")),
        grade.score,
        one_line(check.get("message", "")),
        tuple(one_line(group) for group, passed in check.get("groups", {}).items() if not passed),
    )


def _state(exercise: Exercise, grade, status: str) -> str:
    if grade.manual_score is None:
        if status in ("correct", EMPTY):
            return RIGHT if status == "correct" else EMPTY
        if exercise.by_hand and not grade.auto_score:
            return EMPTY  # nbgrader itself gives the 0 to an untouched cell
    if grade.score > 0:
        return RIGHT if grade.score >= exercise.of - 1e-6 else PARTLY
    return WRONG


_MISLEADING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")  # turns the writing around


def tame(text: object) -> str:
    """What may come from a student, without what a terminal or a browser would obey."""
    return _MISLEADING.sub("", clean(str(text)))


def one_line(text: object) -> str:
    return " ".join(tame(text).split())


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 2].rstrip()} …"


# --- Counting -------------------------------------------------------------------------------------


class Tally(NamedTuple):
    """How a class did in one exercise."""

    exercise: Exercise
    states: Counter
    mean: float | None  # points, of those who have any verdict
    messages: list[tuple[str, int]]  # the most frequent first
    withheld: int  # students whose message is not shown
    groups: list[tuple[str, int, int]]  # of cases; whose answers failed them; the partly right ones

    @property
    def failed(self) -> int:
        return self.states[PARTLY] + self.states[WRONG]

    @property
    def tried(self) -> int:
        return self.states[RIGHT] + self.failed


def sayable(counted: Counter, found: Findings, names: bool) -> tuple[list[tuple[str, int]], int]:
    """The texts that may be shown, the most frequent first, and of how many students others are.

    A message can hold what a student wrote: a value, a variable's name, an exception's text. So,
    without names, it is shown only if all its words are the course's own, or several students got
    it word for word; and never if it contains somebody's name."""

    def common(text: str, count: int) -> bool:
        return count >= SHARED or words(text) <= own_words()

    rare = {text: _kind(text) for text, count in counted.items() if not common(text, count)}
    grouped: Counter = Counter()
    for text, count in counted.items():
        grouped[rare.get(text, text)] += count
    ordered = sorted(grouped.items(), key=lambda item: (-item[1], item[0]))
    shown = [
        (text, count)
        for text, count in ordered
        if names or (common(text, count) and not found.people.search(text))
    ]
    return shown, sum(counted.values()) - sum(count for _, count in shown)


_RAISED = re.compile(r"(.*?: this raised \w+): .*")
_LINE = re.compile(r" \(line \d+: `.*`\)$")  # of a student's own code


def _kind(message: str) -> str:
    """What an exception says is often one student's own; that there was one is not.

    >>> _kind("mask(0.5): this raised NameError: name 'wieght' is not defined")
    'mask(0.5): this raised NameError, in various words.'
    """
    raised = _RAISED.fullmatch(message)
    return f"{raised[1]}, in various words." if raised else message


def words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text))


@cache
def own_words() -> set[str]:
    """What the course's sentences, and those of Python's that they quote, can be made of."""
    sources = [
        file.read_text(encoding="utf-8")
        for part in ("exercises", "grading")
        for file in (Path(__file__).parents[1] / part).glob("*.py")
    ]
    ended = [(signal.strsignal(number) or "").lower() for number in signal.valid_signals()]
    return words(" ".join([*sources, *dir(builtins), *ended]))


def tallies(found: Findings, names: bool) -> list[Tally]:
    return [_tally(found, n, names) for n in range(len(found.exercises))]


def _tally(found: Findings, n: int, names: bool) -> Tally:
    results = [one.results[n] for one in found.graded]
    judged = _judged(results)
    failed = [r for r in results if r.state in (PARTLY, WRONG)]
    messages = Counter(_LINE.sub("", r.message) for r in failed if r.message)
    groups = Counter(group for r in failed for group in r.failed)
    partly = Counter(group for r in failed if r.state == PARTLY for group in r.failed)
    return Tally(
        found.exercises[n],
        Counter(r.state for r in results),
        statistics.fmean(judged) if judged else None,
        *sayable(messages, found, names),
        sorted(
            ((group, count, partly[group]) for group, count in groups.items()),
            key=lambda row: (-row[2], -row[1], row[0]),
        ),
    )


def _judged(results: list[Result]) -> list[float]:
    """The points of all who have any verdict; not attempted is one once others have theirs."""
    states = {result.state for result in results}
    if BY_HAND in states and not states & {RIGHT, PARTLY, WRONG}:
        return []
    return [r.points for r in results if r.state in (RIGHT, PARTLY, WRONG, EMPTY)]


def to_explain(counted: list[Tally]) -> list[Tally]:
    """The exercises that the most students tried and did not get right."""
    checked = [one for one in counted if not one.exercise.by_hand and one.failed]
    return sorted(checked, key=lambda one: -one.failed)[:_TOPICS]


def verdict(one: Tally) -> str:
    """How many of those who tried an exercise did not get it right, and how far they are from it.

    >>> task = Exercise("01", "check", "mask", 2.0, False)
    >>> states = Counter({RIGHT: 4, PARTLY: 1, WRONG: 3, EMPTY: 2})
    >>> verdict(Tally(task, states, 1.0, [], 0, []))
    'not right for 4 of the 8 who tried: 1 partly, 3 wrong. Not attempted by 2 more.'
    """
    parts = [f"{one.states[state]} {state}" for state in (PARTLY, WRONG) if one.states[state]]
    more = f" Not attempted by {one.states[EMPTY]} more." if one.states[EMPTY] else ""
    return f"not right for {one.failed} of the {one.tried} who tried: {', '.join(parts)}.{more}"


def kinds(one: Tally) -> str:
    """Which cases fail. A wrong answer fails nearly all of them, so the partly right ones say more.

    >>> task = Exercise("01", "check", "mask", 2.0, False)
    >>> groups = [("ties", 7, 5), ("float64", 3, 1), ("ordinary weights", 2, 0)]
    >>> kinds(Tally(task, Counter({PARTLY: 5, WRONG: 2}), 1.0, [], 0, groups))
    'Where it is partly right, it fails in: ties (5); float64 (1).'
    """
    if 4 * one.states[PARTLY] >= one.failed:
        partly = [f"{group} ({count})" for group, _, count in one.groups if count]
        return f"Where it is partly right, it fails in: {'; '.join(partly[:_KINDS])}."
    every = sorted(one.groups, key=lambda row: -row[1])[:_KINDS]
    return f"It fails in: {'; '.join(f'{group} ({count})' for group, count, _ in every)}."


def remarks(found: Findings, counted: list[Tally]) -> Iterator[str]:
    """What else stands out."""
    left = max(counted, key=lambda one: one.states[EMPTY], default=None)
    if left and left.states[EMPTY]:
        yield (
            f"Most often not attempted: {left.exercise.name}, by "
            f"{left.states[EMPTY]} of {len(found.graded)}."
        )
    written = [one for one in counted if one.exercise.by_hand and one.tried and one.exercise.of]
    if written:
        low = min(written, key=lambda one: one.mean / one.exercise.of)
        yield (
            f"Lowest among the answers graded by hand: {low.exercise.name}, "
            f"{number(low.mean)} of {number(low.exercise.of)} points on average."
        )


def reasons(found: Findings, names: bool) -> str:
    """Why something could not be graded, with the numbers of students."""
    counted: Counter = Counter()
    for one in found.graded:
        counted.update({r.message for r in one.results if r.state == UNGRADED})
    shown, withheld = sayable(counted, found, names)
    listed = [f"{cut(text, 200)} ({count})" for text, count in shown[:_REASONS]]
    others = ["other reasons"] if withheld or shown[_REASONS:] else []
    return "; ".join([*listed, *others])


def to_do(found: Findings, counted: list[Tally], names: bool) -> Iterator[str]:
    """What waits for the instructor."""
    if found.to_grade:
        again = sum(one.standing.failed != classes.WAITING[0] for one in found.to_grade)
        also = f" ({again} handed in again since the last grading)" if again else ""
        who = students(found.to_grade)
        yield f"{who} not graded yet{also}: `course class grade {found.assignment}`."
    if found.stopped:
        who = students(found.stopped)
        yield f"Grading itself failed for {who}: `course class status` says why."
    open_ = [one for one in found.graded if one.standing.ungraded]
    if open_:
        yield (
            f"{students(open_)} could not be graded, in whole or in part: {reasons(found, names)}. "
            "They have no sum of points yet, and no zero: give points in formgrader "
            "(`course class open`), or mend it and grade again "
            f"(`course class grade {found.assignment}`)."
        )
    waiting = [one for one in counted if one.states[BY_HAND]]
    if waiting:
        which = ", ".join(f"{one.exercise.name} ({one.states[BY_HAND]})" for one in waiting)
        yield f"To grade by hand in formgrader (`course class open`): {which}."
    unnoted = [one for one in found.graded if not one.noted]
    if unnoted:
        yield (
            f"{students(unnoted)} graded without notes, so that their messages are missing here "
            "and what was not attempted counts as wrong: "
            f"`course class grade {found.assignment}` fills them in."
        )


class Points(NamedTuple):
    """How the points are spread."""

    scores: list[float]  # ascending; of those with a sum
    of: float  # as far as anybody has been judged
    waiting: float  # points of exercises that nobody has looked at
    missing: int  # students without a sum
    late: int  # students with a sum that lacks what being late cost them


def points(found: Findings, counted: list[Tally]) -> Points:
    summed = [one for one in found.graded if one.standing.points is not None]
    scores = sorted(one.so_far for one in summed)
    late = sum(one.standing.penalty > 0 for one in summed)
    unseen = [one for one in counted if one.states[BY_HAND] and not one.tried]
    waiting = sum(one.exercise.of for one in unseen)
    of = found.of - waiting
    return Points(scores, of, waiting, len(found.graded) - len(scores), late)


def about_points(spread: Points) -> str:
    if not spread.scores:
        return "Nobody has a sum of points yet."
    if spread.of <= 0:
        return f"All {number(spread.waiting)} points are still to grade by hand."
    low, high = spread.scores[0], spread.scores[-1]
    median = statistics.median(spread.scores)
    full = sum(score >= spread.of - 1e-6 for score in spread.scores)
    parts = [
        f"Lowest {number(low)}, median {number(median)}, highest {number(high)} of "
        f"{number(spread.of)} points. All points: {full}; none: {spread.scores.count(0)}."
    ]
    if spread.waiting:
        parts.append(f"For everybody {number(spread.waiting)} more points are to grade by hand.")
    if spread.late:
        parts.append(f"{several(spread.late, 'student')} lost points for being late.")
    if spread.missing:
        parts.append(f"Without a sum, and left out: {spread.missing}.")
    return " ".join(parts)


_PARTS = (
    ["all"],
    ["better half", "other half"],
    ["best third", "second third", "last third"],
    ["best quarter", "second quarter", "third quarter", "last quarter"],
)


def quarters(found: Findings) -> tuple[list[str], list[list[str]]]:
    """How parts of the class did in each exercise: what only the last quarter misses is another
    matter than what the best quarter misses too. No part is smaller than `FEW`."""
    names = _PARTS[min(max(len(found.graded) // FEW, 1), len(_PARTS)) - 1]
    ends = [n * len(found.graded) // len(names) for n in range(len(names) + 1)]
    parts = [found.graded[start:end] for start, end in pairwise(ends)]
    rows = [["students", *(str(len(part)) for part in parts)]]
    rows.append(["points", *(_spread(part[-1].so_far, part[0].so_far) for part in parts)])
    for n, exercise in enumerate(found.exercises):
        shares = [_share(exercise, [one.results[n] for one in part]) for part in parts]
        rows.append([exercise.name, *shares])
    return ["", *names], rows


def _spread(low: float, high: float) -> str:
    return number(low) if low == high else f"{number(low)} to {number(high)}"


def _share(exercise: Exercise, results: list[Result]) -> str:
    judged = _judged(results)
    if not judged or not exercise.of:
        return ""
    return f"{100 * statistics.fmean(judged) / exercise.of:.0f} %"


def durations(found: Findings) -> list[list[str]]:
    """By notebook: how many were measured, and how long they took."""
    rows = []
    for notebook in dict.fromkeys(exercise.notebook for exercise in found.exercises):
        measured = [one.seconds[notebook] for one in found.graded if notebook in one.seconds]
        row = [notebook, str(len(measured))]
        for part in ("cells", "verdicts"):
            times = [float(one[part]) for one in measured if part in one]
            row += [duration(statistics.median(times)), duration(max(times))] if times else ["", ""]
        rows.append(row)
    return rows


DURATIONS = ["notebook", "measured", "cells, median", "longest", "verdicts, median", "longest"]
_RUN_PARTS = {
    "start": "until the first notebook began",
    "intake": "reading what was handed in, summed",
    "cells": "students' cells, summed",
    "verdicts": "verdicts, summed",
    "nbgrader": "nbgrader and the gradebook, summed",
}


def about_run(run: dict) -> str:
    if not run:
        return "No run of `course class grade` is written down for this assignment."
    began = datetime.fromisoformat(run["began"]).astimezone(UTC)
    ended = "took" if run["finished"] else "was stopped before its end, after"
    return (
        f"The last run, of {began:%Y-%m-%d %H:%M} UTC, {ended} {duration(run['seconds'])} for "
        f"{several(run['students'], 'student')}: {several(run['ran'], 'notebook')} ran, "
        f"{run['stored']} had results from before; up to {run['workers']} at once."
    )


def run_parts(run: dict) -> list[list[str]]:
    return [[says, duration(run[part])] for part, says in _RUN_PARTS.items() if part in run]


def number(value: float) -> str:
    return f"{round(value, 2):g}"


def several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def students(group: list[Student]) -> str:
    return several(len(group), "student")


def duration(seconds: float) -> str:
    """
    >>> duration(0.437), duration(72), duration(7300)
    ('0.44 s', '1 min 12 s', '2 h 1 min')
    """
    if seconds < 59.5:
        return f"{seconds:.2g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


# --- Saying it ------------------------------------------------------------------------------------


def write(
    folder: Path, assignment: str, names: bool = False, file: Path | None = None
) -> list[str]:
    """Write the page, into the class folder or this file; returns what to say in the terminal."""
    from course_utils.grading import report_page

    if file:
        file = file.expanduser().absolute()
    found = gather(folder, assignment)
    if not file:
        # not the same file: a page that was passed on once must not hold names the next time
        file = folder / "reports" / f"{assignment}{'-with-names' if names else ''}.html"
        file.parent.mkdir(mode=0o700, exist_ok=True)
    _put(report_page.page(found, names), file, report_page.OURS, 0o600 if names else 0o666)
    what = "with names: for you alone" if names else "without names"
    return [*lines(found, names), "", f"{file}: the whole report, {what}."]


def _put(text: str, file: Path, mark: str, mode: int) -> None:
    if file.is_dir():
        raise ValueError(f"{file} is a folder: name a file in it.")
    if not file.parent.is_dir():
        raise ValueError(f"There is no folder {file.parent}.")
    if os.path.lexists(file) and not _is_report(file, mark):
        raise ValueError(f"{file} exists and is no class report: name another file, or remove it.")
    new = file.with_name(f".{file.name}.{os.getpid()}.new")
    try:
        new.touch(mode)
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _is_report(file: Path, mark: str) -> bool:
    if not file.is_file():
        return False
    with open(file, "rb") as there:
        return mark.encode() in there.read(1000)


def lines(found: Findings, names: bool) -> Iterator[str]:
    """For a terminal: what is long comes first, where it pushes nothing out of sight."""
    if names:
        yield from _everybody(found)
    yield headline(found)
    counted = tallies(found, names)
    waiting = list(to_do(found, counted, names))
    if found.graded:
        yield "\nStart here"
        yield from _topics(counted)
        yield from (_wrapped(line, "- ") for line in (*remarks(found, counted), *waiting))
        yield table(EXERCISES, exercise_rows(counted), "\nExercises").plain
        yield "\nPoints"
        yield _wrapped(about_points(points(found, counted)))
        yield table(DURATIONS, durations(found), "\nHow long it took").plain
    else:
        yield from (_wrapped(line, "- ") for line in waiting)
    yield _wrapped(about_run(found.run))


def headline(found: Findings) -> str:
    """
    >>> headline(Findings("autumn", "03", 9.0, [], [], [], [], [], {}, re.compile("")))
    'Assignment 03 of autumn: nobody has handed in anything yet.'
    """
    handed_in = len(found.graded) + len(found.to_grade) + len(found.stopped)
    what = f"Assignment {found.assignment} of {found.course}: "
    if not handed_in:
        return what + "nobody has handed in anything yet."
    return (
        what
        + f"{handed_in} of {handed_in + len(found.absent)} students handed in, "
        + (_graded(found) if found.graded else "nobody graded yet.")
    )


def _graded(found: Findings) -> str:
    """As `course class status` counts them: who has no sum yet is graded in part."""
    whole = sum(one.standing.points is not None for one in found.graded)
    part = len(found.graded) - whole
    counts = [f"{whole} graded"] * bool(whole) + [f"{part} graded in part"] * bool(part)
    return f"{', '.join(counts)}."


EXERCISES = ["exercise", "of", "mean", *STATES]


def exercise_rows(counted: list[Tally]) -> list[list[str]]:
    return [
        [
            one.exercise.name,
            number(one.exercise.of),
            "" if one.mean is None else number(one.mean),
            *(str(one.states[state] or "") for state in STATES),
        ]
        for one in counted
    ]


def _topics(counted: list[Tally]) -> Iterator[str]:
    for n, one in enumerate(to_explain(counted), 1):
        yield _wrapped(f"{one.exercise.name}: {verdict(one)}", f"{n}. ")
        for text, count in one.messages[:2]:
            yield _wrapped(cut(text, 300), f"{count:>7} x  ")
        if one.groups:
            yield _wrapped(kinds(one), " " * 5)


def _wrapped(text: str, head: str = "") -> str:
    return textwrap.fill(
        text, 100, initial_indent=head, subsequent_indent=" " * len(head), break_on_hyphens=False
    )


def _everybody(found: Findings) -> Iterator[str]:
    rows = []
    for one in found.graded:
        signs = "".join(SIGNS[result.state] for result in one.results)
        who = [one_line(one.id), one_line(one.name), one.standing.submitted]
        rows.append([*who, one.standing.points_text(), signs])
    if rows:
        headings = ["student", "name", "handed in (UTC)", "points", "exercises"]
        yield table(headings, rows, "Everybody, by points").plain
        yield "  ".join(f"{sign} {state}" for state, sign in SIGNS.items())
    for group, what in outside(found):
        if group:
            yield _wrapped(", ".join(one_line(one.id) for one in group), f"{what}: ")
    yield ""


def outside(found: Findings) -> list[tuple[list[Student], str]]:
    """Those who are in no table."""
    return [
        (found.to_grade, "Not graded yet"),
        (found.stopped, "Grading itself failed"),
        (found.absent, "Nothing handed in"),
    ]
