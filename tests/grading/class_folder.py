"""Grades a class with strangers in it, and tells as JSON what came of it and what they left behind.

A program of its own, so that it can also run as an ordinary user:

    python -m class_folder crashes forges_frames                    (in this folder)
    python as_ordinary_user.py class_folder crashes forges_frames   (as root)
"""

import ctypes
import hashlib
import itertools
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat

from course_utils.authoring import build, notebooks, source

HERE = Path(__file__).resolve().parent
HOUSE = HERE.parents[1]
LESSON = "03_unstructured_pruning"
ASSIGNMENT = "03"
STEP, GIGABYTES = 8, 2
SCRATCH = 512 * 2**20  # as `sandbox.Limits` has it
LIMITS = f"""
c.ExecuteIsolated.seconds_per_cell = {STEP}
c.ExecuteIsolated.seconds = 60
c.ExecuteIsolated.gigabytes = {GIGABYTES}
"""
NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts")
PROBE = f"""
import os
print("PROBE", {{name: os.readlink(f"/proc/self/ns/{{name}}") for name in {NAMESPACES}}})
"""


# --- The class and what is handed in --------------------------------------------------------------


def make(folder: Path) -> None:
    """A class with one assignment, lesson 03, and limits that are quickly reached."""
    from course_utils.grading import classes

    text = source.read(build.ROOT / "solutions" / f"{LESSON}.py")
    classes.new(folder, {LESSON: notebooks.instructor(text)})
    with (folder / classes.CONFIG).open("a", encoding="utf-8") as config:
        config.write(LIMITS)


