# %% [markdown]
# # 02 · Weight importance
#
# **About 140 minutes · difficulty 3 of 5**
#
# You will be able to
#
# - score every weight of a network: by its size, by its gradient, by both;
# - turn scores into a threshold, ties included, and into a curve that says what they are worth;
# - put a criterion on trial: against chance, against the truth, against a change of scale;
# - say when a good figure is good only because it was chosen.
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

quiz("02", "pretest")

# %% [markdown]
# ## Overview
#
# In lesson 00 the smallest weights went and almost nothing happened. Does size tell what a weight
# is worth, then, or is there something better? You will write three ways to score a weight and put
# them on trial, together with two ways to judge whole neurons. Some popular ideas pass, some fail,
# and one depends on the network. The last step turns to ourselves: choosing, too, can deceive.

# %% [markdown]
# ## Key concepts
#
# - **Score**: a number for each weight that guesses what it is worth. The way it is computed is
#   the **criterion**.
# - **Magnitude**: a weight's size. **Gradient**: how steeply the loss answers to a weight.
#   **Taylor score**: their product, squared.
# - **Threshold**: whatever scores below it, or exactly it, goes. **Global**: one ranking over all
#   layers together.
# - **Removal curve**: accuracy against the share removed, lowest scores first.
# - **Leaving one out**: taking something away and measuring the damage. The truth, but slow.
# - **APoZ**: average percentage of zeros; how often a neuron is silent.
# - **Optimism**: how much better the chosen one looks on the images that chose it.

# %%
import copy
from functools import cache

import numpy as np
import torch
from IPython.display import display
from torch import nn
from torch.nn.functional import cross_entropy

from course_utils import data, measure, models, plots
from course_utils.pruning import importance
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
trained = cache(models.load)  # trained("cnn", 3) trains that network once and remembers it


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * accuracy(model, digits.x_val, digits.y_val)


def batches(size, count=None):
    """The training images in batches, in a fixed random order; only so many if asked."""
    order = torch.Generator().manual_seed(0)
    return list(data.batches(digits.x_train, digits.y_train, size, order))[:count]


# %% [markdown]
# ## Step 1: a score for every weight
#
# **Question.** Before anything can be removed, each weight needs a number that says how much it
# matters. The simplest guess is its size. Are sizes alike in all layers?
#
# **Predict.** In which layer of our CNN is the typical weight (the median) the largest?

# %%
predict("largest_weights", ..., choices=("conv1", "conv2", "conv3", "fc1", "fc2"))

# %% [markdown]
# A worked example, with another score: what share of its layer's largest weight is each weight?
# Two things are worth a look. The scores are a dictionary with the *parameter's* name as key, and
# each tensor of scores has the shape of its weight.

# %%
tiny = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
with torch.no_grad():
    tiny[0].weight.copy_(torch.tensor([[4.0, -1.0], [2.0, 3.0]]))
    tiny[2].weight.copy_(torch.tensor([[-0.5, 0.1]]))

shares = {}
for name, module in tiny.named_modules():
    if isinstance(module, nn.Linear | nn.Conv2d):
        weight = module.weight.detach()
        shares[f"{name}.weight"] = weight / weight.abs().max()
print(shares)

# %% [markdown]
# **Exercise** `magnitude_scores` · 2 points · about 8 minutes · difficulty 2 of 5
#
# Return a dictionary from parameter name to scores: the absolute value of every weight of every
# `nn.Linear` and `nn.Conv2d`, wherever they sit. No biases, no BatchNorm. A model can itself be a
# single layer; its weight is called `weight`. A tensor that two layers share appears once, under
# its first name. With nothing to prune, return `{}`.


# %% exercise="magnitude_scores"
def magnitude_scores(model):
    """The size of every prunable weight, by parameter name."""
    ### BEGIN SOLUTION
    scores, seen = {}, set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            key = f"{name}.weight" if name else "weight"
            scores[key] = module.weight.detach().abs()
    return scores
    ### END SOLUTION


# %% check="magnitude_scores"
check("magnitude_scores", magnitude_scores)

# %% [markdown]
# **See it.**

# %% demo
sizes = yours_or_ours("magnitude_scores", magnitude_scores)(trained("cnn", 0))
layers = [name.removesuffix(".weight") for name in sizes]
typical = [layer.median().item() for layer in sizes.values()]
if predicted("largest_weights"):
    outcome("largest_weights", layers[typical.index(max(typical))])
    display(
        plots.bars(
            layers,
            [round(size, 3) for size in typical],
            ylabel="median size of a weight",
            title="Each layer has its own scale",
        )
    )

# %% [markdown]
# The layers have scales of their own. A network starts out with small weights where many inputs are
# added up and with large ones where there are few (a filter of `conv1` adds up nine pixels), and
# short training does not change that much. Keep this picture in mind: if scores are compared
# across layers, scales are compared too. Step 5 comes back to it.

# %% [markdown]
# ## Step 2: from scores to a threshold
#
# **Question.** With scores in hand, one draws a line: below it, everything goes. Where? It is
# tempting to pick a number that worked before. In the LeNet, all weights up to 0.06 can go, and
# it still gets nearly all digits right.
#
# **Predict.** How many percent does the CNN still get right without *its* weights up to 0.06?

# %%
predict("right_with_borrowed_threshold", ...)

# %% [markdown]
# A better way is to name a share and look the number up. The sorted scores tell which. Here are
# six of them, and how many each value reaches:

# %%
example = torch.tensor([0.3, 0.1, 0.5, 0.3, 0.9, 0.3])
for value in example.unique().tolist():
    print(f"up to {value:.1f}: {(example <= value).sum()} of {len(example)} scores")

# %% [markdown]
# One third is two of six. No number reaches exactly two: 0.1 reaches one, and 0.3 takes all three
# that *tie*. A threshold cannot split a tie.
#
# **Exercise** `threshold` · 3 points · about 12 minutes · difficulty 3 of 5
#
# Given one tensor of scores and a fraction, return a number `t`:
#
# - `round(fraction * n)` of the n scores are below or equal to `t`, exactly, if there are no ties;
# - with ties, `t` is the smallest number that reaches at least that count;
# - if the count is 0, nothing is to go: return minus infinity, `float("-inf")`;
# - a fraction outside 0 to 1, or NaN, raises `ValueError` with a sentence.


