"""Lesson 03, unstructured pruning: which single weights go, and how they stay gone."""

import math

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils.exercises.compare import as_number, identical, same_number, same_tensor, show
from course_utils.exercises.engine import Exercise, observe
from course_utils.exercises.networks import build, network, shown, state


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


def _normal(rng, *shape) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


# --- What can be wrong with a mask ---------------------------------------------------------------


def _misshapen(got, weight: torch.Tensor) -> str | None:
    """Why this is no mask for the weight, if it is none."""
    if not isinstance(got, torch.Tensor):
        return f"{show(got)} came back, and a mask is a tensor."
    if got.shape != weight.shape:
        return (
            f"the mask has shape {tuple(got.shape)}, and the weight {tuple(weight.shape)}: a mask "
            "says for every weight whether it stays."
        )
    if not ((got == 0) | (got == 1)).all():
        if same_tensor(got, weight * (got != 0)):
            return "these are the weights that stay. A mask holds only ones (stay) and zeros (go)."
        return "a mask holds ones (or True) and zeros (or False), and nothing else."
    return None


def _wrong_choice(kept: torch.Tensor, weights: torch.Tensor, share: float) -> str | None:
    """Why these are not the right weights to keep, if they are not. Both tensors are flat."""
    sizes, gone = weights.abs(), round(share * len(weights))
    count, many = int(kept.sum()), len(weights) - gone
    if count != many:
        said = f"you kept {count} of {len(weights)} weights instead of {many}"
        limit = sizes.sort().values[max(gone - 1, 0)]
        if count == gone == len(weights):
            return f"{said}: at 1 all go. Mind slices: `[-0:]` takes everything, not nothing."
        if count == gone:
            return f"{said}: the sparsity is the share that goes, not the one that stays."
        if count == len(weights) - int(share * len(weights)):
            return f"{said}: {share:g} of {len(weights)} is to be rounded, and `int` cuts it off."
        if (sizes == limit).sum() > 1:
            return f"{said}: several tie for the last place. Count, do not compare with a limit."
        return f"{said}."
    if same_tensor(sizes[kept].sort().values, sizes.sort().values[gone:]):
        return None
    if same_tensor(weights[kept].sort().values, weights.sort().values[gone:]):
        return "you kept the largest numbers. Size is distance from zero: -3 outweighs 2."
    if same_tensor(sizes[kept].sort().values, sizes.sort().values[:many]):
        return "the smallest stay and the largest go; it should be the other way round."
    return (
        f"a weight of size {show(sizes[~kept].max())} goes while one of size "
        f"{show(sizes[kept].min())} stays."
    )


IMPOSSIBLE_SHARES = (-0.1, 1.5, math.nan)


# --- The exercises -------------------------------------------------------------------------------


def magnitude_mask(weight: torch.Tensor, sparsity: float) -> torch.Tensor:
    if not 0 <= sparsity <= 1:
        raise ValueError(f"a sparsity is a share from 0 to 1, not {sparsity}.")
    order = weight.abs().flatten().argsort()
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[order[: round(sparsity * weight.numel())]] = False
    return mask.view(weight.shape)


