# %% [markdown]
# # 06 · Fine-tuning
#
# **About 150 minutes · difficulty 3 of 5**
#
# You will be able to
#
# - say when a pruned network needs training, at which rate, and where no training helps any more;
# - prune in steps: write the schedules, and turn the sparsities you want into the amounts tools ask
#   for;
# - train a network so that it is ready for pruning, by weights or by channels;
# - repair what surgery leaves behind: BatchNorm's statistics and the optimizer;
# - put three popular promises about pruning to a fair test.
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

quiz("06", "pretest")

# %% [markdown]
# ## Overview
#
# Pruning breaks something, training mends it: that is the rhythm of every pruning paper. It leaves
# many questions open. Train how fast, and for how long? Cut at once or little by little? Can a
# network be prepared for the cut? What else is broken besides the weights? You will answer them one
# by one, with seeds and error bars, and some of the popular answers will not survive.

# %% [markdown]
# ## Key concepts
#
# - **Fine-tuning**: training a pruned network on, with what was removed held at zero.
# - **Schedule**: the sparsities to be reached, round by round. **One shot**: all at once.
#   **Iterative**: the same fraction of what is left, every round. **Cubic**: fast first, then ever
#   more slowly.
# - **Penalty**: a term added to the loss that pulls weights (or BatchNorm's scales) towards zero.
# - **Recalibration**: taking BatchNorm's running statistics anew, without any training.
# - **Learning-rate rewinding**: training on with the *original* learning rates, not smaller ones.

# %%
import copy
import dataclasses
import time
from functools import cache, partial

import numpy as np
import torch
from IPython.display import display
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from course_utils import data, measure, models, plots, training
from course_utils.pruning import channels, importance, masks
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

digits = data.digits()
trained = cache(models.load)  # the same networks are asked for several times
FULL_RATE = training.RECIPES["lenet"]["lr"]  # the rate that our networks were trained with

# %% [markdown]
# Four helpers for this lesson. You have written all that is in them: masks by one ranking, and
# training that applies the masks after every step (lesson 03). Now they come from the course.


# %%
def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * training.accuracy(model, digits.x_val, digits.y_val)


def globally(model, share, within=None):
    """Masks by one ranking of all weights; what `within` removed already stays removed."""
    return masks.keep_global(importance.magnitude(model), share, within=within)


def pruned(model, keep):
    """A copy of the model with the masks applied."""
    smaller = copy.deepcopy(model)
    masks.apply(smaller, keep)
    return smaller


def train_on(model, keep, epochs, rate=FULL_RATE, seed=0, images=digits, schedule=training.cosine):
    """Train in place with Adam, zeros held. The rate falls to zero along a cosine, or stays."""
    training.train(
        model, images, epochs, rate, seed, schedule=schedule, quiet=True,
        after_step=lambda model: masks.apply(model, keep),
    )  # fmt: skip
    return model


# %% [markdown]
# ## Step 1: what comes back, and what does not
#
# **Question.** In lesson 03 two passes over the training images mended a CNN without 90 % of its
# weights. Does training always help, and does it always suffice? We take the LeNet, whose middle
# layer is easily emptied, remove more and more of it in one ranking, and train each pruned copy for
# five epochs.
#
# **Predict.** With 90 % of its weights gone the LeNet is badly hurt. How many percent right has our
# LeNet after five epochs of training?

# %%
predict("lenet_after_five_epochs", ...)


# %%
@cache
def before_and_after(seed, share):
    """Percent right without and with five epochs of training, and how much of fc2 is left."""
    keep = globally(trained("lenet", seed), share)
    shot = pruned(trained("lenet", seed), keep)
    before, left = percent_right(shot), 1 - measure.sparsity(keep["fc2.weight"])
    return before, percent_right(train_on(shot, keep, 5, seed=seed)), left


# %% varies demo
shares = [0.0, 0.2, 0.8, 0.9, 0.95, 0.97]
if predicted("lenet_after_five_epochs"):
    runs = [[before_and_after(seed, share) for share in shares] for seed in range(5)]
    outcome("lenet_after_five_epochs", runs[0][shares.index(0.9)][1], "% for our network")
    columns = {
        "one shot, no training": [[before for before, _, _ in run] for run in runs],
        "five epochs, zeros held": [[after for _, after, _ in run] for run in runs],
    }
    display(
        plots.bars(
            [f"{100 * share:.0f} %" for share in shares],
            {name: np.mean(of, axis=0).tolist() for name, of in columns.items()},
            errors={name: np.std(of, axis=0, ddof=1).tolist() for name, of in columns.items()},
            ylabel="right on validation, %",
            title="LeNets without so many of their weights (mean and deviation of five)",
        )
    )
    for share, (_, _, left) in zip(shares, runs[0], strict=True):
        print(f"{100 * share:.0f} % removed: {100 * left:7.3f} % of fc2's weights are left")

# %% [markdown]
# Three regions.
#
# - **On the left nothing is lost**, so there is nothing to win back. You will read that fine-tuning
#   after pruning is compulsory. It is a good rule for strong pruning. But whether *your* network
#   needs it is a measurement, not a rule: at 20 % ours does not.
# - **In the middle** the cut hurts, and training mends it, more or less.
# - **On the right** training does next to nothing. The list says why: the middle layer is as good
#   as empty. Hardly anything of an image reaches the output. And hardly any error finds its way
#   back:

# %% varies demo
for share in (0.9, 0.97):
    keep = globally(trained("lenet"), share)
    shot = pruned(trained("lenet"), keep)
    cross_entropy(shot(digits.x_train), digits.y_train).backward()
    slopes = shot.fc1.weight.grad[keep["fc1.weight"] != 0]
    print(
        f"{100 * share:.0f} % removed: of fc1's {len(slopes)} remaining weights "
        f"{100 * (slopes != 0).double().mean():.1f} % have a gradient"
    )

# %% [markdown]
# This is **over-pruning**. It is not a matter of patience or of the right rate: a weight without a
# gradient does not learn. So look at the layers before you spend hours on training.


# %% varies claim="recovery_has_a_beginning_and_an_end"
def three_regions(seed):
    net = trained("lenet", seed)
    most, nearly_all = (before_and_after(seed, share) for share in (0.9, 0.97))
    return {
        "dense": percent_right(net),
        "fifth": percent_right(pruned(net, globally(net, 0.2))),
        "most": most[0],
        "mended": most[1],
        "dead": nearly_all[1],
    }


if predicted("lenet_after_five_epochs"):
    display(
        claim(
            "recovery_has_a_beginning_and_an_end",
            three_regions,
            holds=lambda dense, fifth, most, mended, dead: (
                (dense - fifth).mean() < 1 and (mended - most).mean() > 15 and dead.max() < 40
            ),
            says=lambda dense, fifth, most, mended, dead: (
                f"Without a fifth of its weights the LeNet lost {(dense - fifth).mean():.1f} "
                f"points on average, untrained. Without 90 % five epochs won back "
                f"{(mended - most).mean():.0f} points on average. Without 97 % at most "
                f"{dead.max():.0f} % were right after the same training."
            ),
        )
    )

# %%
quiz("06", "section", "Step 1")

# %% [markdown]
# ## Step 2: at which rate?
#
# **Question.** A rule that you find everywhere: fine-tune with **a tenth to a hundredth** of the
# original learning rate. The reason given is a good one: the network has nearly converged, and
# large steps would only throw it about. Let us try: the LeNet, three sparsities, five epochs, three
# rates.
#
# **Predict.** Which rate wins without 90 % of the weights?

# %%
predict("the_best_rate", ..., choices=("the full rate", "a tenth", "a hundredth"))

# %%
rates = {"the full rate": 1.0, "a tenth": 0.1, "a hundredth": 0.01}


@cache
def tuned_at(seed, share, factor, epochs):
    keep = globally(trained("lenet", seed), share)
    shot = pruned(trained("lenet", seed), keep)
    return train_on(shot, keep, epochs, factor * FULL_RATE, seed)


