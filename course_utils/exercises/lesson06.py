"""Lesson 06, fine-tuning: when to prune how much, and what the training around it must know."""

import copy
import itertools
import math
from collections.abc import Callable

import torch
from torch import nn

from course_utils.exercises.compare import as_number, identical, same_number, same_tensor, show
from course_utils.exercises.engine import Exercise
from course_utils.exercises.networks import build, network, shown, state

IMPOSSIBLE_SHARES = (-0.1, 1.5, math.nan)


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


def _normal(rng, *shape) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


def _share(rng, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 2)


# Lists of numbers ---------------------------------------------------------------------------------


def _numbers(got) -> list | None:
    """What came back as a list of numbers, if it is one."""
    if isinstance(got, torch.Tensor):
        got = got.flatten().tolist()
    if not isinstance(got, list | tuple) or any(as_number(item) is None for item in got):
        return None
    return [as_number(item) for item in got]


def _alike(some: list, others: list) -> bool:
    return len(some) == len(others) and all(map(same_number, some, others))


# When to prune how much ---------------------------------------------------------------------------


def cubic_sparsity(step, start, end, final, initial=0.0) -> float:
    if not (0 <= initial <= 1 and 0 <= final <= 1):
        raise ValueError(f"sparsities are shares from 0 to 1, not {initial} and {final}.")
    progress = min(max((step - start) / (end - start), 0.0), 1.0)
    return final + (initial - final) * (1 - progress) ** 3


class CubicSparsity(Exercise):
    name = "cubic_sparsity"
    lesson = "06"
    signature = "cubic_sparsity(step, start, end, final, initial=0.0) -> float"
    points = 2
    minutes = 12
    difficulty = 2
    importance = 4
    hints = (
        "First the progress: 0 at `start`, 1 at `end`. Subtract where it begins, divide by how "
        "long it lasts, and keep the result between 0 and 1 with `min` and `max`.",
        "What is missing to `final` is `final - initial` at the start and 0 at the end. In between "
        "it shrinks with the cube of what is left of the way.",
        "`final - (final - initial) * (1 - progress) ** 3`. `not 0 <= share <= 1` catches NaN too.",
    )
    reference = staticmethod(cubic_sparsity)

    def cases(self, rng):
        start, length = int(rng.integers(20, 60)), 10 * int(rng.integers(6, 12))
        end, final = start + length, _share(rng, 0.6, 0.85)
        between = start + int(length * 0.3)
        return {
            "on the way": [(40, 0, 100, 0.8), (30, 0, 120, 0.9), (between, start, end, final)],
            "from a sparsity that is there": [
                (between, start, end, final, 0.35),
                (10, 0, 40, 0.9, 0.5),
            ],
            "at the start and at the end": [
                (start, start, end, final),
                (end, start, end, final),
                (start, start, end, final, 0.2),
            ],
            "before and after": [
                (start - 15, start, end, final),
                (start - 15, start, end, final, 0.25),
                (end + 12, start, end, final),
                (end + 500, start, end, final, 0.25),
            ],
            "everything, nothing, steps with a point": [
                (between, start, end, 1.0),
                (between, start, end, 1.0, 1.0),
                (between, start, end, 0.0),
                (between, start, end, 0.5, 0.5),
                (0.25, 0.0, 0.5, 0.8),
            ],
            "no schedule": [
                *((10, 0, 40, share) for share in IMPOSSIBLE_SHARES),
                *((10, 0, 40, 0.8, share) for share in IMPOSSIBLE_SHARES),
            ],
        }

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        if same_number(got, want):
            return None
        if as_number(got) is None:
            return f"{show(got)} came back, and one number is asked for."
        for mistaken, sentence in _misread_schedules(*case):
            if same_number(got, mistaken):
                return sentence
        return f"the sparsity here is {show(want)}, and {show(got)} came back."


def _misread_schedules(step, start, end, final, initial=0.0):
    """What popular mistakes make of a schedule, each with its sentence."""
    free = (step - start) / (end - start)
    progress = min(max(free, 0.0), 1.0)

    def cubic(way):
        return final + (initial - final) * (1 - way) ** 3

    yield cubic(max(free, 0.0)), "after `end` the sparsity stays at `final`: the way is over."
    yield cubic(min(free, 1.0)), "before `start` the sparsity is still `initial`: nothing happens."
    if free == progress:
        yield cubic(min(step / end, 1.0)), "the way begins at `start`. Here it is counted from 0."
        late = min(max((step - start) / end, 0.0), 1.0)
        yield cubic(late), "the way from `start` to `end` is `end - start` steps long, not `end`."
    if initial == 0:
        yield 1 - cubic(progress), "this is what is left; the sparsity is what is gone."
        yield 100 * cubic(progress), "this is a percentage; a share from 0 to 1 is asked for."
    else:
        ignored = final - final * (1 - progress) ** 3
        yield ignored, "`initial` is forgotten: some of the weights are gone already."
    yield (
        initial + (final - initial) * progress**3,
        "this is slow first and fast last. Fast first: cube what is **left** of the way.",
    )
    yield (
        initial + (final - initial) * progress,
        "this grows by the same amount at every step. What is missing shrinks with the cube.",
    )
    yield (
        final + (initial - final) * (1 - progress) ** 2,
        "what is missing to `final` shrinks with the cube, and this is the square.",
    )
    yield (
        initial + (final - initial) * (1 - progress) ** 3,
        "the roles of `initial` and `final` are exchanged: this goes down from `final`.",
    )


