"""Reads a lesson's source: which cells it has, what each is, and what its author got wrong.

A source is jupytext's percent format; what stands after `# %%` says what the cell is:

    # %% [markdown]
    # %%                                  plain code, run everywhere
    # %% exercise="name"                  its answer between ### BEGIN SOLUTION and ### END SOLUTION
    # %% check="name"                     calls check("name", ...); graded; points from the exercise
    # %% [markdown] written="id" points=2 a question for a human, its model answer in such a region
    # %% claim="name"                     calls claim("name", ...), which must hold for every seed
    # %% demo                             training, figures, timings: skipped in grading
    # %% final                            the only cells that may open the test images

The word `varies` before any of the last three, or alone, says that the printed output depends on
the processor or the clock. Every mistake is an `AuthoringError`: one sentence with file and line.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jupytext
from IPython.core.inputtransformer2 import TransformerManager

from course_utils import exercises

BEGIN, END = "BEGIN SOLUTION", "END SOLUTION"  # nbgrader looks for these words anywhere in a line
STUB = "raise NotImplementedError()"  # what nbgrader leaves in a region's place

_MARKER = re.compile(r"# %%(?: (.*))?$")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,50}")
_WORDS = ("demo", "final", "varies")
_FINAL = ("final_test", "decisions_are_made")  # they open the test images
_NAMED = ("exercise", "check", "claim", "written")


class AuthoringError(ValueError):
    """A mistake in a lesson, in a sentence that says where it stands."""


@dataclass(frozen=True)
class Cell:
    kind: str  # text, code, exercise, check, written, claim, demo or final
    source: str
    line: int  # of its marker, counted from 1
    name: str | None = None
    points: float | None = None  # of a written question
    varies: bool = False

    @property
    def is_code(self) -> bool:
        return self.kind not in ("text", "written")

    @property
    def id(self) -> str | None:
        """What the notebook and nbgrader call a cell that has a name."""
        return f"{self.kind}_{self.name}" if self.kind in ("check", "claim") else self.name


@dataclass(frozen=True)
class Lesson:
    path: Path
    cells: list[Cell]

    @property
    def number(self) -> str:
        return self.path.stem[:2]

    @property
    def label(self) -> str:
        """How messages call the file: solutions/01_topic.py on every machine."""
        return f"{self.path.parent.name}/{self.path.name}"

    def error(self, line: int, sentence: str) -> AuthoringError:
        return AuthoringError(f"{self.label}:{line}: {sentence}")


def read(path: Path) -> Lesson:
    """The lesson in that file, or an AuthoringError for the first mistake in it."""
    lesson = Lesson(path, [])
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise lesson.error(line, "the file must be saved as UTF-8.") from None
    lesson.cells.extend(_cells(lesson, text))
    _check_names(lesson)
    for cell in lesson.cells:
        _check_regions(lesson, cell)
        if cell.is_code:
            _check_code(lesson, cell)
    _check_exercises(lesson)
    _check_predictions(lesson)
    _check_questions(lesson)
    return lesson


def solution_lines(cell: Cell) -> list[str]:
    """The lines of a cell that students must not see."""
    lines, inside = [], False
    for line in cell.source.splitlines():
        if BEGIN in line or END in line:
            inside = BEGIN in line
        elif inside and line.strip():
            lines.append(line)
    return lines


def as_python(source: str) -> str:
    """A cell's code with IPython's own syntax (%magic, !command) turned into calls."""
    return TransformerManager().transform_cell(source)


def _cells(lesson: Lesson, text: str) -> Iterator[Cell]:
    lines = text.splitlines()
    if not lines or not _MARKER.match(lines[0]):
        raise lesson.error(
            1,
            "the file must start with a cell marker such as `# %% [markdown]`; "
            "text above the first one, a jupytext header included, has no cell to belong to.",
        )
    markers = [n for n, line in enumerate(lines) if _MARKER.match(line)]
    notebook = jupytext.reads(text, fmt="py:percent")
    position = 0
    for cell in notebook.cells:
        if position >= len(markers):
            raise _misplaced(lesson, lines)
        at = markers[position]
        yield _cell(lesson, at + 1, _MARKER.match(lines[at])[1] or "", cell)
        position += 1
        if cell.cell_type == "code":  # markers inside a string belong to the cell
            position += sum(bool(_MARKER.match(line)) for line in cell.source.splitlines())
    if position != len(markers):
        raise _misplaced(lesson, lines)


def _misplaced(lesson: Lesson, lines: list[str]) -> AuthoringError:
    """jupytext sees other cells than we do: some marker is written in another way."""
    odd = re.compile(r"\s*#\s*(%%|<codecell>|In\[)")
    line = next((n for n, s in enumerate(lines, 1) if odd.match(s) and not _MARKER.match(s)), 1)
    return lesson.error(line, "a cell marker is written `# %%` at the beginning of its line.")


def _cell(lesson: Lesson, line: int, marker: str, cell) -> Cell:
    """What the words after `# %%` make of a cell."""
    try:
        tokens = shlex.split(marker)
    except ValueError:
        raise lesson.error(line, f"a quote is not closed in `# %% {marker}`.") from None
    if tokens and tokens[0] in ("[markdown]", "[md]"):
        tokens = tokens[1:]
    if cell.cell_type not in ("code", "markdown"):
        raise lesson.error(line, f"a lesson has code and markdown cells, no {cell.cell_type} ones.")

    words, values = [], {}
    for token in tokens:
        key, equals, value = token.partition("=")
        if key == "lines_to_next_cell":  # jupytext's own, about blank lines
            continue
        if equals and key in (*_NAMED, "points"):
            values[key] = value
        elif not equals and key in _WORDS:
            if values:
                raise lesson.error(
                    line, f"`{key}` must come first: JupyterLab writes `{key} {marker.split()[0]}`."
                )
            words.append(key)
        else:
            raise lesson.error(
                line,
                f"`{token}` is not a marker. There are {', '.join(_WORDS)}, "
                f"{', '.join(f'{name}=' for name in _NAMED)} and points=.",
            )

    varies = "varies" in words
    kinds = [word for word in words if word != "varies"] + [key for key in values if key in _NAMED]
    if len(kinds) > 1:
        raise lesson.error(line, f"a cell cannot be {' and '.join(kinds)} at once.")
    kind = kinds[0] if kinds else "code"
    if cell.cell_type == "markdown":
        if kind not in ("code", "written") or varies:
            raise lesson.error(line, f"`{kind if kinds else 'varies'}` marks code, not markdown.")
        kind = "written" if kinds else "text"
    elif kind == "written":
        raise lesson.error(line, "a written question is a markdown cell: `# %% [markdown] ...`.")
    if varies and kind in ("exercise", "check"):
        raise lesson.error(line, f"the output of a cell with `{kind}` is the same everywhere.")

    name = values.get(kind)
    if name is not None and not _NAME.fullmatch(name):
        raise lesson.error(
            line, f"{kind}={name!r}: a name is letters, digits and _, a letter first."
        )
    return Cell(kind, cell.source, line, name, _points(lesson, line, kind, values), varies)


def _points(lesson: Lesson, line: int, kind: str, values: dict) -> float | None:
    given = values.get("points")
    if kind != "written":
        if given is not None:
            raise lesson.error(
                line, "only a written question has points=; a check takes its exercise's."
            )
        return None
    if given is None:
        raise lesson.error(line, "a written question needs its points, such as points=2.")
    if not re.fullmatch(r"\d+(\.\d+)?", given) or not float(given):
        raise lesson.error(line, f"points={given}: points are a positive number.")
    return float(given) if "." in given else int(given)


def _check_names(lesson: Lesson) -> None:
    seen: dict[str, Cell] = {}
    for cell in lesson.cells:
        if cell.name is None:
            continue
        if cell.id in seen:
            other = seen[cell.id]
            raise lesson.error(
                cell.line,
                f"{cell.kind}={cell.name!r} has the same name as the {other.kind} of line "
                f"{other.line}.",
            )
        seen[cell.id] = cell


def _check_regions(lesson: Lesson, cell: Cell) -> None:
    opened = None
    found = False
    for offset, text in enumerate(cell.source.splitlines(), 1):
        line = cell.line + offset
        if BEGIN in text:
            if cell.kind not in ("exercise", "written"):
                raise lesson.error(line, "only exercises and written questions have solutions.")
            if opened:
                raise lesson.error(line, f"a solution opens inside the one of line {opened}.")
            opened, found = line, True
        elif END in text:
            if not opened:
                raise lesson.error(line, "a solution ends that was never opened.")
            opened = None
    if opened:
        raise lesson.error(opened, "this solution is never closed with `### END SOLUTION`.")
    if cell.kind in ("exercise", "written") and not found:
        raise lesson.error(
            cell.line,
            f"{cell.kind}={cell.name!r} has no solution between ### BEGIN SOLUTION and "
            "### END SOLUTION.",
        )


def _check_code(lesson: Lesson, cell: Cell) -> None:
    try:
        tree = ast.parse(as_python(cell.source))
    except SyntaxError as error:
        line = cell.line + (error.lineno or 0)
        raise lesson.error(line, f"this is not Python: {error.msg}.") from None
    for function in _FINAL if cell.kind != "final" else ():
        for call in _calls(tree, function):
            line = cell.line + call.lineno
            raise lesson.error(line, f"{function}() belongs in a cell marked `final`.")
    if cell.kind in ("check", "claim") and cell.name not in map(_first, _calls(tree, cell.kind)):
        raise lesson.error(cell.line, f'this cell must call {cell.kind}("{cell.name}", ...).')
    if cell.kind == "exercise":
        _check_what_is_left(lesson, cell)


def _check_what_is_left(lesson: Lesson, cell: Cell) -> None:
    """The student's version of an exercise runs: it only fails once its function is called."""
    try:
        tree = ast.parse(as_python(_student_text(cell.source)))
    except SyntaxError as error:
        sentence = f"without its solution this is not Python: {error.msg}."
        raise lesson.error(cell.line, sentence) from None
    if any(isinstance(node, ast.Raise) for node in _outside_functions(tree)):
        raise lesson.error(
            cell.line,
            "the solution must stand inside a function: elsewhere the line left in its place "
            "would stop the student's notebook.",
        )