# %% varies demo
if predicted("the_best_rate"):
    cuts = [0.5, 0.8, 0.9]
    runs = {
        name: [[percent_right(tuned_at(s, cut, factor, 5)) for cut in cuts] for s in range(5)]
        for name, factor in rates.items()
    }
    ninety = {name: np.mean(runs[name], axis=0)[-1] for name in rates}
    outcome("the_best_rate", max(ninety, key=ninety.get))
    display(
        plots.bars(
            [f"{100 * cut:.0f} % removed" for cut in cuts],
            {name: np.mean(of, axis=0).tolist() for name, of in runs.items()},
            errors={name: np.std(of, axis=0, ddof=1).tolist() for name, of in runs.items()},
            ylabel="right on validation, %",
            title="Five epochs at three rates (mean and deviation of five LeNets)",
        )
    )

# %% [markdown]
# At 50 % it makes little difference: there is little to mend. At 90 % the rule does harm. Why? The
# reason behind it, "nearly converged", is true of the network *before* the cut. Afterwards it has a
# long way to go, and a small rate cannot go it. Adam moves a weight by no more than about the rate
# in each step. So count how far the weights got:

# %% varies demo
if predicted("the_best_rate"):
    keep = globally(trained("lenet"), 0.9)
    start = pruned(trained("lenet"), keep)
    for name, factor in rates.items():
        end = tuned_at(0, 0.9, factor, 5)
        moved, sizes = [], []
        for layer, mask in keep.items():
            old, new = start.get_parameter(layer)[mask != 0], end.get_parameter(layer)[mask != 0]
            moved.append((new - old).abs())
            sizes.append(old.abs())
        share = torch.cat(moved).median() / torch.cat(sizes).median()
        print(f"{name:14} a typical weight moved by {100 * share:.1f} % of a typical size")


# %% varies claim="a_small_rate_is_too_slow_for_a_deep_cut"
def three_rates(seed):
    full, tenth, hundredth = (
        percent_right(tuned_at(seed, 0.9, factor, 5)) for factor in rates.values()
    )
    return {"full": full, "tenth": tenth, "hundredth": hundredth}


if predicted("the_best_rate"):
    display(
        claim(
            "a_small_rate_is_too_slow_for_a_deep_cut",
            three_rates,
            holds=lambda full, tenth, hundredth: (
                (full - tenth).min() > 0
                and (full - tenth).mean() > 8
                and (tenth - hundredth).mean() > 2
            ),
            says=lambda full, tenth, hundredth: (
                f"Five epochs after losing 90 % the LeNet had {full.mean():.0f} % right at the "
                f"full rate, {tenth.mean():.0f} % at a tenth and {hundredth.mean():.0f} % at a "
                f"hundredth; the full rate led by at least {(full - tenth).min():.0f} points."
            ),
        )
    )

# %% [markdown]
# Is the rule wrong, then? It was made for large networks, trained for many epochs, cut a little,
# often with SGD, and fine-tuned for many epochs again. Give ours more time, at a gentler cut:

# %% varies demo
if predicted("the_best_rate"):
    lengths = [1, 2, 5, 10]
    found = {
        name: [[percent_right(tuned_at(s, 0.8, factor, n)) for n in lengths] for s in range(3)]
        for name, factor in rates.items()
    }
    display(
        plots.curve(
            lengths,
            found,
            xlabel="epochs of fine-tuning",
            ylabel="right on validation, %",
            title="Without 80 % of the weights, at three rates",
        )
    )
    means = {name: np.mean(of, axis=0) for name, of in found.items()}
    for name in ("a tenth", "a hundredth"):
        behind = means["the full rate"] - means[name]
        print(f"{name:11} is {behind[0]:4.1f} points behind after 1 epoch", end=", ")
        print(f"{behind[-1]:4.1f} after {lengths[-1]}")

# %% [markdown]
# Time makes up for the rate, more or less. So keep the rule as what it is: a cautious choice for
# mild cuts and long training. On a short budget, or after a deep cut, start with the original rate
# and let it fall: **learning-rate rewinding**. (Renda and others, 2020, compared the two on large
# networks, and the original rates came out ahead.) And try it on *your* network: three short runs
# cost little.
#
# **A rate that comes back by accident.** One more thing about rates. A cosine schedule is told how
# many steps it has, `T_max`. A popular mistake tells it the number of *epochs* and then calls it
# after every *batch*. Another trains on when the schedule is over. PyTorch does not complain. What
# does the rate do?
#
# **Predict.** A cosine from the full rate down to zero, planned for 40 steps, is called 80 times.
# How many percent of the full rate is the rate at the end?

# %%
predict("rate_past_the_end", ...)


