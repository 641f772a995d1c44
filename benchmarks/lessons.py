"""How long each lesson takes from its first cell to its last, and all of them together.

    python benchmarks/lessons.py

Every lesson is executed as `course build` does it, one after the other, claims, checks and figures
included; nothing of the repository is changed. Wanted: no lesson over 90 s, all in 12 minutes.
"""

import datetime
import os
import platform
import time
from pathlib import Path

import torch

from course_utils.authoring.build import ROOT
from course_utils.authoring.execute import execute
from course_utils.authoring.notebooks import instructor
from course_utils.authoring.source import read
from course_utils.exercises import find


def main():
    lines = [
        "| lesson | minutes of its exercises | seconds to execute |",
        "|---|---:|---:|",
    ]
    whole = 0.0
    for path in sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py")):
        lesson = read(path)
        minutes = sum(find(cell.name).minutes for cell in lesson.cells if cell.kind == "exercise")
        started = time.perf_counter()
        execute(lesson, instructor(lesson))
        seconds = time.perf_counter() - started
        whole += seconds
        lines.append(f"| {path.stem} | {minutes} | {seconds:.0f} |")
        print(lines[-1], flush=True)
    text = (
        "# The lessons, executed one after the other\n\n"
        f"{datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{platform.machine()}, {os.cpu_count()} processors.\n\n"
        + "\n".join(lines)
        + f"\n\nAll together: {whole / 60:.1f} minutes.\n"
    )
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
