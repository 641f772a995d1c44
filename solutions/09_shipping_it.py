# %% [markdown]
# # 09 · Shipping it
#
# **About 120 minutes · difficulty 3 of 5**
#
# You will be able to
#
# - say what zeros are worth in a file, in memory and in time, and prove each with a measurement;
# - write a format that stores a zero in one bit, and find out from when CSR pays;
# - choose the kind of pruning by what the target runs and by what is scarce there;
# - find damage that a steady mean hides, and hand over a report that says what nobody measured.
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

quiz("09", "pretest")

# %% [markdown]
# ## Overview
#
# A mask has shipped nothing yet. Here pruned networks leave the notebook: as files, through sparse
# kernels, into another runtime. For every saving we ask who can collect it, and measure. Then we
# ask what was paid: which digits suffer while the mean stands still, and whether a pruned network
# is easier to understand. At the end stands a page that you could hand to a colleague.

# %% [markdown]
# ## Key concepts
#
# - **Target**: what the network will run on, *with its software*. A zero is worth something only
#   to a program that looks for it.
# - **Kernel**: the routine that does the arithmetic of a layer. Dense kernels multiply by all
#   weights; sparse ones skip zeros, some anywhere, some in a pattern only.
# - **CSR** (compressed sparse row): a matrix as three lists, the values that are not zero, the
#   column of each, and a pointer to the beginning of each row.
# - **Bitmask**: one bit for each weight that says whether a value is stored for it.
# - **ONNX**: a file with a network's arithmetic and numbers but no Python. **ONNX Runtime** is one
#   of the programs that run such files.

# %%
import copy
import io
import math
import tempfile
import warnings
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import torch
from IPython.display import Markdown, display
from torch import nn

import course_utils
from course_utils import data, measure, models, onnx_file, plots, training
from course_utils.pruning import channels, importance, masks, recovery, storage
from course_utils.report import report
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

warnings.filterwarnings("ignore", message="Sparse")
digits = data.digits()
image = digits.x_val[:1]
network = models.load("cnn")
trained = cache(models.load)  # trained("cnn", 3) trains that network once and remembers it


def percent_right(model):
    """Accuracy on the validation images, in percent."""
    return 100 * accuracy(model, digits.x_val, digits.y_val)


def pruned(model, keep, epochs=0, lr=1e-3, seed=0):
    """A copy with these masks applied, and held through some epochs of fine-tuning."""
    smaller = copy.deepcopy(model)

    def train(model):
        training.train(model, digits, epochs=epochs, lr=lr, seed=seed, quiet=True)

    recovery.fine_tune(smaller, train, keep)
    return smaller


def half_as_wide(model):
    """A copy without the weaker half of its channels, not trained since."""
    drop = channels.weakest(model, image, importance.magnitude(model), 0.5)
    return channels.remove(model, image, drop)


# %% [markdown]
# ## Step 1: the same file again
#
# **Question.** We take 90 % of the CNN's weights away and fine-tune it with its masks held. Lesson
# 00 showed that `torch.save` stores a zero in four bytes like any other number. But who sends a
# file without zipping it?
#
# **Predict.** How many times smaller is the pruned network's file once it is zipped?

# %%
predict("times_smaller_zipped", ...)

# %% [markdown]
# "Four times smaller", "75 % saved", "a quarter of the size" are the same fact in three dresses.
# Mixed up, they make nonsense of a comparison; this course says *times smaller*.
#
# **Exercise** `compression_ratio` · 1 point · about 4 minutes · difficulty 1 of 5
#
# How many times smaller is the packed file than the dense one? A format may also make it larger;
# then the ratio is below 1.


# %% exercise="compression_ratio"
def compression_ratio(dense_bytes, packed_bytes):
    """How many times smaller the packed file is."""
    ### BEGIN SOLUTION
    return dense_bytes / packed_bytes
    ### END SOLUTION


# %% check="compression_ratio"
check("compression_ratio", compression_ratio)

# %%
times_smaller = yours_or_ours("compression_ratio", compression_ratio)


def saved(model):
    """The bytes that torch.save writes."""
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    return file.getvalue()


whole = len(saved(network))


def ninety(model):
    return masks.keep_global(importance.magnitude(model), 0.9)


# %% varies demo
sparse = pruned(network, ninety(network), epochs=3)
print(f"dense {percent_right(network):.1f} % right, 90 % zero {percent_right(sparse):.1f} % right")
if predicted("times_smaller_zipped"):
    for name, model in {"dense": network, "90 % zero": sparse}.items():
        file = saved(model)
        zipped = len(zlib.compress(file, 9))
        print(
            f"{name:10} torch.save {times_smaller(whole, len(file)):.2f} times smaller, "
            f"zipped {times_smaller(whole, zipped):.2f} times"
        )
    outcome("times_smaller_zipped", float(times_smaller(whole, zipped)), "times smaller")

# %% [markdown]
# The honest file again: not a byte smaller as it stands. But plain zip, which knows nothing about
# networks, finds the runs of zero bytes. On dense weights it finds next to nothing, for their bits
# look like noise.
#
# So is that all? For sending a network, very nearly. Yet a zipped file is unpacked before use, and
# then everything is as large as ever. Formats that a *program* can work with while zeros are left
# out are another matter. The best known comes next.

# %%
quiz("09", "section", "Step 1")

# %% [markdown]
# ## Step 2: three lists instead of a matrix
#
# **CSR** writes down only what is not zero. Worked example: a matrix of three rows.

# %%
matrix = torch.tensor([[0.0, 5.0, 0.0, 7.0], [0.0, 0.0, 0.0, 0.0], [9.0, 0.0, 0.0, 0.0]])
three_lists = matrix.to_sparse_csr()
print("values      ", three_lists.values().tolist())
print("columns     ", three_lists.col_indices().tolist())
print("row pointers", three_lists.crow_indices().tolist())

# %% [markdown]
# Row 0 owns the values from pointer 0 up to pointer 2, row 1 those from 2 up to 2 (none), row 2
# the rest. One pointer more than there are rows, for the last row has an end, too.
#
# **Question.** Each value drags a column number along. So CSR may well be *larger* than dense.
#
# **Predict.** Single precision values (4 bytes), indices of 4 bytes, a matrix of 1024 x 1024: from
# how many percent zeros on is CSR the smaller one?

# %%
predict("zeros_until_csr_is_smaller", ...)

# %% [markdown]
# **Exercise** `csr_bytes` · 2 points · about 10 minutes · difficulty 2 of 5
#
# The bytes that a matrix takes as CSR: its values (as wide as `weight`'s own numbers), a column
# number for each of them and the row pointers, `index_bytes` for every index. Nothing is built;
# counting is enough. A weight that does not have two dimensions raises `ValueError`.


# %% exercise="csr_bytes"
def csr_bytes(weight, index_bytes=4):
    """The size of a matrix as compressed sparse rows."""
    ### BEGIN SOLUTION
    if weight.ndim != 2:
        raise ValueError(f"CSR stores matrices, not {tuple(weight.shape)}")
    values = int((weight != 0).sum())
    pointers = len(weight) + 1
    return values * weight.element_size() + (values + pointers) * index_bytes
    ### END SOLUTION


# %% check="csr_bytes"
check("csr_bytes", csr_bytes)

# %% [markdown]
# **See it.** The size of a 1024 x 1024 matrix against its zeros, with indices of 4 bytes (int32)
# and of 8 (int64, what PyTorch makes unless told otherwise). The third line is a preview of step
# 3: one bit for each weight, and the values.

