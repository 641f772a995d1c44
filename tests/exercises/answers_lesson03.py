"""Answers to lesson 03."""

import copy
import math

import numpy
import torch
from bank import right, wrong
from torch import nn
from torch.nn.functional import cross_entropy, log_softmax, nll_loss
from torch.nn.utils import prune


def share_checked(share):
    if not (share >= 0 and share <= 1):
        raise ValueError(f"{share} is not between 0 and 1")


# magnitude_mask -----------------------------------------------------------------------------


@right("magnitude_mask")
def by_topk(weight, sparsity):
    share_checked(sparsity)
    n = weight.numel()
    mask = torch.zeros(n)
    mask[weight.abs().reshape(-1).topk(n - round(sparsity * n)).indices] = 1
    return mask.reshape(weight.shape)


@right("magnitude_mask")
def in_numpy(weight, sparsity):
    share_checked(sparsity)
    sizes = numpy.abs(weight.numpy()).ravel()
    mask = numpy.ones(sizes.size, dtype=numpy.int64)
    mask[numpy.argsort(sizes, kind="stable")[: round(sparsity * sizes.size)]] = 0
    return torch.from_numpy(mask.reshape(weight.shape))


@right("magnitude_mask")
def one_by_one(weight, sparsity):
    share_checked(sparsity)
    sizes, mask = weight.abs().double(), torch.ones_like(weight)
    for _ in range(round(sparsity * weight.numel())):
        place = numpy.unravel_index(int(sizes.argmin()), sizes.shape)
        mask[place], sizes[place] = 0, math.inf
    return mask


@right("magnitude_mask")
def by_pytorchs_own(weight, sparsity):
    share_checked(sparsity)
    if weight.numel() == 0:
        return torch.ones_like(weight)
    layer = nn.Module()
    layer.weight = nn.Parameter(weight.clone().contiguous())
    prune.l1_unstructured(layer, "weight", amount=float(sparsity))
    return layer.weight_mask


@wrong("magnitude_mask", "not the one that stays")
def keeps_the_share(weight, sparsity):
    share_checked(sparsity)
    return by_topk(weight, 1 - sparsity)


@wrong("magnitude_mask", "-3 outweighs 2")
def forgets_the_sign(weight, sparsity):
    share_checked(sparsity)
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[weight.flatten().argsort()[: round(sparsity * weight.numel())]] = False
    return mask.view(weight.shape)


@wrong("magnitude_mask", "the other way round")
def removes_the_largest(weight, sparsity):
    share_checked(sparsity)
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    order = weight.abs().flatten().argsort(descending=True)
    mask[order[: round(sparsity * weight.numel())]] = False
    return mask.view(weight.shape)


@wrong("magnitude_mask", "you kept 1 of 8 weights instead of 4: several tie")
def compares_with_the_limit(weight, sparsity):
    share_checked(sparsity)
    gone = round(sparsity * weight.numel())
    if gone == 0:
        return torch.ones_like(weight)
    return weight.abs() > weight.abs().flatten().sort().values[gone - 1]


@wrong("magnitude_mask", "you kept 6 of 8 weights instead of 4: several tie")
def spares_the_limit(weight, sparsity):
    share_checked(sparsity)
    stay = weight.numel() - round(sparsity * weight.numel())
    if stay == 0:
        return torch.zeros_like(weight)
    return weight.abs() >= weight.abs().flatten().sort(descending=True).values[stay - 1]


@wrong("magnitude_mask", "you kept 9 of 10 weights instead of 8.")
def keeps_what_is_at_the_limit(weight, sparsity):
    share_checked(sparsity)
    if weight.numel() == 0:
        return torch.ones_like(weight)
    gone = max(round(sparsity * weight.numel()), 1)
    return weight.abs() >= weight.abs().flatten().kthvalue(gone).values


@wrong("magnitude_mask", "cuts it off")
def truncates(weight, sparsity):
    share_checked(sparsity)
    n = weight.numel()
    mask = torch.ones(n)
    mask[weight.abs().flatten().argsort()[: int(sparsity * n)]] = 0
    return mask.view(weight.shape)


