"""Lesson 05, structured pruning: whole filters leave, and every neighbour shrinks with them."""

import copy

import torch
from torch import nn

from course_utils.exercises.compare import same_tensor, show
from course_utils.exercises.engine import Exercise
from course_utils.exercises.networks import build, network


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


def _some(rng, channels: int, many: int) -> torch.Tensor:
    """A few channels in ascending order; the first is not among them, a gap lies in between."""
    while True:
        chosen = torch.from_numpy(1 + rng.permutation(channels - 1)[:many]).sort().values
        if (chosen.diff() > 1).any():
            return chosen


def _shuffled(rng, channels: int, many: int) -> torch.Tensor:
    """A few channels in no order at all."""
    while True:
        chosen = torch.from_numpy(rng.permutation(channels)[:many])
        if not torch.equal(chosen, chosen.sort().values):
            return chosen


# --- New layers: what can be seen of them, and what can be wrong with them ------------------------

THOSE_STAY = "Those in `keep` stay."
_CONV = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups")
SETTINGS = {
    "Conv2d": (*_CONV, "padding_mode", "_reversed_padding_repeated_twice"),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "Linear": ("in_features", "out_features"),
}


def _taken_apart(layers):
    """The layers that came back, as plain data: enough to build them again elsewhere."""
    if not isinstance(layers, tuple | list):
        return layers
    return [_parts(layer) if isinstance(layer, nn.Module) else layer for layer in layers]


def _parts(layer: nn.Module) -> dict:
    tensors = dict([*layer.named_parameters(), *layer.named_buffers()])
    settings = SETTINGS.get(type(layer).__name__, ())
    return {
        "type": type(layer).__name__,
        "settings": {name: getattr(layer, name, None) for name in settings},
        "tensors": tensors,
        "training": layer.training,
    }


def _revived(parts: dict) -> nn.Module:
    """The layer of which these are the parts, in eval mode and float64."""
    settings = {name: s for name, s in parts["settings"].items() if not name.startswith("_")}
    if parts["type"] != "BatchNorm2d":
        settings["bias"] = "bias" in parts["tensors"]
    layer = getattr(nn, parts["type"])(**settings, dtype=torch.float64)
    layer.load_state_dict({name: values.double() for name, values in parts["tensors"].items()})
    return layer.eval()


def _wrong_form(got, want: list[dict], names: tuple[str, ...], old: nn.Module) -> str | None:
    """Why these are not the smaller layers, whatever numbers they hold."""
    if not isinstance(got, list | tuple):
        return f"{show(got)} came back; a tuple of layers, ({', '.join(names)}), is asked for."
    if len(got) != len(names):
        return f"{len(names)} new layers are asked for, as a tuple ({', '.join(names)})."
    for name, new, right in zip(names, got, want, strict=True):
        if not isinstance(new, dict) or new.get("type") != right["type"]:
            found = new.get("type", "a dictionary") if isinstance(new, dict) else show(new)
            return f"the new `{name}` should be a {right['type']}, and is {found}."
    return _each(_wrong_shape, got, want, names, old) or _each(_wrong_mark, got, want, names, old)


def _each(problem, got, want, names, old) -> str | None:
    found = (
        problem(name, new, right, old.get_submodule(name))
        for name, new, right in zip(names, got, want, strict=True)
    )
    return next(filter(None, found), None)


def _wrong_shape(name: str, new: dict, right: dict, old: nn.Module) -> str | None:
    missing = [what for what in right["tensors"] if what not in new["tensors"]]
    extra = [what for what in new["tensors"] if what not in right["tensors"]]
    if missing:
        return f"the new `{name}` has no {missing[0]}, and the original has one."
    if extra:
        return f"the new `{name}` has a {extra[0]}, and the original has none."
    before = dict([*old.named_parameters(), *old.named_buffers()])
    for what, values in right["tensors"].items():
        shape, wanted = tuple(new["tensors"][what].shape), tuple(values.shape)
        if shape == wanted:
            continue
        if shape == tuple(before[what].shape):
            return f"`{name}.{what}` still has its old shape {shape}; it should be {wanted}."
        gone = tuple(
            b - w if b != w else w for b, w in zip(before[what].shape, wanted, strict=True)
        )
        if shape == gone:
            return (
                f"`{name}.{what}` has the shape {shape}, as if the filters in `keep` had gone. "
                f"{THOSE_STAY}"
            )
        return f"`{name}.{what}` has the shape {shape}; it should be {wanted}."
    return None


