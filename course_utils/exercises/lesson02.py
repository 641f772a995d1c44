"""Lesson 02, weight importance: scores for every weight, and what removing the lowest costs."""

import math

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils.exercises.compare import as_number, same_number, show
from course_utils.exercises.engine import Exercise
from course_utils.exercises.networks import build, network
from course_utils.exercises.scores import batch_slopes, close, each, names_and_shapes, times


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


def _normal(rng, *shape) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


# Scores by parameter name -------------------------------------------------------------------


def magnitude_scores(model: nn.Module) -> dict[str, torch.Tensor]:
    weights = {}
    for name, module in model.named_modules():
        prunable = isinstance(module, nn.Linear | nn.Conv2d)
        if prunable and all(module.weight is not known for known in weights.values()):
            weights[f"{name}.weight".lstrip(".")] = module.weight
    return {name: weight.detach().abs() for name, weight in weights.items()}


class MagnitudeScores(Exercise):
    name = "magnitude_scores"
    lesson = "02"
    signature = "magnitude_scores(model) -> dict[str, Tensor]"
    points = 2
    minutes = 8
    difficulty = 2
    importance = 5
    forbids = ("course_utils.measure.prunable_weights",)
    hints = (
        "Walk over `model.named_modules()` and stop at each nn.Linear and nn.Conv2d.",
        'The name of its weight is `f"{name}.weight"`. The name of a model that is itself a layer '
        "is empty, and its weight is called `weight`.",
        "`weight.detach().abs()` is the score. Skip a weight tensor that you have scored already: "
        "`is` tells whether two names mean the same tensor.",
    )
    reference = staticmethod(magnitude_scores)

    def cases(self, rng):
        sizes = [int(size) for size in rng.integers(4, 12, size=3)]
        convnet = network("convnet", _seed(rng), channels=int(rng.integers(3, 6)), classes=5)
        return {
            "a small network": [(network("mlp", _seed(rng), sizes=sizes),)],
            "convolutions and BatchNorm": [(convnet,)],
            "weights that do not train": [({**convnet, "fixed": ["features.0", "head.2"]},)],
            "zeros": [(network("mlp", _seed(rng), sizes=sizes, zeros=0.4),)],
            "a single layer": [(network("linear", _seed(rng), inputs=5, outputs=sizes[1]),)],
            "a shared weight": [
                (network("tied", _seed(rng), size=sizes[0]),),
                (network("reused layer", _seed(rng), size=sizes[1]),),
            ],
            "other layers with weights": [(network("other weights", _seed(rng), size=sizes[1]),)],
            "nothing to prune": [(network("nothing to prune", _seed(rng), size=5),)],
        }

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        model = build(case[0])
        if problem := names_and_shapes(got, want, model):
            return problem
        weights = {name: model.get_parameter(name) for name in want}
        if close(got, want):
            return None
        if close(got, weights):
            return "these are the weights themselves. A score says how much one matters: no sign."
        if close(got, each(torch.square, weights)):
            return "these are squares. They rank a layer alike, but the sizes are asked for."
        if close(got, each(lambda score: score / score.sum(), want)):
            return "you divided each layer by its sum, so that layers can no longer be compared."
        return "the score of a weight is its distance from zero, and other numbers came back."


def gradient_scores(model: nn.Module, batches) -> dict[str, torch.Tensor]:
    weights = {}
    for name, module in model.named_modules():
        prunable = isinstance(module, nn.Linear | nn.Conv2d)
        if prunable and all(module.weight is not known for known in weights.values()):
            weights[f"{name}.weight".lstrip(".")] = module.weight
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        for x, y in batches if weights else []:
            loss = cross_entropy(model(x), y)
            slopes = torch.autograd.grad(loss, list(weights.values()))
            for name, slope in zip(weights, slopes, strict=True):
                totals[name] += slope.abs()
    finally:
        for module, mode in modes.items():
            module.training = mode
    return {name: total / len(batches) for name, total in totals.items()}


