"""What is each weight worth? Every scorer takes a model and gives scores: the higher, the dearer.

Scores are a dict of tensors, keyed by parameter name and shaped like the weights they judge
(Linear and Conv2d weights; a tensor that two layers share is judged once). For networks in half
precision they are float32: squares of small numbers would all be zero. Which weights then stay is
up to `masks`.

Whatever is computed runs in eval mode, and the model comes back as it was: modes, buffers,
gradients, hooks and torch's random state, after an exception too. `batches` is any iterable of
`(x, y)`, or of `x` where labels are not needed; each batch weighs equally, whatever its size.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, linear
from torch.overrides import TorchFunctionMode

from course_utils.measure import (
    evaluating,
    forward,
    prunable_weights,
    require_batch,
    require_count,
    unfused_attention,
)

Scores = dict[str, Tensor]
Batches = Iterable[Tensor | tuple[Tensor, Tensor]]
NONLINEAR = {"relu", "relu6", "hardtanh", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu"}
NONLINEAR |= {"gelu", "silu", "mish", "hardswish"}  # in place they have the same names with a _


def magnitude(model: nn.Module) -> Scores:
    """The absolute value of each weight: what is nearly zero already will be missed least.

    The oldest criterion that works (Han et al. 2015, "Learning both Weights and Connections"), and
    the one that newer ones have to beat. It needs no data.

    >>> model = nn.Linear(3, 1)
    >>> _ = model.weight.data.copy_(torch.tensor([[-3.0, 1.0, 2.0]]))
    >>> magnitude(model)
    {'weight': tensor([[3., 1., 2.]])}
    """
    return {name: weight.detach().abs() for name, weight in plain_weights(model).items()}


def gradient(model: nn.Module, batches: Batches) -> Scores:
    """The mean, over batches, of the absolute gradient of the batch's mean cross-entropy.

    How steeply the loss answers to a weight, whatever the weight's own size. Of use together with
    it: see `taylor`. After Mozer and Smolensky 1988, "Skeletonization".

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> batches = [(torch.randn(16, 1, 8, 8), torch.arange(16) % 10)]
    >>> gradient(model, batches)["1.weight"].shape
    torch.Size([10, 64])
    """
    return _mean_over_batches(model, batches, lambda weight, slope: slope.abs())


def taylor(model: nn.Module, batches: Batches) -> Scores:
    """The mean, over batches, of (weight * gradient) squared.

    By a first-order expansion weight * gradient is how much the loss changes when the weight is
    set to zero; squared, because to be far off in either direction is a change (Molchanov et al.
    2019, "Importance Estimation for Neural Network Pruning").

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> batches = [(torch.randn(16, 1, 8, 8), torch.arange(16) % 10)]
    >>> taylor(model, batches)["1.weight"].shape
    torch.Size([10, 64])
    """
    return _mean_over_batches(model, batches, lambda weight, slope: (weight * slope).square())


def activation(model: nn.Module, batches: Batches) -> Scores:
    """The mean absolute activation of each output channel, given to all weights of that channel.

    A neuron that hardly ever says anything can go (Molchanov et al. 2017, "Pruning Convolutional
    Neural Networks for Resource Efficient Inference"). Channels are judged where they are used:
    behind the next nonlinearity (ReLU and its kin) on as many channels, BatchNorm and residual
    additions on the way included; where none follows, at the layer's own output.

    >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> scores = activation(model, [torch.randn(16, 8)])
    >>> bool((scores["0.weight"] == scores["0.weight"][:, :1]).all())  # one score a neuron
    True
    """
    return _by_channel(model, batches, torch.abs)


def apoz(model: nn.Module, batches: Batches) -> Scores:
    """The share of each output channel's activations that are not zero, for all its weights.

    That is 1 - APoZ, the average percentage of zeros (Hu et al. 2016, "Network Trimming"), so that
    here too a higher score is a dearer weight. Taken where `activation` takes its own: behind the
    ReLU. A layer that none follows, such as the last, has no zeros and scores 1.

    >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> model[0].bias.data[2] = -1000.0  # a dead neuron
    >>> apoz(model, [torch.randn(16, 8)])["0.weight"][2]
    tensor([0., 0., 0., 0., 0., 0., 0., 0.])
    """
    return _by_channel(model, batches, lambda seen: (seen != 0).to(seen.dtype))


def random(model: nn.Module, seed: int) -> Scores:
    """Uniform random numbers: the control that every criterion has to beat.

    The same seed gives the same scores; torch's own random state is not touched.

    >>> model = nn.Linear(3, 2)
    >>> bool((random(model, seed=1)["weight"] == random(model, seed=1)["weight"]).all())
    True
    """
    require_count("seed", seed, at_least=0)
    dice = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=dice).to(weight.device)
        for name, weight in plain_weights(model).items()
    }


def snip(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Scores:
    """|weight * gradient| on one batch `(x, y)`, as shares of their sum over the whole model.

    How much the loss would answer to each connection, asked before any training (Lee et al. 2019,
    "SNIP"). All zero when every gradient is.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> scores = snip(model, (torch.randn(16, 1, 8, 8), torch.arange(16) % 10))
    >>> round(scores["1.weight"].sum().item(), 4)
    1.0
    """
    raw = _mean_over_batches(model, [batch], lambda weight, slope: (weight * slope).abs())
    total = float(sum(score.sum(dtype=torch.float64) for score in raw.values()))
    return {name: score / total if total > 0 else score for name, score in raw.items()}


def synflow(model: nn.Module, example: Tensor) -> Scores:
    """weight * gradient of the sum of the outputs, all parameters positive and all inputs one.

    The score of a weight is then the strength of all paths through it, and every layer of a plain
    chain without biases gets the same total, so no layer is emptied before the others are
    (Tanaka et al. 2020, "Pruning neural networks without any data"). Of `example` only the shape
    counts. BatchNorm scales by its running variance and subtracts nothing, since a subtraction
    would make paths cancel. Meant for ReLU networks; it is iterated, scores anew each round.
    In float64, because the products overflow float32 in deep networks.

    >>> model = nn.Sequential(nn.Linear(8, 4, bias=False), nn.ReLU(), nn.Linear(4, 2, bias=False))
    >>> first, second = synflow(model, torch.randn(1, 8)).values()
    >>> bool(first.sum().isclose(second.sum()))
    True
    """
    weights = plain_weights(model)
    require_batch(example)
    with _undisturbed(model), torch.enable_grad():
        positive = {id(p): p.detach().abs().double().requires_grad_() for p in model.parameters()}
        names = model.named_parameters(remove_duplicate=False)  # tied weights have several
        state = {name: positive[id(parameter)] for name, parameter in names}
        for name, buffer in model.named_buffers():
            used = torch.zeros_like(buffer) if name.endswith("running_mean") else buffer
            state[name] = used.double() if used.is_floating_point() else used
        ones = torch.ones_like(example[:1], dtype=torch.float64)
        flow = _output(lambda x: functional_call(model, state, (x,)), ones).sum()
        found = _slopes(flow, {name: state[name] for name in weights})
    if not all(slope.isfinite().all() for slope in found.values()):
        raise ValueError("the paths through this model add up to more than float64 can hold.")
    return {name: (state[name] * slope).detach().abs() for name, slope in found.items()}


def wanda(model: nn.Module, batches: Batches) -> Scores:
    """|weight| times the L2 norm of all the inputs that the weight was multiplied with.

    A small weight on a loud input matters more than a large one on a silent input (Sun et al.
    2023, "A Simple and Effective Pruning Approach for Large Language Models"). The norm runs over
    all examples and positions of all batches; for a convolution each weight of the kernel has its
    own, since at the border it meets padding. Scores compare within a layer, above all within an
    output: use them with `masks.keep_local` or `keep_nm` (with as many of m = all inputs as are to
    stay, each output of a Linear layer keeps the same number, as in the paper).

    >>> model = nn.Linear(2, 1, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 2.0]]))
    >>> wanda(model, [torch.tensor([[3.0, 1.0], [4.0, 0.0]])])
    {'weight': tensor([[5., 2.]])}
    """
    weights = plain_weights(model)
    squares: Scores = {}

    def notice(name: str, layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        # The gradient of sum(layer(x^2)) to a weight is the sum of the x^2 that it met.
        x = _precise(inputs[0]).square()
        blank = torch.zeros_like(layer.weight, dtype=x.dtype).requires_grad_()
        with torch.enable_grad():  # _conv_forward knows about padding modes and groups
            plain = isinstance(layer, nn.Linear)
            y = linear(x, blank) if plain else layer._conv_forward(x, blank, None)
            (met,) = torch.autograd.grad(y.sum(), blank)
        squares[name] = squares.get(name, 0) + met

    with _undisturbed(model), _noticing(model, weights, notice):
        for x in _inputs(batches):
            _output(model, x)
    _require_seen(weights, squares)
    return {name: weight.detach().abs() * squares[name].sqrt() for name, weight in weights.items()}


def plain_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """`measure.prunable_weights`, but only where they are the model's own parameters.

    While `torch.nn.utils.prune` or a parametrization is at work, `layer.weight` is a passing
    result: what is scored or zeroed there is overwritten in the next forward pass.

    >>> list(plain_weights(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))))
    ['0.weight', '2.weight']
    """
    weights = prunable_weights(model)
    own = dict(model.named_parameters(remove_duplicate=False))
    for name in weights:
        if name not in own:
            raise ValueError(
                f"{name} is not a parameter of the model but computed from others (by "
                "torch.nn.utils.prune or a parametrization). Make that permanent first, "
                "with prune.remove or parametrize.remove_parametrizations."
            )
    return weights


# --- Gradients ---------------------------------------------------------------------------------


def _mean_over_batches(
    model: nn.Module, batches: Batches, score: Callable[[Tensor, Tensor], Tensor]
) -> Scores:
    """The mean over batches of `score(weight, gradient of the batch's mean cross-entropy)`."""
    weights = plain_weights(model)
    totals: Scores = dict.fromkeys(weights, 0)
    count = 0
    with _undisturbed(model), _differentiable(weights):
        for x, y in _pairs(batches):
            loss = _loss(_output(model, x), y)
            for name, slope in _slopes(loss, weights).items():
                totals[name] = totals[name] + score(_precise(weights[name]), _precise(slope))
            count += 1
    if count == 0:
        raise ValueError("at least one batch is needed to take scores from.")
    return {name: total / count for name, total in totals.items()}


def _slopes(value: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients that leave `.grad` alone; zero for a weight that had no part in the value."""
    if not weights or not value.requires_grad:
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    found = torch.autograd.grad(value, list(weights.values()), materialize_grads=True)
    return dict(zip(weights, found, strict=True))


