"""What stands in an ONNX file: the same function, the same count, and nothing on stderr."""

import copy

import onnx
import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_utils import measure, models, onnx_file
from course_utils.pruning import channels, importance


def images(count=3):
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["lenet", "cnn", "resnet8"])
def test_the_file_computes_what_the_network_computes(name):
    model = models.load(name)
    file = onnx_file.export(model, images(1))
    for count in (1, 7):
        with torch.no_grad():
            torch.testing.assert_close(onnx_file.predict(file, images(count)), model(images(count)))
    assert onnx_file.macs(file) == measure.macs(model, images(1))


def test_groups_strides_and_attention_are_counted_as_pytorch_counts_them():
    convs = nn.Sequential(
        nn.Conv2d(4, 8, 3, groups=4, stride=2),
        nn.Conv2d(8, 8, (1, 3), groups=8),
        nn.Conv2d(8, 2, 1),
    )
    x = torch.randn(2, 4, 11, 9)
    assert onnx_file.macs(onnx_file.export(convs, x)) == measure.macs(convs, x)
    words = torch.randint(0, 8, (2, 12))
    transformer = models.tiny_transformer()
    file = onnx_file.export(transformer, words)
    assert onnx_file.macs(file) == measure.macs(transformer, words)


def test_a_physically_smaller_network_is_a_smaller_file_and_a_masked_one_is_not():
    model = models.load("cnn")
    whole = onnx_file.export(model, images(1))
    masked, small = copy.deepcopy(model), copy.deepcopy(model)
    for layer in (masked.conv1, masked.conv2):
        prune.ln_structured(layer, "weight", 0.5, n=1, dim=0)
        prune.remove(layer, "weight")
    drop = channels.weakest(small, images(1), importance.magnitude(small), 0.5)
    small = channels.remove(small, images(1), drop)
    same, less = onnx_file.export(masked, images(1)), onnx_file.export(small, images(1))
    assert abs(len(same) - len(whole)) < 0.01 * len(whole)
    assert onnx_file.macs(same) == onnx_file.macs(whole)
    assert len(less) < 0.5 * len(whole)
    assert onnx_file.macs(less) < 0.5 * onnx_file.macs(whole)


def test_mode_and_weights_of_the_network_stay_as_they_were():
    model = models.new("cnn", 0).train()
    before = copy.deepcopy(model.state_dict())
    onnx_file.export(model, images())
    assert model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_it_is_done_in_silence(capfd, recwarn):
    onnx_file.macs(onnx_file.export(models.new("lenet", 0), images()))
    assert (capfd.readouterr(), list(recwarn)) == (("", ""), [])


class Choosing(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_written_is_named_with_the_reason(capfd):
    with pytest.raises(ValueError, match=r"cannot be written as ONNX: .*data-dependent"):
        onnx_file.export(Choosing(), images())
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("use", [onnx_file.macs, onnx_file.runner])
@pytest.mark.parametrize("file", [b"", b"no onnx"])
def test_what_is_no_onnx_file_is_refused_with_a_sentence(use, file, capfd):
    with pytest.raises(ValueError, match="cannot run this file"):
        use(file)
    assert capfd.readouterr() == ("", "")


def written(nodes, initializers=(), inputs="x", functions=()):
    """A file with these operators, from "x", four numbers an example, to "y"."""
    values = [
        onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 4]) for n in inputs
    ]
    result = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "sums", values, [result], list(initializers))
    imports = [onnx.helper.make_opsetid("", 18), *(onnx.helper.make_opsetid(d, 1) for d in "z")]
    model = onnx.helper.make_model(graph, opset_imports=imports, functions=functions)
    model.ir_version = 10
    return model


def square(size=4):
    return onnx.numpy_helper.from_array(torch.eye(size).numpy(), "w")


