"""Scores against finite differences, sums worked out by hand, and slow, obvious implementations."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune

from course_utils import models
from course_utils.measure import prunable_weights
from course_utils.pruning import importance

SCORERS = {
    "magnitude": lambda model, batches: importance.magnitude(model),
    "gradient": importance.gradient,
    "taylor": importance.taylor,
    "activation": importance.activation,
    "apoz": importance.apoz,
    "random": lambda model, batches: importance.random(model, 3),
    "snip": lambda model, batches: importance.snip(model, batches[0]),
    "synflow": lambda model, batches: importance.synflow(model, batches[0][0]),
    "wanda": importance.wanda,
}
WITH_DATA = ["gradient", "taylor", "activation", "apoz", "snip", "wanda"]


def batches(*sizes: int, shape=(1, 8, 8)) -> list[tuple]:
    dice = torch.Generator().manual_seed(7)
    return [(torch.randn(size, *shape, generator=dice), torch.arange(size) % 10) for size in sizes]


def close(a, b, rtol=1e-5):
    torch.testing.assert_close(a, b, rtol=rtol, atol=1e-9, check_dtype=False)


def worn(model: nn.Module) -> nn.Module:
    """Statistics and biases other than the first ones, as after training."""
    model.train()
    for x, _ in batches(16, 16):
        model(x * 2 + 1)
    return model


# --- Every scorer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [models.lenet, models.cnn, models.resnet8])
@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_scores_have_the_names_and_shapes_of_the_prunable_weights(scorer, make):
    model = make()
    scores = scorer(model, batches(8, 8))
    weights = prunable_weights(model)
    assert scores.keys() == weights.keys()
    for name, score in scores.items():
        assert score.shape == weights[name].shape
        assert score.isfinite().all() and (score >= 0).all()
        assert not score.requires_grad
        assert score.is_contiguous()


class Messy(nn.Module):
    """Everything a scorer might disturb: random state, BatchNorm, buffers changed and replaced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(144, 10)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("replaced", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        self.replaced = self.replaced + 1
        x = F.relu(self.norm(self.conv(x)), inplace=True).flatten(1)
        return self.out(F.dropout(self.drop(x), 0.1, training=True))


def everything(model: nn.Module) -> tuple:
    return (
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        [(module.training, len(module._forward_hooks)) for module in model.modules()],
        [p.requires_grad for p in model.parameters()],
        [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        [id(tensor) for tensor in (*model.parameters(), *model.buffers())],
        torch.get_rng_state(),
        torch.is_grad_enabled(),
        torch.backends.mha.get_fastpath_enabled(),
    )


@pytest.mark.parametrize("fails", [False, True], ids=["well", "failing"])
@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_the_model_comes_back_as_it_was(scorer, fails):
    model = Messy().train()
    model.norm.eval()  # frozen on purpose
    model.conv.weight.requires_grad_(False)
    model.out.weight.grad = torch.ones_like(model.out.weight)
    model.conv.register_forward_hook(lambda *_: None)
    data = batches(8, 8)
    if fails:
        data[0] = (torch.randn(8, 3, 8, 8), data[0][1])
    before = everything(model)
    try:
        scorer(model, data)
        failed = False
    except ValueError:
        failed = True
    assert failed == (fails and scorer not in (SCORERS["magnitude"], SCORERS["random"]))
    torch.testing.assert_close(everything(model), before, rtol=0, atol=0)


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_scores_are_taken_in_eval_mode_wherever_the_caller_is(scorer):
    model = nn.Sequential(nn.Dropout(0.5), worn(models.cnn()))
    data = batches(8, 8)
    evaluated = scorer(model.eval(), data)
    with torch.no_grad():
        trained = scorer(model.train(), data)
    for name in evaluated:
        assert torch.equal(evaluated[name], trained[name])


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_a_bare_layer_is_called_weight_and_a_model_without_any_scores_nothing(scorer):
    data = batches(8, shape=(6,))
    assert list(scorer(nn.Linear(6, 10), data)) == ["weight"]
    assert scorer(nn.BatchNorm1d(10), batches(8, shape=(10,))) == {}


@pytest.mark.parametrize("name", [*WITH_DATA, "synflow"])
def test_in_half_precision_nothing_vanishes_or_overflows(name):
    model, data = models.cnn().bfloat16(), [(1000 * x.bfloat16(), y) for x, y in batches(8, 8)]
    if name == "wanda":  # 1000 squared is more than float16 can hold
        model, data = model.half(), [(x.half(), y) for x, y in data]
    elif name in ("gradient", "taylor", "snip"):  # and 0.0001 squared is less
        model, data = model.half(), [(x.half() / 1000, y) for x, y in data]
    scores = SCORERS[name](model, data)
    expected = SCORERS[name](model.float(), [(x.float(), y) for x, y in data])
    for key, score in scores.items():
        assert score.dtype == expected[key].dtype and score.isfinite().all()
        assert (score - expected[key]).norm() <= 0.1 * expected[key].norm()
        assert ((score == 0) & (expected[key] != 0)).float().mean() < 0.02


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_a_caller_in_inference_mode_gets_the_same_scores(scorer):
    model, data = models.cnn(), batches(8, 8)
    expected = scorer(model, data)
    with torch.inference_mode():
        scores = scorer(model, data)
    assert all(torch.equal(scores[name], expected[name]) for name in expected)


@pytest.mark.parametrize("name", ["gradient", "taylor", "activation", "apoz"])
def test_each_batch_weighs_equally_whatever_its_size(name):
    scorer, model, data = SCORERS[name], models.cnn().eval(), batches(4, 12)
    together = scorer(model, data)
    first, second = (scorer(model, [batch]) for batch in data)
    for key, score in together.items():
        close(score, (first[key] + second[key]) / 2)


@pytest.mark.parametrize("name", ["activation", "apoz", "wanda"])
def test_labels_are_not_needed_where_they_are_not_used(name):
    model, data = models.cnn(), batches(8)
    with_labels, without = SCORERS[name](model, data), SCORERS[name](model, [data[0][0]])
    assert all(torch.equal(with_labels[key], without[key]) for key in with_labels)


@pytest.mark.parametrize("name", [n for n in WITH_DATA if n != "snip"])
def test_batches_may_come_from_a_generator(name):
    model, data = models.lenet(), batches(4, 4)
    once, again = SCORERS[name](model, iter(data)), SCORERS[name](model, data)
    assert all(torch.equal(once[key], again[key]) for key in once)


# --- Magnitude and random -------------------------------------------------------------------------


def test_magnitude_is_the_absolute_value_in_memory_of_its_own():
    model = models.lenet()
    scores = importance.magnitude(model)
    for name, score in scores.items():
        np.testing.assert_array_equal(score, np.abs(model.get_parameter(name).detach().numpy()))
        score.zero_()
        assert model.get_parameter(name).any()


def test_random_scores_are_uniform_and_the_seed_decides():
    model = models.lenet()
    flat = [
        torch.cat([s.flatten() for s in importance.random(model, seed).values()])
        for seed in (0, 0, 1)
    ]
    assert torch.equal(flat[0], flat[1]) and not torch.equal(flat[0], flat[2])
    counts = np.histogram(flat[0], bins=10, range=(0, 1))[0]
    assert np.abs(counts / len(flat[0]) - 0.1).max() < 0.01


# --- Gradients ------------------------------------------------------------------------------------


def by_finite_differences(model: nn.Module, name: str, place: tuple, x, y) -> float:
    weight = model.get_parameter(name)
    losses = []
    with torch.no_grad():
        before = weight[place].item()
        for step in (1e-5, -1e-5):
            weight[place] = before + step
            losses.append(F.cross_entropy(model(x), y).item())
        weight[place] = before
    return (losses[0] - losses[1]) / 2e-5


def test_gradient_scores_agree_with_finite_differences():
    model = worn(models.resnet8()).double().eval()
    data = [(x.double(), y) for x, y in batches(6, 3)]
    gradient, taylor = importance.gradient(model, data), importance.taylor(model, data)
    snip = importance.snip(model, data[0])
    dice = np.random.default_rng(0)
    ratios = []
    for name, weight in prunable_weights(model).items():
        for _ in range(3):
            place = tuple(int(dice.integers(0, size)) for size in weight.shape)
            slopes = [by_finite_differences(model, name, place, x, y) for x, y in data]
            value = weight[place].item()
            expected = np.mean(np.abs(slopes))
            assert gradient[name][place].item() == pytest.approx(expected, rel=1e-4, abs=1e-8)
            expected = np.mean(np.square(np.multiply(value, slopes)))
            assert taylor[name][place].item() == pytest.approx(expected, rel=1e-3, abs=1e-14)
            if abs(value * slopes[0]) > 1e-6:
                ratios.append(snip[name][place].item() / abs(value * slopes[0]))
    assert len(ratios) > 10 and np.allclose(ratios, ratios[0], rtol=1e-3)


def test_taylor_is_the_squared_change_of_a_linear_loss():
    """With one input and two classes far apart the loss is linear: w * g is then exact."""
    layer = nn.Linear(1, 2, bias=False).double()
    layer.weight.data.copy_(torch.tensor([[0.001], [100.0]]))
    x, y = torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.long)
    loss = F.cross_entropy(layer(x), y)
    layer.weight.data[0] = 0.0
    change = F.cross_entropy(layer(x), y) - loss
    layer.weight.data[0] = 0.001
    close(importance.taylor(layer, [(x, y)])["weight"][0, 0], change.detach().square())


def test_gradient_takes_absolute_values_before_the_mean():
    """Two batches that pull in opposite directions do not cancel."""
    layer = nn.Linear(2, 2, bias=False)
    nn.init.zeros_(layer.weight)
    x = torch.tensor([[1.0, 3.0]])
    data = [(x, torch.tensor([0])), (x, torch.tensor([1]))]
    close(importance.gradient(layer, data)["weight"], torch.tensor([[0.5, 1.5], [0.5, 1.5]]))


def test_a_shared_weight_gets_the_gradients_of_both_its_places():
    model = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Tanh(), nn.Linear(5, 5, bias=False))
    model[2].weight = model[0].weight
    x, y = torch.randn(4, 5), torch.arange(4)
    F.cross_entropy(model(x), y).backward()
    expected = model[0].weight.grad.abs()
    scores = importance.gradient(model, [(x, y)])
    assert list(scores) == ["0.weight"]
    close(scores["0.weight"], expected)


