# %% [markdown]
# # 04 · PyTorch's own tools
#
# **About 110 minutes · difficulty 3 of 5**
#
# You will be able to
#
# - prune any parameter with `torch.nn.utils.prune`: at random or by size, single weights or whole
#   filters, one layer or all of them in one ranking;
# - say what it does to a layer, and what follows for training, saving, loading and copying;
# - write a pruning method of your own;
# - make pruning permanent, and tell what that gains and what it does not.
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

quiz("04", "pretest")

# %% [markdown]
# ## Overview
#
# In lesson 03 you wrote masks yourself. PyTorch brings a module for pruning, which you will meet in
# most tutorials and in other people's code. It is convenient, and it surprises nearly everybody
# once. You will see what it does to a layer, use everything in it, extend it, and end it properly.
# Then you will know when to reach for it, and when for masks of your own.

# %% [markdown]
# ## Key concepts
#
# - **Reparametrization**: a parameter is computed from other tensors instead of being stored. Here
#   `weight` becomes `weight_orig` times `weight_mask`.
# - **Buffer**: a tensor that belongs to a module and its state dict, but is not trained.
# - **Forward pre-hook**: a function that a module calls right before each forward pass.
# - **Container**: what holds several prunings of one parameter.
# - **Stale**: computed from values that have changed since.

# %%
import copy
import tempfile
import time
from collections import OrderedDict
from functools import cache, partial
from pathlib import Path

import torch
from IPython.display import display
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from course_utils import data, measure, models, plots
from course_utils.measure import bytes_on_disk, sparsity
from course_utils.pruning import importance, masks, storage
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
from course_utils.training import accuracy, train

digits = data.digits()


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * accuracy(model, digits.x_val, digits.y_val)


# %% [markdown]
# ## Step 1: what one call does to a layer
#
# The classic first demonstration prunes 30 % of the weights of a LeNet's first convolution, at
# random. Here is such a LeNet-5: two convolutions, three linear layers, sized for our digits. (The
# `lenet` of the other lessons is its simpler relative LeNet-300-100, without convolutions.)


# %%
def lenet5():
    """A LeNet-5 for images of 8 x 8."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 6, 5, padding=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 16, 3, padding=1),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc1=nn.Linear(64, 120),
            relu3=nn.ReLU(),
            fc2=nn.Linear(120, 84),
            relu4=nn.ReLU(),
            fc3=nn.Linear(84, 10),
        )
    )


@cache
def trained_lenet5(seed=0):
    """Trained from a start that the seed decides, once; prune copies of it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = lenet5()
    train(model, digits, epochs=20, lr=3e-3, seed=seed, quiet=True)
    return model


# %% [markdown]
# Its first convolution has 6 filters of 5 x 5 on one channel, so 150 weights. One call prunes 30 %
# of them. You pass it the module, the **name** of the parameter in that module, and the
# **amount**.
#
# **Predict.** The layer must keep what it needs to compute its weights. How many numbers does it
# hold for them afterwards, in its parameters and buffers together, the bias left out?

# %%
predict("numbers_held_for_150_weights", ...)

# %% varies demo
lenet = trained_lenet5()
pruned = copy.deepcopy(lenet)
with torch.random.fork_rng():
    torch.manual_seed(4)
    prune.random_unstructured(pruned.conv1, name="weight", amount=0.3)
if predicted("numbers_held_for_150_weights"):
    conv1 = pruned.conv1
    for name, tensor in conv1.named_parameters():
        print(f"parameter  {name:12} {tensor.numel():4} numbers")
    for name, tensor in conv1.named_buffers():
        print(f"buffer     {name:12} {tensor.numel():4} numbers")
    outcome("numbers_held_for_150_weights", conv1.weight_orig.numel() + conv1.weight_mask.numel())
    display(
        plots.weights_as_picture(
            lenet.conv1.weight, conv1.weight, title="conv1: a filter in each row"
        )
    )

# %% [markdown]
# Nothing has become smaller. The parameter called `weight` is gone from the parameters. In its
# place there are
#
# - `weight_orig`, a parameter: **all** the weights, the pruned ones with their old values;
# - `weight_mask`, a buffer: a 1 for each weight that stays and a 0 for each that is pruned;
# - `weight`, a plain attribute now: the product of the two, for the layer's forward pass to use;
# - a forward pre-hook, which computes that product anew before every forward pass.
#
# The bias was not named, so it is what it was.

# %%
layer = nn.Linear(4, 2)
before = layer.weight
prune.l1_unstructured(layer, name="weight", amount=0.5)
print(
    "weight = weight_orig * weight_mask  ",
    (layer.weight_orig * layer.weight_mask == layer.weight).all().item(),
)
print("weight_orig is the parameter of old ", layer.weight_orig is before)
print("weight is still a parameter         ", isinstance(layer.weight, nn.Parameter))
print(
    "hooks                               ",
    [type(h).__name__ for h in layer._forward_pre_hooks.values()],
)
print("is_pruned                           ", prune.is_pruned(layer))

# %% [markdown]
# `is_pruned` looks for such a hook, in the module and in all modules inside it. It does not look
# for zeros. And note the second line: the parameter is the **same object** under a new name. That
# will matter when we train.
#
# `random_unstructured` has a sibling, `l1_unstructured`, which prunes the smallest magnitudes
# instead. (The L1 norm of a single number is its absolute value.)
#
# **Predict.** Thirty percent of this one small layer, at random. How many points of accuracy does
# it cost, on average over several tries?

# %%
predict("points_lost_by_random_conv1", ...)


