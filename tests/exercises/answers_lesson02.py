"""Answers to lesson 02."""

import copy
import math

import numpy
import torch
from bank import right, wrong
from torch import nn
from torch.nn.functional import cross_entropy


def layers(model):
    """Each prunable weight once, by its parameter name, written otherwise than the reference."""
    names, seen = {}, []
    for name, module in model.named_modules():
        if type(module) in (nn.Linear, nn.Conv2d) and id(module.weight) not in seen:
            seen.append(id(module.weight))
            names[".".join(filter(None, [name, "weight"]))] = module.weight
    return names


# magnitude_scores ---------------------------------------------------------------------------


@right("magnitude_scores")
def sizes_in_numpy(model):
    return {n: torch.from_numpy(numpy.abs(w.detach().numpy())) for n, w in layers(model).items()}


@right("magnitude_scores")
def sizes_in_float64(model):
    return {name: weight.double().square().sqrt() for name, weight in layers(model).items()}


@right("magnitude_scores")
def sizes_on_a_clone(model):
    return {name: weight.detach().clone().abs_() for name, weight in layers(model).items()}


@wrong("magnitude_scores", "no sign")
def keeps_the_sign(model):
    return {name: weight.detach().clone() for name, weight in layers(model).items()}


@wrong("magnitude_scores", "these are squares")
def squares_the_weights(model):
    return {name: weight.detach() ** 2 for name, weight in layers(model).items()}


@wrong("magnitude_scores", "divided each layer by its sum")
def normalises_each_layer(model):
    return {name: s / s.sum().clamp(min=1e-12) for name, s in sizes_on_a_clone(model).items()}


@wrong("magnitude_scores", "other numbers came back")
def normalises_by_the_largest(model):
    return {name: s / s.max() for name, s in sizes_on_a_clone(model).items()}


@wrong("magnitude_scores", "is a bias")
def scores_biases_too(model):
    biases = {n: p.detach().abs() for n, p in model.named_parameters() if n.endswith("bias")}
    return {**biases, **sizes_on_a_clone(model)}


@wrong("magnitude_scores", "belongs to no Linear")
def scores_by_name(model):
    return {n: p.detach().abs() for n, p in model.named_parameters() if n.endswith("weight")}


@wrong("magnitude_scores", "it keeps its first name")
def scores_shared_twice(model):
    return {
        f"{name}.weight".lstrip("."): module.weight.detach().abs()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }


@wrong("magnitude_scores", "The keys are names of parameters")
def names_layers(model):
    return {name.removesuffix(".weight"): s for name, s in sizes_on_a_clone(model).items()}


@wrong("magnitude_scores", "without a dot")
def puts_a_dot_before_everything(model):
    scores = sizes_on_a_clone(model)
    return {".weight" if name == "weight" else name: s for name, s in scores.items()}


@wrong("magnitude_scores", "is no parameter of this network")
def adds_a_total(model):
    scores = sizes_on_a_clone(model)
    return {**scores, "total": torch.tensor(0.0)}


@wrong("magnitude_scores", "inside another module")
def looks_at_direct_children(model):
    return {name: s for name, s in sizes_on_a_clone(model).items() if name.count(".") < 2}


@wrong("magnitude_scores", "the scores for '0.weight' are missing.")
def leaves_out_dense_layers(model):
    return {name: s for name, s in sizes_on_a_clone(model).items() if s.dim() == 4}


@wrong("magnitude_scores", "in the weight's shape")
def scores_each_row(model):
    return {name: s.flatten(1).sum(1) for name, s in sizes_on_a_clone(model).items()}


@wrong("magnitude_scores", "instead of a tensor of scores")
def gives_lists(model):
    return {name: s.tolist() for name, s in sizes_on_a_clone(model).items()}


@wrong("magnitude_scores", "Return a dictionary")
def forgets_the_names(model):
    return list(sizes_on_a_clone(model).values())


@wrong("magnitude_scores", "its parameters are not what they were")
def takes_sizes_in_place(model):
    return {name: weight.data.abs_() for name, weight in layers(model).items()}