@wrong("magnitude_mask", "you kept 7 of 10 weights instead of 8.")
def removes_one_too_many(weight, sparsity):
    share_checked(sparsity)
    n = weight.numel()
    mask = torch.ones(n)
    mask[weight.abs().flatten().argsort()[: round(sparsity * n) + 1]] = 0
    return mask.view(weight.shape)


@wrong("magnitude_mask", "takes everything, not nothing")
def slices_from_the_end(weight, sparsity):
    share_checked(sparsity)
    n = weight.numel()
    mask = torch.zeros(n)
    mask[weight.abs().flatten().argsort()[-(n - round(sparsity * n)) :]] = 1
    return mask.view(weight.shape)


@wrong("magnitude_mask", "the weights that stay")
def gives_the_weights(weight, sparsity):
    return weight * by_topk(weight, sparsity)


@wrong("magnitude_mask", "and nothing else")
def gives_sizes(weight, sparsity):
    return 2 * by_topk(weight, sparsity)


@wrong("magnitude_mask", "says for every weight")
def stays_flat(weight, sparsity):
    return by_topk(weight, sparsity).flatten()


@wrong("magnitude_mask", "a mask is a tensor")
def gives_a_list(weight, sparsity):
    return by_topk(weight, sparsity).tolist()


@wrong("magnitude_mask", "should raise ValueError")
def takes_any_share(weight, sparsity):
    sparsity = 0 if sparsity != sparsity else min(max(sparsity, 0), 1)
    return by_topk(weight, sparsity)


@wrong("magnitude_mask", "the call changed its input")
def prunes_in_place(weight, sparsity):
    mask = by_topk(weight, sparsity)
    weight *= mask
    return mask


@wrong("magnitude_mask", "goes while one of size")
def chooses_at_random(weight, sparsity):
    share_checked(sparsity)
    mask = torch.ones(weight.numel())
    mask[torch.randperm(weight.numel())[: round(sparsity * weight.numel())]] = 0
    return mask.view(weight.shape)


# global_masks -------------------------------------------------------------------------------


@right("global_masks")
def by_one_row(weights, sparsity):
    share_checked(sparsity)
    if not weights:
        return {}
    row = by_topk(torch.cat([weight.flatten() for weight in weights.values()]), sparsity)
    masks, start = {}, 0
    for name, weight in weights.items():
        masks[name] = row[start : start + weight.numel()].view(weight.shape)
        start += weight.numel()
    return masks


@right("global_masks")
def by_a_list_of_all(weights, sparsity):
    share_checked(sparsity)
    ranked = sorted(
        (abs(value), name, place)
        for name, weight in weights.items()
        for place, value in enumerate(weight.flatten().tolist())
    )
    masks = {name: numpy.ones(weight.numel(), dtype=bool) for name, weight in weights.items()}
    for _, name, place in ranked[: round(sparsity * len(ranked))]:
        masks[name][place] = False
    return {n: torch.from_numpy(masks[n]).view(weight.shape) for n, weight in weights.items()}


@right("global_masks")
def by_a_limit_and_a_count(weights, sparsity):
    share_checked(sparsity)
    total = sum(weight.numel() for weight in weights.values())
    gone = round(sparsity * total)
    if gone == 0:
        return {name: torch.ones_like(weight) for name, weight in weights.items()}
    limit = torch.cat([w.abs().flatten() for w in weights.values()]).kthvalue(gone).values
    masks = {name: weight.abs() > limit for name, weight in weights.items()}
    spare = total - gone - sum(int(mask.sum()) for mask in masks.values())
    for name, weight in weights.items():
        equal = (weight.abs() == limit).nonzero()[:spare]
        masks[name][tuple(equal.T)] = True
        spare -= len(equal)
    return masks


@wrong("global_masks", "they were ranked one by one")
def goes_layer_by_layer(weights, sparsity):
    return {name: by_topk(weight, sparsity) for name, weight in weights.items()}


