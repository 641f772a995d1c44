"""The figures of the course, in one visual language.

Nothing is said by colour alone: series differ by marker, line style or hatch too, and the palette
(Okabe and Ito's) keeps apart for colour-blind readers. Figures stand on opaque white, so that
they read the same in JupyterLab's light and dark themes.

Every function returns its figure and leaves none open behind: as the last line of a cell it is
shown once, not twice. Whoever cannot see it is told what it shows, in words made from what was
drawn: see Drawing. Figures of your own get both from `subplots`, inside a `style()`.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from html import escape
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import ListedColormap
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from torch import Tensor, nn

from course_utils.measure import prunable_weights

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1))]
HATCHES = ["", "///", "---", "|||", "xxx", "...", "++"]
INK = "#222222"
# Weights in a picture: the paler, the smaller; none is nearly as dark as what is masked.
WEIGHTS = ListedColormap(plt.get_cmap("PuOr")(np.linspace(0.2, 0.8, 255))).with_extremes(
    bad="black"
)

_RC = {
    "figure.facecolor": "white",
    "figure.dpi": 90,  # hatches then repeat in whole pixels, which halves such a picture's bytes
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


MANY = 8  # bars that are still told one by one


class Drawing(Figure):
    """A figure that tells what it shows as well: in its text form, and in a line below it that
    unfolds, because JupyterLab gives no picture an alternative text."""

    words = ""  # where a function says it better than in_words

    def _ipython_display_(self) -> None:
        from IPython.core.pylabtools import print_figure
        from IPython.display import display

        words = self.words or in_words(self)
        picture = {"image/png": print_figure(self, base64=True), "text/plain": words}
        display(picture, raw=True)
        unfolds = f"<details><summary>In words</summary>{escape(words)}</details>"
        display({"text/html": unfolds}, raw=True)


def style() -> AbstractContextManager[None]:
    """A context for figures of your own that should look like the course's."""
    return plt.rc_context(_RC)


def subplots(rows: int = 1, columns: int = 1, **options) -> tuple[Drawing, Axes | np.ndarray]:
    """pyplot's subplots, of a figure that tells what it shows and that nobody has to close."""
    fig, axes = plt.subplots(rows, columns, FigureClass=Drawing, layout="constrained", **options)
    plt.close(fig)  # the caller has it; pyplot would show it a second time
    return fig, axes


