"""Answers to lesson 01."""

import math
import statistics
import time

import numpy
import torch
from bank import right, wrong
from torch import nn

# count_parameters ---------------------------------------------------------------------------


@right("count_parameters")
def by_shape(model):
    return {name: math.prod(p.shape) for name, p in model.named_parameters()}


@right("count_parameters")
def by_walking_modules(model):
    counts, seen = {}, set()
    for module_name, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in seen:
                seen.add(id(parameter))
                counts[f"{module_name}.{name}".lstrip(".")] = parameter.nelement()
    return counts


@wrong("count_parameters", "Return a dictionary")
def counts_the_total(model):
    return sum(p.numel() for p in model.parameters())


@wrong("count_parameters", "the biases are missing")
def counts_weights_only(model):
    return {n: p.numel() for n, p in model.named_parameters() if not n.endswith("bias")}


@wrong("count_parameters", "does not train")
def counts_what_trains(model):
    return {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}


@wrong("count_parameters", "the parameter 'features.0.weight' is missing")
def looks_at_children_only(model):
    near = [("", model), *model.named_children()]
    names = [
        f"{child}.{name}".lstrip(".")
        for child, module in near
        for name, _ in module.named_parameters(recurse=False)
    ]
    return {name: p.numel() for name, p in model.named_parameters() if name in names}


@wrong("count_parameters", "is a buffer")
def counts_the_state_dict(model):
    same = {id(p): name for name, p in model.named_parameters()}
    state = model.state_dict(keep_vars=True)
    return {n: t.numel() for n, t in state.items() if same.get(id(t), n) == n}


@wrong("count_parameters", "it counts once")
def counts_shared_twice(model):
    return {n: p.numel() for n, p in model.named_parameters(remove_duplicate=False)}


@wrong("count_parameters", "no parameter of this network")
def names_modules(model):
    counts = by_shape(model)
    return {**counts, "total": sum(counts.values())}


@wrong("count_parameters", "counts its rows")
def counts_rows(model):
    return {name: len(p) for name, p in model.named_parameters()}


@wrong("count_parameters", "elements, and")
def counts_bytes(model):
    return {name: p.numel() * p.element_size() for name, p in model.named_parameters()}


# layer_macs ---------------------------------------------------------------------------------


def macs_per_output(layer):
    if isinstance(layer, nn.Linear):
        return layer.in_features
    return layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]


def fits(layer, output):
    if isinstance(layer, nn.Linear):
        good = output.ndim == 2 and output.shape[1] == layer.out_features
    else:
        good = output.ndim == 4 and output.shape[1] == layer.out_channels
    if not good:
        raise ValueError("this output does not belong to this layer")


@right("layer_macs")
def per_output_number(layer, output):
    fits(layer, output)
    return output[0].numel() * macs_per_output(layer)


@right("layer_macs")
def per_weight(layer, output):
    fits(layer, output)
    return layer.weight.numel() * math.prod(output.shape[2:])


@wrong("layer_macs", "its sum as two")
def counts_flops(layer, output):
    return 2 * per_weight(layer, output)


@wrong("layer_macs", "the bias is added")
def counts_the_bias(layer, output):
    return per_weight(layer, output) + (0 if layer.bias is None else output[0].numel())


@wrong("layer_macs", "examples in the batch")
def counts_the_batch(layer, output):
    return per_weight(layer, output) * len(output)


@wrong("layer_macs", "at every position")
def forgets_positions(layer, output):
    fits(layer, output)
    return layer.weight.numel()


@wrong("layer_macs", "its share of the input channels")
def forgets_groups(layer, output):
    return per_weight(layer, output) * getattr(layer, "groups", 1)


@wrong("layer_macs", "height squared")
def squares_the_kernel(layer, output):
    if isinstance(layer, nn.Linear):
        return per_weight(layer, output)
    height, width = layer.kernel_size
    return per_weight(layer, output) // width * height


@wrong("layer_macs", "should raise ValueError")
def checks_nothing(layer, output):
    return layer.weight.numel() * (output[0, 0].numel() if output.dim() == 4 else 1)


@wrong("layer_macs", "a number is asked for")
def returns_a_pair(layer, output):
    fits(layer, output)
    return macs_per_output(layer), output[0].numel()


@wrong("layer_macs", "multiply-accumulates, and")
def swaps_in_and_out(layer, output):
    fits(layer, output)
    return output.shape[1] ** 2 * math.prod(output.shape[2:])


