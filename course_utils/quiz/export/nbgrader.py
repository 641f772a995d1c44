"""A graded quiz as the source of an nbgrader assignment: questions, a plain `answers` dictionary
for the student, and the cell that hands it in. No key is in it; `grading.quizzes` judges outside.
"""

import base64
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_utils.quiz.bank import Item
from course_utils.quiz.graded import form, options
from course_utils.quiz.translation import say


def assignment(items: Iterable[Item], file: Path) -> tuple[bytes, list[str]]:
    """The graded items of a bank as a notebook for this file, and what to say about it."""
    items = [item for item in items if "graded" in item.use]
    open_ones = [item.id for item in items if item.type == "recall"]
    if not items:
        raise ValueError("there is no question for graded use in this bank (use: [graded]).")
    if open_ones:
        raise ValueError(f"{open_ones[0]} is an open question, which only a person can grade.")
    text = nbformat.writes(notebook(items, file.stem), version=4) + "\n"
    points = sum(item.points for item in items)
    asked = f"{len(items)} question{'s' * (len(items) != 1)}"
    says = f"{asked} for {points:g} points in {file}, without their answers."
    return text.encode(), [says]


def notebook(items: list[Item], name: str) -> nbformat.NotebookNode:
    points = sum(item.points for item in items)
    asked = {item.id: form(item) for item in items}
    answers = "\n".join(f"    {n}: ...,  # {_how(item)}" for n, item in enumerate(items, 1))
    task = say(
        "Write your answers into the cell below the questions, in place of the three dots, and run "
        "it and the last cell. Questions: {count}. Points: {points}.",
        count=len(items),
        points=f"{points:g}",
    )
    title = f"# {say('Quiz')}\n\n{task}"
    questions = "\n".join(f'    "{id_}": "{form_}",' for id_, form_ in asked.items())
    hand_in = f"from course_utils.study import hand_in\n\nhand_in(answers, {{\n{questions}\n}})"
    cells = [
        new_markdown_cell(title, id="title", metadata=_locked("title")),
        *(_question(n, item) for n, item in enumerate(items, 1)),
        new_code_cell(f"answers = {{\n{answers}\n}}", id="answers"),
        new_code_cell(hand_in, id="quiz", metadata=_locked(f"quiz_{name}", points)),
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def _how(item: Item) -> str:
    how, *_ = form(item).split()
    if item.type == "cloze" and len(item.answer) > 1:
        return say("a list of {count} texts, one for each blank", count=len(item.answer))
    if how == "one":
        return say("a letter in quotes")
    if how == "some":
        return say('letters, such as "a c"')
    return say("a number") if how == "number" else say("text in quotes")


def _question(number: int, item: Item) -> nbformat.NotebookNode:
    points = say("Points: {points}", points=f"{item.points:g}")
    lines = [f"**{say('Question {number}', number=number)}** · {points}", item.prompt]
    picture = {}
    if item.picture:
        lines.append(f"![{item.alt}](attachment:{item.id}.png)")
        encoded = base64.b64encode(item.picture.read_bytes()).decode()
        picture = {"attachments": {f"{item.id}.png": {"image/png": encoded}}}
    # two spaces end a line in Markdown; a list would not show its letters
    lines.append("  \n".join(f"{letter}) {text}" for letter, text in options(item).items()))
    if item.unit:
        lines.append(f"({item.unit})")
    cell = new_markdown_cell("\n\n".join(filter(None, lines)), id=f"question-{number}", **picture)
    cell.metadata = _locked(f"question_{item.id}")
    return cell


def _locked(name: str, points: float | None = None) -> dict:
    """A cell that a student's edits do not change; graded if it has points."""
    graded = {} if points is None else {"points": points}
    return {
        "nbgrader": {
            "grade": points is not None,
            "grade_id": name,
            "locked": True,
            "schema_version": 3,
            "solution": False,
            "task": False,
            **graded,
        }
    }