# %% exercise="threshold"
def threshold(scores, fraction):
    """The number that the lowest `fraction` of the scores does not exceed."""
    ### BEGIN SOLUTION
    if not 0 <= fraction <= 1:
        raise ValueError(f"a fraction lies between 0 and 1, and {fraction} does not")
    count = round(fraction * scores.numel())
    if count == 0:
        return float("-inf")
    return scores.flatten().sort().values[count - 1].item()
    ### END SOLUTION


# %% check="threshold"
check("threshold", threshold)

# %% [markdown]
# **See it.** First the borrowed threshold, in three networks; then where the line is in each for
# half of the weights.


# %% varies demo
@torch.no_grad()
def without_up_to(model, limit):
    """A copy of the model whose weights up to a size are zero."""
    pruned = copy.deepcopy(model)
    for weight in measure.prunable_weights(pruned).values():
        weight[weight.abs() <= limit] = 0
    return pruned


names = {"lenet": "LeNet", "cnn": "CNN", "resnet8": "ResNet"}
if predicted("right_with_borrowed_threshold"):
    outcome(
        "right_with_borrowed_threshold", percent_right(without_up_to(trained("cnn", 0), 0.06)), "%"
    )
    limits = [hundredth / 100 for hundredth in range(13)]
    display(
        plots.curve(
            limits,
            {
                shown: [percent_right(without_up_to(trained(name, 0), limit)) for limit in limits]
                for name, shown in names.items()
            },
            xlabel="threshold: weights up to this size are zero",
            ylabel="right on validation, %",
            title="A threshold means something else in every network",
        )
    )
    find = yours_or_ours("threshold", threshold)
    for name, shown in names.items():
        row = torch.cat([s.flatten() for s in importance.magnitude(trained(name, 0)).values()])
        print(f"{shown:6}: half of the weights are no larger than {find(row, 0.5):.3f}")

# %% [markdown]
# The cliff is in another place each time, and it is steep: a small step of the threshold, within a
# single network, decides between nearly everything right and guessing.


# %% varies claim="a_threshold_cannot_be_borrowed"
def right_up_to(name, seed, limit):
    model = copy.deepcopy(trained(name, seed))
    with torch.no_grad():
        for weight in measure.prunable_weights(model).values():
            weight[weight.abs() <= limit] = 0
    return percent_right(model)


def one_threshold_two_networks(seed):
    return {
        "lenet": right_up_to("lenet", seed, 0.06),
        "cnn": right_up_to("cnn", seed, 0.06),
        "fall": right_up_to("cnn", seed, 0.03) - right_up_to("cnn", seed, 0.05),
    }


if predicted("right_with_borrowed_threshold"):
    display(
        claim(
            "a_threshold_cannot_be_borrowed",
            one_threshold_two_networks,
            holds=lambda lenet, cnn, fall: lenet.min() > 80 and cnn.max() < 40 and fall.min() > 30,
            says=lambda lenet, cnn, fall: (
                f"Without its weights up to 0.06 a LeNet still got {lenet.min():.0f} % right or "
                f"more, and a CNN {cnn.max():.0f} % at most. Between 0.03 and 0.05 a CNN lost "
                f"{fall.min():.0f} points or more."
            ),
        )
    )

# %% [markdown]
# So do not say "everything below 0.06"; say "the lowest half", and let the scores find the number.

# %%
quiz("02", "section", "Step 2")

# %% [markdown]
# ## Step 3: the removal curve
#
# **Question.** Is size a good guess at importance? There is a simple trial: remove more and more,
# the lowest scores first, and watch the accuracy. The later it falls, the better the criterion. And
# the least that it must beat is chance.
#
# **Predict.** We remove **half** of the CNN's weights, once the smallest and once at random. How
# many points of accuracy lie between the two?

# %%
predict("size_against_chance_at_half", ...)

# %% [markdown]
# A worked example: marking the **two highest** scores of two layers in one ranking. All scores go
# into one long row, places are chosen there, and the row is cut back into layers.

# %%
scores = {
    "a.weight": torch.tensor([[0.4, 0.1], [0.9, 0.7]]),
    "b.weight": torch.tensor([[0.3, 0.8]]),
}
row = torch.cat([layer.flatten() for layer in scores.values()])
chosen = torch.zeros(len(row))
chosen[row.argsort(descending=True)[:2]] = 1
pieces = chosen.split([layer.numel() for layer in scores.values()])
for (name, layer), piece in zip(scores.items(), pieces, strict=True):
    print(name, piece.view(layer.shape).tolist())

# %% [markdown]
# **Exercise** `removal_curve` · 4 points · about 25 minutes · difficulty 4 of 5
#
# `scores` is a dictionary as in step 1; it may come from any criterion. For each of the
# `fractions`, in their order, set the lowest-scored share of **all scored weights together** to
# zero (`round(fraction * n)` of n, one ranking over all layers), call `evaluate(model)` and keep
# what it returns. Return the list.
#
# - Every fraction starts from the original weights.
# - Count, so that ties need no care: any choice among them is right.
# - Afterwards the model is as it was, even if `evaluate` fails; let its error through. Working on
#   a copy is fine.
# - A fraction outside 0 to 1, a name that the model does not have, or scores of another shape than
#   their weight raise `ValueError`.


# %% exercise="removal_curve"
def removal_curve(model, scores, fractions, evaluate):
    """What `evaluate(model)` says without the lowest-scored share of weights, for each share."""
    ### BEGIN SOLUTION
    parameters = dict(model.named_parameters())
    for name in scores:
        if name not in parameters or scores[name].shape != parameters[name].shape:
            raise ValueError(f"the scores of {name!r} do not fit the model")
    row = torch.cat([score.flatten() for score in scores.values()])
    order = row.argsort()
    results = []
    for fraction in fractions:
        if not 0 <= fraction <= 1:
            raise ValueError(f"a fraction lies between 0 and 1, and {fraction} does not")
        keep = torch.ones(len(row))
        keep[order[: round(fraction * len(row))]] = 0
        pruned = copy.deepcopy(model)
        masks = keep.split([score.numel() for score in scores.values()])
        with torch.no_grad():
            for name, mask in zip(scores, masks, strict=True):
                pruned.get_parameter(name).mul_(mask.view(scores[name].shape))
        results.append(evaluate(pruned))
    return results
    ### END SOLUTION


# %% check="removal_curve"
check("removal_curve", removal_curve)

