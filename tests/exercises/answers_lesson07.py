"""Answers to lesson 07."""

import copy
import itertools
import math

import numpy
import torch
from bank import right, wrong
from torch import nn
from torch.nn.utils import prune


def shares_checked(*shares):
    for share in shares:
        if not (share >= 0 and share <= 1):
            raise ValueError(f"{share} is not between 0 and 1")


# sensitivity --------------------------------------------------------------------------------


def layers_checked(model, names, fractions):
    shares_checked(*fractions)
    modules = dict(model.named_modules())
    for name in names:
        if not isinstance(modules.get(name), nn.Linear | nn.Conv2d):
            raise ValueError(f"{name} cannot be pruned")


@torch.no_grad()
def without(model, name, count, key=torch.abs):
    """A copy of the model whose layer lost `count` weights, the lowest by `key`."""
    pruned = copy.deepcopy(model)
    weight = pruned.get_submodule(name).weight
    flat = weight.detach().clone().flatten()
    flat[key(flat).argsort()[:count]] = 0
    weight.copy_(flat.view(weight.shape))
    return pruned


def size_of(model, name):
    return model.get_submodule(name).weight.numel()


@right("sensitivity")
def on_copies(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    return {
        name: [evaluate(without(model, name, round(f * size_of(model, name)))) for f in fractions]
        for name in names
    }


@right("sensitivity")
def fraction_by_fraction(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {name: torch.zeros(len(fractions), dtype=torch.float64) for name in names}
    for place, fraction in enumerate(fractions):
        for name in names:
            count = round(fraction * size_of(model, name))
            curves[name][place] = evaluate(without(model, name, count))
    return curves


@right("sensitivity")
def in_place_and_back(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {}
    for name in names:
        weight = model.get_submodule(name).weight.data
        original = weight.clone()
        sizes = numpy.abs(original.numpy()).ravel()
        order = numpy.argsort(sizes, kind="stable")
        curves[name] = ()
        try:
            for fraction in fractions:
                mask = numpy.ones(sizes.size, dtype=bool)
                mask[order[: round(fraction * sizes.size)]] = False
                weight.copy_(original * torch.from_numpy(mask).view(weight.shape))
                curves[name] += (evaluate(model),)
        finally:
            weight.copy_(original)
    return curves


@right("sensitivity")
def measures_the_dense_one_as_well(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    if names and fractions:
        evaluate(copy.deepcopy(model))
    return on_copies(model, names[::-1], fractions, evaluate)


@right("sensitivity")
def by_pytorchs_prune_with_the_mask_left_on(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {name: [] for name in names}
    for name, fraction in itertools.product(names, fractions):
        twin = copy.deepcopy(model)
        layer = twin.get_submodule(name)
        prune.l1_unstructured(layer, "weight", round(fraction * layer.weight.numel()))
        curves[name].append(evaluate(twin))
    return curves


@right("sensitivity")
def by_a_new_parameter(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {}
    for name in names:
        layer, curves[name] = model.get_submodule(name), []
        whole = layer.weight
        sizes = whole.detach().double().abs().flatten().tolist()
        order = sorted(range(len(sizes)), key=sizes.__getitem__)
        try:
            for fraction in fractions:
                kept = torch.ones(len(sizes))
                kept[order[: int(fraction * len(sizes) + 0.5)]] = 0  # half-way cases are not asked
                layer.weight = nn.Parameter(whole.detach() * kept.view(whole.shape))
                curves[name].append(float(evaluate(model)))
        finally:
            layer.weight = whole
    return curves


@wrong("sensitivity", "at 0.2 of layer '2' the weight of '0' was not whole")
def goes_on_with_the_pruned(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves, twin = {}, copy.deepcopy(model)
    for name in names:
        curves[name] = []
        for fraction in fractions:
            step = without(twin, name, round(fraction * size_of(model, name)))
            curves[name].append(evaluate(step))
        if fractions:
            twin = step
    return curves


@wrong("sensitivity", "at 0.2 of layer '0' the weight of '2' was not whole")
def prunes_every_layer(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curve = []
    for fraction in fractions:
        twin = model
        for name in names:
            twin = without(twin, name, round(fraction * size_of(model, name)))
        curve.append(evaluate(twin))
    return {name: curve for name in names}


@wrong("sensitivity", "Start anew each time")
def goes_on_with_the_fraction_before(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {}
    for name in names:
        twin, curves[name] = model, []
        for fraction in fractions:
            twin = without(twin, name, round(fraction * size_of(model, name)))
            curves[name].append(evaluate(twin))
    return curves


@wrong("sensitivity", "and here it stayed")
def keeps_the_share(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    return on_copies(model, names, [1 - f for f in fractions], evaluate)


@wrong("sensitivity", "Size is distance from zero")
def forgets_the_sign(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    return {
        name: [
            evaluate(without(model, name, round(f * size_of(model, name)), lambda w: w))
            for f in fractions
        ]
        for name in names
    }


@wrong("sensitivity", "The smallest sizes are to go")
def removes_the_largest(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    return {
        name: [
            evaluate(without(model, name, round(f * size_of(model, name)), lambda w: -w.abs()))
            for f in fractions
        ]
        for name in names
    }


@wrong("sensitivity", "`int` cuts it off")
def truncates(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    return {
        name: [evaluate(without(model, name, int(f * size_of(model, name)))) for f in fractions]
        for name in names
    }


@wrong("sensitivity", "count among the smallest")
def takes_a_share_of_what_is_left(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {}
    for name in names:
        zeros = int((model.get_submodule(name).weight == 0).sum())
        left = size_of(model, name) - zeros
        curves[name] = [
            evaluate(without(model, name, zeros * (f > 0) + round(f * left))) for f in fractions
        ]
    return curves


@wrong("sensitivity", "several tie for the last place")
def compares_with_a_limit(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {}
    for name in names:
        sizes = model.get_submodule(name).weight.detach().abs().flatten()
        curves[name] = []
        for fraction in fractions:
            count = round(fraction * len(sizes))
            limit = sizes.sort().values[count - 1] if count else -1
            curves[name].append(evaluate(without(model, name, int((sizes <= limit).sum()))))
    return curves


@wrong("sensitivity", "Only the weight is pruned")
def prunes_the_bias_too(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {name: [] for name in names}
    for name, fraction in itertools.product(names, fractions):
        twin = without(model, name, round(fraction * size_of(model, name)))
        bias = twin.get_submodule(name).bias
        if bias is not None:
            bias.data[bias.abs().argsort()[: math.ceil(fraction * len(bias))]] = 0
        curves[name].append(evaluate(twin))
    return curves


@wrong("sensitivity", "had lost their value")
def shrinks_what_stays(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {name: [] for name in names}
    for name, fraction in itertools.product(names, fractions):
        twin = copy.deepcopy(model)
        weight = twin.get_submodule(name).weight.data
        weight.mul_(1 - fraction)
        curves[name].append(evaluate(twin))
    return curves


@wrong("sensitivity", "as for another fraction")
def goes_in_ascending_order(model, names, fractions, evaluate):
    return on_copies(model, names, sorted(fractions), evaluate)


@wrong("sensitivity", "one too many")
def removes_one_more(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {}
    for name in names:
        n = size_of(model, name)
        counts = [0 if f == 0 else min(round(f * n) + 1, n) for f in fractions]
        curves[name] = [evaluate(without(model, name, count)) for count in counts]
    return curves


@wrong("sensitivity", "not a difference")
def gives_losses(model, names, fractions, evaluate):
    dense = evaluate(model)
    curves = on_copies(model, names, fractions, evaluate)
    return {name: [dense - value for value in curve] for name, curve in curves.items()}


@wrong("sensitivity", "a dictionary from layer to curve")
def gives_a_list_of_curves(model, names, fractions, evaluate):
    return list(on_copies(model, names, fractions, evaluate).values())


@wrong("sensitivity", "the curves are named")
def uses_parameter_names(model, names, fractions, evaluate):
    curves = on_copies(model, names, fractions, evaluate)
    return {f"{name}.weight": curve for name, curve in curves.items()}


@wrong("sensitivity", "a list of numbers is asked for")
def gives_dictionaries(model, names, fractions, evaluate):
    curves = on_copies(model, names, fractions, evaluate)
    return {n: dict(zip(fractions, curve, strict=True)) for n, curve in curves.items()}


@wrong("sensitivity", "numbers for 2 shares")
def puts_the_dense_one_first(model, names, fractions, evaluate):
    curves = on_copies(model, names, fractions, evaluate)
    return {name: [evaluate(model), *curve] for name, curve in curves.items()}


@wrong("sensitivity", "fractions [0.2, 0.6]: after the call")
def puts_a_view_back(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves = {}
    for name in names:
        weight = model.get_submodule(name).weight.data
        original = weight.clone()
        curves[name] = []
        for fraction in sorted(fractions):
            flat = original.flatten()  # no copy: what is written here is written there
            flat[flat.abs().argsort()[: round(fraction * len(flat))]] = 0
            weight.copy_(flat.view(weight.shape))
            curves[name].append(evaluate(model))
        weight.copy_(original)
    return curves


@wrong("sensitivity", "fractions [0.2, 0.4]: after the call")
def puts_back_only_when_all_goes_well(model, names, fractions, evaluate):
    layers_checked(model, names, fractions)
    curves, before = {}, copy.deepcopy(model.state_dict())
    for name in names:
        curves[name] = []
        for fraction in fractions:
            twin = without(model, name, round(fraction * size_of(model, name)))
            model.load_state_dict(twin.state_dict())
            curves[name].append(evaluate(model))
            model.load_state_dict(before)
    return curves


@wrong("sensitivity", "hides an error")
def swallows_errors(model, names, fractions, evaluate):
    try:
        return on_copies(model, names, fractions, evaluate)
    except RuntimeError:
        return {}


@wrong("sensitivity", "-0.1 is not a share")
def takes_any_fraction(model, names, fractions, evaluate):
    return on_copies(
        model, names, [f if f == f and 0 <= f <= 1 else 0 for f in fractions], evaluate
    )


@wrong("sensitivity", "'features.1' is no layer that can be pruned")
def prunes_whatever_has_a_weight(model, names, fractions, evaluate):
    for name in names:
        if not hasattr(dict(model.named_modules()).get(name), "weight"):
            raise ValueError(f"{name} has no weight")
    shares_checked(*fractions)
    return {
        name: [evaluate(without(model, name, round(f * size_of(model, name)))) for f in fractions]
        for name in names
    }


@wrong("sensitivity", "AttributeError")
def knows_every_layer(model, names, fractions, evaluate):
    shares_checked(*fractions)
    for name in names:
        if isinstance(dict(model.named_modules()).get(name), nn.BatchNorm2d):
            raise ValueError("not this one")
    return {
        name: [evaluate(without(model, name, round(f * size_of(model, name)))) for f in fractions]
        for name in names
    }


# ratios_for_floor ---------------------------------------------------------------------------


def curves_checked(curves, fractions):
    shares_checked(*fractions)
    if any(len(curve) != len(fractions) for curve in curves.values()):
        raise ValueError("a curve does not fit the fractions")


@right("ratios_for_floor")
def by_what_all_smaller_ones_do(curves, fractions, floor):
    curves_checked(curves, fractions)
    ratios = {}
    for name, curve in curves.items():
        good = [
            f
            for f in fractions
            if all(v >= floor for g, v in zip(fractions, curve, strict=True) if g <= f)
        ]
        ratios[name] = max(good, default=0.0)
    return ratios


@right("ratios_for_floor")
def by_numpy(curves, fractions, floor):
    curves_checked(curves, fractions)
    order = numpy.argsort(fractions)
    ratios = {}
    for name, curve in curves.items():
        good = numpy.logical_and.accumulate(numpy.asarray(curve)[order] >= floor).sum()
        ratios[name] = numpy.asarray(fractions)[order][good - 1] if good else 0
    return ratios


@right("ratios_for_floor")
def by_takewhile(curves, fractions, floor):
    curves_checked(curves, fractions)

    def last_good(curve):
        pairs = sorted(zip(fractions, curve, strict=True))
        run = list(itertools.takewhile(lambda pair: pair[1] >= floor, pairs))
        return torch.tensor(run[-1][0] if run else 0.0)

    return {name: last_good(curve) for name, curve in curves.items()}


@wrong("ratios_for_floor", "came back by luck")
def takes_the_largest_good_one(curves, fractions, floor):
    curves_checked(curves, fractions)
    pairs = {name: list(zip(fractions, curve, strict=True)) for name, curve in curves.items()}
    return {n: max((f for f, v in pair if v >= floor), default=0.0) for n, pair in pairs.items()}


@wrong("ratios_for_floor", "there the curve is at")
def goes_one_too_far(curves, fractions, floor):
    curves_checked(curves, fractions)
    ratios = {}
    for name, curve in curves.items():
        ratios[name] = 0.0
        for fraction, value in sorted(zip(fractions, curve, strict=True)):
            ratios[name] = fraction
            if value < floor:
                break
    return ratios


@wrong("ratios_for_floor", "this raised ValueError: a layer needs something")
def refuses_to_remove_all(curves, fractions, floor):
    if 1 in fractions:
        raise ValueError("a layer needs something")
    return by_what_all_smaller_ones_do(curves, fractions, floor)


@wrong("ratios_for_floor", "a value at the floor itself")
def wants_more_than_the_floor(curves, fractions, floor):
    return by_what_all_smaller_ones_do(curves, fractions, floor + 1e-9)


@wrong("ratios_for_floor", "a larger fraction is good enough")
def stops_one_too_early(curves, fractions, floor):
    curves_checked(curves, fractions)
    ratios = {}
    for name, curve in curves.items():
        good = [0.0]
        for fraction, value in sorted(zip(fractions, curve, strict=True)):
            if value < floor:
                break
            good.append(fraction)
        ratios[name] = good[-2] if len(good) > 1 else 0.0
    return ratios


@wrong("ratios_for_floor", "the layer is left alone")
def gives_none(curves, fractions, floor):
    ratios = by_what_all_smaller_ones_do(curves, fractions, floor)
    return {name: ratio if ratio > 0 else -1.0 for name, ratio in ratios.items()}


@wrong("ratios_for_floor", "one number is asked for")
def gives_nothing_for_the_sensitive(curves, fractions, floor):
    ratios = by_what_all_smaller_ones_do(curves, fractions, floor)
    return {name: ratio or None for name, ratio in ratios.items()}


@wrong("ratios_for_floor", "there is nothing for the layer")
def leaves_out_the_sensitive(curves, fractions, floor):
    ratios = by_what_all_smaller_ones_do(curves, fractions, floor)
    return {name: ratio for name, ratio in ratios.items() if ratio > 0}


@wrong("ratios_for_floor", "dictionary from layer to share")
def gives_one_ratio(curves, fractions, floor):
    return min(by_what_all_smaller_ones_do(curves, fractions, floor).values(), default=0.0)


@wrong("ratios_for_floor", "not even the least may go")
def gives_up_on_all(curves, fractions, floor):
    ratios = by_what_all_smaller_ones_do(curves, fractions, floor)
    return dict.fromkeys(ratios, 0.0)


@wrong("ratios_for_floor", "Choose one of the fractions")
def goes_between(curves, fractions, floor):
    curves_checked(curves, fractions)
    ratios = {}
    for name, curve in curves.items():
        pairs = sorted(zip(fractions, curve, strict=True))
        ratios[name] = pairs[0][0] if pairs[0][1] >= floor else 0.0
        for (f, v), (g, w) in itertools.pairwise(pairs):
            if v < floor:
                break
            ratios[name] = g if w >= floor else f + (g - f) * (v - floor) / (v - w)
    return ratios


@wrong("ratios_for_floor", "which is none of the layers")
def adds_the_floor(curves, fractions, floor):
    return {**by_what_all_smaller_ones_do(curves, fractions, floor), "floor": floor}


@wrong("ratios_for_floor", "come in no order here")
def needs_them_sorted(curves, fractions, floor):
    curves_checked(curves, fractions)
    ratios = {}
    for name, curve in curves.items():
        ratios[name] = 0.0
        for fraction, value in zip(fractions, curve, strict=True):
            if value < floor:
                break
            ratios[name] = fraction
    return ratios


@wrong("ratios_for_floor", "should raise ValueError")
def takes_what_fits(curves, fractions, floor):
    n = min([len(fractions), *map(len, curves.values())])
    curves = {name: curve[:n] for name, curve in curves.items()}
    return by_what_all_smaller_ones_do(curves, fractions[:n], floor)


# overall_sparsity ---------------------------------------------------------------------------


def ratios_checked(ratios, sizes):
    shares_checked(*ratios.values())
    if set(ratios) - set(sizes):
        raise ValueError("a layer has no size")


@right("overall_sparsity")
def by_counting(ratios, sizes):
    ratios_checked(ratios, sizes)
    gone = sum(ratios.get(name, 0) * size for name, size in sizes.items())
    return gone / max(sum(sizes.values()), 1)


@right("overall_sparsity")
def by_numpys_average(ratios, sizes):
    ratios_checked(ratios, sizes)
    if not sum(sizes.values()):
        return 0
    return numpy.average([ratios.get(name, 0) for name in sizes], weights=list(sizes.values()))


@right("overall_sparsity")
def from_what_stays(ratios, sizes):
    ratios_checked(ratios, sizes)
    total = sum(sizes.values())
    stays = sum(size * (1 - ratios[n]) if n in ratios else size for n, size in sizes.items())
    return torch.tensor(1 - stays / total if total else 0.0, dtype=torch.float64)


@wrong("overall_sparsity", "this is the plain average")
def averages(ratios, sizes):
    ratios_checked(ratios, sizes)
    return sum(ratios.values()) / max(len(ratios), 1)


@wrong("overall_sparsity", "belong to the network too")
def counts_pruned_layers_only(ratios, sizes):
    ratios_checked(ratios, sizes)
    total = sum(sizes[name] for name in ratios)
    return sum(ratios[name] * sizes[name] for name in ratios) / max(total, 1)


@wrong("overall_sparsity", "this is what stays")
def gives_what_stays(ratios, sizes):
    return 1 - by_counting(ratios, sizes)


@wrong("overall_sparsity", "this is how many weights go")
def gives_the_count(ratios, sizes):
    ratios_checked(ratios, sizes)
    return sum(ratios[name] * sizes[name] for name in ratios)


@wrong("overall_sparsity", "this is a percentage")
def gives_percent(ratios, sizes):
    return 100 * by_counting(ratios, sizes)


@wrong("overall_sparsity", "not by their places")
def zips(ratios, sizes):
    ratios_checked(ratios, sizes)
    total = sum(sizes.values())
    if set(ratios) != set(sizes):
        return by_counting(ratios, sizes)
    pairs = zip(ratios.values(), sizes.values(), strict=True)
    return sum(ratio * size for ratio, size in pairs) / total if total else 0.0


@wrong("overall_sparsity", "Weigh each ratio")
def compares_with_what_stays(ratios, sizes):
    gone = by_counting(ratios, sizes)
    return gone / (1 - gone) if gone < 1 else 0.0


@wrong("overall_sparsity", "a number is asked for")
def gives_each_layer(ratios, sizes):
    ratios_checked(ratios, sizes)
    return {name: ratios.get(name, 0) * size for name, size in sizes.items()}


@wrong("overall_sparsity", "ZeroDivisionError")
def divides_by_nothing(ratios, sizes):
    ratios_checked(ratios, sizes)
    return sum(ratios[name] * sizes[name] for name in ratios) / sum(sizes.values())


@wrong("overall_sparsity", "should raise ValueError")
def passes_over_unknown_layers(ratios, sizes):
    shares_checked(*ratios.values())
    return by_counting({name: ratios[name] for name in ratios if name in sizes}, sizes)


# amc_reward ---------------------------------------------------------------------------------


def reward_checked(error, flops):
    shares_checked(error)
    if not flops > 0:
        raise ValueError("flops must be positive")


@right("amc_reward")
def by_math(error, flops):
    reward_checked(error, flops)
    return error * -math.log(flops)


@right("amc_reward")
def by_numpy_log(error, flops):
    reward_checked(error, flops)
    return -(numpy.log(flops) * error)


@right("amc_reward")
def by_torch(error, flops):
    reward_checked(error, flops)
    return error * torch.log(1 / torch.tensor(flops, dtype=torch.float64))


@right("amc_reward")
def by_another_base(error, flops):
    reward_checked(error, flops)
    return -error * math.log10(flops) * math.log(10)


@wrong("amc_reward", "the error takes a minus sign")
def forgets_the_minus(error, flops):
    reward_checked(error, flops)
    return error * math.log(flops)


@wrong("amc_reward", "`log10`")
def takes_log10(error, flops):
    reward_checked(error, flops)
    return -error * math.log10(flops)


@wrong("amc_reward", "`log2`")
def takes_log2(error, flops):
    reward_checked(error, flops)
    return -error * math.log2(flops)


@wrong("amc_reward", "enter by their logarithm")
def takes_no_logarithm(error, flops):
    reward_checked(error, flops)
    return -error * flops


@wrong("amc_reward", "adds 1 to the operations")
def takes_log1p(error, flops):
    reward_checked(error, flops)
    return -error * math.log1p(flops)


@wrong("amc_reward", "the share of wrong answers already")
def takes_it_for_accuracy(error, flops):
    reward_checked(error, flops)
    return -(1 - error) * math.log(flops)


@wrong("amc_reward", "multiplied, not added")
def adds_them(error, flops):
    reward_checked(error, flops)
    return -error - math.log(flops)


@wrong("amc_reward", "a number is asked for")
def gives_both(error, flops):
    reward_checked(error, flops)
    return [-error, math.log(flops)]


@wrong("amc_reward", "the reward is -1.38155, not -0.0138155.")
def takes_it_for_percent(error, flops):
    reward_checked(error, flops)
    return -error / 100 * math.log(flops)


@wrong("amc_reward", "this raised ValueError: there is no half operation")
def counts_operations_one_by_one(error, flops):
    if not flops >= 1:
        raise ValueError("there is no half operation")
    return by_math(error, flops)


@right("amc_reward")
def takes_any_error(error, flops):
    return -error * math.log(flops)


# pareto_front -------------------------------------------------------------------------------


@right("pareto_front")
def by_sorting(points):
    front, best = [], -math.inf
    for _, accuracy, i in sorted((c, -a, i) for i, (c, a) in enumerate(points)):
        if -accuracy > best:
            front.append(i)
            best = -accuracy
    return sorted(front)


@right("pareto_front")
def by_two_loops(points):
    def beats(i, j):
        (c, a), (d, b) = points[i], points[j]
        if (c, a) == (d, b):
            return i < j
        return c <= d and a >= b

    every = range(len(points))
    return [j for j in every if not any(beats(i, j) for i in every)]


@right("pareto_front")
def by_tensors(points):
    table = torch.tensor(points, dtype=torch.float64).reshape(-1, 2)
    cost, accuracy = table[:, :1], table[:, 1:]
    no_worse = (cost <= cost.T) & (accuracy >= accuracy.T)
    better = (cost < cost.T) | (accuracy > accuracy.T)
    first = torch.ones(len(points), len(points)).triu(1).bool()
    return (~(no_worse & (better | first)).any(0)).nonzero().flatten()


@right("pareto_front")
def in_a_tuple_of_numpy_integers(points):
    return tuple(numpy.array(by_two_loops(points), dtype=numpy.int64))


@wrong("pareto_front", "a low cost is good")
def wants_a_high_cost(points):
    return by_two_loops([(-cost, accuracy) for cost, accuracy in points])


@wrong("pareto_front", "beats it in the other")
def must_be_better_in_both(points):
    return [
        i
        for i, (c, a) in enumerate(points)
        if not any(d < c and b > a for d, b in points)
        and not any(points[j] == (c, a) for j in range(i))
    ]


@wrong("pareto_front", "of equal points only the first")
def keeps_equal_points(points):
    return [
        i
        for i, (c, a) in enumerate(points)
        if not any(d <= c and b >= a and (d, b) != (c, a) for d, b in points)
    ]


@wrong("pareto_front", "(3.0, 0.7) is missing")
def lets_equal_points_beat_each_other(points):
    alone = [points.count(point) == 1 for point in points]
    return [i for i in by_two_loops(points) if alone[i]]


@wrong("pareto_front", "the first is to stay: [")
def keeps_the_last_of_equals(points):
    last = {point: i for i, point in enumerate(points)}
    return sorted(last[points[i]] for i in by_two_loops(points))


@wrong("pareto_front", "indices should ascend")
def goes_by_cost(points):
    return sorted(by_two_loops(points), key=lambda i: points[i][0])


@wrong("pareto_front", "indices count from 0")
def counts_from_one(points):
    return [i + 1 for i in by_two_loops(points)]


@wrong("pareto_front", "numbers are asked for: indices")
def gives_the_points(points):
    return [points[i] for i in by_two_loops(points)]


@wrong("pareto_front", "yes and no for each point")
def gives_a_mask(points):
    front = by_two_loops(points)
    return torch.tensor([i in front for i in range(len(points))])


@wrong("pareto_front", "and a list is asked for")
def gives_yes_and_no(points):
    return {i: True for i in by_two_loops(points)}


@wrong("pareto_front", "are not all indices of")
def counts_from_ten(points):
    return [i + 10 for i in by_two_loops(points)]


@wrong("pareto_front", "(4.0, 0.8) is missing")
def gives_the_best_only(points):
    order = sorted(range(len(points)), key=lambda i: (-points[i][1], points[i][0], i))
    return order[:1]


@wrong("pareto_front", "(3.0, 0.5) stays, and (2.0, 0.6) is cheaper and better")
def beaten_by_neighbours_only(points):
    return [
        i
        for i in range(len(points))
        if i + 1 == len(points)
        or not (points[i + 1][0] <= points[i][0] and points[i + 1][1] >= points[i][1])
    ]


# search_ratios ------------------------------------------------------------------------------


def problem_checked(curves, fractions, costs, budget):
    curves_checked(curves, fractions)
    if set(curves) - set(costs):
        raise ValueError("a layer has no cost")
    if sum(costs[name] for name in curves) * (1 - max(fractions)) > budget * (1 + 1e-12):
        raise ValueError("the budget cannot be kept")


def cost_of(ratios, costs):
    return sum(costs[name] * (1 - ratio) for name, ratio in ratios.items())


def every_choice(curves, fractions, costs, budget):
    for picks in itertools.product(fractions, repeat=len(curves)):
        ratios = dict(zip(curves, picks, strict=True))
        if cost_of(ratios, costs) <= budget:
            yield ratios


def value_at(curves, fractions, name, ratio):
    return curves[name][fractions.index(ratio)]


@right("search_ratios")
def by_all_combinations(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    return max(
        every_choice(curves, fractions, costs, budget),
        key=lambda ratios: sum(value_at(curves, fractions, n, r) for n, r in ratios.items()),
    )


@right("search_ratios")
def by_recursion(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    names = list(curves)
    least = (1 - max(fractions)) * numpy.cumsum([0, *(costs[n] for n in reversed(names))])[::-1]

    def best(place, left):
        if place == len(names):
            return 0.0, {}
        name, found = names[place], (-math.inf, {})
        for share, value in zip(fractions, curves[name], strict=True):
            rest = left - costs[name] * (1 - share)
            if rest < least[place + 1] - 1e-9:
                continue
            later, chosen = best(place + 1, rest)
            if later + value > found[0]:
                found = (later + value, {name: share, **chosen})
        return found

    return best(0, budget)[1]


@right("search_ratios")
def as_a_knapsack(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    states = {0.0: (0.0, {})}
    for name, curve in curves.items():
        following = {}
        for spent, (value, chosen) in states.items():
            for share, more in zip(fractions, curve, strict=True):
                now = spent + costs[name] * (1 - share)
                if now not in following or following[now][0] < value + more:
                    following[now] = (value + more, {**chosen, name: torch.tensor(share)})
        states = following
    return max((state for spent, state in states.items() if spent <= budget), key=lambda s: s[0])[1]


@right("search_ratios")
def by_an_array_of_all_combinations(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    picks = list(itertools.product(range(len(fractions)), repeat=len(curves)))
    saved, value = numpy.zeros(len(picks)), numpy.zeros(len(picks))
    for place, (name, curve) in enumerate(reversed(curves.items())):
        pick = numpy.array([pick[place] for pick in picks])
        saved += costs[name] * numpy.array(fractions)[pick]
        value += numpy.array(curve)[pick] - curve[fractions.index(0.0)]
    fits = sum(costs[name] for name in curves) - saved <= budget
    best = picks[numpy.where(fits, value, -numpy.inf).argmax()]
    return {name: fractions[i] for name, i in zip(reversed(curves), best, strict=True)}


@wrong("search_ratios", "this raised ValueError: nothing fits")
def takes_nothing_for_a_failure(curves, fractions, costs, budget):
    ratios = by_all_combinations(curves, fractions, costs, budget)
    if not ratios:
        raise ValueError("nothing fits")
    return ratios


@wrong("search_ratios", "ignores the curves")
def the_same_everywhere(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    total = sum(costs[name] for name in curves)
    share = min(f for f in fractions if total * (1 - f) <= budget)
    return dict.fromkeys(curves, share)


@wrong("search_ratios", "The budget need only be kept")
def as_much_as_possible(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    return dict.fromkeys(curves, max(fractions))


@wrong("search_ratios", "Without a budget")
def forgets_the_budget(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    return by_all_combinations(curves, fractions, costs, math.inf)


@wrong("search_ratios", "for what stays, not for what goes")
def spends_it_on_what_goes(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    total = sum(costs[name] for name in curves)
    return max(
        (r for r in every_choice(curves, fractions, costs, math.inf)
         if total - cost_of(r, costs) <= 0.9 * budget),
        key=lambda ratios: sum(ratios.values()) if ratios else 0,
    )  # fmt: skip


@wrong("search_ratios", "not the worst layer")
def spares_the_worst_layer(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)

    def worst(ratios):
        return max(
            (
                value_at(curves, fractions, n, 0.0) - value_at(curves, fractions, n, r)
                for n, r in ratios.items()
            ),
            default=0.0,
        )

    return min(every_choice(curves, fractions, costs, budget), key=worst)


@wrong("search_ratios", "counts as one")
def counts_no_gains(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    flat = {
        name: [min(value, curve[fractions.index(0.0)]) for value in curve]
        for name, curve in curves.items()
    }
    return by_all_combinations(flat, fractions, costs, budget)


@wrong("search_ratios", "exactly the budget is within it")
def must_stay_below(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    if cost_of(dict.fromkeys(curves, max(fractions)), costs) >= budget > 0 and curves:
        return dict.fromkeys(curves, max(fractions))
    return by_all_combinations(curves, fractions, costs, budget - 1e-3)


@wrong("search_ratios", "can be had.")
def takes_from_the_costliest_first(curves, fractions, costs, budget):
    problem_checked(curves, fractions, costs, budget)
    ratios = dict.fromkeys(curves, 0.0)
    for name in sorted(curves, key=costs.get, reverse=True):
        for share in sorted(fractions):
            ratios[name] = share
            if cost_of(ratios, costs) <= budget:
                return ratios
    return ratios


@wrong("search_ratios", "is none of the fractions")
def gives_places(curves, fractions, costs, budget):
    ratios = by_all_combinations(curves, fractions, costs, budget)
    return {name: fractions.index(ratio) + 2 for name, ratio in ratios.items()}


@wrong("search_ratios", "a dictionary from layer to share")
def gives_a_list(curves, fractions, costs, budget):
    return list(by_all_combinations(curves, fractions, costs, budget).values())


@wrong("search_ratios", "ValueError (no choice of fractions")
def gives_the_cheapest_if_none_fits(curves, fractions, costs, budget):
    try:
        return by_all_combinations(curves, fractions, costs, budget)
    except ValueError:
        if all(name in costs and len(curve) == len(fractions) for name, curve in curves.items()):
            return dict.fromkeys(curves, max(fractions))
        raise


@wrong("search_ratios", "KeyError")
def trusts_the_costs(curves, fractions, costs, budget):
    curves_checked(curves, fractions)
    if set(costs) == set(curves):
        return by_all_combinations(curves, fractions, costs, budget)
    return cost_of(dict.fromkeys(curves, 0.0), costs)
