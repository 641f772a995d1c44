# %% [markdown]
# # 03 · Unstructured pruning
#
# **About 120 minutes · difficulty 3 of 5**
#
# You will be able to
#
# - make masks by magnitude, layer by layer or in one ranking, exact to the weight;
# - say when one ranking is better, and when it empties a layer;
# - train a pruned network so that its zeros stay zero, whatever the optimizer remembers;
# - say what zeros buy, what they do not, and what an N:M pattern changes about that.
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

quiz("03", "pretest")

# %% [markdown]
# ## Overview
#
# *Unstructured* pruning removes single weights, wherever they sit. You will do it by hand: choose
# the weights, write zeros, keep them zero while training goes on. We follow a network from a fifth
# of its weights removed to nearly all of them, see two ways of choosing beat one another, and watch
# the network recover. At the end we present the bill: what did all those zeros save?

# %% [markdown]
# ## Key concepts
#
# - **Mask**: a tensor of the weight's shape that holds 1 (or True) where the weight stays and 0 (or
#   False) where it goes.
# - **Layer-wise pruning**: every layer loses the same share. **Global pruning**: all weights of the
#   network are ranked together, and a layer loses what it loses.
# - **One shot**: pruned once, in one go; here, with no training afterwards. **Fine-tuning**:
#   training on after pruning, with the masks held.
# - **Layer collapse**: a layer loses (nearly) all its weights, and nothing passes through it.
# - **N:M sparsity**: of every M consecutive weights, N stay. 2:4 is what some GPUs can skip.

# %%
import copy
from functools import cache

import numpy as np
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
trained = cache(models.load)  # claims ask for the same networks several times


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * accuracy(model, digits.x_val, digits.y_val)


# %% [markdown]
# ## Step 1: a mask by hand
#
# **Question.** In lesson 00 the smallest fifth of the weights could go. Why does that cost so
# little? Look at one layer, `fc1`: suppose the smaller **half** of its weights goes. Add up the
# sizes of those weights, and the sizes of all.
#
# **Predict.** How many percent of the layer's total size goes with the smaller half of its weights?

# %%
predict("size_in_the_smaller_half", ...)

# %% [markdown]
# A worked example first. Five weights, two of which go. The mask is made of *places*: which places
# hold the smallest sizes?

# %%
five = torch.tensor([0.5, -3.0, 2.0, -0.1, 1.0])
places = five.abs().argsort()  # from the smallest size to the largest
example_mask = torch.ones(5)
example_mask[places[:2]] = 0
print("places, smallest first:", places.tolist())
print("mask                  :", example_mask.tolist())
print("what is left          :", (five * example_mask).tolist())

# %% [markdown]
# Why places, and not "all weights below a limit"? Because several weights can have the very same
# size, and then no limit gives the share you asked for. Counting places always does. (And yes, one
# zero has a minus sign. You will meet it again under Pitfalls.)
#
# **Exercise** `magnitude_mask` · 2 points · about 15 minutes · difficulty 2 of 5
#
# `weight` is a tensor of any shape, `sparsity` the share to **remove**. Return a mask of the same
# shape with exactly `round(sparsity * weight.numel())` zeros, at the smallest magnitudes. If
# several tie for the last place, any choice of the right number is right. A sparsity that is not a
# share from 0 to 1 (NaN included) raises `ValueError` with a sentence.


# %% exercise="magnitude_mask"
def magnitude_mask(weight, sparsity):
    """A mask with zeros at the smallest magnitudes."""
    ### BEGIN SOLUTION
    if not 0 <= sparsity <= 1:
        raise ValueError(f"the sparsity must lie between 0 and 1, and is {sparsity}")
    sizes = weight.abs().flatten()
    smallest = sizes.argsort()[: round(sparsity * len(sizes))]
    mask = torch.ones(len(sizes), dtype=torch.bool)
    mask[smallest] = False
    return mask.view(weight.shape)
    ### END SOLUTION


# %% check="magnitude_mask"
check("magnitude_mask", magnitude_mask)

# %% [markdown]
# **See it.** First the sizes, then the mask at work on the last layer, `fc2`: each row of the
# picture is one digit, each column one of the inputs it listens to.

# %%
mask_of = yours_or_ours("magnitude_mask", magnitude_mask)

# %% varies demo
half = mask_of(network.fc1.weight, 0.5)
if predicted("size_in_the_smaller_half"):
    sizes = network.fc1.weight.detach().abs()
    outcome("size_in_the_smaller_half", 100 * (sizes[~half.bool()].sum() / sizes.sum()), "%")
    last = network.fc2.weight.detach()
    display(
        plots.weights_as_picture(
            last, last * mask_of(last, 0.5), title="The smaller half of fc2's weights removed"
        )
    )

# %% [markdown]
# Half of the weights is far less than half of the layer: most weights are small, and a few are
# large. Notice that the holes follow no pattern. That is what *unstructured* means, and it will
# matter in the last two steps.

# %%
quiz("03", "section", "Step 1")

# %% [markdown]
# ## Step 2: one ranking, or one for each layer?
#
# **Question.** We want half of all weights to go. One may take half of each layer. Or one may rank
# all weights of the network together and take the smaller half of that one long row: **global**
# pruning. Is a global 50 % not the same 50 % everywhere?
#
# **Predict.** How many percent of the first convolution, `conv1`, go when half of the network goes
# in one ranking?

# %%
predict("conv1_gone_at_half", ...)

