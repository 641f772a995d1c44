"""Physical removal: whole channels leave, the tensors get smaller, the network gets faster.

A channel never leaves alone. Its BatchNorm goes with it, and the columns of whatever reads it,
and, where a residual addition ties layers together, the same channel of every layer that is
added. Which tensors belong together is worked out by Torch-Pruning (DepGraph, Fang et al. 2023,
"DepGraph: Towards Any Structural Pruning"); this file decides nothing about dependencies itself.

What it adds is that nothing goes wrong in silence. The work is done on a copy, and the smaller
network is handed over only after its output has been compared with that of the original whose
dropped channels nobody reads. An operator that was misunderstood, tied weights torn apart or a
layer emptied give a ValueError with a sentence instead. Zeroing weights is `masks`' business.
"""

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, prune
from torch_pruning import ops
from torch_pruning.dependency import DependencyGraph
from torch_pruning.pruner.function import PrunerBox

from course_utils.measure import evaluating, require_count

CONV = nn.modules.conv._ConvNd
LAYERS = nn.Linear | CONV  # those that make channels of their own
SAME = 1e-6  # relative difference of two outputs, in float64, that passes for rounding

Cuts = dict[tuple[str, str], set[int]]  # (layer, "out" or "in") -> channels that leave there


@dataclass(frozen=True)
class Group:
    """Channels that can only leave together."""

    layer: str  # the first layer that makes these channels
    channels: int  # how many it makes
    members: tuple[str, ...]  # every layer that makes them, `layer` among them
    touches: tuple[tuple[str, int], ...]  # (parameter name, dimension) that shrinks with them
    blocks: int  # equal parts that must stay equal: grouped convolutions; 1 without them
    fixed: str  # why none of them can be removed; empty if they can


@torch.inference_mode(False)
def groups(model: nn.Module, example: Tensor | tuple) -> list[Group]:
    """The sets of channels that are coupled, in the order of the model's layers.

    Look here before removing anything: a layer that is tied to five others by residual additions
    is a different matter from one that is read by a single neighbour. `example` is a batch that
    the model accepts, or a tuple of its arguments. The model stays as it is.

    >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3))
    >>> first = groups(model, torch.zeros(1, 1, 8, 8))[0]
    >>> first.layer, first.channels, first.touches[-1]
    ('0', 8, ('2.weight', 1))
    """
    return _all_groups(_Sketch(model, example))


@torch.inference_mode(False)
def remove(
    model: nn.Module,
    example: Tensor | tuple,
    drop: Mapping[str, Iterable[int]],
    round_to: int = 1,
) -> nn.Module:
    """A smaller copy of `model` without the channels in `drop`: {layer: output channels}.

    `model` itself stays as it is. What remains computes what it did: in eval mode the output is
    that of the original with the dropped channels silenced. Modes and `requires_grad` carry over;
    optimizers do not (see `recovery.rebuild_optimizer`). Coupled layers follow by themselves, and
    naming one of them is enough.

    Odd channel counts are slow on most hardware (Radu et al. 2019). With `round_to=8`, as many of
    the channels listed last stay as are needed to keep a multiple of 8: list the weakest first.

    >>> model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> smaller = remove(model, torch.zeros(1, 1, 8, 8), {"0": [1, 5]})
    >>> smaller[0].out_channels, smaller[2].in_channels, model[0].out_channels
    (6, 6, 8)
    """
    require_count("round_to", round_to, at_least=1)
    sketch = _Sketch(model, example)
    cuts = _cuts(sketch, drop, round_to)
    smaller = _cut(model, sketch, cuts)
    _require_same(sketch, _silenced(sketch, cuts), smaller)
    return smaller


