"""Masks against torch's own pruning, numpy and brute force; zeros through all kinds of training."""

import copy
import io
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import prune

from course_utils import models
from course_utils.measure import prunable_weights, sparsity
from course_utils.pruning import masks as masks_module
from course_utils.pruning.importance import magnitude
from course_utils.pruning.masks import (
    apply,
    hold,
    keep_global,
    keep_local,
    keep_nm,
    prune_global_,
)

X = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(32) % 10


def pruned_first(scores: dict, count: int) -> dict:
    """The oracle: a stable sort of everything in order, the first `count` go."""
    flat = np.concatenate([score.double().numpy().reshape(-1) for score in scores.values()])
    kept = np.ones(len(flat), dtype=bool)
    kept[np.argsort(flat, kind="stable")[:count]] = False
    ends = np.cumsum([score.numel() for score in scores.values()])[:-1]
    return {
        name: torch.from_numpy(part).view(scores[name].shape)
        for name, part in zip(scores, np.split(kept, ends), strict=True)
    }


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def count(masks: dict) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def mlp(*sizes: int) -> nn.Module:
    return nn.Sequential(*[nn.Linear(a, b) for a, b in itertools.pairwise(sizes)])


# Few different values, so that ties are everywhere; infinities and negative numbers among them.
values = st.sampled_from([-math.inf, -1.0, -0.0, 0.0, 0.5, 1.0, 1.5, 2.0, math.inf])
tensors = st.lists(values, min_size=1, max_size=24).map(torch.tensor)
scores_of_ties = st.lists(tensors, min_size=1, max_size=4).map(
    lambda found: {f"layer{i}": tensor for i, tensor in enumerate(found)}
)
shares = st.floats(0, 1)
TYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


# --- Which ones are kept ----------------------------------------------------------------------


@given(scores_of_ties, shares)
def test_globally_exactly_the_first_of_a_stable_sort_go(scores, share):
    total = sum(score.numel() for score in scores.values())
    assert same(keep_global(scores, share), pruned_first(scores, round(share * total)))


@given(scores_of_ties, shares)
def test_locally_exactly_the_first_of_a_stable_sort_go_in_each_tensor(scores, share):
    kept = keep_local(scores, share)
    for name, score in scores.items():
        alone = {name: score}
        assert same({name: kept[name]}, pruned_first(alone, round(share * score.numel())))


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), shares, st.sampled_from([1, 3, 40, 10_000]))
def test_many_numbers_are_cut_as_exactly_as_few(seed, share, distinct):
    """Sampled and in pieces: with the thresholds lowered, the path that large models take."""
    dice = np.random.default_rng(seed)
    arrays = [dice.integers(0, distinct, size) / 7 for size in (1, 500, 1300)]
    scores = {str(i): torch.from_numpy(array).float() for i, array in enumerate(arrays)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks_module, "SAMPLE", 60)
        patch.setattr(masks_module, "PIECE", 128)
        assert same(keep_global(scores, share), pruned_first(scores, round(share * 1801)))


def test_a_sample_that_misleads_is_made_up_for(monkeypatch):
    scores = {"distinct": torch.arange(1000.0), "ties": torch.arange(1000.0).div(300).floor()}
    for misleading in (2000.0, -5.0, 3.0, 0.0, 2.0, math.inf, -math.inf):
        sample = torch.full((50,), misleading)
        monkeypatch.setattr(masks_module, "_sample", lambda *_, sample=sample: sample)
        for share in (0.0005, 0.3, 0.6, 0.7, 0.9995, 1.0):
            assert same(keep_global(scores, share), pruned_first(scores, round(share * 2000)))


def test_a_larger_network_is_cut_at_the_threshold_that_numpy_finds():
    torch.manual_seed(0)
    model = mlp(400, 500, 300, 10)  # more weights than the sample
    flat = np.concatenate(
        [w.detach().numpy().reshape(-1) for w in prunable_weights(model).values()]
    )
    limit = np.partition(np.abs(flat), round(0.7 * len(flat)) - 1)[round(0.7 * len(flat)) - 1]
    for name, mask in keep_global(magnitude(model), 0.7).items():
        assert torch.equal(mask, model.get_parameter(name).abs() > limit.item())


