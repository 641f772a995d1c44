"""Which tensors shrink together, asked of Torch-Pruning and checked; `channels` stands on it.

Torch-Pruning (DepGraph, Fang et al. 2023, "DepGraph: Towards Any Structural Pruning") follows the
autograd graph of one forward pass. Nothing about dependencies is decided here. What is added is
that it does not fail in silence: operators it does not know it takes for element-wise ones, a
reshape it cannot follow it passes over, tied weights it tears apart. So every cut is first tried
on a rehearsal copy and refused, with a sentence, if that would compute something else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch_pruning import ops
from torch_pruning.dependency import DependencyGraph
from torch_pruning.pruner.function import PrunerBox

from course_utils.measure import evaluating

CONV = nn.modules.conv._ConvNd
LAYERS = nn.Linear | CONV  # those that make channels of their own
NORMS = nn.modules.batchnorm._NormBase | nn.LayerNorm | nn.GroupNorm

Cuts = dict[tuple[str, str], set[int]]  # (layer, "out" or "in") -> channels that leave there


class Coupling:
    """What Torch-Pruning makes of a model, as names and numbers.

    It works on a copy, whose weights are then jittered: what holds for any weights must hold for
    those, while a branch whose last layer starts at zero would hide every mistake in it.

    >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> coupling = Coupling(model, torch.zeros(1, 4))
    >>> coupling.leaving("0", [1, 5])
    ({('0', 'out'): {1, 5}, ('2', 'in'): {1, 5}}, [])
    """

    def __init__(self, model: nn.Module, example: Tensor | tuple):
        _require_sound(model)
        self.args = _require_example(example)
        self.tied = _tied(model)
        self.rehearsal = _copy(model)
        _require_runs(self.rehearsal, self.args)
        self.graph = _traced(self.rehearsal, self.args)
        _jitter(self.rehearsal)
        self.modules = dict(self.rehearsal.named_modules())
        self.parameters = dict(self.rehearsal.named_parameters())
        self.names = {what: name for name, what in (self.modules | self.parameters).items()}

    def layers(self) -> dict[str, nn.Module]:
        """The layers with channels of their own that the example went through."""
        return {
            name: module
            for name, module in self.modules.items()
            if isinstance(module, LAYERS) and module in self.graph.module2node
        }

    def leaving(self, layer: str, channels: Iterable[int]) -> tuple[Cuts, list[str]]:
        """What leaves together with these channels of a layer, and what speaks against it."""
        module = self.modules[layer]
        prune = self.graph.get_pruner_of_module(module).prune_out_channels
        try:
            group = self.graph.get_pruning_group(module, prune, list(channels))
        except Exception:
            return {(layer, "out"): set(channels)}, ["they cannot be followed through the model"]
        cuts: Cuts = {}
        reasons = []
        for dependency, indices in group:
            node = dependency.target
            side = "out" if self.graph.is_out_channel_pruning_fn(dependency.handler) else "in"
            if node.type == ops.OPTYPE.OUTPUT or (side == "out" and not node.outputs):
                reasons.append("they are the model's output")
            if node.module in self.names:
                name = self.names[node.module]
                cuts.setdefault((name, side), set()).update(indices)
                reasons += self._obstacles(name, side)
        return cuts, reasons

    def _obstacles(self, name: str, side: str) -> list[str]:
        module = self.modules.get(name)
        if isinstance(module, nn.LayerNorm | nn.GroupNorm):
            return [f"{name} normalises them together, so removing some would change the others"]
        if isinstance(module, nn.MultiheadAttention | nn.LSTM):
            return [f"{name} shares them out among its heads or gates"]
        tied = [key for key, _ in self.touches(name, side) if key in self.tied]
        return [f"{key} is tied to {self.tied[key]} and would be torn from it" for key in tied]

    def touches(self, name: str, side: str) -> list[tuple[str, int]]:
        """The parameters, and the dimension of each, that shrink when channels leave here."""
        if name in self.parameters:  # one that belongs to no layer Torch-Pruning knows
            return [(name, self.graph.module2node[self.parameters[name]].pruning_dim)]
        module = self.modules[name]
        columns = {"weight": int(side == "in") ^ outputs_come_second(module)}
        shrinking = columns if side == "in" else columns | {"bias": 0}
        if isinstance(module, nn.PReLU) and module.num_parameters == 1:
            shrinking = {}  # one slope for all channels
        own = module._parameters
        return [
            (f"{name}.{key}" if name else key, dim)
            for key, dim in shrinking.items()
            if own.get(key) is not None
        ]

    def require_rest(self, cuts: Cuts) -> None:
        """ValueError if a layer would be left empty, or with unlike groups of a convolution."""
        for (name, side), indices in cuts.items():
            module = self.modules.get(name, self.parameters.get(name))
            count = self.graph.get_in_channels if side == "in" else self.graph.get_out_channels
            channels, parts = count(module), blocks(module)
            if channels is not None and len(indices) >= channels:
                raise ValueError(f"nothing would be left of {name}: keep at least one channel.")
            if parts > 1:
                size = channels // parts
                places = [{i % size for i in indices if i // size == part} for part in range(parts)]
                alike = places if side == "in" else [len(part) for part in places]
                if any(part != alike[0] for part in alike):
                    raise ValueError(
                        f"{name} is a convolution of {parts} groups, which must stay equal: drop "
                        f"{'the same' if side == 'in' else 'as many'} channels in each of them."
                    )

    def cut(self, model: nn.Module, cuts: Cuts) -> nn.Module:
        """A copy of the model (the one traced, or the rehearsal) without these channels."""
        smaller = _copy(model)
        modules = dict(smaller.named_modules())
        trainable = {name: values.requires_grad for name, values in smaller.named_parameters()}
        for (name, side), indices in cuts.items():
            if name in modules:
                pruner = PrunerBox[ops.module2type(modules[name])]
                shrink = pruner.prune_out_channels if side == "out" else pruner.prune_in_channels
                shrink(modules[name], sorted(indices))
            else:
                ((_, dim),) = self.touches(name, side)
                parent, _, key = name.rpartition(".")
                shorter = _without(modules[parent].get_parameter(key), dim, indices)
                setattr(modules[parent], key, nn.Parameter(shorter))
        for name, parameter in smaller.named_parameters():
            parameter.requires_grad_(trainable[name])  # the new ones all want gradients
        return smaller

    def require_same(self, cuts: Cuts) -> None:
        """ValueError unless the rehearsal computes without the channels what it does unheard.

        Unheard: nobody reads them, as loud as they may be, one way or the other. Where that is
        noticed, as it is by a maximum over channels, something reads them after all. (Where it
        ends in infinity, as after an exponential, it says nothing.) In float64, so that rounding
        hides nothing; a model that runs in its own precision only is held to that.
        """
        args = _varied(self.args)
        unheard = [self._unheard(cuts, loud) for loud in (1.0, 1000.0, -1000.0)]
        try:
            dtype = torch.float64
            expected = [_run(self.rehearsal, state, args, dtype) for state in unheard]
        except (RuntimeError, TypeError):
            dtype = None
            expected = [_run(self.rehearsal, state, args) for state in unheard]
        try:
            smaller = self.cut(self.rehearsal, cuts)
            found = _run(smaller, _state(smaller), args, dtype)
        except Exception as error:
            raise ValueError(
                "these channels cannot be removed: without them the model does not run "
                f"({_first_line(error)})."
            ) from error
        quiet, *loud = expected
        finite = [quiet, *(outs for outs in loud if all(out.isfinite().all() for out in outs))]
        if not all(_close(found, outs) for outs in finite):
            raise ValueError(
                "these channels cannot be removed: the model would not compute the same without "
                "them. Something in it depends on their number or mixes them in a way that "
                "cannot be followed."
            )

    def _unheard(self, cuts: Cuts, loud: float) -> dict[str, Tensor]:
        """The rehearsal's state with the leaving channels loud and their readers deaf to them."""
        state = _state(self.rehearsal)
        for (name, side), indices in cuts.items():
            for key, dim in self.touches(name, side):
                factors = torch.ones_like(state[key].movedim(dim, -1))
                where = [index % factors.shape[-1] for index in indices]  # of every block
                factors[..., where] = 0 if side == "in" else loud
                state[key] = state[key] * factors.movedim(-1, dim)
        return state


