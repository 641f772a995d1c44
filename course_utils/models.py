"""The networks of the course: a LeNet, a CNN and a small ResNet for images, a tiny transformer.

Each layer has a name and each ReLU is a module of its own, so that it can be pointed at, hooked
and removed. The three image models come trained on the digits: `load("lenet")`.
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from course_utils import training
from course_utils.data import digits

CHECKPOINTS = Path(__file__).parent / "checkpoints"
SAME = 0.02  # accuracies this close count as the same where bytes cannot be


def lenet(classes: int = 10, pixels: int = 64) -> nn.Module:
    """LeNet-300-100: two hidden layers and nothing else, the fruit fly of pruning papers."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            fc1=nn.Linear(pixels, 300),
            relu1=nn.ReLU(),
            fc2=nn.Linear(300, 100),
            relu2=nn.ReLU(),
            fc3=nn.Linear(100, classes),
        )
    )


def cnn(classes: int = 10, channels: int = 1, side: int = 8) -> nn.Module:
    """Three convolutions with BatchNorm, 32-64-128 channels wide, and a wide linear layer.

    Wide enough that removing channels is visibly faster even on pictures of 8 x 8.
    """
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 32, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(32),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 64, 3, padding=1, bias=False),
            bn2=nn.BatchNorm2d(64),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            conv3=nn.Conv2d(64, 128, 3, padding=1, bias=False),
            bn3=nn.BatchNorm2d(128),
            relu3=nn.ReLU(),
            pool3=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(128 * (side // 4) ** 2, 128),
            relu4=nn.ReLU(),
            fc2=nn.Linear(128, classes),
        )
    )


def resnet8(classes: int = 10, channels: int = 1) -> nn.Module:
    """A stem, three residual blocks of 16, 32 and 64 channels, and a linear layer: 8 in depth."""
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, 16, 3, padding=1, bias=False),
            bn=nn.BatchNorm2d(16),
            relu=nn.ReLU(),
            block1=Residual(16, 16),
            block2=Residual(16, 32, stride=2),
            block3=Residual(32, 64, stride=2),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(64, classes),
        )
    )


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in.

    The addition ties channels together: channel 3 of the one summand cannot leave without
    channel 3 of the other. Where the sizes differ, a 1 x 1 convolution fits the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = (
            nn.Identity()
            if (inputs, 1) == (outputs, stride)
            else nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                    bn=nn.BatchNorm2d(outputs),
                )
            )
        )
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        changed = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(changed + self.shortcut(x))


def tiny_transformer(
    vocabulary: int = 32, length: int = 32, width: int = 64, heads: int = 4, layers: int = 2
) -> nn.Module:
    """A decoder-only transformer, untrained, for the bonus lesson: tokens in, next tokens out."""
    return Transformer(vocabulary, length, width, heads, layers)


class Transformer(nn.Module):
    """Token and position embeddings, blocks of attention and feed-forward, a linear layer."""

    def __init__(self, vocabulary: int, length: int, width: int, heads: int, layers: int):
        super().__init__()
        self.length = length
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Whole numbers (batch, time) to scores (batch, time, vocabulary)."""
        time = tokens.shape[1]
        if time > self.length:
            raise ValueError(f"{time} tokens do not fit a model made for {self.length}.")
        x = self.tokens(tokens) + self.positions(torch.arange(time, device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x))


class Block(nn.Module):
    """Attention, then a feed-forward pair of layers, each added to what came in."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.relu = nn.ReLU()
        self.down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.down(self.relu(self.up(self.norm2(x))))