@pytest.mark.parametrize("make", [models.lenet, models.cnn, models.resnet8])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_global_masks_equal_those_of_torch(make, share):
    torch.manual_seed(0)
    model = make()
    kept = keep_global(magnitude(model), share)
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    prune.global_unstructured([(m, "weight") for m in layers], prune.L1Unstructured, amount=share)
    for mask, layer in zip(kept.values(), layers, strict=True):
        assert torch.equal(mask, layer.weight_mask.bool())


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_local_masks_equal_those_of_torch(share):
    torch.manual_seed(0)
    model = models.lenet()
    for name, mask in keep_local(magnitude(model), share).items():
        layer = model.get_submodule(name.removesuffix(".weight"))
        prune.l1_unstructured(layer, "weight", amount=share)
        assert torch.equal(mask, layer.weight_mask.bool())


def test_each_tensor_may_have_its_own_share():
    scores = {"a": torch.arange(10.0), "b": torch.arange(20.0)}
    kept = keep_local(scores, {"b": 0.5, "a": 0.1})
    assert (count({"a": kept["a"]}), count({"b": kept["b"]})) == (9, 10)


@given(scores_of_ties, shares, shares)
def test_a_higher_sparsity_keeps_nothing_that_a_lower_one_prunes(scores, one, other):
    for keep in (keep_global, keep_local):
        much, little = keep(scores, min(one, other)), keep(scores, max(one, other))
        assert all(not (little[name] & ~much[name]).any() for name in scores)


@given(scores_of_ties, scores_of_ties, shares, shares)
def test_nothing_is_revived_and_the_count_is_of_all(earlier, later, first, second):
    later = {n: later.get(n, s).new_tensor(s.tolist()) for n, s in earlier.items()}
    later = {n: s.flip(0) for n, s in later.items()}  # another order of merit than before
    before = keep_global(earlier, first)
    after = keep_global(later, second, within=before)
    total = sum(score.numel() for score in earlier.values())
    assert all(not (after[name] & ~before[name]).any() for name in after)
    assert count(after) == min(count(before), total - round(second * total))
    for name, mask in keep_local(later, second, within=before).items():
        assert not (mask & ~before[name]).any()
        assert mask.sum() == min(before[name].sum(), len(mask) - round(second * len(mask)))


@settings(max_examples=40)
@given(st.integers(0, 10**6), shares)
def test_type_and_memory_layout_make_no_difference(seed, share):
    dice = torch.Generator().manual_seed(seed)
    score = torch.randint(-9, 9, (4, 3, 5, 2), generator=dice).float() / 4  # exact in every type
    expected = keep_global({"w": score, "v": -score}, share)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        other = keep_global({"w": score.to(dtype), "v": -score}, share)  # a mixture as well
        assert same(other, expected)
    strided = score.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0)
    assert not strided.is_contiguous()
    for other in (score.contiguous(memory_format=torch.channels_last), strided):
        assert same(keep_global({"w": other, "v": -other}, share), expected)


def test_a_finer_type_is_not_rounded_to_a_coarser_one():
    third, coarse = torch.tensor([1 / 3]), torch.tensor([1 / 3]).bfloat16()
    assert coarse.float() > third  # so the coarse one is dearer, by what rounding added
    scores = {"coarse": coarse, "fine": third}
    assert same(keep_global(scores, 0.5), pruned_first(scores, 1))
    model = nn.Sequential(nn.Linear(1, 1).bfloat16(), nn.Linear(1, 1))
    with torch.no_grad():
        model[0].weight.copy_(coarse)
        model[1].weight.copy_(third)
    prune_global_(model, 0.5)
    assert model[0].weight != 0 and model[1].weight == 0


@given(scores_of_ties, shares, shares)
def test_the_floor_holds_in_every_tensor_and_the_count_is_still_exact(scores, share, floor):
    total = sum(score.numel() for score in scores.values())
    least = {n: max(1, round(floor * s.numel())) for n, s in scores.items()} if floor else {}
    going = round(share * total)
    if going > total - sum(least.values()):
        with pytest.raises(ValueError, match="cannot be reached"):
            keep_global(scores, share, floor=floor)
        return
    kept = keep_global(scores, share, floor=floor)
    assert count(kept) == total - going
    assert all(kept[name].sum() >= least[name] for name in least)


