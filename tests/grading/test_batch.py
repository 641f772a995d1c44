"""A run of many notebooks: which wait, which come back, what is said about time, and ctrl-C. What
running a notebook would give is played; Dask is real where a test says so."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import textwrap
import time
from pathlib import Path

import a_class
import pytest
from a_class import LESSON, hand_in, worth

from course_utils.grading import batch, notes, workers
from course_utils.grading.batch import Batch, spoken
from course_utils.grading.execution import Settings
from course_utils.grading.nbgrader_parts import released

HERE = Path(__file__).parent


class Play:
    """A team that gives results back in the order a test wants, last in first out."""

    def __init__(self, at_once=2):
        self.at_once, self.handed, self.most = at_once, {}, 0

    @property
    def busy(self):
        return len(self.handed)

    @property
    def has_room(self):
        return self.busy < 2 * self.at_once

    def hand_out(self, name, work):
        assert name not in self.handed
        self.handed[name] = work
        self.most = max(self.most, self.busy)

    def results(self, wait):
        name, work = self.handed.popitem()
        yield name, json.loads(a_class.perform(work))


class Log:
    def __init__(self):
        self.said = []

    def error(self, *words):
        self.said.append(words)


def a_batch(folder, team=None):
    settings = Settings(folder / ".grading")
    return Batch(team or Play(), settings, released(folder, "01"), print, Log())


def students_of(folder, batch, students):
    return list(batch.executed(lambda one: folder / "submitted" / one / "01", students))


def test_everybody_comes_back_once_and_no_more_are_handed_out_than_keep_workers_busy(folder):
    students = [f"s{n}" for n in range(12)]
    for n, student in enumerate(students):
        hand_in(folder, student, first=f"# worth {n / 12}")
    ours = a_batch(folder)
    assert sorted(students_of(folder, ours, students)) == sorted(students)
    assert ours.team.most == 4
    assert (ours.ran, ours.stored, ours.graded) == (12, 0, 12)
    assert len(list((folder / ".grading" / "results").iterdir())) == 12


def test_what_is_stored_is_not_handed_out(folder):
    for student in ("ann", "bob"):
        hand_in(folder, student, first=worth(1), second=f"# {student}")
    students_of(folder, a_batch(folder), ["ann"])
    again = a_batch(folder)
    assert sorted(students_of(folder, again, ["ann", "bob"])) == ["ann", "bob"]
    assert (again.ran, again.stored) == (1, 1)


def test_the_same_notebook_of_two_students_runs_once(folder):
    for student in ("ann", "bob", "cem"):
        hand_in(folder, student, first=worth(1))
    ours = a_batch(folder)
    assert sorted(students_of(folder, ours, ["ann", "bob", "cem"])) == ["ann", "bob", "cem"]
    assert ours.ran == 1


def test_a_result_is_stored_before_anybody_writes_it_down(folder):
    hand_in(folder, "ann", first=worth(1))
    for _ in a_batch(folder).executed(lambda one: folder / "submitted" / one / "01", ["ann"]):
        (stored,) = (folder / ".grading" / "results").iterdir()
        assert json.loads(stored.read_text(encoding="utf-8"))["checks"]


def test_all_that_came_back_is_stored_before_the_first_is_written_down(folder):
    class AllAtOnce(Play):
        def results(self, wait):
            while self.handed:
                yield from super().results(wait)

    students = [f"s{n}" for n in range(4)]
    for n, student in enumerate(students):
        hand_in(folder, student, first=f"# worth {n / 4}")
    run = a_batch(folder, AllAtOnce()).executed(
        lambda one: folder / "submitted" / one / "01", students
    )
    next(run)
    assert len(list((folder / ".grading" / "results").iterdir())) == 4
    assert len(list(run)) == 3


def test_whoever_cannot_be_received_stops_nobody_else(folder, monkeypatch):
    from course_utils.grading import intake

    receive = intake.receive

    def stumbling(place, name, release):
        if place.parent.name == "ann":
            raise RuntimeError("a mistake of ours")
        return receive(place, name, release)

    monkeypatch.setattr(intake, "receive", stumbling)
    for student in ("ann", "bob"):
        hand_in(folder, student, first=worth(1))
    ours = a_batch(folder)
    assert students_of(folder, ours, ["ann", "bob"]) == ["ann", "bob"]
    assert "a mistake of ours" in str(ours.log.said)


# --- Time -----------------------------------------------------------------------------------------


def test_an_estimate_waits_for_a_few_results_and_then_keeps_to_them(folder):
    ours = a_batch(folder)
    ours.ran, ours.graded = 2, 2
    ours.times.update(cells=15.0, verdicts=5.0, nbgrader=1.0)
    assert ours.estimate(waiting=90) == ""
    ours.ran, ours.graded = 10, 10
    assert ours.estimate(waiting=90) == "about 90 s left"  # 2 s each, two at once
    ours.times["nbgrader"] = 30.0  # if writing down takes longer than running, that decides
    assert ours.estimate(waiting=90) == "about 4 min left"


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0.2, "5 s"), (12, "10 s"), (61, "60 s"), (130, "2 min"), (5000, "83 min"), (9000, "2.5 h")],
)
def test_times_are_spoken_no_more_exactly_than_they_are_known(seconds, says):
    assert spoken(seconds) == says


def test_a_run_leaves_a_record_of_its_times(folder):
    for student in ("ann", "bob"):
        hand_in(folder, student, first=worth(1), second=f"# {student}")
    said, _ = a_class.graded(folder)
    record = notes.run(folder, "01")
    assert record["finished"] is True
    assert (record["students"], record["ran"], record["stored"]) == (2, 2, 0)
    assert (record["cells"], record["verdicts"]) == (2.0, 1.0)
    assert record["workers"] == workers.processors()
    assert record["seconds"] > record["nbgrader"] > 0
    assert "2 notebooks ran" in said[-1]
    said, _ = a_class.graded(folder)
    assert notes.run(folder, "01")["stored"] == 2
    assert "Nothing had to run" in said[-1]


# --- Ctrl-C, on a terminal ------------------------------------------------------------------------

SCRIPT = """
import json, sys, threading
sys.path.insert(0, {here!r})
import a_class
from course_utils.grading import classes, running

