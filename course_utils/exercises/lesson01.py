"""Lesson 01, networks and weights: what a network costs, and how much of it is zero."""

import statistics

import torch
from torch import nn

from course_utils.exercises.compare import as_number, differing_keys, same_number, show
from course_utils.exercises.engine import Exercise
from course_utils.exercises.networks import build, network


def _seed(rng) -> int:
    return int(rng.integers(1, 10**6))


def count_parameters(model: nn.Module) -> dict[str, int]:
    return {name: parameter.numel() for name, parameter in model.named_parameters()}


class CountParameters(Exercise):
    name = "count_parameters"
    lesson = "01"
    signature = "count_parameters(model) -> dict[str, int]"
    points = 2
    minutes = 8
    difficulty = 1
    importance = 5
    forbids = ("course_utils.measure.parameters",)
    hints = (
        "A module knows its parameters and their names: look at `model.named_parameters()`.",
        "`tensor.numel()` counts the elements of a tensor of any shape.",
    )
    reference = staticmethod(count_parameters)

    def cases(self, rng):
        sizes = [int(size) for size in rng.integers(3, 12, size=4)]
        channels = int(rng.integers(2, 6))
        convnet = network("convnet", _seed(rng), channels=channels, classes=10)
        return {
            "a small network": [(network("mlp", _seed(rng), sizes=sizes),)],
            "convolutions and BatchNorm": [(convnet,)],
            "weights that do not train": [({**convnet, "fixed": ["features.0", "head.2"]},)],
            "a shared weight": [(network("tied", _seed(rng), size=sizes[0]),)],
            "a single layer": [(network("linear", _seed(rng), inputs=5, outputs=sizes[1]),)],
        }

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        model = build(case[0])
        if not isinstance(got, dict):
            return f"{show(got)} came back. Return a dictionary: parameter name to elements."
        missing = [name for name in want if name not in got]
        extra = [name for name in got if name not in want]
        if missing and all(name.endswith("bias") for name in missing):
            return f"the biases are missing ({missing[0]!r}). They are parameters like the weights."
        if missing and not any(model.get_parameter(name).requires_grad for name in missing):
            return f"{missing[0]!r} does not train, and still has to be stored: count it."
        if missing:
            return f"the parameter {missing[0]!r} is missing."
        if extra and extra[0] in dict(model.named_buffers()):
            return f"{extra[0]!r} is a buffer: it is stored, but not learned, and not a parameter."
        if extra and extra[0] in dict(model.named_parameters(remove_duplicate=False)):
            return f"{extra[0]!r} is the same tensor as another parameter: shared, it counts once."
        if extra:
            return f"{extra[0]!r} is no parameter of this network."
        for name in differing_keys(got, want):
            shape = tuple(model.get_parameter(name).shape)
            if same_number(got[name], shape[0]):
                return f"{name!r} has shape {shape}: `len` counts its rows, not its elements."
            return f"{name!r} has {want[name]} elements, and {show(got[name])} came back."
        return None


def layer_macs(layer: nn.Module, output: torch.Tensor) -> int:
    features = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    dimensions = 2 if isinstance(layer, nn.Linear) else 4
    if output.dim() != dimensions or output.shape[1] != features:
        raise ValueError(f"An output of shape {tuple(output.shape)} cannot come from {layer}.")
    positions = output[0, 0].numel()
    return positions * layer.weight.numel()


