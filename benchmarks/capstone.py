"""The capstone's reference front: how good the reference solution's networks are at each budget.

    python benchmarks/capstone.py            print the table
    python benchmarks/capstone.py --record   and keep it in benchmarks/capstone.md

Twelve trained CNNs, pruned and trained on; accuracy on the validation images and on the withheld
ones (25 sets of them). FRONT in course_utils/exercises/lesson10.py lies a little below the lowest
withheld column, FRONT in course_utils/study/leaderboard.py holds the validation means.
"""

import argparse
import datetime
import platform
from pathlib import Path
from statistics import mean

import torch

from course_utils import data, measure, models
from course_utils.exercises.lesson10 import prune_to_budget, withheld_images
from course_utils.training import accuracy

BUDGETS = (0.75, 0.5, 0.25, 0.1, 0.05, 0.02)
NETWORKS, SETS = range(12), range(25)


def row(budget: float) -> str:
    digits = data.digits()
    batches = list(data.batches(digits.x_train, digits.y_train))
    example, on_validation, on_withheld = digits.x_val[:1], [], []
    for seed in NETWORKS:
        small = prune_to_budget(models.load("cnn", seed), example, batches, budget)
        on_validation.append(accuracy(small, digits.x_val, digits.y_val))
        on_withheld += [accuracy(small, *withheld_images(10_000 + each)) for each in SETS]
    widths = [layer.weight.shape[0] for layer in (small.conv1, small.conv2, small.conv3, small.fc1)]
    return (
        f"| {budget} | {widths} | {measure.macs(small, example):,} | "
        f"{measure.bytes_on_disk(small):,} | {mean(on_validation):.4f} | {mean(on_withheld):.4f} | "
        f"{min(on_withheld):.4f} |"
    )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--record", action="store_true", help="write benchmarks/capstone.md")
    record = asked.parse_args().record
    with measure.threads(1):
        rows = [row(budget) for budget in BUDGETS]
    lines = [
        "# The capstone's reference front",
        "",
        f"{datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"{len(NETWORKS)} networks, {len(SETS)} sets of withheld images.",
        "",
        "| budget | channels | MACs | bytes | validation | withheld, mean | withheld, lowest |",
        "|---|---|---|---|---|---|---|",
        *rows,
    ]
    print("\n".join(lines))
    if record:
        path = Path(__file__).with_suffix(".md")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
