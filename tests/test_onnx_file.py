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


def test_multiplications_that_would_not_be_counted_are_refused():
    x, y = (onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 4]) for n in "xy")
    square = onnx.numpy_helper.from_array(torch.eye(4).numpy(), "w")
    node = onnx.helper.make_node("Einsum", ["x", "w"], ["y"], equation="ij,jk->ik")
    graph = onnx.helper.make_graph([node], "sums", [x], [y], [square])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    with pytest.raises(ValueError, match="Einsum cannot be counted"):
        onnx_file.macs(model.SerializeToString())