@wrong("global_masks", "you kept 21 of 22 weights instead of 13: several tie")
def uses_a_percentile(weights, sparsity):
    share_checked(sparsity)
    if not weights:
        return {}
    row = numpy.concatenate([w.abs().double().numpy().ravel() for w in weights.values()])
    stay = row.size - round(sparsity * row.size)
    limit = numpy.sort(row)[::-1][stay - 1] if stay else math.inf
    return {name: weight.abs() >= limit for name, weight in weights.items()}


@wrong("global_masks", "you kept 1 of 22 weights instead of 13: several tie")
def compares_all_with_the_limit(weights, sparsity):
    share_checked(sparsity)
    if not weights:
        return {}
    row = torch.cat([weight.abs().flatten() for weight in weights.values()]).sort().values
    gone = round(sparsity * len(row))
    limit = row[gone - 1] if gone else -1
    return {name: weight.abs() > limit for name, weight in weights.items()}


@wrong("global_masks", "not the one that stays")
def keeps_the_share_of_all(weights, sparsity):
    share_checked(sparsity)
    return by_one_row(weights, 1 - sparsity)


@wrong("global_masks", "-3 outweighs 2")
def forgets_the_signs(weights, sparsity):
    lift = max([10.0, *(float(w.abs().max()) for w in weights.values() if w.numel())])
    return by_one_row({name: weight + 2 * lift for name, weight in weights.items()}, sparsity)


@wrong("global_masks", "the other way round")
def removes_the_largest_of_all(weights, sparsity):
    return by_one_row({name: 1 / weight for name, weight in weights.items()}, sparsity)


@wrong("global_masks", "goes while one of size")
def chooses_among_all_at_random(weights, sparsity):
    return by_one_row({name: torch.rand_like(weight) for name, weight in weights.items()}, sparsity)


@wrong("global_masks", "a dictionary from name to mask")
def gives_one_row(weights, sparsity):
    return list(by_one_row(weights, sparsity).values())


@wrong("global_masks", "says for every weight")
def leaves_pieces_flat(weights, sparsity):
    return {name: mask.flatten() for name, mask in by_one_row(weights, sparsity).items()}


@wrong("global_masks", "there is no mask for '0.weight'")
def leaves_out_the_first(weights, sparsity):
    masks = by_one_row(weights, sparsity)
    return {name: mask for name, mask in masks.items() if name != next(iter(weights))}


@wrong("global_masks", "none of the weights")
def adds_a_total(weights, sparsity):
    return {**by_one_row(weights, sparsity), "total": torch.ones(1)}


@wrong("global_masks", "non-empty list")
def needs_a_weight(weights, sparsity):
    share_checked(sparsity)
    torch.cat([weight.flatten() for weight in weights.values()])
    return by_one_row(weights, sparsity)


@wrong("global_masks", "cuts it off")
def truncates_the_total(weights, sparsity):
    share_checked(sparsity)
    total = sum(weight.numel() for weight in weights.values())
    return by_one_row(weights, int(sparsity * total) / max(total, 1))


@wrong("global_masks", "should raise ValueError")
def takes_any_share_of_all(weights, sparsity):
    return by_one_row(weights, 0 if sparsity != sparsity else min(max(sparsity, 0), 1))


@wrong("global_masks", "there is no mask for 'scale'")
def passes_over_single_rows(weights, sparsity):
    return by_one_row({n: w for n, w in weights.items() if w.dim() > 1}, sparsity)


# apply_masks --------------------------------------------------------------------------------


def masks_checked(model, masks):
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters or mask.shape != parameters[name].shape:
            raise ValueError(f"{name} does not fit")
    return parameters


@right("apply_masks")
def by_where(model, masks):
    parameters = masks_checked(model, masks)
    for name, mask in masks.items():
        weight = parameters[name]
        weight.data = torch.where(mask.bool(), weight.data, torch.zeros_like(weight))


@right("apply_masks")
def by_index(model, masks):
    masks_checked(model, masks)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in masks:
                weight[masks[name] == 0] = 0.0
    return model


