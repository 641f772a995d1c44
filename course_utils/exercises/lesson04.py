"""Lesson 04, PyTorch's own tools: a pruning method of one's own, and the end of pruning."""

import torch
from torch import nn
from torch.nn.utils import prune, spectral_norm

from course_utils.exercises.compare import identical, same_tensor, show
from course_utils.exercises.engine import Exercise
from course_utils.exercises.networks import build, network, state


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


class EveryNth(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def __init__(self, n):
        if n < 1:
            raise ValueError(f"n is {n}; to prune every n-th entry, n must be 1 or more.")
        self.n = n

    def compute_mask(self, t, default_mask):
        mask = default_mask.clone(memory_format=torch.contiguous_format)
        kept = mask.view(-1).nonzero().flatten()
        mask.view(-1)[kept[self.n - 1 :: self.n]] = 0
        return mask


class PruneEveryNth(Exercise):
    """Cases: how the class is put to use, n, the weights, and what is pruned in them already."""

    name = "EveryNth"
    lesson = "04"
    signature = 'EveryNth(n): a prune.BasePruningMethod of type "unstructured"'
    points = 4
    minutes = 20
    difficulty = 3
    importance = 4
    hints = (
        "Two things belong to the class: the line `PRUNING_TYPE = ...` and the method "
        "`compute_mask(self, t, default_mask)`, which returns the new mask. What is pruned already "
        "has a 0 in `default_mask`; the values in `t` say nothing here.",
        "Find the places that are still kept, in order: `default_mask.flatten().nonzero()`. Which "
        "of them go? Slicing with a step, `places[start::step]`, picks every n-th.",
        "Write into a copy of `default_mask`, flat and in rows: "
        "`mask = default_mask.flatten().clone()`, then zeros at `places[n - 1 :: n]`, then "
        "`mask.view(default_mask.shape)`. Refuse an n below 1 in `__init__`.",
    )
    reference = EveryNth

    def cases(self, rng):
        def normal(*shape):
            return torch.from_numpy(rng.normal(size=shape)).float()

        def some(weight):
            mask = torch.from_numpy(rng.random(tuple(weight.shape)) < 0.6).to(weight.dtype)
            mask.view(-1)[:4] = torch.tensor([1.0, 0.0, 0.0, 1.0])
            return mask

        def fresh(how, n, *weights):
            return how, n, list(weights), [torch.ones_like(weight) for weight in weights]

        def pruned(how, n, *weights):
            return how, n, list(weights), [some(weight) for weight in weights]

        n = int(rng.integers(2, 5))
        wide = normal(int(rng.choice([5, 7])), 11)  # n divides neither
        holed = wide.clone()
        holed[:, ::2] = 0
        mask = some(normal(5, 7))
        image = normal(3, 2, 3, 3)
        last = image.contiguous(memory_format=torch.channels_last)
        return {
            "a fresh tensor": [
                fresh("mask", 3, normal(10)),
                fresh("mask", n, wide),
                fresh("mask", 4, normal(2, 3, 5)),
            ],
            "some are pruned already": [
                pruned("mask", n, wide),
                pruned("mask", 2, normal(3, 2, 5)),
            ],
            "weights that are zero": [fresh("mask", 2, holed), pruned("mask", 3, holed)],
            "other layouts and types": [
                ("mask", n, [normal(5, 7).T], [mask.T]),
                fresh("mask", 4, last),
                pruned("mask", 3, normal(4, 5).double()),
            ],
            "on a layer": [
                fresh("apply", n, wide),
                pruned("apply", 3, normal(4, 7)),
                fresh("apply twice", 3, normal(5, 5)),
                pruned("apply", 2, image),
            ],
            "several layers at once": [pruned("global", n, normal(3, 5), normal(4, 2), image)],
            "all, none, nothing": [
                pruned("mask", 1, wide),
                fresh("mask", 50, normal(4, 3)),
                ("mask", 2, [normal(3, 3)], [torch.zeros(3, 3)]),
                fresh("mask", 2, torch.zeros(0)),
            ],
            "an n without meaning": [
                fresh("mask", 0, normal(6)),
                fresh("apply", -2, normal(3, 3)),
            ],
        }

    def shown(self, case):
        how, n, weights, masks = case
        shapes = " and ".join(str(tuple(weight.shape)) for weight in weights)
        left = sum(int(mask.sum()) for mask in masks)
        entries = f"{shapes}, {left} of {sum(mask.numel() for mask in masks)} entries kept"
        return {
            "mask": f"EveryNth({n}).compute_mask on a tensor of {entries}",
            "apply": f'EveryNth.apply(layer, "weight", {n}) on a weight of {entries}',
            "apply twice": f"EveryNth.apply with n = {n} and again with 2 on a weight of {entries}",
            "global": f"prune.global_unstructured(..., EveryNth, n={n}) on weights of {entries}",
        }[how]

    def call(self, inputs, answer):
        how, n, weights, masks = inputs
        if not (isinstance(answer, type) and issubclass(answer, prune.BasePruningMethod)):
            return {"method": False}
        kind = getattr(answer(n), "PRUNING_TYPE", None)
        if how == "mask":
            found = [answer(n).compute_mask(weights[0], default_mask=masks[0])]
        else:
            layers = [_layer(*pair) for pair in zip(weights, masks, strict=True)]
            if how == "global":
                prune.global_unstructured([(layer, "weight") for layer in layers], answer, n=n)
            else:
                answer.apply(layers[0], "weight", n)
            if how == "apply twice":
                answer.apply(layers[0], "weight", 2)
            found = [layer.weight_mask for layer in layers]
        return {"method": True, "kind": kind, "masks": found}

    def verify(self, case, data):
        _, n, weights, masks = case
        if not data.returned["method"]:
            return "a class that derives from `prune.BasePruningMethod` is asked for."
        if data.returned["kind"] != "unstructured":
            return (
                f"PRUNING_TYPE is {show(data.returned['kind'])}. It tells PyTorch what to hand "
                'over for a second pruning; single entries need "unstructured".'
            )
        for got in data.returned["masks"]:
            if not isinstance(got, torch.Tensor):
                return f"{show(got)} came back; `compute_mask` returns the new mask."
            if not torch.isin(got.double(), torch.tensor([0.0, 1.0])).all():
                return "a mask holds zeros and ones; the multiplication comes later."
        shapes = [tuple(got.shape) for got in data.returned["masks"]]
        if shapes != [tuple(weight.shape) for weight in weights]:
            return f"the mask has shape {show(shapes[0])}, and the weight has another."
        found, wanted = _in_a_row(data.returned["masks"]), _in_a_row(self.expected(case)["masks"])
        if torch.equal(found, wanted):
            return None
        if (found & ~_in_a_row(masks)).any():
            return "entries that were pruned before are kept again. `default_mask` marks them by 0."
        for told, mistaken in _miscounts(n, weights[0], masks[0]):
            if torch.equal(found, mistaken):
                return told
        gone, due = (int((~kept).sum()) for kept in (found, wanted))
        if gone == due:
            return "as many entries are gone as should be, but not the n-th, 2n-th and so on."
        return f"{gone} entries are 0 in the mask, and {due} should be."


def _in_a_row(masks: list[torch.Tensor]) -> torch.Tensor:
    """What stays, over all masks."""
    return torch.cat([mask.flatten() != 0 for mask in masks])


def _layer(weight: torch.Tensor, mask: torch.Tensor) -> nn.Module:
    """A module with that weight, pruned by the mask if it prunes anything."""
    layer = nn.Module()
    layer.weight = nn.Parameter(weight)
    if not mask.all():
        prune.custom_from_mask(layer, "weight", mask)
    return layer


def _miscounts(n: int, weight: torch.Tensor, mask: torch.Tensor):
    """What popular mistakes make of a tensor, as (sentence, what stays in a row)."""
    flat = mask.flatten() != 0
    order = torch.arange(flat.numel())
    places = order[flat]

    def without(gone):
        left = flat.clone()
        left[gone] = False
        return left

    columns = order.view(mask.shape).permute(*reversed(range(mask.dim()))).flatten()
    rows = [row[flat[row]][n - 1 :: n] for row in order.view(-1, mask.shape[-1])]
    nonzero = order[flat & (weight.flatten() != 0)]
    yield "nothing was pruned: what you changed was a copy that the mask knows nothing of.", flat
    yield "this keeps what should go: a 0 in the mask prunes.", flat & ~without(places[n - 1 :: n])
    yield (
        "you began with the first entry. Counted from 1, the n-th is the first to go.",
        without(places[::n]),
    )
    yield (
        "you began one entry too late: index n is the entry after the n-th.",
        without(places[n::n]),
    )
    yield (
        "what is pruned already was counted too; count only the entries that are kept.",
        without(order[n - 1 :: n]),
    )
    yield (
        "you counted down the columns, and rows are asked for.",
        without(columns[flat[columns]][n - 1 :: n]),
    )
    yield "you began to count anew in each row; go on counting.", without(torch.cat(rows))
    yield (
        "whole rows are gone: an index into a matrix counts its rows. Flatten it first.",
        without(order.view(mask.shape)[n - 1 :: n].flatten()),
    )
    yield (
        "a weight that happens to be zero is not pruned: `default_mask` says what is.",
        without(nonzero[n - 1 :: n]),
    )
    yield (
        "only the n-th is gone; the 2n-th, the 3n-th and so on go too.",
        without(places[n - 1 : n]),
    )


def make_permanent(model: nn.Module) -> None:
    for module in model.modules():
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)


