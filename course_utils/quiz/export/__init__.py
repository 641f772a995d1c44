"""The questions for other programs: Anki, Moodle, Canvas (QTI) and nbgrader.

`write` is the whole face. A file is either complete or not there, the same bank gives the same
bytes, and what a format cannot carry is said, not dropped in silence. What is used only in graded
quizzes goes into no format but nbgrader's, which holds no keys: the others carry the answers.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from course_utils.quiz import bank, rules
from course_utils.quiz.bank import Item
from course_utils.quiz.translation import language, speaking, translated

SUFFIXES = {"anki": ".apkg", "moodle": ".xml", "qti": ".zip", "nbgrader": ".ipynb"}
PUBLIC = {"pretest", "section", "exit", "review"}


def write(
    format: str, file: Path, folder: Path | None = None, spoken: str | None = None
) -> list[str]:
    """Write the questions of the course, or of the bank in another folder, for one program, in the
    learner's language or another one. Returns what to say about it, line by line."""
    with speaking(spoken or language()):
        return _write(format, file, folder or bank.BANK)


def _write(format: str, file: Path, folder: Path) -> list[str]:
    if file.suffix != SUFFIXES[format]:
        raise ValueError(f"a file for {format} must end in {SUFFIXES[format]}, unlike {file.name}.")
    if not file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {file.parent} to write {file.name} into.")
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder.")
    english = _all(folder)
    items = [translated(item) for item in english]

    if format == "nbgrader":
        from course_utils.quiz.export import nbgrader

        content, lines = nbgrader.assignment(items, file)
        _replace(file, content)
        return [*lines, *_words_to_admit(english, items)]
    if format == "anki":
        from course_utils.quiz.export import anki

        chosen = _used(items, {"review"})
        content, losses = anki.package(chosen, bank.changed(folder)), anki.LOSSES
    elif format == "moodle":
        from course_utils.quiz.export import moodle

        chosen = _used(items, PUBLIC)
        content, losses = moodle.document(chosen), moodle.LOSSES
    else:
        from course_utils.quiz.export import qti

        chosen = _used(items, PUBLIC)
        content, losses = qti.package(chosen), qti.LOSSES

    lost = [(sum(map(concerns, chosen)), says) for concerns, says in losses]
    _replace(file, content)
    return [
        f"{_questions(len(chosen))} in {file}.",
        *_left_out(items, chosen),
        "What the format cannot carry:",
        *(f"  {says} ({_questions(count)})" for count, says in lost if count),
    ]


def _all(folder: Path) -> list[Item]:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder} with questions.")
    if folder != bank.BANK and (found := rules.unreadable(rules.Contents(folder))):
        raise ValueError("\n".join(["these questions cannot be used yet:", *map(str, found)]))
    items = list(bank.load(folder).values())
    if not items:
        raise ValueError(
            f"there are no questions in {folder}: files there are called like 01_name.yaml."
        )
    return items


def _used(items: list[Item], uses: set[str]) -> list[Item]:
    chosen = [item for item in items if uses.intersection(item.use)]
    if not chosen:
        raise ValueError(f"none of the questions is for {' or '.join(sorted(uses))}.")
    return chosen


def _words_to_admit(english: list[Item], items: list[Item]) -> Iterator[str]:
    """Who grades looks into the class's bank, which knows no translations."""
    for before, item in zip(english, items, strict=True):
        if "graded" in item.use and item.type == "cloze" and item.answer != before.answer:
            words = "; ".join(" / ".join(admitted) for admitted in item.answer)
            yield f"The class's bank must admit these words in the blanks of {item.id}: {words}."


def _left_out(items: list[Item], chosen: list[Item]) -> list[str]:
    out = [item for item in items if item not in chosen]
    graded = [item for item in out if not PUBLIC.intersection(item.use)]
    lines = []
    if graded:
        lines.append(
            f"Left out, with their keys: {_questions(len(graded))} only for graded quizzes."
        )
    if len(out) > len(graded):
        lines.append(f"Left out: {_questions(len(out) - len(graded))} not meant for review.")
    return lines


def _questions(count: int) -> str:
    return "1 question" if count == 1 else f"{count} questions"


def _replace(file: Path, content: bytes) -> None:
    """Beside the file first, so that a full disk or an interruption leaves the old one whole."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as beside:
            beside.write(content)
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)  # what an ordinary new file gets
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise
