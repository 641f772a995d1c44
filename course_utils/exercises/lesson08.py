"""Lesson 08, lottery tickets: back to the start, and fair comparisons of what one finds there."""

import copy
import math
import statistics
from collections import Counter

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils.exercises.compare import (
    as_number,
    differing_keys,
    identical,
    same_number,
    same_tensor,
    show,
)
from course_utils.exercises.engine import Exercise
from course_utils.exercises.networks import build, network, shown, state
from course_utils.exercises.plain import decode, encode
from course_utils.exercises.scores import batch_slopes, close, each, names_and_shapes, times


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


def _normal(rng, *shape) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


# --- Back to the start ---------------------------------------------------------------------------


def _now(value):
    """What came back, as it is now: whatever the answer goes on to share does not change it."""
    return decode(encode(value))


@torch.no_grad()
def _train_on(model: nn.Module, to_nan: bool = False) -> None:
    """Stands for training: every number of the model moves, in place as optimizers move them."""
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor += 1.5 if tensor.is_floating_point() else 7
    if to_nan:
        next(model.parameters()).fill_(math.nan)


def _names(model: nn.Module) -> dict[str, str]:
    """What kind of thing stands behind each name of the state dict."""
    own = dict(model.named_parameters())
    buffers = dict(model.named_buffers())
    return {
        name: "parameter" if name in own else "buffer" if name in buffers else "second name"
        for name in model.state_dict()
    }


def snapshot(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


class Snapshot(Exercise):
    name = "snapshot"
    lesson = "08"
    signature = "snapshot(model) -> dict[str, Tensor]"
    points = 2
    minutes = 10
    difficulty = 2
    importance = 5
    in_place = True  # the model is trained after the call, to see whether the snapshot is safe
    hints = (
        "`model.state_dict()` lists every number by name, parameters and buffers. But it holds the "
        "model's own tensors, and training changes those where they are.",
        "`dict(...)` and `.copy()` make a new dictionary of the *same* tensors. What has to be "
        "copied is each tensor: which method makes a new one with the same numbers?",
        "`{name: tensor.clone() for name, tensor in model.state_dict().items()}`",
    )
    reference = staticmethod(snapshot)

    def cases(self, rng):
        sizes = [6, int(rng.integers(5, 12)), 4]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=int(rng.integers(3, 6)), classes=5)
        tied = network("tied", _seed(rng), size=sizes[1])
        return {
            "a small network": [(mlp,)],
            "BatchNorm": [(convnet,)],
            "modes": [({**convnet, "frozen": ["features.1"], "fixed": ["features.0"]},)],
            "a shared weight": [(tied,)],
            "other layers": [(network("recurrent", _seed(rng), size=4),)],
        }

    def call(self, inputs, answer):
        (model,) = inputs
        taken = answer(model)
        at_once = _now(taken)
        left = _now(state(model))
        _train_on(model)
        return {"at once": at_once, "later": taken, "state": left}

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        for part in want["state"]:
            if not identical(got["state"][part], want["state"][part]):
                return f"after the call the model's {part} are not what they were."
        first, later = got["at once"], got["later"]
        if not isinstance(first, dict):
            return f"{show(first)} came back, and a dictionary from names to tensors is asked for."
        kinds = _names(build(case[0]))
        for name, kind in kinds.items():
            if name in first:
                continue
            if kind == "buffer":
                return f"{name!r} is missing: BatchNorm's statistics are not parameters, but count."
            if kind == "second name":
                return (
                    f"{name!r} is missing. It shares its tensor with another name, and the state "
                    "dict lists both."
                )
            return f"{name!r} is missing, and the whole network has to come back."
        extra = [name for name in first if name not in kinds]
        if extra:
            return f"{extra[0]!r} is not in the state dict, so it cannot be loaded back."
        for name, tensor in want["at once"].items():
            if not isinstance(first[name], torch.Tensor):
                return f"{name!r} holds {show(first[name])}, and a tensor is asked for."
            if not same_tensor(first[name], tensor):
                return f"{name!r} does not hold the model's numbers."
        moved = [name for name in kinds if not identical(first[name], later[name])]
        if moved and all(kinds[name] == "buffer" for name in moved):
            return f"{moved[0]!r} changed when the model was trained: buffers need copies as well."
        if moved:
            return (
                f"{moved[0]!r} changed when the model was trained: the snapshot holds the model's "
                "own tensors, not copies of them."
            )
        return None


