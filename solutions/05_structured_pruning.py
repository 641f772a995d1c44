# %% [markdown]
# # 05 · Structured pruning
#
# **About 150 minutes · difficulty 4 of 5**
#
# You will be able to
#
# - name the grains in which a network can be pruned, and what each gives up for what;
# - take filters out of a network for good, through BatchNorm, flatten and linear layers, and prove
#   that the rest computes what it did;
# - do the same where a residual addition ties layers together, by hand and with a tool;
# - say with honest statistics whether the result is faster.
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

quiz("05", "pretest")

# %% [markdown]
# ## Overview
#
# So far we wrote zeros, and the bill stayed the same. Now whole filters go, and this time they
# really leave: tensors get smaller, and so does everything that touches them. A network is a chain,
# so the neighbours must shrink too, and some filters cannot leave alone. You will do this surgery
# yourself, check it to the last digit, then let a tool do it, and take the time.

# %% [markdown]
# ## Key concepts
#
# - **Granularity**: what is removed as one piece, from a single weight to a whole layer.
#   **Structured** pruning removes pieces so regular that the tensors can be made smaller.
# - **Filter**: the weights that make one output channel. It *is* a row of its convolution, and a
#   column of whatever reads the channel.
# - **Surgery**: replacing layers by smaller ones that compute the same for what is left.
# - **Coupled channels**: channels that are added to one another, and can only leave together.

# %%
import copy
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
import torchvision
from IPython.display import display
from torch import nn

from course_utils import data, measure, models, plots
from course_utils.pruning import channels, importance
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
image = digits.x_val[:1]
network = models.load("cnn")
trained = cache(models.load)  # claims ask for the same networks several times


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * accuracy(model, digits.x_val, digits.y_val)


# %% [markdown]
# ## Step 1: from single weights to whole layers
#
# **Question.** Half of a convolution is to go. Which half? Lesson 03 chose freely, then two of
# every four. One can also take pieces of a regular shape: three weights in a row (a *vector*), a
# whole 3 x 3 *kernel* (what one filter does to one input channel), or a whole *filter*. The larger
# the piece, the easier the result is to use, and the fewer choices are left.
#
# By free choice, the larger half of the weights holds much more than half of a layer's size (the
# sum of all absolute values): lesson 03 began with that.
#
# **Predict.** We keep the larger half of `conv2`'s **filters** instead. How many percent of the
# layer's size stay?

# %%
predict("size_kept_by_filters", ...)

# %% [markdown]
# A convolution's weight has the dimensions (filters, input channels, height, width), and lies in
# memory in this order. So each of our pieces is a run of neighbours: 1 weight, 3 for a vector, 9
# for a kernel, all of a row for a filter.


