"""What a pruned network costs and what it broke, on a page that one can hand to a colleague.

One call measures two networks in one way and side by side. The page says how many images stand
behind each share and how far each time can be trusted, and it ends with what nobody has measured:
a figure that is missing should be seen to be missing.
"""

import math
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from course_utils import measure
from course_utils.pruning import storage

ALWAYS_OPEN = (
    "energy, and memory while it runs",
    "any other device or runtime (an exported network is a network of its own: measure it)",
    "images of another origin than these",
    "new images: if these helped to choose the pruned network, its accuracy here flatters it",
)


@dataclass(frozen=True)
class Report:
    """Sections, each with a heading and a table or a list; its text form is Markdown."""

    title: str
    sections: tuple[tuple[str, list], ...]

    def __str__(self) -> str:
        parts = [f"# {self.title}"]
        for heading, rows in self.sections:
            parts.append(f"## {heading}\n\n{_table(rows) if _is_table(rows) else _list(rows)}")
        return "\n\n".join(parts) + "\n"

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return str(self)


def report(
    dense: nn.Module,
    pruned: nn.Module,
    example: Tensor,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    title: str = "Pruning report",
    repeats: int = 50,
) -> Report:
    """Measure a network and its pruned version, and write down what was and was not measured.

    `example` is a batch as the networks will meet it in use: times are for that batch, on one
    thread, the two taking turns. `images` and `labels` should be ones that neither network was
    trained on. Without them the report is still made, and says first that nobody has looked
    whether the pruned network works.

    >>> page = report(nn.Linear(4, 2), nn.Linear(4, 2), torch.zeros(1, 4), repeats=5)
    >>> "whether it still works" in str(page)
    True
    """
    if (images is None) != (labels is None):
        raise ValueError("accuracy takes images and their labels: give both or neither.")
    if images is not None and (len(images) != len(labels) or len(labels) == 0):
        raise ValueError(f"there are {len(images)} images and {len(labels)} labels.")
    sections = [("Costs", _costs(dense, pruned, example, repeats))]
    sections.append(("Zeros by layer", _zeros(dense, pruned)))
    unmeasured = list(ALWAYS_OPEN)
    if images is None:
        unmeasured.insert(0, "**whether it still works: no images were given**")
    else:
        before, after = _answers(dense, images), _answers(pruned, images)
        sections.insert(0, ("Does it still work?", _accuracy(before, after, labels)))
        sections.insert(1, ("Class by class", _classes(before, after, labels)))
        absent = sorted(set(range(_width(dense, example))) - set(labels.tolist()))
        if absent:
            unmeasured.append(f"classes without images here: {', '.join(map(str, absent))}")
    sections.append(("Not measured", unmeasured))
    return Report(title, tuple(sections))


def interval(right: int, images: int) -> tuple[float, float]:
    """Where an accuracy lies with 95 % confidence, after `right` of so many images: Wilson's.

    Unlike "plus or minus two standard errors" it stays within 0 and 1 and does not shrink to
    nothing when all are right.

    >>> low, high = interval(297, 297)
    >>> round(low, 3), high
    (0.987, 1.0)
    """
    measure.require_count("images", images, at_least=1)
    if not 0 <= right <= images:
        raise ValueError(f"{right} of {images} images cannot be right.")
    z, share = 1.96, right / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    reach = z * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    reach /= 1 + z**2 / images
    return max(0.0, middle - reach), min(1.0, middle + reach)


# --- The sections ---------------------------------------------------------------------------------


