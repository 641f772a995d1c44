"""How much to prune, and when: a schedule is a list of sparsities to reach, one for each round.

The sparsities are cumulative: shares of all weights, as `masks.keep_global` and `keep_local` take
them. Tools that ask for a share of what is left, such as repeated `torch.nn.utils.prune` calls,
need `shares_of_the_rest`. What happens between two rounds (training, usually) is not decided here:

    for sparsity in cubic(0.9, rounds=10):
        kept = masks.keep_global(importance.magnitude(model), sparsity, within=kept)
        ...
"""

import itertools
from collections.abc import Sequence

from course_utils.measure import require_count, require_share


def one_shot(final: float) -> list[float]:
    """Everything at once: the cheapest, and as good as any other while little is pruned.

    >>> one_shot(0.8)
    [0.8]
    """
    require_share("the final sparsity", final)
    return [final]


def iterative(final: float, rounds: int) -> list[float]:
    """In every round the same fraction of what remains, arriving at `final`.

    The rhythm of the lottery-ticket experiments (Frankle and Carbin 2019): each round asks the
    network for the same relative sacrifice.

    >>> [round(sparsity, 4) for sparsity in iterative(0.488, rounds=3)]
    [0.2, 0.36, 0.488]
    """
    require_share("the final sparsity", final)
    require_count("rounds", rounds, at_least=1)
    return [1 - (1 - final) ** (i / rounds) for i in range(1, rounds)] + [final]


def cubic(final: float, rounds: int, initial: float = 0.0) -> list[float]:
    """Fast at first, while much is redundant, and ever more slowly towards `final`.

    What is missing to `final` shrinks with the cube of the rounds left (Zhu and Gupta 2017, "To
    prune, or not to prune"). The first round prunes already, the last arrives.

    >>> [round(sparsity, 4) for sparsity in cubic(0.8, rounds=4)]
    [0.4625, 0.7, 0.7875, 0.8]
    """
    require_share("the initial sparsity", initial)
    require_share("the final sparsity", final)
    require_count("rounds", rounds, at_least=1)
    if initial > final:
        raise ValueError(f"pruning cannot go down, from {initial} to {final}.")
    left = [1 - i / rounds for i in range(1, rounds)]
    return [final + (initial - final) * share**3 for share in left] + [final]


def shares_of_the_rest(targets: Sequence[float]) -> list[float]:
    """Cumulative sparsities turned into the fractions of what remains that lead to them.

    For tools whose amounts compound: `prune.l1_unstructured(layer, "weight", 0.2)` called twice
    prunes 36 %, not 40 %. Once everything is gone, the fraction is 0.

    >>> [round(share, 4) for share in shares_of_the_rest([0.2, 0.36, 0.488])]
    [0.2, 0.2, 0.2]
    """
    for target in targets:
        require_share("a target", target)
    shares = []
    for before, after in itertools.pairwise([0.0, *targets]):
        if after < before:
            raise ValueError(f"sparsities cannot go down, from {before} to {after}.")
        shares.append((after - before) / (1 - before) if before < 1 else 0.0)
    return shares
