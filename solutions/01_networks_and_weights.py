# %% [markdown]
# # 01 · Networks and weights
#
# **About 100 minutes · difficulty 2 of 5**
#
# You will be able to
#
# - count a network's parameters and its multiply-accumulates, layer by layer;
# - measure its speed so that the figure can be trusted;
# - measure how much of it is zero, in its weights and in what flows through it;
# - explain why these numbers do not follow from one another.
#
# *Back again? You still see what you did, and Python has forgotten it: click where you want to go
# on, and choose Run All Above Selected Cell in the menu Run. That may take a minute or two, and
# stops at a cell with an error.*

# %% [markdown]
# ## Before you start
#
# Nothing here is scored. Write what you think today.

# %%
from course_utils.study import quiz

quiz("01", "pretest")

# %% [markdown]
# ## Overview
#
# Before anything is pruned we need to know what a network costs, or we could not tell whether
# pruning helped. There are three costs, and they are often taken for one another: what is
# **stored**, what is **computed**, and what one **waits** for. You will write the measure for each.
# Then comes the quantity that pruning is all about: the share of zeros.

# %% [markdown]
# ## Key concepts
#
# - **Parameter**: any learned number. **Weight**: one that is multiplied with an input.
#   **Bias**: one that is added. **Filter**: the weights of one output channel of a convolution.
# - **Connection**: one use of a weight. A linear layer uses each weight once for an image; a
#   convolution slides its filters over the image and uses each weight many times.
# - **MAC**: multiply-accumulate, one product added to a sum; the unit of work. (A *FLOP* is one
#   operation, so one MAC is two FLOPs. Papers mix them up: look before you compare.)
# - **Latency**: how long one waits for an answer, in milliseconds.
# - **Sparsity**: the share of numbers that are exactly zero.
# - **Eval mode**: how a network behaves in use. In training mode *BatchNorm*, which rescales each
#   channel, uses the current batch and updates its averages, and *dropout* zeroes at random; in
#   eval mode neither happens. `model.eval()` and `model.train()` switch.

# %%
import time

import torch
from IPython.display import display
from torch import nn

from course_utils import data, measure, models, plots
from course_utils.study import (
    check,
    claim,
    enrol,
    enter,
    hint,
    outcome,
    predict,
    predicted,
    progress,
    review,
    solution,
    yours_or_ours,
)
from course_utils.training import accuracy

digits = data.digits()
network = models.load("cnn")

# %% [markdown]
# ## Step 1: what is stored
#
# This is the network of our story, trained.

# %%
print(network)

# %% [markdown]
# **Question.** Where do its parameters sit? The third convolution, `conv3`, has 128 filters; `fc1`
# is a linear layer; `conv1` looks at the pixels.
#
# **Predict.** Which layer has the most weights? Write its name in quotes.

# %%
predict("largest_layer", ..., choices=("conv1", "conv2", "conv3", "fc1", "fc2"))

# %% [markdown]
# A worked example first, with a single layer. A linear layer from 3 numbers to 2 connects each
# input with each output, and adds one bias to each output.

# %%
tiny = nn.Linear(3, 2)
for name, parameter in tiny.named_parameters():
    print(f"{name:6}  shape {tuple(parameter.shape)!s:7}  {parameter.numel()} numbers")

# %% [markdown]
# **Exercise** `count_parameters` · 2 points · about 8 minutes · difficulty 1 of 5
#
# Return a dictionary from each parameter's name to its number of elements, for **all** parameters
# of a model: weights and biases, in modules inside modules, whether they still train or are frozen
# (`requires_grad=False`). A tensor that two layers share counts once, under its first name.


# %% exercise="count_parameters"
def count_parameters(model):
    """Elements by parameter name."""
    ### BEGIN SOLUTION
    counts = {}
    for name, parameter in model.named_parameters():
        counts[name] = parameter.numel()
    return counts
    ### END SOLUTION


# %% check="count_parameters"
check("count_parameters", count_parameters)

# %% [markdown]
# **See it.**

# %% demo
count = yours_or_ours("count_parameters", count_parameters)
counts = count(network)
layers = ["conv1", "conv2", "conv3", "fc1", "fc2"]
weights = [counts[f"{layer}.weight"] for layer in layers]
if predicted("largest_layer"):
    outcome("largest_layer", layers[weights.index(max(weights))])
    share = 100 * sum(weights) / sum(counts.values())
    print(f"{sum(counts.values()):,} parameters, {share:.1f} % of them weights of these layers")
    display(plots.bars(layers, weights, ylabel="weights", title="What is stored"))

