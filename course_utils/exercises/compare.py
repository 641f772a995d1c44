"""How results are compared and how values are shown in a sentence."""

import math

import torch

from course_utils.exercises.networks import is_network, shown
from course_utils.exercises.plain import Other

TOLERANCE = 1e-5


def as_number(value) -> float | None:
    """The value as a float if it is a number, or a tensor holding one; otherwise None."""
    if isinstance(value, torch.Tensor):
        value = value.item() if value.numel() == 1 else None
    if isinstance(value, int) and abs(value) > 1e300:
        return math.inf
    return float(value) if isinstance(value, int | float) else None


def same_number(got, want: float) -> bool:
    """Equal by value, whatever the numeric type; a number of the wrong kind is simply unequal."""
    got = as_number(got)
    if got is None or math.isnan(got) or math.isnan(want):
        return got is not None and math.isnan(got) and math.isnan(want)
    return math.isclose(got, want, rel_tol=TOLERANCE, abs_tol=1e-9)


def same_tensor(got, want: torch.Tensor) -> bool:
    """Same shape and, number by number, the same values."""
    if not isinstance(got, torch.Tensor) or got.shape != want.shape or got.is_complex():
        return False
    got, want = got.to(torch.float64), want.to(torch.float64)
    return torch.allclose(got, want, rtol=TOLERANCE, atol=1e-9, equal_nan=True)


def identical(before, after) -> bool:
    """Exactly the same plain data: for what an answer must not touch."""
    if isinstance(before, torch.Tensor):
        return (
            isinstance(after, torch.Tensor)
            and before.dtype == after.dtype
            and before.shape == after.shape
            and torch.equal(before.nan_to_num(0.5), after.nan_to_num(0.5))
        )
    if isinstance(before, dict):
        return (
            isinstance(after, dict)
            and list(before) == list(after)
            and all(identical(before[key], after[key]) for key in before)
        )
    if isinstance(before, list | tuple):
        return (
            isinstance(after, list | tuple)
            and len(before) == len(after)
            and all(map(identical, before, after))
        )
    return before == after or (before != before and after != after)  # NaN is NaN


def differing_keys(got: dict, want: dict[str, float]) -> list[str]:
    """The names whose numbers differ, among those that both have."""
    return [name for name in want if name in got and not same_number(got[name], want[name])]


def show(value) -> str:
    """A value in a sentence: small tensors in full, others by shape."""
    if isinstance(value, torch.Tensor):
        if value.dim() == 0:
            return show(value.item())
        if value.dim() == 1 and value.numel() <= 8:
            return "[" + ", ".join(show(item) for item in value.tolist()) + "]"
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Other):
        return f"something of type {value.type_name}"
    if is_network(value):
        return shown(value)
    if isinstance(value, list | tuple):
        items = [show(item) for item in value[:8]] + ["..."] * (len(value) > 8)
        return ("[{}]" if isinstance(value, list) else "({})").format(", ".join(items))
    if isinstance(value, dict):
        items = [f"{key!r}: {show(item)}" for key, item in list(value.items())[:6]]
        return "{" + ", ".join(items + ["..."] * (len(value) > 6)) + "}"
    return repr(value)[:200]