# %%
bytes_as_csr = yours_or_ours("csr_bytes", csr_bytes)


def with_zeros(size, share, seed=0):
    """A random square matrix of which that share is zero, anywhere."""
    generator = torch.Generator().manual_seed(seed + 7_000_003)
    weight = torch.randn(size, size, generator=generator)
    gone = torch.randperm(size * size, generator=generator)[: round(share * size * size)]
    weight.view(-1)[gone] = 0
    return weight


# %% demo
shares = [0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99]
matrices = [with_zeros(1024, share) for share in shares]
if predicted("zeros_until_csr_is_smaller"):
    dense_bytes = matrices[0].nbytes
    lines = {
        "CSR, int64": [bytes_as_csr(weight, 8) / dense_bytes for weight in matrices],
        "CSR, int32": [bytes_as_csr(weight, 4) / dense_bytes for weight in matrices],
        "a bit each": [1 / 32 + (weight != 0).double().mean().item() for weight in matrices],
    }
    smaller = [share for share, part in zip(shares, lines["CSR, int32"], strict=True) if part < 1]
    print(f"Of these shares the first at which CSR with int32 is smaller: {100 * smaller[0]:.0f} %")
    outcome("zeros_until_csr_is_smaller", 50.0, "%, by arithmetic: 8 bytes a value against 4")
    for place in (-3, -2, -1):
        sizes = [f"{name} {100 * line[place]:.1f} %" for name, line in lines.items()]
        print(f"at {100 * shares[place]:.0f} % zeros:", ", ".join(sizes))
    display(
        plots.curve(
            shares,
            lines,
            xlabel="zeros",
            ylabel="size, relative to dense",
            title="When does leaving out zeros pay?",
            percent_x=True,
            percent_y=True,
        )
    )

# %% [markdown]
# An index as wide as its value doubles the price of every weight that stays: half of the weights
# must go before anything is won, and two thirds with int64. The bit for each weight has a fixed
# price instead, a thirty-second of the matrix, and wins almost from the start. Where the lines
# meet again is a matter of arithmetic: once fewer than one weight in thirty-two is left, naming
# the places (with int32) is cheaper than marking them.

# %%
quiz("09", "section", "Step 2")

# %% [markdown]
# ## Step 3: one bit for each weight
#
# **Predict.** A large float32 tensor, 90 % zero. As one bit for each weight plus the values that
# are left: how many times smaller than dense?

# %%
predict("times_smaller_as_bits", ...)

# %% [markdown]
# Worked example: ten flags become two bytes. The second byte is not full, and zeros fill it up.

# %%
flags = np.array([1, 0, 0, 1, 0, 0, 0, 0, 1, 1], dtype=bool)
as_bytes = np.packbits(flags)
print("bytes:", [f"{byte:08b}" for byte in as_bytes])
print("back :", np.unpackbits(as_bytes).tolist())
print("cut  :", np.unpackbits(as_bytes)[: len(flags)].tolist())

# %% [markdown]
# **Exercise** `pack` · 4 points · about 25 minutes · difficulty 4 of 5
#
# Write two functions, and hand both to the check as a pair, `(pack, unpack)`.
#
# - `pack(weight)` returns `bits, values, shape`: `bits` is a uint8 tensor with one bit for each
#   weight, eight to a byte (the last byte may not be full); `values` are the weights that the bits
#   mark, in the type they had; `shape` is the weight's shape.
# - `unpack(bits, values, shape)` gives the tensor back, of the same type, **bit for bit**: a NaN
#   comes back as NaN, a minus zero as minus zero. So only a *plain* zero may be left out.
#
# The weight may have one dimension or more, no entries at all, any layout in memory, and numbers
# in single or double precision. Which end of a byte you begin with is up to you.
# `torch.from_numpy(a)` and `t.numpy()` lead from one world to the other.


# %% exercise="pack"
def pack(weight):
    """The tensor as bits, the values they mark, and its shape."""
    ### BEGIN SOLUTION
    flat = weight.detach().reshape(-1)
    kept = (flat != 0) | flat.signbit()  # NaN differs from zero; minus zero has a sign
    return torch.from_numpy(np.packbits(kept.numpy())), flat[kept], tuple(weight.shape)
    ### END SOLUTION


def unpack(bits, values, shape):
    """The tensor that was packed."""
    ### BEGIN SOLUTION
    flat = torch.zeros(math.prod(shape), dtype=values.dtype)
    kept = torch.from_numpy(np.unpackbits(bits.numpy())[: len(flat)].astype(bool))
    flat[kept] = values
    return flat.view(shape)
    ### END SOLUTION


# %% check="pack"
check("pack", (pack, unpack))

# %% [markdown]
# **See it.** All formats on our pruned CNN, whole files: BatchNorm, biases and headers included.
# `storage.save` of the course is your idea with the details a file needs (a header, a checksum,
# tied tensors once); its `compress=True` zips what is left.

# %%
pack_it, unpack_it = yours_or_ours("pack", (pack, unpack))


def bytes_packed(bits, values):
    return np.asarray(bits).nbytes + values.nbytes


def stored(model, compress=False):
    """The size of the course's bitmask file, and the model that comes back from it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.safetensors"
        storage.save(model, path, compress)
        back = copy.deepcopy(model)
        storage.load(path, back)
        return path.stat().st_size, back


def as_csr_file(model, index_bytes):
    """The bytes of torch.save, had it stored the prunable weights as CSR."""
    weights = list(measure.prunable_weights(model).values())
    rest = measure.bytes_on_disk(model) - sum(weight.nbytes for weight in weights)
    return rest + sum(bytes_as_csr(weight.detach().flatten(1), index_bytes) for weight in weights)


# %% varies demo
big = with_zeros(1024, 0.9)
bits, values, shape = pack_it(big)
back = torch.as_tensor(unpack_it(bits, values, shape))
print("bit for bit the same:", torch.equal(big.view(torch.int32), back.view(torch.int32)))
if predicted("times_smaller_as_bits"):
    ratio = times_smaller(big.nbytes, bytes_packed(bits, values))
    outcome("times_smaller_as_bits", float(ratio), "times smaller")
    sizes = {
        "torch.save": measure.bytes_on_disk(sparse),
        "CSR, int64": as_csr_file(sparse, 8),
        "CSR, int32": as_csr_file(sparse, 4),
        "bits": stored(sparse)[0],
        "torch.save,\nzipped": len(zlib.compress(saved(sparse), 9)),
        "bits,\nzipped": stored(sparse, compress=True)[0],
    }
    display(
        plots.bars(
            list(sizes),
            [round(float(times_smaller(whole, size)), 2) for size in sizes.values()],
            ylabel="times smaller than dense",
            title="One network, 90 % zero, in six files",
        )
    )


# %% varies claim="a_bit_for_each_weight_is_smaller_than_csr"
def files(seed):
    model = pruned(trained("cnn", seed), ninety(trained("cnn", seed)))
    size, again = stored(model)
    states = model.state_dict(), again.state_dict()
    return {
        "plain": whole / measure.bytes_on_disk(model),
        "csr": whole / as_csr_file(model, 4),
        "bits": whole / size,
        "zipped": whole / len(zlib.compress(saved(model), 9)),
        "both": whole / stored(model, compress=True)[0],
        "same": all(torch.equal(states[0][name], states[1][name]) for name in states[0]),
    }


if predicted("times_smaller_as_bits"):
    display(
        claim(
            "a_bit_for_each_weight_is_smaller_than_csr",
            files,
            holds=lambda plain, csr, bits, zipped, both, same: (
                abs(plain - 1).max() < 0.01
                and (bits - csr).min() > 1.5
                and zipped.min() > 5
                and (both - bits).min() > 1.5
                and same.all()
            ),
            says=lambda plain, csr, bits, zipped, both, same: (
                f"With 90 % zeros the CNN's file is {plain.mean():.2f} times smaller as it stands, "
                f"{csr.mean():.1f} times as CSR with int32, {bits.mean():.1f} times with a bit for "
                f"each weight, {zipped.mean():.1f} times when torch.save's file is zipped and "
                f"{both.mean():.1f} times when the bits and values are. What came back from the "
                "bits equalled what was packed, every number of it."
            ),
        )
    )

# %% [markdown]
# The bitmask and the plain zip come out about even here, and both together are smaller still. What
# a zip cannot do is hand a kernel one row of a layer; a bitmask can, with a little counting.
#
# And now the catch that all file formats share: `storage.load` fills ordinary dense tensors. The
# network is as large in memory, and as slow, as before it was pruned. **A small file is a saving
# for whoever stores or sends it, and for nobody else.**

# %%
quiz("09", "section", "Step 3")

# %% [markdown]
# ## Step 4: CSR against the clock
#
# CSR is not only a format: there are kernels that multiply a CSR matrix without unpacking it.
# Finally, zeros that are not multiplied!
#
# **Predict.** A layer of 1024 x 1024, scattered zeros, 64 inputs at once, one thread. From how many
# percent zeros on is the CSR kernel faster than the dense one?

# %%
predict("zeros_until_csr_is_faster", ...)


# %%
class Runs(nn.Module):
    """Anything that can be called, in the form that `measure` times."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def times(matrix):
    return Runs(lambda x: matrix @ x)