# %%
def rates_of(steps, planned):
    """The rate at each step, of a cosine planned for `planned` steps."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=planned)
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()
    return [*seen, optimizer.param_groups[0]["lr"]]


# %% demo
if predicted("rate_past_the_end"):
    outcome("rate_past_the_end", 100 * rates_of(80, 40)[-1], "% of the full rate")
    display(
        plots.curve(
            range(0, 81, 4),
            {
                "planned for all 80 steps": rates_of(80, 80)[::4],
                "planned for 40 of them": rates_of(80, 40)[::4],
            },
            xlabel="step",
            ylabel="learning rate / full rate",
            title="The same scheduler, told two lengths",
        )
    )
    tops = [step for step, rate in enumerate(rates_of(80, 5)) if rate > 0.999]
    print("told 5, for the epochs, and called 80 times, it is at the full rate at steps", tops)

# %% [markdown]
# A cosine goes on: down, up, down, up. The training ends at whatever rate it happens to have, often
# the highest. Rates that cycle are a method of their own (warm restarts), and may even do well.
# The trouble is that nobody chose them, and nobody notices: print the rate.

# %%
quiz("06", "section", "Step 2")

# %% [markdown]
# ## Step 3: at once, or little by little?
#
# **Question.** In step 1 the LeNet could not be saved from 95 % on, because one ranking had emptied
# a layer. What if we cut a little, train, and cut again? Weights that are left can grow in between.
# To prune in steps one needs a **schedule**: which sparsity, when?
#
# Worked example: the simplest one, the same number of weights at every step.


# %%
def linear_sparsity(step, start, end, final):
    progress = (step - start) / (end - start)  # 0 at the start, 1 at the end
    progress = min(max(progress, 0.0), 1.0)  # and not beyond
    return final * progress


print([round(linear_sparsity(step, 2, 6, 0.8), 2) for step in range(8)])

# %% [markdown]
# The first weights to go are the easy ones, and the last ones hurt. So it is a pity to spend as
# much time on the first as on the last. Zhu and Gupta (2017) start fast and slow down. What is
# *missing* to the final sparsity $s_f$ shrinks with the cube of what is left of the way:
#
# $$s = s_f + (s_i - s_f)\,(1 - p)^3$$
#
# where $s_i$ is the sparsity at the start and $p$ the progress: 0 at `start`, 1 at `end`.
#
# **Exercise** `cubic_sparsity` · 2 points · about 12 minutes · difficulty 2 of 5
#
# Return the sparsity at `step`. Before `start` it is `initial`, after `end` it is `final`.
# `start` lies before `end`. Sparsities that are no shares from 0 to 1 (NaN included) raise
# `ValueError` with a sentence.


# %% exercise="cubic_sparsity"
def cubic_sparsity(step, start, end, final, initial=0.0):
    """The sparsity at a step: fast at first, and ever more slowly."""
    ### BEGIN SOLUTION
    if not 0 <= initial <= 1 or not 0 <= final <= 1:
        raise ValueError(f"{initial} and {final} are not both shares from 0 to 1")
    progress = min(max((step - start) / (end - start), 0.0), 1.0)
    return final + (initial - final) * (1 - progress) ** 3
    ### END SOLUTION


# %% check="cubic_sparsity"
check("cubic_sparsity", cubic_sparsity)

# %% [markdown]
# The other popular schedule is the one of the lottery-ticket experiments (lesson 08): every round
# removes the **same fraction of what is left**. In lesson 03 you computed what some rounds of a
# given fraction leave. Now the other way round: which fraction arrives where you want to be?
#
# **Exercise** `iterative_fractions` · 1 point · about 8 minutes · difficulty 2 of 5
#
# Return a list with `rounds` equal numbers: the fraction of what remains that each round has to
# remove, so that the share `final` of all weights is gone after the last. A `final` that is no
# share from 0 to 1 raises `ValueError`.


# %% exercise="iterative_fractions"
def iterative_fractions(final, rounds):
    """The same fraction of what remains, every round, arriving at `final`."""
    ### BEGIN SOLUTION
    if not 0 <= final <= 1:
        raise ValueError(f"{final} is not a share from 0 to 1")
    left_by_a_round = (1 - final) ** (1 / rounds)
    return [1 - left_by_a_round] * rounds
    ### END SOLUTION


# %% check="iterative_fractions"
check("iterative_fractions", iterative_fractions)

# %% [markdown]
# **See it.** The three schedules to 95 % in five rounds. Iterative pruning is not "a little every
# time": its first round is the largest.

# %%
cubic = yours_or_ours("cubic_sparsity", cubic_sparsity)
fractions = yours_or_ours("iterative_fractions", iterative_fractions)


def reached(parts):
    """The sparsities that a list of fractions of what remains arrives at, round by round."""
    return (1 - np.cumprod([1 - part for part in parts])).tolist()


def schedules(final, rounds=5):
    return {
        "one shot": [final] * rounds,
        "iterative": reached(fractions(final, rounds)),
        "cubic": [cubic(n, 0, rounds, final) for n in range(1, rounds + 1)],
    }


# %% demo
plots.curve(
    range(6),
    {name: [0, *targets] for name, targets in schedules(0.95).items()},
    xlabel="round",
    ylabel="share of the weights removed",
    title="Three ways to 95 %",
    percent_y=True,
)

# %% [markdown]
# Now the comparison, and a fair one: each way gets the **same ten epochs**, two after each of its
# five rounds, and the rate stays constant, so that late cuts meet the same rate as early ones.
#
# **Predict.** The LeNet at 95 %, one ranking. How many points better than one shot is the cubic
# schedule? (Mean of five networks; negative if it is worse.)

# %%
predict("cubic_minus_one_shot", ...)


# %%
def layer_by_layer(model, share, within=None):
    return masks.keep_local(importance.magnitude(model), share)


@cache
def in_rounds(seed, way, final, choose=globally):
    """Prune to each target of the schedule in turn, and train for two epochs after each."""
    model, keep = copy.deepcopy(trained("lenet", seed)), None
    for number, target in enumerate(schedules(final)[way]):
        keep = choose(model, target, keep)
        masks.apply(model, keep)
        train_on(model, keep, 2, seed=10 * seed + number, schedule=training.constant)
    return model


# %% varies demo
if predicted("cubic_minus_one_shot"):
    results = {}
    for label, final, choose in (
        ("95 %, one ranking", 0.95, globally),
        ("95 %, layer by layer", 0.95, layer_by_layer),
        ("90 %, one ranking", 0.9, globally),
    ):
        for way in schedules(final):
            found = [in_rounds(seed, way, final, choose) for seed in range(5)]
            results[label, way] = [percent_right(model) for model in found]
            left = np.mean([100 - 100 * measure.sparsity(model.fc2.weight) for model in found])
            print(f"{label:22} {way:10} fc2 keeps {left:5.2f} % of its weights")
    first, ways = "95 %, one ranking", list(schedules(0.5))
    gain = np.subtract(results[first, "cubic"], results[first, "one shot"])
    outcome("cubic_minus_one_shot", gain.mean(), "points on average")
    labels = list(dict.fromkeys(label for label, _ in results))
    display(
        plots.bars(
            labels,
            {way: [np.mean(results[label, way]) for label in labels] for way in ways},
            errors={way: [np.std(results[label, way], ddof=1) for label in labels] for way in ways},
            ylabel="right on validation, %",
            title="Ten epochs each (mean and deviation of five LeNets)",
        )
    )

# %% [markdown]
# In the first group the cubic schedule wins by a landslide. Before you write "gradual pruning is
# better", look at the list, and at the other two groups.
#
# One shot at 95 % in one ranking *emptied* `fc2`: that is what it suffers from. Pruned in steps,
# the layer's few weights grow during the training in between and hold their own in the next
# ranking. Where no layer is emptied, because each loses the same share or because less is cut, the
# landslide is gone. Steps even have a price there: after its last cut a schedule has only the last
# two epochs to recover, while one shot has had all ten. Look at the iterative schedule in the
# second group: of the two that cut in steps, it has more left to cut at the end.


# %% varies claim="steps_keep_a_layer_from_being_emptied"
def cubic_and_one_shot(seed):
    found = {way: in_rounds(seed, way, 0.95) for way in ("one shot", "cubic")}
    equal = {way: in_rounds(seed, way, 0.95, layer_by_layer) for way in ("one shot", "cubic")}
    return {
        "gain": percent_right(found["cubic"]) - percent_right(found["one shot"]),
        "equal": percent_right(equal["cubic"]) - percent_right(equal["one shot"]),
        "shot": 100 - 100 * measure.sparsity(found["one shot"].fc2.weight),
        "steps": 100 - 100 * measure.sparsity(found["cubic"].fc2.weight),
    }


if predicted("cubic_minus_one_shot"):
    display(
        claim(
            "steps_keep_a_layer_from_being_emptied",
            cubic_and_one_shot,
            holds=lambda gain, equal, shot, steps: (
                gain.min() > 10
                and shot.max() < 0.5
                and steps.min() > 0.5
                and (gain - equal).mean() > 20
            ),
            says=lambda gain, equal, shot, steps: (
                f"At 95 % in one ranking the cubic schedule was at least {gain.min():.0f} points "
                f"better than one shot on the same ten epochs; it kept {steps.mean():.1f} % of the "
                f"middle layer, one shot {shot.mean():.2f} %. With the same share taken from each "
                f"layer the difference was {equal.mean():+.0f} points on average."
            ),
        )
    )

# %% [markdown]
# What to take along: cutting in steps is a good remedy for layer collapse, and no law. On an equal
# budget it has to be tried. (That iterative pruning beats one shot is widely repeated. Many
# comparisons give it more training; see Pitfalls.)

# %%
quiz("06", "section", "Step 3")

# %% [markdown]
# ## Step 4: the amounts that lead there
#
# **Question.** "Prune to 20 %, 40 %, 60 %, then to 90 %": that is how schedules are written, and
# many a tutorial hands such a list, number by number, to `prune.l1_unstructured` as the `amount`.
# From lesson 04 you know what PyTorch makes of an amount on a layer that is pruned already.
#
# **Predict.** The amounts 0.2, 0.4, 0.6 and 0.9, one after the other. How many percent of the
# weights are **left** in the end? (Ten percent were planned.)

# %%
predict("left_by_the_list", ...)

# %% [markdown]
# **Exercise** `amounts_for_targets` · 2 points · about 12 minutes · difficulty 2 of 5
#
# `targets` is a list of cumulative sparsities, shares of *all* weights, none below the one before
# it. Return the list of amounts that lead there: each a share of what is *left* when its turn
# comes.
#
# - Once everything is gone, the amount is 0.
# - No targets give an empty list.
# - A target that is no share from 0 to 1 (NaN included) raises `ValueError`.


# %% exercise="amounts_for_targets"
def amounts_for_targets(targets):
    """Cumulative sparsities turned into shares of what is left."""
    ### BEGIN SOLUTION
    for target in targets:
        if not 0 <= target <= 1:
            raise ValueError(f"{target} is not a share from 0 to 1")
    amounts, previous = [], 0.0
    for target in targets:
        left = 1 - previous
        amounts.append((target - previous) / left if left > 0 else 0.0)
        previous = target
    return amounts
    ### END SOLUTION


# %% check="amounts_for_targets"
check("amounts_for_targets", amounts_for_targets)

# %% [markdown]
# **See it.** The same list, used in both ways on the CNN's wide layer with PyTorch's own function.

# %%
amounts_of = yours_or_ours("amounts_for_targets", amounts_for_targets)
planned = [0.2, 0.4, 0.6, 0.9]


def after_each(amounts):
    """The sparsity of the CNN's fc1 after each of these calls."""
    layer = copy.deepcopy(trained("cnn").fc1)
    found = []
    for amount in amounts:
        prune.l1_unstructured(layer, "weight", amount=amount)
        found.append(measure.sparsity(layer.weight))
    return found


