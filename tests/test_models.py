import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from course_utils import data, measure, models, training

NAMES = ["lenet", "cnn", "resnet8"]


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# --- the networks


@pytest.mark.parametrize(
    "name, parameters", [("lenet", 50_610), ("cnn", 159_850), ("resnet8", 77_754)]
)
def test_the_size_of_each_network(name, parameters):
    model = models.new(name)
    assert measure.parameters(model) == parameters
    assert model(torch.randn(3, 1, 8, 8)).shape == (3, 10)


@pytest.mark.parametrize(
    "model, shape",
    [
        (models.lenet(classes=7, pixels=784), (1, 28, 28)),
        (models.cnn(classes=7, side=28), (1, 28, 28)),
        (models.cnn(classes=7, channels=3, side=32), (3, 32, 32)),
        (models.resnet8(classes=7, channels=3), (3, 32, 32)),
    ],
)
def test_the_networks_can_be_made_for_the_other_data_sets(model, shape):
    assert model(torch.randn(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    "model, example",
    [
        (models.lenet(), torch.randn(2, 1, 8, 8)),
        (models.cnn(), torch.randn(2, 1, 8, 8)),
        (models.resnet8(), torch.randn(2, 1, 8, 8)),
        (models.tiny_transformer(), torch.randint(32, (2, 8))),
    ],
    ids=[*NAMES, "transformer"],
)
def test_each_relu_is_a_module_of_its_own(model, example):
    calls = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.ReLU):
            calls[name] = 0
            module.register_forward_hook(
                lambda *_, name=name: calls.update({name: calls[name] + 1})
            )
    model(example)
    assert len(calls) >= 2 and set(calls.values()) == {1}


def test_a_residual_block_adds_what_came_in():
    model = models.resnet8().eval()
    x = torch.randn(2, 16, 8, 8)
    for block in (model.block1, model.block2):
        nn.init.zeros_(block.bn2.weight)
        nn.init.zeros_(block.bn2.bias)
        expected = block.shortcut(x).relu()
        assert expected.any() and torch.equal(block(x), expected)


# --- the tiny transformer


def test_the_transformer_scores_every_next_token():
    model = models.tiny_transformer(vocabulary=20, length=12, width=32, heads=2, layers=3)
    assert model(torch.randint(20, (5, 12))).shape == (5, 12, 20)


def test_the_transformer_does_not_look_ahead():
    model = models.tiny_transformer().eval()
    tokens = torch.randint(32, (1, 10))
    changed = tokens.clone()
    changed[0, 6] = (changed[0, 6] + 1) % 32
    one, other = model(tokens), model(changed)
    torch.testing.assert_close(one[:, :6], other[:, :6])
    assert not torch.allclose(one[:, 6:], other[:, 6:])


def test_the_transformer_looks_back():
    model = models.tiny_transformer().eval()
    tokens = torch.randint(32, (1, 10))
    changed = tokens.clone()
    changed[0, 0] = (changed[0, 0] + 1) % 32
    assert not torch.allclose(model(tokens)[:, 9], model(changed)[:, 9])


def test_attention_agrees_with_pytorchs_own():
    ours = models.Attention(16, 4)
    theirs = nn.MultiheadAttention(16, 4, bias=False, batch_first=True)
    with torch.no_grad():
        weights = [ours.query.weight, ours.key.weight, ours.value.weight]
        theirs.in_proj_weight.copy_(torch.cat(weights))
        theirs.out_proj.weight.copy_(ours.merge.weight)
    x = torch.randn(2, 5, 16)
    future = torch.ones(5, 5, dtype=torch.bool).triu(1)
    expected, _ = theirs(x, x, x, attn_mask=future)
    torch.testing.assert_close(ours(x), expected)


def test_silencing_a_head_equals_removing_its_columns():
    attention = models.Attention(16, 4)
    x = torch.randn(2, 5, 16)

    def silence(module, inputs, output):
        assert output.shape == (2, 4, 5, 4)
        return output * torch.tensor([1.0, 1, 0, 1]).view(1, 4, 1, 1)

    handle = attention.each_head.register_forward_hook(silence)
    silenced = attention(x)
    handle.remove()
    with torch.no_grad():
        attention.merge.weight[:, 8:12] = 0
    torch.testing.assert_close(attention(x), silenced)


def test_impossible_transformers_and_inputs_are_refused():
    for heads in (3, 0):
        with pytest.raises(ValueError, match="cannot be shared equally by"):
            models.tiny_transformer(width=64, heads=heads)
    with pytest.raises(ValueError, match="9 tokens do not fit a model made for 8"):
        models.tiny_transformer(length=8)(torch.zeros(1, 9, dtype=torch.int64))


# --- new, trained and shipped


