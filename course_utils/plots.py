"""The figures of the course, in one visual language.

Nothing is said by colour alone: series differ by marker, line style or hatch too, and the palette
(Okabe and Ito's) keeps apart for colour-blind readers. Figures stand on opaque white, so that
they read the same in JupyterLab's light and dark themes.

Every function returns its Figure and leaves none open behind: as the last line of a cell it is
shown once, not twice.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from torch import Tensor, nn

from course_utils.measure import prunable_weights

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]
HATCHES = ["", "///", "...", "xxx", "---", "\\\\\\", "++"]
INK = "#222222"
REMOVED = "#000000"  # zeros in a picture of weights; no weight is drawn nearly as dark

_RC = {
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titlepad": 8,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "legend.handlelength": 3.2,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
    "hatch.linewidth": 0.8,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same figure everywhere
    "font.size": 10,
}


def style() -> AbstractContextManager[None]:
    """A context for figures of your own that should look like the course's."""
    return plt.rc_context(_RC)


def weight_histogram(
    weights: nn.Module | Mapping[str, Tensor], title: str | None = None, bins: int = 51
) -> Figure:
    """One histogram a layer, of a model's prunable weights or of tensors by name.

    Exact zeros are not drawn but named in the heading: after pruning they would dwarf the rest.
    """
    layers = prunable_weights(weights) if isinstance(weights, nn.Module) else dict(weights)
    if not layers:
        raise ValueError("there are no weights to draw a histogram of.")
    columns = min(3, len(layers))
    with style():
        fig, grid = _panels(len(layers), columns, width=3.1 if columns > 1 else 4.6, height=2.3)
        for axes, (name, tensor) in zip(grid, layers.items(), strict=True):
            values = _array(tensor).ravel()
            zeros = np.count_nonzero(values == 0) / max(values.size, 1)
            axes.hist(values[np.isfinite(values) & (values != 0)], bins=bins, color=COLOURS[0])
            axes.axvline(0, color=INK, linewidth=0.8, linestyle=":")
            axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.set_title(f"{name}, {100 * zeros:.0f} % zero" if zeros else name)
        for axes in grid[::columns]:
            axes.set_ylabel("weights in a bin")
        for axes in grid[-columns:]:
            axes.set_xlabel("value of the weight")
        return _finished(fig, title)


def digit_grid(
    x: Tensor, labels: Sequence[object] | None = None, columns: int = 10, title: str | None = None
) -> Figure:
    """Images in rows, each with its label above: ink is dark, as on paper."""
    if not 1 <= len(x) <= 100:
        raise ValueError(f"a grid takes 1 to 100 images, not {len(x)}: choose some, like x[:20].")
    if labels is not None and len(labels) != len(x):
        raise ValueError(f"there are {len(x)} images but {len(labels)} labels.")
    with style():
        fig, grid = _panels(len(x), min(columns, len(x)), width=0.85, height=1.0)
        pictures = _array(x)
        low, high = pictures.min(), pictures.max()
        for i, axes in enumerate(grid):
            picture = pictures[i].transpose(1, 2, 0)
            if picture.shape[2] == 1:
                axes.imshow(picture[:, :, 0], cmap="gray_r", vmin=low, vmax=high)
            else:
                axes.imshow((picture - low) / max(high - low, 1e-9))
            _bare(axes)
            if labels is not None:
                label = labels[i].item() if isinstance(labels[i], Tensor) else labels[i]
                axes.set_title(str(label), loc="center", fontsize=10, pad=3)
        return _finished(fig, title)