def _loss(output: Tensor, y: Tensor) -> Tensor:
    try:
        return cross_entropy(output, y)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ValueError(f"the labels do not fit the model's outputs: {error}") from error


@contextmanager
def _differentiable(weights: dict[str, nn.Parameter]) -> Iterator[None]:
    """Gradients for these weights, frozen ones included, and wherever the caller may be."""
    frozen = [weight for weight in weights.values() if not weight.requires_grad]
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


# --- Activations -------------------------------------------------------------------------------


def _by_channel(model: nn.Module, batches: Batches, measure: Callable[[Tensor], Tensor]) -> Scores:
    """The mean of `measure` over each output channel, over batches, in the shape of the weights."""
    weights = plain_weights(model)
    totals: Scores = {}
    count = 0
    watch = _Activations()
    with _undisturbed(model), watch, _noticing(model, weights, watch.layer_ran):
        for x in _inputs(batches):
            _output(model, x)
            for name, passes in watch.collect().items():
                means = [
                    measure(_precise(seen)).movedim(dim, 0).flatten(1).mean(1)
                    for seen, dim in passes
                ]
                totals[name] = totals.get(name, 0) + torch.stack(means).mean(0)
            count += 1
    _require_seen(weights, totals)
    return {
        name: (totals[name] / count)
        .reshape(-1, *[1] * (weight.ndim - 1))
        .expand_as(weight)
        .contiguous()
        for name, weight in weights.items()
    }


