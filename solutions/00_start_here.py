# %% [markdown]
# # 00 · Start here
#
# **About 30 minutes · difficulty 1 of 5**
#
# You will be able to
#
# - say what pruning is, and try on a real network what it does;
# - remove the least important fifth of a network's weights yourself;
# - use the checks, hints, predictions and the progress table of this course.

# %% [markdown]
# ## Your desk
#
# This is the page to come back to. Run the cell below (Shift+Enter): it shows where you stand and
# what is due for review, and it knows the words of the course. Questions, reviews and the glossary
# speak English, Bulgarian, Vietnamese and Korean; the lessons are in English.
#
# A notebook that you open again shows what you did, and Python has forgotten it: choose *Run All
# Above Selected Cell*, in the menu *Run*, where you want to go on. The square button above stops a
# cell that runs for too long, and Ctrl+B hides the list of files when the window is narrow. If you
# work with the keyboard alone: Ctrl+Shift+C, then Esc, leads from a question back to the cells.

# %%
from course_utils.study import desk

desk()

# %% [markdown]
# ## Before you start
#
# Three questions about what you know or guess today. Nothing is scored: a question you have turned
# over yourself opens the mind for its answer. Run the cell below, write what comes to mind, and go
# on.

# %%
from course_utils.study import quiz

quiz("00", "pretest")

# %% [markdown]
# You need Python, a little PyTorch (tensors, `nn.Module`, a training loop) and to have trained one
# classifier before. You do not need a GPU or a network connection.

# %% [markdown]
# ## Overview
#
# We take a trained network that reads handwritten digits and set a fifth of its weights to zero.
# You will predict what happens, then see it. Then you write the heart of it yourself. Along the
# way you meet everything the other lessons are made of, and the problem that runs through all of
# them: a network that must fit a small device.

# %% [markdown]
# ## Key concepts
#
# - **Weight**: one learned number of a layer; a connection's strength.
# - **Pruning**: taking away what a trained network can do without: single weights, filters, layers.
# - **Magnitude**: a weight's distance from zero, the simplest guess at how much it matters.
# - **Sparsity**: the share of weights that are exactly zero.
# - **Validation images**: the ones we decide with. The test images stay closed until a lesson's
#   last step.

# %%
import copy

import torch
from IPython.display import display
from torch import nn

from course_utils import data, models, plots
from course_utils.measure import bytes_on_disk, sparsity
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
    solution,
    yours_or_ours,
)
from course_utils.training import accuracy

# %% [markdown]
# ## Step 1: meet the network and its device
#
# These are the digits: real handwriting, very small. The training images taught the network; the
# validation images are for our decisions.

# %% demo
digits = data.digits()
print(digits)
plots.digit_grid(digits.x_val[:20], digits.y_val[:20].tolist(), title="Twenty validation images")

# %% [markdown]
# The network is small and convolutional: three convolutions with 32, 64 and 128 channels, then two
# linear layers. It comes trained. How good is it?

# %% varies
digits = data.digits()
network = models.load("cnn")


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * accuracy(model, digits.x_val, digits.y_val)


print(f"right: {percent_right(network):.1f} % of {len(digits.x_val)} validation images")

# %% [markdown]
# Good, and too big. This is the story of the course: the network is to run on a small device, which
# sets a budget for the file, for the multiplications (MACs) and the time of one image, and for how
# much accuracy may be lost. The **ledger** keeps the accounts: the last row is the budget, and a
# tick marks what is within it. Time is compared with that of the *dense* network, the trained one
# with all its weights, because your computer is not the device. Every lesson adds a row, and lesson
# 01 explains each column.

# %% varies demo
enter("00", "the trained network", network)

# %% [markdown]
# Only the accuracy is within the budget. The file and the multiplications are several times what
# the device has room for, and yet the network must stay almost as good as it is. Is there so much
# in it that can go?

# %% [markdown]
# ## Step 2: take away a fifth
#
# **Question.** We set the 20 % of the weights that are closest to zero to exactly zero, in all
# convolutions and linear layers together. No training afterwards. How many percent of the digits
# will it still get right?
#
# **Predict.** A number in place of the three dots. A wrong guess teaches more than none: you will
# see it again beside the answer.

# %%
predict("right_after_smallest_fifth", ...)

# %% [markdown]
# Here is how it is done. Read it slowly; it is a **worked example**, and the exercise below asks
# for something very close to it.
#
# First for one tensor: `kthvalue` finds the size that a fifth of the entries do not exceed.

# %%
example = torch.tensor([0.4, -0.1, 2.0, -1.5, 0.05])
sizes = example.abs()
limit = sizes.kthvalue(2).values  # the second smallest size
print("sizes       ", sizes)
print("limit       ", limit)
print("what is left", torch.where(sizes > limit, example, 0))