# %% [markdown]
# Two layers hold most of it, and nearly everything is weights. That is one reason why pruning
# leaves biases alone; we come back to it in step 5.

# %%
quiz("01", "section", "Step 1")

# %% [markdown]
# ## Step 2: what is computed
#
# **Question.** Is the layer with the most weights also the one with the most work?
#
# Each use of a weight is a connection, and costs one multiply-accumulate. A linear layer uses each
# weight once. A convolution puts its filters on every position of the output, and uses each weight
# again at each of them:
#
# *MACs = numbers in one image's output x products summed for one of them*
#
# A worked example: 2 filters of 3 x 3 on one channel, with an output of 8 x 8.

# %%
small = nn.Conv2d(1, 2, kernel_size=3, padding=1)
output = small(torch.zeros(5, 1, 8, 8))  # five images
products_for_one_number = 1 * 3 * 3  # input channels * kernel height * kernel width
numbers_in_the_output = output[0].numel()  # of one image
print("output of one image:", tuple(output[0].shape), "so", numbers_in_the_output, "numbers")
print("weights            :", small.weight.numel())
print("connections = MACs :", numbers_in_the_output * products_for_one_number)

# %% [markdown]
# **Predict.** You saw how many of the weights sit in `fc1`. How many percent of the
# multiply-accumulates for one image happen there?

# %%
predict("work_in_fc1", ...)

# %% [markdown]
# **Exercise** `layer_macs` · 3 points · about 15 minutes · difficulty 3 of 5
#
# Given a layer (`nn.Linear` or `nn.Conv2d`) and the output it produced for a batch, return the
# multiply-accumulates for **one** example. Biases are added, not multiplied: leave them out.
#
# - A linear layer's output is 2-D (batch, features), a convolution's 4-D (batch, channels, height,
#   width).
# - With `groups`, the channels are split, and a filter sees only `in_channels / groups` of them.
# - Kernels need not be square.
# - If the output's dimensions or its features or channels cannot come from this layer, raise
#   `ValueError` with a sentence.


# %% exercise="layer_macs"
def layer_macs(layer, output):
    """Multiply-accumulates of the layer for one example of the batch."""
    ### BEGIN SOLUTION
    if isinstance(layer, nn.Linear):
        if output.dim() != 2 or output.shape[1] != layer.out_features:
            raise ValueError(f"{tuple(output.shape)} is no output of {layer}")
        return layer.in_features * layer.out_features
    if output.dim() != 4 or output.shape[1] != layer.out_channels:
        raise ValueError(f"{tuple(output.shape)} is no output of {layer}")
    _, channels, height, width = output.shape
    kernel_height, kernel_width = layer.kernel_size
    one_number = layer.in_channels // layer.groups * kernel_height * kernel_width
    return channels * height * width * one_number
    ### END SOLUTION


# %% check="layer_macs"
check("layer_macs", layer_macs)

# %% [markdown]
# **See it.** A forward hook catches each layer's output; your function does the rest.

# %% demo
macs_of = yours_or_ours("layer_macs", layer_macs)
work = {}


def note_work(name):
    def hook(layer, inputs, output):
        work[name] = macs_of(layer, output)

    return hook


hooks = [network.get_submodule(name).register_forward_hook(note_work(name)) for name in layers]
network(digits.x_val[:1])
for hook in hooks:
    hook.remove()
if predicted("work_in_fc1"):
    outcome("work_in_fc1", 100 * work["fc1"] / sum(work.values()), "%")
    shares = {
        "of the weights": [weight / sum(weights) for weight in weights],
        "of the work": [work[name] / sum(work.values()) for name in layers],
    }
    display(
        plots.bars(layers, shares, ylabel="share", title="Stored is not computed", percent=True)
    )

# %% [markdown]
# `fc1` is one of the largest layers and does almost no work; `conv2` is the reverse. Shrinking
# `fc1` would save bytes, shrinking `conv2` multiplications. PyTorch can count as well, and agrees:

# %% demo
print(f"layer by layer   : {sum(work.values()):,} MACs for one image")
print(f"PyTorch's counter: {measure.macs(network, digits.x_val[:1]):,}")

# %%
quiz("01", "section", "Step 2")

