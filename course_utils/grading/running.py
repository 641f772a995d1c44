"""Runs one notebook and has its checks judged: what a worker does, on whatever machine.

A student's code meets a process of its own (`answers`), and what its answers returned is judged in
another (`verdicts`). This module carries bytes from one to the other and looks into none. It needs
neither the class's folder nor nbgrader: all that decides about a result travels in the work.
"""

import atexit
import hashlib
import json
import math
import os
import platform
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode, from_dict

import course_utils
from course_utils.grading import leftovers, package, plan
from course_utils.grading.frames import VISIBLE, pack, unpack
from course_utils.grading.sandbox import NO_MEMORY_LEFT, Limits, NotIsolated, Ran, Sandbox
from course_utils.quiz.graded import ANSWERS
from course_utils.study.panels import clean, panel

NOT_GRADED = "not graded"  # in an output's metadata, under OURS: why a check has no verdict
OURS = "pruning_course"
LOST = "was lost"  # as `sandbox` calls what was nobody's doing: worth another try
_TRIES = 3
_IDLE = 600  # seconds after which warm processes that nobody needs are let go
_PICTURES = ("image/png", "image/jpeg")


class Problem(ValueError):
    """Something that the instructor has to mend before anybody can be graded."""


class Terms(NamedTuple):
    """What decides about a result besides the notebook."""

    seed: str
    limits: Limits
    judging: Limits
    isolated: bool


class Work(NamedTuple):
    """A notebook to run: its cells and those of its release, and the files beside it."""

    cells: list[NotebookNode]
    release: list[NotebookNode]
    files: dict[str, bytes]
    terms: Terms

    def packed(self) -> bytes:
        header = {
            "cells": [_without_outputs(cell) for cell in self.cells],
            "release": [_without_outputs(cell) for cell in self.release],
            "files": list(self.files),
            "terms": [self.terms.seed, [*self.terms.limits], [*self.terms.judging]],
            "isolated": self.terms.isolated,
            "versions": versions(),
        }
        return pack(header, list(self.files.values()))


def _without_outputs(cell: NotebookNode) -> dict:
    """All of a cell that decides about a result."""
    kept = {"cell_type": cell.cell_type, "metadata": cell.metadata}
    return {**kept, "source": cell.source if _is_code(cell) else ""}


def perform(packed: bytes) -> bytes:
    """What a worker is asked to do, and what it answers: JSON with the outputs of all code cells
    and what is to be said about them, or with the problem that only the instructor can mend."""
    header, blobs = unpack(packed)
    if header["versions"] != versions():
        here, there = (", ".join(map(str, each)) for each in (versions(), header["versions"]))
        problem = (
            f"the worker on {platform.node()} is not the same as here: course, Python and torch "
            f"are {here} there and {there} here. Install the same versions, and start it again."
        )
        return json.dumps({"problem": problem}).encode()
    seed, limits, judging = header["terms"]
    work = Work(
        from_dict(header["cells"]),
        from_dict(header["release"]),
        dict(zip(header["files"], blobs, strict=True)),
        Terms(seed, Limits(*limits), Limits(*judging), header["isolated"]),
    )
    try:
        return json.dumps(_Run(work).result()).encode()
    except Problem as problem:
        return json.dumps({"problem": str(problem)}).encode()


@cache
def versions() -> list[str]:
    """Of the course's own code and data, and of what it runs on."""
    digest = hashlib.sha256()
    root = Path(course_utils.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".safetensors", ".yaml", ".json"):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return [digest.hexdigest()[:16], platform.python_version(), version("torch")]