# gradient_scores and taylor_scores ----------------------------------------------------------


def gradients(model, batches, loss_of=cross_entropy):
    """One dictionary of gradients a batch, the model left as it was."""
    weights, found = layers(model), []
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for x, y in batches if weights else []:
            slopes = torch.autograd.grad(loss_of(model(x), y), list(weights.values()))
            found.append(dict(zip(weights, slopes, strict=True)))
    finally:
        for module, mode in modes:
            module.training = mode
    return found


def average(scores):
    return {name: sum(s[name] for s in scores) / len(scores) for name in (scores or [{}])[0]}


def sizes(slopes):
    return {name: slope.abs() for name, slope in slopes.items()}


def squares(slopes):
    return {name: slope**2 for name, slope in slopes.items()}


def products(model, slopes):
    weights = layers(model)
    return {name: weights[name].detach() * slope for name, slope in slopes.items()}


def by_backward(model, batches, score):
    """`.grad` is used, and put back."""
    weights, totals = layers(model), {}
    before = [(p, p.grad) for p in model.parameters()]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        for x, y in batches if weights else []:
            model.zero_grad(set_to_none=True)
            cross_entropy(model(x), y).backward()
            for name, weight in weights.items():
                totals[name] = totals.get(name, 0) + score(weight.detach(), weight.grad)
    finally:
        for parameter, gradient in before:
            parameter.grad = gradient
        for module, mode in modes.items():
            module.training = mode
    return {name: total / len(batches) for name, total in totals.items()}


def in_float64(model, batches, score):
    twin = copy.deepcopy(model).double()
    exact = [(x.double(), y) for x, y in batches]
    weights = {name: weight.detach() for name, weight in layers(twin).items()}
    return average(
        [{n: score(weights[n], g) for n, g in s.items()} for s in gradients(twin, exact)]
    )


@right("gradient_scores")
def slopes_by_backward(model, batches):
    return by_backward(model, batches, lambda weight, slope: slope.abs())


@right("gradient_scores")
def slopes_in_float64(model, batches):
    return in_float64(model, batches, lambda weight, slope: slope.abs())


@right("gradient_scores")
def slopes_stacked(model, batches):
    found = gradients(model, batches)
    return {name: torch.stack([s[name].abs() for s in found]).mean(0) for name in layers(model)}


@wrong("gradient_scores", "these have signs")
def averages_slopes(model, batches):
    return average(gradients(model, batches))


@wrong("gradient_scores", "opposite sign cancelled")
def averages_before_taking_sizes(model, batches):
    found = gradients(model, batches)
    return sizes(average(found)) if len(found) > 1 else average([*map(sizes, found)])


@wrong("gradient_scores", "sums over the batches")
def sums_over_batches(model, batches):
    found = [*map(sizes, gradients(model, batches))]
    return {name: score * len(found) for name, score in average(found).items()}


@wrong("gradient_scores", "only the last batch")
def keeps_the_last_batch(model, batches):
    return average([*map(sizes, gradients(model, batches)[-1:])])


@wrong("gradient_scores", "those of the batches before")
def never_clears_between_batches(model, batches):
    totals, running = [], {}
    for slopes in gradients(model, batches):
        running = {name: running.get(name, 0) + slope for name, slope in slopes.items()}
        totals.append(sizes(running))
    return average(totals)


@wrong("gradient_scores", "the model had before the call")
def never_clears_at_all(model, batches):
    totals = []
    running = {name: weight.grad for name, weight in layers(model).items()}
    for slopes in gradients(model, batches):
        running = {name: running[name] + slope for name, slope in slopes.items()}
        totals.append(sizes(running))
    return average(totals)


@wrong("gradient_scores", "all examples as one batch")
def joins_the_batches(model, batches):
    joined = [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]
    found = gradients(model, batches if len({len(x) for x, _ in batches}) == 1 else joined)
    return average([*map(sizes, found)])