def as_csr(weight, kind):
    """The matrix as CSR with indices of that type."""
    csr = weight.to_sparse_csr()
    rows, columns = csr.crow_indices().to(kind), csr.col_indices().to(kind)
    return torch.sparse_csr_tensor(rows, columns, csr.values(), size=weight.shape)


def times_as_fast(before, others, x, repeats=30):
    """For each other: how many times as fast it is (quartiles), all of them taking turns."""
    slow, *quick = measure.interleaved_times([before, *others], x, 3, repeats)
    return [np.percentile(np.array(slow) / np.array(one), [25, 50, 75]) for one in quick]


# %% varies demo
tried = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
if predicted("zeros_until_csr_is_faster"):
    ratios = {}
    for columns in (64, 1):
        x = torch.randn(1024, columns, generator=torch.Generator().manual_seed(1))
        for share in tried:
            weight = with_zeros(1024, share)
            kinds = [as_csr(weight, kind) for kind in (torch.int32, torch.int64)]
            found = times_as_fast(times(weight), [times(csr) for csr in kinds], x, 15)
            ratios[columns, "int32", share], ratios[columns, "int64", share] = found
    with plots.style():
        figure, panels = plots.subplots(1, 2, figsize=(8.4, 3.4), sharey=True)
        for axes, columns in zip(panels, (64, 1), strict=True):
            for kind, marker, line, colour in (
                ("int32", "o", "-", plots.COLOURS[0]),
                ("int64", "s", "--", plots.COLOURS[1]),
            ):
                low, middle, high = np.array([ratios[columns, kind, share] for share in tried]).T
                axes.errorbar(
                    [100 * share for share in tried],
                    middle,
                    [middle - low, high - middle],
                    marker=marker,
                    linestyle=line,
                    capsize=3,
                    color=colour,
                    label=kind,
                )
            axes.axhline(1, color="black", linewidth=1)
            axes.set_yscale("log", base=2)
            axes.set_yticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
            axes.set_xlabel("zeros in %")
            axes.set_title(f"{columns} input{'s' * (columns > 1)} at once")
        panels[0].set_ylabel("CSR: times as fast as dense")
        panels[0].legend()
        figure.supxlabel("Median; bars: quartiles of turns", fontsize=8, x=0.99, ha="right")
    display(figure)
    faster = [share for share in tried if ratios[64, "int32", share][1] > 1]
    crossing = f"{100 * faster[0]:.0f} %" if faster else "none of the shares tried"
    print(f"Above the black line CSR wins. With 64 inputs and int32 the first to win: {crossing}")
    outcome("zeros_until_csr_is_faster", 100.0 * (faster or [1.0])[0], "% or a little less")

# %% [markdown]
# Below the line a sparse kernel makes things *worse*. It reads an index for every weight and jumps
# about, where the dense kernel marches through memory eight or sixteen numbers at a time. How many
# zeros it takes to make up for that depends on the processor, the library, the type of the indices
# and on how many inputs share the work. Never quote a crossing point without those.


# %% varies claim="csr_pays_late"
def against_dense(seed):
    x = torch.randn(512, 64, generator=torch.Generator().manual_seed(seed))
    found = {}
    for name, share in (("few", 0.3), ("most", 0.95)):
        weight = with_zeros(512, share, seed)
        kernels = times(weight), times(as_csr(weight, torch.int32))
        found[name] = measure.speedup(*kernels, x, 3, 25)[0]
    return found


if predicted("zeros_until_csr_is_faster"):
    display(
        claim(
            "csr_pays_late",
            against_dense,
            holds=lambda few, most: np.median(few) < 0.85 and np.median(most) > 1.3,
            says=lambda few, most: (
                "A layer of 512 x 512 with 64 inputs at once: with 30 % zeros the CSR kernel was "
                f"{np.median(few):.2f} times as fast as the dense one, that is, slower; with 95 % "
                f"it was {np.median(most):.1f} times as fast."
            ),
        )
    )

# %% [markdown]
# (A practical snag: our networks' layers are small, and most of their weights sit in convolutions,
# for which PyTorch has no CSR kernel. So for us CSR stays a lesson.)

# %%
quiz("09", "section", "Step 4")

# %% [markdown]
# ## Step 5: what hardware rewards
#
# **Question.** Does it matter *where* zeros are, if their number is the same? A layer of 1024 x
# 1024, 80 % zero, 64 inputs. The zeros are scattered; or they come in blocks of 16 x 16; or they
# fill whole rows (outputs), which are then left out.
#
# **Predict.** Which of the three is fastest, each with the best kernel for it?

# %%
predict("fastest_arrangement", ..., choices=("scattered", "blocks", "rows"))

# %% varies demo
if predicted("fastest_arrangement"):
    scattered = with_zeros(1024, 0.8)
    blocks = torch.randn(1024, 1024)
    blocks *= (with_zeros(64, 0.8) != 0).repeat_interleave(16, 0).repeat_interleave(16, 1)
    rows = torch.randn(round(0.2 * 1024), 1024)
    kernels = {
        "scattered,\ndense kernel": times(scattered),
        "scattered,\nCSR": times(as_csr(scattered, torch.int32)),
        "blocks,\nBSR": times(blocks.to_sparse_bsr((16, 16))),
        "rows,\nleft out": times(rows),
    }
    x = torch.randn(1024, 64)
    try:
        kernels["blocks,\nBSR"](x)
    except RuntimeError:
        print("This PyTorch has no kernel for blocks on this processor.")
        del kernels["blocks,\nBSR"]
    found = times_as_fast(times(torch.randn(1024, 1024)), list(kernels.values()), x)
    speeds = dict(zip(kernels, found, strict=True))
    names = {"CSR": "scattered", "BSR": "blocks", "left out": "rows"}
    best = max(list(speeds)[1:], key=lambda name: speeds[name][1])
    outcome("fastest_arrangement", names[best.split("\n")[1]])
    print("The bars' whiskers are half the quartile range long, each way.")
    display(
        plots.bars(
            list(speeds),
            [round(quartiles[1], 2) for quartiles in speeds.values()],
            errors=[(quartiles[2] - quartiles[0]) / 2 for quartiles in speeds.values()],
            ylabel="times as fast as a full layer",
            title="80 % zeros, differently arranged",
        )
    )

