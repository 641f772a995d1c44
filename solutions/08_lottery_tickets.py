# %% [markdown]
# # 08 · Lottery tickets
#
# **About 150 minutes · difficulty 4 of 5**
#
# You will be able to
#
# - search a network for a ticket: train, prune, rewind, and again;
# - say what it owes to its mask and what to its start, with two controls and ten seeds in pairs;
# - say what the lottery ticket hypothesis claims, what it does not, and where it fails;
# - prune a network before it has seen any data, and see when that empties a layer.
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

quiz("08", "pretest")

# %% [markdown]
# ## Overview
#
# A pruned network works. So why not train that small network from the beginning? For years the
# answer was: because it gets less far. In 2018 two researchers found an exception, the winning
# ticket. You will search for such tickets, try them against two controls over ten seeds, and find
# out where the story holds and where it does not. At the end you prune networks that have not been
# trained at all.

# %% [markdown]
# ## Key concepts
#
# - **Rewinding**: putting weights back to the values they had at the start, or soon after it.
# - **Ticket**: a mask, found by training and pruning, together with the weights it keeps, rewound.
#   It is a **winning ticket** if it then trains as far as the dense network, in as many steps.
# - **Iterative magnitude pruning**: train, prune a share of what is left, rewind, and again.
# - **Controls**: the same mask on other random weights (*reinitialised*), and the same weights
#   under a mask with its places *shuffled*.
# - **Standard error**: how far a mean over so many seeds may be off by chance.

# %%
import copy
from functools import cache
from itertools import cycle

import torch
from IPython.display import display
from torch import nn

from course_utils import data, measure, models, plots, training
from course_utils.pruning import importance, tickets
from course_utils.pruning.masks import apply, eraser, keep_global
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


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * training.accuracy(model, digits.x_val, digits.y_val)


def train(model, masks, seed, epochs=8):
    """Train with the masks held, at a constant rate; percent right on validation afterwards."""
    erase = eraser(model, masks)
    erase()
    training.train(
        model,
        digits,
        epochs,
        lr=2e-3,
        seed=seed,
        schedule=training.constant,
        after_step=lambda _: erase(),
        quiet=True,
    )
    return percent_right(model)


def all_kept(model):
    """Masks that keep everything: where every search begins."""
    return {name: torch.ones_like(w) for name, w in measure.prunable_weights(model).items()}


# %% [markdown]
# ## Step 1: keep the beginning
#
# **Question.** Train a network, prune it, and the small network that is left is good. Then train
# that small network from the beginning, and save the work of training the large one? To try it we
# need the beginning: every number as it was before the first step.
#
# A worked example first, as it stands in many scripts. The state dict is stored away, the network
# is trained, and then we look at what we stored.
#
# **Predict.** Which numbers will `stored` hold after training: those from before it, or the trained
# ones?

# %%
predict("what_is_stored", ..., choices=("from before", "the trained ones"))

# %% varies demo
network = models.new("lenet")
stored = network.state_dict()
before = network.fc3.weight.detach().clone()
train(network, all_kept(network), seed=0, epochs=2)
if predicted("what_is_stored"):
    same = torch.equal(stored["fc3.weight"], network.fc3.weight.detach())
    outcome("what_is_stored", "the trained ones" if same else "from before")
    print("five weights of fc3")
    for when, weight in {
        "before training": before,
        "after training": network.fc3.weight,
        "in `stored`": stored["fc3.weight"],
    }.items():
        print(f"{when:16}", "".join(f"{value:8.3f}" for value in weight[0, :5].tolist()))

# %% [markdown]
# A state dict is a list of the model's *own* tensors, and the optimizer changes tensors where they
# are. Nothing warns you. Whoever rewinds to such a "beginning" does not rewind at all, and finds
# wonderful tickets.
#
# **Exercise** `snapshot` · 2 points · about 10 minutes · difficulty 2 of 5
#
# Return the model's state dict, buffers included, as it is now: a dictionary from each of its names
# to a tensor of the same numbers, **safe from whatever happens to the model later**. The model
# stays as it is.


# %% exercise="snapshot"
def snapshot(model):
    """The state dict, safe from later training."""
    ### BEGIN SOLUTION
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ### END SOLUTION


# %% check="snapshot"
check("snapshot", snapshot)

# %%
quiz("08", "section", "Step 1")

# %% [markdown]
# ## Step 2: back to the start
#
# **Exercise** `rewind` · 2 points · about 12 minutes · difficulty 2 of 5
#
# `snapshot` is a snapshot of this very model, `masks` a dictionary from parameter names to masks
# (bool, or 0 and 1 of any number type), for some parameters or for none. **In place**:
#
# - every parameter and every buffer gets its numbers from the snapshot, whatever it holds now;
# - then what a mask does not keep is zero;
# - the Parameter objects stay the same, with their type (float32, float64) and all modes; and the
#   snapshot and the masks are not touched: the next round needs them.
#
# A mask for an unknown name, or of another shape than its parameter, raises `ValueError`.


# %% exercise="rewind"
def rewind(model, snapshot, masks):
    """The snapshot restored, in place, and the masks applied."""
    ### BEGIN SOLUTION
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in parameters or parameters[name].shape != mask.shape:
            raise ValueError(f"the mask for {name} fits no parameter of this model")
    model.load_state_dict(snapshot)
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name][mask == 0] = 0
    ### END SOLUTION


# %% check="rewind"
check("rewind", rewind)

# %%
keep_beginning = yours_or_ours("snapshot", snapshot)
go_back = yours_or_ours("rewind", rewind)

# %% [markdown]
# Now the first ticket. We take a LeNet, keep its beginning, train it, prune the smaller half of
# each layer (by size **after** training), and rewind what is left to the beginning. Before we train
# it again, a strange question.
#
# **Predict.** The rewound half: random weights, untrained, as they were drawn, with half of them
# zero. How many percent of the images does it get right? (Guessing gets about 10.)

# %%
predict("untrained_ticket", ...)


# %%
@cache
def first_half(seed):
    """Percent right of an untrained network: as drawn, its ticket, and a random half of it."""
    model = models.new("lenet", seed)
    start = keep_beginning(model)
    as_drawn = percent_right(model)
    train(model, all_kept(model), seed)
    trained = percent_right(model)
    masks = tickets.next_ticket(model, all_kept(model), 0.5)
    go_back(model, start, masks)
    ticket = percent_right(model)
    go_back(model, start, {})
    apply(model, keep_global(importance.random(model, seed), 0.5))
    return {
        "as drawn": as_drawn,
        "a random half": percent_right(model),
        "the ticket": ticket,
        "trained": trained,
    }