# %% varies claim="which_thirty_percent"
def without_thirty_percent(seed, tries=10):
    """Points lost when 30 % of conv1's weights go: by size, and at random (mean over tries)."""
    model = trained_lenet5(seed)
    full = percent_right(model)
    smallest = copy.deepcopy(model)
    prune.l1_unstructured(smallest.conv1, "weight", amount=0.3)
    random = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(tries):
            other = copy.deepcopy(model)
            prune.random_unstructured(other.conv1, "weight", amount=0.3)
            random.append(full - percent_right(other))
    return {"smallest": full - percent_right(smallest), "random": sum(random) / tries}


if predicted("points_lost_by_random_conv1"):
    lost = [without_thirty_percent(seed) for seed in range(5)]
    for_five = {which: torch.tensor([each[which] for each in lost]) for which in lost[0]}
    outcome("points_lost_by_random_conv1", lost[0]["random"], "points for our LeNet-5")
    display(
        plots.bars(
            ["the smallest 30 %", "a random 30 %"],
            [round(points.mean().item(), 1) for points in for_five.values()],
            errors=[points.std().item() for points in for_five.values()],
            ylabel="points of accuracy lost",
            title="Thirty percent of the first convolution",
        ),
        claim(
            "which_thirty_percent",
            without_thirty_percent,
            holds=lambda smallest, random: (random - smallest).min() > 2,
            says=lambda smallest, random: (
                f"Without the smallest 30 % of conv1 a LeNet-5 lost {smallest.mean():.1f} points, "
                f"without a random 30 % {random.mean():.1f}, the mean of ten tries each."
            ),
        ),
    )

# %% [markdown]
# So the famous demonstration shows how the tool works, not how to prune. (The error bars are the
# standard deviation over five networks.)

# %%
quiz("04", "section", "Step 1")

# %% [markdown]
# ## Step 2: how much, and how often
#
# **Question.** `amount` can be a share or a count. How does the function know which you mean?
#
# **Predict.** A layer has 8 weights. How many of them are zero after
# `prune.l1_unstructured(layer, "weight", amount=1)`?

# %%
predict("zeros_after_amount_1", ...)

# %%
if predicted("zeros_after_amount_1"):
    for amount in (0.5, 1.0, 3, 1):
        layer = nn.Linear(4, 2)
        prune.l1_unstructured(layer, "weight", amount=amount)
        zeros = int((layer.weight == 0).sum())
        print(f"amount={amount!r:4} {zeros} of 8 are zero")
    outcome("zeros_after_amount_1", zeros, "of 8")

# %% [markdown]
# The **type** decides: a float is a share, an int is a count. `amount=1` prunes one weight, `1.0`
# all of them. A share is rounded to a whole number of weights.
#
# Now we prune the same parameter several times.
#
# **Predict.** Five calls, one after the other, each with `amount=0.2`. How many percent of the
# layer are zero in the end?

# %%
predict("after_five_times_twenty", ...)

# %% [markdown]
# `prune.remove(module, name)` ends the pruning of a parameter: the product becomes an ordinary
# parameter again, and hook, mask and `weight_orig` disappear.
#
# **Predict.** The same five calls, but with a `prune.remove` after each. How many percent now?

# %%
predict("after_five_with_remove", ...)


# %% varies demo
def five_times(remove_between):
    """The share of zeros after 0, 1, ... 5 calls with amount=0.2."""
    conv = copy.deepcopy(lenet.conv2)
    shares = [sparsity(conv.weight)]
    for _ in range(5):
        prune.l1_unstructured(conv, "weight", amount=0.2)
        if remove_between:
            prune.remove(conv, "weight")
        shares.append(sparsity(conv.weight))
    return shares


if predicted("after_five_times_twenty", "after_five_with_remove"):
    kept, removed = five_times(remove_between=False), five_times(remove_between=True)
    outcome("after_five_times_twenty", 100 * kept[-1], "%")
    outcome("after_five_with_remove", 100 * removed[-1], "%")
    display(
        plots.curve(
            range(6),
            {"one call after the other": kept, "prune.remove after each": removed},
            xlabel="calls with amount=0.2",
            ylabel="share of zeros",
            title="Five times twenty percent",
            percent_y=True,
        )
    )

# %% [markdown]
# Neither is everything. Without `remove`, PyTorch knows which weights are pruned, and each call
# takes a fifth **of those that are left**: the amounts compound. After a `remove` nothing is known
# of any pruning. The zeros are weights like others, the smallest there are, and so the smallest
# fifth is the one that is gone already: nothing happens.
#
# A schedule "20 %, then 40 %, then 60 %" written as three such calls ends at none of the figures it
# names. Lesson 06 computes the amounts that do.
#
# How does PyTorch know? The second call put both methods into one **container**, which sits in the
# hook's place and hands each new method only what is still kept.

# %%
layer = nn.Linear(10, 10)
prune.l1_unstructured(layer, "weight", amount=0.2)
prune.random_unstructured(layer, "weight", amount=10)
(hook,) = layer._forward_pre_hooks.values()
print(type(hook).__name__, "of", [type(method).__name__ for method in hook])
print("zeros:", int((layer.weight == 0).sum()), "of 100, in one mask")

# %%
quiz("04", "section", "Step 2")

# %% [markdown]
# ## Step 3: rows, columns, filters
#
# **Question.** Can the module prune whole filters, too? `prune.ln_structured(module, name, amount,
# n, dim)` does, and `prune.random_structured(module, name, amount, dim)` at random. **`dim`** says
# along which dimension the weight is cut into slices, and **`n`** which norm measures a slice: 1
# adds up sizes, 2 is the Euclidean length, `float("inf")` the largest entry.
#
# A convolution's weight has the dimensions (filters, input channels, height, width). So `dim=0`
# prunes filters and `dim=1` input channels.
#
# **Predict.** `conv2` has 16 filters. We prune half of them. What is the first number in
# `conv2.weight.shape` afterwards?