# %% [markdown]
# What is left out needs no kernel of its own: a smaller dense matrix is the one thing that every
# processor runs well. Blocks spare the kernel most of the indices, but then everything hangs on
# how well that kernel was written, and on few processors anybody has bothered.
#
# For a pattern, somebody has: **2:4** on GPUs with sparse tensor cores. Below is the whole recipe.
# Where there is such a GPU, the cell measures; where there is none, it shows what was recorded on
# one, if somebody has recorded it.

# %% varies demo
record = Path(course_utils.__file__).resolve().parents[1] / "benchmarks" / "two_four.md"
if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 0):
    dense_layer = nn.Linear(4096, 4096, bias=False).requires_grad_(False)
    masks.apply(dense_layer, masks.keep_nm(importance.magnitude(dense_layer), 2, 4))
    dense_layer = dense_layer.half().cuda()
    sparse_layer = copy.deepcopy(dense_layer)
    weight = torch.sparse.to_sparse_semi_structured(sparse_layer.weight)
    sparse_layer.weight = nn.Parameter(weight, requires_grad=False)
    x = torch.randn(1024, 4096, device="cuda", dtype=torch.half)
    ratio, spread = measure.speedup(dense_layer, sparse_layer, x, 20, 200)
    print(f"{torch.cuda.get_device_name()}, 4096 x 4096, 1024 inputs at once, half precision:")
    print(f"2:4 is {ratio:.2f} times as fast as dense (middle half {spread:.2f} wide)")
elif record.exists():
    print("No GPU with sparse tensor cores here. This was recorded on one:")
    display(Markdown(record.read_text(encoding="utf-8")))
else:
    print("No GPU with sparse tensor cores here, and nobody has recorded a figure on one yet.")
    print("Whoever has one can: python benchmarks/two_four.py --record")

# %% [markdown]
# If no figure stands above, then this course has none, and does not guess. Published ones are in
# the paper by Mishra and others (below). Two things can be said by arithmetic. The multiplications
# are halved and not more, so no such kernel is more than twice as fast in its arithmetic. And the
# places of two in four take two bits each: per group of four weights that is

# %%
for name, bits in (("half precision", 16), ("single precision", 32)):
    two_four = (2 * bits + 2 * 2) / (4 * bits)
    bitmask = (2 * bits + 4) / (4 * bits)
    print(f"{name}: {two_four:.4f} of the size as 2:4, {bitmask:.4f} with a bit for each weight")

# %% [markdown]
# the same size to the bit. What the pattern buys is not a smaller file: it is that the hardware
# knows in advance where to look.

# %%
quiz("09", "section", "Step 5")

# %% [markdown]
# ## Step 6: out of PyTorch
#
# Few networks run in PyTorch where they are used. We write three of ours as ONNX files and run
# them with ONNX Runtime: the dense CNN, the one with 90 % zeros, and one that lost half of its
# channels *physically* (lesson 05).
#
# **Predict.** Maybe a runtime made for speed skips zeros? How many times as fast as the dense CNN
# does it answer with 90 % of the weights zero? And how many times with half the channels? (One
# image.)

# %%
predict("times_faster_masked_in_onnx", ...)

# %%
predict("times_faster_smaller_in_onnx", ...)

# %% varies demo
smaller = half_as_wide(network)
training.train(smaller, digits, epochs=3, lr=1e-3, quiet=True)
three = {"dense": network, "90 % zero": sparse, "half the channels": smaller}
exported = {name: onnx_file.export(model, image) for name, model in three.items()}
runners = {name: Runs(onnx_file.runner(file)) for name, file in exported.items()}
apart = {
    name: (onnx_file.predict(exported[name], digits.x_val) - model(digits.x_val)).abs().max()
    for name, model in three.items()
}
for name, model in three.items():
    print(
        f"{name:18} {percent_right(model):5.1f} % right, file {len(exported[name]) / 1000:4.0f} kB,"
        f" {onnx_file.macs(exported[name]) / 1000:6,.0f} k MACs,"
        f" outputs differ from PyTorch's by {apart[name]:.0e} at most"
    )

# %% [markdown]
# Look at the last column first: **an exported network is another program**, and nothing is shipped
# before its outputs were compared with the original's. They differ in the last digits, because
# sums are added up in another order. That is as good as it gets.

# %% varies demo
if predicted("times_faster_masked_in_onnx", "times_faster_smaller_in_onnx"):
    speeds = {"PyTorch": [], "ONNX Runtime": []}
    for columns in (1, 64):
        x = digits.x_val[:columns]
        for runtime, group in (("PyTorch", three), ("ONNX Runtime", runners)):
            first, *others = group.values()
            found = times_as_fast(first, others, x, 60)
            speeds[runtime] += [round(quartiles[1], 2) for quartiles in found]
        ratio, spread = measure.speedup(network, runners["dense"], x, 3, 60)
        print(
            f"{columns:2} at once: the dense network is {ratio:.1f} times as fast in ONNX Runtime "
            f"as in PyTorch (middle half {spread:.2f} wide)"
        )
    outcome("times_faster_masked_in_onnx", speeds["ONNX Runtime"][0], "times as fast")
    outcome("times_faster_smaller_in_onnx", speeds["ONNX Runtime"][1], "times as fast")
    display(
        plots.bars(
            [
                f"{name},\n{columns} at once"
                for columns in (1, 64)
                for name in ("90 % zero", "half channels")
            ],
            speeds,
            ylabel="times as fast as dense",
            title="What the two kinds of pruning buy, in two runtimes",
        )
    )


# %% varies claim="a_runtime_does_not_skip_zeros"
def in_onnx_runtime(seed):
    dense = models.new("cnn", seed)  # time does not depend on what the weights have learned
    files = [
        onnx_file.export(model, image)
        for model in (dense, pruned(dense, ninety(dense)), half_as_wide(dense))
    ]
    runs = [Runs(onnx_file.runner(file)) for file in files]
    found = {"work": onnx_file.macs(files[0]) / onnx_file.macs(files[2])}
    found["zeros_work"] = onnx_file.macs(files[0]) / onnx_file.macs(files[1])
    for name, columns in (("one", 1), ("many", 64)):
        zeros, half = times_as_fast(runs[0], runs[1:], digits.x_val[:columns], 40)
        found[f"zeros_{name}"], found[f"half_{name}"] = zeros[1], half[1]
    return found