class LayerMacs(Exercise):
    name = "layer_macs"
    lesson = "01"
    signature = "layer_macs(layer, output) -> int"
    points = 3
    minutes = 15
    difficulty = 3
    importance = 5
    forbids = ("course_utils.measure.macs",)
    hints = (
        "Take one number of the output and ask how many products were summed to make it.",
        "In a convolution, one output number sums `in_channels / groups * kernel height * kernel "
        "width` products; in a dense layer `in_features`. How many output numbers has one example?",
        "Every weight is used once for each position of the output: once in a dense layer, height "
        "* width times in a convolution. Raise ValueError when the output's dimensions or its "
        "channels cannot come from this layer.",
    )
    reference = staticmethod(layer_macs)

    def cases(self, rng):
        def conv(batch, height, width, **settings):
            settings = {"in_channels": 4, "out_channels": 6, "kernel_size": [3, 3], **settings}
            output = torch.zeros(batch, settings["out_channels"], height, width)
            return network("conv", _seed(rng), **settings), output

        inputs, outputs = (int(n) for n in rng.integers(5, 40, size=2))
        dense = network("linear", _seed(rng), inputs=inputs, outputs=outputs)
        batch, height, width = (int(n) for n in rng.integers(3, 9, size=3))
        return {
            "dense and convolution": [
                (dense, torch.zeros(batch, outputs)),
                conv(1, height + 1, height),
                conv(batch, height, width + 9),
            ],
            "kernels of any shape": [conv(4, 7, height, kernel_size=[2, 5]), conv(3, 5, width)],
            "groups": [
                conv(5, height, 5, out_channels=8, groups=4),
                conv(4, 6, width, in_channels=6, groups=3),
            ],
            "without bias": [conv(3, height, width, bias=False)],
            "an output that does not fit": [
                (dense, torch.zeros(batch, outputs + 1)),
                (dense, torch.zeros(2, outputs, 3, 3)),
                (dense, torch.zeros(2, outputs, outputs)),
                (dense, torch.zeros(outputs)),
                (conv(1, 5, 5)[0], torch.zeros(6, 6, 5)),
                (conv(1, 5, 5)[0], torch.zeros(2, 7, 5, 5)),
                (conv(1, 5, 5)[0], torch.zeros(6, 6)),
            ],
        }

    def verify(self, case, data):
        layer, output = build(case[0]), case[1]
        got, want = data.returned, self.expected(case)
        if same_number(got, want):
            return None
        batch = len(output)
        if as_number(got) is None:
            return f"{show(got)} came back, and a number is asked for."
        if same_number(got, 2 * want):
            return "you counted a product and its sum as two. They are one multiply-accumulate."
        if same_number(got, want + output[0].numel()):
            return "the bias is added, not multiplied: it is left out of the count."
        if same_number(got, want * batch):
            return f"this is the cost of all {batch} examples in the batch; one is asked for."
        if same_number(got, layer.weight.numel()):
            return "each kernel is applied at every position of the output, not once."
        if isinstance(layer, nn.Conv2d):
            side = layer.kernel_size[0]
            area = side * layer.kernel_size[1]
            if same_number(got, want * layer.groups):
                return "with groups, a filter sees only its share of the input channels."
            if same_number(got, want / area * side**2):
                return "this kernel is not square: height times width, not height squared."
        return f"one example costs {show(want)} multiply-accumulates, and {show(got)} came back."


def sparsity(tensor: torch.Tensor) -> float:
    return (tensor == 0).sum().item() / max(tensor.numel(), 1)


class Sparsity(Exercise):
    name = "sparsity"
    lesson = "01"
    signature = "sparsity(tensor) -> float"
    points = 1
    minutes = 5
    difficulty = 1
    importance = 5
    forbids = ("course_utils.measure.sparsity",)
    hints = (
        "`tensor == 0` is a tensor of True and False; its sum counts the Trues.",
        "A tensor without elements would divide by zero: answer 0.0 for it.",
    )
    reference = staticmethod(sparsity)

    def cases(self, rng):
        def holed(*shape):
            values = torch.from_numpy(rng.normal(size=shape)).float()
            values[torch.from_numpy(rng.random(shape) < 0.3)] = 0
            return values

        tiny = holed(8, 9)
        tiny[:, 0] = 1e-9
        return {
            "ordinary tensors": [
                (torch.tensor([0.0, 0.8, 0.0, -0.5, 2.0, 1.0, 3.0]),),
                (holed(int(rng.integers(5, 9)), 7),),
            ],
            "nearly zero is not zero": [(tiny,), (tiny.double() * 1e-60,)],
            "other tensors": [
                (holed(5, 6).T,),
                (torch.tensor([0, 3, 0, 0, 2]),),
                (torch.tensor([True, False, True]),),
                (torch.tensor([-0.0, 1.0]),),
            ],
            "all, one, none, nothing": [
                (torch.zeros(4),),
                (torch.zeros(1),),
                (torch.ones(2, 3),),
                (torch.zeros(0),),
            ],
        }

    def verify(self, case, data):
        (tensor,) = case
        got, want = data.returned, self.expected(case)
        if same_number(got, want):
            return None
        if as_number(got) is None:
            return f"{show(got)} came back, and a number is asked for."
        if tensor.numel() == 0:
            return f"an empty tensor divides by nothing: {show(got)} came back instead of 0.0."
        zeros, near = int((tensor == 0).sum()), int((tensor.double().abs() < 1e-6).sum())
        if same_number(got, 1 - want):
            return "this is the share of what is not zero, the density."
        if same_number(got, 100 * want):
            return "this is a percentage; a share between 0 and 1 is asked for."
        if same_number(got, zeros):
            return f"this is the number of zeros. Divide by the {tensor.numel()} elements."
        if same_number(got, near / tensor.numel()):
            return "you counted tiny values as zeros. Sparsity counts exact zeros only."
        if same_number(got, tensor.double().abs().sum().item()):
            return "the L1 norm adds sizes up; it does not count zeros."
        return f"the share of exact zeros is {show(want)}, and {show(got)} came back."