# %%
predict("filters_in_the_shape", ...)

# %% varies demo
by_filter, by_channel = copy.deepcopy(lenet.conv2), copy.deepcopy(lenet.conv2)
prune.ln_structured(by_filter, "weight", amount=0.5, n=2, dim=0)
prune.ln_structured(by_channel, "weight", amount=0.5, n=2, dim=1)
if predicted("filters_in_the_shape"):
    outcome("filters_in_the_shape", by_filter.weight.shape[0])
    display(
        plots.weights_as_picture(lenet.conv2.weight, by_filter.weight, title="dim=0: filters"),
        plots.weights_as_picture(lenet.conv2.weight, by_channel.weight, title="dim=1: channels"),
    )

# %% [markdown]
# With `dim=0` whole rows of the picture are gone, with `dim=1` blocks of nine columns: the kernels
# that read one input channel. The shape is what it was. Structured pruning chooses *which* zeros
# there are; it does not take them out.
#
# Does `n` matter? Here is one layer with three rows, and one row is to go (an amount that is a
# count now counts slices).

# %%
rows = torch.tensor([[2.5, 0.0, 0.0], [1.5, 1.5, 0.0], [1.25, 1.25, 1.25]])
for n in (1, 2, float("inf")):
    layer = nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.copy_(rows)
    prune.ln_structured(layer, "weight", amount=1, n=n, dim=0)
    (gone,) = (layer.weight_mask.sum(dim=1) == 0).nonzero().flatten().tolist()
    print(f"n={n:<4} prunes {rows[gone].tolist()}")
prune.random_structured(layer, "weight", amount=1, dim=0)
print("random_structured then takes another:", int((layer.weight == 0).all(dim=1).sum()), "rows")

# %% [markdown]
# Each norm has its own idea of a small row. `random_structured` has none: it takes any of those
# that are left.
#
# And a pruned filter is not even silent, because its bias was not named:

# %%
conv = nn.Conv2d(1, 4, 3)
prune.ln_structured(conv, "weight", amount=2, n=1, dim=0)
empty = conv.weight_mask.amax(dim=(1, 2, 3)) == 0
output = conv(torch.randn(1, 1, 8, 8))[0, empty]
print("filters without a weight:", int(empty.sum()), "of", len(conv.weight))
far = (output - conv.bias[empty].view(-1, 1, 1)).abs().max().item()
print("how far their outputs are from their biases:", far)

# %% [markdown]
# Each gives its bias at every position. So we prune the bias, too. `custom_from_mask` takes a mask
# that you have made yourself, and any parameter has a name:

# %%
prune.custom_from_mask(conv, name="bias", mask=~empty)
output = conv(torch.randn(1, 1, 8, 8))[0, empty]
print("largest output now:", output.abs().max().item())
print("hooks, one for each pruned parameter:", len(conv._forward_pre_hooks))

# %% [markdown]
# Taking empty filters out for good, so that the layers become smaller, is the subject of lesson 05.

# %%
quiz("04", "section", "Step 3")

# %% [markdown]
# ## Step 4: one ranking for all layers
#
# **Question.** `prune.global_unstructured` takes a list of pairs (module, name) and prunes them
# together: one ranking over all of them. We take the CNN of our story and half of its weights.
#
# **Predict.** The network loses 50 % of its weights. How many percent does the first convolution,
# `conv1`, lose?

# %%
predict("gone_from_conv1", ...)


# %%
def all_weights(model):
    """Pairs of module and name, as `global_unstructured` wants them."""
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return [(layer, "weight") for layer in layers]


def half_gone(seed=0):
    """The trained CNN without its smallest half, the pruning not made permanent."""
    model = models.load("cnn", seed)
    prune.global_unstructured(all_weights(model), prune.L1Unstructured, amount=0.5)
    return model


# %% varies claim="global_is_not_everywhere"
def lost_by_layer(seed):
    model = half_gone(seed)
    layers = ("conv1", "conv2", "conv3", "fc1", "fc2")
    return {name: 100 * sparsity(model.get_submodule(name).weight) for name in layers}


if predicted("gone_from_conv1"):
    lost = lost_by_layer(0)
    outcome("gone_from_conv1", lost["conv1"], "%")
    display(
        plots.bars(
            list(lost),
            [percent / 100 for percent in lost.values()],
            ylabel="share of the layer that is pruned",
            title="Half of the network",
            percent=True,
        ),
        claim(
            "global_is_not_everywhere",
            lost_by_layer,
            holds=lambda conv1, conv2, conv3, fc1, fc2: conv1.max() < 25 and conv3.min() > 45,
            says=lambda conv1, conv2, conv3, fc1, fc2: (
                f"Where half of the CNN's weights are gone, conv1 has lost {conv1.mean():.0f} % "
                f"and conv3 {conv3.mean():.0f} %, on average."
            ),
        ),
    )

# %% [markdown]
# "Global 50 %" is 50 % of the whole, and hardly anywhere 50 %. A layer whose weights are large
# keeps them; conv1, which feeds all the others, is nearly spared.
#
# The ranking need not be by magnitude. `importance_scores` takes a dictionary from (module, name)
# to a tensor of scores. Here are lesson 02's Taylor scores beside the magnitudes. (`L1Unstructured`
# ranks by the absolute value of what it is given, so scores should not be negative.)