def iterative_fractions(final, rounds) -> list[float]:
    if not 0 <= final <= 1:
        raise ValueError(f"a sparsity is a share from 0 to 1, not {final}.")
    return [1 - (1 - final) ** (1 / rounds)] * rounds


class IterativeFractions(Exercise):
    name = "iterative_fractions"
    lesson = "06"
    signature = "iterative_fractions(final, rounds) -> list[float]"
    points = 1
    minutes = 8
    difficulty = 2
    importance = 4
    hints = (
        "Turn it round: how much is left in the end? And what does every round do to what is left?",
        "Every round multiplies what is left by the same number, `1 - fraction`. After all rounds "
        "`(1 - fraction) ** rounds` must equal `1 - final`.",
        "The root undoes the power: `(1 - final) ** (1 / rounds)` is what one round leaves.",
    )
    reference = staticmethod(iterative_fractions)

    def cases(self, rng):
        final = _share(rng, 0.55, 0.95)
        return {
            "some rounds": [(0.75, 2), (0.488, 3), (final, int(rng.integers(4, 9)))],
            "one round": [(final, 1)],
            "nothing or everything": [(0.0, 3), (1.0, 4)],
            "impossible": [
                *((share, 3) for share in IMPOSSIBLE_SHARES),
            ],
        }

    def verify(self, case, data):
        final, rounds = case
        got, want = _numbers(data.returned), self.expected(case)
        if got is None:
            return f"{show(data.returned)} came back. A list is asked for, one number a round."
        if len(got) != rounds:
            return f"{len(got)} fractions came back for {rounds} rounds."
        if _alike(got, want):
            return None
        if _alike(got, [1 - (1 - final) ** (n / rounds) for n in range(1, rounds + 1)]):
            return "these are the sparsities reached; a round's fraction is of what remains."
        if _alike(got, [final / rounds] * rounds):
            left = math.prod(1 - fraction for fraction in got)
            return (
                f"equal parts of the whole. Each round takes its part of what remains, so "
                f"{show(left)} of the weights would be left instead of {show(1 - final)}."
            )
        if _alike(got, [final * n / rounds for n in range(1, rounds + 1)]):
            return "these grow from round to round; every round takes the same fraction."
        if _alike(got, [1 - fraction for fraction in want]):
            return "this is the share that a round leaves; the share it takes is asked for."
        if _alike(got, [final ** (1 / rounds)] * rounds):
            return "the root of `final` was taken. What multiplies is what is **left**, 1 - final."
        if _alike(got, [100 * fraction for fraction in want]):
            return "these are percentages; shares from 0 to 1 are asked for."
        reached = 1 - math.prod(1 - fraction for fraction in got)
        if same_number(reached, final):
            return "this arrives at the right sparsity, but not by the same fraction every round."
        return f"these rounds arrive at {show(reached)} instead of {show(final)}."


def amounts_for_targets(targets) -> list[float]:
    if not all(0 <= target <= 1 for target in targets):
        raise ValueError(f"sparsities are shares from 0 to 1, not {targets}.")
    amounts = []
    for before, after in itertools.pairwise([0.0, *targets]):
        amounts.append((after - before) / (1 - before) if before < 1 else 0.0)
    return amounts


