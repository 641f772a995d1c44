import math
import statistics

import pytest
import torch
from torch import nn
from torch.func import stack_module_state
from torch.nn.functional import cross_entropy

from course_utils import models, training
from course_utils.data import Images, digits
from course_utils.measure import prunable_weights
from course_utils.pruning import _together, tickets


def small_data(count=90, features=6, dtype=torch.float64):
    x = torch.randn(count, features, generator=torch.Generator().manual_seed(0)).to(dtype)
    y = (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    return x[:70], y[:70], x[70:], y[70:]


def perceptron():
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(6, 12),
        nn.ReLU(),
        nn.Linear(12, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    ).double()


def other_perceptron():
    return nn.Sequential(
        nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8, bias=False), nn.Tanh(), nn.Linear(8, 3)
    ).double()


def one_relu_twice():
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 12), relu, nn.Linear(12, 3), relu).double()


def tied():
    network = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    network[2].weight = network[0].weight
    return network.double()


def convolutional():
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 3)),
        nn.Conv2d(1, 4, 2),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8, 3),
    ).double()


class Twice(nn.Module):
    """Not a Sequential, one layer used twice, and one not at all."""

    def __init__(self):
        super().__init__()
        self.inner, self.last, self.idle = nn.Linear(6, 6), nn.Linear(6, 3), nn.Linear(2, 2)
        self.double()

    def forward(self, x):
        return self.last(self.inner(self.inner(x).relu()).relu())


def three(make):
    found = []
    for seed in (3, 1, 4):
        torch.manual_seed(seed)
        found.append(make())
    return found


def stacked(networks):
    parameters, buffers = stack_module_state(networks)
    return {k: v.detach().clone() for k, v in (parameters | buffers).items()}


def random_masks(network, generator):
    return {
        name: torch.rand(weight.shape, generator=generator) < 0.6
        for name, weight in prunable_weights(network).items()
    }


def hold(network, masks):
    with torch.no_grad():
        for name, weight in prunable_weights(network).items():
            weight.mul_(masks[name])


@pytest.mark.parametrize(
    "make", [perceptron, other_perceptron, one_relu_twice, tied, convolutional, Twice]
)
def test_training_together_is_training_each_by_itself(make):
    networks, data = three(make), small_data()
    generator = torch.Generator().manual_seed(0)
    masks = [random_masks(network, generator) for network in networks]
    together = stacked(networks)
    curves = tickets.train_together(
        networks[0],
        together,
        {name: torch.stack([m[name] for m in masks]) for name in masks[0]},
        *data,
        seeds=[3, 1, 4],
        epochs=3,
        lr=0.01,
        batch_size=16,
    )
    for k, (seed, network, mask) in enumerate(zip((3, 1, 4), networks, masks, strict=True)):
        hold(network, mask)
        alone = training.train(
            network,
            Images("made up", *data),
            epochs=3,
            lr=0.01,
            seed=seed,
            schedule=training.constant,
            batch_size=16,
            after_step=lambda network, mask=mask: hold(network, mask),
        )
        alone_now = dict([*network.named_parameters(), *network.named_buffers()])
        for name, tensor in alone_now.items():
            torch.testing.assert_close(together[name][k], tensor.detach(), rtol=1e-6, atol=1e-9)
        assert curves[k] == pytest.approx(alone["accuracy"])
        for name in mask:
            assert not together[name][k][~mask[name]].any()


def test_perceptrons_are_multiplied_as_batches_of_matrices(monkeypatch):
    """Twice as fast as a loop, which `torch.func.vmap` is not."""
    monkeypatch.setattr(_together, "_AnyNetworks", None)
    data = digits()
    some = data.x_train[:10], data.y_train[:10]
    tickets.experiment(models.lenet, *some, *some, seeds=[0], rounds=1, epochs=1)


def test_the_model_that_says_how_to_compute_stays_as_it_is():
    torch.manual_seed(0)
    network = convolutional()
    network[2].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    tickets.train_together(network, stacked([network]), {}, *small_data(), seeds=[0], epochs=1)
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    assert network.training and not network[2].training


def test_one_float32_epoch_of_lenet_agrees_with_the_loop():
    data = digits()
    networks = three(models.lenet)
    together = stacked(networks)
    tickets.train_together(
        networks[0], together, {}, data.x_train, data.y_train, data.x_val, data.y_val, [3, 1, 4], 1
    )
    for k, (seed, network) in enumerate(zip((3, 1, 4), networks, strict=True)):
        training.train(network, data, 1, 2e-3, seed, schedule=training.constant)
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(together[name][k], tensor, rtol=1e-2, atol=1e-4)


