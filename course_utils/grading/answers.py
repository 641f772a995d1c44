"""Runs a student's cells and answers, and says what they showed and returned: nothing is judged.

This is the program of the sandbox that student code shares with nothing else. It sees a copy of
the course (`package`) that holds no solution, and gets the inputs of the cases only. Whatever a
cell does, the next one runs, and all that leaves is bytes that somebody else reads.

Cells run in IPython's own shell, as in a kernel, without the sockets of one.
"""

import base64
import builtins
import io
import os
import signal
import sys
import tempfile
from contextlib import contextmanager, suppress
from importlib import import_module

import matplotlib_inline.backend_inline  # noqa: F401 (slow to import: before the fork)
from IPython.core import page
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell
from matplotlib._pylab_helpers import Gcf
from traitlets.config import Config

from course_utils.data import _raw_digits
from course_utils.exercises import every, find
from course_utils.exercises.delegation import GUARDED, Delegated, functions_of
from course_utils.exercises.engine import observe_all
from course_utils.exercises.plain import decode_cases, encode
from course_utils.grading.frames import pack, unpack

TEXT = 2**20  # characters that one cell may print, and as many again of errors
PICTURES = 8 * 2**20  # characters of everything that one cell displays
CELLS = 16 * 2**20  # bytes that all cells together may show
CUT = "The rest of what this cell shows was cut."


def prepare(_what: bytes) -> None:
    """Once, before a process is forked for each notebook: what the cells of a lesson import, what
    torch imports when an optimizer is made, and the images."""
    every()
    functions_of(GUARDED)
    for name in ("course_utils.study.lessons", "torch._dynamo", "torchvision", "matplotlib.pyplot"):
        import_module(name)
    _raw_digits()


def run(job: bytes, say) -> None:
    """Each step, a cell or a check, says one part. For a check its blob is what was observed."""
    header, blobs = unpack(job)
    steps, blobs = header["steps"], iter(blobs)
    shell, me, room = _shell(), os.getpid(), CELLS
    for number, step in enumerate(steps):
        say.step(number)
        if "cell" in step:
            seen = {"step": number, **_run_cell(shell, step["cell"])}
            part = pack(seen)
            if len(part) > room:
                part = pack({**seen, "outputs": [_cut()]})
            room -= len(part)
        else:
            seen, observed = _run_check(shell, step["check"], step["answer"], next(blobs))
            part = pack({"step": number, **seen}, [observed])
        if os.getpid() != me:
            os._exit(0)  # a cell has forked, and this is its child
        say(part)


# --- Cells ----------------------------------------------------------------------------------------


def _run_cell(shell: "Shell", source: str) -> dict:
    """What a cell shows, whether it failed, and whether it was interrupted."""
    shell.begin()
    interrupted = []
    try:
        with _interruptible(interrupted):
            failed = not shell.run_cell(source, store_history=True).success
    except BaseException as error:  # IPython itself stumbled, or was made to
        shell.shown.fail(error)
        failed = True
    return {
        "outputs": shell.shown.outputs(),
        "failed": failed,
        "interrupted": bool(interrupted),
    }


@contextmanager
def _interruptible(came: list):
    """Let an interrupt stop a student's code, and nothing else; `came` tells of it."""

    def interrupt(*_):
        came.append(True)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class Shown:
    """The outputs of one cell, as a notebook keeps them, as far as there is room for them."""

    def __init__(self):
        self._outputs: list[dict] = []
        self._displays: dict[str, list[dict]] = {}  # by display id
        self._room = {"text": TEXT, "pictures": PICTURES, "errors": TEXT}
        self._clears_next = False

    def outputs(self) -> list[dict]:
        done = []
        for output in self._outputs:
            if output["output_type"] == "stream":
                output = {**output, "text": output["text"].getvalue()}
            done.append(output)
        if min(self._room.values()) < 0:
            done.append(_cut())
        return done

    def write(self, name: str, text: str) -> None:
        room = self._room["text"]
        if room < 0:
            return
        self._clear_if_due()
        last = self._outputs[-1] if self._outputs else {}
        if last.get("output_type") != "stream" or last["name"] != name:
            self._outputs.append({"output_type": "stream", "name": name, "text": io.StringIO()})
            room -= _EACH
        self._outputs[-1]["text"].write(_sound(text[: max(room, 0)]))
        self._room["text"] = room - len(text)

    def display(self, kind: str, data: dict, metadata: dict, display_id=None, **more) -> None:
        output = {"output_type": kind, "data": _jsonable(data), "metadata": _jsonable(metadata)}
        if self._takes("pictures", output):
            self._clear_if_due()
            self._outputs.append(output | more)
            if display_id is not None:
                self._displays.setdefault(display_id, []).append(self._outputs[-1])

    def update(self, display_id: str, data: dict, metadata: dict) -> None:
        """Of this cell's displays; those of earlier cells have been said already."""
        new = {"data": _jsonable(data), "metadata": _jsonable(metadata)}
        if self._takes("pictures", new):
            for output in self._displays.get(display_id, []):
                output |= new

    def clear(self, wait: bool) -> None:
        self._clears_next = wait
        if not wait:
            self._outputs.clear()
            self._displays.clear()

    def fail(self, error: BaseException, traceback: list[str] = ()) -> None:
        name = type(error).__name__
        try:
            said = str(error)
        except BaseException:  # this, too, is a student's code
            said = ""
        name, said = _sound(name)[:1000], _sound(said)[:10_000]
        lines = [_sound(line)[:10_000] for line in traceback] or [f"{name}: {said}"]
        output = {"output_type": "error", "ename": name, "evalue": said, "traceback": lines}
        if self._takes("errors", output):
            self._clear_if_due()
            self._outputs.append(output)

    def _takes(self, what: str, output: dict) -> bool:
        """Whether there is room; once something did not fit, nothing does."""
        if self._room[what] >= 0:
            self._room[what] -= _length(output) + _EACH
        return self._room[what] >= 0

    def _clear_if_due(self) -> None:
        if self._clears_next:
            self.clear(wait=False)


