"""Grading lesson 03: the course's grader against stock nbgrader, and against what is possible.

    python benchmarks/grading.py

24 students hand in right answers, each in another way. `nbgrader autograde` grades them in a class
folder with an ordinary configuration, `course class grade` in one of the course, two notebooks at
once, with nothing stored and no process running. The limit is the time of the students' own cells
over the number of cores: each notebook in a process forked from one that has imported everything,
one such process a core, nothing isolated and nothing written down.
"""

import datetime
import multiprocessing
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from unittest.mock import patch

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "grading"))

import many
import nbformat
from class_folder import ASSIGNMENT, HOUSE, LESSON
from nbgrader.api import Gradebook
from sqlalchemy.engine import Transaction
from sqlalchemy.orm import Session

from course_utils.exercises import find
from course_utils.grading import answers, classes, frames, notes, plan
from course_utils.grading.sandbox import Sandbox

STUDENTS, MORE, LARGE, WHOLE = 24, 48, 300, 3
RUNS, CORES, EMPTY_JOBS = 5, 2, 20
OURS = ("course_utils.cli", "class", "grade", ASSIGNMENT, "--workers", str(CORES))
STOCK = ("nbgrader", "autograde", ASSIGNMENT)
ASKS = ("find_", "update_or_create_", "remove_")  # how names of the gradebook's methods begin
PLAIN = """\
from pathlib import Path

c = get_config()
c.CourseDirectory.course_id = {course_id!r}
c.CourseDirectory.root = str(Path(__file__).parent)
"""


ABOUT = """\
`nbgrader autograde` runs every cell of the lesson; a second class holds only those that the checks
need, so that both graders run the same. The limit cannot be had by a batch this small: until
processes have imported torch nothing runs, and that alone takes longer than all the cells. What a
grader could reach that starts as ours does stands in the line below it.
"""
EXPLAINED = """\
The median run. What runs side by side on two cores slows one another down, so that parts are longer
here than alone, and add up to more than the whole. How much of nbgrader's time is the gradebook's
was measured by grading once more, with all results stored.
"""


# --- Class folders --------------------------------------------------------------------------------


def a_class(place: Path, students: int) -> Path:
    many.make(place, many.benign(students))
    return place


def read(folder: Path, place: str):
    return nbformat.read(folder / place / ASSIGNMENT / f"{LESSON}.ipynb", as_version=4)


def needed(folder: Path) -> set[str]:
    """The cells that have to run so that the checks can be judged."""
    handed_in = read(folder, "submitted/s001").cells
    return {handed_in[n].id for n in plan.needed(handed_in, read(folder, "release").cells)}


def stock(folder: Path, to: Path, students: int, only: set[str] | None = None) -> Path:
    """A copy that nbgrader alone grades; with `only` no other code cells are in it."""
    shutil.copytree(folder, to)
    (to / "nbgrader_config.py").write_text(PLAIN.format(course_id=folder.name), encoding="utf-8")
    for place in sorted((to / "submitted").iterdir())[students:]:
        shutil.rmtree(place)
    for file in to.rglob(f"{LESSON}.ipynb") if only else ():
        shorter = nbformat.read(file, as_version=4)
        shorter.cells = [c for c in shorter.cells if c.cell_type != "code" or c.id in only]
        nbformat.write(shorter, file)
    return to


# --- What is measured -----------------------------------------------------------------------------


def grade(folder: Path, command: tuple[str, ...]) -> float:
    """Seconds for the command, with which everybody must have earned everything."""
    programs = str(Path(sys.executable).parent)  # nbgrader calls alembic by its bare name
    home = str(folder.with_name("home"))
    environment = os.environ | {
        "PATH": os.pathsep.join([programs, os.environ["PATH"]]),
        "PRUNING_COURSE_HOME": home,
        "IPYTHONDIR": home,
    }
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    everything = {f"check_{name}": float(find(name).points) for name in many.EXERCISES}
    students = [place.name for place in (folder / "submitted").iterdir()]
    if done.returncode or many.given(folder) != dict.fromkeys(students, everything):
        raise SystemExit(f"{' '.join(command)} went wrong:\n{done.stdout}{done.stderr}")
    return seconds