# %% varies demo
def taylor_ranking(model):
    scores = importance.taylor(model, data.batches(digits.x_train, digits.y_train, 100))
    return {
        (model.get_submodule(name.removesuffix(".weight")), "weight"): score
        for name, score in scores.items()
    }


right = {"magnitude": [], "Taylor": []}
shares = [0.0, 0.3, 0.5, 0.7, 0.8]
for share in shares:
    for way, percents in right.items():
        model = models.load("cnn")
        prune.global_unstructured(
            all_weights(model),
            prune.L1Unstructured,
            importance_scores=taylor_ranking(model) if way == "Taylor" else None,
            amount=share,
        )
        percents.append(percent_right(model))
plots.curve(
    shares,
    right,
    xlabel="share of all weights pruned",
    ylabel="right on validation, %",
    title="One network, two rankings",
    percent_x=True,
)

# %% [markdown]
# One network is an anecdote, and such an order is easily turned round by another network, another
# share or other images. What matters here is that any ranking can be handed over.
#
# Now the price. Our `masks.prune_global_` zeroes the same weights, in place and in one go, and
# leaves nothing behind. How much longer does PyTorch's way take, on three layers of a million
# weights each?
#
# **Predict.** How many times as long? (1 means equally long.)

# %%
predict("times_as_long", ...)

# %% varies demo
large = nn.Sequential(*(nn.Linear(1000, 1000) for _ in range(3)))
ways = {
    "PyTorch": lambda model: prune.global_unstructured(
        all_weights(model), prune.L1Unstructured, amount=0.8
    ),
    "prune_global_": lambda model: masks.prune_global_(model, 0.8),
}
seconds = {way: [] for way in ways}
with measure.threads(1):
    for _ in range(4):
        for way, act in ways.items():
            model = copy.deepcopy(large)
            start = time.process_time()
            act(model)
            seconds[way].append(time.process_time() - start)
            if way == "PyTorch":
                theirs = model
same = all(torch.equal(a.weight, b.weight) for a, b in zip(theirs, model, strict=True))
if predicted("times_as_long"):
    ratios = torch.tensor([a / b for a, b in zip(*seconds.values(), strict=True)][1:])
    outcome("times_as_long", ratios.median().item(), "times as long")
    print(f"from {ratios.min():.0f} to {ratios.max():.0f} times in {len(ratios)} runs")
    print("the same weights are zero:", same)
    held = {
        "before": [layer.weight for layer in large],
        "PyTorch": [t for m in theirs for t in (m.weight_orig, m.weight_mask, m.weight)],
        "prune_global_": [layer.weight for layer in model],
    }
    display(
        plots.bars(
            list(held),
            [sum(tensor.nbytes for tensor in tensors) / 1e6 for tensors in held.values()],
            ylabel="MB in memory afterwards",
            title="Original, mask and product",
        )
    )

# %% [markdown]
# Three tensors for one: that is what the layers hold from now on, in training and in use. Most of
# the time went into `topk`, which puts all the weights that go in order, although only the limit
# between those and the rest is needed. While it works, `global_unstructured` needs several times
# more memory, because it copies all weights into one long row, and its masks and places into
# others. Nobody notices in a small network. For large ones `benchmarks/masks.py` measures time and
# peak memory.

# %%
quiz("04", "section", "Step 4")

# %% [markdown]
# ## Step 5: a method of your own
#
# **Question.** What if none of the methods does what you want?
#
# If you have a mask, `custom_from_mask` is all you need. If you have a *rule* that is to be used
# on many layers, or inside `global_unstructured`, write it as a class. A **worked example**: prune
# everything whose size is at most a limit.


# %%
class UpTo(prune.BasePruningMethod):
    """Prunes the weights whose size is at most a limit."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, limit):
        if limit < 0:
            raise ValueError(f"a size is 0 or more, and the limit is {limit}.")
        self.limit = limit

    def compute_mask(self, t, default_mask):
        return default_mask * (t.abs() > self.limit)


layer = nn.Linear(4, 1)
with torch.no_grad():
    layer.weight.copy_(torch.tensor([0.5, -0.1, 0.02, -2.0]))
UpTo.apply(layer, "weight", 0.1)
print(layer.weight.tolist())

# %% [markdown]
# (A negative number times 0 is `-0.0`, which equals zero in every comparison.)
#
# Only the rule is yours. `apply` comes with the base class and does the rest: original, mask,
# product, hook, container. It calls
#
# - your `__init__` with whatever follows the name (here 0.1);
# - your `compute_mask(t, default_mask)`. `t` is the tensor, or the importance scores that were
#   given for it. `default_mask` has a 0 for what is pruned already. You return a **new** mask of
#   the same shape, in which those zeros are still zero.
#
# **`PRUNING_TYPE`** says what a second pruning hands to you: with `"unstructured"` the entries that
# are still kept, in one long row; with `"structured"` the slices along `self.dim` that are not
# empty yet; with `"global"` everything. `global_unstructured` takes the first type only.
#
# **Predict.** First `l1_unstructured` prunes half of a layer; then every second one of the weights
# that are still kept goes. How many percent are zero?

# %%
predict("half_then_every_second", ...)

# %% [markdown]
# **Exercise** `EveryNth` · 4 points · about 20 minutes · difficulty 3 of 5
#
# Write a pruning method of type `"unstructured"`: `EveryNth(n)` counts the entries that are
# **still kept**, row by row, starting at 1, and prunes the n-th, the 2n-th, the 3n-th and so on.
# (In more than two dimensions "row by row" is the order of `flatten()`.)
#
# - What is pruned already has a 0 in `default_mask`. It is not counted, and stays pruned.
# - The values in `t` do not matter: a weight that happens to be zero is still kept.
# - Return a new mask; `default_mask` stays as it is. Its memory need not lie in rows (think of a
#   transposed tensor).
# - With fewer than n entries left, nothing is pruned. An n below 1 raises `ValueError` with a
#   sentence.
#
# For example, with n = 2 the mask `[1, 1, 0, 1, 1, 1]` becomes `[1, 0, 0, 1, 0, 1]`.


# %% exercise="EveryNth"
class EveryNth(prune.BasePruningMethod):
    """Prunes every n-th of the entries that are still kept."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, n):
        ### BEGIN SOLUTION
        if n < 1:
            raise ValueError(f"every n-th entry: n must be 1 or more, and is {n}")
        self.n = n
        ### END SOLUTION

    def compute_mask(self, t, default_mask):
        ### BEGIN SOLUTION
        mask = default_mask.flatten().clone()
        still_kept = mask.nonzero().flatten()
        mask[still_kept[self.n - 1 :: self.n]] = 0
        return mask.view(default_mask.shape)
        ### END SOLUTION


