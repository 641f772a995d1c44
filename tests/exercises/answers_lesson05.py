"""Answers to lesson 05."""

import copy

import numpy
import torch
from bank import right, wrong
from torch import nn

# filter_norms -------------------------------------------------------------------------------


@right("filter_norms")
def by_vector_norm(conv, p=1):
    return torch.linalg.vector_norm(conv.weight, ord=p, dim=(1, 2, 3))


@right("filter_norms")
def in_numpy(conv, p=1):
    weight = conv.weight.detach().double().numpy()
    return torch.from_numpy((numpy.abs(weight) ** p).sum((1, 2, 3)) ** (1 / p))


@right("filter_norms")
def filter_by_filter(conv, p=1):
    return torch.stack([one.flatten().norm(p) for one in conv.weight])


@wrong("filter_norms", "cancel each other")
def forgets_the_signs(conv, p=1):
    return conv.weight.flatten(1).sum(1)


@wrong("filter_norms", "Filters are dimension 0")
def norms_of_input_channels(conv, p=1):
    return by_vector_norm(conv, p) if conv.groups > 1 else channel_norms(conv, p)


def channel_norms(conv, p):
    return torch.linalg.vector_norm(conv.weight, ord=p, dim=(0, 2, 3))


@wrong("filter_norms", "a number for each kernel")
def norms_of_kernels(conv, p=1):
    return torch.linalg.vector_norm(conv.weight, ord=p, dim=(2, 3))


@wrong("filter_norms", "for the whole layer")
def norm_of_the_layer(conv, p=1):
    return conv.weight.norm(p)


@wrong("filter_norms", "p-th root")
def forgets_the_root(conv, p=1):
    return conv.weight.abs().pow(p).sum((1, 2, 3))


@wrong("filter_norms", "this is the 1-norm, and p is 2")
def always_the_first(conv, p=1):
    return by_vector_norm(conv, 1)


@wrong("filter_norms", "this is the 2-norm, and p is 1")
def always_the_second(conv, p=2):
    return by_vector_norm(conv, 2)


@wrong("filter_norms", "this is the 2-norm, and p is 3")
def knows_two_norms(conv, p=1):
    return by_vector_norm(conv, 1 if p == 1 else 2)


@wrong("filter_norms", "a norm does not divide")
def mean_size(conv, p=1):
    return conv.weight.abs().pow(p).mean((1, 2, 3)).pow(1 / p)


@wrong("filter_norms", "their shape should be")
def keeps_the_dimensions(conv, p=1):
    return by_vector_norm(conv, p).view(-1, 1, 1, 1)


@wrong("filter_norms", "a number for each filter is asked for")
def gives_a_list(conv, p=1):
    return by_vector_norm(conv, p).tolist()


@wrong("filter_norms", "came back instead of")
def adds_the_bias(conv, p=1):
    return by_vector_norm(conv, p) + conv.bias.abs()


@wrong("filter_norms", "missing 1 required positional argument")
def asks_for_p(conv, p):
    return by_vector_norm(conv, p)


# shrink_pair --------------------------------------------------------------------------------


def checked(fits):
    if not fits:
        raise ValueError("the layers do not fit")


def replaced(layer, name, new):
    """The layer's tensor exchanged; a parameter stays one."""
    if isinstance(getattr(layer, name), nn.Parameter):
        new = nn.Parameter(new.detach().clone())
    setattr(layer, name, new)


def cut(layer, dim, keep, *names):
    for name in names:
        if getattr(layer, name, None) is not None:
            old = getattr(layer, name).detach()
            replaced(layer, name, old[keep] if dim == 0 else old[:, keep])


@right("shrink_pair")
def by_copies(conv, bn, following, keep):
    checked(conv.out_channels == bn.num_features == following.in_channels)
    conv, bn, following = map(copy.deepcopy, (conv, bn, following))
    cut(conv, 0, keep, "weight", "bias")
    cut(bn, 0, keep, "weight", "bias", "running_mean", "running_var")
    cut(following, 1, keep, "weight")
    conv.out_channels = bn.num_features = following.in_channels = keep.numel()
    return conv, bn, following