# %% varies demo
if predicted("untrained_ticket"):
    outcome("untrained_ticket", first_half(0)["the ticket"], "%")
    rows = [first_half(seed) for seed in range(5)]
    spread = {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
    display(
        plots.bars(
            list(spread),
            [round(values.mean().item(), 1) for values in spread.values()],
            errors=[values.std().item() for values in spread.values()],
            ylabel="right on validation, %",
            title="Five LeNets; only the last bar is trained",
        )
    )

# %% [markdown]
# (Error bars: one standard deviation.) No weight has been trained, and yet the network reads
# digits. The mask did it: it was chosen with the trained weights in view, and what training had
# made small is gone. **To mask is to train**, in a coarse way. Zhou and others found this in 2019
# and called such masks *supermasks*. Keep it in mind for everything that follows: a ticket is not
# untouched by training. Its mask carries what the dense network has learned.


# %% varies claim="a_mask_carries_what_was_learned"
def untrained(seed):
    found = first_half(seed)
    return {
        "ticket": found["the ticket"],
        "others": max(found["as drawn"], found["a random half"]),
    }


if predicted("untrained_ticket"):
    display(
        claim(
            "a_mask_carries_what_was_learned",
            untrained,
            holds=lambda ticket, others: ticket.min() > 50 and (ticket - others).min() > 25,
            says=lambda ticket, others: (
                f"Untrained, half of its weights masked, the ticket was {ticket.mean():.0f} % "
                f"right ({ticket.min():.0f} at worst). As drawn, or with a random half masked, no "
                f"network was more than {others.max():.0f} % right."
            ),
        )
    )

# %%
quiz("08", "section", "Step 2")

# %% [markdown]
# ## Step 3: round by round
#
# Half is not much. To go on: train the ticket, prune half of what is *left*, rewind to the same
# beginning, and again. That is **iterative magnitude pruning**.
#
# **Exercise** `next_ticket` · 3 points · about 20 minutes · difficulty 4 of 5
#
# `masks` says what the model's layers still keep. Return a dictionary of the same names with
# thinner masks: in **each layer** a further `round(fraction * kept)` of the weights that its mask
# keeps go, those of the smallest magnitude in `model`.
#
# - What a mask has pruned never comes back, whatever the model holds in its place; and a kept
#   weight counts as kept even if it happens to be zero.
# - Ties as you like, but the exact count. A layer that is empty stays so.
# - The model and the given masks stay as they are. A fraction outside 0 to 1 (NaN included), an
#   unknown name or another shape raises `ValueError`.


# %% exercise="next_ticket"
def next_ticket(model, masks, fraction):
    """In each layer prune a further fraction of what remains."""
    ### BEGIN SOLUTION
    if not 0 <= fraction <= 1:
        raise ValueError(f"the fraction must lie between 0 and 1, and is {fraction}")
    parameters = dict(model.named_parameters())
    thinner = {}
    for name, mask in masks.items():
        if name not in parameters or parameters[name].shape != mask.shape:
            raise ValueError(f"the mask for {name} fits no parameter of this model")
        keep = mask.flatten() != 0
        kept = keep.nonzero().flatten()
        sizes = parameters[name].detach().abs().flatten()[kept]
        keep[kept[sizes.argsort()[: round(fraction * len(kept))]]] = False
        thinner[name] = keep.view(mask.shape)
    return thinner
    ### END SOLUTION


# %% check="next_ticket"
check("next_ticket", next_ticket)

# %% [markdown]
# The whole search, with your three functions:

# %%
thinner = yours_or_ours("next_ticket", next_ticket)


@cache
def search(name, seed, rounds, epochs, fractions=(0.5,)):
    """Iterative magnitude pruning by hand: the beginning, and for each round masks and accuracy.

    Each round prunes a half of what is left in each layer, or of each layer its own fraction.
    """
    model = models.new(name, seed)
    start, masks = keep_beginning(model), all_kept(model)
    found = []
    for _ in range(rounds + 1):
        go_back(model, start, masks)
        untrained_right = percent_right(model)
        trained_right = train(model, masks, seed, epochs)
        found.append((masks, untrained_right, trained_right))
        masks = {
            layer: thinner(model, {layer: mask}, fraction)[layer]
            for (layer, mask), fraction in zip(masks.items(), cycle(fractions))
        }
    return start, found


# %% [markdown]
# **Predict.** Four rounds of one half leave a sixteenth of the LeNet's weights. Rewound and trained
# as long as the dense network: how many points of accuracy does it lose against it?

# %%
predict("points_lost_at_a_sixteenth", ...)

# %% varies demo
start, found = search("lenet", 0, 4, 8)
if predicted("points_lost_at_a_sixteenth"):
    outcome("points_lost_at_a_sixteenth", found[0][2] - found[4][2], "points for this network")
    print("left      untrained   trained")
    for masks, untrained_right, trained_right in found:
        left = sum(float(mask.sum()) for mask in masks.values())
        share = 100 * left / sum(mask.numel() for mask in masks.values())
        print(f"{share:5.1f} %   {untrained_right:6.1f} %  {trained_right:6.1f} %")
    connections = found[4][0]["fc1.weight"].sum(0).float()
    varies = digits.x_train.std(0).flatten()
    by_ink = connections[varies.argsort()]
    print("\nconnections left to a pixel, on average:", end=" ")
    print(f"{by_ink[:16].mean():.0f} to the 16 pixels whose ink varies least,", end=" ")
    print(f"{by_ink[-16:].mean():.0f} to the 16 where it varies most")
    with plots.style():
        figure, both = plots.subplots(1, 2, figsize=(5.6, 2.8))
        pictures = {
            "connections left to a pixel": connections.view(8, 8),
            "how much its ink varies": varies.view(8, 8),
        }
        for axes, (title, picture) in zip(both, pictures.items(), strict=True):
            axes.imshow(picture, cmap="gray_r")
            axes.set_title(title)
            axes.set_axis_off()
    display(figure)

# %% [markdown]
# Two things. The small network can be trained from the beginning after all, at the price that the
# table shows. And look where the ticket looks (dark is much; each picture has its own scale):
# pixels whose ink hardly varies, most of them at the left and right edges, tell little, and the
# last line counts what is left of their connections. The mask knows the data.
#
# A good network with few weights. But is it a matter of *this* mask and *this* start? Would any
# network of that many weights have done?

# %%
quiz("08", "section", "Step 3")

# %% [markdown]
# ## Step 4: two controls
#
# A result without a control is a story. Whoever says "this mask with this start" must show what
# happens without the one and without the other:
#
# - the same mask on **other random weights** (reinitialised): is it the start?
# - the same start under a **shuffled mask**, with as many weights in each layer: is it the places?
#
# **Exercise** `shuffled_masks` · 2 points · about 15 minutes · difficulty 3 of 5
#
# Return masks of the same names and shapes that keep **the same count in each layer**, at random
# places: every choice of places equally likely, and drawn anew for each mask. All randomness comes
# from `generator` (a `torch.Generator`): the same state of it gives the same masks, another seed
# gives others. The given masks stay as they are. A mask may be all ones or all zeros, or laid out
# in memory in any way.


# %% exercise="shuffled_masks"
def shuffled_masks(masks, generator):
    """The same count in each layer, at other places."""
    ### BEGIN SOLUTION
    shuffled = {}
    for name, mask in masks.items():
        places = torch.randperm(mask.numel(), generator=generator)
        shuffled[name] = mask.flatten()[places].view(mask.shape)
    return shuffled
    ### END SOLUTION


# %% check="shuffled_masks"
check("shuffled_masks", shuffled_masks)

# %% [markdown]
# **Predict.** The ticket of a sixteenth, and the same mask on other random weights, both trained
# alike: how many points is the ticket ahead, for this one network?

# %%
predict("ahead_of_reinit_once", ...)

# %%
shuffle = yours_or_ours("shuffled_masks", shuffled_masks)


def others(name, seed, masks):
    """The controls' beginnings and masks: other weights, or other places."""
    strange = models.new(name, seed + 10_000).state_dict()
    places = shuffle(masks, torch.Generator().manual_seed(seed))
    return {"reinitialised": (strange, masks), "shuffled": (None, places)}


def with_controls(name, seed, start, masks, epochs=8):
    """Percent right, trained: the ticket and its controls."""
    model = models.new(name, seed)
    ways = {"ticket": (start, masks), **others(name, seed, masks)}
    right = {}
    for way, (beginning, places) in ways.items():
        go_back(model, beginning or start, places)
        right[way] = train(model, places, seed, epochs)
    return right


# %% varies demo
if predicted("ahead_of_reinit_once"):
    once = with_controls("lenet", 0, start, found[4][0])
    outcome("ahead_of_reinit_once", once["ticket"] - once["reinitialised"], "points for network 0")
    again = [once]
    for seed in (1, 2):
        beginning, rounds = search("lenet", seed, 4, 8)
        again.append(with_controls("lenet", seed, beginning, rounds[4][0]))
    print("network    ticket   reinitialised   shuffled")
    for seed, right in enumerate(again):
        print(f"{seed:7}  {right['ticket']:6.1f} %  {right['reinitialised']:12.1f} %", end=" ")
        print(f"{right['shuffled']:8.1f} %")

# %% [markdown]
# How far the ticket leads differs from network to network, and so does each control. From one
# network one could publish any of these figures. We need more of them, and a way to say how sure we
# are.

# %%
quiz("08", "section", "Step 4")

# %% [markdown]
# ## Step 5: ten seeds, in pairs
#
# The ticket and its controls under one seed share a lot: the ticket and the shuffled network the
# same beginning, all three the order of the images. A lucky seed lifts all of them. So do not
# compare the mean of one with the mean of the other: take the **difference under each seed**, and
# then the mean of the differences. What the seed does to both falls out.
#
# How far can that mean be off by chance? The **standard error** says it: the standard deviation of
# the differences (with n - 1), divided by the square root of n. A difference of less than two
# standard errors has not been shown.
#
# **Exercise** `paired_difference` · 2 points · about 12 minutes · difficulty 2 of 5
#
# `a` and `b` hold results that belong together in pairs. Return the mean of `a - b` and its
# standard error. A single pair raises `ValueError`.


# %% exercise="paired_difference"
def paired_difference(a, b):
    """The mean of a - b, and its standard error."""
    ### BEGIN SOLUTION
    if len(a) < 2:
        raise ValueError("one pair says nothing about how much pairs differ")
    n = len(a)
    differences = [one - other for one, other in zip(a, b, strict=True)]
    mean = sum(differences) / n
    variance = sum((difference - mean) ** 2 for difference in differences) / (n - 1)
    return mean, (variance / n) ** 0.5
    ### END SOLUTION


# %% check="paired_difference"
check("paired_difference", paired_difference)

# %% [markdown]
# Now the experiment. Ten LeNets, five rounds, tickets and both controls: that is 160 trainings.
# `tickets.experiment` does what you did by hand, with ten networks in one computation. One setting
# differs: each round keeps 40 % of `fc1` and `fc2`, but 70 % of the small last layer. Under
# Pitfalls you will see why.
#
# **Predict.** After four rounds about 3 % of the weights are left. By how many points is the ticket
# ahead of its reinitialised control, on average?

# %%
predict("ahead_of_reinit", ...)

# %%
KEEP = {"fc1.weight": 0.4, "fc2.weight": 0.4, "fc3.weight": 0.7}
ROUNDS = 5
compare = yours_or_ours("paired_difference", paired_difference)


def experiment(seeds, make=models.lenet, keep=KEEP, **settings):
    """Tickets and controls on the digits, all seeds at once; rows of plain data."""
    return tickets.experiment(
        make,
        digits.x_train,
        digits.y_train,
        digits.x_val,
        digits.y_val,
        seeds=seeds,
        keep=keep,
        **settings,
    )


def percents(rows, condition, round_):
    """Percent right of one condition in one round, seed by seed."""
    return [100 * share for share in tickets.accuracies(rows, condition, round_)]


def left_in(rows, round_):
    """Percent of the weights that are left in a round."""
    return next(100 * row["remaining"] for row in rows if row["round"] == round_)


def written(mean, error):
    """A difference with twice its standard error, and whether that shows anything."""
    shown = "" if abs(mean) > 2 * error else " (not shown)"
    return f"{mean:+.1f} +- {2 * error:.1f}{shown}"


# %% varies demo
rows = experiment(seeds=range(10), rounds=ROUNDS)
NAMES = {"ticket": "ticket", "reinit": "reinitialised", "shuffled": "shuffled"}
if predicted("ahead_of_reinit"):
    gaps = {
        f"ahead of the {NAMES[control]}": [
            compare(percents(rows, "ticket", n), percents(rows, control, n))
            for n in range(1, ROUNDS + 1)
        ]
        for control in ("reinit", "shuffled")
    }
    outcome("ahead_of_reinit", gaps["ahead of the reinitialised"][3][0], "points")
    by_seed = {
        NAMES[c]: torch.tensor([percents(rows, c, n) for n in range(1, ROUNDS + 1)]).T.tolist()
        for c in NAMES
    }
    dense = percents(rows, "dense", 0)
    display(
        plots.curve(
            range(1, ROUNDS + 1),
            {"dense": [[right] * ROUNDS for right in dense], **by_seed},
            xlabel="rounds of pruning",
            ylabel="right on validation, %",
            title="Tickets and their controls",
        )
    )

# %% [markdown]
# The figure shows how the networks scatter. What we want to know is the difference in pairs:

# %% varies demo
if predicted("ahead_of_reinit"):
    display(
        plots.bars(
            [f"{left_in(rows, n):.1f} % left" for n in range(1, ROUNDS + 1)],
            {name: [round(mean, 1) for mean, _ in each] for name, each in gaps.items()},
            errors={name: [2 * error for _, error in each] for name, each in gaps.items()},
            ylabel="points of accuracy",
            title="How far the ticket is ahead, over ten seeds in pairs",
        )
    )
    print("Mean difference in points, +- two standard errors:\n")
    print("left       to reinitialised   to shuffled        to dense")
    for n in range(1, ROUNDS + 1):
        by_pairs = [
            written(*compare(percents(rows, "ticket", n), other))
            for other in (percents(rows, "reinit", n), percents(rows, "shuffled", n), dense)
        ]
        print(f"{left_in(rows, n):4.1f} %" + "".join(f"{text:>19}" for text in by_pairs))
    shown = [
        f"{left_in(rows, n):.0f} %"
        for n in range(1, ROUNDS + 1)
        if all(each[n - 1][0] > 2 * each[n - 1][1] for each in gaps.values())
    ]
    print("\nThe ticket is ahead of both controls by more than two standard errors at", end=" ")
    print(f"{', '.join(shown) or 'none of the sizes'} of the weights.")

# %% [markdown]
# The sentence under the figure is computed from the figure's own numbers. Read it together with the
# last column, the difference to the *dense* network: there, size is what a ticket has to win, and
# where least is left it pays with accuracy. The comparison it wins is the one with other networks
# of its size. And the two controls differ from each other: where least is left, wrong places cost
# more than wrong weights.


# %%
@cache
def small_experiment(seed):
    """Two networks for each seed of a claim."""
    return experiment(seeds=[2 * seed, 2 * seed + 1], rounds=4)


# %% varies claim="tickets_are_ahead_of_their_controls"
def ahead(seed):
    few = small_experiment(seed)
    at = {c: sum(percents(few, c, 4)) / 2 for c in ("ticket", "reinit", "shuffled")}
    return {
        "reinit": at["ticket"] - at["reinit"],
        "shuffled": at["ticket"] - at["shuffled"],
    }


if predicted("ahead_of_reinit"):
    display(
        claim(
            "tickets_are_ahead_of_their_controls",
            ahead,
            holds=lambda reinit, shuffled: (
                reinit.mean() > 2 and shuffled.min() > 5 and shuffled.mean() > 12
            ),
            says=lambda reinit, shuffled: (
                f"With 3 % of the weights left, tickets were {reinit.mean():.0f} points ahead of "
                f"the reinitialised control on average, and {shuffled.mean():.0f} ahead of the "
                f"shuffled one ({shuffled.min():.0f} at least); two networks a seed."
            ),
        )
    )

# %%
quiz("08", "section", "Step 5")

# %% [markdown]
# ## Step 6: how fast tickets learn
#
# So far we looked at where training ends. The hypothesis says "in as many steps", so let us look at
# the way. The experiment has noted the accuracy after every epoch (one pass over the training
# images).
#
# **Predict.** Third round, about 7 % left. After **two** epochs, how many points is the ticket
# ahead of the reinitialised network?

# %%
predict("ahead_after_two_epochs", ...)

# %% varies demo
if predicted("ahead_after_two_epochs"):

    def after_epochs(condition, round_):
        """Percent right after each epoch, seed by seed."""
        chosen = [r for r in rows if (r["condition"], r["round"]) == (condition, round_)]
        return [[100 * share for share in row["curve"]] for row in chosen]

    way = {NAMES[c]: after_epochs(c, 3) for c in NAMES}
    early = {name: [curve[1] for curve in curves] for name, curves in way.items()}
    two_epochs = compare(early["ticket"], early["reinitialised"])
    in_the_end = compare(percents(rows, "ticket", 3), percents(rows, "reinit", 3))
    outcome("ahead_after_two_epochs", two_epochs[0], "points")
    display(
        plots.curve(
            range(1, 9),
            {"dense": after_epochs("dense", 0), **way},
            xlabel="epochs of training",
            ylabel="right on validation, %",
            title=f"Learning with {left_in(rows, 3):.0f} % of the weights",
        )
    )
    print(f"ahead of the reinitialised: {written(*two_epochs)} points after two epochs, ", end="")
    print(f"{written(*in_the_end)} at the end")

# %% [markdown]
# The controls catch up with most of the distance; they begin late. That is half of what the word
# "ticket" means: not only where one arrives, but how soon. It is also a warning about experiments:
# **stop the training early, and any ticket looks like a sensation.** How long was trained belongs
# in the sentence. (That the ticket leaves the start so fast you know from step 2: its mask knows
# the data.)


# %% varies claim="tickets_learn_faster"
def faster(seed):
    few = small_experiment(seed)

    def gap(epoch):
        at = {
            condition: [
                100 * row["curve"][epoch]
                for row in few
                if (row["condition"], row["round"]) == (condition, 3)
            ]
            for condition in ("ticket", "reinit")
        }
        return (sum(at["ticket"]) - sum(at["reinit"])) / 2

    return {"early": gap(1), "late": gap(-1)}


if predicted("ahead_after_two_epochs"):
    display(
        claim(
            "tickets_learn_faster",
            faster,
            holds=lambda early, late: early.min() > 8 and (early - late).min() > 4,
            says=lambda early, late: (
                f"With 7 % of the weights left, tickets were {early.mean():.0f} points ahead of "
                f"the reinitialised control after two epochs ({early.min():.0f} at least), and "
                f"{late.mean():.1f} after eight."
            ),
        )
    )

# %%
quiz("08", "section", "Step 6")

# %% [markdown]
# ## Step 7: rewind, but not quite to the start
#
# On larger networks (a ResNet-50, say) rewinding to the initialisation finds no winning tickets.
# Rewinding to an **early step**, after a small part of the training, does (Frankle and others,
# 2019 and 2020). Is that better here, too? We search again and rewind to where each network was
# after its first epoch. The tickets then train for seven more epochs, so that all have taken the
# same number of steps.
#
# **Predict.** At 3 % of the weights: how many points better is rewinding to the first epoch than to
# the initialisation? (Negative if worse.)

# %%
predict("early_rewinding_gains", ...)

# %% varies demo
if predicted("early_rewinding_gains"):
    epoch = -(-len(digits.x_train) // 64)
    later = experiment(seeds=range(10), rounds=ROUNDS, rewind_step=epoch, controls=())
    gains = [
        compare(percents(later, "ticket", n), percents(rows, "ticket", n))
        for n in range(1, ROUNDS + 1)
    ]
    outcome("early_rewinding_gains", gains[3][0], "points")
    display(
        plots.bars(
            [f"{left_in(rows, n):.1f} % left" for n in range(1, ROUNDS + 1)],
            [round(mean, 1) + 0.0 for mean, _ in gains],
            errors=[2 * error for _, error in gains],
            ylabel="points of accuracy",
            title=f"What rewinding to step {epoch} gains over step 0",
        )
    )
    better = [n for n, (mean, error) in enumerate(gains, start=1) if mean > 2 * error]
    print(f"Better by more than two standard errors in {len(better)} of {ROUNDS} rounds;", end=" ")
    print("gains:", ", ".join(written(*gain) for gain in gains))

# %% [markdown]
# (Who makes five comparisons will now and then see one pass the bar by chance.) Hold these points
# against those of step 5: on the whole, what is gained or lost here is little beside a ticket's
# lead over its controls. Why should an early step help a large network so much, and ours so little?
#
# Frankle and others asked how *fixed* the outcome is at that point: train two copies from it, with
# the images in different orders, and walk in a straight line from the one trained network to the
# other. If the networks half-way are as good as the ends, both copies have landed in the same
# valley, and the point is called **stable**. Tickets are found, they report, from the moment the
# network is stable. Where is that for our CNN?
#
# **Predict.** Two copies of one *initialisation*, trained in different orders. How many points does
# the network half-way lose against its two ends? And two *different* initialisations?

# %%
predict("lost_half_way_same_start", ...)
predict("lost_half_way_other_start", ...)


# %%
def half_way_between(one, other):
    """The network whose parameters and statistics are the means of two networks'."""
    middle = copy.deepcopy(one)
    states = one.state_dict(), other.state_dict()
    means = {
        name: (tensor + states[1][name]) / 2 if tensor.is_floating_point() else tensor
        for name, tensor in states[0].items()
    }
    middle.load_state_dict(means)
    return middle


@cache
def lost_half_way(seed):
    """Points lost half-way between two trained CNNs, of one start and of two."""

    def child(start_seed, order):
        model = models.new("cnn", start_seed)
        train(model, all_kept(model), order, epochs=2)
        return model

    one, sibling, stranger = child(seed, seed), child(seed, seed + 500), child(seed + 700, seed)
    lost = {}
    for name, other in (("same start", sibling), ("other start", stranger)):
        ends = (percent_right(one) + percent_right(other)) / 2
        lost[name] = ends - percent_right(half_way_between(one, other))
    return lost


# %% varies demo
if predicted("lost_half_way_same_start", "lost_half_way_other_start"):
    outcome("lost_half_way_same_start", lost_half_way(0)["same start"], "points")
    outcome("lost_half_way_other_start", lost_half_way(0)["other start"], "points")


# %% varies claim="the_cnn_is_stable_from_the_start"
def valleys(seed):
    lost = lost_half_way(seed)
    return {"same": lost["same start"], "other": lost["other start"]}


if predicted("lost_half_way_same_start", "lost_half_way_other_start"):
    display(
        claim(
            "the_cnn_is_stable_from_the_start",
            valleys,
            holds=lambda same, other: same.max() < 10 and (other - same).min() > 20,
            says=lambda same, other: (
                f"Half-way between two CNNs that began alike {same.mean():.1f} points were lost on "
                f"average ({same.max():.1f} at most); between two that began differently "
                f"{other.mean():.0f} ({other.min():.0f} at least)."
            ),
        )
    )

# %% [markdown]
# On our digits the outcome is all but settled at the very first step: whoever starts alike ends in
# the same valley. Then a later rewinding has little to gain, and the figure above fits. Large
# networks on hard data are not stable at their start. That is why the hypothesis was revised: its
# second version speaks of an *early step*, not of the initialisation.

# %%
quiz("08", "section", "Step 7")

# %% [markdown]
# ## Step 8: which luck, and when?
#
# **What is it about the start?** Each weight begins with a size and a sign. Zhou and others (2019)
# took tickets apart. Here is the piece that surprised most: draw new weights for the ticket's mask,
# but give each the **sign** that it had in the ticket.
#
# **Predict.** Which will the new weights with the old signs come closer to?

# %%
predict("signs_or_sizes", ..., choices=("the ticket", "the reinitialised control"))


# %%
@cache
def parts_of_the_luck(seed):
    """Percent right with 3 % of the weights: the ticket, reinitialised, with the old signs only."""
    start, found = search("lenet", seed, 4, 8, tuple(1 - share for share in KEEP.values()))
    masks, _, ticket = found[4]
    model = models.new("lenet", seed)
    strange = models.new("lenet", seed + 10_000).state_dict()
    signed = {
        n: strange[n].abs() * t.sign() if n in masks else strange[n] for n, t in start.items()
    }
    right = {"ticket": ticket}
    for name, beginning in (("reinitialised", strange), ("with the old signs", signed)):
        go_back(model, beginning, masks)
        right[name] = train(model, masks, seed)
    return right


# %% varies demo
if predicted("signs_or_sizes"):
    parts = [parts_of_the_luck(seed) for seed in range(5)]
    spread = {name: [part[name] for part in parts] for name in parts[0]}
    means = {name: sum(values) / len(values) for name, values in spread.items()}
    middle = (means["ticket"] + means["reinitialised"]) / 2
    near = "the ticket" if means["with the old signs"] > middle else "the reinitialised control"
    outcome("signs_or_sizes", near)
    display(
        plots.bars(
            list(spread),
            [round(mean, 1) for mean in means.values()],
            errors=[torch.tensor(values).std().item() for values in spread.values()],
            ylabel="right on validation, %",
            title="Five tickets with 3 % of the weights",
        )
    )
    for name in ("ticket", "with the old signs"):
        print(f"{name} - reinitialised: {written(*compare(spread[name], spread['reinitialised']))}")


# %% varies claim="signs_carry_much_of_the_luck"
def luck(seed):
    part = parts_of_the_luck(seed)
    return {
        "signs": part["with the old signs"] - part["reinitialised"],
        "whole": part["ticket"] - part["reinitialised"],
    }


if predicted("signs_or_sizes"):
    display(
        claim(
            "signs_carry_much_of_the_luck",
            luck,
            holds=lambda signs, whole: signs.mean() > 2 and whole.mean() > 2,
            says=lambda signs, whole: (
                f"New weights with the old signs were {signs.mean():.0f} points ahead of new "
                f"weights altogether on average; the ticket itself {whole.mean():.0f}."
            ),
        )
    )

# %% [markdown]
# On these small networks the sign is a large part of the luck: on which side of zero a weight
# begins. (Later work on deeper networks found that signs alone are not enough there.)
#
# **When does the start count?** Liu and others (2019) repeated the experiments on larger networks
# and found no advantage over reinitialised networks, at the **high learning rates** with which such
# networks are usually trained. A high rate carries weights far away, and whoever goes far forgets
# where they came from. We can try it: the same search at three rates.
#
# **Predict.** Is the ticket's lead over its reinitialised control larger at a low rate or at a high
# one?

# %%
predict("lead_is_larger_at", ..., choices=("a low rate", "a high rate"))


# %%
RATES = (5e-4, 2e-3, 1e-2)


def right_at_seven(rows):
    """Percent right, seed by seed: the dense network, and ticket and control with 7 % left."""
    return {c: percents(rows, c, n) for c, n in (("dense", 0), ("ticket", 3), ("reinit", 3))}


@cache
def at_rate(seed, lr):
    """Two LeNets searched and trained at a learning rate."""
    few = experiment(seeds=[2 * seed, 2 * seed + 1], rounds=3, lr=lr, controls=["reinit"])
    return right_at_seven(few)


# %% varies demo
if predicted("lead_is_larger_at"):
    leads, dense_by_rate = [], []
    for lr in RATES:
        if lr == 2e-3:  # the experiment of step 5
            pooled = right_at_seven(rows)
        else:
            each = [at_rate(seed, lr) for seed in range(5)]
            pooled = {name: [p for one in each for p in one[name]] for name in each[0]}
        leads.append(compare(pooled["ticket"], pooled["reinit"]))
        dense_by_rate.append(sum(pooled["dense"]) / len(pooled["dense"]))
    low, high = leads[0][0], leads[-1][0]
    outcome("lead_is_larger_at", "a low rate" if low > high else "a high rate")
    display(
        plots.bars(
            [f"rate {lr:g}" for lr in RATES],
            [round(mean, 1) for mean, _ in leads],
            errors=[2 * error for _, error in leads],
            ylabel="points of accuracy",
            title="The ticket's lead at 7 %, ten networks in pairs",
        )
    )
    for lr, lead, right in zip(RATES, leads, dense_by_rate, strict=True):
        print(f"rate {lr:g}: lead {written(*lead)}; the dense network {right:.1f} % right")


# %% varies claim="the_lead_shrinks_with_the_rate"
def leads_at(seed):
    def lead(lr):
        right = at_rate(seed, lr)
        return (sum(right["ticket"]) - sum(right["reinit"])) / 2

    return {"low": lead(RATES[0]), "high": lead(RATES[-1])}


if predicted("lead_is_larger_at"):
    display(
        claim(
            "the_lead_shrinks_with_the_rate",
            leads_at,
            holds=lambda low, high: (low - high).min() > 3 and high.max() < 8,
            says=lambda low, high: (
                f"At 7 % the ticket led its reinitialised control by {low.mean():.0f} points at a "
                f"rate of 0.0005, and by {high.mean():.1f} ({high.max():.1f} at most) at 0.01."
            ),
        )
    )

# %% [markdown]
# The disagreement between the two papers is no contradiction. Both are right, at their own rates.
# (Low rate and few epochs also mean that the networks have not finished learning. Compare step 6.)
#
# **Over- and under-parametrised.** A lottery needs many tickets. A network with far more weights
# than its task asks for is *over-parametrised*; one that can barely do it is *under-parametrised*.
# How do the tickets of small networks fare? Three networks, the same shares left.
#
# **Predict.** With about a sixth of its weights left, which network's ticket loses most against its
# own dense network?

# %%
predict("who_loses_most", ..., choices=("300-100 (the LeNet)", "100-33", "30-10"))


# %%
@cache
def at_width(first, second, seeds, controls=()):
    """The experiment on LeNets of other widths, two rounds."""

    def make():
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, first),
            nn.ReLU(),
            nn.Linear(first, second),
            nn.ReLU(),
            nn.Linear(second, 10),
        )

    keep = dict(zip(("1.weight", "3.weight", "5.weight"), KEEP.values(), strict=True))
    return experiment(seeds, make, keep, rounds=2, controls=controls)