def test_a_global_threshold_empties_a_layer_and_a_floor_keeps_its_best():
    scores = {"small": torch.arange(10.0), "large": torch.arange(100.0, 190.0)}
    assert not keep_global(scores, 0.5)["small"].any()
    kept = keep_global(scores, 0.5, floor=0.2)
    assert kept["small"].tolist() == [False] * 8 + [True] * 2
    assert count(kept) == 50
    barely = keep_global(scores, 0.5, floor=0.001)["small"]
    assert barely.tolist() == [False] * 9 + [True]


def test_the_floor_and_earlier_masks_hold_together():
    scores = {"small": torch.arange(10.0), "large": torch.arange(100.0, 190.0)}
    before = {"small": torch.arange(10) < 5, "large": torch.ones(90)}
    kept = keep_global(scores, 0.6, within=before, floor=0.3)
    assert kept["small"].tolist() == [False] * 2 + [True] * 3 + [False] * 5
    assert count(kept) == 40


def test_earlier_pruning_beyond_the_share_stays_as_it_is():
    before = {"w": torch.tensor([1, 0, 0, 1])}
    assert keep_global({"w": torch.arange(4.0)}, 0.25, within=before)["w"].tolist() == [
        True,
        False,
        False,
        True,
    ]


def test_scores_of_pruned_places_need_not_be_numbers():
    before = {"w": torch.tensor([True, False, True])}
    kept = keep_global({"w": torch.tensor([2.0, math.nan, 1.0])}, 2 / 3, within=before)
    assert kept["w"].tolist() == [True, False, False]


def test_a_single_number_is_a_score_of_no_dimension():
    kept = keep_global({"a": torch.tensor(1.0), "b": torch.tensor([2.0, 3.0])}, 0.4)
    assert kept["a"].shape == () and not kept["a"] and kept["b"].tolist() == [True, True]


@pytest.mark.parametrize("keep", [keep_global, keep_local])
def test_no_scores_give_no_masks(keep):
    assert keep({}, 0.5) == {}
    assert keep({"empty": torch.zeros(0)}, 0.5)["empty"].shape == (0,)


# --- N:M --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n, m", [(2, 4), (1, 4), (4, 8), (1, 1), (3, 3)])
def test_of_every_m_the_n_best_are_kept(n, m):
    score = torch.randn(6, 24, generator=torch.Generator().manual_seed(1))
    mask = keep_nm({"w": score}, n, m)["w"]
    for row, kept in zip(score.tolist(), mask.tolist(), strict=True):
        for start in range(0, 24, m):
            best = sorted(range(m), key=lambda i: row[start + i], reverse=True)[:n]
            assert [i for i in range(m) if kept[start + i]] == sorted(best)


def test_a_convolution_is_grouped_along_its_input_channels():
    score = torch.randn(3, 8, 2, 2, generator=torch.Generator().manual_seed(1))
    mask = keep_nm({"w": score})["w"]
    assert mask.shape == score.shape
    for o, h, w in np.ndindex(3, 2, 2):
        assert torch.equal(mask[o, :, h, w], keep_nm({"w": score[o : o + 1, :, h, w]})["w"][0])


def test_n_m_ties_are_exact():
    assert keep_nm({"w": torch.zeros(5, 8)})["w"].sum(1).tolist() == [4] * 5


# --- The fused way ------------------------------------------------------------------------------


def with_weights(*found: torch.Tensor) -> nn.Module:
    model = nn.Sequential(*[nn.Linear(len(weight), 1) for weight in found])
    for layer, weight in zip(model, found, strict=True):
        layer.weight.data = weight.clone().view(1, -1)
    return model


@given(scores_of_ties, shares)
def test_fused_equals_composed_ties_included(weights, share):
    fused, composed = with_weights(*weights.values()), with_weights(*weights.values())
    prune_global_(fused, share)
    apply(composed, keep_global(magnitude(composed), share))
    for a, b in zip(fused, composed, strict=True):
        assert torch.equal(a.weight, b.weight)


