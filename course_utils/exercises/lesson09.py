"""Lesson 09, shipping it: what a file takes, which network suits which target, whom it hurts."""

import math

import numpy
import torch

from course_utils.exercises.compare import as_number, same_number, show
from course_utils.exercises.engine import Exercise


def _normal(rng, *shape) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=shape)).float()


def _sparse(rng, *shape, zeros=0.9) -> torch.Tensor:
    """Random weights of which exactly that share is zero, and plain zero at that."""
    weight = _normal(rng, *shape)
    gone = rng.permutation(weight.numel())[: round(zeros * weight.numel())]
    weight.view(-1)[torch.from_numpy(gone)] = 0
    return weight


# --- Sizes ---------------------------------------------------------------------------------------


def compression_ratio(dense_bytes: int, packed_bytes: int) -> float:
    return dense_bytes / packed_bytes


class CompressionRatio(Exercise):
    name = "compression_ratio"
    lesson = "09"
    signature = "compression_ratio(dense_bytes, packed_bytes) -> float"
    points = 1
    minutes = 4
    difficulty = 1
    importance = 4
    hints = (
        "If a file of 100 bytes becomes one of 25, it is 4 times smaller. What did you do with the "
        "two numbers?",
        "One division: what was there before, by what is left. Nothing is rounded.",
    )
    reference = staticmethod(compression_ratio)

    def cases(self, rng):
        packed = int(rng.integers(20_000, 90_000))
        return {
            "smaller files": [(1000, 150), (648_097, packed)],
            "larger, as large, tiny": [(5_000, 5_000), (400, 452), (7, 1)],
        }

    def verify(self, case, data):
        dense, packed = case
        got, want = data.returned, self.expected(case)
        if same_number(got, want):
            return None
        mistakes = (
            (max(want, 1), "a format can also make a file larger; then the ratio is below 1."),
            (packed / dense, "this is the share that is left; turn the fraction over."),
            (1 - packed / dense, "this is the share that is saved; how many times smaller is it?"),
            (100 - 100 * packed / dense, "these are percent saved; how many times smaller is it?"),
            (dense - packed, "this is how many bytes are saved; a ratio is asked for."),
            (dense // packed, "the ratio need not be whole: divide with `/`, without rounding."),
            (round(want), "do not round: 2.6 is not 3 times smaller."),
            (round(want, 1), "leave all the decimals; who shows the number may round it."),
        )
        for mistake, sentence in mistakes:
            if same_number(got, mistake):
                return sentence
        return f"it is {show(want)} times smaller, and {show(got)} came back."


def csr_bytes(weight: torch.Tensor, index_bytes: int = 4) -> int:
    if weight.dim() != 2:
        raise ValueError(f"CSR stores rows and columns, and the shape is {tuple(weight.shape)}.")
    stored = int((weight != 0).sum())
    return stored * (weight.element_size() + index_bytes) + (len(weight) + 1) * index_bytes


class CsrBytes(Exercise):
    name = "csr_bytes"
    lesson = "09"
    signature = "csr_bytes(weight, index_bytes=4) -> int"
    points = 2
    minutes = 10
    difficulty = 2
    importance = 3
    forbids = ("course_utils.measure.sparsity",)
    hints = (
        "Three lists are stored. How many numbers does each hold, and how many bytes has each of "
        "its numbers?",
        "Values: one for each weight that is not zero, `weight.element_size()` bytes each. Column "
        "numbers: as many, `index_bytes` each.",
        "Row pointers: where each row begins and, at the end, where the last one ends. That is one "
        "more than there are rows, `index_bytes` each.",
    )
    reference = staticmethod(csr_bytes)

    def cases(self, rng):
        rows, columns = int(rng.integers(5, 9)), int(rng.integers(10, 16))
        weight = _sparse(rng, rows, columns, zeros=0.6)
        return {
            "a sparse matrix": [
                (
                    torch.tensor(
                        [[0, 5.0, 0, 0, 2, 0, 0], [0, 0, -1, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0, 1]]
                    ),
                ),
                (weight,),
                (_sparse(rng, columns, rows, zeros=0.8),),
            ],
            "other indices": [(weight, 8), (weight, 2)],
            "other numbers": [(weight.double(),), (weight.half(), 8)],
            "many zeros, none, nothing": [
                (torch.zeros(4, 7),),
                (_normal(rng, 3, 5),),
                (torch.zeros(0, 5),),
            ],
            "not in row order": [(weight.T,), (weight[:, ::2], 8)],
            "no matrix": [(weight[0],), (weight[None],), (torch.tensor(3.0),)],
        }

    def shown(self, case):
        kept = int((case[0] != 0).sum())
        rest = "".join(f", {size}" for size in case[1:])
        return f"csr_bytes({tuple(case[0].shape)} {case[0].dtype} with {kept} nonzeros{rest})"

    def verify(self, case, data):
        weight, index = case[0], case[1] if len(case) > 1 else 4
        got, want = data.returned, self.expected(case)
        if same_number(got, want):
            return None
        each, (rows, columns) = weight.element_size(), weight.shape
        stored = int((weight != 0).sum())
        pairs = stored * (each + index)
        mistakes = (
            (
                stored * (4 + index) + (rows + 1) * index,
                f"you reckon with values of 4 bytes, and {weight.dtype} has {each}.",
            ),
            (weight.nbytes, "this is what the dense matrix takes. CSR stores no zeros."),
            (stored * each, "these are the values alone; nobody would know where they belong."),
            (pairs, "the row pointers are missing: without them the rows are one long row."),
            (pairs + rows * index, "one pointer is missing: the last row has an end, too."),
            (pairs + (columns + 1) * index, "these pointers are for columns. CSR goes row by row."),
            (stored * (each + 2 * index), "a row number for each value is what COO stores."),
            (stored * each + (rows + 1) * index, "each value's column number is missing."),
            (
                stored * (each + 4) + (rows + 1) * 4,
                f"the indices have {index} bytes here, and 4 only if nothing is said.",
            ),
            (
                pairs + (rows + 1) * 4,
                f"the row pointers are indices as well, of {index} bytes each.",
            ),
            (
                int((weight > 0).sum()) * (each + index) + (rows + 1) * index,
                "negative weights are weights; only zeros are left out.",
            ),
            (8 * want, "these are bits; bytes are asked for."),
        )
        for mistake, sentence in mistakes:
            if same_number(got, mistake):
                return sentence
        if as_number(got) is None:
            return f"{show(got)} came back, and a number of bytes is asked for."
        return (
            f"{stored} values and their column numbers, and {rows + 1} pointers, take {want} "
            f"bytes; {show(got)} came back."
        )


# --- A bitmask and the values it marks -----------------------------------------------------------


def pack(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, tuple]:
    flat = weight.detach().reshape(-1)
    kept = (flat != 0) | flat.signbit()  # a NaN differs from zero; a minus zero has its sign
    eights = torch.nn.functional.pad(kept.long(), (0, -len(flat) % 8)).view(-1, 8)
    bits = (eights * 2 ** torch.arange(8)).sum(1).to(torch.uint8)
    return bits, flat[kept], tuple(weight.shape)


def unpack(bits: torch.Tensor, values: torch.Tensor, shape: tuple) -> torch.Tensor:
    kept = (bits[:, None].long() // 2 ** torch.arange(8) % 2 == 1).flatten()
    flat = torch.zeros(math.prod(shape), dtype=values.dtype)
    flat[kept[: len(flat)]] = values
    return flat.view(shape)


_WORDS = {torch.float32: torch.int32, torch.float64: torch.int64}


def _pattern(tensor: torch.Tensor) -> torch.Tensor:
    """The bits of each number, as a whole number: unlike values, no two of them are equal."""
    return tensor.reshape(-1).contiguous().view(_WORDS[tensor.dtype])


class Pack(Exercise):
    name = "pack"
    lesson = "09"
    signature = "pack(weight) -> (bits, values, shape) and unpack(bits, values, shape) -> Tensor"
    points = 4
    minutes = 25
    difficulty = 4
    importance = 4
    hints = (
        "Work on `flat = weight.reshape(-1)`. Which entries must be kept? All but plain zeros: "
        "`(flat != 0) | flat.signbit()` is also True for NaN (which differs from everything) and "
        "for minus zero (which has a sign).",
        "`numpy.packbits(kept.numpy())` puts eight flags into each byte and fills the last byte "
        "with zeros; `torch.from_numpy` makes a tensor of it. `numpy.unpackbits(bits.numpy())` is "
        "the way back, with that filling still at its end.",
        "unpack: make `torch.zeros(math.prod(shape), dtype=values.dtype)`, cut the flags to its "
        "length, write `flat[flags] = values`, and give it the shape.",
    )
    reference = (pack, unpack)

    def cases(self, rng):
        def pair(weight, other=None):
            """A tensor, and another of the same shape that is packed in between."""
            return weight, weight.flip(0) * 3 if other is None else other

        rows, columns = int(rng.integers(9, 14)), int(rng.integers(17, 23))
        odd = _sparse(rng, 4, 10, zeros=0.5)
        odd[0, :6] = torch.tensor([-0.0, math.nan, math.inf, -math.inf, -0.0, 0.0])
        odd[3, -1] = math.nan
        minus = _sparse(rng, 5, 16, zeros=0.7) * torch.tensor([1.0, -1.0]).repeat(8)
        wide = _sparse(rng, 8, 24)
        return {
            "ninety per cent zeros": [pair(_sparse(rng, 16, 32)), pair(_sparse(rng, 8, 4, 3, 2))],
            "sizes that eight does not divide": [
                pair(_sparse(rng, rows, columns)),
                pair(_sparse(rng, 13, zeros=0.5)),
                pair(_normal(rng, 3, 5)),
            ],
            "minus zero": [pair(minus)],
            "NaN and infinity": [pair(odd)],
            "double precision": [pair(wide.double() / 3), pair(odd.double())],
            "not in row order": [pair(wide.T), pair(_sparse(rng, 9, 14)[:, ::2])],
            "all zeros, none, nothing": [
                pair(torch.zeros(5, 7)),
                pair(1 + _normal(rng, 6, 8).abs()),
                pair(torch.zeros(0, 4)),
            ],
        }

    def shown(self, case):
        weight = case[0]
        zeros = weight.numel() - int((weight != 0).sum())
        return f"{tuple(weight.shape)} {weight.dtype} with {zeros} of {weight.numel()} zero"

    def call(self, inputs, answer):
        if not isinstance(answer, tuple) or len(answer) != 2:
            return {"pair": False}
        packing, unpacking = answer
        weight, other = inputs
        packed = packing(weight)
        packing(other)
        if not isinstance(packed, tuple | list) or len(packed) != 3:
            return {"pair": True, "packed": packed}
        bits, values, shape = packed
        back = unpacking(bits, values, shape)
        packed = [_tensor(bits), _tensor(values), _tensor(shape)]
        return {"pair": True, "packed": packed, "back": _tensor(back)}

    def verify(self, case, data):
        weight = case[0]
        got = data.returned
        if not got["pair"]:
            return "hand over both functions, as the pair `(pack, unpack)`."
        if "back" not in got:
            return f"pack gave {show(got['packed'])}; `bits, values, shape` are asked for."
        bits, values, shape = got["packed"]
        count, zero = weight.numel(), _pattern(weight) == 0
        stored = count - int(zero.sum())
        for part, what in ((bits, "bits"), (values, "values")):
            if not isinstance(part, torch.Tensor):
                return f"the {what} are {show(part)}, and a tensor is asked for."
        if bits.dtype == torch.bool:
            return "the bits are True and False, and torch spends a whole byte on each of them."
        if bits.dtype != torch.uint8:
            return f"the bits are {bits.dtype}; bytes are torch.uint8."
        if count and 2 * bits.numel() > count:  # beginning each row with a new byte is fine
            return f"{count} weights have {bits.numel()} bytes, and eight flags fit into one."
        if 8 * bits.numel() < count:
            return f"{bits.numel()} bytes hold too few flags for {count} weights."
        if values.nbytes > stored * weight.element_size():
            if values.numel() == count:
                return "all values are stored, the zeros too: nothing became smaller."
            if values.numel() == stored:
                return f"the values became {values.dtype}, wider than they were."
            return f"{stored} entries have to be stored, and the values hold {values.numel()}."
        given = shape.tolist() if isinstance(shape, torch.Tensor) else shape
        if not isinstance(given, tuple | list) or list(given) != list(weight.shape):
            return f"the third part is {show(shape)}, and not the shape that the weight had."
        back = got["back"]
        if not isinstance(back, torch.Tensor):
            return f"unpack gave {show(back)}, and a tensor is asked for."
        if back.shape != weight.shape:
            return f"unpack gave the shape {tuple(back.shape)}. Use the third part that it gets."
        if back.dtype != weight.dtype:
            return f"unpack gave {back.dtype}; the values know which type it was."
        here, there = _pattern(weight), _pattern(back)
        if torch.equal(here, there):
            return None
        lost = weight.reshape(-1)[here != there]
        if (lost == 0).all():
            return "minus zero came back as plain zero, and its bits are not the same."
        if lost.isnan().all():
            return "a NaN got lost. It is neither above nor below zero, and must be stored."
        if torch.equal(there, _pattern(case[1])):
            return "the tensor packed last came back. Unpack what you are given, nothing else."
        if torch.equal(here.sort().values, there.sort().values):
            return "every number came back, some in another place. Is the order of bits the same?"
        if torch.equal(here[: count // 8 * 8], there[: count // 8 * 8]):
            return "the end is wrong: the last byte is not full, and its flags count as well."
        return f"{show(lost)} did not come back bit for bit."


def _tensor(part):
    """NumPy's bytes are as good as torch's."""
    if isinstance(part, bytes | bytearray):
        part = numpy.frombuffer(bytes(part), dtype=numpy.uint8)
    return torch.from_numpy(part.copy()) if isinstance(part, numpy.ndarray) else part


# --- Which network for which target --------------------------------------------------------------


def choose_strategy(target: dict) -> str:
    if "runs" not in target or "scarce" not in target:
        raise ValueError("a target says what it `runs` and what is `scarce`.")
    unknown = set(target["runs"]) - {"dense", "n:m", "sparse"}
    if unknown:
        raise ValueError(f"nothing is known of kernels named {sorted(unknown)}.")
    if target["scarce"] not in ("disk", "memory", "time", "battery"):
        raise ValueError(f"{target['scarce']!r} is nothing that this rule can save.")
    if target["scarce"] == "disk" or "sparse" in target["runs"]:
        return "unstructured"
    if "n:m" in target["runs"] and target["scarce"] != "memory":
        return "n:m"
    return "channels"


class ChooseStrategy(Exercise):
    name = "choose_strategy"
    lesson = "09"
    signature = "choose_strategy(target) -> str"
    points = 2
    minutes = 8
    difficulty = 2
    importance = 4
    hints = (
        "First find out whether the dictionary makes sense, then go through the four rules in "
        "their order: the first that applies decides.",
        '`"sparse" in target["runs"]` asks whether a kind is in the list. Rule 3 needs two things '
        "at once.",
        "`set(target['runs']) - {'dense', 'n:m', 'sparse'}` holds the words that nobody knows.",
    )
    reference = staticmethod(choose_strategy)

    def cases(self, rng):
        def targets(runs, *scarce, **more):
            found = [({**more, "runs": runs, "scarce": what},) for what in scarce]
            return [found[i] for i in rng.permutation(len(found))]

        return {
            "three kinds of kernels": [
                *targets(["dense"], "time", "battery", "memory"),
                *targets(["dense", "n:m"], "time", "battery"),
                *targets(["dense", "sparse"], "time", "battery"),
            ],
            "a pattern, but memory is scarce": targets(["n:m", "dense"], "memory"),
            "single zeros are skipped, whatever is scarce": [
                *targets(["dense", "sparse"], "memory"),
                *targets(["dense", "n:m", "sparse"], "time", "memory", "battery"),
            ],
            "only the file counts": [
                *targets(["dense"], "disk"),
                *targets(["dense", "n:m"], "disk"),
                *targets(["sparse", "dense"], "disk"),
            ],
            "names say nothing": [
                *targets(["dense"], "time", name="an old GPU"),
                *targets(["dense", "n:m"], "battery", name="a phone"),
                *targets(["dense"], "battery", name="a sparse accelerator, switched off"),
            ],
            "what makes no sense": [
                *targets(["dense"], "patience", "n:m"),
                *targets(["dense", "gpu"], "time", "disk"),
                *targets(["dense", "sparse", "quantum"], "memory"),
                ({"runs": ["dense"]},),
                ({"scarce": "disk"},),
            ],
        }

    def verify(self, case, data):
        target = case[0]
        got, want = data.returned, self.expected(case)
        if got == want:
            return None
        if got not in ("channels", "n:m", "unstructured"):
            return f'{show(got)} came back; "channels", "n:m" and "unstructured" are the answers.'
        if target["scarce"] == "disk":
            return "what is in a file is unpacked before it runs: rule 1 asks for no kernel at all."
        if want == "unstructured":
            if got == "n:m":
                return "a pattern is a restriction, and a target that skips any zero needs none."
            return "this target skips single zeros, wherever they sit: rule 2."
        if want == "n:m":
            if got == "unstructured":
                return "its kernels know the pattern, and scattered zeros do not have it."
            return "its kernels skip the zeros of a pattern, and that is scarce here: rule 3."
        if got == "unstructured":
            return "dense kernels multiply by every zero, and store it: no rule but the last fits."
        if "n:m" in target["runs"]:
            return "rule 3 is for time and battery: what flows between layers is no smaller."
        return "nothing here runs a pattern any faster than dense weights."


# --- Whom it hurts -------------------------------------------------------------------------------


def per_class_drop(before: torch.Tensor, after: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if not before.shape == after.shape == labels.shape:
        raise ValueError("before, after and labels must have one entry for each image.")
    drops = torch.full((int(labels.max()) + 1,), math.nan, dtype=torch.float64)
    for label in labels.unique():
        of = labels == label
        right_before, right_after = (before[of] == label).double(), (after[of] == label).double()
        drops[label] = right_before.mean() - right_after.mean()
    return drops


class PerClassDrop(Exercise):
    name = "per_class_drop"
    lesson = "09"
    signature = "per_class_drop(before, after, labels) -> Tensor"
    points = 2
    minutes = 12
    difficulty = 3
    importance = 4
    hints = (
        "For one class: `of = labels == 3` marks its images, and `(before[of] == 3)` tells which "
        "of them were answered rightly. The mean of that is the accuracy of the class.",
        "Begin with `torch.full((int(labels.max()) + 1,), math.nan)` and fill in the classes that "
        "occur.",
        "Lost means before minus after: a class that got better has a negative number.",
    )
    reference = staticmethod(per_class_drop)

    def cases(self, rng):
        def predictions(images, classes, most=None):
            """Labels, and two networks that are right on some nine and some six in ten."""
            labels = torch.from_numpy(rng.integers(0, classes, size=images))
            labels[:classes] = torch.arange(classes)

            def answers(right):
                hit = torch.from_numpy(rng.random(images) < right)
                shift = torch.from_numpy(rng.integers(1, most or classes, size=images))
                return torch.where(hit, labels, (labels + shift) % (most or classes))

            return answers(0.9), answers(0.6), labels

        small = (
            torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]),
            torch.tensor([0, 0, 2, 2, 1, 1, 1, 0]),
            torch.tensor([0, 0, 0, 0, 1, 1, 1, 2]),
        )
        before, after, labels = predictions(60, 6)
        there = (labels != 0) & (labels != 3)
        first, second, of = predictions(48, 4)
        some = of < 2
        return {
            "some classes": [small, predictions(80, 5), predictions(200, 10)],
            "classes that got better": [
                (torch.where(some, second, first), torch.where(some, first, second), of)
            ],
            "absent classes": [(before[there], after[there], labels[there])],
            "answers beyond the largest label": [predictions(50, 4, most=9)],
            "nothing changed, one class": [
                (before, before, labels),
                (torch.tensor([0, 1, 0, 0]), torch.tensor([1, 1, 0, 0]), torch.zeros(4).long()),
            ],
            "other tensors": [
                (before.int(), after.to(torch.int16), labels),
                (before[::2], after[::2], labels[::2]),
            ],
            "what does not fit": [
                (before[:-1], after, labels),
                (before, after[:1], labels),
                (before, after, labels[:-2]),
            ],
        }

    def shown(self, case):
        before, _, labels = case
        return f"{len(before)} predictions, labels from {labels.min()} to {labels.max()}"

    def verify(self, case, data):
        before, after, labels = case
        got, want = data.returned, self.expected(case)
        if not isinstance(got, torch.Tensor):
            return f"{show(got)} came back, and a tensor with a number for each class is asked for."
        if got.shape != want.shape:
            present = len(labels.unique())
            if got.shape == (present,):
                return "the absent classes are missing, so nobody knows which number is whose."
            if got.shape == (1 + int(max(before.max(), after.max(), labels.max())),):
                return "the classes end at the largest label, whatever the networks answered."
            return f"{len(want)} classes have a drop each, and {tuple(got.shape)} came back."
        if _alike(got, want):
            return None
        if _alike(got, want.nan_to_num(0)):
            return "0 would say that an absent class lost nothing; nobody knows that: NaN."
        changed, hits = before != after, (before == labels).double() - (after == labels).double()
        mistakes = (
            (want.abs(), "a class that got better has a negative drop: no `abs`."),
            (-want, "you took before from after: what is lost counts as positive."),
            (100 * want, "these are points; shares between 0 and 1 are asked for."),
            (want.clamp(min=0), "a class that got better has a negative drop: do not cut it off."),
            (_by_class(hits, labels, sum=True), "these are counts; divide by the class's images."),
            (
                _by_class(hits, labels, sum=True) / len(labels),
                "you divided by all images; a class's accuracy is over its own.",
            ),
            (
                _by_class(changed.double(), labels),
                "this is how often the answer changed. Wrong to wrong loses no accuracy.",
            ),
            (
                _by_class((before == labels).double(), before, len(want))
                - _by_class((after == labels).double(), after, len(want)),
                "you grouped by what was answered; a class is given by its labels.",
            ),
            (
                want / _by_class((before == labels).double(), labels),
                "you divided by what was right before; points of accuracy are asked for.",
            ),
        )
        for mistake, sentence in mistakes:
            if _alike(got, mistake):
                return sentence
        return f"the drops are {show(want)}, and {show(got)} came back."


def _by_class(values, classes, count=None, sum=False) -> torch.Tensor:
    """The mean (or sum) of the values over the images of each class, NaN where there are none."""
    count = int(classes.max()) + 1 if count is None else count
    of = classes[None].long() == torch.arange(count)[:, None]
    totals = (of * values).sum(1)
    return torch.where(of.any(1), totals if sum else totals / of.sum(1), math.nan)


def _alike(got: torch.Tensor, want: torch.Tensor) -> bool:
    return torch.allclose(got.double(), want, rtol=1e-5, atol=1e-6, equal_nan=True)


EXERCISES = [
    CompressionRatio(),
    CsrBytes(),
    Pack(),
    ChooseStrategy(),
    PerClassDrop(),
]
