import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.nn.utils import prune

from course_utils import measure, models


class Tied(nn.Module):
    """Two layers that share one weight, the second inside another module."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.inner = nn.Sequential(nn.ReLU(), nn.Linear(4, 4))
        self.inner[1].weight = self.first.weight

    def forward(self, x):
        return self.inner(self.first(x))


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        raise ArithmeticError("broken on purpose")


def frozen_in_part():
    """In training mode, but for a BatchNorm somebody has put into eval mode."""
    model = models.cnn().train()
    model.bn2.eval()
    return model


def modes(model):
    return [module.training for module in model.modules()]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


# --- what pruning may touch, and zeros


def test_prunable_are_the_weights_of_linear_and_conv_layers():
    weights = measure.prunable_weights(models.resnet8())
    assert list(weights) == [
        "conv.weight",
        "block1.conv1.weight",
        "block1.conv2.weight",
        "block2.conv1.weight",
        "block2.conv2.weight",
        "block2.shortcut.conv.weight",
        "block3.conv1.weight",
        "block3.conv2.weight",
        "block3.shortcut.conv.weight",
        "fc.weight",
    ]


def test_prunable_weights_are_the_parameters_themselves():
    model = models.lenet()
    assert measure.prunable_weights(model)["fc2.weight"] is model.fc2.weight


def test_a_bare_layer_has_a_weight_and_a_shared_one_counts_once():
    assert list(measure.prunable_weights(nn.Linear(2, 2))) == ["weight"]
    assert list(measure.prunable_weights(Tied())) == ["first.weight"]
    assert measure.prunable_weights(nn.BatchNorm2d(3)) == {}


@pytest.mark.parametrize(
    "values, share",
    [
        ([0.0, 1.0, -1.0, 0.0], 0.5),
        ([-0.0, 1.0], 0.5),
        ([float("nan"), 1e-30], 0.0),
        ([], 0.0),
        ([0.0], 1.0),
    ],
)
def test_sparsity_of_a_tensor_is_its_share_of_exact_zeros(values, share):
    assert measure.sparsity(torch.tensor(values)) == share


def test_sparsity_of_a_model_weighs_layers_by_size_and_spares_biases():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
    nn.init.zeros_(model[0].bias)
    nn.init.zeros_(model[1].weight)
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[2].weight)
    assert measure.sparsity(model) == 4 / 16
    assert measure.sparsity(nn.ReLU()) == 0.0


def test_sparsity_sees_what_pytorch_has_pruned():
    layer = nn.Linear(10, 10)
    prune.l1_unstructured(layer, "weight", 0.3)
    assert measure.sparsity(layer) == 0.3


def test_parameters_count_everything_learned_once():
    assert measure.parameters(models.lenet()) == 64 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
    assert measure.parameters(Tied()) == 16 + 4 + 4
    assert measure.parameters(nn.BatchNorm2d(3)) == 6  # running statistics are not learned


# --- multiply-accumulates


@pytest.mark.parametrize(
    "layer, shape, expected",
    [
        (nn.Linear(5, 7), (5,), 35),
        (nn.Conv2d(3, 4, 3, padding=1), (3, 8, 8), 4 * 8 * 8 * 3 * 9),
        (nn.Conv2d(3, 4, 3, stride=2), (3, 9, 9), 4 * 4 * 4 * 3 * 9),
        (nn.Conv2d(4, 8, 3, groups=2, padding=1), (4, 6, 6), 8 * 36 * 2 * 9),
        (nn.Conv2d(6, 6, 3, groups=6, padding=1), (6, 5, 5), 6 * 25 * 9),
        (nn.ReLU(), (5,), 0),
    ],
)
@pytest.mark.parametrize("batch", [1, 3])
def test_macs_are_those_of_one_example(layer, shape, expected, batch):
    assert measure.macs(layer, torch.randn(batch, *shape)) == expected


def test_macs_of_the_models_of_the_course():
    x = torch.randn(2, 1, 8, 8)
    assert measure.macs(models.lenet(), x) == 64 * 300 + 300 * 100 + 100 * 10
    conv = 32 * 9 * 64 + 64 * 32 * 9 * 64 + 128 * 64 * 9 * 16
    assert measure.macs(models.cnn(), x) == conv + 512 * 128 + 128 * 10


def test_macs_see_into_fused_attention():
    layer = nn.TransformerEncoderLayer(16, 4, dim_feedforward=32, batch_first=True).eval()
    time, width = 5, 16
    projections = 4 * time * width * width + 2 * time * width * 32
    attention = 2 * time * time * width
    assert measure.macs(layer, torch.randn(2, time, width)) == projections + attention


def test_macs_see_into_scaled_dot_product_attention():
    class Attention(nn.Module):
        def forward(self, x):
            return scaled_dot_product_attention(x, x, x)

    x = torch.randn(2, 4, 5, 8)
    assert measure.macs(Attention(), x) == 2 * 4 * 5 * 5 * 8


def test_a_zero_weight_costs_as_many_macs_as_any_other():
    model = models.lenet()
    before = measure.macs(model, torch.randn(1, 64))
    nn.init.zeros_(model.fc1.weight)
    assert measure.macs(model, torch.randn(1, 64)) == before


@pytest.mark.parametrize("fused", [True, False])
def test_counting_macs_leaves_everything_as_it_was(fused):
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(fused)
    try:
        model = frozen_in_part()
        state, mode = copy.deepcopy(model.state_dict()), modes(model)
        measure.macs(model, torch.randn(4, 1, 8, 8))
        with pytest.raises(ArithmeticError):
            measure.macs(Failing(), torch.randn(1, 2))
        assert torch.backends.mha.get_fastpath_enabled() == fused
        assert modes(model) == mode
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


# --- bytes


def test_bytes_are_those_of_the_file_that_torch_writes(tmp_path):
    model = models.cnn()
    torch.save(model.state_dict(), tmp_path / "archive")
    assert measure.bytes_on_disk(model) == (tmp_path / "archive").stat().st_size


def test_zeros_take_as_many_bytes_and_masks_take_more():
    model = models.lenet()
    dense = measure.bytes_on_disk(model)
    nn.init.zeros_(model.fc1.weight)
    assert measure.bytes_on_disk(model) == dense
    prune.l1_unstructured(model.fc2, "weight", 0.9)
    assert measure.bytes_on_disk(model) > dense + 4 * model.fc2.weight.numel()


# --- milliseconds


class Clock:
    """A clock that passes only while a model computes: `ticks` seconds for each call in turn."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(measure.time, "perf_counter", lambda: self.now)

    def model(self, *ticks):
        return Taking(self, ticks)


