"""Lottery tickets: does a sparse network owe its accuracy to where it started?

Iterative magnitude pruning with rewinding (Frankle & Carbin 2018), beside its two controls: the
same masks on new random weights, and shuffled masks on the same weights. One run proves nothing,
so all seeds are trained at once: K networks are one dictionary of tensors with a leading
dimension of K. Data comes in as tensors; which data, and what the outcome means, is for others.
"""

import math
import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from course_utils.measure import prunable_weights, require_count, threads

Networks = dict[str, Tensor]  # K networks: parameters and buffers by name, stacked
CONTROLS = ("reinit", "shuffled")
_EXAMPLES_AT_ONCE = 100  # of each network: more would not stay in the cache
_IN_PLACE = {nn.ReLU: torch.relu_, nn.Tanh: torch.tanh_}  # their gradients need only the outcome


def experiment(
    make: Callable[[], nn.Module],
    x_train: Tensor,
    y_train: Tensor,
    x_val: Tensor,
    y_val: Tensor,
    seeds: Sequence[int] = range(5),
    keep: float | dict[str, float] = 0.4,
    rounds: int = 4,
    epochs: int = 8,
    lr: float = 2e-3,
    batch_size: int = 64,
    rewind_step: int = 0,
    controls: Sequence[str] = CONTROLS,
) -> list[dict]:
    """Find tickets by iterative magnitude pruning, and train each beside its controls.

    Every round keeps, layer by layer, the share `keep` of the weights that are left (a number, or
    one for each parameter name), puts these back to where they were at step `rewind_step` (0: the
    initialisation, Frankle & Carbin 2018; a little later for larger networks, Frankle 2019) and
    trains them again. The controls have the same number of weights in every layer: "reinit" trains
    the ticket's mask from other random weights, "shuffled" the ticket's weights under a mask with
    its places shuffled. Under one seed all see the examples in one order, so compare in pairs.

    `make()` builds a new network at each call from torch's random numbers. Back come rows of plain
    data: condition ("dense", "ticket" and the controls), round, seed, remaining (share of weights),
    accuracy on the validation data, and curve: the same after each epoch.

    >>> x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0))
    >>> make = lambda: nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    >>> rows = experiment(make, x, (x[:, 0] > 0).long(), x, (x[:, 0] > 0).long(), [1, 2], rounds=1)
    >>> mean, error = paired_difference(*(accuracies(rows, c, 1) for c in ("ticket", "shuffled")))
    >>> sorted(rows[0])
    ['accuracy', 'condition', 'curve', 'remaining', 'round', 'seed']
    """
    require_count("rounds", rounds, at_least=1)
    require_count("rewind_step", rewind_step, at_least=0)
    seeds = _checked_seeds(seeds)
    unknown = [control for control in controls if control not in CONTROLS]
    if unknown:
        raise ValueError(f"the controls are {' and '.join(CONTROLS)}; there is no {unknown[0]!r}.")
    model, *draws = _draws(make, seeds, rounds + 1)
    networks = draws[0]
    masks = {
        name: torch.ones_like(networks[name], dtype=torch.bool)
        for name in _prunable(model, networks)
    }
    shares = _keep_shares(keep, masks)
    data = (x_train, y_train, x_val, y_val)
    settings = {"seeds": seeds, "epochs": epochs, "lr": lr, "batch_size": batch_size}
    if rewind_step > 0 and rewind_step >= epochs * math.ceil(len(x_train) / batch_size):
        raise ValueError(f"training ends before step {rewind_step}: there is nothing to rewind to.")

    early: Networks = {}

    def remember(step: int) -> None:
        if step == rewind_step:
            early.update(_copy(networks))

    curves = train_together(model, networks, {}, *data, **settings, before_step=remember)
    rows = _rows("dense", 0, seeds, masks, curves)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for round_ in range(1, rounds + 1):
        masks = {
            name: _prune_further(networks[name], mask, 1 - shares[name], name)
            for name, mask in masks.items()
        }
        shuffled = _shuffle_each(masks, generators)
        for condition in ("ticket", *controls):
            trained = _copy(draws[round_] if condition == "reinit" else early)
            curves = train_together(
                model,
                trained,
                shuffled if condition == "shuffled" else masks,
                *data,
                **settings,
                start=0 if condition == "reinit" else rewind_step,
            )
            rows += _rows(condition, round_, seeds, masks, curves)
            if condition == "ticket":
                networks = trained
    return rows


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
    `seeds[k]`. Multi-layer perceptrons are multiplied as batches of matrices, all others go through
    `torch.func.vmap`. `model` only says how to compute; `networks` is stacked from models as
    `torch.func.stack_module_state` does it. Adam at a constant rate; what `masks` (K masks for
    each parameter, stacked) holds at zero stays zero. `start` skips the first steps, as though they
    had been taken already; `before_step(step)` is called before each. One thread.

    >>> x, y = torch.randn(100, 6), torch.arange(100) % 2
    >>> models = [nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2)) for _ in range(3)]
    >>> networks = stack_module_state(models)[0]
    >>> curves = train_together(models[0], networks, {}, x, y, x, y, seeds=[0, 1, 2], epochs=4)
    >>> len(curves), len(curves[0])
    (3, 4)
    """
    seeds = _checked_seeds(seeds)
    for name, value, least in (
        ("epochs", epochs, 1),
        ("batch_size", batch_size, 1),
        ("start", start, 0),
    ):
        require_count(name, value, at_least=least)
    if not 0 < lr < math.inf:
        raise ValueError(f"a learning rate must be a number above 0, not {lr!r}.")
    _check_networks(model, networks, masks, len(seeds))
    forward, gradients = _ways(model, networks, x_train)
    _check_data(model, forward, networks, x_train, y_train, x_val, y_val)

    parameters = {name: networks[name] for name, _ in model.named_parameters()}
    held = [(networks[name], mask.to(networks[name].dtype)) for name, mask in masks.items()]
    orders = [torch.Generator().manual_seed(seed) for seed in seeds]
    curves = []
    modes = [(module, module.training) for module in model.modules()]
    try:
        with threads(1):
            for tensor in networks.values():
                tensor.requires_grad_(False)
            _hold(held)
            for parameter in parameters.values():
                parameter.requires_grad_(True)
            adam = torch.optim.Adam(parameters.values(), lr=lr, fused=True)
            step = 0
            for _ in range(epochs):
                model.train()
                epoch = torch.stack([torch.randperm(len(x_train), generator=g) for g in orders])
                for some in epoch.to(x_train.device).split(batch_size, dim=1):
                    if step >= start:
                        if before_step is not None:
                            before_step(step)
                        gradients(networks, _take(x_train, some), _take(y_train, some))
                        adam.step()
                        _hold(held)
                    step += 1
                curves.append(_accuracies(model, forward, networks, x_val, y_val))
    finally:
        for tensor in networks.values():
            tensor.requires_grad_(False)
            tensor.grad = None
        for module, training in modes:
            module.training = training
    return [list(curve) for curve in zip(*curves, strict=True)]


def next_ticket(
    model: nn.Module, masks: dict[str, Tensor], fraction: float | dict[str, float]
) -> dict[str, Tensor]:
    """In each layer prune a further fraction of what the masks still keep, by magnitude.

    One round of iterative magnitude pruning (Han 2015). Nothing that is pruned comes back, however
    large the weight in its place may be. Counts are exact; among equals the first goes.

    >>> model = nn.Linear(10, 4)
    >>> masks = next_ticket(model, {"weight": torch.ones(4, 10)}, 0.5)
    >>> masks = next_ticket(model, masks, 0.5)
    >>> int(masks["weight"].sum())
    10
    """
    weights = prunable_weights(model)
    fractions = fraction if isinstance(fraction, dict) else dict.fromkeys(masks, fraction)
    for name, mask in masks.items():
        _check_mask(name, mask, weights)
        if name not in fractions:
            raise ValueError(f"there is no fraction for {name}.")
    for name, share in fractions.items():
        _check_share(f"the fraction to prune of {name}", share)
        if name not in masks:
            raise ValueError(f"there is a fraction for {name}, but no mask.")
    return {
        name: _prune_further(weights[name].detach()[None], mask[None] != 0, fractions[name], name)[
            0
        ]
        for name, mask in masks.items()
    }


def shuffled_masks(masks: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """The same number of weights kept in each layer, at random places: a ticket's hardest control.

    If it learns as well as the ticket, the ticket has told us how many weights a layer needs, and
    nothing about which (Frankle & Carbin 2018; Su 2020).

    >>> mask = torch.tensor([[True, False, False], [True, False, True]])
    >>> shuffled = shuffled_masks({"weight": mask}, torch.Generator().manual_seed(0))
    >>> int(shuffled["weight"].sum())
    3
    """
    shuffled = {}
    for name, mask in masks.items():
        places = torch.randperm(mask.numel(), generator=generator, device=generator.device)
        shuffled[name] = mask.flatten()[places.to(mask.device)].view(mask.shape)
    return shuffled


def accuracies(rows: Sequence[dict], condition: str, round: int) -> list[float]:
    """The accuracies of one condition in one round, in the order of the seeds.

    >>> rows = [{"condition": "ticket", "round": 1, "seed": s, "accuracy": 0.9} for s in (0, 1)]
    >>> accuracies(rows, "ticket", 1)
    [0.9, 0.9]
    """
    found = [row for row in rows if (row["condition"], row["round"]) == (condition, round)]
    if not found:
        raise ValueError(f"there are no rows for {condition!r} in round {round}.")
    return [row["accuracy"] for row in found]


def paired_difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """The mean of a - b and its standard error, for results that belong together in pairs.

    What a seed does to both falls out of the difference, so that a few seeds show what unpaired
    means would hide. A difference of less than two standard errors has not been shown.

    >>> mean, error = paired_difference([0.97, 0.96, 0.98], [0.94, 0.95, 0.95])
    >>> print(f"{mean:.4f} +- {error:.4f}")
    0.0233 +- 0.0067
    """
    a, b = [float(value) for value in a], [float(value) for value in b]
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} results do not make pairs.")
    if len(a) < 2:
        raise ValueError(f"a standard error takes two pairs or more, not {len(a)}.")
    if not all(map(math.isfinite, a + b)):
        raise ValueError("results must be finite numbers.")
    differences = [one - other for one, other in zip(a, b, strict=True)]
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(a))


# --- one step, and the two ways to compute it


def _take(x: Tensor, places: Tensor) -> Tensor:
    """`x[places]`, in half the time."""
    return x.index_select(0, places.flatten()).view(*places.shape, *x.shape[1:])


@torch.no_grad()
def _hold(held: list[tuple[Tensor, Tensor]]) -> None:
    if held:
        torch._foreach_mul_(*map(list, zip(*held, strict=True)))


def _ways(
    model: nn.Module, networks: Networks, x: Tensor
) -> tuple[Callable[[Networks, Tensor], Tensor], Callable[[Networks, Tensor, Tensor], None]]:
    """Two functions of K networks and K batches (K, B, ...): their outputs (K, B, classes), and
    the one that leaves in `grad` the gradient of each network's own mean cross-entropy."""
    layers = list(model.named_children())
    flat = x.ndim == 2 or (layers and type(layers[0][1]) is nn.Flatten)
    plain = type(model) is nn.Sequential and len(layers) == len(model)
    starts = [layer for _, layer in layers if type(layer) is not nn.Flatten][:1]
    plain = plain and [type(layer) for layer in starts] == [nn.Linear]
    if plain and flat and all(_multiplies(name, layer, networks) for name, layer in layers):
        return (
            lambda networks, x: _activations(layers, networks, x)[-1].transpose(1, 2),
            lambda networks, x, y: _backpropagate(layers, networks, x, y),
        )
    forward = vmap(lambda one, x: functional_call(model, one, (x,)), randomness="different")
    return forward, lambda networks, x, y: _differentiate(forward, networks, x, y)


def _differentiate(
    forward: Callable[[Networks, Tensor], Tensor], networks: Networks, x: Tensor, y: Tensor
) -> None:
    """Any network: the losses are added up, and autograd keeps their gradients apart."""
    for tensor in networks.values():
        tensor.grad = None
    losses = cross_entropy(forward(networks, x).transpose(1, 2), y, reduction="sum")
    (losses / y.shape[1]).backward()


def _multiplies(name: str, layer: nn.Module, networks: Networks) -> bool:
    """Whether a perceptron may have this layer; a tied weight has only one of its names."""
    if type(layer) is nn.Flatten:
        return (layer.start_dim, layer.end_dim) == (1, -1)
    if type(layer) is nn.Linear:
        return f"{name}.weight" in networks and (layer.bias is None or f"{name}.bias" in networks)
    return type(layer) in _IN_PLACE


def _activations(
    layers: list[tuple[str, nn.Module]], networks: Networks, x: Tensor
) -> list[Tensor]:
    """What goes into the first layer of a perceptron, and what comes out of each.

    Examples are columns: so gradients come out in the weights' own layout, without a copy.
    """
    passed = [x.flatten(2).transpose(1, 2)]
    for name, layer in layers:
        columns = passed[-1]
        if type(layer) is nn.Linear and layer.bias is not None:
            bias = networks[f"{name}.bias"][..., None]
            columns = torch.baddbmm(bias, networks[f"{name}.weight"], columns)
        elif type(layer) is nn.Linear:
            columns = torch.bmm(networks[f"{name}.weight"], columns)
        elif type(layer) is not nn.Flatten:
            columns = _IN_PLACE[type(layer)](columns)
        passed.append(columns)
    return passed