# %% varies demo
WIDTHS = {"300-100 (the LeNet)": (300, 100), "100-33": (100, 33), "30-10": (30, 10)}
if predicted("who_loses_most"):
    lost, led, dense_mean = {}, {}, {}
    for name, (first, second) in WIDTHS.items():
        its = at_width(first, second, tuple(range(10)), ("reinit",))
        lost[name] = compare(percents(its, "dense", 0), percents(its, "ticket", 2))
        led[name] = compare(percents(its, "ticket", 2), percents(its, "reinit", 2))
        dense_mean[name] = sum(percents(its, "dense", 0)) / 10
        total = 64 * first + first * second + second * 10
        print(f"{name:20} dense {dense_mean[name]:.1f} % right with {total:6,} weights;", end=" ")
        print(f"ticket {dense_mean[name] - lost[name][0]:.1f} %", end=" ")
        print(f"with {total * left_in(its, 2) / 100:6,.0f}")
    outcome("who_loses_most", max(lost, key=lambda name: lost[name][0]))
    display(
        plots.bars(
            list(WIDTHS),
            {
                "ticket behind its dense network": [round(m, 1) + 0.0 for m, _ in lost.values()],
                "ticket ahead of the reinitialised": [round(m, 1) for m, _ in led.values()],
            },
            errors={
                "ticket behind its dense network": [2 * e for _, e in lost.values()],
                "ticket ahead of the reinitialised": [2 * e for _, e in led.values()],
            },
            ylabel="points of accuracy",
            title="A sixth of the weights left, ten networks each",
        )
    )