def _costs(dense: nn.Module, pruned: nn.Module, example: Tensor, repeats: int) -> list[list[str]]:
    rows = [["", "dense", "pruned", "dense / pruned"]]
    for what, size, unit in (
        ("parameters", measure.parameters, ""),
        ("multiply-accumulates for one example", lambda m: measure.macs(m, example), ""),
        ("file, torch.save", measure.bytes_on_disk, " B"),
        ("file, zeros left out (bitmask, zlib)", _packed_bytes, " B"),
    ):
        before, after = size(dense), size(pruned)
        ratio = f"{before / after:.2f}" if after else "-"
        rows.append([what, f"{before:,}{unit}", f"{after:,}{unit}", ratio])
    slow, fast = measure.interleaved_times([dense, pruned], example, repeats=repeats)
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    cells = [_median(times, ".3g", " ms") for times in (slow, fast)]
    where = f"one thread, {platform.machine()}, PyTorch {torch.__version__}"
    rows.append(
        [f"time for {len(example)} at once (quartiles; {where})", *cells, _median(ratios, ".2f")]
    )
    return rows


def _zeros(dense: nn.Module, pruned: nn.Module) -> list[list[str]]:
    rows = [["layer", "shape, dense", "shape, pruned", "zeros, dense", "zeros, pruned"]]
    layers = {which: measure.prunable_weights(m) for which, m in enumerate((dense, pruned))}
    for name in dict.fromkeys([*layers[0], *layers[1]]):
        both = [layers[which].get(name) for which in (0, 1)]
        shapes = ["gone" if w is None else " x ".join(map(str, w.shape)) for w in both]
        zeros = ["" if w is None else _percent(measure.sparsity(w)) for w in both]
        rows.append([name.removesuffix(".weight"), *shapes, *zeros])
    whole = [_percent(measure.sparsity(model)) for model in (dense, pruned)]
    return [*rows, ["all together", "", "", *whole]]


def _accuracy(before: Tensor, after: Tensor, labels: Tensor) -> list[list[str]]:
    rows = [["", "right", "of", "accuracy", "95 % interval"]]
    for name, answers in (("dense", before), ("pruned", after)):
        right, images = int((answers == labels).sum()), len(labels)
        low, high = interval(right, images)
        between = f"{_percent(low)} to {_percent(high)}"
        rows.append([name, str(right), str(images), _percent(right / images), between])
    was, is_ = before == labels, after == labels
    for what, count in (
        ("right before, wrong now", int((was & ~is_).sum())),
        ("wrong before, right now", int((~was & is_).sum())),
        ("wrong before and now, in another way", int((~was & ~is_ & (before != after)).sum())),
    ):
        rows.append([what, str(count), str(len(labels)), "", ""])
    return rows


def _classes(before: Tensor, after: Tensor, labels: Tensor) -> list[list[str]]:
    """The classes that lost most come first: nobody reads to the end of a table."""
    found = []
    for label in labels.unique().tolist():
        of = labels == label
        right = [int((answers[of] == label).sum()) for answers in (before, after)]
        found.append((right[0] - right[1], label, int(of.sum()), right))
    rows = [["class", "images", "right, dense", "right, pruned", "points lost"]]
    for lost, label, images, right in sorted(found, key=lambda row: -row[0] / row[2]):
        points = f"{100 * lost / images:+.1f}" if lost else "0.0"
        rows.append([str(label), str(images), *map(str, right), points])
    return rows


# --- Helpers --------------------------------------------------------------------------------------


def _packed_bytes(model: nn.Module) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.safetensors"
        storage.save(model, path, compress=True)
        return path.stat().st_size


def _answers(model: nn.Module, images: Tensor) -> Tensor:
    with measure.threads(1), measure.evaluating(model):
        scores = [measure.forward(model, some) for some in images.split(1000)]
    return torch.cat(scores).argmax(1)


def _width(model: nn.Module, example: Tensor) -> int:
    with measure.evaluating(model):
        return measure.forward(model, example).shape[1]


def _median(numbers: list[float], form: str, unit: str = "") -> str:
    low, middle, high = (f"{value:{form}}" for value in np.percentile(numbers, [25, 50, 75]))
    return f"{middle}{unit} ({low} to {high})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _is_table(rows: list) -> bool:
    return isinstance(rows[0], list)


def _table(rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    rule = "|---" + "|---:" * (len(rows[0]) - 1) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _list(items: list[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