@torch.no_grad()
def _backpropagate(
    layers: list[tuple[str, nn.Module]], networks: Networks, x: Tensor, y: Tensor
) -> None:
    """Back-propagation through perceptrons, written out: a fifth faster here than autograd."""
    passed = _activations(layers, networks, x)
    error = passed[-1].softmax(1)
    error.scatter_add_(1, y[:, None], torch.full_like(error[:, :1], -1.0))
    error /= y.shape[1]
    first = next(name for name, layer in layers if type(layer) is nn.Linear)
    for (name, layer), before, after in reversed(
        list(zip(layers, passed[:-1], passed[1:], strict=True))
    ):
        if type(layer) is nn.ReLU:
            error = torch.ops.aten.threshold_backward(error, after, 0)  # error * (after > 0)
        elif type(layer) is nn.Tanh:
            error *= 1 - after * after
        elif type(layer) is nn.Linear:
            weight = networks[f"{name}.weight"]
            torch.bmm(error, before.transpose(1, 2), out=_gradient(weight))
            if layer.bias is not None:
                torch.sum(error, 2, out=_gradient(networks[f"{name}.bias"]))
            if name == first:
                break
            error = torch.bmm(weight.transpose(1, 2), error)


def _gradient(parameter: Tensor) -> Tensor:
    """The place for its gradient: the same in every step."""
    if parameter.grad is None:
        parameter.grad = torch.empty_like(parameter)
    return parameter.grad


