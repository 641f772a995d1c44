"""Plain data and its journey: how cases go to an answer and results come back, without pickles.

Plain means None, booleans, numbers, strings, lists, tuples, dicts and tensors. `encode` writes
them as JSON with the tensors behind it in safetensors form; `decode` reads that back and cannot
run code. Anything else becomes `Other(type name)`, so a check can say what came back instead;
only what is `Withheld` is refused, because it must not travel.
Every check sends its results through here, in the notebook too: the same data is judged in both.

Cases travel the other way, with `encode_cases`: how a tensor lies in memory belongs to a case, and
what is withheld stays behind. Their form is for cases alone, because laying out what a stranger
describes could take any amount of memory.
"""

import json
from dataclasses import dataclass

import numpy
import safetensors.torch
import torch


@dataclass(frozen=True)
class Other:
    """Something that is not plain data; only the name of its type travels."""

    type_name: str


@dataclass(frozen=True)
class Withheld:
    """The part of a case that stays with whoever judges; the answer's side gets None for it."""

    value: object


def encode(value) -> bytes:
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_tree(value, tensors)).encode()
    return len(tree).to_bytes(8, "little") + tree + safetensors.torch.save(tensors)


def decode(data: bytes):
    size = int.from_bytes(data[:8], "little")
    if size > len(data) - 8:
        raise ValueError("This is not encoded plain data: it ends too early.")
    return _value(json.loads(data[8 : 8 + size]), safetensors.torch.load(data[8 + size :]))


def encode_cases(groups: dict[str, list[tuple]]) -> bytes:
    strides = []

    def sent(leaf):
        if isinstance(leaf, torch.Tensor):
            strides.append(list(leaf.stride()))
        return None if isinstance(leaf, Withheld) else leaf

    return encode({"groups": _each(groups, sent), "strides": strides})


def decode_cases(data: bytes) -> dict[str, list[tuple]]:
    """As they were, with None for what is withheld."""
    sent = decode(data)
    strides = iter(sent["strides"])

    def received(leaf):
        return laid_out(leaf, next(strides)) if isinstance(leaf, torch.Tensor) else leaf

    return _each(sent["groups"], received)


def laid_out(tensor: torch.Tensor, stride: tuple[int, ...]) -> torch.Tensor:
    """A copy that lies in memory like this."""
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)


def _each(value, change):
    """The same lists, tuples and dicts, with every leaf changed."""
    if isinstance(value, list | tuple):
        return type(value)(_each(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _each(item, change) for key, item in value.items()}
    return change(value)


def _tree(value, tensors):
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numpy.number | numpy.bool_) and value.dtype != numpy.longdouble:
        return _tree(value.item(), tensors)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.device.type == "meta":
            return {"other": f"{value.layout} tensor on {value.device}"}
        key = str(len(tensors))
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_tree(item, tensors) for item in value]}
    if isinstance(value, dict):
        pairs = [[_tree(key, tensors), _tree(item, tensors)] for key, item in value.items()]
        return {"dict": pairs}
    if isinstance(value, Withheld):
        raise TypeError("what is withheld stays where answers are judged.")
    return {"other": value.type_name if isinstance(value, Other) else type(value).__name__}


def _value(tree, tensors):
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "list":
        return [_value(item, tensors) for item in content]
    if kind == "tuple":
        return tuple(_value(item, tensors) for item in content)
    if kind == "dict":
        return {_key(_value(key, tensors)): _value(item, tensors) for key, item in content}
    if kind == "other":
        return Other(str(content))
    raise ValueError(f"This is not encoded plain data: {kind!r} is no kind of value.")


def _key(value):
    """Only names and numbers can be keys; whatever else was one keeps its place under its text."""
    return value if isinstance(value, str | int | float | None) else repr(value)