@wrong("gradient_scores", "here it was their sum")
def sums_over_examples(model, batches):
    def summed(output, y):
        return cross_entropy(output, y, reduction="sum")

    return average([*map(sizes, gradients(model, batches, summed))])


@wrong("gradient_scores", "softmax was applied")
def applies_softmax(model, batches):
    def doubly(output, y):
        return cross_entropy(output.softmax(1), y)

    return average([*map(sizes, gradients(model, batches, doubly))])


@wrong("gradient_scores", "squared slopes")
def squares_slopes(model, batches):
    return average([*map(squares, gradients(model, batches))])


@wrong("gradient_scores", "which comes next")
def multiplies_by_the_weight(model, batches):
    found = gradients(model, batches)
    return average([sizes(products(model, slopes)) for slopes in found])


@wrong("gradient_scores", "not the mean sizes")
def differentiates_the_outputs(model, batches):
    found = gradients(model, batches, lambda output, y: output.sum())
    return average([*map(sizes, found)])


@wrong("gradient_scores", "its buffers are not what they were")
def stays_in_training_mode(model, batches):
    totals = []
    for x, y in batches if layers(model) else []:
        slopes = torch.autograd.grad(cross_entropy(model(x), y), list(layers(model).values()))
        totals.append({n: s.abs() for n, s in zip(layers(model), slopes, strict=True)})
    return average(totals)


@wrong("gradient_scores", "its gradients are not what they were")
def leaves_gradients_behind(model, batches):
    scores = slopes_stacked(model, batches)
    model.zero_grad()
    return scores


@wrong("gradient_scores", "its modes are not what they were")
def leaves_eval_mode_after_an_error(model, batches):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    scores = slopes_stacked(model, batches)
    for module, mode in modes:
        module.training = mode
    return scores


@wrong("gradient_scores", "the scores for")
def scores_one_layer(model, batches):
    return dict([*slopes_stacked(model, batches).items()][:1])


@right("taylor_scores")
def taylor_by_backward(model, batches):
    return by_backward(model, batches, lambda weight, slope: (weight * slope) ** 2)


@right("taylor_scores")
def taylor_in_float64(model, batches):
    return in_float64(model, batches, lambda weight, slope: weight**2 * slope**2)


@right("taylor_scores")
def taylor_stacked(model, batches):
    found = [squares(products(model, slopes)) for slopes in gradients(model, batches)]
    return {name: torch.stack([s[name] for s in found]).mean(0) for name in layers(model)}


@wrong("taylor_scores", "sizes of weight times gradient")
def takes_sizes(model, batches):
    return average([sizes(products(model, slopes)) for slopes in gradients(model, batches)])


@wrong("taylor_scores", "positive and negative batches cancel")
def keeps_signs(model, batches):
    return average([products(model, slopes) for slopes in gradients(model, batches)])


@wrong("taylor_scores", "you squared the mean")
def squares_the_mean(model, batches):
    return squares(average([products(model, slopes) for slopes in gradients(model, batches)]))


@wrong("taylor_scores", "sums over the batches")
def adds_batches_up(model, batches):
    return {name: score * len(batches) for name, score in taylor_stacked(model, batches).items()}


@wrong("taylor_scores", "only the last batch")
def uses_the_last_batch(model, batches):
    return taylor_stacked(model, batches[-1:])


@wrong("taylor_scores", "The weight is missing")
def squares_the_gradient(model, batches):
    return average([*map(squares, gradients(model, batches))])


@wrong("taylor_scores", "only the gradient is squared")
def leaves_the_weight_outside(model, batches):
    found = gradients(model, batches)
    return average([products(model, squares(slopes)) for slopes in found])


@wrong("taylor_scores", "those of the batches before")
def lets_gradients_pile_up(model, batches):
    totals, running = [], {}
    for slopes in gradients(model, batches):
        running = {name: running.get(name, 0) + slope for name, slope in slopes.items()}
        totals.append(squares(products(model, running)))
    return average(totals)


