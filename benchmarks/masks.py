"""Masks: how much faster than torch's own pruning, in how much memory, and at what cost later?

Three tables. Pruning a whole network by global magnitude: processor time of `prune_global_` and of
`apply(model, keep_global(magnitude(model), s))` against `prune.global_unstructured`, each on a
fresh copy, with the extra memory at the peak (resident memory, in a process of its own, on Linux)
against the size of the weights. A training step with masks held, against the dense step. A forward
pass in eval mode with masks, against the dense one. One thread; what is compared takes turns.

    python benchmarks/masks.py            print the tables
    python benchmarks/masks.py --record   and keep them in benchmarks/masks.md
"""

import argparse
import copy
import datetime
import gc
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from course_utils import models
from course_utils.measure import interleaved_times, prunable_weights, threads
from course_utils.pruning.importance import magnitude
from course_utils.pruning.masks import apply, hold, keep_global, prune_global_

NETWORKS = {"resnet18": 5, "resnet50": 3, "vgg16": 2}  # repeats of each measurement
SPARSITIES = (0.2, 0.5, 0.9)
STEPS = {"LeNet-300-100": 400, "CNN": 60, "ResNet-18": 30}
RECORD = Path(__file__).with_suffix(".md")


def torchs_own(model: nn.Module, sparsity: float) -> None:
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    prune.global_unstructured(
        [(m, "weight") for m in layers], prune.L1Unstructured, amount=sparsity
    )


def composed(model: nn.Module, sparsity: float) -> None:
    apply(model, keep_global(magnitude(model), sparsity))


WAYS = {"torch": torchs_own, "fused": prune_global_, "composed": composed}


# --- Pruning --------------------------------------------------------------------------------------


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return getattr(torchvision.models, name)(weights=None)


def pruning_rows(name: str) -> list[list[str]]:
    model, rows = network(name), []
    for sparsity in SPARSITIES:
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        zeros = set()
        for _ in range(NETWORKS[name]):
            for way, act in WAYS.items():
                subject = copy.deepcopy(model)
                start = time.process_time()
                act(subject, sparsity)
                seconds[way].append(time.process_time() - start)
                weights = prunable_weights(subject).values()
                zeros.add(sum(w.numel() - int(torch.count_nonzero(w)) for w in weights))
                del subject, weights
                gc.collect()
        assert len(zeros) == 1, "the three ways must prune equally many"
        middle = {way: float(np.median(found)) for way, found in seconds.items()}
        memory = {way: extra_memory(name, way, sparsity) for way in WAYS}
        rows.append(
            [
                name,
                f"{100 * sparsity:.0f} %",
                *(f"{1000 * middle[way]:.0f}" for way in WAYS),
                *(f"{middle['torch'] / middle[way]:.1f}x" for way in ("fused", "composed")),
                *(f"{memory[way]:.2f}x" for way in WAYS),
            ]
        )
        print(*rows[-1], file=sys.stderr)
    return rows


