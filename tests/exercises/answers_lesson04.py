"""Answers to lesson 04."""

import contextlib
import copy

import numpy
import torch
from bank import right, wrong
from torch import nn
from torch.nn.utils import prune

# EveryNth -----------------------------------------------------------------------------------


class Nth(prune.BasePruningMethod):
    """What most answers have in common."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, n):
        if n < 1:
            raise ValueError("n must be at least 1")
        self.n = n


@right("EveryNth")
class ByPlaces(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        mask[mask.nonzero().flatten()[self.n - 1 :: self.n]] = 0
        return mask.view(default_mask.shape)


@right("EveryNth")
class ByRunningCount(Nth):
    def compute_mask(self, t, default_mask):
        kept = default_mask != 0
        number = kept.flatten().cumsum(0).view(kept.shape)
        return kept & (number % self.n != 0)


@right("EveryNth")
class OneAtATime(prune.BasePruningMethod):
    def __init__(self, n):
        if n <= 0:
            raise ValueError("every n-th needs a positive n")
        self.n, self.PRUNING_TYPE = n, "unstructured"

    def compute_mask(self, t, default_mask):
        mask, count = default_mask.detach().clone(), 0
        for place in numpy.ndindex(*mask.shape):
            count += bool(mask[place])
            if mask[place] and count == self.n:
                mask[place] = count = 0
        return mask


@right("EveryNth")
class InNumpy(Nth):
    @classmethod
    def apply(cls, module, name, n):
        return super().apply(module, name, n=n)

    def compute_mask(self, t, default_mask):
        mask = numpy.array(default_mask.numpy(), dtype=numpy.int64, order="C")
        (kept,) = mask.ravel().nonzero()
        mask.ravel()[kept[self.n - 1 :: self.n]] = 0
        return torch.from_numpy(mask)


@wrong("EveryNth", "you began with the first entry")
class CountsFromZero(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        mask[mask.nonzero().flatten()[:: self.n]] = 0
        return mask.view(default_mask.shape)


@wrong("EveryNth", "one entry too late")
class BeginsAtIndexN(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        mask[mask.nonzero().flatten()[self.n :: self.n]] = 0
        return mask.view(default_mask.shape)


@wrong("EveryNth", "was counted too")
class CountsPrunedEntriesToo(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        mask[self.n - 1 :: self.n] = 0
        return mask.view(default_mask.shape)


@wrong("EveryNth", "are kept again")
class IgnoresTheDefaultMask(Nth):
    def compute_mask(self, t, default_mask):
        mask = torch.ones(t.numel())
        mask[self.n - 1 :: self.n] = 0
        return mask.view(t.shape)


@wrong("EveryNth", "down the columns")
class CountsDownTheColumns(Nth):
    def compute_mask(self, t, default_mask):
        turned = default_mask.permute(*reversed(range(default_mask.dim())))
        mask = turned.flatten().clone()
        mask[mask.nonzero().flatten()[self.n - 1 :: self.n]] = 0
        return mask.view(turned.shape).permute(*reversed(range(turned.dim())))


@wrong("EveryNth", "anew in each row")
class StartsAnewInEachRow(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.clone().contiguous()
        for row in mask.view(-1, mask.shape[-1]) if mask.dim() > 1 else [mask]:
            row[row.nonzero().flatten()[self.n - 1 :: self.n]] = 0
        return mask


@wrong("EveryNth", "whole rows are gone")
class ForgetsToFlatten(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask[self.n - 1 :: self.n] = 0
        return mask


@wrong("EveryNth", "keeps what should go")
class KeepsEveryNth(Nth):
    def compute_mask(self, t, default_mask):
        return default_mask - ByPlaces(self.n).compute_mask(t, default_mask)


@wrong("EveryNth", "the 2n-th, the 3n-th and so on go too")
class PrunesOnlyOne(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        mask[mask.nonzero().flatten()[self.n - 1 : self.n]] = 0
        return mask.view(default_mask.shape)


@wrong("EveryNth", "happens to be zero")
class TakesZerosForPruned(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        places = ((t.detach().flatten() != 0) & (mask != 0)).nonzero().flatten()
        mask[places[self.n - 1 :: self.n]] = 0
        return mask.view(default_mask.shape)


@wrong("EveryNth", "was a copy")
class WritesIntoACopy(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.flatten().clone()[self.n - 1 :: self.n] = 0
        return mask


@wrong("EveryNth", "Work on a copy")
class WritesIntoTheDefaultMask(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask if default_mask.is_contiguous() else default_mask.contiguous()
        mask.view(-1)[mask.flatten().nonzero().flatten()[self.n - 1 :: self.n]] = 0
        return mask


@wrong("EveryNth", "view size is not compatible")
class TrustsTheLayout(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.view(-1)[mask.flatten().nonzero().flatten()[self.n - 1 :: self.n]] = 0
        return mask


@wrong("EveryNth", "PRUNING_TYPE is 'structured'")
class SaysStructured(ByPlaces):
    PRUNING_TYPE = "structured"


@wrong("EveryNth", "PRUNING_TYPE is 'global'")
class SaysGlobal(ByPlaces):
    PRUNING_TYPE = "global"


@wrong("EveryNth", "PRUNING_TYPE is None")
class SaysNothing(prune.BasePruningMethod):
    def __init__(self, n):
        self.n = n

    def compute_mask(self, t, default_mask):
        return ByPlaces(self.n).compute_mask(t, default_mask)


@wrong("EveryNth", "a class that derives from")
class StandsAlone:
    def __init__(self, n):
        self.n = n

    def compute_mask(self, t, default_mask):
        return ByPlaces(self.n).compute_mask(t, default_mask)


@wrong("EveryNth", "`compute_mask` returns the new mask")
class ReturnsNothing(Nth):
    def compute_mask(self, t, default_mask):
        default_mask.clone()


@wrong("EveryNth", "the weight has another")
class ReturnsAFlatMask(Nth):
    def compute_mask(self, t, default_mask):
        return ByPlaces(self.n).compute_mask(t, default_mask).flatten()


@wrong("EveryNth", "the multiplication comes later")
class ReturnsMaskedWeights(Nth):
    def compute_mask(self, t, default_mask):
        return t * ByPlaces(self.n).compute_mask(t, default_mask)


@wrong("EveryNth", "as many entries are gone as should be")
class PrunesTheSmallest(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        places = mask.nonzero().flatten()
        order = t.detach().flatten()[places].abs().argsort()
        mask[places[order[: len(places) // self.n]]] = 0
        return mask.view(default_mask.shape)


@wrong("EveryNth", "entries are 0 in the mask, and")
class PrunesAllButTheFirst(Nth):
    def compute_mask(self, t, default_mask):
        mask = default_mask.flatten().clone()
        mask[mask.nonzero().flatten()[self.n - 1 :]] = 0
        return mask.view(default_mask.shape)


@wrong("EveryNth", "should raise ValueError")
class AcceptsAnyN(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def __init__(self, n):
        self.n = max(int(n), 1)

    def compute_mask(self, t, default_mask):
        return ByPlaces(self.n).compute_mask(t, default_mask)


@wrong("EveryNth", "EveryNth(50).compute_mask on a tensor of (4, 3)")
class NeedsEnoughEntries(Nth):
    def compute_mask(self, t, default_mask):
        places = default_mask.flatten().nonzero().flatten()
        assert self.n <= max(len(places), 6), "n is too large"
        return ByPlaces(self.n).compute_mask(t, default_mask)


@wrong("EveryNth", "got an unexpected keyword argument 'default_mask'")
class NamesItsArgumentsOtherwise(Nth):
    def compute_mask(self, weight, mask):
        return ByPlaces(self.n).compute_mask(weight, mask)


# make_permanent -----------------------------------------------------------------------------


def pruned(module):
    """The names of a module's pruned parameters."""
    hooks = module._forward_pre_hooks.values()
    return [hook._tensor_name for hook in hooks if isinstance(hook, prune.BasePruningMethod)]


