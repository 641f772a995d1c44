"""A class is graded while the coordinator, a worker, the scheduler or a sandbox is killed at a
moment drawn by lot. Whatever is killed and whenever: the grades are those of an undisturbed run,
what was finished is not run again, and nothing is left behind.

A failure prints the seed of its moments; with KILLS_SEED in the environment they come again.
"""

import contextlib
import ctypes
import os
import random
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import homework
import pytest
import system_packages
from cluster import Cluster, Program, course_class_grade, family, left_by, outcome

from course_utils.authoring import notebooks
from course_utils.grading import classes, notes

ROUNDS = 1  # of each kind; `soak_kills` has 20
SEED = os.environ.get("KILLS_SEED") or secrets.token_hex(4)
STUDENTS = ["ann", "bob", "cem", "dan", "eve", "fay"]
CRASHES = """\
def model_sparsity(model):
    import os
    os._exit(3)
"""
SOMETHING_NEW = """\
import time

time.sleep(0.6)  # {student}'s
"""


def pytest_generate_tests(metafunc):
    if "number" in metafunc.fixturenames:
        metafunc.parametrize("number", range(metafunc.module.ROUNDS))


@pytest.fixture
def lot(request, number) -> random.Random:
    """What decides about this round."""
    print(f"KILLS_SEED={SEED}")
    return random.Random(f"{SEED} {request.node.name}")


def moment(lot: random.Random, number: int, rounds: int, length: float) -> float:
    """Anywhere in a run of this length; all rounds together leave no part of it out."""
    drawn = (number + lot.random()) / rounds * length
    print(f"killed after {drawn:.3f} s of about {length:.1f} s")
    return drawn


@pytest.fixture(scope="module", autouse=True)
def adopts_orphans():
    """Whoever loses a parent here becomes a child of this process, where it is seen."""
    system_packages.need("bubblewrap")
    adopt = ctypes.CDLL(None).prctl
    adopt(36, 1, 0, 0, 0)
    yield
    adopt(36, 0, 0, 0, 0)
    with contextlib.suppress(ChildProcessError):  # whoever was adopted and has ended
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


# --- The class, and a run that nobody disturbs ----------------------------------------------------


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A class in which one student is graded, by the checks and by hand, and five have handed in
    since."""
    folder = tmp_path_factory.mktemp("kills") / "class"
    classes.new(folder, {homework.LESSON: notebooks.instructor(homework.lesson())})
    hand_in(folder, "ann", homework.WRITTEN)
    run = course_class_grade(folder)
    assert run.ends() == 0, run.said
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as book:
        about = ("why_flops_are_not_speed", homework.LESSON, "01", "ann")
        book.find_grade(*about).manual_score = 1.5
        book.find_comment(*about).manual_comment = "Good."
        book.db.commit()
    for student in STUDENTS[1:]:
        hand_in(folder, student, answers_of(student))
    return folder


def answers_of(student: str) -> dict[str, str]:
    answers = dict(homework.solutions())
    answers["sparsity"] = SOMETHING_NEW.format(student=student) + answers["sparsity"]
    if student == "dan":
        answers["count_parameters"] = homework.COUNTS_ROWS
    if student == "eve":
        answers["model_sparsity"] = CRASHES
    return answers


def hand_in(folder: Path, student: str, answers: dict[str, str]) -> None:
    place = folder / "submitted" / student / "01"
    place.mkdir(parents=True)
    shutil.copy(folder / "release" / "01" / f"{homework.LESSON}.ipynb", place)
    homework.answer(place / f"{homework.LESSON}.ipynb", answers)


class Undisturbed(NamedTuple):
    folder: Path
    outcome: dict
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(template) -> Undisturbed:
    folder = shutil.copytree(template, template.with_name("undisturbed"))
    start = time.monotonic()
    run = course_class_grade(folder, "--workers", "2")
    assert run.ends() == 0, run.said
    seconds = time.monotonic() - start
    found = outcome(folder)
    assert len(found["gradebook"]["submitted_assignment"]) == len(found["autograded"]) == 6
    manual = [row for row in found["gradebook"]["grade"] if 1.5 in row[4:5]]
    assert [row[1] for row in manual] == [f"ann {homework.LESSON}"]
    assert left_by(home_of(folder)) == []
    return Undisturbed(folder, found, seconds)


@pytest.fixture
def folder(template, tmp_path) -> Path:
    return shutil.copytree(template, tmp_path / "class")


def home_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-home")


# --- What must be so afterwards -------------------------------------------------------------------


def stored(folder: Path) -> dict[str, tuple]:
    """The results that are kept: which file, and when it was written."""
    results = (folder / ".grading" / "results").glob("*.json")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in results}


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def given_again(folder: Path, *options: str) -> None:
    """The same command goes on where the killed one was, and runs nothing twice."""
    before = stored(folder)
    again = course_class_grade(folder, *options)
    assert again.ends() == 0, again.said
    assert before.items() <= stored(folder).items()
    assert notes.run(folder, "01")["ran"] == len(stored(folder)) - len(before)


def all_is_well(folder: Path, undisturbed: Undisturbed, *homes: Path) -> None:
    found = outcome(folder)
    for what, expected in undisturbed.outcome.items():
        assert found[what] == expected, what
    for home in homes:
        next_one_starts(home, folder / "release" / "01" / f"{homework.LESSON}.ipynb")
    nothing_runs()
    assert left_by(home_of(folder), *homes) == []


def next_one_starts(home: Path, release: Path) -> None:
    """What a killed worker could not take away, the next one on its machine does."""
    program = f"""
