"""Predictions: a guess is written down before the cell that answers it shows anything."""

from course_utils.runtime import automated
from course_utils.study import log


def predict(name: str, guess) -> None:
    """Write down a guess, a number or a few words, in place of the three dots."""
    if guess is ...:
        print("Write your guess in place of the three dots and run this cell.")
    elif log.read("outcome", name):
        first = _prediction(name)
        kept = "You have seen the answer" if first is None else f"Your prediction stays {first}"
        print(f"{kept}: a guess counts before the answer is shown.")
    else:
        log.append(
            "prediction", name, guess=guess if isinstance(guess, int | float) else str(guess)
        )
        print(f"Noted: {guess}")


def predicted(name: str) -> bool:
    """Whether the answer may be shown. It always may where nobody is there to guess."""
    if automated() or _prediction(name) is not None:
        return True
    print("First write down your prediction in the cell above and run it; then run this one.")
    return False


def outcome(name: str, value, unit: str = "") -> None:
    """Show what happened beside what was predicted."""
    guess = _prediction(name)
    log.append("outcome", name, value=value)
    shown = f"{value:.1f}" if isinstance(value, float) else value
    if guess is None:
        print(f"It is {shown} {unit}".rstrip() + ".")
    else:
        print(f"You predicted {guess} {unit}".rstrip() + f"; it is {shown} {unit}".rstrip() + ".")


def _prediction(name: str):
    """The last guess made before the answer was first seen."""
    guesses = log.read("prediction", name)
    return guesses[-1].data["guess"] if guesses else None
