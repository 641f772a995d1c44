"""After pruning: win back what was lost, or go back to where it was not lost yet.

Fine-tuning that keeps zeros zero, rewinding to earlier weights, penalties that make a network
ready for pruning while it trains, BatchNorm statistics taken anew, and an optimizer for a model
whose parameters are no longer the old ones. How to train is the caller's business: `fine_tune`
takes a function that does it. When to prune how much is in `schedules`.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from course_utils.measure import forward, prunable_weights
from course_utils.pruning.masks import Masks, eraser

BATCHNORM = nn.modules.batchnorm._BatchNorm


def fine_tune(
    model: nn.Module, train: Callable[[nn.Module], object], masks: Masks | None = None
) -> None:
    """Run `train(model)`, in place, while every masked weight stays exactly zero.

    After pruning, the weights that are left can take over much of what the others did (Han et
    al. 2015, "Learning both Weights and Connections"). The masks are applied after every step
    of whatever optimizer `train` makes: masking gradients alone would not do, because momentum
    and weight decay move weights whose gradient is zero. Training modes come back as they were.

    >>> model = nn.Linear(2, 1)
    >>> def train(model):
    ...     optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    ...     model(torch.ones(4, 2)).sum().backward(), optimizer.step()
    >>> fine_tune(model, train, {"weight": torch.tensor([[1, 0]])})
    >>> model.weight[0, 1].item()
    0.0
    """
    erase = eraser(model, masks or {})
    modes = [(module, module.training) for module in model.modules()]
    erase()
    hook = register_optimizer_step_post_hook(lambda *_: erase())
    try:
        train(model)
    finally:
        hook.remove()
        erase()
        for module, training in modes:
            module.training = training


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """The model's state, buffers included, safe from later training.

    `state_dict()` alone would not be: its tensors are the live weights, and train on.

    >>> model = nn.Linear(2, 1)
    >>> early = snapshot(model)
    >>> _ = nn.init.zeros_(model.weight)
    >>> bool(early["weight"].any())
    True
    """
    return {
        name: values.detach().clone() if isinstance(values, Tensor) else deepcopy(values)
        for name, values in model.state_dict().items()
    }


def rewind_(model: nn.Module, snapshot: Mapping[str, Tensor], masks: Masks | None = None) -> None:
    """Put the model back, in place, to an earlier `snapshot`, but pruned by `masks`.

    Weights from early in training can be trained anew to the accuracy of the whole network
    (Frankle and Carbin 2019, "The Lottery Ticket Hypothesis"; from a few steps in rather than
    from the start: Frankle et al. 2020). Parameters stay the same objects, so that an optimizer
    keeps them; it also keeps its momentum, so make a new one (`rebuild_optimizer`).

    >>> model = nn.Linear(2, 1)
    >>> early = snapshot(model)
    >>> rewind_(model, early, {"weight": torch.tensor([[1, 0]])})
    >>> model.weight[0, 1].item(), bool(model.weight[0, 0] == early["weight"][0, 0])
    (0.0, True)
    """
    state = model.state_dict()
    if not isinstance(snapshot, Mapping) or snapshot.keys() != state.keys():
        raise ValueError(
            "the snapshot is of another model: the names of its parameters and buffers differ."
        )
    for name, values in state.items():
        found = snapshot[name]
        if isinstance(values, Tensor) and (
            not isinstance(found, Tensor) or found.shape != values.shape
        ):
            raise ValueError(
                f"the snapshot does not fit {name}: a tensor of shape {tuple(values.shape)} is "
                "needed. A snapshot from before channels were removed fits no more."
            )
    erase = eraser(model, masks or {})
    model.load_state_dict(snapshot)
    erase()


def l1(model: nn.Module, strength: float) -> Tensor:
    """`strength` times the sum of all absolute prunable weights: add it to the loss.

    It pulls every weight towards zero with the same force, so that the useless ones arrive
    there (the lasso, Tibshirani 1996) and cost little when they are pruned.

    >>> model = nn.Linear(2, 1)
    >>> loss = model(torch.ones(1, 2)).sum() + l1(model, 1e-3)
    >>> loss.backward()
    """
    _require_strength(strength)
    return strength * _sum(weight.abs() for weight in prunable_weights(model).values())


def l2(model: nn.Module, strength: float) -> Tensor:
    """`strength` times the sum of all squared prunable weights: add it to the loss.

    The pull fades as a weight shrinks: many weights become small, hardly any zero (Han et al.
    2015 found it the better one where fine-tuning follows, l1 where it does not).

    >>> float(l2(nn.Linear(2, 1), 0.0).detach())
    0.0
    """
    _require_strength(strength)
    return strength * _sum(weight.square() for weight in prunable_weights(model).values())


def bn_scales(model: nn.Module, strength: float) -> Tensor:
    """`strength` times the sum of all absolute BatchNorm scales: add it to the loss.

    A channel whose scale arrives at zero can leave (Liu et al. 2017, "Network Slimming"): the
    penalty chooses channels as `l1` chooses weights.

    >>> model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    >>> float(bn_scales(model, 2.0).detach())
    6.0
    """
    _require_strength(strength)
    return strength * _sum(norm.weight.abs() for norm in _norms(model) if norm.affine)


@torch.no_grad()
def recalibrate_batchnorm(model: nn.Module, batches: Iterable) -> None:
    """Take BatchNorm's running statistics anew from `batches` (x, or (x, y)), in place.

    Pruning changes what flows through a network while the old statistics stay, and often that,
    not the missing weights, is most of the damage (Li et al. 2020, "EagleEye"). The new ones are
    the plain average of the batches' means and unbiased variances. Weights are not touched,
    dropout is off, modes and momentum settings come back; so do the statistics if it fails.

    >>> model = nn.Sequential(nn.BatchNorm1d(1))
    >>> recalibrate_batchnorm(model, [torch.tensor([[1.0], [3.0]]), torch.tensor([[4.0], [8.0]])])
    >>> model[0].running_mean.item(), model[0].running_var.item()
    (4.0, 5.0)
    """
    norms = [norm for norm in _norms(model) if norm.running_mean is not None]
    before = [(norm, norm.momentum, [b.clone() for b in norm.buffers()]) for norm in norms]
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        for norm in norms:
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None  # torch's word for a plain average
        _run_all(model, batches)
        for norm, _, buffers in before:
            if not norm.num_batches_tracked:  # never reached
                _put_back(norm, buffers)
            elif not (norm.running_mean.isfinite().all() and norm.running_var.isfinite().all()):
                raise ValueError("the statistics of these batches are not finite numbers.")
    except BaseException:
        for norm, _, buffers in before:
            _put_back(norm, buffers)
        raise
    finally:
        for norm, momentum, _ in before:
            norm.momentum = momentum
        for module, training in modes:
            module.training = training


def rebuild_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """A new optimizer of the same class and current settings, for the model's present parameters.

    After channels were removed the old one holds parameters that are in no model any more: it
    would step, and nothing would change. After rewinding its momentum belongs to weights that
    are gone. The new one starts with an empty state, one parameter group, and no hooks.

    >>> model = nn.Linear(2, 1)
    >>> old = torch.optim.AdamW(nn.Linear(3, 1).parameters(), lr=0.01)
    >>> new = rebuild_optimizer(old, model)
    >>> type(new).__name__, new.param_groups[0]["lr"], new.param_groups[0]["params"][0].shape
    ('AdamW', 0.01, torch.Size([1, 2]))
    """
    parameters = list(model.parameters())
    if not parameters:
        raise ValueError("the model has no parameters to optimise.")
    settings, *others = [
        {name: deepcopy(group[name]) for name in optimizer.defaults if name in group}
        for group in optimizer.param_groups
    ]
    if any(other != settings for other in others):
        raise ValueError(
            "the optimizer's parameter groups have different settings, which a single group "
            "cannot keep: make the new optimizer by hand."
        )
    accepted = inspect.signature(type(optimizer)).parameters
    arguments = {name: value for name, value in settings.items() if name in accepted}
    rebuilt = type(optimizer)(parameters, **arguments)
    rebuilt.param_groups[0].update(settings)  # AdamW, say, does not accept all that it sets
    return rebuilt


def _run_all(model: nn.Module, batches: Iterable) -> None:
    count = 0
    for batch in batches:
        forward(model, batch[0] if isinstance(batch, list | tuple) else batch)
        count += 1
    if not count:
        raise ValueError("at least one batch is needed to take statistics from.")


def _put_back(norm: nn.Module, buffers: list[Tensor]) -> None:
    for buffer, values in zip(norm.buffers(), buffers, strict=True):
        buffer.copy_(values)


def _norms(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, BATCHNORM)]


def _sum(terms: Iterable[Tensor]) -> Tensor:
    sums = [term.sum() for term in terms]
    return torch.stack(sums).sum() if sums else torch.zeros(())


def _require_strength(strength: object) -> None:
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not (math.isfinite(strength) and strength >= 0):
        raise ValueError(f"the strength must be a number, 0 or more, not {strength!r}.")