def built(kind, like, tensors, *sizes, **settings):
    """A new layer of this kind, filled, and in the mode of the old one."""
    layer = kind(*sizes, **settings, dtype=next(iter(tensors.values())).dtype)
    with torch.no_grad():
        for name, values in tensors.items():
            getattr(layer, name).copy_(values)
    return layer.train(like.training)


def conv_like(conv, weight, bias):
    return built(
        nn.Conv2d,
        conv,
        {"weight": weight} | ({} if bias is None else {"bias": bias}),
        weight.shape[1],
        weight.shape[0],
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        bias=bias is not None,
        padding_mode=conv.padding_mode,
    )


def bn_like(bn, keep, dtype):
    state = {n: t[keep] if t.dim() else t for n, t in bn.state_dict().items()}
    return built(
        nn.BatchNorm2d,
        bn,
        state or {"dtype": torch.empty(0, dtype=dtype)},
        len(keep),
        eps=bn.eps,
        momentum=bn.momentum,
        affine=bn.affine,
        track_running_stats=bn.track_running_stats,
    )


@right("shrink_pair")
def by_new_layers(conv, bn, following, keep):
    checked(conv.out_channels == bn.num_features == following.in_channels)
    bias = None if conv.bias is None else conv.bias[keep]
    return [
        conv_like(conv, conv.weight[keep], bias),
        bn_like(bn, keep, conv.weight.dtype),
        conv_like(following, following.weight[:, keep], following.bias),
    ]


@right("shrink_pair")
def channel_by_channel(conv, bn, following, keep):
    """In loops, and without the count of batches, which is neither a setting nor a statistic."""
    checked(conv.out_channels == bn.num_features == following.in_channels)
    conv, bn, following = map(copy.deepcopy, (conv, bn, following))
    for layer, names in ((conv, ("weight", "bias")), (bn, ("weight", "bias"))):
        for name in names:
            if getattr(layer, name) is not None:
                values = getattr(layer, name).detach()
                replaced(layer, name, torch.stack([values[c] for c in keep.tolist()]))
    for name in ("running_mean", "running_var"):
        if getattr(bn, name) is not None:
            bn.register_buffer(name, torch.stack([getattr(bn, name)[c] for c in keep.tolist()]))
    weight = following.weight.detach()
    replaced(following, "weight", torch.stack([weight[:, c] for c in keep.tolist()], dim=1))
    conv.out_channels = bn.num_features = following.in_channels = len(keep)
    if bn.num_batches_tracked is not None:
        bn.num_batches_tracked.zero_()
    return conv, bn, following


@right("shrink_pair")
def with_what_did_not_change(conv, bn, following, keep):
    """The reader's bias is the original's own, and the filters do not train: both are free."""
    new = by_new_layers(conv, bn, following, keep)
    new[0].weight.requires_grad_(False)
    if following.bias is not None:
        new[2].bias = following.bias
    return tuple(new)


@right("shrink_pair")
def in_the_data_of_copies(conv, bn, following, keep):
    """Copies keep their gradients, which nobody asks for."""
    checked(len({conv.out_channels, bn.num_features, following.in_channels}) == 1)
    conv, bn, following = map(copy.deepcopy, (conv, bn, following))
    for layer, dim in ((conv, 0), (bn, 0), (following, 1)):
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.dim() > dim:
                tensor.grad = None
                tensor.data = tensor.data.index_select(dim, keep)
    conv.out_channels = bn.num_features = following.in_channels = len(keep)
    return conv, bn, following


@wrong("shrink_pair", "`following.weight` still has its old shape")
def forgets_the_reader(conv, bn, following, keep):
    conv, bn, _ = by_copies(conv, bn, following, keep)
    return conv, bn, copy.deepcopy(following)