import nbformat
from course_utils.grading import running
from course_utils.grading.sandbox import Limits
release = nbformat.read({str(release)!r}, as_version=4)
running.warm_up(release.cells, running.Terms("0", Limits(), Limits(), True))
"""
    run = Program([sys.executable, "-c", program], home)
    assert run.ends() == 0, run.said


def nothing_runs(patience: float = 10) -> None:
    until = time.monotonic() + patience
    while (running := family(os.getpid())) and time.monotonic() < until:
        time.sleep(0.1)
    assert running == {}


# --- Kills ----------------------------------------------------------------------------------------


def test_the_coordinator_is_killed(folder, undisturbed, lot, number, request):
    when = moment(lot, number, request.module.ROUNDS, undisturbed.seconds)
    run = course_class_grade(folder, "--workers", "2")
    time.sleep(when)
    kill(run.process.pid)
    run.process.wait()
    nothing_runs()
    given_again(folder, "--workers", "2")
    all_is_well(folder, undisturbed)


def test_the_coordinator_is_killed_while_it_writes_grades_down(undisturbed, tmp_path, lot, number):
    """Every result is there already, so that nearly all of the run is writing."""
    folder = shutil.copytree(undisturbed.folder, tmp_path / "class")
    template = undisturbed.folder.with_name("class")
    shutil.copy(template / "gradebook.db", folder)
    shutil.rmtree(folder / "autograded")
    shutil.rmtree(folder / ".grading" / "notes")
    for name in ("autograded", ".grading/notes"):
        shutil.copytree(template / name, folder / name)
    run = course_class_grade(folder, "--workers", "2")
    run.wait_for("ann .+\n")
    time.sleep(lot.random() * 0.8)
    kill(run.process.pid)
    run.process.wait()
    for name in ("notes/01/.fay.json.1.new", "results/0.json.1.2.new", "backups/0.new"):
        (folder / ".grading" / name).touch()  # a kill between two instructions leaves this
    given_again(folder, "--workers", "2")
    all_is_well(folder, undisturbed)


def test_a_sandbox_is_killed(folder, undisturbed, lot, number, request):
    when = moment(lot, number, request.module.ROUNDS, undisturbed.seconds)
    run = course_class_grade(folder, "--workers", "2")
    time.sleep(when)
    while not (helpers := sandboxes(run)) and run.process.poll() is None:
        time.sleep(0.01)
    if helpers:
        kill(lot.choice(helpers))
    assert run.ends() == 0, run.said
    all_is_well(folder, undisturbed)


def sandboxes(run: Program) -> list[int]:
    """bubblewrap's own processes, and the warm ones right inside."""
    names = family(run.process.pid)
    return [each for each in names if "bwrap" in (names[each], names.get(parent(each)))]


def parent(process: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def test_a_worker_is_killed(folder, undisturbed, lot, number, request, tmp_path):
    when = moment(lot, number, request.module.ROUNDS, undisturbed.seconds)
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start(workers=2)
        run = course_class_grade(folder, "--scheduler", cluster.address)
        time.sleep(when)
        kill(lot.choice(keepers_and_workers(cluster)))
        assert run.ends() == 0, run.said
    all_is_well(folder, undisturbed, cluster.folder)


def keepers_and_workers(cluster: Cluster) -> list[int]:
    """`dask worker` starts the worker proper and looks after it; either may be killed."""
    keepers = [each.process.pid for each in cluster.workers]
    inner = [each for keeper in keepers for each in family(keeper) if "spawn_main" in words(each)]
    assert len(inner) == len(keepers)
    return keepers + inner


def words(process: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text(errors="replace")
    return ""


def test_the_scheduler_is_killed(folder, undisturbed, lot, number, request, tmp_path):
    when = moment(lot, number, request.module.ROUNDS, undisturbed.seconds)
    with Cluster(tmp_path / "cluster") as cluster:
        cluster.start(workers=1, threads=2)
        run = course_class_grade(folder, "--scheduler", cluster.address)
        time.sleep(when)
        kill(cluster.scheduler.process.pid)
        status = run.ends(60)
        for worker in cluster.workers:
            worker.ends(60)
    if status:
        assert status == 1
        last = run.said.splitlines()[-1]
        assert last.startswith("course: ") and "Traceback" not in run.said, run.said
    nothing_runs()
    with cluster:
        cluster.start(workers=1, threads=2)
        given_again(folder, "--scheduler", cluster.address)
    all_is_well(folder, undisturbed, cluster.folder)