@right("apply_masks")
def by_multiplying_and_mending(model, masks):
    parameters = masks_checked(model, masks)
    for name, mask in masks.items():
        weight = parameters[name].detach()
        weight.mul_(mask)
        weight[(mask == 0) & weight.isnan()] = 0


@right("apply_masks")
def through_the_state_dict(model, masks):
    masks_checked(model, masks)
    state = model.state_dict()
    for name, mask in masks.items():
        state[name] = state[name].masked_fill(~mask.bool(), 0)
    model.load_state_dict(state)


@wrong("apply_masks", "'2.bias' is what it was before")
def masks_layers_only(model, masks):
    masks_checked(model, masks)
    for name, module in model.named_modules():
        mask = masks.get(f"{name}.weight" if name else "weight")
        if isinstance(module, nn.Linear | nn.Conv2d) and mask is not None:
            module.weight.data.masked_fill_(mask == 0, 0)


@wrong("apply_masks", "is now NaN")
def multiplies(model, masks):
    parameters = masks_checked(model, masks)
    for name, mask in masks.items():
        parameters[name].data.mul_(mask)


@wrong("apply_masks", "'0.weight' is what it was before")
def changes_a_copy(model, masks):
    masks_checked(model, masks)
    by_index(copy.deepcopy(model), masks)


@wrong("apply_masks", "is a new object after the call")
def makes_new_parameters(model, masks):
    parameters = masks_checked(model, masks)
    for name, mask in masks.items():
        path, _, last = name.rpartition(".")
        new = parameters[name].detach().masked_fill(mask == 0, 0)
        setattr(model.get_submodule(path), last, nn.Parameter(new))


@wrong("apply_masks", "and what it removes is still there")
def removes_what_should_stay(model, masks):
    parameters = masks_checked(model, masks)
    for name, mask in masks.items():
        parameters[name].data.masked_fill_(mask != 0, 0)


@wrong("apply_masks", "leaf")
def forgets_no_grad(model, masks):
    parameters = masks_checked(model, masks)
    for name, mask in masks.items():
        parameters[name].masked_fill_(mask == 0, 0)


@wrong("apply_masks", "KeyError")
def knows_every_name(model, masks):
    parameters = dict(model.named_parameters())
    if any(name in parameters and parameters[name].shape != m.shape for name, m in masks.items()):
        raise ValueError("a mask does not fit")
    for name in masks:
        parameters[name]
    by_index(model, masks)


@wrong("apply_masks", "should raise ValueError")
def lets_masks_be_repeated(model, masks):
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters or mask.numel() not in (parameters[name].numel(), mask.shape[-1]):
            raise ValueError("a mask does not fit")
        if mask.shape[-1] == parameters[name].shape[-1]:
            by_index(model, {name: mask.expand_as(parameters[name])})


@wrong("apply_masks", "has no mask and must stay")
def zeroes_the_biases_too(model, masks):
    by_index(model, masks)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)


@wrong("apply_masks", "has lost its value")
def replaces_every_nan(model, masks):
    by_index(model, masks)
    for name in masks:
        model.get_parameter(name).data.nan_to_num_()


@wrong("apply_masks", "'features.0.weight' is what it was before")
def looks_at_children(model, masks):
    masks_checked(model, masks)
    near = {n for n, _ in model.named_parameters() if n.count(".") < 2}
    by_index(model, {name: mask for name, mask in masks.items() if name in near})


@wrong("apply_masks", "the masks have changed")
def turns_masks_round(model, masks):
    by_index(model, masks)
    for mask in masks.values():
        mask.copy_(mask == 0)


@wrong("apply_masks", "the model's gradients are not")
def clears_gradients(model, masks):
    by_index(model, masks)
    model.zero_grad()


@wrong("apply_masks", "the model's hooks are not")
def adds_a_hook(model, masks):
    by_index(model, masks)
    model.register_forward_pre_hook(lambda *_: by_index(model, masks))


