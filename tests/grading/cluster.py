"""A Dask cluster as `docs/clusters.md` has people start one: a scheduler and workers, each a
process of its own, on loopback. And what a class has come to, wherever its notebooks ran.

    python cluster.py HIDDEN HOME PROGRAM [ARGUMENT ...]

runs a program for a test that is root as `as_ordinary_user` does, and shows it nothing of HIDDEN.
"""

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from as_ordinary_user import HOUSE, NOBODY_ELSE, open_the_way_to

from course_utils.grading import namespaces

PROGRAMS = Path(sys.executable).parent
OURS = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
KEPT = ("PATH", "LANG", "CI")
LOOPBACK = ["--host", "127.0.0.1", "--dashboard-address", "127.0.0.1:0"]


# --- Programs -------------------------------------------------------------------------------------


class Program:
    """A process of its own, and what it has said so far."""

    def __init__(self, command: list, home: Path, place: Path | None = None, **environment: str):
        environment = {"HOME": str(home), "TMPDIR": str(home / "tmp")} | environment
        for needed in (home, Path(environment["TMPDIR"])):
            needed.mkdir(parents=True, exist_ok=True)
        self._log = home.with_name(f"{home.name}-{len([*home.parent.iterdir()])}.txt")
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                list(map(str, command)),
                cwd=place or home,
                env=kept | OURS | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, pattern: str, patience: float = 60) -> str:
        """What it says that matches, as soon as it does."""
        until = time.monotonic() + patience
        while not (found := re.search(pattern, self.said)):
            assert self.process.poll() is None, f"ended without saying {pattern}:\n{self.said}"
            assert time.monotonic() < until, f"has not said {pattern}:\n{self.said}"
            time.sleep(0.05)
        return found[1] if found.groups() else found[0]

    def ends(self, patience: float = 120) -> int:
        """Its exit status, once it has ended by itself."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"does not end:\n{self.said}") from None

    def stop(self) -> None:
        stop_all([self])


def stop_all(programs: list[Program]) -> None:
    """Ask them to end, and see to it that they do."""
    for each in programs:
        each.process.terminate()
    for each in programs:
        with contextlib.suppress(subprocess.TimeoutExpired):
            each.process.wait(15)
        each.process.kill()
        each.process.wait()


def left_by(*homes: Path) -> list[Path]:
    """What programs with these homes have left of temporary things, but for the folder that Dask
    keeps, and in which it cleans up after itself when it is started again."""
    everything = [path for home in homes for path in (home / "tmp").iterdir()]
    return [path for path in everything if path.name != "dask-scratch-space"]


def family(process: int) -> dict[int, str]:
    """A process's descendants that live, and what they are called: those too whose parents died
    and that it adopted."""
    parents, names = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError, ValueError):  # it has just ended
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
            if not lines["State"].startswith("Z"):
                parents[int(lines["Pid"])] = int(lines["PPid"])
                names[int(lines["Pid"])] = lines["Name"]
    found, new = set(), {process}
    while new := {each for each, parent in parents.items() if parent in new} - found:
        found |= new
    return {each: names[each] for each in sorted(found)}


class Cluster:
    """`folder` is all that scheduler and workers write to; like those of one machine they share
    its tmp. With `hidden`, of which then none of them sees anything, they run as an ordinary user
    if this is root."""

    def __init__(self, folder: Path, hidden: Path | None = None, **environment: str):
        self.folder = folder
        self.environment = {"TMPDIR": str(folder / "tmp")} | environment
        self.hidden = hidden if os.geteuid() == 0 else None
        self.scheduler: Program | None = None
        self.workers: list[Program] = []

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def start(self, workers: int = 2, threads: int = 1) -> "Cluster":
        self.scheduler = self._program("scheduler", "dask", "scheduler", *LOOPBACK, "--port", "0")
        for _ in range(workers):
            self.add_worker(threads)
        for each in self.workers:
            each.wait_for("Registered to:")
        return self

    @property
    def address(self) -> str:
        return self.scheduler.wait_for(r"Scheduler at: +(\S+)")

    def add_worker(self, threads: int = 1, **environment: str) -> Program:
        options = [self.address, "--nworkers", "1", "--nthreads", str(threads), *LOOPBACK]
        name = f"worker-{len(self.workers)}"
        self.workers.append(self._program(name, "dask", "worker", *options, **environment))
        return self.workers[-1]

    def _program(self, name: str, program: str, *arguments: str, **environment: str) -> Program:
        place = self.folder / name
        command = [PROGRAMS / program, *arguments]
        if self.hidden:
            command = [sys.executable, __file__, self.hidden, place, *command]
        return Program(command, place, **self.environment, **environment)

    def stop(self) -> None:
        stop_all(self.workers)
        stop_all([self.scheduler] if self.scheduler else [])
        self.scheduler, self.workers = None, []


def main(hidden: str, home: str, *command: str) -> None:
    namespaces.new_mounts()
    namespaces.mount("tmpfs", hidden, "tmpfs", options="mode=0700")
    own = [home, os.environ["TMPDIR"]]
    needed = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, HOUSE, *own)}
    open_the_way_to(sorted(needed))
    for folder in own:
        os.chown(folder, NOBODY_ELSE, NOBODY_ELSE)
    os.setgroups([])
    os.setresgid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
    os.setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
    os.chdir(home)
    os.execv(command[0], command)


def course_class_grade(folder: Path, *options: str, **environment: str) -> Program:
    """The command, as an instructor gives it in the class folder."""
    home = folder.with_name(f"{folder.name}-home")
    command = [PROGRAMS / "course", "class", "grade", "01", *options]
    return Program(command, home, folder, **environment)


# --- What a class has come to ---------------------------------------------------------------------


def outcome(folder: Path) -> dict:
    """All that grading leaves in a class folder and that does not differ by chance: every row of
    the gradebook, the notes, what was made of the notebooks, and which files there are."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    backups = {path for path in files if path.parent.name == "backups"}
    for path in (folder / "gradebook.db", *backups):
        _is_sound(path)
    texts = {
        what: {
            _name(path, folder): path.read_text(encoding="utf-8")
            for path in sorted((folder / what).rglob(ending))
        }
        for what, ending in ((".grading/notes", "*.json"), ("autograded", "*.ipynb"))
    }
    said = {name: json.loads(text) for name, text in texts[".grading/notes"].items()}
    return {
        "files": sorted(_name(path, folder) for path in files - backups),
        "gradebook": gradebook(folder),
        "notes": {name: _without_seconds(notes) for name, notes in said.items()},
        "autograded": texts["autograded"],
    }