@torch.no_grad()
def rewind(model: nn.Module, snapshot: dict, masks: dict) -> None:
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"the model has no parameter {name!r}.")
        if mask.shape != parameters[name].shape:
            raise ValueError(f"the mask for {name!r} has another shape than the weight.")
    for name, tensor in model.state_dict().items():
        tensor.copy_(snapshot[name])
    for name, mask in masks.items():
        parameters[name].masked_fill_(mask == 0, 0)


class Rewind(Exercise):
    name = "rewind"
    lesson = "08"
    signature = "rewind(model, snapshot, masks) -> None"
    points = 2
    minutes = 12
    difficulty = 2
    importance = 5
    in_place = True
    hints = (
        "Two things in this order: the whole snapshot back into the model, then zeros wherever a "
        "mask says so.",
        "`model.load_state_dict(snapshot)` copies the numbers into the parameters and buffers that "
        "the model has. New Parameter objects would be strangers to its optimizer.",
        "Then as in lesson 03: `model.get_parameter(name)[mask == 0] = 0` inside `with "
        "torch.no_grad():`. Compare names and shapes of the masks before anything else.",
    )
    reference = staticmethod(rewind)

    def cases(self, rng):
        def masks_for(description, kind=torch.bool):
            return {
                name: torch.from_numpy(rng.random(weight.shape) < 0.5).to(kind)
                for name, weight in build(description).named_parameters()
                if name.endswith("weight") and weight.dim() > 1
            }

        sizes = [6, int(rng.integers(7, 12)), 4]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=int(rng.integers(3, 6)), classes=4)
        tied = network("tied", _seed(rng), size=sizes[1])
        linear = network("linear", _seed(rng), inputs=8, outputs=sizes[1])
        first = masks_for(mlp)["0.weight"]
        turned = torch.from_numpy(rng.random((6, sizes[1])) < 0.5).T
        return {
            "a small network": [(mlp, masks_for(mlp), {})],
            "BatchNorm": [(convnet, masks_for(convnet), {})],
            "masks of 0 and 1": [
                (mlp, masks_for(mlp, torch.float32), {}),
                (linear, masks_for(linear, torch.int64), {}),
            ],
            "some masks, or none": [
                (mlp, {"2.weight": masks_for(mlp)["2.weight"]}, {}),
                (mlp, {"0.weight": turned}, {}),
                (convnet, {}, {}),
            ],
            "a shared weight": [(tied, masks_for(tied), {})],
            "weights that do not train, modes": [
                (
                    {**convnet, "fixed": ["features.0"], "frozen": ["features.1"]},
                    masks_for(convnet),
                    {},
                ),
                ({**convnet, "training": False}, masks_for(convnet), {}),
            ],
            "float64": [(mlp, masks_for(mlp), {"double": True})],
            "a network that diverged to NaN": [(mlp, masks_for(mlp), {"to_nan": True})],
            "masks that do not fit": [
                (mlp, {"0.weight": first, "7.weight": first}, {}),
                (mlp, {"0.weight": first[:1]}, {}),
                (mlp, {"0.weight": first.T}, {}),
            ],
        }

    def shown(self, case):
        description, masks, extras = case
        after = " whose weights have become NaN" if extras.get("to_nan") else ""
        return f"rewind of {shown(description)}{after}, with masks for {list(masks)}"

    def call(self, inputs, answer):
        model, masks, extras = inputs
        if extras.get("double"):
            model.double()
        start = copy.deepcopy(model.state_dict())
        _train_on(model, extras.get("to_nan", False))
        before = dict(model.named_parameters())
        trained = copy.deepcopy(model.state_dict())
        kept = dict(start)
        answer(model, kept, masks)
        at_once = copy.deepcopy(kept)
        after = dict(model.named_parameters())
        found = {
            "state": copy.deepcopy(state(model)),
            "replaced": [name for name in before if after.get(name) is not before[name]],
            "start": copy.deepcopy(start),
            "trained": trained,
            "snapshot": at_once,
        }
        _train_on(model)
        return {**found, "snapshot later": kept}

    def verify(self, case, data):
        masks = case[1]
        got, want = data.returned, self.expected(case)
        if got["replaced"]:
            return (
                f"{got['replaced'][0]!r} is a new object after the call, and an optimizer would go "
                "on with the old one. Change the parameter's own numbers."
            )
        if not identical(masks, data.inputs[1]):
            return "the masks have changed, and the caller still needs them."
        if not identical(got["snapshot"], want["snapshot"]):
            return (
                "the snapshot itself has changed. The next round rewinds to it again, with other "
                "masks."
            )
        if not identical(got["snapshot later"], got["snapshot"]):
            return (
                "when the model is trained again, the snapshot moves with it: they share tensors. "
                "Copy the numbers over."
            )
        start, trained = want["start"], want["trained"]
        for name, value in want["state"]["buffers"].items():
            if not same_tensor(got["state"]["buffers"][name], value):
                return f"{name!r} is not as in the snapshot: buffers are rewound, too."
        for name, weight in want["state"]["parameters"].items():
            value = got["state"]["parameters"][name]
            if value.dtype != weight.dtype:
                return f"{name!r} was {weight.dtype} and is {value.dtype} after the call."
            if same_tensor(value, weight):
                continue
            if value.isnan().any():
                return "NaN is still there. A number times zero, or minus itself, is NaN for NaN."
            if name not in masks:
                if same_tensor(value, trained[name]):
                    return f"{name!r} has its trained numbers. What has no mask is rewound, too."
                return f"{name!r} has no mask, and yet its numbers are not those of the snapshot."
            keep = masks[name] != 0
            if same_tensor(value, start[name]):
                return f"{name!r} is rewound, and its mask is not applied."
            if same_tensor(value, trained[name].masked_fill(~keep, 0)):
                return f"{name!r} is masked, but what stays still has its trained numbers."
            if same_tensor(value, start[name].masked_fill(keep, 0)):
                return "what the mask keeps is zero, and what it removes is there."
            if same_tensor(value, torch.where(keep, start[name], trained[name])):
                return "what the mask keeps is rewound; what it removes kept its trained numbers."
            return f"{name!r} does not hold the snapshot's numbers where its mask keeps them."
        for part in ("requires_grad flags", "layers", "modes", "hooks", "settings"):
            if not identical(got["state"][part], want["state"][part]):
                return f"after the call the model's {part} are not what they were."
        return None