class _Run:
    """One notebook on its way through both processes."""

    def __init__(self, work: Work):
        self.cells, self.files, self.terms = work.cells, work.files, work.terms
        self.chosen = plan.needed(self.cells, work.release)
        self.checks = {n: plan.check_of(self.cells[n]) for n in self.chosen}
        self.checks = {n: check for n, check in self.checks.items() if check}
        self.outputs: dict[int, list] = {}
        self.problems: list[str] = []
        self.seconds = Counter(cells=0.0, verdicts=0.0)
        self.until = math.inf

    def result(self) -> dict:
        exercises = sorted({check.exercise for check in self.checks.values()})
        with (
            _warm("answers", exercises, self.terms) as self.answers,
            _warm("verdicts", exercises, self.terms) as self.verdicts,
            _a_processor() as self.core,
        ):
            secret = _cases(self.verdicts, exercises, self.terms.seed, self.terms)
            self.until = time.monotonic() + self.terms.limits.job
            return self._result(secret)

    def _result(self, secret: dict[str, bytes]) -> dict:
        said, stopped = self._observe(self.chosen, secret)
        slow = [n for n in said if n not in self.checks and said[n][0].get("interrupted") is True]
        for n in slow:
            self.problems.append(f"{self._place(n)} {self._too_slow}, and was interrupted")
        ended = stopped | dict.fromkeys(slow, self._too_slow)
        observed = {n: said[n] for n in self.checks if n in said}
        lost = {n: self._lost_with(n, ended, observed) for n in self.checks}
        observed = {n: seen for n, seen in observed.items() if not lost[n]}
        judged, unjudged = self._verdicts(observed, {})

        unclear = [n for n, (header, _) in judged.items() if header.get("unclear")]
        silent = all(said[n][0].get("outputs") == [] for n in said if n not in self.checks)
        if unclear or not silent:
            # What a student reads comes from a run that never met the secret cases.
            wrong = [self.checks[n].exercise for n in unclear]
            visible = _cases(self.verdicts, wrong, VISIBLE, self.terms)
            again = [n for n in self.chosen if n in unclear or n not in {*self.checks, *stopped}]
            said, stopped_again = self._observe(again, visible)
            stopped |= {n: why for n, why in stopped_again.items() if n not in self.checks}
            shown = {n: said[n] for n in unclear if n in said}
            clearer, _ = self._verdicts({n: observed[n] for n in shown}, shown)
            judged |= clearer

        for n in self.chosen:
            if n not in self.checks:
                self._show(n, said, stopped, ended)
                continue
            why = lost[n] or (f"judging it {unjudged[n]}" if n in unjudged else "")
            self.outputs[n] = [self._without(n, why) if why else _verdict(judged[n][0])]
        code = [n for n, cell in enumerate(self.cells) if _is_code(cell)]
        named = {self._name(n): _about(self.checks[n], judged[n][0]) for n in judged}
        return {
            "outputs": [self.outputs.get(n, []) for n in code],
            "problems": self.problems,
            "checks": named,
            "seconds": dict(self.seconds),
        }

    def _name(self, n: int) -> str:
        return self.cells[n].metadata.get("nbgrader", {}).get("grade_id", "")

    def _observe(self, indices: list[int], cases: dict[str, bytes]):
        """What each cell showed and each check's answer returned, or why there is nothing."""
        steps, blobs = [], []
        for n in indices:
            if n in self.checks:
                exercise, answer = self.checks[n]
                steps.append({"check": exercise, "answer": answer})
                blobs.append([cases[exercise]])
            else:
                steps.append({"cell": self.cells[n].source})
                blobs.append([])
        left = self.terms.limits._replace(job=max(1.0, self.until - time.monotonic()))
        return self._all_steps("cells", indices, steps, blobs, left)

    def _verdicts(self, observed: dict, visible: dict):
        steps, blobs = [], []
        for n, (header, data) in observed.items():
            step = {"verdict": self.checks[n].exercise, "seed": self.terms.seed}
            step |= {"worth": self._worth(n), "observed": header}
            if n in visible:
                step["visible"] = visible[n][0]
                data = [*data, *visible[n][1]]
            steps.append(step)
            blobs.append(data)
        return self._all_steps("verdicts", list(observed), steps, blobs, self.terms.judging)

    def _all_steps(self, what: str, names: list, steps: list, blobs: list, limits: Limits):
        sandbox = self.answers if what == "cells" else self.verdicts
        files = self.files if what == "cells" else {}

        def run(job: bytes, left: Limits) -> Ran:
            ran = _with_tries(sandbox, job, files, left, self.core)
            self.seconds[what] += ran.seconds
            return ran

        return _all_steps(run, names, steps, blobs, limits)

    def _worth(self, n: int) -> float:
        return float(self.cells[n].metadata.nbgrader.points)

    @property
    def _too_slow(self) -> str:
        return f"ran longer than {self.terms.limits.step:g} s"

    def _lost_with(self, n: int, ended: dict[int, str], observed: dict) -> str:
        """Why a check has nothing to judge: it was stopped, or the cell with the answer was."""
        if n in ended:
            return ended[n]
        if n not in observed:
            return "its turn never came"
        if observed[n][0].get("stopped") == "interrupted":
            return self._too_slow
        if observed[n][0].get("missing"):
            return self._gone_with(self.checks[n].answer, ended)
        return ""

    def _gone_with(self, source: str, ended: dict[int, str]) -> str:
        """Why a name that this uses was never defined, if a cell that was stopped defines it."""
        uses = plan.Flow.of(source).uses
        for cell, why in ended.items():
            if uses & plan.Flow.of(self.cells[cell].source).defines:
                return f"the cell that defines it {why}"
        return ""

    def _show(self, n: int, said: dict, stopped: dict[int, str], ended: dict[int, str]) -> None:
        """A cell that is run and not judged here: what it showed, or why it showed nothing."""
        why = stopped.get(n) or ("" if n in said else "its turn never came")
        if not why and is_judged(self.cells[n]):
            why = self._gone_with(self.cells[n].source, ended)
        if not why:
            self.outputs[n] = _harmless(said[n][0].get("outputs"))
        elif is_judged(self.cells[n]):  # by nbgrader, which takes silence for success
            self.outputs[n] = [self._without(n, why)]
        else:
            explained = f"This cell was left out: {why}."
            self.outputs[n] = [_plain_error("Stopped", explained)]
            self.problems.append(f"{self._place(n)} was left out: {why}")

    def _without(self, n: int, why: str) -> dict:
        self.problems.append(f"`{_asked(self.cells[n])}` could not be graded: {why}")
        return without_verdict(self.cells[n], why)

    def _place(self, n: int) -> str:
        name = self._name(n)
        return f"the cell of `{name}`" if name else f"cell {n + 1}"


