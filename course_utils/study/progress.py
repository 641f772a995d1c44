"""Where a learner stands, from the log."""

from pathlib import Path
from urllib.parse import quote

from course_utils.copies import at_hand
from course_utils.exercises import every
from course_utils.quiz.translation import say
from course_utils.runtime import automated
from course_utils.study import log
from course_utils.study.panels import Panel, table
from course_utils.study.titles import named


def progress() -> Panel:
    """The lessons, what is solved in each, and what comes next."""
    best: dict[str, float] = {}
    for event in log.read("check"):
        best[event.name] = max(best.get(event.name, 0.0), event.data["score"])
    exercises = every()
    rows, links = [], []
    for lesson in sorted({exercise.lesson for exercise in exercises.values()}):
        here = [exercise for exercise in exercises.values() if exercise.lesson == lesson]
        solved = sum(best.get(exercise.name) == 1 for exercise in here)
        points = sum(exercise.points * best.get(exercise.name, 0.0) for exercise in here)
        total = sum(exercise.points for exercise in here)
        counts = [(solved, len(here)), (f"{round(points, 2):g}", f"{total:g}")]
        texts = [say("{count} of {total}", count=count, total=all_) for count, all_ in counts]
        rows.append([named(lesson), *texts])
        links.append(link_to(lesson))
    left = [exercise for exercise in exercises.values() if best.get(exercise.name) != 1]
    if left:
        name, lesson = left[0].name, left[0].lesson
        caption = say(
            "Your progress. Next: {exercise}, in lesson {lesson}.", exercise=name, lesson=lesson
        )
    else:
        caption = say("Your progress. All exercises are solved.")
    return table(["", say("solved"), say("points")], rows, caption, links)


def progress_text() -> str:
    return repr(progress())


def link_to(lesson: str, heading: str = "") -> str:
    """Where a lesson, or a heading of it, is found from the notebook that asks; empty if it does
    not lie beside it, as in a class, where each comes in a folder of its own."""
    if automated():
        return ""
    copy = at_hand(lesson, Path.cwd())
    anchor = f"#{heading.replace(' ', '-')}" if heading else ""
    return quote(copy.name) + anchor if copy else ""
