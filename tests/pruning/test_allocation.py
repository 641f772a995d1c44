import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from course_utils import models
from course_utils.measure import prunable_weights
from course_utils.pruning import allocation


def lenet_like():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


# --- sensitivity


def test_each_fraction_starts_from_the_original_weights():
    model = lenet_like()
    original = {name: weight.detach().clone() for name, weight in prunable_weights(model).items()}
    seen = []

    def evaluate(m):
        seen.append({name: w.detach().clone() for name, w in prunable_weights(m).items()})
        return float(len(seen))

    curves = allocation.sensitivity(model, ["0", "2.weight"], [0.5, 0.1, 0.0], evaluate)
    assert curves == {"0": [1.0, 2.0, 3.0], "2.weight": [4.0, 5.0, 6.0]}
    layers = ["0.weight"] * 3 + ["2.weight"] * 3
    for layer, fraction, weights in zip(layers, [0.5, 0.1, 0.0] * 2, seen, strict=True):
        for name, weight in weights.items():
            sizes = original[name].abs()
            count = round(fraction * sizes.numel()) if name == layer else 0
            smallest = sizes.numpy().ravel().argsort()[:count]
            expected = original[name].flatten().clone()
            expected[torch.from_numpy(smallest)] = 0
            assert torch.equal(weight.flatten(), expected)
    assert all(torch.equal(w, original[name]) for name, w in prunable_weights(model).items())


def test_an_exception_gives_the_weights_back():
    model = lenet_like()
    before = model[0].weight.detach().clone()
    parameter = model[0].weight

    def evaluate(m):
        raise ArithmeticError("broken on purpose")

    with pytest.raises(ArithmeticError):
        allocation.sensitivity(model, ["0"], [0.5], evaluate)
    assert model[0].weight is parameter and torch.equal(parameter, before)


def test_sensitivity_works_on_any_layout_and_on_a_bare_layer():
    conv = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    curve = allocation.sensitivity(conv, [""], [0.25], lambda m: int((m.weight == 0).sum()))
    assert curve == {"": [54]}
    assert int((conv.weight == 0).sum()) == 0


def test_sensitivity_refuses_before_it_evaluates():
    def never(model):
        raise AssertionError("evaluated")

    model = lenet_like()
    with pytest.raises(ValueError, match="'1' is not a prunable layer"):
        allocation.sensitivity(model, ["0", "1"], [0.5], never)
    for wrong in (1.5, -0.1, math.nan, None, True):
        with pytest.raises(ValueError, match="a fraction must be a share from 0 to 1"):
            allocation.sensitivity(model, ["0"], [0.5, wrong], never)
    with torch.no_grad():
        model[2].weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        allocation.sensitivity(model, ["0", "2"], [0.5], never)
    prune.l1_unstructured(model[0], "weight", 0.5)  # would write over whatever is zeroed
    with pytest.raises(ValueError, match=r"0\.weight is not a parameter of the model"):
        allocation.sensitivity(model, ["0"], [0.5], never)


# --- the threshold rule


def test_a_fraction_counts_only_if_all_smaller_ones_hold():
    curves = {
        "falls": [0.9, 0.8, 0.7, 0.1],
        "returns": [0.9, 0.2, 0.9, 0.9],
        "never": [0.1, 0.1, 0.1, 0.1],
        "always": [0.9, 0.9, 0.9, 0.9],
        "edge": [0.7, 0.7, 0.69, 0.9],
    }
    ratios = allocation.ratios_for_floor(curves, [0.1, 0.4, 0.6, 0.9], 0.7)
    assert ratios == {"falls": 0.6, "returns": 0.1, "never": 0.0, "always": 0.9, "edge": 0.4}


def test_the_order_of_the_fractions_does_not_matter():
    ratios = allocation.ratios_for_floor({"a": [0.1, 0.9, 0.8]}, [0.9, 0.1, 0.5], 0.7)
    assert ratios == {"a": 0.5}


def test_curves_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="2 values for 1 fractions"):
        allocation.ratios_for_floor({"a": [0.9, 0.8]}, [0.5], 0.7)
    with pytest.raises(ValueError, match="not a number"):
        allocation.ratios_for_floor({"a": [math.nan]}, [0.5], 0.7)
    with pytest.raises(ValueError, match="floor"):
        allocation.ratios_for_floor({"a": [0.9]}, [0.5], math.nan)


# --- shares by shape

SHAPES = {"conv1": (32, 1, 3, 3), "conv2": (64, 32, 3, 3), "fc1": (128, 512), "fc2": (10, 128)}


def kept(ratios, shapes):
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    return {name: sizes[name] - round(ratios[name] * sizes[name]) for name in shapes}