def _wrong_mark(name: str, new: dict, right: dict, old: nn.Module) -> str | None:
    for setting, wanted in right["settings"].items():
        if new["settings"].get(setting) != wanted:
            found = show(new["settings"].get(setting))
            return f"the new `{name}` says {setting}={found}; it should be {show(wanted)}."
    for what, values in right["tensors"].items():
        if new["tensors"][what].dtype != values.dtype:
            return f"`{name}.{what}` is {new['tensors'][what].dtype}, and was {values.dtype}."
    if new["training"] != right["training"]:
        if right["training"]:
            return f"the new `{name}` is in eval mode, and the original in train mode."
        return (
            f"the new `{name}` is in train mode, as new layers are, and the original in eval mode."
        )
    return None


def _wrong_numbers(got: list[dict], want: list[dict], names, old: nn.Module, keep, span: int = 1):
    """Which tensor is to blame when the function is wrong, and for what. `span` consecutive
    columns of a linear layer belong to one channel."""
    for name, new, right in zip(names, got, want, strict=True):
        before = {**dict(old.named_parameters()), **dict(old.named_buffers())}
        for what, values in right["tensors"].items():
            found = new["tensors"][what]
            if same_tensor(found, values):
                continue
            original = before[f"{name}.{what}"].detach()
            if same_tensor(values, original):
                return f"`{name}.{what}` has changed, and should be what it was."
            if same_tensor(found, original):
                return f"`{name}.{what}` is as it was, and `keep` asks for another order."
            along = [d for d in range(found.dim()) if original.shape[d] != found.shape[d]]
            if not along:
                return f"`{name}.{what}` is not in the order of `keep`."
            owned = 1 if name != "linear" else span

            def chosen(channels, original=original, dim=along[0], owned=owned):
                places = channels[:, None] * owned + torch.arange(owned)
                return original.index_select(dim, places.flatten())

            if same_tensor(found, chosen(keep.sort().values)):
                return (
                    f"`{name}.{what}` holds the right channels in ascending order; `keep` asks "
                    f"for the order {show(keep)}."
                )
            if same_tensor(found, chosen(torch.arange(len(keep)))):
                return (
                    f"`{name}.{what}` holds the first {len(keep)} channels, whatever `keep` says."
                )
            gone = torch.ones(original.shape[along[0]] // owned, dtype=torch.bool)
            gone[keep] = False
            if same_tensor(found, chosen(gone.nonzero().flatten())):
                return f"`{name}.{what}` holds the filters not in `keep`. {THOSE_STAY}"
            if name == "linear":
                return (
                    f"`linear.weight` does not hold the right columns. After a flatten each "
                    f"channel owns {span} columns in a row: channel c those from c * {span} on."
                )
            return f"`{name}.{what}` does not belong to the filters in `keep`."
    return "the output is not that of the original with the other filters' outputs zeroed."


def _close(got: torch.Tensor, want: torch.Tensor) -> bool:
    return got.shape == want.shape and bool((got - want).abs().max() <= 1e-5 * want.abs().max())


def _images(conv: nn.Conv2d, size: tuple[int, int] = (11, 12)) -> torch.Tensor:
    """Noise on which two layers that differ anywhere give different outputs."""
    dice = torch.Generator().manual_seed(5)
    return torch.randn(8, conv.in_channels, *size, dtype=torch.float64, generator=dice)


# --- The exercises -------------------------------------------------------------------------------


def filter_norms(conv: nn.Conv2d, p: float = 1) -> torch.Tensor:
    return conv.weight.detach().abs().pow(p).flatten(1).sum(dim=1).pow(1 / p)


class FilterNorms(Exercise):
    name = "filter_norms"
    lesson = "05"
    signature = "filter_norms(conv, p=1) -> Tensor"
    points = 1
    minutes = 7
    difficulty = 1
    importance = 4
    hints = (
        "`conv.weight` has the shape (filters, input channels, height, width). A filter is "
        "`conv.weight[i]`, all of it.",
        "`conv.weight.flatten(1)` has a row for each filter.",
        "The p-norm of a row: sizes to the power p, added up, and the p-th root of the sum. "
        "`torch.linalg.vector_norm(rows, ord=p, dim=1)` does all three.",
    )
    reference = staticmethod(filter_norms)

    def cases(self, rng):
        def conv(*sizes, dtype="float32", **settings):
            return network("layers", _seed(rng), dtype=dtype, conv=["Conv2d", sizes, settings])

        filters = int(rng.integers(5, 10))
        sparse = {**conv(3, 6, 3), "zeros": 0.8}
        return {
            "ordinary convolutions": [(conv(3, filters, 3), 1), (conv(4, filters, 3), 2)],
            "p left out": [(conv(2, filters, 3), None)],
            "as many filters as channels": [(conv(5, 5, 3), 1)],
            "other kernels": [
                (conv(3, filters, (1, 5)), 1),
                (conv(7, filters, 1), 2),
                (conv(1, 1, 3), 1),
            ],
            "other norms": [(conv(3, filters, 3), 3), (conv(3, filters, 3), 1.5)],
            "groups and strides": [(conv(6, 6, 3, groups=6, stride=2), 2)],
            "zeros": [(sparse, 1), ({**conv(2, 4, 3), "zeros": 1.0}, 2)],
            "float64": [(conv(3, filters, 3, dtype="float64"), 2)],
        }

    def shown(self, case):
        description, p = case
        return f"filter_norms({build(description).conv}{'' if p is None else f', p={show(p)}'})"

    def call(self, inputs, answer):
        layers, p = inputs
        return answer(layers.conv) if p is None else answer(layers.conv, p)

    def verify(self, case, data):
        description, p = case
        p = 1 if p is None else p
        weight = build(description).conv.weight.detach().double()
        got, want = data.returned, filter_norms_of(weight, p)
        if not isinstance(got, torch.Tensor):
            return f"{show(got)} came back; a tensor with a number for each filter is asked for."
        if same_tensor(got, want):
            return None
        if same_tensor(got.squeeze(), want.squeeze()):
            return f"the norms are right; their shape should be {tuple(want.shape)}."
        if got.numel() == 1 < len(want):
            return "one number came back for the whole layer; every filter has its own."
        if same_tensor(got, filter_norms_of(weight.transpose(0, 1), p)):
            return "these are sums over dimension 1, input channels. Filters are dimension 0."
        if got.shape == weight.shape[:2] != want.shape:
            return "there is a number for each kernel; a filter has one kernel per input channel."
        if same_tensor(got, weight.flatten(1).sum(1)):
            return "positive and negative weights cancel each other. Take sizes first."
        if same_tensor(got, want**p):
            return f"the last step is missing: the p-th root (here p={show(p)})."
        if same_tensor(got, filter_norms_of(weight, 1)):
            return f"this is the 1-norm, and p is {show(p)}."
        if same_tensor(got, filter_norms_of(weight, 2)):
            return f"this is the 2-norm, and p is {show(p)}."
        if same_tensor(got * weight[0].numel(), want):
            return "this is a mean over the filter's weights; a norm does not divide."
        return f"{show(got)} came back instead of {show(want)}."


def filter_norms_of(weight: torch.Tensor, p: float) -> torch.Tensor:
    return torch.linalg.vector_norm(weight.flatten(1), ord=p, dim=1)


def shrink_pair(
    conv: nn.Conv2d, bn: nn.BatchNorm2d, following: nn.Conv2d, keep: torch.Tensor
) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.Conv2d]:
    filters = conv.out_channels
    if bn.num_features != filters:
        raise ValueError(f"the BatchNorm has {bn.num_features} channels, and {filters} come in.")
    if following.in_channels != filters:
        raise ValueError(f"the reader has {following.in_channels} channels, and {filters} come in.")
    conv, bn, following = copy.deepcopy((conv, bn, following))
    everything = ("weight", "bias", "running_mean", "running_var")
    for layer, dim, names in ((conv, 0, everything), (bn, 0, everything), (following, 1, "weight")):
        for name in (names,) if isinstance(names, str) else names:
            old = getattr(layer, name, None)
            if old is not None:
                new = old.detach().index_select(dim, keep)
                if isinstance(old, nn.Parameter):
                    new = nn.Parameter(new, old.requires_grad)
                setattr(layer, name, new)
    conv.out_channels = bn.num_features = following.in_channels = len(keep)
    return conv, bn, following