@torch.inference_mode(False)
def weakest(
    model: nn.Module,
    example: Tensor | tuple,
    scores: Mapping[str, Tensor],
    sparsity: float | Mapping[str, float],
    round_to: int = 8,
) -> dict[str, list[int]]:
    """What `remove` should drop: the lowest-scored share of every group, the weakest first.

    `scores` by parameter name, one number for each weight (summed by filter) or for each filter.
    In a group each layer's scores are divided by their sum and then added, so that no layer
    outvotes the others by the mere size of its weights. `sparsity` is one share for all, or
    {layer: share} for some. Groups without scores, and those that cannot shrink, are left alone.
    With filters' L1 norms this is Li et al. 2017, "Pruning Filters for Efficient ConvNets".

    >>> model = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 4, 3))
    >>> example = torch.zeros(1, 1, 8, 8)
    >>> drop = weakest(model, example, {"0.weight": model[0].weight.detach().abs()}, 0.5)
    >>> remove(model, example, drop)[0].out_channels
    8
    """
    require_count("round_to", round_to, at_least=1)
    sketch = _Sketch(model, example)
    by_filter = _filter_scores(model, scores)
    drop = {}
    for group, share in _shares(_all_groups(sketch), sparsity):
        judges = [by_filter[name] for name in group.members if name in by_filter]
        if judges and not group.fixed:
            dropped = _lowest(_together(judges), group, share, round_to)
            if dropped:
                drop[group.layer] = dropped
    return drop


class _Sketch:
    """What DepGraph makes of the model. It works on a copy, since tracing leaves marks."""

    def __init__(self, model: nn.Module, example: Tensor | tuple):
        _require_sound(model)
        self.args = _require_example(example)
        self.tied = _tied(model)
        self.model = copy = _copy(model)
        _require_runs(copy, self.args)
        # DepGraph follows gradients: a frozen layer, or a caller's no_grad, would hide its edges.
        # It must get a tuple: a bare batch of one it would unpack into an image without batch.
        with torch.enable_grad():
            for parameter in copy.parameters():
                parameter.requires_grad_(parameter.is_floating_point())
            try:
                self.graph = DependencyGraph().build_dependency(copy, self.args, verbose=False)
            except Exception as error:
                raise ValueError(f"the model's layers cannot be traced: {error}") from error
        self.modules = dict(copy.named_modules())
        self.parameters = dict(copy.named_parameters())
        self.names = {what: name for name, what in (self.modules | self.parameters).items()}

    def reached(self) -> list[str]:
        """The layers with channels of their own that the example went through."""
        return [
            name
            for name, module in self.modules.items()
            if isinstance(module, LAYERS) and module in self.graph.module2node
        ]

    def coupled(self, layer: str, channels: Iterable[int]) -> tuple[Cuts, list[str]]:
        """What leaves together with these channels of a layer, and what speaks against it."""
        module = self.modules[layer]
        pruner = self.graph.get_pruner_of_module(module)
        cuts: Cuts = {}
        reasons = []
        for dependency, indices in self.graph.get_pruning_group(
            module, pruner.prune_out_channels, list(channels)
        ):
            node = dependency.target
            side = "out" if self.graph.is_out_channel_pruning_fn(dependency.handler) else "in"
            if node.type == ops.OPTYPE.OUTPUT or (side == "out" and not node.outputs):
                reasons.append("they are the model's output")
            if node.module in self.names:
                name = self.names[node.module]
                cuts.setdefault((name, side), set()).update(indices)
                reasons += self._obstacles(name, side)
        return cuts, reasons

    def touches(self, name: str, side: str) -> list[tuple[str, int]]:
        """The parameters, and the dimension of each, that shrink when channels leave here."""
        if name in self.parameters:  # one that belongs to no layer DepGraph knows
            return [(name, self.graph.module2node[self.parameters[name]].pruning_dim)]
        own = _dimensions(self.modules[name], side)
        return [(f"{name}.{key}" if name else key, dim) for key, dim in own]

    def _obstacles(self, name: str, side: str) -> list[str]:
        module = self.modules.get(name)
        if isinstance(module, nn.LayerNorm | nn.GroupNorm):
            return [f"{name} normalises them together, so removing some would change the others"]
        if isinstance(module, nn.MultiheadAttention):
            return [f"{name} shares them out among its heads"]
        tied = [key for key, _ in self.touches(name, side) if key in self.tied]
        return [f"{key} is tied to {self.tied[key]} and would be torn from it" for key in tied]