class AmountsForTargets(Exercise):
    name = "amounts_for_targets"
    lesson = "06"
    signature = "amounts_for_targets(targets) -> list[float]"
    points = 2
    minutes = 12
    difficulty = 2
    importance = 5
    hints = (
        "Take 20 % and then 60 % of 100 weights. How many go in the second round? How many were "
        "there before it? The amount is the one divided by the other.",
        "Remember the target before: `previous`, 0 at first. New zeros are `target - previous`; "
        "what they are taken from is `1 - previous`.",
        "When everything is gone, `1 - previous` is 0: answer 0 instead of dividing. Look at all "
        "targets first: each from 0 to 1.",
    )
    reference = staticmethod(amounts_for_targets)

    def cases(self, rng):
        steps = torch.from_numpy(rng.uniform(0.05, 0.3, size=4)).cumsum(0) / 1.3
        drawn = [round(float(target), 3) for target in steps]
        return {
            "some targets": [([0.2, 0.6],), ([0.2, 0.4, 0.6, 0.9],), (drawn,)],
            "one target": [([0.7],)],
            "a round that prunes nothing": [([0.3, 0.3, 0.8],), ([0.0, 0.5],)],
            "everything": [([0.5, 1.0],), ([0.6, 1.0, 1.0],), ([1.0],)],
            "no targets": [([],)],
            "no shares": [([0.2, share],) for share in IMPOSSIBLE_SHARES],
            "no share at first": [([share, 0.7],) for share in IMPOSSIBLE_SHARES],
        }

    def verify(self, case, data):
        (targets,) = case
        got, want = _numbers(data.returned), self.expected(case)
        if got is None:
            return f"{show(data.returned)} came back. A list is asked for, one amount a target."
        if len(got) != len(targets):
            return f"{len(targets)} targets, and {len(got)} amounts came back."
        if _alike(got, want):
            return None
        pairs = list(itertools.pairwise([0.0, *targets]))
        reached = 1 - math.prod(1 - target for target in targets)
        if _alike(got, targets) and reached > targets[-1]:
            return (
                f"these are the targets themselves. As amounts they compound, and arrive at "
                f"{show(reached)} instead of {show(targets[-1])}."
            )
        if _alike(got, [after - before for before, after in pairs]):
            return "these are shares of the whole. An amount is a share of what is still there."
        if _alike(got, [1 - amount for amount in want]):
            return "this is what a round leaves of what it finds; what it takes is asked for."
        if _alike(got, [100 * amount for amount in want]):
            return "these are percentages; shares from 0 to 1 are asked for."
        if _alike(
            got, [0.0 if after == 0 else (after - before) / after for before, after in pairs]
        ):
            return "you divided by what is gone afterwards; divide by what is left before."
        differ = [not same_number(*pair) for pair in zip(got, want, strict=True)]
        place = differ.index(True)
        before, after = pairs[place]
        return (
            f"from {show(before)} to {show(after)} the amount is {show(want[place])}, and "
            f"{show(got[place])} came back."
        )


# Training towards sparsity ------------------------------------------------------------------------

BATCHNORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def sparsity_penalty(model: nn.Module, kind: str, strength: float) -> torch.Tensor:
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    weights = list({id(layer.weight): layer.weight for layer in layers}.values())
    norms = [m for m in model.modules() if isinstance(m, BATCHNORM) and m.weight is not None]
    if kind == "l1":
        sums = [weight.abs().sum() for weight in weights]
    elif kind == "l2":
        sums = [weight.square().sum() for weight in weights]
    elif kind == "bn":
        sums = [norm.weight.abs().sum() for norm in norms]
    else:
        raise ValueError(f'a penalty is "l1", "l2" or "bn", not {kind!r}.')
    return strength * sum(sums, torch.zeros(()))