@wrong("layer_macs", "a part that is not written yet")
def knows_dense_layers_only(layer, output):
    if isinstance(layer, nn.Linear):
        return per_weight(layer, output)
    raise NotImplementedError


# sparsity -----------------------------------------------------------------------------------


@right("sparsity")
def by_counting(tensor):
    if tensor.numel() == 0:
        return 0.0
    return 1 - torch.count_nonzero(tensor).item() / tensor.numel()


@right("sparsity")
def in_numpy(tensor):
    return float(numpy.mean(tensor.numpy() == 0)) if tensor.numel() else 0.0


@wrong("sparsity", "the density")
def gives_density(tensor):
    return 1 - by_counting(tensor)


@wrong("sparsity", "a percentage")
def gives_percent(tensor):
    return 100 * by_counting(tensor)


@wrong("sparsity", "Divide by")
def gives_a_count(tensor):
    return int((tensor == 0).sum())


@wrong("sparsity", "exact zeros only")
def rounds_to_zero(tensor):
    return (tensor.abs() < 1e-6).float().mean().item() if tensor.numel() else 0.0


@wrong("sparsity", "L1 norm")
def takes_the_l1_norm(tensor):
    return float(tensor.abs().sum())


@wrong("sparsity", "this raised ZeroDivisionError")
def divides_by_nothing(tensor):
    return int((tensor == 0).sum()) / tensor.numel()


@wrong("sparsity", "a number is asked for")
def gives_the_zeros(tensor):
    return (tensor == 0).tolist()


@wrong("sparsity", "and 0.428571 came back")
def counts_negatives(tensor):
    return (tensor <= 0).double().mean().item() if tensor.numel() else 0.0


@wrong("sparsity", "divides by nothing")
def averages_nothing(tensor):
    return (tensor == 0).double().mean().item()


# model_sparsity -----------------------------------------------------------------------------


def weights(model):
    return {id(m.weight): m.weight for m in model.modules() if type(m) in (nn.Linear, nn.Conv2d)}


@right("model_sparsity")
def by_one_long_vector(model):
    flat = [weight.detach().flatten() for weight in weights(model).values()]
    return by_counting(torch.cat(flat)) if flat else 0.0


@right("model_sparsity")
def by_adding_up(model):
    zeros = elements = 0
    seen = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and not any(
            module.weight is weight for weight in seen
        ):
            seen.append(module.weight)
            zeros += int((module.weight == 0).sum())
            elements += module.weight.numel()
    return zeros / elements if elements else 0.0


@wrong("model_sparsity", "averaged the layers")
def averages_layers(model):
    shares = [by_counting(weight) for weight in weights(model).values()]
    return sum(shares) / len(shares) if shares else 0.0


@wrong("model_sparsity", "biases and BatchNorm")
def counts_everything(model):
    return by_counting(torch.cat([p.flatten() for p in model.parameters()]))


@wrong("model_sparsity", "counted twice")
def counts_tied_twice(model):
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not layers:
        return 0.0
    return by_counting(torch.cat([layer.weight.flatten() for layer in layers]))


@wrong("model_sparsity", "direct children")
def looks_at_direct_children(model):
    near = [id(m.weight) for m in (model, *model.children()) if isinstance(m, nn.Linear)]
    flat = [weight.flatten() for key, weight in weights(model).items() if key in near]
    return by_counting(torch.cat(flat)) if flat else 0.0


@wrong("model_sparsity", "weights that are left")
def gives_model_density(model):
    return 1 - by_one_long_vector(model)


@wrong("model_sparsity", "this raised ZeroDivisionError")
def needs_a_layer(model):
    every = weights(model).values()
    return sum(int((w == 0).sum()) for w in every) / sum(w.numel() for w in every)


@wrong("model_sparsity", "a number is asked for")
def gives_each_layer(model):
    return {name: by_counting(p) for name, p in model.named_parameters()}


@wrong("model_sparsity", "no layer to prune")
def finds_nothing_all_zero(model):
    return by_one_long_vector(model) if weights(model) else 1.0


@wrong("model_sparsity", "the sparsity is")
def leaves_out_convolutions(model):
    flat = [weight.flatten() for weight in weights(model).values() if weight.dim() == 2]
    return by_counting(torch.cat(flat)) if flat else 0.0