# %% [markdown]
# **See it**, for several networks: the smallest first, at random, and the *largest* first.

# %% varies demo
curve_of = yours_or_ours("removal_curve", removal_curve)
seeds = range(5)
fractions = [tenths / 10 for tenths in range(10)]
ways = {
    "smallest first": lambda seed: importance.magnitude(trained("cnn", seed)),
    "at random": lambda seed: importance.random(trained("cnn", seed), seed),
    "largest first": lambda seed: {
        name: -size for name, size in importance.magnitude(trained("cnn", seed)).items()
    },
}
by_size = {
    way: [curve_of(trained("cnn", s), scores(s), fractions, percent_right) for s in seeds]
    for way, scores in ways.items()
}
if predicted("size_against_chance_at_half"):
    gap = by_size["smallest first"][0][5] - by_size["at random"][0][5]
    outcome("size_against_chance_at_half", gap, "points for our network")
    display(
        plots.curve(
            fractions,
            by_size,
            xlabel="share of all weights removed",
            ylabel="right on validation, %",
            title="What goes first makes the difference",
            percent_x=True,
        )
    )


# %% varies claim="size_beats_chance_by_far"
def smallest_against_random(seed):
    model, curve = trained("cnn", seed), yours_or_ours("removal_curve", removal_curve)
    (half,) = curve(model, importance.magnitude(model), [0.5], percent_right)
    (chance,) = curve(model, importance.random(model, seed), [0.5], percent_right)
    return {"lost": percent_right(model) - half, "gap": half - chance}


if predicted("size_against_chance_at_half"):
    display(
        claim(
            "size_beats_chance_by_far",
            smallest_against_random,
            holds=lambda lost, gap: lost.max() < 5 and gap.min() > 35,
            says=lambda lost, gap: (
                f"Without the smaller half of its weights a CNN lost {lost.max():.1f} points at "
                f"most. A random half left it {gap.min():.0f} points or more further down."
            ),
        )
    )

# %% [markdown]
# Size passes the trial, in every network and by far. That is the criterion to beat.

# %%
quiz("02", "section", "Step 3")

# %% [markdown]
# ## Step 4: ask the loss
#
# **Question.** Size needs no data, so it cannot know what a weight *does*. The loss does: its
# **gradient** says how steeply it answers when a weight moves. And setting a weight $w$ to zero is
# moving it by $-w$, so to a first approximation the loss changes by $-w \cdot$ gradient: the first
# term of a Taylor series. Squared, because a change in either direction is a change, this is the
# **Taylor score**.
#
# **Predict.** We remove 60 % of the CNN's weights. How many percent does it still get right if the
# weights with the smallest *gradients* go?

# %%
predict("right_by_gradient", ...)

# %% [markdown]
# A worked example: the gradient of one small loss, without leaving anything behind.
# `torch.autograd.grad` returns the gradients; `loss.backward()` would *add* them to `.grad`, where
# whatever was there before would be mixed in.

# %%
images, labels = digits.x_train[:3], digits.y_train[:3]
layer = nn.Linear(64, 10)
loss = cross_entropy(layer(images.flatten(1)), labels)
(slope,) = torch.autograd.grad(loss, [layer.weight])
print("one number for each weight:", tuple(slope.shape), " .grad:", layer.weight.grad)

# %% [markdown]
# **Exercise** `gradient_scores` · 3 points · about 20 minutes · difficulty 4 of 5
#
# `batches` is a list of pairs `(x, y)`. For each batch take the gradient of its mean cross-entropy
# (`cross_entropy(model(x), y)`) to each prunable weight, and its absolute value; the score is the
# mean over the batches, each counting the same whatever its size.
#
# Work in **eval mode**. Everything comes back as it was, after an error too: each module's mode,
# the buffers, and what stood in `.grad`. The keys are as in `magnitude_scores`.


# %% exercise="gradient_scores"
def gradient_scores(model, batches):
    """Mean size of each weight's gradient over the batches."""
    ### BEGIN SOLUTION
    weights = {name: model.get_parameter(name) for name in magnitude_scores(model)}
    if not weights:
        return {}
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for x, y in batches:
            loss = cross_entropy(model(x), y)
            gradients = torch.autograd.grad(loss, list(weights.values()))
            for name, gradient in zip(weights, gradients, strict=True):
                totals[name] += gradient.abs()
    finally:
        for module, mode in modes:
            module.training = mode
    return {name: total / len(batches) for name, total in totals.items()}
    ### END SOLUTION


# %% check="gradient_scores"
check("gradient_scores", gradient_scores)

# %% [markdown]
# **Exercise** `taylor_scores` · 2 points · about 8 minutes · difficulty 3 of 5
#
# The same, with another score: for each batch the **square of weight times gradient**, and the mean
# of these squares over the batches.


# %% exercise="taylor_scores"
def taylor_scores(model, batches):
    """Mean square of weight times gradient over the batches."""
    ### BEGIN SOLUTION
    weights = {name: model.get_parameter(name) for name in magnitude_scores(model)}
    if not weights:
        return {}
    totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for x, y in batches:
            loss = cross_entropy(model(x), y)
            gradients = torch.autograd.grad(loss, list(weights.values()))
            for name, gradient in zip(weights, gradients, strict=True):
                totals[name] += (weights[name].detach() * gradient) ** 2
    finally:
        for module, mode in modes:
            module.training = mode
    return {name: total / len(batches) for name, total in totals.items()}
    ### END SOLUTION


# %% check="taylor_scores"
check("taylor_scores", taylor_scores)

# %% [markdown]
# **See it.** All criteria so far, on the same networks.

# %% varies demo
slopes_of = yours_or_ours("gradient_scores", gradient_scores)
taylor_of = yours_or_ours("taylor_scores", taylor_scores)
shown = batches(64)
criteria = {
    "size": by_size["smallest first"],
    "Taylor": [],
    "gradient": [],
    "at random": by_size["at random"],
}
for seed in seeds:
    model = trained("cnn", seed)
    for criterion, score in (("Taylor", taylor_of), ("gradient", slopes_of)):
        criteria[criterion].append(curve_of(model, score(model, shown), fractions, percent_right))
if predicted("right_by_gradient"):
    outcome("right_by_gradient", criteria["gradient"][0][6], "% for our network")
    display(
        plots.curve(
            fractions,
            criteria,
            xlabel="share of all weights removed",
            ylabel="right on validation, %",
            title="Four criteria on the same networks",
            percent_x=True,
        )
    )


