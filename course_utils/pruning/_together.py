"""Training K small networks of one kind at once, for experiments over seeds (see `tickets`).

K networks are one dictionary of tensors with a leading dimension of K, as
`torch.func.stack_module_state` makes it. Perceptrons are multiplied as batches of matrices, with
back-propagation written out; everything else goes through `torch.func.vmap`.
"""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.functional import cross_entropy

from course_utils.measure import evaluating, forward, require_count, threads

Networks = dict[str, Tensor]  # K networks: parameters and buffers by name, stacked
EXAMPLES_AT_ONCE = 100  # of each network, when they are evaluated


def train_together(
    model: nn.Module,
    networks: Networks,
    masks: dict[str, Tensor],
    x_train: Tensor,
    y_train: Tensor,
    x_val: Tensor,
    y_val: Tensor,
    seeds: Sequence[int],
    epochs: int = 8,
    lr: float = 2e-3,
    batch_size: int = 64,
    start: int = 0,
    before_step: Callable[[int], None] | None = None,
) -> list[list[float]]:
    """Train K networks of one kind side by side, in place, and return their K learning curves.

    Small networks spend most of a training step on its ceremony, and K at once pay it once. The
    outcome is what K separate runs would give: network k sees the examples in the order drawn by
    `seeds[k]`. `model` only says how to compute, and stays as it is. Adam at a constant rate; what
    `masks` (K masks for each parameter, stacked) holds at zero stays zero. `start` skips the first
    steps, as though they had been taken already; `before_step(step)` is called before each of the
    others. One thread.

    >>> x, y = torch.randn(100, 6), torch.arange(100) % 2
    >>> models = [nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)) for _ in range(3)]
    >>> networks = torch.func.stack_module_state(models)[0]
    >>> curves = train_together(models[0], networks, {}, x, y, x, y, seeds=[0, 1, 2], epochs=4)
    >>> len(curves), len(curves[0])
    (3, 4)
    """
    require_count("epochs", epochs, at_least=1)
    require_count("batch_size", batch_size, at_least=1)
    if not 0 < lr < math.inf:
        raise ValueError(f"a learning rate must be a number above 0, not {lr!r}.")
    _require_networks(model, networks, masks, len(seeds))
    model = deepcopy(model)
    networks = {name: tensor.detach() for name, tensor in networks.items()}  # in the same memory
    layers = _perceptron(model, networks, x_train)
    way = _Perceptrons(layers) if layers else _AnyNetworks(model, networks)

    def outputs(x: Tensor) -> Tensor:
        """Of all networks for the same examples: (K, examples, classes)."""
        with evaluating(model):
            return way.outputs(x.expand(len(seeds), *x.shape))

    _require_data(outputs, x_train, y_train, "training")
    _require_data(outputs, x_val, y_val, "validation")
    adam = _Adam([networks[name] for name, _ in model.named_parameters()], lr)
    held = [networks[name] for name in masks]
    kept = [(mask != 0).to(networks[name]) for name, mask in masks.items()]
    orders = [torch.Generator().manual_seed(seed) for seed in seeds]
    curves = []
    with threads(1), torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seeds[0])  # for dropout
        _hold(held, kept)
        model.train()
        step = 0
        for _ in range(epochs):
            epoch = torch.stack([torch.randperm(len(x_train), generator=order) for order in orders])
            for batch in epoch.to(x_train.device).split(batch_size, dim=1):
                if step >= start:
                    if before_step is not None:
                        before_step(step)
                    adam.step(way.gradients(x_train[batch], y_train[batch]))
                    _hold(held, kept)
                step += 1
            curves.append(_accuracies(outputs, x_val, y_val))
    return [list(curve) for curve in zip(*curves, strict=True)]


def _hold(weights: list[Tensor], kept: list[Tensor]) -> None:
    if weights:
        torch._foreach_mul_(weights, kept)


def _accuracies(outputs: Callable[[Tensor], Tensor], x: Tensor, y: Tensor) -> list[float]:
    right = 0
    for some, labels in zip(x.split(EXAMPLES_AT_ONCE), y.split(EXAMPLES_AT_ONCE), strict=True):
        right += (outputs(some).argmax(2) == labels).sum(1)
    return (right.double() / len(x)).tolist()


class _Adam:
    """`torch.optim.Adam`, fused, without the ceremony around it: that was 6 % of a step here."""

    def __init__(self, weights: list[Tensor], lr: float):
        self.weights, self.lr = weights, lr
        self.means = [torch.zeros_like(weight) for weight in weights]
        self.squares = [torch.zeros_like(weight) for weight in weights]
        self.steps = torch.zeros((), device=weights[0].device)

    def step(self, gradients: list[Tensor]) -> None:
        self.steps += 1
        torch._fused_adam_(
            self.weights,
            gradients,
            self.means,
            self.squares,
            [],
            [self.steps] * len(self.weights),
            lr=self.lr,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            weight_decay=0.0,
            amsgrad=False,
            maximize=False,
        )