class _OnesOwn(prune.BasePruningMethod):
    """A method that PyTorch does not know, as learners write them."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return default_mask * (t > 0)


class MakePermanent(Exercise):
    """Cases: a network, how it gets pruned (module, parameter, function, its arguments), and what
    else has happened to it."""

    name = "make_permanent"
    lesson = "04"
    signature = "make_permanent(model) -> None"
    points = 3
    minutes = 15
    difficulty = 3
    importance = 5
    in_place = True
    hints = (
        "`prune.remove(module, name)` does it for one parameter, and complains if that one is not "
        "pruned. What is left is to find all pairs of module and name: walk `model.modules()`.",
        "A pruned parameter has a hook in `module._forward_pre_hooks`, an object of a class that "
        "derives from `prune.BasePruningMethod`. Other hooks are not yours to remove.",
        "The hook knows its parameter: `hook._tensor_name`. A dictionary must not change while one "
        "walks over it: loop over `list(module._forward_pre_hooks.values())`.",
    )
    reference = staticmethod(make_permanent)

    def cases(self, rng):
        def l1(module, parameter="weight", amount=0.5):
            return module, parameter, "l1_unstructured", {"amount": amount}

        sizes = [int(size) for size in rng.integers(5, 9, size=4)]
        mlp = network("mlp", _seed(rng), sizes=sizes)
        convnet = network("convnet", _seed(rng), channels=3, classes=5)
        others = network("other weights", _seed(rng), size=6)
        gru = network("recurrent", _seed(rng), size=3)
        filters = ("features.3", "weight", "ln_structured", {"amount": 2, "n": 2, "dim": 0})
        return {
            "every layer of a small network": [(mlp, [l1("0"), l1("2"), l1("4")], {})],
            "one layer of several": [(mlp, [l1("2")], {})],
            "layers inside other modules": [(convnet, [l1("features.0"), filters], {})],
            "a single layer": [
                (network("linear", _seed(rng), inputs=5, outputs=sizes[0]), [l1("")], {})
            ],
            "biases too": [(mlp, [l1("0"), l1("0", "bias", 2), l1("4", "bias")], {})],
            "other kinds of layers": [
                (others, [l1("0"), l1("2")], {}),
                (convnet, [l1("features.1")], {}),
                (gru, [l1("", "weight_hh_l0")], {}),
            ],
            "pruned more than once": [
                (mlp, [l1("0"), ("0", "weight", "random_unstructured", {"amount": 0.3})], {}),
                (convnet, [filters, l1("features.3", amount=0.2)], {}),
            ],
            "a method of one's own": [(mlp, [("2", "weight", "own", {})], {})],
            "trained since": [(mlp, [l1("0"), l1("2", amount=0.3)], {"moved": True})],
            "hooks of others": [
                (mlp, [l1("2")], {"watched": ["0", "2"]}),
                (mlp, [l1("4")], {"normed": ["2"]}),
                (mlp, [l1("4")], {"masked": ["2"]}),
            ],
            "frozen layers, eval mode": [
                ({**mlp, "fixed": ["2"]}, [l1("0"), l1("2")], {}),
                ({**convnet, "training": False}, [filters], {}),
                ({**convnet, "frozen": ["features.4"]}, [filters], {}),
            ],
            "nothing pruned": [(convnet, [], {})],
        }

    def shown(self, case):
        described, prunings, extras = case
        names = [f"{module}.{parameter}".lstrip(".") for module, parameter, *_ in prunings]
        pruned = f"with {' and '.join(map(repr, names))} pruned" if names else "without pruning"
        if any(function == "own" for _, _, function, _ in prunings):
            pruned += " by a method of one's own"
        more = {
            "moved": ", the weights changed since the last forward pass",
            "watched": ", some layers with a hook that is not pruning's",
            "normed": ", and spectral norm on another layer",
            "masked": ", and a buffer 'causal_mask' on another layer",
        }
        return f"{show(described)} {pruned}{''.join(more[extra] for extra in extras)}"

    def call(self, inputs, answer):
        model, prunings, extras = inputs
        for name in extras.get("normed", []):
            spectral_norm(model.get_submodule(name))
        for name in extras.get("masked", []):
            model.get_submodule(name).register_buffer("causal_mask", torch.ones(3, 3).tril())
        for name in extras.get("watched", []):
            model.get_submodule(name).register_forward_pre_hook(lambda module, inputs: None)
        for name, parameter, function, how in prunings:
            method = _OnesOwn.apply if function == "own" else getattr(prune, function)
            method(model.get_submodule(name), parameter, **how)
        pairs = [(model.get_submodule(name), parameter) for name, parameter, *_ in prunings]
        if extras.get("moved"):
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter *= -1.5
        objects = [module._parameters[f"{name}_orig"] for module, name in pairs]
        orig = [parameter.detach().clone() for parameter in objects]
        stale = [getattr(module, name).detach().clone() for module, name in pairs]
        answer(model)
        now = [getattr(module, name, None) for module, name in pairs]
        plain = [name in vars(module) for module, name in pairs]
        same = [
            module._parameters.get(name) is p
            for (module, name), p in zip(pairs, objects, strict=True)
        ]
        found = {"now": now, "plain": plain, "same": same, "orig": orig, "stale": stale}
        return {**state(model), **found}

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        model = build(case[0])
        for name in want["parameters"]:
            if name in got["parameters"]:
                continue
            if f"{name}_orig" not in got["parameters"]:
                return f"{name!r} is no parameter any more: no optimizer or state dict will see it."
            owner, _, own = name.rpartition(".")
            if own == "bias":
                return f"{name!r} is still pruned. Biases can be pruned like weights."
            if not isinstance(model.get_submodule(owner), nn.Linear | nn.Conv2d):
                return f"{name!r} is still pruned. Any layer and any parameter can be."
            return f"{name!r} is still pruned: its {own}_orig is left."
        for part, what in (("parameters", "parameter"), ("buffers", "buffer")):
            extra = [name for name in got[part] if name not in want[part]]
            if extra:
                return f"the {what} {extra[0]!r} is left behind."
        if sum(got["hooks"].values()) > sum(want["hooks"].values()):
            return "the hook is left behind, and fails at the next forward pass without its mask."
        if got["hooks"] != want["hooks"]:
            return "a hook is gone that has nothing to do with pruning; somebody needs it."
        if any(got["plain"]):
            return (
                "the product is still there as a plain attribute. It hides the parameter, and the "
                "layer goes on computing with it."
            )
        for place, wanted in enumerate(want["now"]):
            now = got["now"][place]
            if same_tensor(now, wanted):
                continue
            if same_tensor(now, want["orig"][place]):
                return "the pruned weights have come back: the mask was dropped, not applied."
            if same_tensor(now, want["stale"][place]):
                return (
                    "these are the values of the last forward pass. The weights have been trained "
                    "since: it is `weight_orig` times `weight_mask` that counts."
                )
            return "the values are not those that the next forward pass would have used."
        if not all(got["same"]):
            return (
                "the weights sit in new Parameter objects. An optimizer would go on training the "
                "old ones."
            )
        for part in state(model):
            if not _same(got[part], want[part]):
                return f"besides the pruning, the model's {part} have changed."
        return None


def _same(got: dict, want: dict) -> bool:
    """The same entries in any order: `prune.remove` puts a parameter behind the others."""
    return got.keys() == want.keys() and all(identical(got[name], want[name]) for name in want)


EXERCISES = [PruneEveryNth(), MakePermanent()]
