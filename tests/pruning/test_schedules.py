"""Schedules: they arrive, never go down, and agree with torch's compounding amounts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from course_utils.pruning.schedules import cubic, iterative, one_shot, shares_of_the_rest

shares = st.floats(0, 1)
rounds = st.integers(1, 12)


def test_one_shot_is_one_round():
    assert one_shot(0.7) == [0.7]


@given(shares, rounds)
def test_every_schedule_arrives_exactly_and_never_goes_down(final, rounds):
    for schedule in (iterative(final, rounds), cubic(final, rounds)):
        assert len(schedule) == rounds
        assert schedule[-1] == final
        assert all(a <= b + 1e-12 for a, b in itertools.pairwise(schedule))
        assert all(0 <= sparsity <= 1 for sparsity in schedule)


def test_iterative_takes_the_same_fraction_of_what_remains_each_round():
    kept = [1 - sparsity for sparsity in [0.0, *iterative(0.9, 5)]]
    ratios = [after / before for before, after in itertools.pairwise(kept)]
    assert ratios == pytest.approx([0.1 ** (1 / 5)] * 5)


def test_cubic_follows_the_formula_of_zhu_and_gupta():
    # s_t = s_f + (s_i - s_f) (1 - t / n)^3, by hand for n = 4, s_i = 0.2, s_f = 1
    by_hand = [1 - 0.8 * 27 / 64, 1 - 0.8 / 8, 1 - 0.8 / 64, 1.0]
    assert cubic(1.0, 4, initial=0.2) == pytest.approx(by_hand)


def test_shares_of_the_rest_make_compounding_tools_arrive_at_the_targets():
    targets = [0.2, 0.5, 0.5, 0.9]
    layer = nn.Linear(100, 10)
    for share, target in zip(shares_of_the_rest(targets), targets, strict=True):
        prune.l1_unstructured(layer, "weight", share)
        assert int((layer.weight_mask == 0).sum()) == round(target * 1000)


def test_without_it_equal_amounts_compound_until_removed_and_then_do_nothing():
    layer = nn.Linear(100, 10)
    for _ in range(2):
        prune.l1_unstructured(layer, "weight", 0.2)
    assert int((layer.weight == 0).sum()) == 360  # not 400
    prune.remove(layer, "weight")
    prune.l1_unstructured(layer, "weight", 0.2)
    assert int((layer.weight == 0).sum()) == 360  # the smallest 20 % are zeros already


def test_once_everything_is_gone_nothing_of_the_rest_goes():
    assert shares_of_the_rest([1.0, 1.0]) == [1.0, 0.0]


@given(st.lists(st.floats(0, 0.999), max_size=6).map(sorted))
def test_shares_of_the_rest_can_be_undone(targets):
    kept, reached = 1.0, []
    for share in shares_of_the_rest(targets):
        kept *= 1 - share
        reached.append(1 - kept)
    assert reached == pytest.approx(targets, abs=1e-9)


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan, math.inf, "half", None, True])
def test_what_is_no_share_is_refused(share):
    for schedule in (
        lambda: one_shot(share),
        lambda: iterative(share, 3),
        lambda: cubic(share, 3),
        lambda: cubic(1.0, 3, initial=share),
        lambda: shares_of_the_rest([share]),
    ):
        with pytest.raises(ValueError, match="share from 0 to 1"):
            schedule()


@pytest.mark.parametrize("rounds", [0, -1, 2.0, True])
def test_what_is_no_number_of_rounds_is_refused(rounds):
    for schedule in (iterative, cubic):
        with pytest.raises(ValueError, match="rounds must be a whole number"):
            schedule(0.5, rounds)


def test_pruning_cannot_go_down():
    with pytest.raises(ValueError, match="cannot go down"):
        cubic(0.3, 4, initial=0.5)
    with pytest.raises(ValueError, match="cannot go down"):
        shares_of_the_rest([0.5, 0.3])


@pytest.mark.parametrize("kind", [np.float32, np.float64, int])
def test_any_kind_of_real_number_will_do(kind):
    assert one_shot(kind(1)) == [1.0]
    assert cubic(kind(1), 2) == [0.875, 1.0]