# %% [markdown]
# ## Step 3: what one waits for
#
# **Question.** Here are three networks: the LeNet-300-100 that pruning papers love (linear layers
# only), our CNN, and a small ResNet (convolutions with shortcuts around them). The ResNet has fewer
# parameters than our CNN *and* fewer MACs. Which of the two answers faster, for a single image?
#
# **Predict.** `"cnn"` or `"resnet8"`?

# %%
predict("faster_for_one_image", ..., choices=("cnn", "resnet8"))

# %% [markdown]
# To find out we need a clock, and time is harder than counting: it changes from one run to the
# next. Here is one network, timed twenty times in the most obvious way.

# %% varies demo
times = []
for _ in range(20):
    start = time.perf_counter()
    network(digits.x_val[:1])
    times.append(1000 * (time.perf_counter() - start))
plots.curve(
    range(1, 21),
    {"one image through the network": times},
    xlabel="run",
    ylabel="milliseconds",
    title="Twenty runs of the same thing",
)

# %% [markdown]
# The first run is often slower: memory is fetched, code is chosen. Any run can be disturbed by
# whatever else the computer is doing. So one *warms up* first, repeats, and reports the **median**
# with its **interquartile range**, the width of the middle half. A mean would be dragged along by
# a single slow run.
#
# **Exercise** `median_latency` · 3 points · about 15 minutes · difficulty 3 of 5
#
# Call `fn()` `warmup` times without timing it, then `repeats` times, reading `clock()` right before
# and right after each call. Return the pair (median, interquartile range). For an even number of
# times the median is the mean of the middle two; quartiles that fall between two times are
# interpolated linearly, as `torch.quantile` does.
#
# (Why is the clock an argument? So that a check can hand you one that it controls. With
# `time.perf_counter` you measure for real.)


# %% exercise="median_latency"
def median_latency(fn, warmup, repeats, clock):
    """Median and interquartile range of the times of `repeats` calls."""
    ### BEGIN SOLUTION
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        before = clock()
        fn()
        after = clock()
        times.append(after - before)
    times = torch.tensor(times, dtype=torch.float64)
    low, middle, high = (times.quantile(share).item() for share in (0.25, 0.5, 0.75))
    return middle, high - low
    ### END SOLUTION


# %% check="median_latency"
check("median_latency", median_latency)

# %% [markdown]
# **See it.**

# %% varies demo
time_of = yours_or_ours("median_latency", median_latency)
three = {name: models.load(name) for name in ("lenet", "cnn", "resnet8")}
image = digits.x_val[:1]
latency, spread = {}, {}
with torch.no_grad(), measure.threads(1):
    for name, model in three.items():
        seconds = time_of(lambda model=model: model(image), 20, 200, time.perf_counter)
        latency[name], spread[name] = (1e6 * value for value in seconds)
if predicted("faster_for_one_image"):
    outcome("faster_for_one_image", min(("cnn", "resnet8"), key=latency.get))
    for name in three:
        print(f"{name:8} {latency[name]:4.0f} µs, the middle half {spread[name]:.1f} µs wide")
    costs = {
        "parameters": [measure.parameters(model) for model in three.values()],
        "MACs": [measure.macs(model, image) for model in three.values()],
        "time for one image": list(latency.values()),
    }
    relative = {cost: [v / max(values) for v in values] for cost, values in costs.items()}
    display(
        plots.bars(
            list(three),
            relative,
            ylabel="relative to the largest",
            title="Three costs, not one order",
            percent=True,
        )
    )

# %% [markdown]
# Why? The ResNet is deeper: one small step after the other, and each step costs something however
# little there is to compute. If that is the reason, it should matter less when each step has more
# to do. So let us give both more images at once.


# %% varies claim="fewer_macs_can_be_slower"
def resnet_against_cnn(seed):
    cnn, resnet = models.new("cnn", seed), models.new("resnet8", seed)
    image = digits.x_val[seed % 200][None]
    return {
        "parameters": measure.parameters(resnet) / measure.parameters(cnn),
        "macs": measure.macs(resnet, image) / measure.macs(cnn, image),
        "time": measure.speedup(resnet, cnn, image)[0],
    }


