"""Lesson 07, how much and where: what a layer can spare, and what to do with that knowledge."""

import itertools
import math

import torch
from torch import nn

from course_utils.exercises.compare import as_number, identical, same_number, same_tensor, show
from course_utils.exercises.engine import Exercise
from course_utils.exercises.networks import build, network


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


IMPOSSIBLE_SHARES = (-0.1, 1.5, math.nan)


# --- What can be wrong with a dictionary of shares by layer ---------------------------------------


def _wrong_names(got, names) -> str | None:
    """Why this is no dictionary with one number for each of the layers, if it is none."""
    if not isinstance(got, dict):
        return f"{show(got)} came back, and a dictionary from layer to share is asked for."
    for name in names:
        if name not in got:
            return f"there is nothing for the layer {name!r}."
        if as_number(got[name]) is None:
            return f"for {name!r} {show(got[name])} came back, and one number is asked for."
    for name in got:
        if name not in names:
            return f"there is an entry for {name!r}, which is none of the layers."
    return None


# --- The exercises -------------------------------------------------------------------------------


def sensitivity(model: nn.Module, names: list, fractions: list, evaluate) -> dict:
    layers = dict(model.named_modules())
    for name in names:
        if not isinstance(layers.get(name), nn.Linear | nn.Conv2d):
            raise ValueError(f"{name!r} is no layer that can be pruned.")
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise ValueError(f"{fraction} is not a share from 0 to 1.")
    curves = {}
    for name in names:
        weight = layers[name].weight
        original = weight.detach().clone()
        order = original.abs().flatten().argsort()
        curves[name] = []
        try:
            for fraction in fractions:
                pruned = original.clone().flatten()
                pruned[order[: round(fraction * len(order))]] = 0
                with torch.no_grad():
                    weight.copy_(pruned.view(weight.shape))
                curves[name].append(evaluate(model))
        finally:
            with torch.no_grad():
                weight.copy_(original)
    return curves