@wrong("apply_masks", "there is no parameter")
def leaves_it_to_pytorch(model, masks):
    masks_checked(model, masks)
    for name, mask in masks.items():
        path, _, last = name.rpartition(".")
        if mask.is_floating_point() or mask.dtype == torch.bool:
            prune.custom_from_mask(model.get_submodule(path), last, mask)


# train_step ---------------------------------------------------------------------------------


def ordinary_step(model, optimizer, x, y):
    model.train()
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def mask_gradients(model, masks):
    for name, mask in masks.items():
        model.get_parameter(name).grad *= mask


@right("train_step")
def masks_afterwards(model, optimizer, masks, x, y):
    loss = ordinary_step(model, optimizer, x, y)
    by_index(model, masks)
    return loss


@right("train_step")
def masks_everything(model, optimizer, masks, x, y):
    model.train()
    loss = nll_loss(log_softmax(model(x), dim=1), y)
    model.zero_grad(set_to_none=False)
    loss.backward()
    mask_gradients(model, masks)
    optimizer.step()
    for name, mask in masks.items():
        model.get_parameter(name).data.mul_(mask)
    model.eval()
    return loss.detach()


@right("train_step")
def makes_the_optimizer_forget(model, optimizer, masks, x, y):
    model.train()
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    mask_gradients(model, masks)
    for name, mask in masks.items():
        parameter = model.get_parameter(name)
        for memory in optimizer.state[parameter].values():
            if isinstance(memory, torch.Tensor) and memory.shape == mask.shape:
                memory *= mask
    optimizer.step()
    return float(loss)


@right("train_step")
def with_a_hook(model, optimizer, masks, x, y):
    hook = optimizer.register_step_post_hook(lambda *_: by_index(model, masks))
    try:
        return ordinary_step(model, optimizer, x, y)
    finally:
        hook.remove()


@wrong("train_step", "Momentum carries a weight on")
def masks_gradients_only(model, optimizer, masks, x, y):
    model.train()
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    mask_gradients(model, masks)
    optimizer.step()
    return loss.item()


@wrong("train_step", "The step moves every weight that has a gradient")
def masks_before(model, optimizer, masks, x, y):
    by_index(model, masks)
    return ordinary_step(model, optimizer, x, y)


@wrong("train_step", "Adam remembers, and moves")
def knows_momentum_only(model, optimizer, masks, x, y):
    for name, mask in masks.items():
        memory = optimizer.state[model.get_parameter(name)].get("momentum_buffer")
        if memory is not None:
            memory *= mask
    return masks_gradients_only(model, optimizer, masks, x, y)


@wrong("train_step", "the losses of three steps")
def averages_the_losses(model, optimizer, masks, x, y):
    optimizer.losses = [
        *getattr(optimizer, "losses", []),
        masks_afterwards(model, optimizer, masks, x, y),
    ]
    return sum(optimizer.losses) / len(optimizer.losses)


@wrong("train_step", "a step in eval mode")
def stays_in_eval_mode(model, optimizer, masks, x, y):
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    by_index(model, masks)
    return loss.item()


@wrong("train_step", "the last step's gradients")
def never_clears(model, optimizer, masks, x, y):
    model.train()
    loss = cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    by_index(model, masks)
    return loss.item()


@wrong("train_step", "clear them first, not last")
def clears_afterwards(model, optimizer, masks, x, y):
    loss = never_clears(model, optimizer, masks, x, y)
    optimizer.zero_grad()
    return loss


@wrong("train_step", "the optimizer's memory is gone")
def throws_the_memory_away(model, optimizer, masks, x, y):
    optimizer.state.clear()
    return masks_afterwards(model, optimizer, masks, x, y)


@wrong("train_step", "is the loss after the step")
def returns_the_loss_afterwards(model, optimizer, masks, x, y):
    masks_afterwards(model, optimizer, masks, x, y)
    model.eval()
    with torch.no_grad():
        return cross_entropy(model(x), y).item()


@wrong("train_step", "Return the loss, a number")
def returns_nothing(model, optimizer, masks, x, y):
    masks_afterwards(model, optimizer, masks, x, y)