class _Activations(TorchFunctionMode):
    """Pairs each layer with the activations that its channels become.

    Functions are watched, not modules, because many a model calls `F.relu`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[tuple[str, Tensor, int]] = []
        self.found: dict[str, list[tuple[Tensor, int]]] = {}

    def layer_ran(self, name: str, layer: nn.Module, inputs: tuple, output: Tensor) -> None:
        channels = -1 if isinstance(layer, nn.Linear) else -3
        self.waiting.append((name, output.clone(), channels))  # what follows may work in place

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if getattr(func, "__name__", "").rstrip("_") in NONLINEAR and isinstance(result, Tensor):
            still = []
            for name, output, dim in self.waiting:
                if result.ndim == output.ndim and result.shape[dim] == output.shape[dim]:
                    self._keep(name, result.clone(), dim)
                else:
                    still.append((name, output, dim))
            self.waiting = still
        return result

    def collect(self) -> dict[str, list[tuple[Tensor, int]]]:
        """What was found since the last call; layers without a nonlinearity by their outputs."""
        for name, output, dim in self.waiting:
            self._keep(name, output, dim)
        found, self.found, self.waiting = self.found, {}, []
        return found

    def _keep(self, name: str, activations: Tensor, dim: int) -> None:
        self.found.setdefault(name, []).append((activations, dim))


@contextmanager
def _noticing(
    model: nn.Module,
    weights: dict[str, nn.Parameter],
    notice: Callable[[str, nn.Module, tuple, Tensor], None],
) -> Iterator[None]:
    """`notice(name, layer, inputs, output)` whenever a layer with one of the weights has run."""
    names = {id(weight): name for name, weight in weights.items()}
    handles = []
    try:
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                name = names[id(layer.weight)]
                handles.append(
                    layer.register_forward_hook(
                        lambda layer, inputs, output, name=name: notice(name, layer, inputs, output)
                    )
                )
        yield
    finally:
        for handle in handles:
            handle.remove()


def _require_seen(weights: dict[str, nn.Parameter], seen: Scores) -> None:
    unseen = [name for name in weights if name not in seen]
    if unseen:
        raise ValueError(
            f"nothing was seen of {', '.join(unseen)}: either there was no batch, or the model "
            "did not call these layers (nn.MultiheadAttention uses its weights without doing so)."
        )


# --- Batches, and a model left as it was ---------------------------------------------------------


def _pairs(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    for batch in batches:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError("each batch must be a pair (x, y) of inputs and labels.")
        yield batch[0], batch[1]


def _inputs(batches: Batches) -> Iterator[Tensor]:
    for batch in batches:
        yield batch[0] if isinstance(batch, tuple | list) else batch


def _precise(tensor: Tensor) -> Tensor:
    """Without gradients, and in float32 at least."""
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))


def _output(model: Callable[[Tensor], object], x: Tensor) -> Tensor:
    output = forward(model, x)
    if not isinstance(output, Tensor):
        raise ValueError(f"the model must answer with one tensor, not {type(output).__name__}.")
    return output


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    """`evaluating`, and out of inference mode, in which all gradients are zero without a word."""
    with torch.inference_mode(False), evaluating(model), unfused_attention():
        yield
