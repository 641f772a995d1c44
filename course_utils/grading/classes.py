"""A class: its folder, grading what its students handed in, and how far everybody is.

The folder is nbgrader's, so that all of nbgrader's commands and formgrader work in it. What comes
on top lies in `.grading/`: the secret seed, results of runs, and notes about submissions.
"""

import logging
import os
import secrets
import shlex
import shutil
import sqlite3
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from traitlets import TraitError

from course_utils.grading import notes
from course_utils.study.panels import clean, table

_say = partial(print, flush=True)

CONFIG = "nbgrader_config.py"
CONFIG_TEXT = '''\
"""What nbgrader does with this class. All its commands, and formgrader, read this file."""

from pathlib import Path

from course_utils.grading import configure

c = get_config()
c.CourseDirectory.course_id = {course_id!r}

# Students' code is run and judged in isolation, and scripts of theirs are shown, not run.
configure(c, Path(__file__).parent)

# What one notebook may use, if these limits do not suit your machine:
# c.ExecuteIsolated.seconds_per_cell = 60
# c.ExecuteIsolated.seconds = 600
# c.ExecuteIsolated.gigabytes = 4

# Handing out and collecting on a shared machine: docs/grading.md says how to make this folder, and
# how your students come to know it.
# c.Exchange.root = "/srv/nbgrader/exchange"

# Nothing for late work, as an example. Other rules: a LateSubmissionPlugin of your own. It looks at
# the points that are there while grading runs: after marking by hand, grade once more.
# c.LateSubmissionPlugin.penalty_method = "zero"

# What people read times in:
# c.Exchange.timezone = "Europe/Sofia"
'''


# --- The folder -----------------------------------------------------------------------------------


def new(folder: Path, lessons: dict[str, NotebookNode]) -> list[str]:
    """Make a class folder with an assignment for each lesson; returns what to tell its owner.

    `lessons` are the instructor's notebooks by name, such as 01_networks_and_weights."""
    folder = folder.expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already, and is not an empty folder. Name another.")
    started = time.perf_counter()
    typed_first = _path_first()  # before nbgrader changes what this process finds
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    try:
        _fill(folder, lessons)
    except BaseException:
        _clear(folder, existed)
        raise
    seconds = time.perf_counter() - started
    return [
        f"{folder}: a class with {len(lessons)} assignments, made in {seconds:.0f} s.",
        "Only you can read it: the sources hold the solutions. Next:",
        f"  cd {shlex.quote(str(folder))}",
        *typed_first,
        "  course class open         JupyterLab with formgrader: release, collect, look, feedback",
        "  course class grade 01     grade what was handed in for lesson 01",
        "  course class status       how far each assignment is",
    ]


def _path_first() -> list[str]:
    """What to type so that the shell finds `course` and `nbgrader`, where it finds neither or those
    of another environment."""
    here = Path(sys.executable).parent
    if shutil.which("nbgrader") == shutil.which("nbgrader", path=str(here)):
        return []
    if os.name == "nt":
        return [f"  $env:Path = '{here};' + $env:Path"]
    return [f"  export PATH={shlex.quote(str(here))}:$PATH"]