@wrong("taylor_scores", "all examples as one batch")
def merges_the_batches(model, batches):
    joined = [tuple(torch.cat(parts) for parts in zip(*batches, strict=True))]
    even = len({len(x) for x, _ in batches}) == 1
    return taylor_stacked(model, batches if even else joined)


@wrong("taylor_scores", "squared the gradient scores")
def squares_the_gradient_scores(model, batches):
    return squares(products(model, slopes_stacked(model, batches)))


@wrong("taylor_scores", "not the mean squares")
def takes_the_root(model, batches):
    return {name: score.sqrt() / 2 for name, score in taylor_stacked(model, batches).items()}


@wrong("taylor_scores", "is a bias")
def scores_every_parameter(model, batches):
    scores = taylor_stacked(model, batches)
    return {**{name: p.detach() for name, p in model.named_parameters()}, **scores}


@wrong("taylor_scores", "its parameters are not what they were")
def multiplies_in_place(model, batches):
    scores = taylor_stacked(model, batches)
    for weight in layers(model).values():
        weight.data *= 2
    return scores


# threshold ----------------------------------------------------------------------------------


def how_many(scores, fraction):
    if not 0 <= fraction <= 1:
        raise ValueError(f"a fraction lies between 0 and 1, not at {fraction}")
    return round(fraction * scores.numel())


@right("threshold")
def by_sorting_a_list(scores, fraction):
    count = how_many(scores, fraction)
    return sorted(scores.flatten().tolist())[count - 1] if count else -math.inf


@right("threshold")
def by_partition(scores, fraction):
    count = how_many(scores, fraction)
    row = scores.numpy().astype(numpy.float64).ravel()
    return float(numpy.partition(row, count - 1)[count - 1]) if count else float("-inf")


@right("threshold")
def midway_to_the_next(scores, fraction):
    count = how_many(scores, fraction)
    row = scores.double().flatten().sort().values
    if count == 0:
        return -math.inf
    if count == len(row):
        return torch.tensor(math.inf)
    return (row[count - 1] + row[count]) / 2


@wrong("threshold", "this raised")
def forgets_that_none_may_go(scores, fraction):
    return scores.flatten().kthvalue(how_many(scores, fraction)).values.item()


@wrong("threshold", "which is what -inf says")
def gives_zero_for_none(scores, fraction):
    return by_sorting_a_list(scores, fraction) if how_many(scores, fraction) else 0.0


@wrong("threshold", "a rule of its own")
def takes_a_percentile(scores, fraction):
    if how_many(scores, fraction) == 0:
        return -math.inf
    return float(numpy.percentile(scores.double().numpy(), 100 * fraction))


@wrong("threshold", "a share of the largest score")
def takes_a_share_of_the_largest(scores, fraction):
    if how_many(scores, fraction) == 0:
        return -math.inf
    return fraction * scores.max().item()


@wrong("threshold", "from the largest down")
def counts_from_the_largest(scores, fraction):
    count = how_many(scores, fraction)
    if count == 0:
        return -math.inf
    return scores.flatten().sort(descending=True).values[count - 1].item()


@wrong("threshold", "ranked their absolute values")
def ranks_absolute_values(scores, fraction):
    return by_sorting_a_list(scores.abs(), fraction)


@wrong("threshold", "you cut it off")
def cuts_the_count_off(scores, fraction):
    how_many(scores, fraction)
    count = int(fraction * scores.numel() + 1e-9)
    return sorted(scores.flatten().tolist())[count - 1] if count else -math.inf


@wrong("threshold", "one place too far")
def is_one_place_too_far(scores, fraction):
    count = how_many(scores, fraction)
    row = sorted(scores.flatten().tolist())
    return row[min(count, len(row) - 1)] if count else -math.inf


@wrong("threshold", "next value up")
def stops_before_ties(scores, fraction):
    count = how_many(scores, fraction)
    row = scores.double().flatten().sort().values
    if count == 0:
        return -math.inf
    fewer = [v for v in row.tolist() if int((row <= v).sum()) <= count]
    return fewer[-1] if fewer else -math.inf