def _check_exercises(lesson: Lesson) -> None:
    """Each exercise is known, belongs to this lesson, and is checked after it."""
    asked = {cell.name: cell for cell in lesson.cells if cell.kind == "exercise"}
    checked = {cell.name for cell in lesson.cells if cell.kind == "check"}
    for name, cell in asked.items():
        try:
            exercise = exercises.find(name)
        except exercises.UnknownExercise:
            raise lesson.error(
                cell.line, f"no exercise named {name!r} is defined in course_utils.exercises."
            ) from None
        if exercise.lesson != lesson.number:
            raise lesson.error(
                cell.line,
                f"the exercise {name!r} belongs to lesson {exercise.lesson!r}, not "
                f"{lesson.number!r}.",
            )
        if name not in checked:
            raise lesson.error(cell.line, f"the exercise {name!r} has no check.")
    for cell in lesson.cells:
        if cell.kind == "check" and cell.name not in asked:
            raise lesson.error(cell.line, f"check={cell.name!r} has no exercise in this lesson.")
        if cell.kind == "check" and cell.line < asked[cell.name].line:
            raise lesson.error(cell.line, f"check={cell.name!r} stands before its exercise.")


def _check_predictions(lesson: Lesson) -> None:
    """Each guess has a name of its own; cells below wait for it and show what came beside it."""
    lines: dict[str, int] = {}
    answered = {"predicted": set(), "outcome": set()}
    for cell in lesson.cells:
        if not cell.is_code:
            continue
        tree = ast.parse(as_python(cell.source))
        for function, names in answered.items():
            for call, name in _named_by(tree, function):
                if name not in lines:
                    known = ", ".join(map(repr, lines)) or "none"
                    raise lesson.error(
                        cell.line + call.lineno,
                        f"{function}({name!r}): no cell above predicts that. Predicted: {known}.",
                    )
                names.add(name)
        for call, name in _named_by(tree, "predict"):
            line = cell.line + call.lineno
            if place := f"line {lines[name]}" if name in lines else _elsewhere(lesson, name):
                raise lesson.error(
                    line, f"the prediction {name!r} has the same name as one in {place}."
                )
            lines[name] = line
    for name, line in lines.items():
        for function, names in answered.items():
            if name not in names:
                raise lesson.error(line, f"no cell below calls {function}({name!r}).")


