"""Small networks for cases, described by plain data, and what can be seen of a network after use.

A case holds `network("mlp", sizes=[4, 8, 3], seed=7)`, a dict that can travel; `build` makes the
module of it, the same one each time.
"""

import copy
from itertools import pairwise

import torch
from torch import nn


def network(kind: str, seed: int, **settings) -> dict:
    """Describe a network. `settings` besides those of the kind:

    `zeros`: share of every parameter set to zero at random; `whole`: names of modules that are
    spared this; `training`: its mode;
    `frozen`: names of modules put in eval mode whatever the rest does; `fixed`: names of modules
    whose parameters do not train; `scale`: a factor for all parameters; `rounded`: to how many
    decimals they are rounded, so that many tie.
    """
    return {"network": kind, "seed": int(seed), **settings}


def is_network(value) -> bool:
    return isinstance(value, dict) and "network" in value


def build(description: dict) -> nn.Module:
    settings = dict(description)
    make = _KINDS[settings.pop("network")]
    seed, zeros = settings.pop("seed"), settings.pop("zeros", 0.0)
    scale, rounded = settings.pop("scale", 1.0), settings.pop("rounded", None)
    training, whole = settings.pop("training", True), settings.pop("whole", [])
    frozen, fixed = settings.pop("frozen", []), settings.pop("fixed", [])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(**settings)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.rpartition(".")[0] not in whole:
                    parameter[torch.rand(parameter.shape) < zeros] = 0
                parameter *= scale
                if rounded is not None:
                    parameter.copy_(parameter.round(decimals=rounded))
                parameter.grad = torch.rand(parameter.shape, dtype=parameter.dtype)
            for buffer in model.buffers():
                if buffer.is_floating_point():
                    buffer += torch.rand(buffer.shape)
    model.train(training)
    for name in frozen:
        model.get_submodule(name).eval()
    for name in fixed:
        model.get_submodule(name).requires_grad_(False)
    return model


def shown(description: dict) -> str:
    """What a sentence calls a described network: a layer in full, a network by its layers."""
    model = build(description)
    layers = [module for module in model.modules() if not list(module.children())]
    if layers == [model]:
        return repr(model)
    return f"a network of {', '.join(type(layer).__name__ for layer in layers)}"


def state(model: nn.Module) -> dict:
    """Everything a well-behaved answer leaves as it was, as plain data."""
    return {
        "parameters": dict(model.named_parameters()),
        "buffers": dict(model.named_buffers()),
        "gradients": {name: p.grad for name, p in model.named_parameters()},
        "requires_grad flags": {name: p.requires_grad for name, p in model.named_parameters()},
        "layers": {name: type(module).__name__ for name, module in model.named_modules()},
        "modes": {name: module.training for name, module in model.named_modules()},
        "hooks": {name: _hooks(module) for name, module in model.named_modules()},
        "settings": {name: _settings(module) for name, module in model.named_modules()},
    }


def _hooks(module: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for kind in kinds)


def _settings(module: nn.Module) -> dict:
    """What a layer was told when it was made, such as a momentum, and a `forward` put over it."""
    plain = {n: v for n, v in vars(module).items() if isinstance(v, bool | int | float | str)}
    patched = getattr(module.forward, "__func__", None) is not type(module).forward
    return {**plain, "forward": patched}


def _mlp(sizes):
    layers = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _convnet(channels, classes, dropout=0.5):
    """For 8x8 images, with what changes between train and eval mode: BatchNorm and dropout."""
    features = nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, padding=1, groups=channels),
        nn.Dropout(dropout),
        nn.ReLU(inplace=True),
    )
    head = nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(8 * channels, classes))
    return _Chain(features, head)


class _Chain(nn.Module):
    """Two named parts, one after the other: most layers sit one level down."""

    def __init__(self, features, head):
        super().__init__()
        self.features, self.head = features, head

    def forward(self, x):
        return self.head(self.features(x))


class _Tied(nn.Module):
    """Encoder and decoder share one weight, as word embeddings often do."""

    def __init__(self, size, empty_rows=0):
        super().__init__()
        self.encoder, self.middle, self.decoder = (nn.Linear(size, size) for _ in range(3))
        nn.init.zeros_(self.middle.weight[:empty_rows])
        self.decoder.weight = self.encoder.weight
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.decoder(self.relu(self.middle(self.encoder(x))))


def _reused(size):
    """One layer under two names, and its double: another tensor that happens to be equal."""
    layer, last = nn.Linear(size, size), nn.Linear(size, 1)
    return nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), copy.deepcopy(layer), last)


class _ReusedReLU(nn.Module):
    """One ReLU called twice, on outputs of different sizes."""

    def __init__(self, sizes):
        super().__init__()
        self.first, self.second = nn.Linear(sizes[0], sizes[1]), nn.Linear(sizes[1], sizes[2])
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.second(self.relu(self.first(x)) - 0.3))


class _Breaking(nn.Module):
    """Runs one ReLU, then fails: whatever was attached to it must still come off."""

    def __init__(self, size):
        super().__init__()
        self.layer, self.relu = nn.Linear(size, size), nn.ReLU()

    def forward(self, x):
        self.relu(self.layer(x))
        raise RuntimeError("this network breaks on purpose, half-way through its forward pass")


def _layers(dtype="float32", **layers):
    """Layers to be taken out one by one, each from [class, sizes, settings]. BatchNorm looks
    trained: no two channels alike, some negative."""
    made = nn.ModuleDict(
        {
            name: getattr(nn, kind)(*sizes, **settings, dtype=getattr(torch, dtype))
            for name, (kind, sizes, settings) in layers.items()
        }
    )
    with torch.no_grad():
        for layer in made.values():
            if isinstance(layer, nn.BatchNorm2d):
                for name, values in [*layer.named_parameters(), *layer.named_buffers()]:
                    if values.is_floating_point():
                        values.normal_()
                        if name == "running_var":
                            values.exp_()
    return made


def _norms(channels, features):
    """BatchNorm of every kind, for 8x8 images: 2-D and 1-D, with and without scales or running
    statistics, each with another momentum; and dropout. Scales are of either sign."""
    model = nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.BatchNorm2d(channels, momentum=0.3),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.BatchNorm2d(channels, momentum=None),
        nn.ReLU(),
        nn.AvgPool2d(4),
        nn.Flatten(),
        nn.Linear(4 * channels, features),
        nn.BatchNorm1d(features, affine=False),
        nn.ReLU(),
        nn.BatchNorm1d(features, track_running_stats=False),
        nn.Linear(features, 3),
    )
    for place in (1, 5, 12):
        nn.init.normal_(model[place].weight)
    for place in (1, 5, 10):
        model[place].num_batches_tracked += 7  # as if it had been trained
    return model


_KINDS = {
    "layers": _layers,
    "mlp": _mlp,
    "norms": _norms,
    "linear": lambda inputs, outputs: nn.Linear(inputs, outputs),
    "conv": nn.Conv2d,
    "convnet": _convnet,
    "tied": _Tied,
    "reused layer": _reused,
    "reused relu": _ReusedReLU,
    "breaking": _Breaking,
    "other weights": lambda size: nn.Sequential(
        nn.Embedding(size, 4), nn.Linear(4, 6), nn.Conv1d(6, size, 3), nn.LayerNorm(4)
    ),
    "recurrent": lambda size: nn.GRU(size, size),
    "nothing to prune": lambda size: nn.Sequential(nn.BatchNorm1d(size), nn.ReLU()),
}