@right("make_permanent")
def by_hooks(model):
    for module in model.modules():
        for name in pruned(module):
            prune.remove(module, name)
    return model


@right("make_permanent")
def by_trying(model):
    for _, module in model.named_modules():
        for name in [name for name, _ in module.named_buffers(recurse=False)]:
            if name.endswith("_mask"):
                with contextlib.suppress(ValueError):
                    prune.remove(module, name.removesuffix("_mask"))


@right("make_permanent")
def by_hand(model):
    for module in model.modules():
        for key, hook in [*module._forward_pre_hooks.items()]:
            if isinstance(hook, prune.BasePruningMethod):
                name = hook._tensor_name
                del module._forward_pre_hooks[key]
                parameter = module._parameters.pop(f"{name}_orig")
                with torch.no_grad():
                    parameter *= module._buffers.pop(f"{name}_mask")
                delattr(module, name)
                module.register_parameter(name, parameter)


@wrong("make_permanent", "with '2.weight' pruned: this raised ValueError")
def removes_from_every_layer(model):
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            prune.remove(module, "weight")


@wrong("make_permanent", "'0.weight' is still pruned. Any layer")
def knows_linear_and_conv2d_only(model):
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            for name in pruned(module):
                prune.remove(module, name)


@wrong("make_permanent", "'weight_hh_l0' is still pruned")
def knows_weight_and_bias_only(model):
    for module in model.modules():
        for name in pruned(module):
            if name in ("weight", "bias"):
                prune.remove(module, name)


