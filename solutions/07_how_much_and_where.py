# %% [markdown]
# # 07 · How much, and where
#
# **About 135 minutes · difficulty 4 of 5**
#
# You will be able to
#
# - measure what each layer can spare, count what the measuring costs, and name what it cannot see;
# - turn such measurements into ratios: by a threshold, by size, and optimally under a budget;
# - read and draw a Pareto front, and write the reward that AMC's agent is paid;
# - compare ways of searching honestly: one budget of evaluations, several seeds, images of their
#   own to report on.
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

quiz("07", "pretest")

# %% [markdown]
# ## Overview
#
# So far one number said how much to prune. But layers differ: what one does not notice ruins
# another. Here each layer gets a ratio of its own. You will measure how sensitive layers are, see
# where that measurement misleads, and choose ratios in ever cleverer ways, up to an agent that
# learns to choose. Then all of them meet on one budget of evaluations, over several networks. Who
# wins may surprise you.

# %% [markdown]
# ## Key concepts
#
# - **Ratio**: the share of a layer's weights to remove. One for each layer.
# - **Sensitivity scan**: accuracy against the ratio of one layer, all others left whole.
# - **Interaction**: what pruning two layers costs beyond the sum of what each costs alone.
# - **Evaluation**: one look at how a network with certain ratios does. The currency of this lesson.
# - **Budget**: a limit on what the network may cost; also a limit on evaluations. We say which.
# - **Pareto front**: the networks that no other beats in one respect and at least matches in the
#   other.
# - **AMC**: "AutoML for Model Compression", a reinforcement learning agent that chooses ratios.

# %%
import copy
import math
import random
from functools import cache

import numpy as np
import optuna
import torch
from IPython.display import display
from torch import nn

from course_utils import data, measure, models, plots, training
from course_utils.pruning import allocation, masks
from course_utils.pruning.search_by_policy import search_by_policy
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

optuna.logging.set_verbosity(optuna.logging.ERROR)
torch.set_num_threads(1)  # for networks this small the fastest and the steadiest
digits = data.digits()
trained = cache(models.load)  # trained("cnn", 3) trains that network once and remembers it


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * accuracy(model, digits.x_val, digits.y_val)


def layers_of(model):
    """How many weights each prunable layer has, by the layer's name."""
    weights = measure.prunable_weights(model)
    return {name.removesuffix(".weight"): weight.numel() for name, weight in weights.items()}


@torch.no_grad()
def pruned(model, ratios):
    """A copy of the model, each layer without that share of its smallest weights."""
    smaller = copy.deepcopy(model)
    for layer, ratio in ratios.items():
        weight = smaller.get_submodule(layer).weight.view(-1)
        weight[weight.abs().argsort()[: round(ratio * len(weight))]] = 0
    return smaller


# %% [markdown]
# ## Step 1: what can each layer spare?
#
# **Question.** Our CNN has five layers. Suppose nine tenths of *one* of them go, and the other four
# stay whole. Does it matter which one?
#
# **Predict.** Which layer does the most damage when 90 % of its own weights are gone?

# %%
predict("most_sensitive_layer", ..., choices=("conv1", "conv2", "conv3", "fc1", "fc2"))

# %% [markdown]
# A worked example: one layer, two ratios, by hand. Each time we begin with a fresh copy.

# %% varies
for ratio in (0.5, 0.9):
    one_layer = copy.deepcopy(trained("cnn", 0))
    weight = one_layer.fc2.weight.data.view(-1)
    weight[weight.abs().argsort()[: round(ratio * len(weight))]] = 0
    print(f"fc2 without {100 * ratio:.0f} % of its weights: {percent_right(one_layer):.1f} % right")

# %% [markdown]
# Now for every layer and for many ratios. This is a **sensitivity scan**: one curve for each layer.
#
# **Exercise** `sensitivity` · 3 points · about 20 minutes · difficulty 3 of 5
#
# `names` lists layers (`"conv1"`, or `"block1.conv2"` for one that sits deeper), `fractions` the
# shares to remove. Return a dictionary from each name to the list of what `evaluate(model)` says
# with that layer alone pruned by magnitude, one number for each fraction, in their order.
#
# - Exactly `round(fraction * n)` of the layer's n weights are zero (zeros that are there already
#   count among the smallest); its bias and all other layers are whole.
# - Every fraction starts from the original weights.
# - Afterwards the model is as it was, even if `evaluate` fails; let its error through. Working on
#   copies is fine.
# - A name that is no `nn.Linear` or `nn.Conv2d` of the model, or a fraction outside 0 to 1, raises
#   `ValueError` with a sentence.


# %% exercise="sensitivity"
def sensitivity(model, names, fractions, evaluate):
    """What `evaluate` says with one layer pruned, for each layer and each fraction."""
    ### BEGIN SOLUTION
    layers = dict(model.named_modules())
    for name in names:
        if not isinstance(layers.get(name), nn.Linear | nn.Conv2d):
            raise ValueError(f"there is no layer {name!r} that could be pruned")
    if not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError(f"the fractions {fractions} do not all lie between 0 and 1")
    curves = {}
    for name in names:
        curves[name] = []
        for fraction in fractions:
            smaller = copy.deepcopy(model)
            layer = smaller.get_submodule(name).weight.data
            gone = layer.abs().flatten().argsort()[: round(fraction * layer.numel())]
            layer.view(-1)[gone] = 0
            curves[name].append(evaluate(smaller))
    return curves
    ### END SOLUTION


# %% check="sensitivity"
check("sensitivity", sensitivity)

# %% [markdown]
# **See it**, for three CNNs that differ in their seeds.

# %%
scan = yours_or_ours("sensitivity", sensitivity)
ratios_tried = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]


@cache
def scanned(name, seed):
    """The curves of all layers of one trained network."""
    model = trained(name, seed)
    return scan(model, list(layers_of(model)), ratios_tried, percent_right)


# %% varies demo
if predicted("most_sensitive_layer"):
    at_ninety = {
        layer: curve[ratios_tried.index(0.9)] for layer, curve in scanned("cnn", 0).items()
    }
    outcome("most_sensitive_layer", min(at_ninety, key=at_ninety.get))
    display(
        plots.curve(
            ratios_tried,
            {layer: [scanned("cnn", s)[layer] for s in range(3)] for layer in scanned("cnn", 0)},
            xlabel="share of this layer's weights removed",
            ylabel="right on validation, %",
            title="One layer pruned at a time, in the CNN",
            percent_x=True,
        )
    )
    points = sum(map(len, scanned("cnn", 0).values()))
    images = len(digits.x_val)
    print(f"one network: {points} evaluations of {images} images, {points * images:,} images seen")

# %% [markdown]
# Every layer has a curve of its own: one falls off a cliff early, another late or hardly at all. No
# rule of thumb would have told you which is which. That is what the scan is good for.
#
# It has a price, and the price is counted in **evaluations**: layers times ratios. For five layers
# and hundreds of small images that is nothing. A network of 100 layers on 50,000 photographs, ten
# ratios each, asks for a thousand runs through a data set. Count them: they will be the currency
# when we compare methods in step 8.


# %% varies claim="layers_differ_in_what_they_spare"
def at_ninety_percent(seed):
    model = trained("cnn", seed)
    curves = scan(model, list(layers_of(model)), [0.9], percent_right)
    value = {layer: curve[0] for layer, curve in curves.items()}
    return {
        "first": value["conv1"],
        "wide": value["fc1"],
        "first_is_worst": min(value, key=value.get) == "conv1",
    }