class _FromGradients(Exercise):
    """What the two scores that need batches have in common."""

    lesson = "02"

    def cases(self, rng):
        def batch(shape, classes, size):
            return _normal(rng, size, *shape), torch.from_numpy(rng.integers(0, classes, size))

        def batches(shape, classes, *sizes):
            return [batch(shape, classes, size) for size in sizes]

        inputs, classes = (int(n) for n in rng.integers(5, 9, size=2))
        mlp = network("mlp", _seed(rng), sizes=[inputs, 7, classes])
        convnet = network("convnet", _seed(rng), channels=3, classes=4)
        images = batches((1, 8, 8), 4, 6, 6)
        tied = network("tied", _seed(rng), size=6)
        layer = network("linear", _seed(rng), inputs=5, outputs=4)
        return {
            "a small network": [
                (mlp, batches((inputs,), classes, 8)),
                (mlp, batches((inputs,), classes, 6, 6, 6)),
            ],
            "batches of different sizes": [(mlp, batches((inputs,), classes, 9, 5, 2))],
            "BatchNorm and dropout": [(convnet, images)],
            "modes come back": [
                ({**convnet, "frozen": ["features.1"]}, images),
                ({**convnet, "training": False}, images),
            ],
            "a shared weight": [(tied, batches((6,), 6, 7, 7))],
            "a single layer": [(layer, batches((5,), 4, 6, 6))],
            "nothing to prune": [
                (network("nothing to prune", _seed(rng), size=5), batches((5,), 5, 4))
            ],
            "a network that fails": [
                (network("breaking", _seed(rng), size=4), batches((4,), 4, 3))
            ],
        }

    def shown(self, case):
        sizes = ", ".join(str(len(x)) for x, _ in case[1])
        return f"{self.name} with {show(case[0])} and batches of {sizes} examples"


class GradientScores(_FromGradients):
    name = "gradient_scores"
    signature = "gradient_scores(model, batches) -> dict[str, Tensor]"
    points = 3
    minutes = 20
    difficulty = 4
    importance = 3
    hints = (
        "For one batch: `loss = cross_entropy(model(x), y)`, then `torch.autograd.grad(loss, "
        "list_of_weights)` returns one gradient a weight and leaves every `.grad` alone.",
        "Take the absolute value of each batch's gradient, then add it to a running total; divide "
        "by the number of batches at the end. Every batch counts the same, whatever its size.",
        "Eval mode, because dropout and BatchNorm would change the answer: note every module's "
        "`.training`, call `model.eval()`, and put each back in a `finally:`. With nothing to "
        "prune the answer is `{}`.",
    )
    reference = staticmethod(gradient_scores)

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        if problem := names_and_shapes(got, want, build(case[0])):
            return problem
        if close(got, want):
            return None
        weights, slopes = batch_slopes(case)
        for scores, problem in (
            (_mean(slopes), "these have signs. A steep fall matters as much as a steep rise."),
            (
                each(torch.abs, _mean(slopes)),
                "you averaged first and then took the size: slopes of opposite sign cancelled.",
            ),
            (
                _mean([each(torch.abs, s) for s in slopes], over=1),
                "these are sums over the batches; their mean is asked for.",
            ),
            (each(torch.abs, slopes[-1]), "only the last batch is in these scores."),
            (
                _mean([each(torch.abs, s) for s in _running(slopes)]),
                "each batch's gradient still holds those of the batches before it.",
            ),
            (
                _mean([each(torch.abs, s) for s in _running(slopes, _old(case))]),
                "the gradients that the model had before the call are in these scores.",
            ),
            (
                each(torch.abs, batch_slopes(_as_one_batch(case))[1][0]),
                "this treats all examples as one batch. Each batch has its own loss and slope.",
            ),
            (
                _mean([each(torch.abs, s) for s in batch_slopes(case, reduction="sum")[1]]),
                "the loss of a batch is the mean over its examples, and here it was their sum.",
            ),
            (
                _mean([each(torch.abs, s) for s in batch_slopes(case, softmax=True)[1]]),
                "softmax was applied before the cross-entropy, which applies it itself.",
            ),
            (
                _mean([each(torch.square, s) for s in slopes]),
                "these are squared slopes; their sizes are asked for.",
            ),
            (
                _mean([each(torch.abs, times(weights, s)) for s in slopes]),
                "these are weight times gradient, which comes next. Here the slope is the score.",
            ),
        ):
            if close(got, scores):
                return problem
        return (
            "these are not the mean sizes of the gradients in eval mode, every batch counting the "
            "same."
        )