def _traced(model: nn.Module, args: tuple) -> DependencyGraph:
    # Torch-Pruning follows gradients: a frozen layer, or a caller's no_grad, would hide its edges.
    # It must get a tuple: a bare batch of one it would unpack into an image without batch.
    with torch.enable_grad():
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
        try:
            graph = DependencyGraph().build_dependency(model, args, verbose=False)
        except Exception as error:
            raise ValueError(f"the model's layers cannot be traced: {error}") from error
    longest = max((size for values in model.parameters() for size in values.shape), default=1)
    for node in graph.module2node.values():
        for dependency in node.dependencies:
            dependency.index_mapping = _Bounded(dependency.index_mapping, limit=longest)
    return graph


class _Bounded(list):
    """Index mappings that raise where indices only multiply.

    A flatten before a concatenation sends Torch-Pruning round in circles; every round makes the
    indices hundreds of times as many, until the memory is full.
    """

    def __init__(self, mappings: list, limit: int):
        super().__init__(mappings)
        self.limit = limit

    def __iter__(self) -> Iterator:
        return (mapping and self._bounded(mapping) for mapping in super().__iter__())

    def _bounded(self, mapping: Callable) -> Callable:
        def mapped(indices: list) -> list:
            if len(indices) > self.limit:
                raise ValueError("the indices multiply")
            return mapping(indices)

        return mapped


