"""Zeros that really make the file smaller: one bit for each weight, and the weights that are left.

A dense file spends four bytes on a zero. Here a pruned tensor becomes a bitmask and the values it
keeps (Han 2015 stored distances between them instead), in a safetensors file, without losing a
bit. What would not shrink, stays dense. How large a model is otherwise: `measure.bytes_on_disk`.
"""

import json
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from course_utils.measure import require_count

_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes an element
_ENTRY = 100  # bytes, about: what a packed tensor takes more than a dense one in the file's header


def pack(weight: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    """A tensor as its bitmask (8 entries a byte), the values it marks, and its shape.

    Left out are zeros whose every bit is zero, so the way back is exact: a negative zero is kept,
    and so is a NaN, whichever it is. Both parts are on the CPU.

    >>> bits, values, shape = pack(torch.tensor([[0.0, 2.0, 0.0], [-3.0, 0.0, 0.0]]))
    >>> bits.tolist(), values.tolist(), shape
    ([80], [2.0, -3.0], (2, 3))
    """
    _check_dense("the weight", weight)
    flat = weight.detach().cpu().reshape(-1)
    kept = flat.view(_WORDS[flat.element_size()]) != 0
    return _pack_bits(kept), flat[kept], tuple(weight.shape)


def unpack(bits: Tensor, values: Tensor, shape: Sequence[int]) -> Tensor:
    """The tensor that `pack` was given, bit for bit.

    >>> weight = torch.tensor([[0.0, float("nan")], [-0.0, 4.0]])
    >>> unpack(*pack(weight))
    tensor([[0., nan],
            [-0., 4.]])
    """
    _check_dense("the bits", bits)
    _check_dense("the values", values)
    shape = tuple(shape)
    for size in shape:
        require_count("a size in the shape", size, at_least=0)
    count = math.prod(shape)
    if bits.dtype != torch.uint8 or bits.shape != ((count + 7) // 8,):
        raise ValueError(
            f"{count} entries take {(count + 7) // 8} bytes of bits (uint8), "
            f"but there is a {bits.dtype} tensor of {tuple(bits.shape)}."
        )
    kept = _unpack_bits(bits.detach().cpu())
    if kept[count:].any():
        raise ValueError("the bits mark entries beyond the end of the tensor.")
    kept = kept[:count]
    if values.shape != (int(kept.sum()),):
        raise ValueError(
            f"the bits mark {int(kept.sum())} entries, but the values are {tuple(values.shape)}."
        )
    flat = torch.zeros(count, dtype=values.dtype)
    flat[kept] = values.detach().cpu()
    return flat.view(shape)


def save(model: nn.Module, path: str | Path, compress: bool = False) -> None:
    """Write parameters and buffers to a safetensors file in which zeros cost one bit.

    Each tensor is packed where that is smaller and left dense where it is not; tied tensors are
    written once. A weight times a mask of 0 is a negative zero as often as not; these cost a bit
    more, and come back as they were. `compress` adds zlib, after sorting the values' bytes by rank:
    the bytes with sign and exponent are much alike, those of the mantissa are not. A file of the
    same name is replaced only once the new one is complete.

    >>> import tempfile
    >>> model = nn.Linear(100, 10)
    >>> path = Path(tempfile.mkdtemp()) / "linear.safetensors"
    >>> save(model, path)
    >>> load(path, nn.Linear(100, 10))
    """
    path = Path(path)
    tensors: dict[str, Tensor] = {}
    index: dict[str, dict] = {"same": {}, "packed": {}, "zlib": {}}
    first_name: dict[tuple, str] = {}
    for name, tensor in _state(model).items():
        first = first_name.setdefault(_identity(tensor, name), name)
        if first != name:
            index["same"][name] = first
            continue
        dense = tensor.detach().cpu().contiguous().clone()
        plain, signs = _split_negative_zeros(dense)
        bits, values, shape = pack(plain)
        if compress:
            raw = bits.numpy().tobytes() + _planes(values).tobytes() + signs.numpy().tobytes()
            blob = _deflate(raw)
            if len(blob) + _ENTRY < dense.nbytes:
                tensors[f"zlib/{name}"] = torch.frombuffer(bytearray(blob), dtype=torch.uint8)
                index["zlib"][name] = [str(dense.dtype).removeprefix("torch."), shape]
                continue
        if bits.nbytes + values.nbytes + signs.nbytes + _ENTRY < dense.nbytes:
            tensors |= {f"bits/{name}": bits, f"values/{name}": values}
            if len(signs):
                tensors[f"signs/{name}"] = signs
            index["packed"][name] = shape
        else:
            tensors[f"dense/{name}"] = dense
    written = json.dumps({kind: names for kind, names in index.items() if names})
    metadata = {"index": written, "crc32": str(_checksum(tensors, written))}
    unfinished = path.with_name(path.name + ".part")
    try:
        save_file(tensors, unfinished, metadata)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | Path, model: nn.Module) -> None:
    """Read a file that `save` wrote into a model of the same kind, in place and bit for bit.

    The whole file is checked first (checksum, names, shapes, types, tied weights): whatever is
    wrong is told in a ValueError, and the model is as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "linear.safetensors"
    >>> model, copy = nn.Linear(100, 10), nn.Linear(100, 10)
    >>> save(model, path, compress=True)
    >>> load(path, copy)
    """
    path = Path(path)
    found = _read(path)
    state = _state(model)
    if found.keys() != state.keys():
        wrong = sorted(found.keys() ^ state.keys())[0]
        owner = "file" if wrong in found else "model"
        raise ValueError(f"{path.name} does not fit this model: only the {owner} has {wrong}.")
    holds: dict[tuple, str] = {}
    for name, tensor in state.items():
        new = found[name]
        if (new.shape, new.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(
                f"{path.name} does not fit this model: {name} is {tuple(new.shape)} {new.dtype} in "
                f"the file, {tuple(tensor.shape)} {tensor.dtype} in the model."
            )
        first = holds.setdefault(_identity(tensor, name), name)
        if not np.array_equal(_bytes(found[first]), _bytes(new)):
            raise ValueError(
                f"{path.name} does not fit this model: {first} and {name} are one tensor in the "
                "model and differ in the file."
            )
    with torch.no_grad():
        for name, tensor in state.items():
            tensor.copy_(found[name])


def csr_bytes(weight: Tensor, index_bytes: int = 4) -> int:
    """What a matrix would take as CSR: its values, a column for each, and a pointer for each row.

    Beside each 4-byte value an index of 4 bytes (PyTorch's default: 8): the reason why a bitmask
    is smaller until some 97 % of the weights are gone.

    >>> csr_bytes(torch.eye(10))
    124
    """
    _check_dense("the weight", weight)
    require_count("index_bytes", index_bytes, at_least=1)
    if weight.ndim != 2:
        raise ValueError(f"CSR stores matrices, not tensors of shape {tuple(weight.shape)}.")
    nonzero = int(torch.count_nonzero(weight))
    return nonzero * (weight.element_size() + index_bytes) + (len(weight) + 1) * index_bytes


# --- the file


def _read(path: Path) -> dict[str, Tensor]:
    """All tensors of a file by name, after making sure that it is whole."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path.name} to load.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path.name} is damaged or not a safetensors file: {error}.") from error
    if not metadata.keys() >= {"index", "crc32"}:
        raise ValueError(f"{path.name} was not written by storage.save.")
    if str(_checksum(stored, metadata["index"])) != metadata["crc32"]:
        raise ValueError(f"{path.name} is damaged: its checksum does not match what it holds.")

    index = json.loads(metadata["index"])
    found = {
        key.removeprefix("dense/"): tensor
        for key, tensor in stored.items()
        if key.startswith("dense/")
    }
    for name, shape in index.get("packed", {}).items():
        found[name] = unpack(stored[f"bits/{name}"], stored[f"values/{name}"], shape)
        _sign_zeros_(found[name], stored.get(f"signs/{name}", torch.zeros(0, dtype=torch.uint8)))
    for name, (dtype, shape) in index.get("zlib", {}).items():
        found[name] = _inflate(stored[f"zlib/{name}"], getattr(torch, dtype), shape)
    return found | {name: found[first] for name, first in index.get("same", {}).items()}


def _deflate(raw: bytes) -> bytes:
    """Little memory makes for short blocks, each with a code of its own: bits, exponents and
    mantissas do not share one. That is worth 6 %."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS, 5, zlib.Z_FILTERED)
    return compressor.compress(raw) + compressor.flush()


def _inflate(blob: Tensor, dtype: torch.dtype, shape: list[int]) -> Tensor:
    raw = torch.frombuffer(bytearray(zlib.decompress(blob.numpy().tobytes())), dtype=torch.uint8)
    bits, rest = raw.tensor_split([(math.prod(shape) + 7) // 8])
    planes, signs = rest.tensor_split([int(_unpack_bits(bits).sum()) * dtype.itemsize])
    values = planes.view(dtype.itemsize, -1).T.reshape(-1).clone().view(dtype)
    tensor = unpack(bits, values, shape)
    _sign_zeros_(tensor, signs)
    return tensor


def _split_negative_zeros(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """The tensor with plain zeros, and one bit for each of them: whether it was negative."""
    none = torch.zeros(0, dtype=torch.uint8)
    if not tensor.is_floating_point() or tensor.element_size() == 1:
        return tensor, none
    zero = tensor == 0
    negative = tensor[zero].signbit()
    return (tensor.masked_fill(zero, 0), _pack_bits(negative)) if negative.any() else (tensor, none)


def _sign_zeros_(tensor: Tensor, signs: Tensor) -> None:
    if len(signs):
        zeros = (tensor == 0).flatten().nonzero().flatten()
        tensor.view(-1)[zeros[_unpack_bits(signs)[: len(zeros)]]] = -0.0


def _pack_bits(flags: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(flags.numpy()))


def _unpack_bits(bits: Tensor) -> Tensor:
    return torch.from_numpy(np.unpackbits(bits.numpy())).bool()


def _planes(values: Tensor) -> np.ndarray:
    """All first bytes of the values, then all second ones, and so on."""
    return np.ascontiguousarray(_bytes(values).reshape(len(values), values.element_size()).T)


def _checksum(tensors: dict[str, Tensor], index: str) -> int:
    checksum = zlib.crc32(index.encode())
    for name in sorted(tensors):
        kind = f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}"
        checksum = zlib.crc32(_bytes(tensors[name]), zlib.crc32(kind.encode(), checksum))
    return checksum


def _bytes(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict, whose tensors are the model's own. What is not a dense tensor is refused."""
    state = model.state_dict()
    for name, tensor in state.items():
        _check_dense(name, tensor)
    return state


def _identity(tensor: Tensor, name: str) -> tuple:
    """Equal for two names of one and the same tensor, and only for those."""
    if tensor.numel() == 0:
        return (name,)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())


def _check_dense(what: str, tensor: object) -> None:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{what} must be a tensor, not {type(tensor).__name__}.")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
        raise ValueError(f"{what} must be an ordinary dense tensor that holds its values.")
    if tensor.dtype == torch.complex128:
        raise ValueError(f"{what} is complex128, which safetensors files cannot hold.")