@settings(max_examples=25)
@given(st.integers(0, 10**6), shares, st.sampled_from(TYPES))
def test_fused_equals_composed_in_any_layout_and_leaves_the_rest_alone(seed, share, dtype):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1)).to(dtype)
    for layer in (model[0], model[2]):
        layer.weight.data = (layer.weight.data * 20).round() / 16
    model.to(memory_format=torch.channels_last)
    composed, before = copy.deepcopy(model), [id(p) for p in model.parameters()]
    prune_global_(model, share)
    apply(composed, keep_global(magnitude(composed), share))
    for a, b in zip(model.parameters(), composed.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [id(p) for p in model.parameters()] == before


def test_large_networks_are_pruned_exactly_with_and_without_ties():
    torch.manual_seed(0)
    model = mlp(400, 500, 300, 10)
    tied = copy.deepcopy(model)
    for layer in tied:
        layer.weight.data.mul_(200).round_()
    for one in (model, tied):
        reference = pruned_first(magnitude(one), 241_200)
        expected = [torch.where(m, one.get_parameter(n), 0) for n, m in reference.items()]
        prune_global_(one, 241_200 / 353_000)
        assert all(torch.equal(layer.weight, w) for layer, w in zip(one, expected, strict=True))


def test_pruning_again_to_less_changes_nothing():
    model = mlp(20, 20, 5)
    prune_global_(model, 0.8)
    before = copy.deepcopy(model.state_dict())
    for share in (0.0, 0.5, 0.8):
        prune_global_(model, share)
    assert same(dict(model.state_dict()), dict(before))


def test_a_shared_weight_counts_once():
    model = mlp(10, 10, 10)
    model[1].weight = model[0].weight
    prune_global_(model, 0.5)
    assert int((model[0].weight == 0).sum()) == 50


def test_a_model_without_prunable_weights_is_left_in_peace():
    prune_global_(nn.BatchNorm1d(3), 0.5)
    apply(nn.BatchNorm1d(3), {})


# --- Applying -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("kind", [torch.bool, torch.float32, torch.int64, torch.uint8], ids=str)
def test_masked_weights_become_zero_whatever_they_were(dtype, kind):
    layer = nn.Linear(4, 2).to(dtype)
    weight = layer.weight
    awkward = [math.nan, math.inf, -1.0, -0.0]
    weight.data.copy_(torch.tensor([awkward, awkward]))
    apply(layer, {"weight": torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]]).to(kind)})
    assert layer.weight is weight and list(layer.state_dict()) == ["weight", "bias"]
    assert weight[0].tolist() == [0.0] * 4 and not weight[0].signbit().any()
    assert weight[1].isnan().tolist() == [True, False, False, False]
    assert weight[1, 1:].tolist() == [math.inf, -1.0, 0.0]


def test_layouts_may_differ():
    conv = nn.Conv2d(3, 4, 2).to(memory_format=torch.channels_last)
    expected = conv.weight.detach().clone()
    mask = torch.rand(4, 3, 2, 2) < 0.5
    apply(conv, {"weight": mask})
    assert torch.equal(conv.weight, torch.where(mask, expected, 0))


def test_a_tied_weight_may_be_masked_under_either_name():
    model = mlp(2, 2, 2)
    model[1].weight = model[0].weight
    apply(model, {"0.weight": torch.tensor([[1, 1], [0, 1]])})
    apply(model, {"1.weight": torch.tensor([[0, 1], [1, 1]])})
    assert (model[0].weight != 0).tolist() == [[False, True], [False, True]]


def test_a_zeroed_filter_in_front_of_batchnorm_still_speaks():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.BatchNorm2d(2)).eval()
    model[1].bias.data.fill_(0.7)
    apply(model, {"0.weight": torch.tensor([1, 0]).view(2, 1, 1, 1).expand(2, 1, 3, 3)})
    assert torch.equal(model(X)[:, 1], torch.full((32, 6, 6), 0.7))


def test_a_forward_pass_between_does_not_hide_the_change_from_autograd():
    layer = nn.Linear(4, 4)
    loss = layer(layer(torch.randn(2, 4))).sum()
    apply(layer, {"weight": torch.zeros(4, 4)})
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# --- Holding ------------------------------------------------------------------------------------


