"""What checks of scores share: dictionaries from the names of prunable weights to tensors."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils.exercises.compare import show
from course_utils.exercises.networks import build
from course_utils.measure import prunable_weights


def names_and_shapes(got, want: dict, model: nn.Module) -> str | None:
    """What is wrong with a dictionary of scores before one looks at the numbers."""
    if not isinstance(got, dict):
        return f"{show(got)} came back. Return a dictionary: parameter name to scores."
    unique = dict(model.named_parameters())
    for name in got:
        if name in want:
            continue
        if f"{name}.weight" in want:
            return f"{name!r} is a layer. The keys are names of parameters: '{name}.weight'."
        if name == ".weight":
            return "a model can be a single layer. Its weight is called 'weight', without a dot."
        if name in unique and name.endswith("bias"):
            return f"{name!r} is a bias. Only Linear and Conv2d weights are scored."
        if name in unique:
            return f"{name!r} belongs to no Linear or Conv2d layer, and only their weights count."
        if name in dict(model.named_parameters(remove_duplicate=False)):
            return f"{name!r} is a tensor that is known already: it keeps its first name."
        return f"{name!r} is no parameter of this network."
    for name, scores in want.items():
        if name not in got:
            why = "It may sit inside another module." if "." in name[:-7] else ""
            return f"the scores for {name!r} are missing. {why}".rstrip()
        if not isinstance(got[name], torch.Tensor):
            return f"{name!r}: {show(got[name])} came back instead of a tensor of scores."
        if got[name].shape != scores.shape:
            return f"{name!r}: one score a weight, in the weight's shape {tuple(scores.shape)}."
    return None


def close(got: dict, want: dict) -> bool:
    """Equal up to rounding, which for gradients is relative to the largest of a tensor: a small
    one is often the difference of large ones, and another order of summing rounds otherwise."""
    return all(
        torch.allclose(
            got[name].double(), w.double(), rtol=1e-5, atol=1e-5 * float(w.detach().abs().max())
        )
        for name, w in want.items()
    )


def each(function, tensors: dict) -> dict:
    return {name: function(tensor.detach()) for name, tensor in tensors.items()}


def times(weights: dict, slopes: dict) -> dict:
    return {name: weights[name].detach() * slope for name, slope in slopes.items()}


def batch_slopes(case, softmax=False, reduction="mean") -> tuple[dict, list[dict]]:
    """A case's weights, and the gradients of each of its batches."""
    model = build(case[0]).eval()
    weights = {name: model.get_parameter(name) for name in prunable_weights(model)}
    slopes = []
    for x, y in case[1]:
        output = model(x).softmax(1) if softmax else model(x)
        loss = cross_entropy(output, y, reduction=reduction)
        found = torch.autograd.grad(loss, list(weights.values()))
        slopes.append(dict(zip(weights, found, strict=True)))
    return weights, slopes
