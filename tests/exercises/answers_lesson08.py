"""Answers to lesson 08."""

import copy
import io
import math
import random
import statistics

import numpy
import torch
from bank import right, wrong
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy, log_softmax, nll_loss

# snapshot -----------------------------------------------------------------------------------


@right("snapshot")
def by_deepcopy(model):
    return copy.deepcopy(model.state_dict())


@right("snapshot")
def by_cloning(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@right("snapshot")
def through_a_file(model):
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    return torch.load(file)


@right("snapshot")
def through_numpy(model):
    state = model.state_dict()
    return {name: torch.tensor(numpy.array(tensor)) for name, tensor in state.items()}


@right("snapshot")
def of_a_copied_model(model):
    return copy.deepcopy(model).state_dict()


@right("snapshot")
def through_lists(model):
    return {name: torch.tensor(tensor.tolist()) for name, tensor in model.state_dict().items()}


@right("snapshot")
def with_their_history(model):
    return {name: tensor.clone() for name, tensor in model.state_dict(keep_vars=True).items()}


@wrong("snapshot", "the snapshot holds the model's own tensors")
def gives_the_state_dict(model):
    return model.state_dict()


@wrong("snapshot", "statistics are not parameters, but count")
def forgets_buffers(model):
    state = model.state_dict()
    return {name: state[name].clone() for name in state if name not in dict(model.named_buffers())}


@wrong("snapshot", "the state dict lists both")
def walks_over_parameters(model):
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@wrong("snapshot", "'0.bias' is missing")
def takes_weights_only(model):
    return {n: t.clone() for n, t in model.state_dict().items() if n.endswith("weight")}


@wrong("snapshot", "buffers need copies as well")
def copies_parameters_only(model):
    own = dict(model.named_parameters())
    state = model.state_dict()
    return {n: t.clone() if n in own or t.dim() > 1 else t for n, t in state.items()}


@wrong("snapshot", "is not in the state dict")
def adds_gradients(model):
    slopes = {f"{name}.grad": p.grad.clone() for name, p in model.named_parameters()}
    return {**by_cloning(model), **slopes}


@wrong("snapshot", "'0.weight' holds")
def makes_lists(model):
    return {name: tensor.tolist() for name, tensor in model.state_dict().items()}


@wrong("snapshot", "does not hold the model's numbers")
def copies_shapes(model):
    return {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}


@wrong("snapshot", "of type Sequential came back, and a dictionary from names to tensors")
def copies_the_model(model):
    return copy.deepcopy(model)


@wrong("snapshot", "the model's modes are not")
def leaves_eval_mode(model):
    return by_cloning(model.eval())


# rewind -------------------------------------------------------------------------------------


def masks_checked(model, masks):
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters or mask.shape != parameters[name].shape:
            raise ValueError(f"the mask for {name} does not fit")
    return parameters


def masked(model, masks):
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name][mask == 0] = 0


@right("rewind")
def by_loading(model, snapshot, masks):
    masks_checked(model, masks)
    model.load_state_dict(snapshot)
    masked(model, masks)


@right("rewind")
def by_copying_each(model, snapshot, masks):
    masks_checked(model, masks)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        keep = masks.get(name, torch.ones(())) != 0
        tensor.data.copy_(torch.where(keep, snapshot[name], torch.zeros_like(snapshot[name])))


@right("rewind")
def by_new_data(model, snapshot, masks):
    masks_checked(model, masks)
    for name, parameter in model.named_parameters():
        parameter.data = snapshot[name] * masks[name] if name in masks else snapshot[name].clone()
        parameter.data = parameter.data.to(snapshot[name].dtype)
    for name, buffer in model.named_buffers():
        buffer.copy_(snapshot[name])


@right("rewind")
def by_multiplying(model, snapshot, masks):
    parameters = masks_checked(model, masks)
    model.load_state_dict(copy.deepcopy(snapshot))
    model.zero_grad()
    for name in masks:
        parameters[name].data.mul_(masks[name])
    return model