def test_starting_late_is_carrying_on_from_there():
    """Plain Adam by hand, from the weights of step 7 on, in the order of the whole run."""
    torch.manual_seed(0)
    network, (x, y, *validation) = perceptron(), small_data()
    early, together = {}, stacked([network])

    def remember(step):
        if step == 7:
            early.update({name: tensor.detach().clone() for name, tensor in together.items()})

    settings = {"seeds": [5], "epochs": 3, "batch_size": 16}
    tickets.train_together(
        network, together, {}, x, y, *validation, **settings, before_step=remember
    )
    late = {name: tensor.clone() for name, tensor in early.items()}
    tickets.train_together(network, late, {}, x, y, *validation, **settings, start=7)

    network.load_state_dict({name: tensor[0] for name, tensor in early.items()})
    adam = torch.optim.Adam(network.parameters(), lr=2e-3)
    order = torch.Generator().manual_seed(5)
    batches = [some for _ in range(3) for some in torch.randperm(70, generator=order).split(16)]
    for some in batches[7:]:
        adam.zero_grad()
        cross_entropy(network(x[some]), y[some]).backward()
        adam.step()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(late[name][0], tensor, rtol=1e-6, atol=1e-9)


# --- the experiment


def test_a_ticket_beats_new_weights_and_these_beat_shuffled_masks():
    data = digits()
    rows = tickets.experiment(
        models.lenet,
        data.x_train,
        data.y_train,
        data.x_val,
        data.y_val,
        seeds=range(5),
        keep={"fc1.weight": 0.4, "fc2.weight": 0.4, "fc3.weight": 0.7},
        rounds=3,
    )
    ticket, reinit, shuffled = (
        tickets.accuracies(rows, condition, 3) for condition in ("ticket", "reinit", "shuffled")
    )
    assert statistics.fmean(ticket) > 0.94
    assert statistics.fmean(ticket) > statistics.fmean(reinit) + 0.01
    assert statistics.fmean(reinit) > statistics.fmean(shuffled)
    mean, error = tickets.paired_difference(ticket, shuffled)
    assert mean > 2 * error


def run(make=perceptron, **changes):
    settings = {"seeds": [7, 2], "keep": 0.5, "rounds": 2, "epochs": 2, "batch_size": 16}
    return tickets.experiment(make, *small_data(), **(settings | changes))


def test_the_rows_say_all_there_is():
    rows = run()
    assert [(row["condition"], row["round"], row["seed"]) for row in rows] == [
        (condition, round_, seed)
        for round_, conditions in enumerate(
            [["dense"], ["ticket", "reinit", "shuffled"], ["ticket", "reinit", "shuffled"]]
        )
        for condition in conditions
        for seed in (7, 2)
    ]
    assert {row["round"]: row["remaining"] for row in rows} == {0: 1.0, 1: 0.5, 2: 0.25}
    for row in rows:
        assert len(row["curve"]) == 2 and row["accuracy"] == row["curve"][-1]


def test_each_round_is_found_and_rewound_as_the_paper_says():
    """The same, network by network, from the single parts: training, next_ticket, the start."""
    data = small_data()
    rows = run(lr=0.02, epochs=4)
    for seed in (7, 2):
        torch.manual_seed(seed)
        network, *fresh = perceptron(), perceptron(), perceptron()
        start = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        generator = torch.Generator().manual_seed(seed)
        masks = {n: torch.ones_like(w) for n, w in prunable_weights(network).items()}

        def trained(model, masks, seed=seed):
            hold(model, masks)
            return training.train(
                model,
                Images("made up", *data),
                4,
                0.02,
                seed,
                schedule=training.constant,
                batch_size=16,
                after_step=lambda model: hold(model, masks),
            )["accuracy"]

        expected = {("dense", 0): trained(network, masks)}
        for round_, other in enumerate(fresh, start=1):
            masks = tickets.next_ticket(network, masks, 0.5)
            shuffled = tickets.shuffled_masks(masks, generator)
            expected["reinit", round_] = trained(other, masks)
            other.load_state_dict(start)
            expected["shuffled", round_] = trained(other, shuffled)
            network.load_state_dict(start)
            expected["ticket", round_] = trained(network, masks)
        found = {
            (row["condition"], row["round"]): row["curve"] for row in rows if row["seed"] == seed
        }
        assert found.keys() == expected.keys()
        for key, curve in found.items():
            assert curve == pytest.approx(expected[key]), key