class Taking(nn.Module):
    def __init__(self, clock, ticks):
        super().__init__()
        self.clock, self.ticks, self.seen = clock, list(ticks), []

    def forward(self, x):
        self.seen.append((self.training, torch.is_grad_enabled(), torch.get_num_threads()))
        self.clock.now += self.ticks.pop(0)
        return x


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_latency_is_the_median_in_milliseconds_without_the_warm_up(clock):
    model = clock.model(9, 9, 1, 2, 3, 4, 50)
    median, spread = measure.latency(model, torch.zeros(1), warmup=2, repeats=5)
    assert median == pytest.approx(3000)
    assert spread == pytest.approx(2000)  # from 2 to 4 s
    assert model.ticks == []


def test_latency_of_an_even_number_of_passes_takes_the_middle_two(clock):
    median, spread = measure.latency(clock.model(4, 1, 3, 2), torch.zeros(1), 0, 4)
    assert (median, spread) == (pytest.approx(2500), pytest.approx(1500))


def test_latency_is_measured_in_eval_mode_on_one_thread_without_gradients(clock, two_threads):
    model = clock.model(1, 1, 1).train()
    measure.latency(model, torch.zeros(1), warmup=1, repeats=2)
    assert model.seen == [(False, False, 1)] * 3
    assert model.training and torch.get_num_threads() == 2 and torch.is_grad_enabled()


def test_after_a_failing_pass_modes_and_threads_are_restored(two_threads):
    model = Failing().train()
    with pytest.raises(ArithmeticError):
        measure.latency(model, torch.zeros(1, 2))
    assert model.training and torch.get_num_threads() == 2


def test_speedup_is_the_median_of_the_ratios_of_each_turn(clock):
    # The machine is four times slower in the second turn: each ratio stays.
    before, after = clock.model(9, 6, 24, 6), clock.model(9, 2, 8, 3)
    ratio, spread = measure.speedup(before, after, torch.zeros(1), warmup=1, repeats=3)
    assert ratio == pytest.approx(3) and spread == pytest.approx(0.5)