def _elsewhere(lesson: Lesson, name: str) -> str:
    """The other lesson with a prediction of that name; a learner's log has room for one."""
    for path in sorted(lesson.path.parent.glob("[0-9][0-9]_*.py")):
        if path != lesson.path and f'predict("{name}"' in path.read_text(encoding="utf-8"):
            return f"lesson {path.stem[:2]}"
    return ""


def _check_questions(lesson: Lesson) -> None:
    """A written question asks something: in its own cell or, as a rule, in the text above it."""
    for above, cell in pairwise([None, *lesson.cells]):
        if cell.kind == "written":
            asked = _student_text(cell.source).replace(STUB, "")
            asked += above.source if above and above.kind == "text" else ""
            if not any(_is_prose(line) for line in asked.splitlines()):
                raise lesson.error(
                    cell.line, f"written={cell.name!r} asks nothing: its question goes right above."
                )


def _is_prose(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _named_by(tree: ast.AST, function: str) -> list[tuple[ast.Call, str]]:
    """Those calls, each with every name written out in it; only `predicted` takes several."""
    found = []
    for call in _calls(tree, function):
        names = call.args if function == "predicted" else call.args[:1]
        found += [(call, name.value) for name in names if isinstance(name, ast.Constant)]
    return found


def _calls(tree: ast.AST, function: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and function in (getattr(node.func, "id", None), getattr(node.func, "attr", None))
    ]


def _first(call: ast.Call):
    """The call's first argument, where it is written out."""
    return call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None


def _student_text(source: str) -> str:
    kept, inside = [], False
    for line in source.splitlines():
        if BEGIN in line:
            inside = True
            kept.append(line[: len(line) - len(line.lstrip())] + STUB)
        elif END in line:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the cell runs, and not only when something in it is called."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _outside_functions(child)