if predicted("times_faster_masked_in_onnx", "times_faster_smaller_in_onnx"):
    display(
        claim(
            "a_runtime_does_not_skip_zeros",
            in_onnx_runtime,
            holds=lambda work, zeros_work, zeros_one, zeros_many, half_one, half_many: (
                (zeros_work == 1).all()
                and work.min() > 3
                and 0.75 < np.median(zeros_one) < 1.33
                and 0.75 < np.median(zeros_many) < 1.33
                and np.median(half_one) > 1.25
                and np.median(half_many) > 1.6
            ),
            says=lambda work, zeros_work, zeros_one, zeros_many, half_one, half_many: (
                "In ONNX Runtime the CNN with 90 % zeros was "
                f"{np.median(zeros_one):.2f} times as fast for one image and "
                f"{np.median(zeros_many):.2f} times for 64: nothing won. With half its channels "
                f"({work.mean():.1f} times fewer MACs in the file) it was "
                f"{np.median(half_one):.1f} and {np.median(half_many):.1f} times as fast."
            ),
        )
    )

# %% [markdown]
# Changing the runtime may do more for you than any pruning; so begin there, and measure the pruned
# network where it will run. And the gain from fewer channels is another one here than in PyTorch:
# a runtime with less to do around each layer lets the arithmetic count for more.

# %%
quiz("09", "section", "Step 6")

# %% [markdown]
# ## Step 7: choose by the target
#
# One finds tables that say "GPU: structured; accelerator: unstructured". They name boxes. What
# counts is what the *software* on the box runs, and what is scarce there. Here is a rule that
# follows from the measurements above.
#
# A target is a dictionary with two keys (others may be there and say nothing, such as a name):
#
# - `"runs"`: a list of the kinds of weights it has fast kernels for, out of `"dense"`, `"n:m"` (a
#   pattern such as 2:4) and `"sparse"` (it skips single zeros, and keeps the weights packed);
# - `"scarce"`: one of `"disk"` (the file to store or to send), `"memory"` (what it takes while it
#   runs), `"time"`, `"battery"`.
#
# **The rule.** The first line that applies decides:
#
# 1. `"disk"` is scarce: `"unstructured"`. A file is unpacked before it runs, so no kernel is
#    asked for, and a free choice of weights keeps most accuracy for its zeros.
# 2. It runs `"sparse"`: `"unstructured"`, whatever is scarce.
# 3. It runs `"n:m"`, and `"time"` or `"battery"` is scarce: `"n:m"`.
# 4. Otherwise: `"channels"`. Smaller dense layers help everywhere, and nothing else makes what
#    flows *between* the layers smaller.
#
# **Exercise** `choose_strategy` · 2 points · about 8 minutes · difficulty 2 of 5
#
# Return `"channels"`, `"n:m"` or `"unstructured"` by this rule. A missing key, or a word in
# `"runs"` or `"scarce"` that is not listed above, raises `ValueError`.


# %% exercise="choose_strategy"
def choose_strategy(target):
    """Which kind of pruning suits a target."""
    ### BEGIN SOLUTION
    runs, scarce = target.get("runs"), target.get("scarce")
    if runs is None or any(kind not in ("dense", "n:m", "sparse") for kind in runs):
        raise ValueError(f"a target that runs {runs} is not known here")
    if scarce not in ("disk", "memory", "time", "battery"):
        raise ValueError(f"there is no rule for saving {scarce}")
    if scarce == "disk" or "sparse" in runs:
        return "unstructured"
    if "n:m" in runs and scarce in ("time", "battery"):
        return "n:m"
    return "channels"
    ### END SOLUTION


# %% check="choose_strategy"
check("choose_strategy", choose_strategy)

# %% [markdown]
# **See it.** Five targets, and then the figures behind the rule for one of them: an ordinary
# processor with dense kernels.

# %%
strategy_for = yours_or_ours("choose_strategy", choose_strategy)
targets = [
    {"name": "an app that is downloaded", "runs": ["dense"], "scarce": "disk"},
    {"name": "a phone's processor", "runs": ["dense"], "scarce": "battery"},
    {"name": "a microcontroller", "runs": ["dense"], "scarce": "memory"},
    {"name": "a GPU that knows 2:4", "runs": ["dense", "n:m"], "scarce": "time"},
    {"name": "a sparse accelerator", "runs": ["dense", "sparse"], "scarce": "battery"},
]
for target in targets:
    print(f"{target['name']:26} {target['scarce']:8} -> {strategy_for(target)}")

# %% [markdown]
# **Predict.** The CNN three times, fine-tuned each time: with 90 % zeros, with the 2:4 pattern in
# all layers but the first, with half of its channels. Every file is written with `storage.save`,
# zipped. Which is the smallest?

# %%
predict("smallest_packed_file", ..., choices=("90 % zero", "2:4 pattern", "half the channels"))


# %%
def while_running(model, x):
    """Bytes of the weights, and of the largest input and output of a layer together."""
    largest = 0

    def look(layer, inputs, output):
        nonlocal largest
        largest = max(largest, inputs[0].nbytes + output.nbytes)

    leaves = [layer for layer in model.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(look) for layer in leaves]
    with measure.evaluating(model):
        model(x)
    for hook in hooks:
        hook.remove()
    return sum(value.nbytes for value in model.state_dict().values()) + largest


# %% varies demo
fitting = importance.magnitude(network)
del fitting["conv1.weight"]  # its rows of one input channel do not fall into groups of four
candidates = {
    "90 % zero": sparse,
    "2:4 pattern": pruned(network, masks.keep_nm(fitting, 2, 4), epochs=3),
    "half the channels": smaller,
}
if predicted("smallest_packed_file"):
    costs = {}
    for name, model in candidates.items():
        run = Runs(onnx_file.runner(onnx_file.export(model, image)))
        ratio, _ = measure.speedup(runners["dense"], run, image, 5, 80)
        costs[name] = [
            stored(model, compress=True)[0] / stored(network, compress=True)[0],
            while_running(model, digits.x_val[:64]) / while_running(network, digits.x_val[:64]),
            1 / ratio,
        ]
        print(f"{name:18} {percent_right(model):.1f} % right (dense {percent_right(network):.1f})")
    outcome("smallest_packed_file", min(costs, key=lambda name: costs[name][0]))
    display(
        plots.bars(
            ["packed file", "memory,\n64 images", "time,\nONNX Runtime"],
            costs,
            ylabel="relative to the dense network",
            title="Three ways to prune, on a processor with dense kernels",
            percent=True,
        )
    )

# %% [markdown]
# Nobody wins everywhere. Single weights give the smallest file and nothing besides; channels are
# smaller in all three; the pattern waits for hardware that knows it. (Memory here is that of a
# simple runtime that keeps a layer's input and output; what *flows* is a large part of it, and only
# fewer channels make that smaller.)
#
# A rule of thumb, no more: it knows nothing of your accuracy. And the two can be combined, as the
# ledger below does: first fewer channels, then single weights out of what is left, packed.

# %%
quiz("09", "section", "Step 7")

# %% [markdown]
# ## Step 8: who pays?
#
# **Question.** A pruned network is within a few points of the dense one. Which digits pay for it,
# all of them a little or some of them a lot?
#
# **Predict.** Five CNNs lose 96 % of their weights each and are fine-tuned for three epochs. Which
# digit loses most accuracy, on average over the five?

# %%
predict("the_digit_that_pays", ..., choices=tuple(range(10)))

# %% [markdown]
# **Exercise** `per_class_drop` · 2 points · about 12 minutes · difficulty 3 of 5
#
# `before` and `after` are the classes that two networks *answered*, `labels` the true ones, an
# entry for each image. Return a tensor with one number for each class from 0 to the largest label:
# the accuracy of `before` on the images **of that class** minus that of `after`, as shares. So
# what is lost counts as positive, and a class that got better is negative. A class without images
# is NaN: nobody knows. Different numbers of entries raise `ValueError`.