def model_sparsity(model: nn.Module) -> float:
    layers = [module for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    weights = {id(layer.weight): layer.weight for layer in layers}.values()
    zeros = sum((weight == 0).sum().item() for weight in weights)
    return zeros / max(sum(weight.numel() for weight in weights), 1)


class ModelSparsity(Exercise):
    name = "model_sparsity"
    lesson = "01"
    signature = "model_sparsity(model) -> float"
    points = 2
    minutes = 10
    difficulty = 2
    importance = 4
    forbids = ("course_utils.measure.sparsity", "course_utils.measure.prunable_weights")
    hints = (
        "Walk over `model.modules()` and stop at each nn.Linear and nn.Conv2d: their `weight` is "
        "what pruning works on.",
        "Add up zeros and elements separately over all layers, and divide once at the end. An "
        "average of the layers' sparsities would give a layer of 10 weights the say of one of "
        "10,000.",
        "Two layers may share one weight tensor. Count it once: `id(tensor)` tells them apart. No "
        "layer to prune at all: 0.0.",
    )
    reference = staticmethod(model_sparsity)

    def cases(self, rng):
        sizes = [int(rng.integers(20, 30)), int(rng.integers(5, 9)), 3]
        channels = int(rng.integers(3, 6))
        return {
            "a small network": [(network("mlp", _seed(rng), sizes=sizes, zeros=0.4),)],
            "convolutions and BatchNorm": [
                (network("convnet", _seed(rng), channels=channels, classes=7, zeros=0.6),)
            ],
            "weights that do not train": [
                (network("mlp", _seed(rng), sizes=sizes, zeros=0.4, fixed=["0"]),)
            ],
            "nearly zero is not zero": [
                (network("mlp", _seed(rng), sizes=sizes, zeros=0.4, scale=1e-12),)
            ],
            "a single layer": [
                (network("linear", _seed(rng), inputs=9, outputs=sizes[1], zeros=0.5),),
                (network("linear", _seed(rng), inputs=1, outputs=1, zeros=1.0),),
            ],
            "a shared weight": [
                (network("tied", _seed(rng), size=sizes[1], empty_rows=2),),
                (network("reused layer", _seed(rng), size=sizes[1], zeros=0.3),),
            ],
            "other layers with weights": [
                (network("other weights", _seed(rng), size=sizes[1], zeros=0.4, whole=["0", "2"]),)
            ],
            "nothing to prune": [(network("nothing to prune", _seed(rng), size=5, zeros=0.5),)],
        }

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        if same_number(got, want):
            return None
        if as_number(got) is None:
            return f"{show(got)} came back, and a number is asked for."
        model = build(case[0])
        layers = _prunable(model.modules())
        if not layers:
            return f"there is no layer to prune, so 0.0 is asked for; {show(got)} came back."
        shares = [sparsity(layer.weight) for layer in layers]
        each = torch.cat([torch.zeros(0), *(layer.weight.flatten() for layer in layers)])
        everything = torch.cat([parameter.flatten() for parameter in model.parameters()])
        near = [layer.weight.flatten() for layer in _prunable(model.children())]
        named = [p.flatten() for n, p in model.named_parameters() if n.endswith("weight")]
        matrices = [p.flatten() for p in model.parameters() if p.dim() > 1]
        if same_number(got, 1 - want):
            return "this is the share of weights that are left, the density."
        if same_number(got, sparsity(each)):
            return "two layers share one weight tensor, and it is counted twice."
        if same_number(got, statistics.mean(shares)):
            return "you averaged the layers: small layers then count as much as large ones."
        if same_number(got, sparsity(torch.cat([torch.zeros(0), *matrices]))):
            return "only Linear and Conv2d weights are prunable here; other layers are counted in."
        if same_number(got, sparsity(torch.cat(named))):
            return "BatchNorm's `weight` is a scale. Look at the layer, not at the name."
        if same_number(got, sparsity(everything)):
            return "biases and BatchNorm are counted in. Only Linear and Conv2d weights are."
        if same_number(got, sparsity(torch.cat([torch.zeros(0), *near]))):
            return "only direct children were looked at; layers inside other modules count too."
        return f"the sparsity is {show(want)}, and {show(got)} came back."


def _prunable(modules) -> list[nn.Module]:
    return [module for module in modules if isinstance(module, nn.Linear | nn.Conv2d)]


def activation_sparsity(model: nn.Module, x: torch.Tensor) -> dict[str, float]:
    counts: dict[str, list[int]] = {}

    def watch(name):
        def hook(module, inputs, output):
            zeros, elements = counts.get(name, (0, 0))
            counts[name] = [zeros + int((output == 0).sum()), elements + output.numel()]

        return hook

    modes = {module: module.training for module in model.modules()}
    hooks = [
        module.register_forward_hook(watch(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU)
    ]
    try:
        model.eval()
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return {name: zeros / elements for name, (zeros, elements) in counts.items()}


class ActivationSparsity(Exercise):
    name = "activation_sparsity"
    lesson = "01"
    signature = "activation_sparsity(model, x) -> dict[str, float]"
    points = 3
    minutes = 20
    difficulty = 4
    importance = 3
    forbids = ("course_utils.measure.sparsity",)
    hints = (
        "`module.register_forward_hook(f)` calls f(module, inputs, output) after every forward of "
        "that module, and returns a handle with `.remove()`.",
        "A module can be called several times in one forward pass. Keep a count of zeros and a "
        "count of elements for each name, and divide at the end.",
        "Note every module's `.training` before `model.eval()`, and put each one back yourself: "
        "`model.train()` would switch them all on. `try: ... finally: ...` does it after an error "
        "as well, and is the place to remove the hooks.",
    )
    reference = staticmethod(activation_sparsity)

    def cases(self, rng):
        def images(*shape):
            return torch.from_numpy(rng.normal(size=shape)).float()

        convnet = network("convnet", _seed(rng), channels=3, classes=4)
        sizes = [6, int(rng.integers(7, 12)), int(rng.integers(3, 6)), 4]
        reused = network("reused relu", _seed(rng), sizes=[5, int(rng.integers(9, 14)), 4])
        return {
            "a small network": [
                (network("mlp", _seed(rng), sizes=sizes, training=False), images(8, 6))
            ],
            "BatchNorm and dropout": [(convnet, images(5, 1, 8, 8))],
            "one ReLU called twice": [(reused, images(7, 5))],
            "modes come back": [
                ({**convnet, "frozen": ["features.1"]}, images(3, 1, 8, 8)),
                ({**convnet, "training": False}, images(3, 1, 8, 8)),
            ],
            "nearly zero is not zero": [
                (network("mlp", _seed(rng), sizes=sizes, scale=1e-12), images(8, 6))
            ],
            "a network that fails": [(network("breaking", _seed(rng), size=4), images(2, 4))],
        }

    def verify(self, case, data):
        got, want = data.returned, self.expected(case)
        if not isinstance(got, dict):
            return f"{show(got)} came back, and a dictionary by module name is asked for."
        missing = [name for name in want if name not in got]
        extra = [name for name in got if name not in want]
        if missing:
            return f"the ReLU {missing[0]!r} is missing. It may sit inside another module."
        if extra:
            return f"{extra[0]!r} is not a ReLU."
        for name in differing_keys(got, want):
            calls = _relu_calls(case, name)
            if same_number(got[name], 1 - want[name]):
                return f"for {name!r} you gave the share of outputs that are not zero."
            if same_number(got[name], sparsity(calls[-1])):
                return f"{name!r} runs {len(calls)} times, and only the last run was counted."
            if same_number(got[name], statistics.mean(map(sparsity, calls))):
                return f"the runs of {name!r} differ in size: pool their zeros, do not average."
            near = torch.cat([(call.abs() < 1e-6).flatten() for call in calls])
            if same_number(got[name], near.double().mean()):
                return f"for {name!r} tiny outputs were counted as zeros. Only exact ones count."
            return (
                f"for {name!r} the share of zeros in eval mode is {show(want[name])}, and "
                f"{show(got[name])} came back."
            )
        return None


def _relu_calls(case, name) -> list[torch.Tensor]:
    model, outputs = build(case[0]).eval(), []
    model.get_submodule(name).register_forward_hook(lambda m, i, output: outputs.append(output))
    model(case[1])
    return outputs


def median_latency(fn, warmup, repeats, clock) -> tuple[float, float]:
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        start = clock()
        fn()
        times.append(clock() - start)
    times = torch.tensor(times, dtype=torch.float64)
    low, middle, high = (times.quantile(share).item() for share in (0.25, 0.5, 0.75))
    return middle, high - low


class MedianLatency(Exercise):
    name = "median_latency"
    lesson = "01"
    signature = "median_latency(fn, warmup, repeats, clock) -> tuple[float, float]"
    points = 3
    minutes = 15
    difficulty = 3
    importance = 4
    forbids = ("course_utils.measure.latency",)
    hints = (
        "`clock()` returns a time in seconds. Read it right before and right after each call of "
        "`fn`, and keep the difference.",
        "Call `fn` `warmup` times first, without the clock. `statistics.median` handles an even "
        "number of times.",
        "`torch.quantile(times, 0.25)` and 0.75 give the linear quartiles; the interquartile range "
        "is their difference. Use float64.",
    )
    reference = staticmethod(median_latency)

    def cases(self, rng):
        def times(count):
            """No two alike, so that no two of the numbers one may take for the median are."""
            return [1 + int(t) / 4 for t in rng.choice(16, size=count, replace=False)]

        # With 5 or 9 times all conventions agree on the quartiles; with others they fall between.
        even, between = 2 * int(rng.integers(3, 6)), int(rng.choice([7, 11]))
        return {
            "an odd number of repeats": [
                ([9.0, 1.0, 2.0, 6.0, 3.0, 30.0], 1, 5),
                (times(9), 0, 9),
            ],
            "an even number of repeats": [(times(even), 0, even)],
            "quartiles between two times": [(times(between), 0, between)],
            "warm-up": [([50.0, 40.0, 30.0, *times(5)], 3, 5)],
            "one repeat": [(times(2), 1, 1)],
        }

    def shown(self, case):
        durations, warmup, repeats = case
        return (
            f"median_latency with calls that take {show(durations)} s, {warmup} to warm up and "
            f"{repeats} to measure"
        )

    def call(self, inputs, answer):
        durations, warmup, repeats = inputs
        now, calls, trace = 100.0, 0, []

        def fn():
            nonlocal now, calls
            now += durations[calls % len(durations)]
            calls += 1
            trace.append("call")

        def clock():
            trace.append("clock")
            return now

        return {"result": answer(fn, warmup, repeats, clock), "trace": trace}

    def verify(self, case, data):
        durations, warmup, repeats = case
        got, trace = data.returned["result"], data.returned["trace"]
        times = durations[warmup:]
        if "clock" not in trace:
            return "the clock you were given was never read."
        if trace.count("call") != warmup + repeats:
            return (
                f"`fn` ran {trace.count('call')} times; {warmup} to warm up and {repeats} to "
                "measure are asked for."
            )
        if trace[: trace.index("clock")].count("call") < warmup:
            return "the clock runs during the warm-up, which is there to be thrown away."
        if trace[warmup:] != ["clock", "call", "clock"] * repeats:
            return "read the clock right before and right after every call that is measured."
        if not isinstance(got, tuple | list):
            return f"{show(got)} came back. Return two numbers: the median and the range."
        if len(got) != 2:
            return f"two numbers are asked for, the median and the range; you returned {len(got)}."
        median, spread = self.expected(case)["result"]
        if not same_number(got[0], median):
            if same_number(got[0], statistics.mean(times)):
                return "the first number is the mean, which one slow call drags along."
            if same_number(got[0], sorted(times)[repeats // 2]):
                return "with an even number of times, the median is midway between the middle two."
            if same_number(got[0], sorted(times)[(repeats - 1) // 2]):
                return "`torch.median` takes the lower of the middle two; their mean is asked for."
            return f"the median should be {show(median)} s, and {show(got[0])} came back."
        if not same_number(got[1], spread):
            if repeats > 1 and same_number(got[1], statistics.stdev(times)):
                return "the second number is the standard deviation, not the interquartile range."
            if same_number(got[1], max(times) - min(times)):
                return "the second number is the full range; the middle half's is asked for."
            if repeats > 1 and same_number(got[1], _range(times, "exclusive")):
                return "these quartiles follow another convention; `torch.quantile` has the linear."
            if as_number(got[1]) is None:
                return f"{show(got[1])} came back for the range: one number, upper minus lower."
            return (
                f"the interquartile range should be {show(spread)} s, and {show(got[1])} came back."
            )
        return None


def _range(times, method) -> float:
    low, _, high = statistics.quantiles(times, n=4, method=method)
    return high - low


EXERCISES = [
    CountParameters(),
    LayerMacs(),
    Sparsity(),
    ModelSparsity(),
    ActivationSparsity(),
    MedianLatency(),
]