# --- Masks, and others like them -----------------------------------------------------------------


def _no_mask(got, wanted: torch.Tensor) -> str | None:
    """Why this is no mask of that shape, if it is none."""
    if not isinstance(got, torch.Tensor):
        return f"{show(got)} came back, and a mask is a tensor."
    if got.shape != wanted.shape:
        return f"the mask has shape {tuple(got.shape)} instead of {tuple(wanted.shape)}."
    if not ((got == 0) | (got == 1)).all():
        return "a mask holds ones (or True) and zeros (or False), and nothing else."
    return None


def _other_names(got, masks: dict) -> str | None:
    if not isinstance(got, dict):
        return f"{show(got)} came back, and a dictionary from name to mask is asked for."
    for name in masks:
        if name not in got:
            return f"there is no mask for {name!r}."
    for name in got:
        if name not in masks:
            return f"there is a mask for {name!r}, for which none was given."
    return None


def next_ticket(model: nn.Module, masks: dict, fraction: float) -> dict[str, torch.Tensor]:
    if not 0 <= fraction <= 1:
        raise ValueError(f"a fraction lies between 0 and 1, not at {fraction}.")
    parameters, thinner = dict(model.named_parameters()), {}
    for name, mask in masks.items():
        if name not in parameters:
            raise ValueError(f"the model has no parameter {name!r}.")
        weight = parameters[name].detach()
        if weight.shape != mask.shape:
            raise ValueError(f"the mask for {name!r} has another shape than the weight.")
        alive = mask.flatten().nonzero().flatten()
        order = weight.abs().flatten()[alive].argsort()
        keep = mask.flatten() != 0
        keep[alive[order[: round(fraction * len(alive))]]] = False
        thinner[name] = keep.view(mask.shape)
    return thinner