@wrong("shrink_pair", "`bn.weight` still has its old shape")
def forgets_the_batchnorm(conv, bn, following, keep):
    conv, _, following = by_copies(conv, bn, following, keep)
    return conv, copy.deepcopy(bn), following


@wrong("shrink_pair", "`conv.weight` still has its old shape")
def zeroes_the_filters(conv, bn, following, keep):
    checked(conv.out_channels == bn.num_features == following.in_channels)
    conv, bn, following = map(copy.deepcopy, (conv, bn, following))
    gone = torch.ones(conv.out_channels, dtype=torch.bool)
    gone[keep] = False
    with torch.no_grad():
        conv.weight[gone] = 0
    return conv, bn, following


@wrong("shrink_pair", "Those in `keep` stay")
def removes_what_it_should_keep(conv, bn, following, keep):
    stay = torch.ones(conv.out_channels, dtype=torch.bool)
    stay[keep.clamp(0, conv.out_channels - 1)] = False
    return by_copies(conv, bn, following, stay.nonzero().flatten())


@wrong("shrink_pair", "`bn.running_mean` does not belong")
def a_batchnorm_without_its_past(conv, bn, following, keep):
    conv, small, following = by_copies(conv, bn, following, keep)
    if small.running_mean is not None:
        small.reset_running_stats()
    return conv, small, following


@wrong("shrink_pair", "`bn.weight` holds the first 3")
def the_first_of_the_batchnorm(conv, bn, following, keep):
    conv, _, new = by_copies(conv, bn, following, keep)
    small = copy.deepcopy(bn)
    cut(small, 0, torch.arange(len(keep)), "weight", "bias", "running_mean", "running_var")
    small.num_features = len(keep)
    return conv, small, new


@wrong("shrink_pair", "`following.weight` holds the first 3")
def the_first_of_the_reader(conv, bn, following, keep):
    conv, bn, new = by_copies(conv, bn, following, keep)
    replaced(new, "weight", following.weight[:, : len(keep)])
    return conv, bn, new


@wrong("shrink_pair", "`following.weight` has the shape (3,")
def rows_instead_of_columns(conv, bn, following, keep):
    conv, bn, new = by_copies(conv, bn, following, keep)
    replaced(new, "weight", following.weight[: len(keep)])
    return conv, bn, new


@wrong("shrink_pair", "`following.weight` does not belong")
def the_reader_gets_zeros(conv, bn, following, keep):
    conv, bn, following = by_copies(conv, bn, following, keep)
    replaced(following, "weight", torch.zeros_like(following.weight))
    return conv, bn, following


@wrong("shrink_pair", "`conv.weight` holds the right channels in ascending order")
def sorts_keep(conv, bn, following, keep):
    return by_copies(conv, bn, following, keep.sort().values)


@wrong("shrink_pair", "`following.weight` holds the right channels in ascending order")
def sorts_for_the_reader(conv, bn, following, keep):
    small, norm, _ = by_copies(conv, bn, following, keep)
    return small, norm, by_copies(conv, bn, following, keep.sort().values)[2]


@wrong("shrink_pair", "as it was, and `keep` asks for another order")
def leaves_all_as_they_are(conv, bn, following, keep):
    if len(keep) == conv.out_channels:
        return tuple(map(copy.deepcopy, (conv, bn, following)))
    return by_copies(conv, bn, following, keep)


@wrong("shrink_pair", "following.bias` has changed")
def folds_the_constant(conv, bn, following, keep):
    """What the removed channels say at rest, given to the reader's biases: another function."""
    new = by_copies(conv, bn, following, keep)
    if bn.bias is not None and following.bias is not None:
        gone = torch.ones(conv.out_channels, dtype=torch.bool)
        gone[keep] = False
        shift = following.weight[:, gone].sum((2, 3)) @ bn.bias[gone]
        replaced(new[2], "bias", following.bias + shift)
    return new