# %%
def keep_half(weight, piece):
    """A mask that keeps the larger half of the pieces, each a run of `piece` weights."""
    sizes = weight.detach().abs().reshape(-1, piece)
    mask = torch.zeros_like(sizes)
    mask[sizes.sum(dim=1).topk(len(sizes) // 2).indices] = 1
    return mask.view(weight.shape)


def two_of_four(weight):
    """The 2:4 pattern of lesson 03."""
    fours = weight.detach().abs().reshape(-1, 4)
    mask = torch.zeros_like(fours).scatter(1, fours.topk(2, dim=1).indices, 1)
    return mask.view(weight.shape)


grains = {
    "single weights": lambda weight: keep_half(weight, 1),
    "2:4": two_of_four,
    "vectors": lambda weight: keep_half(weight, 3),
    "kernels": lambda weight: keep_half(weight, 9),
    "filters": lambda weight: keep_half(weight, weight[0].numel()),
}


def size_kept(weight, mask):
    """How many percent of the sum of sizes stay."""
    return 100 * ((weight.detach() * mask).abs().sum() / weight.detach().abs().sum()).item()


# %% varies demo
if predicted("size_kept_by_filters"):
    weight = network.conv2.weight.detach()
    kept = {grain: size_kept(weight, choose(weight)) for grain, choose in grains.items()}
    outcome("size_kept_by_filters", kept["filters"], "%")
    with plots.style():
        fig, rows = plots.subplots(5, 1, figsize=(7.2, 6.2))
        for axes, (grain, choose) in zip(rows, grains.items(), strict=True):
            corner = (weight * choose(weight))[:8, :8].flatten(1)
            axes.imshow(np.where(corner == 0, 1.0, 0.0), cmap="gray_r", vmin=0, vmax=1.3)
            axes.set_title(f"{grain}: {kept[grain]:.0f} % of the size stays")
            axes.set_ylabel("filter")
            axes.set_yticks([])
            axes.grid(False)
            axes.set_xticks(range(0, 72, 9), [""] * 8)
            for place in range(9, 72, 9):
                axes.axvline(place - 0.5, color=plots.COLOURS[0], linewidth=1)
        axes.set_xlabel("weights of a filter; blue lines set input channels apart")
        fig.suptitle(
            "Half of conv2 removed (dark), in five grains", x=0.01, ha="left", fontweight="bold"
        )
    display(fig)

# %% [markdown]
# (A corner of the layer: eight of its filters, eight of its input channels. The share that is dark
# there may differ from a half.)
#
# From top to bottom the choice gets poorer, and what it leaves gets more regular. Only the last
# picture can be packed into a smaller dense tensor, by leaving rows out. Above filters there are
# whole layers and blocks of layers (at the end of the lesson).
#
# What about the network? Here `conv2` and `conv3` lose half, in one shot, without training.

# %% varies demo
if predicted("size_kept_by_filters"):
    coarse = {}
    for grain, choose in grains.items():
        coarse[grain] = []
        for seed in range(3):
            model = copy.deepcopy(trained("cnn", seed))
            with torch.no_grad():
                for layer in (model.conv2, model.conv3):
                    layer.weight *= choose(layer.weight)
            coarse[grain].append(percent_right(model))
    display(
        plots.bars(
            list(coarse),
            [round(sum(right) / len(right), 1) for right in coarse.values()],
            errors=[np.std(right, ddof=1) for right in coarse.values()],
            ylabel="right on validation, %",
            title="Half of two layers zeroed in one shot (3 networks)",
        )
    )


# %% [markdown]
# | | single weights | N:M | filters, channels | layers, blocks |
# |---|---|---|---|---|
# | freedom to choose | all | some | little | hardly any |
# | the architecture | **stays** | **stays** | **changes** | **changes** |
# | to be faster it needs | sparse kernels, many zeros | hardware made for it | nothing | nothing |
# | to install | a few lines | a few lines | surgery on all neighbours | shapes that happen to fit |
#
# You may read that structured pruning keeps the architecture and unstructured pruning does not. It
# is the other way round: scattered zeros leave every shape as it was, and removing filters changes
# shapes all over the network. And structured pruning is convenient to *run*, anywhere. To *install*
# it is the laborious one, as you are about to see.

# %%
quiz("05", "section", "Step 1")

# %% [markdown]
# ## Step 2: a number for each filter
#
# **Question.** Which filters should go? The simplest answer (Li and others, below) is the norm of
# each filter: $\left(\sum_i |w_i|^p\right)^{1/p}$ over all its weights, with $p=1$ for the sum of
# sizes, $p=2$ for the Euclidean length.
#
# **Exercise** `filter_norms` · 1 point · about 7 minutes · difficulty 1 of 5
#
# Return a tensor with the p-norm of each filter of a convolution, one number for each output
# channel. `p` is a number, 1 unless given. The bias is not part of a filter's norm.


# %% exercise="filter_norms"
def filter_norms(conv, p=1):
    """The p-norm of each filter."""
    ### BEGIN SOLUTION
    return conv.weight.detach().flatten(1).norm(p, dim=1)
    ### END SOLUTION


# %% check="filter_norms"
check("filter_norms", filter_norms)

# %% [markdown]
# **See it.** All filters of our three convolutions, each layer divided by its largest norm.

# %%
norms_of = yours_or_ours("filter_norms", filter_norms)

# %% varies demo
ranked = {}
for name in ("conv1", "conv2", "conv3"):
    norms = norms_of(getattr(network, name)).sort(descending=True).values
    places = torch.linspace(0, len(norms) - 1, 17).long()
    ranked[name] = (norms / norms[0])[places].tolist()
plots.curve(
    [place / 16 for place in range(17)],
    ranked,
    xlabel="rank of the filter, from the largest norm",
    ylabel="norm / largest norm",
    title="The L1 norms of all filters",
    percent_x=True,
)

# %% [markdown]
# Single weights had a huge crowd near zero. Filters have not: a filter is a sum over many weights,
# and such sums resemble one another. There is no group of tiny filters that begs to be removed. And
# lesson 02 found, for the filters of `conv1`, that the norm says little about the damage: a
# BatchNorm follows and takes the scale out. We use norms all the same, since we need *some* choice
# that is cheap and can be repeated, and in step 6 we compare them with dice.

# %%
quiz("05", "section", "Step 2")

# %% [markdown]
# ## Step 3: zeroed is not removed
#
# **Question.** Why not write zeros into half of `conv2`'s filters, and be done?
#
# **Predict.** We zero 32 of the 64 filters. Behind each stands BatchNorm, then ReLU. How many of
# the 32 channels still send something on?

# %%
predict("zeroed_that_speak", ...)


# %%
@contextmanager
def only(model, speakers):
    """Within, each named module lets only the listed channels through; the others are zero."""

    def gate(keep):
        def hook(module, inputs, output):
            open_ = torch.zeros(output.shape[1], dtype=output.dtype)
            open_[keep] = 1
            return output * open_.view(1, -1, 1, 1)

        return hook

    hooks = [
        model.get_submodule(name).register_forward_hook(gate(keep))
        for name, keep in speakers.items()
    ]
    try:
        yield model
    finally:
        for hook in hooks:
            hook.remove()


def strongest(conv, share=0.5):
    """The channels of the larger filters, in ascending order."""
    norms = norms_of(conv)
    return norms.topk(round(share * len(norms))).indices.sort().values


def zeroed(model):
    """A copy with the weaker half of conv2's filters zero, and the channels in question."""
    weak = torch.ones(model.conv2.out_channels, dtype=torch.bool)
    weak[strongest(model.conv2)] = False
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.conv2.weight[weak] = 0
    return model, weak


# %% varies demo
masked, weak = zeroed(network)
if predicted("zeroed_that_speak"):
    heard = []
    hook = masked.relu2.register_forward_hook(lambda module, inputs, output: heard.append(output))
    as_zeroed = percent_right(masked)
    hook.remove()
    said = heard[0][:, weak].amax(dim=(0, 2, 3))
    outcome("zeroed_that_speak", int((said > 0).sum()))
    spread = heard[0][:, weak].std(dim=(0, 2, 3)).max()
    print(
        f"largest of their constants: {said.max():.2f}; how much any of them varies: {spread:.1g}"
    )
    with only(network, {"relu2": strongest(network.conv2)}):
        print(f"filters zeroed:     {as_zeroed:.1f} % right")
        print(f"channels silenced:  {percent_right(network):.1f} % right")


# %% [markdown]
# A filter of zeros hands BatchNorm a zero. BatchNorm subtracts the running mean, divides by the
# spread, scales and shifts, and out comes a **constant**: the same at every place of every image.
# If it is below zero, the ReLU silences it; if not, the next layer hears it. (Differently at the
# border, where the padding really is zero, so one cannot even put it exactly into a bias.) So
# zeroing a filter and taking its channel out make two different networks. Compare the two
# accuracies, but do not conclude which of the two is better: this is one network.
#
# And the costs?


# %% varies claim="zeroed_filters_still_cost_and_speak"
def cost_of_zeroed(seed):
    model = trained("cnn", seed)
    masked, weak = zeroed(model)
    with torch.no_grad():
        out = masked.bn2(masked.conv2(masked.relu1(masked.bn1(masked.conv1(image)))))
    return {
        "speak": 100 * (out[0, weak].amax((1, 2)) > 0).double().mean().item(),
        "macs": measure.macs(model, image) / measure.macs(masked, image),
        "faster": measure.speedup(model, masked, image, repeats=60)[0],
    }


if predicted("zeroed_that_speak"):
    display(
        claim(
            "zeroed_filters_still_cost_and_speak",
            cost_of_zeroed,
            holds=lambda speak, macs, faster: (
                speak.min() > 5 and abs(macs - 1).max() == 0 and 0.75 < np.median(faster) < 1.33
            ),
            says=lambda speak, macs, faster: (
                f"With half of conv2's filters zero, {speak.mean():.0f} % of their channels still "
                f"sent something on. The network did {100 * (1 - 1 / macs.mean()):.0f} % fewer "
                f"multiplications and was {np.median(faster):.2f} times as fast."
            ),
        )
    )

# %%
quiz("05", "section", "Step 3")

# %% [markdown]
# ## Step 4: surgery on a pair of convolutions
#
# So the filters must leave. A **worked example** where it is easy, with two linear layers: half of
# the neurons of the LeNet's `fc1` go. A neuron is a **row** of the layer that makes it (with its
# bias), and a **column** of the layer that reads it.

# %% varies
lenet = models.load("lenet")
stay = lenet.fc1.weight.detach().abs().sum(dim=1).topk(150).indices.sort().values

narrow = copy.deepcopy(lenet)
narrow.fc1.weight = nn.Parameter(lenet.fc1.weight.detach()[stay])  # rows
narrow.fc1.bias = nn.Parameter(lenet.fc1.bias.detach()[stay])
narrow.fc1.out_features = len(stay)
narrow.fc2.weight = nn.Parameter(lenet.fc2.weight.detach()[:, stay])  # columns
narrow.fc2.in_features = len(stay)
print(narrow.fc1, narrow.fc2, sep="\n")

silent = copy.deepcopy(lenet)  # the same network in full size, with the others' columns zero
others = torch.ones(300, dtype=torch.bool)
others[stay] = False
with torch.no_grad():
    silent.fc2.weight[:, others] = 0
    apart = (narrow(digits.x_val) - silent(digits.x_val)).abs().max()
print(f"largest difference of any output: {apart:.1g}")

# %% [markdown]
# That last line is the test of all surgery: the small network must compute what the large one does
# with those channels silent. Accuracy would be a poor test, for it may survive a mistake.
#
# **Question.** Now convolutions. We take half of `conv1`'s filters out, nothing else, and send an
# image through the network.
#
# **Predict.** Which layer complains first?

# %%
predict("first_to_complain", ..., choices=("conv1", "bn1", "relu1", "conv2"))


# %%
def first_complaint(model):
    """Send an image through, layer by layer; what the first layer says that cannot go on."""
    x = image
    for name, layer in model.named_children():
        try:
            x = layer(x)
        except (RuntimeError, ValueError) as error:
            return name, str(error).splitlines()[0]
    return "nobody complains", "the image went through"


# %% varies demo
if predicted("first_to_complain"):
    keep = strongest(network.conv1)
    broken = copy.deepcopy(network)
    broken.conv1.weight = nn.Parameter(network.conv1.weight.detach()[keep])
    name, words = first_complaint(broken)
    outcome("first_to_complain", name)
    print(f"1. conv1 has {len(keep)} filters.\n   {name}: {words}")

    for what in ("weight", "bias"):
        setattr(broken.bn1, what, nn.Parameter(getattr(network.bn1, what).detach()[keep]))
    print("2. The BatchNorm's scale and shift follow.\n   {}: {}".format(*first_complaint(broken)))

    for what in ("running_mean", "running_var"):
        setattr(broken.bn1, what, getattr(network.bn1, what)[keep])
    print("3. Its statistics follow.\n   {}: {}".format(*first_complaint(broken)))

    broken.conv2.weight = nn.Parameter(network.conv2.weight.detach()[:, keep])
    print("4. The next layer's columns follow.\n   {}: {}".format(*first_complaint(broken)))

# %% [markdown]
# Each crash names the next patient. That is the good case: it crashes. What no crash tells you is
# whether you took the *right* columns. Take the first half of them, whatever `keep` says, and the
# image goes through just as well, into a wrong network. Hence the test above.
#
# **Exercise** `shrink_pair` · 5 points · about 35 minutes · difficulty 4 of 5
#
# `conv` feeds `bn` (a `BatchNorm2d`), which feeds `following`, a convolution; there are no groups.
# `keep` holds the filters of `conv` that stay (int64, each once, at least one). Return a tuple of
# three **new**, smaller layers `(conv, bn, following)`:
#
# - in eval mode they compute what the originals do when the *outputs of `bn`* for all other filters
#   are set to zero;
# - the channels between them stand **in the order of `keep`**;
# - all other settings are kept (stride, padding and its mode, dilation, `eps`, momentum, dtypes),
#   biases are there if they were there, and each layer is in the mode (train or eval) of its
#   original. `out_channels`, `num_features` and `in_channels` say the new counts;
# - the originals stay as they are;
# - layers that do not fit each other raise `ValueError`: `bn` and `following` must have as many
#   channels as `conv` makes.
#
# A BatchNorm may have no scale and shift (`affine=False`) or no statistics
# (`track_running_stats=False`); those tensors are then None.


# %% exercise="shrink_pair"
def shrink_pair(conv, bn, following, keep):
    """Smaller copies of the three layers, with only the filters in `keep` between them."""
    ### BEGIN SOLUTION
    if not conv.out_channels == bn.num_features == following.in_channels:
        raise ValueError("these three layers do not follow one another")
    conv, bn, following = copy.deepcopy((conv, bn, following))  # with settings, modes and dtypes

    def cut(layer, name, kept_part):
        old = getattr(layer, name)
        if isinstance(old, nn.Parameter):
            setattr(layer, name, nn.Parameter(kept_part(old.detach()), old.requires_grad))
        elif old is not None:
            setattr(layer, name, kept_part(old))

    for name in ("weight", "bias"):
        cut(conv, name, lambda old: old[keep])
    for name in ("weight", "bias", "running_mean", "running_var"):
        cut(bn, name, lambda old: old[keep])
    cut(following, "weight", lambda old: old[:, keep])
    conv.out_channels = bn.num_features = following.in_channels = len(keep)
    return conv, bn, following
    ### END SOLUTION


# %% check="shrink_pair"
check("shrink_pair", shrink_pair)

# %% [markdown]
# **See it.** Between our `bn1` and `conv2` stands a ReLU, and behind `bn2` a pooling too. Both turn
# zero into zero, so what is silent stays silent. (Under Pitfalls is a layer that does not.)

# %%
pair = yours_or_ours("shrink_pair", shrink_pair)

# %% varies demo
keep = strongest(network.conv1)
smaller = copy.deepcopy(network)
smaller.conv1, smaller.bn1, smaller.conv2 = pair(network.conv1, network.bn1, network.conv2, keep)
with torch.no_grad():
    with only(network, {"relu1": keep}):
        wanted = network(digits.x_val)
    apart = (smaller(digits.x_val) - wanted).abs().max()
print(f"conv1 {tuple(smaller.conv1.weight.shape)}, conv2 {tuple(smaller.conv2.weight.shape)}")
print(f"largest difference of any output: {apart:.1g}")
work = measure.macs(smaller, image) / measure.macs(network, image)
print(f"half of conv1's filters are gone, and {100 * work:.0f} % of all MACs are left")

# %% [markdown]
# `conv1` has little work itself: it reads a single channel. Most of what was saved was saved in
# `conv2`, where nobody removed a filter. Removing filters pays **twice**, in the layer itself and
# in its reader.

# %%
quiz("05", "section", "Step 4")

# %% [markdown]
# ## Step 5: through a flatten, and through the whole network
#
# **Question.** Behind `conv3` the picture, 2 x 2 pixels by then, is flattened into one long row for
# `fc1`. Where in that row is channel 5?

# %%
tiny = torch.tensor([[[[0, 1], [2, 3]], [[10, 11], [12, 13]], [[20, 21], [22, 23]]]])
print("three channels of 2 x 2, flattened:", tiny.flatten(1).tolist()[0])

# %% [markdown]
# Channel after channel, all positions of one before the next begins. So a channel owns not one
# column of the linear layer but a run of them.
#
# **Exercise** `shrink_into_linear` · 3 points · about 20 minutes · difficulty 4 of 5
#
# `conv`'s output is flattened and goes into `linear`; each channel has `positions` = height x width
# entries. Return new, smaller layers `(conv, linear)` with only the filters in `keep`, under the
# same rules as before: the function is that of the originals with the other filters' outputs zero,
# the order is that of `keep`, settings, biases, modes and dtypes are kept, `out_channels` and
# `in_features` say the new counts. If `linear` does not have `positions` inputs for each channel,
# raise `ValueError`.


# %% exercise="shrink_into_linear"
def shrink_into_linear(conv, linear, keep, positions):
    """Smaller copies of a convolution and the linear layer that reads its flattened output."""
    ### BEGIN SOLUTION
    if linear.in_features != conv.out_channels * positions:
        raise ValueError(f"{linear.in_features} inputs are not {positions} for each channel")
    conv, linear = copy.deepcopy((conv, linear))
    by_channel = linear.weight.detach().view(linear.out_features, -1, positions)
    columns = by_channel[:, keep].flatten(1)
    linear.weight = nn.Parameter(columns, linear.weight.requires_grad)
    conv.weight = nn.Parameter(conv.weight.detach()[keep], conv.weight.requires_grad)
    if conv.bias is not None:
        conv.bias = nn.Parameter(conv.bias.detach()[keep], conv.bias.requires_grad)
    conv.out_channels, linear.in_features = len(keep), columns.shape[1]
    return conv, linear
    ### END SOLUTION


# %% check="shrink_into_linear"
check("shrink_into_linear", shrink_into_linear)

# %% [markdown]
# Now you have all it takes for the whole CNN. Half of the filters of `conv1`, `conv2` and `conv3`
# are to go, all in all half of its channels.
#
# **Predict.** How many percent of the network's MACs are left?

# %%
predict("macs_left_at_half", ...)

# %%
into_linear = yours_or_ours("shrink_into_linear", shrink_into_linear)


def by_hand(model, kept):
    """A smaller copy of the CNN; `kept` lists the filters of its three convolutions that stay."""
    small = copy.deepcopy(model)
    one, two, three = kept
    small.conv1, small.bn1, small.conv2 = pair(model.conv1, model.bn1, model.conv2, one)
    small.conv2, small.bn2, conv3 = pair(small.conv2, model.bn2, model.conv3, two)
    _, small.fc1 = into_linear(conv3, model.fc1, three, positions=4)
    stand_in = nn.Conv2d(conv3.out_channels, 1, 1)  # a reader that nobody needs afterwards
    small.conv3, small.bn3, _ = pair(conv3, model.bn3, stand_in, three)
    return small


def half_of(model):
    return [strongest(conv) for conv in (model.conv1, model.conv2, model.conv3)]


# %% varies demo
half = by_hand(network, half_of(network))
if predicted("macs_left_at_half"):
    share = measure.macs(half, image) / measure.macs(network, image)
    outcome("macs_left_at_half", 100 * share, "%")
    left = {}
    for name in ("conv1", "conv2", "conv3", "fc1", "fc2"):
        before, after = (getattr(model, name).weight.numel() for model in (network, half))
        left[name] = after / before
    display(
        plots.bars(
            list(left),
            list(left.values()),
            ylabel="weights left",
            title="Half of all filters removed",
            percent=True,
        )
    )


# %% varies claim="surgery_computes_the_same"
def surgery(seed):
    model = trained("cnn", seed)
    kept = half_of(model)
    small = by_hand(model, kept)
    with torch.no_grad(), only(model, dict(zip(("relu1", "relu2", "relu3"), kept, strict=True))):
        wanted = model(digits.x_val)
        apart = (small(digits.x_val) - wanted).abs().max() / wanted.abs().max()
    return {
        "apart": apart.item(),
        "work": 100 * measure.macs(small, image) / measure.macs(model, image),
        "bytes": 100 * measure.bytes_on_disk(small) / measure.bytes_on_disk(model),
    }


if predicted("macs_left_at_half"):
    display(
        claim(
            "surgery_computes_the_same",
            surgery,
            holds=lambda apart, work, bytes: (
                apart.max() < 1e-4 and work.max() < 30 and bytes.max() < 50
            ),
            says=lambda apart, work, bytes: (
                f"The outputs of the halved networks differed from the silenced ones by "
                f"{apart.max():.0e} of the largest output at most. They do {work.mean():.0f} % of "
                f"the multiplications and their files have {bytes.mean():.0f} % of the size."
            ),
        )
    )

# %% [markdown]
# A middle layer has half the filters, each reading half the channels: a **quarter** is left. The
# first layer reads the image, which nobody halved, and so keeps a half; and so does `fc1`, whose
# outputs we left alone. This time the file is smaller because there is less in it, not because
# something has to be unpacked.

# %%
quiz("05", "section", "Step 5")

# %% [markdown]
# ## Step 6: what comes back, and does the choice matter?
#
# **Question.** Function equivalence says the surgery was right. It does not say the patient is
# well: half of its channels are silent. We train for one epoch, at half the learning rate of the
# original training. And since this is the moment to ask, we remove half of the filters in three
# ways: those with the smaller norms, any, and those with the *larger* norms.
#
# **Predict.** The smaller norms go. How many percent are right after that one epoch?

# %%
predict("right_after_one_epoch", ...)


# %%
def recovered(model, seed=0, epochs=1, lr=1e-3):
    """A copy, trained on for a while, at half the rate of the original training."""
    model = copy.deepcopy(model)
    train(model, digits, epochs=epochs, lr=lr, seed=seed, quiet=True)
    return model


def random_half(model, seed):
    dice = torch.Generator().manual_seed(seed)
    counts = [conv.out_channels for conv in (model.conv1, model.conv2, model.conv3)]
    return [torch.randperm(count, generator=dice)[: count // 2].sort().values for count in counts]


def weaker_half(model):
    """The other half: the filters with the smaller norms stay."""
    convs = (model.conv1, model.conv2, model.conv3)
    return [norms_of(c).argsort()[: c.out_channels // 2].sort().values for c in convs]


# %% varies demo
choices = {
    "the smaller": lambda model, seed: half_of(model),
    "any": random_half,
    "the larger": lambda model, seed: weaker_half(model),
}
if predicted("right_after_one_epoch"):
    at_once, trained_on = {}, {}
    for name, choose in choices.items():
        halves = [by_hand(trained("cnn", s), choose(trained("cnn", s), s)) for s in range(5)]
        at_once[name] = [percent_right(half) for half in halves]
        trained_on[name] = [percent_right(recovered(half, s)) for s, half in enumerate(halves)]
    outcome("right_after_one_epoch", trained_on["the smaller"][0], "% for our network")
    display(
        plots.bars(
            list(choices),
            {
                when: [round(float(np.mean(right)), 1) for right in by.values()]
                for when, by in (("removed", at_once), ("and one epoch", trained_on))
            },
            errors={
                when: [np.std(right, ddof=1) for right in by.values()]
                for when, by in (("removed", at_once), ("and one epoch", trained_on))
            },
            ylabel="right on validation, %",
            title="Which half of the filters goes? (5 networks)",
        )
    )


# %% varies claim="half_the_filters_can_go"
def half_gone(seed):
    model = trained("cnn", seed)
    small = by_hand(model, half_of(model))
    return {
        "dense": percent_right(model),
        "at_once": percent_right(small),
        "after": percent_right(recovered(small, seed)),
        "dice": percent_right(recovered(by_hand(model, random_half(model, seed)), seed)),
        "larger": percent_right(recovered(by_hand(model, weaker_half(model)), seed)),
    }


if predicted("right_after_one_epoch"):
    display(
        claim(
            "half_the_filters_can_go",
            half_gone,
            holds=lambda dense, at_once, after, dice, larger: (
                (after - at_once).min() > 10
                and (dense - after).max() < 10
                and (dense - after).mean() < 4
                and abs((after - dice).mean()) < 3
                and abs((after - larger).mean()) < 3
            ),
            says=lambda dense, at_once, after, dice, larger: (
                f"Right after the surgery {at_once.mean():.0f} % were right on average, after one "
                f"epoch {after.mean():.1f} %: {(dense - after).mean():.1f} points below the dense "
                f"networks on average, {(dense - after).max():.1f} in the worst case. With a "
                f"random half removed it was {dice.mean():.1f} % after that epoch, with the larger "
                f"norms removed {larger.mean():.1f} %."
            ),
        )
    )

# %% [markdown]
# One short epoch brings most of it back. And the choice? Before training look at the lowest bar: is
# it the one you would have bet on? (The error bars are one standard deviation over the networks,
# and long.) After training, compare the three figures in the claim: half of the filters by norm, by
# dice or the wrong way round, it is much the same. That has been found for large networks too (Liu
# and others, below): what was inherited matters less than *how many* channels each layer has.
# Whether training the small network from scratch does as well is a fair question; lesson 06 asks
# it.

# %%
quiz("05", "section", "Step 6")

# %% [markdown]
# ## Step 7: is it faster?
#
# **Question.** A quarter of the multiplications is left. Four times as fast?
#
# **Predict.** How many times as fast is the halved CNN for a **single** image?

# %%
predict("times_faster_halved", ...)

# %% [markdown]
# Times scatter, so one ratio is not an answer. The two networks take turns (`interleaved_times`),
# each turn gives one ratio, and we report their **median** and **quartiles**. The quartiles say
# how much single turns scatter. How well the median itself is known is another matter: with $n$
# turns, the true median lies between the values at ranks $n/2 - \sqrt n$ and $n/2 + \sqrt n$ in
# about 95 of 100 experiments (if the turns do not depend on one another, which on a busy machine is
# only nearly so).
#
# One source of error no number of turns removes: where a network happens to lie in memory can make
# it a few percent faster or slower than its twin. So we say "faster" only if the whole interval
# lies above 1.05. Otherwise the honest report is: no significant speed-up.


# %%
def compare(before, after, example, repeats=80):
    """How many times as fast `after` is: quartiles, the median's interval, and a verdict."""
    slow, fast = measure.interleaved_times([before, after], example, repeats=repeats)
    ratios = np.sort(np.divide(slow, fast))
    low, high = (ratios[round(repeats / 2 + way * repeats**0.5)] for way in (-1, 1))
    verdict = "faster" if low > 1.05 else "slower" if high < 0.95 else "no significant speed-up"
    return np.percentile(ratios, [25, 50, 75]), (low, high), verdict


def report(name, before, after, example):
    (first, median, third), (low, high), verdict = compare(before, after, example)
    print(
        f"{name:24} {median:5.2f} times as fast, middle half {first:.2f} to {third:.2f}, "
        f"median {low:.2f} to {high:.2f}: {verdict}"
    )
    return median, third - first


# %% varies demo
if predicted("times_faster_halved"):
    half_zero = copy.deepcopy(network)
    with torch.no_grad():
        for conv, keep in zip(("conv1", "conv2", "conv3"), half_of(network), strict=True):
            gone = torch.ones(getattr(half_zero, conv).out_channels, dtype=torch.bool)
            gone[keep] = False
            getattr(half_zero, conv).weight[gone] = 0
    contestants = {"its own copy": copy.deepcopy(network), "zeroed": half_zero, "removed": half}
    batch_sizes = (1, 16, 64, 256)
    found = {name: [] for name in contestants}
    for size in batch_sizes:
        for name, model in contestants.items():
            found[name].append(
                report(f"{name}, batch {size}", network, model, digits.x_train[:size])
            )
    outcome("times_faster_halved", float(found["removed"][0][0]), "times as fast")
    work = measure.macs(network, image) / measure.macs(half, image)
    display(
        plots.bars(
            [f"batch {size}" for size in batch_sizes],
            {name: [round(m, 2) for m, _ in by] for name, by in found.items()},
            errors={name: [spread / 2 for _, spread in by] for name, by in found.items()},
            ylabel="times as fast as the dense CNN",
            title=f"{work:.1f} times fewer MACs: how much faster?",
        )
    )
    print("Error bars: half of the middle half's width, over 80 turns. In milliseconds, one image:")
    three = {"dense": network, "zeroed": half_zero, "removed": half}
    turns = measure.interleaved_times([*three.values()], image, repeats=80)
    for name, times in zip(three, turns, strict=True):
        first, median, third = np.percentile(times, [25, 50, 75])
        print(f"{name:8} {median:.3f} ms, middle half {first:.3f} to {third:.3f}")


# %% varies claim="removed_is_faster_and_zeroed_is_not"
def speeds(seed):
    model = trained("cnn", seed)
    small, (masked, _) = by_hand(model, half_of(model)), zeroed(model)
    batch = digits.x_train[:64]
    return {
        "work": measure.macs(model, image) / measure.macs(small, image),
        "one": measure.speedup(model, small, image, repeats=60)[0],
        "many": measure.speedup(model, small, batch, warmup=3, repeats=25)[0],
        "zeroed": measure.speedup(model, masked, batch, warmup=3, repeats=25)[0],
    }


if predicted("times_faster_halved"):
    display(
        claim(
            "removed_is_faster_and_zeroed_is_not",
            speeds,
            holds=lambda work, one, many, zeroed: (
                1.1 < np.median(one) < 0.8 * work.min()
                and np.median(many) > 1.3
                and 0.75 < np.median(zeroed) < 1.33
            ),
            says=lambda work, one, many, zeroed: (
                f"With {work.mean():.1f} times fewer MACs the halved CNN was {np.median(one):.1f} "
                f"times as fast for one image and {np.median(many):.1f} times for 64 at once. With "
                f"half of conv2's filters zeroed it was {np.median(zeroed):.2f} times as fast."
            ),
        )
    )

# %% [markdown]
# The first row of each batch size, a network against its own copy, is the control: whatever it
# shows is noise. The zeroed network stays in that neighbourhood; the small one leaves it.
#
# For a single image the gain falls far short of the ratio of the MACs. Part of the time of a pass
# has nothing to do with multiplying: calling each layer, moving numbers, BatchNorm and ReLU, whose
# work halves where that of the convolutions falls to a quarter. The more images at once, the more
# the multiplications count. On large batches the gain may even exceed the ratio: half as many
# channels are half as many numbers to keep at hand, and what fits into the processor's cache is
# quick to fetch. A speed-up belongs to a network, a batch size and a machine.

# %%
quiz("05", "section", "Step 7")

# %% [markdown]
# ## Step 8: a residual block by hand
#
# **Question.** In a ResNet the output of a block is *added* to what came in. Our ResNet-8 begins
# with a convolution `conv` of 16 channels, then `block1`:
#
# ```
# image > conv > bn > relu ----+---------------------------------------------+
#                              |                                             |
#                              +> block1.conv1 > bn1 > relu1 > conv2 > bn2 > + > relu2 > block2
# ```
#
# Channel 3 of `conv` is added to channel 3 of `block1.conv2`. If it leaves the one, it must leave
# the other: the channels are **coupled**. The channels between `block1.conv1` and `block1.conv2`
# are not; `shrink_pair` will do for those. `block2` looks like `block1`, except that it makes 32
# channels of the 16, so its shortcut cannot pass them on as they are: there stands a 1 x 1
# convolution of its own, `block2.shortcut.conv`.
#
# **Predict.** Half of the channels of `conv` are to go. Besides `conv` itself, how many
# *convolutions* change their shape, because they make the same channels or read them?

# %%
predict("convolutions_that_follow", ...)

# %% [markdown]
# Coupled layers must agree on whom to keep, and each has scores of its own, in its own scale. A
# simple vote: divide each layer's scores by their sum, so that every layer has one vote to share
# out, and add.
#
# **Exercise** `coupled_keep` · 2 points · about 12 minutes · difficulty 3 of 5
#
# `scores` is a list of 1-D tensors of positive numbers, one tensor for each coupled layer, one
# number for each channel. Divide each tensor by its sum, add them up, and return the indices of the
# `k` best channels: int64, **ascending**; ties as you like. Tensors of different lengths, or a `k`
# outside 0 to the number of channels, raise `ValueError`.


# %% exercise="coupled_keep"
def coupled_keep(scores, k):
    """The k channels on which coupled layers agree, in ascending order."""
    ### BEGIN SOLUTION
    channels_each = {len(layer) for layer in scores}
    if len(channels_each) != 1 or not 0 <= k <= min(channels_each):
        raise ValueError(f"cannot keep {k} channels of layers with {channels_each}")
    together = sum(layer / layer.sum() for layer in scores)
    return together.topk(k).indices.sort().values
    ### END SOLUTION


# %% check="coupled_keep"
check("coupled_keep", coupled_keep)

# %% [markdown]
# Now the group, with the surgery you have. `shrink_pair` wants a maker, its BatchNorm and **one**
# reader. The channels of this group have two makers and three readers, so we call it more than once
# and take from each call what we need.

# %%
agreed = yours_or_ours("coupled_keep", coupled_keep)
resnet = models.load("resnet8")


def residual_group_by_hand(resnet, keep):
    """A copy of the ResNet-8 in which only these channels of its first group are left."""
    small, block1, block2 = copy.deepcopy(resnet), resnet.block1, resnet.block2
    # the first maker and its readers
    small.conv, small.bn, small.block1.conv1 = pair(resnet.conv, resnet.bn, block1.conv1, keep)
    # the second maker, which is added to the first, and its readers: the next block has two
    small.block1.conv2, small.block1.bn2, small.block2.conv1 = pair(
        block1.conv2, block1.bn2, block2.conv1, keep
    )
    *_, small.block2.shortcut.conv = pair(block1.conv2, block1.bn2, block2.shortcut.conv, keep)
    return small


# %% varies demo
scores = [norms_of(resnet.conv), norms_of(resnet.block1.conv2)]
keep = agreed(scores, 8)
if predicted("convolutions_that_follow"):
    group = residual_group_by_hand(resnet, keep)
    before, after = dict(resnet.named_modules()), dict(group.named_modules())
    changed = [
        name
        for name, module in before.items()
        if isinstance(module, nn.Conv2d) and module.weight.shape != after[name].weight.shape
    ]
    outcome("convolutions_that_follow", len(changed) - 1)
    for name in changed:
        shapes = (tuple(model[name].weight.shape) for model in (before, after))
        print("{:22} {} -> {}".format(name, *shapes))

# %% [markdown]
# Is it right? The original must have those channels silent in both summands: behind `bn` and behind
# `block1.bn2` (what is added to nothing is nothing, and the ReLU leaves it so). We test on noise,
# in double precision, and give the BatchNorms statistics and scales such as no training would
# leave: what holds for any numbers holds for ours.


# %% varies claim="the_residual_group_is_exact"
def group_by_hand(seed):
    model = models.new("resnet8", seed).double().eval()
    dice = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                for tensor in (norm.weight, norm.bias, norm.running_mean):
                    tensor.copy_(torch.randn(tensor.shape, generator=dice))
                norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=dice) + 0.1)
                norm.eps = 0.3
        noise = torch.randn(20, 1, 8, 8, generator=dice, dtype=torch.float64)
        keep = torch.randperm(16, generator=dice)[:7]
        small = residual_group_by_hand(model, keep)
        with only(model, {"bn": keep, "block1.bn2": keep}):
            wanted = model(noise)
        with only(model, {"bn": keep}):
            careless = model(noise)
        largest = wanted.abs().max()
        return {
            "apart": ((small(noise) - wanted).abs().max() / largest).item(),
            "one_side": 100 * ((careless - wanted).abs().max() / largest).item(),
        }


if predicted("convolutions_that_follow"):
    display(
        claim(
            "the_residual_group_is_exact",
            group_by_hand,
            holds=lambda apart, one_side: apart.max() < 1e-9 and one_side.min() > 0.1,
            says=lambda apart, one_side: (
                f"The group cut by hand computed the same up to {apart.max():.0e} of the largest "
                f"output. Had only one of the two summands been silent, it would have been off by "
                f"{one_side.min():.1f} % or more."
            ),
        )
    )

# %%
quiz("05", "section", "Step 8")

# %% [markdown]
# ## Step 9: let a tool find the groups
#
# **Question.** By hand we had to know the network: who is added to whom, who reads what. A
# ResNet-50 has sixteen additions and more than fifty convolutions. Can the ties be found by
# themselves?
#
# Yes: send an example through and record which operation used what. Torch-Pruning (DepGraph, below)
# does that. We call it through `course_utils.pruning.channels`, which adds a rehearsal: every
# removal is first tried on a copy, and what would compute something else is refused with a
# sentence.

# %% varies demo
for group in channels.groups(resnet, image):
    note = f"  fixed: {group.fixed}" if group.fixed else ""
    print(f"{group.channels:3} channels made by {', '.join(group.members)}{note}")
drop = {"conv": [c for c in range(16) if c not in keep.tolist()]}
by_tool = channels.remove(resnet, image, drop)
with torch.no_grad():
    apart = (by_tool(digits.x_val) - residual_group_by_hand(resnet, keep)(digits.x_val)).abs().max()
print(f"\nthe group of step 8, by tool and by hand: outputs differ by {apart:.1g}")

# %% [markdown]
# The first line is your group. `channels.weakest` chooses: scores in, and out comes what
# `channels.remove` should drop, coupled layers voting as in `coupled_keep`. With `round_to=8`, its
# default, each layer keeps a multiple of 8 channels, since processors work on numbers in packs and
# a pack that is not full may cost as much as a full one.
#
# **Predict.** Half of all channels of our trained ResNet-8 go, by norm; then one epoch at half the
# rate. How many percent are right?

# %%
predict("resnet_right_after_one_epoch", ...)


# %%
def tool_half(model, example, share=0.5, round_to=8):
    """Half of all channels removed by L1 norm, whatever the network looks like."""
    weak = channels.weakest(model, example, importance.magnitude(model), share, round_to)
    return channels.remove(model, example, weak)


# %% varies demo
if predicted("resnet_right_after_one_epoch"):
    small_resnet = tool_half(resnet, image)
    tuned = {epochs: recovered(small_resnet, epochs=epochs, lr=1.5e-3) for epochs in (1, 4)}
    outcome("resnet_right_after_one_epoch", percent_right(tuned[1]), "%")
    print(
        f"dense {percent_right(resnet):.1f} %, removed {percent_right(small_resnet):.1f} %, ",
        end="",
    )
    print(f"after 4 epochs {percent_right(tuned[4]):.1f} %")
    work = measure.macs(resnet, image) / measure.macs(small_resnet, image)
    print(f"{work:.1f} times fewer MACs")
    for size in (1, 64, 256):
        report(f"batch {size}", resnet, small_resnet, digits.x_train[:size])

# %% [markdown]
# Compare with the CNN: how much was back after one epoch, and how much time was gained? The layers
# of this ResNet are narrow to begin with, and half of narrow is very narrow. And it has many small
# steps, which cost something however little they compute (lesson 01). Now a network of the real
# world: torchvision's ResNet-18, **untrained**, because size and time do not depend on what the
# weights say.

# %% varies demo
if predicted("resnet_right_after_one_epoch"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        large = torchvision.models.resnet18(weights=None).eval()
        photo = torch.randn(1, 3, 64, 64)
    widest = max(channels.groups(large, photo), key=lambda group: len(group.touches))
    print(f"its largest group: {widest.channels} channels, made by {', '.join(widest.members)};")
    print(f"{len(widest.touches)} tensors shrink when one of them leaves\n")
    for share, round_to in ((0.5, 8), (0.45, 8), (0.45, 1)):
        small = tool_half(large, photo, share, round_to)
        work = measure.macs(large, photo) / measure.macs(small, photo)
        size = measure.bytes_on_disk(large) / measure.bytes_on_disk(small)
        slow, fast = measure.interleaved_times([large, small], photo, warmup=2, repeats=12)
        low, median, high = np.percentile(np.divide(slow, fast), [25, 50, 75])
        widths = [
            module.out_channels for module in small.modules() if isinstance(module, nn.Conv2d)
        ]
        print(
            f"{100 * share:.0f} % of the channels, multiples of {round_to}: widths {widths[:3]} ..."
        )
        print(f"    file {size:.1f} times smaller, {work:.1f} times fewer MACs, ", end="")
        print(f"{median:.1f} times as fast (middle half {low:.1f} to {high:.1f})")

# %% [markdown]
# Twenty convolutions, additions everywhere, and one line removes half of it. On a network of this
# size calling the layers weighs little, so the time can follow the MACs more closely: compare with
# the ResNet-8. Whether multiples of 8 help depends on the processor and its library; compare the
# last two rows on yours, and mind that they do not have quite the same MACs.

# %%
quiz("05", "section", "Step 9")

# %% [markdown]
# ## Twins: the same thing said twice
#
# **Question.** One hears that networks are full of *redundant* filters, pairs that do nearly the
# same. Are they? Two filters are alike if the **cosine similarity** of their weights is near 1 (the
# same direction, whatever the length). But what they *do* are their outputs. We compare both, on
# the training images, behind the ReLU.


# %%
def similarities(rows):
    """The cosine similarity of each row with each other one; a row with itself counts -1."""
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return (rows @ rows.T).fill_diagonal_(-1)


def spoken(model, relu):
    """A row for each channel: what it says behind this ReLU, at all places of all images."""
    heard = []
    hook = model.get_submodule(relu).register_forward_hook(
        lambda m, i, output: heard.append(output)
    )
    with torch.no_grad():
        model(digits.x_train)
    hook.remove()
    return heard[0].transpose(0, 1).flatten(1)


# %% varies demo
closest = {"weights": [], "outputs": []}
for conv, relu in (("conv1", "relu1"), ("conv2", "relu2"), ("conv3", "relu3")):
    for what, rows in (
        ("weights", getattr(network, conv).weight.detach().flatten(1)),
        ("outputs", spoken(network, relu)),
    ):
        closest[what].append(similarities(rows).amax(dim=1).median().item())
plots.bars(
    ["conv1", "conv2", "conv3"],
    {what: [round(value, 2) for value in values] for what, values in closest.items()},
    ylabel="similarity to the closest other filter",
    title="Has a typical filter a twin? (median over the layer)",
)

# %% [markdown]
# By their weights, hardly, in the wide layers: in a space of hundreds of dimensions nearly all
# directions are almost at right angles. Outputs are more alike, for all filters look at the same
# pictures. (Part of that comes cheap: behind a ReLU no number is negative, so no two outputs can
# point in opposite directions.) A criterion that looks for equal *weights* finds little of this.
#
# If two channels say nearly the same, one can go, **provided the other speaks for both**: whoever
# read the first gets its weight added to what he reads from the second, times the factor that fits
# best (least squares). No training.
#
# **Predict.** Half of `conv2`'s filters leave in this way. How many percent are right?

# %%
predict("right_with_twins", ...)


# %%
def twins(model, relu, many):
    """Pairs (goes, stays), the most similar first; whoever stays for one stays for good."""
    alike = similarities(spoken(model, relu))
    goes, stays, pairs = set(), set(), []
    for place in alike.triu(1).flatten().argsort(descending=True).tolist():
        a, b = divmod(place, len(alike))
        if a >= b or {a, b} & goes or {a, b} <= stays:
            continue
        a, b = (b, a) if a in stays else (a, b)
        goes.add(a), stays.add(b), pairs.append((a, b))
        if len(pairs) == many:
            return pairs
    return pairs


def without_twins(model, hand_over):
    """Half of conv2's filters out, with or without handing over what their twins said."""
    pairs, rows = twins(model, "relu2", 32), spoken(model, "relu2")
    reader = copy.deepcopy(model.conv3)
    with torch.no_grad():
        for goes, stays in pairs if hand_over else ():
            factor = rows[goes] @ rows[stays] / (rows[stays] @ rows[stays]).clamp(min=1e-9)
            reader.weight[:, stays] += factor * reader.weight[:, goes]
    gone = {goes for goes, _ in pairs}
    keep = torch.tensor([c for c in range(model.conv2.out_channels) if c not in gone])
    small = copy.deepcopy(model)
    small.conv2, small.bn2, small.conv3 = pair(model.conv2, model.bn2, reader, keep)
    return small


def without_any(model, seed):
    """Half of conv2's filters out, by dice."""
    small, keep = copy.deepcopy(model), random_half(model, seed)[1]
    small.conv2, small.bn2, small.conv3 = pair(model.conv2, model.bn2, model.conv3, keep)
    return small


# %% varies claim="a_twin_can_speak_for_both"
def speaking_for_both(seed):
    model = trained("cnn", seed)
    return {
        "dense": percent_right(model),
        "dropped": percent_right(without_twins(model, hand_over=False)),
        "handed": percent_right(without_twins(model, hand_over=True)),
        "random": np.mean([percent_right(without_any(model, dice)) for dice in range(5)]),
    }


if predicted("right_with_twins"):
    outcome("right_with_twins", speaking_for_both(0)["handed"], "% for our network")
    display(
        claim(
            "a_twin_can_speak_for_both",
            speaking_for_both,
            holds=lambda dense, dropped, handed, random: (
                handed.min() > 88
                and (handed - random).mean() > 3
                and (handed - random).min() > 0
                and (handed - dropped).mean() > 1
            ),
            says=lambda dense, dropped, handed, random: (
                f"Without half of conv2's filters, and without any training, the networks were "
                f"{handed.mean():.1f} % right when each twin spoke for the other "
                f"({handed.min():.1f} at worst; dense {dense.mean():.1f}). Dropping the same "
                f"filters and handing nothing over left {dropped.mean():.0f} %, dropping random "
                f"ones {random.mean():.0f} %."
            ),
        )
    )

# %% [markdown]
# This is worth a second look. What the *choice* of similar filters does alone is the distance
# between the last two figures; what handing over does is the rest. A filter is replaceable when the
# rest can say what it said, and somebody has to tell them.
# That is the idea behind a whole family of methods that mend the readers by least squares instead
# of training (He and others, below), and in lesson 11 it returns for single weights.

# %%
quiz("05", "section", "Twins")

# %% [markdown]
# ## A whole block less
#
# **Question.** The coarsest grain: leave out a layer. In our CNN none can go, for each changes the
# number of channels. A residual block whose shortcut changes nothing can: the shortcut remains.
# `block1` of the ResNet-8 is of this kind.
#
# **Predict.** Without `block1`, one epoch of training: how many times as fast is the network on 256
# images? (1 means just as fast. `block1` holds two of the network's nine convolutions.)

# %%
predict("times_faster_without_a_block", ...)


# %%
def without_block(model):
    """A copy without block1. What comes in is not negative, so its last ReLU can go as well."""
    short = copy.deepcopy(model)
    short.block1 = nn.Identity()
    return short


# %% varies claim="a_block_can_go"
def block_gone(seed):
    model = trained("resnet8", seed)
    short = without_block(model)
    figures = {
        "dense": percent_right(model),
        "at_once": percent_right(short),
        "after": percent_right(recovered(short, seed, lr=1.5e-3)),
        "work": measure.macs(model, image) / measure.macs(short, image),
    }
    for name, size in (("one", 1), ("many", 256)):
        batch = digits.x_train[:size]
        figures[name] = measure.speedup(model, short, batch, warmup=3, repeats=25)[0]
    return figures


if predicted("times_faster_without_a_block"):
    outcome("times_faster_without_a_block", block_gone(0)["many"], "times as fast")
    display(
        claim(
            "a_block_can_go",
            block_gone,
            holds=lambda dense, at_once, after, work, one, many: (
                after.min() > 85
                and (after - at_once).min() > 5
                and np.median(one) > 1.08
                and np.median(many) > 1.15
            ),
            says=lambda dense, at_once, after, work, one, many: (
                f"Without block1 ({work.mean():.2f} times fewer MACs) the ResNets were "
                f"{np.median(one):.2f} times as fast for one image and {np.median(many):.2f} times "
                f"for 256. {at_once.mean():.0f} % were right at once, {after.mean():.1f} % after "
                f"one epoch ({after.min():.1f} at worst; dense {dense.mean():.1f})."
            ),
        )
    )

# %% [markdown]
# Halving all channels of this ResNet took away far more MACs than leaving out one block does. Now
# compare with step 9 what the two gained for a **single** image. Depth is what a single image waits
# for: a layer that is half as wide still has to be called, and one that is not there has not. Which
# is the better bargain in accuracy depends on the network.

# %%
quiz("05", "section", "A whole block less")

# %% [markdown]
# ## Pitfalls
#
# **It runs, and it is wrong.** The two makers of a residual group keep *different* channels. The
# counts agree, the addition works, and channel 0 of the one is added to channel 8 of the other:

# %% varies
first, last = torch.arange(8), torch.arange(8, 16)
mixed = residual_group_by_hand(resnet, first)
other = residual_group_by_hand(resnet, last)
mixed.block1.conv2, mixed.block1.bn2 = other.block1.conv2, other.block1.bn2
_, complaint = first_complaint(mixed)
print(f"channels 0-7 and 8-15 mixed: {complaint}; {percent_right(mixed):.0f} % right")
group = residual_group_by_hand(resnet, first)
print(f"channels 0-7 in both:        {percent_right(group):.0f} % right")

# %% [markdown]
# Nothing complains, and any loss of accuracy could pass for "well, it has been pruned, and not been
# trained yet". Only a comparison with the silenced original tells right from wrong.
#
# **Silent is not zero behind every function.** ReLU and pooling turn 0 into 0. A sigmoid turns it
# into one half, and a removed channel takes that half away from its readers:

# %%
for name, function in (("ReLU", nn.ReLU()), ("Tanh", nn.Tanh()), ("Sigmoid", nn.Sigmoid())):
    print(f"{name:8} of 0 is {function(torch.zeros(())).item()}")

# %% [markdown]
# **The old optimizer trains the old network.** Surgery makes new Parameter objects. An optimizer
# made before it knows none of them, and complains about nothing:

# %%
optimizer = torch.optim.Adam(network.parameters())
known = {id(p) for of in optimizer.param_groups for p in of["params"]}
operated = by_hand(network, half_of(network))
found = sum(id(parameter) in known for parameter in operated.parameters())
print(f"parameters of the small network that the old optimizer holds: {found}")

# %% [markdown]
# Make a new one (`train` does; lesson 06 makes one that keeps the settings).
#
# **The file no longer fits the class.** The architecture has changed, so the weights cannot be
# loaded into the network as it was defined:

# %%
try:
    models.new("cnn").load_state_dict(operated.state_dict())
except RuntimeError as error:
    print("\n".join(line[:96] for line in str(error).splitlines()[:3]), "...")

# %% [markdown]
# Keep the widths with the weights and build the network from them, or save the whole module (with
# `torch.save(model)`, which is a pickle: load only your own). With zeros this never came up.
#
# **Filters before a BatchNorm, chosen by a scale that BatchNorm removes.** Double every filter of a
# layer in front of a BatchNorm in training mode: the function stays, the norms double. A single
# ranking of *all* layers' filters by norm would be overturned by it. `weakest` ranks group by
# group.

# %%
quiz("05", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A colleague sets half of the filters of every convolution to zero with
# `prune.ln_structured`, finds the same accuracy after training and the same latency, and concludes
# that structured pruning does not work. What has been done, what has not, and what would you do?

# %% [markdown] written="zeroed_is_not_removed" points=2
# <!-- BEGIN SOLUTION -->
# The filters were masked, not removed: the tensors have their old shapes, so every multiplication
# is still made (and behind a BatchNorm the channels even go on sending a constant). Take them out:
# cut the filters, their BatchNorm entries and the readers' columns, compare with the silenced
# network, train a little, and measure again.
#
# *Marking: one point for "same shapes, same work"; one for cutting all three parts (or a tool that
# does).*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** Why can a channel of a layer inside a residual group not be removed alone, why does a wrong
# choice not always crash, and how would you find out that it was wrong?

# %% [markdown] written="why_channels_are_coupled" points=2
# <!-- BEGIN SOLUTION -->
# The addition needs the same number of channels in both summands, and means that channel i is added
# to channel i. If both keep equally many but different channels, the shapes fit and the wrong ones
# are added. Compare the outputs, on random inputs, with those of the original in which the removed
# channels are silent.
#
# *Marking: half a point for the shapes, half for "channel i to channel i", one for a comparison of
# functions (accuracy alone is not enough).*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** A report says: "4 times fewer MACs, therefore 4 times faster." What would you ask for
# before believing it?

# %% [markdown] written="speed_needs_a_clock" points=1
# <!-- BEGIN SOLUTION -->
# Measured times: both networks in turns on the machine and at the batch size that count, medians
# with their spread, and a control. Part of the time does not shrink with the MACs.
#
# *Marking: half a point for measured times with spread, half for batch size or machine.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# How far can we go? We remove a share of all channels (the neurons of `fc1` too), train for four
# epochs at half the rate, and take the smallest network that is within one point of the dense one
# on the validation images.

# %% varies demo
dense = percent_right(network)
candidates = {}
for share in (0.5, 0.6, 0.7, 0.75):
    candidates[share] = recovered(tool_half(network, image, share), epochs=4)
    kilobytes = measure.bytes_on_disk(candidates[share]) / 1000
    print(
        f"{100 * share:.0f} % of the channels: {percent_right(candidates[share]):.1f} % right, "
        f"{kilobytes:.0f} kB, {measure.macs(candidates[share], image) / 1000:,.0f} k MACs"
    )
good = [share for share, model in candidates.items() if percent_right(model) >= dense - 1]
chosen = candidates[max(good, default=0.5)]
print(f"dense {dense:.1f} %; chosen: {100 * max(good, default=0.5):.0f} % of the channels removed")
enter("05", "channels removed", chosen)

# %% [markdown]
# For the first time everything is smaller at once: bytes, multiplications and time, without a
# special format. What did it cost? Compare with lesson 03's row how many weights are left and how
# many images are right: structure is paid for in freedom.

# %% [markdown]
# ## The last step: the test images

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
print("                     validation     test")
for name, model in {"dense": network, "channels removed": chosen}.items():
    on_test = 100 * accuracy(model, x_test, y_test)
    print(f"{name:20} {percent_right(model):8.1f} % {on_test:8.1f} %")

# %% [markdown]
# The share was chosen on the validation images, so the gap may be a little wider here. Compare
# within a column.

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("05", "exit")

# %% [markdown]
# ## Recap
#
# - From weights to layers, coarser pieces leave less to choose and more to gain on ordinary
#   hardware.
# - A zeroed filter costs what it cost, and behind a BatchNorm it still speaks. A removed one is
#   gone, and the architecture with it.
# - A filter leaves with its bias, its BatchNorm entries and its readers' columns; behind a flatten
#   with a run of columns.
# - What is added leaves together. Judge surgery by the function, not by whether it runs.
# - Fewer MACs are not that many times less time. Take turns, report medians with their spread, and
#   allow for "no significant speed-up".
# - Which filters go matters less than one thinks, once the rest may adapt, by training or by
#   handing over.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of earlier lessons may be due.

# %%
enrol("05")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - H. Li and others, *Pruning Filters for Efficient ConvNets*, 2017 (arXiv 1608.08710): filters by
#   their L1 norm, residual blocks included.
# - H. Mao and others, *Exploring the Granularity of Sparsity in Convolutional Neural Networks*,
#   2017 (arXiv 1705.08922): weights, vectors, kernels and filters compared.
# - Y. He and others, *Channel Pruning for Accelerating Very Deep Neural Networks*, 2017 (arXiv
#   1707.06168): choose channels, then mend the readers by least squares.
# - Z. Liu and others, *Rethinking the Value of Network Pruning*, 2019 (arXiv 1810.05270): what is
#   inherited matters less than how many channels are left.
# - G. Fang and others, *DepGraph: Towards Any Structural Pruning*, 2023 (arXiv 2301.12900): how
#   Torch-Pruning finds what belongs together.