if predicted("faster_for_one_image"):
    three = {name: models.load(name) for name in ("cnn", "resnet8")}
    batch_sizes = [1, 4, 16, 64, 256]
    ratios = [
        measure.speedup(three["resnet8"], three["cnn"], digits.x_train[:size], repeats=20)[0]
        for size in batch_sizes
    ]
    display(
        plots.bars(
            [f"{size} at once" for size in batch_sizes],
            [round(ratio, 2) for ratio in ratios],
            ylabel="ResNet's time / CNN's time",
            title="The more images at once, the more the MACs count",
        ),
        claim(
            "fewer_macs_can_be_slower",
            resnet_against_cnn,
            holds=lambda parameters, macs, time: (
                max(parameters.max(), macs.max()) < 0.8 and time.min() > 1
            ),
            says=lambda parameters, macs, time: (
                f"With {100 * parameters.mean():.0f} % of the CNN's parameters and "
                f"{100 * macs.mean():.0f} % of its MACs, the ResNet takes {time.mean():.1f} times "
                "as long for one image."
            ),
        ),
    )

# %% [markdown]
# **Parameters are not MACs, and MACs are not milliseconds.** Which network is faster depends on how
# it is used. Whoever claims that pruning made a network faster has to show the clock, and say what
# was timed.

# %%
quiz("01", "section", "Step 3")

# %% [markdown]
# ## Step 4: how much of it is zero
#
# **Question.** Pruning makes zeros. How many are there before we begin? The histogram shows many
# small weights.

# %% demo
plots.weight_histogram(network, title="The trained weights, layer by layer")

# %% [markdown]
# **Predict.** How many percent of the trained network's weights are *exactly* zero?

# %%
predict("zeros_after_training", ...)

# %% [markdown]
# **Exercise** `sparsity` · 1 point · about 5 minutes · difficulty 1 of 5
#
# Return the share (0 to 1) of a tensor's elements that are exactly zero; 0.0 for a tensor without
# elements.


# %% exercise="sparsity"
def sparsity(tensor):
    """The share of exact zeros."""
    ### BEGIN SOLUTION
    if tensor.numel() == 0:
        return 0.0
    return (tensor == 0).sum().item() / tensor.numel()
    ### END SOLUTION


# %% check="sparsity"
check("sparsity", sparsity)

# %% [markdown]
# **Exercise** `model_sparsity` · 2 points · about 10 minutes · difficulty 2 of 5
#
# The same for a whole model. To find its layers one walks over its modules, like this:

# %%
for name, module in network.named_modules():
    if isinstance(module, nn.Conv2d):
        print(f"{name}: {tuple(module.weight.shape)}")

# %% [markdown]
# Return the share of zeros over **all prunable weights together**. Prunable
# are the weights of `nn.Linear` and `nn.Conv2d`, wherever they sit; no biases, no BatchNorm. A
# tensor that two layers share counts once. If there is nothing to prune, return 0.0.


# %% exercise="model_sparsity"
def model_sparsity(model):
    """The share of exact zeros over all prunable weights together."""
    ### BEGIN SOLUTION
    seen, zeros, elements = set(), 0, 0
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            zeros += (module.weight == 0).sum().item()
            elements += module.weight.numel()
    return zeros / elements if elements else 0.0
    ### END SOLUTION


# %% check="model_sparsity"
check("model_sparsity", model_sparsity)

# %% [markdown]
# **See it.**

# %% demo
zeros_in = yours_or_ours("model_sparsity", model_sparsity)
if predicted("zeros_after_training"):
    outcome("zeros_after_training", 100 * zeros_in(network), "%")

# %% [markdown]
# Small is not zero: ordinary training moves weights *close* to zero, not exactly onto it. Making
# them exact is what pruning does.
#
# What flows through the network is another matter. A ReLU turns every negative number into an
# exact zero. How many is that?
#
# **Predict.** How many percent of a ReLU's outputs are zero, on average over the four ReLUs of our
# network?

# %%
predict("zeros_after_relu", ...)

# %% [markdown]
# **Exercise** `activation_sparsity` · 3 points · about 20 minutes · difficulty 4 of 5
#
# Run the model on `x` in **eval mode** and return, for each `nn.ReLU` module by its name, the share
# of zeros in its output. If a module is called several times, pool its calls: all zeros over all
# elements. Leave the model as you found it, hooks removed and every module's mode as it was, even
# if its forward pass fails; let that error through.
#
# A forward hook is how one looks inside. Here is one, put on and taken off again:

# %%
relu = nn.ReLU()
handle = relu.register_forward_hook(lambda module, inputs, output: print("saw", output))
relu(torch.tensor([-1.0, 2.0, -3.0]))
handle.remove()