# %% [markdown]
# **Exercise** `global_masks` · 3 points · about 15 minutes · difficulty 3 of 5
#
# `weights` is a dictionary from names to tensors. Return a dictionary from the same names to masks,
# made by **one ranking over all tensors**: exactly `round(sparsity * total)` zeros in all, wherever
# they fall, even if a tensor loses everything. Shapes may differ; no weights at all give `{}`; a
# sparsity outside 0 to 1 raises `ValueError`.


# %% exercise="global_masks"
def global_masks(weights, sparsity):
    """Masks by name, from one ranking over all tensors."""
    ### BEGIN SOLUTION
    if not 0 <= sparsity <= 1:
        raise ValueError(f"the sparsity must lie between 0 and 1, and is {sparsity}")
    row = torch.cat([torch.zeros(0), *(weight.abs().flatten() for weight in weights.values())])
    keep = torch.ones(len(row), dtype=torch.bool)
    keep[row.argsort()[: round(sparsity * len(row))]] = False
    pieces = keep.split([weight.numel() for weight in weights.values()])
    return {
        name: piece.view(weights[name].shape) for name, piece in zip(weights, pieces, strict=True)
    }
    ### END SOLUTION


# %% check="global_masks"
check("global_masks", global_masks)

# %% [markdown]
# **See it.** `measure.prunable_weights` gives the weights of a model's convolutions and linear
# layers by name.

# %%
rank_all = yours_or_ours("global_masks", global_masks)


def layerwise_masks(weights, sparsity):
    """The same share from each layer."""
    return {name: mask_of(weight, sparsity) for name, weight in weights.items()}


# %% varies demo
weights = measure.prunable_weights(network)
masks = {"global": rank_all(weights, 0.5), "layer-wise": layerwise_masks(weights, 0.5)}
gone = {how: [measure.sparsity(mask) for mask in by.values()] for how, by in masks.items()}
if predicted("conv1_gone_at_half"):
    outcome("conv1_gone_at_half", 100 * gone["global"][0], "%")
    layers = [name.removesuffix(".weight") for name in weights]
    display(
        plots.bars(
            layers,
            gone,
            ylabel="removed",
            title="Half of the network, in two ways",
            percent=True,
        )
    )
    for name, weight in weights.items():
        inputs = weight[0].numel()
        print(f"{name:13} typical size {weight.abs().median():.3f}, {inputs} inputs per output")

# %% [markdown]
# A global 50 % is 50 % of the *network*: it nearly spares one layer at the expense of others. The
# list tells why. A layer starts out with weights whose size depends on how many inputs each of its
# outputs adds up: many inputs, small weights. Training changes that less than one might think. So
# one ranking takes mostly from layers with many inputs. Those are large layers, and large layers
# have the most to spare: a lucky coincidence, on which much of the success of global magnitude
# pruning rests. Step 4 shows what happens when luck runs out.

# %%
quiz("03", "section", "Step 2")

# %% [markdown]
# ## Step 3: how far without training?
#
# A mask alone changes nothing; it must be applied. It is only one line, and there are still ways to
# get it wrong.
#
# **Exercise** `apply_masks` · 2 points · about 10 minutes · difficulty 2 of 5
#
# Zero **in place** what the masks do not keep. `masks` is a dictionary from parameter names to
# masks (bool, or 0 and 1 of any number type).
#
# - The parameters stay the same objects, because optimizers hold on to them; gradients and modes
#   stay as they are, and so does every parameter without a mask.
# - A weight that stays keeps its value. A masked one becomes 0 whatever it was, NaN or infinity
#   too.
# - A name that the model does not have, or a mask of another shape than its parameter, raises
#   `ValueError`.


# %% exercise="apply_masks"
def apply_masks(model, masks):
    """Zero the masked weights in place."""
    ### BEGIN SOLUTION
    parameters = dict(model.named_parameters())
    for name, keep in masks.items():
        if name not in parameters or parameters[name].shape != keep.shape:
            raise ValueError(f"the mask for {name} fits no parameter of this model")
    with torch.no_grad():
        for name, keep in masks.items():
            parameters[name][keep == 0] = 0
    ### END SOLUTION


# %% check="apply_masks"
check("apply_masks", apply_masks)

# %% [markdown]
# Now we prune the CNN harder and harder, in three ways: globally, layer by layer, and at random.
# Random is the control: what would *any* choice of that many weights cost?
#
# **Predict.** How many percent right has the network when 70 % of its weights are gone in one
# global ranking, without any training?

# %%
predict("right_at_seventy", ...)

# %%
erase = yours_or_ours("apply_masks", apply_masks)


def pruned(model, masks):
    """A copy of the model with the masks applied."""
    smaller = copy.deepcopy(model)
    erase(smaller, masks)
    return smaller


def random_masks(weights, sparsity, seed):
    """The control: one ranking of random numbers."""
    dice = torch.Generator().manual_seed(seed)
    return rank_all({n: torch.rand(w.shape, generator=dice) for n, w in weights.items()}, sparsity)


ways = {
    "one ranking (global)": lambda weights, share, seed: rank_all(weights, share),
    "layer by layer": lambda weights, share, seed: layerwise_masks(weights, share),
    "at random": random_masks,
}