@wrong("threshold", "is the smallest such")
def goes_up_to_the_next_after_ties(scores, fraction):
    count = how_many(scores, fraction)
    if count == 0:
        return -math.inf
    row = scores.double().flatten().sort().values
    above = row[row > row[count - 1]]
    return (
        row[count - 1].item() + 0.1 if len(above) == 0 else (row[count - 1] + above[0]).item() / 2
    )


@wrong("threshold", "should raise ValueError")
def accepts_any_fraction(scores, fraction):
    fraction = 0.5 if math.isnan(fraction) else min(max(fraction, 0.0), 1.0)
    return by_sorting_a_list(scores, fraction)


@wrong("threshold", "a number is asked for")
def gives_a_mask(scores, fraction):
    return scores <= by_sorting_a_list(scores, fraction)


@wrong("threshold", "scores are below or equal to 0.1, not 2")
def is_one_place_short(scores, fraction):
    count = how_many(scores, fraction)
    return sorted(scores.flatten().tolist())[max(count - 2, 0)] if count else -math.inf


@wrong("threshold", "Work on a copy")
def sorts_in_place(scores, fraction):
    count = how_many(scores, fraction)
    row = scores.flatten()
    scores.copy_(row.sort().values.view(scores.shape))
    return scores.flatten()[count - 1].item() if count else -math.inf


# removal_curve ------------------------------------------------------------------------------


def sensible(model, scores, fractions):
    shapes = {name: p.shape for name, p in model.named_parameters()}
    for name, s in scores.items():
        if name not in shapes or s.shape != shapes[name]:
            raise ValueError(f"these scores do not fit the model: {name}")
    if any(not 0 <= fraction <= 1 for fraction in fractions):
        raise ValueError("a fraction lies between 0 and 1")


def zeroed(model, scores, count, largest=False):
    """A copy of the model without `count` of its weights."""
    pruned = copy.deepcopy(model)
    row = torch.cat([s.flatten() for s in scores.values()])
    gone = torch.zeros(len(row), dtype=torch.bool)
    gone[row.topk(count, largest=largest).indices] = True
    with torch.no_grad():
        for name, s in scores.items():
            pruned.get_parameter(name)[gone[: s.numel()].view(s.shape)] = 0
            gone = gone[s.numel() :]
    return pruned


def size(scores):
    return sum(s.numel() for s in scores.values())