def test_rewound_networks_carry_on_from_the_step_they_were_rewound_to():
    """With nothing pruned, the ticket and the shuffled control are the early weights again."""
    torch.manual_seed(7)
    network, early = perceptron(), {}
    together = stacked([network])

    def remember(step):
        if step == 7:
            early.update({name: tensor.clone() for name, tensor in together.items()})

    settings = {"seeds": [7], "epochs": 4, "batch_size": 16, "lr": 0.02}
    data = small_data()
    tickets.train_together(network, together, {}, *data, **settings, before_step=remember)
    expected = tickets.train_together(network, early, {}, *data, **settings, start=7)
    rows = run(**settings, keep=1.0, rounds=1, rewind_step=7)
    for condition in ("ticket", "shuffled"):
        assert [row["curve"] for row in rows if row["condition"] == condition] == expected


def test_rewinding_to_an_early_step_changes_the_outcome_and_keeps_the_dense_run():
    at_start, early = run(epochs=4), run(epochs=4, rewind_step=10)
    assert at_start[:2] == early[:2]
    assert at_start[2:] != early[2:]
    assert [row for row in at_start if row["condition"] == "reinit"][:2] == [
        row for row in early if row["condition"] == "reinit"
    ][:2]


def with_dropout():
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Dropout(0.5), nn.Linear(12, 3)).double()


@pytest.mark.parametrize("make", [perceptron, with_dropout])
def test_the_experiment_leaves_the_random_state_alone_and_repeats_itself(make):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    rows = run(make)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert run(make) == rows