@wrong("make_permanent", "Biases can be pruned")
def forgets_biases(model):
    for module in model.modules():
        for name in pruned(module):
            if name != "bias":
                prune.remove(module, name)


@wrong("make_permanent", "'features.0.weight' is still pruned")
def looks_at_children_only(model):
    for module in [model, *model.children()]:
        for name in pruned(module):
            prune.remove(module, name)


@wrong("make_permanent", "'weight' is still pruned: its weight_orig is left.")
def forgets_the_model_itself(model):
    for child in model.children():
        by_hooks(child)


@wrong("make_permanent", "mutated during iteration")
def removes_while_looping(model):
    for module in model.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)


@wrong("make_permanent", "'0.weight' and '0.weight' pruned")
def knows_the_methods_by_name(model):
    known = (prune.L1Unstructured, prune.RandomUnstructured, prune.LnStructured)
    for module in model.modules():
        for hook in [*module._forward_pre_hooks.values()]:
            if isinstance(hook, known):
                prune.remove(module, hook._tensor_name)


@wrong("make_permanent", "Only Tensors created explicitly by the user")
def works_on_a_copy(model):
    return by_hooks(copy.deepcopy(model))


@wrong("make_permanent", "'4.weight' pruned: '0.weight' is still pruned")
def changes_nothing(model):
    prune.is_pruned(model)


@wrong("make_permanent", "have come back")
def undoes_the_pruning(model):
    for module in model.modules():
        for name in pruned(module):
            parameter = getattr(module, f"{name}_orig")
            values = parameter.detach().clone()
            prune.remove(module, name)
            parameter.data.copy_(values)


@wrong("make_permanent", "values of the last forward pass")
def trusts_the_weight(model):
    for module in model.modules():
        for name in pruned(module):
            values = getattr(module, name).detach().clone()
            prune.remove(module, name)
            getattr(module, name).data.copy_(values)


@wrong("make_permanent", "not those that the next forward pass")
def leaves_the_mask_as_weights(model):
    for module in model.modules():
        for name in pruned(module):
            values = getattr(module, f"{name}_mask").clone()
            prune.remove(module, name)
            getattr(module, name).data.copy_(values)