def _jitter(model: nn.Module) -> None:
    with _seeded(), torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.numel():
                size = parameter.square().mean().sqrt()
                noise = torch.randn_like(parameter)
                parameter += 0.1 * noise * torch.where(size > 0, size, torch.ones_like(size))


def _varied(args: tuple) -> tuple:
    """Noise in the place of constant tensors, which would not show what differs."""
    with _seeded():
        return tuple(
            torch.randn_like(a) if _floating(a) and a.numel() and a.min() == a.max() else a
            for a in args
        )


@contextmanager
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def _close(found: list[Tensor], expected: list[Tensor]) -> bool:
    return [a.shape for a in found] == [b.shape for b in expected] and all(
        bool((a - b).norm() <= _rounding(b.dtype) * b.norm())
        for a, b in zip(found, expected, strict=True)
    )


def _rounding(dtype: torch.dtype) -> float:
    """The relative difference of two outputs that passes for rounding."""
    return 1e-9 if dtype == torch.float64 else torch.finfo(dtype).eps ** 0.5


def _without(tensor: Tensor, dim: int, indices: set[int]) -> Tensor:
    kept = [index for index in range(tensor.shape[dim]) if index not in indices]
    return tensor.detach().index_select(dim, torch.tensor(kept, device=tensor.device))


def _state(model: nn.Module) -> dict[str, Tensor]:
    named = (*model.named_parameters(), *model.named_buffers())
    return {name: values.detach() for name, values in named}


def _run(
    model: nn.Module,
    state: dict[str, Tensor],
    args: tuple,
    dtype: torch.dtype | None = None,
) -> list[Tensor]:
    """The floating-point outputs in eval mode, with these parameters, in this precision."""
    if dtype is not None:
        state = {name: _cast(values, dtype) for name, values in state.items()}
        args = tuple(_cast(argument, dtype) for argument in args)
    with _seeded(), evaluating(model):
        return _floats(torch.func.functional_call(model, state, args))