# %% varies claim="a_gradient_alone_is_not_enough"
def size_against_gradient(seed):
    model, curve = trained("cnn", seed), yours_or_ours("removal_curve", removal_curve)
    slopes = yours_or_ours("gradient_scores", gradient_scores)(model, batches(64))
    (by_gradient,) = curve(model, slopes, [0.6], percent_right)
    (by_size,) = curve(model, importance.magnitude(model), [0.6], percent_right)
    return {"gap": by_size - by_gradient}


if predicted("right_by_gradient"):
    display(
        claim(
            "a_gradient_alone_is_not_enough",
            size_against_gradient,
            holds=lambda gap: gap.mean() > 20 and gap.min() > 2,
            says=lambda gap: (
                f"At 60 % removed, going by size left a CNN {gap.mean():.0f} points above going "
                f"by the gradient, and {gap.min():.0f} above in the closest case."
            ),
        )
    )

# %% [markdown]
# The gradient alone is a poor guide. It says what a *small* step would do, and a large weight with
# a small slope is a long way from zero. You will find "gradient-based pruning" described as
# removing what has small gradients; what works is the product with the weight.
#
# Is Taylor better than size, then? An average can hide how networks differ, so look at each one.

# %% varies demo
if predicted("right_by_gradient"):
    display(
        plots.bars(
            [f"network {seed}" for seed in seeds],
            {
                criterion: [round(curve[8], 1) for curve in criteria[criterion]]
                for criterion in ("size", "Taylor")
            },
            ylabel="right on validation, %",
            title="80 % removed: who wins?",
        )
    )

# %% [markdown]
# Papers report Taylor ahead, usually for whole filters and with training afterwards. Here, for
# single weights and without it, the simple criterion holds its own, and the distance runs from
# nothing to a great deal. With one network and one share we could have told any story; with several
# we can only say that more knowledge does not win by itself.
#
# **How many batches?** Size needs no images. Taylor scores are averages over batches, and an
# average over few is a matter of luck.
#
# **Predict.** 70 % of the weights go by Taylor scores from batches of 16 images. How many points
# better is the network if 62 batches were averaged (nearly all the training images) instead of one?

# %%
predict("points_from_more_batches", ...)

# %% varies demo
counts = [1, 2, 4, 8, 16, 32, 62]
with_more = [
    [
        curve_of(
            trained("cnn", s), taylor_of(trained("cnn", s), batches(16, n)), [0.7], percent_right
        )[0]
        for n in counts
    ]
    for s in range(3)
]
if predicted("points_from_more_batches"):
    outcome("points_from_more_batches", with_more[0][-1] - with_more[0][0], "points")
    display(
        plots.curve(
            counts,
            {"70 % removed by Taylor scores": with_more},
            xlabel="batches of 16 images that the scores were averaged over",
            ylabel="right on validation, %",
            title="A Taylor score is an estimate",
        )
    )


# %% varies claim="taylor_needs_many_batches"
def few_batches_and_many(seed):
    model, curve = trained("cnn", seed), yours_or_ours("removal_curve", removal_curve)
    score = yours_or_ours("taylor_scores", taylor_scores)
    one, many = (
        curve(model, score(model, batches(16, count)), [0.7], percent_right)[0] for count in (1, 62)
    )
    return {"gain": many - one}


if predicted("points_from_more_batches"):
    display(
        claim(
            "taylor_needs_many_batches",
            few_batches_and_many,
            holds=lambda gain: gain.mean() > 12 and gain.min() > 0,
            says=lambda gain: (
                f"At 70 % removed, Taylor scores from 62 batches of 16 images instead of one left "
                f"{gain.mean():.0f} points more, and {gain.min():.0f} more in the closest case."
            ),
        )
    )

# %% [markdown]
# In a trained network most images are right and have gradients near zero, so a few images decide
# the scores, and it is luck which of them are in a batch. Whoever reports "Taylor" without saying
# on how many batches, and of what size, has not said what they did.

# %%
quiz("02", "section", "Step 4")

# %% [markdown]
# ## Step 5: the same function in other numbers
#
# **Question.** Is a small weight unimportant because it is small? Here is a test. A ReLU lets
# positive factors through: `relu(8 * z)` is `8 * relu(z)`. So multiply `fc1`, weights and biases,
# by 8, and divide the weights of `fc2`, which reads it, by 8. Nothing changes in what the network
# computes.


# %%
def rescaled(model, factor=8):
    """A network that computes the same with larger weights in fc1 and smaller ones in fc2."""
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.fc1.weight *= factor
        twin.fc1.bias *= factor
        twin.fc2.weight /= factor
    return twin


network = trained("cnn", 0)
twin = rescaled(network)
with torch.no_grad():
    same = torch.equal(network(digits.x_val), twin(digits.x_val))
print("every output the same, to the last bit:", same)

# %% [markdown]
# (To the last bit, because 8 is a power of two and only the exponents of the numbers change.)
#
# **Predict.** The CNN could lose its smallest 30 % for next to nothing. How many percent does its
# twin still get right without *its* smallest 30 %?

# %%
predict("right_after_rescaling", ...)

# %% varies demo
curve_of = yours_or_ours("removal_curve", removal_curve)
taylor_of = yours_or_ours("taylor_scores", taylor_scores)
if predicted("right_after_rescaling"):
    twentieths = [n / 20 for n in range(13)]
    lines = {
        f"{who}, by {what}": curve_of(model, scores, twentieths, percent_right)
        for who, model in (("network", network), ("its twin", twin))
        for what, scores in (
            ("size", importance.magnitude(model)),
            ("Taylor", taylor_of(model, batches(64))),
        )
    }
    outcome("right_after_rescaling", lines["its twin, by size"][6], "%")
    display(
        plots.curve(
            twentieths,
            lines,
            xlabel="share of all weights removed",
            ylabel="right on validation, %",
            title="One function, two sets of numbers",
            percent_x=True,
        )
    )