def hand_in(folder: Path, notebook, words: dict[str, str], always: dict[str, str]) -> None:
    """The lesson's released notebook, with a student's cells in it."""
    cells = {name: text for name, text in {**always, **notebook.cells}.items()}
    released = HOUSE / "notebooks" / f"{LESSON}.ipynb"
    content = json.loads(released.read_text(encoding="utf-8"))
    for cell in content["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if cells.get(name):
            cell["source"] = _put_in(words, cells[name])
    setup = next(
        n for n, c in enumerate(content["cells"]) if "import torch" in "".join(c["source"])
    )
    for name, at in (("first", setup + 1), ("last", len(content["cells"]) + 1)):
        if name in cells:
            content["cells"].insert(at, _own_cell(name, _put_in(words, cells[name])))
    if notebook.edit:
        notebook.edit(content)
    place = folder / "submitted" / _put_in(words, notebook.name) / ASSIGNMENT
    place.mkdir(parents=True)
    text = _put_in(words, json.dumps(content))
    if notebook.hand_in:
        notebook.hand_in(place, text)
    else:
        (place / f"{LESSON}.ipynb").write_text(text, encoding="utf-8")


def _own_cell(name: str, text: str) -> dict:
    cell = {"cell_type": "code", "id": name, "execution_count": None, "outputs": []}
    return {**cell, "metadata": {}, "source": text}


def _put_in(words: dict[str, str], text: str) -> str:
    for word, meaning in words.items():
        text = text.replace(word, meaning)
    return text


# --- What strangers might reach -------------------------------------------------------------------


class Listeners:
    """What a connection from inside would be heard by."""

    def __init__(self, folder: Path):
        self.abstract = f"course-{secrets.token_hex(8)}"
        self.paths = [str(folder / "socket")]
        if os.geteuid() == 0:
            self.paths.append(f"/run/{self.abstract}")
        tcp = socket.create_server(("", 0))
        self.port = tcp.getsockname()[1]
        self.sockets = [tcp, _bound(socket.AF_INET, socket.SOCK_DGRAM, ("", self.port))]
        if socket.has_dualstack_ipv6():
            six = socket.create_server(("::1", self.port), family=socket.AF_INET6)
            self.sockets.append(six)
        for path in (f"\0{self.abstract}", *self.paths):
            self.sockets.append(_bound(socket.AF_UNIX, socket.SOCK_STREAM, path))
            self.sockets[-1].listen()
        for path in self.paths:
            os.chmod(path, 0o777)
        for each in self.sockets:
            each.setblocking(False)

    def heard(self) -> list[str]:
        """Who connected or sent something."""
        found = []
        for each in self.sockets:
            try:
                if each.type == socket.SOCK_DGRAM:
                    each.recv(100)
                else:
                    each.accept()
            except BlockingIOError:
                continue
            found.append(str(each.getsockname()))
        return found

    def close(self) -> None:
        for each in self.sockets:
            each.close()
        for path in self.paths:
            os.unlink(path)


def _bound(family: int, kind: int, address) -> socket.socket:
    one = socket.socket(family, kind)
    one.bind(address)
    return one


def words_for(folder: Path, mark: str, listeners: Listeners) -> dict[str, str]:
    seed = (folder / ".grading" / "seed").read_text(encoding="utf-8").strip()
    return {
        "@CLASS@": repr(str(folder)),
        "@HOUSE@": repr(str(HOUSE)),
        "@HOME@": repr(str(Path.home())),
        "@SEED_START@": seed[:12],
        "@SEED_HASH@": hashlib.sha256(seed.encode()).hexdigest(),
        "@SECRET@": os.environ["HOSTILE_SECRET"][:12],
        "@PORT@": str(listeners.port),
        "@ABSTRACT@": listeners.abstract,
        "@SOCKETS@": repr(listeners.paths),
        "@OUTSIDE@": os.readlink("/proc/self/ns/pid"),
        "@STEP@": str(STEP),
        "@GIGABYTES@": str(GIGABYTES),
        "@SCRATCH@": str(SCRATCH),
        "MARK": mark,
    }


# --- What came of it ------------------------------------------------------------------------------


def grade(folder: Path) -> dict:
    """Grade everybody, as `course class grade` does; what it printed, and when."""
    from course_utils.grading import classes

    printed, times = [], [time.monotonic()]

    def say(text: str) -> None:
        printed.append(text)
        times.append(time.monotonic())

    status = classes.grade(folder, ASSIGNMENT, say=say)
    took = [round(after - before, 2) for before, after in itertools.pairwise(times)]
    return {"status": status, "printed": printed, "took": took}


def grades(folder: Path) -> dict[str, dict]:
    """By student and check: automatic points, manual points, whether a human is waited for."""
    from course_utils.grading import classes

    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        return {
            one.student.id: {
                grade.name: [grade.auto_score, grade.manual_score, grade.needs_manual_grade]
                for notebook in one.notebooks
                for grade in notebook.grades
            }
            for one in gradebook.assignment_submissions(ASSIGNMENT)
        }


def secret_numbers(folder: Path) -> list[str]:
    """The sums of what `magnitude_mask` is asked with, as one notebook tells them: those that no
    notebook shows."""
    from course_utils.exercises import engine, find

    exercise = find("magnitude_mask")
    seed = (folder / ".grading" / "seed").read_text(encoding="utf-8").strip()
    sums = [
        {
            f"{case[0].double().sum().item():.6f}"
            for cases in engine.draw(exercise, seed).values()
            for case in cases
        }
        for seed in (seed, 0)
    ]
    return sorted(sums[0] - sums[1])


def add_by_hand(folder: Path, student: str) -> None:
    """What an instructor has entered about one student, which no other student's work may touch."""
    from course_utils.grading import classes

    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        answer = gradebook.find_grade("why_the_zeros_are_gone", LESSON, ASSIGNMENT, student)
        answer.manual_score, answer.extra_credit = 1.5, 0.5
        said = gradebook.find_comment("why_the_zeros_are_gone", LESSON, ASSIGNMENT, student)
        said.manual_comment = "Good."
        gradebook.db.commit()


def comment(folder: Path, student: str) -> str:
    from course_utils.grading import classes

    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        return gradebook.find_comment(
            "why_the_zeros_are_gone", LESSON, ASSIGNMENT, student
        ).manual_comment


def shown(folder: Path, student: str) -> str:
    """All that the graded notebook's cells show."""
    path = folder / "autograded" / student / ASSIGNMENT / f"{LESSON}.ipynb"
    cells = nbformat.read(path, as_version=4).cells if path.exists() else []
    return json.dumps([cell.get("outputs", []) for cell in cells])


def feedback(folder: Path, students: list[str]) -> dict[str, str]:
    """The page that each of them gets."""
    from nbgrader.converters import GenerateFeedback

    from course_utils.grading import classes

    pages = {}
    with classes.nbgrader(folder) as app:
        app.coursedir.assignment_id = ASSIGNMENT
        for student in students:
            app.coursedir.student_id = student
            GenerateFeedback(coursedir=app.coursedir, parent=app).start()
            page = folder / "feedback" / student / ASSIGNMENT / f"{LESSON}.html"
            pages[student] = page.read_text(encoding="utf-8")
    return pages


WRITTEN_BY_GRADING = {
    "autograded",
    "feedback",
    "gradebook.db",
    "results",
    "notes",
    "nbgrader.log",
    "backups",
    "runs",
}


def fingerprints(folder: Path) -> dict[str, str]:
    """All files of the class but those that grading writes."""
    found = {}
    for at, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if f not in {*WRITTEN_BY_GRADING, "submitted"}]
        for file in set(files) - WRITTEN_BY_GRADING:
            path = Path(at, file)
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            found[str(path.relative_to(folder))] = f"{content} {path.stat().st_mode:o}"
    return found