# %% varies demo
shares = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
if predicted("right_at_seventy"):
    right = {
        name: [
            [
                percent_right(pruned(model, choose(measure.prunable_weights(model), share, seed)))
                for share in shares
            ]
            for seed, model in enumerate(trained("cnn", seed) for seed in range(5))
        ]
        for name, choose in ways.items()
    }
    seventy = right["one ranking (global)"][0][shares.index(0.7)]
    outcome("right_at_seventy", seventy, "% for our network")
    display(
        plots.curve(
            shares,
            right,
            xlabel="share of the weights removed",
            ylabel="right on validation, %",
            title="The CNN, pruned in one shot",
            percent_x=True,
        )
    )

# %% [markdown]
# First a plateau, then a cliff, as in lesson 00, and each way has a cliff of its own. Two things to
# take along. The control falls first: magnitude knows something. And the cliffs lie far apart: the
# *same* network at the *same* sparsity is fine or ruined, depending on which weights went. "How
# much can be pruned?" has no answer without "how?".


# %% varies claim="one_ranking_is_better_on_the_cnn"
def three_ways(seed):
    model = trained("cnn", seed)
    weights = measure.prunable_weights(model)
    at = {how: percent_right(pruned(model, ways[how](weights, 0.7, seed))) for how in ways}
    one, layer, random = at.values()
    return {"one": one, "ahead_of_layers": one - layer, "ahead_of_random": one - random}


if predicted("right_at_seventy"):
    display(
        claim(
            "one_ranking_is_better_on_the_cnn",
            three_ways,
            holds=lambda one, ahead_of_layers, ahead_of_random: (
                ahead_of_layers.min() > 2
                and ahead_of_layers.mean() > 10
                and ahead_of_random.min() > 40
            ),
            says=lambda one, ahead_of_layers, ahead_of_random: (
                f"With 70 % of its weights gone in one ranking the CNN was still "
                f"{one.mean():.1f} % right on average. That is {ahead_of_layers.min():.0f} to "
                f"{ahead_of_layers.max():.0f} points ahead of the same share from each layer, and "
                f"at least {ahead_of_random.min():.0f} ahead of random."
            ),
        )
    )

# %%
quiz("03", "section", "Step 3")

# %% [markdown]
# ## Step 4: when one ranking goes wrong
#
# **Question.** So one ranking is better. Always? Here is another network, the LeNet-300-100, and
# 95 % of its weights go. Its layers: `fc1` (64 inputs, 300 outputs), `fc2` (300 inputs, 100
# outputs), `fc3` (100 inputs, 10 outputs).
#
# **Predict.** Think of what the list in step 2 said about inputs and sizes. Which layer will lose
# the largest share of its weights?

# %%
predict("the_plundered_layer", ..., choices=("fc1", "fc2", "fc3"))

# %% varies demo
lenet = models.load("lenet")
weights = measure.prunable_weights(lenet)
masks = {"global": rank_all(weights, 0.95), "layer-wise": layerwise_masks(weights, 0.95)}
left = {how: [1 - measure.sparsity(mask) for mask in by.values()] for how, by in masks.items()}
if predicted("the_plundered_layer"):
    layers = [name.removesuffix(".weight") for name in weights]
    outcome("the_plundered_layer", layers[left["global"].index(min(left["global"]))])
    display(
        plots.bars(
            layers,
            left,
            ylabel="left",
            title="The LeNet with 95 % of its weights removed",
            percent=True,
        )
    )
    kept = masks["global"]["fc2.weight"]
    print(f"fc2 keeps {kept.sum()} of {kept.numel():,} weights;", end=" ")
    print(f"{(kept.sum(1) == 0).sum()} of its {len(kept)} outputs have no input left.")
    for how, by in masks.items():
        print(f"{how:10} {percent_right(pruned(lenet, by)):5.1f} % right")

# %% [markdown]
# This is **layer collapse**. Everything has to pass through the middle layer, and next to nothing
# is left of it. However good the other layers are, they no longer hear of the image. Both networks
# are poor, but the order has turned round:


# %% varies claim="one_ranking_can_collapse_a_layer"
def collapsed(seed):
    model = trained("lenet", seed)
    weights = measure.prunable_weights(model)
    one, layer = rank_all(weights, 0.95), layerwise_masks(weights, 0.95)
    return {
        "left": 100 - 100 * measure.sparsity(one["fc2.weight"]),
        "behind": percent_right(pruned(model, layer)) - percent_right(pruned(model, one)),
    }


if predicted("the_plundered_layer"):
    display(
        claim(
            "one_ranking_can_collapse_a_layer",
            collapsed,
            holds=lambda left, behind: left.max() < 1 and behind.mean() > 2,
            says=lambda left, behind: (
                f"One ranking left the LeNet's middle layer {left.mean():.2f} % of its weights, "
                f"and the network {behind.mean():.0f} points worse on average than layer-wise "
                "pruning did."
            ),
        )
    )

# %% [markdown]
# Remedies: prune less; keep a least share of each layer (`course_utils.pruning.masks.keep_global`
# has a `floor`); give each layer its own share, with care (lesson 07); or prune in small steps and
# train in between, so that a thin layer can grow its weights (lesson 06). And whatever you do,
# **look at the layers**, not only at the total.

# %%
quiz("03", "section", "Step 4")

# %% [markdown]
# ## Step 5: training that keeps zeros zero
#
# Back to the CNN. With 90 % gone in one shot it is ruined. But a tenth of its weights is left, and
# nothing keeps us from training them. We write the zeros, and go on as usual.
#
# **Predict.** After pruning 90 % we make **one** ordinary training step with Adam. How many percent
# of the removed weights are still zero?

