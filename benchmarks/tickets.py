"""The ticket experiment: all seeds trained together against a loop over the seeds.

    python benchmarks/tickets.py            print the table
    python benchmarks/tickets.py --record   and keep it in benchmarks/tickets.md

LeNet-300-100 on the digits, K = 10 seeds: two rounds of eight epochs, tickets and both controls.
CPU seconds of one thread; all ways take turns, and a ratio is the median over the turns.
"""

import argparse
import datetime
import platform
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils import data, models, training
from course_utils.measure import prunable_weights, threads
from course_utils.pruning import tickets

SEEDS, ROUNDS, EPOCHS, TURNS = range(10), 2, 8, 9
LR, BATCH, KEEP = 2e-3, 64, 0.4


class Wrapped(nn.Module):
    """The same LeNet, but not a plain Sequential: so it goes through torch.func.vmap."""

    def __init__(self):
        super().__init__()
        self.layers = models.lenet()

    def forward(self, x):
        return self.layers(x)


def loop(images, train):
    """The same experiment the ordinary way: network by network, a module and an optimizer each."""
    rows = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        network, *fresh = (models.lenet() for _ in range(ROUNDS + 1))
        start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        generator = torch.Generator().manual_seed(seed)
        masks = {name: torch.ones_like(w) for name, w in prunable_weights(network).items()}
        rows.append(train(network, masks, images, seed))
        for other in fresh:
            masks = tickets.next_ticket(network, masks, 1 - KEEP)
            shuffled = tickets.shuffled_masks(masks, generator)
            rows.append(train(other, masks, images, seed))
            for mask in (shuffled, masks):
                network.load_state_dict(start)
                rows.append(train(network, mask, images, seed))
    return rows


def train_alone(adam, network, masks, images, seed):
    weights = list(prunable_weights(network).values())
    masks = [mask.float() for mask in masks.values()]
    optimizer = adam(network.parameters(), lr=LR)
    order = torch.Generator().manual_seed(seed)
    curve = []
    with torch.no_grad():
        torch._foreach_mul_(weights, masks)
    for _ in range(EPOCHS):
        network.train()
        for some in torch.randperm(len(images.x_train), generator=order).split(BATCH):
            optimizer.zero_grad()
            cross_entropy(network(images.x_train[some]), images.y_train[some]).backward()
            optimizer.step()
            with torch.no_grad():
                torch._foreach_mul_(weights, masks)
        network.eval()
        with torch.no_grad():
            right = network(images.x_val).argmax(1) == images.y_val
        curve.append(float(right.double().mean()))
    return curve


def train_with_the_course(network, masks, images, seed):
    """The course's own `training.train`, which also keeps a schedule and the losses."""
    weights = prunable_weights(network)

    @torch.no_grad()
    def hold(network):
        torch._foreach_mul_(list(weights.values()), held)

    held = [masks[name].float() for name in weights]
    hold(network)
    return training.train(
        network, images, EPOCHS, LR, seed, schedule=training.constant, after_step=hold, quiet=True
    )["accuracy"]


def together(images, make):
    some = (images.x_train, images.y_train, images.x_val, images.y_val)
    rows = tickets.experiment(make, *some, SEEDS, KEEP, ROUNDS, EPOCHS, LR, BATCH)
    return [row["curve"] for row in rows]


def measured():
    """CPU seconds of each way in each turn, and the mean accuracy it reached."""
    images = data.digits()
    plain, fused = torch.optim.Adam, partial(torch.optim.Adam, fused=True)
    ways = {
        "loop over seeds": lambda: loop(images, partial(train_alone, plain)),
        "loop over seeds, fused Adam": lambda: loop(images, partial(train_alone, fused)),
        "loop over seeds, `training.train`": lambda: loop(images, train_with_the_course),
        "together, `torch.func.vmap`": lambda: together(images, Wrapped),
        "together, batches of matrices": lambda: together(images, models.lenet),
    }
    times = {name: [] for name in ways}
    means = {}
    with threads(1):
        for turn in range(TURNS + 1):  # the first is warm-up
            for name, way in ways.items():
                begin = time.process_time()
                curves = way()
                if turn:
                    times[name].append(time.process_time() - begin)
                means[name] = statistics.fmean(curve[-1] for curve in curves)
    return times, means


def table(times, means):
    base, base_fused = list(times.values())[:2]
    lines = [
        "| way | CPU s | times faster than the loop (least, most) "
        "| than the loop with fused Adam | mean accuracy of all networks |",
        "|---|---|---|---|---|",
    ]
    for name, its in times.items():
        ratios = [a / b for a, b in zip(base, its, strict=True)]
        fused = statistics.median(a / b for a, b in zip(base_fused, its, strict=True))
        lines.append(
            f"| {name} | {statistics.median(its):.2f} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}, {max(ratios):.2f}) | {fused:.2f} | {100 * means[name]:.2f} % |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="keep the table beside this script")
    record = parser.parse_args().record
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    text = (
        "# Ticket experiment, all seeds together against a loop over seeds\n\n"
        f"Made by `benchmarks/tickets.py --record` on {datetime.date.today()}: {versions}, "
        f"{platform.machine()}, one thread.\n"
        f"LeNet-300-100 on digits, K = {len(SEEDS)}, {ROUNDS} rounds, {EPOCHS} epochs, tickets and "
        f"both controls; medians of {TURNS} turns.\n\n{table(*measured())}\n"
    )
    print(text)
    if record:
        Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