def _fill(folder: Path, lessons: dict[str, NotebookNode]) -> None:
    import nbformat

    hidden = folder / notes.SECRETS
    for place in (hidden, hidden / "results", hidden / "notes"):
        place.mkdir(mode=0o700)
    seed = os.open(hidden / "seed", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(seed, "w", encoding="utf-8") as file:
        file.write(secrets.token_hex(16) + "\n")
    config = CONFIG_TEXT.format(course_id=folder.name)
    (folder / CONFIG).write_text(config, encoding="utf-8")
    for name, notebook in lessons.items():
        place = folder / "source" / name[:2]
        place.mkdir(parents=True)
        text = nbformat.writes(notebook, version=4) + "\n"
        (place / f"{name}.ipynb").write_text(text, encoding="utf-8")
    with nbgrader(folder) as app:
        from nbgrader.converters import GenerateAssignment

        app.coursedir.assignment_id = "*"  # all in one go
        GenerateAssignment(coursedir=app.coursedir, parent=app).start()


def _clear(folder: Path, existed: bool) -> None:
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    if not existed:
        folder.rmdir()


def find(start: Path | None = None) -> Path:
    """The class folder that this folder is, or lies in."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / CONFIG).is_file() and (folder / notes.SECRETS).is_dir():
            return folder
    raise ValueError(
        f"{start} is not in a class folder. `course class new DIR` makes one; then `cd DIR`."
    )


@contextmanager
def nbgrader(folder: Path):
    """nbgrader in this process, set up as its own commands are; what it logs goes to a file."""
    from nbgrader.apps import NbGrader
    from sqlalchemy.exc import SAWarning

    before = Path.cwd()
    os.chdir(folder)
    app = NbGrader(raise_config_file_errors=True)
    log = folder / notes.SECRETS / "nbgrader.log"
    handler = RotatingFileHandler(log, maxBytes=2**22, backupCount=1, encoding="utf-8")
    handler.setLevel(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    app.log.handlers, app.log.propagate = [handler], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)  # about nbgrader's own way of saving
            _load(app, folder)
            yield app
    finally:
        os.chdir(before)
        app.log.handlers = []
        handler.close()


def _load(app, folder: Path) -> None:
    from course_utils.grading.running import Problem

    try:
        app.initialize([])
    except SystemExit:
        raise Problem(f"{folder / CONFIG} has a mistake in it.") from None
    except Exception as error:
        raise Problem(f"{folder / CONFIG} has a mistake in it: {error}") from error
    from course_utils.grading.nbgrader_parts import ExecuteIsolated

    try:
        ExecuteIsolated(config=app.config)
    except TraitError as error:
        raise Problem(f"{folder / CONFIG} has a mistake in it: {error}") from None
    ours = ExecuteIsolated.__module__
    steps = list(map(str, app.config.Autograde.get("autograde_preprocessors", [])))
    if not {f"{ours}.ExecuteIsolated", f"{ours}.SaveGrades"} <= set(steps):
        raise Problem(
            f"{folder / CONFIG} must call configure(c, ...) of course_utils.grading, and leave "
            "Autograde.autograde_preprocessors as that sets them: students' code would run "
            "without isolation."
        )


# --- Grading --------------------------------------------------------------------------------------


def grade(
    folder: Path,
    assignment: str,
    students: Sequence[str] = (),
    isolated: bool = True,
    workers: int | None = None,
    scheduler: str | None = None,
    say: Callable | None = None,
) -> int:
    """Grade what was handed in for an assignment, all of it or these students': `workers` notebooks
    at once on this machine, or on a Dask cluster. The exit status: 1 if there is something that
    only the instructor can mend, 130 if somebody stopped it."""
    from course_utils.grading import batch, gradebook, leftovers
    from course_utils.grading.nbgrader_parts import GRADER_FAILED, ExecuteIsolated, released
    from course_utils.grading.workers import SchedulerGone, team

    release = released(folder, assignment)
    chosen = _chosen(folder, assignment, students)
    say = say or batch.printed
    if not chosen:
        say(
            f"Nobody has handed in {assignment} yet: there is nothing in submitted/*/{assignment}; "
            f"with an exchange, `nbgrader collect {assignment}` brings it."
        )
        for line in _misplaced(folder):
            say(line)
        return 0
    standings = []
    with _alone(folder), nbgrader(folder) as app:
        if not isolated:
            app.config.ExecuteIsolated.isolated = False
        settings = ExecuteIsolated(config=app.config).settings(folder)
        leftovers.remove_unfinished(folder / notes.SECRETS)
        gradebook.back_up(app, folder)
        with team(workers, scheduler) as team_, gradebook.opened_once(app) as book:
            ours = batch.Batch(team_, settings, release, say, app.log)
            if not team_.at_once:
                say(f"No worker has joined {scheduler} yet: waiting for one. Ctrl-C stops.")
            finished = False
            try:
                with ours.stoppable():
                    for one in _graded(ours, app, book, folder, assignment, chosen):
                        standings.append(one)
                        width = max(map(len, chosen))
                        name = clean(one.student)
                        say(f"{name:{width}}  {one.points_text():>14}  {one.says()}")
                finished = not ours.stopping
            except SchedulerGone as gone:
                raise ValueError(f"{gone} {_GOES_ON}") from None
            except KeyboardInterrupt:
                pass
            finally:
                notes.write_run(folder, assignment, ours.record(finished))
    left = len(chosen) - len(standings)
    if not finished and left:
        say(f"Stopped, with {left} of {len(chosen)} not graded. {_GOES_ON}")
        return 130
    say("")
    lines = [*_summary(assignment, standings), *_misplaced(folder), _times(ours.record(True))]
    for line in lines:
        say(line)
    failures = [line for one in standings for line in one.lines if line.startswith(GRADER_FAILED)]
    return int(any(one.failed for one in standings) or bool(failures))


_GOES_ON = "What is done is kept, and the same command goes on from here."


def _graded(ours, app, book, folder: Path, assignment: str, students) -> Iterator["Standing"]:
    """Each student's standing, once it is in the gradebook."""

    def place_of(student: str) -> Path:
        return folder / "submitted" / student / assignment

    for student in ours.executed(place_of, students):
        with ours.timed("nbgrader"):
            _write_down(ours, app, book, folder, assignment, student)
            with book.transaction() as read:
                one = standing(read, folder, assignment, student)
        yield one


def _times(record: dict) -> str:
    """How long it took, and what most of that went into."""
    if not record["ran"]:
        return f"\nNothing had to run: done in {record['seconds']:.1f} s."
    ran = f"{record['ran']} notebook{'s' * (record['ran'] != 1)}"
    return (
        f"\n{ran} ran, {record['workers']} at once, in {record['seconds']:.1f} s: "
        f"{record['start']:.1f} s until the first one, "
        f"{record['cells']:.1f} s in their cells, {record['verdicts']:.1f} s judging, "
        f"{record['nbgrader']:.1f} s writing down."
    )


@contextmanager
def _alone(folder: Path):
    """Two at once would take away each other's folders. SQLite's lock ends with its process,
    however that ends, on every system."""
    lock = sqlite3.connect(folder / notes.SECRETS / "lock", timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if "locked" not in str(error):
            raise ValueError(f"{folder / notes.SECRETS} cannot be used: {error}") from None
        raise ValueError(f"{folder.name} is being graded already: wait for that to end.") from None
    try:
        yield
    finally:
        lock.close()


def _write_down(ours, app, book, folder: Path, assignment: str, student: str) -> None:
    """Let nbgrader convert what a student handed in; what stops it is noted and stops nobody
    else."""
    from nbgrader.converters.base import NbGraderException

    try:
        with book.transaction():
            _convert(ours, app, folder, assignment, student)
    except NbGraderException as error:
        log = folder / notes.SECRETS / "nbgrader.log"
        notes.write(folder, assignment, student, "", failed=f"{error} (more in {log})")
    else:
        notes.forget(folder, assignment, student, "")


def _convert(ours, app, folder: Path, assignment: str, student: str) -> None:
    """nbgrader's own autograding of one student. NbGraderException says what stopped it."""
    from nbgrader.converters import Autograde
    from nbgrader.converters.base import NbGraderException

    from course_utils.grading.running import Problem

    class Converter(Autograde):
        """For a submission that holds no notebook too, which nbgrader alone would pass over."""

        stopped_by: Exception | None = None
        release, received = ours.release, ours.received.get(student, {})

        def init_notebooks(self):
            self.assignments = {str(folder / "submitted" / student / assignment): []}

        def init_assignment(self, *names):
            with self.noting():
                super().init_assignment(*names)

        def convert_single_notebook(self, filename):
            with self.noting():
                super().convert_single_notebook(filename)

        @contextmanager
        def noting(self):
            try:
                yield
            except Exception as error:
                self.stopped_by = error
                raise

    app.coursedir.assignment_id, app.coursedir.student_id = assignment, student
    converter = Converter(coursedir=app.coursedir, parent=app)
    converter.force = True  # what has not changed is graded in no time
    try:
        converter.start()
    except NbGraderException:
        error = converter.stopped_by
        if isinstance(error, Problem):
            raise error from None
        reason = f"{type(error).__name__}: {error}" if error else "nbgrader gave up"
        raise NbGraderException(reason) from None


def handed_in(folder: Path, assignment: str) -> list[str]:
    """The students of whom there is a folder."""
    places = (folder / "submitted").glob(f"*/{assignment}")
    students = (place.parent.name for place in places if place.is_dir())
    return sorted(student for student in students if not student.startswith("."))


def _misplaced(folder: Path) -> Iterator[str]:
    """One line on what lies in submitted/ where nobody looks: in the folder of no assignment."""
    assignments = {
        place.name for kind in ("source", "release") for place in folder.glob(f"{kind}/*")
    }
    lost = [
        clean(str(place.relative_to(folder)))
        for place in sorted(folder.glob("submitted/*/*"))
        if not place.name.startswith(".")
        and (place.name not in assignments if place.is_dir() else place.suffix == ".ipynb")
    ]
    if lost:
        yield (
            f"\nIn the folder of no assignment, so that nobody grades it: {', '.join(lost)}. Work "
            f"goes into submitted/STUDENT/ and there into one of: {', '.join(sorted(assignments))}."
        )


def _chosen(folder: Path, assignment: str, students: Sequence[str]) -> list[str]:
    everybody = handed_in(folder, assignment)
    unknown = [student for student in students if student not in everybody]
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)} handed in nothing for {assignment}: "
            f"there is no folder submitted/{unknown[0]}/{assignment}."
        )
    return sorted(set(students)) or everybody