@wrong("shrink_pair", "has no bias, and the original has one")
def drops_the_bias(conv, bn, following, keep):
    conv, bn, following = by_copies(conv, bn, following, keep)
    conv.bias = None
    return conv, bn, following


@wrong("shrink_pair", "has a bias, and the original has none")
def adds_a_bias(conv, bn, following, keep):
    conv, bn, following = by_copies(conv, bn, following, keep)
    if conv.bias is None:
        conv.bias = nn.Parameter(torch.zeros(len(keep), dtype=conv.weight.dtype))
    return conv, bn, following


@wrong("shrink_pair", "says stride=(1, 1); it should be (2, 1)")
def forgets_the_stride(conv, bn, following, keep):
    new, bn, following = by_new_layers(conv, bn, following, keep)
    plain = conv_like(conv, new.weight, new.bias)
    plain.stride = (1, 1)
    return plain, bn, following


@wrong("shrink_pair", "says stride=(1, 1); it should be (1, 2)")
def a_square_stride_for_the_reader(conv, bn, following, keep):
    conv, bn, new = by_copies(conv, bn, following, keep)
    new.stride = (following.stride[0],) * 2
    return conv, bn, new


@wrong("shrink_pair", "says padding_mode=")
def forgets_the_padding_mode(conv, bn, following, keep):
    layers = by_copies(conv, bn, following, keep)
    layers[0].padding_mode = layers[2].padding_mode = "zeros"
    return layers


@wrong("shrink_pair", "says eps=")
def forgets_eps(conv, bn, following, keep):
    conv, bn, following = by_copies(conv, bn, following, keep)
    bn.eps = 1e-5
    return conv, bn, following


@wrong("shrink_pair", "says momentum=")
def forgets_the_momentum(conv, bn, following, keep):
    conv, bn, following = by_copies(conv, bn, following, keep)
    bn.momentum = 0.1
    return conv, bn, following


@wrong("shrink_pair", "says out_channels=")
def forgets_the_count(conv, bn, following, keep):
    new, bn, following = by_copies(conv, bn, following, keep)
    new.out_channels = conv.out_channels
    return new, bn, following


@wrong("shrink_pair", "in train mode, as new layers are")
def forgets_the_modes(conv, bn, following, keep):
    return [layer.train() for layer in by_copies(conv, bn, following, keep)]


@wrong("shrink_pair", "in eval mode, and the original in train mode")
def always_in_eval_mode(conv, bn, following, keep):
    return [layer.eval() for layer in by_copies(conv, bn, following, keep)]


@wrong("shrink_pair", "is torch.float32, and was torch.float64")
def always_in_float32(conv, bn, following, keep):
    return [layer.float() for layer in by_copies(conv, bn, following, keep)]


@wrong("shrink_pair", "its parameters are not what they were")
def shrinks_in_place(conv, bn, following, keep):
    new = by_copies(conv, bn, following, keep)
    for old, small in zip((conv, bn, following), new, strict=True):
        for name, values in small.named_parameters():
            setattr(old, name, values)
    return new


@wrong("shrink_pair", "as a tuple (conv, bn, following)")
def gives_two(conv, bn, following, keep):
    return by_copies(conv, bn, following, keep)[:2]


@wrong("shrink_pair", "something of type Sequential came back")
def gives_a_network(conv, bn, following, keep):
    return nn.Sequential(*by_copies(conv, bn, following, keep))


@wrong("shrink_pair", "should be a BatchNorm2d, and is Conv2d")
def swaps_two(conv, bn, following, keep):
    conv, bn, following = by_copies(conv, bn, following, keep)
    return conv, following, bn


@wrong("shrink_pair", "should be a Conv2d, and is a tensor")
def gives_weights(conv, bn, following, keep):
    return tuple(layer.weight for layer in by_copies(conv, bn, following, keep))