# %% varies claim="size_depends_on_scale"
def network_and_twin(seed):
    model, curve = trained("cnn", seed), yours_or_ours("removal_curve", removal_curve)
    taylor = yours_or_ours("taylor_scores", taylor_scores)
    other = rescaled(model)
    figures = {}
    for what, score in (
        ("size", importance.magnitude),
        ("taylor", lambda m: taylor(m, batches(64, 4))),
    ):
        before, after = (curve(m, score(m), [0.3], percent_right)[0] for m in (model, other))
        figures[what] = before - after
    with torch.no_grad():
        figures["outputs"] = (model(digits.x_val) - other(digits.x_val)).abs().max().item()
    return figures


if predicted("right_after_rescaling"):
    display(
        claim(
            "size_depends_on_scale",
            network_and_twin,
            holds=lambda size, taylor, outputs: (
                outputs.max() == 0 and size.min() > 40 and abs(taylor).max() < 0.5
            ),
            says=lambda size, taylor, outputs: (
                f"The outputs differed by {outputs.max():g}. Removing 30 % by size cost the "
                f"rescaled network {size.min():.0f} points more, or worse; removing them by Taylor "
                f"scores cost it {abs(taylor).max():.0f} points more."
            ),
        )
    )

# %% [markdown]
# Three of the lines lie on top of one another; only the twin that is pruned by size falls. **Small
# is not unimportant whatever the scale.** The twin's `fc2` is small, and nothing gets past
# without it. Size works as well as it did because ordinary training leaves the layers with scales
# that suit one another. That is a habit of training, not a law.
#
# The Taylor score does not care: if $w$ becomes 8 times as large, the gradient becomes 8 times
# smaller, and the product stays. Ranking each layer by itself would help as well here (though not
# if each neuron had a factor of its own).
#
# In front of a BatchNorm it goes further: it divides by the spread of what comes in, so whatever
# positive factor a filter carries is taken out again. (Here in training mode, where the spread is
# the batch's own. In eval mode the stored spread would have to be scaled with it.)

# %% varies
louder = copy.deepcopy(network).train()
with torch.no_grad():
    before = louder(digits.x_train[:64])
    louder.conv1.weight *= 100
    after = louder(digits.x_train[:64])
print(f"conv1 times 100: outputs change by {(after - before).abs().max():.2f} of")
print(f"                 {before.abs().max():.2f} at most")

# %%
quiz("02", "section", "Step 5")

# %% [markdown]
# ## Step 6: the truth, for a few
#
# **Question.** All scores are guesses. For a few things one can afford to find out: leave one out,
# and measure the loss without it. We do it for the 32 filters of `conv1`, one after the other. Do
# the guesses put them in the right order?
#
# Two rankings are compared by their **rank correlation**: 1 if they agree, -1 if one is the other
# backwards, around 0 if they have nothing to do with each other.


# %%
def rank_correlation(a, b):
    """The correlation of the ranks (Spearman's), for values without ties."""
    ranks = torch.stack([values.argsort().argsort().double() for values in (a, b)])
    return torch.corrcoef(ranks)[0, 1].item()


print(round(rank_correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 50.0, 70.0])), 2))
print(round(rank_correlation(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([9.0, 1.0, 0.0])), 2))

# %% [markdown]
# **Predict.** A filter's "size" is the sum of its weights' sizes, its L1 norm. What is the rank
# correlation between it and the damage of losing the filter, on average over several networks?

# %%
predict("norm_against_truth", ...)


# %%
def loss_without(model, channels):
    """Validation loss with some output channels of conv1 silenced, behind their ReLU."""
    gate = torch.ones(1, model.conv1.out_channels, 1, 1)
    gate[:, channels] = 0
    hook = model.relu1.register_forward_hook(lambda module, inputs, output: output * gate)
    try:
        with torch.no_grad():
            return cross_entropy(model(digits.x_val), digits.y_val).item()
    finally:
        hook.remove()


@cache
def damage(seed):
    """What the loss gains when each filter of conv1 is left out, one at a time."""
    model = trained("cnn", seed)
    whole = loss_without(model, [])
    filters = range(model.conv1.out_channels)
    return torch.tensor([loss_without(model, [filter_]) - whole for filter_ in filters])


# %% varies demo
taylor_of = yours_or_ours("taylor_scores", taylor_scores)
guesses = {
    "L1 norm": importance.magnitude,
    "mean\nactivation": lambda model: importance.activation(model, batches(64)),
    "share of\nnonzeros": lambda model: importance.apoz(model, batches(64)),
    "Taylor,\nsummed": lambda model: taylor_of(model, batches(64)),
    "at random": lambda model: importance.random(model, 0),
}
agreement = {
    guess: [
        rank_correlation(score(trained("cnn", s))["conv1.weight"].flatten(1).sum(1), damage(s))
        for s in seeds
    ]
    for guess, score in guesses.items()
}
means = {guess: sum(values) / len(values) for guess, values in agreement.items()}
if predicted("norm_against_truth"):
    outcome("norm_against_truth", means["L1 norm"])
    display(
        plots.bars(
            list(means),
            [round(mean, 2) for mean in means.values()],
            errors=[torch.tensor(values).std().item() for values in agreement.values()],
            ylabel="rank correlation with the damage",
            title="Who knows which filter of conv1 matters?",
        )
    )


# %% varies claim="norms_before_batchnorm_say_little"
def guesses_against_truth(seed):
    model = trained("cnn", seed)
    taylor = yours_or_ours("taylor_scores", taylor_scores)(model, batches(64))
    return {
        "norm": rank_correlation(model.conv1.weight.detach().abs().flatten(1).sum(1), damage(seed)),
        "taylor": rank_correlation(taylor["conv1.weight"].flatten(1).sum(1), damage(seed)),
    }


if predicted("norm_against_truth"):
    display(
        claim(
            "norms_before_batchnorm_say_little",
            guesses_against_truth,
            holds=lambda norm, taylor: (
                abs(norm.mean()) < 0.35 and taylor.mean() > 0.1 and taylor.mean() > norm.mean()
            ),
            says=lambda norm, taylor: (
                f"The L1 norm of a filter and the damage of losing it had a rank correlation of "
                f"{norm.mean():.2f} on average; with Taylor scores it was {taylor.mean():.2f}."
            ),
        )
    )

# %% [markdown]
# For the filters of this layer the norm is no better than dice, and now you know why: a BatchNorm
# follows, which takes the scale out. Taylor does better on average, though not evenly (the error
# bars are standard deviations over the networks). The two that look at activations fare no better
# than the norm.
#
# Even the truth has a limit, though: it is about *one* filter at a time. Do the damages add up?
#
# **Predict.** How many times as large as the sum is the damage of removing the 16 most dispensable
# filters together?

