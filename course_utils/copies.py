"""A learner's copies of the lessons: which hold work, and which only wait to be begun.

Beside the copies lies a record of the digests of all that was delivered, by lesson, and of what was
written over a copy that held no work, by file. A copy counts as waiting only if its cells are in
that record, it has the name that the course gave it, and it was never run; whatever is in doubt
counts as work. (To look at it is no work, though JupyterLab then saves it in a way of its own; and
a duplicate is none until it differs from what it was made of.)
"""

import hashlib
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

RECORD = ".versions.json"
_NO_NOTEBOOK = (ValueError, KeyError, AttributeError, TypeError)  # raised by what is none any more


class Copies(NamedTuple):
    """Of one lesson."""

    begun: Path | None  # the one that was saved last, of those with work in them
    waiting: Path | None  # a version later than that one, as it was delivered


def copies(lesson: str, folder: Path) -> list[Path]:
    """What is left of a lesson: its copy, later versions, and what a learner named like one."""
    number, _, topic = lesson.partition("_")
    named = re.compile(rf"{re.escape(number)}(-v\d+)?_{re.escape(topic)}.*")
    found = sorted(folder.glob(f"{number}*.ipynb"))
    return [path for path in found if named.fullmatch(path.stem) and path.is_file()]


def later_name(name: str, version: int) -> str:
    """01_topic becomes 01-v2_topic: of a long name, tabs and narrow lists show how it begins."""
    number, mark, topic = name.partition("_")
    return f"{number}-v{version}{mark}{topic}"


def version_of(copy: Path) -> int:
    """01-v2_topic.ipynb is the second."""
    numbered = re.match(r"[^_]*-v(\d+)_", copy.stem)
    return int(numbered[1]) if numbered else 1


def sorted_out(lesson: str, folder: Path, delivered: list[str]) -> Copies:
    fresh, begun, others = [], [], []
    for copy in copies(lesson, folder):
        if copy.stem not in (lesson, later_name(lesson, version_of(copy))):
            others.append(copy)
        else:
            (fresh if _is_fresh(copy, delivered) else begun).append(copy)
    known = {*map(digest_of, begun)}
    begun += [c for c in others if digest_of(c) not in known and not _is_fresh(c, delivered)]
    latest = max(fresh, key=version_of, default=None)
    if latest and any(version_of(copy) >= version_of(latest) for copy in begun):
        latest = None
    return Copies(max(begun, key=_saved, default=None), latest)


def at_hand(number: str, folder: Path) -> Path | None:
    """The copy of a lesson to go on in: the one with work in it; if there is none, the latest."""
    record = read_record(folder)
    lesson = next((name for name in record if name.startswith(f"{number}_")), f"{number}_")
    there = sorted_out(lesson, folder, record.get(lesson, []))
    return there.begun or there.waiting or next(iter(copies(lesson, folder)), None)


def newer(folder: Path) -> dict[str, Copies]:
    """The lessons, by number, that are begun and of which a later version waits."""
    found = {}
    for lesson, delivered in sorted(read_record(folder).items()):
        there = sorted_out(lesson, folder, delivered)
        if there.begun and there.waiting:
            found[lesson.partition("_")[0]] = there
    return found


def _is_fresh(copy: Path, delivered: list[str]) -> bool:
    content = _content(copy)
    return digest(content) in delivered and not _has_been_run(content)


def _has_been_run(notebook: bytes) -> bool:
    """As one that somebody worked in before it was delivered, in the course's own folder."""
    try:
        return any(cell.get("outputs") for cell in json.loads(notebook)["cells"])
    except _NO_NOTEBOOK:
        return True


def _saved(copy: Path) -> int:
    try:
        return copy.stat().st_mtime_ns
    except OSError:
        return 0


def is_notebook(file: Path) -> bool:
    try:
        return isinstance(json.loads(_content(file))["cells"], list)
    except _NO_NOTEBOOK:
        return False


# --- The record -----------------------------------------------------------------------------------


def digest(content: bytes) -> str:
    """Of a notebook's cells, without what running or opening them leaves behind; of other files,
    of all that is in them."""
    try:
        cells = [
            (
                cell["cell_type"],
                cell.get("id"),
                "".join(cell["source"]),
                cell["metadata"].get("nbgrader"),
            )
            for cell in json.loads(content)["cells"]
        ]
        content = json.dumps(cells, sort_keys=True).encode()
    except _NO_NOTEBOOK:
        pass
    return hashlib.sha256(content).hexdigest()


def digest_of(file: Path) -> str:
    return digest(_content(file))


def _content(file: Path) -> bytes:
    """Nothing, which no course delivers, of what cannot be read."""
    try:
        return file.read_bytes()
    except OSError:
        return b""


def read_record(folder: Path) -> dict[str, list[str]]:
    """The digests delivered so far, by lesson. A record that is lost or damaged counts as empty: at
    worst a version comes once more, beside the copy."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {
            str(lesson): [version for version in versions if isinstance(version, str)]
            for lesson, versions in record.items()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def write_record(folder: Path, delivered: dict[str, list[str]]) -> None:
    if delivered != read_record(folder):
        write(folder / RECORD, (json.dumps(delivered, indent=1) + "\n").encode())


def write(path: Path, content: bytes) -> None:
    """All of it or nothing, whenever the process may be killed."""
    part = path.with_name(f".{path.name.lstrip('.')}.part")
    part.write_bytes(content)
    os.replace(part, path)