# %% demo
if predicted("left_by_the_list"):
    careless = after_each(planned)
    outcome("left_by_the_list", 100 * (1 - careless[-1]), "%")
    display(
        plots.curve(
            range(1, 5),
            {
                "planned": planned,
                "amounts worked out": after_each(amounts_of(planned)),
                "the list itself as amounts": careless,
            },
            xlabel="round",
            ylabel="share of the weights removed",
            title="One list of targets, handed over in two ways",
            percent_y=True,
        )
    )
    print("amounts:", [round(amount, 3) for amount in amounts_of(planned)])

# %% [markdown]
# Nothing fails, nothing warns, and the layer has a fraction of the weights it should have. If
# accuracy then "collapses at 90 %", it did not: it collapsed at what was really reached. After each
# round, measure the sparsity.

# %%
quiz("06", "section", "Step 4")

# %% [markdown]
# ## Step 5: training towards sparsity
#
# **Question.** So far the cut came first and the training after it. Can training *prepare* a
# network, so that little is lost when the weights go? The idea: add to the loss a **penalty** on
# the weights, so that a weight only stays large if it earns its size. **L1** adds up the absolute
# values, and pulls each weight towards zero with the same force. **L2** adds up the squares: its
# pull fades as the weight shrinks.
#
# A third kind looks at whole channels. BatchNorm multiplies every channel by a **scale**. A penalty
# on the scales makes channels, not weights, compete. That is step 6; you write all three now.
#
# **Exercise** `sparsity_penalty` · 3 points · about 15 minutes · difficulty 3 of 5
#
# Return `strength` times, for the kind
#
# - `"l1"`: the sum of the absolute values of all prunable weights (those of Linear and Conv2d,
#   without biases; a tensor that two layers share counts once);
# - `"l2"`: the sum of their squares;
# - `"bn"`: the sum of the absolute BatchNorm scales (1-D and 2-D; a layer made with `affine=False`
#   has none).
#
# It is a tensor with one number, **differentiable**: it will be added to a loss. A model without
# such layers gives 0. Another kind raises `ValueError`.


# %% exercise="sparsity_penalty"
def sparsity_penalty(model, kind, strength):
    """A term for the loss that pulls weights, or BatchNorm's scales, towards zero."""
    ### BEGIN SOLUTION
    if kind not in ("l1", "l2", "bn"):
        raise ValueError(f"there is no penalty of kind {kind!r}")
    wanted = (nn.BatchNorm1d, nn.BatchNorm2d) if kind == "bn" else (nn.Linear, nn.Conv2d)
    weights = [layer.weight for layer in model.modules() if isinstance(layer, wanted)]
    total = torch.zeros(())
    for weight in {id(w): w for w in weights if w is not None}.values():
        total = total + (weight.square() if kind == "l2" else weight.abs()).sum()
    return strength * total
    ### END SOLUTION


# %% check="sparsity_penalty"
check("sparsity_penalty", sparsity_penalty)

# %% [markdown]
# Now LeNets from scratch: the usual ten epochs, with and without an L1 penalty, then 90 % removed
# in one ranking, and **no** fine-tuning. Two predictions this time.
#
# **Predict.** How many percent right has our LeNet at 90 % if it was trained with the L1 penalty?
# And how many percent of its weights are *exactly* zero after that training, before any pruning?

# %%
predict("right_after_l1", ...)

# %%
predict("zeros_after_l1", ...)

# %%
penalty = yours_or_ours("sparsity_penalty", sparsity_penalty)
adam = partial(torch.optim.Adam, lr=FULL_RATE)


def train_with_penalty(model, kind, strength, make_optimizer, epochs=10, seed=0):
    """An ordinary training loop with one more term in the loss."""
    optimizer = make_optimizer(model.parameters())
    batches = -(-len(digits.x_train) // 64)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * batches)
    order = torch.Generator().manual_seed(seed)
    with measure.threads(1):
        model.train()
        for _ in range(epochs):
            for x, y in data.batches(digits.x_train, digits.y_train, 64, order):
                optimizer.zero_grad()
                loss = cross_entropy(model(x), y) + penalty(model, kind, strength)
                loss.backward()
                optimizer.step()
                rate.step()
    return model.eval()


@cache
def prepared(seed, kind, strength):
    return train_with_penalty(models.new("lenet", seed), kind, strength, adam, seed=seed)


# %% varies demo
if predicted("right_after_l1", "zeros_after_l1"):
    ours = prepared(0, "l1", 5e-4)
    outcome("right_after_l1", percent_right(pruned(ours, globally(ours, 0.9))), "%")
    outcome("zeros_after_l1", 100 * measure.sparsity(ours), "%")
    kinds = {
        "no penalty": ("l1", 0.0),
        "L1, weak": ("l1", 1e-4),
        "L1": ("l1", 5e-4),
        "L2, weak": ("l2", 5e-4),
        "L2": ("l2", 5e-3),
    }
    before, after = {}, {}
    for name, how in kinds.items():
        nets = [prepared(seed, *how) for seed in range(5)]
        before[name] = [percent_right(net) for net in nets]
        after[name] = [percent_right(pruned(net, globally(net, 0.9))) for net in nets]
    display(
        plots.bars(
            list(kinds),
            {
                "dense": [np.mean(before[name]) for name in kinds],
                "90 % removed": [np.mean(after[name]) for name in kinds],
            },
            errors={
                "dense": [np.std(before[name], ddof=1) for name in kinds],
                "90 % removed": [np.std(after[name], ddof=1) for name in kinds],
            },
            ylabel="right on validation, %",
            title="LeNets trained with penalties, not fine-tuned (five seeds)",
        )
    )
    for name, how in kinds.items():
        row = torch.cat([w.detach().abs().flatten() for w in measure.prunable_weights(
            prepared(0, *how)).values()])  # fmt: skip
        print(
            f"{name:11} exactly zero: {100 * (row == 0).double().mean():.1f} %, "
            f"below 0.001: {100 * (row < 0.001).double().mean():4.1f} %"
        )

# %% [markdown]
# The dense accuracy hardly notices, and the cut hurts far less. But look at the list: the penalty
# made hardly any weight *exactly* zero. "L1 gives zeros" is true of the minimum that the penalty
# has. A step of Adam (or SGD) passes zero and comes back, and does not land on it. The penalty
# makes weights *small*; setting them to zero is still pruning.
#
# (It is also said that the L1 norm "counts the zeros". It counts nothing: it adds up sizes.
# Counting has no gradient, and this is why one penalises sizes instead.)
#
# And L1 or L2? Compare the bars: it is no matter of the kind alone, the strength counts as much,
# and too much of it would harm the dense network. Their strengths are not in the same unit, so "L1
# beats L2 at the same strength" would mean nothing.


# %% varies claim="an_l1_penalty_prepares_for_the_cut"
def l1_helps(seed):
    plain, ready = prepared(seed, "l1", 0.0), prepared(seed, "l1", 5e-4)
    cut = {name: pruned(net, globally(net, 0.9)) for name, net in (("p", plain), ("r", ready))}
    return {
        "plain": percent_right(cut["p"]),
        "ready": percent_right(cut["r"]),
        "cost": percent_right(plain) - percent_right(ready),
        "zeros": 100 * measure.sparsity(ready),
    }


if predicted("right_after_l1", "zeros_after_l1"):
    display(
        claim(
            "an_l1_penalty_prepares_for_the_cut",
            l1_helps,
            holds=lambda plain, ready, cost, zeros: (
                (ready - plain).min() > 3
                and (ready - plain).mean() > 12
                and cost.mean() < 1.5
                and zeros.max() < 1
            ),
            says=lambda plain, ready, cost, zeros: (
                f"Without 90 % of its weights and without fine-tuning, a LeNet trained with the L1 "
                f"penalty had {ready.mean():.0f} % right, one without {plain.mean():.0f} %. Before "
                f"pruning at most {zeros.max():.1f} % of its weights were exactly zero."
            ),
        )
    )

# %%
quiz("06", "section", "Step 5")

# %% [markdown]
# ## Step 6: slimming, a penalty that chooses channels
#
# **Question.** Scattered zeros save nothing by themselves (lesson 03), removed channels do (lesson
# 05). Can a penalty tell us which channels may go? In lesson 05 the size of a filter in front of a
# BatchNorm was a poor guide, because BatchNorm rescales it anyway. The **scale** of the BatchNorm
# is what the next layer really sees. *Network slimming* (Liu and others, 2017) penalises the scales
# while training, ranks them over the whole network, and removes the channels of the smallest.
#
# We train CNNs with SGD for ten epochs, with and without the penalty, and then switch off the
# channels with the smaller half of all scales. No fine-tuning.
#
# **Predict.** How many percent right has the slimmed CNN with half of its channels off?

# %%
predict("right_with_half_the_channels", ...)

# %%
sgd = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=5e-4)
norms_of = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3"}  # whose scales judge which layer