def taylor_scores(model: nn.Module, batches) -> dict[str, torch.Tensor]:
    weights = {}
    for name, module in model.named_modules():
        prunable = isinstance(module, nn.Linear | nn.Conv2d)
        if prunable and all(module.weight is not known for known in weights.values()):
            weights[f"{name}.weight".lstrip(".")] = module.weight
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        for x, y in batches if weights else []:
            loss = cross_entropy(model(x), y)
            slopes = torch.autograd.grad(loss, list(weights.values()))
            for name, slope in zip(weights, slopes, strict=True):
                totals[name] += (weights[name].detach() * slope) ** 2
    finally:
        for module, mode in modes.items():
            module.training = mode
    return {name: total / len(batches) for name, total in totals.items()}


class TaylorScores(_FromGradients):
    name = "taylor_scores"
    signature = "taylor_scores(model, batches) -> dict[str, Tensor]"
    points = 2
    minutes = 8
    difficulty = 3
    importance = 4
    hints = (
        "Everything is as in `gradient_scores`; only what you add to the total for each batch is "
        "another: the square of weight times gradient.",
        "Square each batch's product, then average. `weight.detach()` keeps the graph out of the "
        "scores.",
    )
    reference = staticmethod(taylor_scores)

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        if problem := names_and_shapes(got, want, build(case[0])):
            return problem
        if close(got, want):
            return None
        weights, slopes = batch_slopes(case)
        products = [times(weights, s) for s in slopes]
        for scores, problem in (
            (
                _mean([each(torch.abs, p) for p in products]),
                "these are sizes of weight times gradient; their squares are asked for.",
            ),
            (_mean(products), "these have signs: positive and negative batches cancel. Square."),
            (
                each(torch.square, _mean(products)),
                "you squared the mean. Square each batch's product, then average.",
            ),
            (
                _mean([each(torch.square, p) for p in products], over=1),
                "these are sums over the batches; their mean is asked for.",
            ),
            (each(torch.square, products[-1]), "only the last batch is in these scores."),
            (
                _mean([each(torch.square, s) for s in slopes]),
                "these are squared gradients. The weight is missing: w * gradient, then squared.",
            ),
            (
                _mean([times(weights, each(torch.square, s)) for s in slopes]),
                "only the gradient is squared. The weight belongs inside: (w * gradient) squared.",
            ),
            (
                _mean([each(torch.square, times(weights, s)) for s in _running(slopes)]),
                "each batch's gradient still holds those of the batches before it.",
            ),
            (
                each(torch.square, times(weights, batch_slopes(_as_one_batch(case))[1][0])),
                "this treats all examples as one batch. Each batch has its own loss and slope.",
            ),
            (
                each(torch.square, times(weights, _mean([each(torch.abs, s) for s in slopes]))),
                "you squared the gradient scores. Square inside each batch, then average.",
            ),
        ):
            if close(got, scores):
                return problem
        return (
            "these are not the mean squares of weight times gradient in eval mode, every batch "
            "counting the same."
        )


def _mean(scores: list[dict], over: int | None = None) -> dict:
    return {name: sum(s[name] for s in scores) / (over or len(scores)) for name in scores[0]}


def _running(slopes: list[dict], before: dict | None = None) -> list[dict]:
    """What `.grad` holds after each batch when nobody clears it."""
    sums, total = [], before or dict.fromkeys(slopes[0], 0)
    for slope in slopes:
        total = {name: total[name] + slope[name] for name in slope}
        sums.append(total)
    return sums


def _old(case) -> dict:
    model = build(case[0])
    return {name: model.get_parameter(name).grad for name in magnitude_scores(model)}