def weight_histogram(
    weights: nn.Module | Mapping[str, Tensor], title: str | None = None, bins: int = 51
) -> Drawing:
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
) -> Drawing:
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
    xlabel: str = "",
) -> Drawing:
    """A bar for each label with its value on top; groups of bars where `values` is a dict.

    `xlabel` says what the labels are where they do not say it themselves, such as numbers.
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
        fig, (axes,) = _panels(1, 1, width=1.2 + inches, height=3.1)
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
            shares = (f"{100 * v:.1f}".removesuffix(".0") + " %" for v in heights)
            texts = list(shares) if percent else [_short(v) for v in heights]
            axes.bar_label(drawn, texts, padding=3, fontsize=9)
        axes.set_xticks(range(len(labels)), labels)
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel(xlabel)
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
) -> Drawing:
    """A line for each series. One list of numbers is drawn as it is; a list of lists, one for
    each seed, as their mean with error bars of one standard deviation (n - 1).

    With `percent_x` or `percent_y` those numbers are shares (0 to 1), written as "96 %".
    """
    if not series:
        raise ValueError("there are no series to draw.")
    with style():
        fig, (axes,) = _panels(1, 1, width=5.6, height=3.3)
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
) -> Drawing:
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
    thin = not 1 / 40 < rows / columns < 40  # then not square, or it would be but a hair
    width = 3.6 if tall else 7.4
    height = 0.8 + min(4.2, (width - 1.4) * rows / columns)
    with style():
        fig, grid = _panels(len(pictures), len(pictures) if tall else 1, width, height)
        for axes, (when, weight) in zip(grid, pictures.items(), strict=True):
            values = _flat(weight)
            holes = np.ma.masked_equal(values, 0)
            shown = axes.imshow(
                holes,
                cmap=WEIGHTS,
                vmin=-reach,
                vmax=reach,
                interpolation="nearest",
                aspect="auto" if thin else "equal",
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
) -> Drawing:
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
) -> Drawing:
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
        told = "; ".join(
            f"{name}, {100 * right:.3g} % right, needs "
            + ", ".join(f"{100 * x:.3g} % ({cost})" for x, cost in zip(needs, costs, strict=True))
            for name, (right, *needs) in points.items()
        )
        limits = zip(budgets, costs, strict=True)
        limits = ", ".join(f"{100 * limit:.3g} % ({cost})" for limit, cost in limits)
        front = f"The reference front reaches from {100 * worst:.3g} % to {100 * best:.3g} % right"
        fig.words = f"{title or 'Networks'}. {told}. The budgets are {limits}. {front}."
        return _finished(fig, title)


# --- In words -------------------------------------------------------------------------------------


def in_words(fig: Figure) -> str:
    """What a figure shows, in a few sentences made from what is drawn in it."""
    panels = [axes for axes in fig.axes if axes.get_label() != "<colorbar>"]
    if len(panels) > MANY and all(axes.images for axes in panels):
        told = f"{len(panels)} pictures: {', '.join(map(_title, panels))}".rstrip(" ,:")
    else:
        told = "; ".join(filter(None, map(_panel_in_words, panels)))
    labels = {
        "Up": [axes.get_ylabel() for axes in panels],
        "across": [axes.get_xlabel() for axes in panels],
    }
    named = {where: " or ".join(dict.fromkeys(filter(None, of))) for where, of in labels.items()}
    directions = "; ".join(f"{where}: {label}" for where, label in named.items() if label)
    sentences = [fig.get_suptitle(), directions, told, fig.get_supxlabel()]
    return " ".join(_sentence(" ".join(s.split())) for s in sentences if s)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _panel_in_words(axes: Axes) -> str:
    if axes.images:
        rows, columns = axes.images[0].get_array().shape[:2]
        return f"{_title(axes)} (a picture, {rows} by {columns})".strip()
    told = [_bars_in_words(c, axes) for c in axes.containers if isinstance(c, BarContainer)]
    labels = {line: line.get_label() for line in axes.lines}
    for errors in (c for c in axes.containers if isinstance(c, ErrorbarContainer)):
        line, caps, _ = errors.lines
        labels = {one: label for one, label in labels.items() if one not in caps}
        labels |= {line: errors.get_label()} if line else {}
    told += [_line_in_words(line, label, axes) for line, label in labels.items()]
    return _named(_title(axes), "; ".join(filter(None, told)))


def _bars_in_words(bars: BarContainer, axes: Axes) -> str:
    heights = [bar.get_height() for bar in bars]
    if not heights:
        return ""
    at = [bar.get_x() + bar.get_width() / 2 for bar in bars]
    high, low = (heights.index(extreme(heights)) for extreme in (max, min))
    if isinstance(axes.xaxis.get_major_locator(), FixedLocator):  # a name below each bar
        chosen = range(len(bars)) if len(bars) <= MANY else (high, low)
        told = [f"{_said(axes.yaxis, heights[i])} for {_place(axes, at[i])}" for i in chosen]
        few = "" if len(bars) <= MANY else f"{len(bars)} bars, highest and lowest "
        return _named(bars.get_label(), few + ", ".join(told))
    filled = [_said(axes.xaxis, x) for x, height in zip(at, heights, strict=True) if height]
    if not filled:
        return "nothing"
    most = f"most ({_said(axes.yaxis, heights[high])}) near {_said(axes.xaxis, at[high])}"
    return f"from {filled[0]} to {filled[-1]}, {most}"


def _line_in_words(line: Line2D, label: str, axes: Axes) -> str:
    """A curve by its ends and by what lies above and below them, a cloud by its extremes."""
    points = line.get_xydata()
    points = points[np.isfinite(points).all(1)]
    if len(points) == 1 and label.startswith("_"):  # its name may stand beside it
        beside = [t.get_text() for t in axes.texts if tuple(getattr(t, "xy", ())) == (*points[0],)]
        label = beside[0] if beside else label
    across = line.get_transform() != axes.transData  # the whole panel, as a limit does
    if not len(points) or (across and label.startswith("_")):
        return ""
    xs, ys = points.T
    if across:
        there = _place(axes, xs[0]) if xs[0] == xs[-1] else _said(axes.yaxis, ys[0])
        return f"a line at {there}: {label}"

    def point(i: int) -> str:
        return f"{_said(axes.yaxis, ys[i])} at {_place(axes, xs[i])}"

    if len(points) == 1:
        return _named(label, point(0))
    if line.get_linestyle() == "None":
        extremes = f"highest {point(ys.argmax())}, lowest {point(ys.argmin())}"
        return _named(label, f"{len(points)} points, {extremes}")
    told = f"from {point(0)} to {point(-1)}"
    if ys.max() > max(ys[0], ys[-1]):
        told += f", highest {point(ys.argmax())}"
    if ys.min() < min(ys[0], ys[-1]):
        told += f", lowest {point(ys.argmin())}"
    return _named(label, told)


def _title(axes: Axes) -> str:
    return axes.get_title(loc="left") or axes.get_title()


def _named(label: str, told: str) -> str:
    return f"{label}: {told}" if label and not label.startswith("_") else told


def _place(axes: Axes, x: float) -> str:
    """A place on the horizontal axis; where its ticks were set by hand, the nearest of them."""
    ticks = axes.xaxis.get_major_locator()
    if not isinstance(ticks, FixedLocator):
        return _said(axes.xaxis, x)
    nearest = int(np.abs(np.asarray(ticks.locs) - x).argmin())
    written = axes.get_xticklabels()[nearest].get_text()
    return " ".join(written.split()) or f"{ticks.locs[nearest]:g}"


def _said(axis: Axis, value: float) -> str:
    """A number as this axis writes it."""
    write = axis.get_major_formatter()
    written = write(value, None) if isinstance(write, FuncFormatter) else ""
    return written or _short(value, 3)


# --- Parts ----------------------------------------------------------------------------------------


def _panels(count: int, columns: int, width: float, height: float) -> tuple[Drawing, list[Axes]]:
    """A figure of `count` axes in rows of `columns`; sizes of one panel in inches."""
    rows = math.ceil(count / columns)
    fig, grid = subplots(rows, columns, figsize=(columns * width, rows * height), squeeze=False)
    for unused in grid.flat[count:]:
        unused.remove()
    return fig, list(grid.flat[:count])


def _finished(fig: Drawing, title: str | None) -> Drawing:
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


def _short(value: float, digits: int = 4) -> str:
    """A number for a tick or a bar: 2.445 M, 159.8 k, 120, 0.021."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.{digits}g} {unit}"
    return f"{value:.{digits}g}"


def _require_length(what: str, one: Sequence, other_name: str, other: Sequence) -> None:
    if len(one) != len(other):
        raise ValueError(f"{what} has {len(one)} entries, but {other_name} has {len(other)}.")