@wrong("model_sparsity", "other layers are counted in")
def counts_every_matrix(model):
    flat = [p.flatten() for p in model.parameters() if p.dim() > 1]
    return by_counting(torch.cat(flat)) if flat else 0.0


@wrong("model_sparsity", "not at the name")
def goes_by_the_name(model):
    flat = [p.flatten() for name, p in model.named_parameters() if name.endswith("weight")]
    return by_counting(torch.cat(flat))


# activation_sparsity ------------------------------------------------------------------------


def watched(model, x, pick=lambda module: isinstance(module, nn.ReLU), evaluate=True):
    """All outputs by module name; hooks and modes come back."""
    outputs, handles = {}, []
    modes = [(module, module.training) for module in model.modules()]
    for name, module in model.named_modules():
        if pick(module):
            keep = outputs.setdefault(name, [])
            handles.append(
                module.register_forward_hook(lambda m, i, o, keep=keep: keep.append(o.clone()))
            )
    try:
        if evaluate:
            model.eval()
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return {name: calls for name, calls in outputs.items() if calls}


def pooled(outputs):
    return {
        name: by_counting(torch.cat([call.flatten() for call in calls]))
        for name, calls in outputs.items()
    }


@right("activation_sparsity")
def pools_outputs(model, x):
    return pooled(watched(model, x))


@right("activation_sparsity")
def looks_at_inputs(model, x):
    totals, handles = {}, []
    modes = {name: module.training for name, module in model.named_modules()}

    def watcher(name):
        def before(module, inputs):
            totals.setdefault(name, []).append((inputs[0] <= 0).double().flatten())

        return before

    try:
        for name, module in model.eval().named_modules():
            if type(module) is nn.ReLU:
                handles.append(module.register_forward_pre_hook(watcher(name)))
        with torch.inference_mode():
            model(x)
    finally:
        [handle.remove() for handle in handles]
        for name, module in model.named_modules():
            module.training = modes[name]
    return {name: torch.cat(parts).mean().item() for name, parts in totals.items()}


@wrong("activation_sparsity", "its buffers are not what they were")
def forgets_eval_mode(model, x):
    return pooled(watched(model, x, evaluate=False))


@wrong("activation_sparsity", "its modes are not what they were")
def switches_everything_to_train(model, x):
    result = pools_outputs(model, x)
    model.train()
    return result