class SparsityPenalty(Exercise):
    name = "sparsity_penalty"
    lesson = "06"
    signature = "sparsity_penalty(model, kind, strength) -> Tensor"
    points = 3
    minutes = 15
    difficulty = 3
    importance = 4
    forbids = ("course_utils.measure.prunable_weights",)
    hints = (
        "`model.modules()` goes through all layers, however deep they sit. Which of them are "
        "`nn.Linear | nn.Conv2d`, and which `nn.BatchNorm1d | nn.BatchNorm2d`?",
        "Add up `weight.abs().sum()` or `weight.square().sum()` of the parameters themselves. "
        "`.data`, `.detach()` and `.item()` cut the connection that the gradient needs.",
        "Two layers may share one tensor, which counts once: remember `id(layer.weight)`. A "
        "BatchNorm made with `affine=False` has no scales: its `weight` is None. Begin the sum "
        "with `torch.zeros(())`, so that a model without such layers gives a tensor too.",
    )
    reference = staticmethod(sparsity_penalty)

    def cases(self, rng):
        sizes = [5, int(rng.integers(6, 10)), 4]
        strength = _share(rng, 0.2, 0.9)
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=int(rng.integers(3, 6)), classes=4)
        norms = network("norms", _seed(rng), channels=3, features=int(rng.integers(4, 7)))
        still = {**convnet, "training": False, "fixed": ["features.0"], "scale": 1.7}
        tied = network("tied", _seed(rng), size=sizes[1])
        return {
            "absolute values": [(mlp, "l1", strength), (convnet, "l1", 2.0)],
            "squares": [(mlp, "l2", strength), (convnet, "l2", 2.0)],
            "BatchNorm scales": [
                (norms, "bn", strength),
                ({**convnet, "scale": -0.7}, "bn", 3.0),
                (network("nothing to prune", _seed(rng), size=sizes[1]), "bn", strength),
            ],
            "weights that are zero": [
                ({**mlp, "zeros": 0.5}, "l1", strength),
                ({**convnet, "zeros": 0.5}, "l2", strength),
                ({**norms, "zeros": 0.5}, "bn", strength),
            ],
            "other layers": [
                (network("other weights", _seed(rng), size=6), "l1", strength),
                (network("other weights", _seed(rng), size=6), "bn", strength),
                (still, "l2", strength),
                (network("linear", _seed(rng), inputs=4, outputs=3), "l1", strength),
            ],
            "a shared weight": [
                (tied, "l1", strength),
                (tied, "l2", strength),
                (network("reused layer", _seed(rng), size=4), "l1", strength),
            ],
            "nothing to add up": [
                (network("nothing to prune", _seed(rng), size=5), "l1", strength),
                (mlp, "bn", strength),
                (mlp, "l1", 0.0),
            ],
            "an unknown kind": [(mlp, "l3", strength), (convnet, "L1", strength)],
        }

    def shown(self, case):
        model, kind, strength = case
        return f"sparsity_penalty({shown(model)}, {kind!r}, {show(strength)})"

    def call(self, inputs, answer):
        model, kind, strength = inputs
        value = answer(model, kind, strength)
        connected = isinstance(value, torch.Tensor) and value.requires_grad
        there = {name: p for name, p in model.named_parameters() if p.requires_grad}
        slopes = {}
        if connected and value.numel() == 1:
            found = torch.autograd.grad(value.sum(), list(there.values()), allow_unused=True)
            slopes = {
                name: torch.zeros_like(p) if slope is None else slope
                for (name, p), slope in zip(there.items(), found, strict=True)
            }
        return {"value": value, "connected": connected, "slopes": slopes}

    def verify(self, case, data):
        description, kind, strength = case
        got, want = data.returned, self.expected(case)
        value, due = as_number(got["value"]), as_number(want["value"])
        if value is None:
            return f"{show(got['value'])} came back, and a tensor with one number is asked for."
        if not same_number(value, due):
            for mistaken, sentence in _misread_penalties(build(description), kind, strength):
                if same_number(value, mistaken):
                    return sentence
            return f"the penalty is {show(due)}, and {show(value)} came back."
        pulls = any(slope.any() for slope in want["slopes"].values())
        if pulls and not got["connected"]:
            return (
                "the number is right, but no gradient flows from it to the weights. Added to a "
                "loss it changes nothing: compute with the parameters themselves."
            )
        parameters = dict(build(description).named_parameters())
        for name, due in want["slopes"].items():
            slope = got["slopes"].get(name, torch.zeros_like(due))
            if not slope.isfinite().all():
                return (
                    f"the gradient of {name!r} is not a number where the weight is zero: one step, "
                    "and the whole layer is lost. The root of a square has no slope at zero."
                )
            away = parameters[name] != 0
            if not same_tensor(slope[away], due[away]):
                return f"the number is right, but not its gradient for {name!r}."
        return None


@torch.no_grad()
def _misread_penalties(model: nn.Module, kind: str, strength: float):
    """What popular mistakes make of a penalty, each with its sentence."""
    shape = {"l1": torch.abs, "l2": torch.square, "bn": torch.abs}[kind]
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, BATCHNORM) and m.weight is not None]
    chosen = norms if kind == "bn" else layers
    once = list({id(layer.weight): layer.weight for layer in chosen}.values())

    def total(tensors, shape=shape):
        return strength * sum(float(shape(tensor).double().sum()) for tensor in tensors)

    every = dict(model.named_parameters())
    called = [p for name, p in every.items() if name.rpartition(".")[2] == "weight"]
    wide = [p for p in every.values() if p.dim() > 1]
    biases = [layer.bias for layer in chosen if layer.bias is not None]
    theirs = "BatchNorm scales" if kind == "bn" else "weights of Linear and Conv2d"
    if strength not in (0, 1):
        yield total(once) / strength, "`strength` is a factor, and it is missing."
    yield total([layer.weight for layer in chosen]), "a tensor that two layers share counts once."
    if chosen:
        told = f"biases and all other parameters are in it. Only {theirs} are asked for."
        yield total(every.values()), told
    yield total([*once, *biases]), "the biases of these layers are in it, and they are spared."
    if kind == "bn":
        images = [norm.weight for norm in norms if isinstance(norm, nn.BatchNorm2d)]
        told = "BatchNorm comes for images (2d) and for rows (1d): your sum leaves one kind out."
        yield total(images), told
        yield total([layer.weight for layer in layers]), "scales are BatchNorm's, not the layers'."
    else:
        yield total([w for w in once if w.dim() == 2]), "the convolutions are missing."
        told = "every parameter of two dimensions or more is in it, embeddings too."
        yield total(wide), f"{told} Only {theirs} are prunable here."
    told = "every parameter with the name `weight` is in it, whatever its layer is."
    yield total(called), f"{told} Only {theirs} are asked for."
    if kind == "l2":
        yield total(once, torch.abs), 'these are absolute values; "l2" adds up squares.'
        yield total(once) / 2, "this is half of the sum of squares."
        told = "this is the norm, the root of the sum of squares; the sum itself is asked for."
        yield strength * math.sqrt(total(once) / strength), told
    else:
        yield total(once, torch.square), f'these are squares; "{kind}" adds up absolute values.'
        yield total(once, lambda w: w), "without `abs`, positive and negative weights cancel."
        count = max(1, sum(w.numel() for w in once))
        yield total(once) / count, "this is the mean; the sum is asked for."
        told = "this counts the weights that are not zero. That has no gradient; add up sizes."
        yield strength * sum(int((w != 0).sum()) for w in once), told


