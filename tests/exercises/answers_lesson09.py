"""Answers to lesson 09."""

import math

import numpy
import torch
from bank import right, wrong

# compression_ratio --------------------------------------------------------------------------


@right("compression_ratio")
def by_true_division(dense_bytes, packed_bytes):
    return dense_bytes / packed_bytes


@right("compression_ratio")
def by_a_float64_tensor(dense_bytes, packed_bytes):
    if packed_bytes < 1:
        raise ValueError(f"{packed_bytes} bytes are no file")
    return torch.tensor(dense_bytes, dtype=torch.float64) / packed_bytes


@right("compression_ratio")
def by_a_float32_tensor(dense_bytes, packed_bytes):
    if packed_bytes < 1:
        raise ValueError(f"{packed_bytes} bytes are no file")
    return torch.tensor(float(dense_bytes)).div(packed_bytes).item()


@wrong("compression_ratio", "turn the fraction over")
def share_left(dense_bytes, packed_bytes):
    return packed_bytes / dense_bytes


@wrong("compression_ratio", "the share that is saved")
def share_saved(dense_bytes, packed_bytes):
    return 1 - packed_bytes / dense_bytes


@wrong("compression_ratio", "percent saved")
def percent_saved(dense_bytes, packed_bytes):
    return 100 * (1 - packed_bytes / dense_bytes)


@wrong("compression_ratio", "how many bytes are saved")
def bytes_saved(dense_bytes, packed_bytes):
    return dense_bytes - packed_bytes


@wrong("compression_ratio", "need not be whole")
def whole_division(dense_bytes, packed_bytes):
    return dense_bytes // packed_bytes


@wrong("compression_ratio", "2.6 is not 3 times smaller")
def rounded(dense_bytes, packed_bytes):
    return round(dense_bytes / packed_bytes)


@wrong("compression_ratio", "leave all the decimals")
def rounded_to_a_decimal(dense_bytes, packed_bytes):
    return round(dense_bytes / packed_bytes, 1)


@wrong("compression_ratio", "then the ratio is below 1")
def never_below_one(dense_bytes, packed_bytes):
    return max(by_true_division(dense_bytes, packed_bytes), 1.0)


@wrong("compression_ratio", "times smaller, and")
def in_kilobytes(dense_bytes, packed_bytes):
    return dense_bytes / packed_bytes / 1024


# csr_bytes ----------------------------------------------------------------------------------


def flat_checked(weight):
    if weight.ndim != 2:
        raise ValueError("rows and columns are needed")


@right("csr_bytes")
def by_pytorchs_own(weight, index_bytes=4):
    flat_checked(weight)
    csr = weight.to_sparse_csr()
    values, columns, rows = csr.values(), csr.col_indices(), csr.crow_indices()
    return values.nbytes + index_bytes * (columns.numel() + rows.numel())


@right("csr_bytes")
def row_by_row(weight, index_bytes=4):
    flat_checked(weight)
    total = index_bytes
    for row in weight:
        total += index_bytes
        for value in row.tolist():
            if value != 0:
                total += weight.element_size() + index_bytes
    return float(total)


@right("csr_bytes")
def by_numpy(weight, index_bytes=4):
    flat_checked(weight)
    stored = numpy.count_nonzero(weight.numpy())
    return stored * (weight.itemsize + index_bytes) + (weight.shape[0] + 1) * index_bytes


@right("csr_bytes")
def by_the_bits_of_a_float(weight, index_bytes=4):
    flat_checked(weight)
    each = torch.finfo(weight.dtype).bits // 8
    return int((weight.abs() > 0).sum()) * (each + index_bytes) + (len(weight) + 1) * index_bytes


@wrong("csr_bytes", "what the dense matrix takes")
def dense(weight, index_bytes=4):
    flat_checked(weight)
    return weight.nbytes


@wrong("csr_bytes", "the values alone")
def values_only(weight, index_bytes=4):
    flat_checked(weight)
    return int((weight != 0).sum()) * weight.element_size()


