"""Has the notebooks of many students run, keeps every worker busy, and says how far it is.

A result is stored the moment it arrives, so whatever ends the run, what was finished is not run
again. Writing grades down is the caller's, for one student after the other.
"""

import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from nbformat import NotebookNode
from tqdm import tqdm

from course_utils.grading import intake
from course_utils.grading.execution import Asked, Settings
from course_utils.grading.running import Problem
from course_utils.grading.workers import Team

TICK = 0.5  # seconds between two looks at what happens elsewhere


class Batch:
    """The students of one run: who waits, whose notebooks run, and what is known about time."""

    def __init__(self, team: Team, settings: Settings, release: dict[str, NotebookNode], say, log):
        self.team, self.settings, self.release = team, settings, release
        self.say, self.log = say, log
        self.stopping = False
        self.times = Counter()  # seconds, by what they went into
        self.ran = self.stored = self.graded = 0
        self.began, self.start = datetime.now(UTC), 0.0
        self._clock = time.perf_counter()
        self.received: dict[str, dict[str, intake.HandedIn]] = {}  # by student, then notebook
        self._open: dict[str, set[str]] = {}  # students, and what they wait for
        self._asked: dict[str, Asked] = {}

    def executed(self, place_of: Callable[[str], Path], students: Sequence[str]) -> Iterator[str]:
        """Each student as soon as the results of their notebooks are stored, where nbgrader's
        converter will find them."""
        waiting = deque(students)
        with _progress(len(students)) as bar:
            while (waiting and not self.stopping) or self._open:
                self._show(bar, len(waiting))
                if waiting and not self.stopping and self.team.has_room:
                    student = waiting.popleft()
                    with self.timed("intake"):
                        self._open[student] = set(self._hand_out(student, place_of(student)))
                    if not self._open[student]:
                        yield from self._done(student, bar)
                    continue
                # all that came are stored before the first is written down
                arrived = [self._take(*one) for one in self.team.results(wait=TICK)]
                for key in arrived:
                    for student in [each for each in self._open if key in self._open[each]]:
                        self._open[student].remove(key)
                        if not self._open[student]:
                            yield from self._done(student, bar)

    def _done(self, student: str, bar) -> Iterator[str]:
        del self._open[student]
        yield student
        self.received.pop(student, None)
        self.graded += 1
        bar.update()

    def _hand_out(self, student: str, place: Path) -> Iterator[str]:
        """What has to run for a student; what is stored already does not."""
        for name, notebook in self.release.items():
            try:
                received = intake.receive(place, name, notebook)
                self.received.setdefault(student, {})[name] = received
                if received.unreadable:
                    continue
                asked = Asked.of(received.notebook, notebook, received.files, self.settings)
                if asked.known():
                    self.stored += 1
                    continue
                key = asked.stored.stem
                if key not in self._asked:
                    self._asked[key] = asked
                    self.team.hand_out(key, asked.work.packed())
                yield key
            except Problem:
                raise
            except Exception as error:  # the converter meets it again, and writes it down
                self.log.error("%s: %s: %r", student, name, error)

    def _take(self, key: str, result: dict) -> str:
        self._asked.pop(key).take(result)
        took = result.get("seconds", {})
        if not self.ran:
            self.start = max(0.0, self._elapsed() - sum(took.values()))
        self.ran += 1
        self.times.update(took)
        return key

    # What a run tells

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.times[what] += time.perf_counter() - start

    def _elapsed(self) -> float:
        return time.perf_counter() - self._clock

    def record(self, finished: bool) -> dict:
        """How long it took, and with what."""
        parts = ("cells", "verdicts", "intake", "nbgrader")
        return {
            "began": self.began.isoformat(timespec="seconds"),
            "seconds": round(self._elapsed(), 3),
            "students": self.graded,
            "ran": self.ran,
            "stored": self.stored,
            "workers": self.team.at_once,
            "start": round(self.start, 3),
            **{part: round(self.times[part], 3) for part in parts},
            "finished": finished,
        }

    def _show(self, bar, waiting: int) -> None:
        if self.team.at_once == 0:
            bar.set_postfix_str("waiting for a worker to join")
        elif self.stopping:
            bar.set_postfix_str(f"stopping: {len(self._open)} still run")
        else:
            bar.set_postfix_str(self.estimate(waiting))

    def estimate(self, waiting: int) -> str:
        """From what notebooks took that ran, as if all that wait had to run as well; nothing while
        too few have come back to tell."""
        if self.ran < max(3, self.team.at_once):
            return ""
        each = (self.times["cells"] + self.times["verdicts"]) / self.ran
        writing = self.times["nbgrader"] / max(self.graded, 1)
        left = waiting + len(self._open)
        return "about " + spoken(left * max(each / self.team.at_once, writing)) + " left"

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Ctrl-C once: what runs is finished and written down. Twice: it is not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(*_):
            if self.stopping:
                raise KeyboardInterrupt
            self.stopping = True
            run = len(self._open)
            self.say(
                f"Stopping: {run} notebook{'s' * (run != 1)} still run and will be written down. "
                "Ctrl-C again does not wait for them."
            )

        before = signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def spoken(seconds: float) -> str:
    """A length of time, as exact as an estimate can be."""
    if seconds < 100:
        return f"{max(round(seconds / 5) * 5, 5)} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def _progress(count: int):
    """A bar on a terminal; elsewhere the lines about each student say enough."""
    return tqdm(
        total=count,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        leave=False,
        dynamic_ncols=True,
        bar_format="{n_fmt} of {total_fmt} {bar} {elapsed}{postfix}",
    )


def printed(line: str) -> None:
    """A line above the bar."""
    tqdm.write(line, file=sys.stdout)
    sys.stdout.flush()