def cold(folder: Path) -> tuple[float, dict]:
    """One run of ours in a fresh copy, and what it has noted about itself."""
    with tempfile.TemporaryDirectory(prefix="course-benchmark-") as place:
        copy = Path(place, folder.name)
        shutil.copytree(folder, copy)
        return grade(copy, OURS), notes.run(copy, ASSIGNMENT)


def cells_alone(folder: Path, only: set[str]) -> float:
    """Seconds of all students' needed cells together."""
    notebooks = [
        [cell.source for cell in read(folder, f"submitted/{place.name}").cells if cell.id in only]
        for place in sorted((folder / "submitted").iterdir())
    ]
    context = multiprocessing.get_context("spawn")
    said = context.SimpleQueue()
    workers = [
        context.Process(target=_on_a_core, args=(core, notebooks[core::CORES], said))
        for core in range(CORES)
    ]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    if any(each.exitcode for each in workers):
        raise SystemExit("a student's cells did not come to their end.")
    return sum(said.get() for _ in workers)


def _on_a_core(core: int, notebooks: list[list[str]], said) -> None:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
    answers.prepare(b"")  # imports all that their cells import
    said.put(sum(map(_in_a_fork, notebooks)))


def _in_a_fork(cells: list[str]) -> float:
    """Seconds from the first cell to the last, in a process that has run none before."""
    out, into = os.pipe()
    if os.fork() == 0:
        try:
            space, start = {"__name__": "__main__"}, time.perf_counter()
            with redirect_stdout(None):
                for cell in cells:
                    exec(compile(cell, "cell", "exec"), space)
            os.write(into, repr(time.perf_counter() - start).encode())
        finally:
            os._exit(0)
    os.close(into)
    with open(out, "rb") as told:
        seconds = float(told.read())
    os.wait()
    return seconds


def warm_process() -> tuple[float, float]:
    """Seconds until one of the grader's processes is ready, and then for a job without any cell."""
    nothing, times = frames.pack({"steps": []}), []
    with Sandbox("course_utils.grading.answers:run", HOUSE, prepared=b"all") as sandbox:
        for _ in range(1 + EMPTY_JOBS):
            start = time.perf_counter()
            sandbox.run(nothing)
            times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def grading_again(folder: Path) -> tuple[float, float]:
    """Seconds that nbgrader takes while nothing else runs, and how many of them the gradebook."""
    spent, within = 0.0, False

    def timed(function):
        def call(*args, **kwargs):
            nonlocal spent, within
            if within:
                return function(*args, **kwargs)
            within, start = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent, within = spent + time.perf_counter() - start, False

        return call

    of_nbgrader = [(Gradebook, name) for name in vars(Gradebook) if name.startswith(ASKS)]
    of_sqlalchemy = [(Session, "execute"), (Session, "commit"), (Transaction, "commit")]
    with ExitStack() as patched:
        for owner, name in [*of_nbgrader, *of_sqlalchemy]:
            patched.enter_context(patch.object(owner, name, timed(getattr(owner, name))))
        classes.grade(folder, ASSIGNMENT, workers=CORES, say=lambda line: None)
    return notes.run(folder, ASSIGNMENT)["nbgrader"], spent


# --- All of it ------------------------------------------------------------------------------------


def measured(place: Path) -> dict[str, list]:
    """What was measured, by kind; the kinds take turns."""
    more, few = a_class(place / "more", MORE), a_class(place / "pruning", STUDENTS)
    only, found = needed(few), defaultdict(list)
    cold(few)  # for nothing: afterwards all files that anybody needs have been read
    for turn in range(RUNS):
        found["ours"].append(cold(few))
        found["cells"].append(cells_alone(few, only))
        found["process"].append(warm_process())
        if turn < 3:
            found["more"].append(cold(more))
        if turn == 1:
            found["stock"].append(grade(stock(few, place / "needed", STUDENTS, only), STOCK))
        if turn == 3:
            found["whole"].append(grade(stock(few, place / "whole", WHOLE), STOCK))
    large = place / "large"
    many.make(large, many.mostly_right(LARGE))
    found["large"].append(many.grade(large))
    grade(few, OURS)
    found["again"].append(grading_again(few))
    return found


