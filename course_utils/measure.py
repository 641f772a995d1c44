"""What a network costs: zeros, parameters, multiply-accumulates, bytes and milliseconds.

Every function leaves everything as it found it (training modes, buffers, random state, thread
count), after an exception too. How well a network does is not measured here but in `training`.
"""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from numbers import Real

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy
from torch.utils.flop_counter import FlopCounterMode


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode without gradients; afterwards modes, buffers and random state are as they were.

    Each module gets its own mode back, because part of a model may have been frozen in eval mode
    on purpose.
    """
    _require_model(model)
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None and not is_lazy(buffer)
    ]
    gpus = sorted({p.device.index for p in model.parameters() if p.is_cuda})
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=gpus):
            yield model.eval()
    finally:
        for module, training in modes:
            module.training = training
        for module, name, buffer, before in buffers:
            buffer.data.copy_(before)
            module._buffers[name] = buffer


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Attention computed layer by layer, where hooks and counters see it, not in one kernel."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute with this many threads, then as many as before.

    For networks as small as ours one thread is the fastest and by far the steadiest choice:
    on a busy machine two of them spend their time waiting for each other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def prunable_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights of all Linear and Conv2d layers by parameter name: what pruning may touch.

    Biases and BatchNorm parameters are spared: they are few, and each one serves a whole channel.
    A tensor that two layers share counts once, under the first layer's name.
    """
    _require_model(model)
    weights, seen = {}, set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            weights[f"{name}.weight" if name else "weight"] = module.weight
    return weights


def sparsity(what: nn.Module | Tensor) -> float:
    """The share of exact zeros in a tensor, or in all prunable weights of a model together."""
    tensors = [what] if isinstance(what, Tensor) else list(prunable_weights(what).values())
    total = sum(tensor.numel() for tensor in tensors)
    zeros = sum(tensor.numel() - int(torch.count_nonzero(tensor)) for tensor in tensors)
    return zeros / total if total else 0.0


def parameters(model: nn.Module) -> int:
    """How many numbers the model has learned. Zeros count too: they are still stored and used."""
    _require_model(model)
    return sum(parameter.numel() for parameter in model.parameters())


def macs(model: nn.Module, example: Tensor) -> int:
    """Multiply-accumulates of one example's forward pass; `example` is a batch of any size.

    PyTorch's counter sees matrix products and convolutions and counts a multiplication and an
    addition as two operations, hence the halving. It does not see into the fused attention
    kernels, which would count as nothing, so they are switched off meanwhile.
    """
    with evaluating(model), unfused_attention(), FlopCounterMode(display=False) as ops:
        forward(model, example)
    return ops.get_total_flops() // 2 // len(example)


def bytes_on_disk(model: nn.Module) -> int:
    """The size of the file that `torch.save(model.state_dict(), ...)` writes.

    An honest figure: a weight that is zero takes four bytes like any other, and whatever a
    pruning tool keeps beside the weights (masks, original values) is in the file as well.
    """
    _require_model(model)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getbuffer().nbytes


def latency(
    model: nn.Module, example: Tensor, warmup: int = 10, repeats: int = 50
) -> tuple[float, float]:
    """Median and interquartile range, in milliseconds, of a forward pass of the whole batch.

    The median, because a machine that does something else for a moment makes a few passes
    several times slower; the range says how far to trust it. One thread.
    """
    (times,) = interleaved_times([model], example, warmup, repeats)
    return _median_and_range(times)


def speedup(
    before: nn.Module, after: nn.Module, example: Tensor, warmup: int = 10, repeats: int = 50
) -> tuple[float, float]:
    """How many times faster `after` is than `before`: median and interquartile range.

    Compare models this way rather than by two separate latencies: the two take turns, so that a
    busy spell of the machine slows both and the ratio stays.
    """
    slow, fast = interleaved_times([before, after], example, warmup, repeats)
    return _median_and_range([a / b for a, b in zip(slow, fast, strict=True)])


def interleaved_times(
    models: Sequence[nn.Module], example: Tensor, warmup: int = 10, repeats: int = 50
) -> list[list[float]]:
    """Milliseconds of `repeats` forward passes of each model, the models taking turns.

    The order is reversed every other round, so that none always runs right after the same one.
    The first `warmup` rounds are not kept: they pay for memory and caches.
    """
    require_batch(example)
    require_count("warmup", warmup, at_least=0)
    require_count("repeats", repeats, at_least=1)
    times: list[list[float]] = [[] for _ in models]
    turns = list(enumerate(models))
    with threads(1), ExitStack() as stack:
        for model in models:
            stack.enter_context(evaluating(model))
        for round_ in range(warmup + repeats):
            for which, model in turns if round_ % 2 == 0 else reversed(turns):
                elapsed = _forward_time(model, example)
                if round_ >= warmup:
                    times[which].append(elapsed)
    return times


def summary(model: nn.Module, example: Tensor) -> dict[str, float]:
    """All the costs at once, for a row of the ledger. `example` is what one pass is given."""
    median, spread = latency(model, example)
    return {
        "parameters": parameters(model),
        "sparsity": sparsity(model),
        "macs": macs(model, example),
        "bytes": bytes_on_disk(model),
        "latency_ms": median,
        "latency_iqr_ms": spread,
    }


def require_count(name: str, value: object, at_least: int) -> None:
    """ValueError, with a sentence, unless `value` is a whole number that is not too small."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{name} must be a whole number, {at_least} or more, not {value!r}.")


def require_share(name: str, value: object) -> None:
    """ValueError, with a sentence, unless `value` is a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a share from 0 to 1, not {value!r}.")


def require_batch(example: object) -> None:
    """ValueError, with a sentence, unless `example` is a tensor with something in it."""
    if not isinstance(example, Tensor):
        raise ValueError(f"the example must be a tensor, not {_describe(example)}.")
    if example.ndim == 0 or example.numel() == 0:
        raise ValueError(
            "the example must be a batch with at least one example in it, "
            f"but its shape is {tuple(example.shape)}."
        )


def forward(model: Callable[[Tensor], object], example: Tensor) -> object:
    """`model(example)`, or a ValueError with a sentence if the example does not fit."""
    require_batch(example)
    try:
        return model(example)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        shape = tuple(example.shape)
        raise ValueError(f"the model cannot take an input of {shape}: {error}") from error


def _forward_time(model: nn.Module, example: Tensor) -> float:
    _wait_for_gpu(example)
    start = time.perf_counter()
    forward(model, example)
    _wait_for_gpu(example)
    return (time.perf_counter() - start) * 1000


def _wait_for_gpu(example: Tensor) -> None:
    """A GPU only takes orders when a layer is called; the work is done when it says so."""
    if example.is_cuda:
        torch.cuda.synchronize(example.device)


def _median_and_range(values: Sequence[float]) -> tuple[float, float]:
    low, median, high = np.percentile(values, [25, 50, 75])
    return float(median), float(high - low)


def _require_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"a model (torch.nn.Module) is needed here, not {_describe(model)}.")


def _describe(value: object) -> str:
    return f"{type(value).__name__} {value!r}"[:60]
