"""Removing channels: how much of the saved arithmetic arrives as saved time?

ResNet-50 and MobileNetV2 lose 45 % of the channels of every group, once to the exact count and
once rounded to multiples of 8. Printed for each: MACs before over after, time before over after,
and the second as a share of the first. One thread; the three networks take turns, so that a busy
spell of the machine slows all of them.

    python benchmarks/channels.py            print the table
    python benchmarks/channels.py --record   and keep it in benchmarks/channels.md
"""

import argparse
import datetime
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from course_utils.measure import interleaved_times, macs, parameters, prunable_weights, threads
from course_utils.pruning.channels import remove, weakest

SPARSITY = 0.45
BATCH, PIXELS = 8, 128
WARMUP, REPEATS = 5, 60
NETWORKS = ("resnet50", "mobilenet_v2")
RECORD = Path(__file__).with_suffix(".md")


def rows(name: str) -> list[tuple]:
    torch.manual_seed(0)
    model = getattr(torchvision.models, name)(weights=None).eval()
    example = torch.randn(BATCH, 3, PIXELS, PIXELS)
    smaller = {f"to {step}": without_the_weakest(model, example, step) for step in (1, 8)}
    whole, *times = interleaved_times([model, *smaller.values()], example, WARMUP, REPEATS)
    found = []
    for (rounding, shrunk), own in zip(smaller.items(), times, strict=True):
        ratios = np.divide(whole, own)
        low, speedup, high = np.percentile(ratios, [25, 50, 75])
        fewer = macs(model, example) / macs(shrunk, example)
        found.append(
            (
                name,
                rounding,
                parameters(model) / parameters(shrunk),
                fewer,
                float(np.median(whole)),
                float(np.median(own)),
                float(speedup),
                float(high - low),
                float(speedup / fewer),
            )
        )
    return found


def without_the_weakest(model: nn.Module, example: Tensor, round_to: int) -> nn.Module:
    scores = {name: weight.detach().abs() for name, weight in prunable_weights(model).items()}
    drop = weakest(model, example[:1], scores, SPARSITY, round_to=round_to)
    return remove(model, example[:1], drop)


def table(measured: list[tuple]) -> str:
    lines = [
        "| network | rounded | parameters / | MACs / | ms before | ms after | speed-up "
        "| quartile range | speed-up per MACs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, rounding, *numbers in measured:
        fewer, macs_fewer, before, after, speedup, spread, share = numbers
        lines.append(
            f"| {name} | {rounding} | {fewer:.2f}x | {macs_fewer:.2f}x | {before:.0f} "
            f"| {after:.0f} | {speedup:.2f}x | {spread:.2f} | {share:.2f} |"
        )
    return "\n".join(lines)


def report(measured: list[tuple]) -> str:
    return (
        "# Removing channels: MACs saved against time saved\n\n"
        f"{100 * SPARSITY:.0f} % of the channels of every group leave, the smallest filters in L1 "
        f"norm first. Random weights, batch {BATCH}, {PIXELS} x {PIXELS} pixels, float32, one "
        f"thread, median of {REPEATS} passes that take turns. Made by `benchmarks/channels.py "
        "--record`.\n\n"
        f"{datetime.date.today()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, torch-pruning {version('torch-pruning')}, "
        f"{platform.system()} {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}.\n\n"
        f"{table(measured)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="keep the table beside this script")
    record = parser.parse_args().record
    with threads(1):
        text = report([row for name in NETWORKS for row in rows(name)])
    print(text)
    if record:
        RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