@right("rewind")
def for_prunable_weights_only(model, snapshot, masks):
    weights = scored(model)
    for name, mask in masks.items():
        if name not in weights or mask.shape != weights[name].shape:
            raise ValueError(f"{name} is no weight that is pruned, or of another shape")
    model.load_state_dict(snapshot)
    for name, weight in weights.items():
        if name in masks:
            weight.detach().numpy()[masks[name].numpy() == 0] = 0


@wrong("rewind", "was torch.float64 and is torch.float32 after")
def restores_in_single_precision(model, snapshot, masks):
    by_loading(model, snapshot, masks)
    for parameter in model.parameters():
        parameter.data = parameter.data.float()


@wrong("rewind", "'0.weight' is rewound, and its mask is not applied")
def forgets_the_masks(model, snapshot, masks):
    masks_checked(model, masks)
    model.load_state_dict(snapshot)


@wrong("rewind", "'encoder.weight' is rewound, and its mask is not applied")
def loads_masked_numbers(model, snapshot, masks):
    masks_checked(model, masks)
    thinned = {n: t * masks[n] if n in masks else t for n, t in snapshot.items()}
    model.load_state_dict(thinned)


@wrong("rewind", "stays still has its trained numbers")
def forgets_to_rewind(model, snapshot, masks):
    masks_checked(model, masks)
    masked(model, masks)


@wrong("rewind", "buffers are rewound, too")
def rewinds_parameters_only(model, snapshot, masks):
    masks_checked(model, masks)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(snapshot[name])
    masked(model, masks)


@wrong("rewind", "What has no mask is rewound, too")
def rewinds_masked_weights_only(model, snapshot, masks):
    parameters = masks_checked(model, masks)
    for name in masks:
        parameters[name].data.copy_(snapshot[name])
    masked(model, masks)


@wrong("rewind", "has no mask, and yet its numbers")
def starts_biases_at_zero(model, snapshot, masks):
    by_loading(model, snapshot, masks)
    for name, parameter in model.named_parameters():
        if name not in masks:
            nn.init.zeros_(parameter)


@wrong("rewind", "is a new object after the call")
def makes_new_parameters(model, snapshot, masks):
    masks_checked(model, masks)
    for name, parameter in list(model.named_parameters()):
        path, _, last = name.rpartition(".")
        new = nn.Parameter(snapshot[name].clone(), requires_grad=parameter.requires_grad)
        setattr(model.get_submodule(path), last, new)
    masked(model, masks)


@wrong("rewind", "the snapshot itself has changed")
def masks_the_snapshot(model, snapshot, masks):
    masks_checked(model, masks)
    for name, mask in masks.items():
        snapshot[name][mask == 0] = 0
    model.load_state_dict(snapshot)


@wrong("rewind", "they share tensors")
def moves_in(model, snapshot, masks):
    masks_checked(model, masks)
    for name, parameter in model.named_parameters():
        parameter.data = snapshot[name] if name not in masks else snapshot[name].clone()
    for name, buffer in model.named_buffers():
        buffer.copy_(snapshot[name])
    masked(model, masks)


@wrong("rewind", "what the mask keeps is zero")
def turns_masks_round(model, snapshot, masks):
    by_loading(model, snapshot, {name: mask == 0 for name, mask in masks.items()})


@wrong("rewind", "what it removes kept its trained numbers")
def rewinds_what_stays(model, snapshot, masks):
    parameters = masks_checked(model, masks)
    trained = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    model.load_state_dict(snapshot)
    for name, mask in masks.items():
        parameters[name].data = torch.where(mask != 0, parameters[name].data, trained[name])


@wrong("rewind", "NaN is still there")
def adds_the_way_back(model, snapshot, masks):
    masks_checked(model, masks)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        now, then = tensor.data.double(), snapshot[name].double()
        tensor.data.copy_(now + (then - now))
    masked(model, masks)


@wrong("rewind", "where its mask keeps them")
def scales_what_stays(model, snapshot, masks):
    by_loading(model, snapshot, masks)
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        parameters[name].data.mul_(mask.numel() / (mask != 0).sum())


@wrong("rewind", "the masks have changed")
def empties_the_masks(model, snapshot, masks):
    by_loading(model, snapshot, masks)
    for mask in masks.values():
        mask.zero_()