def test_a_layer_that_the_loss_does_not_see_scores_zero():
    model = models.lenet()
    model.fc1.unused = nn.Linear(3, 3)
    assert not importance.taylor(model, batches(4))["fc1.unused.weight"].any()


def test_snip_scores_sum_to_one_or_are_all_zero():
    model = models.cnn()
    total = sum(score.double().sum() for score in importance.snip(model, batches(8)[0]).values())
    assert float(total) == pytest.approx(1)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    scores = importance.snip(model, batches(8)[0])
    assert not any(score.any() for score in scores.values())


# --- Activations ----------------------------------------------------------------------------------


def relus_of(model: nn.Module, x) -> dict:
    found = {}
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: found.update({name: o.clone()}))
        for name, module in model.named_modules()
        if isinstance(module, nn.ReLU | nn.Linear)
    ]
    with torch.no_grad():
        model(x)
    for handle in handles:
        handle.remove()
    return found


PAIRS = {"conv1": "relu1", "conv2": "relu2", "conv3": "relu3", "fc1": "relu4", "fc2": "fc2"}


def test_channels_are_judged_behind_batchnorm_and_relu():
    model = worn(models.cnn()).eval()
    ((x, _),) = batches(16)
    seen = relus_of(model, x)
    activation, apoz = importance.activation(model, [x]), importance.apoz(model, [x])
    for layer, where in PAIRS.items():
        values = seen[where].numpy()
        values = np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)
        for scores, expected in (
            (activation, np.abs(values).mean(1)),
            (apoz, (values != 0).mean(1)),
        ):
            score = scores[f"{layer}.weight"]
            for channel, value in enumerate(expected):
                assert score[channel].unique().item() == pytest.approx(value, rel=1e-4)


