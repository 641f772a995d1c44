"""Predictions: a guess is written down before the cell that answers it shows anything."""

import math

from course_utils.runtime import automated
from course_utils.study import log


def predict(name: str, guess, choices: tuple[str, ...] = ()) -> None:
    """Write down a guess in place of the three dots: a number, or one of the choices."""
    if guess is ...:
        print("Write your guess in place of the three dots and run this cell.")
    elif log.read("outcome", name) and guess != (first := _prediction(name)):
        kept = "You have seen the answer" if first is None else f"Your prediction stays {first}"
        print(f"{kept}: a guess counts before the answer is shown.")
    elif choices and guess not in choices:
        print(f"Write one of these, with its quotes: {', '.join(map(repr, choices))}.")
    elif not choices and not _is_number(guess):
        print("Write a number, such as 12.5, without a unit or quotes.")
    else:
        log.append("prediction", name, guess=guess)
        print(f"Noted: {guess}")


def predicted(*names: str) -> bool:
    """Whether what answers these may be shown. It always may where nobody is there to guess."""
    if automated() or all(_prediction(name) is not None for name in names):
        return True
    print("First write down your prediction in the cell above; then run this.")
    return False


def outcome(name: str, value, unit: str = "") -> None:
    """Show what happened beside what was predicted."""
    guess = _prediction(name)
    value = value.item() if hasattr(value, "item") else value
    log.append("outcome", name, value=value)
    shown = value
    if isinstance(value, float):
        shown = f"{value:.2g}" if 0 < abs(value) < 1 else f"{value:.1f}"
    before = "It is" if guess is None else f"You predicted {guess}; it is"
    print(f"{before} {shown} {unit}".rstrip() + ".")


def _is_number(guess) -> bool:
    return type(guess) in (int, float) and math.isfinite(guess)


def _prediction(name: str):
    """The last guess made before the answer was first seen."""
    guesses = log.read("prediction", name)
    return guesses[-1].data["guess"] if guesses else None