# %%
predict("still_zero_after_a_step", ...)

# %% [markdown]
# Worked example: the step as everybody writes it, and a count of what became of the zeros.

# %% varies
ninety = rank_all(measure.prunable_weights(network), 0.9)


def share_alive(model, masks):
    """How many percent of the masked weights are not zero."""
    there = [model.get_parameter(name)[mask == 0] != 0 for name, mask in masks.items()]
    return 100 * torch.cat(there).double().mean().item()


ruined = pruned(network, ninety)
optimizer = torch.optim.Adam(ruined.parameters(), lr=0.002)
ruined.train()
optimizer.zero_grad()
nn.functional.cross_entropy(ruined(digits.x_train[:64]), digits.y_train[:64]).backward()
slopes = [ruined.get_parameter(name).grad[mask == 0] != 0 for name, mask in ninety.items()]
optimizer.step()
if predicted("still_zero_after_a_step"):
    outcome("still_zero_after_a_step", 100 - share_alive(ruined, ninety), "%")
    print(f"masked weights with a gradient: {100 * torch.cat(slopes).double().mean():.1f} %")

# %% [markdown]
# A weight of zero is still a weight. Its input still arrives, so it has a gradient, and the step
# moves it. (Those that stay belong to neurons that no image of this batch woke.) One hears that
# "masked weights get no updates". They do, unless somebody prevents it.
#
# Then let us prevent it: set their *gradients* to zero before the step. This is what many
# tutorials do. Does it suffice?
#
# **Predict.** The dense network trains with Adam. We prune 90 % and go on with the same optimizer,
# zeroing the gradients of all masked weights before each step. How many percent of them are no
# longer zero after five steps?

# %%
predict("revived_by_memory", ...)

# %% [markdown]
# **Exercise** `train_step` · 3 points · about 20 minutes · difficulty 3 of 5
#
# Write one training step that works **whatever the optimizer remembers**:
#
# - in train mode (the mode afterwards does not matter), with the gradients from before cleared
#   first, run the images through the model **once**, and make the optimizer's own step on the mean
#   cross-entropy;
# - when you return, every masked weight is exactly zero (the masks hold already when you begin);
# - the same Parameter objects stay in the model, and what is not masked trains as it always would,
#   momentum and all;
# - return the cross-entropy of this batch as it was **before** the step.


# %% exercise="train_step"
def train_step(model, optimizer, masks, x, y):
    """One training step after which every masked weight is exactly zero; returns the loss."""
    ### BEGIN SOLUTION
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        for name, keep in masks.items():
            model.get_parameter(name)[keep == 0] = 0
    return loss.item()
    ### END SOLUTION


# %% check="train_step"
check("train_step", train_step)

# %% [markdown]
# **See it.** Five optimizers, each with a memory of some training before the pruning, and three
# ways to go on. The figures: masked weights that are not zero after five steps.

# %%
step = yours_or_ours("train_step", train_step)


def gradients_only(model, optimizer, masks, x, y):
    """The popular way: no gradient, no movement?"""
    model.train()
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x), y).backward()
    for name, mask in masks.items():
        model.get_parameter(name).grad *= mask
    optimizer.step()


# %% varies demo
optimizers = {
    "SGD": lambda weights: torch.optim.SGD(weights, lr=0.02),
    "SGD, decay": lambda weights: torch.optim.SGD(weights, lr=0.02, weight_decay=0.01),
    "SGD, momentum": lambda weights: torch.optim.SGD(weights, lr=0.02, momentum=0.9),
    "Adam": lambda weights: torch.optim.Adam(weights, lr=0.001),
    "AdamW": lambda weights: torch.optim.AdamW(weights, lr=0.001),
}


def alive_after(way, make, fresh=False):
    """Train a little, prune, make five steps in one of the ways."""
    model = copy.deepcopy(network)
    optimizer = make(model.parameters())
    batches = list(data.batches(digits.x_train, digits.y_train))
    for x, y in batches[:3]:
        step(model, optimizer, {}, x, y)  # without masks: the dense network trains
    masks = rank_all(measure.prunable_weights(model), 0.9)
    erase(model, masks)
    if fresh:
        optimizer = make(model.parameters())
    for x, y in batches[3:8]:
        way(model, optimizer, masks, x, y)
    return share_alive(model, masks)


def no_masks(model, optimizer, masks, x, y):
    step(model, optimizer, {}, x, y)


if predicted("revived_by_memory"):
    outcome("revived_by_memory", alive_after(gradients_only, optimizers["Adam"]), "%")
    print("\n               zeroed once  gradients masked  masks after each step")
    for name, make in optimizers.items():
        once, popular, right_way = (
            alive_after(way, make) for way in (no_masks, gradients_only, step)
        )
        print(f"{name:14} {once:9.1f} % {popular:15.1f} % {right_way:20.1f} %")
    new = alive_after(gradients_only, optimizers["Adam"], fresh=True)
    print(f"\ngradients masked, with a new Adam made after pruning: {new:.1f} %")

# %% [markdown]
# Plain SGD moves a weight by its gradient alone, so masking gradients suffices for it. Weight decay
# is often blamed, and is innocent: it takes a share of the weight away, and a share of zero is
# zero. But anything with a memory goes on pushing: momentum and Adam add up *earlier* gradients,
# from before the pruning, and do not care that today's is zero. "The mask alone stops momentum" is
# wrong.
#
# The last line shows why the mistake goes unnoticed: a new optimizer has nothing to remember. Then
# one changes the masks during training, as many methods do, and the dead rise. Applying the masks
# **after each step** holds always, and costs next to nothing.


