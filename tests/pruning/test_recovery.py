"""Fine-tuning, rewinding, penalties, BatchNorm statistics and optimizers, against plain torch."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from course_utils import models
from course_utils.measure import prunable_weights
from course_utils.pruning import recovery

X = torch.randn(48, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(48) % 10


def half_masks(model: nn.Module, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.rand(weight.shape, generator=generator) < 0.5
        for name, weight in prunable_weights(model).items()
    }


def all_zero_where_masked(model: nn.Module, masks: dict[str, Tensor]) -> bool:
    return all(not model.get_parameter(name)[mask == 0].any() for name, mask in masks.items())


def training(make_optimizer, steps: int = 5, seen: list | None = None, masks: dict | None = None):
    def train(model):
        model.train()
        optimizer = make_optimizer(model.parameters())
        for _ in range(steps):
            optimizer.zero_grad()
            cross_entropy(model(X), Y).backward()
            optimizer.step()
            if seen is not None:
                seen.append(all_zero_where_masked(model, masks))

    return train


# --- Fine-tuning -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True),
        lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=1e-2),
        lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=1e-2),
    ],
    ids=["sgd", "adam", "adamw"],
)
def test_masked_weights_are_zero_after_every_step_of_fine_tuning(make_optimizer):
    model = models.new("lenet")
    masks = half_masks(model)
    before = recovery.snapshot(model)
    seen: list[bool] = []
    recovery.fine_tune(model, training(make_optimizer, 5, seen, masks), masks)
    assert seen == [True] * 5
    for name, mask in masks.items():
        moved = model.get_parameter(name) != before[name]
        assert moved[mask].float().mean() > 0.5


def test_fine_tuning_without_masks_is_just_training():
    one, other = models.new("lenet"), models.new("lenet")
    train = training(lambda p: torch.optim.Adam(p, lr=0.01))
    train(one)
    recovery.fine_tune(other, train)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_after_fine_tuning_no_hook_is_left_and_modes_are_back_even_if_training_fails():
    model = models.new("cnn")
    model.train()
    model.bn2.eval()
    modes = [module.training for module in model.modules()]
    masks = half_masks(model)

    def fails(model):
        training(lambda p: torch.optim.SGD(p, lr=0.1), 1)(model.eval())
        model.conv1.weight.data.fill_(math.nan)
        raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        recovery.fine_tune(model, fails, masks)
    assert [module.training for module in model.modules()] == modes
    assert all_zero_where_masked(model, masks)
    with torch.no_grad():
        model.fc1.weight.fill_(1.0)
    training(lambda p: torch.optim.Adam(p, lr=0.01), 1)(models.new("lenet"))
    assert (model.fc1.weight == 1).all()


@pytest.mark.parametrize(
    "masks, sentence",
    [
        ({"fc9.weight": torch.ones(3)}, "no such parameter"),
        ({"fc1.weight": torch.ones(3)}, r"must be a tensor of \(300, 64\), not \(3,\)"),
        ({"fc1.weight": torch.full((300, 64), math.nan)}, "contains NaN"),
    ],
)
def test_masks_that_do_not_fit_are_refused_before_anything_changes(masks, sentence):
    model = models.new("lenet")
    before = recovery.snapshot(model)
    good = {"fc2.weight": torch.zeros(100, 300)}
    with pytest.raises(ValueError, match=sentence):
        recovery.fine_tune(model, lambda model: pytest.fail("trained"), good | masks)
    with pytest.raises(ValueError, match=sentence):
        recovery.rewind_(model, {k: v + 1 for k, v in before.items()}, good | masks)
    assert all(torch.equal(before[name], values) for name, values in model.state_dict().items())


# --- Rewinding -------------------------------------------------------------------------------


def test_a_snapshot_outlives_training_and_rewinding_restores_it_buffers_included():
    model = models.new("cnn")
    early = recovery.snapshot(model)
    kept = {name: values.clone() for name, values in early.items()}
    parameters = list(model.parameters())
    masks = half_masks(model)
    training(lambda p: torch.optim.Adam(p, lr=0.01))(model)
    assert not torch.equal(model.bn1.running_mean, early["bn1.running_mean"])
    recovery.rewind_(model, early, masks)
    for name, values in model.state_dict().items():
        assert torch.equal(early[name], kept[name])
        assert torch.equal(values, kept[name] * masks.get(name, 1))
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    training(lambda p: torch.optim.Adam(p, lr=0.01))(model)
    assert all(torch.equal(early[name], kept[name]) for name in kept)


def test_a_masked_nan_is_rewound_to_zero():
    model = nn.Linear(2, 2)
    early = recovery.snapshot(model)
    early["weight"][0, 0] = math.nan
    recovery.rewind_(model, early, {"weight": torch.tensor([[0, 1], [1, 1]])})
    assert model.weight[0, 0] == 0 and not model.weight.isnan().any()


def test_a_snapshot_of_another_model_is_refused_before_anything_changes():
    model = models.new("lenet")
    before = recovery.snapshot(model)
    other = {name: values + 1 for name, values in before.items()}
    with pytest.raises(ValueError, match=r"does not fit fc3\.bias"):
        recovery.rewind_(model, other | {"fc3.bias": torch.zeros(3)})
    with pytest.raises(ValueError, match="of another model"):
        recovery.rewind_(model, {name: v for name, v in other.items() if name != "fc3.bias"})
    assert all(torch.equal(before[name], values) for name, values in model.state_dict().items())


# --- Penalties -------------------------------------------------------------------------------


def test_penalties_and_their_gradients_are_what_numpy_says():
    model = models.new("cnn").double()
    with torch.no_grad():
        for norm in (model.bn1, model.bn2, model.bn3):
            norm.weight.copy_(torch.linspace(-1, 2, norm.num_features))
    weights = [w.detach().numpy() for w in prunable_weights(model).values()]
    scales = [m.weight.detach().numpy() for m in (model.bn1, model.bn2, model.bn3)]
    expected = {
        recovery.l1: 0.3 * sum(np.abs(w).sum() for w in weights),
        recovery.l2: 0.3 * sum((w**2).sum() for w in weights),
        recovery.bn_scales: 0.3 * sum(np.abs(s).sum() for s in scales),
    }
    for penalty, value in expected.items():
        assert penalty(model, 0.3).item() == pytest.approx(value, rel=1e-9)
    recovery.l1(model, 0.3).backward()
    assert torch.equal(model.conv2.weight.grad, 0.3 * model.conv2.weight.sign())
    assert model.bn1.weight.grad is None and model.fc1.bias.grad is None
    model.zero_grad()
    recovery.l2(model, 0.3).backward()
    torch.testing.assert_close(model.fc2.weight.grad, 0.6 * model.fc2.weight)
    model.zero_grad()
    recovery.bn_scales(model, 0.3).backward()
    assert torch.equal(model.bn3.weight.grad, 0.3 * model.bn3.weight.sign())
    assert model.conv2.weight.grad is None


def test_shared_weights_are_penalised_once_and_a_model_without_any_not_at_all():
    layer = nn.Linear(3, 3)
    twice = nn.Sequential(layer, nn.ReLU(), layer)
    assert recovery.l1(twice, 1.0) == layer.weight.abs().sum()
    for penalty in (recovery.l1, recovery.l2, recovery.bn_scales):
        assert penalty(nn.Sequential(nn.ReLU()), 1.0).item() == 0.0
    assert recovery.bn_scales(nn.BatchNorm2d(3, affine=False), 1.0).item() == 0.0


@pytest.mark.parametrize("strength", [-1.0, math.nan, math.inf, "1", True])
def test_a_strength_that_is_none_is_refused(strength):
    for penalty in (recovery.l1, recovery.l2, recovery.bn_scales):
        with pytest.raises(ValueError, match="the strength must be a number"):
            penalty(nn.Linear(2, 2), strength)


# --- BatchNorm -------------------------------------------------------------------------------


def test_statistics_are_the_plain_average_of_batch_means_and_unbiased_variances():
    norm = nn.BatchNorm2d(3, momentum=0.3)
    with torch.no_grad():
        norm.running_mean.fill_(7.0)
    batches = torch.randn(4, 5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    recovery.recalibrate_batchnorm(norm, [batches[0], (batches[1], Y), *batches[2:]])
    channels_last = batches.numpy().transpose(0, 2, 1, 3, 4).reshape(4, 3, -1)
    np.testing.assert_allclose(
        norm.running_mean, channels_last.mean(2).mean(0), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        norm.running_var, channels_last.var(2, ddof=1).mean(0), rtol=1e-5, atol=1e-6
    )
    assert norm.momentum == 0.3 and norm.training


def test_dropout_is_off_weights_stay_and_modes_and_momenta_come_back():
    model = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.BatchNorm1d(4))
    model[1].momentum, model[3].momentum = 0.2, None
    model[3].eval()
    modes = [module.training for module in model.modules()]
    weights = {name: values.detach().clone() for name, values in model.named_parameters()}
    rng = torch.get_rng_state()
    batch = torch.arange(12.0).view(3, 4)
    recovery.recalibrate_batchnorm(model, iter([batch]))
    torch.testing.assert_close(model[1].running_mean, batch.mean(0))
    assert torch.equal(torch.get_rng_state(), rng)
    assert [module.training for module in model.modules()] == modes
    assert (model[1].momentum, model[3].momentum) == (0.2, None)
    assert all(torch.equal(values, weights[name]) for name, values in model.named_parameters())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_statistics_no_batch_reaches_stay_and_those_without_any_are_passed_over():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2, track_running_stats=False))
    model.spare = nn.BatchNorm1d(2)
    model.spare.running_mean.fill_(5.0)
    model.forward = lambda x: model[1](model[0](x))
    recovery.recalibrate_batchnorm(model, [torch.tensor([[1.0, 2.0], [3.0, 6.0]])])
    assert model[0].running_mean.tolist() == [2.0, 4.0]
    assert model.spare.running_mean.tolist() == [5.0, 5.0]


@pytest.mark.parametrize(
    "batches, error",
    [
        ([], "at least one batch"),
        ([torch.randn(4, 3), torch.full((4, 3), math.nan)], "not finite"),
        ([torch.randn(4, 3), torch.randn(4, 2)], r"cannot take an input of \(4, 2\)"),
        ([torch.randn(4, 3), torch.randn(1, 3)], r"cannot take an input of \(1, 3\)"),
        ([torch.randn(4, 3), [[1.0]]], "must be a tensor"),
    ],
)
def test_the_old_statistics_are_back_if_the_batches_do_not_fit(batches, error):
    model = nn.Sequential(nn.BatchNorm1d(3, momentum=0.2), nn.ReLU()).eval()
    model[0].running_mean.fill_(2.0)
    model[0].num_batches_tracked.fill_(9)
    with pytest.raises(ValueError, match=error):
        recovery.recalibrate_batchnorm(model, batches)
    assert model[0].running_mean.tolist() == [2.0] * 3
    assert model[0].running_var.tolist() == [1.0] * 3
    assert (model[0].num_batches_tracked.item(), model[0].momentum) == (9, 0.2)
    assert not model[0].training


# --- The optimizer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), amsgrad=True),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.3, fused=True),
        lambda p: torch.optim.SGD(p, lr=torch.tensor(0.1), momentum=0.9, foreach=True),
        lambda p: torch.optim.RMSprop(p, lr=0.1, centered=True),
        lambda p: torch.optim.Adagrad(p, lr=0.1, lr_decay=0.1),
    ],
)
def test_a_rebuilt_optimizer_has_the_current_settings_and_no_memory(make):
    old_model, model = nn.Linear(3, 3), nn.Linear(2, 2)
    old = make(old_model.parameters())
    schedule = torch.optim.lr_scheduler.StepLR(old, 1, gamma=0.5)
    old_model(torch.ones(1, 3)).sum().backward()
    old.step()
    schedule.step()
    new = recovery.rebuild_optimizer(old, model)
    assert type(new) is type(old)
    (group,) = new.param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in model.parameters()]
    assert {k: group[k] for k in old.defaults} == {k: old.param_groups[0][k] for k in old.defaults}
    assert group["lr"] == 0.05 and "initial_lr" not in group
    assert not any("momentum_buffer" in state or "exp_avg" in state for state in new.state.values())
    fresh = make(nn.Linear(2, 2).parameters())
    assert len(new.state) == len(fresh.state)
    before = model.weight.detach().clone()
    model(torch.ones(1, 2)).sum().backward()
    new.step()
    assert not torch.equal(model.weight, before)


def test_several_groups_become_one_unless_their_settings_differ():
    first, second, model = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    parts = [{"params": first.parameters()}, {"params": second.parameters()}]
    old = torch.optim.SGD(parts, lr=0.1)
    assert len(recovery.rebuild_optimizer(old, model).param_groups) == 1
    old.param_groups[1]["lr"] = 0.2
    with pytest.raises(ValueError, match="different settings"):
        recovery.rebuild_optimizer(old, model)
    with pytest.raises(ValueError, match="no parameters"):
        recovery.rebuild_optimizer(old, nn.ReLU())


def test_settings_the_class_does_not_take_as_arguments_are_kept_too():
    old = torch.optim.AdamW(nn.Linear(3, 3).parameters(), lr=0.1)
    old.param_groups[0]["decoupled_weight_decay"] = False
    new = recovery.rebuild_optimizer(old, nn.Linear(2, 2))
    assert new.param_groups[0]["decoupled_weight_decay"] is False
