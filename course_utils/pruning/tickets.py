"""Lottery tickets: does a sparse network owe its accuracy to where it started?

Iterative magnitude pruning with rewinding (Frankle & Carbin 2018), beside its two controls: the
same masks on new random weights, and shuffled masks on the same weights. One run proves nothing,
so each network is trained under several seeds, all at once (`train_together`). Data comes in as
tensors; which data, and what the outcome means, is for others.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import stack_module_state

from course_utils.measure import require_count, require_share
from course_utils.pruning._together import Networks, train_together
from course_utils.pruning.importance import plain_weights
from course_utils.pruning.masks import Masks, keep_local

CONTROLS = ("reinit", "shuffled")


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
    seeds = list(seeds)
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds must be different whole numbers, one a network, not {seeds}.")
    for control in controls:
        if control not in CONTROLS:
            raise ValueError(f"the controls are {' and '.join(CONTROLS)}; there is no {control!r}.")
    model, networks, *others = _drawn(make, seeds, 1 + rounds)
    masks = {name: torch.ones_like(networks[name]) for name in _prunable(model, networks)}
    shares = _shares("the share to keep", keep, masks)
    fractions = {name: 1 - share for name, share in shares.items()}
    train = partial(
        train_together,
        model,
        x_train=x_train,
        y_train=y_train,
        x_val=x_val,
        y_val=y_val,
        seeds=seeds,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
    )

    early: Networks = {}

    def remember(step: int) -> None:
        if step == rewind_step:
            early.update(_copy(networks))

    rows = _rows("dense", 0, seeds, masks, train(networks, {}, before_step=remember))
    if not early:
        raise ValueError(f"training ends before step {rewind_step}: there is nothing to rewind to.")
    dice = [torch.Generator().manual_seed(seed) for seed in seeds]
    for round_, fresh in enumerate(others, start=1):
        pairs = zip(_each(networks), _each(masks), strict=True)
        masks = _stack([_prune_further(weights, mask, fractions) for weights, mask in pairs])
        networks = _copy(early)
        curves = {"ticket": train(networks, masks, start=rewind_step)}
        if "reinit" in controls:
            curves["reinit"] = train(fresh, masks)
        if "shuffled" in controls:
            shuffled = _stack(list(map(shuffled_masks, _each(masks), dice)))
            curves["shuffled"] = train(_copy(early), shuffled, start=rewind_step)
        for condition, its in curves.items():
            rows += _rows(condition, round_, seeds, masks, its)
    return rows


def next_ticket(model: nn.Module, masks: Masks, fraction: float | dict[str, float]) -> Masks:
    """In each layer prune a further fraction of what the masks still keep, by magnitude.

    One round of iterative magnitude pruning (Han 2015). Nothing that is pruned comes back, however
    large the weight in its place may be. Counts are exact; among equals the first goes.

    >>> model = nn.Linear(10, 4)
    >>> masks = next_ticket(model, {"weight": torch.ones(4, 10)}, 0.5)
    >>> masks = next_ticket(model, masks, 0.5)
    >>> int(masks["weight"].sum())
    10
    """
    weights = plain_weights(model)
    for name in masks:
        if name not in weights:
            raise ValueError(f"there is a mask for {name}, but no such weight.")
    return _prune_further(weights, masks, _shares("the fraction to prune", fraction, masks))


def shuffled_masks(masks: Masks, generator: torch.Generator) -> Masks:
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


# --- what is kept, and what is reported


def _prune_further(weights: dict[str, Tensor], masks: Masks, fractions: dict[str, float]) -> Masks:
    scores = {name: weights[name].detach().abs() for name in masks}
    sparsity = {}
    for name, mask in masks.items():
        kept = int(torch.count_nonzero(mask))
        sparsity[name] = 1 - (kept - round(fractions[name] * kept)) / mask.numel()
    return keep_local(scores, sparsity, within=masks)


def _shares(what: str, share: float | dict[str, float], masks: Masks) -> dict[str, float]:
    """One for each mask, checked."""
    shares = share if isinstance(share, dict) else dict.fromkeys(masks, share)
    if shares.keys() != masks.keys():
        wrong = sorted(shares.keys() ^ masks.keys())[0]
        raise ValueError(f"{what} and the weights to prune do not both have {wrong}.")
    for name, value in shares.items():
        require_share(f"{what} of {name}", value)
    return shares


def _rows(
    condition: str, round_: int, seeds: list[int], masks: Masks, curves: list[list[float]]
) -> list[dict]:
    kept = sum(int(torch.count_nonzero(mask)) for mask in masks.values())
    remaining = kept / sum(mask.numel() for mask in masks.values())
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


# --- K networks, or their masks, as one dictionary


def _drawn(make: Callable[[], nn.Module], seeds: list[int], count: int) -> list:
    """A model that says how to compute, then `count` times a network for every seed, stacked."""
    drawn = []
    for seed in seeds:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            drawn.append([make() for _ in range(count)])
    models = [model for its in drawn for model in its]
    if len(set(map(id, models))) < len(models):
        raise ValueError("make() must build a new network at each call, not return the same again.")
    states = [stack_module_state(list(column)) for column in zip(*drawn, strict=True)]
    return [models[0], *(_copy(parameters | buffers) for parameters, buffers in states)]


def _prunable(model: nn.Module, networks: Networks) -> list[str]:
    names = list(plain_weights(model))
    if not names:
        raise ValueError("this network has no Linear or Conv2d layer to prune.")
    for name in names:
        if name not in networks:
            raise ValueError(f"{name} belongs to another layer as well: it cannot be pruned here.")
    return names


def _copy(networks: Networks) -> Networks:
    return {name: tensor.detach().clone() for name, tensor in networks.items()}


def _each(stacked: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    count = len(next(iter(stacked.values())))
    return [{name: tensor[k] for name, tensor in stacked.items()} for k in range(count)]


def _stack(each: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([one[name] for one in each]) for name in each[0]}