@torch.no_grad()
def _accuracies(
    model: nn.Module,
    forward: Callable[[Networks, Tensor], Tensor],
    networks: Networks,
    x: Tensor,
    y: Tensor,
) -> list[float]:
    model.eval()
    count = len(next(iter(networks.values())))
    right = 0
    for some, labels in zip(x.split(_EXAMPLES_AT_ONCE), y.split(_EXAMPLES_AT_ONCE), strict=True):
        outputs = forward(networks, some.expand(count, *some.shape))
        right = right + (outputs.argmax(2) == labels).sum(1)
    return (right.double() / len(x)).tolist()


# --- masks of many networks


def _prune_further(weight: Tensor, mask: Tensor, fraction: float, name: str) -> Tensor:
    """`weight` and `mask` are stacked, and every network keeps equally many."""
    if not torch.isfinite(weight).all():
        raise ValueError(f"{name} is not finite everywhere: it cannot be ranked by magnitude.")
    sizes = weight.abs().masked_fill(~mask, math.inf).flatten(1)
    remaining = int(mask[0].sum())
    smallest = sizes.argsort(dim=1, stable=True)[:, : round(fraction * remaining)]
    return mask & torch.ones_like(sizes, dtype=torch.bool).scatter(1, smallest, False).view_as(mask)


def _shuffle_each(masks: dict[str, Tensor], generators: list[torch.Generator]) -> dict[str, Tensor]:
    each = [
        shuffled_masks({name: mask[k] for name, mask in masks.items()}, generator)
        for k, generator in enumerate(generators)
    ]
    return {name: torch.stack([one[name] for one in each]) for name in masks}


def _rows(
    condition: str,
    round_: int,
    seeds: list[int],
    masks: dict[str, Tensor],
    curves: list[list[float]],
) -> list[dict]:
    kept = sum(int(mask[0].sum()) for mask in masks.values())
    remaining = kept / sum(mask[0].numel() for mask in masks.values())
    return [
        {
            "condition": condition,
            "round": round_,
            "seed": seed,
            "remaining": remaining,
            "accuracy": curve[-1],
            "curve": curve,
        }
        for seed, curve in zip(seeds, curves, strict=True)
    ]


def _copy(networks: Networks) -> Networks:
    return {name: tensor.detach().clone() for name, tensor in networks.items()}