class ShrinkPair(Exercise):
    name = "shrink_pair"
    lesson = "05"
    signature = "shrink_pair(conv, bn, following, keep) -> tuple"
    points = 5
    minutes = 35
    difficulty = 4
    importance = 5
    hints = (
        "Six tensors shrink: `conv.weight` and `conv.bias` along dimension 0, the four of the "
        "BatchNorm, and `following.weight` along dimension 1. Some of them may be None.",
        "`copy.deepcopy((conv, bn, following))` gives layers with all settings and modes. "
        "Then replace their tensors: `nn.Parameter(old.detach()[keep])`; "
        "`running_mean` and `running_var` are buffers, plain tensors.",
        "Columns: `following.weight.detach()[:, keep]`. Last, say how many there are now: "
        "`conv.out_channels`, `bn.num_features` and `following.in_channels`.",
    )
    reference = staticmethod(shrink_pair)

    def cases(self, rng):
        filters = int(rng.integers(7, 10))

        def three(conv=None, bn=None, following=None, kernels=(3, 3), **other):
            inputs, outputs = (int(n) for n in rng.integers(4, 7, size=2))
            return network(
                "layers",
                _seed(rng),
                conv=["Conv2d", (inputs, filters, kernels[0]), {"bias": False, **(conv or {})}],
                bn=["BatchNorm2d", (filters,), bn or {}],
                following=["Conv2d", (filters, outputs, kernels[1]), following or {}],
                **other,
            )

        def some():
            return _some(rng, filters, 3)

        padded, dilated = {"padding": 1}, {"dilation": (2, 1), "padding": (2, 0)}
        plain = three(padded, following=padded)
        narrow = network(
            "layers",
            _seed(rng),
            conv=["Conv2d", (2, filters, 3), {}],
            bn=["BatchNorm2d", (filters - 1,), {}],
            following=["Conv2d", (filters, 3, 3), {}],
        )
        unread = network(
            "layers",
            _seed(rng),
            conv=["Conv2d", (2, filters, 3), {}],
            bn=["BatchNorm2d", (filters,), {}],
            following=["Conv2d", (filters + 1, 3, 3), {}],
        )
        return {
            "ordinary layers": [(plain, some()), (three(padded, following=padded), some())],
            "any order": [(plain, _shuffled(rng, filters, 4)), (plain, torch.tensor([3, 1]))],
            "with and without biases": [
                (three({"bias": True}), some()),
                (three({"bias": True}, following={"bias": False}), some()),
                (three(following={"bias": False}), some()),
            ],
            "other kernels, strides, dilation": [
                (three({"stride": (2, 1)}, following=dilated, kernels=((1, 3), (3, 2))), some()),
                (three(dilated, following={"stride": (1, 2)}, kernels=((2, 3), 1)), some()),
            ],
            "other paddings": [
                (three({"padding": (2, 1), "padding_mode": "reflect"}, following=padded), some()),
                (three(padded, following={"padding": 2, "padding_mode": "circular"}), some()),
                (three(following={"padding": (0, 1), "padding_mode": "replicate"}), some()),
                (three({"padding": "same", "padding_mode": "circular"}, kernels=(5, 3)), some()),
                (three(following={"padding": "valid"}), some()),
            ],
            "other BatchNorms": [
                (three(bn={"eps": 0.5}), some()),
                (three(bn={"momentum": 0.7}), some()),
                (three(bn={"momentum": None}), some()),
                (three(bn={"affine": False}), some()),
                (three(bn={"track_running_stats": False}), some()),
            ],
            "modes": [
                (three(training=False), some()),
                (three(frozen=["bn"]), some()),
                (three(frozen=["conv", "following"]), some()),
            ],
            "float64": [(three({"bias": True}, dtype="float64"), some())],
            "one, all": [
                (plain, torch.tensor([filters - 1])),
                (plain, torch.arange(filters)),
                (plain, torch.arange(filters).flip(0)),
            ],
            "what does not fit": [
                (narrow, torch.tensor([0, 2])),
                (unread, torch.tensor([0, 2])),
            ],
        }

    def shown(self, case):
        description, keep = case
        layers = build(description)
        return f"shrink_pair({layers.conv}, {layers.bn}, {layers.following}, keep={show(keep)})"

    def call(self, inputs, answer):
        layers, keep = inputs
        return _taken_apart(answer(layers.conv, layers.bn, layers.following, keep))

    def verify(self, case, data):
        description, keep = case
        names, old = ("conv", "bn", "following"), build(description)
        want = self.expected(case)
        if wrong := _wrong_form(data.returned, want, names, old):
            return wrong
        x = _images(old.conv)
        conv, bn, following = (_revived(parts) for parts in data.returned)
        old.double().eval()
        with torch.no_grad():
            whole, between = old.bn(old.conv(x)), bn(conv(x))
            silent = torch.zeros_like(whole).index_copy(1, keep, whole[:, keep])
            if _close(between, whole[:, keep]) and _close(
                following(between), old.following(silent)
            ):
                return None
        return _wrong_numbers(data.returned, want, names, build(description), keep)