def bars(
    labels: Sequence[str],
    values: Sequence[float] | Mapping[str, Sequence[float]],
    errors: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    ylabel: str = "",
    title: str | None = None,
    percent: bool = False,
) -> Figure:
    """A bar for each label with its value on top; groups of bars where `values` is a dict.

    `errors` has the shape of `values` and draws an error bar of that length both ways. With
    `percent` the values are shares (0 to 1) and are written as "96 %".
    """
    groups = dict(values) if isinstance(values, Mapping) else {None: values}
    spread = dict(errors) if isinstance(errors, Mapping) else {None: errors}
    for of in [*groups.values(), *(e for e in spread.values() if e is not None)]:
        _require_length("labels", labels, "values or errors", of)
    width = 0.8 / len(groups)
    inches = max(3.6, len(labels) * max(1.1, 0.62 * len(groups)))
    with style():
        fig, (axes,) = _panels(1, 1, width=1.2 + inches, height=3.4)
        for i, ((name, heights), colour, hatch) in enumerate(
            zip(groups.items(), cycle(COLOURS), cycle(HATCHES))
        ):
            drawn = axes.bar(
                np.arange(len(labels)) + (i - (len(groups) - 1) / 2) * width,
                heights,
                width * 0.92,
                yerr=spread.get(name),
                label=name,
                facecolor=colour if not hatch else "white",
                edgecolor=colour,
                hatch=hatch,
                linewidth=1.2,
                error_kw={"ecolor": INK, "capsize": 4, "elinewidth": 1.2},
            )
            texts = [f"{100 * v:.3g} %" if percent else _short(v) for v in heights]
            axes.bar_label(drawn, texts, padding=3, fontsize=9)
        axes.set_xticks(range(len(labels)), labels)
        axes.tick_params(axis="x", length=0)
        axes.set_ylabel(ylabel)
        axes.margins(y=0.12)
        _write_ticks(axes.yaxis, percent)
        if None not in groups:
            fig.legend(loc="outside lower center", ncols=len(groups))
        return _finished(fig, title)


def curve(
    x: Sequence[float],
    series: Mapping[str, Sequence[float] | Sequence[Sequence[float]]],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    percent_x: bool = False,
    percent_y: bool = False,
) -> Figure:
    """A line for each series. One list of numbers is drawn as it is; a list of lists, one for
    each seed, as their mean with error bars of one standard deviation (n - 1).

    With `percent_x` or `percent_y` those numbers are shares (0 to 1), written as "96 %".
    """
    if not series:
        raise ValueError("there are no series to draw.")
    with style():
        fig, (axes,) = _panels(1, 1, width=6.4, height=3.8)
        seeds = set()
        looks = zip(series.items(), cycle(COLOURS), cycle(MARKERS), cycle(LINES))
        for (name, numbers), colour, marker, line in looks:
            runs = np.atleast_2d(np.asarray(numbers, dtype=float))
            _require_length("x", x, name, runs[0])
            look = {"color": colour, "marker": marker, "linestyle": line, "label": name}
            mean, deviation = runs.mean(0), None
            if len(runs) > 1:
                seeds.add(len(runs))
                deviation = runs.std(0, ddof=1)
                low, high = mean - deviation, mean + deviation
                axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)
            axes.errorbar(x, mean, deviation, capsize=3, elinewidth=1.2, **look)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        if all(float(place).is_integer() for place in x):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _write_ticks(axes.xaxis, percent_x)
        _write_ticks(axes.yaxis, percent_y)
        if len(series) > 1:
            axes.legend()
        if seeds:
            many = " or ".join(str(n) for n in sorted(seeds))
            fig.supxlabel(
                f"Mean and standard deviation over {many} seeds", fontsize=8, x=0.99, ha="right"
            )
        return _finished(fig, title)