@pytest.mark.parametrize("name, least", [("lenet", 0.94), ("cnn", 0.97), ("resnet8", 0.965)])
def test_the_shipped_models_are_trained_and_in_eval_mode(name, least):
    digits, model = data.digits(), models.load(name)
    assert not any(module.training for module in model.modules())
    assert model(digits.x_val).argmax(1).eq(digits.y_val).float().mean() >= least


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_files_are_small_and_say_how_they_were_made(name):
    path = models.CHECKPOINTS / f"{name}.safetensors"
    assert path.stat().st_size < 1_000_000
    with safe_open(path, "pt") as file:
        made = json.loads(file.metadata()["made"])
        assert all(file.get_tensor(key).dtype != torch.float64 for key in file.keys())  # noqa: SIM118
    assert made["recipe"] == {"model": name, "seed": 0, **training.RECIPES[name]}
    digits = data.digits()
    measured = training.accuracy(models.load(name), digits.x_val, digits.y_val)
    assert measured == pytest.approx(made["accuracy"], abs=1.5 / 297)  # a rounding may flip one


def test_every_load_is_a_new_copy():
    nn.init.zeros_(models.load("lenet").fc1.weight)
    assert models.load("lenet").fc1.weight.any()


def test_another_seed_is_another_trained_network():
    digits, model = data.digits(), models.load("lenet", seed=3)
    assert not same(model, models.load("lenet"))
    assert same(model, models.trained("lenet", seed=3)) and not model.training
    assert training.accuracy(model, digits.x_val, digits.y_val) > 0.93


def test_new_networks_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = models.new("cnn", seed=4)
    torch.manual_seed(2)
    assert same(first, models.new("cnn", seed=4))
    assert not same(first, models.new("cnn", seed=5))


@pytest.mark.parametrize("make", [models.new, models.load, models.trained])
def test_making_a_network_leaves_torchs_random_numbers_alone(make):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    make("lenet")
    assert torch.equal(torch.rand(3), expected)


def test_random_numbers_from_the_same_seed_are_no_mirror_of_the_weights():
    """Else a "random" mask would remove the most negative weights, as it once did."""
    weight = models.new("lenet", seed=0).fc1.weight.detach().flatten()
    numbers = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0))
    likeness = torch.corrcoef(torch.stack([weight, numbers]))[0, 1].abs()
    assert likeness < 5 / math.sqrt(len(weight))


@pytest.mark.parametrize("make", [models.new, models.load, models.trained])
def test_an_unknown_model_is_named(make):
    with pytest.raises(ValueError, match="no model 'vgg'; there are lenet, cnn, resnet8"):
        make("vgg")


# --- rebuilding the shipped files


@pytest.fixture
def lenet_only(monkeypatch):
    monkeypatch.setattr(models, "MAKERS", {"lenet": models.lenet})


def damaged(folder, change):
    """A copy of the shipped LeNet with its weights or what it says of itself changed."""
    with safe_open(models.CHECKPOINTS / "lenet.safetensors", "pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        made = json.loads(file.metadata()["made"])
    change(weights, made)
    save_file(weights, folder / "lenet.safetensors", {"made": json.dumps(made)})
    return folder


def test_building_twice_gives_the_same_bytes(lenet_only, tmp_path):
    said = models.rebuild_checkpoints(tmp_path / "one")
    models.rebuild_checkpoints(tmp_path / "two")
    one, two = (tmp_path / name / "lenet.safetensors" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert list(one.parent.iterdir()) == [one]
    assert said == {"lenet": f"lenet: written, {one.stat().st_size:,} bytes, validation accuracy "
                    f"{accuracy_of(one.parent):.1f} %"}  # fmt: skip
    assert models.rebuild_checkpoints(one.parent, check=True) == {
        "lenet": "lenet: the same, bit for bit"
    }


def accuracy_of(folder):
    with safe_open(folder / "lenet.safetensors", "pt") as file:
        return 100 * json.loads(file.metadata()["made"])["accuracy"]


def test_what_is_shipped_comes_out_of_the_recipes():
    said = models.rebuild_checkpoints(check=True)
    assert list(said) == NAMES
    for name, sentence in said.items():
        assert sentence in (
            f"{name}: the same, bit for bit",
            f"{name}: other bits, the same accuracy within 2 points",
        )


def test_another_processors_rounding_is_no_fault(lenet_only, tmp_path):
    def round_otherwise(weights, made):
        weights["fc1.weight"] *= 1 + 1e-6

    before = damaged(tmp_path, round_otherwise) / "lenet.safetensors"
    content = before.read_bytes()
    assert models.rebuild_checkpoints(tmp_path, check=True) == {
        "lenet": "lenet: other bits, the same accuracy within 2 points"
    }
    assert before.read_bytes() == content  # a check writes nothing


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda weights, made: weights["fc2.weight"].zero_(), "the stored weights reach"),
        (lambda weights, made: made.update(accuracy=0.5), "were recorded with 50.0 %"),
        (lambda weights, made: made["recipe"].update(epochs=9), "lenet: made by .*'epochs': 9"),
    ],
)
def test_a_checkpoint_that_does_not_hold_what_it_should_is_found(
    lenet_only, tmp_path, change, sentence
):
    damaged(tmp_path, change)
    with pytest.raises(ValueError, match=sentence):
        models.rebuild_checkpoints(tmp_path, check=True)


def test_a_missing_checkpoint_is_found(lenet_only, tmp_path):
    with pytest.raises(ValueError, match="lenet: there is no checkpoint at"):
        models.rebuild_checkpoints(tmp_path, check=True)