# After surgery ------------------------------------------------------------------------------------


def rebuild_optimizer(optimizer, model: nn.Module):
    settings = {name: optimizer.param_groups[0][name] for name in optimizer.defaults}
    rebuilt = type(optimizer)(list(model.parameters()), lr=settings["lr"])
    rebuilt.param_groups[0].update(copy.deepcopy(settings))
    return rebuilt


class RebuildOptimizer(Exercise):
    """Cases: the model, the optimizer's class and settings, and what happened to it before."""

    name = "rebuild_optimizer"
    lesson = "06"
    signature = "rebuild_optimizer(optimizer, model) -> Optimizer"
    points = 3
    minutes = 20
    difficulty = 4
    importance = 4
    in_place = True
    hints = (
        "`type(optimizer)` is the class, whichever it is, and can be called like a name: "
        "`type(optimizer)(model.parameters(), lr=...)`.",
        "What was set when it was made stands in `optimizer.defaults`; what holds **now**, after a "
        "scheduler has been at work, in `optimizer.param_groups[0]`, under the same keys.",
        "Not every class accepts all its settings when it is made (try AdamW). Make the new one "
        "with `lr` alone, then write the settings into `new.param_groups[0]`: only the keys that "
        "`optimizer.defaults` has.",
    )
    reference = staticmethod(rebuild_optimizer)

    def cases(self, rng):
        sizes = [5, int(rng.integers(6, 10)), 4]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=3, classes=4)
        lr = _share(rng, 0.02, 0.09)
        momentum = {"lr": lr, "momentum": 0.8}
        adam = {"lr": lr, "betas": (0.7, 0.95), "eps": 1e-6}
        return {
            "SGD": [(mlp, "SGD", {"lr": lr}, "fresh"), (mlp, "SGD", momentum, "used")],
            "Adam": [(mlp, "Adam", adam, "used"), (convnet, "Adam", {"lr": lr}, "used")],
            "AdamW": [(mlp, "AdamW", {**adam, "weight_decay": 0.2}, "used")],
            "all its settings": [
                (mlp, "SGD", {**momentum, "nesterov": True, "weight_decay": 0.03}, "used"),
                (mlp, "SGD", {**momentum, "dampening": 0.4, "maximize": True}, "used"),
                (mlp, "Adam", {**adam, "amsgrad": True, "weight_decay": 0.01}, "used"),
            ],
            "other classes": [
                (mlp, "RMSprop", {"lr": lr, "alpha": 0.9, "centered": True}, "used"),
                (mlp, "NAdam", {"lr": lr, "momentum_decay": 0.01}, "used"),
                (mlp, "Adamax", {"lr": lr, "betas": (0.8, 0.9)}, "used"),
            ],
            "after a scheduler": [
                (mlp, "SGD", momentum, "scheduled"),
                (convnet, "AdamW", adam, "scheduled"),
                (mlp, "SGD", momentum, "one cycle"),
                (mlp, "Adam", adam, "one cycle"),
            ],
            "several groups": [
                (mlp, "SGD", momentum, "two groups"),
                (mlp, "Adam", adam, "two groups"),
            ],
            "the same parameters": [
                (mlp, "Adam", adam, "its own model"),
                (network("tied", _seed(rng), size=5), "SGD", momentum, "its own model"),
            ],
            "a layer that does not train just now": [
                ({**mlp, "fixed": ["0"]}, "SGD", momentum, "used"),
            ],
        }

    def shown(self, case):
        description, kind, settings, before = case
        told = ", ".join(f"{name}={show(value)}" for name, value in settings.items())
        happened = {
            "fresh": "never used",
            "used": "made for the model before surgery, and used",
            "scheduled": "made for the model before surgery, its rate lowered by a scheduler",
            "one cycle": "made for the model before surgery, half-way through OneCycleLR",
            "two groups": "made for the model before surgery, with two groups of equal settings",
            "its own model": "made for this very model, and used",
        }[before]
        return f"rebuild_optimizer with {kind}({told}), {happened}, on {shown(description)}"

    def call(self, inputs, answer):
        model, kind, settings, before = inputs
        old = _old_optimizer(model, kind, settings, before)
        kept, seen = _remembered(old), state(model)
        new = answer(old, model)
        if not isinstance(new, torch.optim.Optimizer):
            return {"optimizer": new}
        places = {id(parameter): place for place, parameter in enumerate(model.parameters())}
        held = [[places.get(id(p), -1) for p in group["params"]] for group in new.param_groups]
        group = new.param_groups[0]
        return {
            "optimizer": True,
            "class": type(new).__name__,
            "same class": type(new) is type(old),
            "same object": new is old,
            "held": held,
            "settings": {name: group.get(name) for name in old.defaults},
            "made with": dict(old.defaults),
            "initial rate": group.get("initial_lr"),
            "state": len(new.state),
            "spoiled": not identical(kept, _remembered(old)),
            "model": identical(seen, state(model)),
        }

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        if got["optimizer"] is not True:
            return f"{show(got['optimizer'])} came back, and an optimizer is asked for."
        if got["same object"]:
            return "this is the old optimizer. Make a new one: the old may still be needed."
        if not got["same class"]:
            return f"this is {got['class']}, and the old one is {want['class']}."
        if got["spoiled"]:
            return (
                "the old optimizer has changed: what was copied still shares its groups or state."
            )
        if not got["model"]:
            return "the model has changed. Only an optimizer is to be made."
        held = [place for group in got["held"] for place in group]
        if -1 in held:
            return (
                "it holds parameters that are not the model's. They would train, and nobody sees."
            )
        places = enumerate(build(case[0]).parameters())
        if set(held) == {place for place, p in places if p.requires_grad} < set(want["held"][0]):
            return (
                "parameters that do not train just now are left out. When they are set free again, "
                "nobody would train them."
            )
        if len(set(held)) != len(want["held"][0]):
            return (
                f"it holds {len(set(held))} of the model's {len(want['held'][0])} parameters; the "
                "others would never train."
            )
        if len(got["held"]) > 1:
            return f"the parameters lie in {len(got['held'])} groups; one is asked for."
        if got["state"]:
            return "it remembers something already: momentum of weights that are gone."
        for name, due in want["settings"].items():
            value = got["settings"][name]
            if not _same_setting(value, due):
                said = f"{name} is {show(value)} instead of {show(due)}"
                if _same_setting(value, got["made with"][name]):
                    return f"{said}. {name!r} had that value at first; a scheduler has changed it."
                return f"{said}: the settings of the old optimizer go on."
        if got["initial rate"] is not None:
            return (
                "a scheduler's `initial_lr` came along. The next scheduler would start from that "
                "old rate and not from `lr`: take only the keys of `defaults`."
            )
        return None