# %%
predict("together_against_sum", ...)


# %% varies claim="importance_does_not_add_up"
def together_and_one_by_one(seed):
    single = damage(seed)
    least = single.argsort()[:16]
    model = trained("cnn", seed)
    together = loss_without(model, least) - loss_without(model, [])
    return {"sum": single[least].sum().item(), "together": together}


if predicted("together_against_sum"):
    both = together_and_one_by_one(0)
    outcome("together_against_sum", both["together"] / both["sum"], "times for our network")
    display(
        claim(
            "importance_does_not_add_up",
            together_and_one_by_one,
            holds=lambda sum, together: (together > 2 * sum).all(),
            says=lambda sum, together: (
                f"The 16 most dispensable filters, left out one at a time, raised the loss by "
                f"{sum.mean():.3f} in total; left out together, by {together.mean():.2f}."
            ),
        )
    )

# %% [markdown]
# Importance does not add up. Where two filters do the same work, each can go, and not both. That is
# one reason why pruning is often done in rounds with training in between (lesson 06).

# %%
quiz("02", "section", "Step 6")

# %% [markdown]
# ## Step 7: neurons that hardly speak
#
# **Question.** Here is another popular idea: look at what flows. A neuron that is silent for most
# images cannot matter much, so remove the quietest. We try it on the LeNet, whose first hidden
# layer has 300 neurons with a ReLU behind each.
#
# **Exercise** `average_zeros` · 1 point · about 7 minutes · difficulty 2 of 5
#
# Given an activation of shape (N, C) or (N, C, ...), return a tensor with the share of exact zeros
# for each channel C, over all images and positions. An activation without a channel dimension
# raises `ValueError`.


# %% exercise="average_zeros"
def average_zeros(activations):
    """The share of zeros of each channel."""
    ### BEGIN SOLUTION
    if activations.dim() < 2:
        raise ValueError(f"{tuple(activations.shape)} has no dimension for channels")
    zeros = (activations == 0).double()
    return zeros.transpose(0, 1).flatten(1).mean(dim=1)
    ### END SOLUTION


# %% check="average_zeros"
check("average_zeros", average_zeros)

# %% [markdown]
# **Exercise** `quiet_neurons` · 1 point · about 8 minutes · difficulty 2 of 5
#
# Given an activation of shape (N, F), a row for each image and a column for each neuron, return the
# indices (int64, ascending) of the neurons that are **above zero** on **less than** the threshold
# share of the rows. Another number of dimensions, or a threshold outside 0 to 1, raises
# `ValueError`.