@settings(max_examples=80)
@given(
    shapes=st.dictionaries(
        st.text(min_size=1, max_size=3),
        st.lists(st.integers(1, 30), min_size=1, max_size=4).map(tuple),
        min_size=1,
        max_size=6,
    ),
    sparsity=st.floats(0, 1),
    rule=st.sampled_from([allocation.erk, allocation.size_aware]),
)
def test_the_counts_add_up_exactly_and_never_pass_the_layer(shapes, sparsity, rule):
    total = sum(math.prod(shape) for shape in shapes.values())
    ratios = rule(shapes, sparsity)
    assert all(0 <= ratio <= 1 for ratio in ratios.values())
    assert sum(kept(ratios, shapes).values()) == total - round(sparsity * total)


def test_erk_density_follows_the_sum_over_the_product_of_the_dimensions():
    ratios = allocation.erk(SHAPES, 0.9)
    factor = {
        name: (1 - ratios[name]) * math.prod(shape) / sum(shape) for name, shape in SHAPES.items()
    }
    assert ratios["conv1"] == 0.0  # by the rule alone its density would pass 1
    assert factor["fc1"] == pytest.approx(factor["conv2"], rel=0.01)
    assert factor["fc1"] == pytest.approx(factor["fc2"], rel=0.02)


def test_erk_by_hand_with_one_layer_dense():
    # 2 x 2: 4 weights, 4/4 = 1; 10 x 10: 100 weights, 20/100 = 0.2. Keep 52 of 104: factor 52/24
    # makes the first 2.17 dense, so it keeps its 4 and the other the remaining 48.
    assert allocation.erk({"small": (2, 2), "large": (10, 10)}, 0.5) == {"small": 0, "large": 0.52}


def test_size_aware_keeps_in_proportion_to_a_power_of_the_size():
    shapes = {"small": (10, 10), "large": (100, 100)}
    assert kept(allocation.size_aware(shapes, 0.989109, 0.0), shapes) == {"small": 55, "large": 55}
    assert kept(allocation.size_aware(shapes, 0.5, 1.0), shapes) == {"small": 50, "large": 5000}
    counts = kept(allocation.size_aware(shapes, 0.95, 0.5), shapes)
    assert counts["large"] / counts["small"] == pytest.approx(10, rel=0.02)


def test_shares_are_taken_of_a_model_too():
    ratios = allocation.erk(models.lenet(), 0.9)
    assert list(ratios) == ["fc1.weight", "fc2.weight", "fc3.weight"]
    assert ratios["fc3.weight"] < ratios["fc1.weight"]
    assert allocation.erk(nn.ReLU(), 0.9) == {}


def test_a_sparsity_or_a_shape_that_makes_no_sense_is_refused():
    for wrong in (-0.1, 1.1, math.nan, None):
        with pytest.raises(ValueError, match="a sparsity must be a share from 0 to 1"):
            allocation.erk(SHAPES, wrong)
    with pytest.raises(ValueError, match="the shape of a"):
        allocation.erk({"a": (3, 0)}, 0.5)
    with pytest.raises(ValueError, match="power"):
        allocation.size_aware(SHAPES, 0.5, 1.5)


# --- small rules


def test_overall_sparsity_is_weighted_by_size():
    sizes = {"a": 100, "b": 300, "c": 600}
    assert allocation.overall_sparsity({"a": 0.5, "b": 0.9}, sizes) == pytest.approx(0.32)
    assert allocation.overall_sparsity({}, {}) == 0.0
    with pytest.raises(ValueError, match="ratio for d"):
        allocation.overall_sparsity({"d": 0.5}, sizes)
    with pytest.raises(ValueError, match="the ratio of a"):
        allocation.overall_sparsity({"a": 1.5}, sizes)


def test_the_amc_reward_by_hand():
    assert allocation.amc_reward(0.1, math.e**3) == pytest.approx(-0.3)
    assert allocation.amc_reward(0.0, 5.0) == 0.0
    for error, flops in ((math.nan, 1.0), (-0.1, 1.0), (0.1, 0.0), (0.1, math.nan), (0.1, -1.0)):
        with pytest.raises(ValueError):
            allocation.amc_reward(error, flops)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12))
def test_the_front_is_that_of_the_definition(points):
    def beaten(i):
        cost, accuracy = points[i]
        return any(
            (c <= cost and a >= accuracy and (c, a) != (cost, accuracy))
            or ((c, a) == (cost, accuracy) and j < i)
            for j, (c, a) in enumerate(points)
        )

    expected = [i for i in range(len(points)) if not beaten(i)]
    assert allocation.pareto_front(points) == expected


def test_a_point_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        allocation.pareto_front([(1.0, 0.5), (math.nan, 0.9)])


# --- the search


def outcome(chosen, curves, fractions, costs):
    loss = sum(max(curves[n]) - curves[n][fractions.index(f)] for n, f in chosen.items())
    return loss, sum(costs[name] * (1 - f) for name, f in chosen.items())