# %% exercise="per_class_drop"
def per_class_drop(before, after, labels):
    """The accuracy that each class lost."""
    ### BEGIN SOLUTION
    if not len(before) == len(after) == len(labels):
        raise ValueError("before, after and labels need an entry for each image")
    drops = torch.full((int(labels.max()) + 1,), math.nan)
    for label in labels.unique().tolist():
        of = labels == label
        drops[label] = (before[of] == label).float().mean() - (after[of] == label).float().mean()
    return drops
    ### END SOLUTION


# %% check="per_class_drop"
check("per_class_drop", per_class_drop)

# %% [markdown]
# **See it.** One precaution: any two networks differ, and the worst of ten classes always looks
# bad. So there is a control: another dense network, trained from another start, put in the pruned
# one's place.

# %%
drop_by_class = yours_or_ours("per_class_drop", per_class_drop)


def answers(model, x=digits.x_val):
    """The class that a network names for each image."""
    with measure.evaluating(model):
        return model(x).argmax(1)


@cache
def thinned(seed):
    """A trained CNN without 96 % of its weights, fine-tuned."""
    model = trained("cnn", seed)
    return pruned(model, masks.keep_global(importance.magnitude(model), 0.96), 3, seed=seed)


def points_lost(seed):
    """By class, in points: what pruning cost, and what another dense network would cost."""
    before = answers(trained("cnn", seed))
    rivals = thinned(seed), models.load("cnn", seed + 500)
    return [100 * drop_by_class(before, answers(rival), digits.y_val).numpy() for rival in rivals]


# %% varies demo
if predicted("the_digit_that_pays"):
    lost = np.array([points_lost(seed) for seed in range(5)])  # seed, pruned or control, class
    print("points of accuracy lost, all digits together:", end=" ")
    for seed in range(5):
        print(f"{percent_right(trained('cnn', seed)) - percent_right(thinned(seed)):.1f}", end=" ")
    print()
    outcome("the_digit_that_pays", int(lost[:, 0].mean(0).argmax()))
    with plots.style():
        figure, axes = plots.subplots(figsize=(6.8, 3.6))
        for which, name, marker, shift in (
            (0, "96 % removed, fine-tuned", "o", -0.12),
            (1, "control: another dense network", "s", 0.12),
        ):
            mean, spread = lost[:, which].mean(0), lost[:, which].std(0, ddof=1)
            places = np.arange(10) + shift
            colour = plots.COLOURS[which]
            axes.errorbar(places, mean, spread, fmt=marker, capsize=3, color=colour, label=name)
        axes.axhline(0, color="black", linewidth=1)
        axes.set_xticks(range(10))
        axes.set_xlabel("digit")
        axes.set_ylabel("points of accuracy lost")
        axes.legend()
        figure.suptitle("Whom pruning costs", x=0.01, ha="left", fontweight="bold")
        figure.supxlabel("Mean and standard deviation, 5 seeds", fontsize=8, x=0.99, ha="right")
    display(figure)


# %% varies claim="the_eights_pay_more_than_the_mean"
def eights(seed):
    after_pruning, control = points_lost(seed)
    overall = percent_right(trained("cnn", seed)) - percent_right(thinned(seed))
    return {
        "overall": overall,
        "eight": after_pruning[8],
        "worst": after_pruning.max(),
        "control": control.max(),
    }


if predicted("the_digit_that_pays"):
    display(
        claim(
            "the_eights_pay_more_than_the_mean",
            eights,
            holds=lambda overall, eight, worst, control: (
                (eight - overall).mean() > 1 and worst.mean() > control.mean() + 1
            ),
            says=lambda overall, eight, worst, control: (
                f"Pruning cost the CNNs {overall.mean():.1f} points on average, and the digit 8 "
                f"{eight.mean():.1f} points. Each network's worst digit lost {worst.mean():.1f} "
                f"points on average; if one dense network takes another's place, the worst loses "
                f"{control.mean():.1f}."
            ),
        )
    )

# %% [markdown]
# The mean hides it: while it moves by little, the eights pay. Why the eight? This experiment does
# not tell; an 8 has something of a 3, a 6 and a 9, and guessing is free. And look how long the bar
# of the 8 is in the picture: from network to network the price differs widely.
#
# How much is it worth? Here is what stands behind one number of that picture:

# %%
eights_here = int((digits.y_val == 8).sum())
print(f"{eights_here} eights among {len(digits.y_val)} validation images;")
print(f"one of them more or less is {100 / eights_here:.1f} points")

# %% [markdown]
# So a single network's figure for a single digit means little. The mean over several networks
# means more, and yet it is about *these* eights: all five networks saw the same ones. The test
# images at the end of this lesson are others. Large studies find the same kind of thing (Hooker and
# others, below): pruned image classifiers hold their mean and lose on classes and images that are
# rare or hard.

# %%
quiz("09", "section", "Step 8")

# %% [markdown]
# ## Step 9: is it easier to understand now?
#
# One hears that pruning makes networks more interpretable, since less is left to look at, and one
# hears that it makes them less so. Both are usually said without an experiment. The first layer of
# the LeNet has a weight for each pixel, so here we can look. We keep a tenth of the weights of
# `fc1` and of `fc2`, half of `fc3`, and fine-tune. Eight neurons of `fc1`, before and after:

# %%
SHARES = {"fc1.weight": 0.9, "fc2.weight": 0.9, "fc3.weight": 0.5}


def thin_lenet(seed):
    model = trained("lenet", seed)
    return pruned(model, masks.keep_local(importance.magnitude(model), SHARES), 5, 2e-3, seed)


def pixel_pictures(rows, titles, heading, columns=8, holes=True):
    """Vectors of 64 numbers as pictures; with `holes`, exact zeros are black."""
    with plots.style():
        figure, grid = plots.subplots(math.ceil(len(rows) / columns), columns, figsize=(8, 2.4))
        for axes, row, title in zip(grid.flat, rows, titles, strict=True):
            picture = np.asarray(row).reshape(8, 8)
            picture = np.ma.masked_equal(picture, 0) if holes else picture
            reach = np.abs(picture).max()
            axes.imshow(picture, cmap=plots.WEIGHTS, vmin=-reach, vmax=reach)
            axes.set_title(title, fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.grid(False)
        figure.suptitle(heading, x=0.01, ha="left", fontweight="bold")
    return figure


# %% varies demo
lenet, thin = trained("lenet", 0), thin_lenet(0)
print(f"dense {percent_right(lenet):.1f} % right, thin {percent_right(thin):.1f} % right")
busiest = (thin.fc1.weight != 0).sum(1).argsort(descending=True)[:8].tolist()
pictures = [m.fc1.weight[n].detach() for m in (lenet, thin) for n in busiest]
pixel_pictures(
    pictures,
    [f"neuron {n}" for n in busiest] * 2,
    "What eight neurons listen to: before, and after (black: removed)",
)

# %% [markdown]
# Tempting, isn't it? The lower row *looks* like something one could explain. But a picture that
# pleases is no evidence. Let us ask a question that has an answer: **does the mask show which
# pixels the network needs?** For each pixel we count the weights of `fc1` that were kept. Then we
# hide that pixel (its average takes its place in all images) and note how much the loss grows.
#
# **Predict.** The rank correlation between the two, from -1 over 0 (no relation) to 1 (the same
# order)?

# %%
predict("mask_against_need", ...)


# %%
def ranks(values):
    """The place of each number in their order; equal numbers share the mean of their places."""
    _, which, count = values.unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count - 1) / 2).double()[which]