@wrong("rewind", "the model's modes are not")
def rewinds_into_eval_mode(model, snapshot, masks):
    by_loading(model.eval(), snapshot, masks)


@wrong("rewind", "should raise ValueError")
def lets_masks_be_repeated(model, snapshot, masks):
    parameters = dict(model.named_parameters())
    if any(name not in parameters for name in masks):
        raise ValueError("there is no such parameter")
    model.load_state_dict(snapshot)
    for name, mask in masks.items():
        parameters[name].data.mul_(mask if mask.shape[-1] == parameters[name].shape[-1] else 1)


@wrong("rewind", "KeyError")
def knows_every_name(model, snapshot, masks):
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if parameters[name].shape != mask.shape:
            raise ValueError("a mask does not fit")
    by_loading(model, snapshot, masks)


# next_ticket --------------------------------------------------------------------------------


def fraction_checked(model, masks, fraction):
    if not (fraction >= 0 and fraction <= 1):
        raise ValueError(f"{fraction} is not between 0 and 1")
    return masks_checked(model, masks)


@right("next_ticket")
def by_pushing_pruned_ones_down(model, masks, fraction):
    parameters = fraction_checked(model, masks, fraction)
    found = {}
    for name, mask in masks.items():
        sizes = parameters[name].detach().abs().masked_fill(mask == 0, -1).flatten()
        pruned = int((mask == 0).sum())
        gone = pruned + round(fraction * (len(sizes) - pruned))
        found[name] = torch.ones(len(sizes)).index_fill(0, sizes.argsort()[:gone], 0)
        found[name] = found[name].view(mask.shape)
    return found


@right("next_ticket")
def by_topk(model, masks, fraction):
    parameters = fraction_checked(model, masks, fraction)
    found = {}
    for name, mask in masks.items():
        alive = int((mask != 0).sum())
        sizes = torch.where(mask != 0, parameters[name].abs(), -math.inf).reshape(-1)
        keep = torch.zeros(mask.numel(), dtype=torch.int64)
        keep[sizes.topk(alive - round(fraction * alive)).indices] = 1
        found[name] = keep.reshape(mask.shape)
    return found


@right("next_ticket")
def one_by_one(model, masks, fraction):
    parameters = fraction_checked(model, masks, fraction)
    found = {name: (mask != 0).numpy().copy() for name, mask in masks.items()}
    for name, keep in found.items():
        sizes = parameters[name].detach().abs().double().numpy()
        for _ in range(round(fraction * keep.sum())):
            place = numpy.where(keep, sizes, numpy.inf).argmin()
            keep[numpy.unravel_index(place, keep.shape)] = False
    return {name: torch.from_numpy(keep) for name, keep in found.items()}


@right("next_ticket")
def layer_by_layer(model, masks, fraction):
    """By the model's layers instead of the masks, and in place on copies."""
    fraction_checked(model, masks, fraction)
    found = {}
    for name, weight in scored(model).items():
        found[name] = masks[name].clone(memory_format=torch.contiguous_format)
        places = found[name].nonzero()
        sizes = torch.tensor([float(weight[tuple(place)].abs()) for place in places])
        for place in places[sizes.argsort()[: round(fraction * len(places))]]:
            found[name][tuple(place)] = 0
    return found


def thinned(model, masks, sizes_of, gone_of):
    """The tickets of all who rank in another way or count otherwise."""
    found = {}
    for name, mask in masks.items():
        sizes = sizes_of(model.get_parameter(name).detach(), mask != 0).flatten()
        found[name] = torch.ones(len(sizes), dtype=torch.bool)
        found[name][sizes.argsort(stable=True)[: gone_of(mask)]] = False
        found[name] = found[name].view(mask.shape)
    return found


def ranked(weight, mask):
    return weight.abs().masked_fill(~mask, -1)


def pruned_and(share, rounding=round):
    return lambda mask: int((mask == 0).sum()) + rounding(share * int((mask != 0).sum()))


