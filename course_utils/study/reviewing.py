"""Answers to questions: judged, logged, remembered; and what is due today.

The notebook's and the terminal's sittings are two faces of what stands here.
"""

from datetime import date

from course_utils.quiz import bank, schedule
from course_utils.quiz.bank import Item
from course_utils.quiz.judge import Verdict, judge
from course_utils.quiz.schedule import Answer
from course_utils.runtime import now
from course_utils.study import log

CONFIDENCE = {1: "a guess", 2: "fairly sure", 3: "certain"}


def today() -> date:
    return schedule.day_of(now())


def answer(item: Item, given, confidence: int, seconds: float, use: str = "review") -> Verdict:
    """Judge an answer and write it down. What is no answer at all raises and is not counted."""
    verdict = judge(item, given)
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
    )
    return verdict


def last_answer(item: Item, use: str) -> dict | None:
    """What was answered last in this place, if the question still means the same."""
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
    items, since = bank.load(), enrolments()
    reviewed = [i for i in items.values() if i.lesson in since and "review" in i.use]
    ids = schedule.queue(
        {item.id: since[item.lesson] for item in reviewed},
        {item.id: item.rev for item in reviewed},
        map(_answer, log.read("answer")),
        today(),
    )
    return [items[id_] for id_ in ids]


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
