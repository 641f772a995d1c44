"""`make bench`: every recorded ratio is in the table, and comes from the record."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOUSE / "benchmarks"))
import summary  # noqa: E402

RECORDS = sorted((HOUSE / "benchmarks").glob("*.md"))
RECORDED = [each for each in summary.RATIOS if each.record in {path.stem for path in RECORDS}]


@pytest.fixture
def benchmarks(tmp_path):
    """The benchmarks and their records, to be changed."""
    return Path(shutil.copytree(HOUSE / "benchmarks", tmp_path / "benchmarks"))


def change(record: Path, old: str, new: str) -> None:
    text = record.read_text(encoding="utf-8")
    assert old in text
    record.write_text(text.replace(old, new), encoding="utf-8")


def row(table: str, *words: str) -> str:
    (found,) = [line for line in table.splitlines() if all(word in line for word in words)]
    return found


def test_make_bench_prints_the_table():
    said = subprocess.run(["make", "-n", "bench"], cwd=HOUSE, capture_output=True, text=True)
    assert "benchmarks/summary.py" in said.stdout
    done = subprocess.run(
        [sys.executable, "benchmarks/summary.py"], cwd=HOUSE, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout == summary.summary(HOUSE / "benchmarks") + "\n"


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_every_record_is_in_the_table_with_its_date(record):
    date = re.search(r"\d{4}-\d\d-\d\d", record.read_text(encoding="utf-8")).group()
    assert f"{record.name}, {date}" in summary.summary(HOUSE / "benchmarks")


def test_every_benchmark_has_a_record_or_is_said_to_have_none():
    table = summary.summary(HOUSE / "benchmarks")
    scripts = {path.stem for path in (HOUSE / "benchmarks").glob("*.py")} - {"summary"}
    without = scripts - {path.stem for path in RECORDS}
    assert {ratio.record for ratio in summary.RATIOS} == scripts
    listed = re.search(r"Not recorded yet: (.*)\.$", table)
    assert {f"{name}.py" for name in without} == set(listed.group(1).split(", ") if listed else [])


def test_every_column_of_ratios_that_is_recorded_is_read():
    """A cell such as 2.61x is a ratio, wherever it stands; grading's stand in sentences."""
    read = {cell for ratio in summary.RATIOS for cell in cells_of(ratio)}
    for record in RECORDS:
        for titles, *rows in summary.tables(record.read_text(encoding="utf-8")):
            for place in range(len(titles)):
                cells = [each[place] for each in rows if re.search(r"\dx( |$)", each[place])]
                if titles[place] != "parameters /":  # the MACs beside them say more
                    assert set(cells) <= read, (record.name, titles[place])


def cells_of(ratio) -> list[str]:
    record = HOUSE / "benchmarks" / f"{ratio.record}.md"
    if not record.is_file():
        return []
    return list(summary.found(ratio, record.read_text(encoding="utf-8")))


@pytest.mark.parametrize("ratio", RECORDED, ids=lambda ratio: f"{ratio.record} {ratio.what}")
def test_each_ratio_follows_its_record(ratio, benchmarks):
    record = benchmarks / f"{ratio.record}.md"
    before = record.read_text(encoding="utf-8")
    cell = next(iter(summary.found(ratio, before)))
    changed = cell.replace(summary.figure(cell), "8640", 1)
    after = re.sub(rf"\| {re.escape(cell)} (?=\|)", f"| {changed} ", before)
    record.write_text(after, encoding="utf-8")
    shown = f"{8640 / ratio.over:.2f}" if ratio.over != 1 else "8640"
    assert shown not in summary.line(ratio, before)[2]
    assert summary.line(ratio, after)[2].endswith(shown)
    assert summary.line(ratio, after)[2] in summary.summary(benchmarks)


def test_what_is_wanted_and_missed_is_said(benchmarks):
    assert " yes " in row(summary.summary(benchmarks), "only cells that grading needs")
    change(benchmarks / "grading.md", "11.3x ours", "7.9x ours")
    assert " no " in row(summary.summary(benchmarks), "only cells that grading needs")
    change(benchmarks / "grading.md", "wanted: 8x", "wanted: 7x")
    found = row(summary.summary(benchmarks), "only cells that grading needs")
    assert "at least 7" in found and " yes " in found


def test_the_lowest_and_the_highest_of_several_rows_are_shown(benchmarks):
    text = """# Masks
Made on 2001-02-03.

| network | torch / fused |
|---|---|
| a | 100.0x |
| b | 9.5x |
| c | 20x |
"""
    ratio = summary.Ratio("masks", "ours", "theirs", "torch / fused", wanted="at least 30")
    line = ["ours", "theirs", "9.5 to 100.0", "at least 30", "no", "masks.md, 2001-02-03"]
    assert summary.line(ratio, text) == line


def test_a_record_that_has_changed_its_shape_is_a_sentence(benchmarks, monkeypatch):
    change(benchmarks / "channels.md", "speed-up per MACs", "yield")
    monkeypatch.setattr(summary, "HERE", benchmarks)
    said = summary.main()
    assert said.startswith("channels.md has no 'speed-up per MACs'") and "\n" not in said


def test_a_new_record_appears_by_itself(benchmarks):
    text = "2001-02-03\n\n| zeros | as fast |\n|---|---|\n| 2:4, half | 1.60x |\n"
    text += "| 90 % scattered | 0.30x |\n"
    (benchmarks / "two_four.md").write_text(text, encoding="utf-8")
    table = summary.summary(benchmarks)
    assert "1.60" in row(table, "2:4 on a GPU") and "Not recorded yet" not in table