def _is_code(cell: NotebookNode) -> bool:
    return cell.cell_type == "code"


def is_judged(cell: NotebookNode) -> bool:
    """Whether points depend on what this cell puts out."""
    return _is_code(cell) and plan.is_locked_check(cell)


def _asked(cell: NotebookNode) -> str:
    check = plan.check_of(cell)
    return check.exercise if check else cell.metadata.nbgrader.grade_id


def _about(check: plan.Check, judged: dict) -> dict:
    """A verdict as the notes keep it."""
    return {
        "exercise": check.exercise,
        "status": str(judged.get("status", "")),
        "points": judged.get("points", 0.0),
        "of": judged.get("of", 0.0),
        "message": next(iter(judged.get("messages", [])), ""),
        "groups": judged.get("groups", {}),
    }


def _all_steps(
    run: Callable, names: list, steps: list[dict], blobs: list[list[bytes]], limits: Limits
) -> tuple[dict, dict]:
    """Run all steps. One that ends the process is left out, and the others run again without it:
    a crash costs itself only. Returns what each step said, and why others said nothing."""
    said: dict = {}
    stopped: dict = {}
    until = time.monotonic() + limits.job
    todo = list(range(len(steps)))
    while todo:
        left = limits._replace(job=max(1.0, until - time.monotonic()))
        job = pack({"steps": [{**steps[n], "blobs": len(blobs[n])} for n in todo]},
                   [blob for n in todo for blob in blobs[n]])  # fmt: skip
        ran = run(job, left)
        for step, header, data in reversed([*map(_read_part, ran.parts)]):  # the first counts
            if step < len(todo):
                said[names[todo[step]]] = header, data
        if not ran.ended:
            break
        if ran.ended.startswith("could not be isolated"):
            raise Problem(f"students' code {ran.ended}")
        at = len(ran.parts) if ran.step is None else ran.step
        culprit = todo[min(max(at, 0), len(todo) - 1)]
        said.pop(names[culprit], None)
        stopped[names[culprit]] = _without_words_of_its_own(ran.ended)
        todo.remove(culprit)
        if time.monotonic() >= until:
            for n in todo:
                if names[n] not in said:
                    stopped[names[n]] = f"was not reached: the notebook {ran.ended}"
            break
    return said, stopped


def _without_words_of_its_own(ended: str) -> str:
    """A process that fails may say why; it could say anything, the secret cases among it."""
    return "failed" if ended.startswith("failed") else ended