def _all_groups(sketch: _Sketch) -> list[Group]:
    found: list[Group] = []
    seen: set[str] = set()
    for name in sketch.reached():
        if name not in seen:
            found.append(_group(sketch, name))
            seen.update(found[-1].members)
    return found


def _group(sketch: _Sketch, layer: str) -> Group:
    channels = _outputs(sketch.modules[layer])
    cuts, reasons = sketch.coupled(layer, range(channels))
    members = {
        name
        for (name, side), indices in cuts.items()
        if side == "out"
        and isinstance(sketch.modules.get(name), LAYERS)
        and len(indices) == _outputs(sketch.modules[name]) == channels
    }
    blocks = math.lcm(1, *(_blocks(sketch.modules.get(name)) for name, _ in cuts))
    if channels == blocks > 1:
        reasons.append("each of them is by itself a group of a convolution")
    return Group(
        layer,
        channels,
        tuple(name for name in sketch.modules if name in members),
        tuple(touch for name, side in cuts for touch in sketch.touches(name, side)),
        blocks,
        reasons[0] if reasons else "",
    )


def _outputs(layer: nn.Module) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, CONV) and 1 < module.groups == module.out_channels


def _blocks(module: nn.Module | None) -> int:
    """The parts of a grouped convolution. A depthwise one counts as none: its channels go singly.

    The parts must shrink alike, or they would no longer be equal.
    """
    return module.groups if isinstance(module, CONV) and not _is_depthwise(module) else 1


def _dimensions(module: nn.Module, side: str) -> list[tuple[str, int]]:
    """Which of a layer's own parameters shrink, and along which dimension."""
    if side == "in":
        return [("weight", 0 if getattr(module, "transposed", False) else 1)]
    own = [name for name, _ in module.named_parameters(recurse=False)]
    second = isinstance(module, nn.Embedding) or (
        getattr(module, "transposed", False) and not _is_depthwise(module)
    )
    return [(name, 1 if second and name == "weight" else 0) for name in own]


def _cuts(sketch: _Sketch, drop: dict[str, list[int]], round_to: int) -> Cuts:
    """Everything that leaves, in the numbering of the whole model, worked out beforehand."""
    known = {name: group for group in _all_groups(sketch) for name in group.members}
    first: dict[str, list[int]] = {}  # of coupled layers the first one's order counts
    cuts: Cuts = {}
    for layer, channels in _require_drop(sketch.modules, known, drop).items():
        group = known[layer]
        if set(first.setdefault(group.layer, channels)) != set(channels):
            raise ValueError(
                f"{layer} is coupled with a layer that is to drop other channels; both must drop "
                "the same ones, and naming one of the two layers is enough."
            )
        dropped = _rounded(first[group.layer], group, round_to)
        if dropped and group.fixed:
            raise ValueError(f"the channels of {layer} must stay: {group.fixed}.")
        for where, indices in sketch.coupled(layer, dropped)[0].items() if dropped else ():
            cuts.setdefault(where, set()).update(indices)
    for layer, channels in first.items():
        more = cuts.get((layer, "out"), set()) - set(channels)
        if more:
            raise ValueError(f"channels {sorted(more)} of {layer} would leave too: list them.")
    for (name, side), indices in cuts.items():
        _require_rest(sketch, name, side, indices)
    return cuts


def _rounded(dropped: list[int], group: Group, round_to: int) -> list[int]:
    """The drop list, less its last entries where what is kept is not a multiple."""
    kept, step = group.channels - len(dropped), math.lcm(round_to, group.blocks)
    if round_to == 1 or not dropped or kept == 0:
        return dropped
    return dropped[: max(0, group.channels - math.ceil(kept / step) * step)]