class NextTicket(Exercise):
    name = "next_ticket"
    lesson = "08"
    signature = "next_ticket(model, masks, fraction) -> dict[str, Tensor]"
    points = 3
    minutes = 20
    difficulty = 4
    importance = 5
    hints = (
        "Layer by layer: how many does the mask still keep, and how many of *those* go? "
        "`round(fraction * kept)`.",
        "Rank only the weights that the mask keeps. What is pruned already may be large or small "
        "in the model; it must neither come back nor count.",
        "`alive = mask.flatten().nonzero().flatten()` lists the places that are kept. Sort their "
        "sizes, and set the first few of those places to zero in a copy of the mask.",
    )
    reference = staticmethod(next_ticket)

    def cases(self, rng):
        def masks_for(description, share, kind=torch.bool):
            return {
                name: torch.from_numpy(rng.random(weight.shape) < share).to(kind)
                for name, weight in build(description).named_parameters()
                if name.endswith("weight") and weight.dim() > 1
            }

        def case(description, share, fraction, kind=torch.bool):
            masks = masks_for(description, share, kind)
            return description, masks, _no_half(masks, fraction)

        sizes = [8, int(rng.integers(10, 16)), 5]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        uneven = network("mlp", _seed(rng), sizes=[4, 24, 6])
        convnet = network("convnet", _seed(rng), channels=4, classes=5)
        tied = network("tied", _seed(rng), size=sizes[1])
        full = case(mlp, 2.0, 0.3)
        emptied = case(mlp, 0.7, 0.4)
        emptied[1]["0.weight"][:] = False
        turned = {name: mask.T.contiguous().T for name, mask in masks_for(mlp, 0.6).items()}
        fraction = round(float(rng.choice([0.15, 0.2, 0.3, 0.35])), 2)
        return {
            "the first round": [full, case(mlp, 2.0, fraction)],
            "a later round": [
                case(mlp, 0.6, 0.25),
                case(mlp, 0.4, fraction),
                case(convnet, 0.5, 0.6),
            ],
            "layers of other scales": [case(uneven, 0.7, 0.4)],
            "masks of 0 and 1": [
                case(mlp, 0.6, 0.2, torch.float32),
                case(mlp, 0.6, 0.8, torch.int64),
            ],
            "weights that are zero and not pruned": [case({**mlp, "zeros": 0.3}, 0.7, 0.6)],
            "ties": [case({**mlp, "zeros": 1.0}, 0.7, 0.3)],
            "nothing or everything more": [case(mlp, 0.6, 0.0), case(mlp, 0.6, 1.0)],
            "a layer that is empty": [(mlp, emptied[1], emptied[2])],
            "a shared weight": [case({**tied, "training": False}, 0.6, 0.3)],
            "masks laid out by columns": [(mlp, turned, _no_half(turned, 0.3))],
            "impossible": [
                *((mlp, full[1], share) for share in (-0.1, 1.5, math.nan)),
                (mlp, {**full[1], "7.weight": full[1]["0.weight"]}, 0.5),
                (mlp, {**full[1], "0.weight": full[1]["0.weight"][:1]}, 0.5),
            ],
        }

    def shown(self, case):
        description, masks, fraction = case
        kept = ", ".join(
            f"{name} keeps {int((mask != 0).sum())} of {mask.numel()}"
            for name, mask in masks.items()
        )
        return f"next_ticket on {shown(description)} ({kept}), {show(fraction)}"

    def verify(self, case, data):
        description, masks, fraction = case
        got = data.returned
        if problem := _other_names(got, masks):
            return problem
        model = build(description)
        for name, mask in masks.items():
            if problem := _no_mask(got[name], mask):
                return f"for {name!r} {problem}"
        for name, mask in masks.items():
            was, stays = (mask != 0).flatten(), (got[name] != 0).flatten()
            sizes = model.get_parameter(name).detach().abs().flatten()
            back = int((stays & ~was).sum())
            if back:
                return f"{back} weights of {name!r} that were pruned have come back."
            alive, left = int(was.sum()), int(stays.sum())
            gone = round(fraction * alive)
            if left != alive - gone:
                return self._miscounted(case, got, name)
            rest = sizes[was].sort().values[gone:]
            if same_tensor(sizes[stays].sort().values, rest):
                continue
            if same_tensor(sizes[stays].sort().values, sizes[was].sort().values[:left]):
                return f"in {name!r} the smallest stay and the largest go."
            signed = model.get_parameter(name).detach().flatten()
            if same_tensor(signed[stays].sort().values, signed[was].sort().values[gone:]):
                return f"in {name!r} you ranked by value. A large negative weight is large, too."
            return f"in {name!r} a weight goes while a smaller one of its layer stays."
        return None

    def _miscounted(self, case, got, name):
        """Why this layer, of all layers, keeps the wrong number of weights."""
        description, masks, fraction = case
        counts = [
            (int((mask != 0).sum()), mask.numel(), int((got[layer] != 0).sum()))
            for layer, mask in masks.items()
        ]
        alive, left = (int((many[name] != 0).sum()) for many in (masks, got))
        said = f"{name!r} kept {alive} weights and now keeps {left}, not "
        said += f"{alive - round(fraction * alive)}"
        if all(now == was - int(fraction * was) for was, _, now in counts):
            return f"{said}: {show(fraction)} of {alive} is to be rounded, and `int` cuts it off."
        if all(now == round(fraction * was) for was, _, now in counts):
            return f"{said}: the fraction is what goes, not what stays."
        if all(now == max(was - round(fraction * of), 0) for was, of, now in counts):
            return f"{said}: the fraction is of what remains, not of the whole layer."
        weight = build(description).get_parameter(name).detach()
        sizes = weight.abs()[masks[name] != 0].sort().values
        if int((sizes == sizes[max(round(fraction * alive) - 1, 0)]).sum()) > 1:
            return f"{said}: several tie for the last place. Count, do not compare with a limit."
        if int((weight[masks[name] != 0] != 0).sum()) < alive:
            return f"{said}: ask the mask what remains. A kept weight may happen to be zero."
        return f"{said}: every layer gives its own {show(fraction)} of what remains, rounded."