def _as_one_batch(case) -> tuple:
    return case[0], [tuple(torch.cat(parts) for parts in zip(*case[1], strict=True))]


# From scores to zeros -----------------------------------------------------------------------


def threshold(scores: torch.Tensor, fraction: float) -> float:
    if not 0 <= fraction <= 1:
        raise ValueError(f"{fraction} is not a fraction between 0 and 1.")
    count = round(fraction * scores.numel())
    if count == 0:
        return float("-inf")
    return scores.flatten().kthvalue(count).values.item()


class Threshold(Exercise):
    name = "threshold"
    lesson = "02"
    signature = "threshold(scores, fraction) -> float"
    points = 3
    minutes = 12
    difficulty = 3
    importance = 5
    hints = (
        "First the count: `round(fraction * scores.numel())`. For a count of 0 answer "
        '`float("-inf")`, which no score is below.',
        "The count-th smallest score is a number that exactly so many are below or equal to. In a "
        "sorted row it stands at place count - 1; `kthvalue(count)` of a flat tensor counts "
        "from 1.",
        "With ties that same number is the smallest that reaches the count. Check the fraction "
        "first: `if not 0 <= fraction <= 1` also catches NaN.",
    )
    reference = staticmethod(threshold)

    def cases(self, rng):
        def scores(*shape):
            return _normal(rng, *shape).abs()

        size, tenths = 10 * int(rng.integers(3, 7)), int(rng.choice([2, 3, 7, 8]))
        return {
            "ordinary scores": [
                (torch.tensor([0.5, 0.1, 0.9, 0.3, 0.7]), 0.4),
                (scores(size), tenths / 10),
            ],
            "fractions that do not come out even": [
                (scores(7), 0.4),
                (scores(11), 0.3),
                (scores(13), 0.9),
            ],
            "other shapes and numbers": [
                (scores(4, 5), 0.2),
                (scores(5, 6).T, 0.7),
                (scores(2, 3, 5).double(), 0.3),
                (_normal(rng, 20), 0.2),
            ],
            "ties": [
                (torch.tensor([2.0, 1.0, 2.0, 2.0, 3.0, 1.0])[rng.permutation(6)], 0.5),
                (torch.full((7,), 0.3), 0.4),
            ],
            "none and all": [
                (scores(9), 0.0),
                (scores(20), 0.01),
                (scores(8), 1.0),
                (torch.zeros(0), 0.3),
            ],
            "no fraction": [(scores(5), -0.1), (scores(5), 1.3), (scores(5), math.nan)],
        }

    def verify(self, case, data):
        scores, fraction = case
        got, want = as_number(data.returned), self.expected(case)
        row = scores.double().flatten().sort().values
        count = round(fraction * len(row))
        if got is None:
            return f"{show(data.returned)} came back, and a number is asked for."
        below, least = int((row <= got).sum()), int((row <= want).sum())
        if same_number(got, want):
            return None
        if count == 0:
            return f"nothing is to go, which is what -inf says, and {show(got)} came back."
        if below == count:
            return None
        if below == least:
            return f"{below} scores reach down to {show(got)}; {show(want)} is the smallest such."
        if same_number(got, row.quantile(fraction).item()):
            return (
                f"a percentile lies between scores by a rule of its own, and {below} of them are "
                f"below or equal to it instead of {count}. Count."
            )
        if same_number(got, fraction * row[-1].item()):
            return "this is a share of the largest score. The share of the scores is asked for."
        if same_number(got, row[len(row) - count].item()):
            return "you counted from the largest down; the lowest scores are the ones to go."
        if same_number(got, row.abs().sort().values[count - 1].item()):
            return "scores are taken as they are; you ranked their absolute values."
        if below < count < least:
            return (
                f"only {below} scores are below or equal to {show(got)}. With ties take the next "
                f"value up, even if it takes more than {count}."
            )
        if same_number(got, row[max(int(fraction * len(row)) - 1, 0)].item()):
            return (
                f"{show(fraction)} of {len(row)} is {fraction * len(row):.1f}, which is rounded "
                f"to {count}; you cut it off."
            )
        if below == count + 1:
            return f"{below} scores instead of {count} reach down here: one place too far."
        return f"{below} of {len(row)} scores are below or equal to {show(got)}, not {count}."