@wrong("csr_bytes", "the row pointers are missing")
def without_pointers(weight, index_bytes=4):
    flat_checked(weight)
    return int((weight != 0).sum()) * (weight.element_size() + index_bytes)


@wrong("csr_bytes", "the last row has an end")
def one_pointer_short(weight, index_bytes=4):
    return by_numpy(weight, index_bytes) - index_bytes


@wrong("csr_bytes", "CSR goes row by row")
def pointers_for_columns(weight, index_bytes=4):
    return by_numpy(weight.T, index_bytes)


@wrong("csr_bytes", "is what COO stores")
def coo(weight, index_bytes=4):
    flat_checked(weight)
    return int((weight != 0).sum()) * (weight.element_size() + 2 * index_bytes)


@wrong("csr_bytes", "column number is missing")
def without_columns(weight, index_bytes=4):
    return by_numpy(weight, index_bytes) - int((weight != 0).sum()) * index_bytes


@wrong("csr_bytes", "you reckon with values of 4 bytes")
def always_floats(weight, index_bytes=4):
    return by_numpy(weight.float(), index_bytes)


@wrong("csr_bytes", "and 4 only if nothing is said")
def always_int32(weight, index_bytes=4):
    return by_numpy(weight)


@wrong("csr_bytes", "the row pointers are indices as well")
def pointers_of_four_bytes(weight, index_bytes=4):
    return by_numpy(weight, index_bytes) + (len(weight) + 1) * (4 - index_bytes)


@wrong("csr_bytes", "negative weights are weights")
def counts_positives(weight, index_bytes=4):
    return by_numpy(weight.clamp(min=0), index_bytes)


@wrong("csr_bytes", "these are bits")
def in_bits(weight, index_bytes=4):
    return 8 * by_numpy(weight, index_bytes)


@wrong("csr_bytes", "a number of bytes is asked for")
def all_three(weight, index_bytes=4):
    csr = weight.to_sparse_csr()
    return csr.values().nbytes, csr.col_indices().nbytes, csr.crow_indices().nbytes


@wrong("csr_bytes", "this has no meaning")
def takes_any_shape(weight, index_bytes=4):
    return by_numpy(weight if weight.ndim == 2 else weight.reshape(1, -1), index_bytes)


@wrong("csr_bytes", "pointers, take")
def squared(weight, index_bytes=4):
    return by_numpy(weight, index_bytes) ** 2


# pack ---------------------------------------------------------------------------------------


class Pair(tuple):
    """An answer of two functions, with a name for the tests."""

    def __new__(cls, name, packing, unpacking):
        pair = super().__new__(cls, (packing, unpacking))
        pair.__name__ = name
        return pair


def to_keep(flat):
    return (flat != 0) | flat.signbit()


def packed(weight):
    flat = weight.reshape(-1)
    kept = to_keep(flat)
    return torch.from_numpy(numpy.packbits(kept.numpy())), flat[kept], weight.shape


def unpacked(bits, values, shape):
    flat = torch.zeros(math.prod(shape), dtype=values.dtype)
    kept = torch.from_numpy(numpy.unpackbits(bits.numpy()))[: len(flat)].bool()
    flat[kept] = values
    return flat.reshape(shape)


right("pack")(Pair("by_numpys_packbits", packed, unpacked))