class MagnitudeMask(Exercise):
    name = "magnitude_mask"
    lesson = "03"
    signature = "magnitude_mask(weight, sparsity) -> Tensor"
    points = 2
    minutes = 15
    difficulty = 2
    importance = 5
    hints = (
        "How many go? `round(sparsity * weight.numel())`. Who? Those with the smallest "
        "`weight.abs()`.",
        "Ask for places instead of a limit: `sizes.flatten().argsort()` lists the places from the "
        "smallest size to the largest, ties in some order.",
        "Begin with a mask of ones, `torch.ones(n, dtype=torch.bool)`, set the first places of "
        "that list to False, and give it the weight's shape with `.view(weight.shape)`.",
    )
    reference = staticmethod(magnitude_mask)

    def cases(self, rng):
        tied = torch.tensor([2.0, -2.0, 1.0, 2.0, -0.5, 2.0, 3.0, -2.0])
        tied = tied[torch.from_numpy(rng.permutation(8))].view(2, 4)
        return {
            "ordinary weights": [
                (torch.tensor([[0.5, -3.0, 2.0, -0.1, 1.0], [0.3, 0.9, -0.7, 4.0, -1.5]]), 0.2),
                (_normal(rng, 6, 5) - 0.5, round(float(rng.choice([0.2, 0.3, 0.7])), 1)),
            ],
            "a share that does not divide": [(_normal(rng, 3, 9), 0.4), (_normal(rng, 7, 1), 0.25)],
            "other tensors": [
                (_normal(rng, 4, 3, 3, 3), 0.8),
                (_normal(rng, 5, 8).T, 0.3),
                (_normal(rng, 5, 6).double(), 0.9),
                (_normal(rng, 11), 0.3),
            ],
            "ties": [(tied, 0.5), (torch.full((4, 5), -1.0), 0.3), (torch.zeros(3, 4), 0.75)],
            "nearly tied": [(torch.tensor([[1.0, -1.0001, 0.9999, 1.0002]]), 0.25)],
            "none, all, nothing": [
                (_normal(rng, 3, 4), 0.0),
                (_normal(rng, 3, 4), 1.0),
                (torch.zeros(0, 4), 0.5),
            ],
            "impossible shares": [(_normal(rng, 2, 3), share) for share in IMPOSSIBLE_SHARES],
        }

    def verify(self, case, data):
        weight, share = case
        got = data.returned
        return _misshapen(got, weight) or _wrong_choice(
            (got != 0).flatten(), weight.flatten(), share
        )


def global_masks(weights: dict[str, torch.Tensor], sparsity: float) -> dict[str, torch.Tensor]:
    if not 0 <= sparsity <= 1:
        raise ValueError(f"a sparsity is a share from 0 to 1, not {sparsity}.")
    if not weights:
        return {}
    sizes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    keep = torch.ones(len(sizes), dtype=torch.bool)
    keep[sizes.argsort()[: round(sparsity * len(sizes))]] = False
    parts = keep.split([weight.numel() for weight in weights.values()])
    return {
        name: part.view(weight.shape)
        for (name, weight), part in zip(weights.items(), parts, strict=True)
    }


class GlobalMasks(Exercise):
    name = "global_masks"
    lesson = "03"
    signature = "global_masks(weights, sparsity) -> dict[str, Tensor]"
    points = 3
    minutes = 15
    difficulty = 3
    importance = 5
    hints = (
        "Put the sizes of all tensors into one long row with `torch.cat`, and rank them there.",
        "The long row is one tensor, and you have just written the mask of one tensor. Cut that "
        "mask into pieces: `mask.split([w.numel() for w in weights.values()])`.",
        "`torch.cat` of an empty list fails: with no weights there are no masks, `{}`. Give each "
        "piece the shape of its weight.",
    )
    reference = staticmethod(global_masks)

    def cases(self, rng):
        rows = int(rng.integers(4, 9))
        two = {"0.weight": _normal(rng, rows, 6) / 3, "2.weight": _normal(rng, 4, rows) * 3}
        scales = {
            "conv.weight": _normal(rng, 4, 2, 3, 3),
            "fc1.weight": _normal(rng, 10, 9) / 20,
            "fc2.weight": _normal(rng, 9, 4).T,
            "scale": _normal(rng, 7),
        }
        tied = {
            "a.weight": torch.full((3, 4), 1.0),
            "b.weight": torch.full((4, 2), -1.0),
            "c.weight": torch.tensor([[0.5, 2.0]]),
        }
        odd = {f"{n}.weight": _normal(rng, 1, 3) for n in range(5)}
        emptied = {"0.weight": _normal(rng, 5, 5).sign() / 100, "1.weight": two["0.weight"].sign()}
        return {
            "two layers": [(two, 0.5), (two, round(float(rng.choice([0.2, 0.3, 0.8])), 1))],
            "layers of other scales": [(scales, 0.4), (scales, 0.9)],
            "shares that do not divide": [(odd, 0.25), (odd, 0.45)],
            "ties across layers": [(tied, 0.4), (tied, 0.7)],
            "a layer that is emptied": [(emptied, 25 / (25 + 6 * rows))],
            "float64": [({name: weight.double() for name, weight in two.items()}, 0.6)],
            "none, all, nothing": [
                (two, 0.0),
                (two, 1.0),
                ({}, 0.5),
                ({**two, "empty.weight": torch.zeros(0, 5)}, 0.5),
            ],
            "impossible shares": [(two, share) for share in IMPOSSIBLE_SHARES],
        }

    def shown(self, case):
        weights, share = case
        shapes = ", ".join(f"{name} {tuple(weight.shape)}" for name, weight in weights.items())
        return f"global_masks({{{shapes}}}, {show(share)})"

    def verify(self, case, data):
        weights, share = case
        got = data.returned
        if not isinstance(got, dict):
            return f"{show(got)} came back, and a dictionary from name to mask is asked for."
        for name, weight in weights.items():
            if name not in got:
                return f"there is no mask for {name!r}."
            if trouble := _misshapen(got[name], weight):
                return f"for {name!r} {trouble}"
        extra = [name for name in got if name not in weights]
        if extra:
            return f"there is a mask for {extra[0]!r}, which is none of the weights."
        if not weights:
            return None
        masks = {name: got[name] != 0 for name in weights}
        problem = _wrong_choice(_row(masks), _row(weights), share)
        if problem and not any(
            _wrong_choice(masks[name].flatten(), weight.flatten(), share)
            for name, weight in weights.items()
        ):
            return (
                "each layer lost the same share, so they were ranked one by one. Rank all weights "
                "together: a layer of small weights then loses more."
            )
        return problem