@wrong("activation_sparsity", "its hooks are not what they were")
def leaves_hooks_after_an_error(model, x):
    class Dropped(Exception):
        pass

    totals, modes = {}, [(module, module.training) for module in model.modules()]
    handles = [
        module.register_forward_hook(
            lambda m, i, o, name=name: totals.setdefault(name, []).append(o.clone())
        )
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        model.eval()
        with torch.no_grad():
            model(x)
    finally:
        for module, mode in modes:
            module.training = mode
    for handle in handles:
        handle.remove()
    return pooled(totals)


@wrong("activation_sparsity", "only the last run")
def keeps_the_last_run(model, x):
    return {name: by_counting(calls[-1]) for name, calls in watched(model, x).items()}


@wrong("activation_sparsity", "do not average")
def averages_runs(model, x):
    outputs = watched(model, x).items()
    return {name: statistics.mean(map(by_counting, calls)) for name, calls in outputs}


@wrong("activation_sparsity", "outputs that are not zero")
def gives_activation_density(model, x):
    return {name: 1 - share for name, share in pools_outputs(model, x).items()}


@wrong("activation_sparsity", "inside another module")
def watches_direct_children(model, x):
    children = list(model.children())
    return pooled(watched(model, x, lambda m: isinstance(m, nn.ReLU) and m in children))


@wrong("activation_sparsity", "is not a ReLU")
def watches_everything(model, x):
    return pooled(watched(model, x, lambda m: True))


@wrong("activation_sparsity", "a dictionary by module name")
def gives_one_number(model, x):
    return statistics.mean(pools_outputs(model, x).values())


@wrong("activation_sparsity", "hides an error")
def swallows_errors(model, x):
    try:
        return pools_outputs(model, x)
    except RuntimeError:
        return {}


@wrong("activation_sparsity", "in eval mode is")
def counts_negative_inputs_strictly(model, x):
    outputs = watched(model, x)
    return {n: float((torch.cat([c.flatten() for c in cs]) > 0.5).double().mean()) for n, cs in
            outputs.items()}  # fmt: skip


@wrong("activation_sparsity", "tiny outputs were counted")
def rounds_small_outputs_to_zero(model, x):
    return pooled({n: [o * (o > 1e-9) for o in calls] for n, calls in watched(model, x).items()})


@wrong("activation_sparsity", "its gradients are not")
def clears_gradients(model, x):
    model.zero_grad()
    return pools_outputs(model, x)


@wrong("activation_sparsity", "its settings are not")
def switches_inplace_off(model, x):
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return pools_outputs(model, x)


@wrong("activation_sparsity", "instead of letting through")
def fails_in_its_own_way(model, x):
    try:
        return pools_outputs(model, x)
    except RuntimeError as error:
        raise KeyError("model") from error


# median_latency -----------------------------------------------------------------------------


def timed(fn, warmup, repeats, clock):
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        before = clock()
        fn()
        after = clock()
        times.append(after - before)
    return times


def quartile_range(times):
    return float(numpy.percentile(times, 75) - numpy.percentile(times, 25))


@right("median_latency")
def with_numpy(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return float(numpy.median(times)), quartile_range(times)


@right("median_latency")
def with_the_standard_library(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    if len(times) == 1:
        return times[0], 0.0
    low, middle, high = statistics.quantiles(times, n=4, method="inclusive")
    return middle, high - low


@wrong("median_latency", "is the mean")
def takes_the_mean(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return statistics.mean(times), quartile_range(times)


@wrong("median_latency", "midway between")
def takes_the_upper_middle(fn, warmup, repeats, clock):
    times = sorted(timed(fn, warmup, repeats, clock))
    return times[len(times) // 2], quartile_range(times)


@wrong("median_latency", "standard deviation")
def takes_the_deviation(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return statistics.median(times), statistics.stdev(times) if repeats > 1 else 0.0


@wrong("median_latency", "full range")
def takes_the_full_range(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return statistics.median(times), max(times) - min(times)


@wrong("median_latency", "interquartile range should be 4 s, and 2 ")
def halves_the_range(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return statistics.median(times), quartile_range(times) / 2


@wrong("median_latency", "thrown away")
def times_the_warmup(fn, warmup, repeats, clock):
    times = timed(fn, 0, warmup + repeats, clock)[warmup:]
    return statistics.median(times), quartile_range(times)


@wrong("median_latency", "times; 1 to warm up")
def forgets_to_warm_up(fn, warmup, repeats, clock):
    return with_numpy(fn, 0, repeats, clock)


@wrong("median_latency", "was never read")
def reads_its_own_clock(fn, warmup, repeats, clock):
    return with_numpy(fn, warmup, repeats, time.perf_counter)


@wrong("median_latency", "right before and right after")
def chains_the_clock(fn, warmup, repeats, clock):
    for _ in range(warmup):
        fn()
    reads = [clock()]
    for _ in range(repeats):
        fn()
        reads.append(clock())
    times = numpy.diff(reads)
    return float(numpy.median(times)), quartile_range(times)


@wrong("median_latency", "Return two numbers")
def gives_the_median_alone(fn, warmup, repeats, clock):
    return with_numpy(fn, warmup, repeats, clock)[0]


@wrong("median_latency", "the median should be")
def takes_the_fastest(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return min(times), quartile_range(times)


@wrong("median_latency", "you returned 3")
def gives_the_quartiles(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return tuple(float(numpy.percentile(times, share)) for share in (50, 25, 75))


@wrong("median_latency", "range should be 0 s")
def has_no_range_for_one(fn, warmup, repeats, clock):
    median, spread = with_numpy(fn, warmup, repeats, clock)
    return median, spread if repeats > 1 else median


@wrong("median_latency", "the lower of the middle two")
def takes_torchs_median(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    return torch.tensor(times, dtype=torch.float64).median().item(), quartile_range(times)


@wrong("median_latency", "another convention")
def takes_other_quartiles(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    if repeats == 1:
        return times[0], 0.0
    low, middle, high = statistics.quantiles(times, n=4)
    return middle, high - low


@wrong("median_latency", "upper minus lower")
def gives_both_quartiles(fn, warmup, repeats, clock):
    times = timed(fn, warmup, repeats, clock)
    quartiles = tuple(float(numpy.percentile(times, share)) for share in (25, 75))
    return statistics.median(times), quartiles
