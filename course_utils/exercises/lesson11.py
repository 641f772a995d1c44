"""Lesson 11, transformers: which weights and heads matter, judged by what they are fed."""

import math

import torch

from course_utils.exercises.compare import show
from course_utils.exercises.engine import Exercise


def _normal(rng, *shape) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


def _close(got: torch.Tensor, want: torch.Tensor, size: torch.Tensor) -> bool:
    """Equal but for rounding, which is as large as the numbers that were added up: `size`."""
    return bool(((got.double() - want.double()).abs() <= 1e-5 * size.double() + 1e-12).all())


def _no_tensor(got, shape: torch.Size, what: str) -> str | None:
    """Why this is no tensor of numbers of that shape, if it is none."""
    if not isinstance(got, torch.Tensor):
        return f"{show(got)} came back, and {what} is a tensor."
    if got.shape != shape:
        return f"a tensor of shape {tuple(got.shape)} came back instead of {tuple(shape)}."
    return None


def _farthest(got, want: torch.Tensor) -> str:
    """The two numbers that are farthest apart, in words."""
    place = (got.double() - want).abs().nan_to_num(torch.inf).argmax()
    return f"{show(got.flatten()[place])} instead of {show(want.flatten()[place])}"


def _recognised(got, mistakes: dict, size, *inputs) -> str | None:
    """What is said to the first of these formulas that gives what came back."""
    for said, formula in mistakes.items():
        if _close(got, formula(*inputs), size):
            return said
    return None


# --- Wanda ---------------------------------------------------------------------------------------


