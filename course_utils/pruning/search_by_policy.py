"""A search for pruning ratios by reinforcement learning, small enough to be read: AMC's game.

One episode walks over the layers from the first to the last. At each layer a small network, the
policy, sees what AMC's agent sees (He 2018) and what is left of the budget, and answers with how
much of the layer to keep. After the last layer the whole network is judged once, and that is the
reward. AMC trains an actor and a critic (DDPG); here it is REINFORCE (Williams 1992), the simplest
rule that works: of a few episodes, make the choices of the better ones more likely and those of the
worse ones less.

For looking at how it works, not the way to find ratios: see lesson 07 for what is cheaper.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from course_utils.measure import require_count, require_share


class Episode(NamedTuple):
    """One walk over the layers, and what it was paid."""

    ratios: dict[str, float]  # the share of each layer to remove
    reward: float


def search_by_policy(
    layers: Mapping[str, Sequence[float]],
    costs: Mapping[str, float],
    budget: float,
    reward: Callable[[dict[str, float]], float],
    episodes: int = 200,
    seed: int = 0,
    together: int = 10,
    rate: float = 0.03,
    least: float = 0.03,
) -> list[Episode]:
    """All episodes in their order; the best is `max(found, key=lambda episode: episode.reward)`.

    `layers` holds plain facts about each layer (its sizes, its kind); the position, the cost, what
    is spent, what is to come and the last action are added as the walk goes on. `costs` is what a
    dense layer costs; the kept cost never exceeds `budget`, because an action that would leave too
    little for the layers to come (each keeps `least`) is cut back, as in AMC. `reward(ratios)` is
    called once an episode. The policy learns after every `together` episodes.

    >>> facts, costs = {"a": [1.0], "b": [2.0]}, {"a": 100, "b": 300}
    >>> found = search_by_policy(facts, costs, 200, lambda ratios: -ratios["a"], episodes=20)
    >>> len(found), set(found[0].ratios) == {"a", "b"}
    (20, True)
    """
    _check(layers, costs, budget, least)
    require_count("episodes", episodes, at_least=1)
    require_count("together", together, at_least=2)
    dice = torch.Generator().manual_seed(seed)
    facts = _standardised(layers)
    policy = _Policy(facts.shape[1] + 6, start=budget / sum(costs.values()), dice=dice)
    optimizer = torch.optim.Adam(policy.parameters(), lr=rate)
    found: list[Episode] = []
    while len(found) < episodes:
        batch, likelihoods = [], []
        for _ in range(min(together, episodes - len(found))):
            kept, likelihood = _walk(policy, facts, list(costs.values()), budget, least, dice)
            ratios = {name: 1 - keep for name, keep in zip(costs, kept, strict=True)}
            batch.append(Episode(ratios, _paid(reward, ratios)))
            likelihoods.append(likelihood)
        found += batch
        _learn(optimizer, torch.stack(likelihoods), torch.tensor([one.reward for one in batch]))
    return found


class _Policy(nn.Module):
    """State in, the mean of an action out; `spread` is how far it still tries other actions.

    An action is any number; `sigmoid` turns it into the share to keep. At the start it is the same
    for every layer: the share that spends the budget.
    """

    def __init__(self, inputs: int, start: float, dice: torch.Generator, width: int = 32):
        super().__init__()
        start = min(max(start, 0.01), 0.99)
        self.hidden = nn.utils.skip_init(nn.Linear, inputs, width)
        self.mean = nn.utils.skip_init(nn.Linear, width, 1)
        self.spread = nn.Parameter(torch.zeros(()))
        with torch.no_grad():
            self.hidden.weight.normal_(0, inputs**-0.5, generator=dice)
            self.hidden.bias.zero_()
            self.mean.weight.zero_()
            self.mean.bias.fill_(math.log(start / (1 - start)))

    def forward(self, state: Tensor) -> torch.distributions.Normal:
        mean = self.mean(self.hidden(state).tanh()).squeeze(-1)
        return torch.distributions.Normal(mean, self.spread.exp(), validate_args=False)


def _walk(
    policy: _Policy,
    facts: Tensor,
    costs: list[float],
    budget: float,
    least: float,
    dice: torch.Generator,
) -> tuple[list[float], Tensor]:
    """Keep shares for all layers, and how likely the policy was to choose so (its logarithm)."""
    total = sum(costs)
    spent, to_come, last = 0.0, total, 1.0
    kept, likelihood = [], torch.zeros(())
    for place, cost in enumerate(costs):
        to_come -= cost
        left = budget - spent
        state = [place / len(costs), cost / total, spent / total, to_come / total]
        now = policy(torch.cat([facts[place], torch.tensor([*state, left / total, last])]))
        with torch.no_grad():
            action = now.mean + now.stddev * torch.randn((), generator=dice)
        likelihood = likelihood + now.log_prob(action)
        most = (left - least * to_come) / cost if cost else 1.0
        fewest = max(least, (left - to_come) / cost if cost else least)  # no budget is left unused
        last = min(max(action.sigmoid().item(), fewest), most, 1.0)
        kept.append(last)
        spent += last * cost
    return kept, likelihood


def _paid(reward: Callable[[dict[str, float]], float], ratios: dict[str, float]) -> float:
    paid = float(reward(ratios))
    if not math.isfinite(paid):
        raise ValueError(f"a reward must be a finite number to be learned from, not {paid}.")
    return paid


def _learn(optimizer: torch.optim.Optimizer, likelihoods: Tensor, rewards: Tensor) -> None:
    """One step of REINFORCE. The mean of the batch is the baseline: better than that is good."""
    if len(rewards) < 2 or rewards.std() == 0:
        return  # nothing to compare
    advantage = (rewards - rewards.mean()) / rewards.std()
    optimizer.zero_grad()
    (-(advantage * likelihoods).mean()).backward()
    optimizer.step()


def _standardised(layers: Mapping[str, Sequence[float]]) -> Tensor:
    """Facts with mean 0 and deviation 1 over the layers, so that none drowns the others."""
    facts = torch.tensor([list(map(float, row)) for row in layers.values()])
    deviation = facts.std(0, correction=0)
    return (facts - facts.mean(0)) / torch.where(deviation > 0, deviation, 1.0)


def _check(layers: Mapping, costs: Mapping, budget: float, least: float) -> None:
    require_share("the least share kept", least)
    if list(layers) != list(costs) or not costs:
        raise ValueError("the layers and the costs must name the same layers, in the same order.")
    if len({len(facts) for facts in layers.values()}) != 1:
        raise ValueError("every layer needs the same number of facts.")
    for name, cost in costs.items():
        if not 0 <= cost < math.inf:
            raise ValueError(f"the cost of {name} must be 0 or more, not {cost!r}.")
    if not any(costs.values()):
        raise ValueError("the layers cost nothing, so there is no budget to keep.")
    if not least * sum(costs.values()) <= budget <= sum(costs.values()):
        raise ValueError(
            f"a budget of {budget:g} cannot be kept, or is no limit: the layers cost "
            f"{sum(costs.values()):g}, and keep {least:.0%} at least.".replace("%", " %")
        )