OF_STUDENTS = {"submitted", "autograded", "feedback", "notes"}


def marked(mark: str, *folders: Path) -> list[str]:
    """Whatever has the mark in its name, wherever an attack may have put it, but for what is named
    after a student."""
    found = []
    for folder in folders:
        for at, inside, files in os.walk(folder, onerror=None):
            inside[:] = [name for name in inside if name not in OF_STUDENTS]
            found += [f"{at}/{name}" for name in (*inside, *files) if mark in name]
    return found


def descendants() -> dict[int, str]:
    """Processes that this one started, or that became its own when their parents died."""
    parents, names = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        except (OSError, ValueError):
            continue
        if lines["State"].startswith("Z"):  # dead already, and nobody has asked how it ended
            continue
        process = int(lines["Pid"])
        parents[process], names[process] = int(lines["PPid"]), lines["Name"]
    ours = {os.getpid()}
    while more := {p for p, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return {process: names[process] for process in ours - {os.getpid()}}


def named_processes(mark: str) -> Iterator[int]:
    for name in Path("/proc").glob("[0-9]*/comm"):
        try:
            if mark[:15] in name.read_text():
                yield int(name.parent.name)
        except OSError:
            continue


def strangers_are_inside(folder: Path, student: str) -> bool:
    """Whether cells run in namespaces of their own: before that is known, no attack is run."""
    said = shown(folder, student)
    return "PROBE" in said and not any(
        os.readlink(f"/proc/self/ns/{name}") in said for name in NAMESPACES
    )


# --- All of it ------------------------------------------------------------------------------------


def main(*only: str) -> None:
    import hostile

    adopt_orphans = 36
    ctypes.CDLL(None).prctl(adopt_orphans, 1, 0, 0, 0)
    os.environ["HOSTILE_SECRET"] = secrets.token_hex(16)
    root = Path(tempfile.mkdtemp(prefix="course-class-"))
    listeners = Listeners(root)
    try:
        report = _graded(root / "class", listeners, hostile, only)
        report["heard"] = listeners.heard()
    finally:
        listeners.close()
        shutil.rmtree(root, ignore_errors=True)
    json.dump(report, sys.stdout)


def _graded(folder: Path, listeners: Listeners, hostile, only: tuple[str, ...]) -> dict:
    from course_utils.grading import running

    mark = f"stray-{secrets.token_hex(3)}"
    make(folder)
    words = words_for(folder, mark, listeners)
    probe = hostile.Notebook("probe", "", {"first": PROBE})
    honest = [*hostile.HONEST_STUDENTS, probe]
    for student in honest:
        hand_in(folder, student, words, {})
    alone = grade(folder)
    if not strangers_are_inside(folder, "probe"):
        raise SystemExit(f"no attack was run, as nothing would stop it: {alone['printed']}")
    before = grades(folder)
    add_by_hand(folder, "a_good_one")
    shutil.rmtree(folder / ".grading" / "results")

    strangers = [one for one in hostile.HOSTILE if one.name in only]
    for stranger in strangers:
        hand_in(folder, stranger, words, {"remaining_after": hostile.HONEST["remaining_after"]})
    files = fingerprints(folder)
    together = grade(folder)
    names = {one.name: _put_in(words, one.name) for one in [*strangers, *honest]}
    readers = [names[n] for n in names if n in {one.name for one in hostile.READ_BY_PEOPLE}]
    pages = feedback(folder, ["a_good_one", *readers])
    running.let_go()
    time.sleep(0.2)
    after = fingerprints(folder)
    return {
        "mark": mark,
        "names": names,
        "alone": before,
        "printed alone": alone["printed"],
        "together": grades(folder),
        "secrets": secret_numbers(folder),
        "grading": together,
        "comment": comment(folder, "a_good_one"),
        "shown": {name: shown(folder, student) for name, student in names.items()},
        "pages": {name: pages[names[name]] for name in names if names[name] in pages},
        "changed": sorted(set(files.items()) ^ set(after.items())),
        "left": marked(mark, folder, HOUSE, Path(sys.prefix), Path("/tmp"), Path("/var/tmp"),
                       Path("/dev/shm"), Path("/run"), Path("/etc"), Path.home()),
        "processes": [*descendants().values(), *named_processes(mark)],
    }  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