# %% [markdown]
# Then for a network. The sizes of all weights go into one long row, so that one limit holds for
# all layers. We work on a copy, because the original is still needed.


# %%
def weights_of(model):
    """The weights of the convolutions and linear layers."""
    return [m.weight for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@torch.no_grad()
def without_smallest(model, share):
    """A copy of the model whose smallest weights are zero."""
    pruned = copy.deepcopy(model)
    sizes = torch.cat([weight.abs().flatten() for weight in weights_of(pruned)])
    limit = sizes.kthvalue(round(share * len(sizes))).values
    for weight in weights_of(pruned):
        weight[weight.abs() <= limit] = 0
    return pruned


pruned = without_smallest(network, 0.2)
print(f"now {100 * sparsity(pruned):.1f} % of the weights are zero")

# %% [markdown]
# **See it.**

# %% varies demo
if predicted("right_after_smallest_fifth"):
    outcome("right_after_smallest_fifth", percent_right(pruned), "%")
    display(
        plots.weight_histogram(
            {"conv2 before": network.conv2.weight, "conv2 after": pruned.conv2.weight},
            title="The weights of one layer",
        )
    )
    for name in ("conv1", "conv2", "conv3", "fc1", "fc2"):
        print(f"{name}: {100 * sparsity(pruned.get_submodule(name).weight):4.1f} % zero")

# %% [markdown]
# Surprised? The histogram shows what is gone: the middle, where the weights were too small to
# matter much. One limit holds for all layers, so each layer loses a different share.
#
# Now and then a lesson asks you something in between. Say how sure you are before you see the
# answer: noticing where one was sure and wrong is worth more than a point.

# %%
quiz("00", "section", "Step 2")

# %% [markdown]
# ## Step 3: or can just any fifth go?
#
# **Question.** Perhaps the network has so much to spare that it would survive losing any weights.
# What if we zero 20 % of them **at random**?
#
# **Predict.** How many percent right this time?

# %%
predict("right_after_random_fifth", ...)


# %%
@torch.no_grad()
def without_random(model, share, seed):
    """A copy of the model in which a random share of the weights is zero."""
    pruned = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for weight in weights_of(pruned):
        weight[torch.rand(weight.shape, generator=generator) < share] = 0
    return pruned


# %% varies demo
if predicted("right_after_random_fifth"):
    right = [percent_right(without_random(network, 0.2, seed)) for seed in range(10)]
    mean = sum(right) / len(right)
    outcome("right_after_random_fifth", mean, "% on average of ten tries")
    display(
        plots.bars(
            ["all weights", "without the\nsmallest fifth", "without a\nrandom fifth"],
            [round(v, 1) for v in (percent_right(network), percent_right(pruned), mean)],
            errors=[0, 0, torch.tensor(right).std().item()],
            ylabel="right on validation, %",
            title="Which fifth goes makes all the difference",
        )
    )

# %% [markdown]
# So the network does need its weights, but not all of them alike. (The error bar is the standard
# deviation of the ten tries: luck decides how much a random fifth costs.) Deciding which weights
# can go is what lessons 02 and 03 are about.
#
# One network is an anecdote, though. In this course a sentence that says what pruning does must
# hold for several networks, each trained from another start. That is a **claim**: the cell below
# trains the others now (a few seconds), and would stop with an error if the sentence were wrong.


# %% varies claim="the_smallest_fifth_is_spare"
def lost_accuracy(seed):
    trained = models.load("cnn", seed)
    full = percent_right(trained)
    return {
        "smallest": full - percent_right(without_smallest(trained, 0.2)),
        "random": full - percent_right(without_random(trained, 0.2, seed)),
    }


if predicted("right_after_smallest_fifth", "right_after_random_fifth"):
    display(
        claim(
            "the_smallest_fifth_is_spare",
            lost_accuracy,
            holds=lambda smallest, random: smallest.max() < 2 and random.mean() > 4,
            says=lambda smallest, random: (
                f"Without the smallest fifth of its weights a network lost {smallest.mean():.1f} "
                f"points of accuracy on average and {smallest.max():.1f} at most; without a random "
                f"fifth it lost {random.mean():.1f} on average, and from {random.min():.1f} to "
                f"{random.max():.1f}, depending on the network."
            ),
        )
    )

# %%
quiz("00", "section", "Step 3")

# %% [markdown]
# ## Step 4: your turn
#
# **Exercise** `keep_largest` · 2 points · about 10 minutes · difficulty 2 of 5
#
# Above we zeroed everything up to a limit. That has two flaws: when several weights have the very
# same size, a limit takes all of them or none; and a share of 0 % fails. Write the careful version,
# which counts:
#
# - `values` is a tensor of any shape, `k` a whole number;
# - return a **new** tensor of the same shape: the `k` entries of the largest magnitude keep their
#   value and place, all others are zero;
# - if several tie for the last place, keep any of them, but exactly `k` in all;
# - if `k` is below 0 or above the number of values, raise `ValueError` with a sentence.
#
# For example, `keep_largest(torch.tensor([0.5, -3.0, 2.0]), 1)` gives `[0, -3, 0]`.
#
# Write your code in place of the lines under the docstring, `raise NotImplementedError()` included.
# These rules hold for **all exercises of the course**: what you are given comes back as it was
# (values, a network's modes, gradients and hooks), unless the text says "in place"; numbers are
# compared with a small tolerance; input that makes no sense raises `ValueError` with a sentence; a
# tensor that two layers share counts once; a partly right answer earns part of the points.


# %% exercise="keep_largest"
def keep_largest(values, k):
    """A new tensor: the k largest magnitudes of `values` kept, the rest zero."""
    ### BEGIN SOLUTION
    if not 0 <= k <= values.numel():
        raise ValueError(f"cannot keep {k} of {values.numel()} values")
    kept = torch.zeros(values.numel(), dtype=torch.bool)
    kept[values.abs().flatten().argsort(descending=True)[:k]] = True
    return values * kept.view(values.shape)
    ### END SOLUTION


# %% [markdown]
# Now let the course try it, on many tensors. The panel tells you what happened; as long as
# something is wrong it names one input, what came back, and what to think about. Change your code
# and run both cells again as often as you like.

# %% check="keep_largest"
check("keep_largest", keep_largest)

# %% [markdown]
# Stuck? Add a cell and run `hint("keep_largest")` in it; each run shows one hint more. After a try,
# `solution("keep_largest")` shows one way to write it.
#
# No exercise ever blocks you: the next cell uses your function if it is right, and ours if not. It
# removes the smallest weights of **each layer separately**, more and more of them.
#
# **Predict.** At how many percent removed does the network first get fewer than 90 % right?

# %%
predict("where_accuracy_falls", ...)

# %% varies demo
keep = yours_or_ours("keep_largest", keep_largest)
shares = [tenths / 10 for tenths in range(10)]
right = []
for share in shares:
    fewer = copy.deepcopy(network)
    with torch.no_grad():
        for weight in weights_of(fewer):
            weight.copy_(keep(weight, round((1 - share) * weight.numel())))
    right.append(percent_right(fewer))
if predicted("where_accuracy_falls"):
    falls = next(share for share, percent in zip(shares, right, strict=True) if percent < 90)
    outcome("where_accuracy_falls", 100 * falls, "% of each layer")
    display(
        plots.curve(
            shares,
            {"smallest weights removed": right},
            xlabel="share of each layer's weights removed",
            ylabel="right on validation, %",
            title="How far can we go without training?",
            percent_x=True,
        )
    )

# %% [markdown]
# First a plain, then a cliff. How to go past it, and how to climb back up, is what the course is
# about.

# %% [markdown]
# ## Step 5: does it fit now?
#
# **Question.** A fifth of the weights is zero. How much smaller is the file, and how many
# multiplications are saved?
#
# **Predict.** How many kB smaller is the file of the pruned network?

# %%
predict("kilobytes_saved_by_zeros", ...)

# %% varies demo
table = enter("00", "a fifth of the weights zero", pruned)
if predicted("kilobytes_saved_by_zeros"):
    saved = (bytes_on_disk(network) - bytes_on_disk(pruned)) / 1000
    outcome("kilobytes_saved_by_zeros", saved, "kB")
    display(table)

# %% [markdown]
# A zero is stored in four bytes like any other number, and multiplied like any other number. "I
# pruned, and nothing got smaller or faster" is asked again and again wherever people prune; you now
# know why. Making zeros pay is the subject of lessons 05 and 09.

# %%
quiz("00", "section", "Step 5")

# %% [markdown]
# ## Removing things elsewhere
#
# The idea is older than neural networks. A compiler drops code that cannot be reached; JPEG drops
# the fine ripples that the eye does not see; decision trees are cut back after growing, so that
# they stop memorising; a chess program cuts branches that cannot change its move; a gardener cuts
# a fruit tree, and a child's brain loses a large part of its synapses while it learns. Each time
# the question is the same one: **what is not needed, and how do you know?**

# %% [markdown]
# ## The map
#
# | lesson | question |
# |---|---|
# | 00 start here | can a network lose weights at all? |
# | 01 networks and weights | what does a network cost: weights, multiplications, milliseconds? |
# | 02 weight importance | which weights matter? |
# | 03 unstructured pruning | how do we remove single weights, and keep them removed? |
# | 04 PyTorch's own tools | what does `torch.nn.utils.prune` do, and not do? |
# | 05 structured pruning | how does a network really get smaller and faster? |
# | 06 fine-tuning | how does accuracy come back? |
# | 07 how much, and where | which layers give, and which do not? |
# | 08 lottery tickets | was the small network in there from the start? |
# | 09 shipping it | how does it reach the device? |
# | 10 capstone | can you meet the budget? |
# | 11 bonus: transformers | what changes for language models? |

# %% [markdown]
# ## Pitfalls
#
# **Forgetting the sign.** "Smallest" means closest to zero. Taking the smallest *numbers* removes
# the most negative weights, which are among the most important ones:


# %% varies
@torch.no_grad()
def without_lowest(model, share):
    """The mistake: no `abs`."""
    broken = copy.deepcopy(model)
    values = torch.cat([weight.flatten() for weight in weights_of(broken)])
    limit = values.kthvalue(round(share * len(values))).values
    for weight in weights_of(broken):
        weight[weight <= limit] = 0
    return broken


print(f"smallest sizes removed  : {percent_right(without_smallest(network, 0.2)):.1f} % right")
print(f"smallest numbers removed: {percent_right(without_lowest(network, 0.2)):.1f} % right")

# %% [markdown]
# **Pruning the original.** `other = network` does not copy: both names mean one network, and what
# you remove is gone from both. `copy.deepcopy` makes a second one.

# %%
layer = nn.Linear(4, 4)
same, copied = layer, copy.deepcopy(layer)
with torch.no_grad():
    same.weight.zero_()
print("zero in the original :", sparsity(layer))
print("zero in the real copy:", sparsity(copied))

# %% [markdown]
# ## In your own words
#
# Two questions for a human reader: your instructor in a class, yourself otherwise.

# %% [markdown]
# **1.** A colleague set half of a network's weights to zero and wants a smaller file. Name one
# thing that could change in *how the file is written*, and one in *what is removed*, so that it
# shrinks.

# %% [markdown] written="how_a_file_shrinks" points=2
# <!-- BEGIN SOLUTION -->
# The file could store only the weights that are not zero, together with their places (or be
# compressed, which finds the zeros too). Or whole rows, filters or layers could be removed, so that
# the tensors themselves become smaller and there are no zeros to store.
#
# *Marking: 1 point for leaving zeros out of the file in some way that keeps their places; 1 point
# for removing whole structures.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** Why do we compare removing the smallest weights with removing random ones, instead of only
# showing that accuracy stays high?

# %% [markdown] written="why_compare_with_random" points=1
# <!-- BEGIN SOLUTION -->
# Without the comparison we could not tell whether the criterion chose well or whether any fifth
# could have gone. Random removal costs far more, so magnitude does say something about importance.
#
# *Marking: 1 point for naming the alternative explanation that random removal rules out.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The last step: the test images
#
# All decisions of this lesson are made. Only now are the test images opened, to see whether what we
# found holds on images that no decision has seen.

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
before, after = (100 * accuracy(model, x_test, y_test) for model in (network, pruned))
print(f"test images: {before:.1f} % right before, {after:.1f} % after")

# %%
quiz("00", "section", "The last step")

# %% [markdown]
# ## Retrieval quiz
#
# Answer from memory, without scrolling up: the effort of recalling is what makes things stay. You
# can try again as often as you like, and your answers are kept on this computer alone.

# %%
quiz("00", "exit")

# %% [markdown]
# ## Recap
#
# - A trained network can lose the smallest fifth of its weights almost for free; a random fifth
#   costs far more.
# - Small means small in magnitude: the sign does not count.
# - Zeros alone save neither space nor time.
# - Decisions are made on validation images; the test images are opened at the end.

# %% [markdown]
# This is where you stand. The table counts the exercises of all lessons; your progress is kept on
# this computer alone, and survives a restart.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# What is recalled a few times, at growing distances, stays. So the questions of each lesson come
# back tomorrow, in three days, in a week and in a month, a few minutes a day. Run the cell, and do
# nothing else today.

# %%
enrol("00")

# %% [markdown]
# ## Further reading
#
# - Y. LeCun, J. Denker, S. Solla, *Optimal Brain Damage*, 1989: where it began, and already with
#   the question of which weights matter.
# - S. Han and others, *Learning both Weights and Connections for Efficient Neural Networks*, 2015
#   (arXiv 1506.02626): the paper that made magnitude pruning popular.
# - D. Blalock and others, *What is the State of Neural Network Pruning?*, 2020 (arXiv 2003.03033):
#   why so many published results cannot be compared, and what to do better.