def _summary(assignment: str, standings: list["Standing"]) -> Iterator[str]:
    open_ = [one for one in standings if one.ungraded or one.failed]
    scores = sorted(one.points for one in standings if one.points is not None)
    rows = [["handed in", str(len(standings))], ["graded", str(len(scores))]]
    rows.append(["could not be graded, in whole or in part", str(len(open_))])
    by_hand = sum(one.by_hand > 0 for one in standings)
    rows.append(["to grade by hand, in whole or in part", str(by_hand)])
    if scores:
        of = standings[0].of
        rows.append(["points: lowest, median, highest", _three(scores) + f" of {of:g}"])
    yield table(["", ""], rows, f"Assignment {assignment}").plain
    problems = [one for one in standings if one.problems()]
    if problems:
        yield "\nWorth a look:"
        for one in problems:
            yield f"  {clean(one.student)}: {'; '.join(one.problems())}"
    if open_:
        yield (
            "\nWhat could not be graded has no points yet, and is no zero: give points in "
            "formgrader (`course class open`), or mend it and grade again "
            f"(`course class grade {assignment}`)."
        )


def _three(scores: list[float]) -> str:
    return ", ".join(f"{score:g}" for score in (scores[0], statistics.median(scores), scores[-1]))


# --- Where everybody stands -----------------------------------------------------------------------


