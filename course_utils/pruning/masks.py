"""Which weights stay: from scores to masks, and zeros that stay zero while training.

A mask is a bool or 0/1 tensor of its weight's shape; nonzero keeps. Masks, like scores, are a dict
keyed by parameter name. Counts are exact: `round(sparsity * n)` weights go, whatever the ties
(of equal scores the first by position go). No parameter is renamed, no forward hook is left
behind, and a masked network computes as fast as before, neither faster nor slower: to make it
smaller, see `channels`.

Speed comes from one idea. The k-th smallest of many numbers is found without sorting them: a
sample says between which two values it must lie, one pass counts what lies below and gathers what
lies between, and only the few gathered are ranked.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from course_utils.measure import require_count, require_share
from course_utils.pruning.importance import plain_weights

Scores = Masks = dict[str, Tensor]
SAMPLE = 100_000
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes
PIECE = 1 << 17  # numbers looked at together: they fit into the processor's cache


def keep_local(
    scores: Scores, sparsity: float | dict[str, float], within: Masks | None = None
) -> Masks:
    """In each tensor, prune its lowest-scored share; with a dict, each its own share.

    Every layer keeps the same share, so none is emptied and scores need not be comparable between
    layers (Han et al. 2015). What `within`, an earlier mask, has pruned stays pruned and counts
    towards the share.

    >>> masks = keep_local({"weight": torch.tensor([[3.0, 1.0, 2.0, 4.0]])}, 0.5)
    >>> masks["weight"]
    tensor([[ True, False, False,  True]])
    """
    shares = sparsity if isinstance(sparsity, dict) else dict.fromkeys(scores, sparsity)
    if shares.keys() != scores.keys():
        odd = ", ".join(sorted(shares.keys() ^ scores.keys()))
        raise ValueError(f"each score needs a sparsity and the reverse; unmatched: {odd}.")
    for share in shares.values():
        require_share("a sparsity", share)
    _require_scores(scores, within)
    masks = {}
    for name, score in scores.items():
        masks |= _keep({name: score}, round(shares[name] * score.numel()), within)
    return masks


def keep_global(
    scores: Scores, sparsity: float, within: Masks | None = None, floor: float = 0.0
) -> Masks:
    """One ranking over all tensors; the lowest-scored share of all weights goes.

    Better than layer by layer at the same sparsity, as redundant layers give more, until it empties
    one (Tanaka et al. 2020 call it layer collapse). `floor` prevents that: the share of its
    weights, and one at least, that each tensor keeps. What `within`, an earlier mask, has pruned
    stays pruned and counts towards the share.

    >>> scores = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0, 4.0])}
    >>> keep_global(scores, 0.5)
    {'a': tensor([False, False]), 'b': tensor([True, True])}
    >>> keep_global(scores, 0.5, floor=0.5)
    {'a': tensor([False,  True]), 'b': tensor([False,  True])}
    """
    require_share("the sparsity", sparsity)
    require_share("the floor", floor)
    _require_scores(scores, within)
    total = sum(score.numel() for score in scores.values())
    count = round(sparsity * total)
    if floor == 0:
        return _keep(scores, count, within)
    safe = {}
    for name, score in scores.items():
        least = max(1, round(floor * score.numel())) if score.numel() else 0
        safe |= _keep({name: score}, score.numel() - least, within)
    spare = {name: ~mask for name, mask in safe.items()}
    if within is not None:
        spare = {name: mask & (within[name] != 0) for name, mask in spare.items()}
    held = _count(safe)
    if count > total - held:
        raise ValueError(
            f"a sparsity of {sparsity} cannot be reached while each tensor keeps {floor} of its "
            f"weights: {count} of {total} would have to go, and {held} are to stay."
        )
    chosen = _keep(scores, count + held, spare)
    return {name: mask | chosen[name] for name, mask in safe.items()}


def keep_nm(scores: Scores, n: int = 2, m: int = 4) -> Masks:
    """Of every m consecutive input features (or channels) of an output, keep the n best.

    2:4 is what sparse tensor cores can skip (Mishra et al. 2021, "Accelerating Sparse Deep Neural
    Networks"). The groups run along dimension 1: a row of a Linear weight, the input channels of a
    convolution, which m has to divide. Leave out a layer, often the first, that does not fit.

    >>> keep_nm({"weight": torch.tensor([[1.0, 4.0, 2.0, 3.0]])})["weight"]
    tensor([[False,  True, False,  True]])
    """
    require_count("n", n, at_least=1)
    require_count("m", m, at_least=1)
    if n > m:
        raise ValueError(f"{n} of every {m} cannot be kept.")
    _require_scores(scores)
    _require_numbers(scores.values())
    for name, score in scores.items():
        if score.ndim < 2 or score.shape[1] % m:
            raise ValueError(
                f"{name} of shape {tuple(score.shape)} does not fall into groups of {m} "
                "along dimension 1."
            )
    masks = {}
    for name, score in scores.items():
        groups = score.movedim(1, -1).unflatten(-1, (-1, m))
        lowest = groups.argsort(dim=-1, stable=True)[..., : m - n]
        mask = torch.ones_like(groups, dtype=torch.bool).scatter_(-1, lowest, False)
        masks[name] = mask.flatten(-2).movedim(-1, 1).contiguous()
    return masks


@torch.no_grad()
def prune_global_(model: nn.Module, sparsity: float) -> None:
    """Zero the smallest magnitudes of the whole model in place: the fastest way, with no masks.

    The same weights as `apply(model, keep_global(magnitude(model), sparsity))` zeroes, but in one
    go and in little memory: neither scores nor masks are made. Weights that are zero already count
    towards the share.

    >>> model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))
    >>> prune_global_(model, 0.8)
    >>> sum(int((layer.weight == 0).sum()) for layer in (model[0], model[2]))
    4400
    """
    require_share("the sparsity", sparsity)
    weights = list(plain_weights(model).values())
    count = round(sparsity * sum(weight.numel() for weight in weights))
    if count == 0:
        _require_numbers(weights)
        return
    limit, ties = _cut(weights, count, magnitudes=True)
    if limit == 0:
        return  # as many are zero already
    for weight in weights:
        reach = _rounded_down(limit, weight.dtype)
        end, ties = _after_ties(weight, limit, ties, magnitudes=True)
        if end < weight.numel():  # some that equal the limit stay
            equal = ((weight == limit) | (weight == -limit)).contiguous()
            equal.view(-1)[end:] = False
            weight.masked_fill_(equal, 0)
            reach = reach.nextafter(torch.zeros_like(reach))
        torch.ops.aten.hardshrink.out(weight, reach.item(), out=weight)  # |weight| <= reach: zero


@torch.no_grad()
def apply(model: nn.Module, masks: Masks) -> None:
    """Zero, in place, what the masks do not keep: the same parameters, a masked NaN too.

    >>> model = nn.Linear(4, 1)
    >>> apply(model, {"weight": torch.tensor([[1, 0, 0, 1]])})
    >>> (model.weight != 0).tolist()
    [[True, False, False, True]]
    """
    for weight, mask in _matched(model, masks):
        if weight.is_contiguous():
            for some, its in zip(_pieces(weight), _pieces(mask), strict=True):
                _bits(some).bitwise_and_(_stencil(some, its))
        else:
            _bits(weight).bitwise_and_(_stencil(weight, mask))


def hold(optimizer: Optimizer, model: nn.Module, masks: Masks) -> RemovableHandle:
    """Apply the masks, and again after every step of this optimizer: what is zero stays zero.

    Masking gradients is not enough: momentum and weight decay move a weight without one, and Adam
    remembers for hundreds of steps. The forward pass is untouched and costs what it did. Takes as
    much memory as the masked weights. Ends with `.remove()` on what is returned. An optimizer's
    state dict knows nothing of it: hold again after loading a checkpoint, or with a new optimizer.

    >>> model = nn.Linear(4, 1)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> held = hold(optimizer, model, {"weight": torch.tensor([[1, 0, 0, 1]])})
    >>> model(torch.randn(8, 4)).sum().backward(); optimizer.step()
    >>> (model.weight != 0).tolist(); held.remove()
    [[True, False, False, True]]
    """
    masked = [id(weight) for weight, _ in _matched(model, masks)]
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if masked and trained.isdisjoint(masked):
        raise ValueError(
            "this optimizer trains none of the masked parameters: it was made for another model, "
            "or before this one's parameters were replaced."
        )
    erase = eraser(model, masks)
    erase()
    return optimizer.register_step_post_hook(lambda *_: erase())


def eraser(model: nn.Module, masks: Masks) -> Callable[[], None]:
    """A function that applies these masks as often as it is called, faster than `apply`.

    The masks are checked and copied when it is made: for training loops without an optimizer of
    torch's kind, which `hold` needs.

    >>> model = nn.Linear(4, 1)
    >>> erase = eraser(model, {"weight": torch.tensor([[1, 0, 0, 1]])})
    >>> erase(); (model.weight != 0).tolist()
    [[True, False, False, True]]
    """
    stencils = [(weight, _stencil(weight, mask)) for weight, mask in _matched(model, masks)]

    def erase() -> None:
        for weight, stencil in stencils:
            _bits(weight).bitwise_and_(stencil)

    return erase


# --- Zeroing by bits -----------------------------------------------------------------------------
# As fast as multiplying by the mask, but nothing survives: not a NaN, not the sign of a zero.


def _bits(weight: Tensor) -> Tensor:
    """The same memory, read as integers."""
    return weight.detach().view(INTEGERS[weight.element_size()])


def _stencil(weight: Tensor, mask: Tensor) -> Tensor:
    """Integers to AND the bits of the weight with: all ones where kept, all zeros elsewhere."""
    return torch.empty_like(_bits(weight)).copy_(mask != 0).neg_()


# --- Keeping all but the k lowest ----------------------------------------------------------------


def _keep(scores: Scores, count: int, within: Masks | None = None) -> Masks:
    """Masks without the `count` lowest scores, those that `within` has pruned coming first."""
    if within is not None:
        return _keep_within(scores, count, {name: within[name] != 0 for name in scores})
    if count == 0:
        _require_numbers(scores.values())
        return {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    limit, ties = _cut(list(scores.values()), count)
    masks = {}
    for name, score in scores.items():
        end, ties = _after_ties(score, limit, ties)
        masks[name] = (score > limit).view(score.shape).contiguous()
        if end < score.numel():
            masks[name].view(-1)[end:] |= score.reshape(-1)[end:] == limit
    return masks


def _keep_within(scores: Scores, count: int, kept: Masks) -> Masks:
    """The same, ranking only what is still kept."""
    left = {name: score[kept[name]] for name, score in scores.items()}
    gone = sum(score.numel() for score in scores.values()) - _count(kept)
    chosen = _keep(left, max(count - gone, 0))
    return {
        name: torch.zeros_like(mask).masked_scatter_(mask, chosen[name])
        for name, mask in kept.items()
    }


def _count(masks: Masks) -> int:
    return sum(int(torch.count_nonzero(mask)) for mask in masks.values())


# --- The k-th smallest of many numbers -----------------------------------------------------------
# Limits are tensors of one element: compared with weights of another type, both are promoted to
# the finer one, where a Python number would be rounded to the weights' type.


def _cut(tensors: Sequence[Tensor], count: int, magnitudes: bool = False) -> tuple[Tensor, float]:
    """The `count`-th smallest number, and how many equal to it are among the `count`.

    Infinity stands for all that are equal to it. Exact for any sample: a bracket that misses the
    rank is widened until it holds everything.
    """
    share = count / sum(tensor.numel() for tensor in tensors)
    sample = _sample(tensors, magnitudes)
    margin = 4 * math.sqrt(share * (1 - share) / len(sample)) + 1 / len(sample)
    while True:
        low, high = (_quantile(sample, share + side) for side in (-margin, margin))
        at_most_low, between = _bracket(tensors, low, high, magnitudes)
        rank = count - at_most_low
        if 0 < rank <= len(between):
            limit = between.kthvalue(rank, keepdim=True).values
            ties, equal = rank - int((between < limit).sum()), int((between == limit).sum())
        elif rank <= 0 or low == high:
            limit, equal = low, _count_equal(tensors, low, magnitudes)
            ties = rank + equal
        else:
            limit, equal = high, _count_equal(tensors, high, magnitudes)
            ties = rank - len(between)
        if 0 < ties <= equal:
            return limit, ties if ties < equal else math.inf
        margin *= 8


def _sample(tensors: Sequence[Tensor], magnitudes: bool) -> Tensor:
    """About SAMPLE of all numbers; all of them where there are fewer."""
    total = sum(tensor.numel() for tensor in tensors)
    drawn = []
    for tensor in tensors:
        if total <= SAMPLE:
            drawn.append(tensor.detach().reshape(-1))
        elif tensor.numel():
            dice = torch.Generator(tensor.device).manual_seed(0)  # torch's own stays as it is
            draws = (math.ceil(SAMPLE * tensor.numel() / total),)
            places = torch.randint(tensor.numel(), draws, generator=dice, device=tensor.device)
            drawn.append(tensor.detach().take(places))
    sample = torch.cat(drawn)
    return sample.abs() if magnitudes else sample


def _quantile(numbers: Tensor, share: float) -> Tensor:
    place = round(share * len(numbers))
    if 1 <= place <= len(numbers):
        return numbers.kthvalue(place, keepdim=True).values
    return torch.full_like(numbers[:1], math.inf if place > 0 else -math.inf)


def _bracket(
    tensors: Sequence[Tensor], low: Tensor, high: Tensor, magnitudes: bool
) -> tuple[int, Tensor]:
    """How many are at most `low`, and those that lie strictly between it and `high`."""
    at_most_low, between = 0, []
    for tensor in tensors:
        for piece in _pieces(tensor, magnitudes):
            _require_no_nan(piece)
            found, inside = _sift(piece, low, high)
            at_most_low += found
            between.append(inside)
    return at_most_low, torch.cat(between)


def _sift(numbers: Tensor, low: Tensor, high: Tensor) -> tuple[int, Tensor]:
    """The same for one piece. On a CPU NumPy takes less than half of torch's time for it."""
    if not numbers.is_cpu:
        above = numbers > low
        return int((~above).sum()), numbers[above & (numbers < high)]
    array, least, most = (
        (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        for tensor in (numbers, low, high)
    )
    above = array > least
    inside = array[np.flatnonzero(above & (array < most))]
    return len(array) - np.count_nonzero(above), torch.from_numpy(inside)


def _count_equal(tensors: Sequence[Tensor], value: Tensor, magnitudes: bool) -> int:
    return sum(
        int(torch.count_nonzero(piece == value))
        for tensor in tensors
        for piece in _pieces(tensor, magnitudes)
    )


def _after_ties(
    tensor: Tensor, limit: Tensor, ties: float, magnitudes: bool = False
) -> tuple[int, float]:
    """The position before which all equal to `limit` go, and how many are to go elsewhere."""
    if ties == math.inf:
        return tensor.numel(), ties
    position = 0
    for piece in _pieces(tensor, magnitudes):
        equal = piece == limit
        found = int(torch.count_nonzero(equal))
        if found > ties:
            return position + int(equal.nonzero()[int(ties)]), 0
        ties -= found
        position += len(piece)
    return tensor.numel(), ties


def _pieces(tensor: Tensor, magnitudes: bool = False) -> Iterator[Tensor]:
    """The numbers in order of position, a cacheful at a time (on a GPU all at once).

    Magnitudes are written into the same room each time, to be looked at and not to be kept: new
    room for each piece, between results that stay, would leave memory full of holes.
    """
    if tensor.numel() == 0:
        return
    pieces = tensor.detach().reshape(-1).split(PIECE if tensor.is_cpu else tensor.numel())
    room = torch.empty_like(pieces[0]) if magnitudes else None
    for piece in pieces:
        yield piece if room is None else torch.abs(piece, out=room[: len(piece)])


def _rounded_down(limit: Tensor, dtype: torch.dtype) -> Tensor:
    """The largest number of this type that is not above the limit, which is above 0."""
    rounded = limit.to(dtype)
    return rounded if rounded <= limit else rounded.nextafter(torch.zeros_like(rounded))


# --- What is refused -----------------------------------------------------------------------------


def _matched(model: nn.Module, masks: Masks) -> list[tuple[nn.Parameter, Tensor]]:
    """Each masked parameter with its mask, all of them checked."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(
                f"there is a mask for {name!r}, but the model has no such parameter"
                + (
                    f": torch.nn.utils.prune calls it {name}_orig until prune.remove."
                    if f"{name}_orig" in parameters
                    else "."
                )
            )
        _require_mask(name, mask, parameters[name].shape)
    return [(parameters[name], mask.to(parameters[name].device)) for name, mask in masks.items()]


def _require_mask(name: str, mask: Tensor, shape: torch.Size) -> None:
    if not isinstance(mask, Tensor) or mask.shape != shape:
        got = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"the mask for {name} must be a tensor of {tuple(shape)}, not {got}.")
    if mask.is_floating_point() and mask.isnan().any():
        raise ValueError(f"the mask for {name} contains NaN: does that keep, or not?")


def _require_scores(scores: Scores, within: Masks | None = None) -> None:
    for name, score in scores.items():
        if not isinstance(score, Tensor) or not score.is_floating_point():
            raise ValueError(f"the scores of {name} must be a tensor of floating-point numbers.")
    if within is not None:
        if within.keys() != scores.keys():
            odd = ", ".join(sorted(within.keys() ^ scores.keys()))
            raise ValueError(f"`within` must have a mask for each score and no other; see {odd}.")
        for name, mask in within.items():
            _require_mask(name, mask, scores[name].shape)


def _require_numbers(tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        for piece in _pieces(tensor):
            _require_no_nan(piece)


def _require_no_nan(numbers: Tensor) -> None:
    if numbers.sum().isnan() and numbers.isnan().any():  # infinities may add up to NaN as well
        raise ValueError("there are NaNs among the numbers to rank: they have no place in it.")