# %% check="EveryNth"
check("EveryNth", EveryNth)

# %% [markdown]
# **See it.**

# %% varies demo
Method = yours_or_ours("EveryNth", EveryNth)
conv = copy.deepcopy(lenet.conv2)
prune.l1_unstructured(conv, "weight", amount=0.5)
halved = conv.weight.detach().clone()
Method.apply(conv, "weight", 2)
if predicted("half_then_every_second"):
    outcome("half_then_every_second", 100 * sparsity(conv.weight), "%")
    display(plots.weights_as_picture(halved, conv.weight, title="Half, then every second one"))

# %% [markdown]
# Your class works wherever PyTorch's own do, for example over several layers at once:

# %%
layers = nn.Sequential(nn.Linear(5, 3), nn.ReLU(), nn.Linear(3, 5))
Method = yours_or_ours("EveryNth", EveryNth)
prune.global_unstructured([(layers[0], "weight"), (layers[2], "weight")], Method, n=3)
for part in (0, 2):
    print(layers[part].weight_mask.int().tolist())

# %%
quiz("04", "section", "Step 5")

# %% [markdown]
# ## Step 6: training what is pruned
#
# **Question.** We go on training after pruning. Are the pruned weights left in peace?
#
# The product hides them: whatever `weight_orig` holds, the mask turns it into zero. The gradient of
# a hidden weight is zero as well, because the mask multiplies that, too. One might conclude that
# they never change again.
#
# **Predict.** A LeNet-5 is trained for one epoch with Adam, half of its weights are pruned, and
# the **same** optimizer goes on for another epoch. How many percent of the pruned weights have
# changed their value in `weight_orig`?

# %%
predict("pruned_weights_that_move", ...)


# %% varies claim="pruned_weights_move"
def one_epoch(model, optimizer):
    for x, y in data.batches(digits.x_train, digits.y_train, 64):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()


def that_move(seed, optimizer, from_before):
    """Percent of the pruned entries that change in weight_orig during an epoch, and how many of
    them are not zero in weight."""
    model = copy.deepcopy(trained_lenet5(seed)).train()
    stepper = optimizer(model.parameters())
    if from_before:
        one_epoch(model, stepper)
    prune.global_unstructured(all_weights(model), prune.L1Unstructured, amount=0.5)
    if not from_before:
        stepper = optimizer(model.parameters())
    earlier = [layer.weight_orig.detach().clone() for layer, _ in all_weights(model)]
    one_epoch(model, stepper)
    model(digits.x_val)
    moved = visible = gone = 0
    for (layer, _), old in zip(all_weights(model), earlier, strict=True):
        hidden = layer.weight_mask == 0
        gone += int(hidden.sum())
        moved += int((layer.weight_orig != old)[hidden].sum())
        visible += int((layer.weight != 0)[hidden].sum())
    return 100 * moved / gone, visible


SGD, Adam = partial(torch.optim.SGD, lr=0.01), partial(torch.optim.Adam, lr=1e-3)
TRAININGS = {
    "SGD": (SGD, False),
    "SGD, weight decay": (partial(SGD, weight_decay=1e-3), False),
    "momentum from before": (partial(SGD, momentum=0.9), True),
    "Adam, new": (Adam, False),
    "Adam from before": (Adam, True),
}


def all_trainings(seed):
    with measure.threads(1):
        found = [that_move(seed, *how) for how in TRAININGS.values()]
    sgd, decay, momentum, new, adam = (moved for moved, _ in found)
    return {
        "left_alone": max(sgd, new),
        "decayed": decay,
        "remembered": min(momentum, adam),
        "visible": max(visible for _, visible in found),
    }


if predicted("pruned_weights_that_move"):
    with measure.threads(1):
        moved = [that_move(0, *how)[0] for how in TRAININGS.values()]
    outcome("pruned_weights_that_move", moved[-1], "%")
    display(
        plots.bars(
            [name.replace(" from", "\nfrom").replace(", ", ",\n") for name in TRAININGS],
            [percent / 100 for percent in moved],
            ylabel="pruned weights that move",
            title="What the mask hides",
            percent=True,
        ),
        claim(
            "pruned_weights_move",
            all_trainings,
            holds=lambda left_alone, decayed, remembered, visible: (
                left_alone.max() == 0
                and decayed.min() > 90
                and remembered.min() > 20
                and visible.max() == 0
            ),
            says=lambda left_alone, decayed, remembered, visible: (
                f"Weight decay moves {decayed.mean():.0f} % of the pruned weights, an optimizer "
                f"that remembers earlier gradients {remembered.min():.0f} % or more, a new one "
                "without weight decay none. In `weight` all of them are zero."
            ),
        ),
    )