if predicted("most_sensitive_layer"):
    display(
        claim(
            "layers_differ_in_what_they_spare",
            at_ninety_percent,
            holds=lambda first, wide, first_is_worst: (
                (wide - first).min() > 15 and (wide - first).mean() > 30 and wide.min() > 90
            ),
            says=lambda first, wide, first_is_worst: (
                f"Without 90 % of its wide linear layer `fc1` a CNN had {wide.min():.1f} % right "
                f"or more; without 90 % of its first convolution {first.mean():.0f} % on average. "
                f"The first convolution was the most sensitive layer of {first_is_worst.sum()} of "
                f"{len(first)} networks."
            ),
        )
    )

# %%
quiz("07", "section", "Step 1")

# %% [markdown]
# ## Step 2: a floor for every layer
#
# **Question.** How do curves become ratios? The **threshold rule** says: choose a floor, here one
# point below the dense network, and prune each layer as far as its curve stays above it.
#
# **Exercise** `ratios_for_floor` · 2 points · about 12 minutes · difficulty 2 of 5
#
# `curves` is what your scan returns, `fractions` the shares it tried. Return for each layer the
# largest fraction such that **it and all smaller ones** are at or above `floor`: a curve that dips
# below and comes back did so by luck. If not even the smallest is good enough, the ratio is 0.0.
# The fractions may come in any order, and each curve is in the same order as they are. A curve of
# another length than the fractions, or a fraction outside 0 to 1, raises `ValueError`.


# %% exercise="ratios_for_floor"
def ratios_for_floor(curves, fractions, floor):
    """For each layer the largest fraction up to which its curve stays at or above the floor."""
    ### BEGIN SOLUTION
    if not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError(f"the fractions {fractions} do not all lie between 0 and 1")
    ratios = {}
    for name, curve in curves.items():
        if len(curve) != len(fractions):
            raise ValueError(f"{len(curve)} values of {name} for {len(fractions)} fractions")
        ratios[name] = 0.0
        for fraction, value in sorted(zip(fractions, curve, strict=True)):
            if value < floor:
                break
            ratios[name] = fraction
    return ratios
    ### END SOLUTION


# %% check="ratios_for_floor"
check("ratios_for_floor", ratios_for_floor)

# %% [markdown]
# And how much does that prune? Not the average of the ratios: a layer of 288 weights and one of
# 70,000 do not count alike.
#
# **Exercise** `overall_sparsity` · 1 point · about 6 minutes · difficulty 1 of 5
#
# `ratios` and `sizes` are dictionaries by layer. Return the share of **all** weights that goes. A
# layer without a ratio loses nothing, but it is part of the network. No weights at all: 0.0. A
# ratio for a layer that has no size, or one that is not a share from 0 to 1 (NaN included), raises
# `ValueError`.


# %% exercise="overall_sparsity"
def overall_sparsity(ratios, sizes):
    """The share of all weights that these ratios remove."""
    ### BEGIN SOLUTION
    for name, ratio in ratios.items():
        if name not in sizes or not 0 <= ratio <= 1:
            raise ValueError(f"a ratio of {ratio} for {name!r} makes no sense")
    total = sum(sizes.values())
    if total == 0:
        return 0.0
    return sum(ratio * sizes[name] for name, ratio in ratios.items()) / total
    ### END SOLUTION


# %% check="overall_sparsity"
check("overall_sparsity", overall_sparsity)

# %% [markdown]
# **Predict.** Take the 1x1 convolution on the shortcut of the ResNet's last block, and suppose that
# the scan lets 90 % of it go. How many percent of the **network's** weights are that?

# %%
predict("what_the_shortcut_gives", ...)

# %% varies demo
floor_rule = yours_or_ours("ratios_for_floor", ratios_for_floor)
share_gone = yours_or_ours("overall_sparsity", overall_sparsity)
if predicted("what_the_shortcut_gives"):
    sizes = layers_of(trained("resnet8", 0))
    gives = share_gone({"block3.shortcut.conv": 0.9}, sizes)
    outcome("what_the_shortcut_gives", 100 * gives, "%")
    dense = percent_right(trained("resnet8", 0))
    ratios = floor_rule(scanned("resnet8", 0), ratios_tried, dense - 1)
    print(f"\ndense: {dense:.1f} % right; the floor is one point lower")
    print("layer                     ratio   of the network's weights")
    for layer, ratio in ratios.items():
        part = share_gone({layer: ratio}, sizes)
        print(f"{layer:24} {100 * ratio:4.0f} % {100 * part:10.2f} %")
    average = sum(ratios.values()) / len(ratios)
    whole = share_gone(ratios, sizes)
    print(f"average of the ratios    {100 * average:4.0f} %")
    print(f"of the whole network          {100 * whole:10.2f} %")

# %% [markdown]
# This is the scan's first blind spot: it does not know how **large** a layer is. Two curves can
# look just alike and one of them be worth a hundred times as much. A sensitive large layer may
# repay a little damage better than a tiny one that feels nothing.

# %%
quiz("07", "section", "Step 2")

# %% [markdown]
# ## Step 3: all layers at once
#
# **Question.** Each layer of the ResNet has now been given the largest ratio that costs at most one
# point. That was measured with all the *other* layers whole. Nobody has looked at all of them
# pruned together.
#
# **Predict.** How many percent does the ResNet get right with all its layers pruned by the
# threshold rule at once?

# %%
predict("right_all_at_once", ...)


# %%
@cache
def by_floor(name, seed, points=1):
    """The threshold rule's ratios: each layer alone loses this many points at most."""
    rule = yours_or_ours("ratios_for_floor", ratios_for_floor)
    return rule(scanned(name, seed), ratios_tried, percent_right(trained(name, seed)) - points)


def losses(name, seed, way=1.0):
    """Points lost with the rule's ratios taken part of the way: layer by layer, and together."""
    model = trained(name, seed)
    dense = percent_right(model)
    ratios = {layer: way * ratio for layer, ratio in by_floor(name, seed).items()}
    alone = [dense - percent_right(pruned(model, {layer: r})) for layer, r in ratios.items()]
    return sum(alone), dense - percent_right(pruned(model, ratios))


# %% varies demo
if predicted("right_all_at_once"):
    together = pruned(trained("resnet8", 0), by_floor("resnet8", 0))
    outcome("right_all_at_once", percent_right(together), "%")
    way = [0.0, 0.25, 0.5, 0.75, 1.0]
    along = [[losses("resnet8", seed, part) for part in way] for seed in range(5)]
    display(
        plots.curve(
            way,
            {
                "each layer alone, added up": [[alone for alone, _ in one] for one in along],
                "all layers at once": [[joint for _, joint in one] for one in along],
            },
            xlabel="how far along to the ratios of the threshold rule",
            ylabel="points of accuracy lost",
            title="Losses of layers do not add up (ResNet)",
            percent_x=True,
        )
    )


# %% varies claim="losses_do_not_add_up"
def added_and_joint(seed):
    alone, joint = losses("resnet8", seed)
    return {"alone": alone, "joint": joint}


if predicted("right_all_at_once"):
    display(
        claim(
            "losses_do_not_add_up",
            added_and_joint,
            holds=lambda alone, joint: (joint - alone).min() > 0 and (joint - alone).mean() > 15,
            says=lambda alone, joint: (
                f"The layers' own losses added up to {alone.mean():.1f} points on average; pruned "
                f"together they cost {joint.mean():.0f} ({joint.min():.0f} to {joint.max():.0f})."
            ),
        )
    )

# %% [markdown]
# This is the second blind spot, **interaction**. One pruned layer passes on a signal that is a
# little wrong, and whole layers behind it make up for that. If those are pruned as well, nothing
# does, and each adds an error to an input that is wrong already.
#
# Could one measure interaction? For pairs, yes: two layers at a time, every ratio of one with every
# ratio of the other.

# %%
layers, ratios = 10, 8
pairs = layers * (layers - 1) // 2
print(f"one at a time: {layers * ratios} evaluations; in pairs: {pairs * ratios**2:,};", end=" ")
print(f"every combination: {(ratios + 1) ** layers:,}")