ended = threading.Event()

def slowly(work):
    ended.wait({seconds})
    return a_class.perform(work)

running.perform, running.abandon = slowly, ended.set
sys.exit(classes.grade({folder!r}, "01", workers=2))
"""


class OnATerminal:
    """A grading run as somebody sees it who sits before it."""

    def __init__(self, folder: Path, seconds: float):
        script = f"from pathlib import Path\n{textwrap.dedent(SCRIPT)}".format(
            here=str(HERE), folder="@", seconds=seconds
        )
        script = script.replace("'@'", f"Path({str(folder)!r})")
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        self.process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
        )
        os.close(theirs)
        self.screen, self._terminal = "", ours

    def until(self, wanted: str, seconds: float = 60) -> str:
        end = time.monotonic() + seconds
        while not re.search(wanted, self.screen):
            assert time.monotonic() < end, self.screen
            try:
                self.screen += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError:  # it has ended
                assert re.search(wanted, self.screen), self.screen
        return self.screen

    def interrupt(self):
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> int:
        while True:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:
                break
            self.screen += data.decode(errors="replace")
        os.close(self._terminal)
        return self.process.wait(30)


@pytest.fixture
def eight(folder):
    for n in range(8):
        hand_in(folder, f"s{n}", first=f"# worth {n / 8}")
    return folder


def test_ctrl_c_finishes_what_runs_and_says_how_to_go_on(eight):
    terminal = OnATerminal(eight, seconds=1)
    terminal.until("s0 ")
    terminal.interrupt()
    terminal.until("Stopping")
    assert terminal.ended() == 130
    graded = set(re.findall(r"(s\d) +[\d.]+ of 9", terminal.screen))
    assert 2 <= len(graded) < 8
    assert len(list((eight / ".grading" / "results").iterdir())) == len(graded)
    left = 8 - len(graded)
    assert f"Stopped, with {left} of 8 not graded." in terminal.screen
    assert "the same command goes on" in terminal.screen
    assert "Traceback" not in terminal.screen
    assert notes.run(eight, "01")["finished"] is False

    rest = OnATerminal(eight, seconds=0.1)
    assert rest.ended() == 0
    assert f"{left} notebooks ran" in rest.screen
    assert notes.run(eight, "01")["stored"] == len(graded)


def test_ctrl_c_twice_waits_for_nothing(eight):
    terminal = OnATerminal(eight, seconds=30)
    terminal.until(r"0 of 8")
    time.sleep(1)
    start = time.monotonic()
    terminal.interrupt()
    terminal.until("Stopping")
    terminal.interrupt()
    assert terminal.ended() == 130
    assert time.monotonic() - start < 15
    assert "Stopped, with 8 of 8 not graded." in terminal.screen
    assert "Traceback" not in terminal.screen


def test_a_bar_says_how_far_it_is_and_how_long_it_still_takes(eight):
    terminal = OnATerminal(eight, seconds=0.5)
    terminal.until(r"\d of 8")
    assert terminal.ended() == 0
    assert re.search(r"[3-7] of 8 .*about \d+ s left", terminal.screen)


def test_where_nobody_looks_no_bar_is_drawn(eight, capsys):
    from course_utils.grading import classes

    assert classes.grade(eight, "01") == 0
    seen = capsys.readouterr()
    assert seen.err == ""
    assert len(re.findall(r"^s\d ", seen.out, re.MULTILINE)) == 8
    assert LESSON not in seen.out
    assert batch.TICK < 1