@wrong("shrink_pair", "the BatchNorm has")
def asks_the_reader_alone(conv, bn, following, keep):
    checked(conv.out_channels == following.in_channels)
    bn = by_copies(nn.Conv2d(1, bn.num_features, 1), bn, nn.Conv2d(bn.num_features, 1, 1), keep)[1]
    small, reader = shrunk_without_the_norm(conv, following, keep)
    return small, bn, reader


def shrunk_without_the_norm(conv, following, keep):
    stand_in = nn.BatchNorm2d(conv.out_channels)
    return by_copies(conv, stand_in, following, keep)[::2]


@wrong("shrink_pair", "the reader has")
def asks_the_batchnorm_alone(conv, bn, following, keep):
    checked(conv.out_channels == bn.num_features)
    columns = following.weight[:, : conv.out_channels]
    return by_copies(conv, bn, conv_like(following, columns, following.bias), keep)


@wrong("shrink_pair", "where a ValueError with a sentence is asked for")
def asserts_that_they_fit(conv, bn, following, keep):
    assert conv.out_channels == bn.num_features == following.in_channels
    return by_copies(conv, bn, following, keep)


# shrink_into_linear -------------------------------------------------------------------------


def fitting(conv, linear, keep, positions):
    checked(linear.in_features == conv.out_channels * positions)


@right("shrink_into_linear")
def by_a_view(conv, linear, keep, positions):
    fitting(conv, linear, keep, positions)
    conv, linear = copy.deepcopy(conv), copy.deepcopy(linear)
    cut(conv, 0, keep, "weight", "bias")
    weight = linear.weight.detach().view(linear.out_features, -1, positions)[:, keep]
    replaced(linear, "weight", weight.flatten(1))
    conv.out_channels, linear.in_features = len(keep), len(keep) * positions
    return conv, linear


@right("shrink_into_linear")
def by_slices_of_new_layers(conv, linear, keep, positions):
    fitting(conv, linear, keep, positions)
    parts = [linear.weight[:, c * positions : (c + 1) * positions] for c in keep.tolist()]
    tensors = {"weight": torch.cat(parts, dim=1)}
    if linear.bias is not None:
        tensors["bias"] = linear.bias
    small = built(
        nn.Linear,
        linear,
        tensors,
        len(keep) * positions,
        linear.out_features,
        bias=linear.bias is not None,
    )
    return conv_like(conv, conv.weight[keep], None if conv.bias is None else conv.bias[keep]), small


@right("shrink_into_linear")
def with_the_same_bias(conv, linear, keep, positions):
    """The biases are the original's own; nothing asks for a copy."""
    conv, small = by_a_view(conv, linear, keep, positions)
    small.bias = linear.bias
    return conv, small.requires_grad_(False) if linear.bias is None else small


def with_columns(conv, linear, keep, positions, columns):
    new, small = by_a_view(conv, linear, keep, positions)
    replaced(small, "weight", linear.weight.detach()[:, columns])
    return new, small


@wrong("shrink_into_linear", "`linear.weight` has the shape")
def one_column_a_channel(conv, linear, keep, positions):
    return with_columns(conv, linear, keep, positions, keep)


@wrong("shrink_into_linear", "each channel owns 4 columns in a row")
def positions_first(conv, linear, keep, positions):
    fitting(conv, linear, keep, positions)
    columns = (torch.arange(positions)[:, None] * conv.out_channels + keep).flatten()
    return with_columns(conv, linear, keep, positions, columns)


@wrong("shrink_into_linear", "`linear.weight` holds the first 3")
def the_first_columns(conv, linear, keep, positions):
    columns = torch.arange(len(keep) * positions)
    return with_columns(conv, linear, keep, positions, columns)


@wrong("shrink_into_linear", "`linear.weight` still has its old shape")
def forgets_the_linear_layer(conv, linear, keep, positions):
    return by_a_view(conv, linear, keep, positions)[0], copy.deepcopy(linear)