@right("removal_curve")
def on_copies(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    return [evaluate(zeroed(model, scores, round(f * size(scores)))) for f in fractions]


@right("removal_curve")
def in_one_loop(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    twin, results = copy.deepcopy(model), []
    row = numpy.concatenate([scores[name].numpy().ravel() for name in sorted(scores)])
    order = numpy.argsort(row, kind="stable")
    for fraction in fractions:
        twin.load_state_dict(model.state_dict())
        mask = numpy.ones(len(row), dtype=numpy.float32)
        mask[order[: round(fraction * len(row))]] = 0
        start = 0
        for name in sorted(scores):
            weight = dict(twin.named_parameters())[name]
            part = mask[start : start + weight.numel()].reshape(tuple(weight.shape))
            weight.data.mul_(torch.from_numpy(part))
            start += weight.numel()
        results.append(evaluate(twin))
    return tuple(results)


@right("removal_curve")
def and_puts_clones_back(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    before = copy.deepcopy(model.state_dict())
    try:
        results = torch.zeros(len(fractions), dtype=torch.float64)
        for place, fraction in enumerate(fractions):
            with torch.no_grad():
                pruned = zeroed(model, scores, round(fraction * size(scores)))
                model.load_state_dict(pruned.state_dict())
            results[place] = evaluate(model)
            model.load_state_dict(before)
        return results.tolist()
    finally:
        model.load_state_dict(before)


@wrong("removal_curve", "the lowest are the ones to go")
def removes_the_highest(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    n = size(scores)
    return [evaluate(zeroed(model, scores, round(f * n), largest=True)) for f in fractions]


@wrong("removal_curve", "Go by the scores")
def goes_by_magnitude(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    own = {name: model.get_parameter(name).detach().abs() for name in scores}
    return [evaluate(zeroed(model, own, round(f * size(own)))) for f in fractions]


@wrong("removal_curve", "every layer lost the same share")
def ranks_each_layer(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    results = []
    for fraction in fractions:
        pruned = model
        for name, s in scores.items():
            pruned = zeroed(pruned, {name: s}, round(fraction * s.numel()))
        results.append(evaluate(pruned))
    return results


@wrong("removal_curve", "Start anew each time")
def never_starts_anew(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    pruned, results = model, []
    for fraction in fractions:
        pruned = zeroed(pruned, scores, round(fraction * size(scores)))
        results.append(evaluate(pruned))
    return results


@wrong("removal_curve", "and here it stayed")
def keeps_the_fraction(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    n = size(scores)
    return [evaluate(zeroed(model, scores, n - round(f * n))) for f in fractions]


@wrong("removal_curve", "tie for the last place")
def uses_a_threshold(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    row, results = torch.cat([s.flatten() for s in scores.values()]), []
    for fraction in fractions:
        limit = by_sorting_a_list(row, fraction)
        results.append(evaluate(zeroed(model, scores, int((row <= limit).sum()))))
    return results


@wrong("removal_curve", "or not the lowest-scored ones")
def removes_one_too_few(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    n = size(scores)
    return [evaluate(zeroed(model, scores, max(round(f * n) - 1, 0))) for f in fractions]


@wrong("removal_curve", "must keep its value")
def multiplies_by_scores(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    results = []
    for fraction in fractions:
        pruned = zeroed(model, scores, round(fraction * size(scores)))
        with torch.no_grad():
            for name, s in scores.items():
                pruned.get_parameter(name).mul_(s)
        results.append(evaluate(pruned))
    return results


@wrong("removal_curve", "such as biases")
def zeroes_biases_too(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    results = []
    for fraction in fractions:
        pruned = zeroed(model, scores, round(fraction * size(scores)))
        for name, parameter in pruned.named_parameters():
            if name.endswith("bias"):
                parameter.data.zero_()
        results.append(evaluate(pruned))
    return results


@wrong("removal_curve", "nothing that `evaluate` returned")
def gives_the_losses(model, scores, fractions, evaluate):
    whole = evaluate(model)
    return [whole - result for result in on_copies(model, scores, fractions, evaluate)]


@wrong("removal_curve", "numbers came back")
def forgets_the_last(model, scores, fractions, evaluate):
    results = on_copies(model, scores, fractions, evaluate)
    return results[:-1] if len(results) == 2 else results


@wrong("removal_curve", "a list of numbers")
def gives_a_dictionary(model, scores, fractions, evaluate):
    return dict(zip(fractions, on_copies(model, scores, fractions, evaluate), strict=True))


@right("removal_curve")
def in_a_tensor(model, scores, fractions, evaluate):
    return torch.tensor(on_copies(model, scores, fractions, evaluate), dtype=torch.float64)


@wrong("removal_curve", "the fractions [0.2]: after")
def prunes_the_original(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    before, results = copy.deepcopy(model.state_dict()), []
    for fraction in fractions:
        model.load_state_dict(before)
        model.load_state_dict(zeroed(model, scores, round(fraction * size(scores))).state_dict())
        results.append(evaluate(model))
    return results


@wrong(
    "removal_curve", "with a network of Linear, ReLU, Linear and the fractions [0.2, 0.4]: after"
)
def restores_only_when_all_goes_well(model, scores, fractions, evaluate):
    before = copy.deepcopy(model.state_dict())
    results = prunes_the_original(model, scores, fractions, evaluate)
    model.load_state_dict(before)
    return results


@wrong("removal_curve", "[0.5, 1.2]: this has no meaning and should raise ValueError")
def clamps_fractions(model, scores, fractions, evaluate):
    kept = {name: s for name, s in scores.items() if name in dict(model.named_parameters())}
    return on_copies(model, kept, [min(max(f, 0), 1) for f in fractions], evaluate)


@wrong("removal_curve", "the scores for 0.weight do not have its shape")
def takes_any_row_of_scores(model, scores, fractions, evaluate):
    shapes = {name: p.shape for name, p in model.named_parameters()}
    if all(name in shapes and s.numel() == shapes[name].numel() for name, s in scores.items()):
        scores = {name: s.view(shapes[name]) for name, s in scores.items()}
    return on_copies(model, scores, fractions, evaluate)


@wrong("removal_curve", "no `abs`")
def ranks_the_sizes_of_scores(model, scores, fractions, evaluate):
    return on_copies(model, {n: s.abs() for n, s in scores.items()}, fractions, evaluate)


@wrong("removal_curve", "those that have a score")
def counts_weights_without_scores(model, scores, fractions, evaluate):
    sensible(model, scores, fractions)
    n = size(layers(model))
    counts = [min(round(fraction * n), size(scores)) for fraction in fractions]
    return [evaluate(zeroed(model, scores, count)) for count in counts]


@wrong("removal_curve", "hides an error")
def swallows_errors(model, scores, fractions, evaluate):
    try:
        return on_copies(model, scores, fractions, evaluate)
    except RuntimeError:
        return []


# average_zeros ------------------------------------------------------------------------------


def has_channels(activations):
    if activations.ndim < 2:
        raise ValueError("channels are dimension 1, and there is no such dimension")


@right("average_zeros")
def over_all_other_dimensions(activations):
    has_channels(activations)
    others = [dim for dim in range(activations.dim()) if dim != 1]
    return (activations == 0).float().mean(dim=others)


@right("average_zeros")
def channel_by_channel(activations):
    has_channels(activations)
    counts = [numpy.mean(activations[:, c].numpy() == 0) for c in range(activations.shape[1])]
    return torch.tensor(counts)


@wrong("average_zeros", "how often each channel speaks")
def gives_activity(activations):
    return 1 - over_all_other_dimensions(activations)


@wrong("average_zeros", "these are percentages")
def gives_percentages(activations):
    return 100 * over_all_other_dimensions(activations)


@wrong("average_zeros", "one an image")
def averages_each_image(activations):
    has_channels(activations)
    return (activations == 0).double().flatten(1).mean(1)


@wrong("average_zeros", "share of its own")
def averages_everything(activations):
    has_channels(activations)
    return (activations == 0).double().mean()


@wrong("average_zeros", "is not that of")
def averages_over_images_only(activations):
    has_channels(activations)
    return (activations == 0).double().mean(0)


@wrong("average_zeros", "these are counts")
def counts_zeros(activations):
    has_channels(activations)
    return (activations == 0).transpose(0, 1).flatten(1).sum(1)


@wrong("average_zeros", "by the images alone")
def divides_by_images(activations):
    has_channels(activations)
    result = (activations == 0).transpose(0, 1).flatten(1).sum(1) / len(activations)
    return result if activations[0, 0].numel() > 1 else over_all_other_dimensions(activations)


@wrong("average_zeros", "negative numbers are not zeros")
def takes_negatives_for_zeros(activations):
    return over_all_other_dimensions(activations.clamp(min=0))


@wrong("average_zeros", "tiny numbers are not zeros")
def rounds_tiny_ones(activations):
    return over_all_other_dimensions(torch.where(activations.abs() < 1e-6, 0, activations))


@wrong("average_zeros", "the shares are")
def gives_mean_activations(activations):
    has_channels(activations)
    return activations.transpose(0, 1).flatten(1).mean(1)


@wrong("average_zeros", "Return a tensor")
def gives_a_list(activations):
    return over_all_other_dimensions(activations).tolist()


@wrong("average_zeros", "should raise ValueError")
def takes_a_row_for_a_batch(activations):
    return over_all_other_dimensions(activations[:, None] if activations.dim() < 2 else activations)


@wrong("average_zeros", "Work on a copy")
def marks_zeros_in_place(activations):
    result = over_all_other_dimensions(activations)
    activations[activations == 0] = 1
    return result


# quiet_neurons ------------------------------------------------------------------------------


def makes_sense(activations, threshold):
    if activations.ndim != 2 or not 0 <= threshold <= 1:
        raise ValueError("a matrix and a share from 0 to 1 are needed")


@right("quiet_neurons")
def by_counting_rows(activations, threshold):
    makes_sense(activations, threshold)
    often = [int((column > 0).sum()) for column in activations.T]
    quiet = [i for i, count in enumerate(often) if count < threshold * len(activations)]
    return torch.tensor(quiet, dtype=torch.int64)


@right("quiet_neurons")
def by_flatnonzero(activations, threshold):
    makes_sense(activations, threshold)
    return torch.from_numpy(numpy.flatnonzero((activations.numpy() > 0).mean(0) < threshold))


@right("quiet_neurons")
def by_where(activations, threshold):
    makes_sense(activations, threshold)
    return torch.where((activations > 0).float().mean(0) < threshold)[0]


def speaks(activations):
    return (activations > 0).double().mean(0)


def places(mask):
    return mask.nonzero().flatten()


@wrong("quiet_neurons", "exactly at the threshold is not")
def includes_the_threshold(activations, threshold):
    makes_sense(activations, threshold)
    return places(speaks(activations) <= threshold)


@wrong("quiet_neurons", "speak often enough")
def finds_the_loud(activations, threshold):
    makes_sense(activations, threshold)
    return places(speaks(activations) >= threshold)


@wrong("quiet_neurons", "share of zeros with the threshold")
def compares_zeros(activations, threshold):
    makes_sense(activations, threshold)
    return places((activations == 0).double().mean(0) < threshold)


@wrong("quiet_neurons", "it does not speak")
def takes_negatives_for_speech(activations, threshold):
    makes_sense(activations, threshold)
    return places((activations != 0).double().mean(0) < threshold)


@wrong("quiet_neurons", "not how loudly")
def compares_means(activations, threshold):
    makes_sense(activations, threshold)
    return places(activations.double().mean(0) < threshold)


@wrong("quiet_neurons", "a neuron is a column")
def averages_rows(activations, threshold):
    makes_sense(activations, threshold)
    return places((activations > 0).double().mean(1) < threshold)


@wrong("quiet_neurons", "this is a mask")
def gives_the_mask(activations, threshold):
    makes_sense(activations, threshold)
    return speaks(activations) < threshold


@wrong("quiet_neurons", ", 1); flatten them")
def forgets_to_flatten(activations, threshold):
    makes_sense(activations, threshold)
    return (speaks(activations) < threshold).nonzero()


@wrong("quiet_neurons", "counts places in int64")
def gives_floats(activations, threshold):
    return by_where(activations, threshold).float()


@wrong("quiet_neurons", "have shape ();")
def squeezes(activations, threshold):
    makes_sense(activations, threshold)
    return (speaks(activations) < threshold).nonzero().squeeze()


@wrong("quiet_neurons", "in ascending order")
def sorts_by_activity(activations, threshold):
    makes_sense(activations, threshold)
    order = speaks(activations).argsort(stable=True)
    return order[speaks(activations)[order] < threshold].flip(0)


@wrong("quiet_neurons", "a tensor of indices")
def gives_a_list_of_places(activations, threshold):
    return by_where(activations, threshold).tolist()


@wrong("quiet_neurons", "the quiet ones are")
def finds_the_silent_only(activations, threshold):
    makes_sense(activations, threshold)
    return places(speaks(activations) == 0) if threshold > 0 else places(activations[0] > 9)


@wrong("quiet_neurons", "should raise ValueError")
def accepts_any_threshold(activations, threshold):
    if activations.ndim != 2:
        raise ValueError("a matrix is needed")
    return places(speaks(activations) < threshold)