# %% varies claim="memory_revives_masked_weights"
def revived(seed):
    model = copy.deepcopy(trained("cnn", seed))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    x, y = digits.x_train[:64], digits.y_train[:64]
    step(model, optimizer, {}, x, y)
    masks = rank_all(measure.prunable_weights(model), 0.9)
    erase(model, masks)
    gradients_only(model, optimizer, masks, x, y)
    popular = share_alive(model, masks)
    erase(model, masks)
    step(model, optimizer, masks, x, y)
    return {"popular": popular, "held": share_alive(model, masks)}


if predicted("revived_by_memory"):
    display(
        claim(
            "memory_revives_masked_weights",
            revived,
            holds=lambda popular, held: popular.min() > 50 and held.max() == 0,
            says=lambda popular, held: (
                f"With masked gradients a single step of SGD with momentum revived at least "
                f"{popular.min():.0f} % of the removed weights; with masks applied after the step "
                f"{held.max():.0f} %."
            ),
        )
    )

# %%
quiz("03", "section", "Step 5")

# %% [markdown]
# ## Step 6: what training brings back
#
# **Question.** We can train without losing the zeros. Is there anything to win? At 90 % the CNN was
# ruined.
#
# **Predict.** Two passes over the training images, masks held. How many percent right?

# %%
predict("right_after_two_epochs", ...)


