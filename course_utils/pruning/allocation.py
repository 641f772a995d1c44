"""How much to prune, and where: one ratio for each layer, and what each choice costs.

A ratio is the share of a layer to remove. Layers differ: the same share ruins one and is not
noticed by another. From measuring that (`sensitivity`) to choosing under a budget (`search`);
rules that need no measurement (`erk`, `size_aware`) beside them. Nothing is pruned here: ratios
keyed by parameter name are what `masks.keep_local` takes.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.measure import prunable_weights, require_share
from course_utils.pruning.importance import plain_weights

Shapes = Mapping[str, Sequence[int]]
MOST_PARTIAL_CHOICES = 20_000


def sensitivity(
    model: nn.Module,
    names: Sequence[str],
    fractions: Sequence[float],
    evaluate: Callable[[nn.Module], float],
) -> dict[str, list[float]]:
    """What `evaluate(model)` says with one layer pruned by magnitude, for each of the fractions.

    One layer at a time and always from the original weights, so each curve shows that layer alone
    (Li 2016): layers that suffer together are not seen. A name is that of a layer ("fc1") or of
    its weight ("fc1.weight"). The weights come back as they were, after an exception too.

    >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> x = torch.randn(50, 8)
    >>> curves = sensitivity(model, ["0", "2"], [0.0, 0.5, 1.0], lambda m: m(x).abs().mean().item())
    >>> sorted(curves), len(curves["0"])
    (['0', '2'], 3)
    """
    weights = {name: _weight(model, name) for name in names}
    for fraction in fractions:
        require_share("a fraction", fraction)
    curves = {}
    for name, weight in weights.items():
        original = weight.detach().clone()
        order = original.abs().flatten().argsort(stable=True)
        curves[name] = []
        try:
            for fraction in fractions:
                smallest = order[: round(fraction * len(order))]
                pruned = original.flatten().index_fill(0, smallest, 0)
                _write(weight, pruned.view(original.shape))
                curves[name].append(evaluate(model))
        finally:
            _write(weight, original)
    return curves


def ratios_for_floor(
    curves: Mapping[str, Sequence[float]], fractions: Sequence[float], floor: float
) -> dict[str, float]:
    """For each layer the largest fraction up to which its curve stays at or above `floor`.

    All smaller fractions must stay there as well: a curve that dips and comes back did so by luck.
    A layer that is never good enough gets 0.0.

    >>> ratios_for_floor({"a": [0.9, 0.8, 0.2], "b": [0.9, 0.5, 0.9]}, [0.0, 0.5, 0.8], floor=0.7)
    {'a': 0.5, 'b': 0.0}
    """
    _check_curves(curves, fractions)
    if math.isnan(floor):
        raise ValueError("the floor is not a number.")
    ratios = {}
    for name, curve in curves.items():
        ratios[name] = 0.0
        for fraction, value in sorted(zip(fractions, curve, strict=True)):
            if value < floor:
                break
            ratios[name] = float(fraction)
    return ratios


def size_aware(
    model_or_shapes: nn.Module | Shapes, sparsity: float, power: float = 0.5
) -> dict[str, float]:
    """Ratios under which a layer of n weights keeps a number in proportion to n ** power.

    Large layers have more to spare (Han 2015 found it by hand): at 0.5, one of 100 times the size
    keeps ten times as many. 1 is the same ratio everywhere, 0 the same number kept. The whole
    comes to `sparsity` exactly, as in `erk`.

    >>> ratios = size_aware({"small": (10, 10), "large": (100, 100)}, 0.9)
    >>> {name: round(ratio, 3) for name, ratio in ratios.items()}
    {'small': 0.08, 'large': 0.908}
    """
    require_share("the power", power)
    shapes = _shapes(model_or_shapes)
    return _fill(shapes, sparsity, lambda shape: math.prod(shape) ** (power - 1))


def erk(model_or_shapes: nn.Module | Shapes, sparsity: float) -> dict[str, float]:
    """The Erdos-Renyi-Kernel ratios of Evci 2020: no data, no training, only the layers' shapes.

    A layer's density is in proportion to the sum of its dimensions over their product, so that
    layers with few connections a neuron keep them. Where that would pass 1 the layer stays dense
    and the others make up for it. The counts `round(ratio * n)` add up to
    `round(sparsity * total)` exactly.

    >>> model = nn.Sequential(nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 10))
    >>> {name: round(ratio, 3) for name, ratio in erk(model, 0.9).items()}
    {'0.weight': 0.938, '2.weight': 0.66}
    """
    return _fill(_shapes(model_or_shapes), sparsity, lambda shape: sum(shape) / math.prod(shape))


def overall_sparsity(ratios: Mapping[str, float], sizes: Mapping[str, int]) -> float:
    """The share of all weights that the ratios remove. A layer without a ratio loses nothing.

    >>> overall_sparsity({"large": 0.9}, {"small": 100, "large": 300})
    0.675
    """
    for name, ratio in ratios.items():
        require_share(f"the ratio of {name}", ratio)
        if name not in sizes:
            raise ValueError(f"there is a ratio for {name}, but no size.")
    for name, size in sizes.items():
        if not 0 <= size < math.inf:
            raise ValueError(f"the size of {name} must be 0 or more, not {size!r}.")
    total = sum(sizes.values())
    return sum(ratio * sizes[name] for name, ratio in ratios.items()) / total if total else 0.0


def amc_reward(error: float, flops: float) -> float:
    """-error * ln(flops): what the agent of AMC is paid (He 2018).

    The logarithm, because what counts is by which factor the cost falls. Near 1e9 operations,
    halving it is worth 3 % of the error and no more: accuracy comes first. Meant for counts of
    operations; below 1 the logarithm is negative, and the larger error would be paid better.

    >>> amc_reward(0.08, 1e6) > amc_reward(0.1, 1e6)
    True
    """
    require_share("an error", error)
    if not 0 < flops < math.inf:
        raise ValueError(f"flops must be a number above 0, not {flops!r}.")
    return -error * math.log(flops)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which (cost, accuracy) points are worth having, as ascending indices.

    A point is not, if another is better in one and at least as good in the other. Of equal points
    the first stays.

    >>> pareto_front([(10, 0.9), (5, 0.9), (20, 0.95), (5, 0.9)])
    [1, 2]
    """
    points = [(float(cost), float(accuracy)) for cost, accuracy in points]
    if any(math.isnan(number) for point in points for number in point):
        raise ValueError("a point holds a cost or an accuracy that is not a number.")
    front, best = [], -math.inf
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i))
    for index in order:
        if not front or points[index][1] > best:
            front.append(index)
            best = points[index][1]
    return sorted(front)


