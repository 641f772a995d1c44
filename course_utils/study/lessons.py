"""The names that lessons import from `study`, gathered in one place; list new ones there too."""

# ruff: noqa: F401

from course_utils.study.checking import check, hint, solution, yours_or_ours
from course_utils.study.claims import claim
from course_utils.study.desk import desk
from course_utils.study.handing_in import hand_in
from course_utils.study.leaderboard import leaderboard, submit
from course_utils.study.ledger import enter, ledger
from course_utils.study.predictions import outcome, predict, predicted
from course_utils.study.progress import progress, progress_text
from course_utils.study.quizzes import enrol, quiz, review