def _same_setting(value, due) -> bool:
    if isinstance(due, tuple):
        return isinstance(value, tuple | list) and _alike(list(value), list(due))
    if isinstance(due, bool) or due is None:
        return value == due
    return same_number(value, due)


def _old_optimizer(model: nn.Module, kind: str, settings: dict, before: str):
    """An optimizer as training left it. But for "its own model", it holds other parameters."""
    trained = model if before == "its own model" else copy.deepcopy(model)
    parameters = list(trained.parameters())
    if before == "two groups":
        parameters = [{"params": parameters[:2]}, {"params": parameters[2:]}]
    optimizer = getattr(torch.optim, kind)(parameters, **settings)
    if before == "scheduled":
        rate = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    if before == "one cycle":  # it changes momentum (or betas) too
        rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.3, total_steps=10)
    for _ in range(0 if before == "fresh" else 2):
        optimizer.step()  # with the gradients that described networks come with
        if before in ("scheduled", "one cycle"):
            rate.step()
    return optimizer


def _remembered(optimizer) -> dict:
    """All there is to an optimizer, copied: for comparison with what it is later."""
    return {
        "groups": [
            {
                name: [id(p) for p in value] if name == "params" else copy.copy(value)
                for name, value in group.items()
            }
            for group in optimizer.param_groups
        ],
        "values": [p.detach().clone() for group in optimizer.param_groups for p in group["params"]],
        "state": {
            id(parameter): {
                name: value.clone() if isinstance(value, torch.Tensor) else value
                for name, value in memory.items()
            }
            for parameter, memory in optimizer.state.items()
        },
        "defaults": dict(optimizer.defaults),
    }


def recalibrate_batchnorm(model: nn.Module, batches) -> None:
    norms = [m for m in model.modules() if isinstance(m, BATCHNORM) and m.running_mean is not None]
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in norms}
    try:
        model.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a plain average over all batches
        with torch.no_grad():
            for batch in batches:
                model(batch[0] if isinstance(batch, tuple | list) else batch)
    finally:
        for module, training in modes.items():
            module.training = training
        for norm, momentum in momenta.items():
            norm.momentum = momentum


# What learners do instead, kept to recognise it by its results.