def test_functional_and_in_place_relus_are_seen_like_modules():
    class Functional(nn.Module):
        def __init__(self, relu):
            super().__init__()
            self.a, self.b, self.relus = nn.Linear(8, 6), nn.Linear(6, 3), [relu]

        def forward(self, x):
            return self.b(self.relus[0](self.a(x)))

    x = torch.randn(20, 8)
    variants = [
        F.relu,
        torch.relu,
        nn.ReLU(),
        nn.ReLU(inplace=True),
        torch.relu_,
        torch.Tensor.relu,
    ]
    model = Functional(variants[0])
    expected = (model.a(x) > 0).float().mean(0)
    for relu in variants:
        model.relus = [relu]
        scores = importance.apoz(model, [x])
        close(scores["a.weight"][:, 0], expected)
        assert (scores["b.weight"] == 1).all()


@pytest.mark.parametrize(
    "act",
    [
        F.gelu,
        F.silu,
        F.mish,
        F.hardswish,
        F.relu6,
        nn.PReLU(),
        nn.SELU(inplace=True),
        F.celu_,
        nn.ELU(inplace=True),
        F.leaky_relu_,
    ],
    ids=lambda act: getattr(act, "__name__", str(act)),
)
def test_channels_are_judged_behind_the_kin_of_relu_too(act):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 6)

        def forward(self, x):
            return act(self.fc(x))

    model, x = Model(), torch.randn(20, 8)
    expected = model(x).abs().mean(0).detach()
    close(importance.activation(model, [x])["fc.weight"][:, 0], expected)