def groups_of(parameters) -> list[dict]:
    first, *others = parameters
    return [{"params": [first], "weight_decay": 0.1}, {"params": others, "lr": 0.02}]


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True),
    "momentum and decay": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    "two groups": lambda p: torch.optim.SGD(groups_of(p), lr=0.05, momentum=0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adam with decay": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.01, foreach=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "fused adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.001, momentum=0.9),
}


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)
    )


def step(model: nn.Module, optimizer, scheduler=None, low_precision: bool = False) -> None:
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=low_precision):
        loss = cross_entropy(model(X), Y)
    loss.backward()
    optimizer.step()
    if scheduler is not None:
        scheduler.step()


def exactly_zero(model: nn.Module, kept: dict) -> bool:
    return all(not model.get_parameter(name)[mask == 0].any() for name, mask in kept.items())


def trained_first(make, steps: int = 5):
    """A model whose optimizer already remembers gradients of what is then pruned."""
    model = small()
    optimizer = make(model.parameters())
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer, keep_global(magnitude(model), 0.8)


@pytest.mark.parametrize("low_precision", [False, True], ids=["float32", "bfloat16 autocast"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_masked_weights_are_exactly_zero_after_each_of_100_steps_also_if_resumed(
    make, low_precision
):
    """Through a scheduler, saved in the middle; resumed, it ends where it would have ended."""

    def scheduled(optimizer):
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100)

    def train(model, optimizer, scheduler, steps):
        for _ in range(steps):
            step(model, optimizer, scheduler, low_precision)
            assert exactly_zero(model, kept)

    model, optimizer, kept = trained_first(make)
    hold(optimizer, model, kept)
    assert exactly_zero(model, kept)
    before, scheduler, file = copy.deepcopy(model.state_dict()), scheduled(optimizer), io.BytesIO()
    train(model, optimizer, scheduler, 50)
    torch.save([*(it.state_dict() for it in (model, optimizer, scheduler)), kept], file)
    train(model, optimizer, scheduler, 50)
    assert sparsity(model) == pytest.approx(0.8, abs=1e-3)
    for name, mask in kept.items():  # while the others did learn
        assert (model.get_parameter(name)[mask] != before[name][mask]).float().mean() > 0.9

    file.seek(0)
    *states, loaded = torch.load(file)
    resumed = small()
    its_optimizer = make(resumed.parameters())
    its_scheduler = scheduled(its_optimizer)
    for it, state in zip((resumed, its_optimizer, its_scheduler), states, strict=True):
        it.load_state_dict(state)
    hold(its_optimizer, resumed, loaded)
    train(resumed, its_optimizer, its_scheduler, 50)
    assert same(model.state_dict(), resumed.state_dict())


def test_masking_gradients_instead_revives_every_weight_in_one_step():
    model, optimizer, kept = trained_first(OPTIMIZERS["momentum"])
    apply(model, kept)
    optimizer.zero_grad()
    cross_entropy(model(X), Y).backward()
    for name, mask in kept.items():
        model.get_parameter(name).grad.mul_(mask)
    optimizer.step()
    dead = torch.cat([model.get_parameter(name)[~mask] for name, mask in kept.items()])
    assert (dead != 0).float().mean() > 0.9


def test_removed_the_handle_lets_go_and_leaves_nothing_behind():
    model, optimizer, kept = trained_first(OPTIMIZERS["adam"])
    held = hold(optimizer, model, kept)
    assert not any(module._forward_pre_hooks for module in model.modules())
    held.remove()
    step(model, optimizer)
    assert not exactly_zero(model, kept)
    copy.deepcopy(model)  # what torch's own pruning makes impossible


def test_a_mask_is_copied_so_changing_it_later_changes_nothing():
    model, optimizer, kept = trained_first(OPTIMIZERS["adam"])
    reference = {name: mask.clone() for name, mask in kept.items()}
    hold(optimizer, model, kept)
    for mask in kept.values():
        mask.fill_(True)
    step(model, optimizer)
    assert exactly_zero(model, reference)


# --- What is refused, before anything is changed -----------------------------------------------


def bad_calls(model, optimizer):
    scores = magnitude(model)
    ones = {name: torch.ones_like(score) for name, score in scores.items()}
    nan = {name: torch.full_like(score, math.nan) for name, score in scores.items()}
    one_nan = {name: score.clone() for name, score in scores.items()}
    one_nan["1.weight"][-1, -1] = math.nan
    for share in (-0.1, 1.5, math.nan, math.inf, "half", None, True):
        yield "share from 0 to 1", lambda share=share: keep_local(scores, share)
        yield (
            "share from 0 to 1",
            lambda share=share: keep_local(scores, dict.fromkeys(ones, share)),
        )
        yield "share from 0 to 1", lambda share=share: keep_global(scores, share)
        yield "share from 0 to 1", lambda share=share: keep_global(scores, 0.5, floor=share)
        yield "share from 0 to 1", lambda share=share: prune_global_(model, share)
    for share in (0.0, 0.5, 1.0):
        for keep in (keep_local, keep_global):
            yield "NaN", lambda keep=keep, share=share: keep(one_nan, share)
    yield "NaN", lambda: keep_nm(one_nan)
    yield "floating-point", lambda: keep_global({"w": torch.arange(4)}, 0.5)
    yield "floating-point", lambda: keep_global({"w": [1.0, 2.0]}, 0.5)
    yield "unmatched: 1.weight", lambda: keep_local(scores, {"0.weight": 0.5})
    yield "unmatched: typo", lambda: keep_local(scores, {**dict.fromkeys(ones, 0.5), "typo": 0.5})
    yield "mask for each score", lambda: keep_global(scores, 0.5, within={})
    yield (
        "must be a tensor of",
        lambda: keep_global(scores, 0.5, within={**ones, "1.weight": torch.ones(3)}),
    )
    yield "cannot be kept", lambda: keep_nm(scores, 5, 4)
    yield "n must be a whole number", lambda: keep_nm(scores, 0, 4)
    yield "m must be a whole number", lambda: keep_nm(scores, 2, 4.0)
    yield "groups of 3", lambda: keep_nm(scores, 2, 3)
    yield "groups of 4", lambda: keep_nm({"bias": torch.ones(8)})
    for use in (lambda masks: apply(model, masks), lambda masks: hold(optimizer, model, masks)):
        zeros = {name: torch.zeros_like(score) for name, score in scores.items()}
        yield "no such parameter", lambda use=use, z=zeros: use({**z, "9.weight": torch.ones(1)})
        yield "must be a tensor of", lambda use=use, z=zeros: use({**z, "1.weight": torch.ones(1)})
        yield "must be a tensor of", lambda use=use, z=zeros: use({**z, "1.weight": [1, 0]})
        yield "contains NaN", lambda use=use, z=zeros: use({**z, "1.weight": nan["1.weight"]})


def test_bad_input_gets_a_sentence_before_anything_is_changed():
    model = mlp(8, 16, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = copy.deepcopy(model.state_dict())
    for sentence, call in bad_calls(model, optimizer):
        with pytest.raises(ValueError, match=sentence):
            call()
        assert same(dict(model.state_dict()), dict(before))
        assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_nan_anywhere_stops_the_fused_way_before_it_starts(share):
    model = mlp(8, 16, 8)
    model[1].weight.data[-1, -1] = math.nan
    first = model[0].weight.detach().clone()
    with pytest.raises(ValueError, match="NaN"):
        prune_global_(model, share)
    assert torch.equal(model[0].weight, first)


def test_an_optimizer_of_another_model_is_refused():
    model = mlp(4, 4)
    optimizer = torch.optim.SGD(copy.deepcopy(model).parameters(), lr=0.1)
    with pytest.raises(ValueError, match="trains none of the masked parameters"):
        hold(optimizer, model, {"0.weight": torch.zeros(4, 4)})
    assert model[0].weight.all()


def test_weights_that_torch_prunes_are_pointed_out_because_they_would_come_back():
    model = mlp(4, 4)
    prune.l1_unstructured(model[0], "weight", 0.5)
    with pytest.raises(ValueError, match=r"0\.weight is not a parameter"):
        prune_global_(model, 0.5)
    with pytest.raises(ValueError, match=r"calls it 0\.weight_orig"):
        apply(model, {"0.weight": torch.zeros(4, 4)})
