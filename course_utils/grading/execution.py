"""Runs a notebook that can be graded, lets its checks be judged, and fills in the outputs.

What comes out is a function of what goes in, and is stored under its hash: an interrupted run goes
on where it stopped, the same notebook runs once, and grading again what has not changed is quick.

A student's code meets a process of its own (`answers`), and what its answers returned is judged in
another (`verdicts`). This module carries bytes from one to the other and looks into none.
"""

import atexit
import hashlib
import json
import math
import os
import platform
import re
import tempfile
import threading
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader.utils import is_grade, is_solution

import course_utils
from course_utils.grading import package, plan
from course_utils.grading.frames import VISIBLE, pack, unpack
from course_utils.grading.sandbox import Limits, NotIsolated, Sandbox
from course_utils.quiz.graded import ANSWERS
from course_utils.study.panels import clean, panel

NOT_GRADED = "not graded"  # in an output's metadata, under OURS: why a check has no verdict
OURS = "pruning_course"
DAMAGED = "its answer stood in a part of the file that is damaged"
_IDLE = 600  # seconds after which warm processes that nobody needs are let go
_PICTURES = ("image/png", "image/jpeg")


class Problem(ValueError):
    """Something that the instructor has to mend before anybody can be graded."""


class Settings(NamedTuple):
    """What a class decides about running its students' code."""

    folder: Path  # where seed and results lie, out of everybody's sight
    limits: Limits = Limits()
    isolated: bool = True
    judging: Limits = Limits(step=120, job=600)

    @property
    def seed(self) -> str:
        try:
            seed = (self.folder / "seed").read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise Problem(f"the class's secret seed cannot be read: {error}") from None
        if not seed:
            raise Problem(f"the class's secret seed, {self.folder / 'seed'}, is empty.")
        return seed


def execute(
    notebook: NotebookNode, release: NotebookNode, files: dict[str, Path], settings: Settings
) -> list[str]:
    """Fill in the outputs of all code cells; returns the instructor's lines about it.

    `notebook` has been through the intake, and `files` lie beside it."""
    code = [cell for cell in notebook.cells if _is_code(cell)]
    received = notebook.metadata.get(OURS, {})
    unreadable = received.get("unreadable")
    if unreadable:
        for cell in code:
            judged = [_not_graded(cell, unreadable)] if _is_judged(cell) else []
            cell.outputs = [new_output(**output) for output in judged]
        return []
    beside = {name: path.read_bytes() for name, path in sorted(files.items())}
    stored = settings.folder / "results" / f"{_key(code, release, beside, settings)}.json"
    result = _read(stored)
    if result is None:
        result = _Run(notebook, release, beside, settings).result()
        if not any(_LOST in line for line in result["problems"]):
            _write(stored, result)
    for count, (cell, outputs) in enumerate(zip(code, result["outputs"], strict=True), 1):
        if _is_judged(cell) and cell.metadata.nbgrader.grade_id in received.get("lost", []):
            outputs = [_not_graded(cell, DAMAGED)]
        cell.outputs = [new_output(**output) for output in outputs]
        cell.execution_count = count if outputs else None
    return result["problems"]


class _Run:
    """One notebook on its way through both processes."""

    def __init__(self, notebook, release, files, settings):
        self.cells, self.files, self.settings = notebook.cells, files, settings
        self.chosen = plan.needed(notebook, release)
        self.checks = {n: plan.check_of(self.cells[n]) for n in self.chosen}
        self.checks = {n: check for n, check in self.checks.items() if check}
        self.outputs: dict[int, list] = {}
        self.problems: list[str] = []
        self.until = time.monotonic() + settings.limits.job

    def result(self) -> dict:
        exercises = sorted({check.exercise for check in self.checks.values()})
        answers = _warm("answers", exercises, self.settings)
        secret = _cases(exercises, self.settings.seed, self.settings)
        said, stopped = self._observe(answers, self.chosen, secret)
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
            visible = _cases([self.checks[n].exercise for n in unclear], VISIBLE, self.settings)
            again = [n for n in self.chosen if n in unclear or n not in {*self.checks, *stopped}]
            said, stopped_again = self._observe(answers, again, visible)
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
        outputs = [self.outputs.get(n, []) for n, c in enumerate(self.cells) if _is_code(c)]
        return {"outputs": outputs, "problems": self.problems}

    def _observe(self, answers: Sandbox, indices: list[int], cases: dict[str, bytes]):
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
        left = self.settings.limits._replace(job=max(1.0, self.until - time.monotonic()))
        return _all_steps(answers, indices, steps, blobs, self.files, left)

    def _verdicts(self, observed: dict, visible: dict):
        steps, blobs = [], []
        for n, (header, data) in observed.items():
            step = {"verdict": self.checks[n].exercise, "seed": self.settings.seed}
            step |= {"worth": self._worth(n), "observed": header}
            if n in visible:
                step["visible"] = visible[n][0]
                data = [*data, *visible[n][1]]
            steps.append(step)
            blobs.append(data)
        verdicts = _warm("verdicts", [], self.settings)
        return _all_steps(verdicts, list(observed), steps, blobs, {}, self.settings.judging)

    def _worth(self, n: int) -> float:
        return float(self.cells[n].metadata.nbgrader.points)

    @property
    def _too_slow(self) -> str:
        return f"ran longer than {self.settings.limits.step:g} s"

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
        if not why and _is_judged(self.cells[n]):
            why = self._gone_with(self.cells[n].source, ended)
        if not why:
            self.outputs[n] = _harmless(said[n][0].get("outputs"))
        elif _is_judged(self.cells[n]):  # by nbgrader, which takes silence for success
            self.outputs[n] = [self._without(n, why)]
        else:
            explained = f"This cell was left out: {why}."
            self.outputs[n] = [_plain_error("Stopped", explained)]
            self.problems.append(f"{self._place(n)} was left out: {why}")

    def _without(self, n: int, why: str) -> dict:
        self.problems.append(f"`{_asked(self.cells[n])}` could not be graded: {why}")
        return _not_graded(self.cells[n], why)

    def _place(self, n: int) -> str:
        name = self.cells[n].metadata.get("nbgrader", {}).get("grade_id")
        return f"the cell of `{name}`" if name else f"cell {n + 1}"