def dissolve(module, key, hook, keep=()):
    """By hand, leaving some of what belongs to the pruning behind."""
    name = hook._tensor_name
    parameter = getattr(module, f"{name}_orig")
    with torch.no_grad():
        parameter *= getattr(module, f"{name}_mask")
    if "hook" not in keep:
        del module._forward_pre_hooks[key]
    if "orig" not in keep:
        del module._parameters[f"{name}_orig"]
    if "mask" not in keep:
        del module._buffers[f"{name}_mask"]
    delattr(module, name)
    setattr(module, name, parameter)


def each(model):
    for module in model.modules():
        for key, hook in [*module._forward_pre_hooks.items()]:
            if isinstance(hook, prune.BasePruningMethod):
                yield module, key, hook


@wrong("make_permanent", "the hook is left")
def leaves_the_hook(model):
    for found in each(model):
        dissolve(*found, keep=("hook",))


@wrong("make_permanent", "the buffer '0.weight_mask'")
def leaves_the_mask(model):
    for found in each(model):
        dissolve(*found, keep=("mask",))


@wrong("make_permanent", "the parameter '0.weight_orig'")
def leaves_the_original(model):
    for module, key, hook in each(model):
        name = hook._tensor_name
        dissolve(module, key, hook, keep=("orig",))
        delattr(module, name)
        setattr(module, name, nn.Parameter(getattr(module, f"{name}_orig").detach()))


@wrong("make_permanent", "nothing to do with pruning")
def clears_all_hooks(model):
    by_hooks(model)
    for module in model.modules():
        module._forward_pre_hooks.clear()


@wrong("make_permanent", "spectral norm on another layer: this raised ValueError")
def goes_by_the_name(model):
    for module in model.modules():
        for name, _ in [*module.named_parameters(recurse=False)]:
            if name.endswith("_orig"):
                prune.remove(module, name.removesuffix("_orig"))


@wrong("make_permanent", "new Parameter objects")
def makes_new_parameters(model):
    for module in model.modules():
        for name in pruned(module):
            prune.remove(module, name)
            old = getattr(module, name)
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(old.detach().clone()))


@wrong("make_permanent", "no parameter any more")
def leaves_plain_tensors(model):
    for module in model.modules():
        for name in pruned(module):
            prune.remove(module, name)
            values = getattr(module, name).detach()
            delattr(module, name)
            setattr(module, name, values)


@wrong("make_permanent", "the model's modes have changed")
def switches_to_eval_mode(model):
    by_hooks(model).eval()


@wrong("make_permanent", "the model's gradients have changed")
def drops_gradients(model):
    by_hooks(model).zero_grad()


@wrong("make_permanent", "the model's requires_grad flags have changed")
def thaws_what_was_frozen(model):
    by_hooks(model).requires_grad_(True)


@wrong("make_permanent", "the model's parameters have changed")
def rounds_everything(model):
    by_hooks(model)
    for parameter in model.parameters():
        parameter.data[parameter.data.abs() < 0.1] = 0


@wrong("make_permanent", "still there as a plain attribute")
def leaves_the_product(model):
    for module in model.modules():
        for name in pruned(module):
            prune.remove(module, name)
            vars(module)[name] = getattr(module, name).detach().clone()


@wrong("make_permanent", "by a method of one's own")
def knows_pytorchs_methods_only(model):
    for module in model.modules():
        for hook in [*module._forward_pre_hooks.values()]:
            if type(hook).__module__ == prune.__name__:
                prune.remove(module, hook._tensor_name)


@wrong("make_permanent", "Parameter 'causal' of module")
def takes_every_mask_for_prunings(model):
    for module in model.modules():
        for name in [name for name, _ in module.named_buffers(recurse=False)]:
            if name.endswith("_mask"):
                prune.remove(module, name.removesuffix("_mask"))
