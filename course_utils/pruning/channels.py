"""Physical removal: whole channels leave, the tensors get smaller, the network gets faster.

A channel never leaves alone. Its BatchNorm goes with it, and the columns of whatever reads it,
and, where a residual addition ties layers together, the same channel of every layer that is
added. Which tensors belong together is worked out by Torch-Pruning; `_coupling` asks it, on a
copy, and tries every removal there first.

So nothing goes wrong in silence: an operator that was misunderstood, tied weights torn apart or
a layer emptied give a ValueError with a sentence. Zeroing weights is `masks`' business.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.measure import require_count, require_share
from course_utils.pruning._coupling import (
    LAYERS,
    Coupling,
    Cuts,
    blocks,
    outputs,
    outputs_come_second,
)


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
    return _groups(Coupling(model, example))


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
    coupling = Coupling(model, example)
    cuts = _cuts(coupling, drop, round_to)
    coupling.require_same(cuts)
    return coupling.cut(model, cuts)


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
    found = _groups(Coupling(model, example))
    by_filter = _filter_scores(model, scores)
    drop = {}
    for group, share in _shares(found, sparsity):
        judges = [by_filter[name] for name in group.members if name in by_filter]
        if judges and not group.fixed:
            drop[group.layer] = _lowest(_together(judges), group, share, round_to)
    return {layer: dropped for layer, dropped in drop.items() if dropped}


# --- Groups ---------------------------------------------------------------------------------------


def _groups(coupling: Coupling) -> list[Group]:
    found: list[Group] = []
    seen: set[str] = set()
    for name in coupling.layers():
        if name not in seen:
            found.append(_group(coupling, name))
            seen.update(found[-1].members)
    return found


def _group(coupling: Coupling, layer: str) -> Group:
    layers = coupling.layers()
    channels = outputs(layers[layer])
    cuts, reasons = coupling.leaving(layer, range(channels))
    members = tuple(
        name
        for name, other in layers.items()
        if len(cuts.get((name, "out"), ())) == outputs(other) == channels
    )
    parts = math.lcm(1, *(blocks(coupling.modules.get(name)) for name, _ in cuts))
    if channels == parts > 1:
        reasons.append("each of them is by itself a group of a convolution")
    touches = tuple(touch for name, side in cuts for touch in coupling.touches(name, side))
    return Group(layer, channels, members, touches, parts, reasons[0] if reasons else "")


# --- From what is asked to what leaves ------------------------------------------------------------


def _cuts(coupling: Coupling, drop: Mapping[str, Iterable[int]], round_to: int) -> Cuts:
    """Everything that leaves, in the numbering of the whole model, worked out beforehand."""
    if not isinstance(drop, Mapping):
        raise ValueError("drop must map layer names to lists of output channels.")
    group_of = {name: group for group in _groups(coupling) for name in group.members}
    lists = {}
    first: dict[str, list[int]] = {}  # of coupled layers the first one's order counts
    cuts: Cuts = {}
    for layer, asked in drop.items():
        if layer not in group_of:
            raise ValueError(f"layer {layer!r} {_why_not(coupling.modules.get(layer))}.")
        group = group_of[layer]
        lists[layer] = _channel_list(layer, asked, group.channels)
        ordered = first.setdefault(group.layer, lists[layer])
        if set(ordered) != set(lists[layer]):
            raise ValueError(
                f"{layer} is coupled with a layer that is to drop other channels; both must drop "
                "the same ones, and naming one of the two layers is enough."
            )
        dropped = _rounded(ordered, group, round_to)
        if dropped and group.fixed:
            raise ValueError(f"the channels of {layer} must stay: {group.fixed}.")
        for where, indices in coupling.leaving(layer, dropped)[0].items() if dropped else ():
            cuts.setdefault(where, set()).update(indices)
    for layer, listed in lists.items():
        more = cuts.get((layer, "out"), set()) - set(listed)
        if more:
            raise ValueError(f"channels {sorted(more)} of {layer} would leave too: list them.")
    coupling.require_rest(cuts)
    return cuts


def _rounded(dropped: list[int], group: Group, round_to: int) -> list[int]:
    """The drop list, less its last entries where what is kept is not a multiple."""
    kept, step = group.channels - len(dropped), math.lcm(round_to, group.blocks)
    if round_to == 1 or kept == 0:
        return dropped
    return dropped[: max(0, group.channels - math.ceil(kept / step) * step)]


def _channel_list(layer: str, channels: object, count: int) -> list[int]:
    if isinstance(channels, Tensor) and channels.dtype != torch.bool:
        channels = channels.tolist()
    if not isinstance(channels, list | tuple | set | range) or not all(
        isinstance(c, int) and not isinstance(c, bool) for c in channels
    ):
        raise ValueError(f"{layer}: the channels to drop must be a list of whole numbers.")
    beyond = [c for c in channels if not 0 <= c < count]
    if beyond or len(set(channels)) != len(channels):
        raise ValueError(
            f"{layer} has channels 0 to {count - 1}, each of which can be dropped once, "
            f"not {beyond or sorted(channels)}."
        )
    return list(channels)


def _why_not(module: nn.Module | None) -> str:
    if module is None:
        return "does not exist"
    if isinstance(module, LAYERS):
        return "is not reached by the example"
    return "is no layer with channels of its own"


# --- From scores to the weakest -------------------------------------------------------------------


def _filter_scores(model: nn.Module, scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
        if not isinstance(values, Tensor) or values.shape not in (shape, (outputs(module),)):
            raise ValueError(
                f"the scores for {key} must have its shape {shape}, or one number a filter."
            )
        values = values.detach().to("cpu", torch.float64)
        if not (values.isfinite().all() and (values >= 0).all()):
            raise ValueError(f"the scores for {key} must be finite and not negative.")
        if values.ndim > 1:
            filters = values.movedim(int(outputs_come_second(module)), 0)
            values = filters.flatten(1).sum(1)
        by_filter[layer] = values
    return by_filter


def _shares(found: list[Group], sparsity: object) -> list[tuple[Group, float]]:
    """The groups to be pruned, each with its share."""
    for share in sparsity.values() if isinstance(sparsity, Mapping) else [sparsity]:
        require_share("the sparsity", share)
    if not isinstance(sparsity, Mapping):
        return [(group, sparsity) for group in found]
    of = {name: group for group in found for name in group.members}
    shares: dict[str, tuple[Group, float]] = {}
    for layer, share in sparsity.items():
        if layer not in of:
            raise ValueError(f"there is no layer {layer!r} with channels of its own.")
        group = of[layer]
        if shares.setdefault(group.layer, (group, share))[1] != share:
            raise ValueError(f"{layer} is coupled with a layer that has another share.")
    return list(shares.values())


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
