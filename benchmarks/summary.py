"""All ratios that the benchmarks have recorded, in one table. Measures nothing.

    python benchmarks/summary.py        what `make bench` prints

Each figure is read from the record beside its script (benchmarks/NAME.md) every time. Here stands
only where it is found there, and what was wanted. Of several rows, one for each network say, the
lowest and the highest are shown; the record has them all.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent


class Ratio(NamedTuple):
    record: str  # the name of the benchmark
    what: str
    against: str
    column: str  # of the record's tables
    rows: str = ".*"  # those with a cell that this fits from end to end
    table: str = ".*"  # those whose first title this fits
    wanted: str = ""  # "at least 30", or "at least" where the record says the figure itself
    over: float = 1  # what a recorded figure that is no ratio is divided by


RATIOS = [
    Ratio("grading", "`course class grade`, speed", "`nbgrader autograde`", "", ".*as handed in"),
    Ratio("grading", "- only cells that grading needs, speed", "`nbgrader autograde`", "",
          ".*only with the cells .*", wanted="at least"),
    Ratio("grading", "- time", "cells' time / cores", "", "the limit", wanted="at most"),
    Ratio("grading", "- time", "the same, and what must start", "", "the command, .*"),
    Ratio("grading", "- time from the first notebook on", "cells' time / cores", "",
          ".*first notebook on"),
    Ratio("grading", "- time of each further notebook", "cells' time / cores", "",
          ".*each further submission"),
    Ratio("masks", "`prune_global_`, speed", "`prune.global_unstructured`", "torch / fused",
          wanted="at least 30"),
    Ratio("masks", "- memory", "the weights", "memory, fused", wanted="at most 1"),
    Ratio("masks", "`apply(keep_global(magnitude))`, speed", "`prune.global_unstructured`",
          "torch / composed", wanted="at least 10"),
    Ratio("masks", "- memory", "the weights", "memory, composed"),
    Ratio("masks", "`prune.global_unstructured`, memory", "the weights", "memory, torch"),
    Ratio("masks", "a training step under masks, time", "the dense step", "masked / dense",
          table="training step", wanted="at most 1.05"),
    Ratio("masks", "a forward pass with masks, time", "the dense pass", "masked / dense",
          table="forward pass"),
    Ratio("masks", "- with torch's hooks, time", "the dense pass", "torch's hooks / dense"),
    Ratio("channels", "45 % of the channels removed, speed", "the whole network", "speed-up",
          "to 1"),
    Ratio("channels", "- MACs saved", "the whole network", "MACs /", "to 1"),
    Ratio("channels", "- speed", "its MACs", "speed-up per MACs", "to 1"),
    Ratio("channels", "- rounded to 8, speed", "the whole network", "speed-up", "to 8"),
    Ratio("channels", "- rounded to 8, MACs saved", "the whole network", "MACs /", "to 8"),
    Ratio("channels", "- rounded to 8, speed", "its MACs", "speed-up per MACs", "to 8"),
    Ratio("tickets", "ten seeds, batches of matrices, speed", "a loop over the seeds",
          "times faster .*", ".*batches of matrices", wanted="at least 2"),
    Ratio("tickets", "- speed", "the loop with fused Adam", ".*with fused Adam",
          ".*batches of matrices"),
    Ratio("tickets", "- `torch.func.vmap`, speed", "a loop over the seeds", "times faster .*",
          ".*vmap`"),
    Ratio("tickets", "- `torch.func.vmap`, speed", "the loop with fused Adam",
          ".*with fused Adam", ".*vmap`"),
    Ratio("storage", "bitmask and values, bytes saved", "`torch.save`", "times smaller",
          "bitmask and values"),
    Ratio("storage", "- with zlib", "`torch.save`", "times smaller", "bitmask and values, zlib"),
    Ratio("storage", "- half the zeros negative", "`torch.save`", "times smaller",
          "bitmask and values; zeros .*"),
    Ratio("storage", "- half the zeros negative, zlib", "`torch.save`", "times smaller",
          "bitmask and values, zlib; zeros .*"),
    Ratio("storage", "CSR, int32 indices, bytes saved", "`torch.save`", "times smaller",
          "CSR, int32 .*"),
    Ratio("storage", "CSR, int64 indices, bytes saved", "`torch.save`", "times smaller",
          "CSR, int64 .*"),
    Ratio("lessons", "a lesson, executed", "90 s", "seconds to execute", wanted="at most 1",
          over=90),
    Ratio("capstone", "the capstone's networks, right", "withheld images", "withheld, mean"),
    Ratio("two_four", "2:4 on a GPU, speed", "dense, half precision", "as fast", "2:4, .*"),
    Ratio("two_four", "90 % scattered, CSR, on a GPU, speed", "dense, single precision",
          "as fast", "90 % .*"),
]  # fmt: skip


def main() -> str | None:
    try:
        print(summary(HERE))
    except ValueError as error:
        return str(error)


def summary(folder: Path) -> str:
    rows = [["what", "against", "ratio", "wanted", "", "recorded"]]
    for ratio in RATIOS:
        record = folder / f"{ratio.record}.md"
        if record.is_file():
            rows.append(line(ratio, record.read_text(encoding="utf-8")))
    scripts = sorted(path for path in folder.glob("*.py") if path.stem != "summary")
    asked = [path.name for path in scripts if '"--record"' in path.read_text(encoding="utf-8")]
    without = [path.name for path in scripts if not path.with_suffix(".md").is_file()]
    notes = [
        "Speed: so many times as fast. Time, memory: as much. Saved: so many times smaller.",
        "`.venv/bin/python benchmarks/NAME.py` measures anew and records it; these only where they",
        f"are asked to, with `--record`: {', '.join(asked)}.",
    ]
    if without:
        notes.append(f"Not recorded yet: {', '.join(without)}.")
    return "\n".join([*aligned(rows), "", *notes])


def line(ratio: Ratio, record: str) -> list[str]:
    cells = list(found(ratio, record))
    if not cells:
        place = f"{ratio.record}.md has no {ratio.column!r} in a row like {ratio.rows!r} any more"
        raise ValueError(f"{place}: say in benchmarks/summary.py where it is now.")
    figures = sorted(map(figure, cells), key=float)
    if ratio.over != 1:
        figures = [f"{float(each) / ratio.over:.2f}" for each in figures]
    ends = list(dict.fromkeys([figures[0], figures[-1]]))
    wanted = ratio.wanted
    if wanted in ("at least", "at most"):
        wanted += " " + re.search(r"wanted: ([\d.]+)", cells[0]).group(1)
    verdict = reached(wanted, float(figures[0]), float(figures[-1]))
    date = re.search(r"\d{4}-\d\d-\d\d|$", record).group()
    named = f"{ratio.record}.md, {date}"
    return [ratio.what, ratio.against, " to ".join(ends), wanted, verdict, named]


def figure(cell: str) -> str:
    """The one before an x, or else the first."""
    return (re.search(r"(\d[\d.]*)x", cell) or re.search(r"(\d[\d.]*)", cell)).group(1)


def reached(wanted: str, least: float, most: float) -> str:
    if not wanted:
        return ""
    how, bound = wanted.rsplit(" ", 1)
    return "yes" if (least >= float(bound) if how == "at least" else most <= float(bound)) else "no"


def found(ratio: Ratio, record: str):
    """The cells of a record that hold this ratio."""
    for titles, *rows in tables(record):
        places = [place for place, title in enumerate(titles) if re.fullmatch(ratio.column, title)]
        if places and re.fullmatch(ratio.table, titles[0]):
            for row in rows:
                if any(re.fullmatch(ratio.rows, cell) for cell in row):
                    yield row[places[-1]]


def tables(text: str) -> list[list[list[str]]]:
    """Each table of a Markdown text as its rows, titles first, without the rule below them."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", text, re.M)
    parsed = []
    for block in blocks:
        rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()]
        parsed.append([rows[0], *rows[2:]])
    return parsed


def aligned(rows: list[list[str]]) -> list[str]:
    """A Markdown table that can be read as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = ["-" * width for width in widths]
    padded = (
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in (rows[0], rule, *rows[1:])
    )
    return list(padded)


if __name__ == "__main__":
    sys.exit(main())