def _no_half(masks: dict[str, torch.Tensor], fraction: float) -> float:
    """The fraction, or the next one up of which no layer would lose half a weight."""
    counts = [int((mask != 0).sum()) for mask in masks.values()]
    while any(abs(fraction * count % 1 - 0.5) < 0.02 for count in counts):
        fraction = round(fraction + 0.01, 2)
    return fraction


def shuffled_masks(masks: dict, generator: torch.Generator) -> dict[str, torch.Tensor]:
    return {
        name: mask.flatten()[torch.randperm(mask.numel(), generator=generator)].view(mask.shape)
        for name, mask in masks.items()
    }


DRAWS = 900


class ShuffledMasks(Exercise):
    name = "shuffled_masks"
    lesson = "08"
    signature = "shuffled_masks(masks, generator) -> dict[str, Tensor]"
    points = 2
    minutes = 15
    difficulty = 3
    importance = 4
    hints = (
        "`torch.randperm(n, generator=generator)` is a random order of n places, drawn from this "
        "generator and from nothing else.",
        "Make the mask flat, take its entries in that order, give it its shape back. The count "
        "cannot change, because nothing is added or lost.",
        "`mask.flatten()[places].view(mask.shape)`, with new `places` for every mask.",
    )
    reference = staticmethod(shuffled_masks)

    def cases(self, rng):
        rows = int(rng.integers(8, 13))
        ordinary = {
            "0.weight": torch.from_numpy(rng.random((rows, 7)) < 0.4),
            "2.weight": torch.from_numpy(rng.random((5, rows)) < 0.2),
        }
        upper = torch.zeros(10, 6)
        upper[:5] = 1
        left = torch.zeros(6, 12, dtype=torch.int64)
        left[:, :4] = 1
        filters = torch.from_numpy(rng.random((6, 4, 3, 3)) < 0.3)
        turned = torch.from_numpy(rng.random((9, 8)) < 0.5).T
        small = torch.tensor([[True, True, False], [False, False, False]])
        return {
            "two layers": [(ordinary, _seed(rng), 0)],
            "rows and columns that are all kept": [
                ({"0.weight": upper}, _seed(rng), 0),
                ({"0.weight": left}, _seed(rng), 0),
            ],
            "layers of one size": [
                ({"a.weight": filters, "b.weight": filters.clone()}, _seed(rng), 0)
            ],
            "other masks": [
                ({"0.weight": turned, "2.weight": ordinary["0.weight"].float()}, _seed(rng), 0)
            ],
            "all, none, one, nothing": [
                (
                    {
                        "all": torch.ones(3, 4),
                        "none": torch.zeros(2, 5, dtype=torch.bool),
                        "one": torch.ones(1, 1),
                    },
                    _seed(rng),
                    0,
                ),
                ({}, _seed(rng), 0),
            ],
            "many shuffles": [({"weight": small}, _seed(rng), DRAWS)],
        }

    def shown(self, case):
        masks, _, draws = case
        kept = ", ".join(
            f"{name} keeps {int((mask != 0).sum())} of {mask.numel()}"
            for name, mask in masks.items()
        )
        return f"shuffled_masks of {{{kept}}}{f', {draws} times' if draws else ''}"

    def call(self, inputs, answer):
        masks, seed, draws = inputs

        def drawn(seed):
            return encode(answer(masks, torch.Generator().manual_seed(seed)))

        first = drawn(seed)
        torch.rand(7)  # the world's random numbers move on; the generator's must not care
        again, other = drawn(seed), drawn(seed + 1)
        seen = Counter(drawn(seed + draw) for draw in range(draws))
        found = {"first": first, "again": again, "other": other}
        return {k: decode(v) for k, v in found.items()} | {"most": max(seen.values(), default=0)}

    def verify(self, case, data):
        masks, _, draws = case
        got = data.returned
        first = got["first"]
        if problem := _other_names(first, masks):
            return problem
        for name, mask in masks.items():
            if problem := _no_mask(first[name], mask):
                return f"for {name!r} {problem}"
        kept = {name: int((mask != 0).sum()) for name, mask in masks.items()}
        found = {name: int((first[name] != 0).sum()) for name in masks}
        if wrong := differing_keys(found, kept):
            name = wrong[0]
            if sum(found.values()) == sum(kept.values()):
                return (
                    f"{name!r} kept {kept[name]} weights and now keeps {found[name]}: the masks "
                    "were shuffled into one another. Each layer keeps its own count."
                )
            return (
                f"{name!r} kept {kept[name]} weights and now keeps {found[name]}. The count is to "
                "stay exactly the same."
            )
        places = {k: _places(got[k]) for k in ("first", "again", "other")}
        if places["first"] != places["again"]:
            return (
                "two generators in the same state gave different masks. Draw from the generator, "
                "and from nothing else."
            )
        for name, mask in masks.items():
            for dim, lines in ((1, "rows"), (0, "columns")):
                if _in_whole_lines(mask, dim) and _in_whole_lines(first[name], dim):
                    return (
                        f"{name!r} had {lines} that were kept or pruned as a whole, and still has. "
                        "Single weights should move, to any place in the layer."
                    )
        if draws:
            pairs = math.comb(6, 2)
            if got["most"] > 1.75 * draws / pairs:
                return (
                    f"one of the {pairs} possible masks came {got['most']} times in {draws}, "
                    "others hardly or never: all should be equally likely."
                )
            return None
        if any(mask.unique().numel() > 1 for mask in masks.values()):
            if places["first"] == _places(masks):
                return "nothing has moved."
            if places["first"] == places["other"]:
                return "a generator with another seed gave the same masks."
        if len(first) == 2:
            one, two = first.values()
            if identical(one != 0, two != 0):
                return "both layers were shuffled in the same way. Draw anew for each mask."
        return None


