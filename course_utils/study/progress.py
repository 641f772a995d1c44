"""Where a learner stands, from the log."""

from course_utils.exercises import every
from course_utils.study import log
from course_utils.study.panels import Panel, table


def progress() -> Panel:
    """The lessons, what is solved in each, and what comes next."""
    best: dict[str, float] = {}
    for event in log.read("check"):
        best[event.name] = max(best.get(event.name, 0.0), event.data["score"])
    exercises = every()
    rows = []
    for lesson in sorted({exercise.lesson for exercise in exercises.values()}):
        here = [exercise for exercise in exercises.values() if exercise.lesson == lesson]
        solved = sum(best.get(exercise.name) == 1 for exercise in here)
        points = sum(exercise.points * best.get(exercise.name, 0.0) for exercise in here)
        total = sum(exercise.points for exercise in here)
        rows.append(
            [f"lesson {lesson}", f"{solved} of {len(here)}", f"{round(points, 2):g} of {total:g}"]
        )
    left = [exercise for exercise in exercises.values() if best.get(exercise.name) != 1]
    if left:
        next_step = f"Next: {left[0].name}, in lesson {left[0].lesson}."
    else:
        next_step = "All exercises are solved."
    return table(["", "solved", "points"], rows, f"Your progress. {next_step}")


def progress_text() -> str:
    return repr(progress())