def weights_as_picture(
    before: Tensor,
    after: Tensor | None = None,
    title: str | None = None,
    names: tuple[str, str] = ("before", "after"),
    group: int | None = None,
) -> Figure:
    """A weight matrix as a picture, before and after pruning: a row for each output.

    The paler, the smaller; what is exactly zero is black, a hole. Filters of a convolution are
    laid out flat, one in a row. `names` says what the two pictures are if not before and after;
    with `group` a line sets every so many weights of a row apart.
    """
    if after is not None and before.shape != after.shape:
        raise ValueError(f"{tuple(before.shape)} and {tuple(after.shape)} are different shapes.")
    pictures = {names[0]: before} if after is None else {names[0]: before, names[1]: after}
    rows, columns = _flat(before).shape
    finite = [values[np.isfinite(values)] for values in map(_flat, pictures.values())]
    reach = max(np.abs(values).max(initial=0) for values in finite) or 1.0
    tall = rows > columns / 2  # then side by side, otherwise one above the other
    width = 3.6 if tall else 7.4
    height = 0.8 + min(4.2, (width - 1.4) * rows / columns)
    with style():
        fig, grid = _panels(len(pictures), len(pictures) if tall else 1, width, height)
        colours = ListedColormap(plt.get_cmap("PuOr")(np.linspace(0.2, 0.8, 255)))
        colours = colours.with_extremes(bad=REMOVED)
        for axes, (when, weight) in zip(grid, pictures.items(), strict=True):
            values = _flat(weight)
            holes = np.ma.masked_equal(values, 0)
            shown = axes.imshow(
                holes, cmap=colours, vmin=-reach, vmax=reach, interpolation="nearest"
            )
            zeros = np.ma.count_masked(holes) / max(values.size, 1)
            share = f"{100 * zeros:.0f} % are zero (black)" if zeros else "no zeros"
            axes.set_title(share if after is None else f"{when}: {share}")
            axes.set_ylabel("output")
            axes.set_xlabel("weights of that output")
            axes.grid(False)
            for place in range(group, columns, group) if group else ():
                axes.axvline(place - 0.5, color="white", linewidth=2)
        fig.colorbar(shown, ax=grid, label="value of the weight", aspect=30)
        return _finished(fig, title)


def scatter(
    points: Mapping[str, tuple[float, float]],
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    log: bool = False,
    percent_y: bool = False,
) -> Figure:
    """Labelled points, such as networks by cost and accuracy; both axes logarithmic with `log`."""
    if not points:
        raise ValueError("there are no points to draw.")
    if log and min(min(point) for point in points.values()) <= 0:
        raise ValueError("logarithmic axes have no place for zero or for negative numbers.")
    with style():
        fig, (axes,) = _panels(1, 1, width=6.0, height=3.8)
        axes.grid(True, axis="both")
        looks = zip(points.items(), cycle(COLOURS), cycle(MARKERS))
        for (name, (x, y)), colour, marker in looks:
            axes.plot(x, y, marker, color=colour, markersize=9)
            axes.annotate(
                name, (x, y), xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9
            )
        axes.margins(0.18)
        for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
            if log:
                scale("log")
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                axis.set_minor_locator(NullLocator())
        if not log and min(min(point) for point in points.values()) >= 0:
            axes.set_xlim(left=max(0, axes.get_xlim()[0]))
            axes.set_ylim(bottom=max(0, axes.get_ylim()[0]))
        _write_ticks(axes.xaxis, percent=False)
        _write_ticks(axes.yaxis, percent_y)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        return _finished(fig, title)