def wanda_scores(weight: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    if activations.shape[-1] != weight.shape[1]:
        raise ValueError(
            f"activations of shape {tuple(activations.shape)} are no inputs for a weight of shape "
            f"{tuple(weight.shape)}."
        )
    features = activations.reshape(-1, weight.shape[1])
    return weight.abs() * features.square().sum(0).sqrt()


def _loudness(activations: torch.Tensor) -> torch.Tensor:
    return activations.reshape(-1, activations.shape[-1]).norm(dim=0)


def _rows(weight: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    """The norms laid along the outputs instead of the inputs, where that fits at all."""
    norms = _loudness(activations)
    return weight.abs() * norms[:, None] if len(weight) == len(norms) else weight * math.nan


def _crosswise(weight: torch.Tensor, activations: torch.Tensor) -> torch.Tensor:
    norms = activations.reshape(-1, activations.shape[-1]).norm(dim=1)
    return weight.abs() * norms if weight.shape[1] == len(norms) else weight * math.nan


WANDA_MISTAKES = {
    "these scores keep the weights' signs, and a large negative weight would go first. Take its "
    "absolute value.": lambda w, x: w * _loudness(x),
    "these are the weights' sizes alone; what the inputs are like has not come in.": (
        lambda w, x: w.abs()
    ),
    "these are the inputs' norms alone, the same for each row. The weight belongs in.": (
        lambda w, x: _loudness(x).expand_as(w)
    ),
    "these are sizes times *squared* norms. Take the square root of the sum of squares.": (
        lambda w, x: w.abs() * _loudness(x) ** 2
    ),
    "a norm is not an average: the sum of squares is not to be divided by their number.": (
        lambda w, x: w.abs() * _loudness(x) / (x.numel() / x.shape[-1]) ** 0.5
    ),
    "this is the L1 norm, the sum of absolute values. The L2 norm squares, adds and takes the "
    "root.": lambda w, x: w.abs() * x.abs().reshape(-1, x.shape[-1]).sum(0),
    "this takes the loudest single input. The norm adds up over all of them.": (
        lambda w, x: w.abs() * x.reshape(-1, x.shape[-1]).norm(p=torch.inf, dim=0)
    ),
    "this adds the inputs up with their signs, so loud ones cancel. Square them first.": (
        lambda w, x: w.abs() * x.reshape(-1, x.shape[-1]).sum(0).abs()
    ),
    "each sequence has a norm of its own here, and these are added up. Square and add over all "
    "the other dimensions, then take one root.": (
        lambda w, x: w.abs() * x.norm(dim=-2).reshape(-1, x.shape[-1]).sum(0)
    ),
    "the norms stand along the outputs. Column j of the weight meets input feature j.": _rows,
    "these are the norms of the examples. The norm of a *feature* runs down its column.": (
        _crosswise
    ),
    "one norm of all activations together leaves the order as it was. Each feature has its own.": (
        lambda w, x: w.abs() * x.norm()
    ),
}


class WandaScores(Exercise):
    name = "wanda_scores"
    lesson = "11"
    signature = "wanda_scores(weight, activations) -> Tensor"
    points = 2
    minutes = 12
    difficulty = 2
    importance = 5
    hints = (
        "Column j of the weight is multiplied by feature j, the last dimension of the activations. "
        "So there is one norm for each column.",
        "However many dimensions there are, `activations.reshape(-1, weight.shape[1])` makes a "
        "table of them: a row for each token, a column for each feature.",
        "Square, add down the columns (dimension 0), take the root, and multiply `weight.abs()` by "
        "it. First compare `activations.shape[-1]` with `weight.shape[1]`: PyTorch would repeat a "
        "single feature without a word.",
    )
    reference = staticmethod(wanda_scores)

    def cases(self, rng):
        inputs = int(rng.integers(4, 8))
        weight = _normal(rng, 3, inputs)
        square, tokens = _normal(rng, 5, 5), _normal(rng, 5, 5)
        silent = _normal(rng, 6, inputs)
        silent[:, 1] = 0
        loud = _normal(rng, 9, inputs) * torch.linspace(0.1, 40, inputs)
        holed = weight * (weight > 0)
        return {
            "tokens in a table": [
                (torch.tensor([[1.0, -2.0]]), torch.tensor([[3.0, 2.0], [-4.0, 0.0]])),
                (weight, _normal(rng, 7, inputs)),
            ],
            "batches of sequences": [
                (weight, _normal(rng, 4, 6, inputs)),
                (weight, _normal(rng, 2, 3, 4, inputs) - 0.5),
            ],
            "as many outputs as inputs": [(square, tokens), (square, _normal(rng, 5, 5, 5))],
            "loud and silent features": [(weight, loud), (weight, silent), (holed, silent)],
            "float64": [(weight.double(), loud.double())],
            "laid out otherwise": [
                (_normal(rng, inputs, 3).T, _normal(rng, inputs, 7).T),
                (weight, _normal(rng, 6, 4, inputs).transpose(0, 1)),
            ],
            "a single token": [(weight, _normal(rng, 1, inputs))],
            "inputs that do not fit": [
                (weight, _normal(rng, 7, inputs + 1)),
                (weight, _normal(rng, 7, 1)),
                (weight, _normal(rng, inputs, 3)),
                (weight, _normal(rng, 5, inputs, 3)),
            ],
        }

    def shown(self, case):
        weight, activations = case
        return (
            f"wanda_scores of a weight of shape {tuple(weight.shape)} with activations of shape "
            f"{tuple(activations.shape)}"
        )

    def verify(self, case, data):
        weight, activations = case
        got, want = data.returned, wanda_scores(weight.double(), activations.double())
        return _no_tensor(got, weight.shape, "what is asked for") or (
            None
            if _close(got, want, want)
            else _recognised(got, WANDA_MISTAKES, want, weight.double(), activations.double())
            or f"one score is {_farthest(got, want)}: each is the weight's size times the "
            "norm of the feature that it is multiplied with."
        )


# --- Optimal brain surgeon -----------------------------------------------------------------------


def obs_update(weight_row: torch.Tensor, inverse_hessian: torch.Tensor, index: int) -> torch.Tensor:
    count = len(weight_row)
    if inverse_hessian.shape != (count, count):
        raise ValueError(f"{count} weights need an inverse Hessian of {count} x {count}.")
    column = inverse_hessian[:, index]
    new = weight_row - weight_row[index] / column[index] * column
    new[index] = 0
    return new


def _only_zeroed(row, inverse, i):
    new = row.clone()
    new[i] = 0
    return new


def _spared(row, inverse, i):
    new = row - row[i] / inverse[i, i] * inverse[:, i]
    new[i] = row[i]
    return new


OBS_MISTAKES = {
    "the weight is gone, and the others are what they were. They are to make up for it.": (
        _only_zeroed
    ),
    "the others have moved, and the weight that is to go is still there.": _spared,
    "the sign is wrong: subtract, so that the weight itself arrives at zero.": (
        lambda row, inverse, i: row + row[i] / inverse[i, i] * inverse[:, i]
    ),
    "the others move the wrong way. Zeroing the weight afterwards hides a wrong sign.": (
        lambda row, inverse, i: _only_zeroed(
            row + row[i] / inverse[i, i] * inverse[:, i], inverse, i
        )
    ),
    "the column is not divided by its own entry, Hinv[i, i], so the weight misses zero.": (
        lambda row, inverse, i: row - row[i] * inverse[:, i]
    ),
    "the others move by the column without its division by Hinv[i, i].": (
        lambda row, inverse, i: _only_zeroed(row - row[i] * inverse[:, i], inverse, i)
    ),
    "this multiplies by Hinv[i, i] where it is to divide.": (
        lambda row, inverse, i: _only_zeroed(
            row - row[i] * inverse[i, i] * inverse[:, i], inverse, i
        )
    ),
    "this is the column of the Hessian. You are given its inverse; do not invert it again.": (
        lambda row, inverse, i: _only_zeroed(
            row - row[i] * torch.linalg.inv(inverse)[:, i] / torch.linalg.inv(inverse)[i, i],
            inverse,
            i,
        )
    ),
    "each weight is moved by its own diagonal entry. What ties it to weight i is Hinv[:, i].": (
        lambda row, inverse, i: _only_zeroed(
            row - row[i] / inverse[i, i] * inverse.diagonal(), inverse, i
        )
    ),
    "half of the shift is missing: the 1/2 belongs to the cost, not to the update.": (
        lambda row, inverse, i: _only_zeroed(
            row - row[i] / inverse[i, i] / 2 * inverse[:, i], inverse, i
        )
    ),
    "this is the shift alone. Add it to the row.": (
        lambda row, inverse, i: -row[i] / inverse[i, i] * inverse[:, i]
    ),
    "the square of the weight belongs to the cost of removing it. The shift has the weight.": (
        lambda row, inverse, i: _only_zeroed(
            row - row[i] ** 2 / inverse[i, i] * inverse[:, i], inverse, i
        )
    ),
}


class ObsUpdate(Exercise):
    name = "obs_update"
    lesson = "11"
    signature = "obs_update(weight_row, inverse_hessian, index) -> Tensor"
    points = 3
    minutes = 20
    difficulty = 3
    importance = 5
    hints = (
        "Which direction? Column `index` of the inverse Hessian. How far? Until the weight at "
        "`index` is zero.",
        "Along `column = inverse_hessian[:, index]` the weight itself moves by `column[index]`. So "
        "the row has to go `weight_row[index] / column[index]` times that column, downwards.",
        "`weight_row - weight_row[index] / inverse_hessian[index, index] * inverse_hessian[:, "
        "index]` is a new tensor already. Before it comes a question: is the matrix n by n?",
    )
    reference = staticmethod(obs_update)

    def cases(self, rng):
        def inverse(count, correlated=1.0):
            seen = _normal(rng, 4 * count, count) + correlated * _normal(rng, 4 * count, 1)
            hessian = seen.double().T @ seen.double() / len(seen) + 0.05 * torch.eye(count).double()
            found = torch.linalg.inv(hessian)
            return ((found + found.T) / 2).float()  # symmetric to the last bit

        count = int(rng.integers(4, 8))
        row, matrix = _normal(rng, count), inverse(count)
        zero = row.clone()
        zero[2] = 0
        diagonal = torch.diag(torch.linspace(0.5, 3, count))
        return {
            "a row among others": [
                (torch.tensor([4.0, 3.0]), torch.tensor([[5.0, 1.0], [1.0, 2.0]]), 1),
                (row, matrix, 1),
            ],
            "first and last": [(row, matrix, 0), (row, matrix, count - 1)],
            "inputs that have nothing in common": [(row, diagonal, 2)],
            "large and small numbers": [
                (row * 1000, matrix / 500, 2),
                (row / 100, inverse(count, 3.0) * 200, 1),
            ],
            "a weight that is zero already": [(zero, matrix, 2)],
            "other types and layouts": [
                (row.double(), matrix.double(), 1),
                (_normal(rng, count, 3)[:, 1], matrix.T, 3),
            ],
            "a single weight": [(torch.tensor([1.5]), torch.tensor([[0.25]]), 0)],
            "a matrix of another size": [
                (row, inverse(count + 1), 1),
                (row, matrix[:, :3], 1),
                (torch.tensor([1.0, 2.0, 3.0]), torch.ones(1, 1), 0),
            ],
        }

    def shown(self, case):
        row, inverse, index = case
        return (
            f"obs_update of {show(row)}, an inverse Hessian of shape {tuple(inverse.shape)} and "
            f"index {index}"
        )

    def verify(self, case, data):
        row, inverse, index = case
        row, inverse = row.double(), inverse.double()
        got, want = data.returned, obs_update(row, inverse, index)
        size = torch.maximum(row.abs(), (want - row).abs())
        return _no_tensor(got, row.shape, "a row") or (
            None
            if _close(got, want, size)
            else _recognised(got, OBS_MISTAKES, size, row, inverse, index)
            or f"{show(got)} came back instead of {show(want)}."
        )


# --- Heads ---------------------------------------------------------------------------------------


def head_importance(outputs: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    if gradients.shape != outputs.shape:
        raise ValueError(
            f"outputs of shape {tuple(outputs.shape)} have gradients of that shape, not "
            f"{tuple(gradients.shape)}."
        )
    return (outputs * gradients).sum((2, 3)).abs().mean(0)


HEAD_MISTAKES = {
    "the absolute value comes too early: first add up within an example, where contributions may "
    "cancel.": lambda o, g: (o * g).abs().sum((2, 3)).mean(0),
    "the absolute value comes too late: examples of opposite sign cancel. Take it for each "
    "example, then average.": lambda o, g: (o * g).sum((2, 3)).mean(0).abs(),
    "the absolute value is missing: harm and help of different examples cancel.": (
        lambda o, g: (o * g).sum((2, 3)).mean(0)
    ),
    "this sums over the batch, where the mean is asked for.": (
        lambda o, g: (o * g).sum((2, 3)).abs().sum(0)
    ),
    "this averages over time and width, where the sum is asked for: a head's whole share.": (
        lambda o, g: (o * g).mean((2, 3)).abs().mean(0)
    ),
    "the gradients have not come in: these are sums of the outputs.": (
        lambda o, g: o.sum((2, 3)).abs().mean(0)
    ),
    "the outputs have not come in: these are sums of the gradients.": (
        lambda o, g: g.sum((2, 3)).abs().mean(0)
    ),
    "these are squares. Lesson 02 squared single weights; here the absolute value is asked for.": (
        lambda o, g: (o * g).sum((2, 3)).square().mean(0)
    ),
    "outputs and gradients are each summed first and then multiplied. Multiply number by number, "
    "then sum.": lambda o, g: (o.sum((2, 3)) * g.sum((2, 3))).abs().mean(0),
    "the absolute value is taken at each time. Add up over time, too, before it.": (
        lambda o, g: (o * g).sum(3).abs().sum(2).mean(0)
    ),
    "this is shared out so that it adds up to one. The plain sums are asked for.": (
        lambda o, g: head_importance(o, g) / head_importance(o, g).sum()
    ),
}


class HeadImportance(Exercise):
    name = "head_importance"
    lesson = "11"
    signature = "head_importance(outputs, gradients) -> Tensor"
    points = 2
    minutes = 12
    difficulty = 3
    importance = 4
    hints = (
        "Number by number, output times gradient is what the loss would change by, to first "
        "order, if that number went. What does it take to get from there to a whole head?",
        "A head goes at all times and in its whole width at once, so these are added up, signs and "
        "all. Examples are different: an improvement of one must not hide the damage to another.",
        "`(outputs * gradients).sum((2, 3))` has the shape (batch, heads). Then the absolute "
        "value, then the mean over dimension 0. Compare the two shapes first.",
    )
    reference = staticmethod(head_importance)

    def cases(self, rng):
        batch, heads, time, width = (int(n) for n in rng.integers(2, 6, size=4))
        outputs = _normal(rng, batch + 1, heads, time, width)
        gradients = _normal(rng, batch + 1, heads, time, width)
        cube = _normal(rng, 4, 4, 4, 4), _normal(rng, 4, 4, 4, 4)
        opposite = torch.cat([gradients[:1], -gradients[:1]])
        silent = outputs.clone()
        silent[:, 0] = 0
        return {
            "some heads": [
                (
                    torch.tensor([[[[1.0, 2.0]]], [[[3.0, 1.0]]]]),
                    torch.tensor([[[[2.0, -5.0]]], [[[1.0, 2.0]]]]),
                ),
                (outputs, gradients),
            ],
            "examples that disagree": [(outputs[:1].repeat(2, 1, 1, 1), opposite)],
            "all dimensions alike": [cube],
            "one of each": [
                (outputs[:1], gradients[:1]),
                (outputs[:, :1], gradients[:, :1]),
                (outputs[:, :, :1, :1], gradients[:, :, :1, :1]),
            ],
            "a silent head": [(silent, gradients)],
            "other types and layouts": [
                (outputs.double(), gradients.double() / 1e4),
                (outputs.transpose(1, 2), gradients.transpose(1, 2)),
            ],
            "shapes that do not fit": [
                (outputs, gradients[:1]),
                (outputs, gradients[:, :, :, :1]),
                (outputs[:, :1], torch.cat([gradients, gradients], 1)),
            ],
        }

    def shown(self, case):
        outputs, gradients = case
        return (
            f"head_importance of outputs of shape {tuple(outputs.shape)} and gradients of shape "
            f"{tuple(gradients.shape)}"
        )

    def verify(self, case, data):
        outputs, gradients = (tensor.double() for tensor in case)
        got, want = data.returned, head_importance(outputs, gradients)
        size = (outputs * gradients).abs().sum((2, 3)).mean(0)
        return _no_tensor(got, want.shape, "one number a head") or (
            None
            if _close(got, want, size)
            else _recognised(got, HEAD_MISTAKES, size, outputs, gradients)
            or f"{show(got)} came back instead of {show(want)}."
        )


EXERCISES = [WandaScores(), ObsUpdate(), HeadImportance()]
