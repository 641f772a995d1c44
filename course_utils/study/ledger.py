"""The story's ledger: what each network of the course costs, beside the device's budget.

Every lesson enters a row. All rows are measured here, in one way: accuracy on the validation
images, bytes of the saved file, multiply-accumulates and time for one image.
"""

from torch import nn

from course_utils import data, measure, models
from course_utils.study import log
from course_utils.study.panels import Panel, table
from course_utils.training import accuracy

# What the device of the story has room for. Time is a share of the trained network's own, because
# your computer stands in for the device.
BUDGET = {"accuracy_lost": 0.01, "bytes": 80_000, "macs": 600_000, "time": 0.75}
DENSE = ("00", "the trained network")  # the row that all others are compared with


def enter(lesson: str, what: str, model: nn.Module) -> Panel:
    """Measure a network, write its row, and show the ledger. The same row again replaces it."""
    if (lesson, what) != DENSE and not log.read("ledger", " ".join(DENSE)):
        enter(*DENSE, models.load("cnn"))
    log.append("ledger", f"{lesson} {what}", **measured(model))
    return ledger()


def measured(model: nn.Module) -> dict:
    """What a row says: the figures of a network, and the trained one's own accuracy."""
    dense, digits = models.load("cnn"), data.digits()
    example = digits.x_val[:1]
    faster, _ = measure.speedup(dense, model, example)
    milliseconds, _ = measure.latency(model, example)
    return {
        "accuracy": accuracy(model, digits.x_val, digits.y_val),
        "bytes": measure.bytes_on_disk(model),
        "macs": measure.macs(model, example),
        "milliseconds": milliseconds,
        "time": 1 / faster,
        "dense_accuracy": accuracy(dense, digits.x_val, digits.y_val),
    }


def ledger() -> Panel:
    """All rows so far, in the order of the lessons; what is within the budget has a tick."""
    latest = {event.name: event.data for event in log.read("ledger")}
    rows = [
        [
            name,
            _ticked(f"{row['accuracy']:.1%}", row["accuracy"] >= _least(row)),
            _ticked(f"{row['bytes'] / 1000:.0f} kB", row["bytes"] <= BUDGET["bytes"]),
            _ticked(f"{row['macs'] / 1000:,.0f} k", row["macs"] <= BUDGET["macs"]),
            f"{row['milliseconds']:.2f} ms",
            _ticked(f"{row['time']:.2f}", row["time"] <= BUDGET["time"]),
        ]
        for name, row in sorted(latest.items(), key=lambda item: item[0][:2])
    ]
    budget = [
        "the device's budget",
        "1 point lost",
        f"{BUDGET['bytes'] / 1000:.0f} kB",
        f"{BUDGET['macs'] / 1000:.0f} k",
        "",
        f"{BUDGET['time']:.2f}",
    ]
    headings = ["lesson and network", "accuracy", "file", "MACs", "one image", "time / dense"]
    return table(headings, [*rows, budget], "The ledger (✓: within the budget)")


def _least(row: dict) -> float:
    return row["dense_accuracy"] - BUDGET["accuracy_lost"] - 1e-9


def _ticked(text: str, within: bool) -> str:
    text = text.replace("%", " %")
    return f"{text} ✓" if within else text