@cache
def slimmed(seed, strength):
    return train_with_penalty(models.new("cnn", seed), "bn", strength, sgd, seed=seed)


def scales(model):
    return {conv: model.get_submodule(bn).weight.detach().abs() for conv, bn in norms_of.items()}


def weakest_channels(model, share):
    """By convolution, the channels whose scales belong to the smallest share of all scales."""
    keep = masks.keep_global(scales(model), share)
    return {conv: (mask == 0).nonzero().flatten().tolist() for conv, mask in keep.items()}


def switched_off(model, share):
    """A copy whose weakest channels say nothing any more: scale and shift are zero."""
    silent = copy.deepcopy(model)
    with torch.no_grad():
        for conv, gone in weakest_channels(model, share).items():
            norm = silent.get_submodule(norms_of[conv])
            norm.weight[gone], norm.bias[gone] = 0.0, 0.0
    return silent


# %% varies demo
if predicted("right_with_half_the_channels"):
    off = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8]
    curves = {
        f"penalty {strength}": [
            [percent_right(switched_off(slimmed(seed, strength), share)) for share in off]
            for seed in range(3)
        ]
        for strength in (0.0, 0.05)
    }
    outcome("right_with_half_the_channels", curves["penalty 0.05"][0][off.index(0.5)], "%")
    display(
        plots.curve(
            off,
            curves,
            xlabel="share of the channels switched off (smallest scales)",
            ylabel="right on validation, %",
            title="Network slimming: CNNs with a penalty on BatchNorm's scales",
            percent_x=True,
        )
    )
    for strength in (0.0, 0.01, 0.05):
        net = slimmed(0, strength)
        row = torch.cat(list(scales(net).values()))
        print(
            f"penalty {strength:4}: {100 * (row < 0.02).double().mean():2.0f} % of the scales < "
            f"0.02; with half of the channels off {percent_right(switched_off(net, 0.5)):.1f} % "
            "right"
        )

# %% [markdown]
# With enough strength the scales fall apart into many that are next to nothing and a few that carry
# the network, and the many can go. The list has a fifth of that strength too, and there one sees
# nothing of the kind: the strength of a penalty must be *tried*, and "the method does not work"
# often means "it was too weak" (or the training too short).
#
# Channels that are off can be removed for good, and now the saving is real:

# %% varies demo
if predicted("right_with_half_the_channels"):
    example = digits.x_val[:8]
    slim = slimmed(0, 0.05)
    small = channels.remove(slim, example, weakest_channels(slim, 0.5))
    faster, spread = measure.speedup(slim, small, digits.x_val[:64])
    print(f"switched off {percent_right(switched_off(slim, 0.5)):.1f} % right,", end=" ")
    print(f"removed {percent_right(small):.1f} %")
    print(f"MACs: {measure.macs(slim, example) / measure.macs(small, example):.1f} times fewer")
    print(f"64 images: {faster:.2f} times as fast (middle half of the repeats {spread:.2f} wide)")


# %% varies claim="slimming_makes_half_the_channels_superfluous"
def slimming(seed):
    return {
        "plain": percent_right(switched_off(slimmed(seed, 0.0), 0.5)),
        "slim": percent_right(switched_off(slimmed(seed, 0.05), 0.5)),
    }


if predicted("right_with_half_the_channels"):
    display(
        claim(
            "slimming_makes_half_the_channels_superfluous",
            slimming,
            holds=lambda plain, slim: (slim - plain).mean() > 15 and slim.mean() > 90,
            says=lambda plain, slim: (
                f"With the smaller half of its scales off, and no fine-tuning, a slimmed CNN had "
                f"{slim.mean():.1f} % right, one trained without the penalty {plain.mean():.0f} %."
            ),
        )
    )

# %%
quiz("06", "section", "Step 6")

# %% [markdown]
# ## Step 7: BatchNorm's memory of another network
#
# **Question.** We remove half of the channels of a ResNet, by the size of their filters, and it is
# ruined. How much of that is the fault of the missing channels? There is another suspect. Every
# BatchNorm carries a *running mean* and a *running variance*, taken while the whole network
# trained. With half of the channels gone other numbers arrive, and BatchNorm goes on normalising by
# the old ones.
#
# **Predict.** We take these statistics anew from the training images and change **no weight at
# all**. How many points of accuracy does that bring? (Mean of five ResNets.)

# %%
predict("points_from_recalibration", ...)

# %% [markdown]
# **Exercise** `recalibrate_batchnorm` · 3 points · about 20 minutes · difficulty 3 of 5
#
# Replace, **in place**, the running statistics of every BatchNorm layer (1-D and 2-D) by the plain
# average, over the batches, of the batch's mean and of its unbiased variance.
#
# - `batches` is a list of images x, or of pairs (x, y), all of the same size.
# - While they run through, all BatchNorm layers that keep statistics are in training mode and
#   everything else in eval mode: dropout is off.
# - Weights, gradients, hooks, modes and momentum settings are afterwards what they were, and
#   gradients are not switched off for others. (`num_batches_tracked` may be anything.)
# - A layer with `track_running_stats=False` has no statistics; a model may have no BatchNorm at
#   all.


