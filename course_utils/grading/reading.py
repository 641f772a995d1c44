"""What a file that was handed in holds: cells in one plain shape, whatever wrote it.

Nothing here knows the lesson; `intake` does. Outputs are not read: grading makes its own. A file
that is damaged gives the cells that are whole.
"""

import ast
import json
import re
import warnings
from typing import NamedTuple

from course_utils.grading.parsing import parse

MOST_ITEMS = 20_000_000  # a small file can hold lists that fill the memory
MOST_CELLS = 5_000
MOST_TEXT = 16 * 2**20  # in characters, of all cells
LONGEST_SCRIPT = 2**20
LONGEST_CELL = 8 * 2**20  # pictures pasted into it included


class Cell(NamedTuple):
    type: str  # "code", "markdown" or "raw"
    source: str
    ids: tuple[str, ...]
    marks: dict  # nbgrader's metadata as handed in: to be compared, never believed
    attachments: dict


class Reading(NamedTuple):
    cells: list[Cell]
    says: list[str]  # what was wrong with the file
    damaged: bool = False  # some of it is lost
    kernel: str = ""


def bare(type_: str, source: str) -> Cell:
    return Cell(type_, source, (), {}, {})


class Unreadable(ValueError):
    """Says why, to follow the file's name."""


def read(data: bytes) -> list[Reading]:
    """One reading; of a file with both sides of a merge in it, one of each side."""
    if not data.strip(b"\0 \t\r\n"):
        raise Unreadable("is empty")
    start = data[:200].lstrip().lower()
    for first, what in _NO_NOTEBOOK.items():
        if start.startswith(first):
            raise Unreadable(f"is {what}")
    text = _decoded(data)
    sides = _sides(text)
    readings = [one for one in map(_reading, sides or [text]) if one.cells]
    if not readings:
        raise Unreadable("holds no cell that could be read")
    for one in readings if sides else []:
        one.says.insert(0, "held an unresolved Git merge: the side with more work was graded")
    return [_limited(reading) for reading in readings]


def _limited(reading: Reading) -> Reading:
    short = [cell for cell in reading.cells if _size(cell) <= LONGEST_CELL]
    if len(short) > MOST_CELLS or sum(len(cell.source) for cell in short) > MOST_TEXT:
        raise Unreadable("holds more cells or text than can be graded")
    left = len(reading.cells) - len(short)
    if not left:
        return reading
    cells = f"{left} {'cell' if left == 1 else 'cells'}"
    says = [*reading.says, f"has {cells} with more than {LONGEST_CELL // 2**20} MiB: left out"]
    return reading._replace(cells=short, says=says)


def _size(cell: Cell) -> int:
    pictures = (data for forms in cell.attachments.values() for data in forms.values())
    return len(cell.source) + sum(map(len, pictures))