# %% [markdown]
# The wide network gives away most of its weights for little; the narrow one pays with accuracy from
# the beginning, and its controls fall apart altogether. So there is no "a ticket of a sixth": it
# depends on how much the network has to spare. (Compare, in the list, a ticket of a wide network
# with a narrower network that is dense and has about as many weights. It is a fair question what to
# store for a given number of weights; lesson 06 asks it, too.)


# %% varies claim="narrow_networks_have_little_to_spare"
def spare(seed):
    lost = {}
    for first, second in ((300, 100), (30, 10)):
        its = at_width(first, second, (3 * seed, 3 * seed + 1, 3 * seed + 2))
        lost[first] = sum(percents(its, "dense", 0)) / 3 - sum(percents(its, "ticket", 2)) / 3
    return {"wide": lost[300], "narrow": lost[30]}


if predicted("who_loses_most"):
    display(
        claim(
            "narrow_networks_have_little_to_spare",
            spare,
            holds=lambda wide, narrow: wide.max() < 4 and (narrow - wide).mean() > 3,
            says=lambda wide, narrow: (
                f"With a sixth of its weights, the LeNet's ticket was {wide.mean():.1f} points "
                f"behind its dense network, that of a network a tenth as wide {narrow.mean():.0f} "
                "on average; three networks a seed."
            ),
        )
    )