class Attention(nn.Module):
    """Causal attention written out, so that a head can be looked at, silenced and removed.

    Head h owns the h-th slice of the rows of `query`, `key` and `value` and of the columns of
    `merge`. `each_head` changes nothing: a hook on it sees (batch, heads, time, width of a head).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"a width of {width} cannot be shared equally by {heads} heads.")
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.each_head = nn.Identity()
        self.merge = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._split(part(x)) for part in (self.query, self.key, self.value))
        match = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
        future = torch.ones_like(match[0, 0], dtype=torch.bool).triu(1)
        attention = match.masked_fill(future, float("-inf")).softmax(-1)
        return self.merge(self.each_head(attention @ value).transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        """(batch, time, all widths) to (batch, heads, time, width of a head)."""
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


MAKERS = {"lenet": lenet, "cnn": cnn, "resnet8": resnet8}


def new(name: str, seed: int = 0) -> nn.Module:
    """An untrained model for the digits, its weights drawn from `seed`.

    Drawn from far away from it, to be exact: a random mask made with the same small seed would
    otherwise repeat the numbers behind the weights, remove exactly the most negative ones, and
    do more damage than chance ever does.
    """
    _require_known(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1_000_003)
        return MAKERS[name]()


def trained(name: str, seed: int = 0) -> nn.Module:
    """A model trained here and now on the digits by its recipe: under a second on one core."""
    model = new(name, seed)
    training.train(model, digits(), seed=seed, quiet=True, **training.RECIPES[name])
    return model


def load(name: str, seed: int = 0) -> nn.Module:
    """The trained digits model, in eval mode; `name` is "lenet", "cnn" or "resnet8".

    Seed 0 comes out of the package. Others, for whoever asks whether something holds for more
    than one network, are trained on the spot.
    """
    _require_known(name)
    return _read(_path(CHECKPOINTS, name), name)[0] if seed == 0 else trained(name, seed)


def rebuild_checkpoints(folder: Path = CHECKPOINTS, check: bool = False) -> dict[str, str]:
    """Train the shipped models anew and write them to `folder`; returns a sentence for each.

    With `check` nothing is written: what is there is compared with what comes out. On the machine
    and the PyTorch that made the files every byte is the same. Another processor rounds
    otherwise, so there the recipe and the accuracy are compared instead; a file that is missing,
    follows another recipe or is off in accuracy raises ValueError.
    """
    return {name: (_compare if check else _write)(Path(folder), name) for name in MAKERS}


def _write(folder: Path, name: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    content, accuracy = _checkpoint(name)
    unfinished = _path(folder, name).with_suffix(".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(_path(folder, name))
    return f"{name}: written, {len(content):,} bytes, validation accuracy {100 * accuracy:.1f} %"


def _compare(folder: Path, name: str) -> str:
    path = _path(folder, name)
    if not path.exists():
        raise ValueError(f"{name}: there is no checkpoint at {path}.")
    model, recorded = _read(path, name)
    if recorded["recipe"] != _recipe(name):
        raise ValueError(f"{name}: made by {recorded['recipe']}, but now it is {_recipe(name)}.")
    fresh, accuracy = _checkpoint(name)
    if path.read_bytes() == fresh:
        return f"{name}: the same, bit for bit"
    stored = _validation_accuracy(model)
    if max(stored, accuracy) - min(stored, accuracy, recorded["accuracy"]) > SAME:
        raise ValueError(
            f"{name}: trained here it reaches {100 * accuracy:.1f} %, the stored weights reach "
            f"{100 * stored:.1f} % and were recorded with {100 * recorded['accuracy']:.1f} %."
        )
    return f"{name}: other bits, the same accuracy within {100 * SAME:.0f} points"


def _checkpoint(name: str) -> tuple[bytes, float]:
    """A model trained just now as a file's content, and its validation accuracy.

    The recipe travels in one metadata entry: of several, safetensors may change the order.
    """
    model = trained(name)
    accuracy = _validation_accuracy(model)
    made = json.dumps({"recipe": _recipe(name), "accuracy": round(accuracy, 4)}, sort_keys=True)
    return save(model.state_dict(), {"made": made}), accuracy


def _read(path: Path, name: str) -> tuple[nn.Module, dict]:
    model = new(name)
    with safe_open(path, "pt") as file:
        model.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
        return model.eval(), json.loads(file.metadata()["made"])


def _recipe(name: str) -> dict:
    return {"model": name, "seed": 0, **training.RECIPES[name]}


def _validation_accuracy(model: nn.Module) -> float:
    data = digits()
    return training.accuracy(model, data.x_val, data.y_val)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"


def _require_known(name: str) -> None:
    if name not in MAKERS:
        raise ValueError(f"there is no model {name!r}; there are {', '.join(MAKERS)}.")