def test_layers_that_a_residual_addition_joins_are_judged_behind_it():
    model = worn(models.resnet8()).eval()
    ((x, _),) = batches(8)
    scores = importance.apoz(model, [x])
    ends = [name for name in scores if name.startswith("block2") and len(scores[name]) == 32]
    assert len(ends) == 3  # two convolutions of the block and the one on the shortcut
    assert torch.equal(scores[ends[1]][:, 0, 0, 0], scores[ends[2]][:, 0, 0, 0])
    assert (scores[ends[1]] < 1).any()


def test_activation_without_a_nonlinearity_behind_is_that_of_the_output():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data.copy_(torch.tensor([[1.0, -1.0], [0.0, 2.0]]))
    scores = importance.activation(layer, [torch.tensor([[1.0, 3.0], [2.0, 0.0]])])
    assert scores["weight"].tolist() == [[2.0, 2.0], [3.0, 3.0]]


def test_a_layer_called_twice_is_judged_by_both_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(1, 1, bias=False)

        def forward(self, x):
            return F.relu(self.fc(x)) + F.relu(self.fc(-x))

    assert importance.apoz(Twice(), [torch.tensor([[1.0], [2.0]])])["fc.weight"].item() == 0.5
    model = Twice()
    score = importance.wanda(model, [torch.tensor([[3.0], [4.0]])])["fc.weight"]
    close(score, model.fc.weight.detach().abs() * math.sqrt(2 * 25))


# --- Wanda ----------------------------------------------------------------------------------------