def _read_part(part: bytes) -> tuple[float, dict, list[bytes]]:
    """Whatever a student's process said, and about which step; nonsense is about none."""
    try:
        header, blobs = unpack(part)
    except ValueError:
        return math.inf, {}, []
    step = header.get("step")
    return step if type(step) is int and step >= 0 else math.inf, header, blobs


# What a student's process says it showed becomes text and pictures, and nothing that could run.


def _harmless(outputs) -> list[dict]:
    """As many as a cell can have a reason for; the process that said them keeps to no limit that
    student code could not lift."""
    made, room = [], _LARGEST
    for output in outputs[:_MOST] if isinstance(outputs, list) else []:
        for harmless in _harmless_one(output) if isinstance(output, dict) else []:
            room -= len(json.dumps(harmless))
            if room < 0:
                cut = "The rest of what this cell shows was cut.\n"
                return [*made, {"output_type": "stream", "name": "stdout", "text": cut}]
            made.append(harmless)
    return made


_MOST = 1000  # outputs of a cell, lines of a traceback
_LARGEST = 8 * 2**20  # characters that a cell shows, pictures included
_LONGEST = 2**20  # characters of one text


def _harmless_one(output: dict) -> list[dict]:
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return [{"output_type": "stream", "name": name, "text": _text(output.get("text"))}]
    if kind == "error":
        trace = output.get("traceback")
        lines = [_text(line) for line in trace[:_MOST]] if isinstance(trace, list) else []
        return [
            {
                "output_type": "error",
                "ename": _text(output.get("ename")),
                "evalue": _text(output.get("evalue")),
                "traceback": lines,
            }
        ]
    data = output.get("data")
    if kind not in ("display_data", "execute_result") or not isinstance(data, dict):
        return []
    kept = {mime: data[mime].strip() for mime in _PICTURES if _is_picture(data.get(mime))}
    if "text/plain" in data:
        kept["text/plain"] = _text(data["text/plain"])
    if isinstance(data.get(ANSWERS), dict):
        kept[ANSWERS] = data[ANSWERS]
    return [{"output_type": kind, "data": kept}] if kept else []


_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?", re.DOTALL)


def _text(value) -> str:
    text = "".join(map(str, value)) if isinstance(value, list) else str(value or "")
    return clean(_ESCAPES.sub("", text[:_LONGEST]))


def _is_picture(value) -> bool:
    """Base64 of a PNG or a JPEG; whatever else it holds, it cannot end the tag that shows it."""
    return isinstance(value, str) and bool(_PICTURE.fullmatch(value))


_PICTURE = re.compile(r"(iVBORw0KGgo|/9j/)[A-Za-z0-9+/\s]*=*\s*")


def _plain_error(name: str, said: str) -> dict:
    return {"output_type": "error", "ename": name, "evalue": said, "traceback": [said]}


def _verdict(header: dict) -> dict:
    """The points as nbgrader reads them, and what the student reads."""
    data = {"text/plain": header["plain"], "text/html": header["html"]}
    return {"output_type": "execute_result", "data": data}


def without_verdict(cell: NotebookNode, why: str) -> dict:
    lines = [f"Why: {why}.", "This is not a verdict on your answer: your instructor decides."]
    shown = panel(f"? {_asked(cell)}: could not be graded", lines)
    data = {"text/plain": "0", "text/html": shown.html}
    metadata = {OURS: {NOT_GRADED: clean(why)}}
    return {"output_type": "execute_result", "data": data, "metadata": metadata}


# --- Warm processes -------------------------------------------------------------------------------
# They are shared by all threads of a worker, kept for the next notebook, and let go when nobody
# needs them.

_lock = threading.RLock()
_sandboxes: dict[tuple, "_Kept"] = {}
_timer: threading.Timer | None = None


class _Kept:
    """A sandbox and how many use it now."""

    def __init__(self, kind: str, exercises: list[str], terms: Terms):
        self.users, self._folder, replaced = 0, None, {}
        seen = Path(course_utils.__file__).parents[1]
        prepared = pack({"exercises": exercises, "seed": terms.seed})
        if kind == "answers":
            self._folder = leftovers.Folder("course-answers-")
            seen = self._folder.path
            replaced = package.write(seen, exercises)
            prepared = b"everything"
        if not terms.isolated:  # each job is a process of its own, and would prepare for itself
            prepared = b""
        try:
            program = f"course_utils.grading.{kind}:run"
            self.sandbox = Sandbox(program, seen, replaced, terms.isolated, prepared)
        except NotIsolated as error:
            if self._folder:
                self._folder.remove()
            raise Problem(str(error)) from None

    def close(self) -> None:
        self.sandbox.close()
        if self._folder:
            self._folder.remove()