def _statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    return {n: b for n, b in model.named_buffers() if not n.endswith("num_batches_tracked")}


def _inputs_of(batches):
    return [batch[0] if isinstance(batch, tuple | list) else batch for batch in batches]


def _by_running_average(model, batches, momentum=None, reset=False, dropout=False):
    """Let BatchNorm itself update: by its momentum, from where it stands, dropout at work..."""
    modes = {module: module.training for module in model.modules()}
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout) and not dropout:
            module.eval()
        if isinstance(module, BATCHNORM) and module.running_mean is not None:
            if reset:
                module.reset_running_stats()
            if momentum == "plain":
                module.momentum = None
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # dropout as it falls when an answer is run
        for x in _inputs_of(batches):
            model(x)
    for module, training in modes.items():
        module.training = training


def _from_all_images(model, batches):
    """One batch of everything: the variance between batches is counted too."""
    recalibrate_batchnorm(model, [torch.cat(_inputs_of(batches))])


def _from_the_last(model, batches):
    recalibrate_batchnorm(model, batches[-1:])


def _from_the_first(model, batches):
    recalibrate_batchnorm(model, batches[:1])


@torch.no_grad()
def _by_looking_on(model, batches, unbiased=True, frozen=True):
    """Hooks that average what each BatchNorm is given: by default, while all of them still
    normalise with the old statistics."""
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in model.modules() if isinstance(m, BATCHNORM) and m.running_mean is not None]
    seen = {norm: [] for norm in norms}
    kept = {norm: [b.clone() for b in norm.buffers()] for norm in norms}

    def look(norm, inputs):
        x = inputs[0].movedim(1, 0).flatten(1)
        seen[norm].append((x.mean(1), x.var(1, unbiased=unbiased)))

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    model.eval()
    for norm in norms:
        norm.train(not frozen)
    for x in _inputs_of(batches):
        model(x)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        for buffer, values in zip(norm.buffers(), kept[norm], strict=True):
            buffer.copy_(values)
        means, variances = zip(*seen[norm], strict=True)
        norm.running_mean.copy_(torch.stack(means).mean(0))
        norm.running_var.copy_(torch.stack(variances).mean(0))
    for module, training in modes.items():
        module.training = training


MISTAKES: tuple[tuple[Callable, str], ...] = (
    (
        lambda model, batches: _by_running_average(model, batches),
        "the old statistics are still counted in, and later batches weigh more than earlier ones: "
        "BatchNorm averages by its momentum unless told otherwise.",
    ),
    (
        lambda model, batches: _by_running_average(model, batches, reset=True),
        "the statistics were reset, and then averaged by each layer's momentum: later batches "
        "weigh more, and some of the 0 and 1 of the reset is left.",
    ),
    (
        lambda model, batches: _by_running_average(model, batches, "plain"),
        "without a reset BatchNorm goes on counting from the batches of the training: the old "
        "statistics are averaged in.",
    ),
    (
        lambda model, batches: _by_running_average(model, batches, "plain", True, dropout=True),
        "dropout was at work, and layers behind it saw numbers they never meet in use.",
    ),
    (
        _from_all_images,
        "these are the statistics of all images as one batch. The average over the batches is "
        "asked for, each with a variance of its own.",
    ),
    (_from_the_last, "this is the last batch alone; the average over all of them is asked for."),
    (_from_the_first, "this is the first batch alone; the average over all of them is asked for."),
    (
        lambda model, batches: _by_looking_on(model, batches),
        "a BatchNorm behind another one saw numbers that the old statistics had normalised. All "
        "of them must be in training mode while the batches run.",
    ),
    (
        lambda model, batches: _by_looking_on(model, batches, unbiased=False, frozen=False),
        "the means are right, and the variances were divided by n: unbiased ones (n - 1) are asked "
        "for, as BatchNorm itself keeps them.",
    ),
)