@wrong("train_step", "no weight has moved")
def makes_no_step(model, optimizer, masks, x, y):
    model.train()
    optimizer.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    return loss.item()


@wrong("train_step", "summed over the images")
def adds_the_losses_up(model, optimizer, masks, x, y):
    return masks_afterwards(model, optimizer, masks, x, y) * len(x)


@wrong("train_step", "where the optimizer's own step takes them")
def makes_its_own_step(model, optimizer, masks, x, y):
    model.train()
    model.zero_grad()
    loss = cross_entropy(model(x), y)
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.01 * parameter.grad
    by_index(model, masks)
    return loss.item()


@wrong("train_step", "exactly once")
def runs_them_through_twice(model, optimizer, masks, x, y):
    model.train()
    model(x)
    return masks_afterwards(model, optimizer, masks, x, y)


@wrong("train_step", "the optimizer holds the old one")
def steps_on_new_parameters(model, optimizer, masks, x, y):
    loss = ordinary_step(model, optimizer, x, y)
    makes_new_parameters(model, masks)
    return loss


@wrong("train_step", "the next step needs them")
def spoils_the_masks(model, optimizer, masks, x, y):
    loss = masks_afterwards(model, optimizer, masks, x, y)
    for name in masks:
        masks[name] = torch.ones_like(masks[name])
    return loss


@wrong("train_step", "the cross-entropy is")
def trains_on_another_loss(model, optimizer, masks, x, y):
    model.train()
    optimizer.zero_grad()
    loss = (model(x) - nn.functional.one_hot(y, 4)).square().mean()
    loss.backward()
    optimizer.step()
    by_index(model, masks)
    return loss.item()


# remaining_after ----------------------------------------------------------------------------


def rounds_checked(rounds, fraction):
    if rounds < 0:
        raise ValueError("rounds cannot be negative")
    share_checked(fraction)


@right("remaining_after")
def by_powers(rounds, fraction):
    rounds_checked(rounds, fraction)
    return float(numpy.prod(numpy.full(rounds, 1 - fraction)))


@right("remaining_after")
def round_by_round(rounds, fraction):
    rounds_checked(rounds, fraction)
    left = 1.0
    for _ in range(rounds):
        left -= fraction * left
    return left


@wrong("remaining_after", "not from the beginning")
def subtracts(rounds, fraction):
    rounds_checked(rounds, fraction)
    return 1 - rounds * fraction


@wrong("remaining_after", "so it never takes everything")
def subtracts_down_to_nothing(rounds, fraction):
    rounds_checked(rounds, fraction)
    return max(0.0, 1 - rounds * fraction)


@wrong("remaining_after", "the share that is gone")
def gives_what_is_gone(rounds, fraction):
    return 1 - by_powers(rounds, fraction)


@wrong("remaining_after", "is what a round takes")
def multiplies_what_is_taken(rounds, fraction):
    rounds_checked(rounds, fraction)
    return fraction**rounds


@wrong("remaining_after", "this is a percentage")
def gives_percent(rounds, fraction):
    return 100 * by_powers(rounds, fraction)


@wrong("remaining_after", "of the weights are left, and")
def counts_one_round_more(rounds, fraction):
    return by_powers(rounds, fraction) * (1 - fraction)


@wrong("remaining_after", "should raise ValueError")
def takes_anything(rounds, fraction):
    return (1 - fraction) ** rounds


@wrong("remaining_after", "a number is asked for")
def gives_every_round(rounds, fraction):
    return [by_powers(n, fraction) for n in range(rounds + 1)]


# n_m_mask -----------------------------------------------------------------------------------


def groups_checked(weight, n, m):
    if weight.shape[1] % m:
        raise ValueError(f"{m} does not divide {weight.shape[1]}")
    if n > m or n < 0:
        raise ValueError(f"cannot keep {n} of {m}")


@right("n_m_mask")
def by_topk_in_groups(weight, n, m):
    groups_checked(weight, n, m)
    groups = weight.abs().reshape(-1, m)
    mask = torch.zeros_like(groups).scatter(1, groups.topk(n, dim=1).indices, 1)
    return mask.view(weight.shape)