def _cut(model: nn.Module, sketch: _Sketch, cuts: Cuts) -> nn.Module:
    """A copy of the model without the channels."""
    smaller = _copy(model)
    modules = dict(smaller.named_modules())
    trainable = {name: parameter.requires_grad for name, parameter in smaller.named_parameters()}
    for (name, side), indices in cuts.items():
        if name in modules:
            pruner = PrunerBox[ops.module2type(modules[name])]
            shrink = pruner.prune_out_channels if side == "out" else pruner.prune_in_channels
            shrink(modules[name], sorted(indices))
        else:
            parent, _, key = name.rpartition(".")
            ((_, dim),) = sketch.touches(name, side)
            shorter = _without(modules[parent].get_parameter(key), dim, indices)
            setattr(modules[parent], key, nn.Parameter(shorter))
    for name, parameter in smaller.named_parameters():
        parameter.requires_grad_(trainable[name])  # the new ones all want gradients
    return smaller


def _without(tensor: Tensor, dim: int, indices: set[int]) -> Tensor:
    kept = [index for index in range(tensor.shape[dim]) if index not in indices]
    return tensor.detach().index_select(dim, torch.tensor(kept, device=tensor.device))


def _silenced(sketch: _Sketch, cuts: Cuts) -> dict[str, Tensor]:
    """The whole model's state, changed so that nobody reads the channels that are to leave."""
    state = _state(sketch.model)
    for (name, side), indices in cuts.items():
        if side == "in":
            ((key, dim),) = sketch.touches(name, side)
            columns = {index % state[key].shape[dim] for index in indices}  # of every block
            where = torch.tensor(sorted(columns), device=state[key].device)
            state[key] = state[key].index_fill(dim, where, 0)
    return state


def _require_same(sketch: _Sketch, silent: dict[str, Tensor], smaller: nn.Module) -> None:
    """ValueError unless the two models compute the same on the example.

    This is what DepGraph does not do: operators it does not know it takes for element-wise ones,
    and a reshape it cannot follow it passes over. In float64, so that rounding cannot hide it;
    a model that only runs in its own precision is held to that.
    """
    args = tuple(_varied(argument) for argument in sketch.args)
    try:
        dtype, expected = torch.float64, _run(sketch.model, silent, args, torch.float64)
    except (RuntimeError, TypeError):
        dtype, expected = None, _run(sketch.model, silent, args)
    try:
        found = _run(smaller, _state(smaller), args, dtype)
    except Exception as error:
        raise ValueError(
            "these channels cannot be removed: without them the model does not run "
            f"({_first_line(error)})."
        ) from error
    if [a.shape for a in found] != [b.shape for b in expected]:
        raise ValueError("these channels cannot be removed: the model's output changes its shape.")
    for a, b in zip(found, expected, strict=True):
        allowed = SAME if dtype else torch.finfo(b.dtype).eps ** 0.5
        if not (a - b).norm() <= allowed * b.norm():
            raise ValueError(
                "these channels cannot be removed: the model would not compute the same without "
                "them. Something in it depends on their number or mixes them in a way that "
                "cannot be followed."
            )


def _state(model: nn.Module) -> dict[str, Tensor]:
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: values.detach() for name, values in named}


def _run(
    model: nn.Module,
    state: dict[str, Tensor],
    args: tuple,
    dtype: torch.dtype | None = None,
) -> list[Tensor]:
    """The floating-point outputs in eval mode, with these parameters, in this precision."""
    if dtype is not None:
        state = {name: _cast(values, dtype) for name, values in state.items()}
        args = tuple(_cast(argument, dtype) for argument in args)
    with torch.random.fork_rng(), evaluating(model):
        torch.manual_seed(0)
        outputs = _tensors(torch.func.functional_call(model, state, args))
    return [out for out in outputs if out.is_floating_point()]


def _cast(argument: object, dtype: torch.dtype) -> object:
    floating = isinstance(argument, Tensor) and argument.is_floating_point()
    return argument.to(dtype) if floating else argument