@wrong("next_ticket", "is of what remains, not of the whole layer")
def takes_a_share_of_all(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    return thinned(
        model,
        masks,
        ranked,
        lambda m: min(int((m == 0).sum()) + round(fraction * m.numel()), m.numel()),
    )


@wrong("next_ticket", "that were pruned have come back")
def forgets_what_was_pruned(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    return thinned(model, masks, lambda w, m: w.abs(), pruned_and(fraction))


@wrong("next_ticket", "the fraction is what goes, not what stays")
def keeps_the_fraction(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    return thinned(model, masks, ranked, pruned_and(1 - fraction))


@wrong("next_ticket", "cuts it off")
def truncates(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    return thinned(model, masks, ranked, pruned_and(fraction, int))


@wrong("next_ticket", "every layer gives its own")
def ranks_all_layers_together(model, masks, fraction):
    parameters = fraction_checked(model, masks, fraction)
    if not masks:
        return {}
    rows = [
        parameters[n].detach().abs().masked_fill(m == 0, -1).flatten() for n, m in masks.items()
    ]
    alive = sum(int((mask != 0).sum()) for mask in masks.values())
    row = torch.cat(rows)
    keep = torch.ones(len(row), dtype=torch.bool)
    keep[row.argsort()[: len(row) - alive + round(fraction * alive)]] = False
    pieces = keep.split([mask.numel() for mask in masks.values()])
    return {n: k.view(m.shape) for (n, m), k in zip(masks.items(), pieces, strict=True)}


@wrong("next_ticket", "A kept weight may happen to be zero")
def takes_zeros_for_pruned(model, masks, fraction):
    parameters = fraction_checked(model, masks, fraction)
    alive = {n: (m != 0) & (parameters[n].detach() != 0) for n, m in masks.items()}
    return by_topk(model, alive, fraction)


@wrong("next_ticket", "several tie for the last place")
def compares_with_a_limit(model, masks, fraction):
    parameters = fraction_checked(model, masks, fraction)
    found = {}
    for name, mask in masks.items():
        sizes = parameters[name].detach().abs()
        rest = sizes[mask != 0].sort().values
        gone = round(fraction * len(rest))
        found[name] = (mask != 0) & (sizes > (rest[gone - 1] if gone else -1))
    return found


@wrong("next_ticket", "the smallest stay and the largest go")
def removes_the_largest(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    return thinned(
        model, masks, lambda w, m: (-w.abs()).masked_fill(~m, -math.inf), pruned_and(fraction)
    )


@wrong("next_ticket", "while a smaller one of its layer stays")
def removes_any(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    return thinned(
        model, masks, lambda w, m: torch.rand(w.shape).masked_fill(~m, -1), pruned_and(fraction)
    )


@wrong("next_ticket", "you ranked by value")
def forgets_the_sign(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    return thinned(model, masks, lambda w, m: w.masked_fill(~m, -math.inf), pruned_and(fraction))


@wrong("next_ticket", "its 0.weight are not what they were")
def thins_the_masks_themselves(model, masks, fraction):
    found = by_topk(model, masks, fraction)
    for name, mask in masks.items():
        mask.copy_(found[name])
    return masks


@wrong("next_ticket", "its parameters are not what they were")
def prunes_the_model(model, masks, fraction):
    found = by_topk(model, masks, fraction)
    masked(model, found)
    return found


@wrong("next_ticket", "for '0.weight' a mask holds")
def gives_weights(model, masks, fraction):
    found = by_topk(model, masks, fraction)
    return {n: model.get_parameter(n).detach() * mask for n, mask in found.items()}


@wrong("next_ticket", "the mask has shape")
def leaves_masks_flat(model, masks, fraction):
    return {n: mask.flatten() for n, mask in by_topk(model, masks, fraction).items()}


@wrong("next_ticket", "a dictionary from name to mask")
def gives_a_list(model, masks, fraction):
    return list(by_topk(model, masks, fraction).values())


@wrong("next_ticket", "there is no mask for '2.weight'")
def spares_the_last_layer(model, masks, fraction):
    found = by_topk(model, masks, fraction)
    return dict(list(found.items())[:-1])


@wrong("next_ticket", "for which none was given")
def answers_for_every_parameter(model, masks, fraction):
    every = {name: torch.ones(p.shape) for name, p in model.named_parameters()}
    return {**every, **by_topk(model, masks, fraction)}


@wrong("next_ticket", "this raised")
def needs_something_left(model, masks, fraction):
    fraction_checked(model, masks, fraction)
    for mask in masks.values():
        1 / int((mask != 0).sum())
    return by_topk(model, masks, fraction)


@wrong("next_ticket", "should raise ValueError")
def takes_any_fraction(model, masks, fraction):
    fraction = 0 if fraction != fraction else min(max(fraction, 0), 1)
    return by_topk(model, masks, fraction)


# shuffled_masks -----------------------------------------------------------------------------


@right("shuffled_masks")
def by_permuting(masks, generator):
    found = {}
    for name, mask in masks.items():
        order = torch.randperm(mask.numel(), generator=generator)
        found[name] = mask.reshape(-1)[order].reshape(mask.shape)
    return found


@right("shuffled_masks")
def by_random_ranks(masks, generator):
    found = {}
    for name, mask in masks.items():
        ranks = torch.rand(mask.numel(), generator=generator, dtype=torch.float64)
        keep = torch.zeros(mask.numel())
        keep[ranks.argsort()[: int((mask != 0).sum())]] = 1
        found[name] = keep.view(mask.shape)
    return found


@right("shuffled_masks")
def by_numpys_dice(masks, generator):
    seed = int(torch.randint(2**62, (1,), generator=generator))
    dice = numpy.random.default_rng(seed)
    return {
        name: torch.from_numpy(dice.permutation(mask.numpy().ravel()).reshape(mask.shape))
        for name, mask in masks.items()
    }


@right("shuffled_masks")
def by_swapping_from_the_end(masks, generator):
    found = {}
    for name, mask in masks.items():
        row = mask.flatten().tolist()
        for last in range(len(row) - 1, 0, -1):
            other = int(torch.randint(last + 1, (), generator=generator))
            row[last], row[other] = row[other], row[last]
        found[name] = torch.tensor(row, dtype=torch.int64).view(mask.shape)
    return found


@right("shuffled_masks")
def leaving_the_generator_as_it_was(masks, generator):
    twin = torch.Generator()
    twin.set_state(generator.get_state())
    return by_permuting(masks, twin)


@right("shuffled_masks")
def by_pythons_dice(masks, generator):
    dice, found = random.Random(generator.initial_seed()), {}
    for name, mask in masks.items():
        row = mask.flatten().tolist()
        dice.shuffle(row)
        found[name] = torch.tensor(row, dtype=torch.int64).view(mask.shape)
    return found


@right("shuffled_masks")
def by_torchs_own_dice(masks, generator):
    torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
    return {n: m.flatten()[torch.randperm(m.numel())].view(m.shape) for n, m in masks.items()}


@right("shuffled_masks")
def never_the_same_places(masks, generator):
    found = {}
    for name, mask in masks.items():
        while True:
            found[name] = by_permuting({name: mask}, generator)[name]
            if mask.unique().numel() < 2 or not torch.equal(found[name], mask):
                break
    return found


@wrong("shuffled_masks", "in the same state gave different masks")
def ignores_the_generator(masks, generator):
    return {n: m.flatten()[torch.randperm(m.numel())].view(m.shape) for n, m in masks.items()}


@wrong("shuffled_masks", "a generator with another seed gave the same masks")
def sets_a_seed_of_its_own(masks, generator):
    return by_permuting(masks, generator.manual_seed(0))


@wrong("shuffled_masks", "nothing has moved")
def copies_masks(masks, generator):
    return {name: mask.clone() for name, mask in masks.items()}


@wrong("shuffled_masks", "had rows that were kept")
def moves_whole_rows(masks, generator):
    return {
        name: mask[torch.randperm(len(mask), generator=generator)] for name, mask in masks.items()
    }


@wrong("shuffled_masks", "had columns that were kept")
def shuffles_within_columns(masks, generator):
    return {
        name: mask.gather(0, torch.rand(mask.shape, generator=generator).argsort(0))
        for name, mask in masks.items()
    }


@wrong("shuffled_masks", "were shuffled into one another")
def shuffles_all_together(masks, generator):
    if not masks:
        return {}
    row = torch.cat([mask.flatten() for mask in masks.values()])
    row = row[torch.randperm(len(row), generator=generator)]
    pieces = row.split([mask.numel() for mask in masks.values()])
    return {n: p.view(m.shape) for (n, m), p in zip(masks.items(), pieces, strict=True)}


@wrong("shuffled_masks", "exactly the same")
def draws_each_place(masks, generator):
    found = {}
    for name, mask in masks.items():
        share = (mask != 0).double().mean() + 0.2
        found[name] = torch.rand(mask.shape, generator=generator) < share
    return found


@wrong("shuffled_masks", "in the same way. Draw anew")
def starts_again_for_each_layer(masks, generator):
    start, found = generator.get_state(), {}
    for name, mask in masks.items():
        generator.set_state(start)
        found |= by_permuting({name: mask}, generator)
    return found


@wrong("shuffled_masks", "should be equally likely")
def swaps_one_pair(masks, generator):
    found = {}
    for name, mask in masks.items():
        row = mask.flatten().clone()
        kept, free = (row != 0).nonzero().flatten(), (row == 0).nonzero().flatten()
        if len(kept) and len(free):
            one = kept[torch.randint(len(kept), (), generator=generator)]
            other = free[torch.randint(len(free), (), generator=generator)]
            row[one], row[other] = 0, 1
        found[name] = row.view(mask.shape)
    return found


@wrong("shuffled_masks", "its 0.weight are not what they were")
def shuffles_in_place(masks, generator):
    for name, mask in by_permuting(masks, generator).items():
        masks[name].copy_(mask)
    return masks


@wrong("shuffled_masks", "view size is not compatible")
def takes_masks_for_contiguous(masks, generator):
    return {
        n: m.view(-1)[torch.randperm(m.numel(), generator=generator)].view(m.shape)
        for n, m in masks.items()
    }


@wrong("shuffled_masks", "the mask has shape")
def leaves_shuffles_flat(masks, generator):
    return {name: mask.flatten() for name, mask in by_permuting(masks, generator).items()}


@wrong("shuffled_masks", "a dictionary from name to mask")
def gives_masks_only(masks, generator):
    return list(by_permuting(masks, generator).values())


@wrong("shuffled_masks", "a mask is a tensor")
def gives_nested_lists(masks, generator):
    return {name: mask.tolist() for name, mask in by_permuting(masks, generator).items()}


# snip_scores --------------------------------------------------------------------------------


def scored(model):
    weights = {}
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        if all(module.weight is not weight for weight in weights.values()):
            weights[f"{name}.weight" if name else "weight"] = module.weight
    return weights


def products(model, x, y, score=lambda w, g: (w * g).abs(), reduction="mean"):
    """A score for each weight, taken in eval mode; modes come back."""
    weights = scored(model)
    if not weights:
        return {}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        loss = cross_entropy(model(x), y, reduction=reduction)
        slopes = torch.autograd.grad(loss, list(weights.values()))
    finally:
        for module, training in modes:
            module.training = training
    pairs = zip(weights.items(), slopes, strict=True)
    return {name: score(weight.detach(), slope) for (name, weight), slope in pairs}


def shares(scores, total=None):
    total = sum(float(s.double().sum()) for s in scores.values()) if total is None else total
    return {name: score / total if total else score for name, score in scores.items()}


def scored_modules(model):
    """As `scored`, whatever the module."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            found.setdefault(id(module.weight), f"{name}.weight" if name else "weight")
    return found


@right("snip_scores")
def by_autograd(model, x, y):
    return shares(products(model, x, y))


@right("snip_scores")
def with_a_sum_of_losses(model, x, y):
    return shares(products(model, x, y, reduction="sum"))


@right("snip_scores")
def on_a_copy(model, x, y):
    twin = copy.deepcopy(model).eval()
    twin.zero_grad()
    nll_loss(log_softmax(twin(x), 1), y).backward() if scored(twin) else None
    return shares({n: w.grad.mul(w.detach()).abs() for n, w in scored(twin).items()})


@right("snip_scores")
def by_scaling_connections(model, x, y):
    """As in the paper: the slope of the loss to a factor of 1 on every connection."""
    twin = copy.deepcopy(model).eval()
    names = scored_modules(twin)
    factors = {n: torch.ones_like(twin.get_parameter(n)).requires_grad_() for n in names.values()}
    if not factors:
        return {}
    state = {}
    for name, parameter in twin.named_parameters():
        known = names.get(id(parameter))
        state[name] = parameter.detach() * (factors[known] if known else 1)
    loss = cross_entropy(functional_call(twin, state, (x,)), y)
    slopes = torch.autograd.grad(loss, list(factors.values()))
    return shares({n: s.abs() for n, s in zip(factors, slopes, strict=True)})


@wrong("snip_scores", "these have signs")
def forgets_the_size(model, x, y):
    signed = products(model, x, y, lambda w, g: w * g)
    return shares(signed, sum(float(s.abs().sum()) for s in signed.values()))


@wrong("snip_scores", "only the gradient is in these")
def forgets_the_weight(model, x, y):
    return shares(products(model, x, y, lambda w, g: g.abs()))


@wrong("snip_scores", "only the weight is in these")
def forgets_the_gradient(model, x, y):
    return shares(products(model, x, y, lambda w, g: w.abs()))


@wrong("snip_scores", "as Taylor scores are")
def squares(model, x, y):
    return shares(products(model, x, y, lambda w, g: (w * g) ** 2))


@wrong("snip_scores", "softmax was applied before")
def applies_softmax_twice(model, x, y):
    twin = copy.deepcopy(model)
    twin.register_forward_hook(lambda module, given, output: output.softmax(1))
    return shares(products(twin, x, y))


@wrong("snip_scores", "these are not normalised")
def leaves_them_as_they_are(model, x, y):
    return products(model, x, y)


@wrong("snip_scores", "each layer sums to 1")
def normalises_each_layer(model, x, y):
    return {
        n: s for name, one in products(model, x, y).items() for n, s in shares({name: one}).items()
    }


@wrong("snip_scores", "divided by the largest score")
def divides_by_the_largest(model, x, y):
    raw = products(model, x, y)
    return shares(raw, max((float(s.max()) for s in raw.values()), default=0))


@wrong("snip_scores", "not to 1. Is there more in your total")
def counts_biases_in(model, x, y):
    twin = copy.deepcopy(model).eval()
    raw = products(model, x, y)
    if not raw:
        return {}
    slopes = torch.autograd.grad(cross_entropy(twin(x), y), list(twin.parameters()))
    pairs = zip(twin.parameters(), slopes, strict=True)
    return shares(raw, sum(float((p.detach() * g).abs().sum()) for p, g in pairs))


@wrong("snip_scores", "gradients that the model had before")
def adds_to_old_gradients(model, x, y):
    twin = copy.deepcopy(model).eval()
    for one, other in zip(twin.parameters(), model.parameters(), strict=True):
        one.grad = other.grad.clone()
    cross_entropy(twin(x), y).backward() if scored(twin) else None
    return shares({n: (w.detach() * w.grad).abs() for n, w in scored(twin).items()})


@wrong("snip_scores", "in eval mode, as shares of 1")
def runs_in_training_mode(model, x, y):
    twin = copy.deepcopy(model).train()
    twin.eval = lambda: twin
    return shares(products(twin, x, y))


@wrong("snip_scores", "these are NaN")
def divides_by_nothing(model, x, y):
    raw = products(model, x, y)
    total = sum(score.sum() for score in raw.values())
    return {name: score / total for name, score in raw.items()}


@wrong("snip_scores", "after the call its gradients are not")
def leaves_gradients(model, x, y):
    found = by_autograd(model, x, y)
    model.zero_grad()
    return found


@wrong("snip_scores", "after the call its modes are not")
def stays_in_eval_mode(model, x, y):
    found = by_autograd(model, x, y)
    model.eval()
    return found


@wrong("snip_scores", "'0' is a layer")
def names_layers(model, x, y):
    return {n.removesuffix(".weight"): s for n, s in by_autograd(model, x, y).items()}


@wrong("snip_scores", "Return a dictionary: parameter name")
def gives_a_row(model, x, y):
    return torch.cat([score.flatten() for score in by_autograd(model, x, y).values()])


@wrong("snip_scores", "this raised")
def needs_something_to_prune(model, x, y):
    return by_autograd(model, x, y) if scored(model) else torch.autograd.grad(x.sum(), [])


# paired_difference --------------------------------------------------------------------------


def paired(a, b):
    if len(a) < 2:
        raise ValueError(f"{len(a)} results do not do")
    return [one - other for one, other in zip(a, b, strict=True)]


@right("paired_difference")
def with_statistics(a, b):
    gaps = paired(a, b)
    return statistics.mean(gaps), statistics.stdev(gaps) / len(gaps) ** 0.5


@right("paired_difference")
def with_numpy(a, b):
    gaps = numpy.array(paired(a, b))
    return gaps.mean(), gaps.std(ddof=1) / numpy.sqrt(len(gaps))


@right("paired_difference")
def with_torch(a, b):
    gaps = torch.tensor(paired(a, b), dtype=torch.float64)
    return [gaps.mean(), gaps.std() / len(gaps) ** 0.5]


@right("paired_difference")
def in_single_precision(a, b):
    if len(a) == 1:
        raise ValueError("one pair")
    gaps = torch.tensor(a) - torch.tensor(b)
    return gaps.mean(), (gaps.var() / len(gaps)).sqrt()


@right("paired_difference")
def by_covariance(a, b):
    """The variances of both, less what they have in common."""
    paired(a, b)
    table = numpy.cov(numpy.array(a, dtype=float), numpy.array(b, dtype=float))
    variance = table[0, 0] + table[1, 1] - 2 * table[0, 1]
    return numpy.mean(a) - numpy.mean(b), math.sqrt(max(variance, 0) / len(a))


@wrong("paired_difference", "divide the squares by n - 1")
def divides_squares_by_n(a, b):
    gaps = paired(a, b)
    return statistics.mean(gaps), statistics.pstdev(gaps) / len(gaps) ** 0.5


@wrong("paired_difference", "standard deviation of single differences")
def gives_the_deviation(a, b):
    gaps = paired(a, b)
    return statistics.mean(gaps), statistics.stdev(gaps)


@wrong("paired_difference", "two unpaired groups")
def forgets_the_pairs(a, b):
    paired(a, b)
    variance = statistics.variance(a) + statistics.variance(b)
    return statistics.mean(a) - statistics.mean(b), (variance / len(a)) ** 0.5


@wrong("paired_difference", "mean of b - a")
def subtracts_the_wrong_way(a, b):
    return with_statistics(b, a)


@wrong("paired_difference", "keep their sign")
def takes_sizes(a, b):
    return with_statistics([abs(gap) for gap in paired(a, b)], [0] * len(a))


@wrong("paired_difference", "the median of the differences")
def takes_the_median(a, b):
    return statistics.median(paired(a, b)), with_statistics(a, b)[1]


@wrong("paired_difference", "the mean difference is")
def in_percent(a, b):
    return tuple(100 * number for number in with_statistics(a, b))


@wrong("paired_difference", "square root of n, not by n")
def divides_by_n(a, b):
    gaps = paired(a, b)
    return statistics.mean(gaps), statistics.stdev(gaps) / len(gaps)


@wrong("paired_difference", "the root is missing")
def forgets_the_root(a, b):
    gaps = paired(a, b)
    return statistics.mean(gaps), statistics.variance(gaps) / len(gaps)


@wrong("paired_difference", "the standard error is 0.333333, and 0.666667")
def doubles_the_error(a, b):
    mean, error = with_statistics(a, b)
    return mean, 2 * error


@wrong("paired_difference", "2.33333 came back. Return two")
def gives_the_mean_only(a, b):
    return with_statistics(a, b)[0]


@wrong("paired_difference", ", 3) came back. Return two")
def gives_the_count_too(a, b):
    return (*with_statistics(a, b), len(a))


@wrong("paired_difference", "should be the standard error")
def writes_it_out(a, b):
    mean, error = with_statistics(a, b)
    return mean, f"+- {error:.3f}"


@wrong("paired_difference", "one pair says nothing")
def sees_no_error_in_one(a, b):
    return with_statistics(a, b) if len(a) > 1 else (a[0] - b[0], 0.0)