@right("n_m_mask")
def by_loops(weight, n, m):
    groups_checked(weight, n, m)
    mask = numpy.zeros(weight.shape, dtype=numpy.uint8)
    for row, values in enumerate(weight.tolist()):
        for start in range(0, len(values), m):
            order = sorted(range(start, start + m), key=lambda place: -abs(values[place]))
            mask[row, order[:n]] = 1
    return torch.from_numpy(mask)


@right("n_m_mask")
def by_ranks(weight, n, m):
    groups_checked(weight, n, m)
    groups = weight.abs().unflatten(1, (-1, m))
    ranks = groups.argsort(dim=-1, stable=True).argsort(-1)
    return (ranks >= m - n).flatten(1)


@wrong("n_m_mask", "ones (stay) and zeros")
def gives_pruned_weights(weight, n, m):
    return weight * by_topk_in_groups(weight, n, m)


@wrong("n_m_mask", "and here")
def prunes_n(weight, n, m):
    groups_checked(weight, n, m)
    return by_topk_in_groups(weight, m - n, m)


@wrong("n_m_mask", "the smallest stay")
def keeps_the_smallest_of_each(weight, n, m):
    groups_checked(weight, n, m)
    groups = weight.abs().reshape(-1, m)
    places = groups.topk(n, dim=1, largest=False).indices
    return torch.zeros_like(groups).scatter(1, places, 1).view(weight.shape)


@wrong("n_m_mask", "Mind the sign")
def forgets_the_sign_in_groups(weight, n, m):
    groups_checked(weight, n, m)
    groups = weight.reshape(-1, m)
    places = groups.topk(n, dim=1).indices
    return torch.zeros_like(groups).scatter(1, places, 1).view(weight.shape)


@wrong("n_m_mask", "follow one another in a row")
def takes_every_other(weight, n, m):
    groups_checked(weight, n, m)
    rows, columns = weight.shape
    groups = weight.abs().reshape(rows, m, columns // m)
    places = groups.topk(n, dim=1).indices
    return torch.zeros_like(groups).scatter(1, places, 1).view(weight.shape)


@wrong("n_m_mask", "down the columns")
def goes_down_the_columns(weight, n, m):
    groups_checked(weight, n, m)
    groups = weight.abs().T.reshape(weight.shape[1], -1, m)
    places = groups.topk(n, dim=2).indices
    return torch.zeros_like(groups).scatter(2, places, 1).view(weight.T.shape).T


@wrong("n_m_mask", "are asked for")
def keeps_one_more(weight, n, m):
    groups_checked(weight, n, m)
    return by_topk_in_groups(weight, min(n + 1, m), m)


@wrong("n_m_mask", "Count, do not compare")
def keeps_all_ties(weight, n, m):
    groups_checked(weight, n, m)
    groups = weight.abs().reshape(-1, m)
    limit = groups.sort(dim=1, descending=True).values[:, n - 1 : n]
    return (groups >= limit).view(weight.shape)


@wrong("n_m_mask", "should raise ValueError")
def runs_over_the_end_of_a_row(weight, n, m):
    if not 0 <= n <= m or weight.numel() % m:
        raise ValueError("cannot do it")
    groups = weight.abs().reshape(-1, m)
    mask = torch.zeros_like(groups).scatter(1, groups.topk(n, dim=1).indices, 1)
    return mask.view(weight.shape)


@wrong("n_m_mask", "says for every weight")
def leaves_the_groups(weight, n, m):
    return by_topk_in_groups(weight, n, m).view(-1, m)


@wrong("n_m_mask", "RuntimeError")
def asks_for_too_many(weight, n, m):
    if weight.shape[1] % m or n < 0:
        raise ValueError("it does not divide")
    groups = weight.abs().reshape(-1, m)
    mask = torch.zeros_like(groups).scatter(1, groups.topk(n, dim=1).indices, 1)
    return mask.view(weight.shape)
