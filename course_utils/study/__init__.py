"""What a learner's notebook calls: checks, hints, predictions, progress and the story's ledger.

The names come from `lessons`, all together when one of them is first asked for: checks need torch,
and a review in the terminal begins at once without it.
"""

from importlib import import_module

__all__ = [
    "check",
    "claim",
    "desk",
    "enrol",
    "enter",
    "hand_in",
    "hint",
    "leaderboard",
    "ledger",
    "outcome",
    "predict",
    "predicted",
    "progress",
    "progress_text",
    "quiz",
    "review",
    "solution",
    "submit",
    "yours_or_ours",
]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    lessons = import_module("course_utils.study.lessons")
    globals().update({each: getattr(lessons, each) for each in __all__})
    return globals()[name]