def _name(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder))


def _without_seconds(notes: dict[str, dict]) -> dict[str, dict]:
    return {notebook: {**said, "seconds": None} for notebook, said in notes.items()}


def _is_sound(book: Path) -> None:
    with contextlib.closing(sqlite3.connect(book)) as opened:
        (found,) = opened.execute("PRAGMA integrity_check").fetchone()
    assert found == "ok", f"{book}: {found}"


BY_CHANCE = {
    "submitted_assignment": "SELECT id, student_id FROM submitted_assignment",
    "submitted_notebook": "SELECT one.id, student_id || ' ' || name FROM submitted_notebook one "
    "JOIN submitted_assignment all_ ON all_.id = one.assignment_id "
    "JOIN notebook ON notebook.id = one.notebook_id",
    "grade": "SELECT id, '' FROM grade",
    "comment": "SELECT id, '' FROM comment",
}


def gradebook(folder: Path) -> dict[str, list]:
    """All rows by table, with names in the place of numbers that are drawn anew each time."""
    with contextlib.closing(sqlite3.connect(folder / "gradebook.db")) as book:
        named = {id: name for query in BY_CHANCE.values() for id, name in book.execute(query)}
        tables = book.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        rows = {table: book.execute(f"SELECT * FROM {table}").fetchall() for (table,) in tables}
    return {
        table: sorted((tuple(named.get(value, value) for value in row) for row in found), key=repr)
        for table, found in rows.items()
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