def test_models_take_turns_and_change_their_order(clock):
    order = []
    first, second = clock.model(*[1] * 4), clock.model(*[2] * 4)
    first.register_forward_hook(lambda *_: order.append("first"))
    second.register_forward_hook(lambda *_: order.append("second"))
    times = measure.interleaved_times([first, second], torch.zeros(1), warmup=1, repeats=3)
    assert order == ["first", "second", "second", "first"] * 2
    assert times == [[1000] * 3, [2000] * 3]


def test_a_far_bigger_network_is_slower_on_a_real_clock():
    small, big = nn.Linear(512, 1), nn.Sequential(*[nn.Linear(512, 512) for _ in range(8)])
    ratio, _ = measure.speedup(big, small, torch.randn(64, 512), warmup=2, repeats=9)
    assert ratio > 2


# --- all together, and bad input


def test_the_summary_holds_every_cost():
    model, x = models.lenet(), torch.randn(1, 1, 8, 8)
    row = measure.summary(model, x)
    assert row.pop("latency_ms") > 0 and row.pop("latency_iqr_ms") >= 0
    assert row == {
        "parameters": 50_610,
        "sparsity": 0.0,
        "macs": 50_200,
        "bytes": measure.bytes_on_disk(model),
    }


def test_evaluating_gives_each_module_its_own_mode_back():
    model = frozen_in_part()
    before = modes(model)
    with pytest.raises(ArithmeticError), measure.evaluating(model):
        assert not any(modes(model)) and not torch.is_grad_enabled()
        raise ArithmeticError
    assert modes(model) == before and torch.is_grad_enabled()


@pytest.mark.parametrize(
    "function",
    [
        measure.sparsity,
        measure.parameters,
        measure.bytes_on_disk,
        measure.prunable_weights,
        lambda model: measure.macs(model, torch.zeros(1, 2)),
        lambda model: measure.latency(model, torch.zeros(1, 2)),
    ],
)
def test_what_is_not_a_model_is_refused(function):
    with pytest.raises(ValueError, match=r"a model \(torch.nn.Module\) is needed here, not str"):
        function("lenet")


@pytest.mark.parametrize("function", [measure.macs, measure.latency, measure.summary])
def test_an_example_that_is_no_batch_is_refused(function):
    with pytest.raises(ValueError, match="at least one example in it, but its shape is"):
        function(nn.Linear(2, 2), torch.zeros(0, 2))
    with pytest.raises(ValueError, match="at least one example in it, but its shape is"):
        function(nn.Linear(2, 2), torch.tensor(1.0))
    with pytest.raises(ValueError, match="the example must be a tensor, not list"):
        function(nn.Linear(2, 2), [[1.0, 2.0]])


@pytest.mark.parametrize(
    "count, sentence",
    [
        ({"warmup": -1}, "warmup must be a whole number, 0 or more, not -1"),
        ({"repeats": 0}, "repeats must be a whole number, 1 or more, not 0"),
        ({"repeats": 2.5}, "repeats must be a whole number, 1 or more, not 2.5"),
        ({"repeats": True}, "repeats must be a whole number, 1 or more, not True"),
    ],
)
def test_a_number_of_passes_that_is_none_is_refused(count, sentence):
    with pytest.raises(ValueError, match=sentence):
        measure.latency(nn.Linear(2, 2), torch.zeros(1, 2), **count)


@pytest.mark.parametrize("function", [measure.macs, measure.latency, measure.summary])
def test_an_example_that_does_not_fit_is_refused(function):
    with pytest.raises(ValueError, match=r"cannot take an input of \(1, 3\)"):
        function(nn.Linear(2, 2), torch.zeros(1, 3))


@pytest.mark.parametrize("function", [measure.macs, measure.latency])
def test_buffers_and_random_numbers_are_as_before(function):
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x + torch.rand(())

    model, before = Counts(), torch.get_rng_state()
    function(model, torch.zeros(1, 2))
    assert model.calls == 0 and torch.equal(torch.get_rng_state(), before)


def test_a_network_whose_sizes_are_not_known_yet_is_measured():
    model = nn.Sequential(nn.LazyConv2d(2, 3), nn.LazyBatchNorm2d())
    assert measure.macs(model, torch.zeros(1, 1, 4, 4)) == 72