def tables(found: dict[str, list]) -> tuple[str, str]:
    """Against others, and how our own time splits."""
    walls = [seconds for seconds, _ in found["ours"]]
    ours, record = sorted(found["ours"], key=lambda run: run[0])[RUNS // 2]
    more = statistics.median(seconds for seconds, _ in found["more"])
    stock, whole = found["stock"][0], found["whole"][0] * STUDENTS / WHOLE
    limit = statistics.median(found["cells"]) / CORES
    started, empty = map(statistics.median, zip(*found["process"], strict=True))
    (nbgrader, gradebook), large = found["again"][0], found["large"][0]
    further, bare = (more - ours) / (MORE - STUDENTS), limit / STUDENTS
    own = ours - record["seconds"]
    begun = ours - own - record["start"]
    share = gradebook / nbgrader

    def row(what: str, seconds: float, note: str) -> str:
        return f"| {what} | {seconds:.2f} | {note} |"

    against = [
        "| what | seconds | |",
        "|---|---:|---|",
        row("`nbgrader autograde`, as handed in", whole, f"{whole / ours:.0f}x ours; {WHOLE} of "
            f"them take {found['whole'][0]:.1f} s, and this is {STUDENTS // WHOLE} times that"),
        row("`nbgrader autograde`, only with the cells that grading needs", stock,
            f"{stock / ours:.1f}x ours; wanted: 8x"),
        row(f"`course class grade --workers {CORES}`: ours", ours, f"median of {RUNS}, "
            f"{min(walls):.1f} to {max(walls):.1f} s"),
        row("the limit", limit, f"ours is {ours / limit:.1f}x of it; wanted: 1.3x"),
        row("the command, one of its processes, and the limit", own + started + limit,
            f"ours is {ours / (own + started + limit):.2f}x of it"),
        row("ours, from the first notebook on", begun, f"{begun / limit:.2f}x the limit"),
        row("ours, for each further submission", further, f"{further / bare:.2f}x the limit's "
            f"{bare:.2f} s; {MORE} take {more:.1f} s"),
        row(f"ours, {LARGE} submissions, a quarter of the answers wrong or left out",
            large.seconds, f"{large.peak / 2**30:.1f} GiB at most, all processes together"),
    ]  # fmt: skip
    split = [
        "| what | seconds | |",
        "|---|---:|---|",
        row("start and end of the command", own, "once"),
        row("until the first notebook begins", record["start"], "once: two processes import torch"),
        row("- one such process alone", started, "once"),
        row("cells", record["cells"], "of all notebooks"),
        row("- fork, walls and end of as many empty jobs", empty * STUDENTS, ""),
        row("verdicts", record["verdicts"], "of all notebooks"),
        row("intake", record["intake"], "of all notebooks"),
        row(
            "nbgrader, but for the gradebook", record["nbgrader"] * (1 - share), "of all notebooks"
        ),
        row("gradebook", record["nbgrader"] * share, "of all notebooks"),
    ]
    return "\n".join(against), "\n".join(split)


def main() -> None:
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="course-benchmark-") as place:
        against, split = tables(measured(Path(place)))
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "nbgrader", "distributed"))
    text = (
        "# Grading lesson 03\n\n"
        f"{datetime.date.today()}, Python {platform.python_version()}, {versions}, "
        f"{platform.machine()}, {os.cpu_count()} processors, one thread a process, load {load:.1f} "
        "before it began. Made by `benchmarks/grading.py`.\n\n"
        f"{__doc__.partition('grading.py')[2].strip()}\n\n"
        f"{ABOUT}\n{against}\n\n## How the time splits\n\n{EXPLAINED}\n{split}\n"
    )
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