def test_wanda_of_a_linear_layer_is_the_norm_over_all_other_dimensions():
    layer = nn.Linear(5, 3)
    first, second = torch.randn(4, 7, 5), torch.randn(2, 7, 5)
    inputs = torch.cat([first, second]).reshape(-1, 5).double().numpy()
    expected = np.abs(layer.weight.detach().numpy()) * np.sqrt((inputs**2).sum(0))
    np.testing.assert_allclose(
        importance.wanda(layer, [first, second])["weight"], expected, rtol=1e-5
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"padding": 1},
        {"padding": 2, "padding_mode": "reflect"},
        {"stride": 2, "padding": 1},
        {"dilation": 2},
        {"groups": 2, "padding": 1},
        {"groups": 4, "stride": (1, 2)},
    ],
    ids=str,
)
def test_wanda_of_a_convolution_counts_exactly_the_inputs_each_weight_met(settings):
    conv = nn.Conv2d(4, 8, (3, 2) if "padding_mode" not in settings else 3, **settings)
    x = torch.randn(2, 4, 7, 6)
    got = importance.wanda(conv, [x])["weight"]
    padding = [p for p in reversed(conv.padding) for _ in range(2)]
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    padded = F.pad(x, padding, mode=mode).double()
    (_, _, rows, columns), each = conv(x).shape, 4 // conv.groups
    for o, i, h, w in np.ndindex(*conv.weight.shape):
        channel = o // (8 // conv.groups) * each + i
        top, left = h * conv.dilation[0], w * conv.dilation[1]
        met = padded[
            :,
            channel,
            top : top + rows * conv.stride[0] : conv.stride[0],
            left : left + columns * conv.stride[1] : conv.stride[1],
        ][:, :rows, :columns]
        expected = abs(conv.weight[o, i, h, w].item()) * met.square().sum().sqrt().item()
        assert got[o, i, h, w].item() == pytest.approx(expected, rel=1e-5)


def test_wanda_pools_both_places_of_a_shared_weight():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    x = torch.randn(5, 3)
    squares = x.square().sum(0) + model[0](x).square().sum(0)
    score = importance.wanda(model, [x])["0.weight"]
    close(score, (model[0].weight.abs() * squares.sqrt()).detach())


# --- SynFlow --------------------------------------------------------------------------------------


def as_its_authors_do(model: nn.Module, example) -> dict:
    """In place: every sign away, ones forward, the sum backward."""
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.abs_()
    model(torch.ones(1, *example.shape[1:]).double()).sum().backward()
    return {name: (w * w.grad).abs().detach() for name, w in prunable_weights(model).items()}


@pytest.mark.parametrize("make", [models.lenet, models.cnn, models.resnet8])
def test_synflow_is_that_of_its_authors_on_untrained_networks(make):
    model, example = make(), torch.randn(4, 1, 8, 8)
    expected = as_its_authors_do(model, example)
    scores = importance.synflow(model, example)
    assert scores.keys() == expected.keys()
    for name in scores:
        close(scores[name], expected[name], rtol=1e-9)


def test_synflow_counts_all_paths_through_a_weight():
    model = nn.Sequential(
        nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 1, bias=False)
    )
    model[0].weight.data.copy_(torch.tensor([[1.0, -2.0], [3.0, 4.0]]))
    model[3].weight.data.copy_(torch.tensor([[-5.0, 6.0]]))
    model[1].weight.data.copy_(torch.tensor([1.0, -2.0]))
    model[1].running_mean.fill_(1000.0)  # subtracted, it would silence the whole layer
    model[1].running_var.copy_(torch.tensor([4.0, 1.0]) - model[1].eps)
    scores = importance.synflow(model, torch.randn(3, 2))
    close(scores["0.weight"], torch.tensor([[2.5, 5.0], [36.0, 48.0]]).double())
    close(scores["3.weight"], torch.tensor([[7.5, 84.0]]).double())


def test_synflow_gives_each_layer_of_a_chain_the_same_total():
    layers = [nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(36, 20, bias=False), nn.Linear(20, 5, bias=False))
    totals = [score.sum().item() for score in importance.synflow(model, batches(1)[0][0]).values()]
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-9)