def fronts(
    points: Mapping[str, tuple[float, ...]],
    reference: Sequence[tuple[float, ...]],
    costs: Sequence[str],
    budgets: Sequence[float],
    title: str | None = None,
) -> Figure:
    """Networks against a reference front, a panel for each cost. A network is its accuracy and
    then its costs, all as shares of something (0 to 1); a budget is a dashed line.

    Numbers stand for the names below. A filled marker: none of the other networks is as good for
    less. What falls far below the reference is an arrow at the bottom edge, with its accuracy.
    """
    for network in (*points.values(), *reference):
        _require_length("costs and an accuracy", ["", *costs], "a network", network)
    _require_length("costs", costs, "budgets", budgets)
    if not reference:
        raise ValueError("there is no reference front to draw.")
    best, worst = max(row[0] for row in reference), min(row[0] for row in reference)
    top = max([best, *(row[0] for row in points.values())])
    floor = max(min([worst, *(row[0] for row in points.values())]), worst - 0.05)
    with style():
        fig, grid = _panels(len(costs), len(costs), width=3.3, height=3.4)
        for at, (axes, cost, budget) in enumerate(zip(grid, costs, budgets, strict=True), 1):
            axes.grid(True, axis="both")
            line = sorted((row[at], row[0]) for row in reference)
            axes.plot(*zip(*line, strict=True), "-x", color="#888888", label="reference front")
            axes.axvline(budget, color=INK, linestyle="--", linewidth=1, label="budget")
            rows = [(row[at], row[0]) for row in points.values()]
            for number, (x, y) in enumerate(rows, 1):
                beaten = any(a <= x and b >= y and (a, b) != (x, y) for a, b in rows)
                below = y < floor
                axes.plot(
                    x,
                    max(y, floor),
                    linestyle="none",
                    marker=r"$\downarrow$" if below else MARKERS[(number - 1) % len(MARKERS)],
                    color=COLOURS[(number - 1) % len(COLOURS)],
                    fillstyle="none" if beaten else "full",
                    markersize=8,
                    clip_on=False,
                )
                text = f"{number}: {100 * y:.0f} %" if below else str(number)
                place = {"xytext": (7, 4), "textcoords": "offset points", "fontsize": 9}
                axes.annotate(text, (x, max(y, floor)), **place)
            widest = max(x for x, _ in rows + line) / min(x for x, _ in rows + line)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(
                LogLocator(subs=(1, 3) if widest > 5 else (1, 2, 3, 4, 5, 6, 8))
            )
            axes.xaxis.set_minor_locator(NullLocator())
            _write_ticks(axes.xaxis, percent=True)
            _write_ticks(axes.yaxis, percent=True)
            axes.margins(x=0.12)
            axes.set_ylim(floor - 0.05 * (top - floor), top + 0.12 * (top - floor))
            axes.set_xlabel(cost)
        grid[0].set_ylabel("right on validation")
        fig.legend(*grid[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
        below = [f"{number} {name}" for number, name in enumerate(points, 1)]
        fig.supxlabel("\n".join(below), fontsize=9, x=0.01, ha="left")
        return _finished(fig, title)


def _panels(count: int, columns: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes in rows of `columns`; sizes of one panel in inches."""
    rows = math.ceil(count / columns)
    fig, grid = plt.subplots(
        rows,
        columns,
        figsize=(columns * width, rows * height),
        layout="constrained",
        squeeze=False,
    )
    plt.close(fig)  # the caller has it; pyplot would show it a second time
    for unused in grid.flat[count:]:
        unused.remove()
    return fig, list(grid.flat[:count])


def _finished(fig: Figure, title: str | None) -> Figure:
    if title:
        fig.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    return fig


def _array(tensor: Tensor) -> np.ndarray:
    return torch.as_tensor(tensor).detach().cpu().float().numpy()


def _flat(weight: Tensor) -> np.ndarray:
    values = _array(weight)
    if values.ndim < 2 or values.size == 0:
        raise ValueError(
            f"a picture needs a weight with rows and columns, not of shape {values.shape}."
        )
    return values.reshape(len(values), -1)


def _bare(axes: Axes) -> None:
    """No ticks, no grid, a thin frame: for a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    axes.spines[:].set(visible=True, color="#bbbbbb", linewidth=0.6)


def _write_ticks(axis: Axis, percent: bool) -> None:
    axis.set_major_formatter(lambda v, _: f"{100 * v:.3g} %" if percent else _short(v))


def _short(value: float) -> str:
    """A number for a tick or a bar: 2.445 M, 159.8 k, 120, 0.021."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.4g} {unit}"
    return f"{value:.4g}"


def _require_length(what: str, one: Sequence, other_name: str, other: Sequence) -> None:
    if len(one) != len(other):
        raise ValueError(f"{what} has {len(one)} entries, but {other_name} has {len(other)}.")