@wrong("shrink_into_linear", "`linear.weight` holds the right channels in ascending order")
def sorts_the_columns(conv, linear, keep, positions):
    small = by_a_view(conv, linear, keep, positions)[0]
    return small, by_a_view(conv, linear, keep.sort().values, positions)[1]


@wrong("shrink_into_linear", "`conv.weight` holds the right channels in ascending order")
def sorts_both(conv, linear, keep, positions):
    return by_a_view(conv, linear, keep.sort().values, positions)


@wrong("shrink_into_linear", "Those in `keep` stay")
def removes_the_kept(conv, linear, keep, positions):
    stay = torch.ones(conv.out_channels, dtype=torch.bool)
    stay[keep.clamp(0, conv.out_channels - 1)] = False
    return by_a_view(conv, linear, stay.nonzero().flatten(), positions)


@wrong("shrink_into_linear", "`conv.weight` holds the first 3")
def the_first_filters(conv, linear, keep, positions):
    new, small = by_a_view(conv, linear, keep, positions)
    replaced(new, "weight", conv.weight[: len(keep)])
    return new, small


@wrong("shrink_into_linear", "`conv.bias` still has its old shape")
def forgets_the_bias(conv, linear, keep, positions):
    new, small = by_a_view(conv, linear, keep, positions)
    new.bias = copy.deepcopy(conv.bias)
    return new, small


@wrong("shrink_into_linear", "says in_features=")
def forgets_in_features(conv, linear, keep, positions):
    return with_in_features(conv, linear, keep, positions, linear.in_features)


def with_in_features(conv, linear, keep, positions, features):
    new, small = by_a_view(conv, linear, keep, positions)
    small.in_features = features
    return new, small


@wrong("shrink_into_linear", "in train mode, as new layers are")
def trains_both(conv, linear, keep, positions):
    return [layer.train() for layer in by_a_view(conv, linear, keep, positions)]


@wrong("shrink_into_linear", "has a bias, and the original has none")
def gives_every_conv_a_bias(conv, linear, keep, positions):
    new, small = by_a_view(conv, linear, keep, positions)
    if new.bias is None:
        new.bias = nn.Parameter(torch.zeros(len(keep)))
    return new, small