@contextmanager
def _warm(kind: str, exercises: list[str], terms: Terms) -> Iterator[Sandbox]:
    """The process of a kind. `exercises` decide what of the course `answers` may see, and what
    `verdicts` prepares for."""
    global _timer
    wanted = (kind, *sorted(exercises), terms.isolated, terms.seed if kind == "verdicts" else "")
    with _lock:
        if _timer:
            _timer.cancel()
        _timer = threading.Timer(_IDLE, let_go)
        _timer.daemon = True
        _timer.start()
        if wanted not in _sandboxes:
            _close_idle(kind)
            _sandboxes[wanted] = _Kept(kind, exercises, terms)
        kept = _sandboxes[wanted]
        kept.users += 1
    try:
        yield kept.sandbox
    finally:
        with _lock:
            kept.users -= 1


def abandon() -> None:
    """End all that runs; whoever waits for it hears that it was lost."""
    with _lock:
        while _sandboxes:
            _sandboxes.popitem()[1].close()


def _close_idle(kind: str) -> None:
    for wanted, kept in list(_sandboxes.items()):
        if wanted[0] == kind and not kept.users:
            _sandboxes.pop(wanted).close()


@atexit.register
def let_go() -> None:
    with _lock:
        for kind in ("answers", "verdicts"):
            _close_idle(kind)


def warm_up(release: list[NotebookNode], terms: Terms) -> None:
    """Start what the first notebook of an assignment will need, and do not wait for it."""
    checks = filter(None, map(plan.check_of, release))
    exercises = sorted({check.exercise for check in checks})
    for kind in ("answers", "verdicts"):
        with _warm(kind, exercises, terms):
            pass


_known_cases: dict[tuple, bytes] = {}
_asking = threading.Lock()


def _cases(verdicts: Sandbox, exercises: list[str], seed: str, terms: Terms) -> dict[str, bytes]:
    """The inputs of each exercise's cases, written down; asked for once."""
    with _asking:
        new = [name for name in exercises if (name, seed) not in _known_cases]
        if new:
            steps = [{"cases": name, "seed": seed} for name in new]
            said, stopped = _all_steps(
                lambda job, left: _with_tries(verdicts, job, {}, left, None),
                new, steps, [[]] * len(new), terms.judging,
            )  # fmt: skip
            for name in new:
                if name not in said or len(said[name][1]) != 1:
                    why = stopped.get(name) or "no answer"
                    raise Problem(f"the cases of {name} could not be made: {why}")
                _known_cases[name, seed] = said[name][1][0]
        return {name: _known_cases[name, seed] for name in exercises}


def _with_tries(
    sandbox: Sandbox, job: bytes, files: dict[str, bytes], limits: Limits, core: int | None
) -> Ran:
    """Run a job, and run it again if it was lost by nobody's doing. If the machine had no memory
    left, it may have been a neighbour's: run it again with no neighbours."""
    for _ in range(_TRIES):
        with _neighbours.welcome():
            ran = sandbox.run(job, files, limits, core)
        if ran.ended == NO_MEMORY_LEFT:
            with _neighbours.kept_out():
                ran = sandbox.run(job, files, limits, core)
        if not ran.ended.startswith(LOST):
            break
    return ran


class _Neighbours:
    """Jobs run side by side, or one of them alone."""

    def __init__(self):
        self._changed, self._inside, self._waiting = threading.Condition(), 0, 0

    @contextmanager
    def welcome(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._inside)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._waiting -= 1
                self._changed.notify_all()


_neighbours = _Neighbours()
_busy: Counter = Counter()


@contextmanager
def _a_processor() -> Iterator[int | None]:
    """The one that fewest notebooks run on."""
    if not hasattr(os, "sched_getaffinity"):
        yield None
        return
    with _lock:
        core = min(os.sched_getaffinity(0), key=lambda each: (_busy[each], each))
        _busy[core] += 1
    try:
        yield core
    finally:
        with _lock:
            _busy[core] -= 1