# %% exercise="quiet_neurons"
def quiet_neurons(activations, threshold):
    """Which columns are above zero in too few rows."""
    ### BEGIN SOLUTION
    if activations.dim() != 2:
        raise ValueError(f"rows and columns are needed, not {tuple(activations.shape)}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"a share lies between 0 and 1, and {threshold} does not")
    above = (activations > 0).double().mean(dim=0)
    return torch.nonzero(above < threshold).flatten()
    ### END SOLUTION


# %% check="quiet_neurons"
check("quiet_neurons", quiet_neurons)

# %% [markdown]
# **See it.** How often do the 300 neurons speak, on the training images?


# %%
@cache
def hidden(seed):
    """What the first hidden layer of the LeNet says to the training images."""
    model, seen = trained("lenet", seed), []
    hook = model.relu1.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        model(digits.x_train)
    hook.remove()
    return seen[0]


def without_neurons(seed, gone, into_bias=False):
    """Percent right of the LeNet without these neurons of its first hidden layer."""
    model = copy.deepcopy(trained("lenet", seed))
    with torch.no_grad():
        if into_bias:  # the next layer keeps what they said on average
            model.fc2.bias += model.fc2.weight[:, gone] @ hidden(seed)[:, gone].mean(0)
        model.fc2.weight[:, gone] = 0
    return percent_right(model)


# %% varies demo
silence = yours_or_ours("average_zeros", average_zeros)(hidden(0))
never = yours_or_ours("quiet_neurons", quiet_neurons)(hidden(0), 0.01)
fifths = torch.histc(silence, bins=5, min=0, max=1).int().tolist()
display(
    plots.bars(
        ["0-20 %", "20-40 %", "40-60 %", "60-80 %", "80-100 %"],
        fifths,
        ylabel="neurons",
        xlabel="share of the images on which a neuron is silent",
        title="On how many images is a neuron of the LeNet silent?",
    )
)
print(f"above zero on fewer than 1 % of the training images: {len(never)} of {len(silence)}")
print(f"all neurons: {percent_right(trained('lenet', 0)):.1f} % right; ", end="")
print(f"without those: {without_neurons(0, never):.1f} % right")

# %% [markdown]
# The ones that (almost) never speak can go, as expected. There are few of them. So let us go on
# removing the quietest until half of the layer is gone.
#
# **Predict.** The loss of a random half of these neurons does the LeNet little harm. How many
# percent are right without the *quieter* half?

# %%
predict("right_without_the_quiet", ...)

# %% varies demo
half = hidden(0).shape[1] // 2
ways = {
    "quietest": lambda s: hidden(s).gt(0).double().mean(0).argsort()[:half],
    "loudest": lambda s: hidden(s).gt(0).double().mean(0).argsort()[half:],
    "lowest mean\nactivation": lambda s: hidden(s).mean(0).argsort()[:half],
    "smallest\nL2 norm": lambda s: trained("lenet", s).fc1.weight.norm(dim=1).argsort()[:half],
    "at random": lambda s: torch.randperm(2 * half, generator=torch.Generator().manual_seed(s))[
        :half
    ],
}
left = {
    way: torch.tensor([without_neurons(s, choose(s)) for s in seeds])
    for way, choose in ways.items()
}
if predicted("right_without_the_quiet"):
    outcome("right_without_the_quiet", left["quietest"][0].item(), "% for our network")
    display(
        plots.bars(
            list(left),
            [round(right.mean().item(), 1) for right in left.values()],
            errors=[right.std().item() for right in left.values()],
            ylabel="right on validation, %",
            title="Without half of the neurons: which half?",
        )
    )


# %% varies claim="quiet_is_not_unimportant"
def quiet_half(seed):
    above = hidden(seed).gt(0).double().mean(0)
    quiet = above.argsort()[: len(above) // 2]
    dice = torch.Generator().manual_seed(seed)
    chance = [without_neurons(seed, torch.randperm(300, generator=dice)[:150]) for _ in range(5)]
    silent = (above == 0).nonzero().flatten()
    return {
        "silent": abs(without_neurons(seed, silent) - percent_right(trained("lenet", seed))),
        "gap": sum(chance) / len(chance) - without_neurons(seed, quiet),
        "repair": without_neurons(seed, quiet, into_bias=True) - without_neurons(seed, quiet),
    }


if predicted("right_without_the_quiet"):
    display(
        claim(
            "quiet_is_not_unimportant",
            quiet_half,
            holds=lambda silent, gap, repair: (
                silent.max() < 2 and gap.min() > 5 and gap.mean() > 15 and repair.min() > 3
            ),
            says=lambda silent, gap, repair: (
                f"Neurons that never speak can go: {silent.max():.1f} points changed at most. But "
                f"without the quieter half a LeNet was {gap.mean():.0f} points worse than without "
                f"a random half, and {gap.min():.0f} worse in the closest case. Leaving the next "
                f"layer what they said on average won {repair.mean():.0f} points back."
            ),
        )
    )

# %% [markdown]
# Worse than chance, in every network. Why? The repair, at the end of that claim, gives it away.
# Quiet and loud neurons do different work: the loud ones speak for nearly every image, whatever it
# shows, the quieter ones for some and not for others. Take away a random half, and both kinds
# shrink together: all sums in the next layer get smaller, and the largest often stays the largest.
# Take away one kind, and the sums *tilt*. Adding to the next layer's biases what the removed
# neurons said on average straightens them, and much of the accuracy returns. (Removing the *loud*
# half tilts them too.)
#
# So: silent always, remove it; seldom heard, that says little. And how often a neuron speaks is one
# thing, how much its words weigh another.

# %%
quiz("02", "section", "Step 7")

# %% [markdown]
# ## Step 8: who chooses?
#
# **Question.** You could also do without any criterion: try many random masks and keep the best.
# Let us do that, with the LeNet: 200 masks, each removing a random half of its weights. 50 of the
# validation images choose. The other validation images are fresh: they had no say.
#
# **Predict.** The best of the 200 has a figure on the 50 images that chose it, and one on the fresh
# images. How many points are between them, on average over many draws of the 50?

# %%
predict("points_of_optimism", ...)


# %%
@cache
def right_of_masks(seed, masks=200):
    """Which validation images each randomly pruned LeNet gets right: (masks, images)."""
    pruned = copy.deepcopy(trained("lenet", seed))
    weights = measure.prunable_weights(pruned)
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    dice, right = torch.Generator().manual_seed(seed), []
    with torch.no_grad():
        for _ in range(masks):
            for name, weight in weights.items():
                weight.copy_(before[name] * (torch.rand(weight.shape, generator=dice) >= 0.5))
            right.append(pruned(digits.x_val).argmax(1) == digits.y_val)
    return torch.stack(right).double()


def best_of(seed, candidates, choosing=50, draws=100):
    """The best mask's percent right on the images that chose it, and on fresh ones."""
    dice, on_its_own, on_fresh = torch.Generator().manual_seed(seed), 0.0, 0.0
    for _ in range(draws):
        images = torch.randperm(len(digits.y_val), generator=dice)
        masks = torch.randperm(200, generator=dice)[:candidates]
        right = right_of_masks(seed)[masks]
        own, fresh = (right[:, some].mean(1) for some in (images[:choosing], images[choosing:]))
        on_its_own += 100 * own.max().item() / draws
        on_fresh += 100 * fresh[own.argmax()].item() / draws
    return on_its_own, on_fresh


# %% varies demo
if predicted("points_of_optimism"):
    tried = [1, 2, 5, 10, 20, 50, 100, 200]
    own, fresh = zip(*(best_of(0, candidates) for candidates in tried), strict=True)
    outcome("points_of_optimism", own[-1] - fresh[-1], "points")
    display(
        plots.curve(
            tried,
            {"on the images that chose": own, "on fresh images": fresh},
            xlabel="masks to choose from",
            ylabel="right, %, of the best",
            title="The more one tries, the more one flatters oneself",
        )
    )


# %% varies claim="choosing_flatters"
def flattery(seed):
    (one, one_fresh), (best, best_fresh) = (best_of(seed, candidates) for candidates in (1, 200))
    return {"one": abs(one - one_fresh), "best": best - best_fresh}


if predicted("points_of_optimism"):
    display(
        claim(
            "choosing_flatters",
            flattery,
            holds=lambda one, best: one.max() < 3 and best.min() > 3,
            says=lambda one, best: (
                f"A single mask did as well on 50 images as on the others, within "
                f"{one.max():.1f} points. The best of 200 looked {best.mean():.0f} points better "
                f"on the images that chose it than on fresh ones, and {best.min():.0f} at least."
            ),
        )
    )

# %% [markdown]
# Choosing was not wrong: the best mask is better on fresh images too. Its *figure* is wrong,
# because the luck that made it win is in it. The more candidates and the fewer images, the more.
#
# This is why the test images stay closed while you compare criteria, layers and shares, and why a
# method that was chosen on the test images has no honest figure left. Validation images wear out
# the same way: by the end of a project they have chosen a lot.
#
# ### Which criterion, then?
#
# | criterion | needs | verdict here |
# |---|---|---|
# | size | nothing | the one to beat for single weights; says little where scales differ |
# | gradient | images | poor by itself |
# | Taylor | many images | indifferent to scale, the better guess for filters; unsteady |
# | never active | images | safe, but there are few |
# | seldom active, small mean | images | worse than chance in our LeNet |
# | leaving one out | much time | true for one, not for many at once |

# %%
quiz("02", "section", "Step 8")

# %% [markdown]
# ## Pitfalls
#
# **A percentile with `>`.** You will often find a global threshold computed with `np.percentile`,
# and everything above it kept. It looks right, and nearly is. But asked for nothing, it removes
# something: the 0th percentile is the smallest weight, which is not *above* itself.

# %%
row = torch.cat([s.flatten() for s in importance.magnitude(network).values()]).numpy()
for share in (0.0, 0.5):
    kept = (row > np.percentile(row, 100 * share)).sum()
    print(f"asked to remove {round(share * len(row)):6,}, removed {len(row) - kept:6,}")

# %% [markdown]
# **Ties and thresholds.** The real trouble is ties, and they are common: in a network stored with
# few bits, many weights have the very same size. Here the weights are rounded to multiples of 1/64.
# A threshold takes all of a tie; counting takes what was asked for.

# %%
rounded = np.round(row * 64) / 64
limit = np.percentile(rounded, 20)
print(f"asked to remove 20 %: a threshold takes {100 * (rounded <= limit).mean():.0f} %")
lowest = np.argsort(rounded, kind="stable")[: round(0.2 * len(rounded))]
print(f"                      counting takes {100 * len(lowest) / len(rounded):.0f} %")

# %% [markdown]
# **Scoring in training mode.** A forward pass in training mode changes the network that one only
# wanted to look at: BatchNorm updates its averages, little or much. And dropout would make the
# scores random.

# %% varies
model = copy.deepcopy(network).train()
mean = model.bn3.running_mean.clone()
for x, _ in batches(64):
    model(x)
moved = ((model.bn3.running_mean - mean).abs() / model.bn3.running_var.sqrt()).max()
print(f"looking at the images once moved a running mean by {moved:.3f} standard deviations")

# %% [markdown]
# **Zeroing a filter is not leaving it out.** Behind a BatchNorm a filter of zeros still says
# something, the same at every place of every image. In step 6 we silenced the channel *behind* its
# ReLU for that reason. Lesson 05 removes it for good.

# %% varies
model = copy.deepcopy(network)
with torch.no_grad():
    model.conv1.weight.zero_()
    spoken = model.relu1(model.bn1(model.conv1(digits.x_val)))
still = (spoken.amax((0, 2, 3)) > 0).sum()
print(f"all {len(model.conv1.weight)} filters are zero, and {still} channels are not")

# %%
quiz("02", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A colleague removes every weight below 0.01 "because small weights do not matter". Describe
# a network in which this would be a disaster although it computes exactly the same as theirs, and
# name a score that would not be fooled.

# %% [markdown] written="why_small_may_matter" points=2
# <!-- BEGIN SOLUTION -->
# Multiply the weights and biases of a layer in front of a ReLU by a large positive factor and
# divide the weights of the next layer by it. The outputs are the same, but the next layer's weights
# are all below 0.01 and would all go. Weight times gradient is not fooled: the one grows by the
# factor by which the other shrinks.
#
# *Marking: 1 point for a rescaling that keeps the function and why it does; 1 for weight times
# gradient (or another criterion that does not depend on the scale) with the reason.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** Removing the quietest half of the neurons did more harm than removing a random half.
# Explain why, and what the comparison with the random half was needed for.

# %% [markdown] written="why_quiet_is_not_useless" points=2
# <!-- BEGIN SOLUTION -->
# Quiet neurons are of one kind: they speak for some images and not for others. Without them the
# sums of the next layer are shifted in one direction, while a random half shrinks all of them
# alike. Without the comparison one might have thought that half of the neurons is simply too much
# to lose.
#
# *Marking: 1 point for "one kind goes, the sums tilt" or the repair by means; 1 for what the
# comparison rules out.*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** A paper tries 40 variants and reports the test accuracy of the best one on the test set.
# What is wrong with the figure, and what should have been done?

# %% [markdown] written="why_the_test_must_not_choose" points=1
# <!-- BEGIN SOLUTION -->
# The best of many on some images owes part of its figure to luck on these very images, so fresh
# images will confirm less. The variants should have been compared on validation images, and the
# chosen one measured once on the test images.
#
# *Marking: half a point for the optimism, half for separate images.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# How far can we go by size alone, without any training? We remove more and more, in steps of five
# percent, as long as no more than one point is lost on the validation images.

# %% varies demo
curve_of = yours_or_ours("removal_curve", removal_curve)
steps = [twentieth / 20 for twentieth in range(20)]
scores = importance.magnitude(network)
right = curve_of(network, scores, steps, percent_right)
farthest = max(step for step, percent in zip(steps, right, strict=True) if percent >= right[0] - 1)
kept = []
curve_of(network, scores, [farthest], lambda model: kept.append(copy.deepcopy(model)))
pruned = kept[0]
print(f"{100 * farthest:.0f} % of the weights are zero now")
enter("02", f"the smallest {100 * farthest:.0f} % zero", pruned)

# %% [markdown]
# Many weights are gone, the accuracy is within the budget, and the file, the
# multiplications and the time are what they were. We know by now *which* weights can go. How to
# keep them out, and how to gain from it, is what the next lessons are about.

# %% [markdown]
# ## The last step: the test images
#
# The share above was chosen on the validation images, so its figure there may be a little
# flattered. Nothing is chosen any more: what do the test images say? Compare the two rows within a
# column, since the test images may be easier or harder for both networks.

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
print("                   validation     test")
for what, model in (("all weights", network), (f"{100 * (1 - farthest):.0f} % left", pruned)):
    on_test = 100 * accuracy(model, x_test, y_test)
    print(f"{what:17} {percent_right(model):10.1f} % {on_test:6.1f} %")

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("02", "exit")

# %% [markdown]
# ## Recap
#
# - A score guesses what a weight is worth; a removal curve and a random control say what the score
#   is worth.
# - Size is simple and hard to beat for single weights, as long as scales can be compared. The
#   function does not determine the sizes.
# - Weight times gradient does not depend on the scale, but it is an estimate: say on how many
#   images.
# - Name a share, not a threshold; and where scores tie, count.
# - Seldom active is not unimportant. Never active is.
# - What was chosen looks better where it was chosen. Test images choose nothing.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of the lessons before may be due
# today.

# %%
enrol("02")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - M. Mozer and P. Smolensky, *Skeletonization*, 1988: asking the gradient what a unit is worth.
# - Y. LeCun, J. Denker, S. Solla, *Optimal Brain Damage*, 1989: why the slope alone cannot be
#   enough, and what curvature adds.
# - P. Molchanov and others, *Importance Estimation for Neural Network Pruning*, 2019 (arXiv
#   1906.10771): Taylor scores, compared with leaving filters out.
# - H. Hu and others, *Network Trimming*, 2016 (arXiv 1607.03250): APoZ, which works by rounds with
#   training in between.
# - D. Blalock and others, *What is the State of Neural Network Pruning?*, 2020 (arXiv 2003.03033):
#   how to compare so that it means something.