def _cut() -> dict:
    return {"output_type": "stream", "name": "stdout", "text": f"\n{CUT}\n"}


_EACH = 1000  # what an output takes besides its text, so that there cannot be very many


def _length(value) -> int:
    """How long it will be, roughly."""
    if isinstance(value, dict):
        return sum(_length(key) + _length(item) for key, item in value.items())
    if isinstance(value, list):
        return sum(map(_length, value)) + 1
    return len(value) if isinstance(value, str) else 8


def _jsonable(value, depth: int = 20):
    """What JSON can hold; anything else becomes its text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if depth and isinstance(value, dict):
        return {_sound(str(key)): _jsonable(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple):
        return [_jsonable(item, depth - 1) for item in value]
    return _sound(value if isinstance(value, str) else repr(value))


def _sound(text: str) -> str:
    """Without what no file can hold: half a character."""
    return str(text).encode("utf-8", "replace").decode()


# --- The shell ------------------------------------------------------------------------------------


def _shell() -> "Shell":
    """Ready for the first cell, in the current folder and a home that may be written to."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path.insert(0, "")  # as in a kernel: files beside the notebook can be imported
    os.environ |= {
        "NBGRADER_EXECUTION": "autograde",
        "PRUNING_COURSE_AUTOMATED": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    settings = Config({"HistoryManager": {"enabled": False}})
    shell = Shell.instance(config=settings, ipython_dir=tempfile.mkdtemp(), colors="nocolor")
    shell.enable_matplotlib("inline")
    shell.set_hook("show_in_pager", page.as_hook(page.display_page), 99)
    sys.stdout, sys.stderr = _Stream(shell, "stdout"), _Stream(shell, "stderr")
    builtins.input = _nobody_answers
    return shell


class _Stream(io.TextIOBase):
    """What a cell prints becomes an output of the cell that runs."""

    encoding, errors = "utf-8", "strict"

    def __init__(self, shell: "Shell", name: str):
        self._shell, self.name = shell, f"<{name}>"

    def writable(self):
        return True

    def write(self, text):
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._shell.shown.write(self.name[1:-1], text)
        return len(text)


class _Results(DisplayHook):
    def write_output_prompt(self):
        pass

    def write_format_data(self, format_dict, md_dict=None):
        self.shell.shown.display(
            "execute_result", format_dict, md_dict or {}, execution_count=self.prompt_count
        )

    def finish_displayhook(self):
        self._is_active = False


class _Displays(DisplayPublisher):
    def publish(self, data, metadata=None, *, transient=None, update=False, **others):
        self._validate_data(data, metadata)
        which = (transient or {}).get("display_id")
        if update:
            self.shell.shown.update(which, data, metadata or {})
        else:
            self.shell.shown.display("display_data", data, metadata or {}, which)

    def clear_output(self, wait=False):
        self.shell.shown.clear(wait)


class Shell(InteractiveShell):
    """IPython's shell, showing things to `Shown`."""

    displayhook_class = _Results
    display_pub_class = _Displays

    def __init__(self, *args, **kwargs):
        self.begin()
        super().__init__(*args, **kwargs)

    def begin(self) -> None:
        self.shown = Shown()

    def enable_gui(self, gui=None):
        pass

    def ask_exit(self):
        raise SystemExit("a notebook that is graded goes on")

    async def run_code(self, code_obj, result=None, *, async_=False):
        """A statement that needs what is not there while grading is left out, and no more: what
        the cell defines after it counts."""
        failed = await super().run_code(code_obj, result, async_=async_)
        if result is not None and isinstance(result.error_in_exec, Delegated):
            self.shown.write("stdout", f"Left out while grading: {result.error_in_exec}.\n")
            result.error_in_exec, failed = None, False
        return failed

    def showtraceback(self, *args, **kwargs):
        if not isinstance(sys.exc_info()[1], Delegated):
            super().showtraceback(*args, **kwargs)

    def _showtraceback(self, etype, evalue, stb):
        self.shown.fail(evalue, stb)


def _nobody_answers(*prompt):
    raise StdinNotImplementedError("input() was called, and nobody is there to answer.")


# --- Checks ---------------------------------------------------------------------------------------


def _run_check(shell: Shell, exercise: str, answer: str, cases: bytes) -> tuple[dict, bytes]:
    """What was observed of an answer, or why there is nothing. What it shows is not kept."""
    shell.begin()
    try:
        with _interruptible([]):
            try:
                given = eval(answer, shell.user_ns)
            except Exception as error:
                return {"missing": f"{type(error).__name__}: {error}"[:300]}, b""
            observed = observe_all(find(exercise), decode_cases(cases), given)
            return {}, encode(_as_dict(observed))
    except KeyboardInterrupt:
        return {"stopped": "interrupted"}, b""
    except BaseException:
        return {"stopped": "ended"}, b""
    finally:
        with suppress(BaseException):
            Gcf.destroy_all()  # figures that it left open are none of the next cell's


def _as_dict(observed) -> dict:
    outcomes = {
        group: [outcome._asdict() for outcome in each] for group, each in observed.outcomes.items()
    }
    return {**observed._asdict(), "outcomes": outcomes}