def test_only_the_controls_asked_for_are_trained():
    rows = run(controls=["shuffled"])
    assert {row["condition"] for row in rows} == {"dense", "ticket", "shuffled"}
    assert rows == [row for row in run() if row["condition"] != "reinit"]


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"keep": 1.5}, "the share to keep of 1.weight must be a share"),
        ({"keep": math.nan}, "must be a share"),
        ({"keep": {"1.weight": 0.5}}, "both have 3.weight"),
        ({"rounds": 0}, "rounds must be a whole number"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"seeds": []}, "different whole numbers"),
        ({"controls": ["luck"]}, "there is no 'luck'"),
        ({"lr": 0.0}, "a learning rate"),
        ({"rewind_step": 10}, "training ends before step 10"),
        ({"batch_size": 0}, "batch_size must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        run(**changes)


def test_a_make_that_returns_one_network_again_and_again_is_refused():
    network = perceptron()
    with pytest.raises(ValueError, match="a new network at each call"):
        tickets.experiment(lambda: network, *small_data(), seeds=[1])


def test_networks_without_weights_of_their_own_to_prune_are_refused():
    class TiedToEmbedding(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.last = nn.Embedding(4, 4), nn.Linear(4, 4)
            self.last.weight = self.embed.weight

    for make, words in (
        (lambda: nn.LayerNorm(6), "no Linear or Conv2d layer"),
        (TiedToEmbedding, "last.weight belongs to another layer"),
    ):
        with pytest.raises(ValueError, match=words):
            tickets.experiment(make, *small_data(), seeds=[1])


def test_examples_that_do_not_fit_are_refused():
    x, y, *validation = small_data()
    for data, words in (
        ((x[:, :5], y, *validation), "cannot take an input"),
        ((x, y[:-1], *validation), "70 training examples and 69 labels"),
        ((x, y + 1, *validation), "labels do not fit outputs"),
        ((x, y.double(), *validation), "whole numbers"),
        ((x, y, validation[0][:0], validation[1][:0]), "0 validation examples"),
    ):
        with pytest.raises(ValueError, match=words):
            tickets.experiment(perceptron, *data, seeds=[1])


def test_networks_and_masks_that_do_not_fit_are_refused_untouched():
    network, data = perceptron(), small_data()
    together = stacked([network])
    before = {name: tensor.clone() for name, tensor in together.items()}
    for masks, words in (
        ({"9.weight": torch.ones(1, 12, 6)}, "no such weight"),
        ({"1.weight": torch.ones(12, 6)}, "the mask of 1.weight"),
    ):
        with pytest.raises(ValueError, match=words):
            tickets.train_together(network, together, masks, *data, seeds=[0])
    with pytest.raises(ValueError, match="must be 2 tensors"):
        tickets.train_together(network, together, {}, *data, seeds=[0, 1])
    with pytest.raises(ValueError, match=r"both have 1\.weight"):
        some = {name: tensor for name, tensor in together.items() if name != "1.weight"}
        tickets.train_together(network, some, {}, *data, seeds=[0])
    with pytest.raises(ValueError, match="in one contiguous tensor"):
        across = {name: tensor.mT.contiguous().mT for name, tensor in together.items()}
        tickets.train_together(network, across, {}, *data, seeds=[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in together.items())


# --- masks


def test_the_next_ticket_prunes_what_remains_and_revives_nothing():
    layer = nn.Linear(5, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[9.0, -1, 2, -3, 4], [5, -6, 7, 8, 0.5]]))
    mask = torch.tensor([[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]])
    found = tickets.next_ticket(layer, {"weight": mask}, 0.5)["weight"]
    assert found.tolist() == [
        [False, False, False, False, False],
        [True, True, True, True, False],
    ]
    assert mask.sum() == 8 and found.dtype == torch.bool


def test_the_next_ticket_counts_exactly_among_equals_and_at_the_ends():
    layer = nn.Linear(10, 3)
    with torch.no_grad():
        layer.weight.fill_(0.5)
    masks = {"weight": torch.ones(3, 10)}
    for fraction, kept in ((0.0, 30), (1.0, 0), (0.3, 21), (0.02, 29)):
        found = tickets.next_ticket(layer, masks, fraction)["weight"]
        assert int(found.sum()) == kept
        assert found.flatten().tolist() == [False] * (30 - kept) + [True] * kept
    per_layer = tickets.next_ticket(layer, masks, {"weight": 0.1})
    assert int(per_layer["weight"].sum()) == 27


def test_the_next_ticket_refuses_what_does_not_fit():
    layer, ones = nn.Linear(4, 2), torch.ones(2, 4)
    for masks, fraction, words in (
        ({"weight": ones}, 1.5, "must be a share"),
        ({"weight": ones}, math.nan, "must be a share"),
        ({"bias": torch.ones(2)}, 0.5, "no such weight"),
        ({"weight": ones.t()}, 0.5, "the mask for weight"),
        ({"weight": ones}, {}, "do not both have weight"),
        ({"weight": ones}, {"weight": 0.5, "bias": 0.5}, "do not both have bias"),
    ):
        with pytest.raises(ValueError, match=words):
            tickets.next_ticket(layer, masks, fraction)
    with torch.no_grad():
        layer.weight[0, 0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        tickets.next_ticket(layer, {"weight": ones}, 0.5)


def test_shuffling_keeps_the_counts_and_follows_its_generator():
    masks = {"a": torch.rand(20, 10) < 0.3, "b": torch.rand(4, 3, 3, 3) < 0.5}
    before = {name: mask.clone() for name, mask in masks.items()}
    one, same, other = (
        tickets.shuffled_masks(masks, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    for name, mask in masks.items():
        assert one[name].shape == mask.shape and one[name].sum() == mask.sum()
        assert torch.equal(one[name], same[name])
        assert not torch.equal(one[name], other[name]) and not torch.equal(one[name], mask)
        assert torch.equal(mask, before[name])


def test_shuffling_moves_single_weights_not_whole_rows():
    mask = torch.zeros(50, 50, dtype=torch.bool)
    mask[0] = True
    shuffled = tickets.shuffled_masks({"a": mask}, torch.Generator().manual_seed(0))["a"]
    assert int(shuffled.any(1).sum()) > 20 and int(shuffled.any(0).sum()) > 20


# --- comparing


def test_a_paired_difference_by_hand():
    mean, error = tickets.paired_difference([3.0, 5.0, 10.0], [1.0, 2.0, 6.0])
    assert mean == pytest.approx(3.0)
    assert error == pytest.approx(1 / math.sqrt(3))
    shift, error = tickets.paired_difference([1.5, 0.5, 7.5], [1.0, 0.0, 7.0])
    assert (shift, error) == (0.5, 0.0)


def test_what_makes_no_pairs_is_refused():
    for a, b in (([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0]), ([], [])):
        with pytest.raises(ValueError):
            tickets.paired_difference(a, b)
    with pytest.raises(ValueError, match="no rows for 'ticket' in round 9"):
        tickets.accuracies([], "ticket", 9)