def _row(tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


@torch.no_grad()
def apply_masks(model: nn.Module, masks: dict[str, torch.Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"the model has no parameter {name!r}.")
        if mask.shape != parameters[name].shape:
            raise ValueError(f"the mask for {name!r} has another shape than the weight.")
    for name, mask in masks.items():
        parameters[name].masked_fill_(mask == 0, 0)


class ApplyMasks(Exercise):
    name = "apply_masks"
    lesson = "03"
    signature = "apply_masks(model, masks) -> None"
    points = 2
    minutes = 10
    difficulty = 2
    importance = 4
    in_place = True
    hints = (
        "`dict(model.named_parameters())` finds each parameter by the name the masks use, however "
        "deep its layer sits.",
        "Change the parameter where it is, inside `with torch.no_grad():`, with a method that ends "
        "in an underscore. A new tensor would not be the one that the optimizer holds.",
        "`weight.masked_fill_(mask == 0, 0)` writes zeros. Multiplying does not always: NaN * 0 is "
        "NaN. Compare names and shapes first: a mask of one row would silently be repeated.",
    )
    reference = staticmethod(apply_masks)

    def cases(self, rng):
        def masks_for(description, kind=torch.bool):
            layers = {
                name: weight
                for name, weight in build(description).named_parameters()
                if name.endswith("weight") and weight.dim() > 1
            }
            return {
                name: torch.from_numpy(rng.random(weight.shape) < 0.6).to(kind)
                for name, weight in layers.items()
            }

        sizes = [6, int(rng.integers(7, 12)), 4]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=int(rng.integers(3, 6)), classes=4)
        tied = network("tied", _seed(rng), size=sizes[1])
        linear = network("linear", _seed(rng), inputs=8, outputs=sizes[1])
        first = masks_for(mlp)["0.weight"]
        norm = build(convnet).get_parameter("features.1.weight")
        return {
            "a small network": [(mlp, masks_for(mlp), {})],
            "layers inside modules": [(convnet, masks_for(convnet), {})],
            "masks of 0 and 1": [
                (mlp, masks_for(mlp, torch.float32), {}),
                (mlp, masks_for(mlp, torch.int64), {}),
            ],
            "some layers, one, none": [
                (mlp, {"2.weight": masks_for(mlp)["2.weight"]}, {}),
                (linear, masks_for(linear), {}),
                (mlp, {}, {}),
            ],
            "any parameter": [
                (mlp, {"2.bias": torch.tensor([True, False, False, True])}, {}),
                (convnet, {"features.1.weight": _all_but(norm, [0, 2])}, {}),
            ],
            "a shared weight": [(tied, masks_for(tied), {})],
            "weights that do not train, modes": [
                (
                    {**convnet, "fixed": ["features.0"], "frozen": ["features.1"]},
                    masks_for(convnet),
                    {},
                )
            ],
            "NaN and infinity": [
                (linear, {"weight": _all_but(build(linear).weight, [0, 9])}, {0: "nan", 9: "inf"})
            ],
            "a kept NaN": [(linear, {"weight": _all_but(build(linear).weight, [1])}, {0: "nan"})],
            "masks that do not fit": [
                (mlp, {"0.weight": first, "7.weight": first}, {}),
                (mlp, {"0": first}, {}),
                (mlp, {"0.weight": first[:1]}, {}),
                (mlp, {"0.weight": first.T}, {}),
                (mlp, {"0.weight": first[0]}, {}),
            ],
        }

    def shown(self, case):
        description, masks, broken = case
        with_masks = ", ".join(f"{name} {tuple(mask.shape)}" for name, mask in masks.items())
        holding = f" that holds {' and '.join(broken.values())}" if broken else ""
        return f"apply_masks on {shown(description)}{holding}, with masks {{{with_masks}}}"

    def call(self, inputs, answer):
        model, masks, broken = inputs
        _break(model, broken)
        before = dict(model.named_parameters())
        answer(model, masks)
        after = dict(model.named_parameters())
        renamed = [name for name in before if name not in after]
        replaced = [name for name in before if after.get(name) is not before[name]]
        return {"state": state(model), "renamed": renamed, "replaced": replaced}

    def verify(self, case, data):
        description, masks, broken = case
        if data.returned["renamed"]:
            return (
                f"there is no parameter {data.returned['renamed'][0]!r} any more. Keep the names."
            )
        if data.returned["replaced"]:
            name = data.returned["replaced"][0]
            return (
                f"{name!r} is a new object after the call, and an optimizer would go on with the "
                "old one. Change the parameter's own numbers."
            )
        if not identical(masks, data.inputs[1]):
            return "the masks have changed, and the caller still needs them."
        got, want = data.returned["state"], self.expected(case)["state"]
        original = _break(build(description), broken)
        for name, weight in want["parameters"].items():
            value, before = got["parameters"][name], original.get_parameter(name).detach()
            if same_tensor(value, weight):
                continue
            if name not in masks:
                return f"{name!r} has no mask and must stay as it was."
            if same_tensor(value, before):
                return f"{name!r} is what it was before: a copy was changed, or nothing was."
            if same_tensor(value, before.masked_fill(masks[name] != 0, 0)):
                return "what the mask keeps is zero, and what it removes is still there."
            if value[masks[name] == 0].isnan().any():
                return (
                    "a masked NaN or infinity is now NaN: neither becomes 0 when multiplied by 0."
                )
            return f"in {name!r} some weight that stays has lost its value."
        for part in want:
            if not identical(got[part], want[part]):
                return f"after the call the model's {part} are not what they were."
        return None


def _all_but(weight: torch.Tensor, places: list[int]) -> torch.Tensor:
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[places] = False
    return mask.view(weight.shape)


@torch.no_grad()
def _break(model: nn.Module, broken: dict[int, str]) -> nn.Module:
    """Put NaN or infinity at these places of the first parameter."""
    for place, value in broken.items():
        next(model.parameters()).view(-1)[place] = float(value)
    return model


def train_step(model, optimizer, masks, x, y) -> float:
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for name, mask in masks.items():
            model.get_parameter(name).masked_fill_(mask == 0, 0)
    return loss.item()


# What learners do instead, kept to recognise it by its results.


def _in_eval_mode(model, optimizer, masks, x, y):
    model.train = lambda mode=True: model
    try:
        return train_step(model, optimizer, masks, x, y)
    finally:
        del model.train


def _uncleared(model, optimizer, masks, x, y):
    clear, optimizer.zero_grad = optimizer.zero_grad, lambda: None
    try:
        return train_step(model, optimizer, masks, x, y)
    finally:
        optimizer.zero_grad = clear


def _cleared_afterwards(model, optimizer, masks, x, y):
    loss = _uncleared(model, optimizer, masks, x, y)
    optimizer.zero_grad()
    return loss


def _forgetful(model, optimizer, masks, x, y):
    optimizer.state.clear()
    return train_step(model, optimizer, masks, x, y)


MISTAKES = (
    (_in_eval_mode, "these are the numbers of a step in eval mode. Call `model.train()` first."),
    (_uncleared, "the last step's gradients are still counted in: clear them before `backward`."),
    (
        _cleared_afterwards,
        "gradients from before the call are counted in: clear them first, not last.",
    ),
    (_forgetful, "the optimizer's memory is gone. What stays must train on with its momentum."),
)


class TrainStep(Exercise):
    name = "train_step"
    lesson = "03"
    signature = "train_step(model, optimizer, masks, x, y) -> float"
    points = 3
    minutes = 20
    difficulty = 3
    importance = 5
    in_place = True
    hints = (
        "Write an ordinary training step first: `model.train()`, clear the gradients, the loss "
        "`nn.functional.cross_entropy(model(x), y)`, `backward()`, `optimizer.step()`.",
        "Which weights move when their gradient is zero? Those the optimizer remembers something "
        "about. So whatever you do before the step cannot be enough.",
        "Apply the masks right after `optimizer.step()`, and return `loss.item()`, the loss that "
        "you computed before it.",
    )
    reference = staticmethod(train_step)

    def cases(self, rng):
        sizes = [6, int(rng.integers(8, 13)), 4]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=3, classes=4, dropout=0.0)

        def labels(count):
            return torch.from_numpy(rng.integers(0, 4, size=count))

        def dense(optimizer, kind=torch.bool, names=("0.weight", "2.weight"), **settings):
            shapes = {name: build(mlp).get_parameter(name).shape for name in names}
            masks = {
                name: torch.from_numpy(rng.random(shape) < 0.5).to(kind)
                for name, shape in shapes.items()
            }
            return mlp, optimizer, settings, masks, _normal(rng, 9, 6), labels(9)

        conv_mask = torch.from_numpy(rng.random((3, 1, 3, 3)) < 0.5)
        images = _normal(rng, 7, 1, 8, 8)
        momentum = {"lr": 0.1, "momentum": 0.9}
        return {
            "plain SGD": [dense("SGD", lr=0.1), dense("SGD", torch.float32, lr=0.3)],
            "momentum": [dense("SGD", **momentum)],
            "momentum and weight decay": [
                dense("SGD", weight_decay=0.01, **momentum),
                dense("SGD", nesterov=True, weight_decay=0.1, **momentum),
            ],
            "Adam": [dense("Adam", lr=0.02), dense("Adam", torch.int64, lr=0.02, weight_decay=0.1)],
            "AdamW": [dense("AdamW", lr=0.02, weight_decay=0.1)],
            "BatchNorm": [
                (convnet, "SGD", momentum, {"features.0.weight": conv_mask}, images, labels(7)),
                (
                    {**convnet, "training": False},
                    "Adam",
                    {"lr": 0.01},
                    {"features.0.weight": conv_mask},
                    images,
                    labels(7),
                ),
            ],
            "gradients left over": [
                (*dense("SGD", **momentum), "keep gradients"),
                (*dense("Adam", lr=0.02), "keep gradients"),
            ],
            "one layer masked, or none": [
                dense("SGD", names=["2.weight"], **momentum),
                dense("Adam", names=[], lr=0.02),
            ],
        }

    def shown(self, case):
        description, optimizer, settings, masks, *rest = case
        told = ", ".join(f"{name}={value}" for name, value in settings.items())
        left = ", with gradients left over" if len(rest) > 2 else ""
        held = f"masks for {list(masks)}{left}"
        return f"train_step on {shown(description)}, {optimizer}({told}), {held}"

    def call(self, inputs, answer):
        model, kind, settings, masks, x, y, *keep_gradients = inputs
        optimizer = getattr(torch.optim, kind)(model.parameters(), **settings)
        for _ in range(2):  # without masks, so that the optimizer remembers what it should forget
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            for name, mask in masks.items():
                model.get_parameter(name).masked_fill_(mask == 0, 0)
        if not keep_gradients:
            optimizer.zero_grad()
        before = dict(model.named_parameters())
        start = {name: parameter.detach().clone() for name, parameter in before.items()}
        losses, alive = [], []
        for _ in range(3):
            model.eval()
            losses.append(answer(model, optimizer, masks, x, y))
            moved = [model.get_parameter(name)[mask == 0] for name, mask in masks.items()]
            alive.append(sum(int((weights != 0).sum()) for weights in moved))
        after = dict(model.named_parameters())
        return {
            "losses": losses,
            "alive": alive,
            "start": start,
            "parameters": after,
            "buffers": dict(model.named_buffers()),
            "replaced": [name for name in before if after.get(name) is not before[name]],
        }

    def verify(self, case, data):
        masks, got, want = case[3], data.returned, self.expected(case)
        if not identical(masks, data.inputs[3]):
            return "the masks have changed, and the next step needs them as they are."
        if any(as_number(loss) is None for loss in got["losses"]):
            return f"{show(got['losses'][0])} came back. Return the loss, a number."
        if got["replaced"]:
            return f"{got['replaced'][0]!r} is a new object, and the optimizer holds the old one."
        if any(got["alive"]):
            steps = next(n for n, alive in enumerate(got["alive"], 1) if alive)
            total = sum(int((mask == 0).sum()) for mask in masks.values())
            alive = f"{got['alive'][steps - 1]} of {total} masked weights"
            said = f"after step {steps}, {alive} are not zero"
            if case[1] != "SGD":
                return f"{said}. {case[1]} remembers, and moves weights whose gradient is zero."
            if "momentum" in case[2]:
                return f"{said}. Momentum carries a weight on when its gradient is zero."
            return f"{said}. The step moves every weight that has a gradient."
        if self._agree(got, want):
            return None
        for mistake, sentence in MISTAKES:
            if self._agree(got, observe(self, case, mistake).returned):
                return sentence
        if _close(got["parameters"], got["start"]):
            return "no weight has moved at all. Did the optimizer make its step?"
        first = got["losses"][0]
        if not same_number(first, want["losses"][0]):
            if same_number(first, want["losses"][1]):
                return "this is the loss after the step; the one that led to it is asked for."
            if same_number(first, want["losses"][0] * len(case[5])):
                return "the loss is summed over the images; the mean over the batch is asked for."
            return f"the cross-entropy is {show(want['losses'][0])}, and {show(first)} came back."
        if not _close(got["parameters"], want["parameters"]):
            return "the weights that stay are not where the optimizer's own step takes them."
        if not _close(got["buffers"], want["buffers"]):
            return "BatchNorm did not see the images exactly once: run them through one time."
        return f"the losses of three steps are {show(want['losses'])}, not {show(got['losses'])}."

    def _agree(self, one, other) -> bool:
        return (
            _close(one["parameters"], other["parameters"])
            and _close(one["buffers"], other["buffers"])
            and _close({"losses": _losses(one)}, {"losses": _losses(other)})
        )