def _is_code(cell: NotebookNode) -> bool:
    return cell.cell_type == "code"


def _is_judged(cell: NotebookNode) -> bool:
    """Whether points depend on what this cell puts out."""
    return _is_code(cell) and is_grade(cell) and not is_solution(cell)


def _asked(cell: NotebookNode) -> str:
    check = plan.check_of(cell)
    return check.exercise if check else cell.metadata.nbgrader.grade_id


def _all_steps(
    sandbox: Sandbox,
    names: list,
    steps: list[dict],
    blobs: list[list[bytes]],
    files: dict[str, bytes],
    limits: Limits,
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
        ran = sandbox.run(job, files, left)
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


_LOST = "was lost"  # as `sandbox` calls what was nobody's doing: worth another try


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


def _not_graded(cell: NotebookNode, why: str) -> dict:
    lines = [f"Why: {why}.", "This is not a verdict on your answer: your instructor decides."]
    shown = panel(f"? {_asked(cell)}: could not be graded", lines)
    data = {"text/plain": "0", "text/html": shown.html}
    metadata = {OURS: {NOT_GRADED: clean(why)}}
    return {"output_type": "execute_result", "data": data, "metadata": metadata}


# Warm processes are kept for the next notebook, and let go when nobody needs them.

_lock = threading.RLock()
_sandboxes: dict[str, tuple] = {}
_timer: threading.Timer | None = None


def _warm(kind: str, exercises: list[str], settings: Settings) -> Sandbox:
    """The process of a kind; `exercises` decide what of the course `answers` may see."""
    global _timer
    with _lock:
        if _timer:
            _timer.cancel()
        _timer = threading.Timer(_IDLE, let_go)
        _timer.daemon = True
        _timer.start()
        wanted = (exercises, settings.isolated)
        if kind in _sandboxes and _sandboxes[kind][0] == wanted:
            return _sandboxes[kind][1]
        _close(kind)
        _sandboxes[kind] = (wanted, *_start(kind, exercises, settings.isolated))
        return _sandboxes[kind][1]


def _start(kind: str, exercises: list[str], isolated: bool):
    folder, replaced = None, {}
    seen = Path(course_utils.__file__).parents[1]
    if kind == "answers":
        folder = tempfile.TemporaryDirectory(prefix="course-answers-")
        seen = Path(folder.name)
        replaced = package.write(seen, exercises)
    try:
        program = f"course_utils.grading.{kind}:run"
        return Sandbox(program, seen, replaced, isolated=isolated), folder
    except NotIsolated as error:
        raise Problem(str(error)) from None


def _close(kind: str) -> None:
    _, sandbox, folder = _sandboxes.pop(kind, (None, None, None))
    if sandbox:
        sandbox.close()
    if folder:
        folder.cleanup()


@atexit.register
def let_go() -> None:
    with _lock:
        for kind in list(_sandboxes):
            _close(kind)


_known_cases: dict[tuple, bytes] = {}


def _cases(exercises: list[str], seed: str, settings: Settings) -> dict[str, bytes]:
    """The inputs of each exercise's cases, written down; asked for once."""
    new = [name for name in exercises if (name, seed) not in _known_cases]
    if new:
        steps = [{"cases": name, "seed": seed} for name in new]
        verdicts = _warm("verdicts", [], settings)
        said, stopped = _all_steps(verdicts, new, steps, [[]] * len(new), {}, settings.judging)
        for name in new:
            if name not in said or len(said[name][1]) != 1:
                why = stopped.get(name) or said.get(name, ({}, []))[0].get("problem", "no answer")
                raise Problem(f"the cases of {name} could not be made: {why}")
            _known_cases[name, seed] = said[name][1][0]
    return {name: _known_cases[name, seed] for name in exercises}


# Results are files named after everything that decides about them.


def _key(
    code: list[NotebookNode], release: NotebookNode, files: dict[str, bytes], settings: Settings
) -> str:
    cells = [[c.source, c.metadata.get("tags"), c.metadata.get("nbgrader")] for c in code]
    beside = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    ours = [cell.source for cell in release.cells if _is_code(cell)]  # they decide what runs
    decided = [settings.seed, settings.limits, settings.judging, settings.isolated]
    versions = [_course(), platform.python_version(), version("torch")]
    decides = [cells, ours, beside, decided, versions]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


@cache
def _course() -> str:
    """A hash of the course's own code and data."""
    digest = hashlib.sha256()
    root = Path(course_utils.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in (".py", ".safetensors", ".yaml", ".json"):
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(path: Path, result: dict) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_text(json.dumps(result), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        raise Problem(f"results cannot be kept in {path.parent}: {error.strerror}") from None