# %%
quiz("08", "section", "Step 8")

# %% [markdown]
# ## What the hypothesis says, and what it does not
#
# *A dense network with random weights contains a subnetwork that, trained alone from those very
# weights, gets as accurate as the dense network in at most as many steps.* (After Frankle and
# Carbin.) That is a statement about **existence**. Note what it does not say:
#
# | often heard | what holds |
# |---|---|
# | tickets save training | finding one this way costs a full training every round |
# | a ticket is faster | its zeros are scattered: lesson 03 |
# | a ticket beats the dense network | the claim is "as accurate"; see our last column in step 5 |
# | the start is all that counts | the mask counts as well, and training made it (step 2) |
# | it holds for every network | not at high rates, and not for large ones without later rewinding |
#
# Here are figures **as published, not computed by us**. Hold them next to what you saw. Ours are
# other images, another optimizer and shorter trainings: compare directions, not digits.
#
# - *Frankle and Carbin 2019, section 2 and figure 4* (LeNet-300-100 on MNIST, 21 % of the weights
#   left): stops early 38 % sooner than the dense network, learns 2.51 times as fast as when
#   reinitialised and ends 0.5 points higher; back at the dense accuracy at 3.6 %. Steps 5 and 6
#   found the same directions for ticket and control.
# - *Zhou and others 2019, abstract*: masks on untrained networks: 86 % right on MNIST, 41 % on
#   CIFAR-10. You saw this in step 2.
# - *Liu and others 2019*: on larger networks, at the usual high rates, no lead over reinitialised
#   ones. Step 8 shows the lead shrink with the rate.
# - *Frankle and others 2020*: large networks have tickets only from an early, stable step on. Ours
#   are stable at once (step 7).
#
# Existence alone is not the hard part: that a network which is wide enough contains good
# subnetworks, even untrained ones, has been proved since (Malach and others, 2020). Finding them
# cheaply is.