class Standing(NamedTuple):
    """What gradebook and notes know about one student's assignment."""

    student: str
    points: float | None  # after penalties; None while something could not be graded
    of: float
    raw: float
    penalty: float
    by_hand: int  # answers to grade by hand, or to look at again
    ungraded: dict[str, str]  # checks without a verdict, and why
    lines: list[str]  # what was odd about the notebooks
    failed: str  # what went wrong with grading itself
    submitted: str  # when, as nbgrader knows it

    def points_text(self) -> str:
        return f"{'?' if self.points is None else f'{self.points:g}'} of {self.of:g}"

    def says(self) -> str:
        parts = []
        if self.failed:
            parts.append(f"could not be graded: {self.failed}")
        elif self.ungraded:
            count = len(self.ungraded)
            reasons = "; ".join(dict.fromkeys(self.ungraded.values()))
            parts.append(f"{count} check{'s' * (count > 1)} could not be graded: {reasons}")
        if self.by_hand:
            parts.append(f"{self.by_hand} to grade by hand")
        if self.penalty:
            parts.append(f"{self.penalty:g} off for being late")
        return "; ".join(parts)

    def problems(self) -> list[str]:
        failed = [f"grading failed: {self.failed}"] if self.failed else []
        reasons: dict[str, list[str]] = {}
        for check, why in self.ungraded.items():
            if not any(why in line for line in [*failed, *self.lines]):  # said there already
                reasons.setdefault(why, []).append(check)
        open_ = [f"{', '.join(checks)} not graded: {why}" for why, checks in reasons.items()]
        return [clean(line) for line in [*failed, *open_, *self.lines]]


def gradebook_of(app):
    from nbgrader.api import Gradebook

    return Gradebook(app.coursedir.db_url, app.coursedir.course_id)


