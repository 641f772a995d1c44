"""The agent that chooses ratios: it keeps its budget, it learns, and it disturbs nobody."""

import math

import pytest
import torch

from course_utils.pruning.search_by_policy import search_by_policy

COSTS = {"first": 100.0, "second": 400.0, "third": 250.0, "last": 20.0}
FACTS = {"first": [1.0, 3.0], "second": [1.0, 1.0], "third": [0.0, 3.0], "last": [0.0, 1.0]}


def kept(ratios):
    return sum(cost * (1 - ratios[name]) for name, cost in COSTS.items())


def search(reward=lambda ratios: -ratios["first"], budget=300, **settings):
    return search_by_policy(FACTS, COSTS, budget, reward, **settings)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.7, 0.99])
def test_every_episode_spends_the_budget_and_no_more(share):
    budget = share * sum(COSTS.values())
    for episode in search(budget=budget, episodes=30):
        assert list(episode.ratios) == list(COSTS)
        assert kept(episode.ratios) == pytest.approx(budget)
        assert all(-1e-9 <= ratio <= 0.97 + 1e-9 for ratio in episode.ratios.values())


def test_a_layer_that_costs_nothing_is_no_trouble():
    costs = {**COSTS, "last": 0.0}
    found = search_by_policy(FACTS, costs, 300, lambda ratios: 1.0, episodes=12)
    assert all(0 <= episode.ratios["last"] <= 1 for episode in found)


def test_the_reward_is_asked_for_once_an_episode():
    asked = []
    found = search(lambda ratios: asked.append(ratios) or len(asked), episodes=23)
    assert [episode.ratios for episode in found] == asked
    assert [episode.reward for episode in found] == list(range(1, 24))


def test_it_learns_to_spare_the_layer_that_matters():
    def reward(ratios):
        return -(ratios["second"] ** 2)

    for seed in range(3):
        rewards = [episode.reward for episode in search(reward, episodes=300, seed=seed)]
        first, last = sum(rewards[:50]) / 50, sum(rewards[-50:]) / 50
        assert last > 0.75 * first  # of the first loss, a quarter at least is gone


def test_it_learns_the_other_way_round_as_well():
    rewards = [e.reward for e in search(lambda ratios: ratios["second"], episodes=300)]
    assert sum(rewards[-50:]) > sum(rewards[:50]) + 5


def test_the_same_seed_plays_the_same_episodes_and_leaves_the_dice_alone():
    before = torch.get_rng_state()
    one, same, other = (search(episodes=30, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert torch.equal(before, torch.get_rng_state())


def test_rewards_that_are_all_alike_teach_nothing_and_break_nothing():
    found = search(lambda ratios: 0.5, episodes=40)
    assert all(math.isfinite(ratio) for episode in found for ratio in episode.ratios.values())


def test_an_error_of_the_reward_gets_through():
    def breaks(ratios):
        raise KeyError("no such layer")

    with pytest.raises(KeyError):
        search(breaks)


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"budget": 10}, "cannot be kept"),
        ({"budget": 1000}, "is no limit"),
        ({"costs": {"first": 1.0}}, "the same layers"),
        ({"costs": {**COSTS, "last": -1.0}}, "must be 0 or more"),
        ({"costs": dict.fromkeys(COSTS, 0.0), "budget": 0}, "cost nothing"),
        ({"reward": lambda ratios: math.nan}, "a finite number"),
        ({"reward": lambda ratios: -math.inf}, "a finite number"),
        ({"layers": {**FACTS, "last": [1.0]}}, "the same number of facts"),
        ({"least": 1.5}, "a share from 0 to 1"),
        ({"episodes": 0}, "episodes must be a whole number"),
        ({"together": 1}, "together must be a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(change, sentence):
    settings = {"layers": FACTS, "costs": COSTS, "budget": 300, "reward": kept, **change}
    with pytest.raises(ValueError, match=sentence):
        search_by_policy(**settings)