def _losses(data: dict) -> torch.Tensor:
    return torch.tensor([as_number(loss) for loss in data["losses"]])


def _close(some: dict, other: dict) -> bool:
    """The same tensors but for rounding, which grows from step to step."""
    return all(
        torch.allclose(tensor.double(), other[name].double(), rtol=1e-4, atol=1e-5)
        for name, tensor in some.items()
    )


def remaining_after(rounds: int, fraction: float) -> float:
    if rounds < 0:
        raise ValueError(f"there cannot be {rounds} rounds.")
    if not 0 <= fraction <= 1:
        raise ValueError(f"a fraction lies between 0 and 1, not at {fraction}.")
    return (1 - fraction) ** rounds


class RemainingAfter(Exercise):
    name = "remaining_after"
    lesson = "03"
    signature = "remaining_after(rounds, fraction) -> float"
    points = 1
    minutes = 5
    difficulty = 1
    importance = 4
    hints = (
        "What is left after the first round? The second round takes its fraction from *that*.",
        "Every round multiplies what is left by the same number.",
    )
    reference = staticmethod(remaining_after)

    def cases(self, rng):
        fraction = round(float(rng.uniform(0.15, 0.45)), 2)
        return {
            "some rounds": [(3, 0.5), (5, 0.2), (int(rng.integers(6, 10)), fraction)],
            "one round": [(1, 0.3)],
            "no rounds": [(0, fraction), (0, 1.0)],
            "nothing or everything": [(4, 0.0), (3, 1.0)],
            "impossible": [(-1, 0.2), *((2, share) for share in IMPOSSIBLE_SHARES)],
        }

    def verify(self, case, data):
        rounds, fraction = case
        got, want = data.returned, self.expected(case)
        if same_number(got, want):
            return None
        if as_number(got) is None:
            return f"{show(got)} came back, and a number is asked for."
        if same_number(got, 1 - want):
            return "this is the share that is gone; the one that is left is asked for."
        if same_number(got, 1 - rounds * fraction):
            return "each round takes its fraction from what is left, not from the beginning."
        if same_number(got, 0.0):
            return f"a round takes {show(fraction)} of what is left, so it never takes everything."
        if same_number(got, fraction**rounds):
            return f"{show(fraction)} is what a round takes; what it leaves is multiplied."
        if same_number(got, 100 * want):
            return "this is a percentage; a share from 0 to 1 is asked for."
        return f"{show(want)} of the weights are left, and {show(got)} came back."