def test_multiplications_that_would_not_be_counted_are_refused():
    node = onnx.helper.make_node("Einsum", ["x", "w"], ["y"], equation="ij,jk->ik")
    file = written([node], [square()]).SerializeToString()
    with pytest.raises(ValueError, match="Einsum cannot be counted"):
        onnx_file.macs(file)
    with pytest.raises(ValueError, match="how much work Einsum does cannot be counted"):
        onnx_file.number_by_number(file)


def test_numbers_that_stand_in_another_file_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where ONNX Runtime would look for it, and find it
    (tmp_path / "elsewhere").write_bytes(torch.eye(4).numpy().tobytes())
    weight = square()
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="elsewhere")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    constant = onnx.helper.make_node("Constant", [], ["w"], value=weight)
    for model in (written([node], [weight]), written([constant, node])):
        with pytest.raises(ValueError, match="stand in another file"):
            onnx_file.predict(model.SerializeToString(), torch.ones(2, 4))


def test_a_file_with_operators_of_its_own_or_several_inputs_is_refused():
    body = [onnx.helper.make_node("Relu", ["a"], ["b"])]
    own = onnx.helper.make_function(
        "z", "Mine", ["a"], ["b"], body, [onnx.helper.make_opsetid("", 18)]
    )
    uses = onnx.helper.make_node("Mine", ["x"], ["y"], domain="z")
    with pytest.raises(ValueError, match="operators or sparse numbers of its own"):
        onnx_file.macs(written([uses], functions=[own]).SerializeToString())
    two = written([onnx.helper.make_node("Add", ["x", "v"], ["y"])], inputs="xv")
    with pytest.raises(ValueError, match="asks for 2 inputs instead of one"):
        onnx_file.runner(two.SerializeToString())


def test_examples_that_do_not_fit_are_refused_with_a_sentence():
    file = onnx_file.export(nn.Linear(4, 2), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="cannot take these examples"):
        onnx_file.predict(file, torch.zeros(3, 5))
    with pytest.raises(ValueError, match="cannot take these examples"):
        onnx_file.macs(file, torch.zeros(3, 5))


class InPieces(nn.Module):
    """A linear layer as multiplications and sums, which no counter of matrix products sees."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))

    def forward(self, x):
        return (x.unsqueeze(1) * self.weight).sum(-1).relu()


def test_a_matrix_product_in_pieces_is_found_number_by_number():
    file = onnx_file.export(InPieces(20, 30), torch.zeros(1, 20))
    assert onnx_file.macs(file) == 0
    # twenty numbers laid out, 600 multiplied, 600 added up to 30, and their ReLU
    assert onnx_file.number_by_number(file) == 20 + 600 + 600 + 30
    plain = onnx_file.export(nn.Sequential(nn.Linear(20, 30), nn.ReLU()), torch.zeros(1, 20))
    assert (onnx_file.macs(plain), onnx_file.number_by_number(plain)) == (600, 30)


def test_what_is_counted_on_many_examples_is_the_cost_of_one():
    model = models.load("cnn")
    file = onnx_file.export(model, images(1))
    for count in (onnx_file.macs, onnx_file.number_by_number):
        assert count(file, images(7)) == count(file)


def test_work_that_is_done_only_where_there_is_something_to_see_is_counted():
    """An all-zero example would make this network seem free: its sum decides how much is done."""
    nodes = [
        onnx.helper.make_node("ReduceSum", ["x"], ["total"], keepdims=0),
        onnx.helper.make_node("Cast", ["total"], ["many"], to=onnx.TensorProto.INT64),
        onnx.helper.make_node("Unsqueeze", ["many", "zero"], ["end"]),
        onnx.helper.make_node("Slice", ["w", "zero", "end", "zero"], ["some"]),
        onnx.helper.make_node("MatMul", ["some", "w"], ["y"]),
    ]
    zero = onnx.numpy_helper.from_array(torch.zeros(1, dtype=torch.int64).numpy(), "zero")
    file = written(nodes, [square(16), zero]).SerializeToString()
    assert onnx_file.macs(file) == 0
    assert onnx_file.macs(file, torch.ones(1, 4)) == 4 * 16 * 16
