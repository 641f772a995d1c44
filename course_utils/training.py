"""Train a small network, and say how often it is right.

Deterministic: the same model, data and seed give the same weights, bit for bit, on one machine
with one version of PyTorch. (Another processor adds in another order, and rounds otherwise.)
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from course_utils.data import Images, batches
from course_utils.measure import evaluating, require_count, threads
from course_utils.runtime import automated

# What the three models need on the digits. Accuracies are means and standard deviations over
# five seeds on the validation images; a recipe takes under a second on one core.
RECIPES = {
    "lenet": {"epochs": 10, "lr": 2e-3},  # 96.2 +- 0.5 %
    "cnn": {"epochs": 4, "lr": 2e-3},  # 98.9 +- 0.2 %
    "resnet8": {"epochs": 6, "lr": 3e-3},  # 98.5 +- 0.4 %
}


def cosine(progress: float) -> float:
    """The share of the learning rate in use, falling from 1 to 0 along half a cosine wave."""
    return (1 + math.cos(math.pi * progress)) / 2


def constant(progress: float) -> float:
    """The whole learning rate from beginning to end."""
    return 1.0


def train(
    model: nn.Module,
    data: Images,
    epochs: int,
    lr: float,
    seed: int = 0,
    optimizer: Callable[..., Optimizer] = Adam,
    schedule: Callable[[float], float] = cosine,
    batch_size: int = 64,
    after_step: Callable[[nn.Module], object] | None = None,
    quiet: bool = False,
) -> dict[str, list[float]]:
    """Train in place; returns the mean loss and the validation accuracy (0 to 1) of each epoch.

    `seed` decides the order of the images and what dropout drops; torch's own random state is
    left as it was. `optimizer` is called as `optimizer(parameters, lr=lr)`, so that
    `functools.partial(torch.optim.SGD, momentum=0.9)` will do. `schedule` turns progress (0 to 1)
    into a share of `lr`. `after_step(model)` runs after every step, for whoever must keep
    something as it is, such as zeros. The model comes back in eval mode, ready to be measured.
    A progress bar is shown unless `quiet`, or where nobody is looking.
    """
    require_count("epochs", epochs, at_least=0)
    require_count("batch_size", batch_size, at_least=1)
    if not 0 < lr < math.inf:
        raise ValueError(f"a learning rate must be a number above 0, not {lr!r}.")
    steps = epochs * math.ceil(len(data.x_train) / batch_size)
    history: dict[str, list[float]] = {"loss": [], "accuracy": []}
    with threads(1), _seeded(model, seed), _bar(steps, quiet) as bar:
        order = torch.Generator().manual_seed(seed)
        stepper = optimizer(model.parameters(), lr=lr)
        rate = LambdaLR(stepper, lambda step: schedule(step / max(steps, 1)))
        try:
            for _ in range(epochs):
                model.train()
                losses = []
                for x, y in batches(data.x_train, data.y_train, batch_size, order):
                    stepper.zero_grad()
                    loss = cross_entropy(model(x), y)
                    loss.backward()
                    stepper.step()
                    rate.step()
                    if after_step is not None:
                        after_step(model)
                    losses.append(loss.item() * len(x))
                    bar.update()
                history["loss"].append(sum(losses) / len(data.x_train))
                history["accuracy"].append(accuracy(model, data.x_val, data.y_val))
                bar.set_postfix_str(f"validation {history['accuracy'][-1]:.1%}".replace("%", " %"))
        finally:
            model.eval()
    return history


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share (0 to 1) of images whose highest output is the right label, in eval mode."""
    if len(x) == 0:
        raise ValueError("there are no images to measure the accuracy on.")
    with threads(1), evaluating(model):
        right = sum(int((model(some).argmax(1) == of).sum()) for some, of in batches(x, y, 1000))
    return right / len(x)


@contextmanager
def _seeded(model: nn.Module, seed: int) -> Iterator[None]:
    """Torch's random numbers start from `seed` within, and go on undisturbed afterwards."""
    gpus = sorted({p.device.index for p in model.parameters() if p.is_cuda})
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)
        yield


def _bar(steps: int, quiet: bool) -> tqdm:
    hidden = quiet or automated()
    return tqdm(desc="training", total=steps, unit="step", file=sys.stdout, disable=hidden)