def standing(gradebook, folder: Path, assignment: str, student: str) -> Standing:
    from nbgrader.api import MissingEntry

    said = notes.read(folder, assignment, student)
    failed = next((note["failed"] for _, note in sorted(said.items()) if note["failed"]), "")
    lines = [line for note in said.values() for line in note["lines"]]
    of = gradebook.find_assignment(assignment).max_score
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        return Standing(student, None, of, 0.0, 0.0, 0, {}, lines, failed or "not graded yet", "")
    ungraded, by_hand, given = {}, 0, set()
    for notebook in submission.notebooks:
        reasons = said.get(notebook.name, {}).get("not graded", {})
        answers = {cell.name for cell in notebook.notebook.solution_cells}
        for one in notebook.grades:
            no_points = one.auto_score is None and one.manual_score is None
            if no_points and one.cell_type == "code" and one.name not in answers:
                ungraded[one.name] = reasons.get(one.name, failed or "nobody wrote down why")
            elif one.needs_manual_grade:
                by_hand += 1
            elif one.name in reasons:
                given.add(reasons[one.name])
        then, penalty = said.get(notebook.name, {}).get("points"), notebook.late_submission_penalty
        if penalty is not None and then is not None and abs(notebook.score - then) > 1e-6:
            lines.append(_RECKON.format(assignment))
    settled = given - set(ungraded.values())  # by a human, so that it is no news any more
    lines = [line for line in lines if not any(line.endswith(why) for why in settled)]
    raw, penalty = submission.score, submission.late_submission_penalty or 0.0
    points = None if ungraded or failed else round(max(0.0, raw - penalty), 4)
    when = f"{submission.timestamp:%Y-%m-%d %H:%M:%S}" if submission.timestamp else ""
    return Standing(student, points, of, raw, penalty, by_hand, ungraded, lines, failed, when)


_RECKON = "points were given since: `course class grade {}` reckons anew what being late costs"


def status(folder: Path, say: Callable = _say) -> None:
    """Print how far each assignment is, and what is worth a look."""
    with nbgrader(folder) as app, gradebook_of(app) as gradebook:
        names = sorted(assignment.name for assignment in gradebook.assignments)
        found = {
            name: [with_news(gradebook, folder, name, who) for who in handed_in(folder, name)]
            for name in names
        }
        uncollected = {name: _uncollected(app, name) for name in names}
    rows, problems = [], []
    for name, standings in found.items():
        waiting = sum(one.failed in WAITING for one in standings)
        graded = sum(one.points is not None for one in standings)
        ungraded = len(standings) - waiting - graded
        by_hand = sum(one.by_hand > 0 for one in standings)
        rows.append([name, *(str(n or "") for n in (len(standings), graded, waiting, ungraded))])
        rows[-1].append(str(by_hand or ""))
        for one in standings:
            if one.failed not in WAITING and one.problems():
                problems.append(f"  {name} {clean(one.student)}: {'; '.join(one.problems())}")
    states = ["handed in", "graded", "not graded yet", "could not be graded", "to grade by hand"]
    say(table(["", *states], rows, f"{folder.name}").plain)
    if problems:
        say("\nWorth a look:")
        say("\n".join(problems))
    for name, students in uncollected.items():
        if students:
            who = ", ".join(map(clean, students))
            say(f"\nStill in the exchange, until `nbgrader collect {name} --update`: {who}.")
    for line in _misplaced(folder):
        say(line)


def _uncollected(app, assignment: str) -> list[str]:
    """Whose latest work lies in nbgrader's exchange, and would be collected."""
    if sys.platform == "win32":  # where nbgrader has no exchange
        return []
    from nbgrader.auth import Authenticator
    from nbgrader.coursedir import CourseDirectory
    from nbgrader.exchange import ExchangeError

    from course_utils.grading.collecting import Collect

    collect = Collect(coursedir=CourseDirectory(parent=app), parent=app)
    collect.authenticator = Authenticator(parent=app)
    collect.coursedir.assignment_id = assignment
    with suppress(ExchangeError):  # there is none yet
        return collect.waiting()
    return []


WAITING = ("not graded yet", "handed in again since")


def with_news(gradebook, folder: Path, assignment: str, student: str) -> Standing:
    known = standing(gradebook, folder, assignment, student)
    if (
        _stamp(folder / "submitted", student, assignment)
        != _stamp(folder / "autograded", student, assignment)
        and not known.failed
    ):
        return known._replace(points=None, failed="handed in again since")
    return known


def _stamp(place: Path, student: str, assignment: str) -> bytes:
    """When it was handed in, as nbgrader's exchange writes it down and autograding copies it."""
    file = place / student / assignment / "timestamp.txt"
    return file.read_bytes()[:100] if file.is_file() and file.stat().st_size < 1000 else b""