def extra_memory(name: str, way: str, sparsity: float) -> float:
    """The peak above what the model itself takes, as a multiple of the prunable weights."""
    command = [sys.executable, __file__, "--peak", name, way, str(sparsity)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(name: str, way: str, sparsity: float) -> None:
    model = network(name)
    WAYS[way](nn.Linear(8, 8), sparsity)  # what is loaded on first use is not the technique's
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = resident("VmRSS")
    WAYS[way](model, sparsity)
    size = sum(w.numel() * w.element_size() for w in prunable_weights(model).values())
    print((resident("VmHWM") - before) / size)


def resident(which: str) -> int:
    """Bytes of memory this process holds (VmRSS), or has held at most (VmHWM). Linux only."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split(f"{which}:")[1].split()[0]) * 1024


# --- Training and evaluating ----------------------------------------------------------------------


def subjects() -> dict[str, tuple[Callable[[], nn.Module], torch.Tensor]]:
    torch.manual_seed(0)
    digits, pictures = torch.randn(64, 1, 8, 8), torch.randn(8, 3, 64, 64)
    return {
        "LeNet-300-100": (models.lenet, digits),
        "CNN": (models.cnn, digits),
        "ResNet-18": (torchvision.models.resnet18, pictures),
    }


def training_rows() -> list[list[str]]:
    rows = []
    for name, (make, x) in subjects().items():
        y = torch.arange(len(x)) % 10
        steps = []
        for masked in (False, True):
            model = make().train()
            optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
            if masked:
                hold(optimizer, model, keep_global(magnitude(model), 0.8))
            steps.append(partial(step, model, optimizer, x, y))
        dense, held = taking_turns(steps, STEPS[name])
        rows.append([name, *in_figures(dense, held)])
    return rows


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x, y) -> None:
    optimizer.zero_grad()
    cross_entropy(model(x), y).backward()
    optimizer.step()


def taking_turns(calls: list[Callable[[], None]], rounds: int) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in calls]
    for number in range(rounds + 3):
        turns = list(enumerate(calls))
        for which, call in turns if number % 2 else reversed(turns):
            start = time.perf_counter()
            call()
            if number >= 3:
                found[which].append(1000 * (time.perf_counter() - start))
    return found


def evaluation_rows() -> list[list[str]]:
    rows = []
    for name, (make, x) in subjects().items():
        dense = make()
        masked, hooked = copy.deepcopy(dense), copy.deepcopy(dense)
        optimizer = torch.optim.SGD(masked.parameters(), lr=1e-3)
        hold(optimizer, masked, keep_global(magnitude(masked), 0.8))
        torchs_own(hooked, 0.8)
        times = interleaved_times([dense, masked, hooked], x, warmup=3, repeats=3 * STEPS[name])
        ratio = np.median(np.divide(times[2], times[0]))
        rows.append([name, *in_figures(times[0], times[1]), f"{ratio:.2f}x"])
    return rows


def in_figures(dense: list[float], other: list[float]) -> list[str]:
    low, middle, high = np.percentile(np.divide(other, dense), [25, 50, 75])
    return [
        f"{np.median(dense):.2f}",
        f"{np.median(other):.2f}",
        f"{middle:.3f}x",
        f"{low:.2f} - {high:.2f}",
    ]


# --- Report ---------------------------------------------------------------------------------------


def table(titles: list[str], rows: list[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report() -> str:
    titles = ["network", "sparsity", *(f"{way}, ms" for way in WAYS)]
    titles += ["torch / fused", "torch / composed", *(f"memory, {way}" for way in WAYS)]
    pruned = table(titles, [row for name in NETWORKS for row in pruning_rows(name)])
    compared = ["dense, ms", "masked, ms", "masked / dense", "quartiles"]
    trained = table(["training step", *compared], training_rows())
    evaluated = table(["forward pass", *compared, "torch's hooks / dense"], evaluation_rows())
    repeats = ", ".join(f"{name} {times}" for name, times in NETWORKS.items())
    return f"""# Masks: time and memory

Made by `benchmarks/masks.py --record` on {datetime.date.today()}: {made_with()}.
Random weights, float32, one thread.

Pruning by global magnitude. Torch is `prune.global_unstructured`, fused is `prune_global_`,
composed is `apply(model, keep_global(magnitude(model), s))`. Processor time, median of several
runs on fresh copies that take turns ({repeats}); memory is the peak above what the
process with the model takes, against the size of the prunable weights.

{pruned}

Masks held at 80 % by `hold`. Median of the ratios of neighbouring runs that take turns.

{trained}

{evaluated}
"""


def made_with() -> str:
    return (
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"torchvision {torchvision.__version__}, {platform.system()} {platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="keep the tables beside this script")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    with threads(1):
        if asked.peak:
            name, way, sparsity = asked.peak
            return print_peak(name, way, float(sparsity))
        text = report()
    print(text)
    if asked.record:
        RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
