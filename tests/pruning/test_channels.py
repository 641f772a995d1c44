"""Removing channels, held against networks whose channels were silenced by hand.

The silenced network is built here without the package and without Torch-Pruning: for each
architecture it is written down which filters, BatchNorms and columns the channels consist of.
"""

import math
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import prune

from course_utils import models
from course_utils.pruning import channels

DROP = [0, 3, 4, 7, 10]
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def randomised(make: Callable[[], nn.Module]) -> nn.Module:
    """A model in eval mode whose BatchNorms do something: no zero means, no unit scales.

    Their statistics start from what flows through, or deep networks would not hear the images.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = make()
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.5)
        if norms:
            model(IMAGES)
        for norm in norms:
            norm.momentum = 0.1
            norm.running_mean += 0.3 * norm.running_var.sqrt() * torch.randn(norm.num_features)
            norm.running_var *= torch.empty(norm.num_features).uniform_(0.5, 1.5)
    return model.eval()


def silence(model: nn.Module, names: list[str], dropped: list[int], offset: int = 0) -> None:
    """Zero these rows of weight and bias: a filter's output, or a BatchNorm's."""
    for name in names:
        module = model.get_submodule(name)
        for parameter in (module.weight, module.bias):
            if parameter is not None:
                parameter.data[[offset + index for index in dropped]] = 0


def outputs(model: nn.Module, example: Tensor) -> Tensor:
    with torch.no_grad():
        return deepcopy(model).double().eval()(example.double())


def assert_same_output(smaller: nn.Module, silenced: nn.Module, example: Tensor = IMAGES) -> None:
    torch.testing.assert_close(
        outputs(smaller, example), outputs(silenced, example), rtol=1e-8, atol=1e-9
    )


def assert_matters(model: nn.Module, silenced: nn.Module, example: Tensor = IMAGES) -> None:
    whole, without = outputs(model, example), outputs(silenced, example)
    assert (whole - without).abs().max() > 1e-6 * whole.abs().max()


# --- The architectures people use ------------------------------------------------------------


def test_resnet18_inner_channels_and_a_whole_residual_stage_leave():
    model = randomised(torchvision.models.resnet18)
    smaller = channels.remove(
        model, IMAGES[:1], {"layer1.0.conv1": DROP, "layer2.1.conv2": [1, 5], "conv1": [2]}
    )
    silenced = deepcopy(model)
    silence(silenced, ["layer1.0.conv1", "layer1.0.bn1"], DROP)
    stage = ["0.conv2", "0.bn2", "0.downsample.0", "0.downsample.1", "1.conv2", "1.bn2"]
    silence(silenced, [f"layer2.{name}" for name in stage], [1, 5])
    silence(silenced, ["conv1", "bn1"], [2])
    silence(silenced, [f"layer1.{b}.{name}2" for b in (0, 1) for name in ("conv", "bn")], [2])
    assert_matters(model, silenced)
    assert_same_output(smaller, silenced)
    assert smaller.layer3[0].downsample[0].in_channels == 126


def test_resnet50_bottlenecks_and_the_last_stage_leave():
    model = randomised(torchvision.models.resnet50)
    smaller = channels.remove(
        model, IMAGES[:1], {"layer2.1.conv2": DROP, "layer4.0.downsample.0": [2000, 7]}
    )
    silenced = deepcopy(model)
    silence(silenced, ["layer2.1.conv2", "layer2.1.bn2"], DROP)
    stage = [f"layer4.{block}.{name}3" for block in range(3) for name in ("conv", "bn")]
    stage += ["layer4.0.downsample.0", "layer4.0.downsample.1"]
    silence(silenced, stage, [7, 2000])
    assert_matters(model, silenced)
    assert_same_output(smaller, silenced)
    assert smaller.fc.in_features == 2046


def test_mobilenet_depthwise_channels_follow_their_expansion_and_residual_ones_their_sum():
    model = randomised(torchvision.models.mobilenet_v2)
    smaller = channels.remove(
        model, IMAGES[:1], {"features.3.conv.0.0": DROP, "features.3.conv.2": [1, 9]}
    )
    silenced = deepcopy(model)
    inner = ["0.0", "0.1", "1.0", "1.1"]
    silence(silenced, [f"features.3.conv.{name}" for name in inner], DROP)
    summed = ["features.2.conv.2", "features.2.conv.3", "features.3.conv.2", "features.3.conv.3"]
    silence(silenced, summed, [1, 9])
    assert_matters(model, silenced)
    assert_same_output(smaller, silenced)
    depthwise = smaller.features[3].conv[1][0]
    assert depthwise.groups == depthwise.in_channels == depthwise.out_channels == 139


def test_vgg16_channels_leave_through_the_flatten_into_the_classifier():
    def make():
        model = torchvision.models.vgg16_bn()  # its 120 million classifier weights are only slow
        model.classifier = nn.Sequential(nn.Linear(512 * 49, 32), nn.ReLU(), nn.Linear(32, 10))
        return model

    model = randomised(make)
    smaller = channels.remove(model, IMAGES[:1], {"features.0": DROP, "features.40": [0, 511]})
    silenced = deepcopy(model)
    silence(silenced, ["features.0", "features.1"], DROP)
    silence(silenced, ["features.40", "features.41"], [0, 511])
    assert_matters(model, silenced)
    assert_same_output(smaller, silenced)
    assert smaller.classifier[0].in_features == 510 * 49


def test_densenet121_channels_leave_every_concatenation_they_are_part_of():
    model = randomised(torchvision.models.densenet121)
    first, second = "features.denseblock1.denselayer1.", "features.denseblock1.denselayer2."
    drop = {
        f"{first}conv2": DROP,
        f"{second}conv2": [31],
        f"{second}conv1": [5],
        "features.conv0": [1],
    }
    smaller = channels.remove(model, IMAGES[:1], drop)
    silenced = deepcopy(model)
    block = [f"features.denseblock1.denselayer{number}.norm1" for number in range(1, 7)]
    block.append("features.transition1.norm")
    silence(silenced, ["features.conv0", "features.norm0", *block], [1])
    silence(silenced, [f"{first}conv2"], DROP)
    silence(silenced, block[1:], DROP, offset=64)  # the stem's 64 channels come first
    silence(silenced, [f"{second}conv2"], [31])
    silence(silenced, block[2:], [31], offset=64 + 32)
    silence(silenced, [f"{second}conv1", f"{second}norm2"], [5])
    assert_matters(model, silenced)
    assert_same_output(smaller, silenced)


@pytest.mark.parametrize("layers, width", [(2, 32), (12, 768)], ids=["small", "vit_b_16"])
def test_vision_transformer_hidden_units_leave(layers, width):
    def lively():
        model = torchvision.models.VisionTransformer(
            image_size=32,
            patch_size=16,
            num_layers=layers,
            num_heads=2 if width < 768 else 12,
            hidden_dim=width,
            mlp_dim=4 * width,
        )
        nn.init.normal_(model.heads.head.weight, std=0.1)  # torchvision starts it at zero
        return model

    model = randomised(lively)
    name = "encoder.layers.encoder_layer_1.mlp.0"
    smaller = channels.remove(model, IMAGES[:1], {name: DROP})
    silenced = deepcopy(model)
    silence(silenced, [name], DROP)
    assert_matters(model, silenced)
    assert_same_output(smaller, silenced)
    assert smaller.get_submodule(name).out_features == 4 * width - len(DROP)


def test_a_small_network_with_grouped_and_depthwise_convolutions_shrinks():
    model = randomised(
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 24, 3, groups=4),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 24, 3, groups=24),
            nn.ReLU(),
            nn.ConvTranspose2d(24, 8, 2),
            nn.PReLU(8),
            nn.Conv2d(8, 5, 1),
        )
    )
    each_group = [4 * group + 1 for group in range(4)]
    one_of_six = [0, 7, 14, 21]
    drop = {"0": each_group, "3": one_of_six, "8": [2, 5]}
    smaller = channels.remove(model, IMAGES, drop)
    silenced = deepcopy(model)
    silence(silenced, ["0", "1"], each_group)
    silence(silenced, ["3", "4", "6"], one_of_six)
    silenced[8].weight.data[:, [2, 5]] = 0
    silenced[8].bias.data[[2, 5]] = 0
    assert_matters(model, silenced)
    assert_same_output(smaller, silenced)
    assert smaller[3].weight.shape == (20, 3, 3, 3) and smaller[6].groups == 20


# --- What comes back -------------------------------------------------------------------------


def small() -> nn.Sequential:
    return randomised(
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 3),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 8, 3),
            nn.Flatten(),
            nn.Linear(8 * 28 * 28, 4),
        )
    )


def test_the_model_stays_as_it_is_and_the_copy_keeps_modes_and_frozen_parameters():
    model = small().train()
    model[1].eval()
    model[3].weight.requires_grad_(False)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    smaller = channels.remove(model, IMAGES, {"0": DROP})
    channels.groups(model, IMAGES)
    assert [m.training for m in model.modules()] == [True, True, False, True, True, True, True]
    assert [m.training for m in smaller.modules()] == [m.training for m in model.modules()]
    wants = {name: parameter.requires_grad for name, parameter in smaller.named_parameters()}
    assert wants == {name: name != "3.weight" for name, _ in model.named_parameters()}
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    assert not any(m._forward_hooks for m in (*model.modules(), *smaller.modules()))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_caller_without_gradients_or_with_a_frozen_model_gets_the_same():
    model = small().requires_grad_(False)
    with torch.inference_mode():
        inside = channels.remove(model, IMAGES, {"0": DROP})
    outside = channels.remove(model, IMAGES, {"0": DROP})
    assert inside[3].in_channels == 11
    assert_same_output(inside, outside)
    assert torch.is_grad_enabled()


def test_the_random_state_is_not_touched():
    before = torch.get_rng_state()
    channels.remove(small(), torch.zeros(1, 3, 32, 32), {"0": DROP})
    assert torch.equal(torch.get_rng_state(), before)


def test_the_smaller_model_trains_on():
    smaller = channels.remove(small(), IMAGES, {"0": DROP}).train()
    smaller(IMAGES).square().sum().backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in smaller.parameters())


def test_dropping_nothing_gives_an_equal_copy():
    model = small()
    assert_same_output(channels.remove(model, IMAGES, {"0": []}), model)


def test_a_batch_of_one_is_not_taken_for_an_image():
    model = models.new("cnn")
    smaller = channels.remove(model, torch.zeros(1, 1, 8, 8), {"conv3": range(64)})
    assert smaller.fc1.in_features == 64 * 4 and smaller.bn3.running_var.shape == (64,)


# --- Groups ----------------------------------------------------------------------------------


def test_groups_are_plain_data_in_the_order_of_the_layers():
    found = channels.groups(models.new("resnet8"), torch.zeros(1, 1, 8, 8))
    assert [group.layer for group in found] == [
        "conv",
        "block1.conv1",
        "block2.conv1",
        "block2.conv2",
        "block3.conv1",
        "block3.conv2",
        "fc",
    ]
    stem = found[0]
    assert (stem.channels, stem.members, stem.blocks, stem.fixed) == (
        16,
        ("conv", "block1.conv2"),
        1,
        "",
    )
    assert sorted(stem.touches) == [
        ("block1.bn2.bias", 0),
        ("block1.bn2.weight", 0),
        ("block1.conv1.weight", 1),
        ("block1.conv2.weight", 0),
        ("block2.conv1.weight", 1),
        ("block2.shortcut.conv.weight", 1),
        ("bn.bias", 0),
        ("bn.weight", 0),
        ("conv.weight", 0),
    ]
    assert found[-1].fixed == "they are the model's output"


# --- Rounding and choosing -------------------------------------------------------------------


def test_rounding_gives_back_the_channels_listed_last():
    model = small()
    smaller = channels.remove(model, IMAGES, {"0": [9, 1, 2, 3, 4, 5, 6, 7, 8, 15]}, round_to=8)
    expected = model[0].weight[[0, 8, 10, 11, 12, 13, 14, 15]]
    assert torch.equal(smaller[0].weight, expected)
    assert channels.remove(model, IMAGES, {"0": [3, 2]}, round_to=8)[0].out_channels == 16


def test_the_weakest_follow_the_coupled_rule():
    model = models.new("resnet8")
    generator = np.random.default_rng(0)
    names = ["conv", "block1.conv2"]
    scores = {
        f"{name}.weight": torch.from_numpy(
            generator.random(model.get_submodule(name).weight.shape) * 10**power
        )
        for power, name in enumerate(names)
    }
    together = np.zeros(16)
    for values in scores.values():
        by_filter = values.numpy().sum((1, 2, 3))
        together += by_filter / by_filter.sum()
    drop = channels.weakest(model, torch.zeros(1, 1, 8, 8), scores, 0.25, round_to=1)
    assert drop == {"conv": np.argsort(together)[:4].tolist()}
    by_filter = {name: values.sum((1, 2, 3)) for name, values in scores.items()}
    assert channels.weakest(model, torch.zeros(1, 1, 8, 8), by_filter, 0.25, round_to=1) == drop


@pytest.mark.parametrize("round_to", [1, 4, 8])
def test_weakest_and_remove_keep_multiples_everywhere(round_to):
    model = randomised(torchvision.models.mobilenet_v2)
    scores = {
        f"{n}.weight": m.weight.detach().abs()
        for n, m in model.named_modules()
        if isinstance(m, nn.Conv2d)
    }
    drop = channels.weakest(model, IMAGES[:1], scores, 0.45, round_to=round_to)
    smaller = channels.remove(model, IMAGES[:1], drop)
    pairs = [
        (big.out_channels, less.out_channels)
        for big, less in zip(model.modules(), smaller.modules(), strict=True)
        if isinstance(big, nn.Conv2d)
    ]
    for whole, left in pairs:
        assert left % round_to == 0
        assert abs(left - 0.55 * whole) <= max(round_to / 2, 0.5) + 0.5
    if round_to == 1:
        assert all(left == whole - round(0.45 * whole) for whole, left in pairs)


def test_weakest_takes_the_same_places_of_every_convolution_group():
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3, groups=4), nn.Conv2d(8, 3, 1))
    scores = {"0.weight": torch.arange(16.0).roll(2)}
    drop = channels.weakest(model, IMAGES, scores, 0.5, round_to=8)
    assert drop == {"0": [2, 6, 10, 14, 3, 7, 11, 15]}
    assert channels.remove(model, IMAGES, drop)[1].in_channels == 8


def test_shares_by_layer_leave_other_groups_alone():
    model = small()
    scores = {f"{name}.weight": model[int(name)].weight.detach().abs() for name in "03"}
    drop = channels.weakest(model, IMAGES, scores, {"3": 0.5}, round_to=1)
    assert list(drop) == ["3"] and len(drop["3"]) == 4
    assert channels.weakest(model, IMAGES, scores, 0.0) == {}


# --- What is refused -------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.hidden = nn.Embedding(9, 6), nn.Linear(6, 6)
        self.output = nn.Linear(6, 9, bias=False)
        self.output.weight = self.tokens.weight

    def forward(self, x):
        return self.output(self.tokens(x) + self.hidden(self.tokens(x)).relu())


class Forward(nn.Module):
    """Two layers with something in between that is not a layer."""

    def __init__(self, between, width=8):
        super().__init__()
        self.first, self.second = nn.Linear(4, width), nn.Linear(width, 3)
        self.between = between

    def forward(self, x):
        return self.second(self.between(self.first(x)))


def test_tied_weights_are_not_torn_apart():
    with pytest.raises(ValueError, match=r"tokens.weight is tied to output.weight"):
        channels.remove(Tied(), torch.arange(4)[None], {"hidden": [1]})


def test_parameters_that_share_memory_count_as_tied():
    model = small()
    model.other = nn.Linear(1, 1)
    model[3].weight.data = model[3].weight.data.clone()
    model.other.weight = nn.Parameter(model[3].weight.data)
    model.other.forward = lambda x: x
    with pytest.raises(ValueError, match=r"3.weight is tied to other.weight"):
        channels.remove(model, IMAGES, {"0": [1]})


@pytest.mark.parametrize(
    "between",
    [
        lambda x: x.softmax(-1),
        lambda x: x.cumsum(-1),
        lambda x: x.flip(-1),
        lambda x: x.view(len(x), 2, 4).transpose(1, 2).flatten(1),
        lambda x: torch.nn.functional.layer_norm(x, x.shape[1:]),
        lambda x: x * torch.arange(8),
        lambda x: x / x.shape[-1],
    ],
    ids=["softmax", "cumsum", "flip", "shuffle", "norm", "constant", "width"],
)
def test_an_operator_that_cannot_be_followed_is_noticed(between):
    with pytest.raises(ValueError, match="these channels cannot be removed"):
        channels.remove(Forward(between), torch.zeros(2, 4), {"first": [1, 2]})


def test_a_mistake_is_noticed_on_an_example_of_zeros_too():
    model = Forward(lambda x: x.flip(-1))
    model.first.bias = model.second.bias = None
    with pytest.raises(ValueError, match="these channels cannot be removed"):
        channels.remove(model, torch.zeros(2, 4), {"first": [1, 2]})


def test_channels_coupled_within_a_layer_must_all_be_listed():
    model = Forward(lambda x: sum(x.chunk(2, 1)))
    model.second = nn.Linear(4, 3)
    example = torch.ones(2, 4)
    with pytest.raises(ValueError, match=r"channels \[5\] of first would leave too"):
        channels.remove(model, example, {"first": [1]})
    smaller = channels.remove(model, example, {"first": [1, 5]})
    assert torch.equal(smaller.first.weight, model.first.weight[[0, 2, 3, 4, 6, 7]])
    assert smaller.second.in_features == 3


@pytest.mark.parametrize("channel", range(8))
@pytest.mark.parametrize(
    "between",
    [
        lambda x: x - x.amax(1, keepdim=True),
        lambda x: x - x.amin(1, keepdim=True),
        lambda x: x.relu() / (1 + x.relu().amax(1, keepdim=True)),
    ],
    ids=["maximum", "minimum", "dead"],
)
def test_a_channel_that_happens_not_to_matter_for_the_example_is_not_removed(between, channel):
    with pytest.raises(ValueError, match="these channels cannot be removed"):
        channels.remove(Forward(between), torch.ones(1, 4), {"first": [channel]})


@pytest.mark.parametrize("scale", [0.0, 1e-7])
def test_a_branch_that_starts_at_zero_hides_no_mistake(scale):
    model = Forward(lambda x: x.flip(-1))
    model.second.weight.data *= scale
    with pytest.raises(ValueError, match="these channels cannot be removed"):
        channels.remove(model, torch.randn(2, 4), {"first": [1, 2]})


def test_a_branch_that_starts_small_hides_no_mistake():
    class Residual(Forward):
        def forward(self, x):
            return x.sum(1, keepdim=True) + 1e-6 * super().forward(x)

    model = Residual(lambda x: x.flip(-1))
    with pytest.raises(ValueError, match="these channels cannot be removed"):
        channels.remove(model, torch.randn(2, 4), {"first": [1, 2]})


def test_an_activation_that_explodes_is_no_reason_to_refuse():
    model = Forward(torch.exp)
    smaller = channels.remove(model, torch.ones(2, 4), {"first": [1, 2]})
    silenced = deepcopy(model)
    silenced.second.weight.data[:, [1, 2]] = 0
    assert_same_output(smaller, silenced, torch.randn(3, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_runs_in_its_own_precision_only_is_checked_in_that(dtype):
    example = torch.randn(4, 4, dtype=dtype)
    model = Forward(lambda x: x.to(dtype).relu(), width=32).to(dtype)
    smaller = channels.remove(model, example, {"first": [1, 2]})
    assert smaller.second.weight.shape == (3, 30) and smaller.second.weight.dtype == dtype
    model.between = lambda x: x.to(dtype).flip(-1)
    with pytest.raises(ValueError, match="these channels cannot be removed"):
        channels.remove(model, example, {"first": [1, 2]})


def test_one_prelu_slope_serves_however_many_channels_are_left():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PReLU(), nn.Conv2d(8, 4, 1))
    smaller = channels.remove(model, IMAGES, {"0": [1, 6]})
    silenced = deepcopy(model)
    silence(silenced, ["0"], [1, 6])
    assert_same_output(smaller, silenced)
    assert smaller[1].weight.shape == (1,)


def test_a_layer_that_is_called_twice_shrinks_once():
    class Twice(Forward):
        def forward(self, x):
            return self.second(self.first(x).relu() + self.first(-x).relu())

    model = Twice(None)
    smaller = channels.remove(model, torch.zeros(1, 4), {"first": [1, 2]})
    silenced = deepcopy(model)
    silence(silenced, ["first"], [1, 2])
    assert_same_output(smaller, silenced, torch.randn(3, 4))


class Concatenated(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 5, 3)
        self.head = nn.Linear(9 * 14 * 14, 3)

    def forward(self, x):
        x = x[..., ::2, ::2]
        return self.head(torch.cat([self.left(x).flatten(1), self.right(x).flatten(1)], 1))


def recurrent(kind: type) -> nn.Module:
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.cells = nn.Linear(32, 8), kind(8, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.cells(self.first(x[:, 0]))[0])

    return Recurrent()


@pytest.mark.parametrize(
    "make, layer, sentence",
    [
        (lambda: recurrent(nn.LSTM), "first", "cells shares them out among its heads or gates"),
        (lambda: recurrent(nn.GRU), "first", "cannot be followed through the model"),
        (Concatenated, "left", "cannot be followed through the model"),
    ],
    ids=["lstm", "gru", "flattened, then concatenated"],
)
def test_what_torch_pruning_trips_over_is_a_reason_to_stay(make, layer, sentence):
    model = make()
    with pytest.raises(ValueError, match=f"the channels of {layer} must stay: .*{sentence}"):
        channels.remove(model, IMAGES, {layer: [1]})
    scores = {f"{layer}.weight": model.get_submodule(layer).weight.detach().abs()}
    assert channels.weakest(model, IMAGES, scores, 0.5) == {}


@pytest.mark.parametrize("drop", [{"0": [0, 2, 4, 6]}, {"1": [0, 3, 6, 9]}])
def test_a_transposed_convolution_of_groups_is_not_cut_wrongly(drop):
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ConvTranspose2d(8, 12, 3, groups=4), nn.Conv2d(12, 2, 1)
    )
    with pytest.raises(ValueError, match="these channels cannot be removed"):
        channels.remove(model, IMAGES, drop)


def test_attention_that_is_written_out_is_not_cut_wrongly():
    model = models.tiny_transformer(width=16, heads=2, layers=1)
    tokens = torch.arange(8)[None]
    smaller = channels.remove(model, tokens, {"blocks.0.up": [0, 5]})
    assert smaller.blocks[0].down.in_features == 62
    for name in ("query", "value"):
        with pytest.raises(ValueError, match=r"cannot be removed|would leave too|nothing would"):
            channels.remove(model, tokens, {f"blocks.0.attention.{name}": [3]})


@pytest.mark.parametrize(
    "layer, sentence",
    [
        ("encoder.layers.encoder_layer_0.mlp.3", "normalises them together|its heads"),
        ("conv_proj", "normalises them together|its heads"),
        ("heads.head", "they are the model's output"),
    ],
)
def test_channels_that_must_stay_say_why(layer, sentence):
    model = torchvision.models.VisionTransformer(32, 8, 1, 2, 32, 64)
    with pytest.raises(ValueError, match=rf"the channels of {layer} must stay: .*({sentence})"):
        channels.remove(model, IMAGES, {layer: [0]})


@pytest.mark.parametrize(
    "drop, sentence",
    [
        ({"9": [0]}, "layer '9' does not exist"),
        ({"2": [0]}, "layer '2' is no layer with channels"),
        ({"0": [16]}, r"channels 0 to 15, each of which can be dropped once, not \[16\]"),
        ({"0": [-1]}, "channels 0 to 15"),
        ({"0": [1, 1]}, "dropped once"),
        ({"0": [0.5]}, "whole numbers"),
        ({"0": torch.ones(16, dtype=torch.bool)}, "whole numbers"),
        ({"0": range(16)}, "nothing would be left of 0"),
        ({"0": range(16), "3": [1]}, "nothing would be left of 0"),
        ([0, 1], "must map layer names"),
    ],
)
def test_a_drop_set_that_does_not_fit_is_refused(drop, sentence):
    with pytest.raises(ValueError, match=sentence):
        channels.remove(small(), IMAGES, drop)


def test_coupled_layers_cannot_drop_different_channels():
    model = models.new("resnet8")
    example = torch.zeros(1, 1, 8, 8)
    with pytest.raises(ValueError, match=r"block1.conv2 is coupled"):
        channels.remove(model, example, {"conv": [1], "block1.conv2": [2]})
    both = channels.remove(model, example, {"conv": [1, 4], "block1.conv2": [4, 1]})
    assert both.conv.out_channels == both.block1.conv2.out_channels == 14


@pytest.mark.parametrize(
    "drop, sentence",
    [
        ({"0": [0, 1]}, "1 is a convolution of 4 groups.*the same channels"),
        ({"0": [0, 4, 8, 13]}, "the same channels"),
        ({"0": [i for i in range(16)]}, "nothing would be left"),
        ({"1": [0]}, "as many channels"),
    ],
)
def test_groups_of_a_convolution_must_stay_equal(drop, sentence):
    model = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3, groups=4), nn.Conv2d(8, 3, 1))
    with pytest.raises(ValueError, match=sentence):
        channels.remove(model, IMAGES, drop)


def test_a_channel_that_is_a_convolution_group_must_stay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 8, 3, groups=4), nn.Conv2d(8, 3, 1))
    with pytest.raises(ValueError, match="by itself a group of a convolution"):
        channels.remove(model, IMAGES, {"0": [1]})
    scores = {"0.weight": torch.ones(4)}
    assert channels.weakest(model, IMAGES, scores, 0.5) == {}


def with_nan() -> nn.Module:
    model = small()
    model[1].running_var[3] = math.nan
    return model


def under_prune() -> nn.Module:
    model = small()
    prune.l1_unstructured(model[0], "weight", 0.5)
    return model


def under_spectral_norm() -> nn.Module:
    model = small()
    nn.utils.spectral_norm(model[3])
    return model


@pytest.mark.parametrize(
    "make, example, sentence",
    [
        (with_nan, IMAGES, "1.running_var contains NaN"),
        (under_prune, IMAGES, "parameters of 0 are computed from others"),
        (under_spectral_norm, IMAGES, "parameters of 3 are computed from others"),
        (small, torch.zeros(1, 3, 31, 31), "the example does not fit the model"),
        (small, torch.zeros(0, 3, 32, 32), "must be a batch"),
        (small, [1, 2], "must be a batch"),
        (lambda: None, IMAGES, "a model .* is needed"),
        (lambda: nn.Sequential(nn.LazyLinear(3)), torch.zeros(1, 4), "no values yet"),
    ],
)
def test_a_model_or_example_that_does_not_fit_is_refused(make, example, sentence):
    model = make()
    for call in (
        lambda: channels.groups(model, example),
        lambda: channels.remove(model, example, {"0": [1]}),
        lambda: channels.weakest(model, example, {}, 0.5),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()


@pytest.mark.parametrize(
    "scores, sparsity, sentence",
    [
        ({"0.weight": torch.ones(16)}, 1.5, "from 0 to 1"),
        ({"0.weight": torch.ones(16)}, math.nan, "from 0 to 1"),
        ({"0.weight": torch.ones(16)}, 1.0, "leaves nothing of 0"),
        ({"0.weight": torch.ones(16)}, {"7": 0.5}, "no layer '7'"),
        ({"0.weight": torch.ones(15)}, 0.5, "must have its shape"),
        ({"0.weight": np.ones(16)}, 0.5, "must have its shape"),
        ({"0.weight": torch.full((16,), math.nan)}, 0.5, "finite and not negative"),
        ({"0.weight": -torch.ones(16)}, 0.5, "finite and not negative"),
        ({"0.bias": torch.ones(16)}, 0.5, "is not the weight of a layer"),
        ({"1.weight": torch.ones(16)}, 0.5, "is not the weight of a layer"),
    ],
)
def test_scores_and_shares_that_do_not_fit_are_refused(scores, sparsity, sentence):
    with pytest.raises(ValueError, match=sentence):
        channels.weakest(small(), IMAGES, scores, sparsity)