def shrink_into_linear(
    conv: nn.Conv2d, linear: nn.Linear, keep: torch.Tensor, positions: int
) -> tuple[nn.Conv2d, nn.Linear]:
    filters = conv.out_channels
    if linear.in_features != filters * positions:
        raise ValueError(
            f"{filters} channels of {positions} positions are not {linear.in_features} inputs."
        )
    columns = (keep[:, None] * positions + torch.arange(positions)).flatten()
    conv, linear = copy.deepcopy((conv, linear))
    for layer, name, dim, kept in (
        (conv, "weight", 0, keep),
        (conv, "bias", 0, keep),
        (linear, "weight", 1, columns),
    ):
        old = getattr(layer, name)
        if old is not None:
            new = nn.Parameter(old.detach().index_select(dim, kept), old.requires_grad)
            setattr(layer, name, new)
    conv.out_channels, linear.in_features = len(keep), len(columns)
    return conv, linear


class ShrinkIntoLinear(Exercise):
    name = "shrink_into_linear"
    lesson = "05"
    signature = "shrink_into_linear(conv, linear, keep, positions) -> tuple"
    points = 3
    minutes = 20
    difficulty = 4
    importance = 4
    hints = (
        "Flatten writes channel after channel: all positions of channel 0, then all of channel 1. "
        "So channel c owns the columns from c * positions up to (c + 1) * positions.",
        "Give the linear layer's weight a shape in which channels have a dimension of their own: "
        "`weight.view(out_features, channels, positions)`. Choose along it, and flatten again.",
        "`linear.weight.detach().view(len(linear.weight), -1, positions)[:, keep].flatten(1)`; "
        "then `linear.in_features = len(keep) * positions`. Everything else as in shrink_pair.",
    )
    reference = staticmethod(shrink_into_linear)

    def cases(self, rng):
        filters = int(rng.integers(6, 9))

        def two(positions, conv=None, linear=None, kernel=3, **other):
            inputs, outputs = (int(n) for n in rng.integers(2, 7, size=2))
            return network(
                "layers",
                _seed(rng),
                conv=["Conv2d", (inputs, filters, kernel), conv or {}],
                linear=["Linear", (filters * positions, outputs), linear or {}],
                **other,
            )

        def some():
            return _some(rng, filters, 3)

        four = two(4)
        wide = {"kernel": (1, 3), "conv": {"stride": (1, 2), "padding": (0, 1)}}
        return {
            "ordinary layers": [(four, some(), 4, (4, 4)), (two(6), some(), 6, (4, 5))],
            "any order": [
                (four, _shuffled(rng, filters, 4), 4, (4, 4)),
                (two(6), torch.tensor([4, 0]), 6, (5, 4)),
            ],
            "one position": [(two(1), some(), 1, (3, 3))],
            "with and without biases": [
                (two(4, {"bias": False}), some(), 4, (4, 4)),
                (two(4, linear={"bias": False}), some(), 4, (4, 4)),
            ],
            "other convolutions": [
                (two(8, **wide), some(), 8, (2, 8)),
                (two(9, {"padding": 1, "padding_mode": "reflect"}), some(), 9, (3, 3)),
                (two(3, {"dilation": 2}), some(), 3, (5, 7)),
            ],
            "modes": [
                (two(4, training=False), some(), 4, (4, 4)),
                (two(4, frozen=["linear"]), some(), 4, (4, 4)),
                (two(4, frozen=["conv"]), some(), 4, (4, 4)),
            ],
            "float64": [(two(4, dtype="float64"), some(), 4, (4, 4))],
            "one, all": [
                (four, torch.tensor([filters - 1]), 4, (4, 4)),
                (four, torch.arange(filters), 4, (4, 4)),
                (four, torch.arange(filters).flip(0), 4, (4, 4)),
            ],
            "what does not fit": [
                (four, torch.tensor([0, 2]), 5, (4, 4)),
                (four, torch.tensor([0, 2]), 2, (4, 4)),
            ],
        }

    def shown(self, case):
        description, keep, positions, _ = case
        layers = build(description)
        return (
            f"shrink_into_linear({layers.conv}, {layers.linear}, keep={show(keep)}, "
            f"positions={positions})"
        )

    def call(self, inputs, answer):
        layers, keep, positions, _ = inputs
        return _taken_apart(answer(layers.conv, layers.linear, keep, positions))

    def verify(self, case, data):
        description, keep, positions, size = case
        names, old = ("conv", "linear"), build(description)
        want = self.expected(case)
        if wrong := _wrong_form(data.returned, want, names, old):
            return wrong
        x = _images(old.conv, size)
        conv, linear = (_revived(parts) for parts in data.returned)
        old.double().eval()
        with torch.no_grad():
            whole, between = old.conv(x), conv(x)
            silent = torch.zeros_like(whole).index_copy(1, keep, whole[:, keep])
            after = linear(between.flatten(1))
            if _close(between, whole[:, keep]) and _close(after, old.linear(silent.flatten(1))):
                return None
        return _wrong_numbers(data.returned, want, names, build(description), keep, positions)


