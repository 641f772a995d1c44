"""What a learner's notebook calls: checks, hints, predictions, progress and the story's ledger."""

from course_utils.study.checking import check, hint, solution, yours_or_ours
from course_utils.study.claims import claim
from course_utils.study.ledger import enter, ledger
from course_utils.study.predictions import outcome, predict, predicted
from course_utils.study.progress import progress, progress_text

__all__ = [
    "check",
    "claim",
    "enter",
    "hint",
    "ledger",
    "outcome",
    "predict",
    "predicted",
    "progress",
    "progress_text",
    "solution",
    "yours_or_ours",
]
