"""The capstone's leaderboard: a learner's networks against one another and a reference front.

It is kept like everything else a learner does, in their own log, and nobody else sees it. Every
network is measured as the ledger measures, on the validation images.
"""

from functools import cache

from IPython.display import display
from matplotlib.figure import Figure
from torch import nn

from course_utils import data, measure, models, plots
from course_utils.study import log
from course_utils.study.ledger import BUDGET, measured
from course_utils.study.panels import Panel, panel, table

# Channels of the reference's networks and their accuracy on the validation images, the mean of
# twelve. `benchmarks/capstone.py` measures them anew.
FRONT = {
    (27, 55, 111, 111): 0.9913,
    (22, 45, 91, 91): 0.9921,
    (15, 31, 63, 63): 0.9905,
    (10, 20, 40, 40): 0.9882,
    (7, 14, 28, 28): 0.9857,
    (4, 9, 18, 18): 0.9703,
}
COSTS = ("MACs", "file", "time")


def submit(name: str, model: nn.Module) -> Figure:
    """Measure a network, put it on the board, and show the board. The same name replaces."""
    if not isinstance(name, str) or not name.strip():
        raise ValueError("give the network a name by which you will recognise it.")
    log.append("leaderboard", name.strip(), **measured(model))
    display(leaderboard())
    return drawing()


def leaderboard() -> Panel:
    """All networks so far: those within most of the budgets first, then by accuracy."""
    entries = _entries()
    if not entries:
        return panel("The leaderboard is empty", ["`submit(name, network)` opens it."])
    shares = {name: _shares(row) for name, row in entries.items()}
    rows = []
    for name, row in entries.items():
        accuracy, *costs = shares[name]
        within = [cost <= limit for cost, limit in zip(costs, budgets(), strict=True)]
        good = accuracy >= row["dense_accuracy"] - BUDGET["accuracy_lost"] - 1e-9
        figures = [_ticked(100 * accuracy, "", good)]
        figures += [_ticked(100 * c, "", ok) for c, ok in zip(costs, within, strict=True)]
        front = [
            cost
            for place, cost in enumerate(COSTS, 1)
            if not any(_beats(other, shares[name], place) for other in shares.values())
        ]
        rank = (-sum([good, *within]), -accuracy)
        rows.append((rank, [name, *figures, ", ".join(front) or "-"]))
    rows = [row for _, row in sorted(rows, key=lambda each: each[0])]
    headings = ["network", "accuracy", *(f"{cost} / dense" for cost in COSTS), "unbeaten in"]
    return table(headings, rows, "The leaderboard (✓: within the device's budget)")


def drawing() -> Figure:
    """The networks of the board against the reference front, one panel a cost."""
    return plots.fronts(
        {name: _shares(row) for name, row in _entries().items()},
        reference(),
        [f"{cost}, share of the dense network's" for cost in COSTS],
        budgets(),
        title="Your networks and the reference front",
    )


def budgets() -> tuple[float, float, float]:
    """What the device has room for, as shares of the dense network's MACs, bytes and time."""
    macs, size = _dense()
    return BUDGET["macs"] / macs, BUDGET["bytes"] / size, BUDGET["time"]


@cache
def reference() -> list[tuple[float, ...]]:
    """The reference front: recorded accuracies; costs measured here and now, as everybody's are.

    What a network costs does not depend on what its weights are, so nothing is trained for this.
    """
    dense, digits = models.load("cnn"), data.digits()
    rows = []
    for widths, accuracy in FRONT.items():
        network = _thin(*widths)
        faster, _ = measure.speedup(dense, network, digits.x_val[:1])
        row = {
            "accuracy": accuracy,
            "macs": measure.macs(network, digits.x_val[:1]),
            "bytes": measure.bytes_on_disk(network),
            "time": 1 / faster,
        }
        rows.append(_shares(row))
    return rows


def _thin(a: int, b: int, c: int, d: int) -> nn.Module:
    """Our CNN with other numbers of channels, untrained."""
    network = models.new("cnn")
    network.conv1, network.bn1 = nn.Conv2d(1, a, 3, padding=1, bias=False), nn.BatchNorm2d(a)
    network.conv2, network.bn2 = nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b)
    network.conv3, network.bn3 = nn.Conv2d(b, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
    network.fc1, network.fc2 = nn.Linear(4 * c, d), nn.Linear(d, 10)
    return network.eval()


@cache
def _dense() -> tuple[int, int]:
    network = models.load("cnn")
    return measure.macs(network, data.digits().x_val[:1]), measure.bytes_on_disk(network)


def _entries() -> dict[str, dict]:
    return {event.name: event.data for event in log.read("leaderboard")}


def _shares(row: dict) -> tuple[float, float, float, float]:
    macs, size = _dense()
    return row["accuracy"], row["macs"] / macs, row["bytes"] / size, row["time"]


def _beats(one: tuple, other: tuple, cost: int) -> bool:
    """Whether it is as good for less, or better for as little."""
    pairs = (one[cost], -one[0]), (other[cost], -other[0])
    return pairs[0] != pairs[1] and all(a <= b for a, b in zip(*pairs, strict=True))


def _ticked(percent: float, unit: str, within: bool) -> str:
    return f"{percent:.1f} %{unit}" + " ✓" * within