def _varied(argument: object) -> object:
    """Noise instead of a constant tensor, which would not show what differs."""
    floating = isinstance(argument, Tensor) and argument.is_floating_point()
    if floating and argument.numel() and argument.min() == argument.max():
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(argument.shape, generator=generator, dtype=torch.float64)
        return noise.to(argument.device, argument.dtype)
    return argument


def _tensors(output: object) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, Mapping):
        output = list(output.values())
    return (
        [t for part in output for t in _tensors(part)] if isinstance(output, list | tuple) else []
    )


def _copy(model: nn.Module) -> nn.Module:
    try:
        return deepcopy(model)
    except Exception as error:
        raise ValueError(f"the model cannot be copied: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _tied(model: nn.Module) -> dict[str, str]:
    """For each parameter that lies in the same memory as another: the other's name."""
    first: dict[int, str] = {}
    tied = {}
    for prefix, module in model.named_modules():
        for key, parameter in module.named_parameters(
            prefix, recurse=False, remove_duplicate=False
        ):
            other = first.setdefault(parameter.data_ptr(), key)
            if other != key and parameter.numel():
                tied |= {key: other, other: key}
    return tied


def _require_sound(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"a model (torch.nn.Module) is needed here, not {type(model).__name__}.")
    for name, module in model.named_modules():
        hooks = module._forward_pre_hooks.values()
        if parametrize.is_parametrized(module) or any(
            isinstance(hook, prune.BasePruningMethod) for hook in hooks
        ):
            raise ValueError(
                f"the parameters of {name or 'the model'} are computed from others (torch's "
                "pruning or parametrizations): make that permanent first."
            )
    for name, values in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(values):
            raise ValueError(f"{name} has no values yet: run the model on an example first.")
        if values.isnan().any():
            raise ValueError(f"{name} contains NaN: which channels matter cannot be told from it.")


def _require_example(example: object) -> tuple:
    args = example if isinstance(example, tuple) else (example,)
    if not args or not isinstance(args[0], Tensor) or args[0].ndim == 0 or not args[0].numel():
        raise ValueError(
            "the example must be a batch (a tensor with at least one example in it), or a tuple "
            "of the model's arguments that starts with one."
        )
    return tuple(arg.detach() if isinstance(arg, Tensor) else arg for arg in args)


def _require_runs(model: nn.Module, args: tuple) -> None:
    try:
        outputs = _run(model, _state(model), args)
    except Exception as error:
        raise ValueError(f"the example does not fit the model: {_first_line(error)}") from error
    if not outputs or any(out.isnan().any() for out in outputs):
        raise ValueError("the model's output for the example must be numbers, and is not.")


def _require_drop(
    modules: Mapping[str, nn.Module], known: Mapping[str, Group], drop: object
) -> dict[str, list[int]]:
    if not isinstance(drop, Mapping):
        raise ValueError("drop must map layer names to lists of output channels.")
    lists = {}
    for layer, channels in drop.items():
        if layer not in known:
            what = "is no layer with channels of its own" if layer in modules else "does not exist"
            if isinstance(modules.get(layer), LAYERS):
                what = "is not reached by the example"
            raise ValueError(f"layer {layer!r} {what}.")
        if isinstance(channels, Tensor) and not channels.is_floating_point():
            channels = channels.tolist() if channels.dtype != torch.bool else None
        if not isinstance(channels, list | tuple | set | range) or not all(
            isinstance(c, int) and not isinstance(c, bool) for c in channels
        ):
            raise ValueError(f"{layer}: the channels to drop must be a list of whole numbers.")
        beyond = [c for c in channels if not 0 <= c < known[layer].channels]
        if beyond or len(set(channels)) != len(channels):
            raise ValueError(
                f"{layer} has channels 0 to {known[layer].channels - 1}, each of which can be "
                f"dropped once, not {beyond or sorted(channels)}."
            )
        lists[layer] = list(channels)
    return lists


def _require_rest(sketch: _Sketch, name: str, side: str, indices: set[int]) -> None:
    """ValueError if nothing would be left here, or parts of a convolution that are not alike."""
    module = sketch.modules.get(name)
    for key, dim in sketch.touches(name, side):
        size = sketch.parameters[key].shape[dim]
        parts = _blocks(module)
        if side == "in" and parts > 1:
            left = {frozenset(i % size for i in indices if i // size == p) for p in range(parts)}
            uneven, empty = len(left) > 1, max(map(len, left)) == size
        else:
            part = size // parts
            left = {sum(i // part == p for i in indices) for p in range(parts)}
            uneven, empty = len(left) > 1, len(indices) >= size
        if empty:
            raise ValueError(f"nothing would be left of {name}: keep at least one channel.")
        if uneven:
            raise ValueError(
                f"{name} is a convolution of {parts} groups, which must stay equal: drop "
                f"{'the same' if side == 'in' else 'as many'} channels in each of them."
            )


def _filter_scores(model: nn.Module, scores: object) -> dict[str, Tensor]:
    """One non-negative number a filter, in float64, by layer name."""
    if not isinstance(scores, Mapping):
        raise ValueError("scores must map parameter names to tensors.")
    modules = dict(model.named_modules())
    by_filter = {}
    for key, values in scores.items():
        layer, _, parameter = str(key).rpartition(".")
        module = modules.get(layer)
        if parameter != "weight" or not isinstance(module, LAYERS):
            raise ValueError(f"{key!r} is not the weight of a layer with channels of its own.")
        shape = tuple(module.weight.shape)
        if not isinstance(values, Tensor) or tuple(values.shape) not in (
            shape,
            (_outputs(module),),
        ):
            raise ValueError(
                f"the scores for {key} must have its shape {shape}, or one number a filter."
            )
        values = values.detach().to("cpu", torch.float64)
        if not (values.isfinite().all() and (values >= 0).all()):
            raise ValueError(f"the scores for {key} must be finite and not negative.")
        if values.ndim > 1:
            swapped = getattr(module, "transposed", False) and not _is_depthwise(module)
            values = values.movedim(1 if swapped else 0, 0).flatten(1).sum(1)
        by_filter[layer] = values
    return by_filter


def _shares(found: list[Group], sparsity: object) -> list[tuple[Group, float]]:
    """The groups to be pruned, each with its share."""
    if not isinstance(sparsity, Mapping):
        return [(group, _require_share(sparsity)) for group in found]
    of = {name: group for group in found for name in group.members}
    shares: dict[str, tuple[Group, float]] = {}
    for layer, share in sparsity.items():
        if layer not in of:
            raise ValueError(f"there is no layer {layer!r} with channels of its own.")
        group = of[layer]
        if shares.setdefault(group.layer, (group, _require_share(share)))[1] != share:
            raise ValueError(f"{layer} is coupled with a layer that has another share.")
    return list(shares.values())


def _require_share(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:
        raise ValueError(f"the share to remove must be a number from 0 to 1, not {value!r}.")
    return float(value)


def _together(judges: list[Tensor]) -> Tensor:
    """Each layer's scores as shares of their sum, added up; a layer of zeros has no say."""
    return sum(scores / scores.sum() if scores.sum() > 0 else scores for scores in judges)


def _lowest(scores: Tensor, group: Group, share: float, round_to: int) -> list[int]:
    """The channels to drop, the weakest first; the same ones in every block."""
    part = group.channels // group.blocks
    kept = part - round(share * part)
    if kept == 0:
        raise ValueError(f"a share of {share} leaves nothing of {group.layer}.")
    step = round_to // math.gcd(round_to, group.blocks)
    if kept < part:
        kept = min(part, max(step, round(kept / step) * step))
    order = scores.view(group.blocks, part).sum(0).argsort(stable=True)[: part - kept]
    return [int(channel) + part * block for channel in order for block in range(group.blocks)]