def test_synflow_knows_a_tied_weight_by_whatever_name():
    class Tied(nn.Module):
        def __init__(self, tied):
            super().__init__()
            self.first = nn.Parameter(torch.randn(4, 4))  # named before the layer that uses it
            self.fc = nn.Linear(4, 4, bias=False)
            self.fc.weight = self.first if tied else nn.Parameter(self.first.detach().clone())

        def forward(self, x):
            return self.fc(x @ self.first)

    tied, apart = Tied(True), Tied(False)
    apart.load_state_dict(tied.state_dict())
    x = torch.randn(2, 4)
    (score,) = importance.synflow(tied, x).values()
    (only_as_fc,) = importance.synflow(apart, x).values()
    ones, both = torch.ones(1, 4).double(), tied.first.detach().abs().double().requires_grad_()
    (ones @ both @ both.T).sum().backward()
    close(score, (both * both.grad).detach())
    assert (score > only_as_fc).any()


def test_synflow_of_a_deep_network_does_not_overflow():
    model = nn.Sequential(*[nn.Linear(300, 300) for _ in range(40)])
    for layer in model:
        nn.init.normal_(layer.weight)
    scores = importance.synflow(model, torch.randn(1, 300))
    assert max(score.max().item() for score in scores.values()) > torch.finfo(torch.float32).max
    assert all(score.isfinite().all() for score in scores.values())


# --- What is refused ------------------------------------------------------------------------------


def refused(call, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize("name", [n for n in WITH_DATA if n != "snip"])
def test_no_batches_are_refused(name):
    refused(lambda: SCORERS[name](models.lenet(), []), "at least one batch|no batch")


@pytest.mark.parametrize("name", [*WITH_DATA, "synflow"])
def test_an_example_that_does_not_fit_is_refused(name):
    model, labels = models.cnn(), torch.arange(4)
    for x, sentence in (
        (torch.randn(4, 3, 8, 8), r"cannot take an input of \([41], 3, 8, 8\)"),
        (torch.randn(0, 1, 8, 8), "at least one example"),
        ([[1.0]], "the example must be a tensor, not list"),
    ):
        refused(lambda x=x: SCORERS[name](model, [(x, labels)]), sentence)


@pytest.mark.parametrize("name", ["gradient", "taylor", "snip"])
def test_labels_that_are_missing_or_do_not_fit_are_refused(name):
    model, (x, _) = models.lenet(), batches(4)[0]
    refused(lambda: SCORERS[name](model, [x]), "pair")
    refused(lambda: SCORERS[name](model, [(x, torch.full((4,), 10))]), "labels do not fit")
    refused(lambda: SCORERS[name](model, [(x, torch.arange(3))]), "labels do not fit")


@pytest.mark.parametrize("name", ["activation", "apoz", "wanda"])
def test_layers_that_are_never_called_are_named(name):
    model = models.lenet()
    model.fc1.unused = nn.Linear(3, 3)
    refused(lambda: SCORERS[name](model, batches(4)), r"fc1\.unused\.weight")


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_weights_computed_from_others_are_refused(scorer):
    reparametrized, parametrized = nn.Linear(4, 10), nn.Linear(4, 10)
    prune.l1_unstructured(reparametrized, "weight", 0.5)
    parametrize.register_parametrization(parametrized, "weight", nn.Tanh())
    for model in (reparametrized, parametrized):
        refused(lambda m=model: scorer(m, batches(4, shape=(4,))), "not a parameter of the model")


@pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
def test_what_is_no_model_is_refused(scorer):
    refused(lambda: scorer("lenet", batches(4)), "a model .* is needed")


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_a_seed_is_a_whole_number(seed):
    refused(lambda: importance.random(models.lenet(), seed), "seed must be a whole number")


def test_a_model_with_several_outputs_is_refused():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 10)

        def forward(self, x):
            return self.fc(x), x

    refused(lambda: importance.taylor(Pair(), batches(4, shape=(4,))), "one tensor, not tuple")