def removal_curve(model: nn.Module, scores: dict, fractions: list, evaluate) -> list[float]:
    weights = {name: p for name, p in model.named_parameters() if name in scores}
    if set(weights) != set(scores):
        raise ValueError(f"the model lacks {sorted(set(scores) - set(weights))}.")
    for name, weight in weights.items():
        if scores[name].shape != weight.shape:
            raise ValueError(f"the scores for {name} do not have its shape.")
    if not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError(f"{fractions} are not all between 0 and 1.")
    original = {name: weight.detach().clone() for name, weight in weights.items()}
    order = torch.cat([scores[name].flatten() for name in weights]).argsort()
    results = []
    try:
        for fraction in fractions:
            kept = torch.ones(len(order), dtype=torch.bool)
            kept[order[: round(fraction * len(order))]] = False
            parts = kept.split([weight.numel() for weight in weights.values()])
            with torch.no_grad():
                for (name, weight), part in zip(weights.items(), parts, strict=True):
                    weight.copy_(original[name] * part.view(weight.shape))
            results.append(evaluate(model))
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(original[name])
    return results


class RemovalCurve(Exercise):
    name = "removal_curve"
    lesson = "02"
    signature = "removal_curve(model, scores, fractions, evaluate) -> list[float]"
    points = 4
    minutes = 25
    difficulty = 4
    importance = 5
    hints = (
        "Put the scores of all layers into one long row and rank them there: `argsort()` names the "
        "places from the lowest score to the highest. The first `round(fraction * n)` places go.",
        "`long_row.split([weight.numel() for weight in weights])` cuts a row of kept and removed "
        "places back into pieces; `.view(weight.shape)` gives each its shape.",
        "Keep a clone of every weight. For each fraction write clone times mask into the weight "
        "under `torch.no_grad()`; put the clones back in a `finally:`. Or do all of it on a "
        "`copy.deepcopy(model)`.",
    )
    reference = staticmethod(removal_curve)

    def cases(self, rng):
        def case(model, fractions, ties=False, fails_at=None, scores=None):
            if scores is None:
                scores = {
                    name: torch.from_numpy(
                        rng.integers(1, 4, size=shape) if ties else rng.random(shape)
                    ).float()
                    for name, shape in _shapes(model).items()
                }
            return model, scores, fractions, fails_at

        sizes = [int(size) for size in rng.integers(4, 9, size=3)]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=3, classes=4)
        scores = case(mlp, [])[1]
        uneven = {name: s + 5 * (name == "0.weight") for name, s in scores.items()}
        signed = {name: s - 0.6 for name, s in scores.items()}
        second = {"2.weight": scores["2.weight"]}
        return {
            "a small network": [case(mlp, [0.2]), case(mlp, [0.3, 0.7])],
            "layers that differ in their scores": [case(mlp, [0.2, 0.5], scores=uneven)],
            "scores of either sign": [case(mlp, [0.3], scores=signed)],
            "scores for one layer only": [case(mlp, [0.4], scores=second)],
            "fractions in any order": [case(mlp, [0.8, 0.1, 0.4])],
            "none and all": [case(mlp, [0.0, 1.0]), case(mlp, [])],
            "convolutions and BatchNorm": [case(convnet, [0.6])],
            "ties": [case(mlp, [0.3, 0.6], ties=True)],
            "a shared weight": [case(network("tied", _seed(rng), size=6), [0.4])],
            "an evaluation that fails": [case(mlp, [0.2, 0.4], fails_at=2)],
            "what makes no sense": [
                case(mlp, [0.5, 1.2]),
                case(mlp, [0.5], scores={**scores, "9.weight": scores["0.weight"]}),
                case(mlp, [0.5], scores={**scores, "0.weight": scores["0.weight"][:, :1]}),
                case(mlp, [0.5], scores={**scores, "0.weight": scores["0.weight"].flatten()}),
            ],
        }

    def shown(self, case):
        only = f", scores for {next(iter(case[1]))!r} only," if len(case[1]) == 1 else ""
        return f"removal_curve with {show(case[0])}{only} and the fractions {show(case[2])}"

    def call(self, inputs, answer):
        model, scores, fractions, fails_at = inputs
        calls = []

        def evaluate(model):
            seen = {name: p.detach().clone() for name, p in model.named_parameters()}
            values = torch.cat([p.double().flatten() for p in seen.values()])
            number = float(values @ torch.arange(1, len(values) + 1).double().sqrt())
            calls.append({"number": number, "seen": seen})
            if len(calls) == fails_at:
                raise RuntimeError("this evaluation breaks on purpose")
            return number

        return {"result": answer(model, scores, fractions, evaluate), "calls": calls}

    def verify(self, case, data):
        model, scores, fractions, _ = case
        got, calls = data.returned["result"], data.returned["calls"]
        if isinstance(got, torch.Tensor):
            got = got.flatten().tolist()
        if not isinstance(got, list | tuple):
            return f"{show(got)} came back, and a list of numbers is asked for."
        if len(got) != len(fractions):
            return f"{len(fractions)} fractions, and {len(got)} numbers came back."
        row = torch.cat([scores[name].flatten() for name in scores]).double()
        before = dict(build(model).named_parameters())
        for place, fraction in enumerate(fractions):
            call = next((c for c in calls if same_number(got[place], c["number"])), None)
            if call is None:
                return f"{show(got[place])} is nothing that `evaluate` returned."
            spared = {name: p for name, p in call["seen"].items() if name not in scores}
            if not all(torch.equal(spared[name], before[name]) for name in spared):
                return "parameters without scores, such as biases, changed before the evaluation."
            weights = torch.cat([call["seen"][name].flatten() for name in scores])
            original = torch.cat([before[name].detach().flatten() for name in scores])
            gone = weights == 0
            if not torch.equal(weights[~gone], original[~gone]):
                return "what is not removed must keep its value during the evaluation."
            count = round(fraction * len(row))
            lowest = row.sort().values[:count]
            if torch.equal(row[gone].sort().values, lowest):
                continue
            went = f"at {show(fraction)}, {int(gone.sum())} of {len(row)} weights were zero"
            if int(gone.sum()) == count:
                if torch.equal(row[gone].sort().values, row.sort().values[len(row) - count :]):
                    return "the highest scores went; the lowest are the ones to go."
                if torch.equal(
                    original[gone].abs().sort().values, original.abs().sort().values[:count]
                ):
                    return "the smallest weights went. Go by the scores, whatever they are."
                if torch.equal(row[gone].abs().sort().values, row.abs().sort().values[:count]):
                    return "the scores nearest to zero went. Below zero is lower still: no `abs`."
            if torch.equal(gone, row <= lowest[-1:].sum()):
                return f"{went} instead of {count}: all that tie for the last place went together."
            shares = {name: int((call["seen"][name] == 0).sum()) for name in scores}
            if shares == {name: round(fraction * s.numel()) for name, s in scores.items()}:
                return f"{went}: every layer lost the same share. Rank all layers together."
            every = sum(math.prod(shape) for shape in _shapes(model).values())
            if int(gone.sum()) == min(round(fraction * every), len(row)) != count:
                return f"{went} instead of {count}: take the share of those that have a score."
            if int(gone.sum()) == round(max(fractions[: place + 1]) * len(row)) != count:
                return f"{went}, some of them from the fraction before. Start anew each time."
            if int(gone.sum()) == len(row) - count:
                return f"{went}: a fraction says what goes, and here it stayed."
            return f"{went} instead of {count}, or not the lowest-scored ones."
        return None