def _in_whole_lines(mask: torch.Tensor, dim: int) -> bool:
    """Whether its rows (1) or columns (0) are each kept or pruned as a whole; both kinds occur."""
    if mask.dim() != 2:
        return False
    kept, length = (mask != 0).sum(dim), mask.shape[dim]
    return sorted(kept.unique().tolist()) == [0, length]


def _places(masks: dict) -> list:
    return [(mask != 0).flatten().tolist() for mask in masks.values()]


# --- Before training, and after many trainings ---------------------------------------------------


def snip_scores(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    found = {}
    for name, module in model.named_modules():
        prunable = isinstance(module, nn.Linear | nn.Conv2d)
        if prunable and all(module.weight is not known for known in found.values()):
            found[f"{name}.weight".lstrip(".")] = module.weight
    if not found:
        return {}
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        slopes = torch.autograd.grad(cross_entropy(model(x), y), list(found.values()))
    finally:
        for module, mode in modes.items():
            module.training = mode
    pairs = zip(found.items(), slopes, strict=True)
    raw = {name: (weight.detach() * slope).abs() for (name, weight), slope in pairs}
    total = sum(score.sum() for score in raw.values())
    return {name: score / total if total > 0 else score for name, score in raw.items()}


class SnipScores(Exercise):
    name = "snip_scores"
    lesson = "08"
    signature = "snip_scores(model, x, y) -> dict[str, Tensor]"
    points = 2
    minutes = 15
    difficulty = 3
    importance = 3
    hints = (
        "You wrote `taylor_scores` in lesson 02. Here there is one batch, the size of weight times "
        "gradient instead of its square, and a last step: all scores of the model sum to 1.",
        "One total for the whole model: add up the sums of all layers, then divide each score by "
        "it. Layer by layer would make the layers incomparable.",
        "`torch.autograd.grad(loss, weights)` leaves `.grad` alone. Eval mode, modes put back in a "
        "`finally:`. If the total is 0, return the zeros as they are.",
    )
    reference = staticmethod(snip_scores)

    def cases(self, rng):
        def batch(shape, classes, size):
            return _normal(rng, size, *shape), torch.from_numpy(rng.integers(0, classes, size))

        inputs, classes = (int(n) for n in rng.integers(5, 9, size=2))
        mlp = network("mlp", _seed(rng), sizes=[inputs, 7, classes])
        convnet = network("convnet", _seed(rng), channels=3, classes=4)
        images = batch((1, 8, 8), 4, 9)
        sure = {**mlp, "scale": 1e4}  # so sure of its answers that no gradient is left
        x = _normal(rng, 6, inputs)
        with torch.no_grad():
            y = build(sure)(x).argmax(1)
        return {
            "a small network": [
                (mlp, *batch((inputs,), classes, 8)),
                (mlp, *batch((inputs,), classes, 1)),
            ],
            "BatchNorm and dropout": [(convnet, *images)],
            "modes come back": [
                ({**convnet, "frozen": ["features.1"]}, *images),
                ({**convnet, "training": False}, *images),
            ],
            "a shared weight": [(network("tied", _seed(rng), size=6), *batch((6,), 6, 7))],
            "a single layer": [
                (network("linear", _seed(rng), inputs=5, outputs=4), *batch((5,), 4, 6))
            ],
            "no gradient is left": [(sure, x, y)],
            "all weights zero": [({**mlp, "zeros": 1.0}, *batch((inputs,), classes, 5))],
            "nothing to prune": [
                (network("nothing to prune", _seed(rng), size=5), *batch((5,), 5, 4))
            ],
            "a network that fails": [(network("breaking", _seed(rng), size=4), *batch((4,), 4, 3))],
        }

    def shown(self, case):
        return f"snip_scores of {shown(case[0])} with {len(case[1])} examples"

    def verify(self, case, data):
        description, x, y = case
        got, want = data.returned, self.expected(case)
        model = build(description)
        if problem := names_and_shapes(got, want, model):
            return problem
        if any(score.isnan().any() for score in got.values()):
            return "these are NaN: every score is 0, and so is the total they were divided by."
        if close(got, want):
            return None
        if any((score < 0).any() for score in got.values()):
            return "these have signs. A fall of the loss matters as much as a rise."
        weights, (slopes,) = batch_slopes((description, [(x, y)]))
        _, (soft,) = batch_slopes((description, [(x, y)]), softmax=True)
        products = times(weights, slopes)
        raw = each(torch.abs, products)
        stale = {name: slope + model.get_parameter(name).grad for name, slope in slopes.items()}
        highest = max(score.max() for score in raw.values())
        total = sum(score.double().sum() for score in got.values())
        for scores, problem in (
            (raw, "these are not normalised: all scores of the model should sum to 1, together."),
            (
                {name: score / score.sum() for name, score in raw.items()},
                "each layer sums to 1. The scores of the whole model should, together.",
            ),
            (
                {name: score / highest for name, score in raw.items()},
                "you divided by the largest score; the sum of all is asked for.",
            ),
            (
                {name: score * total for name, score in want.items()},
                f"these sum to {show(total)}, not to 1. Is there more in your total than scores of "
                "prunable weights?",
            ),
            (
                _shared_out(each(torch.abs, times(weights, stale))),
                "the gradients that the model had before the call are in these scores.",
            ),
            (
                _shared_out(each(torch.abs, times(weights, soft))),
                "softmax was applied before the cross-entropy, which applies it itself.",
            ),
            (
                _shared_out(each(torch.abs, slopes)),
                "only the gradient is in these scores; SNIP multiplies it by the weight.",
            ),
            (
                _shared_out(each(torch.abs, weights)),
                "only the weight is in these scores; SNIP multiplies it by the gradient.",
            ),
            (
                _shared_out(each(torch.square, products)),
                "these are squared products, as Taylor scores are; their sizes are asked for.",
            ),
        ):
            if close(got, {name: score.nan_to_num() for name, score in scores.items()}):
                return problem
        return "these are not the sizes of weight times gradient in eval mode, as shares of 1."


def _shared_out(raw: dict) -> dict:
    total = sum(score.sum() for score in raw.values())
    return {name: score / total for name, score in raw.items()}


def paired_difference(a: list[float], b: list[float]) -> tuple[float, float]:
    if len(a) < 2:
        raise ValueError("one pair says nothing about how much pairs differ.")
    differences = [one - other for one, other in zip(a, b, strict=True)]
    return statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(len(a))


class PairedDifference(Exercise):
    name = "paired_difference"
    lesson = "08"
    signature = "paired_difference(a, b) -> tuple[float, float]"
    points = 2
    minutes = 12
    difficulty = 2
    importance = 5
    hints = (
        "First the differences, pair by pair. From there on `a` and `b` are not needed any more.",
        "The standard deviation of the differences: squared distances from their mean, added up, "
        "divided by n - 1, and the square root of that. `statistics.stdev` does it.",
        "The standard error of a mean is the standard deviation divided by the square root of n. "
        "Check first that there are two pairs at least.",
    )
    reference = staticmethod(paired_difference)

    def cases(self, rng):
        def results(count, apart):
            """Percent right in quarters, which float32 holds exactly; the seed's luck in both."""
            luck = rng.normal(90, 4, size=count)
            b, a = luck, luck + apart + rng.normal(0, 2, size=count)
            return [[round(4 * float(v)) / 4 for v in values] for values in (a, b)]

        many = int(rng.integers(6, 12))
        return {
            "some seeds": [
                ([97.0, 96.0, 98.0], [94.0, 94.0, 96.0]),
                ([96.0, 95.0, 97.0, 94.0], [90.0, 96.0, 91.0, 95.0]),
                tuple(results(many, 3)),
            ],
            "the other is better": [tuple(results(5, -4))],
            "two pairs": [([93.5, 91.0], [90.25, 90.0])],
            "shares": [([0.5, 0.75, 0.25, 1.0], [0.25, 0.625, 0.5, 0.5])],
            "always the same difference": [
                ([0.5, 0.75, 0.25], [0.25, 0.5, 0.0]),
                ([3.0, 4.0], [3.0, 4.0]),
            ],
            "a single pair": [([0.9], [0.8])],
        }

    def verify(self, case, data):
        a, b = case
        got, (mean, error) = data.returned, self.expected(case)
        if not isinstance(got, tuple | list) or len(got) != 2:
            return f"{show(got)} came back. Return two numbers: the mean and its standard error."
        n, differences = len(a), [one - other for one, other in zip(a, b, strict=True)]
        deviation = statistics.stdev(differences)
        if not same_number(got[0], mean):
            if same_number(got[0], -mean):
                return "this is the mean of b - a; a - b is asked for."
            if same_number(got[0], statistics.fmean(map(abs, differences))):
                return "differences keep their sign: a pair in which b wins counts against a."
            if same_number(got[0], statistics.median(differences)):
                return "this is the median of the differences; their mean is asked for."
            return f"the mean difference is {show(mean)}, and {show(got[0])} came back."
        if same_number(got[1], error):
            return None
        if as_number(got[1]) is None:
            return f"the second number should be the standard error, and is {show(got[1])}."
        if same_number(got[1], deviation):
            return (
                "this is the standard deviation of single differences. Their mean is steadier: "
                "divide by the square root of n."
            )
        if same_number(got[1], statistics.pstdev(differences) / math.sqrt(n)):
            return f"divide the squares by n - 1 = {n - 1}, not by n: the mean came from them, too."
        apart = math.sqrt((statistics.variance(a) + statistics.variance(b)) / n)
        if same_number(got[1], apart):
            return (
                "this is the error for two unpaired groups: what a seed does to both is still in "
                "it. Take the differences first."
            )
        if same_number(got[1], deviation / n):
            return "divide by the square root of n, not by n."
        if same_number(got[1], deviation**2 / n):
            return "this is the squared standard error: the root is missing."
        return f"the standard error is {show(error)}, and {show(got[1])} came back."


EXERCISES = [
    Snapshot(),
    Rewind(),
    NextTicket(),
    ShuffledMasks(),
    SnipScores(),
    PairedDifference(),
]