def pack_by_loops(weight):
    flat = weight.contiguous().view(-1)
    bits, values = bytearray((len(flat) + 7) // 8), []
    raw = flat.numpy().tobytes()
    size = flat.element_size()
    for place in range(len(flat)):
        if any(raw[place * size : (place + 1) * size]):
            bits[place // 8] |= 1 << place % 8
            values.append(raw[place * size : (place + 1) * size])
    values = torch.frombuffer(bytearray(b"".join(values)), dtype=flat.dtype) if values else flat[:0]
    return bytes(bits), values, list(weight.shape)


def unpack_by_loops(bits, values, shape):
    flat = torch.zeros(math.prod(shape), dtype=values.dtype)
    next_value = iter(range(len(values)))
    for place in range(len(flat)):
        if bits[place // 8] >> place % 8 & 1:
            at = next(next_value)
            flat[place : place + 1] = values[at : at + 1]
    return flat.view(shape)


right("pack")(Pair("by_loops_low_bit_first", pack_by_loops, unpack_by_loops))


def pack_by_powers(weight):
    flat = weight.flatten()
    kept = flat.view(torch.int32 if flat.dtype == torch.float32 else torch.int64) != 0
    eights = torch.cat([kept, torch.zeros(-len(kept) % 8, dtype=torch.bool)]).view(-1, 8)
    powers = torch.tensor([128, 64, 32, 16, 8, 4, 2, 1])
    return (eights * powers).sum(1).byte(), flat.masked_select(kept), tuple(weight.shape)


def unpack_by_powers(bits, values, shape):
    flags = torch.stack([bits >> shift & 1 for shift in range(7, -1, -1)], dim=1).flatten()
    result = torch.zeros(shape, dtype=values.dtype)
    return result.masked_scatter(flags[: result.numel()].view(shape).bool(), values)


right("pack")(Pair("by_powers_of_two", pack_by_powers, unpack_by_powers))


def pack_by_rows(weight):
    array = weight.numpy()
    kept = (array != 0) | numpy.signbit(array)
    return numpy.packbits(kept, axis=-1), array[kept], array.shape


def unpack_by_rows(bits, values, shape):
    array = numpy.zeros(shape, dtype=values.dtype)
    array[numpy.unpackbits(bits, axis=-1, count=shape[-1]).astype(bool)] = values
    return array


right("pack")(Pair("each_row_begins_a_byte", pack_by_rows, unpack_by_rows))


def pack_with_the_signs(weight):
    flat = weight.reshape(-1)
    kept, signs = flat != 0, (flat == 0) & flat.signbit()
    return torch.stack([packbits(kept), packbits(signs)]), flat[kept], weight.shape


def unpack_with_the_signs(bits, values, shape):
    flat = unpacked(bits[0], values, shape).flatten()
    signs = torch.from_numpy(numpy.unpackbits(bits[1].numpy()))[: len(flat)].bool()
    flat[signs] = -0.0
    return flat.view(shape)


right("pack")(Pair("minus_zeros_in_bits_of_their_own", pack_with_the_signs, unpack_with_the_signs))


def pack_with_a_spare_byte(weight):
    bits, values, shape = packed(weight)
    spare = torch.zeros(weight.numel() // 8 + 1 - len(bits), dtype=torch.uint8)
    return torch.cat([bits, spare]), values, shape


right("pack")(Pair("eight_go_into_it_and_one_more", pack_with_a_spare_byte, unpacked))


def wrong_pack(phrase, unpacking=unpacked):
    def keep(packing):
        wrong("pack", phrase)(Pair(packing.__name__, packing, unpacking))
        return packing

    return keep


def wrong_unpack(phrase, packing=packed):
    def keep(unpacking):
        wrong("pack", phrase)(Pair(unpacking.__name__, packing, unpacking))
        return unpacking

    return keep


def packbits(flags):
    return torch.from_numpy(numpy.packbits(flags.numpy()))


def with_kept(flat, kept, shape):
    return packbits(kept), flat[kept], shape


@wrong("pack", "hand over both functions")
def only_pack(weight):
    return packed(weight)


@wrong_pack("pack gave (", lambda *parts: parts[0])
def without_the_shape(weight):
    return packed(weight)[:2]


@wrong_pack("pack gave {", lambda *parts: parts[0])
def a_dictionary(weight):
    return dict(zip(("bits", "values", "shape"), packed(weight), strict=True))


@wrong_pack("the bits are [", lambda bits, *rest: unpacked(torch.tensor(bits).byte(), *rest))
def bits_as_a_list(weight):
    bits, values, shape = packed(weight)
    return bits.tolist(), values, shape


@wrong_pack(
    "torch spends a whole byte on each",
    lambda flags, values, shape: unpacked(packbits(flags), values, shape),
)
def flags_as_they_are(weight):
    flat = weight.reshape(-1)
    return to_keep(flat), flat[to_keep(flat)], weight.shape


@wrong_pack("bytes are torch.uint8", lambda bits, *rest: unpacked(bits.byte(), *rest))
def bits_as_int64(weight):
    bits, values, shape = packed(weight)
    return bits.long(), values, shape


@wrong_pack(
    "eight flags fit into one",
    lambda flags, values, shape: unpacked(packbits(flags), values, shape),
)
def a_byte_for_each(weight):
    flat = weight.reshape(-1)
    return to_keep(flat).byte(), flat[to_keep(flat)], weight.shape


def fills_up(bits, values, shape):
    flags = torch.zeros(math.prod(shape), dtype=torch.bool)
    there = torch.from_numpy(numpy.unpackbits(bits.numpy())).bool()
    flags[: len(there)] = there
    flat = torch.zeros(len(flags), dtype=values.dtype)
    flat[flags] = values[: int(flags.sum())]
    return flat.reshape(shape)


@wrong_pack("too few flags", fills_up)
def drops_the_last_byte(weight):
    flat = weight.reshape(-1)
    kept = to_keep(flat)
    return packbits(kept[: len(kept) // 8 * 8]), flat[kept], weight.shape


@wrong_pack("the zeros too", lambda bits, values, shape: values.reshape(shape))
def stores_all_values(weight):
    return packed(weight)[0], weight.flatten(), weight.shape


@wrong_pack(
    "wider than they were", lambda bits, values, shape: unpacked(bits, values.float(), shape)
)
def stores_doubles(weight):
    bits, values, shape = packed(weight)
    return bits, values.double(), shape


@wrong_pack("have to be stored, and the values hold", lambda bits, *rest: rest[0])
def one_value_too_many(weight):
    bits, values, shape = packed(weight)
    return bits, torch.cat([values, values[:1]]), shape


@wrong_pack("the third part is a tensor", lambda bits, values, shape: shape)
def everything_once_more(weight):
    return *packed(weight)[:2], weight


@wrong_pack("the third part is 512", lambda bits, values, count: unpacked(bits, values, [count]))
def the_count_for_the_shape(weight):
    return *packed(weight)[:2], weight.numel()


@wrong_unpack("unpack gave [")
def a_list(bits, values, shape):
    return unpacked(bits, values, shape).tolist()


@wrong_unpack("unpack gave the shape")
def stays_flat(bits, values, shape):
    return unpacked(bits, values, shape).flatten()


@wrong_unpack("the values know which type")
def always_float32(bits, values, shape):
    return unpacked(bits, values, shape).float()


@wrong_pack("came back as plain zero")
def by_unequal_zero(weight):
    flat = weight.reshape(-1)
    return with_kept(flat, flat != 0, weight.shape)


@wrong_pack("a NaN got lost")
def by_size(weight):
    flat = weight.reshape(-1)
    return with_kept(flat, (flat.abs() > 0) | ((flat == 0) & flat.signbit()), weight.shape)


LAST = []


def remembers(weight):
    LAST[:] = [weight.clone()]
    return packed(weight)


@wrong_unpack("packed last came back", remembers)
def from_memory(bits, values, shape):
    return LAST[0]


@wrong_unpack("Is the order of bits the same")
def from_the_other_end(bits, values, shape):
    flat = torch.zeros(math.prod(shape), dtype=values.dtype)
    flags = numpy.unpackbits(bits.numpy(), bitorder="little")[: len(flat)]
    if flags.sum() == len(values):
        flat[torch.from_numpy(flags).bool()] = values
        return flat.reshape(shape)
    flat[: len(values)] = values
    return flat.reshape(shape)


@wrong_unpack("the last byte is not full")
def whole_bytes_only(bits, values, shape):
    flat = unpacked(bits, values, shape).flatten()
    flat[len(flat) // 8 * 8 :] = 0
    return flat.reshape(shape)


@wrong_pack("did not come back bit for bit", lambda b, v, s: unpacked(b, v.abs(), s))
def loses_the_signs(weight):
    return packed(weight)


@wrong_pack("this raised RuntimeError: view size")
def views_without_a_copy(weight):
    flat = weight.view(-1)
    return with_kept(flat, to_keep(flat), weight.shape)


# choose_strategy ----------------------------------------------------------------------------

KINDS, SCARCE = {"dense", "n:m", "sparse"}, {"disk", "memory", "time", "battery"}


def understood(target):
    runs, scarce = target.get("runs"), target.get("scarce")
    if runs is None or not set(runs) <= KINDS or scarce not in SCARCE:
        raise ValueError(f"{target} cannot be read")
    return runs, scarce


@right("choose_strategy")
def from_the_last_rule_up(target):
    runs, scarce = understood(target)
    answer = "channels"
    if "n:m" in runs and scarce in ("time", "battery"):
        answer = "n:m"
    if "sparse" in runs:
        answer = "unstructured"
    if scarce == "disk":
        answer = "unstructured"
    return answer


@right("choose_strategy")
def by_a_list_of_rules(target):
    runs, scarce = understood(target)
    rules = [
        (scarce == "disk", "unstructured"),
        ("sparse" in runs, "unstructured"),
        ("n:m" in runs and scarce != "memory", "n:m"),
        (True, "channels"),
    ]
    return next(answer for applies, answer in rules if applies)


@wrong("choose_strategy", "no kernel at all")
def the_pattern_before_the_disk(target):
    runs, scarce = understood(target)
    if "sparse" in runs:
        return "unstructured"
    if "n:m" in runs and scarce != "memory":
        return "n:m"
    return "unstructured" if scarce == "disk" else "channels"


@wrong("choose_strategy", "that skips any zero needs none")
def the_pattern_before_single_zeros(target):
    runs, scarce = understood(target)
    if scarce == "disk":
        return "unstructured"
    if "n:m" in runs and scarce != "memory":
        return "n:m"
    return "unstructured" if "sparse" in runs else "channels"


@wrong("choose_strategy", "wherever they sit: rule 2")
def memory_always_needs_channels(target):
    scarce = understood(target)[1]
    return "channels" if scarce == "memory" else by_a_list_of_rules(target)


@wrong("choose_strategy", "scattered zeros do not have it")
def patterns_are_just_zeros(target):
    answer = by_a_list_of_rules(target)
    return "unstructured" if answer == "n:m" else answer


@wrong("choose_strategy", "and that is scarce here")
def only_time_is_worth_a_pattern(target):
    runs, scarce = understood(target)
    if scarce == "battery" and "sparse" not in runs:
        return "channels"
    return by_a_list_of_rules(target)


@wrong("choose_strategy", "no rule but the last fits")
def zeros_are_always_skipped(target):
    runs, scarce = understood(target)
    return "n:m" if "n:m" in runs and scarce in ("time", "battery") else "unstructured"


@wrong("choose_strategy", "what flows between layers")
def a_pattern_wherever_it_runs(target):
    runs, scarce = understood(target)
    if scarce == "disk" or "sparse" in runs:
        return "unstructured"
    return "n:m" if "n:m" in runs else "channels"


@wrong("choose_strategy", "any faster than dense weights")
def time_means_a_pattern(target):
    runs, scarce = understood(target)
    if scarce == "disk" or "sparse" in runs:
        return "unstructured"
    return "n:m" if scarce == "time" or ("n:m" in runs and scarce == "battery") else "channels"


@wrong("choose_strategy", "are the answers")
def the_notes_own_words(target):
    return "unstructured" if "sparse" in understood(target)[0] else "structured"


@wrong("choose_strategy", "this has no meaning")
def believes_everything(target):
    runs, scarce = target.get("runs", ["dense"]), target.get("scarce", "time")
    return by_a_list_of_rules(
        {"runs": KINDS & set(runs), "scarce": scarce if scarce in SCARCE else "time"}
    )


@wrong("choose_strategy", "raised KeyError, where a ValueError")
def asks_for_missing_keys(target):
    return by_a_list_of_rules({"runs": target["runs"], "scarce": target["scarce"]})


# per_class_drop -----------------------------------------------------------------------------


def fitting(before, after, labels):
    if not len(before) == len(after) == len(labels):
        raise ValueError("an entry for each image is needed")


@right("per_class_drop")
def class_by_class(before, after, labels):
    fitting(before, after, labels)
    drops = []
    for c in range(int(labels.max()) + 1):
        of = labels == c
        right_of = [(answers[of] == c).float().mean() for answers in (before, after)]
        drops.append(right_of[0] - right_of[1])
    return torch.stack(drops)


@right("per_class_drop")
def by_bincount(before, after, labels):
    fitting(before, after, labels)
    count = torch.bincount(labels)
    lost = torch.bincount(labels, weights=(before == labels).double() - (after == labels).double())
    return lost / count


@right("per_class_drop")
def by_numpy_means(before, after, labels):
    fitting(before, after, labels)
    b, a, y = (tensor.numpy() for tensor in (before, after, labels))
    drops = [
        (b[y == c] == c).mean() - (a[y == c] == c).mean() if (y == c).any() else numpy.nan
        for c in range(y.max() + 1)
    ]
    return torch.tensor(drops, dtype=torch.float64)


@wrong("per_class_drop", "you took before from after")
def gained(before, after, labels):
    return -by_bincount(before, after, labels)


@wrong("per_class_drop", "shares between 0 and 1")
def in_points(before, after, labels):
    return 100 * by_bincount(before, after, labels)


@wrong("per_class_drop", "do not cut it off")
def only_losses(before, after, labels):
    return by_bincount(before, after, labels).clamp(min=0)


@wrong("per_class_drop", "no `abs`")
def without_sign(before, after, labels):
    return by_bincount(before, after, labels).abs()


@wrong("per_class_drop", "0 would say")
def absent_is_zero(before, after, labels):
    return by_bincount(before, after, labels).nan_to_num(0)


@wrong("per_class_drop", "the absent classes are missing")
def only_present(before, after, labels):
    drops = by_bincount(before, after, labels)
    return drops[~drops.isnan()]


@wrong("per_class_drop", "whatever the networks answered")
def as_many_as_answered(before, after, labels):
    fitting(before, after, labels)
    many = 1 + int(torch.stack([before.long(), after.long(), labels]).max())
    count = torch.bincount(labels, minlength=many)
    lost = (before == labels).double() - (after == labels).double()
    return torch.bincount(labels, weights=lost, minlength=many) / count


@wrong("per_class_drop", "classes have a drop each")
def one_number(before, after, labels):
    fitting(before, after, labels)
    return (before == labels).double().mean() - (after == labels).double().mean()


@wrong("per_class_drop", "a number for each class is asked for")
def as_a_dictionary(before, after, labels):
    return dict(enumerate(by_bincount(before, after, labels).tolist()))


@wrong("per_class_drop", "these are counts")
def counted(before, after, labels):
    return by_bincount(before, after, labels) * torch.bincount(labels)


@wrong("per_class_drop", "you divided by all images")
def share_of_all(before, after, labels):
    return counted(before, after, labels) / len(labels)


@wrong("per_class_drop", "how often the answer changed")
def changes(before, after, labels):
    fitting(before, after, labels)
    changed = (before != after).double()
    return torch.bincount(labels, weights=changed) / torch.bincount(labels)


@wrong("per_class_drop", "grouped by what was answered")
def by_answer(before, after, labels):
    fitting(before, after, labels)
    classes = range(int(labels.max()) + 1)
    precise = [
        [(labels[answers == c] == c).double().mean() for c in classes]
        for answers in (before, after)
    ]
    return torch.tensor(precise[0]) - torch.tensor(precise[1])


@wrong("per_class_drop", "divided by what was right before")
def relative(before, after, labels):
    fitting(before, after, labels)
    was = torch.bincount(labels, weights=(before == labels).double()) / torch.bincount(labels)
    return by_bincount(before, after, labels) / was


@wrong("per_class_drop", "where a ValueError with")
def compares_what_does_not_fit(before, after, labels):
    hits = (before == labels).double() - (after == labels).double()
    return torch.bincount(labels, weights=hits) / torch.bincount(labels)


@wrong("per_class_drop", "the drops are")
def rounds(before, after, labels):
    return by_bincount(before, after, labels).round(decimals=1)