# %%
quiz("07", "section", "Step 3")

# %% [markdown]
# ## Step 4: a rule that looks at nothing but sizes
#
# **Question.** The threshold rule asked for ninety evaluations. What can be had for none? Large
# layers tend to have more to spare. A **size-aware** rule goes by that alone: let a layer of n
# weights *keep* a number in proportion to the square root of n. One a hundred times as large keeps
# ten times as many. **ERK** is a relative that looks at the layers' shapes. Neither has seen an
# image, nor a weight.
#
# We let the threshold rule go first, and see how sparse it makes a network. Then every other rule
# has to remove the same share of all weights.
#
# **Predict.** In the ResNet: how many points is the size-aware rule ahead of the threshold rule, on
# average over five networks? (Negative if it is behind.)

# %%
predict("size_ahead_of_floor", ...)


# %%
@cache
def four_rules(name, seed):
    """Percent right under each rule, at the sparsity of the threshold rule."""
    model, sizes = trained(name, seed), layers_of(trained(name, seed))
    share = allocation.overall_sparsity(by_floor(name, seed), sizes)
    by_parameter = {
        "size-aware": allocation.size_aware(model, share),
        "ERK": allocation.erk(model, share),
    }
    rules = {
        "same everywhere": dict.fromkeys(sizes, share),
        "threshold rule": by_floor(name, seed),
        **{
            rule: {parameter.removesuffix(".weight"): r for parameter, r in of.items()}
            for rule, of in by_parameter.items()
        },
    }
    right = {rule: percent_right(pruned(model, ratios)) for rule, ratios in rules.items()}
    return share, right


# %% varies demo
if predicted("size_ahead_of_floor"):
    names = {"lenet": "LeNet", "cnn": "CNN", "resnet8": "ResNet"}
    results = {name: [four_rules(name, seed) for seed in range(5)] for name in names}
    ahead = [right["size-aware"] - right["threshold rule"] for _, right in results["resnet8"]]
    outcome("size_ahead_of_floor", float(np.mean(ahead)), "points on average")
    rules = list(results["cnn"][0][1])
    table = {
        rule: [[right[rule] for _, right in results[name]] for name in names] for rule in rules
    }
    display(
        plots.bars(
            [
                f"{shown}\n{100 * np.mean([share for share, _ in results[name]]):.0f} % gone"
                for name, shown in names.items()
            ],
            {rule: [round(float(np.mean(of)), 1) for of in by] for rule, by in table.items()},
            errors={rule: [float(np.std(of, ddof=1)) for of in by] for rule, by in table.items()},
            ylabel="right on validation, %",
            title="Four rules at the same sparsity (mean, deviation of 5 seeds)",
        )
    )
    for name, shown in names.items():
        better = sum(r["size-aware"] > r["threshold rule"] for _, r in results[name])
        print(f"{shown:6}: size-aware is ahead of the threshold rule on {better} of 5 seeds")


# %% varies claim="sizes_beat_the_scan_on_the_resnet"
def size_against_floor(seed):
    _, right = four_rules("resnet8", seed)
    return {
        "over_floor": right["size-aware"] - right["threshold rule"],
        "over_even": right["size-aware"] - right["same everywhere"],
    }


if predicted("size_ahead_of_floor"):
    display(
        claim(
            "sizes_beat_the_scan_on_the_resnet",
            size_against_floor,
            holds=lambda over_floor, over_even: (
                over_floor.mean() > 8 and over_even.mean() > 15 and over_even.min() > -5
            ),
            says=lambda over_floor, over_even: (
                f"In the ResNet the size-aware rule was {over_floor.mean():.0f} points ahead of "
                f"the threshold rule on average ({over_floor.min():+.0f} to "
                f"{over_floor.max():+.0f}), and {over_even.mean():.0f} ahead of equal ratios."
            ),
        )
    )

# %% [markdown]
# A rule that has looked at nothing beats a scan of ninety evaluations? Not because sizes are
# wise. The scan's advice was good for each layer and bad for all of them: with the layers pushed to
# their cliffs one by one, nothing was left to absorb the errors. The size-aware rule leaves small
# layers nearly whole, which costs next to nothing.
#
# Look at the other networks before you generalise, though: with three layers there is less to
# interact, and the count under the picture says how the scan does there. So **take a rule that
# costs nothing as your baseline**, and let every clever method show that it is better.

# %%
quiz("07", "section", "Step 4")

# %% [markdown]
# ## Step 5: the best choice under a budget
#
# **Question.** The threshold rule has another flaw: one sets a floor and gets *some* sparsity. A
# device has a **budget**. We turn it round: the network may cost so and so much; which ratios lose
# the least?
#
# First, what does a layer cost? In bytes, its weights. In time, rather its multiplications (MACs):
# a weight of a convolution is used at every position of the image.

# %%
image = digits.x_val[:1]


def macs_of(model):
    """Multiplications for one image, by layer; a weight is used once at every position."""
    sizes, found = layers_of(model), {}

    def note(name):
        def hook(layer, inputs, output):
            found[name] = sizes[name] * (output[0, 0].numel() if output.dim() == 4 else 1)

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(note(name)) for name in sizes]
    with torch.no_grad():
        model(image)
    for hook in hooks:
        hook.remove()
    return found


sizes, costs = layers_of(trained("resnet8", 0)), macs_of(trained("resnet8", 0))
print("layer                    weights              MACs")
for layer in sizes:
    of_weights, of_macs = (100 * by[layer] / sum(by.values()) for by in (sizes, costs))
    print(f"{layer:22} {sizes[layer]:8,} {of_weights:4.0f} % {costs[layer]:9,} {of_macs:4.0f} %")

# %% [markdown]
# The two columns disagree: the first block has few weights and does much of the work. So "prune
# half" is no instruction at all until one says half of *what*.
#
# One honest word about MACs. Removing single weights saves multiplications only on a machine that
# skips zeros (lesson 03). For ordinary hardware read every ratio here as a share of *channels*
# (lesson 05): the question "which layer, how much?" is the same, and so are the methods.
#
# A worked example: two layers, two ratios, all four combinations.

# %%
small_curves = {"a": [0.98, 0.90], "b": [0.98, 0.95]}
small_costs = {"a": 100, "b": 300}
for i, ratio_a in enumerate((0.0, 0.5)):
    for j, ratio_b in enumerate((0.0, 0.5)):
        kept = small_costs["a"] * (1 - ratio_a) + small_costs["b"] * (1 - ratio_b)
        lost = (0.98 - small_curves["a"][i]) + (0.98 - small_curves["b"][j])
        print(f"a {ratio_a:.1f}, b {ratio_b:.1f}: costs {kept:3.0f}, loses {lost:.2f}")

# %% [markdown]
# With a budget of 260 the third and the first are out, and the choice is easy. (We add the losses
# up, although step 3 showed that they do not add up. It is the best one can do with a scan.)
#
# **Exercise** `search_ratios` · 4 points · about 30 minutes · difficulty 4 of 5
#
# Choose one of the `fractions` for each layer of `curves` (larger is better, as from the scan) so
# that the cost of what is **kept**, the sum of `costs[name] * (1 - fraction)`, is at most `budget`,
# and the summed loss against fraction 0 is as small as possible.
#
# - Return the chosen fraction by layer. The nearer your choices come to the smallest possible loss,
#   the more points. The way begins at the loss of one fraction for all layers, the smallest that
#   keeps the budget; half of the way and nine tenths of it earn some.
# - A curve that *rises* is a gain, and counts as one.
# - A budget that cannot be kept, a curve of another length than the fractions, or a layer without a
#   cost raises `ValueError`. No layers at all: an empty dictionary.
# - There are at most five layers and six fractions in the cases, so you may try all combinations.


