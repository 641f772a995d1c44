"""Answers to lesson 00."""

import numpy
import torch
from bank import right, wrong


def checked(values, k):
    if k < 0 or k > values.numel():
        raise ValueError(f"k must lie between 0 and {values.numel()}, and is {k}")


@right("keep_largest")
def by_topk(values, k):
    checked(values, k)
    mask = torch.zeros(values.numel(), dtype=torch.bool)
    mask[values.reshape(-1).abs().topk(k).indices] = True
    return values * mask.reshape(values.shape)


@right("keep_largest")
def by_sorting(values, k):
    checked(values, k)
    result = values.clone().reshape(-1)
    order = numpy.argsort(result.abs().numpy(), kind="stable")
    result[order[: values.numel() - k].copy()] = 0
    return result.reshape(values.shape)


@right("keep_largest")
def one_at_a_time(values, k):
    checked(values, k)
    sizes, result = values.abs().double(), torch.zeros_like(values)
    for _ in range(k):
        place = numpy.unravel_index(int(sizes.argmax()), sizes.shape)
        result[place], sizes[place] = values[place], -1
    return result


@wrong("keep_largest", "-3 outweighs 2")
def forgets_the_sign(values, k):
    checked(values, k)
    result = torch.zeros(values.numel(), dtype=values.dtype)
    places = values.flatten().topk(k).indices
    result[places] = values.flatten()[places]
    return result.view(values.shape)


@wrong("keep_largest", "let the largest go")
def keeps_the_smallest(values, k):
    checked(values, k)
    result = torch.zeros(values.numel(), dtype=values.dtype)
    places = values.flatten().abs().topk(k, largest=False).indices
    result[places] = values.flatten()[places]
    return result.view(values.shape)


@wrong("keep_largest", "2 values went and the others stayed")
def removes_k(values, k):
    return by_topk(values, values.numel() - k)


@wrong("keep_largest", "because several tie")
def keeps_all_ties(values, k):
    checked(values, k)
    if k == 0:
        return torch.zeros_like(values)
    limit = values.flatten().abs().topk(k).values[-1]
    return torch.where(values.abs() >= limit, values, 0)


@wrong("keep_largest", "you kept 1 instead of 2.")
def off_by_one(values, k):
    checked(values, k)
    return by_topk(values, max(k - 1, 0))


@wrong("keep_largest", "this is the mask")
def returns_the_mask(values, k):
    return by_topk(values, k) != 0


@wrong("keep_largest", "has lost its sign")
def returns_sizes(values, k):
    return by_topk(values, k).abs()


@wrong("keep_largest", "must keep its value")
def rescales(values, k):
    return by_topk(values, k) * 2


@wrong("keep_largest", "stays in its place")
def returns_only_the_kept(values, k):
    checked(values, k)
    flat = values.flatten()
    return flat[flat.abs().topk(k).indices]


@wrong("keep_largest", "a tensor is asked for")
def returns_a_list(values, k):
    return by_topk(values, k).tolist()


@wrong("keep_largest", "Work on a copy")
def writes_into_its_input(values, k):
    values.copy_(by_topk(values, k))
    return values.clone()


@wrong("keep_largest", "own memory")
def returns_the_input_when_nothing_goes(values, k):
    return values if k == values.numel() else by_topk(values, k)


@wrong("keep_largest", "should raise ValueError")
def accepts_any_k(values, k):
    return by_topk(values, min(max(k, 0), values.numel()))


@wrong("keep_largest", "give it a sentence")
def refuses_without_a_word(values, k):
    if k < 0 or k > values.numel():
        raise ValueError
    return by_topk(values, k)


@wrong("keep_largest", "where a ValueError")
def fails_by_accident(values, k):
    if k < 0 or k > values.numel():
        raise IndexError("out of range")
    return by_topk(values, k)


@wrong("keep_largest", "keep_largest([], 0): this raised")
def trips_over_nothing(values, k):
    checked(values, k)
    values.abs().max()
    return by_topk(values, k)


@wrong("keep_largest", "smaller than one that went")
def keeps_the_first(values, k):
    checked(values, k)
    result = torch.zeros(values.numel(), dtype=values.dtype)
    places = values.flatten().nonzero().flatten()[:k]
    result[places] = values.flatten()[places]
    return result.view(values.shape)


@wrong("keep_largest", "0 values went")
def slices_from_the_end(values, k):
    checked(values, k)
    result = torch.zeros(values.numel(), dtype=values.dtype)
    places = values.flatten().abs().argsort()[-k:]
    result[places] = values.flatten()[places]
    return result.view(values.shape)


@wrong("keep_largest", "you kept 1 instead of 0.")
def always_keeps_one(values, k):
    checked(values, k)
    return by_topk(values, min(max(k, 1), values.numel()))


@wrong("keep_largest", "went together")
def drops_all_ties(values, k):
    checked(values, k)
    if k == values.numel():
        return values.clone()
    limit = values.abs().flatten().sort(descending=True).values[k]
    return torch.where(values.abs() > limit, values, 0)


@wrong("keep_largest", "you kept 1 instead of 3.")
def keeps_one_of_each_size(values, k):
    checked(values, k)
    result, sizes = torch.zeros(values.numel(), dtype=values.dtype), set()
    for place in values.flatten().abs().argsort(descending=True)[:k].tolist():
        value = values.flatten()[place]
        result[place] = 0 if value.abs().item() in sizes else value
        sizes.add(value.abs().item())
    return result.view(values.shape)