def search(
    curves: Mapping[str, Sequence[float]],
    fractions: Sequence[float],
    costs: Mapping[str, float],
    budget: float,
) -> dict[str, float]:
    """One fraction for each layer: the smallest summed loss whose kept cost is within the budget.

    `curves` as from `sensitivity` (larger is better), `costs` what each dense layer costs (MACs,
    bytes, milliseconds); a layer keeps cost * (1 - fraction). Losses of layers are added, as though
    they did not interact, which is why one fine-tunes afterwards.

    The choice is the optimum, found as a knapsack with a choice of one item a layer (Sinha &
    Zoltners 1979). Layer by layer, the partial choices that no other beats are kept, and of those
    only the ones that could still end better than the best complete choice known. Both bounds come
    from the convex hull of what the remaining layers can do: its line, and its corners. Only where
    more than `MOST_PARTIAL_CHOICES` are left (losses that follow the costs to the last digit) is
    the choice not proven best; it is then within one step of one layer of it.

    >>> curves = {"a": [0.9, 0.8, 0.2], "b": [0.9, 0.89, 0.7]}
    >>> search(curves, [0.0, 0.5, 0.8], costs={"a": 100, "b": 100}, budget=120)
    {'a': 0.5, 'b': 0.5}
    """
    _check_curves(curves, fractions)
    _check_costs(curves, costs, budget)
    options = {name: _options(curve, fractions, costs[name]) for name, curve in curves.items()}
    cheapest = sum(float(cost[0]) for cost, _, _ in options.values())
    budget += 1e-12 * sum(costs.values())  # what adding up in another order may differ by
    if cheapest > budget:
        raise ValueError(
            f"the budget of {budget:g} cannot be kept: with the largest fractions everywhere the "
            f"layers still cost {cheapest:g}."
        )
    hulls = [(np.zeros(1), np.zeros(1))]  # of the layers still to come, from the last to the first
    for cost, loss, _ in reversed(options.values()):
        hulls.append(_add_hulls(hulls[-1], _hull(cost, loss)))
    hulls.pop()

    spent, lost, history = np.zeros(1), np.zeros(1), []
    for cost, loss, _ in options.values():
        later_cost, later_loss = hulls.pop()
        spent_then = (spent[:, None] + cost).ravel()
        lost_then = (lost[:, None] + loss).ravel()
        left = budget - spent_then
        corner = np.searchsorted(later_cost, left, side="right") - 1
        possible = np.where(corner < 0, np.inf, lost_then + np.interp(left, later_cost, later_loss))
        reachable = np.where(corner < 0, np.inf, lost_then + later_loss[corner])
        safe = int(np.argmin(reachable))
        promising = possible < reachable[safe] - 1e-12 * (1 + abs(reachable[safe]))
        promising[safe] = True
        worth = np.flatnonzero(promising)
        worth = worth[_front(spent_then[worth], lost_then[worth])]
        if len(worth) > MOST_PARTIAL_CHOICES:
            best = np.argpartition(possible[worth], MOST_PARTIAL_CHOICES)[:MOST_PARTIAL_CHOICES]
            worth = np.union1d(worth[best], safe)
        spent, lost = spent_then[worth], lost_then[worth]
        history.append((worth // len(cost), worth % len(cost)))

    state = int(np.argmin(lost))
    chosen = {}
    for (name, (_, _, which)), (before, option) in zip(
        reversed(options.items()), reversed(history), strict=True
    ):
        chosen[name] = float(fractions[which[option[state]]])
        state = before[state]
    return {name: chosen[name] for name in curves}


# --- parts of the search; costs ascend and losses fall in all of them


def _options(
    curve: Sequence[float], fractions: Sequence[float], cost: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kept cost, loss and index of the fractions worth having for one layer."""
    kept = cost * (1 - np.asarray(fractions, dtype=float))
    losses = -np.asarray(curve, dtype=float)
    which = _front(kept, losses)
    return kept[which], losses[which], which


def _front(cost: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Indices of the points that no other beats, by ascending cost."""
    order = np.lexsort((loss, cost))
    lowest = np.minimum.accumulate(loss[order])
    better = np.ones(len(order), dtype=bool)
    better[1:] = lowest[1:] < lowest[:-1]
    return order[better]


def _hull(cost: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of the lower convex hull: each step down is less steep than the one before."""
    corners: list[int] = []
    for i in range(len(cost)):
        while len(corners) > 1:
            a, b = corners[-2:]
            before = (loss[b] - loss[a]) * (cost[i] - cost[a])
            if before < (loss[i] - loss[a]) * (cost[b] - cost[a]):
                break
            corners.pop()
        corners.append(i)
    return cost[corners], loss[corners]


def _add_hulls(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The hull of choosing a point in each: all their steps, the steepest first."""
    steps = np.concatenate([np.diff(one), np.diff(other)], axis=1)
    steps = steps[:, np.argsort(steps[1] / steps[0], kind="stable")]
    start = np.array([[one[0][0] + other[0][0]], [one[1][0] + other[1][0]]])
    cost, loss = np.concatenate([start, start + np.cumsum(steps, axis=1)], axis=1)
    return cost, loss


# --- sharing out a sparsity


def _shapes(model_or_shapes: nn.Module | Shapes) -> dict[str, tuple[int, ...]]:
    if isinstance(model_or_shapes, nn.Module):
        weights = prunable_weights(model_or_shapes)
        return {name: tuple(weight.shape) for name, weight in weights.items()}
    shapes = {name: tuple(shape) for name, shape in model_or_shapes.items()}
    for name, shape in shapes.items():
        if not shape or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in shape):
            raise ValueError(f"the shape of {name} must be whole numbers above 0, not {shape}.")
    return shapes


def _fill(
    shapes: dict[str, tuple[int, ...]],
    sparsity: float,
    proportion: Callable[[tuple[int, ...]], float],
) -> dict[str, float]:
    """Ratios whose densities are in the given proportion, none above 1, and whose counts add up.

    Rounding goes to the layers with the largest remainders, so that not a single weight is lost.
    """
    require_share("a sparsity", sparsity)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = sum(sizes.values())
    keep = total - round(sparsity * total)
    density = {name: 1.0 for name in shapes}
    open_ = dict(shapes)
    while open_:
        left = keep - sum(size for name, size in sizes.items() if name not in open_)
        scale = left / sum(proportion(shape) * sizes[name] for name, shape in open_.items())
        full = [name for name, shape in open_.items() if proportion(shape) * scale > 1]
        if not full:
            density |= {name: proportion(shape) * scale for name, shape in open_.items()}
            break
        for name in full:
            del open_[name]
    exact = {name: min(density[name] * size, size) for name, size in sizes.items()}
    kept = {name: math.floor(number) for name, number in exact.items()}
    by_remainder = sorted(sizes, key=lambda name: kept[name] - exact[name])
    for name in [name for name in by_remainder if kept[name] < sizes[name]][
        : keep - sum(kept.values())
    ]:
        kept[name] += 1
    return {name: (size - kept[name]) / size for name, size in sizes.items()}


# --- weights, and what is refused


def _weight(model: nn.Module, name: str) -> Tensor:
    weights = plain_weights(model)
    weight = weights.get(name, weights.get(f"{name}.weight" if name else "weight"))
    if weight is None:
        raise ValueError(f"{name!r} is not a prunable layer of this model.")
    if weight.isnan().any():
        raise ValueError(f"the weight of {name!r} holds NaN: it cannot be ranked by magnitude.")
    return weight


@torch.no_grad()
def _write(weight: Tensor, values: Tensor) -> None:
    weight.copy_(values)


def _check_curves(curves: Mapping[str, Sequence[float]], fractions: Sequence[float]) -> None:
    if len(fractions) == 0:
        raise ValueError("there are no fractions to choose from.")
    for fraction in fractions:
        require_share("a fraction", fraction)
    for name, curve in curves.items():
        if len(curve) != len(fractions):
            raise ValueError(
                f"the curve of {name} has {len(curve)} values for {len(fractions)} fractions."
            )
        if any(math.isnan(value) for value in curve):
            raise ValueError(f"the curve of {name} holds a value that is not a number.")


def _check_costs(
    curves: Mapping[str, Sequence[float]], costs: Mapping[str, float], budget: float
) -> None:
    if curves.keys() != costs.keys():
        wrong = sorted(curves.keys() ^ costs.keys())[0]
        raise ValueError(f"the curves and the costs do not both have {wrong}.")
    for name, cost in costs.items():
        if not 0 <= cost < math.inf:
            raise ValueError(f"the cost of {name} must be 0 or more, not {cost!r}.")
    if math.isnan(budget):
        raise ValueError("the budget is not a number.")
    for name, curve in curves.items():
        if not all(map(math.isfinite, curve)):
            raise ValueError(f"the curve of {name} must be finite.")