def coupled_keep(scores: list[torch.Tensor], k: int) -> torch.Tensor:
    channels = len(scores[0])
    if any(len(member) != channels for member in scores):
        raise ValueError("layers that are added have the same number of channels.")
    if not 0 <= k <= channels:
        raise ValueError(f"of {channels} channels one cannot keep {k}.")
    together = sum(member.double() / member.double().sum() for member in scores)
    return together.argsort(descending=True)[:k].sort().values


class CoupledKeep(Exercise):
    name = "coupled_keep"
    lesson = "05"
    signature = "coupled_keep(scores, k) -> Tensor"
    points = 2
    minutes = 12
    difficulty = 3
    importance = 4
    hints = (
        "Each layer has a vote for each channel. So that no layer outvotes the others by the mere "
        "size of its numbers, divide a layer's scores by their sum.",
        "Add the divided scores up: one number a channel. `topk(k).indices` names the best.",
        "`topk` lists the best first; `.sort().values` puts the indices in ascending order. "
        "Compare the lengths, and `k` with them, before anything else.",
    )
    reference = staticmethod(coupled_keep)

    def cases(self, rng):
        def telling(members, channels, k, dtype=torch.float32):
            """Scores for which other ways of adding up keep other channels."""
            while True:
                shapes = torch.from_numpy(rng.random((members, channels)) ** rng.integers(1, 4))
                scores = list((shapes + 0.02) * 3.0 ** torch.arange(members)[:, None])
                if _tells(scores, k):
                    return [member.to(dtype) for member in scores], k

        few = int(rng.integers(12, 15))
        order = torch.from_numpy(rng.permutation(9))
        small = [member[order] for member in DECIDED]
        tied = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0, 3.0])
        long = telling(2, 16, 6)[0]
        striped = [torch.stack([member, -member], dim=1)[:, 0] for member in long]
        return {
            "two layers": [(small, 4), telling(2, few, 5)],
            "three and four layers": [telling(3, 12, 5), telling(4, 10, 4)],
            "one layer": [([torch.tensor([0.3, 4.0, 0.1, 2.0, 0.5])], 2)],
            "ties": [([tied, tied.flip(0)], 3), ([torch.ones(6), torch.full((6,), 5.0)], 2)],
            "other tensors": [telling(2, 12, 4, torch.float64), (striped, 6)],
            "none, all": [(long, 0), (long, 16)],
            "what makes no sense": [
                ([tied[1:], tied], 2),
                ([tied[:1], tied], 1),
                ([tied, tied], 7),
                ([tied, tied], -1),
            ],
        }

    def verify(self, case, data):
        scores, k = case
        got = data.returned
        if not isinstance(got, torch.Tensor):
            return f"{show(got)} came back, and a tensor of channel numbers is asked for."
        if got.dtype == torch.bool:
            return "this is a mask; `nonzero().flatten()` turns it into channel numbers."
        if got.dtype != torch.int64:
            return f"the channel numbers are {got.dtype}; torch counts places in int64."
        if got.shape != (k,):
            return f"the result has the shape {tuple(got.shape)}; {k} channels should stay."
        total = _together([member.double() for member in scores])
        if ((got < 0) | (got >= len(total))).any():
            return f"{show(got)} came back; there are channels 0 to {len(total) - 1}."
        if len(got.unique()) < k:
            return f"{show(got)} are not {k} different channels."
        if _best(got, total):
            if torch.equal(got, got.sort().values):
                return None
            return f"{show(got)} are the right channels; name them in ascending order."
        for rule, why in OTHER_RULES:
            if _best(got, rule([member.double() for member in scores])):
                return why
        return f"channels {show(got)} came back, and others have higher sums."