# %% [markdown]
# (What stays put with an optimizer that remembers has never had a gradient: these are the weights
# into and out of neurons that no image wakes.)
#
# So pruned weights *do* get updates: from weight decay, and from whatever an optimizer remembers of
# the time before the pruning. The network never sees it, as the mask is multiplied on again before
# each forward pass. This is the strength of PyTorch's way: no optimizer can bring a pruned weight
# back. (With masks of your own, and zeros in the weights themselves, you have to take care of that:
# lesson 03.) But do not take `weight_orig` for a keepsake of the original weights.
#
# That the old optimizer worked at all is no accident. It holds Parameter objects, and
# `weight_orig` **is** the old one. You need no new optimizer after pruning. Whether you *want* one,
# without the memory, is another question.
#
# One more thing follows from the product. It is computed *before* a forward pass, and not when
# `weight_orig` changes:

# %%
layer = nn.Linear(3, 1, bias=False)
prune.l1_unstructured(layer, "weight", amount=1)
optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
layer(torch.ones(1, 3)).sum().backward()
optimizer.step()
print(
    "up to date after the step?        ",
    torch.equal(layer.weight, layer.weight_orig * layer.weight_mask),
)
layer(torch.ones(1, 3))
print(
    "up to date after a forward pass?  ",
    torch.equal(layer.weight, layer.weight_orig * layer.weight_mask),
)

# %% [markdown]
# Between a step and the next forward pass `weight` is **stale**. Whoever saves, compares or exports
# `layer.weight` then has the values of one step ago.

# %%
quiz("04", "section", "Step 6")

# %% [markdown]
# ## Step 7: keep it, load it, end it
#
# **Question.** Half of the CNN's weights are pruned. Is its file smaller?
#
# **Predict.** How large is the file of its state dict, in percent of the dense network's? (100
# means no difference.)

# %%
predict("file_with_half_pruned", ...)

# %% demo
network, half = models.load("cnn"), half_gone()
if predicted("file_with_half_pruned"):
    outcome("file_with_half_pruned", 100 * bytes_on_disk(half) / bytes_on_disk(network), "%")
    print("in the dense state dict :", [key for key in network.state_dict() if "conv2" in key])
    print("in the pruned state dict:", [key for key in half.state_dict() if "conv2" in key])

# %% [markdown]
# Larger, not smaller. The file holds the original *and* its mask, with four bytes for each 0 and 1.
# **A pruned module is a larger module.**
#
# Those keys have another consequence. Loading them into a new network fails:

# %% demo
fresh = models.new("cnn")
try:
    fresh.load_state_dict(half.state_dict())
except RuntimeError as error:
    for line in str(error).splitlines():
        print(line.strip()[:100])

# %% [markdown]
# The new network has no place for originals and masks. `prune.identity` makes such places: it
# prunes nothing, with a mask of ones. After that the state dict fits, mask and all. And mind the
# stale `weight`:

# %% demo
for layer, name in all_weights(fresh):
    prune.identity(layer, name)
print(fresh.load_state_dict(half.state_dict()))
print(f"zeros right after loading : {100 * sparsity(fresh):.1f} %")
with torch.no_grad():
    fresh.eval()(digits.x_val[:1])
print(f"zeros after a forward pass: {100 * sparsity(fresh):.1f} %")

# %% [markdown]
# That is the way for a checkpoint in the middle of work. To hand a network to somebody else, end
# the pruning first, so that nobody needs to know of it. For one parameter that is `prune.remove`.
#
# **Predict.** After `prune.remove` on every layer, how many percent of the weights are zero?

# %%
predict("zeros_after_remove", ...)

# %% [markdown]
# A small model first, to see what you have to find:

# %%
small = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Conv1d(3, 2, 1), nn.BatchNorm1d(2)))
prune.l1_unstructured(small[0], "weight", amount=0.5)
prune.l1_unstructured(small[1][0], "bias", amount=1)
for name, module in small.named_modules():
    for hook in module._forward_pre_hooks.values():
        print(f"in {name or 'the model itself'}: {type(hook).__name__} on {hook._tensor_name!r}")

# %% [markdown]
# **Exercise** `make_permanent` · 3 points · about 15 minutes · difficulty 3 of 5
#
# Remove **every** pruning reparametrization from a model, in place: of any parameter (weights,
# biases, a recurrent layer's `weight_hh_l0`) in any kind of module, the model itself included. You
# may use `prune.remove`.
#
# - The values afterwards are those that the next forward pass would have used.
# - The Parameter objects stay the same, so that an optimizer goes on working.
# - What is not pruned stays as it is, and hooks that have nothing to do with pruning stay.
# - A model without pruning is no error.


# %% exercise="make_permanent"
def make_permanent(model):
    """Remove every pruning reparametrization, in place; the pruned weights stay zero."""
    ### BEGIN SOLUTION
    for module in model.modules():
        hooks = list(module._forward_pre_hooks.values())  # `remove` changes the dictionary
        for hook in hooks:
            if isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
    ### END SOLUTION


# %% check="make_permanent"
check("make_permanent", make_permanent)

# %% [markdown]
# **See it.** Beside the dense file and the pruned one stands the permanent one, and last what the
# file *could* be: `storage.save` writes one bit for each weight, and then only the weights that are
# left. (Lesson 09 builds it.)


# %% varies claim="files_after_pruning"
end_pruning = yours_or_ours("make_permanent", make_permanent)


def packed_bytes(model):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "packed.safetensors")
        storage.save(model, path)
        return path.stat().st_size