def n_m_mask(weight: torch.Tensor, n: int, m: int) -> torch.Tensor:
    rows, columns = weight.shape
    if not 0 <= n <= m:
        raise ValueError(f"{n} of every {m} entries cannot be kept.")
    if columns % m:
        raise ValueError(f"rows of {columns} entries do not fall into groups of {m}.")
    groups = weight.abs().reshape(rows, columns // m, m)
    best = groups.argsort(dim=-1, descending=True)[..., :n]
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter(-1, best, True)
    return mask.view(rows, columns)


class NMMask(Exercise):
    name = "n_m_mask"
    lesson = "03"
    signature = "n_m_mask(weight, n, m) -> Tensor"
    points = 2
    minutes = 15
    difficulty = 3
    importance = 3
    hints = (
        "Give the groups a dimension of their own: `weight.abs().reshape(-1, m)` has one group in "
        "each row, and works on any 2-D weight whose row length m divides.",
        "`groups.topk(n, dim=1).indices` names the n best places of each group, ties or not.",
        "Begin with zeros and put ones at those places: `torch.zeros_like(groups).scatter(1, "
        "places, 1)`. Then give the mask the weight's shape.",
    )
    reference = staticmethod(n_m_mask)

    def cases(self, rng):
        rows = int(rng.integers(3, 7))
        tied = torch.tensor([[1.0, -1.0, 1.0, 1.0, 2.0, 2.0, -2.0, 0.5]])
        tied = torch.cat([tied, tied.flip(1), torch.zeros(1, 8)])
        return {
            "2:4 and others": [
                (_normal(rng, 8, 16), 2, 4),
                (torch.tensor([[4.0, -5.0, 1.0, 2.0, 0.1, 0.2, -0.4, 0.3]]), 2, 4),
                (_normal(rng, rows, 12) - 0.5, 1, 4),
                (_normal(rng, 8, 8), 2, 8),
            ],
            "any m that divides": [(_normal(rng, rows, 15), 2, 3), (_normal(rng, 4, 10), 1, 5)],
            "other tensors": [(_normal(rng, 12, 5).T, 2, 4), (_normal(rng, 3, 8).double(), 3, 4)],
            "ties": [(tied, 2, 4), (tied, 1, 4)],
            "all are kept": [(_normal(rng, rows, 6), 3, 3), (_normal(rng, 2, 4), 1, 1)],
            "groups that do not fit": [
                (_normal(rng, 4, 6), 2, 4),
                (_normal(rng, 4, 3), 2, 4),
                (_normal(rng, 3, 8), 5, 4),
                (_normal(rng, 3, 8), -1, 4),
            ],
        }

    def verify(self, case, data):
        weight, n, m = case
        got = data.returned
        if trouble := _misshapen(got, weight):
            return trouble
        kept, sizes = (got != 0).reshape(-1, m), weight.abs().reshape(-1, m)
        counts = kept.sum(dim=1)
        if (counts == n).all():
            best = sizes.sort(dim=1, descending=True).values
            chosen = (sizes * kept).sort(dim=1, descending=True).values[:, :n]
            if same_tensor(chosen, best[:, :n]):
                return None
            if same_tensor(chosen, best[:, m - n :]):
                return "in each group the smallest stay; it should be the largest."
            return "a smaller weight stays where a larger one of its group goes. Mind the sign."
        if (counts == m - n).all():
            return f"{n} of every {m} should stay, and here {n} of every {m} go."
        worst = int((counts - n).abs().argmax())
        said = f"{int(counts[worst])} of {m} stay in the group {show(weight.reshape(-1, m)[worst])}"
        if len(sizes[worst].unique()) < m:
            return f"{said} instead of {n}: ties for the last place. Count, do not compare."
        if (counts == counts[0]).all():
            return f"{said}, and {n} of every {m} are asked for."
        if (got.T.reshape(-1, m) != 0).sum(dim=1).eq(n).all():
            return f"{said}: your groups run down the columns, and they should lie in the rows."
        return f"{said} instead of {n}. A group is {m} entries that follow one another in a row."


EXERCISES = [
    MagnitudeMask(),
    GlobalMasks(),
    ApplyMasks(),
    TrainStep(),
    RemainingAfter(),
    NMMask(),
]