class Sensitivity(Exercise):
    name = "sensitivity"
    lesson = "07"
    signature = "sensitivity(model, names, fractions, evaluate) -> dict[str, list[float]]"
    points = 3
    minutes = 20
    difficulty = 3
    importance = 5
    hints = (
        "Two loops, one inside the other: for each name, for each fraction. What must be true of "
        "the network each time the inner loop begins? That nothing is missing from it.",
        "The safest way is a fresh copy for each point: `pruned = copy.deepcopy(model)`. Then "
        "nothing has to be put back, whatever happens in `evaluate`.",
        "`layer = pruned.get_submodule(name)`; the places that go are the first "
        "`round(fraction * layer.weight.numel())` of `layer.weight.abs().flatten().argsort()`; "
        "`layer.weight.data.view(-1)[places] = 0` writes the zeros. Names that are no Linear or "
        "Conv2d are to be refused before anything is measured.",
    )
    reference = staticmethod(sensitivity)

    def cases(self, rng):
        # An even number in the middle makes all counts even: no tenth of them is half-way.
        sizes = [int(rng.integers(5, 10)), 2 * int(rng.integers(3, 5)), int(rng.integers(5, 10))]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        both = ["0", "2"]
        convnet = network("convnet", _seed(rng), channels=2 * int(rng.integers(2, 4)), classes=4)
        layers = ["features.0", "features.3", "head.2"]
        share = round(float(rng.uniform(0.3, 0.45)), 2)
        return {
            "a small network": [(mlp, both, [0.2, 0.6], None)],
            "fractions in any order": [(mlp, both, [0.7, 0.1, 0.4], None)],
            "shares that do not divide": [
                (network("mlp", _seed(rng), sizes=[3, 3, 2]), both, [share, 0.8], None)
            ],
            "one layer, no layer, no fraction": [
                (mlp, ["2"], [0.5], None),
                (mlp, [], [0.5], None),
                (mlp, both, [], None),
            ],
            "none and all": [(mlp, both, [0.0, 1.0], None)],
            "layers inside modules": [(convnet, layers, [0.3, 0.9], None)],
            "layers with zeros in them": [({**mlp, "zeros": 0.4}, both, [0.1, 0.6], None)],
            "weights that tie": [({**mlp, "rounded": 1}, both, [0.3, 0.6], None)],
            "a shared weight": [
                (network("tied", _seed(rng), size=6), ["encoder", "middle"], [0.4], None)
            ],
            "an evaluation that fails": [(mlp, both, [0.2, 0.4], 3)],
            "what makes no sense": [
                *((mlp, both, [0.5, share], None) for share in IMPOSSIBLE_SHARES),
                (mlp, ["0", "7"], [0.5], None),
                (mlp, ["0", "1"], [0.5], None),
                (convnet, ["features.1"], [0.5], None),
            ],
        }

    def shown(self, case):
        model, names, fractions, _ = case
        return f"sensitivity with {show(model)}, the layers {names} and fractions {show(fractions)}"

    def call(self, inputs, answer):
        model, names, fractions, fails_at = inputs
        calls = []

        def evaluate(model):
            seen = _in_use(model)
            values = torch.cat([p.double().flatten() for p in seen.values()])
            number = float(values @ torch.arange(1, len(values) + 1).double().sqrt())
            calls.append({"number": number, "seen": seen})
            if len(calls) == fails_at:
                raise RuntimeError("this evaluation breaks on purpose")
            return number

        return {"result": answer(model, names, fractions, evaluate), "calls": calls}

    def verify(self, case, data):
        description, names, fractions, _ = case
        got, calls = data.returned["result"], data.returned["calls"]
        if not isinstance(got, dict):
            return f"{show(got)} came back, and a dictionary from layer to curve is asked for."
        if set(got) != set(names):
            return f"the curves are named {list(got)}, and the layers {names}."
        model = build(description)
        whole = {name: p.detach() for name, p in model.named_parameters()}
        for name in names:
            curve = got[name]
            if isinstance(curve, torch.Tensor):
                curve = curve.flatten().tolist()
            if not isinstance(curve, list | tuple):
                return (
                    f"the curve of {name!r} is {show(curve)}, and a list of numbers is asked for."
                )
            if len(curve) != len(fractions):
                return (
                    f"the curve of {name!r} has {len(curve)} numbers for {len(fractions)} shares."
                )
            for place, value in enumerate(curve):
                call = next((c for c in calls if same_number(value, c["number"])), None)
                if call is None:
                    return (
                        f"{show(value)} in the curve of {name!r} is nothing that `evaluate` "
                        "returned. The curve holds what it says, not a difference."
                    )
                said = f"at {show(fractions[place])} of layer {name!r}"
                if trouble := _wrong_pruning(
                    call["seen"], whole, f"{name}.weight", fractions, place
                ):
                    return f"{said} {trouble}"
        return None