# %% exercise="search_ratios"
def search_ratios(curves, fractions, costs, budget):
    """The fraction for each layer that keeps the budget and loses the least."""
    ### BEGIN SOLUTION
    for name, curve in curves.items():
        if name not in costs or len(curve) != len(fractions):
            raise ValueError(f"the layer {name!r} has no cost, or a curve that does not fit")
    choices = [(0.0, 0.0, {})]  # cost, loss and ratios of the layers so far
    for name, curve in curves.items():
        longer = [
            (cost + costs[name] * (1 - fraction), loss - value, {**chosen, name: fraction})
            for cost, loss, chosen in choices
            for fraction, value in zip(fractions, curve, strict=True)
        ]
        longer.sort(key=lambda choice: choice[:2])
        choices = []
        for choice in longer:  # the dearer one is kept only if it loses less
            if choice[0] <= budget and (not choices or choice[1] < choices[-1][1]):
                choices.append(choice)
    if not choices:
        raise ValueError(f"a budget of {budget} cannot be kept")
    return choices[-1][2]
    ### END SOLUTION


# %% check="search_ratios"
check("search_ratios", search_ratios)

# %% [markdown]
# **See it** on the CNN: which ratios does the search choose when only 30 % of the MACs may stay,
# and how does the network do with them?
#
# (All combinations of ten layers and ten ratios are ten thousand million. The trick: go layer by
# layer, and of the partial choices keep only those that no other beats in both cost and loss. It is
# the *knapsack problem*. `course_utils.pruning.allocation.search` does it, and we use that for
# the ResNet.)

# %% varies demo
choose = yours_or_ours("search_ratios", search_ratios)
coarse = [0.0, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95]
cnn, cnn_costs = trained("cnn", 0), macs_of(trained("cnn", 0))
cnn_curves = {
    layer: [curve[ratios_tried.index(ratio)] for ratio in coarse]
    for layer, curve in scanned("cnn", 0).items()
}
chosen = choose(cnn_curves, coarse, cnn_costs, 0.3 * sum(cnn_costs.values()))
even = dict.fromkeys(chosen, 0.7)
display(
    plots.bars(
        list(chosen),
        {
            "chosen ratio": list(chosen.values()),
            "share of the MACs": [cost / sum(cnn_costs.values()) for cost in cnn_costs.values()],
        },
        ylabel="share",
        title="30 % of the CNN's MACs may stay: who pays?",
        percent=True,
    )
)
print(f"chosen ratios:      {percent_right(pruned(cnn, chosen)):.1f} % right")
print(f"70 % of each layer: {percent_right(pruned(cnn, even)):.1f} % right")

# %% [markdown]
# The saving has to come from `conv2` and `conv3`: nearly all the MACs are theirs. Other layers may
# get a ratio although it saves next to nothing: wherever a curve happens to be no lower than at 0,
# the search takes the chance for a gift. That is one more reason not to trust sums of a scan to the
# last digit.

# %%
quiz("07", "section", "Step 5")

# %% [markdown]
# ## Step 6: which networks are worth having?
#
# **Question.** Each method, at each budget, gives a network: a point with a cost and an accuracy.
# Nobody can say which is best without saying what a point of accuracy is worth. But some can be
# thrown away at once, because another one is better in one respect and at least as good in the
# other. What remains is the **Pareto front**.
#
# **Exercise** `pareto_front` · 3 points · about 15 minutes · difficulty 3 of 5
#
# `points` is a list of `(cost, accuracy)`: a low cost is good, a high accuracy is good. Return the
# indices of the points on the front, ascending. A point is *not* on it if another one costs no
# more, is no less accurate, and is better in at least one of the two. Of points that are equal in
# both, only the first stays. No points: an empty list.


# %% exercise="pareto_front"
def pareto_front(points):
    """The indices of the points that no other beats."""
    ### BEGIN SOLUTION
    front, best = [], -math.inf
    cheapest_first = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1], i))
    for i in cheapest_first:
        if points[i][1] > best:
            front.append(i)
            best = points[i][1]
    return sorted(front)
    ### END SOLUTION


# %% check="pareto_front"
check("pareto_front", pareto_front)

# %% [markdown]
# Three methods on the ResNet, at seven budgets of MACs: equal ratios, the size-aware wish scaled
# until it fits, and the knapsack over the scan. That makes 21 networks.
#
# **Predict.** How many of the 21 are on the Pareto front?

# %%
predict("on_the_front", ...)


# %%
def cost_of(ratios, costs):
    """What stays, in multiplications."""
    return sum(cost * (1 - ratios[layer]) for layer, cost in costs.items())


def fitted(wishes, costs, budget, least=0.03):
    """Ratios from wishes: keep shares in proportion to them, scaled until the budget is spent."""
    wish, cost = np.array([wishes[layer] for layer in costs]), np.array(list(costs.values()))
    low, high = 0.0, 1e6
    for _ in range(80):
        middle = (low + high) / 2
        kept = np.clip(middle * wish, least, 1)
        low, high = (middle, high) if kept @ cost <= budget else (low, middle)
    kept = np.clip(low * wish, least, 1)
    return {layer: 1 - float(share) for layer, share in zip(costs, kept, strict=True)}


def size_wishes(model):
    """Keep in proportion to the square root of the size: a share of one over that root."""
    return {layer: size**-0.5 for layer, size in layers_of(model).items()}


# %% varies demo
front_of = yours_or_ours("pareto_front", pareto_front)
if predicted("on_the_front"):
    resnet = trained("resnet8", 0)
    costs = macs_of(resnet)
    everything = sum(costs.values())
    drawn, points, owners = {"equal ratios": [], "size-aware": [], "knapsack": []}, [], []
    for share in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85):
        budget = share * everything
        ways = {
            "equal ratios": dict.fromkeys(costs, 1 - share),
            "size-aware": fitted(size_wishes(resnet), costs, budget),
            "knapsack": allocation.search(scanned("resnet8", 0), ratios_tried, costs, budget),
        }
        for name, ratios in ways.items():
            point = (cost_of(ratios, costs) / everything, percent_right(pruned(resnet, ratios)))
            drawn[name].append(point)
            points.append(point)
            owners.append(name)
    on_front = front_of(points)
    front = [points[i] for i in on_front]
    outcome("on_the_front", len(front))
    with plots.style():
        figure, axes = plots.subplots(figsize=(6.4, 3.8))
        steps = tuple(zip(*sorted(front), strict=True))
        axes.step(*steps, where="post", color="#999999", label="Pareto front")
        looks = zip(drawn.items(), plots.COLOURS, plots.MARKERS, strict=False)
        for (name, of), colour, marker in looks:
            xs, ys = zip(*of, strict=True)
            axes.plot(xs, ys, marker, color=colour, label=name, fillstyle="none", markersize=8)
        axes.set(xlabel="share of the MACs kept", ylabel="right on validation, %")
        axes.set_title("21 networks and their Pareto front (ResNet, one seed)")
        axes.legend()
    display(figure)
    on = {name: sum(owners[i] == name for i in on_front) for name in drawn}
    print(
        "on the front:",
        ", ".join(f"{name} {count} of {len(drawn[name])}" for name, count in on.items()),
    )

# %% [markdown]
# A front shows at one glance what a single number hides: here, at generous budgets the methods
# hardly differ, and where it gets tight they part. Comparing two methods at *one* point, chosen by
# the author of one of them, tells little.

# %%
quiz("07", "section", "Step 6")