def brute_force(curves, fractions, costs, budget):
    best = math.inf
    for choice in itertools.product(fractions, repeat=len(curves)):
        loss, cost = outcome(dict(zip(curves, choice, strict=True)), curves, fractions, costs)
        if cost <= budget + 1e-9:
            best = min(best, loss)
    return best


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10**6),
    layers=st.integers(1, 5),
    choices=st.integers(1, 5),
    digits=st.sampled_from([1, 3, 16]),
    tightness=st.floats(0, 1.1),
)
def test_the_search_is_as_good_as_trying_everything(seed, layers, choices, digits, tightness):
    rng = np.random.default_rng(seed)
    fractions = (rng.permutation(100)[:choices] / 100).tolist()
    curves = {str(i): rng.random(choices).round(digits).tolist() for i in range(layers)}
    costs = {name: round(rng.random(), digits) * 10 for name in curves}
    dense = sum(costs.values())
    least = sum(cost * (1 - max(fractions)) for cost in costs.values())
    budget = least + tightness * (dense - least)
    best = brute_force(curves, fractions, costs, budget)
    chosen = allocation.search(curves, fractions, costs, budget)
    loss, cost = outcome(chosen, curves, fractions, costs)
    assert list(chosen) == list(curves)
    assert cost <= budget + 1e-9
    assert loss == pytest.approx(best, abs=1e-9)


def test_greed_alone_would_fail_here():
    curves = {"a": [1.0, 0.4], "b": [1.0, 0.45], "c": [1.0, 0.45]}
    costs = {"a": 12.0, "b": 10.0, "c": 10.0}
    chosen = allocation.search(curves, [0.0, 1.0], costs, 20.0)
    assert chosen == {"a": 1.0, "b": 0.0, "c": 0.0}
    chosen = allocation.search(curves, [0.0, 1.0], costs, 12.0)
    assert chosen == {"a": 0.0, "b": 1.0, "c": 1.0} or outcome(chosen, curves, [0.0, 1.0], costs)[
        0
    ] == pytest.approx(1.1)


def test_a_large_problem_is_solved_to_the_bound_of_its_relaxation():
    rng = np.random.default_rng(0)
    fractions = np.linspace(0, 0.95, 20).tolist()
    costs = {str(i): float(np.exp(rng.normal())) for i in range(53)}
    curves = {n: (-rng.random() * np.linspace(0, 1, 20) ** 3).tolist() for n in costs}
    budget = 0.4 * sum(costs.values())
    chosen = allocation.search(curves, fractions, costs, budget)
    loss, cost = outcome(chosen, curves, fractions, costs)

    def relaxed(price):  # a lower bound for any price of cost
        best = [
            min(-v + price * costs[n] * (1 - f) for v, f in zip(curves[n], fractions, strict=True))
            for n in costs
        ]
        return sum(best) - price * budget

    bound = max(relaxed(price) for price in np.linspace(0, 2, 2001))
    assert cost <= budget + 1e-9
    assert bound <= loss <= bound + 0.005


def test_losses_in_step_with_costs_are_cut_short_and_still_good(monkeypatch):
    monkeypatch.setattr(allocation, "MOST_PARTIAL_CHOICES", 50)
    rng = np.random.default_rng(1)
    costs = {str(i): float(rng.random()) for i in range(30)}
    fractions = [0.0, 0.3, 0.7, 1.0]
    curves = {name: [-cost * f for f in fractions] for name, cost in costs.items()}
    budget = 0.5 * sum(costs.values())
    loss, cost = outcome(
        allocation.search(curves, fractions, costs, budget), curves, fractions, costs
    )
    assert cost <= budget + 1e-9
    assert loss <= sum(costs.values()) - budget + max(costs.values())


def test_an_impossible_budget_and_unfit_input_are_refused():
    curves, fractions = {"a": [0.9, 0.5], "b": [0.9, 0.5]}, [0.0, 0.5]
    with pytest.raises(ValueError, match="still cost 10"):
        allocation.search(curves, fractions, {"a": 10, "b": 10}, 9.0)
    assert allocation.search(curves, fractions, {"a": 10, "b": 10}, 10.0) == {"a": 0.5, "b": 0.5}
    with pytest.raises(ValueError, match="both have b"):
        allocation.search(curves, fractions, {"a": 10}, 9.0)
    with pytest.raises(ValueError, match="cost of a"):
        allocation.search(curves, fractions, {"a": -1, "b": 1}, 9.0)
    with pytest.raises(ValueError, match="budget"):
        allocation.search(curves, fractions, {"a": 1, "b": 1}, math.nan)
    with pytest.raises(ValueError, match="finite"):
        allocation.search({"a": [math.inf]}, [0.5], {"a": 1}, 9.0)
    assert allocation.search({}, [0.5], {}, 0.0) == {}