def _in_use(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights and biases as the layers use them: PyTorch's `prune` puts a mask on the parameter."""
    return {
        f"{name}.{kind}": getattr(layer, kind).detach().clone()
        for name, layer in model.named_modules()
        for kind in ("weight", "bias")
        if isinstance(getattr(layer, kind, None), torch.Tensor)
    }


def _wrong_pruning(seen: dict, whole: dict, pruned: str, fractions: list, place: int) -> str | None:
    """Why these parameters are not the whole ones with one layer's smallest weights zeroed."""
    for other in whole:
        if other != pruned and not identical(whole[other], seen[other]):
            if other.endswith("bias"):
                return f"{other!r} had changed. Only the weight is pruned."
            return f"the weight of {other.removesuffix('.weight')!r} was not whole: one at a time."
    now, before = seen[pruned].flatten(), whole[pruned].flatten()
    n, gone = len(now), now == 0
    sizes = before.abs().sort().values
    count = round(fractions[place] * n)
    if not identical(now[~gone], before[~gone]):
        return "weights that stay had lost their value."
    if identical(now.abs().sort().values, torch.cat([torch.zeros(count), sizes[count:]])):
        return None
    went = f"{int(gone.sum())} of {n} weights were zero instead of {count}"
    zeros = int((before == 0).sum())
    if int(gone.sum()) == count:
        if same_tensor(before[gone].sort().values, before.sort().values[:count]):
            return "the most negative weights went. Size is distance from zero."
        return "a weight went that is larger than one that stayed. The smallest sizes are to go."
    if 0 < count < n and sizes[count - 1] == sizes[count] > 0:
        return f"{went}: several tie for the last place. Count, do not compare with a limit."
    if int(gone.sum()) == round(max(fractions[: place + 1]) * n):
        return f"{went}, some of them from the fraction before. Start anew each time."
    if int(gone.sum()) == zeros + round(fractions[place] * (n - zeros)):
        return f"{went}. Zeros that are there already count among the smallest."
    if int(gone.sum()) == int(fractions[place] * n):
        return f"{went}: the count is to be rounded, and `int` cuts it off."
    if int(gone.sum()) == n - count:
        return f"{went}: a fraction says what goes, and here it stayed."
    if int(gone.sum()) == count + 1:
        return f"{went}: one too many."
    if int(gone.sum()) in [round(fraction * n) for fraction in fractions]:
        return f"{went}, as for another fraction: a curve goes in the order of the fractions."
    return f"{went}."


def ratios_for_floor(curves: dict, fractions: list, floor: float) -> dict[str, float]:
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise ValueError(f"{fraction} is not a share from 0 to 1.")
    ratios = {}
    for name, curve in curves.items():
        if len(curve) != len(fractions):
            raise ValueError(f"{name!r} has {len(curve)} values for {len(fractions)} fractions.")
        ratios[name] = 0.0
        for fraction, value in sorted(zip(fractions, curve, strict=True)):
            if value < floor:
                break
            ratios[name] = fraction
    return ratios


class RatiosForFloor(Exercise):
    name = "ratios_for_floor"
    lesson = "07"
    signature = "ratios_for_floor(curves, fractions, floor) -> dict[str, float]"
    points = 2
    minutes = 12
    difficulty = 2
    importance = 4
    hints = (
        "Walk along one curve from the smallest fraction to the largest and remember the last "
        "fraction that was good enough. What do you do at the first that is not?",
        "`sorted(zip(fractions, curve))` gives the pairs in the order of the fractions, whatever "
        "order they came in.",
        "Begin with 0.0 for each layer; in the loop, `break` at the first value below the floor, "
        "otherwise put the fraction there.",
    )
    reference = staticmethod(ratios_for_floor)

    def cases(self, rng):
        tenths = [0.0, 0.2, 0.4, 0.6, 0.8, 0.9]

        def falling(points):
            steps = rng.uniform(0.001, 0.15, size=points)
            return [round(float(v), 4) for v in 0.98 - steps.cumsum() + steps[0]]

        two = {"conv1": falling(6), "fc": falling(6)}
        floor = round((two["conv1"][2] + two["conv1"][3]) / 2, 4)
        shuffled = [4, 1, 5, 0, 3, 2]
        dips = {
            "dips": [0.98, 0.97, 0.88, 0.95, 0.96, 0.5],
            "rises": [0.97, 0.975, 0.98, 0.97, 0.93, 0.92],
        }
        return {
            "curves that fall": [
                (two, tenths, floor),
                (
                    {"a": [0.99, 0.98, 0.7], "b": [0.99, 0.8, 0.75]},
                    [0.0, 0.5, 0.9],
                    round(float(rng.uniform(0.81, 0.97)), 3),
                ),
            ],
            "a curve that dips and comes back": [(dips, tenths, 0.94)],
            "exactly at the floor": [({"fc1": [0.75, 0.625, 0.5]}, [0.1, 0.5, 0.9], 0.625)],
            "never good enough, always good enough": [
                ({"bad": [0.9, 0.7, 0.6], "good": [0.99, 0.99, 0.97]}, [0.0, 0.4, 0.7], 0.95),
                ({"bad": [0.8, 0.7], "useless": [0.97, 0.96]}, [0.3, 1.0], 0.95),
            ],
            "fractions in any order": [
                (
                    {name: [curve[i] for i in shuffled] for name, curve in two.items()},
                    [tenths[i] for i in shuffled],
                    floor,
                ),
            ],
            "other units, no layers": [
                ({"fc1": [98.0, 97.0, 60.0]}, [0.0, 0.3, 0.6], 96.5),
                ({"loss": [-0.1, -0.2, -3.0]}, [0.0, 0.3, 0.6], -0.5),
                ({}, [0.0, 0.5], 0.9),
            ],
            "what makes no sense": [
                ({"fc1": [0.9, 0.8]}, [0.0, 0.5, 0.9], 0.85),
                ({"fc1": [0.9, 0.8, 0.7]}, [0.0, 0.5], 0.85),
                *(({"fc1": [0.9, 0.8]}, [0.0, share], 0.85) for share in IMPOSSIBLE_SHARES),
            ],
        }

    def verify(self, case, data):
        curves, fractions, floor = case
        got = data.returned
        if trouble := _wrong_names(got, curves):
            return trouble
        for name, want in self.expected(case).items():
            ratio = as_number(got[name])
            if same_number(ratio, want):
                continue
            at = dict(zip(fractions, curves[name], strict=True))
            said = f"for {name!r} the ratio is {show(want)}, not {show(ratio)}"
            if fractions != sorted(fractions):
                return f"{said}. The fractions come in no order here; the curve goes with them."
            if ratio == 0:
                return f"{said}. 0 is for a layer of which not even the least may go."
            value = next((v for f, v in at.items() if same_number(ratio, f)), None)
            if value is None:
                if want == 0:
                    return f"{said}: where no fraction is good enough, the layer is left alone."
                return f"{said}. Choose one of the fractions that were measured."
            if value < floor:
                return f"{said}: there the curve is at {show(value)}, below {show(floor)}."
            if ratio > want:
                return (
                    f"{said}: the curve falls below {show(floor)} on the way there, and what comes "
                    "back came back by luck. All smaller fractions must be good as well."
                )
            if same_number(at[want], floor):
                return f"{said}: a value at the floor itself is good enough."
            return f"{said}: a larger fraction is good enough, and so are all before it."
        return None


def overall_sparsity(ratios: dict[str, float], sizes: dict[str, int]) -> float:
    for name, ratio in ratios.items():
        if name not in sizes:
            raise ValueError(f"{name!r} has a ratio and no size.")
        if not 0 <= ratio <= 1:
            raise ValueError(f"the ratio of {name!r} is {ratio}, not a share from 0 to 1.")
    total = sum(sizes.values())
    return sum(ratio * sizes[name] for name, ratio in ratios.items()) / total if total else 0.0


class OverallSparsity(Exercise):
    name = "overall_sparsity"
    lesson = "07"
    signature = "overall_sparsity(ratios, sizes) -> float"
    points = 1
    minutes = 6
    difficulty = 1
    importance = 5
    hints = (
        "How many weights go from one layer? Its ratio times its size. How many are there in all?",
        "The layers to divide by are those in `sizes`, whether they have a ratio or not. "
        "`ratios.get(name, 0)` is 0 for a layer that is left alone.",
    )
    reference = staticmethod(overall_sparsity)

    def cases(self, rng):
        sizes = {"conv1": 288, "fc1": int(rng.integers(20_000, 80_000)), "fc2": 1280}
        percent = rng.choice(range(10, 96), size=len(sizes), replace=False)  # no two alike
        ratios = {name: int(n) / 100 for name, n in zip(sizes, percent, strict=True)}
        first = {"small": 0.9, "large": 0.3}
        return {
            "layers of different size": [
                (first, {"small": 100, "large": 900}),
                (ratios, sizes),
            ],
            "layers without a ratio": [({"fc1": 0.8}, sizes), ({}, sizes)],
            "in another order": [(dict(reversed(ratios.items())), sizes)],
            "none and all": [
                (dict.fromkeys(sizes, 0.0), sizes),
                (dict.fromkeys(sizes, 1), sizes),
                ({}, {}),
                ({"empty": 0.5}, {"empty": 0}),
            ],
            "what makes no sense": [
                ({**ratios, "fc9": 0.5}, sizes),
                *(({**ratios, "fc1": share}, sizes) for share in IMPOSSIBLE_SHARES),
            ],
        }

    def verify(self, case, data):
        ratios, sizes = case
        got, want = as_number(data.returned), self.expected(case)
        if got is None:
            return f"{show(data.returned)} came back, and a number is asked for."
        if same_number(got, want):
            return None
        said = f"the whole loses {show(want)}, not {show(got)}"
        removed = sum(ratio * sizes[name] for name, ratio in ratios.items())
        listed = sum(sizes[name] for name in ratios)
        by_place = sum(r * n for r, n in zip(ratios.values(), sizes.values(), strict=False))
        if same_number(got, 1 - want):
            return f"{said}: this is what stays. A ratio is what goes."
        if same_number(got, 100 * want):
            return f"{said}: this is a percentage, and a share is asked for."
        if same_number(got, removed):
            return f"{said}: this is how many weights go. Divide by how many there are."
        if same_number(got, removed / max(listed, 1)):
            return f"{said}: layers without a ratio belong to the network too."
        if same_number(got, sum(ratios.values()) / max(len(ratios), 1)):
            return f"{said}: this is the plain average. A large layer counts for more."
        if same_number(got, by_place / max(sum(sizes.values()), 1)):
            return f"{said}: the two go together by name, not by their places."
        return f"{said}. Weigh each ratio by its layer's size."


def amc_reward(error: float, flops: float) -> float:
    return -error * math.log(flops)


class AmcReward(Exercise):
    name = "amc_reward"
    lesson = "07"
    signature = "amc_reward(error, flops) -> float"
    points = 1
    minutes = 5
    difficulty = 1
    importance = 3
    hints = (
        "One line: minus the error, times the natural logarithm of the number of operations.",
        "`math.log(x)` is the natural logarithm. `math.log10` and `math.log2` are others.",
    )
    reference = staticmethod(amc_reward)

    def cases(self, rng):
        error = round(float(rng.uniform(0.05, 0.4)), 3)
        return {
            "networks": [
                (0.1, 1e6),
                (error, int(rng.integers(10**6, 10**9))),
                (0.3, round(float(rng.uniform(1e4, 1e5)), 1)),
            ],
            "very large": [(error, 4_000_000_000), (0.25, 2e12)],
            "very small": [(0.5, 12.0), (error, 3)],
            "no error, nothing but errors": [(0.0, 5e5), (0, 7e8), (1.0, 5e5), (1, 1e6)],
            "one operation, less than one": [(error, 1), (error, 0.5)],
        }

    def verify(self, case, data):
        error, flops = case
        got, want = as_number(data.returned), self.expected(case)
        if got is None:
            return f"{show(data.returned)} came back, and a number is asked for."
        if same_number(got, want):
            return None
        said = f"the reward is {show(want)}, not {show(got)}"
        if same_number(got, -want):
            return f"{said}: a reward is to be made large, so the error takes a minus sign."
        for other in (math.log10, math.log2):
            if same_number(got, -error * other(flops)):
                return f"{said}: this is `{other.__name__}`, not the natural logarithm."
        if same_number(got, -error * flops):
            return f"{said}: the operations enter by their logarithm."
        if same_number(got, -error * math.log1p(flops)):
            return f"{said}: `log1p` adds 1 to the operations first."
        if same_number(got, -(1 - error) * math.log(flops)):
            return f"{said}: `error` is the share of wrong answers already."
        if same_number(got, -error - math.log(flops)):
            return f"{said}: the two are multiplied, not added."
        return f"{said}."


def pareto_front(points: list[tuple[float, float]]) -> list[int]:
    front = []
    for i, (cost, accuracy) in enumerate(points):
        beaten = any(
            (other <= cost and better >= accuracy and (other, better) != (cost, accuracy))
            or ((other, better) == (cost, accuracy) and j < i)
            for j, (other, better) in enumerate(points)
        )
        if not beaten:
            front.append(i)
    return front


class ParetoFront(Exercise):
    name = "pareto_front"
    lesson = "07"
    signature = "pareto_front(points) -> list[int]"
    points = 3
    minutes = 15
    difficulty = 3
    importance = 4
    hints = (
        "Take one point at a time and ask: is there another that makes it pointless? Write that "
        "question as a function of two points first.",
        "`other` beats `one` if it costs no more, is no less accurate, and is not the very same "
        "point. Two loops do; there are not many points.",
        "Of equal points the first stays: an equal point with a smaller index beats, too. Collect "
        "the indices in the order of the list, and they ascend by themselves.",
    )
    reference = staticmethod(pareto_front)

    def cases(self, rng):
        def cloud(count):
            costs = rng.permutation(1000)[:count] / 10
            accuracies = rng.permutation(1000)[:count] / 1000
            return [(float(c), float(a)) for c, a in zip(costs, accuracies, strict=True)]

        tied = [(10.0, 0.9), (5.0, 0.9), (20.0, 0.95), (5.0, 0.8), (20.0, 0.9), (7.0, 0.9)]
        twice = [(8.0, 0.5), (3.0, 0.7), (3.0, 0.7), (9.0, 0.8), (1.0, 0.2), (9.0, 0.8)]
        order = [int(i) for i in rng.permutation(6)]
        descending = [(float(10 - n), 0.9 - n / 20) for n in range(6)]
        return {
            "some points": [
                ([(4.0, 0.8), (2.0, 0.6), (3.0, 0.5), (8.0, 0.9), (9.0, 0.85)],),
                (cloud(12),),
                (cloud(30),),
            ],
            "as good for less, better for the same": [
                (tied,),
                ([tied[i] for i in order],),
            ],
            "the same point twice": [(twice,), ([twice[i] for i in order],)],
            "all of them, or one": [
                (descending,),
                (sorted((n + 1.0, 1 - 1 / (n + 1)) for n in range(5)),),
                ([(2.0, 0.5)] * 4,),
                ([(1.0, 0.9), *((c + 1, a * 0.9) for c, a in cloud(6))],),
            ],
            "few points": [([(3.0, 0.5)],), ([],), ([(3, 0.5), (3, 0.6)],)],
            "negative accuracies, whole numbers": [
                ([(1, -5), (2, -3), (3, -4), (4, -1), (0, -9)],),
            ],
        }

    def shown(self, case):
        return f"pareto_front({case[0]})" if len(case[0]) < 9 else f"{len(case[0])} points"

    def verify(self, case, data):
        (points,) = case
        got, want = data.returned, self.expected(case)
        if isinstance(got, torch.Tensor):
            got = got.flatten().tolist()
        if not isinstance(got, list | tuple):
            return f"{show(got)} came back, and a list is asked for."
        if any(as_number(i) is None for i in got):
            return f"{show(got)} came back, and numbers are asked for: indices."
        if any(isinstance(i, bool) for i in got):
            return "yes and no for each point came back, and indices are asked for."
        got = [as_number(i) for i in got]
        if got == want:
            return None
        if sorted(got) == want:
            return "these are the right points, and their indices should ascend."
        inside = all(i in range(len(points)) for i in got)
        best = {points[i] for i in want}
        if not inside or {points[int(i)] for i in got} != best:
            if sorted(i - 1 for i in got) == want:
                return "indices count from 0."
            if not inside:
                return f"{show(got)} are not all indices of {len(points)} points."
            chosen = {points[int(i)] for i in got}
            if chosen == _dearest(points):
                return "these points cost the most for what they bring: a low cost is good."
            return _wrong_point(points, chosen, best)
        if len(got) > len(want):
            return "of equal points only the first is to stay."
        return f"of equal points the first is to stay: {want}, not {[int(i) for i in got]}."


def _dearest(points) -> set:
    """The front of somebody who takes a high cost for a good thing."""
    return {points[i] for i in pareto_front([(-cost, accuracy) for cost, accuracy in points])}


def _wrong_point(points, chosen: set, best: set) -> str:
    """The first point that is there and should not be, or the reverse."""
    for cost, accuracy in (point for point in points if point in chosen - best):
        by = next(p for p in points if p in best and p[0] <= cost and p[1] >= accuracy)
        if by[0] < cost and by[1] > accuracy:
            return f"{(cost, accuracy)} stays, and {by} is cheaper and better."
        return f"{(cost, accuracy)} stays, and {by} matches it in one and beats it in the other."
    lost = next(point for point in points if point in best - chosen)
    return f"{lost} is missing, and no point beats it."


def search_ratios(curves: dict, fractions: list, costs: dict, budget: float) -> dict[str, float]:
    for name, curve in curves.items():
        if name not in costs:
            raise ValueError(f"{name!r} has no cost.")
        if len(curve) != len(fractions):
            raise ValueError(f"{name!r} has {len(curve)} values for {len(fractions)} fractions.")
    # Layer by layer, the partial choices that no other beats in both cost and loss.
    choices = [(0.0, 0.0, {})]
    for name, curve in curves.items():
        longer = [
            (cost + costs[name] * (1 - share), loss - value, {**chosen, name: share})
            for cost, loss, chosen in choices
            for share, value in zip(fractions, curve, strict=True)
        ]
        choices, least = [], math.inf
        for choice in sorted(longer, key=lambda choice: choice[:2]):
            if choice[0] <= budget and choice[1] < least:
                choices.append(choice)
                least = choice[1]
    if not choices:
        raise ValueError(f"no choice of fractions costs {budget} or less.")
    return choices[-1][2]


class SearchRatios(Exercise):
    name = "search_ratios"
    lesson = "07"
    signature = "search_ratios(curves, fractions, costs, budget) -> dict[str, float]"
    points = 4
    minutes = 30
    difficulty = 4
    importance = 4
    hints = (
        "The simplest right way looks at every combination: `itertools.product(range("
        "len(fractions)), repeat=len(curves))`. Five layers and six fractions make 7,776 of them.",
        "For each combination add up the kept cost, `costs[name] * (1 - fraction)`. If that is "
        "within the budget, add up what the curves say there, and keep the best so far.",
        "The smallest summed loss is the largest sum of the curves' values: the values at fraction "
        "0 are the same for all. If nothing fits the budget, say so with `ValueError`.",
    )
    reference = staticmethod(search_ratios)

    def cases(self, rng):
        def problem(layers, fractions, kept, reach, rises=False):
            costs = {f"layer{n}": int(rng.integers(10, 400)) for n in range(layers)}
            curves = {}
            for name in costs:
                falls = rng.uniform(0.2, 3) * rng.uniform(0.1, 1, size=len(fractions)) ** 2
                curve = 0.98 - (falls * rng.uniform(0, 0.12) + 0.002).cumsum()
                if rises:
                    curve = curve + rng.uniform(-0.03, 0.03, size=len(fractions))
                curves[name] = [round(float(value), 4) for value in curve]
            # No sum of costs comes out at this budget, where the order of adding would decide.
            return curves, fractions, costs, round(kept * sum(costs.values())) + 0.05, reach

        quarters = [0.0, 0.25, 0.5, 0.75]
        tenths = [0.0, 0.3, 0.5, 0.7, 0.8, 0.9]
        order = [int(i) for i in rng.permutation(6)]
        eighths = [*quarters, 0.875]
        uneven = {"a": [0.98, 0.96, 0.93, 0.88, 0.5], "b": [0.98, 0.98, 0.94, 0.92, 0.5]}
        exact = {"a": [0.9, 0.8, 0.7], "b": [0.9, 0.5, 0.1]}
        lucky = {"a": [0.9, 0.95, 0.6], "b": [0.9, 0.91, 0.7]}
        curves, _, costs, budget, _ = problem(4, tenths, 0.4, 1.0)
        shuffled = {name: [curve[i] for i in order] for name, curve in curves.items()}
        return {
            "within the budget": [
                (uneven, eighths, {"a": 200, "b": 100}, 130, 0.0),
                problem(2, quarters, 0.5, 0.0),
                problem(3, quarters, 0.4, 0.0),
                problem(4, tenths, 0.5, 0.0),
            ],
            "half of the way to the best": [problem(4, tenths, 0.4, 0.5) for _ in range(3)],
            "nine tenths of the way": [
                (uneven, eighths, {"a": 200, "b": 100}, 130, 0.9),
                *(problem(5, tenths, 0.35, 0.9) for _ in range(3)),
            ],
            "the best there is": [problem(5, tenths, share, 1.0) for share in (0.3, 0.4, 0.6)],
            "curves that rise": [
                (lucky, [0.0, 0.5, 0.9], {"a": 100, "b": 60}, 200, 1.0),
                problem(4, tenths, 0.6, 1.0, rises=True),
                problem(4, tenths, 0.5, 1.0, rises=True),
            ],
            "fractions in any order": [
                (shuffled, [tenths[i] for i in order], costs, budget, 1.0),
            ],
            "exactly the budget": [
                (exact, [0.0, 0.5, 0.75], {"a": 64, "b": 128}, 160, 1.0),
                (exact, [0.0, 0.5, 0.75], {"a": 64, "b": 128}, 48, 1.0),
            ],
            "a free layer, one layer, none": [
                (exact, [0.0, 0.5, 0.75], {"a": 0, "b": 100}, 60, 1.0),
                ({"a": [0.9, 0.7, 0.2]}, [0.0, 0.5, 0.75], {"a": 100}, 60.5, 1.0),
                ({}, [0.0, 0.5], {}, 10, 1.0),
            ],
            "other units": [
                (
                    {"a": [98.0, 96.5, 40.0], "b": [98.0, 90.0, 88.5]},
                    [0.0, 0.5, 0.75],
                    {"a": 2.5e6, "b": 1.5e6},
                    1.9e6,
                    1.0,
                ),
            ],
            "what makes no sense": [
                (exact, [0.0, 0.5, 0.75], {"a": 64, "b": 128}, 47, 1.0),
                (exact, [0.0, 0.5], {"a": 64, "b": 128}, 150, 1.0),
                (exact, [0.0, 0.5, 0.75, 1.0], {"a": 64, "b": 128}, 150, 1.0),
                (exact, [0.0, 0.5, 0.75], {"a": 64}, 150, 1.0),
            ],
        }

    def shown(self, case):
        curves, fractions, costs, budget, _ = case
        if len(curves) > 2:
            return (
                f"search_ratios with {len(curves)} layers, {len(fractions)} fractions and a budget "
                f"of {show(budget / sum(costs.values()))} of the cost"
            )
        return f"search_ratios({', '.join(map(show, (curves, fractions, costs, budget)))})"

    def call(self, inputs, answer):
        return answer(*inputs[:4])

    def verify(self, case, data):
        curves, fractions, costs, budget, reach = case
        got = data.returned
        if trouble := _wrong_names(got, curves):
            return trouble
        ratios = {name: as_number(got[name]) for name in curves}
        for name, ratio in ratios.items():
            if not any(same_number(ratio, fraction) for fraction in fractions):
                return f"{show(ratio)} for {name!r} is none of the fractions."
        kept = sum(costs[name] * (1 - ratio) for name, ratio in ratios.items())
        if kept > budget + 1e-6 * sum(costs.values()):
            removed = sum(costs.values()) - kept
            free = {name: fractions[curve.index(max(curve))] for name, curve in curves.items()}
            said = f"what is kept costs {show(kept)}, and the budget is {show(budget)}"
            if same_number(_loss(curves, fractions, ratios), _loss(curves, fractions, free)):
                return f"{said}. Without a budget this would be the best choice."
            if removed <= budget:
                return f"{said}. The budget is for what stays, not for what goes."
            return f"{said}."
        lost = _loss(curves, fractions, ratios)
        best, even = self._best(case), _even(curves, fractions, costs, budget)
        worst = max(even, best)
        if lost <= worst - reach * (worst - best) + 1e-6 * (1 + abs(best)):
            return None
        said = f"the summed loss is {show(lost)}, and {show(best)} can be had"
        if self._matches(case, ratios, gains=False):
            return f"{said}: a curve that rises is a gain, and counts as one."
        if same_number(lost, even):
            return f"{said}: the same fraction for every layer ignores the curves."
        if same_number(lost, _loss(curves, fractions, dict.fromkeys(curves, max(fractions)))):
            return f"{said}: as much as possible was removed. The budget need only be kept."
        if self._matches(case, ratios, budget * (1 - 1e-9)):
            return f"{said}: what costs exactly the budget is within it."
        if self._matches(case, ratios, worst=True):
            return f"{said}: the sum counts, not the worst layer or the largest step."
        return f"{said}."

    def _best(self, case) -> float:
        """The loss of the best choice, against fraction 0."""
        return _loss(case[0], case[1], self.expected(case))

    def _matches(self, case, ratios, budget=None, gains=True, worst=False) -> bool:
        """Whether this is as good as can be by another aim: less budget, or another loss."""
        curves, fractions, costs, wanted, _ = case
        budget = wanted if budget is None else budget

        def aim(choice):
            each = [_loss({name: curves[name]}, fractions, choice) for name in curves]
            each = each if gains else [max(0.0, loss) for loss in each]
            return max(each) if worst else sum(each)

        affordable = [
            choice
            for picks in itertools.product(fractions, repeat=len(curves))
            for choice in [dict(zip(curves, picks, strict=True))]
            if sum(costs[name] * (1 - share) for name, share in choice.items()) <= budget
        ]
        return bool(affordable) and same_number(aim(ratios), min(map(aim, affordable)))


def _loss(curves: dict, fractions: list, ratios: dict[str, float]) -> float:
    """What these ratios lose against fraction 0, the layers' losses added up."""
    total = 0.0
    for name, curve in curves.items():
        at = min(range(len(fractions)), key=lambda i: abs(fractions[i] - ratios[name]))
        total += curve[fractions.index(0.0)] - curve[at]
    return total


def _even(curves: dict, fractions: list, costs: dict, budget: float) -> float:
    """The loss of the smallest fraction that, the same for every layer, keeps the budget."""
    enough = [f for f in fractions if sum(costs.values()) * (1 - f) <= budget * (1 + 1e-9)]
    if not enough:
        return math.inf
    return _loss(curves, fractions, dict.fromkeys(curves, min(enough)))


EXERCISES = [
    Sensitivity(),
    RatiosForFloor(),
    OverallSparsity(),
    AmcReward(),
    ParetoFront(),
    SearchRatios(),
]