def _shapes(description: dict) -> dict[str, tuple]:
    model = build(description)
    return {name: tuple(s.shape) for name, s in magnitude_scores(model).items()}


# What neurons say ---------------------------------------------------------------------------


def average_zeros(activations: torch.Tensor) -> torch.Tensor:
    if activations.dim() < 2:
        raise ValueError(f"an activation of shape {tuple(activations.shape)} has no channels.")
    by_channel = activations.movedim(1, 0).flatten(1)
    return (by_channel == 0).double().mean(dim=1)


class AverageZeros(Exercise):
    name = "average_zeros"
    lesson = "02"
    signature = "average_zeros(activations) -> Tensor"
    points = 1
    minutes = 7
    difficulty = 2
    importance = 3
    forbids = ("course_utils.measure.sparsity",)
    hints = (
        "The channels are dimension 1. Everything else (images, rows, columns) belongs together.",
        "`activations.movedim(1, 0).flatten(1)` has one row a channel; the mean over a row of "
        "True and False is a share.",
    )
    reference = staticmethod(average_zeros)

    def cases(self, rng):
        def after_relu(*shape):
            return (_normal(rng, *shape) + 0.2).relu()

        channels = int(rng.integers(4, 7))
        leaky = after_relu(8, 5) - 0.3 * (torch.from_numpy(rng.random((8, 5))) < 0.3).float()
        tiny = after_relu(9, 4)
        tiny[:3] = 1e-9
        silent = after_relu(6, channels, 3, 3)
        silent[:, 1] = 0
        silent[:, 2] = 1
        return {
            "a convolution's activation": [
                (torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 3.0]])[:, :, None, None],),
                (after_relu(9, channels, 3, 2),),
            ],
            "other dimensions": [(after_relu(8, channels),), (after_relu(3, channels, 11),)],
            "silent and busy channels": [(silent,), (after_relu(1, channels, 2, 2),)],
            "other tensors": [
                (after_relu(2, 4, 3, 5).double().transpose(1, 3),),
                (leaky,),
                (tiny,),
            ],
            "no channels": [(after_relu(6),)],
        }

    def verify(self, case, data):
        (activations,) = case
        got, want = data.returned, self.expected(case)
        zeros = (activations == 0).double()
        if not isinstance(got, torch.Tensor):
            return f"{show(got)} came back. Return a tensor, one share a channel."
        if got.dim() == 0:
            return "one number came back; every channel has a share of its own."
        if got.shape == (len(zeros),) != want.shape:
            return f"{len(zeros)} shares came back, one an image. The channels are dimension 1."
        if got.shape != want.shape:
            return (
                f"the shape {tuple(got.shape)} is not that of {len(want)} channels, a share each."
            )
        got = got.double()
        if torch.allclose(got, want, rtol=1e-5, atol=1e-6):
            return None
        if torch.allclose(got, 1 - want, rtol=1e-5, atol=1e-6):
            return "this is how often each channel speaks. The share of zeros is asked for."
        if torch.allclose(got, 100 * want, rtol=1e-5, atol=1e-4):
            return "these are percentages; shares between 0 and 1 are asked for."
        if torch.allclose(got, zeros.movedim(1, 0).flatten(1).sum(1), rtol=1e-5):
            return "these are counts. Divide by the numbers that a channel has in all images."
        if torch.allclose(got, zeros.movedim(1, 0).flatten(1).sum(1) / len(zeros), rtol=1e-5):
            return "divided by the images alone: a channel has several numbers in each image."
        if torch.allclose(got, (activations <= 0).double().movedim(1, 0).flatten(1).mean(1)):
            return "negative numbers are not zeros."
        if torch.allclose(got, (activations < 1e-6).double().movedim(1, 0).flatten(1).mean(1)):
            return "tiny numbers are not zeros: only exact ones count."
        return f"the shares are {show(want)}, and {show(got)} came back."