# %% exercise="activation_sparsity"
def activation_sparsity(model, x):
    """Share of zeros in each ReLU's output, by module name."""
    ### BEGIN SOLUTION
    outputs = {}

    def watch(name):
        def hook(module, inputs, output):
            outputs.setdefault(name, []).append((output == 0).flatten())

        return hook

    modes = {module: module.training for module in model.modules()}
    handles = []
    try:
        for name, module in model.named_modules():
            if isinstance(module, nn.ReLU):
                handles.append(module.register_forward_hook(watch(name)))
        model.eval()
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    return {name: torch.cat(zeros).double().mean().item() for name, zeros in outputs.items()}
    ### END SOLUTION


# %% check="activation_sparsity"
check("activation_sparsity", activation_sparsity)

# %% varies demo
quiet = yours_or_ours("activation_sparsity", activation_sparsity)(network, digits.x_val)
if predicted("zeros_after_relu"):
    outcome("zeros_after_relu", 100 * sum(quiet.values()) / len(quiet), "% on average")
    display(
        plots.bars(
            list(quiet), list(quiet.values()), ylabel="zeros", title="After each ReLU", percent=True
        )
    )
    hidden = []
    hook = network.relu4.register_forward_hook(lambda m, i, output: hidden.append(output))
    network(digits.x_val)
    hook.remove()
    silent = (hidden[0] == 0).all(dim=0).sum().item()
    print(f"of the {hidden[0].shape[1]} outputs of relu4, {silent} are zero for every image")

# %% [markdown]
# So a network without a single zero weight is full of zeros while it works. Most of them come and
# go with the input, which makes them hard to profit from; zero *weights* stay where they are, and
# that is why pruning goes for the weights. Some outputs, though, never fire at all. Lesson 02 looks
# for those.

# %%
quiz("01", "section", "Step 4")

# %% [markdown]
# ## Step 5: why biases are spared
#
# You will read that biases are not pruned because each one matters a lot. Let us test it: we set
# **all** biases to zero, BatchNorm's included, without any training.
#
# **Predict.** How many points of accuracy does the network lose? (A negative loss is a gain.)

# %%
predict("points_lost_without_biases", ...)


# %% varies claim="biases_are_not_worth_it"
def without_biases(seed):
    trained = models.load("cnn", seed)
    full = accuracy(trained, digits.x_val, digits.y_val)
    counts = {name: p.numel() for name, p in trained.named_parameters()}
    biases = [name for name in counts if name.endswith("bias")]
    for name in biases:
        nn.init.zeros_(trained.get_parameter(name))
    return {
        "lost": 100 * (full - accuracy(trained, digits.x_val, digits.y_val)),
        "share": sum(counts[name] for name in biases) / sum(counts.values()),
    }


if predicted("points_lost_without_biases"):
    outcome("points_lost_without_biases", without_biases(0)["lost"], "points for our network")
    display(
        claim(
            "biases_are_not_worth_it",
            without_biases,
            holds=lambda lost, share: abs(lost).max() < 3 and share.max() < 0.01,
            says=lambda lost, share: (
                f"Setting every bias to zero changed the accuracy by {abs(lost).max():.2f} points "
                f"at most, and biases are {100 * share.mean():.1f} % of the parameters."
            ),
        )
    )

# %% [markdown]
# In this network the popular reason does not hold: the biases hardly matter. (They have hardly
# moved from where its short training began, so do not conclude that biases never matter.) The
# better reason is the second figure. Removing all of them would save next to nothing: there is
# nothing to win, and in other networks something to lose.

# %% [markdown]
# ## Pitfalls
#
# **Counting the state dict.** It holds buffers too, such as BatchNorm's running statistics. They
# are stored, but they are not parameters:

# %%
in_state = sum(tensor.numel() for tensor in network.state_dict().values())
print(f"in the state dict {in_state:,}, parameters {measure.parameters(network):,}")

# %% [markdown]
# **Taking the L1 norm for a count of zeros.** It is sometimes said that the L1 norm measures how
# many weights are zero. It adds up sizes. These two tensors have the same number of zeros:

# %%
for tensor in (torch.tensor([0.0, 0.0, 0.1]), torch.tensor([0.0, 0.0, 100.0])):
    print("zeros:", (tensor == 0).sum().item(), " L1 norm:", round(tensor.abs().sum().item(), 1))

# %% [markdown]
# What counts the nonzero entries is called the "L0 norm". The L1 norm has another use: as a penalty
# while training it *pushes* weights towards zero. That is lesson 06.
#
# **Averaging the sparsities of layers.** A small layer then speaks as loudly as a large one:

# %%
small_layer, large_layer = torch.zeros(10), torch.ones(990)
shares = [(tensor == 0).double().mean().item() for tensor in (small_layer, large_layer)]
print("average of the layers:", sum(shares) / 2)
print("the network's        :", (torch.cat([small_layer, large_layer]) == 0).double().mean().item())

# %% [markdown]
# **Timing once.** Five new networks of the same kind, each timed by its first run, and then as it
# should be done:

# %% varies demo
image = digits.x_val[:1]
once = [
    measure.interleaved_times([models.cnn()], image, warmup=0, repeats=1)[0][0] for _ in range(5)
]
print("timed once    :", ", ".join(f"{milliseconds:.2f}" for milliseconds in once), "ms")
print(f"median of many: {measure.latency(models.cnn(), image)[0]:.2f} ms")

# %% [markdown]
# To compare two networks let them take turns, as `measure.speedup` does, so that a busy moment of
# your computer slows both.

# %%
quiz("01", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A paper reports that pruning halved the FLOPs of a network and calls it "twice as fast".
# Name two reasons why that may be wrong, and say what you would measure instead.

# %% [markdown] written="why_flops_are_not_speed" points=2
# <!-- BEGIN SOLUTION -->
# Time is also spent on moving data, on starting each operation, and on layers without many
# multiplications; and hardware may handle the smaller shapes less well. A deep network of small
# steps can be slower than a shallow one with more work. I would time both networks in turn on the
# target device, after a warm-up, many times, and report the median with its spread.
#
# *Marking: half a point for each sound reason (two at most), one for a sound measurement.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** Which of the zeros after a ReLU *could* be removed from the network for good, and how would
# you find them?

# %% [markdown] written="which_activations_can_go" points=1
# <!-- BEGIN SOLUTION -->
# Those of outputs that are zero for every input: the channel or unit never contributes, so it and
# the weights that read it can be removed. One finds them by counting zeros over many images, and
# knows it only for the images one has tried.
#
# *Marking: half a point for "zero for all inputs", half for a way to find them.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# Would another kind of network solve the device's problem without any pruning? The LeNet and the
# ResNet enter their rows.

# %% varies demo
enter("01", "a LeNet instead", models.load("lenet"))
enter("01", "a ResNet instead", models.load("resnet8"))

# %% [markdown]
# Neither fits: both files are too large, and the ResNet is too slow for a single image. We stay
# with the CNN, and make it smaller.

# %% [markdown]
# ## The last step: the test images
#
# The column on the right says how far chance typically carries such a figure: the standard error of
# a share, from the number of images. Twice as far is not rare, and the difference of two figures
# moves further still.

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
print("          validation     test   by chance")
for name in ("lenet", "cnn", "resnet8"):
    model = models.load(name)
    right = accuracy(model, x_test, y_test)
    on_validation = accuracy(model, digits.x_val, digits.y_val)
    chance = (on_validation * (1 - on_validation) / len(digits.x_val)) ** 0.5
    print(f"{name:8} {100 * on_validation:10.1f} % {100 * right:6.1f} %   +- {100 * chance:.1f}")

# %% [markdown]
# Validation and test do not agree to the decimal, and cannot: with a few hundred images, a
# difference of one point between two networks means little. Keep it in mind whenever you read a
# table.

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("01", "exit")

# %% [markdown]
# ## Recap
#
# - A network has three costs: what is stored, computed and waited for. They differ layer by layer
#   and network by network.
# - A convolution reuses its weights at every position; a linear layer uses each once.
# - Time is measured with a warm-up, many repeats, the median and its spread.
# - Sparsity counts exact zeros. Ordinary training makes none in the weights; ReLU makes many in
#   the activations.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow. If you worked through lesson 00 on
# another day, some of its questions may be due: `review()` brings them.

# %%
enrol("01")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - Y. LeCun and others, *Gradient-Based Learning Applied to Document Recognition*, 1998: where the
#   LeNets come from.
# - V. Sze and others, *Efficient Processing of Deep Neural Networks: A Tutorial and Survey*, 2017
#   (arXiv 1703.09039): what multiplications, memory and energy really cost.
# - M. Kurtz and others, *Inducing and Exploiting Activation Sparsity for Fast Neural Network
#   Inference*, 2020: what it takes to profit from zeros that come and go.