class RecalibrateBatchnorm(Exercise):
    name = "recalibrate_batchnorm"
    lesson = "06"
    signature = "recalibrate_batchnorm(model, batches) -> None"
    points = 3
    minutes = 20
    difficulty = 3
    importance = 5
    in_place = True
    hints = (
        "BatchNorm does the counting itself: in training mode every forward pass updates its "
        "running statistics. So put the model in eval mode and only the BatchNorm layers back in "
        "training mode, and run the batches through, with `torch.no_grad()`.",
        "By default it averages with a momentum, so that the past fades. With `momentum = None` "
        "it takes the plain average, since the last `reset_running_stats()`.",
        "Remember `module.training` of every module and `momentum` of every BatchNorm first, and "
        "put them back at the end. Layers with `track_running_stats=False` have no statistics to "
        "take: their `running_mean` is None.",
    )
    reference = staticmethod(recalibrate_batchnorm)

    def cases(self, rng):
        channels, features = int(rng.integers(3, 6)), int(rng.integers(4, 7))
        norms = network("norms", _seed(rng), channels=channels, features=features)
        convnet = network("convnet", _seed(rng), channels=3, classes=4)
        rows = network("nothing to prune", _seed(rng), size=features)

        def images(count, size=6):
            drift = [_normal(rng, size, 1, 8, 8) * (1 + n) + n for n in range(count)]
            return [2 * images - 1 for images in drift]

        def labelled(batches):
            return [(x, torch.from_numpy(rng.integers(0, 3, len(x)))) for x in batches]

        frozen = {**norms, "training": True, "frozen": ["1", "3"]}
        return {
            "batches of images": [(convnet, images(3)), (norms, images(4))],
            "images with labels": [(convnet, labelled(images(3))), (norms, labelled(images(2)))],
            "rows": [(rows, [_normal(rng, 7, features) * 3 + 1 for _ in range(3)])],
            "a single batch": [(norms, images(1, 9))],
            "in eval mode, in part, with other weights": [
                ({**norms, "training": False}, images(3)),
                (frozen, images(3)),
                ({**norms, "scale": -1.3, "fixed": ["0", "1"]}, images(2, 4)),
            ],
            "no BatchNorm": [
                (network("mlp", _seed(rng), sizes=[5, 6, 3]), [_normal(rng, 4, 5)] * 2)
            ],
        }

    def shown(self, case):
        description, batches = case
        kind = "(x, y)" if isinstance(batches[0], tuple) else "x"
        said = f"{len(batches)} batches {kind}" if len(batches) > 1 else f"one batch {kind}"
        return f"recalibrate_batchnorm on {shown(description)}, with {said}"

    def call(self, inputs, answer):
        model, batches = inputs
        before = dict(model.named_parameters())
        answer(model, batches)
        after = dict(model.named_parameters())
        return {
            "state": state(model),
            "replaced": [name for name in before if after.get(name) is not before[name]],
            "gradients on": torch.is_grad_enabled(),
            "graph": any(buffer.requires_grad for buffer in model.buffers()),
        }

    def verify(self, case, data):
        description, batches = case
        got, want = data.returned["state"], self.expected(case)["state"]
        if data.returned["replaced"]:
            return f"{data.returned['replaced'][0]!r} is a new object; only statistics may change."
        if not identical(batches, data.inputs[1]):
            return "the batches have changed, and somebody may still need them."
        if not identical(got["parameters"], want["parameters"]):
            return "a weight has changed. Nothing is to be learned here, only to be counted."
        for part in ("layers", "modes", "hooks", "requires_grad flags"):
            if got[part] != want[part]:
                return f"after the call the model's {part} are not what they were."
        for name, due in want["settings"].items():
            for setting in sorted(due.keys() | got["settings"][name].keys()):
                value, before = got["settings"][name].get(setting), due.get(setting)
                if value != before:
                    return (
                        f"the {setting} of layer {name!r} is {show(value)} instead of "
                        f"{show(before)}, and the next training would go on with that."
                    )
        if not identical(got["gradients"], want["gradients"]):
            return "the gradients are not what they were. Counting needs none: `torch.no_grad()`."
        if not data.returned["gradients on"]:
            return "gradients are switched off for everybody now: use `with torch.no_grad():`."
        if data.returned["graph"]:
            return (
                "the statistics drag the whole computation along: compute them without gradients."
            )
        model = build(description)
        due, found = _only_statistics(want), _only_statistics(got)
        if set(due) != set(found):
            return "BatchNorm's running statistics are missing, or there are new ones."
        if _close(found, due):
            return None
        before = _statistics(model)
        if _close(found, before):
            return "the statistics are what they were. BatchNorm counts in training mode only."
        for mistake, sentence in MISTAKES:
            mistaken = build(description)
            mistake(mistaken, batches)
            if _close(found, _statistics(mistaken)):
                return sentence
        for name in due:
            if not _close({name: found[name]}, due):
                if _close({name: found[name]}, before):
                    return (
                        f"{name!r} is what it was, others are not. All BatchNorm layers are meant, "
                        "1-D and 2-D, however deep they sit and whatever their mode is."
                    )
                return f"{name!r} is {show(found[name])}, and should be {show(due[name])}."
        return None


def _only_statistics(seen: dict) -> dict[str, torch.Tensor]:
    return {n: b for n, b in seen["buffers"].items() if not n.endswith("num_batches_tracked")}


def _close(some: dict, other: dict) -> bool:
    """The same tensors but for rounding."""
    return all(
        torch.allclose(tensor.double(), other[name].double(), rtol=1e-4, atol=1e-5)
        for name, tensor in some.items()
    )


EXERCISES = [
    CubicSparsity(),
    IterativeFractions(),
    AmountsForTargets(),
    SparsityPenalty(),
    RebuildOptimizer(),
    RecalibrateBatchnorm(),
]