# --- two ways to compute: outputs, and the gradients of each network's own mean cross-entropy


class _AnyNetworks:
    """Whatever `torch.func.vmap` can do."""

    def __init__(self, model: nn.Module, networks: Networks):
        names = [name for name, _ in model.named_parameters()]
        self.leaves = {name: networks[name].detach().requires_grad_() for name in names}
        self.networks = networks | self.leaves
        self.call = vmap(
            lambda network, x: functional_call(model, network, (x,)), randomness="different"
        )

    def outputs(self, x: Tensor) -> Tensor:
        return self.call(self.networks, x)

    @torch.enable_grad()
    def gradients(self, x: Tensor, y: Tensor) -> list[Tensor]:
        losses = cross_entropy(self.outputs(x).transpose(1, 2), y, reduction="sum") / y.shape[1]
        leaves = list(self.leaves.values())
        gradients = torch.autograd.grad(losses, leaves, materialize_grads=True)
        return [gradient.contiguous() for gradient in gradients]


class _Perceptrons:
    """Linear layers with ReLUs between them: a fifth faster written out than through autograd.

    Examples are columns, so that gradients come out in the weights' own layout, without a copy.
    """

    def __init__(self, layers: list[tuple[Tensor, Tensor]]):
        self.layers = layers  # weights and biases

    def outputs(self, x: Tensor) -> Tensor:
        return self._activations(x)[-1].mT

    def gradients(self, x: Tensor, y: Tensor) -> list[Tensor]:
        *inputs, outputs = self._activations(x)
        error = outputs.softmax(1)
        error.scatter_add_(1, y[:, None], torch.full_like(error[:, :1], -1.0))
        error /= y.shape[1]
        gradients = []
        for layer in reversed(range(len(self.layers))):
            gradients = [torch.bmm(error, inputs[layer].mT), error.sum(2), *gradients]
            if layer > 0:  # then error * (input > 0), as the ReLU was, but faster
                error = torch.bmm(self.layers[layer][0].mT, error)
                error = torch.ops.aten.threshold_backward(error, inputs[layer], 0)
        return gradients

    def _activations(self, x: Tensor) -> list[Tensor]:
        """What goes into each Linear layer, and what comes out of the last."""
        *hidden, last = self.layers
        passed = [x.flatten(2).mT]
        for weight, bias in hidden:
            passed.append(torch.baddbmm(bias[..., None], weight, passed[-1]).relu_())
        weight, bias = last
        return [*passed, torch.baddbmm(bias[..., None], weight, passed[-1])]


def _perceptron(model: nn.Module, networks: Networks, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Its Linear layers, if there is nothing else but ReLUs between them and a Flatten before."""
    layers = list(model.named_children())
    if type(model) is not nn.Sequential or len(layers) < len(model):  # one is used twice
        return []
    if layers and type(layers[0][1]) is nn.Flatten:
        del layers[0]
    elif x.ndim != 2:
        return []
    kinds = [type(layer) for _, layer in layers]
    if len(kinds) % 2 == 0 or kinds != ([nn.Linear, nn.ReLU] * len(kinds))[: len(kinds)]:
        return []
    names = [name for name, _ in layers[::2]]
    if any(f"{name}.{what}" not in networks for name in names for what in ("weight", "bias")):
        return []  # tied, or without
    return [(networks[f"{name}.weight"], networks[f"{name}.bias"]) for name in names]


# --- what is refused


def _require_networks(
    model: nn.Module, networks: Networks, masks: dict[str, Tensor], count: int
) -> None:
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    if networks.keys() != tensors.keys():
        wrong = sorted(networks.keys() ^ tensors.keys())[0]
        raise ValueError(f"the networks and the model do not both have {wrong}.")
    for name, tensor in networks.items():
        if tensor.shape != (count, *tensors[name].shape) or not tensor.is_contiguous():
            raise ValueError(
                f"{name} must be {count} tensors of {tuple(tensors[name].shape)}, one for each "
                f"seed, in one contiguous tensor; its shape is {tuple(tensor.shape)}."
            )
    for name, mask in masks.items():
        if name not in networks:
            raise ValueError(f"there is a mask for {name}, but no such weight.")
        if mask.shape != networks[name].shape:
            raise ValueError(
                f"the mask of {name} is {tuple(mask.shape)}, "
                f"the weights are {tuple(networks[name].shape)}."
            )


def _require_data(outputs: Callable[[Tensor], Tensor], x: Tensor, y: Tensor, what: str) -> None:
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(f"there are {len(x)} {what} examples and {len(y)} labels.")
    if y.ndim != 1 or y.dtype != torch.int64:
        raise ValueError(f"the {what} labels must be whole numbers (int64), one an example.")
    shape = forward(outputs, x[:1]).shape
    if len(shape) != 3 or not 0 <= int(y.min()) <= int(y.max()) < shape[2]:
        raise ValueError(f"the {what} labels do not fit outputs of {tuple(shape[1:])}.")