def quiet_neurons(activations: torch.Tensor, threshold: float) -> torch.Tensor:
    if activations.dim() != 2:
        raise ValueError(f"rows and columns are needed, not {tuple(activations.shape)}.")
    if not 0 <= threshold <= 1:
        raise ValueError(f"the threshold is a share from 0 to 1, not {threshold}.")
    speaks = (activations > 0).double().mean(dim=0)
    return (speaks < threshold).nonzero().flatten()


class QuietNeurons(Exercise):
    name = "quiet_neurons"
    lesson = "02"
    signature = "quiet_neurons(activations, threshold) -> Tensor"
    points = 1
    minutes = 8
    difficulty = 2
    importance = 2
    hints = (
        "`(activations > 0)` is True where a neuron speaks. The mean over the rows (dimension 0) "
        "is how often each one does.",
        "`mask.nonzero().flatten()` turns a mask into the places of its Trues, in order. Check "
        "the shape and the threshold first.",
    )
    reference = staticmethod(quiet_neurons)

    def cases(self, rng):
        def activations(rows, columns):
            """Columns that speak in 0, 1, 2, ... of the rows, in a random order."""
            often = torch.from_numpy(rng.permutation(columns) % (rows + 1))
            ranks = torch.from_numpy(rng.random((rows, columns))).argsort(dim=0).argsort(dim=0)
            return (ranks < often) * (0.1 + torch.from_numpy(rng.random((rows, columns))).float())

        small = torch.tensor([[0.0, 2.0, 0.0, 0.5], [0.0, 1.0, 4.0, 0.0]]).repeat(2, 1)
        small[2, 3] = 0
        rows, columns = int(rng.integers(6, 9)), int(rng.integers(12, 16))
        between = (int(rng.integers(1, 4)) + 0.5) / rows
        ordinary = activations(rows, columns)
        negative = torch.where((ordinary > 0).any(0), ordinary, ordinary - 5)  # the silent ones
        return {
            "ordinary activations": [
                (small, 0.4),
                (ordinary, between),
            ],
            "exactly at the threshold": [(activations(8, 12), 0.25), (activations(4, 9), 0.5)],
            "negative numbers": [(negative, between)],
            "none, some, all": [
                (ordinary, 0.0),
                (activations(rows, rows + 1), 1.0),
                (torch.zeros(5, 4), 0.3),
                (torch.ones(5, 4), 0.3),
                (torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 1.0]]), 0.5),
            ],
            "other tensors": [(activations(9, rows).T.double(), 0.4)],
            "what makes no sense": [
                (ordinary, 1.5),
                (ordinary, -0.1),
                (ordinary, math.nan),
                (ordinary[0], 0.5),
                (ordinary[:, :, None, None], 0.5),
            ],
        }

    def verify(self, case, data):
        activations, limit = case
        got, want = data.returned, self.expected(case)
        if not isinstance(got, torch.Tensor):
            return f"{show(got)} came back, and a tensor of indices is asked for."
        if got.dtype == torch.bool:
            return "this is a mask. `nonzero()` turns it into indices."
        if got.dtype != torch.int64:
            return f"the indices are {got.dtype}; torch counts places in int64."
        if got.dim() != 1:
            return f"the indices have shape {tuple(got.shape)}; flatten them to one dimension."
        if torch.equal(got, want):
            return None
        if torch.equal(got.sort().values, want):
            return "these are the right neurons; name them in ascending order."
        speaks = (activations > 0).double().mean(0)
        if torch.equal(got, (speaks <= limit).nonzero().flatten()):
            return "a neuron exactly at the threshold is not below it."
        if torch.equal(got, (speaks >= limit).nonzero().flatten()):
            return "these are the ones that speak often enough."
        silent = (activations == 0).double().mean(0)
        if torch.equal(got, (silent < limit).nonzero().flatten()):
            return "you compared the share of zeros with the threshold, not how often they speak."
        if torch.equal(got, (1 - silent < limit).nonzero().flatten()):
            return "a negative number is not zero, and not above zero either: it does not speak."
        if torch.equal(got, (activations.double().mean(0) < limit).nonzero().flatten()):
            return "you compared the mean activation. How often counts here, not how loudly."
        if torch.equal(got, ((activations > 0).double().mean(1) < limit).nonzero().flatten()):
            return "these are rows. An image is a row; a neuron is a column."
        return f"the quiet ones are {show(want)}, and {show(got)} came back."


EXERCISES = [
    MagnitudeScores(),
    Threshold(),
    RemovalCurve(),
    GradientScores(),
    TaylorScores(),
    AverageZeros(),
    QuietNeurons(),
]