def _cast(argument: object, dtype: torch.dtype) -> object:
    return argument.to(dtype) if _floating(argument) else argument


def _floating(argument: object) -> bool:
    return isinstance(argument, Tensor) and argument.is_floating_point()


def _floats(output: object) -> list[Tensor]:
    """The floating-point tensors in whatever a model returns."""
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, list | tuple):
        return [tensor for part in output for tensor in _floats(part)]
    return [output] if _floating(output) else []


def _copy(model: nn.Module) -> nn.Module:
    try:
        return deepcopy(model)
    except Exception as error:
        raise ValueError(f"the model cannot be copied: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def outputs(layer: nn.Module) -> int:
    """How many channels a layer makes.

    >>> outputs(nn.Conv2d(3, 8, 1)), outputs(nn.Linear(4, 2))
    (8, 2)
    """
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def blocks(module: nn.Module | None) -> int:
    """The parts of a grouped convolution, which must shrink alike to stay equal.

    A depthwise one counts as a single part: its channels go one by one.

    >>> blocks(nn.Conv2d(8, 12, 3, groups=4)), blocks(nn.Conv2d(8, 8, 3, groups=8))
    (4, 1)
    """
    return module.groups if isinstance(module, CONV) and not _is_depthwise(module) else 1


def outputs_come_second(module: nn.Module) -> bool:
    """Whether a weight has its output channels in dimension 1, as transposed convolutions do.

    >>> outputs_come_second(nn.ConvTranspose2d(8, 4, 3)), outputs_come_second(nn.Conv2d(8, 4, 3))
    (True, False)
    """
    transposed = getattr(module, "transposed", False) and not _is_depthwise(module)
    return transposed or isinstance(module, nn.Embedding)


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, CONV) and 1 < module.groups == module.out_channels


def _tied(model: nn.Module) -> dict[str, str]:
    """For each parameter that lies in the same memory as another: the other's name."""
    first: dict[int, str] = {}
    tied = {}
    for prefix, module in model.named_modules():
        for key, parameter in module.named_parameters(
            prefix, recurse=False, remove_duplicate=False
        ):
            other = first.setdefault(parameter.data_ptr(), key)
            if other != key and parameter.numel():
                tied |= {key: other, other: key}
    return tied


def _require_sound(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(f"a model (torch.nn.Module) is needed here, not {type(model).__name__}.")
    for name, module in model.named_modules():
        own = module._parameters.keys()
        if isinstance(module, LAYERS | NORMS) and not {"weight", "bias"} <= own:
            raise ValueError(
                f"the parameters of {name or 'the model'} are computed from others (torch's "
                "pruning or parametrizations): make that permanent first."
            )
    for name, values in (*model.named_parameters(), *model.named_buffers()):
        if nn.parameter.is_lazy(values):
            raise ValueError(f"{name} has no values yet: run the model on an example first.")
        if values.isnan().any():
            raise ValueError(f"{name} contains NaN: which channels matter cannot be told from it.")


def _require_example(example: object) -> tuple:
    args = example if isinstance(example, tuple) else (example,)
    if not args or not isinstance(args[0], Tensor) or args[0].ndim == 0 or not args[0].numel():
        raise ValueError(
            "the example must be a batch (a tensor with at least one example in it), or a tuple "
            "of the model's arguments that starts with one."
        )
    return tuple(arg.detach() if isinstance(arg, Tensor) else arg for arg in args)


def _require_runs(model: nn.Module, args: tuple) -> None:
    try:
        found = _run(model, _state(model), args)
    except Exception as error:
        raise ValueError(f"the example does not fit the model: {_first_line(error)}") from error
    if not found or any(out.isnan().any() for out in found):
        raise ValueError("the model's output for the example must be numbers, and is not.")