def file_sizes(seed):
    """Bytes of the dense network, with half of it pruned, made permanent, and packed."""
    model = models.load("cnn", seed)
    dense = bytes_on_disk(model)
    prune.global_unstructured(all_weights(model), prune.L1Unstructured, amount=0.5)
    hooked = bytes_on_disk(model)
    end_pruning(model)
    return {
        "dense": dense,
        "pruned": hooked,
        "permanent": bytes_on_disk(model),
        "packed": packed_bytes(model),
        "zeros": sparsity(model),
    }


if predicted("file_with_half_pruned", "zeros_after_remove"):
    sizes = file_sizes(0)
    outcome("zeros_after_remove", 100 * sizes.pop("zeros"), "%")
    display(
        plots.bars(
            ["dense", "pruned", "made\npermanent", "packed"],
            list(sizes.values()),
            ylabel="bytes",
            title="The file, with half of the weights zero",
        ),
        claim(
            "files_after_pruning",
            file_sizes,
            holds=lambda dense, pruned, permanent, packed, zeros: (
                (pruned / dense).min() > 1.9
                and abs(permanent / dense - 1).max() < 0.01
                and (packed / dense).max() < 0.65
                and abs(zeros - 0.5).max() < 0.001
            ),
            says=lambda dense, pruned, permanent, packed, zeros: (
                f"The pruned file is {(pruned / dense).mean():.2f} times the dense one, the "
                f"permanent one {(permanent / dense).mean():.2f} times, the packed one "
                f"{(packed / dense).mean():.2f} times."
            ),
        ),
    )

# %% [markdown]
# `remove` takes away the *machinery*, not the zeros: **it does not undo pruning**. The original
# values are lost with it. And all it gains is the size that the file had in the beginning.

# %%
quiz("04", "section", "Step 7")

# %% [markdown]
# ## Step 8: is it faster, at least?
#
# **Question.** Every second weight is zero. What does that do to the time of one image, while the
# pruning is not permanent?
#
# **Predict.** The time of the pruned network divided by that of the dense one. (1 means the same,
# 0.5 twice as fast.)

# %%
predict("time_with_hooks", ...)


# %% varies claim="hooks_cost_time"
def relative_times(seed):
    dense, hooked, ended = models.load("cnn", seed), half_gone(seed), half_gone(seed)
    end_pruning(ended)
    times = measure.interleaved_times([dense, hooked, ended], digits.x_val[:1], repeats=100)
    ratios = [torch.tensor(taken) / torch.tensor(times[0]) for taken in times[1:]]
    quartiles = torch.tensor([0.25, 0.75])
    return {
        "hooked": ratios[0].median().item(),
        "ended": ratios[1].median().item(),
        "spread": [(each.quantile(quartiles).diff() / 2).item() for each in ratios],
    }


if predicted("time_with_hooks"):
    times = relative_times(0)
    outcome("time_with_hooks", times["hooked"], "times the dense network's")
    display(
        plots.bars(
            ["dense", "pruned", "made permanent"],
            [1, round(times["hooked"], 2), round(times["ended"], 2)],
            errors=[0, *times["spread"]],
            ylabel="time of one image / dense",
            title="Zeros are multiplied, and so are masks",
        ),
        claim(
            "hooks_cost_time",
            relative_times,
            holds=lambda hooked, ended, spread: hooked.min() > 1,
            says=lambda hooked, ended, spread: (
                f"With the pruning in place one image took {hooked.mean():.2f} times as long as "
                f"with the dense network; made permanent, {ended.mean():.2f} times."
            ),
        ),
    )

# %% [markdown]
# Slower, because every forward pass now multiplies masks as well. The error bars are half of the
# interquartile range. How much it costs depends on the network and on how many images come at once;
# that it costs something does not. Made permanent, it is as fast as it ever was, zeros or not.

# %%
quiz("04", "section", "Step 8")

# %% [markdown]
# ## When to use what
#
# | you want to | use |
# |---|---|
# | try out a criterion, a share, an order | PyTorch's module: a line each, easily combined |
# | show what was pruned, with the original weights at hand | the same, saved before `remove` |
# | be sure that no optimizer revives a weight | the same |
# | hand a network on | `remove` everything, then save; packed, if the file is to be smaller |
# | train for long, prune often or prune much | masks of your own, as in lesson 03 |
# | a smaller, faster network | neither: real removal, lesson 05 |
#
# Masks of your own need no copies and no hooks, and nothing is ever stale. What PyTorch's module
# gives for its price is convenience while you try things out, and a model that carries its pruning
# with it when you pass it to somebody else's code.
#
# Older texts speak of Intel's **Distiller** and its `MagnitudeParameterPruner`. Distiller was a
# library in whose schedule files one wrote which pruner acts on which layer in which epoch; this
# one set the weights below a given threshold to zero. Intel has ended its development. Its ideas
# live on in PyTorch's own module and in today's compression libraries.

# %% [markdown]
# ## Pitfalls
#
# **Writing into `weight`.** It is a product. The next forward pass computes it anew, and what you
# wrote is gone. Write into `weight_orig`.

# %%
layer = nn.Linear(4, 2)
prune.l1_unstructured(layer, "weight", amount=0.5)
layer.weight.data.zero_()
print("zeros after writing       :", int((layer.weight == 0).sum()), "of 8")
layer(torch.zeros(1, 4))
print("zeros after a forward pass:", int((layer.weight == 0).sum()), "of 8")