# %%
quiz("08", "section", "What the hypothesis says")

# %% [markdown]
# ## Step 9: pruning before training
#
# Finding a ticket costs many trainings. Could one not choose the weights **before** the first step?
# Then there is no trained magnitude to go by. **SNIP** asks the loss instead: how much would it
# answer if this connection were cut? That is the size of weight times gradient, on one batch, on
# the untrained network. You know the product from lesson 02.
#
# **Exercise** `snip_scores` · 2 points · about 15 minutes · difficulty 3 of 5
#
# Return, by parameter name, `|weight * gradient|` of the mean cross-entropy on the one batch
# `x, y`, for the weights of all Linear and Conv2d layers, **divided by the sum over the whole
# model**, so that all scores together sum to 1. If every score is 0, return the zeros. In eval
# mode; model, modes, gradients and buffers as they were, after an error too. A tensor that two
# layers share is scored once, under its first name; nothing to prune gives `{}`.


# %% exercise="snip_scores"
def snip_scores(model, x, y):
    """The size of weight times gradient on one batch, as shares of the model's total."""
    ### BEGIN SOLUTION
    weights, seen = {}, set()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d) and id(module.weight) not in seen:
            seen.add(id(module.weight))
            weights[f"{name}.weight" if name else "weight"] = module.weight
    if not weights:
        return {}
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        loss = nn.functional.cross_entropy(model(x), y)
        gradients = torch.autograd.grad(loss, list(weights.values()))
    finally:
        for module, training_mode in modes:
            module.training = training_mode
    scores = {
        name: (weight.detach() * gradient).abs()
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
    total = sum(score.sum() for score in scores.values())
    return {name: score / total if total > 0 else score for name, score in scores.items()}
    ### END SOLUTION


# %% check="snip_scores"
check("snip_scores", snip_scores)

# %% [markdown]
# **How it goes wrong.** We rank all weights of an *untrained* LeNet together and keep one in a
# hundred: by size, by SNIP, and by **SynFlow**, which scores a weight by the strength of all paths
# through it and needs no data at all. SynFlow comes in two ways: in one shot, and in many small
# steps with the scores taken anew after each.
#
# **Predict.** Ranked by size, how many percent of the 30,000 weights of `fc2` are left?

# %%
predict("fc2_left_at_the_start", ...)

# %%
snip = yours_or_ours("snip_scores", snip_scores)
batch = digits.x_train[:256], digits.y_train[:256]


def synflow_in_steps(model, sparsity, steps=30):
    """Masks by SynFlow, the share kept shrinking by the same factor in each step."""
    model, masks = copy.deepcopy(model), all_kept(model)
    for step in range(1, steps + 1):
        gone = 1 - (1 - sparsity) ** (step / steps)
        masks = keep_global(importance.synflow(model, batch[0][:1]), gone, within=masks)
        apply(model, masks)
    return masks


before_training = {
    "size": lambda model, sparsity: keep_global(importance.magnitude(model), sparsity),
    "SNIP": lambda model, sparsity: keep_global(snip(model, *batch), sparsity),
    "SynFlow, one shot": lambda model, sparsity: keep_global(
        importance.synflow(model, batch[0][:1]), sparsity
    ),
    "SynFlow, in steps": synflow_in_steps,
}

# %% varies demo
if predicted("fc2_left_at_the_start"):
    model = models.new("lenet")
    kept = {way: choose(model, 0.99) for way, choose in before_training.items()}
    counts = {way: [int(mask.sum()) for mask in masks.values()] for way, masks in kept.items()}
    outcome("fc2_left_at_the_start", 100 * counts["size"][1] / 30_000, "%")
    display(
        plots.bars(
            ["fc1", "fc2", "fc3"],
            counts,
            ylabel="weights left",
            title="One weight in a hundred, chosen before training",
        )
    )
    for name, weight in measure.prunable_weights(model).items():
        print(f"{name}: the largest of the untrained weights is {weight.abs().max():.3f}")
    for way, masks in kept.items():
        trial = copy.deepcopy(model)
        print(f"{way:18} {train(trial, masks, seed=0):5.1f} % right after training")

# %% [markdown]
# **Layer collapse** again (lesson 03), and here its cause can be read off. PyTorch draws the
# weights of a linear layer between limits that depend on its number of inputs: the more inputs, the
# narrower. With 300 inputs `fc2` has the narrowest of the three, `fc3` with 100 the next, and even
# their *largest* weights are smaller than those that stay. No training can mend that: through a
# layer without weights no signal comes, and no gradient.
#
# SynFlow in one shot empties layers, too, for another reason. It gives each layer about the same
# total, so the few weights of the small last layer score highest, one by one. In small steps it
# does not: when a layer gets thin, its total is shared by fewer, their scores rise, and they are
# spared.


# %% varies claim="steps_keep_synflow_from_collapse"
def emptiest(seed):
    model = models.new("lenet", seed)
    least = {}
    for way in ("size", "SynFlow, one shot", "SynFlow, in steps"):
        masks = before_training[way](model, 0.99)
        least[way] = min(int(mask.sum()) for mask in masks.values())
    return {
        "size": least["size"],
        "at_once": least["SynFlow, one shot"],
        "steps": least["SynFlow, in steps"],
    }


if predicted("fc2_left_at_the_start"):
    display(
        claim(
            "steps_keep_synflow_from_collapse",
            emptiest,
            holds=lambda size, at_once, steps: (
                size.max() == 0 and at_once.max() < 10 and steps.min() > 30
            ),
            says=lambda size, at_once, steps: (
                f"Of an untrained LeNet with one weight in a hundred left, the thinnest layer had "
                f"{size.max()} weights by size, {at_once.max()} at most by SynFlow in one shot, "
                f"and {steps.min()} at least by SynFlow in steps."
            ),
        )
    )

# %% [markdown]
# **Does SNIP know which weights?** We have a control for this question: shuffle its masks layer by
# layer. On the CNN, 95 % removed before training:
#
# **Predict.** How many points does the network lose when SNIP's masks are shuffled within their
# layers? (Negative if it gains.)

# %%
predict("snip_lost_by_shuffling", ...)


# %%
@cache
def snip_and_shuffled(seed, name="cnn", sparsity=0.95):
    """Percent right of networks pruned before training: by SNIP, the same shuffled, at random."""
    model = models.new(name, seed)
    chosen = before_training["SNIP"](model, sparsity)
    places = shuffle(chosen, torch.Generator().manual_seed(seed))
    at_random = keep_global(importance.random(model, seed), sparsity)
    ways = {"SNIP": chosen, "SNIP, shuffled": places, "at random": at_random}
    return {way: train(copy.deepcopy(model), masks, seed, epochs=3) for way, masks in ways.items()}


# %% varies demo
if predicted("snip_lost_by_shuffling"):
    trials = [snip_and_shuffled(seed) for seed in range(5)]
    spread = {way: [trial[way] for trial in trials] for way in trials[0]}
    by_shuffling = compare(spread["SNIP"], spread["SNIP, shuffled"])
    outcome("snip_lost_by_shuffling", by_shuffling[0], "points")
    display(
        plots.bars(
            list(spread),
            [round(sum(values) / len(values), 1) for values in spread.values()],
            errors=[torch.tensor(values).std().item() for values in spread.values()],
            ylabel="right on validation, %",
            title="Five CNNs with 5 % of their weights from the start",
        )
    )
    print(f"SNIP - shuffled, the CNN at 95 %:   {written(*by_shuffling)} points")
    extreme = [snip_and_shuffled(seed, "lenet", 0.98) for seed in range(5)]
    pairs = ([trial[way] for trial in extreme] for way in ("SNIP", "SNIP, shuffled"))
    print(f"SNIP - shuffled, the LeNet at 98 %: {written(*compare(*pairs))} points")


# %% varies claim="snip_chooses_how_many_not_which"
def by_count(seed):
    right = snip_and_shuffled(seed)
    return {
        "places": right["SNIP"] - right["SNIP, shuffled"],
        "counts": right["SNIP, shuffled"] - right["at random"],
    }


if predicted("snip_lost_by_shuffling"):
    display(
        claim(
            "snip_chooses_how_many_not_which",
            by_count,
            holds=lambda places, counts: (
                counts.mean() > 10 and counts.mean() > 3 * abs(places.mean())
            ),
            says=lambda places, counts: (
                f"SNIP's shuffled masks were {counts.mean():.0f} points ahead of random ones on "
                f"average; SNIP's own places were worth {places.mean():+.1f} points on top of that."
            ),
        )
    )

# %% [markdown]
# What SNIP found out about the CNN is mainly **how many** weights each layer should keep; which
# ones hardly matters. Frankle and others (2021) tried this control on several methods that prune
# before training, and found the same. It is no law: the last line shows a LeNet at its very limit.
# The ticket was another case from the beginning: shuffled, it lost its lead (step 5). That is the
# difference between knowing a network's shape and knowing what it has learned. (And "how many for
# each layer" can be had more cheaply: lesson 07.)

# %%
quiz("08", "section", "Step 9")

# %% [markdown]
# ## Pitfalls
#
# **A control that is no control.** "Reinitialised" means *other* random weights. With the same seed
# they are the same, and the ticket is compared with itself:

# %%
again_the_same = torch.equal(models.new("lenet", 3).fc1.weight, models.new("lenet", 3).fc1.weight)
print("reinitialised with the same seed, the same weights:", again_the_same)

# %% [markdown]
# **Masks that are applied once.** Rewound and masked, and then trained without holding the masks.
# The accuracy looks wonderful, and no wonder:

# %% varies demo
beginning, found = search("lenet", 0, 4, 8)
careless = models.new("lenet")
go_back(careless, beginning, found[4][0])
print(f"before training {100 * measure.sparsity(careless):.1f} % of the weights are zero,", end=" ")
right = train(careless, {}, seed=0)
print(f"after it {100 * measure.sparsity(careless):.1f} %, and {right:.1f} % of the images right")

# %% [markdown]
# **The same share for every layer.** Four rounds that keep 40 % of *each* layer leave next to
# nothing of the last one, where every weight leads to a class:

# %% varies demo
equal_shares = experiment(seeds=range(5), keep=0.4, rounds=4, controls=())
for name, its in (("40 % of each layer", equal_shares), ("70 % of the last", rows)):
    right = percents(its, "ticket", 4)[:5]
    print(f"{name:18} {left_in(its, 4):.1f} % left: {sum(right) / 5:.1f} % right on average")
print(f"weights left in the last layer: {1000 * 0.4**4:.0f} and {1000 * 0.7**4:.0f} of 1,000")

# %% [markdown]
# **Means without their pairs.** The same ten differences, with and without the pairing:

# %% varies demo
a, b = percents(rows, "ticket", 1), percents(rows, "dense", 0)
paired_error = compare(a, b)[1]
unpaired = (torch.tensor(a).var() / 10 + torch.tensor(b).var() / 10) ** 0.5
print(f"standard error of ticket - dense after one round: in pairs {paired_error:.2f} points,")
print(f"as two groups {unpaired:.2f}")

# %%
quiz("08", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A colleague reports: "I pruned 80 % of a network, rewound it, and trained it. It is as good
# as the dense one. So the initial weights were a winning ticket." Which two controls are missing,
# and what does each of them tell?

# %% [markdown] written="which_controls" points=2
# <!-- BEGIN SOLUTION -->
# The same mask on other random weights: if that does as well, the start does not matter. The same
# start (and the same count in each layer) under a shuffled mask: if that does as well, the places
# do not matter, only how many there are. Both over several seeds, compared in pairs.
#
# *Marking: one point for each control with what it tells.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** "The lottery ticket shows that training is superfluous: the right subnetwork is there from
# the start." What is right about this, and what is not?

# %% [markdown] written="is_training_superfluous" points=2
# <!-- BEGIN SOLUTION -->
# Right: untrained, the masked network already reads many images. Not right: the mask was found by
# training the dense network, so it carries what was learned; and finding it costs more training
# than it saves. The hypothesis says that such a subnetwork exists, not that it comes for free.
#
# *Marking: one point for the mask being a product of training, one for the cost of the search or
# for existence against finding.*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** One paper finds that tickets lead their reinitialised controls, another that they do not.
# Name two settings that can explain both findings, and how each of them works.

# %% [markdown] written="why_papers_disagree" points=2
# <!-- BEGIN SOLUTION -->
# The learning rate: a high rate carries weights far from their start, so the start counts for less.
# The length of training: tickets begin early and controls catch up, so a short training shows a
# larger lead. (Also: the share left; the size of the network and whether it is stable at the point
# it is rewound to; the number of seeds.)
#
# *Marking: one point for each setting with its reason.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# A ticket for our device: the CNN, searched by hand with your functions, three rounds of one half.

# %% varies demo
beginning, found = search("cnn", 0, 3, 4)
for masks, _, right in found:
    left = sum(float(mask.sum()) for mask in masks.values())
    print(f"{100 * left / sum(m.numel() for m in masks.values()):5.1f} % left: {right:.1f} % right")
ticket = models.new("cnn")
go_back(ticket, beginning, found[-1][0])
train(ticket, found[-1][0], seed=0, epochs=4)
enter("08", "a lottery ticket", ticket)

# %% [markdown]
# Its accuracy is fine; its bytes, multiplications and milliseconds are those of the dense network,
# as always with scattered zeros. What a ticket teaches is about training, not about devices. (Nor
# does the list show that tickets beat dense networks: it is one network, stopped after four epochs.
# Step 6.)

# %% [markdown]
# ## The last step: the test images

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
control = models.new("cnn", 10_000)
train(control, found[-1][0], seed=0, epochs=4)
print("                     validation     test")
for name, model in {"ticket": ticket, "reinitialised": control}.items():
    on_test = 100 * training.accuracy(model, x_test, y_test)
    print(f"{name:20} {percent_right(model):8.1f} % {on_test:8.1f} %")

# %% [markdown]
# One network each. You know by now what to think of such a comparison.

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("08", "exit")

# %% [markdown]
# ## Recap
#
# - A ticket is a mask and a start. A beginning must be copied, or it is trained along.
# - The mask carries what the dense network has learned: untrained, it already reads digits.
# - Two controls: other weights under the same mask, other places for the same weights. Many seeds,
#   compared in pairs, with their standard error.
# - Tickets lead where little is left, where training is short and the rate low. Against the dense
#   network they have size to win, not accuracy.
# - The hypothesis speaks of existence. Searching costs several trainings.
# - What SNIP finds before training is mainly how many weights a layer needs. One shot before
#   training, by size or by SynFlow, can empty a layer.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of earlier lessons may be due.

# %%
enrol("08")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - J. Frankle and M. Carbin, *The Lottery Ticket Hypothesis*, 2019 (arXiv 1803.03635).
# - Z. Liu and others, *Rethinking the Value of Network Pruning*, 2019 (arXiv 1810.05270): where it
#   did not hold.
# - H. Zhou and others, *Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask*, 2019
#   (arXiv 1905.01067).
# - J. Frankle and others, *Linear Mode Connectivity and the Lottery Ticket Hypothesis*, 2020 (arXiv
#   1912.05671): stability, and rewinding to an early step.
# - N. Lee and others, *SNIP*, 2019 (arXiv 1810.02340); H. Tanaka and others, *Pruning neural
#   networks without any data by iteratively conserving synaptic flow*, 2020 (arXiv 2006.05467).
# - J. Frankle and others, *Pruning Neural Networks at Initialization: Why Are We Missing the
#   Mark?*, 2021 (arXiv 2009.08576): the shuffling control.
