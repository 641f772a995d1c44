"""Answers to questions: judged, logged, remembered; and what is due today.

The notebook's and the terminal's sittings are two faces of what stands here.
"""

from datetime import date

from course_utils.quiz import bank, schedule
from course_utils.quiz.bank import Item
from course_utils.quiz.judge import BadAnswer, Verdict, judge
from course_utils.quiz.schedule import Answer
from course_utils.quiz.translation import say, say_day
from course_utils.runtime import now
from course_utils.study import log

CONFIDENCE = {1: "a guess", 2: "fairly sure", 3: "certain"}


def today() -> date:
    return schedule.day_of(now())


def answer(
    item: Item, given, confidence: int, seconds: float, use: str = "review", **beside
) -> Verdict | None:
    """Judge an answer and write it down, with what is given `beside` it, such as one's own words.
    What is no answer at all raises and is not counted. What one thinks before a lesson is kept, but
    not scored and part of no schedule."""
    verdict = judged(item, given, use)
    if verdict is None:
        log.append("pretest", item.id, rev=item.rev, answer=given)
        return None
    log.append(
        "answer",
        item.id,
        rev=item.rev,
        day=today().isoformat(),
        use=use,
        answer=given,
        confidence=confidence,
        score=verdict.score,
        seconds=round(seconds, 1),
        **beside,
    )
    return verdict


def judged(item: Item, given, use: str) -> Verdict | None:
    """The verdict; in a pretest none, as long as it is an answer at all."""
    if use != "pretest":
        return judge(item, given)
    if item.type != "recall":
        judge(item, given)
    elif not given.strip():
        raise BadAnswer(say("Write a few words; a guess is fine."))
    return None


def last_answer(item: Item, use: str) -> dict | None:
    """What was answered last in this place, if the question still means the same."""
    if use == "pretest":
        given = [event.data for event in log.read("pretest", item.id)]
    else:
        given = [e.data for e in log.read("answer", item.id) if e.data["use"] == use]
    given = [data for data in given if data["rev"] == item.rev]
    return given[-1] if given else None


def enrol(lesson: str) -> date:
    """From today on the lesson's questions come back; enrolling again changes nothing. Returns the
    day that counts."""
    if lesson not in enrolments():
        log.append("enrol", lesson, day=today().isoformat())
    return enrolments()[lesson]


def enrolments() -> dict[str, date]:
    """Since when each lesson is reviewed."""
    days: dict[str, date] = {}
    for event in log.read("enrol"):
        days.setdefault(event.name, date.fromisoformat(event.data["day"]))
    return days


def due_today() -> list[Item]:
    """What is to be asked now, in order; worked out from the log at each call."""
    return [bank.load()[id_] for id_ in schedule.queue(*_standing())]


def next_day() -> date | None:
    """The day on which the next question comes; until today if one waits for tomorrow because
    today's share is done. None if nothing is enrolled."""
    return min(schedule.coming(*_standing()).values(), default=None)


def answered_today() -> int:
    """How many of today's prompts are done."""
    return sum(a.use == "review" and a.day == today() for a in map(_answer, log.read("answer")))


def ending() -> list[str]:
    """What to say when nothing is left to ask: a title, then sentences."""
    day = next_day()
    if day is None:
        enrolling = say("Each lesson ends with a cell that enrols its questions.")
        return [say("Nothing to review yet"), enrolling]
    if day <= today():
        enough = say("You have done your share for today: memory grows best in small portions.")
        return [say("Enough for today"), enough, say("The rest comes first tomorrow.")]
    through = say("Well done: that was all for today")
    title = through if answered_today() else say("Nothing is due today")
    return [title, say("The next questions come on {day}.", day=say_day(day))]


def _standing() -> tuple[dict[str, date], dict[str, int], list[Answer], date]:
    """What a schedule is worked out from."""
    since = enrolments()
    reviewed = [i for i in bank.load().values() if i.lesson in since and "review" in i.use]
    return (
        {item.id: since[item.lesson] for item in reviewed},
        {item.id: item.rev for item in reviewed},
        [_answer(event) for event in log.read("answer")],
        today(),
    )


def _answer(event: log.Event) -> Answer:
    data = event.data
    return Answer(
        item=event.name,
        rev=data["rev"],
        day=date.fromisoformat(data["day"]),
        score=data["score"],
        confidence=data["confidence"],
        seconds=data["seconds"],
        use=data["use"],
    )