def rank_correlation(a, b):
    """Spearman's: how well the order of the one agrees with the order of the other."""
    return torch.corrcoef(torch.stack([ranks(a), ranks(b)]))[0, 1].item()


def need(model):
    """By pixel: how much the loss grows when the pixel is hidden."""
    flat, average = digits.x_val.flatten(1), digits.x_train.flatten(1).mean(0)
    losses = []
    with measure.evaluating(model):
        for pixel in [None, *range(64)]:
            hidden = flat.clone()
            if pixel is not None:
                hidden[:, pixel] = average[pixel]
            scores = model(hidden.view(-1, 1, 8, 8))
            losses.append(nn.functional.cross_entropy(scores, digits.y_val))
    return torch.stack(losses[1:]) - losses[0]


def what_the_mask_shows(seed):
    dense, thin = trained("lenet", seed), thin_lenet(seed)
    kept = (thin.fc1.weight != 0).sum(0)
    return {
        "mask": rank_correlation(kept, need(thin)),
        "dense": rank_correlation(dense.fc1.weight.detach().abs().sum(0), need(dense)),
        "no_network": rank_correlation(digits.x_train.flatten(1).var(0), need(thin)),
    }


# %% varies claim="the_mask_shows_which_pixels_are_needed"
if predicted("mask_against_need"):
    outcome("mask_against_need", what_the_mask_shows(0)["mask"])
    display(
        claim(
            "the_mask_shows_which_pixels_are_needed",
            what_the_mask_shows,
            holds=lambda mask, dense, no_network: (
                mask.min() > 0.7 and (mask - dense).mean() > 0.08 and no_network.min() > 0.7
            ),
            says=lambda mask, dense, no_network: (
                "Rank correlation with what the network needs: weights kept per pixel, in the "
                f"pruned LeNet, {mask.mean():.2f}; sizes of the weights per pixel, in the dense "
                f"one, {dense.mean():.2f}. And, without looking at any network, how much a pixel "
                f"varies over the training images: {no_network.mean():.2f} for the pruned one."
            ),
        )
    )

# %% [markdown]
# Gained: in the pruned network a glance at the mask tells which pixels matter to it, better than
# the sizes of the dense network's weights tell which matter there. That is worth something.
#
# But look at the last figure of the claim. **The same map can be drawn with no network at all**,
# from the images alone. What looked like insight into the network is, to a good part, knowledge
# about the data: pixels that never change are of no use to anybody. Whoever shows you a map of what
# a network attends to, ask for this control.
#
# And single neurons? If they meant something of their own, another network, trained from another
# start, should have found much the same ones.

# %% varies demo
if predicted("mask_against_need"):
    others = [(trained("lenet", seed), thin_lenet(seed)) for seed in (0, 1)]
    for which, name in enumerate(("dense", "pruned")):
        first, second = (
            nn.functional.normalize(pair[which].fc1.weight.detach(), dim=1) for pair in others
        )
        alike = (first @ second.T).max(1).values
        print(f"{name:7} best match in the other network: {alike.median():.2f} (1 is the same)")
    maps = [(pair[1].fc1.weight != 0).sum(0).double() for pair in others]
    between = torch.corrcoef(torch.stack(maps))[0, 1].item()
    print(f"the two maps of kept weights: {between:.2f}")
    display(
        pixel_pictures(
            [*maps, need(others[0][1]), digits.x_train.flatten(1).var(0)],
            ["kept, net 0", "kept, net 1", "needed, net 0", "variance"],
            "Two masks, what one network needs, and no network at all",
            columns=4,
            holes=False,
        )
    )

# %% [markdown]
# The maps agree; the neurons do not. So this much can be said, and no more: for *which inputs
# count*, the mask of this first layer is a fair summary. *What a neuron means* it does not tell.
# Behind it stand two more layers, and a network is explained as little by its first layer as a
# book by its first page.

# %%
quiz("09", "section", "Step 9")

# %% [markdown]
# ## A page for a colleague
#
# Somebody else will ship your network. What do they need to know? Not that you "pruned 96 %". One
# function of the course puts the rest on a page: `report(dense, pruned, example, images, labels)`.
# We try it on the first CNN of step 8: 96 % of its weights removed, fine-tuned.
#
# **Predict.** Of the validation images that the dense CNN gets right, how many does this one get
# wrong?

# %%
predict("newly_wrong", ...)

# %% varies demo
if predicted("newly_wrong"):
    was_right = answers(network) == digits.y_val
    is_wrong = answers(thinned(0)) != digits.y_val
    outcome("newly_wrong", int((was_right & is_wrong).sum()), "of them")
    display(
        report(
            network,
            thinned(0),
            image,
            digits.x_val,
            digits.y_val,
            title="CNN for digits: 96 % of its weights removed, three epochs of fine-tuning",
        )
    )

# %% [markdown]
# Read it as its receiver would. **Does it still work?** comes first, with the number of images and
# an interval: with so few images, an accuracy is a range. Then come the images whose answer
# *changed*: two networks with the same accuracy need not make the same mistakes, and whoever relied
# on an old answer will notice. The classes follow, the greatest loss first, each with its number of
# images. Times have their spread and say for how many images at once. And the end lists **what
# nobody has measured**, the part that most reports forget.
#
# Would you ship this one? The page leaves that to its reader, and it does not let them overlook
# who pays. (`str(page)` is Markdown: write it to a file beside the network.)

# %%
quiz("09", "section", "A page")

# %% [markdown]
# ## Pitfalls
#
# **Skipping validation.** Of these two LeNets one must be shipped. Every cost speaks for B:

# %% varies
a, b = (
    pruned(models.load("lenet"), masks.keep_global(importance.magnitude(models.load("lenet")), s))
    for s in (0.6, 0.97)
)
for name, model in (("A", a), ("B", b)):
    size, _ = stored(model, compress=True)
    print(f"{name}: {100 * measure.sparsity(model):.0f} % zero, packed file {size:,} bytes")

# %% [markdown]
# What does the report say, if nobody gives it images?

# %%
page = str(report(a, b, image, repeats=1))
print(page[page.index("## Not measured") :])

# %% [markdown]
# Then let us look:

# %% varies
for name, model in (("A", a), ("B", b)):
    print(f"{name}: {percent_right(model):.1f} % right")

# %% [markdown]
# B answers as fast as ever, its file is tiny, nothing raises an error, and it is useless. No
# number about a network's size says that it works.
#
# **A sparse tensor whose file is larger than it need be.** `to_sparse_csr` leaves its indices as
# views of storage twice their size, and `torch.save` writes the whole storage:

# %%
csr = with_zeros(512, 0.9).to_sparse_csr()
parts = csr.crow_indices(), csr.col_indices(), csr.values()


def file_size(tensors):
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getbuffer().nbytes


views, copies = file_size(parts), file_size([part.clone() for part in parts])
print(f"as they come: {views / copies:.2f} times the size of their clones")

# %% [markdown]
# **Minus zeros in the file.** `weight * mask` leaves them (lesson 03). They are not plain zeros, so
# an exact format has to keep them, and about half of the bytes that you had saved come back:

# %%
weight = with_zeros(256, 0.0)
keep = with_zeros(256, 0.9, seed=1) != 0
for name, zeroed in (
    ("times the mask", weight * keep),
    ("masked_fill", weight.masked_fill(~keep, 0)),
):
    bits, values, shape = pack_it(zeroed)
    ratio = times_smaller(weight.nbytes, bytes_packed(bits, values))
    print(f"{name:15} {ratio:.2f} times smaller")