def _decoded(data: bytes) -> str:
    encoding = json.detect_encoding(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        broken_off = error.start > len(data) - 4
        text = data.decode(encoding if broken_off else "cp1252", errors="replace")
    return text.lstrip("\ufeff")


_NO_NOTEBOOK = {
    b"<!doctype html": "a web page, not the notebook it showed",
    b"<html": "a web page, not the notebook it showed",
    b"{\\rtf": "a text document (RTF)",
    b"%pdf": "a PDF",
    b"\x89png": "a picture",
    b"\x1f\x8b": "compressed (gzip)",
    b"pk\x03\x04": "an archive or an office document",
    b"version https://git-lfs": "a Git LFS pointer, not the notebook itself",
}

_CONFLICT = {"<<<<<<<": (0,), "|||||||": (), "=======": (1,), ">>>>>>>": (0, 1)}


def _sides(text: str) -> list[str]:
    """Of a merge that Git left undecided. No line of JSON starts like its markers."""
    if "<<<<<<< " not in text:
        return []
    sides: tuple[list[str], list[str]] = ([], [])
    goes_to, undecided = (0, 1), False
    for line in text.splitlines(keepends=True):
        if line[:7] in _CONFLICT:
            goes_to, undecided = _CONFLICT[line[:7]], True
        else:
            for side in goes_to:
                sides[side].append(line)
    return ["".join(side) for side in sides] if undecided else []


def _number(digits: str) -> int:
    """Python refuses numbers of thousands of digits, which is no reason to refuse a file."""
    return int(digits) if len(digits) < 20 else 0


_DECODER = json.JSONDecoder(strict=False, parse_int=_number)


def _reading(text: str) -> Reading:
    if sum(map(text.count, "[{,")) > MOST_ITEMS:
        raise Unreadable("holds more than a notebook can: millions of lists")
    start, content = text.find("{"), None
    try:
        content, end = _DECODER.raw_decode(text, max(start, 0))
    except (ValueError, RecursionError):
        return _damaged(text)
    found = content.get("cells") if isinstance(content, dict) else None
    cells = [cell for cell in map(_cell, found if isinstance(found, list) else []) if cell]
    if not cells:
        return Reading(salvaged(text), [], kernel=_kernel(content))
    around = (text[:start] + text[end:]).strip()
    says = ["had text around the notebook: left out"] if around else []
    return Reading(cells, says, kernel=_kernel(content))


def _damaged(text: str) -> Reading:
    cells = salvaged(text)
    whole = f"{len(cells)} whole {'cell' if len(cells) == 1 else 'cells'}"
    return Reading(cells, [f"is damaged: {whole} could be saved"], damaged=True)


_CELL_STARTS = re.compile(
    r'\{\s*"(?:attachments|cell_type|collapsed|execution_count|id|input|language|level|metadata'
    r'|outputs|prompt_number|source)"\s*:'
)


def salvaged(text: str) -> list[Cell]:
    """The whole cells of a text that is no notebook, wherever they stand in it: before and after
    the place where it breaks, or in the worksheets of long ago."""
    cells, at, patience = [], 0, 10 * len(text)
    while patience > 0 and (start := _CELL_STARTS.search(text, at)):
        try:
            raw, at = _DECODER.raw_decode(text, start.start())
            is_cell = "cell_type" in raw and ("source" in raw or "input" in raw)
            cell = _cell(raw) if is_cell else None
        except (ValueError, RecursionError) as error:
            patience -= getattr(error, "pos", len(text)) - start.start()
            cell = None
        if cell:
            cells.append(cell)
        else:
            at = start.start() + 1  # a cell may lie inside
    return cells


def _cell(raw: object) -> Cell | None:
    if not isinstance(raw, dict):
        return None
    source = _text(raw.get("source", raw.get("input")))
    metadata = raw.get("metadata") if isinstance(raw.get("metadata"), dict) else {}
    marks = metadata.get("nbgrader")
    ids = (raw.get("id"), metadata.get("id"))  # Colab keeps the id in the metadata
    kind = raw.get("cell_type")
    if kind == "heading":
        kind, source = "markdown", f"## {source}"
    elif kind not in ("code", "markdown", "raw"):
        kind = "code" if "outputs" in raw or "input" in raw else "markdown"
    return Cell(
        kind,
        source,
        tuple(id_ for id_ in ids if isinstance(id_, str)),
        {k: v for k, v in marks.items() if _scalar(v)} if isinstance(marks, dict) else {},
        {} if kind == "code" else _pictures(raw.get("attachments")),
    )


def _scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _text(value: object) -> str:
    lines = value if isinstance(value, list) else [value]
    text = "".join(line for line in lines if isinstance(line, str))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", errors="replace").decode("utf-8")  # halves of characters


def _pictures(attachments: object) -> dict:
    """What was pasted into an answer."""
    kept = {}
    for name, forms in attachments.items() if isinstance(attachments, dict) else ():
        forms = forms.items() if isinstance(forms, dict) else ()
        pictures = {_text(mime): _text(data) for mime, data in forms if mime.startswith("image/")}
        if pictures:
            kept[_text(name)] = pictures
    return kept


def _kernel(content: object) -> str:
    """The kernel's name, where it is not the usual one."""
    for key in ("metadata", "kernelspec", "name"):
        content = content.get(key) if isinstance(content, dict) else None
    return content if isinstance(content, str) and content != "python3" else ""


_MARKER = re.compile(r"^# (?:%%|In ?\[[ \d]*\]:)(.*)\n?", re.MULTILINE)


def script(data: bytes) -> Reading:
    """The cells of a Python file: by the markers of VS Code, Jupyter and Jupytext; without any,
    as Colab writes it, each statement by itself, and texts for markdown."""
    if len(data) > LONGEST_SCRIPT:
        raise Unreadable("is too large for a Python file")
    text = _text(data.decode("utf-8-sig", errors="replace"))
    first, *parts = _MARKER.split(text)
    if not parts:
        return _limited(Reading(statements(text), []))
    cells = [bare("code", first.strip())]
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        if "[markdown]" in title:
            cells.append(bare("markdown", re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)))
        else:
            cells.append(bare("code", body.strip()))
    return _limited(Reading([cell for cell in cells if cell.source], []))


def statements(text: str) -> list[Cell]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            body = parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [bare("code", text)]
    lines, cells = text.splitlines(), []
    for node in body:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            cells.append(bare("markdown", str(node.value.value)))
        else:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            cells.append(bare("code", "\n".join(lines[first - 1 : node.end_lineno])))
    return cells
