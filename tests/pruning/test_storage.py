import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from course_utils import models
from course_utils.measure import bytes_on_disk, prunable_weights
from course_utils.pruning import storage


def same_bits(a, b):
    flat_a, flat_b = (t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b))
    return a.shape == b.shape and a.dtype == b.dtype and torch.equal(flat_a, flat_b)


def same_model(a, b):
    return all(
        same_bits(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def pruned(model, share=0.9, by_product=False):
    """The smallest weights of every layer zeroed: with plain zeros, or with a product's."""
    with torch.no_grad():
        for weight in prunable_weights(model).values():
            sizes = weight.abs().flatten()
            mask = weight.abs() > sizes.sort().values[round(share * len(sizes)) - 1]
            weight.copy_(weight * mask if by_product else torch.where(mask, weight, 0))
    return model


# --- pack and unpack


@settings(max_examples=60)
@given(
    data=st.binary(max_size=96),
    dtype=st.sampled_from(
        [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.complex64]
    ),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_any_bits_come_back(data, dtype, share):
    raw = data[: len(data) // 8 * 8]
    weight = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.zeros(0, dtype=dtype)
    weight[: round(share * len(weight))] = 0
    assert same_bits(storage.unpack(*storage.pack(weight)), weight)


def test_negative_zero_and_each_nan_are_kept():
    words = torch.tensor([0, -(2**31), 0x7FC00000, 0x7FC00001, -1, 0], dtype=torch.int32)
    weight = words.view(torch.float32).view(2, 3)
    bits, values, shape = storage.pack(weight)
    assert bits.tolist() == [0b01111000]
    assert len(values) == 4 and shape == (2, 3)
    assert same_bits(storage.unpack(bits, values, shape), weight)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (8,), (9,), (3, 5, 7)])
def test_every_shape_comes_back(shape):
    weight = torch.randn(shape).relu()
    assert same_bits(storage.unpack(*storage.pack(weight)), weight)


def test_layout_does_not_matter_and_the_weight_stays():
    weight = torch.randn(6, 4).relu()
    before = weight.clone()
    bits, values, shape = storage.pack(weight.t())
    assert same_bits(storage.unpack(bits, values, shape), weight.t().contiguous())
    values.fill_(7.0)
    assert same_bits(weight, before)


def test_a_pruned_weight_packs_to_the_bytes_of_the_arithmetic():
    weight = torch.zeros(1000)
    weight[:100] = 1.0
    bits, values, _ = storage.pack(weight)
    assert bits.nbytes == 125 and values.nbytes == 400


@pytest.mark.parametrize(
    "bits, values, shape, words",
    [
        ([255], [1.0], (8,), "mark 8 entries"),
        ([255, 0], [1.0] * 8, (8,), "take 1 bytes"),
        ([1], [1.0], (5,), "beyond the end"),
        ([128], [[1.0]], (8,), "the values are (1, 1)"),
        ([128], [1.0], (-8,), "must be a whole number"),
        ([128], [1.0], (8.0,), "must be a whole number"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(bits, values, shape, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        storage.unpack(torch.tensor(bits, dtype=torch.uint8), torch.tensor(values), shape)


def test_what_is_not_a_dense_tensor_is_refused():
    with pytest.raises(ValueError, match="must be a tensor"):
        storage.pack([1.0, 0.0])
    with pytest.raises(ValueError, match="ordinary dense tensor"):
        storage.pack(torch.eye(3).to_sparse())
    with pytest.raises(ValueError, match="the bits must be a tensor, not list"):
        storage.unpack([128], torch.ones(1), (8,))
    with pytest.raises(ValueError, match="the values must be a tensor, not list"):
        storage.unpack(torch.tensor([128], dtype=torch.uint8), [1.0], (8,))


# --- files


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("by_product", [False, True])
@pytest.mark.parametrize("name", ["lenet", "cnn"])
def test_a_model_comes_back_bit_for_bit(tmp_path, name, by_product, compress):
    model = pruned(models.load(name), by_product=by_product)
    storage.save(model, tmp_path / "m.safetensors", compress)
    other = getattr(models, name)()
    storage.load(tmp_path / "m.safetensors", other)
    assert same_model(model, other)
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("name", ["lenet", "cnn"])
@pytest.mark.parametrize("compress, times", [(False, 7), (True, 9)])
def test_at_90_percent_the_file_is_that_many_times_smaller(tmp_path, name, compress, times):
    model = pruned(models.load(name))
    storage.save(model, tmp_path / "m", compress)
    assert bytes_on_disk(model) >= times * (tmp_path / "m").stat().st_size


def test_negative_zeros_cost_a_bit_each_and_no_more(tmp_path):
    model = models.load("lenet")
    storage.save(pruned(model), tmp_path / "plain")
    plain = (tmp_path / "plain").stat().st_size
    storage.save(pruned(models.load("lenet"), by_product=True), tmp_path / "product")
    zeros = sum(int((w == 0).sum()) for w in prunable_weights(model).values())
    assert (tmp_path / "product").stat().st_size <= plain + zeros / 8 + 300


def test_a_dense_model_stays_dense(tmp_path):
    model = models.load("lenet")
    storage.save(model, tmp_path / "m")
    weights = sum(t.nbytes for t in model.state_dict().values())
    assert weights < (tmp_path / "m").stat().st_size < weights + 1000


class Odd(nn.Module):
    """Buffers of many types, NaN and negative zero among them, and a tied weight."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(30, 30)
        self.second = nn.Linear(30, 30)
        self.second.weight = self.first.weight
        self.register_buffer("scalar", torch.tensor(3))
        self.register_buffer("flags", torch.rand(400) > 0.95)
        self.register_buffer("brief", (torch.randn(30, 30) > 1.5).to(torch.bfloat16) * -1)
        self.register_buffer(
            "odd", torch.cat([torch.tensor([float("nan"), -0.0]), torch.zeros(99)])
        )
        self.register_buffer("all_zero", torch.zeros(300))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("turned", torch.randn(20, 30).relu().t())


@pytest.mark.parametrize("compress", [False, True])
def test_odd_buffers_and_tied_weights_come_back(tmp_path, compress):
    model, other = Odd(), Odd()
    storage.save(model, tmp_path / "m", compress)
    storage.load(tmp_path / "m", other)
    assert same_model(model, other)
    assert other.second.weight is other.first.weight


def test_a_tied_weight_is_written_once(tmp_path):
    tied, untied = Odd(), Odd()
    untied.second.weight = nn.Parameter(torch.randn(30, 30))
    storage.save(tied, tmp_path / "tied")
    storage.save(untied, tmp_path / "untied")
    sizes = [(tmp_path / name).stat().st_size for name in ("tied", "untied")]
    assert sizes[1] - sizes[0] > 3500


def refused(path, model, words):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=re.escape(words)):
        storage.load(path, model)
    assert all(same_bits(before[name], tensor) for name, tensor in model.state_dict().items())


def test_untied_weights_are_not_forced_into_a_tied_model(tmp_path):
    untied = Odd()
    untied.second.weight = nn.Parameter(torch.randn(30, 30))
    storage.save(untied, tmp_path / "m")
    refused(tmp_path / "m", Odd(), "first.weight and second.weight are one tensor")


def test_a_file_for_another_model_is_refused(tmp_path):
    storage.save(nn.Linear(4, 2), tmp_path / "m")
    refused(tmp_path / "m", nn.Linear(4, 3), "weight is (2, 4)")
    refused(tmp_path / "m", nn.Linear(4, 2, bias=False), "only the file has bias")
    refused(tmp_path / "m", nn.BatchNorm1d(2), "does not fit this model: only the")
    refused(tmp_path / "m", nn.Linear(4, 2).double(), "float32 in the file")


@pytest.mark.parametrize("compress", [False, True])
def test_no_damage_goes_unnoticed(tmp_path, compress):
    model = pruned(nn.Linear(40, 40))
    storage.save(model, tmp_path / "m", compress)
    whole = (tmp_path / "m").read_bytes()
    target = nn.Linear(40, 40)
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "bad").write_bytes(damaged)
        with pytest.raises(ValueError, match="bad"):
            storage.load(tmp_path / "bad", target)
    for length in (0, 5, 100, len(whole) - 1):
        (tmp_path / "bad").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="damaged"):
            storage.load(tmp_path / "bad", target)
    assert all(same_bits(before[name], tensor) for name, tensor in target.state_dict().items())


def test_other_files_are_refused(tmp_path):
    save_file({"weight": torch.zeros(2, 4)}, tmp_path / "m")
    refused(tmp_path / "m", nn.Linear(4, 2), "was not written by storage.save")
    with pytest.raises(FileNotFoundError, match="no file nowhere"):
        storage.load(tmp_path / "nowhere", nn.Linear(4, 2))


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    model = nn.Linear(4, 2)
    storage.save(model, tmp_path / "m")

    def full_disk(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(storage, "save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        storage.save(nn.Linear(4, 2), tmp_path / "m")
    other = nn.Linear(4, 2)
    storage.load(tmp_path / "m", other)
    assert same_model(model, other)
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


# --- CSR


@pytest.mark.parametrize("index_bytes, dtype", [(8, torch.int64), (4, torch.int32)])
def test_csr_bytes_are_those_of_torch(index_bytes, dtype):
    weight = torch.randn(30, 50) * (torch.rand(30, 50) < 0.1)
    csr = weight.to_sparse_csr()
    parts = [csr.values(), csr.col_indices().to(dtype), csr.crow_indices().to(dtype)]
    assert storage.csr_bytes(weight, index_bytes) == sum(part.nbytes for part in parts)


def test_csr_refuses_what_is_no_matrix():
    with pytest.raises(ValueError, match="CSR stores matrices"):
        storage.csr_bytes(torch.zeros(3))
    with pytest.raises(ValueError, match="index_bytes"):
        storage.csr_bytes(torch.zeros(3, 3), 0)