@wrong("shrink_into_linear", "channels of 5 positions are not")
def guesses_positions(conv, linear, keep, positions):
    return by_a_view(conv, linear, keep, linear.in_features // conv.out_channels)


@wrong("shrink_into_linear", "channels of 2 positions are not")
def asks_whether_it_divides(conv, linear, keep, positions):
    checked(linear.in_features % positions == 0)
    return by_a_view(conv, linear, keep, linear.in_features // conv.out_channels)


@wrong("shrink_into_linear", "something of type Linear came back")
def gives_the_linear_layer(conv, linear, keep, positions):
    return by_a_view(conv, linear, keep, positions)[1]


# coupled_keep -------------------------------------------------------------------------------


def of_equal_lengths(scores, k):
    lengths = {len(member) for member in scores}
    if len(lengths) != 1 or not 0 <= k <= min(lengths):
        raise ValueError("the lengths differ, or k is not among them")


def best(total, k):
    return torch.as_tensor(total).topk(k).indices.sort().values


@right("coupled_keep")
def by_stacking(scores, k):
    of_equal_lengths(scores, k)
    table = torch.stack([member.double() for member in scores])
    return best((table / table.sum(dim=1, keepdim=True)).mean(dim=0), k)


@right("coupled_keep")
def by_a_list(scores, k):
    of_equal_lengths(scores, k)
    total = [0.0] * len(scores[0])
    for member in scores:
        whole = sum(member.tolist())
        total = [t + value / whole for t, value in zip(total, member.tolist(), strict=True)]
    order = sorted(range(len(total)), key=lambda channel: -total[channel])
    return torch.tensor(sorted(order[:k]), dtype=torch.int64)


@right("coupled_keep")
def by_numpy(scores, k):
    of_equal_lengths(scores, k)
    total = sum(m.numpy().astype(numpy.float64) / m.double().numpy().sum() for m in scores)
    return torch.from_numpy(numpy.sort(numpy.argsort(-total)[:k]).astype(numpy.int64))


@wrong("coupled_keep", "the scores give as they are")
def adds_raw_scores(scores, k):
    of_equal_lengths(scores, k)
    return best(sum(scores), k)


@wrong("coupled_keep", "the first layer's best")
def asks_one_layer(scores, k):
    of_equal_lengths(scores, k)
    return best(scores[0], k)


@wrong("coupled_keep", "the largest of the divided scores")
def takes_the_largest(scores, k):
    of_equal_lengths(scores, k)
    return best(torch.stack([m / m.sum() for m in scores]).amax(0), k)


@wrong("coupled_keep", "multiplying the scores")
def multiplies(scores, k):
    of_equal_lengths(scores, k)
    return best(torch.stack([m / m.sum() for m in scores]).prod(0), k)


@wrong("coupled_keep", "dividing by the largest score")
def divides_by_the_largest(scores, k):
    of_equal_lengths(scores, k)
    return best(sum(m / m.max() for m in scores), k)


@wrong("coupled_keep", "dividing by the Euclidean length")
def divides_by_the_length(scores, k):
    of_equal_lengths(scores, k)
    return best(sum(m / m.norm() for m in scores), k)


@wrong("coupled_keep", "what a softmax gives")
def softmaxes(scores, k):
    of_equal_lengths(scores, k)
    return best(sum(m.softmax(0) for m in scores), k)


@wrong("coupled_keep", "these are the weakest channels")
def keeps_the_weakest(scores, k):
    of_equal_lengths(scores, k)
    return best(-sum(m / m.sum() for m in scores), k)


@wrong("coupled_keep", "name them in ascending order")
def best_first(scores, k):
    of_equal_lengths(scores, k)
    return sum(m / m.sum() for m in scores).topk(k).indices


@wrong("coupled_keep", "others have higher sums")
def the_first_channels(scores, k):
    of_equal_lengths(scores, k)
    return torch.arange(k)


@wrong("coupled_keep", "4 channels should stay")
def names_those_that_go(scores, k):
    of_equal_lengths(scores, k)
    return best(-sum(m / m.sum() for m in scores), len(scores[0]) - k)


@wrong("coupled_keep", "this is a mask")
def gives_a_mask(scores, k):
    mask = torch.zeros(len(scores[0]), dtype=torch.bool)
    mask[by_stacking(scores, k)] = True
    return mask


@wrong("coupled_keep", "torch counts places in int64")
def gives_int32(scores, k):
    return by_stacking(scores, k).int()


@wrong("coupled_keep", "a tensor of channel numbers is asked for")
def gives_a_list_of_channels(scores, k):
    return by_stacking(scores, k).tolist()


@wrong("coupled_keep", "different channels")
def repeats_the_best(scores, k):
    return by_stacking(scores, k)[:1].repeat(k) if k else by_stacking(scores, k)


@wrong("coupled_keep", "there are channels 0 to")
def the_last_counted_from_one(scores, k):
    of_equal_lengths(scores, k)
    return torch.arange(len(scores[0]) - k, len(scores[0])) + 1


@wrong("coupled_keep", "should raise ValueError")
def repeats_a_single_score(scores, k):
    if any(len(m) not in (1, len(scores[-1])) for m in scores) or not 0 <= k <= len(scores[-1]):
        raise ValueError("the lengths differ, or k is not among them")
    return best(sum(m / m.sum() for m in scores), k)


@wrong("coupled_keep", "0 channels should stay")
def slices_from_the_end(scores, k):
    of_equal_lengths(scores, k)
    return sum(m / m.sum() for m in scores).argsort()[-k:].sort().values


@wrong("coupled_keep", "the call changed its input")
def divides_in_place(scores, k):
    of_equal_lengths(scores, k)
    for member in scores:
        member /= member.sum()
    return best(sum(scores), k)