# %% [markdown]
# **Copying a pruned module.** `deepcopy` refuses tensors that were computed with gradients, and
# `weight` is one. It works if the last forward pass ran under `no_grad`, as after a validation; so
# the same program can work one day and fail the next. Making it permanent always helps.

# %%
layer = nn.Linear(4, 2)
prune.l1_unstructured(layer, "weight", amount=0.5)
try:
    copy.deepcopy(layer)
except RuntimeError as error:
    print("deepcopy:", str(error).partition(" at the moment")[0])
with torch.no_grad():
    layer(torch.zeros(1, 4))
print("after a forward pass under no_grad:", type(copy.deepcopy(layer)).__name__)

# %% [markdown]
# **Going on after an error.** PyTorch takes the old hook away *before* it looks at the new amount.
# If that makes no sense, the layer stays behind without a hook, and with a `weight` that never
# changes again, however long you train:

# %%
layer = nn.Linear(4, 2)
prune.l1_unstructured(layer, "weight", amount=0.5)
try:
    prune.l1_unstructured(layer, "weight", amount=50)
except ValueError as error:
    print("ValueError:", error)
before = layer.weight.clone()
with torch.no_grad():
    layer.weight_orig += 1  # as training would
layer(torch.zeros(1, 4))
print(
    "is_pruned:",
    prune.is_pruned(layer),
    " the weight follows:",
    not torch.equal(before, layer.weight),
)

# %% [markdown]
# After such an error start again from a copy that you made before pruning.
#
# **Relying on the order of parameters.** A parameter that was pruned stands behind the others
# afterwards. State dicts go by name, and do not mind. An optimizer's state goes by position: saved
# before pruning and loaded into a new optimizer after it, it lands on the wrong parameters.

# %%
layer = nn.Linear(4, 2)
print("before        :", [name for name, _ in layer.named_parameters()])
prune.l1_unstructured(layer, "weight", amount=0.5)
prune.remove(layer, "weight")
print("after `remove`:", [name for name, _ in layer.named_parameters()])

# %%
quiz("04", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A colleague has pruned a network, does not like its accuracy, and calls `prune.remove` on
# every layer "to go back". What will they find, and what should they have done?

# %% [markdown] written="what_remove_does" points=2
# <!-- BEGIN SOLUTION -->
# The zeros are still there: `remove` writes the product of original and mask into the parameter and
# throws the original values away. To go back they could have loaded the dense checkpoint, kept a
# copy from before the pruning, or read the values from `weight_orig` before `remove` (if it has not
# been trained since).
#
# *Marking: 1 point for saying that the zeros stay and the originals are lost; 1 point for a way
# back that works.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** "I pruned 80 % with `l1_unstructured`, and my checkpoint got larger and my model slower."
# Explain both, and say what you would do.

# %% [markdown] written="larger_and_slower" points=2
# <!-- BEGIN SOLUTION -->
# While pruned, the layer keeps the original and a mask of the same size, so the state dict holds
# two tensors instead of one; and the hook multiplies them before every forward pass. Making it
# permanent brings both back to where they were. To gain anything, the zeros must be left out of the
# file (packed), and whole filters or neurons must really be removed to gain time.
#
# *Marking: half a point for each explanation, half for making it permanent, half for saying what
# would bring a gain.*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** Name one situation in which you would choose PyTorch's module over masks of your own, and
# one in which you would not, each with the reason.

# %% [markdown] written="which_tool_when" points=2
# <!-- BEGIN SOLUTION -->
# To try several criteria quickly on a small network I would take PyTorch's module: a line each,
# they combine, and no optimizer can bring a weight back. For long training of a large network I
# would keep masks myself: the module holds three tensors for one, multiplies in every forward pass,
# and leaves a stale `weight` between a step and the next pass.
#
# *Marking: 1 point for each situation with a sound reason.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# The CNN with half of its weights pruned by PyTorch enters twice: as it is while the pruning is in
# place, and made permanent.

# %% varies demo
half = half_gone()
enter("04", "half pruned, hooks in place", half)
end_pruning(half)
enter("04", "half pruned, made permanent", half)

# %% [markdown]
# The accuracy is fine, and nothing else has moved in the right direction; with the hooks in place
# the file is larger than before. Zeros are a promise. Lessons 05 and 09 redeem it.

# %% [markdown]
# ## The last step: the test images
#
# All decisions are made. Does the half that is left do as well on images that no decision has seen?

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
networks = models.load("cnn"), half_gone()
before, after = (100 * accuracy(model, x_test, y_test) for model in networks)
print(f"test images: {before:.1f} % right before, {after:.1f} % with half of the weights")

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("04", "exit")

# %% [markdown]
# ## Recap
#
# - Pruning a parameter replaces it by `weight_orig` (the old Parameter object), `weight_mask` (a
#   buffer) and a hook that computes `weight` before each forward pass. In between it is stale.
# - A float is a share, an int a count. Repeated calls take a share of what is left; after `remove`
#   they know of nothing.
# - A global share is an average over the layers. `n` and `dim` choose slices, which become zero and
#   stay where they are.
# - Pruned weights can still be updated; the mask hides it.
# - A pruned module is larger and slower. `remove` makes it what it was, with zeros in it, and
#   undoes nothing.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of earlier lessons may be due
# today.

# %%
enrol("04")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - M. Paganini, J. Forde, *Streamlining Tensor and Network Pruning in PyTorch*, 2020 (arXiv
#   2004.13770): the module, by those who wrote it.
# - PyTorch's *Pruning Tutorial*: random 30 % of a LeNet's first convolution, the original.
# - N. Zmora and others, *Neural Network Distiller: A Python Package For DNN Compression Research*,
#   2019 (arXiv 1910.12232): where the older names come from.