# %% [markdown]
# ## Step 7: what AMC's agent is paid
#
# In 2018 **AMC** (He and others) let an agent choose the ratios by reinforcement learning. Its
# three parts:
#
# - **State**: what the agent sees when it comes to a layer. Facts about the layer (its position,
#   its sizes, its stride, its cost), how much cost has been saved so far, how much is still to
#   come, and its own last action.
# - **Action**: one number, the ratio for this layer. Not "left" or "right" but a continuous
#   choice, which is why AMC uses a method made for such actions, DDPG: one network acts (the
#   actor), another learns to foresee the reward (the critic).
# - **Reward**: one number at the end, when all layers have their ratio and the network has been
#   looked at, without fine-tuning, on validation images.
#
# AMC knows two games. With a *fixed budget*, actions that would break it are cut back, and the
# reward is simply minus the error. Without one, cost enters the reward:
#
# $$R = -\text{error} \cdot \ln(\text{FLOPs})$$
#
# **Question.** Why the logarithm?
#
# **Predict.** A network of a billion operations. An agent halves them. By how many percent **of
# itself** may the error rise before that was not worth it?

# %%
predict("error_for_half_the_flops", ...)

# %% [markdown]
# **Exercise** `amc_reward` · 1 point · about 5 minutes · difficulty 1 of 5
#
# Return the reward for an `error` (the share of wrong answers, 0 to 1) and a number of operations
# (above 0).


# %% exercise="amc_reward"
def amc_reward(error, flops):
    """What AMC's agent is paid."""
    ### BEGIN SOLUTION
    return -error * math.log(flops)
    ### END SOLUTION


# %% check="amc_reward"
check("amc_reward", amc_reward)

# %% [markdown]
# **See it.** For which error is the reward after halving the same as before? And what would a
# reward of `-error * flops` say?

# %% demo
reward = yours_or_ours("amc_reward", amc_reward)


def error_worth_half(flops, error=0.1):
    """The error with half the operations that is paid the same."""
    return error * reward(error, flops) / reward(error, flops / 2)


if predicted("error_for_half_the_flops"):
    rise = 100 * (error_worth_half(1e9) / 0.1 - 1)
    outcome("error_for_half_the_flops", rise, "%")
    print("operations   error may rise by")
    for flops in (1e4, 1e6, 1e9, 1e12):
        print(f"{flops:10.0e} {100 * (error_worth_half(flops) / 0.1 - 1):12.1f} %")
    print("without the logarithm, anywhere: 100.0 %")

# %% [markdown]
# Without the logarithm, half the operations would be worth *twice the error*: the agent could ruin
# the network and be paid for it. The logarithm makes operations cheap: what counts is by which
# **factor** they fall, and each halving is worth only a few percent of the error. Accuracy leads,
# cost follows. (The authors' own reason is an observation: from network to network the error is
# roughly inversely proportional to the logarithm of the operations, so that the product stays
# comparable.)
#
# Note two things for the pitfalls: a network *without* errors is paid 0 whatever it costs, and the
# logarithm is sensitive to the **unit** in which you count.

# %%
quiz("07", "section", "Step 7")

# %% [markdown]
# ## Step 8: a search by reinforcement learning, and what it must beat
#
# Now everybody on one starting line. The ResNet may keep **35 % of its MACs**. Every method may
# look at **200 networks**, no more; the scan's looks count as well. Each decides on one half of the
# validation images; we report on the **other half**, which no method has seen.
#
# The referee counts, refuses the 201st look, and remembers the best network within the budget:

# %%
shuffle = torch.randperm(len(digits.x_val), generator=torch.Generator().manual_seed(0))
deciding, reporting = shuffle[: len(shuffle) // 2], shuffle[len(shuffle) // 2 :]


class Referee:
    """Says how many percent a network with these ratios gets right, so many times and no more."""

    def __init__(self, model, kept, allowed):
        self.model, self.trial = model, copy.deepcopy(model)
        self.costs, self.sizes = macs_of(model), layers_of(model)
        self.budget, self.allowed = kept * sum(self.costs.values()), allowed
        weights = {layer: model.get_submodule(layer).weight.detach() for layer in self.costs}
        self.order = {layer: w.abs().flatten().argsort() for layer, w in weights.items()}
        self.looks, self.best = [], (-1.0, None)

    @torch.no_grad()
    def which_right(self, ratios, images):
        """For each of these images, whether the network with these ratios gets it right."""
        for layer, order in self.order.items():
            weight = self.model.get_submodule(layer).weight.clone()
            weight.view(-1)[order[: round(ratios[layer] * len(order))]] = 0
            self.trial.get_submodule(layer).weight.copy_(weight)
        return self.trial(digits.x_val[images]).argmax(1) == digits.y_val[images]

    def right(self, ratios, images):
        """Percent right on these images."""
        return 100 * self.which_right(ratios, images).double().mean().item()

    def __call__(self, ratios):
        if len(self.looks) == self.allowed:
            raise RuntimeError(f"all {self.allowed} evaluations are spent")
        percent = self.right(ratios, deciding)
        self.looks.append(percent)
        affordable = cost_of(ratios, self.costs) <= self.budget * (1 + 1e-6)
        if affordable and percent > self.best[0]:
            self.best = (percent, ratios)
        return percent

    @property
    def left(self):
        return self.allowed - len(self.looks)


# %% [markdown]
# The cheap contestants first. Two rules that look once, at their own result; random wishes; the
# scan with the knapsack. And **local search**: begin with equal ratios, change a few layers a
# little, keep the change if the network is no worse. It is the oldest trick there is.

# %%


def equal_ratios(look, dice):
    look(fitted(dict.fromkeys(look.costs, 1.0), look.costs, look.budget))


def size_aware(look, dice):
    look(fitted(size_wishes(look.model), look.costs, look.budget))


def at_random(look, dice):
    while look.left:
        wishes = {layer: dice.random() for layer in look.costs}
        look(fitted(wishes, look.costs, look.budget))


def scan_and_knapsack(look, dice):
    """As fine a scan as the evaluations allow, then the best sum."""
    points = (look.left - 2) // len(look.costs)
    fractions = [0.97 * step / points for step in range(points + 1)]
    whole = dict.fromkeys(look.costs, 0.0)
    dense = look(whole)
    curves = {
        layer: [dense, *(look({**whole, layer: fraction}) for fraction in fractions[1:])]
        for layer in look.costs
    }
    look(allocation.search(curves, fractions, look.costs, look.budget))


def local_search(look, dice):
    wishes = dict.fromkeys(look.costs, 1.0)
    best = look(fitted(wishes, look.costs, look.budget))
    while look.left:
        changed = {
            layer: wish * math.exp(dice.gauss(0, 0.5)) if dice.random() < 0.3 else wish
            for layer, wish in wishes.items()
        }
        percent = look(fitted(changed, look.costs, look.budget))
        if percent >= best:
            wishes, best = changed, percent


# %% [markdown]
# **Optuna** is a library for such searches. Its usual method (TPE) looks at which wishes went with
# good results and which with bad ones, and tries more of the former:

# %%


def by_optuna(look, dice):
    def trial_of(trial):
        wishes = {layer: trial.suggest_float(layer, 0.01, 1.0) for layer in look.costs}
        return look(fitted(wishes, look.costs, look.budget))

    sampler = optuna.samplers.TPESampler(seed=dice.randrange(10**6))
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(trial_of, n_trials=look.left)


# %% [markdown]
# And the agent. `search_by_policy` (some 150 lines; read them!) plays AMC's game with the
# simplest learning rule there is, REINFORCE. An **episode** walks from the first layer to the last.
# At each, a small network, the *policy*, sees the state and answers with a keep share, plus some
# noise, so that it tries things out. At the end there is one reward. After ten episodes, the
# choices of the better ones are made more likely and those of the worse ones less. What it is told
# about a layer:

# %%


def facts(model):
    """Is it a convolution, its sizes, its kernel, its stride: what AMC's agent sees of a layer."""
    found = {}
    for layer in layers_of(model):
        module = model.get_submodule(layer)
        conv = isinstance(module, nn.Conv2d)
        outputs, inputs = module.weight.shape[:2]
        kernel, stride = (module.kernel_size[0], module.stride[0]) if conv else (1, 1)
        found[layer] = [conv, math.log(outputs), math.log(inputs), kernel, stride]
    return found


def by_policy(look, dice):
    search_by_policy(
        facts(look.model),
        look.costs,
        look.budget,
        look,  # the reward with a fixed budget: how good the network is
        episodes=look.left,
        seed=dice.randrange(10**6),
    )


contestants = {
    "equal ratios": equal_ratios,
    "size-aware": size_aware,
    "at random": at_random,
    "scan + knapsack": scan_and_knapsack,
    "local search": local_search,
    "Optuna (TPE)": by_optuna,
    "agent (REINFORCE)": by_policy,
}


@cache
def played(name, seed, kept=0.35, allowed=200):
    """The referee after this contestant has searched."""
    look = Referee(trained("resnet8", seed), kept, allowed)
    contestants[name](look, random.Random(seed))
    return look


def reported(name, seed, **settings):
    """Percent right of what it chose, on the images that nobody decided with."""
    look = played(name, seed, **settings)
    return look.right(look.best[1], reporting)


# %% [markdown]
# **Predict.** Which contestant has the best network most often, over five seeds?

# %%
predict("best_search", ..., choices=tuple(contestants))

# %% varies demo
seeds = range(5)
if predicted("best_search"):
    scores = {name: [reported(name, seed) for seed in seeds] for name in contestants}
    best = [max(of[seed] for of in scores.values()) for seed in seeds]
    wins = {n: sum(of[seed] == best[seed] for seed in seeds) for n, of in scores.items()}
    outcome("best_search", max(wins, key=wins.get))
    print("right on the reporting half, %, with 35 % of the MACs\n")
    print("                   looks " + "".join(f" seed {s}" for s in seeds) + "   mean  best on")
    for name, of in scores.items():
        looks = len(played(name, 0).looks)
        each = "".join(f"{percent:7.1f}" for percent in of)
        print(f"{name:18} {looks:5} {each} {np.mean(of):7.1f}  {wins[name]} of {len(seeds)}")
    leader = max(scores, key=lambda name: np.mean(scores[name]))
    agent = scores["agent (REINFORCE)"]
    print(
        f"\nThe best mean has {leader}; it is best on {wins[leader]} of {len(seeds)} seeds", end=" "
    )
    print("(who shares the first place is counted too).")
    for rival in ("at random", "size-aware", "Optuna (TPE)", "local search"):
        ahead = sum(a > b for a, b in zip(agent, scores[rival], strict=True))
        print(f"The agent is ahead of {rival} on {ahead} of {len(seeds)} seeds.")

# %% [markdown]
# How do they get there? The best network so far, against the looks spent:

# %% varies demo
if predicted("best_search"):
    spent = [1, 25, 50, 100, 150, 200]
    racing = ("at random", "local search", "Optuna (TPE)", "agent (REINFORCE)")
    display(
        plots.curve(
            spent,
            {
                name: [[max(played(name, seed).looks[:n]) for n in spent] for seed in seeds]
                for name in racing
            },
            xlabel="networks looked at",
            ylabel="best so far, % right (deciding half)",
            title="Four searches on one budget of evaluations",
        )
    )


# %% varies claim="searching_pays_and_local_search_keeps_up"
def three_searches(seed):
    even = reported("equal ratios", seed)
    return {
        "local": reported("local search", seed) - even,
        "agent": reported("agent (REINFORCE)", seed) - even,
        "first": float(np.mean(played("agent (REINFORCE)", seed).looks[:40])),
        "last": float(np.mean(played("agent (REINFORCE)", seed).looks[-40:])),
    }


if predicted("best_search"):
    display(
        claim(
            "searching_pays_and_local_search_keeps_up",
            three_searches,
            holds=lambda local, agent, first, last: (
                local.min() > 10
                and agent.mean() > 15
                and (local - agent).mean() > -15
                and (last - first).mean() > 2
            ),
            says=lambda local, agent, first, last: (
                f"The agent's tries were {first.mean():.0f} % right on average in its first 40 "
                f"episodes and {last.mean():.0f} % in its last 40. "
                f"With 200 looks local search ended {local.min():.0f} points or more above equal "
                f"ratios, the agent {agent.mean():.0f} above them on average. Local search was "
                f"ahead of the agent on {(local > agent).sum()} of {len(local)} seeds; the "
                f"difference was {(local - agent).mean():+.0f} points on average "
                f"({(local - agent).min():+.0f} to {(local - agent).max():+.0f})."
            ),
        )
    )

# %% [markdown]
# The agent does learn: its later tries are better than its first, and it leaves equal ratios far
# behind. Yet the search that a child could invent keeps up with it here for the same number of
# looks. How far it is ahead, if at all, depends on the seed: that is why there are several.
#
# **Why is it a game at all?** One choice of ten numbers, made once: nothing happens between the
# layers. No opponent moves, no dice fall, no reward arrives until the end. What the agent "sees" on
# its way are its own earlier choices. So one could just as well choose the ten numbers in one go,
# as every other contestant does. If you wondered about this while reading about AMC, you were
# right to. The walk buys three things:
#
# - the budget can be kept step by step: what is left for the layers to come is part of the state;
# - what is learned at one layer is used at others like it, which matters with a hundred layers;
# - one policy could be carried over to another network: ten ratios could not.
#
# And it costs: a **single number** at the end has to be shared out among ten decisions, and the
# policy's own noise hides which of them was good. That takes many episodes. Ours is the simplest
# learner, with 200 episodes; AMC's is more elaborate and had more. What this experiment says is no
# verdict on AMC but a habit: *run the cheap search beside the clever one, on the same number of
# looks*.
#
# **More than one budget.** The same with 60 looks for each of three budgets. Together they are a
# method's front:

# %% varies demo
if predicted("best_search"):
    budgets = [0.25, 0.35, 0.5]
    fronts = {
        name: [
            [reported(name, seed, kept=kept, allowed=60) for kept in budgets] for seed in range(3)
        ]
        for name in ("equal ratios", "size-aware", "local search", "agent (REINFORCE)")
    }
    display(
        plots.curve(
            budgets,
            fronts,
            xlabel="share of the MACs kept",
            ylabel="% right (reporting half)",
            title="The fronts of four methods",
            percent_x=True,
        )
    )

# %% [markdown]
# Look at the error bars before you put the methods in an order.
#
# All these networks were judged *without* fine-tuning, as AMC does it, because training each would
# cost too much. Does the winner stay the winner when it is trained afterwards?


# %%
def fine_tuned(model, ratios, seed):
    """Two passes over the training images with the zeros held."""
    smaller = pruned(model, ratios)
    keep = {name: weight != 0 for name, weight in measure.prunable_weights(smaller).items()}
    training.train(
        smaller,
        digits,
        epochs=2,
        lr=0.003,
        seed=seed,
        quiet=True,
        after_step=lambda trained_on: masks.apply(trained_on, keep),
    )
    return smaller


# %% varies claim="fine_tuning_levels_the_field"
def before_and_after(seed):
    found = {name: played(name, seed).best[1] for name in ("equal ratios", "local search")}
    x, y = digits.x_val[reporting], digits.y_val[reporting]
    model = trained("resnet8", seed)
    after = [100 * accuracy(fine_tuned(model, r, seed), x, y) for r in found.values()]
    return {
        "gap": reported("local search", seed) - reported("equal ratios", seed),
        "equal": after[0],
        "local": after[1],
    }


if predicted("best_search"):
    display(
        claim(
            "fine_tuning_levels_the_field",
            before_and_after,
            holds=lambda gap, equal, local: (
                gap.min() > 10 and equal.min() > 80 and abs(local - equal).mean() < gap.mean() / 3
            ),
            says=lambda gap, equal, local: (
                f"Before fine-tuning local search was {gap.mean():.0f} points ahead of equal "
                f"ratios. After two epochs it had {local.mean():.1f} % right and equal ratios "
                f"{equal.mean():.1f} %: {(local - equal).mean():+.1f} points on average "
                f"({(local - equal).min():+.1f} to {(local - equal).max():+.1f})."
            ),
        )
    )

# %% [markdown]
# A gulf before training, and little of it left afterwards. Sobering, and important: a search that
# judges without fine-tuning optimises something else than what you will ship. It is a stand-in:
# cheap, related, not the same. Expect ratios to matter most where the budget is tight or training
# is not to be had. Look again *after* training before you pay for a better search.

# %%
quiz("07", "section", "Step 8")

# %% [markdown]
# ## Step 9: why the 3x3 and not the 1x1?
#
# **Question.** AMC's agent, let loose on the single weights of a ResNet-50, pruned the 3x3
# convolutions harder than the 1x1 convolutions. You may read that this is because 3x3 convolutions
# hold so many weights and 1x1 convolutions so few. Let us count.

# %%
import torchvision


def counted(name):
    """Weights and MACs of one 224 x 224 photograph, by kind of layer: shapes only, no weights."""
    with torch.device("meta"):
        model = getattr(torchvision.models, name)().eval()
        photograph = torch.empty(1, 3, 224, 224)
    kinds = {}

    def note(layer, inputs, output):
        positions, kind = 1, "linear"
        if isinstance(layer, nn.Conv2d):
            positions = output[0, 0].numel()
            apart = ", channel by channel" if layer.groups > 1 else ""
            kind = f"{layer.kernel_size[0]}x{layer.kernel_size[1]}{apart}"
        entry = kinds.setdefault(kind, [0, 0])
        entry[0] += layer.weight.numel()
        entry[1] += layer.weight.numel() * positions

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    model(photograph)
    return kinds


for name in ("resnet50", "mobilenet_v2"):
    kinds = counted(name)
    all_weights, all_macs = (sum(entry[i] for entry in kinds.values()) for i in (0, 1))
    print(f"{name:25} weights    MACs   MACs a weight")
    for kind, (weights, macs) in kinds.items():
        shares = f"{100 * weights / all_weights:8.1f} % {100 * macs / all_macs:5.1f} %"
        print(f"  {kind:23}{shares} {macs / weights:10.0f}")

# %% [markdown]
# In the ResNet-50 the 1x1 convolutions hold *more* weights than the 3x3 ones, and do more of the
# work. A weight costs as many MACs as the image has positions, whatever the kernel. So neither
# count explains why an agent would spare them. Can they really spare less?
#
# An experiment: a small network of "bottlenecks" as in the ResNet-50 (1x1, 3x3, 1x1). We remove
# the same share either from all its 1x1 or from all its 3x3 convolutions.
#
# **Predict.** Which does more damage at 80 %?

# %%
predict("which_kernel_hurts", ..., choices=("1x1", "3x3"))


# %%
class Bottleneck(nn.Module):
    """Down to few channels by 1x1, 3x3 among those, up again by 1x1, added to what came in."""

    def __init__(self, channels=64, few=24):
        super().__init__()
        self.down = nn.Conv2d(channels, few, 1, bias=False)
        self.middle = nn.Conv2d(few, few, 3, padding=1, bias=False)
        self.up = nn.Conv2d(few, channels, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (few, few, channels))

    def forward(self, x):
        y = self.norms[0](self.down(x)).relu()
        y = self.norms[1](self.middle(y)).relu()
        return (x + self.norms[2](self.up(y))).relu()


@cache
def bottlenecks(seed):
    """A trained network of two bottlenecks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1000 + seed)
        model = nn.Sequential(
            nn.Conv2d(1, 64, 3, padding=1, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            Bottleneck(),
            nn.MaxPool2d(2),
            Bottleneck(),
            nn.Flatten(),
            nn.Linear(64 * 16, 10),
        )
    training.train(model, digits, epochs=5, lr=0.002, seed=seed, quiet=True)
    return model


def without_kernels(seed, ending, share):
    """Percent right without that share of each layer whose name ends so."""
    model = bottlenecks(seed)
    return percent_right(pruned(model, {n: share for n in layers_of(model) if n.endswith(ending)}))


endings = {"all 1x1": ("down", "up"), "all 3x3": ("middle",)}

# %% varies demo
if predicted("which_kernel_hurts"):
    steps = [0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9]
    hurt = {
        name: [[without_kernels(seed, ending, share) for share in steps] for seed in range(3)]
        for name, ending in endings.items()
    }
    at = {name: np.mean([run[steps.index(0.8)] for run in runs]) for name, runs in hurt.items()}
    outcome("which_kernel_hurts", min(at, key=at.get).removeprefix("all "))
    display(
        plots.curve(
            steps,
            hurt,
            xlabel="share removed from these layers",
            ylabel="right on validation, %",
            title="Two bottlenecks: 1x1 against 3x3",
            percent_x=True,
        )
    )
    for name, ending in endings.items():
        sizes = layers_of(bottlenecks(0))
        print(f"{name}: {sum(size for n, size in sizes.items() if n.endswith(ending)):,} weights")


# %% varies claim="a_1x1_has_less_to_spare"
def kernels(seed):
    return {
        "one": without_kernels(seed, ("down", "up"), 0.8),
        "three": without_kernels(seed, ("middle",), 0.8),
    }


if predicted("which_kernel_hurts"):
    display(
        claim(
            "a_1x1_has_less_to_spare",
            kernels,
            holds=lambda one, three: (three - one).min() > 0 and (three - one).mean() > 6,
            says=lambda one, three: (
                f"Without 80 % of its 3x3 weights the bottleneck network had {three.mean():.0f} % "
                f"right on average, without 80 % of its 1x1 weights {one.mean():.0f} %, although "
                "those are fewer."
            ),
        )
    )

# %% [markdown]
# So an agent that is paid for accuracy learns to take from the 3x3 ones. Why can those spare more?
# An idea: a 3x3 filter reaches each of its inputs through **nine** weights, which look at
# neighbouring pixels that are much alike. A 1x1 filter has **one** weight for each pair of
# channels: take it, and that connection is cut. The experiment fits the idea and does not prove it:
# there are also two 1x1 convolutions for each 3x3 one here, and their losses interact.
#
# Make no law of it either. Look at the shortcuts in the table of step 2: their 1x1 convolutions may
# bear a lot, because a main path runs beside them. And in a MobileNet, look at the table, nearly
# all MACs *are* 1x1: whoever wants to save there has to take from them.

# %%
quiz("07", "section", "Step 9")

# %% [markdown]
# ## Pitfalls
#
# **Many looks wear out the validation images.** Whoever tries many networks and takes the best on
# some images has also picked the luckiest. How much too good does the chosen one look? A hundred
# networks near the size-aware one; we draw some images to decide with, take the best of so many
# networks on them, and compare with the images left over. Averaged over many draws:


# %% varies
@cache
def near_size_aware(seed, count=100):
    """Which validation images each of many similar networks gets right: a row for each."""
    look, dice = Referee(trained("resnet8", seed), 0.35, count), random.Random(seed)
    rows = []
    for _ in range(count):
        wishes = {n: w * math.exp(dice.gauss(0, 0.3)) for n, w in size_wishes(look.model).items()}
        ratios = fitted(wishes, look.costs, look.budget)
        rows.append(look.which_right(ratios, slice(None)))
    return torch.stack(rows).double()


def optimism(seed, images, networks, draws=100):
    """Points by which the chosen network looks too good, averaged over draws."""
    right, dice = near_size_aware(seed), torch.Generator().manual_seed(seed)
    gaps = []
    for _ in range(draws):
        order = torch.randperm(right.shape[1], generator=dice)
        some = right[torch.randperm(len(right), generator=dice)[:networks]]
        seen, unseen = some[:, order[:images]].mean(1), some[:, order[images:]].mean(1)
        chosen = seen.argmax()
        gaps.append(100 * (seen[chosen] - unseen[chosen]).item())
    return sum(gaps) / draws


tried = [1, 3, 10, 30, 100]
gaps = {
    f"{images} images to decide with": [
        [optimism(seed, images, networks) for networks in tried] for seed in range(3)
    ]
    for images in (30, 148)
}
plots.curve(
    tried,
    gaps,
    xlabel="networks looked at",
    ylabel="points too good",
    title="The more you look, the better it seems",
)


# %% varies claim="looking_often_deceives"
def deceived(seed):
    return {"once": optimism(seed, 30, 1), "often": optimism(seed, 30, 100)}


display(
    claim(
        "looking_often_deceives",
        deceived,
        holds=lambda once, often: (often - once).mean() > 2 and (often - once).min() > 0,
        says=lambda once, often: (
            f"Decided on 30 images, one network looked {once.mean():+.1f} points too good on "
            f"average, and the best of 100 looked {often.mean():+.1f} points too good."
        ),
    )
)

# %% [markdown]
# This is why step 8 decided on one half and reported on the other, and why the *test* images stay
# out of it altogether: a search that has looked at them 200 times has no test left.
#
# **The reward depends on the unit.** Count in operations or in millions of operations: AMC's
# logarithm changes, and with it the agent's opinion which of two networks is better.

# %%
one, other = (0.10, 4e6), (0.14, 1.2e6)  # error, operations
for unit, size in (("operations", 1), ("millions of operations", 1e6)):
    rewards = [-error * math.log(flops / size) for error, flops in (one, other)]
    better = "the accurate one" if rewards[0] > rewards[1] else "the small one"
    print(f"in {unit:22}: {rewards[0]:.3f} and {rewards[1]:.3f}, so {better} is paid more")

# %% [markdown]
# Below one unit it gets worse: the logarithm is negative, and a *larger* error is paid better. Say
# in which unit you count, and keep to it.
#
# **No error, no interest in cost.** On a small validation set a network may make no mistake at
# all. Then the reward is zero, with all the operations in the world:

# %%
for flops in (1e6, 1e9, 1e12):
    print(f"{flops:.0e} operations, no errors: reward {abs(-0.0 * math.log(flops)):.1f}")

# %% [markdown]
# **Comparing on unequal budgets.** Chance with many looks can beat skill with few. "Our method
# found better ratios than random search" says nothing until both have looked equally often:

# %% varies
print("best so far on the deciding half, mean of 3 seeds")
print("looks   at random   local search")
for allowed in (1, 5, 25, 100, 200):
    best = {
        name: np.mean([max(played(name, seed).looks[:allowed]) for seed in range(3)])
        for name in ("at random", "local search")
    }
    print(f"{allowed:5} {best['at random']:9.1f} % {best['local search']:12.1f} %")

# %%
quiz("07", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A colleague scanned a network of 50 layers, gave each the largest ratio that costs half a
# point, and is surprised that the pruned network is useless. Explain what happened, and name two
# things she could do.

# %% [markdown] written="why_the_scan_misled" points=2
# <!-- BEGIN SOLUTION -->
# The scan measures each layer with all the others whole. Losses do not add up: fifty layers at
# their limits pass on errors that nobody absorbs any more. She could begin with a rule that costs
# nothing (size-aware, ERK) as a baseline, search with evaluations of the *whole* network (local
# search), take smaller ratios from all, prune step by step, or fine-tune.
#
# *Marking: one point for the interaction (measured alone, pruned together), one for two sensible
# remedies.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** Why did AMC's authors put the logarithm of the operations into the reward, and what would
# the agent do without it?

# %% [markdown] written="why_the_logarithm" points=2
# <!-- BEGIN SOLUTION -->
# With the logarithm a halving is worth the same small share of the error everywhere on the way:
# accuracy leads. With -error * FLOPs, half of the operations would pay for twice the error, so the
# agent would shrink the network until it is useless.
#
# *Marking: one point for "factors count" or "makes cost cheap", one for what happens without.*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** A paper reports that its reinforcement learning search beats uniform pruning by five
# points. What three questions do you ask?

# %% [markdown] written="questions_to_a_search" points=2
# <!-- BEGIN SOLUTION -->
# How many evaluations did it use, and what do random or local search and a size-aware rule reach
# with as many? Over how many seeds, and how often did it win? Was the result reported on data that
# the search did not use, and before or after fine-tuning?
#
# *Marking: two points for three sensible questions, one for two.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# A row for the network of our story, the CNN. Local search gives each layer its own share of a
# tight budget of MACs (deciding on one half of the validation images); then we fine-tune. Equal
# ratios get the same training and serve as the control.


# %% varies demo
kept = 0.12
look = Referee(trained("cnn", 0), kept, 60)
local_search(look, random.Random(0))
found = {"equal ratios": dict.fromkeys(look.costs, 1 - kept), "local search": look.best[1]}
shipped = {name: fine_tuned(look.model, ratios, seed=0) for name, ratios in found.items()}
for name, ratios in found.items():
    before = percent_right(pruned(look.model, ratios))
    print(
        f"{name:12}: {before:5.1f} % right, after fine-tuning {percent_right(shipped[name]):.1f} %"
    )
print(
    "ratios:", ", ".join(f"{layer} {ratio:.2f}" for layer, ratio in found["local search"].items())
)
enter("07", "each layer its own share", shipped["local search"])

# %% [markdown]
# As in lesson 03, the zeros are stored and multiplied like any other number: file and MACs of the
# ledger do not see them. What the ratios would save takes channels instead of weights (lesson 05)
# or a format that leaves zeros out (lesson 09).

# %% [markdown]
# ## The last step: the test images

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
print("                         validation     test")
for name, model in {"dense": trained("cnn", 0), **shipped}.items():
    on_test = 100 * accuracy(model, x_test, y_test)
    print(f"{name:24} {percent_right(model):8.1f} % {on_test:8.1f} %")

# %% [markdown]
# Compare within a column: the test images may be easier or harder for all of them.

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("07", "exit")

# %% [markdown]
# ## Recap
#
# - Layers differ in what they can spare. A scan shows it, for layers times ratios evaluations.
# - A scan knows neither the layers' sizes nor their interaction. Losses of layers do not add up.
# - Rules that look at sizes alone cost nothing. They are the baseline for everything clever.
# - Under a budget, ask for the best sum (a knapsack), and say: a budget of what?
# - Compare methods by their Pareto fronts, on the same number of evaluations, over seeds, and
#   report on images that no search has seen.
# - AMC makes a walk over the layers of a choice that is made once. The reward's logarithm lets
#   accuracy lead. An agent can learn this game; a simple local search should always run beside it.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of earlier lessons may be due.

# %%
enrol("07")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - Y. He and others, *AMC: AutoML for Model Compression and Acceleration on Mobile Devices*, 2018
#   (arXiv 1802.03494): the agent, its state and its reward.
# - H. Li and others, *Pruning Filters for Efficient ConvNets*, 2016 (arXiv 1608.08710): sensitivity
#   by layer, and what was done with it.
# - T.-J. Yang and others, *NetAdapt*, 2018 (arXiv 1804.03230): step by step under a budget that is
#   measured on the device itself.
# - U. Evci and others, *Rigging the Lottery*, 2020 (arXiv 1911.11134): where ERK is from.
# - L. Li and A. Talwalkar, *Random Search and Reproducibility for Neural Architecture Search*, 2019
#   (arXiv 1902.07638): what happens when clever searches meet chance on equal terms.