def _draws(make: Callable[[], nn.Module], seeds: list[int], count: int) -> list:
    """A model that says how to compute, then `count` times a network for every seed, stacked."""
    drawn = []
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            drawn.append([make() for _ in range(count)])
    models = [model for column in zip(*drawn, strict=True) for model in column]
    if not all(isinstance(model, nn.Module) for model in models):
        raise ValueError("make() must return a model (torch.nn.Module).")
    if len({id(model) for model in models}) < len(models):
        raise ValueError("make() must build a new network at each call, not return the same again.")
    stacked = []
    for start in range(0, len(models), len(seeds)):
        parameters, buffers = stack_module_state(models[start : start + len(seeds)])
        stacked.append(_copy(parameters | buffers))
    return [models[0], *stacked]


# --- what is refused


def _prunable(model: nn.Module, networks: Networks) -> list[str]:
    names = list(prunable_weights(model))
    if not names:
        raise ValueError("this network has no Linear or Conv2d layer to prune.")
    torn = [name for name in names if name not in networks]
    if torn:
        raise ValueError(f"{torn[0]} is not a parameter of its own, so it cannot be pruned here.")
    return names


def _check_networks(
    model: nn.Module, networks: Networks, masks: dict[str, Tensor], count: int
) -> None:
    shapes = {
        name: tensor.shape for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }
    if networks.keys() != shapes.keys():
        wrong = sorted(networks.keys() ^ shapes.keys())[0]
        raise ValueError(f"the networks and the model do not both have {wrong}.")
    for name, tensor in networks.items():
        if tensor.shape != (count, *shapes[name]):
            raise ValueError(
                f"{name} must be {count} tensors of {tuple(shapes[name])}, one for each seed, "
                f"but its shape is {tuple(tensor.shape)}."
            )
    for name, mask in masks.items():
        _check_mask(name, mask, networks)


def _check_mask(name: str, mask: Tensor, weights: dict[str, Tensor]) -> None:
    if name not in weights:
        raise ValueError(f"there is a mask for {name}, but no such weight.")
    if mask.shape != weights[name].shape:
        raise ValueError(
            f"the mask of {name} is {tuple(mask.shape)}, the weight {tuple(weights[name].shape)}."
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError(f"the mask of {name} must hold only zeros and ones.")


def _check_data(
    model: nn.Module,
    forward: Callable[[Networks, Tensor], Tensor],
    networks: Networks,
    x_train: Tensor,
    y_train: Tensor,
    x_val: Tensor,
    y_val: Tensor,
) -> None:
    for x, y, what in ((x_train, y_train, "training"), (x_val, y_val, "validation")):
        if len(x) == 0 or len(x) != len(y):
            raise ValueError(f"there are {len(x)} {what} examples and {len(y)} labels.")
        if y.ndim != 1 or y.dtype != torch.int64:
            raise ValueError(f"the {what} labels must be whole numbers (int64), one an example.")
    count = len(next(iter(networks.values())))
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        for x, y, what in ((x_train, y_train, "training"), (x_val, y_val, "validation")):
            with torch.no_grad():
                outputs = forward(networks, x[:1].expand(count, 1, *x.shape[1:]))
            if outputs.ndim != 3 or not 0 <= int(y.min()) <= int(y.max()) < outputs.shape[2]:
                raise ValueError(
                    f"the {what} labels do not fit outputs of shape {tuple(outputs.shape[1:])}."
                )
    except RuntimeError as error:
        raise ValueError(f"an example does not fit the network: {error}") from error
    finally:
        for module, training in modes:
            module.training = training


def _checked_seeds(seeds: Sequence[int]) -> list[int]:
    seeds = list(seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers, one a network, not {seeds}.")
    for seed in seeds:
        require_count("a seed", seed, at_least=0)
    return seeds


def _keep_shares(keep: float | dict[str, float], masks: dict[str, Tensor]) -> dict[str, float]:
    shares = keep if isinstance(keep, dict) else dict.fromkeys(masks, keep)
    if shares.keys() != masks.keys():
        wrong = sorted(shares.keys() ^ masks.keys())[0]
        raise ValueError(f"the shares to keep and the weights do not both have {wrong}.")
    for name, share in shares.items():
        _check_share(f"the share to keep of {name}", share)
    return shares


def _check_share(what: str, share: float) -> None:
    if not 0 <= share <= 1:
        raise ValueError(f"{what} must lie between 0 and 1, not at {share!r}.")
