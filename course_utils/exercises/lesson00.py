"""Lesson 00, start here: one warm-up."""

import torch

from course_utils.exercises.compare import same_tensor, show
from course_utils.exercises.engine import Exercise


def keep_largest(values: torch.Tensor, k: int) -> torch.Tensor:
    if not 0 <= k <= values.numel():
        raise ValueError(f"k is {k}; {values.numel()} values can keep 0 to {values.numel()}.")
    flat = values.flatten()
    places = torch.topk(flat.abs(), k).indices
    result = torch.zeros_like(flat)
    result[places] = flat[places]
    return result.view(values.shape)


class KeepLargest(Exercise):
    name = "keep_largest"
    lesson = "00"
    signature = "keep_largest(values, k) -> Tensor"
    points = 2
    minutes = 10
    difficulty = 2
    importance = 4
    hints = (
        "Size is distance from zero: -3 is larger than 2. `values.abs()` gives the sizes.",
        "Ask for places, not for a limit: `torch.topk(sizes, k).indices` says where the k largest "
        "entries of a flat tensor are, and names exactly k of them, ties or not.",
        "Start from zeros and copy the k entries into them. Mind the shape: `values.flatten()` "
        "takes you to one dimension and `.view(values.shape)` back.",
    )
    reference = staticmethod(keep_largest)

    def cases(self, rng):
        def normal(*shape):
            return torch.from_numpy(rng.normal(size=shape)).float()

        tied = torch.tensor([2.0, -2.0, 1.0, 2.0, -0.5, 2.0])
        return {
            "ordinary values": [
                (torch.tensor([0.5, -3.0, 2.0, -0.1, 1.0, -0.7]), 2),
                (normal(int(rng.integers(20, 60))) - 1, int(rng.integers(5, 9))),
            ],
            "other shapes": [
                (normal(4, 6), int(rng.integers(3, 9))),
                (normal(5, 7).T, int(rng.integers(4, 30))),
                (normal(2, 3, 5).double(), 11),
            ],
            "ties, and nearly": [
                (tied[torch.from_numpy(rng.permutation(6))], 3),
                (torch.full((7,), -1.0), 3),
                (torch.tensor([1.0, -1.0001, 0.9999, 1.0002]), 2),
                (torch.tensor([0.0, 2.0, 0.0, -1.0]), 3),
            ],
            "none and all": [(normal(5), 0), (normal(6), 6), (torch.zeros(0), 0)],
            "impossible k": [(normal(4), -1), (normal(4), 5)],
        }

    def call(self, inputs, answer):
        values, result = inputs[0], answer(*inputs)
        shared = (
            isinstance(result, torch.Tensor)
            and result.layout is torch.strided
            and result.numel() > 0
            and result.untyped_storage().data_ptr() == values.untyped_storage().data_ptr()
        )
        return {"result": result, "shared": shared}

    def verify(self, case, data):
        values, k = case
        result = data.returned["result"]
        if not isinstance(result, torch.Tensor):
            return f"{show(result)} came back, and a tensor is asked for."
        if result.shape != values.shape:
            return (
                f"the result has shape {tuple(result.shape)} and the values have "
                f"{tuple(values.shape)}. What is kept stays in its place, between zeros."
            )
        if data.returned["shared"]:
            return "you handed back the input's own memory, and a new tensor is asked for."
        kept = result != 0
        if not same_tensor(result[kept], values[kept]):
            if same_tensor(result[kept], torch.ones_like(values[kept])):
                return "this is the mask; multiply the values by it."
            if same_tensor(result[kept], values[kept].abs()):
                return "what you keep has lost its sign. Sizes only decide who stays."
            return "what you keep must keep its value, and some values have changed."
        sizes, count = values.abs(), min(k, int((values != 0).sum()))
        if int(kept.sum()) != count:
            limit = sizes.flatten().sort(descending=True).values[max(k - 1, 0)]
            if k > 0 and torch.equal(kept, sizes >= limit):
                return (
                    f"you kept {int(kept.sum())} instead of {k}, because several tie for the last "
                    "place. Choose any of them, so that exactly k stay."
                )
            if torch.equal(kept, sizes > limit) and (sizes == limit).sum() > 1:
                return (
                    f"you kept {int(kept.sum())} instead of {k}: all that tie for the last place "
                    "went together. Count places, do not compare with a limit."
                )
            if int(kept.sum()) == values.numel() - k:
                return f"{k} values went and the others stayed: k says how many stay."
            return f"you kept {int(kept.sum())} instead of {k}."
        if sorted(sizes[kept].tolist()) == sorted(sizes.flatten().topk(count).values.tolist()):
            return None
        if same_tensor(values[kept].sort().values, values.flatten().topk(count).values.flip(0)):
            return "you kept the largest numbers. Take the largest sizes: -3 outweighs 2."
        if same_tensor(sizes[kept].sort().values, sizes.flatten().sort().values[:count]):
            return "you kept the smallest and let the largest go."
        return "some value that stays is smaller than one that went."


EXERCISES = [KeepLargest()]