# %% exercise="recalibrate_batchnorm"
def recalibrate_batchnorm(model, batches):
    """Take BatchNorm's running statistics anew."""
    ### BEGIN SOLUTION
    modes = {module: module.training for module in model.modules()}
    norms = [m for m in modes if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    norms = {norm: norm.momentum for norm in norms if norm.running_mean is not None}
    model.eval()
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # a plain average of all batches since the reset
    try:
        with torch.no_grad():
            for batch in batches:
                model(batch[0] if isinstance(batch, tuple | list) else batch)
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    ### END SOLUTION


# %% check="recalibrate_batchnorm"
check("recalibrate_batchnorm", recalibrate_batchnorm)

# %% [markdown]
# (PyTorch has something close: `torch.optim.swa_utils.update_bn`. It leaves dropout on, and puts
# layers that you had frozen in eval mode back into the mode of the whole model.)
#
# **See it.** Five ResNets. Beside recalibration alone, one epoch of fine-tuning, alone and together
# with it.

# %%
recalibrate = yours_or_ours("recalibrate_batchnorm", recalibrate_batchnorm)
all_batches = list(data.batches(digits.x_train, digits.y_train, 100))


@cache
def halved(name, seed):
    """Half of the channels of every layer removed for good, by the L1 norm of their filters."""
    model, some = trained(name, seed), digits.x_val[:8]
    sizes = {layer: w.detach().abs() for layer, w in measure.prunable_weights(model).items()}
    return channels.remove(model, some, channels.weakest(model, some, sizes, 0.5))


def recalibrated(model):
    model = copy.deepcopy(model)
    recalibrate(model, all_batches)
    return model


def one_epoch(model, seed):
    return train_on(copy.deepcopy(model), {}, 1, FULL_RATE / 2, seed)


# %% varies demo
if predicted("points_from_recalibration"):
    stages = {name: [] for name in ("removed", "recalibrated", "trained", "trained, recalibrated")}
    for seed in range(5):
        small = halved("resnet8", seed)
        after = one_epoch(small, seed)
        found = (small, recalibrated(small), after, recalibrated(after))
        for name, model in zip(stages, found, strict=True):
            stages[name].append(percent_right(model))
    gain = np.subtract(stages["recalibrated"], stages["removed"])
    outcome("points_from_recalibration", gain.mean(), "points on average")
    display(
        plots.bars(
            list(stages),
            [np.mean(of) for of in stages.values()],
            errors=[np.std(of, ddof=1) for of in stages.values()],
            ylabel="right on validation, %",
            title="Five ResNets without half of their channels",
        )
    )

# %% [markdown]
# A good part of the damage was no missing channel at all, but a wrong average. Keep this in mind
# when you compare ways of choosing channels: without recalibration you may be measuring BatchNorm.
#
# The last two bars hold a surprise for experts. Training updates the statistics too; so why is
# there still something to win by recalibration *after* an epoch? Because the running statistics
# move by a momentum:

# %%
steps = -(-len(digits.x_train) // 64)
momentum = trained("resnet8").bn.momentum
print(f"one epoch has {steps} steps, each keeps {100 * (1 - momentum):.0f} % of the statistics")
print(f"after the epoch {100 * (1 - momentum) ** steps:.0f} % of the old ones are still in there")

# %% [markdown]
# After a *short* fine-tuning, recalibrate: it costs one pass without gradients. After a long one it
# has taken care of itself.


# %% varies claim="recalibration_alone_mends_much"
def recalibration(seed):
    small = halved("resnet8", seed)
    return {"before": percent_right(small), "after": percent_right(recalibrated(small))}


if predicted("points_from_recalibration"):
    display(
        claim(
            "recalibration_alone_mends_much",
            recalibration,
            holds=lambda before, after: (after - before).min() > 5 and (after - before).mean() > 15,
            says=lambda before, after: (
                f"Without half of its channels a ResNet-8 had {before.mean():.0f} % right, and "
                f"with new BatchNorm statistics alone {after.mean():.0f} % (at least "
                f"{(after - before).min():.0f} points more)."
            ),
        )
    )

# %%
quiz("06", "section", "Step 7")

# %% [markdown]
# ## Step 8: the optimizer after surgery
#
# **Question.** Training made an optimizer, and it carries what the network has learned about its
# steps: momentum, rates. Now we remove half of the CNN's channels, which makes *new*, smaller
# parameters, and train on with the optimizer that we have.
#
# **Predict.** After two epochs with the old optimizer, how many percent of the small network's
# weights have changed?

# %%
predict("weights_moved_by_the_old_one", ...)

# %% [markdown]
# **Exercise** `rebuild_optimizer` · 3 points · about 20 minutes · difficulty 4 of 5
#
# Return a **new** optimizer for the model's present parameters:
#
# - of the same class, whichever it is;
# - with the settings that hold **now**: those that `optimizer.defaults` names, with their values in
#   `optimizer.param_groups` (a scheduler may have changed the rate since);
# - but without what a scheduler left there beside them, its `initial_lr`;
# - in one group (if the old one has several, their settings are equal), with nothing remembered;
# - for **all** parameters, those too that do not train just now (`requires_grad=False`).
#
# The old optimizer and the model stay as they are.


# %% exercise="rebuild_optimizer"
def rebuild_optimizer(optimizer, model):
    """An optimizer of the same class and settings, for the parameters the model has now."""
    ### BEGIN SOLUTION
    group = optimizer.param_groups[0]
    new = type(optimizer)(list(model.parameters()), lr=group["lr"])
    for setting in optimizer.defaults:
        new.param_groups[0][setting] = copy.deepcopy(group[setting])
    return new
    ### END SOLUTION


# %% check="rebuild_optimizer"
check("rebuild_optimizer", rebuild_optimizer)

# %% [markdown]
# **See it.** The same small CNN, trained for two epochs in both ways.

# %%
rebuild = yours_or_ours("rebuild_optimizer", rebuild_optimizer)


def two_epochs(model, optimizer, seed=0):
    """A training loop as everybody writes it."""
    order = torch.Generator().manual_seed(seed)
    with measure.threads(1):
        model.train()
        for _ in range(2):
            for x, y in data.batches(digits.x_train, digits.y_train, 64, order):
                optimizer.zero_grad()
                cross_entropy(model(x), y).backward()
                optimizer.step()
    return model.eval()


def after_surgery(seed):
    """Accuracies after removal, training with the old and with a new optimizer, and more."""
    optimizer = torch.optim.Adam(trained("cnn", seed).parameters(), lr=FULL_RATE / 2)
    small = halved("cnn", seed)
    stale, fresh = copy.deepcopy(small), copy.deepcopy(small)
    two_epochs(stale, optimizer, seed)
    two_epochs(fresh, rebuild(optimizer, fresh), seed)
    pairs = zip(small.parameters(), stale.parameters(), strict=True)
    moved = torch.cat([(old != new).flatten() for old, new in pairs]).double().mean()
    found = {"removed": small, "old": stale, "new": fresh, "recalibrated": recalibrated(small)}
    return {**{n: percent_right(m) for n, m in found.items()}, "moved": 100 * moved.item()}


# %% varies demo
if predicted("weights_moved_by_the_old_one"):
    result = after_surgery(0)
    outcome("weights_moved_by_the_old_one", result["moved"], "%")
    display(
        plots.bars(
            ["removed", "old optimizer", "recalibrated only", "new optimizer"],
            [result[name] for name in ("removed", "old", "recalibrated", "new")],
            ylabel="right on validation, %",
            title="Our CNN without half its channels, after two epochs",
        )
    )

# %% [markdown]
# Not one weight has moved: an optimizer holds on to the objects that it was given when it was made,
# and they are not in the small network. And yet the accuracy has *risen*. You know why from step 7:
# in training mode BatchNorm took its statistics anew. This is what makes the mistake so hard to
# find: there is no error, something improves, and one concludes that fine-tuning helps "a bit".
#
# The rule: after anything that makes new parameters, a new optimizer. (Where the parameters stay
# and only their values are put back, as in lesson 08, the old one still carries momentum from other
# weights; a new one is right there too.)


# %% varies claim="a_stale_optimizer_trains_nothing"
def stale_and_fresh(seed):
    result = after_surgery(seed)
    return {key: result[key] for key in ("removed", "old", "new", "moved")}


if predicted("weights_moved_by_the_old_one"):
    display(
        claim(
            "a_stale_optimizer_trains_nothing",
            stale_and_fresh,
            holds=lambda removed, old, new, moved: (
                moved.max() == 0
                and (old - removed).mean() > 8
                and (new - old).mean() > 2
                and new.min() > 90
            ),
            says=lambda removed, old, new, moved: (
                f"Two epochs with the old optimizer moved {moved.max():.0f} % of the small CNN's "
                f"weights, and accuracy rose from {removed.mean():.0f} to {old.mean():.0f} %; "
                f"with a new optimizer it rose to {new.mean():.1f} %."
            ),
        )
    )

# %%
quiz("06", "section", "Step 8")

# %% [markdown]
# ## Step 9: three promises
#
# **First promise: "a large network, pruned, beats a small one."** If a fraction of the weights is
# enough, why train the large network at all? Zhu and Gupta (2017) compared *large-sparse* networks
# with *small-dense* ones of the same number of weights, on large tasks, and found the sparse ones
# better. Let us try with LeNets. Both get twenty epochs at the same constant rate: the large one
# ten dense, and ten along the cubic schedule; the small one all twenty, with both hidden layers
# narrower so that it has as many weights as the other has left.
#
# **Predict.** With a fifth of the weights: how many points better is the large-sparse LeNet? (Mean
# of five; negative if it is worse.)

# %%
predict("large_sparse_minus_small_dense", ...)


# %%
def narrow_lenet(share_left, seed):
    """A LeNet whose hidden layers are narrower, so that it has this share of the weights."""

    def weights(factor):
        wide, thin = max(1, round(300 * factor)), max(1, round(100 * factor))
        return 64 * wide + wide * thin + thin * 10, wide, thin

    wanted = share_left * weights(1.0)[0]
    _, wide, thin = min(
        (weights(factor) for factor in np.linspace(0.01, 1, 400)),
        key=lambda found: abs(found[0] - wanted),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1_000_003 + seed)
        layers = [nn.Linear(64, wide), nn.ReLU(), nn.Linear(wide, thin), nn.ReLU()]
        return nn.Sequential(nn.Flatten(), *layers, nn.Linear(thin, 10))


def small_dense(share, seed):
    model = narrow_lenet(1 - share, seed)
    return train_on(model, {}, 20, seed=seed, schedule=training.constant)


@cache
def ten_dense_epochs(seed):
    return train_on(models.new("lenet", seed), {}, 10, seed=seed, schedule=training.constant)


def large_sparse(share, seed):
    model, keep = copy.deepcopy(ten_dense_epochs(seed)), None
    for number in range(1, 11):
        keep = globally(model, cubic(number, 0, 10, share), keep)
        masks.apply(model, keep)
        train_on(model, keep, 1, seed=10 * seed + number, schedule=training.constant)
    return model


# %% varies demo
if predicted("large_sparse_minus_small_dense"):
    levels = [0.5, 0.8, 0.95]
    pairs = {
        "large-sparse": [[percent_right(large_sparse(s, k)) for s in levels] for k in range(5)],
        "small-dense": [[percent_right(small_dense(s, k)) for s in levels] for k in range(5)],
    }
    difference = np.subtract(pairs["large-sparse"], pairs["small-dense"])
    outcome("large_sparse_minus_small_dense", difference[:, 1].mean(), "points on average")
    display(
        plots.curve(
            levels,
            pairs,
            xlabel="share of the weights that the large LeNet loses, or the small one lacks",
            ylabel="right on validation, %",
            title="As many weights, kept in two ways",
            percent_x=True,
        )
    )
    for place, level in enumerate(levels):
        column = difference[:, place]
        error = column.std(ddof=1) / len(column) ** 0.5
        print(f"{100 * level:.0f} %: sparse - dense {column.mean():+.1f} +- {error:.1f} points")

# %% [markdown]
# The list gives the mean difference and its standard error over five pairs. Where it is not clearly
# larger than its error, and where it is a few images out of all, say so: *we cannot tell*. Does
# either win everywhere? Check what your run says at each end.
#
# Two more things belong into a fair verdict. The small-dense network is small and fast *as it is*;
# the sparse one needs a format or hardware that knows zeros. And the small one's shape was our own
# crude choice, both layers narrower by one factor. Others found that a small network trained from
# scratch, on an equal budget, can match the pruned one (Liu and others, 2018). So make no law of
# it: train the small one too, before you praise the pruned one. It is the baseline that is most
# often missing.
#
# **Second promise: "pruning reduces overfitting, so a pruned network generalises better."** Fewer
# weights, less to memorise with. It sounds right. We compare LeNets pruned and trained for ten more
# epochs with *dense* ones that trained for ten more epochs too (otherwise we would be measuring the
# epochs). And because the digits leave little to overfit, we do it again with 40 % of the training
# labels replaced by random ones: there is a lot to memorise then, and all of it is rubbish.
#
# **Predict.** With the true labels: how many points does the LeNet win on validation by losing half
# of its weights?

# %%
predict("points_won_by_pruning", ...)


# %%
def with_wrong_labels(share, seed):
    """The digits, but so many of the training labels drawn at random."""
    dice = torch.Generator().manual_seed(seed + 77)
    labels = digits.y_train.clone()
    wrong = torch.rand(len(labels), generator=dice) < share
    labels[wrong] = torch.randint(0, 10, (int(wrong.sum()),), generator=dice)
    return dataclasses.replace(digits, y_train=labels)


LEVELS = (0.5, 0.8)


@cache
def points_won(seed, noise):
    """Validation accuracy of pruned LeNets less that of a dense one trained as long."""
    images, base = digits, trained("lenet", seed)
    if noise:
        images, base = with_wrong_labels(noise, seed), models.new("lenet", seed)
        train_on(base, {}, 10, seed=seed, images=images)
    found = []
    for share in (0.0, *LEVELS):
        keep = globally(base, share)
        longer = train_on(pruned(base, keep), keep, 10, seed=seed, images=images)
        found.append(percent_right(longer))
    return [accuracy - found[0] for accuracy in found]


# %% varies demo
if predicted("points_won_by_pruning"):
    won = {
        name: [points_won(seed, noise) for seed in range(5)]
        for name, noise in (("true labels", 0.0), ("40 % of the labels random", 0.4))
    }
    outcome("points_won_by_pruning", np.mean(won["true labels"], axis=0)[1], "points on average")
    display(
        plots.curve(
            [0.0, *LEVELS],
            won,
            xlabel="share of the weights removed (global), then ten epochs",
            ylabel="points won over the dense LeNet",
            title="Does pruning help against overfitting?",
            percent_x=True,
        )
    )

# %% [markdown]
# With the true labels no gain is to be seen. (A smaller gap between training and validation
# accuracy would be no merit in itself: a network that fits the training images worse has one too.)
# With wrong labels one would expect more: a network that cannot memorise everything might drop some
# of the rubbish, and larger studies have reported gains there (Jin and others, 2022). Look at the
# error bars before you say that ours shows it. Where there is much to memorise, an earlier end of
# the training is worth a try as well. Prune to save; do not count on better answers.


# %% varies claim="pruning_does_not_improve_a_clean_lenet"
def clean_gain(seed):
    _, half, more = points_won(seed, 0.0)
    return {"half": half, "more": more}


if predicted("points_won_by_pruning"):
    display(
        claim(
            "pruning_does_not_improve_a_clean_lenet",
            clean_gain,
            holds=lambda half, more: half.mean() < 0.7 and more.mean() < 0.5,
            says=lambda half, more: (
                f"Compared with a dense LeNet trained as long, the one without half of its weights "
                f"had {half.mean():+.1f} points on validation, the one without 80 % "
                f"{more.mean():+.1f}. That is no clear gain."
            ),
        )
    )

# %% [markdown]
# **Third promise: "training gets faster, because fewer weights are updated."**
# In lesson 03 you wrote the training step that keeps zeros at zero.
#
# **Predict.** How many times faster is a training step of the CNN with 90 % of its weights masked?
# (1 means just as fast.)

# %%
predict("masked_step_speedup", ...)


# %%
def step_times(nets, repeats=16):
    """Seconds of one training step each, the networks taking turns; `nets`: (model, masks)."""
    steppers = [(m, keep, torch.optim.Adam(m.parameters(), lr=1e-3)) for m, keep in nets]
    x, y = digits.x_train[:64], digits.y_train[:64]
    times = []
    with measure.threads(1):
        for _ in range(repeats + 5):
            row = []
            for model, keep, optimizer in steppers:
                begin = time.perf_counter()
                model.train()
                optimizer.zero_grad()
                cross_entropy(model(x), y).backward()
                optimizer.step()
                if keep:
                    masks.apply(model, keep)
                row.append(time.perf_counter() - begin)
            times.append(row)
    return np.array(times[5:])  # the first rounds pay for memory and caches


# %% varies claim="masks_do_not_speed_training_up"
def training_speed(seed):
    model = trained("cnn", seed)
    keep = globally(model, 0.9)
    nets = [(copy.deepcopy(model), None), (pruned(model, keep), keep), (halved("cnn", seed), None)]
    dense, masked, smaller = step_times(nets).T
    low, middle, high = np.percentile(dense / masked, [25, 50, 75])
    return {"masked": middle, "spread": high - low, "smaller": np.median(dense / smaller)}


if predicted("masked_step_speedup"):
    outcome("masked_step_speedup", training_speed(0)["masked"], "times as fast")
    display(
        claim(
            "masks_do_not_speed_training_up",
            training_speed,
            holds=lambda masked, spread, smaller: (
                np.median(masked) < 1.2 and np.median(smaller) > 1.2
            ),
            says=lambda masked, spread, smaller: (
                f"A training step with 90 % of the weights masked was {np.median(masked):.2f} "
                "times as fast as a dense one (middle half of the repeats "
                f"{spread.mean():.2f} wide); with half of the channels *removed* it was "
                f"{np.median(smaller):.1f} times as fast."
            ),
        )
    )

# %% [markdown]
# Recall what a masked step does: every weight gets its gradient, the optimizer moves every weight,
# and then the masks put the zeros back. Zeros save no time; smaller tensors do. And remember what
# comes before: the dense network had to be trained first, and all rounds of pruning come on top. As
# a whole, pruning makes training *longer*. It pays later, every time the network is used.

# %%
quiz("06", "section", "Step 9")

# %% [markdown]
# ## Pitfalls
#
# **An unequal budget.** "Iterative pruning is better": here it is, in a comparison as one often
# meets it. The LeNet at 90 %, two epochs of training after each cut. One shot has one cut, the
# iterative way five. Then the same with one shot given all ten epochs:

# %% varies
net = trained("lenet")
keep = globally(net, 0.9)
for name, model in {
    "iterative, 5 x 2 epochs": in_rounds(0, "iterative", 0.9),
    "one shot,      2 epochs": train_on(pruned(net, keep), keep, 2, schedule=training.constant),
    "one shot,     10 epochs": train_on(pruned(net, keep), keep, 10, schedule=training.constant),
}.items():
    print(f"{name}: {percent_right(model):.1f} % right")

# %% [markdown]
# Count the epochs before you believe a comparison, also in papers.
#
# **Recalibrating on images that were prepared otherwise.** The statistics must come from images as
# the network will meet them. Ours have mean 0 and standard deviation 1. Here are the same training
# images once more, as grey levels from 0 to 16, before that preparation:

# %% varies
small = halved("resnet8", 0)
grey = digits.x_train - digits.x_train.min()
grey = 16 * grey / grey.max()
for name, images in (("as the network meets them", digits.x_train), ("as grey levels", grey)):
    model = copy.deepcopy(small)
    recalibrate(model, list(images.split(100)))
    print(f"recalibrated on images {name}: {percent_right(model):.1f} % right")

# %% [markdown]
# And take training images, never those you decide or test with: statistics are learned too.
#
# **A scheduler's leftovers.** Copying the *whole* settings of the old optimizer seems to be the
# careful way. A scheduler writes its starting rate, `initial_lr`, among them; the next scheduler
# finds it there and starts from it:

# %%
weight = nn.Parameter(torch.zeros(1))
old = torch.optim.SGD([weight], lr=0.1)
torch.optim.lr_scheduler.StepLR(old, step_size=1)
old.param_groups[0]["lr"] = 0.001  # what we fine-tune with now
whole = torch.optim.SGD([weight], lr=0.1)
whole.param_groups[0].update({k: v for k, v in old.param_groups[0].items() if k != "params"})
for name, optimizer in (("everything copied", whole), ("rebuilt", rebuild(old, nn.Linear(1, 1)))):
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    print(f"{name}: the new schedule starts at {optimizer.param_groups[0]['lr']}")

# %% [markdown]
# **The penalty left on.** A penalty prepares for the cut. Left on afterwards, it goes on shrinking
# the weights that are supposed to carry everything now. After a cut, check whether you still want
# it.

# %%
quiz("06", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A colleague removes half of the channels of a network with BatchNorm, trains on for two
# epochs with the optimizer from before, and reports: "fine-tuning brings back only a part". What
# happened, and how could they have noticed?

# %% [markdown] written="the_part_that_came_back" points=2
# <!-- BEGIN SOLUTION -->
# The optimizer still held the old, larger parameters, so no weight of the small network was
# trained. What came back is due to BatchNorm, which took new statistics in training mode. Comparing
# the weights before and after (none has changed), or comparing with recalibration alone, would have
# shown it. The remedy is a new optimizer for the present parameters.
#
# *Marking: one point for the stale optimizer, one for BatchNorm as the reason of the improvement or
# for a test that would have shown the mistake.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** "Fine-tune with a hundredth of the original rate." When is that good advice, when is it
# not, and why?

# %% [markdown] written="when_a_small_rate_is_right" points=2
# <!-- BEGIN SOLUTION -->
# It suits a network that is still near a good place: a mild cut, and enough steps to go the short
# way. After a deep cut on a short budget it fails, because the weights have far to go and each step
# moves them by about the rate at most. Then the original rates, falling to zero, are the better
# start.
#
# *Marking: one point for naming the conditions (how deep the cut, how long the training), one for
# the reason (distance against rate times steps, or no longer converged).*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** At 95 % in one ranking the cubic schedule beat one shot by a wide margin. Why is "gradual
# pruning is better" not what this shows?

# %% [markdown] written="what_the_cubic_win_shows" points=2
# <!-- BEGIN SOLUTION -->
# One shot had emptied a layer, so nothing could pass and nothing could be learned; pruning in steps
# avoided that. Where no layer is emptied (the same share from each layer, or a milder cut) the
# advantage was gone on the same budget. It shows a remedy for collapse, not a general law.
#
# *Marking: one point for the emptied layer, one for a comparison where the advantage disappears.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# For the ledger we put the lesson together: a CNN trained with the slimming penalty; the channels
# with the smallest scales removed for good; a new optimizer; fine-tuning at the full rate; new
# statistics at the end. Of a few shares we take the largest that stays within one point of the
# dense network, on the validation images.

# %% varies demo
dense = percent_right(trained("cnn"))
base = slimmed(0, 0.05)
candidates = {}
for share in (0.6, 0.7, 0.8):
    small = channels.remove(base, digits.x_val[:8], weakest_channels(base, share))
    candidates[share] = recalibrated(train_on(small, {}, 6))
    print(f"{100 * share:.0f} % of the channels removed: ", end="")
    print(f"{percent_right(candidates[share]):.1f} % right")
good = [share for share, model in candidates.items() if percent_right(model) >= dense - 1]
chosen = candidates[max(good, default=0.6)]
print(f"dense {dense:.1f} %; chosen: {100 * max(good, default=0.6):.0f} % removed")
enter("06", "slimmed, fine-tuned", chosen)

# %% [markdown]
# ## The last step: the test images

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
print("                     validation     test")
for name, model in {"dense": trained("cnn"), "slimmed, fine-tuned": chosen}.items():
    on_test = 100 * training.accuracy(model, x_test, y_test)
    print(f"{name:20} {percent_right(model):8.1f} % {on_test:8.1f} %")

# %% [markdown]
# Compare within a column: the test images may be easier or harder for both.

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("06", "exit")

# %% [markdown]
# ## Recap
#
# - Fine-tuning mends what pruning broke, between two limits: where nothing was lost it is not
#   needed, and where a layer is emptied it does not help.
# - "A tenth to a hundredth of the rate" suits mild cuts and long training. After a deep cut, on a
#   short budget, start with the original rate. Print the rate: schedulers go on past their end.
# - Cutting in steps keeps layers from being emptied. Beyond that it has to earn its place on an
#   equal budget. Targets are not amounts: amounts compound.
# - A penalty makes weights or channels small, not zero, and so prepares for the cut.
# - After removing channels: a new optimizer, and new BatchNorm statistics.
# - Compare with a small network trained as long. Pruning promises neither better answers nor faster
#   training.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of earlier lessons may be due.

# %%
enrol("06")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - A. Renda and others, *Comparing Rewinding and Fine-tuning in Neural Network Pruning*, 2020
#   (arXiv 2003.02389): the original learning rates against small ones.
# - M. Zhu and S. Gupta, *To prune, or not to prune: exploring the efficacy of pruning for model
#   compression*, 2017 (arXiv 1710.01878): the cubic schedule; large-sparse against small-dense.
# - Z. Liu and others, *Learning Efficient Convolutional Networks through Network Slimming*, 2017
#   (arXiv 1708.06519): a penalty on BatchNorm's scales.
# - Z. Liu and others, *Rethinking the Value of Network Pruning*, 2018 (arXiv 1810.05270): the same
#   small network trained from scratch.
# - T. Jin and others, *Pruning's Effect on Generalization Through the Lens of Training and
#   Regularization*, 2022 (arXiv 2210.13738): when pruning helps against overfitting, and why.
# - B. Li and others, *EagleEye: Fast Sub-net Evaluation for Efficient Neural Network Pruning*, 2020
#   (arXiv 2007.02491): judge pruned networks only after recalibrating BatchNorm.