def _together(scores):
    return sum(member / member.sum() for member in scores)


def _best(kept: torch.Tensor, total: torch.Tensor) -> bool:
    """Whether no channel that goes is clearly better than one that stays."""
    left = torch.ones(len(total), dtype=torch.bool)
    left[kept] = False
    if left.all() or not left.any():
        return True
    return bool(total[kept].min() >= total[left].max() * (1 - 1e-6))


# Every way of adding up listed below keeps four other channels of these.
DECIDED = (
    torch.tensor([0.6, 1.8, 1.6, 1.0, 2.4, 2.1, 1.3, 1.7, 0.2]),
    torch.tensor([3.8, 1.4, 1.6, 2.8, 0.4, 0.2, 2.2, 5.6, 3.8]),
)

# What learners do instead, kept to recognise it by its results.
OTHER_RULES = (
    (lambda scores: -_together(scores) + 100, "these are the weakest channels; they should go."),
    (
        lambda scores: sum(scores),
        "this is what the scores give as they are: the layer with the largest numbers decides "
        "alone. Divide each layer's scores by their sum before adding.",
    ),
    (lambda scores: scores[0], "these are the first layer's best; all layers have a say."),
    (
        lambda scores: torch.stack([m / m.sum() for m in scores]).amax(0),
        "this is what the largest of the divided scores gives; they are to be added.",
    ),
    (
        lambda scores: torch.stack(scores).log().sum(0) + 1000,
        "this is what multiplying the scores gives; after the division they are to be added.",
    ),
    (
        lambda scores: sum(m / m.max() for m in scores),
        "this is what dividing by the largest score gives; divide by the sum of the scores.",
    ),
    (
        lambda scores: sum(m / m.norm() for m in scores),
        "this is what dividing by the Euclidean length gives; divide by the sum of the scores.",
    ),
    (
        lambda scores: sum(m.softmax(0) for m in scores),
        "this is what a softmax gives, which makes another ranking. Divide by the sum.",
    ),
)


def _tells(scores, k) -> bool:
    """Whether every other rule clearly keeps other channels here than the right one."""
    kept = []
    for rule in (_together, *(rule for rule, _ in OTHER_RULES)):
        ranked = rule(scores).sort(descending=True)
        if ranked.values[k - 1] <= ranked.values[k] * (1 + 1e-4):
            return False
        kept.append(set(ranked.indices[:k].tolist()))
    return kept[0] not in kept[1:]


EXERCISES = [FilterNorms(), ShrinkPair(), ShrinkIntoLinear(), CoupledKeep()]