# %%
def fine_tune(model, masks, epochs=2, seed=0):
    """Train on with the masks held; the rate falls from that of the original training to zero."""
    steps = epochs * (1 + (len(digits.x_train) - 1) // 64)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = torch.Generator().manual_seed(seed)
    with measure.threads(1):
        for _ in range(epochs):
            for x, y in data.batches(digits.x_train, digits.y_train, 64, order):
                step(model, optimizer, masks, x, y)
                rate.step()
    return model.eval()


# %% varies demo
hard = [0.7, 0.8, 0.9, 0.95, 0.98, 0.99]
if predicted("right_after_two_epochs"):
    before, after = [], []
    for seed in range(3):
        model = trained("cnn", seed)
        kept = [rank_all(measure.prunable_weights(model), share) for share in hard]
        before.append([percent_right(pruned(model, masks)) for masks in kept])
        after.append([percent_right(fine_tune(pruned(model, m), m, seed=seed)) for m in kept])
    outcome("right_after_two_epochs", after[0][hard.index(0.9)], "% for our network")
    display(
        plots.curve(
            hard,
            {"fine-tuned, masks held": after, "one shot": before},
            xlabel="share of the weights removed (global)",
            ylabel="right on validation, %",
            title="The CNN before and after fine-tuning",
            percent_x=True,
        )
    )

# %% [markdown]
# The information was not gone; the weights that are left can carry most of it once they have moved
# into place. (You may read that fine-tuning is compulsory. Where one shot stays on its plateau it
# is not; where it falls off, it is what makes the difference.) But the curve falls too, in the end.
# What to train with, how long, and whether to prune at once or little by little: lesson 06.


# %% varies claim="fine_tuning_brings_the_cnn_back"
def recovered(seed):
    model = trained("cnn", seed)
    masks = rank_all(measure.prunable_weights(model), 0.9)
    shot = pruned(model, masks)
    before = percent_right(shot)
    after = percent_right(fine_tune(shot, masks, seed=seed))
    return {"before": before, "after": after, "zeros": 100 * measure.sparsity(shot)}


if predicted("right_after_two_epochs"):
    display(
        claim(
            "fine_tuning_brings_the_cnn_back",
            recovered,
            holds=lambda before, after, zeros: (
                (after - before).min() > 15 and after.min() > 90 and zeros.min() > 89.9
            ),
            says=lambda before, after, zeros: (
                f"At 90 % the CNN had {before.mean():.0f} % right in one shot, and "
                f"{after.mean():.1f} % ({after.min():.1f} at worst) after two passes over the "
                f"training images; {zeros.min():.1f} % of its weights were still zero."
            ),
        )
    )

# %%
quiz("03", "section", "Step 6")

# %% [markdown]
# ## Step 7: five times a fifth
#
# Pruning often goes in rounds: prune a little, train, prune a little more.
#
# **Predict.** Five rounds, each of which removes 20 % of the weights **that are left**. How many
# percent of the weights are left in the end?

# %%
predict("left_after_five_fifths", ...)

# %% [markdown]
# **Exercise** `remaining_after` · 1 point · about 5 minutes · difficulty 1 of 5
#
# Return the share of the weights (0 to 1) that is left after `rounds` rounds, each of which removes
# `fraction` of what remains. No rounds leave everything. A negative number of rounds, or a fraction
# that is not between 0 and 1, raises `ValueError`.


# %% exercise="remaining_after"
def remaining_after(rounds, fraction):
    """The share left when each round prunes a fraction of what remains."""
    ### BEGIN SOLUTION
    if rounds < 0 or not 0 <= fraction <= 1:
        raise ValueError(f"{rounds} rounds of {fraction} make no sense")
    left = 1.0
    for _ in range(rounds):
        left = left * (1 - fraction)
    return left
    ### END SOLUTION


# %% check="remaining_after"
check("remaining_after", remaining_after)

# %% [markdown]
# **See it.** The rule, and two ways to prune in rounds for real. In each round one function ranks
# *the weights that are left*. The other calls the mask function again with 20 %, on the pruned
# tensor, zeros included.

# %% varies demo
remaining = yours_or_ours("remaining_after", remaining_after)
weight = network.conv3.weight.detach().flatten()
survivors, again = weight, weight
of_what_is_left, of_the_tensor = [1.0], [1.0]
for _ in range(10):
    survivors = survivors[mask_of(survivors, 0.2) != 0]
    of_what_is_left.append(len(survivors) / len(weight))
    again = again * mask_of(again, 0.2)
    of_the_tensor.append(1 - measure.sparsity(again))
if predicted("left_after_five_fifths"):
    outcome("left_after_five_fifths", 100 * remaining(5, 0.2), "%")
    rounds = range(11)
    display(
        plots.curve(
            rounds,
            {
                "a fifth of what is left": of_what_is_left,
                "the rule": [remaining(n, 0.2) for n in rounds],
                '"five times 20 % is all"': [max(0, 1 - 0.2 * n) for n in rounds],
                "a fifth of the tensor, again": of_the_tensor,
            },
            xlabel="rounds",
            ylabel="weights left",
            title="Twenty percent, again and again",
            percent_y=True,
        )
    )

# %% [markdown]
# Five times 20 % is not everything, and never will be. Look at the flat line too: calling a mask
# function again with the same share of the **whole tensor** does nothing at all, because the zeros
# that are there already are the smallest weights. "20 %" needs an "of what". Tools differ in their
# answer, and lesson 04 shows one that gives both.

# %%
quiz("03", "section", "Step 7")

# %% [markdown]
# ## Step 8: what do the zeros buy?
#
# Nine tenths of the network are zero, and it works. Time to collect.
#
# **Predict.** How many times faster is it than the dense network, for a single image? (1 means just
# as fast.)

# %%
predict("times_faster_with_zeros", ...)


# %% varies claim="zeros_alone_buy_nothing"
def bought(seed):
    model = trained("cnn", seed)
    shot = pruned(model, rank_all(measure.prunable_weights(model), 0.9))
    image = digits.x_val[:1]
    faster, spread = measure.speedup(model, shot, image, repeats=100)
    return {
        "faster": faster,
        "spread": spread,
        "smaller": measure.bytes_on_disk(model) / measure.bytes_on_disk(shot),
        "macs": measure.macs(model, image) / measure.macs(shot, image),
    }


if predicted("times_faster_with_zeros"):
    outcome("times_faster_with_zeros", bought(0)["faster"], "times as fast")
    display(
        claim(
            "zeros_alone_buy_nothing",
            bought,
            holds=lambda faster, spread, smaller, macs: (
                0.75 < np.median(faster) < 1.33
                and abs(smaller - 1).max() < 0.01
                and abs(macs - 1).max() == 0
            ),
            says=lambda faster, spread, smaller, macs: (
                f"With 90 % of its weights zero the CNN answered {np.median(faster):.2f} times as "
                f"fast (the middle half of the repeats is {spread.mean():.2f} wide), its file was "
                f"{smaller.mean():.2f} times smaller, and it did {macs.mean():.2f} times fewer "
                "multiplications: nothing was won."
            ),
        )
    )

# %% [markdown]
# You met this in lesson 00, and it is worth meeting twice, because it is the most common
# disappointment about pruning. A *dense* tensor stores a zero in four bytes, and a dense layer
# multiplies by it. To skip a zero, a processor has to find out that it is one, and for scattered
# zeros that takes longer than multiplying. Sparse formats and special kernels pay off at very high
# sparsity; we will measure where (lesson 09).
#
# So is unstructured pruning useless? No. The zeros compress well in a file that leaves them out,
# and they say what a network can do without. But if you need speed on ordinary hardware, the zeros
# must follow a pattern.

# %%
quiz("03", "section", "Step 8")

# %% [markdown]
# ## Step 9: zeros in a pattern, N:M
#
# **Question.** Which pattern is loose enough for the network and strict enough for hardware? One
# answer is **2:4**: of every four consecutive weights in a row, exactly two stay. The hardware then
# knows in advance how much there is to do. It stores the two values and, in two bits each, their
# places:

# %%
values, places = 2 * 16, 2 * 2  # bits of two half-precision numbers, and of their places
print(f"four dense numbers: {4 * 16} bits; two of four: {values + places} bits")
print(f"that is {(values + places) / (4 * 16):.4f} of the size")

# %% [markdown]
# Some GPUs (NVIDIA's since 2020) have *sparse tensor cores* that fetch just the inputs these places
# name and so do half the multiplications. The processors of most computers have nothing of the
# kind; the figures below show what yours makes of it.
#
# What does the pattern cost? Free choice takes the smaller half wherever it is. Under 2:4, four
# large neighbours must give up two of their number, and four small ones keep two.
#
# **Predict.** How many points of accuracy lower is the LeNet at 2:4 than with the smaller half of
# each layer removed freely? (Average of five networks; negative if 2:4 is better.)

# %%
predict("points_lost_to_the_pattern", ...)

# %% [markdown]
# **Exercise** `n_m_mask` · 2 points · about 15 minutes · difficulty 3 of 5
#
# `weight` has two dimensions. Return a mask of its shape that keeps, of every `m` **consecutive
# entries of a row**, the `n` largest magnitudes; ties as you like, but exactly `n`. If `m` does not
# divide the length of a row, or `n` is not between 0 and `m`, raise `ValueError`.


# %% exercise="n_m_mask"
def n_m_mask(weight, n, m):
    """The n largest of every m consecutive entries of a row."""
    ### BEGIN SOLUTION
    if not 0 <= n <= m or weight.shape[1] % m:
        raise ValueError(f"rows of {weight.shape[1]} cannot keep {n} of every {m}")
    groups = weight.abs().reshape(-1, m)
    places = groups.topk(n, dim=1).indices
    mask = torch.zeros(groups.shape, dtype=torch.bool).scatter(1, places, True)
    return mask.view(weight.shape)
    ### END SOLUTION


# %% check="n_m_mask"
check("n_m_mask", n_m_mask)

# %% [markdown]
# **See it.** A corner of `fc3`, half of it removed freely and as 2:4. White lines set the groups of
# four apart: count what is left in each.

# %% varies demo
pattern = yours_or_ours("n_m_mask", n_m_mask)
if predicted("points_lost_to_the_pattern"):
    corner = lenet.fc3.weight.detach()[:, :32]
    display(
        plots.weights_as_picture(
            corner * mask_of(corner, 0.5),
            corner * pattern(corner, 2, 4),
            names=("chosen freely", "2:4"),
            group=4,
            title="The same half, without and with a pattern",
        )
    )

# %% varies demo
if predicted("points_lost_to_the_pattern"):
    accuracies = {"chosen freely": [], "2:4": [], "freely, fine-tuned": [], "2:4, fine-tuned": []}
    for seed in range(5):
        model = trained("lenet", seed)
        weights = measure.prunable_weights(model)
        half_each = layerwise_masks(weights, 0.5)
        two_four = {name: pattern(weight, 2, 4) for name, weight in weights.items()}
        for name, masks in (("chosen freely", half_each), ("2:4", two_four)):
            shot = pruned(model, masks)
            accuracies[name].append(percent_right(shot))
            after = f"{name.removeprefix('chosen ')}, fine-tuned"
            accuracies[after].append(percent_right(fine_tune(shot, masks, seed=seed)))
    lost = torch.tensor(accuracies["chosen freely"]) - torch.tensor(accuracies["2:4"])
    outcome("points_lost_to_the_pattern", lost.mean(), "points on average")
    print("network by network:", ", ".join(f"{points:+.1f}" for points in lost.tolist()))
    print(f"one image more or less is {100 / len(digits.x_val):.1f} points")
    faster, spread = measure.speedup(model, pruned(model, two_four), digits.x_val)
    print(f"on this computer 2:4 is {faster:.2f} times as fast (middle half {spread:.2f} wide)")
    for how, percents in accuracies.items():
        print(f"{how:18} {sum(percents) / len(percents):.1f} % right on average")
    tuned = torch.tensor(accuracies["freely, fine-tuned"])
    tuned -= torch.tensor(accuracies["2:4, fine-tuned"])
    display(
        plots.bars(
            [f"network {seed}" for seed in range(5)],
            {
                "one shot": [round(points, 1) for points in lost.tolist()],
                "fine-tuned": [round(points, 1) for points in tuned.tolist()],
            },
            ylabel="points lost to the pattern",
            title="Five LeNets: 2:4 against a free choice of half",
        )
    )

# %% [markdown]
# Read this with care: the cost differs from network to network, some of it is an image or two, and
# so few images cannot settle differences so small. We make no claim of it, neither that 2:4 is free
# nor that it costs so and so much. What is certain is that the pattern restricts the choice: it can
# never keep more of the layer's size than free choice does. On large networks 2:4 has been reported
# to cost next to nothing *after training with the pattern held* (Mishra and others, below). Held
# how? As in step 5.

# %%
quiz("03", "section", "Step 9")

# %% [markdown]
# ## Pitfalls
#
# **`weight * mask` is not a clean zero.** A negative weight times zero is *minus* zero, and NaN
# times zero is NaN:

# %%
spoiled = torch.tensor([-2.0, float("nan"), 3.0])
stay = torch.tensor([0, 0, 1])
for name, result in (
    ("times the mask", spoiled * stay),
    ("masked_fill", spoiled.masked_fill(stay == 0, 0)),
):
    signs = torch.signbit(result).tolist()
    print(f"{name:15} {result.tolist()}  minus sign: {signs}")

# %% [markdown]
# Minus zero equals zero, so it does no harm to the network. But its bits are not all zero: a format
# that drops "all bits zero" must keep it, one that drops "equal to zero" changes the file's content
# on the way back. And a single NaN that one meant to remove spoils every output.
#
# **A limit instead of a count.** With the popular `np.percentile` and `>`, the share is a matter of
# luck as soon as sizes repeat, as they do in rounded (quantised) weights:

# %%
rounded = (network.fc1.weight.detach() * 32).round() / 32
for share in (0.3, 0.5, 0.7):
    limit = np.percentile(rounded.abs().numpy(), 100 * share)
    by_limit = measure.sparsity(rounded.abs() > limit)
    print(f"asked for {100 * share:.0f} %: the limit removes {100 * by_limit:.1f} %")

# %% [markdown]
# **The masks in the wrong place.** Applied *before* the step they are undone by it. The loss falls
# all the same, and nothing looks wrong until one counts:

# %% varies
careless = copy.deepcopy(network)
optimizer = torch.optim.SGD(careless.parameters(), lr=0.02)
for x, y in list(data.batches(digits.x_train, digits.y_train))[:5]:
    for name, mask in ninety.items():
        careless.get_parameter(name).data.masked_fill_(mask == 0, 0)
    optimizer.zero_grad()
    nn.functional.cross_entropy(careless(x), y).backward()
    optimizer.step()
print(f"meant to be 90 % zero, and is {100 * measure.sparsity(careless):.1f} %")

# %% [markdown]
# **A mask of the wrong shape that fits.** Tensors of one row are silently repeated. No error, and
# another network than you meant:

# %%
one_row = torch.tensor([[True, False, True, False]])
grid = torch.ones(3, 4)
print("a mask for one row, times three rows:", (grid * one_row).tolist())

# %%
quiz("03", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A colleague prunes 80 % of a network globally, trains on with Adam while zeroing the
# gradients of the pruned weights, and finds "only 3 % of the weights are zero" in the saved file.
# Explain what happened and what to change.

# %% [markdown] written="why_the_zeros_are_gone" points=2
# <!-- BEGIN SOLUTION -->
# Adam keeps averages of earlier gradients, from before the pruning. They go on moving the pruned
# weights although their present gradient is zero. The masks have to be applied after each optimizer
# step (or the optimizer's memory of those weights cleared as well).
#
# *Marking: one point for the optimizer's memory, one for a remedy that works.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** Global pruning was far better than layer-wise pruning on the CNN, and worse on the LeNet at
# 95 %. How can both be true, and what would you look at before choosing?

# %% [markdown] written="global_or_layerwise" points=2
# <!-- BEGIN SOLUTION -->
# One ranking takes most from layers whose weights are small. In the CNN those are large layers with
# much to spare, and the sensitive first convolution is spared. In the LeNet it empties the middle
# layer, through which everything must pass. I would look at what is left in each layer, and compare
# both on validation images at the sparsity I need, over several seeds.
#
# *Marking: one point for the different scales (or shares) of the layers and their consequence, one
# for looking at the layers or comparing on validation.*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** Why can a processor profit from 2:4 and not from 50 % zeros that are scattered?

# %% [markdown] written="why_a_pattern_helps" points=1
# <!-- BEGIN SOLUTION -->
# With 2:4 it is known in advance that every group has two values, so memory and work are the same
# for every group and the places fit into a few bits; nothing has to be searched for. Scattered
# zeros have to be found, and the work differs from row to row.
#
# *Marking: one point for "known in advance" or "same amount of work in each group".*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# Which of our networks goes into the ledger? We prune globally, fine-tune with the masks held, and
# take the highest of a few sparsities that stays within one point of the dense network, on the
# validation images.

# %% varies demo
dense = percent_right(network)
candidates = {}
for share in (0.8, 0.85, 0.9, 0.93):
    masks = rank_all(measure.prunable_weights(network), share)
    candidates[share] = fine_tune(pruned(network, masks), masks, epochs=4)
    print(f"{100 * share:.0f} % removed: {percent_right(candidates[share]):.1f} % right")
good = [share for share, model in candidates.items() if percent_right(model) >= dense - 1]
chosen = candidates[max(good, default=0.8)]
print(f"dense {dense:.1f} %; chosen: {100 * max(good, default=0.8):.0f} % removed")
enter("03", "single weights removed", chosen)

# %% [markdown]
# (The figures need not fall in order: with so few images chance plays its part.)
#
# Within the budget for accuracy, and for nothing else: the zeros are still stored and multiplied.
# Keep this network in mind, though. Lesson 09 packs one like it into a file that leaves the zeros
# out.

# %% [markdown]
# ## The last step: the test images

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
print("                     validation     test")
for name, model in {"dense": network, "pruned, fine-tuned": chosen}.items():
    on_test = 100 * accuracy(model, x_test, y_test)
    print(f"{name:20} {percent_right(model):8.1f} % {on_test:8.1f} %")

# %% [markdown]
# The sparsity was chosen on the validation images, so expect the gap to the dense network to be a
# little wider on new ones. (Compare within a column: the test images may be easier or harder for
# both.)

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("03", "exit")

# %% [markdown]
# ## Recap
#
# - A mask says which weights stay. Count places; do not compare with a limit.
# - One ranking over the network spares some layers and plunders others. On our CNN that is far
#   better than equal shares; at the extreme it can empty a layer. Look at the layers.
# - Zeros do not stay zero by themselves. Apply the masks after every optimizer step.
# - With the masks held, a short training brings back much of what pruning broke.
# - Rounds multiply: each takes its share of what is left.
# - Scattered zeros save neither time nor space as they stand. Patterns such as 2:4 can, on hardware
#   that knows them.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of earlier lessons may be due.

# %%
enrol("03")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - S. Han and others, *Learning both Weights and Connections for Efficient Neural Networks*, 2015
#   (arXiv 1506.02626): prune by magnitude, train, and again.
# - H. Tanaka and others, *Pruning neural networks without any data by iteratively conserving
#   synaptic flow*, 2020 (arXiv 2006.05467): where layer collapse has its name from, and how to
#   avoid it.
# - J. Lee and others, *Layer-adaptive Sparsity for the Magnitude-based Pruning*, 2021 (arXiv
#   2010.07611): how to rescale magnitudes so that one ranking is fair to the layers.
# - A. Mishra and others, *Accelerating Sparse Deep Neural Networks*, 2021 (arXiv 2104.08378): 2:4,
#   how to train for it and what it brings on a GPU.