# %% [markdown]
# **Small in the file, large in memory.** Loading fills in the zeros again:

# %% varies demo
size, again = stored(sparse)
in_memory = sum(value.nbytes for value in again.state_dict().values())
print(f"file {size / 1000:.0f} kB, in memory {in_memory / 1000:.0f} kB")

# %%
quiz("09", "section", "Pitfalls")

# %% [markdown]
# ## In your own words

# %% [markdown]
# **1.** A vendor writes: "Our pruned model is 90 % sparse, therefore ten times smaller and ten
# times faster, at the same accuracy." Name the measurements you would ask for before you believe
# each of the three.

# %% [markdown] written="three_promises_of_a_vendor" points=3
# <!-- BEGIN SOLUTION -->
# Smaller: the size of the file as it is delivered, in which format, and the memory it takes while
# it runs, against the dense file packed in the same way. Faster: times on my device and in my
# runtime, for my number of images at once, both networks taking turns, median and spread; or which
# kernel skips the zeros. Same accuracy: on how many images, which neither training nor the choice
# of the network has seen, with an interval, class by class, and how many answers changed.
#
# *Marking: one point for each promise with a measurement that could refute it.*
# <!-- END SOLUTION -->

# %% [markdown]
# **2.** Explain to a colleague why a network with half of its channels can be faster than one with
# 90 % of its weights zero, although it has far more weights that are not zero.

# %% [markdown] written="fewer_channels_or_more_zeros" points=2
# <!-- BEGIN SOLUTION -->
# Dense kernels multiply by every weight, zero or not, so scattered zeros save no time. Fewer
# channels make the matrices themselves smaller (most layers lose both outputs and inputs), and
# every processor runs a smaller dense layer faster. Scattered zeros would need a sparse kernel, and
# that pays only where there are very many of them, or hardware made for it.
#
# *Marking: one point for dense kernels not skipping zeros, one for smaller matrices that need no
# special kernel.*
# <!-- END SOLUTION -->

# %% [markdown]
# **3.** Somebody shows you a picture of a pruned first layer and says: "Now we understand what the
# network looks at." Which control would you ask for, and what would it show?

# %% [markdown] written="a_picture_is_no_evidence" points=2
# <!-- BEGIN SOLUTION -->
# The same map without the network (such as how much each pixel varies in the data), and the same
# map from a network trained from another start. If the map from the data alone agrees as well with
# what matters, the picture says something about the data and not about this network; if single
# neurons differ from start to start, their pictures are no explanation of them.
#
# *Marking: one point for a control, one for what follows from it.*
# <!-- END SOLUTION -->

# %% [markdown]
# ## The ledger
#
# Now we combine: 60 % of the channels leave, the rest is fine-tuned, then single weights leave the
# smaller network, fine-tuned again with the masks held. We take the largest share of zeros that
# stays within one point of the dense network, on the validation images.

# %% varies demo
dense = percent_right(network)
drop = channels.weakest(network, image, importance.magnitude(network), 0.6)
slim = channels.remove(network, image, drop)
training.train(slim, digits, epochs=4, lr=1e-3, quiet=True)
tried = {0.0: slim}
for share in (0.5, 0.6, 0.7, 0.8):
    keep = masks.keep_global(importance.magnitude(slim), share)
    tried[share] = pruned(slim, keep, epochs=4)
for share, model in tried.items():
    size = stored(model, compress=True)[0]
    print(f"{100 * share:3.0f} % zeros: {percent_right(model):.1f} % right, packed {size:,} bytes")
good = [share for share, model in tried.items() if percent_right(model) >= dense - 1]
share = max(good, default=0.0)
shipped = tried[share]
size = stored(shipped, compress=True)[0]
print(f"dense {dense:.1f} %; shipped: 60 % of the channels removed, {100 * share:.0f} % zeros")
print(f"packed: {times_smaller(whole, size):.1f} times smaller than the dense network's file")
enter("09", "fewer channels, zeros to pack", shipped)

# %% [markdown]
# The ledger weighs every network by `torch.save`, so that all rows are weighed alike; the packed
# size stands above it. Compare both with the device's budget of bytes. It is the same network each
# time: **state the format with the size.** And this is the page that goes with it:

# %% varies demo
report(
    network,
    shipped,
    image,
    digits.x_val,
    digits.y_val,
    title="CNN for digits, as shipped: 60 % of its channels removed, single weights zero",
)

# %% [markdown]
# ## The last step: the test images

# %% varies final
data.decisions_are_made()
x_test, y_test = data.final_test()
print("                     validation     test")
for name, model in {"dense": network, "shipped": shipped}.items():
    on_test = 100 * accuracy(model, x_test, y_test)
    print(f"{name:20} {percent_right(model):8.1f} % {on_test:8.1f} %")
pairs = [
    (answers(trained("cnn", seed), x_test), answers(thinned(seed), x_test)) for seed in range(5)
]
on_new = np.array([100 * drop_by_class(*pair, y_test).numpy() for pair in pairs])
print("\nStep 8 on new images: points that each digit lost, mean over the five CNNs")
print("  ".join(f"{digit}: {points:+.1f}" for digit, points in enumerate(on_new.mean(0))))

# %% [markdown]
# Are the eights still the ones that pay? Whatever your answer, it is the first one here that no
# choice of ours has touched.

# %% [markdown]
# ## Retrieval quiz
#
# From memory, without scrolling up.

# %%
quiz("09", "exit")

# %% [markdown]
# ## Recap
#
# - A zero is worth something only to a program that looks for it. Ask for each saving who can
#   collect it: the file, the memory, the clock.
# - `torch.save` stores zeros in full. Zip, a bit for each weight, or both make the file smaller;
#   CSR needs half of the weights to be zero before it wins anything, and a good deal more to win
#   time.
# - Smaller dense layers are faster everywhere, in ONNX Runtime too. Scattered zeros are not.
#   Patterns are for hardware that knows them.
# - What the target runs and what is scarce decide how to prune, not what the box is called.
# - A steady mean can hide that one class pays. Count the images before you believe it.
# - A pretty picture of a mask may be a picture of the data. Ask for the control.
# - Report what you measured, with spread and number of images, and what you did not.

# %%
progress()

# %% [markdown]
# ## Spaced review
#
# The questions of this lesson begin to come back tomorrow; those of earlier lessons may be due.

# %%
enrol("09")

# %%
review()

# %% [markdown]
# ## Further reading
#
# - S. Han and others, *Deep Compression*, 2015 (arXiv 1510.00149): pruning, shared weights and
#   Huffman codes, down to the file.
# - T. Gale and others, *Sparse GPU Kernels for Deep Learning*, 2020 (arXiv 2006.10901): what it
#   takes to make scattered zeros fast on a GPU.
# - A. Mishra and others, *Accelerating Sparse Deep Neural Networks*, 2021 (arXiv 2104.08378): 2:4
#   in hardware, with measured times.
# - S. Hooker and others, *What Do Compressed Deep Neural Networks Forget?*, 2019 (arXiv
#   1911.05248): the mean holds, some classes pay.
# - J. Adebayo and others, *Sanity Checks for Saliency Maps*, 2018 (arXiv 1810.03292): pictures of
#   what a network attends to, and controls that many of them fail.
# - D. Blalock and others, *What is the State of Neural Network Pruning?*, 2020 (arXiv 2003.03033):
#   what a pruning report should contain, found by reading eighty of them.
